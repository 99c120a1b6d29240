#!/usr/bin/env python3
"""Makes the folders of this folder whose tokenizer has files beside it, and their cases as transformers reads them
(pip install transformers, made with 5.24):

    python3 test/tokenizers/make_side.py

A line of cases.jsonl is a text, its ids and its ids in the template ("special"), or a pair with its ids and types.
"""
import json
import os
import random
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
from transformers import AutoTokenizer

HERE = Path(__file__).resolve().parent
WORDS = """[PAD] [UNK] [CLS] [SEP] [MASK] the a river boat ##s ##man Boat River run ran ##ning é cafe café É ##é ##e 山 水 山水 ##水
. , - un ##der i o A B ##b b x Ä ##x ##山 straße ss ı 𝅱\u302e""".split()
BYTES = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
SYMBOL = {b: chr(b) for b in BYTES} | {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in BYTES)}
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] + [SYMBOL[b] for b in range(256)]
MERGES = ["t h", "th e", "\u0120 t", "\u0120t h", "\u0120th e", "r i", "v e", "ri ve", "rive r", "\u0120 r", "\u0120r i"]
for m in MERGES:
    piece = m.replace(" ", "")
    if piece not in PIECES:
        PIECES.append(piece)


def added(content, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": True, **flags}


def wordpiece(normalizer, tokens):
    post = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": i, **t} for i, t in tokens], "decoder": None, "post_processor": post,
            "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                           "strip_accents": None, "lowercase": True, **normalizer},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": {w: i for i, w in enumerate(WORDS)}}}


def byte_level(prefix, tokens):
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": i, **t} for i, t in tokens], "decoder": None, "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": True},
            "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
                               "trim_offsets": True, "add_prefix_space": prefix},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                      "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": {p: i for i, p in enumerate(PIECES)}, "merges": MERGES}}


N, M = len(WORDS), len(PIECES)
BERT = [(i, added(WORDS[i])) for i in range(5)]
BPE = [(i, added(PIECES[i], lstrip=i == 4)) for i in range(5)]
decoder = lambda tokens: {str(i): t for i, t in tokens}
VOCAB = {"vocab.txt": "\n".join(WORDS) + "\n"}
PAIR = {"vocab.json": {p: i for i, p in enumerate(PIECES)}, "merges.txt": "#version: 0.2\n" + "\n".join(MERGES) + "\n"}
bert = lambda config, files=VOCAB, **more: {"config.json": {"model_type": "bert"}, "tokenizer_config.json": config,
                                            **files, **more}
roberta = lambda config, files=PAIR, **more: {**bert(config, files, **more), "config.json": {"model_type": "roberta"}}
LLAMA2 = {"tokenizer.json": json.loads((HERE / "llama2/tokenizer.json").read_text())}
llama = lambda config: {**bert(config, LLAMA2), "config.json": {"model_type": "llama"}}

FOLDERS = {
    "bert-cased": bert({"tokenizer_class": "BertTokenizer", "do_lower_case": False}),
    "bert-cased-strip": bert({"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False,
                              "model_max_length": int(1e30)},
                             {"tokenizer.json": wordpiece({}, BERT)}),
    "bert-lower-accents": bert({"strip_accents": False, "split_special_tokens": True}),
    "bert-as-filed": bert({"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True,
                           "model_input_names": ["input_ids", "token_type_ids"]},
                          {"tokenizer.json": wordpiece({"lowercase": False, "strip_accents": False}, BERT + [
                              (N, added("River run", normalized=True, single_word=True, special=False)),
                              (N + 1, added("AB", single_word=True, lstrip=True)),
                              (WORDS.index("É"), added("É", normalized=True, rstrip=True))])}),
    "bert-as-filed-strip": bert({"tokenizer_class": "TokenizersBackend"},
                                {"tokenizer.json": wordpiece({"lowercase": False, "strip_accents": True,
                                                              "handle_chinese_chars": False}, BERT)}),
    "bert-class-over-file": bert({}, {"tokenizer.json": wordpiece({"lowercase": False, "handle_chinese_chars": False},
                                                                  BERT)}),
    "bert-added": bert({"additional_special_tokens": ["<name>"]},
                       **{"added_tokens.json": {"zebra fish": N + 1, "<name>": N, "Ärger": N + 2},
                          "special_tokens_map.json": {"mask_token": added("[MASK]", lstrip=True), "sep_token": "x"}}),
    "bert-decoder": bert({"added_tokens_decoder": decoder(BERT + [(N, added("zebra", normalized=True, special=False)),
                                                                  (7, added("river", single_word=True))]),
                          "cls_token": "<new>"},
                         **{"added_tokens.json": {"not read": 5}}),
    "bert-own-names": bert({"extra_special_tokens": {"image_token": "zebra"}, "additional_special_tokens": ["QQ"],
                            "video_token": {"__type": "AddedToken", **added("river", single_word=True)}, "eos_token": "AB",
                            "sound_token": added("boat"), "cls_token": {"__type": "AddedToken", **added("AB", lstrip=True)}},
                           **{"special_tokens_map.json": {"text_token": added("running", rstrip=True), "video_token": "boats"}}),
    "bert-older-lists": bert({"extra_special_tokens": [], "mask_token": {"__type": "AddedToken", **added("<new>")}},
                             **{"added_tokens.json": {"<name>": N, "Ärger": N + 1, "<new>": N + 2},
                                "special_tokens_map.json": {"additional_special_tokens": ["Ärger", "zebra"]}}),
    "bert-map-list": bert({"extra_special_tokens": {"image_token": "zebra"}},
                          **{"added_tokens.json": {"Ärger": N},
                             "special_tokens_map.json": {"additional_special_tokens": ["Ärger", "QQ", "ABc"]}}),
    "bert-vocab-lines": bert({}, {"vocab.txt": "\r\n".join(WORDS[:9] + ["", "the \u00a0", "", "[MASK]"] + WORDS[9:])}),
    "roberta-prefix": roberta({"add_prefix_space": True, "added_tokens_decoder": decoder(BPE + [
        (M, added("the end", special=False, normalized=True, rstrip=True)), (M + 1, added("QQ", lstrip=True))])}),
    "roberta-no-flags": roberta({"add_bos_token": True}),
    "roberta-class-over-file": roberta({"mask_token": "the", "cls_token": "<pad>"},
                                       {"tokenizer.json": byte_level(True, BPE)}),
    "bytes-as-filed": roberta({"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False,
                               "add_bos_token": True}, {"tokenizer.json": byte_level(True, BPE)}),
    "gpt2-ends": roberta({"tokenizer_class": "GPT2Tokenizer", "bos_token": "<s>", "eos_token": "</s>",
                          "unk_token": "<unk>", "add_bos_token": True, "add_eos_token": True}),
    "llama-first": llama({"tokenizer_class": "LlamaTokenizer", "add_bos_token": False}),
    "llama-legacy": llama({"tokenizer_class": "LlamaTokenizerFast", "legacy": True}),
    "llama-no-prefix": llama({"tokenizer_class": "LlamaTokenizer", "add_prefix_space": False}),
}

PARTS = ["the river", "River run", "Boatman", "boats", "BOAT", "running", "café", "CAFÉ", "É", "é", "e\u0301", "山水", "山", " ",
         "  ", "\t", "\n", "\u00a0", ".", ",", "-", "_", "[MASK]", "[SEP]", "[sep]", "<mask>", "<s>", "</s>", "<pad>",
         "zebra", "ZEBRA", "zebras", "zebra fish", "<name>", "<new>", "Ärger", "ärger", "AB", "ABc", "the end", "QQ", "İ",
         "Straße", "ẞ", "\ufeff", "\u200d", "각", "豈", "not read", "x", "<unk>", "\u0327\u0301", "Σς", "😀", "AB.", " \u302e\U0001d171 "]


def text(rng):
    return "".join(rng.choice(PARTS) + rng.choice(["", "", " "]) for _ in range(rng.randint(0, 8)))


for name, files in FOLDERS.items():
    folder, rng = HERE / name, random.Random(name)
    folder.mkdir(exist_ok=True)
    for file, content in files.items():
        content = content if isinstance(content, str) else json.dumps(content, indent=None if "json" in file else 1) + "\n"
        (folder / file).write_bytes(content.encode())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with open(folder / "cases.jsonl", "w") as cases:
        for _ in range(60):
            t = text(rng)
            cases.write(json.dumps({"text": t, "ids": tokenizer(t, add_special_tokens=False)["input_ids"],
                                    "special": tokenizer(t)["input_ids"]}) + "\n")
        for _ in range(10):
            a, b = text(rng), text(rng)
            pair = tokenizer([(a, b)])
            ids = pair["input_ids"][0]
            cases.write(json.dumps({"a": a, "b": b, "ids": ids,
                                    "type_ids": pair.get("token_type_ids", [[0] * len(ids)])[0]}) + "\n")
    print(name, type(tokenizer).__name__, len(tokenizer))
