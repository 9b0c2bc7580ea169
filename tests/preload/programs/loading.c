/* dlopen in all its modes, with run paths and RTLD_DEEPBIND, of a plugin that does I/O. */
#include <dlfcn.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

#include "support.h"

typedef int talk_function(int pair[2]);
typedef const char *dependency_function(void);

static void with(const char *path, int mode, const char *label)
{
    int pair[2];
    say("-- %s", label);
    void *plugin = dlopen(path, mode);
    if (!plugin) {
        say("not loaded");
        return;
    }
    talk_function *talk = FUNCTION(talk_function, dlsym(plugin, "plugin_talk"));
    dependency_function *dependency =
        FUNCTION(dependency_function, dlsym(plugin, "plugin_dependency"));
    REQUIRE(talk && dependency);
    say("dependency: %s", dependency());
    tcp_pair(pair);
    for (int i = 0; i < 3; i++) {
        say("talks: %d", talk(pair));
    }
    exchange("together", pair[0], pair[1]);
    REQUIRE(close(pair[0]) == 0 && close(pair[1]) == 0);
    OBSERVE(dlclose(plugin));
}

static void *load(void *argument)
{
    for (int i = 0; i < 50; i++) {
        void *plugin = dlopen(argument, RTLD_LAZY);
        REQUIRE(plugin && dlclose(plugin) == 0);
    }
    return NULL;
}

int main(void)
{
    char folder[3000], path[3100];
    ssize_t size = readlink("/proc/self/exe", folder, sizeof folder - 1);
    REQUIRE(size > 0);
    folder[size] = 0;
    snprintf(path, sizeof path, "%s/libpreload_plugin.so", dirname(folder));
    with(path, RTLD_LAZY, "lazy");
    with(path, RTLD_NOW | RTLD_LOCAL, "now, local");
    with(path, RTLD_NOW | RTLD_DEEPBIND, "deep bind");
    with(path, RTLD_LAZY | RTLD_GLOBAL | RTLD_NODELETE, "global, stays");
    with(path, RTLD_NOW | RTLD_NOLOAD, "there already");
    with("libpreload_plugin.so", RTLD_NOW, "by its bare name");
    with("/nonexistent.so", RTLD_NOW, "none");
    say("error told: %s", strstr(dlerror(), "nonexistent.so") ? "yes" : "no");
    say("error told once: %s", dlerror() ? "no" : "yes");
    void *program = dlopen(NULL, RTLD_NOW);
    say("the program itself: %s", program ? "loaded" : "not loaded");
    say("bad mode: %s", dlopen(path, 0) ? "loaded" : "not loaded");
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++) {
        threads[i] = start_thread(load, path);
    }
    for (size_t i = 0; i < 3; i++) {
        join_thread(threads[i]);
    }
    void *space = dlmopen(LM_ID_NEWLM, path, RTLD_NOW);
    say("in a space of its own: %s", space ? "loaded" : "not loaded");
    if (space) {
        int pair[2];
        tcp_pair(pair);
        talk_function *talk = FUNCTION(talk_function, dlsym(space, "plugin_talk"));
        REQUIRE(talk);
        say("talks: %d", talk(pair));
        exchange("together", pair[0], pair[1]);
    }
    return 0;
}
