/* Measures reading and tokenizing: bench_tokenizer TOKENIZER TASK DATA SPLIT [THREADS]. Prints the least
 * seconds of several times, the seconds of processors of the same one, and the SHA-256 of all ids;
 * tools/peer_tokenizers.py prints the same of Hugging Face's tokenizers. docs/BENCH.md has figures. */
#include "encode.h"

#include <limits.h>
#include <stb/stb_ds.h>
#include <stdlib.h>
#include <time.h>

static void demand(int code, const Error *error)
{
    if (code) {
        fprintf(stderr, "bench_tokenizer: %s\n", error->text);
        exit(code);
    }
}

static double processor_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

int main(int argc, char **argv)
{
    enum { TIMES = 3 };
    Tokenizer *tokenizer;
    Dataset dataset;
    Encoded encoded = {0};
    Error error;
    char sha256[65], peak[BYTES_TEXT];
    if (argc < 5) {
        fputs("usage: bench_tokenizer TOKENIZER TASK DATA SPLIT [THREADS]\n", stderr);
        return EXIT_USAGE;
    }
    const Task *task = task_find(argv[2], &error);
    demand(task ? 0 : error.code, &error);
    demand(tokenizer_open(&tokenizer, argv[1], &error), &error);
    Encoding encoding = {tokenizer, 0, 512, INT_MAX, argc > 5 ? atoi(argv[5]) : 1, 0};
    double start = clock_seconds(), read, least = 0, processors = 0;
    demand(dataset_read(&dataset, task, argv[3], argv[4], 0, 0, encoding.threads, &error), &error);
    read = clock_seconds() - start;
    for (int i = 0; i < TIMES; i++) {
        encoded_free(&encoded);
        double used = processor_seconds();
        start = clock_seconds();
        demand(encode(&encoded, &dataset, &encoding, &error), &error);
        double seconds = clock_seconds() - start;
        if (!i || seconds < least) {
            least = seconds;
            processors = processor_seconds() - used;
        }
    }
    sha256_hex(sha256, encoded.ids, arrlenu(encoded.ids) * sizeof *encoded.ids);
    printf("%s %s: read %.3f s, tokenize %.3f s (%.3f s of processors), %d examples, %zu tokens, "
           "ids %.16s, peak memory %s\n",
           argv[1], argv[2], read, least, processors, dataset.count, arrlenu(encoded.ids), sha256,
           bytes_text(peak, memory_peak()));
    encoded_free(&encoded);
    dataset_free(&dataset);
    tokenizer_close(tokenizer);
    return 0;
}
