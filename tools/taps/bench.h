/*
 * What a measurement says, for people and for programs.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_BENCH_H
#define TAPS_TOOL_BENCH_H

#include "load.h"

/* Both at standard output. */
void bench_print_text(const struct load *load, double rate);
void bench_print_json(const struct load *load, double rate);

#endif
