/* What runs will need: steps, tokens, ops and memory; and what to do where memory is short. */
#include "checkpoint.h"
#include "hf.h"
#include "pack.h"
#include "setup.h"
#include "watch.h"

#include <math.h>
#include <stdlib.h>

/* More steps than a step's number, and more tokens of a step than its counts, have room for. */
enum { MOST_STEPS = 1000000000, MOST_TOKENS = 1 << 30 };

/* --- memory --- */

/* The memory of so many evaluations of the dev set. */
static size_t evaluations_bytes(const Setup *setup, int count)
{
    return (size_t)count * (size_t)setup->dev.count * ((size_t)setup->task->K + 1) * sizeof(float);
}

/* The memory of a run but for what grows with the micro-batch. */
static size_t fixed_bytes(const Setup *setup)
{
    size_t logits = (size_t)setup_most_evaluated(setup) * (size_t)setup->task->K,
           history = setup->options->epoch_preds && !setup->backend.device->start /* host's */
                         ? evaluations_bytes(setup, setup_evaluations(setup))
                         : 0;
    return setup->frozen_bytes + setup->state_bytes + logits * sizeof(float) + history;
}

static int descending(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x < y) - (x > y);
}

/* tokens[m]: at most so many do m examples of training have, m up to setup->micro. The caller frees
 * it. */
static size_t *most_tokens(const Setup *setup)
{
    size_t examples = (size_t)setup->train.count, most = (size_t)setup->work.max_tokens;
    size_t *length = memory_alloc(examples, sizeof *length),
           *tokens = memory_calloc((size_t)setup->micro + 1, sizeof *tokens);
    for (size_t i = 0; i < examples; i++) {
        length[i] = encoded_tokens(&setup->train_ids, NULL, (int)i, 1);
    }
    qsort(length, examples, sizeof *length, descending);
    for (size_t m = 1; m <= (size_t)setup->micro; m++) {
        tokens[m] = size_min(tokens[m - 1] + (m <= examples ? length[m - 1] : 0), most);
    }
    free(length);
    return tokens;
}

/* Whether a run whose micro-batches have m examples can do with so many bytes. */
static int fits(const Setup *setup, const size_t *tokens, int m, int recompute, size_t bytes)
{
    const Workspace *planned = &setup->work;
    int most = int_max((int)tokens[m], planned->max_length * setup->dev_ids.choices),
        sequences = int_max(m * setup->train_ids.choices, setup->dev_ids.choices);
    Workspace work;
    Error none;
    (void)workspace_plan(&work, &setup->model, most, sequences, planned->max_length, planned->train,
                         recompute, &none);
    size_t needed = fixed_bytes(setup) + work.acts_bytes + work.scratch_bytes +
                    batch_bytes(&setup->model, most, sequences);
    workspace_free(&work, &setup->model);
    return needed <= bytes;
}

/* The largest micro-batch of at most this size with which a run fits; 0: none. */
static int largest_fitting(const Setup *setup, const size_t *tokens, int most, int recompute,
                           size_t bytes)
{
    int low = 0;
    while (low < most) {
        int m = low + (most - low + 1) / 2;
        if (fits(setup, tokens, m, recompute, bytes)) {
            low = m;
        } else {
            most = m - 1;
        }
    }
    return low;
}

/* What a run does with so many bytes. Micro-batches change no result but with variants of sums over
 * tokens; recomputation none. */
static void advise(char text[ADVICE_TEXT], const void *user, size_t bytes)
{
    const Setup *setup = user;
    const char *same = backend_plain(&setup->backend) ? ", with the same result" : "";
    char there[BYTES_TEXT];
    size_t *tokens = most_tokens(setup);
    int again = setup->work.recompute, train = setup->work.train,
        micro = largest_fitting(setup, tokens, setup->micro - 1, again, bytes),
        recomputing = micro || again || !train
                          ? 0
                          : largest_fitting(setup, tokens, setup->micro, 1, bytes);
    size_t moments = setup->state_bytes - setup->model.params.trained * sizeof(float);
    int lora = train && !setup->model.lora.targets && fits(setup, tokens, 1, 1, bytes + moments);
    if (micro) {
        snprintf(text, ADVICE_TEXT, "--micro-batch %d fits%s", micro, same);
    } else if (recomputing) {
        snprintf(text, ADVICE_TEXT, "--recompute with --micro-batch %d fits%s", recomputing, same);
    } else {
        snprintf(text, ADVICE_TEXT,
                 "not even one example fits into %s%s; try %sa smaller --max-len or model",
                 bytes_text(there, bytes), train ? ", --recompute or not" : "",
                 lora ? "--lora, which needs no gradients and moments of the model, " : "");
    }
    free(tokens);
}

size_t setup_memory(const Setup *setup)
{
    return fixed_bytes(setup) + setup->work.acts_bytes + setup->work.scratch_bytes +
           batch_bytes(&setup->model, setup->work.max_tokens, setup->work.max_sequences) +
           (setup->backend.device->start ? 0 : setup->copy_bytes);
}

/* Plans the copy of the state that a checkpoint is written from, if an eighth of the memory is free
 * beside it: without the copy a run waits for the disk. */
static void plan_copy(Setup *setup)
{
    size_t bytes = checkpoint_copy_bytes(&setup->model,
                                         setup_keeps_best(setup, setup->options->save)),
           kept = evaluations_bytes(
               setup, 1 + (setup->options->epoch_preds ? setup_evaluations(setup) : 0)),
           needed = setup->backend.device->start ? 0 : setup_memory(setup), room = memory_machine();
    /* copied, too, but for as long as a checkpoint is written */
    setup->copy_bytes = setup->steps && needed + bytes + kept <= room - room / 8 ? bytes : 0;
}

/* Whether the planned memory is more than there is. */
static int check_memory(const Setup *setup, Error *error)
{
    const Device *device = setup->backend.device;
    size_t room = device->memory(), needed = setup_memory(setup);
    if (needed <= room) {
        return 0;
    }
    char text[ADVICE_TEXT], wanted[BYTES_TEXT], there[BYTES_TEXT];
    advise(text, setup, room);
    return error_set(error, EXIT_NO_MEMORY,
                     "this run needs %s of memory, the %s has room for %s; %s",
                     bytes_text(wanted, needed), device->start ? "device" : "machine",
                     bytes_text(there, room), text);
}

/* Every op of a run is planned: one that is missing is refused now, and a variant of none of them.
 */
static int plan_ops(Setup *setup, Error *error)
{
    Backend *backend = &setup->backend;
    State state = state_of_addresses(&setup->model, setup->work.memory);
    int code = 0;
    watch_begin(backend, WATCH_PLAN);
    workspace_call_ops(&setup->work, &setup->model);
    if (setup->steps) {
        state_reset(&state, &setup->model);
        StepSums sums;
        code = optim_step(&state, &setup->model, &setup->recipe.optim, 0, NULL, &sums, error);
    }
    watch_end(backend, WATCH_PLAN);
    return code ? code : backend_check_plan(backend, error);
}

int setup_plan(Setup *setup, const uint64_t *data_seeds, int count, Error *error)
{
    Recipe *r = &setup->recipe;
    int examples = setup->train.count, micro = option_count(setup->options->micro_batch);
    setup->micro = micro && micro < r->batch ? micro : r->batch;
    r->micro = strcmp(r->dtype, "float32") ? setup->micro : 0; /* blocks of tokens end with it */
    setup->steps_per_epoch = (examples - 1) / r->batch + 1;
    double steps = ceil(r->epochs * setup->steps_per_epoch);
    if (!(r->max_steps && r->epochs > 0) && steps > MOST_STEPS) {
        return error_set(error, EXIT_USAGE,
                         "--epochs %g: with batch %d and %d examples that makes %.0f steps, at "
                         "most %d can be counted; lower it",
                         r->epochs, r->batch, examples, steps, MOST_STEPS);
    }
    setup->steps = r->max_steps && r->epochs > 0 ? r->max_steps : (int)steps;
    uint64_t places[3] = {0}, perturbed[3] = {0};
    int until = option_places(places, setup->options->trace_until) ? (int)places[0] : 0;
    setup->stop = until ? until : setup->steps;
    if (until > setup->steps) {
        return error_set(error, EXIT_USAGE, "--trace-until %d: the run has %d steps", until,
                         setup->steps);
    }
    (void)option_places(perturbed, setup->options->perturb);
    if (perturbed[0] > (uint64_t)setup->steps) {
        return error_set(error, EXIT_USAGE, "--perturb %s: the run has %d steps",
                         setup->options->perturb, setup->steps);
    }
    setup->warmup = schedule_warmup(r->warmup, setup->steps);
    setup->tokens = 0;
    int longest = int_max(setup->train_ids.longest, setup->half_ids.longest);
    const Encoded *set;
    for (int i = 0; (set = setup_set(setup, i)); i++) {
        longest = int_max(longest, set->longest);
    }
    int sequences = setup->micro * setup->train_ids.choices,
        most = longest * setup->dev_ids.choices; /* tokens of a pass */
    int *order = memory_alloc((size_t)examples, sizeof *order);
    size_t largest = 0; /* tokens of a whole step */
    for (int s = 0; s < count && largest <= MOST_TOKENS; s++) {
        for (int step = 0; step < setup->steps && largest <= MOST_TOKENS; step++) {
            StepRange range = step_range(setup, step);
            if (range.first == 0) {
                epoch_order(order, examples, data_seeds[s], range.epoch);
            }
            size_t whole = 0;
            for (int at = range.first; at < range.end; at += setup->micro) {
                int n = int_min(setup->micro, range.end - at);
                size_t tokens = encoded_tokens(&setup->train_ids, order, at, n);
                whole += tokens;
                most = tokens <= MOST_TOKENS ? int_max(most, (int)tokens) : most;
                setup->tokens += s == 0 ? (long)tokens : 0;
            }
            largest = whole > largest ? whole : largest;
        }
    }
    free(order);
    if (largest > MOST_TOKENS) {
        return error_set(error, EXIT_USAGE,
                         "--batch %d: one step has %zu tokens, at most %d can be counted; lower "
                         "it, or --max-len",
                         r->batch, largest, MOST_TOKENS);
    }
    setup->state_bytes = state_bytes(&setup->model, setup->steps > 0,
                                     setup_keeps_best(setup, setup->options->save));
    setup->copy_bytes = 0;
    setup->frozen_bytes = model_frozen_bytes(&setup->model, setup->model_folder);
    if (workspace_plan(&setup->work, &setup->model, most, sequences, longest, setup->steps > 0,
                       setup->options->recompute != NULL, error) ||
        check_memory(setup, error)) {
        return error->code;
    }
    plan_copy(setup);
    memory_advice = (MemoryAdvice){advise, setup};
    workspace_alloc(&setup->work, &setup->model);
    batch_init(&setup->batch, &setup->model, most, sequences);
    return plan_ops(setup, error);
}
