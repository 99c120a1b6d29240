/* A file of the cache is named by the XXH3 (128 bits) of all that decides the ids, and holds another
 * one of all its bytes: what was cut, or lost a bit, is encoded again. Files appear whole, so any
 * number of processes may use the folder at once. They are read, not mapped: one that is cut in the
 * middle of it must not end the run. */
#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t */
#include "token_cache.h"
#include "version.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stb/stb_ds.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* Behind it stand the ids, 4 bytes each, the types, 1 byte each, and the length of each sequence,
 * 4 bytes, as the machine writes numbers: the cache is not carried to another one. */
typedef struct Header {
    char magic[8];
    XXH128_hash_t key, digest; /* digest: of the rest, and of this struct where it is still 0 */
    uint64_t tokens, sequences;
    int64_t cut;
} Header;

static const char magic[8] = "SBTOKEN";

static void note(const char *path, const char *what)
{
    static int told;
    if (!told) {
        fprintf(stderr,
                "NOTE: %s: %s; the texts are tokenized anew (XDG_CACHE_HOME moves the cache).\n",
                path, what);
    }
    told = 1;
}

/* Bytes of all texts. */
static size_t text_bytes(const Dataset *dataset)
{
    size_t bytes = 0;
    for (int i = 0; i < dataset->count; i++) {
        for (int c = 0; c < task_sequences(dataset->task); c++) {
            for (int t = 0; t < MAX_TEXTS && dataset->examples[i].text[c][t]; t++) {
                bytes += strlen(dataset->examples[i].text[c][t]);
            }
        }
    }
    return bytes;
}

static XXH128_hash_t key_of(const Dataset *dataset, const Encoding *encoding)
{
    const Task *task = dataset->task;
    XXH3_state_t state; /* not XXH3_createState, whose memory may fail */
    char *rule = string_format(
        "%s %s %s %d %d %d %d %d", data_sha256(), tokenizer_sha256(encoding->tokenizer),
        encoding->decoder ? task->decoder : task->encoder, task->cut, encoding->longest,
        encoding->V, dataset->count, task_sequences(task));
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, rule, strlen(rule) + 1);
    for (int i = 0; i < dataset->count; i++) {
        for (int c = 0; c < task_sequences(task); c++) {
            char *const *texts = dataset->examples[i].text[c];
            for (int t = 0; t < MAX_TEXTS && texts[t]; t++) { /* as many in every example */
                XXH3_128bits_update(&state, texts[t], strlen(texts[t]) + 1);
            }
        }
    }
    XXH128_hash_t key = XXH3_128bits_digest(&state);
    free(rule);
    return key;
}

/* The folder, or NULL where no variable names one. The caller frees it. */
static char *cache_folder(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    return cache && *cache == '/' ? string_format("%s/seedbed/tokens", cache)
           : home && *home == '/' ? string_format("%s/.cache/seedbed/tokens", home)
                                  : NULL;
}

/* What stands behind a header. */
typedef struct Body {
    Ids ids;              /* [tokens] */
    unsigned char *types; /* [tokens] */
    uint32_t *lengths;    /* [sequences] */
} Body;

static void body_alloc(Body *body, const Header *header)
{
    arrsetlen(body->ids, header->tokens);
    body->types = memory_alloc(header->tokens, 1);
    body->lengths = memory_alloc(header->sequences, sizeof *body->lengths);
}

static void body_free(Body *body)
{
    arrfree(body->ids);
    free(body->types);
    free(body->lengths);
}

static XXH128_hash_t digest_of(const Header *header, const Body *body)
{
    Header plain = *header;
    XXH3_state_t state;
    memset(&plain.digest, 0, sizeof plain.digest);
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, &plain, sizeof plain);
    XXH3_128bits_update(&state, body->ids, header->tokens * sizeof *body->ids);
    XXH3_128bits_update(&state, body->types, header->tokens);
    XXH3_128bits_update(&state, body->lengths, header->sequences * sizeof *body->lengths);
    XXH128_hash_t digest = XXH3_128bits_digest(&state);
    return digest;
}

/* Whether a file of this size can have this header. */
static int header_fits(const Header *header, size_t size, XXH128_hash_t key, size_t sequences)
{
    size_t rest = size - sizeof *header, lengths = sequences * sizeof(uint32_t);
    return !memcmp(header->magic, magic, sizeof magic) && XXH128_isEqual(header->key, key) &&
           header->sequences == sequences && header->tokens <= rest / 5 && lengths <= rest &&
           rest - lengths == header->tokens * 5;
}

/* Whether encode could have made it: the ids are indices of the model's tables, and no sequence has
 * less than the least tokens. */
static int body_fits(const Body *body, const Header *header, const Encoding *encoding, int least)
{
    size_t sum = 0;
    int fits = header->cut >= 0 && (uint64_t)header->cut <= header->sequences;
    for (size_t i = 0; i < header->tokens && fits; i++) {
        fits = body->ids[i] >= 0 && body->ids[i] < encoding->V && body->types[i] <= 1;
    }
    for (size_t s = 0; s < header->sequences && fits; s++) {
        fits = body->lengths[s] >= (uint32_t)least &&
               body->lengths[s] <= (uint32_t)encoding->longest;
        sum += body->lengths[s];
    }
    return fits && sum == header->tokens;
}

static int read_file(Header *header, Body *body, FILE *stream, XXH128_hash_t key, size_t sequences,
                     const Encoding *encoding, int least)
{
    struct stat status;
    if (fstat(fileno(stream), &status) || (size_t)status.st_size < sizeof *header ||
        fread(header, sizeof *header, 1, stream) != 1 ||
        !header_fits(header, (size_t)status.st_size, key, sequences)) {
        return 0;
    }
    body_alloc(body, header);
    return fread(body->ids, sizeof *body->ids, header->tokens, stream) == header->tokens &&
           fread(body->types, 1, header->tokens, stream) == header->tokens &&
           fread(body->lengths, sizeof *body->lengths, sequences, stream) == sequences &&
           XXH128_isEqual(digest_of(header, body), header->digest) &&
           body_fits(body, header, encoding, least);
}

/* Fills encoded from a file that is there and whole: 1. */
static int load(Encoded *encoded, const Dataset *dataset, const Encoding *encoding,
                const char *path, XXH128_hash_t key)
{
    int choices = task_sequences(dataset->task);
    size_t sequences = (size_t)dataset->count * (size_t)choices;
    Header header;
    Body body = {0};
    FILE *stream = fopen(path, "rbe");
    if (!stream) {
        if (errno != ENOENT) {
            note(path, strerror(errno));
        }
        return 0;
    }
    int least = dataset->task->kind != KIND_LANGUAGE, /* a document may have no token */
        whole = read_file(&header, &body, stream, key, sequences, encoding, least);
    fclose(stream);
    if (!whole) {
        note(path, "was damaged");
        body_free(&body);
        return 0;
    }
    *encoded = (Encoded){.dataset = dataset, .choices = choices, .cut = (int)header.cut};
    encoded->ids = body.ids;
    body.ids = NULL;
    arrsetlen(encoded->types, header.tokens);
    for (size_t i = 0; i < header.tokens; i++) {
        encoded->types[i] = body.types[i];
    }
    encoded->start = memory_calloc(sequences + 1, sizeof *encoded->start);
    for (size_t s = 0; s < sequences; s++) {
        encoded->start[s + 1] = encoded->start[s] + body.lengths[s];
        encoded->longest = int_max(encoded->longest, (int)body.lengths[s]);
    }
    body_free(&body);
    utimensat(AT_FDCWD, path, NULL, 0); /* used now; where that cannot be, it goes sooner */
    return 1;
}

/* A file of the folder. */
typedef struct Kept {
    char *path;
    size_t bytes;
    struct timespec used;
} Kept;

static int by_use(const void *a, const void *b)
{
    const struct timespec *x = &((const Kept *)a)->used, *y = &((const Kept *)b)->used;
    return x->tv_sec != y->tv_sec ? (x->tv_sec > y->tv_sec) - (x->tv_sec < y->tv_sec)
                                  : (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* Removes files, those that were used longest ago first, until there is room for so many bytes; one
 * that cannot be removed is passed over. */
static void make_room(const char *folder, size_t bytes)
{
    Kept *list = NULL; /* stb_ds array */
    DIR *stream = opendir(folder);
    struct dirent *entry;
    size_t sum = bytes;
    while (stream && (entry = readdir(stream))) {
        struct stat status;
        char *path = string_format("%s/%s", folder, entry->d_name);
        const char *ending = strrchr(path, '.');
        if (ending && !strcmp(ending, ".tokens") && !lstat(path, &status) &&
            S_ISREG(status.st_mode)) {
            sum += (size_t)status.st_size;
            arrput(list, ((Kept){path, (size_t)status.st_size, status.st_mtim}));
            continue;
        }
        free(path);
    }
    if (stream) {
        closedir(stream);
    }
    if (list) {
        qsort(list, arrlenu(list), sizeof *list, by_use);
    }
    for (size_t i = 0; i < arrlenu(list); i++) {
        if (sum > TOKEN_CACHE_MOST && !unlink(list[i].path)) {
            sum -= list[i].bytes;
        }
        free(list[i].path);
    }
    arrfree(list);
}

/* What could not be written is not kept. */
static void store(const Encoded *encoded, const char *folder, const char *path, XXH128_hash_t key)
{
    size_t tokens = arrlenu(encoded->ids),
           sequences = (size_t)encoded->dataset->count * (size_t)encoded->choices;
    Header header = {.key = key, .tokens = tokens, .sequences = sequences, .cut = encoded->cut};
    Body body = {.ids = encoded->ids};
    size_t bytes = sizeof header + tokens * 5 + sequences * sizeof *body.lengths;
    int fits = bytes <= TOKEN_CACHE_MOST / 2;
    for (size_t i = 0; i < tokens && fits; i++) {
        fits = encoded->types[i] >= 0 && encoded->types[i] <= 255;
    }
    if (!fits) {
        return;
    }
    memcpy(header.magic, magic, sizeof magic);
    body.types = memory_alloc(tokens, 1);
    for (size_t i = 0; i < tokens; i++) {
        body.types[i] = (unsigned char)encoded->types[i];
    }
    body.lengths = memory_alloc(sequences, sizeof *body.lengths);
    for (size_t s = 0; s < sequences; s++) {
        body.lengths[s] = (uint32_t)(encoded->start[s + 1] - encoded->start[s]);
    }
    header.digest = digest_of(&header, &body);
    Writer writer;
    Error error;
    make_room(folder, bytes);
    if (folder_make(folder, &error) || writer_open(&writer, path, &error)) {
        note(path, error.text);
    } else {
        fwrite(&header, sizeof header, 1, writer.stream);
        fwrite(body.ids, sizeof *body.ids, tokens, writer.stream);
        fwrite(body.types, 1, tokens, writer.stream);
        fwrite(body.lengths, sizeof *body.lengths, sequences, writer.stream);
        if (writer_commit(&writer, &error)) {
            note(path, error.text);
        }
    }
    body.ids = NULL; /* encoded's */
    body_free(&body);
}

int encode_cached(Encoded *encoded, const Dataset *dataset, const Encoding *encoding, size_t least,
                  Error *error)
{
    int kept = *data_sha256() && !encoding->spans && text_bytes(dataset) >= least;
    char *folder = kept ? cache_folder() : NULL;
    if (!folder) {
        return encode(encoded, dataset, encoding, error);
    }
    XXH128_hash_t key = key_of(dataset, encoding);
    char *path = string_format("%s/%016llx%016llx.tokens", folder, (unsigned long long)key.high64,
                               (unsigned long long)key.low64);
    int code = 0;
    if (!load(encoded, dataset, encoding, path, key)) {
        code = encode(encoded, dataset, encoding, error);
        if (!code) {
            store(encoded, folder, path, key);
        }
    }
    free(folder);
    free(path);
    return code;
}
