# Runs that are stopped and go on: the bytes of predictions, model and log are those of one that never was. A longer test is
# test/kills.sh.

load common

setup() {
    workplace
    refused="$work/none"
    appended=""
    short="--task rte --data builtin --model tiny --max-train 64 --max-eval 32 --batch 8 --epochs 3"
    run="$train $short --save-every 2steps"
}

# into NAME COMMAND...: with predictions and model in $work/NAME
into() {
    local folder="$work/$1"
    shift
    "$@" --preds "$folder" --save "$folder/model" >"$work/out" 2>"$work/err"
}

# stopped COMMAND...: killed in $work/preds while it saves its third checkpoint, or later
stopped() {
    rm -rf "$work/preds"
    at_fault fsync 60 -9 "$@" --preds "$work/preds" --save "$work/preds/model"
    [ $status -eq 137 ] || { echo "$status"; cat "$work/err"; return 1; }
    folder="$(echo "$work"/preds/*.unfinished)"
    [ "$(ls -d "$folder"/checkpoint-* "$folder"/.tmp-* | wc -l)" -eq 3 ] || { ls -A "$folder"; return 1; }
    newest="$(ls -d "$folder"/checkpoint-* | sort -V | tail -n 1)"
    older="$(ls -d "$folder"/checkpoint-* | sort -V | head -n 1)"
}

# same: what is in $work/preds is what is in $work/whole, and nothing else is left
same() {
    [ "$(cd "$work/preds" && find . | sort)" = "$(cd "$work/whole" && find . | sort)" ] || { ls -AR "$work/preds"; return 1; }
    (cd "$work/whole" && find . -type f ! -name '*.jsonl') >"$work/files"
    while read -r name; do cmp "$work/whole/$name" "$work/preds/$name" || return 1; done <"$work/files"
    [ "$(log_of "$work/whole")" = "$(log_of "$work/preds")" ] || { echo "another log"; return 1; }
}

# goes_on PATTERN COMMAND...: to the same end, and says so
goes_on() {
    local pattern=$1
    shift
    into preds "$@" || { cat "$work/err"; return 1; }
    grep -q -e "$pattern" "$work/err" || { cat "$work/err"; return 1; }
    same
}

@test "killed while it saves, at many of its calls, and started again: the same bytes" {
    make_shim
    into whole $run --select best
    local function n step
    for function in fsync rename open; do
        rm -rf "$work/preds"
        n=4 status=1 step=29
        [ $function != rename ] || step=5
        while [ "$status" != none ]; do # each start is killed a little later
            n=$((n + step))
            at_fault $function $n -9 $run --select best --preds "$work/preds" --save "$work/preds/model"
            [ "$status" = none ] || [ "$status" -eq 137 ] || { echo "$function $n: $status"; cat "$work/err"; return 1; }
        done
        [ $n -gt 10 ]
        same
    done
}

@test "adapters, a decoder, a language model, several seeds, another device, threads and micro-batch" {
    make_shim
    "$build/make_llama" "$work/llama"
    cat README.md >"$work/text"
    local options=("--lora --lora-dropout 0.1 --select best" "--model $work/llama --lora --recompute" "--seeds 4,5,6 --eval-every 3steps"
        "--task lm --model $work/llama --data $work/text --max-len 32" "--select half --patience 12 --eval-every 1steps --epoch-preds --task mnli" "--schedule cosine")
    for i in 0 1 2 3 4 5; do
        rm -rf "$work/whole"
        into whole $run ${options[i]}
        stopped $run ${options[i]}
        goes_on 'going on behind step [0-9]* of 24, from' $run ${options[i]}
    done
    stopped $run --schedule cosine --device fence --threads 2
    goes_on 'going on behind' $run --schedule cosine --device sim --threads 2 --micro-batch 3
    stopped $run --schedule cosine --device sim
    goes_on 'going on behind' $run --schedule cosine --device cpu --simd scalar
}

# signalled SIGNAL PATTERN COMMAND...: in $work/preds, once the log matches; its message in $work/err
signalled() {
    local signal=$1 pattern=$2
    shift 2
    rm -rf "$work/preds"
    "$@" --preds "$work/preds" --save "$work/preds/model" >/dev/null 2>"$work/err" 3>&- &
    pid=$!
    for i in $(seq 200); do grep -q "$pattern" "$work"/preds/*.jsonl 2>/dev/null && break; sleep 0.05; done
    kill -$signal $pid
}

@test "signals: 75 within a step, with the command that goes on" {
    local signal code
    run="$run --epochs 40 --save-every 0 --quiet"
    into whole $run
    for signal in TERM INT USR1 XCPU; do
        signalled $signal '"step":3,' $run
        code=0
        wait $pid || code=$?
        [ $code -eq 75 ] || { echo "$code: $(cat "$work/err")"; return 1; }
        [ "$(grep -cv '^NOTE' "$work/err")" -eq 1 ]
        grep -q "stopped by a signal; $work/preds/.*.unfinished has the run up to step [0-9]* of 320; go on with: $train --task rte" "$work/err"
        [ "$(tail -n 1 "$work"/preds/*.jsonl | cut -c 1-26)" = '{"event":"end","code":75,"' ]
        [ "$(ls "$work"/preds/*.unfinished | wc -l)" -eq 1 ]
        eval "$(sed -n 's/.*go on with: //p' "$work/err")" >/dev/null 2>&1
        same
    done
}

@test "a signal within an evaluation, of several seeds, through timeout; two of them, and before the first step" {
    local code=0
    into whole $run --max-eval 0 --eval-every 1steps
    signalled TERM '"step":3,"metric"' $run --max-eval 0 --eval-every 1steps
    wait $pid || code=$?
    [ $code -eq 75 ]
    goes_on 'going on behind' $run --max-eval 0 --eval-every 1steps
    # the command that goes on counts more than a --resume that the first one had
    code=0
    signalled TERM '"step":3,"metric"' $run --max-eval 0 --eval-every 1steps --resume never
    wait $pid || code=$?
    [ $code -eq 75 ]
    eval "$(sed -n 's/.*go on with: //p' "$work/err")" >/dev/null 2>"$work/message"
    grep -q 'going on behind' "$work/message"
    same
    # timeout sends its signal twice at once: that is one
    rm -rf "$work/preds"
    code=0
    timeout 1 $train $short --epochs 9999 --preds "$work/preds" >/dev/null 2>"$work/err" || code=$?
    [ $code -eq 124 ]
    grep -q 'stopped by a signal; .*unfinished has the run up to step' "$work/err"
    ls "$work"/preds/*.unfinished/checkpoint-*/MANIFEST
    # a second one does not wait for the end of a long step
    rm -rf "$work/preds"
    $train --task boolq --data builtin --model tiny --batch 65536 --max-steps 1000 --simd scalar --threads 1 --preds "$work/preds" \
        >/dev/null 2>"$work/err" 3>&- &
    pid=$!
    for i in $(seq 200); do ls "$work"/preds/*.jsonl >/dev/null 2>&1 && break; sleep 0.05; done
    kill -TERM $pid
    sleep 0.4
    kill -TERM $pid
    code=0
    wait $pid || code=$?
    [ $code -eq 75 ]
    grep -q 'stopped by a signal; run again$' "$work/err" || { cat "$work/err"; return 1; }
    [ -z "$(ls -d "$work"/preds/*.unfinished 2>/dev/null)" ]
    # while it reads and plans there is nothing to save
    $train $short --max-train 1 --max-steps 1000000000 --preds "$work/planned" >/dev/null 2>"$work/err" 3>&- &
    pid=$!
    sleep 0.5
    kill -USR1 $pid
    code=0
    wait $pid || code=$?
    [ $code -eq 75 ]
    [ ! -e "$work/planned" ]
}

# damaged FOLDER HOW:FILE
damaged() {
    local file="$1/${2#*:}"
    case $2 in
    flip:*) printf '#' | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") / 2)) conv=notrunc status=none ;;
    cut:*) truncate -s -2 "$file" ;;
    lost:*) rm "$file" ;;
    esac
}

@test "a checkpoint with more evaluations than there were before its step is refused" {
    make_shim
    stopped $run --eval-every 1steps --epoch-preds
    local steps=${newest##*-} state="$newest/trainer_state.json"
    for count in $steps 1000000; do
        sed -i "s/\"evaluations\": [0-9]*/\"evaluations\": $count/" "$state"
        "${BUILD:-build}/rehash" "$newest"
        fails 65 'a number is missing or cannot be; the checkpoint is damaged' $run --eval-every 1steps --epoch-preds --resume "$newest" \
            --preds "$work/x" --quiet
    done
    sed -i "s/\"evaluations\": [0-9]*/\"evaluations\": $((steps - 1))/" "$state"
    "${BUILD:-build}/rehash" "$newest"
    into preds $run --eval-every 1steps --epoch-preds
}

@test "a damaged checkpoint: the one before it, or the beginning; never other bytes" {
    make_shim
    into whole $run --select best
    stopped $run --select best
    cp -r "$work/preds" "$work/kept"
    local damage
    for damage in flip:weights.safetensors flip:log.jsonl cut:optimizer.safetensors cut:MANIFEST lost:kept.safetensors lost:MANIFEST; do
        rm -rf "$work/preds"
        cp -r "$work/kept" "$work/preds"
        damaged "$newest" $damage
        goes_on "^WARNING: .*$(basename "$newest")/.*; the checkpoint before it counts" $run --select best
        grep -q "going on behind step $(basename "$older" | cut -d - -f 2) of 24" "$work/err"
        [ "$(grep -c 'no checkpoint of step' "$work/err")" -eq 0 ] # the damaged one's step is saved again
    done
    rm -rf "$work/preds"
    cp -r "$work/kept" "$work/preds"
    fails 65 'not the size or hash of the MANIFEST; the file is damaged' sh -c "echo >>'$newest/log.jsonl'; $run --select best --resume '$newest' --preds '$work/x' --quiet"
    rm "$older/MANIFEST"
    goes_on '^WARNING: no checkpoint in .* is whole; the run begins anew' $run --select best
}

# with FILE OLD NEW: refused is a checkpoint in which this was replaced, though its hashes fit
with() {
    rm -rf "$work/changed"
    cp -r "$newest" "$work/changed"
    LC_ALL=C sed -i "s/$2/$3/" "$work/changed/$1"
    if cmp -s "$newest/$1" "$work/changed/$1"; then echo "unchanged: $2" && return 1; fi
    "$build/rehash" "$work/changed"
    fails 65 "^train_gpt: $work/changed/[a-zA-Z_]*\(.json\|.safetensors\|\): " $run --select best --resume "$work/changed" --preds "$work/x" --save "$work/x/model" --quiet
}

@test "a checkpoint with numbers or tensors that cannot be is refused, whatever its hashes" {
    make_shim
    stopped $run --select best
    local change step
    step=$(basename "$newest" | cut -d - -f 2)
    for change in "\"step\": $step/\"step\": 0" "\"step\": $step/\"step\": 1000000001" "\"step\": $step/\"step\": 7" '"kept": {/"Kept": {' '"run": {/"Run": {' \
        '"epoch_loss": "[^"]*"/"epoch_loss": "nan"' '"epoch_terms": "[^"]*"/"epoch_terms": "-1"' '"beta1_power": "[^"]*"/"beta1_power": "1.5"' \
        '"beta2_power": "[^"]*"/"beta2_power": 0.5' '"seconds": "[^"]*"/"seconds": "-1"' '"tokens": [0-9]*/"tokens": -1' '"waited": [0-9]*/"waited": 25' \
        '"evaluations": 0/"evaluations": 1' '"collapsed": [a-z]*/"collapsed": 0' '"metric": "[0-9.]*"/"metric": "high"' '"format": "[^"]*"/"format": "other"'; do
        with trainer_state.json "${change%/*}" "${change#*/}"
    done
    with weights.safetensors classifier klassifier
    with optimizer.safetensors '"m.classifier' '"n.classifier'
    with kept.safetensors I32 U32
}

# value FILE PLACE BYTES TENSOR: refused is a checkpoint in which a float32 of this tensor has these bytes; PLACE: its first or last one
value() {
    local file="$work/changed/$1" place
    rm -rf "$work/changed"
    cp -r "$newest" "$work/changed"
    case $2 in
    first) place=$((8 + $(od -A n -t u8 -N 8 "$file"))) ;;
    last) place=$(($(stat -c %s "$file") - 4)) ;;
    esac
    printf "$3" | dd of="$file" bs=1 seek=$place conv=notrunc status=none
    "$build/rehash" "$work/changed"
    fails 65 "^train_gpt: $file: $4.* has a value that is .*no finite number; the checkpoint is damaged" $run --resume "$work/changed" --preds "$work/x" --quiet
}

@test "a checkpoint whose moments or weights are not finite, or whose squares are below 0, is refused" {
    make_shim
    stopped $run
    value optimizer.safetensors last '\0\0\200\277' v. # -1
    value optimizer.safetensors last '\0\0\300\177' v. # a NaN
    value optimizer.safetensors first '\0\0\300\177' m.
    value optimizer.safetensors last '\0\0\200\177' v. # infinite
    value weights.safetensors last '\0\0\200\377' ''
    value weights.safetensors last '\0\0\300\377' ''
    rm -rf "$work/x"
    $run --resume "$newest" --preds "$work/x" --quiet >/dev/null 2>&1
}

@test "another run's checkpoint: 78 with what is other; a folder that is none: 65 or 66" {
    make_shim
    local steady="--schedule constant --warmup 2" other
    into whole $run
    stopped $run
    cp -r "$work/preds" "$work/kept"
    appended="--preds $work/x --quiet"
    for other in '--lr 0.1:lr "0.001", now "0.1"' '--seed 7:seed "42", now "7"' '--max-eval 16:max_eval 32, now 16' '--max-train 63:max_train' \
        '--kernel layernorm_forward=float64:kernels' '--eval-every 4steps:eval_every "1", now "4steps"' '--max-steps 48:steps 24, now 48' \
        '--lora:adapter' '--task boolq:train_sha256'; do
        fails 78 "the run was begun with other settings: .*${other#*:}.*; go on with those, or begin anew with --resume never" \
            $run --resume "$newest" ${other%%:*}
    done
    fails 78 'the run was begun with other settings: best_weights true, now false; go on' sh -c "
        $run --select best --save '$work/y/model' --keep-checkpoints --preds '$work/y' --quiet >/dev/null 2>&1
        $run --select best --resume '$work/y/'*.checkpoints --preds '$work/x' --quiet"
    fails 66 '--resume /none: no such folder' $run --resume /none
    fails 66 '--resume /: no checkpoint-STEP is in it' $run --resume /
    mkdir "$work/checkpoint-500"
    fails 66 'checkpoint-500/MANIFEST' $run --resume "$work/checkpoint-500"
    echo '{}' >"$work/checkpoint-500/MANIFEST"
    fails 65 'checkpoint-500/MANIFEST: not of a checkpoint that train_gpt made' $run --resume "$work/checkpoint-500"
    sed 's/"format_version": "1"/"format_version": "2"/' "$newest/MANIFEST" >"$work/checkpoint-500/MANIFEST"
    fails 78 'checkpoint-500/MANIFEST: version 2, this program knows 1' $run --resume "$work/checkpoint-500"
    fails 64 '^train_gpt: --resume .* with --seeds: a checkpoint is of one run' $run --resume "$newest" --seeds 4,5
    fails 64 '^train_gpt: --save-every 2min: not a whole number' $run --save-every 2min
    fails 64 '^train_gpt: --keep-checkpoints with --trace-until' $train $short --keep-checkpoints --trace "$work/trace" --trace-until 3
    fails 64 '^train_gpt: --save-every with --trace-until' $train $short --save-every 3 --trace "$work/trace" --trace-until 3
    # with its very own settings it goes on from anywhere
    rm -rf "$work/preds"
    into preds $run --resume "$work/kept/$(basename "$folder")"
    same
    # more steps, where the schedule does not depend on how many there are
    rm -rf "$work/whole" "$work/preds"
    into whole $run $steady --epochs 5 --select best
    into y $run $steady --select best --keep-checkpoints
    into preds $run $steady --epochs 5 --select best --resume "$work"/y/*.constant*.checkpoints 2>/dev/null || into preds $run $steady --epochs 5 --select best \
        --resume "$(ls -td "$work"/y/*.checkpoints | head -n 1)"
    same
    fails 78 'step 24 is behind the end of this run, step 16' $run $steady --epochs 2 --select best --save "$work/z" --resume "$(ls -td "$work"/y/*.checkpoints | head -n 1)"
}

@test "data, base model or adapter changed since: 78; a finished run is trained again" {
    make_shim
    "$build/make_llama" "$work/llama"
    printf 'text,label\n' >"$work/own.csv"
    for i in $(seq 64); do echo "word number $i,$((i % 2))"; done >>"$work/own.csv"
    local own="$train --task own --train-file $work/own.csv --dev-file $work/own.csv --model $work/llama --batch 8 --epochs 3 --max-len 32 --quiet"
    local traced="$own --trace $work/trace"
    own="$own --save-every 2steps"
    into whole $own
    stopped $own
    cp "$work/own.csv" "$work/kept.csv"
    sed -i '$s/word/verb/' "$work/own.csv"
    appended="--preds $work/preds --save $work/preds/model"
    code=0
    $own $appended >/dev/null 2>"$work/err" || code=$?
    [ $code -eq 78 ]
    grep -q 'train_sha256 "[0-9a-f]*, now "[0-9a-f]*' "$work/err"
    cp "$work/kept.csv" "$work/own.csv"
    cp "$work/llama/model.safetensors" "$work/kept.safetensors"
    printf '\001' | dd of="$work/llama/model.safetensors" bs=1 seek=$(($(stat -c %s "$work/llama/model.safetensors") - 3)) conv=notrunc status=none
    code=0
    $own $appended >/dev/null 2>"$work/err" || code=$?
    [ $code -eq 78 ]
    grep -q 'model_sha256 "[0-9a-f]*, now "[0-9a-f]*' "$work/err"
    cp "$work/kept.safetensors" "$work/llama/model.safetensors"
    into preds $own
    same
    # nothing to go on from: each step is made again, and compared
    into preds $own --save-every 1steps
    grep -q 'same as before' "$work/out"
    [ "$(grep -c 'going on' "$work/err")" -eq 0 ]
    same
    # nor from the checkpoints that were kept
    into preds $own --keep-checkpoints
    ls "$work"/preds/*.checkpoints/checkpoint-24/MANIFEST "$work"/preds/*.checkpoints/checkpoint-22/MANIFEST
    into preds $own --keep-checkpoints --save-every 5steps
    [ "$(grep -c 'going on' "$work/err")" -eq 0 ]
    [ "$(cd "$work"/preds/*.checkpoints && ls | tr '\n' ' ')" = "checkpoint-20 checkpoint-24 " ]
    rm -r "$work"/preds/*.checkpoints
    same
    stopped $own
    into preds $own --resume never
    [ "$(grep -c 'going on' "$work/err")" -eq 0 ]
    same
    stopped $own
    appended="--preds $work/preds --save $work/preds/model" refused="$work/none"
    fails 78 "$work/trace: no such file, so this run was begun without that trace; go on without it, or begin anew with --resume never" $traced
    [ -e "$newest/MANIFEST" ]
    into preds $traced --resume never
    "$tracediff" "$work/trace" "$work/trace" | grep -q '^equal: 24 steps'
}

@test "a checkpoint that cannot be written is a warning, and the run goes on" {
    make_shim
    into whole $run
    for fault in "fsync 20 28" "rename 9 30" "open 7 122"; do
        rm -rf "$work/preds"
        at_fault $fault $run --preds "$work/preds" --save "$work/preds/model"
        [ "$status" -eq 0 ] || { echo "$fault: $status $(cat "$work/err")"; return 1; }
        grep -q '^WARNING: no checkpoint of step [0-9]*: cannot' "$work/err" || { cat "$work/err"; return 1; }
        same
    done
}

@test "a log that is no regular file: no checkpoints, which are warnings, and the run goes on" {
    local log
    into whole $run
    log="$(basename "$work"/whole/*.jsonl)"
    mkdir "$work/preds"
    ln -s /dev/null "$work/preds/$log"
    into preds $run
    [ "$(grep -c "^WARNING: no checkpoint of step [0-9]*: $work/preds/$log: is special" "$work/err")" -eq 12 ]
    cmp "$work"/whole/*.bin "$work"/preds/*.bin
}

# slow_disk: a shim with which each fsync takes 0.3 s
slow_disk() {
    case "${BUILD:-build}" in *san*) skip "a sanitizer's runtime must come first" ;; esac
    echo '#include <unistd.h>
int fsync(int file) { usleep(300000); return fdatasync(file); }' | ${CC:-gcc} -shared -fPIC -o "$work/slow.so" -x c -
}

# begun COMMAND...: in $work/preds, in the background as $pid, until the checkpoint of step 20 is being written
begun() {
    rm -rf "$work/preds"
    LD_PRELOAD="$work/slow.so" "$@" --preds "$work/preds" --save "$work/preds/model" >/dev/null 2>"$work/err" 3>&- &
    pid=$!
    for i in $(seq 200); do [ ! -e "$(echo "$work"/preds/*.unfinished/.tmp-checkpoint-20)" ] || break; sleep 0.02; done
}

@test "a checkpoint is written beside training; a signal waits for it and saves its own step" {
    slow_disk
    local steps="$short --save-every 20steps" code=0
    into whole $train $steps
    begun $train $steps
    for i in $(seq 100); do grep -q '"step":24,' "$work"/preds/*.jsonl && break; sleep 0.02; done
    [ -d "$work"/preds/*.unfinished/.tmp-checkpoint-20 ]
    [ ! -e "$(echo "$work"/preds/*.unfinished/checkpoint-20)" ]
    wait $pid
    same
    begun $train $steps --epochs 9999
    kill -TERM $pid
    wait $pid || code=$?
    [ $code -eq 75 ]
    [ "$(ls "$work"/preds/*.unfinished | grep -c '^checkpoint-')" -eq 2 ]
    [ -e "$work"/preds/*.unfinished/checkpoint-20/MANIFEST ]
    [ "$(ls -A "$work"/preds/*.unfinished | wc -l)" -eq 2 ]
}

@test "a thread that finds no memory while it writes a checkpoint ends the run, but not under the thread that computes" {
    case "${BUILD:-build}" in *san*) skip "a sanitizer's runtime must come first" ;; esac
    echo '#include <stddef.h>
#include <unistd.h>
extern void *__libc_realloc(void *, size_t);
static _Thread_local int writes;
int setpriority(int which, unsigned who, int priority) { return writes = 1, 0; }
void *realloc(void *old, size_t size) { return writes ? NULL : __libc_realloc(old, size); }
__attribute__((destructor)) static void end(void) { writes && write(2, "exit\n", 5); }' | ${CC:-gcc} -shared -fPIC -o "$work/none.so" -x c -
    local code=0
    LD_PRELOAD="$work/none.so" $run --preds "$work/preds" --quiet >/dev/null 2>"$work/err" || code=$?
    [ $code -eq 71 ]
    grep -q 'out of memory' "$work/err"
    [ "$(grep -c '^exit' "$work/err")" -eq 0 ]
}

@test "where a copy of the state finds no memory the run waits for its checkpoints" {
    case "${BUILD:-build}" in *san*) skip "a sanitizer's address space has no limit" ;; esac
    local big="$train --task boolq --data builtin --model tiny --batch 1536 --max-steps 2 --threads 1" limit=150000
    into whole $big
    output=
    until [[ "$output" == *'too little for a copy'* ]]; do
        limit=$((limit + 4000))
        [ $limit -lt 400000 ]
        run bash -c "ulimit -v $limit; $big --dry-run"
    done
    limit=$((limit + 12000)) # the plan does not count everything
    into preds bash -c "ulimit -v $limit; exec $big --save-every 1steps \"\$@\"" bash
    grep -q '^ *too little for a copy: the run waits while a checkpoint is written$' "$work/err"
    [ "$(grep -c WARNING "$work/err")" -eq 0 ]
    same
}

@test "several seeds: a checkpoint of another run is seen before the first trains; finished ones are not trained again" {
    make_shim
    local some="$run --preds $work/preds"
    at_fault fsync 30 -9 $some --seed 6
    [ $status -eq 137 ]
    fails 78 's6.unfinished/checkpoint-.*: the run was begun with other settings: eval_every "1", now "4steps"' $some --seeds 4,5,6 --eval-every 4steps --quiet
    [ -z "$(ls "$work"/preds/*.s[45].* 2>/dev/null)" ]
    newest="$(ls -d "$work"/preds/*.s6.unfinished/checkpoint-* | sort -V | tail -n 1)"
    sed -i 's/"format_version": "1"/"format_version": "2"/' "$newest/MANIFEST"
    fails 78 's6.unfinished/checkpoint-.*/MANIFEST: version 2, this program knows 1' $some --seeds 4,5,6 --quiet
    [ -z "$(ls "$work"/preds/*.s[45].* 2>/dev/null)" ]
    sed -i 's/"format_version": "2"/"format_version": "1"/' "$newest/MANIFEST"
    $some --seed 4 >/dev/null 2>&1
    $some --seeds 4,5,6 >"$work/out" 2>"$work/err"
    grep -q '^seed 4: finished before: .*s4.bin$' "$work/out"
    [ "$(grep -c '^wrote: ' "$work/out")" -eq 2 ]
    grep -q 'going on behind' "$work/err"
    # all are finished: they are made again, and compared
    $some --seeds 4,5,6 >"$work/out" 2>/dev/null
    [ "$(grep -c '^wrote: .*(same as before)' "$work/out")" -eq 3 ]
    # a file where a run's checkpoints would be: the finished run stays finished, another is refused before it trains
    local taken="$(echo "$work"/preds/*.s5.bin)"
    taken="${taken%.bin}.unfinished"
    touch "$taken"
    rm "$work"/preds/*.s4.bin
    $some --seeds 4,5 >"$work/out" 2>/dev/null
    grep -q '^seed 5: finished before' "$work/out"
    fails 73 'cannot create the folder .*s5.unfinished: a file has that name' $some --seed 5 --quiet
    rm "$taken"
    # a damaged one, and one of another recipe, are trained
    rm "$work"/preds/*.s5.bin
    printf '#' | dd of="$(echo "$work"/preds/*.s6.bin)" bs=1 seek=3000 conv=notrunc status=none
    $some --seeds 4,5,6 >"$work/out" 2>/dev/null
    [ "$(grep -c '^seed 4: finished before' "$work/out")" -eq 1 ]
    [ "$(grep -c '^wrote: ' "$work/out")" -eq 2 ]
    rm "$work"/preds/*.s5.bin
    $some --seeds 4,5,6 --resume never >"$work/out" 2>/dev/null
    [ "$(grep -c '^wrote: ' "$work/out")" -eq 3 ]
}
