/* A program that clears or moves its environment, before the first connection and after. */
#include <unistd.h>

#include "support.h"

int main(void)
{
    int pair[2];
    REQUIRE(clearenv() == 0);
    tcp_pair(pair);
    exchange("cleared", pair[0], pair[1]);
    OBSERVE(setenv("COLOR", "blue", 1));
    environ = NULL;
    tcp_pair(pair);
    exchange("null", pair[0], pair[1]);
    say_ending("system", system("/bin/echo from a shell"));
    static char setting[] = "COLOR=red";
    static char *own[] = {setting, NULL};
    environ = own;
    tcp_pair(pair);
    exchange("own", pair[0], pair[1]);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/usr/bin/env", "env", (char *)NULL);
        _exit(1);
    }
    say_child("env", pid);
    pid = vfork();
    if (pid == 0) {
        char *arguments[] = {(char[]){"env"}, NULL};
        execve("/usr/bin/env", arguments, NULL);
        _exit(1);
    }
    say_child("env without any", pid);
    return 0;
}
