/* make_llama DIR [WIDTH|1B|3B]: a tiny decoder with random weights and a tokenizer of single bytes, for
 * the command-line tests; or one of the shape of
 * Llama-3.2-1B or 3B, its weights bf16, 2.5 and 6.4 GB, for measurements. */
#include "hf.h"
#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

/* GPT-2's printable character of a byte: itself, or one from U+0100 on for those without
 * a picture. */
static void byte_text(char out[4], int byte)
{
    int shifted = 0;
    for (int b = 0; b < byte; b++) {
        shifted += !((b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE);
    }
    int plain = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    int code = plain ? byte : 256 + shifted;
    if (code < 0x80) {
        snprintf(out, 4, "%c", code);
    } else {
        snprintf(out, 4, "%c%c", 0xC0 | code >> 6, 0x80 | (code & 0x3F));
    }
}

static json_t *tokenizer(void)
{
    json_t *vocabulary = json_object();
    for (int b = 0; b < 256; b++) {
        char text[4];
        byte_text(text, b);
        json_object_set_new(vocabulary, text, json_integer(b));
    }
    return json_pack(
        "{s:s, s:[{s:i, s:s, s:b, s:b, s:b, s:b, s:b}], s:{s:s, s:[{s:s, s:b}, {s:s, s:b, s:b, "
        "s:b}]}, s:{s:s, s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}], s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}, "
        "{s:{s:s, s:i}}], s:{s:{s:s, s:[i], s:[s]}}}, s:{s:s, s:o, s:[]}}",
        "version", "1.0", "added_tokens", "id", 256, "content", "<s>", "special", 1, "normalized",
        0, "lstrip", 0, "rstrip", 0, "single_word", 0, "pre_tokenizer", "type", "Sequence",
        "pretokenizers", "type", "Digits", "individual_digits", 1, "type", "ByteLevel",
        "trim_offsets", 1, "add_prefix_space", 0, "use_regex", 1, "post_processor", "type",
        "TemplateProcessing", "single", "SpecialToken", "id", "<s>", "type_id", 0, "Sequence", "id",
        "A", "type_id", 0, "pair", "SpecialToken", "id", "<s>", "type_id", 0, "Sequence", "id", "A",
        "type_id", 0, "Sequence", "id", "B", "type_id", 0, "special_tokens", "<s>", "id", "<s>",
        "ids", 256, "tokens", "<s>", "model", "type", "BPE", "vocab", vocabulary, "merges");
}

static json_t *config_of(int V, int C, int F, int L, int H, int K, int bias, double std)
{
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:b, s:b, s:f}",
                     "model_type", "llama", "vocab_size", V, "hidden_size", C, "intermediate_size",
                     F, "num_hidden_layers", L, "num_attention_heads", H, "num_key_value_heads", K,
                     "max_position_embeddings", 512, "rms_norm_eps", 1e-5, "rope_theta", 1e4,
                     "tie_word_embeddings", 1, "attention_bias", bias, "initializer_range", std);
}

/* Random bf16 matrices and vectors of ones; one buffer serves all matrices. */
static int write_large(const Model *model, const char *path, Error *error)
{
    const Params *params = &model->params;
    size_t most = 1 << 16, count = (size_t)params->count;
    TensorSource *sources = memory_calloc(count, sizeof *sources);
    for (size_t i = 0; i < count; i++) {
        most = params->list[i].count > most ? params->list[i].count : most;
    }
    uint16_t *values = memory_alloc(most, sizeof *values), *ones = memory_alloc(1 << 16, 2);
    for (size_t i = 0; i < most; i++) { /* magnitudes of 2^-7 to 2^-5, either sign */
        uint32_t word = (uint32_t)(i * 2654435761u) ^ (uint32_t)(i >> 7);
        values[i] = (uint16_t)((word & 0x8000u) | (0x3C00u + (word >> 16 & 0xFFu)));
    }
    for (size_t i = 0; i < 1 << 16; i++) {
        ones[i] = 0x3F80;
    }
    for (size_t i = 0; i < count; i++) {
        const Param *param = &params->list[i];
        sources[i] = (TensorSource){.name = param->name,
                                    .dtype = DTYPE_BF16,
                                    .rank = param->rank,
                                    .shape = {(size_t)param->shape[0], (size_t)param->shape[1]},
                                    .data = param->rank == 2 ? (void *)values : ones};
    }
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    int code = safetensors_write(path, sources, count, metadata, error);
    json_decref(metadata);
    free(values);
    free(ones);
    free(sources);
    return code;
}

static int fail(const Error *error)
{
    fprintf(stderr, "make_llama: %s\n", error->text);
    return error->code;
}

/* Of the large one nothing but the names and shapes of its parameters is in memory. */
static int make_large(const Model *model, const char *folder, const json_t *json, Error *error)
{
    char *weights = string_format("%s/model.safetensors", folder),
         *config = string_format("%s/config.json", folder);
    int code = folder_make(folder, error) || write_large(model, weights, error) ? error->code : 0;
    if (!code && json_dump_file(json, config, JSON_COMPACT)) {
        code = error_set(error, EXIT_IO, "%s: cannot be written", config);
    }
    free(weights);
    free(config);
    return code;
}

static int make_tiny(Model *model, const char *folder, Error *error)
{
    State state;
    state_init(&state, model, 0, 0);
    model_make(model, &state, 7);
    int code = model_write(model, &state, folder, NULL, 0, error);
    state_free(&state, model);
    return code;
}

int main(int argc, char **argv)
{
    Error error;
    Config config;
    Backend backend;
    Model model;
    int three = argc > 2 && !strcmp(argv[2], "3B"),
        large = three || (argc > 2 && !strcmp(argv[2], "1B"));
    int width = argc > 2 ? atoi(argv[2]) : 32;
    if (argc < 2) {
        fputs("usage: make_llama DIR [WIDTH|1B|3B]\n", stderr);
        return EXIT_USAGE;
    }
    json_t *json = three   ? config_of(128256, 3072, 8192, 28, 24, 8, 0, 0.02)
                   : large ? config_of(128256, 2048, 8192, 16, 32, 8, 0, 0.02)
                           : config_of(257, width, 2 * width, 2, 4, 2, 1, 0.1);
    char *path = string_format("%s/tokenizer.json", argv[1]);
    if (config_from_json(&config, json_incref(json), large ? argv[2] : "tiny Llama", &error) ||
        backend_init(&backend, "cpu", "auto", large ? 0 : 1, &error)) {
        return fail(&error);
    }
    model_init(&model, config, PROBLEM_LANGUAGE, 0, NULL, &backend);
    if (large ? make_large(&model, argv[1], json, &error) : make_tiny(&model, argv[1], &error)) {
        return fail(&error);
    }
    json_t *own = tokenizer();
    if (!own || json_dump_file(own, path, JSON_ENSURE_ASCII)) {
        fprintf(stderr, "%s: cannot be written\n", argv[1]);
        return EXIT_IO;
    }
    json_decref(own);
    json_decref(json);
    free(path);
    model_free(&model);
    backend_free(&backend);
    return 0;
}
