/* An overflow on purpose: the test of sanitized objects must see it reported. */
#include <stdlib.h>
#include <string.h>

static volatile size_t beyond = 9;

__attribute__((constructor)) static void overflow(void)
{
    char *memory = malloc(8);
    if (memory != NULL) {
        memset(memory, 1, beyond);
        free(memory);
    }
}
