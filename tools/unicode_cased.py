#!/usr/bin/env python3
"""Makes data/unicode_cased.c: what BERT's normalizer does without lower case or without stripping accents, and which
characters the flag single_word of an added token takes for parts of words, probed from the reference library on every
code point: python3 tools/unicode_cased.py > data/unicode_cased.c (needs tokenizers, made with 0.23.3)."""
from tokenizers import AddedToken, Tokenizer, models, normalizers

CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def normal(lower, strip, cjk):
    n = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=cjk, strip_accents=strip, lowercase=lower)
    return {c: n.normalize_str(chr(c)) for c in CODES}


def write(name, rows):
    """rows: (code, value) in order; neighbours of one value become one range"""
    ranges = []
    for code, value in rows:
        if ranges and ranges[-1][1] == code - 1 and ranges[-1][2] == value:
            ranges[-1][1] = code
        else:
            ranges.append([code, code, value])
    print(f"const UnicodeRange {name}[] = {{")
    for i in range(0, len(ranges), 4):
        print(" ".join("{0x%04X, 0x%04X, %d}," % tuple(r) for r in ranges[i:i + 4]))
    print(f"}};\nconst int {name}_count = {len(ranges)};\n")


plain, lower = normal(False, False, False), normal(True, False, False)
padded, stripped, uncased = normal(False, False, True), normal(False, True, True), normal(True, True, True)

words = Tokenizer(models.WordLevel({"ab": 0, "?": 1}, unk_token="?"))
words.add_tokens([AddedToken("ab", single_word=True, normalized=False)])

print("/* Made by tools/unicode_cased.py; do not edit. Ranges of code points and their values: see\n * unicode.h. */")
print('#include "unicode.h"\n')
clean = {"": ord("D"), " ": ord("S")}
write("unicode_clean", [(c, clean[plain[c]] if plain[c] in clean else ord("C")) for c in CODES
                        if c != 32 and (plain[c] in clean or padded[c] != plain[c])])
write("unicode_lower", [(c, ord(lower[c][0]) - c) for c in CODES
                        if plain[c] == chr(c) and lower[c] != plain[c] and len(lower[c]) == 1])
odd = [c for c in CODES if plain[c] not in clean and len(lower[c]) != 1]
assert odd == [0x130] and lower[0x130] == "i\u0307", odd
table, rows = [], []
for c in CODES:
    if stripped[c] != uncased[c] and stripped[c] == chr(c):
        rows.append((c, 0))
    elif stripped[c] != uncased[c]:
        rows.append((c, len(table) << 8 | len(stripped[c])))
        table += [ord(x) for x in stripped[c]]
write("unicode_cased", rows)
print("const unsigned unicode_cased_codes[] = {")
for i in range(0, len(table), 10):
    print(" ".join("0x%04X," % x for x in table[i:i + 10]))
print("};\n")
write("unicode_words", [(c, 1) for c in CODES if 0 not in words.encode(chr(c) + "ab").ids])
