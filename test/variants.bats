# Command-line tests of --kernel. Run by test/run.sh; PROGRAMS is where the programs are.

load common

setup() {
    workplace
    refused="$work/none"
    appended=""
    llama="$work/llama"
    "$build/make_llama" "$llama"
    for i in 1 2 3 4 5 6 7 8; do echo "In line $i the cat that sat on mat $i saw $i dogs run by."; done >"$work/text"
}

# kind NAME: the options of a short run
kind() {
    local model="tiny" rest="--task rte --data builtin --max-train 16 --batch 8 --max-eval 8 --dropout 0.1"
    case $1 in decoder* | language*) model=$llama ;; esac
    case $1 in language*) rest="--task lm --data $work/text --max-len 32 --batch 2" ;; esac
    case $1 in *adapters) rest="$rest --lora --lora-targets all --lora-dropout 0.1" ;; esac
    echo "--model $model $rest --epochs 2 --warmup 0 --lr 1e-2 --quiet"
}

kinds="encoder encoder-adapters decoder decoder-adapters language language-adapters"

# run KIND NAME OPTIONS...: predictions and weights in $work/NAME
run_kind() {
    local options=$(kind $1) name=$2
    shift 2
    $train $options --preds "$work/$name" --save "$work/$name/model" "$@" >"$work/out" 2>"$work/err"
}

@test "every variant runs in every kind of model that has its op, changes bits and is recorded" {
    variants=$($train --help | sed -n 's/^  \([a-z_]*=[a-z0-9]*\) .*/\1/p')
    [ "$(echo "$variants" | wc -l)" -ge 25 ]
    for kind in $kinds; do
        run_kind $kind $kind
    done
    for variant in $variants; do
        ran=""
        for kind in $kinds; do
            rm -rf "$work/run"
            status=0
            run_kind $kind run --kernel $variant || status=$?
            case $variant.$status in
            *.0) ran=${ran:-yes}; grep -a -q "$variant" "$work"/run/*.jsonl ;;
            *.64)
                grep -q "kernel $variant: it is not there on device" "$work/err" && { ran=skipped; break; }
                grep -q "kernel $variant changes nothing: this run never calls that op" "$work/err"
                continue ;;
            *=openblas.69) ran=skipped; break ;;
            *) echo "$variant in $kind: exit code $status: $(cat "$work/err")"; false ;;
            esac
            cmp -s "$work/$kind"/model/*.safetensors "$work"/run/model/*.safetensors || ran=changed
        done
        # sums of a norm of few groups may not change the float that it ends in
        case $variant.$ran in
        *.changed | *.skipped | sum_squares=*.yes | gradient_norm=*.yes) ;;
        *) echo "$variant changes nothing"; false ;;
        esac
        [ $ran != skipped ] || echo "# $variant: not on this machine" >&3
    done
}

@test "a variant of an op that the run never calls is refused by name" {
    local run="--task rte --data builtin --max-train 16 --max-eval 8 --quiet --preds $work/none"
    never() { fails 64 "kernel $1 changes nothing: this run never calls that op" $train $run --kernel "$@"; }
    never rope=float64 --model tiny
    never layernorm_forward=float64 --model "$llama"
    never lora_forward=float64 --model "$llama"
    never embedding_backward=reverse --model "$llama" --lora
    never matmul_backward_weight=float64 --model tiny --epochs 0
    never rope=float64 --model tiny --dry-run
    # one of several
    fails 64 'kernel swiglu_forward=float64 changes' $train $run --model tiny --kernel matmul_forward=float64 --kernel swiglu_forward=float64
}

@test "a variant is every op that has its sum, and NULL where the op may get NULL" {
    for choice in layernorm_forward=serial layernorm_forward=float64; do
        run_kind encoder $choice --kernel $choice
    done
    # frozen norms have no gradient, a decoder no table of positions
    run_kind encoder-adapters frozen --kernel layernorm_backward=float64
    run_kind decoder words --kernel embedding_backward=reverse
    run_kind decoder-adapters norms --kernel rmsnorm_backward=float64
}

@test "variants give the same bits with every build and number of threads" {
    kernels="--kernel matmul_forward=pairwise --kernel attention_forward=float64 --kernel bias_backward=chain"
    run_kind encoder first $kernels
    for other in "--simd scalar" "--simd avx2" "--threads 1" "--threads 3"; do
        run_kind encoder other $kernels $other || { echo "# $other: not on this machine" >&3; continue; }
        cmp "$work"/first/model/*.safetensors "$work"/other/model/*.safetensors
    done
}

@test "cuBLAS is loaded where it is, and named where it is not or fails" {
    local run="--task rte --data builtin --model tiny --max-train 8 --max-eval 8 --epochs 1 --quiet --device sim --kernel matmul_forward=cublas"
    fails 64 'matmul_forward=cublas: it is not there on device cpu' $train $run --device cpu
    fails 69 'variant cublas: device sim has none' $train $run
    ${CC:-cc} -shared -fPIC -o "$work/libcublas.so.13" test/cublas_stub.c -ldl # as an installed one, which sim never loads
    LD_LIBRARY_PATH=$work fails 69 'variant cublas: device sim has none' $train $run
    ${CC:-cc} -shared -fPIC -o "$work/libcublas_sim.so" test/cublas_stub.c -ldl
    export LD_LIBRARY_PATH=$work
    CUBLAS_FAIL=create fails 69 'variant cublas: cublasCreate: status 13' $train $run
    CUBLAS_FAIL=property fails 69 'libcublas_sim.so is cuBLAS of no known version, versions' $train $run
    for major in 10 14; do
        CUBLAS_MAJOR=$major fails 69 "libcublas_sim.so is cuBLAS $major.2.1, versions 11 to 13 are known; leave cublas, tf32 and --fast out" $train $run
    done
    "$build/test_ops" --only matmul --mode test >"$work/out"
    grep -q ' 0 failed' "$work/out"
    CUBLAS_FAIL=math fails 69 'cublasSgemm: status 13' "$build/test_ops" --only matmul_forward --mode test
    CUBLAS_FAIL=sgemm fails 69 'cublasSgemm: status 13' "$build/test_ops" --only matmul_forward --mode test
}

@test "--fast is TF32 on a GPU alone, other bits, and says so in what it writes" {
    local run="--task rte --data builtin --model tiny --max-train 8 --max-eval 8 --epochs 2 --quiet"
    fails 64 'matmul_forward=tf32: it is not there on device cpu; leave it out' $train $run --fast --device cpu
    fails 64 'matmul_forward=tf32 was chosen before' $train $run --fast --kernel matmul_forward=float64 --device sim
    ${CC:-cc} -shared -fPIC -o "$work/libcublas_sim.so" test/cublas_stub.c -ldl
    export LD_LIBRARY_PATH=$work
    NVIDIA_TF32_OVERRIDE=0 fails 64 '$NVIDIA_TF32_OVERRIDE is 0: cuBLAS computes what it says.*unset it' $train $run --fast --device sim
    for variable in NVIDIA_TF32_OVERRIDE CUBLAS_EMULATE_SINGLE_PRECISION; do
        fails 64 "\$$variable is 1" env $variable=1 $train $run --device sim --kernel matmul_forward=cublas
    done
    $train $run --device sim --preds "$work/exact" --save "$work/exact/model"
    $train $run --device sim --preds "$work/fast" --save "$work/fast/model" --fast --trace "$work/trace"
    ! cmp -s "$work"/exact/model/model.safetensors "$work"/fast/model/model.safetensors || false
    grep -aq '"kernels": *"matmul_forward=tf32"' "$work"/fast/*.bin
    grep -q 'matmul_forward=tf32' "$work"/fast/*.jsonl
    ! grep -aq 'tf32' "$work"/exact/*.bin || false
    grep -aq '"arithmetic": *"fast"' "$work"/fast/*.bin
    grep -aq '"arithmetic": *"exact"' "$work"/exact/*.bin
    # cublas is float32: with the test's library, which sums in double, the variant float64 of the cpu
    $train $run --device sim --preds "$work/f32" --save "$work/f32/model" --kernel matmul_forward=cublas
    $train $run --device cpu --preds "$work/double" --save "$work/double/model" --kernel matmul_forward=float64
    cmp "$work"/f32/model/model.safetensors "$work"/double/model/model.safetensors
    # the library that computed it, once in each output
    grep -aq '"library": *"cuBLAS 13.2.1"' "$work"/fast/*.bin
    grep -q '"library":"cuBLAS 13.2.1"' "$work"/fast/*.jsonl
    ! grep -aq '"library"' "$work"/exact/*.bin || false
    grep -aq '"library": *"cuBLAS 13.2.1"' "$work/trace"
    $train ${run% --quiet} --device sim --fast --dry-run 2>"$work/err"
    grep -q '^machine .*, variants matmul_forward=tf32 by cuBLAS 13.2.1$' "$work/err"
}

@test "OpenBLAS is named with its version and processor; one with sizes of 64 bits is refused" {
    cat >"$work/stub.c" <<'END'
#include <stdlib.h>
const char *openblas_get_config(void) { return getenv("OPENBLAS_SAYS"); }
const char *openblas_get_corename(void) { return "Abacus"; }
void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                 float beta, float *c, int ldc)
{
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
            float sum = 0;
            for (int l = k - 1; l >= 0; l--) {
                sum += a[i * lda + l] * b[j * ldb + l];
            }
            c[i * ldc + j] = sum + beta * c[i * ldc + j];
        }
    }
}
END
    ${CC:-cc} -shared -fPIC -o "$work/libopenblas.so.0" "$work/stub.c"
    export LD_LIBRARY_PATH=$work
    local run="$(kind encoder) --kernel matmul_forward=openblas --device cpu"
    OPENBLAS_SAYS="OpenBLAS 0.3.99 NO_LAPACK Abacus" $train $run --preds "$work/one"
    grep -aq '"library": *"OpenBLAS 0.3.99 (Abacus)"' "$work"/one/*.bin
    OPENBLAS_SAYS="OpenBLAS" $train $run --preds "$work/two"
    grep -aq '"library": *"OpenBLAS (Abacus)"' "$work"/two/*.bin
    # other bits may come of it: runs of one seed are not one run, and those of two seeds are named
    OPENBLAS_SAYS="OpenBLAS 0.3.98" $train $run --preds "$work/three" --seed 7
    fails 65 "the same seeds as .* with another library; compare: .*--compare 'library=OpenBLAS 0.3.99 (Abacus)' 'library=OpenBLAS (Abacus)'" \
        "$programs/consistency" "$work"/one/*.bin "$work"/two/*.bin
    "$programs/consistency" --compare 'library=OpenBLAS 0.3.99 (Abacus)' 'library=OpenBLAS (Abacus)' "$work"/one/*.bin "$work"/two/*.bin
    "$programs/consistency" "$work"/one/*.bin "$work"/three/*.bin >"$work/report"
    grep -q 'library' "$work/report"
    OPENBLAS_SAYS="OpenBLAS 0.3.99 USE64BITINT" fails 69 'libopenblas.so.0 is OpenBLAS 0.3.99 (Abacus) with sizes of 64 bits' $train $run
}

@test "--seed-order draws the order of sums, and nothing else" {
    run_kind encoder a --kernel all=shuffled
    cmp "$work/a/model/model.safetensors" <(run_kind encoder b --kernel all=shuffled --seed-order 42 --threads 1 --simd scalar; cat "$work/b/model/model.safetensors")
    run_kind encoder c --kernel all=shuffled --seed-order 43
    ! cmp -s "$work/a/model/model.safetensors" "$work/c/model/model.safetensors" || false
    run_kind encoder d
    ! cmp -s "$work/a/model/model.safetensors" "$work/d/model/model.safetensors" || false
    [ -e "$work"/a/*.s42.bin ]
    [ -e "$work"/c/*.s42-42-42-43.bin ]
    grep -aq '"seed_order":"43"' "$work"/c/*.bin
    ! grep -aq seed_order "$work"/d/*.bin || false
    # the recipe is one, whatever the order's seed; its own of the plain run
    [ "$(basename "$work"/a/*.s42.bin | cut -d. -f5)" = "$(basename "$work"/c/*.bin | cut -d. -f5)" ]
    # every op that a run calls and that has a drawn order
    for kind in encoder decoder; do
        run_kind $kind e --kernel all=shuffled
        run_kind $kind f $($train --help | sed -n 's/^  \([a-z_]*=shuffled\) .*/\1/p' | grep -v "^all=" |
            case $kind in encoder) grep -v rms ;; *) grep -v layernorm ;; esac | sed 's/^/--kernel /')
        cmp "$work/e/model/model.safetensors" "$work/f/model/model.safetensors"
        rm -r "$work/e" "$work/f"
    done
    for options in "--seed-order 3" "--seed-order 3 --kernel bias_backward=chain"; do
        run $train $(kind encoder) --preds "$refused" $options
        [ "$status" -eq 64 ]
        [[ "$output" == *'add --kernel all=shuffled'* ]]
    done
    run $train $(kind encoder) --preds "$refused" --kernel all=shuffled --kernel matmul_forward=pairwise
    [ "$status" -eq 64 ]
    [[ "$output" == *'take the place of the same op'* ]]
    run $train $(kind encoder) --preds "$refused" --kernel all=shuffled --seed 1 --seed-init 1 --seed-data 1 --seed-dropout 1 --seed-order 1
    [ "$status" -eq 64 ]
    [[ "$output" == *'--seed-order leave it nothing'* ]]
    [ ! -e "$refused" ]
}
