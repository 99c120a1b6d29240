#include "recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Training is in float32: what rounds to a value that makes no sense there is refused. */
static int check_reals(const Recipe *r, Error *error)
{
    const OptimConfig *o = &r->optim;
    const struct {
        const char *name;
        double value;
        int bad;
        const char *must;
    } list[] = {
        {"beta1", o->beta1, (float)o->beta1 >= 1, "below 1"},
        {"beta2", o->beta2, (float)o->beta2 >= 1, "below 1"},
        {"dropout", r->dropout, (float)r->dropout >= 1, "below 1"},
        {"eps", o->eps, !((float)o->eps > 0) || !isfinite((float)o->eps), "above 0, and finite"},
        {"clip", o->clip, !isfinite((float)o->clip), "finite"},
        {"lr", r->lr, !isfinite((float)(r->lr / (1.0 - o->beta1))), "smaller"},
        {"weight-decay", o->weight_decay,
         !isfinite((float)o->weight_decay) || !isfinite((float)(r->lr * o->weight_decay)),
         "smaller"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (list[i].bad) {
            return error_set(error, EXIT_USAGE, "--%s %.12g: must be %s in float32", list[i].name,
                             list[i].value, list[i].must);
        }
    }
    return 0;
}

static const char *const selections[] = {"last", "best", "half"};

int recipe_make(Recipe *recipe, const Options *o, const Task *task, Error *error)
{
    static const char *const schedules[] = {"linear", "cosine", "constant"};
    int schedule = 0;
    while (schedule < 3 && strcmp(o->schedule, schedules[schedule])) {
        schedule++;
    }
    if (schedule == 3) {
        const char *near = nearest_word(o->schedule, schedules, 3);
        return error_set(
            error, EXIT_USAGE,
            "--schedule %s: no such schedule%s%s; there are linear, cosine and constant",
            o->schedule, near ? "; did you mean " : "", near ? near : "");
    }
    int select = 0;
    while (select < 3 && strcmp(o->select, selections[select])) {
        select++;
    }
    if (select == 3) {
        return error_set(error, EXIT_USAGE, "--select %s: choose last, best or half", o->select);
    }
    if (select == SELECT_HALF && task->kind == KIND_LANGUAGE) {
        return error_set(error, EXIT_USAGE,
                         "--select half with --task lm, which reports no examples; choose last or "
                         "best");
    }
    *recipe = (Recipe){
        .optim = {option_real(o->beta1), option_real(o->beta2), option_real(o->eps),
                  option_real(o->weight_decay), option_real(o->clip)},
        .schedule = (Schedule)schedule,
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
        .kernels = "",
    };
    if (recipe->batch < 1 || recipe->batch > 65536) {
        return error_set(error, EXIT_USAGE, "--batch %d: must be from 1 to 65536", recipe->batch);
    }
    if (recipe->epochs < 0 || recipe->epochs > 10000) {
        return error_set(error, EXIT_USAGE, "--epochs %g: must be from 0 to 10000", recipe->epochs);
    }
    if (recipe->warmup > 1e9) {
        return error_set(error, EXIT_USAGE, "--warmup %g: more steps than any run has",
                         recipe->warmup);
    }
    return check_reals(recipe, error);
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
    static const char *const schedules[] = {"linear", "cosine", "constant"};
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
    json_object_set_new(object, "batch", json_integer(r->batch));
    json_object_set_new(object, "beta1", real_json(r->optim.beta1));
    json_object_set_new(object, "beta2", real_json(r->optim.beta2));
    json_object_set_new(object, "clip", real_json(r->optim.clip));
    if (r->columns) {
        json_object_set_new(object, "columns", json_text(r->columns));
    }
    json_object_set_new(object, "dropout",
                        r->dropout < 0 ? json_string("config") : real_json(r->dropout));
    json_object_set_new(object, "dtype", json_string("float32"));
    json_object_set_new(object, "epochs", real_json(r->epochs));
    if (r->select) { /* among which evaluations */
        json_object_set_new(object, "eval_every", json_string(r->eval_every));
    }
    json_object_set_new(object, "eps", real_json(r->optim.eps));
    json_object_set_new(object, "kernels", json_string(r->kernels));
    json_object_set_new(object, "lr", real_json(r->lr));
    json_object_set_new(object, "max_eval", json_integer(r->max_eval));
    json_object_set_new(object, "max_len", json_integer(r->max_len));
    json_object_set_new(object, "max_steps", json_integer(r->max_steps));
    json_object_set_new(object, "max_train", json_integer(r->max_train));
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
