# What surrounds a run: clocks, locales, umask, names, file systems and limits of memory. Nothing of it decides a byte; what
# stands in the way is said.

load common

setup() {
    workplace
    export XDG_CACHE_HOME="$work/cache" OMP_WAIT_POLICY=passive
    traced="--task rte --data builtin --model tiny --max-train 16 --max-eval 8 --batch 8 --epochs 2 --threads 1"
    short="$traced --save-every 1steps"
}

# into FOLDER COMMAND...: with predictions, model and log in it
into() {
    local folder=$1
    shift
    "$@" --preds "$folder" --save "$folder/model" --quiet >"$work/out" 2>"$work/err" || { echo "$?: $(cat "$work/err")"; return 1; }
}

# same FOLDER: what is in $work/whole is in it, and nothing else
same() {
    diff <(cd "$work/whole" && find . | sort) <(cd "$1" && find . | sort)
    diff -r -x '*.jsonl' "$work/whole" "$1"
    [ "$(log_of "$work/whole")" = "$(log_of "$1")" ]
}

@test "clocks that are wrong or jump to and fro: the same bytes, for a run and for two workers of a study" {
    make_shim
    into "$work/whole" $train $short
    local clock
    for clock in 4000000000 -4000000000 jumps; do
        FAULT_CLOCK=$clock LD_PRELOAD="$work/faultfs.so" into "$work/$clock" $train $short
        same "$work/$clock"
    done
    local study="$train study --tasks rte,cb --seeds 1,2 --max-train 8 --max-eval 8 --epochs 1 --model tiny --data builtin --quiet" first code=0
    $study --out "$work/study" >/dev/null 2>&1
    mv "$work/study" "$work/one"
    FAULT_CLOCK=86400 LD_PRELOAD="$work/faultfs.so" $study --out "$work/study" >"$work/out" 2>&1 3>&- &
    first=$!
    FAULT_CLOCK=-86400 LD_PRELOAD="$work/faultfs.so" $study --out "$work/study" >"$work/out.2" 2>&1 || { cat "$work/out.2"; return 1; }
    wait $first || code=$?
    [ $code -eq 0 ] || { cat "$work/out"; return 1; }
    diff -r -x '*.jsonl' -x logs "$work/one" "$work/study"
}

@test "a locale with a decimal comma: the same bytes of every output, and numbers are read with a point" {
    command -v localedef >/dev/null || skip "needs localedef"
    mkdir "$work/locales"
    localedef -i de_DE -f UTF-8 "$work/locales/de_DE.UTF-8" 2>/dev/null || [ -d "$work/locales/de_DE.UTF-8" ] ||
        skip "localedef has no sources of a locale"
    # commands of test/common.bash as they are, others in the locale
    german() { env LOCPATH="$work/locales" LC_ALL=de_DE.UTF-8 "$@"; }
    [ "$(german printf '%.1f' 0)" = 0,0 ]
    printf 'text\tlabel\n' >"$work/own.tsv"
    for i in $(seq 16); do printf 'word %d\t%d.5\n' $i $((i % 5)); done >>"$work/own.tsv"
    local own="--task own --problem regression --train-file $work/own.tsv --dev-file $work/own.tsv --model tiny --batch 8 --epochs 1 --threads 1"
    into "$work/whole/own" $train $own
    into "$work/german/own" german $train $own
    into "$work/whole" $train $short --seeds 1-3 --lr 0.0015 --lora --lora-dropout 0.25
    into "$work/german" german $train $short --seeds 1-3 --lr 0.0015 --lora --lora-dropout 0.25
    same "$work/german"
    local format
    for format in text json jsonl csv md latex html; do
        $consistency --format $format "$work"/whole/*.bin >"$work/report" 2>/dev/null
        german $consistency --format $format "$work"/whole/*.bin 2>/dev/null | cmp - "$work/report"
    done
    printf 'id,label,a,b\n0,a,.5,.25\n1,b,1,-2.5\n' >"$work/scores.1.csv"
    sed 's/-2.5/3.75/' "$work/scores.1.csv" >"$work/scores.2.csv"
    $consistency --format json "$work"/scores.?.csv >"$work/report"
    german $consistency --format json "$work"/scores.?.csv | cmp - "$work/report"
    german $consistency --level 0.9 "$work"/whole/*.bin >/dev/null
    $train $short --dry-run >"$work/out" 2>"$work/plan" --verbose
    german $train $short --dry-run 2>&1 --verbose | grep -v '^work' | diff - <(grep -v '^work' "$work/plan")
    refused="$work/none" appended="--preds $work/none --quiet"
    fails 64 '^train_gpt: --lr 0,0015: ' german $train $short --lr 0,0015
}

@test "umask: files and folders have its modes, whatever else the same" {
    local mask
    into "$work/whole" $train $traced --trace "$work/one.trace"
    for mask in 077 000 027; do
        (umask $mask && into "$work/$mask" $train $traced --trace "$work/$mask.trace")
        same "$work/$mask"
        $tracediff "$work/one.trace" "$work/$mask.trace" >/dev/null
        [ -z "$(find "$work/$mask" "$work/$mask.trace" -type f ! -perm $(printf %o $((0666 & ~0$mask))))" ]
        [ -z "$(find "$work/$mask" -type d ! -perm $(printf %o $((0777 & ~0$mask))))" ]
    done
    # of one that was killed under another one
    make_shim
    (umask 077 && FAULT="fsync 30 -9" FAULT_HIT="$work/hit" LD_PRELOAD="$work/faultfs.so" into "$work/killed" $train $short) >/dev/null || true
    ls -d "$work"/killed/*.unfinished
    rm -rf "$work/whole"
    into "$work/whole" $train $short
    into "$work/killed" $train $short
    same "$work/killed"
}

@test "names with spaces, line breaks, UTF-8 and other bytes" {
    make_shim
    refused="$work/none" appended=
    local name folder
    printf 'text,label\n' >"$work/rows"
    for i in $(seq 16); do echo "word number $i,$((i % 2))"; done >>"$work/rows"
    for name in plain 'two words' $'line\nbreak' 'größe 日本' $'\377\376 bytes' "quote's \"\$(x)\`" '-dash *?'; do
        folder="$work/$name"
        mkdir "$folder" "$folder/data"
        cp "$work/rows" "$folder/data/$name.csv"
        local own=($train --task own --train-file "$folder/data/$name.csv" --dev-file "$folder/data/$name.csv" --batch 8 --epochs 2 --threads 1)
        local files=(--preds "$folder/preds" --save "$folder/model")
        "${own[@]}" --model tiny --preds "$folder/base preds" --save "$folder/base" --quiet >/dev/null 2>&1
        FAULT="fsync 30 -9" FAULT_HIT="$work/hit" LD_PRELOAD="$work/faultfs.so" "${own[@]}" --model "$folder/base" --save-every 1steps "${files[@]}" >/dev/null 2>&1 3>&- || true
        ls -d "$folder"/preds/*.unfinished >/dev/null
        "${own[@]}" --model "$folder/base" --save-every 1steps "${files[@]}" >"$work/out" 2>"$work/err" || { cat "$work/err"; return 1; }
        grep -q 'going on behind step' "$work/err"
        # the command that it names, of a shell
        (cd "$programs" && eval "$(sed -n 's/^next: //p' "$work/out")" >"$work/next") || { cat "$work/out"; return 1; }
        "${own[@]}" --model "$folder/base" --lora --preds "$folder/preds" --save "$folder/adapter" --trace "$folder/trace" --quiet >/dev/null 2>&1
        $merge "$folder/base" "$folder/adapter" "$folder/merged" >/dev/null
        $consistency --format json -o "$folder/report.json" "$folder/preds" >/dev/null
        $tracediff "$folder/trace" "$folder/trace" >/dev/null
        case $name in
        *bytes) fails 66 ' cannot be run again: train_gpt: .*no such model folder' $check "$folder/trace" --step 1 ;; # JSON cannot hold them
        *) $check "$folder/trace" --step 1 >"$work/out" 2>&1 || { cat "$work/out"; return 1; } ;;
        esac
        [ -z "$(find "$folder" -name '*tmp*' -o -name '*.lock' -o -name '*.unfinished')" ]
        [ "$(cat "$folder"/preds/*.bin | tail -c 200 | sha256sum)" = "$(cat "$work"/plain/preds/*.bin | tail -c 200 | sha256sum)" ]
        cmp "$folder/merged/model.safetensors" "$work/plain/merged/model.safetensors"
        cmp "$folder/model/model.safetensors" "$work/plain/model/model.safetensors"
        $train study --tasks rte,cb --seeds 1 --max-train 8 --max-eval 8 --epochs 1 --model "$folder/base" --data builtin --init-head --quiet --out "$folder/study" >"$work/out" 2>&1 ||
            { cat "$work/out"; return 1; }
    done
}

@test "a file system that is read-only or full: 77 or 74, nothing broken, and the run goes on where there is room" {
    unshare -m mount -t tmpfs -o size=1m none "$BATS_TEST_TMPDIR" 2>/dev/null || skip "needs the right to mount"
    into "$work/whole" $train $short
    mkdir "$work/small"
    cat >"$work/inside" <<'END'
cd "$1"; shift
fail() { echo "$*"; exit 1; }
mount -t tmpfs -o size=${SIZE}k none "$WORK/small"
"$@" --preds "$WORK/small" --save "$WORK/small/model" --quiet >"$WORK/out" 2>"$WORK/err" && code=0 || code=$?
case $code in
0) ;;
74) grep -q '^train_gpt: cannot [a-z]* .*No space left' "$WORK/err" || fail "$(cat "$WORK/err")" ;;
*) fail "$SIZE: $code: $(cat "$WORK/err")" ;;
esac
[ -z "$(find "$WORK/small" -path '*.unfinished' -prune -o -name '*tmp*' -print)" ] || fail "$(ls -R "$WORK/small")"
mount -o remount,ro "$WORK/small"
"$@" --preds "$WORK/small" --save "$WORK/small/model" --quiet >"$WORK/out" 2>"$WORK/err" && fail "into what cannot be written"
[ $? -eq 77 ] && grep -q 'Read-only file system; check its permissions' "$WORK/err" || fail "read-only: $(cat "$WORK/err")"
mount -o remount,rw,size=32m "$WORK/small"
"$@" --preds "$WORK/small" --save "$WORK/small/model" --quiet >"$WORK/out" 2>"$WORK/err" || fail "then $?: $(cat "$WORK/err")"
cp -r "$WORK/small" "$WORK/copy"
END
    local size
    for size in 4 16 64 128 256 512 1024 2048; do
        rm -rf "$work/copy"
        SIZE=$size WORK="$work" unshare -m sh "$work/inside" "$PWD" $train $short || return 1
        same "$work/copy"
    done
}

# started FOLDER: the first step of the run that writes into it was made
started() {
    for i in $(seq 400); do grep -q '"step"' "$1"/*.jsonl 2>/dev/null && return; sleep 0.02; done
    return 1
}

@test "a folder that is removed while a run writes into it: 73 or 74, and the same command begins again" {
    local long="$train --task rte --data builtin --model tiny --max-train 64 --max-eval 8 --batch 2 --epochs 6 --threads 1 --save-every 4steps" code pid
    into "$work/whole" $long
    for i in 1 2; do
        rm -rf "$work/preds"
        $long --preds "$work/preds" --save "$work/preds/model" --quiet >"$work/out" 2>"$work/err" 3>&- &
        pid=$!
        started "$work/preds"
        kill -STOP $pid
        rm -rf "$work/preds" # what it has open is written no more
        kill -CONT $pid
        code=0
        wait $pid || code=$?
        case $code in
        73 | 74) grep -q "^train_gpt: cannot [a-z]* $work/preds" "$work/err" || { cat "$work/err"; return 1; } ;;
        *) echo "$code: $(cat "$work/err")"; return 1 ;;
        esac
        into "$work/preds" $long
        same "$work/preds"
    done
}

@test "every limit of memory by ulimit: 71 with what is needed and free, or the same bytes" {
    into "$work/whole" $train $short
    (ulimit -v 600000 && into "$work/limited" $train $short) || skip "a program that takes more address space, as a sanitizer's does"
    local limit code refused=0
    for limit in $(seq 12000 3000 90000); do
        rm -rf "$work/limited"
        code=0
        (ulimit -v $limit && exec $train $short --preds "$work/limited" --save "$work/limited/model" --quiet) >"$work/out" 2>"$work/err" || code=$?
        case $code in
        0) same "$work/limited" || return 1 ;;
        127) ;; # no room for the libraries
        71)
            grep -q '^train_gpt: .* needed, .* free; .\|needs .* of memory, the machine has room for\|OpenMP could not get' "$work/err" || { echo "$limit: $(cat "$work/err")"; return 1; }
            [ ! -e "$work/limited" ] || all_whole "$work/limited" "$work/whole" || return 1
            refused=$((refused + 1))
            ;;
        *) echo "$limit: $code: $(cat "$work/err")"; return 1 ;;
        esac
    done
    [ $refused -gt 0 ]
    [ $code -eq 0 ]
}

@test "a limit of memory by a cgroup: 71 with a micro-batch that fits, and that fits" {
    local group
    for group in /sys/fs/cgroup /sys/fs/cgroup/memory none; do
        group="$group/seedbed-test-$$"
        mkdir "$group" 2>/dev/null && { [ -e "$group/memory.max" ] || [ -e "$group/memory.limit_in_bytes" ]; } && break
        rmdir "$group" 2>/dev/null || true
    done
    [ -d "$group" ] || skip "this machine lets no cgroup with a limit of memory be made"
    local limit="$group/memory.max" code=0
    [ -e "$limit" ] || limit="$group/memory.limit_in_bytes"
    within() { # COMMAND...
        sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
    }
    echo 48M >"$limit" && within true || { rmdir "$group"; skip "a cgroup of memory takes no process here"; }
    local swap=$(awk '/^SwapTotal/ { print $2 }' /proc/meminfo) fitting
    local run="$train --task mnli --model tiny --data builtin --max-train 2048 --max-eval 16 --batch 2048 --max-steps 1 --threads 1 --quiet"
    within $run --preds "$work/preds" >"$work/out" 2>"$work/err" || code=$?
    if [ $swap -gt 0 ]; then rmdir "$group" && skip "swap space counts too"; fi
    fitting=$(sed -n 's/^train_gpt: this run needs [0-9.]* MiB of memory, the machine has room for 48.0 MiB; \(--micro-batch [0-9]*\) fits.*/\1/p' "$work/err")
    [ $code -eq 71 ] && [ -n "$fitting" ] && within $run $fitting --preds "$work/preds" >"$work/out" 2>"$work/err" || code=0
    rmdir "$group"
    [ $code -eq 71 ] || { echo "$(cat "$work/err")"; return 1; }
    $run --preds "$work/free" >/dev/null 2>&1
    cmp "$work"/preds/*.bin "$work"/free/*.bin
}
