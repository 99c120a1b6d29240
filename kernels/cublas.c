/* One handle of cuBLAS for all of the program. The declarations are cuBLAS's own, so that its
 * header is not needed: it reads matrices by columns; operations are 0 none, 1 transpose; modes of
 * math 0 the default, float32, and 3 TF32. */
#include "cublas.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static void *handle;
static int (*create)(void **handle);
static int (*set_stream)(void *handle, void *stream);
static int (*set_math)(void *handle, int mode);
static int (*sgemm)(void *handle, int turn_a, int turn_b, int m, int n, int k, const float *alpha,
                    const float *a, int lda, const float *b, int ldb, const float *beta, float *c,
                    int ldc);

/* Sets a pointer to the function of that name. */
static int find(void *library, const char *name, void *pointer)
{
    void *symbol = dlsym(library, name);
    memcpy(pointer, &symbol, sizeof symbol);
    return symbol != NULL;
}

int cublas_open(const char *device, Error *error)
{
    enum { REAL = 3 };
    static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11",
                                        "libcublas_sim.so"};
    int sim = !strcmp(device, "sim");
    void *library = NULL;
    for (int i = sim ? REAL : 0; i < (sim ? REAL + 1 : REAL) && !library; i++) {
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    }
    if (!library || !find(library, "cublasCreate_v2", &create) ||
        !find(library, "cublasSetStream_v2", &set_stream) ||
        !find(library, "cublasSetMathMode", &set_math) ||
        !find(library, "cublasSgemm_v2", &sgemm)) {
        return error_set(error, EXIT_UNAVAILABLE,
                         "kernel variant cublas: %s",
                         sim ? "device sim has none; --device cuda has"
                             : "libcublas.so.13, .12 or .11 cannot be loaded; it comes with the "
                               "CUDA toolkit");
    }
    int status = handle ? 0 : create(&handle);
    if (status) {
        return error_set(error, EXIT_UNAVAILABLE, "kernel variant cublas: cublasCreate: status %d",
                         status);
    }
    return 0;
}

void cublas_add_product(void *stream, CublasMath math, float *c, const float *a, int turn_a,
                        const float *b, int turn_b, int M, int N, int K)
{
    static const float one = 1.0f;
    int status = set_stream(handle, stream);
    status = status ? status : set_math(handle, math == CUBLAS_TF32 ? 3 : 0);
    if (!status) { /* by columns it is c^T += b^T a^T */
        status = sgemm(handle, turn_b, turn_a, N, M, K, &one, b, turn_b ? K : N, a, turn_a ? M : K,
                       &one, c, N);
    }
    if (status) {
        fprintf(stderr, "cublasSgemm: status %d\n", status);
        exit(EXIT_UNAVAILABLE);
    }
}
