/* The subcommands of `wirespan`, one file each; the table is in main.c. */
#pragma once

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Each runs with its own arguments, argv[0] being "wirespan NAME", and returns the process's exit
   status. */
int run_main(int argc, char **argv);
int entrypoint_main(int argc, char **argv);
int agent_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int rules_main(int argc, char **argv);
int view_main(int argc, char **argv);
