/* Cases of test_ops.c: attention: bidirectional, causal, grouped heads, pooled queries; dropout by
 * its mask. */
#include "op_cases.h"

static const int places[B] = {0};

typedef struct AttentionCase {
    int H, K, D, causal, pooled;
    float p;
} AttentionCase;

static const AttentionCase attentions[] = {{3, 3, 12, 0, 0, 0},
                                           {4, 2, 16, 1, 0, 0},
                                           {6, 2, 10, 1, 0, 0.3f},
                                           {2, 2, 33, 0, 1, 0},
                                           {3, 1, 8, 0, 0, 0.25f}};
enum { ATTENTIONS = sizeof attentions / sizeof *attentions };
static const int counting[B + 1] = {0, 1, 2, 3, 4, 5};

static AttentionShape attention_of(const AttentionCase *c)
{
    return (AttentionShape){B,
                            c->H,
                            c->K,
                            c->D,
                            c->pooled ? B : N,
                            N,
                            33,
                            c->causal,
                            1.0f / sqrtf((float)c->D),
                            c->pooled ? counting : cu,
                            cu,
                            places,
                            slots,
                            c->H * c->D,
                            2 * c->K * c->D};
}

void run_attention(const Ops *ops, Context *ctx, Output *out)
{
    for (int s = 0; s < ATTENTIONS; s++) {
        const AttentionCase *c = &attentions[s];
        AttentionShape shape = attention_of(c);
        DropoutSite drop = {9, 3, 5, c->p};
        size_t rows = c->pooled ? B : N, nq = rows * (size_t)(c->H * c->D),
               nk = N * (size_t)(2 * c->K * c->D), V = (size_t)(c->K * c->D);
        float *q = input(20, nq), *kv = input(21, nk), *y = input(22, nq), *d = input(23, nq),
              *dq = input(24, nq), *dkv = input(25, nk);
        float *max = input(26, rows * (size_t)c->H), *rsum = input(27, rows * (size_t)c->H);
        ops->attention_forward(ctx, y, max, rsum, q, kv, kv + V, &shape, &drop);
        output_put(out, y, nq);
        ops->attention_backward(ctx, dq, dkv, dkv + V, d, q, kv, kv + V, max, rsum, &shape, &drop);
        output_put(out, dq, nq);
        output_put(out, dkv, nk);
        free(q);
        free(kv);
        free(y);
        free(d);
        free(dq);
        free(dkv);
        free(max);
        free(rsum);
    }
}

/* sum(out dout) of one sequence and head in double; also writes out if y is given. */
static double attention_double(double *y, const double *q, const double *kv, const float *d,
                               const AttentionCase *c, int b, int h)
{
    AttentionShape shape = attention_of(c);
    DropoutSite drop = {9, 3, 5, c->p};
    size_t D = (size_t)c->D, HD = (size_t)(c->H * c->D), KD = (size_t)(c->K * c->D),
           g = (size_t)(h / (c->H / c->K));
    double total = 0;
    for (int i = shape.cu_q[b]; i < shape.cu_q[b + 1]; i++) {
        double p[N], sum = 0, mix[64] = {0};
        int place = i - shape.cu_q[b], keys = cu[b + 1] - cu[b],
            n = c->causal && place + 1 < keys ? place + 1 : keys;
        for (int j = 0; j < n; j++) {
            double s = 0;
            for (size_t e = 0; e < D; e++) {
                s += q[(size_t)i * HD + (size_t)h * D + e] *
                     kv[(size_t)(cu[b] + j) * 2 * KD + g * D + e];
            }
            p[j] = exp(s / sqrt((double)D));
            sum += p[j];
        }
        for (int j = 0; j < n; j++) {
            uint32_t e = (uint32_t)j;
            Philox words = dropout_words(&drop,
                                         e / DROPOUT_BLOCK * DROPOUT_LANES + e % DROPOUT_LANES,
                                         (uint32_t)place, (uint32_t)h, (uint32_t)slots[b]);
            double keep = c->p > 0 ? (words.word[e / DROPOUT_LANES % 4] >= dropout_threshold(c->p)
                                          ? 1 / (1 - (double)c->p)
                                          : 0)
                                   : 1;
            for (size_t f = 0; f < D; f++) {
                mix[f] += keep * p[j] / sum * kv[(size_t)(cu[b] + j) * 2 * KD + KD + g * D + f];
            }
        }
        for (size_t f = 0; f < D; f++) {
            total += mix[f] * (double)d[(size_t)i * HD + (size_t)h * D + f];
            if (y) {
                y[(size_t)i * HD + (size_t)h * D + f] = mix[f];
            }
        }
    }
    return total;
}

void check_attention(const float *out)
{
    for (int s = 0; s < ATTENTIONS; s++) {
        const AttentionCase *c = &attentions[s];
        size_t rows = c->pooled ? B : N, nq = rows * (size_t)(c->H * c->D),
               nk = N * (size_t)(2 * c->K * c->D);
        size_t HD = (size_t)(c->H * c->D), KD = (size_t)(c->K * c->D), D = (size_t)c->D;
        float *qf = input(20, nq), *kvf = input(21, nk), *d = input(23, nq);
        double *q = zeros(nq), *kv = zeros(nk), *y = zeros(nq), *dq = zeros(nq), *dkv = zeros(nk),
               h = 1e-5;
        for (size_t i = 0; i < nq; i++) {
            q[i] = (double)qf[i];
        }
        for (size_t i = 0; i < nk; i++) {
            kv[i] = (double)kvf[i];
        }
        for (int b = 0; b < B; b++) {
            for (int head = 0; head < c->H; head++) {
                attention_double(y, q, kv, d, c, b, head);
            }
        }
        for (size_t i = 0; i < nq; i++) {
            int b = 0, head = (int)(i % HD / D);
            while ((c->pooled ? counting : cu)[b + 1] <= (int)(i / HD)) {
                b++;
            }
            double x = q[i];
            q[i] = x + h;
            double up = attention_double(NULL, q, kv, d, c, b, head);
            q[i] = x - h;
            dq[i] = (up - attention_double(NULL, q, kv, d, c, b, head)) / (2 * h);
            q[i] = x;
        }
        for (size_t i = 0; i < nk; i += 3) { /* every third: the differences are slow */
            int b = 0, group = (int)(i % KD / D), each = c->H / c->K;
            while (cu[b + 1] <= (int)(i / (2 * KD))) {
                b++;
            }
            double x = kv[i];
            for (int sign = 1; sign >= -1; sign -= 2) {
                kv[i] = x + sign * h;
                for (int head = group * each; head < (group + 1) * each; head++) {
                    dkv[i] += sign * attention_double(NULL, q, kv, d, c, b, head) / (2 * h);
                }
            }
            kv[i] = x;
        }
        /* Scores of size below 20 have 2 D roundings each, exp turns them into relative errors of
         * p; outputs and gradients are sums of at most N (times heads) such products of size
         * below 30. */
        double tolerance = (2.0 * c->D + N) * U * 30;
        near_all("attention_forward", out, y, tolerance, nq);
        near_all("attention_backward dq", out + nq, dq, tolerance + 1e-7, nq);
        for (size_t i = 0; i < nk; i++) {
            dkv[i] = i % 3 ? (double)out[2 * nq + i] : dkv[i];
        }
        near_all("attention_backward dk dv", out + 2 * nq, dkv, 3 * tolerance + 1e-7, nk);
        out += 2 * nq + nk;
        free(qf);
        free(kvf);
        free(d);
        free(q);
        free(kv);
        free(y);
        free(dq);
        free(dkv);
    }
}
