/* How far the witness of a process's language runtime (app_thread/witness.h) has come, for who
   looks at the process from outside. */
#pragma once

enum witness_state {
    WITNESS_NONE,       /* no runtime that could be one, it is switched off, or nothing was told */
    WITNESS_NODE_WAITS, /* for the first connection of a thread that serves, or the first job */
    WITNESS_NODE_TELLS,
    WITNESS_NODE_LACKS_FUNCTION, /* one that is needed is not exported */
    WITNESS_NODE_LACKS_MODULES,  /* process.getBuiltinModule, which came with 20.16 and 22.3 */
    WITNESS_NODE_FAILED,         /* the script did not run */
    WITNESS_PYTHON_WAITS,        /* for the first request that a loop serves */
    WITNESS_PYTHON_TELLS,
    WITNESS_PYTHON_LACKS_FUNCTION,
    WITNESS_PYTHON_HAS_NO_LOCK, /* a build for free threading */
    WITNESS_PYTHON_DIFFERS,     /* its contexts are not laid out as they are read */
    WITNESS_STATE_COUNT
};
