/* The shape of a model, from a Hugging Face config.json. */
#ifndef CONFIG_H
#define CONFIG_H

#include "base.h"
#include "json.h"
#include "rope.h"

typedef enum Architecture { ARCH_BERT, ARCH_ROBERTA, ARCH_LLAMA } Architecture;

typedef struct Config {
    Architecture architecture;
    int V, C, F, L, H;            /* vocabulary, hidden, intermediate, layers, heads */
    int K, D;                     /* key/value heads, width of a head; encoders: H, C / H */
    RopeParameters rope;          /* Llama */
    int tied;                     /* Llama: the embeddings are the language model's output */
    int attention_bias, mlp_bias; /* Llama: biases in q, k, v, o; in gate, up, down */
    int positions, types; /* rows of the two small embedding tables; Llama: the longest, 0 */
    int padding;          /* pad_token_id, -1 for none; RoBERTa's positions start behind it */
    float eps;            /* layer_norm_eps, rms_norm_eps */
    float dropout, attention_dropout, head_dropout;
    int spans; /* that the head reads beside the pooled token (spans.h); no field of the file */
    float init_std; /* initializer_range */
    json_t *json;   /* what was read, for writing it again; owned */
} Config;

/* Checks every field that changes the result and refuses what is not implemented, by name. Sizes
 * are required; what else is absent has its class's default. Errors: those of json_read_file, 65
 * with path and field. Source: transformers' BertConfig, RobertaConfig
 * and LlamaConfig, as versions 4 and 5 write them. */
int config_read(Config *config, const char *path, Error *error);

/* The same from a JSON object; where names it in messages. Takes over the reference to json, also
 * on failure. */
int config_from_json(Config *config, json_t *json, const char *where, Error *error);
void config_free(Config *config);

/* Longest sequence, special tokens included. */
int config_longest(const Config *config);

#endif
