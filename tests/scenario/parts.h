/*
 * A Connection Group on a simulated network: the parts of it, and what each has heard. The first is initiated, the
 * others are clones.
 */
#ifndef TESTS_PARTS_H
#define TESTS_PARTS_H

#include "scenario.h"

#define PARTS 12

struct parts;

struct part {
    struct parts *all;
    taps_connection *connection; /* NULL: freed */
    unsigned ready, establishment_error, closed, connection_error, clone_error, sent, expired, send_error;
    int code, clone_code;
    char detail[300];
    uint64_t bytes;                 /* whose Sent came */
    size_t load;                    /* sends so much again after each Sent; 0 = not at all */
    void (*act)(struct part *part); /* once, in the next event */
};

struct parts {
    struct world w;
    struct part part[PARTS];
    unsigned count;
    char order[64]; /* of Sent events: a letter each, 'a' is the first part */
    unsigned sent;
};

extern const struct taps_connection_events *const parts_events; /* of a struct part */

/* A world as world_new makes it; it may be changed until parts_initiate. */
void parts_new(struct parts *g);
/* Initiates the first part. */
struct part *parts_initiate(struct parts *g, const char *remote);
/* One more part, cloned from `parent`: what Clone said. */
int parts_clone(struct parts *g, struct part *parent, const taps_transport_properties *properties);
/* The first, towards 192.0.2.1:80, and so many clones; all are Ready. */
void parts_grow(struct parts *g, unsigned clones);
void parts_run(struct parts *g, uint64_t ms);
void parts_set(struct part *p, const char *name, const char *text);
bool parts_has(struct part *p, const char *name, const char *text);
/* So many bytes, lent. */
int parts_send(struct part *p, size_t length);
unsigned parts_ends(const struct part *p);
void parts_free(struct part *p);
/* Frees all, and checks as world_finish does. */
void parts_finish(struct parts *g);

#endif
