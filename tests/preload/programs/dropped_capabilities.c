/* Who gives its capabilities up has given them up in the whole process: the C library asks all
   threads for the same identity, and aborts if they are answered differently. */
#include <grp.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support.h"

int capset(cap_user_header_t header, cap_user_data_t data);

int main(void)
{
    int pair[2];
    tcp_pair(pair);
    exchange("before", pair[0], pair[1]);
    tcp_pair(pair); /* whoever exports has begun */
    exchange("a new connection", pair[0], pair[1]);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    struct __user_cap_header_struct unknown = {.version = 1};
    OBSERVE(capset(&unknown, none));
    OBSERVE(capset(&header, none));
    OBSERVE(setgroups(0, NULL));
    OBSERVE(setresuid(65534, 65534, 65534));
    exchange("after", pair[0], pair[1]);
    return 0;
}
