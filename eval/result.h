/* Results as JSON objects: what is undefined is null. And the few sums that all
 * statistics share. */
#ifndef RESULT_H
#define RESULT_H

#include "json.h"

/* Sets a key; a value that is not finite becomes null, -0 becomes 0. */
void put(json_t *object, const char *key, double value);
void put_count(json_t *object, const char *key, size_t value);

/* A number of at most 20 digits as a JSON integer; as a text where JSON integers end (2^63). */
json_t *seed_json(const char *digits);

/* "SD_ci95" of "SD_ci" and 0.95: names of intervals say their level. */
const char *leveled(char out[32], const char *name, double level);

/* The number of this key, NaN if there is none. */
double number_of(const json_t *object, const char *key);

/* New lists, owned by the caller; interval is null if an end is not finite. */
json_t *real_list(const double *values, size_t n);
json_t *count_list(const size_t *values, size_t n);
json_t *interval(double low, double high);

/* Mean, and sum of squares about it, of n > 0 values. */
double mean(const double *x, size_t n);
double squares(const double *x, size_t n);

/* The value as it is shown with so many decimals; 0 has no sign. */
double rounded(double value, int decimals);

/* For qsort of doubles. */
int by_size(const void *a, const void *b);

#endif
