/*
 * What the plain programs and the libtaps programs of the benchmark share: the command line, the measured window and
 * the line of figures at the end. Nothing here touches a socket, so neither side gets a helping hand.
 *
 * A program is one end of one job:  bench-plain server tcp pingpong  |  bench-plain client tcp pingpong --port N ...
 * A server prints "ready port=N pid=N" when it can be reached and runs until it is killed. A client prints one line
 * "result key=value ..." and exits. Both use exit code 1 and one line on stderr when something fails, and exit code 77
 * with the reason when this machine cannot do it (too few descriptors).
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_ADDRESS   "127.0.0.1"
#define BENCH_NAME      "localhost" /* the name in the certificate of the TLS rows */
#define BENCH_MESSAGE   100         /* bytes of one ping, and of one pong */
#define BENCH_FIRST     20          /* the exchange job writes a message as these bytes ... */
#define BENCH_SECOND    80          /* ... and then these */
#define BENCH_CHUNK     65536       /* one bulk send; also the largest read */
#define BENCH_LARGE     1048576     /* one Message of the framed bulk job */
#define BENCH_COUNT     8           /* the bulk server's answer: bytes received, in the machine's order */
#define BENCH_LATENCIES 100000      /* of the exchange job; later ones only count */
#define BENCH_AT_ONCE   64          /* connects under way at a time, where a job opens many */
#define BENCH_SKIPPED   77

struct bench_options {
    bool server;
    const char *stack; /* "tcp", "udp", "tls", "dtls" */
    const char *job;   /* what the usage text lists */
    uint16_t port;     /* client: where the server is */
    pid_t peer;        /* client: the server's process, whose CPU time is added; 0 = leave it out */
    uint64_t warm_ns;  /* not measured, at the start */
    uint64_t run_ns;   /* measured */
    uint64_t ops;      /* not 0: exactly so many operations, and no warm-up */
    uint64_t bytes;    /* bulk: the whole transfer */
    bool low_latency;  /* plain: TCP_NODELAY; libtaps: connCapacityProfile low latency interactive */
    bool race;         /* quic, libtaps: beside TLS over TCP */
    bool resume;       /* early, libtaps: sessions are resumed */
    bool split;        /* exchange, libtaps: the second send only after the first one's Sent event */
    bool drop;         /* connect: let go at once instead of waiting for the peer's end of data */
    bool drain;        /* plain server: accept until nobody is left, for many at once */
    const char *name;  /* connect: to this name instead of BENCH_ADDRESS */
    uint64_t batch;    /* flood, plain: so many messages in a writev; 0: a send for each */
    uint64_t idle;     /* pingpong, idle: so many Connections more that do nothing */
    const char *certificate;
    const char *key;
};

/* Ends the program with a usage text (exit code 2) when the command line is wrong. */
void bench_options_parse(struct bench_options *options, int argc, char **argv);

_Noreturn void bench_die(const char *what, const char *why);
/* The same with the text of errno. */
_Noreturn void bench_die_errno(const char *what);

/* Tells the harness where the server is. */
void bench_ready(uint16_t port);

uint64_t bench_now_ns(void);

/* Raises the limit of descriptors to `count` and a few, or ends the program with BENCH_SKIPPED. */
void bench_need_descriptors(uint64_t count);

/* The memory of this process. Heap: what malloc has given out, with its own headers. */
struct bench_memory {
    uint64_t heap, resident;
    uint64_t connections; /* in the idle server's answer: those it has accepted so far */
};

void bench_memory_read(struct bench_memory *memory);
/* The idle server's answer: a message that begins with the figures. */
void bench_memory_write(uint64_t connections, char message[BENCH_MESSAGE]);

/* One measured stretch of one client. */
struct bench_window {
    const struct bench_options *options;
    uint64_t ops;
    uint64_t mask; /* the clock is read when (ops & mask) is 0 */
    uint64_t next_ns;
    uint64_t start_ns, end_ns;
    uint64_t cpu_start_ns, cpu_end_ns;
    uint64_t peer_start_ns, peer_end_ns;
    bool measuring;
    size_t latency_count;
    uint64_t *latencies;
};

/* `mask` 15 reads the clock every 16 operations, 0 every time: for jobs that may be slow. */
void bench_window_open(struct bench_window *window, const struct bench_options *options, uint64_t mask);
bool bench_window_turn(struct bench_window *window);
/* For jobs that end by themselves (bulk): the window ends now, after `ops` operations. */
void bench_window_close(struct bench_window *window, uint64_t ops);
/* The duration of one operation that began at start_ns; before bench_window_count. */
void bench_window_latency(struct bench_window *window, uint64_t start_ns);
/* The idle job's: what each of the `count` Connections cost on either side, before and after. */
void bench_report_memory(uint64_t count, const struct bench_memory own[2], const struct bench_memory peer[2]);
/* Prints the result line. `note` (NULL is allowed) names what was used, for the record. */
void bench_window_report(struct bench_window *window, const char *note);

/* One operation is over. False: the window is closed, report and stop. */
static inline bool bench_window_count(struct bench_window *window)
{
    window->ops++;
    if ((window->ops & window->mask) != 0) {
        return true;
    }
    return bench_window_turn(window);
}

#endif
