/*
 * What official builds of Node export, and is called here: Node-API, and a few of V8's functions.
 * Types and numbers are those of their headers, under the names of Node-API where it has one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_ref__ *napi_ref;
typedef struct napi_handle_scope__ *napi_handle_scope;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value napi_callback(napi_env env, napi_callback_info info);
/* v8::Local<T> is one pointer and is passed as such. */
typedef void *v8_local;
typedef void v8_isolate;
typedef void promise_hook(int event, v8_local promise, v8_local parent);

/* v8::Location is two ints, the line and the column, and comes as one word. */

/* v8::HandleScope is three words; the rest is room for what a debug build may add. */
struct v8_handle_scope {
    void *words[8];
};

#define NODE_FUNCTIONS(X)                                                                          \
    X(int, napi_call_function,                                                                     \
      (napi_env, napi_value receiver, napi_value function, size_t count, const napi_value *values, \
       napi_value *result))                                                                        \
    X(int, napi_add_env_cleanup_hook, (napi_env, void (*hook)(void *), void *argument))            \
    X(int, napi_close_handle_scope, (napi_env, napi_handle_scope))                                 \
    X(int, napi_create_function,                                                                   \
      (napi_env, const char *name, size_t size, napi_callback *, void *data, napi_value *))        \
    X(int, napi_create_double, (napi_env, double, napi_value *))                                   \
    X(int, napi_create_reference, (napi_env, napi_value, uint32_t count, napi_ref *))              \
    X(int, napi_create_string_utf8, (napi_env, const char *, size_t, napi_value *))                \
    X(int, napi_create_uint32, (napi_env, uint32_t, napi_value *))                                 \
    X(int, napi_delete_reference, (napi_env, napi_ref))                                            \
    X(int, napi_get_and_clear_last_exception, (napi_env, napi_value *))                            \
    X(int, napi_get_cb_info,                                                                       \
      (napi_env, napi_callback_info, size_t * count, napi_value * values, napi_value * self,       \
       void **data))                                                                               \
    X(int, napi_get_boolean, (napi_env, bool, napi_value *))                                       \
    X(int, napi_get_element, (napi_env, napi_value, uint32_t, napi_value *))                       \
    X(int, napi_get_reference_value, (napi_env, napi_ref, napi_value *))                           \
    X(int, napi_get_undefined, (napi_env, napi_value *))                                           \
    X(int, napi_get_value_bool, (napi_env, napi_value, bool *))                                    \
    X(int, napi_get_value_int32, (napi_env, napi_value, int32_t *))                                \
    X(int, napi_get_value_string_latin1, (napi_env, napi_value, char *, size_t, size_t *))         \
    X(int, napi_get_value_string_utf8, (napi_env, napi_value, char *, size_t, size_t *))           \
    X(int, napi_get_value_uint32, (napi_env, napi_value, uint32_t *))                              \
    X(int, napi_open_handle_scope, (napi_env, napi_handle_scope *))                                \
    X(int, napi_run_script, (napi_env, napi_value, napi_value *))                                  \
    X(int, napi_throw, (napi_env, napi_value))                                                     \
    X(int, napi_typeof, (napi_env, napi_value, int *))

#define CXX_FUNCTIONS(X)                                                                           \
    X(v8_isolate *, isolate_try_get_current, (void), "_ZN2v87Isolate13TryGetCurrentEv")            \
    X(bool, isolate_in_context, (v8_isolate *), "_ZN2v87Isolate9InContextEv")                      \
    X(v8_local, isolate_get_current_context, (v8_isolate *),                                       \
      "_ZN2v87Isolate17GetCurrentContextEv")                                                       \
    X(void, handle_scope_begin, (struct v8_handle_scope *, v8_isolate *),                          \
      "_ZN2v811HandleScopeC1EPNS_7IsolateE")                                                       \
    X(void, handle_scope_end, (struct v8_handle_scope *), "_ZN2v811HandleScopeD1Ev")               \
    X(v8_local, object_new, (v8_isolate *), "_ZN2v86Object3NewEPNS_7IsolateE")                     \
    X(bool, is_running_microtasks, (v8_isolate *),                                                 \
      "_ZN2v815MicrotasksScope19IsRunningMicrotasksEPNS_7IsolateE")                                \
    X(v8_local, current_stack_trace, (v8_isolate *, int frames, int options),                      \
      "_ZN2v810StackTrace17CurrentStackTraceEPNS_7IsolateEiNS0_17StackTraceOptionsE")              \
    X(int, frame_count, (v8_local trace), "_ZNK2v810StackTrace13GetFrameCountEv")                  \
    X(v8_local, frame_at, (v8_local trace, v8_isolate *, uint32_t),                                \
      "_ZNK2v810StackTrace8GetFrameEPNS_7IsolateEj")                                               \
    X(napi_value, function_name, (v8_local frame), "_ZNK2v810StackFrame15GetFunctionNameEv")       \
    X(int, script_id, (v8_local frame), "_ZNK2v810StackFrame11GetScriptIdEv")                      \
    X(uint64_t, location, (v8_local frame), "_ZNK2v810StackFrame11GetLocationEv")                  \
    X(napi_value, script_name, (v8_local frame), "_ZNK2v810StackFrame13GetScriptNameEv")           \
    X(void, set_promise_hook, (v8_isolate *, promise_hook *),                                      \
      "_ZN2v87Isolate14SetPromiseHookEPFvNS_15PromiseHookTypeENS_5LocalINS_7PromiseEEENS2_INS_"    \
      "5ValueEEEE")                                                                                \
    X(int, promise_state, (v8_local promise), "_ZN2v87Promise5StateEv")                            \
    X(bool, is_undefined, (v8_local value), "_ZNK2v85Value15FullIsUndefinedEv")                    \
    X(bool, is_same, (v8_local value, v8_local other),                                             \
      "_ZNK2v85Value12StrictEqualsENS_5LocalIS0_EE")                                               \
    X(napi_value, promise_result, (v8_local promise), "_ZN2v87Promise6ResultEv")                   \
    X(void *, node_current_environment, (v8_local context),                                        \
      "_ZN4node21GetCurrentEnvironmentEN2v85LocalINS0_7ContextEEE")                                \
    X(double, node_execution_async_id, (v8_isolate *),                                             \
      "_ZN4node29AsyncHooksGetExecutionAsyncIdEPN2v87IsolateE")                                    \
    X(void, register_module,                                                                       \
      (v8_local exports, v8_local module, v8_local context,                                        \
       napi_value(*start)(napi_env, napi_value), int32_t version),                                 \
      "_Z30napi_module_register_by_symbolN2v85LocalINS_6ObjectEEENS0_INS_5ValueEEENS0_INS_"        \
      "7ContextEEEPFP12napi_value__P10napi_env__S8_Ei")

#define NAPI_VERSION 8
#define TYPE_STRING  4
#define TYPE_OBJECT  6

/* v8::PromiseHookType, v8::Promise::PromiseState */
enum { PROMISE_MADE = 0, PROMISE_RESOLVED = 1, PROMISE_BEFORE = 2, PROMISE_AFTER = 3 };
enum { PROMISE_FULFILLED = 1 };

struct node_api {
#define FIELD(result, name, arguments)           result(*name) arguments;
#define FIELD_CXX(result, name, arguments, text) result(*name) arguments;
    NODE_FUNCTIONS(FIELD)
    CXX_FUNCTIONS(FIELD_CXX)
#undef FIELD
#undef FIELD_CXX
};

extern struct node_api node;

/* Whether this program is Node: it exports its functions, and those of libuv. */
bool node_api_is_there(void);

/* Finds all of them. False: one is missing. Once, at the start. */
bool node_api_resolve(void);
