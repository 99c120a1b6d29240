/* Embedding tables: rows looked up and rows updated. */
#include "order.h"
#include "rows.h"

void KERNEL(embedding_forward)(Context *ctx, float *out, const int *tokens, const int *positions,
                               const int *types, Weight word, Weight position, Weight type, int N,
                               int C)
{
    size_t channels = (size_t)C;
    int has_type = type.f32 || type.bf16;
#pragma omp parallel for schedule(static) num_threads(threads_for(ctx, (size_t)N *channels / 2))
    for (int n = 0; n < N; n++) {
        float *out_n = out + (size_t)n * channels;
        size_t word_n = (size_t)tokens[n] * channels, position_n = (size_t)positions[n] * channels,
               type_n = has_type ? (size_t)types[n] * channels : 0;
        for (size_t c0 = 0; c0 < channels; c0 += LANES) {
            size_t width = channels - c0 < LANES ? channels - c0 : LANES;
            float position_c[LANES], type_c[LANES];
            weight_row(out_n + c0, word, word_n + c0, width);
            weight_row(position_c, position, position_n + c0, width);
            if (has_type) {
                weight_row(type_c, type, type_n + c0, width);
            }
            for (size_t c = 0; c < width && has_type; c++) {
                out_n[c0 + c] += type_c[c];
            }
            for (size_t c = 0; c < width; c++) {
                out_n[c0 + c] += position_c[c];
            }
        }
    }
}

void KERNEL(embedding_backward)(Context *ctx, float *dtable, const float *dout, const int *rows,
                                const int *starts, const int *order, int U, int N, int C)
{
    enum { BLOCK = 2 * LANES };
    size_t channels = (size_t)C, blocks = (channels + BLOCK - 1) / BLOCK,
           cost = (size_t)N * channels / 4;
    /* Each row has one owner per channel. */
#pragma omp parallel for schedule(static) num_threads(threads_for(ctx, cost))
    for (size_t task = 0; task < (size_t)U * blocks; task++) {
        size_t u = task / blocks, first = task % blocks * BLOCK,
               width = channels - first < BLOCK ? channels - first : BLOCK;
        float *row = dtable + (size_t)rows[u] * channels + first;
        for (int i = starts[u]; i < starts[u + 1]; i++) {
            const float *d = dout + (size_t)order[i] * channels + first;
            for (size_t c = 0; c < width; c++) {
                row[c] += d[c];
            }
        }
    }
}

/* --- variants --- */

void KERNEL(embedding_backward_reverse)(Context *ctx, float *dtable, const float *dout,
                                        const int *rows, const int *starts, const int *order, int U,
                                        int N, int C)
{
    (void)N; /* starts says it */
    size_t channels = (size_t)C;
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int u = 0; u < U; u++) {
        for (int i = starts[u + 1] - 1; i >= starts[u]; i--) {
            for (size_t c = 0; c < channels; c++) {
                dtable[(size_t)rows[u] * channels + c] += dout[(size_t)order[i] * channels + c];
            }
        }
    }
}

void KERNEL(embedding_backward_shuffled)(Context *ctx, float *dtable, const float *dout,
                                         const int *rows, const int *starts, const int *order,
                                         int U, int N, int C)
{
    (void)N;
    size_t channels = (size_t)C;
    Philox drawn = order_draw(ctx, ORDER_EMBEDDING);
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int u = 0; u < U; u++) {
        size_t first = (size_t)starts[u], tokens = (size_t)(starts[u + 1] - starts[u]);
        Order of_row = order_of(&drawn, tokens);
        for (size_t i = 0; i < tokens; i++) {
            size_t token = (size_t)order[first + order_at(&of_row, i)];
            for (size_t c = 0; c < channels; c++) {
                dtable[(size_t)rows[u] * channels + c] += dout[token * channels + c];
            }
        }
    }
}
