#!/usr/bin/env bats
# tools/gpu_check.sh without a GPU: on the fence, with programs that are there or made to fail.

setup() {
    cd "$BATS_TEST_DIRNAME/.."
    build="$(cd "${BUILD:-build}" && pwd)" programs="$(cd "${PROGRAMS:-.}" && pwd)"
    export KIT="$BATS_TEST_TMPDIR/kit" REPORT="$BATS_TEST_TMPDIR/report" DEVICE=fence
    mkdir "$KIT"
    ln -s "$programs/train_gpt" "$build/test_ops" "$build/digests" "$build/bench" "$build/make_llama" "$build/make_roberta" "$KIT"
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
    DEVICE=cuda run tools/gpu_check.sh
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
    grep -qE '^profile: RoBERTa-large +ok ' "$REPORT/table.txt"
    [ ! -e "$REPORT/roberta-large" ]
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

@test "test_ops runs each shape as often as the parts ask" {
    for times in 1 2 5; do
        run "$build/test_ops" --device sim --only add --mode test --repeat $times
        [ "$status" -eq 0 ]
    done
    run "$build/test_ops" --device sim --only add --mode test --repeat 0
    [ "$status" -eq 64 ]
}

@test "make_roberta refuses a tokenizer that is not there" {
    run "$build/make_roberta" "$BATS_TEST_TMPDIR/model" "$BATS_TEST_TMPDIR/none.json"
    [ "$status" -eq 66 ]
    [ "${#lines[@]}" -eq 1 ]
    run "$build/make_roberta"
    [ "$status" -eq 64 ]
}
