/* sum_tree.c finds the tree of any sum: random trees, whose sums are really computed. */
#include "check.h"
#include "rng.h"
#include "sum_tree.h"

#include <stdlib.h>
#include <string.h>

static uint32_t drawn(void)
{
    static uint32_t count;
    return philox4x32(count++, 0, 0, 0, 7).word[0];
}

/* A sum with the order of a tree. */
typedef struct Ordered {
    SumTree tree;
    int wide;
    float *terms;
} Ordered;

static float value(const Ordered *o, int node)
{
    if (node < o->tree.leaves) {
        return o->terms[node];
    }
    const int *pair = o->tree.children[node];
    return value(o, pair[0]) + value(o, pair[1]);
}

static float sum_of(const Ordered *o)
{
    if (!o->wide) {
        return value(o, o->tree.root);
    }
    double sum = 0;
    for (int i = 0; i < o->tree.leaves; i++) {
        sum += (double)o->terms[i];
    }
    return (float)sum;
}

static int seen(void *user, int i, int j, int k)
{
    Ordered *o = user;
    memset(o->terms, 0, (size_t)o->tree.leaves * sizeof *o->terms);
    o->terms[i] = 1;
    o->terms[j] = o->terms[k] = 0.4f * 0x1p-23f;
    return sum_of(o) != 1;
}

/* kind 0: any two of what is left are added; 1: a chain in any order; 2: by halves. */
static void make(Ordered *o, int leaves, int kind)
{
    int *left = malloc((size_t)leaves * sizeof *left), count = leaves;
    *o = (Ordered){.terms = malloc((size_t)leaves * sizeof *o->terms)};
    sum_tree_init(&o->tree, leaves);
    for (int i = 0; i < leaves; i++) {
        left[i] = i;
    }
    while (count > 1) {
        int a = kind == 1 ? count - 1 : (int)(drawn() % (uint32_t)count), x = left[a];
        left[a] = left[--count];
        int b = kind == 2 ? 0 : (int)(drawn() % (uint32_t)count);
        left[b] = sum_tree_add(&o->tree, left[b], x);
        if (kind == 1) { /* the sum so far is the next to be added to */
            int last = left[b];
            left[b] = left[count - 1];
            left[count - 1] = last;
        }
    }
    free(left);
}

static void release(Ordered *o)
{
    sum_tree_free(&o->tree);
    free(o->terms);
}

static void check_text(const SumTree *tree, const char *last, size_t most, const char *text)
{
    char *ours = sum_tree_text(tree, last, most);
    CHECK(!strcmp(ours, text), "\"%s\" instead of \"%s\"", ours, text);
    free(ours);
}

static void check_texts(void)
{
    SumTree t;
    sum_tree_init(&t, 7); /* (start 0 1 2) + (3 5), then 4 */
    int a = sum_tree_add(&t, 6, 0);
    a = sum_tree_add(&t, a, 1);
    a = sum_tree_add(&t, 2, a);
    int b = sum_tree_add(&t, 5, 3);
    sum_tree_add(&t, sum_tree_add(&t, b, a), 4);
    check_text(&t, "start", 100, "(((3 5) + (start 0..2)) 4)");
    check_text(&t, NULL, 100, "(((3 5) + (0 6 1 2)) 4)");
    check_text(&t, "start", 10, "(((3 5) + ...");
    sum_tree_free(&t);
    sum_tree_init(&t, 1);
    check_text(&t, NULL, 100, "0");
    sum_tree_free(&t);
}

int main(void)
{
    for (int i = 0; i < 300; i++) {
        Ordered o, other;
        SumTree found;
        int leaves = 1 + (int)(drawn() % 60);
        make(&o, leaves, i % 3);
        SumTreeResult result = sum_tree_find(&found, leaves, seen, &o);
        CHECK(result == SUM_TREE_FOUND && sum_tree_equal(&found, &o.tree), "tree %d of %d leaves",
              i, leaves);
        sum_tree_free(&found);
        make(&other, leaves, i % 3);
        CHECK(leaves < 8 || i % 3 == 2 || !sum_tree_equal(&o.tree, &other.tree),
              "two random trees of %d leaves are taken for one", leaves);
        if (leaves > 2) {
            o.wide = 1;
            result = sum_tree_find(&found, leaves, seen, &o);
            CHECK(result == SUM_TREE_WIDER, "a sum in double has a tree");
            sum_tree_free(&found);
        }
        release(&o);
        release(&other);
    }
    check_texts();
    return checks_close("sum trees");
}
