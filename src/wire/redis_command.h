/*
 * What an observer must know of a Redis command: how it is answered, and which of its arguments
 * may be shown (db.query.text is made by allow-list: the command, its keys, field names and
 * options; everything else is '?'). redis_commands.def is that list. What is shown is valid UTF-8
 * without blanks: blanks, control characters and bytes that are no UTF-8 are written \xHH, a
 * backslash is doubled, an empty argument is "".
 *
 * A `struct redis_command` takes a command's arguments in pieces, as the framer reports them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/slice.h"
#include "wire/sha1.h"

/* How the command acts on the pairing of commands and replies (propagation.md calls these states
   of one connection). */
enum redis_effect {
    REDIS_PLAIN,
    REDIS_MULTI,
    REDIS_EXEC,
    REDIS_DISCARD,
    REDIS_SUBSCRIBE,   /* SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE: one confirmation for each channel */
    REDIS_UNSUBSCRIBE, /* and their opposites; one at least */
    REDIS_SELECT,      /* `number` is the database */
    REDIS_HELLO,       /* `number` is the protocol asked for, 0 if none */
    REDIS_RESET,
    REDIS_REPLY_ON, /* CLIENT REPLY ON | OFF | SKIP */
    REDIS_REPLY_OFF,
    REDIS_REPLY_SKIP,
    REDIS_MONITOR,
    REDIS_SYNC, /* SYNC, PSYNC: a replication stream follows */
    REDIS_QUIT,
    REDIS_SHUTDOWN,    /* no reply on success */
    REDIS_PING,        /* answered differently in RESP2 subscribed mode */
    REDIS_SCRIPT_LOAD, /* the reply is the script's sha1 */
    REDIS_JOB          /* plain, but a rule looks at it; never in the table */
};

struct redis_command {
    uint8_t effect;      /* enum redis_effect; final once the command is complete */
    bool blocking;       /* BLPOP and its kin, XREAD BLOCK, WAIT: the time is a wait */
    bool has_script;     /* EVAL, EVALSHA, FCALL and their _RO forms */
    bool pubsub_pattern; /* (UN)SUBSCRIBE: the pattern form */
    bool pubsub_shard;
    bool text_cut;     /* the end of `text` is missing */
    uint8_t mode;      /* what is done with the argument at hand */
    uint8_t word_used; /* the argument at hand, as far as it must be known */
    uint8_t utf8_used; /* bytes of an unfinished character behind `text` */
    uint8_t hashing;
    uint16_t pattern;   /* what the next argument is */
    uint16_t name_used; /* the name as sent, cut to its array */
    uint16_t text_used;
    uint16_t script_used;
    uint16_t entry;     /* redis_command_entry() of the name; 0: not known */
    uint32_t keys_left; /* of those that were announced by number */
    uint32_t arguments; /* complete ones, the name included */
    uint32_t channels;  /* SUBSCRIBE and UNSUBSCRIBE: how many are named */
    int64_t number;     /* see enum redis_effect; EVAL and kin: numkeys */
    char name[24];      /* printable ASCII: other bytes are '?' */
    char script[64];    /* EVALSHA: the sha1 as sent; EVAL, SCRIPT LOAD: the body's sha1, unless
                           it is longer than LIMIT_SCRIPT_BYTES; FCALL: the function */
    char word[32];
    char text[LIMIT_QUERY_TEXT]; /* valid UTF-8 */
    struct sha1 sha1;
};

/* The number of a command by its name, in upper or lower case, from 1 to 512; 0: no command that is
   known. */
uint16_t redis_command_entry(struct slice name);

void redis_command_init(struct redis_command *command);

/* The next piece of argument `index` (0 is the name) whose whole length is `size`, 0 if that is not
   known; `last` tells that the argument is complete. Pieces come in order, none is left out but
   where bytes passed without being seen. */
void redis_command_argument(struct redis_command *command, uint32_t index, struct slice piece,
                            uint64_t size, bool last);

/* All arguments are in: fills `script` for EVAL, fixes `effect`, `blocking`, `number`. */
void redis_command_finish(struct redis_command *command);

/* All of it at once, for a command whose arguments lie whole in memory: init, each argument,
 * finish. */
void redis_command_take(struct redis_command *command, const struct slice arguments[],
                        uint32_t count);

/* The prefix of an error line (without '-'): the first word if it is upper case letters (digits and
   '_' allowed after the first), else "ERR". */
struct slice redis_error_prefix(struct slice line);
