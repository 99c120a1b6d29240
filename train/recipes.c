#include "recipes.h"
#include "recipe.h"

#include <stdlib.h>
#include <string.h>

/* Their texts are JSON: the preprocessor makes strings of what is between the braces. */
static const struct {
    const char *name, *text;
} recipes[] = {
#define RECIPE(name, ...) {name, #__VA_ARGS__},
#include "recipes.def"
#undef RECIPE
};
enum { RECIPES = sizeof recipes / sizeof *recipes };

static const char *const fields[] = {"source", "model", "base", "settings", "tasks"};
enum { FIELDS = sizeof fields / sizeof *fields };

/* The options that a recipe may have; the first so many it must have. */
static const char *const settings[] = {
    "lr", "batch", "warmup", "weight_decay", "beta1", "beta2", "eps", "clip", "epochs", "max_steps",
    "bias_correction", "schedule", "dropout", "attention_dropout", "head_dropout", "head", "max_len",
    "select", "metric", "eval_every", "patience", "lora", "lora_r", "lora_alpha", "lora_dropout",
    "lora_targets", "rslora",
};
enum { SETTINGS = sizeof settings / sizeof *settings, NEEDED = 9 };

static int place_in(const char *const *list, int count, const char *word)
{
    int i = 0;
    while (i < count && strcmp(list[i], word)) {
        i++;
    }
    return i;
}

static int refuse_word(const char *where, const char *what, const char *word,
                       const char *const *list, int count, Error *error)
{
    const char *near = nearest_word(word, list, count);
    return REFUSE("%s: no such %s: %s%s%s", where, what, word, near ? "; did you mean " : "",
                  near ? near : "");
}

/* A setting's value as an option has it, "yes" for true; NULL if it is of no type that there is. */
static const char *value_text(char text[32], const json_t *value)
{
    if (json_is_integer(value)) {
        snprintf(text, 32, "%lld", (long long)json_integer_value(value));
        return text;
    }
    return json_is_real(value)     ? real_text(text, json_real_value(value))
           : json_is_string(value) ? json_string_value(value)
           : json_is_true(value)   ? "yes"
                                   : NULL;
}

/* Puts an object's settings over those that are there; false takes one away. */
static int add_settings(json_t *into, json_t *object, const char *where, Error *error)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object)) {
        return REFUSE("%s: settings must be an object, {\"lr\": 1e-5}", where);
    }
    json_object_foreach(object, key, value)
    {
        char text[32], name[32];
        snprintf(name, sizeof name, "%s", key);
        for (char *c = name; *c; c++) {
            *c = *c == '-' ? '_' : *c;
        }
        if (place_in(settings, SETTINGS, name) == SETTINGS) {
            return refuse_word(where, "setting of a recipe", key, settings, SETTINGS, error);
        }
        const char *last = value_text(text, value);
        Error problem;
        if (json_is_false(value)) {
            json_object_del(into, name);
        } else if (!last) {
            return REFUSE("%s: %s: must be a number, a text, true or false", where, key);
        } else if (options_check_value(name, last, json_is_true(value), &problem)) {
            return REFUSE("%s: %s", where, problem.text);
        } else {
            json_object_set_new(into, name, json_string(last));
        }
    }
    return 0;
}

/* What "tasks" has for this task; the other names in it must be those of tasks. */
static int add_task(json_t *into, json_t *tasks, const Task *task, const char *where, Error *error)
{
    const char *key;
    json_t *value;
    if (!json_is_object(tasks)) {
        return REFUSE("%s: tasks must be an object, {\"rte\": {\"lr\": 1e-5}}", where);
    }
    json_object_foreach(tasks, key, value)
    {
        Error problem;
        int own = !strcmp(key, task->name);
        const Task *named = own ? task : task_find(key, &problem);
        json_t *other = json_object();
        int code = 0;
        if (!named) {
            code = REFUSE("%s: tasks: %s", where, problem.text);
        } else {
            int ours = own || !strcmp(named->name, task->name);
            code = add_settings(ours ? into : other, value, where, error);
        }
        json_decref(other);
        if (code) {
            return code;
        }
    }
    return 0;
}

static json_t *named_recipe(const char *name)
{
    json_t *object = NULL;
    Error none;
    for (int i = 0; i < RECIPES && !object; i++) {
        if (!strcmp(name, recipes[i].name) &&
            json_read_bytes(&object, recipes[i].text, strlen(recipes[i].text), name, &none)) {
            fprintf(stderr, "recipes.def: %s\n", none.text);
            exit(EXIT_BUG);
        }
    }
    return object;
}

static int no_recipe(const char *where, const char *name, Error *error)
{
    const char *names[RECIPES];
    for (int i = 0; i < RECIPES; i++) {
        names[i] = recipes[i].name;
    }
    const char *near = nearest_word(name, names, RECIPES);
    return error_set(error, EXIT_USAGE,
                     "%s %s: no such recipe%s%s; train_gpt --list-recipes has them; a file ends "
                     "in .json",
                     where, name, near ? "; did you mean " : "", near ? near : "");
}

/* Base, settings, task: each over what was before. */
static int apply(NamedRecipe *recipe, json_t *object, const Task *task, const char *where,
                 Error *error)
{
    const char *key, *base = string_of(object, "base"), *model = string_of(object, "model");
    json_t *value;
    if (!json_is_object(object)) {
        return REFUSE("%s: a recipe is an object, {\"source\": ..., \"settings\": {...}}", where);
    }
    json_object_foreach(object, key, value)
    {
        int field = place_in(fields, FIELDS, key);
        if (field == FIELDS) {
            return refuse_word(where, "field of a recipe", key, fields, FIELDS, error);
        }
        if (field < 3 && !json_is_string(value)) {
            return REFUSE("%s: %s: must be a text", where, key);
        }
    }
    if (model && strcmp(model, "encoder") && strcmp(model, "decoder")) {
        return REFUSE("%s: model %s: must be encoder or decoder", where, model);
    }
    if (base) {
        json_t *below = named_recipe(base);
        char *place = string_format("%s: base", where);
        int code = below ? apply(recipe, below, task, base, error) : no_recipe(place, base, error);
        json_decref(below);
        free(place);
        if (code) {
            return code;
        }
    }
    recipe->model = model ? *model : recipe->model;
    json_t *all = json_object_get(object, "settings"), *by = json_object_get(object, "tasks");
    return (all && add_settings(recipe->settings, all, where, error)) ||
                   (by && add_task(recipe->settings, by, task, where, error))
               ? error->code
               : 0;
}

/* Nothing is left to chance: a value that neither recipe nor command line have is asked for, and one
 * of adapters where there are none is refused. */
static int check_whole(const NamedRecipe *recipe, const Options *options, const Task *task,
                       Error *error)
{
    for (int i = 0; i < NEEDED; i++) {
        char typed[32];
        if (!string_of(recipe->settings, settings[i]) && !option_given(options, settings[i])) {
            return error_set(error, EXIT_USAGE,
                             "--recipe %s: has no %s for %s; give --%s, or choose another recipe "
                             "(--list-recipes)",
                             recipe->name, settings[i], task->name,
                             option_typed(typed, settings[i]));
        }
    }
    for (int i = 0; i < SETTINGS; i++) {
        int adapters = strstr(settings[i], "lora_") || !strcmp(settings[i], "rslora");
        if (adapters && string_of(recipe->settings, settings[i]) && !options->lora &&
            !options->adapter && !string_of(recipe->settings, "lora")) {
            return error_set(error, EXIT_USAGE,
                             "--recipe %s: %s without lora changes nothing; add --lora",
                             recipe->name, settings[i]);
        }
    }
    return 0;
}

int recipe_open(NamedRecipe *recipe, Options *o, const Task *task, int tiny, Error *error)
{
    const char *name = o->recipe               ? o->recipe
                       : tiny                  ? "tiny"
                       : o->lora || o->adapter ? "lora"
                                               : "task";
    name = !strcmp(name, "task") && task->kind == KIND_LANGUAGE ? "hf" : name;
    size_t length = strlen(name);
    int file = strchr(name, '/') || (length > 5 && !strcmp(name + length - 5, ".json"));
    *recipe = (NamedRecipe){.name = string_copy(name), .settings = json_object()};
    json_t *object = file ? NULL : named_recipe(name);
    if (file && json_read_file(&object, name, error)) {
        return error->code;
    }
    if (!object) {
        return no_recipe("--recipe", name, error);
    }
    int code = apply(recipe, object, task, name, error);
    json_decref(object);
    if (code || check_whole(recipe, o, task, error)) {
        return error->code;
    }
    for (int i = 0; i < SETTINGS; i++) {
        const char *text = string_of(recipe->settings, settings[i]);
        int instead = !strcmp(settings[i], "max_steps") && option_given(o, "epochs");
        if (text && !instead) {
            options_fill(o, settings[i], text);
        }
    }
    code = options_check_training(o, error);
    if (code && o->recipe) {
        const Error said = *error;
        error_set(error, code, "--recipe %s: %s", o->recipe, said.text);
    }
    return code;
}

void recipe_close(NamedRecipe *recipe)
{
    free(recipe->name);
    json_decref(recipe->settings);
    *recipe = (NamedRecipe){0};
}

int recipe_check_model(const NamedRecipe *recipe, int decoder, Error *error)
{
    if (!recipe->model || (recipe->model == 'd') == decoder) {
        return 0;
    }
    return error_set(error, EXIT_USAGE,
                     "--recipe %s: is for %s, the model is %s; choose another recipe "
                     "(--list-recipes)",
                     recipe->name, decoder ? "encoders" : "decoders",
                     decoder ? "a decoder" : "an encoder");
}

/* " lora, lora_r 8, lr 1e-05" */
static void append_settings(char **text, const json_t *object)
{
    const char *key, *mark = " ";
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        char number[32];
        const char *shown = json_is_true(value) ? "" : value_text(number, value);
        string_append(text, "%s%s%s%s", mark, key, json_is_true(value) ? "" : " ",
                      shown ? shown : "false");
        mark = ", ";
    }
}

void recipes_list(FILE *out)
{
    fputs("Recipes for --recipe NAME; --dry-run --verbose shows all values of a run.\n"
          "A file of your own, --recipe FILE.json, is made alike (docs/TASKS.md).\n",
          out);
    for (int i = 0; i < RECIPES; i++) {
        json_t *object = named_recipe(recipes[i].name);
        const char *model = string_of(object, "model"), *base = string_of(object, "base"), *key;
        json_t *value, *by = json_object_get(object, "tasks");
        char *text = string_format("%s%s%s%s", model ? "(" : "", model ? model : "",
                                   model ? "s) " : "", text_of(object, "source")),
             *values = string_format("%s%s", base ? base : "", base ? ", but" : "Values:");
        append_settings(&values, json_object_get(object, "settings"));
        json_object_foreach(by, key, value)
        {
            string_append(&values, "; %s:", key);
            append_settings(&values, value);
        }
        fprintf(out, "\n  %-14s ", recipes[i].name);
        print_words(out, 17, 17, text);
        fprintf(out, "\n%17s", "");
        print_words(out, 17, 17, values);
        fputc('\n', out);
        free(text);
        free(values);
        json_decref(object);
    }
}
