/* Checkpoints: what a run goes on from. A folder NAME.unfinished beside the prediction file NAME.bin
 * has the last two, checkpoint-STEP, until the run is finished; what is in them is in
 * docs/FORMATS.md.
 *
 * A checkpoint is the state behind a step and before the evaluation there: what is evaluated, and
 * when, is up to whoever goes on. The random numbers are a function of the step. */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include "run.h"

/* --- one folder --- */

/* What a checkpoint is to have. */
typedef struct Image Image;

/* Bytes of the copy of a state. */
size_t checkpoint_copy_bytes(const Model *model, int keeps_best);

/* The run as it is. copy: so many bytes, which the image then uses, so that the run may go on; NULL:
 * the run stays as it is until the image is written. receipts: what the run rests on, as the next run
 * is compared with. Errors: 70; 74, 77 the log cannot be read. */
int checkpoint_image(Image **image, const Run *run, const json_t *receipts, void *copy,
                     Error *error);
void checkpoint_image_free(Image *image);

/* Writes one into a folder, which is made; it must not be there. Of an image with a copy any thread
 * may. Errors: 70, 73, 74, 77. */
int checkpoint_write(const Image *image, const char *folder, Error *error);

typedef struct Checkpoint {
    char *folder;
    json_t *state; /* trainer_state.json */
    int step;
    const json_t *receipts; /* in state */
} Checkpoint;

/* Reads what a folder's files are and checks all of it: sizes and hashes, and whether they are a
 * checkpoint of this version. Errors: 65, 66, 74, 77; 78 another version. */
int checkpoint_open(Checkpoint *checkpoint, const char *folder, Error *error);
void checkpoint_close(Checkpoint *checkpoint);

/* Whether a folder is a checkpoint, and not one that has some. */
int checkpoint_is(const char *folder);

/* The path of its copy of the log, for the caller to free. */
char *checkpoint_log(const Checkpoint *checkpoint);

/* Puts an open one into the run, or leaves the run as it was. Errors: 65 other parameters or
 * examples, numbers that cannot be. */
int checkpoint_load(const Checkpoint *checkpoint, Run *run, Error *error);

/* --- those of a run --- */

/* Finds what --resume asks for, and puts it into the run, which must be as it begins and have its
 * names claimed; says on stderr what it found. Errors: 65, 66, 74, 77 of --resume PATH; 78 with the
 * list of what was other when the run was begun. */
int checkpoints_resume(Run *run, Error *error);

/* Whether the last checkpoint that this run, which is as it begins, would go on from is its own.
 * Errors: 78. What cannot be read is no error here. */
int checkpoints_check(const Run *run, Error *error);

/* Behind each step: saves where it is time, or a signal asks for the end. With a copy of the state a
 * thread writes it while the run goes on; one that is still written when the next is due by the clock
 * is not waited for. A checkpoint that cannot be written is a warning. Errors: 75 the run has been
 * stopped, 65 what it rests on was changed, 70; at a signal those of writing. */
int checkpoints_step(Run *run, Error *error);

/* A run that was stopped within an evaluation of the loop. Returns 75, or the error of writing. */
int checkpoints_stop(Run *run, Error *error);

/* One that was stopped behind the loop, where nothing is saved any more but what is being written.
 * Returns 75. */
int checkpoints_say(Run *run, Error *error);

/* Waits until nothing is being written any more. A checkpoint that could not be is a warning. */
void checkpoints_wait(Run *run);

/* Of a run that is finished: removes its checkpoints, or names them NAME.checkpoints. Errors: 74,
 * 77. */
int checkpoints_end(Run *run, Error *error);

#endif
