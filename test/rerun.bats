# Runs of traces that are run again: tracediff --explain, check.

load common

setup() {
    workplace
    mkdir "$work/tmp"
    export TMPDIR="$work/tmp" # of the runs that are run again
}

# traced NAME OPTIONS...: the trace NAME of a short run in the folder $work/run
traced() {
    mkdir -p "$work/run"
    (cd "$work/run" && exec "$programs/train_gpt" --task rte --max-train 24 --max-eval 8 --batch 8 --epochs 2 --quiet \
        --trace "../$1.trace" "${@:2}" >/dev/null 2>&1)
}

# says CODE TEXT COMMAND...: the exit code, a text of the output, and no temporary folder that is left
says() {
    run "${@:3}"
    [ "$status" -eq "$1" ] || { echo "$status: $output"; return 1; }
    [[ "$output" == *"$2"* ]] || { echo "$output"; return 1; }
    [ -z "$(ls "$work/tmp")" ] || { ls "$work/tmp"; return 1; }
}

# What the user has: it stays as it is.
files() {
    (cd "$work" && find . -path ./tmp -prune -o -type f -exec sha256sum {} + | sort -k 2)
}

@test "explain: the elements of the first output that differs" {
    traced a --trace-level outputs
    traced b --trace-level outputs --perturb 3.20.6 --save=saved --profile p.json --verbose
    before=$(files)
    says 1 'first difference: step 3' $tracediff --explain "$work/a.trace" "$work/b.trace"
    [[ "$output" == *'run again: 1 of its '*' elements differ'*'  [0, 6]: -'*' 1 ulp'* ]]
    [ "$before" = "$(files)" ]
    says 1 '' $tracediff --explain "$work/a.trace" "$work/b.trace" --window 2 "$work/w.safetensors"
    head -c 300 "$work/w.safetensors" | grep -q '"a":.*"shape":\[2,2\]'
    head -c 300 "$work/w.safetensors" | grep -q '"first_row":"0","first_column":"5"'
}

@test "explain: which of the two is not what float64 gives" {
    traced a --trace-level outputs
    traced b --trace-level outputs --perturb 2.63.3 # of a copy: nothing is rounded
    traced c --trace-level outputs --perturb 2.63.7
    says 1 'of copy' $tracediff --explain "$work/a.trace" "$work/b.trace"
    [[ "$output" == *'1 ulp; off by 0 and '*', bound 0'*'1 of them beyond the bounds'*'is B that is wrong: the values of A are'* ]]
    says 1 'it is A that is wrong: the values of B are' $tracediff --explain "$work/b.trace" "$work/a.trace"
    says 1 'both are wrong: A in 1 of them, B in 1' $tracediff --explain "$work/b.trace" "$work/c.trace"
    [[ "$output" == *'2 of them beyond'* ]]
    says 1 '"outside_bound": {' $tracediff --explain --json "$work/a.trace" "$work/b.trace"
    [[ "$output" == *'"inside_bound": 0,'*'"bound": 0.0,'*'"float64": '* ]]
}

@test "explain: files that cannot be written are refused before both are run again" {
    traced a
    traced b --seed-data 7
    printf '#!/bin/sh\ntouch %s/started\n' "$work" >"$work/program"
    chmod +x "$work/program"
    explain="$tracediff --explain --program-a $work/program --program-b $work/program $work/a.trace $work/b.trace"
    says 73 "cannot create $work/none/x" $explain -o "$work/none/x"
    says 73 "cannot create $work/none/w" $explain --window 2 "$work/none/w"
    says 73 'a folder has that name' $explain --window 2 "$work/run"
    says 73 "cannot create $work/a.trace/x" $explain -o "$work/a.trace/x"
    [ ! -e "$work/started" ]
    ln -s none/x "$work/link"
    says 73 "cannot create $work/link" $explain -o "$work/link"
    [ ! -e "$work/started" ]
    says 65 'wrote no trace' $explain -o /dev/null
    [ -e "$work/started" ]
}

@test "explain: traces of weights name the op once both are run again" {
    traced a --trace-every 2 --micro-batch 4
    traced b --trace-every 2 --micro-batch 4 --kernel layernorm_backward=float64
    says 1 'first difference: step 2: norm' $tracediff "$work/a.trace" "$work/b.trace"
    says 1 'micro-batch 0, backward, layer 1: dx' $tracediff --explain "$work/a.trace" "$work/b.trace"
    says 1 '"ulps": ' $tracediff --explain "$work/a.trace" "$work/b.trace" --json
    traced c --trace-every 2 --kernel layernorm_backward=float64
    says 65 'run both with the same --micro-batch' $tracediff --explain "$work/a.trace" "$work/c.trace"
}

@test "explain: nothing to run again" {
    traced a
    says 0 'equal: 6 steps' $tracediff --explain "$work/a.trace" "$work/a.trace"
    traced b --seed-init 7
    says 1 'start from other weights' $tracediff --explain "$work/a.trace" "$work/b.trace"
}

@test "check: this machine computes what the trace says" {
    traced a --trace-level outputs --save saved
    before=$(files)
    says 0 'step 4: equal, and so is all before it; chain ' $check --step 4 "$work/a.trace"
    says 0 'step 6: equal' $check --step 6 "$work/a.trace" -- --threads 1 --simd scalar
    says 0 'step 6: equal' $check --step 6 "$work/a.trace" -- --device sim
    says 0 '' $check --random 3 "$work/a.trace"
    [ "$(grep -c equal <<<"$output")" -eq 3 ]
    says 0 '' $check --random 10 "$work/a.trace"
    [ "$(grep -c equal <<<"$output")" -eq 6 ]
    says 1 'first difference: step 2, micro-batch 0, ' $check --step 3 "$work/a.trace" -- --perturb 2.9.1
    [ "$before" = "$(files)" ]
}

@test "explain: steps that the traces leave out are looked at, too" {
    traced a --trace-level outputs --trace-every 3
    traced b --trace-level outputs --trace-every 3 --kernel layernorm_backward=float64
    says 1 'first difference: step 3, micro-batch 0, embed: out' $tracediff "$work/a.trace" "$work/b.trace"
    says 1 'first difference: step 1, micro-batch 0, backward, layer 1: dx' $tracediff --explain "$work/a.trace" "$work/b.trace"
}

@test "explain: where values are not finite no bound is known" {
    traced a --trace-level outputs --lr 1e10 --warmup 0 || true
    traced b --trace-level outputs --lr 1e10 --warmup 0 --perturb 2.10.0 || true
    says 1 'first difference: step 2, micro-batch 0, forward, layer 0: out' $tracediff --explain "$work/a.trace" "$work/b.trace"
    [[ "$output" == *'[0, 0]: not finite ('*'of 1 of them no bound is known'* ]]
    [[ "$output" != *'of rounding'* ]]
}

@test "check: options that record something else compare what both record" {
    traced a --trace-level outputs
    says 0 'step 3: equal in all that both record' $check --step 3 "$work/a.trace" -- --trace-level weights
    says 0 'step 3: equal in all that both record' $check --step 3 "$work/a.trace" -- --micro-batch 3
    [[ "$output" == *'run micro_batch: 8 against 3'*'equal: 3 steps, 1 evaluations' ]]
    says 0 'step 5: equal in all' $check --step 5 "$work/a.trace" -- --trace-every 2
    says 65 'and what was computed are of runs that cannot be compared: max_train' $check --step 3 "$work/a.trace" -- --max-train 16
    says 1 'step 3 differs' $check --step 3 "$work/a.trace" -- --kernel layernorm_backward=float64
    # of the same run, but not the trace that it wrote: a block is missing and the chain is new
    "$build/test_trace" --without-block 2 "$work/a.trace" "$work/less.trace"
    says 0 'equal: ' $tracediff "$work/a.trace" "$work/less.trace"
    says 1 'step 3 differs: no value that both record, but the chain' $check --step 3 "$work/less.trace"
}

# logging: makes the program $work/logging, which notes its arguments in $work/arguments and runs train_gpt
logging() {
    printf '#!/bin/sh\necho "$@" >>%s/arguments\nexec %s/train_gpt "$@"\n' "$work" "$programs" >"$work/logging"
    chmod +x "$work/logging"
}

@test "check: from a checkpoint that was kept, and a run that went on from one" {
    logging
    traced a --trace-level outputs --keep-checkpoints --save-every 2steps
    kept="$(echo "$work"/run/preds/*.checkpoints)"
    before=$(files)
    says 0 'step 5: equal; 1 steps up to it were compared' $check --step 5 --from "$kept/checkpoint-4" "$work/a.trace" --program "$work/logging"
    grep -q -e '--resume .*/checkpoint-4' "$work/arguments"
    [ "$(grep -c -e '--keep-checkpoints' "$work/arguments")" -eq 0 ]
    rm "$work/arguments" "$work/logging"
    [ "$before" = "$(files; :)" ] || before=$(files)
    (cd "$kept" && says 0 'step 6: equal; 2 steps' $check --step 6 --from checkpoint-4 "$work/a.trace" -- --simd scalar)
    says 78 'other settings' $check --step 6 --from "$kept/checkpoint-4" "$work/a.trace" -- --perturb 6.9.1
    says 78 'step 4, at which --trace-until stops, is not behind it' $check --step 4 --from "$kept/checkpoint-4" "$work/a.trace"
    says 66 'none' $check --step 5 --from "$work/none" "$work/a.trace"
    says 65 'of a checkpoint that train_gpt made' sh -c "mkdir '$work/no'; echo {} >'$work/no/MANIFEST'; $check --step 5 --from '$work/no' '$work/a.trace'; code=\$?; rm -r '$work/no'; exit \$code"
    # a program that ends before the step
    printf '#!/bin/sh\nexec %s/train_gpt "$@" --trace-until 5\n' "$programs" >"$work/short"
    chmod +x "$work/short"
    says 1 'what was computed has no end behind step 5' $check --step 6 --from "$kept/checkpoint-4" "$work/a.trace" --program "$work/short"
    [ "${lines[0]}" = 'step 6 differs' ]
    says 1 'what was computed has no end behind step 5' $check --step 6 "$work/a.trace" --program "$work/short" -- --trace-level weights
    rm "$work/short"
    says 64 'name the step with --step' $check --random 1 --from "$kept/checkpoint-4" "$work/a.trace"
    [ "$before" = "$(files)" ]
    # a trace that begins behind a checkpoint: --resume of its command is left out
    traced b --trace-level outputs --resume "$kept/checkpoint-4"
    says 0 'equal: 2 steps' $tracediff "$work/a.trace" "$work/b.trace"
    rm -r "$kept"
    says 0 'step 5: equal; 1 steps' $check --step 5 "$work/b.trace"
    says 65 'no record of step 4' $check --step 4 "$work/b.trace"
    [ "$(cat "$work"/run/preds/*.s42.bin | grep -ac trace_sha256)" -eq 0 ]
}

@test "explain: from the checkpoints that both runs kept" {
    logging
    traced a --trace-level outputs --keep-checkpoints --save-every 2steps
    traced b --trace-level outputs --keep-checkpoints --save-every 2steps --preds other --perturb 6.20.1
    says 1 'first difference: step 6, micro-batch 0, ' $tracediff "$work/a.trace" "$work/b.trace"
    first="${lines[0]}"
    says 1 "$first" $tracediff --explain "$work/a.trace" "$work/b.trace"
    explained="$output"
    [[ "$explained" == *'1 element'* ]] || [[ "$explained" == *'1 of '* ]]
    says 1 "$first" $tracediff --explain "$work/a.trace" "$work/b.trace" --program-a "$work/logging" --program-b "$work/logging"
    [ "$(grep -c -e '--resume .*/checkpoint-4' "$work/arguments")" -eq 2 ]
    [ "$output" = "$explained" ]
    # with other moments, as traces of equal weights may have, from the beginning
    rm "$work/arguments"
    sed -i '/optimizer/,/}/s/"xxh3": "./"xxh3": "x/' "$work"/run/other/*.checkpoints/checkpoint-4/MANIFEST
    grep -q '"x' "$work"/run/other/*.checkpoints/checkpoint-4/MANIFEST
    says 1 "$first" $tracediff --explain "$work/a.trace" "$work/b.trace" --program-a "$work/logging" --program-b "$work/logging"
    [ "$(grep -c -e '--resume' "$work/arguments")" -eq 0 ]
    [ "$output" = "$explained" ]
    # without them, or with those of another run, from the beginning
    rm -r "$work"/run/preds/*.checkpoints
    mv "$work"/run/other/*.checkpoints "$work/run/preds"
    says 1 "$first" $tracediff --explain "$work/a.trace" "$work/b.trace"
    [ "$output" = "$explained" ]
    # level weights: what differs first in the step is found from there, too
    traced c --keep-checkpoints --save-every 2steps --preds third
    traced d --keep-checkpoints --save-every 2steps --preds fourth --trace-level outputs --perturb 6.20.1
    says 1 "$first" $tracediff --explain "$work/c.trace" "$work/d.trace"
}

@test "check: commands as they may be typed" {
    traced a --save saved --prof p.json --
    before=$(files)
    says 0 'step 2: equal' $check --step 2 "$work/a.trace"
    [ "$before" = "$(files)" ]
}

@test "check: the environment and the folder of the run are in its trace" {
    mkdir -p "$work/run" "$work/other"
    "$build/make_llama" "$work/run/llama" >/dev/null
    SEEDBED_MODEL=llama traced a --lora --max-steps 2
    cd "$work/other"
    SEEDBED_MODEL=tiny says 0 'step 2: equal' $check --step 2 ../a.trace
    mv "$work/run/llama" "$work/run/moved"
    says 66 'a.trace cannot be run again: train_gpt: llama: ' $check --step 1 ../a.trace
    mv "$work/run" "$work/gone"
    says 66 'is not there any more' $check --step 1 ../a.trace
}

@test "check: a folder that may not be entered" {
    [ "$(id -u)" -ne 0 ] || skip "root may enter every folder"
    traced a --max-steps 1
    chmod 600 "$work/run"
    says 77 "cannot enter $work/run: Permission denied" $check --step 1 "$work/a.trace"
    chmod 700 "$work/run"
}

@test "refused: other programs, steps that there are not, damaged traces" {
    traced a --trace-every 3
    says 65 'ends with step 6' $check --step 7 "$work/a.trace"
    says 65 'no record of step 4' $check --step 4 "$work/a.trace"
    says 64 'a trace and either' $check "$work/a.trace"
    says 64 'a trace and either' $check --step 1 --random 1 "$work/a.trace"
    says 64 'not a number' $check --step 0 "$work/a.trace"
    says 64 'not a number' $check --random 1.5 "$work/a.trace"
    says 66 'no.trace' $check --step 1 "$work/no.trace"
    says 66 'no such program' $check --step 3 "$work/a.trace" --program "$work/none"
    says 66 'cannot be started' $check --step 3 "$work/a.trace" --program "$work/a.trace"
    says 65 'wrote no trace' $check --step 3 "$work/a.trace" --program /bin/true
    says 65 'said nothing' $check --step 3 "$work/a.trace" --program /bin/false
    says 65 'cannot be run again: train_gpt: --epoch' $check --step 3 "$work/a.trace" -- --epochz 2
    printf '#!/bin/sh\nkill -9 $$\n' >"$work/killed"
    chmod +x "$work/killed"
    says 70 'ended by signal 9' $check --step 3 "$work/a.trace" --program "$work/killed"
    cp "$work/a.trace" "$work/broken.trace"
    printf 'x' | dd of="$work/broken.trace" bs=1 seek=$(($(stat -c %s "$work/a.trace") - 400)) conv=notrunc 2>/dev/null
    says 65 'chain broken at step 6' $check --step 3 "$work/broken.trace"
    traced b --trace-every 3 --seed-data 43 --trace-level outputs
    says 64 'without --explain' $tracediff --window 2 "$work/w" "$work/a.trace" "$work/b.trace"
    says 64 'give one of the two' $tracediff --explain --growth "$work/a.trace" "$work/b.trace"
    says 64 'how many rows' $tracediff --explain --window x "$work/w" "$work/a.trace" "$work/b.trace"
    # another program wrote B: the comparison stands, with the reason why it is not explained
    sed "s/exec /exec $(sed 's/[/&]/\\&/g' <<<"$programs")\/train_gpt/" >"$work/other" <<<'#!/bin/sh
exec  "$@" --seed-data 44'
    chmod +x "$work/other"
    says 65 'first difference: ' $tracediff --explain "$work/a.trace" "$work/b.trace" --program-b "$work/other"
    [[ "$output" == *'b.trace is another run from'*'--program-b names'* ]]
}

# slow COMMAND...: makes the program $work/slow, which does this, and starts check with it as $checking
slow() {
    printf '#!/bin/sh\n%s\necho $$ >%s/pid\nexec sleep 60\n' "$1" "$work" >"$work/slow"
    chmod +x "$work/slow"
    rm -f "$work/pid"
    "${@:2}" $check --step 3 "$work/a.trace" --program "$work/slow" >"$work/out" 2>&1 &
    checking=$!
    for i in $(seq 100); do [ ! -s "$work/pid" ] || break; sleep 0.05; done
}

# ended CODE: check ends with it within seconds, its program too, and nothing is left
ended() {
    code=0
    for i in $(seq 100); do kill -0 $checking 2>/dev/null || break; sleep 0.05; done
    kill -KILL $checking 2>/dev/null || true
    wait $checking || code=$?
    [ "$code" -eq "$1" ] || { echo "$code"; return 1; }
    ! kill -0 "$(cat "$work/pid")" 2>/dev/null || false
    [ -z "$(ls "$work/tmp")" ]
}

@test "a signal ends the program too, and leaves nothing" {
    traced a --epochs 2
    slow : env
    kill -TERM $checking
    ended 75
    slow "trap '' TERM" env # the second signal ends what does not hear the first
    kill -TERM $checking
    sleep 0.2
    kill -0 "$(cat "$work/pid")"
    kill -TERM $checking
    ended 75
    slow : nohup # a hang-up is not heard
    kill -HUP $checking
    sleep 0.2
    kill -0 "$(cat "$work/pid")"
    kill -KILL "$(cat "$work/pid")"
    ended 70
    timeout -s KILL 30 env --ignore-signal=CHLD $check --step 1 "$work/a.trace"
}
