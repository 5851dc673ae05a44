/*
 * What the targets share. A check that fails (base/test.h, also those of the observer and of tests/scenario) aborts
 * here: the fuzzer then keeps the input.
 */
#ifndef FUZZ_SUPPORT_H
#define FUZZ_SUPPORT_H

#include <stddef.h>
#include "base/mem.h"
#include "base/test.h"

/* An input that takes longer than this (of the processor, under sanitizers) hangs. */
#define FUZZ_SECONDS_MAX 60

/* Starts the clock for one input; first thing in a target whose work the input decides. */
void fuzz_begin(void);

/* Memory that is counted, and of which one allocation fails. */
struct fuzz_memory {
    struct taps_allocator allocator;
    size_t allocations, fail_at; /* the fail_at-th fails; 0 = none */
    size_t blocks;               /* out now */
};

void fuzz_memory_init(struct fuzz_memory *memory, size_t fail_at);

#endif
