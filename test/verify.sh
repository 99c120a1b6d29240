#!/bin/sh
# Trains the built-in demonstration and compares digests of its weights, tensor by tensor, and of its predictions with
# docs/digests. They must be the same on every machine. --update writes the file anew.
set -u
cd "$(dirname "$0")/.."
program=${PROGRAMS:-.}/train_gpt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for task in boolq copa stsb; do
    "$program" --task $task --seed 52 --model tiny --data builtin --epochs 2 --quiet --preds "$work/preds" --save "$work/$task" \
        >/dev/null 2>&1 || { echo "verify: training $task failed with exit code $?"; exit 1; }
    "${BUILD:-build}/digests" "$work/$task/model.safetensors" | sed "s/^/$task /"
    "${BUILD:-build}/digests" "$work"/preds/*.$task.*.bin | sed "s/^/$task predictions /"
done >"$work/digests"
if [ "${1:-}" = --update ]; then
    cp "$work/digests" docs/digests
    echo "verify: wrote docs/digests"
    exit 0
fi
if cmp -s "$work/digests" docs/digests; then
    echo "verify: $(wc -l <docs/digests) digests of weights and predictions are the same"
else
    first=$(diff docs/digests "$work/digests" | sed -n 's/^[<>] //p' | head -n 1)
    echo "verify: DIFFERENT: $(diff docs/digests "$work/digests" | grep -c '^>') of $(wc -l <docs/digests) digests; first: $first"
    exit 1
fi
