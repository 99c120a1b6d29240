"""The four numbers of prediction files with numpy alone: zeta (accuracy), VAR, CON, CCON of FILES in percent; no digest is checked and no
id compared. tools/bench_consistency.sh takes its time."""
import json
import struct
import sys

import numpy


def read(path):
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        values = []
        for name in ("pred", "label"):
            begin, end = header[name]["data_offsets"]
            file.seek(8 + size + begin)
            values.append(numpy.frombuffer(file.read(end - begin), dtype="<i4"))
    return values


files = [read(path) for path in sys.argv[1:]]
label = files[0][1]
assert all(numpy.array_equal(label, other) for _, other in files)
pred = numpy.stack([p for p, _ in files])
S, N = pred.shape
right = pred == label
zeta = right.mean(axis=1)
votes = numpy.stack([(pred == c).sum(axis=0, dtype=numpy.int64) for c in range(pred.max() + 1)])
k = right.sum(axis=0, dtype=numpy.int64)
CON = (votes * (votes - 1)).sum() / (N * S * (S - 1))
CCON = (k * (k - 1)).sum() / (N * S * (S - 1))
print(f"{S} runs, {N} examples: {100 * zeta.mean():.2f} {100 * zeta.std():.2f} {100 * CON:.2f} {100 * CCON:.2f}")
