# Classes of trained heads, and what a saved folder holds. Run by test/run.sh; PROGRAMS is where the programs are.

load common

setup() {
    workplace
    train="$programs/train_gpt --threads 1"
    refused="$work/none"
    appended="--preds $refused"
    sizes="--data builtin --max-train 32 --max-eval 32 --epochs 1 --preds $work/preds"
    llama="$work/llama"
}

# trained TASK FOLDER OPTIONS...: a model with a head for the task
trained() {
    local task=$1 folder=$2
    shift 2
    $train --task "$task" --model tiny $sizes --quiet --save "$folder" "$@" >"$work/out" 2>&1
}

# name FOLDER NAME...: the classes of config.json
name() {
    local file=$1/config.json text='' i=0
    shift
    for name in "$@"; do
        text="$text${text:+, }\"$i\": \"$name\""
        i=$((i + 1))
    done
    tr '\n' ' ' <"$file" | sed "s/\"label2id\": {[^}]*},//; s/\"id2label\": {[^}]*}/\"id2label\": {$text}/" >"$file.new"
    mv "$file.new" "$file"
}

# score OPTIONS...: metric and loss on the dev data
score() {
    $train $sizes --epochs 0 "$@" >"$work/out" 2>"$work/err" && sed -n 's/^seed 42: //p' "$work/out"
}

# go_on FROM TO TASK: the same weights, through a run that does not change them
go_on() {
    $train --task "$3" --model "$1" $sizes --max-steps 1 --lr 0 --save "$2" >"$work/out" 2>"$work/err"
}

holds() {
    local folder=$1
    shift
    diff <(ls -A "$folder") <(printf '%s\n' "$@" | LC_ALL=C sort)
}

@test "a head's rows go by their names: evaluated, gone on with, saved" {
    trained mnli "$work/m"
    plain=$(score --task mnli --model "$work/m")
    ! grep -q '^labels' "$work/err" || false
    # three times the same cycle is the identity
    cp -r "$work/m" "$work/c0"
    for i in 1 2 3; do
        name "$work/c$((i - 1))" NEUTRAL Contra_diction ' entailment'
        [ $i -ne 1 ] || score --task mnli --model "$work/c0" >"$work/cycled"
        go_on "$work/c$((i - 1))" "$work/c$i" mnli
        [ "$(grep -c "^labels    the model's head has NEUTRAL" "$work/err")" -eq 1 ]
        tr -d ' \n' <"$work/c$i/config.json" | grep -q '"id2label":{"0":"entailment","1":"neutral","2":"contradiction"}'
        tr -d ' \n' <"$work/c$i/config.json" | grep -q '"label2id":{"contradiction":2,"entailment":0,"neutral":1}'
    done
    cmp "$work/m/model.safetensors" "$work/c3/model.safetensors"
    ! cmp -s "$work/m/model.safetensors" "$work/c1/model.safetensors" || false
    [ "$(cat "$work/cycled")" != "$plain" ]
    # what was saved is what was evaluated, and the names in their own order change nothing
    name "$work/c1" entailment neutral contradiction
    [ "$(score --task mnli --model "$work/c1")" = "$(cat "$work/cycled")" ]
    name "$work/m" entailment neutral contradiction
    [ "$(score --task mnli --model "$work/m")" = "$plain" ]
    # two classes: the accuracy of swapped rows is what is missing to 1
    trained qnli "$work/q"
    first=$(score --task qnli --model "$work/q" | cut -d ' ' -f 3)
    name "$work/q" non-entailment Entailment
    score --task qnli --model "$work/q" | awk -v a="$first" '{ exit !($3 + a > 0.9999 && $3 + a < 1.0001) }'
}

@test "a head without names goes by position, said once; one of a base that has none does not matter" {
    trained mnli "$work/m"
    plain=$(score --task mnli --model "$work/m")
    name "$work/m" LABEL_0 LABEL_1 LABEL_2
    [ "$(score --task mnli --model "$work/m" --seeds 42,43 --resume never)" = "$plain" ]
    [ "$(grep -c "^labels    the model's head does not name its classes; its rows are taken as entailment, neutral" "$work/err")" -eq 1 ]
    score --task mnli --model "$work/m" --quiet >/dev/null
    ! grep -q '^labels' "$work/err" || false
    # regression, choice, and a model without a head
    trained stsb "$work/s"
    name "$work/s" LABEL_0
    score --task stsb --model "$work/s" >/dev/null
    ! grep -q '^labels' "$work/err" || false
    trained copa "$work/choice"
    ! grep -q id2label "$work/choice/config.json" || false
    score --task copa --model "$work/choice" >/dev/null
    "$build/make_llama" "$llama"
    sed -i 's/"model_type"/"id2label": {"0": "B-PER", "1": "I-PER"}, "model_type"/' "$llama/config.json"
    score --task rte --model "$llama" >/dev/null
    ! grep -q '^labels' "$work/err" || false
}

@test "names that are no classes of the task, and heads of another size: 65, or --init-head" {
    trained sst2 "$work/m"
    fails 65 "config.json: id2label calls the classes of the head negative, positive; rte has entailment, not_entailment" \
        $train --task rte --model "$work/m" --data builtin --quiet
    name "$work/m" LABEL_1 LABEL_0
    fails 65 'id2label calls' $train --task sst2 --model "$work/m" --data builtin --quiet
    name "$work/m" positive positive
    fails 65 'id2label calls' $train --task sst2 --model "$work/m" --data builtin --quiet
    score --task rte --model "$work/m" --init-head >"$work/one"
    grep -q '^made from the seed, .*: classifier.weight, classifier.bias$' "$work/err"
    score --task rte --model "$work/m" --init-head --seed 7 >"$work/two" || true
    ! cmp -s "$work/one" "$work/two" || false
    fails 65 "shape \[2, 64\].*--init-head" $train --task mnli --model "$work/m" --data builtin --quiet
    score --task mnli --model "$work/m" --init-head >/dev/null
    grep -q '^made from the seed, .*: classifier.weight, classifier.bias$' "$work/err"
}

@test "adapters say what they were trained for: another task is warned of, rows go by name" {
    "$build/make_llama" "$llama"
    lora="$train --model $llama $sizes --lora"
    $lora --task rte --save "$work/rte" >"$work/out" 2>"$work/err"
    $lora --task mnli --save "$work/mnli" >"$work/out" 2>"$work/err"
    own=$(sed -n 's/^seed 42: //p' "$work/out")
    [ "$(score --task mnli --model "$llama" --adapter "$work/mnli")" = "$own" ]
    ! grep -qE '^(WARNING|labels)' "$work/err" || false
    score --task sst2 --model "$llama" --adapter "$work/rte" --quiet >/dev/null
    grep -q '^WARNING: the head of the adapter was trained for rte (entailment, not_entailment), not for sst2 (negative, positive); its rows are taken in their order' "$work/err"
    score --task sst2 --model "$llama" --adapter "$work/rte" --init-head >/dev/null
    grep -q 'WARNING: .*; it is made from the seed' "$work/err"
    score --task qnli --model "$llama" --adapter "$work/rte" >/dev/null
    grep -q 'WARNING: .* trained for rte .*, not for qnli .*; its rows go by their names' "$work/err"
    # the same predictions by name, whatever order the file has
    score --task cb --model "$llama" --adapter "$work/mnli" >/dev/null
    grep -q 'WARNING: .*; its rows go by their names' "$work/err"
    # an older one, or PEFT's, has no names
    sed -i 's/"label_names"/"label-names"/; s/"task"/"tusk"/' "$work/mnli/adapter_model.safetensors"
    [ "$(score --task mnli --model "$llama" --adapter "$work/mnli")" = "$own" ]
    grep -q "^labels    the adapter's head does not name its classes" "$work/err"
}

@test "an adapter's head stands in the order that the base's config.json names, and merge writes the names" {
    trained mnli "$work/m"
    name "$work/m" contradiction neutral entailment
    $train --task mnli --model "$work/m" $sizes --lora --save "$work/a" >"$work/out" 2>"$work/err"
    own=$(sed -n 's/^seed 42: //p' "$work/out")
    grep -aq 'label_names.*contradiction.*neutral.*entailment' "$work/a/adapter_model.safetensors"
    [ "$(score --task mnli --model "$work/m" --adapter "$work/a")" = "$own" ]
    cp -r "$work/a" "$work/peft"
    sed -i 's/"label_names"/"label-names"/; s/"task"/"tusk"/' "$work/peft/adapter_model.safetensors"
    [ "$(score --task mnli --model "$work/m" --adapter "$work/peft")" = "$own" ]
    for adapter in a peft; do
        $merge "$work/m" "$work/$adapter" "$work/merged" >"$work/out"
        tr -d ' \n' <"$work/merged/config.json" | grep -q '"id2label":{"0":"contradiction","1":"neutral","2":"entailment"}'
        [ "$(score --task mnli --model "$work/merged" | cut -d ' ' -f 1-3)" = "$(cut -d ' ' -f 1-3 <<<"$own")" ]
    done
    # a base with a head of another size takes the adapter's
    trained rte "$work/two"
    rm -rf "$work/b"
    $train --task mnli --model "$work/two" $sizes --init-head --lora --save "$work/b" >"$work/out" 2>"$work/err"
    $merge "$work/two" "$work/b" "$work/merged" >"$work/out"
    tr -d ' \n' <"$work/merged/config.json" | grep -q '"id2label":{"0":"entailment","1":"neutral","2":"contradiction"}'
    status=0
    $merge "$work/two" "$work/b" "$work/b" 2>"$work/err" || status=$?
    [ "$status" -eq 64 ]
    grep -q 'is the folder of the adapter' "$work/err"
}

@test "a saved folder has every tokenizer file and nothing of an older model" {
    "$build/make_llama" "$llama"
    echo '{"padding_side": "left", "model_max_length": 64}' >"$llama/tokenizer_config.json"
    echo 'a template' >"$llama/chat_template.jinja"
    side="chat_template.jinja tokenizer.json tokenizer_config.json"
    old="model.safetensors.index.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors pytorch_model.bin vocab.txt merges.txt adapter_config.json adapter_model.safetensors"
    other="README.md model-1.safetensors notes.txt data.bin"
    run="$train --task rte --model $llama $sizes --quiet"
    mkdir "$work/full" "$work/lora" "$work/merged"
    for folder in full lora merged; do (cd "$work/$folder" && for f in $old $other; do echo old >"$f"; done && mkdir pytorch_model.bin.index.json); done
    $run --save "$work/full" >"$work/out" 2>"$work/err"
    holds "$work/full" config.json model.safetensors pytorch_model.bin.index.json $side $other
    [ "$(grep -c '^removed, of an older model: ' "$work/err")" -eq 8 ]
    for f in $side; do cmp "$llama/$f" "$work/full/$f"; done
    $run --save "$work/full" >"$work/out" 2>"$work/err"
    ! grep -q removed "$work/err" || false
    echo old >"$work/lora/config.json"
    $run --lora --save "$work/lora" >"$work/out" 2>"$work/err"
    holds "$work/lora" adapter_config.json adapter_model.safetensors pytorch_model.bin.index.json $side $other
    $merge "$llama" "$work/lora" "$work/merged" >"$work/out" 2>"$work/err"
    holds "$work/merged" config.json model.safetensors pytorch_model.bin.index.json $side $other
    # a run that fails leaves the older one as it was
    echo older >"$work/full/vocab.txt"
    status=0
    $run --lr 1e30 --clip 0 --max-steps 3 --save "$work/full" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" -eq 79 ]
    [ -e "$work/full/vocab.txt" ]
    # with --seeds: the folder below must not be the base
    mkdir -p "$work/many"
    cp -r "$llama" "$work/many/s42"
    fails 64 'is the folder of the model' $train --task rte --model "$work/many/s42" --data builtin --seeds 42,43 --save "$work/many" --quiet
}

@test "the cases of ../shared" {
    cases=../shared/cases/public
    [ -d $cases ] || skip "needs ../shared"
    c=$cases/label-order-of-a-trained-head
    [ "$(score --data $c/data --task mnli --model $c/model | cut -d ' ' -f 3)" = 0.6667 ]
    c=$cases/save-drops-tokenizer-config
    $train --task rte --model $c/model --data $c/data --epochs 1 --save "$work/saved" --preds "$work/preds" --quiet >"$work/out" 2>&1
    cmp $c/model/tokenizer_config.json "$work/saved/tokenizer_config.json"
}
