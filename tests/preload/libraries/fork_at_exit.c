/* Opens a connection, and forks in an exit handler. Not for compare.py: test_stuck_worker. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void fork_at_exit(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        _exit(1);
    }
    puts("forked");
    fflush(stdout);
}

int main(void)
{
    if (atexit(fork_at_exit) != 0 || socket(AF_UNIX, SOCK_STREAM, 0) < 0) {
        return 1;
    }
    /* The exporter's own exit handler is registered once its object is loaded, and runs first. */
    sleep(1);
    return 0;
}
