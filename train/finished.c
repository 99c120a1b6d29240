#include "finished.h"
#include "preds.h"

#include <string.h>

/* What the files of a run have each their own. */
static int is_of_the_set(const char *key)
{
    static const char *const keys[] = {"benchmark", "task",           "split",
                                       "metric",    "problem",        "label_names",
                                       "dataset",   "dataset_sha256", "part"};
    size_t i = 0;
    while (i < sizeof keys / sizeof *keys && strcmp(key, keys[i]) != 0) {
        i++;
    }
    return i < sizeof keys / sizeof *keys;
}

int predictions_finished(char *const *paths, int count, const json_t *receipts)
{
    int same = 1;
    for (int i = 0; i < count && same; i++) {
        Preds preds;
        Error ignored;
        const char *key;
        json_t *value;
        if (!path_exists(paths[i]) || preds_read(&preds, paths[i], &ignored)) {
            return 0;
        }
        json_object_foreach((json_t *)(uintptr_t)receipts, key, value)
        {
            same = same && ((i && is_of_the_set(key)) ||
                            !strcmp(preds_meta(&preds, key), json_string_value(value)));
        }
        preds_free(&preds);
    }
    return same;
}
