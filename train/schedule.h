/* Learning-rate schedules, as transformers' get_*_schedule_with_warmup. */
#ifndef SCHEDULE_H
#define SCHEDULE_H

typedef enum Schedule { SCHEDULE_LINEAR, SCHEDULE_COSINE, SCHEDULE_CONSTANT } Schedule;

/* Factor of the peak rate for update `step` of `steps` (from 0): step / warmup while warming up;
 * then linear or cosine to 0 at `steps`, or 1. */
double schedule_factor(Schedule schedule, int step, int warmup, int steps);

/* warmup below 1 is a ratio of the steps, rounded up; else a number of steps. */
int schedule_warmup(double warmup, int steps);

#endif
