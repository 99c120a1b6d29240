"""Reads and tokenizes what build/bench_tokenizer does, with Hugging Face's tokenizers: TOKENIZER TASK FILE [THREADS].
Without offsets (encode_batch_fast). Prints the same line; the SHA-256 of the ids must be equal. TASK: qqp, mnli or boolq in the official form."""
import hashlib
import json
import os
import sys
import time

folder, task, path = sys.argv[1:4]
threads = sys.argv[4] if len(sys.argv) > 4 else "1"
os.environ["RAYON_NUM_THREADS"] = os.environ["RAYON_RS_NUM_CPUS"] = threads
os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads != "1" else "false"
import numpy
from tokenizers import BertWordPieceTokenizer, Tokenizer

fields = {"qqp": ("question1", "question2"), "mnli": ("sentence1", "sentence2"), "boolq": ("question", "passage")}[task]
if os.path.exists(f"{folder}/tokenizer.json"):
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
else:
    tokenizer = BertWordPieceTokenizer(f"{folder}/vocab.txt")._tokenizer
tokenizer.no_padding()
tokenizer.enable_truncation(512, strategy="only_second" if task == "boolq" else "longest_first")


def seconds():
    return time.monotonic(), time.process_time()


def rows():
    if path.endswith(".jsonl"):
        with open(path, encoding="utf8") as file:
            for line in file:
                row = json.loads(line)
                yield row[fields[0]], row[fields[1]]
        return
    with open(path, encoding="utf8", newline="\n") as file:
        header = file.readline().rstrip("\n").split("\t")
        a, b = (header.index(f) for f in fields)
        for line in file:
            row = line.rstrip("\n").split("\t")
            if len(row) == len(header):
                yield row[a], row[b]


start = seconds()
pairs = list(rows())
read = seconds()
least = None
for _ in range(2):
    begin = seconds()
    encoded = tokenizer.encode_batch_fast(pairs)
    end = seconds()
    took = end[0] - begin[0], end[1] - begin[1]
    least = took if least is None else min(least, took)
    begin = seconds()
    ids = [e.ids for e in encoded]
    end = seconds()
digest = hashlib.sha256()
for one in ids:
    digest.update(numpy.array(one, dtype=numpy.int32).tobytes())
print(f"{folder} {task}: read {read[0] - start[0]:.3f} s, tokenize {least[0]:.3f} s ({least[1]:.3f} s of processors), "
      f"to lists {end[0] - begin[0]:.3f} s, {len(pairs)} examples, {sum(map(len, ids))} tokens, ids {digest.hexdigest()[:16]}")
