/* How many threads a process may use, how many pay at the moment, and the caches of their cores.
 *
 * A parallel op ends when its slowest thread does. Where other processes use the same cores, one of
 * the threads often waits for its turn, and the others wait for it at every op: thousands of
 * times a second for a small model, so two threads can be thirty times slower than one. The pace
 * looks every 50 milliseconds how long threads of this process waited for a core, and gives short ops
 * fewer threads while they do. docs/BENCH.md has the figures. */
#ifndef THREADS_H
#define THREADS_H

#include <stddef.h>

/* Cores that this process may keep busy: those of its affinity mask, but no more than the CPU quota
 * of its cgroups (v1 and v2, the smallest of the path) rounded down; at least 1. */
int threads_available(void);

/* The smallest quota, in cores, that a file like /proc/self/cgroup names in the folders below a
 * mount like /sys/fs/cgroup; -1 for none. */
double threads_quota(const char *cgroups, const char *mount);

/* Bytes of a core's data cache of level 1 or 2, or what most have at least where the system does not
 * say: 32 KiB, 512 KiB. */
size_t cache_bytes(int level);

/* Nanoseconds: a thread more costs its waking and a wait at the end, so its share of an op must be
 * worth that. */
enum { PACE_GRAIN = 5000 };

/* What a backend remembers of its threads; all zero at first but for grain. Times are of
 * clock_seconds. */
typedef struct Pace {
    size_t grain;       /* least share of a thread; 0: all threads for every op, as tests want */
    int team;           /* threads that short ops get; 0: not looked yet */
    double look, retry; /* when to look again, and to try a larger team */
    double hold;        /* seconds from a smaller team to the next try */
    double cpu;         /* seconds of processor time of all threads at the last look */
    double waited;      /* seconds that they waited for a core until then */
} Pace;

/* Threads, from 1 to threads, for an op that costs one thread so many nanoseconds. */
int pace_threads(Pace *pace, int threads, size_t cost);

/* What pace_threads does with what it sees at a look: processor time of the process so far, and for
 * how long its threads were ready to run and had no core. */
void pace_adjust(Pace *pace, int threads, double now, double cpu, double waited);

#endif
