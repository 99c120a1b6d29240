#include "classes.h"
#include "tasks.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_CLASSES = 10000 };

static const char *name_at(const json_t *names, size_t i)
{
    return json_string_value(json_array_get(names, i));
}

int class_find(const json_t *names, const char *text)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        if (!strcmp(name_at(names, i), text)) {
            return (int)i;
        }
    }
    return -1;
}

int class_find_folded(const json_t *names, const char *text)
{
    int found = class_find(names, text), count = 0;
    for (size_t i = 0; found < 0 && i < json_array_size(names); i++) {
        if (!strcasecmp(name_at(names, i), text)) {
            count++;
            if (count > 1) {
                return -1;
            }
        }
    }
    for (size_t i = 0; found < 0 && count && i < json_array_size(names); i++) {
        found = !strcasecmp(name_at(names, i), text) ? (int)i : -1;
    }
    return found;
}

int class_list(json_t **names, const char *option, const char *text, Error *error)
{
    Texts texts = {0};
    int code = 0;
    *names = json_array();
    for (const char *at = text; !code; at++) {
        size_t size = strcspn(at, ","), before = texts.count;
        char *name = string_format("%.*s", (int)size, at);
        if (utf8_valid_prefix(name, size) != size) {
            code = error_set(error, EXIT_USAGE, "--%s: a name that is not UTF-8", option);
        } else if (texts_add(&texts, name, 0) < 0 || texts.count == before) {
            code = error_set(error, EXIT_USAGE,
                             "--%s %s: '%s' is empty or named twice; name every one once: A,B,...",
                             option, text, name);
        } else {
            json_array_append_new(*names, json_string(texts.text[before]));
        }
        free(name);
        at += size;
        if (!*at) {
            break;
        }
    }
    texts_free(&texts);
    if (code) {
        json_decref(*names);
        *names = NULL;
    }
    return code;
}

/* Whether a path has this word, which - and _ may part; case aside. */
static int path_has(const char *path, const char *word)
{
    for (const char *start = path; *word && *start; start++) {
        const char *at = start, *w = word;
        if (!isalnum((unsigned char)*at) || (at > path && isalnum((unsigned char)at[-1]))) {
            continue;
        }
        for (; *w && *at; w++, at++) {
            w += *w == '-' || *w == '_';
            at += at > start && (*at == '-' || *at == '_');
            if (tolower((unsigned char)*w) != tolower((unsigned char)*at)) {
                break;
            }
        }
        if (!*w && !isalnum((unsigned char)*at)) {
            return 1;
        }
    }
    return 0;
}

static int paths_have(const ClassHints *hints, const char *word)
{
    int found = 0;
    for (size_t i = 0; i < hints->count && !found; i++) {
        found = path_has(hints->paths[i], word);
    }
    return found;
}

/* Letters and digits alike, case aside. */
static int alike(const char *a, const char *b)
{
    for (;; a++, b++) {
        while (*a && !isalnum((unsigned char)*a)) {
            a++;
        }
        while (*b && !isalnum((unsigned char)*b)) {
            b++;
        }
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) {
            return 0;
        }
        if (!*a) {
            return 1;
        }
    }
}

/* The names of one task as these names spell them, or NULL if one of them is none of the task's. */
static json_t *task_spelled(const Task *task, const json_t *names, size_t *found)
{
    json_t *spelled = json_array();
    *found = 0;
    for (int k = 0; k < task->K; k++) {
        const char *own = task->labels[k];
        size_t spellings = 0;
        for (size_t i = 0; i < json_array_size(names); i++) {
            if (alike(name_at(names, i), task->labels[k])) {
                own = name_at(names, i);
                spellings++;
            }
        }
        *found += spellings == 1;
        json_array_append_new(spelled, json_string(own));
    }
    if (*found != json_array_size(names)) {
        json_decref(spelled);
        return NULL;
    }
    return spelled;
}

int task_has_all(const json_t *names)
{
    int count, has = 0;
    const Task *all = tasks_all(&count);
    for (int t = 0; t < count && !has; t++) {
        size_t found;
        json_t *spelled = all[t].kind == KIND_REGRESSION ? NULL
                                                         : task_spelled(&all[t], names, &found);
        has = spelled != NULL;
        json_decref(spelled);
    }
    return has;
}

json_t *task_names(const char **task, const json_t *names, int whole, const ClassHints *hints)
{
    int count;
    const Task *all = tasks_all(&count);
    json_t *list = NULL;
    if (!json_array_size(names)) {
        return NULL;
    }
    for (int named = 1; named >= 0 && !list; named--) {
        for (int t = 0; t < count; t++) {
            size_t found;
            int in_path = paths_have(hints, all[t].name) || paths_have(hints, all[t].alias);
            /* WNLI has the names of RTE the other way round: it must be named */
            int asked = in_path || (!named && strcmp(all[t].name, "wnli"));
            json_t *spelled = all[t].kind == KIND_REGRESSION || !asked
                                  ? NULL
                                  : task_spelled(&all[t], names, &found);
            if (spelled && !named && whole && found != (size_t)all[t].K) {
                json_decref(spelled);
                spelled = NULL;
            }
            if (spelled && list && !json_equal(spelled, list)) {
                json_decref(spelled);
                json_decref(list);
                return NULL;
            }
            if (spelled && !list) {
                *task = all[t].name;
                list = json_incref(spelled);
            }
            json_decref(spelled);
        }
    }
    return list;
}

/* Numbers by size, names by their bytes. Of two numbers the 1 comes last: it is what sklearn takes
 * as the positive class. */
static int by_text(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    int number = class_is_number(x);
    if (number != class_is_number(y)) {
        return number ? -1 : 1;
    }
    double p = number ? strtod(x, NULL) : 0, q = number ? strtod(y, NULL) : 0;
    return p != q ? (p > q) - (p < q) : strcmp(x, y);
}

static void append_sorted(json_t *names, const json_t *texts)
{
    size_t n = json_array_size(texts);
    const char **sorted = memory_alloc(n + 1, sizeof *sorted);
    for (size_t i = 0; i < n; i++) {
        sorted[i] = name_at(texts, i);
    }
    qsort(sorted, n, sizeof *sorted, by_text);
    if (n == 2 && !strcmp(sorted[0], "1") && class_is_number(sorted[1])) {
        sorted[0] = sorted[1];
        sorted[1] = "1";
    }
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(names, json_string(sorted[i]));
    }
    free(sorted);
}

/* What the texts of a list are. */
typedef struct Kinds {
    json_t *names, *numbers; /* without -1 and NaN */
    int minus_one;
    const char *fraction; /* a number that is not whole, or NULL */
} Kinds;

static Kinds kinds_of(const json_t *texts)
{
    Kinds kinds = {json_array(), json_array(), 0, NULL};
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const char *text = name_at(texts, i);
        json_t *value = json_array_get(texts, i);
        if (!strcmp(text, "-1")) {
            kinds.minus_one = 1;
        } else if (class_is_number(text)) {
            kinds.fraction = class_is_whole(text) ? kinds.fraction : text;
            json_array_append(kinds.numbers, value);
        } else if (!class_is_none(text)) {
            json_array_append(kinds.names, value);
        }
    }
    return kinds;
}

static void kinds_free(Kinds *kinds)
{
    json_decref(kinds->names);
    json_decref(kinds->numbers);
}

/* Adds texts that are no class yet. */
static void append_new(json_t *names, const json_t *texts)
{
    for (size_t i = 0; i < json_array_size(texts); i++) {
        if (class_find(names, name_at(texts, i)) < 0) {
            json_array_append(names, json_array_get(texts, i));
        }
    }
}

/* No list is known: the classes are those of the texts, and of a known task. */
static int find_classes(Classes *c, const Kinds *gold, const Kinds *predicted,
                        const ClassHints *hints, const char *where, Error *error)
{
    const char *task = NULL, *fraction = gold->fraction ? gold->fraction : predicted->fraction;
    json_t *names = json_copy(gold->names), *numbers = json_copy(gold->numbers);
    append_new(names, predicted->names);
    append_new(numbers, predicted->numbers);
    size_t K = json_array_size(names), numbered = json_array_size(numbers);
    int code = 0;
    if (fraction) {
        code = REFUSE("%s: '%s' is no class; choose --metric pearson, spearman or mae for a "
                      "regression, give columns of scores instead of a probability, or name the "
                      "classes with --labels",
                      where, fraction);
    } else if (K && numbered) {
        int by_gold = json_array_size(gold->names) > 0;
        const json_t *base = by_gold ? gold->names : predicted->names;
        c->names = task_names(&task, base, 1, hints);
        c->names = c->names ? c->names : task_names(&task, names, 1, hints);
        if (c->names) {
            c->ids = c->declared = 1;
            c->source = string_format("names; numbers are ids in the order of the task %s", task);
        } else {
            int ids = json_array_size(predicted->numbers) > 0;
            code = REFUSE("%s: %s '%s' is a name and %s '%s' a number; say which number is which "
                          "name with --labels A,B,..., the names in the order of their ids from 0",
                          where, by_gold ? "the gold label" : "the prediction", name_at(base, 0),
                          ids ? "the prediction" : "the gold label",
                          name_at(ids ? predicted->numbers : numbers, 0));
        }
    } else if (K) {
        const json_t *base = json_array_size(gold->names) ? gold->names : names;
        c->names = task_names(&task, names, 1, hints);
        c->names = c->names ? c->names : task_names(&task, base, 1, hints);
        if (c->names && json_array_size(c->names) > json_array_size(names)) {
            json_decref(c->names); /* a class that stands nowhere is none of the data's */
            c->names = NULL;
        }
        c->declared = c->names != NULL;
        c->source = c->names ? string_format("names, in the order of the task %s", task)
                             : string_copy("names, in the order of the alphabet");
        if (!c->names) {
            c->names = json_array();
            append_sorted(c->names, json_array_size(gold->names) == 1 && K == 2 ? names : base);
        }
    } else {
        json_t *known = json_copy(gold->numbers);
        json_t *minus = json_pack("s", "-1");
        /* labels that all are -1 are hidden ones; beside others it is a number like them */
        if (gold->minus_one && (numbered == 0 || json_array_size(gold->numbers))) {
            json_array_append(known, minus);
        }
        if (gold->minus_one || predicted->minus_one) {
            json_array_append(numbers, minus);
        }
        json_decref(minus);
        c->names = json_array();
        append_sorted(c->names,
                      json_array_size(numbers) == 2 || !json_array_size(known) ? numbers : known);
        if (gold->minus_one && !json_array_size(known)) {
            (void)json_array_remove(c->names, (size_t)class_find(c->names, "-1"));
            c->hides = 1;
        }
        json_decref(known);
        c->source = string_copy("numbers");
    }
    json_decref(names);
    json_decref(numbers);
    return code;
}

int classes_place(const Classes *c, const char *text)
{
    int place = c->hides && !strcmp(text, "-1") ? -1 : class_find(c->names, text);
    if (place >= 0 || class_is_none(text) || !c->ids || !class_is_whole(text)) {
        return place;
    }
    double id = strtod(text, NULL);
    return id >= 0 && id < (double)c->known ? (int)id : -1;
}

int classes_make(Classes *c, const json_t *gold, const json_t *predicted, const ClassHints *hints,
                 const char *where, Error *error)
{
    Kinds g, p;
    int code = 0;
    *c = (Classes){0};
    if (json_array_size(gold) > MOST_CLASSES || json_array_size(predicted) > MOST_CLASSES) {
        return REFUSE("%s: more than %d different classes; choose --metric pearson, spearman or "
                      "mae for a regression",
                      where, MOST_CLASSES);
    }
    g = kinds_of(gold);
    p = kinds_of(predicted);
    if (hints->names) {
        Kinds k = kinds_of(hints->names);
        int ids = json_array_size(g.numbers) || json_array_size(p.numbers);
        c->names = json_copy((json_t *)hints->names);
        c->declared = 1;
        c->ids = c->hides = !json_array_size(k.numbers) && !k.minus_one;
        c->source = string_format("%s%s", hints->source,
                                  c->ids && ids ? "; numbers are ids in their order" : "");
        kinds_free(&k);
    } else {
        c->hides = json_array_size(g.names) || json_array_size(p.names);
        code = find_classes(c, &g, &p, hints, where, error);
    }
    c->known = json_array_size(c->names);
    for (size_t i = 0; i < json_array_size(gold) && !code; i++) {
        const char *text = name_at(gold, i);
        if (strcmp(text, "-1") && !class_is_none(text) && classes_place(c, text) < 0) {
            code = REFUSE("%s: the gold label '%s' is none of the %zu classes of %s; name all of "
                          "them with --labels",
                          where, text, c->known, c->source);
        }
    }
    json_t *outside = json_array();
    size_t answers = 0;
    for (size_t i = 0; i < json_array_size(predicted) && !code; i++) {
        const char *text = name_at(predicted, i);
        if (!class_is_none(text) && !(c->hides && !strcmp(text, "-1"))) {
            answers++;
            if (classes_place(c, text) < 0) {
                json_array_append(outside, json_array_get(predicted, i));
            }
        }
    }
    /* names that share nothing are other names of the same classes: Yes and no for true
     * and false */
    if (!code && answers && json_array_size(outside) == answers && json_array_size(p.names) &&
        json_array_size(gold)) {
        code = REFUSE("%s: no prediction is one of the classes (%s, ...), as '%s'; names are "
                      "matched as text: write the same ones in both",
                      where, name_at(c->names, 0), name_at(outside, 0));
    }
    if (!code) {
        append_sorted(c->names, outside);
    }
    json_decref(outside);
    kinds_free(&g);
    kinds_free(&p);
    if (code) {
        classes_free(c);
    }
    return code;
}

void classes_free(Classes *c)
{
    json_decref(c->names);
    free(c->source);
    *c = (Classes){0};
}
