# The head that reads spans (--head spans), from the files to the saved model. Run by test/run.sh; PROGRAMS is where the programs are.

load common

setup() {
    workplace
    refused="$work/none"
    appended="--preds $refused"
    short="--data builtin --head spans --max-train 48 --max-eval 32 --epochs 2 --batch 8 --lr 1e-2 --quiet"
}

# predictions OPTION...: digest of a run's file
predictions() {
    rm -rf "$work/p"
    $train $short --preds "$work/p" "$@" >"$work/out" 2>"$work/err" || { cat "$work/err"; return 1; }
    sha256sum <"$(ls "$work"/p/*.bin)"
}

@test "micro-batches, threads, recomputation and the device change no bit" {
    for task in wic wsc; do
        first=$(predictions --task $task --threads 1)
        for option in "--micro-batch 1" "--micro-batch 3 --recompute" "--threads 3" "--simd scalar" "--device fence"; do
            [ "$(predictions --task $task $option)" = "$first" ] || { echo "$task $option"; return 1; }
        done
        plain=$(predictions --task $task --head plain)
        [ "$plain" != "$first" ]
    done
    [ "$(predictions --task wic --max-train 16 --epochs 1 --device sim)" = "$(predictions --task wic --max-train 16 --epochs 1)" ]
}

@test "the wider head is saved, read, merged, and goes on from a checkpoint" {
    "${BUILD:-build}/make_roberta" "$work/roberta" test/tokenizers/roberta-class-over-file/tokenizer.json 2 64 >/dev/null
    "${BUILD:-build}/make_llama" "$work/llama" >/dev/null
    for model in tiny roberta llama; do
        from=$([ $model = tiny ] && echo tiny || echo "$work/$model --init-head") # roberta has a plain head
        $train $short --task wic --model $from --save "$work/out-$model" --preds "$work/a" | grep '^seed' >"$work/trained"
        grep -q '"num_spans": 2' "$work/out-$model/config.json"
        $train $short --task wic --model "$work/out-$model" --epochs 0 --preds "$work/b" 2>"$work/err" | grep '^seed' >"$work/read"
        cmp "$work/trained" "$work/read"
        fails 65 'has shape .2, ' $train $short --head plain --task wic --model "$work/out-$model" --epochs 0
        # adapters: the head goes with them, and is found in the merged model again
        $train $short --task wic --model $from --lora --save "$work/adapter-$model" --preds "$work/a" | grep '^seed' >"$work/trained"
        [ $model = tiny ] && continue
        "$programs/merge" "$work/$model" "$work/adapter-$model" "$work/merged-$model" >/dev/null
        grep -q '"num_spans": 2' "$work/merged-$model/config.json"
        $train $short --task wic --model "$work/merged-$model" --epochs 0 --preds "$work/b" 2>"$work/err" | grep '^seed' >"$work/read"
        [ "$(cut -d ' ' -f 1-5 "$work/trained")" = "$(cut -d ' ' -f 1-5 "$work/read")" ]
    done
    make_shim
    whole=$(predictions --task wic)
    rm -rf "$work/p"
    at_fault fsync 30 -9 $train $short --task wic --save-every 2steps --preds "$work/p"
    [ $status -eq 137 ]
    [ -n "$(ls -d "$work"/p/*.unfinished)" ]
    [ -z "$(ls "$work"/p/*.bin 2>/dev/null)" ]
    $train $short --task wic --save-every 2steps --preds "$work/p" >/dev/null 2>"$work/err"
    [ "$(sha256sum <"$(ls "$work"/p/*.bin)")" = "$whole" ]
}

@test "it is a part of the recipe, and said" {
    $train --data builtin --task wic --head spans --dry-run 2>"$work/err"
    grep -q '^head      reads the pooled token and 2 spans' "$work/err"
    digest() { $train --data builtin --task wic --dry-run --verbose "$@" 2>&1 | sed -n 's/^  recipe_sha256 //p'; }
    [ "$(digest)" = "$(digest --head plain)" ]
    [ "$(digest)" != "$(digest --head spans)" ]
    echo '{"base": "hf", "tasks": {"wic": {"head": "spans"}}}' >"$work/r.json"
    $train --data builtin --task wic --recipe "$work/r.json" --dry-run 2>&1 | grep -q '^head '
    plan() { $train --data builtin --task wic --dry-run "$@" 2>&1 | sed -n 's/^memory .*activations \([0-9.]*\).*/\1/p'; }
    [ "$(plan --head spans)" != "$(plan)" ]
}

@test "tasks and files without spans are refused" {
    fails 64 'head spans with --task rte, which has no spans; wic and wsc' $train --data builtin --task rte --head spans
    fails 64 'own, which has no spans' $train --task own --train-file a.csv --dev-file b.csv --head spans
    fails 64 "choose plain or spans" $train --data builtin --task wic --head marked
    "${BUILD:-build}/make_llama" "$work/llama" >/dev/null
    fails 64 'no text for a decoder' $train --data builtin --task wsc --head spans --model "$work/llama"
    mkdir -p "$work/WiC"
    row='{"word": "dog", "sentence1": "the dog", "sentence2": "a dog", "label": %s, %s"idx": 0}\n'
    good='"start1": 4, "end1": 7, "start2": 2, "end2": 5, '
    files() { for f in train val; do { printf "$row" true "$good"; printf "$row" false "$1"; } >"$work/WiC/$f.jsonl"; done; }
    files "$good"
    $train --task wic --data "$work" --head spans --preds "$work/p" --quiet >/dev/null 2>&1
    files ""
    fails 65 'train.jsonl:2: the fields start1 and end1 are missing; --head spans needs them' $train --task wic --data "$work" --head spans
    $train --task wic --data "$work" --preds "$work/p" --quiet >/dev/null 2>&1
    files '"start1": 3, "end1": 4, "start2": 2, "end2": 5, '
    fails 65 'train.jsonl:2: span 1 has no token; correct the line' $train --task wic --data "$work" --head spans
    files '"start1": 4, "end1": 8, "start2": 2, "end2": 5, '
    fails 65 'train.jsonl:2: start1 4 and end1 8 are no part of the sentence' $train --task wic --data "$work" --head spans
    files '"start1": "x", "end1": 7, "start2": 2, "end2": 5, '
    fails 65 "train.jsonl:2: the field 'start1' is no number from 0" $train --task wic --data "$work" --head spans
    files '"start1": 4, "start2": 2, "end2": 5, '
    fails 65 "train.jsonl:2: the field 'end1' is missing" $train --task wic --data "$work" --head spans
    # a table has them in columns
    for f in train validation; do printf 'word,sentence1,sentence2,start1,end1,start2,end2,label\ndog,the dog,a dog,4,7,2,5,1\ndog,the dog,a dog,4,7,2,5,0\n' >"$work/WiC/$f.csv"; done
    rm "$work"/WiC/*.jsonl
    $train --task wic --data "$work" --head spans --preds "$work/p" --quiet >/dev/null 2>&1
    mkdir -p "$work/WSC"
    for f in train val; do printf '{"text": "the dog saw the cat and it ran", "target": {"span1_text": "the dog", "span1_index": 0, "span2_text": "it", "span2_index": 6}, "label": true}\n{"text": "a cat ran", "target": {"span1_text": "a cat", "span1_index": 0, "span2_text": "cat", "span2_index": 1}, "label": false}\n' >"$work/WSC/$f.jsonl"; done
    fails 65 'train.jsonl:1: span 2 is not whole within 8 tokens; raise --max-len' $train --task wsc --data "$work" --head spans --max-len 8
    $train --task wsc --data "$work" --head spans --preds "$work/p" --quiet >/dev/null 2>&1
}

@test "a trace has the head's ops: the first that differs is named, explained, and computed again" {
    traced() { # NAME OPTION...
        (cd "$work" && "$programs/train_gpt" --task wic --seed 1 --data builtin --head spans --max-train 16 --max-eval 8 --epochs 1 --batch 8 \
            --quiet --trace "$1.trace" "${@:2}") >/dev/null 2>"$work/err" || { cat "$work/err"; return 1; }
    }
    traced a --trace-level outputs
    traced b --trace-level outputs --threads 2 --simd scalar
    $tracediff "$work/a.trace" "$work/b.trace"
    traced weights
    traced micro --micro-batch 3 --recompute
    $tracediff "$work/weights.trace" "$work/micro.trace"
    local at op
    for at in '51 out .24, 64. of divide_rows' '61 out .24, 64. of divide_rows' '64 dtable .16, 64. of embedding_backward'; do
        op=${at#* } at=${at%% *}
        traced x --trace-level outputs --perturb 2.$at.1
        run $tracediff --explain "$work/a.trace" "$work/x.trace"
        [ $status -eq 1 ] || { echo "$output"; return 1; }
        grep -q "^first difference: step 2, .*: $op\$" <<<"$output" || { echo "$output"; return 1; }
        grep -q '^run again: 1 of its ' <<<"$output"
        grep -q 'it is B that is wrong' <<<"$output"
    done
    "${programs}/check" "$work/a.trace" --step 2
}
