#include "app_thread/hooks/originals.h"

#include <dlfcn.h>
#include <string.h>

#include "base/symbol_versions.h"

#define HOOK(family, type, name, parameters) type(*original_##name) parameters;
#define STUB(family, type, name, parameters) HOOK(family, type, name, parameters)
#include "app_thread/hooks/hooks.def"
#undef HOOK
#undef STUB

/* Stores through a copy: ISO C has no conversion from an object pointer to a function pointer. */
static void resolve(void *into, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found != NULL) {
        memcpy(into, &found, sizeof(found));
    }
}

SLOW void originals_resolve(void)
{
#define HOOK(family, type, name, parameters) resolve(&original_##name, #name);
#define STUB(family, type, name, parameters) HOOK(family, type, name, parameters)
#include "app_thread/hooks/hooks.def"
#undef HOOK
#undef STUB
}
