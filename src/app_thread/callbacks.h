/*
 * What the process folder lends to the hooks: the moments at which something beyond observing may
 * have to happen. Set once at start, before observation is switched on.
 */
#pragma once

struct callbacks {
    /* On leaving socket, connect or accept: the worker's thread may be started here. */
    void (*after_connection)(void);
    /* Before the process ends in a way that runs no exit handlers, and before exec. Bounded in
       time; must be callable in a signal handler. */
    void (*before_end)(void);
};

extern struct callbacks callbacks;
