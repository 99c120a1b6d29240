/* PEFT adapter folders: adapter_config.json (adapter_config.h) and adapter_model.safetensors.
 * Source: huggingface/peft, LoraConfig and get_peft_model_state_dict; names and refusals are in
 * docs/FORMATS.md. */
#ifndef ADAPTER_H
#define ADAPTER_H

#include "state.h"
#include "safetensors.h"

/* What the head in an adapter folder is for, by its name and shape, where no task says it: without
 * a head the model is a language model. Sets how many spans it reads. Errors: those of reading; 65 a head of no classes, or none
 * although the folder is of a classifier. */
int adapter_head(Problem *problem, int *classes, const char *folder, Config *config, Error *error);

/* The names of the head's rows in an adapter's file of ours, a JSON list; NULL: none are there. */
json_t *adapter_label_names(const Safetensors *file);

/* Values of all adapters and of the head, its rows in the order of model->labels where they have
 * names; label_note and label_warning say how they were understood. init_head: a head that is
 * missing, or of other classes, keeps its values. sha256: of the bytes of adapter_model.safetensors
 * that were read; NULL if nobody asks.
 * Errors: 66 no such file; 65 a tensor that is missing, unknown, of another shape or not finite:
 * the folder belongs to another base model or task. */
int adapter_read(Model *model, State *state, const char *folder, int init_head, char *sha256,
                 Error *error);

/* Writes the folder such that PEFT loads it onto the base model called base; rows of the head in
 * the order of the base's id2label if that names the classes. The folder is made. Errors: 73, 74,
 * 77. */
int adapter_write(const Model *model, const State *state, const char *folder, const char *base,
                  Error *error);

/* Parameter A of the adapter of the linear layer with this weight, or NULL. */
const Param *adapter_of(const Model *model, const Param *weight);

/* Values first to first + count - 1 of W + scale B A, in double, rounded once, of an adapted linear
 * layer with this weight W [out, in]. Errors: those of the device. */
int adapter_merge(const Model *model, const State *state, const Param *weight, float *values,
                  size_t first, size_t count, Error *error);

#endif
