#include "stage.h"

#include <errno.h>
#include <stdio.h>

#define STEPS 400

static struct stage stage;
static char junk[70000];

/* --------------------------------------------------------------------------------------------------- properties */

/* A property and a value from short lists, or any text. */
static void choose_property(struct fuzz_input *in, const char **ret_name, char *value, size_t size)
{
    static const char *const values[] = {"true",  "false",    "0",         "1",         "2.5",
                                         "30",    "infinite", "disabled",  "require",   "prefer",
                                         "avoid", "prohibit", "scavenger", "unlimited", "unidirectional send",
                                         "active"};
    unsigned property = 1 + fuzz_below(in, TAPS_PROPERTY_COUNT - 1), which = fuzz_below(in, 20);
    *ret_name = taps_property_info((enum taps_property)property)->name;
    if (which < sizeof(values) / sizeof(values[0])) {
        snprintf(value, size, "%s", values[which]);
    } else {
        char *text = fuzz_until(in, '\0');
        snprintf(value, size, "%s", text);
        free(text);
    }
}

static void set_some_properties(struct stage *s)
{
    char value[64];
    const char *name;
    for (unsigned i = fuzz_below(&s->in, 5); i > 0; i--) {
        choose_property(&s->in, &name, value, sizeof(value));
        taps_transport_properties_set(s->t.properties, name, value);
    }
}

/* ------------------------------------------------------------------------------------------------------- calls */

static taps_message_context *some_context(struct stage *s)
{
    static const char *const settings[][2] = {
        {"msgLifetime", "0.02"},     {"msgLifetime", "2"},       {"msgPriority", "5"},        {"msgPriority", "200"},
        {"final", "true"},           {"msgOrdered", "false"},    {"msgReliable", "false"},    {"msgChecksumLen", "0"},
        {"noFragmentation", "true"}, {"noSegmentation", "true"}, {"safelyReplayable", "true"}};
    taps_message_context *context;
    unsigned which = fuzz_below(&s->in, 16);
    if (taps_message_context_new(&context) != 0)
        return NULL;
    if (which < sizeof(settings) / sizeof(settings[0]))
        taps_message_context_set(context, settings[which][0], settings[which][1]);
    return context;
}

static size_t some_length(struct stage *s)
{
    unsigned size = fuzz_below(&s->in, 8);
    return size < 5 ? fuzz_below(&s->in, 256) : size < 7 ? fuzz_below(&s->in, 4096) : fuzz_below(&s->in, sizeof(junk));
}

static void send_something(struct stage *s, struct party *p)
{
    static const unsigned flags[] = {0, 0, 0, TAPS_SEND_LEND, TAPS_SEND_PARTIAL, TAPS_SEND_PARTIAL | TAPS_SEND_LEND};
    unsigned with = flags[fuzz_below(&s->in, 6)];
    size_t length = some_length(s);
    taps_message_context *context = fuzz_below(&s->in, 4) == 3 ? some_context(s) : NULL;
    trial_send(p, junk, length, context, with);
    taps_message_context_free(context);
}

static void receive_something(struct stage *s, struct party *p)
{
    static const size_t mins[] = {1, 0, 100, 5000, SIZE_MAX}, maxs[] = {65536, 1, 10, 1000, SIZE_MAX};
    size_t min = mins[fuzz_below(&s->in, 5)], max = maxs[fuzz_below(&s->in, 5)];
    trial_receive(p, min, max);
}

static void end_it(struct stage *s, struct party *p)
{
    taps_connection *c = p->connection;
    switch (fuzz_below(&s->in, 6)) {
    case 3:
        taps_connection_abort(c);
        break;
    case 4:
        p->connection = NULL;
        taps_connection_free(c);
        break;
    case 5:
        break;
    default:
        taps_connection_close(c);
    }
}

static void look_at_report(const taps_report *report)
{
    struct taps_candidate_info candidate;
    struct taps_resolution_info resolution;
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        CHECK_INT(taps_report_candidate(report, i, &candidate), 0);
        CHECK(candidate.id[0] && candidate.reason && candidate.parent < (int)i);
    }
    for (size_t i = 0; i < taps_report_resolution_count(report); i++)
        CHECK_INT(taps_report_resolution(report, i, &resolution), 0);
}

static void look(taps_connection *c)
{
    char text[128];
    taps_transport_properties *properties;
    look_at_report(taps_connection_report(c));
    taps_endpoint_text(taps_connection_local(c), text, sizeof(text));
    taps_endpoint_text(taps_connection_remote(c), text, sizeof(text));
    uint64_t statistics[64];
    taps_connection_statistics(c, statistics, sizeof(statistics) / sizeof(statistics[0]));
    taps_connection_security(c);
    taps_connection_alpn(c);
    CHECK(taps_connection_state(c) == TAPS_ESTABLISHING || taps_connection_stack(c) ||
          taps_connection_state(c) == TAPS_CLOSED || taps_connection_state(c) == TAPS_CLOSING);
    if (taps_connection_get_properties(c, &properties) == 0)
        taps_transport_properties_free(properties);
    for (int i = TAPS_PROPERTY_NONE + 1; i < TAPS_PROPERTY_COUNT; i++)
        taps_connection_get_property(c, taps_property_info((enum taps_property)i)->name, text, sizeof(text));
}

static void set_property(struct stage *s, taps_connection *c)
{
    char value[64], before[128], after[128];
    const char *name;
    choose_property(&s->in, &name, value, sizeof(value));
    int length = taps_connection_get_property(c, name, before, sizeof(before));
    if (taps_connection_set_property(c, name, value) == 0 || length < 0)
        return;
    int now = taps_connection_get_property(c, name, after, sizeof(after));
    if (now == TAPS_E_MEMORY)
        return;
    CHECK_INT(now, length);
    CHECK_TEXT(after, before);
}

static void act(struct stage *s, struct party *p)
{
    if (!p->connection)
        return;
    switch (fuzz_below(&s->in, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        receive_something(s, p);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        send_something(s, p);
        break;
    case 9:
    case 10:
        end_it(s, p);
        break;
    case 11:
        taps_connection_start_batch(p->connection);
        break;
    case 12:
        taps_connection_end_batch(p->connection);
        break;
    case 13:
        set_property(s, p->connection);
        break;
    case 14:
        look(p->connection);
        break;
    default:
        break;
    }
}

static const char *some_remote(struct stage *s)
{
    static const char *const remotes[] = {NAME,
                                          V4,
                                          "[2001:db8::1]:80",
                                          "dual.test:81",
                                          "192.0.2.1:81",
                                          "10.1.1.1:80",
                                          "192.0.2.1:http",
                                          "nobody.test:80",
                                          "[2001:db8:1::1]:80",
                                          "localhost:80",
                                          "[fe80::1%eth0]:80"};
    return remotes[fuzz_below(&s->in, sizeof(remotes) / sizeof(remotes[0]))];
}

static void initiate_with_send(struct stage *s, const char *remote)
{
    taps_connection *c;
    taps_preconnection *pre = trial_preconnection(&s->t, 0, NULL, remote);
    struct party *p = pre ? trial_party(&s->t) : NULL;
    size_t length = some_length(s);
    int err = p ? taps_preconnection_initiate_with_send(pre, 20000, &trial_events, p, junk, length, NULL, 0, NULL, &c)
                : TAPS_E_MEMORY;
    taps_preconnection_free(pre);
    if (err && p)
        s->t.party_count--;
    if (err)
        return;
    p->connection = c;
    p->sends = 1;
    s->with_first[p - s->t.parties] = true;
}

static void initiate(struct stage *s)
{
    const char *remote = some_remote(s);
    bool first = fuzz_below(&s->in, 4) == 3;
    if (!s->t.contexts[0] || s->t.party_count >= PARTIES / 2)
        return;
    if (first)
        initiate_with_send(s, remote);
    else
        trial_initiate(&s->t, remote);
}

static void on_resolved(void *user, const struct taps_error *error, const taps_endpoint *const *locals,
                        size_t local_count, const taps_endpoint *const *remotes, size_t remote_count)
{
    (void)user;
    (void)locals;
    CHECK(!error || (error->code < 0 && error->detail[0] && local_count == 0 && remote_count == 0));
    for (size_t i = 0; i < remote_count; i++)
        CHECK(taps_endpoint_ip_address(remotes[i]));
}

static void resolve(struct stage *s)
{
    const char *remote = some_remote(s);
    taps_preconnection *pre = s->t.contexts[0] ? trial_preconnection(&s->t, 0, NULL, remote) : NULL;
    if (pre)
        taps_preconnection_resolve(pre, fuzz_below(&s->in, 2) ? 30 : 0, on_resolved, NULL);
    taps_preconnection_free(pre);
}

static void on_timer(void *arg)
{
    struct stage *s = arg;
    s->timer = NULL;
    if (s->t.party_count && s->in.left)
        act(s, &s->t.parties[fuzz_below(&s->in, s->t.party_count)]);
}

static void handle_timer(struct stage *s)
{
    uint64_t ms = fuzz_below(&s->in, 256);
    if (s->timer) {
        taps_timer_cancel(s->timer);
        s->timer = NULL;
    } else if (s->t.contexts[0]) {
        taps_context_after(s->t.contexts[0], ms, on_timer, s, &s->timer);
    }
}

/* Text from the outside is in it: it must not reach a terminal as it came. */
static void on_log(void *user, enum taps_log_level level, const char *text)
{
    (void)user;
    CHECK(level <= TAPS_LOG_DEBUG);
    for (; *text; text++)
        CHECK((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void handle_listener(struct stage *s)
{
    if (!s->t.listener)
        return;
    switch (fuzz_below(&s->in, 16)) {
    case 14:
        taps_listener_stop(s->t.listener);
        break;
    case 15:
        taps_listener_free(s->t.listener);
        s->t.listener = NULL;
        break;
    default:
        taps_listener_set_new_connection_limit(s->t.listener, fuzz_below(&s->in, 4));
        taps_listener_dropped(s->t.listener);
        taps_listener_local(s->t.listener, 0);
    }
}

/* In each event. */
static void meddle(struct trial *t, struct party *p)
{
    (void)t;
    if (!stage.in.left) {
        if (p->connection && !p->final)
            trial_receive(p, 1, 65536);
        return;
    }
    unsigned how = fuzz_below(&stage.in, 8);
    if (how < 4 && p->connection && !p->final)
        trial_receive(p, 1, 65536);
    if (how & 1)
        act(&stage, p);
    if (how == 6 && stage.t.party_count)
        act(&stage, &stage.t.parties[fuzz_below(&stage.in, stage.t.party_count)]);
    if (how == 7)
        handle_listener(&stage);
}

/* ------------------------------------------------------------------------------------------ network and failures */

static void trouble(struct stage *s)
{
    static const int errors[] = {0, ENOBUFS, EMFILE, EINTR, EAGAIN, ENOMEM, EPIPE, ECONNRESET, ENETDOWN, EACCES};
    struct trial *t = &s->t;
    unsigned nth;
    switch (fuzz_below(&s->in, 12)) {
    case 0:
        tapsi_sim_link_fault(t->link, (enum tapsi_sim_fault)fuzz_below(&s->in, 5));
        break;
    case 1:
        tapsi_sim_link_loss(t->link, fuzz_below(&s->in, 4) * 0.15);
        break;
    case 2:
        tapsi_sim_link_delay(t->link, fuzz_below(&s->in, 256) * TAPSI_SIM_MS);
        break;
    case 3:
    case 4:
        nth = 1 + fuzz_below(&s->in, 64);
        tapsi_sim_fail_call(t->sim, nth, errors[fuzz_below(&s->in, sizeof(errors) / sizeof(errors[0]))]);
        break;
    case 5:
    case 6:
        t->fail_at = t->allocations + 1 + fuzz_below(&s->in, 64);
        break;
    case 7:
        tapsi_sim_interface_up(s->second, fuzz_bool(&s->in));
        break;
    case 8:
        tapsi_sim_address_remove(s->second, "10.1.1.2/24");
        break;
    case 9:
        tapsi_sim_address_remove(s->second, "10.1.1.3/24");
        nth = fuzz_below(&s->in, 4);
        tapsi_sim_address_add(s->second, "10.1.1.3/24", nth & 1, nth & 2);
        break;
    case 10:
        tapsi_sim_interface_mtu(s->second, 600 + fuzz_below(&s->in, 1000));
        break;
    default:
        tapsi_sim_fault(t->sim, fuzz_bool(&s->in) ? "2001:db8::1" : "192.0.2.1",
                        (enum tapsi_sim_fault)fuzz_below(&s->in, 5));
    }
}

static void calm(struct stage *s)
{
    struct trial *t = &s->t;
    s->in.left = 0;
    tapsi_sim_link_fault(t->link, TAPSI_SIM_FINE);
    tapsi_sim_link_loss(t->link, 0);
    tapsi_sim_link_delay(t->link, 5 * TAPSI_SIM_MS);
    tapsi_sim_fault(t->sim, "2001:db8::1", TAPSI_SIM_FINE);
    tapsi_sim_fault(t->sim, "192.0.2.1", TAPSI_SIM_FINE);
    tapsi_sim_fail_call(t->sim, 0, 0);
    t->fail_at = 0;
    t->meddle = NULL;
}

/* --------------------------------------------------------------------------------------------------------- all */

static void add_second_path(struct stage *s)
{
    struct tapsi_sim_interface *there =
        tapsi_sim_interface_new(s->t.server, "eth1", TAPSI_IF_ETHERNET, "10.1.1.1/24 2001:db8:1::1/64");
    s->second = tapsi_sim_interface_new(s->t.client, "wlan0", TAPSI_IF_WIFI, "10.1.1.2/24 2001:db8:1::2/64");
    tapsi_sim_link_new(s->second, there, 20 * TAPSI_SIM_MS);
}

struct stage *stage_begin(const uint8_t *data, size_t size, int raw_host)
{
    struct stage *s = &stage;
    memset(s, 0, sizeof(*s));
    s->in = fuzz_input(data, size);
    fuzz_begin();
    trial_begin(&s->t);
    s->t.meddle = meddle;
    add_second_path(s);
    unsigned kind = fuzz_below(&s->in, 32);
    if (kind & 1)
        trial_be_datagrams(&s->t);
    else if (kind & 2)
        trial_secure(&s->t);
    if ((kind & 18) == 16) {
        taps_security_parameters_free(s->t.client_security);
        taps_security_parameters_new_opportunistic(&s->t.client_security);
    }
    if (kind & 4) {
        s->t.log = on_log;
        taps_transport_properties_set(s->t.properties, "softErrorNotify", "prefer");
    }
    if (kind & 8)
        set_some_properties(s);
    raw_begin(&s->raw, raw_host ? s->t.server : s->t.client);
    return s;
}

static void step(struct stage *s)
{
    switch (fuzz_below(&s->in, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        trial_run(&s->t, fuzz_below(&s->in, 64) * TAPSI_SIM_MS);
        break;
    case 4:
        trial_run(&s->t, fuzz_below(&s->in, 256) * 100 * TAPSI_SIM_MS);
        break;
    case 5:
    case 6:
    case 7:
    case 8:
        if (s->t.party_count)
            act(s, &s->t.parties[fuzz_below(&s->in, s->t.party_count)]);
        break;
    case 9:
    case 10:
    case 11:
        stage_peer(s);
        break;
    case 12:
        trouble(s);
        break;
    case 13:
        initiate(s);
        break;
    case 14:
        if (fuzz_bool(&s->in))
            resolve(s);
        else
            handle_timer(s);
        break;
    default:
        handle_listener(s);
    }
}

void stage_play(struct stage *s)
{
    for (int i = 0; i < STEPS && s->in.left; i++)
        step(s);
}

/* The first Message of an establishment that failed has no event of its own. */
static void settle_first(struct stage *s)
{
    for (unsigned i = 0; i < s->t.party_count; i++) {
        struct party *p = &s->t.parties[i];
        if (s->with_first[i] && !p->ready && p->sends_answered + 1 == p->sends)
            p->sends--;
    }
}

void stage_end(struct stage *s)
{
    struct trial *t = &s->t;
    calm(s);
    raw_drain(&s->raw);
    trial_run(t, SECONDS(1));
    raw_done(&s->raw);
    trial_run(t, SECONDS(40));
    taps_listener_free(t->listener);
    t->listener = NULL;
    for (unsigned i = 0; i < t->party_count; i++)
        taps_connection_close(t->parties[i].connection);
    CHECK(trial_run_until_all_over(t, SECONDS(400)));
    trial_abort_rest(t);
    settle_first(s);
    trial_finish(t);
}
