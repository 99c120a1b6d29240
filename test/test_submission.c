/* Files for the test servers of GLUE and SuperGLUE, against the forms that jiant's
 * tasks/core.py, tasks/lib and scripts/benchmarks/benchmarks.py write, from predictions made here. */
#include "check.h"
#include "json.h"
#include "lines.h"
#include "submission.h"
#include "tasks.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Names, rows and labels of the servers; number: labels are numbers in JSON. */
static const struct {
    const char *task, *split, *file, *labels[3];
    int rows, number;
} expected[] = {
    {"cola", "test", "glue/CoLA.tsv", {"0", "1"}, 1063, 0},
    {"sst2", "test", "glue/SST-2.tsv", {"0", "1"}, 1821, 0},
    {"mrpc", "test", "glue/MRPC.tsv", {"0", "1"}, 1725, 0},
    {"stsb", "test", "glue/STS-B.tsv", {NULL}, 1379, 0},
    {"qqp", "test", "glue/QQP.tsv", {"0", "1"}, 390965, 0},
    {"mnli",
     "test_matched",
     "glue/MNLI-m.tsv",
     {"entailment", "neutral", "contradiction"},
     9796,
     0},
    {"mnli",
     "test_mismatched",
     "glue/MNLI-mm.tsv",
     {"entailment", "neutral", "contradiction"},
     9847,
     0},
    {"qnli", "test", "glue/QNLI.tsv", {"entailment", "not_entailment"}, 5463, 0},
    {"rte", "test", "glue/RTE.tsv", {"entailment", "not_entailment"}, 3000, 0},
    {"wnli", "test", "glue/WNLI.tsv", {"0", "1"}, 146, 0},
    {"ax", "test", "glue/AX.tsv", {"entailment", "neutral", "contradiction"}, 1104, 0},
    {"boolq", "test", "superglue/BoolQ.jsonl", {"false", "true"}, 3245, 0},
    {"cb", "test", "superglue/CB.jsonl", {"entailment", "contradiction", "neutral"}, 250, 0},
    {"copa", "test", "superglue/COPA.jsonl", {"0", "1"}, 500, 1},
    {"multirc", "test", "superglue/MultiRC.jsonl", {"0", "1"}, 9693, 1},
    {"rte_superglue", "test", "superglue/RTE.jsonl", {"entailment", "not_entailment"}, 3000, 0},
    {"wic", "test", "superglue/WiC.jsonl", {"false", "true"}, 1400, 0},
    {"wsc", "test", "superglue/WSC.jsonl", {"False", "True"}, 146, 0},
    {"axb", "test", "superglue/AX-b.jsonl", {"entailment", "not_entailment"}, 1104, 0},
    {"axg", "test", "superglue/AX-g.jsonl", {"entailment", "not_entailment"}, 356, 0},
};
enum { FILES = sizeof expected / sizeof *expected };

/* What the example i is predicted as: a class, or a score / 5. */
static int class_of(size_t i, int K)
{
    return (int)((i * 7 + i / 5) % (size_t)K);
}

static float score_of(size_t i)
{
    return (float)((double)(i % 1000) / 900.0 - 0.05); /* some below 0 and above 5 / 5 */
}

/* MultiRC: paragraphs of 4 questions, of 3 answers and of 2 in turn. */
static char *multirc_id(size_t i, size_t place[2])
{
    size_t paragraph = i / 10, rest = i % 10, question = rest / 5 * 2 + (rest % 5 > 2),
           answer = rest % 5 - (rest % 5 > 2 ? 3 : 0);
    place[0] = paragraph * 4 + question;
    place[1] = answer;
    return string_format("p%zu-q%zu-a%zu", paragraph, question, answer);
}

/* Predictions of a test split; reversed: with the classes in another order. */
static Preds make_run(int f, int reversed)
{
    const Task *task = task_known(expected[f].task);
    Preds run = {.path = string_format("%s.bin", expected[f].file),
                 .N = (size_t)expected[f].rows,
                 .K = task->K,
                 .regression = task->kind == KIND_REGRESSION};
    json_t *names = json_array();
    for (int k = 0; k < task->K; k++) {
        json_array_append_new(names, json_string(task->labels[reversed ? task->K - 1 - k : k]));
    }
    char *text = json_dumps(names, JSON_COMPACT);
    run.metadata = json_pack("{s:s, s:s, s:s, s:s}", "benchmark", task->benchmark, "task",
                             task->name, "split", expected[f].split, "label_names", text);
    free(text);
    json_decref(names);
    run.pred = memory_alloc(run.N, sizeof *run.pred);
    run.value = run.regression ? memory_alloc(run.N, sizeof *run.value) : NULL;
    run.id = memory_alloc(run.N, sizeof *run.id);
    for (size_t i = 0; i < run.N; i++) {
        size_t place[2];
        int class = class_of(i, task->K);
        run.pred[i] = run.regression ? -1 : reversed ? task->K - 1 - class : class;
        run.id[i] = task->form == FORM_MULTIRC ? multirc_id(i, place)
                                               : string_format("%s-%zu", expected[f].split, i);
        if (run.regression) {
            run.value[i] = score_of(i);
        }
    }
    return run;
}

/* {"idx": index, "label": ...} and nothing else. */
static int right_label(const json_t *object, int f, size_t index, size_t i)
{
    const json_t *idx = json_object_get(object, "idx"), *label = json_object_get(object, "label");
    const char *wanted = expected[f].labels[class_of(i, expected[f].labels[2] ? 3 : 2)];
    return json_object_size(object) == 2 && json_is_integer(idx) &&
           json_integer_value(idx) == (json_int_t)index &&
           (expected[f].number
                ? json_is_integer(label) && json_integer_value(label) == atoi(wanted)
                : json_is_string(label) && !strcmp(json_string_value(label), wanted));
}

/* A line of MultiRC: a paragraph. Returns its answers, 0 for a wrong one. */
static size_t check_paragraph(const json_t *object, int f, size_t paragraph, size_t first)
{
    const json_t *passage = json_object_get(object, "passage"),
                 *questions = json_object_get(passage, "questions");
    size_t q, a, at = first, place[2];
    json_t *question, *answer;
    if (json_object_size(object) != 2 || json_object_size(passage) != 1 ||
        json_integer_value(json_object_get(object, "idx")) != (json_int_t)paragraph) {
        return 0;
    }
    json_array_foreach((json_t *)(uintptr_t)questions, q, question)
    {
        const json_t *answers = json_object_get(question, "answers");
        free(multirc_id(at, place));
        if (json_object_size(question) != 2 || place[1] != 0 ||
            json_integer_value(json_object_get(question, "idx")) != (json_int_t)place[0]) {
            return 0;
        }
        json_array_foreach((json_t *)(uintptr_t)answers, a, answer)
        {
            free(multirc_id(at, place));
            if (place[1] != a || !right_label(answer, f, at, at)) {
                return 0;
            }
            at++;
        }
    }
    return at - first;
}

static void check_file(const char *folder, int f)
{
    char *path = string_format("%s/%s", folder, expected[f].file), *line = NULL;
    FILE *in = fopen(path, "r");
    size_t room = 0, i = 0, rows = (size_t)expected[f].rows, lines = 0;
    int tsv = strstr(path, ".tsv") != NULL, good = in != NULL;
    if (in && tsv) {
        good = getline(&line, &room, in) > 0 && !strcmp(line, "index\tprediction\n");
    }
    for (; good && getline(&line, &room, in) > 0; lines++) {
        char *wanted = NULL;
        json_t *object = NULL;
        Error error;
        if (tsv && expected[f].labels[0]) {
            wanted = string_format("%zu\t%s\n", i,
                                   expected[f].labels[class_of(i, expected[f].labels[2] ? 3 : 2)]);
            good = !strcmp(line, wanted);
            i++;
        } else if (tsv) {
            double score = 5 * (double)score_of(i);
            wanted = string_format("%zu\t%.3f\n", i, score < 0 ? 0 : score > 5 ? 5 : score);
            good = !strcmp(line, wanted);
            i++;
        } else if (json_read_bytes(&object, line, strlen(line), path, &error)) {
            good = 0;
        } else if (!strcmp(expected[f].task, "multirc")) {
            size_t answers = check_paragraph(object, f, lines, i);
            good = answers > 0;
            i += answers;
        } else {
            good = right_label(object, f, i, i);
            i++;
        }
        if (!good) {
            printf("%s, line %zu: %s", path, lines + 1, line);
        }
        json_decref(object);
        free(wanted);
    }
    CHECK(good && i == rows, "%s: %zu of %zu examples", path, i, rows);
    if (in) {
        fclose(in);
    }
    free(line);
    free(path);
}

static char *written(const char *folder, Preds *runs, size_t count, int *code, Error *error)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    *code = submission_write(folder, runs, count, out, error);
    fclose(out);
    return text;
}

static void remove_folder(const char *folder)
{
    static const char *const parts[] = {"glue", "superglue", ""};
    for (int f = 0; f < FILES; f++) {
        char *path = string_format("%s/%s", folder, expected[f].file);
        unlink(path);
        free(path);
    }
    for (int p = 0; p < 3; p++) {
        char *path = string_format("%s/%s", folder, parts[p]);
        rmdir(path);
        free(path);
    }
}

static void check_forms(const char *folder)
{
    Preds runs[FILES];
    Error error;
    int code;
    for (int reversed = 0; reversed < 2; reversed++) {
        for (int f = 0; f < FILES; f++) {
            runs[f] = make_run(f, reversed);
        }
        char *said = written(folder, runs, FILES, &code, &error);
        CHECK(!code, "%s", error.text);
        CHECK(!strstr(said, "missing for glue") &&
                  strstr(said, "missing for superglue: ReCoRD.jsonl (no task here)\n"),
              "%s", said);
        CHECK(strstr(said, "next: zip -j glue.zip ") && strstr(said, "/superglue/*.jsonl\n"), "%s",
              said);
        free(said);
        for (int f = 0; f < FILES; f++) {
            check_file(folder, f);
            preds_free(&runs[f]);
        }
        remove_folder(folder);
    }
}

/* A run of CB or MultiRC that one thing is wrong with. */
static void check_refused(const char *folder)
{
    enum { CB = 12, MULTIRC = 14 };
    Error error;
    for (int fault = 0; fault < 9; fault++) {
        Preds runs[2] = {make_run(fault < 7 ? CB : MULTIRC, 0), make_run(CB, 0)};
        const char *found[] = {"example test-3 has no prediction",
                               "249 examples, the official test set of CB has 250",
                               "example 7 is 'validation-7', not the one of that place",
                               "example 8 is 'test-7'",
                               "its classes [\"a\",\"b\",\"c\"] are not those of CB",
                               "are both of CB, test; name one of them",
                               "none of the files is of a test split",
                               "example 12 is 'p1-q0-a5'",
                               "9692 examples, the official test set of MultiRC has 9693"};
        size_t count = fault == 5 ? 2 : 1;
        int code, usage = fault == 5 || fault == 6;
        if (fault == 0) {
            runs[0].pred[3] = -1;
        } else if (fault == 1 || fault == 8) {
            free(runs[0].id[--runs[0].N]);
            json_object_set_new(runs[0].metadata, "hparams",
                                json_string(fault == 1 ? "{\"max_eval\":249}"
                                                       : "{\"max_eval\":9692}"));
        } else if (fault == 2 || fault == 3 || fault == 7) {
            int at = fault == 2 ? 7 : fault == 3 ? 8 : 12;
            free(runs[0].id[at]);
            runs[0].id[at] = string_copy(fault == 2   ? "validation-7"
                                         : fault == 3 ? "test-7"
                                                      : "p1-q0-a5");
        } else if (fault == 4) {
            json_object_set_new(runs[0].metadata, "label_names",
                                json_string("[\"a\",\"b\",\"c\"]"));
        } else if (fault == 6) {
            json_object_set_new(runs[0].metadata, "split", json_string("validation"));
        }
        char *said = written(folder, runs, count, &code, &error);
        CHECK(code == (usage ? EXIT_USAGE : EXIT_BAD_DATA) && strstr(error.text, found[fault]),
              "fault %d: %d %s", fault, code, code ? error.text : "accepted");
        CHECK(!path_exists(folder) && !*said, "fault %d: %s", fault, said);
        free(said);
        preds_free(&runs[0]);
        preds_free(&runs[1]);
        remove_folder(folder);
    }
}

/* A whole file of another size than is known is written, and said. */
static void check_other_size(const char *folder)
{
    Preds run = make_run(12, 0);
    Error error;
    int code;
    free(run.id[--run.N]);
    json_object_set_new(run.metadata, "hparams", json_string("{\"max_eval\":0}"));
    char *said = written(folder, &run, 1, &code, &error);
    CHECK(!code && strstr(said, "wrote"), "%s", code ? error.text : said);
    free(said);
    preds_free(&run);
    remove_folder(folder);
}

/* One task: the others are missing; a file of another split is left out. */
static void check_missing(const char *folder)
{
    Preds runs[2] = {make_run(0, 0), make_run(1, 0)};
    Error error;
    int code;
    json_object_set_new(runs[1].metadata, "split", json_string("validation"));
    char *said = written(folder, runs, 2, &code, &error);
    CHECK(!code &&
              strstr(said, "missing for glue: SST-2.tsv, MRPC.tsv, STS-B.tsv, QQP.tsv, QNLI.tsv, "
                           "RTE.tsv, MNLI-m.tsv, MNLI-mm.tsv, AX.tsv, WNLI.tsv\n") &&
              strstr(said, "left out: 1 file of no test split\n") && !strstr(said, "superglue"),
          "%d %s", code, said);
    free(said);
    preds_free(&runs[0]);
    preds_free(&runs[1]);
    remove_folder(folder);
}

int main(void)
{
    char *folder = scratch_path("submission");
    check_forms(folder);
    check_refused(folder);
    check_missing(folder);
    check_other_size(folder);
    free(folder);
    return checks_close("test_submission");
}
