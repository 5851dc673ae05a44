/*
 * Which path a client takes (RFC 9000, 9), of those it was given. The engine has one path at a time; another is tried
 * by one of two calls of it:
 *
 *     validate first   a challenge goes by the new path, all else by the old one, until the answer comes: when the old
 *                      path works
 *     at once          everything goes by the new path from now on: when the old one cannot be used any more, or is
 *                      silent. A challenge alone would not do: with full windows, neither end has room for it and its
 *                      answer
 *
 * One is tried at a time. It has 3 PTO, at least TRY_LEAST, to answer; then the next best is tried, and if there is
 * none the engine goes on with it as long as it likes. What did not answer rests, ever longer. Each try costs a
 * connection ID, and a peer that hears nothing gives no others, so tries are 3 PTO apart, at least APART_LEAST, and
 * ever more as long as nothing is acknowledged: six of them last a minute. Without a connection ID, or before the
 * handshake is confirmed, it waits.
 *
 * The path is lost if it is not among those given, or what is sent by it does not leave; silent, if nothing was
 * acknowledged for 3 PTO; slow, by the policy of lowest round trips, if another one's was shorter when it was last
 * used. Round trips are learned by using a path: QUIC has no way to try one and not to take it.
 *
 * Nothing here ends the session. Paths are opened and closed only in tapsi_quic_move, when the engine is not running.
 */
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include "stack/quic/datagram.h"

#define WAYS_MOST    16
#define PATHS_LEFT   4 /* open sockets of paths that were left */
#define TRY_LEAST    (1500 * TAPSI_MS)
#define APART_LEAST  (500 * TAPSI_MS)
#define APART_MOST   (60 * TAPSI_S)
#define BLOCKED_WAIT (100 * TAPSI_MS)
#define REST_FIRST   TAPSI_S
#define REST_MOST    (60 * TAPSI_S)
#define COMPARE      (10 * TAPSI_S) /* between two moves to a quicker path */
#define QUICKER      (2 * TAPSI_MS) /* by which another must be */

struct way {
    struct tapsi_way way;
    char interface[IF_NAMESIZE];
    uint64_t round_trip; /* when it was last used; 0: not known */
    uint64_t rests;      /* it is not tried before */
    unsigned failures;   /* in a row */
};

struct quic_mover {
    struct quic_session *session; /* not a reference */
    struct tapsi_timer timer;
    struct way ways[WAYS_MOST];
    unsigned count;
    struct quic_path *trying; /* the engine is validating it */
    bool overdue;             /* `trying`: it had its time */
    uint64_t deadline;        /* of `trying` */
    uint64_t challenged;      /* when its first packet left */
    uint64_t next;            /* nothing is tried before */
    unsigned tries;           /* since something was acknowledged */
    uint64_t compare;         /* nor for a quicker path */
    uint64_t asked;           /* when the first packet left that is not acknowledged; 0: all are */
    uint64_t in_flight;       /* bytes, when last looked */
    uint64_t wake;            /* when to look again */
    uint64_t pto;             /* with a round trip that was seen: on a path that is new, the engine knows none */
};

enum reason { STAYS, LOST, SILENT, SLOW };

/* -------------------------------------------------------------------------------------------------- questions */

static uint64_t now_of(const struct quic_mover *m)
{
    return tapsi_loop_now(m->session->env->loop);
}

static uint64_t at_least(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t pto(const struct quic_mover *m)
{
    return ngtcp2_conn_get_pto(m->session->conn);
}

static void wake_at(struct quic_mover *m, uint64_t when)
{
    m->wake = when < m->wake ? when : m->wake;
}

static bool is_by(const struct quic_path *p, const struct way *w)
{
    const struct tapsi_way *way = &w->way;
    if (way->local.sa.sa_family && !tapsi_addr_same_host(&way->local, &p->local))
        return false;
    if (way->interface_index && p->interface_index && way->interface_index != p->interface_index)
        return false;
    return !way->remote.sa.sa_family || tapsi_addr_equal(&way->remote, &p->remote);
}

static struct way *way_of(struct quic_mover *m, const struct quic_path *p)
{
    for (unsigned i = 0; i < m->count; i++) {
        if (is_by(p, &m->ways[i]))
            return &m->ways[i];
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------------------- what happened */

static void warn(struct quic_mover *m, const struct quic_path *p, int code, const char *what)
{
    struct tapsi_error error;
    char local[TAPSI_ADDR_TEXT], remote[TAPSI_ADDR_TEXT];
    tapsi_error_set(&error, code, "the path from %s to %s %s", tapsi_addr_text(&p->local, local),
                    tapsi_addr_text(&p->remote, remote), what);
    tapsi_quic_warn(m->session, &error);
}

static void rest(struct quic_mover *m, struct way *w)
{
    if (!w)
        return;
    uint64_t time = REST_FIRST << (w->failures < 8 ? w->failures : 8);
    w->failures++;
    w->rests = now_of(m) + (time < REST_MOST ? time : REST_MOST);
}

/* It does not answer. Said once. */
static void give_up(struct quic_mover *m, struct quic_path *p)
{
    if (p == m->trying && m->overdue)
        return;
    rest(m, way_of(m, p));
    warn(m, p, TAPS_E_TIMEOUT, "did not answer");
}

static void has_answered(struct quic_mover *m, struct quic_path *p)
{
    struct way *w = way_of(m, p);
    p->failed = 0;
    if (!w)
        return;
    w->failures = 0;
    w->rests = 0;
    w->round_trip = m->challenged ? now_of(m) - m->challenged : 0;
}

/* What the engine said of a path since this was last looked at. */
static void settle(struct quic_mover *m, struct quic_path *p)
{
    struct quic_session *s = m->session;
    bool tried = p == m->trying, good = p->verdict == NGTCP2_PATH_VALIDATION_RESULT_SUCCESS + 1;
    p->verdict = 0;
    if (good)
        has_answered(m, p);
    else if (tried)
        give_up(m, p);
    if (tried)
        m->trying = NULL;
    if (!good && p != s->path)
        tapsi_quic_close_path(p);
    else if (!good && tried)
        p->failed = ETIMEDOUT; /* it was taken at once */
}

static void close_left(struct quic_mover *m)
{
    struct quic_session *s = m->session;
    struct tapsi_link *next;
    unsigned count = 0;
    for (struct tapsi_link *l = s->paths.prev; l != &s->paths; l = next) { /* the newest first */
        struct quic_path *p = TAPSI_CONTAINER(l, struct quic_path, link);
        next = l->prev;
        if (p == s->path || p == m->trying)
            continue;
        if (p->quiet <= now_of(m) || ++count > PATHS_LEFT)
            tapsi_quic_close_path(p);
        else
            wake_at(m, p->quiet);
    }
}

static uint64_t apart(const struct quic_mover *m)
{
    static const uint8_t times[] = {1, 1, 2, 8, 32, 64};
    uint64_t time = at_least(3 * m->pto, APART_LEAST) * times[m->tries < 5 ? m->tries : 5];
    return time < APART_MOST ? time : APART_MOST;
}

/* There is a reason to be in no more than the usual distance. */
static void hurry(struct quic_mover *m)
{
    uint64_t soon;
    m->tries = 0;
    soon = now_of(m) + apart(m);
    m->next = m->next < soon ? m->next : soon;
}

/* Acknowledgements are what anybody else cannot send. */
static void listen_for_acks(struct quic_mover *m)
{
    ngtcp2_conn_info info;
    ngtcp2_conn_get_conn_info(m->session->conn, &info);
    if (info.bytes_in_flight < m->in_flight || !info.bytes_in_flight)
        m->asked = 0;
    if (info.bytes_in_flight < m->in_flight) {
        hurry(m);
        if (m->session->path->failed == ETIMEDOUT)
            m->session->path->failed = 0;
    }
    m->in_flight = info.bytes_in_flight;
    if (info.latest_rtt)
        m->pto = pto(m);
}

/* The engine forgets it when it takes another path. */
static void note_round_trip(struct quic_mover *m)
{
    ngtcp2_conn_info info;
    struct way *w = way_of(m, m->session->path);
    ngtcp2_conn_get_conn_info(m->session->conn, &info);
    if (w && info.latest_rtt)
        w->round_trip = info.smoothed_rtt;
}

static void look_at_paths(struct quic_mover *m)
{
    struct quic_session *s = m->session;
    struct tapsi_link *next;
    const struct quic_path *path = s->path;
    listen_for_acks(m);
    tapsi_quic_follow(s);
    if (s->path != path)
        m->asked = 0;
    for (struct tapsi_link *l = s->paths.next; l != &s->paths; l = next) {
        struct quic_path *p = TAPSI_CONTAINER(l, struct quic_path, link);
        next = l->next;
        if (p->verdict)
            settle(m, p);
    }
    if (m->trying && !m->overdue && m->deadline <= now_of(m)) {
        give_up(m, m->trying);
        m->overdue = true;
    }
    if (m->trying && !m->overdue)
        wake_at(m, m->deadline);
    note_round_trip(m);
    close_left(m);
}

/* --------------------------------------------------------------------------------------------------- choosing */

static bool is_silent(struct quic_mover *m)
{
    uint64_t limit = m->asked + 3 * pto(m);
    if (!m->asked)
        return false;
    if (limit > now_of(m))
        wake_at(m, limit);
    return limit <= now_of(m);
}

static enum reason reason_to_move(struct quic_mover *m)
{
    struct quic_session *s = m->session;
    if (s->path->failed || !way_of(m, s->path))
        return LOST;
    if (is_silent(m))
        return SILENT;
    return s->policy == TAPS_POLICY_INTERACTIVE ? SLOW : STAYS;
}

/* Worth a try for its round trip? */
static bool may_be_quicker(const struct quic_mover *m, const struct way *w, uint64_t current)
{
    if (!w->round_trip)
        return true;
    return now_of(m) >= m->compare && current > w->round_trip + at_least(current / 8, QUICKER);
}

static bool is_tried(const struct quic_mover *m, const struct way *w)
{
    return m->trying && is_by(m->trying, w);
}

static bool is_elsewhere(struct quic_mover *m, const struct way *w)
{
    const struct way *current = way_of(m, m->session->path);
    unsigned own = current ? current->way.interface_index : m->session->path->interface_index;
    return own && w->way.interface_index && w->way.interface_index != own;
}

/* Than `best`, which comes before it. What made a path silent has made others of its interface silent, too. */
static bool is_better(struct quic_mover *m, const struct way *w, const struct way *best)
{
    if (m->session->policy == TAPS_POLICY_INTERACTIVE && w->round_trip && best->round_trip)
        return w->round_trip < best->round_trip;
    return m->asked && is_elsewhere(m, w) && !is_elsewhere(m, best) && w->failures <= best->failures;
}

/* The best that may be tried now. */
static struct way *choose(struct quic_mover *m, enum reason reason)
{
    struct quic_session *s = m->session;
    struct way *best = NULL;
    const struct way *own = way_of(m, s->path);
    uint64_t current = own ? own->round_trip : 0;
    for (unsigned i = 0; i < m->count; i++) {
        struct way *w = &m->ways[i];
        if (is_by(s->path, w) || is_tried(m, w) || (reason == SLOW && !may_be_quicker(m, w, current)))
            continue;
        if (w->rests > now_of(m))
            wake_at(m, w->rests);
        else if (!best || is_better(m, w, best))
            best = w;
    }
    return best;
}

/* ----------------------------------------------------------------------------------------------------- moving */

static int begin(struct quic_mover *m, struct quic_path *p, bool at_once)
{
    ngtcp2_path path = {.local = {&p->local.sa, tapsi_addr_length(&p->local)},
                        .remote = {&p->remote.sa, tapsi_addr_length(&p->remote)}};
    ngtcp2_conn *conn = m->session->conn;
    return at_once ? ngtcp2_conn_initiate_immediate_migration(conn, &path, now_of(m))
                   : ngtcp2_conn_initiate_migration(conn, &path, now_of(m));
}

/* Why the engine does not begin. There may be connection IDs later; else it is like a path that does not answer. */
static void refused(struct quic_mover *m, struct way *w, struct quic_path *p, int r)
{
    tapsi_quic_close_path(p);
    if (r == NGTCP2_ERR_NOMEM || r == NGTCP2_ERR_CALLBACK_FAILURE)
        tapsi_quic_no_memory(m->session);
    else if (r == NGTCP2_ERR_CONN_ID_BLOCKED || r == NGTCP2_ERR_INVALID_STATE || r == NGTCP2_ERR_CONNECTION_ID_LIMIT)
        m->next = now_of(m) + at_least(apart(m) / 4, BLOCKED_WAIT);
    else
        rest(m, w);
    wake_at(m, m->next);
}

static struct quic_path *open_way(struct quic_mover *m, struct way *w)
{
    struct quic_session *s = m->session;
    struct tapsi_error error;
    struct tapsi_target target = {.remote = w->way.remote.sa.sa_family ? &w->way.remote : &s->remote,
                                  .local = w->way.local.sa.sa_family ? &w->way.local : NULL,
                                  .interface = w->way.interface,
                                  .interface_index = w->way.interface_index};
    struct quic_path *p = tapsi_quic_add_path(s, &target, &error);
    if (p)
        return p;
    rest(m, w);
    wake_at(m, w->rests);
    tapsi_quic_warn(s, &error);
    return NULL;
}

static void move_to(struct quic_mover *m, struct way *w, bool at_once)
{
    struct quic_session *s = m->session;
    struct quic_path *p = open_way(m, w);
    if (!p)
        return;
    int r = begin(m, p, at_once);
    if (r != 0) {
        refused(m, w, p, r);
        return;
    }
    m->trying = p; /* the engine says of the one before that it was given up */
    m->overdue = false;
    m->challenged = 0;
    m->deadline = now_of(m) + at_least(3 * m->pto, TRY_LEAST);
    m->tries++;
    m->next = now_of(m) + apart(m);
    m->compare = now_of(m) + COMPARE;
    wake_at(m, m->deadline);
    if (at_once)
        tapsi_quic_follow(s);
    tapsi_quic_dirty(s);
}

static void consider(struct quic_mover *m)
{
    if (!m->count || !m->session->confirmed)
        return;
    if (m->trying && !m->overdue && way_of(m, m->trying)) {
        wake_at(m, m->deadline);
        return;
    }
    enum reason reason = reason_to_move(m);
    struct way *w = reason == STAYS ? NULL : choose(m, reason);
    if (!w)
        return;
    if (m->next > now_of(m))
        wake_at(m, m->next);
    else
        move_to(m, w, reason != SLOW);
}

static void arm(struct quic_mover *m)
{
    struct tapsi_loop *loop = m->session->env->loop;
    if (m->wake == UINT64_MAX)
        tapsi_timer_cancel(loop, &m->timer);
    else
        tapsi_timer_start_at(loop, &m->timer, at_least(m->wake, now_of(m) + 1));
}

void tapsi_quic_move(struct quic_session *s)
{
    struct quic_mover *m = s->mover;
    m->wake = UINT64_MAX;
    if (s->conn && s->state == QUIC_OPEN) {
        look_at_paths(m);
        consider(m);
    }
    arm(m);
}

/* ------------------------------------------------------------------------------------------------------- told */

void tapsi_quic_wrote(struct quic_session *s, const struct quic_path *path)
{
    struct quic_mover *m = s->mover;
    ngtcp2_conn_info info;
    if (path == m->trying && !m->challenged)
        m->challenged = now_of(m);
    ngtcp2_conn_get_conn_info(s->conn, &info);
    m->in_flight = info.bytes_in_flight;
    if (!m->asked && info.bytes_in_flight)
        m->asked = now_of(m);
}

bool tapsi_quic_tries(const struct quic_session *s, const struct quic_path *path)
{
    return s->mover && s->mover->trying == path;
}

void tapsi_quic_path_gone(struct quic_session *s, const struct quic_path *path)
{
    if (s->mover && s->mover->trying == path)
        s->mover->trying = NULL;
}

static void on_timer(struct tapsi_timer *timer)
{
    tapsi_quic_dirty(TAPSI_CONTAINER(timer, struct quic_mover, timer)->session);
}

static struct quic_mover *mover_of(struct quic_session *s)
{
    struct tapsi_loop *loop = s->env->loop;
    if (s->mover)
        return s->mover;
    struct quic_mover *m = tapsi_zalloc(&loop->mem, sizeof(*m));
    if (!m || tapsi_timer_init(loop, &m->timer, on_timer)) {
        tapsi_free(&loop->mem, m);
        return NULL;
    }
    m->session = s;
    m->pto = s->conn ? pto(m) : 0;
    s->mover = m;
    return m;
}

/* Nor to what is nearer than the server itself: it could have us send into our own host or network (RFC 9000, 21.5). */
static bool may_try(const struct quic_session *s, const union tapsi_addr *remote)
{
    enum tapsi_reach reach = tapsi_addr_reach(remote);
    bool may = tapsi_select_multipath(s->env->properties, TAPSI_ROLE_CLIENT) != TAPS_MULTIPATH_DISABLED;
    return may && tapsi_addr_port(remote) && !tapsi_addr_equal(remote, &s->remote) && reach != TAPSI_REACH_NOWHERE &&
           reach >= tapsi_addr_reach(&s->remote);
}

const struct quic_path *tapsi_quic_try(struct quic_session *s, const union tapsi_addr *remote)
{
    struct tapsi_error error;
    union tapsi_addr local = s->local;
    struct tapsi_target target = {.remote = remote,
                                  .local = &local,
                                  .interface = tapsi_port_interface(s->path->port),
                                  .interface_index = s->interface_index};
    if (!may_try(s, remote))
        return NULL;
    struct quic_mover *m = mover_of(s);
    tapsi_addr_set_port(&local, 0);
    struct quic_path *p = m && !m->trying ? tapsi_quic_add_path(s, &target, &error) : NULL;
    if (!p)
        return NULL;
    m->trying = p;
    m->overdue = false;
    m->challenged = 0;
    m->deadline = now_of(m) + at_least(3 * m->pto, TRY_LEAST);
    return p;
}

void tapsi_quic_mover_free(struct quic_session *s)
{
    if (!s->mover)
        return;
    tapsi_timer_done(s->env->loop, &s->mover->timer);
    tapsi_free(&s->env->loop->mem, s->mover);
    s->mover = NULL;
}

/* Both may be left open. */
static bool is_same_address(const union tapsi_addr *a, const union tapsi_addr *b)
{
    return (!a->sa.sa_family && !b->sa.sa_family) || tapsi_addr_equal(a, b);
}

static bool is_same(const struct tapsi_way *a, const struct tapsi_way *b)
{
    bool named = a->interface && b->interface;
    return is_same_address(&a->local, &b->local) && is_same_address(&a->remote, &b->remote) &&
           a->interface_index == b->interface_index &&
           (named ? strncmp(a->interface, b->interface, IF_NAMESIZE) == 0 : !a->interface && !b->interface);
}

/* A copy, with what is known of it. False: nothing is. */
static bool take_way(struct way *to, const struct tapsi_way *way, const struct way *old, unsigned old_count)
{
    bool known = false;
    *to = (struct way){.way = *way};
    for (unsigned i = 0; i < old_count && !known; i++) {
        known = is_same(&old[i].way, way);
        if (known)
            *to = old[i];
    }
    if (way->interface) {
        tapsi_format(to->interface, sizeof(to->interface), "%s", way->interface);
        to->way.interface = to->interface;
    }
    return known;
}

static int may_move(struct quic_session *s, struct tapsi_error *ret_error)
{
    if (s->state != QUIC_OPEN || !s->conn)
        return tapsi_error_set(ret_error, TAPS_E_STATE, "the QUIC connection is over");
    if (s->role != TAPSI_ROLE_CLIENT)
        return tapsi_error_set(ret_error, TAPS_E_NOT_APPLICABLE, "of QUIC, only who initiated it can take other paths");
    if (ngtcp2_conn_get_remote_transport_params(s->conn)->disable_active_migration)
        return tapsi_error_set(ret_error, TAPS_E_POLICY, "%s forbids other paths", s->hs.peer);
    if (!ngtcp2_conn_get_dcid(s->conn)->datalen)
        return tapsi_error_set(ret_error, TAPS_E_POLICY,
                               "%s has no connection IDs, without which no other path can be taken", s->hs.peer);
    return 0;
}

int tapsi_quic_paths(struct quic_session *s, const struct tapsi_way *ways, size_t count, struct tapsi_error *ret_error)
{
    struct way old[WAYS_MOST];
    bool news = false;
    int err = count ? may_move(s, ret_error) : 0;
    if (err || (!count && !s->mover))
        return err;
    struct quic_mover *m = mover_of(s);
    if (!m)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for the paths of a QUIC connection");
    unsigned old_count = m->count;
    memcpy(old, m->ways, sizeof(old));
    for (unsigned i = 0; i < old_count; i++)
        old[i].way.interface = old[i].way.interface ? old[i].interface : NULL;
    m->count = count < WAYS_MOST ? (unsigned)count : WAYS_MOST;
    for (unsigned i = 0; i < m->count; i++)
        news |= !take_way(&m->ways[i], &ways[i], old, old_count);
    if (news && s->conn)
        hurry(m);
    tapsi_quic_dirty(s);
    return 0;
}
