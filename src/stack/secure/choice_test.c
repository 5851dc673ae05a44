/* Which of several certificates a server shows. The client's pin tells which it got; whom it trusts is out of it. */
#include "base/test.h"
#include "stack/secure/verify.h"
#include "stack/tls/test_pair.h"

/* The server has the first one (example.test, *.wild.test, 192.0.2.1) and these three. */
static struct tapsi_test_identity second, wild, address;

static void make_identities(void)
{
    if (second.certificate)
        return;
    second = tapsi_test_identity(&(struct tapsi_test_subject){.name = "2", .names = "second.test,deep.wild.test"},
                                 tapsi_test_authority());
    wild =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "3", .names = "*.other.test"}, tapsi_test_authority());
    address =
        tapsi_test_identity(&(struct tapsi_test_subject){.name = "4", .names = "198.51.100.9"}, tapsi_test_authority());
}

__attribute__((destructor)) static void forget(void)
{
    tapsi_test_identity_free(&second);
    tapsi_test_identity_free(&wild);
    tapsi_test_identity_free(&address);
}

/* A client that asks for `name` (NULL: says none) gets `wanted`. */
static void shows(const char *name, const char *remote, const struct tapsi_test_identity *wanted)
{
    for (int version = TAPS_TLS_1_2; version <= TAPS_TLS_1_3; version++) {
        struct tapsi_test_pair p;
        make_identities();
        NEED(tapsi_test_pair_init(&p));
        tapsi_test_show(p.security[1], true, &second);
        tapsi_test_show(p.security[1], true, &wild);
        tapsi_test_show(p.security[1], true, &address);
        p.security[0]->mode = TAPS_SECURITY_OPPORTUNISTIC;
        CHECK_INT(tapsi_security_allow(p.security[0], (enum taps_security_protocol)version), 0);
        CHECK_INT(tapsi_security_add_pin(p.security[0], wanted->certificate, strlen(wanted->certificate)), 0);
        p.server_name = name;
        p.remote = remote;
        if (!tapsi_test_pair_handshake(&p))
            tapsi_test_fail(__FILE__, __LINE__, "%s, version %d: %s", name ? name : "no name", version,
                            p.client.error.text);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}

/* proves API-052 */
TEST(a_name_gets_the_certificate_that_has_it)
{
    make_identities();
    shows("example.test", NULL, tapsi_test_server());
    shows("second.test", NULL, &second);
    shows("SECOND.test", NULL, &second);
    shows("second.test.", NULL, &second);
}

/* proves API-052 */
TEST(a_name_under_a_wildcard_gets_that_certificate)
{
    make_identities();
    shows("a.other.test", NULL, &wild);
    shows("a.wild.test", NULL, tapsi_test_server());
}

/* proves API-052 */
TEST(a_name_that_no_certificate_has_gets_the_first)
{
    shows("unknown.test", NULL, tapsi_test_server());
    shows("other.test", NULL, tapsi_test_server());
    shows("a.b.other.test", NULL, tapsi_test_server());
    shows("xsecond.test", NULL, tapsi_test_server());
    shows("second.test.org", NULL, tapsi_test_server());
}

/* RFC 6066, 3: an address is no name to be sent, also where a certificate has it. proves API-052 */
TEST(without_a_name_the_first_is_shown)
{
    shows(NULL, NULL, tapsi_test_server());
    shows("198.51.100.9", NULL, tapsi_test_server());
    shows(NULL, "198.51.100.9", tapsi_test_server());
    shows(NULL, "2001:db8::77", tapsi_test_server());
}

/* The client verifies what it was shown: the wrong one is no Connection. proves API-052 */
TEST(the_first_is_no_good_for_a_name_it_does_not_have)
{
    struct tapsi_test_pair p;
    make_identities();
    NEED(tapsi_test_pair_init(&p));
    tapsi_test_show(p.security[1], true, &second);
    p.server_name = "unknown.test";
    CHECK(!tapsi_test_pair_handshake(&p));
    CHECK_INT(p.client.error.pub.code, TAPS_E_CERTIFICATE_NAME);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* What was replaced in the meantime: a handshake keeps what it began with, and frees it. */
TEST(a_handshake_keeps_the_parameters_it_began_with)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    NEED(tapsi_test_pair_open(&p) == 0);
    struct tapsi_security *next = tapsi_security_new(&p.mem, TAPS_SECURITY_REQUIRED), *old = p.server.env->security;
    NEED(next);
    p.server.env->security = next;
    tapsi_security_unref(old);
    tapsi_test_pair_run(&p);
    CHECK_INT(p.client.ready, 1);
    CHECK_INT(p.server.ready, 1);
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

/* Every allocation fails once: the right certificate or none, and nothing leaked. */
TEST(every_allocation_may_fail)
{
    bool failed = true;
    make_identities();
    for (long n = 1; failed; n++) {
        struct tapsi_test_pair p;
        NEED(tapsi_test_pair_init(&p));
        tapsi_test_show(p.security[1], true, &wild);
        p.server_name = "a.other.test";
        p.fail_at = p.allocations + n;
        bool ready = tapsi_test_pair_handshake(&p);
        failed = p.allocations >= p.fail_at;
        CHECK(ready || failed);
        CHECK(p.client.error.pub.code != TAPS_E_CERTIFICATE_NAME);
        CHECK_INT(tapsi_test_pair_done(&p), 0);
    }
}
