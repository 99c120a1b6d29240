#include "batch.h"

#include <stdlib.h>
#include <string.h>

/* The parts of the block from memory on. */
static void lay_out(Batch *batch, int *memory)
{
    size_t N = (size_t)batch->max_tokens, B = (size_t)batch->max_sequences + 1;
    int **const of_tokens[] = {&batch->tokens, &batch->types, &batch->positions, &batch->places,
                               &batch->slots,  &batch->labels},
        **const of_sequences[] = {&batch->cu_seqlens,  &batch->sequence_slots, &batch->head_rows,
                                  &batch->head_places, &batch->zeros,          &batch->counting};
    for (size_t i = 0; i < sizeof of_tokens / sizeof *of_tokens; i++, memory += N) {
        *of_tokens[i] = memory;
    }
    for (size_t i = 0; i < sizeof of_sequences / sizeof *of_sequences; i++, memory += B) {
        *of_sequences[i] = memory;
    }
    batch->targets = (float *)(void *)memory;
    memory += B;
    for (int t = 0; t < batch->model->trained_tables; t++, memory += 3 * N + 1) {
        batch->groups[t].rows = memory;
        batch->groups[t].starts = memory + N;
        batch->groups[t].order = memory + 2 * N + 1;
    }
    size_t S = (size_t)batch->model->config.spans;
    if (S) {
        RowGroups *sums = &batch->span_sums, *shares = &batch->span_shares;
        sums->rows = memory;
        sums->starts = sums->rows + S * B;
        sums->order = sums->starts + S * B + 1;
        shares->rows = sums->order + S * N;
        shares->starts = shares->rows + N;
        shares->order = shares->starts + N + 1;
        batch->pooled_rows = shares->order + S * N;
        batch->wide_counts = batch->pooled_rows + B;
    }
}

size_t batch_bytes(const Model *model, int max_tokens, int max_sequences)
{
    size_t N = (size_t)int_max(max_tokens, max_sequences), B = (size_t)max_sequences + 1;
    size_t S = (size_t)model->config.spans, spans = 2 * N * (S + 1) + B * (3 * S + 2) + 2;
    return (6 * N + 7 * B + (size_t)model->trained_tables * (3 * N + 1) + (S ? spans : 0)) *
           sizeof(int);
}

void batch_init(Batch *batch, const Model *model, int max_tokens, int max_sequences)
{
    const Config *c = &model->config;
    /* a sequence has a token: no more labels than tokens */
    *batch = (Batch){.model = model,
                     .max_tokens = int_max(max_tokens, max_sequences),
                     .max_sequences = max_sequences};
    batch->bytes = batch_bytes(model, max_tokens, max_sequences);
    batch->host = memory_calloc(batch->bytes, 1);
    batch->device = model->backend->device->alloc(batch->bytes);
    batch->counts = memory_calloc((size_t)int_max(int_max(c->V, c->positions), c->types),
                                  sizeof *batch->counts);
    batch_begin(batch);
    for (int b = 0; b <= max_sequences; b++) {
        batch->counting[b] = b;
    }
}

void batch_free(Batch *batch)
{
    if (batch->model) {
        batch->model->backend->device->release(batch->device, batch->bytes);
    }
    free(batch->host);
    free(batch->counts);
    *batch = (Batch){0};
}

void batch_begin(Batch *batch)
{
    batch->N = batch->B = batch->examples = batch->longest = batch->losses = batch->terms = 0;
    batch->span_sums.count = batch->span_sums.tokens = 0;
    lay_out(batch, batch->host);
    batch->cu_seqlens[0] = 0;
}

void batch_add(Batch *batch, const int *tokens, const int *types, int length, int slot)
{
    const Config *c = &batch->model->config;
    int next = c->padding + 1; /* RoBERTa counts from there and gives padding itself no place */
    for (int place = 0; place < length; place++) {
        int n = batch->N + place, padding = tokens[place] == c->padding;
        batch->tokens[n] = tokens[place];
        batch->types[n] = types ? types[place] : 0;
        batch->places[n] = place;
        batch->slots[n] = slot;
        batch->positions[n] = c->architecture != ARCH_ROBERTA ? place
                              : padding                       ? c->padding
                                                              : next++;
    }
    int head_place = c->architecture == ARCH_LLAMA ? length - 1 : 0;
    batch->head_rows[batch->B] = batch->N + head_place;
    batch->head_places[batch->B] = head_place;
    batch->sequence_slots[batch->B] = slot;
    batch->N += length;
    batch->cu_seqlens[++batch->B] = batch->N;
    batch->longest = int_max(batch->longest, length);
}

void batch_spans(Batch *batch, const int (*spans)[2])
{
    RowGroups *sums = &batch->span_sums;
    int S = batch->model->config.spans, b = batch->B - 1, first = batch->cu_seqlens[b];
    batch->pooled_rows[b] = b * (1 + S);
    batch->wide_counts[b * (1 + S)] = 1;
    for (int s = 0; s < S; s++) {
        int row = b * (1 + S) + 1 + s;
        sums->rows[sums->count] = row;
        sums->starts[sums->count++] = sums->tokens;
        batch->wide_counts[row] = spans[s][1] - spans[s][0];
        for (int place = spans[s][0]; place < spans[s][1]; place++) {
            sums->order[sums->tokens++] = first + place;
        }
        sums->starts[sums->count] = sums->tokens;
    }
}

/* The spans of each token, ascending: those of its sequence that it is in. */
static void group_spans(Batch *batch)
{
    const RowGroups *sums = &batch->span_sums;
    RowGroups *shares = &batch->span_shares;
    int S = batch->model->config.spans;
    shares->count = shares->tokens = 0;
    for (int b = 0; b < batch->B && S; b++) {
        for (int n = batch->cu_seqlens[b]; n < batch->cu_seqlens[b + 1]; n++) {
            int before = shares->tokens;
            for (int u = b * S; u < (b + 1) * S; u++) {
                int first = sums->order[sums->starts[u]],
                    end = first + sums->starts[u + 1] - sums->starts[u];
                if (n >= first && n < end) {
                    shares->order[shares->tokens++] = sums->rows[u];
                }
            }
            if (shares->tokens > before) {
                shares->rows[shares->count] = n;
                shares->starts[shares->count++] = before;
            }
        }
    }
    if (S) {
        shares->starts[shares->count] = shares->tokens;
    }
}

void batch_label(Batch *batch, int label, float target)
{
    batch->labels[batch->examples] = label;
    batch->targets[batch->examples++] = target;
    batch->losses = batch->terms = batch->examples;
}

void batch_targets(Batch *batch, const int *targets)
{
    batch->losses = batch->N;
    batch->terms = 0;
    for (int n = 0; n < batch->N; n++) {
        batch->labels[n] = targets[n];
        batch->terms += targets[n] >= 0;
    }
}

static void target_next_tokens(Batch *batch)
{
    for (int b = 0; b < batch->B; b++) {
        int end = batch->cu_seqlens[b + 1];
        for (int n = batch->cu_seqlens[b]; n < end; n++) {
            batch->labels[n] = n + 1 < end ? batch->tokens[n + 1] : -1;
        }
    }
    batch->losses = batch->N;
    batch->terms = batch->N - batch->B;
}

/* A stable counting sort by row. Tokens of the row `skip` (-1: none) are left out: it has no
 * gradient. */
static void group_rows(RowGroups *groups, const int *row, int N, int skip, int *counts)
{
    int used = 0;
    groups->count = 0;
    for (int n = 0; n < N; n++) {
        if (row[n] != skip && counts[row[n]]++ == 0) {
            groups->rows[groups->count++] = row[n];
        }
    }
    for (int u = 0; u < groups->count; u++) {
        groups->starts[u] = used;
        used += counts[groups->rows[u]];
        counts[groups->rows[u]] = groups->starts[u]; /* from now on the next place */
    }
    groups->starts[groups->count] = groups->tokens = used;
    for (int n = 0; n < N; n++) {
        if (row[n] != skip) {
            groups->order[counts[row[n]]++] = n;
        }
    }
    for (int u = 0; u < groups->count; u++) {
        counts[groups->rows[u]] = 0;
    }
}

void batch_put(Batch *batch)
{
    const Model *model = batch->model;
    const int *rows[TABLES] = {batch->tokens, batch->positions, batch->types};
    if (model->problem == PROBLEM_LANGUAGE && !batch->losses) {
        target_next_tokens(batch);
    }
    for (int t = 0; t < model->trained_tables; t++) {
        /* PyTorch's padding_idx: words of both encoders, positions of RoBERTa */
        int padded = t == 0 || (t == 1 && model->config.architecture == ARCH_ROBERTA);
        group_rows(&batch->groups[t], rows[t], batch->N, padded ? model->config.padding : -1,
                   batch->counts);
    }
    group_spans(batch);
    model->backend->device->put(batch->device, batch->host, batch->bytes);
    lay_out(batch, batch->device);
}

Batch batch_of_size(const Model *model, int N, int B, int longest)
{
    Batch batch = {.model = model, .N = N, .B = B, .longest = longest};
    int language = model->problem == PROBLEM_LANGUAGE;
    batch.examples = B / model->choices;
    batch.losses = batch.terms = language ? N : batch.examples;
    for (int t = 0; t < model->trained_tables; t++) {
        batch.groups[t].count = batch.groups[t].tokens = N;
    }
    batch.span_sums = (RowGroups){.count = B * model->config.spans, .tokens = N};
    batch.span_shares = (RowGroups){.count = N, .tokens = N};
    return batch;
}
