/* The lowest free number is the program's to predict, whatever else goes on in the process; and a
   program that closes everything closes only what is its own. */
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "support.h"

static int count_open(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    REQUIRE(folder);
    while (readdir(folder)) {
        count++;
    }
    REQUIRE(closedir(folder) == 0);
    return count - 3; /* ".", ".." and the folder itself */
}

static void talk(void)
{
    int pair[2];
    char bytes[16];
    tcp_pair(pair);
    REQUIRE(write_all(pair[0], "*1\r\n$4\r\nPING\r\n", 14) && read_all(pair[1], bytes, 14));
    REQUIRE(write_all(pair[1], "+PONG\r\n", 7) && read_all(pair[0], bytes, 7));
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
}

int main(void)
{
    int before = dup(0);
    REQUIRE(close(before) == 0);
    int surprises = 0;
    /* A little over half a second: a first flush and more would fall into it. */
    for (int turn = 0; turn < 600; turn++) {
        if (turn % 20 == 0) {
            talk();
        }
        int file = open("/dev/null", O_RDWR);
        surprises += file != before;
        REQUIRE(write(file, "mine", 4) == 4);
        REQUIRE(close(file) == 0);
        usleep(1000);
    }
    say("surprising numbers: %d, open: %d", surprises, count_open());
    /* Everything closed, and files opened in the place: they must stay the program's own. */
    for (int turn = 0; turn < 5; turn++) {
        talk();
        REQUIRE(close_range(3, ~0u, 0) == 0);
        int files[8];
        for (int i = 0; i < 8; i++) {
            char name[] = "victim0";
            name[6] = (char)('0' + i);
            files[i] = open(name, O_CREAT | O_RDWR | O_TRUNC, 0600);
            REQUIRE(files[i] == 3 + i);
        }
        usleep(100000);
        for (int i = 0; i < 8; i++) {
            REQUIRE(write(files[i], "mine", 4) == 4);
            if (lseek(files[i], 0, SEEK_END) != 4) {
                say("somebody wrote into a file");
            }
            if (close(files[i]) != 0) {
                say("somebody closed a file");
            }
        }
        talk();
    }
    return 0;
}
