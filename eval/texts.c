#include "texts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

enum { MAX_DIGITS = 40, NUMBER_ROOM = 3 * MAX_DIGITS };

const char *field_text(size_t *size, const char *field)
{
    static const char spaces[] = " \t\r\n\f\v";
    const char *end = field + strlen(field);
    for (;;) {
        while (end > field && strchr(spaces, end[-1])) {
            end--;
        }
        while (field < end && strchr(spaces, *field)) {
            field++;
        }
        if (end - field < 2 || *field != '"' || end[-1] != '"') {
            break;
        }
        field++;
        end--;
    }
    *size = (size_t)(end - field);
    return field;
}

/* Writes a decimal number in its shortest plain form, exactly: its size, or 0 if it is none or has
 * more digits than anything that numbers classes. */
static size_t plain_number(char out[NUMBER_ROOM], const char *text, size_t size)
{
    const char *at = text, *end = text + size;
    char digits[MAX_DIGITS];
    int count = 0, point = 0, any = 0, behind = 0, exponent = 0; /* 0.digits times 10^point */
    int negative = at < end && *at == '-';
    at += at < end && (*at == '-' || *at == '+');
    for (; at < end && (isdigit((unsigned char)*at) || (*at == '.' && !behind)); at++) {
        if (*at == '.') {
            behind = 1;
            continue;
        }
        any = 1;
        if (count == MAX_DIGITS || point < -MAX_DIGITS) {
            return 0;
        }
        if (count || *at != '0') {
            digits[count++] = *at;
            point += !behind;
        } else {
            point -= behind;
        }
    }
    if (any && at < end && (*at == 'e' || *at == 'E')) {
        at++;
        int down = at < end && *at == '-';
        at += at < end && (*at == '-' || *at == '+');
        any = at < end;
        for (; at < end && isdigit((unsigned char)*at) && exponent <= MAX_DIGITS; at++) {
            exponent = 10 * exponent + *at - '0';
        }
        point += down ? -exponent : exponent;
    }
    while (count && digits[count - 1] == '0') {
        count--;
    }
    if (!any || at < end || (count && abs(point) > MAX_DIGITS)) {
        return 0;
    }
    size_t n = 0;
    if (negative && count) {
        out[n++] = '-';
    }
    if (point <= 0 || !count) {
        out[n++] = '0';
    }
    for (int i = 0; count && i < point; i++) {
        out[n++] = i < count ? digits[i] : '0';
    }
    if (count > point && count) {
        out[n++] = '.';
        for (int i = point; i < count; i++) {
            out[n++] = i < 0 ? '0' : digits[i];
        }
    }
    return n;
}

int class_is_number(const char *text)
{
    char out[NUMBER_ROOM];
    return plain_number(out, text, strlen(text)) > 0;
}

int class_is_whole(const char *text)
{
    return class_is_number(text) && !strchr(text, '.');
}

static void grow(Texts *t)
{
    size_t size = t->size ? 2 * t->size : 16;
    free(t->slots);
    t->slots = memory_calloc(size, sizeof *t->slots);
    t->size = size;
    for (size_t i = 0; i < t->count; i++) {
        size_t at = t->hash[i] & (size - 1);
        while (t->slots[at]) {
            at = (at + 1) & (size - 1);
        }
        t->slots[at] = (uint32_t)i + 1;
    }
}

int texts_add(Texts *t, const char *text, size_t line)
{
    char number[NUMBER_ROOM];
    static const char label[] = "LABEL_";
    size_t size, n = sizeof label - 1;
    text = field_text(&size, text);
    if (size == 0) {
        return -1;
    }
    if (size > n && !memcmp(text, label, n) && strspn(text + n, "0123456789") >= size - n) {
        text += n;
        size -= n;
    }
    size_t plain = isalpha((unsigned char)*text) ? 0 : plain_number(number, text, size);
    if (plain) {
        text = number;
        size = plain;
    }
    if (2 * t->count >= t->size) {
        grow(t);
    }
    uint64_t hash = XXH64(text, size, 0);
    size_t at = hash & (t->size - 1);
    for (; t->slots[at]; at = (at + 1) & (t->size - 1)) {
        uint32_t i = t->slots[at] - 1;
        if (t->hash[i] == hash && !strncmp(t->text[i], text, size) && !t->text[i][size]) {
            return (int)i;
        }
    }
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 8;
        t->text = memory_realloc(t->text, t->room, sizeof *t->text);
        t->line = memory_realloc(t->line, t->room, sizeof *t->line);
        t->hash = memory_realloc(t->hash, t->room, sizeof *t->hash);
    }
    t->text[t->count] = string_part(text, size);
    t->line[t->count] = line;
    t->hash[t->count] = hash;
    t->slots[at] = (uint32_t)++t->count;
    return (int)t->count - 1;
}

void texts_free(Texts *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->text[i]);
    }
    free(t->text);
    free(t->line);
    free(t->hash);
    free(t->slots);
    *t = (Texts){0};
}

int class_is_none(const char *text)
{
    return !strcasecmp(text, "nan");
}

json_t *texts_list(const Texts *texts)
{
    json_t *list = json_array();
    for (size_t i = 0; i < texts->count; i++) {
        json_array_append_new(list, json_string(texts->text[i]));
    }
    return list;
}
