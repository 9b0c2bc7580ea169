/*
 * Rules: what a command of a job queue means, as data.
 *
 * Text in (docs/rules.md has the language), one table out. The table holds offsets instead of
 * pointers and is never changed once it is complete, so that it can be compiled in, and read by any
 * thread. What a command is matched with is in match.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/slice.h"
#include "wire/json_path.h"

/* What a command does to a job. */
enum rule_action {
    RULE_NONE,
    RULE_SUBMIT,
    RULE_SAVE,  /* stores the job, as part of its submission */
    RULE_CLAIM, /* the answer holds a job, which this process works on from here */
    RULE_READ,  /* tells more of a job */
    RULE_COMPLETE,
    RULE_FAIL,
    RULE_RETRY,
    RULE_REQUEUE,
    RULE_TIMEOUT,
    RULE_CANCEL,
    RULE_PROGRESS,
    RULE_MESSAGE, /* tells others that the job has ended */
    RULE_ARCHIVE,
    RULE_START,           /* a claimed job begins to run */
    RULE_FOLD,            /* bookkeeping: counted on the job, no span */
    RULE_ACK,             /* the same, and perhaps the last that is said of the job */
    RULE_WORKFLOW_CANCEL, /* of no job: a workflow is given up, or was too slow */
    RULE_WORKFLOW_TIMEOUT,
    RULE_ACTIONS
};

/* What can be known of a job. */
enum rule_variable {
    RULE_ID,
    RULE_QUEUE,
    RULE_PREFIX,
    RULE_ENQUEUED, /* when, in the unit that the rule names */
    RULE_TYPE,
    RULE_ATTEMPT,  /* from 1 */
    RULE_ATTEMPTS, /* made before this one */
    RULE_PRIORITY,
    RULE_DELAY,
    RULE_WORKER,
    RULE_ERROR, /* text of the failure */
    RULE_ERROR_TYPE,
    RULE_STACK,
    RULE_PROGRESS_VALUE,
    RULE_CUSTOMER,
    RULE_USER,
    RULE_TIER, /* of the customer: "vip" matters to the tail policy */
    RULE_WORKFLOW,
    RULE_STEP,
    RULE_STEPS,
    RULE_STALLED, /* how often; not among the attempts made */
    RULE_STARTED, /* when this attempt began, by the queue */
    RULE_TRACE,   /* carried context: a trace id, a span id, a traceparent */
    RULE_PARENT,
    RULE_TRACEPARENT,
    RULE_WORKFLOW_TRACE, /* of the workflow that the job is a step of */
    RULE_WORKFLOW_PARENT,
    RULE_TAG,          /* by which a queue acknowledges what it has handed out */
    RULE_CREATED,      /* when it was first made, where it is enqueued more than once */
    RULE_AGAIN,        /* something, if it was begun before */
    RULE_LEFT,         /* attempts that it may still have */
    RULE_CAPABILITIES, /* what a worker says that it can do, when it asks for a job */
    RULE_LIMIT,        /* how many jobs are looked at for it */
    RULE_VARIABLES
};

/* Sets of variables have a bit for each. */
#define RULE_BIT(variable) (UINT64_C(1) << (variable))

/* What completes the name of a job whose id may come again. */
#define RULE_TIMES (RULE_BIT(RULE_ENQUEUED) | RULE_BIT(RULE_CREATED))

/* Where a value stands. Equal sources are one source. */
enum rule_source_kind {
    RULE_SOURCE_ARGUMENT,   /* `position`, counted from 1 behind the command's name */
    RULE_SOURCE_ARGV,       /* of a script: counted from 1 behind its keys */
    RULE_SOURCE_FIELD,      /* what follows the argument `text` in pairs at the command's end */
    RULE_SOURCE_REPLY,      /* the element `step`... of the answer; no step: the answer itself */
    RULE_SOURCE_REPLY_FIELD /* what follows `text` in the pairs of that element */
};

#define RULE_STEPS_MAX 4u

struct rule_source {
    uint8_t kind; /* enum rule_source_kind */
    uint8_t steps;
    uint8_t step[RULE_STEPS_MAX]; /* counted from 1 */
    uint8_t position;             /* RULE_FROM_END + n: the nth from the command's end */
    uint8_t document;             /* 1 + that of its place, where the source is in one */
    uint16_t text;                /* 0: none */
    uint16_t path;   /* text: the value at this path of the JSON that stands there; 0: all */
    uint8_t element; /* of a msgpack array: the JSON stands there; 0: in all of the place */
    bool is_last;    /* of several values at the path the last one counts */
    bool is_stack;   /* more of it is kept */
    bool is_tail;    /* and of what is too long its end */
    bool is_packed;  /* compressed by zlib, in base64: who asks for the fact unpacks it */
};

#define RULE_FROM_END 64u

/* A place that holds JSON, and the tree of all that is wanted of it. The numbers of its paths are
   those of `paths` from `first_path` on: sources. */
struct rule_document {
    uint16_t place; /* a source whose kind, steps, position and text are the place */
    uint16_t first_node;
    uint16_t first_path;
    uint16_t path_count;
};

enum rule_decoding {
    RULE_PLAIN,
    RULE_MSGPACK, /* element `decode_step` of an array */
    RULE_UNTIL    /* what stands before the byte `decode_step`, or the first line */
};

enum rule_unit {
    RULE_UNIT_NONE,
    RULE_UNIT_MS,
    RULE_UNIT_S,
    RULE_UNIT_ISO,
    RULE_UNIT_PACKED /* no time: a traceback, see is_packed */
};

/* A source, and what is done with the bytes; or a word of the rule's own. */
struct rule_value {
    uint16_t source; /* RULE_NO_SOURCE: the word `text` */
    uint16_t text;
    uint8_t decoding; /* enum rule_decoding */
    uint8_t decode_step;
    uint8_t unit; /* enum rule_unit */
    uint8_t variable;
};

#define RULE_NO_SOURCE UINT16_MAX

/* The value is one of `words`, which follow each other in the text. */
struct rule_condition {
    struct rule_value value;
    uint16_t words;
    uint8_t word_count; /* 0: it is there at all */
    bool is_negated;
};

#define RULE_COMMANDS_MAX 6u

struct rule {
    uint16_t line;
    uint8_t file;
    uint8_t queue;
    uint8_t action; /* enum rule_action */
    uint8_t command_count;
    uint8_t key_count;
    uint8_t setting_count;
    uint8_t condition_count;
    bool is_script;
    bool needs_claim; /* only where this process has the job in work */
    bool is_next;     /* what the answer to the rule before tells: that is of another job */
    bool has_next;
    bool is_tentative;  /* a claim, but only if the answer holds such JSON */
    uint16_t first_key; /* in `keys` */
    uint16_t first_setting;
    uint16_t first_condition;
    uint16_t commands[RULE_COMMANDS_MAX]; /* redis_command_entry() */
};

enum rule_queue_flag {
    RULE_QUEUE_FORKS = 1,  /* each job runs in a forked child of the process that claimed it */
    RULE_QUEUE_SERIAL = 2, /* a thread that claims has done with the job that it claimed before */
    RULE_QUEUE_UNIQUE_IDS = 4, /* the id alone never comes again, whatever it looks like */
    RULE_QUEUE_POOL = 8,       /* any thread or process may run and end what one of them claimed */
    RULE_QUEUE_LATE_WORDS =
        16 /* what went wrong is told behind the end, by a message or the archive */
};

struct rule_queue {
    uint16_t name; /* text */
    uint8_t flags; /* enum rule_queue_flag */
    uint8_t reserved;
    uint32_t reserved_too;
    uint64_t identity; /* the set of variables that name a job */
};

/* The rules of one command: a range of `members`. */
struct rule_list {
    uint16_t first;
    uint8_t count;
    bool is_script;
    uint64_t first_bytes[4]; /* with which the first key of some rule begins, a bit each */
    uint32_t argv_positions; /* arguments that some rule looks at, a bit each */
    uint32_t end_positions;  /* the same, counted from the end */
    uint64_t positions;
    uint16_t first_field; /* in `fields`: sources of kind FIELD */
    uint16_t field_count;
    uint16_t first_document; /* in `list_documents` */
    uint16_t document_count;
};

/* An argument of a list's commands that holds JSON, for some of its rules. */
struct rule_list_document {
    uint64_t members; /* of the list, a bit each */
    uint8_t document;
};

/* As many as redis_table.h has slots, and 0 for a command that is in no table. */
#define RULES_ENTRIES 513u
#define RULES_MAGIC   0x31656c7572ull

struct rules {
    uint64_t magic;
    uint16_t rule_count;
    uint16_t queue_count;
    uint16_t list_count;
    uint16_t source_count;
    uint16_t key_count;
    uint16_t setting_count;
    uint16_t condition_count;
    uint16_t member_count;
    uint16_t field_count;
    uint16_t text_used;
    uint16_t document_count;
    uint16_t list_document_count;
    uint16_t path_count;
    uint16_t node_count;
    uint8_t list_of[RULES_ENTRIES]; /* redis_command_entry() to 1 + the list; 0: no rule */
    struct rule_queue queues[LIMIT_RULE_QUEUES];
    struct rule_list lists[LIMIT_RULE_LISTS];
    struct rule rules[LIMIT_RULES];
    struct rule_source sources[LIMIT_RULE_SOURCES];
    struct rule_value settings[LIMIT_RULE_SETTINGS];
    struct rule_condition conditions[LIMIT_RULE_CONDITIONS];
    uint16_t keys[LIMIT_RULE_KEYS];       /* text: patterns */
    uint16_t members[LIMIT_RULE_MEMBERS]; /* rules, in order */
    uint16_t fields[LIMIT_RULE_SOURCES];
    struct rule_document documents[LIMIT_RULE_DOCUMENTS];
    struct rule_list_document list_documents[2 * LIMIT_RULE_DOCUMENTS];
    uint16_t paths[LIMIT_RULE_SOURCES]; /* sources */
    struct json_node nodes[LIMIT_RULE_JSON_NODES];
    char text[LIMIT_RULE_TEXT]; /* strings: size (16 bit, native order), bytes; the first is none */
};

/* In a pattern: this byte, then 1 + the variable that is captured, or RULE_ANYTHING. */
#define RULE_CAPTURE  '\x01'
#define RULE_ANYTHING '\x7f'

struct rules_error {
    uint32_t line;
    char text[200]; /* why, NUL-terminated */
};

void rules_init(struct rules *rules);

/* Adds the rules of one text, which is file number `file` of the caller's. Where several rules fit
   a command, the one that was added first counts. False with `*error` where the text is wrong: the
   table is then of no use. */
bool rules_parse(struct rules *rules, uint8_t file, struct slice text, struct rules_error *error);

/* All texts are in: makes the lists. False where a command has too many rules. */
bool rules_finish(struct rules *rules, struct rules_error *error);

struct slice rules_text(const struct rules *rules, uint16_t offset);

/* Names as they stand in a rule file. */
const char *rules_action_name(enum rule_action action);
const char *rules_variable_name(enum rule_variable variable);
