/* One run: from the seeds to the prediction file. The step, in order: pack, forward, loss, backward
 * for every micro-batch; then norm, clipping and AdamW. */
#include "metrics.h"
#include "output.h"
#include "progress.h"
#include "study.h"
#include "version.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Predictions of one evaluation. */
typedef struct Evaluation {
    float *logits; /* [count, K] */
    int *pred;     /* [count] */
    double metric, majority, loss;
    int collapsed, epoch;
} Evaluation;

typedef struct Run {
    Study *study;
    const Seeds *seeds;
    Packed packed;
    float *losses; /* [micro] */
    Optim optim;
    Evaluation now, kept; /* the last one; the one to write */
    float *best_weights;  /* with --select best and --save */
    Progress progress;
    double train_loss, terms; /* of the epoch */
    int step, epoch;
} Run;

/* Packs as many examples as the planned memory takes: companions change no bit. */
static int fitting(const Study *study, const Encoded *encoded, int first)
{
    int count = 0, tokens = 0, most = study->model.max_sequences / encoded->choices;
    while (first + count < encoded->dataset->count && count < most) {
        int more = (int)pack_tokens(encoded, NULL, first + count, 1);
        if (count && tokens + more > study->max_tokens) {
            break;
        }
        tokens += more;
        count++;
    }
    return count;
}

static Batch batch_of(const Packed *p)
{
    return (Batch){p->N, p->B, p->tokens, p->types, p->cu_seqlens, p->slots, p->labels, p->targets};
}

/* Terms of the loss of these examples: one each, or a language model's targets. */
static int terms_of(const Study *study, const Packed *packed)
{
    return study->task->kind == KIND_LANGUAGE ? packed->N - packed->B : packed->examples;
}

/* Losses that a pass gives: of examples, or of tokens, 0 without a target. */
static int losses_of(const Study *study, const Packed *packed)
{
    return study->task->kind == KIND_LANGUAGE ? packed->N : packed->examples;
}

static void score(const Study *study, Evaluation *e)
{
    const Dataset *dev = &study->dev;
    int K = study->task->K;
    if (study->task->kind == KIND_LANGUAGE) {
        e->metric = exp(e->loss);
        e->majority = NAN;
        return;
    }
    if (study->task->kind == KIND_REGRESSION) {
        float *target = memory_alloc((size_t)dev->count, sizeof *target);
        for (int i = 0; i < dev->count; i++) {
            target[i] = dev->examples[i].target;
        }
        e->metric = metric_of_values(metric_name(study->task->metric), e->logits, target,
                                     (size_t)dev->count);
        e->majority = NAN;
        e->collapsed = isnan(e->metric);
        free(target);
        return;
    }
    int *label = memory_alloc((size_t)dev->count, sizeof *label);
    e->collapsed = 1;
    for (int i = 0; i < dev->count; i++) {
        const float *z = e->logits + (size_t)i * (size_t)K;
        int best = 0;
        for (int k = 1; k < K; k++) {
            best = z[k] > z[best] ? k : best; /* ties go to the smaller class */
        }
        e->pred[i] = best;
        label[i] = dev->examples[i].label;
        e->collapsed = e->collapsed && best == e->pred[0];
    }
    Confusion confusion;
    confusion_count(&confusion, label, e->pred, (size_t)dev->count, K);
    e->metric = metric_by_name(metric_name(study->task->metric), &confusion);
    e->majority = metric_majority(&confusion);
    confusion_free(&confusion);
    free(label);
}

static int evaluate(Run *run, Evaluation *e, Error *error)
{
    Study *study = run->study;
    const Encoded *dev = &study->dev_ids;
    Step step = {.train = 0};
    size_t K = (size_t)study->task->K;
    double loss = 0, terms = 0;
    for (int first = 0, count; first < study->dev.count; first += count) {
        count = fitting(study, dev, first);
        pack(&run->packed, dev, NULL, first, count, 0);
        Batch batch = batch_of(&run->packed);
        const float *logits = model_forward(&study->model, &batch, &step);
        if (logits) {
            memcpy(e->logits + (size_t)first * K, logits, (size_t)count * K * sizeof *logits);
        }
        model_loss(&study->model, &batch, &step, run->losses, 0.0f, 0);
        for (int i = 0; i < losses_of(study, &run->packed); i++) {
            loss += (double)run->losses[i];
        }
        terms += terms_of(study, &run->packed);
    }
    e->loss = loss / terms;
    if (!isfinite(e->loss)) {
        return error_set(error, EXIT_DIVERGED,
                         "step %d: the dev loss is not finite; nothing was written, lower --lr or "
                         "set --clip",
                         run->step);
    }
    e->epoch = run->epoch;
    score(study, e);
    return 0;
}

/* Remembers the first activation or gradient that is not finite. */
typedef struct Culprit {
    char name[48];
} Culprit;

static void find_culprit(void *user, const char *name, const float *x, int rows, int columns)
{
    Culprit *culprit = user;
    for (size_t i = 0; !*culprit->name && i < (size_t)rows * (size_t)columns; i++) {
        if (!isfinite(x[i])) {
            snprintf(culprit->name, sizeof culprit->name, "%s", name);
        }
    }
}

static int diverged(Run *run, const Step *step, const char *what, Error *error)
{
    Model *model = &run->study->model;
    Culprit culprit = {""};
    const char *gradient = optim_find_nonfinite(model);
    Batch batch = batch_of(&run->packed);
    model->observe = find_culprit;
    model->observe_user = &culprit;
    model_forward(model, &batch, step);
    model->observe = NULL;
    const char *first = *culprit.name ? culprit.name : gradient ? gradient : "their sum of squares";
    return error_set(error, EXIT_DIVERGED,
                     "step %d: the %s is not finite; first in %s%s; nothing was written, lower "
                     "--lr or set --clip",
                     run->step + 1, what, *culprit.name || !gradient ? "" : "the gradient of ",
                     first);
}

/* One optimizer step on examples [first, end) of the order. */
static int train_step(Run *run, const int *order, int first, int end, Error *error)
{
    Study *study = run->study;
    Model *model = &study->model;
    Step step = {.train = 1, .step = (uint32_t)run->step, .seed_dropout = run->seeds->dropout};
    double loss = 0;
    long tokens = 0;
    int terms = end - first;
    if (study->task->kind == KIND_LANGUAGE) {
        terms = (int)pack_tokens(&study->train_ids, order, first, end - first) - (end - first);
    }
    for (int at = first; at < end; at += study->micro) {
        int count = end - at < study->micro ? end - at : study->micro;
        pack(&run->packed, &study->train_ids, order, at, count, at - first);
        Batch batch = batch_of(&run->packed);
        model_forward(model, &batch, &step);
        model_loss(model, &batch, &step, run->losses, 1.0f / (float)terms, 1);
        for (int i = 0; i < losses_of(study, &run->packed); i++) {
            loss += (double)run->losses[i];
        }
        tokens += run->packed.N;
        if (!isfinite(loss)) {
            return diverged(run, &step, "loss", error);
        }
    }
    double lr = study->recipe.lr *
                schedule_factor(study->recipe.schedule, run->step, study->warmup, study->steps);
    double norm = optim_step(&run->optim, model, lr);
    if (!isfinite(norm)) {
        return diverged(run, &step, "gradient norm", error);
    }
    run->train_loss += loss;
    run->step++;
    run->terms += terms;
    return progress_step(&run->progress, run->step, loss / terms, norm, lr, tokens, error);
}

/* NaN is worse than any number; a lower perplexity is better. */
static int better(const Study *study, double a, double b)
{
    return isnan(b) ? !isnan(a) : study->task->metric == METRIC_PERPLEXITY ? a < b : a > b;
}

static void keep(Run *run)
{
    Study *study = run->study;
    size_t count = (size_t)study->dev.count, K = (size_t)study->task->K;
    Evaluation *kept = &run->kept;
    float *logits = kept->logits;
    int *pred = kept->pred;
    *kept = run->now;
    kept->logits = memcpy(logits, run->now.logits, count * K * sizeof *logits);
    kept->pred = memcpy(pred, run->now.pred, count * sizeof *pred);
    if (run->best_weights) {
        memcpy(run->best_weights, study->model.params.weights,
               study->model.params.trained * sizeof(float));
    }
}

static int train(Run *run, Error *error)
{
    Study *study = run->study;
    int examples = study->train.count, every = option_count(study->options->eval_every), code = 0,
        evaluated = 0;
    int *order = memory_alloc((size_t)examples, sizeof *order);
    for (run->epoch = 0; run->step < study->steps && !code; run->epoch++) {
        run->train_loss = run->terms = 0;
        epoch_order(order, examples, run->seeds->data, run->epoch);
        for (int first = 0; first < examples && run->step < study->steps && !code;
             first += study->recipe.batch) {
            int end = examples - first < study->recipe.batch ? examples
                                                             : first + study->recipe.batch;
            code = train_step(run, order, first, end, error);
        }
        run->train_loss /= run->terms > 0 ? run->terms : 1;
        if (!code && (run->step == study->steps || (every && (run->epoch + 1) % every == 0))) {
            code = evaluate(run, &run->now, error);
            if (!code) {
                code = progress_epoch(&run->progress, run->epoch + 1, run->train_loss,
                                      run->now.loss, metric_name(study->task->metric),
                                      run->now.metric, error);
                if (!study->recipe.select_best || !evaluated ||
                    better(study, run->now.metric, run->kept.metric)) {
                    keep(run);
                }
                evaluated = 1;
            }
        }
    }
    free(order);
    if (!code && !study->steps) { /* evaluate only */
        code = evaluate(run, &run->now, error);
        if (!code) {
            keep(run);
        }
    }
    return code;
}

static json_t *number_text(const char *format, double value)
{
    char text[64];
    snprintf(text, sizeof text, format, value);
    return json_string(text);
}

/* Nothing that may differ between two equal runs has a place in the file: no time, no thread count.
 */
static json_t *metadata(const Run *run)
{
    const Study *study = run->study;
    const Task *task = study->task;
    json_t *hparams = recipe_json(&study->recipe, run->seeds), *names = json_array(),
           *m = json_object();
    char digest[65], *text = json_canonical(hparams);
    recipe_sha256(digest, hparams);
    for (int k = 0; k < task->K; k++) {
        json_array_append_new(names, json_string(task->labels[k]));
    }
    char *label_names = json_canonical(names), epoch[32];
    snprintf(epoch, sizeof epoch, "epoch:%d", run->kept.epoch + 1);
    static const char *const problems[] = {"single", "multichoice",
                                           "regression"}; /* lm writes none */
    const struct {
        const char *key, *value;
    } fields[] = {
        {"benchmark", task->benchmark},
        {"task", task->name},
        {"split", "validation"},
        {"model", study->model_name},
        {"model_sha256", study->model_sha256},
        {"adapter", study->recipe.lora.targets ? "lora" : "full"},
        {"adapter_sha256", study->recipe.start},
        {"label_names", label_names},
        {"problem", problems[task->kind]},
        {"metric", metric_name(task->metric)},
        {"dataset", study->builtin ? "builtin sample" : task->folder},
        {"dataset_sha256", study->dev.sha256},
        {"train_sha256", study->train.sha256},
        {"tokenizer_sha256", tokenizer_sha256(study->tokenizer)},
        {"hparams", text},
        {"recipe_sha256", digest},
        {"checkpoint", study->recipe.select_best ? epoch : "last"},
        {"status", "ok"},
        {"device", "cpu"},
        {"arithmetic", "exact"},
        {"kernels", study->backend.variants},
        {"kernels_sha256", kernels_sha256()},
        {"tool_version", TOOL_VERSION},
        {"git_commit", git_commit()},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        json_object_set_new(m, fields[i].key, json_text(fields[i].value));
    }
    static const char *const seeds[] = {"seed", "seed_init", "seed_data", "seed_dropout"};
    for (int i = 0; i < 4; i++) {
        json_object_set(m, seeds[i], json_object_get(hparams, seeds[i]));
    }
    json_object_set_new(m, "max_len", number_text("%.0f", study->recipe.max_len));
    json_object_set_new(m, "steps", number_text("%.0f", run->step));
    json_object_set_new(m, "final_train_loss", number_text("%.9g", run->train_loss));
    free(text);
    free(label_names);
    json_decref(names);
    json_decref(hparams);
    return m;
}

char *study_output(const Study *study, const Seeds *s)
{
    char seed[80], digest[65];
    json_t *hparams = recipe_json(&study->recipe, s);
    recipe_sha256(digest, hparams);
    json_decref(hparams);
    if (s->seed == s->init && s->seed == s->data && s->seed == s->dropout) {
        snprintf(seed, sizeof seed, "s%llu", (unsigned long long)s->seed);
    } else {
        snprintf(seed, sizeof seed, "s%llu-%llu-%llu", (unsigned long long)s->init,
                 (unsigned long long)s->data, (unsigned long long)s->dropout);
    }
    return string_format("%s/%s.%s.validation.%s.%.8s.%s", study->options->preds,
                         study->task->benchmark, study->task->name, study->model_name, digest,
                         seed);
}

static int write_predictions(Run *run, const char *path, Outcome *outcome, Error *error)
{
    Study *study = run->study;
    const Dataset *dev = &study->dev;
    size_t count = (size_t)dev->count;
    Preds preds = {.path = (char *)path,
                   .N = count,
                   .K = study->task->K,
                   .regression = study->task->kind == KIND_REGRESSION,
                   .pred = run->kept.pred,
                   .logits = run->kept.logits,
                   .metadata = metadata(run)};
    preds.label = memory_alloc(count, sizeof *preds.label);
    preds.target = memory_alloc(count, sizeof *preds.target);
    preds.id = memory_alloc(count, sizeof *preds.id);
    preds.cluster = dev->examples[0].cluster < 0 ? NULL : memory_alloc(count, sizeof(int));
    for (size_t i = 0; i < count; i++) {
        preds.label[i] = dev->examples[i].label;
        preds.target[i] = dev->examples[i].target;
        preds.id[i] = dev->examples[i].id;
        if (preds.cluster) {
            preds.cluster[i] = dev->examples[i].cluster;
        }
        preds.pred[i] = preds.regression ? -1 : preds.pred[i];
    }
    preds.value = preds.regression ? preds.logits : NULL;
    int code = output_write(&preds, &outcome->kept, &outcome->same, error);
    free(preds.label);
    free(preds.target);
    free(preds.id);
    free(preds.cluster);
    free(preds.hash);
    json_decref(preds.metadata);
    return code;
}

/* Weights from the file or the seed, moments and optimizer as new. */
static int reset(Run *run, Error *error)
{
    Study *study = run->study;
    Model *model = &study->model;
    optim_init(&run->optim, &study->recipe.optim);
    if (study->steps) {
        const Ops *ops = &study->backend.ops;
        ops->fill_zero(&study->backend.ctx, model->params.m, model->params.trained);
        ops->fill_zero(&study->backend.ctx, model->params.v, model->params.trained);
        model_zero_gradients(model);
    }
    return study_read_weights(study, run->seeds->init, error);
}

int study_run(Study *study, const Seeds *seeds, const char *save, Outcome *outcome, Error *error)
{
    Run run = {.study = study, .seeds = seeds};
    size_t count = (size_t)study->dev.count, K = (size_t)study->task->K;
    *outcome = (Outcome){0};
    char *name = study_output(study, seeds), *path = string_format("%s.bin", name),
         *log = string_format("%s.jsonl", name);
    if (save && study->recipe.select_best) {
        run.best_weights = arena_alloc(study->model.params.trained * sizeof(float));
    }
    packed_init(&run.packed, study->max_tokens, study->model.max_sequences);
    run.losses = memory_alloc((size_t)(study->max_tokens + study->model.max_sequences),
                              sizeof *run.losses);
    run.now.logits = memory_alloc(count * K, sizeof(float));
    run.kept.logits = memory_alloc(count * K, sizeof(float));
    run.now.pred = memory_calloc(count, sizeof(int));
    run.kept.pred = memory_calloc(count, sizeof(int));
    NameClaim claim = {NULL, -1}, save_claim = {NULL, -1};
    int code = reset(&run, error);
    if (!code) { /* before hours of training, but after everything that can be refused */
        const Options *o = study->options;
        code = folder_make(o->preds, error) || (o->save && folder_make(o->save, error))
                   ? error->code
                   : 0;
    }
    if (!code) {
        code = name_claim(&claim, path, error);
    }
    if (!code && save) {
        char *model = string_format("%s/model", save);
        code = folder_make(save, error) || name_claim(&save_claim, model, error) ? error->code : 0;
        free(model);
    }
    if (!code) {
        code = progress_open(&run.progress, study, seeds, log, error);
    }
    if (!code) {
        code = train(&run, error) || files_unchanged(error) ? error->code : 0;
        code = progress_close(&run.progress, code, error);
    }
    if (!code) {
        *outcome = (Outcome){.metric = run.kept.metric,
                             .majority = run.kept.majority,
                             .train_loss = run.train_loss,
                             .dev_loss = run.kept.loss,
                             .seconds = run.progress.seconds,
                             .collapsed = run.kept.collapsed};
        if (study->task->kind != KIND_LANGUAGE) {
            outcome->path = string_copy(path);
            code = write_predictions(&run, path, outcome, error);
        }
    }
    if (!code && save) {
        if (run.best_weights) {
            memcpy(study->model.params.weights, run.best_weights,
                   study->model.params.trained * sizeof(float));
        }
        code = study_save_weights(study, save, error);
    }
    name_release(&save_claim);
    name_release(&claim);
    if (code) {
        free(outcome->path);
        free(outcome->kept);
        *outcome = (Outcome){0};
    }
    arena_free(run.best_weights, study->model.params.trained * sizeof(float));
    packed_free(&run.packed);
    free(run.losses);
    free(run.now.logits);
    free(run.kept.logits);
    free(run.now.pred);
    free(run.kept.pred);
    free(name);
    free(path);
    free(log);
    return code;
}
