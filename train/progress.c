#include "progress.h"
#include "process.h"
#include "result.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Writes one line into the log. */
static int log_line(Progress *p, Error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int log_line(Progress *p, Error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int failed = vfprintf(p->log, format, arguments) < 0 || fflush(p->log);
    va_end(arguments);
    struct stat status;
    if (!failed && !fstat(fileno(p->log), &status) && !status.st_nlink) {
        return error_set(error, EXIT_IO, "cannot write %s: it was removed since; run again",
                         p->path);
    }
    return failed ? error_set_errno(error, "write", p->path) : 0;
}

/* Writes what an earlier log has behind its first line. */
static int copy_steps(Progress *p, const char *earlier, Error *error)
{
    File file;
    if (file_map(&file, earlier, error)) {
        return error->code;
    }
    const unsigned char *line = file.size ? memchr(file.bytes, '\n', file.size) : NULL;
    size_t size = line ? file.size - (size_t)(line + 1 - file.bytes) : 0;
    int failed = size && (fwrite(line + 1, 1, size, p->log) != size || fflush(p->log));
    int code = failed ? error_set_errno(error, "write", p->path) : 0;
    file_unmap(&file);
    return code;
}

int progress_open(Progress *p, const Setup *setup, const Seeds *seeds, const char *log,
                  const char *earlier, Error *error)
{
    p->setup = setup;
    p->path = log;
    p->terminal = isatty(STDERR_FILENO);
    p->quiet = setup->options->quiet != NULL;
    p->start = clock_seconds() - p->seconds;
    p->log = fopen(log, "we");
    if (!p->log) {
        return error_set_create(error, log);
    }
    process_last_words(fileno(p->log), "{\"event\":\"end\",\"code\":75}\n");
    json_t *hparams = recipe_json(&setup->recipe, seeds);
    char *text = json_canonical(hparams);
    const Backend *b = &setup->backend;
    int code = log_line(p, error,
                        "{\"event\":\"start\",\"task\":\"%s\",\"threads\":%d,\"simd\":\"%s\","
                        "\"library\":\"%s\",\"steps\":%d,\"hparams\":%s}\n",
                        setup->task->name, b->ctx.threads, b->ops.build,
                        b->library ? b->library : "", setup->steps, text);
    free(text);
    json_decref(hparams);
    code = code || (earlier && copy_steps(p, earlier, error)) ? error->code : 0;
    return code ? progress_close(p, code, error) : 0;
}

static void print_time(char out[16], double seconds)
{
    if (seconds < 3600) {
        snprintf(out, 16, "%d:%02d", (int)seconds / 60, (int)seconds % 60);
    } else {
        snprintf(out, 16, "%d:%02d:%02d", (int)(seconds / 3600) % 10000, (int)seconds / 60 % 60,
                 (int)seconds % 60);
    }
}

static void clear_line(const Progress *p)
{
    if (p->terminal && !p->quiet) {
        fputs("\r\033[K", stderr);
    }
}

int progress_step(Progress *p, int step, double loss, double norm, double lr, long tokens,
                  Error *error)
{
    double now = clock_seconds(), spent = now - p->start;
    int steps = p->setup->steps;
    p->tokens += tokens;
    p->loss = step == 1 ? loss : 0.95 * p->loss + 0.05 * loss;
    int code = log_line(p, error,
                        "{\"event\":\"step\",\"step\":%d,\"loss\":%.9g,\"grad_norm\":%.9g,"
                        "\"lr\":%.9g,\"tokens\":%ld,\"seconds\":%.3f}\n",
                        step, loss, norm, lr, tokens, spent);
    if (code || p->quiet || (now - p->shown < (p->terminal ? 0.1 : 30.0))) {
        return code;
    }
    if (!p->terminal && p->shown == 0) { /* the first line elsewhere comes after half a minute */
        p->shown = now;
        return 0;
    }
    p->shown = now;
    char left[16], bar[21];
    print_time(left, spent / step * (steps - step));
    for (int i = 0; i < 20; i++) {
        bar[i] = i < 20L * step / steps ? '#' : '.';
    }
    bar[20] = 0;
    clear_line(p);
    fprintf(stderr, "step %d/%d [%s] loss %.4f  %.0f tokens/s  %s left%s", step, steps, bar,
            p->loss, (double)p->tokens / spent, left, p->terminal ? "" : "\n");
    return 0;
}

/* A value of JSON. */
static void print_value(char text[32], double value)
{
    snprintf(text, 32, isfinite(value) ? "%.9g" : "null", value);
}

int progress_evaluation(Progress *p, const Evaluation *e, double train_loss, const char *metric,
                        Error *error)
{
    char text[32], half[64] = "";
    print_value(text, e->metric);
    if (p->setup->half.count) {
        char selection[32];
        print_value(selection, e->selection);
        snprintf(half, sizeof half, ",\"selection\":%s", selection);
    }
    int code = log_line(p, error,
                        "{\"event\":\"epoch\",\"epoch\":%d,\"train_loss\":%.9g,\"dev_loss\":%.9g,"
                        "\"step\":%d,\"metric\":\"%s\",\"value\":%s%s}\n",
                        e->epoch + 1, train_loss, e->loss, e->step, metric, text, half);
    if (!code && !p->quiet) {
        int steps = option_in_steps(p->setup->options->eval_every);
        clear_line(p);
        fprintf(stderr, "%s %d: train loss %.4f, dev loss %.4f, dev %s %.4f",
                steps ? "step" : "epoch", steps ? e->step : e->epoch + 1, train_loss, e->loss,
                metric, rounded(e->metric, 4));
        if (*half) {
            fprintf(stderr, ", on the half that selects %.4f", rounded(e->selection, 4));
        }
        fputc('\n', stderr);
    }
    return code;
}

int progress_early(Progress *p, int step, Error *error)
{
    return log_line(p, error, "{\"event\":\"early\",\"step\":%d,\"steps\":%d,\"patience\":%d}\n",
                    step, p->setup->steps, p->setup->recipe.patience);
}

int progress_further(Progress *p, const Dataset *dataset, const Evaluation *e, Error *error)
{
    char value[32], loss[32];
    print_value(value, e->metric);
    print_value(loss, e->loss);
    clear_line(p);
    return log_line(p, error,
                    "{\"event\":\"further\",\"task\":\"%s\",\"split\":\"%s\",\"loss\":%s,"
                    "\"metric\":\"%s\",\"value\":%s}\n",
                    dataset->task->name, dataset->split, loss, setup_metric(p->setup, dataset),
                    value);
}

int progress_close(Progress *p, int code, Error *error)
{
    p->seconds = clock_seconds() - p->start;
    clear_line(p);
    Error first = *error;
    int failed = log_line(
        p, error,
        "{\"event\":\"end\",\"code\":%d,\"seconds\":%.3f,\"tokens_per_second\":%.1f,"
        "\"peak_bytes\":%zu}\n",
        code, p->seconds, p->seconds > 0 ? (double)p->tokens / p->seconds : 0.0, memory_peak());
    process_last_words(-1, NULL);
    if (fclose(p->log) && !failed) {
        failed = error_set_errno(error, "write", p->path);
    }
    p->log = NULL;
    if (code) { /* what ended the run matters more */
        *error = first;
        return code;
    }
    return failed;
}
