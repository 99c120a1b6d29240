/* Who does which run of a study, where several machines work on one folder. */
#ifndef STUDY_CLAIMS_H
#define STUDY_CLAIMS_H

#include "base.h"

/* Without a heartbeat for this time, in seconds, a claim is stale; how often it beats. */
enum { CLAIM_STALE = 60, CLAIM_BEAT = 10 };

/* A claim is a file NAME.G that its owner alone created: host, process, and a time of change that
 * is the heartbeat. Whoever takes over a stale one creates NAME.G+1, which again only one can: no
 * file is ever taken from its owner, and none is read and then replaced. The highest G counts. */
typedef struct Claim {
    char *stem; /* the path without .G; NULL: none */
    int generation;
    double beaten; /* when, by clock_seconds */
} Claim;

/* Claims folder/name. Returns 0; EXIT_BUSY after naming its owner in error->text, if that one lives;
 * or an error of creating files. */
int claim_take(Claim *claim, const char *folder, const char *name, Error *error);

/* The heartbeat, to be called often: it beats when it is time, or now. Returns 0 where another process
 * took the claim over, for this one had been silent; it may have given it up since. */
int claim_beat(Claim *claim, int now);

/* Removes what processes that were killed left of their looks at claims. */
void claims_sweep(const char *folder);

/* Gives it up, if it is still held. */
void claim_release(Claim *claim);

/* Removes the claim to a run that needs none, if its owner is dead. */
void claim_clear(const char *folder, const char *name);

#endif
