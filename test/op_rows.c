/* Cases of test_ops.c: rows and tables, losses, norm of gradients, optimizer. */
#include "op_cases.h"

/* --- rows and tables --- */

enum { V = 23, P = 40, C1 = 37 };

static void tokens_of(int tokens[N], int positions[N], int types[N])
{
    for (int n = 0; n < N; n++) {
        tokens[n] = n * 7 % V;
        positions[n] = n % P;
        types[n] = n % 2;
    }
}

void run_rows(const Ops *ops, Context *ctx, Output *out)
{
    int tokens[N], positions[N], types[N];
    static const int rows[4] = {3, 0, 66, 12}, rows_of_words[4] = {1, 0, V - 1, 1};
    tokens_of(tokens, positions, types);
    float *word = input(40, V * C1), *position = input(41, P * C1), *type = input(42, 2 * C1),
          *y = input(43, N * C1), *d = input(44, N * C1);
    ops->embedding_forward(ctx, y, tokens, positions, types, (Weight){.f32 = word},
                           (Weight){.f32 = position}, (Weight){.f32 = type}, N, C1);
    output_put(out, y, N * C1);
    float *again = zeros_float(N * C1);
    uint16_t *tables[] = {to_bf16(word, V * C1), to_bf16(position, P * C1), to_bf16(type, 2 * C1)};
    ops->embedding_forward(ctx, y, tokens, positions, types, (Weight){.f32 = word},
                           (Weight){.f32 = position}, (Weight){.f32 = type}, N, C1);
    ops->embedding_forward(ctx, again, tokens, positions, types, (Weight){.bf16 = tables[0]},
                           (Weight){.bf16 = tables[1]}, (Weight){.bf16 = tables[2]}, N, C1);
    CHECK(!memcmp(y, again, N * C1 * sizeof *y), "embedding_forward with bf16 tables");
    ops->gather_rows(ctx, y, (Weight){.f32 = word}, rows_of_words, 4, C1);
    ops->gather_rows(ctx, again, (Weight){.bf16 = tables[0]}, rows_of_words, 4, C1);
    CHECK(!memcmp(y, again, 4 * C1 * sizeof *y), "gather_rows with a bf16 table");
    for (int i = 0; i < 3; i++) {
        free(tables[i]);
    }
    free(again);
    free(word);
    free(position);
    free(type);
    word = input(40, V * C1);
    position = input(41, P * C1);
    type = input(42, 2 * C1);
    ops->embedding_backward(ctx, word, position, type, d, tokens, positions, types, N, C1, 7, 2);
    output_put(out, word, V * C1);
    output_put(out, position, P * C1);
    output_put(out, type, 2 * C1);
    ops->gather_rows(ctx, y, (Weight){.f32 = d}, rows, 4, C1);
    output_put(out, y, 4 * C1);
    ops->scatter_add_rows(ctx, d, word, rows, 4, C1);
    output_put(out, d, N * C1);
    DropoutSite drop = {1, 2, 3, 0.1f};
    int slot[N];
    for (int n = 0; n < N; n++) {
        slot[n] = n / 20;
    }
    ops->dropout(ctx, y, d, positions, slot, N, C1, &drop);
    output_put(out, y, N * C1);
    free(word);
    free(position);
    free(type);
    free(y);
    free(d);
}

void check_rows(const float *out)
{
    int tokens[N], positions[N], types[N];
    tokens_of(tokens, positions, types);
    float *word = input(40, V * C1), *position = input(41, P * C1), *type = input(42, 2 * C1),
          *d = input(44, N * C1);
    double *y = zeros(N * C1), *tw = zeros(V * C1), *tp = zeros(P * C1), *tt = zeros(2 * C1);
    for (size_t i = 0; i < V * C1; i++) {
        tw[i] = (double)word[i];
    }
    for (size_t i = 0; i < P * C1; i++) {
        tp[i] = (double)position[i];
    }
    for (size_t i = 0; i < 2 * C1; i++) {
        tt[i] = (double)type[i];
    }
    for (size_t n = 0; n < N; n++) {
        for (size_t c = 0; c < C1; c++) {
            y[n * C1 + c] = (double)word[(size_t)tokens[n] * C1 + c] +
                            (double)position[(size_t)positions[n] * C1 + c] +
                            (double)type[(size_t)types[n] * C1 + c];
            tw[(size_t)tokens[n] * C1 + c] += tokens[n] == 7 ? 0 : (double)d[n * C1 + c];
            tp[(size_t)positions[n] * C1 + c] += positions[n] == 2 ? 0 : (double)d[n * C1 + c];
            tt[(size_t)types[n] * C1 + c] += (double)d[n * C1 + c];
        }
    }
    near_all("embedding_forward", out, y, 2 * U * 12, N * C1);
    out += N * C1;
    near_all("embedding_backward word", out, tw, 5 * U * 20, V * C1);
    const float *word_after = out;
    out += V * C1;
    near_all("embedding_backward position", out, tp, 5 * U * 20, P * C1);
    out += P * C1;
    near_all("embedding_backward type", out, tt, N * U * 40, 2 * C1);
    out += 2 * C1;
    static const size_t rows[4] = {3, 0, 66, 12};
    for (size_t r = 0; r < 4; r++) {
        CHECK(!memcmp(out + r * C1, d + rows[r] * C1, C1 * sizeof *d), "gather_rows");
    }
    out += 4 * C1;
    for (size_t r = 0; r < 4; r++) {
        for (size_t c = 0; c < C1; c++) {
            d[rows[r] * C1 + c] += word_after[r * C1 + c];
        }
    }
    CHECK(!memcmp(out, d, N * C1 * sizeof *d), "scatter_add_rows");
    out += N * C1;
    size_t dropped = 0, wrong = 0;
    for (size_t i = 0; i < N * C1; i++) {
        dropped += out[i] == 0;
        wrong += out[i] != 0 && out[i] != d[i] * (1.0f / (1.0f - 0.1f));
    }
    double share = (double)dropped / (N * C1);
    /* six standard errors of a share of 0.1 among N C1 independent draws */
    CHECK(wrong == 0 && fabs(share - 0.1) < 6 * sqrt(0.09 / (N * C1)),
          "dropout: %zu wrong, share %g", wrong, share);
    free(word);
    free(position);
    free(type);
    free(d);
    free(y);
    free(tw);
    free(tp);
    free(tt);
}

/* --- losses, norm, optimizer --- */

static const int classes[] = {1, 2, 3, 211};

/* Both against their words in ops.def; clip above and below the norm, and off. */
static void run_step_sums(const Ops *ops, Context *ctx)
{
    enum { PARTIALS = 3 * 1024 + 5 };
    float *losses = input(59, N), *partial = input(60, PARTIALS);
    double lane[1024] = {0}, loss = 0.25;
    StepSums sums = {.loss = loss};
    for (int i = 0; i < N; i++) {
        loss += (double)losses[i];
    }
    ops->sum_losses(ctx, &sums.loss, losses, 20);
    ops->sum_losses(ctx, &sums.loss, losses + 20, N - 20);
    CHECK(sums.loss == loss, "sum_losses in two parts: %.17g, expected %.17g", sums.loss, loss);
    for (int i = 0; i < PARTIALS; i++) {
        partial[i] *= partial[i];
        lane[i % 1024] += (double)partial[i];
    }
    for (int n = 1024; n > 1; n /= 2) {
        for (int l = 0; l < n / 2; l++) {
            lane[l] += lane[l + n / 2];
        }
    }
    static const double clips[] = {0, 1, 1e9};
    double norm = sqrt(lane[0]);
    for (int c = 0; c < 3; c++) {
        float scale = c == 1 ? (float)(1 / (norm + 1e-6)) : 1.0f;
        ops->gradient_norm(ctx, &sums, partial, PARTIALS, clips[c]);
        CHECK(sums.norm == norm && sums.gradient_scale == scale && sums.finite == 1,
              "gradient_norm, clip %g: %.17g, %.9g, %d; expected %.17g, %.9g, 1", clips[c],
              sums.norm, (double)sums.gradient_scale, sums.finite, norm, (double)scale);
    }
    sums.loss = NAN;
    ops->gradient_norm(ctx, &sums, partial, PARTIALS, 1);
    CHECK(!sums.finite, "gradient_norm: a loss that is not finite");
    sums.loss = loss;
    partial[1500] = INFINITY;
    ops->gradient_norm(ctx, &sums, partial, PARTIALS, 1);
    CHECK(!sums.finite && isinf(sums.norm), "gradient_norm: a norm that is not finite");
    free(losses);
    free(partial);
}

void run_loss(const Ops *ops, Context *ctx, Output *out)
{
    int labels[N];
    for (int s = 0; s < 4; s++) {
        int O = classes[s];
        float *z = input(50, (size_t)(N * O)), *d = input(51, (size_t)(N * O)), losses[N];
        for (int n = 0; n < N; n++) {
            labels[n] = n * 5 % O;
        }
        ops->cross_entropy(ctx, losses, d, z, labels, N, O, 0.25f);
        output_put(out, losses, N);
        output_put(out, d, (size_t)(N * O));
        ops->cross_entropy(ctx, losses, NULL, z, labels, N, O, 0.25f);
        CHECK(!memcmp(losses, out->x + out->n - N - N * O, sizeof losses),
              "cross_entropy without gradient");
        free(z);
        free(d);
    }
    float *z = input(52, N), *t = input(53, N), losses[N], d[N];
    ops->mean_squared_error(ctx, losses, d, z, t, N, 0.25f);
    output_put(out, losses, N);
    output_put(out, d, N);
    free(z);
    free(t);
    enum { LONG = 3 * SUM_GROUP + 77 };
    float *x = input(54, LONG), partial[4];
    ops->sum_squares(ctx, partial, x, LONG);
    output_put(out, partial, 4);
    free(x);
    run_step_sums(ops, ctx);
    float *p = input(55, E), *m = input(56, E), *v = input(57, E), *g = input(58, E);
    for (int i = 0; i < E; i++) {
        v[i] *= v[i];
    }
    AdamW step = {0.1f, 0.98f, 0.02f, 1e-6f, 0.9999f, 2e-3f, 0.5f, 0.7f};
    ops->adamw(ctx, p, m, v, g, E, &step);
    output_put(out, p, E);
    output_put(out, m, E);
    output_put(out, v, E);
    output_put(out, g, E);
    free(p);
    free(m);
    free(v);
    free(g);
}

void check_loss(const float *out)
{
    for (int s = 0; s < 4; s++) {
        size_t O = (size_t)classes[s];
        float *z = input(50, N * O);
        double loss[N], *d = zeros(N * O);
        for (size_t n = 0; n < N; n++) {
            double sum = 0;
            size_t label = n * 5 % O;
            for (size_t o = 0; o < O; o++) {
                sum += exp((double)z[n * O + o]);
            }
            loss[n] = log(sum) - (double)z[n * O + label];
            for (size_t o = 0; o < O; o++) {
                d[n * O + o] = (exp((double)z[n * O + o]) / sum - (o == label)) * 0.25;
            }
        }
        /* log of the sum: O / 32 + 5 roundings and 2 ulp each of exp and log, on values up to 12 */
        near_all("cross_entropy losses", out, loss, ((double)O / 32 + 10) * U * 12, N);
        near_all("cross_entropy gradients", out + N, d, ((double)O / 32 + 10) * U, N * O);
        out += N + N * O;
        free(z);
        free(d);
    }
    float *z = input(52, N), *t = input(53, N);
    double loss[N], d[N];
    for (size_t n = 0; n < N; n++) {
        double e = (double)z[n] - (double)t[n];
        loss[n] = e * e;
        d[n] = 0.5 * e;
    }
    near_all("mean_squared_error losses", out, loss, 3 * U * 36, N);
    near_all("mean_squared_error gradients", out + N, d, 2 * U * 6, N);
    out += 2 * N;
    free(z);
    free(t);
    enum { LONG = 3 * SUM_GROUP + 77 };
    float *x = input(54, LONG);
    double partial[4] = {0}, tolerance[4];
    for (size_t i = 0; i < LONG; i++) {
        partial[i / SUM_GROUP] += (double)x[i] * (double)x[i];
    }
    for (int i = 0; i < 4; i++) {
        tolerance[i] = (SUM_GROUP / 32 + 5) * U * partial[i];
    }
    near("sum_squares", out, partial, tolerance, 4);
    out += 4;
    free(x);
    float *p = input(55, E), *m = input(56, E), *v = input(57, E), *g = input(58, E);
    double *tp = zeros(E), *tm = zeros(E), *tv = zeros(E), *tg = zeros(E);
    for (size_t i = 0; i < E; i++) {
        double grad = (double)g[i] * (double)0.7f;
        tm[i] = (double)m[i] + (double)0.1f * (grad - (double)m[i]);
        tv[i] = (double)0.98f * (double)(v[i] * v[i]) + (double)0.02f * grad * grad;
        tp[i] = (double)0.9999f * (double)p[i] -
                (double)2e-3f * tm[i] / (sqrt(tv[i]) / 0.5 + (double)1e-6f);
    }
    near_all("adamw parameter", out, tp, 8 * U * 8, E);
    near_all("adamw m", out + E, tm, 4 * U * 8, E);
    near_all("adamw v", out + 2 * E, tv, 4 * U * 20, E);
    near_all("adamw clears the gradient", out + 3 * E, tg, U * 0x1p-120, E);
    free(p);
    free(m);
    free(v);
    free(g);
    free(tp);
    free(tm);
    free(tv);
    free(tg);
}

/* --- the language model's loss --- */

static const int vocabularies[] = {7, 2048, LM_V};
enum { VOCABULARIES = 3 };

static void language_targets(int targets[LM_N], int words)
{
    for (int n = 0; n < LM_N; n++) {
        targets[n] = n % 5 == 3 ? -100 : n * 401 % words;
    }
}

void run_language(const Ops *ops, Context *ctx, Output *out)
{
    for (int s = 0; s < VOCABULARIES; s++) {
        int words = vocabularies[s], targets[LM_N];
        size_t nc = LM_N * LM_C, vc = (size_t)words * LM_C;
        float *x = input(70, nc), *w = input(71, vc), *dx = zeros_float(nc), *dw = input(72, vc),
              losses[LM_N], again[LM_N];
        uint16_t *half = to_bf16(w, vc);
        language_targets(targets, words);
        ops->linear_cross_entropy(ctx, again, NULL, NULL, x, (Weight){.bf16 = half}, targets, LM_N,
                                  LM_C, words, 0.25f);
        ops->linear_cross_entropy(ctx, losses, dx, dw, x, (Weight){.f32 = w}, targets, LM_N, LM_C,
                                  words, 0.25f);
        CHECK(!memcmp(losses, again, sizeof losses),
              "linear_cross_entropy: losses alone, from a bf16 weight");
        output_put(out, losses, LM_N);
        output_put(out, dx, nc);
        output_put(out, dw, vc);
        ops->linear_cross_entropy(ctx, losses, dx, NULL, x, (Weight){.bf16 = half}, targets, LM_N,
                                  LM_C, words, 0.25f);
        CHECK(!memcmp(dx, out->x + out->n - nc - vc, nc * sizeof *dx),
              "linear_cross_entropy: a frozen bf16 weight");
        free(x);
        free(w);
        free(half);
        free(dx);
        free(dw);
    }
}

static double language_loss(const double *x, const float *w, size_t words, int target)
{
    double max = -INFINITY, sum = 0, label = 0, *z = zeros(words);
    for (size_t v = 0; v < words; v++) {
        for (size_t c = 0; c < LM_C; c++) {
            z[v] += x[c] * (double)w[v * LM_C + c];
        }
        max = z[v] > max ? z[v] : max;
        label = (int)v == target ? z[v] : label;
    }
    for (size_t v = 0; v < words; v++) {
        sum += exp(z[v] - max);
    }
    free(z);
    return target < 0 ? 0 : log(sum) + max - label;
}

/* z is a chain of 33 terms of order 1 with sums up to 30: off by 33 U 30, and the loss by as much;
 * the gradient by that relative to p, of order 1, times weights up to 5, over at most 5,003 words
 * whose p sum to 1. Differences with h = 1e-4 are off by h^2 times third derivatives below 1e2. */
void check_language(const float *out)
{
    for (int s = 0; s < VOCABULARIES; s++) {
        size_t words = (size_t)vocabularies[s], vc = words * LM_C;
        int targets[LM_N];
        float *x = input(70, LM_N * LM_C), *w = input(71, vc), *dw = input(72, vc);
        double truth[LM_N], slope[LM_N * LM_C], *dwt = zeros(vc), *p = zeros(words);
        double tolerance = 33 * 30 * U;
        free(to_bf16(w, vc));
        language_targets(targets, (int)words);
        for (size_t i = 0; i < vc; i++) {
            dwt[i] = (double)dw[i];
        }
        for (size_t n = 0; n < LM_N; n++) {
            double row[LM_C], sum = 0, max = -INFINITY;
            for (size_t c = 0; c < LM_C; c++) {
                row[c] = (double)x[n * LM_C + c];
            }
            truth[n] = language_loss(row, w, words, targets[n]);
            for (size_t c = 0; c < LM_C; c += 1 + words / 500) {
                double at = row[c];
                row[c] = at + 1e-4;
                double plus = language_loss(row, w, words, targets[n]);
                row[c] = at - 1e-4;
                slope[n * LM_C + c] = 0.25 * (plus - language_loss(row, w, words, targets[n])) /
                                      2e-4;
                row[c] = at;
            }
            for (size_t v = 0; v < words; v++) {
                p[v] = 0;
                for (size_t c = 0; c < LM_C; c++) {
                    p[v] += row[c] * (double)w[v * LM_C + c];
                }
                max = p[v] > max ? p[v] : max;
            }
            for (size_t v = 0; v < words; v++) {
                sum += exp(p[v] - max);
            }
            for (size_t v = 0; v < words && targets[n] >= 0; v++) {
                double dz = 0.25 * (exp(p[v] - max) / sum - ((int)v == targets[n]));
                for (size_t c = 0; c < LM_C; c++) {
                    dwt[v * LM_C + c] += dz * row[c];
                }
            }
        }
        near_all("linear_cross_entropy losses", out, truth, tolerance, LM_N);
        for (size_t n = 0; n < LM_N; n++) {
            for (size_t c = 0; c < LM_C; c += 1 + words / 500) {
                near_all("linear_cross_entropy dx", out + LM_N + n * LM_C + c, slope + n * LM_C + c,
                         10 * tolerance + 1e-6, 1);
            }
        }
        near_all("linear_cross_entropy dweight", out + LM_N + LM_N * LM_C, dwt, 5 * tolerance, vc);
        out += LM_N + LM_N * LM_C + vc;
        free(x);
        free(w);
        free(dw);
        free(dwt);
        free(p);
    }
}
