/* 64 threads with connections of their own and shared ones; thread attributes, names and data. */
#include <signal.h>
#include <unistd.h>

#include "support.h"

#define THREADS 64
#define TURNS   100

static struct sockaddr_storage address;
static socklen_t address_size;
static int shared[2];
static _Atomic unsigned shared_bytes;
static pthread_key_t key;
static _Atomic int destroyed;

static void destroy_data(void *argument)
{
    int *fd = argument;
    /* I/O while the thread's data is being destroyed. */
    REQUIRE(write_all(*fd, "*1\r\n$4\r\nQUIT\r\n", 14));
    REQUIRE(close(*fd) == 0);
    free(fd);
    destroyed++;
}

static void *serve(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char bytes[14];
    while (read_all(fd, bytes, sizeof bytes)) {
        if (bytes[8] == 'Q') {
            break;
        }
        REQUIRE(write_all(fd, "+PONG\r\n", 7));
    }
    REQUIRE(close(fd) == 0);
    return NULL;
}

static void *accept_all(void *argument)
{
    int listener = *(int *)argument;
    pthread_t servers[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        int fd = accept(listener, NULL, NULL);
        REQUIRE(fd >= 0);
        servers[i] = start_thread(serve, (void *)(intptr_t)fd);
    }
    for (size_t i = 0; i < THREADS; i++) {
        join_thread(servers[i]);
    }
    return NULL;
}

static void *client(void *argument)
{
    char bytes[7];
    int *fd = malloc(sizeof *fd);
    REQUIRE(fd);
    *fd = connect_to(&address, address_size);
    REQUIRE(pthread_setspecific(key, fd) == 0);
    unsigned good = 0;
    for (int i = 0; i < TURNS; i++) {
        REQUIRE(write_all(*fd, "*1\r\n$4\r\nPING\r\n", 14));
        REQUIRE(read_all(*fd, bytes, sizeof bytes));
        good += memcmp(bytes, "+PONG\r\n", 7) == 0;
        /* One connection that all write to at once: no byte may be lost. */
        REQUIRE(send(shared[0], "+\r\n", 3, 0) == 3);
    }
    (void)argument;
    return (void *)(uintptr_t)good;
}

static void *drain_shared(void *argument)
{
    char bytes[4096];
    ssize_t count;
    (void)argument;
    while ((count = recv(shared[1], bytes, sizeof bytes, 0)) > 0) {
        shared_bytes += (unsigned)count;
    }
    return NULL;
}

static void *nothing(void *argument)
{
    return argument;
}

int main(void)
{
    pthread_t clients[THREADS];
    int listener = listen_on_loopback(AF_INET, &address, &address_size);
    REQUIRE(pthread_key_create(&key, destroy_data) == 0);
    tcp_pair(shared);
    pthread_t acceptor = start_thread(accept_all, &listener);
    pthread_t drainers[2] = {start_thread(drain_shared, NULL), start_thread(drain_shared, NULL)};
    for (size_t i = 0; i < THREADS; i++) {
        clients[i] = start_thread(client, NULL);
    }
    uintptr_t good = 0;
    for (size_t i = 0; i < THREADS; i++) {
        void *result;
        REQUIRE(pthread_join(clients[i], &result) == 0);
        good += (uintptr_t)result;
    }
    REQUIRE(shutdown(shared[0], SHUT_WR) == 0);
    join_thread(drainers[0]);
    join_thread(drainers[1]);
    join_thread(acceptor);
    say("%lu answers, %u shared bytes, %d destructors", (unsigned long)good, shared_bytes,
        destroyed);

    /* The arguments of pthread_create arrive, and its errors come back. */
    pthread_attr_t attributes;
    pthread_t thread;
    void *result;
    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_create(&thread, &attributes, nothing, &key) == 0);
    REQUIRE(pthread_join(thread, &result) == 0);
    say("argument %s", result == &key ? "arrived" : "lost");
    REQUIRE(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
    REQUIRE(pthread_create(&thread, &attributes, nothing, NULL) == 0);
    REQUIRE(pthread_attr_setstacksize(&attributes, (size_t)1 << 46) == 0);
    say("huge stack: %s", errno_name(pthread_create(&thread, &attributes, nothing, NULL)));
    sigset_t set;
    REQUIRE(pthread_sigmask(SIG_BLOCK, NULL, &set) == 0);
    say("SIGTERM blocked: %d", sigismember(&set, SIGTERM));
    return 0;
}
