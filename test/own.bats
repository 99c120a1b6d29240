# Data of one's own: --train-file and --dev-file, their columns, labels and kinds, and what is refused.

load common

setup() {
    workplace
    refused="$work/preds"
    appended="--preds $work/preds --quiet"
    printf 'sentence1,sentence2,label,idx\nthe cat,a dog,no,0\n"the ""red"" fox",a\tbird,yes,1\nthe boat,a river,no,2\n' >"$work/t.csv"
    printf 'sentence1,sentence2,label,idx\nthe dog,a cat,yes,7\nthe fox,a boat,no,9\n' >"$work/d.csv"
}

# plans PATTERN OPTIONS...: --dry-run says so; the files are t.csv and d.csv unless named
plans() {
    local pattern=$1
    shift
    $train --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" --dry-run "$@" >"$work/out" 2>"$work/err" ||
        { cat "$work/err"; return 1; }
    grep -q -e "$pattern" "$work/err" || { cat "$work/err"; return 1; }
}

# refuses CODE PATTERN TRAIN DEV OPTIONS...: these texts, in files of the name in $end, are refused
refuses() {
    local code=$1 pattern=$2
    printf "$3" >"$work/x.$end"
    printf "$4" >"$work/y.$end"
    shift 4
    fails $code "$pattern" $train --task own --train-file "$work/x.$end" --dev-file "$work/y.$end" "$@"
}

# trained FILES OPTIONS...: the lines that a run of two steps prints about losses
trained() {
    rm -rf "$work/preds"
    $train "$@" --model tiny --max-steps 2 --batch 2 --lr 1e-3 --max-len 64 --preds "$work/preds" 2>/dev/null |
        grep '^seed\|^majority'
}

@test "the columns of run_glue and their labels, said in one line" {
    plans 'columns   pair sentence1, sentence2; label label (single: no, yes); ids idx$'
    plans '3 training and 2 dev examples'
    plans 'ids idx$' --text-columns sentence1,sentence2 --label-column label --id-column idx
    plans 'columns   text sentence2; label label (single: no, yes); ids by row; ignored sentence1, idx$' --text-columns sentence2 --id-column none
    plans 'task      mine-2 (own)' --task mine-2
    printf 'premise,hypothesis,gold_label,fold,weight\na,b,x,1,.5\nc,d,y,2,1\n' >"$work/t.csv"
    cp "$work/t.csv" "$work/d.csv"
    plans 'pair premise, hypothesis; label gold_label (single: x, y); ids by row; ignored fold, weight$'
    printf ',Text,Label\n3,a,1\n4,b,0\n' >"$work/t.csv"
    cp "$work/t.csv" "$work/d.csv"
    plans 'text Text; label Label (single: 0, 1); ids $'
    printf 'utterance,label\na,1\nb,0\n' >"$work/t.csv"
    cp "$work/t.csv" "$work/d.csv"
    plans 'text utterance; '
}

@test "CSV, TSV and JSON lines of the same rows train alike, and like a known task" {
    printf 'sentence1\tsentence2\tlabel\nthe cat\ta dog\tentailment\nthe "red" fox\ta bird\tnot_entailment\nthe boat\ta river\tentailment\n' >"$work/train.tsv"
    printf 'sentence1,sentence2,label\nthe cat,a dog,entailment\n"the ""red"" fox",a bird,not_entailment\nthe boat,a river,entailment\n' >"$work/t.CSV"
    printf '{"sentence1":"the cat","label":"entailment","sentence2":"a dog"}\n{"sentence1":"the \\"red\\" fox","sentence2":"a bird","label":"not_entailment"}\n{"sentence1":"the boat","sentence2":"a river","label":"entailment"}\n' >"$work/t.jsonl"
    trained --task own --train-file "$work/t.CSV" --dev-file "$work/t.CSV" >"$work/expected"
    [ "$(wc -l <"$work/expected")" -eq 2 ]
    trained --task own --train-file "$work/train.tsv" --dev-file "$work/t.jsonl" | cmp - "$work/expected"
    trained --task own --train-file "$work/t.jsonl" --dev-file "$work/train.tsv" | cmp - "$work/expected"
    cp "$work/train.tsv" "$work/dev.tsv"
    trained --task rte --data "$work" | cmp - "$work/expected"
}

@test "label names are the data's, in one order, whatever is trained on" {
    printf 'text,label\na,10\nb,9\nc,10.0\nd,-3\n' >"$work/t.csv"
    printf 'text,label\na,9\n' >"$work/d.csv"
    plans 'single: -3, 9, 10; in no dev row: -3, 10); ids by row' --max-train 1
    plans '1 training and 1 dev' --max-train 1
    printf '{"text": "a", "label": true}\n{"text": "b", "label": false}\n' >"$work/t.jsonl"
    plans 'single: False, True)' --train-file "$work/t.jsonl" --dev-file "$work/t.jsonl"
    printf 'text,label\na,2.5\nb,1\n' >"$work/t.csv"
    plans 'label label (regression); ids by row'
    plans 'label label (single: 1, 2.5)' --problem single --dev-file "$work/t.csv"
    plans 'label label (regression)' --problem regression --train-file "$work/d.csv"
}

@test "a trained head is read by its label names, whatever their sign and order" {
    printf 'text,label\ncat,-1\ndog,0\nfox,1\nbird,1\nthe red cat,-1\nthe dog,0\n' >"$work/t.csv"
    local own="--task own --train-file $work/t.csv --dev-file $work/t.csv"
    trained $own --model tiny --save "$work/m" >/dev/null
    $train $own --model "$work/m" --epochs 0 $appended | grep '^seed' >"$work/expected"
    # -1 and 1 change their names: the head says the same of classes that are others
    sed -i 's/"0": *"-1"/"0": "1"/; s/"2": *"1"/"2": "-1"/; s/"-1": *0/"1": 0/; s/"1": *2/"-1": 2/' "$work/m/config.json"
    printf 'text,label\ncat,1\ndog,0\nfox,-1\nbird,-1\nthe red cat,1\nthe dog,0\n' >"$work/t.csv"
    $train $own --model "$work/m" --epochs 0 $appended | grep '^seed' | cmp - "$work/expected"
}

@test "choices by columns or as a list; numbers, letters or names" {
    printf 'premise,choice1,choice2,label\nit fell,rain,sun,0\nit ran,dog,boat,1\n' >"$work/t.csv"
    cp "$work/t.csv" "$work/d.csv"
    plans 'text premise, choices choice1, choice2; label label (choice: 0, 1)'
    trained --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" >"$work/expected"
    printf 'sentence,option1,option2,answer\nit fell,rain,sun,1\nit ran,dog,boat,2\n' >"$work/w.csv"
    plans 'text sentence, choices option1, option2; label answer (choice: 1, 2)' --train-file "$work/w.csv" --dev-file "$work/w.csv"
    trained --task own --train-file "$work/w.csv" --dev-file "$work/w.csv" | cmp - "$work/expected"
    printf '{"ctx": "it fell", "endings": ["rain", "sun"], "label": "A"}\n{"ctx": "it ran", "endings": ["dog", "boat"], "label": "B"}\n' >"$work/h.jsonl"
    plans 'text ctx, choices endings; label label (choice: A, B)' --train-file "$work/h.jsonl" --dev-file "$work/h.jsonl"
    trained --task own --train-file "$work/h.jsonl" --dev-file "$work/h.jsonl" | cmp - "$work/expected"
    printf 'a,b,c,d,answer\nit fell,rain,sun,cat,b\nit ran,dog,boat,fox,b\n' >"$work/m.csv"
    plans 'text a, choices b, c, d; label answer (choice: b, c, d)' --train-file "$work/m.csv" --dev-file "$work/m.csv" --problem choice --text-columns a,b,c,d
    $train --task own --train-file "$work/m.csv" --dev-file "$work/m.csv" --problem choice --text-columns a,b,c,d --max-steps 2 $appended >"$work/out"
    "$consistency" "$work"/preds/own.own.*.bin >"$work/out"
    grep -q '2 examples, accuracy' "$work/out"
}

@test "predictions carry ids, label names and the columns; consistency joins them with the file" {
    $train --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" --max-steps 2 --seeds 1,2,3 $appended >"$work/out"
    strings -n 4 "$work"/preds/*s1.bin >"$work/strings"
    grep -q '"label_names":"\[\\"no\\",\\"yes\\"\]"' "$work/strings"
    grep -q 'validation-7validation-9' "$work/strings"
    grep -q 'columns.*label.*texts.*sentence1.*sentence2' "$work/strings"
    "$consistency" "$work"/preds/*.bin >"$work/out"
    grep -q '^own  *tiny  *3' "$work/out"
    # runs on other columns of the same file are another group
    $train --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" --text-columns sentence1 --max-steps 2 --seed 1 $appended >"$work/out"
    [ "$(ls "$work"/preds/*.s1.bin | wc -l)" -eq 2 ]
    # an import of others' predictions is joined with the file by the column of ids
    printf 'idx,prediction\n9,no\n7,no\n' >"$work/p.csv"
    "$consistency" --gold "$work/d.csv" "$work/p.csv" >"$work/out"
    grep -q '50.00' "$work/out"
    printf 'text,label\na,2.5\nb,1\nc,0.5\n' >"$work/t.csv"
    $train --task own2 --train-file "$work/t.csv" --dev-file "$work/t.csv" --max-steps 2 $appended >"$work/out"
    grep -q 'dev pearson' "$work/out"
    "$consistency" "$work"/preds/own.own2.*.bin >"$work/out"
    grep -q '3 examples, pearson' "$work/out"
}

@test "--template is a decoder's text" {
    [ -x "$build/make_llama" ] || skip "needs build/make_llama"
    "$build/make_llama" "$work/llama" >/dev/null
    local own="--task own --train-file $work/t.csv --dev-file $work/d.csv --model $work/llama --max-steps 2 --lr 1e-3 $appended"
    $train $own --seed 1 >"$work/plain"
    $train $own --seed 1 --template '{sentence1}| {sentence2}' >"$work/same"
    grep -q 'wrote: .* (same as before)' "$work/same"
    $train $own --seed 1 --template '{sentence2} behind {sentence1}' >"$work/other"
    if cmp -s <(grep '^seed' "$work/plain") <(grep '^seed' "$work/other"); then false; fi
    [ "$(ls "$work"/preds/*.s1.bin | wc -l)" -eq 2 ]
    # the names decide which text stands where, not their turn
    $train $own --seed 1 --text-columns sentence2,sentence1 --template '{sentence2} behind {sentence1}' >"$work/turned"
    cmp <(grep '^seed' "$work/turned") <(grep '^seed' "$work/other")
    rm -r "$work/preds"
    plans 'NOTE: --template changes nothing: the model is an encoder' --template '{sentence1}: {sentence2}'
    fails 64 "'{premise}' is no text's name in braces; there are {sentence1} and {sentence2}" \
        $train --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" --template '{premise}'
    fails 64 '{sentence2} is missing' $train --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" --template 'x {sentence1}'
    fails 64 'no text.s name' $train --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" --template '{sentence1} {sentence2'
    fails 64 'a bar stands' $train --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" --template '{sentence1}|{sentence2}|'
}

@test "options of own data are refused where they change nothing" {
    fails 64 'the dev split is missing' $train --task own --train-file "$work/t.csv"
    fails 64 'dev-file without --train-file' $train --task own --dev-file "$work/t.csv"
    fails 64 'text-columns without --train-file' $train --task rte --text-columns a
    fails 64 'own: no such task; .*--train-file and --dev-file' $train --task own
    fails 64 'whose files --data names; choose a free name' $train --task RTE --train-file "$work/t.csv" --dev-file "$work/d.csv"
    fails 64 'choose a free name' $train --task lm --train-file "$work/t.csv" --dev-file "$work/d.csv"
    fails 64 'a name has up to 64 letters' $train --task a/b --train-file "$work/t.csv" --dev-file "$work/d.csv"
    fails 64 'data with --train-file' $train --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" --data "$work"
    fails 64 'choose single, choice or regression' $train --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" --problem other
    fails 66 'absent.csv' $train --task own --train-file "$work/t.csv" --dev-file "$work/absent.csv"
    cp "$work/t.csv" "$work/t.txt"
    fails 64 't.txt: a file of one.s own is .csv, .tsv or .jsonl' $train --task own --train-file "$work/t.txt" --dev-file "$work/d.csv"
    fails 64 'one text, or two of a pair' $train --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" --text-columns sentence1,sentence2,idx --id-column none
    fails 64 "'sentence1' is named twice" $train --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" --text-columns sentence1,sentence1
    fails 64 "needs a context and two choices" $train --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" --text-columns sentence1,sentence2 --problem choice
    fails 64 "'label' cannot be the label and something else" $train --task own --train-file "$work/t.csv" --dev-file "$work/d.csv" --text-columns label
}

@test "columns and labels that do not fit are refused with file and line" {
    local end=csv good='text,label\na,x\nb,y\n'
    refuses 65 "y.csv:2: there is no column 'text'; found: sentence, label" "$good" 'sentence,label\na,x\n'
    refuses 65 "x.csv:2: there is no column 'label'; found: text, kind" 'text,kind\na,x\n' "$good"
    refuses 65 "y.csv:2: there is no column 'label'" "$good" 'text,kind\na,x\n'
    refuses 65 "x.csv:2: there is no column 'body'" "$good" "$good" --text-columns body
    refuses 65 "x.csv:2: there is no column 'key'" "$good" "$good" --id-column key
    refuses 65 "y.csv:3: the label 'z' is none of the training file's: x, y" "$good" 'text,label\na,x\nb,z\n'
    refuses 65 "y.csv:2: the label '-1' is none .*: x, y; -1 hides" "$good" 'text,label\na,-1\nb,-1\n'
    refuses 65 "x.csv: all 2 rows have the label 'x'" 'text,label\na,x\nb,x\n' "$good"
    refuses 65 "x.csv:3: the label 'label' is empty" 'text,label\na,x\nb,\n' "$good"
    refuses 65 "x.csv:3: the label 'y' is no number of float32, which a regression needs" 'text,label\na,1\nb,y\n' "$good" --problem regression
    refuses 65 "y.csv:2: the label 'x' is no number" 'text,label\na,1.5\nb,2\n' "$good"
    refuses 65 "x.csv:3: the label 'nan' is no number" 'text,label\na,1.5\nb,nan\n' "$good" --problem regression
    refuses 65 "x.csv:2: the label '1e99' is no number of float32" 'text,label\na,1e99\nb,1\n' "$good" --problem regression
    refuses 65 "x.csv:1: the column 'text' is there twice" 'text,label,text\na,x,b\n' "$good"
    refuses 65 "y.csv:1: the column 'label' is there twice" "$good" 'text,label,label\na,x,b\n'
    refuses 65 "x.csv: no examples" 'text,label\n' "$good"
    refuses 65 "x.csv: no examples" '' "$good"
    refuses 65 "y.csv: no examples" "$good" 'text,label'
    refuses 65 "x.csv: no examples; is it the right file. Lines end with LF" 'text,label\ra,yes\rb,no\r' "$good"
    refuses 64 'which columns are texts? Of one, two, three name' 'one,two,three,label\na,b,c,x\n' "$good"
    (printf 'text,label\n'; seq -f 'a,c%g' 1001) >"$work/x.csv"
    fails 65 "the column 'label' has 1001 labels, at most 1000" $train --task own --train-file "$work/x.csv" --dev-file "$work/x.csv"
}

@test "rows that do not fit are refused with file and line" {
    local end=csv good='text,label\na,x\nb,y\n'
    refuses 65 "x.csv:4: the id '07' is that of line 2 too" 'id,text,label\n7,a,x\n8,b,y\n07,c,x\n' "$good"
    refuses 65 "y.csv:3: the id 'k' is that of line 2 too" 'id,text,label\n7,a,x\n8,b,y\n' 'id,text,label\nk,a,x\nk,b,y\n'
    refuses 65 "x.csv:3: the id ('id') is empty" 'id,text,label\n7,a,x\n,b,y\n' "$good"
    refuses 65 "x.csv:3: the text 'text' is empty" 'text,label\na,x\n,y\n' "$good"
    refuses 65 "y.csv:2: the text 'text' is empty" "$good" 'text,label\n" ",y\n'
    refuses 65 "x.csv:3: a quote that does not end" 'text,label\na,x\n"b,y\nc,x\n' "$good"
    refuses 65 "x.csv:3: text behind the quote that ends a field, on line 4" 'text,label\na,x\n"b,y\n"c",x\n' "$good"
    refuses 65 "x.csv:3: 3 columns, expected 2" 'text,label\na,x\nb, c,y\n' "$good"
    refuses 65 "x.csv:2: not UTF-8" 'text,label\n\377,x\n' "$good"
    refuses 65 "x.csv:2: a NUL" 'text,label\na\000b,x\n' "$good"
    end=tsv good='text\tlabel\na\tx\nb\ty\n'
    refuses 65 "x.tsv:3: 3 columns, expected 2" 'text\tlabel\na\tx\nb\tc\ty\n' "$good"
    refuses 65 "x.tsv:3: 1 columns, expected 2" 'text\tlabel\na\tx\nb\nc\ty\n' "$good"
    refuses 65 "x.tsv:3: 2 columns, expected 3" 'text1\ttext2\tlabel\na\tb\tx\nc\td\ne\ty\n' 'text1\ttext2\tlabel\na\tb\tx\n'
    printf 'text\tlabel\na\tx\nb\tc\ty\nd\ty\n' >"$work/t.tsv"
    plans '2 training' --train-file "$work/t.tsv" --dev-file "$work/t.tsv" --allow-bad-rows
    grep -q 't.tsv: 1 row is left out, .* line 3$' "$work/err"
    end=jsonl good='{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'
    refuses 65 'x.jsonl:2: not a JSON object' '{"text": "a", "label": "x"}\n{"text": "b", "label\n' "$good"
    refuses 65 'x.jsonl:1: not a JSON object' '[{"text": "a", "label": "x"}]\n' "$good"
    refuses 65 "x.jsonl:2: there is no column 'text'" '{"text": "a", "label": "x"}\n{"label": "y"}\n' "$good"
    refuses 65 "x.jsonl:1: not a JSON object: duplicate" '{"text": "a", "text": "b", "label": "x"}\n' "$good"
    refuses 65 "x.jsonl:1: 'text' is not a text" '{"text": 3, "label": "x"}\n' "$good"
    refuses 65 "x.jsonl:1: the label 'label' is no text" '{"text": "a", "label": ["x"]}\n' "$good"
    good='{"ctx": "a", "choices": ["b", "c"], "label": 0}\n{"ctx": "a", "choices": ["b", "c"], "label": 1}\n'
    refuses 65 'y.jsonl:1: 3 choices, but 2 in the first row' "$good" '{"ctx": "a", "choices": ["b", "c", "d"], "label": 0}\n'
    refuses 65 'x.jsonl:1: 1 choices; from 2' '{"ctx": "a", "choices": ["b"], "label": 0}\n' "$good"
    refuses 65 "x.jsonl:2: the label '3' is none of 2 choices" '{"ctx": "a", "choices": ["b", "c"], "label": 0}\n{"ctx": "a", "choices": ["b", "c"], "label": 3}\n' "$good"
    refuses 65 "y.jsonl:1: the label '2' is none of the training" "$good" '{"ctx": "a", "choices": ["b", "c"], "label": 2}\n'
    refuses 65 "x.jsonl:2: 'choices' is not a text" '{"ctx": "a", "choices": ["b", "c"], "label": 0}\n{"ctx": "a", "choices": ["b", null], "label": 0}\n' "$good"
    end=csv
    refuses 65 "x.csv:3: the text 'choice3' is empty" 'ctx,choice1,choice2,choice3,label\na,b,c,d,0\na,b,c,,1\n' "$good"
}

@test "a field of a megabyte is a text, which is cut" {
    (printf 'text,label\nshort,x\n"'; head -c 1048576 /dev/zero | tr '\0' 'a' | sed 's/aaaaaaaa/cat dog /g'; printf '",y\n') >"$work/t.csv"
    plans 'cut       1 training and 1 dev sequences are longer' --dev-file "$work/t.csv"
    (printf 'text,label\nshort,x\n"'; head -c 1048576 /dev/zero | tr '\0' 'a'; printf '",y\n') >"$work/t.csv"
    plans '2 training' --dev-file "$work/t.csv"
}
