#include "setup.h"
#include "adapter.h"
#include "adapter_config.h"
#include "download.h"
#include "pack.h"
#include "text.h"
#include "threads.h"
#include "token_cache.h"
#include "watch.h"

#include <libgen.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The stand-in model: BERT's architecture, small, over the words of the built-in grammars. */
static json_t *tiny_config(int V)
{
    return json_pack(
        "{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:s}", "model_type",
        "bert", "vocab_size", V, "hidden_size", 64, "intermediate_size", 128, "num_hidden_layers",
        2, "num_attention_heads", 4, "max_position_embeddings", 512, "type_vocab_size", 2,
        "pad_token_id", 0, "layer_norm_eps", 1e-5, "hidden_dropout_prob", 0.1,
        "attention_probs_dropout_prob", 0.1, "initializer_range", 0.05, "hidden_act", "gelu");
}

/* The folder of --model or its variable, or "tiny". */
static const char *model_of(const Options *options)
{
    const char *variable = getenv("SEEDBED_MODEL");
    return options->model ? options->model : variable && *variable ? variable : "tiny";
}

static int open_model_files(Setup *setup, Config *config, Error *error)
{
    const char *folder = model_of(setup->options);
    if (!strcmp(folder, "tiny")) {
        int count;
        const char *const *words = builtin_words(&count);
        setup->tokenizer = tokenizer_from_words(words, count);
        setup->model_name = string_copy("tiny");
        json_t *json = tiny_config(count);
        char *text = json_canonical(json);
        sha256_hex(setup->model_sha256, text, strlen(text));
        free(text);
        return config_from_json(config, json, "tiny", error);
    }
    int is_folder;
    if (path_look(folder, &is_folder, error)) {
        return error->code;
    }
    if (!is_folder) {
        return model_missing(folder, error);
    }
    setup->model_folder = folder;
    char *copy = string_copy(folder);
    setup->model_name = string_copy(basename(copy));
    free(copy);
    for (char *c = setup->model_name; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7F) {
            *c = '_';
        }
    }
    char *path = string_format("%s/config.json", folder);
    int code = config_read(config, path, error);
    if (code == EXIT_NO_INPUT) {
        code = model_missing(folder, error);
    }
    free(path);
    if (!code && tokenizer_open(&setup->tokenizer, folder, error)) {
        config_free(config);
        code = error->code;
    }
    return code;
}

/* Threads of the host, which read and tokenize. */
static int host_threads(const Setup *setup)
{
    int threads = option_count(setup->options->threads);
    return threads ? threads : threads_available();
}

static Encoding encoding_of(const Setup *setup, int decoder, int V)
{
    return (Encoding){setup->tokenizer, decoder, setup->recipe.max_len, V, host_threads(setup),
                      setup->recipe.spans};
}

static int open_text(Setup *setup, const Config *config, Error *error)
{
    const Recipe *r = &setup->recipe;
    const char *data = setup->options->data;
    if (config->architecture != ARCH_LLAMA) {
        return error_set(error, EXIT_BAD_DATA,
                         "%s: an encoder is no language model; --task lm needs a Llama folder "
                         "(--model)",
                         setup->model_name);
    }
    if (setup->options->epoch_preds || setup->options->predict_test) {
        return error_set(error, EXIT_USAGE,
                         "--%s with --task lm: no predictions are written; leave it out",
                         setup->options->epoch_preds ? "epoch-preds" : "predict-test");
    }
    if (!data || !strcmp(data, "builtin") || !path_exists(data)) {
        return error_set(error, data ? EXIT_NO_INPUT : EXIT_USAGE,
                         "--task lm: %s; name a text file, or a folder with train.txt and "
                         "validation.txt, with --data",
                         data ? "no such text" : "--data is missing");
    }
    Encoding encoding = encoding_of(setup, 0, config->V);
    return text_read(&setup->train, &setup->dev, &setup->train_ids, &setup->dev_ids, setup->task,
                     data, &encoding, r->max_train, r->max_eval, error);
}

/* Files of one's own. */
static int open_own(Setup *setup, int decoder, Error *error)
{
    const Options *o = setup->options;
    const Recipe *r = &setup->recipe;
    int bad = o->allow_bad_rows != NULL, threads = host_threads(setup);
    if (own_read(&setup->own, &setup->train, o->train_file, "train", r->max_train, bad, threads,
                 error) ||
        own_read(&setup->own, &setup->dev, o->dev_file, "validation", r->max_eval, bad, threads,
                 error)) {
        return error->code;
    }
    if (o->test_file) {
        if (own_read(&setup->own, &setup->further[0], o->test_file, "test", r->max_eval, bad,
                     threads, error)) {
            return error->code;
        }
        setup->further_count = 1;
    }
    setup->columns = own_columns(&setup->own, decoder);
    setup->recipe.columns = setup->columns;
    return 0;
}

/* What a run predicts beside the dev set: where it is there, and its own test split where that is
 * asked for. */
static int open_further(Setup *setup, int bad, Error *error)
{
    const Split *split;
    for (int i = 0; (split = task_further(setup->task, i)); i++) {
        const Task *task = task_known(split->task);
        int test = task == setup->task && !strncmp(split->name, "test", 4);
        if (test ? !setup->options->predict_test
                 : !dataset_exists(task, setup->data_folder, split->name)) {
            continue;
        }
        if (dataset_read(&setup->further[setup->further_count], task, setup->data_folder,
                         split->name, setup->recipe.max_eval, bad, host_threads(setup), error)) {
            return error->code;
        }
        setup->further_count++;
    }
    return 0;
}

static int choose_task(Setup *setup, Error *error)
{
    const Options *o = setup->options;
    const OwnRequest request = {.name = o->task,
                                .texts = o->text_columns,
                                .label = o->label_column,
                                .id = o->id_column,
                                .problem = o->problem,
                                .template = o->template};
    setup->task = &setup->own.task;
    if (o->train_file) {
        return own_init(&setup->own, &request, error);
    }
    setup->task = task_find(o->task, error);
    return setup->task ? 0 : error->code;
}

static int open_data(Setup *setup, Error *error)
{
    const char *named = setup->options->data, *variable = getenv("SEEDBED_DATA"), *folder = named;
    const Recipe *r = &setup->recipe;
    if (!named && variable && *variable && dataset_exists(setup->task, variable, "train")) {
        folder = variable;
    } else if (!named && dataset_exists(setup->task, "data", "train")) {
        folder = "data";
    }
    if (!folder || !strcmp(folder, "builtin")) {
        if (setup->options->predict_test) {
            return error_set(error, EXIT_USAGE,
                             "--predict-test: the built-in sample has no test split; name the "
                             "official files with --data");
        }
        setup->builtin = 1;
        dataset_builtin(&setup->train, setup->task, "train", r->max_train);
        dataset_builtin(&setup->dev, setup->task, "validation", r->max_eval);
        return 0;
    }
    int is_folder;
    if (path_look(folder, &is_folder, error)) {
        return error->code;
    }
    if (!is_folder) {
        return error_set(error, EXIT_NO_INPUT,
                         path_exists(folder)
                             ? "%s: a file; --data takes the folder that it is in"
                             : "%s: no such data folder; put the official files there "
                               "(docs/TASKS.md says where to get them)",
                         folder);
    }
    setup->data_folder = folder;
    int bad = setup->options->allow_bad_rows != NULL, threads = host_threads(setup);
    return dataset_read(&setup->train, setup->task, folder, "train", r->max_train, bad, threads,
                        error) ||
                   dataset_read(&setup->dev, setup->task, folder, "validation", r->max_eval, bad,
                                threads, error) ||
                   open_further(setup, bad, error)
               ? error->code
               : 0;
}

/* One half of the dev set selects, the other is reported. */
static int halve_dev(Setup *setup, Error *error)
{
    if (setup->recipe.select != SELECT_HALF || !dataset_halve(&setup->dev, &setup->half)) {
        return 0;
    }
    return error_set(error, EXIT_USAGE, "%s: --select half: there is one %s, which has no half",
                     setup->dev.path, setup->dev.examples[0].cluster < 0 ? "example" : "paragraph");
}

/* The adapters that the options or the named folder ask for. */
static int choose_lora(Setup *setup, const Config *config, Error *error)
{
    const Options *o = setup->options;
    LoraConfig *lora = &setup->recipe.lora;
    if (o->adapter) {
        char *path = string_format("%s/adapter_config.json", o->adapter),
             *weights = string_format("%s/adapter_model.safetensors", o->adapter);
        File file;
        int code = adapter_config_read(lora, path, config, error);
        if (!code && !file_map(&file, weights, error)) {
            sha256_hex(setup->recipe.start, file.bytes, file.size);
            file_unmap(&file);
        } else if (!code) {
            code = error->code;
        }
        if (code == EXIT_NO_INPUT) {
            error_set(
                error, code,
                "%s: no adapter_config.json with adapter_model.safetensors; name a PEFT folder",
                o->adapter);
        }
        free(path);
        free(weights);
        if (code) {
            return code;
        }
    } else if (o->lora) {
        if (lora_targets(&lora->targets, o->lora_targets, config->architecture, error)) {
            return recipe_blame(o, "lora_targets", error);
        }
    }
    if (lora->targets && config->L > LORA_MAX_LAYERS) {
        return error_set(error, EXIT_BAD_DATA,
                         "%s: adapters on more than %d layers are not implemented",
                         setup->model_name, LORA_MAX_LAYERS);
    }
    return 0;
}

static int check_types(const Setup *setup, const Encoded *encoded, int types, Error *error)
{
    for (size_t i = 0;
         i < encoded->start[(size_t)encoded->dataset->count * (size_t)encoded->choices]; i++) {
        if (encoded->types[i] < 0 || encoded->types[i] >= types) {
            return error_set(error, EXIT_BAD_DATA,
                             "%s makes token type %d, %s/config.json has type_vocab_size %d; they "
                             "belong to different models",
                             tokenizer_path(setup->tokenizer), encoded->types[i],
                             setup->model_folder ? setup->model_folder : "tiny", types);
        }
    }
    return 0;
}

static int encode_one(Setup *setup, Encoded *ids, const Dataset *dataset, int decoder, int types,
                      int V, Error *error)
{
    Encoding encoding = encoding_of(setup, decoder, V);
    return encode_cached(ids, dataset, &encoding, TOKEN_CACHE_LEAST, error) ||
                   (!decoder && check_types(setup, ids, types, error))
               ? error->code
               : 0;
}

/* All examples as ids. */
static int encode_all(Setup *setup, int decoder, int types, int V, Error *error)
{
    int code = encode_one(setup, &setup->train_ids, &setup->train, decoder, types, V, error) ||
               encode_one(setup, &setup->dev_ids, &setup->dev, decoder, types, V, error) ||
               (setup->half.count &&
                encode_one(setup, &setup->half_ids, &setup->half, decoder, types, V, error));
    for (int i = 0; i < setup->further_count && !code; i++) {
        code = encode_one(setup, &setup->further_ids[i], &setup->further[i], decoder, types, V,
                          error);
    }
    return code ? error->code : 0;
}

const Encoded *setup_set(const Setup *setup, int i)
{
    return i == 0 ? &setup->dev_ids : i <= setup->further_count ? &setup->further_ids[i - 1] : NULL;
}

const char *setup_metric(const Setup *setup, const Dataset *dataset)
{
    const char *chosen = setup->recipe.metric;
    return chosen && dataset->task == setup->task ? chosen : metric_name(dataset->task->metric);
}

int setup_most_evaluated(const Setup *setup)
{
    int most = int_max(setup->dev.count, setup->half.count);
    for (int i = 0; i < setup->further_count; i++) {
        most = int_max(most, setup->further[i].count);
    }
    return most;
}

int setup_keeps_best(const Setup *setup, const char *save)
{
    return setup->recipe.select && (save || setup->further_count);
}

static void set_dropout(Config *config, const Recipe *r)
{
    if (r->dropout >= 0) {
        config->dropout = config->attention_dropout = config->head_dropout = (float)r->dropout;
    }
    if (r->attention_dropout >= 0) {
        config->attention_dropout = (float)r->attention_dropout;
    }
    if (r->head_dropout >= 0) {
        config->head_dropout = (float)r->head_dropout;
    }
}

int setup_open(Setup *setup, Options *options, Error *error)
{
    static const Problem problems[] = {PROBLEM_SINGLE, PROBLEM_CHOICE, PROBLEM_REGRESSION,
                                       PROBLEM_LANGUAGE};
    Config config = {0};
    *setup = (Setup){.options = options};
    if (!options->task) {
        return error_set(error, EXIT_USAGE,
                         "--task is missing; for example: train_gpt --task boolq --seed 52");
    }
    if (option_count(options->threads) > 1024) {
        return error_set(error, EXIT_USAGE, "--threads %s: at most 1024", options->threads);
    }
    int code = choose_task(setup, error) ||
                       backend_init(&setup->backend, options->device, options->simd,
                                    option_count(options->threads), error)
                   ? error->code
                   : 0;
    for (int i = 0; i < options->kernel_count && !code; i++) {
        code = backend_choose(&setup->backend, options->kernels[i], error);
    }
    code = code ? code : backend_choose_dtype(&setup->backend, options->dtype, error);
    int tiny = !strcmp(model_of(options), "tiny");
    if (!code && (recipe_open(&setup->named, options, setup->task, tiny, error) ||
                  recipe_make(&setup->recipe, options, setup->task, error) ||
                  open_model_files(setup, &config, error) ||
                  recipe_check_model(&setup->named, config.architecture == ARCH_LLAMA, error))) {
        code = error->code;
    }
    if (options->perturb) {
        size_t used = strlen(setup->backend.variants);
        int all = snprintf(setup->backend.variants + used, sizeof setup->backend.variants - used,
                           "%sperturb=%s", used ? "," : "", options->perturb);
        if (!code && all >= (int)(sizeof setup->backend.variants - used)) {
            code = error_set(error, EXIT_USAGE, "--perturb beside so many of --kernel: name fewer");
        }
    }
    setup->recipe.dtype = setup->backend.dtype;
    setup->recipe.kernels = setup->backend.variants;
    if (!code) {
        int longest = config_longest(&config), most = tokenizer_longest(setup->tokenizer);
        longest = most < longest ? most : longest;
        setup->recipe.max_len = longest < setup->recipe.max_len ? longest : setup->recipe.max_len;
        if (setup->task->kind == KIND_LANGUAGE && setup->recipe.max_len < 2) {
            code = error_set(error, EXIT_USAGE, "--max-len %d: a window needs two tokens",
                             setup->recipe.max_len);
        }
    }
    if (!code && config.architecture == ARCH_LLAMA && setup->task->kind != KIND_LANGUAGE &&
        !setup->task->decoder && setup->task->form != FORM_OWN) {
        code = error_set(error, EXIT_USAGE,
                         "--task %s: no text for a decoder is defined; name a RoBERTa or BERT with "
                         "--model",
                         setup->task->name);
    }
    if (!code && (choose_lora(setup, &config, error) ||
                  (setup->task->kind == KIND_LANGUAGE ? open_text(setup, &config, error)
                   : setup->task->form == FORM_OWN
                       ? open_own(setup, config.architecture == ARCH_LLAMA, error)
                       : open_data(setup, error)) ||
                  halve_dev(setup, error))) {
        code = error->code;
    }
    if (!code) {
        code = recipe_choose_metric(&setup->recipe, options, setup->task, error);
    }
    if (code) {
        config_free(&config);
        setup_close(setup);
        return code;
    }
    set_dropout(&config, &setup->recipe);
    config.spans = setup->recipe.spans;
    int types = config.types, V = config.V, decoder = config.architecture == ARCH_LLAMA;
    const LoraConfig *lora = setup->recipe.lora.targets ? &setup->recipe.lora : NULL;
    model_init(&setup->model, config, problems[setup->task->kind], setup->task->K, lora,
               &setup->backend);
    setup->model.init_head = options->init_head || options->adapter; /* its own head comes later */
    if (setup->task->kind != KIND_LANGUAGE) {
        setup->model.task = setup->task->name;
        setup->model.labels = setup->task->labels;
    }
    if (setup->task->kind != KIND_LANGUAGE && encode_all(setup, decoder, types, V, error)) {
        setup_close(setup);
        return error->code;
    }
    return 0;
}

void tell_stand_ins(int data, int model)
{
    if (data) {
        fputs("NOTE: the data are a built-in sample, not the real task (name it with --data).\n",
              stderr);
    }
    if (model) {
        fputs("NOTE: the model is a tiny one with random weights (name one with --model).\n",
              stderr);
    }
    if (data || model) {
        fputs("NOTE: this shows that the tool works; it says nothing about the task.\n", stderr);
    }
}

void setup_close(Setup *setup)
{
    memory_advice = (MemoryAdvice){0};
    encoded_free(&setup->train_ids);
    encoded_free(&setup->dev_ids);
    encoded_free(&setup->half_ids);
    dataset_free(&setup->train);
    dataset_free(&setup->dev);
    dataset_free(&setup->half);
    for (int i = 0; i < setup->further_count; i++) {
        encoded_free(&setup->further_ids[i]);
        dataset_free(&setup->further[i]);
    }
    own_free(&setup->own);
    free(setup->columns);
    tokenizer_close(setup->tokenizer);
    batch_free(&setup->batch);
    workspace_free(&setup->work, &setup->model);
    model_free(&setup->model);
    backend_free(&setup->backend);
    recipe_close(&setup->named);
    free(setup->model_name);
    *setup = (Setup){0};
}
