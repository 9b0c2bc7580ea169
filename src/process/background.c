#include "process/background.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "app_thread/attachment.h"
#include "app_thread/callbacks.h"
#include "app_thread/clock.h"
#include "app_thread/hooks/originals.h"
#include "app_thread/thread_state.h"
#include "base/symbol_versions.h"
#include "base/system_call.h"
#include "handoff/segment.h"
#include "worker/worker.h"

/* Enough for libcurl with TLS; the host's limit may be anything. */
#define CLOSE_RANGE_UNSHARE_FLAG 2
#define STACK_BYTES              (256u << 10)
/* While a transfer is in flight the segment is looked at this often: at a hundred thousand
   exchanges a second a thousand records fill up in between. */
#define POLL_MS 10
/* With nothing to do the thread looks this often whether it is the last one. */
#define WATCH_NS UINT64_C(1000000000)
/* With a backlog the thread sleeps no longer than this: it is there to be drained, or it is a late
   record, whose writer may need this processor. */
#define BACKLOG_SLEEP_NS UINT64_C(1000000)
/* For dropping what was not delivered and saying so. */
#define STOP_MS 500
/* For setting capabilities, which comes between steps, or after the libraries were loaded. */
#define FOLLOW_MS 5000

enum background_state {
    BACKGROUND_NONE,
    BACKGROUND_STARTING,
    BACKGROUND_RUNNING,
    BACKGROUND_STOPPED, /* has reported; nothing is exported any more */
    BACKGROUND_FAILED   /* could not be started; not tried again */
};

static struct {
    const char *worker_path;
    const char *const *environment;
    void (*at_exit)(void);
    _Atomic int32_t process_id;       /* of the process that the rest is about */
    _Atomic uint32_t state;           /* enum background_state */
    _Atomic uint32_t lock;            /* futex: 0 free, 1 held, 2 held and waited for */
    _Atomic uint32_t forks_waiting;   /* futex: the thread lets them go first */
    _Atomic uint32_t flush_requested; /* futex-less: the doorbell wakes */
    _Atomic uint32_t flush_done;      /* futex: the latest request that is done */
    _Atomic uint32_t stop_requested;
    _Atomic uint32_t give_up;      /* the time for the last flush is over */
    _Atomic uint32_t is_temporary; /* the program's first thread has ended */
    _Atomic uint32_t is_closed;    /* the lock is held for good: the process ends */
    /* The capabilities that the program has now; written by its first thread alone. */
    _Atomic uint32_t capabilities_set;  /* how often */
    _Atomic uint32_t capabilities_done; /* futex: of which the thread has as many */
    uint32_t capabilities_version;
    uint32_t capabilities[6];
    /* the thread's own */
    const struct worker_api *api;
    struct exporter *exporter;
    struct doorbell *doorbell;
    pthread_t thread;
    char stat_text[1024]; /* what read_first_thread reads: too much for a small stack */
} background;

void background_configure(const char *worker_path, const char *const *environment,
                          void (*at_exit)(void))
{
    background.worker_path = worker_path;
    background.environment = environment;
    background.at_exit = at_exit;
}

/* ---- the lock ---- */

static void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000u),
                               .tv_nsec = (long)(timeout_ns % 1000000000u)};
    raw_system_call(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, (long)value, (long)&timeout, 0, 0);
}

static void futex_wake_all(_Atomic uint32_t *word)
{
    raw_system_call(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
}

static bool is_closed(void)
{
    return atomic_load_explicit(&background.is_closed, memory_order_acquire) != 0;
}

static void lock(void)
{
    uint32_t free = 0;
    if (atomic_compare_exchange_strong_explicit(&background.lock, &free, 1, memory_order_acquire,
                                                memory_order_relaxed)) {
        return;
    }
    while (atomic_exchange_explicit(&background.lock, 2, memory_order_acquire) != 0) {
        futex_wait(&background.lock, 2, 1000000000u);
    }
}

/* A busy exporter takes the lock again as soon as it has let it go, long before who waits for it
   has woken up. */
static void lock_after_forks(void)
{
    uint32_t waiting;
    while ((waiting = atomic_load_explicit(&background.forks_waiting, memory_order_acquire)) != 0) {
        futex_wait(&background.forks_waiting, waiting, 100000000u);
    }
    lock();
}

static void unlock(void)
{
    if (atomic_exchange_explicit(&background.lock, 0, memory_order_release) == 2) {
        futex_wake_all(&background.lock);
    }
}

/* ---- the thread ---- */

static bool is_temporary(void)
{
    return atomic_load_explicit(&background.is_temporary, memory_order_acquire) != 0;
}

/* Gives this thread a file table of its own, empty but for /dev/null in the places of the standard
   streams. The program's tables stay as it knows them, its closing of everything does not meet our
   connection, and no child inherits it. */
static bool make_descriptors_private(void)
{
    if (raw_system_call(SYS_close_range, 0, UINT32_MAX, CLOSE_RANGE_UNSHARE_FLAG, 0, 0, 0) != 0) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        raw_system_call(SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDWR, 0, 0, 0);
    }
    return true;
}

/* On the program's stderr: this thread's own is /dev/null, and the worker, which knows better ways
   than pidfd_getfd, is not there. */
static void complain(const char *of_what, const char *why)
{
    char text[512];
    int size = snprintf(text, sizeof(text), "wirespan: nothing is exported: %s%s\n", of_what, why);
    size_t length = size < (int)sizeof(text) ? (size_t)size : sizeof(text) - 1;
    if (thread_state.is_ours != THREAD_OURS) {
        raw_system_call(SYS_write, STDERR_FILENO, (long)text, (long)length, 0, 0, 0);
        return;
    }
    long process = raw_system_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
    long handle = raw_system_call(SYS_pidfd_open, process, 0, 0, 0, 0, 0);
    long borrowed = raw_system_call(SYS_pidfd_getfd, handle, STDERR_FILENO, 0, 0, 0, 0);
    raw_system_call(SYS_write, borrowed, (long)text, (long)length, 0, 0, 0);
    raw_system_call(SYS_close, borrowed, 0, 0, 0, 0, 0);
    raw_system_call(SYS_close, handle, 0, 0, 0, 0, 0);
}

/* The loader's own lock must not be taken when the program forks. */
static bool find_worker(void)
{
    lock_after_forks();
    void *object = dlopen(background.worker_path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        complain("", dlerror());
    } else {
        background.api = dlsym(object, "wirespan_worker");
    }
    unlock();
    return object != NULL;
}

static bool load_worker(void)
{
    if (!find_worker()) {
        return false;
    }
    if (background.api == NULL || background.api->version != WORKER_API_VERSION) {
        complain(background.worker_path, " is of another version");
        return false;
    }
    const struct worker_host host = {
        .has_private_descriptors = thread_state.is_ours == THREAD_OURS,
        .enter_fork_guard = lock_after_forks,
        .leave_fork_guard = unlock,
    };
    background.exporter = background.api->create(background.environment, &host);
    if (background.exporter == NULL) {
        return false;
    }
    lock_after_forks();
    atexit(background.at_exit);
    unlock();
    return true;
}

static bool attach_worker(void)
{
    struct segment *segment = attachment_segment();
    if (segment == NULL) {
        return false;
    }
    size_t size = segment_size(segment->slot_count);
    background.doorbell = attachment_doorbell();
    return background.api->add_segment(background.exporter, segment, size, NULL) == 0;
}

static void wait_for_more(const struct worker_wait *wait)
{
    if (wait->descriptor_count > 0) {
        struct pollfd descriptors[WORKER_POLL_MAX];
        size_t count = wait->descriptor_count;
        memcpy(descriptors, wait->descriptors, count * sizeof(descriptors[0]));
        uint64_t ms = wait->timeout_ns / 1000000u;
        original_poll(descriptors, (nfds_t)count, ms < POLL_MS ? (int)ms : POLL_MS);
        return;
    }
    struct doorbell *doorbell = background.doorbell;
    uint64_t timeout_ns = wait->timeout_ns < WATCH_NS ? wait->timeout_ns : WATCH_NS;
    uint32_t word = doorbell_word(doorbell);
    doorbell_announce(doorbell, wait->idle ? DRAINER_IDLE : DRAINER_TIMED);
    if (wait->idle && background.api->has_backlog(background.exporter) &&
        timeout_ns > BACKLOG_SLEEP_NS) {
        timeout_ns = BACKLOG_SLEEP_NS;
    }
    doorbell_wait(doorbell, word, timeout_ns);
    doorbell_announce(doorbell, DRAINER_AWAKE);
}

/* Reads the first thread's state and exit code. False if that cannot be had. */
static bool read_first_thread(char *state, int *exit_code)
{
    char *text = background.stat_text;
    long fd = raw_system_call(SYS_openat, AT_FDCWD, (long)"/proc/self/stat", O_RDONLY | O_CLOEXEC,
                              0, 0, 0);
    if (fd < 0) {
        return false;
    }
    long size =
        raw_system_call(SYS_read, fd, (long)text, sizeof(background.stat_text) - 1, 0, 0, 0);
    raw_system_call(SYS_close, fd, 0, 0, 0, 0, 0);
    if (size <= 0) {
        return false;
    }
    text[size] = '\0';
    const char *name_end = strrchr(text, ')');
    const char *last = strrchr(text, ' ');
    if (name_end == NULL || last == NULL || name_end + 2 >= text + size) {
        return false;
    }
    *state = name_end[2];
    *exit_code = (int)strtol(last, NULL, 10);
    return true;
}

/* The program's threads have all ended: the first one stays as a zombie, and the only other one is
   this. Without this thread, of which the program does not know, the process would be over. */
static bool is_last_thread(void)
{
    struct stat folder;
    char state = 0;
    int exit_code = 0;
    long result =
        raw_system_call(SYS_newfstatat, AT_FDCWD, (long)"/proc/self/task", (long)&folder, 0, 0, 0);
    return result == 0 && folder.st_nlink == 2 + 2 && read_first_thread(&state, &exit_code) &&
           state == 'Z';
}

/* Does what the C library does when the last thread ends, or the kernel when a program ends its
   threads by hand: then the first thread's exit code is the process's. */
static void end_program(void)
{
    char state = 0;
    int exit_code = 0;
    if (!read_first_thread(&state, &exit_code) || exit_code != 0 ||
        atomic_load_explicit(&lifecycle_raw_exit, memory_order_relaxed)) {
        raw_system_call(SYS_exit, exit_code >> 8 & 0xFF, 0, 0, 0, 0, 0);
    }
    exit(0);
}

static void follow_capabilities(void)
{
    uint32_t set = atomic_load_explicit(&background.capabilities_set, memory_order_acquire);
    if (set != atomic_load_explicit(&background.capabilities_done, memory_order_relaxed)) {
        uint32_t header[2] = {background.capabilities_version, 0};
        raw_system_call(SYS_capset, (long)header, (long)background.capabilities, 0, 0, 0, 0);
        atomic_store_explicit(&background.capabilities_done, set, memory_order_release);
        futex_wake_all(&background.capabilities_done);
    }
}

/* Steps until a stop was asked for and everything has gone, or the one who asked no longer waits.
 */
static bool run(void)
{
    bool ends_program = false;
    for (;;) {
        struct worker_wait wait;
        memset(&wait, 0, sizeof(wait));
        follow_capabilities();
        uint32_t requested =
            atomic_load_explicit(&background.flush_requested, memory_order_acquire);
        bool flush =
            requested != atomic_load_explicit(&background.flush_done, memory_order_relaxed);
        background.api->step(background.exporter, clock_now_ns(), flush, &wait);
        bool drained = flush && background.api->is_drained(background.exporter);
        if (atomic_load_explicit(&background.give_up, memory_order_acquire) != 0) {
            return ends_program;
        }
        if (flush && wait.stalled) {
            /* The receiver is in trouble: the end is not held up for it. */
            drained = true;
        }
        if (!flush && (wait.idle || wait.stalled) && is_temporary()) {
            return false;
        }
        if (!flush && (wait.idle || wait.stalled) && is_last_thread()) {
            atomic_store_explicit(&background.stop_requested, 1, memory_order_relaxed);
            atomic_fetch_add_explicit(&background.flush_requested, 1, memory_order_relaxed);
            ends_program = true;
            continue;
        }
        if (drained) {
            if (atomic_load_explicit(&background.stop_requested, memory_order_acquire) != 0) {
                return ends_program;
            }
            atomic_store_explicit(&background.flush_done, requested, memory_order_release);
            futex_wake_all(&background.flush_done);
            continue;
        }
        if (flush && wait.timeout_ns > POLL_MS * 1000000u) {
            wait.timeout_ns = POLL_MS * 1000000u;
        }
        wait_for_more(&wait);
    }
}

/* When the program's last thread is already in exit(), the C library would take this thread's end
   for that of the last one and run the exit handlers a second time. */
static void await_end(void)
{
    while (atomic_load_explicit(&background.stop_requested, memory_order_acquire) != 0) {
        futex_wait(&background.stop_requested, 1, UINT64_C(1000000000));
    }
}

static void *thread_main(void *unused)
{
    (void)unused;
    /* Who looks at the process's threads can tell this one from the program's. */
    raw_system_call(SYS_prctl, PR_SET_NAME, (long)"wirespan", 0, 0, 0, 0);
    /* A thread that may turn out to be the last one runs the program's exit handlers, which want
       the program's descriptors. */
    thread_state.is_ours =
        !is_temporary() && make_descriptors_private() ? THREAD_OURS : THREAD_OURS_SHARING;
    bool loaded = load_worker() && attach_worker();
    if (!loaded) {
        atomic_store_explicit(&background.state, BACKGROUND_FAILED, memory_order_release);
        atomic_store_explicit(&attachment_is_on, false, memory_order_relaxed);
        futex_wake_all(&background.flush_done);
        return NULL;
    }
    atomic_store_explicit(&background.state, BACKGROUND_RUNNING, memory_order_release);
    bool ends_program = run();
    background.api->destroy(background.exporter);
    background.exporter = NULL;
    atomic_store_explicit(&background.state, is_temporary() ? BACKGROUND_NONE : BACKGROUND_STOPPED,
                          memory_order_release);
    atomic_store_explicit(&background.flush_done,
                          atomic_load_explicit(&background.flush_requested, memory_order_relaxed),
                          memory_order_release);
    futex_wake_all(&background.flush_done);
    if (ends_program) {
        end_program();
    }
    if (is_temporary()) {
        await_end();
    }
    return NULL;
}

/* Forgets what the parent had, in the child of a fork that ran no handlers (_Fork, raw clone). */
static void check_process(void)
{
    int32_t id = attachment_process_id();
    int32_t before = atomic_load_explicit(&background.process_id, memory_order_relaxed);
    if (before != id &&
        atomic_compare_exchange_strong_explicit(&background.process_id, &before, id,
                                                memory_order_acq_rel, memory_order_relaxed) &&
        before != 0) {
        background_after_fork_in_child();
    }
}

/* How many records wait. */
static uint32_t backlog(void)
{
    struct segment *segment = atomic_load_explicit(&attachment->segment, memory_order_acquire);
    return segment == NULL ? 0 : segment_backlog(segment);
}

static void start_thread(void)
{
    uint32_t none = BACKGROUND_NONE;
    check_process();
    /* The segment is there before the thread: were both the thread and the application's first
       exchange to make it at the same time, the one that comes late would get none, and the thread
       would give up for good. */
    if (atomic_load_explicit(&background.state, memory_order_relaxed) != BACKGROUND_NONE ||
        attachment_await_segment() == NULL ||
        !atomic_compare_exchange_strong_explicit(&background.state, &none, BACKGROUND_STARTING,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        return;
    }
    /* Handlers run in the opposite order of their registration. Ours of the program's load would
       come after that of the OpenSSL that the program has started since, and export with the ruins.
     */
    atexit(background.at_exit);
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    sigset_t *mask = &before;
    raw_system_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)mask, 8, 0, 0);
    pthread_attr_init(&attributes);
    /* The first one is joined if the program's first thread ends before it; later ones end by
       themselves. */
    pthread_attr_setdetachstate(&attributes,
                                is_temporary() ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int result = original_pthread_create(&background.thread, &attributes, thread_main, NULL);
    pthread_attr_destroy(&attributes);
    raw_system_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)mask, 0, 8, 0, 0);
    if (result != 0) {
        atomic_store_explicit(&background.state, BACKGROUND_FAILED, memory_order_release);
    }
}

const void *background_library(void)
{
    return background.api;
}

void background_start(void)
{
    /* Once the first thread has ended ours comes only when the segment fills up, and at the end. */
    if (!is_temporary() || backlog() > LIMIT_SEGMENT_SLOTS / 4) {
        start_thread();
    }
}

/* ---- flushing ---- */

static bool is_running(void)
{
    uint32_t state = atomic_load_explicit(&background.state, memory_order_acquire);
    return state == BACKGROUND_STARTING || state == BACKGROUND_RUNNING;
}

static bool has_handler(int number)
{
    /* The kernel's structure, whose first word is the handler. */
    uintptr_t action[8] = {0};
    return raw_system_call(SYS_rt_sigaction, number, 0, (long)action, 8, 0, 0) == 0 &&
           action[0] != (uintptr_t)SIG_DFL && action[0] != (uintptr_t)SIG_IGN;
}

/* While a handler runs its signal is blocked (but for SA_NODEFER, which cannot be seen). Making a
   thread needs the program's allocator, in the middle of which the handler may have come. */
static bool may_be_in_handler(void)
{
    uint64_t blocked = 0;
    raw_system_call(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)&blocked, 8, 0, 0);
    for (int number = 1; blocked != 0; number++, blocked >>= 1) {
        /* 32 and 33 are the C library's own. */
        if ((blocked & 1) != 0 && number != 32 && number != 33 && has_handler(number)) {
            return true;
        }
    }
    return false;
}

static bool prepare_flush(void)
{
    check_process();
    if (atomic_load_explicit(&background.state, memory_order_acquire) == BACKGROUND_NONE &&
        backlog() > 0 && !may_be_in_handler()) {
        start_thread();
    }
    return is_running();
}

static void ring(void)
{
    struct segment *segment = attachment_segment();
    if (segment != NULL) {
        doorbell_ring(attachment_doorbell());
    }
}

/* Waits until of what is counted there so many are done, or the thread has ended. */
static void await(_Atomic uint32_t *counter, uint32_t request, uint32_t timeout_ms)
{
    uint64_t now = clock_now_ns();
    uint64_t deadline = now + (uint64_t)timeout_ms * 1000000u;
    for (; now < deadline && is_running(); now = clock_now_ns()) {
        uint32_t done = atomic_load_explicit(counter, memory_order_acquire);
        if ((int32_t)(done - request) >= 0) {
            return;
        }
        futex_wait(counter, done, deadline - now);
    }
}

static uint32_t request_flush(void)
{
    uint32_t request =
        atomic_fetch_add_explicit(&background.flush_requested, 1, memory_order_acq_rel) + 1;
    ring();
    return request;
}

void background_flush(uint32_t timeout_ms)
{
    if (!is_closed() && prepare_flush()) {
        await(&background.flush_done, request_flush(), timeout_ms);
    }
}

void background_finish(uint32_t timeout_ms)
{
    /* It is called by several exit handlers; the first that waited in vain holds the lock. */
    if (is_closed() || !prepare_flush()) {
        return;
    }
    atomic_store_explicit(&background.stop_requested, 1, memory_order_release);
    uint32_t request = request_flush();
    await(&background.flush_done, request, timeout_ms);
    atomic_store_explicit(&background.give_up, 1, memory_order_release);
    ring();
    await(&background.flush_done, request, STOP_MS);
    if (is_running()) {
        /* It is in the middle of a step, or sleeps: with the lock in our hands it takes no other.
         */
        lock();
        atomic_store_explicit(&background.is_closed, 1, memory_order_release);
    }
}

void background_set_capabilities(uint32_t version, const void *data, size_t size)
{
    if (is_closed() || !is_running() || size > sizeof(background.capabilities)) {
        return;
    }
    background.capabilities_version = version;
    memcpy(background.capabilities, data, size);
    uint32_t set =
        atomic_fetch_add_explicit(&background.capabilities_set, 1, memory_order_acq_rel) + 1;
    ring();
    await(&background.capabilities_done, set, FOLLOW_MS);
}

void background_retire(uint32_t timeout_ms)
{
    if (atomic_exchange_explicit(&background.is_temporary, 1, memory_order_acq_rel) != 0 ||
        !is_running()) {
        return;
    }
    await(&background.flush_done, request_flush(), timeout_ms);
    ring();
    uint64_t deadline = clock_now_ns() + (uint64_t)STOP_MS * 1000000u;
    while (is_running() && clock_now_ns() < deadline) {
        futex_wait(&background.flush_done,
                   atomic_load_explicit(&background.flush_done, memory_order_acquire), 1000000u);
    }
    if (!is_running()) {
        /* Gone, not merely going: the last thread's exit code is the process's. */
        pthread_join(background.thread, NULL);
    }
}

/* ---- fork ---- */

/* The same lock; but once it is held for good, the thread does nothing more that a fork could cut
   in two, and nobody waits for it. */
static void lock_for_fork(void)
{
    uint32_t free = 0;
    if (atomic_compare_exchange_strong_explicit(&background.lock, &free, 1, memory_order_acquire,
                                                memory_order_relaxed)) {
        return;
    }
    while (!is_closed() &&
           atomic_exchange_explicit(&background.lock, 2, memory_order_acquire) != 0) {
        futex_wait(&background.lock, 2, 100000000u);
    }
}

void background_before_fork(void)
{
    atomic_fetch_add_explicit(&background.forks_waiting, 1, memory_order_acq_rel);
    lock_for_fork();
}

void background_after_fork_in_parent(void)
{
    /* Closed, it was not taken: who closes it holds it. */
    if (!is_closed()) {
        unlock();
    }
    atomic_fetch_sub_explicit(&background.forks_waiting, 1, memory_order_acq_rel);
    futex_wake_all(&background.forks_waiting);
}

void background_after_fork_in_child(void)
{
    /* The thread is not here. What it held is left alone: freeing it would need what it was doing.
     */
    background.exporter = NULL;
    /* Exit handlers may run, and fork, on our thread: their child is the program's. */
    thread_state.is_ours = THREAD_OF_PROGRAM;
    atomic_store_explicit(&background.process_id, attachment_process_id(), memory_order_relaxed);
    atomic_store_explicit(&background.state, BACKGROUND_NONE, memory_order_relaxed);
    atomic_store_explicit(&background.flush_requested, 0, memory_order_relaxed);
    atomic_store_explicit(&background.flush_done, 0, memory_order_relaxed);
    atomic_store_explicit(&background.stop_requested, 0, memory_order_relaxed);
    atomic_store_explicit(&background.capabilities_set, 0, memory_order_relaxed);
    atomic_store_explicit(&background.capabilities_done, 0, memory_order_relaxed);
    atomic_store_explicit(&background.give_up, 0, memory_order_relaxed);
    atomic_store_explicit(&background.forks_waiting, 0, memory_order_relaxed);
    atomic_store_explicit(&background.is_closed, 0, memory_order_relaxed);
    atomic_store_explicit(&background.is_temporary, 0, memory_order_relaxed);
    atomic_store_explicit(&background.lock, 0, memory_order_release);
}
