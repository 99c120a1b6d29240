# Named recipes and recipes of files: train/recipes.c. Run by test/run.sh; PROGRAMS is where the programs are.

load common

setup() {
    workplace
    refused="$work/none"
    appended="--preds $refused"
}

# plan OPTION...: the lines of the recipe as one
plan() {
    $train --data builtin --dry-run "$@" 2>"$work/err" || { cat "$work/err"; return 1; }
    sed -n '/^recipe/,/^work/ { /^work/!p }' "$work/err" | sed -z 's/\n */; /g' | sed 's/^recipe *//'
}

# digest OPTION...: the digest of the recipe as --verbose shows it
digest() {
    $train --task rte --data builtin --dry-run --verbose "$@" 2>"$work/err" || { cat "$work/err"; return 1; }
    sed -n 's/^  recipe_sha256 //p' "$work/err"
}

# takes TASK RECIPE WHAT: a recipe's plan has these parts
takes() {
    local line part
    line=$(plan --task "$1" --recipe "$2")
    shift 2
    for part in "$@"; do
        case "$line" in *"$part"*) ;; *) echo "no $part in: $line"; return 1 ;; esac
    done
}

# file TEXT: a recipe of one's own
file() {
    echo "$1" >"$work/mine.json"
}

@test "recipes have the numbers of their sources" {
    adam() { echo "AdamW 0.9 and $1, eps $2, decay $3, clip $4; linear"; }
    for row in "cola 1e-05 16 58" "mrpc 1e-05 16 58" "stsb 2e-05 16 58" "rte 2e-05 16 58" "sst2 1e-05 32 29" "qnli 1e-05 32 29" \
        "mnli 1e-05 32 29" "qqp 1e-05 32 120"; do
        read -r task lr batch warmup <<<"$row"
        takes $task roberta-large "lr $lr, batch $batch, 10 epochs, warm-up $warmup steps" 'length 512' "$(adam 0.98 1e-06 0.1 0)" 'the best' \
            'dropout 0.1' 'dropout of attention 0.1, of the head 0;'
        takes $task paper "lr $lr, batch $batch, 10 epochs, warm-up $warmup steps" 'length 512' "$(adam 0.98 1e-06 0.1 0)" 'the last'
    done
    for task in boolq cb copa multirc rte_superglue wic wsc; do
        takes $task paper 'lr 2e-05, batch 32, 3 epochs' "$(adam 0.98 1e-06 0.1 0)" 'the last'
        takes $task hf 'lr 5e-05, batch 8, 3 epochs, warm-up 0' "$(adam 0.999 1e-08 0 1)"
    done
    takes mrpc run-glue 'lr 2e-05, batch 32, 5 epochs, warm-up 0' 'length 128' "$(adam 0.999 1e-08 0 1)"
    takes rte run-glue 'lr 2e-05, batch 32, 3 epochs, warm-up 0' 'length 128'
    takes rte devlin 'lr 2e-05, batch 32, 3 epochs, warm-up 15' 'length 128' "$(adam 0.999 1e-06 0.01 1)" 'no bias correction;'
    takes rte mosbach 'lr 2e-05, batch 16, 20 epochs, warm-up 192' 'length 128' "$(adam 0.999 1e-06 0.01 1)"
    for row in "cola 0.0002 32 20 128" "mrpc 0.0003 32 20 512" "rte 0.0004 64 20 512" "sst2 0.0004 64 10 512" "qnli 0.0002 32 10 512" \
        "qqp 0.0003 32 20 512" "stsb 0.0003 32 10 128" "mnli 0.0003 32 10 128"; do
        read -r task lr batch epochs length <<<"$row"
        takes $task lora-paper "lr $lr, batch $batch, $epochs epochs" "length $length" "$(adam 0.999 1e-08 0.1 1)"
        grep -q 'rank 8: .*; scale 2, dropout 0$' "$work/err"
    done
    takes mrpc peft 'lr 0.0003, batch 32, 20 epochs, warm-up 58' "$(adam 0.999 1e-08 0.01 0)"
    grep -q 'rank 8: .*; scale 2, dropout 0.1$' "$work/err"
    for row in "cola 1e-05 16 10 58" "sst2 1e-05 32 10 29" "mrpc 1e-05 16 10 58" "stsb 2e-05 16 10 58" "qqp 1e-05 32 10 29" \
        "qnli 1e-05 32 10 29" "rte 2e-05 16 20 192" "mnli 1e-05 32 10 29" "wnli 1e-05 16 10 58" "boolq 1e-05 16 10 58" "cb 2e-05 16 20 116" \
        "copa 1e-05 16 50 288" "multirc 1e-05 16 10 58" "rte_superglue 2e-05 16 20 192" "wic 1e-05 16 10 58" "wsc 1e-05 16 20 192"; do
        read -r task lr batch epochs warmup <<<"$row"
        takes $task task "task: lr $lr, batch $batch, $epochs epochs, warm-up $warmup steps" "$(adam 0.98 1e-06 0.1 1)"
    done
    takes rte lora 'lora: lr 0.0002, batch 16, 10 epochs, warm-up 58' "$(adam 0.999 1e-08 0 1)"
    takes rte tiny 'tiny: lr 0.001, batch 16, 16 epochs, warm-up 154' "$(adam 0.98 1e-06 0.01 1)"
    [[ "$(plan --task rte)" == "tiny: "* && "$(plan --task rte --lora)" == "tiny: "* ]]
}

@test "the list of recipes has every source, within 80 columns" {
    $train --list-recipes >"$work/out"
    for name in task lora tiny hf run-glue roberta-large paper devlin mosbach du-nguyen lora-paper peft llama-lora; do
        grep -q "^  $name  *[(A-Z]" "$work/out"
    done
    [ "$(grep -c '^  [a-z]' "$work/out")" -eq 13 ]
    ! awk 'length > 80' "$work/out" | grep . || false
    tr -s ' \n' ' ' <"$work/out" >"$work/line"
    grep -q ' qqp: lr 1e-05, batch 32, warmup 0.25; mnli: lr 1e-05,' "$work/line"
    grep -q ' lora, but lora, lora_r 8, lora_alpha 16, lora_dropout 0.05,' "$work/line"
    grep -q ' hf, but lr 2e-05, batch 32, max_len 128; mrpc: epochs 5' "$work/line"
    ! grep -q 'null' "$work/line" || false
    status=0
    $train --list-recipes >/dev/full 2>"$work/err" || status=$?
    [ "$status" -eq 74 ]
}

@test "the command line counts more than a recipe" {
    [[ "$(plan --task rte --recipe roberta-large --lr 3e-5 --clip 1 --select last --max-len 100)" == \
        *"lr 3e-05, batch 16, 10 epochs"*"length 100"*"clip 1;"*"the last"* ]]
    [[ "$(plan --task boolq --recipe roberta-large --lr 3e-5)" == *"lr 3e-05, batch 16, 10 epochs"* ]]
    [[ "$(plan --task rte --recipe du-nguyen --epochs 5)" == *"lr 2e-05, batch 16, 5 epochs"*'the best evaluation on half of dev'* ]]
    [ "$(plan --task rte --recipe lora-paper --lora-r 4 >/dev/null; grep -c 'rank 4' "$work/err")" -eq 1 ]
    # steps of a recipe are not those of a command that counts epochs
    file '{"base": "hf", "settings": {"max_steps": 7}}'
    plan --task rte --recipe "$work/mine.json"
    grep -q 'run of 7 steps' "$work/err"
    plan --task rte --recipe "$work/mine.json" --epochs 1
    grep -q 'run of 192 steps' "$work/err"
    ! grep -q 'changes nothing' "$work/err" || false
    plan --task rte --recipe "$work/mine.json" --max-steps 9
    grep -q 'run of 9 steps' "$work/err"
}

@test "a recipe is its values: by name, by file or by options it has one digest" {
    short="--data builtin --max-train 16 --max-eval 8 --max-steps 1 --quiet"
    file '{"source": "ours", "base": "hf", "settings": {"lr": 3e-5, "batch": 16, "lora": true, "lora-r": 2},
           "tasks": {"RTE": {"warmup": 0.06, "schedule": "cosine"}, "cola": {"lr": 1}}}'
    $train --task rte $short --recipe "$work/mine.json" --preds "$work/a"
    $train --task rte $short --recipe hf --lr 3e-5 --batch 16 --warmup 0.06 --schedule cosine --lora --lora-r 2 --preds "$work/b"
    a=$(basename "$work"/a/*.bin)
    [ -n "$a" ]
    [ "$a" = "$(basename "$work"/b/*.bin)" ]
    grep -aoq '"hparams":"{[^}]*lr[^}]*3e-05' "$work"/a/*.bin
    file '{"base": "hf", "settings": {"lora": false}, "tasks": {"rte": {"lora": true}}}'
    plan --task rte --recipe "$work/mine.json"
    grep -q '^adapters' "$work/err"
    plan --task cb --recipe "$work/mine.json"
    ! grep -q '^adapters' "$work/err" || false
}

@test "the values that are printed make the recipe: every name and a file" {
    names=$($train --list-recipes | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p')
    [ "$(wc -w <<<"$names")" -eq 13 ]
    file '{"settings": {"lr": 1e-4, "batch": 8, "epochs": 2, "warmup": 7, "weight_decay": 0.3, "beta1": 0.8, "beta2": 0.9, "eps": 1e-7, "clip": 2,
        "bias_correction": "off", "schedule": "cosine", "dropout": 0.3, "attention_dropout": 0.2, "head_dropout": 0.1, "max_len": 99, "select": "half",
        "eval_every": "9steps", "patience": 2, "lora": true, "lora_r": 3, "lora_alpha": 5, "lora_dropout": 0.1, "lora_targets": "q,k", "rslora": true}}'
    known='lr|batch|epochs|max-steps|warmup|weight-decay|beta1|beta2|eps|clip|bias-correction|schedule|dropout|attention-dropout|head-dropout'
    known="$known|max-len|select|eval-every|patience|lora|lora-r|lora-alpha|lora-dropout|lora-targets|rslora"
    seen=
    for name in $names "$work/mine.json"; do
        model=
        [ $name != llama-lora ] || { "$build/make_llama" "$work/llama" >/dev/null; model="--model $work/llama"; }
        more=
        [ $name != du-nguyen ] || more='--epochs 1'
        sum=$(digest $model --recipe $name $more)
        [ ${#sum} -eq 64 ]
        [[ "$seen" != *"$sum"* ]]
        seen="$seen $sum"
        options=$(sed -nE "s/^  (--($known)) (.*)/\1 \3/p" "$work/err" | sed -E 's/^(--lora|--rslora) yes/\1/')
        [[ "$options" == *"--lora"$'\n'* ]] || options=$(grep -v '^--lora-' <<<"$options")
        [ "$(digest $model --recipe hf $options)" = "$sum" ]
    done
    # and the prediction file has them, in its name too
    $train --task rte --data builtin --recipe "$work/mine.json" --max-train 24 --max-eval 8 --max-steps 1 --select last --patience 0 --quiet --preds "$work/p"
    sum=$(digest --recipe "$work/mine.json" --max-train 24 --max-eval 8 --max-steps 1 --select last --patience 0)
    grep -aq "\"recipe_sha256\":\"$sum\"" "$work"/p/*.bin
    [ "$(ls "$work"/p/*"${sum:0:8}"*.bin | wc -l)" -eq 1 ]
    for pair in attention_dropout,0.2 head_dropout,0.1 dropout,0.3 bias_correction,off beta1,0.8 clip,2 schedule,cosine; do
        grep -q "\"hparams\":{.*\"${pair%,*}\":\"${pair#*,}\"" "$work"/p/*.jsonl
    done
}

@test "bias correction and each dropout change a run, and stay out of the digest where they are not set" {
    short="--task rte --data builtin --max-train 32 --max-eval 8 --max-steps 3 --quiet"
    losses() { # OPTION...: those of the steps
        rm -rf "$work/p"
        $train $short "$@" --preds "$work/p" >/dev/null
        sed -n 's/.*"loss":\([^,]*\),.*/\1/p' "$work"/p/*.jsonl | tr '\n' ' '
        echo
    }
    for options in '' '--bias-correction off' '--attention-dropout 0' '--head-dropout 0' '--dropout 0' '--dropout 0 --head-dropout 0.1'; do
        losses $options
    done >"$work/losses"
    [ "$(sort -u "$work/losses" | grep -c '[0-9] [0-9]')" -eq 6 ]
    # config.json has 0.1 for all three
    [ "$(losses --attention-dropout 0.1 --head-dropout 0.1)" = "$(head -1 "$work/losses")" ]
    [ "$(losses --dropout 0.1)" = "$(head -1 "$work/losses")" ]
    ! grep '"attention_dropout"\|"head_dropout"\|"bias_correction"' "$work"/p/*.jsonl || false
    [ "$(digest)" = "$(digest --bias-correction on)" ]
    [ "$(digest)" != "$(digest --bias-correction off)" ]
    fails 64 'bias-correction no: choose on or off' $train $short --bias-correction no
    fails 64 'head-dropout 1: must be below 1' $train $short --head-dropout 1
    "$build/make_llama" "$work/llama" >/dev/null
    plan --task rte --model "$work/llama" --head-dropout 0.2
    grep -q '^NOTE: --head-dropout changes nothing' "$work/err"
}

@test "recipes are refused: unknown names, the other kind of model, nothing for the task" {
    fails 64 'recipe robertalarge: no such recipe; did you mean roberta-large; train_gpt --list-recipes' $train --task rte --recipe robertalarge
    fails 64 'recipe du-nguyen: has no epochs for rte; give --epochs' $train --task rte --recipe du-nguyen
    fails 64 'recipe roberta-large: has no lr for wic; give --lr' $train --task wic --recipe roberta-large
    fails 64 'recipe lora-paper: has no lr for wic' $train --task wic --recipe lora-paper
    fails 64 'recipe llama-lora: is for decoders, the model is an encoder' $train --task rte --recipe llama-lora
    "$build/make_llama" "$work/llama" >/dev/null
    fails 64 'recipe paper: is for encoders, the model is a decoder' $train --task rte --model "$work/llama" --data builtin --recipe paper
    [[ "$(plan --task cb --model "$work/llama" --recipe llama-lora)" == *"lr 0.0001, batch 16, 10 epochs"* ]]
    [[ "$(plan --task qnli --model "$work/llama" --recipe llama-lora)" == *"lr 0.0002, batch 16, 3 epochs"* ]]
}

@test "files of recipes are refused with their names" {
    mine() { file "$1"; fails "$2" "$3" $train --task rte --data builtin --recipe "$work/mine.json"; }
    mine '{"settings": {"lr": 1e-5}}' 64 'mine.json: has no batch for rte; give --batch'
    mine '{"base": "hf", "settings": {"learning_rate": 1e-5}}' 65 'mine.json: no such setting of a recipe: learning_rate'
    mine '{"base": "hf", "settings": {"weight_decai": 0}}' 65 'weight_decai; did you mean weight_decay'
    mine '{"base": "hf", "settings": {"seed": 1}}' 65 'no such setting of a recipe: seed'
    mine '{"base": "hf", "setting": {}}' 65 'mine.json: no such field of a recipe: setting; did you mean settings'
    mine '{"base": "hg"}' 64 'mine.json: base hg: no such recipe; did you mean hf'
    mine '{"base": 1}' 65 'mine.json: base: must be a text'
    mine '{"base": "hf", "model": "bert"}' 65 'model bert: must be encoder or decoder'
    mine '{"base": "hf", "model": "decoder"}' 64 'mine.json: is for decoders, the model is an encoder'
    mine '{"base": "hf", "settings": {"lr": "fast"}}' 65 'mine.json: --lr fast: not a number'
    mine '{"base": "hf", "settings": {"lr": -1}}' 65 'mine.json: --lr -1: not a number from 0'
    mine '{"base": "hf", "settings": {"batch": 2.5}}' 65 'mine.json: --batch 2.5: not a whole number'
    mine '{"base": "hf", "settings": {"batch": 0}}' 65 'mine.json: --batch 0: must be from 1'
    mine '{"base": "hf", "settings": {"beta2": 1}}' 65 'mine.json: --beta2 1: must be below 1'
    mine '{"base": "hf", "settings": {"dropout": 1}}' 65 'mine.json: --dropout 1: must be below 1'
    mine '{"base": "hf", "settings": {"lora": true, "lora_r": 0}}' 65 'mine.json: --lora-r 0: must be from 1 to 1024'
    mine '{"base": "hf", "settings": {"lora": true, "lora_targets": "qq"}}' 65 'mine.json: --lora-targets .*did you mean q'
    fails 64 '^train_gpt: --batch 0: must be from 1' $train --task rte --data builtin --recipe "$work/mine.json" --lora-targets q --batch 0
    mine '{"base": "hf", "settings": {"lr": true}}' 65 'mine.json: --lr: takes a value'
    mine '{"base": "hf", "settings": {"lora": 1}}' 65 'mine.json: --lora: must be true or false'
    mine '{"base": "hf", "settings": {"lora_r": 4}}' 64 'mine.json: lora_r without lora changes nothing'
    mine '{"base": "hf", "settings": {"rslora": true}}' 64 'mine.json: rslora without lora'
    mine '{"base": "hf", "settings": {"lr": null}}' 65 'mine.json: lr: must be a number'
    mine '{"base": "hf", "settings": {"schedule": "cosin"}}' 65 'mine.json: --schedule cosin: choose linear, cosine or constant; did you mean cosine'
    mine '{"base": "hf", "settings": {"select": "best", "eval_every": 0}}' 64 'mine.json: --select best with --eval-every 0'
    mine '{"base": "hf", "settings": [1]}' 65 'mine.json: settings must be an object'
    mine '{"base": "hf", "tasks": 1}' 65 'mine.json: tasks must be an object'
    mine '{"base": "hf", "tasks": {"rtf": {}}}' 65 'mine.json: tasks: .* rtf: no such task; did you mean rte'
    mine '{"base": "hf", "tasks": {"cola": {"lr": "x"}}}' 65 'mine.json: --lr x: not a number'
    mine '[]' 65 'mine.json: a recipe is an object'
    mine '{"base": "hf",' 65 'mine.json:2:0: not valid JSON'
    mine '{"base": "hf", "base": "hf"}' 65 'mine.json:1:.*duplicate'
    fails 66 'none.json' $train --task rte --data builtin --recipe "$work/none.json"
    fails 65 "$work/: " $train --task rte --data builtin --recipe "$work/"
    : >"$work/mine.json"
    fails 65 'mine.json' $train --task rte --data builtin --recipe "$work/mine.json"
}
