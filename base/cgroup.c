#define _GNU_SOURCE
#include "cgroup.h"
#include "base.h"

#include <stdlib.h>
#include <string.h>

double cgroup_number(const char *folder, const char *name)
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

/* The smaller of two limits, of which -1 is none. */
static double smaller(double a, double b)
{
    return b >= 0 && (a < 0 || b < a) ? b : a;
}

/* The smallest limit from root + path up to root itself. Inside of a container the path of
 * /proc/self/cgroup may be the host's, whose folder is not there: then root's own files count. */
static double smallest_above(const char *root, const char *path, double (*read)(const char *))
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

/* Of version 1: that of the first of its folders that has one. */
static double smallest_v1(const CgroupLimit *limit, const char *mount, const char *path)
{
    double smallest = -1;
    for (int i = 0; i < 3 && limit->controller[i] && smallest < 0; i++) {
        char *root = string_format("%s/%s", mount, limit->controller[i]);
        smallest = smallest_above(root, path, limit->v1);
        free(root);
    }
    return smallest;
}

double cgroup_smallest(const CgroupLimit *limit, const char *cgroups, const char *mount)
{
    char line[4096], controller[64];
    double smallest = -1;
    snprintf(controller, sizeof controller, ",%s,", limit->controller[0]);
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
        char list[256];
        snprintf(list, sizeof list, ",%s,", controllers);
        if (!*controllers) {
            smallest = smaller(smallest, smallest_above(mount, path, limit->v2));
        } else if (strstr(list, controller)) {
            smallest = smaller(smallest, smallest_v1(limit, mount, path));
        }
    }
    if (file) {
        fclose(file);
    }
    return smallest;
}
