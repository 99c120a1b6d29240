#include "pack.h"

void pack(Batch *batch, const Encoded *encoded, const int *order, int first, int count,
          int first_slot)
{
    batch_begin(batch);
    for (int i = 0; i < count; i++) {
        int index = order ? order[first + i] : first + i;
        const Example *example = &encoded->dataset->examples[index];
        for (int c = 0; c < encoded->choices; c++) {
            size_t s = (size_t)index * (size_t)encoded->choices + (size_t)c,
                   begin = encoded->start[s];
            batch_add(batch, encoded->ids + begin, encoded->types + begin,
                      (int)(encoded->start[s + 1] - begin),
                      (first_slot + i) * encoded->choices + c);
        }
        if (encoded->spans) {
            batch_spans(batch, (const int (*)[2])encoded->spans[index]);
        }
        if (encoded->dataset->task->kind != KIND_LANGUAGE) {
            batch_label(batch, example->label, example->target);
        }
    }
    batch_put(batch);
}

int pack_fitting(const Setup *setup, const Encoded *encoded, int first)
{
    int count = 0, tokens = 0, most = setup->work.max_sequences / encoded->choices;
    while (first + count < encoded->dataset->count && count < most) {
        int more = (int)encoded_tokens(encoded, NULL, first + count, 1);
        if (count && tokens + more > setup->work.max_tokens) {
            break;
        }
        tokens += more;
        count++;
    }
    return count;
}

StepRange step_range(const Setup *setup, int step)
{
    int examples = setup->train.count, batch = setup->recipe.batch,
        first = step % setup->steps_per_epoch * batch;
    return (StepRange){.epoch = step / setup->steps_per_epoch,
                       .first = first,
                       .end = first + int_min(batch, examples - first)};
}

int step_terms(const Setup *setup, const StepRange *range, const int *order)
{
    int count = range->end - range->first;
    return setup->task->kind == KIND_LANGUAGE
               ? (int)encoded_tokens(&setup->train_ids, order, range->first, count) - count
               : count;
}
