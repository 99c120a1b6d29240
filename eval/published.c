#include "published.h"

#include <stddef.h>
#include <string.h>

static const PublishedCell table1[] = {
    {"RoBERTa-large", "MRPC", {90.34, 0.89, 92.89, 86.79}},
    {"RoBERTa-large", "QNLI", {94, 0.38, 95.64, 91.8}},
    {"RoBERTa-large", "QQP", {92, 0.06, 95.57, 89.79}},
    {"RoBERTa-large", "SST2", {95.59, 0.55, 96.83, 94.01}},
    {"RoBERTa-large", "RTEG", {85.02, 1.48, 91.09, 80.55}},
    {"RoBERTa-large", "CoLA", {65.61, 1.32, 93.95, 82.76}},
    {"RoBERTa-large", "BoolQ", {83.05, 7.35, 86.79, 76.37}},
    {"RoBERTa-large", "CB", {94.64, 3.95, 91.5, 89.84}},
    {"RoBERTa-large", "RTES", {72.89, 16.67, 70.05, 64.58}},
    {"RoBERTa-large", "MultiRC", {76.46, 13.3, 74.63, 63.77}},
    {"RoBERTa-large", "WiC", {68.57, 2.77, 80.36, 58.75}},
    {"RoBERTa-large", "COPA", {73, 16.83, 64.88, 55.44}},
    {"Llama3.2-3B-LoRA", "MRPC", {84.02, 0.56, 90.34, 79.19}},
    {"Llama3.2-3B-LoRA", "QNLI", {94.2, 0.14, 96.85, 92.63}},
    {"Llama3.2-3B-LoRA", "QQP", {89.37, 0.09, 96.63, 87.69}},
    {"Llama3.2-3B-LoRA", "SST2", {96.78, 0.27, 98.32, 95.95}},
    {"Llama3.2-3B-LoRA", "RTEG", {85.92, 3.34, 88.8, 80.32}},
    {"Llama3.2-3B-LoRA", "CoLA", {61.33, 0.88, 94.86, 81.36}},
    {"Llama3.2-3B-LoRA", "BoolQ", {72.49, 1.62, 81.1, 63.09}},
    {"Llama3.2-3B-LoRA", "CB", {73.92, 2.03, 89.82, 70.35}},
    {"Llama3.2-3B-LoRA", "RTES", {68.66, 2.77, 71.69, 54.51}},
    {"Llama3.2-3B-LoRA", "MultiRC", {80.14, 0.57, 86.73, 73.5}},
    {"Llama3.2-3B-LoRA", "WiC", {68.71, 1.58, 85.86, 61.64}},
    {"Llama3.2-3B-LoRA", "COPA", {84.2, 5.17, 86.8, 77.6}},
};

static const PublishedTable tables[] = {
    {"table1", "arXiv 2503.07329v2, Table 1", 2, 10, table1, sizeof table1 / sizeof *table1},
};

const PublishedTable *published_table(const char *name)
{
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        if (!strcmp(name, tables[i].name)) {
            return &tables[i];
        }
    }
    return NULL;
}
