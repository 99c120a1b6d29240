# Command-line tests of what lies beside the weights: config.json, adapter_config.json, the tokenizer and its side files.
# Run by test/run.sh; PROGRAMS is where the programs are.

load common

setup() {
    cd "$BATS_TEST_DIRNAME/.."
    train="$(cd "${PROGRAMS:-.}" && pwd)/train_gpt"
    work="$BATS_TEST_TMPDIR"
    refused="$work/none"
    appended="--preds $work/none --quiet"
    cases=../shared/cases
    export OMP_NUM_THREADS=1
    unset SEEDBED_MODEL SEEDBED_DATA
}

# predict NAME FOLDER OPTIONS...: the untrained model's predictions of a few examples as $work/NAME.bin
predict() {
    local name=$1 folder=$2
    shift 2
    $train --task rte --model "$folder" --data builtin --max-eval 8 --epochs 0 --quiet --preds "$work/preds" "$@" >/dev/null 2>"$work/err" ||
        { cat "$work/err"; return 1; }
    mv "$work"/preds/*.bin "$work/$name.bin"
}

# refuses PATTERN FOLDER OPTIONS...: 65 and one line
refuses() {
    local pattern=$1 folder=$2
    shift 2
    fails 65 "$pattern" $train --task rte --model "$folder" --data builtin --max-eval 8 --epochs 0 "$@"
}

# config FOLDER SED: config.json as it was made, changed by a sed script; a value may be replaced, a field removed
config() {
    [ -e "$1/config.kept" ] || cp "$1/config.json" "$1/config.kept"
    sed "$2" "$1/config.kept" >"$1/config.json"
}

@test "config.json of a decoder: what is absent has the default of LlamaConfig" {
    llama="$work/llama"
    "${BUILD:-build}/make_llama" "$llama"
    set_to() { echo "s/^  \"$1\": [^,]*/  \"$1\": $2/"; }
    without() { echo "/^  \"$1\":/d"; }
    for field in 'rope_theta 10000' 'rms_norm_eps 1e-6' 'max_position_embeddings 2048' 'num_key_value_heads 4'; do
        name=${field% *}
        [ $name = num_key_value_heads ] && continue # 4 would not fit the weights, as the default must not
        config "$llama" "$(set_to $name "${field#* }")"
        predict given "$llama"
        config "$llama" "$(without $name)"
        predict absent "$llama"
        cmp "$work/given.bin" "$work/absent.bin"
    done
    config "$llama" "$(without num_key_value_heads)"
    refuses 'k_proj.*shape' "$llama"
    # rope_theta counts, wherever it stands; a type that is absent is default
    config "$llama" "$(set_to rope_theta 500)"
    predict theta "$llama"
    ! cmp -s "$work/theta.bin" "$work/absent.bin"
    for form in '"rope_parameters": {"rope_theta": 500}' '"rope_scaling": {"rope_theta": 500.0, "rope_type": "default"}' \
        '"rope_theta": 500, "rope_parameters": {}' '"rope_theta": 500, "rope_scaling": {}, "rope_parameters": null'; do
        config "$llama" "s/^  \"rope_theta\": [^,]*/  $form/"
        predict form "$llama"
        cmp "$work/theta.bin" "$work/form.bin"
    done
    config "$llama" 's/^  "rope_theta": [^,]*/  "rope_parameters": {}, "rope_scaling": null/'
    predict form "$llama"
    config "$llama" ''
    predict given "$llama"
    cmp "$work/given.bin" "$work/form.bin"
    # llama3's original_max_position_embeddings is max_position_embeddings
    llama3='"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4'
    config "$llama" "s/^  \"rope_theta\": [^,]*/  $llama3, \"original_max_position_embeddings\": 512}/"
    predict given "$llama"
    config "$llama" "s/^  \"rope_theta\": [^,]*/  $llama3}/"
    predict absent "$llama"
    cmp "$work/given.bin" "$work/absent.bin"
}

@test "config.json: what is contradictory or no default is refused by name" {
    llama="$work/llama"
    "${BUILD:-build}/make_llama" "$llama"
    for field in vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads model_type; do
        config "$llama" "s/^  \"$field\":/  \"unknown\":/"
        refuses "config.json: $field is missing" "$llama"
    done
    while IFS='|' read -r fields message; do
        config "$llama" "s/^  \"rope_theta\": [^,]*/  $fields/"
        refuses "config.json: $message" "$llama"
    done <<'END'
"rope_theta": null|rope_theta is missing or not a number
"rope_theta": 0|rope_theta is missing or not a number
"rope_parameters": []|rope_parameters must be an object
"rope_scaling": "linear"|rope_scaling must be an object
"rope_scaling": {"type": "linear", "factor": 2}|rope_type 'linear' is not implemented
"rope_parameters": {"rope_type": null}|rope_type '?' is not implemented
"rope_theta": 5, "rope_scaling": {"rope_theta": 6}|rope_theta 5 contradicts that of rope_scaling
"pad_token_id": -2|pad_token_id must be an integer
"pad_token_id": 257|pad_token_id 257 is outside the vocabulary
"pad_token_id": 4294967296|pad_token_id must be an integer
"pad_token_id": "x"|pad_token_id must be an integer
END
}

@test "config.json of an encoder: what is absent has the default of its class" {
    $train --task rte --model tiny --data builtin --epochs 0 --max-eval 8 --quiet --preds "$work/first" --save "$work/bert" >/dev/null 2>&1
    for field in 'layer_norm_eps 1e-12' 'type_vocab_size 2' 'hidden_act "gelu"' 'pad_token_id 0' \
        'max_position_embeddings 512'; do
        name=${field% *}
        config "$work/bert" "s/\"$name\": [^,}]*/\"$name\": ${field#* }/"
        predict given "$work/bert"
        config "$work/bert" "s/\"$name\": [^,}]*/\"unknown\": null/"
        predict absent "$work/bert"
        cmp "$work/given.bin" "$work/absent.bin"
    done
    config "$work/bert" 's/"type_vocab_size": [0-9]*/"type_vocab_size": 3/'
    refuses 'token_type_embeddings.*shape' "$work/bert"
}

@test "adapters of PEFT's all-linear: names of a saved head do nothing" {
    llama="$work/llama" adapter="$work/adapter/adapter_config.json"
    "${BUILD:-build}/make_llama" "$llama"
    $train --task rte --model "$llama" --data builtin --max-train 16 --max-eval 8 --epochs 1 --lora --lora-targets all --quiet \
        --preds "$work/first" --save "$work/adapter" >/dev/null 2>&1
    cp "$adapter" "$work/kept"
    predict plain "$llama" --adapter "$work/adapter"
    targets() { tr '\n' ' ' <"$work/kept" | sed "s/\"target_modules\": \[[^]]*\]/\"target_modules\": $1/; $2" >"$adapter"; }
    all='"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"'
    for list in '"all-linear"' "[$all, \"score\"]" "[\"score\", $all]"; do
        targets "$list" ''
        predict other "$llama" --adapter "$work/adapter"
        cmp "$work/plain.bin" "$work/other.bin"
    done
    targets "[$all, \"lm_head\"]" ''
    refuses "'lm_head' is no linear layer" "$llama" --adapter "$work/adapter"
    targets '["score"]' ''
    refuses 'selects no linear layer' "$llama" --adapter "$work/adapter"
    # an adapter on the head itself
    targets "[$all, \"score\"]" 's/"SEQ_CLS"/null/; s/"modules_to_save": \[[^]]*\]/"modules_to_save": null/'
    refuses "'score' is no linear layer" "$llama" --adapter "$work/adapter"
    targets '"all-linear,"' ''
    refuses 'a pattern is not implemented' "$llama" --adapter "$work/adapter"
}

@test "adapters of PEFT's all-linear: an encoder's head" {
    case=$cases/public/peft-all-linear-of-roberta
    [ -d "$case" ] || skip "../shared/cases is not there"
    predict roberta "$case/model" --adapter "$case/adapter"
}
