/* TLS inside this folder: the layer of one session, and what its files do for each other. */
#ifndef TAPSI_STACK_TLS_TLS_H
#define TAPSI_STACK_TLS_TLS_H

#include <gnutls/gnutls.h>
#include "stack/layer.h"
#include "stack/secure/resume.h"

#define TLS_RECORD_MAX 16384 /* plain bytes of one record */
#define TLS_HELLO      11    /* bytes of the peer's first record up to the version it speaks */

struct tls {
    struct tapsi_layer layer;
    struct tapsi_sink lower;  /* the sink of the layer below */
    struct tapsi_task report; /* tells a failure after the flush in which its alert could leave */
    struct tapsi_handshake hs;

    /* from below */
    struct tapsi_buffer *in_buffer; /* holds the cipher text that is not decrypted yet */
    const uint8_t *in;
    size_t in_length;
    gnutls_packet_t held; /* one decrypted record that nobody wants yet */
    uint8_t hello[TLS_HELLO], hello_length;

    /* to below */
    struct tapsi_buffer *out;  /* cipher text of this turn */
    struct tapsi_link covered; /* upper ops whose last byte is encrypted, in order */
    size_t covered_new;        /* how many of them end in `out` */
    struct tapsi_op *last;     /* the newest op below that is not done, or NULL */
    size_t outstanding;        /* cipher bytes below that are not done */
    int broken;                /* why GnuTLS could not push: a taps_err */

    bool failing : 1;       /* the handshake's `error` is final: only the alert and `closed` are left */
    bool reporting : 1;     /* the alert was handed down */
    bool starved : 1;       /* GnuTLS asked for more than there was */
    bool peer_ended : 1;    /* close_notify came, or a bare end that is forgiven */
    bool end_told : 1;      /* and went up */
    bool below_ended : 1;   /* FIN came */
    bool final_taken : 1;   /* our FINAL op is queued or sent */
    bool notified : 1;      /* our close_notify is encrypted */
    bool below_closing : 1; /* close was handed down */
    bool settled : 1;       /* when it was, nothing but our close_notify was left to deliver, in either direction */
    bool refused : 1;       /* a renegotiation, once */
    bool allow_truncation : 1;
    bool early : 1;       /* before ready: `covered` holds ops that go, or went, as early data */
    bool carried : 1;     /* below has been ready */
    bool early_given : 1; /* GnuTLS has their bytes */
    bool early_input : 1; /* a server's: there may be early data to be read, before all else */
};

/* tls_io.c */
ssize_t tapsi_tls_push(gnutls_transport_ptr_t tls, const giovec_t *iov, int count);
ssize_t tapsi_tls_pull(gnutls_transport_ptr_t tls, void *to, size_t room);
int tapsi_tls_pull_timeout(gnutls_transport_ptr_t tls, unsigned ms);
/* Decrypts what there is and delivers what is wanted. Calls up. */
void tapsi_tls_read(struct tls *tls);
/* Encrypts what is queued, as far as the layer below may hold it. May fail the layer. */
void tapsi_tls_write(struct tls *tls);
/* Encrypts our close_notify, once. */
void tapsi_tls_notify(struct tls *tls);
/* Hands down the cipher text of this turn. */
void tapsi_tls_emit(struct tls *tls);
/* Takes the slice's bytes as input; the rest of the last slice must be gone. */
void tapsi_tls_feed(struct tls *tls, const struct tapsi_slice *slice);
/* After reading: lets the input's buffer go when it is used up, or is much larger than what is left. */
void tapsi_tls_trim(struct tls *tls);
/* Finishes upper ops whose bytes are encrypted. May call up. */
void tapsi_tls_settle(struct tls *tls, size_t count, int result);

/* tls_early.c. A client, before start: how many bytes there is room for; takes an op as `send`; gives them to the
   session, which is open: 0 or a GnuTLS error. */
size_t tapsi_tls_early_room(struct tls *tls);
int tapsi_tls_early_take(struct tls *tls, struct tapsi_op *op);
int tapsi_tls_early_send(struct tls *tls);
/* The handshake is done, ready is to be told: was it taken? If not, the ops are the first of the queue. */
bool tapsi_tls_early_settle(struct tls *tls);
/* A server: into `to`, at most `room` bytes; 0 = that was all. */
size_t tapsi_tls_early_read(struct tls *tls, uint8_t *to, size_t room);

/* tls.c */
/* To be filled in before tapsi_tls_fail; NULL = no memory, which is then what is told. */
static inline struct tapsi_error *tapsi_tls_error(struct tls *tls)
{
    return tapsi_handshake_error(&tls->hs);
}
/* `error` is filled in. The alert goes to the peer (0 = none); `closed` comes after the next flush. */
void tapsi_tls_fail(struct tls *tls, int alert);

/* tls_error.c: fill in `error` and fail. */
void tapsi_tls_fail_handshake(struct tls *tls, int r);
void tapsi_tls_fail_record(struct tls *tls, int r);
/* Is what came so far the beginning of TLS? If not, fails. */
bool tapsi_tls_check_hello(struct tls *tls);

#endif
