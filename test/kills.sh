#!/bin/bash
# Kills runs at random moments (SIGKILL, now and then SIGTERM), starts them again, and compares what they end with with a run
# that was never stopped: predictions, models and logs, byte for byte. test/kills.sh [KILLS [SEED]]: 100 in all, in five kinds
# of runs. Closes with "N passed, N failed".
set -u
cd "$(dirname "$0")/.."
source test/common.bash
kills=${1:-100}
RANDOM=${2:-$$}
train="$(cd "${PROGRAMS:-.}" && pwd)/train_gpt"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset SEEDBED_MODEL SEEDBED_DATA SEEDBED_DEVICE
export OMP_WAIT_POLICY=passive
passed=0 failed=0 run=
fault() { # WHAT: in the run of this kind
    echo "FAILED: $1: $run"
    failed=$((failed + 1))
}

# Whether $work/runs has what $work/whole has, and nothing else.
same() {
    [ "$(cd "$work/runs" && find . | sort)" = "$(cd "$work/whole" && find . | sort)" ] &&
        [ "$(log_of "$work/runs")" = "$(log_of "$work/whole")" ] || return 1
    (cd "$work/whole" && find . -type f ! -name '*.jsonl') | while read -r name; do
        cmp "$work/whole/$name" "$work/runs/$name" || exit 1
    done
}

# run_into FOLDER: $run
run_into() {
    $run --preds "$work/$1" --save "$work/$1/model" --quiet >/dev/null 2>"$work/err"
}

# Kills this kind of run so many times; every end that it comes to is compared.
kill_it() {
    local left=$1 code began ended
    began=$(date +%s%N)
    rm -rf "$work/whole" "$work/runs"
    run_into whole || { fault "exit code $?: $(tail -n 1 "$work/err")"; return; }
    ended=$(date +%s%N)
    local ms most=$(((ended - began) / 1000000))
    echo "$most ms: ${run#* }"
    while :; do
        $run --preds "$work/runs" --save "$work/runs/model" --quiet >/dev/null 2>"$work/err" &
        if [ "$left" -gt 0 ]; then
            ms=$((RANDOM * 32768 + RANDOM)) ms=$((ms % (most / 2) + 1))
            sleep "$((ms / 1000)).$(printf '%03d' $((ms % 1000)))"
            kill -$((RANDOM % 8 ? 9 : 15)) $! 2>/dev/null
        fi
        code=0
        wait $! 2>/dev/null || code=$?
        case $code in
        0)
            if same; then passed=$((passed + 1)); else fault "other files"; fi
            [ "$left" -gt 0 ] || break
            rm -rf "$work/runs"
            ;;
        75 | 137) left=$((left - 1)) ;; # it was not too late
        *) fault "exit code $code: $(tail -n 1 "$work/err")" && break ;;
        esac
    done
}

"${BUILD:-build}/make_llama" "$work/llama" >/dev/null
mkdir -p "$work/data/MNLI"
for file in train dev_matched dev_mismatched; do
    printf 'sentence1\tsentence2\tgold_label\n' >"$work/data/MNLI/$file.tsv"
    for i in $(seq 64); do
        printf 'a cat %d\ta dog\tneutral\na cat %d\tan animal\tentailment\na cat\tno cat %d\tcontradiction\n' $i $i $i
    done >>"$work/data/MNLI/$file.tsv"
done
short="--data builtin --batch 8 --save-every 20steps --threads 1"
kinds=("--task rte --model tiny $short --max-train 256 --epochs 12 --select best"
    "--task cb --model tiny $short --max-train 64 --lora --lora-dropout 0.1 --epochs 8 --eval-every 7steps --epoch-preds"
    "--task rte --model $work/llama $short --max-train 128 --recompute --epochs 4"
    "--task rte --model tiny $short --max-train 128 --epochs 6 --seeds 4,5,6"
    "--task mnli --model tiny --data $work/data --batch 8 --save-every 20steps --threads 1 --epochs 20 --select half --patience 15 --eval-every 11steps")
echo "kills.sh: $kills kills, seed ${2:-$$}"
for i in "${!kinds[@]}"; do
    run="$train ${kinds[i]}"
    kill_it $(((kills + i) / ${#kinds[@]}))
done
echo "kills: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
