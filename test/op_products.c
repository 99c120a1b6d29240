/* Cases of test_ops.c: products, sums over tokens, LoRA. */
#include "op_cases.h"

/* --- products --- */

/* An op reads a bf16 weight as the same numbers in float32: the same bits come out. */
static void check_bf16(const Ops *ops, Context *ctx, const float *x, const float *d, int M, int K,
                       int O)
{
    size_t mk = (size_t)M * (size_t)K, mo = (size_t)M * (size_t)O;
    float *w = input(30, (size_t)O * (size_t)K), *y = zeros_float(mo), *again = zeros_float(mo),
          *dx = zeros_float(mk), *dx_again = zeros_float(mk);
    uint16_t *half = to_bf16(w, (size_t)O * (size_t)K);
    ops->matmul_forward(ctx, y, x, (Weight){.f32 = w}, NULL, M, K, O);
    ops->matmul_forward(ctx, again, x, (Weight){.bf16 = half}, NULL, M, K, O);
    ops->matmul_backward_input(ctx, dx, d, (Weight){.f32 = w}, M, K, O, 0);
    ops->matmul_backward_input(ctx, dx_again, d, (Weight){.bf16 = half}, M, K, O, 0);
    CHECK(!memcmp(y, again, mo * sizeof *y) && !memcmp(dx, dx_again, mk * sizeof *dx),
          "products with a bf16 weight [%d, %d]", O, K);
    free(w);
    free(half);
    free(y);
    free(again);
    free(dx);
    free(dx_again);
}

static const int products[][3] = {
    {1, 1, 1}, {13, 7, 5}, {67, 33, 70}, {29, 300, 50}, {100, 64, 31}}; /* M, K, O */
enum { PRODUCTS = sizeof products / sizeof *products };

void run_matmul(const Ops *ops, Context *ctx, Output *out)
{
    for (int s = 0; s < PRODUCTS; s++) {
        int M = products[s][0], K = products[s][1], O = products[s][2];
        size_t mk = (size_t)M * (size_t)K, ok = (size_t)O * (size_t)K, mo = (size_t)M * (size_t)O;
        float *x = input(1, mk), *w = input(2, ok), *bias = input(3, (size_t)O), *y = input(4, mo),
              *d = input(5, mo);
        ops->matmul_forward(ctx, y, x, (Weight){.f32 = w}, bias, M, K, O);
        output_put(out, y, mo);
        ops->matmul_forward(ctx, y, x, (Weight){.f32 = w}, NULL, M, K, O);
        output_put(out, y, mo);
        ops->matmul_backward_weight(ctx, w, d, x, M, K, O);
        output_put(out, w, ok);
        ops->matmul_backward_input(ctx, x, d, (Weight){.f32 = w}, M, K, O, 1);
        output_put(out, x, mk);
        ops->matmul_backward_input(ctx, x, d, (Weight){.f32 = w}, M, K, O, 0);
        output_put(out, x, mk);
        check_bf16(ops, ctx, x, d, M, K, O);
        free(x);
        free(w);
        free(bias);
        free(y);
        free(d);
    }
}

void check_matmul(const float *out)
{
    for (int s = 0; s < PRODUCTS; s++) {
        size_t M = (size_t)products[s][0], K = (size_t)products[s][1], O = (size_t)products[s][2];
        float *x = input(1, M * K), *w = input(2, O * K), *bias = input(3, O), *d = input(5, M * O);
        size_t most = (M > K ? M : K) * (M > O ? M : O) + O * K;
        double *truth = zeros(most), *size = zeros(most);
        for (int with_bias = 1; with_bias >= 0; with_bias--) {
            float chain_differs = 0;
            for (size_t m = 0; m < M; m++) {
                for (size_t o = 0; o < O; o++) {
                    double sum = with_bias ? (double)bias[o] : 0, terms = fabs(sum);
                    float chain = with_bias ? bias[o] : 0.0f;
                    for (size_t k = 0; k < K; k++) {
                        sum += (double)x[m * K + k] * (double)w[o * K + k];
                        terms += fabs((double)x[m * K + k] * (double)w[o * K + k]);
                        chain = fmaf(x[m * K + k], w[o * K + k], chain);
                    }
                    truth[m * O + o] = sum;
                    size[m * O + o] = (double)K * U * terms;
                    chain_differs += chain != out[m * O + o];
                }
            }
            near("matmul_forward", out, truth, size, M * O);
            CHECK(variant_runs || chain_differs == 0, "matmul_forward is not the chain over k");
            out += M * O;
        }
        float *updated = memory_alloc(O * K, sizeof *updated);
        for (size_t o = 0; o < O; o++) {
            for (size_t k = 0; k < K; k++) {
                double sum = (double)w[o * K + k], terms = fabs(sum);
                for (size_t m = 0; m < M; m++) {
                    sum += (double)d[m * O + o] * (double)x[m * K + k];
                    terms += fabs((double)d[m * O + o] * (double)x[m * K + k]);
                }
                truth[o * K + k] = sum;
                size[o * K + k] = (double)M * U * terms;
            }
        }
        near("matmul_backward_weight", out, truth, size, O * K);
        memcpy(updated, out, O * K * sizeof *updated);
        out += O * K;
        for (int accumulate = 1; accumulate >= 0; accumulate--) {
            for (size_t m = 0; m < M; m++) {
                for (size_t k = 0; k < K; k++) {
                    double sum = accumulate ? (double)x[m * K + k] : 0, terms = fabs(sum);
                    for (size_t o = 0; o < O; o++) {
                        sum += (double)d[m * O + o] * (double)updated[o * K + k];
                        terms += fabs((double)d[m * O + o] * (double)updated[o * K + k]);
                    }
                    truth[m * K + k] = sum;
                    size[m * K + k] = (double)O * U * terms;
                }
            }
            near("matmul_backward_input", out, truth, size, M * K);
            out += M * K;
        }
        free(updated);
        free(truth);
        free(size);
        free(x);
        free(w);
        free(bias);
        free(d);
    }
}

/* --- sums over tokens --- */

enum { O1 = 45 };

void run_bias(const Ops *ops, Context *ctx, Output *out)
{
    float *d = input(6, N * O1), *bias = input(7, O1);
    ops->bias_backward(ctx, bias, d, cu, B, N, O1);
    output_put(out, bias, O1);
    ops->bias_backward(ctx, bias, d, NULL, N, N, O1);
    output_put(out, bias, O1);
    /* the same in two micro-batches */
    float *again = input(7, O1);
    int rest[4] = {0, 7, 26, N - 34};
    ops->bias_backward(ctx, again, d, cu, 2, cu[2], O1);
    ops->bias_backward(ctx, again, d + 34 * O1, rest, 3, rest[3], O1);
    CHECK(variant_runs || !memcmp(again, out->x, sizeof(float) * O1),
          "bias_backward in two micro-batches");
    free(again);
    free(d);
    free(bias);
}

void check_bias(const float *out)
{
    float *d = input(6, N * O1), *bias = input(7, O1);
    double truth[O1], size[O1];
    for (int pass = 1; pass <= 2; pass++) {
        for (size_t o = 0; o < O1; o++) {
            double sum = (double)bias[o], terms = fabs(sum);
            for (size_t n = 0; n < N; n++) {
                sum += pass * (double)d[n * O1 + o];
                terms += pass * fabs((double)d[n * O1 + o]);
            }
            truth[o] = sum;
            size[o] = 2 * N * U * terms;
        }
        near("bias_backward", out + (pass - 1) * O1, truth, size, O1);
    }
    free(d);
    free(bias);
}

/* --- LoRA --- */

static const int lora_shapes[][3] = {
    {33, 45, 4}, {64, 20, 8}, {5, 70, 17}, {130, 140, 5}}; /* C, O, R */
enum { LORA_SHAPES = sizeof lora_shapes / sizeof *lora_shapes };
static const float lora_p[2] = {0.0f, 0.3f};

typedef struct LoraCase {
    size_t C, O, R;
    float *x, *a, *b, *out, *dout, *da, *db, *dx;
    Lora lora;
} LoraCase;

static const int *row_positions(void)
{
    static int positions[N];
    for (int b = 0; b < B; b++) {
        for (int n = cu[b]; n < cu[b + 1]; n++) {
            positions[n] = n - cu[b];
        }
    }
    return positions;
}

static const int *row_slots(void)
{
    static int row[N];
    for (int b = 0; b < B; b++) {
        for (int n = cu[b]; n < cu[b + 1]; n++) {
            row[n] = slots[b];
        }
    }
    return row;
}

static LoraCase lora_case(int shape, float p)
{
    size_t C = (size_t)lora_shapes[shape][0], O = (size_t)lora_shapes[shape][1],
           R = (size_t)lora_shapes[shape][2];
    LoraCase c = {C,
                  O,
                  R,
                  input(60, N * C),
                  input(61, R * C),
                  input(62, O * R),
                  input(63, N * O),
                  input(64, N * O),
                  input(65, R * C),
                  input(66, O * R),
                  input(67, N * C),
                  {0}};
    c.lora = (Lora){.a = c.a,
                    .b = c.b,
                    .R = (int)R,
                    .scale = 0.75f,
                    .dropout = {.seed = 5, .step = 2, .site = 2050, .p = p},
                    .positions = row_positions(),
                    .slots = row_slots()};
    return c;
}

static void lora_case_free(LoraCase *c)
{
    float *parts[] = {c->x, c->a, c->b, c->out, c->dout, c->da, c->db, c->dx};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        free(parts[i]);
    }
}

void run_lora(const Ops *ops, Context *ctx, Output *out)
{
    for (int s = 0; s < 2 * LORA_SHAPES; s++) {
        LoraCase c = lora_case(s / 2, lora_p[s % 2]);
        int C = (int)c.C, O = (int)c.O;
        float *mid = zeros_float(N * c.R), *da = zeros_float(c.R * c.C),
              *mask = zeros_float(N * c.C);
        ops->lora_forward(ctx, c.out, mid, c.x, &c.lora, N, C, O);
        output_put(out, c.out, N * c.O);
        /* weights alone: the same gradients */
        memcpy(da, c.da, c.R * c.C * sizeof *da);
        float *db = memory_alloc(c.O * c.R, sizeof *db);
        memcpy(db, c.db, c.O * c.R * sizeof *db);
        ops->lora_backward(ctx, NULL, da, db, c.dout, mid, c.x, &c.lora, N, C, O);
        ops->lora_backward(ctx, c.dx, c.da, c.db, c.dout, mid, c.x, &c.lora, N, C, O);
        CHECK(!memcmp(da, c.da, c.R * c.C * sizeof *da) &&
                  !memcmp(db, c.db, c.O * c.R * sizeof *db),
              "lora_backward without dx");
        output_put(out, c.dx, N * c.C);
        output_put(out, c.da, c.R * c.C);
        output_put(out, c.db, c.O * c.R);
        for (size_t i = 0; i < N * c.C; i++) {
            mask[i] = 1.0f;
        }
        ops->dropout(ctx, mask, mask, c.lora.positions, c.lora.slots, N, C, &c.lora.dropout);
        output_put(out, mask, N * c.C);
        free(mid);
        free(da);
        free(db);
        free(mask);
        lora_case_free(&c);
    }
}

/* sum of dout (scale b (a (mask x))) in double, over rows [first, end) */
static double lora_value(const LoraCase *c, const double *x, const double *a, const double *b,
                         const float *mask, size_t first, size_t end)
{
    double sum = 0, mid[32];
    for (size_t n = first; n < end; n++) {
        for (size_t r = 0; r < c->R; r++) {
            mid[r] = 0;
            for (size_t k = 0; k < c->C; k++) {
                mid[r] += x[n * c->C + k] * (double)mask[n * c->C + k] * a[r * c->C + k];
            }
        }
        for (size_t o = 0; o < c->O; o++) {
            double y = 0;
            for (size_t r = 0; r < c->R; r++) {
                y += mid[r] * b[o * c->R + r];
            }
            sum += (double)c->dout[n * c->O + o] * (double)c->lora.scale * y;
        }
    }
    return sum;
}

/* The function is linear in each of x, a, b, so a difference with step 1 is its slope. All values
 * are of order 1, sums have at most 200 terms of order 10 times what 32 ranks and a mask of 1 / 0.7
 * make of them: 1e4 roundings of size U are an ample bound, and a missing term would be of
 * order 1. */
void check_lora(const float *out)
{
    double tolerance = 1e4 * U;
    for (int s = 0; s < 2 * LORA_SHAPES; s++) {
        LoraCase c = lora_case(s / 2, lora_p[s % 2]);
        size_t no = N * c.O, nc = N * c.C, rc = c.R * c.C, orank = c.O * c.R;
        const float *y = out, *dx = y + no, *da = dx + nc, *db = da + rc, *mask = db + orank;
        double *x = doubles(c.x, nc), *a = doubles(c.a, rc), *b = doubles(c.b, orank),
               *truth = zeros(no + nc + rc + orank);
        out = mask + nc;
        for (size_t n = 0; n < N; n++) {
            for (size_t o = 0; o < c.O; o++) {
                double sum = 0;
                for (size_t r = 0; r < c.R; r++) {
                    double mid = 0;
                    for (size_t k = 0; k < c.C; k++) {
                        mid += x[n * c.C + k] * (double)mask[n * c.C + k] * a[r * c.C + k];
                    }
                    sum += (double)c.lora.scale * mid * b[o * c.R + r];
                }
                truth[n * c.O + o] = (double)c.out[n * c.O + o] + sum;
            }
        }
        near_all("lora_forward", y, truth, tolerance, no);
        struct {
            const char *name;
            double *values;
            const float *start, *ours;
            size_t n;
        } parts[] = {{"lora_backward dx", x, c.dx, dx, nc},
                     {"lora_backward da", a, c.da, da, rc},
                     {"lora_backward db", b, c.db, db, orank}};
        for (int p = 0; p < 3; p++) {
            for (size_t i = 0; i < parts[p].n; i++) {
                size_t first = p ? 0 : i / c.C, end = p ? N : first + 1;
                double before = lora_value(&c, x, a, b, mask, first, end);
                parts[p].values[i] += 1;
                truth[i] = (double)parts[p].start[i] + lora_value(&c, x, a, b, mask, first, end) -
                           before;
                parts[p].values[i] -= 1;
            }
            near_all(parts[p].name, parts[p].ours, truth, tolerance, parts[p].n);
        }
        free(x);
        free(a);
        free(b);
        free(truth);
        lora_case_free(&c);
    }
}
