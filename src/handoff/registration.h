/*
 * How a program receives its arena: one message each way over a sequenced-packet socket, when the
 * program is loaded. The drainer knows by the kernel's word who asks (SO_PEERCRED).
 *
 * The address is the value of WIRESPAN_AGENT:
 *
 *     /path/of/the/socket     or     @abstract-name#token
 *
 * The token, 32 hexadecimal digits, is what a drainer without permissions on its socket asks for:
 * an abstract name can be seen by everybody.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define REGISTRATION_MAGIC   0x72656e6165736977ull
#define REGISTRATION_VERSION 2u
#define REGISTRATION_TOKEN   16u /* bytes */
/* Those of sockaddr_un. */
#define REGISTRATION_PATH 108u

struct registration_hello {
    uint64_t magic;
    uint32_t version;
    int32_t process_id;  /* as the program knows itself */
    uint32_t is_loading; /* the program begins: what its process was before has ended by exec */
    uint32_t reserved;
    uint8_t token[REGISTRATION_TOKEN];
};

enum registration_flag {
    REGISTRATION_IS_COMMAND = 1u << 0 /* the launcher's own command: its end waits for the export */
};

/* With two descriptors: the arena, and a page that begins with the doorbell. */
struct registration_answer {
    uint64_t magic;
    uint32_t version;
    uint32_t flags; /* of enum registration_flag */
    uint64_t arena_size;
};

struct registration_address {
    uint8_t name[REGISTRATION_PATH]; /* of sockaddr_un; an abstract one begins with a NUL */
    size_t name_size;
    uint8_t token[REGISTRATION_TOKEN];
};

/* Reads WIRESPAN_AGENT's value. False if it is no address. */
bool registration_parse_address(struct slice text, struct registration_address *address);
