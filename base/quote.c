/* Paths in commands that a user may copy into a shell. */
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
