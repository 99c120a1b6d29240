# Command-line tests of decoders, adapters and the language model. Run by test/run.sh; PROGRAMS is where the programs are.

load common

setup() {
    workplace
    refused="$work/none"
    appended=""
    llama="$work/llama"
    "$build/make_llama" "$llama"
    short="--task rte --data builtin --max-train 64 --max-eval 32 --epochs 2 --lr 1e-2 --quiet"
}

# the closing "seed ..." line of a run
result() {
    grep '^seed' "$1"
}

# edit FILE FIELD VALUE: one field of a JSON file of one line a field
edit() {
    sed -i "s|^\( *\"$2\": \).*[^,]\(,\{0,1\}\)\$|\1$3\2|" "$1"
    grep -q "\"$2\": $3" "$1"
}

adapter() {
    $train --model "$llama" $short --lora --seed 52 --preds "$work/start" --save "$work/adapter" "$@" >"$work/first" 2>&1
}

@test "adapters: threads, SIMD, micro-batches and recomputing change no byte" {
    options="--model $llama $short --lora --lora-targets all --lora-dropout 0.1 --dropout 0.1 --seed 52"
    $train $options --preds "$work/a" --save "$work/a/adapter" >/dev/null 2>&1
    i=0
    for other in "--threads 1" "--threads 3 --micro-batch 5" "--simd scalar" "--recompute" "--recompute --micro-batch 3"; do
        i=$((i + 1))
        $train $options $other --preds "$work/b$i" --save "$work/b$i/adapter" >/dev/null 2>&1
        cmp "$work"/a/*.bin "$work/b$i"/*.bin
        cmp "$work/a/adapter/adapter_model.safetensors" "$work/b$i/adapter/adapter_model.safetensors"
    done
    $train $options --seed 62 --preds "$work/c" >/dev/null 2>&1
    ! cmp -s "$work"/a/*.bin "$work"/c/*.bin || false
}

@test "full fine-tuning of a decoder and of an encoder: recomputing changes no byte" {
    for model in "$llama" tiny; do
        $train --model "$model" $short --dropout 0.1 --preds "$work/full" >/dev/null 2>&1
        $train --model "$model" $short --dropout 0.1 --recompute --micro-batch 5 --preds "$work/again" >/dev/null 2>&1
        cmp "$work"/full/*.bin "$work"/again/*.bin
        rm -r "$work/full" "$work/again"
    done
}

@test "adapters train on an encoder, and the base stays as it is" {
    before=$(sha256sum "$llama/model.safetensors")
    $train --model tiny $short --lora --lora-targets all --preds "$work/preds" --save "$work/adapter" >"$work/out" 2>&1
    grep -q '^seed 42' "$work/out"
    grep -q '"modules_to_save"' "$work/adapter/adapter_config.json"
    adapter
    [ "$(sha256sum "$llama/model.safetensors")" = "$before" ]
}

@test "an adapter that was saved gives the same dev loss; so does the merged model" {
    for options in "" "--lora-targets all --rslora --lora-r 3"; do
        rm -rf "$work/adapter" "$work/merged"
        adapter $options
        $train --model "$llama" $short --adapter "$work/adapter" --epochs 0 --seed 52 --preds "$work/b" >"$work/second" 2>&1
        [ "$(result "$work/first")" = "$(result "$work/second")" ]
        $merge "$llama" "$work/adapter" "$work/merged" >"$work/out"
        grep -q '^wrote: ' "$work/out"
        $train --model "$work/merged" $short --epochs 0 --seed 52 --preds "$work/c" >"$work/third" 2>&1
        [ "$(result "$work/first")" = "$(result "$work/third")" ]
    done
}

@test "counts of adapters are printed" {
    $train --model "$llama" --task rte --data builtin --lora --lora-r 4 --dry-run 2>"$work/err"
    # q: 4 (32 + 32), v: 4 (32 + 16), two layers; head: 2 x 32
    grep -q '^adapters  4 pairs of rank 4: 896 parameters, and 64 of the head; scale 4' "$work/err"
}

@test "a run that starts from an adapter says so in its recipe" {
    adapter
    $train --model "$llama" $short --adapter "$work/adapter" --preds "$work/b" >/dev/null 2>&1
    grep -aq 'start' "$work"/b/*.bin
    ! grep -aq '\\"start\\"' "$work"/start/*.bin || false
}

@test "a language model learns its text; micro-batches and recomputing change no byte" {
    for i in $(seq 40); do printf 'the cat sat on the mat\nand ran\n\nthe dog ran to the cat in 1987\n\n'; done >"$work/text"
    options="--model $llama --task lm --data $work/text --lr 1e-2 --preds $work/preds"
    $train $options --epochs 0 >"$work/before" 2>&1
    $train $options --epochs 3 --save "$work/a" >"$work/after" 2>&1
    awk '{ exit !($5 > 100) }' <<<"$(result "$work/before")"
    awk '{ exit !($5 < 4) }' <<<"$(result "$work/after")"
    $train $options --epochs 3 --save "$work/b" --micro-batch 3 --recompute --threads 1 >/dev/null 2>&1
    cmp "$work/a/model.safetensors" "$work/b/model.safetensors"
    $train --model "$work/a" --task lm --data "$work/text" --epochs 0 --preds "$work/preds" >"$work/again" 2>&1
    [ "$(result "$work/after")" = "$(result "$work/again")" ]
    $train $options --lora --lora-targets all --lr 3e-2 --epochs 10 --save "$work/c" >"$work/lora" 2>&1
    awk '{ exit !($5 < 100) }' <<<"$(result "$work/lora")"
    grep -q '"task_type": "CAUSAL_LM"' "$work/c/adapter_config.json"
    [ -z "$(ls "$work"/preds/*.bin 2>/dev/null)" ]
}

@test "text in a folder, and text that cannot serve" {
    mkdir "$work/texts"
    printf 'one two three\n\nfour five\n' >"$work/texts/train.txt"
    printf 'six seven\n' >"$work/texts/validation.txt"
    $train --model "$llama" --task lm --data "$work/texts" --epochs 1 --preds "$work/preds" 2>"$work/err" >/dev/null
    grep -q '2 training and 1 dev windows' "$work/err"
    printf 'alone' >"$work/one"
    fails 65 'give more text' $train --model "$llama" --task lm --data "$work/one" --preds "$work/none"
    printf 'caf\351 is not UTF-8\n\nx y z\n' >"$work/latin"
    fails 65 'byte 3 is not UTF-8' $train --model "$llama" --task lm --data "$work/latin" --preds "$work/none"
    fails 66 'no such text' $train --model "$llama" --task lm --data "$work/missing" --preds "$work/none"
    fails 64 'data is missing' $train --model "$llama" --task lm --preds "$work/none"
    fails 65 'is no language model' $train --model tiny --task lm --data "$work/one" --preds "$work/none"
}

@test "usage of adapters that cannot be" {
    fails 64 "did you mean q" $train --model "$llama" $short --lora --lora-targets qq --preds "$work/none"
    fails 64 "'gate' is no linear layer" $train --model tiny $short --lora --lora-targets q,gate --preds "$work/none"
    fails 64 'lora-r 0: must be' $train --model "$llama" $short --lora --lora-r 0 --preds "$work/none"
    fails 64 'lora-alpha 0: must be above 0' $train --model "$llama" $short --lora --lora-alpha 0 --preds "$work/none"
    fails 64 'lora-dropout 1: must be below 1' $train --model "$llama" $short --lora --lora-dropout 1 --preds "$work/none"
    fails 66 'name a PEFT folder' $train --model "$llama" $short --adapter "$work/nothing" --preds "$work/none"
}

@test "an adapter that is not implemented is refused by the field's name" {
    adapter
    config="$work/adapter/adapter_config.json"
    cp "$config" "$work/kept"
    for change in 'use_dora true' 'peft_type "IA3"' 'bias "all"' 'r 0' 'lora_alpha "x"' 'fan_in_fan_out true' \
        'rank_pattern {"q": 4}' 'alpha_pattern {"q": 4}' 'init_lora_weights "pissa"'; do
        cp "$work/kept" "$config"
        edit "$config" "${change%% *}" "${change#* }"
        fails 65 "adapter_config.json: ${change%% *}" $train --model "$llama" $short --adapter "$work/adapter" --preds "$work/none"
    done
    for layers in 0 1 '[0]'; do # a layer of its own, 0 too
        sed "0,/{/s//{\"layers_to_transform\": $layers,/" "$work/kept" >"$config"
        fails 65 'layers_to_transform is not implemented' $train --model "$llama" $short --adapter "$work/adapter" --preds "$work/none"
    done
}

@test "an adapter of another base, rank or task is refused" {
    adapter
    "$build/make_llama" "$work/wide" 48
    fails 65 'belongs to another base model' $train --model "$work/wide" $short --adapter "$work/adapter" --preds "$work/none"
    fails 65 "is no linear layer of this model" $train --model tiny $short --adapter "$work/adapter" --preds "$work/none"
    fails 65 "score.weight' has shape" $train --model "$llama" $short --task cb --adapter "$work/adapter" --preds "$work/none"
    edit "$work/adapter/adapter_config.json" r 3
    fails 65 'have shape\|has shape' $train --model "$llama" $short --adapter "$work/adapter" --preds "$work/none"
    fails 65 'has shape' $merge "$llama" "$work/adapter" "$work/out_folder"
    [ ! -e "$work/out_folder" ]
}

@test "a missing head is refused unless --init-head" {
    for i in $(seq 40); do printf 'the cat sat on the mat\n\n'; done >"$work/text"
    $train --model "$llama" --task lm --data "$work/text" --lora --epochs 1 --preds "$work/preds" --save "$work/headless" >/dev/null 2>&1
    fails 65 "the head 'score.weight' is missing; --init-head" $train --model "$llama" $short --adapter "$work/headless" --preds "$work/none"
    $train --model "$llama" $short --adapter "$work/headless" --init-head --preds "$work/preds" >/dev/null 2>&1
    [ "$(ls "$work"/preds/*.bin | wc -l)" -eq 1 ]
}

@test "a broken base or adapter file: one line, nothing written" {
    adapter
    # NaN in the last tensor of the base
    cp -r "$llama" "$work/nan"
    printf '\377\377\377\377' | dd of="$work/nan/model.safetensors" bs=1 seek=$(($(stat -c %s "$llama/model.safetensors") - 4)) conv=notrunc 2>/dev/null
    fails 65 'is not finite' $train --model "$work/nan" $short --lora --preds "$work/none"
    head -c 2000 "$work/adapter/adapter_model.safetensors" >"$work/cut" && mv "$work/cut" "$work/adapter/adapter_model.safetensors"
    fails 65 'adapter_model.safetensors' $train --model "$llama" $short --adapter "$work/adapter" --preds "$work/none"
    # a shard that is missing, and one outside of the folder
    mkdir "$work/shards"
    cp "$llama"/*.json "$work/shards"
    echo '{"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}' >"$work/shards/model.safetensors.index.json"
    fails 66 'model-00001-of-00002.safetensors' $train --model "$work/shards" $short --lora --preds "$work/none"
    echo '{"weight_map": {"model.norm.weight": "../llama/model.safetensors"}}' >"$work/shards/model.safetensors.index.json"
    fails 65 'not a file of this folder' $train --model "$work/shards" $short --lora --preds "$work/none"
    # a tensor in two of the files: which one is meant
    cp "$llama/model.safetensors" "$work/shards/a.safetensors"
    cp "$llama/model.safetensors" "$work/shards/b.safetensors"
    echo '{"weight_map": {"x": "a.safetensors", "model.norm.weight": "b.safetensors"}}' >"$work/shards/model.safetensors.index.json"
    fails 65 "b.safetensors: tensor '.*' is in .*a.safetensors too" $train --model "$work/shards" $short --lora --preds "$work/none"
    fails 65 "b.safetensors: tensor '.*' is in .*a.safetensors too" $train --model "$work/shards" $short --preds "$work/none"
    ! "$programs/merge" "$work/shards" "$work/adapter" "$work/none" 2>/dev/null || false
}

@test "configurations of decoders that cannot be" {
    config="$llama/config.json"
    cp "$config" "$work/kept"
    for change in 'num_key_value_heads 3' 'num_attention_heads 5' 'hidden_size 36'; do
        cp "$work/kept" "$config"
        edit "$config" "${change%% *}" "${change#* }"
        fails 65 'multiple\|odd' $train --model "$llama" $short --lora --preds "$work/none"
    done
    sed 's/^  "rope_theta": .*/  "rope_theta": null,/' "$work/kept" >"$config"
    fails 65 'rope_theta' $train --model "$llama" $short --lora --preds "$work/none"
    # fields that stand beside rope_theta
    with() { sed "s|^  \"rope_theta\"|  $1,\n&|" "$work/kept" >"$config"; }
    llama3='\"rope_type\": \"llama3\", \"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": 64'
    with "\"rope_parameters\": {\"rope_theta\": 5e5, \"rope_type\": \"default\"}"
    fails 65 'rope_theta 10000 contradicts' $train --model "$llama" $short --lora --preds "$work/none"
    with "\"rope_parameters\": {\"rope_type\": \"default\"}, \"rope_scaling\": {$llama3, \"factor\": 8}"
    fails 65 "rope_type 'llama3' of rope_scaling contradicts 'default'" $train --model "$llama" $short --lora --preds "$work/none"
    with "\"rope_parameters\": {$llama3, \"factor\": 8}, \"rope_scaling\": {$llama3, \"factor\": 32}"
    fails 65 'factor of rope_scaling contradicts' $train --model "$llama" $short --lora --preds "$work/none"
    with "\"rope_scaling\": {$llama3}"
    fails 65 'factor is missing' $train --model "$llama" $short --lora --preds "$work/none"
    with "\"partial_rotary_factor\": 0.5"
    fails 65 'partial_rotary_factor' $train --model "$llama" $short --lora --preds "$work/none"
    with "\"rope_parameters\": {$llama3, \"factor\": 8}, \"rope_scaling\": {$llama3, \"factor\": 8.0}"
    $train --model "$llama" $short --lora --preds "$work/preds" >/dev/null 2>&1
}

@test "a text longer than --max-len is cut, with a count" {
    $train --model "$llama" --task rte --data builtin --max-len 20 --max-train 32 --max-eval 16 --max-steps 1 --preds "$work/preds" >/dev/null 2>"$work/err"
    grep -q 'cut  *32 training and 16 dev sequences are longer than 20 tokens' "$work/err"
}

@test "a task without a text for decoders, and a text that may not be cut" {
    fails 64 'no text for a decoder' $train --model "$llama" $short --task wsc --preds "$work/none"
    fails 65 'the text, which may not be cut' $train --model "$llama" $short --task wic --max-len 20 --preds "$work/none"
    $train --model "$llama" $short --task multirc --preds "$work/preds" >"$work/out" 2>&1
    grep -q '^seed 42' "$work/out"
}

@test "merge: usage" {
    status=0
    $merge >"$work/out" 2>&1 || status=$?
    [ "$status" -eq 64 ]
    fails 66 'no such model folder' $merge "$work/missing" "$work/missing" "$work/x"
}

@test "merge: an adapter of a classifier needs its head" {
    adapter
    $train --task lm --data README.md --model "$llama" --max-steps 1 --max-eval 1 --max-len 64 --quiet --lora --preds "$work/lm" --save "$work/headless" >/dev/null 2>&1
    $merge "$llama" "$work/headless" "$work/language" | grep -q '^wrote: '
    cp "$work/adapter/adapter_config.json" "$work/headless"
    fails 65 'the head is missing' $merge "$llama" "$work/headless" "$refused"
}

@test "the base is never overwritten by its result" {
    ln -sfn "$work/llama" "$work/same"
    fails 64 'is the folder of the base' $merge "$work/llama" "$work/missing" "$work/llama/"
    fails 64 'is the folder of the base' $merge "$work/llama" "$work/missing" "$work/same"
    fails 64 "is the folder of the model" $train --task rte --data builtin --model "$work/llama" --save "$work/same" --quiet
}
