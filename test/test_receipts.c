/* The digest of a model: the same for the same values in whatever files, another for other values.
 * And files that another program changes while they are mapped. */
#include "check.h"
#include "hf.h"
#include "rig.h"
#include "safetensors.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static Config tiny(void)
{
    Config config;
    Error error;
    json_t *json = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:f}", "model_type", "bert",
                             "vocab_size", 3000, "hidden_size", 24, "intermediate_size", 16,
                             "num_hidden_layers", 2, "num_attention_heads", 2,
                             "max_position_embeddings", 16, "initializer_range", 0.1);
    CHECK(!config_from_json(&config, json, "tiny", &error), "%s", error.text);
    return config;
}

static void open_tiny(Rig *rig, int threads, const LoraConfig *lora)
{
    Error error;
    CHECK(!rig_open(rig, "auto", threads, tiny(), PROBLEM_SINGLE, 2, lora, &error), "%s",
          error.text);
}

/* One file of `shards`: every shards-th parameter from the first on, as bf16 or float32, their
 * names without the prefix if short_names. */
static void write_file(const Rig *rig, const char *name, int first, int shards, int bf16,
                       int short_names)
{
    char *path = scratch_path(name);
    size_t count = (size_t)rig->model.params.count;
    TensorSource *sources = memory_calloc(count, sizeof *sources);
    float **values = memory_calloc(count, sizeof *values);
    uint16_t **halves = memory_calloc(count, sizeof *halves);
    Error error;
    size_t used = 0;
    for (size_t i = (size_t)first; i < count; i += (size_t)shards) {
        const Param *p = &rig->model.params.list[i];
        values[used] = rig_param(rig, p);
        halves[used] = memory_alloc(p->count, sizeof **halves);
        for (size_t k = 0; k < p->count; k++) {
            uint32_t bits;
            memcpy(&bits, values[used] + k, sizeof bits);
            halves[used][k] = (uint16_t)(bits >> 16);
        }
        sources[used] = (TensorSource){
            .name = short_names && !strncmp(p->name, "bert.", 5) ? p->name + 5 : p->name,
            .dtype = bf16 ? DTYPE_BF16 : DTYPE_F32,
            .rank = p->rank,
            .shape = {(size_t)p->shape[0], (size_t)p->shape[1]},
            .data = bf16 ? (const void *)halves[used] : (const void *)values[used]};
        used++;
    }
    CHECK(!safetensors_write(path, sources, used, NULL, &error), "%s", error.text);
    for (size_t i = 0; i < used; i++) {
        free(halves[i]);
        free(values[i]);
    }
    free(values);
    free(halves);
    free(sources);
    free(path);
}

/* The digest of what the folder holds now. */
static void read_digest(char hex[65], int threads, int lora)
{
    Error error;
    Rig rig;
    char *made = NULL;
    LoraConfig adapters = {.targets = 1u << LINEAR_Q, .r = 2, .alpha = 2};
    open_tiny(&rig, threads, lora ? &adapters : NULL);
    CHECK(!model_read(&rig.model, &rig.state, scratch_folder(), 7, hex, &made, &error),
          "%s", error.text);
    free(made);
    rig_free(&rig);
}

static void write_index(const Model *model)
{
    char *path = scratch_path("model.safetensors.index.json");
    json_t *map = json_object();
    for (int i = 0; i < model->params.count; i++) {
        json_object_set_new(map, model->params.list[i].name,
                            json_string(i % 2 ? "b.safetensors" : "a.safetensors"));
    }
    json_t *index = json_pack("{s:o}", "weight_map", map);
    CHECK(!json_dump_file(index, path, 0), "%s", path);
    json_decref(index);
    free(path);
}

static void remove_file(const char *name)
{
    char *path = scratch_path(name);
    unlink(path);
    free(path);
}

/* Writing goes on only while every mapped file is what it was; a page that is gone ends the process
 * with 74, whoever reads it. */
static void check_mapped(void)
{
    enum { SIZE = 20000 };
    char *path = scratch_path("mapped"), *out = scratch_path("out");
    Error error;
    File file;
    Writer writer;
    FILE *stream = fopen(path, "wb");
    CHECK(stream && fprintf(stream, "%*s", SIZE, "") == SIZE && !fclose(stream), "%s", path);
    CHECK(!file_map(&file, path, &error) && !files_unchanged(&error), "mapped");
    CHECK(!truncate(path, SIZE + 1), "longer");
    CHECK(files_unchanged(&error) == EXIT_BAD_DATA && strstr(error.text, path), "%s", error.text);
    CHECK(!writer_open(&writer, out, &error) && writer_commit(&writer, &error) == EXIT_BAD_DATA &&
              !path_exists(out),
          "%s", error.text);
    CHECK(file_copy(path, out, &error) == EXIT_BAD_DATA && !path_exists(out), "copied");
    CHECK(!truncate(path, 1), "cut");
    pid_t child = fork();
    if (!child) {
        int null = dup2(fileno(fopen("/dev/null", "w")), STDERR_FILENO);
        _exit(null < 0 || file.bytes[SIZE - 1]);
    }
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
              WEXITSTATUS(status) == EXIT_IO,
          "status %d", status);
    file_unmap(&file);
    CHECK(!files_unchanged(&error) && !file_copy(path, out, &error), "no longer mapped");
    int bad = 0;
#pragma omp parallel for num_threads(4) reduction(+ : bad)
    for (int i = 0; i < 4000; i++) { /* mapped by several threads at once */
        Error own;
        File mine;
        bad += file_map(&mine, path, &own) || mine.size != 1 || files_unchanged(&own);
        file_unmap(&mine);
    }
    CHECK(!bad && !files_unchanged(&error), "%d of several threads' files", bad);
    unlink(path);
    unlink(out);
    free(path);
    free(out);
}

/* An output whose folder is missing: 73, whoever makes it. */
static void check_missing_folder(void)
{
    char *path = scratch_path("none/x.bin");
    Error error = {0};
    Writer writer;
    NameClaim claim;
    CHECK(writer_open(&writer, path, &error) == EXIT_BUSY,
          "a file in a folder that is missing: code %d", error.code);
    CHECK(writer_check(path, &error) == EXIT_BUSY, "looked at before: code %d", error.code);
    CHECK(!writer_check("x.bin", &error) && !writer_check("/dev/null", &error) &&
              writer_check("/", &error) == EXIT_BUSY,
          "what can be written, and what not");
    CHECK(name_claim(&claim, path, &error) == EXIT_BUSY,
          "a lock in a folder that is missing: code %d", error.code);
    name_release(&claim);
    free(path);
}

int main(void)
{
    char first[65] = "", other[65] = "";
    Rig rig;
    open_tiny(&rig, 1, NULL);
    model_make(&rig.model, &rig.state, 5);
    for (int exact = 0; exact < 2; exact++) { /* then with values that are bf16 numbers */
        for (int i = 0; exact && i < rig.model.params.count; i++) {
            Param *param = &rig.model.params.list[i];
            float *values = rig_param(&rig, param);
            for (size_t k = 0; k < param->count; k++) {
                uint32_t bits;
                memcpy(&bits, values + k, sizeof bits);
                bits &= 0xFFFF0000u;
                memcpy(values + k, &bits, sizeof bits);
            }
            rig_param_put(&rig, param, values);
            free(values);
        }
        write_file(&rig, "model.safetensors", 0, 1, 0, 0);
        read_digest(first, 1, 0);
        read_digest(other, 3, 0);
        CHECK(!strcmp(first, other), "threads");
        read_digest(other, 1, 1);
        CHECK(!strcmp(first, other), "with adapters");
        write_file(&rig, "model.safetensors", 0, 1, 0, 1);
        read_digest(other, 1, 0);
        CHECK(!strcmp(first, other), "names without prefix");
        write_file(&rig, "model.safetensors", 0, 1, 1, 0);
        for (int lora = 0; lora < 2; lora++) {
            read_digest(other, 1, lora);
            CHECK(exact == !strcmp(first, other), "bf16 in place of float32, adapters %d", lora);
        }
        remove_file("model.safetensors");
        write_file(&rig, "a.safetensors", 0, 2, 0, 0);
        write_file(&rig, "b.safetensors", 1, 2, 0, 0);
        write_index(&rig.model);
        read_digest(other, 2, 0);
        CHECK(!strcmp(first, other), "shards");
        remove_file("model.safetensors.index.json");
    }
    for (int i = 0; i < rig.model.params.count; i += rig.model.params.count / 7) {
        Param *param = &rig.model.params.list[i];
        float *values = rig_param(&rig, param);
        size_t at = param->count * 3 / 4;
        values[at] += 0.5f;
        rig_param_put(&rig, param, values);
        write_file(&rig, "model.safetensors", 0, 1, 0, 0);
        read_digest(other, 1, 0);
        CHECK(strcmp(first, other) != 0, "a value of %s", param->name);
        values[at] -= 0.5f;
        rig_param_put(&rig, param, values);
        free(values);
    }
    check_mapped();
    check_missing_folder();
    static const char *const files[] = {"model.safetensors", "a.safetensors", "b.safetensors"};
    for (int i = 0; i < 3; i++) {
        remove_file(files[i]);
    }
    rig_free(&rig);
    return checks_close("test_receipts");
}
