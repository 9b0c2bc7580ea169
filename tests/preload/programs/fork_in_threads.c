/* Forks while other threads are inside calls: no child may hang on what they held. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static _Atomic int stop;

static void *talk(void *argument)
{
    int pair[2];
    char bytes[16];
    (void)argument;
    tcp_pair(pair);
    while (!stop) {
        REQUIRE(write_all(pair[0], "*1\r\n$4\r\nPING\r\n", 14) && read_all(pair[1], bytes, 14));
        REQUIRE(write_all(pair[1], "+PONG\r\n", 7) && read_all(pair[0], bytes, 7));
    }
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
    return NULL;
}

int main(void)
{
    pthread_t threads[4];
    int good = 0;
    for (size_t i = 0; i < 4; i++) {
        threads[i] = start_thread(talk, NULL);
    }
    for (int i = 0; i < 100; i++) {
        pid_t pid = i % 2 ? fork() : _Fork();
        REQUIRE(pid >= 0);
        if (pid == 0) {
            int pair[2];
            char bytes[16];
            alarm(10);
            tcp_pair(pair);
            REQUIRE(write_all(pair[0], "*1\r\n$4\r\nPING\r\n", 14) && read_all(pair[1], bytes, 14));
            REQUIRE(write_all(pair[1], "+PONG\r\n", 7) && read_all(pair[0], bytes, 7));
            _exit(7);
        }
        int status;
        REQUIRE(waitpid(pid, &status, 0) == pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 7) {
            good++;
        } else {
            say_ending("child", status);
        }
    }
    stop = 1;
    for (size_t i = 0; i < 4; i++) {
        join_thread(threads[i]);
    }
    say("%d children lived", good);
    return 0;
}
