/* Fuzz target: the list of a study, study.json, and the claims on its runs. */
#include "fuzz.h"
#include "study.h"
#include "study_claims.h"

#include <stdlib.h>
#include <string.h>

static void read_study(const FuzzFile *file)
{
    char *folder = fuzz_path("study");
    char *argv[] = {"study", "--tasks",    "rte",     "--seeds",  "1", "--max-train",
                    "4",     "--max-eval", "2",       "--epochs", "1", "--out",
                    folder,  "--print",    "--quiet", NULL};
    Error error;
    REQUIRE(!folder_make(folder, &error), "%s", error.text);
    fuzz_write("study/study.json", file->bytes, file->size);
    (void)!study_main(15, argv, &error);
    REQUIRE(!folder_remove(folder, &error), "%s", error.text);
    free(folder);
}

/* The first line is what stands behind the name of the run, the rest what is in the file. */
static void read_claim(const FuzzFile *file)
{
    const uint8_t *end = memchr(file->bytes, '\n', file->size);
    size_t length = end ? (size_t)(end - file->bytes) : 0;
    char *folder = fuzz_path("claims"),
         *name = string_format("claims/run.%.*s", (int)size_min(length, 64),
                               (const char *)file->bytes);
    Claim claim;
    Error error;
    if (end && !memchr(file->bytes, 0, length) && !strchr(name + strlen("claims/"), '/')) {
        REQUIRE(!folder_make(folder, &error), "%s", error.text);
        fuzz_write(name, end + 1, file->size - length - 1);
        if (!claim_take(&claim, folder, "run", &error)) {
            REQUIRE(claim.generation > 0 && claim_beat(&claim, 1), "%d", claim.generation);
            claim_release(&claim);
            REQUIRE(!claim_take(&claim, folder, "run", &error), "%s", error.text);
            claim_release(&claim);
        }
        REQUIRE(!folder_remove(folder, &error), "%s", error.text);
    }
    free(folder);
    free(name);
}

/* a: study.json; b: a claim. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static FILE *quiet;
    FuzzFile files[FUZZ_FILES];
    int count = fuzz_split(files, bytes, size);
    if (!quiet) {
        quiet = freopen("/dev/null", "w", stdout);
        REQUIRE(quiet, "/dev/null");
    }
    if (count) {
        ((unsigned char)(files[0].letter - 'a') % 2 ? read_claim : read_study)(&files[0]);
    }
    fuzz_free(files, count);
    return 0;
}
