/* usage: libcurl easy|multi URL SCRIPT: the script's requests one after another with the easy
   interface, or all at once with the multi interface. TEST_HTTP3 wants HTTP/3, and nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "script.h"

#define STEPS_MAX 64

struct transfer {
    CURL *handle;
    const char *method;
    const char *target;
    size_t length;
};

static size_t count(char *data, size_t size, size_t items, void *length)
{
    (void)data;
    *(size_t *)length += size * items;
    return size * items;
}

static char *body(size_t length)
{
    char *text = malloc(length + 1);
    if (!text)
        exit(3);
    memset(text, 'x', length);
    text[length] = '\0';
    return text;
}

static void prepare(struct transfer *transfer, const char *url, const struct step *step)
{
    char whole[512];
    size_t size = (size_t)strtoul(step->words[2], NULL, 10);

    transfer->handle = curl_easy_init();
    if (!transfer->handle)
        exit(3);
    transfer->method = step->words[0];
    transfer->target = step->words[1];
    snprintf(whole, sizeof(whole), "%s%s", url, step->words[1]);
    curl_easy_setopt(transfer->handle, CURLOPT_URL, whole);
    curl_easy_setopt(transfer->handle, CURLOPT_PROXY, "");
    if (getenv("TEST_CERTIFICATE"))
        curl_easy_setopt(transfer->handle, CURLOPT_CAINFO, getenv("TEST_CERTIFICATE"));
    if (getenv("TEST_HTTP3"))
        curl_easy_setopt(transfer->handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_3ONLY);
    curl_easy_setopt(transfer->handle, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(transfer->handle, CURLOPT_CUSTOMREQUEST, step->words[0]);
    curl_easy_setopt(transfer->handle, CURLOPT_NOBODY,
                     strcmp(step->words[0], "HEAD") == 0 ? 1L : 0L);
    curl_easy_setopt(transfer->handle, CURLOPT_WRITEFUNCTION, count);
    curl_easy_setopt(transfer->handle, CURLOPT_WRITEDATA, &transfer->length);
    curl_easy_setopt(transfer->handle, CURLOPT_PRIVATE, transfer);
    if (size)
        curl_easy_setopt(transfer->handle, CURLOPT_POSTFIELDS, body(size));
}

static void print(struct transfer *transfer, CURLcode result)
{
    long status = 0;
    curl_easy_getinfo(transfer->handle, CURLINFO_RESPONSE_CODE, &status);
    printf("%s %s %d %ld %zu\n", transfer->method, transfer->target, (int)result, status,
           transfer->length);
}

static void run_together(struct transfer *transfers, int total)
{
    CURLM *multi = curl_multi_init();
    CURLcode results[STEPS_MAX];
    int running = total;

    for (int i = 0; i < total; i++)
        curl_multi_add_handle(multi, transfers[i].handle);
    while (running) {
        curl_multi_perform(multi, &running);
        curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(multi, &left));) {
        struct transfer *transfer;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        results[transfer - transfers] = message->data.result;
    }
    for (int i = 0; i < total; i++) {
        print(&transfers[i], results[i]);
        curl_multi_remove_handle(multi, transfers[i].handle);
    }
    curl_multi_cleanup(multi);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    static struct transfer transfers[STEPS_MAX];
    int total = 0;
    struct step step;

    curl_global_init(CURL_GLOBAL_ALL);
    while (total < STEPS_MAX && script_next(argv[3], &step))
        prepare(&transfers[total++], argv[2], &step);
    if (strcmp(argv[1], "multi") == 0)
        run_together(transfers, total);
    else
        for (int i = 0; i < total; i++)
            print(&transfers[i], curl_easy_perform(transfers[i].handle));
    for (int i = 0; i < total; i++)
        curl_easy_cleanup(transfers[i].handle);
    curl_global_cleanup();
    return 0;
}
