#include "tensor_core.h"

#include <math.h>

/* m 2^(exponent - 46): a float32 or the product of two bf16 values, exactly. */
typedef struct Term {
    int64_t m; /* below 2^48 */
    int exponent;
} Term;

/* m 2^(exponent - 23) */
static Term split(float x)
{
    uint32_t bits = float_to_bits(x);
    int32_t m = (int32_t)(bits & 0x7FFFFF);
    int exponent = (int)(bits >> 23 & 0xFF);
    if (exponent) {
        m |= 0x800000;
    } else {
        exponent = 1;
    }
    return (Term){bits >> 31 ? -m : m, exponent - 127};
}

static Term product(uint16_t a, uint16_t b)
{
    Term x = split(bits_to_float((uint32_t)a << 16)), y = split(bits_to_float((uint32_t)b << 16));
    return (Term){x.m * y.m, x.exponent + y.exponent};
}

/* x 2^(fraction - emax), toward zero as C divides */
static int64_t cut(Term x, int emax, int fraction)
{
    int shift = 46 - fraction + emax - x.exponent;
    return shift > 62 ? 0 : x.m / ((int64_t)1 << shift);
}

static float toward_zero(double x)
{
    float y = (float)x;
    return fabs((double)y) > fabs(x) && fabs(x) < 0x1p128 ? nextafterf(y, 0) : y;
}

static float block(int fraction, const uint16_t *a, const uint16_t *b, size_t n, float c)
{
    if (!isfinite(c)) {
        return c;
    }
    Term term[17] = {split(c)};
    int emax = term[0].exponent;
    int64_t sum = 0;
    term[0].m *= 1 << 23;
    for (size_t i = 0; i < n; i++) {
        term[i + 1] = product(a[i], b[i]);
        emax = term[i + 1].exponent > emax ? term[i + 1].exponent : emax;
    }
    for (size_t i = 0; i <= n; i++) {
        sum += cut(term[i], emax, fraction);
    }
    return toward_zero(ldexp((double)sum, emax - fraction)); /* both exact: 33 bits */
}

float tensor_core_dot(TensorCore core, const uint16_t *a, const uint16_t *b, size_t K, float c)
{
    size_t length = (size_t)core.length;
    for (size_t k = 0; k < K; k += length) {
        c = block(core.fraction, a + k, b + k, K - k < length ? K - k : length, c);
    }
    return c;
}
