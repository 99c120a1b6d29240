/* Files to accept or to refuse: build/test_safetensors MANIFEST.json...
 *     manifest.json        beside files/: containers
 *     preds_manifest.json  beside preds/: prediction files
 *     hf_manifest.json     beside hf/: config.json and adapter_config.json files
 * Every container and prediction file is also cut at every length (at most 4096 of them), every
 * configuration at every byte: a cut file must be refused, never crash. Without arguments only the
 * round trip is tested. */
#include "check.h"
#include "openers.h"
#include "safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int open_container(const char *path, Error *error)
{
    Safetensors st;
    int code = safetensors_open(&st, path, error);
    unsigned sum = 0;
    for (size_t i = 0; !code && i < st.count; i++) {
        for (size_t j = 0; j < st.tensors[i].bytes; j++) {
            sum += st.tensors[i].data[j]; /* touch every byte */
        }
    }
    if (!code) {
        safetensors_close(&st);
    }
    return code == 0 && sum == ~0u ? -1 : code;
}

static char *scratch;

/* The same content, cut to size bytes. */
static void write_cut(const File *file, size_t size)
{
    FILE *out = fopen(scratch, "wb");
    if (!out || (size && fwrite(file->bytes, 1, size, out) != size) || fclose(out)) {
        perror(scratch);
        exit(EXIT_IO);
    }
}

static void check_cuts(const char *path, Opener open, int accepted)
{
    File file;
    Error error;
    size_t bad = 0, at = 0;
    if (file_map(&file, path, &error)) {
        CHECK(0, "%s", error.text);
        return;
    }
    size_t step = file.size / 4096 + 1;
    for (size_t size = 0; size < file.size; size += step) {
        write_cut(&file, size);
        int code = open(scratch, &error);
        /* what is behind the last byte of a JSON value may be cut: white space */
        int blank = 1;
        for (size_t i = size; i < file.size; i++) {
            blank &= file.bytes[i] == ' ' || file.bytes[i] == '\n';
        }
        if (accepted && code != EXIT_BAD_DATA &&
            !(blank && (open == open_config || open == open_adapter_config))) {
            bad++;
            at = size;
        }
    }
    CHECK(bad == 0, "%s: %zu cuts are accepted, the last at %zu", path, bad, at);
    file_unmap(&file);
}

/* What the manifest refuses and is read here: biases, and fields that transformers has a default
 * for. */
static int implemented(const char *name)
{
    return !strcmp(name, "config/bad_attention_bias.json") ||
           !strcmp(name, "config/bad_mlp_bias.json") ||
           !strcmp(name, "config/bad_no_rope_theta.json") ||
           !strcmp(name, "config/bad_no_rms_norm_eps.json");
}

static void check_manifest(const char *path)
{
    json_t *manifest, *entry;
    const char *name, *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    Error error;
    int folder = (int)(base - path), before = checks_passed + checks_failed;
    int kind = !strcmp(base, "preds_manifest.json") ? 1 : !strcmp(base, "hf_manifest.json") ? 2 : 0;
    static const Opener openers[] = {open_container, open_preds, open_config};
    static const char *const folders[] = {"files", "preds", "hf"};
    if (json_read_file(&manifest, path, &error)) {
        CHECK(0, "%s", error.text);
        return;
    }
    json_object_foreach(manifest, name, entry)
    {
        char *file = string_format("%.*s%s/%s", folder, path, folders[kind], name);
        const char *expect = json_string_value(json_object_get(entry, "expect"));
        Opener open = kind == 2 && !strncmp(name, "adapter_config", 14) ? open_adapter_config
                                                                        : openers[kind];
        int code = open(file, &error), either = *expect == 'e' || implemented(name);
        CHECK(either || (*expect == 'a' ? !code : code == EXIT_BAD_DATA),
              "%s: exit code %d, should %s (%s)%s%s", file, code, expect,
              json_string_value(json_object_get(entry, "reason")), code ? ": " : "",
              code ? error.text : "");
        check_cuts(file, open, !code);
        free(file);
    }
    printf("%s: %zu files, %d comparisons\n", path, json_object_size(manifest),
           checks_passed + checks_failed - before);
    json_decref(manifest);
}

/* Element i is i / 2, until the one where reading fails. */
static int read_halves(const TensorSource *source, void *values, size_t first, size_t count,
                       Error *error)
{
    const size_t *bad = source->user;
    for (size_t i = 0; i < count; i++) {
        ((float *)values)[i] = (float)(first + i) / 2;
    }
    return first + count > *bad ? error_set(error, EXIT_BUG, "element %zu", *bad) : 0;
}

/* A tensor that is read part by part while it is written. */
static void check_parts(void)
{
    enum { ROWS = 1001, COLUMNS = 700 };
    size_t bad = SIZE_MAX, wrong = 0;
    TensorSource source = {
        .name = "x", .dtype = DTYPE_F32, .rank = 2, .shape = {ROWS, COLUMNS}, .read = read_halves,
        .user = &bad};
    Error error;
    Safetensors st;
    CHECK(!safetensors_write(scratch, &source, 1, NULL, &error) &&
              !safetensors_open(&st, scratch, &error),
          "%s", error.text);
    const float *x = (const float *)(const void *)st.tensors[0].data;
    for (size_t i = 0; i < (size_t)ROWS * COLUMNS; i++) {
        wrong += x[i] != (float)i / 2;
    }
    CHECK(st.tensors[0].count == (size_t)ROWS * COLUMNS && !wrong, "%zu values are wrong", wrong);
    safetensors_close(&st);
    remove(scratch);
    bad = 600000;
    CHECK(safetensors_write(scratch, &source, 1, NULL, &error) == EXIT_BUG && !path_exists(scratch),
          "a file whose values could not be read");
}

static void check_round_trip(void)
{
    float a[6] = {1, -2, 3, 0, 5, INFINITY};
    int32_t b[2] = {7, -7};
    uint64_t c = 1ull << 63;
    TensorSource sources[] = {
        {.name = "b", .dtype = DTYPE_I32, .rank = 1, .shape = {2}, .data = b},
        {.name = "a", .dtype = DTYPE_F32, .rank = 2, .shape = {2, 3}, .data = a},
        {.name = "scalar", .dtype = DTYPE_U64, .data = &c},
        {.name = "empty", .dtype = DTYPE_F32, .rank = 1, .data = a}};
    json_t *metadata = json_pack("{s:s, s:s}", "k", "v\"\n\xC3\xA9", "data_sha256", "");
    Error error;
    Safetensors st;
    CHECK(!safetensors_write(scratch, sources, 4, metadata, &error), "%s", error.text);
    json_decref(metadata);
    if (safetensors_open(&st, scratch, &error)) {
        CHECK(0, "%s", error.text);
        return;
    }
    const Tensor *x = safetensors_find(&st, "a"), *s = safetensors_find(&st, "scalar");
    char hex[65];
    sha256_hex(hex, st.file.bytes + st.data_offset, st.file.size - st.data_offset);
    CHECK(st.count == 4 && x && x->rank == 2 && x->shape[1] == 3 && !memcmp(x->data, a, sizeof a),
          "tensor a");
    CHECK(s && s->rank == 0 && s->count == 1 && !memcmp(s->data, &c, 8), "scalar");
    CHECK(!strcmp(safetensors_meta(&st, "k"), "v\"\n\xC3\xA9") &&
              !strcmp(safetensors_meta(&st, "data_sha256"), hex),
          "metadata");
    CHECK(st.data_offset % 8 == 0 && s->data == st.file.bytes + st.data_offset,
          "alignment and order");
    CHECK(!safetensors_find(&st, "missing"), "missing tensor");
    safetensors_close(&st);
    CHECK(safetensors_open(&st, "/nonexistent/x", &error) == EXIT_NO_INPUT &&
              safetensors_open(&st, "/", &error) == EXIT_BAD_DATA,
          "no file");
    CHECK(safetensors_write("/nonexistent/x", sources, 4, NULL, &error) == EXIT_BUSY,
          "no folder: %s", error.text);
}

/* The examples of FIPS 180-2, in one piece and in two. */
static void check_sha256(void)
{
    static const char text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static const struct {
        size_t size;
        const char *hex;
    } known[] = {
        {0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {56, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char hex[65];
        sha256_hex(hex, text, known[i].size);
        CHECK(!strcmp(hex, known[i].hex), "%zu bytes: %s", known[i].size, hex);
        for (size_t cut = 0; cut <= known[i].size; cut++) {
            unsigned char digest[SHA256_BYTES] = {0};
            Bytes parts[2] = {{text, cut}, {text + cut, known[i].size - cut}};
            sha256(digest, parts, 2);
            sha256_text(hex, digest);
            CHECK(!strcmp(hex, known[i].hex), "%zu bytes, cut at %zu: %s", known[i].size, cut, hex);
        }
    }
}

int main(int argc, char **argv)
{
    check_sha256();
    scratch = scratch_path("x.safetensors");
    check_parts();
    check_round_trip();
    for (int i = 1; i < argc; i++) {
        check_manifest(argv[i]);
    }
    free(scratch);
    return checks_close("test_safetensors");
}
