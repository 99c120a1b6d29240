/* What an adapter_config.json of PEFT says. */
#ifndef ADAPTER_CONFIG_H
#define ADAPTER_CONFIG_H

#include "lora.h"

/* The adapters that an adapter_config.json describes, for a base model of this shape. A field that
 * is not implemented and not at rest (null, false, empty) is refused by its name, for ignoring it
 * would be another model. Errors: 66 no such file; 65 with path and field. */
int adapter_config_read(LoraConfig *lora, const char *path, const Config *config, Error *error);

#endif
