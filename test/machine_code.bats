#!/usr/bin/env bats
# tools/machine_code.sh finds each thing that a kernel may not become. Needs nvcc, cuobjdump and nvdisasm.

setup() {
    work=$BATS_TEST_TMPDIR
    # as make calls it
    eval "$(make -s -n machine-code | sed 's/ tools.machine_code.sh$//; s/^@*/export /')"
    export GPUS="80 90"
    check=tools/machine_code.sh
}

needs_tools() {
    local status=0
    $check "$work/none.cu" >/dev/null 2>"$work/said" || status=$?
    [ $status -ne 69 ] || skip "$(cat "$work/said")"
}

@test "a tool that is not installed is named, with where it comes from" {
    NVCC=/none/nvcc run $check
    [ "$status" -eq 69 ]
    [ "$output" = "machine_code: nvcc is not there: it comes with the CUDA toolkit" ]
}

@test "atomics, approximations, halves and tensor cores are found in each machine code and in PTX" {
    needs_tools
    cat >"$work/bad.cu" <<'EOF'
#include <cuda_fp16.h>
#include <mma.h>
using namespace nvcuda::wmma;
__global__ void __launch_bounds__(32) good(float *x)
{
    x[0] = fmaf(x[1], x[2], x[3]) / sqrtf(x[4]) + x[5] * x[6];
}
__global__ void __launch_bounds__(32) sum_by_atomics(float *x) { atomicAdd(x, 1.0f); }
__global__ void __launch_bounds__(32) fast_exp(float *x) { x[0] = __expf(x[0]); }
__global__ void __launch_bounds__(32) fast_division(float *x) { x[0] = __fdividef(x[0], x[1]); }
__global__ void __launch_bounds__(32) halves(__half *x) { x[0] = x[1] * x[2]; }
__global__ void __launch_bounds__(32) tensor_cores(float *out, const __half *in)
{
    fragment<matrix_a, 16, 16, 16, __half, row_major> a;
    fragment<matrix_b, 16, 16, 16, __half, row_major> b;
    fragment<accumulator, 16, 16, 16, float> c;
    fill_fragment(c, 0.0f);
    load_matrix_sync(a, in, 16);
    load_matrix_sync(b, in, 16);
    mma_sync(c, a, b, c);
    store_matrix_sync(out, c, 16, mem_row_major);
}
EOF
    run $check "$work/bad.cu"
    echo "$output"
    [ "$status" -eq 1 ]
    for gpu in sm_80 sm_90; do
        grep -q "sum_by_atomics, $gpu: 1 x RED" <<<"$output"
        grep -q "fast_exp, $gpu: 1 x MUFU.EX2" <<<"$output"
        grep -q "halves, $gpu: 1 x HMUL2" <<<"$output"
        grep -q "tensor_cores, $gpu: . x HMMA" <<<"$output"
    done
    grep -q 'sum_by_atomics, compute_90: 1 x atom' <<<"$output"
    grep -q 'fast_division, compute_90: 1 x div.approx.f32' <<<"$output"
    ! grep -q 'good' <<<"$output" || false
    [[ ${lines[-1]} == "machine_code: "*" failed" ]]
}

@test "products of bf16 with sums in float32 have tensor cores, in the files that are named for it" {
    needs_tools
    cp kernels/matmul_block8.cu "$work/matmul_block8.cu"
    run $check "$work/matmul_block8.cu"
    echo "$output"
    [ "$status" -eq 0 ]
    cp kernels/matmul_block8.cu "$work/matmul.cu"
    run $check "$work/matmul.cu"
    echo "$output"
    [ "$status" -eq 1 ]
    grep -q 'block_product.*, sm_80: .* x HMMA.1688.F32.BF16' <<<"$output"
    grep -q 'block_product.*, compute_90: .* x mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32' <<<"$output"
}

@test "an operation that may be contracted is found, local memory and a warning do not compile" {
    needs_tools
    echo '__global__ void __launch_bounds__(32) product(float *x) { x[0] = x[1] * x[2]; }' >"$work/contracted.cu"
    CUDAFLAGS=${CUDAFLAGS/-fmad=false/} run $check "$work/contracted.cu"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ $output == *"product, compute_90: 1 x mul.f32"* ]]
    cat >"$work/local.cu" <<'EOF'
__global__ void __launch_bounds__(32) local(float *x, int i)
{
    float kept[64];
    for (int k = 0; k < 64; k++) {
        kept[(k * i) % 64] = x[k];
    }
    x[0] = kept[i];
}
EOF
    run $check "$work/local.cu"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ $output == *"local.cu: does not compile: "*[Ll]ocal*memory* ]]
    CUDAFLAGS=-O3 run $check "$work/local.cu"
    echo "$output"
    [[ $output == *"local, sm_90: "*" x STL"* ]]
    echo '__global__ void __launch_bounds__(32) warned(float *x) { int unused; x[0] = 0.0f; }' >"$work/warned.cu"
    run $check "$work/warned.cu"
    echo "$output"
    [[ $output == *"warned.cu: does not compile: "* ]]
}

@test "the kernels of optimizer.cu pass, with a row for each" {
    needs_tools
    run $check kernels/optimizer.cu
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == "machine_code: "*" passed, 0 failed"* ]]
    [[ $output == *'optimizer.cu `square_groups'*'` | 256 | '* ]]
}
