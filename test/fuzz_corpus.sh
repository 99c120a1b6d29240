#!/bin/bash
# fuzz_corpus.sh FOLDER: what the fuzzers begin with, a folder for each of test/fuzz_*.c: small files that readers take, most
# of them made here, some by train_gpt, make_llama and make_roberta of $PROGRAMS and $BUILD. test/fuzz.h says what an input
# is, $FUZZ_RUN (test/fuzz.sh) of which run the checkpoint is.
set -eu
out=$1
build=${BUILD:-build} programs=${PROGRAMS:-.}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for target in test/fuzz_*.c; do mkdir -p "$out/$(basename "$target" .c)"; done

# put TARGET NAME LETTER FILE [LETTER FILE]...: an input of these files
put() {
    local to=$out/$1/$2 between=
    shift 2
    : >"$to"
    while [ $# -gt 0 ]; do
        { printf '%b%s' "$between" "$1"; cat "$2"; } >>"$to"
        between='\n%%'
        shift 2
    done
}

# text TARGET NAME LETTER FORMAT: an input of one file, as printf writes it
text() {
    { printf '%s' "$3"; printf "$4"; } >"$out/$1/$2"
}

# --- tokenizers: the folders of test/tokenizers ---
letters=(tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json vocab.json merges.txt vocab.txt config.json)
for folder in test/tokenizers/*/; do
    files=()
    for i in "${!letters[@]}"; do
        letter=$(printf "\\x$(printf %x $((97 + i)))")
        if [ -f "$folder${letters[i]}" ]; then files+=("$letter" "$folder${letters[i]}"); fi
    done
    put fuzz_tokenizers "$(basename "$folder")" "${files[@]}"
done
"$build/make_llama" "$work/llama" 8
printf 'A text: 12 caf\303\251s,  the river' >"$work/text"
put fuzz_tokenizers digits a "$work/llama/tokenizer.json" i "$work/text"

# --- models: a decoder, an adapter for it, both as shards, an encoder; configurations alone ---
mkdir -p "$out/model"
cp "$work"/llama/* "$out/model"
# shellcheck disable=SC2086
"$programs/train_gpt" $FUZZ_RUN --save "$work/adapter" --save-every 1 --keep-checkpoints --preds "$work/preds" --quiet >/dev/null 2>&1
put fuzz_models decoder b "$work/llama/config.json" a "$work/llama/model.safetensors"
put fuzz_models adapter b "$work/llama/config.json" a "$work/llama/model.safetensors" c "$work/adapter/adapter_config.json" \
    d "$work/adapter/adapter_model.safetensors"
"$build/make_roberta" "$work/roberta" "$work/llama/tokenizer.json" 1 4 257
put fuzz_models encoder b "$work/roberta/config.json" a "$work/roberta/model.safetensors"
printf '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}' >"$work/index"
put fuzz_models shards b "$work/llama/config.json" e "$work/index" f "$work/llama/model.safetensors" \
    g "$work/adapter/adapter_model.safetensors"
bert='"vocab_size": 30, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2'
text fuzz_models bert b "{\"model_type\": \"bert\", $bert, \"layer_norm_eps\": 1e-12, \"id2label\": {\"0\": \"no\", \"1\": \"yes\"}}"
text fuzz_models llama3 b "{\"model_type\": \"llama\", $bert, \"num_key_value_heads\": 1, \"head_dim\": 4, \"rope_scaling\":
    {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4,
    \"original_max_position_embeddings\": 16}, \"rope_theta\": 1e4}"

# --- data: the first letter is the task in the order of tasks.def, the second the form of the file (test/fuzz_data.c) ---
i=0
while read -r rows; do
    printf -v letter "\\x$(printf %x $((97 + i)))"
    i=$((i + 1))
    text fuzz_data "task-$i" "$letter" "$rows"
done <<'ROWS'
asrc\t0\t\ta b.\nsrc\t1\t*\tc.\n
asentence\tlabel\na b \t1\nc\t0\n
aQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\ta "b\tc\n0\t9\t10\td\te\n
aindex\tsentence1\tsentence2\tscore\n0\ta\tb\t3.8\n1\tc\td\t0.5\n
aid\tquestion1\tquestion2\tis_duplicate\n1\ta\tb\t0\n2\tc\n c\td\t1\n3\te\tf\t1\n
aindex\tquestion\tsentence\tlabel\n0\ta?\tb\tentailment\n1\tc?\td\tnot_entailment\n
aindex\tsentence1\tsentence2\tlabel\r\n0\ta \303\251\tb\tentailment\r\n1\tc\td\tnot_entailment\n
aindex\tsentence1\tsentence2\tgold_label\n0\ta\tb\tneutral\n1\tc\td\tcontradiction\n
aindex\tsentence1\tsentence2\tlabel\n0\ta\tb\t0\n1\tc\td\t1\n
b{"question": "a", "passage": "b c", "label": true, "idx": 0}\n{"question": "d", "passage": "e", "label": false}\n
b{"premise": "a", "hypothesis": "b\\u00e9", "label": "neutral"}\n{"premise": "a", "hypothesis": "\\ud83d\\ude00", "label": "entailment"}\n
b{"premise": "A.", "choice1": "B.", "choice2": "C.", "question": "cause", "label": 1, "idx": 0}\n
b{"idx": 7, "passage": {"text": "a b. ", "questions": [{"question": "c?", "answers": [{"text": "d", "label": 1}, {"text": " ", "label": 0}]}]}}\n
b{"premise": "a", "hypothesis": "b", "label": "entailment"}\n{"premise": "c", "hypothesis": "d", "label": "not_entailment"}\n
b{"word": "a", "sentence1": "a b", "sentence2": "c a", "idx": 0, "label": false, "start1": 0, "start2": 2, "end1": 1, "end2": 3}\n
b{"text": "Ann s cat saw \303\251 the  dog; it ran", "label": true, "target": {"span1_index": 4, "span1_text": "The\\ndog", "span2_index": 6, "span2_text": "it"}}\n
aindex\tsentence1\tsentence2\tlabel\n0\ta\tb\tneutral\n
a{"sentence1": "a", "sentence2": "b", "label": "entailment", "idx": 0}\n
a{"premise": "a", "hypothesis": "b", "label": "entailment", "idx": 0}\n{"premise": "c", "hypothesis": "b", "label": "not_entailment"}\n
csentence1,sentence2,label,idx\n"a ""b""",c,x,0\nd,"e\n",y,1\n
atext\tlabel\na\t1.5\nb\t2\n
aIt is a text of two.\nLines and more words than one.\n\nAnother \303\251 document of the same.\n
ROWS
text fuzz_data choice t 'cpremise,choice1,choice2,label\na,b,c,0\nd,e,f,1\n'
text fuzz_data endings t 'b{"ctx": "a", "endings": ["b", "c"], "label": 0}\n{"ctx": "d", "endings": ["e", "f"], "label": 1}\n'
text fuzz_data multirc-csv m 'cparagraph,question,answer,idx,label\n"a, b",c,d,"{'"'paragraph': 3, 'question': 0, 'answer': 0"'}",True\n'
text fuzz_data wsc-csv p 'ctext,span1_index,span1_text,span2_index,span2_text,label\n"Ann, she ran",0,Ann,1,she,1.0\n'
text fuzz_data hidden g 'iindex\tsentence1\tsentence2\n0\ta\tb\n1\tc\td\n'
zeros=$(printf '\\0%.0s' {1..64}) # a header, which the target puts right; ids, types and lengths of [CLS] and [SEP]
for form in i j; do # of two sequences, of four
    count=2 ids= types= lengths=
    [ $form = i ] || count=4
    for ((i = 0; i < count; i++)); do ids+='\2\0\0\0\3\0\0\0' types+='\0\0' lengths+='\2\0\0\0'; done
    text fuzz_data "kept-$form" v "$form$zeros$ids$types$lengths"
done
text fuzz_data quoted b 'a\tsentence\tidx\tlabel\n0\t"a\tb"\t0\tpositive\n'

# --- predictions: of a decoder, with its evaluations; of scores, of clusters ---
for task in rte stsb multirc; do
    "$programs/train_gpt" --task "$task" --model tiny --data builtin --max-train 8 --max-eval 8 --epochs 1 --preds "$work/preds" \
        --quiet >/dev/null 2>&1
done
i=0
for file in "$work"/preds/*.bin; do
    i=$((i + 1))
    put fuzz_preds "run-$i" a "$file"
done
for seed in 1 2; do
    "$programs/train_gpt" --task cb --model tiny --data builtin --max-train 8 --max-eval 4 --epochs 1 --seed $seed --preds "$work/two" \
        --quiet >/dev/null 2>&1
done
put fuzz_preds two a "$(ls "$work"/two/*.s1.bin)" a "$(ls "$work"/two/*.s2.bin)"
printf 'model,task,zeta,VAR,CON,CCON\nm,RTE,80,1,90,75\n' >"$work/table"
printf '{"N": 8, "S": 1, "CON": null, "zeta": 0.5, "bootstrap_draws": [{"m": [1], "w": [1, 0, 1, 0, 1, 2, 1, 0], "CON": 1}]}' \
    >"$work/expected"
put fuzz_preds expected a "$(ls "$work"/preds/*rte.validation.tiny*.bin)" e "$work/table" g "$work/expected"
text fuzz_preds labels b 'id,label,prediction\n0,a,a\n1,b,"a"\n'
text fuzz_preds scores b 'id,label,a,b\n0,a,.5,.5\n1,b,1,-2\n'
text fuzz_preds index c 'index\tprediction\n0\ta\n1\tb\n\n%%%%d0\ta\n1\ta\n'
text fuzz_preds table e 'model,task,zeta,VAR,CON,CCON\nm,RTE,80,1,90,75\n\n%%%%hRTE\t2490\n'
text fuzz_preds table-json f '{"m": {"RTE": [80, 1, 90, 75], "seeds": 5}}'

# --- runs: a recipe, a trace, the checkpoint of $FUZZ_RUN; a study, a claim ---
text fuzz_runs recipe a '{"source": "a", "base": "hf", "settings": {"lr": 1e-5, "warmup": 0.1, "select": "best"}, "tasks": {"rte":
    {"lr": "2e-5", "lora": true, "lora_r": 8}}}'
# shellcheck disable=SC2086
"$programs/train_gpt" $FUZZ_RUN --max-steps 1 --trace "$work/trace" --preds "$work/traced" --quiet >/dev/null 2>&1
put fuzz_runs trace b "$work/trace"
text fuzz_study claim b '3\nhost - - 17\n'
text fuzz_study study a '{"cells": [{"hparams": {"lr": "0.1"}, "model": "tiny", "receipts": {"task": "rte"}, "recipe": "tiny", "task":
    "rte"}], "format": "seedbed-study", "format_version": "1"}'
checkpoint=$(ls -d "$work"/preds/*.checkpoints/checkpoint-* | tail -n 1)
put fuzz_runs checkpoint c "$checkpoint/trainer_state.json" b "$checkpoint/log.jsonl" c "$checkpoint/weights.safetensors" \
    d "$checkpoint/optimizer.safetensors" e "$checkpoint/kept.safetensors" f "$checkpoint/history.safetensors"
