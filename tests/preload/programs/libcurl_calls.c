/* libcurl's calls, as they should be made and as they should not: what they return, what callbacks
   do in the middle of them (other transfers, jumps out, forks), handles in wrong hands. */
#include <curl/curl.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static char url[64];
static int listener;

/* Answers every request of every connection, until it is asked to stop. */
static void *serve(void *nothing)
{
    (void)nothing;
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    for (bool goes_on = true; goes_on;) {
        char request[2048];
        size_t used = 0;
        int fd = accept(listener, NULL, NULL);
        REQUIRE(fd >= 0);
        while (used < 4 || memcmp(request + used - 4, "\r\n\r\n", 4) != 0) {
            ssize_t got = recv(fd, request + used, sizeof request - used, 0);
            REQUIRE(got > 0);
            used += (size_t)got;
        }
        goes_on = memcmp(request, "GET /stop", 9) != 0;
        REQUIRE(write_all(fd, answer, sizeof answer - 1));
        close(fd);
    }
    return NULL;
}

static size_t count(char *data, size_t size, size_t items, void *context)
{
    (void)data;
    (void)context;
    return size * items;
}

typedef size_t taker(char *, size_t, size_t, void *);

static CURL *handle(const char *path, taker *take, void *context)
{
    static char whole[8][96];
    static unsigned next;
    char *text = whole[next++ % 8];
    CURL *easy = curl_easy_init();
    REQUIRE(easy);
    snprintf(text, sizeof whole[0], "%s%s", url, path);
    curl_easy_setopt(easy, CURLOPT_URL, text);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, context);
    return easy;
}

static void usual(void)
{
    CURL *easy = handle("/usual", count, NULL);
    for (int i = 0; i < 3; i++) {
        say("easy %d", curl_easy_perform(easy));
    }
    curl_easy_reset(easy);
    say("without a URL %d", curl_easy_perform(easy));
    curl_easy_cleanup(easy);
    say("no handle %d", curl_easy_perform(NULL));
}

static void wrong(void)
{
    int running = 77;
    int left = 77;
    CURLM *multi = curl_multi_init();
    CURL *easy = handle("/wrong", count, NULL);
    say("no multi %d %d", curl_multi_perform(NULL, &running), running);
    say("nothing to do %d %d", curl_multi_perform(multi, &running), running);
    say("nothing to tell %d %d", curl_multi_info_read(multi, &left) != NULL, left);
    say("add %d", curl_multi_add_handle(multi, easy));
    say("easy inside multi %d", curl_easy_perform(easy));
    say("twice %d", curl_multi_add_handle(multi, easy));
    say("remove %d", curl_multi_remove_handle(multi, easy));
    say("again %d", curl_multi_remove_handle(multi, easy));
    say("then alone %d", curl_easy_perform(easy));
    curl_easy_cleanup(easy);
    say("cleanup %d", curl_multi_cleanup(multi));
    say("no multi %d", curl_multi_cleanup(NULL));
}

static void at_once(void)
{
    CURLM *multi = curl_multi_init();
    CURL *easy[5];
    int running = 1;
    int left;
    int told = 0;
    for (int i = 0; i < 5; i++) {
        easy[i] = handle("/at-once", count, NULL);
        curl_multi_add_handle(multi, easy[i]);
    }
    while (running > 0) {
        REQUIRE(curl_multi_perform(multi, &running) == CURLM_OK);
        for (CURLMsg *message; (message = curl_multi_info_read(multi, &left)) != NULL;) {
            told += message->msg == CURLMSG_DONE && message->data.result == CURLE_OK;
        }
        REQUIRE(curl_multi_poll(multi, NULL, 0, 1000, NULL) == CURLM_OK);
    }
    say("at once: %d", told);
    /* Handles that are still inside, and then without their multi handle. */
    curl_multi_cleanup(multi);
    for (int i = 0; i < 5; i++) {
        curl_easy_cleanup(easy[i]);
    }
}

static size_t transfer_inside(char *data, size_t size, size_t items, void *context)
{
    CURL *easy = handle("/inside", count, NULL);
    (void)data;
    (void)context;
    say("inside %d", curl_easy_perform(easy));
    curl_easy_cleanup(easy);
    return size * items;
}

static size_t fork_inside(char *data, size_t size, size_t items, void *context)
{
    (void)data;
    (void)context;
    pid_t child = fork();
    if (child == 0) {
        CURL *easy = handle("/child", count, NULL);
        int result = (int)curl_easy_perform(easy);
        _exit(result);
    }
    say_child("child", child);
    return size * items;
}

static jmp_buf outside;

static size_t jump_out(char *data, size_t size, size_t items, void *context)
{
    (void)data;
    (void)size;
    (void)items;
    (void)context;
    longjmp(outside, 1);
}

static size_t refuse(char *data, size_t size, size_t items, void *context)
{
    (void)data;
    (void)size;
    (void)items;
    (void)context;
    return 0;
}

static void callbacks(void)
{
    taker *const takers[] = {transfer_inside, fork_inside, refuse};
    for (size_t i = 0; i < sizeof takers / sizeof takers[0]; i++) {
        CURL *easy = handle("/callback", takers[i], NULL);
        say("callback %d", curl_easy_perform(easy));
        curl_easy_cleanup(easy);
    }
    static CURL *left;
    left = handle("/jump", jump_out, NULL);
    if (setjmp(outside) == 0) {
        curl_easy_perform(left);
        say("not left");
    }
    usual();
}

int main(void)
{
    struct sockaddr_storage address;
    socklen_t size;
    listener = listen_on_loopback(AF_INET, &address, &size);
    const uint8_t *port = (const uint8_t *)&address + 2;
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port[0] << 8 | port[1]);
    pthread_t server = start_thread(serve, NULL);
    curl_global_init(CURL_GLOBAL_ALL);
    usual();
    wrong();
    at_once();
    callbacks();
    CURL *easy = handle("/stop", count, NULL);
    say("stop %d", curl_easy_perform(easy));
    curl_easy_cleanup(easy);
    join_thread(server);
    curl_global_cleanup();
    return 0;
}
