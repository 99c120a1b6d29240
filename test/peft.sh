#!/bin/sh
# test/peft.sh MODEL DATA: trains adapters on CB, merges them, and lets PEFT and transformers load both. Ends with 77
# where Python lacks them.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
"$python" -c 'import torch, transformers, peft' 2>/dev/null || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$PROGRAMS/train_gpt" --model "$1" --data "$2" --task cb --lora --lora-targets all --lora-r 4 --rslora --lr 2e-3 --epochs 1 \
    --max-len 512 --max-train 48 --max-eval 24 --quiet --preds "$work/preds" --save "$work/adapter" >/dev/null
"$PROGRAMS/merge" "$1" "$work/adapter" "$work/merged" >/dev/null
HF_HUB_OFFLINE=1 "$python" test/check_peft.py "$1" "$work/adapter" "$work/merged" "$work"/preds/*.bin "$2/superglue/CB/val.jsonl"
