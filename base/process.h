/* What a program that writes files does first: its standard streams and its signals. */
#ifndef PROCESS_H
#define PROCESS_H

/* Call first. A standard stream that is closed is opened on something that cannot be written, so
 * that no file of ours gets its number. A reader that is gone (SIGPIPE) and a file size limit
 * (SIGXFSZ) become errors of writing. SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGXCPU end the process at
 * once, whatever it does: unfinished files are removed, one line is printed, the exit code
 * is 75. However the program ends, no unfinished file stays. jansson gets checked memory. */
void process_start(const char *program);

/* For a program that computes with OpenMP, whose runtime ends it with 1 where it gets no memory or
 * no thread: with one more line, and 71. */
void process_computes(void);

/* What a signal shall append to an open file of the program: text (kept by the caller) to the
 * descriptor. A descriptor of -1: nothing any more. */
void process_last_words(int descriptor, const char *text);

/* From here on, until it is called with 0, such a signal is only noted, and process_stopping says
 * so; another one, at least a quarter of a second later and not SIGXCPU, ends the process at
 * once. */
void process_defer(int defer);
int process_stopping(void);

#endif
