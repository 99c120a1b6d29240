/* Our side of tools/peer.py, which measures it in turn with PyTorch: reads a line, does what it says
 * once, and answers with a line "SECONDS OPERATIONS PEAK BYTES": OPERATIONS as rig_flops has them,
 * PEAK float32 operations a second of this machine just before, BYTES the most memory so far.
 *     bench_peer train|lora|evaluate base|base-2048|large|smollm|FOLDER SEQUENCES LONGEST
 *             [threads [simd]]
 *         a line: the lengths of a batch of at most so many sequences and tokens in each
 *     bench_peer products [threads [simd]]
 *         a line: forward|input|weight M O K; SECONDS are the mean of some calls in a row */
#include "hf.h"
#include "steps.h"

#include <stdlib.h>
#include <string.h>

static int usage(void)
{
    fputs("usage: bench_peer train|lora|evaluate base|base-2048|large|smollm|FOLDER SEQUENCES "
          "LONGEST [threads [simd]]\n"
          "       bench_peer products [threads [simd]]\n",
          stderr);
    return EXIT_USAGE;
}

static int bad_line(const char *line)
{
    fprintf(stderr, "bench_peer: not understood: %s\n", line);
    return EXIT_BAD_DATA;
}

static void answer(double seconds, double flops, double peak)
{
    printf("%.9f %.0f %.0f %zu\n", seconds, flops, peak, memory_peak());
    fflush(stdout);
}

static void open_model(Rig *rig, const char *name, const LoraConfig *lora, int train,
                       Backend *backend)
{
    if (!strcmp(name, "base") || !strcmp(name, "base-2048")) {
        Config config = roberta_config("RoBERTa-base", 768, 3072, 12, 12);
        config.positions = strcmp(name, "base") ? 2050 : config.positions;
        rig_open(rig, config, lora, train, backend);
    } else if (!strcmp(name, "large")) {
        rig_open(rig, roberta_config("RoBERTa-large", 1024, 4096, 24, 16), lora, train, backend);
    } else if (!strcmp(name, "smollm")) {
        rig_open(rig, smollm_config(), lora, train, backend);
    } else {
        rig_open_folder(rig, name, lora, train, backend);
        return;
    }
    model_make(&rig->model, &rig->state, 42);
}

static int serve_steps(Backend *backend, const char *what, const char *model, int most, int longest)
{
    int train = strcmp(what, "evaluate") != 0, code = 0,
        *lengths = memory_alloc((size_t)most, sizeof *lengths);
    char *line = NULL;
    size_t room = 0;
    Rig rig;
    open_model(&rig, model, strcmp(what, "lora") ? NULL : &lora_q_v, train, backend);
    rig_plan(&rig, most, longest, train, 0);
    for (int number = 0; !code && getline(&line, &room, stdin) > 0; number++) {
        int B = 0;
        char *at = line, *end;
        for (long n; B < most && (n = strtol(at, &end, 10)) > 0 && n <= longest; at = end) {
            lengths[B++] = (int)n;
        }
        if (!B || *at != '\n') {
            code = bad_line(line);
            break;
        }
        rig_fill(&rig, lengths, B, number);
        double flops = rig_flops(&rig), peak = backend->device->peak(&backend->ctx);
        answer(train ? rig_step(&rig, number) : rig_evaluate(&rig), flops, peak);
    }
    rig_close(&rig);
    free(line);
    free(lengths);
    return code;
}

static int serve_products(Backend *backend)
{
    char *line = NULL;
    size_t room = 0;
    int code = 0;
    while (!code && getline(&line, &room, stdin) > 0) {
        char which[16];
        int M, O, K;
        if (sscanf(line, "%15s %d %d %d", which, &M, &O, &K) != 4 || M < 1 || O < 1 || K < 1 ||
            (strcmp(which, "forward") && strcmp(which, "input") && strcmp(which, "weight"))) {
            code = bad_line(line);
            break;
        }
        double peak = backend->device->peak(&backend->ctx);
        answer(product_seconds(backend, *which, M, O, K, 0.1), 2.0 * M * O * K, peak);
    }
    free(line);
    return code;
}

int main(int argc, char **argv)
{
    Backend backend;
    Error error;
    int products = argc > 1 && !strcmp(argv[1], "products"), threads = products ? 2 : 5, code;
    int known = products || (argc > 4 && (!strcmp(argv[1], "train") || !strcmp(argv[1], "lora") ||
                                          !strcmp(argv[1], "evaluate")));
    int most = !products && known ? atoi(argv[3]) : 1,
        longest = !products && known ? atoi(argv[4]) : 1;
    if (!known || argc > threads + 2 || most < 1 || longest < 1) {
        return usage();
    }
    if (backend_init(&backend, "cpu", argc > threads + 1 ? argv[threads + 1] : "auto",
                     argc > threads ? atoi(argv[threads]) : 0, &error)) {
        fprintf(stderr, "bench_peer: %s\n", error.text);
        return error.code;
    }
    printf("%s kernels, %d threads\n", backend.ops.build, backend.ctx.threads);
    fflush(stdout);
    code = products ? serve_products(&backend)
                    : serve_steps(&backend, argv[1], argv[2], most, longest);
    backend_free(&backend);
    return code;
}
