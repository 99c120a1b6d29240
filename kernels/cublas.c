/* One handle of cuBLAS for all of the program. The declarations are cuBLAS's own, so that its
 * header is not needed: it reads matrices by columns; operations are 0 none, 1 transpose; modes of
 * math 2 pedantic and 3 TF32. */
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

/* Variables that choose the precision, over what a program asks for. */
static int check_environment(Error *error)
{
    static const char *const names[] = {"NVIDIA_TF32_OVERRIDE", "CUBLAS_EMULATE_SINGLE_PRECISION"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) {
            return error_set(error, EXIT_USAGE,
                             "$%s is %.20s: cuBLAS computes what it says, not what the variants "
                             "cublas and tf32 stand for; unset it",
                             names[i], value);
        }
    }
    return 0;
}

int cublas_open(const char *device, const char **version, Error *error)
{
    enum { REAL = 3, OLDEST = 11, NEWEST = 13 };
    static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11",
                                        "libcublas_sim.so"};
    static char text[64];
    int sim = !strcmp(device, "sim"), i = sim ? REAL : 0, number[3] = {0};
    void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    while (!library && ++i < REAL) {
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    }
    int (*property)(int type, int *value);
    if (!library || !find(library, "cublasCreate_v2", &create) ||
        !find(library, "cublasGetProperty", &property) ||
        !find(library, "cublasSetStream_v2", &set_stream) ||
        !find(library, "cublasSetMathMode", &set_math) ||
        !find(library, "cublasSgemm_v2", &sgemm)) {
        return error_set(error, EXIT_UNAVAILABLE,
                         "kernel variant cublas: %s; leave cublas, tf32 and --fast out: nothing "
                         "else needs it",
                         sim ? "device sim has none; --device cuda has"
                             : "libcublas.so.13, .12 or .11 cannot be loaded; it comes with the "
                               "CUDA toolkit");
    }
    int known = 1;
    for (int part = 0; part < 3; part++) { /* major, minor, patch */
        known = known && !property(part, &number[part]);
    }
    snprintf(text, sizeof text, known ? "cuBLAS %d.%d.%d" : "cuBLAS of no known version", number[0],
             number[1], number[2]);
    if (!known || number[0] < OLDEST || number[0] > NEWEST) {
        return error_set(error, EXIT_UNAVAILABLE,
                         "kernel variant cublas: %s is %s, versions %d to %d are known; leave "
                         "cublas, tf32 and --fast out: nothing else needs it",
                         names[i], text, OLDEST, NEWEST);
    }
    if (check_environment(error)) {
        return error->code;
    }
    int status = handle ? 0 : create(&handle);
    if (status) {
        handle = NULL;
        return error_set(error, EXIT_UNAVAILABLE, "kernel variant cublas: cublasCreate: status %d",
                         status);
    }
    *version = text;
    return 0;
}

void cublas_add_product(void *stream, CublasMath math, float *c, const float *a, int turn_a,
                        const float *b, int turn_b, int M, int N, int K)
{
    static const float one = 1.0f;
    int status = set_stream(handle, stream);
    status = status ? status : set_math(handle, math == CUBLAS_TF32 ? 3 : 2);
    if (!status) { /* by columns it is c^T += b^T a^T */
        status = sgemm(handle, turn_b, turn_a, N, M, K, &one, b, turn_b ? K : N, a, turn_a ? M : K,
                       &one, c, N);
    }
    if (status) {
        fprintf(stderr, "cublasSgemm: status %d\n", status);
        exit(EXIT_UNAVAILABLE);
    }
}
