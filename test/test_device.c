/* Devices: copies there and back, views, and that the fence keeps host code out. */
#include "backend.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void check_copies(const char *name)
{
    enum { SIZE = 3000 };
    Backend b;
    Error error;
    float x[SIZE], y[SIZE];
    CHECK(!backend_init(&b, name, "auto", 2, &error), "%s", error.text);
    float *first = b.device->alloc(sizeof x), *second = b.device->alloc(sizeof x);
    for (int i = 0; i < SIZE; i++) {
        x[i] = (float)i;
    }
    b.device->get(y, first, sizeof y);
    CHECK(!backend_wait(&b, &error), "%s", error.text);
    int dirty = 0;
    for (int i = 0; i < SIZE; i++) {
        dirty += y[i] != 0;
    }
    CHECK(!dirty, "%s: %d values of fresh memory are not 0", name, dirty);
    b.device->put(first, x, sizeof x);
    b.ops.copy(&b.ctx, second, first, SIZE);
    b.device->get(y, second, sizeof y);
    if (!strcmp(name, "fence")) {
        CHECK(isnan(y[0]) && isnan(y[SIZE - 1]), "what was not waited for is there");
    }
    b.ops.fill_zero(&b.ctx, second, SIZE); /* behind the get */
    CHECK(!backend_wait(&b, &error) && !memcmp(x, y, sizeof x), "%s: there and back", name);
    b.ops.copy(&b.ctx, second, first, SIZE);
    b.device->put(first, y, sizeof y / 2); /* behind the op that reads what stood there */
    b.device->get(y, second, sizeof y);
    CHECK(!backend_wait(&b, &error) && !memcmp(x, y, sizeof x), "%s: an op and a put", name);
    void *none = b.device->alloc(0);
    CHECK(none, "%s: no memory of no size", name);
    b.device->release(none, 0);
    const float *view = b.device->view(x, sizeof x);
    b.ops.copy(&b.ctx, second, view, SIZE);
    b.device->get(y, second, sizeof y);
    CHECK(!backend_wait(&b, &error) && !memcmp(x, y, sizeof x), "%s: a view", name);
    CHECK((view == x) == !strcmp(name, "cpu"), "%s: whether a view is the host's memory", name);
    b.device->unview(view, sizeof x);
    /* many at once, and more than a device stages at a time; the host's memory is used again */
    size_t large = (size_t)21 << 20;
    unsigned char *host = memory_alloc(large, 1), *there = b.device->alloc(large);
    for (int i = 0; i < 40; i++) {
        memset(host, i, 1000);
        b.device->put(there + 1000 * i, host, 1000);
    }
    memset(host, 77, large);
    b.device->put(there + 40000, host, large - 40000);
    memset(host, 0, large);
    b.device->get(host, there, large);
    CHECK(!backend_wait(&b, &error), "%s", error.text);
    size_t wrong = 0;
    for (size_t i = 0; i < large; i++) {
        wrong += host[i] != (i < 40000 ? i / 1000 : 77);
    }
    CHECK(!wrong, "%s: %zu of many bytes are wrong", name, wrong);
    b.device->release(there, large);
    free(host);
    b.device->release(first, sizeof x);
    b.device->release(second, sizeof x);
    b.device->release(NULL, 0);
    backend_free(&b);
}

/* A child that reads or writes memory of the fence ends with 70 and one line. */
static void check_kept_out(int write_it)
{
    Backend b;
    Error error;
    int ends[2];
    char text[200] = "";
    CHECK(!backend_init(&b, "fence", "auto", 1, &error) && !pipe(ends), "%s", error.text);
    float *x = b.device->alloc(64);
    b.ops.fill_zero(&b.ctx, x, 16); /* opened and closed again */
    pid_t child = fork();
    if (!child) {
        dup2(ends[1], STDERR_FILENO);
        volatile float *touched = x;
        if (write_it) {
            touched[3] = 1;
        }
        _exit(touched[3] != 0);
    }
    int status = 0;
    close(ends[1]);
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
              WEXITSTATUS(status) == EXIT_BUG,
          "%s: status %d", write_it ? "written" : "read", status);
    CHECK(read(ends[0], text, sizeof text - 1) > 0 && strstr(text, "outside of an op"), "said: %s",
          text);
    close(ends[0]);
    b.device->release(x, 64);
    backend_free(&b);
}

int main(void)
{
    Backend b;
    Error error;
    check_copies("cpu");
    check_copies("fence");
    check_copies("sim");
    check_kept_out(0);
    check_kept_out(1);
    for (int i = 0; i < 3; i++) { /* auto is what the variable names, else the cpu */
        static const char *const named[] = {"fence", "cpu", ""};
        setenv("SEEDBED_DEVICE", named[i], 1);
        CHECK(!backend_init(&b, "auto", "auto", 1, &error) &&
                  !strcmp(b.device->name, i ? "cpu" : "fence"),
              "auto for '%s'", named[i]);
        backend_free(&b);
    }
    setenv("SEEDBED_DEVICE", "gpu", 1);
    CHECK(backend_init(&b, "auto", "auto", 1, &error) == EXIT_USAGE, "a variable without sense");
    CHECK(backend_init(&b, "gpu", "auto", 1, &error) == EXIT_USAGE && strstr(error.text, "gpu"),
          "a device that there is not");
    return checks_close("test_device");
}
