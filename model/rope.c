#include "rope.h"

static const double pi = 0x1.921fb54442d18p+1;
static const double ln2 = 0x1.62e42fefa39efp-1;

/* log of x > 0: x = m 2^e with m in [2/3, 4/3); 2 atanh((m - 1) / (m + 1)) by its series. */
static double log_of(double x)
{
    int e = 0;
    for (; x >= 4.0 / 3; e++) {
        x /= 2;
    }
    for (; x < 2.0 / 3; e--) {
        x *= 2;
    }
    double t = (x - 1) / (x + 1), square = t * t, sum = 0;
    for (int k = 25; k >= 1; k -= 2) { /* |t| <= 1/5: the rest is below 1e-18 */
        sum = sum * square + 1.0 / k;
    }
    return 2 * t * sum + e * ln2;
}

/* exp of x <= 0: halved until |x| <= 1/2, Taylor, squared again. */
static double exp_of(double x)
{
    int halvings = 0;
    for (; x < -0.5; halvings++) {
        x /= 2;
    }
    double sum = 1;
    for (int k = 18; k >= 1; k--) {
        sum = 1 + sum * x / k;
    }
    for (; halvings > 0; halvings--) {
        sum *= sum;
    }
    return sum;
}

/* cos and sin of x >= 0, below 1e7: quarter turns off in three parts of pi / 2, then Taylor. */
static void turn(double *cosine, double *sine, double x)
{
    static const double part[3] = {0x1.921fb544p+0, 0x1.0b4611a6p-34, 0x1.3198a2e037073p-69};
    double quarters = (double)(long long)(x * (2 / pi) + 0.5);
    double r = ((x - quarters * part[0]) - quarters * part[1]) - quarters * part[2];
    double square = r * r, c = 1, s = 1;
    for (int k = 20; k >= 2; k -= 2) { /* |r| <= pi / 4 */
        c = 1 - c * square / (k * (k - 1));
        s = 1 - s * square / (k * (k + 1));
    }
    s *= r;
    switch ((long long)quarters & 3) {
    case 0:
        *cosine = c;
        *sine = s;
        break;
    case 1:
        *cosine = -s;
        *sine = c;
        break;
    case 2:
        *cosine = -c;
        *sine = -s;
        break;
    default:
        *cosine = s;
        *sine = -c;
    }
}

void rope_frequencies(double *frequency, int D, const RopeParameters *p)
{
    double log_theta = log_of(p->theta);
    for (int i = 0; i < D / 2; i++) {
        double f = exp_of(-log_theta * (2.0 * i / D));
        if (p->llama3) {
            /* waves of the original length and longer turn slower by the factor; those between the
             * two bands are blended */
            double waves = p->original_positions * f / (2 * pi); /* in the original length */
            if (waves < p->low_freq_factor) {
                f /= p->factor;
            } else if (waves <= p->high_freq_factor) {
                double smooth = (waves - p->low_freq_factor) /
                                (p->high_freq_factor - p->low_freq_factor);
                f = (1 - smooth) * f / p->factor + smooth * f;
            }
        }
        frequency[i] = f;
    }
}

void rope_angles(float *cosine, float *sine, int position, const double *frequency, int D)
{
    for (int i = 0; i < D / 2; i++) {
        double c, s;
        turn(&c, &s, position * frequency[i]);
        cosine[i] = (float)c;
        sine[i] = (float)s;
    }
}
