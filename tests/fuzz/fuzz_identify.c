#include "fuzz.h"

#include <stdlib.h>

#include "base/limits.h"
#include "wire/identify.h"

/* A decision stands, whatever follows; and there is one in the end. */
static void check(enum wire_protocol (*identify)(struct slice bytes), struct slice input)
{
    enum wire_protocol before = WIRE_UNDECIDED;
    for (size_t size = 0; size <= input.size && size <= LIMIT_IDENTIFY_BYTES + 1; size++) {
        uint8_t *copy = fuzz_exact_copy(slice_of(input.data, size));
        enum wire_protocol now = identify(slice_of(copy, size));
        free(copy);
        if (before != WIRE_UNDECIDED && now != before) {
            fuzz_fail("a decision was changed");
        }
        if (size >= LIMIT_IDENTIFY_BYTES && now == WIRE_UNDECIDED) {
            fuzz_fail("no decision after enough bytes");
        }
        before = now;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(identify_client_bytes, slice_of(data, size));
    check(identify_server_bytes, slice_of(data, size));
    return 0;
}
