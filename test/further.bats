# What a run predicts beside its dev set: MNLI's mismatched dev set and the diagnostics of GLUE and SuperGLUE, from small files
# of ours in their official form.

load common

setup() {
    workplace
    digests="$build/digests"
    refused="$work/preds"
    appended="--preds $work/preds --quiet"
}

# mnli FILE N FIRST: N rows in MNLI's form, the last column decides; they differ by FIRST
mnli() {
    awk -v n="$2" -v first="$3" 'BEGIN {
        split("entailment neutral contradiction", label); split("red wet cold", word); split("dog boat fox", thing)
        print "index\tsentence1\tx\tsentence2\tlabel1\tgold_label"
        for (i = first; i < first + n; i++)
            print i "\tthe " thing[int(i / 3) % 3 + 1] " was red in the rain .\t\tit was " word[i % 3 + 1] " .\tneutral\t" label[(i + (i % 5 == 0)) % 3 + 1]
    }' >"$1"
}

# data: MNLI with both dev sets and AX in $work/data/glue, RTE with AX-b and AX-g in $work/data/superglue
data() {
    local d="$work/data" i
    mkdir -p "$d/glue/MNLI" "$d/glue/AX" "$d/superglue/RTE" "$d/superglue/AX-b" "$d/superglue/AX-g"
    mnli "$d/glue/MNLI/train.tsv" 48 0
    mnli "$d/glue/MNLI/dev_matched.tsv" 12 1
    mnli "$d/glue/MNLI/dev_mismatched.tsv" 15 2
    printf 'index\tsentence1\tsentence2\n0\tthe dog ran\tit was "red\n1\tthe fox ran\tit was wet\n' >"$d/glue/AX/AX.tsv"
    for i in 0 1 2 3; do
        printf '{"premise": "the dog %d ran", "hypothesis": "it was red", "label": "%sentailment", "idx": %d}\n' $i "$([ $((i % 2)) = 1 ] && echo not_)" $i
    done >"$d/superglue/RTE/train.jsonl"
    cp "$d/superglue/RTE/train.jsonl" "$d/superglue/RTE/val.jsonl"
    cp "$d/superglue/RTE/train.jsonl" "$d/superglue/AX-g/AX-g.jsonl"
    sed 's/premise/sentence1/; s/hypothesis/sentence2/; s/"idx"/"logic": "", "idx"/' "$d/superglue/RTE/train.jsonl" | head -3 >"$d/superglue/AX-b/AX-b.jsonl"
}

# run TASK OPTIONS...: trains quietly on $work/data
trained() {
    local task=$1
    shift
    "$train" --task $task --model tiny --data "$work/data" --preds "$work/p" --epochs 1 --quiet "$@" >"$work/out" 2>"$work/err" ||
        { cat "$work/err"; return 1; }
}

# header FILE: the text of a prediction file's header
header() {
    tail -c +9 "$1" | head -c "$(od -An -tu8 -N8 "$1" | tr -d ' ')"
}

@test "MNLI predicts both dev sets and AX, each in a file of its own" {
    data
    trained mnli --seed 3
    [ "$(ls "$work/p" | grep -c bin)" -eq 3 ]
    header "$work"/p/glue.mnli.validation.tiny.*.s3.bin | grep -q '"split":"validation"'
    header "$work"/p/glue.mnli.validation_mismatched.tiny.*.s3.bin >"$work/header"
    grep -q '"num_examples":"15"' "$work/header"
    grep -q '"split":"validation_mismatched"' "$work/header"
    grep -q "\"dataset_sha256\":\"$(sha256sum <"$work/data/glue/MNLI/dev_mismatched.tsv" | cut -d' ' -f1)\"" "$work/header"
    header "$work"/p/glue.ax.test.tiny.*.s3.bin >"$work/header"
    grep -q '"task":"ax"' "$work/header"
    grep -q '"metric":"mcc"' "$work/header"
    grep -q '"label_names":"\[\\"entailment\\",\\"neutral\\",\\"contradiction\\"\]"' "$work/header"
    grep -q '^mnli validation_mismatched: accuracy 0\.[0-9]* (loss' "$work/out"
    grep -q '^ax test: the labels are hidden$' "$work/out"
    [ "$(grep -c '^wrote:' "$work/out")" -eq 3 ]
    grep -q '"event":"further","task":"ax","split":"test","loss":null,"metric":"mcc","value":null' "$work"/p/*.jsonl
    trained mnli --seed 3
    [ "$(grep -c '^wrote:.*(same as before)$' "$work/out")" -eq 3 ]
}

@test "the plan names them; without their files the task is as it was" {
    data
    "$train" --task mnli --model tiny --data "$work/data" --dry-run 2>&1 |
        grep -x 'further   mnli validation_mismatched, 15 examples; ax test, 2 examples without labels'
    trained mnli
    cp "$work"/p/glue.mnli.validation.tiny.*.bin "$work/before"
    rm -r "$work/p" "$work/data/glue/AX" "$work/data/glue/MNLI/dev_mismatched.tsv"
    trained mnli
    [ "$(ls "$work/p" | grep -c bin)" -eq 1 ]
    cmp "$work"/p/*.bin "$work/before"
}

@test "the weights are those of the kept evaluation, which the matched set chooses" {
    data
    # the best evaluation of this run is not the last one
    trained mnli --epochs 6 --lr 1e-2 --select best --seed 2 --save "$work/m"
    "$digests" "$work"/p/glue.mnli.validation_mismatched.*.bin | grep logits >"$work/logits"
    "$digests" "$work"/p/glue.ax.test.*.bin | grep logits >>"$work/logits"
    rm -r "$work/p"
    trained mnli --epochs 6 --lr 1e-2 --select last --seed 2
    run cmp -s <("$digests" "$work"/p/glue.ax.test.*.bin | grep logits) <(tail -1 "$work/logits")
    [ "$status" -eq 1 ]
    rm -r "$work/p"
    trained mnli --epochs 0 --model "$work/m"
    "$digests" "$work"/p/glue.mnli.validation_mismatched.*.bin | grep logits | cmp - <(head -1 "$work/logits")
    "$digests" "$work"/p/glue.ax.test.*.bin | grep logits | cmp - <(tail -1 "$work/logits")
    # nor does it need --save
    rm -r "$work/p"
    trained mnli --epochs 6 --lr 1e-2 --select best --seed 2
    "$digests" "$work"/p/glue.ax.test.*.bin | grep logits | cmp - <(tail -1 "$work/logits")
}

@test "consistency takes each set for itself, and of hidden labels the agreement alone" {
    data
    for seed in 1 2 3; do trained mnli --seed $seed --epochs 3; done
    "$consistency" "$work"/p/*.bin >"$work/text"
    # ax: no score, no CCON; 2 examples
    grep -Eq '^ax +tiny +3 +[0-9-]+!? +n/a +n/a +[0-9.]+ \[.*\] +n/a$' "$work/text"
    grep -q '2 examples, mcc' "$work/text"
    [ "$(grep -c 'the labels are hidden: agreement alone' "$work/text")" -eq 1 ]
    [ "$(grep -c '^mnli' "$work/text")" -eq 2 ]
    grep -A1 '^mnli' "$work/text" | grep -q 'validation_mismatched'
    "$consistency" --format json "$work"/p/glue.ax.*.bin >"$work/json"
    grep -q '"labels": "hidden"' "$work/json"
    for key in CCON accuracy majority_rate phi vote_accuracy; do
        run grep -q "\"$key\":" "$work/json"
        [ "$status" -eq 1 ]
    done
    # only the matched set is MNLI of a published table
    "$consistency" --format md "$work"/p/*.bin | head -1 | grep -x '| | MNLI | ax |'
    "$consistency" --correlate public --format json "$work"/p/*.bin >"$work/json" 2>/dev/null
    run grep -c '"n": [2-9]' "$work/json"
    [ "$output" -eq 0 ]
    for seed in 1 2 3; do trained mnli --seed $seed --epochs 2; done
    recipes=$(ls "$work"/p/glue.ax.*s1.bin | sed 's/.*tiny\.\(.*\)\.s1.bin/\1/')
    "$consistency" --compare $recipes "$work"/p/*.bin | sed -n '/^ax, A - B/,/^mnli/p' >"$work/text"
    grep -Eq '^ +zeta +n/a +p n/a' "$work/text"
    grep -Eq '^ +CCON +n/a +p n/a' "$work/text"
    grep -Eq '^ +CON +[-+]' "$work/text"
}

@test "SuperGLUE's RTE predicts AX-b and AX-g, whose clusters are pairs" {
    data
    trained rte_superglue --seed 5
    header "$work"/p/superglue.axb.test.*.bin | grep -q '"num_examples":"3"'
    header "$work"/p/superglue.axg.test.*.bin | grep -q '"metric":"accuracy"'
    grep -q '^axb test: mcc ' "$work/out"
    grep -q '^axg test: accuracy 0\.' "$work/out"
    # 0, 0, 1, 1
    "$digests" "$work"/p/superglue.axg.test.*.bin | grep -q cluster
    LC_ALL=C grep -qaP '\x00{8}\x01\x00{3}\x01\x00{3}' "$work"/p/superglue.axg.test.*.bin
    # the gender parity score: how many of the two pairs have equal predictions, by run and as the mean of runs
    trained rte_superglue --seed 6
    trained rte_superglue --seed 7
    $consistency --format json "$work"/p/superglue.axg.*.bin | tr -d ' \n' >"$work/json"
    for seed in 5 6 7; do
        trained rte_superglue --seed $seed
        sed -n 's/^axg test: .*; gender parity \([01]\.[05]000\)$/\1/p' "$work/out"
    done >"$work/parity"
    [ "$(wc -l <"$work/parity")" -eq 3 ]
    sed 's/.*"gender_parity":\[\([^]]*\)\].*/\1/' "$work/json" | tr ',' '\n' | xargs printf '%.4f\n' | diff - "$work/parity"
    for format in text md html; do
        $consistency --format $format "$work"/p/superglue.axg.*.bin |
            grep -q "gender parity $(awk '{ sum += $1 } END { printf "%.2f", 100 * sum / NR }' "$work/parity")"
    done
    # labels that are hidden, as -1 or not there; parity needs none
    sed -i 's/"label": "[a-z_]*"/"label": -1/' "$work/data/superglue/AX-g/AX-g.jsonl"
    sed -i 's/"label": "[a-z_]*", //' "$work/data/superglue/AX-b/AX-b.jsonl"
    trained rte_superglue --seed 5
    grep -q '^axb test: the labels are hidden$' "$work/out"
    grep -q '^axg test: the labels are hidden; gender parity ' "$work/out"
}

@test "AX is found as the older script and the Hub name it; a diagnostic is not looked for in the folder itself by common names" {
    data
    mkdir "$work/data/glue/diagnostic"
    mv "$work/data/glue/AX/AX.tsv" "$work/data/glue/diagnostic/diagnostic.tsv"
    trained mnli
    grep -q '^ax test' "$work/out"
    rm -r "$work/data/glue/diagnostic"
    mkdir "$work/data/ax"
    printf '{"premise":"a","hypothesis":"b","label":-1,"idx":0}\n' >"$work/data/ax/test.jsonl"
    trained mnli
    grep -q '^ax test: the labels are hidden' "$work/out"
    # RTE's own test file is none of AX-b's and AX-g's, AX-b's beside it is
    mkdir "$work/one"
    cp "$work"/data/superglue/RTE/* "$work/one"
    cp "$work/one/val.jsonl" "$work/one/test.jsonl"
    trained rte_superglue --data "$work/one"
    run grep -q '^ax' "$work/out"
    [ "$status" -eq 1 ]
    cp "$work/data/superglue/AX-b/AX-b.jsonl" "$work/one"
    trained rte_superglue --data "$work/one"
    grep -q '^axb test: mcc' "$work/out"
}

@test "what cannot be predicted further is refused" {
    data
    fails 64 '^train_gpt: --task ax-b: AX-b has no training examples; --task rte_superglue predicts it too' "$train" --task ax-b --data "$work/data"
    fails 64 '^train_gpt: --task diagnostic: AX has no .*; --task mnli' "$train" --task diagnostic
    cp "$work/data/glue/AX/AX.tsv" "$work/ax"
    printf 'index\tsentence1\thypo\n0\ta\tb\n' >"$work/data/glue/AX/AX.tsv"
    fails 65 "AX.tsv:1: there is no column 'sentence2' or 'hypothesis'; found: 'index', 'sentence1', 'hypo'" "$train" --task mnli --data "$work/data"
    : >"$work/data/glue/AX/AX.tsv"
    fails 65 'AX.tsv: no examples' "$train" --task mnli --data "$work/data"
    cp "$work/ax" "$work/data/glue/AX/AX.tsv"
    printf 'index\tsentence1\tx\tsentence2\tlabel1\tgold_label\n0\ta\t\tb\t\t-\n' >"$work/data/glue/MNLI/dev_mismatched.tsv"
    fails 65 "dev_mismatched.tsv:2: the label '-' is none of entailment, neutral, contradiction" "$train" --task mnli --data "$work/data"
    sed -i '2s/"label": "[a-z_]*"/"label": -1/' "$work/data/superglue/AX-b/AX-b.jsonl"
    fails 65 "AX-b.jsonl:2: the label '-1' is of another form than those above, which are names" "$train" --task rte_superglue --data "$work/data"
    sed -i '1s/"label": "[a-z_]*"/"label": -1/; 2s/-1/"entailment"/' "$work/data/superglue/AX-b/AX-b.jsonl"
    fails 65 "AX-b.jsonl:2: the label 'entailment' is of another form than those above, which are hidden" "$train" --task rte_superglue --data "$work/data"
    # training and dev labels may not be hidden
    sed -i 's/"label": "[a-z_]*"/"label": -1/' "$work/data/superglue/RTE/val.jsonl"
    fails 65 'val.jsonl:1: the label -1 stands for a hidden one' "$train" --task rte_superglue --data "$work/data"
    # a folder has the name of one of the files
    data
    trained mnli
    rm "$work"/p/glue.ax.*.bin
    mkdir "$work/p/$(basename "$(sed -n 's/^wrote: \(.*glue\.ax.*\)/\1/p' "$work/out")")"
    run "$train" --task mnli --model tiny --data "$work/data" --preds "$work/p" --epochs 1 --quiet --dry-run
    [ "$status" -eq 73 ]
    [[ "$output" == *"glue.ax.test.tiny."*"a folder has that name"* ]]
}

@test "MultiRC closes with F1a of answers and exact match of questions" {
    mkdir -p "$work/data/MultiRC"
    # two questions of the same words: all answers get one prediction, which is right for one question
    printf '{"idx": 4, "passage": {"text": "a", "questions": [{"question": "b?", "idx": 0, "answers": [{"text": "c", "idx": 0, "label": 1}, {"text": "c", "idx": 1, "label": 1}]}, {"question": "b?", "idx": 1, "answers": [{"text": "c", "idx": 2, "label": 0}, {"text": "c", "idx": 3, "label": 0}]}]}}\n' |
        tee "$work/data/MultiRC/train.jsonl" >"$work/data/MultiRC/val.jsonl"
    for seed in 1 2 3; do
        trained multirc --seed $seed
        grep -Ex 'answers: f1a 0\.(6667|0000); questions: exact match 0\.5000' "$work/out" >"$work/line$seed"
    done
    "$consistency" "$work"/p/*.bin | grep -Ex '  answers: f1a (0\.00|22\.22|44\.44|66\.67); questions: exact match 50\.00'
    # by run they are the closing lines' values
    "$consistency" --format json "$work"/p/*.bin | tr -d ' \n' | sed 's/.*"f1a":\[\([^]]*\)\],"em".*/\1/' | tr ',' '\n' >"$work/values"
    while read -r value; do printf 'answers: f1a %.4f; questions: exact match 0.5000\n' "$value"; done <<<"$(cat "$work/values")" >"$work/expected"
    cat "$work"/line[123] | cmp - "$work/expected"
    # in the other views, and by name: what is shown, written, and selects
    for format in md html; do
        "$consistency" --format $format "$work"/p/*.bin | grep -Eq 'answers: f1a (0\.00|22\.22|44\.44|66\.67); questions: exact match 50\.00'
    done
    rm -r "$work/p"
    for seed in 1 2 3; do
        trained multirc --seed $seed --metric em --select best
        grep -q '^seed .: dev em 0.5000 ' "$work/out"
        trained multirc --seed $seed --metric f1a --select best
        [ "$(grep -Eo 'dev f1a 0\.[0-9]*' "$work/out" | cut -d ' ' -f 3)" = "$(sed -n 's/^answers: f1a \([^;]*\);.*/\1/p' "$work/out")" ]
        cat "$work/out" >>"$work/closing"
    done
    "$consistency" --format json "$work"/p/*.bin >"$work/json"
    grep -q '"metric": *"f1a"' "$work/json"
    grep -q '"metric": *"em"' "$work/json"
    tr -d ' \n' <"$work/json" | grep -Eq '"zeta":0.5[,0]'
    "$consistency" "$work"/p/*.bin | grep -Eq '\(em\)|, em|  em '
    fails 64 'metric f1a with --task rte: choose accuracy, mcc, macro-f1 or f1' "$train" --task rte --data builtin --metric f1a
    fails 64 'metric mcc with --task stsb: choose pearson or spearman' "$train" --task stsb --data builtin --metric mcc
    fails 64 'metric f1 with --task cb: choose accuracy, mcc or macro-f1' "$train" --task cb --data builtin --metric f1
    [ "$("$train" --task rte --data builtin --metric accuracy --dry-run --verbose 2>&1 | grep sha256)" = "$("$train" --task rte --data builtin --dry-run --verbose 2>&1 | grep sha256)" ]
    # imports need MultiRC's ids
    for run in 1 2; do mkdir -p "$work/i/run$run"; printf 'id,label,prediction\np0-q0-a0,1,1\np0-q0-a1,0,%d\np0-q1-a0,0,0\n' $((run - 1)) >"$work/i/run$run/predict_results_multirc.csv"; done
    "$consistency" --metric em --format json "$work"/i/run?/*.csv | tr -d ' \n' | grep -q '"zeta":0.75'
    sed -i 's/^p0-q/q/' "$work"/i/run?/*.csv
    run "$consistency" --metric em "$work"/i/run?/*.csv
    [ "$status" -eq 65 ]
    [[ "$output" == *"metric em needs ids as MultiRC's, p0-q0-a0"* ]]
    # no other task has such a line
    trained multirc --data builtin
    run grep -q '^answers' "$work/out"
    [ "$status" -eq 1 ]
}
