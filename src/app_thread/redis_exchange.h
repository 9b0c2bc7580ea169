/* Redis exchanges: commands and replies of one client connection become records. */
#pragma once

#include "app_thread/protocol.h"

void redis_exchange_start(struct connection *connection);
void redis_exchange_commands(struct passage *passage, struct slice *in);
void redis_exchange_replies(struct passage *passage, struct slice *in);
void redis_exchange_unseen(struct passage *passage, uint64_t count);
void redis_exchange_end(struct passage *passage);

/* Both directions are held: completes everything open. */
void redis_exchange_finish(struct thread_state *self, struct connection *connection,
                           enum record_error error, int system_error, uint64_t now);

/* Both directions are held: the connection speaks something else after all. From here on it is not
   one of Redis to whoever ends it. */
void redis_exchange_forget(struct connection *connection);
