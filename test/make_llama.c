/* make_llama DIR [WIDTH]: a tiny decoder with random weights and a tokenizer of single bytes, for
 * the command-line tests. */
#include "hf.h"

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

int main(int argc, char **argv)
{
    Error error;
    Config config;
    Backend backend;
    Model model;
    State state;
    int width = argc > 2 ? atoi(argv[2]) : 32;
    if (argc < 2) {
        fputs("usage: make_llama DIR [WIDTH]\n", stderr);
        return EXIT_USAGE;
    }
    json_t *json = json_pack(
        "{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:b, s:b, s:f}", "model_type", "llama",
        "vocab_size", 257, "hidden_size", width, "intermediate_size", 2 * width,
        "num_hidden_layers", 2, "num_attention_heads", 4, "num_key_value_heads", 2,
        "max_position_embeddings", 512, "rms_norm_eps", 1e-5, "rope_theta", 1e4,
        "tie_word_embeddings", 1, "attention_bias", 1, "initializer_range", 0.1);
    char *path = string_format("%s/tokenizer.json", argv[1]);
    if (config_from_json(&config, json, "tiny Llama", &error)) {
        fprintf(stderr, "%s\n", error.text);
        return error.code;
    }
    if (backend_init(&backend, "auto", "auto", 1, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return error.code;
    }
    model_init(&model, config, PROBLEM_LANGUAGE, 0, NULL, &backend);
    state_init(&state, &model, 0, 0);
    model_make(&model, &state, 7);
    json_t *own = tokenizer();
    if (!own || model_write(&model, &state, argv[1], NULL, 0, &error) ||
        json_dump_file(own, path, JSON_ENSURE_ASCII)) {
        fprintf(stderr, "%s: cannot be written\n", argv[1]);
        return EXIT_IO;
    }
    json_decref(own);
    free(path);
    state_free(&state, &model);
    model_free(&model);
    backend_free(&backend);
    return 0;
}
