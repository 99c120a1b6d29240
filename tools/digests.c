/* digests FILE: "NAME SHA256" of every tensor of a safetensors file, in the order of the names.
 * What make verify compares. */
#include "safetensors.h"

int main(int argc, char **argv)
{
    Safetensors st;
    Error error;
    if (argc != 2) {
        fputs("usage: digests FILE.safetensors\n", stderr);
        return EXIT_USAGE;
    }
    if (safetensors_open(&st, argv[1], &error)) {
        fprintf(stderr, "digests: %s\n", error.text);
        return error.code;
    }
    for (size_t i = 0; i < st.count; i++) {
        char hex[65];
        sha256_hex(hex, st.tensors[i].data, st.tensors[i].bytes);
        printf("%s %s\n", st.tensors[i].name, hex);
    }
    safetensors_close(&st);
    return 0;
}
