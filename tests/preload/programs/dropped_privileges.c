/* chroot, setuid and a private root after the start: what was not opened before is gone. */
#include <grp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

int main(void)
{
    int pair[2];
    tcp_pair(pair);
    exchange("before", pair[0], pair[1]);
    REQUIRE(mkdir("jail", 0755) == 0);
    if (getuid() == 0) {
        REQUIRE(chroot("jail") == 0 && chdir("/") == 0);
        REQUIRE(setgroups(0, NULL) == 0);
        REQUIRE(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    }
    exchange("after", pair[0], pair[1]);
    int fresh[2];
    tcp_pair(fresh);
    exchange("a new connection", fresh[0], fresh[1]);
    OBSERVE(prctl(PR_SET_DUMPABLE, 0));
    pid_t pid = fork();
    if (pid == 0) {
        exchange("in the child", fresh[0], fresh[1]);
        exit(3);
    }
    say_child("child", pid);
    tcp_pair(fresh);
    exchange("once more", fresh[0], fresh[1]);
    return 0;
}
