/* Bytes that never pass through the program's memory: sendfile, splice, tee. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "support.h"

#define SIZE 300000

static void *receive(void *argument)
{
    int fd = *(int *)argument;
    static uint8_t bytes[SIZE + 1000];
    size_t total = 0;
    ssize_t count;
    while ((count = read(fd, bytes + total, sizeof bytes - total)) > 0) {
        total += (size_t)count;
    }
    say("received %zu, %u", total, checksum(0, bytes, total));
    return NULL;
}

int main(void)
{
    int pair[2], ends[2];
    char bytes[128] = {0};
    static uint8_t content[SIZE];
    fill(content, SIZE, 3);
    int file = memfd_create("content", 0);
    REQUIRE(write_all(file, content, SIZE));

    for (int turn = 0; turn < 3; turn++) {
        tcp_pair(pair);
        static const char request[] = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        REQUIRE(write_all(pair[1], request, sizeof request - 1));
        REQUIRE(read_all(pair[0], bytes, sizeof request - 1));
        OBSERVE_AS("head", send(pair[0], "$300000\r\n", 9, MSG_MORE));
        pthread_t thread = start_thread(receive, &pair[1]);
        off_t offset = 0;
        if (turn == 0) {
            while (offset < SIZE) {
                REQUIRE(sendfile(pair[0], file, &offset, (size_t)(SIZE - offset)) > 0);
            }
        } else if (turn == 1) {
            while (offset < SIZE) {
                REQUIRE(sendfile64(pair[0], file, &offset, 10000) > 0);
            }
        } else {
            REQUIRE(pipe(ends) == 0);
            REQUIRE(lseek(file, 0, SEEK_SET) == 0);
            size_t moved = 0;
            while (moved < SIZE) {
                ssize_t count = splice(file, NULL, ends[1], NULL, 30000, 0);
                REQUIRE(count > 0);
                while (count > 0) {
                    ssize_t out =
                        splice(ends[0], NULL, pair[0], NULL, (size_t)count, SPLICE_F_MORE);
                    REQUIRE(out > 0);
                    count -= out;
                    moved += (size_t)out;
                }
            }
        }
        OBSERVE_AS("tail", send(pair[0], "\r\n", 2, 0));
        REQUIRE(shutdown(pair[0], SHUT_WR) == 0);
        join_thread(thread);
        REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
    }

    /* Out of a socket, and straight from socket to socket. */
    int other[2];
    tcp_pair(pair);
    tcp_pair(other);
    REQUIRE(write_all(pair[0], "from socket to socket", 21));
    OBSERVE(splice(pair[1], NULL, ends[1], NULL, 100, 0));
    OBSERVE(splice(ends[0], NULL, other[0], NULL, 100, 0));
    OBSERVE_AS("arrived", recv(other[1], bytes, sizeof bytes, 0));
    say("%.21s", bytes);
    set_nonblocking(pair[1]);
    OBSERVE(splice(pair[1], NULL, ends[1], NULL, 100, SPLICE_F_NONBLOCK));
    OBSERVE(splice(pair[1], NULL, other[0], NULL, 100, 0));
    OBSERVE(tee(pair[1], ends[1], 100, 0));
    OBSERVE(vmsplice(ends[1], &(struct iovec){bytes, 4}, 1, 0));
    OBSERVE(sendfile(ends[1], pair[1], NULL, 10));
    OBSERVE(sendfile(file, pair[1], NULL, 10));
    OBSERVE(copy_file_range(pair[1], NULL, file, NULL, 10, 0));
    off_t end = SIZE;
    OBSERVE(sendfile(pair[0], file, &end, 10));
    end = -5;
    OBSERVE(sendfile(pair[0], file, &end, 10));
    exchange("afterwards", other[0], other[1]);
    return 0;
}
