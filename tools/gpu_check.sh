#!/bin/bash
# Evidence from a GPU in one call of ten minutes: bits, faults, speed.
#   tools/gpu_check.sh prepare     where the tools to build are: fills .gpu with programs that need libc and libm alone, and with
#                                  what a build elsewhere takes (headers and static libraries of jansson, xxhash, md and stb)
#   tools/gpu_check.sh [PATTERN]   where the GPU is, in a copy of this tree with .gpu in it: runs the parts whose names match
# Each part has a time limit and writes its line at once to gpu-report/table.txt, its output to a file beside it, so that a
# late fault costs no earlier result. Exit code 1 if a part failed or was cut off, 69 if there is no device.
# $KIT is another folder than .gpu, $REPORT than gpu-report; DEVICE=sim or fence tries this script without a GPU.
set -u -o pipefail
cd "$(dirname "$0")/.."
kit=${KIT:-.gpu} report=${REPORT:-gpu-report} device=${DEVICE:-cuda}
programs=(train_gpt test_ops digests bench make_llama make_roberta)
most=590 # seconds of all parts
export OMP_WAIT_POLICY=passive

prepare() {
    local library
    mkdir -p "$kit/include/stb" "$kit/lib" build-gpu || return
    for library in jansson xxhash md; do
        cp "$(${CC:-gcc} -print-file-name=lib$library.a)" "$kit/lib/" || { echo "gpu_check: no lib$library.a: make deps" >&2; return 69; }
        cp $(dpkg -L lib$library-dev | grep 'include/.*\.h$') "$kit/include/" || return
    done
    cp /usr/include/stb/stb_ds.h "$kit/include/stb/" || return
    # static, but for libc and libm; what -fopenmp adds behind is there already and falls out
    make -j"$(nproc)" BUILD=build-gpu PROGRAMS=build-gpu \
        LDLIBS='$(CUDART) -Wl,--as-needed -l:libjansson.a -l:libxxhash.a -l:libmd.a -l:libgomp.a -ldl -lrt -lpthread -lm' \
        "${programs[@]/#/build-gpu/}" >build-gpu/log 2>&1 || { tail -n 5 build-gpu/log >&2; return 70; }
    for library in "${programs[@]}"; do
        strip -o "$kit/$library" "build-gpu/$library" || return
    done
    local needed
    needed=$(objdump -p "${programs[@]/#/$kit/}" | awk '$1 == "NEEDED" && $2 !~ /^(libc|libm|ld-linux-.*)\.so/ { print $2 }' | sort -u)
    [ -z "$needed" ] || { echo "gpu_check: the programs need $needed" >&2; return 70; }
    du -sh "$kit"
}

say() { # NAME RESULT TEXT
    printf '%-34s %-8s %4d s  %s\n' "$1" "$2" $((SECONDS - began)) "$3" | tee -a "$report/table.txt"
}

# part NAME SECONDS COMMAND...: one line, whose text is the last line of what the command says
part() {
    local name=$1 limit=$2 code=0 left=$((most - SECONDS)) log
    log=$report/$(tr -cs 'a-zA-Z0-9\n' - <<<"$1").log
    shift 2
    [[ $name =~ $pattern ]] || return 0
    began=$SECONDS
    if [ "$left" -lt 15 ]; then
        say "$name" SKIPPED "no time is left"
        return 1
    fi
    timeout -k 5 $((limit < left ? limit : left)) "$@" >"$log" 2>&1 || code=$?
    case $code in
    0) say "$name" ok "$(tail -n 1 "$log" | cut -c 1-110)" ;;
    69) say "$name" SKIPPED "$(tail -n 1 "$log" | cut -c 1-110)" ;;
    124 | 137) say "$name" "CUT OFF" "$(tail -n 1 "$log" | cut -c 1-110)" ;;
    *) say "$name" FAILED "exit code $code: $( (grep -m 1 -E 'FAILED|DIFFERENT' "$log" || tail -n 1 "$log") | cut -c 1-100)" ;;
    esac
    return $code
}

# The same training on the cpu and the device: digests of weights and predictions must be the same.
same_run() { # NAME OPTIONS...
    local dir=$report/run-$1 where file count
    shift
    for where in cpu "$device"; do
        "$bin/train_gpt" --quiet --seed 52 --device "$where" --preds "$dir/$where/preds" --save "$dir/$where/model" "$@" || return
        for file in "$dir/$where"/*/*.safetensors "$dir/$where"/*/*.bin; do
            [ ! -e "$file" ] || "$bin/digests" "$file" || return
        done >"$dir/$where.digests"
    done
    count=$(wc -l <"$dir/cpu.digests")
    diff "$dir/cpu.digests" "$dir/$device.digests" || { echo "DIFFERENT: digests of the device"; return 1; }
    rm -rf "$dir"
    [ "$count" -gt 0 ] || { echo "FAILED: nothing was written"; return 1; }
    echo "$count digests of weights and predictions are the same"
}

verify() {
    SEEDBED_DEVICE=$device BUILD=$bin PROGRAMS=$bin test/verify.sh
}

sanitizer() { # TOOL
    command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is not installed"; return 69; }
    compute-sanitizer --tool "$1" --error-exitcode 9 "$bin/test_ops" --device "$device" --repeat 1 --mode test
}

build_here() {
    make -j"$(nproc)" BUILD=build-here PROGRAMS=build-here CC="gcc -I$PWD/$kit/include -L$PWD/$kit/lib" "${programs[@]/#/build-here/}"
}

check_device() {
    local pattern=${1:-.} bin=$kit roberta=$report/roberta-large tokenizer=../shared/tokenizers/roberta-base/tokenizer.json tool
    rm -rf "$report"
    mkdir -p "$report" || return 73
    SECONDS=0 began=0
    if [ "$device" = cuda ]; then
        nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader >"$report/device.txt" 2>&1 ||
            { say "device" FAILED "nvidia-smi finds no device"; return 69; }
    else
        echo "none: --device $device" >"$report/device.txt"
    fi
    say "device" ok "$(head -n 1 "$report/device.txt"); $(nproc) cores"
    if ! "$bin/train_gpt" --help >/dev/null 2>&1; then # another libc
        bin=build-here
        pattern=. part "build" 200 build_here || return 1
    fi
    export device report bin
    export -f same_run verify sanitizer

    part "ops, every bit" 120 "$bin/test_ops" --device "$device"
    part "runs: encoder, decoder, LoRA, lm" 60 bash -c verify
    if [ -d ../shared/models/all-MiniLM-L6-v2 ]; then
        part "run: MiniLM" 60 bash -c 'same_run minilm "$@"' - --task rte --model ../shared/models/all-MiniLM-L6-v2 --data builtin --max-steps 8
    fi
    if [ -f "$tokenizer" ] && part "RoBERTa-large, random weights" 40 "$bin/make_roberta" "$roberta" "$tokenizer" $ROBERTA; then
        part "run: RoBERTa-large, 2 steps" 120 bash -c 'same_run large "$@"' - --task boolq --model "$roberta" --data builtin --max-steps 2 --batch 16 --max-len 128 --max-eval 8
        part "profile: RoBERTa-large" 30 "$bin/train_gpt" --task boolq --model "$roberta" --data builtin --device "$device" --seed 52 --max-steps 8 \
            --max-eval 8 --preds "$report/preds" --profile "$report/profile.json"
    fi
    part "steps: RoBERTa-large" 60 env SEEDBED_DEVICE="$device" "$bin/bench" roberta-large
    part "steps: small Llama, LoRA" 30 env SEEDBED_DEVICE="$device" "$bin/bench" lora
    part "ops, speed" 60 "$bin/test_ops" --device "$device" --mode perf
    for tool in memcheck racecheck initcheck synccheck; do
        part "sanitizer: $tool" 45 bash -c 'sanitizer "$@"' - $tool
    done
    part "ops, 1,000 times" 150 "$bin/test_ops" --device "$device" --repeat 1000 --mode test
    rm -rf "$roberta" "$report/preds"
    ! grep -qE '(FAILED|CUT OFF|SKIPPED)' "$report/table.txt"
}

# Layers and width of the large encoder; empty for RoBERTa-large's own.
ROBERTA=${ROBERTA:-}
case ${1:-} in
prepare) prepare ;;
*) check_device "$@" ;;
esac
