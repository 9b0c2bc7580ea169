/* With another agent's library preloaded as well: both see every call, once. */
#include <dlfcn.h>
#include <unistd.h>

#include "support.h"

typedef unsigned counter(void);

int main(void)
{
    int pair[2];
    char bytes[16];
    counter *calls = FUNCTION(counter, dlsym(RTLD_DEFAULT, "second_preload_calls"));
    REQUIRE(calls);
    tcp_pair(pair);
    unsigned before = calls();
    for (int i = 0; i < 10; i++) {
        REQUIRE(send(pair[0], "*1\r\n$4\r\nPING\r\n", 14, 0) == 14 &&
                recv(pair[1], bytes, 14, 0) == 14);
        REQUIRE(write(pair[1], "+PONG\r\n", 7) == 7 && read(pair[0], bytes, 7) == 7);
    }
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
    say("the other library saw %u calls", calls() - before);
    OBSERVE(send(77, "x", 1, 0));
    OBSERVE(close(77));
    return 0;
}
