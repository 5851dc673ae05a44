/*
 * Two ends of a session, in contexts of their own on a simulated network: a client, which initiates, and a server,
 * which listens. Each Connection of an end is a stream of the session, or waits to be one.
 */
#ifndef TESTS_STREAMS_H
#define TESTS_STREAMS_H

#include "peer.h"
#include "rows.h"

#define STREAMS 40

struct end;

struct stream {
    struct end *end;
    taps_connection *connection; /* NULL: freed, or not there */
    unsigned ready, establishment_error, closed, connection_error, clone_error, sent, send_error, received, final;
    unsigned path_changes;
    int code, clone_code;
    char detail[300];
    uint64_t bytes;  /* that were sent */
    uint64_t length; /* that came */
    char data[32];
    size_t load; /* sends so much again after each Sent */
    void (*act)(struct stream *stream);
};

struct end {
    struct world *w;
    taps_context *context;
    taps_preconnection *preconnection;
    struct stream streams[STREAMS];
    unsigned count;
    unsigned by_listener, by_member; /* how those came that the other end opened */
    bool deaf;                       /* its Connections have no connection_received from now on */
    bool reads;                      /* what comes; true at first */
    bool frees;                      /* each stream as it comes */
    bool frees_all;                  /* then also all others */
};

struct streams {
    struct world w;
    struct end client, server;
    taps_listener *listener;
};

/* Until streams_begin both Preconnections and w.properties can be changed. */
void streams_new(struct streams *s);
/* Listens, and initiates: the client's first stream is Ready. */
struct stream *streams_begin(struct streams *s);
/* The same, but nothing has run since Initiate. */
struct stream *streams_initiate(struct streams *s);
/* And so many clones, all Ready; each has said one byte, which the server has. */
void streams_grow(struct streams *s, unsigned clones);
/* One more at that end: what Clone said. `*ret` is where it is, also if it is not. */
int streams_clone(struct stream *parent, const taps_transport_properties *properties, struct stream **ret);
void streams_run(struct streams *s, uint64_t ms);
int streams_send(struct stream *stream, const char *text);
/* So many bytes, lent. */
int streams_send_bytes(struct stream *stream, size_t length);
bool streams_has(struct stream *stream, const char *name, const char *text);
unsigned streams_ends(const struct stream *stream);
void streams_free(struct stream *stream);
/* All of one end. */
void streams_free_end(struct end *end);
void streams_finish(struct streams *s);

#endif
