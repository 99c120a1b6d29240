# Test splits: predictions without labels, of tasks and of tables of one's own, and what the test servers take. The forms of
# all submission files are checked by test_submission. Run by test/run.sh; PROGRAMS is where the programs are.

load common

setup() {
    workplace
    digests="$build/digests"
    refused="$work/preds"
    appended="--preds $work/preds --quiet"
}

# table FILE HEADER N FORMAT: a header, and N rows of the format, in which %d is the row's number
table() {
    mkdir -p "$(dirname "$1")"
    { [ -z "$2" ] || printf "$2\n"; seq 0 $(($3 - 1)) | while read -r i; do printf "${4//%d/$i}\n"; done; } >"$1"
}

# trained TASK OPTIONS...: trains quietly on $work/data
trained() {
    local task=$1
    shift
    "$train" --task $task --model tiny --data "$work/data" --preds "$work/p" --epochs 1 --quiet "$@" >"$work/out" 2>"$work/err" ||
        { cat "$work/err"; return 1; }
}

# two tasks in their official forms, with test files as large as the official ones
data() {
    table "$work/data/glue/WNLI/train.tsv" 'index\tsentence1\tsentence2\tlabel' 32 '%d\tthe dog ran %d\tit ran\t0'
    sed -i '2~2s/0$/1/' "$work/data/glue/WNLI/train.tsv"
    cp "$work/data/glue/WNLI/train.tsv" "$work/data/glue/WNLI/dev.tsv"
    table "$work/data/glue/WNLI/test.tsv" 'index\tsentence1\tsentence2' 146 '%d\tthe dog ran %d\tit ran'
    table "$work/data/superglue/WSC/train.jsonl" '' 16 \
        '{"text": "the dog %d saw it", "target": {"span1_index": 1, "span1_text": "dog", "span2_index": 4, "span2_text": "it"}, "idx": %d, "label": true}'
    sed -i '2~2s/true/false/' "$work/data/superglue/WSC/train.jsonl"
    cp "$work/data/superglue/WSC/train.jsonl" "$work/data/superglue/WSC/val.jsonl"
    table "$work/data/superglue/WSC/test.jsonl" '' 146 \
        '{"text": "the dog %d saw it", "target": {"span1_index": 1, "span1_text": "dog", "span2_index": 4, "span2_text": "it"}, "idx": %d}'
}

@test "--predict-test predicts the test split, and consistency makes the servers' files of it" {
    data
    trained wnli --predict-test --seed 3
    grep -q '^wnli test: the labels are hidden$' "$work/out"
    grep -q '^wrote: .*/glue.wnli.test.tiny.*.s3.bin$' "$work/out"
    trained wsc --predict-test --seed 3
    $consistency --submission "$work/sub" "$work/p" >"$work/out"
    [ "$(grep -c '^wrote' "$work/out")" -eq 2 ]
    grep -q '^left out: 2 files of no test split$' "$work/out"
    grep -q '^missing for glue: CoLA.tsv, .*AX.tsv$' "$work/out"
    grep -qx 'missing for superglue: BoolQ.jsonl, CB.jsonl, COPA.jsonl, MultiRC.jsonl, RTE.jsonl, AX-b.jsonl, AX-g.jsonl, WiC.jsonl, ReCoRD.jsonl (no task here)' "$work/out"
    [ "$(head -1 "$work/sub/glue/WNLI.tsv")" = "$(printf 'index\tprediction')" ]
    [ "$(tail -n +2 "$work/sub/glue/WNLI.tsv" | cut -f1 | tr '\n' ' ')" = "$(seq -s' ' 0 145) " ]
    [ -z "$(tail -n +2 "$work/sub/glue/WNLI.tsv" | cut -f2 | grep -v '^[01]$')" ]
    [ "$(grep -c '^{"idx": [0-9]*, "label": "\(True\|False\)"}$' "$work/sub/superglue/WSC.jsonl")" -eq 146 ]
    # they are the predictions of the file
    $consistency --format csv --examples all "$work"/p/glue.wnli.test.*.bin 2>/dev/null | awk -F, 'NR > 1 { sub("test-", "", $6); print $6 "\t" $12 }' | sort -n |
        cmp - <(tail -n +2 "$work/sub/glue/WNLI.tsv")
    # without the option the split is left alone, and the other files are the same
    cp "$work"/p/glue.wnli.validation.*.bin "$work/before"
    rm -r "$work/p"
    trained wnli --seed 3
    [ "$(ls "$work/p" | grep -c '\.bin$')" -eq 1 ]
    cmp "$work/before" "$work"/p/*.bin
}

@test "official test files of GLUE are read in their own columns" {
    table "$work/data/glue/CoLA/train.tsv" '' 8 'gj04\t1\t\tthe dog %d ran'
    cp "$work/data/glue/CoLA/train.tsv" "$work/data/glue/CoLA/dev.tsv"
    table "$work/data/glue/CoLA/test.tsv" 'index\tsentence' 5 '%d\tthe fox %d ran'
    trained cola --predict-test
    grep -q '^cola test: the labels are hidden' "$work/out"
    table "$work/data/glue/MRPC/train.tsv" 'Quality\t#1 ID\t#2 ID\t#1 String\t#2 String' 8 '1\t1\t2\ta dog %d\ta fox'
    cp "$work/data/glue/MRPC/train.tsv" "$work/data/glue/MRPC/dev.tsv"
    table "$work/data/glue/MRPC/test.tsv" 'index\t#1 ID\t#2 ID\t#1 String\t#2 String' 5 '%d\t1\t2\ta dog\ta fox %d'
    trained mrpc --predict-test
    table "$work/data/glue/QQP/train.tsv" 'id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate' 8 '%d\t1\t2\ta dog %d\ta fox\t0'
    cp "$work/data/glue/QQP/train.tsv" "$work/data/glue/QQP/dev.tsv"
    table "$work/data/glue/QQP/test.tsv" 'id\tquestion1\tquestion2' 5 '%d\ta dog\ta fox %d'
    trained qqp --predict-test
    table "$work/data/glue/STS-B/train.tsv" 'index\tgenre\tsentence1\tsentence2\tscore' 8 '%d\tx\ta dog %d\ta fox\t0.%d'
    cp "$work/data/glue/STS-B/train.tsv" "$work/data/glue/STS-B/dev.tsv"
    table "$work/data/glue/STS-B/test.tsv" 'index\tgenre\tsentence1\tsentence2' 5 '%d\tx\ta dog\ta fox %d'
    trained stsb --predict-test
    grep -q '^stsb test: the labels are hidden' "$work/out"
    table "$work/data/glue/MNLI/train.tsv" 'index\tsentence1\tsentence2\tgold_label' 8 '%d\ta dog %d\ta fox\tneutral'
    cp "$work/data/glue/MNLI/train.tsv" "$work/data/glue/MNLI/dev_matched.tsv"
    table "$work/data/glue/MNLI/test_matched.tsv" 'index\tsentence1\tsentence2' 5 '%d\ta dog\ta fox %d'
    fails 66 'the test_mismatched split of mnli is missing; looked for test_mismatched.tsv (or test_mismatched in' \
        "$train" --task mnli --model tiny --data "$work/data" --predict-test
    cp "$work/data/glue/MNLI/test_matched.tsv" "$work/data/glue/MNLI/test_mismatched.tsv"
    trained mnli --predict-test
    [ "$(grep -c '^wrote: .*glue.mnli.test_' "$work/out")" -eq 2 ]
    grep -q '^mnli test_mismatched: the labels are hidden' "$work/out"
    # agreement needs no labels
    trained mnli --predict-test --seeds 1-3
    $consistency "$work"/p/glue.mnli.test_matched.*.s[123].bin >"$work/out"
    grep -q '^  5 examples' "$work/out"
    # the best evaluation predicts it, with the weights that are saved
    rm -r "$work/p"
    trained cola --predict-test --select best --lr 1e-2 --epochs 4 --save "$work/m"
    "$digests" "$work"/p/glue.cola.test.*.bin | grep logits >"$work/logits"
    rm -r "$work/p"
    trained cola --predict-test --model "$work/m" --epochs 0
    "$digests" "$work"/p/glue.cola.test.*.bin | grep logits | cmp - "$work/logits"
}

@test "--test-file of one's own: with labels, without, and what is refused" {
    cd "$work"
    table train.csv 'sentence,label,idx' 16 'the dog %d ran,no,%d'
    sed -i '2~2s/,no,/,yes,/' train.csv
    cp train.csv dev.csv
    table test.csv 'idx,sentence' 7 '%d,the fox %d ran'
    own="$train --task own --model tiny --train-file train.csv --dev-file dev.csv --epochs 1 --threads 1"
    $own --test-file test.csv --preds p >out 2>err
    grep -q '^further   own test, 7 examples without labels' err
    grep -qx 'own test: the labels are hidden' out
    grep -aq '"split":"test"' p/own.own.test.*.bin
    [ "$(grep -ao 'test-[0-9]' p/own.own.test.*.bin | tr '\n' ' ')" = 'test-0 test-1 test-2 test-3 test-4 test-5 test-6 ' ]
    # the same predictions where the labels are there, empty, or -1
    head -8 dev.csv >labelled.csv
    $own --test-file labelled.csv --preds l >out 2>err
    grep -q '^own test: accuracy [01]\.[0-9]* (loss' out
    for hidden in '' -1; do
        sed "2,\$s/,\(yes\|no\),/,$hidden,/" labelled.csv >hidden.csv
        $own --test-file hidden.csv --preds "h$hidden" >out 2>err
        grep -q '^own test: the labels are hidden' out
        cmp <("$digests" l/own.own.test.*.bin | grep -E '^(pred|logits)') <("$digests" "h$hidden"/own.own.test.*.bin | grep -E '^(pred|logits)')
    done
    # JSON lines; a regression; choices
    printf '{"sentence": "a dog", "label": null, "idx": 0}\n{"sentence": "a fox", "idx": 1}\n' >test.jsonl
    $own --test-file test.jsonl --preds j >out 2>err
    grep -q '^own test: the labels are hidden' out
    table r.csv 'text1,text2,score' 8 'a dog,a fox %d,0.5%d'
    table rt.csv 'text1,text2,score' 4 'a dog,a fox %d,'
    $train --task own --model tiny --train-file r.csv --dev-file r.csv --test-file rt.csv --epochs 1 --preds r >out 2>err
    grep -q '^own test: the labels are hidden' out
    sed -i '2,$s/$/-1/' rt.csv # a value as others
    $train --task own --model tiny --train-file r.csv --dev-file r.csv --test-file rt.csv --epochs 1 --preds r >out 2>err
    grep -q '^own test: pearson' out
    # not all of one kind, no class, another column; and no files of one's own
    sed '3s/,\(yes\|no\),/,-1,/' labelled.csv >mixed.csv
    fails 65 "mixed.csv:3: the label '-1' is of another form than those above, which are names" $own --test-file mixed.csv
    sed '2s/,\(yes\|no\),/,,/' labelled.csv >mixed.csv
    fails 65 "mixed.csv:3: the label 'no' is of another form than those above, which are hidden" $own --test-file mixed.csv
    sed '3s/,\(yes\|no\),/,maybe,/' labelled.csv >other.csv
    fails 65 "other.csv:3: the label 'maybe' is none of the training file's: no, yes" $own --test-file other.csv
    sed '1s/sentence/text/' test.csv >text.csv
    fails 65 "text.csv:2: there is no column 'sentence'" $own --test-file text.csv
    fails 66 'none.csv' $own --test-file none.csv
    fails 64 'test-file without --train-file changes nothing' $train --task rte --test-file test.csv
    sed 's/,yes,/,-1,/' dev.csv >minus.csv
    fails 65 "minus.csv:2: the label '-1' is none of the training file's.*-1 hides those of a test split" $train --task own --model tiny --train-file train.csv --dev-file minus.csv
}

@test "test splits that cannot be predicted, and submissions that cannot be made" {
    data
    fails 64 'predict-test: the built-in sample has no test split' "$train" --task rte --data builtin --predict-test
    fails 64 'predict-test with --train-file: name the file with --test-file' "$train" --task own --train-file a.csv --dev-file b.csv --predict-test
    fails 64 'trace-until with --predict-test: no predictions' "$train" --task wnli --data "$work/data" --predict-test --trace "$work/t" --trace-until 1
    fails 64 'do_predict -> --predict-test' "$train" --task wnli --do_predict
    "$build/make_llama" "$work/llama" >/dev/null
    fails 64 'predict-test with --task lm' "$train" --task lm --data README.md --model "$work/llama" --predict-test
    rm "$work/data/superglue/WSC/test.jsonl"
    fails 66 'the test split of wsc is missing; looked for test.jsonl' "$train" --task wsc --model tiny --data "$work/data" --predict-test
    trained wnli --predict-test --max-eval 20 --seed 1
    appended=
    refused="$work/sub"
    sub="$consistency --submission $work/sub"
    fails 65 'wnli.test.*: 20 examples, the official test set of WNLI has 146, and all are needed; .* without --max-eval' $sub "$work/p"
    fails 64 'submission: none of the files is of a test split of GLUE or SuperGLUE; train with --predict-test' $sub "$work"/p/*validation*.bin
    fails 64 'submission makes no report; leave --format out' $sub --format json "$work/p"
    fails 64 'submission makes no report; leave --compare out' $sub --compare a b "$work/p"
    fails 64 'no files' $sub
    fails 66 'none.bin' $sub "$work/none.bin"
    printf 'index\tprediction\n0\ta\n' >"$work/import.tsv"
    fails 65 'import.tsv' $sub "$work/import.tsv"
    rm -r "$work/p"
    trained wnli --predict-test --seeds 1,2
    fails 64 's1.bin and .*s2.bin are both of WNLI, test; name one of them' $sub "$work/p"
    $sub "$work"/p/*s2.bin >/dev/null
    touch "$work/file"
    refused="$work/none"
    fails 73 "$work/file" $consistency --submission "$work/file" "$work"/p/*s2.bin
}
