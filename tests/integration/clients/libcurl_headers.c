/* usage: libcurl_headers URL: transfers with header lists of the program's own, which it changes,
   frees and uses again; prints what the server saw of them, and the lists. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

static const char *url;

static void print_list(const char *name, const struct curl_slist *list)
{
    printf("%s:", name);
    for (; list; list = list->next)
        printf(" [%s]", list->data);
    printf("\n");
}

static CURL *new_handle(void)
{
    CURL *handle = curl_easy_init();
    if (!handle)
        exit(3);
    return handle;
}

static void prepare(CURL *handle, const char *path)
{
    char whole[512];
    snprintf(whole, sizeof(whole), "%s%s", url, path);
    curl_easy_setopt(handle, CURLOPT_URL, whole);
    curl_easy_setopt(handle, CURLOPT_PROXY, "");
    curl_easy_setopt(handle, CURLOPT_CAINFO, getenv("CURL_CA_BUNDLE"));
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 1L);
}

static void transfer(CURL *handle, const char *path)
{
    prepare(handle, path);
    fflush(stdout);
    printf("%d\n", (int)curl_easy_perform(handle));
}

static void wait_for(CURLM *multi)
{
    int running = 1, left;
    while (running) {
        curl_multi_perform(multi, &running);
        curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    for (CURLMsg *message; (message = curl_multi_info_read(multi, &left));)
        printf("%d\n", (int)message->data.result);
}

static void one_after_the_other(void)
{
    CURL *handle = new_handle();
    transfer(handle, "/fields?n=0"); /* no list */
    struct curl_slist *list = curl_slist_append(NULL, "One: 1");
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, list);
    transfer(handle, "/fields?n=1");
    list = curl_slist_append(list, "Two: 2"); /* of the list that is set */
    transfer(handle, "/fields?n=2");
    print_list("list", list);
    CURL *twin = curl_easy_duphandle(handle);
    transfer(twin, "/fields?n=3");
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, NULL);
    transfer(handle, "/fields?n=4");
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, list);
    transfer(handle, "/redirect?n=5");
    curl_easy_reset(handle);
    transfer(handle, "/fields?n=6");
    curl_easy_cleanup(twin);
    print_list("list", list);
    curl_slist_free_all(list);
    transfer(handle, "/fields?n=7");
    curl_easy_cleanup(handle);
}

static void together(void)
{
    CURLM *multi = curl_multi_init();
    CURL *handles[4];
    struct curl_slist *lists[2] = {curl_slist_append(NULL, "One: a"),
                                   curl_slist_append(NULL, "Two: b")};
    /* One after the other, so that what is printed has an order. */
    for (int i = 0; i < 4; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/fields?n=%d", 10 + i);
        handles[i] = i == 3 ? curl_easy_duphandle(handles[2]) : new_handle();
        prepare(handles[i], path);
        if (i < 3)
            curl_easy_setopt(handles[i], CURLOPT_HTTPHEADER, lists[i % 2]);
        curl_multi_add_handle(multi, handles[i]);
        if (i == 1) /* while it is about to be sent */
            curl_easy_setopt(handles[i], CURLOPT_HTTPHEADER, lists[0]);
        wait_for(multi);
    }
    printf("again: %d\n", (int)curl_multi_add_handle(multi, handles[0]));
    for (int i = 0; i < 3; i++)
        curl_multi_remove_handle(multi, handles[i]);
    curl_multi_cleanup(multi); /* with a handle in it */
    transfer(handles[3], "/fields?n=20");
    transfer(handles[0], "/fields?n=21");
    for (int i = 0; i < 4; i++)
        curl_easy_cleanup(handles[i]);
    for (int i = 0; i < 2; i++) {
        print_list("list", lists[i]);
        curl_slist_free_all(lists[i]);
    }
}

static void own_context(void)
{
    CURL *handle = new_handle();
    struct curl_slist *list = curl_slist_append(NULL, "One: 1");
    list = curl_slist_append(
        list, "TraceParent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, list);
    transfer(handle, "/context?n=30");
    curl_easy_cleanup(handle);
    curl_slist_free_all(list);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    url = argv[1];
    curl_global_init(CURL_GLOBAL_ALL);
    one_after_the_other();
    together();
    own_context();
    curl_global_cleanup();
    return 0;
}
