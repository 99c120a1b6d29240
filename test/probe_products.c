/* The sums of products, of norms and of what goes over tokens; of the embedding and the optimizer. */
#include "probe_terms.h"

enum { TOKENS = 40 };

/* --- products --- */

/* Factors in the last of `rows` rows, or columns; all others are 0. */
static float *last_row(Probe *p, const float *from, int rows, int n)
{
    float *x = floats(p, (size_t)rows * (size_t)n);
    memcpy(x + (size_t)(rows - 1) * (size_t)n, from, (size_t)n * sizeof *x);
    return x;
}

static float *last_column(Probe *p, const float *from, int n, int columns)
{
    float *x = floats(p, (size_t)n * (size_t)columns);
    for (int i = 0; i < n; i++) {
        x[(size_t)(i + 1) * (size_t)columns - 1] = from[i];
    }
    return x;
}

static double matmul_forward(Probe *p, int n, int observe)
{
    (void)observe;
    int M = p->rows, O = p->columns;
    float *out = floats(p, (size_t)M * (size_t)O);
    CALL(matmul_forward, out, last_row(p, p->a, M, n), weight(last_row(p, p->b, O, n)),
         last_row(p, p->a + n, O, 1), M, n, O);
    return result(p, out + (size_t)M * (size_t)O - 1);
}

static double matmul_backward_input(Probe *p, int n, int observe)
{
    (void)observe;
    int M = p->rows, K = p->columns;
    float *dx = last_row(p, p->a + n, M * K, 1);
    CALL(matmul_backward_input, dx, last_row(p, p->a, M, n), weight(last_column(p, p->b, n, K)), M,
         K, n, 1);
    return result(p, dx + (size_t)M * (size_t)K - 1);
}

static double matmul_backward_weight(Probe *p, int n, int observe)
{
    (void)observe;
    int O = p->rows, K = p->columns;
    float *dweight = last_row(p, p->a + n, O * K, 1);
    CALL(matmul_backward_weight, dweight, last_column(p, p->a, n, O), last_column(p, p->b, n, K), n,
         K, O);
    return result(p, dweight + (size_t)O * (size_t)K - 1);
}

/* --- adapters: scale 1, nothing dropped --- */

static double lora_forward_mid(Probe *p, int n, int observe)
{
    (void)observe;
    float *mid = floats(p, 1);
    Lora lora = {.a = terms(p, p->b, n), .b = floats(p, 1), .R = 1, .scale = 1};
    CALL(lora_forward, floats(p, 1), mid, terms(p, p->a, n), &lora, 1, n, 1);
    return result(p, mid);
}

static double lora_forward_out(Probe *p, int n, int observe)
{
    (void)observe;
    float *out = terms(p, p->a + n, 1);
    Lora lora = {.a = terms(p, p->a, n), .b = terms(p, p->b, n), .R = n, .scale = 1};
    CALL(lora_forward, out, floats(p, (size_t)n), filled(p, 1, 1), &lora, 1, 1, 1);
    return result(p, out);
}

/* N tokens, or O outputs, or R ranks; all else 1. */
static void lora_backward(Probe *p, float *dx, float *da, float *db, const float *dout,
                          const float *mid, const float *x, const float *a, const float *b, int N,
                          int O, int R)
{
    Lora lora = {.a = a, .b = b, .R = R, .scale = 1};
    CALL(lora_backward, dx, da, db, dout, mid, x, &lora, N, 1, O);
}

static double lora_backward_db(Probe *p, int n, int observe)
{
    (void)observe;
    float *db = terms(p, p->a + n, 1);
    lora_backward(p, NULL, floats(p, 1), db, terms(p, p->a, n), terms(p, p->b, n),
                  floats(p, (size_t)n), floats(p, 1), floats(p, 1), n, 1, 1);
    return result(p, db);
}

static double lora_backward_da(Probe *p, int n, int observe)
{
    (void)observe;
    float *da = terms(p, p->a + n, 1);
    lora_backward(p, NULL, da, floats(p, 1), terms(p, p->a, n), floats(p, (size_t)n),
                  terms(p, p->b, n), floats(p, 1), filled(p, 1, 1), n, 1, 1);
    return result(p, da);
}

static double lora_backward_dmid(Probe *p, int n, int observe)
{
    (void)observe;
    float *da = floats(p, 1);
    lora_backward(p, NULL, da, floats(p, (size_t)n), terms(p, p->a, n), floats(p, 1),
                  filled(p, 1, 1), floats(p, 1), terms(p, p->b, n), 1, n, 1);
    return result(p, da);
}

static double lora_backward_dx(Probe *p, int n, int observe)
{
    (void)observe;
    float *dx = terms(p, p->a + n, 1);
    lora_backward(p, dx, floats(p, (size_t)n), floats(p, (size_t)n), filled(p, 1, 1),
                  floats(p, (size_t)n), floats(p, 1), terms(p, p->b, n), terms(p, p->a, n), 1, 1,
                  n);
    return result(p, dx);
}

/* --- gradients over tokens --- */

static double bias_backward(Probe *p, int n, int observe)
{
    (void)observe;
    float *dbias = terms(p, p->a + n, 1);
    CALL(bias_backward, dbias, terms(p, p->a, n), sequences(p), SEQUENCES, n, 1);
    return result(p, dbias);
}

static double embedding_backward(Probe *p, int n, int observe)
{
    (void)observe;
    float *dtable = terms(p, p->a + n, 1);
    int *order = (int *)(void *)floats(p, (size_t)n);
    for (int i = 0; i < n; i++) {
        order[i] = i;
    }
    CALL(embedding_backward, dtable, terms(p, p->a, n), integers(p, (int[]){0}, 1),
         integers(p, (int[]){0, n}, 2), order, 1, n, 1);
    return result(p, dtable);
}

/* dweight and dbias of a channel; xhat is b. */
static double layernorm_backward_parameter(Probe *p, int n, int bias)
{
    float *dweight = terms(p, p->a + n, 1), *dbias = terms(p, p->a + n, 1),
          *dx = floats(p, (size_t)n);
    CALL(layernorm_backward, dx, dweight, dbias, terms(p, p->a, n), terms(p, p->b, n),
         floats(p, (size_t)n), filled(p, (size_t)n, 1), filled(p, 1, 1), sequences(p), SEQUENCES, n,
         1);
    return result(p, bias ? dbias : dweight);
}

static double layernorm_backward_dweight(Probe *p, int n, int observe)
{
    (void)observe;
    return layernorm_backward_parameter(p, n, 0);
}

static double layernorm_backward_dbias(Probe *p, int n, int observe)
{
    (void)observe;
    return layernorm_backward_parameter(p, n, 1);
}

static double rmsnorm_backward_dweight(Probe *p, int n, int observe)
{
    (void)observe;
    float *dweight = terms(p, p->a + n, 1);
    CALL(rmsnorm_backward, floats(p, (size_t)n), dweight, terms(p, p->a, n), terms(p, p->b, n),
         filled(p, (size_t)n, 1), filled(p, 1, 1), sequences(p), SEQUENCES, n, 1);
    return result(p, dweight);
}

/* --- norms: one row --- */

typedef struct Row {
    float *out, *sum, *mean, *rstd, *x, *residual, *weight, *bias;
} Row;

static Row row(Probe *p, int n)
{
    size_t C = (size_t)n;
    return (Row){floats(p, C),      floats(p, C), floats(p, 1),    floats(p, 1),
                 terms(p, p->a, n), floats(p, C), filled(p, C, 1), floats(p, C)};
}

static Row layernorm(Probe *p, int n, int residual)
{
    Row r = row(p, n);
    if (residual) {
        CALL(residual_layernorm_forward, r.out, r.sum, r.mean, r.rstd, r.residual, r.x, r.weight,
             r.bias, 1, n, 0);
    } else {
        CALL(layernorm_forward, r.out, r.mean, r.rstd, r.x, r.weight, r.bias, 1, n, 0);
    }
    return r;
}

static double layernorm_mean(Probe *p, int n, int observe)
{
    (void)observe;
    return result(p, layernorm(p, n, 0).mean);
}

static double residual_layernorm_mean(Probe *p, int n, int observe)
{
    (void)observe;
    return result(p, layernorm(p, n, 1).mean);
}

static double layernorm_squares(Probe *p, int n, int observe)
{
    (void)observe;
    return result(p, layernorm(p, n, 0).rstd);
}

static double residual_layernorm_squares(Probe *p, int n, int observe)
{
    (void)observe;
    return result(p, layernorm(p, n, 1).rstd);
}

static double rmsnorm_squares(Probe *p, int n, int observe)
{
    (void)observe;
    Row r = row(p, n);
    CALL(rmsnorm_forward, r.out, r.rstd, r.x, r.weight, 1, n, 0);
    return result(p, r.rstd);
}

static double residual_rmsnorm_squares(Probe *p, int n, int observe)
{
    (void)observe;
    Row r = row(p, n);
    CALL(residual_rmsnorm_forward, r.out, r.sum, r.rstd, r.residual, r.x, r.weight, 1, n, 0);
    return result(p, r.rstd);
}

/* lanes(g), where xhat is 0: dx of a channel without a gradient. */
static double layernorm_backward_mean(Probe *p, int n, int observe)
{
    size_t C = (size_t)n;
    float *dx = floats(p, C);
    CALL(layernorm_backward, dx, NULL, NULL, terms(p, p->a, n), floats(p, C), floats(p, 1),
         filled(p, 1, 1), filled(p, C, 1), NULL, 1, 1, n);
    return result(p, dx + observe);
}

/* lanes(g xhat): xhat is 2^20 b, and g 2^-20 a, so that lanes(g) is small beside it. */
static double backward_product(Probe *p, int n, int observe, int rms)
{
    size_t C = (size_t)n;
    float *dx = floats(p, C), *dout = terms(p, p->a, n), *x = terms(p, p->b, n);
    for (int c = 0; c < n; c++) {
        dout[c] *= 0x1p-20f;
        x[c] *= 0x1p20f;
    }
    x[observe] = 1;
    if (rms) {
        CALL(rmsnorm_backward, dx, NULL, dout, x, filled(p, 1, 1), filled(p, C, 1), NULL, 1, 1, n);
    } else {
        CALL(layernorm_backward, dx, NULL, NULL, dout, x, floats(p, 1), filled(p, 1, 1),
             filled(p, C, 1), NULL, 1, 1, n);
    }
    return result(p, dx + observe);
}

static double layernorm_backward_product(Probe *p, int n, int observe)
{
    return backward_product(p, n, observe, 0);
}

static double rmsnorm_backward_product(Probe *p, int n, int observe)
{
    return backward_product(p, n, observe, 1);
}

/* --- the optimizer, the embedding --- */

static double sum_squares(Probe *p, int n, int observe)
{
    (void)observe;
    float *partial = floats(p, 1);
    CALL(sum_squares, partial, terms(p, p->a, n), (size_t)n);
    return result(p, partial);
}

static double gradient_norm(Probe *p, int n, int observe)
{
    (void)observe;
    StepSums *sums = (StepSums *)(void *)floats(p, sizeof *sums / sizeof(float));
    CALL(gradient_norm, sums, terms(p, p->a, n), (size_t)n, 0);
    result(p, p->memory);
    return sums->norm;
}

static double embedding_forward(Probe *p, int n, int observe)
{
    (void)n;
    (void)observe;
    float *out = floats(p, 1);
    const int *first = integers(p, (int[]){0}, 1);
    CALL(embedding_forward, out, first, first, first, weight(terms(p, p->a, 1)),
         weight(terms(p, p->a + 2, 1)), weight(terms(p, p->a + 1, 1)), 1, 1);
    return result(p, out);
}

static const Sum sums[] = {
    {"embedding_forward", "out, over word, type, position", TERM_PLAIN, ORDER_CHAIN, 3, 0, 0,
     embedding_forward},
    {"embedding_backward", "dtable, over tokens", TERM_PLAIN, ORDER_CHAIN, 50, 1, 0,
     embedding_backward},
    {"layernorm_forward", "mean, over channels", TERM_PLAIN, ORDER_LANES, 256, 0, 0,
     layernorm_mean},
    {"layernorm_forward", "rstd, over channels", TERM_CENTERED, ORDER_LANES, 230, 0, 0,
     layernorm_squares},
    {"residual_layernorm_forward", "mean, over channels", TERM_PLAIN, ORDER_LANES, 256, 0, 0,
     residual_layernorm_mean},
    {"residual_layernorm_forward", "rstd, over channels", TERM_CENTERED, ORDER_LANES, 230, 0, 0,
     residual_layernorm_squares},
    {"layernorm_backward", "dx, lanes(g)", TERM_PLAIN, ORDER_LANES, 256, 0, 0,
     layernorm_backward_mean},
    {"layernorm_backward", "dx, lanes(g xhat)", TERM_PRODUCT, ORDER_LANES, 256, 0, 0,
     layernorm_backward_product},
    {"layernorm_backward", "dweight, over tokens", TERM_PRODUCT, ORDER_TOKENS, TOKENS, 1, 0,
     layernorm_backward_dweight},
    {"layernorm_backward", "dbias, over tokens", TERM_PLAIN, ORDER_TOKENS, TOKENS, 1, 0,
     layernorm_backward_dbias},
    {"rmsnorm_forward", "rstd, over channels", TERM_SQUARE, ORDER_LANES, 230, 0, 0,
     rmsnorm_squares},
    {"residual_rmsnorm_forward", "rstd, over channels", TERM_SQUARE, ORDER_LANES, 230, 0, 0,
     residual_rmsnorm_squares},
    {"rmsnorm_backward", "dx, lanes(g xhat)", TERM_PRODUCT, ORDER_LANES, 256, 0, 0,
     rmsnorm_backward_product},
    {"rmsnorm_backward", "dweight, over tokens", TERM_PRODUCT, ORDER_TOKENS, TOKENS, 1, 0,
     rmsnorm_backward_dweight},
    {"matmul_forward", "out, over k", TERM_PRODUCT, ORDER_CHAIN, 700, 1, 0, matmul_forward},
    {"matmul_backward_input", "dx, over o", TERM_PRODUCT, ORDER_CHAIN, 700, 1, 0,
     matmul_backward_input},
    {"matmul_backward_weight", "dweight, over tokens", TERM_PRODUCT, ORDER_CHAIN, 700, 1, 0,
     matmul_backward_weight},
    {"lora_forward", "mid, over c", TERM_PRODUCT, ORDER_CHAIN, 300, 0, 0, lora_forward_mid},
    {"lora_forward", "out, over r", TERM_PRODUCT, ORDER_CHAIN, 40, 1, 0, lora_forward_out},
    {"lora_backward", "db, over tokens", TERM_PRODUCT, ORDER_CHAIN, 150, 1, 0, lora_backward_db},
    {"lora_backward", "da, over tokens", TERM_PRODUCT, ORDER_CHAIN, 150, 1, 0, lora_backward_da},
    {"lora_backward", "dmid, over o", TERM_PRODUCT, ORDER_CHAIN, 300, 0, 0, lora_backward_dmid},
    {"lora_backward", "dx, over r", TERM_PRODUCT, ORDER_CHAIN, 40, 1, 0, lora_backward_dx},
    {"bias_backward", "dbias, over tokens", TERM_PLAIN, ORDER_TOKENS, TOKENS, 1, 0, bias_backward},
    {"sum_squares", "of a group", TERM_SQUARE, ORDER_LANES, 1000, 0, 0, sum_squares},
    {"gradient_norm", "over groups", TERM_PLAIN, ORDER_WIDE_LANES, 2500, 0, 1, gradient_norm},
};
const SumList probe_products = {sums, sizeof sums / sizeof *sums};
