#!/bin/bash
# Runs every test program and the command-line tests; closes with "N passed, N failed". As many run side by side as there are
# cores; what each said is printed in the order in which they stand here. Golden files are looked for in ../shared; without
# them the tests that need them are skipped with a message.
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
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'kill $(jobs -p) 2>/dev/null; wait; exit 130' INT TERM
names=() shown=0 total=0 failed=0

# Prints the part that is next in order and adds the counts of its closing line.
show() {
    local log=$work/$shown.log name=${names[shown]} code line p f
    shown=$((shown + 1))
    case $name in SKIPPED*) echo "$name"; return ;; esac
    code=$(cat "$log.code" 2>/dev/null || echo none) # its shell was killed
    echo "== $name ($(tail -n 1 "$log.time"))"
    line=$(grep -E '[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
    p=$(echo "$line" | grep -oE '[0-9]+ passed' | cut -d ' ' -f 1)
    f=$(echo "$line" | grep -oE '[0-9]+ failed' | cut -d ' ' -f 1)
    if [ -z "$line" ] || { [ "$code" != 0 ] && [ "$f" -eq 0 ]; }; then
        cat "$log"
        echo "$name ended with exit code $code"
        f=$((${f:-0} + 1))
    elif [ "$f" -ne 0 ]; then
        cat "$log"
    else
        tail -n 40 "$log"
    fi
    total=$((total + ${p:-0}))
    failed=$((failed + f))
}

# Those that are done, up to the first that is not; where `all` is given, all that were started.
show_done() {
    while [ "$shown" -lt ${#names[@]} ] && { [ "$#" -gt 0 ] || [ -e "$work/$shown.log.code" ]; }; do
        show
    done
}

# run NAME COMMAND...: starts it when a core is free
run() {
    local log=$work/${#names[@]}.log
    while [ "$(jobs -pr | wc -l)" -ge "$(nproc)" ]; do
        wait -n
        show_done
    done
    names+=("$1")
    shift
    (
        export XDG_CACHE_HOME=$log.cache # tokens are kept in no folder of the user's, nor of another part
        TIMEFORMAT='%R s, of the processor %U + %S'
        { time "$@" >"$log" 2>&1; } 2>"$log.time"
        echo $? >"$log.new" && mv "$log.new" "$log.code"
    ) &
}

skipped() { # WHY
    touch "$work/${#names[@]}.log.code"
    names+=("SKIPPED: $1")
}

# Parts that do not say themselves how they went.
command_line() { # FILE of bats
    local code=0 said
    said=$(bats --tap "$1") || code=$?
    grep -v '^ok' <<<"$said"
    echo "${1##*/}: $(grep -c '^ok' <<<"$said") passed, $(grep -c '^not ok' <<<"$said") failed"
    return $code
}

digests() {
    SEEDBED_DEVICE=cpu test/verify.sh && echo "digests: 1 passed, 0 failed"
}

peft() { # MODEL, which is made if it is not there
    [ -d "$1" ] || "$build/make_llama" "$1" >/dev/null || return
    test/peft.sh "$1" ../shared/data
    local code=$?
    [ $code -eq 77 ] || return $code
    echo "SKIPPED: PEFT: python3 (or \$PYTHON) has no torch, transformers and peft; 0 passed, 0 failed"
}

# The two longest parts are first, side by side: about as long as each other.
run "ops of attention" "$build/test_ops" --only attention
run "all other ops" "$build/test_ops" --skip attention
run layers test/layers.sh
run "list of mutants" test/mutants.sh --check
run emulator "$build/test_cudasim"
run "ops on memory that a device shares" "$build/test_ops" --device sim --only rmsnorm_forward
if [ -n "${NVCC:-}" ]; then
    run "ops by nvcc's PTX" "$build/test_ptx"
    run "faults of PTX" test/ptx/faults.sh
else
    skipped "what nvcc makes of the CUDA kernels is not run: there is no nvcc"
fi
run "sum trees" "$build/test_sum_tree"
run "AMX, on a model of it" "$build/test_amx"
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
run rows "$build/test_rows"
run labels "$build/test_labels"
run receipts "$build/test_receipts"
run examples "$build/test_examples"
run spans "$build/test_spans"
run "spans on the emulator" env SEEDBED_DEVICE=sim "$build/test_spans"
run audit "$build/test_audit"
run inference "$build/test_inference"
run groups "$build/test_groups"
run pairs "$build/test_pairs"
run paired "$build/test_paired"
run planning "$build/test_planning"
for t in test/tokenizers/*/; do run "tokenizer $(basename "$t")" "$build/test_tokenizer" "$t" "$t/cases.jsonl"; done
if [ -d "$shared" ]; then
    run scalar "$build/test_scalar" --quick $shared/models/ops/golden.safetensors
    run "tensor cores" "$build/test_tensor_cores" $shared/tensor_cores/*.safetensors
    run "random numbers" "$build/test_random" $shared/random/*.json
    run "decoder ops" "$build/test_decoder_ops" $shared/models/ops/golden.safetensors
    run optimizer "$build/test_optim" $shared/models/ops/golden.safetensors
    run units "$build/test_units" $shared/tasks/metrics.json
    run models "$build/test_golden" $shared/models/roberta* $shared/models/bert* $shared/models/llama* \
        $shared/models/lora*
    run "models on the cpu" env SEEDBED_DEVICE=cpu "$build/test_golden" $shared/models/roberta-tiny $shared/models/lora-llama-all
    run "models on the emulator" env SEEDBED_DEVICE=sim "$build/test_golden" $shared/models/roberta-odd $shared/models/lora-llama
    smollm=${SEEDBED_SMOLLM2:-../shared/models/SmolLM2-135M-Instruct}
    if [ -d "$smollm" ]; then
        run "real decoder" "$build/test_smollm" "$smollm" $shared/real/smollm2_exact
    else
        skipped "SmolLM2-135M-Instruct (bf16) is not there: SEEDBED_SMOLLM2 names its folder"
    fi
    run safetensors "$build/test_safetensors" $shared/safetensors/manifest.json $shared/safetensors/preds_manifest.json \
        $shared/safetensors/hf_manifest.json
    for t in roberta-base gpt2 bert-base-uncased llama3; do
        run "tokenizer $t" "$build/test_tokenizer" ../shared/tokenizers/$t $shared/tokenizers/$t/*.jsonl $shared/tokenizers/invalid_utf8.jsonl
    done
    run "tokenizer pair merges" "$build/test_tokenizer" $shared/tokenizers/mini-pair-merges $shared/tokenizers/mini-pair-merges/cases.jsonl
    run "tokenizer broken files" "$build/test_tokenizer" $shared/tokenizers/broken/manifest.json
    # vocab.json and merges.txt alone give the same ids as tokenizer.json
    files=$work/roberta-base
    mkdir "$files"
    cp ../shared/tokenizers/roberta-base/vocab.json ../shared/tokenizers/roberta-base/merges.txt "$files"
    run "tokenizer from two files" "$build/test_tokenizer" "$files" $shared/tokenizers/roberta-base/*.jsonl
    tasks=
    for t in BoolQ CB COPA CoLA MNLI MRPC MultiRC QNLI QQP RTE-glue RTE-superglue SST-2 STS-B WiC WSC; do tasks="$tasks $shared/tasks/$t.jsonl"; done
    run tasks "$build/test_tasks" ../shared/data $tasks $shared/tasks/counts.json
    run statistics "$build/test_stats" $shared/stats/golden.json $shared/stats/small.json
    for set in $shared/stats/sets/*/; do
        run "statistics $(basename "$set")" test/expect.sh "$set"
    done
else
    skipped "../shared/goldens is not there: goldens of models, random numbers, tokenizers, tasks and files are not compared"
    run scalar "$build/test_scalar" --quick
    run optimizer "$build/test_optim"
    run units "$build/test_units"
    run safetensors "$build/test_safetensors"
fi
if [ -d "$shared" ]; then
    run "peft llama" peft "$work/llama"
    for model in ../shared/models/all-MiniLM-L6-v2 "$smollm"; do
        if [ -d "$model" ]; then run "peft $(basename "$model")" peft "$model"; fi
    done
fi
if echo 'int LLVMFuzzerTestOneInput(const char *b, long n) { return b[0] == n; }' |
    clang -x c -fsanitize=fuzzer,address -o /dev/null - 2>/dev/null; then
    run fuzz make BUILD="$build" PROGRAMS="$PROGRAMS" FUZZ_SECONDS=3 -j"$(nproc)" fuzz
else
    skipped "fuzz needs clang with libFuzzer"
fi
run "digests on the cpu" digests
for file in test/*.bats; do run "command line: $(basename "$file" .bats)" command_line "$file"; done
wait
show_done all
echo "$total passed, $failed failed"
[ "$failed" -eq 0 ]
