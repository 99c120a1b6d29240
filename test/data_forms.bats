# Data as it lies about: the forms, names and small faults of files that people have. Forms are compared example by example
# with build/test_forms.

load common

setup() {
    workplace
    forms="$build/test_forms"
    refused="$work/preds"
    appended="--preds $work/preds --quiet"
}

# both DIR NAME VALIDATION: the training file in its folder becomes the other split too
both() {
    cp "$work/$1/$2" "$work/$1/$3"
}

# counts TASK DATA N OPTIONS...: a run would see N training and N dev examples
counts() {
    local task=$1 data=$2 n=$3
    shift 3
    $train --task $task --data "$data" --dry-run "$@" >"$work/out" 2>"$work/err" || { cat "$work/err"; return 1; }
    grep -q "$n training and $n dev examples" "$work/err" || { cat "$work/err"; return 1; }
}

# official TASK: its files in $work/official, three rows that have what is hard about them
official() {
    local o="$work/official"
    mkdir -p "$o/glue/CoLA" "$o/glue/MRPC" "$o/glue/QQP" "$o/glue/MNLI" "$o/glue/STS-B" "$o/glue/RTE" "$o/glue/SST-2" \
        "$o/superglue/CB" "$o/superglue/BoolQ" "$o/superglue/COPA" "$o/superglue/WSC" "$o/superglue/WiC" "$o/superglue/MultiRC"
    printf 'a\t1\t\tA dog "ran" home.\nb\t0\t*\tRan dog, a home\nc\t1\t\t"Caf\303\251," she said\n' >"$o/glue/CoLA/train.tsv"
    printf '\357\273\277Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\tOne, two.\t"Three" \n0\t3\t4\t"a\tb\n1\t5\t6\tc\td\n' >"$o/glue/MRPC/train.tsv"
    printf 'id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n7\t1\t2\tWho, me?\tYou?\t0\n9\t3\t4\t"" a\tb\t1\n11\t5\t6\tc\td\t1\n' >"$o/glue/QQP/train.tsv"
    printf 'index\tsentence1\tx\tsentence2\tlabel1\tgold_label\n0\ta, b\t\tc\tneutral\tentailment\n1\td\t\te\tneutral\tcontradiction\n2\tf\t\tg\tneutral\tneutral\n' >"$o/glue/MNLI/train.tsv"
    printf 'index\tsentence1\tsentence2\tscore\n0\ta\tb\t3.800\n1\tc\td\t4.57142857142857\n2\te\tf\t0.000\n' >"$o/glue/STS-B/train.tsv"
    printf 'index\tsentence1\tsentence2\tlabel\n0\tA "b" c\td, e\tentailment\n1\tf\tg\tnot_entailment\n2\th\ti\tentailment\n' >"$o/glue/RTE/train.tsv"
    printf 'sentence\tlabel\na film \t1\nno, "film" \t0\nc \t1\n' >"$o/glue/SST-2/train.tsv"
    for t in CoLA MRPC QQP STS-B RTE SST-2; do both official/glue/$t train.tsv dev.tsv; done
    both official/glue/MNLI train.tsv dev_matched.tsv
    printf '{"premise": "a\\n\\"b\\"", "hypothesis": "c, d", "label": "neutral", "idx": 0}\n{"premise": "e", "hypothesis": "f", "label": "contradiction"}\n{"premise": "g", "hypothesis": "h", "label": "entailment"}\n' >"$o/superglue/CB/train.jsonl"
    printf '{"question": "a, b", "passage": "c\\r\\nd", "label": true}\n{"question": "e", "passage": "f", "label": false}\n' >"$o/superglue/BoolQ/train.jsonl"
    printf '{"premise": "It fell.", "choice1": "a, b", "choice2": "c", "question": "cause", "label": 1}\n{"premise": "It ran.", "choice1": "d", "choice2": "e", "question": "effect", "label": 0}\n' >"$o/superglue/COPA/train.jsonl"
    printf '{"text": "Ann, not Eve, said she ran.", "label": true, "target": {"span1_index": 0, "span1_text": "Ann", "span2_index": 4, "span2_text": "she"}}\n' >"$o/superglue/WSC/train.jsonl"
    printf '{"word": "run", "sentence1": "a run, long", "sentence2": "run home", "label": false, "start1": 2, "end1": 5, "start2": 0, "end2": 3}\n' >"$o/superglue/WiC/train.jsonl"
    printf '{"idx": 4, "passage": {"text": "A, b. ", "questions": [{"question": "c?", "idx": 0, "answers": [{"text": "d", "idx": 0, "label": 1}, {"text": " ", "idx": 1, "label": 0}]}, {"question": "e?", "idx": 1, "answers": [{"text": "it\\u0027s f", "idx": 2, "label": 0}]}]}}\n{"idx": 6, "passage": {"text": "g", "questions": [{"question": "h?", "idx": 2, "answers": [{"text": "i", "idx": 3, "label": 1}]}]}}\n' >"$o/superglue/MultiRC/train.jsonl"
    for t in CB BoolQ COPA WSC WiC MultiRC; do both official/superglue/$t train.jsonl val.jsonl; done
}

# like TASK PASSED: what is in $work/hub has the examples of the official files; so many comparisons
like() {
    "$forms" $1 "$work/official" "$work/hub" >"$work/compared" 2>&1 || { cat "$work/compared"; return 1; }
    grep -q "^test_forms: $2 passed, 0 failed" "$work/compared" || { cat "$work/compared"; return 1; }
}

@test "counts other than the official file's are told, with both" {
    mkdir "$work/CB"
    for i in 1 2 3; do printf '{"premise": "a", "hypothesis": "b", "label": "neutral"}\n'; done >"$work/CB/train.jsonl"
    # as many as the official file, but of other labels
    for i in $(seq 56); do printf '{"premise": "a", "hypothesis": "b", "label": "%s"}\n' "$([ $i -le 22 ] && echo entailment || { [ $i -le 50 ] && echo contradiction || echo neutral; })"; done >"$work/CB/val.jsonl"
    "$train" --task cb --data "$work" --dry-run $appended 2>"$work/err"
    grep -qx "NOTE: $work/CB/train.jsonl: 3 examples (0 entailment, 0 contradiction, 3 neutral); the official file has 250 (115, 119, 16)." "$work/err"
    grep -qx "NOTE: $work/CB/val.jsonl: 56 examples (22 entailment, 28 contradiction, 6 neutral); the official file has 56 (23, 28, 5)." "$work/err"
    # of a file that is not read whole nothing is known
    "$train" --task cb --data "$work" --dry-run --max-train 2 --max-eval 50 $appended 2>"$work/err"
    run grep -q 'official file' "$work/err"
    [ "$status" -eq 1 ]
    # right ones are not spoken of
    sed -i '23s/contradiction/entailment/; 51s/neutral/contradiction/' "$work/CB/val.jsonl"
    "$train" --task cb --data "$work" --dry-run $appended 2>"$work/err"
    [ "$(grep -c 'official file' "$work/err")" -eq 1 ]
    # a regression has a count alone, hidden labels too
    mkdir "$work/STS-B"
    printf 'sentence1\tsentence2\tscore\na\tb\t1.5\n' | tee "$work/STS-B/train.tsv" >"$work/STS-B/dev.tsv"
    "$train" --task stsb --data "$work" --dry-run $appended 2>"$work/err"
    grep -qx "NOTE: $work/STS-B/dev.tsv: 1 examples; the official file has 1500." "$work/err"
}

@test "exports of the Hub as JSON lines are the official examples, ids included" {
    [ -x "$forms" ] || skip "needs build/test_forms"
    official
    local h="$work/hub"
    mkdir -p "$h/glue/cola" "$h/glue/mrpc" "$h/GLUE/qqp" "$h/glue/mnli" "$h/glue/stsb" "$h/rte" "$h/super_glue/cb" "$h/super_glue/boolq" \
        "$h/super_glue/copa" "$h/superglue/wsc.fixed" "$h/super_glue/wic" "$h/SuperGLUE/multirc"
    printf '{"sentence":"A dog \\"ran\\" home.","label":1,"idx":0}\n{"sentence":"Ran dog, a home","label":0,"idx":1}\n{"sentence":"\\"Caf\\u00e9,\\" she said","label":1,"idx":2}\n' >"$h/glue/cola/train.jsonl"
    both hub/glue/cola train.jsonl validation.jsonl; like cola 8
    printf '{"sentence1":"One, two.","sentence2":"\\"Three\\" ","label":1,"idx":0}\n{"sentence1":"\\"a","sentence2":"b","label":0,"idx":2}\n{"sentence1":"c","sentence2":"d","label":1,"idx":5}\n' >"$h/glue/mrpc/train-00000-of-00001.jsonl"
    both hub/glue/mrpc train-00000-of-00001.jsonl validation-00000-of-00001.jsonl; like mrpc 8
    printf '{"question1":"Who, me?","question2":"You?","label":0}\n{"question1":"\\"\\" a","question2":"b","label":1}\n\n{"question1":"c","question2":"d","label":1}\n\n' >"$h/GLUE/qqp/train.json"
    both hub/GLUE/qqp train.json val.json; like qqp 8
    printf '{"premise":"a, b","hypothesis":"c","label":0}\n{"premise":"d","hypothesis":"e","label":2}\n{"premise":"f","hypothesis":"g","label":1}\n' >"$h/glue/mnli/train.jsonl"
    both hub/glue/mnli train.jsonl validation_matched.jsonl; like mnli 8
    printf '{"sentence1":"a","sentence2":"b","label":3.7999999523}\n{"sentence1":"c","sentence2":"d","label":4.5714287758}\n{"sentence1":"e","sentence2":"f","label":0.0}\n' >"$h/glue/stsb/train.jsonl"
    both hub/glue/stsb train.jsonl validation.jsonl; like stsb 8
    printf '{"sentence1":"A \\"b\\" c","sentence2":"d, e","label":"0"}\n{"sentence1":"f","sentence2":"g","label":1}\n{"sentence1":"h","sentence2":"i","label":0.0}\n' >"$h/rte/train.jsonl"
    both hub/rte train.jsonl dev.jsonl; like rte 8
    printf '{"premise":"a\\n\\"b\\"","hypothesis":"c, d","idx":0,"label":2}\n{"premise":"e","hypothesis":"f","label":1}\n{"premise":"g","hypothesis":"h","label":0}\n' >"$h/super_glue/cb/train.jsonl"
    both hub/super_glue/cb train.jsonl validation.jsonl; like cb 8
    printf '{"question":"a, b","passage":"c\\r\\nd","idx":0,"label":1}\n{"question":"e","passage":"f","idx":1,"label":0}\n' >"$h/super_glue/boolq/train.jsonl"
    both hub/super_glue/boolq train.jsonl validation.jsonl; like boolq 6
    printf '{"premise":"It fell.","choice1":"a, b","choice2":"c","question":"cause","idx":0,"label":1}\n{"premise":"It ran.","choice1":"d","choice2":"e","question":"effect","idx":1,"label":0}\n' >"$h/super_glue/copa/train.jsonl"
    both hub/super_glue/copa train.jsonl validation.jsonl; like copa 6
    printf '{"text":"Ann, not Eve, said she ran.","span1_index":0,"span2_index":4,"span1_text":"Ann","span2_text":"she","idx":0,"label":1}\n' >"$h/superglue/wsc.fixed/train.jsonl"
    both hub/superglue/wsc.fixed train.jsonl validation.jsonl; like wsc 4
    printf '{"word":"run","sentence1":"a run, long","sentence2":"run home","start1":2,"start2":0,"end1":5,"end2":3,"idx":0,"label":0}\n' >"$h/super_glue/wic/train.jsonl"
    both hub/super_glue/wic train.jsonl validation.jsonl; like wic 4
    printf '{"paragraph":"A, b. ","question":"c?","answer":"d","idx":{"paragraph":4,"question":0,"answer":0},"label":1}\n{"paragraph":"A, b. ","question":"c?","answer":" ","idx":{"paragraph":4,"question":0,"answer":1},"label":0}\n{"paragraph":"A, b. ","question":"e?","answer":"it'"'"'s f","idx":{"paragraph":4,"question":1,"answer":2},"label":0}\n{"paragraph":"g","question":"h?","answer":"i","idx":{"paragraph":6,"question":2,"answer":3},"label":1}\n' >"$h/SuperGLUE/multirc/train.jsonl"
    both hub/SuperGLUE/multirc train.jsonl validation.jsonl; like multirc 9
    sed -i 's/"idx":{"paragraph":\(.\),"question":\(.\),"answer":\(.\)}/"idx.paragraph":\1,"idx.question":\2,"idx.answer":\3/' "$h"/SuperGLUE/multirc/*.jsonl
    like multirc 9
}

@test "exports as CSV: quotes, line breaks in quotes, CRLF, labels in every form" {
    [ -x "$forms" ] || skip "needs build/test_forms"
    official
    local h="$work/hub"
    mkdir -p "$h/CoLA" "$h/sst_2" "$h/MRPC" "$h/sts-b" "$h/super-glue/CB" "$h/boolq" "$h/copa" "$h/wsc" "$h/multirc" "$h/rte"
    printf 'sentence,label,idx\n"A dog ""ran"" home.",1,0\n"Ran dog, a home",0,1\n"""Caf\303\251,"" she said",1,2\n' >"$h/CoLA/train.csv"
    both hub/CoLA train.csv validation.csv; like cola 8
    printf ',sentence,label\n0,a film ,positive\n1,"no, ""film"" ",negative\n2,c ,Positive\n' >"$h/sst_2/train.csv"
    both hub/sst_2 train.csv dev.csv; like sst2 8
    printf 'sentence1,sentence2,label\r\n"One, two.","""Three"" ",1.0\r\n"""a",b,0.0\r\nc,d,1.0\r\n' >"$h/MRPC/train.csv"
    both hub/MRPC train.csv validation.csv; like mrpc 8
    printf 'sentence1,sentence2,label,idx\na,b,3.8,0\nc,d,4.571429,1\ne,f,0.0,2\n' >"$h/sts-b/train.csv"
    both hub/sts-b train.csv validation.csv; like stsb 8
    printf 'premise,hypothesis,idx,label\n"a\n""b""","c, d",0,2\ne,f,1,1\n\ng,h,2,0\n\n' >"$h/super-glue/CB/train.csv"
    both hub/super-glue/CB train.csv validation.csv; like cb 8
    printf '\357\273\277question,passage,idx,label\n"a, b","c\r\nd",0,True\ne,f,1,False\n' >"$h/boolq/train.csv"
    both hub/boolq train.csv validation.csv; like boolq 6
    printf 'premise,choice1,choice2,question,idx,label\nIt fell.,"a, b",c,cause,0,1\nIt ran.,d,e,effect,1,0\n' >"$h/copa/train.csv"
    both hub/copa train.csv validation.csv; like copa 6
    printf 'text,span1_index,span2_index,span1_text,span2_text,idx,label\n"Ann, not Eve, said she ran.",0,4,Ann,she,0,1\n' >"$h/wsc/train.csv"
    both hub/wsc train.csv validation.csv; like wsc 4
    printf 'paragraph,question,answer,idx,label\n"A, b. ",c?,d,"{'"'paragraph': 4, 'question': 0, 'answer': 0"'}",1\n"A, b. ",c?, ,"{""paragraph"": 4, ""question"": 0, ""answer"": 1}",0\n"A, b. ",e?,it'"'s f,\"{'paragraph': 4, 'question': 1, 'answer': 2"'}",0\ng,h?,i,"{'"'paragraph': 6, 'question': 2, 'answer': 3"'}",1\n' >"$h/multirc/train.csv"
    both hub/multirc train.csv validation.csv; like multirc 9
    # a TSV of the Hub's columns was written by a CSV writer
    printf '\tsentence1\tsentence2\tlabel\tidx\n0\t"A ""b"" c"\td, e\t0\t0\n1\tf\tg\t1\t1\n2\th\ti\t0\t2\n' >"$h/rte/train.tsv"
    both hub/rte train.tsv validation.tsv; like rte 8
}

@test "a carriage return at the end of a text in quotes is the text's" {
    mkdir -p "$work/official/superglue/CB" "$work/hub"
    printf '{"premise": "a\\r", "hypothesis": "b\\r", "label": 2}\n{"premise": "c", "hypothesis": "d\\r\\n\\r", "label": 0}\n{"premise": "e", "hypothesis": "", "label": 0}\n' >"$work/official/superglue/CB/train.jsonl"
    both official/superglue/CB train.jsonl val.jsonl
    printf 'label,premise,hypothesis\r\n2,"a\r","b\r"\r\n0,c,"d\r\n\r"\n0,e,\r\n' >"$work/hub/train.csv"
    both hub train.csv validation.csv
    like cb 8
    printf 'label\tidx\tpremise\thypothesis\n2\t0\t"a\r"\t"b\r"\n0\t1\tc\t"d\r\n\r"\n0\t2\te\t""\n' >"$work/hub/train.tsv"
    both hub train.tsv validation.tsv
    like cb 8
}

@test "folders in the usual spellings; files in the named folder; the official file first" {
    official
    local spelled
    for spelled in glue/SST-2 GLUE/sst2 glue/sst-2 SST2 Sst-2 sst_2; do
        rm -rf "$work/data"
        mkdir -p "$work/data/$spelled"
        cp "$work"/official/glue/SST-2/*.tsv "$work/data/$spelled"
        counts sst2 "$work/data" 3
        counts sst2 "$work/data/$spelled" 3
    done
    for spelled in super_glue/boolq SuperGLUE/BoolQ super-glue/BOOLQ boolq; do
        rm -rf "$work/data"
        mkdir -p "$work/data/$spelled"
        cp "$work"/official/superglue/BoolQ/*.jsonl "$work/data/$spelled"
        counts boolq "$work/data" 2
    done
    mkdir -p "$work/data/glue/RTE" "$work/data/rte"
    cp "$work"/official/glue/RTE/*.tsv "$work/data/glue/RTE"
    printf 'sentence1,sentence2,label\na,b,0\n' >"$work/data/rte/train.csv"
    both data/rte train.csv validation.csv
    counts rte "$work/data" 3
    counts rte "$work/data/rte" 1
    cp "$work/data/rte/train.csv" "$work/data/glue/RTE/train.csv"
    counts rte "$work/data" 3
    mkdir -p "$work/data/CoLA" "$work/data/COLA"
    cp "$work"/official/glue/CoLA/*.tsv "$work/data/CoLA"
    head -n 2 "$work/data/CoLA/train.tsv" >"$work/data/COLA/train.tsv"; both data/COLA train.tsv dev.tsv
    counts cola "$work/data" 3
    # the two RTEs are told apart by their fields
    fails 65 "the field 'premise' is missing\|no column 'premise'" $train --task rte_superglue --data "$work/data/glue"
}

@test "empty lines are no rows" {
    official
    local f="$work/official/glue/RTE/train.tsv"
    printf '\n' >>"$f"; both official/glue/RTE train.tsv dev.tsv; counts rte "$work/official" 3
    printf '\r\n\r\n \n' >>"$f"; both official/glue/RTE train.tsv dev.tsv; counts rte "$work/official" 3
    printf 'index\tsentence1\tsentence2\tlabel\r\n0\ta\tb\tentailment\r\n\r\n1\tc\td\tentailment\r\n\r\n' >"$f"
    both official/glue/RTE train.tsv dev.tsv; counts rte "$work/official" 2
    printf '\n' >>"$work/official/glue/CoLA/train.tsv"; both official/glue/CoLA train.tsv dev.tsv; counts cola "$work/official" 3
    printf '\n\r\n' >>"$work/official/superglue/CB/train.jsonl"; both official/superglue/CB train.jsonl val.jsonl; counts cb "$work/official" 3
    if grep -q NOTE.*left "$work/err"; then false; fi
    printf '\n\n' >"$f"; fails 65 'no examples' $train --task rte --data "$work/official"
}

# broken TASK LINES N TEXT: that file lacks these lines, and N rows are left
broken() {
    local file="$work/broken/$1.tsv"
    mkdir -p "$work/broken"
    rm -f "$work"/broken/*
    printf "$4" >"$work/broken/train.tsv"
    both broken train.tsv dev.tsv
    counts $1 "$work/broken" $3
    [ "$(grep -c "NOTE: .*/\(train\|dev\).tsv: 1 row is left out, .*lines $2\$" "$work/err")" -eq 2 ] || { cat "$work/err"; return 1; }
}

@test "a row that a line break parts is left out, with its lines" {
    local qqp='id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n' mrpc='Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n'
    broken qqp 3-4 2 "$qqp"'1\t1\t2\ta\tb\t0\n2\t3\t4\tc\nc\td\t1\n5\t6\t7\te\tf\t1\n'
    broken qqp 2-5 1 "$qqp"'2\t3\t4\tc\n\nc\nc\td\t1\n5\t6\t7\te\tf\t1\n\n'
    broken qqp 3-4 1 "$qqp"'1\t1\t2\ta\tb\t0\n2\t3\t4\tc\td\nd\t1\n'
    # the break is in the first column, or the last: one of the two lines looks whole
    broken sst2 3-4 2 'sentence\tlabel\na\t1\nb\nb\t0\nc\t1\n'
    broken mrpc 3-5 2 "$mrpc"'1\t1\t2\ta\tb\n0\t3\t4\tc\td\nd\nd\n1\t5\t6\te\tf\n'
    broken cola 3-4 2 'x\t1\t\ta\nx\t0\t*\tb\nx\t1\t\tc\nmore\n'
    sed -i 's/^more$//' "$work"/broken/*.tsv && counts cola "$work/broken" 3
}

@test "more than one row in a thousand: refused, or left out with --allow-bad-rows" {
    mkdir -p "$work/data"
    local head='index\tsentence1\tsentence2\tlabel\n' good='0\ta\tb\tentailment\n' file="$work/data/train.tsv"
    printf "$head$good"'1\tc\n c\td\tentailment\n2\te\n e\tf\tentailment\n'"$good" >"$file"; both data train.tsv dev.tsv
    fails 65 'train.tsv:5: 2 columns, expected 4, and more than one .* --allow-bad-rows' $train --task rte --data "$work/data"
    counts rte "$work/data" 2 --allow-bad-rows
    grep -q 'NOTE: .*train.tsv: 2 rows are left out.*: lines 3-4, 5-6$' "$work/err"
    printf "$head$good"'1\tc\tentailment\n'"$good" >"$file"; both data train.tsv dev.tsv
    fails 65 'train.tsv:3: 3 columns, expected 4; .*--allow-bad-rows' $train --task rte --data "$work/data"
    counts rte "$work/data" 2 --allow-bad-rows
    printf "$head$good"'1\tc\td\te\tentailment\n'"$good" >"$file"
    fails 65 'train.tsv:3: 5 columns, expected 4' $train --task rte --data "$work/data"
    # two in two thousand lines are few enough, three are not
    rows() { printf "$head"; for i in $(seq 1998); do printf "$good"; done; for i in $(seq $1); do printf '9\tc\tentailment\n'; done; }
    rows 2 >"$file"; both data train.tsv dev.tsv
    counts rte "$work/data" 1998
    grep -q 'train.tsv: 2 rows are left out.*: lines 2000, 2001$' "$work/err"
    rows 3 >"$file"; fails 65 'train.tsv:2002: 3 columns' $train --task rte --data "$work/data"
    printf 'sentence1,sentence2,label\na,b,0\nc,0\n' >"$work/data/train.csv"; rm "$file"
    fails 65 'train.csv:3: 2 columns, expected 3' $train --task rte --data "$work/data"
    { printf 'sentence1,sentence2,label\n'; yes 'a,b,0' | head -n 2000; printf 'c,0\n'; } >"$work/data/train.csv"
    fails 65 'train.csv:2002: 2 columns, expected 3' $train --task rte --data "$work/data"
    { printf "$head"; for i in $(seq 8); do printf '1\tc\tentailment\n'; done; printf "$good"; } >"$file"; both data train.tsv dev.tsv
    counts rte "$work/data" 1 --allow-bad-rows
    grep -q 'train.tsv: 8 rows are left out.*: lines 2, 3, 4, 5, 6, ...$' "$work/err"
}

# refused_row TASK NAME MESSAGE TEXT: as the training file of that name
refused_row() {
    rm -rf "$work/data"
    mkdir -p "$work/data"
    printf "$4" >"$work/data/$2"
    fails 65 "$3" $train --task $1 --data "$work/data"
}

@test "labels: hidden, out of range, ambiguous or in two forms" {
    refused_row boolq train.jsonl 'train.jsonl:2: the label -1 stands for a hidden one' '{"question":"a","passage":"b","label":1}\n{"question":"a","passage":"b","label":-1}\n'
    refused_row rte train.csv 'train.csv:2: the label -1 stands for a hidden one' 'sentence1,sentence2,label\na,b,-1.0\n'
    refused_row stsb train.csv 'train.csv:2: the score .-1.0. .*hidden' 'sentence1,sentence2,label\na,b,-1.0\n'
    refused_row stsb train.csv 'train.csv:2: the score .0x1.' 'sentence1,sentence2,label\na,b,0x1\n'
    refused_row cb train.jsonl "train.jsonl:1: the label '3' is none of entailment, contradiction, neutral, nor a number from 0 to 2" '{"premise":"a","hypothesis":"b","label":3}\n'
    refused_row cb train.jsonl "train.jsonl:1: the label '0.5'" '{"premise":"a","hypothesis":"b","label":0.5}\n'
    refused_row rte train.jsonl "train.jsonl:1: the label 'true'" '{"sentence1":"a","sentence2":"b","label":true}\n'
    refused_row rte train.csv "train.csv:2: the label ''" 'sentence1,sentence2,label\na,b,\n'
    refused_row boolq train.jsonl "train.jsonl:1: the label is no name and no number" '{"question":"a","passage":"b","label":null}\n'
    refused_row boolq train.jsonl "train.jsonl:1: the field 'label' is missing; found: 'question', 'passage', 'idx'" '{"question":"a","passage":"b","idx":0}\n'
    refused_row boolq train.jsonl "train.jsonl:2: the label '1' is of another form than those above, which are truth values" '{"question":"a","passage":"b","label":true}\n{"question":"a","passage":"b","label":1}\n'
    refused_row cb train.csv "train.csv:3: the label 'neutral' is of another form than those above, which are numbers" 'premise,hypothesis,label\na,b,0\na,b,neutral\n'
}

@test "malformed files: one line with file and line" {
    refused_row qqp train.csv "train.csv:1: there is no column 'question1'; found: 'q1', 'q2', 'label'" 'q1,q2,label\na,b,0\n'
    refused_row qqp train.tsv "train.tsv:1: there is no column 'is_duplicate' or 'label'; found: 'question1'" 'question1\tquestion2\na\tb\n'
    refused_row cb train.csv "train.csv:1: the column 'label' is there twice" 'premise,hypothesis,label,label\na,b,0,1\n'
    refused_row rte train.csv 'train.csv:3: a quote that does not end' 'sentence1,sentence2,label\na,b,0\n"c,d,1\n'
    refused_row rte train.csv 'train.csv:2: not UTF-8' 'sentence1,sentence2,label\n"a\342\202",b,0\n'
    refused_row cb train.jsonl 'train.jsonl:2: not UTF-8' '{"premise":"a","hypothesis":"b","label":0}\n{"premise":"\303'
    refused_row cb train.jsonl 'train.jsonl:1: a NUL' '{"premise":"a\0","hypothesis":"b","label":0}\n'
    refused_row cb train.jsonl 'train.jsonl:2: not a JSON object: an array' '{"premise":"a","hypothesis":"b","label":0}\n["a", "b", 0]\n'
    refused_row cb train.json 'train.json:1: not a JSON object: an array.*lines=True' '[\n{"premise":"a","hypothesis":"b","label":0}]\n'
    refused_row cb train.jsonl 'train.jsonl:1: not a JSON object: duplicate object key' '{"premise":"a","premise":"b","hypothesis":"b","label":0}\n'
    refused_row cb train.json "train.json:1: the label is no name and no number; each line must be one example" '{"premise":{"0":"a"},"hypothesis":{"0":"b"},"label":{"0":1}}\n'
    refused_row multirc train.csv 'train.csv:3: idx is question 0, answer 3, behind 0, 0: rows are missing' "paragraph,question,answer,idx,label\na,b,c,\"{'paragraph': 0, 'question': 0, 'answer': 0}\",1\na,b,c,\"{'paragraph': 0, 'question': 0, 'answer': 3}\",1\n"
    refused_row multirc train.csv 'train.csv:3: idx is question 2, answer 1, behind 0, 0: rows are missing' "paragraph,question,answer,idx,label\na,b,c,\"{'paragraph': 0, 'question': 0, 'answer': 0}\",1\na,d,c,\"{'paragraph': 0, 'question': 2, 'answer': 1}\",1\n"
    refused_row multirc train.csv "train.csv:2: the field 'paragraph' is missing" 'paragraph,question,answer,idx,label\na,b,c,17,1\n'
    refused_row multirc train.jsonl "train.jsonl:3: paragraph 0 is there twice" '{"paragraph":"a","question":"b","answer":"c","idx":{"paragraph":0,"question":0,"answer":0},"label":1}\n{"paragraph":"d","question":"b","answer":"c","idx":{"paragraph":1,"question":1,"answer":1},"label":1}\n{"paragraph":"a","question":"b","answer":"c","idx":{"paragraph":0,"question":2,"answer":2},"label":1}\n'
}

@test "ten megabytes in a line" {
    mkdir -p "$work/data"
    { printf '{"premise":"'; head -c 10000000 /dev/zero | tr '\0' a; printf '","hypothesis":"b","label":0}\n'; } >"$work/data/train.jsonl"
    printf '{"premise":"a","hypothesis":"b","label":0}\n' >"$work/data/val.jsonl"
    $train --task cb --data "$work/data" --dry-run >"$work/out" 2>"$work/err"
    grep -q '1 training and 1 dev examples' "$work/err"
    tr '\n' ' ' <"$work/data/train.jsonl" | head -c 9999999 >"$work/data/val.jsonl"
    fails 65 'val.jsonl:1: not a JSON object' $train --task cb --data "$work/data"
}

@test "Parquet is refused with the command that converts it" {
    official
    mkdir -p "$work/o'brien/super_glue/cb"
    local file="$work/o'brien/super_glue/cb/train-00000-of-00001.parquet"
    printf 'PAR1' >"$file"
    fails 65 "train-00000-of-00001.parquet: Parquet is not read; convert it with: python3 -c 'import pandas" $train --task cb --data "$work/o'brien"
    # ./data and SEEDBED_DATA are not passed over for it
    SEEDBED_DATA="$work/o'brien" fails 65 'Parquet is not read' $train --task cb
    ${PYTHON:-python3} -c 'import pandas, pyarrow' 2>/dev/null || skip "running the command needs pandas and pyarrow"
    printf '{"premise":"a","hypothesis":"b","label":2,"idx":0}\n' >"$work/one.jsonl"
    ${PYTHON:-python3} -c 'import pandas, sys; pandas.read_json(sys.argv[1], lines=True).to_parquet(sys.argv[2])' "$work/one.jsonl" "$file"
    cp "$file" "${file/train/validation}"
    for split in train validation; do
        local status=0
        $train --task cb --data "$work/o'brien" --dry-run 2>"$work/err" || status=$?
        [ "$status" -eq 65 ]
        sed 's/.*convert it with: //' "$work/err" | sed "s|^python3|${PYTHON:-python3}|" | bash
    done
    counts cb "$work/o'brien" 1
}

@test "a missing file: the places, and what lies there" {
    mkdir -p "$work/data/glue/rte" "$work/data/x"
    printf 'sentence1\tsentence2\tlabel\na\tb\tentailment\n' >"$work/data/glue/rte/train.tsv"
    : >"$work/data/glue/rte/development.tsv"
    fails 66 'data: the validation split of rte is missing; looked for dev.tsv (or validation, val, dev in .tsv, .jsonl, .json or .csv) in glue/RTE, .*glue/rte has development.tsv, train.tsv; .*data has glue, x$' $train --task rte --data "$work/data"
    fails 66 'the train split of cb is missing; looked for train.jsonl .*superglue/CB, in CB and there itself; docs/TASKS.md.*x is empty$' $train --task cb --data "$work/data/x"
    fails 66 'a file; --data takes the folder' $train --task rte --data "$work/data/glue/rte/train.tsv"
    fails 66 'looked for dev_matched.tsv (or validation_matched' $train --task mnli --data "$work/data/glue/rte"
    for i in $(seq 12); do : >"$work/data/x/f$i"; done
    fails 66 'x has f1, f10, .* and 4 more$' $train --task cb --data "$work/data/x"
}

@test "the cases of ../shared" {
    local cases=../shared/cases/public
    [ -d $cases ] || skip "needs ../shared"
    counts rte $cases/blank-line-at-end-tsv/data 2
    counts boolq $cases/hf-export-integer-labels/data 2
    counts qqp $cases/qqp-row-broken-by-newline/data 2
    grep -q 'train.tsv: 1 row is left out.*lines 3-4' "$work/err"
}
