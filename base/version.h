/* Which seedbed this is: for --version, and for what the programs write. */
#ifndef VERSION_H
#define VERSION_H

#define TOOL_VERSION "0.1.0"

/* The commit that it was built from, 12 digits; "unknown" outside of a repository. */
const char *git_commit(void);

#endif
