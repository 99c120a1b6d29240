/* The tree in which a sum of floats adds its terms, found from results alone.
 *
 * Revealing floating-point accumulation orders goes back to FPRev (Xie et al. 2024, arXiv
 * 2411.00442), which cancels a large mask by its negative and counts the units that survive. Here
 * nothing has to cancel, so that sums of squares and of exponentials have a tree, too: with a large
 * term at leaf i and two small ones at j and k, each below half a unit in the last place of the
 * large one and both together above it, the small ones are lost where one of them meets i first, and
 * are seen where they meet each other first. All answers of that kind determine a binary tree (the
 * rooted triples of Aho, Sagiv, Szymanski and Ullman 1981); leaves are inserted one after another. */
#ifndef SUM_TREE_H
#define SUM_TREE_H

#include <stddef.h>
#include <stdint.h>

/* A node is a leaf (0 .. leaves - 1) or the sum of two others. */
typedef struct SumTree {
    int leaves;
    int root;
    int (*children)[2]; /* [2 leaves - 1]; those of leaves are -1 */
    int *parent;        /* of the root -1 */
    int *leaf;          /* of each node some leaf below it */
    int count;          /* nodes in use */
} SumTree;

typedef enum SumTreeResult {
    SUM_TREE_FOUND,
    SUM_TREE_WIDER, /* no term is ever lost: the sum is held in a wider type */
    SUM_TREE_NONE /* no binary tree gives these results: more than two terms at once, or unsteady */
} SumTreeResult;

/* Whether small terms at j and k are seen in the sum with a large one at i. */
typedef int SumTreeSeen(void *user, int i, int j, int k);

/* Finds the tree of `leaves` > 0 terms. The caller frees it, whatever the result. */
SumTreeResult sum_tree_find(SumTree *tree, int leaves, SumTreeSeen *seen, void *user);

/* A tree of leaves alone, and one more sum in it; the last sum becomes the root. */
void sum_tree_init(SumTree *tree, int leaves);
int sum_tree_add(SumTree *tree, int a, int b);
void sum_tree_free(SumTree *tree);

/* Whether both add the same groups of terms; the two sides of an addition may be swapped. */
int sum_tree_equal(const SumTree *a, const SumTree *b);

/* "((start 0..9) (10..19))": a list is a chain, from its first member on; the name of a leaf is its
 * number, but of the last it is `last`, if that is not NULL. "..." where it has more than `most`
 * characters. The caller frees it. */
char *sum_tree_text(const SumTree *tree, const char *last, size_t most);

#endif
