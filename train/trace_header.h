/* The header of a trace (docs/FORMATS.md): the run, the machine, the command, and the names of what
 * the records number. */
#ifndef TRACE_HEADER_H
#define TRACE_HEADER_H

#include "setup.h"

/* outputs: records are of every output, else of the weights alone. The caller owns it. */
json_t *trace_header(const Setup *setup, const Seeds *seeds, int outputs);

#endif
