/* The built-in stand-ins: one small grammar for each kind of task, so that the demonstration needs
 * no file. The sentences are ours. Labels follow rules that a small model can learn from a thousand
 * examples, but one label in twelve is wrong, so that seeds differ. The examples depend on nothing
 * but the task's name and the split. */
#include "tasks.h"
#include "rng.h"

#include <stdlib.h>
#include <string.h>

static const char *const words[] = {
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    ".",
    "?",
    ",",
    "the",
    "a",
    "is",
    "was",
    "in",
    "and",
    "not",
    "of",
    "it",
    "what",
    "this",
    "happened",
    "as",
    "result",
    "cause",
    /* things and places */
    "cat",
    "dog",
    "bird",
    "horse",
    "fox",
    "boat",
    "garden",
    "kitchen",
    "river",
    "tower",
    /* colours */
    "red",
    "blue",
    "green",
    /* praise and blame */
    "lovely",
    "bright",
    "clever",
    "warm",
    "dull",
    "broken",
    "cold",
    "rude",
    "film",
    "song",
    "story",
    "meal",
    "very",
    "rather",
    /* causes and effects */
    "rain",
    "fell",
    "street",
    "wet",
    "sun",
    "shone",
    "snow",
    "melted",
    "wind",
    "blew",
    "leaves",
    "flew",
    "bell",
    "rang",
    "children",
    "ran",
    "glass",
    "dropped",
    "broke",
    "baby",
    "cried",
    "mother",
    "came",
    "b",
    "c",
    "d",
    "e",
    "f",
    "g",
    "h",
    "i",
    "j",
    "k",
    "l",
    "m",
    "n",
    "o",
    "p",
    "q",
    "r",
    "s",
    "t",
    "u",
    "v",
    "w",
    "x",
    "y",
    "z",
    "##a",
    "##b",
    "##c",
    "##d",
    "##e",
    "##f",
    "##g",
    "##h",
    "##i",
    "##j",
    "##k",
    "##l",
    "##m",
    "##n",
    "##o",
    "##p",
    "##q",
    "##r",
    "##s",
    "##t",
    "##u",
    "##v",
    "##w",
    "##x",
    "##y",
    "##z",
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
};

const char *const *builtin_words(int *count)
{
    *count = sizeof words / sizeof *words;
    return words;
}

static const char *const things[] = {"cat", "dog", "bird", "horse", "fox", "boat"};
static const char *const places[] = {"garden", "kitchen", "river", "tower"};
static const char *const colours[] = {"red", "blue", "green"};
static const char *const praise[] = {"lovely", "bright", "clever", "warm"};
static const char *const blame[] = {"dull", "broken", "cold", "rude"};
static const char *const works[] = {"film", "song", "story", "meal"};

/* Draws for one example: the next words of its stream. */
typedef struct Draw {
    uint64_t key, at;
} Draw;

static int below(Draw *draw, int n)
{
    return (int)rng_below(draw->key, draw->at++, (uint32_t)n);
}

#define PICK(list) list[below(draw, (int)(sizeof list / sizeof *list))]

/* One sentence: "the film was lovely and the song was not dull ." Good if most judgements are. */
static void single(Example *e, Draw *draw, int K)
{
    int good = 0, three = below(draw, 2) ? 3 : 1;
    char text[3][80];
    for (int i = 0; i < three; i++) {
        int positive = below(draw, 2), negated = below(draw, 4) == 0;
        snprintf(text[i], sizeof text[i], "the %s was %s%s", PICK(works),
                 negated          ? "not "
                 : below(draw, 3) ? ""
                                  : "very ",
                 positive ? PICK(praise) : PICK(blame));
        good += positive != negated ? 1 : -1;
    }
    e->text[0][0] = three == 1 ? string_format("%s .", text[0])
                               : string_format("%s , %s and %s .", text[0], text[1], text[2]);
    e->label = K == 2 ? good > 0 : below(draw, K);
}

/* A scene and a claim about its colour or its place. Two classes: whether the claim holds; three:
 * holds, contradicts, or speaks of something that the scene leaves open. */
static void pair(Example *e, Draw *draw, const Task *task)
{
    const char *thing = PICK(things), *colour = PICK(colours), *place = PICK(places);
    int truth = below(draw, task->K), by_place = below(draw, 2),
        holds = task->K == 3 ? truth == 0 : truth == 1;
    const char *value = by_place ? place : colour, *mark = task->fields[1][0] == 'q' ? "?" : ".";
    while (!holds && value == (by_place ? place : colour)) {
        value = by_place ? PICK(places) : PICK(colours);
    }
    char *scene = string_format("the %s %s was in the %s .", colour, thing, place);
    char *claim = task->K == 3 && truth == 2
                      ? string_format("the %s was %s %s", thing,
                                      below(draw, 2) ? PICK(praise) : PICK(blame), mark)
                  : by_place ? string_format("it was in the %s %s", value, mark)
                             : string_format("it was %s %s", value, mark);
    int claim_first = task->cut == 1; /* BoolQ: question, passage */
    e->text[0][claim_first] = scene;
    e->text[0][!claim_first] = claim;
    /* entailment is 0 and not_entailment 1, but False is 0 and True 1 */
    e->label = task->K == 3 ? truth : task->labels[0][0] == 'e' ? !holds : holds;
}

/* MultiRC's kind: a scene, a question about it and an answer that is right or wrong. WiC's: a thing
 * and two sentences that both call it by the same colour, or do not. */
static void triple(Example *e, Draw *draw, const Task *task)
{
    const char *thing = PICK(things), *colour = PICK(colours), *place = PICK(places);
    int by_place = below(draw, 2), holds = below(draw, 2), words_first = task->cut == CUT_NONE;
    const char *truth = by_place && !words_first ? place : colour, *value = truth;
    while (!holds && value == truth) {
        value = truth == place ? PICK(places) : PICK(colours);
    }
    char *scene = string_format("the %s %s was in the %s .", colour, thing, place);
    e->text[0][0] = words_first ? string_copy(thing) : scene;
    e->text[0][1] = words_first ? scene
                                : string_copy(by_place ? "what was it in ?" : "what was it ?");
    e->text[0][2] = words_first ? string_format("it is a %s %s .", value, thing)
                                : string_copy(value);
    e->label = holds;
}

/* Spans of the sample: WiC's thing in both sentences; WSC's first thing and last judgement. */
static void mark_spans(Example *e, const Task *task, const char *thing)
{
    for (int s = 0; s < SPANS && task_span(task, s) >= 0; s++) {
        const char *text = e->text[0][task_span(task, s)], *at = text + strlen("the ");
        if (thing) {
            at = strstr(text, thing);
        } else if (s) {
            at = strrchr(text, ' ');
            while (at > text && at[-1] != ' ') {
                at--;
            }
        }
        e->span[s][0] = (int)(at - text);
        e->span[s][1] = (int)(at - text + strcspn(at, " "));
    }
}

/* A cause and two effects, one of which belongs to it. */
static void choice(Example *e, Draw *draw)
{
    static const char *const causes[] = {"the rain fell", "the sun shone",     "the wind blew",
                                         "the bell rang", "the glass dropped", "the baby cried"};
    static const char *const effects[] = {"the street was wet", "the snow melted",
                                          "the leaves flew",    "the children ran",
                                          "it broke",           "the mother came"};
    int right = below(draw, 6), wrong = (right + 1 + below(draw, 5)) % 6, effect = below(draw, 2);
    const char *const *given = effect ? causes : effects, *const *options = effect ? effects
                                                                                   : causes;
    e->label = below(draw, 2);
    for (int i = 0; i < 2; i++) {
        e->text[i][0] = string_format("%s in the %s . what %s ?", given[right], PICK(places),
                                      effect ? "happened as a result" : "was the cause of this");
        e->text[i][1] = string_format("%s .", options[i == e->label ? right : wrong]);
    }
}

/* Two descriptions; the score says how much they share: nothing, the colour or the place,
 * or both. */
static void similarity(Example *e, Draw *draw)
{
    const char *a[2] = {PICK(colours), PICK(places)}, *b[2];
    int shared = 0;
    for (int i = 0; i < 2; i++) {
        b[i] = below(draw, 2) ? a[i] : i == 0 ? PICK(colours) : PICK(places);
        shared += b[i] == a[i];
    }
    e->text[0][0] = string_format("the %s %s was in the %s .", a[0], PICK(things), a[1]);
    e->text[0][1] = string_format("it was %s in the %s .", b[0], b[1]);
    e->target = (float)shared / 2.0f;
    e->label = -1;
}

/* Digest of everything that an example holds. */
static void digest_examples(Dataset *dataset)
{
    char *all = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&all, &size);
    if (!stream) {
        memory_exhausted("open_memstream", 0);
    }
    for (int i = 0; i < dataset->count; i++) {
        const Example *e = &dataset->examples[i];
        fprintf(stream, "%s\t%d\t%a\n", e->id, e->label, (double)e->target);
        for (int j = 0; j < task_sequences(dataset->task); j++) {
            for (int t = 0; t < MAX_TEXTS && e->text[j][t]; t++) {
                fprintf(stream, "%s\n", e->text[j][t]);
            }
        }
    }
    int lost = ferror(stream);
    if (fclose(stream) || lost) {
        memory_exhausted("open_memstream", size);
    }
    sha256_hex(dataset->sha256, all, size);
    free(all);
}

void dataset_builtin(Dataset *dataset, const Task *task, const char *split, int limit)
{
    enum { TRAIN = 1536, VALIDATION = 256 };
    int train = split[0] == 't', count = train ? TRAIN : VALIDATION;
    char *stream = string_format("builtin/%s/%s", task->name, split);
    *dataset = (Dataset){.task = task,
                         .split = split,
                         .path = string_copy("builtin sample"),
                         .count = limit > 0 ? int_min(limit, count) : count};
    dataset->examples = memory_calloc((size_t)dataset->count, sizeof *dataset->examples);
    uint64_t key = rng_key(0, stream);
    for (int i = 0; i < dataset->count; i++) {
        Example *e = &dataset->examples[i];
        Draw draw = {key + (uint64_t)i, 0};
        e->id = string_format("%s-%d", split, i);
        e->cluster = -1;
        e->text = memory_calloc((size_t)task_sequences(task), sizeof *e->text);
        if (task->kind == KIND_CHOICE) {
            choice(e, &draw);
        } else if (task->kind == KIND_REGRESSION) {
            similarity(e, &draw);
        } else if (strstr(task->encoder, "{2}")) {
            triple(e, &draw, task);
            mark_spans(e, task, e->text[0][0]);
        } else if (strstr(task->encoder, "{1}")) {
            pair(e, &draw, task);
        } else {
            single(e, &draw, task->K);
            mark_spans(e, task, NULL);
        }
        if (task->kind != KIND_REGRESSION && below(&draw, 12) == 0) {
            e->label = (e->label + 1) % task->K; /* annotators err too */
        }
    }
    digest_examples(dataset);
    free(stream);
}
