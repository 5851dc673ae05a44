/*
 * Early data (0-RTT) over TCP: bytes that a client sends with its first flight, under the keys of an earlier session.
 *
 * A client's ops wait on `covered`, where nothing else can be before the session is ready. GnuTLS copies their bytes
 * when the session opens and sends them behind its ClientHello; what became of them is known when the handshake is
 * done. Taken: they are done with the next that is sent. Not taken: they are the first of the queue and go as any
 * others, in order, before what is sent later. They go nowhere if the handshake fails: the Messages are the race's.
 *
 * A server lets GnuTLS keep early data, which has a bound, until the handshake is done, and delivers it then, marked,
 * before all else. So what is delivered was sent by a client that finished its handshake: a first flight that somebody
 * has recorded and plays again is never delivered, whatever GnuTLS's own guard says of it. It costs nothing that could
 * be had: GnuTLS sends nothing of the application's before it has the client's Finished.
 */
#include <sys/uio.h>
#include "stack/tls/tls.h"

#define ROOM_MOST (64 * 1024) /* a Message that is longer is no matter of one round trip */

size_t tapsi_tls_early_room(struct tls *tls)
{
    const struct tapsi_layer *layer = &tls->layer;
    if (layer->state != TAPSI_LAYER_NEW || layer->role != TAPSI_ROLE_CLIENT || tls->final_taken ||
        !tapsi_resume_early_wanted(layer->env, TAPSI_ROLE_CLIENT))
        return 0;
    const struct tapsi_ticket *ticket = tapsi_resume_take(&tls->hs);
    size_t most = ticket ? ticket->early : 0;
    if (most > ROOM_MOST)
        most = ROOM_MOST;
    return most > layer->queued ? most - layer->queued : 0;
}

/* `queued` counts their bytes as long as they are here. */
int tapsi_tls_early_take(struct tls *tls, struct tapsi_op *op)
{
    if (!(op->flags & TAPSI_OP_EARLY) || op->length > tapsi_tls_early_room(tls))
        return TAPS_E_CLOSED;
    tls->early = true;
    tls->final_taken = op->flags & TAPSI_OP_FINAL;
    tls->layer.queued += op->length;
    tapsi_list_append(&tls->covered, &op->link);
    return 0;
}

/* A ticket that GnuTLS could not read is no reason to fail: then all is sent later. Some of it must not be. */
int tapsi_tls_early_send(struct tls *tls)
{
    size_t given = 0;
    for (struct tapsi_link *l = tls->covered.next; l != &tls->covered; l = l->next) {
        const struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, link);
        struct iovec iov[TAPSI_OP_PIECES];
        unsigned count = tapsi_op_iovec(op, iov, TAPSI_OP_PIECES);
        for (unsigned i = 0; i < count; i++) {
            ssize_t r = gnutls_record_send_early_data(tls->hs.session, iov[i].iov_base, iov[i].iov_len);
            if (r < 0)
                return given || r == GNUTLS_E_MEMORY_ERROR ? (int)r : 0;
            given += iov[i].iov_len;
        }
    }
    tls->early_given = tls->early;
    return 0;
}

static void take_back(struct tls *tls)
{
    tls->layer.queued = 0;
    for (struct tapsi_link *l = tls->covered.next; l != &tls->covered; l = l->next)
        tls->layer.queued += TAPSI_CONTAINER(l, struct tapsi_op, link)->length;
    tapsi_list_splice(&tls->layer.queue, &tls->covered);
}

bool tapsi_tls_early_settle(struct tls *tls)
{
    bool taken = tapsi_resume_early_taken(&tls->hs);
    tls->early_input = taken && tls->layer.role == TAPSI_ROLE_SERVER;
    if (!tls->early)
        return taken;
    tls->early = false;
    tapsi_layer_dirty(&tls->layer);
    if (!taken || !tls->early_given) {
        take_back(tls);
        return false;
    }
    tls->layer.queued = 0;
    for (struct tapsi_link *l = tls->covered.next; l != &tls->covered; l = l->next) {
        struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, link);
        op->flags |= TAPSI_OP_TOUCHED;
        op->taken = op->length;
        tls->covered_new++;
    }
    return true;
}

size_t tapsi_tls_early_read(struct tls *tls, uint8_t *to, size_t room)
{
    ssize_t r = gnutls_record_recv_early_data(tls->hs.session, to, room);
    return r > 0 ? (size_t)r : 0;
}
