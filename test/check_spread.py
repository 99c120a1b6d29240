"""Do our runs spread over seeds as Hugging Face's do? Fine-tunes MiniLM on MRPC and RTE (500 rows) with both and compares.

    python3 test/check_spread.py run OUT SEEDS MODEL DATA   a run of both sides and tasks for every seed, in turn; keeps what is there
    python3 test/check_spread.py compare OUT                means, spreads and agreement of the runs in OUT, with tests
    python3 test/check_spread.py check                      the tests against full enumeration and against their formulas

run takes hours, so `make test` does not do it. Theirs is transformers' Trainer on AutoModelForSequenceClassification with
AutoTokenizer, padding to the longest sequence of a batch; ours is ./train_gpt ($PROGRAMS/train_gpt) on the same rows. Both use one
thread. Recipes are those of RECIPES; what is not there (AdamW's betas and eps, linear decay, clipping at 1, dropout from
config.json, last small batch kept, no decay of biases and norms) is the same in Trainer's defaults and `--recipe hf`.
Seeds are ten apart: Trainer's sampler seeds epoch e of seed s with s + e, so neighbours would share orders of the examples.

OUT/TASK/ours has prediction files, OUT/TASK/hf one CSV and the training loss of every run; `./consistency` reads both. The
last training loss is the mean over the examples of the last epoch on both sides: Trainer's own log is a mean over steps, which
counts the examples of a small last batch more. Exit code 77 where something is not installed.
"""
import csv
import glob
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from safetensors import safe_open
    from scipy import optimize, stats
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

RECIPES = {
    "mrpc": dict(epochs=2, lr=2e-4, batch=16, max_len=48, warmup=0.1, weight_decay=0.01, rows=500),
    "rte": dict(epochs=3, lr=2e-4, batch=16, max_len=32, warmup=0.1, weight_decay=0.01, rows=500),
}
TASKS = {  # folder, columns of the label and the two texts, labels in the file, their names
    "mrpc": ("MRPC", "Quality", "#1 String", "#2 String", ["0", "1"], ["not_equivalent", "equivalent"]),
    "rte": ("RTE", "label", "sentence1", "sentence2", ["entailment", "not_entailment"], ["entailment", "not_entailment"]),
}
MEASURES = ("accuracy", "dev loss", "last training loss")


def read_rows(data, task, split):
    """(text, text, label id) of every line; GLUE's files have no quoting."""
    folder, label, first, second, values, _ = TASKS[task]
    with open(f"{data}/glue/{folder}/{split}.tsv", encoding="utf-8-sig", newline="\n") as file:
        lines = [line.removesuffix("\n").removesuffix("\r").split("\t") for line in file]
    at = [lines[0].index(name) for name in (first, second, label)]
    return [(line[at[0]], line[at[1]], values.index(line[at[2]])) for line in lines[1:]]


def run_ours(out, task, seed, model, data):
    r = RECIPES[task]
    if glob.glob(f"{out}/{task}/ours/*.s{seed}.bin"):
        return
    subprocess.run([os.environ.get("PROGRAMS", ".") + "/train_gpt", "--task", task, "--model", model, "--data", data,
                    "--recipe", "hf", "--epochs", str(r["epochs"]), "--lr", str(r["lr"]), "--batch", str(r["batch"]),
                    "--max-len", str(r["max_len"]), "--warmup", str(r["warmup"]), "--weight-decay", str(r["weight_decay"]),
                    "--max-train", str(r["rows"]), "--eval-every", "0", "--threads", "1", "--seed", str(seed),
                    "--preds", f"{out}/{task}/ours", "--quiet"], check=True, stdout=subprocess.DEVNULL)


def run_theirs(out, task, seed, model_folder, data):
    import torch
    import transformers as hf

    r, path = RECIPES[task], f"{out}/{task}/hf/seed{seed}"
    if os.path.exists(path + ".csv"):
        return
    torch.set_num_threads(1)
    hf.logging.set_verbosity_error()
    hf.logging.disable_progress_bar()
    hf.set_seed(seed)
    tokenizer = hf.AutoTokenizer.from_pretrained(model_folder)
    model = hf.AutoModelForSequenceClassification.from_pretrained(model_folder, num_labels=2)

    def encode(rows):
        return [dict(tokenizer(a, b, truncation="longest_first", max_length=r["max_len"]), labels=label)
                for a, b, label in rows]

    losses = []  # of every step, with its number of examples

    class Trainer(hf.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            result = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            if model.training:
                losses.append(((result[0] if return_outputs else result).item(), len(inputs["labels"])))
            return result

    dev = read_rows(data, task, "dev")
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model, processing_class=tokenizer, train_dataset=encode(read_rows(data, task, "train")[:r["rows"]]),
            args=hf.TrainingArguments(
                output_dir=scratch, num_train_epochs=r["epochs"], learning_rate=r["lr"], warmup_steps=r["warmup"],
                weight_decay=r["weight_decay"], per_device_train_batch_size=r["batch"], per_device_eval_batch_size=32,
                seed=seed, use_cpu=True, save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True))
        trainer.train()
        logits = trainer.predict(encode(dev)).predictions
    steps = math.ceil(r["rows"] / r["batch"])
    assert len(losses) == steps * r["epochs"] and sum(n for _, n in losses[-steps:]) == r["rows"]
    os.makedirs(f"{out}/{task}/hf", exist_ok=True)
    with open(path + ".json", "w", encoding="utf-8") as file:
        json.dump({"train_loss": sum(loss * n for loss, n in losses[-steps:]) / r["rows"], "steps": losses}, file)
    names = TASKS[task][5]
    with open(path + ".part", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", *names])
        for i, ((_, _, label), z) in enumerate(zip(dev, logits)):
            writer.writerow([f"validation-{i}", names[label], *(f"{x:.9g}" for x in z)])
    os.rename(path + ".part", path + ".csv")


class Runs:
    """Runs of one side: predictions [S, N], which are right [S, N], and by measure one number a run [S]."""

    def __init__(self, runs):
        self.seeds = [seed for seed, *_ in runs]
        self.predicted = np.array([logits.argmax(1) for _, logits, _, _ in runs])
        label = runs[0][2]
        assert all((other == label).all() for _, _, other, _ in runs)
        self.right = self.predicted == label
        losses = []
        for _, logits, _, _ in runs:
            z = logits.astype(float)
            losses.append(np.mean(np.logaddexp(z[:, 0], z[:, 1]) - z[np.arange(len(z)), label]))
        self.measures = dict(zip(MEASURES, (self.right.mean(1), np.array(losses), np.array([loss for *_, loss in runs]))))


def read_ours(out, task):
    runs = []
    for path in glob.glob(f"{out}/{task}/ours/*.bin"):
        with safe_open(path, "np") as file:
            meta = file.metadata()
            order = np.argsort([int(i.split("-")[1]) for i in ids_of(file)])
            runs.append((int(meta["seed"]), file.get_tensor("logits")[order], file.get_tensor("label")[order],
                         float(meta["final_train_loss"])))
    return runs


def ids_of(file):
    at, text = file.get_tensor("id_offsets"), file.get_tensor("id_bytes").tobytes().decode()
    return [text[a:b] for a, b in zip(at, at[1:])]


def read_theirs(out, task):
    runs, names = [], TASKS[task][5]
    for path in glob.glob(f"{out}/{task}/hf/*.csv"):
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))[1:]
        with open(path.removesuffix("csv") + "json", encoding="utf-8") as file:
            loss = json.load(file)["train_loss"]
        runs.append((int(path.split("seed")[-1].removesuffix(".csv")),
                     np.array([[float(x) for x in row[2:]] for row in rows]), np.array([names.index(row[1]) for row in rows]),
                     loss))
    return runs


def agreement(predicted, right):
    """Of every two runs: the share of examples on which they agree, and on which both are right."""
    hit = right.astype(float)
    both_right = hit @ hit.T
    same = sum((predicted == k).astype(float) @ (predicted == k).astype(float).T for k in np.unique(predicted))
    return same / predicted.shape[1], both_right / predicted.shape[1]


def pair_means(table, sides):
    """Mean of table over the pairs inside side 1 less that inside side 0, for every row of sides [P, S] of 0 and 1."""
    within = []
    for side in (sides, 1 - sides):
        n = side.sum(1)
        within.append((np.einsum("ps,ps->p", side @ table, side) - side @ np.diag(table)) / (n * (n - 1)))
    return within[0] - within[1]


def permutation_test(table, n, draws=100_000, seed=1):
    """The first n runs against the rest: difference of mean pairwise agreement, two-sided p (the observed split counts as one
    draw), and the SD of the difference over random splits."""
    first = np.zeros((1, len(table)))
    first[0, :n] = 1
    observed = pair_means(table, first)[0]
    split = np.random.default_rng(seed).permuted(np.repeat(first, draws, 0), axis=1)
    drawn = pair_means(table, split)
    p = (1 + np.sum(np.abs(drawn) >= abs(observed) - 1e-12)) / (1 + draws)
    return observed, p, drawn.std()


def smallest_ratio(n, m, power=0.8, repeats=4000):
    """The ratio of SDs that the Brown-Forsythe test at 5 % finds with this power, for normal values."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((repeats, n)), rng.standard_normal((repeats, m))
    limit = stats.f.isf(0.05, 1, n + m - 2)

    def excess(ratio):
        a, b = np.abs(x - np.median(x, 1, keepdims=True)), ratio * np.abs(y - np.median(y, 1, keepdims=True))
        inside = (a.var(1) * n + b.var(1) * m) / (n + m - 2)
        return np.mean((a.mean(1) - b.mean(1)) ** 2 / (inside * (1 / n + 1 / m)) > limit) - power

    return optimize.brentq(excess, 1, 10, xtol=0.005)


def compare(out):
    tests = []
    for task in RECIPES:
        ours, theirs = Runs(read_ours(out, task)), Runs(read_theirs(out, task))
        n, m = len(ours.seeds), len(theirs.seeds)
        print(f"{task}: {n} runs here, {m} in PyTorch; {RECIPES[task]}")
        print(f"  80 % power at 5 %: an SD ratio of {smallest_ratio(n, m):.2f} (Brown-Forsythe, normal values)")
        for name in MEASURES:
            x, y = ours.measures[name], theirs.measures[name]
            a, b = x.std(ddof=1), y.std(ddof=1)
            welch, spread = stats.ttest_ind(x, y, equal_var=False), stats.levene(x, y, center="median")
            error = math.hypot(a / math.sqrt(n), b / math.sqrt(m))
            seen = (stats.t.ppf(0.975, welch.df) + stats.t.ppf(0.8, welch.df)) * error
            low, high = ((a / b) / math.sqrt(stats.f.isf(q, n - 1, m - 1)) for q in (0.025, 0.975))
            print(f"  {name}: mean {x.mean():.4f} / {y.mean():.4f}, Welch t {welch.statistic:+.2f}, p {welch.pvalue:.3f}, "
                  f"seen with 80 % power from {seen:.4f} on; SD {a:.4f} / {b:.4f}, ratio {a / b:.2f} [{low:.2f}, {high:.2f}], "
                  f"Brown-Forsythe p {spread.pvalue:.3f}")
            tests += [(welch.pvalue, f"{task} {name}, mean"), (spread.pvalue, f"{task} {name}, spread")]
        tables = agreement(np.concatenate([ours.predicted, theirs.predicted]), np.concatenate([ours.right, theirs.right]))
        for name, table in zip(("CON", "CCON"), tables):
            here, there = (t[np.triu_indices(len(t), 1)].mean() for t in (table[:n, :n], table[n:, n:]))
            _, p, sd = permutation_test(table, n)
            print(f"  {name}: {here:.4f} / {there:.4f}, across {table[:n, n:].mean():.4f}, permutation p {p:.3f}, "
                  f"seen with 80 % power from {2.8 * sd:.4f} on")
            tests.append((p, f"{task} {name}"))
    tests.sort()
    print(f"smallest p of {len(tests)} tests: {tests[0][0]:.3f} ({tests[0][1]}), Holm {min(1, len(tests) * tests[0][0]):.2f}")


def check():
    rng = np.random.default_rng(3)
    passed = []
    predicted = rng.integers(0, 3, (8, 40))
    predicted[:4, :20] = 1
    label = rng.integers(0, 3, 40)
    same, _ = agreement(predicted, predicted == label)
    by_hand = np.array([[np.mean(a == b) for b in predicted] for a in predicted])
    passed.append(("agreement of pairs", np.allclose(same, by_hand)))
    splits = np.array([[i in chosen for i in range(8)] for chosen in itertools.combinations(range(8), 3)], float)

    def loops(side):
        mean = lambda runs: np.mean([by_hand[i, j] for i, j in itertools.combinations(runs, 2)])
        return mean([i for i in range(8) if side[i]]) - mean([i for i in range(8) if not side[i]])

    every = np.array([loops(side) for side in splits])
    passed.append(("difference of mean agreement", np.allclose(pair_means(same, splits), every)))
    observed, p, sd = permutation_test(same, 3)
    exact = np.mean(np.abs(every) >= abs(observed) - 1e-12)
    passed.append((f"permutation p {p:.4f}, all {len(splits)} splits {exact:.4f}", abs(p - exact) < 0.006))
    passed.append((f"SD of the difference {sd:.4f}, all splits {every.std():.4f}", abs(sd / every.std() - 1) < 0.02))
    x, y = rng.normal(0, 1, 9), rng.normal(0.5, 2, 14)
    va, vb = x.var(ddof=1) / 9, y.var(ddof=1) / 14
    t, df = (x.mean() - y.mean()) / math.sqrt(va + vb), (va + vb) ** 2 / (va**2 / 8 + vb**2 / 13)
    welch = stats.ttest_ind(x, y, equal_var=False)
    passed.append(("Welch's t by its formula", math.isclose(welch.statistic, t) and math.isclose(welch.df, df)
                   and math.isclose(welch.pvalue, 2 * stats.t.sf(abs(t), df))))
    a, b = np.abs(x - np.median(x)), np.abs(y - np.median(y))
    spread, anova = stats.levene(x, y, center="median"), stats.f_oneway(a, b)
    passed.append(("Brown-Forsythe: F of distances to the median", math.isclose(spread.pvalue, anova.pvalue)))
    ratio = smallest_ratio(24, 30)
    found = np.mean([stats.levene(rng.normal(0, 1, 24), rng.normal(0, ratio, 30), center="median").pvalue < 0.05
                     for _ in range(2000)])
    passed.append((f"power at an SD ratio of {ratio:.2f}: {found:.3f}", abs(found - 0.8) < 0.03))
    for name, ok in passed:
        print("ok:" if ok else "FAILED:", name)
    failed = sum(not ok for _, ok in passed)
    print(f"spread: {len(passed) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


def run(out, seeds, model, data):
    try:
        import accelerate, torch, transformers  # noqa: F401
    except ImportError as missing:
        print(f"skipped: {missing}")
        sys.exit(77)
    for seed in range(1000, 1000 + 10 * int(seeds), 10):
        for task in RECIPES:
            run_ours(out, task, seed, model, data)
            run_theirs(out, task, seed, model, data)
        print("done: seed", seed, flush=True)


if __name__ == "__main__":
    commands = {"run": (run, 4), "compare": (compare, 1), "check": (check, 0)}
    function, count = commands.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if not function or len(sys.argv) != 2 + count:
        sys.exit(__doc__)
    function(*sys.argv[2:])
