#include "command/service/bell.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_BYTES (64 << 10)

/* What the thread needs; it goes on while its process ends. */
struct ringer {
    struct bell_page *page;
    int event;
};

static void *listen_for_rings(void *argument)
{
    const struct ringer *ringer = argument;
    uint32_t word = doorbell_word(&ringer->page->doorbell);
    for (;;) {
        doorbell_wait(&ringer->page->doorbell, word, UINT64_C(3600000000000));
        uint32_t now = doorbell_word(&ringer->page->doorbell);
        if (now != word) {
            word = now;
            const uint64_t one = 1;
            ssize_t written = write(ringer->event, &one, sizeof(one));
            (void)written; /* full it is readable, too */
        }
    }
    return NULL;
}

static int start_thread(const struct bell *bell)
{
    struct ringer *ringer = malloc(sizeof(*ringer));
    if (ringer == NULL) {
        return -ENOMEM;
    }
    *ringer = (struct ringer){.page = bell->page, .event = bell->event};
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&thread, &attributes, listen_for_rings, ringer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -result;
}

int bell_create(struct bell *bell)
{
    bell->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bell->memory = memfd_create("wirespan-bell", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (bell->event < 0 || bell->memory < 0 || ftruncate(bell->memory, BELL_PAGE_BYTES) != 0 ||
        fcntl(bell->memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
        return -errno;
    }
    bell->page = mmap(NULL, BELL_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, bell->memory, 0);
    return bell->page == MAP_FAILED ? -errno : start_thread(bell);
}

void bell_clear(struct bell *bell)
{
    uint64_t rings;
    while (read(bell->event, &rings, sizeof(rings)) > 0) {
    }
}
