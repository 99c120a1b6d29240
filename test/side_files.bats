# Command-line tests of what lies beside the weights: config.json, adapter_config.json, the tokenizer and its side files.
# Run by test/run.sh; PROGRAMS is where the programs are.

load common

setup() {
    workplace
    refused="$work/none"
    appended="--preds $work/none --quiet"
    export OMP_NUM_THREADS=1
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
    "$build/make_llama" "$llama"
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
    ! cmp -s "$work/theta.bin" "$work/absent.bin" || false
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
    "$build/make_llama" "$llama"
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
    "$build/make_llama" "$llama"
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

# the first two logits of $work/NAME.bin
logits() {
    local file="$work/$1.bin" header
    header=$(od -An -tu8 -N8 "$file" | tr -d ' ')
    at=$(tail -c +9 "$file" | head -c "$header" | grep -ao '"logits":{[^}]*' | sed 's/.*"data_offsets":\[\([0-9]*\),.*/\1/')
    od -An -tf4 -j $((8 + header + at)) -N8 "$file" | LC_ALL=C awk '{printf "%.7f %.7f\n", $1, $2}'
}

digest() {
    grep -ao '"tokenizer_sha256":"[0-9a-f]*"' "$work/$1.bin"
}

# a BERT with vocab.txt as $work/bert, untrained
make_bert() {
    $train --task rte --model tiny --data builtin --epochs 0 --max-eval 8 --quiet --preds "$work/first" --save "$work/bert" >/dev/null 2>&1
    words=$(wc -l <"$work/bert/vocab.txt")
}

@test "tokenizers: cases with the reference's logits" {
    [ -d "$cases" ] || skip "../shared/cases is not there"
    while read -r name first second; do
        predict "$name" "$cases/public/$name/model" --data "$cases/public/$name/data"
        logits $name | LC_ALL=C awk -v a="$first" -v b="$second" '{exit ($1 - a)^2 > 4e-10 || ($2 - b)^2 > 4e-10}' ||
            { echo "$name: $(logits $name)"; return 1; }
    done <<'END'
add-prefix-space-in-tokenizer-config-ignored 0.26770 0.01693
added-tokens-json-ignored -0.68579 0.78020
do-lower-case-false-beside-tokenizer-json -0.40958 0.95189
tokenize-chinese-chars-false-ignored -0.34393 0.70515
END
}

@test "tokenizer_config.json: what it changes is in the digest of the tokenizer" {
    make_bert
    predict plain "$work/bert"
    echo '{"tokenizer_class": "BertTokenizer", "do_lower_case": true, "model_max_length": 1000000000000000019884624838656}' \
        >"$work/bert/tokenizer_config.json"
    predict same "$work/bert"
    [ "$(logits plain)" = "$(logits same)" ]
    [ "$(digest plain)" = "$(digest same)" ]
    for change in '{"do_lower_case": false}' '{"strip_accents": false}' '{"tokenize_chinese_chars": false}' '{"cls_token": "the"}' \
        '{"additional_special_tokens": ["the"]}' '{"split_special_tokens": true}' '{"model_input_names": ["input_ids"]}'; do
        echo "$change" >"$work/bert/tokenizer_config.json"
        predict other "$work/bert"
        [ "$(digest plain)" != "$(digest other)" ] || { echo "$change: the same digest"; return 1; }
    done
}

@test "tokenizer_config.json: no input is longer than model_max_length" {
    make_bert
    length() { $train --task rte --model "$work/bert" --data builtin --dry-run "$@" 2>&1 | sed -n 's/^recipe.*length \([0-9]*\).*/\1/p'; }
    echo '{"model_max_length": 24}' >"$work/bert/tokenizer_config.json"
    [ "$(length)" -eq 24 ]
    [ "$(length --max-len 16)" -eq 16 ]
    echo '{"model_max_length": null, "max_len": 100}' >"$work/bert/tokenizer_config.json"
    [ "$(length)" -ne 24 ]
}

@test "side files of a tokenizer: what is broken or not implemented is refused with the file's name" {
    make_bert
    token='"content": "zz", "lstrip": false, "rstrip": false, "normalized": true, "single_word": false, "special": false'
    while IFS='|' read -r file text message; do
        echo "$text" >"$work/bert/$file"
        refuses "bert/$file.*$message" "$work/bert" || { echo "$file: $text"; return 1; }
        rm "$work/bert/$file"
    done <<END
tokenizer_config.json|{"do_lower_case": fal|not valid JSON
tokenizer_config.json|[]|not a JSON object
tokenizer_config.json|{"tokenizer_class": "XLMRobertaTokenizer"}|'XLMRobertaTokenizer' is not implemented
tokenizer_config.json|{"tokenizer_class": "BertJapaneseTokenizer"}|'BertJapaneseTokenizer' is not implemented
tokenizer_config.json|{"do_lower_case": 1}|do_lower_case must be true or false
tokenizer_config.json|{"do_lower_case": null}|do_lower_case must be true or false
tokenizer_config.json|{"tokenize_chinese_chars": "no"}|tokenize_chinese_chars must be
tokenizer_config.json|{"strip_accents": []}|strip_accents must be
tokenizer_config.json|{"truncation_side": "left"}|truncation_side 'left' is not
tokenizer_config.json|{"auto_map": {"AutoTokenizer": ["own.Tokenizer", null]}}|auto_map
tokenizer_config.json|{"fast_tokenizer_files": ["tokenizer.json", "tokenizer.4.0.0.json"]}|fast_tokenizer_files
tokenizer_config.json|{"cls_token": null}|cls_token is null
tokenizer_config.json|{"cls_token": {"content": "the"}}|cls_token is no token
tokenizer_config.json|{"sep_token": 7}|sep_token is no token
tokenizer_config.json|{"additional_special_tokens": "the"}|must be a list
tokenizer_config.json|{"model_max_length": "512"}|model_max_length must be a number
tokenizer_config.json|{"model_max_length": 0}|model_max_length must be a number
tokenizer_config.json|{"added_tokens_decoder": []}|added_tokens_decoder is no object
tokenizer_config.json|{"added_tokens_decoder": {"-1": {$token}}}|'-1' is no id
tokenizer_config.json|{"added_tokens_decoder": {"4294967296": {$token}}}|'4294967296' is no id
tokenizer_config.json|{"added_tokens_decoder": {"1e3": {$token}}}|'1e3' is no id
tokenizer_config.json|{"added_tokens_decoder": {"$((words + 5))": {$token}}}|its place in the vocabulary is $words
tokenizer_config.json|{"added_tokens_decoder": {"$words": {"lstrip": false}}}|lacks content
tokenizer_config.json|{"added_tokens_decoder": {"$words": {"content": "zz", "lstrip": 1}}}|lstrip must be true or false
tokenizer_config.json|{"added_tokens_decoder": {"7": {"content": ""}}}|is empty
tokenizer_config.json|{"added_tokens_decoder": {"4": {"content": "[MASK]", "lstrip": true}}}|'.MASK.' is the mask_token, but its entry does not say
tokenizer_config.json|{"mask_token": "zz", "added_tokens_decoder": {"$words": {"content": "zz"}}}|'zz' is the mask_token
added_tokens.json|{"zz": -1}|the id of 'zz' is not
added_tokens.json|{"zz": 4294967296}|the id of 'zz' is not
added_tokens.json|{"zz": 1.5}|the id of 'zz' is not
added_tokens.json|{"zz": "7"}|the id of 'zz' is not
added_tokens.json|{"zz": 3}|has the id 3, but its place
added_tokens.json|{"zz": $((words + 1))}|its place in the vocabulary is $words
added_tokens.json|{"zz": $words|not valid JSON
special_tokens_map.json|{"mask_token": 5}|mask_token is no token
special_tokens_map.json|{"mask_token": {"lstrip": true}}|lacks content
special_tokens_map.json||not valid JSON
END
    echo '{"unk_token": "nope"}' >"$work/bert/tokenizer_config.json"
    refuses "unk_token 'nope' is missing" "$work/bert"
    echo '{"tokenizer_class": "RobertaTokenizer"}' >"$work/bert/tokenizer_config.json"
    refuses 'vocab.txt: this form of vocabulary does not fit' "$work/bert"
    rm "$work/bert/tokenizer_config.json"
    # a new token's id is taken where lines are repeated
    sed -i '8p' "$work/bert/vocab.txt"
    echo "{\"zz\": $words}" >"$work/bert/added_tokens.json"
    refuses "share the id $words" "$work/bert"
    rm "$work/bert/added_tokens.json"
    sed -i 's/^\[CLS\]$/cls/' "$work/bert/vocab.txt"
    refuses "vocab.txt: the special token '\[CLS\]' is missing" "$work/bert"
    mv "$work/bert/vocab.txt" "$work/bert/sentencepiece.bpe.model"
    refuses 'sentencepiece.bpe.model: SentencePiece files are not implemented' "$work/bert"
}

@test "an added token whose files give it two ids is refused" {
    make_bert
    cp test/tokenizers/bert-as-filed/tokenizer.json "$work/bert"
    for token in '"[MASK]": 7' '"River run": 44' '"[SEP]": 900'; do
        echo "{$token}" >"$work/bert/added_tokens.json"
        refuses 'bert/added_tokens.json: .*the files belong to different models' "$work/bert"
    done
    echo '{"[MASK]": 4, "[SEP]": 3}' >"$work/bert/added_tokens.json"
    predict agree "$work/bert"
}

@test "ids that cannot be are refused with the file's name" {
    make_bert
    file="$work/bert/tokenizer.json"
    while IFS='|' read -r from to message; do
        sed "s/$from/$to/" test/tokenizers/bert-as-filed/tokenizer.json >"$file"
        ! cmp -s "$file" test/tokenizers/bert-as-filed/tokenizer.json || false
        refuses "bert/tokenizer.json: .*$message" "$work/bert" || { echo "$from -> $to"; return 1; }
    done <<'END'
"\[CLS\]", 2\]|"[CLS]", -1000000]|the id of 'cls' is not an integer from 0
"\[SEP\]", 3\]|"[SEP]", -1]|the id of 'sep' is not an integer from 0
"\[SEP\]", 3\]|"[SEP]", 4294967299]|the id of 'sep' is not an integer from 0
"\[SEP\]", 3\]|"[SEP]", "3"]|the id of 'sep' is not an integer from 0
"\[SEP\]", 3\]|"[SEP]", null]|the id of 'sep' is not an integer from 0
"\[SEP\]", 3\]|"[SEP]"]|lacks cls or sep
"id": 4,|"id": -4,|'\[MASK\]' has no id from 0
"id": 4,|"id": 4294967300,|'\[MASK\]' has no id from 0
"id": 4,|"id": 5,|has the id 5, but its place in the vocabulary is 4
"river": 7|"river": -7|the id -7
"river": 7|"river": 4294967303|the id 4294967303
"river": 7|"river": 8|share the id 8
"BertProcessing"|"Other"|post_processor 'Other' is not implemented
END
    template='"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": TYPE}}, {"Sequence": {"id": "A"}}],'
    template="$template \"pair\": [], \"special_tokens\": {\"[CLS]\": {\"ids\": [ID]}}"
    while IFS='|' read -r type id message; do
        text=$(echo "$template" | sed "s/TYPE/$type/; s/ID/$id/; s/[][]/\\\\&/g")
        sed "s/\"type\": \"BertProcessing\", \"sep\": \[\"\[SEP\]\", 3\], \"cls\": \[\"\[CLS\]\", 2\]/$text/" \
            test/tokenizers/bert-as-filed/tokenizer.json >"$file"
        grep -q TemplateProcessing "$file"
        refuses "bert/tokenizer.json: .*$message" "$work/bert"
    done <<'END'
4095|2|type_id that is neither 0 nor 1
-1|2|type_id that is neither 0 nor 1
0|-2|the id of '\[CLS\]' is not an integer
0|4294967298|the id of '\[CLS\]' is not an integer
END
    # where the template of the file is the one that counts
    echo '{"tokenizer_class": "TokenizersBackend"}' >"$work/bert/tokenizer_config.json"
    sed 's/"\[SEP\]", 3\]/"[SEP]", 9999]/' test/tokenizers/bert-as-filed/tokenizer.json >"$file"
    refuses "tokenizer.json: the template's id 9999 is not in the vocabulary" "$work/bert"
}

@test "a tokenizer of another model: the message names both files" {
    make_bert
    config "$work/bert" 's/"vocab_size": [0-9]*/"vocab_size": 5/'
    refuses 'bert/vocab.txt: token id .*: config.json has vocab_size 5' "$work/bert"
    config "$work/bert" 's/"type_vocab_size": [0-9]*/"type_vocab_size": 1/'
    refuses 'bert/vocab.txt makes token type 1, .*bert/config.json has type_vocab_size 1' "$work/bert"
    "$build/make_llama" "$work/llama"
    config "$work/llama" 's/"vocab_size": [0-9]*/"vocab_size": 2/'
    refuses 'llama/tokenizer.json: token id .*: config.json has vocab_size 2' "$work/llama"
    printf 'one line of text\nand another\n' >"$work/lines.txt"
    fails 65 'tokenizer.json: token id .*lines.txt:1.*vocab_size 2' $train --task lm --model "$work/llama" --data "$work/lines.txt" --epochs 0
}

@test "a template names a text once: twice it would be longer than what the model has positions for" {
    llama="$work/llama"
    "${BUILD:-build}/make_llama" "$llama"
    cp "$llama/tokenizer.json" "$work/kept"
    template() { # SINGLE PAIR, in which A and B are the texts and s is <s>
        local items=$(printf '%s\n%s' "$1" "$2" | sed 's/[AB]/{"Sequence": {"id": "&", "type_id": 0}},/g
            s/s/{"SpecialToken": {"id": "<s>", "type_id": 0}},/g; s/,$//')
        single=$(sed -n 1p <<<"$items") pair=$(sed -n 2p <<<"$items")
        sed "s|\"single\": \[[^]]*\]|\"single\": [$single]|; s|\"pair\": \[[^]]*\]|\"pair\": [$pair]|" "$work/kept" >"$llama/tokenizer.json"
    }
    template sA sAsB
    predict once "$llama"
    local bad
    for bad in 'sAA sAsB' 's ss' 'sA sAsBB' 'sA sAsA' 'sB sAsB' 'sA sBsA' 'As sAB' 'sA s'; do
        template $bad
        refuses 'tokenizer.json: a template that does not have A once' "$llama"
    done
}
