/* Objects that bring their own TLS library: privately, deeply bound, twice, or none at all. */
#include <dlfcn.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

#include "../libraries/tls_plugin.h"
#include "support.h"

typedef int imitation_function(int size);

static const char *path_of(const char *name)
{
    static char folder[3000], path[3200];
    ssize_t size = readlink("/proc/self/exe", folder, sizeof folder - 1);
    REQUIRE(size > 0);
    folder[size] = 0;
    snprintf(path, sizeof path, "%s/%s", dirname(folder), name);
    return path;
}

static void ask_imitation(const char *name, int mode)
{
    void *user = dlopen(path_of(name), mode);
    REQUIRE(user);
    static const char *const functions[] = {"imitation_read", "imitation_write",
                                            "imitation_pass_on"};
    for (unsigned i = 0; i < 3; i++) {
        imitation_function *ask = FUNCTION(imitation_function, dlsym(user, functions[i]));
        REQUIRE(ask);
        say("%s of %s: %d", functions[i], name, ask(5));
        say("again: %d", ask(6));
    }
    OBSERVE(dlclose(user));
}

static void talk(int mode, const char *label)
{
    int pair[2];
    say("-- %s", label);
    void *plugin = dlopen(path_of("libpreload_tls_plugin.so"), mode);
    REQUIRE(plugin);
    tls_plugin_function *plugin_talk =
        FUNCTION(tls_plugin_function, dlsym(plugin, "tls_plugin_talk"));
    REQUIRE(plugin_talk);
    tcp_pair(pair);
    say("talks: %d", plugin_talk(pair[0], pair[1], 5));
    OBSERVE(dlclose(plugin));
}

int main(void)
{
    /* Two copies with one name, one after the other and together. */
    for (int turn = 0; turn < 3; turn++) {
        ask_imitation("libpreload_imitation_user_1.so", RTLD_LAZY | RTLD_LOCAL);
        ask_imitation("libpreload_imitation_user_2.so", RTLD_NOW | RTLD_LOCAL);
    }
    void *held = dlopen(path_of("libpreload_imitation_user_1.so"), RTLD_NOW | RTLD_LOCAL);
    REQUIRE(held);
    ask_imitation("libpreload_imitation_user_2.so", RTLD_NOW | RTLD_DEEPBIND);
    ask_imitation("libpreload_imitation_user_1.so", RTLD_NOW);
    REQUIRE(dlclose(held) == 0);

    talk(RTLD_NOW | RTLD_LOCAL, "private");
    talk(RTLD_LAZY | RTLD_DEEPBIND, "deeply bound");
    talk(RTLD_NOW | RTLD_GLOBAL, "for all");
    return 0;
}
