# train_gpt --profile: the table, the file, and what is left of a run that ends early.

load common

setup() {
    workplace
    refused="$work/refused"
    appended="--preds $work/refused --quiet"
    short="--task rte --model tiny --data builtin --max-train 32 --max-eval 8 --epochs 1 --threads 1"
}

# calls FILE OP: how often the op was called
calls() {
    grep -A 1 "\"op\": \"$2\"" "$1" | sed -n 's/.*"calls": \([0-9]*\),/\1/p'
}

@test "a profiled run: the same predictions, a table, every op in the file, the slowest first" {
    $train $short --preds "$work/plain" --quiet >/dev/null 2>&1
    $train $short --preds "$work/preds" --profile "$work/profile.json" >"$work/out" 2>"$work/err"
    cmp "$work"/plain/*.bin "$work"/preds/*.bin
    grep -q '^op .* calls .* ms .* GFLOP/s' "$work/err"
    grep -q '^matmul_forward .*%' "$work/err"
    grep -q '^outside of ops ' "$work/err"
    [ "$(grep -c '^matmul\|^adamw\|^layernorm' "$work/err")" -ge 6 ]
    # 2 steps of 16 examples, 1 evaluation; a tiny encoder has 2 layers of 6 linear ones, and 2 of the head
    [ "$(calls "$work/profile.json" matmul_forward)" -eq $((3 * (2 * 6 + 2))) ]
    [ "$(calls "$work/profile.json" attention_backward)" -eq 4 ]
    ! grep -q '"op": "rmsnorm_forward"' "$work/profile.json" || false
    sed -n 's/   "seconds": \([0-9.e-]*\),/\1/p' "$work/profile.json" >"$work/seconds"
    [ "$(wc -l <"$work/seconds")" -gt 15 ]
    sort -gr -c "$work/seconds"
    # all ops together take no longer than the run
    sed -n 's/^ "seconds": \([0-9.e-]*\),/\1/p' "$work/profile.json" | cat - "$work/seconds" |
        awk 'NR == 1 { all = $1; next } { sum += $1 } END { exit !(sum > 0 && sum < all) }'
}

@test "--profile --quiet writes the file alone; several seeds are one profile" {
    $train $short --preds "$work/one" --quiet --profile "$work/one.json" >/dev/null 2>"$work/err"
    ! grep -q 'matmul' "$work/err" || false
    $train $short --preds "$work/two" --quiet --seeds 1,2 --profile "$work/two.json" >/dev/null 2>&1
    [ "$(calls "$work/two.json" adamw)" -eq $((2 * $(calls "$work/one.json" adamw))) ]
}

@test "a profile that cannot be written: 73 before the run, 74 after it" {
    fails 73 'cannot create' $train $short --profile "$work/none/profile.json"
    [ ! -e "$work/refused" ]
    mkdir "$work/folder"
    fails 73 'a folder has that name' $train $short --profile "$work/folder"
    [ ! -e "$work/refused" ]
    fails 64 'profile with --dry-run' $train $short --profile "$work/profile.json" --dry-run
    fails 64 'the value is empty' $train $short --profile ''
    [ -e /dev/full ] || skip "no /dev/full"
    refused="$work/elsewhere"
    fails 74 'cannot write /dev/full' $train $short --profile /dev/full
    ls "$work"/refused/*.bin
}

@test "a run that fails or is stopped leaves no profile" {
    fails 79 'not finite' $train $short --lr 1e30 --clip 0 --warmup 0 --epochs 20 --profile "$work/profile.json"
    [ -z "$(ls "$work" | grep profile)" ]
    $train $short --epochs 5000 --quiet --preds "$work/preds" --profile "$work/profile.json" >/dev/null 2>&1 &
    local pid=$! status=0
    for i in $(seq 100); do
        [ -z "$(ls "$work" | grep profile.json.tmp)" ] || break
        sleep 0.1
    done
    [ -n "$(ls "$work" | grep profile.json.tmp)" ]
    kill -INT $pid
    wait $pid || status=$?
    [ $status -eq 75 ]
    [ -z "$(ls "$work" | grep profile)" ]
}
