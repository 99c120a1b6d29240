/* One handle of OpenBLAS for all builds. */
#include "openblas.h"

#include <dlfcn.h>
#include <string.h>

void (*openblas_sgemm)(int, int, int, int, int, int, float, const float *, int, const float *, int,
                       float, float *, int);

int openblas_open(const char **version, Error *error)
{
    static const char *const names[] = {"cblas_sgemm", "openblas_get_config",
                                        "openblas_get_corename"};
    static char text[64];
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL), *symbol[3] = {NULL};
    for (int i = 0; i < 3 && library; i++) {
        symbol[i] = dlsym(library, names[i]);
    }
    if (!symbol[0] || !symbol[1] || !symbol[2]) {
        return error_set(error, EXIT_UNAVAILABLE,
                         "kernel variant openblas: libopenblas.so.0 cannot be loaded; install it "
                         "with: apt install libopenblas0, or leave the variant out");
    }
    char *(*config)(void), *(*core)(void);
    memcpy(&openblas_sgemm, &symbol[0], sizeof openblas_sgemm);
    memcpy(&config, &symbol[1], sizeof config);
    memcpy(&core, &symbol[2], sizeof core);
    /* "OpenBLAS 0.3.21 DYNAMIC_ARCH NO_AFFINITY Haswell MAX_THREADS=64" */
    const char *said = config(), *number = strchr(said, ' ');
    int length = number ? (int)(number - said + 1) + (int)strcspn(number + 1, " ") : -1;
    snprintf(text, sizeof text, "%.*s (%s)", length, said, core());
    if (strstr(said, "USE64BITINT")) {
        return error_set(error, EXIT_UNAVAILABLE,
                         "kernel variant openblas: libopenblas.so.0 is %s with sizes of 64 bits; "
                         "install one of 32 with: apt install libopenblas0, or leave the variant "
                         "out",
                         text);
    }
    *version = text;
    return 0;
}
