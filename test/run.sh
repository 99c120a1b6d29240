#!/bin/sh
# Runs every test program and the command-line tests; closes with "N passed, N failed". Golden files are looked for in
# ../shared; without them the tests that need them are skipped with a message.
set -u
cd "$(dirname "$0")/.."
build=${BUILD:-build}
export PROGRAMS="${PROGRAMS:-.}"
# Host code that touches a tensor would pass on the CPU: everything runs on the fence (docs/ARCHITECTURE.md), and some of it
# again on the CPU below.
export SEEDBED_DEVICE=fence
# Tests use all threads for the smallest op: on a machine that does other things too, waiting threads must not spin.
export OMP_WAIT_POLICY=passive
shared=../shared/goldens
total=0
failed=0
log=$(mktemp)
# Tokens are kept in no folder of the user's.
XDG_CACHE_HOME=$(mktemp -d)
export XDG_CACHE_HOME

# run NAME COMMAND...: adds the counts of its closing line
run() {
    name=$1
    shift
    echo "== $name"
    "$@" >"$log" 2>&1
    code=$?
    line=$(grep -E '[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
    p=$(echo "$line" | grep -oE '[0-9]+ passed' | cut -d ' ' -f 1)
    f=$(echo "$line" | grep -oE '[0-9]+ failed' | cut -d ' ' -f 1)
    if [ -z "$line" ] || { [ "$code" -ne 0 ] && [ "$f" -eq 0 ]; }; then
        cat "$log"
        echo "$name ended with exit code $code"
        f=$((${f:-0} + 1))
    elif [ "$f" -ne 0 ]; then
        cat "$log"
    else
        cat "$log" | tail -n 40
    fi
    total=$((total + ${p:-0}))
    failed=$((failed + f))
}

run layers test/layers.sh
run "list of mutants" test/mutants.sh --check
run emulator "$build/test_cudasim"
run ops "$build/test_ops"
run "ops on memory that a device shares" "$build/test_ops" --device sim --only rmsnorm_forward
if [ -n "${NVCC:-}" ]; then
    run "ops by nvcc's PTX" "$build/test_ptx"
    run "faults of PTX" test/ptx/faults.sh
else
    echo "SKIPPED: what nvcc makes of the CUDA kernels is not run: there is no nvcc"
fi
run "sum trees" "$build/test_sum_tree"
run "tensor cores on the emulator" "$build/test_tensor_cores" --device sim 2
run "orders of sums" "$build/probe"
run watch "$build/test_watch"
run trace "$build/test_trace"
run tracediff "$build/test_tracediff"
run injections "$build/test_injections" 10
run device "$build/test_device"
run "hashes of a step" "$build/test_step_hashes"
run "hashes of a step on the emulator" env SEEDBED_DEVICE=sim "$build/test_step_hashes"
run attention "$build/test_attention"
run curand "$build/test_curand"
run threads "$build/test_threads"
run parsers "$build/test_parsers"
run labels "$build/test_labels"
run receipts "$build/test_receipts"
run examples "$build/test_examples"
run audit "$build/test_audit"
run inference "$build/test_inference"
run groups "$build/test_groups"
run paired "$build/test_paired"
run planning "$build/test_planning"
for t in test/tokenizers/*/; do run "tokenizer $(basename "$t")" "$build/test_tokenizer" "$t" "$t/cases.jsonl"; done
if [ -d "$shared" ]; then
    run scalar "$build/test_scalar" --quick $shared/models/ops/golden.safetensors
    run "tensor cores" "$build/test_tensor_cores" $shared/tensor_cores/*.safetensors
    run "random numbers" "$build/test_random" $shared/random/*.json
    run "decoder ops" "$build/test_decoder_ops" $shared/models/ops/golden.safetensors
    run units "$build/test_units" $shared/models/ops/golden.safetensors $shared/tasks/metrics.json
    run models "$build/test_golden" $shared/models/roberta* $shared/models/bert* $shared/models/llama* \
        $shared/models/lora*
    run "models on the cpu" env SEEDBED_DEVICE=cpu "$build/test_golden" $shared/models/roberta-tiny $shared/models/lora-llama-all
    run "models on the emulator" env SEEDBED_DEVICE=sim "$build/test_golden" $shared/models/roberta-odd $shared/models/lora-llama
    smollm=${SEEDBED_SMOLLM2:-../shared/models/SmolLM2-135M-Instruct}
    if [ -d "$smollm" ]; then
        run "real decoder" "$build/test_smollm" "$smollm" $shared/real/smollm2_exact
    else
        echo "SKIPPED: SmolLM2-135M-Instruct (bf16) is not there: SEEDBED_SMOLLM2 names its folder"
    fi
    run safetensors "$build/test_safetensors" $shared/safetensors/manifest.json $shared/safetensors/preds_manifest.json \
        $shared/safetensors/hf_manifest.json
    for t in roberta-base gpt2 bert-base-uncased llama3; do
        run "tokenizer $t" "$build/test_tokenizer" ../shared/tokenizers/$t $shared/tokenizers/$t/*.jsonl $shared/tokenizers/invalid_utf8.jsonl
    done
    run "tokenizer pair merges" "$build/test_tokenizer" $shared/tokenizers/mini-pair-merges $shared/tokenizers/mini-pair-merges/cases.jsonl
    run "tokenizer broken files" "$build/test_tokenizer" $shared/tokenizers/broken/manifest.json
    # vocab.json and merges.txt alone give the same ids as tokenizer.json
    files=$(mktemp -d)/roberta-base
    mkdir -p "$files"
    cp ../shared/tokenizers/roberta-base/vocab.json ../shared/tokenizers/roberta-base/merges.txt "$files"
    run "tokenizer from two files" "$build/test_tokenizer" "$files" $shared/tokenizers/roberta-base/*.jsonl
    rm -rf "${files%/*}"
    tasks=
    for t in BoolQ CB COPA CoLA MNLI MRPC MultiRC QNLI QQP RTE-glue RTE-superglue SST-2 STS-B WiC WSC; do tasks="$tasks $shared/tasks/$t.jsonl"; done
    run tasks "$build/test_tasks" ../shared/data $tasks $shared/tasks/counts.json
    run statistics "$build/test_stats" $shared/stats/golden.json $shared/stats/small.json
    for set in $shared/stats/sets/*/; do
        run "statistics $(basename "$set")" test/expect.sh "$set"
    done
else
    echo "SKIPPED: ../shared/goldens is not there: goldens of models, random numbers, tokenizers, tasks and files are not compared"
    run scalar "$build/test_scalar" --quick
    run units "$build/test_units"
    run safetensors "$build/test_safetensors"
fi
if [ -d "$shared" ]; then
    small=$(mktemp -d)
    "$build/make_llama" "$small/llama" >/dev/null
    for model in "$small/llama" ../shared/models/all-MiniLM-L6-v2 "$smollm"; do
        [ -d "$model" ] || continue
        echo "== peft $(basename "$model")"
        test/peft.sh "$model" ../shared/data >"$log" 2>&1
        case $? in
        0) total=$((total + 2)) && grep -E '^ok|^peft' "$log" ;;
        77) echo "SKIPPED: PEFT: python3 (or \$PYTHON) has no torch, transformers and peft" ;;
        *) failed=$((failed + 1)) && cat "$log" ;;
        esac
    done
    rm -rf "$small"
fi
if echo 'int LLVMFuzzerTestOneInput(const char *b, long n) { return b[0] == n; }' |
    clang -x c -fsanitize=fuzzer,address -o /dev/null - 2>/dev/null; then
    run fuzz test/fuzz.sh 5
else
    echo "SKIPPED: fuzz needs clang with libFuzzer"
fi
echo "== command line"
bats --tap test/*.bats >"$log" 2>&1
cat "$log" | grep -v '^ok' | tail -n 60
p=$(grep -c '^ok' "$log")
f=$(grep -c '^not ok' "$log")
[ "$((p + f))" -gt 0 ] || f=1
total=$((total + p))
failed=$((failed + f))
echo "== digests on the cpu"
if SEEDBED_DEVICE=cpu test/verify.sh; then total=$((total + 1)); else failed=$((failed + 1)); fi
rm -rf "$log" "$XDG_CACHE_HOME"
echo "$total passed, $failed failed"
[ "$failed" -eq 0 ]
