"""PyTorch's ops beside ours: torch_ops.py FILE with what build/test_ops --mode perf printed. For each op and shape in it one line:
our fastest build, PyTorch in float32 and on a GPU in TF32, and how many times ours PyTorch's time is (above 1: ours is faster). Each
is timed as ours is, over calls in a row on the same tensors; what PyTorch's host code takes is in it. PyTorch has no product of
float32 with bf16, so there the widening is timed too. Needs torch."""

import re
import sys
import time

import torch
import torch.nn.functional as F

gpu = torch.cuda.is_available()
device = "cuda" if gpu else "cpu"
BUILDS = {"scalar", "avx2", "avx512", "cuda", "sim"}  # else it is a variant


def normal(*shape):
    return torch.randn(shape, device=device)


def integers(below, *shape):
    return torch.randint(below, shape, device=device)


def weight(s, rows, columns):
    x = normal(rows, columns)
    return x.bfloat16() if s.get("bf16") else x


def gradient(function, *inputs):
    """The backward pass alone, to the inputs that have a gradient."""
    wanted = [x.requires_grad_() for x in inputs]
    out = function()
    dout = torch.randn_like(out)
    return lambda: torch.autograd.grad(out, wanted, dout, retain_graph=True)


def forward(make):
    return lambda s: make(s)[0]


def backward(make):
    def made(s):
        function, inputs = make(s)
        return gradient(function, *inputs)
    return made


def both(function, *inputs):
    """A loss with its gradients."""
    wanted = [x.requires_grad_() for x in inputs]
    return lambda: torch.autograd.grad(function(), wanted)


def matmul_forward(s):
    x, w, bias = normal(s["M"], s["K"]), weight(s, s["O"], s["K"]), normal(s["O"]) if s["bias"] else None
    return lambda: F.linear(x, w.float(), bias)


def matmul_backward_input(s):
    dout, w, dx = normal(s["M"], s["O"]), weight(s, s["O"], s["K"]), normal(s["M"], s["K"])
    return (lambda: dx.addmm_(dout, w.float())) if s["accumulate"] else lambda: torch.mm(dout, w.float(), out=dx)


def matmul_backward_weight(s):
    dout, x, dweight = normal(s["M"], s["O"]), normal(s["M"], s["K"]), normal(s["O"], s["K"])
    return lambda: dweight.addmm_(dout.t(), x)


def bias_backward(s):
    dbias, dout = normal(s["O"]), normal(s["B"] * s["T"], s["O"])
    return lambda: dbias.add_(dout.sum(0))


def lora(s):
    x, a, b, out = normal(s["B"] * s["T"], s["C"]), normal(s["R"], s["C"]), normal(s["O"], s["R"]), normal(s["B"] * s["T"], s["O"])
    return lambda: out + 2 * F.linear(F.linear(F.dropout(x, s["percent"] / 100), a), b), [a, b] if s.get("no_dx") else [x, a, b]


def attention(s):
    q = normal(s["B"], s["H"], s["T"], s["D"])
    k, v = (normal(s["B"], s["K"], s["T"], s["D"]) for _ in range(2))
    return lambda: F.scaled_dot_product_attention(q, k, v, dropout_p=s["percent"] / 100, is_causal=bool(s["causal"]),
                                                  enable_gqa=s["H"] != s["K"]), [q, k, v]


def embedding_forward(s):
    tokens, positions, types = integers(s["V"], s["B"], s["T"]), torch.arange(s["T"], device=device), integers(1, s["B"], s["T"])
    word, position, kind = weight(s, s["V"], s["C"]), weight(s, 514, s["C"]), weight(s, 1, s["C"])
    return lambda: F.embedding(tokens, word).float() + F.embedding(types, kind) + F.embedding(positions, position)


def embedding_backward(s):
    dout, tokens = normal(s["B"], s["T"], s["C"]), integers(s["V"], s["B"], s["T"])
    return lambda: torch.ops.aten.embedding_dense_backward(dout, tokens, s["V"], -1, False)


def norm(rms, residual):
    def make(s):
        N, C = s.get("N") or s["B"] * s["T"], s["C"]
        x, more, w, b = normal(N, C), normal(N, C), normal(C), normal(C)

        def function():
            y = more + x if residual else x
            return F.rms_norm(y, (C,), w) if rms else F.layer_norm(y, (C,), w, b)
        return function, [x] if s.get("frozen") else [x, w] if rms else [x, w, b]
    return make


def rope(s):
    x, angles = normal(s["N"], s["H"], s["D"]), normal(s["N"], 1, s["D"] // 2)
    cosine, sine = angles.cos(), angles.sin()

    def turn():
        a, b = x.chunk(2, -1)
        return torch.cat((a * cosine - b * sine, b * cosine + a * sine), -1)
    return turn


def elementwise(function, tensors):
    def make(s):
        x = [normal(s["n"]) for _ in range(tensors)]
        return lambda: function(*x), x
    return make


gelu, tanh, swiglu = elementwise(F.gelu, 1), elementwise(torch.tanh, 1), elementwise(lambda gate, up: F.silu(gate) * up, 2)


def gather_rows(s):
    x, rows = weight(s, s["R"], s["C"]), torch.randperm(s["R"], device=device)
    return lambda: x.index_select(0, rows).float()


def scatter_add_rows(s):
    dx, dout, rows = normal(2 * s["R"], s["C"]), normal(s["R"], s["C"]), torch.randperm(2 * s["R"], device=device)[:s["R"]]
    return lambda: dx.index_add_(0, rows, dout)


def divide_rows(s):
    x, counts = normal(s["R"], s["C"]), torch.randint(1, 9, (s["R"], 1), device=device)
    return lambda: x / counts


def dropout(s):
    x = normal(s["B"] * s["T"], s["C"])
    return lambda: F.dropout(x, s["percent"] / 100)


def cross_entropy(s):
    logits, labels = normal(s["B"], s["O"]), integers(s["O"], s["B"])
    return both(lambda: F.cross_entropy(logits, labels), logits)


def mean_squared_error(s):
    logits, targets = normal(s["B"]), normal(s["B"])
    return both(lambda: F.mse_loss(logits, targets), logits)


def linear_cross_entropy(s):
    x, w, targets = normal(s["N"], s["C"]), weight(s, s["V"], s["C"]), integers(s["V"], s["N"])
    return both(lambda: F.cross_entropy(F.linear(x, w.float()), targets), *([x] if s["frozen"] else [x, w]))


def gradient_norm(s):
    partial = normal(s["n"]).square()
    return lambda: partial.sum(dtype=torch.float64).sqrt()


def adamw(s):
    p = normal(s["n"])
    p.grad = normal(s["n"])
    optimizer = torch.optim.AdamW([p], lr=1e-5, weight_decay=0.1, fused=True)
    return optimizer.step


def copy(s):
    x, out = normal(s["n"]), normal(s["n"])
    return lambda: out.copy_(x)


# None: PyTorch has nothing like it
OPS = {
    "matmul_forward": matmul_forward, "matmul_backward_input": matmul_backward_input,
    "matmul_backward_weight": matmul_backward_weight, "bias_backward": bias_backward,
    "lora_forward": forward(lora), "lora_backward": backward(lora),
    "attention_forward": forward(attention), "attention_backward": backward(attention),
    "embedding_forward": embedding_forward, "embedding_backward": embedding_backward,
    "layernorm_forward": forward(norm(0, 0)), "residual_layernorm_forward": forward(norm(0, 1)),
    "rmsnorm_forward": forward(norm(1, 0)), "residual_rmsnorm_forward": forward(norm(1, 1)),
    "layernorm_backward": backward(norm(0, 0)), "rmsnorm_backward": backward(norm(1, 0)), "rope": rope,
    "gelu_forward": forward(gelu), "gelu_backward": backward(gelu), "swiglu_forward": forward(swiglu),
    "swiglu_backward": backward(swiglu), "tanh_forward": forward(tanh), "tanh_backward": backward(tanh),
    "add": forward(elementwise(torch.add, 2)), "copy": copy, "fill_zero": forward(elementwise(torch.Tensor.zero_, 1)),
    "dropout": dropout, "gather_rows": gather_rows, "scatter_add_rows": scatter_add_rows, "divide_rows": divide_rows, "cross_entropy": cross_entropy,
    "linear_cross_entropy": linear_cross_entropy, "mean_squared_error": mean_squared_error,
    "sum_losses": forward(elementwise(torch.sum, 1)), "sum_squares": forward(elementwise(torch.linalg.vector_norm, 1)),
    "gradient_norm": gradient_norm, "adamw": adamw, "hash": None, "sketch": None,
}


def seconds_of(call):
    """The fastest of rounds of calls in a row, about half a second in all."""
    def round_of(count):
        start = time.perf_counter()
        for _ in range(count):
            call()
        if gpu:
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / count
    round_of(2)
    one = round_of(2)
    count = 20 if gpu else max(1, min(1000, int(1e-3 / one)))
    return min(round_of(count) for _ in range(max(3, min(20, int(0.5 / (one * count))))))


def main():
    ours = {}
    with open(sys.argv[1], encoding="utf-8") as lines:
        for line in lines:
            found = re.match(r"(\w+) +(\w+) +([\d.]+) us .*%   (.+)$", line)
            if found and found[2] in BUILDS:
                key = found[1], found[4]
                ours[key] = min(ours.get(key, (float("inf"), "")), (max(float(found[3]), 0.1), found[2]))
    if not ours:
        sys.exit("torch_ops: the file has no line of test_ops --mode perf")
    print(f"torch {torch.__version__} on {torch.cuda.get_device_name() if gpu else 'cpu'}", flush=True)
    for (op, text), (microseconds, build) in ours.items():
        if op not in OPS:
            sys.exit(f"torch_ops: {op} has no line in OPS")
        if not OPS[op]:
            print(f"{op:28} {build:8} {microseconds:10.1f} us   PyTorch has no such op   {text}", flush=True)
            continue
        words = text.split()
        sizes = dict(zip(words[::2], map(int, words[1::2])))
        columns = ""
        for precision in ("float32", "TF32") if gpu else ("float32",):
            torch.backends.cuda.matmul.allow_tf32 = precision == "TF32"
            torch.manual_seed(42)
            theirs = 1e6 * seconds_of(OPS[op](sizes))
            columns += f"   {precision} {theirs:10.1f} us {theirs / microseconds:6.2f} x"
        print(f"{op:28} {build:8} {microseconds:10.1f} us{columns}   {text}", flush=True)


main()
