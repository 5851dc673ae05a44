/*
 * A client's sockets: one, connected, for each path that it uses, has just left, or tries. What comes by one that was
 * left still counts, until nothing has come for three PTO; the engine would drop it, so it is told that it came by the
 * path that it uses.
 */
#include "stack/quic/datagram.h"

#include <errno.h>
#include <string.h>

static struct quic_path *path_of(struct tapsi_port_user *user)
{
    return TAPSI_CONTAINER(user, struct quic_path, user);
}

/* The pieces have no addresses, since the socket has but one of each. */
static void on_packet(struct tapsi_port_user *user, const struct tapsi_datagram *d)
{
    struct quic_path *path = path_of(user);
    struct quic_session *s = path->session;
    struct tapsi_datagram piece;
    size_t at = 0;
    bool left = path != s->path && !tapsi_quic_tries(s, path);
    if (left)
        path->quiet = s->conn ? tapsi_loop_now(s->env->loop) + 3 * ngtcp2_conn_get_pto(s->conn) : 0;
    while (s->conn && tapsi_port_piece(d, &at, &piece)) {
        piece.from = left ? s->remote : path->remote;
        piece.to = left ? s->local : path->local;
        tapsi_quic_read(s, &piece);
    }
}

static void on_turn(struct tapsi_port_user *user)
{
    tapsi_quic_run(path_of(user)->session);
}

static void on_writable(struct tapsi_port_user *user)
{
    tapsi_quic_dirty(path_of(user)->session);
}

/* Nobody is there, or nobody may get there. */
static bool is_refusal(int err)
{
    switch (err) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENONET:
    case EACCES:
        return true;
    default:
        return false;
    }
}

#define SOFT_APART (100 * TAPSI_MS)

static void tell_soft(struct quic_session *s, const struct quic_path *path, int err)
{
    struct tapsi_error error;
    char text[TAPSI_ADDR_TEXT];
    uint64_t now = tapsi_loop_now(s->env->loop);
    if (tapsi_preference(s->env->properties, TAPS_SOFT_ERROR_NOTIFY) < TAPS_PREFER || now < s->next_soft)
        return;
    s->next_soft = now + SOFT_APART;
    tapsi_error_native(&error, tapsi_err_from_errno(err), TAPS_DOMAIN_ERRNO, err, "the network reported about %s: %s",
                       tapsi_addr_text(&path->remote, text), strerror(err));
    tapsi_quic_warn(s, &error);
}

/* After the handshake it is the peer's silence that tells: anybody can send ICMP. What it says may be of interest. */
static void on_error(struct tapsi_port_user *user, const union tapsi_addr *to, int err)
{
    struct quic_path *path = path_of(user);
    struct quic_session *s = path->session;
    (void)to;
    if (s->state == QUIC_OPEN && err != EMSGSIZE)
        tell_soft(s, path, err);
    if (s->state != QUIC_HANDSHAKE || !is_refusal(err))
        return;
    tapsi_quic_network_failed(s, err);
    tapsi_quic_run(s);
}

static const struct tapsi_port_user_ops path_ops = {
    .packet = on_packet, .turn = on_turn, .writable = on_writable, .error = on_error};

static int open_path(struct quic_session *s, struct quic_path *path, const struct tapsi_target *target,
                     struct tapsi_error *ret_error)
{
    path->user.ops = &path_ops;
    path->user.class = TAPSI_PORT_QUIC;
    int err = tapsi_port_connect(s->env, target, &path->user, ret_error);
    if (err)
        return err;
    path->session = s;
    path->port = tapsi_port_ref(path->user.port);
    path->remote = *target->remote;
    path->local = *tapsi_port_local(path->port);
    path->interface_index = target->interface_index;
    tapsi_list_append(&s->paths, &path->link);
    return 0;
}

int tapsi_quic_open_path(struct quic_session *s, const struct tapsi_target *target, struct tapsi_error *ret_error)
{
    int err = open_path(s, &s->first, target, ret_error);
    if (err)
        return err;
    s->remote = s->first.remote;
    s->local = s->known = s->first.local;
    s->interface_index = s->first.interface_index;
    return 0;
}

struct quic_path *tapsi_quic_add_path(struct quic_session *s, const struct tapsi_target *target,
                                      struct tapsi_error *ret_error)
{
    struct tapsi_mem *mem = &s->env->loop->mem;
    struct quic_path *path = tapsi_zalloc(mem, sizeof(*path));
    if (!path) {
        tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for another path");
        return NULL;
    }
    if (open_path(s, path, target, ret_error) == 0)
        return path;
    tapsi_free(mem, path);
    return NULL;
}

void tapsi_quic_close_path(struct quic_path *path)
{
    struct quic_session *s = path->session;
    if (!path->port)
        return;
    if (s->train_path == path)
        s->train_length = 0;
    tapsi_quic_path_gone(s, path);
    tapsi_port_leave(&path->user);
    tapsi_port_unref(path->port);
    path->port = NULL;
    tapsi_list_remove(&path->link);
    if (path != &s->first)
        tapsi_free(&s->env->loop->mem, path);
}

void tapsi_quic_close_paths(struct quic_session *s)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&s->paths)))
        tapsi_quic_close_path(TAPSI_CONTAINER(link, struct quic_path, link));
    tapsi_quic_close_path(&s->first); /* a server's are on no list */
    if (s->second)
        tapsi_quic_close_path(s->second);
    s->second = NULL;
    s->path = &s->first;
}

static bool is_at(const union tapsi_addr *a, const ngtcp2_addr *b)
{
    union tapsi_addr other = {0};
    memcpy(&other, b->addr, b->addrlen);
    return tapsi_addr_equal(a, &other);
}

struct quic_path *tapsi_quic_find_path(struct quic_session *s, const ngtcp2_path *path)
{
    for (struct tapsi_link *l = s->paths.next; l != &s->paths; l = l->next) {
        struct quic_path *p = TAPSI_CONTAINER(l, struct quic_path, link);
        if (is_at(&p->local, &path->local) && is_at(&p->remote, &path->remote))
            return p;
    }
    return NULL;
}

void tapsi_quic_warn(struct quic_session *s, const struct tapsi_error *error)
{
    if (!s->warning)
        s->warning = tapsi_zalloc(&s->env->loop->mem, sizeof(*s->warning));
    if (!s->warning)
        return;
    tapsi_error_copy(s->warning, error);
    for (struct tapsi_link *l = s->streams.next; l != &s->streams; l = l->next) {
        struct quic_stream *st = TAPSI_CONTAINER(l, struct quic_stream, link);
        st->warned = true;
        tapsi_quic_stream_news(st);
    }
    if (s->flow)
        s->flow->warned = true;
    tapsi_quic_dirty(s);
}
