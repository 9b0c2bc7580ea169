/* FILE streams and formatted output on sockets; fclose closes inside the C library. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "support.h"

static int formatted(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int formatted(int fd, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int count = vdprintf(fd, format, arguments);
    va_end(arguments);
    return count;
}

int main(void)
{
    int pair[2];
    char line[200];
    for (int turn = 0; turn < 5; turn++) {
        tcp_pair(pair);
        FILE *client = fdopen(pair[0], "r+");
        FILE *server = fdopen(pair[1], "r+");
        REQUIRE(client && server);
        REQUIRE(setvbuf(client, NULL, turn % 2 ? _IONBF : _IOLBF, 0) == 0);
        OBSERVE_AS("fprintf", fprintf(client, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", 1, "k"));
        OBSERVE(fflush(client));
        for (int i = 0; i < 5; i++) {
            REQUIRE(fgets(line, sizeof line, server));
            say("line of %zu", strlen(line));
        }
        OBSERVE_AS("fwrite", fwrite("$5\r\nvalue\r\n", 1, 11, server));
        OBSERVE(fflush(server));
        REQUIRE(fgets(line, sizeof line, client) && fgets(line, sizeof line, client));
        say("answer %.5s", line);
        OBSERVE_AS("dprintf", dprintf(pair[1], "%s-%05d\n", "direct", turn));
        OBSERVE_AS("vdprintf", formatted(pair[1], "%s-%05d\n", "varied", turn));
        REQUIRE(fgets(line, sizeof line, client));
        say("%.12s", line);
        REQUIRE(fgets(line, sizeof line, client));
        say("%.12s", line);
        /* The numbers come back at the next turn, without a close that anybody saw. */
        OBSERVE(fclose(server));
        OBSERVE_AS("end of file", fgetc(client));
        OBSERVE(fclose(client));
    }
    FILE *pipe_stream = popen("echo from a child", "r");
    REQUIRE(pipe_stream && fgets(line, sizeof line, pipe_stream));
    say("popen %.12s", line);
    OBSERVE(pclose(pipe_stream));
    OBSERVE(dprintf(77, "x"));
    REQUIRE(!fdopen(77, "r"));
    return 0;
}
