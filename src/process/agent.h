/*
 * The export by another process: a launcher, or an agent of the machine (WIRESPAN_AGENT).
 *
 * The program asks for an arena when it is loaded, maps it, and keeps no descriptor. After that
 * nothing of ours but the hooks runs in it. An agent that is no longer there is looked for again on
 * leaving socket, connect or accept, at most every few seconds; until then the segment fills, and
 * what finds no room is counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app_thread/attachment.h"
#include "handoff/registration.h"

/* Remembers where to ask, and the environment that the drainer names the program by. Both must stay
   valid. */
void agent_configure(const struct registration_address *address, const char *environment,
                     size_t environment_size);

/* Asks for an arena, when the program is loaded; waits a second at most. */
void agent_attach(void);

/* attachment_renewal: claims a segment of the arena. */
struct segment *agent_renew(struct attachment *page);

/* On leaving socket, connect or accept. */
void agent_after_connection(void);

/* The process was told how its child ended. */
void agent_child_ended(int32_t process_id, int status);

/* The process is about to exec, if it can. */
void agent_before_exec(void);

/* The process ends as this program: no exec that was announced has come about. */
void agent_before_end(void);

/* The process ends: the launcher's own command waits, `timeout_ms` at most, until what it finished
   is exported. */
void agent_finish(uint32_t timeout_ms);
