#include "command/service/process_info.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handoff/record.h"

#define STAT_BYTES   1024
#define STATUS_BYTES 4096

/* The name that the memory file was made with, as the kernel shows it in a process's map. */
#define MEMORY_FILE_NAME "/memfd:wirespan-arena"

int process_open(pid_t process_id)
{
    long fd = syscall(SYS_pidfd_open, process_id, 0);
    return fd < 0 ? -errno : (int)fd;
}

uint32_t process_namespace_id(void)
{
    struct stat status;
    return stat("/proc/self/ns/pid", &status) == 0 ? (uint32_t)status.st_ino : 0;
}

bool process_has_ended(int pidfd)
{
    struct pollfd ready = {.fd = pidfd, .events = POLLIN};
    return poll(&ready, 1, 0) == 1;
}

/* ---- /proc ---- */

static bool read_text(pid_t process_id, const char *name, char *text, size_t capacity)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)process_id, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t size = read(fd, text, capacity - 1);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    return size > 0;
}

/* Field `number` of /proc/<pid>/stat, counted as proc(5) does; at least the third. */
static const char *stat_field(char *text, int number)
{
    char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < number; field++) {
        at = strchr(at + 1, ' ');
    }
    return at == NULL ? NULL : at + 1;
}

bool process_start_ns(pid_t process_id, uint64_t *start_ns)
{
    char text[STAT_BYTES];
    long ticks_per_second = sysconf(_SC_CLK_TCK);
    const char *field =
        read_text(process_id, "stat", text, sizeof(text)) ? stat_field(text, 22) : NULL;
    if (field == NULL || ticks_per_second <= 0) {
        return false;
    }
    *start_ns = strtoull(field, NULL, 10) * (UINT64_C(1000000000) / (uint64_t)ticks_per_second);
    return true;
}

enum process_answer process_maps(pid_t process_id, ino_t inode)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)process_id);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return errno == ENOENT || errno == ESRCH ? PROCESS_NO : PROCESS_UNKNOWN;
    }
    enum process_answer answer = PROCESS_NO;
    char *line = NULL;
    size_t capacity = 0;
    errno = 0;
    while (answer == PROCESS_NO && getline(&line, &capacity, file) > 0) {
        unsigned long long found = 0;
        if (strstr(line, MEMORY_FILE_NAME) != NULL &&
            sscanf(line, "%*s %*s %*s %*s %llu", &found) == 1 && found == inode) {
            answer = PROCESS_YES;
        }
    }
    /* The permission is asked for again at reading. */
    if (answer == PROCESS_NO && ferror(file)) {
        answer = errno == ESRCH ? PROCESS_NO : PROCESS_UNKNOWN;
    }
    free(line);
    fclose(file);
    return answer;
}

static bool calls_itself(pid_t process_id, int32_t own_id)
{
    char text[STATUS_BYTES];
    if (!read_text(process_id, "status", text, sizeof(text))) {
        return false;
    }
    char *line = strstr(text, "\nNSpid:");
    if (line == NULL) {
        return process_id == own_id;
    }
    line += strlen("\nNSpid:");
    char *end = strchr(line, '\n');
    if (end != NULL) {
        *end = '\0';
    }
    const char *last = strrchr(line, '\t');
    return last != NULL && strtol(last + 1, NULL, 10) == own_id;
}

/* True also of one that is not to be looked into. */
static bool is_in_namespace(pid_t process_id, uint32_t namespace_id)
{
    char path[64];
    struct stat status;
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)process_id);
    return namespace_id == 0 || stat(path, &status) != 0 || (uint32_t)status.st_ino == namespace_id;
}

pid_t process_find(int32_t own_id, uint32_t namespace_id, ino_t inode)
{
    DIR *folder = opendir("/proc");
    if (folder == NULL) {
        return -1;
    }
    pid_t found = 0;
    bool is_unsure = false;
    for (struct dirent *entry = readdir(folder); entry != NULL && found == 0;
         entry = readdir(folder)) {
        if (!isdigit((unsigned char)entry->d_name[0])) {
            continue;
        }
        pid_t candidate = (pid_t)strtol(entry->d_name, NULL, 10);
        if (!calls_itself(candidate, own_id) || !is_in_namespace(candidate, namespace_id)) {
            continue;
        }
        enum process_answer answer = process_maps(candidate, inode);
        if (answer == PROCESS_YES) {
            found = candidate;
        }
        is_unsure |= answer == PROCESS_UNKNOWN;
    }
    closedir(folder);
    return found == 0 && is_unsure ? -1 : found;
}

/* ---- ends ---- */

/* Linux 6.15 and later: the exit status of a process that has been reaped, by its pidfd. */
struct exit_information {
    uint64_t mask;
    uint64_t cgroup;
    uint32_t ids[11];
    int32_t exit_code;
};
#define EXIT_INFORMATION     UINT64_C(8)
#define GET_EXIT_INFORMATION _IOWR(0xFF, 11, struct exit_information)

int32_t process_cause_of(int status)
{
    if (WIFSIGNALED(status)) {
        return record_abort_cause(ABORT_SIGNAL, WTERMSIG(status));
    }
    return record_abort_cause(ABORT_EXIT, WEXITSTATUS(status));
}

/* While its parent has not asked, the process is a zombie and /proc has its status. */
static bool status_of_zombie(pid_t process_id, int *status)
{
    char text[STAT_BYTES];
    if (!read_text(process_id, "stat", text, sizeof(text))) {
        return false;
    }
    const char *state = stat_field(text, 3);
    if (state == NULL || (*state != 'Z' && *state != 'X')) {
        return false;
    }
    const char *code = stat_field(text, 52);
    if (code == NULL) {
        return false;
    }
    *status = (int)strtol(code, NULL, 10);
    return true;
}

int32_t process_end_cause(pid_t process_id, int pidfd)
{
    int status;
    if (process_id > 0 && status_of_zombie(process_id, &status)) {
        return process_cause_of(status);
    }
    struct exit_information information = {.mask = EXIT_INFORMATION};
    if (pidfd >= 0 && ioctl(pidfd, GET_EXIT_INFORMATION, &information) == 0 &&
        (information.mask & EXIT_INFORMATION) != 0) {
        return process_cause_of(information.exit_code);
    }
    return record_abort_cause(ABORT_UNKNOWN, 0);
}
