#include "recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const schedules[] = {"linear", "cosine", "constant"};
static const char *const selections[] = {"last", "best", "half"};

/* The place of a choice, whose form was checked. */
static int place_of(const char *const *names, const char *text)
{
    int i = 0;
    while (strcmp(names[i], text)) {
        i++;
    }
    return i;
}

int recipe_blame(const Options *o, const char *name, Error *error)
{
    if (!o->recipe || option_given(o, name)) {
        return error->code;
    }
    const Error said = *error;
    return error_set(error, EXIT_BAD_DATA, "%s: %s", o->recipe, said.text);
}

/* Values that make no sense, be they the command line's or a recipe's. Training is in float32: what
 * rounds to such a value there is refused too. */
static int check_values(const Recipe *r, const Options *o, Error *error)
{
    const OptimConfig *a = &r->optim;
    const LoraConfig *l = &r->lora;
    int lora = o->lora && !o->adapter;
    char rank[32];
    snprintf(rank, sizeof rank, "from 1 to %d", LORA_MAX_RANK);
    const struct {
        const char *name, *text;
        int bad;
        const char *must;
    } list[] = {
        {"batch", o->batch, r->batch < 1 || r->batch > 65536, "from 1 to 65536"},
        {"epochs", o->epochs, r->epochs > 10000, "from 0 to 10000"},
        {"warmup", o->warmup, r->warmup > 1e9, "at most 1e9 steps"},
        {"beta1", o->beta1, (float)a->beta1 >= 1, "below 1 in float32"},
        {"beta2", o->beta2, (float)a->beta2 >= 1, "below 1 in float32"},
        {"dropout", o->dropout, (float)r->dropout >= 1, "below 1 in float32"},
        {"attention_dropout", o->attention_dropout, (float)r->attention_dropout >= 1,
         "below 1 in float32"},
        {"head_dropout", o->head_dropout, (float)r->head_dropout >= 1, "below 1 in float32"},
        {"eps", o->eps, !((float)a->eps > 0) || !isfinite((float)a->eps),
         "above 0, and finite in float32"},
        {"clip", o->clip, !isfinite((float)a->clip), "finite in float32"},
        {"lr", o->lr, !isfinite((float)(r->lr / (1.0 - a->beta1))), "smaller in float32"},
        {"weight_decay", o->weight_decay,
         !isfinite((float)a->weight_decay) || !isfinite((float)(r->lr * a->weight_decay)),
         "smaller in float32"},
        {"lora_r", o->lora_r, lora && (l->r < 1 || l->r > LORA_MAX_RANK), rank},
        {"lora_alpha", o->lora_alpha,
         lora && (!((float)l->alpha > 0) || !isfinite((float)l->alpha)),
         "above 0, and finite in float32"},
        {"lora_dropout", o->lora_dropout, lora && l->dropout >= 1, "below 1 in float32"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (list[i].bad) {
            char typed[32];
            error_set(error, EXIT_USAGE, "--%s %s: must be %s", option_typed(typed, list[i].name),
                      list[i].text, list[i].must);
            return recipe_blame(o, list[i].name, error);
        }
    }
    return 0;
}

int recipe_make(Recipe *recipe, const Options *o, const Task *task, Error *error)
{
    int select = place_of(selections, o->select);
    if (select == SELECT_HALF && task->kind == KIND_LANGUAGE) {
        return error_set(error, EXIT_USAGE,
                         "--select half with --task lm, which reports no examples; choose last or "
                         "best");
    }
    *recipe = (Recipe){
        .optim = {option_real(o->beta1), option_real(o->beta2), option_real(o->eps),
                  option_real(o->weight_decay), option_real(o->clip),
                  !strcmp(o->bias_correction, "off")},
        .schedule = (Schedule)place_of(schedules, o->schedule),
        .lr = option_real(o->lr),
        .warmup = option_real(o->warmup),
        .epochs = option_real(o->epochs),
        .batch = option_count(o->batch),
        .max_steps = option_count(o->max_steps),
        .max_len = option_count(o->max_len) ? option_count(o->max_len) : task->longest,
        .max_train = option_count(o->max_train),
        .max_eval = option_count(o->max_eval),
        .select = (Selection)select,
        .eval_every = o->eval_every,
        .patience = option_count(o->patience),
        .dropout = o->dropout ? option_real(o->dropout) : -1.0,
        .attention_dropout = o->attention_dropout ? option_real(o->attention_dropout) : -1.0,
        .head_dropout = o->head_dropout ? option_real(o->head_dropout) : -1.0,
        .spans = strcmp(o->head, "spans") ? 0 : SPANS,
        .dtype = "float32",
        .kernels = "",
    };
    if (recipe->spans && task_span(task, 0) < 0) {
        return error_set(error, EXIT_USAGE,
                         "--head spans with --task %s, which has no spans; wic and wsc have them",
                         task->name);
    }
    if (o->lora && !o->adapter) {
        recipe->lora = (LoraConfig){.r = option_count(o->lora_r),
                                    .alpha = option_real(o->lora_alpha),
                                    .dropout = (float)option_real(o->lora_dropout),
                                    .rslora = o->rslora != NULL};
    }
    return check_values(recipe, o, error);
}

int recipe_choose_metric(Recipe *recipe, const Options *o, const Task *task, Error *error)
{
    static const char *const of_classes[] = {"accuracy", "mcc", "macro-f1", "f1", "f1a", "em"},
                             *const of_values[] = {"pearson", "spearman"},
                             *const of_language[] = {"perplexity"};
    const char *const *list = task->kind == KIND_REGRESSION ? of_values
                              : task->kind == KIND_LANGUAGE ? of_language
                                                            : of_classes;
    int count = task->kind == KIND_REGRESSION    ? 2
                : task->kind == KIND_LANGUAGE    ? 1
                : task->form == FORM_MULTIRC     ? 6
                                                 : 3 + (task->K == 2),
        i = 0;
    while (o->metric && i < count && strcmp(list[i], o->metric)) {
        i++;
    }
    if (i == count) {
        char *names = string_copy("");
        for (i = 0; i < count; i++) {
            string_append(&names, "%s%s", !i ? "" : i + 1 < count ? ", " : " or ", list[i]);
        }
        error_set(error, EXIT_USAGE, "--metric %s with --task %s: choose %s", o->metric, task->name,
                  names);
        free(names);
        return recipe_blame(o, "metric", error);
    }
    recipe->metric = o->metric && strcmp(o->metric, metric_name(task->metric)) ? o->metric : NULL;
    return 0;
}

Seeds seeds_from(const Options *o, uint64_t seed)
{
    return (Seeds){seed, o->seed_init ? option_seed(o->seed_init) : seed,
                   o->seed_data ? option_seed(o->seed_data) : seed,
                   o->seed_dropout ? option_seed(o->seed_dropout) : seed,
                   o->seed_order ? option_seed(o->seed_order) : seed};
}

const char *real_text(char text[32], double value)
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    return text;
}

static json_t *real_json(double value)
{
    char text[32];
    return json_string(real_text(text, value));
}

static json_t *seed_json(uint64_t seed)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    return json_string(text);
}

json_t *recipe_json(const Recipe *r, const Seeds *seeds)
{
    json_t *object = json_object();
    json_object_set_new(object, "adapter", json_string(r->lora.targets ? "lora" : "full"));
    if (r->lora.targets) {
        char targets[64] = "";
        for (int k = 0; k < LINEAR_KINDS; k++) {
            if (r->lora.targets >> k & 1) {
                size_t used = strlen(targets);
                snprintf(targets + used, sizeof targets - used, "%s%s", used ? "," : "",
                         linear_kind_name((LinearKind)k));
            }
        }
        json_object_set_new(object, "lora_alpha", real_json(r->lora.alpha));
        json_object_set_new(object, "lora_dropout", real_json((double)r->lora.dropout));
        json_object_set_new(object, "lora_r", json_integer(r->lora.r));
        json_object_set_new(object, "lora_targets", json_string(targets));
        json_object_set_new(object, "rslora", json_boolean(r->lora.rslora));
        if (*r->start) {
            json_object_set_new(object, "start", json_string(r->start));
        }
    }
    if (r->attention_dropout >= 0) {
        json_object_set_new(object, "attention_dropout", real_json(r->attention_dropout));
    }
    json_object_set_new(object, "batch", json_integer(r->batch));
    json_object_set_new(object, "beta1", real_json(r->optim.beta1));
    json_object_set_new(object, "beta2", real_json(r->optim.beta2));
    if (r->optim.uncorrected) { /* of no other run */
        json_object_set_new(object, "bias_correction", json_string("off"));
    }
    json_object_set_new(object, "clip", real_json(r->optim.clip));
    if (r->columns) {
        json_object_set_new(object, "columns", json_text(r->columns));
    }
    json_object_set_new(object, "dropout",
                        r->dropout < 0 ? json_string("config") : real_json(r->dropout));
    json_object_set_new(object, "dtype", json_string(r->dtype));
    json_object_set_new(object, "epochs", real_json(r->epochs));
    if (r->select) { /* among which evaluations */
        json_object_set_new(object, "eval_every", json_string(r->eval_every));
    }
    json_object_set_new(object, "eps", real_json(r->optim.eps));
    if (r->spans) { /* of no other run */
        json_object_set_new(object, "head", json_string("spans"));
    }
    if (r->head_dropout >= 0) {
        json_object_set_new(object, "head_dropout", real_json(r->head_dropout));
    }
    json_object_set_new(object, "kernels", json_string(r->kernels));
    json_object_set_new(object, "lr", real_json(r->lr));
    json_object_set_new(object, "max_eval", json_integer(r->max_eval));
    json_object_set_new(object, "max_len", json_integer(r->max_len));
    json_object_set_new(object, "max_steps", json_integer(r->max_steps));
    json_object_set_new(object, "max_train", json_integer(r->max_train));
    if (r->metric) { /* of no other run */
        json_object_set_new(object, "metric", json_string(r->metric));
    }
    if (r->micro) {
        json_object_set_new(object, "micro_batch", json_integer(r->micro));
    }
    if (r->patience) {
        json_object_set_new(object, "patience", json_integer(r->patience));
    }
    json_object_set_new(object, "schedule", json_string(schedules[r->schedule]));
    json_object_set_new(object, "seed", seed_json(seeds->seed));
    json_object_set_new(object, "seed_data", seed_json(seeds->data));
    json_object_set_new(object, "seed_dropout", seed_json(seeds->dropout));
    json_object_set_new(object, "seed_init", seed_json(seeds->init));
    if (strstr(r->kernels, "=shuffled")) { /* of no other run */
        json_object_set_new(object, "seed_order", seed_json(seeds->order));
    }
    json_object_set_new(object, "select", json_string(selections[r->select]));
    json_object_set_new(object, "warmup", real_json(r->warmup));
    json_object_set_new(object, "weight_decay", real_json(r->optim.weight_decay));
    return object;
}
