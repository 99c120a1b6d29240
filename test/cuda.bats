#!/usr/bin/env bats
# Devices of CUDA's kind: what is not there is said, and what fails is one line with its exit code. The failures are
# made in the emulator ($CUDASIM_FAIL, test/cudasim/environment.cc).

load common

setup() {
    workplace
    refused="$work/none"
    appended="--preds $work/none"
    short="--task rte --model tiny --data builtin --max-train 8 --max-eval 4 --epochs 1 --quiet"
}

@test "the programs need no library of CUDA, nor of C++" {
    command -v objdump >/dev/null || skip "no objdump"
    for program in train_gpt merge; do
        others=$(objdump -p "${train%train_gpt}$program" | awk '$1 == "NEEDED" { print $2 }' |
            grep -vE '^(libc|libm|libdl|librt|libpthread|libgomp|libomp|libjansson|libxxhash|libcrypto|ld-linux.*)\.so' | grep -vE '^lib[atu].*san\.so' || true)
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
    CUDASIM_FAIL=image:1 CUDASIM_CAPABILITY=86 fails 69 '(compute capability 8.6).*make GPUS=86' "$train" $short --device sim
    CUDASIM_FAIL=mallochost:1 fails 69 'cudaMallocHost: out of memory' "$train" $short --device sim
}

@test "a variable of the emulator that says nothing is refused" {
    while read -r variable pattern; do
        fails 64 "$pattern" env "$variable" "$train" $short --device sim
    done <<'END'
CUDASIM_ORDER=rnadom ^cudasim: $CUDASIM_ORDER: no such order: rnadom; did you mean random; there are forward, reverse, random, warps$
CUDASIM_ORDER= no such order: ; there are forward
CUDASIM_FAIL=maloc:3 $CUDASIM_FAIL: no such call: maloc; did you mean malloc; there are .*getcount$
CUDASIM_FAIL=launch $CUDASIM_FAIL, N: not a number from 1 to 1000000: ; did you mean 1$
CUDASIM_FAIL=launch:0 not a number from 1 to 1000000: 0; did you mean 1$
CUDASIM_FAIL=launch:7x : 7x; did you mean 7$
CUDASIM_MEMORY=16GB $CUDASIM_MEMORY: not a number from 1 to 1048576: 16GB; did you mean 16$
CUDASIM_MEMORY=-4 : -4; did you mean 1$
CUDASIM_MEMORY=99999999999999999999 did you mean 1048576$
CUDASIM_DRIVER=11.4 $CUDASIM_DRIVER: not a number from 1 to 1000000: 11.4; did you mean 11$
CUDASIM_CAPABILITY=8.0 $CUDASIM_CAPABILITY: not a number from 1 to 999: 8.0; did you mean 8$
END
    for order in forward reverse random warps; do
        CUDASIM_ORDER=$order "$train" $short --device sim --dry-run
    done
}

@test "test_ops --mode races is of the CPU and the emulator" {
    ops="$build/test_ops"
    for wrong in "--device cuda" "--device sim --repeat 2"; do
        status=0
        "$ops" --mode races $wrong >/dev/null 2>"$work/err" || status=$?
        [ "$status" -eq 64 ]
        grep -q '^usage: test_ops.*races' "$work/err"
    done
    "$ops" --mode races --only gelu_forward | grep -q " 0 failed$"
    "$ops" --mode races --device sim --only gelu_forward | grep -q ' 0 failed$'
}

# one_line CODE PATTERN COMMAND...: that exit code, and one line on stderr that matches
one_line() {
    local code=$1 pattern=$2
    shift 2
    local status=0
    "$@" >/dev/null 2>"$work/err" || status=$?
    grep -v '^NOTE' "$work/err" >"$work/message" || true
    [ "$status" -eq "$code" ] || { echo "exit code $status, expected $code: $(cat "$work/err")"; return 1; }
    [ "$(wc -l <"$work/message")" -eq 1 ] || { echo "not one line: $(cat "$work/message")"; return 1; }
    grep -q -e "$pattern" "$work/message" || { echo "message: $(cat "$work/message")"; return 1; }
}

# A run on the cpu, and later whether its files are as they were and no prediction file has come.
first_run() {
    "$train" $short --seed 3 --preds "$work/preds" --save "$work/model" >/dev/null 2>&1
    sha256sum "$work"/preds/* "$work"/model/* >"$work/sums"
}

files_stay() {
    sha256sum --check --quiet "$work/sums"
    [ "$(ls "$work/preds" | grep -c 'bin$')" -eq 1 ]
}

@test "memory that a device has not, at every allocation of a run: 71, and earlier files stay" {
    first_run
    run="$train $short --seed 4 --device sim --preds $work/preds"
    n=1
    while [ "$n" -lt 40 ] && ! CUDASIM_FAIL=malloc:$n $run >/dev/null 2>&1; do
        CUDASIM_FAIL=malloc:$n one_line 71 '^train_gpt: device sim: cudaMalloc: out of memory: [0-9.]* [KM]iB more are needed, 16.0 GiB are free; [a-z-]' $run
        files_stay
        n=$((n + 1))
    done
    [ "$n" -gt 6 ]
    [ "$n" -lt 40 ]
}

@test "a run that needs more memory than a device has names what fits, and that does" {
    run="$train ${short/--max-train 8/--max-train 64} --device sim --preds $work/preds"
    CUDASIM_MEMORY=1 one_line 71 'needs 3\.[0-9] MiB of memory, the device has room for .*; not even one example fits .*--recompute or not; try --lora' $run
    CUDASIM_MEMORY=1 one_line 71 'not even one example fits .*; try a smaller --max-len or model' $run --model tiny --max-len 256 --lora --lora-r 256 --lora-targets all
    for memory in 2 3; do
        CUDASIM_MEMORY=$memory one_line 71 "this run needs .*; --micro-batch [0-9]* fits" $run
        fitting=$(sed -n 's/.*; \(--micro-batch [0-9]*\) fits.*/\1/p' "$work/message")
        CUDASIM_MEMORY=$memory $run $fitting
    done
    # a call that fails once much is there: what fits into that
    CUDASIM_FAIL=malloc:8 one_line 71 'cudaMalloc: out of memory: .*; --micro-batch [0-9]* fits' $run
}

@test "a launch, a copy or a wait that fails: 70 with the op's or the call's name, and earlier files stay" {
    first_run
    run="$train $short --seed 4 --device sim --preds $work/preds"
    for n in 1 7 40 111; do
        CUDASIM_FAIL=launch:$n one_line 70 'op [a-z_]*: too many resources requested for launch' $run
        files_stay
    done
    CUDASIM_FAIL=address:40 one_line 70 'op [a-z_]*: an illegal memory access was encountered (700); without CUDA_LAUNCH_BLOCKING=1' $run
    files_stay
    for n in 1 5 30; do
        CUDASIM_FAIL=memcpy:$n one_line 70 'device sim: cudaMemcpyAsync to the [a-z]*: an illegal memory access.*CUDA_LAUNCH_BLOCKING' $run
        files_stay
    done
    for n in 1 3; do
        CUDASIM_FAIL=sync:$n one_line 70 'device sim: cudaStreamSynchronize: unspecified launch failure' $run
        files_stay
    done
}

# compiled OPTIONS...: the names of what nvcc compiles, with a compiler that notes them and makes empty objects, and whatever
# else make does
compiled() {
    env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES make -s BUILD="$work/build" "$@" "$work"/build/kernels/{norm,rope,table}.cuda.o \
        "$work/build/base/quote.o" >"$work/said" 2>&1 || return
    cat "$work/said"
}

@test "another nvcc, other flags or GPUs compile the CUDA kernels again, and nothing else" {
    mkdir "$work/bin"
    printf '%s\n' '#!/bin/bash' 'to=${@: -1}' 'echo "nvcc ${to##*/}"' 'exec gcc -x c -c /dev/null -o "$to"' >"$work/bin/nvcc"
    chmod +x "$work/bin/nvcc"
    ln "$work/bin/nvcc" "$work/bin/other"
    both=$'nvcc norm.cuda.o\nnvcc rope.cuda.o'
    [ "$(compiled NVCC="$work/bin/nvcc")" = "$both" ]
    touch "$work/before"
    for options in "NVCC=$work/bin/other" "NVCC=$work/bin/other GPUS=75" "NVCC=$work/bin/other GPUS=75 CUDAFLAGS=-O1"; do
        [ "$(compiled $options)" = "$both" ]
        [ -z "$(compiled $options)" ]
    done
    [ "$work/before" -nt "$work/build/base/quote.o" ]
    [ "$work/before" -nt "$work/build/kernels/table.cuda.o" ]
}
