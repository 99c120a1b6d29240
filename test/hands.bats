# Command-line tests of what hands type and read: seeds, options that do not fit together, names from elsewhere, advice.

load common

setup() {
    workplace
    refused="$work/preds"
    appended="--preds $work/preds --quiet --threads 1"
    # a plan, and a run of two steps
    plan="--task rte --model tiny --data builtin --threads 1 --max-train 32 --max-eval 16 --dry-run --preds $work/plan"
    short="--task rte --model tiny --data builtin --threads 1 --max-train 32 --max-eval 16 --epochs 1 --quiet"
}

# planned N OPTIONS...: the plan is of N runs
planned() {
    local runs=$1
    shift
    $train $plan "$@" 2>"$work/err"
    grep -q "^work  *$runs runs\? of" "$work/err" || { cat "$work/err"; return 1; }
}

@test "numbers beyond a limit: the message names the one that is" {
    for case in '--epochs 10001|--epochs 10001: must be from 0 to 10000' '--batch 0|--batch 0: must be from 1 to 65536' \
        '--batch 65537|--batch 65537: must be from 1 to 65536'; do
        fails 64 "${case#*|}$" $train --task rte --data builtin ${case%|*}
    done
}

@test "seeds: lists, ranges, steps and mixtures of them" {
    planned 10 --seeds 42:132:10
    planned 5 --seeds 42-46
    planned 3 --seeds "42 52 62"
    planned 1 --seeds 7
    planned 7 --seeds "42, 52  62-64,70:80:10"
    planned 2 --seeds 18446744073709551614-18446744073709551615
    planned 2 --seeds 18446744073709551610:18446744073709551615:4
    planned 1000 --seeds 0-999
    $train $short --seeds "7:9:2 3" --preds "$work/preds" >/dev/null 2>&1
    [ "$(ls "$work"/preds/*.bin | sed 's/.*\.s//' | tr '\n' ' ')" = "3.bin 7.bin 9.bin " ]
}

@test "seeds: what is none is refused in one line" {
    for list in 42:132:10:1 1-2-3 1:2: : - 1- -1 +1 0x10 1.0 a 18446744073709551616 1-18446744073709551616 1:2:-1; do
        fails 64 "seeds: '$list' is neither" $train --task rte --seeds "$list"
    done
    fails 64 'a seed is missing' $train --task rte --seeds 42,,52
    fails 64 'a seed is missing' $train --task rte --seeds ,42
    fails 64 'a seed is missing' $train --task rte --seeds '42, '
    fails 64 'seed' $train --task rte --seeds ''
    fails 64 'seed' $train --task rte --seeds ' '
    fails 64 'range 132:42:10 ends before it begins' $train --task rte --seeds 132:42:10
    fails 64 'range 46-42 ends before it begins' $train --task rte --seeds 46-42
    fails 64 'range 1:5:0 has step 0' $train --task rte --seeds 1:5:0
    fails 64 'the seed 44 stands twice' $train --task rte --seeds 42-46,44
    fails 64 'the seed 50 stands twice' $train --task rte --seeds 10:90:20,40:60:10
    fails 64 'more than 1000 seeds' $train --task rte --seeds 0-1000
    fails 64 'more than 1000 seeds' $train --task rte --seeds 5,10-1009
    fails 64 'more than 1000 seeds' $train --task rte --seeds 0-18446744073709551615
}

@test "several seeds for --seed, or without their option: advice" {
    fails 64 'several seeds are --seeds 42,52$' $train --task rte --seed 42,52
    fails 64 "several seeds are --seeds '42 52'" $train --task rte --seed '42 52'
    fails 64 'several seeds are --seeds 42:62:10' $train --task rte --seed=42:62:10
    fails 64 'to 18446744073709551615$' $train --task rte --seed 42,x
    fails 64 'one argument, such as --seeds 42,52,62' $train --task rte --seeds 42 52
}

@test "options without effect are refused: adapters' without --lora or beside --adapter" {
    for option in --lora-r=4 --lora-alpha=8 --lora-dropout=0 --lora-targets=q --rslora --lora_r=8; do
        name=$(sed 's/=.*//; s/_/-/' <<<"$option")
        fails 64 "$name without --lora changes nothing" $train --task rte $option
        fails 64 "$name with --adapter" $train --task rte --adapter "$work/adapter" $option
        fails 64 "$name with --adapter" $train --task rte --lora --adapter "$work/adapter" $option
        planned 1 --lora $option
    done
}

@test "options without effect are refused: seeds, selection, steps, kernels, flags" {
    fails 64 'seed with --seeds' $train --task rte --seeds 42,52 --seed 7
    fails 64 'seed with --seeds' $train --task rte --seed 42 --seeds 42
    fails 64 'seeds: --seed-init, --seed-data and --seed-dropout' $train --task rte --seeds 1,2 --seed-init 1 --seed-data 2 --seed-dropout 3
    fails 64 'seed: --seed-init, --seed-data and --seed-dropout' $train --task rte --seed 1 --seed-init 1 --seed-data 2 --seed-dropout 3
    planned 1 --seed-init 1 --seed-data 2 --seed-dropout 3
    planned 2 --seeds 1,2 --seed-init 1 --seed-data 2
    fails 64 'select best with --eval-every 0' $train --task rte --select best --eval-every 0
    fails 64 'eval-every 3step: not a whole number .* of epochs, or Nsteps' $train --task rte --eval-every 3step
    fails 64 'eval-every steps: not a whole number' $train --task rte --eval-every steps
    fails 64 'max-steps 3 with --epochs 0' $train --task rte --max-steps 3 --epochs 0
    fails 64 'max-steps 1 with --epochs 0' $train --task rte --epochs 0.0 --max-steps 1
    fails 64 'layernorm_forward=float64 was chosen before' $train --task rte --kernel layernorm_forward=float64 --kernel layernorm_forward=serial
    fails 64 'lora takes no value' $train --task rte --lora=yes
    fails 64 'dry-run takes no value' $train --task rte --dry_run=1
}

@test "names with underscores are ours too; names of run_glue.py are explained all at once" {
    planned 2 --seeds 1,2 --weight_decay 0.1 --max_len 64 --seed_data 3
    grep -q 'length 64' "$work/err"
    fails 64 'learning_rate -> --lr$' $train --task rte --learning_rate 2e-5
    fails 64 'output-dir -> --preds' $train --task rte --output-dir=out
    fails 64 'task_name -> --task; --model_name_or_path -> --model FOLDER; --do_train -> leave it out; .*--warmup_ratio -> --warmup' \
        $train --task_name rte --model_name_or_path roberta-large --do_train --seed 42 --max_seq_length 128 --warmup_ratio 0.06
    for name in per_device_train_batch_size num_train_epochs warmup_steps overwrite_output_dir validation_file; do
        fails 64 "$name -> " $train --task rte --$name 3
    done
    fails 64 'learning_rat: no such option' $train --task rte --learning_rat 1
}

@test "--version and --help of train_gpt and merge" {
    for program in train_gpt merge; do
        "$programs/$program" --version >"$work/out"
        grep -q "^$program of seedbed [0-9][0-9.]*, commit [0-9a-z-]*\$" "$work/out"
        "$programs/$program" --help >"$work/out" 2>"$work/err"
        grep -q "^usage: $program" "$work/out"
        [ ! -s "$work/err" ]
    done
    $train --version --lora-r 4 >"$work/out"
}

@test "a model that is not there: the command that puts it into the folder asked for" {
    cd "$work"
    fails 66 ': no such model folder; get it with: hf download FacebookAI/roberta-large --local-dir roberta-large$' $train --task rte --model roberta-large
    fails 66 'get it with: hf download FacebookAI/roberta-base --local-dir /no/such/roberta-base$' $train --task rte --model /no/such/roberta-base/
    fails 66 'hf download google-bert/bert-base-uncased --local-dir bert-base-uncased$' $train --task rte --model bert-base-uncased
    fails 66 'hf download meta-llama/Llama-3.2-3B --local-dir llama-3.2-3b (accept its licence .* hf auth login)$' $train --task rte --model llama-3.2-3b --lora
    fails 66 'hf download FacebookAI/roberta-base --local-dir FacebookAI/roberta-base$' $train --task rte --model FacebookAI/roberta-base
    fails 66 'hf download some-org/some.model --local-dir some-org/some.model$' $train --task rte --model some-org/some.model
    fails 66 'hf download ORG/mine --local-dir mine$' $train --task rte --model mine
    fails 66 'hf download ORG/mine --local-dir ./a/mine$' $train --task rte --model ./a/mine
    fails 66 "hf download FacebookAI/roberta-base --local-dir 'my models/roberta-base'\$" $train --task rte --model 'my models/roberta-base'
    fails 66 "hf download ORG/NAME --local-dir 'it'.*'s here'\$" $train --task rte --model "it's here"
    mkdir -p models/roberta-large
    fails 66 'no config.json; .*hf download FacebookAI/roberta-large --local-dir models/roberta-large$' $train --task rte --model models/roberta-large
    fails 66 'hf download ORG/other --local-dir models/other$' $train --task rte --model models/other
    : >models/file
    fails 66 'models/file: a file; name the folder' $train --task rte --model models/file
    appended=""
    fails 66 'roberta-large: no such model folder; get it with: hf download FacebookAI/roberta-large' "$programs/merge" roberta-large adapter merged
    fails 66 'models/file: a file; name the folder' "$programs/merge" models/file adapter merged
    fails 66 'models/roberta-large: no config.json; .* hf download' "$programs/merge" models/roberta-large adapter merged
    [ ! -e merged ]
    appended=--quiet
    SEEDBED_MODEL=roberta-large fails 66 'FacebookAI/roberta-large --local-dir roberta-large$' $train --task rte
}

@test "the suggested command works as it stands: spaces, quotes, a dollar, a newline, a dash" {
    ln -s "$programs/consistency" "$work/consistency"
    cd "$work"
    for folder in plain 'two words' "it's" 'a$b"c' '*' $'two\nlines' '-dash' 'back\slash;x' ; do
        $train $short --preds "$folder" >"$work/out" 2>/dev/null
        [ "$(wc -l <"$work/out")" -ge 5 ]
        sed -n 's/^next: //p' "$work/out" >"$work/command"
        [ "$(wc -l <"$work/command")" -eq 1 ]
        bash "$work/command" >"$work/report" || { cat "$work/command"; return 1; }
        grep -q '^rte ' "$work/report"
    done
    $train $short --preds plain 2>/dev/null | grep -qx 'next: ./consistency plain/\*.bin'
}

@test "the time of a run: a range, or unknown while others use the cores" {
    $train $plan 2>"$work/err"
    grep -Eq '^work .*; (about (less than 1|[0-9.]+ to [0-9.]+) (s|min|h|d) a run|time unknown on a busy machine)$' "$work/err"
    $train $plan --seeds 1-3 2>"$work/err"
    grep -Eq '^work .*; (about .* a run, .* in all|time unknown on a busy machine)$' "$work/err"
    local spinners=""
    for i in $(seq $((3 * $(nproc)))); do
        (exec 3>&-; while :; do :; done) &
        spinners="$spinners $!"
    done
    local status=0
    for i in 1 2; do
        $train $plan --threads 0 2>"$work/err$i" || status=$?
    done
    kill $spinners
    wait $spinners 2>/dev/null || true
    [ "$status" -eq 0 ]
    grep -q '; time unknown on a busy machine$' "$work/err1" "$work/err2"
}

@test "options that change nothing in this run are named" {
    $train $plan --seed-dropout 3 --dropout 0 2>"$work/err"
    grep -q 'NOTE: --seed-dropout changes nothing: every dropout' "$work/err"
    $train $plan --epochs 0 --seed-dropout 3 --seed-data 4 2>"$work/err"
    [ "$(grep -c 'changes nothing: nothing is trained' "$work/err")" -eq 2 ]
    $train $plan --max-len 513 2>"$work/err"
    grep -q 'NOTE: --max-len 513: the model has positions for 512 tokens' "$work/err"
    $train $plan --max-steps 3 --epochs 2 2>"$work/err"
    grep -q 'NOTE: --epochs 2 changes nothing: --max-steps decides' "$work/err"
    $train $plan --select best --epochs 3 --eval-every 3 2>"$work/err"
    grep -q 'NOTE: --select best changes nothing: there is one evaluation' "$work/err"
    $train $plan --select best --max-steps 2 2>"$work/err"
    grep -q 'NOTE: --select best changes nothing' "$work/err"
    $train $plan --select best --epochs 3 --eval-every 2 2>"$work/err"
    if grep -q 'changes nothing' "$work/err"; then false; fi
    $train $plan --seed-dropout 3 --seed-data 4 --max-len 512 2>"$work/err"
    if grep -q 'changes nothing\|positions for' "$work/err"; then cat "$work/err"; false; fi
    $train $plan --dropout 0 --lora --lora-dropout 0.1 --seed-dropout 3 2>"$work/err"
    if grep -q 'changes nothing' "$work/err"; then false; fi
}

# the model folder of a run, whole
make_model() {
    $train $short --preds "$work/made" --save "$work/model" "$@" >/dev/null 2>&1
}

@test "seeds that change nothing are named: a model with its head" {
    make_model
    local run="$train --task rte --data builtin --max-train 32 --max-eval 16 --threads 1 --dry-run --model"
    $run "$work/model" --seed-init 3 2>"$work/err"
    grep -q 'NOTE: --seed-init changes nothing: all weights are from files' "$work/err"
    $run "$work/model" --epochs 0 --seeds 1,2 2>"$work/err"
    grep -q 'NOTE: all seeds give the same' "$work/err"
    $run "$work/model" --seed-init 3 --lora 2>"$work/err"
    if grep -q 'changes nothing' "$work/err"; then false; fi
    $run tiny --seed-init 3 --epochs 0 --seeds 1,2 2>"$work/err"
    if grep -q 'changes nothing\|give the same' "$work/err"; then false; fi
}

# the files below $work, but what fails() itself writes
listing() {
    (cd "$work" && find . -type f ! -name out ! -name err ! -name message ! -name '*.list' -exec sha256sum {} + ; find . ) | grep -v 'out$\|err$\|message$\|list$' | sort
}

@test "--dry-run reads the weights, and writes nothing" {
    make_model
    local bad="$work/bad" dry="$train --task rte --data builtin --dry-run --model $work/bad --save $work/new/m"
    fresh() { rm -rf "$bad"; cp -r "$work/model" "$bad"; }
    refused_model() { listing >"$work/before.list"; fails 65 "$@" $dry; listing >"$work/after.list"; cmp "$work/before.list" "$work/after.list"; }
    fresh
    listing >"$work/before.list"
    $dry --seeds 1-3 --preds "$work/other/preds" --threads 1 2>"$work/err"
    grep -q '^dry run: .* nothing was written$' "$work/err"
    listing >"$work/after.list"
    cmp "$work/before.list" "$work/after.list"
    head -c 60000 "$work/model/model.safetensors" >"$bad/model.safetensors"
    refused_model 'model.safetensors: offset'
    fresh; sed -i '1s/layer\.1\.attention\.self\.query\.weight/layer.9.attention.self.query.weight/' "$bad/model.safetensors"
    refused_model "layer.1.attention.self.query.weight' is missing"
    fresh; sed -i '1s/"dtype":"F32"/"dtype":"I32"/' "$bad/model.safetensors"
    refused_model 'I32'
    fresh; sed -i 's/"intermediate_size": [0-9]*/"intermediate_size": 96/' "$bad/config.json"
    refused_model 'has shape'
    fresh; size=$(stat -c %s "$bad/model.safetensors")
    printf '\377\377\377\377' | dd of="$bad/model.safetensors" bs=1 seek=$((size - 4)) conv=notrunc 2>/dev/null
    refused_model 'is not finite'
    fresh; rm "$bad/model.safetensors"
    fails 66 'model.safetensors' $dry
    fails 65 'start from a model without this head' $train --task cb --data builtin --dry-run --model "$work/model"
}

@test "--dry-run reads the adapter" {
    make_model --lora
    local bad="$work/bad" dry="$train --task rte --data builtin --dry-run --model tiny --adapter $work/bad"
    cp -r "$work/model" "$bad"
    $dry --threads 1 2>"$work/err"
    grep -q '^dry run: ' "$work/err"
    head -c 5000 "$work/model/adapter_model.safetensors" >"$bad/adapter_model.safetensors"
    fails 65 'adapter_model.safetensors: offset' $dry
    cp "$work/model/adapter_model.safetensors" "$bad"
    sed -i '1s/lora_A/lora_X/' "$bad/adapter_model.safetensors"
    fails 65 'has no place in this model' $dry
    rm "$bad/adapter_model.safetensors"
    fails 66 'name a PEFT folder' $dry
}

@test "--dry-run, and every run before the first one: folders and files that cannot be created" {
    : >"$work/file"
    mkdir "$work/there"
    for dry in --dry-run ""; do
        appended=--quiet
        fails 73 "$work/file: a file has that name" $train $short $dry --preds "$work/file"
        fails 73 "$work/file/a/b: Not a directory" $train $short $dry --preds "$work/file/a/b"
        fails 73 "$work/file: a file has that name" $train $short $dry --preds "$work/there/p" --save "$work/file"
        fails 73 'Not a directory' $train $short $dry --preds "$work/there/p" --save "$work/file/x" --seeds 1,2
        ln -sf "$work/nowhere" "$work/link"
        fails 73 "$work/link: a file has that name" $train $short $dry --preds "$work/link"
        [ -z "$(ls -A "$work/there")" ]
    done
    # the file of the third seed, and of a model, are in the way: seen before the first run
    $train $short --seeds 1-3 --preds "$work/preds" >/dev/null 2>&1
    third=$(ls "$work"/preds/*.s3.bin)
    rm "$third"
    mkdir "$third"
    mkdir -p "$work/m/s2/model.safetensors"
    for dry in --dry-run ""; do
        listing >"$work/before.list"
        local status=0
        $train $short $dry --seeds 1-3 --preds "$work/preds" >"$work/out" 2>"$work/err" || status=$?
        [ "$status" -eq 73 ]
        grep -q "s3.bin: a folder has that name" "$work/err"
        status=0
        $train $short $dry --seeds 1,2 --preds "$work/preds" --save "$work/m" >"$work/out" 2>"$work/err" || status=$?
        [ "$status" -eq 73 ]
        grep -q "m/s2/model.safetensors: a folder has that name" "$work/err"
        [ ! -s "$work/out" ]
        listing >"$work/after.list"
        cmp "$work/before.list" "$work/after.list"
    done
    [ "$(id -u)" -ne 0 ] || skip "root may write everywhere"
    chmod 555 "$work/there"
    fails 77 'check its permissions' $train $short --dry-run --preds "$work/there/p"
}

# narrow FILE: no line has more than 80 characters
narrow() {
    ! tr -d '\200-\277' <"$1" | grep -n '.\{81,\}' || false
}

@test "help, the first lines of a run and a report are at most 80 columns wide" {
    for program in train_gpt consistency merge tracediff check; do
        "$programs/$program" --help >"$work/help"
        narrow "$work/help"
    done
    "$programs/train_gpt" --help | grep -q '^  lm '
    $train $plan 2>"$work/err"
    [ "$(grep -c '^NOTE: ' "$work/err")" -eq 3 ]
    grep '^NOTE: ' "$work/err" >"$work/notes"
    narrow "$work/notes"
    grep -q ', 16 epochs, warm-up [0-9]* steps, ' "$work/err"
    $train $plan --epochs 1 --batch 32 2>"$work/err"
    grep -q ', 1 epoch, warm-up 1 step, ' "$work/err"
    grep -q 'of 1 step, ' "$work/err"
    # thirteen runs that learn nothing: a long warning; a command in a warning stays on one line
    $train $short --seeds 1000001-1000013 --preds "$work/preds" >/dev/null 2>&1
    "$programs/consistency" "$work/preds" >"$work/out"
    narrow "$work/out"
    grep -q '^  ! 13 of 13 runs collapsed (' "$work/out"
    grep -q '^    .*1000013$' "$work/out"
}
