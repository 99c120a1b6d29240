# What happens when something goes wrong: full disks and streams, signals, numbers beyond all bounds. faultfs.c lets calls fail.

load common

setup() {
    workplace
    refused="$work/preds"
    appended="--preds $work/preds --quiet"
    short="--task rte --data builtin --max-train 8 --max-eval 8 --epochs 1 --threads 1 --quiet"
}

@test "each call that can fail: one line, 73, 74 or 77, and every file is whole or not there" {
    make_shim
    $train $short --preds "$work/whole" --save "$work/whole/model" >/dev/null 2>&1
    local fault function number n
    for fault in mkdir:13 open:28 fopen:122 fflush:28 fsync:5 rename:30 fclose:28; do
        function=${fault%:*} number=${fault#*:} n=0 status=1
        while [ "$status" != none ]; do
            n=$((n + 1))
            rm -rf "$work/preds"
            at_fault $function $n $number $train $short --preds "$work/preds" --save "$work/preds/model"
            case "$status $(wc -l <"$work/message")" in
            "73 1" | "74 1" | "77 1") grep -q 'cannot ' "$work/message" ;;
            "none 0") ;;
            *) echo "$function $n: $status $(cat "$work/message")"; return 1 ;;
            esac
            [ ! -e "$work/preds" ] || all_whole "$work/preds" "$work/whole" || { echo "$function $n"; return 1; }
        done
        [ $n -gt 1 ] || { echo "no call of $function"; return 1; }
    done
}

@test "a signal at each call: 75, one line, or the files that were being written; no temporary one, all of the model or none" {
    make_shim
    $train $short --preds "$work/whole" --save "$work/whole/model" >/dev/null 2>&1
    local function n files
    for function in open fflush fsync rename fclose; do
        n=0 status=1
        while [ "$status" != none ]; do
            n=$((n + 1))
            rm -rf "$work/preds"
            at_fault $function $n -15 $train $short --preds "$work/preds" --save "$work/preds/model"
            case "$status $(wc -l <"$work/message")" in
            "75 1") grep -q 'stopped by a signal' "$work/message" ;;
            "0 0") ls "$work"/preds/*.bin ;;
            "none 0") ;;
            *) echo "$function $n: $status $(cat "$work/message")"; return 1 ;;
            esac
            all_whole "$work/preds" "$work/whole"
            files=$(ls "$work/preds/model" | wc -l)
            [ $files -eq 0 ] || [ $files -eq $(ls "$work/whole/model" | wc -l) ] ||
                { echo "$function $n: $(ls "$work/preds/model")"; return 1; }
            [ -z "$(find "$work/preds" -name '*.lock')" ]
            find "$work/preds" -name '*.jsonl' -exec tail -n 1 {} + >"$work/last"
            [ ! -s "$work/last" ] || grep -q '"event":"end","code":[07]' "$work/last"
        done
        [ $n -gt 1 ] || { echo "no call of $function"; return 1; }
    done
}

@test "merge: each call that can fail, and signals there" {
    make_shim
    $train $short --preds "$work/p" --save "$work/base" >/dev/null 2>&1
    $train $short --preds "$work/p" --model "$work/base" --lora --save "$work/adapter" >/dev/null 2>&1
    $merge "$work/base" "$work/adapter" "$work/whole" >/dev/null
    local fault function number n
    for fault in open:28 fflush:28 fsync:-15 rename:-1 fclose:28; do
        function=${fault%:*} number=${fault#*:} n=0 status=1
        while [ "$status" != none ]; do
            n=$((n + 1))
            rm -rf "$work/out.model"
            at_fault $function $n $number $merge "$work/base" "$work/adapter" "$work/out.model"
            case "$status $(wc -l <"$work/message")" in
            "74 1" | "75 1" | "none 0") ;;
            *) echo "$function $n: $status $(cat "$work/message")"; return 1 ;;
            esac
            [ ! -e "$work/out.model" ] || all_whole "$work/out.model" "$work/whole"
        done
        [ $n -gt 1 ]
    done
}

@test "consistency: each call that can fail, and signals there; a reader that is gone" {
    make_shim
    $train $short --seeds 1,2 --preds "$work/preds" >/dev/null 2>&1
    local consistency="$(dirname "$train")/consistency" fault function number n
    $consistency --format json -o "$work/whole.json" "$work"/preds/*.bin
    mkdir "$work/reports"
    for fault in open:28 fflush:28 fsync:-15 rename:-1 rename:5 fclose:28; do
        function=${fault%:*} number=${fault#*:} n=0 status=1
        while [ "$status" != none ]; do
            n=$((n + 1))
            printf 'the old report\n' >"$work/reports/report.json"
            at_fault $function $n $number $consistency --format json -o "$work/reports/report.json" "$work"/preds/*.bin
            case "$status $(wc -l <"$work/message")" in
            "74 1" | "75 1" | "none 0") ;;
            *) echo "$function $n: $status $(cat "$work/message")"; return 1 ;;
            esac
            [ "$(ls "$work/reports")" = report.json ]
            grep -q '^the old report$' "$work/reports/report.json" || cmp "$work/reports/report.json" "$work/whole.json"
        done
        [ $n -gt 1 ]
    done
    ends 74 'cannot write to standard output: Broken pipe' "set -o pipefail; { sleep 0.2; $consistency $work/preds/*.bin; } | true"
}

@test "some of all calls of memory, threads, reading, files and folders, in every program: test/every_call.sh does all" {
    local part
    for part in '1999 train malloc' '1 train pthread' '17 train open' '397 merge' '397 report' '397 tracediff malloc'; do
        test/every_call.sh $part >"$work/calls" || { cat "$work/calls"; return 1; }
        grep -q '^SKIPPED\|^every call: [1-9]' "$work/calls" || { echo "$part: $(cat "$work/calls")"; return 1; }
    done
    if grep '^SKIPPED' "$work/calls"; then skip "$(cat "$work/calls")"; fi
}

@test "a folder that cannot be listed is not an empty one: runs are not left out, checkpoints not passed over" {
    make_shim
    make_tracer
    "$work/faultsys" any 1 after sh -c : || skip "this machine lets no program be followed"
    $train $short --seeds 1,2 --preds "$work/preds" >/dev/null 2>&1
    local n code
    for n in 1 2; do
        code=0
        "$work/faultsys" list $n 5 $consistency "$work/preds" >"$work/out" 2>"$work/message" || code=$?
        [ $code -eq 74 ]
        grep -q "^consistency: cannot read the folder $work/preds: Input/output error" "$work/message"
    done
    mkdir -p "$work/data/GLUE/RTE"
    printf 'index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n' | tee "$work/data/train.tsv" "$work"/data/GLUE/RTE/{train,dev}.tsv >"$work/data/dev.tsv"
    local own="$train --task rte --data $work/data --max-len 16 --epochs 1 --threads 1 --quiet --preds $work/own"
    for n in 1 3 5; do # the data, the benchmark there, and the data again for the tasks
        code=0
        "$work/faultsys" list $n 13 $own >"$work/out" 2>"$work/message" || code=$?
        [ $code -eq 77 ] || { echo "$n: $code: $(cat "$work/message")"; return 1; }
        grep -q "^train_gpt: cannot read the folder $work/data.*: Permission denied" "$work/message"
        [ ! -e "$work/own" ]
    done
    local begun="$train ${short% --quiet} --epochs 3 --save-every 1steps"
    at_fault fsync 22 -9 $begun --preds "$work/begun"
    [ -d "$work"/begun/*.unfinished/checkpoint-2 ]
    for n in $(seq 12); do # those before the first step
        rm -rf "$work/again"
        cp -r "$work/begun" "$work/again"
        code=0
        "$work/faultsys" list $n 5 $begun --preds "$work/again" >"$work/out" 2>"$work/message" || code=$?
        [ $code -eq 74 ] || grep -q 'going on behind step' "$work/message" || { echo "$n: $code: $(cat "$work/message")"; return 1; }
    done
}

@test "an order that equal elements have by chance decides nothing: qsort from the other end" {
    make_shim
    "$build/make_llama" "$work/llama"
    both() { # NAME COMMAND...: in $work/plain and $work/turned
        "${@:2}" --preds "$work/plain/$1" --save "$work/plain/$1/model" >/dev/null 2>&1
        FAULT_SORT=1 LD_PRELOAD="$work/faultfs.so" "${@:2}" --preds "$work/turned/$1" --save "$work/turned/$1/model" >/dev/null 2>&1
    }
    both tiny $train $short --seeds 1-4 --eval-every 1steps --select half --profile /dev/null
    both llama $train $short --model "$work/llama" --lora
    diff -r -x '*.jsonl' "$work/plain" "$work/turned"
    $consistency --format json "$work"/plain/tiny/*.bin >"$work/plain.json"
    FAULT_SORT=1 LD_PRELOAD="$work/faultfs.so" $consistency --format json "$work"/plain/tiny/*.bin >"$work/turned.json"
    cmp "$work/plain.json" "$work/turned.json"
}

@test "what killed processes left is removed, and nothing else" {
    make_shim
    at_fault fsync 2 -9 $train $short --preds "$work/preds" # the first is of the folder that preds was made in
    [ "$status" -eq 137 ]
    [ "$(ls "$work"/preds/*.bin.tmp-* | wc -l)" -eq 1 ]
    (exit 0) &
    local dead=$!
    wait $dead
    sleep 100 3>&- &
    local live=$!
    : >"$work/preds/b.bin.tmp-$dead"
    : >"$work/preds/b.bin.tmp-$live"       # another run that is alive
    : >"$work/preds/notes.tmp-$dead"       # not ours
    : >"$work/preds/b.bin.tmp-${dead}x"
    : >"$work/preds/locked.bin.tmp-$dead"  # of a process that is not seen here, but holds its lock
    flock "$work/preds/locked.bin.tmp-$dead" $train $short --seed 7 --preds "$work/preds" >/dev/null 2>&1
    kill $live
    ls "$work/preds" | grep tmp >"$work/left"
    printf '%s\n' b.bin.tmp-${dead}x b.bin.tmp-$live locked.bin.tmp-$dead notes.tmp-$dead | sort >"$work/expected"
    sort "$work/left" | diff "$work/expected" -
}

# ends CODE PATTERN COMMAND: of a command that redirects its own streams
ends() {
    local status=0
    (eval "$3") >"$work/out" 2>"$work/err" || status=$?
    grep -v '^NOTE' "$work/err" >"$work/message" || true
    [ "$status" -eq "$1" ] && grep -q -e "$2" "$work/message" && [ "$(wc -l <"$work/message")" -eq 1 ] ||
        { echo "$3: $status $(cat "$work/err")"; return 1; }
}

@test "standard output that is full or closed: 74, for help, version and runs; all runs are written" {
    local program option
    for program in $train $merge; do
        for option in --help --version; do
            ends 74 'cannot write to standard output: No space' "$program $option >/dev/full"
            ends 74 'cannot write to standard output: Bad file' "$program $option >&-"
        done
    done
    ends 74 'cannot write to standard output: No space' "$train $short --seeds 1,2 --preds $work/full >/dev/full"
    ends 74 'cannot write to standard output: Bad file' "$train $short --seeds 1,2 --preds $work/closed >&-"
    ends 74 'cannot write to standard output: Broken pipe' "set -o pipefail; $train $short --seeds 1,2 --preds $work/gone | true"
    # no file of ours gets the number of a closed stream
    local status=0 verbose="${short/ --quiet/} --verbose --seeds 1,2"
    $train $verbose --preds "$work/none" <&- >&- 2>&- || status=$?
    [ "$status" -eq 74 ]
    $train $verbose --preds "$work/out_only" <&- 2>&- >/dev/null
    $train $verbose --preds "$work/mute" 2>&- >/dev/null
    $train $short --seeds 1,2 --preds "$work/fine" >/dev/null 2>&1
    for folder in full closed gone none out_only mute; do
        [ "$(ls "$work/$folder"/*.bin | wc -l)" -eq 2 ]
        for file in "$work/$folder"/*.bin; do cmp "$file" "$work/fine/${file##*/}"; done
        ! grep -q -v '^{"event".*}$' "$work/$folder"/*.jsonl || false
    done
}

@test "a log that cannot be written: 74 when it is full, 73 when a folder has its name" {
    $train $short --preds "$work/fine" >/dev/null 2>&1
    local log="$(basename "$work"/fine/*.jsonl)"
    mkdir -p "$work/full" "$work/folder/$log"
    ln -s /dev/full "$work/full/$log"
    ends 74 "cannot write .*$log: No space left" "$train $short --preds $work/full"
    ends 73 "cannot create .*$log: a folder has that name" "$train $short --preds $work/folder"
    [ -z "$(ls "$work/full" "$work/folder" | grep bin)" ]
    # a limit of the size of files that is met at each place of log, predictions and model
    local blocks status message
    for blocks in 0 1 2 4 8 64; do
        rm -rf "$work/preds"
        status=0
        message=$(ulimit -f $blocks; $train $short --preds "$work/preds" --save "$work/preds/model" 2>&1 >/dev/null) || status=$?
        [ "$status" -eq 74 ]
        echo "$message" | grep -v '^NOTE' | grep -q 'cannot write .*: File too large' || { echo "$blocks: $message"; return 1; }
        [ -z "$(find "$work/preds" -name '*tmp*' -o -name model.safetensors)" ]
    done
}

# stops SECONDS COMMAND...: SIGTERM after these seconds ends it with 75 in less than two more
stops() {
    local seconds=$1 status=0
    shift
    "$@" >/dev/null 2>"$work/err" &
    local pid=$!
    sleep "$seconds"
    kill -TERM $pid
    local before=$(date +%s)
    wait $pid || status=$?
    [ "$status" -eq 75 ] && [ $(($(date +%s) - before)) -le 2 ] && grep -q 'stopped by a signal' "$work/err" ||
        { echo "$status after $(($(date +%s) - before)) s: $(cat "$work/err")"; return 1; }
}

@test "SIGTERM while planning, and while training with a model that is being replaced" {
    stops 0.4 $train $short --max-train 1 --max-steps 1000000000 --preds "$work/planned"
    [ ! -e "$work/planned" ]
    $train $short --preds "$work/preds" --save "$work/model" >/dev/null 2>&1
    sha256sum "$work"/model/* >"$work/sums"
    stops 0.4 $train $short --epochs 10000 --max-steps 900000 --preds "$work/preds" --save "$work/model"
    sha256sum -c --quiet "$work/sums"
}

@test "empty values and names of nothing are refused" {
    local option
    for option in model data recipe seeds epochs batch lr schedule lora-targets adapter simd kernel select save seed threads; do
        fails 64 "^train_gpt: --$option: the value is empty" $train $short --$option ''
        fails 64 "^train_gpt: --$option: the value is empty" $train --task rte --$option=
    done
    fails 64 '^train_gpt: --task: the value is empty' $train $short --task ''
    appended='' fails 64 '^train_gpt: --preds: the value is empty' $train --task rte --preds ''
    local name
    for name in -- - _ -_- r col cola2; do
        fails 64 "^train_gpt: --task $name: no such task" $train $short --task $name
    done
    appended='' fails 64 '^merge: BASE: an empty name' $merge '' a b
    appended='' fails 64 '^merge: OUT: an empty name' $merge a b ''
}

@test "numbers that round to 1, 0 or infinity in float32 are refused" {
    local case
    for case in 'dropout 0.99999999' 'dropout 1' 'beta1 0.99999999' 'beta2 0.999999999' 'eps 0' 'eps 1e-46' 'lr 1e39' 'lr 1e38' \
        'weight-decay 1e39' 'clip 1e300'; do
        fails 64 "^train_gpt: --${case% *} .* float32" $train $short --$case
    done
    fails 64 'lora-dropout 0.99999999: must be below 1 in float32' $train $short --lora --lora-dropout 0.99999999
    fails 64 'lora-alpha 1e39: must be above 0, and finite in float32' $train $short --lora --lora-alpha 1e39
    # the same in the files of models and adapters; the largest float below 1 is fine
    $train $short --preds "$work/p" --save "$work/base" >/dev/null 2>&1
    $train $short --preds "$work/p" --model "$work/base" --lora --save "$work/adapter" >/dev/null 2>&1
    local field
    for field in hidden_dropout_prob attention_probs_dropout_prob; do
        cp -r "$work/base" "$work/$field"
        sed -i "s/\"$field\": [0-9.]*/\"$field\": 0.99999999/" "$work/$field/config.json"
        grep -q 0.99999999 "$work/$field/config.json"
        fails 65 "config.json: $field 0.99999999 must be .* below 1 in float32" $train $short --model "$work/$field"
        sed -i 's/0.99999999/0.9999999/' "$work/$field/config.json"
        $train $short --model "$work/$field" --dry-run >/dev/null 2>&1
    done
    sed -i 's/"lora_dropout": [0-9.]*/"lora_dropout": 0.99999999/' "$work/adapter/adapter_config.json"
    fails 65 'adapter_config.json: lora_dropout must be' $train $short --model "$work/base" --adapter "$work/adapter"
}

@test "more steps or memory than there can be are refused before anything is done" {
    # 30000 rows of our own
    mkdir -p "$work/data/SST-2"
    { printf 'sentence\tlabel\n'; yes "$(printf 'it ran\t1\nit flew\t0')" | head -n 240000; } >"$work/data/SST-2/train.tsv"
    head -n 9 "$work/data/SST-2/train.tsv" >"$work/data/SST-2/dev.tsv"
    fails 64 '--epochs 10000: .* makes 2400000000 steps' $train --task sst2 --data "$work/data" --epochs 10000 --batch 1
    fails 64 '--epochs 9000: .* makes 1080000000 steps' $train --task sst2 --data "$work/data" --epochs 9000 --batch 2
    $train $short --preds "$work/p" --save "$work/base" >/dev/null 2>&1
    sed -i 's/"vocab_size": [0-9]*/"vocab_size": 16777216/; s/"hidden_size": [0-9]*/"hidden_size": 4096/; s/"num_attention_heads": 4/"num_attention_heads": 32/' "$work/base/config.json"
    [ "$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)" -lt 1000000000 ] || skip "a machine of this size can run the model"
    fails 71 '^train_gpt: this run needs [0-9.]* GiB of memory, the machine has room for .*; not even one example' $train $short --model "$work/base"
    [ ! -e "$work/preds" ]
}

@test "where ulimit leaves too little memory, a micro-batch that fits is named" {
    local run="$train --task mnli --model tiny --data builtin --max-train 2048 --max-eval 16 --batch 2048 --max-steps 1 --threads 1 --dry-run"
    (ulimit -v 600000 && $run --quiet >/dev/null 2>&1) || skip "a program that takes more address space, as a sanitizer's does"
    (ulimit -v 100000 && fails 71 'this run needs [0-9.]* MiB of memory, the machine has room for .*; --micro-batch [0-9]* fits, with the same result' $run)
    local fitting=$(sed -n 's/.*; \(--micro-batch [0-9]*\) fits.*/\1/p' "$work/message")
    (ulimit -v 100000 && $run $fitting --quiet)
}

@test "the cases of ../shared: the damaged file is named" {
    local shared=../shared/cases
    [ -d $shared/faults ] || skip "needs ../shared"
    local data=$shared/public/llama-without-rope-theta/data
    while read -r folder message; do
        fails 65 "$folder/$message" $train --task rte --model $shared/faults/$folder --data $data --epochs 0
    done <<'END'
config_bert-2070/in vocab.txt: token id .*config.json has vocab_size 5
config_llama-2036/in tokenizer.json: token id .*config.json has vocab_size 2
tok_bert-2016/in tokenizer.json: .*type_id
cased_cut tokenizer_config.json:1:21: not valid JSON
dropout_one config.json: attention_dropout 0.99999999
neg_cls/model tokenizer.json: post_processor: the id of 'cls'
END
    $train --task rte --model $shared/public/llama-without-rope-theta/model --data $data --epochs 0 --preds "$work/preds" --quiet
}
