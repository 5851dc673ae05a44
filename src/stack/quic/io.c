/*
 * Packets. They are read one by one out of the trains that the port hands over, and written into one buffer, which goes
 * to the kernel as a train: packets of one size, one path and one ECN mark; only the last may be shorter, and a larger
 * one (a probe of the path's MTU) begins another.
 */
#include <errno.h>
#include <string.h>
#include "stack/quic/datagram.h"

/* 0.12 loses the memory of a frame of more pieces when its stream is reset while the frame is lost. */
#define VECTORS (QUIC_NGTCP2_1 ? 16 : 3)

/* --------------------------------------------------------------------------------------------------- reading */

static void read_failed(struct quic_session *s, int r)
{
    if (r == NGTCP2_ERR_DRAINING)
        tapsi_quic_peer_closed(s);
    else if (r == NGTCP2_ERR_DROP_CONN || r == NGTCP2_ERR_RETRY)
        tapsi_quic_end(s, NULL);
    else
        tapsi_quic_fail(s, r);
}

static void say_moved(struct quic_session *s)
{
    for (struct tapsi_link *l = s->streams.next; l != &s->streams; l = l->next) {
        struct quic_stream *st = TAPSI_CONTAINER(l, struct quic_stream, link);
        st->moved = true;
        tapsi_quic_stream_news(st);
    }
    if (s->flow)
        s->flow->news = true;
    tapsi_quic_dirty(s);
}

/* What waits for the kernel to take it is lost, as it would be on the path that was left. */
static void take_path(struct quic_session *s, struct quic_path *path)
{
    if (!path || path == s->path)
        return;
    s->path->quiet = tapsi_loop_now(s->env->loop) + 3 * ngtcp2_conn_get_pto(s->conn);
    s->path = path;
    s->interface_index = path->interface_index;
    s->train_length = 0;
}

/* By the host: the port is not the one it has (told_as). */
static struct quic_path *server_path(struct quic_session *s, const union tapsi_addr *local)
{
    return s->second && tapsi_addr_same_host(local, &s->second->local) ? s->second : &s->first;
}

void tapsi_quic_follow(struct quic_session *s)
{
    const ngtcp2_path *path = ngtcp2_conn_get_path(s->conn);
    union tapsi_addr remote = {0}, local = {0};
    memcpy(&remote, path->remote.addr, path->remote.addrlen);
    memcpy(&local, path->local.addr, path->local.addrlen);
    bool same = tapsi_addr_equal(&remote, &s->remote);
    if (same && tapsi_addr_equal(&local, &s->known))
        return;
    same = same && s->role == TAPSI_ROLE_SERVER && tapsi_addr_same_host(&local, &s->known);
    s->stuck = false;
    s->local = s->known = local;
    s->remote = remote;
    s->path_change = tapsi_loop_now(s->env->loop);
    s->changes++;
    s->unproven++;
    if (s->role == TAPSI_ROLE_CLIENT) {
        take_path(s, tapsi_quic_find_path(s, path));
    } else {
        s->path = server_path(s, &local);
        tapsi_addr_set_port(&s->local, tapsi_addr_port(tapsi_port_local(s->path->port)));
        s->interface_index = 0; /* as routed, unless a packet tells */
    }
    tapsi_quic_size_packets(s);
    if (!same)
        say_moved(s);
}

#define CHANGE_LEAST   (300 * TAPSI_MS)
#define CHANGE_DOUBLED 5 /* times */
#define CHANGES_MOST   10000
#define STARVED        TAPSI_S
#define PINNED         (20 * TAPSI_S)
#define PINNED_MOST    (32 * TAPSI_S) /* by then its probes have made room for a moment */
#define PINNED_WRITES  16             /* with room in the window */
#define PINNED_PROVEN  (6 * TAPSI_S)

/*
 * Each change costs a connection ID, and a client that hears nothing gives no others: without one, its server cannot
 * follow it. So for a while after a change what comes from yet another address is dropped, as a network may; the longer
 * the more changes there were since one was validated. Only a packet that the engine took for the peer's is such a
 * change. A client that was told to stay may have another port, since it may not know of that, but no other host.
 */
static bool may_change_path(const struct quic_session *s, const struct tapsi_datagram *d)
{
    uint64_t wait = CHANGE_LEAST << (s->unproven < CHANGE_DOUBLED ? s->unproven : CHANGE_DOUBLED);
    uint64_t now = tapsi_loop_now(s->env->loop);
    bool late = !s->path_change || now - s->path_change >= wait;
    bool asked = s->second && tapsi_addr_same_host(&d->to, &s->second->local); /* to come there: 18.2 allows it */
    bool host = tapsi_addr_same_host(&d->from, &s->remote) && (asked || tapsi_addr_same_host(&d->to, &s->local));
    bool pinned = s->pinned && now - s->path_change < PINNED_MOST;
    return s->state == QUIC_OPEN && late && !pinned && s->changes < CHANGES_MOST && (host || !s->fixed);
}

/*
 * As what the engine knows the address that a packet came to. When only the peer's address has changed, it goes on with
 * the connection ID that it has; the next change retires that one twice, which ends the connection, or with 0.12 aborts
 * the process; and on the way back to the address before that can abort, too. When its own address is another it takes
 * another ID, and no path is ever the same again. So each path is told it with a port of its own; nobody else reads it.
 */
static union tapsi_addr told_as(const struct quic_session *s, const union tapsi_addr *to)
{
    union tapsi_addr ret = *to;
    uint64_t now = tapsi_loop_now(s->env->loop);
    bool starved = s->unfollowed && now - s->unfollowed >= STARVED && tapsi_addr_same_host(to, &s->local);
    tapsi_addr_set_port(&ret, starved ? tapsi_addr_port(&s->known) : (uint16_t)(tapsi_addr_port(to) + 1 + s->changes));
    return ret;
}

/*
 * A client that is where the engine does not follow it, for want of a connection ID, will not hear that it should give
 * one. So after a while it is followed with the ID that is in use. Then it is pinned: until the engine must have been
 * able to finish with the path before, no other change is let in, with which 0.12 could abort, and 1.x would retire the
 * ID while it keeps it for the way back, and then take the client's next for one too many.
 */
static void note_elsewhere(struct quic_session *s, const union tapsi_addr *before, const union tapsi_addr *told)
{
    uint64_t now = tapsi_loop_now(s->env->loop);
    bool followed = !tapsi_addr_equal(&s->remote, before);
    if (!followed && !s->unfollowed)
        s->unfollowed = now;
    if (!followed)
        return;
    s->unfollowed = 0;
    if (tapsi_addr_port(told) != (uint16_t)(tapsi_addr_port(&s->local) + s->changes))
        s->pinned = PINNED_WRITES;
    else
        s->pinned = 0;
}

/*
 * When the new path is validated the engine validates the one before once more. That takes 1.x three PTO of the path
 * before, at least 3.1 s; 0.12 takes twice as long, and what it does meanwhile has been seen to last longer. That the
 * time is over is noticed when something is written.
 */
static void unpin(struct quic_session *s)
{
    uint64_t now = tapsi_loop_now(s->env->loop), more = 6 * ngtcp2_conn_get_pto(s->conn);
    ngtcp2_conn_info info;
    ngtcp2_conn_get_conn_info(s->conn, &info);
    if (2 * info.bytes_in_flight >= info.cwnd)
        return;
    if (QUIC_NGTCP2_1 && !s->unproven && now - s->proven >= (more > PINNED_PROVEN ? more : PINNED_PROVEN))
        s->pinned = 0;
    else if (now - s->path_change >= PINNED)
        s->pinned--;
}

void tapsi_quic_read_done(struct quic_session *s, bool elsewhere, int r)
{
    if (r != 0)
        read_failed(s, r);
    else if (elsewhere)
        tapsi_quic_follow(s);
    else
        s->unfollowed = 0;
}

void tapsi_quic_read(struct quic_session *s, const struct tapsi_datagram *d)
{
    ngtcp2_path path = tapsi_quic_ngtcp2_path(s);
    ngtcp2_pkt_info info = {.ecn = d->ecn > 0 ? (uint8_t)d->ecn : NGTCP2_ECN_NOT_ECT};
    union tapsi_addr from, to;
    if (!s->conn || !d->length) /* the engine takes one without bytes for an error, and anybody can send it */
        return;
    const union tapsi_addr before = s->remote;
    bool server = s->role == TAPSI_ROLE_SERVER;
    bool moved = server ? s->second && !tapsi_addr_same_host(&d->to, &s->local) : !tapsi_addr_equal(&d->to, &s->local);
    bool there = moved || !tapsi_addr_equal(&d->from, &s->remote);
    bool elsewhere = there || (s->stuck && may_change_path(s, d));
    if (elsewhere) {
        if (there && server && !may_change_path(s, d))
            return;
        from = d->from;
        to = server ? told_as(s, &d->to) : d->to;
        path.remote = (ngtcp2_addr){&from.sa, tapsi_addr_length(&from)};
        path.local = (ngtcp2_addr){&to.sa, tapsi_addr_length(&to)};
    }
    s->has_read = true;
    if (tapsi_quic_may_go_away(s)) {
        tapsi_quic_read_away(s, &path, &info, d, elsewhere);
        return;
    }
    tapsi_quic_reads(s);
    int r = ngtcp2_conn_read_pkt(s->conn, &path, &info, d->data, d->length, tapsi_loop_now(s->env->loop));
    tapsi_quic_reads(NULL);
    tapsi_quic_read_done(s, elsewhere, r);
    if (r != 0 || !there || !server)
        return;
    if (tapsi_addr_equal(&d->from, &s->remote))
        s->interface_index = d->interface_index;
    note_elsewhere(s, &before, &to);
}

/* ---------------------------------------------------------------------------------------------- to the kernel */

/* What a socket says when its way is gone: its address or interface, or all routes. */
static bool is_lasting(int err)
{
    switch (-err) {
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
    case ENODEV:
    case ENXIO:
    case EINVAL:
    case EACCES:
    case EPERM:
        return true;
    default:
        return false;
    }
}

/* False: the kernel takes no more for now. */
static bool put_train(struct quic_session *s)
{
    if (!s->train_length)
        return true;
    size_t segment = s->train_length > s->train_segment ? s->train_segment : 0;
    int r = tapsi_port_write(s->train_path->port, &s->train_way, s->train->data, s->train_length, segment);
    if (r == -EAGAIN)
        return false;
    s->train_length = 0;
    if (r == -ECONNREFUSED)
        s->refused = true;
    if (r == -EMSGSIZE)
        s->packet_most = QUIC_SEGMENT; /* not what the system said before */
    if (r == 0 && s->train_path->failed != ETIMEDOUT)
        s->train_path->failed = 0;
    if (is_lasting(r) && !s->train_path->failed) {
        s->train_path->failed = -r;
        tapsi_quic_dirty(s); /* another path may be taken */
    }
    return true;
}

/* Family 0 is no address, which no address equals. */
static bool same_source(const union tapsi_addr *a, const union tapsi_addr *b)
{
    return a->sa.sa_family == AF_UNSPEC ? b->sa.sa_family == AF_UNSPEC : tapsi_addr_equal(a, b);
}

static bool same_way(const struct tapsi_port_way *a, const struct tapsi_port_way *b)
{
    return a->tos == b->tos && tapsi_addr_equal(&a->to, &b->to) && same_source(&a->from, &b->from);
}

/* Clients have a socket for each. */
static struct quic_path *path_for(struct quic_session *s, const ngtcp2_path *path)
{
    union tapsi_addr local = {0};
    struct quic_path *found = s->mover ? tapsi_quic_find_path(s, path) : NULL;
    if (found || !s->second)
        return found ? found : s->path;
    memcpy(&local, path->local.addr, path->local.addrlen);
    return server_path(s, &local);
}

static struct tapsi_port_way way_of(const struct quic_session *s, const ngtcp2_path *path, uint8_t ecn)
{
    struct tapsi_port_way way = {.tos = tapsi_capacity_dscp(s->profile) << 2 | ecn};
    memcpy(&way.to, path->remote.addr, path->remote.addrlen);
    if (!tapsi_port_is_connected(s->path->port)) {
        memcpy(&way.from, path->local.addr, path->local.addrlen);
        if (tapsi_addr_equal(&way.to, &s->remote))
            way.interface_index = s->interface_index;
    }
    return way;
}

/* The packet lies behind the train. It becomes part of it, or the train goes first. False: it was in the way. */
static bool add_to_train(struct quic_session *s, size_t length, struct quic_path *path,
                         const struct tapsi_port_way *way)
{
    bool trains = tapsi_port_takes_trains(path->port);
    bool fits = s->train_length && trains && length <= s->train_segment && path == s->train_path &&
                same_way(way, &s->train_way) && s->train_length % s->train_segment == 0 &&
                s->train_length / s->train_segment < TAPSI_PORT_TRAIN_MAX &&
                s->train_length + length <= TAPSI_PORT_TRAIN_BYTES;
    if (fits) {
        s->train_length += length;
        return true;
    }
    size_t before = s->train_length;
    bool put = put_train(s);
    if (put && before)
        memmove(s->train->data, s->train->data + before, length);
    if (!put)
        return false;
    s->train_length = s->train_segment = length;
    s->train_path = path;
    s->train_way = *way;
    return true;
}

/* --------------------------------------------------------------------------------------------------- writing */

static struct quic_stream *next_stream(struct quic_session *s)
{
    struct tapsi_sched_entry *first = tapsi_sched_first(&s->sending);
    return first ? TAPSI_CONTAINER(first, struct quic_stream, entry) : NULL;
}

/* Why nothing of this stream went into the packet. True: try another. */
static bool pass_over(struct quic_session *s, struct quic_stream *st, ngtcp2_ssize r, bool *all_blocked)
{
    if (r != NGTCP2_ERR_STREAM_DATA_BLOCKED && r != NGTCP2_ERR_STREAM_SHUT_WR && r != NGTCP2_ERR_STREAM_NOT_FOUND)
        return false;
    if (r == NGTCP2_ERR_STREAM_DATA_BLOCKED && ngtcp2_conn_get_max_data_left(s->conn) == 0) {
        *all_blocked = true;
        return true;
    }
    st->blocked = r == NGTCP2_ERR_STREAM_DATA_BLOCKED;
    if (!st->blocked) {
        st->stopped = true;
        tapsi_quic_stream_news(st);
    }
    tapsi_sched_leave(&s->sending, &st->entry);
    return true;
}

/* One packet: its length, 0 when there is nothing to say or the congestion window is full, or an error. */
static ngtcp2_ssize write_packet(struct quic_session *s, ngtcp2_path *path, ngtcp2_pkt_info *info, uint8_t *to,
                                 size_t room, bool *all_blocked)
{
    uint64_t now = tapsi_loop_now(s->env->loop);
    for (;;) {
        if (tapsi_quic_flow_sends(s)) {
            ngtcp2_ssize r = tapsi_quic_flow_write(s, path, info, to, room, now);
            if (r == NGTCP2_ERR_WRITE_MORE)
                continue;
            return r;
        }
        struct quic_stream *st = *all_blocked ? NULL : next_stream(s);
        ngtcp2_vec vec[VECTORS];
        ngtcp2_ssize taken = -1;
        size_t bytes = 0, count = 0;
        bool fin = false;
        if (st)
            count = tapsi_quic_gather(st, vec, VECTORS, &bytes, &fin);
        if (st && !bytes && !fin) { /* 0.12 aborts when an empty frame is lost */
            tapsi_sched_leave(&s->sending, &st->entry);
            continue;
        }
        uint32_t flags = st ? NGTCP2_WRITE_STREAM_FLAG_MORE : NGTCP2_WRITE_STREAM_FLAG_NONE;
        flags |= fin ? (uint32_t)NGTCP2_WRITE_STREAM_FLAG_FIN : 0u;
        ngtcp2_ssize r = ngtcp2_conn_writev_stream(s->conn, path, info, to, room, &taken, flags, st ? st->id : -1,
                                                   st ? vec : NULL, count, now);
        if (st && taken >= 0) {
            tapsi_quic_advance(st, (size_t)taken, fin && (size_t)taken == bytes);
            tapsi_sched_took(&s->sending, &st->entry, (size_t)taken);
            tapsi_quic_stream_queue(st);
        }
        if (r == NGTCP2_ERR_WRITE_MORE || (st && pass_over(s, st, r, all_blocked)))
            continue;
        return r;
    }
}

static bool ready_to_write(struct quic_session *s)
{
    if (!put_train(s))
        return false;
    if (!s->train)
        s->train = tapsi_buffer_get(&s->env->loop->buffers);
    if (!s->train)
        tapsi_quic_no_memory(s);
    return s->train != NULL;
}

/* By bursts, so that a question that follows the handshake, or an answer, does not wait for the packet before it; the
   engine counts all of one. Only once the handshake is over: 0.12 would hold back the client's second flight. And only
   with a round trip that was seen on this path: that which the engine assumes of a new one, a third of a second, would
   stop a transfer for as long whenever it moves. */
static void pace(struct quic_session *s, size_t written)
{
    ngtcp2_conn_info info;
    s->burst += written;
    if (s->state != QUIC_OPEN || s->burst < QUIC_BURST)
        return;
    ngtcp2_conn_get_conn_info(s->conn, &info);
    if (!info.latest_rtt)
        return;
    s->burst = 0;
    ngtcp2_conn_update_pkt_tx_time(s->conn, tapsi_loop_now(s->env->loop));
}

/* A client was seen at an address that then did not answer to large packets, which is no reason to end: it may be seen
   elsewhere, or only a few packets got lost. The engine writes nothing until it sees it on another path, so its next
   packet is told it as one of such. Not where it has not finished with a path of the same connection ID
   (note_elsewhere): it never will then, and another path could abort 0.12. */
static bool is_about_path(const struct quic_session *s, int r)
{
    return r == NGTCP2_ERR_NO_VIABLE_PATH && s->role == TAPSI_ROLE_SERVER;
}

static void let_go_of_buffer(struct quic_session *s)
{
    if (s->train_length)
        return;
    tapsi_buffer_unref(s->train);
    s->train = NULL;
}

/* A client's first packet is an Initial. Where memory failed for its ClientHello the engine does not say so: it writes
   nothing, or early data alone, and 0.12 aborts when it is called again. */
static bool has_begun(struct quic_session *s, ngtcp2_ssize length, const uint8_t *packet)
{
    s->begun |= s->role == TAPSI_ROLE_SERVER || (length > 0 && (packet[0] & 0xf0) == 0xc0);
    return s->begun;
}

void tapsi_quic_write(struct quic_session *s)
{
    ngtcp2_path_storage storage;
    bool all_blocked = false, blocked = false, pinned = s->pinned;
    if (!s->conn || !ready_to_write(s))
        return;
    size_t quantum = ngtcp2_conn_get_send_quantum(s->conn), written = 0;
    ngtcp2_path_storage_zero(&storage);
    while (s->conn && !blocked && (written < quantum || !written)) {
        ngtcp2_pkt_info info = {0};
        uint8_t *to = s->train->data + s->train_length;
        size_t room = s->train->size - s->train_length;
        if (s->local_peer && room > tapsi_quic_packet_most(s))
            room = tapsi_quic_packet_most(s);
        ngtcp2_ssize n = write_packet(s, &storage.path, &info, to, room, &all_blocked);
        if (n >= 0 && !has_begun(s, n, to))
            n = NGTCP2_ERR_NOMEM;
        s->stuck = n < 0 && is_about_path(s, (int)n) && !pinned;
        if (n < 0 && !s->stuck)
            tapsi_quic_fail(s, (int)n);
        if (n <= 0)
            break;
        struct tapsi_port_way way = way_of(s, &storage.path, info.ecn);
        struct quic_path *path = path_for(s, &storage.path);
        blocked = !add_to_train(s, (size_t)n, path, &way);
        written += (size_t)n;
        if (s->mover && path != s->path)
            tapsi_quic_wrote(s, path);
    }
    if (!s->conn)
        return;
    if (s->local_peer && !s->sized && s->state == QUIC_OPEN && written >= QUIC_BURST)
        tapsi_quic_size_packets(s);
    put_train(s);
    if (written)
        pace(s, written);
    if (written && s->mover)
        tapsi_quic_wrote(s, s->path);
    if (s->changes && s->role == TAPSI_ROLE_SERVER)
        tapsi_quic_follow(s); /* it may have gone back to the path before */
    if (s->pinned)
        unpin(s);
    let_go_of_buffer(s);
    if (s->refused && s->state == QUIC_HANDSHAKE)
        tapsi_quic_network_failed(s, ECONNREFUSED);
}

void tapsi_quic_write_close(struct quic_session *s, const ngtcp2_ccerr *ccerr)
{
    uint8_t packet[QUIC_PACKET_MOST];
    ngtcp2_path_storage storage;
    ngtcp2_pkt_info info = {0};
    if (!s->path->port)
        return;
    put_train(s);
    ngtcp2_path_storage_zero(&storage);
    ngtcp2_ssize n = ngtcp2_conn_write_connection_close(s->conn, &storage.path, &info, packet, sizeof(packet), ccerr,
                                                        tapsi_loop_now(s->env->loop));
    if (n <= 0)
        return;
    struct tapsi_port_way way = way_of(s, &storage.path, info.ecn);
    tapsi_port_write(path_for(s, &storage.path)->port, &way, packet, (size_t)n, 0);
    s->last = s->endpoint || s->state == QUIC_OPEN ? tapsi_buffer_new(&s->env->loop->mem, (size_t)n) : NULL;
    if (s->last)
        memcpy(s->last->data, packet, s->last->used = (uint32_t)n);
}

/* RFC 9000, 10.2.1: ever more rarely. */
void tapsi_quic_say_again(struct quic_session *s, struct quic_endpoint *e, const struct tapsi_datagram *d)
{
    struct tapsi_port_way way = {.to = s->remote, .from = d->to, .interface_index = s->interface_index};
    s->heard++;
    if (s->last && (s->heard & (s->heard - 1)) == 0)
        tapsi_port_write(e->user.port, &way, s->last->data, s->last->used, 0);
}
