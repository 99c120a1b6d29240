#include "trace_header.h"
#include "output.h"
#include "version.h"
#include "watch.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static json_t *ops_json(void)
{
    json_t *ops = json_array();
    for (int i = 0; i < OPS; i++) {
        json_t *outputs = json_array();
        for (int o = 0; op_outputs[i][o]; o++) {
            json_array_append_new(outputs, json_string(op_outputs[i][o]));
        }
        json_array_append_new(ops,
                              json_pack("{s:s, s:o}", "name", op_names[i], "outputs", outputs));
    }
    return ops;
}

static json_t *parameters_json(const Params *params)
{
    json_t *list = json_array();
    for (int p = 0; p < params->count; p++) {
        const Param *param = &params->list[p];
        json_t *shape = json_array();
        for (int i = 0; i < param->rank; i++) {
            json_array_append_new(shape, json_integer(param->shape[i]));
        }
        json_t *entry = json_pack("{s:o, s:o, s:s}", "name", json_text(param->name), "shape", shape,
                                  "group", param->decay ? "decay" : "no decay");
        if (param->trainable) {
            json_array_append_new(list, entry);
        } else {
            json_decref(entry);
        }
    }
    return list;
}

json_t *trace_header(const Setup *setup, const Seeds *seeds, int outputs)
{
    const Setup *s = setup;
    const Options *o = s->options;
    char created[32], folder[4096];
    time_t now = time(NULL);
    struct tm utc;
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    json_t *command = json_array();
    for (int i = 0; i < o->argc; i++) {
        json_array_append_new(command, json_text(o->argv[i]));
    }
    /* what the environment and the folder decided, so that the command alone is the run */
    if (!o->model) {
        json_array_append_new(command, json_string("--model"));
        json_array_append_new(command, json_text(s->model_folder ? s->model_folder : "tiny"));
    }
    if (!o->data && !o->train_file) {
        json_array_append_new(command, json_string("--data"));
        json_array_append_new(command, json_text(s->builtin ? "builtin" : s->data_folder));
    }
    json_t *cut = json_pack("{s:i, s:b}", "micro_batch", s->micro, "recompute",
                            s->work.recompute != 0);
    json_t *run = json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:i}", "recipe",
                            recipe_json(&s->recipe, seeds), "task", s->task->name, "benchmark",
                            s->task->benchmark, "model_sha256", s->model_sha256, "adapter_sha256",
                            s->recipe.start, "tokenizer_sha256", tokenizer_sha256(s->tokenizer),
                            "train_sha256", s->train.sha256, "dataset_sha256", s->dev.sha256,
                            "steps", s->steps, "level", outputs ? "outputs" : "weights", "every",
                            option_count(o->trace_every));
    json_t *machine = json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:s, s:s}", "device", s->backend.device->name, "threads",
        s->backend.ctx.threads, "simd", s->backend.ops.build, "tool_version", TOOL_VERSION,
        "git_commit", git_commit(), "kernels_sha256", kernels_sha256(), "created", created);
    json_object_update(outputs ? run : machine, cut); /* records depend on both */
    json_decref(cut);
    json_object_set_new(machine, "model", json_text(s->model_name));
    if (s->backend.library) {
        json_object_set_new(machine, "library", json_text(s->backend.library));
    }
    json_t *header = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:i}", "run", run, "machine", machine, "command", command,
        "folder", json_text(getcwd(folder, sizeof folder) ? folder : ""), "parameters",
        parameters_json(&s->model.params), "ops", ops_json(), "layers", s->model.config.L);
    if (o->keep_checkpoints) {
        char *name = output_name(s, &s->dev, seeds), *kept = string_format("%s.checkpoints", name);
        json_object_set_new(header, "checkpoints", json_text(kept));
        free(kept);
        free(name);
    }
    return header;
}
