#!/bin/bash
# Breaks the code in small ways, one at a time, and demands that the tests notice: test/mutants.sh [PATTERN | --check]
# test/mutants.txt lists them; PATTERN (an extended regular expression) picks some by their first line. Works on copies of the
# tree in $TMPDIR, one a core; the tests must pass before anything is broken. A mutant whose text is not found exactly once,
# or that does not compile, is an error of the list and counts as failed. Closes with "N passed, N failed".
# --check only looks whether the list still fits the code.
set -u
cd "$(dirname "$0")/.."
root=$PWD
shared=$root/../shared
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'kill $(jobs -p) 2>/dev/null; wait; exit 130' INT TERM
jobs=$(nproc)
nvcc=${NVCC-$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null)}
export OMP_NUM_THREADS=1
unset MAKEFLAGS MFLAGS MAKELEVEL SEEDBED_MODEL SEEDBED_DATA

# The command of a test as the list names it: a program of build/ with its golden files, or a file of bats and a pattern.
command_of() {
    local goldens=../shared/goldens
    case $1 in
    *.bats) echo "bats --tap ${2:+-f '${*:2}'} test/$1" ;;
    test_random) echo "build/test_random $goldens/random/*.json" ;;
    test_units) echo "build/test_units $goldens/models/ops/golden.safetensors $goldens/tasks/metrics.json" ;;
    test_stats) echo "build/test_stats $goldens/stats/golden.json $goldens/stats/small.json" ;;
    test_tasks) echo "build/test_tasks ../shared/data $goldens/tasks/*.jsonl $goldens/tasks/counts.json" ;;
    test_tokenizer) [ -d "$root/test/tokenizers/$2" ] && echo "build/test_tokenizer test/tokenizers/$2 test/tokenizers/$2/*.jsonl" ||
        echo "build/test_tokenizer ../shared/tokenizers/$2 $goldens/tokenizers/$2/*.jsonl" ;;
    test_safetensors) echo "build/test_safetensors $goldens/safetensors/manifest.json" ;;
    test_golden) echo "build/test_golden $goldens/models/$2" ;;
    test_decoder_ops) echo "build/test_decoder_ops $goldens/models/ops/golden.safetensors" ;;
    test_scalar) echo "build/test_scalar --quick" ;;
    expect.sh) echo "for set in $goldens/stats/sets/*/; do test/expect.sh \$set | tee /dev/stderr | grep -q ' 0 failed' || exit 1; done" ;;
    verify.sh) echo "test/verify.sh" ;;
    ptx/faults.sh) echo "NVCC=$nvcc test/ptx/faults.sh" ;;
    *) echo "build/$*" ;;
    esac
}

# What must be built for it.
targets_of() {
    case $1 in
    *.bats | verify.sh) echo build/train_gpt build/consistency build/tracediff build/check build/merge build/digests build/make_llama build/rehash build/test_trace ;;
    expect.sh) echo build/consistency ;;
    ptx/faults.sh) echo build/test_ptx ;;
    *) echo "build/$1" ;;
    esac
}

needs_nvcc() { # TEST
    [[ $1 = test_ptx || $1 = ptx/* ]]
}

# What no model of the instructions runs.
needs_amx() { # HEADER
    [[ $1 = kernels/block_amx.c:* ]]
}

# Without nvcc, but for what needs it: the emulator runs the kernels of CUDA.
build() { # TREE TARGETS
    local target with=() without=()
    for target in "${@:2}"; do
        if needs_nvcc "${target#build/}"; then with+=("$target"); else without+=("$target"); fi
    done
    { [ ${#with[@]} -eq 0 ] || make -C "$1" -s -j"$jobs" PROGRAMS=build BUILD=build NVCC="$nvcc" "${with[@]}"; } >"$1.make" 2>&1 &&
        { [ ${#without[@]} -eq 0 ] || make -C "$1" -s -j"$jobs" PROGRAMS=build BUILD=build NVCC= "${without[@]}"; } >"$1.make" 2>&1
}

# check TREE TEST: whether it passes
check() {
    (cd "$1" && BUILD=build PROGRAMS=build timeout 300 bash -c "$(command_of $2)"
        exit $?) >"$1.test" 2>&1 # the subshell speaks of a crash, not this one
}

# The list: [FILE: WHAT: TEST], then "- " before each line of the old text and "+ " before each of the new.
headers=() olds=() news=()
while IFS= read -r line; do
    case $line in
    '' | '#'*) ;;
    '- '*) olds[-1]+=${olds[-1]:+$'\n'}${line#- } ;;
    '+ '*) news[-1]+=${news[-1]:+$'\n'}${line#+ } ;;
    *) headers+=("$line") olds+=('') news+=('') ;;
    esac
done <test/mutants.txt
picked=() goldens=0 uncompiled=0 unrun=0
for i in "${!headers[@]}"; do
    [[ ${1:-} = --check || ${headers[i]} =~ ${1:-.} ]] || continue
    test=${headers[i]##*: }
    if [ ! -d "$shared/goldens" ] && [[ $(command_of $test) = *../shared/* ]]; then
        goldens=$((goldens + 1))
    elif [ "${1:-}" != --check ] && [ -z "$nvcc" ] && needs_nvcc $test; then
        uncompiled=$((uncompiled + 1))
    elif [ "${1:-}" != --check ] && needs_amx "${headers[i]}" && ! grep -qw amx_bf16 /proc/cpuinfo; then
        unrun=$((unrun + 1))
    else
        picked+=("$i")
    fi
done
[ $goldens -eq 0 ] || echo "SKIPPED: ../shared/goldens is not there: $goldens mutants are left out"
[ $uncompiled -eq 0 ] || echo "SKIPPED: there is no nvcc: $uncompiled mutants are left out"
[ $unrun -eq 0 ] || echo "SKIPPED: the CPU has no AMX: $unrun mutants are left out"
[ ${#picked[@]} -gt 0 ] || { echo "mutants: none is called $1"; exit 64; }

# changed TREE NUMBER: the mutant's file as it becomes; an error if the old text is not there exactly once
changed() {
    OLD=${olds[$2]} NEW=${news[$2]} LC_ALL=C awk 'BEGIN { RS = "\001"; old = ENVIRON["OLD"] }
        { text = text $0 }
        END {
            at = index(text, old)
            if (!at || index(substr(text, at + 1), old)) { exit 1 }
            printf "%s%s%s", substr(text, 1, at - 1), ENVIRON["NEW"], substr(text, at + length(old))
        }' "$1/${headers[$2]%%: *}"
}

if [ "${1:-}" = --check ]; then
    failed=0
    for i in "${picked[@]}"; do
        changed . "$i" >/dev/null || { echo "ERROR   ${headers[i]}: its text is not there exactly once"; failed=$((failed + 1)); }
    done
    echo "mutants: $((${#picked[@]} - failed)) passed, $failed failed"
    [ $failed -eq 0 ]
    exit
fi

# mutate TREE NUMBER: one line that says what became of it
mutate() {
    local tree=$1 header=${headers[$2]} file=${headers[$2]%%: *} test=${headers[$2]##*: }
    changed "$tree" "$2" >"$tree.text" || { echo "ERROR   $header: its text is not there exactly once"; return; }
    touch "$tree.start"
    cat "$tree.text" >"$tree/$file"
    if ! build "$tree" $(targets_of $test); then
        echo "ERROR   $header: does not compile: $(grep -m 1 'error' "$tree.make")"
    elif check "$tree" "$test"; then
        echo "MISSED  $header"
    else
        echo "found   $header"
    fi
    # what changed since is as before, its times included: make has nothing to do
    (cd "$tree" && echo "$file" && find . -newer ../"${tree##*/}".start -type f) | while read -r f; do
        if [ -e "$work/tree/$f" ]; then cp -p "$work/tree/$f" "$tree/$f"; else rm -f "$tree/$f"; fi
    done
}

mkdir "$work/tree"
git ls-files -coz --exclude-standard | while IFS= read -r -d '' f; do [ ! -f "$f" ] || printf '%s\0' "$f"; done |
    xargs -0 cp -a --parents -t "$work/tree"
[ ! -d build ] || cp -a build "$work/tree/build"
[ ! -d "$shared" ] || ln -s "$(cd "$shared" && pwd)" "$work/shared"
tests=$(for i in "${picked[@]}"; do echo "${headers[i]##*: }"; done | sort -u)
build "$work/tree" $(echo "$tests" | while read -r t; do targets_of $t; done | sort -u) ||
    { tail -n 20 "$work/tree.make"; echo "mutants: the tree does not build"; exit 1; }
while read -r t; do
    check "$work/tree" "$t" || { tail -n 20 "$work/tree.test"; echo "mutants: $t fails before anything is broken"; exit 1; }
done <<<"$tests"

for ((j = 0; j < jobs; j++)); do
    cp -a "$work/tree" "$work/copy$j"
    for ((k = j; k < ${#picked[@]}; k += jobs)); do
        mutate "$work/copy$j" "${picked[k]}"
    done | tee "$work/said$j" &
done
wait
passed=$(cat "$work"/said* | grep -c '^found')
echo "mutants: $passed passed, $((${#picked[@]} - passed)) failed"
[ "$passed" -eq ${#picked[@]} ]
