#include "sum_tree.h"

#include "base.h"
#include "rng.h"

#include <stdlib.h>
#include <string.h>

void sum_tree_init(SumTree *tree, int leaves)
{
    size_t nodes = 2 * (size_t)leaves;
    *tree = (SumTree){.leaves = leaves, .root = 0, .count = leaves};
    tree->children = memory_alloc(nodes, sizeof *tree->children);
    tree->parent = memory_alloc(nodes, sizeof *tree->parent);
    tree->leaf = memory_alloc(nodes, sizeof *tree->leaf);
    for (int i = 0; i < leaves; i++) {
        tree->children[i][0] = tree->children[i][1] = tree->parent[i] = -1;
        tree->leaf[i] = i;
    }
}

int sum_tree_add(SumTree *tree, int a, int b)
{
    int node = tree->count++;
    tree->children[node][0] = a;
    tree->children[node][1] = b;
    tree->leaf[node] = tree->leaf[a];
    tree->parent[node] = -1;
    tree->parent[a] = tree->parent[b] = node;
    tree->root = node;
    return node;
}

void sum_tree_free(SumTree *tree)
{
    free(tree->children);
    free(tree->parent);
    free(tree->leaf);
    *tree = (SumTree){0};
}

/* Puts the leaf beside a node, under a new one. */
static void insert_above(SumTree *tree, int leaf, int node)
{
    int above = tree->parent[node], root = tree->root;
    int sum = sum_tree_add(tree, node, leaf);
    if (above >= 0) {
        tree->parent[sum] = above;
        tree->children[above][tree->children[above][0] == node ? 0 : 1] = sum;
        tree->root = root;
    }
}

SumTreeResult sum_tree_find(SumTree *tree, int leaves, SumTreeSeen *seen, void *user)
{
    sum_tree_init(tree, leaves);
    for (int x = 1; x < leaves; x++) {
        int node = tree->root;
        while (node >= leaves) {
            int left = tree->children[node][0], right = tree->children[node][1];
            int l = tree->leaf[left], r = tree->leaf[right];
            int above = seen(user, x, l, r), with_l = seen(user, r, x, l),
                with_r = seen(user, l, x, r);
            if (above + with_l + with_r != 1) {
                return above && with_l && with_r ? SUM_TREE_WIDER : SUM_TREE_NONE;
            }
            if (above) {
                break;
            }
            node = with_l ? left : right;
        }
        insert_above(tree, x, node);
    }
    return SUM_TREE_FOUND;
}

/* For each node the sum of its leaves' random numbers: what is below it, whatever its form. */
static uint64_t *groups(const SumTree *tree)
{
    uint64_t *sums = memory_calloc((size_t)tree->count, sizeof *sums);
    for (int i = 0; i < tree->leaves; i++) {
        Philox p = philox4x32((uint32_t)i, 0, 0, 0, 1);
        uint64_t name = p.word[0] | (uint64_t)p.word[1] << 32;
        for (int node = i; node >= 0; node = tree->parent[node]) {
            sums[node] += name;
        }
    }
    return sums;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int sum_tree_equal(const SumTree *a, const SumTree *b)
{
    if (a->leaves != b->leaves || a->count != b->count) {
        return 0;
    }
    uint64_t *x = groups(a), *y = groups(b);
    size_t count = (size_t)a->count;
    qsort(x, count, sizeof *x, by_value);
    qsort(y, count, sizeof *y, by_value);
    int equal = !memcmp(x, y, count * sizeof *x);
    free(x);
    free(y);
    return equal;
}

typedef struct Text {
    char *text;
    size_t most;
    const char *last;
    const SumTree *tree;
} Text;

static void append_leaf(Text *t, int leaf)
{
    if (t->last && leaf == t->tree->leaves - 1) {
        string_append(&t->text, "%s", t->last);
    } else {
        string_append(&t->text, "%d", leaf);
    }
}

/* Leaves that follow one another on a chain; runs of the same distance are drawn together. */
static void append_leaves(Text *t, const int *list, int count)
{
    for (int i = 0; i < count;) {
        int end = i + 1, step = end < count ? list[end] - list[i] : 0;
        int named = t->last && list[i] == t->tree->leaves - 1;
        while (!named && end < count && list[end] - list[end - 1] == step &&
               !(t->last && list[end] == t->tree->leaves - 1)) {
            end++;
        }
        string_append(&t->text, " ");
        append_leaf(t, list[i]);
        if (end - i > 2) {
            if (step != 1) {
                string_append(&t->text, " %d", list[i + 1]);
            }
            string_append(&t->text, "..");
            append_leaf(t, list[end - 1]);
            i = end;
        } else {
            i++;
        }
    }
}

static void append_node(Text *t, int node)
{
    const SumTree *tree = t->tree;
    if (node < tree->leaves) {
        append_leaf(t, node);
        return;
    }
    /* down the chain to what it begins with: a leaf, or a sum of two sums */
    int *list = memory_alloc((size_t)tree->leaves, sizeof *list), count = 0, begin = node;
    while (begin >= tree->leaves) {
        int a = tree->children[begin][0], b = tree->children[begin][1];
        if (a >= tree->leaves && b >= tree->leaves) {
            break;
        }
        int leaf = b < tree->leaves ? b : a;
        if (a < tree->leaves && b < tree->leaves) { /* the smaller one, or the last, comes first */
            leaf = (t->last && b == tree->leaves - 1) ||
                           (b < a && !(t->last && a == tree->leaves - 1))
                       ? a
                       : b;
        }
        list[tree->leaves - 1 - count++] = leaf;
        begin = leaf == a ? b : a;
    }
    int *chain = list + tree->leaves - count;
    string_append(&t->text, "(");
    if (begin >= tree->leaves) {
        string_append(&t->text, count ? "(" : "");
        append_node(t, tree->children[begin][0]);
        string_append(&t->text, " + ");
        append_node(t, tree->children[begin][1]);
        string_append(&t->text, count ? ")" : "");
        append_leaves(t, chain, count);
    } else {
        *--chain = begin;
        size_t at = strlen(t->text);
        append_leaves(t, chain, count + 1);
        memmove(t->text + at, t->text + at + 1, strlen(t->text + at)); /* its first space */
    }
    string_append(&t->text, ")");
    free(list);
}

char *sum_tree_text(const SumTree *tree, const char *last, size_t most)
{
    Text t = {string_copy(""), most, last, tree};
    append_node(&t, tree->root);
    if (strlen(t.text) > most) {
        char *cut = string_format("%.*s...", (int)most, t.text);
        free(t.text);
        return cut;
    }
    return t.text;
}
