/*
 * The libtaps programs: the jobs of the plain twins through the public API alone. Servers listen on an ephemeral port
 * of BENCH_ADDRESS, clients Initiate to it by address; tcp and udp without security, tls with the server's certificate
 * as the only authority. A job is the events of its Connections on either end.
 */
#ifndef BENCH_TAPS_BENCH_H
#define BENCH_TAPS_BENCH_H

#include "bench.h"

#include <taps/taps.h>

struct taps_job {
    const char *name;
    /* Server: a Connection has come. It is the job's from now on. */
    void (*serve)(taps_connection *connection);
    /* Client: begins, by bench_initiate. */
    void (*run)(void);
};

extern const struct taps_job taps_pingpong, taps_exchange, taps_bulk, taps_flood, taps_connect, taps_hammer, taps_idle,
    taps_framed_flood, taps_framed_pingpong, taps_framed_bulk, taps_websocket_echo, taps_streams, taps_early;

/* Servers that serve several jobs. */
void taps_serve_pings(taps_connection *connection);
void taps_serve_bulk(taps_connection *connection);
/* Client of taps_serve_bulk: has its whole answer come? It must have counted so many bytes; else it is asked for more.
 */
bool taps_bulk_counted(taps_connection *connection, const struct taps_received *part, uint64_t bytes);

/* What every job uses; one per process. */
extern struct bench_options bench_options;
extern struct bench_window bench_window;

/* Ends the program when a call returned an error. */
void bench_check(int status, const char *what);
/* Events that must not come. */
void bench_failed(taps_connection *connection, const struct taps_error *error, void *user);
void bench_send_failed(taps_connection *connection, void *tag, const struct taps_error *error, void *user);
/* A server lets a Connection go that has ended, or failed because its client is gone. */
void bench_gone(taps_connection *connection, void *user);
void bench_lost(taps_connection *connection, const struct taps_error *error, void *user);

taps_connection *bench_initiate(const struct taps_connection_events *events);
/* With a first Message. */
void bench_initiate_with(const struct taps_connection_events *events, const void *message, size_t length,
                         const taps_message_context *message_context);
/* Client: prints the figures and makes the program end. */
void bench_finish(taps_connection *connection);
/* Client: makes the program end. */
void bench_stop(void);

/* bench_options.idle Connections beside the job's own: memory for the list of them, their opening, their end. */
void bench_crowd_prepare(void);
void bench_crowd_open(void (*done)(void));
void bench_crowd_close(void);

#endif
