#include "command/service/arena_host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static off_t segment_offset(uint32_t place)
{
    return (off_t)(arena_header_size() + place * arena_segment_bytes());
}

/* What nobody shares any more is sealed, and read from copies of its pages. */
static void *map(const struct arena_host *host, void *address, size_t size, off_t offset)
{
    int flags = (host->is_dead ? MAP_PRIVATE : MAP_SHARED) | (address != NULL ? MAP_FIXED : 0);
    return mmap(address, size, PROT_READ | PROT_WRITE, flags, host->memory, offset);
}

int arena_host_create(struct arena_host *host)
{
    struct stat status;
    *host = (struct arena_host){
        .memory = memfd_create("wirespan-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING),
    };
    if (host->memory < 0) {
        return -errno;
    }
    if (ftruncate(host->memory, (off_t)arena_size(LIMIT_ARENA_PLACES)) == 0 &&
        fcntl(host->memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0 &&
        fstat(host->memory, &status) == 0) {
        host->inode = status.st_ino;
        host->header = map(host, NULL, arena_header_size(), 0);
        if (host->header != MAP_FAILED) {
            arena_initialize(host->header, LIMIT_ARENA_PLACES);
            return 0;
        }
    }
    int error = errno;
    close(host->memory);
    return -error;
}

void arena_host_destroy(struct arena_host *host)
{
    for (uint32_t place = 0; place < LIMIT_ARENA_PLACES; place++) {
        arena_host_unmap(host, place);
    }
    munmap(host->header, arena_header_size());
    close(host->memory);
}

int arena_host_map(struct arena_host *host, uint32_t place)
{
    struct segment *segment = map(host, NULL, arena_segment_bytes(), segment_offset(place));
    if (segment == MAP_FAILED) {
        return -errno;
    }
    host->segments[place] = segment;
    return 0;
}

void arena_host_unmap(struct arena_host *host, uint32_t place)
{
    if (host->segments[place] != NULL) {
        munmap(host->segments[place], arena_segment_bytes());
        host->segments[place] = NULL;
    }
}

void arena_host_free(struct arena_host *host, uint32_t place)
{
    arena_host_unmap(host, place);
    if (fallocate(host->memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, segment_offset(place),
                  (off_t)arena_segment_bytes()) == 0) {
        /* pairs with the acquire in arena_claim: who claims it finds zeros */
        atomic_store_explicit(&host->header->places[place].state, PLACE_FREE, memory_order_release);
    }
}

void arena_host_forget_pages(const struct arena_host *host)
{
    for (uint32_t place = 0; place < LIMIT_ARENA_PLACES; place++) {
        if (host->segments[place] != NULL && !host->is_dead) {
            madvise(host->segments[place], arena_segment_bytes(), MADV_DONTNEED);
        }
    }
}

/* Keeps the addresses while the file is not mapped there. */
static void cover(void *address, size_t size)
{
    if (mmap(address, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
             0) == MAP_FAILED) {
        abort();
    }
}

static void uncover(const struct arena_host *host, void *address, size_t size, off_t offset)
{
    if (map(host, address, size, offset) == MAP_FAILED) {
        abort(); /* the segments are in use here; there is no going on without them */
    }
}

bool arena_host_is_shared(struct arena_host *host)
{
    cover(host->header, arena_header_size());
    for (uint32_t place = 0; place < LIMIT_ARENA_PLACES; place++) {
        if (host->segments[place] != NULL) {
            cover(host->segments[place], arena_segment_bytes());
        }
    }
    /* Refused while the file is mapped for writing by anybody; once granted, nobody ever will. */
    host->is_dead = fcntl(host->memory, F_ADD_SEALS, F_SEAL_WRITE) == 0;
    uncover(host, host->header, arena_header_size(), 0);
    for (uint32_t place = 0; place < LIMIT_ARENA_PLACES; place++) {
        if (host->segments[place] != NULL) {
            uncover(host, host->segments[place], arena_segment_bytes(), segment_offset(place));
        }
    }
    return !host->is_dead;
}
