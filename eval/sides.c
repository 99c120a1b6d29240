#include "sides.h"
#include "report.h"
#include "group.h"
#include "result.h"

#include <stdlib.h>
#include <string.h>

enum { DIGITS = 8, MAX_FOLDERS = 4 };

static int is_digest(const char *key, size_t size)
{
    static const char end[] = "_sha256";
    size_t n = sizeof end - 1;
    return size > n && !memcmp(key + size - n, end, n);
}

int run_is_of_side(const Preds *run, const char *side)
{
    const char *equals = strchr(side, '='), *recipe = preds_meta(run, "recipe_sha256");
    size_t n = strlen(side), folder = n && side[n - 1] == '/' ? n - 1 : n;
    if (equals) {
        size_t size = (size_t)(equals - side), digits = n - size - 1;
        char *key = string_format("%.*s", (int)size, side);
        const char *value = preds_meta(run, key);
        int same = !strcmp(value, equals + 1) ||
                   (is_digest(key, size) && digits >= 4 && !strncmp(value, equals + 1, digits));
        free(key);
        return same;
    }
    return !strcmp(preds_meta(run, "model"), side) || (n >= 4 && !strncmp(recipe, side, n)) ||
           (folder && !strncmp(run->path, side, folder) && run->path[folder] == '/');
}

/* Behind the last slash. */
static size_t folder_size(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* How many characters two texts have in common at the beginning, or at the end. */
static size_t common(const char *a, const char *b, int end, size_t most)
{
    size_t n = strlen(a), m = strlen(b), same = 0;
    most = size_min(most, size_min(n, m));
    while (same < most && (end ? a[n - 1 - same] == b[m - 1 - same] : a[same] == b[same])) {
        same++;
    }
    return same;
}

/* Appends a word for the paths in the folder of the first one: that path if there is no other, else
 * what all begin with, *, and what all end with. */
static void append_pattern(char **command, const char *const *paths, size_t n, const char *first)
{
    size_t folder = folder_size(first), head = strlen(first), tail = head, least = head, count = 0;
    for (int end = 0; end < 2; end++) { /* the end of the shortest is what its beginning leaves */
        for (size_t i = 0; i < n; i++) {
            if (folder_size(paths[i]) != folder || strncmp(paths[i], first, folder)) {
                continue;
            }
            if (end) {
                tail = common(paths[i], first, 1, size_min(tail, least - head));
            } else {
                head = common(paths[i], first, 0, head);
                least = size_min(least, strlen(paths[i]));
                count++;
            }
        }
    }
    head = utf8_valid_prefix(first, head);
    const char *end = first + strlen(first) - tail;
    while ((*end & 0xC0) == 0x80) { /* not inside of a character */
        end++;
    }
    char *begin = string_format("%s%.*s", *first == '-' ? "./" : "", (int)head, first);
    char *quoted = *begin ? shell_quote(begin) : string_copy(""),
         *quoted_end = count > 1 && *end ? shell_quote(end) : string_copy("");
    string_append(command, " %s%s%s", quoted, count > 1 ? "*" : "", quoted_end);
    free(begin);
    free(quoted);
    free(quoted_end);
}

char *compare_command(const char *a, const char *b, const char *const *paths, size_t n)
{
    char *first = shell_quote(a), *second = shell_quote(b);
    char *command = string_format("./consistency --compare %s %s", first, second),
         *all = string_copy(command);
    size_t folders[MAX_FOLDERS], count = 0;
    for (size_t i = 0; i < n; i++) {
        size_t size = folder_size(paths[i]), k = 0;
        while (k < count && (folder_size(paths[folders[k]]) != size ||
                             strncmp(paths[folders[k]], paths[i], size))) {
            k++;
        }
        if (k == MAX_FOLDERS) { /* too many to list */
            count = 0;
            break;
        }
        if (k == count) {
            folders[count++] = i;
        }
    }
    for (size_t k = 0; k < count; k++) {
        append_pattern(&all, paths, n, paths[folders[k]]);
    }
    if (count == 0) {
        free(all);
        all = string_format("%s FILE...", command);
    }
    free(first);
    free(second);
    free(command);
    return all;
}

char *side_of_value(const char *key, const char *value)
{
    return is_digest(key, strlen(key)) ? string_format("%s=%.*s", key, DIGITS, value)
                                       : string_format("%s=%s", key, value);
}

/* Whether a comparison of these sides is one of the two runs, and has no other twins. */
static int separates(Preds *const *runs, size_t S, const Preds *first, const Preds *second,
                     const char *a, const char *b)
{
    if (!run_is_of_side(first, a) || !run_is_of_side(second, b)) {
        return 0;
    }
    const Preds *before[2] = {NULL, NULL}; /* runs are sorted by seed: twins are neighbours */
    for (size_t s = 0; s < S; s++) {
        int of[2] = {run_is_of_side(runs[s], a), run_is_of_side(runs[s], b)};
        if (of[0] && of[1]) {
            return 0;
        }
        for (int k = 0; k < 2; k++) {
            if (of[k] && before[k] && preds_same_seeds(before[k], runs[s])) {
                return 0;
            }
            before[k] = of[k] ? runs[s] : before[k];
        }
    }
    return 1;
}

/* What one does about two runs of the same seeds that no comparison tells apart. The caller frees it. */
static char *twins_advice(const Preds *x, const Preds *y)
{
    if (path_is_same(x->path, y->path)) {
        return string_copy("name each run once");
    }
    char *keys = string_copy("");
    const json_t *both[2] = {x->metadata, y->metadata};
    for (int k = 0; k < 2; k++) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)both[k], key, value)
        {
            const json_t *other = json_object_get(both[!k], key);
            if (k ? !other : !json_equal(value, other)) {
                string_append(&keys, "%s%s", *keys ? ", " : "", key);
            }
        }
    }
    char *text = string_format("%s%s%s; leave out one of the two, or move it to another folder and "
                               "compare the folders",
                               *keys ? "they differ in " : "a copy of it", keys,
                               strchr(keys, ',') || !*keys ? "" : " alone");
    free(keys);
    return text;
}

int refuse_twins(Preds *const *runs, size_t S, size_t first, size_t second, Error *error)
{
    static const char *const keys[] = {"kernels_sha256", "git_commit", "tool_version", "device",
                                       "library",        "arithmetic", "checkpoint",   "status"};
    enum { KEYS = sizeof keys / sizeof *keys };
    const Preds *x = runs[first], *y = runs[second];
    const char *what = NULL;
    char *command = NULL;
    const char **paths = memory_alloc(S, sizeof *paths);
    for (size_t s = 0; s < S; s++) {
        paths[s] = runs[s]->path;
    }
    for (int k = 0; k <= KEYS && !command; k++) {
        char *a, *b;
        if (k < KEYS) {
            a = side_of_value(keys[k], preds_meta(x, keys[k]));
            b = side_of_value(keys[k], preds_meta(y, keys[k]));
        } else {
            a = string_format("%.*s", (int)folder_size(x->path), x->path);
            b = string_format("%.*s", (int)folder_size(y->path), y->path);
        }
        if (!path_is_same(x->path, y->path) && separates(runs, S, x, y, a, b)) {
            command = compare_command(a, b, paths, S);
            what = k < KEYS ? keys[k] : "folder";
        }
        free(a);
        free(b);
    }
    free(paths);
    char *seeds = preds_seeds(y), *advice = twins_advice(x, y);
    int code = command ? REFUSE("%s: the same seeds as %s (seed %s) with another %s; compare: %s",
                                y->path, x->path, seeds, what, command)
                       : REFUSE("%s: the same seeds as %s (seed %s); %s", y->path, x->path, seeds,
                                advice);
    free(advice);
    free(seeds);
    free(command);
    return code;
}

/* Whether two groups have the examples and the name of the model in common. */
static int same_name(const json_t *x, const json_t *y)
{
    int same = 1;
    for (int key = 0; key <= KEYS_OF_EXAMPLES; key++) {
        same = same && !strcmp(text_of(x, group_keys[key]), text_of(y, group_keys[key]));
    }
    return same;
}

void mark_apart(json_t *list)
{
    /* what the digests are of, and what an empty one says; the recipe has its own column */
    static const struct {
        const char *key, *name, *empty;
    } parts[] = {{"side", "side", "unknown"},
                 {"model_sha256", "weights", "unknown"},
                 {"adapter_sha256", "adapter", "none"},
                 {"train_sha256", "training data", "unknown"},
                 {"tokenizer_sha256", "tokenizer", "unknown"},
                 {"dataset_sha256", "data", "unknown"},
                 {"kernels_sha256", "kernels", "unknown"}};
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n; i++) {
        json_t *group = json_array_get(list, i);
        if (!is_dev_set(group)) {
            json_object_set(group, "apart", json_object_get(group, "split"));
        }
    }
    for (size_t first = 0, end; first < n; first = end) {
        json_t *x = json_array_get(list, first);
        for (end = first + 1; end < n && same_name(x, json_array_get(list, end)); end++) {
        }
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
            int differ = 0;
            for (size_t i = first + 1; i < end; i++) {
                differ = differ || strcmp(text_of(x, parts[p].key),
                                          text_of(json_array_get(list, i), parts[p].key));
            }
            for (size_t i = first; i < end && differ; i++) {
                json_t *group = json_array_get(list, i);
                const char *before = text_of(group, "apart"), *value = text_of(group, parts[p].key);
                char *text = string_format("%s%s%s %.*s", before, *before ? ", " : "",
                                           parts[p].name, DIGITS, *value ? value : parts[p].empty);
                json_object_set_new(group, "apart", json_text(text));
                free(text);
            }
        }
    }
}
