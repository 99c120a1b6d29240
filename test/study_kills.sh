#!/bin/bash
# Kills a study of twelve tasks and three seeds twenty times, at random moments and by TERM, INT and KILL in turn, starting
# it again each time; then lets it end and compares every file with those of a study that was never stopped.
# Closes with "N passed, N failed".
set -u
cd "$(dirname "$0")/.."
train=${PROGRAMS:-.}/train_gpt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset SEEDBED_MODEL SEEDBED_DATA
study=("$train" study --tasks paper --seeds 42,52,62 --max-train 200 --model tiny --data builtin --quiet)
passed=0 failed=0

begin=$SECONDS
"${study[@]}" --out "$work/study" >"$work/out" 2>&1 || { cat "$work/out"; echo "study: 0 passed, 1 failed"; exit 1; }
echo "36 runs and their tables in $((SECONDS - begin)) s"
mv "$work/study" "$work/whole"

signals=(KILL TERM INT)
for i in $(seq 20); do
    done=$(ls "$work/study/preds" 2>/dev/null | grep -c '\.bin$')
    "${study[@]}" --out "$work/study" >"$work/out" 2>&1 &
    pid=$!
    for _ in $(seq 600); do # one or two runs further, so that twenty kills meet all of the study
        [ "$(ls "$work/study/preds" 2>/dev/null | grep -c '\.bin$')" -le $((done + RANDOM % 2)) ] || break
        sleep 0.05
    done
    sleep 0.$((RANDOM % 10))
    kill -"${signals[i % 3]}" $pid 2>/dev/null
    code=0
    wait $pid 2>/dev/null || code=$?
    case $code in
    75 | 137) passed=$((passed + 1)) ;;
    *) failed=$((failed + 1)) && echo "kill $i by ${signals[i % 3]}: exit code $code" && cat "$work/out" ;;
    esac
    echo "kill $i by ${signals[i % 3]} with $(ls "$work/study/preds" | grep -c '\.bin$') runs finished"
done 2>/dev/null

"${study[@]}" --out "$work/study" >"$work/out" 2>&1 && passed=$((passed + 1)) || { failed=$((failed + 1)) && cat "$work/out"; }
for file in "$work"/whole/preds/*.bin "$work"/whole/{study.json,table1.md,table1.csv,audit.md,report.json}; do
    if cmp "$file" "$work/study/${file#"$work"/whole/}"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
for left in claims preds; do # no claim, no temporary file
    if [ -z "$(ls -A "$work/study/$left" | grep -v '\.bin$\|\.jsonl$')" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1)) && ls -A "$work/study/$left"
    fi
done
echo "study: $passed passed, $failed failed"
[ $failed -eq 0 ]
