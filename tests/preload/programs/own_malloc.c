/* A program with an allocator of its own that makes system calls while it starts, and counts: a
   call that moves data allocates nothing on the application's thread. */
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support.h"

static _Alignas(16) char arena[16u << 20];
static _Atomic size_t used;
static _Atomic int is_started;
static __thread unsigned long allocations __attribute__((tls_model("initial-exec")));

static void start_allocator(void)
{
    /* What jemalloc does before anybody's constructor ran. */
    if (is_started == 0) {
        is_started = 1;
        long fd = syscall(SYS_openat, -100, "/dev/null", 2, 0);
        char byte = 0;
        syscall(SYS_read, fd, &byte, 1);
        syscall(SYS_close, fd);
        prctl(PR_GET_DUMPABLE);
        write(-1, &byte, 1);
        read(-1, &byte, 1);
        close(-1);
    }
}

void *malloc(size_t size)
{
    start_allocator();
    allocations++;
    size_t rounded = (size + 31) & ~(size_t)15;
    size_t offset = used;
    do {
        if (offset + rounded > sizeof arena) {
            errno = ENOMEM;
            return NULL;
        }
    } while (!atomic_compare_exchange_weak(&used, &offset, offset + rounded));
    memcpy(arena + offset, &size, sizeof size);
    return arena + offset + 16;
}

void free(void *memory)
{
    (void)memory;
    allocations++;
}

void *calloc(size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) {
        errno = ENOMEM;
        return NULL;
    }
    return malloc(count * size);
}

void *realloc(void *memory, size_t size)
{
    void *moved = malloc(size);
    if (moved && memory) {
        size_t old;
        memcpy(&old, (char *)memory - 16, sizeof old);
        memcpy(moved, memory, old < size ? old : size);
    }
    return moved;
}

static void talk(int pair[2])
{
    char bytes[256];
    static const char request[] =
        "GET /own HTTP/1.1\r\nHost: localhost\r\n"
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
    static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    REQUIRE(write_all(pair[0], request, sizeof request - 1));
    REQUIRE(read_all(pair[1], bytes, sizeof request - 1));
    REQUIRE(write_all(pair[1], response, sizeof response - 1));
    REQUIRE(read_all(pair[0], bytes, sizeof response - 1));
}

static void *on_thread(void *argument)
{
    int *pair = argument;
    talk(pair);
    unsigned long before = allocations;
    for (int i = 0; i < 100; i++) {
        talk(pair);
    }
    return (void *)(uintptr_t)(allocations - before);
}

int main(void)
{
    int pair[2];
    tcp_pair(pair);
    unsigned long before = allocations;
    for (int i = 0; i < 100; i++) {
        talk(pair);
    }
    say("allocations in data calls: %lu", allocations - before);
    pthread_t thread = start_thread(on_thread, pair);
    void *result;
    REQUIRE(pthread_join(thread, &result) == 0);
    say("allocations in data calls of a thread: %lu", (unsigned long)(uintptr_t)result);
    return 0;
}
