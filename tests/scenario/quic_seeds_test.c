/*
 * QUIC by random numbers: a session on a link that loses, delays, reorders, repeats and narrows, streams opened by both
 * ends, and ends of all kinds. Whatever the dice say: what arrives is a beginning of what was sent; nothing is missing
 * where nobody aborted; each Connection ends once; nothing is left. The observer asks its own. The same seed is the
 * same run but for TLS's own dice; TAPS_SEED=N runs that one alone, TAPS_SEED_FROM=N begins there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "peer.h"

#define FLOWS    24
#define LIMIT_MS 1800000 /* of virtual time, for all to end */
#define AHEAD    3       /* Sends that wait at a time */

enum ending { WITH_FINAL, WITH_CLOSE, OPENER_ABORTS, ACCEPTOR_ABORTS };
enum group_end { EACH_ALONE, CLOSE_WHEN_DONE, CLOSE_AT_ONCE, ABORT_AT_ONCE };

struct play;

/* One end of a stream. */
struct flow {
    struct play *play;
    taps_connection *connection;
    struct flow *other; /* the acceptor of an opener and the other way round, as soon as the first byte has told */
    bool client, opener, echo;
    enum ending ending;
    size_t total, abort_at; /* of an opener */
    size_t sent, got;
    unsigned waiting, ready, ends, final;
    int code;
    char detail[200];
    bool spoiled; /* one of both has aborted */
    bool closing;
};

struct play {
    struct world w;
    taps_context *server;
    size_t server_blocks;
    taps_preconnection *preconnection;
    taps_listener *listener;
    struct flow flows[FLOWS];
    unsigned count, to_open[2]; /* by the server, the client */
    double loss;
    bool reorders;
    enum group_end group_end;
    bool client_ends, ending, cut; /* the group was ended before all was done */
};

static uint32_t state;

static unsigned dice(unsigned sides)
{
    state = state * 1664525u + 1013904223u;
    return (unsigned)((uint64_t)(state >> 8) * sides >> 24);
}

/* Byte `at` of the stream that flow `number` has opened; the first tells which that is. */
static uint8_t byte_of(unsigned number, size_t at)
{
    return (uint8_t)(at ? at * 31 + (at >> 8) * 7 + number * 13 : number);
}

static unsigned number_of(const struct flow *f)
{
    return (unsigned)(f - f->play->flows);
}

/* ------------------------------------------------------------------------------------------------------ sending */

static void close_it(struct flow *f)
{
    if (!f->closing)
        taps_connection_close(f->connection);
    f->closing = true;
}

static void abort_it(struct flow *f)
{
    f->spoiled = f->closing = true;
    if (f->other)
        f->other->spoiled = true;
    taps_connection_abort(f->connection);
}

static bool send_piece(struct flow *f, size_t count, bool last)
{
    static uint8_t bytes[65536];
    taps_message_context *context = NULL;
    for (size_t i = 0; i < count; i++)
        bytes[i] = byte_of(number_of(f), f->sent + i);
    if (last && f->ending == WITH_FINAL) {
        taps_message_context_new(&context);
        taps_message_context_set(context, "final", "true");
    }
    int err = taps_connection_send(f->connection, bytes, count, context, 0, NULL);
    taps_message_context_free(context);
    if (err)
        return false;
    f->sent += count;
    f->waiting++;
    return true;
}

static void send_more(struct flow *f)
{
    while (f->waiting < AHEAD && f->sent < f->total && !f->closing) {
        size_t left = f->total - f->sent, count = 1 + dice(dice(3) ? 3000 : 60000);
        count = count < left ? count : left;
        if (!send_piece(f, count, count == left))
            return;
    }
    if (f->sent < f->total || f->closing)
        return;
    if (f->ending == WITH_CLOSE)
        close_it(f);
}

/* ------------------------------------------------------------------------------------------------------- events */

static void hear(struct flow *f)
{
    static const size_t most[] = {65536, 65536, 1000, SIZE_MAX};
    if (!f->final && !f->closing)
        taps_connection_receive(f->connection, 1, most[dice(4)], NULL);
}

static void on_ready(taps_connection *c, void *user)
{
    struct flow *f = user;
    (void)c;
    f->ready++;
    if (f->echo)
        hear(f);
    send_more(f);
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    struct flow *f = user;
    (void)c;
    (void)tag;
    f->waiting--;
    if (!f->opener)
        return;
    if (f->ending == OPENER_ABORTS && f->sent >= f->abort_at && !f->closing)
        abort_it(f);
    send_more(f);
}

static void on_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    (void)error;
    ((struct flow *)user)->waiting--;
}

static void find_opener(struct flow *f, uint8_t first)
{
    struct flow *o = &f->play->flows[first % FLOWS];
    if (first >= f->play->count || !o->opener || o->other || o->client == f->client) {
        tapsi_test_fail(__FILE__, __LINE__, "a stream nobody has opened, or twice: %u", first);
        return;
    }
    o->other = f;
    f->other = o;
    f->echo = o->echo;
    f->spoiled = o->spoiled;
}

static void check_bytes(struct flow *f, const uint8_t *bytes, size_t count)
{
    const struct flow *o = f->opener ? f : f->other;
    size_t wrong = 0;
    for (size_t i = 0; o && i < count; i++)
        wrong += bytes[i] != byte_of(number_of(o), f->got + i);
    CHECK_INT(wrong, 0);
    f->got += count;
    CHECK(!o || f->got <= (f->opener ? o->other ? o->other->sent : 0 : o->sent));
}

static void on_data(taps_connection *c, const struct taps_received *m, void *user)
{
    struct flow *f = user;
    if (!f->opener && !f->other && m->length)
        find_opener(f, *(const uint8_t *)m->data);
    check_bytes(f, m->data, m->length);
    f->final += m->final;
    if (!f->opener && f->echo && m->length && !f->closing &&
        taps_connection_send(c, m->data, m->length, NULL, 0, NULL) == 0) {
        f->sent += m->length;
        f->waiting++;
    }
    if (!f->opener && f->other && f->other->ending == ACCEPTOR_ABORTS && f->got >= f->other->abort_at && !f->closing)
        abort_it(f);
    else if (f->final && (f->opener ? dice(2) : f->play->ending || f->other != f->play->flows))
        close_it(f);
    hear(f);
}

static void on_closed(taps_connection *c, void *user)
{
    (void)c;
    ((struct flow *)user)->ends++;
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct flow *f = user;
    (void)c;
    f->ends++;
    f->code = error->code;
    snprintf(f->detail, sizeof(f->detail), "%s", error->detail);
}

static void on_stream(taps_connection *c, taps_connection *stream, void *user);

static const struct taps_connection_events events = {.ready = on_ready,
                                                     .establishment_error = on_error,
                                                     .sent = on_sent,
                                                     .send_error = on_send_error,
                                                     .received = on_data,
                                                     .received_partial = on_data,
                                                     .closed = on_closed,
                                                     .connection_error = on_error,
                                                     .connection_received = on_stream};

static void came(struct play *p, bool client, taps_connection *c)
{
    struct flow *f = &p->flows[p->count];
    if (p->count == FLOWS) {
        tapsi_test_fail(__FILE__, __LINE__, "more streams than were opened");
        taps_connection_free(c);
        return;
    }
    p->count++;
    *f = (struct flow){.play = p, .connection = c, .client = client};
    taps_connection_set_events(c, &events, f);
    hear(f);
}

static void on_stream(taps_connection *c, taps_connection *stream, void *user)
{
    struct flow *f = user;
    (void)c;
    came(f->play, f->client, stream);
}

static void on_received(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    came(user, false, c);
}

static const struct taps_listener_events listener_events = {.connection_received = on_received};

/* ------------------------------------------------------------------------------------------------------ opening */

static struct flow *plan_flow(struct play *p, bool client)
{
    struct flow *f = &p->flows[p->count++];
    *f = (struct flow){.play = p, .client = client, .opener = true};
    f->total = 1 + dice(dice(6) ? dice(2) ? 100 : 8000 : 200000);
    f->ending = dice(3) ? WITH_FINAL : dice(2) ? WITH_CLOSE : dice(2) ? OPENER_ABORTS : ACCEPTOR_ABORTS;
    f->abort_at = 1 + dice((unsigned)f->total);
    f->echo = f->ending != WITH_CLOSE && dice(4);
    return f;
}

static void describe(const struct flow *f)
{
    printf("# %s %u of the %s: ending %d, total %zu, sent %zu, got %zu, final %u, ready %u, ends %u, %s %s\n",
           f->opener ? "opener" : "acceptor", number_of(f), f->client ? "client" : "server", (int)f->ending, f->total,
           f->sent, f->got, f->final, f->ready, f->ends, taps_err_name(f->code), f->detail);
}

/* The direction is always said: that of the parent may be one in which nothing can be opened. */
static void clone_it(struct flow *f, const struct flow *parent, const char *direction)
{
    taps_transport_properties *properties;
    taps_transport_properties_new(&properties);
    taps_transport_properties_set(properties, "direction", direction);
    int err = taps_connection_clone(parent->connection, NULL, properties, &events, f, &f->connection);
    taps_transport_properties_free(properties);
    if (err) {
        tapsi_test_fail(__FILE__, __LINE__, "Clone: %s", taps_err_name(err));
        describe(parent);
        f->ends = 1;
    }
}

static void open_one(struct play *p, bool client)
{
    const struct flow *parent = NULL;
    for (unsigned i = 0; i < p->count && !parent; i++) {
        const struct flow *f = &p->flows[i];
        parent = f->client == client && f->ready + !f->opener && !f->ends && !f->closing ? f : NULL;
    }
    if (!parent)
        return;
    p->to_open[client]--;
    struct flow *f = plan_flow(p, client);
    clone_it(f, parent, !f->echo && dice(2) ? "unidirectional send" : "bidirectional");
}

static void *count_blocks(void *user, void *block, size_t size)
{
    struct play *p = user;
    if (size == 0) {
        p->server_blocks -= block != NULL;
        free(block);
        return NULL;
    }
    void *grown = realloc(block, size);
    p->server_blocks += !block && grown;
    return grown;
}

static void listen_there(struct play *p)
{
    static struct tapsi_test_identity identity;
    struct taps_allocator allocator = {count_blocks, p};
    const struct taps_context_options options = {.allocator = &allocator};
    taps_security_parameters *security;
    if (!identity.certificate)
        identity = peer_certificate("192.0.2.1", NULL, NULL);
    p->server = world_context(p->w.sim, p->w.server, &options);
    taps_preconnection_new(p->server, &p->preconnection);
    taps_security_parameters_new(&security);
    taps_security_parameters_add_alpn(security, "taps-test");
    taps_security_parameters_add_server_certificate_pem(security, identity.certificate, strlen(identity.certificate),
                                                        identity.key, strlen(identity.key));
    taps_preconnection_add_local_text(p->preconnection, "192.0.2.1:443");
    taps_preconnection_set_transport_properties(p->preconnection, p->w.properties);
    taps_preconnection_set_security_parameters(p->preconnection, security);
    CHECK_INT(taps_preconnection_listen(p->preconnection, &listener_events, p, &p->listener), 0);
    taps_security_parameters_free(security);
}

static void random_link(struct play *p)
{
    static const double loss[] = {0, 0.01, 0.05, 0.2};
    struct tapsi_sim_link *link = p->w.link;
    p->loss = loss[dice(4)];
    tapsi_sim_link_loss(link, p->loss);
    tapsi_sim_link_delay(link, dice(60) * TAPSI_SIM_MS);
    if (dice(2))
        tapsi_sim_link_jitter(link, dice(10) * TAPSI_SIM_MS);
    p->reorders = dice(3) == 0;
    if (p->reorders)
        tapsi_sim_link_reorder(link, 0.1, 30 * TAPSI_SIM_MS);
    if (dice(3) == 0)
        tapsi_sim_link_duplicate(link, 0.1);
    if (dice(3) == 0)
        tapsi_sim_link_mtu(link, 1228, dice(2));
    if (dice(4) == 0)
        tapsi_sim_link_mark(link, 0.05);
    if (dice(4) == 0)
        tapsi_sim_link_rate(link, 2000000 + 1000000 * dice(20));
}

static void begin(struct play *p, unsigned seed)
{
    memset(p, 0, sizeof(*p));
    world_new_seeded(&p->w, seed);
    taps_transport_properties_set(p->w.properties, "multistreaming", "require");
    taps_transport_properties_set(p->w.properties, "_closeTimeout", "600"); /* seven probes in a row may be lost */
    world_secure(&p->w);
    taps_security_parameters_add_alpn(p->w.security, "taps-test");
    world_start(&p->w);
    listen_there(p);
    world_run_ms(&p->w, 10);
    random_link(p);
    p->to_open[0] = dice(4);
    p->to_open[1] = dice(6);
    p->group_end = dice(2) ? EACH_ALONE : (enum group_end)dice(4);
    p->client_ends = dice(2);
    struct flow *f = plan_flow(p, true);
    f->echo = true;
    f->ending = WITH_FINAL; /* the session lives as long as this one, which its acceptor does not close */
    taps_preconnection_add_remote_text(p->w.preconnection, "192.0.2.1:443");
    taps_preconnection_set_transport_properties(p->w.preconnection, p->w.properties);
    taps_preconnection_set_security_parameters(p->w.preconnection, p->w.security);
    CHECK_INT(taps_preconnection_initiate(p->w.preconnection, 0, &events, f, &f->connection), 0);
}

/* ------------------------------------------------------------------------------------------------------- ending */

/* Everything that the opener wanted to have said has been heard, or never will be. */
static bool is_done(const struct flow *f)
{
    return f->ends || f->spoiled || (f->other && f->other->final && (!f->echo || f->got == f->total));
}

static bool all_done(const struct play *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        if (p->flows[i].opener && !is_done(&p->flows[i]))
            return false;
    }
    return !p->to_open[0] && !p->to_open[1];
}

static bool all_ended(const struct play *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        if (!p->flows[i].ends)
            return false;
    }
    return true;
}

static void close_what_lives(struct play *p)
{
    for (unsigned i = 0; i < p->count; i++)
        close_it(&p->flows[i]);
}

static struct flow *living(struct play *p, bool client)
{
    for (unsigned i = 0; i < p->count; i++) {
        if (p->flows[i].client == client && !p->flows[i].ends)
            return &p->flows[i];
    }
    return NULL;
}

static void end_group(struct play *p)
{
    const struct flow *f = living(p, p->client_ends);
    p->to_open[0] = p->to_open[1] = 0;
    if (!f)
        return;
    for (unsigned i = 0; i < p->count; i++)
        p->flows[i].closing |= p->flows[i].client == p->client_ends;
    if (p->group_end == ABORT_AT_ONCE) {
        p->cut = true;
        taps_connection_abort_group(f->connection);
    } else {
        taps_connection_close_group(f->connection);
    }
}

static bool has_failed(const struct play *p)
{
    return p->flows[0].ends && !p->flows[0].ready;
}

static void run_it(struct play *p)
{
    struct world *w = &p->w;
    uint64_t until = tapsi_sim_now(w->sim) + LIMIT_MS * TAPSI_SIM_MS;
    unsigned steps = 0, cut_after = dice(60);
    while (!all_done(p) && !has_failed(p) && !p->cut && tapsi_sim_now(w->sim) < until) {
        unsigned ms = 1 + dice(100);
        bool client = dice(2);
        if (p->to_open[client])
            open_one(p, client);
        if (p->group_end >= CLOSE_AT_ONCE && p->flows[0].ready && steps++ >= cut_after) {
            p->cut = true;
            break;
        }
        world_run_ms(w, ms);
    }
    p->ending = true;
    if (p->group_end != EACH_ALONE)
        end_group(p);
    else
        close_what_lives(p);
    for (unsigned i = 0; i < (p->cut ? 300 : 5) && !all_ended(p); i++)
        world_run_ms(w, 1000);
    close_what_lives(p);
    while (!all_ended(p) && tapsi_sim_now(w->sim) < until)
        world_run_ms(w, 1000);
}

/* ------------------------------------------------------------------------------------------------------ judging */

static void complain(const struct flow *f, const char *what)
{
    tapsi_test_fail(__FILE__, __LINE__, "stream %u: %s", number_of(f), what);
    describe(f);
    if (f->other)
        describe(f->other);
}

/* The client goes when its last stream has ended. Its last words may be lost, or overtake others: the server then
   cannot know that all has arrived. */
static bool may_miss_the_end(const struct flow *f)
{
    return !f->client && (f->play->loss > 0 || f->play->reorders);
}

/* Nobody aborted, and there was time. */
static void check_whole(const struct flow *f)
{
    const struct flow *o = f->other;
    if (f->code && !may_miss_the_end(f))
        complain(f, "an error");
    if (f->sent != f->total)
        complain(f, "not all was sent");
    if (!o || o->got != f->total || o->final != 1 || (o->code && !may_miss_the_end(o)))
        complain(f, "not all arrived");
    if (f->echo && (f->got != f->total || (number_of(f) && f->final != 1)))
        complain(f, "not all came back");
}

/* The group was closed by the side of `f`: what was sent before arrives. */
static void check_closed(const struct flow *f)
{
    const struct flow *o = f->other;
    if (f->sent && (!o || o->got != f->sent))
        complain(f, "not all arrived before CloseGroup");
}

static void check(const struct play *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        const struct flow *f = &p->flows[i];
        if (f->ends != 1)
            complain(f, "not one end");
        if (f->spoiled || has_failed(p))
            continue;
        if (!p->cut && f->opener)
            check_whole(f);
        else if (p->cut && p->group_end == CLOSE_AT_ONCE && f->client == p->client_ends)
            check_closed(f);
    }
    if (has_failed(p) && p->loss < 0.2)
        complain(&p->flows[0], "no session");
}

static void finish(struct play *p)
{
    for (unsigned i = 0; i < p->count; i++)
        taps_connection_free(p->flows[i].connection);
    taps_listener_free(p->listener);
    taps_preconnection_free(p->preconnection);
    CHECK_INT(taps_context_free(p->server), 0);
    CHECK_INT(p->server_blocks, 0);
    CHECK_INT(tapsi_sim_host_leaked(p->w.server), 0);
    world_finish(&p->w);
}

static bool one(unsigned seed)
{
    static struct play p;
    bool before = tapsi_test_failed();
    tapsi_test_doing("seed %u", seed);
    state = seed * 2654435761u;
    dice(2);
    dice(2);
    begin(&p, seed);
    run_it(&p);
    check(&p);
    bool failed = has_failed(&p);
    finish(&p);
    if (tapsi_test_failed() && !before)
        printf("# the first seed that failed: %u (loss %g, end of the group %d by the %s)\n", seed, p.loss,
               (int)p.group_end, p.client_ends ? "client" : "server");
    return !failed;
}

static unsigned first_seed(void)
{
    const char *text = getenv("TAPS_SEED_FROM");
    return text ? (unsigned)strtoul(text, NULL, 10) : 1;
}

/* proves API-030, API-033, API-069, API-144 and API-145 */
TEST(random_sessions_on_random_links_lose_nothing)
{
    unsigned only = tapsi_test_seed(), rounds = tapsi_test_rounds(300, 40, 10000), established = 0;
    unsigned from = only ? only : first_seed(), to = only ? only : from + rounds - 1;
    tapsi_test_limit(3600);
    for (unsigned seed = from; seed <= to; seed++)
        established += one(seed);
    tapsi_test_remark("%u of %u sessions", established, to - from + 1);
    CHECK(only || established * 10 >= (to - from + 1) * 9);
}
