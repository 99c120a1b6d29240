/* NVIDIA's PTX on the CPU, as far as the kernels of this project go: a second check of nvcc. A
 * kernel with an instruction that is not on the list of parse.c does not run, so whatever runs here
 * was understood. Of float arithmetic the list has what is rounded to nearest and says so: ptxas may
 * contract, approximate or flush to zero nothing of it (PTX ISA, "Floating-Point Instructions").
 *
 * parse.c reads the text, run.c runs a grid, runtime.c stands in for CUDA's runtime, so that objects
 * of nvcc launch their kernels here. */
#ifndef PTX_H
#define PTX_H

#include <stddef.h>
#include <stdint.h>

/* What an instruction does, whatever its type; PTX's names, where it is not plain. Those up to
 * PTX_SQRT put a value into their first operand. */
typedef enum PtxOp {
    PTX_ADD, PTX_SUB, PTX_MUL, PTX_MUL_HI, PTX_MAD, PTX_DIV, PTX_REM, PTX_MIN, PTX_MAX, PTX_NEG,
    PTX_ABS, PTX_AND, PTX_OR, PTX_XOR, PTX_NOT, PTX_SHL, PTX_SHR, PTX_BFI, PTX_MOV, PTX_CVTA_SHARED,
    PTX_SELP, PTX_SETP, PTX_CVT, PTX_FMA, PTX_RCP, PTX_SQRT, PTX_LD, PTX_ST, PTX_CP_ASYNC, PTX_BRA,
    PTX_SHFL, PTX_WARP, PTX_BARRIER, PTX_RET, PTX_NOTHING
} PtxOp;

/* How two values may stand; the mode of a comparison is the set of those for which it is true. */
enum { PTX_LESS = 1, PTX_EQUAL = 2, PTX_GREATER = 4, PTX_UNORDERED = 8 };

/* The mode of a load or store. */
enum { PTX_GLOBAL, PTX_SHARED, PTX_PARAM };

typedef struct PtxType {
    char kind; /* unsigned, signed, bits, float, predicate: u s b f p; 0: no type */
    uint8_t bits;
} PtxType;

/* Every operand is a slot: of a register, of a special register or of a constant. Small, as threads
 * run one after another through all of a kernel's code. */
typedef struct PtxInstruction {
    uint8_t op, mode, vector; /* vector: values that a load or store moves */
    uint8_t guarded;
    PtxType type, from; /* from: of a conversion's source */
    uint16_t guard;     /* if guarded, the slot of a predicate that must be true */
    uint16_t slot[6];   /* operands as they are written, results first */
    int32_t offset[2];  /* of addresses */
    int target;         /* the instruction that a branch goes to */
    int line;           /* of the text */
} PtxInstruction;

/* Slots of special registers; those of a kernel's own and of constants follow. */
enum { PTX_TID, PTX_NTID = 3, PTX_CTAID = 6, PTX_NCTAID = 9, PTX_SPECIAL = 12 };

typedef struct PtxKernel {
    const struct PtxModule *module;
    char *name; /* as C++ mangles it */
    PtxInstruction *code;
    uint64_t *initial; /* [slots] when a launch begins; nothing changes a constant */
    struct {
        size_t at, bytes;
    } *params;
    int length, slots, params_count;
    size_t params_bytes, shared_bytes; /* shared_bytes: without the dynamic part */
    unsigned most_threads;             /* of a block; 0 if the text does not say */
    const char *refused;               /* NULL, or why it may not run; */
    int refused_line;                  /* the line for which it may not */
    int ran;
} PtxKernel;

typedef struct PtxModule {
    const char *text;
    char target[16]; /* sm_80 */
    PtxKernel *kernels;
    int count;
} PtxModule;

/* Shared addresses of extern __shared__ arrays begin here, behind all that static ones may take. */
enum { PTX_DYNAMIC = 48 * 1024 };

/* Reads a text that lives as long as the module. A kernel with an instruction that is not on the
 * list may not run; what else is not understood ends the program with 70 and a line that names the
 * place. */
PtxModule *ptx_parse(const char *text);

/* Runs a kernel over a grid. params: its parameters, where params[] says. Ends with 70 for what a
 * device refuses or leaves undefined. */
void ptx_run(const PtxKernel *kernel, const unsigned grid[3], const unsigned size[3],
             size_t dynamic_shared, const unsigned char *params);

/* Instructions that all threads have run so far. */
size_t ptx_steps(void);

/* The line that names the place, and the end; kernel is NULL outside of them. */
_Noreturn void ptx_fail(const PtxModule *module, const PtxKernel *kernel, int line,
                        const char *why);

#endif
