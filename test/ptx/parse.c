/* Reads PTX. The table `rows` is the list of instructions that kernels may have. */
#include "ptx.h"

#include "base.h"

#include <stdlib.h>
#include <string.h>

/* name: without types, vectors and comparisons. types: the kinds that it may have; empty: it has no
 * type. operands: how many, those in {} counted one by one. */
static const struct {
    const char *name;
    PtxOp op;
    const char *types;
    int operands, mode;
} rows[] = {
    {"add", PTX_ADD, "us", 3, 0},
    {"sub", PTX_SUB, "us", 3, 0},
    {"mul.lo", PTX_MUL, "us", 3, 0},
    {"mul.wide", PTX_MUL, "us", 3, 0},
    {"mul.hi", PTX_MUL_HI, "us", 3, 0},
    {"mad.lo", PTX_MAD, "us", 4, 0},
    {"div", PTX_DIV, "us", 3, 0},
    {"rem", PTX_REM, "us", 3, 0},
    {"min", PTX_MIN, "usf", 3, 0},
    {"max", PTX_MAX, "usf", 3, 0},
    {"neg", PTX_NEG, "sf", 2, 0},
    {"abs", PTX_ABS, "f", 2, 0},
    {"and", PTX_AND, "bp", 3, 0},
    {"or", PTX_OR, "bp", 3, 0},
    {"xor", PTX_XOR, "bp", 3, 0},
    {"not", PTX_NOT, "bp", 2, 0},
    {"shl", PTX_SHL, "b", 3, 0},
    {"shr", PTX_SHR, "usb", 3, 0},
    {"bfi", PTX_BFI, "b", 5, 0},
    {"mov", PTX_MOV, "usbfp", 2, 0},
    {"cvta.to.global", PTX_MOV, "u", 2, 0}, /* a generic address is global, or that of shared */
    {"cvta.shared", PTX_CVTA_SHARED, "u", 2, 0},
    {"selp", PTX_SELP, "usbf", 4, 0},
    {"setp", PTX_SETP, "usbf", 3, 0},
    {"cvt", PTX_CVT, "usf", 2, 0},    /* between integers, and f32 to f64 */
    {"cvt.rn", PTX_CVT, "f", 2, 0},   /* integers up to 32 bits to floats, and f64 to f32 */
    {"cvt.rzi", PTX_CVT, "us", 2, 0}, /* floats to integers */
    {"add.rn", PTX_ADD, "f", 3, 0},
    {"sub.rn", PTX_SUB, "f", 3, 0},
    {"mul.rn", PTX_MUL, "f", 3, 0},
    {"fma.rn", PTX_FMA, "f", 4, 0},
    {"div.rn", PTX_DIV, "f", 3, 0},
    {"rcp.rn", PTX_RCP, "f", 2, 0},
    {"sqrt.rn", PTX_SQRT, "f", 2, 0},
    {"ld.param", PTX_LD, "usbf", 2, PTX_PARAM},
    {"ld.global", PTX_LD, "usbf", 2, PTX_GLOBAL},
    {"ld.shared", PTX_LD, "usbf", 2, PTX_SHARED},
    {"st.global", PTX_ST, "usbf", 2, PTX_GLOBAL},
    {"st.shared", PTX_ST, "usbf", 2, PTX_SHARED},
    {"cp.async.ca.shared.global", PTX_CP_ASYNC, "", 4, 0}, /* to, from, bytes, bytes to read */
    {"cp.async.cg.shared.global", PTX_CP_ASYNC, "", 4, 0},
    {"cp.async.commit_group", PTX_NOTHING, "", 0, 0}, /* copies come at once: the emulator has */
    {"cp.async.wait_group", PTX_NOTHING, "", 1, 0},   /* those that come late */
    {"bra", PTX_BRA, "", 0, 0},
    {"bra.uni", PTX_BRA, "", 0, 0},
    {"shfl.sync.bfly", PTX_SHFL, "b", 6, 0}, /* to, in range, value, lane, clamp, mask */
    {"bar.warp.sync", PTX_WARP, "", 1, 0},
    {"bar.sync", PTX_BARRIER, "", 1, 0},
    {"ret", PTX_RET, "", 0, 0},
};
enum { ROWS = sizeof rows / sizeof *rows };

/* A word, number, string or sign of the text. */
typedef struct Token {
    const char *text;
    int length;
} Token;

/* value: a slot, of registers the first one's; of labels an instruction; else an address. count: of
 * registers r<count>, 0 for one alone; of a branch its line. */
typedef struct Names {
    struct Name {
        Token name;
        int64_t value;
        int count;
    } * list;
    int count;
} Names;

typedef struct Reader {
    PtxModule *module;
    PtxKernel *kernel; /* NULL outside */
    const char *at;
    int line;
    Token token;                     /* the next one, length 0 at the end */
    Names registers, shared, params; /* that have been declared */
    Names constants;                 /* that have a slot; they have no names */
    Names labels, branches;          /* branches: by label, the instructions that go there */
} Reader;

_Noreturn void ptx_fail(const PtxModule *module, const PtxKernel *kernel, int line, const char *why)
{
    const char *at = module->text;
    for (int i = 1; i < line; i++) {
        at += strcspn(at, "\n") + 1;
    }
    at += strspn(at, " \t");
    fflush(stdout);
    fprintf(stderr, "ptx: %s, %s, line %d: %s: %.*s\n", module->target,
            kernel ? kernel->name : "outside of kernels", line, why, (int)strcspn(at, "\n"), at);
    exit(EXIT_BUG);
}

static _Noreturn void fail(const Reader *r, const char *why)
{
    ptx_fail(r->module, r->kernel, r->line, why);
}

/* --- words --- */

static void advance(Reader *r)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$%.";
    r->at += r->token.length;
    for (;;) {
        r->at += strspn(r->at, " \t\r");
        if (*r->at == '\n') {
            r->line++;
            r->at++;
        } else if (!strncmp(r->at, "//", 2)) {
            r->at += strcspn(r->at, "\n");
        } else {
            break;
        }
    }
    size_t length = *r->at == '"' ? strcspn(r->at + 1, "\"\n") + 2 : strspn(r->at, word);
    r->token = (Token){r->at, length ? (int)length : *r->at != 0};
}

static int is(Token token, const char *text)
{
    return (size_t)token.length == strlen(text) && !memcmp(token.text, text, (size_t)token.length);
}

/* Whether the next token is this one, which is then taken. */
static int accept(Reader *r, const char *text)
{
    int found = is(r->token, text);
    if (found) {
        advance(r);
    }
    return found;
}

static void demand(Reader *r, const char *text)
{
    if (!accept(r, text)) {
        fail(r, "not understood");
    }
}

static Token take(Reader *r)
{
    Token token = r->token;
    if (!token.length) {
        fail(r, "the text ends");
    }
    advance(r);
    return token;
}

/* An integer, or a float written as its bits, 0f3F800000. */
static uint64_t take_number(Reader *r)
{
    int negative = accept(r, "-");
    Token token = take(r);
    char text[32], *end;
    snprintf(text, sizeof text, "%.*s", token.length, token.text);
    int bits = !strncmp(text, "0f", 2) || !strncmp(text, "0d", 2);
    uint64_t value = bits ? strtoull(text + 2, &end, 16) : strtoull(text, &end, 0);
    if (end == text || *end) {
        fail(r, "neither a register nor a number");
    }
    return negative ? -value : value;
}

/* --- names --- */

static void name_add(Names *names, Token name, int64_t value, int count)
{
    if (names->count % 64 == 0) {
        names->list = memory_realloc(names->list, (size_t)names->count + 64, sizeof *names->list);
    }
    names->list[names->count++] = (struct Name){name, value, count};
}

/* The last one of this name, or NULL. */
static const struct Name *name_find(const Names *names, Token name)
{
    int i = names->count - 1;
    while (i >= 0 && (names->list[i].name.length != name.length ||
                      memcmp(names->list[i].name.text, name.text, (size_t)name.length) != 0)) {
        i--;
    }
    return i < 0 ? NULL : &names->list[i];
}

static int slots_add(Reader *r, int count, uint64_t value)
{
    PtxKernel *k = r->kernel;
    int first = k->slots;
    if (count < 1 || count > UINT16_MAX - first) {
        fail(r, "too many registers and constants");
    }
    k->slots += count;
    k->initial = memory_realloc(k->initial, (size_t)k->slots, sizeof *k->initial);
    for (int i = first; i < k->slots; i++) {
        k->initial[i] = value;
    }
    return first;
}

/* The slot of a constant: the one that has it, or another. */
static int constant_slot(Reader *r, uint64_t value)
{
    for (int i = 0; i < r->constants.count; i++) {
        int slot = (int)r->constants.list[i].value;
        if (r->kernel->initial[slot] == value) {
            return slot;
        }
    }
    int slot = slots_add(r, 1, value);
    name_add(&r->constants, (Token){NULL, 0}, slot, 0);
    return slot;
}

/* The slot of a register, or -1: one of a name of its own, or %r12 of those declared as %r<68>. */
static int register_slot(const Reader *r, Token token)
{
    const struct Name *found = name_find(&r->registers, token);
    if (found && !found->count) {
        return (int)found->value;
    }
    Token bank = token;
    while (bank.length && strchr("0123456789", bank.text[bank.length - 1])) {
        bank.length--;
    }
    found = bank.length < token.length ? name_find(&r->registers, bank) : NULL;
    int number = found ? atoi(bank.text + bank.length) : 0;
    return found && number < found->count ? (int)found->value + number : -1;
}

/* --- declarations --- */

static PtxType type_of(const char *text, int length)
{
    static const char *const names[] = {"u8", "u16", "u32", "u64", "s8",  "s16", "s32", "s64",
                                        "b8", "b16", "b32", "b64", "f32", "f64", "pred"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (is((Token){text, length}, names[i])) {
            return (PtxType){*text, *text == 'p' ? 1 : (uint8_t)atoi(text + 1)};
        }
    }
    return (PtxType){0, 0};
}

static PtxType take_type(Reader *r)
{
    Token token = take(r);
    PtxType type = type_of(token.text + 1, token.length - 1);
    if (*token.text != '.' || !type.bits) {
        fail(r, "no type");
    }
    return type;
}

/* [.align 8] .b8 name[24], behind .param or .shared: its place in `names` behind *end. [] is dynamic
 * shared memory. */
static void take_variable(Reader *r, Names *names, size_t *end)
{
    size_t align = accept(r, ".align") ? (size_t)take_number(r) : 1, size = take_type(r).bits / 8;
    Token name = take(r);
    int dynamic = 0;
    align = size_max(align, size);
    if (accept(r, "[")) {
        dynamic = is(r->token, "]");
        size *= dynamic ? 0 : (size_t)take_number(r);
        demand(r, "]");
    }
    *end = (*end + align - 1) / align * align;
    name_add(names, name, dynamic ? PTX_DYNAMIC : (int64_t)*end, 0);
    *end += size;
    if (names == &r->shared && *end > PTX_DYNAMIC) {
        fail(r, "more than 48 KB of static shared memory");
    }
}

static void take_params(Reader *r)
{
    PtxKernel *k = r->kernel;
    r->params.count = 0;
    demand(r, "(");
    while (accept(r, ".param")) {
        take_variable(r, &r->params, &k->params_bytes);
        size_t at = (size_t)r->params.list[r->params.count - 1].value;
        k->params = memory_realloc(k->params, (size_t)k->params_count + 1, sizeof *k->params);
        k->params[k->params_count].at = at;
        k->params[k->params_count++].bytes = k->params_bytes - at;
        (void)accept(r, ",");
    }
    demand(r, ")");
}

/* .reg .b32 %r<68>; */
static void take_registers(Reader *r)
{
    (void)take_type(r);
    Token name = take(r);
    int count = 0;
    if (accept(r, "<")) {
        count = (int)take_number(r);
        demand(r, ">");
    }
    name_add(&r->registers, name, slots_add(r, count ? count : 1, 0), count);
    demand(r, ";");
}

static void add_special(Reader *r)
{
    static const char *const names[PTX_SPECIAL] = {
        "%tid.x",   "%tid.y",   "%tid.z",   "%ntid.x",   "%ntid.y",   "%ntid.z",
        "%ctaid.x", "%ctaid.y", "%ctaid.z", "%nctaid.x", "%nctaid.y", "%nctaid.z"};
    for (int i = 0; i < PTX_SPECIAL; i++) {
        name_add(&r->registers, (Token){names[i], (int)strlen(names[i])}, slots_add(r, 1, 0), 0);
    }
}

/* --- instructions --- */

/* One operand: a register, a constant, or the address of a variable. */
static uint16_t take_operand(Reader *r, int32_t *offset)
{
    int slot = register_slot(r, r->token);
    const struct Name *variable = name_find(&r->params, r->token);
    variable = variable ? variable : name_find(&r->shared, r->token);
    if (slot >= 0 || variable) {
        advance(r);
    }
    if (slot < 0) {
        slot = constant_slot(r, variable ? (uint64_t)variable->value : take_number(r));
    }
    if (offset && accept(r, "+")) {
        *offset = (int32_t)take_number(r);
    }
    return (uint16_t)slot;
}

/* All up to the semicolon; values in {} one by one. */
static int take_operands(Reader *r, PtxInstruction *i)
{
    int count = 0, addresses = 0;
    while (!accept(r, ";")) {
        if (count == 6 || (addresses == 2 && is(r->token, "["))) {
            fail(r, "too many operands");
        } else if (i->op == PTX_BRA) {
            name_add(&r->branches, take(r), r->kernel->length, r->line);
        } else if (accept(r, "[")) {
            i->slot[count++] = take_operand(r, &i->offset[addresses++]);
            demand(r, "]");
        } else if (!accept(r, "{") && !accept(r, "}") && !accept(r, ",") && !accept(r, "|")) {
            i->slot[count++] = take_operand(r, NULL);
        }
    }
    return count;
}

/* The set of a comparison's name, 0 if there is none of it. */
static int comparison_of(const char *name)
{
    static const char *const names[] = {"",    "lt",  "eq",  "le",  "gt",  "ne",  "ge", "num",
                                        "nan", "ltu", "equ", "leu", "gtu", "neu", "geu"};
    int set = sizeof names / sizeof *names - 1;
    while (set && strcmp(name, names[set]) != 0) {
        set--;
    }
    return set;
}

/* Takes the opcode apart: setp.ltu.f32 is setp with a set and a type, ld.global.v4.f32 is ld.global
 * with 4 values. Returns its row, ROWS if there is none. */
static int take_opcode(Reader *r, PtxInstruction *i)
{
    Token opcode = take(r);
    char name[64] = "", part[32];
    for (int at = 0, length; at < opcode.length; at += length + 1) {
        length = (int)strcspn(opcode.text + at, ". \t\n;");
        snprintf(part, sizeof part, "%.*s", length, opcode.text + at);
        PtxType type = type_of(part, (int)strlen(part));
        if (type.bits) {
            i->type = i->type.bits ? i->type : type;
            i->from = type;
        } else if (!strcmp(part, "v2") || !strcmp(part, "v4")) {
            i->vector = (uint8_t)(part[1] - '0');
        } else if (!strcmp(name, "setp")) {
            i->mode = (uint8_t)comparison_of(part);
        } else {
            size_t end = strlen(name);
            snprintf(name + end, sizeof name - end, "%s%s", end ? "." : "", part);
        }
    }
    int row = 0;
    while (row < ROWS && strcmp(name, rows[row].name) != 0) {
        row++;
    }
    return row;
}

/* Whether the instruction of this row has its types, of which cvt has two: without .rn and .rzi it
 * must be exact. */
static int fits(int row, const PtxInstruction *i)
{
    PtxType to = i->type, from = i->from;
    PtxOp op = rows[row].op;
    int floats = (to.kind == 'f') + (from.kind == 'f');
    if ((to.bits ? !strchr(rows[row].types, to.kind) : *rows[row].types != 0) ||
        (i->vector > 1 && op != PTX_LD && op != PTX_ST) || (op == PTX_SETP && !i->mode)) {
        return 0;
    }
    if (op != PTX_CVT) {
        return to.kind == from.kind && to.bits == from.bits;
    }
    if (!strcmp(rows[row].name, "cvt")) {
        return floats == 0 || (floats == 2 && to.bits == 64 && from.bits == 32);
    }
    return from.kind == 'f' ? to.kind != 'f' || to.bits < from.bits
                            : to.kind == 'f' && from.bits <= 32;
}

/* The kernel has an instruction that is not on the list, and does not run. */
static void refuse(const Reader *r, int line)
{
    PtxKernel *k = r->kernel;
    if (!k->refused) {
        k->refused = "not on the list (floats are rounded by .rn, without .ftz)";
        k->refused_line = line;
    }
}

static void take_instruction(Reader *r)
{
    PtxKernel *k = r->kernel;
    PtxInstruction i = {.vector = 1, .line = r->line};
    if (accept(r, "@")) {
        i.guarded = 1;
        i.guard = take_operand(r, NULL);
    }
    int row = take_opcode(r, &i);
    if (row == ROWS || !fits(row, &i)) {
        refuse(r, i.line);
        while (!accept(r, ";")) {
            (void)take(r);
        }
        return;
    }
    i.op = (uint8_t)rows[row].op;
    i.mode = i.op == PTX_SETP ? i.mode : (uint8_t)rows[row].mode;
    if (take_operands(r, &i) != rows[row].operands + i.vector - 1) {
        refuse(r, i.line); /* such as the halves of a register */
        return;
    }
    if (k->length % 64 == 0) {
        k->code = memory_realloc(k->code, (size_t)k->length + 64, sizeof *k->code);
    }
    k->code[k->length++] = i;
}

static void take_statement(Reader *r)
{
    if (accept(r, ".reg")) {
        take_registers(r);
    } else if (accept(r, ".shared")) {
        take_variable(r, &r->shared, &r->kernel->shared_bytes);
        demand(r, ";");
    } else if (accept(r, ".pragma")) {
        (void)take(r);
        demand(r, ";");
    } else if (*r->token.text == '$') {
        name_add(&r->labels, take(r), r->kernel->length, 0);
        demand(r, ":");
    } else {
        take_instruction(r);
    }
}

static void take_body(Reader *r)
{
    PtxKernel *k = r->kernel;
    int outer[8], depth = 0; /* registers of the blocks around */
    r->registers.count = r->constants.count = r->labels.count = r->branches.count = 0;
    add_special(r);
    demand(r, "{");
    for (int open = 1; open;) {
        if (depth < 8 && accept(r, "{")) {
            outer[depth++] = r->registers.count;
        } else if (accept(r, "}")) {
            open = depth > 0;
            r->registers.count = open ? outer[--depth] : 0;
        } else {
            take_statement(r);
        }
    }
    for (int b = 0; b < r->branches.count; b++) {
        const struct Name *from = &r->branches.list[b], *to = name_find(&r->labels, from->name);
        if (!to) {
            ptx_fail(r->module, k, from->count, "no such label");
        }
        k->code[from->value].target = (int)to->value;
    }
    if (!k->length || k->code[k->length - 1].op != PTX_RET || k->code[k->length - 1].guarded) {
        fail(r, "the kernel does not end with ret");
    }
}

static void take_kernel(Reader *r)
{
    PtxModule *m = r->module;
    Token name = take(r);
    m->kernels = memory_realloc(m->kernels, (size_t)m->count + 1, sizeof *m->kernels);
    PtxKernel *k = r->kernel = &m->kernels[m->count++];
    *k = (PtxKernel){.module = m, .name = string_format("%.*s", name.length, name.text)};
    int shared = r->shared.count;
    take_params(r);
    if (accept(r, ".maxntid")) {
        k->most_threads = 1;
        do {
            k->most_threads *= (unsigned)take_number(r);
        } while (accept(r, ","));
    }
    if (accept(r, ".minnctapersm")) {
        (void)take_number(r);
    }
    take_body(r);
    r->shared.count = shared;
    r->kernel = NULL;
}

PtxModule *ptx_parse(const char *text)
{
    PtxModule *m = memory_calloc(1, sizeof *m);
    Reader r = {.module = m, .at = text, .line = 1};
    size_t dynamic = 0; /* what is shared outside of kernels has no size of its own */
    m->text = text;
    advance(&r);
    while (r.token.length) {
        if (accept(&r, ".version")) {
            (void)take(&r);
        } else if (accept(&r, ".target")) {
            Token target = take(&r);
            snprintf(m->target, sizeof m->target, "%.*s", target.length, target.text);
        } else if (accept(&r, ".address_size")) {
            demand(&r, "64");
        } else if (accept(&r, ".extern")) {
            demand(&r, ".shared");
            take_variable(&r, &r.shared, &dynamic);
            demand(&r, ";");
        } else {
            (void)accept(&r, ".visible");
            demand(&r, ".entry");
            take_kernel(&r);
        }
    }
    free(r.registers.list);
    free(r.shared.list);
    free(r.params.list);
    free(r.constants.list);
    free(r.labels.list);
    free(r.branches.list);
    return m;
}
