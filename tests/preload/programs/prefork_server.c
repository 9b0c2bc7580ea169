/* A server whose children accept on the inherited listener, and are killed and replaced. */
#include <signal.h>
#include <unistd.h>

#include "conversation.h"

#define CHILDREN 4

static struct sockaddr_storage address;
static socklen_t address_size;

static pid_t start_child(int listener)
{
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid != 0) {
        return pid;
    }
    static struct end end;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            _exit(1);
        }
        end_init(&end, fd, IO_SEND_RECV, 0);
        http_serve(&end);
        close(fd);
    }
}

static void ask_all(void)
{
    static struct end end;
    for (int i = 0; i < 20; i++) {
        end_init(&end, connect_to(&address, address_size), IO_READ_WRITE, 0);
        http_ask(&end, "GET", "/sized/100", 0);
        http_ask(&end, "POST", "/chunked/100", 100);
        REQUIRE(close(end.fd) == 0);
    }
}

int main(void)
{
    pid_t children[CHILDREN];
    int listener = listen_on_loopback(AF_INET, &address, &address_size);
    for (size_t i = 0; i < CHILDREN; i++) {
        children[i] = start_child(listener);
    }
    ask_all();
    for (size_t i = 0; i < CHILDREN; i++) {
        REQUIRE(kill(children[i], i % 2 ? SIGKILL : SIGTERM) == 0);
        say_child("replaced child", children[i]);
        children[i] = start_child(listener);
    }
    ask_all();
    for (size_t i = 0; i < CHILDREN; i++) {
        REQUIRE(kill(children[i], SIGTERM) == 0);
        say_child("child", children[i]);
    }
    return 0;
}
