/* HTTP between a server thread and a client, in one style of calls: all kinds of bodies and
   statuses, in one piece and in pieces of every small size. */
#include <signal.h>
#include <unistd.h>

#include "conversation.h"

static void *serve(void *argument)
{
    return (void *)(uintptr_t)http_serve(argument);
}

static void converse(enum io_style style, size_t piece, bool blocks)
{
    int pair[2];
    static struct end client, server;
    tcp_pair(pair);
    if (!blocks) {
        set_nonblocking(pair[0]);
        set_nonblocking(pair[1]);
    }
    end_init(&client, pair[0], style, piece);
    end_init(&server, pair[1], style, piece);
    pthread_t thread = start_thread(serve, &server);
    http_ask(&client, "GET", "/sized/0", 0);
    http_ask(&client, "GET", "/sized/5000", 0);
    http_ask(&client, "GET", "/chunked/5000", 0);
    http_ask(&client, "POST", "/sized/10", 4000);
    http_ask(&client, "POST", "/chunked/10", 4001);
    http_ask(&client, "PUT", "/status/201", 2);
    http_ask(&client, "HEAD", "/sized/100000", 0);
    http_ask(&client, "DELETE", "/status/204", 0);
    http_ask(&client, "GET", "/status/304", 0);
    http_ask(&client, "GET", "/status/404", 0);
    http_ask(&client, "GET", "/status/503", 0);
    http_ask(&client, "OPTIONS", "/slow", 0);
    http_ask(&client, "GET", "/early", 0);
    http_ask(&client, "GET", "/sized/70000", 0);
    REQUIRE(shutdown(pair[0], SHUT_WR) == 0);
    void *served;
    REQUIRE(pthread_join(thread, &served) == 0);
    say("served %lu", (unsigned long)(uintptr_t)served);
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);

    tcp_pair(pair);
    end_init(&client, pair[0], style, piece);
    end_init(&server, pair[1], style, piece);
    thread = start_thread(serve, &server);
    http_ask(&client, "GET", "/close", 0);
    REQUIRE(pthread_join(thread, &served) == 0);
    REQUIRE(close(pair[1]) == 0);
    http_ask(&client, "GET", "/after", 0);
    REQUIRE(close(pair[0]) == 0);
}

int main(int count, char **arguments)
{
    REQUIRE(count == 2);
    enum io_style style = io_style_named(arguments[1]);
    signal(SIGPIPE, SIG_IGN);
    static const size_t pieces[] = {0, 1, 2, 7, 100};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        say("-- pieces of %zu", pieces[i]);
        converse(style, pieces[i], true);
        converse(style, pieces[i], false);
    }
    return 0;
}
