/* A program that takes its environment's memory away at its end, as PHP does. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support.h"

static char **make_environment(size_t size)
{
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    char **environment = (char **)(void *)memory;
    char *text = memory + size / 2;
    size_t count = 0;
    for (; environ[count] != NULL; count++) {
        size_t length = strlen(environ[count]) + 1;
        REQUIRE(text + length < memory + size);
        environment[count] = memcpy(text, environ[count], length);
        text += length;
    }
    environment[count] = NULL;
    return environment;
}

int main(void)
{
    const size_t size = 1u << 20;
    int pair[2];
    environ = make_environment(size);
    tcp_pair(pair);
    exchange("moved", pair[0], pair[1]);
    say("HOME %s", getenv("HOME") != NULL ? "is there" : "is not there");
    OBSERVE(setenv("COLOR", "blue", 1));
    say("COLOR %s, %s", getenv("COLOR"), secure_getenv("COLOR"));
    say("nothing %s", getenv("WIRESPAN_TEST_OF_NOTHING") == NULL ? "is not there" : "is there");
    environ = make_environment(size);
    say("COLOR %s", getenv("COLOR"));
    OBSERVE(mprotect((void *)environ, size, PROT_NONE));
    return 3;
}
