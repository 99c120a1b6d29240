#include "metrics.h"
#include "base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void confusion_count(Confusion *c, const int *labels, const int *predictions, size_t N, int K)
{
    *c = (Confusion){.K = K};
    c->label = memory_calloc(3 * (size_t)K, sizeof *c->label);
    c->predicted = c->label + K;
    c->both = c->label + 2 * K;
    for (size_t i = 0; i < N; i++) {
        if (labels[i] < 0) {
            continue;
        }
        c->N++;
        c->label[labels[i]]++;
        if (predictions[i] >= 0) {
            c->predicted[predictions[i]]++;
            c->both[labels[i]] += labels[i] == predictions[i];
            c->correct += labels[i] == predictions[i];
        }
    }
}

void confusion_free(Confusion *c)
{
    free(c->label);
    *c = (Confusion){0};
}

double metric_accuracy(const Confusion *c)
{
    return c->N ? (double)c->correct / (double)c->N : NAN;
}

double metric_mcc(const Confusion *c)
{
    /* (correct N - sum label predicted) / sqrt((N^2 - sum predicted^2) (N^2 - sum label^2)); no
     * prediction is a class that no example has */
    double N = (double)c->N, cross = 0, label = 0, missing = N;
    for (int k = 0; k < c->K; k++) {
        missing -= (double)c->predicted[k];
    }
    double predicted = missing * missing;
    for (int k = 0; k < c->K; k++) {
        cross += (double)c->label[k] * (double)c->predicted[k];
        predicted += (double)c->predicted[k] * (double)c->predicted[k];
        label += (double)c->label[k] * (double)c->label[k];
    }
    double spread = (N * N - predicted) * (N * N - label);
    return spread > 0 ? ((double)c->correct * N - cross) / sqrt(spread) : 0.0;
}

double metric_f1(const Confusion *c, int class)
{
    size_t sum = c->label[class] + c->predicted[class];
    return sum ? 2.0 * (double)c->both[class] / (double)sum : 0.0;
}

double metric_macro_f1(const Confusion *c)
{
    double sum = 0;
    for (int k = 0; k < c->K; k++) {
        sum += metric_f1(c, k);
    }
    return sum / c->K;
}

double metric_majority(const Confusion *c)
{
    size_t most = 0;
    for (int k = 0; k < c->K; k++) {
        most = size_max(most, c->label[k]);
    }
    return c->N ? (double)most / (double)c->N : NAN;
}

static double pearson(const double *x, const double *y, size_t n)
{
    double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        mean_x += x[i] / (double)n;
        mean_y += y[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        double dx = x[i] - mean_x, dy = y[i] - mean_y;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    double r = n > 1 && xx > 0 && yy > 0 ? xy / (sqrt(xx) * sqrt(yy)) : NAN;
    return r > 1 ? 1 : r < -1 ? -1 : r;
}

static int constant(const double *x, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (x[i] != x[0]) {
            return 0;
        }
    }
    return 1;
}

double metric_pearson(const double *x, const double *y, size_t n)
{
    return constant(x, n) || constant(y, n) ? NAN : pearson(x, y, n);
}

typedef struct Ranked {
    double value;
    size_t index;
} Ranked;

static int by_value(const void *a, const void *b)
{
    double x = ((const Ranked *)a)->value, y = ((const Ranked *)b)->value;
    return (x > y) - (x < y);
}

/* Ranks from 1, ties share their mean. */
static double *ranks(const double *x, size_t n)
{
    Ranked *sorted = memory_alloc(n, sizeof *sorted);
    double *rank = memory_alloc(n, sizeof *rank);
    for (size_t i = 0; i < n; i++) {
        sorted[i] = (Ranked){x[i], i};
    }
    qsort(sorted, n, sizeof *sorted, by_value);
    for (size_t i = 0, j; i < n; i = j) {
        for (j = i; j < n && sorted[j].value == sorted[i].value; j++) {
        }
        for (size_t k = i; k < j; k++) {
            rank[sorted[k].index] = (double)(i + j + 1) / 2;
        }
    }
    free(sorted);
    return rank;
}

double metric_spearman(const double *x, const double *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i]) || isnan(y[i])) {
            return NAN;
        }
    }
    if (constant(x, n) || constant(y, n)) {
        return NAN;
    }
    double *a = ranks(x, n), *b = ranks(y, n), r = pearson(a, b, n);
    free(a);
    free(b);
    return r;
}

double metric_mae(const double *x, const double *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += fabs(x[i] - y[i]);
    }
    return n ? sum / (double)n : NAN;
}

typedef struct Answer {
    int question;
    int label, prediction;
} Answer;

static int by_question(const void *a, const void *b)
{
    int x = ((const Answer *)a)->question, y = ((const Answer *)b)->question;
    return (x > y) - (x < y);
}

Multirc metric_multirc(const int *question, const int *labels, const int *predictions, size_t n)
{
    Answer *answers = memory_alloc(n, sizeof *answers);
    for (size_t i = 0; i < n; i++) {
        answers[i] = (Answer){question[i], labels[i], predictions[i]};
    }
    qsort(answers, n, sizeof *answers, by_question);
    double questions = 0, whole = 0, f1 = 0, precision = 0, recall = 0;
    size_t hits = 0, sum = 0;
    for (size_t i = 0, j; i < n; i = j) {
        size_t found = 0, said = 0, there = 0, right = 0;
        for (j = i; j < n && answers[j].question == answers[i].question; j++) {
            found += answers[j].label == 1 && answers[j].prediction == 1;
            said += answers[j].prediction == 1;
            there += answers[j].label == 1;
            right += answers[j].label == answers[j].prediction;
        }
        questions++;
        whole += right == j - i;
        f1 += said + there ? 2 * (double)found / (double)(said + there) : 0;
        precision += said ? (double)found / (double)said : 1;
        recall += there ? (double)found / (double)there : 1;
        hits += found;
        sum += said + there;
    }
    free(answers);
    precision /= questions;
    recall /= questions;
    return (Multirc){
        .f1a = sum ? 2 * (double)hits / (double)sum : 0,
        .em = whole / questions,
        .f1m = f1 / questions,
        .f1m_paper = precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0};
}

double metric_parity(const int *pair, const int *predictions, size_t n)
{
    size_t pairs = 0, same = 0;
    for (size_t i = 1; i < n; i++) {
        if (pair[i] == pair[i - 1]) {
            pairs++;
            same += predictions[i] == predictions[i - 1] && predictions[i] >= 0;
        }
    }
    return pairs ? (double)same / (double)pairs : NAN;
}

int multirc_questions(int *question, char *const *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned paragraph, number, answer;
        if (sscanf(ids[i], "p%5u-q%4u-a%u", &paragraph, &number, &answer) != 3) {
            return -1;
        }
        question[i] = (int)(paragraph * 10000 + number);
    }
    return 0;
}

int metric_is_multirc(const char *name)
{
    return !strcmp(name, "f1a") || !strcmp(name, "em");
}

static double of_questions(const char *name, char *const *ids, const int *labels,
                           const int *predictions, size_t N)
{
    int *question = memory_alloc(N, sizeof *question);
    double metric = NAN;
    if (ids && !multirc_questions(question, ids, N)) {
        Multirc m = metric_multirc(question, labels, predictions, N);
        metric = *name == 'e' ? m.em : m.f1a;
    }
    free(question);
    return metric;
}

double metric_by_name(const char *name, const Confusion *c)
{
    return !c->N                              ? NAN
           : !strcmp(name, "accuracy")        ? metric_accuracy(c)
           : !strcmp(name, "mcc")             ? metric_mcc(c)
           : !strcmp(name, "f1") && c->K >= 2 ? metric_f1(c, 1)
           : !strcmp(name, "macro-f1")        ? metric_macro_f1(c)
                                              : NAN;
}

double metric_of_classes(const char *name, char *const *ids, const int *labels,
                         const int *predictions, size_t N, int K)
{
    Confusion c;
    confusion_count(&c, labels, predictions, N, K);
    double metric = c.N && metric_is_multirc(name) ? of_questions(name, ids, labels, predictions, N)
                                                   : metric_by_name(name, &c);
    confusion_free(&c);
    return metric;
}

double metric_of_values(const char *name, const float *values, const float *targets, size_t n)
{
    double *x = memory_alloc(n, sizeof *x), *y = memory_alloc(n, sizeof *y);
    for (size_t i = 0; i < n; i++) {
        x[i] = (double)values[i];
        y[i] = (double)targets[i];
    }
    double metric = !strcmp(name, "pearson")    ? metric_pearson(x, y, n)
                    : !strcmp(name, "spearman") ? metric_spearman(x, y, n)
                    : !strcmp(name, "mae")      ? metric_mae(x, y, n)
                                                : NAN;
    free(x);
    free(y);
    return metric;
}
