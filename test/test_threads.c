/* The number of threads: quotas of cgroups from files of our own, and the pace on machines that are
 * calm, busy, busy for a while, or that only starve this process. No op is run and no clock is
 * read. */
#include "check.h"
#include "base.h"
#include "threads.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Writes folder/name and the folders above it. */
static void put(const char *name, const char *text)
{
    char *path = scratch_path(name);
    for (char *c = path + strlen(scratch_folder()) + 1; *c; c++) {
        if (*c == '/') {
            *c = 0;
            mkdir(path, 0777);
            *c = '/';
        }
    }
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file)) {
        perror(path);
        exit(1);
    }
    free(path);
}

static void check_quota(const char *cgroups, double expected)
{
    put("self", cgroups);
    char *self = scratch_path("self"), *mount = scratch_path("mount");
    double quota = threads_quota(self, mount);
    CHECK(fabs(quota - expected) < 1e-12, "cgroups '%s': quota %g, expected %g", cgroups, quota,
          expected);
    free(self);
    free(mount);
}

static void check_memory(const char *cgroups, double expected)
{
    put("self", cgroups);
    char *self = scratch_path("self"), *mount = scratch_path("mount");
    double quota = memory_quota(self, mount);
    CHECK(quota == expected, "cgroups '%s': memory %g, expected %g", cgroups, quota, expected);
    free(self);
    free(mount);
}

static void check_quotas(void)
{
    put("mount/slice/job/cpu.max", "max 100000\n");
    put("mount/slice/cpu.max", "250000 100000\n");
    put("mount/small/job/cpu.max", "50000 100000\n");
    put("mount/small/cpu.max", "300000 100000\n");
    put("mount/free/cpu.max", "max 100000\n");
    put("mount/cpu,cpuacct/old/cpu.cfs_quota_us", "150000\n");
    put("mount/cpu,cpuacct/old/cpu.cfs_period_us", "50000\n");
    put("mount/cpu,cpuacct/none/cpu.cfs_quota_us", "-1\n");
    put("mount/cpu,cpuacct/none/cpu.cfs_period_us", "100000\n");
    put("mount/broken/cpu.max", "many\n");
    check_quota("0::/slice/job\n", 2.5);
    check_quota("0::/small/job\n", 0.5);
    check_quota("0::/free\n", -1);
    check_quota("0::/slice/job/with:colon\n", 2.5);
    check_quota("7:memory:/old\n3:cpu,cpuacct:/old\n0::/\n", 3);
    check_quota("3:cpuset:/old\n", -1);
    check_quota("3:cpu,cpuacct:/none\n0::/slice\n", 2.5);
    check_quota("0::/broken\n", -1);
    check_quota("", -1);
    check_quota("nonsense\n", -1);
    put("mount/cpu.max", "150000 100000\n"); /* a container sees its own folder as the root */
    check_quota("0::/a/path/of/the/host\n", 1.5);
    put("mount/slice/memory.max", "max\n");
    put("mount/slice/job/memory.max", "3000000000\n");
    put("mount/memory/old/memory.limit_in_bytes", "9223372036854771712\n");
    put("mount/memory/memory.limit_in_bytes", "4096\n");
    check_memory("0::/slice/job\n", 3e9);
    check_memory("0::/slice\n", -1);
    check_memory("7:memory:/old\n3:cpu,cpuacct:/old\n0::/\n", 4096);
    check_memory("3:cpu:/old\n", -1);
    double none = threads_quota("/no/such/file", "/no/such/mount");
    CHECK(none < 0, "no file: quota %g", none);
    CHECK(threads_available() >= 1, "no thread at all");
}

/* Seconds of one machine: looks every 20 ms at threads that wait for this share of what they run. */
static double now, cpu, waited;

static void pass(Pace *pace, int threads, double time, double cores, double share)
{
    for (double end = now + time; now < end;) {
        now += 0.02;
        cpu += 0.02 * cores;
        waited += 0.02 * cores * share;
        pace_adjust(pace, threads, now, cpu, waited);
    }
}

static void check_pace(void)
{
    Pace pace = {0};
    cpu = 5;
    waited = 1000; /* whatever came before the first look does not count */
    pace_adjust(&pace, 8, now, cpu, waited);
    CHECK(pace.team == 8, "at first: %d threads", pace.team);
    pass(&pace, 8, 10, 8, 0.03);
    CHECK(pace.team == 8, "calm: %d threads", pace.team);
    pass(&pace, 8, 10, 8, 0.09);
    CHECK(pace.team == 8, "each thread waits a little: %d threads", pace.team);
    pass(&pace, 8, 0.02, 8, 0.5);
    CHECK(pace.team == 4, "after one busy look: %d threads", pace.team);
    pass(&pace, 8, 0.5, 4, 0.5);
    CHECK(pace.team == 1, "busy: %d threads", pace.team);
    int looks = 0, wide = 0;
    for (double end = now + 100; now<end; looks++, wide += pace.team> 1) {
        pass(&pace, 8, 0.01, pace.team, 0.5);
    }
    CHECK(wide > 0, "busy for long: a larger team was never tried");
    CHECK(wide < looks / 20, "busy for long: %d of %d looks with more than a thread", wide, looks);
    pass(&pace, 8, 35, 4, 0.01);
    CHECK(pace.team == 8, "calm again: %d threads", pace.team);
    pass(&pace, 8, 35, 8, 0.01);
    pass(&pace, 8, 0.02, 8, 0.5);
    pass(&pace, 8, 1.2, 4, 0.01);
    CHECK(pace.team == 8, "busy for a moment after a long calm: %d threads", pace.team);
    /* where this process hardly runs, it waits all the longer */
    Pace starved = {0};
    pace_adjust(&starved, 2, now, cpu, waited);
    pass(&starved, 2, 1, 0.1, 3);
    CHECK(starved.team == 1, "starved: %d threads", starved.team);
}

static void check_shares(void)
{
    Pace pace = {.grain = 5000, .team = 2, .look = 1e300}; /* no look during this test */
    CHECK(pace_threads(&pace, 8, 100) == 1, "100 ns on more than a thread");
    CHECK(pace_threads(&pace, 8, 9999) == 1, "10 us on more than a thread");
    CHECK(pace_threads(&pace, 8, 1000000) == 2, "a short op gets more than the team");
    CHECK(pace_threads(&pace, 8, 100000000) == 8, "a long op gets less than all threads");
    pace.team = 8;
    CHECK(pace_threads(&pace, 8, 16000) == 3, "16 us: other than 3 threads");
    CHECK(pace_threads(&pace, 8, SIZE_MAX) == 8, "the largest cost: other than all threads");
    Pace fresh = {.grain = 5000};
    CHECK(pace_threads(&fresh, 4, 1000000) == 4 && fresh.look > 0, "no look at first");
    Pace all = {0};
    CHECK(pace_threads(&all, 4, 1) == 4, "without a grain: other than all threads");
}

static void check_caches(void)
{
    size_t l1 = cache_bytes(1), l2 = cache_bytes(2);
    CHECK(l1 >= 16 << 10 && l1 <= 1 << 20, "level 1: %zu bytes", l1);
    CHECK(l2 >= 128 << 10 && l2 <= 1 << 30, "level 2: %zu bytes", l2);
}

int main(void)
{
    check_quotas();
    check_pace();
    check_shares();
    check_caches();
    return checks_close("threads");
}
