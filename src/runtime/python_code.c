#include "runtime/python_code.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "base/limits.h"

/* What an instruction is to a loop. */
enum meaning {
    MEANS_NOTHING,
    MEANS_MORE,     /* the next one's argument has this one's bits before it */
    MEANS_BACKWARD, /* jumps back by so many units */
    MEANS_ABSOLUTE, /* jumps to that unit */
    MEANS_FOR,      /* a jump back to here is a `for` */
    MEANS_AWAITED,  /* a jump back to here comes from an exception that ended an `await` */
    MEANS_ASYNC_FOR
};

/* Of a function; the latter is not to be found for every instruction. */
struct looked_at {
    py_object *code; /* is kept, so that no other one has its address */
    bool loops;
    bool loops_at_all; /* by `for`, too */
    bool is_library;
};

static struct {
    bool is_known;
    bool is_usable;
    bool has_caches; /* units of nothing after an instruction */
    uint8_t meanings[256];
    struct looked_at looked_at[LIMIT_WITNESS_CODES];
} python_code;

#define UNIT 2 /* bytes of an instruction */

static void learn(py_object *opcodes, const char *name, enum meaning meaning)
{
    py_object *key = python.PyUnicode_FromString(name);
    py_object *number = key == NULL ? NULL : python.PyDict_GetItem(opcodes, key);
    long opcode = number == NULL ? -1 : python.PyLong_AsLong(number);
    if (opcode >= 0 && opcode < 256) {
        python_code.meanings[opcode] = (uint8_t)meaning;
    }
    python_forget(key);
}

static bool has(py_object *opcodes, const char *name)
{
    py_object *key = python.PyUnicode_FromString(name);
    bool is_there = key != NULL && python.PyDict_GetItem(opcodes, key) != NULL;
    python_forget(key);
    return is_there;
}

/* What Python itself says that its instructions are called. */
static void learn_all(void)
{
    static const char *const backward[] = {"JUMP_BACKWARD", "POP_JUMP_BACKWARD_IF_FALSE",
                                           "POP_JUMP_BACKWARD_IF_TRUE", "POP_JUMP_BACKWARD_IF_NONE",
                                           "POP_JUMP_BACKWARD_IF_NOT_NONE"};
    static const char *const absolute[] = {"JUMP_ABSOLUTE", "POP_JUMP_IF_FALSE",
                                           "POP_JUMP_IF_TRUE"}; /* up to 3.10 */
    py_object *opcodes = python_step(python_module("opcode"), "opmap");
    if (opcodes == NULL) {
        return;
    }
    bool is_absolute = has(opcodes, absolute[0]);
    for (size_t i = 0; i < sizeof(backward) / sizeof(backward[0]); i++) {
        learn(opcodes, backward[i], MEANS_BACKWARD);
    }
    for (size_t i = 0; i < sizeof(absolute) / sizeof(absolute[0]) && is_absolute; i++) {
        learn(opcodes, absolute[i], MEANS_ABSOLUTE);
    }
    learn(opcodes, "EXTENDED_ARG", MEANS_MORE);
    learn(opcodes, "FOR_ITER", MEANS_FOR);
    learn(opcodes, "END_SEND", MEANS_AWAITED);
    learn(opcodes, "END_ASYNC_FOR", MEANS_ASYNC_FOR);
    python_code.has_caches = has(opcodes, "CACHE");
    python_code.is_usable = (is_absolute || has(opcodes, backward[0])) && has(opcodes, "FOR_ITER");
    python_code.is_known = true;
    python_forget(opcodes);
}

/* Whether an instruction jumps back; `place` is told so, and whether it is to something else than
   the head of a `for`. */
static void find_jumps(const uint8_t *code, size_t units, struct looked_at *place)
{
    uint32_t argument = 0;
    for (size_t at = 0; at < units; at++) {
        uint8_t meaning = python_code.meanings[code[at * UNIT]];
        argument = argument << 8 | code[at * UNIT + 1];
        if (meaning == MEANS_MORE) {
            continue;
        }
        size_t next = at + 1;
        while (python_code.has_caches && next < units && code[next * UNIT] == 0) {
            next++;
        }
        size_t target = meaning == MEANS_BACKWARD ? next - argument : argument;
        uint8_t to = target < units ? python_code.meanings[code[target * UNIT]] : MEANS_NOTHING;
        bool is_back = meaning == MEANS_BACKWARD || (meaning == MEANS_ABSOLUTE && target <= at);
        bool loops = meaning == MEANS_ASYNC_FOR || (is_back && to != MEANS_AWAITED);
        place->loops_at_all = place->loops_at_all || loops;
        place->loops = place->loops || (loops && (meaning == MEANS_ASYNC_FOR || to != MEANS_FOR));
        argument = 0;
    }
}

static void find_loops(py_object *code, struct looked_at *place)
{
    py_object *bytes = python_get(code, "co_code");
    if (bytes != NULL && bytes->type == python.PyBytes_Type) {
        const char *text = python.PyBytes_AsString(bytes);
        find_jumps((const uint8_t *)text, (size_t)python.PySequence_Size(bytes) / UNIT, place);
    } else {
        place->loops = true;
        place->loops_at_all = true;
    }
    python_forget(bytes);
}

/* Where Python keeps what is not the program's own. */
static bool find_library(py_object *code)
{
    static const char folder[] = "/lib/python";
    py_object *file = python_get(code, "co_filename");
    const char *path = file == NULL ? NULL : python.PyUnicode_AsUTF8(file);
    bool is_it = path == NULL || path[0] == '<' || strstr(path, folder) != NULL;
    python_forget(file);
    return is_it;
}

static const struct looked_at *look_at(py_object *code)
{
    uint64_t mixed = (uint64_t)(uintptr_t)code * UINT64_C(0x9e3779b97f4a7c15);
    struct looked_at *place = &python_code.looked_at[(mixed >> 40) % LIMIT_WITNESS_CODES];
    if (place->code != code) {
        py_object *before = place->code;
        python.Py_IncRef(code);
        *place = (struct looked_at){.code = code, .is_library = find_library(code)};
        find_loops(code, place);
        python_forget(before);
        python.PyErr_Clear();
    }
    return place;
}

/* The functions that run now, the innermost first, and how many of them are the task's; NULL: all,
   if they are not too many. */
static uint32_t find_functions(py_object *task, py_object *codes[LIMIT_WITNESS_FRAMES])
{
    py_object *first = task == NULL ? NULL : python_step(python_get(task, "_coro"), "cr_code");
    py_object *frame = task != NULL && first == NULL ? NULL : python.PyEval_GetFrame();
    uint32_t count = 0;
    uint32_t at = 0;
    if (frame != NULL) {
        python.Py_IncRef(frame);
    }
    for (; frame != NULL && at < LIMIT_WITNESS_FRAMES; at++) {
        codes[at] =
            (const void *)frame == python._Py_NoneStruct ? NULL : python.PyFrame_GetCode(frame);
        python_forget(codes[at]); /* the frame has it */
        if (codes[at] == NULL) {
            break;
        }
        count = codes[at] == first ? at + 1 : count;
        frame = python_step(frame, "f_back");
    }
    if (task == NULL && at < LIMIT_WITNESS_FRAMES) {
        count = at;
    }
    python_forget(frame);
    python_forget(first);
    return count;
}

bool python_code_is_within(const char *name)
{
    py_object *codes[LIMIT_WITNESS_FRAMES] = {NULL};
    bool is_it = false;
    find_functions(NULL, codes);
    for (uint32_t i = 0; i < LIMIT_WITNESS_FRAMES && codes[i] != NULL && !is_it; i++) {
        is_it = python_is_text(python_get(codes[i], "co_name"), name, strlen(name) + 1);
    }
    python.PyErr_Clear();
    return is_it;
}

bool python_code_serves_at_once(py_object *task)
{
    static const char server[] = "/aiohttp/web_protocol.py";
    py_object *codes[LIMIT_WITNESS_FRAMES + 1] = {NULL};
    uint32_t count = find_functions(task, codes);
    py_object *file = count == 0 ? NULL : python_get(codes[count], "co_filename");
    const char *path = file == NULL ? NULL : python.PyUnicode_AsUTF8(file);
    bool is_it = path != NULL && strstr(path, server) != NULL;
    python_forget(file);
    python.PyErr_Clear();
    return is_it;
}

static bool goes_straight(py_object *task)
{
    py_object *codes[LIMIT_WITNESS_FRAMES];
    if (unlikely(!python_code.is_known)) {
        learn_all();
    }
    uint32_t count = python_code.is_usable ? find_functions(task, codes) : 0;
    bool is_straight = count > 0;
    bool was_own = false;
    for (uint32_t i = count; i > 0 && is_straight; i--) {
        const struct looked_at *function = look_at(codes[i - 1]);
        if (function->is_library && was_own) {
            break;
        }
        was_own = was_own || !function->is_library;
        is_straight = task == NULL ? !function->loops_at_all : !function->loops;
    }
    python.PyErr_Clear();
    return is_straight;
}

bool python_code_goes_straight(py_object *task)
{
    return goes_straight(task);
}

bool python_code_of_greenlet_goes_straight(void)
{
    return goes_straight(NULL);
}
