/* What the plugin needs. It opens a third library by its bare name, which is found through its own
   run path only if dlopen is seen to be called from here. */
#include <dlfcn.h>

const char *plugin_dependency_name(void);

const char *plugin_dependency_name(void)
{
    void *third = dlopen("libpreload_third.so", RTLD_NOW);
    if (!third) {
        return dlerror();
    }
    const char *const *name = dlsym(third, "third_name");
    return name ? *name : "no name";
}
