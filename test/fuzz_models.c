/* Fuzz target: a folder with the files of a model and of an adapter for it. */
#include "adapter.h"
#include "adapter_config.h"
#include "fuzz.h"
#include "hf.h"
#include "safetensors.h"
#include "shards.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"model.safetensors",
                                    "config.json",
                                    "adapter_config.json",
                                    "adapter_model.safetensors",
                                    "model.safetensors.index.json",
                                    "model-00001-of-00002.safetensors",
                                    "model-00002-of-00002.safetensors"};
enum { NAMES = sizeof names / sizeof *names };

static const char *const classes[] = {"entailment", "not_entailment"};
static Backend backend;

/* Tensors lie one behind the other in the file, and what is written again is the same. */
static void check_container(const char *name)
{
    Safetensors st, again;
    Error error;
    char *path = fuzz_path(name), *copy = fuzz_path("again.safetensors");
    if (!safetensors_open(&st, path, &error)) {
        size_t bytes = 0;
        int writable = 1;
        TensorSource *sources = memory_calloc(st.count, sizeof *sources);
        for (size_t i = 0; i < st.count; i++) {
            const Tensor *t = &st.tensors[i];
            size_t count = 1;
            for (int d = 0; d < t->rank; d++) {
                count *= t->shape[d];
            }
            REQUIRE(t->data >= st.file.bytes + st.data_offset &&
                        t->data + t->bytes <= st.file.bytes + st.file.size,
                    "'%s'", t->name);
            REQUIRE(count == t->count && safetensors_find(&st, t->name) == t, "'%s'", t->name);
            bytes += t->bytes;
            float *values = memory_alloc(t->count, sizeof *values);
            (void)!tensor_to_float(values, t, path, &error);
            free(values);
            sources[i] = (TensorSource){
                .name = t->name, .dtype = t->dtype, .rank = t->rank, .data = t->data};
            writable = writable && t->rank <= 3;
            for (int d = 0; d < t->rank && t->rank <= 3; d++) {
                sources[i].shape[d] = t->shape[d];
            }
        }
        REQUIRE(bytes == st.file.size - st.data_offset, "%zu", bytes);
        if (writable) {
            REQUIRE(!safetensors_write(copy, sources, st.count, NULL, &error), "%s", error.text);
            REQUIRE(!safetensors_open(&again, copy, &error), "%s", error.text);
            REQUIRE(again.count == st.count, "%zu of %zu", again.count, st.count);
            for (size_t i = 0; i < st.count; i++) {
                const Tensor *a = &st.tensors[i], *b = &again.tensors[i];
                REQUIRE(!strcmp(a->name, b->name) && a->dtype == b->dtype && a->bytes == b->bytes &&
                            (!a->bytes || !memcmp(a->data, b->data, a->bytes)),
                        "'%s'", a->name);
            }
            safetensors_close(&again);
            fuzz_remove("again.safetensors");
        }
        free(sources);
        safetensors_close(&st);
    }
    free(path);
    free(copy);
}

static void check_config(const Config *c)
{
    REQUIRE(c->V > 0 && c->C > 0 && c->F > 0 && c->L > 0 && c->H > 0 && c->K > 0 && c->D > 0, "%d",
            c->V);
    REQUIRE(c->H % c->K == 0 && c->padding >= -1 && c->padding < c->V, "%d", c->padding);
    REQUIRE(c->positions > 0 && config_longest(c) > 0, "%d", c->positions);
    REQUIRE(c->eps >= 0 && c->eps < 1 && c->dropout >= 0 && c->dropout < 1 &&
                c->attention_dropout >= 0 && c->attention_dropout < 1 && c->head_dropout >= 0 &&
                c->head_dropout < 1 && isfinite(c->init_std),
            "%g", (double)c->eps);
    if (c->architecture == ARCH_LLAMA) {
        int D = c->D, places[] = {0, 1, c->positions - 1};
        double *frequency = memory_alloc((size_t)D / 2, sizeof *frequency);
        float *cosine = memory_alloc((size_t)D / 2, sizeof *cosine),
              *sine = memory_alloc((size_t)D / 2, sizeof *sine);
        rope_frequencies(frequency, D, &c->rope);
        for (int p = 0; p < 3; p++) {
            rope_angles(cosine, sine, places[p], frequency, D);
            for (int i = 0; i < D / 2; i++) {
                REQUIRE(fabsf(cosine[i]) <= 1 && fabsf(sine[i]) <= 1, "angle %d of position %d", i,
                        places[p]);
            }
        }
        free(frequency);
        free(cosine);
        free(sine);
    } else {
        REQUIRE(c->D * c->H == c->C && c->K == c->H && c->types > 0, "%d", c->D);
    }
}

/* How many parameters there may be, for memory: more are not read. */
static int is_small(const Config *c)
{
    double C = c->C, heads = (double)c->D * (c->H + c->K),
           all = (c->V + c->positions + (double)c->types + 3 * C) * C + c->F * 3.0 +
                 c->L * (2 * C * heads + 3 * C * c->F);
    return all < 3e5 && c->L < 50;
}

static void check_finite(const Model *model, const State *state)
{
    for (int i = 0; i < model->params.count; i++) {
        const Param *param = &model->params.list[i];
        size_t wide = param->frozen.bf16 ? 2 : 4;
        void *values = memory_alloc(param->count, wide);
        param_get(param, state->weights, values, 0, param->count, backend.device);
        for (size_t v = 0; v < param->count; v++) {
            float f = wide == 4 ? ((float *)values)[v] : 0;
            REQUIRE(wide == 4 ? isfinite(f) : (((uint16_t *)values)[v] & 0x7F80) != 0x7F80, "%s",
                    param->name);
        }
        free(values);
    }
}

typedef struct Reading {
    Model model;
    State state;
    char sha256[65];
} Reading;

static int read_model(Reading *reading, const Config *as, const char *folder, Problem problem,
                      int O, const LoraConfig *lora)
{
    Config config;
    Error error;
    char *made = NULL;
    REQUIRE(!config_from_json(&config, json_deep_copy(as->json), "config", &error), "%s",
            error.text);
    config.spans = as->spans;
    model_init(&reading->model, config, problem, O, lora, &backend);
    if (problem == PROBLEM_SINGLE && O == 2) {
        reading->model.task = "rte";
        reading->model.labels = classes;
    }
    state_init(&reading->state, &reading->model, 0, 0);
    int code = model_read(&reading->model, &reading->state, folder, 1, reading->sha256, &made,
                          &error);
    free(made);
    return code;
}

static void close_model(Reading *reading)
{
    state_free(&reading->state, &reading->model);
    model_free(&reading->model);
}

/* A model that is written is read as the same. */
static void read_weights(const Config *config, Problem problem, int O)
{
    Reading first, second;
    Error error;
    char *copy = fuzz_path("copy");
    if (!read_model(&first, config, fuzz_folder(), problem, O, NULL)) {
        check_finite(&first.model, &first.state);
        REQUIRE(!model_write(&first.model, &first.state, copy, classes, O, &error), "%s",
                error.text);
        REQUIRE(!read_model(&second, config, copy, problem, O, NULL), "again");
        REQUIRE(first.model.params.trained == second.model.params.trained, "%zu",
                first.model.params.trained);
        REQUIRE(!memcmp(first.state.weights, second.state.weights,
                        first.model.params.trained * sizeof(float)),
                "%s", first.model.label_note);
        close_model(&second);
        REQUIRE(!folder_remove(copy, &error), "%s", error.text);
    }
    close_model(&first);
    free(copy);
}

/* The adapter over the base of the folder; written and read it is the same. */
static void read_adapter(Config *config, const LoraConfig *lora)
{
    Problem problem;
    int O;
    Reading first;
    Error error;
    char *copy = fuzz_path("copy");
    REQUIRE(lora->r >= 1 && lora->r <= LORA_MAX_RANK && isfinite(lora_scale(lora)) &&
                lora->dropout >= 0 && lora->dropout < 1 && lora->targets,
            "%d", lora->r);
    if (lora->r > 64 || adapter_head(&problem, &O, fuzz_folder(), config, &error) || O > 64) {
        free(copy);
        return;
    }
    if (!read_model(&first, config, fuzz_folder(), problem, O, lora) &&
        !adapter_read(&first.model, &first.state, fuzz_folder(), 0, NULL, &error)) {
        size_t bytes = first.model.params.trained * sizeof(float);
        float *values = memory_alloc(bytes, 1);
        memcpy(values, first.state.weights, bytes);
        check_finite(&first.model, &first.state);
        REQUIRE(!adapter_write(&first.model, &first.state, copy, "base", &error), "%s", error.text);
        memset(first.state.weights, 0, bytes);
        REQUIRE(!adapter_read(&first.model, &first.state, copy, 0, NULL, &error), "%s", error.text);
        REQUIRE(!memcmp(values, first.state.weights, bytes), "%s", first.model.label_note);
        REQUIRE(!folder_remove(copy, &error), "%s", error.text);
        free(values);
    }
    close_model(&first);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    FuzzFile files[FUZZ_FILES];
    Config config;
    LoraConfig lora;
    Error error;
    int count = fuzz_split(files, bytes, size), there[NAMES] = {0};
    char *config_path = fuzz_path(names[1]), *lora_path = fuzz_path(names[2]);
    REQUIRE(backend.device || !backend_init(&backend, "cpu", "scalar", 1, &error), "%s",
            error.text);
    for (int i = 0; i < count; i++) {
        int name = (unsigned char)(files[i].letter - 'a') % NAMES;
        fuzz_write(names[name], files[i].bytes, files[i].size);
        there[name] = 1;
    }
    for (int i = 0; i < NAMES; i++) {
        if (there[i] && strstr(names[i], ".safetensors") && !strstr(names[i], ".json")) {
            check_container(names[i]);
        }
    }
    if (there[1] && !config_read(&config, config_path, &error)) {
        check_config(&config);
        if (is_small(&config) && (there[0] || there[4])) {
            int llama = config.architecture == ARCH_LLAMA;
            read_weights(&config, PROBLEM_SINGLE, 2);
            read_weights(&config, llama ? PROBLEM_LANGUAGE : PROBLEM_CHOICE, llama ? 0 : 2);
        }
        if (there[2] && !adapter_config_read(&lora, lora_path, &config, &error) && there[3] &&
            is_small(&config)) {
            read_adapter(&config, &lora);
        }
        config_free(&config);
    }
    for (int i = 0; i < NAMES; i++) {
        if (there[i]) {
            fuzz_remove(names[i]);
        }
    }
    free(config_path);
    free(lora_path);
    fuzz_free(files, count);
    return 0;
}
