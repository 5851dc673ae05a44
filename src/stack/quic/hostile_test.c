/*
 * A client whose packets go through somebody who changes their source port and address, repeats, reorders, drops and
 * replays them from new addresses, while it migrates, streams come and go, keys are updated and the link loses. Nobody
 * must abort (018 in docs/design tells what ngtcp2 0.12 does), each byte that is delivered is right, and who comes next
 * is served. A session may die of it; where addresses change no more often than NATs do, none does. By seeds:
 * TAPS_SEED=N runs one alone. TAPS_LONG=1 runs many more.
 */
#include <stdio.h>
#include <stdlib.h>
#include "stack/quic/test_relay.h"

#define S       TAPSI_SIM_S
#define STREAMS 4
#define SECONDS 60 /* of virtual time, of hostility */
#define SPELL   (2 * S)

static uint32_t state;

static unsigned dice(unsigned sides)
{
    state = state * 1664525u + 1013904223u;
    return (unsigned)((uint64_t)(state >> 8) * sides >> 24);
}

static void seed_with(unsigned seed)
{
    state = seed * 2654435761u;
    dice(2);
    dice(2);
}

/* Rebinding by a relay that is hostile; also all that is no fault of a relay's; all that by one who is a mere NAT. */
enum weather { HOSTILE, WILD, GENTLE };

struct storm {
    struct net n;
    struct relay r;
    struct end *streams[STREAMS];
    size_t sent[STREAMS];
    enum weather weather;
    bool server_updates; /* keys; else the client does. Both at once lose each other over 0.12 while nothing arrives */
    unsigned events;     /* rebindings */
    bool lived;          /* all that was sent has come back, in the end */
};

static void hostile(struct relay *r)
{
    r->drops = 20;
    r->repeats = 5;
    r->replays = 5;
    r->delays = 5;
    r->from_old = 10;
}

static void honest(struct relay *r)
{
    r->drops = r->repeats = r->replays = r->delays = r->from_old = 0;
}

static void begin(struct storm *s, unsigned seed, enum weather weather)
{
    seed_with(seed);
    *s = (struct storm){.weather = weather, .server_updates = dice(2)};
    net_begin(&s->n);
    tapsi_sim_link_rate(s->n.link, 5 * 1000 * 1000);
    relay_begin(&s->r, &s->n, dice);
    s->n.server_echo = true;
    net_open(&s->n);
    s->streams[0] = net_handshake(&s->n);
    net_run(&s->n, 200 * MS);
}

static struct end *living(const struct storm *s)
{
    for (unsigned i = 0; i < STREAMS; i++) {
        if (s->streams[i] && s->streams[i]->layer && s->streams[i]->ready)
            return s->streams[i];
    }
    return NULL;
}

/* A stream has something under way, is reset, or is opened again. */
static void use_stream(struct storm *s, unsigned i)
{
    struct end *e = s->streams[i];
    if (!e || !e->layer) {
        struct end *parent = living(s);
        s->sent[i] = 0;
        s->streams[i] = parent && s->n.count < ENDS_MAX - 8 ? net_clone(&s->n, parent, TAPS_BIDIRECTIONAL) : NULL;
        return;
    }
    e->keeps = false;
    if (!e->ready)
        return;
    if (s->weather != HOSTILE && i && dice(150) == 0) {
        net_destroy(e, dice(2) ? TAPS_E_LOCAL_ABORT : 0);
        return;
    }
    if (s->sent[i] < e->got_length + 4000) {
        net_send_many(e, s->sent[i], 1000, 0);
        s->sent[i] += 1000;
    }
}

static ngtcp2_conn *conn_of(const struct end *e)
{
    return e && e->layer ? net_session(e)->conn : NULL;
}

static void update_keys(struct storm *s)
{
    ngtcp2_conn *conn = conn_of(s->server_updates ? s->n.server : living(s));
    if (conn)
        ngtcp2_conn_initiate_key_update(conn, tapsi_sim_now(s->n.sim)); /* not now, it may say */
}

/* The client moves of its own accord, or need not any more. */
static void migrate(struct storm *s)
{
    static const char *const places[] = {"192.0.2.2", "192.0.2.3"};
    struct tapsi_way ways[2] = {{.interface = NULL}};
    unsigned first = dice(2);
    const struct end *e = living(s);
    for (unsigned i = 0; i < 2; i++)
        tapsi_addr_parse(places[(first + i) % 2], &ways[i].local);
    if (e)
        tapsi_layer_paths(e->layer, ways, dice(3), NULL); /* it may say that it cannot */
}

static void disturb_link(struct storm *s)
{
    static const double loss[] = {0, 0, 0.01, 0.05};
    tapsi_sim_link_loss(s->n.link, loss[dice(4)]);
    tapsi_sim_link_reorder(s->n.link, dice(3) ? 0 : 0.1, 30 * MS);
    tapsi_sim_link_duplicate(s->n.link, dice(3) ? 0 : 0.1);
}

/* Events come together, and with pauses of all lengths: a change before the last one was validated, and after it. */
static uint64_t pause_ns(void)
{
    static const unsigned ms[] = {1, 5, 20, 100, 600};
    return (1 + dice(ms[dice(5)])) * MS;
}

static void spell(struct storm *s)
{
    uint64_t until = tapsi_sim_now(s->n.sim) + SPELL;
    while (tapsi_sim_now(s->n.sim) < until) {
        for (unsigned i = 0; i < STREAMS; i++)
            use_stream(s, i);
        if (s->weather == GENTLE ? dice(60) == 0 : dice(3)) {
            relay_rebind(&s->r, dice(2));
            s->events++;
        }
        if (s->weather != HOSTILE && dice(10) == 0)
            update_keys(s);
        if (s->weather != HOSTILE && dice(20) == 0)
            disturb_link(s);
        if (s->weather != HOSTILE && dice(s->weather == GENTLE ? 100 : 10) == 0)
            migrate(s);
        net_run(&s->n, pause_ns());
    }
}

/* Spells with rests between them, in which probes that are further and further apart get through again. */
static void rage(struct storm *s)
{
    for (unsigned i = 0; i < SECONDS * S / SPELL; i++) {
        spell(s);
        for (unsigned k = dice(12); k > 0; k--) {
            for (unsigned x = 0; x < STREAMS; x++)
                use_stream(s, x);
            net_run(&s->n, 500 * MS);
        }
    }
}

static void calm(struct storm *s)
{
    honest(&s->r);
    tapsi_sim_link_loss(s->n.link, 0);
    tapsi_sim_link_reorder(s->n.link, 0, 0);
    tapsi_sim_link_duplicate(s->n.link, 0);
    net_run(&s->n, 100 * S);
}

/* Nothing wrong was delivered; has what lives had all of it echoed? */
static void check_streams(struct storm *s)
{
    unsigned alive = 0;
    for (unsigned i = 0; i < s->n.count; i++)
        CHECK_INT(s->n.ends[i].wrong, 0);
    s->lived = true;
    for (unsigned i = 0; i < STREAMS; i++) {
        const struct end *e = s->streams[i];
        if (!e || !e->layer || !e->ready)
            continue;
        alive++;
        s->lived = s->lived && e->got_length == s->sent[i];
    }
    s->lived = s->lived && alive > 0;
}

/* Somebody without a relay. */
static void check_newcomer(struct storm *s)
{
    s->n.remote = "192.0.2.1";
    struct end *e = net_handshake(&s->n);
    CHECK(e && e->ready);
    if (e && e->ready) {
        net_send_many(e, 0, 1000, 0);
        net_run(&s->n, 500 * MS);
        CHECK_INT(e->got_length, 1000);
    }
}

static unsigned one(struct storm *s, unsigned seed, enum weather weather)
{
    begin(s, seed, weather);
    if (!s->streams[0] || !s->streams[0]->ready) {
        CHECK(s->streams[0] && s->streams[0]->ready);
        relay_finish(&s->r);
        net_finish(&s->n);
        return 0;
    }
    if (weather != GENTLE)
        hostile(&s->r);
    rage(s);
    calm(s);
    check_streams(s);
    check_newcomer(s);
    unsigned moves = s->n.server ? s->n.server->moves : 0;
    relay_finish(&s->r);
    net_finish(&s->n);
    return moves;
}

static void by_seeds(enum weather weather, unsigned rounds)
{
    static struct storm s;
    unsigned only = tapsi_test_seed(), events = 0, moves = 0, lived = 0, count = 0;
    tapsi_test_limit(1200);
    for (unsigned seed = only ? only : 1; seed <= (only ? only : rounds); seed++, count++) {
        bool before = tapsi_test_failed();
        tapsi_test_doing("seed %u", seed);
        moves += one(&s, seed, weather);
        events += s.events;
        lived += s.lived;
        CHECK(s.lived || weather != GENTLE);
        if (tapsi_test_failed() && !before)
            printf("# the first seed that failed: %u\n", seed);
    }
    tapsi_test_remark(" %u rebindings, %u followed, %u of %u sessions lived on", events, moves, lived, count);
    CHECK(only || moves > 0);
}

/* proves IMPL-21 */
TEST(a_client_whose_address_changes_all_the_time_does_not_abort_the_server)
{
    by_seeds(HOSTILE, tapsi_test_rounds(20, 3, 2000));
}

/* proves IMPL-21 */
TEST(rebinding_migration_resets_key_updates_and_loss_together_abort_nobody)
{
    by_seeds(WILD, tapsi_test_rounds(20, 3, 2000));
}

/* proves IMPL-21 */
TEST(where_addresses_change_as_behind_a_nat_no_session_is_lost)
{
    by_seeds(GENTLE, tapsi_test_rounds(10, 2, 500));
}
