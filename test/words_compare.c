#include "backend.h"
#include "check.h"
#include "words.h"

#include <stdlib.h>
#include <string.h>

extern words_sums_function words_sums_scalar, words_sums_avx2, words_sums_avx512, words_sums_sim,
    words_sums_cuda;
#pragma weak words_sums_avx2
#pragma weak words_sums_avx512
#pragma weak words_sums_cuda

static const struct {
    const char *build;
    words_sums_function *sums;
} builds[] = {{"scalar", words_sums_scalar},
              {"avx2", words_sums_avx2},
              {"avx512", words_sums_avx512},
              {"sim", words_sums_sim},
              {"cuda", words_sums_cuda}};

/* A build with the memory for one part of its sums. */
typedef struct Side {
    Backend backend;
    words_sums_function *sums;
    uint64_t *memory, *host; /* memory is the device's */
} Side;

enum { PART = 1 << 20 }; /* groups */
static const size_t part_bytes = PART * sizeof(uint64_t);

static Side side_open(const char *build)
{
    Side side = {0};
    Error error;
    int i = 0;
    while (strcmp(builds[i].build, build) != 0) {
        i++;
    }
    side.sums = builds[i].sums;
    int own = !strcmp(build, "sim") || !strcmp(build, "cuda");
    if (backend_init(&side.backend, own ? build : "cpu", own ? "auto" : build, 0, &error)) {
        printf("test_ops: %s\n", error.text);
        exit(error.code);
    }
    side.memory = side.backend.device->alloc(part_bytes);
    side.host = memory_alloc(PART, sizeof *side.host);
    return side;
}

static void side_close(Side *side)
{
    side->backend.device->release(side->memory, part_bytes);
    free(side->host);
    backend_free(&side->backend);
}

static void side_compute(Side *side, int function, uint32_t first, uint32_t every, uint32_t count)
{
    const Device *device = side->backend.device;
    side->sums(&side->backend.ctx, function, side->memory, first, every, count);
    device->get(side->host, side->memory, count * sizeof *side->host);
}

static void compare_function(Side *a, Side *b, int function, const char *name, uint32_t every)
{
    const uint32_t groups = (uint32_t)(((uint64_t)1 << 32) / WORDS_GROUP);
    uint32_t differ = 0, where = 0, compared = 0;
    Error error = {0};
    const char *build = b->backend.ops.build;
    for (uint64_t next = 0; next < groups; next += (uint64_t)every * PART) {
        uint32_t first = (uint32_t)next, count = (groups - first + every - 1) / every;
        count = count < PART ? count : PART;
        side_compute(b, function, first, every, count); /* first: a GPU works meanwhile */
        side_compute(a, function, first, every, count);
        CHECK(!backend_wait(&b->backend, &error), "%s: %s", name, error.text);
        for (uint32_t n = 0; n < count; n++) {
            if (a->host[n] != b->host[n] && !differ++) {
                where = (first + n * every) * WORDS_GROUP;
            }
        }
        compared += count;
    }
    CHECK(!differ, "%s: %s: %u of %u groups of %d words differ from %s, the first from 0x%08x on",
          name, build, differ, compared, WORDS_GROUP, a->backend.ops.build, where);
    printf("%-14s %s and %s, %llu words: %u groups differ\n", name, build, a->backend.ops.build,
           (unsigned long long)compared * WORDS_GROUP, differ);
}

static void compare(const char *build, const char *with, uint32_t every)
{
    Side a = side_open(with), b = side_open(build);
#define FUNCTION(name, value) compare_function(&a, &b, WORDS_##name, #name, every);
#include "words.def"
#undef FUNCTION
    side_close(&a);
    side_close(&b);
}

void test_words(const char *device)
{
    enum { SOME = 4099 }; /* a prime: the groups spread over all exponents and fractions */
    const char *names[3];
    int count = backend_builds(names);
    if (device) {
        compare(device, names[count - 1], strcmp(device, "cuda") != 0 ? SOME : 1);
        return;
    }
    for (int i = 1; i < count; i++) {
        compare(names[i], names[0], SOME);
    }
    compare("sim", names[0], SOME);
}
