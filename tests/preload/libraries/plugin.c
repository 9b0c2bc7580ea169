/* A plugin that does I/O of its own, and needs a library that stands beside it ($ORIGIN). */
#include "plugin.h"

#include <sys/socket.h>
#include <unistd.h>

const char *plugin_dependency_name(void);

const char *plugin_dependency(void)
{
    return plugin_dependency_name();
}

int plugin_talk(int pair[2])
{
    char bytes[16];
    return send(pair[0], "*1\r\n$4\r\nPING\r\n", 14, 0) == 14 &&
           recv(pair[1], bytes, 14, 0) == 14 && write(pair[1], "+PONG\r\n", 7) == 7 &&
           read(pair[0], bytes, 7) == 7;
}
