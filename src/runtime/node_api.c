#include "runtime/node_api.h"

#include <dlfcn.h>

#include "base/symbol_versions.h"

struct node_api node;

/* Node exports its functions, and those of libuv. */
extern const char uv_fileno[] __attribute__((weak));

bool node_api_is_there(void)
{
    const char *volatile uv = uv_fileno;
    return uv != NULL && dlsym(RTLD_DEFAULT, "napi_module_register") != NULL;
}

bool node_api_resolve(void)
{
    bool is_whole = true;
#define RESOLVE(result, name, arguments)                                                           \
    *(void **)&node.name = dlsym(RTLD_DEFAULT, #name);                                             \
    is_whole = is_whole && node.name != NULL;
#define RESOLVE_CXX(result, name, arguments, text)                                                 \
    *(void **)&node.name = dlsym(RTLD_DEFAULT, text);                                              \
    is_whole = is_whole && node.name != NULL;
    NODE_FUNCTIONS(RESOLVE)
    CXX_FUNCTIONS(RESOLVE_CXX)
#undef RESOLVE
#undef RESOLVE_CXX
    return is_whole;
}
