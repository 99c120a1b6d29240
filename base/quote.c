/* Text for a terminal: paths in commands that a user may copy into a shell, and wrapped lines. */
#include "base.h"

#include <string.h>

char *shell_quote(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_./:=@%+,-";
    size_t length = strlen(text), used = 0;
    int control = 0;
    if (length && strspn(text, plain) == length) {
        return string_copy(text);
    }
    for (const char *c = text; *c; c++) {
        control = control || (unsigned char)*c < ' ' || *c == 0x7F;
    }
    char *out = memory_alloc(length + 1, 4); /* a character becomes at most 4, and the frame */
    used += (size_t)sprintf(out, control ? "$'" : "'");
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7F) {
            used += (size_t)sprintf(out + used, "\\%03o", (unsigned char)*c);
        } else if (*c == '\'' || (control && *c == '\\')) {
            used += (size_t)sprintf(out + used, control ? "\\%c" : "'\\%c'", *c);
        } else {
            out[used++] = *c;
        }
    }
    memcpy(out + used, "'", 2);
    return out;
}

void print_words(FILE *out, size_t column, size_t indent, const char *text)
{
    for (int first = 1; *text; first = 0) {
        size_t size = strcspn(text, " "), width = 0;
        for (size_t i = 0; i < size; i++) {
            width += (text[i] & 0xC0) != 0x80; /* where a character of UTF-8 begins */
        }
        if (column + !first + width > 80 && column > indent) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", (int)size, text);
        column += width;
        text += size + strspn(text + size, " ");
    }
}
