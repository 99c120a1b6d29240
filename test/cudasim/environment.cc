/* The emulator's variables of the environment, read when the program starts:
 *
 *     CUDASIM_ORDER   forward, reverse, random or warps: which thread goes on (cudasim.h)
 *     CUDASIM_FAIL    CALL:N: the Nth such call fails: malloc, mallochost, memcpy, launch, sync,
 *                     image (no machine code for the device); address: the Nth kernel reads what it
 *                     may not, after which every call fails; getcount:N fails at once with the
 *                     error N of CUDA
 *     CUDASIM_MEMORY  what the device has, in MiB
 *     CUDASIM_DRIVER  the CUDA version that the driver knows, 11040 for 11.4; without it there is no
 *                     driver
 *     CUDASIM_CAPABILITY  of the device, 80 for 8.0; without it 90. Its tensor cores sum as those do
 *
 * What is not understood ends the program with 64 and one line: a typo would let a test of failures
 * pass that makes none. */
#include "environment.h"
#include "cudasim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern "C" {
#include "base.h"
}

Environment environment = {NULL, 0, 16 * 1024, 0};

[[noreturn]] __attribute__((format(printf, 1, 2))) static void refuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("cudasim: $", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_USAGE);
}

/* Which of the names it is. */
static int name_of(const char *variable, const char *value, const char *what,
                   const char *const *names, int count)
{
    for (int i = 0; i < count; i++) {
        if (!strcmp(value, names[i])) {
            return i;
        }
    }
    const char *near = nearest_word(value, names, count);
    char list[128] = "";
    for (int i = 0; i < count; i++) {
        size_t end = strlen(list);
        snprintf(list + end, sizeof list - end, "%s%s", i ? ", " : "", names[i]);
    }
    refuse("%s: no such %s: %s%s%s; there are %s", variable, what, value,
           near ? "; did you mean " : "", near ? near : "", list);
}

static long number_of(const char *variable, const char *value, long most)
{
    char *end;
    long number = strtol(value, &end, 10), nearest = number < 1 ? 1 : number > most ? most : number;
    if (end == value || *end || number != nearest || *value < '0' || *value > '9') {
        refuse("%s: not a number from 1 to %ld: %s; did you mean %ld", variable, most, value,
               nearest);
    }
    return number;
}

__attribute__((constructor)) static void read_environment(void)
{
    static const char *const calls[] = {"malloc", "mallochost", "memcpy",  "launch",
                                        "sync",   "image",      "address", "getcount"};
    const char *order = getenv("CUDASIM_ORDER"), *fail = getenv("CUDASIM_FAIL"),
               *memory = getenv("CUDASIM_MEMORY"), *driver = getenv("CUDASIM_DRIVER"),
               *capability = getenv("CUDASIM_CAPABILITY");
    if (order) {
        cudasim_set_order((CudasimOrder)name_of("CUDASIM_ORDER", order, "order",
                                                cudasim_order_names, CUDASIM_ORDERS));
    }
    if (fail) {
        char call[64];
        size_t length = strcspn(fail, ":");
        snprintf(call, sizeof call, "%.*s", (int)length, fail);
        environment.fail =
            calls[name_of("CUDASIM_FAIL", call, "call", calls, sizeof calls / sizeof *calls)];
        environment.fail_at = number_of("CUDASIM_FAIL, N", fail[length] ? fail + length + 1 : "",
                                        1000000);
    }
    if (memory) {
        environment.memory = number_of("CUDASIM_MEMORY", memory, 1 << 20);
    }
    if (driver) {
        environment.driver = number_of("CUDASIM_DRIVER", driver, 1000000);
    }
    if (capability) {
        cudasim_capability = (int)number_of("CUDASIM_CAPABILITY", capability, 999);
    }
}
