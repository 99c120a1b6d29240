#include "config.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LARGEST_SIZE = 1 << 24 };

typedef struct Fields {
    const json_t *json;
    const char *where;
    Error *error;
} Fields;

/* Refuses what the fields say: `where: ` and the message. Always EXIT_BAD_DATA. */
static __attribute__((format(printf, 2, 3))) int refuse(const Fields *fields, const char *format,
                                                        ...)
{
    char message[sizeof fields->error->text];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(message, sizeof message, format, list);
    va_end(list);
    return error_set(fields->error, EXIT_BAD_DATA, "%s: %s", fields->where, message);
}

/* An integer in [least, LARGEST_SIZE]. preset < 0: the field is required. */
static int read_int(const Fields *fields, int *value, const char *name, int least, int preset)
{
    const json_t *field = json_object_get(fields->json, name);
    if (!field || (json_is_null(field) && preset >= 0)) {
        *value = preset;
        return preset >= 0
                   ? 0
                   : refuse(fields, "%s is missing; get the whole model folder again", name);
    }
    if (!json_is_integer(field) || json_integer_value(field) < least ||
        json_integer_value(field) > LARGEST_SIZE) {
        return refuse(fields, "%s must be an integer from %d to %d", name, least, LARGEST_SIZE);
    }
    *value = (int)json_integer_value(field);
    return 0;
}

/* A number in [least, below), rounded to float32 too. preset below least: the field is required. */
static int read_real(const Fields *fields, float *value, const char *name, double least,
                     double below, double preset)
{
    const json_t *field = json_object_get(fields->json, name);
    double number = field && !json_is_null(field) ? json_number_value(field) : preset;
    if ((!field || json_is_null(field)) && preset < least) {
        return refuse(fields, "%s is missing; get the whole model folder again", name);
    }
    if (field && !json_is_null(field) && !json_is_number(field)) {
        return refuse(fields, "%s must be a number", name);
    }
    if (!(number >= least && (float)number < (float)below)) {
        return refuse(fields, "%s %.12g must be at least %g and below %g in float32", name, number,
                      least, below);
    }
    *value = (float)number;
    return 0;
}

/* A text field that must have one value if it is there. */
static int require_text(const Fields *fields, const char *name, const char *only)
{
    const json_t *field = json_object_get(fields->json, name);
    if (field && !json_is_null(field) &&
        (!json_is_string(field) || strcmp(json_string_value(field), only))) {
        return refuse(fields, "%s '%s' is not implemented, only '%s'", name,
                      json_is_string(field) ? json_string_value(field) : "?", only);
    }
    return 0;
}

static int refuse_true(const Fields *fields, const char *name)
{
    const json_t *field = json_object_get(fields->json, name);
    if (field && !json_is_null(field) && !json_is_false(field)) {
        return refuse(fields, "%s is not implemented", name);
    }
    return 0;
}

static int read_flag(const Fields *fields, int *value, const char *name)
{
    const json_t *field = json_object_get(fields->json, name);
    *value = json_is_true(field);
    return !field || json_is_null(field) || json_is_boolean(field)
               ? 0
               : refuse(fields, "%s must be true or false", name);
}

/* A number above 0 of an object of the config. */
static int read_positive(const Fields *fields, double *value, const json_t *object,
                         const char *name)
{
    const json_t *field = json_object_get(object, name);
    *value = json_number_value(field);
    return json_is_number(field) && *value > 0 && isfinite(*value)
               ? 0
               : refuse(fields, "%s is missing or not a number above 0", name);
}

/* "default", also where there is none, "llama3" and so on; NULL if it is no text. */
static const char *rope_type(const json_t *scaling)
{
    const json_t *type = json_object_get(scaling, "rope_type");
    type = type ? type : json_object_get(scaling, "type");
    return type ? json_string_value(type) : "default";
}

/* An object of the config; *object is NULL where it is absent, null or empty. */
static int read_object(const Fields *fields, const json_t **object, const char *name)
{
    *object = json_object_get(fields->json, name);
    if (*object && !json_is_null(*object) && !json_is_object(*object)) {
        return refuse(fields, "%s must be an object or null", name);
    }
    *object = json_object_size(*object) ? *object : NULL;
    return 0;
}

/* A file with both forms must say the same in both; each key of rope_scaling is compared. */
static int check_rope_forms(const Fields *fields, const json_t *parameters, const json_t *scaling)
{
    const char *key, *a = rope_type(parameters), *b = rope_type(scaling);
    json_t *value;
    if (!parameters || !scaling) {
        return 0;
    }
    if (!a || !b || strcmp(a, b)) {
        return refuse(fields,
                      "rope_type '%s' of rope_scaling contradicts '%s' of rope_parameters; "
                      "remove the wrong one",
                      b ? b : "?", a ? a : "?");
    }
    json_object_foreach((json_t *)(uintptr_t)scaling, key, value)
    {
        const json_t *other = json_object_get(parameters, key);
        int same = json_is_number(value) && json_is_number(other)
                       ? json_number_value(value) == json_number_value(other)
                       : json_equal(value, other);
        if (strcmp(key, "type") && strcmp(key, "rope_type") && !same) {
            return refuse(fields,
                          "%s of rope_scaling contradicts that of rope_parameters; remove the "
                          "wrong one",
                          key);
        }
    }
    return 0;
}

/* A part of each head that is turned, the rest not: another model. */
static int check_partial_rotary(const Fields *fields, const json_t *owner)
{
    const json_t *factor = json_object_get(owner, "partial_rotary_factor");
    return !factor || json_is_null(factor) || json_number_value(factor) == 1.0
               ? 0
               : refuse(fields, "partial_rotary_factor is not implemented");
}

/* transformers 5: rope_parameters; 4: rope_theta beside rope_scaling. What is absent has the
 * defaults of transformers' LlamaConfig. */
static int read_rope(Config *config, const Fields *fields)
{
    const json_t *parameters, *scaling, *theta = json_object_get(fields->json, "rope_theta");
    if (read_object(fields, &parameters, "rope_parameters") ||
        read_object(fields, &scaling, "rope_scaling") ||
        check_rope_forms(fields, parameters, scaling) ||
        check_partial_rotary(fields, fields->json) || check_partial_rotary(fields, parameters)) {
        return fields->error->code;
    }
    const char *form = parameters ? "rope_parameters" : "rope_scaling";
    scaling = parameters ? parameters : scaling;
    const json_t *inner = json_object_get(scaling, "rope_theta");
    if (theta && inner && json_number_value(theta) != json_number_value(inner)) {
        return refuse(fields, "rope_theta %g contradicts that of %s, %g; remove the wrong one",
                      json_number_value(theta), form, json_number_value(inner));
    }
    config->rope.theta = 10000;
    if ((theta || inner) &&
        read_positive(fields, &config->rope.theta, inner ? scaling : fields->json, "rope_theta")) {
        return fields->error->code;
    }
    if (config->rope.theta < 1) {
        return refuse(fields, "rope_theta %g is below 1", config->rope.theta);
    }
    const char *name = rope_type(scaling);
    if (!name || (strcmp(name, "default") && strcmp(name, "llama3"))) {
        return refuse(fields, "rope_type '%s' is not implemented, only default and llama3",
                      name ? name : "?");
    }
    if (!strcmp(name, "llama3")) {
        double positions = config->positions;
        RopeParameters *rope = &config->rope;
        rope->llama3 = 1;
        if (read_positive(fields, &rope->factor, scaling, "factor") ||
            read_positive(fields, &rope->low_freq_factor, scaling, "low_freq_factor") ||
            read_positive(fields, &rope->high_freq_factor, scaling, "high_freq_factor") ||
            (json_object_get(scaling, "original_max_position_embeddings") &&
             read_positive(fields, &positions, scaling, "original_max_position_embeddings"))) {
            return fields->error->code;
        }
        if (rope->high_freq_factor <= rope->low_freq_factor || positions > LARGEST_SIZE) {
            return refuse(fields,
                          "high_freq_factor must be above low_freq_factor, "
                          "original_max_position_embeddings at most %d",
                          LARGEST_SIZE);
        }
        rope->original_positions = (int)positions;
    }
    return 0;
}

/* pad_token_id: preset where it is absent, -1 for none: null, or -1 as older decoders have it. */
static int read_padding(Config *config, const Fields *fields, int preset)
{
    const json_t *field = json_object_get(fields->json, "pad_token_id");
    if (!field || json_is_null(field) ||
        (config->architecture == ARCH_LLAMA && json_integer_value(field) == -1)) {
        config->padding = field ? -1 : preset;
    } else if (read_int(fields, &config->padding, "pad_token_id", 0, 0)) {
        return fields->error->code;
    }
    if (config->padding < 0 && config->architecture == ARCH_ROBERTA) {
        return refuse(fields, "pad_token_id is null; positions of a roberta start behind it");
    }
    return config->padding >= config->V
               ? refuse(fields, "pad_token_id %d is outside the vocabulary of %d", config->padding,
                        config->V)
               : 0;
}

/* What a model is too large for. columns: of all matrices of a layer, each C rows long. */
static int check_size(const Fields *fields, const Config *config, double columns)
{
    if (config->D > 512 || config->H > 4095 || config->L > 1000) {
        return refuse(fields,
                      "heads wider than 512, more than 4095 heads or more than 1000 layers are "
                      "not implemented");
    }
    if ((double)config->V * config->C + (double)config->L * config->C * columns > 1e11) {
        return refuse(fields, "these sizes make a model of more than 1e11 parameters");
    }
    return 0;
}

static int read_llama(Config *config, const Fields *fields)
{
    if (read_int(fields, &config->V, "vocab_size", 1, -1) ||
        read_int(fields, &config->C, "hidden_size", 1, -1) ||
        read_int(fields, &config->F, "intermediate_size", 1, -1) ||
        read_int(fields, &config->L, "num_hidden_layers", 1, -1) ||
        read_int(fields, &config->H, "num_attention_heads", 1, -1) ||
        read_int(fields, &config->K, "num_key_value_heads", 1, config->H) ||
        read_int(fields, &config->positions, "max_position_embeddings", 1, 2048) ||
        read_padding(config, fields, -1) ||
        read_real(fields, &config->eps, "rms_norm_eps", 0.0, 1.0, 1e-6) ||
        read_real(fields, &config->attention_dropout, "attention_dropout", 0.0, 1.0, 0.0) ||
        read_real(fields, &config->init_std, "initializer_range", 0.0, 10.0, 0.02) ||
        require_text(fields, "hidden_act", "silu") ||
        read_flag(fields, &config->attention_bias, "attention_bias") ||
        read_flag(fields, &config->mlp_bias, "mlp_bias") ||
        read_flag(fields, &config->tied, "tie_word_embeddings") ||
        refuse_true(fields, "quantization_config") ||
        read_int(fields, &config->D, "head_dim", 1,
                 config->C % config->H ? 0 : config->C / config->H) ||
        read_rope(config, fields)) {
        return fields->error->code;
    }
    if (config->D == 0) {
        return refuse(fields,
                      "hidden_size %d is not a multiple of num_attention_heads %d, and "
                      "head_dim is missing",
                      config->C, config->H);
    }
    if (config->D % 2) {
        return refuse(fields, "head_dim %d is odd; rotary positions need pairs", config->D);
    }
    if (config->H % config->K) {
        return refuse(fields, "num_attention_heads %d is not a multiple of num_key_value_heads %d",
                      config->H, config->K);
    }
    return check_size(fields, config,
                      config->D * (2.0 * config->H + 2.0 * config->K) + 3.0 * config->F);
}

static int read_fields(Config *config, const Fields *fields)
{
    if (!json_is_object(fields->json)) {
        return refuse(fields, "not a JSON object; get the file again");
    }
    const json_t *type = json_object_get(fields->json, "model_type");
    if (!json_is_string(type)) {
        return refuse(fields, "model_type is missing; get the whole model folder again");
    }
    if (!strcmp(json_string_value(type), "bert")) {
        config->architecture = ARCH_BERT;
    } else if (!strcmp(json_string_value(type), "roberta")) {
        config->architecture = ARCH_ROBERTA;
    } else if (!strcmp(json_string_value(type), "llama")) {
        config->architecture = ARCH_LLAMA;
        return read_llama(config, fields);
    } else {
        return refuse(fields, "model_type '%s' is not implemented, only bert, roberta and llama",
                      json_string_value(type));
    }
    int roberta = config->architecture == ARCH_ROBERTA;
    if (read_int(fields, &config->V, "vocab_size", 1, -1) ||
        read_int(fields, &config->C, "hidden_size", 1, -1) ||
        read_int(fields, &config->F, "intermediate_size", 1, -1) ||
        read_int(fields, &config->L, "num_hidden_layers", 1, -1) ||
        read_int(fields, &config->H, "num_attention_heads", 1, -1) ||
        read_int(fields, &config->positions, "max_position_embeddings", 1, 512) ||
        read_int(fields, &config->types, "type_vocab_size", 1, 2) ||
        read_padding(config, fields, roberta) ||
        read_real(fields, &config->eps, "layer_norm_eps", 0.0, 1.0, 1e-12) ||
        read_real(fields, &config->dropout, "hidden_dropout_prob", 0.0, 1.0, 0.1) ||
        read_real(fields, &config->attention_dropout, "attention_probs_dropout_prob", 0.0, 1.0,
                  0.1) ||
        read_real(fields, &config->head_dropout, "classifier_dropout", 0.0, 1.0, config->dropout) ||
        read_real(fields, &config->init_std, "initializer_range", 0.0, 10.0, 0.02) ||
        require_text(fields, "hidden_act", "gelu") ||
        require_text(fields, "position_embedding_type", "absolute") ||
        refuse_true(fields, "is_decoder") || refuse_true(fields, "add_cross_attention") ||
        refuse_true(fields, "quantization_config")) {
        return fields->error->code;
    }
    if (config->C % config->H) {
        return refuse(fields, "hidden_size %d is not a multiple of num_attention_heads %d",
                      config->C, config->H);
    }
    config->K = config->H;
    config->D = config->C / config->H;
    if (check_size(fields, config, 4.0 * config->C + 2.0 * config->F)) {
        return fields->error->code;
    }
    if (config_longest(config) < 4) {
        return refuse(fields, "max_position_embeddings %d leaves no room for a sequence",
                      config->positions);
    }
    return 0;
}

int config_from_json(Config *config, json_t *json, const char *where, Error *error)
{
    *config = (Config){.json = json};
    Fields fields = {json, where, error};
    if (read_fields(config, &fields)) {
        config_free(config);
        return error->code;
    }
    return 0;
}

int config_read(Config *config, const char *path, Error *error)
{
    json_t *json;
    *config = (Config){0};
    return json_read_file(&json, path, error) ? error->code
                                              : config_from_json(config, json, path, error);
}

void config_free(Config *config)
{
    json_decref(config->json);
    *config = (Config){0};
}

int config_longest(const Config *config)
{
    return config->architecture == ARCH_ROBERTA ? config->positions - config->padding - 1
                                                : config->positions;
}
