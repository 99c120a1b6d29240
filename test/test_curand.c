/* Random numbers beside NVIDIA's cuRAND: dropout's words are those of its device generator, initial
 * values' those of its host generator, whose normal numbers ours come close to. The device
 * generator is compiled for the host from nvcc's headers, the host generator is opened in
 * libcurand.so and needs no GPU; what is not installed is skipped. Always: test vectors of
 * Random123, the source of Philox (Salmon, Moraes, Dror, Shaw 2011). */
#include "check.h"
#include "rng.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* Of curand_device.cc; NULL where that was not built. */
__attribute__((weak)) void curand_device_words(unsigned long long seed,
                                               unsigned long long subsequence,
                                               unsigned long long offset, unsigned int words[4]);

static void check_vectors(void)
{
    static const struct {
        uint32_t counter[4];
        uint64_t key;
        Philox expected;
    } vectors[] = {
        {{0}, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         0xffffffffffffffff,
         {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         0x299f31d0a4093822,
         {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const uint32_t *c = vectors[i].counter;
        Philox p = philox4x32(c[0], c[1], c[2], c[3], vectors[i].key);
        CHECK(!memcmp(&p, &vectors[i].expected, sizeof p), "Random123's vector %zu", i);
    }
}

/* A number below limit, another one at each call. */
static uint64_t any(uint64_t limit)
{
    static uint64_t calls;
    uint64_t word = (uint64_t)rng_word(1, 2 * calls) << 32 | rng_word(1, 2 * calls + 1);
    calls++;
    return word % limit;
}

/* docs/DETERMINISM.md: where each part of a dropout counter stands in a sub-sequence and offset. */
static void check_dropout(void)
{
    enum { BLOCKS = 100000 };
    int differ = 0;
    for (int i = 0; i < BLOCKS; i++) {
        DropoutSite site = {.seed = any(UINT64_MAX),
                            .step = (uint32_t)any(1ull << 32),
                            .site = (uint32_t)any(4096),
                            .p = 0.1f};
        uint64_t group = any(1ull << (i % 32 + 1)), position = any(1 << 20), head = any(1024),
                 slot = any(1 << 20);
        Philox ours = dropout_words(&site, (uint32_t)group, (uint32_t)position, (uint32_t)head,
                                    (uint32_t)slot);
        uint32_t theirs[4];
        curand_device_words(site.seed, (uint64_t)site.step << 32 | slot | (uint64_t)site.site << 20,
                            4 * (group | position << 32 | head << 52), theirs);
        differ += memcmp(&ours, theirs, sizeof theirs) != 0;
    }
    CHECK(!differ, "dropout: %d of %d blocks are not curand4's", differ, BLOCKS);
    printf("dropout: %d blocks beside cuRAND's device generator\n", BLOCKS);
}

/* Word j of a stream is also the device generator's first, at another place. */
static void check_words_of_device(void)
{
    enum { WORDS = 100000 };
    int differ = 0;
    for (int i = 0; i < WORDS; i++) {
        uint64_t key = any(UINT64_MAX), j = any(1ull << (i % 50 + 1)), q = j / 4;
        uint32_t theirs[4];
        curand_device_words(key, q % 65536, 4 * (q / 65536) + j % 4, theirs);
        differ += rng_word(key, j) != theirs[0];
    }
    CHECK(!differ, "initial values: %d of %d words are not curand's", differ, WORDS);
    printf("initial values: %d words beside cuRAND's device generator\n", WORDS);
}

/* As curand.h declares them; a status of 0 is success. */
typedef struct Host {
    int (*create)(void **generator, int type);
    int (*seed)(void *generator, unsigned long long seed);
    int (*offset)(void *generator, unsigned long long offset);
    int (*words)(void *generator, unsigned int *out, size_t n);
    int (*uniforms)(void *generator, float *out, size_t n);
    int (*normals)(void *generator, float *out, size_t n, float mean, float deviation);
    int (*destroy)(void *generator);
} Host;

static int host_open(Host *host)
{
    static const char *const files[] = {"libcurand.so.10", "libcurand.so",
                                        "/usr/local/cuda/lib64/libcurand.so"};
    static const char *const names[] = {"curandCreateGeneratorHost",
                                        "curandSetPseudoRandomGeneratorSeed",
                                        "curandSetGeneratorOffset",
                                        "curandGenerate",
                                        "curandGenerateUniform",
                                        "curandGenerateNormal",
                                        "curandDestroyGenerator"};
    void *library = NULL, *symbols[7] = {NULL};
    for (int i = 0; i < 3 && !library; i++) {
        library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
    }
    for (int i = 0; i < 7; i++) {
        symbols[i] = library ? dlsym(library, names[i]) : NULL;
        if (!symbols[i]) {
            return 0;
        }
    }
    memcpy(host, symbols, sizeof symbols);
    return 1;
}

/* Floats between the two; the same sign, or they are far apart. */
static int64_t ulps(float a, float b)
{
    int32_t x = (int32_t)float_to_bits(a), y = (int32_t)float_to_bits(b);
    return (x < 0) != (y < 0) ? INT64_MAX : x > y ? (int64_t)x - y : (int64_t)y - x;
}

static void check_host(const Host *host)
{
    enum { PHILOX4_32_10 = 161, N = 1 << 18 };
    static const uint64_t keys[] = {0, 42, 0x9E3779B97F4A7C15u},
                          offsets[] = {0, 262142, 1ull << 34, (1ull << 50) + 6};
    unsigned int *words = malloc(N * sizeof *words);
    float *uniforms = malloc(N * sizeof *uniforms), *normals = malloc(N * sizeof *normals);
    size_t compared = 0, equal = 0;
    int64_t most = 0;
    for (size_t i = 0; i < 12 && words && uniforms && normals; i++) {
        uint64_t key = keys[i % 3], at = offsets[i / 3];
        void *generator = NULL;
        int failed = host->create(&generator, PHILOX4_32_10) || host->seed(generator, key) ||
                     host->offset(generator, at) || host->words(generator, words, N) ||
                     host->offset(generator, at) || host->uniforms(generator, uniforms, N) ||
                     host->offset(generator, at) ||
                     host->normals(generator, normals, N, 0.0f, 1.0f) || host->destroy(generator);
        CHECK(!failed, "cuRAND's host generator fails");
        size_t other_words = 0, other_uniforms = 0;
        for (size_t j = 0; j < N && !failed; j++) {
            other_words += words[j] != rng_word(key, at + j);
            other_uniforms += uniforms[j] != rng_uniform(rng_word(key, at + j));
            int64_t off = ulps(normals[j], rng_normal(key, at + j));
            most = off > most ? off : most;
            equal += off == 0;
            compared++;
        }
        CHECK(!other_words && !other_uniforms,
              "key %#llx from %llu on: %zu words and %zu uniforms are not cuRAND's",
              (unsigned long long)key, (unsigned long long)at, other_words, other_uniforms);
    }
    CHECK(most <= 4, "normal numbers are up to %lld ulp off cuRAND's", (long long)most);
    printf("initial values: %zu words and uniforms beside cuRAND's host generator; of as many normal "
           "numbers %.1f %% are the same, the others within %lld ulp\n",
           compared, 100.0 * (double)equal / (double)compared, (long long)most);
    free(words);
    free(uniforms);
    free(normals);
}

int main(void)
{
    Host host;
    check_vectors();
    if (curand_device_words) {
        check_dropout();
        check_words_of_device();
    } else {
        printf("SKIPPED: cuRAND's device generator: nvcc's headers are not there\n");
    }
    if (host_open(&host)) {
        check_host(&host);
    } else {
        printf("SKIPPED: cuRAND's host generator: libcurand.so is not there\n");
    }
    return checks_close("test_curand");
}
