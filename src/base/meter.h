/*
 * A bound on a rate, kept in every second: how much has gone in the last one, and when more may go.
 *
 * What has gone is spread out evenly, with bursts of a few milliseconds. What is more than a second's worth by itself
 * goes alone, and what follows waits until the rate holds on the average.
 */
#ifndef TAPSI_BASE_METER_H
#define TAPSI_BASE_METER_H

#include <stddef.h>
#include <stdint.h>

#define TAPSI_METER_SLOTS 64 /* of a second */

struct tapsi_meter {
    uint64_t rate; /* bits per second; UINT64_MAX: no bound */
    uint64_t next; /* ns: when the even rate lets the next one go */
    uint64_t last; /* the number of the newest slot */
    uint64_t sum;  /* bytes of all slots: the last second, and up to a slot more */
    uint64_t slots[TAPSI_METER_SLOTS + 1];
};

/* Begins anew. */
void tapsi_meter_init(struct tapsi_meter *meter, uint64_t rate);
/* The earliest time, `now` or later, at which so many bytes may go. */
uint64_t tapsi_meter_when(struct tapsi_meter *meter, uint64_t now, size_t bytes);
/* They go. */
void tapsi_meter_count(struct tapsi_meter *meter, uint64_t now, size_t bytes);
/* As many bytes as are best taken at once. At least 1. */
size_t tapsi_meter_portion(const struct tapsi_meter *meter);

#endif
