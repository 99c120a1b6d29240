"""PyTorch beside build/bench roberta-large: training steps of the same shape on batches of the same lengths, in float32, TF32 and
bf16 (autocast), padded to 128 tokens and to the longest sequence of the batch. torch_steps.py [LAYERS WIDTH]
Needs torch and transformers."""

import sys
import time

import torch
from transformers import RobertaConfig, RobertaForSequenceClassification

from peer import MRPC

BATCH, BATCHES, LONGEST = 16, 4, 128

layers, width = (int(x) for x in sys.argv[1:3]) if len(sys.argv) > 2 else (24, 1024)
gpu = torch.cuda.is_available()
device = "cuda" if gpu else "cpu"


def batch_of(number, lengths, padded_to):
    rows = torch.full((BATCH, padded_to), 1)
    mask = torch.zeros((BATCH, padded_to), dtype=torch.long)
    for b, length in enumerate(lengths):
        rows[b, :length] = torch.tensor([4 + ((b * LONGEST + i) * 7919 + number) % 50000 for i in range(length)])
        mask[b, :length] = 1
    return {"input_ids": rows.to(device), "attention_mask": mask.to(device), "labels": (torch.arange(BATCH) % 2).to(device)}


def wait():
    if gpu:
        torch.cuda.synchronize()


def measure(precision, name, batches, tokens):
    torch.manual_seed(42)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "TF32"
    config = RobertaConfig(vocab_size=50265, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
                           num_attention_heads=width // 64, max_position_embeddings=514, type_vocab_size=1, num_labels=2)
    model = RobertaForSequenceClassification(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1, fused=gpu)
    best, of = float("inf"), 0
    for step in range(BATCHES * (6 if gpu else 1)):
        i = step % BATCHES
        wait()
        start = time.perf_counter()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = model(**batches[i]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        wait()
        seconds = time.perf_counter() - start
        if step >= (BATCHES if gpu else 1) and (of == 0 or seconds / tokens[i] < best / of):
            best, of = seconds, tokens[i]
    print(f"PyTorch {precision}, batch {BATCH}, {name}: {of / best:.0f} tokens/s, {1e3 * best:.1f} ms", flush=True)


print(f"torch {torch.__version__} on {torch.cuda.get_device_name() if gpu else 'cpu'}", flush=True)
groups = [MRPC[i * BATCH:(i + 1) * BATCH] for i in range(BATCHES)]
full = [LONGEST] * BATCH
kinds = [("128 tokens, padded", [batch_of(i, full, LONGEST) for i in range(BATCHES)], [BATCH * LONGEST] * BATCHES),
         ("MRPC's lengths, padded to the longest", [batch_of(i, g, max(g)) for i, g in enumerate(groups)], [sum(g) for g in groups]),
         ("MRPC's lengths, padded to 128", [batch_of(i, g, LONGEST) for i, g in enumerate(groups)], [sum(g) for g in groups])]
for precision in ("float32", "TF32", "bf16"):
    for name, batches, tokens in kinds:
        measure(precision, name, batches, tokens)
