/* seccomp: in strict mode any call but read, write and exit kills; in filter mode what the program
   did not list. Nothing may be added to the calls of the program. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support.h"

static int known[2];
static int unknown[2];

static void talk(int pair[2])
{
    char bytes[16];
    REQUIRE(write_all(pair[0], "*1\r\n$4\r\nPING\r\n", 14) && read_all(pair[1], bytes, 14));
    REQUIRE(write_all(pair[1], "+PONG\r\n", 7) && read_all(pair[0], bytes, 7));
    say("%.5s", bytes);
}

static void strictly(int pair[2])
{
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
    for (int i = 0; i < 20; i++) {
        talk(pair);
    }
    /* _exit would call exit_group, which is not allowed. */
    syscall(SYS_exit, 40);
}

#define ALLOW(number)                                                                              \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1),                                           \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void filtered(int pair[2], bool by_prctl)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(SYS_read),
        ALLOW(SYS_write),
        ALLOW(SYS_sendto),
        ALLOW(SYS_recvfrom),
        ALLOW(SYS_close),
        ALLOW(SYS_exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (by_prctl) {
        REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    } else {
        REQUIRE(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
    }
    for (int i = 0; i < 20; i++) {
        talk(pair);
    }
    OBSERVE(send(pair[0], "x", 1, 0));
    OBSERVE(recv(pair[1], (char[1]){0}, 1, 0));
    OBSERVE(close(pair[0]));
    OBSERVE(close(pair[1]));
    _exit(41);
}

/* A sandbox that answers EPERM in the place of killing. */
static void refused(int pair[2])
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(SYS_read),
        ALLOW(SYS_write),
        ALLOW(SYS_exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    for (int i = 0; i < 20; i++) {
        talk(pair);
    }
    OBSERVE(send(pair[0], "x", 1, 0));
    OBSERVE(socket(AF_INET, SOCK_STREAM, 0));
    _exit(42);
}

static void in_child(const char *label, int which)
{
    int fresh[2];
    pid_t pid = fork();
    if (pid == 0) {
        if (which < 2) {
            strictly(which == 0 ? known : unknown);
        }
        tcp_pair(fresh);
        talk(fresh);
        switch (which) {
        case 2:
            strictly(fresh);
            break;
        case 3:
            filtered(known, true);
            break;
        case 4:
            filtered(unknown, false);
            break;
        case 5:
            filtered(fresh, false);
            break;
        default:
            refused(fresh);
            break;
        }
    }
    say_child(label, pid);
}

int main(void)
{
    tcp_pair(known);
    talk(known);
    tcp_pair(unknown);
    in_child("strict, inherited and used before", 0);
    in_child("strict, inherited and never used", 1);
    in_child("strict, own", 2);
    in_child("filter by prctl, inherited", 3);
    in_child("filter by seccomp, inherited and never used", 4);
    in_child("filter by seccomp, own", 5);
    in_child("refusing filter, own", 6);
    /* And the process itself, whose exit is left to the kernel. */
    filtered(known, true);
    return 0;
}
