/*
 * usage: issue http|redis HOST PORT
 *
 * For every line "COUNT RATE" on stdin: COUNT exchanges on one connection, one after another, at
 * RATE a second (0: as fast as they go), then "done COUNT MILLISECONDS". Ends with stdin.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire.h"

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t moment)
{
    struct timespec until = {
        .tv_sec = (time_t)(moment / 1000000000u),
        .tv_nsec = (long)(moment % 1000000000u),
    };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
        continue;
}

int main(int argc, char **argv)
{
    static const char get[] = "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n";
    char line[64];

    if (argc != 4)
        return 2;
    int is_http = strcmp(argv[1], "http") == 0;
    int fd = wire_connect(argv[2], argv[3]);
    while (fgets(line, sizeof(line), stdin)) {
        char *rest;
        unsigned long count = strtoul(line, &rest, 10);
        unsigned long rate = strtoul(rest, NULL, 10);
        uint64_t begin = now_ns();
        for (unsigned long i = 0; i < count; i++) {
            if (rate)
                sleep_until(begin + i * 1000000000u / rate);
            if (is_http) {
                wire_send(fd, get, sizeof(get) - 1);
                wire_read_until(fd, "hello, world\n");
            } else {
                wire_ping(fd);
            }
        }
        printf("done %lu %llu\n", count, (unsigned long long)((now_ns() - begin) / 1000000u));
        fflush(stdout);
    }
    return 0;
}
