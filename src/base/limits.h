/* Every maximum, with its reason. A test stands on each edge. */
#pragma once

#include <stdint.h>

/* A descriptor above this is passed through unobserved and counted: the kernel's default
   fs.nr_open, so a process needs an administrator's help to get there. */
#define LIMIT_DESCRIPTORS (1u << 20)

/* Bytes of connection state and buffers that one process may use: 56 MiB hold 57,344 open
   connections at 1 KiB each. */
#define LIMIT_SLAB_BYTES (64u << 20)
/* Of these, kept for connections and for buffers each: what was once of one kind stays so, and
   without any of the other nothing is observed any more. */
#define LIMIT_SLAB_SHARE (8u << 20)
/* The slab grows by this much: a larger reservation fails under `ulimit -v`. */
#define LIMIT_SLAB_STEP (64u << 10)

/* Unanswered exchanges on one connection. Beyond it the connection is desynchronised: a peer
   that never answers must not hold memory. */
#define LIMIT_PIPELINE 16384u

/* Confirmations of subscriptions on one connection that nobody has read yet: a program may
   subscribe for each job that it submits and never look. What comes beyond holds no record. */
#define LIMIT_UNCONFIRMED 64u

/* A connection that pipelines and went adrift is read again after so much quiet: a server that has
   answered something leaves nothing else unanswered for so long. */
#define LIMIT_ADRIFT_QUIET_NS UINT64_C(1000000000)

/* Bytes of one direction that wait until another thread has framed what it sent: the answers to one
   call's requests. Beyond it the connection goes adrift. */
#define LIMIT_HELD_BYTES (64u << 10)

/* A tracestate that is passed on: what W3C Trace Context, 3.3.1.5, asks for at least. A baggage:
   the same of W3C Baggage, 3.3.2. */
#define LIMIT_TRACESTATE      512u
#define LIMIT_BAGGAGE         8192u
#define LIMIT_BAGGAGE_MEMBERS 64u
/* Requests in work at a time that came with one of them. One more takes the place of the oldest,
   whose calls then go without. */
#define LIMIT_CARRIED 512u
/* What may have been the cause of a span without parent: with more requests open in the process a
   link to each says nothing. Of a forked child, so many of its first spans have one. */
#define LIMIT_CANDIDATES 4u
/* The latest requests that may be such: with so few open, the open ones are among them but where
   one lasts for longer than many others. */
#define LIMIT_CANDIDATE_PLACES 64u

/* Of a tracestate, what a span shows: whole members, beside the other text of a record. */
#define LIMIT_TRACESTATE_TEXT 160u

/* Variables of a program that is started, where some are added: those of a pod beside five hundred
   services. */
#define LIMIT_CHILD_VARIABLES 4096u
/* Threads that start one at the same moment, each with 41 KiB, of which few are touched. */
#define LIMIT_CHILD_AREAS 8u

/* A head into which context is written: more than any client sends, and looked at before each call.
 */
#define LIMIT_INJECT_HEAD_BYTES (16u << 10)
/* Buffers of one call into which it is written: they are listed anew on the stack. Subversion lists
   39 for its first request, four for each field. */
#define LIMIT_INJECT_PARTS 48u
/* The same of a call into which the context of a job is written: they are listed once more below
   all that makes a command's span. */
#define LIMIT_CARRYING_PARTS 14u
/* Connections at a time on which the kernel took a part of what is written. With half of them taken
   nothing more is written, so that each thread that is sending finds room. */
#define LIMIT_INJECT_OWED 2048u
/* Requests over TLS at a time into which it is being written: as many threads may wait in their
   library, and as many sessions to be called again. Beyond it requests go as they are. Half of the
   places may be taken by what GnuTLS remembers; beyond that a program that calls it again without
   its bytes loses the exchange. */
#define LIMIT_TLS_INSERTIONS 64u

/* One HTTP head, all its lines: what common servers accept at most. */
#define LIMIT_HTTP_HEAD_BYTES (64u << 10)
/* The part of a header line that is kept when the line arrives in pieces. */
#define LIMIT_HTTP_LINE_CARRY 1024u
/* A method token; the longest registered one has 17 bytes. */
#define LIMIT_HTTP_METHOD 32u
/* A field's name, and the line of a field on which the framing depends: they must be seen whole
   even if they come in pieces, and no honest one is longer. */
#define LIMIT_HTTP_FRAMING_LINE 256u
/* A chunk-size line with its extensions. */
#define LIMIT_HTTP_CHUNK_LINE 4096u

/* Nesting of RESP aggregates: deeper than any reply of a real server. */
#define LIMIT_RESP_DEPTH 16u
/* The part of a RESP line (an integer, an error text) that is kept. */
#define LIMIT_RESP_LINE 96u
/* proto-max-bulk-len's default. */
#define LIMIT_RESP_BULK_BYTES (512u << 20)
/* Longest inline command line that a server reads. */
#define LIMIT_RESP_INLINE_BYTES (64u << 10)
/* A script's body is hashed up to this length, which takes less than a millisecond: several times
   the largest script of a job queue. */
#define LIMIT_SCRIPT_BYTES (256u << 10)

/* Text of one Redis command (db.query.text), of a URL, of a captured header. */
#define LIMIT_QUERY_TEXT  160u
#define LIMIT_TARGET_TEXT 256u
#define LIMIT_HEADER_TEXT 96u

/* What rules of job queues may hold all together: several times what the shipped ones do. */
#define LIMIT_RULES           224u
#define LIMIT_RULE_QUEUES     24u
#define LIMIT_RULE_LISTS      64u
#define LIMIT_RULE_SOURCES    448u
#define LIMIT_RULE_SETTINGS   896u
#define LIMIT_RULE_CONDITIONS 256u
#define LIMIT_RULE_KEYS       896u
#define LIMIT_RULE_MEMBERS    512u
#define LIMIT_RULE_TEXT       (16u << 10)
/* Places that hold JSON, and the names on all paths into them. */
#define LIMIT_RULE_DOCUMENTS  32u
#define LIMIT_RULE_JSON_NODES 384u
#define LIMIT_RULE_FILE_BYTES (64u << 10)
/* Rules of one command: a bit each of one word. */
#define LIMIT_RULES_OF_COMMAND 64u
/* Keys of one script that are looked at: the largest of the known queues has 14. */
#define LIMIT_RULE_SCRIPT_KEYS 16u
/* A value that a rule names, a job's id or the text of its failure: beyond it is cut. */
#define LIMIT_RULE_VALUE 160u
/* And of where a failure came from: what a record has room for beside the job's name. */
#define LIMIT_RULE_STACK 288u
/* The same as it is written down, compressed and in base64: a traceback of a dozen frames. */
#define LIMIT_RULE_PACKED 600u
/* Jobs of one process that are known at a time, in work or done a moment ago: more than one process
   works on at once. Beyond, a job's commands are spans, but there is none of the job. */
#define LIMIT_JOBS 512u

/* Commands of jobs in one transaction whose effect is told by EXEC's answer: a thousand jobs that
   are submitted at once, a quarter of a segment's records. What else is queued counts when it is.
 */
#define LIMIT_QUEUED_JOBS 1024u

/* A job whose queue tells no ends, as far as was seen, ends with what was last said of it: after
   longer than nearly all jobs take, so that the first ones of a queue that does are waited for. */
#define LIMIT_JOB_SILENCE_NS (30ull * 1000000000ull)
/* And as many of them: more than pools have processes, and so few that each one's place in the
   memory that a pool shares is found. */
#define LIMIT_SILENT_JOBS 128u
/* How long the record of a failed job waits, in a loop, for the word of what went wrong: much
   longer than from one command to the next. */
#define LIMIT_JOB_WORDS_NS (1000000000ull)

/* Nesting of a JSON document that is read: many times what services say, and less than what common
   readers take. */
#define LIMIT_JSON_DEPTH 512u
/* Steps of a path into such a document, and the bytes of a member's name in it. */
#define LIMIT_JSON_STEPS 8u
#define LIMIT_JSON_KEY   28u
/* The name of a server-sent event that is kept: the longest known one has 46 bytes, and is told
   apart by fewer. */
#define LIMIT_SSE_NAME 48u

/* The farthest that DEFLATE reaches back (RFC 1951), and the pieces in which memory for it is lent:
   slab buffers, so that a short text takes one. */
#define LIMIT_INFLATE_WINDOW (32u << 10)
#define LIMIT_INFLATE_PAGE   1024u
/* The part of the slab that may be lent for it: 240 long texts at a time, thousands of usual
   answers. A server that answers everything with long ones must leave room for what else is read.
 */
#define LIMIT_INFLATE_SHARE (8u << 20)
/* What one body or message is decompressed to at most, the rest is not read: an image of a million
   pixels in base64 is shorter. It takes a thread 20 ms, over all the calls that receive it; a
   thousandth of it, as a usual answer is, 20 microseconds. */
#define LIMIT_INFLATE_TEXT (4u << 20)

/* Connections that are prepared and not used yet, at a time: from the one to the other it is a
   moment, so that more than there are threads are enough. */
#define LIMIT_PREPARED 256u

/* A message that is looked into for the context that it carries: longer ones carry what was made,
   not what is to be done. */
#define LIMIT_MESSAGE_CONTEXT (64u << 10)
/* Compressed messages in a row that carried none, after which the connection's are not decompressed
   any more: that costs ten times what reading them does. */
#define LIMIT_MESSAGES_UNTRACED 64u

/* Runs of services that one process waits for at a time: more than one service works on at once.
   The one that was quiet for longest ends as unknown. */
#define LIMIT_RUNS 64u
/* Messages of one run that are spans, the rest is counted: a view shows no more at a glance, and a
   sampler of a thousand steps sends a thousand. */
#define LIMIT_RUN_MESSAGES 32u

/* Different questions of jobs, of one process, that may be asked again: of as many jobs as there
   are one each. How long the first answer waits for that, longer than nearly all programs do
   between two questions; and what is too long an answer to such a question. */
#define LIMIT_POLLS     64u
#define LIMIT_POLL_NS   (10ull * 1000000000ull)
#define LIMIT_POLL_BODY (64u << 10)

/* Files that jobs have uploaded, of all processes that one exporter serves, which may be asked for
   to see whether they are delivered: that is done soon after. */
#define LIMIT_UPLOADS 256u

/* First bytes looked at before a connection is called opaque. */
#define LIMIT_IDENTIFY_BYTES 32u

/* TLS sessions whose connection is known: half of the connections that one process may have. */
#define LIMIT_TLS_SESSIONS 32768u
/* Handshakes going on at once over transports whose descriptor the library does not know. */
#define LIMIT_TLS_HELLOS 8192u
/* The part of a ClientHello up to the end of its random bytes (RFC 8446, 4.1.2). */
#define LIMIT_TLS_HELLO_BYTES 43u
/* Calls in which a session's connection is looked for: over what is no socket there is none. */
#define LIMIT_TLS_TRIES 32u
/* Code pages from which a TLS library is called, at a time; beyond, the loader is asked again. */
#define LIMIT_TLS_CALLERS 512u
/* Copies of one TLS library in a process: beyond, the loader is asked at every call. */
#define LIMIT_TLS_LIBRARIES 16u
/* Loaded objects looked at for a TLS library that its caller's scope does not show. */
#define LIMIT_TLS_OBJECTS 1024u

/* Exchanges of one thread that wait for what libcurl tells of them: one call into it seldom
   completes more. Beyond it they are handed over as they are. */
#define LIMIT_PARKED 64u
/* Handles of libcurl of which it is known what they were told. Beyond it new ones are left alone.
 */
#define LIMIT_CURL_HANDLES 4096u
/* Transfers at a time that libcurl is asked to send a context with. */
#define LIMIT_ANNOUNCEMENTS 256u
/* Lines of a program's header list that are looked at. */
#define LIMIT_HEADER_LIST 200u

/* Connections that carry the calls of a request whose turns are its own: more than clients open to
   one server, by several servers. */
#define LIMIT_SOLE_CONNECTIONS 64u
/* So many requests must have been answered by the threads that read them, one after the other,
   before a thread's request is believed to be its work while there are others: a pool that passes
   them on answers that many by chance once in a thousand starts. */
#define LIMIT_READERS_SHOWN 4
/* Who was seen to pass one on is believed again after so many: it does so now and then. */
#define LIMIT_READERS_DOUBTED 1000

/* An epoll descriptor above this may hold anything: loops are made before connections. */
#define LIMIT_EPOLL_DESCRIPTORS 1024u
/* Descriptors that epoll knows by something else, and the places of those names: a loop that serves
   more than so many serves more than one request. */
#define LIMIT_EPOLL_NAMES 1024u
/* What a loop's timeout may be off by: two roundings to whole milliseconds. */
#define LIMIT_TIMER_ROUNDING_NS UINT64_C(2000000)
/* By default, how long and for how many spans a request is a parent: a stream that never ends must
   not make a trace that never ends, and viewers break at tens of thousands. */
#define LIMIT_CONTEXT_SECONDS 3600u
#define LIMIT_CONTEXT_SPANS   10000u

/* One record of the segment: 10 cache lines. */
#define LIMIT_RECORD_BYTES 640u
/* Records of one process that exports by itself: 2.5 MiB. A burst of as many exchanges finds room.
 */
#define LIMIT_SEGMENT_SLOTS 4096u
/* Records of one process that exports by a launcher or an agent, whose drainer does nothing else:
   1.25 MiB. */
#define LIMIT_ARENA_SLOTS 2048u
/* Segments of one arena: a program and the children that it forks and that use sockets, at one
   time. One more asks for an arena of its own. All together 46 MiB of addresses: 64 MiB fail under
   the `ulimit -v` of common batch systems. */
#define LIMIT_ARENA_PLACES 32u
/* The variables of a program's environment that are of interest here. */
#define LIMIT_ENVIRONMENT_BYTES (64u << 10)
/* States looked at in search of a free record where a thread stands, and as many elsewhere, before
   the exchange is counted as lost. */
#define LIMIT_SLOT_PROBES 512u
/* Rings per segment: threads are spread over them so that they seldom share a cache line. */
#define LIMIT_SEGMENT_RINGS 8u

/* Ways out at once: OTLP, console, file. */
#define LIMIT_TRANSPORTS 3u
/* Encoded spans that wait for one way out: ten thousand of 1.6 KiB. */
#define LIMIT_QUEUE_BYTES (16u << 20)
/* The queue's memory grows by this much. */
#define LIMIT_QUEUE_CHUNK (64u << 10)
/* One export request: gRPC receivers refuse more than 4 MiB unless told otherwise. */
#define LIMIT_BATCH_BYTES (3u << 20)
/* What waits to be judged by its whole trace: a hundred thousand usual records, which is a minute
   of two thousand a second. Beyond, what was quiet for longest is judged by what is known. */
#define LIMIT_TAIL_BYTES (32u << 20)
/* Traces that link to each other and are judged as one: as many as `view` draws as one. */
#define LIMIT_TAIL_JOINED 64u
/* Judged traces that are remembered, for what comes late: 5 MiB. What is forgotten is judged anew,
   and a fraction comes out the same. */
#define LIMIT_TAIL_REMEMBERED 65536u
/* Submissions whose requests have not ended yet, and those of the last that have: a process serves
   fewer requests at a time that submit jobs. */
#define LIMIT_BACKLINKS 256u
/* Workflows whose start was seen, and steps that were submitted: those of a day, of which as many
   are open at a time as a busy process has. */
#define LIMIT_WORKFLOWS      512u
#define LIMIT_WORKFLOW_STEPS 1024u
/* Rules of one text of profiles, and attributes that they add: several times what the shipped one
   has. */
#define LIMIT_PROFILE_RULES     128u
#define LIMIT_PROFILE_ADDITIONS 256u
/* Records taken from one segment before batches are made of them, while they are in the cache. */
#define LIMIT_DRAIN_PASS 1024u
/* Passes in one step: twice what a segment holds. */
#define LIMIT_DRAIN_PASSES 8u
/* Segments of one exporter: more processes than one machine's launcher will see. */
#define LIMIT_SEGMENTS 4096u

/* Attributes of a resource, and all their text: these come from the process's environment. */
#define LIMIT_RESOURCE_ATTRIBUTES 96u
#define LIMIT_RESOURCE_TEXT       (16u << 10)

/* OTLP's own limits: a larger request is not sent, a larger answer is not read. */
#define LIMIT_EXPORT_REQUEST_BYTES  (64u << 20)
#define LIMIT_EXPORT_RESPONSE_BYTES (4u << 20)
/* What gRPC servers take by default. */
#define LIMIT_USUAL_GRPC_MESSAGE_BYTES (4u << 20)
/* A receiver's wish to wait longer is cut to this: the Collector gives a batch up after 300 s. */
#define LIMIT_RETRY_AFTER_MS 300000u
/* Sockets of one export: two address families, a second connection that replaces a dead one, the
   resolver's pair, and room. */
#define LIMIT_EXPORT_SOCKETS 8u

/* Looking a receiver's name up: as many as the C library's resolver takes of each. */
#define LIMIT_NAME_SERVERS   3u
#define LIMIT_NAME_SEARCH    6u
#define LIMIT_NAME_BYTES     254u /* RFC 1035: 253 characters */
#define LIMIT_NAME_ADDRESSES 8u
/* An answer over UDP without EDNS is at most 512 bytes; some servers send more all the same. */
#define LIMIT_NAME_ANSWER_BYTES 4096u

/* `wirespan view` keeps so many spans, in so many bytes of memory; beyond, the trace that was quiet
   for longest is dropped and counted: a terminal shows no more to anybody. */
#define LIMIT_VIEW_SPANS 200000u
#define LIMIT_VIEW_BYTES (256u << 20)
/* Text of one attribute, name or message that it keeps: more than a terminal's width, many times.
 */
#define LIMIT_VIEW_TEXT 1024u
/* Attributes, events and links of a span that it keeps: the defaults of OTEL_SPAN_*_COUNT_LIMIT. */
#define LIMIT_VIEW_ATTRIBUTES 128u
#define LIMIT_VIEW_EVENTS     128u
#define LIMIT_VIEW_LINKS      128u
/* Services and reasons of loss that it counts apart; what comes after is counted as "(others)". */
#define LIMIT_VIEW_SERVICES 256u
#define LIMIT_VIEW_LOSSES   64u
/* Traces linked both ways that it draws as one. */
#define LIMIT_VIEW_JOINED 64u
/* Levels of a tree that it indents: beyond, half a line would be empty. */
#define LIMIT_VIEW_DEPTH 16u
/* Nesting of a received message: attributes hold few levels, and decoding takes stack for each. */
#define LIMIT_VIEW_NESTING 32u
/* Clients of one viewer at a time. */
#define LIMIT_VIEW_CONNECTIONS 128u
/* Complaints about bad input of one source that are said one by one; the rest are counted. */
#define LIMIT_VIEW_COMPLAINTS 10u

/* `wirespan doctor` looks into files up to this size: several times the largest runtime's. */
#define LIMIT_DOCTOR_FILE_BYTES (512u << 20)
/* A name or path in such a file: the kernel's PATH_MAX; C++ mangles longer ones, which are none of
   those looked for. */
#define LIMIT_DOCTOR_TEXT 4096u
/* Objects of one program, and entries of one that name others: many times those of a browser. */
#define LIMIT_DOCTOR_OBJECTS 1024u
/* Scripts that are the interpreter of the one before: the kernel follows four, and env(1) may stand
   between. */
#define LIMIT_DOCTOR_STEPS 8u
/* The first line of a script that the kernel reads. */
#define LIMIT_DOCTOR_SCRIPT_LINE 256u
/* The environment, memory map and auxiliary vector of a process: what the kernel lets a program be
   started with is a little more. */
#define LIMIT_DOCTOR_PROC_BYTES (4u << 20)
/* ---- witnesses, for each thread of a runtime's ---- */
/* Requests that a read brought and the runtime has not begun: what one read can hold of small ones
   that are pipelined. More are without a number. */
#define LIMIT_WITNESS_UNBEGUN 64u
/* Requests, or commands, that were announced and not seen yet: what a program asks for in one turn.
   More of them, and as many of one call, are not told apart from what is alike. */
#define LIMIT_WITNESS_ANNOUNCED 4096u
/* Counts of those by a part of their keys, so that most are found without looking at all. */
#define LIMIT_WITNESS_ALIKE 1024u
/* Bits for those that were more: one bit makes a fraction of all requests parentless, until as many
   were sent. */
#define LIMIT_WITNESS_FORGOTTEN 4096u
/* Connections of which is known on whose behalf the last transaction was begun: a client of Redis's
   has one or a few. */
#define LIMIT_WITNESS_TRANSACTIONS 64u
/* Commands that ioredis collected and sends in one go: the others have no parent. */
#define LIMIT_WITNESS_COLLECTED 1024u
/* Requests whose work can still be told; as old a one has been answered or hangs. */
#define LIMIT_WITNESS_BEGUN 4096u
/* How many that began last are looked at for whether others are in work: of older ones alone it is
   not asked. */
#define LIMIT_WITNESS_OVERLAPPING 64u
/* The same requests in Python, with the tasks that they have begun and the things that were taken
   from queues. */
#define LIMIT_WITNESS_NUMBERS 8192u
/* Of these, how many requests in a row are left where they are because they are still open. */
#define LIMIT_WITNESS_OPEN 64u
/* Names of scripts are paths; of a longer one the end is not looked at. */
#define LIMIT_WITNESS_SCRIPT 512u
/* Scripts of which is known whose they are. */
#define LIMIT_WITNESS_SCRIPTS 256u
/* Functions of a program's of which is known whether they loop: those that run in tasks. */
#define LIMIT_WITNESS_CODES 512u
/* Functions that are in the middle of calling each other; a task that is deeper is not judged. */
#define LIMIT_WITNESS_FRAMES 64u
/* Contexts of Python's that are entered in each other: a task of a task that begins at once. */
#define LIMIT_WITNESS_WITHIN 16u
/* Jobs that were claimed and are not begun: a worker claims as many as it may work on before it
   begins the first. The oldest is forgotten. */
#define LIMIT_WITNESS_CLAIMED 512u
/* Events of promises that are looked at after a claim: thousands of times what lies between it and
   the job's beginning. Whoever has not begun by then never will, and is forgotten. */
#define LIMIT_WITNESS_PROMISES 20000u
/* Jobs that were handed out and not taken: as many as one turn brings. */
#define LIMIT_WITNESS_HANDED 64u
/* How often a program is looked at for pools of threads and processes: it matters from the first
   item on, and costs a microsecond. */
#define LIMIT_WITNESS_LOOK_NS 10000000u
/* The id of a job that a pool's thread or process is handed; a UUID has 36. */
#define LIMIT_WITNESS_JOB_ID 128u
/* Items of work in the queues of pools of threads; where there are more, some are nobody's. */
#define LIMIT_WITNESS_HANDED_OVER 1024u
/* Threads that requests have started and that have not sent anything yet; where there are more,
   some are nobody's. */
#define LIMIT_WITNESS_THREADS 512u
/* Threads of which each was started by the one before; one that lies deeper is nobody's. */
#define LIMIT_WITNESS_THREADS_DEEP 4u
/* Deques that were looked at, whether a queue uses them: those that a program uses all the time. */
#define LIMIT_WITNESS_DEQUES 1024u
/* Queues through which threads or tasks hand work to each other. One that was not used for the
   longest time is forgotten, and what is in it is nobody's. */
#define LIMIT_WITNESS_QUEUES 512u
/* Queues, each by its connection, whose workers say themselves which job they begin. */
#define LIMIT_WITNESS_SOURCES 256u
/* Classes of workers: BullMQ's own, once for each copy in the program, and what is derived of it.
 */
#define LIMIT_WITNESS_WORKERS 16u
/* Claims for which every promise is looked at, since a job was not begun by a worker that says so.
 */
#define LIMIT_WITNESS_UNKNOWN 64u
/* Jobs in a row that nothing begins: the program works on them in a way of its own. */
#define LIMIT_WITNESS_UNBEGUN_JOBS 8u
/* Commands that one call sends whose parent has yet to be proven; more have none. */
#define LIMIT_WITNESS_DOUBTS 64u
/* Futures between a request's own task and one that it waits for, with those beside the way. */
#define LIMIT_WITNESS_WAITING 48u
/* The target of an announced request; longer ones are without a parent. */
#define LIMIT_WITNESS_TARGET 512u
/* Connections of which is known on whose behalf they were made: it matters while that request is
   being served. */
#define LIMIT_WITNESS_MADE 4096u
