/*
 * A handshake that waits for a slow private key (API-059). The engine asks for the signature in the middle of reading a
 * packet, so the whole of ngtcp2_conn_read_pkt runs on a detour, with its own copy of the packet.
 *
 * While it has stopped nobody may enter the engine, so the session has none: `conn` is NULL, as if it were over, but
 * for those who ask for `away`. What comes is lost, as on a network: the peer sends it again. The session's timer is
 * the handshake's deadline meanwhile. When the key has answered the reading goes on, and ends as if it had never
 * stopped.
 *
 * One that has sent early data reads as usual, and all wait: the engine would have to be told of streams that go.
 */
#include <string.h>
#include "stack/quic/quic.h"

struct quic_away {
    struct tapsi_detour detour;
    struct quic_session *session;
    ngtcp2_conn *conn; /* while it has stopped */
    ngtcp2_path path;
    ngtcp2_pkt_info info;
    union tapsi_addr local, remote; /* of `path` */
    size_t length;
    uint64_t now;
    bool elsewhere;
    int result;
    uint8_t bytes[];
};

bool tapsi_quic_may_go_away(const struct quic_session *s)
{
    return s->state == QUIC_HANDSHAKE && s->hs.credentials && s->hs.credentials->slow && !s->early;
}

/* The reading runs, begins or ends; others may read while it has stopped. */
static void run_on(struct quic_session *s, struct tapsi_detour *detour)
{
    tapsi_credentials_run_on(s->hs.credentials, detour);
    tapsi_quic_reads(detour ? s : NULL);
}

static void read_packet(void *arg)
{
    struct quic_away *a = arg;
    a->result = ngtcp2_conn_read_pkt(a->session->conn, &a->path, &a->info, a->bytes, a->length, a->now);
}

static void set_out(struct quic_away *a)
{
    struct quic_session *s = a->session;
    a->conn = s->conn;
    s->conn = NULL;
    tapsi_timer_start(s->env->loop, &s->timer, QUIC_HANDSHAKE_TIME);
}

static void return_from(struct quic_away *a)
{
    struct quic_session *s = a->session;
    s->away = NULL;
    tapsi_quic_read_done(s, a->elsewhere, a->result);
    tapsi_free(&s->env->loop->mem, a);
}

static void resume(struct tapsi_detour *detour)
{
    struct quic_away *a = TAPSI_CONTAINER(detour, struct quic_away, detour);
    struct quic_session *s = tapsi_quic_ref(a->session);
    s->conn = a->conn;
    tapsi_timer_cancel(s->env->loop, &s->timer);
    run_on(s, detour);
    int r = tapsi_detour_go_on(detour);
    run_on(s, NULL);
    if (r) {
        set_out(a);
    } else {
        return_from(a);
        tapsi_quic_run(s);
    }
    tapsi_quic_unref(s);
}

static struct quic_away *make(struct quic_session *s, const ngtcp2_path *path, const ngtcp2_pkt_info *info,
                              const struct tapsi_datagram *d)
{
    struct quic_away *a = tapsi_alloc(&s->env->loop->mem, sizeof(*a) + d->length);
    if (!a)
        return NULL;
    *a = (struct quic_away){.session = s, .info = *info, .length = d->length, .now = tapsi_loop_now(s->env->loop)};
    memcpy(a->bytes, d->data, d->length);
    memcpy(&a->local, path->local.addr, path->local.addrlen);
    memcpy(&a->remote, path->remote.addr, path->remote.addrlen);
    a->path.local = (ngtcp2_addr){&a->local.sa, path->local.addrlen};
    a->path.remote = (ngtcp2_addr){&a->remote.sa, path->remote.addrlen};
    tapsi_detour_init(&a->detour, s->env->loop, resume);
    return a;
}

/* Where too many wait already, or memory fails, the packet is lost. */
void tapsi_quic_read_away(struct quic_session *s, const ngtcp2_path *path, const ngtcp2_pkt_info *info,
                          const struct tapsi_datagram *d, bool elsewhere)
{
    struct quic_away *a = make(s, path, info, d);
    if (!a)
        return;
    a->elsewhere = elsewhere;
    s->away = a;
    run_on(s, &a->detour);
    int r = tapsi_detour_run(&a->detour, read_packet, a);
    run_on(s, NULL);
    if (r == 0) {
        return_from(a);
    } else if (r > 0) {
        set_out(a);
    } else {
        s->away = NULL;
        tapsi_free(&s->env->loop->mem, a);
    }
}

void tapsi_quic_come_back(struct quic_session *s)
{
    struct quic_away *a = s->away;
    if (!a || !a->conn)
        return;
    s->away = NULL;
    s->conn = a->conn;
    tapsi_timer_cancel(s->env->loop, &s->timer);
    run_on(s, &a->detour);
    tapsi_detour_give_up(&a->detour);
    run_on(s, NULL);
    tapsi_free(&s->env->loop->mem, a);
}
