/* DTLS inside this folder: the layer of one association, and what its files do for each other. */
#ifndef TAPSI_STACK_DTLS_DTLS_H
#define TAPSI_STACK_DTLS_DTLS_H

#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>
#include "stack/layer.h"
#include "stack/port/socket.h"
#include "stack/secure/handshake.h"

#define DTLS_RECORD_MAX 16384 /* plain bytes of one record */
#define DTLS_HEAD       13    /* bytes of a record's head */

struct dtls {
    struct tapsi_layer layer;
    struct tapsi_sink lower;  /* the sink of the layer below */
    struct tapsi_task report; /* tells a failure after the flush in which its alert could leave */
    struct tapsi_timer timer; /* in the handshake: retransmission, and the end of it */
    uint64_t deadline;        /* of the handshake */
    struct tapsi_handshake hs;

    /* from below */
    const uint8_t *in; /* a datagram that GnuTLS has not pulled yet, only during the call that brought it */
    size_t in_length;
    size_t longest;         /* what a record in the newest datagram can hold */
    gnutls_packet_t held;   /* one decrypted record that nobody wants yet */
    struct tapsi_path path; /* of the newest datagram, with its ECN */
    int ecn;

    /* to below: the record that GnuTLS made of one op */
    struct tapsi_buffer *record;
    const uint8_t *record_data;
    size_t record_length;

    bool sealing : 1;    /* what is pushed is that record; else it is GnuTLS's own, of the handshake or an alert */
    bool starved : 1;    /* GnuTLS asked for more than there was */
    bool single : 1;     /* the newest datagram is one record, so behind it GnuTLS need not be asked */
    bool has_path : 1;   /* `path` is set */
    bool failing : 1;    /* the handshake's `error` is final: only the alert and `closed` are left */
    bool reporting : 1;  /* the alert was handed down */
    bool peer_ended : 1; /* close_notify came */
    bool ending : 1;     /* ours and `close` were handed down */
};

/* dtls_io.c */
ssize_t tapsi_dtls_push(gnutls_transport_ptr_t dtls, const giovec_t *iov, int count);
ssize_t tapsi_dtls_pull(gnutls_transport_ptr_t dtls, void *to, size_t room);
int tapsi_dtls_pull_timeout(gnutls_transport_ptr_t dtls, unsigned ms);
/* Takes the slice as input for the calls of GnuTLS that follow, if it looks like DTLS. */
bool tapsi_dtls_feed(struct dtls *dtls, const struct tapsi_slice *slice);
/* Decrypts what there is and delivers what is wanted. Calls up. */
void tapsi_dtls_read(struct dtls *dtls);
/* Encrypts what is queued, each op by itself, and hands it down. May finish ops. */
void tapsi_dtls_write(struct dtls *dtls);
/* A datagram of the layer's own. Without memory it is lost, as any other may be. */
void tapsi_dtls_send_own(struct dtls *dtls, const void *bytes, size_t length);

/* dtls.c */
/* To be filled in before tapsi_dtls_fail; NULL = no memory, which is then what is told. */
static inline struct tapsi_error *tapsi_dtls_error(struct dtls *dtls)
{
    return tapsi_handshake_error(&dtls->hs);
}
/* `error` is filled in. The alert goes to the peer (0 = none); `closed` comes after the next flush. */
void tapsi_dtls_fail(struct dtls *dtls, int alert);
/* The same for a call of GnuTLS that failed. */
void tapsi_dtls_fail_gnutls(struct dtls *dtls, int r, const char *doing);

/* cookie.c: who may come in (RFC 6347, 4.2.1). */
#define DTLS_COOKIE_LIFE (30 * TAPSI_S) /* a cookie is good so long at least, and twice so long at most */

enum tapsi_dtls_visit {
    TAPSI_DTLS_IGNORE, /* no ClientHello, or nothing could be done */
    TAPSI_DTLS_ASK,    /* `reply` is to be sent: it asks for the same with a cookie */
    TAPSI_DTLS_ADMIT,  /* it has shown that it is where it says: `ret` is for gnutls_dtls_prestate_set */
};
/* Keeps nothing. `reply` has room for 2048 bytes. */
enum tapsi_dtls_visit tapsi_dtls_visitor(struct tapsi_loop *loop, const union tapsi_addr *from, const uint8_t *bytes,
                                         size_t length, uint8_t *reply, size_t *reply_length,
                                         gnutls_dtls_prestate_st *ret);
extern const struct tapsi_gate tapsi_dtls_gate;

#endif
