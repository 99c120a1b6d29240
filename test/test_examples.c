/* Examples and inputs of a model from small files that are made here, against what must come of
 * them, written out: build/test_examples. Run in the root of the repository. */
#include "check.h"
#include "encode.h"
#include "text.h"

#include <stb/stb_ds.h>
#include <stdlib.h>
#include <string.h>

static char *write_file(const char *name, const char *text)
{
    char *path = scratch_path(name);
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0, "%s", path);
    return path;
}

/* Both splits of a task from one file, under these names. */
static void read_as(Dataset sets[2], const Task *task, const char *const files[2], const char *text)
{
    Error error;
    static const char *const splits[2] = {"train", "validation"};
    char *paths[2];
    for (int s = 0; s < 2; s++) {
        paths[s] = write_file(files[s], text);
    }
    for (int s = 0; s < 2; s++) {
        if (dataset_read(&sets[s], task, scratch_folder(), splits[s], 0, 0, 2, &error)) {
            CHECK(0, "%s", error.text);
            sets[s] = (Dataset){.task = task};
        }
    }
    for (int s = 0; s < 2; s++) {
        remove(paths[s]);
        free(paths[s]);
    }
}

/* The same under the names of the official files. */
static void read_both(Dataset sets[2], const char *name, const char *text)
{
    Error error;
    const Task *task = task_find(name, &error);
    read_as(sets, task,
            (const char *const[2]){split_find(task, "train")->files,
                                   split_find(task, "validation")->files},
            text);
}

static void free_both(Dataset sets[2])
{
    dataset_free(&sets[0]);
    dataset_free(&sets[1]);
}

static void check_text(const char *got, const char *expected)
{
    CHECK(got && !strcmp(got, expected), "'%s', expected '%s'", got ? got : "(nothing)", expected);
}

/* Answers without text are left out of the training file alone, and keep their numbers. */
static void check_multirc(void)
{
    static const char *const ids[2][5] = {
        {"p5-q0-a0", "p5-q0-a2", "p5-q1-a1"},
        {"p5-q0-a0", "p5-q0-a1", "p5-q0-a2", "p5-q1-a0", "p5-q1-a1"}};
    static const int counts[2] = {3, 5}, labels[3] = {1, 0, 1};
    Dataset sets[2];
    read_both(sets, "multirc",
              "{\"idx\": 5, \"passage\": {\"text\": \"A text.\", \"questions\": [{\"question\": "
              "\"Who?\", \"idx\": 0, \"answers\": [{\"text\": \"Ann\", \"idx\": 0, \"label\": 1}, "
              "{\"text\": \" \\u00a0\", \"idx\": 1, \"label\": 0}, {\"text\": \"Ben\", \"idx\": 2, "
              "\"label\": 0}]}, {\"question\": \"When?\", \"idx\": 1, \"answers\": [{\"text\": "
              "\"\", \"idx\": 3, \"label\": 1}, {\"text\": \"now\", \"idx\": 4, \"label\": "
              "1}]}]}}\n");
    for (int s = 0; s < 2; s++) {
        CHECK(sets[s].count == counts[s], "%d answers, expected %d", sets[s].count, counts[s]);
        for (int i = 0; i < sets[s].count && i < counts[s]; i++) {
            check_text(sets[s].examples[i].id, ids[s][i]);
            CHECK(sets[s].examples[i].cluster == 5, "cluster %d", sets[s].examples[i].cluster);
        }
    }
    for (int i = 0; i < 3 && i < sets[0].count; i++) {
        CHECK(sets[0].examples[i].label == labels[i], "label %d", sets[0].examples[i].label);
    }
    free_both(sets);
}

static void check_wsc(void)
{
    static const struct {
        const char *text, *first, *second;
        int first_word, second_word;
        const char *marked;
    } rows[] = {
        /* the nearest occurrence, not the first */
        {"Ann saw Ben and Ann left him", "Ann", "him", 4, 6, "Ann saw Ben and _Ann_ left [him]"},
        /* of two that are as near, the first */
        {"Ann met Ann and Ben", "Ann", "Ben", 1, 4, "_Ann_ met Ann and [Ben]"},
        /* no part of a word, and any case */
        {"Dogs bite; the Dog barked at him", "the dog", "him", 0, 6,
         "Dogs bite; _the Dog_ barked at [him]"},
        {"the dogs and the dog ran", "dog", "the", 1, 0, "[the] dogs and the _dog_ ran"},
        /* one within the other */
        {"we saw his dog run", "his dog", "dog", 2, 3, "we saw _his [dog]_ run"},
    };
    enum { COUNT = sizeof rows / sizeof *rows };
    Dataset sets[2];
    char *text = string_copy("");
    for (int i = 0; i < COUNT; i++) {
        char *longer = string_format("%s{\"text\": \"%s\", \"idx\": %d, \"label\": %s, \"target\": "
                                     "{\"span1_text\": \"%s\", \"span2_text\": \"%s\", "
                                     "\"span1_index\": %d, \"span2_index\": %d}}\n",
                                     text, rows[i].text, i, i % 2 ? "true" : "false", rows[i].first,
                                     rows[i].second, rows[i].first_word, rows[i].second_word);
        free(text);
        text = longer;
    }
    read_both(sets, "wsc", text);
    CHECK(sets[1].count == COUNT, "%d rows", sets[1].count);
    for (int i = 0; i < sets[1].count; i++) {
        check_text(sets[1].examples[i].text[0][0], rows[i].marked);
        CHECK(sets[1].examples[i].label == i % 2, "label %d", sets[1].examples[i].label);
    }
    free(text);
    free_both(sets);
}

static void check_rows(void)
{
    Dataset sets[2];
    /* a byte order mark, and the order of the labels' numbers */
    read_both(sets, "cb",
              "\xEF\xBB\xBF{\"premise\": \"p\", \"hypothesis\": \"h\", \"label\": \"neutral\"}\n"
              "{\"premise\": \"q\", \"hypothesis\": \"i\", \"label\": \"entailment\"}\n\n"
              "{\"premise\": \"r\", \"hypothesis\": \"j\", \"label\": \"contradiction\"}\n");
    static const int labels[3] = {2, 0, 1}, lines[3] = {1, 2, 4};
    CHECK(sets[0].count == 3, "%d rows", sets[0].count);
    for (int i = 0; i < sets[0].count; i++) {
        CHECK(sets[0].examples[i].label == labels[i] && sets[0].examples[i].line == lines[i],
              "row %d: label %d, line %d", i, sets[0].examples[i].label, sets[0].examples[i].line);
    }
    free_both(sets);
    read_both(sets, "copa",
              "{\"premise\": \"It broke.\", \"choice1\": \"It fell.\", \"choice2\": \"It shone.\", "
              "\"question\": \"cause\", \"label\": 0, \"idx\": 0}\n"
              "{\"premise\": \"It fell.\", \"choice1\": \"It shone.\", \"choice2\": \"It broke.\", "
              "\"question\": \"effect\", \"label\": 1, \"idx\": 1}\n");
    CHECK(sets[0].count == 2 && sets[0].examples[0].label == 0 && sets[0].examples[1].label == 1,
          "COPA's labels");
    if (sets[0].count == 2) {
        check_text(sets[0].examples[0].text[1][0], "It broke. What was the cause of this?");
        check_text(sets[0].examples[1].text[0][0], "It fell. What happened as a result?");
        check_text(sets[0].examples[1].text[1][1], "It broke.");
    }
    free_both(sets);
    /* 2.4 / 5 in double and then rounded is not 2.4f / 5 in float */
    read_both(sets, "stsb", "index\tscore\tsentence1\tsentence2\n0\t2.400\ta\tb\n1\t5.000\ta\ta\n");
    CHECK(sets[0].count == 2 && sets[0].examples[0].target == (float)(2.4 / 5.0) &&
              sets[0].examples[0].target != 2.4f / 5.0f && sets[0].examples[1].target == 1,
          "%d rows, target %a", sets[0].count,
          sets[0].count ? (double)sets[0].examples[0].target : 0);
    const Task *task = sets[0].task;
    free_both(sets);
    /* exports have scores as float32, written out */
    read_as(sets, task, (const char *const[2]){"train.jsonl", "validation.jsonl"},
            "{\"label\": 2.4000000953674316, \"sentence1\": \"a\", \"sentence2\": \"b\"}\n");
    CHECK(sets[1].count == 1 && sets[1].examples[0].target == (float)(2.4 / 5.0),
          "an exported score");
    free_both(sets);
}

/* Where inputs are cut, and what is counted: [CLS] 5 words [SEP] 5 words [SEP] and a short one. */
static void check_encoding(const Tokenizer *t)
{
    Dataset sets[2];
    Encoded encoded;
    Error error;
    read_both(sets, "rte_superglue",
              "{\"premise\": \"the cat was red .\", \"hypothesis\": \"the dog was blue .\", "
              "\"label\": \"entailment\"}\n{\"premise\": \"the cat\", \"hypothesis\": \"the dog\", "
              "\"label\": \"entailment\"}\n");
    CHECK(!encode(&encoded, &sets[0], &(Encoding){t, 0, 13, 1 << 20, 1, 0}, &error), "%s", error.text);
    CHECK(encoded.cut == 0 && encoded.longest == 13 && encoded.start[1] == 13 &&
              encoded.start[2] == 20,
          "%d cut, %d at most, %zu tokens", encoded.cut, encoded.longest, encoded.start[2]);
    int most = 0;
    for (size_t i = 0; i < encoded.start[2]; i++) {
        int segment = (i > 6 && i < 13) || i > 16;
        CHECK(encoded.types[i] == segment, "type %d of token %zu", encoded.types[i], i);
        most = int_max(most, encoded.ids[i]);
    }
    encoded_free(&encoded);
    /* of two parts as long the second keeps the odd token */
    CHECK(!encode(&encoded, &sets[0], &(Encoding){t, 0, 12, most + 1, 1, 0}, &error), "%s",
          error.text);
    CHECK(encoded.cut == 1 && encoded.start[1] == 12 && encoded.ids[5] == encoded.ids[11] &&
              encoded.ids[5] != encoded.ids[4] && encoded.ids[5] != encoded.ids[6],
          "%d cut, first of %zu tokens", encoded.cut, encoded.start[1]);
    encoded_free(&encoded);
    CHECK(encode(&encoded, &sets[0], &(Encoding){t, 0, 12, most, 1, 0}, &error) == EXIT_BAD_DATA,
          "an id beyond the vocabulary");
    free_both(sets);
    /* the passage is cut, down to one token and not to none */
    read_both(sets, "boolq",
              "{\"question\": \"was the cat red\", \"passage\": \"the cat was blue\", \"label\": "
              "true}\n");
    CHECK(sets[0].count == 1 && sets[0].examples[0].label == 1, "BoolQ's label");
    CHECK(!encode(&encoded, &sets[0], &(Encoding){t, 0, 8, 1 << 20, 1, 0}, &error), "%s", error.text);
    CHECK(encoded.start[1] == 8 && encoded.ids[5] == encoded.ids[7], "one token of the passage");
    encoded_free(&encoded);
    CHECK(encode(&encoded, &sets[0], &(Encoding){t, 0, 7, 1 << 20, 1, 0}, &error) == EXIT_BAD_DATA,
          "no token of the passage");
    free_both(sets);
}

/* Tokens of the spans: [CLS] of BERT's template in front, the text's own behind it. */
static void check_span(const Encoded *encoded, int i, int s, int first, int end)
{
    const int *span = encoded->spans[i][s];
    CHECK(span[0] == first && span[1] == end, "span %d of example %d: %d to %d, expected %d to %d", s,
          i, span[0], span[1], first, end);
}

static void check_spans(const Tokenizer *t)
{
    Dataset sets[2];
    Encoded encoded;
    Error error;
    Encoding encoding = {.tokenizer = t, .longest = 40, .V = 1 << 20, .threads = 1, .spans = 1};
    /* [CLS] dog [SEP] the dog s ##a ##w a bird [SEP] e dog ##z was red [SEP]; characters are counted */
    const char *row = "{\"word\": \"dog\", \"sentence1\": \"the D\u00d3G saw a bird\", "
                      "\"sentence2\": \"\u00e9 dogz was red\", \"start1\": %s, \"end1\": 7, "
                      "\"start2\": 2, \"end2\": %s, \"label\": true}\n";
    char *text = string_format(row, "4", "6");
    read_both(sets, "wic", text);
    free(text);
    CHECK(!encode(&encoded, &sets[0], &encoding, &error), "%s", error.text);
    check_span(&encoded, 0, 0, 4, 5);
    CHECK(encoded.ids[4] == encoded.ids[1], "the dog's token");
    check_span(&encoded, 0, 1, 12, 14);
    CHECK(encoded.ids[12] == encoded.ids[1], "its token in the second sentence");
    int dog = encoded.ids[4];
    encoded_free(&encoded);
    Encoding decoder = encoding;
    decoder.decoder = 1;
    decoder.longest = 80;
    CHECK(!encode(&encoded, &sets[0], &decoder, &error), "%s", error.text);
    for (int s = 0; s < SPANS; s++) {
        int first = encoded.spans[0][s][0];
        CHECK(encoded.spans[0][s][1] == first + 1 + s && encoded.ids[first] == dog,
              "span %d of a decoder's text is at %d to %d", s, first, encoded.spans[0][s][1]);
    }
    encoded_free(&encoded);
    free_both(sets);
    /* a file without them, which the plain head reads */
    read_both(sets, "wic", "{\"word\": \"dog\", \"sentence1\": \"the dog\", \"sentence2\": "
                           "\"a dog\", \"label\": true}\n");
    CHECK(encode(&encoded, &sets[0], &encoding, &error) == EXIT_BAD_DATA &&
              strstr(error.text, ":1: the fields start1 and end1 are missing"),
          "%s", error.text);
    encoding.spans = 0;
    CHECK(!encode(&encoded, &sets[0], &encoding, &error) && !encoded.spans, "%s", error.text);
    encoded_free(&encoded);
    encoding.spans = 1;
    free_both(sets);
    /* WSC: the marks are no part of a span; one within the other */
    read_both(sets, "wsc", "{\"text\": \"the red dog was warm\", \"label\": true, \"target\": "
                           "{\"span1_text\": \"red dog\", \"span1_index\": 1, \"span2_text\": "
                           "\"dog\", \"span2_index\": 2}}\n");
    CHECK(!encode(&encoded, &sets[0], &encoding, &error), "%s", error.text);
    check_span(&encoded, 0, 0, 3, 6); /* [CLS] the _ red [ dog ] _ was warm [SEP] */
    check_span(&encoded, 0, 1, 5, 6);
    encoded_free(&encoded);
    encoding.longest = 7;
    CHECK(!encode(&encoded, &sets[0], &encoding, &error), "%s", error.text);
    encoded_free(&encoded);
    encoding.longest = 6;
    CHECK(encode(&encoded, &sets[0], &encoding, &error) == EXIT_BAD_DATA &&
              strstr(error.text, ":1: span 1 is not whole within 6 tokens"),
          "%s", error.text);
    free_both(sets);
    static const char *const wrong[][2] = {{"7", "6"}, {"30", "6"}, {"4", "40"}, {"4", "2"}};
    for (int i = 0; i < 4; i++) {
        const Task *task = task_find("wic", &error);
        text = string_format(row, wrong[i][0], wrong[i][1]);
        char *path = write_file("train.jsonl", text);
        CHECK(dataset_read(&sets[0], task, scratch_folder(), "train", 0, 0, 2, &error) ==
                      EXIT_BAD_DATA &&
                  strstr(error.text, "train.jsonl:1: start"),
              "start1 %s, end2 %s: %s", wrong[i][0], wrong[i][1], error.text);
        free(text);
        free(path);
    }
    Dataset sample;
    static const char *const names[] = {"wic", "wsc"};
    for (int i = 0; i < 2; i++) {
        dataset_builtin(&sample, task_find(names[i], &error), "validation", 50);
        encoding.longest = 64;
        CHECK(!encode(&encoded, &sample, &encoding, &error), "%s", error.text);
        encoded_free(&encoded);
        dataset_free(&sample);
    }
}

/* A language model's windows: each document but its first token once, the last tenth apart. */
static void check_windows(void)
{
    enum { LONGEST = 5, SHORT = 26 };
    Tokenizer *t;
    Error error;
    Dataset train, dev;
    Encoded ids, dev_ids;
    const char *first = "bcdfghjk\nlmn";
    char *text = string_format("%s\n\n \n\n", first);
    if (tokenizer_open(&t, "test/tokenizers/digits-each", &error)) {
        CHECK(0, "%s", error.text);
        free(text);
        return;
    }
    for (int i = 0; i < SHORT; i++) {
        char *longer = string_format("%s%c\n\n", text, 'b' + i % 4);
        free(text);
        text = longer;
    }
    char *path = write_file("text", text);
    free(text);
    Ids whole = NULL;
    tokenizer_encode(t, &whole, first, strlen(first), 0);
    int code = text_read(&train, &dev, &ids, &dev_ids, task_find("lm", &error), path,
                         &(Encoding){.tokenizer = t, .longest = LONGEST, .V = 1 << 20, .threads = 2},
                         0, 0, &error);
    CHECK(!code, "%s", error.text);
    if (!code) {
        size_t n = arrlenu(whole) + 1; /* with the token in front */
        int windows = (int)((n - 1 + LONGEST - 2) / (LONGEST - 1)), all = windows + SHORT;
        CHECK(train.count == all - all / 10 && dev.count == all / 10, "%d and %d of %d windows",
              train.count, dev.count, all);
        for (int w = 0; w < windows; w++) {
            size_t begin = (size_t)w * (LONGEST - 1);
            CHECK(ids.start[w + 1] - ids.start[w] == size_min(LONGEST, n - begin),
                  "window %d has %zu tokens", w, ids.start[w + 1] - ids.start[w]);
            for (size_t i = ids.start[w]; i < ids.start[w + 1]; i++) {
                size_t at = begin + i - ids.start[w];
                CHECK(ids.ids[i] == (at ? whole[at - 1] : 0), "window %d, token %zu", w, i);
            }
        }
        CHECK(train.examples[windows].line == 6, "line %d", train.examples[windows].line);
        Ids last = NULL;
        char letter = 'b' + (SHORT - 1) % 4;
        tokenizer_encode(t, &last, &letter, 1, 0);
        CHECK(dev_ids.start[dev.count] - dev_ids.start[dev.count - 1] == 2 &&
                  dev_ids.ids[dev_ids.start[dev.count] - 1] == last[0],
              "the last window is not of the last document");
        arrfree(last);
        encoded_free(&ids);
        encoded_free(&dev_ids);
        dataset_free(&train);
        dataset_free(&dev);
    }
    remove(path);
    arrfree(whole);
    free(path);
    tokenizer_close(t);
}

/* The table of official files: the counts of a file's labels are its examples, a task has its two
 * splits, and a diagnostic the classes of the task whose runs predict it. */
static void check_splits(void)
{
    int count;
    const Task *tasks = tasks_all(&count);
    for (int i = 0; i < count; i++) {
        const Task *task = &tasks[i];
        const Split *split;
        for (int s = 0; s < 2; s++) {
            split = split_find(task, s ? "validation" : "train");
            CHECK(split, "%s has no %s split", task->name, s ? "validation" : "train");
        }
        for (int f = -2; f < 0 || (split = task_further(task, f)); f++) {
            split = f < 0 ? split_find(task, f == -2 ? "train" : "validation") : split;
            const Task *of = task_known(split->task);
            int sum = 0;
            for (int k = 0; k < MAX_COUNTED; k++) {
                sum += split->labels[k];
                CHECK(k < of->K || !split->labels[k], "%s: too many labels", split->files);
            }
            CHECK(split->examples > 0 && (!split->labels[0] || sum == split->examples),
                  "%s of %s: %d examples, %d labels", split->files, split->task, split->examples,
                  sum);
            CHECK(of->K == task->K && of->kind == task->kind, "%s and %s", of->name, task->name);
            for (int k = 0; k < task->K; k++) {
                CHECK(!strcmp(of->labels[k], task->labels[k]), "%s and %s", of->name, task->name);
            }
        }
    }
}

int main(void)
{
    int words;
    const char *const *list = builtin_words(&words);
    Tokenizer *tokenizer = tokenizer_from_words(list, words);
    check_splits();
    check_multirc();
    check_wsc();
    check_rows();
    check_encoding(tokenizer);
    check_spans(tokenizer);
    check_windows();
    tokenizer_close(tokenizer);
    return checks_close("test_examples");
}
