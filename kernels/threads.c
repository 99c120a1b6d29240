/* Threads on a machine that others use too; threads.h says why. */
#define _GNU_SOURCE
#include "threads.h"
#include "base.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Nanoseconds. On a busy machine the wait for a thread can be a slice of the scheduler, some
 * milliseconds; an op that gives each thread more than that is still faster with all of them. */
enum { BUSY_GRAIN = 5000000 };

/* Seconds between looks, and the first and the longest time from a smaller team to the next try of
 * a larger one. */
static const double LOOK = 0.02, FIRST_HOLD = 1.0, LONGEST_HOLD = 30.0;

/* So many involuntary switches in so many seconds of processor time are a busy machine: 60 a
 * second. A slice of a contested core is 1 to 12 ms, which makes 80 to 1000; alone there are about
 * 20 (the kernel's own threads), so 15 of them in a quarter of a second are no chance. */
enum { SWITCHES = 15 };
static const double JUDGED = 0.25;

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
    return cores;
}

static double read_number(const char *folder, const char *name)
{
    char *path = string_format("%s/%s", folder, name);
    double number = -1;
    FILE *file = fopen(path, "re");
    free(path);
    if (file) {
        if (fscanf(file, "%lf", &number) != 1) {
            number = -1;
        }
        fclose(file);
    }
    return number;
}

/* The same from cgroup v1's two files. */
static double read_cfs_quota(const char *folder)
{
    double quota = read_number(folder, "cpu.cfs_quota_us"),
           period = read_number(folder, "cpu.cfs_period_us");
    return quota > 0 && period > 0 ? quota / period : -1;
}

/* The smaller of two quotas, of which -1 is none. */
static double smaller(double a, double b)
{
    return b > 0 && (a < 0 || b < a) ? b : a;
}

/* The smallest quota from root + path up to root itself. Inside of a container the path of
 * /proc/self/cgroup may be the host's, whose folder is not there: then root's own files count. */
static double smallest_quota(const char *root, const char *path, double (*read)(const char *))
{
    char *folder = string_format("%s%s", root, path);
    double smallest = -1;
    for (size_t length = strlen(folder);; length--) {
        if (!folder[length] || folder[length] == '/') {
            folder[length] = 0;
            smallest = smaller(smallest, read(folder));
        }
        if (length <= strlen(root)) {
            free(folder);
            return smallest;
        }
    }
}

double threads_quota(const char *cgroups, const char *mount)
{
    char line[4096];
    double smallest = -1;
    FILE *file = fopen(cgroups, "re");
    while (file && fgets(line, sizeof line, file)) { /* "ID:CONTROLLERS:PATH" */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'),
             *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) {
            continue;
        }
        *path++ = 0;
        controllers++;
        double cores = -1;
        char list[256];
        snprintf(list, sizeof list, ",%s,", controllers);
        if (!*controllers) {
            cores = smallest_quota(mount, path, read_cpu_max);
        } else if (strstr(list, ",cpu,")) {
            static const char *const names[] = {"cpu", "cpu,cpuacct", "cpuacct,cpu"};
            for (int i = 0; i < 3 && cores < 0; i++) {
                char *root = string_format("%s/%s", mount, names[i]);
                cores = smallest_quota(root, path, read_cfs_quota);
                free(root);
            }
        }
        smallest = smaller(smallest, cores);
    }
    if (file) {
        fclose(file);
    }
    return smallest;
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

void pace_adjust(Pace *pace, int threads, double now, double cpu, long preempted)
{
    if (!pace->team) {
        pace->team = threads;
        pace->hold = FIRST_HOLD;
        pace->cpu = cpu;
        pace->preempted = preempted;
    } else if (cpu - pace->cpu >= JUDGED || preempted - pace->preempted >= SWITCHES) {
        int busy = preempted - pace->preempted >= SWITCHES;
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
        pace->preempted = preempted;
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
                    usage.ru_nivcsw);
    }
    size_t most = (size_t)threads, team = (size_t)pace->team, worth = cost / pace->grain;
    if (team < most && cost / most >= BUSY_GRAIN) {
        team = most;
    }
    return (int)(worth < team ? worth : team);
}
