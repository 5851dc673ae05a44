/*
 * Never in clear, and never less than was asked for, whatever the peer is (ARCH-09, ARCH-10, ARCH-11). What leaves the
 * program is looked at byte by byte.
 */
#include <string.h>
#include "secret.h"

/* ------------------------------------------------------------------------------------ not plain instead of secure */

/* proves ARCH-09, IMPL-11: a peer that speaks no TLS gets a hello and nothing else, and no other stack is tried. */
TEST(a_peer_without_tls_is_told_nothing)
{
    static const enum tapsi_sim_behaviour behaviours[] = {TAPSI_SIM_ECHO,    TAPSI_SIM_SILENT, TAPSI_SIM_STALL,
                                                          TAPSI_SIM_DISCARD, TAPSI_SIM_SEND,   TAPSI_SIM_RESET};
    for (size_t i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++) {
        struct world w;
        world_new(&w);
        world_secure(&w);
        struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 443, behaviours[i]);
        tapsi_sim_service_bytes(s, "220 ready\r\n", 11);
        tapsi_sim_service_reset_after(s, 1);
        secret_tell(&w, SECRET_V4, 3000);
        CHECK_INT(w.heard.establishment_error, 1);
        CHECK_INT(w.heard.ready, 0);
        CHECK_INT(w.heard.send_error, 1);
        CHECK_INT(w.heard.received + w.heard.received_partial, 0);
        secret_check();
        CHECK_INT(secret_wire.bytes[0], 0x16);
        CHECK_INT(tapsi_sim_service_counts(s).accepted, 1);
        CHECK_INT(secret_wire.streams, 1);
        world_run_ms(&w, 5000);
        if (behaviours[i] != TAPSI_SIM_STALL) /* which does not notice */
            CHECK_INT(tapsi_sim_service_counts(s).open, 0);
        world_finish(&w);
    }
}

/* proves ARCH-09: nor is plain text tried on a second address or a second path. */
TEST(no_address_and_no_path_makes_it_plain)
{
    struct world w;
    struct taps_candidate_info info;
    world_new(&w);
    world_secure(&w);
    secret_name(&w);
    world_second_path(&w, "wlan0", TAPSI_IF_WIFI, "192.0.2.3/24 2001:db8::3/64", "198.51.100.1/24");
    tapsi_sim_serve(w.server, 443, TAPSI_SIM_ECHO);
    secret_tell(&w, SECRET_NAME ":443", 10000);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(taps_err_reason(w.heard.code), TAPS_REASON_PROTOCOL_FAILED);
    secret_check();
    const taps_report *report = taps_connection_report(w.connection);
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        taps_report_candidate(report, i, &info);
        if (info.stack && strcmp(info.stack, "tls/tcp") != 0)
            CHECK_INT(info.state, TAPS_CANDIDATE_PRUNED);
    }
    world_finish(&w);
}

/* proves ARCH-09, API-050: security parameters that were never given are the secure ones. */
TEST(without_parameters_security_is_required)
{
    struct world w;
    world_new(&w);
    taps_security_parameters_free(w.security);
    w.security = NULL;
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 443, TAPSI_SIM_ECHO);
    secret_tell(&w, SECRET_V4, 3000);
    CHECK_INT(w.heard.establishment_error, 1);
    secret_check();
    CHECK(tapsi_sim_service_counts(s).received == 0 || secret_wire.bytes[0] == 0x16);
    world_finish(&w);
}

/* proves API-050: with the defaults only the system's authorities are trusted, and ours is none of them. */
TEST(without_parameters_our_authority_is_not_trusted)
{
    struct world w;
    struct peer p;
    world_new(&w);
    secret_name(&w);
    secret_serve(&w, &p, SECRET_V6, SECRET_NAME, NULL, NULL);
    taps_security_parameters_free(w.security);
    w.security = NULL;
    secret_tell(&w, SECRET_NAME ":443", 3000);
    CHECK_INT(w.heard.establishment_error, 1);
    secret_check();
    CHECK_INT(p.length, 0);
    peer_done(&p);
    world_finish(&w);
}

/* --------------------------------------------------------------------------- not older than what was asked for */

/* proves ARCH-10, API-051: a peer of TLS 1.2 only is no peer where 1.3 is the minimum, or the only one allowed. */
TEST(an_old_peer_is_refused_where_the_minimum_is_newer)
{
    for (int way = 0; way < 3; way++) {
        struct world w;
        struct peer p;
        struct tapsi_test_identity identity = peer_certificate(SECRET_NAME, NULL, NULL);
        world_new(&w);
        world_secure(&w);
        secret_name(&w);
        peer_new(&w, w.server, &p);
        peer_secure(&p, &identity);
        taps_security_parameters_allow_protocol(p.security, TAPS_TLS_1_2);
        peer_listen(&w, &p, SECRET_V6);
        peer_listen(&w, &p, SECRET_V4);
        if (way == 0)
            taps_security_parameters_set_minimum_version(w.security, TAPS_TLS_1_3);
        if (way == 1)
            secret_set(&w, "allowedSecurityProtocols", "tls1.3");
        secret_tell(&w, SECRET_NAME ":443", 3000);
        secret_check();
        if (way < 2) {
            CHECK_INT(w.heard.ready, 0);
            CHECK_INT(w.heard.code, TAPS_E_TLS);
            CHECK_INT(p.received, 0);
            CHECK_INT(world_count(&w, TAPS_CANDIDATE_FAILED), 2); /* the other address is tried, no other version */
        } else {                                                  /* nothing asked for: the peer is good enough */
            CHECK_TEXT(taps_connection_security(w.connection), "TLS 1.2");
        }
        tapsi_test_identity_free(&identity);
        peer_done(&p);
        world_finish(&w);
    }
}

/* proves ARCH-10, API-051: nothing newer than allowed, either; and the newest that both have. */
TEST(allowed_protocols_are_kept_in_both_directions)
{
    static const struct {
        const char *client;
        enum taps_security_protocol server;
        const char *result;
    } cases[] = {{"tls1.2", TAPS_TLS_1_3, NULL},
                 {"tls1.2", TAPS_TLS_1_2, "TLS 1.2"},
                 {"tls1.2,tls1.3", TAPS_TLS_1_3, "TLS 1.3"},
                 {"tls1.3", TAPS_TLS_1_2, NULL}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        struct peer p;
        struct tapsi_test_identity identity = peer_certificate(SECRET_NAME, NULL, NULL);
        world_new(&w);
        world_secure(&w);
        tapsi_sim_dns_answer(w.dns, SECRET_NAME, "A", "192.0.2.1", 0);
        peer_new(&w, w.server, &p);
        peer_secure(&p, &identity);
        taps_security_parameters_allow_protocol(p.security, cases[i].server);
        peer_listen(&w, &p, SECRET_V4);
        secret_set(&w, "allowedSecurityProtocols", cases[i].client);
        secret_tell(&w, SECRET_NAME ":443", 3000);
        CHECK_INT(w.heard.ready, cases[i].result != NULL);
        if (cases[i].result)
            CHECK_TEXT(taps_connection_security(w.connection), cases[i].result);
        secret_check();
        tapsi_test_identity_free(&identity);
        peer_done(&p);
        world_finish(&w);
    }
}

/* proves ARCH-10, API-063: a Listener delivers nobody who comes with less. */
TEST(a_listener_keeps_its_minimum)
{
    struct world w;
    struct peer p;
    struct tapsi_test_identity identity = peer_certificate(SECRET_NAME, NULL, NULL);
    world_new(&w);
    world_secure(&w);
    tapsi_sim_dns_answer(w.dns, SECRET_NAME, "A", "192.0.2.1", 0);
    peer_new(&w, w.server, &p);
    peer_secure(&p, &identity);
    taps_security_parameters_set_minimum_version(p.security, TAPS_TLS_1_3);
    peer_listen(&w, &p, SECRET_V4);
    secret_set(&w, "allowedSecurityProtocols", "tls1.2");
    secret_tell(&w, SECRET_NAME ":443", 3000);
    CHECK_INT(w.heard.ready, 0);
    CHECK_INT(p.received, 0);
    CHECK_INT(taps_listener_dropped(p.listeners[0]), 1);
    tapsi_test_identity_free(&identity);
    peer_done(&p);
    world_finish(&w);
}

/* proves ARCH-09: nor somebody who speaks no TLS; his words are not taken for anything. */
TEST(a_secure_listener_delivers_no_plain_client)
{
    struct world w;
    struct peer p;
    world_new(&w);
    secret_serve(&w, &p, SECRET_V4, SECRET_NAME, NULL, NULL);
    secret_tell(&w, SECRET_V4, 3000); /* security is disabled here: it goes in clear */
    CHECK_INT(w.heard.ready, 1);
    world_run_ms(&w, 1000);
    CHECK_INT(p.received, 0);
    CHECK_INT(p.length, 0);
    CHECK_INT(taps_listener_dropped(p.listeners[0]), 1);
    peer_done(&p);
    world_finish(&w);
}

/* ---------------------------------------------------------------------------------------- who races whom (ARCH-11) */

/* The leaves that were started, by what they had under way with them. */
struct raced {
    unsigned secure, plain;
    bool mixed; /* a secure and a plain one at the same time */
};

static bool is_secure(const struct taps_candidate_info *candidate)
{
    return strncmp(candidate->stack, "tls/", 4) == 0 || strncmp(candidate->stack, "dtls/", 5) == 0;
}

static struct raced who_raced(const struct world *w)
{
    const taps_report *report = taps_connection_report(w->connection);
    size_t count = taps_report_candidate_count(report);
    struct taps_candidate_info a, b;
    struct raced raced = {0};
    for (size_t i = 0; i < count; i++) {
        taps_report_candidate(report, i, &a);
        if (a.kind != TAPS_CANDIDATE_ENDPOINT || a.start_ms < 0)
            continue;
        bool secure = is_secure(&a);
        *(secure ? &raced.secure : &raced.plain) += 1;
        for (size_t k = 0; k < count; k++) {
            taps_report_candidate(report, k, &b);
            if (b.kind == TAPS_CANDIDATE_ENDPOINT && b.start_ms >= 0 && secure != is_secure(&b))
                raced.mixed |= b.start_ms < a.end_ms && a.start_ms < b.end_ms;
        }
    }
    return raced;
}

/* Everything is eligible for which security is no hindrance, for two families. */
static void race_world(struct world *w)
{
    world_new(w);
    secret_name(w);
    taps_transport_properties_no_preference(w->properties, TAPS_RELIABILITY);
    taps_transport_properties_no_preference(w->properties, TAPS_PRESERVE_ORDER);
    taps_transport_properties_no_preference(w->properties, TAPS_CONGESTION_CONTROL);
    taps_transport_properties_set_boolean(w->properties, TAPS_SAFELY_REPLAYABLE, true);
}

/* proves ARCH-11: whatever hangs, only secure stacks are tried where security is required, and only plain ones where it
   is disabled. */
TEST(secure_and_plain_stacks_do_not_race)
{
    for (int secure = 0; secure < 2; secure++) {
        struct world w;
        race_world(&w);
        world_second_path(&w, "wlan0", TAPSI_IF_WIFI, "192.0.2.3/24 2001:db8::3/64", "198.51.100.1/24");
        if (secure)
            world_secure(&w);
        else
            taps_transport_properties_prohibit(w.properties, TAPS_PRESERVE_MSG_BOUNDARIES); /* udp would win at once */
        tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
        tapsi_sim_fault(w.sim, "192.0.2.1:443", TAPSI_SIM_BLACKHOLE);
        secret_tell(&w, SECRET_NAME ":443", 8000);
        CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
        struct raced raced = who_raced(&w);
        CHECK(!raced.mixed);
        CHECK_INT(raced.secure > 0, secure);
        CHECK_INT(raced.plain > 0, !secure);
        world_finish(&w);
    }
}

/* proves ARCH-11: nor where security is opportunistic, though both kinds are eligible there. */
TEST(opportunistic_stacks_follow_one_another)
{
    static const enum tapsi_sim_behaviour behaviours[] = {TAPSI_SIM_ECHO, TAPSI_SIM_DISCARD, TAPSI_SIM_SILENT};
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        race_world(&w);
        secret_opportunistic(&w);
        if (i < 3)
            tapsi_sim_serve(w.server, 443, behaviours[i]);
        secret_tell(&w, SECRET_NAME ":443", 8000);
        struct raced raced = who_raced(&w);
        CHECK(!raced.mixed);
        CHECK(raced.secure > 0);
        CHECK_INT(raced.plain > 0, i != 2);
        world_finish(&w);
    }
}

static unsigned count_on_the_wire(const char *bytes, size_t length)
{
    unsigned count = 0;
    for (size_t i = 0; i + length <= secret_wire.length; i++)
        count += memcmp(secret_wire.bytes + i, bytes, length) == 0;
    return count;
}

/* proves ARCH-11, ARCH-10: every attempt of a race offers the same versions; none is tried again with older ones. */
TEST(racing_attempts_offer_the_same_versions)
{
    static const struct {
        const char *allowed, *extension; /* supported_versions (RFC 8446, 4.2.1) */
        size_t length;
    } cases[] = {{"tls1.2,tls1.3", "\x00\x2b\x00\x05\x04\x03\x04\x03\x03", 9},
                 {"tls1.3", "\x00\x2b\x00\x03\x02\x03\x04", 7}};
    for (size_t i = 0; i < 2; i++) {
        struct world w;
        world_new(&w);
        world_secure(&w);
        secret_name(&w);
        secret_set(&w, "allowedSecurityProtocols", cases[i].allowed);
        tapsi_sim_serve(w.server, 443, TAPSI_SIM_SILENT);
        secret_tell(&w, SECRET_NAME ":443", 5000);
        CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
        CHECK_INT(secret_wire.streams, 2);
        CHECK_INT(count_on_the_wire(cases[i].extension, cases[i].length), 2);
        world_finish(&w);
    }
}
