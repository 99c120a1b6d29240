/* make_roberta DIR TOKENIZER.json [LAYERS WIDTH [WORDS]]: an encoder of RoBERTa-large's shape, or of
 * another depth, width and vocabulary, with random weights: for runs where the real ones are not at
 * hand. The tokenizer is copied. */
#include "hf.h"

#include <stdlib.h>

static int fail(const Error *error)
{
    fprintf(stderr, "make_roberta: %s\n", error->text);
    return error->code;
}

int main(int argc, char **argv)
{
    Error error;
    Config config;
    Backend backend;
    Model model;
    State state;
    if (argc != 3 && argc != 5 && argc != 6) {
        fputs("usage: make_roberta DIR TOKENIZER.json [LAYERS WIDTH [WORDS]]\n", stderr);
        return EXIT_USAGE;
    }
    int layers = argc > 4 ? atoi(argv[3]) : 24, width = argc > 4 ? atoi(argv[4]) : 1024,
        words = argc > 5 ? atoi(argv[5]) : 50265;
    json_error_t where;
    json_t *tokenizer = json_load_file(argv[2], 0, &where);
    if (!tokenizer) {
        fprintf(stderr, "make_roberta: %s: %s\n", argv[2], where.text);
        return EXIT_NO_INPUT;
    }
    json_t *json = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:f}",
                             "model_type", "roberta", "vocab_size", words, "hidden_size", width,
                             "intermediate_size", 4 * width, "num_hidden_layers", layers,
                             "num_attention_heads", int_max(width / 64, 1),
                             "max_position_embeddings", 514, "type_vocab_size", 1, "pad_token_id",
                             1, "layer_norm_eps", 1e-5, "initializer_range", 0.02,
                             "hidden_dropout_prob", 0.1, "attention_probs_dropout_prob", 0.1);
    if (config_from_json(&config, json, "random RoBERTa", &error) ||
        backend_init(&backend, "cpu", "auto", 0, &error)) {
        return fail(&error);
    }
    model_init(&model, config, PROBLEM_SINGLE, 2, NULL, &backend);
    state_init(&state, &model, 0, 0);
    model_make(&model, &state, 7);
    char *path = string_format("%s/tokenizer.json", argv[1]);
    if (model_write(&model, &state, argv[1], NULL, 0, &error)) {
        return fail(&error);
    }
    if (json_dump_file(tokenizer, path, JSON_COMPACT)) {
        fprintf(stderr, "make_roberta: %s cannot be written\n", path);
        return EXIT_IO;
    }
    json_decref(tokenizer);
    free(path);
    state_free(&state, &model);
    model_free(&model);
    backend_free(&backend);
    return 0;
}
