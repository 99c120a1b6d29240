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
        if (encoded->dataset->task->kind != KIND_LANGUAGE) {
            batch_label(batch, example->label, example->target);
        }
    }
    batch_put(batch);
}

int pack_fitting(const Study *study, const Encoded *encoded, int first)
{
    int count = 0, tokens = 0, most = study->work.max_sequences / encoded->choices;
    while (first + count < encoded->dataset->count && count < most) {
        int more = (int)encoded_tokens(encoded, NULL, first + count, 1);
        if (count && tokens + more > study->work.max_tokens) {
            break;
        }
        tokens += more;
        count++;
    }
    return count;
}

StepRange step_range(const Study *study, int step)
{
    int examples = study->train.count, batch = study->recipe.batch,
        first = step % study->steps_per_epoch * batch;
    return (StepRange){.epoch = step / study->steps_per_epoch,
                       .first = first,
                       .end = first + int_min(batch, examples - first)};
}

int step_terms(const Study *study, const StepRange *range, const int *order)
{
    int count = range->end - range->first;
    return study->task->kind == KIND_LANGUAGE
               ? (int)encoded_tokens(&study->train_ids, order, range->first, count) - count
               : count;
}
