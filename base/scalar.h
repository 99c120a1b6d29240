/* Scalar mathematics from correctly rounded operations alone (+ - * / sqrt fma and integers): one
 * source for C and CUDA, the same bits on every machine and at every vector width. No libm, no
 * device math.
 *
 * Every function is branch-free (both sides of a case are computed, one is selected), so that loops
 * over it vectorize. Polynomials are our own weighted least-squares fits (Lawson) to mpmath values;
 * the largest errors over every float32, found by build/test_scalar, stand beside each function in
 * units in the last place (ulp) of the exact result. */
#ifndef SCALAR_H
#define SCALAR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define SCALAR_FN static __host__ __device__ inline
#else
#define SCALAR_FN static inline
#endif

SCALAR_FN float bits_to_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

SCALAR_FN uint32_t float_to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* e^x, 0.99 ulp. Reduction x = k ln 2 + r, |r| <= ln(2)/2, and a polynomial; the scale 2^k in two
 * steps, so that subnormal results are right. */
SCALAR_FN float scalar_exp(float x)
{
    const float largest = 88.7228394f, smallest = -104.0f;
    float y = x > largest ? largest : x;
    y = y < smallest ? smallest : y;
    float shifted = fmaf(y, 0x1.715476p+0f, 0x1.8p23f); /* round(y / ln 2) in the low bits */
    int32_t k = (int32_t)(float_to_bits(shifted) - 0x4B400000u);
    float n = shifted - 0x1.8p23f;
    float r = fmaf(n, -0x1.62e4p-1f, y); /* ln 2 = 0x1.62e4p-1 + 0x1.7f7d1cp-20 */
    r = fmaf(n, -0x1.7f7d1cp-20f, r);
    float p = 0x1.a61276p-13f;
    p = fmaf(p, r, 0x1.6d539ap-10f);
    p = fmaf(p, r, 0x1.110d2ep-7f);
    p = fmaf(p, r, 0x1.5554e2p-5f);
    p = fmaf(p, r, 0x1.555558p-3f);
    p = fmaf(p, r, 0.5f);
    p = fmaf(p, r * r, r) + 1.0f;
    int32_t half = k >> 1;
    float value = p * bits_to_float((uint32_t)(half + 127) << 23) *
                  bits_to_float((uint32_t)(k - half + 127) << 23);
    value = x > largest ? INFINITY : value;
    value = x < smallest ? 0.0f : value;
    return x != x ? x : value;
}

/* Natural logarithm, 0.83 ulp: x = 2^e m, sqrt(1/2) <= m < sqrt(2), and a polynomial in m - 1. */
SCALAR_FN float scalar_log(float x)
{
    int subnormal = x < 0x1p-126f;
    float y = subnormal ? x * 0x1p23f : x;
    uint32_t bits = float_to_bits(y) - 0x3F3504F3u; /* sqrt(1/2) */
    int32_t exponent = (int32_t)bits >> 23;
    float e = (float)(exponent - (subnormal ? 23 : 0));
    float f = bits_to_float((bits & 0x7FFFFFu) + 0x3F3504F3u) - 1.0f;
    float p = 0x1.1bd588p-4f;
    p = fmaf(p, f, -0x1.e382b6p-4f);
    p = fmaf(p, f, 0x1.e65e64p-4f);
    p = fmaf(p, f, -0x1.fb2cf0p-4f);
    p = fmaf(p, f, 0x1.233104p-3f);
    p = fmaf(p, f, -0x1.556366p-3f);
    p = fmaf(p, f, 0x1.99a554p-3f);
    p = fmaf(p, f, -0x1.ffffecp-3f);
    p = fmaf(p, f, 0x1.555546p-2f);
    float square = f * f;
    float low = fmaf(e, 0x1.7f7d1cp-20f, fmaf(p * f, square, -0.5f * square));
    float value = fmaf(e, 0x1.62e4p-1f, f + low);
    value = x == 0.0f ? -INFINITY : value;
    value = x < 0.0f ? NAN : value;
    value = x == INFINITY ? x : value;
    return x != x ? x : value;
}

/* Hyperbolic tangent, 1.34 ulp: a polynomial below 0.625, above it 1 - 2 / (e^2|x| + 1). */
SCALAR_FN float scalar_tanh(float x)
{
    float t = x < 0.0f ? -x : x, s = x * x;
    float p = -0x1.744ab0p-8f;
    p = fmaf(p, s, 0x1.51d4f6p-6f);
    p = fmaf(p, s, -0x1.b8318cp-5f);
    p = fmaf(p, s, 0x1.1106e4p-3f);
    p = fmaf(p, s, -0x1.555532p-2f);
    float small = fmaf(p * s, x, x);
    float large = 1.0f - 2.0f / (scalar_exp(t > 10.0f ? 20.0f : 2.0f * t) + 1.0f);
    large = x < 0.0f ? -large : large;
    return ((t < 0.625f) | (x != x)) ? small : large;
}

/* Error function, 1.10 ulp: a polynomial below 0.94, above it 1 - e^Q(|x|) with Q = log(erfc);
 * beyond 4 Q only has to stay below -17. */
SCALAR_FN float scalar_erf(float x)
{
    float t = x < 0.0f ? -x : x, s = x * x;
    float p = 0x1.5924ccp-14f;
    p = fmaf(p, s, -0x1.a9279ap-11f);
    p = fmaf(p, s, 0x1.54a914p-8f);
    p = fmaf(p, s, -0x1.b80b68p-6f);
    p = fmaf(p, s, 0x1.ce2de2p-4f);
    p = fmaf(p, s, -0x1.812742p-2f);
    p = fmaf(p, s, 0x1.06eba8p-3f);
    float small = fmaf(p, x, x);
    float q = -0x1.1a0a98p-22f;
    q = fmaf(q, t, -0x1.2d1bd0p-16f);
    q = fmaf(q, t, 0x1.b6db60p-12f);
    q = fmaf(q, t, -0x1.0e7228p-8f);
    q = fmaf(q, t, 0x1.9a57fcp-6f);
    q = fmaf(q, t, -0x1.bb3516p-4f);
    q = fmaf(q, t, -0x1.444beap-1f);
    q = fmaf(q, t, -0x1.2126fap+0f);
    q = fmaf(q, t, 0x1.6ae7c2p-13f);
    float large = 1.0f - scalar_exp(q);
    large = x < 0.0f ? -large : large;
    return ((t < 0.94f) | (x != x)) ? small : large;
}

/* sin(x + quarter * pi / 2), 0.51 ulp, by double arithmetic, which is correctly rounded everywhere
 * too: reduction by pi/2 in two parts and the Taylor series. Valid for |x| <= 2^30; beyond it, and
 * for infinities, NaN. */
SCALAR_FN float scalar_sin_quarter(float x, int quarter)
{
    double shifted = fma((double)x, 0x1.45f306dc9c883p-1, 0x1.8p52), n = shifted - 0x1.8p52;
    double r = fma(n, -0x1.921fb54442d18p+0, (double)x);
    r = fma(n, -0x1.1a62633145c07p-54, r);
    int64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    int q = (int)(bits & 3) + quarter;
    double s = r * r;
    double sine = -1.0 / 39916800, cosine = 1.0 / 479001600;
    sine = fma(sine, s, 1.0 / 362880);
    sine = fma(sine, s, -1.0 / 5040);
    sine = fma(sine, s, 1.0 / 120);
    sine = fma(sine, s, -1.0 / 6);
    sine = fma(sine * s, r, r);
    cosine = fma(cosine, s, -1.0 / 3628800);
    cosine = fma(cosine, s, 1.0 / 40320);
    cosine = fma(cosine, s, -1.0 / 720);
    cosine = fma(cosine, s, 1.0 / 24);
    cosine = fma(cosine, s, -0.5);
    cosine = fma(cosine, s, 1.0);
    double value = q & 1 ? cosine : sine;
    value = q & 2 ? -value : value;
    float t = x < 0.0f ? -x : x;
    return t <= 0x1p30f ? (float)value : NAN;
}

SCALAR_FN float scalar_sin(float x)
{
    float value = scalar_sin_quarter(x, 0);
    return x == 0.0f ? x : value; /* keeps -0 */
}

SCALAR_FN float scalar_cos(float x)
{
    return scalar_sin_quarter(x, 1);
}

#endif
