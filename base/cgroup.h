/* Limits of the cgroups that a process is in, of either version. */
#ifndef CGROUP_H
#define CGROUP_H

/* One limit: the controller and, in version 1, other names that its folder may have; and what a
 * folder of either version says: the limit, or -1 for none. */
typedef struct CgroupLimit {
    const char *controller[3];
    double (*v2)(const char *folder), (*v1)(const char *folder);
} CgroupLimit;

/* The smallest limit of the groups of a file like /proc/self/cgroup and of all groups above them,
 * which are under mount; -1 for none. */
double cgroup_smallest(const CgroupLimit *limit, const char *cgroups, const char *mount);

/* The number in a file of a folder; -1 if there is none. */
double cgroup_number(const char *folder, const char *name);

#endif
