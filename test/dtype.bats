# Command-line tests of --dtype. Run by test/run.sh; PROGRAMS is where the programs are.

load common

setup() {
    workplace
}

run_kind() { # KIND NAME OPTIONS...: predictions and weights in $work/NAME
    local options="--task rte --data builtin --max-train 16 --batch 8 --max-eval 8 --dropout 0.1 --epochs 1 --lr 1e-2 --device cpu --quiet"
    case $1 in
        encoder) options="$options --model tiny" ;;
        decoder) options="$options --model $work/llama --lora --lora-targets all --lora-r 3 --lora-dropout 0.1" ;;
    esac
    local name=$2
    shift 2
    $train $options --preds "$work/$name" --save "$work/$name/model" "$@" >"$work/out" 2>"$work/err"
}

weights() { cat "$work/$1"/model/*.safetensors; }

@test "each dtype has its own bits, with every build and number of threads, in an encoder and in adapters" {
    "${BUILD:-build}/make_llama" "$work/llama"
    for kind in encoder decoder; do
        run_kind $kind $kind
        for dtype in bf16-block16 bf16-block8 bf16-tile; do
            run_kind $kind $kind-$dtype --dtype $dtype
            for machine in "--simd scalar --threads 1" "--simd avx2 --threads 3"; do
                case $machine in *avx2*) grep -q avx2 /proc/cpuinfo || continue ;; esac
                run_kind $kind again --dtype $dtype $machine
                cmp <(weights $kind-$dtype) <(weights again)
                rm -r "$work/again"
            done
        done
        [ "$(for d in "$work/$kind"*; do weights "$(basename "$d")" | sha256sum; done | sort -u | wc -l)" -eq 4 ]
        rm -r "$work/$kind"*
    done
}

@test "the emulated GPU gives the bytes of the cpu, on tensor cores and without" {
    "${BUILD:-build}/make_llama" "$work/llama"
    for run in encoder:bf16-block16:90 encoder:bf16-block16:80 encoder:bf16-block8:90 decoder:bf16-block16:90 decoder:bf16-block8:80; do
        IFS=: read -r kind dtype capability <<<"$run"
        run_kind $kind cpu --dtype $dtype --max-train 8 --max-eval 4
        CUDASIM_CAPABILITY=$capability run_kind $kind sim --dtype $dtype --max-train 8 --max-eval 4 --device sim
        cmp <(weights cpu) <(weights sim)
        cmp "$work"/cpu/*.bin "$work"/sim/*.bin
        diff <(log_of "$work/cpu") <(log_of "$work/sim")
        without=0
        case $dtype:$capability in bf16-block16:80 | bf16-block8:90) without=1 ;; esac
        [ "$(grep -c "^NOTE: --dtype $dtype: tensor cores of compute capability" "$work/err")" -eq $without ]
        rm -r "$work/cpu" "$work/sim"
    done
}

@test "the dtype and its micro-batch are parts of the recipe, and a checkpoint of another one is refused" {
    run_kind encoder a --dtype bf16-block16
    grep -aq 'dtype..:..bf16-block16' "$work"/a/*.bin
    grep -aq 'micro_batch..:8' "$work"/a/*.bin
    grep -aq '"arithmetic": *"exact"' "$work"/a/*.bin
    run_kind encoder b --dtype bf16-block16 --micro-batch 4
    grep -aq 'micro_batch..:4' "$work"/b/*.bin
    run cmp -s <(weights a) <(weights b)
    [ "$status" -eq 1 ]
    run_kind encoder c
    run grep -aq 'micro_batch' "$work"/c/*.bin
    [ "$status" -eq 1 ]
    digests=$(for d in a b c; do basename "$work"/$d/*.s42.bin | cut -d. -f5; done | sort -u | wc -l)
    [ "$digests" -eq 3 ]
    "$programs/consistency" "$work"/a/*.bin "$work"/c/*.bin >"$work/report"
    [ "$(grep -c 'other recipe of this model and task: not mixed' "$work/report")" -eq 2 ]
    "$programs/consistency" --compare dtype=float32 dtype=bf16-block16 "$work"/a/*.bin "$work"/c/*.bin >"$work/report"
    grep -q 'dtype=bf16-block16' "$work/report"
    run_kind encoder d --dtype bf16-tile --keep-checkpoints
    checkpoint=$(ls -d "$work"/d/*.checkpoints | head -1)
    fails 78 'other settings: dtype "bf16-tile", now "bf16-block8"; go on with those' $train --task rte --data builtin --model tiny --max-train 16 --batch 8 --max-eval 8 --dropout 0.1 --epochs 1 --lr 1e-2 --device cpu --quiet --preds "$work/e" --dtype bf16-block8 --resume "$checkpoint"
}

@test "a traced run of a dtype is checked, and tracediff shows what the dtype changed" {
    for dtype in float32 bf16-block16; do
        run_kind encoder $dtype --dtype $dtype --trace "$work/$dtype.trace" --trace-level outputs
    done
    "$programs/check" --step 2 "$work/bf16-block16.trace" -- --simd scalar >"$work/out"
    grep -q '^step 2: equal, and so is all before it' "$work/out"
    run "$programs/tracediff" --explain "$work/float32.trace" "$work/bf16-block16.trace"
    [ "$status" -eq 1 ]
    grep -qx 'run dtype: float32 against bf16-block16' <<<"$output"
    grep -q '^first difference: step 1, micro-batch 0, forward, layer 0: out .* of matmul_forward$' <<<"$output"
    grep -q '^all within the bounds of rounding: another order or precision' <<<"$output"
}

@test "bad dtypes are refused, and what a device does not have is named" {
    local run="$train --task rte --model tiny --data builtin --max-train 8 --quiet --preds $work/none"
    fails 64 '--dtype bf16: there are float32, bf16-block16, bf16-block8, bf16-tile' $run --dtype bf16
    fails 64 '--dtype bf16-tile: device sim has float32, bf16-block16, bf16-block8; choose one' $run --dtype bf16-tile --device sim
    fails 64 '--kernel matmul_forward=float64 and --dtype bf16-tile take the place of the same op' \
        $run --dtype bf16-tile --kernel matmul_forward=float64 --device cpu
    fails 64 '--kernel dtype=tile: no such variant' $run --kernel dtype=tile --device cpu
    [ ! -e "$work/none" ]
    $train --task rte --model tiny --data builtin --max-train 8 --device cpu --dtype bf16-tile --dry-run 2>"$work/err"
    grep -q '^machine .* kernels, products bf16-tile$' "$work/err"
}
