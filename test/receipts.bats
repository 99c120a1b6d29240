# What a prediction file says of its model and data, and what becomes of files that stand in the way. Run by test/run.sh;
# PROGRAMS is where the programs are.

load common

setup() {
    workplace
    train="$programs/train_gpt --threads 1"
    refused="$work/none"
    appended="--preds $refused"
    short="--task rte --data builtin --max-train 32 --max-eval 16 --epochs 1 --lr 1e-2 --quiet"
    llama="$work/llama"
}

make_llama() {
    "$build/make_llama" "$@"
}

# value KEY FILE: a metadata value of a prediction file
value() {
    grep -a -o "\"$1\":\"[^\"]*\"" "$2" | head -n 1 | cut -d '"' -f 4
}

# holds FOLDER NAME...: exactly these files are in the folder
holds() {
    local folder=$1
    shift
    diff <(ls -A "$folder") <(printf '%s\n' "$@" | LC_ALL=C sort)
}

@test "receipts: model, training data and kernels, the same for every seed" {
    $train $short --model tiny --seeds 1,2 --preds "$work/preds" >"$work/out" 2>&1
    for key in model_sha256 train_sha256 dataset_sha256 kernels_sha256; do
        [ "$(for f in "$work"/preds/*.bin; do value $key "$f"; done | sort -u | grep -cE '^[0-9a-f]{64}$')" -eq 1 ]
    done
    [ -z "$(value adapter_sha256 "$work"/preds/*.s1.bin)" ]
    [ "$(value train_sha256 "$work"/preds/*.s1.bin)" != "$(value dataset_sha256 "$work"/preds/*.s1.bin)" ]
}

@test "receipts: the kernels' digest is that of the sources, and the commit says where they were changed" {
    command -v git >/dev/null && git rev-parse HEAD >/dev/null 2>&1 || skip "needs a git repository"
    $train $short --model tiny --preds "$work/preds" >"$work/out" 2>&1
    sum=$(for f in $(ls base/rng.h base/scalar.h kernels/*.c kernels/*.h kernels/*.cu kernels/*.cuh kernels/*.def | LC_ALL=C sort); do echo "$f"; cat "$f"; done | sha256sum | cut -d ' ' -f 1)
    [ "$(value kernels_sha256 "$work"/preds/*.bin)" = "$sum" ]
    git clone -q . "$work/clone" 2>/dev/null
    version() { make -s -C "$work/clone" -f "$work/print.mk" print; }
    printf 'include %s/Makefile\nprint:\n\t@echo $(GIT) $(KERNELS_SHA256)\n' "$PWD" >"$work/print.mk"
    read -r commit kernels <<<"$(version)"
    [ "$commit" = "$(git rev-parse --short=12 HEAD)" ]
    echo '/* new */' >>"$work/clone/kernels/rope.c"
    read -r other changed <<<"$(version)"
    [ "$other" = "$commit-dirty" ]
    [ "$changed" != "$kernels" ]
    git -C "$work/clone" checkout -q kernels
    echo '/* new */' >>"$work/clone/base/scalar.h"
    read -r other changed <<<"$(version)"
    [ "$other" = "$commit-dirty" ]
    [ "$changed" != "$kernels" ]
    git -C "$work/clone" checkout -q base
    echo '/* new */' >"$work/clone/kernels/more.h"
    read -r other changed <<<"$(version)"
    [ "$other" = "$commit-dirty" ]
    [ "$changed" != "$kernels" ]
    rm "$work/clone/kernels/more.h"
    mkdir -p "$work/clone/data/RTE" && touch "$work/clone/data/RTE/train.tsv"
    [ "$(version)" = "$commit $kernels" ]
}

@test "receipts: other weights or training data under the same name have another digest; other seeds have not" {
    mkdir "$work/a" "$work/b" "$work/data"
    make_llama "$work/a/llama"
    cp -r "$work/a/llama" "$work/b/llama"
    # one byte of the last value
    size=$(stat -c %s "$work/b/llama/model.safetensors")
    printf '\x3c' | dd of="$work/b/llama/model.safetensors" bs=1 seek=$((size - 1)) conv=notrunc 2>/dev/null
    for run in a b; do
        $train $short --model "$work/$run/llama" --preds "$work/$run/preds" >"$work/out" 2>&1
    done
    [ "$(value model_sha256 "$work"/a/preds/*.bin)" != "$(value model_sha256 "$work"/b/preds/*.bin)" ]
    $train $short --model "$work/a/llama" --lora --seed 7 --preds "$work/lora" >"$work/out" 2>&1
    [ "$(value model_sha256 "$work"/a/preds/*.bin)" = "$(value model_sha256 "$work"/lora/*.bin)" ]
    mkdir "$work/data/RTE"
    printf 'index\tsentence1\tsentence2\tlabel\n0\tthe cat ran\tit ran\tentailment\n1\tthe dog ran\tit flew\tnot_entailment\n' >"$work/data/RTE/train.tsv"
    cp "$work/data/RTE/train.tsv" "$work/data/RTE/dev.tsv"
    $train --task rte --model tiny --epochs 1 --data "$work/data" --preds "$work/one" --quiet >/dev/null 2>&1
    sed -i 's/flew/swam/' "$work/data/RTE/train.tsv"
    $train --task rte --model tiny --epochs 1 --data "$work/data" --preds "$work/two" --quiet >/dev/null 2>&1
    [ "$(value dataset_sha256 "$work"/one/*.bin)" = "$(value dataset_sha256 "$work"/two/*.bin)" ]
    [ "$(value train_sha256 "$work"/one/*.bin)" != "$(value train_sha256 "$work"/two/*.bin)" ]
    [ "$(value train_sha256 "$work"/two/*.bin)" = "$(sha256sum "$work/data/RTE/train.tsv" | cut -d ' ' -f 1)" ]
}

@test "receipts: the adapter that a run started from" {
    make_llama "$llama"
    $train $short --model "$llama" --lora --preds "$work/first" --save "$work/adapter" >"$work/out" 2>&1
    $train $short --model "$llama" --adapter "$work/adapter" --preds "$work/second" >"$work/out" 2>&1
    [ -z "$(value adapter_sha256 "$work"/first/*.bin)" ]
    [ "$(value adapter_sha256 "$work"/second/*.bin)" = "$(sha256sum "$work/adapter/adapter_model.safetensors" | cut -d ' ' -f 1)" ]
    [ "$(value model_sha256 "$work"/first/*.bin)" = "$(value model_sha256 "$work"/second/*.bin)" ]
}

@test "a file of other bytes is kept under a number, one of the same bytes is said to be the same" {
    run="$train $short --model tiny --preds $work/preds"
    $run >"$work/out" 2>&1
    bin=$(ls "$work"/preds/*.bin)
    ! grep -qE 'same as before|^kept' "$work/out" || false
    $run >"$work/out" 2>&1
    grep -q "^wrote: $bin (same as before)\$" "$work/out"
    [ "$(ls "$work"/preds | wc -l)" -eq 2 ]
    cp "$bin" "$work/good"
    for i in 1 2; do
        echo "other bytes $i" >"$bin"
        $run >"$work/out" 2>&1
        grep -q "^kept: .* is now ${bin%.bin}.$i.bin\$" "$work/out"
        grep -q "^wrote: $bin\$" "$work/out"
        grep -q "other bytes $i" "${bin%.bin}.$i.bin"
        cmp "$bin" "$work/good"
    done
    : >"$bin"
    $run >"$work/out" 2>&1
    [ ! -s "${bin%.bin}.3.bin" ]
    cmp "$bin" "$work/good"
    [ "$(ls "$work"/preds | wc -l)" -eq 5 ]
    echo "other bytes 4" >"$work/elsewhere"
    ln -sf "$work/elsewhere" "$bin"
    $run >"$work/out" 2>&1
    grep -q 'other bytes 4' "${bin%.bin}.4.bin"
    [ -L "$bin" ]
    cmp "$work/elsewhere" "$work/good"
}

@test "a name that another run is writing is refused; a killed run leaves no lock" {
    long="$train --task rte --model tiny --data builtin --epochs 1000 --quiet --preds $work/preds"
    $long --save "$work/model" >/dev/null 2>&1 3>&- &
    first=$!
    for i in $(seq 100); do ls "$work"/preds/*.jsonl >/dev/null 2>&1 && break; sleep 0.1; done
    status=0
    $long >"$work/out" 2>"$work/err" || status=$?
    [ "$status" -eq 73 ]
    grep -q '\.bin: another process is writing it now' "$work/err"
    # other predictions into the same model folder would mix two models
    status=0
    $long --seed 8 --save "$work/model" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" -eq 73 ]
    grep -q 'model/model: another process is writing it now' "$work/err"
    # other seeds are other names
    $train --task rte --model tiny --data builtin --epochs 1000 --max-steps 1 --seed 7 --quiet --preds "$work/preds" >"$work/out" 2>&1
    kill -KILL $first
    wait $first || true
    ls "$work"/preds/*.lock
    $long >/dev/null 2>&1 3>&- &
    second=$!
    sleep 0.5
    kill -TERM $second
    status=0
    wait $second || status=$?
    [ "$status" -eq 75 ]
    [ -z "$(ls "$work"/preds/*.lock 2>/dev/null)" ]
    mkdir "$work/taken"
    name=$(basename "$(ls "$work"/preds/*.s7.bin)")
    mkdir "$work/taken/$name"
    status=0
    $train --task rte --model tiny --data builtin --epochs 1000 --max-steps 1 --seed 7 --quiet --preds "$work/taken" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" -eq 73 ]
    grep -q 'a folder has that name' "$work/err"
    holds "$work/taken" "$name"
}

@test "a base model that is cut or rewritten while it is mapped ends the run" {
    make_llama "$llama" 128
    cp "$llama/model.safetensors" "$work/whole"
    half=$(($(stat -c %s "$work/whole") / 2))
    # what is done to the file, the exit codes that are right, and the message
    for change in "truncate -s $half FILE" "truncate -s 0 FILE" "dd if=/dev/zero of=FILE bs=1000 seek=50 count=1 conv=notrunc status=none" "touch FILE"; do
        cp "$work/whole" "$llama/model.safetensors"
        $train --task rte --data builtin --model "$llama" --lora --epochs 100 --max-steps 60 --quiet --preds "$work/preds" --save "$work/saved" >"$work/out" 2>"$work/err" 3>&- &
        pid=$!
        for i in $(seq 100); do ls "$work"/preds/*.jsonl >/dev/null 2>&1 && break; sleep 0.05; done
        ${change/FILE/"$llama/model.safetensors"}
        status=0
        wait $pid || status=$?
        [ "$status" -eq 65 ] || [ "$status" -eq 74 ]
        [ "$(grep -vc "^NOTE" "$work/err")" -eq 1 ]
        grep -qE "^train_gpt: $llama/model.safetensors: was (cut|changed)" "$work/err"
        [ -z "$(find "$work/preds" "$work/saved" -type f ! -name '*.jsonl' ! -name '*.lock')" ]
        [ ! -s "$work/out" ]
        rm -rf "$work/preds"
    done
}

@test "a base model that is replaced by another file under its name does no harm" {
    make_llama "$llama" 128
    options="--task rte --data builtin --model $llama --lora --epochs 100 --max-steps 40 --quiet"
    $train $options --preds "$work/a" >"$work/out" 2>&1
    $train $options --preds "$work/b" >"$work/out" 2>&1 3>&- &
    pid=$!
    for i in $(seq 100); do ls "$work"/b/*.jsonl >/dev/null 2>&1 && break; sleep 0.05; done
    echo damaged >"$work/other"
    mv "$work/other" "$llama/model.safetensors"
    wait $pid
    cmp "$work"/a/*.bin "$work"/b/*.bin
}

@test "peak memory is the process's own, not that of the program that started it" {
    command -v python3 >/dev/null || skip "needs python3 to start a run from a large process"
    cat >"$work/launch.py" <<'END'
import subprocess, sys
held = bytearray(b"x") * (int(sys.argv[1]) << 20)
sys.exit(subprocess.run(sys.argv[2:]).returncode)
END
    for mib in 1 300; do
        python3 "$work/launch.py" $mib $train $short --model tiny --preds "$work/preds" >"$work/out" 2>&1
        [ "$(sed -n 's/.*peak memory \([0-9]*\) MiB/\1/p' "$work/out")" -lt 100 ]
        [ "$(grep -o '"peak_bytes":[0-9]*' "$work"/preds/*.jsonl | cut -d : -f 2)" -lt 100000000 ]
    done
}

@test "every seed starts from the adapter that the first one started from" {
    make_llama "$llama"
    $train $short --model "$llama" --lora --seeds 1,2 --save "$work/set" --preds "$work/first" >"$work/out" 2>&1
    for save in "$work/set" "$work/set/../set/"; do
        fails 64 'is the folder of the adapter that all seeds start from' \
            $train $short --model "$llama" --adapter "$work/set/s1" --seeds 1,2 --save "$save"
        fails 64 'is the folder of the adapter' $train $short --model "$llama" --adapter "$work/set/s2" --seeds 1,2 --save "$save"
    done
    # one run may go on in its place
    cp -r "$work/set/s1" "$work/one"
    $train $short --model "$llama" --adapter "$work/one" --save "$work/one" --preds "$work/first" >"$work/out" 2>&1
    # another adapter in its place while the seeds run, of the same name and shape
    cp -r "$work/set/s1" "$work/changed"
    cp "$work/set/s2/adapter_model.safetensors" "$work/new"
    $train $short --model "$llama" --adapter "$work/changed" --seeds 1-200 --preds "$work/many" >"$work/out" 2>"$work/err" &
    run=$!
    until ls "$work"/many/*.s1.bin >/dev/null 2>&1; do sleep 0.02; done
    mv "$work/new" "$work/changed/adapter_model.safetensors"
    code=0
    wait $run || code=$?
    [ $code -eq 65 ]
    grep -q 'changed: the adapter was changed since these runs began; run again' "$work/err"
    [ "$(for f in "$work"/many/*.bin; do value adapter_sha256 "$f"; done | sort -u)" = \
        "$(sha256sum <"$work/set/s1/adapter_model.safetensors" | cut -d ' ' -f 1)" ]
    [ "$(ls "$work"/many/*.bin | wc -l)" -lt 200 ]
}
