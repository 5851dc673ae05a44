/* What a caller can do wrong: every public function with NULL, in the wrong state, with the wrong type, with absurd
 * sizes. */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "scenario.h"

#define ARG TAPS_E_ARGUMENT

TEST(null_context)
{
    taps_context *c = NULL;
    CHECK_INT(taps_context_new(NULL, NULL), ARG);
    CHECK_INT(taps_context_free(NULL), 0);
    CHECK_INT(taps_context_run(NULL), ARG);
    CHECK_INT(taps_context_run_once(NULL, 0), ARG);
    CHECK_INT(taps_context_fd(NULL), ARG);
    CHECK_INT(taps_context_dispatch(NULL), ARG);
    CHECK_INT(taps_context_post(NULL, free, NULL), ARG);
    CHECK_INT(taps_context_after(NULL, 0, free, NULL, NULL), ARG);
    taps_context_stop(NULL);
    taps_timer_cancel(NULL);
    CHECK(taps_context_now_ms(NULL) < 1);
    NEED(taps_context_new(NULL, &c) == 0);
    CHECK_INT(taps_context_post(c, NULL, NULL), ARG);
    CHECK_INT(taps_context_after(c, 0, NULL, NULL, NULL), ARG);
    CHECK_INT(taps_context_free(c), 0);
}

TEST(absurd_context_options)
{
    const struct taps_context_options bad[] = {
        {.attempt_delay_ms = 9},
        {.attempt_delay_ms = 2001},
        {.log_level = (enum taps_log_level)17},
        {.resolver = "not an address"},
        {.resolver = "192.0.2.1:0"},
        {.resolver = "192.0.2.1:99999"},
        {.resolver = "[::1"},
        {.resolver = ""},
        {.resolver = "192.0.2.1,,192.0.2.2"},
        {.resolver = "192.0.2.1:53:53"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        taps_context *c = NULL;
        int err = taps_context_new(&bad[i], &c);
        if (err != TAPS_E_RANGE)
            tapsi_test_fail(__FILE__, __LINE__, "options %zu: %s", i, taps_err_name(err));
        CHECK(c == NULL);
        if (!err)
            taps_context_free(c);
    }
}

TEST(null_objects)
{
    struct taps_value value = {.type = TAPS_TYPE_BOOLEAN};
    taps_preconnection *p = NULL;
    taps_connection *c = NULL;
    taps_listener *l = NULL;
    CHECK_INT(taps_preconnection_new(NULL, &p), ARG);
    taps_preconnection_free(NULL);
    CHECK_INT(taps_preconnection_add_local(NULL, NULL), ARG);
    CHECK_INT(taps_preconnection_add_remote(NULL, NULL), ARG);
    CHECK_INT(taps_preconnection_add_local_text(NULL, ":1"), ARG);
    CHECK_INT(taps_preconnection_add_remote_text(NULL, "a:1"), ARG);
    CHECK_INT(taps_preconnection_set_transport_properties(NULL, NULL), ARG);
    CHECK_INT(taps_preconnection_set_security_parameters(NULL, NULL), ARG);
    CHECK_INT(taps_preconnection_initiate(NULL, 0, NULL, NULL, &c), ARG);
    CHECK_INT(taps_preconnection_initiate_with_send(NULL, 0, NULL, NULL, "x", 1, NULL, 0, NULL, &c), ARG);
    CHECK_INT(taps_preconnection_listen(NULL, NULL, NULL, &l), ARG);
    CHECK_INT(taps_preconnection_resolve(NULL, 0, NULL, NULL), ARG);
    CHECK(taps_preconnection_error(NULL) == NULL);
    CHECK(taps_preconnection_report(NULL) == NULL);
    taps_connection_set_events(NULL, NULL, NULL);
    CHECK(taps_connection_user(NULL) == NULL);
    CHECK(taps_connection_context(NULL) == NULL);
    taps_connection_free(NULL);
    CHECK_INT(taps_connection_send(NULL, "x", 1, NULL, 0, NULL), ARG);
    CHECK_INT(taps_connection_start_batch(NULL), ARG);
    CHECK_INT(taps_connection_end_batch(NULL), ARG);
    CHECK_INT(taps_connection_receive(NULL, 1, 1, NULL), ARG);
    CHECK_INT(taps_connection_close(NULL), ARG);
    CHECK_INT(taps_connection_abort(NULL), ARG);
    CHECK_INT(taps_connection_set_property(NULL, "connPriority", "1"), ARG);
    CHECK_INT(taps_connection_set_value(NULL, TAPS_CONN_PRIORITY, value), ARG);
    CHECK_INT(taps_connection_get_value(NULL, TAPS_CONN_PRIORITY, &value), ARG);
    CHECK_INT(taps_connection_get_property(NULL, "connPriority", NULL, 0), ARG);
    CHECK_INT(taps_connection_get_properties(NULL, NULL), ARG);
    CHECK_INT(taps_connection_state(NULL), TAPS_CLOSED);
    CHECK(taps_connection_stack(NULL) == NULL && taps_connection_local(NULL) == NULL);
    CHECK(taps_connection_remote(NULL) == NULL && taps_connection_security(NULL) == NULL);
    CHECK(taps_connection_alpn(NULL) == NULL && taps_connection_report(NULL) == NULL);
    CHECK_INT(taps_listener_stop(NULL), ARG);
    taps_listener_free(NULL);
    CHECK_INT(taps_listener_set_new_connection_limit(NULL, 1), ARG);
    CHECK(taps_listener_context(NULL) == NULL && taps_listener_local(NULL, 0) == NULL);
    CHECK(taps_listener_stack(NULL, 0) == NULL);
    CHECK_INT(taps_listener_dropped(NULL), 0);
    CHECK_INT(taps_report_candidate_count(NULL), 0);
    CHECK_INT(taps_report_candidate(NULL, 0, NULL), ARG);
    CHECK_INT(taps_report_resolution_count(NULL), 0);
    CHECK_INT(taps_report_resolution(NULL, 0, NULL), ARG);
    CHECK(taps_report_ready_ms(NULL) < 0);
    CHECK_TEXT(taps_candidate_state_name((enum taps_candidate_state)99), "unknown");
}

TEST(null_parts_of_a_preconnection)
{
    taps_context *ctx;
    taps_preconnection *p;
    taps_endpoint *local, *remote;
    taps_connection *c;
    NEED(taps_context_new(NULL, &ctx) == 0);
    CHECK_INT(taps_preconnection_new(ctx, NULL), ARG);
    NEED(taps_preconnection_new(ctx, &p) == 0);
    taps_local_endpoint_new(&local);
    taps_remote_endpoint_new(&remote);
    CHECK_INT(taps_preconnection_add_local(p, NULL), ARG);
    CHECK_INT(taps_preconnection_add_local(p, remote), ARG);
    CHECK_INT(taps_preconnection_add_remote_text(p, NULL), ARG);
    CHECK_INT(taps_preconnection_add_remote_text(p, "name:99999"), TAPS_E_RANGE);
    CHECK_INT(taps_preconnection_add_local_text(p, "[::1"), TAPS_E_RANGE);
    CHECK_INT(taps_preconnection_add_remote(p, local), ARG);
    CHECK_INT(taps_preconnection_initiate(p, 0, NULL, NULL, NULL), ARG);
    CHECK_INT(taps_preconnection_listen(p, NULL, NULL, NULL), ARG);
    CHECK_INT(taps_preconnection_resolve(p, 0, NULL, NULL), ARG);
    CHECK_INT(taps_preconnection_add_remote(p, remote), 0); /* empty: neither name nor address */
    CHECK_INT(taps_preconnection_initiate(p, 0, NULL, NULL, &c), TAPS_E_CONFIGURATION);
    CHECK(taps_preconnection_error(p)->detail[0] != 0);
    CHECK_INT(taps_preconnection_error(p)->reason, TAPS_REASON_INVALID_CONFIGURATION);
    taps_endpoint_with_host_name(remote, "name.test");
    taps_preconnection_free(p);
    NEED(taps_preconnection_new(ctx, &p) == 0);
    CHECK_INT(taps_preconnection_add_remote(p, remote), 0); /* no port */
    CHECK_INT(taps_preconnection_initiate(p, 0, NULL, NULL, &c), TAPS_E_CONFIGURATION);
    CHECK(strstr(taps_preconnection_error(p)->detail, "name.test") != NULL);
    taps_endpoint_free(local);
    taps_endpoint_free(remote);
    taps_preconnection_free(p);
    taps_context_free(ctx);
}

TEST(unusable_remote_addresses)
{
    const char *bad[] = {"0.0.0.0:80", "[::]:80", "224.0.0.1:80", "[ff02::1]:80", "255.255.255.255:80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct world w;
        world_new(&w);
        world_initiate(&w, bad[i], 1000);
        if (w.initiated == 0)
            world_run_until_end(&w);
        CHECK(w.initiated == TAPS_E_CONFIGURATION || w.heard.establishment_error == 1);
        world_finish(&w);
    }
}

/* API-006's bound: endpoints are counted, not swallowed. */
TEST(too_many_endpoints)
{
    struct world w;
    taps_endpoint *e;
    int err = 0, added = 0;
    world_new(&w);
    world_start(&w);
    taps_remote_endpoint_new(&e);
    taps_endpoint_with_text(e, "192.0.2.1:80");
    while (added < 1000 && (err = taps_preconnection_add_remote(w.preconnection, e)) == 0)
        added++;
    CHECK_INT(added, 64);
    CHECK_INT(err, TAPS_E_RANGE);
    taps_endpoint_free(e);
    world_finish(&w);
}

TEST(absurd_sends_and_receives)
{
    struct world w;
    struct taps_value value;
    char small[2] = "zz";
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_initiate(&w, "192.0.2.1:80", 0);
    world_run_until_ready(&w);
    CHECK_INT(taps_connection_send(w.connection, NULL, 1, NULL, 0, NULL), ARG);
    CHECK_INT(taps_connection_send(w.connection, "x", SIZE_MAX, NULL, 0, NULL), ARG);
    CHECK_INT(taps_connection_send(w.connection, "x", 1, NULL, 0x8000, NULL), ARG);
    CHECK_INT(taps_connection_send(w.connection, NULL, 0, NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_receive(w.connection, 0, 0, NULL), ARG);
    CHECK_INT(taps_connection_receive(w.connection, 0, 1, NULL), 0);
    CHECK_INT(taps_connection_end_batch(w.connection), TAPS_E_STATE);
    for (int i = 0; i < 255; i++)
        CHECK_INT(taps_connection_start_batch(w.connection), 0);
    CHECK_INT(taps_connection_start_batch(w.connection), TAPS_E_STATE);
    CHECK_INT(taps_connection_get_value(w.connection, (enum taps_property)999, &value), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(taps_connection_get_value(w.connection, TAPS_INTERFACE, &value), TAPS_E_TYPE);
    CHECK_INT(taps_connection_get_property(w.connection, "nonsense", NULL, 0), TAPS_E_UNKNOWN_PROPERTY);
    CHECK(taps_connection_get_property(w.connection, "connState", small, sizeof(small)) > 2);
    CHECK_INT(small[1], 0);
    CHECK(taps_connection_get_property(w.connection, "interface", NULL, 0) == 0);
    world_finish(&w);
}

/* A program that forgets everything: the context frees what is left, silently. */
TEST(context_frees_what_was_forgotten)
{
    struct world w;
    taps_listener *l;
    taps_endpoint *local;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    world_initiate(&w, "192.0.2.1:80", 0);
    world_run_until_ready(&w);
    taps_connection_send(w.connection, "x", 1, NULL, 0, NULL);
    taps_connection_receive(w.connection, 1, 1, NULL);
    taps_local_endpoint_new(&local);
    taps_endpoint_with_port(local, 9000);
    taps_preconnection_add_local(w.preconnection, local);
    taps_endpoint_free(local);
    CHECK_INT(taps_preconnection_listen(w.preconnection, NULL, NULL, &l), 0);
    CHECK_INT(taps_context_after(w.context, 1000, free, NULL, NULL), 0);
    w.connection = NULL;
    world_finish(&w);
}

static taps_context *inner;
static int inner_result[3];

static void misbehave(void *arg)
{
    (void)arg;
    inner_result[0] = taps_context_run(inner);
    inner_result[1] = taps_context_dispatch(inner);
    inner_result[2] = taps_context_free(inner);
}

TEST(context_calls_inside_a_callback_are_refused)
{
    NEED(taps_context_new(NULL, &inner) == 0);
    CHECK_INT(taps_context_after(inner, 0, misbehave, NULL, NULL), 0);
    CHECK_INT(taps_context_run(inner), 0);
    CHECK_INT(inner_result[0], TAPS_E_STATE);
    CHECK_INT(inner_result[1], TAPS_E_STATE);
    CHECK_INT(inner_result[2], TAPS_E_STATE);
    CHECK_INT(taps_context_free(inner), 0);
}

TEST(run_without_anything_returns_at_once)
{
    taps_context *c;
    NEED(taps_context_new(NULL, &c) == 0);
    CHECK_INT(taps_context_run(c), 0);
    CHECK_INT(taps_context_run_once(c, 0), 0);
    taps_context_stop(c);
    CHECK_INT(taps_context_run(c), 0);
    CHECK_INT(taps_context_free(c), 0);
}

/* proves IMPL-25: every reason of RFC 9623's appendix has its name, and every error belongs to one or is success. */
TEST(every_error_has_name_text_and_reason)
{
    const char *const names[] = {"InvalidConfiguration", "NoCandidates",      "ResolutionFailed",
                                 "EstablishmentFailed",  "PolicyProhibited",  "NotCloneable",
                                 "MessageTooLarge",      "ProtocolFailed",    "InvalidMessageProperties",
                                 "DeframingFailed",      "ConnectionAborted", "Timeout"};
    for (int r = TAPS_REASON_INVALID_CONFIGURATION; r <= TAPS_REASON_TIMEOUT; r++)
        CHECK_TEXT(taps_reason_name((enum taps_reason)r), names[r - 1]);
    for (int code = -1; code >= TAPS_E_SYSTEM; code--) {
        CHECK(strncmp(taps_err_name(code), "TAPS_E_", 7) == 0);
        CHECK(taps_err_text(code)[0] != 0);
        CHECK(taps_err_reason(code) != TAPS_REASON_NONE);
    }
    CHECK(taps_err_name(-9999) != NULL && taps_err_text(12345) != NULL);
}
