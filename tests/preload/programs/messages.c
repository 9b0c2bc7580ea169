/* sendmsg, recvmsg, sendmmsg, recvmmsg, with addresses, control data and passed descriptors. */
#include <netinet/in.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

union control {
    char bytes[CMSG_SPACE(sizeof(int) * 4)];
    struct cmsghdr head;
};

static void pass(int channel, const int *fds, size_t count)
{
    union control control = {0};
    struct iovec vector = {(char[]){"take"}, 4};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(head), fds, sizeof(int) * count);
    OBSERVE_AS("pass", sendmsg(channel, &message, 0));
}

static size_t take(int channel, int *fds, bool by_many)
{
    union control control = {0};
    char bytes[8];
    struct iovec vector = {bytes, sizeof bytes};
    struct mmsghdr many = {.msg_hdr = {.msg_iov = &vector,
                                       .msg_iovlen = 1,
                                       .msg_control = control.bytes,
                                       .msg_controllen = sizeof control.bytes}};
    if (by_many) {
        OBSERVE_AS("take by recvmmsg", recvmmsg(channel, &many, 1, MSG_CMSG_CLOEXEC, NULL));
    } else {
        OBSERVE_AS("take", recvmsg(channel, &many.msg_hdr, 0));
    }
    struct cmsghdr *head = CMSG_FIRSTHDR(&many.msg_hdr);
    REQUIRE(head && head->cmsg_type == SCM_RIGHTS);
    size_t size = head->cmsg_len - CMSG_LEN(0);
    memcpy(fds, CMSG_DATA(head), size);
    say("%zu descriptors, flags %x", size / sizeof(int), (unsigned)many.msg_hdr.msg_flags);
    return size / sizeof(int);
}

static void passing(void)
{
    int channel[2], tcp[2], taken[4];
    unix_pair(channel);
    for (int turn = 0; turn < 4; turn++) {
        tcp_pair(tcp);
        exchange("before", tcp[0], tcp[1]);
        pass(channel[0], tcp, 2);
        /* The numbers that the receiver gets are those that were closed just now. */
        REQUIRE(close(tcp[0]) == 0 && close(tcp[1]) == 0);
        REQUIRE(take(channel[1], taken, turn % 2 == 1) == 2);
        exchange("after", taken[0], taken[1]);
        exchange("the other way", taken[1], taken[0]);
        REQUIRE(close(taken[0]) == 0 && close(taken[1]) == 0);
    }
}

static void datagrams(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof to;
    int receiver = socket(AF_INET, SOCK_DGRAM, 0);
    int sender = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(bind(receiver, (struct sockaddr *)&to, size) == 0);
    REQUIRE(getsockname(receiver, (struct sockaddr *)&to, &size) == 0);
    char out[5][16] = {"zero", "one", "two", "three", "four"};
    char in[5][4] = {{0}};
    struct iovec out_vectors[5], in_vectors[5];
    struct mmsghdr sent[5] = {0}, received[5] = {0};
    struct sockaddr_in from[5] = {0};
    for (size_t i = 0; i < 5; i++) {
        out_vectors[i] = (struct iovec){out[i], strlen(out[i])};
        in_vectors[i] = (struct iovec){in[i], sizeof in[i]};
        sent[i].msg_hdr = (struct msghdr){
            .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &out_vectors[i], .msg_iovlen = 1};
        received[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                              .msg_namelen = sizeof from[i],
                                              .msg_iov = &in_vectors[i],
                                              .msg_iovlen = 1};
    }
    OBSERVE(sendmmsg(sender, sent, 5, 0));
    struct timespec soon = {1, 0};
    OBSERVE(recvmmsg(receiver, received, 5, MSG_WAITFORONE, &soon));
    for (size_t i = 0; i < 5; i++) {
        say("sent %u, received %u %.4s, flags %x, from %s", sent[i].msg_len, received[i].msg_len,
            in[i], (unsigned)received[i].msg_hdr.msg_flags,
            from[i].sin_family == AF_INET ? "an address" : "nowhere");
    }
    sent[2].msg_hdr.msg_namelen = 1;
    OBSERVE(sendmmsg(sender, sent, 5, 0));
    OBSERVE(sendmmsg(sender, sent + 2, 3, 0));
    OBSERVE(recvmmsg(receiver, received, 5, MSG_DONTWAIT, NULL));
    OBSERVE(recvmmsg(receiver, received, 5, MSG_DONTWAIT, NULL));
}

static void streams(void)
{
    int pair[2];
    tcp_pair(pair);
    char in[64] = {0};
    struct iovec vectors[4] = {{(char[]){"*2\r\n$3\r\nGET"}, 11},
                               {(char[]){"\r\n"}, 2},
                               {(char[]){"$1\r\n"}, 4},
                               {(char[]){"k\r\n"}, 3}};
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = vectors, .msg_iovlen = 2}},
                                  {.msg_hdr = {.msg_iov = vectors + 2, .msg_iovlen = 2}}};
    OBSERVE(sendmmsg(pair[0], messages, 2, 0));
    say("%u and %u", messages[0].msg_len, messages[1].msg_len);
    OBSERVE_AS("the command", recv(pair[1], in, 20, MSG_WAITALL));
    say("%u", checksum(0, in, 20));
    struct iovec parts[2] = {{in, 3}, {in + 3, 30}};
    struct sockaddr_storage name;
    struct msghdr message = {.msg_name = &name,
                             .msg_namelen = sizeof name,
                             .msg_iov = parts,
                             .msg_iovlen = 2,
                             .msg_flags = 0x5a5a};
    OBSERVE(send(pair[1], "$1\r\nv\r\n", 7, 0));
    OBSERVE(recvmsg(pair[0], &message, 0));
    say("%.7s, name of %u bytes, flags %x", in, message.msg_namelen, (unsigned)message.msg_flags);
}

static void credentials(void)
{
    int pair[2];
    unix_pair(pair);
    int yes = 1;
    REQUIRE(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) == 0);
    REQUIRE(write_all(pair[0], "x", 1));
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr head;
    } control;
    char byte;
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    OBSERVE(recvmsg(pair[1], &message, 0));
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    struct ucred who;
    REQUIRE(head && head->cmsg_type == SCM_CREDENTIALS);
    memcpy(&who, CMSG_DATA(head), sizeof who);
    say("sent by %s", who.pid == getpid() ? "us" : "another");
}

int main(void)
{
    passing();
    datagrams();
    streams();
    credentials();
    return 0;
}
