#!/usr/bin/env bats
# tools/gpu_check.sh without a GPU: on the fence, with programs that are there or made to fail.

setup() {
    cd "$BATS_TEST_DIRNAME/.."
    build="$(cd "${BUILD:-build}" && pwd)" programs="$(cd "${PROGRAMS:-.}" && pwd)"
    export KIT="$BATS_TEST_TMPDIR/kit" REPORT="$BATS_TEST_TMPDIR/report" DEVICE=fence
    mkdir "$KIT"
    ln -s "$programs/train_gpt" "$build/test_ops" "$build/test_tensor_cores" "$build/digests" "$build/bench" "$build/make_llama" "$build/make_roberta" "$KIT"
    unset SEEDBED_MODEL SEEDBED_DATA
}

# replace PROGRAM LINE...: a script of these lines in its place
replace() {
    rm "$KIT/$1"
    printf '%s\n' '#!/bin/bash' "${@:2}" >"$KIT/$1"
    chmod +x "$KIT/$1"
}

@test "without a device there is one line and 69" {
    if command -v nvidia-smi >/dev/null; then skip "there is an nvidia-smi"; fi
    DEVICE=cuda run tools/gpu_check.sh bits
    [ "$status" -eq 69 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == "device "*"FAILED"* ]]
}

@test "an encoder with random weights trains alike on two devices" {
    [ -f ../shared/tokenizers/roberta-base/tokenizer.json ] || skip "needs ../shared"
    ROBERTA="2 64" run tools/gpu_check.sh '^(run: |profile: )?RoBERTa'
    echo "$output"
    [ "$status" -eq 0 ]
    grep -qE '^run: RoBERTa-large, 2 steps +ok .* 47 digests of weights and predictions are the same$' "$REPORT/table.txt"
    grep -qE '^run: RoBERTa-large, bf16, 1 step +ok .* digests of weights and predictions are the same$' "$REPORT/table.txt"
    grep -qE '^profile: RoBERTa-large +ok ' "$REPORT/table.txt"
}

@test "a part that fails has its line, the others run, and the exit code is 1" {
    [ -f ../shared/tokenizers/roberta-base/tokenizer.json ] || skip "needs ../shared"
    replace test_ops 'echo "FAILED add: another bit"; exit 1'
    replace digests 'echo "weight $RANDOM$RANDOM"'
    replace bench 'echo "$1 on $SEEDBED_DEVICE"'
    ROBERTA="2 64" run tools/gpu_check.sh 'ops|RoBERTa'
    echo "$output"
    [ "$status" -eq 1 ]
    grep -qE '^ops, every bit +FAILED .*exit code 1: FAILED add: another bit' "$REPORT/table.txt"
    grep -qE '^run: RoBERTa-large, 2 steps +FAILED .*DIFFERENT' "$REPORT/table.txt"
    grep -qE '^steps: RoBERTa-large +ok .* roberta-large on fence$' "$REPORT/table.txt"
}

@test "PyTorch's ops stand beside ours where both were measured, and each op has one or none" {
    replace test_ops 'echo "add   cuda   9.0 us   1.0 GB/s   1%   1.0 GFLOP/s   1%   n 4 aligned 0"'
    printf '%s\n' '#!/bin/bash' '[ "$1" = -c ] || echo "${1##*/} read $(wc -l <"$2") line"' >"$BATS_TEST_TMPDIR/python"
    chmod +x "$BATS_TEST_TMPDIR/python"
    PYTHON="$BATS_TEST_TMPDIR/python" run tools/gpu_check.sh '^ops, (PyTorch.s )?speed'
    echo "$output"
    [ "$status" -eq 0 ]
    grep -qE "^ops, PyTorch's speed +ok .* torch_ops.py read 1 line$" "$REPORT/table.txt"
    PYTHON="$BATS_TEST_TMPDIR/python" run tools/gpu_check.sh "PyTorch's speed"
    [ "$status" -eq 1 ]
    grep -q 'SKIPPED .* ours come from the part "ops, speed" of the same call$' "$REPORT/table.txt"
    for op in $(sed -n 's/^OP(\([a-z_]*\),.*/\1/p' kernels/ops.def); do
        grep -q "\"$op\": " tools/torch_ops.py || { echo "$op is not in tools/torch_ops.py"; return 1; }
    done
}

@test "a device that nvidia-smi alone knows ends the call before its parts" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    printf '%s\n' '#!/bin/sh' 'echo "A GPU, 1, 2 MiB"' >"$BATS_TEST_TMPDIR/bin/nvidia-smi"
    chmod +x "$BATS_TEST_TMPDIR/bin/nvidia-smi"
    if "$KIT/train_gpt" --task boolq --model tiny --data builtin --device cuda --dry-run 2>/dev/null; then skip "there is a GPU"; fi
    PATH="$BATS_TEST_TMPDIR/bin:$PATH" DEVICE=cuda run tools/gpu_check.sh models
    echo "$output"
    [ "$status" -eq 69 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == "device "*"FAILED"*"train_gpt: --device cuda: "* ]]
}

@test "programs that do not start here are built, with the headers of the kit" {
    replace train_gpt 'exit 1'
    mkdir "$BATS_TEST_TMPDIR/bin"
    printf '%s\n' '#!/bin/sh' 'echo "FAILED with $*"' 'exit 2' >"$BATS_TEST_TMPDIR/bin/make"
    chmod +x "$BATS_TEST_TMPDIR/bin/make"
    PATH="$BATS_TEST_TMPDIR/bin:$PATH" run tools/gpu_check.sh bits
    echo "$output"
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    grep -qE '^build +FAILED .*exit code 2: FAILED with -j' "$REPORT/table.txt"
    grep -q "BUILD=build-here .* CC=gcc -I$KIT/include -L$KIT/lib build-here/train_gpt build-here/test_ops" "$REPORT/log.txt"
}

@test "a call adds to what earlier ones found, and its exit code is its own" {
    replace test_ops 'exit "$(cat "$KIT/code")"'
    echo 1 >"$KIT/code"
    run tools/gpu_check.sh 'ops, gradients'
    [ "$status" -eq 1 ]
    echo 0 >"$KIT/code"
    run tools/gpu_check.sh 'ops, gradients'
    [ "$status" -eq 0 ]
    [ "$(cut -c 1-43 "$REPORT/table.txt" | grep -c '^ops, gradients *FAILED')" -eq 1 ]
    [ "$(cut -c 1-43 "$REPORT/table.txt" | grep -c '^ops, gradients *ok')" -eq 1 ]
    [ "$(grep -c '^=== ops, gradients' "$REPORT/log.txt")" -eq 2 ]
}

@test "a group fits one call" {
    run tools/gpu_check.sh list
    [ "$status" -eq 0 ]
    for group in bits models speed faults; do
        sum=$(awk -v g=$group '$1 == g { s += $2 } END { print s + 0 }' <<<"$output")
        echo "$group $sum"
        [ "$sum" -gt 0 ]
        [ "$sum" -le 570 ]
    done
    run tools/gpu_check.sh
    [ "$status" -eq 64 ]
}

@test "a decoder with adapters trains alike on two devices" {
    LLAMA=48 run tools/gpu_check.sh '^run: Llama'
    echo "$output"
    [ "$status" -eq 0 ]
    grep -qE '^run: Llama of 3.2 B, LoRA, 2 steps +ok .* [0-9]+ digests of weights and predictions are the same$' "$REPORT/table.txt"
}

@test "all of a group runs; sanitizers that are not there are skipped" {
    replace test_ops 'echo "$@"'
    if command -v compute-sanitizer >/dev/null || [ -x /usr/local/cuda/bin/compute-sanitizer ]; then skip "there is one"; fi
    run tools/gpu_check.sh faults
    echo "$output"
    [ "$status" -eq 1 ]
    [ "$(grep -c '^sanitizer: .*SKIPPED .*not installed' "$REPORT/table.txt")" -eq 4 ]
    grep -qE '^ops, 1,000 times +ok .*--device fence --repeat 1000 --mode test' "$REPORT/table.txt"
    [ "$(ls "$REPORT" | wc -l)" -le 4 ]
}

@test "test_ops runs each shape as often as the parts ask" {
    for times in 1 2 5; do
        run "$build/test_ops" --device sim --only add --mode test --repeat $times
        [ "$status" -eq 0 ]
    done
    run "$build/test_ops" --device sim --only add --mode test --repeat 0
    [ "$status" -eq 64 ]
}

@test "tensor cores are compared where there are some" {
    run tools/gpu_check.sh 'tensor cores'
    [ "$status" -eq 1 ]
    grep -qE '^tensor cores, every bit +SKIPPED .* --device fence has no tensor cores$' "$REPORT/table.txt"
    run "$build/test_tensor_cores" --device
    [ "$status" -eq 64 ]
    run "$build/test_tensor_cores" --device sim 0
    [ "$status" -eq 64 ]
    run "$build/test_tensor_cores" --devices
    [ "$status" -eq 64 ]
    run "$build/test_tensor_cores" --wgmma 0
    [ "$status" -eq 64 ]
    "$KIT/train_gpt" --task boolq --model tiny --data builtin --device cuda --dry-run 2>/dev/null || {
        run "$build/test_tensor_cores" --wgmma
        [ "$status" -eq 69 ]
    }
    run "$build/test_tensor_cores" "$BATS_TEST_TMPDIR/none.safetensors"
    [ "$status" -eq 1 ]
}

@test "make_roberta refuses a tokenizer that is not there" {
    run "$build/make_roberta" "$BATS_TEST_TMPDIR/model" "$BATS_TEST_TMPDIR/none.json"
    [ "$status" -eq 66 ]
    [ "${#lines[@]}" -eq 1 ]
    run "$build/make_roberta"
    [ "$status" -eq 64 ]
}
