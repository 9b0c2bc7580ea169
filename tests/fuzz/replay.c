/* Runs a fuzz target once for each file of the folders given, without libFuzzer. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static void replay_file(const char *path)
{
    struct stat status;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fstat(fileno(file), &status) != 0) {
        perror(path);
        exit(2);
    }
    size_t size = (size_t)status.st_size;
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (data == NULL || fread(data, 1, size, file) != size) {
        perror(path);
        exit(2);
    }
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    for (int i = 1; i < argc; i++) {
        struct dirent **entries;
        int found = scandir(argv[i], &entries, NULL, alphasort);
        for (int j = 0; j < found; j++) {
            char path[4096];
            if (entries[j]->d_name[0] != '.') {
                snprintf(path, sizeof(path), "%s/%s", argv[i], entries[j]->d_name);
                /* Said before, so that a crash names its input. */
                printf("%s\n", path);
                fflush(stdout);
                replay_file(path);
                count++;
            }
            free(entries[j]);
        }
        if (found >= 0) {
            free(entries);
        }
    }
    printf("%u inputs\n", count);
    return count > 0 ? 0 : 1;
}
