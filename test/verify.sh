#!/bin/sh
# Trains the built-in demonstration, a tiny decoder, adapters, language models and dtypes, and compares digests of their weights,
# tensor by tensor, of their predictions, of every op's outputs in step 1 and of each step with docs/digests; names the
# first op, or the first step, that differs. They must be the same on every machine. --update writes
# the file anew.
set -u
cd "$(dirname "$0")/.."
program=${PROGRAMS:-.}/train_gpt
build=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "verify: $1" >&2
    exit 1
}

# train NAME OPTIONS: digests of one run, each line beginning with NAME
train() {
    name=$1
    shift
    "$program" "$@" --seed 52 --quiet --preds "$work/$name.preds" --save "$work/$name" --trace "$work/$name.trace" \
        --trace-level outputs >/dev/null 2>"$work/message" ||
        fail "training $name failed with exit code $?: $(grep -v ^NOTE "$work/message")"
    "$build/digests" "$work/$name.trace" | sed "s/^/$name /"
    for file in "$work/$name"/*.safetensors; do
        "$build/digests" "$file" | sed "s/^/$name /"
    done
    for file in "$work/$name.preds"/*.bin; do # a language model writes none
        [ ! -e "$file" ] || "$build/digests" "$file" | sed "s/^/$name predictions /"
    done
}

"$build/make_llama" "$work/model" 48 >/dev/null || fail "no tiny decoder could be made"
i=0
while [ $((i += 1)) -le 150 ]; do
    echo "Row $i holds $((i * i % 97)) beans, and $((i * 7 % 13)) of them are green."
    [ $((i % 10)) -ne 0 ] || echo
done >"$work/beans.txt"
# widths, batches and ranks that fill no vector; every adapter; micro-batches; all schedules
small="--max-train 90 --max-eval 70"
{
    for task in boolq copa stsb; do
        train $task --task $task --model tiny --data builtin --epochs 2
    done
    train tiny-lora --task wic --model tiny --data builtin $small --epochs 2 --lora --lora-targets all --lora-dropout 0.1 --batch 9
    train llama --task rte --model "$work/model" --data builtin $small --epochs 2 --dropout 0.1 --schedule cosine --micro-batch 5
    train llama-copa --task copa --model "$work/model" --data builtin $small --epochs 1 --clip 0.1
    train llama-lora --task stsb --model "$work/model" --data builtin $small --epochs 2 --lora --lora-targets all --lora-r 3 --lora-dropout 0.1
    train lm --task lm --model "$work/model" --data "$work/beans.txt" --max-len 100 --epochs 2 --batch 3 --schedule constant --lr 1e-3
    # each dtype of products; CPUs alone have the last one
    train block16 --task rte --model tiny --data builtin --max-train 30 --max-eval 10 --epochs 1 --dtype bf16-block16 --micro-batch 5
    train block8 --task rte --model "$work/model" --data builtin --max-train 30 --max-eval 10 --epochs 1 --dtype bf16-block8 --lora --lora-targets all
    train tile --task lm --model "$work/model" --data "$work/beans.txt" --max-len 100 --epochs 1 --batch 3 --dtype bf16-tile --device cpu
    train lm-lora --task lm --model "$work/model" --data "$work/beans.txt" --max-len 100 --epochs 2 --batch 7 --lora --lr 1e-3
} >"$work/digests" || exit 1
if [ "${1:-}" = --update ]; then
    cp "$work/digests" docs/digests
    echo "verify: wrote docs/digests"
    exit 0
fi
if cmp -s "$work/digests" docs/digests; then
    echo "verify: $(wc -l <docs/digests) digests of weights and predictions are the same"
else
    line=$(diff docs/digests "$work/digests" | sed -n 's/^[<>] //p' | head -n 1)
    name=${line%% *}
    sed -n "s/^$name //p" docs/digests >"$work/expected"
    echo "verify: DIFFERENT: $(diff docs/digests "$work/digests" | grep -c '^>') of $(wc -l <docs/digests) digests"
    where=$("$build/digests" "$work/$name.trace" "$work/expected")
    [ -n "$where" ] || where=${line#* } where="what it wrote, not in a step: ${where% *}"
    echo "verify: $name differs first in $where"
    exit 1
fi
