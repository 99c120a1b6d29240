# train_gpt --trace: the same chain however a run is computed; files in the way; refusals.

load common

setup() {
    workplace
    short="--task rte --model tiny --data builtin --max-train 24 --max-eval 8 --batch 8 --epochs 2 --quiet"
}

# chain NAME OPTIONS...: the chain that stands in the prediction file of this run
chain() {
    name=$1
    shift
    $train $short --preds "$work/$name" --trace "$work/$name.trace" "$@" >/dev/null 2>&1 || return 1
    grep -ao '"trace_sha256":"[0-9a-f]*"' "$work/$name"/*.bin
}

fails() {
    run "${@:3}"
    [ "$status" -eq "$1" ] || { echo "$status: $output"; return 1; }
    [[ "$output" == *"$2"* ]] || { echo "$output"; return 1; }
}

@test "threads, instruction sets, fence and emulator write one trace" {
    for level in weights outputs; do
        first=$(chain $level --trace-level $level --device cpu --threads 1)
        [ -n "$first" ]
        [ "$(chain $level-2 --trace-level $level --device cpu --threads 2)" = "$first" ]
        [ "$(chain $level-scalar --trace-level $level --device cpu --simd scalar)" = "$first" ]
        [ "$(chain $level-fence --trace-level $level --device fence)" = "$first" ]
        [ "$(chain $level-sim --trace-level $level --device sim --max-steps 2 --max-train 8)" = \
            "$(chain $level-few --trace-level $level --device cpu --max-steps 2 --max-train 8)" ]
    done
}

@test "weights do not depend on micro-batches or recomputation; another seed has another chain" {
    first=$(chain one)
    [ "$(chain micro --micro-batch 3)" = "$first" ]
    [ "$(chain again --recompute)" = "$first" ]
    [ "$(chain other --seed-data 7)" != "$first" ]
    [ "$(chain outputs --trace-level outputs)" != "$(chain cut --trace-level outputs --micro-batch 3)" ]
}

@test "a trace changes no prediction" {
    $train $short --preds "$work/plain" >/dev/null 2>&1
    $train $short --preds "$work/plain2" >/dev/null 2>&1
    cmp "$work"/plain/*.bin "$work"/plain2/*.bin
    ! grep -aq trace_sha256 "$work"/plain/*.bin || false
    chain traced --trace-level outputs
    [ "$(tail -c 100 "$work"/plain/*.bin | sha256sum)" = "$(tail -c 100 "$work"/traced/*.bin | sha256sum)" ]
}

@test "--trace-until stops behind the step and begins like the whole trace" {
    chain whole --trace-level outputs
    $train $short --preds "$work/until" --trace "$work/until.trace" --trace-level outputs --trace-until 2 >"$work/out" 2>&1
    grep -q 'stopped behind step 2' "$work/out"
    [ -z "$(ls "$work"/until/*.bin 2>/dev/null)" ]
    length=$(stat -c %s "$work/until.trace")
    [ "$length" -gt 20000 ]
    # the headers differ in command and time: the blocks are the last bytes of one, and within the other
    tail -c 10000 "$work/until.trace" | od -An -v -tx1 | tr -d ' \n' >"$work/end"
    od -An -v -tx1 "$work/whole.trace" | tr -d ' \n' | grep -qF -f "$work/end"
}

@test "a file in the way is kept; with a checkpoint that --resume names the trace, too, which could go on" {
    echo mine >"$work/one.trace"
    chain one
    [ "$(cat "$work/one.1.trace")" = mine ]
    head -c 8 "$work/one.trace" | grep -q sb-trace
    chain two --keep-checkpoints --save-every 2steps
    cp "$work/two.trace" "$work/whole.trace"
    $train $short --preds "$work/three" --trace "$work/two.trace" --resume "$(ls -d "$work"/two/*.checkpoints/checkpoint-4)" >/dev/null 2>"$work/err"
    grep -q "^NOTE: .* the trace; it is now $work/two.1.trace" "$work/err"
    cmp "$work/two.1.trace" "$work/whole.trace"
    "$tracediff" "$work/two.trace" "$work/whole.trace" | grep -q '^equal: 2 steps'
}

# blocks NAME: what the trace has behind its header
blocks() {
    local length
    length=$(od -An -tu4 -j 12 -N 4 "$work/$1.trace")
    tail -c +$((17 + length)) "$work/$1.trace" | sha256sum
}

@test "a traced run that was stopped goes on in its trace, which ends as that of one that was not" {
    make_shim
    local options
    for options in "--trace-level outputs" "--trace-every 4 --eval-every 1steps --select best"; do
        rm -rf "$work"/*.trace "$work/stopped" "$work/whole"
        first=$(chain whole $options)
        at_fault fsync 25 -9 $train $short --preds "$work/stopped" --trace "$work/stopped.trace" --save-every 1steps $options
        [ $status -eq 137 ]
        cp -r "$work/stopped" "$work/kept"
        cp "$work/stopped.trace" "$work/kept.trace"
        [ "$(chain stopped $options)" = "$first" ]
        [ "$(blocks stopped)" = "$(blocks whole)" ]
        "$tracediff" "$work/stopped.trace" "$work/whole.trace"
        [ ! -e "$work/stopped.1.trace" ]
        # what was written of a block when it was killed
        rm -r "$work/stopped"
        cp -r "$work/kept" "$work/stopped"
        (cat "$work/kept.trace" && printf 'Step') >"$work/stopped.trace"
        $train ${short% --quiet} --preds "$work/stopped" --trace "$work/stopped.trace" $options >/dev/null 2>"$work/err"
        grep -q 'going on behind step [1-5] of 6' "$work/err"
        [ "$(blocks stopped)" = "$(blocks whole)" ]
        rm -r "$work/kept"
    done
}

@test "a trace that ends before the checkpoint, the run begins anew; is gone or another run's: 78; a signal" {
    make_shim
    local options="--trace-level outputs --save-every 2steps" code=0
    first=$(chain whole --trace-level outputs)
    at_fault fsync 25 -9 $train $short --preds "$work/kept" --trace "$work/kept.trace" $options
    [ $status -eq 137 ]
    for how in short gone other; do
        rm -rf "$work/stopped" "$work"/stopped*.trace
        cp -r "$work/kept" "$work/stopped"
        case $how in
        short) head -c 20000 "$work/kept.trace" >"$work/stopped.trace" ;;
        other) $train $short --preds "$work/p" --trace "$work/stopped.trace" --trace-level outputs --seed-data 7 >/dev/null 2>&1 ;;
        esac
        case $how in
        gone) fails 78 'no such file, so this run was begun without that trace' $train $short --preds "$work/stopped" --trace "$work/stopped.trace" $options ;;
        other) fails 78 'is the trace of another run, or records something else' $train $short --preds "$work/stopped" --trace "$work/stopped.trace" $options ;;
        short)
            $train $short --preds "$work/stopped" --trace "$work/stopped.trace" $options >/dev/null 2>"$work/err"
            grep -q '^WARNING: no checkpoint in .*unfinished is whole and within the trace; the run begins anew$' "$work/err"
            [ "$(blocks stopped)" = "$(blocks whole)" ]
            continue
            ;;
        esac
        [ "$(ls -A "$work"/stopped/*.unfinished)" = "$(ls -A "$work"/kept/*.unfinished)" ] # nothing is lost
        [ "$(chain stopped $options --resume never)" = "$first" ]
    done
    # stopped by a signal, and gone on with
    $train $short --epochs 300 --preds "$work/long" --trace "$work/long.trace" >/dev/null 2>&1 3>&- &
    for i in $(seq 200); do grep -q '"step":9,' "$work"/long/*.jsonl 2>/dev/null && break; sleep 0.05; done
    kill -TERM $!
    wait $! || code=$?
    [ $code -eq 75 ]
    first=$(chain long2 --epochs 300)
    [ "$(chain long --epochs 300)" = "$first" ]
    [ "$(blocks long)" = "$(blocks long2)" ]
}

@test "a trace that has nothing but its header does not go on; one that the disk does not take ends the run" {
    make_shim
    local options="--trace-every 100 --save-every 2steps" code=0 length
    first=$(chain whole $options)
    at_fault fsync 25 -9 $train $short --preds "$work/stopped" --trace "$work/stopped.trace" $options
    [ $status -eq 137 ]
    cp -r "$work/stopped" "$work/kept"
    cp "$work/stopped.trace" "$work/kept.trace"
    length=$(od -An -tu4 -j 12 -N 4 "$work/stopped.trace")
    truncate -s $((16 + length)) "$work/stopped.trace"
    [ "$(chain stopped $options)" = "$first" ]
    [ "$(blocks stopped)" = "$(blocks whole)" ]
    echo '#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
FILE *fopen(const char *path, const char *mode)
{
    return mode[0] == 114 && mode[1] == 43 ? errno = EACCES, NULL : ((FILE *(*)(const char *, const char *))dlsym(RTLD_NEXT, "fopen"))(path, mode);
}
int fsync(int file)
{
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path);
    return size > 6 && !memcmp(path + size - 6, ".trace", 6) ? errno = EIO, -1 : 0;
}' | ${CC:-gcc} -shared -fPIC -o "$work/trace.so" -x c - -ldl
    cp "$work/kept.trace" "$work/stopped.trace"
    rm -r "$work/stopped"
    cp -r "$work/kept" "$work/stopped"
    LD_PRELOAD="$work/trace.so" fails 77 "cannot write $work/stopped.trace: Permission denied" $train $short --preds "$work/stopped" --trace "$work/stopped.trace" $options
    cmp "$work/kept.trace" "$work/stopped.trace"
    LD_PRELOAD="$work/trace.so" fails 74 "WARNING: no checkpoint of step 2: cannot write $work/disk.trace: Input/output error" \
        $train $short --preds "$work/disk" --trace "$work/disk.trace" $options
    [[ "${lines[-1]}" == "train_gpt: cannot write $work/disk.trace: "* ]]
}

@test "adapters and an evaluation alone are traced" {
    [ -n "$(chain lora --lora --trace-level outputs)" ]
    [ -n "$(chain none --epochs 0)" ]
}

@test "one unit in the last place is the first record that differs" {
    record="--trace-level outputs --trace-until 2"
    values() { tail -c "$2" "$work/$1.st" | od -An -v -tx4 -w4 | tr -d ' '; }
    for device in cpu fence; do
        $train $short --device $device --preds "$work/p" --trace "$work/a.trace" $record.20 --trace-tensor "$work/a.st" >/dev/null 2>&1
        $train $short --device $device --preds "$work/p" --trace "$work/b.trace" $record.20 --trace-tensor "$work/b.st" --perturb 2.20.5 >/dev/null 2>&1
        $train $short --device $device --preds "$work/p" --trace "$work/c.trace" $record.19 --trace-tensor "$work/c.st" --perturb 2.20.5 >/dev/null 2>&1
        $train $short --device $device --preds "$work/p" --trace "$work/d.trace" $record.19 --trace-tensor "$work/d.st" >/dev/null 2>&1
        cmp "$work/c.st" "$work/d.st"
        head -c 600 "$work/a.st" | grep -q '"bound":{"dtype":"F64",.*"float64":{"dtype":"F64"'
        [ "$(cmp -l "$work/a.st" "$work/b.st" | wc -l)" -ge 1 ]
        [ "$(cmp -l "$work/a.st" "$work/b.st" | wc -l)" -le 4 ]
    done
    chain perturbed --trace-level outputs --perturb 1.3.0
    grep -aq '"kernels":"perturb=1.3.0"' "$work"/perturbed/*.bin
    grep -aq '"arithmetic":"fast"' "$work"/perturbed/*.bin
    chain plain --trace-level outputs
    [ "$(chain plain2 --trace-level outputs)" = "$(chain plain3 --trace-level outputs)" ]
}

@test "the step that diverged is the last of its trace" {
    local tracediff="$(dirname "$train")/tracediff" diverging="--lr 1e10 --warmup 0"
    for level in weights outputs; do
        fails 79 'step 2: the loss is not finite' $train $short $diverging --preds "$work/p" --trace-level $level --trace "$work/$level.trace"
        $tracediff "$work/$level.trace" "$work/$level.trace" >"$work/text"
        grep -q '^equal: 2 steps' "$work/text"
        grep -q 'no end behind step 2: its run goes on, was stopped or diverged' "$work/text"
        "$(dirname "$train")/check" --step 2 "$work/$level.trace" | grep -q '^step 2: equal'
    done
    $train $short $diverging --preds "$work/p" --trace-level outputs --trace "$work/other.trace" --perturb 2.9.0 >/dev/null 2>&1 || true
    fails 1 'first difference: step 2, micro-batch 0, ' $tracediff "$work/outputs.trace" "$work/other.trace"
    "$(dirname "$train")/check" --step 2 "$work/weights.trace" -- --simd scalar --threads 1 | grep -q '^step 2: equal'
}

@test "refusals" {
    traced="$train $short --preds $work/p --trace $work/t.trace"
    fails 64 'not STEP.RECORD.I' $traced --trace-level outputs --perturb 1.2
    fails 64 'need each other' $traced --trace-level outputs --trace-until 1.2
    fails 64 'need each other' $traced --trace-level outputs --trace-until 1 --trace-tensor "$work/x"
    fails 64 'level outputs' $traced --perturb 1.2.3
    fails 64 'has 135 records, from 0 on' $traced --trace-level outputs --perturb 1.99999.0
    fails 64 'elements' $traced --trace-level outputs --perturb 1.0.99999999
    fails 64 'neither STEP' $traced --trace-until 1.2.3
    fails 64 'without --trace' $train $short --preds "$work/p" --trace-level outputs
    fails 64 'choose weights or outputs' $train $short --preds "$work/p" --trace "$work/t" --trace-level all
    fails 64 'the run has 6 steps' $train $short --preds "$work/p" --trace "$work/t" --trace-until 7
    fails 64 'one run' $train $short --preds "$work/p" --trace "$work/t" --seeds 1,2
    fails 64 'neither STEP' $train $short --preds "$work/p" --trace "$work/t" --trace-until 0
    fails 64 'without --trace' $train $short --preds "$work/p" --perturb 1.2.3
    fails 64 'count from 1' $train $short --preds "$work/p" --trace "$work/t" --trace-every 0
    fails 64 'the run has 6 steps' $traced --trace-level outputs --perturb 7.0.0
    fails 64 '--trace and --profile are one file' $traced --profile "$work/t.trace"
    fails 64 '--trace and --trace-tensor are one file' $traced --trace-level outputs --trace-until 1.2 --trace-tensor "$work/t.trace"
    touch "$work/one"
    ln "$work/one" "$work/two"
    fails 64 'are one file' $train $short --preds "$work/p" --trace "$work/one" --profile "$work/two"
    fails 73 'cannot create' $train $short --preds "$work/p" --trace "$work/none/t"
    [ -e /dev/full ] || skip "no /dev/full"
    fails 74 'cannot write' $train $short --preds "$work/p" --trace /dev/full
}

@test "tracediff: equal, different, refused" {
    local tracediff="$(dirname "$train")/tracediff"
    $train $short --preds "$work/p" --trace-level outputs --trace "$work/a.trace" >/dev/null 2>&1
    $train $short --preds "$work/p" --trace-level outputs --trace "$work/b.trace" --kernel layernorm_backward=float64 >/dev/null 2>&1
    $tracediff "$work/a.trace" "$work/a.trace" | grep -q '^equal: '
    code=0
    $tracediff "$work/a.trace" "$work/b.trace" >"$work/text" || code=$?
    [ "$code" -eq 1 ]
    grep -q '^first difference: step 1, micro-batch 0, backward, layer 1: dx .* of layernorm_backward$' "$work/text"
    grep -q '^run kernels: none against layernorm_backward=float64$' "$work/text"
    code=0
    $train $short --preds "$work/p" --trace-level outputs --trace "$work/init.trace" --seed-init 7 >/dev/null 2>&1
    $tracediff "$work/a.trace" "$work/init.trace" >"$work/text" || code=$?
    [ "$code" -eq 1 ]
    grep -q '^first difference: before step 1: weight of bert.embeddings' "$work/text"
    grep -q '^equal before it: 0 steps' "$work/text"
    code=0
    $tracediff -o "$work/first.json" "$work/a.trace" "$work/b.trace" || code=$?
    [ "$code" -eq 1 ]
    grep -q '"op": "layernorm_backward"' "$work/first.json"
    $tracediff --growth -o "$work/growth.html" "$work/a.trace" "$work/b.trace"
    grep -q '<h1>How did the difference grow?' "$work/growth.html"
    ! grep -q nan "$work/growth.html" || false
    fails 64 '1 files; name two traces' $tracediff "$work/a.trace"
    fails 64 'did you mean --growth' $tracediff --growht "$work/a.trace" "$work/a.trace"
    fails 64 'with --growth alone' $tracediff -o "$work/x.html" "$work/a.trace" "$work/a.trace"
    fails 66 'no.trace' $tracediff "$work/a.trace" "$work/no.trace"
    : >"$work/empty.trace"
    fails 65 'empty.trace' $tracediff "$work/a.trace" "$work/empty.trace"
    head -c -700 "$work/b.trace" >"$work/cut.trace"
    code=0
    $tracediff "$work/b.trace" "$work/cut.trace" >"$work/text" || code=$?
    [ "$code" -eq 0 ]
    [ "$(grep -c 'cut.trace has no end behind step [0-9]*: its run goes on, was stopped or diverged' "$work/text")" -eq 1 ]
    head -c -9000 "$work/b.trace" >"$work/cut.trace" # of what follows in the other trace nothing is said
    $tracediff "$work/b.trace" "$work/cut.trace" >"$work/text"
    grep -q 'cut.trace has no end behind step' "$work/text"
    ! grep -q 'b.trace has no end' "$work/text" || false
    before=$(sha256sum "$work/a.trace")
    ln -s a.trace "$work/link"
    fails 64 'a trace that is read' $tracediff -o "$work/link" "$work/a.trace" "$work/b.trace"
    fails 64 'a trace that is read' $tracediff --explain --window 2 "$work/a.trace" "$work/a.trace" "$work/b.trace"
    fails 64 'are one file' $tracediff --explain --window 2 "$work/w" -o "$work/w" "$work/a.trace" "$work/b.trace"
    [ "$before" = "$(sha256sum "$work/a.trace")" ]
    # names that a terminal would obey
    cp "$work/cut.trace" "$work/"$'a\e[31m\n.trace'
    $tracediff "$work/b.trace" "$work/"$'a\e[31m\n.trace' >"$work/text"
    grep -qF 'a?[31m?.trace has no end' "$work/text"
    $tracediff --growth "$work/b.trace" "$work/"$'a\e[31m\n.trace' >"$work/text"
    head -n 1 "$work/text" | grep -qF 'a?[31m?.trace'
}

@test "digests of a trace name the op of step 1, or the step, that differs" {
    $train $short --preds "$work/p" --trace-level outputs --trace "$work/a.trace" >/dev/null 2>&1
    $train $short --preds "$work/p" --trace-level outputs --trace "$work/op.trace" --kernel layernorm_backward=float64 >/dev/null 2>&1
    $train $short --preds "$work/p" --trace-level outputs --trace "$work/step.trace" --perturb 4.70.1 >/dev/null 2>&1
    "$build/digests" "$work/a.trace" >"$work/expected"
    [ "$("$build/digests" "$work/a.trace" "$work/expected")" = "" ]
    [[ "$("$build/digests" "$work/op.trace" "$work/expected")" == "step 1, micro-batch 0, backward, layer 1: dx "*" of layernorm_backward" ]]
    [ "$("$build/digests" "$work/step.trace" "$work/expected")" = "step 4, and none before it" ]
    : >"$work/nothing" # a run of which nothing was expected
    [[ "$("$build/digests" "$work/a.trace" "$work/nothing")" == "step 1, micro-batch 0, embed: "* ]]
}
