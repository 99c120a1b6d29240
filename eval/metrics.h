/* Task metrics with scikit-learn's conventions. */
#ifndef METRICS_H
#define METRICS_H

#include <stddef.h>

/* Counts of (label, prediction) over the N labelled examples; predictions of -1 count as wrong. */
typedef struct Confusion {
    int K;
    size_t N, correct;
    size_t *label;     /* [K] examples of each class */
    size_t *predicted; /* [K] predictions of each class */
    size_t *both;      /* [K] right ones */
} Confusion;

/* Labels and predictions are in [-1, K); an example with a hidden label (-1) has no part in
 * it. The caller frees with confusion_free. */
void confusion_count(Confusion *confusion, const int *labels, const int *predictions, size_t N,
                     int K);
void confusion_free(Confusion *confusion);

double metric_accuracy(const Confusion *confusion);
/* Matthews' correlation for K classes (Gorodkin 2004); 0 where undefined, as sklearn. */
double metric_mcc(const Confusion *confusion);
/* F1 of one class; 0 where undefined. And its mean over the K declared classes. */
double metric_f1(const Confusion *confusion, int class);
double metric_macro_f1(const Confusion *confusion);
/* Share of the most frequent label. */
double metric_majority(const Confusion *confusion);

/* Correlations of n pairs; NaN where undefined (constant input, n < 2, values that are not finite).
 * Spearman uses average ranks. */
double metric_pearson(const double *x, const double *y, size_t n);
double metric_spearman(const double *x, const double *y, size_t n);

/* Mean absolute error; NaN for n = 0. */
double metric_mae(const double *x, const double *y, size_t n);

/* MultiRC (Khashabi et al. 2018): F1 over all answers, the share of questions with every answer
 * right, the mean F1 of questions (0 where undefined, as Hugging Face's metric), and the harmonic
 * mean of mean precision and mean recall (1 where nothing was to be found). question [n] numbers
 * them in any order. */
typedef struct Multirc {
    double f1a, em, f1m, f1m_paper;
} Multirc;
Multirc metric_multirc(const int *question, const int *labels, const int *predictions, size_t n);

/* The questions by ids "p<paragraph>-q<question>-a<answer>". Returns 0, or -1 if one is no such. */
int multirc_questions(int *question, char *const *ids, size_t n);

/* AX-g's gender parity score (Wang et al. 2019): the share of minimal pairs whose two predictions are
 * the same. pair [n] numbers the pairs, whose halves stand side by side; a half alone is no pair, a
 * missing prediction the same as none. NaN without a pair. */
double metric_parity(const int *pair, const int *predictions, size_t n);

/* The metric of this name (pearson, spearman, mae) of values as the files hold them, or NaN for
 * another name. */
double metric_of_values(const char *name, const float *values, const float *targets, size_t n);

/* The metric of this name (accuracy, mcc, f1, macro-f1), or NaN for another name, or where no label is
 * known. f1 is that of class 1; the readers of files see to it that two classes are known. */
double metric_by_name(const char *name, const Confusion *confusion);

/* The same of labels and predictions, as confusion_count has them; f1a and em, MultiRC's, by the ids,
 * which may be NULL: NaN where they are not MultiRC's. */
double metric_of_classes(const char *name, char *const *ids, const int *labels,
                         const int *predictions, size_t N, int K);

/* Whether a metric is one of MultiRC's, which needs its ids. */
int metric_is_multirc(const char *name);

#endif
