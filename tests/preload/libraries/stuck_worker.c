/* A worker object whose every step takes longer than anybody waits for it. */
#include <stdlib.h>
#include <unistd.h>

#include "worker/worker.h"

static struct exporter *create(const char *const *environment, const struct worker_host *host)
{
    (void)environment;
    (void)host;
    return malloc(1);
}

static int add_segment(struct exporter *exporter, struct segment *segment, size_t mapped_size,
                       const struct worker_process *process)
{
    (void)process;
    (void)exporter;
    (void)segment;
    (void)mapped_size;
    return 0;
}

static void step(struct exporter *exporter, uint64_t monotonic_ns, bool flush,
                 struct worker_wait *wait)
{
    (void)exporter;
    (void)monotonic_ns;
    (void)flush;
    (void)wait;
    sleep(600);
}

static bool is_drained(const struct exporter *exporter)
{
    (void)exporter;
    return false;
}

static void destroy(struct exporter *exporter)
{
    free(exporter);
}

__attribute__((visibility("default"))) const struct worker_api wirespan_worker = {
    .version = WORKER_API_VERSION,
    .create = create,
    .add_segment = add_segment,
    .step = step,
    .is_drained = is_drained,
    .destroy = destroy,
};
