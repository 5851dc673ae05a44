/* TCP inside this folder: the layer of one connection. */
#ifndef TAPSI_STACK_TCP_TCP_H
#define TAPSI_STACK_TCP_TCP_H

#include "stack/layer.h"

struct tcp {
    struct tapsi_layer layer;
    struct tapsi_watch watch;
    union tapsi_addr remote, local;          /* local: what to bind; family 0 = nothing */
    char interface[16];                      /* device to bind, or "" */
    uint64_t patience;                       /* ns that a close waits without progress */
    uint64_t outstanding;                    /* bytes not acknowledged at the last look while closing */
    double conn_timeout, keep_alive_timeout; /* seconds; negative = disabled */
    uint32_t user_timeout;                   /* seconds; 0 = the system's */
    uint64_t close_deadline;
    struct tapsi_timer *timer; /* made when something has to be looked at again */
    struct tapsi_timer *look;  /* info.c's: made when something is sent and `watched` */
    int start_error;           /* errno of a start that failed at once; told at flush */
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
    bool user_timeout_enabled : 1;
    bool keep_alive : 1; /* wanted by the property of that name */
    bool no_keep_alive : 1;
    bool watched : 1; /* the application wants to hear of soft errors */
};

static inline const struct tapsi_platform_ops *tcp_ops(const struct tapsi_layer *layer)
{
    return layer->env->loop->platform->ops;
}

/* options.c. All return 0 or a negative errno; options the system lacks are not an error. */
void tapsi_tcp_options(struct tcp *tcp);
int tapsi_tcp_set(struct tapsi_layer *layer, enum taps_property property, const struct taps_value *value);
int tapsi_tcp_get(struct tapsi_layer *layer, int what, union tapsi_got *ret);

/* io.c */
void tapsi_tcp_write(struct tcp *tcp);
void tapsi_tcp_read(struct tcp *tcp);
/* Ends the layer with this (positive) errno, said of what was being done. */
void tapsi_tcp_fail(struct tcp *tcp, int err, const char *doing);
/* The socket's pending error as a positive errno, or 0. */
int tapsi_tcp_error(struct tcp *tcp);
/* Is this what the network said of a connection that lives on? Then it has been told. */
bool tapsi_tcp_is_soft(struct tcp *tcp, int err);

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
void tapsi_tcp_set_patience(struct tcp *tcp, double seconds);
/* Flushes again after a while that grows from 1 to 100 ms. 0 or TAPS_E_MEMORY. */
int tapsi_tcp_wait(struct tcp *tcp);
void tapsi_tcp_wait_done(struct tcp *tcp);

/* tcp.c: a READY layer for an accepted descriptor, which it takes on success. */
int tapsi_tcp_accepted(struct tapsi_env *env, int fd, const union tapsi_addr *peer, struct tapsi_layer **ret);

/* listen.c */
int tapsi_tcp_listen(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_sink *sink,
                     struct tapsi_layer **ret, struct tapsi_error *ret_error);

#endif
