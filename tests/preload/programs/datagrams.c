/* UDP is left alone, connected or not, whatever its bytes look like. */
#include <netinet/in.h>
#include <unistd.h>

#include "support.h"

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    char bytes[256] = {0};
    static const char request[] = "GET /datagram HTTP/1.1\r\nHost: localhost\r\n\r\n";
    int receiver = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(bind(receiver, (struct sockaddr *)&address, size) == 0);
    REQUIRE(getsockname(receiver, (struct sockaddr *)&address, &size) == 0);
    int sender = socket(AF_INET, SOCK_DGRAM, 0);
    OBSERVE_AS("no address", send(sender, "x", 1, 0));
    OBSERVE(sendto(sender, request, sizeof request - 1, 0, (struct sockaddr *)&address, size));
    struct sockaddr_in from;
    socklen_t from_size = sizeof from;
    OBSERVE(recvfrom(receiver, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &from_size));
    say("%s", memcmp(bytes, request, sizeof request - 1) == 0 ? "as sent" : "different");
    OBSERVE(sendto(receiver, "back", 4, 0, (struct sockaddr *)&from, from_size));
    OBSERVE(recv(sender, bytes, 2, MSG_TRUNC));
    OBSERVE(connect(sender, (struct sockaddr *)&address, size));
    OBSERVE(send(sender, request, sizeof request - 1, 0));
    OBSERVE(write(sender, request, 10));
    OBSERVE(recv(receiver, bytes, sizeof bytes, 0));
    OBSERVE(read(receiver, bytes, sizeof bytes));
    OBSERVE(recv(receiver, bytes, sizeof bytes, MSG_DONTWAIT));
    OBSERVE(close(receiver));
    OBSERVE_AS("to nobody", send(sender, "x", 1, 0));
    OBSERVE_AS("the refusal", send(sender, "x", 1, 0));
    OBSERVE(recv(sender, bytes, 1, MSG_DONTWAIT));
    static char large[70000];
    OBSERVE(send(sender, large, sizeof large, 0));
    struct sockaddr unspecified = {.sa_family = AF_UNSPEC};
    OBSERVE(connect(sender, &unspecified, sizeof unspecified));
    OBSERVE_AS("no address again", send(sender, "x", 1, 0));
    return 0;
}
