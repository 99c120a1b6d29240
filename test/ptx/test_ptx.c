/* nvcc, checked: every op of kernels/x.cu by its PTX, run on the CPU, must leave the bits of its
 * reference at every shape of test_ops. The emulator runs the same sources, compiled by another
 * compiler; here it is what nvcc made of them, all but the last step to machine code.
 *
 *     test_ptx [--only OP] [--ptx FILE]
 *
 * FILE: PTX whose kernels run instead of those of the same name. */
#include "check.h"
#include "guarded.h"
#include "harness.h"
#include "ops_reference.h"
#include "runtime.h"

#include <stdlib.h>
#include <string.h>

extern const Ops ops_ptx;

static const OpCase *const families[] = {
    matmul_cases,      lora_cases,      attention_cases, norm_cases,      rope_cases,
    elementwise_cases, embedding_cases, loss_cases,      optimizer_cases,
};

static int has_op(const char *op)
{
#define OP(name, ...)                                                                              \
    if (!strcmp(op, #name)) {                                                                      \
        return ops_ptx.name != NULL;                                                               \
    }
#include "ops.def"
#undef OP
    return 0;
}

/* The emulator's backend, whose device is like one of CUDA, with other ops. */
static Backend backend_of(const Ops *ops)
{
    Backend backend;
    Error error;
    if (backend_init(&backend, "sim", "auto", 1, &error)) {
        printf("test_ptx: %s\n", error.text);
        exit(error.code);
    }
    backend.ops = backend.ctx.inner = *ops;
    return backend;
}

/* To save time, what takes many instructions runs with one fill of three. */
static void test_op(const OpCase *c)
{
    static const Shape end;
    const size_t many = 5000000;
    for (const Shape *shape = c->shapes; memcmp(shape, &end, sizeof end) != 0; shape++) {
        size_t steps = 0; /* that the last fill took */
        for (Fill fill = 0; fill < FILLS; fill++) {
            Run *run = run_new(c, shape->n, fill, NULL);
            Backend reference = backend_of(&ops_reference), ptx = backend_of(&ops_ptx);
            run_case(run, &reference, 0, 0);
            if (steps < many) {
                size_t before = ptx_steps();
                run_case(run, &ptx, 1, 0);
                steps = ptx_steps() - before;
            }
            backend_free(&reference);
            backend_free(&ptx);
            run_free(run);
        }
    }
}

/* Returns how many ops. */
static int test_ops(const char *only)
{
    int count = 0;
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        for (const OpCase *c = families[f]; c->op; c++) {
            if (has_op(c->op) && (!only || !strcmp(only, c->op))) {
                test_op(c);
                count++;
            }
        }
    }
    return count;
}

static void replace(const char *path)
{
    File file;
    Error error;
    if (file_map(&file, path, &error)) {
        fprintf(stderr, "test_ptx: %s\n", error.text);
        exit(error.code);
    }
    runtime_replace(string_format("%.*s", (int)file.size, (const char *)file.bytes));
    file_unmap(&file);
}

int main(int argc, char **argv)
{
    const char *only = NULL, *name;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && !strcmp(argv[i], "--only")) {
            only = argv[i + 1];
        } else if (i + 1 < argc && !strcmp(argv[i], "--ptx")) {
            replace(argv[i + 1]);
        } else {
            fputs("usage: test_ptx [--only OP] [--ptx FILE]\n", stderr);
            return EXIT_USAGE;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    guarded_start();
    for (int target = 0; (name = runtime_choose(target)); target++) {
        if (runtime_repeats()) {
            printf("%s: the PTX is that of %s\n", name, runtime_choose(0));
        } else {
            printf("%s: %d ops\n", name, test_ops(only));
            if (!only) {
                runtime_list_idle();
            }
        }
    }
    return checks_close("test_ptx");
}
