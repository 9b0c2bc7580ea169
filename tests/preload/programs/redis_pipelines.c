/* Redis commands alone and in pipelines, cut into odd pieces both ways, in one style of calls; and
   messages that nobody asked for. */
#include <stdio.h>
#include <unistd.h>

#include "conversation.h"

static void *serve(void *argument)
{
    return (void *)(uintptr_t)resp_serve(argument);
}

static size_t command(char *to, size_t room, unsigned number)
{
    char value[600];
    unsigned size = number * 13 % 500;
    memset(value, 'v', size);
    value[size] = 0;
    switch (number % 4) {
    case 0:
        return (size_t)snprintf(to, room, "*1\r\n$4\r\nPING\r\n");
    case 1:
        return (size_t)snprintf(to, room, "*3\r\n$3\r\nSET\r\n$6\r\nkey%03u\r\n$%u\r\n%s\r\n",
                                number % 1000, size, value);
    case 2:
        return (size_t)snprintf(to, room, "*2\r\n$3\r\nGET\r\n$6\r\nkey%03u\r\n", number % 1000);
    default:
        return (size_t)snprintf(to, room, "*4\r\n$4\r\nHSET\r\n$1\r\nh\r\n$1\r\nf\r\n$0\r\n\r\n");
    }
}

static void converse(enum io_style style, size_t piece, unsigned pipeline)
{
    int pair[2];
    static struct end client, server;
    static char commands[200000];
    tcp_pair(pair);
    end_init(&client, pair[0], style, piece);
    end_init(&server, pair[1], style, piece ? piece + 2 : 0);
    pthread_t thread = start_thread(serve, &server);
    uint32_t sum = 0;
    for (unsigned first = 0; first < 200; first += pipeline) {
        size_t size = 0;
        for (unsigned i = 0; i < pipeline; i++) {
            size += command(commands + size, sizeof commands - size, first + i);
        }
        REQUIRE(end_write(&client, commands, size));
        for (unsigned i = 0; i < pipeline; i++) {
            REQUIRE(resp_read(&client, &sum));
        }
    }
    REQUIRE(shutdown(pair[0], SHUT_WR) == 0);
    void *served;
    REQUIRE(pthread_join(thread, &served) == 0);
    say("pieces of %zu, pipelines of %u: served %lu, %u", piece, pipeline,
        (unsigned long)(uintptr_t)served, sum);
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
}

/* Subscription, pushes, transactions, replies off: what makes pairing hard. */
static void unasked(enum io_style style)
{
    int pair[2];
    static struct end client, server;
    uint32_t sum = 0;
    tcp_pair(pair);
    end_init(&client, pair[0], style, 0);
    end_init(&server, pair[1], style, 5);
    static const char subscribe[] = "*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n";
    static const char pushes[] = "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
                                 "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"
                                 "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n"
                                 ">3\r\n$7\r\nmessage\r\n$1\r\nb\r\n$5\r\nworld\r\n";
    REQUIRE(end_write(&client, subscribe, sizeof subscribe - 1));
    REQUIRE(resp_read(&server, &sum));
    REQUIRE(end_write(&server, pushes, sizeof pushes - 1));
    for (int i = 0; i < 4; i++) {
        REQUIRE(resp_read(&client, &sum));
    }
    static const char transaction[] = "*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n"
                                      "*1\r\n$4\r\nEXEC\r\n";
    REQUIRE(end_write(&client, transaction, sizeof transaction - 1));
    for (int i = 0; i < 3; i++) {
        REQUIRE(resp_read(&server, &sum));
    }
    REQUIRE(end_write(&server, "+OK\r\n+QUEUED\r\n*1\r\n:1\r\n", 23));
    for (int i = 0; i < 3; i++) {
        REQUIRE(resp_read(&client, &sum));
    }
    static const char quiet[] = "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n"
                                "*1\r\n$4\r\nPING\r\n"
                                "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n";
    REQUIRE(end_write(&client, quiet, sizeof quiet - 1));
    for (int i = 0; i < 3; i++) {
        REQUIRE(resp_read(&server, &sum));
    }
    REQUIRE(end_write(&server, "+OK\r\n", 5));
    REQUIRE(resp_read(&client, &sum));
    /* Nonsense, from either side. */
    REQUIRE(end_write(&server, "?what\r\n$99999999999999999999\r\n\0\0\xff\xff\r\n", 37));
    REQUIRE(end_write(&client, "*99999999999\r\n$-5\r\n*\r\n\r\n\r\n", 27));
    char bytes[64];
    REQUIRE(end_read(&client, bytes, 37) && end_read(&server, bytes, 27));
    say("unasked: %u", checksum(sum, bytes, 27));
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
}

int main(int count, char **arguments)
{
    REQUIRE(count == 2);
    enum io_style style = io_style_named(arguments[1]);
    static const size_t pieces[] = {0, 1, 3, 50};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        converse(style, pieces[i], 1);
        converse(style, pieces[i], 20);
        converse(style, pieces[i], 100);
    }
    unasked(style);
    return 0;
}
