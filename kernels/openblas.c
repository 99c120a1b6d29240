/* One handle of OpenBLAS for all builds. */
#include "openblas.h"

#include <dlfcn.h>
#include <string.h>

void (*openblas_sgemm)(int, int, int, int, int, int, float, const float *, int, const float *, int,
                       float, float *, int);

int openblas_open(Error *error)
{
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "cblas_sgemm") : NULL;
    if (!symbol) {
        return error_set(error, EXIT_UNAVAILABLE,
                         "kernel variant openblas: libopenblas.so.0 cannot be loaded; install it "
                         "with: apt install libopenblas0");
    }
    memcpy(&openblas_sgemm, &symbol, sizeof symbol);
    return 0;
}
