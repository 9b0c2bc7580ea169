/* Linked statically: nothing is preloaded into it, and nothing is said about that. */
#include <unistd.h>

#include "support.h"

int main(void)
{
    int pair[2];
    tcp_pair(pair);
    exchange("static", pair[0], pair[1]);
    return 0;
}
