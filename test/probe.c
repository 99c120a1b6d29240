/* probe [OPTION]... [OP[=VARIANT][@ROWS,COLUMNS]]...: in which order do the sums of ops.def add their terms, and is
 * it the order that ops.def states? Looks at results alone (sum_tree.h), so it says the same of a
 * library whose source nobody has. Without a name: every sum.
 * ROWS, COLUMNS: of the output of a product, which a library's order may depend on. */
#include "probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { POOL = 1 << 22, SCRATCH = 1 << 23, SHOWN = 120, TRIALS = 20, EXIT_DIFFERENT = 1 };

/* What a question is asked with. */
typedef struct Asked {
    Probe *probe;
    const Sum *sum;
    float large, small; /* factors: of a term, and of one of 0.4 of its last place */
    int observe;        /* of Sum.run */
} Asked;

static double run(const Asked *q)
{
    return q->sum->run(q->probe, q->sum->terms, q->observe);
}

/* All terms 0. */
static void clear(const Asked *q)
{
    for (int i = 0; i <= q->sum->terms; i++) {
        q->probe->a[i] = q->sum->kind == TERM_EXP && i < q->sum->terms ? -1000.0f : 0.0f;
        q->probe->b[i] = 1;
    }
}

/* A term that is none of these, nor before `from`. */
static int another(int from, int i, int j, int k)
{
    while (from == i || from == j || from == k) {
        from++;
    }
    return from;
}

/* Whether terms at j and k (-1: none) of this size are seen beside a large one at i. Where the mean
 * has to be 0, two others of half the size have the opposite sign: they change no answer, as they
 * hold more digits of what meets them before i than i does. */
static int seen_beside(Asked *q, int i, int j, int k, float size)
{
    float *a = q->probe->a;
    int centered = q->sum->kind == TERM_CENTERED;
    clear(q);
    q->observe = q->sum->kind == TERM_EXP ? i : another(0, i, j, k);
    a[i] = q->large;
    if (centered) {
        int other = another(0, i, j, k);
        a[other] = a[another(other + 1, i, j, k)] = -0.5f * q->large;
    }
    double alone = run(q);
    a[j] = size;
    if (k >= 0) {
        a[k] = centered ? -size : size;
    }
    return run(q) != alone;
}

static int seen(void *user, int i, int j, int k)
{
    Asked *q = user;
    return seen_beside(q, i, j, k, q->small);
}

/* Factors for a large term of whose last place a change is seen in the result. */
static int choose_terms(Asked *q)
{
    int centered = q->sum->kind == TERM_CENTERED;
    int squared = centered || q->sum->kind == TERM_SQUARE;
    for (int t = 0; t < 26; t++) {
        double root = 1 + t / 64.0, large = squared ? root * root : root;
        double last = ldexp(1, ilogb(large) - (q->sum->wide ? 52 : 23));
        double small = 0.4 * last, seen_alone = 0.8 * last;
        q->large = (float)root;
        if (squared) {
            small = sqrt(small);
            seen_alone = sqrt(seen_alone);
        } else if (q->sum->kind == TERM_EXP) {
            q->large = 0;
            small = log(small);
            seen_alone = log(seen_alone);
        }
        q->small = (float)small;
        if ((!centered || 1.5 * large < 2) &&
            seen_beside(q, 0, 1, centered ? 2 : -1, (float)seen_alone)) {
            return 1;
        }
    }
    return 0;
}

/* How many products of the tree are added without having been rounded, of how many it can be told:
 * the square of 1 + 2^-12 lies halfway between two floats, a small term that came before decides. */
static void count_fused(Asked *q, const SumTree *tree, int *fused, int *of)
{
    float *a = q->probe->a, *b = q->probe->b;
    for (int x = 0; x < q->sum->terms; x++) {
        int above = tree->parent[x];
        if (above < 0) {
            continue;
        }
        int beside = tree->children[above][tree->children[above][0] == x];
        int before = tree->leaf[beside];
        if (beside < tree->leaves && beside > x && beside < q->sum->terms) {
            continue; /* x is the first of its chain: what comes first is rounded anyhow */
        }
        clear(q);
        q->observe = another(0, x, before, -1);
        a[x] = b[x] = 1 + 0x1p-12f;
        double alone = run(q);
        a[before] = q->sum->kind == TERM_SQUARE && before < q->sum->terms ? 0x1.6ap-13f : 0x1p-25f;
        *fused += run(q) != alone;
        ++*of;
    }
}

/* The sum of a product's terms as the tree adds them; the start is no product. */
static float value(const Asked *q, const SumTree *tree, int node, int fused)
{
    const float *a = q->probe->a, *b = q->probe->b;
    int start = q->sum->terms;
    if (node < tree->leaves) {
        return node == start ? a[node] : a[node] * b[node];
    }
    int x = tree->children[node][0], y = tree->children[node][1];
    if (x >= tree->leaves || (y < tree->leaves && x != start && (y == start || y < x))) {
        int other = x; /* x: a leaf, where there is one; of two the one that came first */
        x = y;
        y = other;
    }
    if (x < tree->leaves && y < tree->leaves) { /* x is what is there before y */
        return fused ? fmaf(a[y], b[y], value(q, tree, x, fused))
                     : value(q, tree, x, fused) + value(q, tree, y, fused);
    }
    return fused && x < start ? fmaf(a[x], b[x], value(q, tree, y, fused))
                              : value(q, tree, x, fused) + value(q, tree, y, fused);
}

/* Whether random products, added by the tree, are what the op makes of them, each time. */
static int check_values(Asked *q, const SumTree *tree, int fused)
{
    for (uint32_t t = 0; t < TRIALS; t++) {
        for (uint32_t i = 0; i <= (uint32_t)q->sum->terms; i++) {
            Philox p = philox4x32(i, t, 0, 0, 1);
            q->probe->a[i] = (float)(int32_t)p.word[0] * 0x1p-31f;
            q->probe->b[i] = (float)(int32_t)p.word[1] * 0x1p-31f;
        }
        if (run(q) != (double)value(q, tree, tree->root, fused)) {
            return 0;
        }
    }
    return 1;
}

/* Prints one sum. Returns whether it is as ops.def says. */
static int probe_one(Probe *probe, const Sum *sum, const char *name)
{
    Asked q = {.probe = probe, .sum = sum};
    SumTree tree, contract;
    int right = 0, fused = 0, of = 0;
    printf("%s: %s, %d terms%s\n", name, sum->what, sum->terms,
           sum->start ? " and what is there" : "");
    if (!choose_terms(&q)) {
        puts("  no term is lost beside a large one, or none is ever seen");
        return 0;
    }
    SumTreeResult result = sum_tree_find(&tree, sum->terms + sum->start, seen, &q);
    probe_contract(&contract, sum);
    if (result == SUM_TREE_FOUND) {
        char *text = sum_tree_text(&tree, sum->start ? "start" : NULL, SHOWN);
        printf("  %s", text);
        free(text);
        if (sum->kind == TERM_PRODUCT || sum->kind == TERM_SQUARE) {
            count_fused(&q, &tree, &fused, &of);
            printf(fused == of ? ", by fma"
                   : fused     ? ", %d of %d by fma"
                               : ", each product rounded",
                   fused, of);
        }
        right = sum_tree_equal(&tree, &contract) && fused == of;
        if (!strncmp(sum->op, "matmul_", 7) && (fused == of || !fused)) {
            int same = check_values(&q, &tree, fused > 0);
            printf("; random products %s", same ? "have these bits" : "DO NOT have these bits");
            right = right && same;
        }
    } else {
        fputs(result == SUM_TREE_WIDER ? "  no term is lost: in a type wider than the result"
                                       : "  no tree of sums of two",
              stdout);
    }
    if (right) {
        puts("; so says ops.def");
    } else {
        char *text = sum_tree_text(&contract, sum->start ? "start" : NULL, SHOWN);
        printf("\n  ops.def: %s\n", text);
        free(text);
    }
    sum_tree_free(&tree);
    sum_tree_free(&contract);
    return right;
}

static int usage(void)
{
    fputs("usage: probe [--device NAME] [--simd NAME] [OP[=VARIANT][@ROWS,COLUMNS]]...\n", stderr);
    return EXIT_USAGE;
}

/* Takes "@ROWS,COLUMNS" off a choice. */
static int read_size(Probe *probe, char *choice, Error *error)
{
    char *at = strchr(choice, '@'), more;
    if (!at) {
        return 0;
    }
    *at = 0;
    if (strncmp(choice, "matmul_", 7) != 0 ||
        sscanf(at + 1, "%d,%d%c", &probe->rows, &probe->columns, &more) != 2 || probe->rows < 1 ||
        probe->columns < 1 || probe->rows > 1000 || probe->columns > 1000) {
        return error_set(error, EXIT_USAGE, "%s@%s: a product, and its rows,columns up to 1000",
                         choice, at + 1);
    }
    return 0;
}

static const SumList *const lists[] = {&probe_products, &probe_attention};
enum { LISTS = sizeof lists / sizeof *lists };

/* All sums of an op, or of all ops, by a backend with this choice. */
static int probe_choice(const char *device, const char *simd, char *choice, int *right, int *wrong,
                        Error *error)
{
    Probe probe = {.rows = 1, .columns = 1};
    size_t op = choice ? strcspn(choice, "=@") : 0;
    int found = 0, most = 0;
    char *name = choice ? string_copy(choice) : NULL;
    for (size_t l = 0; l < LISTS; l++) {
        for (int i = 0; i < lists[l]->count; i++) {
            most = lists[l]->sums[i].terms > most ? lists[l]->sums[i].terms : most;
        }
    }
    if ((choice && read_size(&probe, choice, error)) ||
        backend_init(&probe.backend, device, simd, 1, error) ||
        (choice && choice[op] && backend_choose(&probe.backend, choice, error))) {
        free(name);
        return error->code;
    }
    backend_reserve(&probe.backend, SCRATCH);
    probe.memory = probe.backend.device->alloc_shared(POOL * sizeof(float));
    probe.a = memory_alloc((size_t)most + 1, sizeof(float));
    probe.b = memory_alloc((size_t)most + 1, sizeof(float));
    for (size_t l = 0; l < LISTS; l++) {
        for (int i = 0; i < lists[l]->count; i++) {
            const Sum *sum = &lists[l]->sums[i];
            if (!choice || (strlen(sum->op) == op && !strncmp(sum->op, choice, op))) {
                int as_stated = probe_one(&probe, sum, name ? name : sum->op);
                *(as_stated ? right : wrong) += 1;
                found = 1;
            }
        }
    }
    free(name);
    free(probe.a);
    free(probe.b);
    probe.backend.device->release(probe.memory, POOL * sizeof(float));
    backend_free(&probe.backend);
    return found ? 0 : error_set(error, EXIT_USAGE, "%s: no op with a sum of this name", choice);
}

int main(int argc, char **argv)
{
    const char *device = "cpu", *simd = "auto";
    Error error = {0};
    int at = 1, right = 0, wrong = 0, code = 0;
    for (; at < argc && !strncmp(argv[at], "--", 2); at += 2) {
        if (at + 1 == argc ||
            (strcmp(argv[at], "--device") != 0 && strcmp(argv[at], "--simd") != 0)) {
            return usage();
        }
        *(argv[at][2] == 'd' ? &device : &simd) = argv[at + 1];
    }
    do {
        code = probe_choice(device, simd, at < argc ? argv[at] : NULL, &right, &wrong, &error);
    } while (!code && ++at < argc);
    if (code) {
        fprintf(stderr, "probe: %s\n", error.text);
        return code;
    }
    printf("probe: %d passed, %d failed\n", right, wrong);
    return wrong ? EXIT_DIFFERENT : 0;
}
