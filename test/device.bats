#!/usr/bin/env bats
# Devices by name, and that all of them give the same bytes.

load common

setup() {
    cd "$BATS_TEST_DIRNAME/.."
    train="$(cd "${PROGRAMS:-.}" && pwd)/train_gpt"
    work="$BATS_TEST_TMPDIR"
    refused="$work/preds"
    appended="--preds $work/preds"
    short="--task rte --model tiny --data builtin --max-train 48 --max-eval 32 --quiet"
    unset SEEDBED_MODEL SEEDBED_DATA SEEDBED_DEVICE
}

@test "a device that there is not is refused; the variable names the default" {
    fails 64 'device gpu.*cpu, cuda, sim, fence and auto' $train $short --device gpu
    SEEDBED_DEVICE=gpu fails 64 'device gpu' $train $short
    appended= SEEDBED_DEVICE=gpu fails 64 'device gpu' "${train%train_gpt}merge" base adapter out
    SEEDBED_DEVICE=gpu $train $short --device cpu --dry-run
}

@test "a device with kernels of its own takes no --simd, and has its own variants" {
    fails 64 'simd scalar.*device sim has kernels of its own' $train $short --device sim --simd scalar
    fails 64 'matmul_forward=float64.*not there on device sim' $train $short --device sim --kernel matmul_forward=float64
    for variant in layernorm_backward=atomic bias_backward=atomic embedding_backward=atomic gelu_forward=erff swiglu_forward=fast; do
        fails 64 "kernel $variant: it is not there on device cpu" $train $short --device cpu --kernel $variant
    done
}

@test "the fence gives the bytes of the cpu" {
    for device in cpu fence; do
        $train $short --epochs 1 --seed 3 --device $device --preds "$work/$device" --save "$work/$device.model"
        $train $short --seed 3 --device $device --lora --lora-dropout 0.1 --micro-batch 3 --recompute --preds "$work/$device.lora" \
            --select best --epochs 2 --save "$work/$device.adapter"
    done
    cmp "$work"/cpu/*.bin "$work"/fence/*.bin
    cmp "$work"/cpu.lora/*.bin "$work"/fence.lora/*.bin
    cmp "$work/cpu.model/model.safetensors" "$work/fence.model/model.safetensors"
    cmp "$work/cpu.adapter/adapter_model.safetensors" "$work/fence.adapter/adapter_model.safetensors"
}
