/* Compares the examples of a task in two folders that have its files in different forms:
 * build/test_forms TASK FOLDER OTHER. Compared are number, ids, labels, targets, clusters and texts
 * of both splits. */
#include "check.h"
#include "tasks.h"

#include <string.h>

static int same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static void compare(const Dataset *a, const Dataset *b)
{
    CHECK(a->count == b->count, "%s has %d examples, %s %d", a->path, a->count, b->path, b->count);
    for (int i = 0; i < a->count && i < b->count; i++) {
        const Example *x = &a->examples[i], *y = &b->examples[i];
        int same = x->label == y->label && x->cluster == y->cluster && x->target == y->target &&
                   !strcmp(x->id, y->id);
        for (int j = 0; j < task_sequences(a->task); j++) {
            for (int t = 0; t < MAX_TEXTS; t++) {
                same = same && same_text(x->text[j][t], y->text[j][t]);
            }
        }
        CHECK(same, "%s:%d and %s:%d: %s, label %d, target %a, '%.60s' and %s, %d, %a, '%.60s'",
              a->path, x->line, b->path, y->line, x->id, x->label, (double)x->target, x->text[0][0],
              y->id, y->label, (double)y->target, y->text[0][0]);
    }
}

int main(int argc, char **argv)
{
    static const char *const splits[] = {"train", "validation"};
    Error error;
    if (argc < 4) {
        fputs("usage: test_forms TASK FOLDER OTHER\n", stderr);
        return EXIT_USAGE;
    }
    const Task *task = task_find(argv[1], &error);
    for (int s = 0; s < 2; s++) {
        Dataset sets[2];
        for (int i = 0; i < 2; i++) {
            if (!task || dataset_read(&sets[i], task, argv[2 + i], splits[s], 0, 0, 2, &error)) {
                fprintf(stderr, "%s\n", error.text);
                return error.code;
            }
        }
        compare(&sets[0], &sets[1]);
        dataset_free(&sets[0]);
        dataset_free(&sets[1]);
    }
    return checks_close("test_forms");
}
