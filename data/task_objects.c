/* Examples from JSON objects, one a line: texts by the names of their fields, and the three tasks
 * of SuperGLUE whose objects have a form of their own. */
#include "json.h"
#include "task_reader.h"
#include "unicode.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define REFUSE(...) error_set(error, EXIT_BAD_DATA, __VA_ARGS__)

static size_t skip_spaces(const char *text, size_t at)
{
    while (unicode_is_space_at(text, at)) {
        utf8_next(text, &at);
    }
    return at;
}

static int read_text(char **text, const json_t *object, const char *field, const Line *line,
                     Error *error)
{
    const json_t *value = json_object_get(object, field);
    if (!json_is_string(value)) {
        return REFUSE("%s:%d: the field '%s' is missing or not a text; correct the line",
                      line->path, line->number, field);
    }
    *text = string_copy(json_string_value(value));
    return 0;
}

/* A number from 0 on. */
static int read_index(int *index, const json_t *object, const char *field, const Line *line,
                      Error *error)
{
    const json_t *value = json_object_get(object, field);
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > INT_MAX) {
        return REFUSE("%s:%d: the field '%s' is missing or no number from 0; correct the line",
                      line->path, line->number, field);
    }
    *index = (int)json_integer_value(value);
    return 0;
}

/* The label of an object, which is a text, a truth value or a number. */
static int read_label_of(const Task *task, Example *example, const json_t *object, const Line *line,
                         Error *error)
{
    const json_t *label = json_object_get(object, task->fields[0]);
    char number[32];
    snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(label));
    const char *text = json_is_string(label)    ? json_string_value(label)
                       : json_is_true(label)    ? "true"
                       : json_is_false(label)   ? "false"
                       : json_is_integer(label) ? number
                                                : NULL;
    return text ? read_label(task, example, line, text, error)
                : REFUSE("%s:%d: the field '%s' is missing; correct the line", line->path,
                         line->number, task->fields[0]);
}

/* Two sequences, "premise What was the cause of this?" and one choice each: jiant's wording. */
static int read_copa(Example *example, const json_t *object, const Line *line, Error *error)
{
    char *premise = NULL, *question = NULL;
    int code = read_text(&premise, object, "premise", line, error) ||
                       read_text(&question, object, "question", line, error) ||
                       read_text(&example->text[0][1], object, "choice1", line, error) ||
                       read_text(&example->text[1][1], object, "choice2", line, error)
                   ? error->code
                   : 0;
    if (!code && strcmp(question, "cause") && strcmp(question, "effect")) {
        code = REFUSE("%s:%d: question '%.20s' is neither cause nor effect; correct the line",
                      line->path, line->number, question);
    }
    for (int i = 0; i < 2 && !code; i++) {
        example->text[i][0] = string_format("%s %s", premise,
                                            *question == 'c' ? "What was the cause of this?"
                                                             : "What happened as a result?");
    }
    free(premise);
    free(question);
    return code;
}

/* A paragraph with its questions and their answers: one example an answer, called
 * p<paragraph>-q<question>-a<answer> by the paragraph's own number and the places in the object. */
static int read_multirc(Reader *reader, const json_t *object, const Line *line, Error *error)
{
    const Task *task = reader->dataset->task;
    const json_t *passage = json_object_get(object, "passage"),
                 *questions = json_object_get(passage, "questions");
    int paragraph = 0;
    size_t q, a;
    json_t *question, *answer;
    if (read_index(&paragraph, object, "idx", line, error)) {
        return error->code;
    }
    if (hmgeti(reader->clusters, paragraph) >= 0) {
        return REFUSE("%s:%d: paragraph %d is there twice; correct the line", line->path,
                      line->number, paragraph);
    }
    hmput(reader->clusters, paragraph, 1);
    if (!json_is_array(questions)) {
        return REFUSE("%s:%d: the field 'questions' of the passage is missing; correct the line",
                      line->path, line->number);
    }
    json_array_foreach(questions, q, question)
    {
        const json_t *answers = json_object_get(question, "answers");
        if (!json_is_array(answers)) {
            return REFUSE("%s:%d: question %zu has no answers; correct the line", line->path,
                          line->number, q);
        }
        json_array_foreach(answers, a, answer)
        {
            const char *text = json_string_value(json_object_get(answer, "text"));
            if (reader_full(reader)) {
                return 0;
            }
            if (text && !text[skip_spaces(text, 0)] && !strcmp(reader->split, "train")) {
                continue; /* nothing to learn from */
            }
            Example *example = reader_add(reader, line,
                                          string_format("p%d-q%zu-a%zu", paragraph, q, a));
            example->cluster = paragraph;
            if (read_text(&example->text[0][0], passage, "text", line, error) ||
                read_text(&example->text[0][1], question, "question", line, error) ||
                read_text(&example->text[0][2], answer, "text", line, error) ||
                read_label_of(task, example, answer, line, error)) {
                return error->code;
            }
        }
    }
    return 0;
}

static int is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c);
}

/* Length of the span's occurrence at this place, or 0: the case of ASCII letters does not count,
 * any run of white space equals any other, and no ASCII letter or digit may touch it. */
static size_t occurrence(const char *text, size_t at, const char *span)
{
    size_t end = at, s = 0;
    if (at && is_word_byte(text[at - 1])) {
        return 0;
    }
    while (span[s]) {
        if (unicode_is_space_at(span, s) && unicode_is_space_at(text, end)) {
            s = skip_spaces(span, s);
            end = skip_spaces(text, end);
        } else if (lower(text[end]) == lower(span[s])) {
            s++;
            end++;
        } else {
            return 0;
        }
    }
    return is_word_byte(text[end]) ? 0 : end - at;
}

/* Where word number `index` of the text starts, words being what white space parts; -1: too few. */
static long word_start(const char *text, int index)
{
    int in_word = 0;
    for (size_t at = 0; text[at]; utf8_next(text, &at)) {
        int space = unicode_is_space_at(text, at);
        if (!space && !in_word && index-- == 0) {
            return (long)at;
        }
        in_word = !space;
    }
    return -1;
}

typedef struct Span {
    size_t begin, end;
} Span;

/* The occurrence of the span's text that starts nearest to its word, in characters. The word's
 * number alone is not always right, the text alone may occur more than once. */
static int find_span(Span *span, const char *text, const json_t *target, int number,
                     const Line *line, Error *error)
{
    char index_field[16], text_field[16], *wanted = NULL;
    int index = 0, best = INT_MAX, code;
    snprintf(index_field, sizeof index_field, "span%d_index", number);
    snprintf(text_field, sizeof text_field, "span%d_text", number);
    code = read_index(&index, target, index_field, line, error) ||
                   read_text(&wanted, target, text_field, line, error)
               ? error->code
               : 0;
    long word = code ? 0 : word_start(text, index);
    if (!code && word < 0) {
        code = REFUSE("%s:%d: %s %d is beyond the text's last word; correct the line", line->path,
                      line->number, index_field, index);
    }
    int characters = 0, word_characters = 0;
    for (long i = 0; i < word; i++) {
        word_characters += (text[i] & 0xC0) != 0x80;
    }
    for (size_t at = 0; !code && text[at]; utf8_next(text, &at), characters++) {
        size_t length = occurrence(text, at, wanted);
        int distance = abs(characters - word_characters);
        if (length && distance < best) {
            best = distance;
            *span = (Span){at, at + length};
        }
    }
    if (!code && best == INT_MAX) {
        code = REFUSE("%s:%d: %s '%.40s' does not occur in the text; correct the line", line->path,
                      line->number, text_field, wanted);
    }
    free(wanted);
    return code;
}

/* The text with fairseq's marks: _the first span_ and [the second]. */
static int read_wsc(Example *example, const json_t *object, const Line *line, Error *error)
{
    const json_t *target = json_object_get(object, "target");
    char *text = NULL;
    Span first = {0}, second = {0};
    int code = read_text(&text, object, "text", line, error) ||
                       find_span(&first, text, target, 1, line, error) ||
                       find_span(&second, text, target, 2, line, error)
                   ? error->code
                   : 0;
    if (!code) {
        size_t size = strlen(text), used = 0;
        char *marked = memory_alloc(size + 5, 1);
        /* a mark that closes stands before one that opens */
        for (size_t at = 0; at <= size; at++) {
            const char marks[] = {at == second.end ? ']' : 0, at == first.end ? '_' : 0,
                                  at == second.begin ? '[' : 0, at == first.begin ? '_' : 0};
            for (size_t i = 0; i < sizeof marks; i++) {
                if (marks[i]) {
                    marked[used++] = marks[i];
                }
            }
            marked[used++] = text[at];
        }
        example->text[0][0] = marked;
    }
    free(text);
    return code;
}

static int read_fields(Example *example, const Task *task, const json_t *object, const Line *line,
                       Error *error)
{
    for (int i = 0; i < MAX_TEXTS && task->fields[i + 1]; i++) {
        if (read_text(&example->text[0][i], object, task->fields[i + 1], line, error)) {
            return error->code;
        }
    }
    return 0;
}

int read_json_line(Reader *reader, const Line *line, Error *error)
{
    const Task *task = reader->dataset->task;
    json_error_t problem;
    json_t *object = json_loadb(line->text, line->size, JSON_REJECT_DUPLICATES, &problem);
    int code;
    if (!json_is_object(object)) {
        json_decref(object);
        return REFUSE("%s:%d: not a JSON object: %s; correct the line", line->path, line->number,
                      object ? "another value" : problem.text);
    }
    if (task->form == FORM_MULTIRC) {
        code = read_multirc(reader, object, line, error);
    } else {
        Example *example = reader_add(reader, line, NULL);
        code = read_label_of(task, example, object, line, error);
        if (!code) {
            code = task->form == FORM_COPA  ? read_copa(example, object, line, error)
                   : task->form == FORM_WSC ? read_wsc(example, object, line, error)
                                            : read_fields(example, task, object, line, error);
        }
    }
    json_decref(object);
    return code;
}
