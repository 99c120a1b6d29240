/* What runs will need: steps, tokens, ops and memory; and what to do where memory is short. */
#include "hf.h"
#include "pack.h"
#include "study.h"
#include "watch.h"

#include <math.h>
#include <stdlib.h>

/* More steps than a step's number, and more tokens of a step than its counts, have room for. */
enum { MOST_STEPS = 1000000000, MOST_TOKENS = 1 << 30 };

/* --- memory --- */

/* The memory of a run but for what grows with the micro-batch. */
static size_t fixed_bytes(const Study *study)
{
    size_t logits = (size_t)study->dev.count * (size_t)study->task->K;
    return study->frozen_bytes + study->state_bytes + logits * sizeof(float);
}

static int descending(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x < y) - (x > y);
}

/* tokens[m]: at most so many do m examples of training have, m up to study->micro. The caller frees
 * it. */
static size_t *most_tokens(const Study *study)
{
    size_t examples = (size_t)study->train.count, most = (size_t)study->work.max_tokens;
    size_t *length = memory_alloc(examples, sizeof *length),
           *tokens = memory_calloc((size_t)study->micro + 1, sizeof *tokens);
    for (size_t i = 0; i < examples; i++) {
        length[i] = encoded_tokens(&study->train_ids, NULL, (int)i, 1);
    }
    qsort(length, examples, sizeof *length, descending);
    for (size_t m = 1; m <= (size_t)study->micro; m++) {
        tokens[m] = size_min(tokens[m - 1] + (m <= examples ? length[m - 1] : 0), most);
    }
    free(length);
    return tokens;
}

/* Whether a run whose micro-batches have m examples can do with so many bytes. */
static int fits(const Study *study, const size_t *tokens, int m, int recompute, size_t bytes)
{
    const Workspace *planned = &study->work;
    int most = int_max((int)tokens[m], planned->max_length * study->dev_ids.choices),
        sequences = int_max(m * study->train_ids.choices, study->dev_ids.choices);
    Workspace work;
    Error none;
    (void)workspace_plan(&work, &study->model, most, sequences, planned->max_length, planned->train,
                         recompute, &none);
    size_t needed = fixed_bytes(study) + work.acts_bytes + work.scratch_bytes +
                    batch_bytes(&study->model, most, sequences);
    workspace_free(&work, &study->model);
    return needed <= bytes;
}

/* The largest micro-batch of at most this size with which a run fits; 0: none. */
static int largest_fitting(const Study *study, const size_t *tokens, int most, int recompute,
                           size_t bytes)
{
    int low = 0;
    while (low < most) {
        int m = low + (most - low + 1) / 2;
        if (fits(study, tokens, m, recompute, bytes)) {
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
    const Study *study = user;
    const char *same = *study->backend.variants ? "" : ", with the same result";
    char there[BYTES_TEXT];
    size_t *tokens = most_tokens(study);
    int again = study->work.recompute, train = study->work.train,
        micro = largest_fitting(study, tokens, study->micro - 1, again, bytes),
        recomputing = micro || again || !train
                          ? 0
                          : largest_fitting(study, tokens, study->micro, 1, bytes);
    size_t moments = study->state_bytes - study->model.params.trained * sizeof(float);
    int lora = train && !study->model.lora.targets && fits(study, tokens, 1, 1, bytes + moments);
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

/* Whether the planned memory is more than there is. */
static int check_memory(const Study *study, Error *error)
{
    const Device *device = study->backend.device;
    size_t room = device->memory(),
           needed = fixed_bytes(study) + study->work.acts_bytes + study->work.scratch_bytes +
                    batch_bytes(&study->model, study->work.max_tokens, study->work.max_sequences);
    if (needed <= room) {
        return 0;
    }
    char text[ADVICE_TEXT], wanted[BYTES_TEXT], there[BYTES_TEXT];
    advise(text, study, room);
    return error_set(error, EXIT_NO_MEMORY,
                     "this run needs %s of memory, the %s has room for %s; %s",
                     bytes_text(wanted, needed), device->start ? "device" : "machine",
                     bytes_text(there, room), text);
}

/* Every op of a run is planned: one that is missing is refused now, and a variant of none of them.
 */
static int plan_ops(Study *study, Error *error)
{
    Backend *backend = &study->backend;
    State state = state_of_addresses(&study->model, study->work.memory);
    int code = 0;
    watch_begin(backend, WATCH_PLAN);
    workspace_call_ops(&study->work, &study->model);
    if (study->steps) {
        state_reset(&state, &study->model);
        StepSums sums;
        code = optim_step(&state, &study->model, &study->recipe.optim, 0, &sums, error);
    }
    watch_end(backend, WATCH_PLAN);
    return code ? code : backend_check_plan(backend, error);
}

int study_plan(Study *study, const uint64_t *data_seeds, int count, Error *error)
{
    Recipe *r = &study->recipe;
    int examples = study->train.count, micro = option_count(study->options->micro_batch);
    study->micro = micro && micro < r->batch ? micro : r->batch;
    study->steps_per_epoch = (examples - 1) / r->batch + 1;
    double steps = ceil(r->epochs * study->steps_per_epoch);
    if (!(r->max_steps && r->epochs > 0) && steps > MOST_STEPS) {
        return error_set(error, EXIT_USAGE,
                         "--epochs %g: with batch %d and %d examples that makes %.0f steps, at "
                         "most %d can be counted; lower it",
                         r->epochs, r->batch, examples, steps, MOST_STEPS);
    }
    study->steps = r->max_steps && r->epochs > 0 ? r->max_steps : (int)steps;
    uint64_t places[3] = {0}, perturbed[3] = {0};
    int until = option_places(places, study->options->trace_until) ? (int)places[0] : 0;
    study->stop = until ? until : study->steps;
    if (until > study->steps) {
        return error_set(error, EXIT_USAGE, "--trace-until %d: the run has %d steps", until,
                         study->steps);
    }
    (void)option_places(perturbed, study->options->perturb);
    if (perturbed[0] > (uint64_t)study->steps) {
        return error_set(error, EXIT_USAGE, "--perturb %s: the run has %d steps",
                         study->options->perturb, study->steps);
    }
    study->warmup = schedule_warmup(r->warmup, study->steps);
    study->tokens = 0;
    int longest = int_max(study->train_ids.longest, study->dev_ids.longest),
        sequences = study->micro * study->train_ids.choices,
        most = longest * study->dev_ids.choices; /* tokens of a pass */
    int *order = memory_alloc((size_t)examples, sizeof *order);
    size_t largest = 0; /* tokens of a whole step */
    for (int s = 0; s < count && largest <= MOST_TOKENS; s++) {
        for (int step = 0; step < study->steps && largest <= MOST_TOKENS; step++) {
            StepRange range = step_range(study, step);
            if (range.first == 0) {
                epoch_order(order, examples, data_seeds[s], range.epoch);
            }
            size_t whole = 0;
            for (int at = range.first; at < range.end; at += study->micro) {
                int n = int_min(study->micro, range.end - at);
                size_t tokens = encoded_tokens(&study->train_ids, order, at, n);
                whole += tokens;
                most = tokens <= MOST_TOKENS ? int_max(most, (int)tokens) : most;
                study->tokens += s == 0 ? (long)tokens : 0;
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
    study->state_bytes = state_bytes(&study->model, study->steps > 0,
                                     study->options->save && r->select_best);
    study->frozen_bytes = model_frozen_bytes(&study->model, study->model_folder);
    if (workspace_plan(&study->work, &study->model, most, sequences, longest, study->steps > 0,
                       study->options->recompute != NULL, error) ||
        check_memory(study, error)) {
        return error->code;
    }
    memory_advice = (MemoryAdvice){advise, study};
    workspace_alloc(&study->work, &study->model);
    batch_init(&study->batch, &study->model, most, sequences);
    return plan_ops(study, error);
}
