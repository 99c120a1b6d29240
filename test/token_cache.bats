# Tokens that are kept from run to run (data/token_cache.c): they change no byte of a result, whatever happens to them.

load common

setup_file() {
    # one data set as large as what is kept, and one a little larger
    awk 'BEGIN {
        print "text,label" > ENVIRON["BATS_FILE_TMPDIR"] "/train.csv"
        for (i = 0; i < 1100; i++) {
            line = i % 2 ? "the rain fell ." : "the bell rang ."
            for (j = 0; j < 250; j++) { line = line " the snow melted " i * j % 7 }
            print line "," i % 2 > ENVIRON["BATS_FILE_TMPDIR"] "/train.csv"
        }
    }'
    (cat "$BATS_FILE_TMPDIR/train.csv"; echo "the glass dropped,1") >"$BATS_FILE_TMPDIR/dev.csv"
}

setup() {
    workplace
    export XDG_CACHE_HOME=$work/cache
    tokens=$XDG_CACHE_HOME/seedbed/tokens
    train
    cp -r "$work/preds" "$work/expected"
}

# train [OPTION...]: predictions in $work/preds, messages in $work/message
train() {
    rm -rf "$work/preds"
    "$train" --task own --train-file "$BATS_FILE_TMPDIR/train.csv" --dev-file "$BATS_FILE_TMPDIR/dev.csv" --model tiny \
        --max-len 16 --max-steps 2 --seed 1 --preds "$work/preds" --quiet "$@" >"$work/out" 2>"$work/message"
}

same() { cmp "$work"/preds/*.bin "$work"/expected/*.bin; }
notes() { grep -c 'tokenized anew' "$work/message" || true; }
files() { ls "$tokens" | wc -l; }

@test "what is kept gives the same predictions, and is used" {
    [ "$(files)" -eq 2 ]
    touch -d '2020-01-01' "$tokens"/*
    before=$(stat -c %i "$tokens"/*)
    train
    same
    [ "$(stat -c %i "$tokens"/*)" = "$before" ]
    [ -z "$(find "$tokens" -type f ! -newermt 2021-01-01)" ]
    [ "$(notes)" -eq 0 ]
    XDG_CACHE_HOME= HOME= train
    same
}

@test "another length, other texts and another tokenizer are other entries" {
    train --max-len 17
    [ "$(files)" -eq 4 ]
    sed -i 's/the bell rang/the wind blew/' "$BATS_FILE_TMPDIR/dev.csv"
    train
    [ "$(files)" -eq 5 ]
    sed -i 's/the wind blew/the bell rang/' "$BATS_FILE_TMPDIR/dev.csv"
    train --save "$work/model"
    [ "$(files)" -eq 5 ]
    train --model "$work/model" --init-head
    [ "$(files)" -eq 5 ]
    sed -i 's/^snow$/snows/' "$work/model/vocab.txt"
    train --model "$work/model" --init-head
    [ "$(files)" -eq 7 ]
}

@test "a damaged file is noticed and made anew" {
    one=$(ls -S "$tokens"/* | tail -n 1)
    cp "$one" "$work/whole"
    size=$(stat -c %s "$one")
    for at in 0 25 57 $((size / 2)) $((size - 1)); do
        byte=$(od -An -tu1 -j "$at" -N 1 "$work/whole")
        cp "$work/whole" "$one"
        printf "\\x$(printf %x $((byte ^ 4)))" | dd of="$one" bs=1 seek="$at" conv=notrunc status=none
        train
        same
        [ "$(notes)" -eq 1 ] || { echo "byte $at: no note"; false; }
        cmp "$one" "$work/whole"
    done
    for size in 0 64 $((size - 1)); do
        head -c "$size" "$work/whole" >"$one"
        train
        same
        [ "$(notes)" -eq 1 ] || { echo "$size bytes: no note"; false; }
        cmp "$one" "$work/whole"
    done
    echo >>"$one"
    train
    same
    cmp "$one" "$work/whole"
}

@test "a folder that cannot be written is not used, which is said once" {
    rm -rf "$XDG_CACHE_HOME"
    echo >"$XDG_CACHE_HOME"
    train
    same
    [ "$(notes)" -eq 1 ]
}

@test "a full disk is no error" {
    make_shim
    rm -rf "$tokens"
    rm -rf "$work/preds"
    for call in 1 2; do
        at_fault fsync "$call" 28 "$train" --task own --train-file "$BATS_FILE_TMPDIR/train.csv" \
            --dev-file "$BATS_FILE_TMPDIR/dev.csv" --model tiny --max-len 16 --max-steps 2 --seed 1 --preds "$work/preds" --quiet
        [ "$status" -eq 0 ]
        grep -q 'tokenized anew' "$work/err"
        same
        [ "$(files)" -eq "$call" ]
    done
}

@test "two processes at once" {
    rm -rf "$tokens"
    mkdir "$work/other"
    train --preds "$work/other" &
    first=$!
    "$train" --task own --train-file "$BATS_FILE_TMPDIR/train.csv" --dev-file "$BATS_FILE_TMPDIR/dev.csv" --model tiny \
        --max-len 16 --max-steps 2 --seed 1 --preds "$work/second" --quiet >/dev/null 2>&1
    wait "$first"
    cmp "$work"/other/*.bin "$work"/expected/*.bin
    cmp "$work"/second/*.bin "$work"/expected/*.bin
    [ "$(files)" -eq 2 ]
}

@test "what a killed writer left goes, and a file that cannot be removed is passed over" {
    make_shim
    rm "$tokens"/*
    touch "$tokens/a.tokens.tmp-4194304" # no process has that number
    truncate -s 600M "$tokens/old.tokens" "$tokens/older.tokens"
    touch -d '2020-01-01' "$tokens/older.tokens"
    touch -d '2020-01-02' "$tokens/old.tokens"
    rm -rf "$work/preds"
    at_fault unlink 1 1 "$train" --task own --train-file "$BATS_FILE_TMPDIR/train.csv" --dev-file "$BATS_FILE_TMPDIR/dev.csv" \
        --model tiny --max-len 16 --max-steps 2 --seed 1 --preds "$work/preds" --quiet
    [ "$status" -eq 0 ]
    same
    [ ! -e "$tokens/a.tokens.tmp-4194304" ]
    [ -e "$tokens/older.tokens" ]
    [ ! -e "$tokens/old.tokens" ]
}

@test "the tokens of a language model's text are kept, for windows of any length" {
    rm -rf "$tokens"
    "${BUILD:-build}/make_llama" "$work/llama"
    awk 'BEGIN { for (i = 0; i < 3000; i++) { for (j = 0; j < 8; j++) print "the rain fell " i " times on the " j " mills of a town that nobody had heard of, so that the river rose by " i * j " feet and the mills went round and round as they never had before, and never did again"; print "" } }' >"$work/text"
    lm() { "$train" --task lm --model "$work/llama" --data "$work/text" --lora --max-steps 1 --max-eval 2 --preds "$work/preds" --quiet "$@" 2>"$work/message"; }
    first=$(lm --max-len 16 --threads 1 | grep '^seed')
    [ "$(files)" -eq 1 ]
    touch -d '2020-01-01' "$tokens"/*
    [ "$(lm --max-len 16 | grep '^seed')" = "$first" ]
    lm --max-len 32 >/dev/null
    [ "$(files)" -eq 1 ]
    [ -z "$(find "$tokens" -type f ! -newermt 2021-01-01)" ]
    [ "$(notes)" -eq 0 ]
    printf 'a\0b' >"$work/text"
    appended= refused=$work/none
    fails 65 'byte 1 is 0; is it a text' "$train" --task lm --model "$work/llama" --data "$work/text" --lora --preds "$work/none"
}

@test "the oldest go where there is no room, and small data sets are not kept" {
    truncate -s 1G "$tokens/old.tokens"
    touch -d '2020-01-01' "$tokens/old.tokens"
    echo >"$tokens/other"
    train --max-len 17
    [ ! -e "$tokens/old.tokens" ]
    [ -e "$tokens/other" ]
    [ "$(files)" -eq 5 ]
    "${PROGRAMS:-.}/train_gpt" --task rte --model tiny --data builtin --max-train 32 --max-eval 8 --epochs 1 --preds "$work/small" --quiet \
        >/dev/null 2>&1
    [ "$(files)" -eq 5 ]
}
