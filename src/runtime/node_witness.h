/*
 * Node as a witness (app_thread/witness.h).
 *
 * Node carries a value with asynchronous work: an AsyncLocalStorage. When a thread of Node's serves
 * HTTP requests and makes connections, or claims jobs, a script of ours is run in its context. It
 * keeps a storage of its own, puts a number into it when a request begins, and reads it where one
 * is made; it learns of both through diagnostics channels, which Node publishes for this purpose.
 * Nothing of it keeps the process from ending. A server that calls nobody pays nothing.
 *
 * Requests, by number, are kept here. Which bytes a request made by http or fetch became is told by
 * its method and target. The storage at the time of the write is asked only where these are not
 * enough, and for what no channel announces (ioredis); there it is not believed when the code that
 * runs sends what others have collected: in an immediate, after a connect, on a connection that was
 * made for the same request.
 *
 * Two clients of Redis collect commands of many and send them in a turn of one. node-redis
 * publishes each command when it is asked for, and it is found again by its name and first argument
 * (cause_of_command). ioredis's automatic pipelines stand in a map of each client, which is asked
 * for the pipeline right before a command is added to it, and loses it when it is sent: the map is
 * given two methods of its own that note who asks, and hand the numbers over in order (collect).
 *
 * A storage follows whoever takes work up, not who handed it over. So while several requests are in
 * work it is looked at what a turn does with the promises of others (node_witness.js): what limits
 * how much is done at a time begins work for whom waits for it, or for nobody that is known. What a
 * timer of one request does with a list that all write into is not seen, but that others wait for
 * nothing that they have begun themselves is; nor is what a loop does that a request has begun, but
 * that another one wakes it is.
 *
 * A message from a WebSocket that names whose work it is was read for the callback that runs next:
 * a hook of async_hooks that is there for that one callback puts its number into the storage. Where
 * ws decompresses it the hook goes on to the callbacks of its handle of zlib's.
 *
 * Jobs of BullMQ's that this thread has claimed have numbers, too (node_jobs.h). What is kept of
 * one thread is in node_testimony.h.
 */
#pragma once

#include <stdbool.h>

/* Makes Node the witness if this program is one. NULL if it is done or this is no Node, else why it
   cannot be. To be called once, before observation is switched on. With `tells` what fails later is
   said on stderr, once. */
const char *node_witness_prepare(bool tells);
