/* Something is put above a Framer at work: TLS after an exchange in clear, another Framer; and what is refused. */
#include <stdlib.h>
#include "base/test.h"
#include "stack/framer/test_framing.h"
#include "stack/secure/test_certificates.h"

/* Both ends say "go"; who has heard it goes on with TLS. */
static int go_start(taps_framing *f)
{
    return taps_framing_send(f, "go", 2);
}

static int go_receive(taps_framing *f)
{
    const uint8_t *data;
    size_t length;
    if (taps_framing_parse(f, 2, 2, &data, &length) <= 0)
        return 0;
    taps_framing_advance(f, 2);
    int err = taps_framing_prepend_tls(f);
    if (err)
        return err;
    taps_framing_make_ready(f);
    taps_framing_start_passthrough(f);
    return 0;
}

static const struct taps_framer_definition go = {
    .name = "go", .flags = TAPS_FRAMER_TRANSPARENT, .start = go_start, .handle_received_data = go_receive};

static void open_end(struct test_framing *t, bool server, bool datagram)
{
    taps_framer *framer;
    CHECK_INT(taps_framer_new_custom(&go, &framer), 0);
    const taps_framer *one = framer;
    test_framing_open(t, &one, 1, server, datagram);
    taps_framer_free(framer);
}

static void give_certificate(struct test_framing *t)
{
    struct tapsi_test_subject subject = {.name = "peer", .names = "peer.example", .purpose = TAPSI_TEST_SERVER};
    struct tapsi_test_identity identity = tapsi_test_identity(&subject, NULL);
    CHECK_INT(taps_security_parameters_add_server_certificate_pem(tapsi_security_public(t->security),
                                                                  identity.certificate, strlen(identity.certificate),
                                                                  identity.key, strlen(identity.key)),
              0);
    tapsi_test_identity_free(&identity);
}

/* Until neither has more to say. True if `text` was among it. */
static bool carry(struct test_framing *a, struct test_framing *b, const char *text)
{
    bool seen = false;
    struct test_framing *from = a, *to = b;
    for (int quiet = 0; quiet < 2;) {
        size_t length = from->out_length;
        uint8_t *bytes = malloc(length + 1);
        if (length)
            memcpy(bytes, from->out, length);
        seen |= memmem(bytes, length, text, strlen(text)) != NULL;
        test_framing_forget(from);
        quiet = length ? 0 : quiet + 1;
        if (length)
            test_framing_feed(to, bytes, length);
        free(bytes);
        struct test_framing *other = from;
        from = to;
        to = other;
    }
    return seen;
}

/* proves IMPL-18 */
TEST(tls_is_put_above_after_an_exchange_in_clear)
{
    struct test_framing client, server;
    open_end(&server, true, false);
    give_certificate(&server);
    open_end(&client, false, false);
    CHECK_INT(client.ready + server.ready, 0);
    CHECK(carry(&client, &server, "go"));
    CHECK_INT(client.ready, 1);
    CHECK_INT(server.ready, 1);
    CHECK_INT(test_framing_send_text(&client, "a secret"), 0);
    CHECK(!carry(&client, &server, "secret"));
    CHECK_INT(server.bytes, 8);
    CHECK_INT(test_framing_send_text(&server, "an answer"), 0);
    CHECK(!carry(&server, &client, "answer"));
    CHECK_INT(client.bytes, 9);
    test_framing_shut(&client);
    carry(&client, &server, "");
    CHECK_INT(client.closed, 1);
    CHECK_INT(client.error.pub.code, 0);
    test_framing_close(&client);
    test_framing_close(&server);
}

TEST(what_cannot_begin_above_fails_the_candidate)
{
    struct test_framing server;
    open_end(&server, true, false); /* without a certificate */
    test_framing_feed_text(&server, "go\x16\x03\x01");
    CHECK_INT(server.ready, 0);
    CHECK_INT(server.closed, 1);
    CHECK(server.error.pub.code < 0);
    test_framing_close(&server);
}

TEST(a_peer_that_speaks_no_tls_fails_the_candidate)
{
    struct test_framing client;
    open_end(&client, false, false);
    test_framing_feed_text(&client, "gothis is not TLS, and never will be");
    CHECK_INT(client.ready, 0);
    CHECK(test_framing_failed(&client, TAPS_E_TLS));
    test_framing_close(&client);
}

TEST(there_is_no_tls_above_datagrams)
{
    struct test_framing t;
    open_end(&t, false, true);
    CHECK_INT(taps_framing_prepend_tls(tapsi_adapter_of(t.top)->framing), TAPS_E_NOT_APPLICABLE);
    test_framing_close(&t);
}

/* One that puts another of its own kind above itself, again and again: there is an end to it. */
static int climb_start(taps_framing *f);

static const struct taps_framer_definition climb = {
    .name = "climb", .flags = TAPS_FRAMER_TRANSPARENT, .start = climb_start};

static int climb_start(taps_framing *f)
{
    taps_framer *framer;
    int err = taps_framer_new_custom(&climb, &framer);
    if (err)
        return err;
    err = taps_framing_prepend_framer(f, framer);
    taps_framer_free(framer);
    taps_framing_make_ready(f);
    return err;
}

TEST(there_is_an_end_to_what_is_put_above)
{
    struct test_framing t;
    taps_framer *framer;
    CHECK_INT(taps_framer_new_custom(&climb, &framer), 0);
    const taps_framer *one = framer;
    test_framing_open(&t, &one, 1, false, false);
    taps_framer_free(framer);
    CHECK_INT(t.ready, 0);
    CHECK(test_framing_failed(&t, TAPS_E_RANGE));
    test_framing_close(&t);
}

/* Not what is none, not more than four, not once it is ready. */
TEST(what_may_not_be_put_above_is_refused)
{
    struct test_framing t;
    taps_framer *netstring;
    open_end(&t, false, false);
    struct taps_framing *f = tapsi_adapter_of(t.top)->framing;
    CHECK_INT(taps_framer_new("netstring", &netstring), 0);
    CHECK_INT(taps_framing_prepend_framer(f, NULL), TAPS_E_ARGUMENT);
    for (int i = 0; i < TAPSI_FRAMING_PREPENDS; i++)
        CHECK_INT(taps_framing_prepend_framer(f, netstring), 0);
    CHECK_INT(taps_framing_prepend_framer(f, netstring), TAPS_E_RANGE);
    test_framing_close(&t);
    taps_framer *usual = netstring;
    const taps_framer *one = usual;
    test_framing_open(&t, &one, 1, false, false);
    CHECK_INT(taps_framing_prepend_framer(tapsi_adapter_of(t.top)->framing, netstring), TAPS_E_STATE);
    CHECK_INT(taps_framing_prepend_tls(tapsi_adapter_of(t.top)->framing), TAPS_E_STATE);
    test_framing_close(&t);
    taps_framer_free(netstring);
}
