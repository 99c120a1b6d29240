# train_gpt study: its list, what it runs and skips, claims, stops and going on, and what it refuses.

load common

setup() {
    workplace
    refused="$work/s/preds"
    appended="--out $work/s"
    unset SLURM_ARRAY_TASK_ID PBS_ARRAY_INDEX PBS_ARRAYID SGE_TASK_ID JOB_COMPLETION_INDEX AWS_BATCH_JOB_ARRAY_INDEX
    export OMP_NUM_THREADS=1 SEEDBED_DEVICE=cpu
    quick="--max-train 32 --max-eval 40 --epochs 1 --model tiny --data builtin"
    small="--tasks cola,cb --seeds 42,52 $quick"
}

# study OPTIONS...: in $work/s, what it says in err, its tables in out
study() {
    local status=0
    $train study "$@" --out "$work/s" >"$work/out" 2>"$work/err" || status=$?
    return $status
}

@test "a study runs every task with every seed, longest first, and ends in its tables" {
    study $small --dry-run
    [ ! -e "$work/s" ]
    grep -q '^cola  *tiny  *tiny  *2 ' "$work/err"
    grep -q '^4 runs, 0 of them finished' "$work/err"
    study $small
    grep -q ' 4/4 ' "$work/err"
    [ "$(ls "$work/s/preds" | grep -c '\.bin$')" -eq 4 ]
    for file in table1.md table1.csv audit.md report.html report.json study.json; do
        [ -s "$work/s/$file" ]
    done
    grep -q '^| \*\*tiny\*\*' "$work/s/table1.md"
    [ "$(grep -c '^"tiny","c' "$work/s/table1.csv")" -eq 2 ]
    grep -q consistent "$work/s/audit.md"
    run grep inconsistent "$work/s/audit.md"
    [ "$status" -eq 1 ]
    # a run is what its own command makes
    $train --task cb --seed 52 $quick --preds "$work/one" --quiet
    cmp "$work"/one/*.bin "$work"/s/preds/superglue.cb.*.s52.bin
    # the longer task first; each log begins with the run's command
    $train study $small --max-train 32 --out "$work/other" --print >"$work/out" 2>"$work/err"
    [ "$(sed 's/.*# //' "$work/out" | cut -d . -f 2,6 | tr '\n' ' ')" = "cb.s42 cb.s52 cola.s42 cola.s52 " ]
    grep -q '^# train_gpt --max-train 32 .*--task cb --model tiny --seed 52 --preds' "$work"/s/logs/superglue.cb.*.s52.txt
}

@test "what is finished is not run again, what is broken is" {
    study $small
    cp -a "$work/s" "$work/before"
    study $small
    grep -q '^4 runs, 4 of them finished' "$work/err"
    run grep start "$work/err"
    [ "$status" -eq 1 ]
    diff -r "$work/before" "$work/s"
    rm "$work"/s/preds/glue.cola.*.s42.bin
    file=$(ls "$work"/s/preds/superglue.cb.*.s42.bin)
    printf x | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") - 3)) conv=notrunc status=none
    study $small
    grep -q '^4 runs, 2 of them finished' "$work/err"
    [ "$(grep -c start "$work/err")" -eq 2 ]
    for file in "$work"/before/preds/*.bin; do
        cmp "$file" "$work/s/preds/$(basename "$file")"
    done
    # more seeds and tasks are the same study
    study --tasks cola,cb,rte --seeds 42-43 $quick
    grep -q '^6 runs, 2 of them finished' "$work/err"
}

@test "commands for schedulers, and the variables of their arrays" {
    study $small --print
    [ "$(grep -c 'train_gpt study .* --index [0-3] # ' "$work/out")" -eq 4 ]
    command=$(grep '# superglue.cb.*s42$' "$work/out")
    (cd "$programs" && eval "$command") 2>"$work/err"
    [ "$(ls "$work/s/preds/" | grep '\.bin$')" = "${command##*# }.bin" ]
    study $small --print
    [ "$(wc -l <"$work/out")" -eq 3 ]
    (cd "$programs" && eval "$command") 2>"$work/err"
    grep -q '^finished before: ' "$work/err"
    SLURM_ARRAY_TASK_ID=3 study $small --index auto
    JOB_COMPLETION_INDEX=0 study $small --index auto
    SGE_TASK_ID=undefined PBS_ARRAY_INDEX=1 study $small --index auto
    [ "$(ls "$work/s/preds" | grep -c '\.bin$')" -eq 3 ]
    SGE_TASK_ID=3 AWS_BATCH_JOB_ARRAY_INDEX=9 study $small --index auto
    [ "$(ls "$work/s/preds" | grep -c '\.bin$')" -eq 4 ]
    run ls "$work/s/claims"
    [ -z "$output" ]
}

@test "grids of seeds are those that consistency separates" {
    study --tasks cola --seeds 1,2 --grid init,data $quick
    [ "$(ls "$work/s/preds" | sed -n 's/.*\.\(s[^.]*\)\.bin$/\1/p' | tr '\n' ' ')" = "s1-2-1 s1 s2-1-1 s2-2-1 " ]
    grep -q '"sources"' "$work/s/report.json"
    rm -r "$work/s"
    study --tasks cola --seeds 1,2 --grid dropout,init,data $quick --dry-run
    grep -q '^8 runs' "$work/err"
    appended="--out $work/s --quiet"
    fails 64 'study: more than 10000 runs' $train study --tasks cola --seeds 1-100 --grid init,data,dropout $quick
    study --tasks cola --seeds 1,2 --grid order --kernel all=shuffled $quick --dry-run
    grep -q '^2 runs' "$work/err"
}

@test "data of one's own, several models and recipes" {
    printf 'text,label\n' | tee "$work/t.csv" >"$work/d.csv"
    for i in 1 2 3 4 5 6; do
        printf 'word %d,%d\n' $i $((i % 2)) | tee -a "$work/t.csv" >>"$work/d.csv"
    done
    study --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" --seeds 1,2 --recipe tiny --recipe hf --epochs 1 --model tiny
    [ "$(ls "$work/s/preds" | grep -c '^own\.own\..*\.bin$')" -eq 4 ]
    [ "$(json_of_cells)" -eq 2 ]
    # other data under the same name: another study, and what was finished is not
    printf 'word 7,1\n' >>"$work/d.csv"
    own="--task own --train-file $work/t.csv --dev-file $work/d.csv --seeds 1,2 --recipe hf --epochs 1 --model tiny"
    appended="--out $work/s --quiet"
    refused="$work/none"
    fails 78 'dataset_sha256 .*, now ' $train study $own
    rm "$work/s/study.json"
    study $own
    grep -q '^2 runs, 0 of them finished' "$work/err"
}

# how many cells study.json has
json_of_cells() {
    grep -c '"recipe":' "$work/s/study.json"
}

@test "a study that is stopped goes on to the same bytes" {
    small="--tasks cola,cb --seeds 42,52 --max-train 64 --max-eval 40 --model tiny --data builtin"
    study $small
    mv "$work/s" "$work/whole"
    stopped=0
    for signal in TERM KILL INT KILL; do
        $train study $small --out "$work/s" >"$work/out" 2>"$work/err" &
        pid=$!
        for i in $(seq 200); do
            if grep -q ' start ' "$work/err"; then break; fi
            sleep 0.02
        done
        sleep 0.05
        kill -$signal $pid
        code=0
        wait $pid || code=$?
        if [ $signal != KILL ] && [ $code -ne 0 ]; then
            [ "$code" -eq 75 ]
            cat "$work/err"
            grep -q 'stopped by a signal with . of 4 runs finished; the same command goes on' "$work/err"
            [ -z "$(ls "$work/s/claims")" ]
            stopped=$((stopped + 1))
        fi
    done
    [ $stopped -gt 0 ]
    study $small
    for file in "$work"/whole/preds/*.bin "$work"/whole/table1.md "$work"/whole/report.json; do
        cmp "$file" "$work/s/${file#$work/whole/}"
    done
    [ "$(ls "$work/s/preds" | wc -l)" -eq 8 ]
}

@test "two at work on one folder share the runs; a killed one's are taken over" {
    many="--tasks cola,cb --seeds 1-4 --max-train 64 --max-eval 40 --model tiny --data builtin --jobs 1"
    $train study $many --out "$work/s" >"$work/out1" 2>"$work/err1" &
    first=$!
    study $many
    wait $first
    [ "$(cat "$work/err" "$work/err1" | grep -c ' start ')" -eq 8 ]
    cmp "$work/out" "$work/out1"
    rm -r "$work/s"
    $train study $many --out "$work/s" >"$work/out1" 2>"$work/err1" &
    first=$!
    $train study $many --out "$work/s" >"$work/out2" 2>"$work/err2" &
    second=$!
    for i in $(seq 200); do
        [ -z "$(ls "$work/s/claims" 2>/dev/null)" ] || break
        sleep 0.02
    done
    sleep 0.3
    kill -9 $first
    wait $second
    [ "$(ls "$work/s/preds" | grep -c '\.bin$')" -eq 8 ]
    [ -z "$(ls "$work/s/claims")" ]
    [ -s "$work/s/table1.md" ]
}

@test "claims of other machines are held while their heart beats" {
    study $small --print
    name=$(sed -n '1s/.*# //p' "$work/out")
    mkdir -p "$work/s/claims"
    echo 'elsewhere pid:[1] 77' >"$work/s/claims/$name.1"
    appended="--out $work/s --quiet"
    refused="$work/none"
    fails 73 "$name: process 77 of elsewhere runs it" $train study $small --index 0
    touch -d '5 minutes ago' "$work/s/claims/$name.1"
    study $small --index 0
    [ -s "$work/s/preds/$name.bin" ]
    [ -z "$(ls "$work/s/claims")" ]
    # of this machine, a process that is gone needs no waiting
    rm "$work/s/preds/$name.bin"
    echo "$(hostname) $(cat /proc/sys/kernel/random/boot_id) $(readlink /proc/self/ns/pid) 4194304" >"$work/s/claims/$name.3"
    cp "$work/s/claims/$name.3" "$work/dead"
    study $small --index 0
    [ -s "$work/s/preds/$name.bin" ]
    # nor does it stay where the run is finished; another machine's does while it beats
    cp "$work/dead" "$work/s/claims/$name.2"
    study $small --index 0
    [ -z "$(ls "$work/s/claims")" ]
    echo 'elsewhere pid:[1] 77' >"$work/s/claims/$name.1"
    study $small --index 0
    [ "$(ls "$work/s/claims")" = "$name.1" ]
    rm "$work/s/claims/$name.1"
    # a folder that has its file's name will not go away
    mv "$work/s/preds/$name.bin" "$work/s/preds/kept"
    mkdir "$work/s/preds/$name.bin"
    status=0
    timeout 60 $train study $small --out "$work/s" --quiet >"$work/out" 2>"$work/err" || status=$?
    [ $status -eq 73 ]
    grep -q 'study: 1 of 4 runs failed, the others are finished' "$work/err"
    grep -q "cannot create .*$name.bin: a folder has that name" "$work/s/logs/$name.txt"
    rmdir "$work/s/preds/$name.bin"
    mv "$work/s/preds/kept" "$work/s/preds/$name.bin"
    # numbers behind a name that no claim has
    rm "$work/s/preds/$name.bin"
    touch "$work/s/claims/$name.2147483646" "$work/s/claims/$name.99999999999999999999"
    study $small --index 0
    [ -s "$work/s/preds/$name.bin" ]
    rm "$work/s/preds/$name.bin"
    touch -d '5 minutes ago' "$work/s/claims/$name.10000"
    fails 65 "$name.10000: no process claims a run so often; remove it" $train study $small --index 0
}

@test "Ctrl-Z stops the runs too; one that was taken over meanwhile is ended before it goes on" {
    long="--tasks cola --seeds 42 --max-train 1536 --epochs 10000 --model tiny --data builtin"
    $train study $long --out "$work/s" >"$work/out" 2>"$work/err" &
    pid=$!
    child=
    for i in $(seq 400); do child=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null) && [ -n "$child" ] && break; sleep 0.1; done
    child=${child%% *}
    sleep 0.5
    state() { sed 's/.*) \(.\).*/\1/' "/proc/$1/stat"; }
    becomes() { for i in $(seq 80); do case $(state "$1")$2 in TT | [RSD]goes) return 0 ;; esac; sleep 0.1; done; kill -KILL $pid $child; return 1; }
    kill -TSTP $pid
    becomes $pid T
    becomes $child T
    kill -CONT $pid
    becomes $pid goes
    becomes $child goes
    kill -TSTP $pid
    becomes $child T
    claim=$(ls "$work/s/claims" | grep '\.1$')
    echo 'elsewhere pid:[1] 77' >"$work/s/claims/${claim%.1}.2"
    kill -CONT $pid
    for i in $(seq 50); do [ -e "/proc/$child" ] || break; sleep 0.1; done
    [ ! -e "/proc/$child" ]
    for i in $(seq 80); do grep -q 'taken over  ' "$work/err" && break; sleep 0.1; done
    grep -q 'taken over  ' "$work/err"
    [ -z "$(ls "$work"/s/preds/*.bin 2>/dev/null)" ]
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    [ $status -eq 75 ]
}

@test "a run whose claim another one took over and gave up is ended; one of that name since then stays" {
    long="--tasks cola --seeds 42 --max-train 1536 --epochs 10000 --model tiny --data builtin"
    for after in gone another; do
        $train study $long --out "$work/$after" >"$work/out" 2>"$work/err" &
        pid=$!
        child=
        for i in $(seq 400); do child=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null) && [ -n "$child" ] && break; sleep 0.1; done
        child=${child%% *}
        kill -STOP $pid
        claim=$(ls "$work/$after/claims"/*.1)
        rm "$claim"
        [ $after = gone ] || echo 'elsewhere pid:[1] 77' >"$claim"
        kill -CONT $pid
        kill -TSTP $pid # it beats when it goes on
        for i in $(seq 80); do case $(sed 's/.*) \(.\).*/\1/' "/proc/$pid/stat") in T) break ;; esac; sleep 0.1; done
        kill -CONT $pid
        for i in $(seq 80); do grep -q 'taken over  ' "$work/err" && break; sleep 0.1; done
        grep -q 'taken over  ' "$work/err" || { kill -KILL $pid; false; }
        kill -TERM $pid
        status=0
        wait $pid || status=$?
        [ $status -eq 75 ]
        [ $after = gone ] || [ "$(cat "$claim")" = 'elsewhere pid:[1] 77' ]
    done
}

@test "the list of a study is written by one at a time; what killed ones left is no harm" {
    mkdir -p "$work/s/claims" "$work/s/logs"
    touch "$work/s/claims/glue.cola.x.1.clock-77"
    echo 'elsewhere pid:[1] 77' >"$work/s/claims/study.json.1"
    $train study $small --out "$work/s" >"$work/out" 2>"$work/err" &
    pid=$!
    sleep 2
    [ ! -e "$work/s/study.json" ]
    name=$($train study $small --out "$work/other" --print 2>/dev/null | sed -n '1s/.*# //p')
    echo old >"$work/s/logs/$name.txt"
    exec 4>>"$work/s/logs/$name.txt"
    rm "$work/s/claims/study.json.1"
    wait $pid
    [ -s "$work/s/study.json" ]
    [ -z "$(ls "$work/s/claims")" ]
    # who has nothing to add does not wait
    echo 'elsewhere pid:[1] 77' >"$work/s/claims/study.json.1"
    timeout 20 $train study $small --out "$work/s" --index 0 >/dev/null 2>&1
    echo orphan >&4
    exec 4>&-
    head -1 "$work/s/logs/$name.txt" | grep -q '^# train_gpt'
    run grep 'orphan\|^old' "$work/s/logs/$name.txt"
    [ "$status" -eq 1 ]
}

@test "a run that fails is named, the others are finished and in the tables" {
    printf '{"source": "one that diverges", "base": "tiny", "settings": {"lr": 1e30, "clip": 0, "warmup": 0}}' >"$work/bad.json"
    code=0
    study --tasks cb --seeds 42,52 $quick --recipe "$work/bad.json" --recipe tiny || code=$?
    [ "$code" -eq 79 ]
    [ "$(grep -c 'FAILED  superglue.cb.*: .*(exit code 79)' "$work/err")" -eq 2 ]
    tail -n 1 "$work/err" | grep -q 'study: 2 of 4 runs failed, the others are finished; .*/s/logs says more; the same command tries again'
    [ "$(ls "$work/s/preds" | grep -c '\.bin$')" -eq 2 ]
    [ -s "$work/s/table1.md" ]
    code=0
    study --tasks cb --seeds 42 $quick --recipe "$work/bad.json" || code=$?
    [ "$code" -eq 79 ]
    tail -n 1 "$work/err" | grep -q 'study: 1 of 1 runs failed; '
}

@test "a signal that comes twice at once, as timeout sends it, is one: the runs save" {
    $train study --tasks boolq --seeds 1,2 --model tiny --data builtin --batch 2048 --max-steps 500 --eval-every 0 --out "$work/s" >"$work/out" 2>"$work/err" &
    pid=$!
    for i in $(seq 200); do
        if [ "$(grep -c ' start ' "$work/err")" -eq 2 ]; then break; fi
        sleep 0.02
    done
    sleep 0.7 # the runs are at their steps
    kill -TERM $pid
    sleep 0.05
    kill -TERM $pid
    code=0
    wait $pid || code=$?
    [ "$code" -eq 75 ]
    grep -q 'stopping: the runs end now' "$work/err"
    run grep 'at once' "$work/err"
    [ "$status" -eq 1 ]
    [ "$(ls -d "$work"/s/preds/*.unfinished/checkpoint-* | wc -l)" -eq 2 ]
}

@test "a run that the system kills is no signal to the study: 71, and the tables of the others" {
    $train study --tasks cola,cb --seeds 1-4 --model tiny --data builtin --max-eval 40 --jobs 1 --out "$work/s" >"$work/out" 2>"$work/err" &
    pid=$!
    for i in $(seq 300); do
        child=$(pgrep -P $pid || true)
        [ -z "$child" ] || break
        sleep 0.02
    done
    kill -9 $child
    code=0
    wait $pid || code=$?
    [ "$code" -eq 71 ]
    grep -q 'FAILED .*Killed.*(exit code 137)' "$work/err"
    [ "$(ls "$work/s/preds" | grep -c '\.bin$')" -eq 7 ]
    [ -s "$work/s/table1.md" ]
}

@test "other settings in one folder are refused with what differs" {
    study $small --index 0 --quiet
    appended="--out $work/s --quiet"
    refused="$work/none"
    fails 78 'study.json: the study of this folder has other settings for c[a-z]*, model tiny: lr "0.001", now "0.002"; name another folder' \
        $train study $small --lr 2e-3
    fails 78 'max_train 32, now 16' $train study $small --max-train 16
    printf '{}' >"$work/s/study.json"
    fails 65 'study.json: not the list of a study' $train study $small
    printf '{' >"$work/s/study.json"
    fails 65 'study.json' $train study $small
}

@test "a full disk stops one run, and the study goes on later" {
    ${CC:-gcc} -shared -fPIC -o "$work/faultfs.so" test/faultfs.c -ldl
    study $small --index 0 # so that the study's own list is there, and the first rename is a run's
    code=0
    FAULT="rename 1 28" FAULT_HIT="$work/hit" LD_PRELOAD="$work/faultfs.so" $train study $small --out "$work/s" >"$work/out" 2>"$work/err" || code=$?
    [ "$code" -eq 74 ]
    [ "$(grep -c 'FAILED .*No space left.*(exit code 74)' "$work/err")" -eq 3 ]
    study $small
    [ "$(ls "$work/s/preds" | grep -c '\.bin$')" -eq 4 ]
}

@test "command lines that are no study are refused" {
    appended="--out $work/s --quiet"
    refused="$work/s"
    fails 64 'study: --tasks is missing; for example' $train study
    fails 64 'study: --tasks needs a value' $train study --tasks
    fails 64 'study: task xyz: --task xyz: no such task' $train study --tasks cola,xyz
    fails 64 'task cola: --taks: no such option; did you mean --task' $train study --tasks cola --taks 3
    fails 64 'stands twice, or two models have folders of one name' $train study --tasks cola,cola
    fails 64 "'foo' is no source" $train study --tasks cola --grid init,foo
    fails 64 "'init' stands twice" $train study --tasks cola --grid init,init
    fails 64 'jobs x: not a whole number from 1 to 1024' $train study --tasks cola --jobs x
    fails 64 'jobs 1000 with --threads-per-run 3: that is more than the' $train study --tasks cola -j1000 --threads-per-run 3
    fails 64 'the study has 10 runs, 0 to 9' $train study --tasks cola --index 10
    fails 64 'index auto: none of SLURM_ARRAY_TASK_ID' $train study --tasks cola --index auto
    fails 64 'choose one' $train study --tasks cola --print --index 1
    fails 64 'study: --save: a study keeps predictions alone' $train study --tasks cola --save x
    fails 64 'study: --seed: say --seeds' $train study --tasks cola --seed 3
    fails 64 'study: --task with --tasks' $train study --tasks cola --task rte
    fails 64 'study: --run takes no value' $train study --tasks cola --run=3
    fails 64 'seeds: the range 5-4 ends before it begins' $train study --tasks cola --seeds 5-4
    fails 64 'recipe llama.*: .* is for a decoder\|recipe nix' $train study --tasks cola --recipe nix
    fails 66 'task cola, model /none: /none: no such model folder' $train study --tasks cola --model /none
    fails 66 'task cola: /none: no such data folder' $train study --tasks cola --data /none
}

@test "what is predicted beside the dev set belongs to a run and to the tables" {
    mkdir -p "$work/data/MNLI"
    printf 'sentence1\tsentence2\tgold_label\na cat\ta dog\tneutral\na cat\tan animal\tentailment\na cat\tno cat\tcontradiction\n' |
        tee "$work/data/MNLI/train.tsv" "$work/data/MNLI/dev_matched.tsv" >"$work/data/MNLI/dev_mismatched.tsv"
    own="--tasks mnli --data $work/data --model tiny --epochs 1 --seeds 1,2"
    study $own
    [ "$(ls "$work/s/preds" | grep -c 'validation_mismatched.*\.bin$')" -eq 2 ]
    grep -q '"split": "validation_mismatched"' "$work/s/report.json"
    [ "$(grep -c mnli "$work/s/table1.csv")" -eq 1 ]
    grep -q '^| \*\*tiny (validation\\_mismatched)\*\* | |$' "$work/s/table1.md"
    rm "$work"/s/preds/*mismatched*.s2.bin
    study $own
    grep -q '^2 runs, 1 of them finished' "$work/err"
    file=$(ls "$work"/s/preds/*mismatched*.s1.bin)
    truncate -s -3 "$file"
    study $own
    grep -q '^2 runs, 1 of them finished' "$work/err"
    study $own
    grep -q '^2 runs, 2 of them finished' "$work/err"
    [ "$(ls "$work/s/preds" | grep '\.bin$' | grep -vc '\.1\.bin$')" -eq 4 ]
}
