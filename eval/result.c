#include "result.h"

#include <math.h>
#include <stdlib.h>

void put(json_t *object, const char *key, double value)
{
    json_object_set_new(object, key, isfinite(value) ? json_real(value + 0.0) : json_null());
}

void put_count(json_t *object, const char *key, size_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

json_t *seed_json(const char *digits)
{
    unsigned long long seed = strtoull(digits, NULL, 10);
    return seed <= INT64_MAX ? json_integer((json_int_t)seed) : json_text(digits);
}

const char *leveled(char out[32], const char *name, double level)
{
    (void)snprintf(out, 32, "%.16s%.6g", name, 100 * level);
    return out;
}

double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

json_t *real_list(const double *values, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, isfinite(values[i]) ? json_real(values[i] + 0.0) : json_null());
    }
    return list;
}

json_t *count_list(const size_t *values, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_integer((json_int_t)values[i]));
    }
    return list;
}

json_t *interval(double low, double high)
{
    double ends[2] = {low, high};
    return isfinite(low) && isfinite(high) ? real_list(ends, 2) : json_null();
}

double mean(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
    }
    return sum / (double)n;
}

/* Sum of squares about the mean. */
double squares(const double *x, size_t n)
{
    double m = mean(x, n), sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (x[i] - m) * (x[i] - m);
    }
    return sum;
}

double rounded(double value, int decimals)
{
    char text[32];
    if (!(fabs(value) < 1)) {
        return value;
    }
    (void)snprintf(text, sizeof text, "%.*f", decimals, value);
    return strtod(text, NULL) + 0.0;
}

int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
