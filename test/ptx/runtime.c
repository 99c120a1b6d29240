/* CUDA's runtime, as far as objects of nvcc call it to register and launch kernels: a launch runs
 * the kernel's PTX. The rest of the runtime that kernels/x.cu calls is that of test/cudasim.
 *
 * nvcc puts the PTX into the object (code=compute_80, -no-compress): a fat binary is a header and
 * images, each with a header of its own. */
#include "runtime.h"

#include "base.h"

#include <cuda_runtime_api.h>
#include <stdlib.h>
#include <string.h>

enum { TARGETS = 4, MOST_OBJECTS = 64, MOST_KERNELS = 512, IMAGE_PTX = 1 };

typedef struct Images {
    uint32_t magic;
    uint16_t version, header; /* header: its bytes */
    uint64_t bytes;           /* of all images behind it */
} Images;

typedef struct Image {
    uint16_t kind, version;
    uint32_t header;
    uint64_t bytes;
} Image;

typedef struct Fat {
    uint32_t magic, version;
    const Images *images;
} Fat;

/* An object with its PTX for each target. */
typedef struct Object {
    PtxModule *modules[TARGETS];
    int count;
} Object;

static Object objects[MOST_OBJECTS];
static struct {
    const void *host; /* what stands before <<<>>> */
    const char *name;
    const Object *object;
} kernels[MOST_KERNELS];
static int object_count, kernel_count, target_now;
static PtxModule *instead; /* NULL: none was given */

/* Of a launch, between <<<>>> and its arguments. */
static struct {
    dim3 grid, block;
    size_t shared;
} pushed;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "ptx: %s\n", what);
    exit(EXIT_BUG);
}

/* --- what nvcc's code calls --- */

void **__cudaRegisterFatBinary(const Fat *fat)
{
    const Images *images = fat->images;
    if (object_count == MOST_OBJECTS || fat->magic != 0x466243B1 || images->magic != 0xBA55ED50) {
        fail("too many objects, or a fat binary of another form");
    }
    Object *object = &objects[object_count++];
    const char *at = (const char *)images + images->header, *end = at + images->bytes;
    while (at < end) {
        const Image *image = (const Image *)(const void *)at;
        if (image->kind == IMAGE_PTX && object->count < TARGETS) {
            char *text = string_format("%.*s", (int)image->bytes, at + image->header);
            object->modules[object->count++] = ptx_parse(text);
        }
        at += image->header + image->bytes;
    }
    if (!object->count || object->count != objects[0].count) {
        fail("an object without PTX, or not for the targets of the others");
    }
    return (void **)(void *)object;
}

void __cudaRegisterFatBinaryEnd(void **object)
{
    (void)object;
}

void __cudaUnregisterFatBinary(void **object)
{
    (void)object;
}

void __cudaRegisterFunction(void **object, const char *host, char *device, const char *name)
{
    (void)device; /* six parameters more follow, for what <<<>>> says */
    if (kernel_count == MOST_KERNELS) {
        fail("too many kernels");
    }
    kernels[kernel_count].host = host;
    kernels[kernel_count].name = name;
    kernels[kernel_count++].object = (const Object *)(void *)object;
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared)
{
    pushed.grid = grid; /* a stream follows */
    pushed.block = block;
    pushed.shared = shared;
    return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream)
{
    *grid = pushed.grid;
    *block = pushed.block;
    *shared = pushed.shared;
    *(cudaStream_t *)stream = NULL;
    return cudaSuccess;
}

static PtxKernel *kernel_named(const PtxModule *module, const char *name)
{
    for (int k = 0; module && k < module->count; k++) {
        if (!strcmp(module->kernels[k].name, name)) {
            return &module->kernels[k];
        }
    }
    return NULL;
}

cudaError_t cudaLaunchKernel(const void *host, dim3 grid, dim3 block, void **arguments,
                             size_t shared, cudaStream_t stream)
{
    (void)stream;
    int n = 0;
    while (n < kernel_count && kernels[n].host != host) {
        n++;
    }
    const char *name = n < kernel_count ? kernels[n].name : "";
    PtxKernel *kernel = kernel_named(instead, name);
    if (!kernel && n < kernel_count) {
        kernel = kernel_named(kernels[n].object->modules[target_now], name);
    }
    if (!kernel) {
        fail("a launch of a kernel that is not there");
    }
    kernel->ran = 1;
    unsigned char *params = memory_alloc(kernel->params_bytes + 1, 1);
    for (int p = 0; p < kernel->params_count; p++) {
        memcpy(params + kernel->params[p].at, arguments[p], kernel->params[p].bytes);
    }
    ptx_run(kernel, (unsigned[]){grid.x, grid.y, grid.z}, (unsigned[]){block.x, block.y, block.z},
            shared, params);
    free(params);
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *host, enum cudaFuncAttribute attribute, int value)
{
    (void)host, (void)attribute, (void)value; /* the emulator looks at it */
    return cudaSuccess;
}

/* As CUDA 13 launches: by a handle, for which the host's function does. */
cudaError_t __cudaGetKernel(const void **kernel, const void *host)
{
    *kernel = host;
    return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(const void *kernel, dim3 grid, dim3 block, void **arguments,
                               size_t shared, cudaStream_t stream)
{
    return cudaLaunchKernel(kernel, grid, block, arguments, shared, stream);
}

/* --- what the test calls --- */

const char *runtime_choose(int target)
{
    target_now = target;
    return target < objects[0].count ? objects[0].modules[target]->target : NULL;
}

int runtime_repeats(void)
{
    int same = target_now > 0;
    for (int i = 0; i < object_count && same; i++) {
        const char *first = strstr(objects[i].modules[0]->text, ".address_size"),
                   *now = strstr(objects[i].modules[target_now]->text, ".address_size");
        same = first && now && !strcmp(first, now);
    }
    return same;
}

void runtime_list_idle(void)
{
    for (int i = 0; i < object_count; i++) {
        const PtxModule *m = objects[i].modules[target_now];
        for (int k = 0; k < m->count; k++) {
            if (!m->kernels[k].ran) {
                printf("%s: not run: %s\n", m->target, m->kernels[k].name);
            }
        }
    }
}

void runtime_replace(const char *text)
{
    instead = ptx_parse(text);
}
