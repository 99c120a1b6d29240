/* Threads on a machine that others use too; threads.h says why. */
#define _GNU_SOURCE
#include "threads.h"
#include "base.h"
#include "cgroup.h"

#include <dirent.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Nanoseconds. On a busy machine the wait for a thread can be a slice of the scheduler, some
 * milliseconds; an op that gives each thread more than that is still faster with all of them. */
enum { BUSY_GRAIN = 5000000 };

/* Seconds between looks, and the first and the longest time from a smaller team to the next try of
 * a larger one. */
static const double LOOK = 0.05, FIRST_HOLD = 1.0, LONGEST_HOLD = 30.0;

/* Threads that waited for a core for this share of the time that they ran are a busy machine; judged
 * after so many seconds of processor time. On a contested core it is a half and more, alone a hundredth
 * (the kernel's own threads). */
static const double BUSY = 0.1, JUDGED = 0.25;

/* "QUOTA PERIOD" or "max PERIOD" of cgroup v2's cpu.max: cores, or -1 for no limit. */
static double read_cpu_max(const char *folder)
{
    char *path = string_format("%s/cpu.max", folder), quota[32];
    double period = 0, cores = -1;
    FILE *file = fopen(path, "re");
    free(path);
    if (file) {
        if (fscanf(file, "%31s %lf", quota, &period) == 2 && period > 0 && *quota != 'm') {
            cores = strtod(quota, NULL) / period;
        }
        fclose(file);
    }
    return cores > 0 ? cores : -1;
}

/* The same from cgroup v1's two files. */
static double read_cfs_quota(const char *folder)
{
    double quota = cgroup_number(folder, "cpu.cfs_quota_us"),
           period = cgroup_number(folder, "cpu.cfs_period_us");
    return quota > 0 && period > 0 ? quota / period : -1;
}

double threads_quota(const char *cgroups, const char *mount)
{
    static const CgroupLimit limit = {
        {"cpu", "cpu,cpuacct", "cpuacct,cpu"}, read_cpu_max, read_cfs_quota};
    return cgroup_smallest(&limit, cgroups, mount);
}

int threads_available(void)
{
    int cores = omp_get_num_procs(); /* of the affinity mask */
    double quota = threads_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota > 0 && quota < cores) {
        cores = quota < 1 ? 1 : (int)quota;
    }
    return cores;
}

size_t cache_bytes(int level)
{
    long bytes = sysconf(level == 1 ? _SC_LEVEL1_DCACHE_SIZE : _SC_LEVEL2_CACHE_SIZE);
    long least = level == 1 ? 16 << 10 : 128 << 10, usual = level == 1 ? 32 << 10 : 512 << 10;
    return (size_t)(bytes < least ? usual : bytes);
}

/* Seconds that all threads of this process were ready to run and waited for a core, or, from a
 * kernel that does not say, a guess: an involuntary switch costs 1.7 ms, so that 60 in a second are a
 * busy machine. */
static double seconds_waited(const struct rusage *usage)
{
    DIR *tasks = opendir("/proc/self/task");
    double waited = 0;
    int known = 0;
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        char path[sizeof task->d_name + 32];
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", task->d_name);
        FILE *file = *task->d_name == '.' ? NULL : fopen(path, "re");
        double ran, nanoseconds;
        if (file && fscanf(file, "%lf %lf", &ran, &nanoseconds) == 2) {
            waited += 1e-9 * nanoseconds;
            known = 1;
        }
        if (file) {
            fclose(file);
        }
    }
    if (tasks) {
        closedir(tasks);
    }
    return known ? waited : BUSY / 60 * (double)usage->ru_nivcsw;
}

void pace_adjust(Pace *pace, int threads, double now, double cpu, double waited)
{
    double ran = cpu - pace->cpu, stood = waited - pace->waited;
    if (!pace->team) {
        pace->team = threads;
        pace->hold = FIRST_HOLD;
        pace->cpu = cpu;
        pace->waited = waited;
    } else if (ran >= JUDGED || stood >= BUSY * JUDGED) {
        int busy = stood >= BUSY * fmax(ran, JUDGED);
        if (busy && pace->team > 1) {
            pace->team /= 2;
            pace->retry = now + pace->hold;
            pace->hold = pace->hold < LONGEST_HOLD / 2 ? 2 * pace->hold : LONGEST_HOLD;
        } else if (pace->team < threads && now >= pace->retry) {
            pace->team = 2 * pace->team < threads ? 2 * pace->team : threads;
        } else if (!busy && pace->team == threads && now >= pace->retry + pace->hold) {
            pace->hold = FIRST_HOLD; /* the last try has lasted */
        }
        pace->cpu = cpu;
        pace->waited = waited;
    }
    pace->look = now + LOOK;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + 1e-6 * (double)time.tv_usec;
}

int pace_threads(Pace *pace, int threads, size_t cost)
{
    if (cost < 2 * pace->grain) {
        return 1;
    }
    if (!pace->grain) {
        return threads;
    }
    double now = clock_seconds();
    if (now >= pace->look) {
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        pace_adjust(pace, threads, now, seconds(usage.ru_utime) + seconds(usage.ru_stime),
                    seconds_waited(&usage));
    }
    size_t most = (size_t)threads, team = (size_t)pace->team, worth = cost / pace->grain;
    if (team < most && cost / most >= BUSY_GRAIN) {
        team = most;
    }
    return (int)(worth < team ? worth : team);
}
