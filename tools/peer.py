"""PyTorch beside seedbed on this CPU, in turn: peer.py [--turns N] [--seconds N] [--threads N] [--simd avx2] [ROW...], all rows by
default; peer.py --list names them. Both do the same steps of a model of random weights on batches of the same lengths, PyTorch with
dynamic padding, its fused AdamW and scaled_dot_product_attention. A line a row: real tokens a second of both (products: GFLOP/s),
medians of the turns; the median of the turns' ratios, and all of them; both as shares of the FMA peak measured in each turn; the
most memory of both processes. A row has no more turns when its seconds are over, but two. --simd keeps both sides from wider
instructions; shares are of the machine's peak all the same. Each row is a process of its own, all products are one. Needs torch and
transformers, LoRA peft too, and build/bench_peer and build/make_llama ($BUILD/); without one of the three it ends with 69."""

import os
import resource
import statistics
import subprocess
import sys
import time

BATCH = 16
# tools/bench.c: tokens of the first 64 examples
MRPC = [50, 60, 48, 67, 60, 52, 62, 33, 48, 61, 56, 45, 43, 61, 53, 45, 54, 70, 58, 67, 68, 36,
        49, 60, 46, 49, 69, 59, 64, 36, 45, 36, 47, 68, 28, 69, 33, 50, 42, 62, 58, 55, 42, 68,
        54, 39, 67, 44, 59, 40, 37, 69, 63, 48, 40, 65, 56, 60, 49, 35, 62, 34, 71, 65]
COLA = [18, 13, 13, 14, 13, 9, 8, 13, 9, 9, 11, 7, 9, 10, 9, 10, 8, 8, 7, 12, 7, 8, 6, 8, 11, 8, 11, 10, 11, 10, 11, 9,
        10, 9, 13, 8, 8, 9, 7, 7, 12, 12, 8, 9, 11, 10, 10, 12, 10, 11, 13, 11, 9, 8, 11, 12, 9, 9, 12, 12, 9, 9, 9, 9]

# row: what, model, lengths, batch
STEPS = {
    "mrpc": ("train", "base", MRPC, BATCH),
    "cola": ("train", "base", COLA, BATCH),
    "equal-64": ("train", "base", [64] * BATCH, BATCH),
    "equal-128": ("train", "base", [128] * BATCH, BATCH),
    "equal-512": ("train", "base", [512] * BATCH, BATCH),
    "large": ("train", "large", MRPC, BATCH),
    "evaluate-mrpc": ("evaluate", "base", MRPC, BATCH),
    "evaluate-cola": ("evaluate", "base", COLA, BATCH),
    "lora-base": ("lora", "base", MRPC, BATCH),
    "lora-smollm": ("lora", "smollm", MRPC, BATCH),
    "lora-1b-bf16": ("lora", "llama-1b", MRPC, 4),
    "mrpc-1": ("train", "base", MRPC, 1),
    "mrpc-4": ("train", "base", MRPC, 4),
    "long-512": ("train", "smollm", [512], 1),
    "long-1024": ("train", "smollm", [1024], 1),
    "long-2048": ("train", "smollm", [2048], 1),
    "long-base-1024": ("train", "base-2048", [1024], 1),
    "long-base-2048": ("train", "base-2048", [2048], 1),
}
# rows products-M-O-K
SHAPES = [(M, O, K) for M in (512, 2048) for O, K in ((768, 768), (2304, 768), (3072, 768), (768, 3072))]
PRODUCTS = [f"{which}-{M}-{O}-{K}" for M, O, K in SHAPES for which in ("forward", "input", "weight")]
BUILD = os.environ.get("BUILD", "build")
LLAMA_1B = f"{BUILD}/llama-1b-random"


class Options:
    """Of the command line, and the rows behind them."""

    def __init__(self, words):
        self.turns, self.seconds, self.threads, self.simd = 5, 40, len(os.sched_getaffinity(0)), "auto"
        while words and words[0][:2] == "--" and words[0][2:] in vars(self) and len(words) > 1:
            setattr(self, words[0][2:], words[1] if words[0] == "--simd" else int(words[1]))
            words = words[2:]
        self.rows = words

    def words(self):
        return [x for name in ("turns", "seconds", "threads", "simd") for x in (f"--{name}", str(getattr(self, name)))]

    def each_turn(self):
        start = time.perf_counter()
        for turn in range(self.turns):
            if turn < 2 or time.perf_counter() - start < self.seconds:
                yield turn


class Ours:
    """build/bench_peer: a question a turn."""

    def __init__(self, *words):
        self.process = subprocess.Popen([f"{BUILD}/bench_peer", *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.what = self.process.stdout.readline().strip()

    def ask(self, *words):
        """seconds, operations, peak a second, bytes"""
        print(*words, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"peer: bench_peer ended with {self.process.wait()}")
        return [float(x) for x in line.split()]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def model_of(name, lora):
    """PyTorch's model, of random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification, RobertaConfig, RobertaForSequenceClassification
    torch.manual_seed(42)
    common = {"num_labels": 2, "attn_implementation": "sdpa"}
    if name in ("base", "base-2048", "large"):
        width, layers = (1024, 24) if name == "large" else (768, 12)
        model = RobertaForSequenceClassification(RobertaConfig(
            vocab_size=50265, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=width // 64,
            max_position_embeddings=2050 if name == "base-2048" else 514, type_vocab_size=1, **common))
        targets = ["query", "value"]
    else:
        vocabulary, width, inner, layers, heads, keys = \
            (49152, 576, 1536, 30, 9, 3) if name == "smollm" else (128256, 2048, 8192, 16, 32, 8)
        torch.set_default_dtype(torch.float32 if name == "smollm" else torch.bfloat16)
        model = LlamaForSequenceClassification(LlamaConfig(
            vocab_size=vocabulary, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=keys, max_position_embeddings=8192, tie_word_embeddings=True, pad_token_id=1, **common))
        torch.set_default_dtype(torch.float32)
        targets = ["q_proj", "v_proj"]
    if lora:
        from peft import LoraConfig, get_peft_model
        model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=targets))
    return model


def batch_of(lengths):
    """Padded to the longest."""
    import torch
    ids, mask = (torch.full((len(lengths), max(lengths)), x) for x in (1, 0))
    for b, length in enumerate(lengths):
        ids[b, :length] = torch.randint(4, 49152, (length,))  # the smallest vocabulary
        mask[b, :length] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.arange(len(lengths)) % 2}


def step_of(what, name):
    """A function that takes a batch and returns seconds."""
    import torch
    model = model_of(name, what == "lora").train(what != "evaluate")
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1, fused=True)
    half = torch.autocast("cpu", dtype=torch.bfloat16, enabled=name == "llama-1b")

    def step(batch):
        start = time.perf_counter()
        if what == "evaluate":
            with torch.inference_mode():
                model(**batch)
        else:
            with half:
                loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return time.perf_counter() - start
    return step


def report(row, unit, ours, theirs, operations, peaks, memory):
    """Of each turn: both in units a second, operations a unit, the peak."""
    ratios = [a / b for a, b in zip(ours, theirs)]
    shares = [100 * statistics.median(rate * n / peak for rate, n, peak in zip(side, operations, peaks)) for side in (ours, theirs)]
    print(f"{row:24} {statistics.median(ours):7.0f} {statistics.median(theirs):7.0f} {unit:8}  {statistics.median(ratios):5.2f} "
          f"{shares[0]:5.0f} % {shares[1]:5.0f} %   {memory:24}  {' '.join(f'{r:.2f}' for r in ratios)}", flush=True)


def measure_step(row, options):
    what, name, lengths, size = STEPS[row]
    if name == "llama-1b":
        name = LLAMA_1B
        if not os.path.exists(f"{LLAMA_1B}/config.json"):
            subprocess.run([f"{BUILD}/make_llama", LLAMA_1B, "1B"], check=True)
    ours = Ours(what, name, size, max(lengths), options.threads, options.simd)
    step = step_of(what, STEPS[row][1])
    groups = [lengths[i:i + size] for i in range(0, len(lengths), size)]
    rates, operations, peaks = ([], []), [], []
    few = groups[0][:2]  # touches fresh memory first, and is not counted
    step(batch_of(few))
    ours.ask(*few)
    for turn in options.each_turn():
        group = groups[turn % len(groups)]
        batch = batch_of(group)
        seconds = {}
        for side in (0, 1) if turn % 2 else (1, 0):
            if side:
                seconds[1] = step(batch)
            else:
                seconds[0], done, peak, most = ours.ask(*group)
        for side in (0, 1):
            rates[side].append(sum(group) / seconds[side])
        operations.append(done / sum(group))
        peaks.append(peak)
    own = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report(row, "tokens/s", *rates, operations, peaks, f"{most / 1e9:.2f} / {own / 1e9:.2f} GB = {most / own:.2f}")
    ours.end()


def measure_product(row, ours, options):
    import torch
    which, *sizes = row.split("-")
    M, O, K = map(int, sizes)
    x, w, y = torch.rand(M, K) - 0.5, torch.rand(O, K) - 0.5, torch.rand(M, O) - 0.5
    a, b, out = {"forward": (x, w.t(), torch.empty(M, O)), "input": (y, w, torch.empty(M, K)), "weight": (y.t(), x, torch.empty(O, K))}[which]
    rates, peaks = ([], []), []

    def call_long():
        torch.mm(a, b, out=out)
        start = time.perf_counter()
        calls = seconds = 0
        while seconds < 0.1:
            torch.mm(a, b, out=out)
            calls += 1
            seconds = time.perf_counter() - start
        return seconds / calls
    for _ in options.each_turn():
        seconds, operations, peak, _ = ours.ask(which, M, O, K)
        rates[0].append(1e-9 * operations / seconds)
        rates[1].append(1e-9 * operations / call_long())
        peaks.append(peak)
    report(row, "GFLOP/s", *rates, [1e9] * len(peaks), peaks, "")


def measure(options):
    """In a process of its own: one row of steps, or products."""
    import torch
    torch.set_num_threads(options.threads)
    if options.rows[0] in STEPS:
        measure_step(options.rows[0], options)
        return
    ours = Ours("products", options.threads, options.simd)
    for row in options.rows:
        measure_product(row, ours, options)
    ours.end()


def main():
    words = sys.argv[1:]
    if words == ["--list"]:
        print(*STEPS, *PRODUCTS, sep="\n")
        return
    one = words[:1] == ["--one"]
    options = Options(words[one:])
    rows = [name for row in options.rows or [*STEPS, "products"] for name in (PRODUCTS if row == "products" else [row])]
    unknown = [row for row in rows if row not in STEPS and row not in PRODUCTS]
    if unknown:
        sys.exit(f"peer: no row {unknown[0]}; --list names them")
    if one:
        measure(options)
        return
    try:
        import torch
        import transformers
        import peft
    except ImportError as error:
        print(f"peer: {sys.executable} has no {error.name}; torch, transformers and peft are needed", file=sys.stderr)
        sys.exit(69)
    environment = dict(os.environ)
    if options.simd == "avx2":
        environment |= {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    kernels = next((line.strip(" -") for line in torch.__config__.show().splitlines() if "MKL-DNN" in line), "")
    print(f"{cpu}, {options.threads} threads, simd {options.simd}; torch {torch.__version__} ({kernels}), "
          f"transformers {transformers.__version__}, peft {peft.__version__}; at most {options.turns} turns\n"
          f"{'row':24} {'seedbed':>7} {'torch':>7} {'':8}  ratio  shares of the peak  {'memory':24}  ratios of turns", flush=True)
    steps, products = [row for row in rows if row in STEPS], [row for row in rows if row in PRODUCTS]
    for group in [[row] for row in steps] + [products] * bool(products):
        subprocess.run([sys.executable, __file__, "--one", *options.words(), *group], env=environment, check=True)


if __name__ == "__main__":
    main()
