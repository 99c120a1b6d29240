# Command-line tests: what a user types, what comes back. Run by test/run.sh; PROGRAMS is where the programs are.

load common

setup() {
    workplace
    refused="$work/preds"
    appended="--preds $work/preds --quiet"
    # one short run of the demonstration
    short="--task rte --model tiny --data builtin --max-train 96 --max-eval 64 --epochs 1 --quiet"
}

# run A B OPTIONS...: one short run into $work/A and the model into $work/A/model
short_run() {
    local name=$1
    shift
    $train $short --seed 52 --preds "$work/$name" --save "$work/$name/model" "$@" >/dev/null 2>&1
}

same() {
    cmp "$work/$1"/*.bin "$work/$2"/*.bin
    cmp "$work/$1/model/model.safetensors" "$work/$2/model/model.safetensors"
}

# a folder with RTE's files of our own making
make_data() {
    mkdir -p "$work/data/RTE"
    printf 'index\tsentence1\tsentence2\tlabel\n0\tthe cat ran\tit ran\tentailment\n1\tthe dog ran\tit flew\tnot_entailment\n' >"$work/data/RTE/train.tsv"
    cp "$work/data/RTE/train.tsv" "$work/data/RTE/dev.tsv"
}

@test "the demonstration: three seeds beat the majority and differ" {
    $train --task boolq --seeds 42,52,62 --preds "$work/preds" >"$work/out" 2>"$work/err"
    grep -q 'NOTE: the data are a built-in sample' "$work/err"
    [ "$(grep -c '^wrote: ' "$work/out")" -eq 3 ]
    $consistency --format json "$work"/preds/*.bin >"$work/report.json"
    grep -q '"dataset": "builtin sample"' "$work/report.json"
    $consistency "$work"/preds/*.bin | awk '$1 == "boolq" { exit !($3 == 3 && $5 > 70 && $7 > 50 && $7 < 100) }'
}

@test "every kind of task runs on its built-in sample" {
    for task in cola mrpc cb copa stsb multirc wic wsc; do
        $train --task $task --model tiny --data builtin --max-train 64 --max-eval 32 --epochs 1 --quiet --preds "$work/preds" >/dev/null 2>&1
    done
    [ "$(ls "$work"/preds/*.bin | wc -l)" -eq 8 ]
    $consistency "$work"/preds/*.bin >/dev/null
}

@test "the closing lines: metric, majority, time, file, next command" {
    $train $short --preds "$work/preds" >"$work/out" 2>/dev/null
    [ "$(wc -l <"$work/out")" -eq 5 ]
    sed -n 1p "$work/out" | grep -q 'dev accuracy'
    sed -n 2p "$work/out" | grep -q '^majority'
    sed -n 3p "$work/out" | grep -q '^time'
    sed -n 4p "$work/out" | grep -q '^wrote'
    sed -n 5p "$work/out" | grep -q 'consistency'
}

@test "the same bytes: run twice, threads 1, 2, 3, 8" {
    short_run first
    short_run again
    same first again
    for threads in 1 2 3 8; do
        short_run t$threads --threads $threads
        same first t$threads
    done
}

@test "the same bytes: every instruction set that the machine has" {
    short_run first
    for simd in scalar avx2 avx512; do
        short_run $simd --simd $simd || { echo "# $simd: not on this machine" >&3; continue; }
        same first $simd
    done
}

@test "the same bytes: micro-batches of 1, 5 and all examples" {
    short_run first
    for micro in 1 5 16; do
        short_run m$micro --micro-batch $micro
        same first m$micro
    done
}

@test "the same bytes: gcc and clang" {
    command -v gcc >/dev/null && command -v clang >/dev/null || skip "needs gcc and clang"
    local other=clang
    [ "${CC:-gcc}" = clang ] && other=gcc
    env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES -u SANITIZE -u OPT make -j2 NVCC= CC=$other OPT=-O3 OPT_SIM=-O2 BUILD="$work/build" PROGRAMS="$work/build" "$work/build/train_gpt" >"$work/make.log" 2>&1 || { tail "$work/make.log"; false; }
    if grep "warning:" "$work/make.log" >"$work/warnings"; then head "$work/warnings"; false; fi
    short_run first
    train="$work/build/train_gpt"
    short_run other
    same first other
}

@test "the digests of docs/digests are reproduced" {
    test/verify.sh
}

@test "--select best takes the first of equally good epochs, in predictions and in weights" {
    local options="--task boolq --model tiny --data builtin --max-train 192 --max-eval 16 --lr 5e-3 --schedule constant --warmup 0 --quiet" log first=
    $train $options --epochs 8 --seeds 1-8 --select best --preds "$work/best" --save "$work/best" >/dev/null 2>&1
    for seed in 1 2 3 4 5 6 7 8; do # one whose best score comes twice, first behind another one
        log=$(ls "$work"/best/*.s$seed.jsonl)
        first=$(sed -n 's/.*"event":"epoch".*"value":\(.*\)}/\1/p' "$log" |
            awk 'NR == 1 || $1 > most { most = $1; first = NR; times = 0 } $1 == most { times++ } END { if (first > 1 && times > 1) print first }')
        [ -z "$first" ] || break
    done
    [ -n "$first" ]
    grep -a -q "\"epoch:$first\"" "${log%.jsonl}.bin"
    # a constant rate: training that ends there has the same weights
    $train $options --epochs "$first" --seed $seed --preds "$work/last" --save "$work/last" >/dev/null 2>&1
    cmp "$work/best/s$seed/model.safetensors" "$work/last/model.safetensors"
    for tensor in pred logits; do
        [ "$("$build/digests" "${log%.jsonl}.bin" | grep "^$tensor ")" = "$("$build/digests" "$work"/last/*.bin | grep "^$tensor ")" ]
    done
}

@test "seeds decide: each of the three alone changes the run" {
    short_run first
    for seed in init data dropout; do
        short_run $seed --seed-$seed 7
        if cmp -s "$work/first/model/model.safetensors" "$work/$seed/model/model.safetensors"; then false; fi
    done
    ls "$work/init" | grep -q 's7-52-52.bin'
}

@test "a kernel variant changes bits and is recorded" {
    short_run first
    short_run variant --kernel layernorm_forward=float64 --kernel sum_squares=float64
    if cmp -s "$work/first/model/model.safetensors" "$work/variant/model/model.safetensors"; then false; fi
    grep -a -q 'layernorm_forward=float64,sum_squares=float64' "$work"/variant/*.bin
}

@test "a saved model is read again, its head included" {
    short_run first
    $train --task rte --data builtin --model "$work/first/model" --max-train 32 --max-eval 64 --max-steps 1 --lr 0 --dropout 0 --preds "$work/again" >/dev/null 2>"$work/err"
    if grep -q 'made from the seed' "$work/err"; then false; fi
    cmp <(build/digests "$work"/first/*.bin | grep -E '^(pred|logits)') <(build/digests "$work"/again/*.bin | grep -E '^(pred|logits)') ||
        [ ! -x build/digests ]
}

@test "--select best, --eval-every, --max-steps, schedules and --dry-run" {
    for schedule in linear cosine constant; do
        $train $short --schedule $schedule --select best --epochs 2 --eval-every 2 --preds "$work/$schedule" --save "$work/$schedule/m" >/dev/null 2>&1
    done
    $train $short --max-steps 3 --preds "$work/steps" >/dev/null 2>&1
    [ "$(grep -c '"event":"step"' "$work"/steps/*.jsonl)" -eq 3 ]
    $train --task rte --model tiny --data builtin --dry-run --preds "$work/dry" 2>&1 | grep -q '^work '
    [ ! -e "$work/dry" ]
}

@test "--eval-every in steps: where it says so and at the end; the predictions are those of the last evaluation" {
    $train $short --max-steps 7 --batch 8 --eval-every 3steps --preds "$work/steps" >/dev/null 2>"$work/err"
    [ "$(sed -n 's/.*"event":"epoch".*"step":\([0-9]*\).*/\1/p' "$work"/steps/*.jsonl | tr '\n' ' ')" = '3 6 7 ' ]
    $train $short --max-steps 7 --batch 8 --eval-every 0 --preds "$work/last" >/dev/null 2>&1
    cmp "$work"/steps/*.bin "$work"/last/*.bin
    $train $short --max-steps 6 --batch 8 --lr 0.01 --eval-every 2steps --select best --preds "$work/best" >/dev/null 2>&1
    grep -aoE '"checkpoint":"step:[246]"' "$work"/best/*.bin
}

@test "the log of a run: rates of the schedule, each example once an epoch in another order, losses that add up" {
    # 42 examples in batches of 16 are 3 steps an epoch; evaluated after the second epoch and at the end
    $train $short --max-train 42 --epochs 3 --batch 16 --lr 0.01 --warmup 2 --eval-every 2 --preds "$work/preds" >/dev/null 2>&1
    sed 's/[{}"]//g; s/event://; s/[a-z_]*://g' "$work"/preds/*.jsonl | grep -E '^(step|epoch),' >"$work/log"
    cat "$work/log"
    [ "$(cut -d , -f 1 "$work/log" | tr '\n' ' ')" = 'step step step step step step epoch step step step epoch ' ]
    awk -F , '
        function apart(a, b) { return a - b > 1e-6 * b || b - a > 1e-6 * b }
        $1 == "step" {
            i = $2 - 1
            rate = 0.01 * (i < 2 ? i / 2 : (9 - i) / 7)
            if (apart($5, rate)) { print "step " $2 ": rate " $5 ", expected " rate; bad = 1 }
            if (i % 3 == 0) { loss = 0; tokens = 0 }
            loss += $3 * (i % 3 == 2 ? 10 : 16)
            tokens += $6
            if (i % 3 == 2) { all[int(i / 3)] = tokens }
        }
        $1 == "epoch" {
            if ($2 != (NR == 7 ? 2 : 3)) { print "epoch " $2; bad = 1 }
            if (apart($3, loss / 42)) { print "training loss " $3 ", expected " loss / 42; bad = 1 }
        }
        END {
            if (all[0] != all[1] || all[1] != all[2]) { print "tokens of an epoch: " all[0], all[1], all[2]; bad = 1 }
            exit bad
        }' "$work/log"
    # the first step of every epoch sees other examples
    [ "$(awk -F , '$1 == "step" && $2 % 3 == 1 { print $6 }' "$work/log" | sort -u | wc -l)" -gt 1 ]
}

@test "usage: unknown options, tasks, kernels and values, with the nearest name" {
    fails 64 'did you mean --seed' $train --sead 5 --task rte
    fails 64 'did you mean boolq' $train --task boolqq
    fails 64 'did you mean layernorm_forward=float64' $train --task rte --kernel layernorm_foward=float64
    fails 64 'did you mean cosine' $train --task rte --schedule cosin
    fails 64 'did you mean tiny' $train --task rte --recipe tinny
    fails 64 'not a number' $train --task rte --lr fast
    fails 64 'not a number' $train --task rte --lr nan
    fails 64 'not a whole number' $train --task rte --batch -3
    fails 64 'not a whole number' $train --task rte --seed 18446744073709551616
    fails 64 'stands twice' $train --task rte --seeds 42,42
    fails 64 '--task' $train
    local status=0
    $train --task rte --lr 2>"$work/err" || status=$?
    [ "$status" -eq 64 ]
    grep -q 'value is missing' "$work/err"
    fails 64 'choose one of these' $train --task rte --simd neon
    fails 64 'did you mean --task rte' $train rte
    fails 64 'at most 1024' $train --task rte --threads 5000
    fails 64 'below 1' $train --task rte --dropout 1
}

@test "missing folders and files: 66 with the command that gets them" {
    make_data
    fails 66 'hf download' $train --task rte --model "$work/none"
    fails 66 'docs/TASKS.md' $train --task rte --data "$work/none"
    fails 66 'docs/TASKS.md' $train --task cb --data "$work/data"
    mkdir "$work/empty"
    fails 66 'hf download' $train --task rte --model "$work/empty"
    rm "$work/data/RTE/dev.tsv"
    fails 66 'dev.tsv' $train --task rte --data "$work/data"
}

@test "data: BOM, CRLF, quotes and a megabyte in a line are read as they are" {
    make_data
    { printf '\357\273\277index\tsentence1\tsentence2\tlabel\r\n0\t"the cat\tit "" ran\tentailment\r\n1\t'; head -c 1000000 /dev/zero | tr '\0' a
      printf '\tx\tnot_entailment'; } >"$work/data/RTE/train.tsv"
    $train --task rte --data "$work/data" --max-steps 1 --quiet --preds "$work/preds" >/dev/null 2>&1
    [ -e "$work"/preds/*.bin ]
}

@test "data: damaged files are refused with their line" {
    make_data
    local file="$work/data/RTE/train.tsv"
    cp "$file" "$work/good"
    printf '2\ta\tb\tmaybe\n' >>"$file"; fails 65 'train.tsv:4: the label' $train --task rte --data "$work/data"
    { cat "$work/good"; printf '2\ta\tentailment\n'; } >"$file"; fails 65 'train.tsv:4: 3 columns, expected 4' $train --task rte --data "$work/data"
    { cat "$work/good"; printf '2\ta\tb\xff\tentailment\n'; } >"$file"; fails 65 'train.tsv:4: not UTF-8' $train --task rte --data "$work/data"
    { cat "$work/good"; printf '2\ta\tb\0\tentailment\n'; } >"$file"; fails 65 'train.tsv:4: a NUL' $train --task rte --data "$work/data"
    head -n 1 "$work/good" >"$file"; fails 65 'no examples' $train --task rte --data "$work/data"
    : >"$file"; fails 65 'no examples' $train --task rte --data "$work/data"
    printf 'a\tb\n' >"$file"; fails 65 "no column 'label'" $train --task rte --data "$work/data"
    rm "$file"; mkdir "$file"; fails 65 'a folder' $train --task rte --data "$work/data"
    mkdir -p "$work/data/CB"
    printf '{"premise": "a", "hypothesis": "b", "label": "neutral"}\n{"premise": "a", "label"\n' >"$work/data/CB/train.jsonl"
    cp "$work/data/CB/train.jsonl" "$work/data/CB/val.jsonl"
    fails 65 'train.jsonl:2: not a JSON object' $train --task cb --data "$work/data"
    printf '{"premise": "a", "hypothesis": 3, "label": "neutral"}\n' >"$work/data/CB/train.jsonl"
    fails 65 "train.jsonl:1: the field 'hypothesis'" $train --task cb --data "$work/data"
    printf '{"premise": "a", "hypothesis": "b", "label": 7}\n' >"$work/data/CB/train.jsonl"
    fails 65 "train.jsonl:1: the label '7'" $train --task cb --data "$work/data"
    printf '{"premise": "a\\u0000", "hypothesis": "b", "label": "neutral"}\n' >"$work/data/CB/train.jsonl"
    fails 65 'train.jsonl:1' $train --task cb --data "$work/data"
    mkdir -p "$work/data/MultiRC" "$work/data/WSC"
    paragraph='{"idx": 3, "passage": {"text": "a", "questions": [{"question": "b", "answers": [{"text": "c", "label": 1}]}]}}'
    refused_paragraph() {
        { echo "$paragraph"; echo "$paragraph" | sed -e 's/"idx": 3/"idx": 4/' -e "$1"; } >"$work/data/MultiRC/train.jsonl"
        fails 65 "train.jsonl:2: $2" $train --task multirc --data "$work/data"
    }
    refused_paragraph 's/"idx": 4/"idx": -1/' "the field 'idx'"
    refused_paragraph 's/"questions"/"q"/' "the field 'questions'"
    refused_paragraph 's/"answers"/"q"/' 'question 0 has no answers'
    refused_paragraph 's/"label": 1/"label": 2/' "the label '2'"
    refused_paragraph 's/"text": "c"/"text": 1/' "the field 'text'"
    { echo "$paragraph"; echo "$paragraph"; } >"$work/data/MultiRC/train.jsonl"
    fails 65 'train.jsonl:2: paragraph 3 is there twice' $train --task multirc --data "$work/data"
    wsc='{"text": "He said so .", "label": true, "target": {"span1_index": 0, "span1_text": "he", "span2_index": 2, "span2_text": "so"}}'
    echo "$wsc" | sed 's/"he"/"her"/' >"$work/data/WSC/train.jsonl"
    fails 65 "train.jsonl:1: span1_text 'her' does not occur" $train --task wsc --data "$work/data"
    echo "$wsc" | sed 's/"span2_index": 2/"span2_index": 4/' >"$work/data/WSC/train.jsonl"
    fails 65 'train.jsonl:1: span2_index 4 is beyond' $train --task wsc --data "$work/data"
}

@test "models: damaged or unfitting folders are refused" {
    short_run first
    local model="$work/first/model" bad="$work/bad"
    fresh() { rm -rf "$bad"; cp -r "$model" "$bad"; }
    fresh; head -c 50000 "$model/model.safetensors" >"$bad/model.safetensors"; fails 65 'model.safetensors: offset' $train --task rte --model "$bad" --data builtin
    fresh; : >"$bad/model.safetensors"; fails 65 'too few' $train --task rte --model "$bad" --data builtin
    fresh; rm "$bad/model.safetensors"; fails 66 'model.safetensors' $train --task rte --model "$bad" --data builtin
    fresh; rm "$bad/vocab.txt"; fails 66 'tokenizer.json' $train --task rte --model "$bad" --data builtin
    fresh; sed -i 's/"hidden_size": 64/"hidden_size": 32/' "$bad/config.json"; fails 65 'has shape' $train --task rte --model "$bad" --data builtin
    fresh; sed -i 's/"num_hidden_layers": 2/"num_hidden_layers": 3/' "$bad/config.json"; fails 65 "is missing" $train --task rte --model "$bad" --data builtin
    fresh; sed -i 's/"hidden_act": "gelu"/"hidden_act": "relu"/' "$bad/config.json"; fails 65 'hidden_act' $train --task rte --model "$bad" --data builtin
    fresh; sed -i 's/"vocab_size": [0-9]*/"vocab_size": 20/' "$bad/config.json"; fails 65 'outside of the model' $train --task rte --model "$bad" --data builtin
    fresh; printf '{' >"$bad/config.json"; fails 65 'not valid JSON' $train --task rte --model "$bad" --data builtin
    fails 65 'start from a model without this head' $train --task cb --model "$model" --data builtin
    fresh; rm "$bad/model.safetensors"
    printf '{"weight_map": {"a": "../../etc/passwd"}}' >"$bad/model.safetensors.index.json"
    fails 65 'not a file of this folder' $train --task rte --model "$bad" --data builtin
}

@test "$SEEDBED_DATA and $SEEDBED_MODEL stand in for the options" {
    make_data
    short_run first
    SEEDBED_DATA="$work/data" SEEDBED_MODEL="$work/first/model" $train --task rte --max-steps 1 --preds "$work/env" >/dev/null 2>"$work/err"
    grep -q 'rte (glue): 2 training and 2 dev examples' "$work/err"
    if grep -q 'NOTE: the' "$work/err"; then false; fi
    ls "$work/env" | grep -q 'rte.validation.model'
    SEEDBED_MODEL=tiny $train --task rte --max-steps 1 --preds "$work/tiny" >/dev/null 2>"$work/err"
    grep -q '^recipe    tiny: ' "$work/err"
}

@test "a sharded model gives the same run as one file" {
    short_run first
    cp -r "$work/first/model" "$work/sharded"
    mv "$work/sharded/model.safetensors" "$work/sharded/model-00001-of-00001.safetensors"
    printf '{"metadata": {}, "weight_map": {"x": "model-00001-of-00001.safetensors"}}' >"$work/sharded/model.safetensors.index.json"
    mkdir "$work/a" "$work/b"
    mv "$work/sharded" "$work/a/model"
    cp -r "$work/first/model" "$work/b/model"
    for x in a b; do
        $train $short --model "$work/$x/model" --preds "$work/$x" >/dev/null 2>&1
    done
    cmp "$work"/a/*.bin "$work"/b/*.bin
}

@test "outputs that cannot be written: 73, 74, 77, and old files stay" {
    : >"$work/file"
    fails_out() { local code=$1; shift; local status=0; "$@" >/dev/null 2>"$work/err" || status=$?; [ "$status" -eq "$code" ] || { echo "$status: $(cat "$work/err")"; return 1; }; }
    fails_out 73 $train $short --preds "$work/file"
    # a folder that may not be written: for root only a file system such as /sys has one
    local locked="$work/locked"
    mkdir "$locked"
    chmod 555 "$locked"
    [ "$(id -u)" -ne 0 ] || locked=/sys
    if mkdir "$locked/probe" 2>/dev/null; then rmdir "$locked/probe"; else fails_out 77 $train $short --preds "$locked/seedbed"; fi
    $train $short --preds "$work/preds" >/dev/null 2>&1
    local old="$(sha256sum "$work"/preds/*.bin)"
    # a file size limit stands for a full disk: 74, the old file is untouched and no temporary one is left
    ( trap '' XFSZ; ulimit -f 1; fails_out 74 $train $short --preds "$work/preds" --max-eval 64 )
    [ "$old" = "$(sha256sum "$work"/preds/*.bin)" ]
    [ -z "$(ls "$work"/preds | grep tmp)" ]
}

@test "Ctrl-C: exit code 75 and no file under a final name" {
    $train --task rte --model tiny --data builtin --epochs 1000 --quiet --preds "$work/preds" >/dev/null 2>"$work/err" &
    local pid=$!
    sleep 1
    kill -INT $pid
    local status=0
    wait $pid || status=$?
    [ "$status" -eq 75 ]
    grep -q 'stopped by a signal' "$work/err"
    [ -z "$(ls "$work"/preds/*.bin 2>/dev/null)" ]
}

@test "divergence: exit code 79, naming step and tensor" {
    fails 79 'step [0-9]*: the .* is not finite; first in' $train $short --lr 1e30 --clip 0 --warmup 0 --epochs 20
}

@test "predictions are read by numpy alone" {
    python3 -c 'import numpy' 2>/dev/null || skip "needs python3-numpy"
    $train $short --preds "$work/preds" >/dev/null 2>&1
    python3 - "$work"/preds/*.bin <<'PY'
import json, struct, sys
import numpy as np
raw = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
header = json.loads(raw[8:8 + n])
a, b = header["pred"]["data_offsets"]
pred = np.frombuffer(raw[8 + n + a:8 + n + b], dtype="<i4")
assert pred.shape == (64,) and set(pred.tolist()) <= {0, 1}
PY
}
