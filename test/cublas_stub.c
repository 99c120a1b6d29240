/* A cuBLAS for tests of the variants cublas and tf32: its functions that kernels/cublas.c calls,
 * over the emulator's memory. variants.bats compiles it as libcublas_sim.so; $CUBLAS_FAIL names a
 * function that fails, $CUBLAS_MAJOR its version. Its default mode of math, which a program may not
 * rely on, is TF32. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static int token;

static int fails(const char *name)
{
    const char *failing = getenv("CUBLAS_FAIL");
    return failing && !strcmp(failing, name) ? 13 : 0;
}

int cublasCreate_v2(void **handle)
{
    *handle = &token;
    return fails("create");
}

int cublasGetProperty(int type, int *value)
{
    const char *major = getenv("CUBLAS_MAJOR");
    *value = type == 0 ? (major ? atoi(major) : 13) : 3 - type;
    return fails("property");
}

static int tf32 = 1;

int cublasSetMathMode(void *handle, int mode)
{
    tf32 = mode != 2;
    return handle == &token ? fails("math") : 1;
}

/* A factor as TF32 has it: 10 bits of fraction, the rest cut off. */
static double factor(float x)
{
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    bits &= tf32 ? 0xFFFFE000u : 0xFFFFFFFFu;
    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

/* The emulator's stream is a queue of launches; all that was put into it comes first. Its functions
 * are C++, so that they stand beside CUDA's. */
int cublasSetStream_v2(void *handle, void *stream)
{
    void *symbol = dlsym(RTLD_DEFAULT, "_Z21cudaStreamSynchronizeP11CUstream_st");
    int (*wait)(void *stream);
    memcpy(&wait, &symbol, sizeof symbol);
    return handle == &token && symbol ? wait(stream) : 1;
}

int cublasSgemm_v2(void *handle, int turn_a, int turn_b, int m, int n, int k, const float *alpha,
                   const float *a, int lda, const float *b, int ldb, const float *beta, float *c,
                   int ldc)
{
    if (handle != &token || lda < (turn_a ? k : m) || ldb < (turn_b ? n : k) || ldc < m) {
        return 7;
    }
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int l = 0; l < k; l++) {
                float x = turn_a ? a[l + i * lda] : a[i + l * lda];
                sum += factor(x) * factor(turn_b ? b[j + l * ldb] : b[l + j * ldb]);
            }
            c[i + j * ldc] = (float)((double)*alpha * sum + (double)(*beta * c[i + j * ldc]));
        }
    }
    return fails("sgemm");
}
