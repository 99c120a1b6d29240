/* Embedding tables: rows looked up and rows updated. */
#include "rows.h"

void KERNEL(embedding_forward)(Context *ctx, float *out, const int *tokens, const int *positions,
                               const int *types, Weight word, Weight position, Weight type, int N,
                               int C)
{
    size_t channels = (size_t)C;
    int has_type = type.f32 || type.bf16;
#pragma omp parallel for schedule(static) num_threads(threads_for(ctx, (size_t)N * channels / 2))
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

void KERNEL(embedding_backward)(Context *ctx, float *dword, float *dposition, float *dtype,
                                const float *dout, const int *tokens, const int *positions,
                                const int *types, int N, int C, int padding, int position_padding)
{
    size_t channels = (size_t)C;
    /* Threads share the channels, so every row has one owner per channel and its tokens come in
     * batch order. */
#pragma omp parallel for schedule(static) num_threads(threads_for(ctx, (size_t)N * channels / 2))
    for (int c0 = 0; c0 < C; c0 += 2 * LANES) {
        int c1 = C - c0 < 2 * LANES ? C : c0 + 2 * LANES;
        for (int n = 0; n < N; n++) {
            const float *dout_n = dout + (size_t)n * channels;
            float *word_n = dword + (size_t)tokens[n] * channels;
            for (int c = c0; c < c1 && tokens[n] != padding; c++) {
                word_n[c] += dout_n[c];
            }
            if (dposition && positions[n] != position_padding) {
                float *position_n = dposition + (size_t)positions[n] * channels;
                for (int c = c0; c < c1; c++) {
                    position_n[c] += dout_n[c];
                }
            }
            if (dtype) {
                float *type_n = dtype + (size_t)types[n] * channels;
                for (int c = c0; c < c1; c++) {
                    type_n[c] += dout_n[c];
                }
            }
        }
    }
}

/* --- variants --- */

void KERNEL(embedding_backward_reverse)(Context *ctx, float *dword, float *dposition, float *dtype,
                                        const float *dout, const int *tokens, const int *positions,
                                        const int *types, int N, int C, int padding,
                                        int position_padding)
{
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int c = 0; c < C; c++) {
        for (int n = N - 1; n >= 0; n--) {
            float d = dout[(size_t)n * (size_t)C + (size_t)c];
            if (tokens[n] != padding) {
                dword[(size_t)tokens[n] * (size_t)C + (size_t)c] += d;
            }
            if (dposition && positions[n] != position_padding) {
                dposition[(size_t)positions[n] * (size_t)C + (size_t)c] += d;
            }
            if (dtype) {
                dtype[(size_t)types[n] * (size_t)C + (size_t)c] += d;
            }
        }
    }
}
