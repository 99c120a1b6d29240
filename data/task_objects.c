/* Examples from objects, which are lines of JSON or rows of a table: texts by the names of their
 * fields, and the tasks of SuperGLUE whose objects have a form of their own. */
#include "task_reader.h"
#include "unicode.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static size_t skip_spaces(const char *text, size_t at)
{
    while (unicode_is_space_at(text, at)) {
        utf8_next(text, &at);
    }
    return at;
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

/* One answer of MultiRC, by the objects that have the texts of passage, question and answer, and
 * their fields. */
typedef struct Answer {
    int paragraph;
    size_t question, answer; /* places in paragraph and question */
    const json_t *passage_of, *question_of, *answer_of;
    const char *passage_field, *answer_field;
} Answer;

/* Adds an example; an answer without text is not trained on. */
static int add_answer(Reader *reader, const Answer *a, const Line *line, Error *error)
{
    const char *text = string_of(a->answer_of, a->answer_field);
    if (text && !text[skip_spaces(text, 0)] && !strcmp(reader->split, "train")) {
        return 0;
    }
    Example *example = reader_add(
        reader, line, string_format("p%d-q%zu-a%zu", a->paragraph, a->question, a->answer));
    example->cluster = a->paragraph;
    return read_text(&example->text[0][0], a->passage_of, a->passage_field, line, error) ||
                   read_text(&example->text[0][1], a->question_of, "question", line, error) ||
                   read_text(&example->text[0][2], a->answer_of, a->answer_field, line, error) ||
                   read_label(reader, example, a->answer_of, line, error)
               ? error->code
               : 0;
}

/* Refuses a paragraph that was met. */
static int begin_paragraph(Reader *reader, int paragraph, const Line *line, Error *error)
{
    if (hmgeti(reader->clusters, paragraph) >= 0) {
        return REFUSE("%s:%d: paragraph %d is there twice; correct the line", line->path,
                      line->number, paragraph);
    }
    hmput(reader->clusters, paragraph, 1);
    return 0;
}

/* A paragraph with its questions and their answers: one example an answer, called
 * p<paragraph>-q<question>-a<answer> by the paragraph's own number and the places in the object. */
static int read_paragraph(Reader *reader, const json_t *object, const Line *line, Error *error)
{
    const json_t *passage = json_object_get(object, "passage"),
                 *questions = json_object_get(passage, "questions");
    int paragraph = 0;
    size_t q, a;
    json_t *question, *answer;
    if (read_index(&paragraph, object, "idx", line, error) ||
        begin_paragraph(reader, paragraph, line, error)) {
        return error->code;
    }
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
            Answer one = {paragraph, q, a, passage, question, answer, "text", "text"};
            if (reader_full(reader)) {
                return 0;
            }
            if (add_answer(reader, &one, line, error)) {
                return error->code;
            }
        }
    }
    return 0;
}

/* One answer a row, as the Hub has them. Its idx counts questions and answers through the whole
 * file, so their places in paragraph and question, which the ids have, are known only as long as no
 * row is missing. */
static int read_answer(Reader *reader, const json_t *object, const Line *line, Error *error)
{
    const json_t *idx = json_object_get(object, "idx");
    json_t *parsed = NULL;
    int paragraph = 0, question = 0, answer = 0;
    if (json_is_string(idx)) { /* in a table: {"paragraph": 0, ...}, or as Python prints it */
        char *text = string_copy(json_string_value(idx));
        for (char *c = text; *c; c++) {
            *c = (char)(*c == '\'' ? '"' : *c);
        }
        idx = parsed = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        free(text);
    }
    int flat = !idx && !json_object_get(object, "idx");
    const json_t *from = flat ? object : idx;
    const char *p = flat ? "idx.paragraph" : "paragraph", *q = flat ? "idx.question" : "question",
               *a = flat ? "idx.answer" : "answer";
    int code = read_index(&paragraph, from, p, line, error) ||
                       read_index(&question, from, q, line, error) ||
                       read_index(&answer, from, a, line, error)
                   ? error->code
                   : 0;
    json_decref(parsed);
    if (code) {
        return code;
    }
    int same = paragraph == reader->paragraph, asked = question == reader->question;
    if (answer != reader->answer + 1 || question != reader->question + !asked || (asked && !same)) {
        return REFUSE("%s:%d: idx is question %d, answer %d, behind %d, %d: rows are missing or in "
                      "another order; export the whole split",
                      line->path, line->number, question, answer, reader->question, reader->answer);
    }
    if (!same && begin_paragraph(reader, paragraph, line, error)) {
        return error->code;
    }
    reader->answer_place = asked ? reader->answer_place + 1 : 0;
    reader->question_place = asked ? reader->question_place : same ? reader->question_place + 1 : 0;
    reader->paragraph = paragraph;
    reader->question = question;
    reader->answer = answer;
    Answer one = {.paragraph = paragraph,
                  .question = (size_t)reader->question_place,
                  .answer = (size_t)reader->answer_place,
                  .passage_of = object,
                  .question_of = object,
                  .answer_of = object,
                  .passage_field = "paragraph",
                  .answer_field = "answer"};
    return add_answer(reader, &one, line, error);
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

/* The text with fairseq's marks: _the first span_ and [the second]. The Hub's rows have the spans
 * beside the text. */
static int read_wsc(Example *example, const json_t *object, const Line *line, Error *error)
{
    const json_t *inner = json_object_get(object, "target"), *target = inner ? inner : object;
    char *text = NULL;
    Span first = {0}, second = {0};
    int code = read_text(&text, object, "text", line, error) ||
                       find_span(&first, text, target, 1, line, error) ||
                       find_span(&second, text, target, 2, line, error)
                   ? error->code
                   : 0;
    if (!code) {
        size_t size = strlen(text), used = 0;
        const Span *const spans[SPANS] = {&first, &second};
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
            for (int s = 0; s < SPANS; s++) { /* from its first character to its last, no mark */
                if (at == spans[s]->begin) {
                    example->span[s][0] = (int)used;
                }
                if (at + 1 == spans[s]->end) {
                    example->span[s][1] = (int)used + 1;
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

/* Bytes of the first so many characters; -1: it has fewer. */
static int bytes_of(const char *text, int characters)
{
    size_t at = 0;
    for (; characters > 0 && text[at]; characters--) {
        utf8_next(text, &at);
    }
    return characters ? -1 : (int)at;
}

/* start1, end1, start2 and end2 count characters of the two sentences. A file may lack them all:
 * only a head that reads spans needs them. */
static int read_wic(Example *example, const Task *task, const json_t *object, const Line *line,
                    Error *error)
{
    if (read_fields(example, task, object, line, error)) {
        return error->code;
    }
    for (int s = 0; s < SPANS && json_object_get(object, "start1"); s++) {
        const char *text = example->text[0][task_span(task, s)];
        int bounds[2], *span = example->span[s];
        for (int i = 0; i < 2; i++) {
            char field[16];
            snprintf(field, sizeof field, "%s%d", i ? "end" : "start", 1 + s);
            if (read_index(&bounds[i], object, field, line, error)) {
                return error->code;
            }
            span[i] = bytes_of(text, bounds[i]);
        }
        if (span[0] < 0 || span[1] <= span[0]) {
            return REFUSE("%s:%d: start%d %d and end%d %d are no part of the sentence; correct the "
                          "line",
                          line->path, line->number, 1 + s, bounds[0], 1 + s, bounds[1]);
        }
    }
    return 0;
}

int read_object(Reader *reader, const json_t *object, const Line *line, Error *error)
{
    const Task *task = reader->dataset->task;
    if (task->form == FORM_MULTIRC) {
        return json_object_get(object, "paragraph") ? read_answer(reader, object, line, error)
                                                    : read_paragraph(reader, object, line, error);
    }
    if (task->form == FORM_OWN) {
        return read_own(reader, object, line, error);
    }
    Example *example = reader_add(reader, line, NULL);
    example->cluster = task->form == FORM_TWINS ? (reader->dataset->count - 1) / 2 : -1;
    return read_label(reader, example, object, line, error) ||
                   (task->form == FORM_COPA  ? read_copa(example, object, line, error)
                    : task->form == FORM_WIC ? read_wic(example, task, object, line, error)
                    : task->form == FORM_WSC ? read_wsc(example, object, line, error)
                                             : read_fields(example, task, object, line, error))
               ? error->code
               : 0;
}
