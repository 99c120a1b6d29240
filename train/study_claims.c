#define _GNU_SOURCE
#include "study_claims.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MARK = 384 };

/* Where process numbers mean the same: this host since it was started, and in a container that. */
static void read_place(char place[320])
{
    char host[192] = "", namespace[48] = "", boot[40] = "";
    int descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0) {
        (void)!read(descriptor, boot, 36);
        close(descriptor);
    }
    (void)gethostname(host, sizeof host - 1);
    (void)!readlink("/proc/self/ns/pid", namespace, sizeof namespace - 1);
    snprintf(place, 320, "%s %s %s", *host ? host : "?", *boot ? boot : "-",
             *namespace ? namespace : "-");
}

static char *path_of(const char *stem, int generation)
{
    return string_format("%s.%d", stem, generation);
}

/* Nobody takes over as often as this: a higher number in a name is not a claim's. */
enum { MOST_CLAIMS = 10000 };

/* The highest generation that there is; 0: none. */
static int highest(const char *folder, const char *name)
{
    int most = 0;
    size_t length = strlen(name);
    DIR *stream = opendir(folder);
    struct dirent *entry;
    while (stream && (entry = readdir(stream))) {
        const char *at = entry->d_name;
        char *end;
        if (!strncmp(at, name, length) && at[length] == '.') {
            long generation = strtol(at + length + 1, &end, 10);
            most = !*end && generation > most && generation <= MOST_CLAIMS ? (int)generation : most;
        }
    }
    if (stream) {
        closedir(stream);
    }
    return most;
}

/* Seconds since a file was changed, by the clock of the file system that it is on: the clocks of
 * two machines may differ by more than a heartbeat. CLAIM_STALE if it is gone, 0 if nothing can be
 * said. */
static double age_of(const char *path)
{
    char *probe = string_format("%s.clock-%ld", path, (long)getpid());
    struct stat now, then;
    double age = 0;
    int descriptor = open(probe, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    if (descriptor >= 0) {
        unlink(probe); /* at once: who is killed leaves none */
    }
    if (stat(path, &then)) {
        age = errno == ENOENT ? CLAIM_STALE : 0;
    } else if (descriptor >= 0 && !futimens(descriptor, NULL) && !fstat(descriptor, &now)) {
        age = (double)(now.st_mtim.tv_sec - then.st_mtim.tv_sec) +
              1e-9 * (double)(now.st_mtim.tv_nsec - then.st_mtim.tv_nsec);
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
    free(probe);
    return age;
}

/* Whether the owner of a claim lives; owner: who that is, for people. */
static int is_alive(const char *path, char owner[384])
{
    char text[384] = "", place[320];
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = descriptor < 0 ? 0 : read(descriptor, text, sizeof text - 1);
    if (descriptor >= 0) {
        close(descriptor);
    }
    text[size > 0 ? size : 0] = 0;
    read_place(place);
    char *space = strrchr(text, ' ');
    long pid = space ? strtol(space + 1, NULL, 10) : 0;
    int length = space ? (int)(space - text) : 0,
        here = pid > 0 && length == (int)strlen(place) && !strncmp(text, place, (size_t)length);
    snprintf(owner, 384, "process %ld of %.*s", pid, (int)strcspn(text, " "), text);
    if (here && kill((pid_t)pid, 0) && errno == ESRCH) {
        return 0;
    }
    return age_of(path) < CLAIM_STALE;
}

/* What a file of ours says. */
static void mark_of(char mark[MARK])
{
    char place[320];
    read_place(place);
    snprintf(mark, MARK, "%s %ld\n", place, (long)getpid());
}

/* Whether a claim's file is still ours, and beats it then. Another worker may have taken over and ended
 * its run, so that the file is gone, or since then a third one's of that name. One that cannot be
 * looked at is ours as before. */
static int beat(const char *path)
{
    char mark[MARK], text[MARK] = "";
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return errno != ENOENT;
    }
    mark_of(mark);
    int ours = read(descriptor, text, sizeof text - 1) < 0 || !strcmp(text, mark);
    if (ours) {
        (void)futimens(descriptor, NULL); /* one that fails is one that is missed */
    }
    close(descriptor);
    return ours;
}

int claim_take(Claim *claim, const char *folder, const char *name, Error *error)
{
    char *stem = string_format("%s/%s", folder, name), mark[MARK], owner[384];
    *claim = (Claim){0};
    mark_of(mark);
    for (;;) {
        int generation = highest(folder, name);
        char *path = path_of(stem, generation), *mine = path_of(stem, generation + 1);
        int code = generation && is_alive(path, owner)
                       ? error_set(error, EXIT_BUSY, "%s: %s runs it", name, owner)
                   : generation == MOST_CLAIMS
                       ? REFUSE("%s: no process claims a run so often; remove it", path)
                       : 0,
            descriptor = code ? -1 : open(mine, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666),
            lost = descriptor < 0 && errno == EEXIST; /* another one was faster */
        if (!code && descriptor < 0 && !lost) {
            code = error_set_create(error, mine);
        }
        if (descriptor >= 0) {
            if (dprintf(descriptor, "%s", mark) < 0) {
                code = error_set_errno(error, "write", mine);
                unlink(mine);
            }
            close(descriptor);
            /* while it was made, the one before may have been given up and made anew: then that, or
             * a later one, is the claim */
            if (!code && (highest(folder, name) != generation + 1 ||
                          (generation && is_alive(path, owner)))) {
                unlink(mine);
                descriptor = -1;
            } else {
                *claim = (Claim){stem, generation + 1, clock_seconds()};
            }
        }
        free(path);
        free(mine);
        if (code || descriptor >= 0) {
            if (code) {
                free(stem);
                *claim = (Claim){0};
            }
            return code;
        }
    }
}

int claim_beat(Claim *claim, int now)
{
    if (!now && clock_seconds() < claim->beaten + CLAIM_BEAT) {
        return 1;
    }
    char *mine = path_of(claim->stem, claim->generation),
         *next = path_of(claim->stem, claim->generation + 1);
    /* the next one is looked for behind the beat: who made it looks again whether we live, so that one
     * of us sees the other */
    int ours = beat(mine) && !path_exists(next);
    free(mine);
    free(next);
    claim->beaten = clock_seconds();
    return ours;
}

void claims_sweep(const char *folder)
{
    DIR *stream = opendir(folder);
    struct dirent *entry;
    while (stream && (entry = readdir(stream))) {
        if (strstr(entry->d_name, ".clock-")) { /* one that is in use stays so without its name */
            char *path = string_format("%s/%s", folder, entry->d_name);
            unlink(path);
            free(path);
        }
    }
    if (stream) {
        closedir(stream);
    }
}

void claim_release(Claim *claim)
{
    /* its own file last: until then the run is claimed */
    for (int g = 1; claim->stem && g <= claim->generation && claim_beat(claim, 1); g++) {
        char *path = path_of(claim->stem, g);
        unlink(path);
        free(path);
    }
    free(claim->stem);
    *claim = (Claim){0};
}

void claim_clear(const char *folder, const char *name)
{
    Claim claim;
    Error ignored;
    if (highest(folder, name) && !claim_take(&claim, folder, name, &ignored)) {
        claim_release(&claim);
    }
}
