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
    MEANS_ASYNC_FOR,
    MEANS_ITERATE, /* what a `for` will run over is there */
    MEANS_LOCAL,
    MEANS_CELL,
    MEANS_GLOBAL,
    MEANS_ATTRIBUTE,
    MEANS_MADE, /* stands there, or was just made */
    MEANS_CALL,
    MEANS_VALUE, /* may stand between what is called and the call */
    MEANS_STORE_LOCAL,
    MEANS_STORE_LOCALS, /* two, or one and a load */
    MEANS_END,          /* of a comprehension that stands in the function itself */
    MEANS_STORE_ATTRIBUTE,
    MEANS_EMPTY /* changes what others see */
};

/* Where the next instruction is. */
enum flow {
    FLOWS_ON,
    FLOWS_ON_OR_FORWARD = 1,
    FLOWS_ON_OR_BACK = 2,
    FLOWS_ON_OR_TO = 3, /* to an absolute one */
    FLOWS_NOT_ON = 4    /* added to those */
};

/* Of a function; the latter is not to be found for every instruction. */
struct looked_at {
    py_object *code; /* is kept, so that no other one has its address */
    bool loops;
    bool loops_at_all; /* by `for`, too */
    bool is_library;
    bool is_looked_at_closer;
    bool begins_again; /* starts what runs it again, or empties what it has not made */
};

static struct {
    bool is_known;
    bool is_usable;
    bool has_caches;   /* units of nothing after an instruction */
    bool tells_global; /* the argument's first bit says something else than the name */
    bool tells_attribute;
    size_t variables_at; /* the word of a frame that is its first variable; 0: not known */
    uint8_t meanings[256];
    uint8_t flows[256]; /* enum flow */
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

static void learn_flow(py_object *opcodes, const char *name, uint8_t flow)
{
    py_object *key = python.PyUnicode_FromString(name);
    py_object *number = key == NULL ? NULL : python.PyDict_GetItem(opcodes, key);
    long opcode = number == NULL ? -1 : python.PyLong_AsLong(number);
    if (opcode >= 0 && opcode < 256) {
        python_code.flows[opcode] |= flow;
    }
    python_forget(key);
}

/* Of the jumps of one kind, those that go back have names that say so. */
static void learn_jumps(py_object *module, const char *kind, enum flow flow)
{
    py_object *jumps = python_get(module, kind);
    py_object *names = python_get(module, "opname");
    intptr_t size = jumps == NULL || names == NULL ? 0 : python.PySequence_Size(jumps);
    for (intptr_t i = 0; i < size; i++) {
        py_object *number = python.PySequence_GetItem(jumps, i);
        long opcode = number == NULL ? -1 : python.PyLong_AsLong(number);
        py_object *name =
            opcode < 0 || opcode > 255 ? NULL : python.PySequence_GetItem(names, opcode);
        const char *text = name == NULL ? NULL : python.PyUnicode_AsUTF8(name);
        if (text != NULL) {
            bool is_back = flow == FLOWS_ON_OR_FORWARD && strstr(text, "BACKWARD") != NULL;
            python_code.flows[opcode] = (uint8_t)(is_back ? FLOWS_ON_OR_BACK : flow);
        }
        python_forget(name);
        python_forget(number);
    }
    python_forget(names);
    python_forget(jumps);
    python.PyErr_Clear();
}

static void learn_flows(py_object *opcodes)
{
    static const char *const ends[] = {
        "RETURN_VALUE", "RETURN_CONST",  "RAISE_VARARGS", "RERAISE",
        "JUMP_FORWARD", "JUMP_ABSOLUTE", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT",
    };
    py_object *module = python_module("opcode");
    learn_jumps(module, "hasjrel", FLOWS_ON_OR_FORWARD);
    learn_jumps(module, "hasjabs", FLOWS_ON_OR_TO);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        learn_flow(opcodes, ends[i], FLOWS_NOT_ON);
    }
    python_forget(module);
}

static void learn_loads(py_object *opcodes)
{
    static const struct {
        const char *name;
        enum meaning meaning;
    } known[] = {
        {"GET_ITER", MEANS_ITERATE},
        {"LOAD_FAST", MEANS_LOCAL},
        {"LOAD_FAST_BORROW", MEANS_LOCAL},
        {"LOAD_DEREF", MEANS_CELL},
        {"LOAD_GLOBAL", MEANS_GLOBAL},
        {"LOAD_ATTR", MEANS_ATTRIBUTE},
        {"LOAD_METHOD", MEANS_ATTRIBUTE},
        {"LOAD_CONST", MEANS_MADE},
        {"BUILD_LIST", MEANS_MADE},
        {"BUILD_TUPLE", MEANS_MADE},
        {"LIST_EXTEND", MEANS_MADE},
        {"CALL", MEANS_CALL},
        {"CALL_FUNCTION", MEANS_CALL},
        {"CALL_METHOD", MEANS_CALL},
        {"PRECALL", MEANS_VALUE},
        {"PUSH_NULL", MEANS_VALUE},
        {"LOAD_SMALL_INT", MEANS_VALUE},
        {"LOAD_FAST_LOAD_FAST", MEANS_VALUE},
        {"LOAD_FAST_BORROW_LOAD_FAST_BORROW", MEANS_VALUE},
        {"BINARY_OP", MEANS_VALUE},
        {"BINARY_ADD", MEANS_VALUE},
        {"BINARY_SUBTRACT", MEANS_VALUE},
        {"STORE_FAST", MEANS_STORE_LOCAL},
        {"STORE_FAST_MAYBE_NULL", MEANS_STORE_LOCAL},
        {"STORE_FAST_STORE_FAST", MEANS_STORE_LOCALS},
        {"STORE_FAST_LOAD_FAST", MEANS_STORE_LOCALS},
        {"SWAP", MEANS_END},
        {"END_FOR", MEANS_END},
        {"POP_ITER", MEANS_END},
        {"POP_TOP", MEANS_END},
        {"STORE_ATTR", MEANS_STORE_ATTRIBUTE},
        {"STORE_GLOBAL", MEANS_EMPTY},
        {"STORE_SLICE", MEANS_EMPTY},
        {"DELETE_SUBSCR", MEANS_EMPTY},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        learn(opcodes, known[i].name, known[i].meaning);
    }
    /* From 3.11 and from 3.12 on. */
    python_code.tells_global = has(opcodes, "CACHE");
    python_code.tells_attribute = has(opcodes, "STORE_SLICE");
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
    learn_loads(opcodes);
    learn_flows(opcodes);
    python_code.has_caches = has(opcodes, "CACHE");
    python_code.is_usable = (is_absolute || has(opcodes, backward[0])) && has(opcodes, "FOR_ITER");
    python_code.is_known = true;
    python_forget(opcodes);
}

/* A unit of a function's code for each bit. */
#define REACHED_UNITS 4096u

struct reached {
    uint64_t bits[REACHED_UNITS / 64];
};

static bool is_reached(const struct reached *reached, size_t at)
{
    return (reached->bits[at / 64] >> at % 64 & 1) != 0;
}

/* Whether that is news. */
static bool reach(struct reached *reached, size_t at, size_t units)
{
    bool is_new = at < units && !is_reached(reached, at);
    if (is_new) {
        reached->bits[at / 64] |= UINT64_C(1) << at % 64;
    }
    return is_new;
}

/* Goes once through what was reached; whether there was more. */
static bool reach_more(const uint8_t *code, size_t units, struct reached *reached)
{
    uint32_t argument = 0;
    bool has_more = false;
    for (size_t at = 0; at < units; at++) {
        uint8_t flow = python_code.flows[code[at * UNIT]];
        argument = argument << 8 | code[at * UNIT + 1];
        size_t next = at + 1;
        if (python_code.meanings[code[at * UNIT]] == MEANS_MORE) {
            has_more = (is_reached(reached, at) && reach(reached, next, units)) || has_more;
            continue;
        }
        while (python_code.has_caches && next < units && code[next * UNIT] == 0) {
            next++;
        }
        size_t target = (flow & 3) == FLOWS_ON_OR_FORWARD ? next + argument
                        : (flow & 3) == FLOWS_ON_OR_BACK  ? next - argument
                                                          : argument;
        if (is_reached(reached, at)) {
            has_more = ((flow & FLOWS_NOT_ON) == 0 && reach(reached, next, units)) || has_more;
            has_more = ((flow & 3) != FLOWS_ON && reach(reached, target, units)) || has_more;
        }
        argument = 0;
    }
    return has_more;
}

/* Whether the instruction at `from` comes after the one at `to` without an exception: what handles
   one lies behind the function, and jumps back to where that goes on. */
static SLOW bool comes_again(const uint8_t *code, size_t units, size_t from, size_t to)
{
    struct reached reached = {{0}};
    if (units > REACHED_UNITS || to >= units) {
        return true;
    }
    reach(&reached, to, units);
    while (!is_reached(&reached, from) && reach_more(code, units, &reached)) {
    }
    return is_reached(&reached, from);
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
        bool loops = meaning == MEANS_ASYNC_FOR ||
                     (is_back && to != MEANS_AWAITED &&
                      (to == MEANS_FOR || comes_again(code, units, at, target)));
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

/* ---- what a function's loops run over ---- */

/* A function, as it is looked at. */
struct function {
    const uint8_t *code;
    size_t units;
    py_object *names;
    py_object *frame; /* in which it runs */
};

static bool is_any(const char *text, const char *const *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, wanted[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_name(py_object *names, uint32_t at, const char *const *wanted, size_t count)
{
    py_object *name = python.PySequence_GetItem(names, (intptr_t)at);
    const char *text = name == NULL ? NULL : python.PyUnicode_AsUTF8(name);
    bool is_it = text != NULL && is_any(text, wanted, count);
    python_forget(name);
    if (text == NULL) {
        python.PyErr_Clear();
    }
    return is_it;
}

static uint8_t meaning_at(const struct function *function, size_t at)
{
    return python_code.meanings[function->code[at * UNIT]];
}

/* The instruction before that one; false: there is none, or its argument has more than a byte. */
static bool step_back(const struct function *function, size_t *at)
{
    size_t before = *at;
    do {
        if (before == 0) {
            return false;
        }
        before--;
    } while (python_code.has_caches && function->code[before * UNIT] == 0);
    *at = before;
    return before == 0 || meaning_at(function, before - 1) != MEANS_MORE;
}

/* Whether the call that ends before `at` makes a container: its function lies before its
   arguments. */
static bool makes_container(const struct function *function, size_t at)
{
    static const char *const makers[] = {"range", "list", "tuple", "sorted", "set"};
    static const char *const asked[] = {"items", "keys", "values", "split", "splitlines"};
    uint32_t calls = 0;
    uint32_t called = 0;
    while (step_back(function, &at)) {
        uint8_t meaning = meaning_at(function, at);
        uint32_t argument = function->code[at * UNIT + 1];
        if (meaning == MEANS_CALL) {
            calls++;
        } else if (meaning == MEANS_GLOBAL && ++called == calls) {
            return is_name(function->names, argument >> python_code.tells_global, makers,
                           sizeof(makers) / sizeof(makers[0]));
        } else if (meaning == MEANS_ATTRIBUTE) {
            return ++called == calls &&
                   is_name(function->names, argument >> python_code.tells_attribute, asked,
                           sizeof(asked) / sizeof(asked[0]));
        } else if (meaning != MEANS_GLOBAL && meaning != MEANS_LOCAL && meaning != MEANS_CELL &&
                   meaning != MEANS_MADE && meaning != MEANS_VALUE) {
            return false;
        }
    }
    return false;
}

#define FRAME_WORDS  48 /* of which the first variable is one */
#define FRAME_INNER  24 /* where a frame has the one that the interpreter uses, from 3.11 on */
#define CELL_CONTENT 16

/* Where the interpreter keeps the variables of a function that runs. */
static const char *words_of(const py_object *frame)
{
    const char *words = (const char *)frame;
    if (python_code.has_caches) {
        memcpy(&words, words + FRAME_INNER, sizeof(words));
    }
    return words;
}

static const py_object *word_of(const char *words, size_t at)
{
    uintptr_t word;
    memcpy(&word, words + at * sizeof(word), sizeof(word));
    return (const py_object *)(word & ~(uintptr_t)1); /* 3.14: whether it is counted */
}

void python_code_learn_variables(py_object *frame, const py_object *first)
{
    if (unlikely(!python_code.is_known)) {
        learn_all();
    }
    const char *words = words_of(frame);
    for (size_t at = 0; at < FRAME_WORDS && python_code.variables_at == 0; at++) {
        if (word_of(words, at) == first) {
            python_code.variables_at = at;
        }
    }
}

static const py_object *variable_of(const struct function *function, uint32_t at)
{
    const py_object *value = python_code.variables_at == 0 ? NULL
                                                           : word_of(words_of(function->frame),
                                                                     python_code.variables_at + at);
    return ((uintptr_t)value & 3) != 0 ? NULL : value;
}

/* Of a variable that functions share. */
static const py_object *content_of(const py_object *value)
{
    if (value != NULL && value->type == python.PyCell_Type) {
        memcpy(&value, (const char *)value + CELL_CONTENT, sizeof(value));
    }
    return value;
}

static bool is_container(const py_object *object)
{
    const void *const types[] = {python.PyTuple_Type, python.PyBytes_Type, python.PyList_Type,
                                 python.PyDict_Type,  python.PySet_Type,   python.PyUnicode_Type};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (object != NULL && object->type == types[i]) {
            return true;
        }
    }
    return false;
}

/* Of the same, and of ranges. */
static bool is_iterator(const py_object *object)
{
    static const char *const iterators[] = {
        "list_iterator",      "tuple_iterator",     "range_iterator", "dict_itemiterator",
        "dict_keyiterator",   "dict_valueiterator", "set_iterator",   "str_iterator",
        "str_ascii_iterator", "bytes_iterator"};
    py_object *name =
        object == NULL ? NULL : python_get((py_object *)(uintptr_t)object->type, "__name__");
    const char *text = name == NULL ? NULL : python.PyUnicode_AsUTF8(name);
    bool is_it = text != NULL && is_any(text, iterators, sizeof(iterators) / sizeof(iterators[0]));
    python_forget(name);
    return is_it;
}

/* Whether what is stored at `at` was made by the function: a list that stands there, or a
   comprehension, which is called with what it runs over or ends in the function itself. */
static bool stores_made(const struct function *function, size_t at)
{
    if (!step_back(function, &at)) {
        return false;
    }
    if (meaning_at(function, at) == MEANS_CALL) {
        do {
            if (!step_back(function, &at)) {
                return false;
            }
        } while (meaning_at(function, at) == MEANS_VALUE);
        return meaning_at(function, at) == MEANS_ITERATE;
    }
    return meaning_at(function, at) == MEANS_MADE || meaning_at(function, at) == MEANS_END;
}

/* Whether the variable has what the function was given, or has made itself. */
static bool is_own_variable(const struct function *function, uint32_t variable)
{
    for (size_t at = 0; at < function->units; at++) {
        uint8_t meaning = meaning_at(function, at);
        uint32_t argument = function->code[at * UNIT + 1];
        if ((meaning == MEANS_STORE_LOCAL && argument == variable && !stores_made(function, at)) ||
            (meaning == MEANS_STORE_LOCALS &&
             ((argument & 15) == variable || argument >> 4 == variable))) {
            return false;
        }
    }
    return true;
}

#define STEPS_TO_ITERATE 8 /* what a comprehension puts aside before it begins */

/* Whether the loop whose head is at `at` runs over a container. */
static bool is_over_container(const struct function *function, size_t at)
{
    bool is_there = step_back(function, &at);
    uint32_t argument = function->code[at * UNIT + 1];
    if (is_there && meaning_at(function, at) == MEANS_LOCAL) {
        return is_iterator(variable_of(function, argument)); /* a comprehension, up to 3.11 */
    }
    for (int i = 0; i < STEPS_TO_ITERATE && is_there && meaning_at(function, at) != MEANS_ITERATE;
         i++) {
        is_there = step_back(function, &at);
    }
    if (!is_there || meaning_at(function, at) != MEANS_ITERATE) {
        return false;
    }
    size_t made = at;
    if (!step_back(function, &at)) {
        return false;
    }
    argument = function->code[at * UNIT + 1];
    const py_object *value;
    switch (meaning_at(function, at)) {
    case MEANS_MADE:
        return true;
    case MEANS_CALL:
        return makes_container(function, made);
    case MEANS_LOCAL:
        return is_own_variable(function, argument) && is_container(variable_of(function, argument));
    case MEANS_CELL:
        value = python_code.has_caches ? variable_of(function, argument) : NULL;
        return is_container(content_of(value));
    default:
        return false;
    }
}

static long number_of(py_object *object, const char *name)
{
    py_object *number = python_get(object, name);
    long value = number == NULL ? -1 : python.PyLong_AsLong(number);
    python_forget(number);
    return value;
}

/* Whether all loops that the function is in the middle of run over containers. */
static bool stays_in_containers(const struct function *function)
{
    long last = number_of(function->frame, "f_lasti");
    uint32_t argument = 0;
    if (last < 0) {
        return false;
    }
    for (size_t at = 0; at < (size_t)last / UNIT && at < function->units; at++) {
        uint8_t meaning = meaning_at(function, at);
        argument = argument << 8 | function->code[at * UNIT + 1];
        if (meaning == MEANS_MORE) {
            continue;
        }
        size_t end = at + 2 + argument; /* with what may lie behind the head */
        if (meaning == MEANS_FOR && (size_t)last / UNIT <= end &&
            !is_over_container(function, at)) {
            return false;
        }
        argument = 0;
    }
    return true;
}

/* The same of the function that runs in that frame. */
static bool runs_over_containers(py_object *frame, py_object *code)
{
    py_object *bytes = python_get(code, "co_code");
    struct function function = {.names = python_get(code, "co_names"), .frame = frame};
    bool is_it = false;
    if (bytes != NULL && bytes->type == python.PyBytes_Type && function.names != NULL) {
        function.code = (const uint8_t *)python.PyBytes_AsString(bytes);
        function.units = (size_t)python.PySequence_Size(bytes) / UNIT;
        is_it = stays_in_containers(&function);
    }
    python_forget(function.names);
    python_forget(bytes);
    python.PyErr_Clear();
    return is_it;
}

/* ---- what a function does to others ---- */

/* Whether the function changes what it has not made, in a way that empties it. */
static bool empties(const struct function *function)
{
    uint64_t loaded = 0;
    uint64_t stored = 0;
    for (size_t at = 0; at < function->units; at++) {
        uint8_t meaning = meaning_at(function, at);
        uint32_t argument = function->code[at * UNIT + 1];
        if (meaning == MEANS_EMPTY) {
            return true;
        }
        if (meaning == MEANS_ATTRIBUTE) {
            argument >>= python_code.tells_attribute;
            loaded |= argument < 64 ? UINT64_C(1) << argument : UINT64_MAX;
        } else if (meaning == MEANS_STORE_ATTRIBUTE) {
            stored |= argument < 64 ? UINT64_C(1) << argument : UINT64_MAX;
        }
    }
    return (loaded & stored) != 0;
}

static bool names_any(py_object *names, const char *const *wanted, size_t count)
{
    intptr_t size = names == NULL ? 0 : python.PySequence_Size(names);
    for (intptr_t i = 0; i < size; i++) {
        if (is_name(names, (uint32_t)i, wanted, count)) {
            return true;
        }
    }
    return false;
}

/* Whether the function starts something, and that is itself; it may be a variable of an outer one.
 */
static bool starts_itself(py_object *code, py_object *names)
{
    static const char *const starts[] = {"start", "start_new_thread"};
    py_object *own = python_get(code, "co_name");
    py_object *free = python_get(code, "co_freevars");
    const char *name = own == NULL ? NULL : python.PyUnicode_AsUTF8(own);
    bool is_it = name != NULL && names_any(names, starts, sizeof(starts) / sizeof(starts[0])) &&
                 (names_any(names, &name, 1) || names_any(free, &name, 1));
    python_forget(free);
    python_forget(own);
    return is_it;
}

static bool changes_others(py_object *code)
{
    static const char *const names[] = {"clear", "pop",    "popleft", "popitem",
                                        "map",   "filter", "reduce"};
    py_object *bytes = python_get(code, "co_code");
    struct function function = {.names = python_get(code, "co_names")};
    bool is_it = true;
    if (bytes != NULL && bytes->type == python.PyBytes_Type && function.names != NULL) {
        function.code = (const uint8_t *)python.PyBytes_AsString(bytes);
        function.units = (size_t)python.PySequence_Size(bytes) / UNIT;
        is_it = empties(&function) || starts_itself(code, function.names) ||
                names_any(function.names, names, sizeof(names) / sizeof(names[0]));
    }
    python_forget(function.names);
    python_forget(bytes);
    return is_it;
}

static bool find_library(py_object *code);

/* Whether that is a function of the program's that does so. */
static bool is_changing(const py_object *value)
{
    if (value == NULL || value->type != python.PyFunction_Type) {
        return false;
    }
    py_object *code = python_get((py_object *)(uintptr_t)value, "__code__");
    bool is_it = code == NULL || (!find_library(code) && changes_others(code));
    python_forget(code);
    return is_it;
}

#define VARIABLES_LOOKED_AT 16

static uint32_t size_of(py_object *code, const char *name)
{
    py_object *sequence = python_get(code, name);
    intptr_t size = sequence == NULL ? 0 : python.PySequence_Size(sequence);
    python_forget(sequence);
    return (uint32_t)size;
}

/* The same of what the function's variables, the first ones, have as a method by that name. */
static bool has_changing(const struct function *function, uint32_t variables, py_object *name)
{
    for (uint32_t at = 0; at < variables && at < VARIABLES_LOOKED_AT; at++) {
        const py_object *value = content_of(variable_of(function, at));
        if (value != NULL && is_changing(python.find_in_type(value->type, name))) {
            return true;
        }
    }
    return false;
}

/* The same of functions that it names: global ones, and methods. */
static bool names_changing(py_object *frame, py_object *code)
{
    struct function function = {.frame = frame, .names = python_get(code, "co_names")};
    py_object *globals = python_get(frame, "f_globals");
    uint32_t variables = (uint32_t)number_of(code, "co_nlocals") + size_of(code, "co_cellvars") +
                         size_of(code, "co_freevars");
    bool is_it = function.names == NULL || globals == NULL;
    intptr_t size = is_it ? 0 : python.PySequence_Size(function.names);
    for (intptr_t i = 0; i < size && !is_it; i++) {
        py_object *name = python.PySequence_GetItem(function.names, i);
        is_it = name == NULL || is_changing(python.PyDict_GetItem(globals, name)) ||
                has_changing(&function, variables, name);
        python_forget(name);
    }
    python_forget(globals);
    python_forget(function.names);
    return is_it;
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

static struct looked_at *look_at(py_object *code)
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

/* The function that runs in the frame: what is asked of those of threads. */
static struct looked_at look_closer(py_object *frame, py_object *code)
{
    struct looked_at *place = look_at(code);
    if (python.find_in_type == NULL || python_code.variables_at == 0) {
        place->begins_again = true; /* cannot be told */
    } else if (!place->is_library && !place->is_looked_at_closer) {
        place->is_looked_at_closer = true;
        place->begins_again = changes_others(code) || names_changing(frame, code);
        python.PyErr_Clear();
    }
    return *place;
}

const void *python_code_thread_goes_straight(void)
{
    if (unlikely(!python_code.is_known)) {
        learn_all();
    }
    py_object *frame = python_code.is_usable ? python.PyEval_GetFrame() : NULL;
    const void *first = NULL;
    bool is_straight = frame != NULL;
    if (frame != NULL) {
        python.Py_IncRef(frame);
    }
    for (uint32_t i = 0; is_straight; i++) {
        if (frame == NULL || (const void *)frame == python._Py_NoneStruct) {
            break;
        }
        py_object *code = python.PyFrame_GetCode(frame);
        struct looked_at function = look_closer(frame, code);
        first = function.is_library ? first : code;
        if (first != NULL) {
            is_straight = i < LIMIT_WITNESS_FRAMES && !function.loops &&
                          (function.is_library || !function.begins_again) &&
                          (!function.loops_at_all || runs_over_containers(frame, code));
        }
        python_forget(code); /* the frame has it, or what was looked at */
        frame = python_step(frame, "f_back");
    }
    python_forget(frame);
    python.PyErr_Clear();
    return is_straight ? first : NULL;
}

/* ---- what a thread is begun with ---- */

enum { SLOT_NEXT = 63, SLOT_TRAVERSE = 71 }; /* of the stable ABI */

static int visit_given(py_object *object, void *argument)
{
    bool *brings_more = argument;
    *brings_more = *brings_more || python.PyType_GetSlot(object->type, SLOT_NEXT) != NULL;
    return 0;
}

bool python_code_brings_more(py_object *given)
{
    bool brings_more = false;
    py_traverse *traverse = NULL;
    void *slot = python.PyType_GetSlot(given->type, SLOT_TRAVERSE);
    memcpy(&traverse, &slot, sizeof(slot));
    if (traverse != NULL) {
        traverse(given, visit_given, &brings_more);
    }
    python.PyErr_Clear();
    return brings_more;
}
