#include "lora.h"

#include <math.h>
#include <string.h>

static const char *const kind_names[LINEAR_KINDS] = {"q", "k", "v", "o", "gate", "up", "down"};

const char *linear_kind_name(LinearKind kind)
{
    return kind_names[kind];
}

const char *linear_module(Architecture architecture, LinearKind kind)
{
    static const char *const llama[LINEAR_KINDS] = {
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
    static const char *const bert[LINEAR_KINDS] = {"attention.self.query",
                                                   "attention.self.key",
                                                   "attention.self.value",
                                                   "attention.output.dense",
                                                   NULL,
                                                   "intermediate.dense",
                                                   "output.dense"};
    return (architecture == ARCH_LLAMA ? llama : bert)[kind];
}

const char *block_prefix(Architecture architecture)
{
    return architecture == ARCH_LLAMA     ? "model.layers."
           : architecture == ARCH_ROBERTA ? "roberta.encoder.layer."
                                          : "bert.encoder.layer.";
}

int lora_targets(unsigned *targets, const char *list, Architecture architecture, Error *error)
{
    const char *names[LINEAR_KINDS + 1];
    int count = 0;
    *targets = 0;
    for (int k = 0; k < LINEAR_KINDS; k++) {
        if (linear_module(architecture, (LinearKind)k)) {
            names[count++] = kind_names[k];
            *targets |= strcmp(list, "all") ? 0 : 1u << k;
        }
    }
    names[count++] = "all";
    if (*targets) {
        return 0;
    }
    for (const char *at = list;; at++) {
        char word[32];
        size_t length = strcspn(at, ",");
        unsigned found = 0;
        snprintf(word, sizeof word, "%.*s", (int)(length < 31 ? length : 31), at);
        for (int k = 0; k < LINEAR_KINDS; k++) {
            if (!strcmp(word, kind_names[k]) && linear_module(architecture, (LinearKind)k)) {
                found = 1u << k;
            }
        }
        if (!found) {
            const char *near = nearest_word(word, names, count);
            return error_set(error, EXIT_USAGE,
                             "--lora-targets %s: '%s' is no linear layer of this model%s%s; choose "
                             "from q, k, v, o, %sup, down, or all",
                             list, word, near ? "; did you mean " : "", near ? near : "",
                             architecture == ARCH_LLAMA ? "gate, " : "");
        }
        *targets |= found;
        at += length;
        if (!*at) {
            return 0;
        }
    }
}

double lora_scale(const LoraConfig *lora)
{
    return lora->alpha / (lora->rslora ? sqrt((double)lora->r) : (double)lora->r);
}
