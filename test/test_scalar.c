/* Errors of scalar.h in units in the last place, over all floats (exp, log, tanh, erf; --quick
 * takes every 61st) or a dense sample (sin, cos), against libm in double, and the random numbers
 * against known values. With golden files as arguments (goldens/models/ops/golden.safetensors)
 * these are compared too. */
#include "check.h"
#include "rng.h"
#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

typedef struct Function {
    const char *name;
    float (*ours)(float);
    double (*truth)(double);
    double limit; /* ulp, as docs/KERNELS.md states */
    float range;  /* |x| up to here; 0 for all */
} Function;

static const Function functions[] = {
    {"exp", scalar_exp, exp, 1.0, 0},        {"log", scalar_log, log, 1.0, 0},
    {"tanh", scalar_tanh, tanh, 1.5, 0},     {"erf", scalar_erf, erf, 1.1, 0},
    {"sin", scalar_sin, sin, 0.51, 0x1p30f}, {"cos", scalar_cos, cos, 0.51, 0x1p30f},
};

/* Distance from the truth in ulp of the truth as a float; NaN for a wrong kind of result. */
static double ulp_error(float y, double truth)
{
    if (isnan(truth)) {
        return isnan(y) ? 0 : NAN;
    }
    float rounded = (float)truth;
    if (isinf(rounded) || isinf(y)) {
        /* the largest finite float may stand for what rounds just beyond it */
        return y == rounded                                                       ? 0
               : fabs(truth) < 0x1.000001p128 && fabs((double)y) > 0x1.fffffcp127 ? 1
                                                                                  : NAN;
    }
    int exponent;
    frexp(truth, &exponent);
    double ulp = truth == 0 || exponent < -125 ? 0x1p-149 : ldexp(1, exponent - 24);
    return fabs((double)y - truth) / ulp;
}

static void check_function(const Function *f, uint32_t step)
{
    double worst = 0;
    float where = 0;
    uint64_t bad = 0, count = 0;
#pragma omp parallel for schedule(static) reduction(+ : bad, count)
    for (uint32_t part = 0; part < 256; part++) {
        double own_worst = 0;
        float own_where = 0;
        for (uint64_t bits = (uint64_t)part << 24; bits < (uint64_t)(part + 1) << 24;
             bits += step) {
            float x = bits_to_float((uint32_t)bits);
            if (f->range > 0 && !(fabsf(x) <= f->range)) {
                continue;
            }
            double error = ulp_error(f->ours(x), f->truth((double)x));
            count++;
            bad += !(error <= f->limit);
            if (!(error <= own_worst)) {
                own_worst = error;
                own_where = x;
            }
        }
#pragma omp critical
        if (!(own_worst <= worst)) {
            worst = own_worst;
            where = own_where;
        }
    }
    CHECK(bad == 0 && count > 0, "%s: %llu of %llu results are off by more than %.2f ulp", f->name,
          (unsigned long long)bad, (unsigned long long)count, f->limit);
    printf("%-5s %llu floats, largest error %.4f ulp at %a\n", f->name, (unsigned long long)count,
           worst, (double)where);
}

static void check_golden(const char *path)
{
    Safetensors st;
    Error error;
    if (safetensors_open(&st, path, &error)) {
        CHECK(0, "%s", error.text);
        return;
    }
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s.x", functions[i].name);
        const Tensor *x = safetensors_find(&st, name);
        snprintf(name, sizeof name, "%s.y64", functions[i].name);
        const Tensor *y = safetensors_find(&st, name);
        double worst = 0;
        size_t beyond = 0;
        for (size_t j = 0; x && y && j < x->count; j++) {
            float input;
            double truth;
            memcpy(&input, x->data + 4 * j, 4);
            memcpy(&truth, y->data + 8 * j, 8);
            if (functions[i].range > 0 && !(fabsf(input) <= functions[i].range) &&
                isfinite(input)) {
                beyond++;
                continue;
            }
            double e = ulp_error(functions[i].ours(input), truth);
            worst = !(e <= worst) ? e : worst;
        }
        CHECK(x && y && worst <= functions[i].limit, "%s %s: %.3f ulp", path, functions[i].name,
              worst);
        printf("%-5s golden: %zu points, %.4f ulp%s\n", functions[i].name,
               x ? x->count - beyond : 0, worst,
               beyond ? ", some beyond the stated range not compared" : "");
    }
    safetensors_close(&st);
}

static void check_philox(void)
{
    /* Known answers of Random123 1.14 (kat_vectors, philox4x32 10). */
    Philox zero = philox4x32(0, 0, 0, 0, 0), ones = philox4x32(~0u, ~0u, ~0u, ~0u, ~0ull);
    Philox pi = philox4x32(0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0x299F31D0A4093822);
    static const uint32_t expected[3][4] = {{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8},
                                            {0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD},
                                            {0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}};
    CHECK(!memcmp(zero.word, expected[0], 16) && !memcmp(ones.word, expected[1], 16) &&
              !memcmp(pi.word, expected[2], 16),
          "philox4x32-10");
    CHECK(rng_word(7, 4 * 65536 + 2) == philox4x32(1, 0, 0, 0, 7).word[2], "stream order");
    double mean = 0, square = 0;
    enum { N = 1 << 20 };
    for (uint64_t i = 0; i < N; i++) {
        double z = (double)rng_normal(42, i);
        mean += z / N;
        square += z * z / N;
    }
    /* six standard errors of the mean and of the variance of N normal numbers */
    CHECK(fabs(mean) < 6.0 / 1024 && fabs(square - 1) < 6 * sqrt(2.0) / 1024,
          "normal numbers: mean %g, variance %g", mean, square);
    CHECK(rng_key(1, "a") != rng_key(1, "b") && rng_key(1, "a") != rng_key(2, "a"), "keys");
}

int main(int argc, char **argv)
{
    int quick = argc > 1 && !strcmp(argv[1], "--quick");
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        check_function(&functions[i], quick || functions[i].range > 0 ? 61 : 1);
    }
    check_philox();
    for (int i = 1 + quick; i < argc; i++) {
        check_golden(argv[i]);
    }
    return checks_close("test_scalar");
}
