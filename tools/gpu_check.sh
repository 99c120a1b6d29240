#!/bin/bash
# Evidence from a GPU, in calls of less than ten minutes.
#   tools/gpu_check.sh prepare     where the tools to build are: fills .gpu with programs that need libc and libm alone, and with
#                                  what a build elsewhere takes (headers and static libraries of jansson, xxhash, libcrypto and stb)
#   tools/gpu_check.sh list        the parts: group, limit in seconds, name
#   tools/gpu_check.sh WHAT...     where the GPU is, in a copy of this tree with .gpu in it: the parts of these groups, and
#                                  those whose names match. Groups, the most telling first, a call each (or as many as fit):
#                                  bits, models, speed, faults
# Each part has a time limit and adds its line at once to gpu-report/table.txt and its output to log.txt, so that a late
# fault costs no earlier result, nor a call another one's; there are no more files than these, device.txt and profile.json.
# Exit code 1 if a part failed, was cut off or skipped, 69 if there is no device.
# $KIT is another folder than .gpu, $REPORT than gpu-report; models of 10 GB go to $TMPDIR. DEVICE=sim or fence tries this
# script without a GPU, with $ROBERTA ("LAYERS WIDTH") and $LLAMA (a width) for smaller models.
set -u -o pipefail
cd "$(dirname "$0")/.."
kit=${KIT:-.gpu} report=${REPORT:-gpu-report} device=${DEVICE:-cuda}
programs=(train_gpt test_ops test_tensor_cores digests bench make_llama make_roberta)
most=570 # seconds of all parts

prepare() {
    local library
    mkdir -p "$kit/include/stb" "$kit/include/openssl" "$kit/lib" build-gpu || return
    for library in jansson xxhash crypto; do
        cp "$(${CC:-gcc} -print-file-name=lib$library.a)" "$kit/lib/" || { echo "gpu_check: no lib$library.a: make deps" >&2; return 69; }
    done
    cp $(dpkg -L libjansson-dev libxxhash-dev | grep 'include/.*\.h$') "$kit/include/" || return
    cp $(dpkg -L libssl-dev | grep 'include/.*openssl/.*\.h$') "$kit/include/openssl/" || return
    cp /usr/include/stb/stb_ds.h "$kit/include/stb/" || return
    cp -f ../shared/tokenizers/roberta-base/tokenizer.json "$kit/roberta-tokenizer.json" || echo "gpu_check: no RoBERTa runs there" >&2
    # static, but for libc and libm; what -fopenmp adds behind is there already and falls out
    make -j"$(nproc)" BUILD=build-gpu PROGRAMS=build-gpu GPUS="${GPUS:-90}" \
        LDLIBS='$(CUDART) -Wl,--as-needed -l:libjansson.a -l:libxxhash.a -l:libcrypto.a -l:libgomp.a -ldl -lrt -lpthread -lm' \
        "${programs[@]/#/build-gpu/}" >build-gpu/log 2>&1 || { tail -n 5 build-gpu/log >&2; return 70; }
    for library in "${programs[@]}"; do
        strip -o "$kit/$library" "build-gpu/$library" || return
    done
    local needed
    needed=$(objdump -p "${programs[@]/#/$kit/}" | awk '$1 == "NEEDED" && $2 !~ /^(libc|libm|ld-linux-.*)\.so/ { print $2 }' | sort -u)
    [ -z "$needed" ] || { echo "gpu_check: the programs need $needed" >&2; return 70; }
    du -sh "$kit"
}

say() { # NAME RESULT TEXT
    [ "$2" = ok ] || all_ok=0
    printf '%-34s %-8s %4d s  %s\n' "$1" "$2" $((SECONDS - began)) "$3" | tee -a "$report/table.txt"
}

group() { # NAME: of the parts that follow
    group=$1
}

wanted() { # NAME: of a part
    local what
    for what in "${asked[@]}"; do
        [ "$what" != "$group" ] || return 0
        case $what in bits | models | speed | faults) ;; *) [[ ! $1 =~ $what ]] || return 0 ;; esac
    done
    return 1
}

# part NAME SECONDS COMMAND...: one line, whose text is the last line of what the command says
part() {
    local name=$1 limit=$2 code=0 left=$((most - SECONDS)) log=$work/log
    shift 2
    if [ "$listing" = 1 ]; then
        printf '%-8s %4d s  %s\n' "$group" "$limit" "$name"
        return 0
    fi
    wanted "$name" || return 0
    began=$SECONDS
    if [ "$left" -lt 15 ]; then
        say "$name" SKIPPED "no time is left"
        return 1
    fi
    timeout -k 5 $((limit < left ? limit : left)) "$@" >"$log" 2>&1 || code=$?
    { echo "=== $name: exit code $code, $((SECONDS - began)) s" && tail -c 1000000 "$log"; } >>"$report/log.txt"
    case $code in
    0) say "$name" ok "$(tail -n 1 "$log" | cut -c 1-110)" ;;
    69) say "$name" SKIPPED "$(tail -n 1 "$log" | cut -c 1-110)" ;;
    124 | 137) say "$name" "CUT OFF" "$(tail -n 1 "$log" | cut -c 1-110)" ;;
    *) say "$name" FAILED "exit code $code: $( (grep -m 1 -E 'FAILED|DIFFERENT' "$log" || tail -n 1 "$log") | cut -c 1-100)" ;;
    esac
    return $code
}

# The same training on the cpu and the device: digests of weights and predictions must be the same.
same_run() { # NAME OPTIONS...
    local dir=$work/run-$1 where file count
    shift
    for where in cpu "$device"; do
        "$bin/train_gpt" --quiet --seed 52 --device "$where" --preds "$dir/$where/preds" --save "$dir/$where/model" "$@" || return
        for file in "$dir/$where"/*/*.safetensors "$dir/$where"/*/*.bin; do
            [ ! -e "$file" ] || "$bin/digests" "$file" || return
        done >"$dir/$where.digests"
    done
    count=$(wc -l <"$dir/cpu.digests")
    diff "$dir/cpu.digests" "$dir/$device.digests" || { echo "DIFFERENT: digests of the device"; return 1; }
    rm -rf "$dir"
    [ "$count" -gt 0 ] || { echo "FAILED: nothing was written"; return 1; }
    echo "$count digests of weights and predictions are the same"
}

verify() {
    SEEDBED_DEVICE=$device BUILD=$bin PROGRAMS=$bin test/verify.sh
}

sanitizer() { # TOOL; on some virtual machines it says that the device is not supported
    command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is not installed"; return 69; }
    compute-sanitizer --tool "$1" --error-exitcode 9 "$bin/test_ops" --device "$device" --repeat 1 --mode test 2>&1 | tee "$work/said"
    local code=${PIPESTATUS[0]}
    ! grep -qi 'device not supported' "$work/said" || { echo "compute-sanitizer: the device is not supported"; return 69; }
    return "$code"
}

# The same ops and steps by PyTorch, where it is.
ops_speed() {
    "$bin/test_ops" --device "$device" --mode perf | tee "$work/speed"
    return "${PIPESTATUS[0]}"
}

torch_ops() {
    "$PYTHON" -c 'import torch' 2>/dev/null || { echo "PyTorch is not installed"; return 69; }
    [ -s "$work/speed" ] || { echo "ours come from the part \"ops, speed\" of the same call"; return 69; }
    "$PYTHON" tools/torch_ops.py "$work/speed"
}

torch_steps() {
    "$PYTHON" -c 'import torch' 2>/dev/null || { echo "PyTorch is not installed"; return 69; }
    "$PYTHON" tools/torch_steps.py $ROBERTA
}

# Models are made once a call, by the first part that needs one.
roberta() {
    local tokenizer
    [ ! -f "$work/roberta/config.json" ] || return 0
    for tokenizer in "$kit/roberta-tokenizer.json" ../shared/tokenizers/roberta-base/tokenizer.json; do
        [ ! -f "$tokenizer" ] || { "$bin/make_roberta" "$work/roberta" "$tokenizer" $ROBERTA; return; }
    done
    echo "there is no tokenizer of RoBERTa's"
    return 69
}

llama() {
    [ -f "$work/llama/tokenizer.json" ] || "$bin/make_llama" "$work/llama" "$LLAMA"
}

roberta_run() {
    roberta || return
    same_run large --task boolq --model "$work/roberta" --data builtin --max-steps 2 --batch 16 --max-len 128 --max-eval 8
}

roberta_bf16() {
    roberta || return
    same_run bf16 --task boolq --model "$work/roberta" --data builtin --max-steps 1 --batch 4 --max-len 128 --max-eval 8 \
        --dtype bf16-block16
}

roberta_profile() {
    roberta || return
    "$bin/train_gpt" --task boolq --model "$work/roberta" --data builtin --device "$device" --seed 52 --max-steps 8 --max-eval 8 \
        --preds "$work/preds" --profile "$report/profile.json"
}

llama_run() {
    llama || return
    same_run llama --task rte --model "$work/llama" --data builtin --lora --lora-targets all --recompute --max-steps 2 --batch 4 \
        --max-len 128 --max-eval 8
}

llama_steps() {
    llama || return
    SEEDBED_DEVICE=$device "$bin/bench" large 0 "$work/llama"
}

build_here() { # PROGRAM...
    local there
    there=$(realpath "$kit")
    make -j"$(nproc)" BUILD=build-here PROGRAMS=build-here CC="gcc -I$there/include -L$there/lib" "$@" &&
        echo "the programs are in build-here"
}

# In the order of what they tell; a new one is a line here.
parts() {
    local tool minilm=../shared/models/all-MiniLM-L6-v2
    group bits
    part "scalar.h and rng.h, all words" 90 "$bin/test_ops" --device "$device" --mode words
    part "ops, every bit" 150 "$bin/test_ops" --device "$device" --mode test
    part "ops, gradients" 60 "$bin/test_ops" --device "$device" --mode grad
    part "runs: encoder, decoder, LoRA, lm" 90 bash -c verify
    part "tensor cores, every bit" 60 "$bin/test_tensor_cores" --device "$device"
    part "wgmma: the sums of block16" 30 "$bin/test_tensor_cores" --wgmma

    group models
    part "RoBERTa-large, random weights" 60 bash -c roberta
    part "run: RoBERTa-large, 2 steps" 120 bash -c roberta_run
    part "run: RoBERTa-large, bf16, 1 step" 80 bash -c roberta_bf16
    part "profile: RoBERTa-large" 40 bash -c roberta_profile
    part "Llama of 3.2 B, random weights" 60 bash -c llama
    part "run: Llama of 3.2 B, LoRA, 2 steps" 150 bash -c llama_run
    if [ -d $minilm ]; then
        part "run: MiniLM" 60 bash -c 'same_run minilm "$@"' - --task rte --model $minilm --data builtin --max-steps 8
    fi

    group speed
    part "ops, speed" 100 bash -c ops_speed
    part "ops, PyTorch's speed" 100 bash -c torch_ops
    part "steps: RoBERTa-large" 90 env SEEDBED_DEVICE="$device" "$bin/bench" roberta-large 0 $ROBERTA
    part "steps: PyTorch's RoBERTa-large" 110 bash -c torch_steps
    part "steps: Llama of 3.2 B, LoRA" 120 bash -c llama_steps
    part "steps: small Llama, LoRA" 50 env SEEDBED_DEVICE="$device" "$bin/bench" lora

    group faults
    for tool in memcheck racecheck synccheck initcheck; do
        part "sanitizer: $tool" 100 bash -c 'sanitizer "$@"' - $tool
    done
    part "ops, 1,000 times" 150 "$bin/test_ops" --device "$device" --repeat 1000 --mode test
}

check_device() {
    local asked=("$@") bin=$kit listing=0 all_ok=1 work
    mkdir -p "$report" || return 73
    work=$(mktemp -d) || return 73
    trap "rm -rf '$work'" EXIT
    SECONDS=0 began=0
    if [ "$device" = cuda ]; then
        nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader >"$report/device.txt" 2>&1 ||
            { say "device" FAILED "nvidia-smi finds no device"; return 69; }
    else
        echo "none: --device $device" >"$report/device.txt"
    fi
    export device report kit work bin ROBERTA LLAMA PYTHON PATH=$PATH:/usr/local/cuda/bin
    export -f build_here same_run verify sanitizer roberta llama roberta_run roberta_bf16 roberta_profile llama_run llama_steps ops_speed torch_ops torch_steps
    if ! "$bin/train_gpt" --help >/dev/null 2>&1; then # another libc
        asked=(.) group=build part "build" 200 bash -c 'build_here "$@"' - "${programs[@]/#/build-here/}" || return 1
        bin=build-here
    fi
    began=$SECONDS
    "$bin/train_gpt" --task boolq --model tiny --data builtin --device "$device" --dry-run >"$work/log" 2>&1 ||
        { say "device" FAILED "$(tail -n 1 "$work/log")"; return 69; }
    say "device" ok "$(head -n 1 "$report/device.txt"); $(nproc) cores; $(date -u +%FT%TZ)"
    parts
    [ $all_ok -eq 1 ]
}

# Layers and width of the large encoder, width of the large decoder.
ROBERTA=${ROBERTA:-} LLAMA=${LLAMA:-3B} PYTHON=${PYTHON:-python3}
case ${1:-} in
prepare) prepare ;;
list) listing=1 bin=$kit work= && parts ;;
'' | -*) sed -n '3,9s/^# *//p' "$0" >&2; exit 64 ;;
*) check_device "$@" ;;
esac
