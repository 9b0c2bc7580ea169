/*
 * What comes with a context beside its ids: tracestate and baggage.
 *
 * They lie in a table of places, which are taken in turn: a request that finds the table full takes
 * the place of the oldest. So nobody has to say when a context ends; who looks for what is gone
 * finds nothing. A reference names a place and how often it had been taken.
 *
 * Who with whom: the one that took a place writes it until carried_end, others read it after that.
 * A reader pins a place first, and a place that is pinned is not taken.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "handoff/record.h"

/* Takes a place and returns its number; 0: there is none. Until carried_end nobody else can read
 * it. */
uint16_t carried_begin(void);
/* One header field's value. What is too long for the rules is left out, and counted at the end. */
void carried_add_tracestate(uint16_t number, struct slice value);
void carried_add_baggage(uint16_t number, struct slice value);
/* Of a value that could not be seen whole its beginning: the whole members count, nothing that
   comes behind them. */
void carried_add_cut_tracestate(uint16_t number, struct slice value);
/* A baggage field's value that could not be seen whole. */
void carried_cut(uint16_t number);
/* Nothing more comes. A tracestate is void where no valid traceparent came with it. Returns a
   reference; 0: there is nothing. */
uint32_t carried_end(uint16_t number, bool has_parent);

/* What the process was started with: for good. */
uint32_t carried_for_good(struct slice tracestate, struct slice baggage);

/* Shows it as the span's trace state. */
void carried_tell(struct record *record, uint32_t carried);

/* The field's line, name and CR LF included; empty: there is none. Until carried_unpin it stays
   where it is. */
struct slice carried_pin_line(uint32_t carried);
void carried_unpin(uint32_t carried);

/* Copies the text, if it is there and has room. Returns its size. */
size_t carried_copy_tracestate(uint32_t carried, uint8_t *text, size_t room);
size_t carried_copy_baggage(uint32_t carried, uint8_t *text, size_t room);
