/*
 * usage: threads_front PORT [others]: a thread for each connection, and others to which requests
 * hand work over.
 *
 * join       threads that the request makes, and waits for
 * detached   a thread that it makes, and that tells when it is done
 * pool       threads that were there before it, by a condition; so sem, by a semaphore
 * async      who has read the request goes on to wait for the next one; a thread of the pool
 * answers late       the same as pool, but only the first call is waited for own        it calls
 * itself, and a pool's thread at the same time
 *
 * What no request has caused has a name of its own:
 * beat       a thread that the first request makes, for all of them
 * collect    a thread of the pool's kind that is told of each request, and calls for four at a time
 *
 * With `others` a thread that serves nobody hands to the pool, too, from the start.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define POOL    3
#define AT_ONCE 4
#define CALLS   16

/* None is ever freed: who works for it last is not known. */
struct request {
    int connection;
    char name[64];
    char mode[32];
    int count;
    pthread_mutex_t lock;
    pthread_cond_t is_done;
    int done;
    bool is_async;
};

struct task {
    struct task *next;
    struct request *request; /* NULL: nobody's */
    int number;
};

struct tasks {
    pthread_mutex_t lock;
    pthread_cond_t has_come;
    sem_t count;
    struct task *first;
    struct task **end;
};

static struct sockaddr_in peer;
static struct tasks by_condition = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                    .has_come = PTHREAD_COND_INITIALIZER};
static struct tasks by_semaphore = {.lock = PTHREAD_MUTEX_INITIALIZER};
static pthread_mutex_t collected_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t collected_more = PTHREAD_COND_INITIALIZER;
static int collected;
static _Atomic int own_calls;
static _Atomic bool beats;

static void write_all(int to, const char *text)
{
    if (write(to, text, strlen(text)) != (ssize_t)strlen(text)) {
        perror("write");
    }
}

static bool is_whole(const char *answer)
{
    const char *length = strstr(answer, "Content-Length: ");
    const char *body = strstr(answer, "\r\n\r\n");
    return length != NULL && body != NULL &&
           strlen(body + strlen("\r\n\r\n")) >= (size_t)atoi(length + strlen("Content-Length: "));
}

static void call(const char *name, int number)
{
    char text[4096];
    size_t size = 0;
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&peer, sizeof(peer)) != 0) {
        abort();
    }
    snprintf(text, sizeof(text), "GET /c/%s/%d HTTP/1.1\r\nHost: peer\r\nConnection: close\r\n\r\n",
             name, number);
    write_all(connection, text);
    text[0] = '\0';
    while (!is_whole(text)) {
        ssize_t got = read(connection, text + size, sizeof(text) - 1 - size);
        if (got <= 0) {
            abort();
        }
        size += (size_t)got;
        text[size] = '\0';
    }
    close(connection);
}

static void call_for_nobody(void)
{
    char name[32];
    snprintf(name, sizeof(name), "bg%d", own_calls++);
    call(name, 0);
}

static void put(struct tasks *tasks, struct request *request, int number)
{
    struct task *task = malloc(sizeof(*task));
    *task = (struct task){NULL, request, number};
    pthread_mutex_lock(&tasks->lock);
    *(tasks->first == NULL ? &tasks->first : tasks->end) = task;
    tasks->end = &task->next;
    if (tasks == &by_condition) {
        pthread_cond_signal(&tasks->has_come);
    }
    pthread_mutex_unlock(&tasks->lock);
    if (tasks == &by_semaphore) {
        sem_post(&tasks->count);
    }
}

static void answer(const struct request *request)
{
    write_all(request->connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static void *serve(void *connection);

static void end(struct request *request)
{
    pthread_mutex_lock(&request->lock);
    request->done++;
    bool is_last = request->done == request->count;
    pthread_cond_signal(&request->is_done);
    pthread_mutex_unlock(&request->lock);
    if (is_last && request->is_async) {
        pthread_t thread;
        answer(request);
        pthread_create(&thread, NULL, serve, (void *)(intptr_t)request->connection);
        pthread_detach(thread);
    }
}

static void *work(void *argument)
{
    struct tasks *tasks = argument;
    for (;;) {
        if (tasks == &by_semaphore) {
            sem_wait(&tasks->count);
        }
        pthread_mutex_lock(&tasks->lock);
        while (tasks->first == NULL) {
            pthread_cond_wait(&tasks->has_come, &tasks->lock);
        }
        struct task *task = tasks->first;
        tasks->first = task->next;
        pthread_mutex_unlock(&tasks->lock);
        if (task->request == NULL) {
            call_for_nobody();
        } else {
            call(task->request->name, task->number);
            end(task->request);
        }
        free(task);
    }
    return NULL;
}

static void await(struct request *request, int count)
{
    pthread_mutex_lock(&request->lock);
    while (request->done < count) {
        pthread_cond_wait(&request->is_done, &request->lock);
    }
    pthread_mutex_unlock(&request->lock);
}

static void *make_one_call(void *argument)
{
    struct task *task = argument;
    call(task->request->name, task->number);
    return NULL;
}

static void *make_all_calls(void *argument)
{
    struct request *request = argument;
    for (int number = 0; number < request->count; number++) {
        call(request->name, number);
        end(request);
    }
    return NULL;
}

static void *beat(void *argument)
{
    for (;;) {
        call_for_nobody();
        usleep(5000);
    }
    return argument;
}

static void *collect(void *argument)
{
    for (;;) {
        pthread_mutex_lock(&collected_lock);
        while (collected < AT_ONCE) {
            pthread_cond_wait(&collected_more, &collected_lock);
        }
        collected -= AT_ONCE;
        pthread_mutex_unlock(&collected_lock);
        call_for_nobody();
    }
    return argument;
}

static void *hand_over(void *argument)
{
    for (;;) {
        put(&by_condition, NULL, 0);
        usleep(3000);
    }
    return argument;
}

static void join(struct request *request)
{
    pthread_t threads[CALLS];
    struct task tasks[CALLS];
    for (int i = 0; i < request->count; i++) {
        tasks[i] = (struct task){NULL, request, i};
        pthread_create(&threads[i], NULL, make_one_call, &tasks[i]);
    }
    for (int i = 0; i < request->count; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* False: somebody else answers. */
static bool do_work(struct request *request)
{
    const char *mode = request->mode;
    struct tasks *tasks = strcmp(mode, "sem") == 0 ? &by_semaphore : &by_condition;
    pthread_t thread;
    if (strcmp(mode, "join") == 0) {
        join(request);
    } else if (strcmp(mode, "detached") == 0) {
        pthread_create(&thread, NULL, make_all_calls, request);
        pthread_detach(thread);
        await(request, request->count);
    } else if (strcmp(mode, "beat") == 0) {
        if (!beats) {
            beats = true;
            pthread_create(&thread, NULL, beat, NULL);
        }
        make_all_calls(request);
    } else {
        if (strcmp(mode, "collect") == 0) {
            pthread_mutex_lock(&collected_lock);
            collected++;
            pthread_cond_signal(&collected_more);
            pthread_mutex_unlock(&collected_lock);
        }
        int own = strcmp(mode, "own") == 0;
        for (int i = own; i < request->count; i++) {
            put(tasks, request, i);
        }
        if (request->is_async) {
            return false;
        }
        if (own) {
            call(request->name, 0);
        }
        await(request, strcmp(mode, "late") == 0 ? 1 : request->count - own);
    }
    return true;
}

static struct request *read_request(int connection)
{
    char head[4096] = "";
    size_t size = 0;
    while (strstr(head, "\r\n\r\n") == NULL) {
        ssize_t got = read(connection, head + size, sizeof(head) - 1 - size);
        if (got <= 0) {
            return NULL;
        }
        size += (size_t)got;
        head[size] = '\0';
    }
    struct request *request = calloc(1, sizeof(*request));
    request->connection = connection;
    pthread_mutex_init(&request->lock, NULL);
    pthread_cond_init(&request->is_done, NULL);
    if (sscanf(head, "GET /w/%63[^/]/%31[^/]/%d", request->name, request->mode, &request->count) !=
            3 ||
        request->count > CALLS) {
        abort();
    }
    request->is_async = strcmp(request->mode, "async") == 0;
    return request;
}

static void *serve(void *argument)
{
    int connection = (int)(intptr_t)argument;
    for (struct request *request; (request = read_request(connection)) != NULL;) {
        if (!do_work(request)) {
            return NULL; /* who answers has the next one read */
        }
        answer(request);
    }
    close(connection);
    return NULL;
}

int main(int count, char **arguments)
{
    const char *at = strstr(getenv("TEST_PEER"), "//127.0.0.1:");
    struct sockaddr_in own = {.sin_family = AF_INET,
                              .sin_port = htons((in_port_t)atoi(arguments[1]))};
    int on = 1;
    pthread_t thread;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    peer = own;
    peer.sin_port = htons((in_port_t)atoi(at + strlen("//127.0.0.1:")));
    sem_init(&by_semaphore.count, 0, 0);
    for (int i = 0; i < POOL; i++) {
        pthread_create(&thread, NULL, work, &by_condition);
        pthread_create(&thread, NULL, work, &by_semaphore);
    }
    pthread_create(&thread, NULL, collect, NULL);
    if (count > 2) {
        pthread_create(&thread, NULL, hand_over, NULL);
    }
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (struct sockaddr *)&own, sizeof(own)) != 0 || listen(listener, 64) != 0) {
        perror("listen");
        return 1;
    }
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        pthread_create(&thread, NULL, serve, (void *)(intptr_t)connection);
        pthread_detach(thread);
    }
}
