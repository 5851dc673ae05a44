/*
 * Sessions that can be resumed, in memory: what a server gave to come back with, for TLS and for QUIC alike.
 *
 * A store belongs to a context; contexts share nothing (ARCH-17). What a ticket may be used for is said by its key
 * alone, a hash of everything that has to be the same (resume.h): this file compares keys and knows no parameters.
 * Each ticket serves once (RFC 8446, appendix C.4): `take` removes it, and only one that was never sent comes back.
 *
 * What a peer can make it hold: TAPSI_TICKET_BYTES a ticket, TAPSI_TICKETS_OF_KEY of one server, TAPSI_TICKETS_MAX in
 * all; the oldest goes first. Every ticket is wiped when it is freed.
 */
#ifndef TAPSI_STACK_SECURE_TICKETS_H
#define TAPSI_STACK_SECURE_TICKETS_H

#include "base/list.h"
#include "base/mem.h"

#define TAPSI_TICKETS_MAX    512
#define TAPSI_TICKETS_OF_KEY 4
#define TAPSI_TICKETS_SPENT  256
#define TAPSI_TICKET_BYTES   (32U * 1024)        /* session, parameters and token together */
#define TAPSI_TICKET_AGE     (7U * 24 * 60 * 60) /* seconds: no ticket is older (RFC 8446, 4.6.1) */
#define TAPSI_TICKET_KEY     32

struct tapsi_ticket_key {
    uint8_t peer[TAPSI_TICKET_KEY];       /* server, port, protocol and parameters */
    uint8_t parameters[TAPSI_TICKET_KEY]; /* the parameters alone */
};

/* One block. The three texts follow one another behind it. */
struct tapsi_ticket {
    struct tapsi_link link;  /* of its bucket, oldest first */
    struct tapsi_link older; /* of all, oldest first */
    struct tapsi_mem *mem;
    struct tapsi_ticket_key key;
    uint64_t issued, expires; /* seconds of the wall clock */
    uint64_t
        until; /* when the peer has to be verified anew: no later ticket of the session lives longer. 0: `expires` */
    uint32_t early;         /* bytes of early data that the server takes; 0 = none */
    bool authenticated;     /* the peer's identity was verified when the session began */
    char alpn[32];          /* the protocol agreed on, "" = none; a longer one takes no early data */
    const uint8_t *session; /* gnutls_session_get_data2 */
    size_t session_length;
    const uint8_t *transport; /* the peer's transport parameters (QUIC), as ngtcp2 encodes them */
    size_t transport_length;
    const uint8_t *token; /* the peer's address token (QUIC) */
    size_t token_length;
};

struct tapsi_tickets;

/* NULL = no memory. */
struct tapsi_tickets *tapsi_tickets_new(struct tapsi_mem *mem);
void tapsi_tickets_free(struct tapsi_tickets *tickets); /* NULL is allowed */
size_t tapsi_tickets_count(const struct tapsi_tickets *tickets);

/* A copy of `like`, whose `link`s and `mem` do not matter: one block. NULL = no memory, or it is longer than may be. */
struct tapsi_ticket *tapsi_ticket_new(struct tapsi_mem *mem, const struct tapsi_ticket *like);
/* Wipes it. NULL is allowed. */
void tapsi_ticket_free(struct tapsi_ticket *ticket);

/* Takes `ticket`. At most `most` with the same parameters are kept; 0: it is freed. */
void tapsi_tickets_put(struct tapsi_tickets *tickets, struct tapsi_ticket *ticket, size_t most);
/* The newest for this key that has not expired: the caller's from now on. NULL = none. */
struct tapsi_ticket *tapsi_tickets_take(struct tapsi_tickets *tickets, const struct tapsi_ticket_key *key,
                                        uint64_t now);
/* One that was taken and never sent. Takes it. */
void tapsi_tickets_give_back(struct tapsi_tickets *tickets, struct tapsi_ticket *ticket);
/* The newest for this key that has no address token gets a copy of this one. False: there is none, or no memory. */
bool tapsi_tickets_add_token(struct tapsi_tickets *tickets, const struct tapsi_ticket_key *key, const void *token,
                             size_t length);
/* Is this ticket here, or has it been taken before? The last TAPSI_TICKETS_SPENT are known. */
bool tapsi_tickets_knows(const struct tapsi_tickets *tickets, const struct tapsi_ticket *like);
/* All for this key are freed. */
void tapsi_tickets_forget(struct tapsi_tickets *tickets, const struct tapsi_ticket_key *key);
/* Is there one? */
bool tapsi_tickets_has(const struct tapsi_tickets *tickets, const struct tapsi_ticket_key *key, uint64_t now);
/* From the oldest: NULL begins, NULL is the end. */
const struct tapsi_ticket *tapsi_tickets_next(const struct tapsi_tickets *tickets, const struct tapsi_ticket *ticket);
/* `changed` is called with every change, in the middle of it: it may look at nothing. NULL: nobody. One at a time. */
void tapsi_tickets_watch(struct tapsi_tickets *tickets, void (*changed)(void *user), void *user);
/* Differs whenever the contents may differ. */
uint64_t tapsi_tickets_generation(const struct tapsi_tickets *tickets);

#endif
