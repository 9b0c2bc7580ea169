#include "command/service/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "command/service/process_info.h"

#define BACKLOG 1024

static bool watch(const struct listener *listener, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(listener->events, EPOLL_CTL_ADD, fd, &event) == 0;
}

static int bind_and_listen(struct listener *listener, const struct sockaddr_un *name,
                           socklen_t size)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    if (bind(fd, (const struct sockaddr *)name, size) != 0 || listen(fd, BACKLOG) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    listener->socket = fd;
    listener->events = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < LISTENER_PENDING; i++) {
        listener->pending[i] = -1;
    }
    return listener->events < 0 || !watch(listener, fd) ? -errno : 0;
}

static void to_hex(char *text, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
}

int listener_open_abstract(struct listener *listener, char *address, size_t capacity)
{
    uint8_t random[8];
    char name[2 * sizeof(random) + 1];
    char token[2 * REGISTRATION_TOKEN + 1];
    *listener = (struct listener){.socket = -1, .asks_token = true};
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random) ||
        getrandom(listener->token, sizeof(listener->token), 0) !=
            (ssize_t)sizeof(listener->token)) {
        return -errno;
    }
    to_hex(name, random, sizeof(random));
    to_hex(token, listener->token, sizeof(listener->token));
    snprintf(address, capacity, "@wirespan-%s#%s", name, token);
    struct sockaddr_un socket_name = {.sun_family = AF_UNIX};
    int size =
        snprintf(socket_name.sun_path + 1, sizeof(socket_name.sun_path) - 1, "wirespan-%s", name);
    return bind_and_listen(listener, &socket_name,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)size));
}

static bool is_listened_on(const struct sockaddr_un *name)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool answer = fd >= 0 && connect(fd, (const struct sockaddr *)name, sizeof(*name)) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return answer;
}

int listener_open_path(struct listener *listener, const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct stat status;
    *listener = (struct listener){.socket = -1};
    if (strlen(path) >= sizeof(name.sun_path)) {
        return -ENAMETOOLONG;
    }
    snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    if (lstat(path, &status) == 0) {
        if (!S_ISSOCK(status.st_mode)) {
            return -ENOTSOCK;
        }
        if (is_listened_on(&name)) {
            return -EADDRINUSE;
        }
        unlink(path);
    }
    mode_t mask = umask(0177);
    int result = bind_and_listen(listener, &name, sizeof(name));
    umask(mask);
    return result;
}

/* ---- requests ---- */

static bool is_welcome(const struct listener *listener, const struct request *request,
                       const struct ucred *peer)
{
    const struct registration_hello *hello = &request->hello;
    if (hello->magic != REGISTRATION_MAGIC || hello->version != REGISTRATION_VERSION) {
        return false;
    }
    if (listener->asks_token) {
        uint8_t difference = 0;
        for (size_t i = 0; i < REGISTRATION_TOKEN; i++) {
            difference |= hello->token[i] ^ listener->token[i];
        }
        return difference == 0;
    }
    return peer->uid == geteuid() || peer->uid == 0;
}

static bool read_request(struct listener *listener, struct request *request)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (getsockopt(request->connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
        recv(request->connection, &request->hello, sizeof(request->hello),
             MSG_DONTWAIT | MSG_TRUNC) != (ssize_t)sizeof(request->hello) ||
        !is_welcome(listener, request, &peer)) {
        return false;
    }
    /* It waits for our answer: the number is still its own. A process that cannot be seen from
       here has none. */
    request->process_id = peer.pid;
    request->pidfd = peer.pid > 0 ? process_open(peer.pid) : -ESRCH;
    return request->pidfd >= 0;
}

/* The newest takes the place of the oldest. */
static void add_pending(struct listener *listener)
{
    int connection = accept4(listener->socket, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0) {
        return;
    }
    int *place = &listener->pending[listener->next_pending++ % LISTENER_PENDING];
    if (*place >= 0) {
        listener->refused++;
        close(*place);
    }
    *place = connection;
    watch(listener, connection);
}

static void remove_pending(struct listener *listener, int connection)
{
    for (size_t i = 0; i < LISTENER_PENDING; i++) {
        if (listener->pending[i] == connection) {
            listener->pending[i] = -1;
        }
    }
    epoll_ctl(listener->events, EPOLL_CTL_DEL, connection, NULL);
}

bool listener_accept(struct listener *listener, struct request *request)
{
    struct epoll_event event;
    while (epoll_wait(listener->events, &event, 1, 0) == 1) {
        if (event.data.fd == listener->socket) {
            add_pending(listener);
            continue;
        }
        *request = (struct request){.pidfd = -1, .connection = event.data.fd};
        remove_pending(listener, request->connection);
        if (read_request(listener, request)) {
            return true;
        }
        listener->refused++;
        listener_refuse(request);
    }
    return false;
}

bool listener_answer(struct request *request, uint32_t flags, uint64_t arena_size, int arena,
                     int bell)
{
    struct registration_answer answer = {
        .magic = REGISTRATION_MAGIC,
        .version = REGISTRATION_VERSION,
        .flags = flags,
        .arena_size = arena_size,
    };
    const int descriptors[2] = {arena, bell};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(descriptors))] = {0};
    struct iovec part = {.iov_base = &answer, .iov_len = sizeof(answer)};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(descriptors));
    memcpy(CMSG_DATA(header), descriptors, sizeof(descriptors));
    bool is_sent = sendmsg(request->connection, &message, MSG_NOSIGNAL | MSG_DONTWAIT) ==
                   (ssize_t)sizeof(answer);
    close(request->connection);
    request->connection = -1;
    return is_sent;
}

void listener_refuse(struct request *request)
{
    close(request->connection);
    request->connection = -1;
    if (request->pidfd >= 0) {
        close(request->pidfd);
        request->pidfd = -1;
    }
}
