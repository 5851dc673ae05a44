/* What a session is told of paths, with the toy that writes it down: which ones, in what order, and when. */
#include <stdio.h>
#include <string.h>
#include "moving.h"
#include "streams/mux.h"

static struct stream *begin(struct streams *s, const char *multipath)
{
    memset(&mux_told, 0, sizeof(mux_told));
    streams_new(s);
    taps_transport_properties_set(s->w.properties, "multipath", multipath);
    struct stream *t = streams_begin(s);
    CHECK_INT(t->ready, 1);
    return t;
}

/* "192.0.2.2 198.51.100.2%wlan0>192.0.2.9:443": as it was told last. */
static const char *ways(void)
{
    static char text[600];
    char local[TAPSI_ADDR_TEXT], remote[TAPSI_ADDR_TEXT];
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < mux_told.count; i++) {
        const struct tapsi_way *w = &mux_told.ways[i];
        bool named = w->remote.sa.sa_family != AF_UNSPEC;
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s%s%s%s%s", i ? " " : "",
                                   tapsi_addr_host_text(&w->local, local), mux_told.interfaces[i][0] ? "%" : "",
                                   mux_told.interfaces[i], named ? ">" : "",
                                   named ? tapsi_addr_text(&w->remote, remote) : "");
        CHECK_INT(tapsi_addr_port(&w->local), 0);
        CHECK(w->interface_index != 0);
    }
    return text;
}

/* proves API-043: Disabled hands nothing down, not even when the network changes */
TEST(without_multipath_the_session_is_told_nothing)
{
    struct streams s;
    begin(&s, "disabled");
    tapsi_sim_address_add(s.w.client_if, "192.0.2.3/24", false, false);
    streams_run(&s, 100);
    CHECK_INT(mux_told.calls, 0);
    streams_finish(&s);
}

/* proves API-043 and IMPL-21: at Ready, and then only if something differs */
TEST(the_session_is_told_when_ready_and_when_the_set_is_another)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    CHECK_INT(mux_told.calls, 1);
    CHECK_TEXT(ways(), "192.0.2.2");
    tapsi_sim_interface_mtu(s.w.client_if, 1400);
    streams_run(&s, 100);
    CHECK_INT(mux_told.calls, 1);
    CHECK_INT(t->path_changes, 0);
    tapsi_sim_address_add(s.w.client_if, "192.0.2.3/24", false, false);
    streams_run(&s, 100);
    CHECK_INT(mux_told.calls, 2);
    CHECK_TEXT(ways(), "192.0.2.2 192.0.2.3");
    CHECK_INT(t->path_changes, 1);
    tapsi_sim_address_add(s.w.client_if, "2001:db8::9/64", false, false); /* does not reach an IPv4 address */
    streams_run(&s, 100);
    CHECK_INT(mux_told.calls, 2);
    streams_finish(&s);
}

/* proves API-043: another interface comes after the one that the system would choose, and is bound to */
TEST(a_second_interface_is_bound_to)
{
    struct streams s;
    begin(&s, "active");
    struct tapsi_sim_interface *wlan = moving_interface(&s, "wlan0", TAPSI_IF_WIFI, "198.51.100.2/24");
    streams_run(&s, 100);
    CHECK_TEXT(ways(), "192.0.2.2 198.51.100.2%wlan0");
    tapsi_sim_interface_up(wlan, false);
    streams_run(&s, 100);
    CHECK_TEXT(ways(), "192.0.2.2");
    tapsi_sim_interface_up(wlan, true);
    tapsi_sim_interface_up(s.w.client_if, false);
    streams_run(&s, 100);
    CHECK_TEXT(ways(), "198.51.100.2");
    streams_finish(&s);
}

/* proves API-043: Require, Prohibit and Prefer mean of paths what they mean in the race */
TEST(preferences_of_paths_hold_for_ways)
{
    static const struct {
        const char *preference, *ways;
    } rows[] = {{"prohibit wlan0", "192.0.2.2%eth0"},
                {"require eth0", "192.0.2.2%eth0"},
                {"avoid wlan0", "192.0.2.2 198.51.100.2%wlan0"},
                {"prefer wlan0", "198.51.100.2%wlan0 192.0.2.2"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct streams s;
        memset(&mux_told, 0, sizeof(mux_told));
        streams_new(&s);
        taps_transport_properties_set(s.w.properties, "multipath", "active");
        taps_transport_properties_set(s.w.properties, "interface", rows[i].preference);
        streams_begin(&s);
        moving_interface(&s, "wlan0", TAPSI_IF_WIFI, "198.51.100.2/24");
        streams_run(&s, 100);
        CHECK_TEXT(ways(), rows[i].ways);
        streams_finish(&s);
    }
}

/* proves API-073: what the application names comes first, in its order, and what it takes away is gone */
TEST(named_endpoints_come_first)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    tapsi_sim_address_add(s.w.client_if, "192.0.2.3/24", false, false);
    tapsi_sim_address_add(s.w.client_if, "192.0.2.4/24", false, false);
    streams_run(&s, 100);
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "192.0.2.4"), 0);
    CHECK_TEXT(ways(), "192.0.2.4 192.0.2.2 192.0.2.3");
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "192.0.2.2"), 0);
    CHECK_TEXT(ways(), "192.0.2.4 192.0.2.3");
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "192.0.2.5"), 0); /* is not there yet */
    CHECK_TEXT(ways(), "192.0.2.4 192.0.2.3");
    tapsi_sim_address_add(s.w.client_if, "192.0.2.5/24", false, false);
    streams_run(&s, 100);
    CHECK_TEXT(ways(), "192.0.2.4 192.0.2.5 192.0.2.3");
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "eth0"), 0);
    streams_run(&s, 100);
    CHECK(moving_ended(t, "no other path reaches the peer"));
    streams_finish(&s);
}

/* proves API-073: the later word counts, of an interface and of an address of it */
TEST(the_later_word_counts)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    tapsi_sim_address_add(s.w.client_if, "192.0.2.3/24", false, false);
    moving_interface(&s, "wlan0", TAPSI_IF_WIFI, "198.51.100.2/24");
    streams_run(&s, 100);
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "eth0"), 0);
    CHECK_TEXT(ways(), "198.51.100.2%wlan0");
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "192.0.2.3"), 0);
    CHECK_TEXT(ways(), "192.0.2.3 198.51.100.2%wlan0");
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "eth0"), 0);
    CHECK_TEXT(ways(), "192.0.2.3 192.0.2.2%eth0 198.51.100.2%wlan0");
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "192.0.2.3"), 0);
    CHECK_TEXT(ways(), "192.0.2.2%eth0 198.51.100.2%wlan0");
    streams_finish(&s);
}

/* proves API-073: endpoints that are known are ignored */
TEST(what_is_known_is_not_told_again)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    tapsi_sim_address_add(s.w.client_if, "192.0.2.3/24", false, false);
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "192.0.2.3"), 0);
    streams_run(&s, 100);
    unsigned calls = mux_told.calls;
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "192.0.2.3"), 0);
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "192.0.2.3:4000"), 0); /* ports are the library's */
    CHECK_INT(moving_call(t->connection, ADD_REMOTE, "192.0.2.1:443"), 0);
    CHECK_INT(moving_call(t->connection, ADD_REMOTE, "192.0.2.1"), 0);
    CHECK_INT(moving_call(t->connection, REMOVE_REMOTE, "192.0.2.77"), 0);
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "203.0.113.1"), 0);
    CHECK_INT(mux_told.calls, calls);
    streams_finish(&s);
}

/* proves API-073: a Remote Endpoint more is one more for each Local Endpoint, and is moved to when the first is gone */
TEST(remote_endpoints_are_known_too)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    CHECK_INT(moving_call(t->connection, ADD_REMOTE, "192.0.2.9"), 0);
    CHECK_TEXT(ways(), "192.0.2.2>192.0.2.1:443 192.0.2.2>192.0.2.9:443");
    CHECK_INT(moving_call(t->connection, ADD_REMOTE, "[2001:db8::1]:444"), 0);
    CHECK_TEXT(ways(), "192.0.2.2>192.0.2.1:443 192.0.2.2>192.0.2.9:443 2001:db8::2>[2001:db8::1]:444");
    CHECK_INT(moving_call(t->connection, REMOVE_REMOTE, "192.0.2.1:443"), 0);
    CHECK_TEXT(ways(), "192.0.2.2>192.0.2.9:443 2001:db8::2>[2001:db8::1]:444");
    streams_run(&s, 100);
    CHECK_TEXT(taps_endpoint_ip_address(taps_connection_remote(t->connection)), "192.0.2.9");
    CHECK_INT(moving_call(t->connection, REMOVE_REMOTE, "[2001:db8::1]:444"), 0);
    CHECK_TEXT(ways(), "192.0.2.2"); /* it is there, and need not be named */
    CHECK_INT(moving_call(t->connection, REMOVE_REMOTE, "192.0.2.9:443"), 0);
    streams_run(&s, 100);
    CHECK(moving_ended(t, "no other is known"));
    streams_finish(&s);
}

/* proves API-073: a call that the session refuses changes nothing */
TEST(who_must_not_move_says_so_and_forgets_what_was_asked)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    tapsi_sim_address_add(s.w.client_if, "192.0.2.3/24", false, false);
    streams_run(&s, 100);
    mux_told.refusal = TAPS_E_POLICY;
    unsigned calls = mux_told.calls;
    CHECK_INT(moving_call(t->connection, ADD_LOCAL, "192.0.2.3"), TAPS_E_POLICY);
    CHECK_INT(moving_call(t->connection, ADD_REMOTE, "192.0.2.9"), TAPS_E_POLICY);
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "192.0.2.3"), TAPS_E_POLICY);
    CHECK_INT(mux_told.calls, calls + 3);
    mux_told.refusal = 0;
    CHECK_INT(moving_call(t->connection, REMOVE_REMOTE, "192.0.2.9"), 0); /* was never there */
    CHECK_INT(mux_told.calls, calls + 3);
    CHECK_INT(streams_ends(t), 0);
    mux_told.refusal = TAPS_E_POLICY;
    CHECK_INT(moving_call(t->connection, REMOVE_LOCAL, "192.0.2.2"), 0);
    streams_run(&s, 100);
    CHECK(moving_ended(t, "the peer forbids it"));
    streams_finish(&s);
}

/* proves IMPL-21: the network changes, the session takes none of it: so be it */
TEST(a_refusal_ends_nothing)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    mux_told.refusal = TAPS_E_NOT_APPLICABLE;
    tapsi_sim_address_add(s.w.client_if, "192.0.2.3/24", false, false);
    streams_run(&s, 100);
    CHECK_INT(mux_told.calls, 2);
    CHECK_INT(streams_ends(t), 0);
    CHECK_INT(t->path_changes, 0);
    CHECK(moving_talks(&s, t, 100));
    streams_finish(&s);
}

/* proves API-086: the session hears of the policy at once */
TEST(the_policy_reaches_the_session)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    CHECK_INT(taps_connection_set_property(t->connection, "multipathPolicy", "interactive"), 0);
    CHECK_INT(mux_told.policy, TAPS_POLICY_INTERACTIVE);
    CHECK_INT(taps_connection_set_property(t->connection, "multipathPolicy", "handover"), 0);
    CHECK_INT(mux_told.policy, TAPS_POLICY_HANDOVER);
    streams_finish(&s);
}

/* proves API-073: temporary addresses are used as the property says */
TEST(temporary_addresses_are_ways_as_the_property_says)
{
    static const char *const rows[][2] = {{"prohibit", "192.0.2.2"}, {"avoid", "192.0.2.2"}};
    for (size_t i = 0; i < 2; i++) {
        struct streams s;
        struct stream *t;
        memset(&mux_told, 0, sizeof(mux_told));
        streams_new(&s);
        taps_transport_properties_set(s.w.properties, "multipath", "active");
        taps_transport_properties_set(s.w.properties, "useTemporaryLocalAddress", rows[i][0]);
        t = streams_begin(&s);
        tapsi_sim_address_add(s.w.client_if, "2001:db8::77/64", true, false);
        CHECK_INT(moving_call(t->connection, ADD_REMOTE, "[2001:db8::1]:443"), 0);
        CHECK_INT(moving_call(t->connection, REMOVE_REMOTE, "192.0.2.1"), 0);
        CHECK_TEXT(ways(), i == 0 ? "2001:db8::2>[2001:db8::1]:443"
                                  : "2001:db8::2>[2001:db8::1]:443 2001:db8::77>[2001:db8::1]:443");
        streams_finish(&s);
    }
}

/* proves IMPL-21: twenty addresses are more than anybody needs */
TEST(the_set_is_bounded)
{
    struct streams s;
    struct stream *t = begin(&s, "active");
    char address[32];
    for (int i = 0; i < 20; i++) {
        snprintf(address, sizeof(address), "192.0.2.%d/24", 100 + i);
        tapsi_sim_address_add(s.w.client_if, address, false, false);
    }
    streams_run(&s, 100);
    CHECK_INT(mux_told.count, 16);
    int err = 0, added = 0;
    for (int i = 0; i < 100 && !err; i++) {
        snprintf(address, sizeof(address), "192.0.2.%d", 20 + i);
        err = moving_call(t->connection, ADD_LOCAL, address);
        added += !err;
    }
    CHECK_INT(added, 64);
    CHECK_INT(err, TAPS_E_RANGE);
    CHECK_INT(streams_ends(t), 0);
    streams_finish(&s);
}
