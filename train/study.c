#include "study.h"

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

static int open_model_files(Study *study, Config *config, Error *error)
{
    const char *named = study->options->model, *variable = getenv("SEEDBED_MODEL");
    const char *folder = named ? named : variable && *variable ? variable : "tiny";
    if (!strcmp(folder, "tiny")) {
        int count;
        const char *const *words = builtin_words(&count);
        study->tokenizer = tokenizer_from_words(words, count);
        study->model_name = string_copy("tiny");
        return config_from_json(config, tiny_config(count), "tiny", error);
    }
    if (!path_is_folder(folder)) {
        return error_set(error, EXIT_NO_INPUT,
                         "%s: no such model folder; get one with: huggingface-cli download "
                         "FacebookAI/roberta-base --local-dir %s",
                         folder, folder);
    }
    study->model_folder = folder;
    char *copy = string_copy(folder);
    study->model_name = string_copy(basename(copy));
    free(copy);
    for (char *c = study->model_name; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7F) {
            *c = '_';
        }
    }
    char *path = string_format("%s/config.json", folder);
    int code = config_read(config, path, error);
    if (code == EXIT_NO_INPUT) {
        error_set(error, code,
                  "%s: no config.json; name a Hugging Face folder, or get one with: "
                  "huggingface-cli download FacebookAI/roberta-base --local-dir %s",
                  folder, folder);
    }
    free(path);
    if (!code && config->architecture == ARCH_LLAMA) {
        /* inputs of tasks for decoders are not made yet: an encoder's would be the wrong model */
        config_free(config);
        return error_set(error, EXIT_BAD_DATA,
                         "%s: model_type 'llama' cannot be fine-tuned on tasks yet; name a RoBERTa "
                         "or BERT",
                         folder);
    }
    if (!code && tokenizer_open(&study->tokenizer, folder, error)) {
        config_free(config);
        code = error->code;
    }
    return code;
}

static int open_data(Study *study, Error *error)
{
    const char *named = study->options->data, *variable = getenv("SEEDBED_DATA"), *folder = named;
    const Recipe *r = &study->recipe;
    if (!named && variable && *variable && dataset_exists(study->task, variable, "train")) {
        folder = variable;
    } else if (!named && dataset_exists(study->task, "data", "train")) {
        folder = "data";
    }
    if (!folder || !strcmp(folder, "builtin")) {
        study->builtin = 1;
        dataset_builtin(&study->train, study->task, "train", r->max_train);
        dataset_builtin(&study->dev, study->task, "validation", r->max_eval);
        return 0;
    }
    if (!path_is_folder(folder)) {
        return error_set(error, EXIT_NO_INPUT,
                         "%s: no such data folder; put the official files there (docs/TASKS.md "
                         "says where to get them)",
                         folder);
    }
    return dataset_read(&study->train, study->task, folder, "train", r->max_train, error) ||
                   dataset_read(&study->dev, study->task, folder, "validation", r->max_eval, error)
               ? error->code
               : 0;
}

static int check_types(const Study *study, const Encoded *encoded, int types, Error *error)
{
    for (size_t i = 0;
         i < encoded->start[(size_t)encoded->dataset->count * (size_t)encoded->choices]; i++) {
        if (encoded->types[i] < 0 || encoded->types[i] >= types) {
            return error_set(error, EXIT_BAD_DATA,
                             "%s: the tokenizer makes token type %d, config.json has "
                             "type_vocab_size %d; they belong to different models",
                             study->model_name, encoded->types[i], types);
        }
    }
    return 0;
}

int study_open(Study *study, const Options *options, Error *error)
{
    static const Problem problems[] = {PROBLEM_SINGLE, PROBLEM_CHOICE, PROBLEM_REGRESSION};
    Config config = {0};
    *study = (Study){.options = options};
    if (!options->task) {
        return error_set(error, EXIT_USAGE,
                         "--task is missing; for example: train_gpt --task boolq --seed 52");
    }
    if (option_count(options->threads) > 1024) {
        return error_set(error, EXIT_USAGE, "--threads %s: at most 1024", options->threads);
    }
    study->task = task_find(options->task, error);
    if (!study->task ||
        backend_init(&study->backend, options->simd, option_count(options->threads), error)) {
        return error->code;
    }
    for (int i = 0; i < options->kernel_count; i++) {
        if (backend_choose(&study->backend, options->kernels[i], error)) {
            return error->code;
        }
    }
    const char *variable = getenv("SEEDBED_MODEL");
    int tiny = options->model ? !strcmp(options->model, "tiny") : !variable || !*variable;
    int code = recipe_make(&study->recipe, options, study->task, tiny, error) ||
                       open_model_files(study, &config, error)
                   ? error->code
                   : 0;
    if (!code && open_data(study, error)) {
        config_free(&config);
        code = error->code;
    }
    if (code) {
        study_close(study);
        return code;
    }
    study->recipe.kernels = study->backend.variants;
    if (study->recipe.dropout >= 0) {
        config.dropout = config.attention_dropout = config.head_dropout = (float)
                                                                              study->recipe.dropout;
    }
    int longest = config_longest(&config), types = config.types;
    if (study->recipe.max_len > longest) {
        study->recipe.max_len = longest;
    }
    model_init(&study->model, config, problems[study->task->kind], study->task->K, NULL,
               &study->backend);
    if (encode(&study->train_ids, &study->train, study->tokenizer, study->recipe.max_len, config.V,
               error) ||
        encode(&study->dev_ids, &study->dev, study->tokenizer, study->recipe.max_len, config.V,
               error) ||
        check_types(study, &study->train_ids, types, error) ||
        check_types(study, &study->dev_ids, types, error)) {
        study_close(study);
        return error->code;
    }
    return 0;
}

void study_close(Study *study)
{
    encoded_free(&study->train_ids);
    encoded_free(&study->dev_ids);
    dataset_free(&study->train);
    dataset_free(&study->dev);
    tokenizer_close(study->tokenizer);
    model_free(&study->model);
    backend_free(&study->backend);
    free(study->model_name);
    *study = (Study){0};
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

void study_plan(Study *study, const uint64_t *data_seeds, int count)
{
    Recipe *r = &study->recipe;
    int examples = study->train.count, micro = option_count(study->options->micro_batch);
    study->micro = micro && micro < r->batch ? micro : r->batch;
    study->steps_per_epoch = (examples + r->batch - 1) / r->batch;
    study->steps = r->max_steps ? r->max_steps : (int)ceil(r->epochs * study->steps_per_epoch);
    study->warmup = schedule_warmup(r->warmup, study->steps);
    study->tokens = 0;
    study->max_tokens = max_int(study->train_ids.longest, study->dev_ids.longest) *
                        study->dev_ids.choices;
    int *order = memory_alloc((size_t)examples, sizeof *order);
    for (int s = 0; s < count; s++) {
        for (int step = 0; step < study->steps; step++) {
            int epoch = step / study->steps_per_epoch,
                first = step % study->steps_per_epoch * r->batch;
            int end = first + r->batch < examples ? first + r->batch : examples;
            if (step % study->steps_per_epoch == 0) {
                epoch_order(order, examples, data_seeds[s], epoch);
            }
            for (int at = first; at < end; at += study->micro) {
                int n = end - at < study->micro ? end - at : study->micro,
                    tokens = pack_tokens(&study->train_ids, order, at, n);
                study->max_tokens = max_int(study->max_tokens, tokens);
                study->tokens += s == 0 ? tokens : 0;
            }
        }
    }
    free(order);
    model_plan(&study->model, study->max_tokens, study->micro * study->train_ids.choices,
               max_int(study->train_ids.longest, study->dev_ids.longest), 1);
}

double study_estimate(Study *study)
{
    const Model *m = &study->model;
    const Config *c = &m->config;
    const Ops *ops = &study->backend.ops;
    enum { ROWS = 128 };
    int rows = study->max_tokens < ROWS ? study->max_tokens : ROWS;
    /* The memory of the gradients is free now: out [rows, F], x [rows, C], weight [F, C]. */
    float *weight = m->params.weights, *x = m->params.m, *out = m->params.v;
    if ((size_t)rows * (size_t)c->F > m->params.trained ||
        (size_t)c->F * (size_t)c->C > m->params.trained) {
        return 0.0;
    }
    /* The fastest call of one thread in 50 ms, times threads: on a busy machine two threads that
     * wait for each other would make the plan look hopeless. */
    Context one = study->backend.ctx;
    one.threads = 1;
    double end = clock_seconds() + 0.05, fastest = 1e9;
    for (double start = clock_seconds(), now; start < end; start = now) {
        ops->matmul_forward(&one, out, x, (Weight){.f32 = weight}, NULL, rows, c->C, c->F);
        now = clock_seconds();
        fastest = now - start < fastest ? now - start : fastest;
    }
    ops->fill_zero(&study->backend.ctx, out, (size_t)rows * (size_t)c->F);
    double rate = 2.0 * rows * c->C * c->F / fastest * study->backend.ctx.threads;
    double per_token = 6.0 * c->L * (4.0 * c->C * c->C + 2.0 * c->C * c->F) +
                       12.0 * c->L * c->C * study->train_ids.longest;
    /* A quarter more for everything that is no product, and the optimizer's pass over 7 arrays at
     * 10 GB/s. */
    return 1.25 * per_token * (double)study->tokens / rate +
           (double)study->steps * 28.0 * (double)m->params.trained / 1e10;
}
