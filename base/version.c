/* Alone in its file, so that a commit rebuilds nothing else. */
#include "version.h"

#ifndef GIT_COMMIT
#define GIT_COMMIT "unknown"
#endif

const char *git_commit(void)
{
    return GIT_COMMIT;
}
