/*
 * The environment, as the exporter's thread and its libraries see it: a copy from the start.
 *
 * The program may replace its environment, and free what it was, while libraries that the exporter
 * loads ask for their variables; PHP does so at its end.
 */
#pragma once

/* Once the program has ended, destructors of the libraries that were loaded for the exporter ask on
   the program's thread. `first` is an address in the first of them; who was loaded later is taken
   for one, too. */
void environment_note_libraries(const void *first);
