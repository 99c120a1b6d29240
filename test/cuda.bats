#!/usr/bin/env bats
# Devices of CUDA's kind: what is not there is said, and what fails is one line with its exit code. The failures are
# made in the emulator ($CUDASIM_FAIL, test/cudasim/runtime.cc).

load common

setup() {
    cd "$BATS_TEST_DIRNAME/.."
    train="$(cd "${PROGRAMS:-.}" && pwd)/train_gpt"
    work="$BATS_TEST_TMPDIR"
    refused="$work/none"
    appended="--preds $work/none"
    short="--task rte --model tiny --data builtin --max-train 8 --max-eval 4 --epochs 1 --quiet"
    unset SEEDBED_MODEL SEEDBED_DATA SEEDBED_DEVICE
}

@test "the programs need no library of CUDA, nor of C++" {
    command -v objdump >/dev/null || skip "no objdump"
    for program in train_gpt merge; do
        others=$(objdump -p "${train%train_gpt}$program" | awk '$1 == "NEEDED" { print $2 }' |
            grep -vE '^(libc|libm|libdl|librt|libpthread|libgomp|libomp|libjansson|libxxhash|libmd|ld-linux.*)\.so' | grep -vE '^lib[atu].*san\.so' || true)
        [ -z "$others" ] || { echo "$program needs $others"; return 1; }
    done
}

@test "a GPU that is not there is refused by name, and auto takes the cpu" {
    if "$train" $short --device cuda --dry-run 2>"$work/err"; then skip "there is a GPU"; fi
    fails 69 '^train_gpt: --device cuda: .*--device cpu' "$train" $short --device cuda
    "$train" ${short% --quiet} --dry-run 2>&1 | grep -qE '^machine   [0-9]+ threads, (scalar|avx2|avx512) kernels'
}

@test "why there is no device: no driver, an old one, a stub, none found, no machine code" {
    CUDASIM_FAIL=getcount:35 fails 69 'no NVIDIA driver is installed.*--device cpu' "$train" $short --device sim
    CUDASIM_FAIL=getcount:35 CUDASIM_DRIVER=11040 fails 69 'too old: it knows CUDA 11.4, this program needs 1[0-9]\.' "$train" $short --device sim
    CUDASIM_FAIL=getcount:34 fails 69 'stub.*LD_LIBRARY_PATH' "$train" $short --device sim
    CUDASIM_FAIL=getcount:100 fails 69 'no GPU; see nvidia-smi' "$train" $short --device sim
    CUDASIM_FAIL=getcount:999 fails 69 'unrecognized error code (999)' "$train" $short --device sim
    CUDASIM_FAIL=image:1 fails 69 'no machine code for emulated GPU (compute capability 9.0).*make GPUS=90' "$train" $short --device sim
    CUDASIM_FAIL=mallochost:1 fails 69 'cudaMallocHost: out of memory' "$train" $short --device sim
}
