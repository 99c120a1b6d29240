# Predictions of every evaluation and the learning curves of them: --epoch-preds. Run by test/run.sh; PROGRAMS is where the
# programs are.

load common

setup() {
    workplace
    refused="$work/preds"
    appended="--preds $work/preds --quiet --threads 1"
    # at a constant rate training that ends earlier is the same up to there
    short="--task boolq --model tiny --data builtin --threads 1 --max-train 128 --max-eval 50 --lr 5e-3 --warmup 0 --schedule constant --quiet"
}

# report FOLDER... [OPTION...]: as one line of JSON without spaces
report() {
    $consistency --format json "$@" 2>/dev/null | tr -d ' \n'
}

# curve NAME PLACE: of the report on standard input
curve() {
    sed -n "s/.*\"curve\":{[^}]*\"$1\":\[\([^]]*\)\].*/\1/p" | cut -d, -f"$2"
}

# value NAME: of the group, from the report on standard input
value() {
    sed "s/\"curve\":{[^}]*}//; s/\"without_degenerate\":{[^}]*}//" | grep -o "\"$1\":[^,}]*" | head -1 | cut -d: -f2
}

# tensor FILE NAME: its digest
tensor() {
    "$build/digests" "$1" | grep "^$2 " | cut -d' ' -f2
}

@test "--epoch-preds writes every evaluation; all else in the file is as without" {
    $train $short --epochs 4 --seed 3 --epoch-preds --preds "$work/e" >/dev/null 2>&1
    $train $short --epochs 4 --seed 3 --preds "$work/p" >/dev/null 2>&1
    [ "$(basename "$work"/e/*.bin)" = "$(basename "$work"/p/*.bin)" ]
    "$build/digests" "$work"/e/*.bin | grep -v '^epoch' | cmp - <("$build/digests" "$work"/p/*.bin)
    grep -aq '"epoch_preds":"yes"' "$work"/e/*.bin
    grep -aq '"epoch_pred":{"dtype":"I32","shape":\[4,50\]' "$work"/e/*.bin
    grep -aq '"epoch_logits":{"dtype":"F32","shape":\[4,50,2\]' "$work"/e/*.bin
    # one evaluation: its predictions are those of the file
    $train $short --epochs 1 --seed 3 --epoch-preds --preds "$work/one" >/dev/null 2>&1
    [ "$(tensor "$work"/one/*.bin epoch_pred)" = "$(tensor "$work"/one/*.bin pred)" ]
    [ "$(tensor "$work"/one/*.bin epoch_logits)" = "$(tensor "$work"/one/*.bin logits)" ]
    # the same bytes on every device
    $train $short --epochs 4 --seed 3 --epoch-preds --preds "$work/fence" --device fence >/dev/null 2>&1
    cmp "$work"/e/*.bin "$work"/fence/*.bin
    # nothing trained: the evaluation of step 0
    $train $short --epochs 0 --seed 3 --epoch-preds --preds "$work/zero" >/dev/null 2>&1
    report "$work/zero" | grep -q '"step":\[0\]'
}

@test "the curves have the numbers of runs that end there" {
    $train $short --epochs 4 --seeds 1-4 --epoch-preds --preds "$work/e" >/dev/null 2>&1
    report "$work/e" >"$work/json"
    [ "$(curve step 1-9 <"$work/json")" = 8,16,24,32 ]
    for epoch in 2 4; do
        $train $short --epochs $epoch --seeds 1-4 --preds "$work/p$epoch" >/dev/null 2>&1
        report "$work/p$epoch" >"$work/ended"
        for name in zeta VAR CON CCON; do
            [ "$(curve $name $epoch <"$work/json")" = "$(value $name <"$work/ended")" ]
        done
    done
    [ "$(curve CON 2 <"$work/json")" != "$(curve CON 4 <"$work/json")" ]
    # CSV has every number, text the first and the last one
    $consistency --format csv "$work/e" 2>/dev/null | grep ',curve step ' >"$work/csv"
    [ "$(wc -l <"$work/csv")" -eq 16 ]
    for name in zeta VAR CON CCON; do
        [ "$(printf '%.12f\n' "$(curve $name 2 <"$work/json")")" = "$(printf '%.12f\n' "$(sed -n "s/.*,curve step 16.$name,\([^,]*\),,,number,4,50/\1/p" "$work/csv")")" ]
        awk -v a="$(curve $name 1 <"$work/json")" -v b="$(curve $name 4 <"$work/json")" -v n=$name 'BEGIN { printf "%s .... %.2f to %.2f\n", n, 100 * a, 100 * b }'
    done >"$work/shown"
    $consistency --ascii "$work/e" 2>/dev/null | grep -A 3 '^  training' >"$work/text"
    grep -q ', step 8 to 32$' "$work/text"
    sed 's/^ *\(training\)\? *//; s/, step.*//; s/^\([a-zA-Z]*\)  *[^ ]* /\1 .... /' "$work/text" | diff - "$work/shown"
    # --intersect takes the common examples of the evaluations too
    $train $short --epochs 4 --seeds 5-7 --epoch-preds --max-eval 31 --preds "$work/few" >/dev/null 2>&1
    for seed in 5 6 7; do
        $train $short --epochs 4 --seed $seed --epoch-preds --preds "$work/many" >/dev/null 2>&1
    done
    report --intersect --compare "$work/few" "$work/many" "$work/few" "$work/many" >"$work/json"
    [ "$(grep -o '"CON":\[[^]]*\]' "$work/json" | sort -u | wc -l)" -eq 1 ]
    [ "$(grep -o '"CON":\[[^]]*\]' "$work/json" | wc -l)" -eq 2 ]
}

@test "curves of halves, of runs that end early, of regressions; and none where a run lacks them" {
    $train $short --epochs 6 --seeds 1-3 --epoch-preds --select half --patience 2 --preds "$work/h" >/dev/null 2>&1
    grep -q '"event":"early"' "$work"/h/*.jsonl
    grep -aq '"epoch_pred":{"dtype":"I32","shape":\[[3-6],25\]' "$work"/h/*.bin
    report "$work/h" | grep -q '"step":\[8,16,24'
    $train $short --task stsb --epochs 3 --seeds 1-3 --epoch-preds --preds "$work/r" >/dev/null 2>&1
    report "$work/r" >"$work/json"
    [ "$(curve zeta 3 <"$work/json")" = "$(value zeta <"$work/json")" ]
    [ "$(curve CON 3 <"$work/json")" = null ]
    $consistency --format html "$work/r" 2>/dev/null | grep -q '>Score over training'
    $train $short --epochs 2 --seeds 1,2 --epoch-preds --preds "$work/m" >/dev/null 2>&1
    $train $short --epochs 2 --seed 3 --preds "$work/m" >/dev/null 2>&1
    report "$work/m" | grep -q '"2of3runshavetheirevaluations:nolearningcurves"'
    report "$work/m" | grep -qv '"curve"'
}

@test "the HTML report draws the curves, with axes" {
    $train $short --epochs 4 --seeds 1-3 --epoch-preds --preds "$work/e" >/dev/null 2>&1
    $consistency --format html "$work/e" >"$work/html" 2>/dev/null
    grep -q '>Score and agreement over training: BoolQ, tiny</title>' "$work/html"
    grep -q '>VAR over training: BoolQ, tiny</title>' "$work/html"
    [ "$(grep -c '>training step</text>' "$work/html")" -eq 2 ]
    grep -q '<text class=d x=4 y=10>%</text>' "$work/html"
    grep -q '<text class=d x=4 y=10>points</text>' "$work/html"
    # four points on each of four lines
    [ "$(grep -o 'r=2 />' "$work/html" | wc -l)" -eq 16 ]
    # the first and the last step: 8 and 32 of an axis to 40
    grep -q 'M83.0 [0-9.]*L121.0 [0-9.]*L159.0 [0-9.]*L197.0 [0-9.]*"/>' "$work/html"
    $train $short --epochs 1 --seeds 1-3 --preds "$work/p" >/dev/null 2>&1
    run $consistency --format html "$work/p"
    [[ "$output" != *"over training"* ]]
}

@test "where no predictions are written --epoch-preds is refused; a study without them is another one" {
    "$build/make_llama" "$work/llama" >/dev/null
    fails 64 'epoch-preds with --task lm: no predictions are written' $train --task lm --epoch-preds --data README.md --model "$work/llama"
    fails 64 'trace-until with --epoch-preds: no predictions' $train --task rte --data builtin --epoch-preds --trace "$work/t" --trace-until 1
    # a study of runs without them is another one
    study="study --task rte --seeds 1,2 --model tiny --data builtin --max-train 16 --max-eval 16 --epochs 1 --quiet --out $work/s"
    $train $study >/dev/null 2>&1
    appended=
    fails 78 'the study of this folder has other settings for rte, model tiny: epoch_preds absent, now "yes"' $train $study --epoch-preds
}
