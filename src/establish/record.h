/*
 * What is left of a race when its Connection is Ready: everything the report tells, in some tens of bytes instead of
 * some thousands, since a program may have many thousand Connections and ask few of them. Read again it is a race that
 * is over, with its tree and lookups.
 */
#ifndef TAPSI_ESTABLISH_RECORD_H
#define TAPSI_ESTABLISH_RECORD_H

#include "establish/race.h"

struct tapsi_record {
    struct tapsi_plan *plan; /* a reference */
    uint16_t version;        /* of the race, its lower half: who has seen another one looks anew */
    uint16_t interface;      /* of the winner: its place in the plan's network */
    uint16_t length;
    uint8_t bytes[];
};

/* Of a race that was won. NULL = no memory, or it is so large that it had better stay what it is. */
struct tapsi_record *tapsi_record_new(const struct tapsi_race *race);
void tapsi_record_free(struct tapsi_mem *mem, struct tapsi_record *record); /* NULL is allowed */
/* The race again, over; `config` is its configuration. To be freed; NULL = no memory. */
struct tapsi_race *tapsi_record_read(const struct tapsi_record *record, struct tapsi_loop *loop,
                                     struct tapsi_config *config);

#endif
