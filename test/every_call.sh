#!/bin/bash
# Lets one call of a tiny run fail, then the next one, for all that there are: memory, threads, reading, writing, files, folders;
# and kills it at every system call of a save. Each time: one line and its exit code, or the same result; what is under a final
# name is whole; the same command once more comes to the same bytes. test/every_call.sh [EVERY [COMMAND [CALL]]]: every EVERY-th
# call (1: all), of the commands and calls below whose names begin so. Closes with "N passed, N failed".
set -u
cd "$(dirname "$0")/.."
source test/common.bash
every=${1:-1} what=${2:-} which=${3:-}
programs="$(cd "${PROGRAMS:-.}" && pwd)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset SEEDBED_MODEL SEEDBED_DATA SEEDBED_DEVICE
export OMP_WAIT_POLICY=passive XDG_CACHE_HOME="$work/cache" FAULT_HIT="$work/hit"
passed=0 failed=0 offset=0
declare -A ends # how often each exit code came

skip() { echo "SKIPPED: $1; 0 passed, 0 failed"; exit 0; }
make_shim
[ "$(uname -m)" = x86_64 ] && make_tracer && "$work/faultsys" any 1 after sh -c : || tracer=none
[ "${tracer:-}" != none ] || echo "system calls are not let fail: this machine lets no program be followed"

fault() { # WHAT
    echo "FAILED: $name, $call $n $number: $1; $(tail -n 2 "$work/message")"
    failed=$((failed + 1))
}

# Whether two folders have the same files, of the same bytes but for what time and machine decide in logs; a lock may stay that
# could not be removed: nobody holds it.
same() { # FOLDER AS
    local locks=none
    [ $call != unlink ] || locks='*.lock'
    [ "$(cd "$1" && find . ! -name "$locks" | sort)" = "$(cd "$2" && find . | sort)" ] || return 1
    (cd "$2" && find . -type f ! -name '*.txt') | while read -r file; do
        case $file in
        *.jsonl) [ "$(plain_log "$1/$file")" = "$(plain_log "$2/$file")" ] || exit 1 ;;
        *) cmp -s "$1/$file" "$2/$file" || exit 1 ;;
        esac
    done
}

# One try: $command with a fault, in $work/run, which begins as $begin. Returns 1 where the call does not come.
try() {
    local status=0 left
    rm -rf "$work/run" "$work/hit"
    cp -r "$begin" "$work/run"
    if [ $by = tracer ]; then
        "$work/faultsys" $call $n $number "${command[@]}" >"$work/out" 2>"$work/err" || status=$?
    else
        FAULT="$call $n $number" LD_PRELOAD="$work/faultfs.so" "${command[@]}" >"$work/out" 2>"$work/err" || status=$?
    fi
    [ -e "$work/hit" ] || return 1
    grep -v '^NOTE\|^$' "$work/err" >"$work/message"
    ends[$status]=$((${ends[$status]:-0} + 1))
    case $status in
    "$success") ;;
    74 | 77) [ $number != 12 ] || { fault "$status for want of memory"; return; } ;;&
    137) [ $number = kill ] || { fault "killed"; return; } ;;
    65 | 66 | 69 | 71 | 73 | 74 | 77 | 78)
        grep -q "^[a-z_]*: " "$work/message" || [ $call = write ] || { fault "$status, and it says nothing"; return; }
        [ "$(grep -cv "^WARNING\|^libgomp\|^$also: " "$work/message")" -le 1 ] || { fault "$status, and more than one line"; return; }
        ;;
    *) fault "exit code $status"; return ;;
    esac
    if [ "$status" -eq "$success" ]; then
        same "$work/run" "$work/whole" || { fault "another result"; return; }
    else
        [ $number = kill ] || left=$(all_whole "$work/run" "$work/whole" 2>&1) || { fault "$status: $left"; return; }
        if ! diff -rq "$work/run" "$begin" >/dev/null; then
            "${command[@]}" >"$work/out" 2>"$work/message" || [ $? -eq "$success" ] || { fault "then exit code $?"; return; }
            same "$work/run" "$work/whole" || { fault "then another result"; return; }
        fi
    fi
    passed=$((passed + 1))
}

# all_of BY CALL FAULT...: every call, with each of these faults
all_of() {
    local by=$1 call=$2 number tries
    shift 2
    case $call in $which*) ;; *) return 0 ;; esac
    [ $by = shim ] || [ "${tracer:-}" != none ] || return 0
    for number in "$@"; do
        offset=$(((offset * 7 + 3) % 1009)) tries=0
        n=$((1 + offset % every))
        while try; do
            n=$((n + every)) tries=$((tries + 1))
        done
        [ $every -gt 1 ] || echo "$name: $call $number at $tries calls"
    done
}

# every_fault NAME SUCCESS COMMAND...: of one command, which writes into $work/run and exits with SUCCESS
every_fault() {
    name=$1 success=$2 also=
    [ $name != study ] || also=consistency # which it calls
    shift 2
    command=("$@")
    case $name in $what*) ;; *) return 0 ;; esac
    rm -rf "$work/run" "$work/whole"
    cp -r "$begin" "$work/run"
    "${command[@]}" >"$work/out" 2>"$work/message" || [ $? -eq "$success" ] ||
        { call=none n=0 number=0 fault "exit code $? without a fault"; return; }
    mv "$work/run" "$work/whole"
    all_of shim malloc 12
    all_of shim pthread_create 11
    all_of tracer read 5 short
    all_of tracer write 28 5 122 short
    all_of tracer open 5 12 24
    all_of tracer close 28
    all_of tracer fsync 5 28
    all_of tracer rename 5
    all_of tracer mkdir 28
    all_of tracer unlink 5
    all_of tracer stat 5
    all_of tracer access 5
    all_of tracer list 5
    all_of tracer mmap 12
    all_of tracer lock 37
}

# What the commands start from.
mkdir "$work/empty" "$work/trace"
begin="$work/empty"
for i in $(seq 8); do echo "word number $i,$((i % 2))"; done | cat <(echo text,label) - >"$work/own.csv"
train="$programs/train_gpt"
own=("$train" --task own --train-file "$work/own.csv" --dev-file "$work/own.csv" --quiet)
small=("${own[@]}" --batch 4 --epochs 1 --save-every 1steps --model "$work/base")
{
    "${own[@]}" --model tiny --epochs 0 --save "$work/base" --preds "$work/made"
    "${own[@]}" --model "$work/base" --lora --epochs 1 --save "$work/adapter" --preds "$work/made"
    for seed in 1 2 3; do
        "${own[@]}" --batch 4 --epochs 1 --model "$work/base" --seed $seed --preds "$work/preds" --trace "$work/trace/$seed.trace"
    done
} >/dev/null 2>"$work/message"
ls "$work/adapter/adapter_model.safetensors" "$work"/trace/* "$work"/preds/*.s3.bin >/dev/null || { cat "$work/message"; exit 1; }

every_fault train 0 "${small[@]}" --threads 2 --save "$work/run/model" --preds "$work/run"
every_fault adapter 0 "${small[@]}" --adapter "$work/adapter" --threads 1 --save "$work/run/model" --preds "$work/run"
every_fault merge 0 "$programs/merge" "$work/base" "$work/adapter" "$work/run/merged"
every_fault report 0 "$programs/consistency" --format json -o "$work/run/report.json" "$work"/preds/*.bin
# of text enough for its tokens to be kept (data/token_cache.c): how they are read
awk 'BEGIN {
    print "text,label"
    for (i = 0; i < 1100; i++) {
        line = "the rain fell ."
        for (j = 0; j < 60; j++) { line = line " the snow melted " i * j % 7 }
        print line "," i % 2
    }
}' >"$work/large.csv"
cached=("$train" --task own --train-file "$work/large.csv" --dev-file "$work/own.csv" --model "$work/base" --max-len 16 --max-steps 1 --quiet --threads 1)
case cached in $what*) "${cached[@]}" --preds "$work/made" >/dev/null 2>&1 ;; esac
every_fault cached 0 "${cached[@]}" --preds "$work/run"
every_fault html 0 "$programs/consistency" --format html -o "$work/run/report.html" "$work"/preds/*.bin
traces=("$work"/trace/*)
every_fault tracediff 1 "$programs/tracediff" "${traces[0]}" "${traces[1]}"
every_fault check 0 "$programs/check" "${traces[0]}" --step 1
every_fault study 0 "$train" study --tasks rte,cb --seeds 1,2 --max-train 8 --max-eval 8 --epochs 1 --model tiny --data builtin --quiet --out "$work/run/study"

# Going on: from the checkpoint of a run that was killed at its last step's.
"$work/faultsys" fsync 25 kill "${small[@]}" --epochs 2 --save "$work/run/model" --preds "$work/run" >/dev/null 2>&1
[ -d "$(echo "$work"/run/*.unfinished)" ] && mv "$work/run" "$work/begun" && begin="$work/begun" &&
    every_fault resume 0 "${small[@]}" --epochs 2 --threads 1 --save "$work/run/model" --preds "$work/run"

# kill -9 at every system call from the first checkpoint on: two checkpoints, an evaluation, predictions and the model.
begin="$work/empty"
killed() {
    name=kill success=0 also= command=("${small[@]}" --threads 1 --save "$work/run/model" --preds "$work/run")
    case $name in $what*) ;; *) return 0 ;; esac
    rm -rf "$work/run" "$work/whole"
    cp -r "$begin" "$work/run"
    "${command[@]}" >"$work/out" 2>&1
    mv "$work/run" "$work/whole"
    export FAULT_FROM=.unfinished
    all_of tracer any kill
    unset FAULT_FROM
}
killed

for status in $(printf '%s\n' "${!ends[@]}" | sort -n); do echo "exit code $status: ${ends[$status]} times"; done
echo "every call: $passed passed, $failed failed"
[ $failed -eq 0 ]
