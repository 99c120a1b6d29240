# Which evaluation is written: --select, --patience. Run by test/run.sh; PROGRAMS is where the programs are.

load common

setup() {
    workplace
    refused="$work/preds"
    appended="--preds $work/preds --quiet --threads 1"
    # evaluations that go up and down, at a constant rate: training that ends earlier is the same up to there
    short="--task boolq --model tiny --data builtin --threads 1 --max-train 192 --max-eval 61 --epochs 8 --lr 5e-3 --warmup 0 --schedule constant"
}

# ran NAME OPTIONS...: a run into $work/NAME
ran() {
    local name=$1
    shift
    $train $short --preds "$work/$name" "$@" >"$work/$name.out" 2>"$work/$name.err" || { cat "$work/$name.err"; return 1; }
}

# values NAME KEY: of all evaluations in the log
values() {
    sed -n "s/.*\"event\":\"epoch\".*\"$2\":\([-0-9.e+]*\).*/\1/p" "$work/$1"/*.jsonl
}

# examples NAME: what consistency lists of each, in the order of the ids
examples() {
    $consistency --format csv --examples all "$work/$1" 2>/dev/null | cut -d, -f6,8- | sort
}

# metadata NAME TEXT: whether the prediction file has it
metadata() {
    grep -aqF -e "$2" "$work/$1"/*.bin || { head -c 3000 "$work/$1"/*.bin | tr -d '\0'; return 1; }
}

@test "--select half: the best evaluation of one half is written for the other" {
    for seed in 1 2 3 4 5 6; do
        rm -rf "$work/half"
        ran half --select half --seed $seed
        # the first of those with the best metric
        first=$(values half selection | awk 'NR == 1 || $1 > most { most = $1; at = NR } END { print at }')
        other=$(values half value | awk 'NR == 1 || $1 > most { most = $1; at = NR } END { print at }')
        [ "$first" -eq "$other" ] || break
    done
    [ "$first" -ne "$other" ] # what is reported would have chosen another one
    metadata half "\"checkpoint\":\"epoch:$first\""
    metadata half '"num_examples":"31"'
    metadata half '"part":"half"'
    metadata half '\"select\":\"half\"'
    reported=$(values half value | sed -n "${first}p")
    chosen=$(values half selection | sed -n "${first}p")
    grep -q "^seed $seed: dev accuracy $(printf %.4f "$reported") " "$work/half.out"
    grep -q "^half: the other half of dev chose epoch:$first, with accuracy $(printf %.4f "$chosen")\$" "$work/half.out"
    grep -q '^task .*: 192 training and 31 dev examples, built-in sample; the other half of dev, 30, selects$' "$work/half.err"
    grep -q 'the best evaluation on half of dev$' "$work/half.err"
    grep -q "^epoch $first: .* dev accuracy $(printf %.4f "$reported"), on the half that selects $(printf %.4f "$chosen")\$" "$work/half.err"
    # the run is the same, the two halves are the whole
    ran whole --select best --seed $seed
    paste <(values half value) <(values half selection) <(values whole value) |
        awk '{ d = 31 * $1 + 30 * $2 - 61 * $3; if (d * d > 1e-9 || NF != 3) exit 1 }'
    # what is written are predictions of training that ends there
    ran last --select last --seed $seed --epochs "$first"
    examples half | cut -d, -f1 | grep -v '^id$' >"$work/ids"
    [ "$(wc -l <"$work/ids")" -eq 31 ]
    examples last | grep -wFf "$work/ids" | cut -d, -f1,3- >"$work/a"
    examples half | grep -wFf "$work/ids" | cut -d, -f1,3- | cmp - "$work/a"
    # another seed, another task's length of training: the same half
    ran again --select half --seed 77 --max-steps 2
    examples again | cut -d, -f1 | grep -v '^id$' | cmp - "$work/ids"
}

@test "consistency says that N is half of the dev set, and joins it with the whole only where asked" {
    # three of them, of different evaluations: as they chose
    ran half --select half --seeds 1-3 --epochs 3
    [ "$(cat "$work"/half/*.bin | grep -ao '"checkpoint":"epoch:[0-9]"' | sort -u | wc -l)" -gt 1 ]
    ran last --seeds 1-3 --epochs 2
    $consistency "$work/half" >"$work/out" 2>/dev/null
    grep -q '^  31 examples (half of dev), accuracy' "$work/out"
    run grep 'differ in checkpoint' "$work/out"
    [ "$status" -eq 1 ]
    $consistency --format json "$work/half" >"$work/json" 2>/dev/null
    grep -q '"part": *"half"' "$work/json"
    grep -q '"N": *31' "$work/json"
    $consistency --format md "$work/half" "$work/last" 2>/dev/null | grep -q 'In 1 of them the examples are one half of the dev set'
    run $consistency "$work/last"
    [[ "$output" == *"  61 examples, accuracy"* ]]
    status=0
    $consistency --compare "$work/half" "$work/last" "$work/half" "$work/last" >/dev/null 2>"$work/err" || status=$?
    [ "$status" -eq 65 ]
    grep -q 'are common.*--intersect' "$work/err"
    $consistency --intersect --compare "$work/half" "$work/last" "$work/half" "$work/last" >"$work/out" 2>/dev/null
    grep -q ' 31 examples' "$work/out"
}

@test "half and the weights: those of the chosen evaluation are saved and predict further" {
    first=$(ran half --select half --seed 1 --save "$work/m" && sed -n 's/.*chose epoch:\([0-9]*\),.*/\1/p' "$work/half.out")
    ran last --seed 1 --epochs "$first" --save "$work/l"
    cmp "$work/m/model.safetensors" "$work/l/model.safetensors"
}

@test "--patience ends a run at the Nth evaluation in a row that is not better" {
    ran all --select best --seed 2
    for patience in 1 2 3; do
        ran p$patience --select best --seed 2 --patience $patience
        # by the log of the whole run
        last=$(values all value | awk -v n=$patience 'NR == 1 || $1 > most { most = $1; at = NR } NR - at == n { print NR; exit }')
        [ "$last" -lt 8 ]
        values p$patience value | cmp - <(values all value | head -"$last")
        [ "$(values p$patience step | tail -1)" -eq $((last * 12)) ]
        grep -q "\"event\":\"early\",\"step\":$((last * 12)),\"steps\":96,\"patience\":$patience}" "$work"/p$patience/*.jsonl
        grep -q "^ended early: behind step $((last * 12)) of 96, the last $patience evaluations\? w.* not better (--patience)\$" "$work/p$patience.out"
        metadata p$patience "\"steps\":\"$((last * 12))\""
        metadata p$patience '"planned_steps":"96"'
        metadata p$patience "\\\"patience\\\":$patience"
        grep -q "ends after $patience not better\$" "$work/p$patience.err"
    done
    # never, where it cannot be: the same file but for the recipe
    ran none --select best --seed 1 --patience 6
    run grep -aq planned_steps "$work"/none/*.bin
    [ "$status" -eq 1 ]
    run grep -q 'ended early' "$work/none.out"
    [ "$status" -eq 1 ]
    # the half that selects decides
    ran half --select half --seed 4 --patience 3
    selection=$(values half selection | awk 'NR == 1 || $1 > most { most = $1; at = NR } END { print NR - at }')
    [ "$selection" -eq 3 ] || [ "$(values half value | wc -l)" -eq 8 ]
    # a recipe may have it
    echo '{"base": "hf", "settings": {"select": "best", "patience": 2}}' >"$work/r.json"
    $train --task rte --data builtin --dry-run --recipe "$work/r.json" 2>&1 | grep -q 'the best evaluation; ends after 2 not better$'
}

@test "selection and patience that cannot be are refused, what changes nothing is named" {
    fails 64 'select halb: choose last, best or half' $train --task rte --data builtin --select halb
    fails 64 'select half with --eval-every 0: there is one evaluation' $train --task rte --data builtin --select half --eval-every 0
    fails 64 'select half with --task lm, which reports no examples' $train --task lm --data README.md --select half
    fails 64 'builtin sample: --select half: there is one example, which has no half' $train --task rte --data builtin --select half --max-eval 1
    fails 64 'patience 2 with --select last: no evaluation is better than another; add --select best or half' $train --task rte --data builtin --patience 2
    fails 64 'patience 2.5: not a whole number' $train --task rte --data builtin --patience 2.5 --select best
    local plan="--task rte --data builtin --dry-run --max-train 64 --max-eval 32"
    $train $plan --select half --epochs 1 2>&1 | grep -q '^NOTE: --select half selects nothing: there is one evaluation'
    $train $plan --select best --patience 2 --epochs 3 2>&1 | grep -q '^NOTE: --patience 2 changes nothing: the run has 3 evaluations'
    run $train $plan --select best --patience 2 --epochs 4
    [[ "$output" != *"changes nothing"* ]]
    # MultiRC's paragraphs stay whole
    mkdir -p "$work/data"
    for split in train val; do
        echo '{"passage": {"text": "a dog ran", "questions": [{"question": "who ran", "answers": [{"text": "a dog", "label": 1, "idx": 0}, {"text": "a fox", "label": 0, "idx": 1}], "idx": 0}]}, "idx": 0}' >"$work/data/$split.jsonl"
    done
    fails 64 'val.jsonl: --select half: there is one paragraph, which has no half' $train --task multirc --data "$work/data" --select half
}
