/*
 * Matching of one command and its answer with the rules.
 *
 * A capture takes the arguments in pieces, as the framer reports them, and keeps what some rule of
 * that command looks at; the rest passes. When the command is complete one rule is chosen; the
 * answer's items go the same way. No memory but the capture, which fits a slab block.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "rules/rules.h"
#include "wire/json.h"
#include "wire/resp.h"

struct rule_kept {
    uint16_t what; /* a source, or RULE_KEPT_ARGUMENT and an argument's index */
    uint16_t offset;
    uint16_t size;
};

#define RULE_KEPT_ARGUMENT 0x8000u
#define RULE_KEPT_MAX      40u
#define RULE_CAPTURE_TEXT  648u

struct rule_capture {
    uint64_t candidates; /* of the list, a bit each */
    uint16_t rule;       /* that was chosen */
    uint8_t list;
    uint8_t kept_count;
    uint16_t text_used;
    uint16_t target;    /* what the value at hand is kept as; RULE_NO_SOURCE: it is not */
    uint32_t arguments; /* how many the command has, with its name */
    uint32_t keys;      /* of a script */
    uint16_t value_at;  /* where the value at hand begins in `text` */
    bool is_name;       /* the value at hand is a field's name */
    bool is_cut;        /* something did not fit */
    bool is_chosen;     /* what comes is the answer */
    uint16_t wanted;    /* the source whose name was seen: its value is next; RULE_NO_SOURCE */
    uint8_t wanted_depth;
    uint8_t wanted_document; /* the same of JSON: 1 + its number */
    uint32_t wanted_index;
    uint8_t document;    /* 1 + the number of the one that is being read */
    uint16_t member;     /* the source that the value in it is kept as; RULE_NO_SOURCE */
    uint16_t member_at;  /* where it begins in `text` */
    uint16_t whole_size; /* of the value at hand, which is also kept as it is */
    struct {
        uint8_t state;   /* of the msgpack array around the document; 0: there is none */
        uint8_t element; /* at hand, from 1 */
        uint8_t width;   /* bytes of its size to come */
        bool is_text;
        uint32_t size; /* bytes of it to come */
    } pack;
    uint32_t path[RULE_STEPS_MAX + 2]; /* of the answer's item at hand, counted from 1 */
    struct rule_kept kept[RULE_KEPT_MAX];
    union {
        uint8_t text[RULE_CAPTURE_TEXT];
        struct {
            uint8_t text_beside_json[RULE_CAPTURE_TEXT - sizeof(struct json)];
            struct json json; /* while a document is being read */
        };
    };
};

/* What a script itself says leaves room for what is answered. */
#define RULE_SCRIPT_TEXT 440u

/* Beyond so much text the keys of a script that tell nothing new are kept no longer. */
#define RULE_KEYS_TEXT 224u

/* What a rule tells of the job; a slice with NULL data is not known. */
struct rule_facts {
    struct slice values[RULE_VARIABLES];
    uint8_t units[RULE_VARIABLES];
};

/* The list of a command, 0 for none: what a command that no rule names costs. */
static inline uint8_t rules_list_of(const struct rules *rules, uint16_t command_entry)
{
    return rules->list_of[command_entry];
}

/* Whether a rule of the list may fit a command with that first argument: a quick look, before a
   capture is had. */
static inline bool rules_may_fit(const struct rules *rules, uint8_t list, struct slice first)
{
    uint8_t byte = first.size > 0 ? first.data[0] : 0;
    return (rules->lists[list - 1].first_bytes[byte / 64] >> byte % 64 & 1) != 0;
}

/* Begins a command of that list (not 0) with so many arguments, its name included. */
void rules_begin(const struct rules *rules, struct rule_capture *capture, uint8_t list,
                 uint32_t arguments);

/* The next piece of argument `index`. False once no rule can fit any more: the rest need not be
   shown. */
bool rules_argument(const struct rules *rules, struct rule_capture *capture, uint32_t index,
                    struct slice piece, bool last);

/* The command is complete: chooses the first rule that fits. */
bool rules_choose(const struct rules *rules, struct rule_capture *capture);

/* What the command's keys alone tell. The slices borrow from the capture. */
bool rules_keys(const struct rules *rules, const struct rule_capture *capture, uint16_t rule,
                struct rule_facts *facts);

/* An item of the answer. */
void rules_reply_item(const struct rules *rules, struct rule_capture *capture,
                      const struct resp_item *item);

/* The answer is complete: all that the chosen rule tells, or the one behind it that is told by the
   same answer. False if its conditions do not hold. The slices borrow from the capture and the
   rules. */
bool rules_facts(const struct rules *rules, struct rule_capture *capture, uint16_t rule,
                 struct rule_facts *facts);
