/* LoRA (Hu et al. 2021, "LoRA: Low-rank adaptation of large language models"): which linear layers
 * get an adapter, and of what shape. */
#ifndef LORA_H
#define LORA_H

#include "config.h"

/* The linear layers of a block in the order of its forward pass, as --lora-targets names them. An
 * encoder has no gate. */
typedef enum LinearKind {
    LINEAR_Q,
    LINEAR_K,
    LINEAR_V,
    LINEAR_O,
    LINEAR_GATE,
    LINEAR_UP,
    LINEAR_DOWN,
    LINEAR_KINDS
} LinearKind;

typedef struct LoraConfig {
    unsigned targets; /* bit 1 << kind for each; 0: no adapters, all parameters are trained */
    int r;
    int rslora; /* scale alpha / sqrt(r) (Kalajdzievski 2023) instead of alpha / r */
    double alpha;
    float dropout; /* of an adapter's input, in training */
} LoraConfig;

/* "q", "k", "v", "o", "gate", "up", "down". */
const char *linear_kind_name(LinearKind kind);

/* The module of this kind in a block, as in Hugging Face: "self_attn.q_proj",
 * "attention.self.query" and so on; NULL if the architecture has none. */
const char *linear_module(Architecture architecture, LinearKind kind);

/* Where the blocks are: "model.layers.", "roberta.encoder.layer.", "bert.encoder.layer.". */
const char *block_prefix(Architecture architecture);

/* Targets from a list such as "q,v", or "all". Errors: 64 with the nearest name. */
int lora_targets(unsigned *targets, const char *list, Architecture architecture, Error *error);

/* Layers for which dropout sites of adapters are numbered. */
enum { LORA_MAX_LAYERS = 250, LORA_MAX_RANK = 1024 };

/* What multiplies B A: alpha / r, or alpha / sqrt(r). */
double lora_scale(const LoraConfig *lora);

#endif
