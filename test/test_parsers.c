/* Every parser on damaged input: files of our own making, cut at every length and with one byte
 * changed in many places. A parser accepts (0) or refuses (65) with one line; it never crashes,
 * reads out of bounds or leaks (make asan, make ubsan). */
#include "check.h"
#include "encode.h"
#include "openers.h"
#include "own.h"
#include "rng.h"
#include "safetensors.h"
#include "token_cache.h"

#include <dirent.h>
#include <stb/stb_ds.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static void write_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *out = fopen(path, "wb");
    if (!out || fwrite(bytes, 1, size, out) != size || fclose(out)) {
        perror(path);
        exit(EXIT_IO);
    }
}

static int open_container(const char *path, Error *error)
{
    Safetensors st;
    int code = safetensors_open(&st, path, error);
    float out[64];
    for (size_t i = 0; !code && i < st.count; i++) {
        if (st.tensors[i].count <= 64 && tensor_to_float(out, &st.tensors[i], path, error)) {
            continue; /* another type */
        }
    }
    if (!code) {
        safetensors_close(&st);
    }
    return code;
}

static int open_tokenizer(const char *path, Error *error)
{
    Tokenizer *t;
    int code = tokenizer_open(&t, path, error);
    if (!code) {
        static const char text[] = "the cat's \xC3\xA9\xFF <s> 12  x";
        int *ids = NULL, *built = NULL;
        tokenizer_encode(t, &ids, text, sizeof text - 1, 0);
        (void)tokenizer_build(t, &built, NULL, (Part[]){{.ids = ids}, {.ids = ids, .segment = 1}}, 2, 12,
                              TRUNCATE_LONGEST_FIRST);
        arrfree(ids);
        arrfree(built);
        tokenizer_close(t);
    }
    return code;
}

static const char *split_task;

/* path is the training file of a folder named as its task's. */
static int open_data(const char *path, Error *error)
{
    Dataset dataset;
    char *parent = string_format("%.*s", (int)(strrchr(path, '/') - path), path);
    int code = dataset_read(&dataset, task_find(split_task, error), parent, "train", 0, 0, 2, error);
    if (!code) {
        dataset_free(&dataset);
    }
    free(parent);
    return code;
}

static void check_damage(const char *name, const char *path, const void *bytes, size_t size,
                         Opener open, int cuts_refused)
{
    unsigned char *copy = memory_alloc(size, 1);
    size_t accepted = 0, wrong = 0;
    Error error;
    write_bytes(path, bytes, size);
    CHECK(!open(path, &error), "%s: the undamaged file is refused: %s", name, error.text);
    for (size_t cut = 0; cut < size; cut++) {
        write_bytes(path, bytes, cut);
        int code = open(path, &error);
        accepted += code == 0;
        wrong += code != 0 && code != EXIT_BAD_DATA;
        wrong += code != 0 && strchr(error.text, '\n') != NULL;
    }
    CHECK(wrong == 0, "%s: %zu cuts have another exit code or line: %s", name, wrong, error.text);
    CHECK(!cuts_refused || accepted == 0, "%s: %zu cuts are accepted", name, accepted);
    for (uint64_t i = 0; i < 3000; i++) {
        memcpy(copy, bytes, size);
        copy[rng_below(1, 2 * i, (uint32_t)size)] = (unsigned char)rng_below(1, 2 * i + 1, 256);
        write_bytes(path, copy, size);
        int code = open(path, &error);
        wrong += code != 0 && code != EXIT_BAD_DATA;
    }
    CHECK(wrong == 0, "%s: %zu changed files have another exit code: %s", name, wrong, error.text);
    printf("%s: %zu cuts (%zu accepted), 3000 changed bytes\n", name, size, accepted);
    free(copy);
    unlink(path);
}

static void check_file(const char *name, const char *path, Opener open)
{
    File file;
    Error error;
    if (file_map(&file, path, &error)) {
        CHECK(0, "%s", error.text);
        return;
    }
    char *damaged = scratch_path("damaged");
    check_damage(name, damaged, file.bytes, file.size, open, 1);
    free(damaged);
    file_unmap(&file);
    unlink(path);
}

/* Evaluations that cannot be: classes, steps, shapes. */
static void check_epochs(Preds *preds)
{
    static const struct {
        size_t at;
        int pred, step;
        const char *found;
    } list[] = {{0, 2, 5, "epoch_pred[0] is 2, with 2 classes"},
                {3, -2, 5, "epoch_pred[1] is -2"},
                {0, 0, 4, "epoch_step[1] is 4, after 4"},
                {0, 0, 3, "epoch_step[1] is 3, after 4"},
                {0, -1, 5, NULL}};
    Preds read;
    Error error;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        int before = preds->epoch_pred[list[i].at];
        preds->epoch_pred[list[i].at] = list[i].pred;
        preds->epoch_step[1] = list[i].step;
        CHECK(!preds_write(preds, &error), "%s", error.text);
        int code = preds_read(&read, preds->path, &error);
        CHECK(list[i].found ? code == EXIT_BAD_DATA && strstr(error.text, list[i].found)
                            : !code && read.E == 2 && read.epoch_step[1] == 5 &&
                                  !memcmp(read.epoch_pred, preds->epoch_pred, 4 * sizeof(int)),
              "evaluations %zu: %d %s", i, code, code ? error.text : "");
        if (!code) {
            preds_free(&read);
        }
        preds->epoch_pred[list[i].at] = before;
    }
}

/* Examples that both files have byte for byte are not read again; any other byte of them is. */
static void check_same_examples(Preds *preds)
{
    static const char *const changes[] = {"nothing", "predictions", "a label", "an id", "clusters"};
    char *path = preds->path, *other = scratch_path("other"), *id = preds->id[1];
    int cluster[2] = {7, 8}, pred = preds->pred[0], label = preds->label[0];
    Safetensors opened, file;
    Preds first, read;
    Error error;
    CHECK(!preds_write(preds, &error) && !preds_read_header(&first, path, &error) &&
              !preds_read_data(&first, &opened, NULL, NULL, &error) && first.hash && first.id,
          "first");
    preds->path = other;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        preds->pred[0] = i == 1 ? 1 - pred : pred;
        preds->label[0] = i == 2 ? 1 - label : label;
        preds->id[1] = i == 3 ? "validation-2" : id;
        preds->cluster = i == 4 ? cluster : NULL;
        CHECK(!preds_write(preds, &error) && !preds_read_header(&read, other, &error) &&
                  !preds_read_data(&read, &file, &first, &opened, &error),
              "%s", error.text);
        safetensors_close(&file);
        CHECK(!read.hash == (i < 2) && !read.label == (i < 2) && !read.id == (i < 2) &&
                  !read.cluster == (i < 4) && read.pred[0] == preds->pred[0],
              "other %s", changes[i]);
        preds_free(&read);
    }
    preds->cluster = NULL;
    safetensors_close(&opened);
    preds_free(&first);
    remove(other);
    free(other);
    preds->path = path;
}

/* A scalar, the last entry of the header, behind whose shape there is no other. */
static void check_scalar_epochs(Preds *preds)
{
    const uint8_t scalar = 0;
    Preds read;
    Error error;
    CHECK(!preds_write(preds, &error) && !preds_read(&read, preds->path, &error), "%s", error.text);
    TensorSource sources[] = {
        {.name = "pred", .dtype = DTYPE_I32, .rank = 1, .shape = {2}, .data = read.pred},
        {.name = "label", .dtype = DTYPE_I32, .rank = 1, .shape = {2}, .data = read.label},
        {.name = "example_hash", .dtype = DTYPE_U64, .rank = 1, .shape = {2}, .data = read.hash},
        {.name = "epoch_pred", .dtype = DTYPE_U8, .data = &scalar}};
    CHECK(!safetensors_write(preds->path, sources, 4, read.metadata, &error), "%s", error.text);
    preds_free(&read);
    CHECK(preds_read(&read, preds->path, &error) == EXIT_BAD_DATA &&
              strstr(error.text, "epoch_pred, epoch_logits or epoch_step does not fit"),
          "%s", error.text);
}

/* 200,000 names take no time that anyone would notice; two equal ones are found; F1 is of two. */
static void check_names(Preds *preds)
{
    enum { MANY = 200000 };
    Preds read;
    Error error;
    json_t *names = json_array();
    for (int k = 0; k < MANY; k++) {
        char *name = string_format("class %d", MANY - k);
        json_array_append_new(names, json_string(name));
        free(name);
    }
    preds->K = MANY;
    preds->logits = NULL;
    for (int twice = 0; twice < 2; twice++) {
        json_array_set_new(names, MANY / 2, json_string(twice ? "class 7" : "another"));
        char *text = json_dumps(names, JSON_COMPACT);
        json_object_set_new(preds->metadata, "label_names", json_string(text));
        free(text);
        CHECK(!preds_write(preds, &error), "%s", error.text);
        double start = clock_seconds();
        int code = preds_read(&read, preds->path, &error);
        double seconds = clock_seconds() - start;
        CHECK(code == (twice ? EXIT_BAD_DATA : 0) && seconds < 20, "code %d after %.1f s", code,
              seconds);
        CHECK(!twice || strstr(error.text, "200000 different names"), "%s", error.text);
        if (!code) {
            preds_free(&read);
        }
    }
    json_decref(names);
    preds->K = 3;
    json_object_set_new(preds->metadata, "label_names", json_string("[\"x\",\"y\",\"z\"]"));
    json_object_set_new(preds->metadata, "metric", json_string("f1"));
    CHECK(!preds_write(preds, &error), "%s", error.text);
    CHECK(preds_read(&read, preds->path, &error) == EXIT_BAD_DATA &&
              strstr(error.text, "f1 with 3 classes"),
          "%s", error.text);
}

static void check_containers(void)
{
    float a[6] = {1, 2, 3, 4, 5, 6};
    int16_t b[3] = {1, 2, 3};
    TensorSource sources[] = {
        {.name = "a", .dtype = DTYPE_F32, .rank = 2, .shape = {2, 3}, .data = a},
        {.name = "b", .dtype = DTYPE_BF16, .rank = 1, .shape = {3}, .data = b}};
    json_t *metadata = json_pack("{s:s}", "k", "v");
    Error error;
    char *path = scratch_path("container");
    CHECK(!safetensors_write(path, sources, 2, metadata, &error), "%s", error.text);
    json_decref(metadata);
    check_file("safetensors", path, open_container);

    char *id[2] = {"validation-0", "validation-1"}, digest[65];
    int pred[2] = {0, 1}, label[2] = {1, 1};
    float logits[4] = {1, 2, 3, 4};
    json_t *hparams = json_pack("{s:s}", "lr", "1e-05");
    recipe_sha256(digest, hparams);
    json_decref(hparams);
    int epoch_pred[4] = {0, 0, 0, 1}, epoch_step[2] = {4, 5};
    float epoch_logits[8] = {0};
    Preds preds = {.path = path,
                   .N = 2,
                   .K = 2,
                   .pred = pred,
                   .label = label,
                   .logits = logits,
                   .id = id,
                   .E = 2,
                   .epoch_step = epoch_step,
                   .epoch_pred = epoch_pred,
                   .epoch_logits = epoch_logits};
    static const char *const fields[][2] = {
        {"benchmark", "b"},     {"task", "t"},           {"split", "validation"},
        {"model", "m"},         {"seed", "1"},           {"seed_init", "1"},
        {"seed_data", "1"},     {"seed_dropout", "1"},   {"label_names", "[\"x\",\"y\"]"},
        {"metric", "accuracy"}, {"dataset_sha256", "0"}, {"hparams", "{\"lr\":\"1e-05\"}"},
        {"status", "ok"}};
    preds.metadata = json_object();
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        json_object_set_new(preds.metadata, fields[i][0], json_string(fields[i][1]));
    }
    json_object_set_new(preds.metadata, "recipe_sha256", json_string(digest));
    CHECK(!preds_write(&preds, &error), "%s", error.text);
    check_file("predictions", path, open_preds);
    check_epochs(&preds);
    check_scalar_epochs(&preds);
    preds.E = 0;
    check_same_examples(&preds);
    check_names(&preds);
    free(preds.hash);
    json_decref(preds.metadata);
    remove(path);
    free(path);
}

static void check_texts(void)
{
    static const char config[] =
        "{\"model_type\": \"bert\", \"vocab_size\": 30, \"hidden_size\": 8, "
        "\"intermediate_size\": 16, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, "
        "\"max_position_embeddings\": 40, \"layer_norm_eps\": 1e-12, \"hidden_act\": \"gelu\"}";
    static const char words[] = "{\"added_tokens\": [{\"id\": 2, \"content\": \"[CLS]\", "
                                "\"special\": true, \"lstrip\": true}], \"normalizer\": "
                                "{\"type\": \"BertNormalizer\", \"clean_text\": true, "
                                "\"handle_chinese_chars\": true, \"lowercase\": true}, "
                                "\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, "
                                "\"post_processor\": {\"type\": \"BertProcessing\", \"sep\": "
                                "[\"[SEP]\", 3], \"cls\": [\"[CLS]\", 2]}, \"model\": {\"type\": "
                                "\"WordPiece\", \"unk_token\": \"[UNK]\", \"vocab\": "
                                "{\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3, \"the\": "
                                "4, \"cat\": 5, \"##s\": 6}}}";
    static const char tsv[] = "index\tsentence1\tsentence2\tlabel\r\n0\ta "
                              "\xC3\xA9\tb\tentailment\n1\tc\td\tnot_entailment\n";
    static const char jsonl[] =
        "{\"premise\": \"a\", \"hypothesis\": \"b\\u00e9\", \"label\": \"neutral\"}\n"
        "{\"premise\": \"a\", \"hypothesis\": \"\\ud83d\\ude00\", \"label\": \"entailment\"}\n";
    static const char multirc[] =
        "{\"idx\": 7, \"passage\": {\"text\": \"a b. \", \"questions\": [{\"question\": \"c?\", "
        "\"answers\": [{\"text\": \"d\", \"label\": 1}, {\"text\": \" \", \"label\": 0}]}]}}\n";
    static const char wsc[] =
        "{\"text\": \"Ann's cat saw \u00e9 the  dog; it ran\", \"label\": true, \"target\": "
        "{\"span1_index\": 4, \"span1_text\": \"The\\ndog\", \"span2_index\": 6, \"span2_text\": "
        "\"it\"}}\n";
    static const char broken[] = "id\tquestion1\tquestion2\tis_duplicate\n1\ta\tb\t0\n2\tc\n"
                                 " c\td\t1\n\n3\te\tf\t1\n\r\n";
    static const char csv[] = "\xEF\xBB\xBFsentence1,sentence2,label\r\n"
                              "\"a, \"\"b\"\"\r\n\",c \xC3\xA9,3.8\r\nd,e,4.571429\r\n";
    static const char quoted[] = "\tsentence\tidx\tlabel\n0\t\"a\tb\"\t0\tpositive\n";
    static const char answers[] =
        "paragraph,question,answer,idx,label\n"
        "\"a, b\",c,d,\"{'paragraph': 3, 'question': 0, 'answer': 0}\",True\ne,f,g,"
        "\"{\"\"paragraph\"\": 4, \"\"question\"\": 1, \"\"answer\"\": 1}\",False\n";
    static const char spans[] = "text,span1_index,span1_text,span2_index,span2_text,label\n\"Ann, "
                                "she ran\",0,Ann,1,she,1.0\n";
    static const char flat[] =
        "{\"paragraph\":\"a\",\"question\":\"b\",\"answer\":\"c\",\"label\":0.0,"
        "\"idx.paragraph\":0,\"idx.question\":0,\"idx.answer\":0}\n";
    char *path = scratch_path("text"), *tsv_path = scratch_path("train.tsv"),
         *jsonl_path = scratch_path("train.jsonl"), *csv_path = scratch_path("train.csv");
    check_damage("config.json", path, config, sizeof config - 1, open_config, 1);
    check_damage("tokenizer.json", path, words, sizeof words - 1, open_tokenizer, 1);
    split_task = "rte";
    check_damage("TSV", tsv_path, tsv, sizeof tsv - 1, open_data, 0);
    split_task = "cb";
    check_damage("JSONL", jsonl_path, jsonl, sizeof jsonl - 1, open_data, 0);
    split_task = "multirc";
    check_damage("MultiRC", jsonl_path, multirc, sizeof multirc - 1, open_data, 0);
    split_task = "wsc";
    check_damage("WSC", jsonl_path, wsc, sizeof wsc - 1, open_data, 0);
    split_task = "qqp";
    check_damage("TSV with a parted row", tsv_path, broken, sizeof broken - 1, open_data, 0);
    split_task = "stsb";
    check_damage("CSV", csv_path, csv, sizeof csv - 1, open_data, 0);
    split_task = "sst2";
    check_damage("TSV with quotes", tsv_path, quoted, sizeof quoted - 1, open_data, 0);
    split_task = "multirc";
    check_damage("MultiRC as CSV", csv_path, answers, sizeof answers - 1, open_data, 0);
    check_damage("MultiRC as the Hub's rows", jsonl_path, flat, sizeof flat - 1, open_data, 0);
    split_task = "wsc";
    check_damage("WSC as CSV", csv_path, spans, sizeof spans - 1, open_data, 0);
    free(csv_path);
    free(path);
    free(tsv_path);
    free(jsonl_path);
}

static const char *own_problem;

/* A training file of a user's own. */
static int open_own(const char *path, Error *error)
{
    OwnRequest request = {.name = "own", .problem = own_problem};
    Own own;
    Dataset dataset;
    int code = own_init(&own, &request, error);
    code = code ? code : own_read(&own, &dataset, path, "train", 0, 0, 2, error);
    if (!code) {
        free(own_describe(&own));
        free(own_columns(&own, 1));
        dataset_free(&dataset);
    }
    own_free(&own);
    return code == EXIT_USAGE ? EXIT_BAD_DATA : code; /* names of columns that say nothing */
}

static void check_own(void)
{
    static const char csv[] = "sentence1,sentence2,label,idx\na,\"b \"\"c\"\"\",x,0\nd,e,y,1\n",
                      tsv[] = "text\tlabel\na\t1.5\nb\t2\n",
                      choice[] = "premise,choice1,choice2,label\na,b,c,0\nd,e,f,1\n",
                      list[] = "{\"ctx\": \"a\", \"endings\": [\"b\", \"c\"], \"label\": \"A\"}\n"
                               "{\"ctx\": \"d\", \"endings\": [\"e\", \"f\"], \"label\": \"B\"}\n";
    char *csv_path = scratch_path("own.csv"), *tsv_path = scratch_path("own.tsv"),
         *jsonl_path = scratch_path("own.jsonl");
    check_damage("a user's CSV", csv_path, csv, sizeof csv - 1, open_own, 0);
    check_damage("a user's TSV", tsv_path, tsv, sizeof tsv - 1, open_own, 0);
    check_damage("a user's JSON lines", jsonl_path, list, sizeof list - 1, open_own, 0);
    own_problem = "choice";
    check_damage("a user's choices", csv_path, choice, sizeof choice - 1, open_own, 0);
    free(csv_path);
    free(tsv_path);
    free(jsonl_path);
}

/* The folder of a file beside a tokenizer. */
static int open_beside(const char *path, Error *error)
{
    Tokenizer *t;
    char *beside = string_format("%.*s", (int)(strrchr(path, '/') - path), path);
    int code = tokenizer_open(&t, beside, error);
    tokenizer_close(t);
    free(beside);
    return code;
}

static void check_side_files(void)
{
    static const char words[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\n##s\n";
    static const char config[] =
        "{\"tokenizer_class\": \"BertTokenizer\", \"do_lower_case\": false, "
        "\"strip_accents\": null, "
        "\"model_max_length\": 1000000000000000019884624838656, \"added_tokens_decoder\": {\"4\": "
        "{\"content\": \"[MASK]\", \"lstrip\": true, \"normalized\": false, \"special\": true}, "
        "\"8\": {\"content\": \"a cat\", \"single_word\": true, \"normalized\": true}}, "
        "\"additional_special_tokens\": [\"the\"]}";
    static const char map[] = "{\"cls_token\": \"[CLS]\", \"mask_token\": {\"content\": "
                              "\"[MASK]\", \"lstrip\": true, \"normalized\": false}}";
    static const char added[] = "{\"two cats\": 8, \"\u00e9\": 9}";
    const struct {
        const char *name, *bytes;
        size_t size;
    } files[] = {{"tokenizer_config.json", config, sizeof config - 1},
                 {"special_tokens_map.json", map, sizeof map - 1},
                 {"added_tokens.json", added, sizeof added - 1}};
    char *vocabulary = scratch_path("vocab.txt");
    check_damage("vocab.txt", vocabulary, words, sizeof words - 1, open_beside, 0);
    write_bytes(vocabulary, words, sizeof words - 1);
    for (int i = 0; i < 3; i++) {
        char *path = scratch_path(files[i].name);
        check_damage(files[i].name, path, files[i].bytes, files[i].size, open_beside, 1);
        free(path);
    }
    unlink(vocabulary);
    free(vocabulary);
}

static void check_decoders(void)
{
    static const char config[] =
        "{\"model_type\": \"llama\", \"vocab_size\": 30, \"hidden_size\": 8, "
        "\"intermediate_size\": 16, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, "
        "\"num_key_value_heads\": 1, \"head_dim\": 4, \"max_position_embeddings\": 40, "
        "\"rms_norm_eps\": 1e-5, \"hidden_act\": \"silu\", \"rope_theta\": 1e4, \"rope_scaling\": "
        "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": "
        "4, "
        "\"original_max_position_embeddings\": 16}}";
    static const char adapter[] =
        "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 8, \"lora_dropout\": 0.1, \"bias\": "
        "\"none\", \"use_rslora\": true, \"target_modules\": [\"q_proj\", \"v_proj\"], "
        "\"modules_to_save\": [\"score\"], \"rank_pattern\": {}, \"use_dora\": false}";
    char *path = scratch_path("decoder"), *bytes = string_copy("");
    check_damage("Llama's config.json", path, config, sizeof config - 1, open_config, 1);
    check_damage("adapter_config.json", path, adapter, sizeof adapter - 1, open_adapter_config, 1);
    for (int b = 0; b < 256; b++) {
        char *longer = string_format("%s\"<0x%02X>\":%d,", bytes, (unsigned)b, b);
        free(bytes);
        bytes = longer;
    }
    char *words = string_format(
        "{\"added_tokens\":[{\"id\":256,\"content\":\"<s>\",\"special\":true}],\"normalizer\":null,"
        "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\xE2\x96\x81\","
        "\"prepend_scheme\":\"first\",\"split\":false},\"post_processor\":null,\"model\":{\"type\":"
        "\"BPE\",\"byte_fallback\":true,\"fuse_unk\":true,\"unk_token\":\"<s>\",\"vocab\":{%s"
        "\"<s>\":256,\"\xE2\x96\x81\":257,\"t\":258,\"h\":259,\"th\":260,\"\xE2\x96\x81th\":261},"
        "\"merges\":[\"t h\",[\"\xE2\x96\x81\",\"th\"]]}}",
        bytes);
    check_damage("Llama 2's tokenizer.json", path, words, strlen(words), open_tokenizer, 1);
    free(words);
    free(bytes);
    free(path);
}

/* Changes the first id of the file of kept tokens in a folder, with a digest that fits. */
static void forge_tokens(const char *folder, int id)
{
    enum { DIGEST = 24, IDS = 64 }; /* where they are in the file (token_cache.c) */
    DIR *stream = opendir(folder);
    struct dirent *entry;
    while (stream && (entry = readdir(stream))) {
        char *path = string_format("%s/%s", folder, entry->d_name);
        File file;
        Error error;
        if (strstr(entry->d_name, ".tokens") && !file_map(&file, path, &error)) {
            unsigned char *bytes = memory_alloc(file.size, 1);
            size_t size = file.size;
            memcpy(bytes, file.bytes, size);
            file_unmap(&file);
            memset(bytes + DIGEST, 0, sizeof(XXH128_hash_t));
            memcpy(bytes + IDS, &id, sizeof id);
            XXH128_hash_t digest = XXH3_128bits(bytes, size);
            memcpy(bytes + DIGEST, &digest, sizeof digest);
            write_bytes(path, bytes, size);
            free(bytes);
        }
        free(path);
    }
    if (stream) {
        closedir(stream);
    }
}

/* Ids that are kept from run to run index the model's tables: those that cannot be are made anew. */
static void check_kept_tokens(void)
{
    enum { LONG = 64 };
    static const int ids[] = {2, -1, INT32_MIN, 7, INT32_MAX, 2};
    static const char *const words[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"};
    char *text = memory_alloc(LONG + 1, 1), *cache = scratch_path("cache"),
         *folder = string_format("%s/seedbed/tokens", cache), *texts[MAX_TEXTS] = {text};
    for (size_t i = 0; i < LONG; i++) {
        text[i] = "a b "[i % 4];
    }
    text[LONG] = 0;
    Error error;
    Example example = {.id = "train-0", .line = 1, .text = &texts};
    Dataset dataset = {.task = task_find("sst2", &error), .split = "train", .path = "none",
                       .examples = &example, .count = 1};
    Tokenizer *tokenizer = tokenizer_from_words(words, 7);
    Encoding encoding = {.tokenizer = tokenizer, .longest = 8, .V = 7, .threads = 1};
    setenv("XDG_CACHE_HOME", cache, 1);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        Encoded encoded;
        CHECK(!encode_cached(&encoded, &dataset, &encoding, LONG, &error), "%s", error.text);
        CHECK(encoded.longest == 8 && encoded.ids[0] == 2, "kept tokens: %d", encoded.ids[0]);
        encoded_free(&encoded);
        forge_tokens(folder, ids[i]);
    }
    unsetenv("XDG_CACHE_HOME");
    tokenizer_close(tokenizer);
    free(text);
    free(cache);
    free(folder);
}

/* Every code point and back; and what the Unicode Standard (table 3-7) calls ill-formed. */
static void check_utf8(void)
{
    static const char *const ill[] = {
        "\x80",         "\xBF",         "\xC0\x80",         "\xC1\xBF",         "\xC2",
        "\xC2 ",        "\xE0\x9F\xBF", "\xE0\xA0",         "\xED\xA0\x80",     "\xED\xBF\xBF",
        "\xE1\x80 ",    "\xE1 \x80",    "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
        "\xF1\x80\x80", "\xF1\x80 \x80", "\xFE",             "\xFF"};
    size_t bad = 0;
    for (uint32_t code = 1; code < 0x110000; code++) {
        char text[8] = "";
        size_t at = 0, size = utf8_put(text, code);
        int surrogate = code >= 0xD800 && code < 0xE000;
        bad += (utf8_valid_prefix(text, size) == size) == surrogate;
        bad += !surrogate && (utf8_next(text, &at) != code || at != size);
    }
    CHECK(bad == 0, "%zu code points", bad);
    for (size_t i = 0; i < sizeof ill / sizeof *ill; i++) {
        char *text = string_format("ab%s", ill[i]);
        CHECK(utf8_valid_prefix(text, strlen(text)) == 2, "ill-formed sequence %zu", i);
        free(text);
    }
}

int main(void)
{
    check_utf8();
    check_containers();
    check_texts();
    check_own();
    check_side_files();
    check_decoders();
    check_kept_tokens();
    return checks_close("test_parsers");
}
