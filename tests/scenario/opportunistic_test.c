/*
 * Opportunistic security (RFC 9622, 6.3): TLS where there is any, plain text only where it was found missing, and
 * neither raced against the other (src/establish/plain.c).
 */
#include <stdio.h>
#include <string.h>
#include "secret.h"

static void begin(struct world *w)
{
    world_new(w);
    secret_opportunistic(w);
}

/* So that udp is eligible too. */
static void loosen(struct world *w)
{
    taps_transport_properties_no_preference(w->properties, TAPS_RELIABILITY);
    taps_transport_properties_no_preference(w->properties, TAPS_PRESERVE_ORDER);
    taps_transport_properties_no_preference(w->properties, TAPS_CONGESTION_CONTROL);
    CHECK_INT(taps_transport_properties_set_boolean(w->properties, TAPS_SAFELY_REPLAYABLE, true), 0);
}

/* A second path, wlan0, to another host that has the server's address too, so many microseconds away. */
static struct tapsi_sim_host *twin(struct world *w, uint64_t delay_us)
{
    struct tapsi_sim_interface *wlan = tapsi_sim_interface_new(w->client, "wlan0", TAPSI_IF_WIFI, "192.0.2.3/24");
    struct tapsi_sim_host *host = tapsi_sim_host_new(w->sim, "twin");
    tapsi_sim_link_new(wlan, tapsi_sim_interface_new(host, "eth0", TAPSI_IF_ETHERNET, "192.0.2.1/24"),
                       delay_us * TAPSI_SIM_US);
    return host;
}

/* When the first leaf of this stack and path began or ended; -1 = it did not. */
static double time_of(const struct world *w, const char *interface, const char *stack, bool end)
{
    const taps_report *report = taps_connection_report(w->connection);
    struct taps_candidate_info info;
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        taps_report_candidate(report, i, &info);
        if (info.kind == TAPS_CANDIDATE_ENDPOINT && strcmp(info.stack, stack) == 0 &&
            (!interface || strcmp(info.interface, interface) == 0))
            return end ? info.end_ms : info.start_ms;
    }
    return -1;
}

/* How many leaves of this stack were started. */
static unsigned started(const struct world *w, const char *stack)
{
    const taps_report *report = taps_connection_report(w->connection);
    struct taps_candidate_info info;
    unsigned count = 0;
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        taps_report_candidate(report, i, &info);
        count += info.kind == TAPS_CANDIDATE_ENDPOINT && strcmp(info.stack, stack) == 0 && info.start_ms >= 0;
    }
    return count;
}

static double ready_ms(const struct world *w)
{
    return taps_report_ready_ms(taps_connection_report(w->connection));
}

/* Nothing but TLS was tried, and it did not become ready. */
static void check_never_plain(struct world *w)
{
    CHECK_INT(w->heard.ready, 0);
    CHECK_INT(w->heard.establishment_error, 1);
    CHECK_INT(started(w, "tcp"), 0);
    CHECK_INT(started(w, "udp"), 0);
    CHECK_INT(secret_wire.streams, started(w, "tls/tcp"));
    secret_check();
}

/* ------------------------------------------------------------------------------------------- where TLS is there */

/* proves API-050, IMPL-07, IMPL-09, ARCH-11: TLS with whoever has it, whatever his certificate says. */
TEST(opportunistic_uses_the_tls_there_is)
{
    struct world w;
    struct peer p;
    begin(&w);
    secret_serve(&w, &p, SECRET_V4, "somebody.else", "2020-01-01", "2021-01-01");
    secret_tell(&w, SECRET_V4, 0);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(taps_connection_stack(w.connection), "tls/tcp");
    world_run_ms(&w, 200);
    CHECK(peer_has(&p, SECRET));
    secret_check();
    CHECK_INT(secret_wire.streams, 1); /* plain text was not even tried */
    peer_done(&p);
    world_finish(&w);
}

/* proves ARCH-09, ARCH-11, IMPL-09: TLS that is only slow is waited for. */
TEST(opportunistic_does_not_overtake_slow_tls)
{
    struct world w;
    struct peer p;
    begin(&w);
    secret_serve(&w, &p, SECRET_V4, SECRET_NAME, NULL, NULL);
    tapsi_sim_link_delay(w.link, 700 * TAPSI_SIM_MS);
    secret_tell(&w, SECRET_V4, 20000);
    CHECK_TEXT(taps_connection_stack(w.connection), "tls/tcp");
    secret_check();
    CHECK_INT(secret_wire.streams, 1);
    peer_done(&p);
    world_finish(&w);
}

/* proves ARCH-09, ARCH-11, IMPL-09: also when another path has told long ago that it has no TLS: a handshake that is
   under way holds plain text back, on all paths. */
TEST(opportunistic_waits_for_tls_on_every_path)
{
    static const uint64_t delays_ms[] = {400, 700, 900};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        struct peer p;
        begin(&w);
        tapsi_sim_serve(twin(&w, 1000), 443, TAPSI_SIM_ECHO);
        secret_serve(&w, &p, SECRET_V4, SECRET_NAME, NULL, NULL);
        tapsi_sim_link_delay(w.link, delays_ms[i] * TAPSI_SIM_MS);
        secret_tell(&w, SECRET_V4, 20000);
        CHECK_TEXT(taps_connection_stack(w.connection), "tls/tcp");
        CHECK_INT(started(&w, "tls/tcp"), 2);
        CHECK_INT(started(&w, "tcp"), 0);
        secret_check();
        peer_done(&p);
        world_finish(&w);
    }
}

/* proves ARCH-09, IMPL-09: a path whose peer has no TLS hands over to the next path, not to plain text. */
TEST(the_second_path_is_tried_with_tls_before_the_first_in_clear)
{
    struct world w;
    struct peer p;
    struct tapsi_test_identity identity = peer_certificate(SECRET_NAME, NULL, NULL);
    begin(&w);
    struct tapsi_sim_host *other = twin(&w, 1000);
    tapsi_sim_serve(w.server, 443, TAPSI_SIM_ECHO);
    peer_new(&w, other, &p);
    peer_secure(&p, &identity);
    peer_listen(&w, &p, SECRET_V4);
    secret_tell(&w, SECRET_V4, 0);
    CHECK_TEXT(taps_connection_stack(w.connection), "tls/tcp");
    CHECK_INT(started(&w, "tcp"), 0);
    CHECK(time_of(&w, "wlan0", "tls/tcp", false) - time_of(&w, "eth0", "tls/tcp", true) < 1); /* at once */
    secret_check();
    tapsi_test_identity_free(&identity);
    peer_done(&p);
    world_finish(&w);
}

/* proves ARCH-09, ARCH-11: the same with two addresses of one path. */
TEST(the_second_address_is_tried_with_tls_before_the_first_in_clear)
{
    struct world w;
    struct peer p;
    begin(&w);
    secret_name(&w);
    tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_REFUSE);
    secret_serve(&w, &p, SECRET_V4, SECRET_NAME, NULL, NULL);
    secret_tell(&w, SECRET_NAME ":443", 0);
    CHECK_TEXT(taps_connection_stack(w.connection), "tls/tcp");
    CHECK_INT(started(&w, "tcp"), 0);
    secret_check();
    peer_done(&p);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------------ never in clear */

/* proves ARCH-09, IMPL-09: silence is no answer. Whatever a peer, or somebody on the way, does not answer, it brings
   nobody to speak in clear. */
TEST(silence_is_never_followed_by_plain_text)
{
    for (int way = 0; way < 4; way++) {
        struct world w;
        begin(&w);
        loosen(&w);
        secret_name(&w);
        if (way != 1) /* the first address swallows everything */
            tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
        if (way == 0)
            tapsi_sim_fault(w.sim, "192.0.2.1:443", TAPSI_SIM_BLACKHOLE);
        tapsi_sim_serve(w.server, 443, way == 3 ? TAPSI_SIM_STALL : TAPSI_SIM_SILENT);
        secret_tell(&w, SECRET_NAME ":443", 20000);
        check_never_plain(&w);
        CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
        world_finish(&w);
    }
}

/* proves ARCH-09, IMPL-09: nor is what a router says: it is not the peer. */
TEST(an_error_of_the_network_beside_silence_is_not_followed_by_plain_text)
{
    static const enum tapsi_sim_fault faults[] = {TAPSI_SIM_PROHIBIT, TAPSI_SIM_UNREACHABLE};
    for (size_t i = 0; i < 2; i++) {
        struct world w;
        begin(&w);
        secret_name(&w);
        tapsi_sim_fault(w.sim, "2001:db8::1", faults[i]);
        tapsi_sim_fault(w.sim, "192.0.2.1:443", TAPSI_SIM_BLACKHOLE);
        tapsi_sim_serve(w.server, 443, TAPSI_SIM_ECHO);
        secret_tell(&w, SECRET_NAME ":443", 10000);
        check_never_plain(&w);
        world_finish(&w);
    }
}

/* proves ARCH-09, API-053: who shows another certificate than the pinned one speaks TLS, and is told nothing in clear;
   nor is anybody else after that. */
TEST(a_wrong_pin_is_never_followed_by_plain_text)
{
    for (int way = 0; way < 2; way++) {
        struct world w;
        struct peer p;
        struct tapsi_test_identity other = peer_certificate(SECRET_NAME, NULL, NULL);
        begin(&w);
        secret_name(&w);
        tapsi_sim_fault(w.sim, "2001:db8::1", way ? TAPSI_SIM_REFUSE : TAPSI_SIM_BLACKHOLE);
        secret_serve(&w, &p, SECRET_V4, SECRET_NAME, NULL, NULL);
        CHECK_INT(taps_security_parameters_pin_server_certificate(w.security, other.certificate,
                                                                  strlen(other.certificate)),
                  0);
        secret_tell(&w, SECRET_NAME ":443", 5000);
        check_never_plain(&w);
        CHECK_INT(w.heard.code, way ? TAPS_E_CERTIFICATE_PIN : TAPS_E_TIMEOUT);
        CHECK(strstr(w.heard.detail, "pin") != NULL);
        CHECK_INT(p.received, 0);
        tapsi_test_identity_free(&other);
        peer_done(&p);
        world_finish(&w);
    }
}

/* proves ARCH-09, ARCH-10: nor who speaks a TLS that does not fit: it is no peer without TLS. */
TEST(tls_that_does_not_fit_is_never_followed_by_plain_text)
{
    static const struct {
        const char *name, *client, *server;
    } cases[] = {{"allowedSecurityProtocols", "tls1.3", "tls1.2"},
                 {"allowedSecurityProtocols", "tls1.2", "tls1.3"},
                 {"alpn", "one", "two"},
                 {"supportedGroup", "x25519", "secp256r1"},
                 {"ciphersuite", "AES-128-GCM", "CHACHA20-POLY1305"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        struct peer p;
        struct tapsi_test_identity identity = peer_certificate(SECRET_NAME, NULL, NULL);
        begin(&w);
        secret_set(&w, cases[i].name, cases[i].client);
        peer_new(&w, w.server, &p);
        peer_secure(&p, &identity);
        CHECK_INT(taps_security_parameters_set(p.security, cases[i].name, cases[i].server), 0);
        peer_listen(&w, &p, SECRET_V4);
        secret_tell(&w, SECRET_V4, 5000);
        check_never_plain(&w);
        CHECK_INT(w.heard.code, TAPS_E_TLS);
        CHECK_INT(p.received, 0);
        tapsi_test_identity_free(&identity);
        peer_done(&p);
        world_finish(&w);
    }
}

/* proves ARCH-09: nor a mistake of our own, which says nothing about the peer. GnuTLS itself does not notice it with
   Ed25519 keys. */
TEST(a_certificate_that_cannot_be_used_is_never_followed_by_plain_text)
{
    for (int steady = 0; steady < 2; steady++) {
        struct world w;
        struct tapsi_test_subject subject = {.name = "me", .purpose = TAPSI_TEST_CLIENT, .steady = steady};
        struct tapsi_test_identity a = tapsi_test_identity(&subject, NULL), b = tapsi_test_identity(&subject, NULL);
        begin(&w);
        struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 443, TAPSI_SIM_ECHO);
        CHECK_INT(taps_security_parameters_add_client_certificate_pem(w.security, a.certificate, strlen(a.certificate),
                                                                      b.key, strlen(b.key)),
                  0);
        secret_tell(&w, SECRET_V4, 5000);
        CHECK_INT(w.heard.ready, 0);
        CHECK_INT(w.heard.establishment_error, 1);
        CHECK_INT(w.heard.code, TAPS_E_CONFIGURATION);
        CHECK_INT(started(&w, "tcp"), 0);
        CHECK_INT(tapsi_sim_service_counts(s).accepted, 0);
        secret_check();
        tapsi_test_identity_free(&a);
        tapsi_test_identity_free(&b);
        world_finish(&w);
    }
}

/* proves ARCH-09: a handshake that hangs on one path holds back the plain text of a path that has no TLS. */
TEST(a_handshake_that_hangs_is_waited_for)
{
    struct world w;
    begin(&w);
    tapsi_sim_serve(twin(&w, 1000), 443, TAPSI_SIM_ECHO);
    tapsi_sim_serve(w.server, 443, TAPSI_SIM_SILENT);
    secret_tell(&w, SECRET_V4, 20000);
    check_never_plain(&w);
    CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
    world_finish(&w);
}

/* proves ARCH-09: where plain text is not allowed by the endpoint's protocol, it is not tried. */
TEST(an_endpoint_for_tls_is_not_reached_in_clear)
{
    struct world w;
    taps_endpoint *e;
    begin(&w);
    tapsi_sim_serve(w.server, 443, TAPSI_SIM_ECHO);
    world_start(&w);
    wire_tap(&secret_wire, w.context);
    taps_remote_endpoint_new(&e);
    CHECK_INT(taps_endpoint_with_ip_address(e, "192.0.2.1"), 0);
    CHECK_INT(taps_endpoint_with_port(e, 443), 0);
    CHECK_INT(taps_endpoint_with_protocol(e, "tls"), 0);
    CHECK_INT(taps_preconnection_add_remote(w.preconnection, e), 0);
    taps_endpoint_free(e);
    taps_preconnection_set_security_parameters(w.preconnection, w.security);
    CHECK_INT(taps_preconnection_initiate(w.preconnection, 3000, &world_events, &w, &w.connection), 0);
    world_run_until_ready(&w);
    check_never_plain(&w);
    CHECK_INT(w.heard.code, TAPS_E_TLS);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------- where there is none */

/* proves API-050, IMPL-09, ARCH-09, ARCH-11: plain text only when it was asked for as a last resort, and only after
   TLS. */
TEST(opportunistic_is_plain_only_after_tls_has_failed)
{
    static const enum tapsi_sim_behaviour behaviours[] = {TAPSI_SIM_ECHO, TAPSI_SIM_DISCARD, TAPSI_SIM_SEND};
    for (size_t i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++) {
        struct world w;
        begin(&w);
        struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 443, behaviours[i]);
        tapsi_sim_service_bytes(s, "220 ready\r\n", 11);
        secret_tell(&w, SECRET_V4, 5000);
        CHECK_INT(w.heard.ready, 1);
        CHECK_TEXT(taps_connection_stack(w.connection), "tcp");
        CHECK(taps_connection_security(w.connection) == NULL);
        CHECK(time_of(&w, NULL, "tls/tcp", true) > 0);
        CHECK(time_of(&w, NULL, "tcp", false) >= time_of(&w, NULL, "tls/tcp", true));
        CHECK(ready_ms(&w) < 100); /* with nothing else to wait for there is no grace */
        world_run_ms(&w, 50);
        CHECK_INT(tapsi_sim_service_counts(s).accepted, 2);
        world_finish(&w);
    }
}

/* proves API-050, IMPL-09: an address that does not answer costs a second, not the deadline, when the other one has
   answered that it has no TLS. */
TEST(a_dead_address_holds_plain_text_back_for_a_second)
{
    for (int way = 0; way < 2; way++) {
        struct world w;
        begin(&w);
        secret_name(&w);
        tapsi_sim_fault(w.sim, way ? "192.0.2.1:443" : "2001:db8::1", TAPSI_SIM_BLACKHOLE);
        tapsi_sim_serve(w.server, 443, TAPSI_SIM_ECHO);
        secret_tell(&w, SECRET_NAME ":443", 0);
        CHECK_INT(w.heard.ready, 1);
        CHECK_TEXT(taps_connection_stack(w.connection), "tcp");
        CHECK_INT(started(&w, "tls/tcp"), 2); /* each address had its chance */
        CHECK(time_of(&w, NULL, "tcp", false) > 1000);
        CHECK(ready_ms(&w) < 2000);
        world_finish(&w);
    }
}

/* proves IMPL-09, API-062: and half of the time that is left, where that is less. */
TEST(the_grace_fits_into_the_deadline)
{
    struct world w;
    begin(&w);
    secret_name(&w);
    tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
    tapsi_sim_serve(w.server, 443, TAPSI_SIM_ECHO);
    secret_tell(&w, SECRET_NAME ":443", 1200);
    CHECK_INT(w.heard.ready, 1);
    CHECK(ready_ms(&w) > 600 && ready_ms(&w) < 1200);
    world_finish(&w);
}

/* proves IMPL-08, IMPL-09: nor does a name server that never answers for one family hold it back. */
TEST(an_answer_that_never_comes_holds_plain_text_back_for_a_second)
{
    struct world w;
    begin(&w);
    tapsi_sim_dns_answer(w.dns, SECRET_NAME, "A", "192.0.2.1", 0);
    tapsi_sim_dns_fail(w.dns, SECRET_NAME, "AAAA", TAPSI_SIM_DNS_NEVER, 0);
    tapsi_sim_serve(w.server, 443, TAPSI_SIM_ECHO);
    secret_tell(&w, SECRET_NAME ":443", 0);
    CHECK_INT(w.heard.ready, 1);
    CHECK(ready_ms(&w) < 1500);
    world_finish(&w);
}

/* proves IMPL-07, IMPL-09: a path that does not answer, beside one without TLS. */
TEST(a_dead_path_holds_plain_text_back_for_a_second)
{
    struct world w;
    begin(&w);
    tapsi_sim_serve(twin(&w, 1000), 443, TAPSI_SIM_ECHO);
    tapsi_sim_link_fault(w.link, TAPSI_SIM_BLACKHOLE);
    secret_tell(&w, SECRET_V4, 0);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(taps_endpoint_interface(taps_connection_local(w.connection)), "wlan0");
    CHECK_INT(started(&w, "tls/tcp"), 2);
    /* 1000 ms until the second path starts, 1000 ms of grace, and the plain stacks take their turns as the paths do */
    CHECK(time_of(&w, "eth0", "tcp", false) > 2000);
    CHECK(time_of(&w, "wlan0", "tcp", false) - time_of(&w, "eth0", "tcp", false) > 999);
    CHECK(ready_ms(&w) < 3100);
    world_finish(&w);
}

/* proves IMPL-09, ARCH-11: plain stacks race among themselves as any do: no two at the same moment. */
TEST(plain_stacks_are_staggered_too)
{
    struct world w;
    double on_eth, on_wlan;
    begin(&w);
    loosen(&w);
    tapsi_sim_fault(w.sim, "192.0.2.1:443", TAPSI_SIM_REFUSE);
    twin(&w, 1000);
    secret_tell(&w, SECRET_V4, 5000); /* udp is ready at once, whoever is there */
    CHECK_TEXT(taps_connection_stack(w.connection), "udp");
    on_eth = time_of(&w, "eth0", "tcp", false);
    on_wlan = time_of(&w, "wlan0", "tcp", false);
    CHECK(on_eth >= time_of(&w, "wlan0", "tls/tcp", true)); /* TLS on both first */
    CHECK(on_wlan < 0 || on_wlan > on_eth);
    CHECK_INT(started(&w, "tls/tcp"), 2);
    world_finish(&w);
}

/* proves API-062: when nobody serves, all of it was tried, and the error says what came farthest. */
TEST(nothing_serves_in_either_way)
{
    struct world w;
    begin(&w);
    twin(&w, 1000);
    secret_name(&w);
    tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_REFUSE);
    world_start(&w);
    double start = taps_context_now_ms(w.context);
    secret_tell(&w, SECRET_NAME ":80", 5000);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_REFUSED);
    CHECK_INT(started(&w, "tcp"), started(&w, "tls/tcp"));
    CHECK(w.heard.end_ms - start < 1000);
    CHECK_INT(w.heard.total, 3); /* and the SendError and ReceiveError of what waited */
    world_finish(&w);
}

/* proves API-016, IMPL-09: where no endpoint is for TCP only DTLS is tried before, and an echo is no answer to it. */
TEST(an_endpoint_for_udp_waits_for_nothing_but_dtls)
{
    struct world w;
    taps_endpoint *e;
    begin(&w);
    loosen(&w);
    tapsi_sim_udp_echo(w.server, 443);
    world_start(&w);
    taps_remote_endpoint_new(&e);
    CHECK_INT(taps_endpoint_with_ip_address(e, "192.0.2.1"), 0);
    CHECK_INT(taps_endpoint_with_port(e, 443), 0);
    CHECK_INT(taps_endpoint_with_protocol(e, "udp"), 0);
    CHECK_INT(taps_preconnection_add_remote(w.preconnection, e), 0);
    taps_endpoint_free(e);
    taps_preconnection_set_security_parameters(w.preconnection, w.security);
    taps_preconnection_set_transport_properties(w.preconnection, w.properties);
    CHECK_INT(taps_preconnection_initiate(w.preconnection, 3000, &world_events, &w, &w.connection), 0);
    world_run_until_ready(&w);
    CHECK_INT(w.heard.ready, 1);
    CHECK_TEXT(taps_connection_stack(w.connection), "udp");
    CHECK_INT(started(&w, "dtls/udp"), 1);
    CHECK_INT(started(&w, "tls/tcp"), 0);
    CHECK(ready_ms(&w) < 100);
    world_finish(&w);
}
