/* Under tight limits: address space, file size, processes. The limit holds from the start of the
   program, so it is set here and the program executed once more. */
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support.h"

static void *serve(void *argument)
{
    int fd = *(int *)argument;
    char bytes[14];
    while (read_all(fd, bytes, sizeof bytes)) {
        REQUIRE(write_all(fd, "+PONG\r\n", 7));
    }
    return NULL;
}

static void work(void)
{
    int pairs[20][2];
    char bytes[7];
    for (size_t i = 0; i < 20; i++) {
        tcp_pair(pairs[i]);
        exchange("connection", pairs[i][0], pairs[i][1]);
    }
    pthread_attr_t attributes;
    pthread_t thread;
    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_attr_setstacksize(&attributes, 65536) == 0);
    int error = pthread_create(&thread, &attributes, serve, &pairs[0][1]);
    if (error) {
        say("no thread: %s", errno_name(error));
        return;
    }
    for (int i = 0; i < 1000; i++) {
        REQUIRE(write_all(pairs[0][0], "*1\r\n$4\r\nPING\r\n", 14));
        REQUIRE(read_all(pairs[0][0], bytes, sizeof bytes));
    }
    REQUIRE(shutdown(pairs[0][0], SHUT_WR) == 0);
    join_thread(thread);
    say("1000 commands");
}

int main(int count, char **arguments)
{
    REQUIRE(count >= 2);
    struct rlimit limit;
    if (count == 2) {
        int which = RLIMIT_AS;
        limit = (struct rlimit){64u << 20, 64u << 20};
        if (strcmp(arguments[1], "file_size") == 0) {
            which = RLIMIT_FSIZE;
            limit = (struct rlimit){0, 0};
        } else if (strcmp(arguments[1], "processes") == 0) {
            which = RLIMIT_NPROC;
            limit = (struct rlimit){0, 0};
        } else if (strcmp(arguments[1], "descriptors") == 0) {
            which = RLIMIT_NOFILE;
            limit = (struct rlimit){46, 46};
        } else if (strcmp(arguments[1], "locked_memory") == 0) {
            which = RLIMIT_MEMLOCK;
            limit = (struct rlimit){0, 0};
        }
        REQUIRE(setrlimit((__rlimit_resource_t)which, &limit) == 0);
        execl("/proc/self/exe", arguments[0], arguments[1], "limited", (char *)NULL);
        return EXIT_SETUP;
    }
    if (strcmp(arguments[1], "processes") == 0) {
        /* The limit does not count for root. */
        REQUIRE(getuid() != 0 || setuid(65534) == 0);
    }
    work();
    if (strcmp(arguments[1], "address_space") == 0) {
        /* Where the process exports by itself libcurl and what it needs take up to 25 MiB, sooner
           or later. What is left is left to the program. */
        void *quarter =
            mmap(NULL, 16u << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        say("a quarter of the limit: %s", quarter == MAP_FAILED ? "not there" : "there");
    }
    return 0;
}
