#include "schedule.h"
#include "scalar.h"

double schedule_factor(Schedule schedule, int step, int warmup, int steps)
{
    if (step < warmup) {
        return (double)step / (double)warmup;
    }
    if (schedule == SCHEDULE_CONSTANT) {
        return 1.0;
    }
    int decay = steps > warmup ? steps - warmup : 1;
    double left = step < steps ? (double)(steps - step) / (double)decay : 0.0;
    if (schedule == SCHEDULE_LINEAR) {
        return left;
    }
    return 0.5 * (1.0 + (double)scalar_cos(0x1.921fb6p+1f * (float)(1.0 - left)));
}

int schedule_warmup(double warmup, int steps)
{
    if (warmup >= 1.0) {
        return (int)warmup;
    }
    int whole = (int)(warmup * steps);
    return whole < warmup * steps ? whole + 1 : whole;
}
