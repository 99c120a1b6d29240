/* Sums of rows are embedding_backward's: in both directions each row has one owner, who adds in the
 * order of the tokens, then of the spans. */
#include "spans.h"

void spans_forward(const Pass *pass, float *wide, const float *pooled, const float *x)
{
    const Batch *batch = pass->batch;
    const Ops *ops = &pass->model->backend->ops;
    Context *ctx = &pass->model->backend->ctx;
    const RowGroups *sums = &batch->span_sums;
    int C = pass->model->config.C, R = batch->B * (1 + pass->model->config.spans);
    ops->fill_zero(ctx, wide, (size_t)R * (size_t)C);
    ops->embedding_backward(ctx, wide, x, sums->rows, sums->starts, sums->order, sums->count,
                            sums->tokens, C);
    ops->scatter_add_rows(ctx, wide, pooled, batch->pooled_rows, batch->B, C);
    ops->divide_rows(ctx, wide, wide, batch->wide_counts, R, C);
}

void spans_backward(const Pass *pass, float *d_pooled, float *d_x, float *d_wide)
{
    const Batch *batch = pass->batch;
    const Ops *ops = &pass->model->backend->ops;
    Context *ctx = &pass->model->backend->ctx;
    const RowGroups *shares = &batch->span_shares;
    int C = pass->model->config.C, R = batch->B * (1 + pass->model->config.spans);
    ops->divide_rows(ctx, d_wide, d_wide, batch->wide_counts, R, C);
    ops->gather_rows(ctx, d_pooled, (Weight){.f32 = d_wide}, batch->pooled_rows, batch->B, C);
    ops->fill_zero(ctx, d_x, (size_t)batch->N * (size_t)C);
    ops->embedding_backward(ctx, d_x, d_wide, shares->rows, shares->starts, shares->order,
                            shares->count, shares->tokens, C);
}
