/* Tables of published results that are known by name. */
#ifndef PUBLISHED_H
#define PUBLISHED_H

typedef struct PublishedCell {
    const char *model, *task;
    double number[4]; /* zeta, VAR, CON, CCON in percent, as printed */
} PublishedCell;

typedef struct PublishedTable {
    const char *name, *source;
    int decimals, runs; /* as printed; of each cell */
    const PublishedCell *cell;
    int cells;
} PublishedTable;

/* "table1": the study's; NULL for another name. */
const PublishedTable *published_table(const char *name);

#endif
