#!/usr/bin/env bats
# Devices by name, and that all of them give the same bytes.

load common

setup() {
    workplace
    refused="$work/preds"
    appended="--preds $work/preds"
    short="--task rte --model tiny --data builtin --max-train 48 --max-eval 32 --quiet"
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
    for variant in layernorm_backward=atomic rmsnorm_backward=atomic bias_backward=atomic embedding_backward=atomic gelu_forward=erff swiglu_forward=fast; do
        fails 64 "kernel $variant: it is not there on device cpu" $train $short --device cpu --kernel $variant
    done
}

# How every variant of CUDA's alone ends in an encoder, in a decoder with adapters: other weights, the same ones (no
# sum over more than 256 k; frozen norms), or never: its op is not called.
cuda_variants() {
    cat <<'END'
matmul_forward=splitk same same
matmul_forward=cublas other other
matmul_forward=tf32 other other
matmul_backward_input=cublas other other
matmul_backward_weight=cublas other other
layernorm_backward=atomic other never
rmsnorm_backward=atomic never same
gelu_forward=erff other never
swiglu_forward=fast never other
bias_backward=atomic other never
embedding_backward=atomic other never
END
}

# trains NAME MODEL VARIANT...: a short run on the emulator, its predictions and weights in $work/NAME
trains() {
    local name=$1 model=$2
    shift 2
    $train --task rte --data builtin --model $model --max-train 4 --max-eval 2 --batch 4 --max-len 16 --epochs 1 --warmup 0 --lr 1e-2 --quiet \
        --device sim --preds "$work/$name" --save "$work/$name/model" "${@/#/--kernel=}" >"$work/out" 2>"$work/err"
}

@test "every variant of CUDA's kernels trains on the emulator and is stamped, or its op is never called" {
    "$build/make_llama" "$work/llama" >/dev/null
    ${CC:-cc} -shared -fPIC -o "$work/libcublas_sim.so" test/cublas_stub.c -ldl
    export LD_LIBRARY_PATH=$work CUDASIM_ORDER=reverse
    diff <($train --help | awk '/on CUDA/ { print $1 }') <(cuda_variants | cut -d ' ' -f 1)
    for model in tiny "$work/llama --lora"; do
        kind=$(basename "${model% --*}")
        trains $kind "$model"
        grep -aq '"arithmetic": *"exact"' "$work/$kind"/*.bin
        while read -r variant encoder decoder; do
            expected=$encoder
            [ $kind = tiny ] || expected=$decoder
            found=other
            trains "$kind.$variant" "$model" $variant || found=$?
            if [ $found = 64 ] && grep -q "kernel $variant changes nothing: this run never calls that op" "$work/err"; then
                found=never
            elif [ $found = other ]; then
                grep -aq "\"kernels\": *\"$variant\"" "$work/$kind.$variant"/*.bin
                grep -aq '"arithmetic": *"fast"' "$work/$kind.$variant"/*.bin
                cmp -s "$work/$kind"/model/*.safetensors "$work/$kind.$variant"/model/*.safetensors && found=same
            fi
            [ $found = $expected ] || { echo "$variant, $kind: $found, expected $expected: $(cat "$work/err")"; false; }
        done < <(cuda_variants)
    done
    # norms of a decoder are trained where all is; several variants stand in the order of variants.def
    trains whole "$work/llama" rmsnorm_backward=atomic embedding_backward=atomic matmul_forward=splitk
    grep -aq '"kernels": *"matmul_forward=splitk,rmsnorm_backward=atomic,embedding_backward=atomic"' "$work"/whole/*.bin
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

# same NAME OPTIONS...: the emulated GPU writes what the cpu writes: predictions, weights and the log
same() {
    local name=$1
    shift
    for device in cpu sim; do
        $train "$@" --quiet --seed 3 --device $device --preds "$work/$device.$name" --save "$work/$device.$name.saved" >"$work/out" 2>&1 ||
            { cat "$work/out"; return 1; }
    done
    [ -s "$work/cpu.$name.saved/"*.safetensors ]
    for file in $(ls "$work/cpu.$name"/*.bin "$work/cpu.$name.saved"/*.safetensors 2>/dev/null); do # lm writes no .bin
        cmp "$file" "$work/sim.${file#"$work/cpu."}"
    done
    diff <(log_of "$work/cpu.$name") <(log_of "$work/sim.$name")
}

@test "the emulated GPU gives the bytes of the cpu: an encoder, regression, multiple choice" {
    few="--data builtin --max-train 20 --max-eval 6 --batch 8 --epochs 2"
    same encoder --task rte --model tiny $few --select best
    same regression --task stsb --model tiny $few --micro-batch 3 --recompute
    same choice --task copa --model tiny $few
}

@test "the emulated GPU gives the bytes of the cpu: a decoder, a language model" {
    "$build/make_llama" "$work/llama" >/dev/null
    few="--model $work/llama --max-train 12 --max-eval 6 --batch 6 --epochs 1"
    same decoder --task rte --data builtin $few --dropout 0.1
    for i in $(seq 12); do printf 'text %d of a few words\n\n' "$i"; done >"$work/text"
    same language --task lm --data "$work/text" $few --max-len 32 --micro-batch 4 --recompute
}

@test "the emulated GPU gives the bytes of the cpu: adapters" {
    "$build/make_llama" "$work/llama" >/dev/null
    few="--model $work/llama --max-train 12 --max-eval 6 --batch 6 --epochs 1 --lora"
    same adapters --task rte --data builtin $few --lora-targets all --lora-dropout 0.1 --recompute --micro-batch 4
    for i in $(seq 12); do printf 'text %d of a few words\n\n' "$i"; done >"$work/text"
    same language --task lm --data "$work/text" $few --max-len 32
}
