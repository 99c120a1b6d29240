"""Adapters made here, loaded by PEFT: python3 test/check_peft.py MODEL ADAPTER MERGED PREDS.bin CB_DEV.jsonl

Compares the logits in a prediction file of CB with those of PEFT on the base model, and of transformers on the merged
folder. Both run in float32; a pass through a model of a few layers is off by less than 1e-4 of the largest logit.
Exit code 77 where torch, transformers or peft are not installed."""
import json
import sys

try:
    import torch
    from peft import PeftModel
    from safetensors.numpy import load_file
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

model_folder, adapter, merged_folder, preds, data = sys.argv[1:]
truth = torch.tensor(load_file(preds)["logits"])
tokenizer = AutoTokenizer.from_pretrained(model_folder)
decoder = json.load(open(f"{model_folder}/config.json"))["model_type"] == "llama"
base = AutoModelForSequenceClassification.from_pretrained(model_folder, num_labels=truth.shape[1], dtype=torch.float32)
adapted = PeftModel.from_pretrained(base, adapter).eval()
merged = AutoModelForSequenceClassification.from_pretrained(merged_folder).float().eval()
passed = failed = 0
for name, model in (("PEFT", adapted), ("merged", merged)):
    worst, compared = 0.0, 0
    for row, line in zip(truth, open(data, encoding="utf-8")):
        example = json.loads(line)
        if decoder:
            inputs = tokenizer(f"Premise: {example['premise']} Hypothesis: {example['hypothesis']}", return_tensors="pt")
            if inputs["input_ids"].shape[1] > 512:  # cut part by part here, which transformers does not do
                continue
        else:
            inputs = tokenizer(example["premise"], example["hypothesis"], return_tensors="pt", truncation=True, max_length=512)
        with torch.no_grad():
            logits = model(**inputs).logits[0]
        compared += 1
        worst = max(worst, float((logits - row).abs().max()))
    tolerance = 1e-4 * float(truth.abs().max())
    ok = worst <= tolerance and compared >= len(truth) // 2
    passed, failed = passed + ok, failed + (not ok)
    print(f"{'ok' if ok else 'FAILED'}: {name}: {compared} of {len(truth)} examples, largest difference {worst:.2g} (tolerance {tolerance:.2g})")
print(f"peft: {passed} passed, {failed} failed")
sys.exit(failed > 0)
