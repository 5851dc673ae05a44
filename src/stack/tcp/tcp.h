/* TCP inside this folder: the layer of one connection. */
#ifndef TAPSI_STACK_TCP_TCP_H
#define TAPSI_STACK_TCP_TCP_H

#include "stack/layer.h"

/* What is known only until the connection is there, and needed only if it is more than the remote address. */
struct tcp_setup {
    union tapsi_addr local; /* what to bind; family 0 = nothing */
    char interface[16];     /* device to bind, or "" */
};

struct tcp_timeouts {
    double connection, keep_alive; /* seconds; negative = disabled */
    double close;                  /* seconds that a close waits without progress; negative = for ever */
    uint32_t user;                 /* seconds; 0 = the system's */
    bool user_enabled;
    bool keep_alive_set;                 /* by the application */
    bool keeps_alive, never_keeps_alive; /* what the property keepAlive asks for */
};

/* What an ordinary connection never needs: timeouts that were changed, and waiting. Made by tapsi_tcp_rare. */
struct tcp_rare {
    struct tcp *tcp;
    struct tcp_timeouts timeouts;
    bool has_timer, closing;  /* closing: the two fields that follow hold */
    uint64_t outstanding;     /* bytes not acknowledged at the last look */
    uint64_t close_deadline;  /* ns */
    uint64_t step;            /* ns until the next look */
    struct tapsi_timer timer; /* of the next look */
    struct tapsi_timer *look; /* info.c's: made when something is sent and `watched` */
};

/* The order of the fields is that of their use in a turn: behind the layer's `want` comes what a read needs. */
struct tcp {
    struct tapsi_layer layer;
    struct tapsi_watch watch;
    union {
        struct tcp_setup *setup; /* before start; or NULL */
        struct tcp_rare *rare;   /* after it; or NULL */
    };
    union tapsi_addr remote;
    uint8_t start_error; /* errno of a start that failed at once; told at flush */
    bool started : 1;    /* `rare`, not `setup` */
    bool connecting : 1;
    bool choose_source : 1; /* as in struct tapsi_target */
    bool readable : 1;      /* the kernel may have input: edge-triggered, so remembered */
    bool ended : 1;         /* the peer's FIN (or worse) is there, or its urgent data: a short read proves nothing */
    bool blocked : 1;       /* the kernel took less than offered; waits for OUT */
    bool starved : 1;       /* because it had no memory, which gives no event: waits for the timer */
    bool sent_any : 1;
    bool fin_sent : 1;
    bool cut : 1;      /* bytes of the queue were dropped: the peer must not take what it has for everything */
    bool fin_seen : 1; /* and delivered */
    bool closing : 1;
    bool fast : 1;    /* the kernel took bytes together with the connect */
    bool watched : 1; /* the application wants to hear of soft errors */
    bool grouped : 1; /* it is in a Connection Group */
    bool hurries : 1; /* the capacity profile is one of low latency */
};

static inline const struct tapsi_platform_ops *tcp_ops(const struct tapsi_layer *layer)
{
    return layer->env->loop->platform->ops;
}

/* Filled in from the properties of the env when it is made: NULL = no memory. Only after start. */
struct tcp_rare *tapsi_tcp_rare(struct tcp *tcp);

/* options.c. All return 0 or a negative errno; options the system lacks are not an error. */
void tapsi_tcp_timeouts(const struct tapsi_properties *properties, struct tcp_timeouts *ret);
void tapsi_tcp_options(struct tcp *tcp);
/* useTemporaryLocalAddress, before connect. A negative errno: the kernel would choose what must not be. */
int tapsi_tcp_prefer_source(struct tcp *tcp);
int tapsi_tcp_set(struct tapsi_layer *layer, enum taps_property property, const struct taps_value *value);
int tapsi_tcp_get(struct tapsi_layer *layer, int what, union tapsi_got *ret);

/* io.c */
void tapsi_tcp_write(struct tcp *tcp);
void tapsi_tcp_read(struct tcp *tcp);
/* Ends the layer with this (positive) errno, said of what was being done. */
void tapsi_tcp_fail(struct tcp *tcp, int err, const char *doing) __attribute__((cold));
/* The socket's pending error as a positive errno, or 0. */
int tapsi_tcp_error(struct tcp *tcp);
/* Is this what the network said of a connection that lives on? Then it has been told. */
bool tapsi_tcp_is_soft(struct tcp *tcp, int err);

/* fastopen.c: how many bytes of EARLY ops it takes now; connects with those that are queued, as connect does; did the
   SYN carry bytes that the peer took? */
size_t tapsi_tcp_early_room(const struct tcp *tcp);
int tapsi_tcp_fast_open(struct tcp *tcp, int fd);
bool tapsi_tcp_was_fast(struct tcp *tcp);

/* info.c */
void tapsi_tcp_statistics(struct tapsi_layer *layer, uint64_t *values);
/* Something was sent, and is `watched`. */
void tapsi_tcp_look(struct tcp *tcp);
void tapsi_tcp_look_done(struct tcp *tcp);

/* close.c */
int tapsi_tcp_close(struct tapsi_layer *layer);
/* Both directions are over, or are to be: nothing is left but to see that everything arrives. */
void tapsi_tcp_begin_closing(struct tcp *tcp);
/* Looks whether everything was acknowledged; ends the layer, or waits on. */
void tapsi_tcp_close_step(struct tcp *tcp);
/* closeTimeout of `rare` has changed. */
void tapsi_tcp_restart_patience(struct tcp *tcp);
/* Flushes again after a while that grows from 1 to 100 ms. 0 or TAPS_E_MEMORY. */
int tapsi_tcp_wait(struct tcp *tcp);
void tapsi_tcp_rare_done(struct tcp *tcp);

/* tcp.c: a READY layer for an accepted descriptor, which it takes on success. */
int tapsi_tcp_accepted(struct tapsi_env *env, int fd, const union tapsi_addr *peer, struct tapsi_layer **ret);

/* listen.c */
int tapsi_tcp_listen(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_sink *sink,
                     struct tapsi_layer **ret, struct tapsi_error *ret_error);

#endif
