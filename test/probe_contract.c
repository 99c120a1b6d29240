/* The trees that ops.def says. */
#include "probe.h"

const int probe_lengths[SEQUENCES] = {7, 2, 0, 18, 13};

/* Lanes of the terms from first on: their sum's node. */
static int add_lanes(SumTree *tree, int first, int terms, int lanes)
{
    int nodes[1024];
    for (int l = 0; l < lanes; l++) {
        nodes[l] = l < terms ? first + l : -1;
        for (int i = l + lanes; i < terms; i += lanes) {
            nodes[l] = sum_tree_add(tree, nodes[l], first + i);
        }
    }
    for (int half = lanes / 2; half; half /= 2) {
        for (int l = 0; l < half; l++) {
            if (nodes[l + half] >= 0) { /* an empty lane adds 0 */
                nodes[l] = sum_tree_add(tree, nodes[l], nodes[l + half]);
            }
        }
    }
    return nodes[0];
}

static int add_chain(SumTree *tree, int from, int first, int terms)
{
    int node = from;
    for (int i = 0; i < terms; i++) {
        node = node < 0 ? first + i : sum_tree_add(tree, node, first + i);
    }
    return node;
}

void probe_contract(SumTree *tree, const Sum *sum)
{
    int n = sum->terms, start = sum->start ? n : -1;
    sum_tree_init(tree, n + sum->start);
    if (sum->order == ORDER_CHAIN) {
        add_chain(tree, start, 0, n);
    } else if (sum->order == ORDER_TOKENS) {
        for (int s = 0, first = 0, all = start; s < SEQUENCES; first += probe_lengths[s++]) {
            int one = add_chain(tree, -1, first, probe_lengths[s]);
            all = one < 0 ? all : sum_tree_add(tree, all, one);
        }
    } else if (sum->order == ORDER_BLOCKS) {
        int all = -1;
        for (int first = 0; first < n; first += VOCABULARY_BLOCK) {
            int words = n - first < VOCABULARY_BLOCK ? n - first : VOCABULARY_BLOCK;
            int block = add_lanes(tree, first, words, LANES);
            all = all < 0 ? block : sum_tree_add(tree, all, block);
        }
    } else {
        add_lanes(tree, 0, n, sum->order == ORDER_LANES ? LANES : 1024);
    }
}
