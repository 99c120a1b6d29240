#!/usr/bin/env python3
"""Makes the tokenizers of this folder and their cases with the reference library (pip install tokenizers):

    python3 test/tokenizers/make.py

Small vocabularies from the project's own documents, each with a pre-tokenizer that Llama-like models have. A line of
cases.jsonl is a text, its ids, its ids in the template ("special") and, where the text goes on behind another one,
"continues": the ids that a tokenizer gives which never puts a space in front.
"""
import copy
import json
import random
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

HERE = Path(__file__).resolve().parent
CORPUS = [line for name in ("README.md", "docs/TASKS.md", "docs/MODELS.md")
          for line in (HERE / "../.." / name).read_text().splitlines()]
SPACE = "\u2581"
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}


def trained(pre_tokenizer, size, alphabet):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet,
                                                              limit_alphabet=80, show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    return [w for w, _ in sorted(model["vocab"].items(), key=lambda item: item[1])], model["merges"]


def write(name, tokens, merges, normalizer, pre_tokenizer, special, **model):
    start = special[0]
    one = [{"SpecialToken": {"id": start, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    return name, {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": tokens.index(t), "content": t, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for t in special],
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "decoder": None,
        "post_processor": {"type": "TemplateProcessing", "single": one,
                           "pair": one + [{"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {start: {"id": start, "ids": [tokens.index(start)], "tokens": [start]}}},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {t: i for i, t in enumerate(tokens)}, "merges": merges, **model}}


def tokenizers():
    words, merges = trained(pre_tokenizers.Metaspace(), 160, ["é", SPACE])
    special = ["<s>", "</s>", "<unk>"]
    tokens = special + [f"<0x{b:02X}>" for b in range(256)] + words + [2 * SPACE, 4 * SPACE]
    merges = merges + [[SPACE, SPACE], [2 * SPACE, 2 * SPACE]]
    llama2 = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    prepend = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, REPLACE]}
    metaspace = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": False}
    yield write("llama2", tokens, merges, prepend, None, special, **llama2)
    yield write("replace", tokens, merges, REPLACE, None, special, **llama2)
    yield write("metaspace-first", tokens, merges, None, metaspace, special, **llama2)
    yield write("metaspace-split", tokens, merges, None, {**metaspace, "prepend_scheme": "always", "split": True}, special,
                ignore_merges=True, **llama2)
    for individual in (True, False):
        digits = [pre_tokenizers.Digits(individual), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        words, merges = trained(pre_tokenizers.Sequence(digits), 200, [])
        yield write("digits-each" if individual else "digits-runs", ["<|endoftext|>"] + words, merges, None,
                    json.loads(pre_tokenizers.Sequence(digits).__getstate__()), ["<|endoftext|>"],
                    unk_token=None if individual else "<|endoftext|>")


def texts():
    draw = random.Random(42)
    words = [w for line in CORPUS for w in line.split()]
    odd = ["é", SPACE, 2 * SPACE, "  ", "   ", "\n", "\t", "\u00a0", "中文", "😀", "<s>", "</s>", "<unk>", "<0x0A>",
           "<|endoftext|>", SPACE + "a", " ", "ß", "\x00", "\u3000", "e\u0301", "<s", "s>", "١٢", "1987", "3.14", "x2y"]
    yield from ("", " ", SPACE, "  ", "a", " a", "  a", "<s>a", "<s> a", "a<s>")
    for _ in range(120):
        yield "".join(draw.choice(["", " ", " ", "  "]) + draw.choice(words if draw.random() < 0.6 else odd)
                      for _ in range(draw.randint(1, 8)))


def never(tokenizer):
    """The same without a space in front."""
    other = copy.deepcopy(tokenizer)
    if (other["pre_tokenizer"] or {}).get("type") == "Metaspace":
        other["pre_tokenizer"]["prepend_scheme"] = "never"
    if (other["normalizer"] or {}).get("type") == "Sequence":
        other["normalizer"] = REPLACE
    return Tokenizer.from_str(json.dumps(other))


for name, tokenizer in tokenizers():
    (HERE / name).mkdir(exist_ok=True)
    (HERE / name / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False) + "\n")
    reference, plain = Tokenizer.from_str(json.dumps(tokenizer)), never(tokenizer)
    with open(HERE / name / "cases.jsonl", "w") as cases:
        for text in texts():
            case = {"text": text, "ids": reference.encode(text, add_special_tokens=False).ids,
                    "special": reference.encode(text).ids}
            if not any(token in text for token in ("<s>", "</s>", "<unk>")):
                case["continues"] = plain.encode(text, add_special_tokens=False).ids
            cases.write(json.dumps(case, ensure_ascii=False) + "\n")
