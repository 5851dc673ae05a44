/* SipHash-2-4: a keyed hash for tables whose keys are chosen by peers. */
#ifndef TAPSI_BASE_SIPHASH_H
#define TAPSI_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct tapsi_siphash_key {
    uint64_t k0, k1; /* random */
};

uint64_t tapsi_siphash(const struct tapsi_siphash_key *key, const void *bytes, size_t count);

#endif
