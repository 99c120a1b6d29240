/* Names of a head's classes, as configurations have them. */
#include "check.h"
#include "labels.h"
#include "tasks.h"

#include <stdlib.h>
#include <string.h>

/* A config.json, and what a task makes of it: NULL LABELS_OTHER, "" LABELS_NONE, else the class of
 * each row. */
static const struct {
    const char *task, *config, *rows;
} cases[] = {
    {"mnli", "{'id2label': {'0': 'CONTRADICTION', '1': 'NEUTRAL', '2': 'ENTAILMENT'}}", "210"},
    {"mnli", "{'id2label': {'0': 'entailment', '1': 'neutral', '2': 'contradiction'}}", "012"},
    {"mnli", "{'id2label': {'0': 'contradiction', '1': 'entailment', '2': 'neutral'}}", "201"},
    {"cb", "{'id2label': {'0': 'Entailment', '1': 'Neutral', '2': 'Contradiction'}}", "021"},
    {"rte", "{'id2label': {'0': 'NOT_ENTAILMENT', '1': 'ENTAILMENT'}}", "10"},
    {"rte", "{'id2label': {'0': 'not-entailment', '1': 'entailment'}}", "10"},
    {"rte", "{'id2label': {'0': 'non entailment', '1': 'Entailment'}}", "10"},
    {"qnli", "{'id2label': {'0': 'no', '1': 'yes'}}", "10"},
    {"rte", "{'id2label': {'0': 'entailment', '1': 'contradiction'}}", NULL},
    {"mrpc", "{'id2label': {'0': 'paraphrase', '1': 'not_paraphrase'}}", "10"},
    {"mrpc", "{'id2label': {'0': 'not_duplicate', '1': 'duplicate'}}", "01"},
    {"qqp", "{'id2label': {'0': 'Duplicate', '1': 'Not Duplicate'}}", "10"},
    {"cola", "{'id2label': {'0': 'acceptable', '1': 'unacceptable'}}", "10"},
    {"cola", "{'id2label': {'0': 'grammatical', '1': 'ungrammatical'}}", "10"},
    {"sst2", "{'id2label': {'0': 'POSITIVE', '1': 'NEGATIVE'}}", "10"},
    {"sst2", "{'id2label': {'0': 'neg', '1': 'pos'}}", "01"},
    {"boolq", "{'id2label': {'0': 'True', '1': 'False'}}", "10"},
    {"boolq", "{'id2label': {'0': 'YES', '1': 'NO'}}", "10"},
    {"wic", "{'id2label': {'0': '1', '1': '0'}}", "10"},
    {"boolq", "{'id2label': {'0': 'acceptable', '1': 'unacceptable'}}", NULL},
    {"rte", "{'id2label': {'0': 'POSITIVE', '1': 'NEGATIVE'}}", NULL},
    {"rte", "{'id2label': {'0': 'entailment', '1': 'entailment'}}", NULL},
    {"rte", "{'id2label': {'0': 'entailment', '1': 5}}", NULL},
    {"rte", "{'id2label': {'0': 'entailment', '2': 'not_entailment'}}", NULL},
    {"rte", "{'id2label': {'0': 'entailment', '1': 'neutral', '2': 'contradiction'}}", NULL},
    {"rte", "{'id2label': {'0': 'LABEL_1', '1': 'LABEL_0'}}", NULL},
    {"rte", "{'id2label': {'0': 'LABEL_0', '1': 'LABEL_1'}}", ""},
    {"rte", "{'id2label': {'0': 'LABEL_0', '1': 'LABEL_1', '2': 'LABEL_2'}}", ""},
    {"rte", "{'id2label': {'0': 'LABEL_0', '1': 'entailment'}}", NULL},
    {"rte", "{}", ""},
    {"rte", "{'id2label': null, 'label2id': {}}", ""},
    {"rte", "{'label2id': {'entailment': 1, 'not_entailment': 0}}", "10"},
    {"rte",
     "{'id2label': {'0': 'LABEL_0', '1': 'LABEL_1'}, 'label2id': {'entailment': 1, "
     "'not_entailment': 0}}",
     "10"},
    {"rte",
     "{'id2label': {'0': 'not_entailment', '1': 'entailment'}, 'label2id': {'LABEL_0': 0, "
     "'LABEL_1': 1}}",
     "10"},
    {"rte",
     "{'id2label': {'0': 'not_entailment', '1': 'entailment'}, 'label2id': {'entailment': 0, "
     "'not_entailment': 1}}",
     NULL},
    {"rte", "{'label2id': {'entailment': 7, 'not_entailment': -1}}", NULL},
    {"mnli", "{'id2label': ['contradiction', 'neutral', 'entailment']}", "210"},
    {"rte", "{'id2label': ['LABEL_0', 'LABEL_1']}", ""},
    {"rte", "{'id2label': ['not_entailment', 'contradiction']}", NULL},
    {"rte", "{'id2label': []}", ""},
    {"rte", "{'id2label': 'entailment'}", NULL},
    {"rte", "{'id2label': 2}", NULL},
    {"mnli",
     "{'id2label': {'0': 'contradiction', '1': 'neutral', '2': 'entailment'}, 'label2id': "
     "{'contradiction': 2, 'more': 3}}",
     NULL},
    {"rte",
     "{'id2label': {'0': 'not_entailment', '1': 'entailment'}, 'label2id': {'entailment': 0}}",
     NULL},
    {"rte",
     "{'id2label': {'0': 'not_entailment', '1': 'entailment'}, 'label2id': {'entailment': 1, "
     "'more': 7}}",
     "10"},
};

int main(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error error;
        char *json = string_copy(cases[i].config), text[256], got[4] = "";
        for (char *c = json; *c; c++) {
            *c = *c == '\'' ? '"' : *c;
        }
        json_t *config = json_loads(json, 0, NULL);
        const Task *task = task_find(cases[i].task, &error);
        int rows[3];
        LabelFit fit = labels_of_config(rows, text, config, task->labels, task->K);
        for (int r = 0; r < task->K; r++) {
            got[r] = (char)('0' + rows[r]);
        }
        const char *wanted = cases[i].rows;
        LabelFit expected = !wanted ? LABELS_OTHER : *wanted ? LABELS_FIT : LABELS_NONE;
        CHECK(fit == expected && (fit != LABELS_FIT || !strcmp(got, wanted)),
              "%s, %s: fit %d, rows %s, names %s", task->name, json, (int)fit, got, text);
        json_decref(config);
        free(json);
    }
    /* every task's own names fit in any order, and moving rows there and back changes nothing */
    int count;
    const Task *tasks = tasks_all(&count);
    for (int i = 0; i < count; i++) {
        if (tasks[i].K < 2) {
            continue;
        }
        char text[256];
        int rows[3];
        json_t *list = json_array();
        for (int k = tasks[i].K - 1; k >= 0; k--) {
            json_array_append_new(list, json_string(tasks[i].labels[k]));
        }
        LabelFit fit = labels_of_list(rows, text, list, tasks[i].labels, tasks[i].K);
        CHECK(fit == LABELS_FIT && rows[0] == tasks[i].K - 1 && rows[tasks[i].K - 1] == 0, "%s",
              tasks[i].name);
        json_decref(list);
    }
    float values[] = {0, 1, 10, 11, 20, 21};
    labels_permute(values, (int[]){2, 0, 1}, 3, 2, 0);
    CHECK(values[4] == 0 && values[5] == 1 && values[0] == 10 && values[2] == 20, "permuted");
    labels_permute(values, (int[]){2, 0, 1}, 3, 2, 1);
    CHECK(values[0] == 0 && values[2] == 10 && values[5] == 21, "and back");
    return checks_close("test_labels");
}
