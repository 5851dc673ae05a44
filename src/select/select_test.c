#include "select/select.h"

#include "base/str.h"
#include "base/test.h"

/* --------------------------------------------------------------------------------- stacks as they are in life */

#define STREAM                                                                                                         \
    .capability = {[TAPS_RELIABILITY] = TAPSI_CAP_ALWAYS,        [TAPS_PRESERVE_ORDER] = TAPSI_CAP_ALWAYS,             \
                   [TAPS_FULL_CHECKSUM_SEND] = TAPSI_CAP_ALWAYS, [TAPS_FULL_CHECKSUM_RECV] = TAPSI_CAP_ALWAYS,         \
                   [TAPS_CONGESTION_CONTROL] = TAPSI_CAP_ALWAYS, [TAPS_KEEP_ALIVE] = TAPSI_CAP_OPTIONAL},              \
    .can_initiate = true, .can_listen = true

#define DATAGRAM                                                                                                       \
    .capability = {[TAPS_PRESERVE_MSG_BOUNDARIES] = TAPSI_CAP_ALWAYS,                                                  \
                   [TAPS_FULL_CHECKSUM_SEND] = TAPSI_CAP_ALWAYS,                                                       \
                   [TAPS_FULL_CHECKSUM_RECV] = TAPSI_CAP_ALWAYS,                                                       \
                   [TAPS_SOFT_ERROR_NOTIFY] = TAPSI_CAP_OPTIONAL},                                                     \
    .can_initiate = true, .can_listen = true, .may_duplicate = true

#define BOTH_VERSIONS (1U << TAPS_TLS_1_2 | 1U << TAPS_TLS_1_3)

static const struct tapsi_offer stacks[] = {
    {.stack = "tls/tcp", .secure = true, .security_protocols = BOTH_VERSIONS, STREAM},
    {.stack = "tcp", STREAM},
    {.stack = "udp", DATAGRAM},
    {.stack = "dtls/udp", .secure = true, .security_protocols = 1U << TAPS_TLS_1_2, DATAGRAM},
};

enum { TLS, TCP, UDP, DTLS, STACKS };

struct outcome {
    struct tapsi_verdict verdicts[STACKS];
    unsigned order[STACKS];
    size_t eligible;
};

/* "tls/tcp tcp" */
static const char *order_text(const struct outcome *o)
{
    static char text[128];
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < o->eligible; i++)
        length += tapsi_format(text + length, sizeof(text) - length, "%s%s", i ? " " : "", stacks[o->order[i]].stack);
    return text;
}

/* Properties from a text like "reliability=avoid;multipath=active", and security of that mode. */
static void choose(const char *text, const struct tapsi_security *security, enum tapsi_role role, struct outcome *ret)
{
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    char copy[256];
    tapsi_format(copy, sizeof(copy), "%s", text);
    for (char *rest = copy, *item; (item = strsep(&rest, ";"));) {
        char *value = strchr(item, '=');
        if (!value)
            continue;
        *value++ = '\0';
        if (tapsi_properties_set_text(p, tapsi_property_find(item), value))
            tapsi_test_fail(__FILE__, __LINE__, "%s is not set", item);
    }
    ret->eligible = tapsi_select_stacks(stacks, STACKS, p, security, role, ret->verdicts, ret->order);
    tapsi_properties_unref(p);
}

static struct tapsi_security *security_of(enum taps_security_mode mode)
{
    return tapsi_security_new(tapsi_mem_default(), mode);
}

static const char *chosen(const char *text, enum taps_security_mode mode)
{
    struct tapsi_security *security = security_of(mode);
    static struct outcome o;
    choose(text, security, TAPSI_ROLE_CLIENT, &o);
    tapsi_security_unref(security);
    return order_text(&o);
}

#define DATAGRAM_TEXT                                                                                                  \
    "reliability=avoid;preserveOrder=avoid;congestionControl=no preference;preserveMsgBoundaries=require;"             \
    "safelyReplayable=true"

/* proves ARCH-05, ARCH-07, API-030, API-033, API-038 */
TEST(the_defaults_are_tls_over_tcp)
{
    struct outcome o;
    CHECK_TEXT(chosen("", TAPS_SECURITY_REQUIRED), "tls/tcp");
    choose("", NULL, TAPSI_ROLE_CLIENT, &o);
    CHECK_TEXT(order_text(&o), "tls/tcp");
    CHECK_TEXT(o.verdicts[TCP].reason,
               "security is required unless disabled, and tcp has none (see taps_security_parameters_new_disabled)");
    CHECK_TEXT(o.verdicts[UDP].reason, "reliability is required, and udp does not have it");
    CHECK_INT(o.verdicts[UDP].property, TAPS_RELIABILITY);
    CHECK_TEXT(o.verdicts[TLS].reason, "meets 0 of 1 preferences");
}

/* proves ARCH-08 */
TEST(boundaries_exclude_streams_and_reliability_excludes_datagrams)
{
    CHECK_TEXT(chosen("preserveMsgBoundaries=require", TAPS_SECURITY_DISABLED), "");
    CHECK_TEXT(chosen("reliability=require", TAPS_SECURITY_DISABLED), "tcp");
    CHECK_TEXT(chosen("reliability=no preference;preserveOrder=no preference;congestionControl=no preference;"
                      "safelyReplayable=true",
                      TAPS_SECURITY_DISABLED),
               "tcp udp");
    CHECK_TEXT(chosen(DATAGRAM_TEXT, TAPS_SECURITY_DISABLED), "udp");
}

/* proves ARCH-09, API-050 */
TEST(required_security_leaves_no_insecure_stack)
{
    CHECK_TEXT(chosen(DATAGRAM_TEXT, TAPS_SECURITY_REQUIRED), "dtls/udp");
    CHECK_TEXT(chosen("reliability=no preference;preserveOrder=no preference;congestionControl=no preference;"
                      "safelyReplayable=true",
                      TAPS_SECURITY_REQUIRED),
               "tls/tcp dtls/udp");
}

TEST(disabled_security_leaves_no_secure_stack)
{
    struct tapsi_security *security = security_of(TAPS_SECURITY_DISABLED);
    struct outcome o;
    choose("", security, TAPSI_ROLE_CLIENT, &o);
    CHECK_TEXT(order_text(&o), "tcp");
    CHECK_TEXT(o.verdicts[TLS].reason, "security is disabled, and tls/tcp has it");
    tapsi_security_unref(security);
}

TEST(opportunistic_security_puts_secure_stacks_first_whatever_is_preferred)
{
    CHECK_TEXT(chosen("", TAPS_SECURITY_OPPORTUNISTIC), "tls/tcp tcp");
    CHECK_TEXT(chosen("reliability=avoid;preserveOrder=avoid;congestionControl=avoid;preserveMsgBoundaries=prefer;"
                      "safelyReplayable=true",
                      TAPS_SECURITY_OPPORTUNISTIC),
               "dtls/udp tls/tcp udp tcp");
}

/* proves ARCH-10, API-051 */
TEST(versions_that_a_stack_does_not_speak_rule_it_out)
{
    struct tapsi_security *security = security_of(TAPS_SECURITY_REQUIRED);
    struct outcome o;
    CHECK_INT(tapsi_security_set_minimum(security, TAPS_TLS_1_3), 0);
    choose("reliability=avoid;preserveOrder=avoid;congestionControl=avoid;safelyReplayable=true", security,
           TAPSI_ROLE_CLIENT, &o);
    CHECK_TEXT(order_text(&o), "tls/tcp");
    CHECK_TEXT(o.verdicts[DTLS].reason, "allowedSecurityProtocols has none that dtls/udp speaks");
    CHECK_INT(tapsi_security_allow(security, TAPS_TLS_1_2), 0);
    choose("", security, TAPSI_ROLE_CLIENT, &o);
    CHECK_INT(o.eligible, 0);
    CHECK_TEXT(o.verdicts[TLS].reason,
               "allowedSecurityProtocols contradicts the minimum version, so tls/tcp has none left");
    tapsi_security_unref(security);
}

/* proves API-052 (needed to listen) */
TEST(a_secure_listener_needs_a_certificate)
{
    static const char certificate[] = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    static const char key[] = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n";
    struct tapsi_security *security = security_of(TAPS_SECURITY_REQUIRED);
    struct outcome o;
    choose("", security, TAPSI_ROLE_SERVER, &o);
    CHECK_TEXT(order_text(&o), "");
    CHECK_TEXT(o.verdicts[TLS].reason,
               "serverCertificate is not set, and tls/tcp needs one, or preSharedKey, to listen");
    CHECK_INT(tapsi_security_add_client(security, certificate, sizeof(certificate), key, sizeof(key)), 0);
    choose("", security, TAPSI_ROLE_SERVER, &o);
    CHECK_TEXT(order_text(&o), "");
    CHECK_INT(tapsi_security_add_server(security, certificate, sizeof(certificate), key, sizeof(key)), 0);
    choose("", security, TAPSI_ROLE_SERVER, &o);
    CHECK_TEXT(order_text(&o), "tls/tcp");
    tapsi_security_unref(security);
}

/* proves API-057 */
TEST(a_pre_shared_key_is_as_good_to_listen_with)
{
    struct tapsi_security *security = security_of(TAPS_SECURITY_REQUIRED);
    struct outcome o;
    CHECK_INT(tapsi_security_add_psk(security, "me", "0123456789abcdef", 16), 0);
    choose("", security, TAPSI_ROLE_SERVER, &o);
    CHECK_TEXT(order_text(&o), "tls/tcp");
    tapsi_security_unref(security);
}

/* One stack of each transport that has ALPN, under these ids ("h3 echo"; NULL: none are given): why it is ruled out. */
static const char *alpn_reason(enum tapsi_alpn_transport transport, enum tapsi_role role, const char *ids)
{
    static struct tapsi_verdict verdict;
    static const unsigned protocols[] = {[TAPSI_ALPN_TLS] = BOTH_VERSIONS,
                                         [TAPSI_ALPN_DTLS] = 1U << TAPS_DTLS_1_2,
                                         [TAPSI_ALPN_QUIC] = 1U << TAPS_QUIC_1};
    const struct tapsi_offer offer = {.stack = "it",
                                      .secure = true,
                                      .security_protocols = protocols[transport],
                                      .alpn = transport,
                                      .needs_alpn = transport == TAPSI_ALPN_QUIC,
                                      STREAM};
    struct tapsi_security *security = security_of(TAPS_SECURITY_REQUIRED);
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    static const char pem[] = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    static const char key[] = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n";
    char copy[64];
    tapsi_format(copy, sizeof(copy), "%s", ids ? ids : "");
    for (char *rest = copy, *id; ids && (id = strsep(&rest, " "));)
        CHECK_INT(tapsi_security_add_alpn(security, id), 0);
    if (role == TAPSI_ROLE_SERVER)
        CHECK_INT(tapsi_security_add_server(security, pem, strlen(pem), key, strlen(key)), 0);
    tapsi_select_stack(&offer, p, security, role, &verdict);
    tapsi_properties_unref(p);
    tapsi_security_unref(security);
    return verdict.eligible ? "" : verdict.reason;
}

/* proves ARCH-08 */
TEST(alpn_protocols_that_cannot_run_over_a_stack_rule_it_out)
{
    static const enum tapsi_role roles[] = {TAPSI_ROLE_CLIENT, TAPSI_ROLE_SERVER};
    for (size_t i = 0; i < 2; i++) {
        CHECK_TEXT(alpn_reason(TAPSI_ALPN_QUIC, roles[i], "h2 http/1.1"),
                   "none of the ALPN protocols given can run over QUIC");
        CHECK_TEXT(alpn_reason(TAPSI_ALPN_TLS, roles[i], "h3"),
                   "none of the ALPN protocols given can run over TLS over TCP");
        CHECK_TEXT(alpn_reason(TAPSI_ALPN_DTLS, roles[i], "h3 h2"),
                   "none of the ALPN protocols given can run over DTLS");
    }
}

/* proves ARCH-08 */
TEST(quic_needs_an_alpn_protocol_and_others_do_not)
{
    CHECK_TEXT(alpn_reason(TAPSI_ALPN_QUIC, TAPSI_ROLE_CLIENT, NULL),
               "QUIC needs an ALPN protocol, and none was given");
    CHECK_TEXT(alpn_reason(TAPSI_ALPN_QUIC, TAPSI_ROLE_SERVER, NULL),
               "QUIC needs an ALPN protocol, and none was given");
    CHECK_TEXT(alpn_reason(TAPSI_ALPN_TLS, TAPSI_ROLE_CLIENT, NULL), "");
    CHECK_TEXT(alpn_reason(TAPSI_ALPN_DTLS, TAPSI_ROLE_CLIENT, NULL), "");
}

TEST(protocols_for_both_leave_quic_and_tls)
{
    static const char *const both[] = {"h3 h2", "http/1.1 h3-29", "echo", "h3 echo"};
    for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++) {
        CHECK_TEXT(alpn_reason(TAPSI_ALPN_QUIC, TAPSI_ROLE_CLIENT, both[i]), "");
        CHECK_TEXT(alpn_reason(TAPSI_ALPN_TLS, TAPSI_ROLE_CLIENT, both[i]), "");
        CHECK_TEXT(alpn_reason(TAPSI_ALPN_QUIC, TAPSI_ROLE_SERVER, both[i]), "");
        CHECK_TEXT(alpn_reason(TAPSI_ALPN_TLS, TAPSI_ROLE_SERVER, both[i]), "");
    }
}

/* proves API-103 (selection) */
TEST(stacks_that_may_duplicate_need_safely_replayable)
{
    struct tapsi_security *security = security_of(TAPS_SECURITY_DISABLED);
    struct outcome o;
    choose("reliability=avoid;preserveOrder=avoid;congestionControl=avoid", security, TAPSI_ROLE_CLIENT, &o);
    CHECK_TEXT(order_text(&o), "tcp");
    CHECK_INT(o.verdicts[UDP].property, TAPS_SAFELY_REPLAYABLE);
    CHECK_TEXT(o.verdicts[UDP].reason, "safelyReplayable is false, and udp may duplicate Messages");
    tapsi_security_unref(security);
}

/* proves API-019 */
TEST(what_is_optional_satisfies_require_and_prohibit)
{
    CHECK_TEXT(chosen("keepAlive=require", TAPS_SECURITY_DISABLED), "tcp");
    CHECK_TEXT(chosen("keepAlive=prohibit", TAPS_SECURITY_DISABLED), "tcp");
    CHECK_TEXT(chosen("congestionControl=prohibit", TAPS_SECURITY_DISABLED), "");
    CHECK_TEXT(chosen(DATAGRAM_TEXT ";congestionControl=prohibit", TAPS_SECURITY_DISABLED), "udp");
}

TEST(prohibit_is_looked_at_before_require)
{
    struct outcome o;
    choose("preserveMsgBoundaries=require;congestionControl=prohibit", NULL, TAPSI_ROLE_CLIENT, &o);
    CHECK_TEXT(o.verdicts[TCP].reason, "congestionControl is prohibited, and tcp always has it");
    CHECK_INT(o.verdicts[TCP].property, TAPS_CONGESTION_CONTROL);
}

/* proves IMPL-05 */
TEST(explicit_preferences_weigh_more_than_defaults)
{
    struct tapsi_offer offers[2] = {stacks[TCP], stacks[TCP]};
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    struct tapsi_security *security = security_of(TAPS_SECURITY_DISABLED);
    struct tapsi_verdict verdicts[2];
    unsigned order[2];
    NEED(p && security);
    offers[0].capability[TAPS_MULTISTREAMING] = TAPSI_CAP_ALWAYS; /* preferred by default */
    offers[1].capability[TAPS_SOFT_ERROR_NOTIFY] = TAPSI_CAP_OPTIONAL;
    CHECK_INT(tapsi_select_stacks(offers, 2, p, security, TAPSI_ROLE_CLIENT, verdicts, order), 2);
    CHECK_INT(order[0], 0);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_SOFT_ERROR_NOTIFY, "prefer"), 0);
    CHECK_INT(tapsi_select_stacks(offers, 2, p, security, TAPSI_ROLE_CLIENT, verdicts, order), 2);
    CHECK_INT(order[0], 1);
    CHECK_TEXT(verdicts[1].reason, "meets 1 of 2 preferences");
    CHECK_INT(tapsi_properties_set_text(p, TAPS_MULTISTREAMING, "prefer"), 0);
    CHECK_INT(tapsi_select_stacks(offers, 2, p, security, TAPSI_ROLE_CLIENT, verdicts, order), 2);
    CHECK_INT(order[0], 0);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_MULTISTREAMING, "avoid"), 0);
    CHECK_INT(tapsi_select_stacks(offers, 2, p, security, TAPSI_ROLE_CLIENT, verdicts, order), 2);
    CHECK_INT(order[0], 1);
    CHECK_TEXT(verdicts[0].reason, "meets 0 of 1 preferences, has 1 to be avoided");
    tapsi_security_unref(security);
    tapsi_properties_unref(p);
}

/* proves API-043 */
TEST(multipath_is_a_preference_and_passive_for_listeners)
{
    struct tapsi_offer offers[2] = {stacks[TCP], stacks[TCP]};
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    struct tapsi_security *security = security_of(TAPS_SECURITY_DISABLED);
    struct tapsi_verdict verdicts[2];
    unsigned order[2];
    NEED(p && security);
    offers[1].multipath = true;
    CHECK_INT(tapsi_select_stacks(offers, 2, p, security, TAPSI_ROLE_CLIENT, verdicts, order), 2);
    CHECK_INT(order[0], 0);
    CHECK_INT(tapsi_select_stacks(offers, 2, p, security, TAPSI_ROLE_SERVER, verdicts, order), 2);
    CHECK_INT(order[0], 1);
    CHECK_INT(verdicts[1].default_preferred, 1);
    CHECK_INT(tapsi_select_stacks(offers, 2, p, security, TAPSI_ROLE_UNDECIDED, verdicts, order), 2);
    CHECK_INT(order[0], 0);
    CHECK_INT(tapsi_select_multipath(p, TAPSI_ROLE_SERVER), TAPS_MULTIPATH_PASSIVE);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_MULTIPATH, "disabled"), 0);
    CHECK_INT(tapsi_select_multipath(p, TAPSI_ROLE_SERVER), TAPS_MULTIPATH_DISABLED);
    CHECK_INT(tapsi_select_stacks(offers, 2, p, security, TAPSI_ROLE_SERVER, verdicts, order), 2);
    CHECK_INT(order[0], 0);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_MULTIPATH, "active"), 0);
    CHECK_INT(tapsi_select_stacks(offers, 2, p, security, TAPSI_ROLE_CLIENT, verdicts, order), 2);
    CHECK_INT(order[0], 1);
    tapsi_security_unref(security);
    tapsi_properties_unref(p);
}

/* proves API-042 (default by role) */
TEST(temporary_addresses_are_avoided_by_default_unless_initiating)
{
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    NEED(p);
    CHECK_INT(tapsi_select_preference(p, TAPS_USE_TEMPORARY_LOCAL_ADDRESS, TAPSI_ROLE_CLIENT), TAPS_PREFER);
    CHECK_INT(tapsi_select_preference(p, TAPS_USE_TEMPORARY_LOCAL_ADDRESS, TAPSI_ROLE_SERVER), TAPS_AVOID);
    CHECK_INT(tapsi_select_preference(p, TAPS_USE_TEMPORARY_LOCAL_ADDRESS, TAPSI_ROLE_UNDECIDED), TAPS_AVOID);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_USE_TEMPORARY_LOCAL_ADDRESS, "prefer"), 0);
    CHECK_INT(tapsi_select_preference(p, TAPS_USE_TEMPORARY_LOCAL_ADDRESS, TAPSI_ROLE_SERVER), TAPS_PREFER);
    CHECK_INT(tapsi_select_preference(p, TAPS_RELIABILITY, TAPSI_ROLE_SERVER), TAPS_REQUIRE);
    tapsi_properties_unref(p);
}

/* proves API-042, API-044, API-045 (selection): they configure, or are the path's, and rule out no stack */
TEST(what_the_path_answers_rules_out_no_stack)
{
    CHECK_TEXT(chosen("useTemporaryLocalAddress=require;interface=require eth0;direction=unidirectional send;"
                      "advertisesAltaddr=true",
                      TAPS_SECURITY_DISABLED),
               "tcp");
}

TEST(stacks_that_cannot_be_used_say_why)
{
    struct tapsi_offer offer = stacks[TCP];
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    struct tapsi_security *security = security_of(TAPS_SECURITY_DISABLED);
    struct tapsi_verdict verdict;
    NEED(p && security);
    offer.can_initiate = false;
    tapsi_select_stack(&offer, p, security, TAPSI_ROLE_CLIENT, &verdict);
    CHECK(!verdict.eligible);
    CHECK_TEXT(verdict.reason, "cannot initiate");
    tapsi_select_stack(&offer, p, security, TAPSI_ROLE_UNDECIDED, &verdict);
    CHECK(!verdict.eligible);
    tapsi_select_stack(&offer, p, security, TAPSI_ROLE_SERVER, &verdict);
    CHECK(verdict.eligible);
    offer.can_listen = false;
    tapsi_select_stack(&offer, p, security, TAPSI_ROLE_SERVER, &verdict);
    CHECK_TEXT(verdict.reason, "cannot listen");
    offer.unavailable = "this kernel has no MPTCP";
    tapsi_select_stack(&offer, p, security, TAPSI_ROLE_SERVER, &verdict);
    CHECK_TEXT(verdict.reason, "not available, because this kernel has no MPTCP");
    tapsi_security_unref(security);
    tapsi_properties_unref(p);
}

/* proves ARCH-07, API-021 */
TEST(after_the_choice_preferences_are_booleans)
{
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    NEED(p);
    CHECK(tapsi_select_has(&stacks[TCP], p, TAPS_RELIABILITY));
    CHECK(!tapsi_select_has(&stacks[UDP], p, TAPS_RELIABILITY));
    CHECK(!tapsi_select_has(&stacks[TCP], p, TAPS_KEEP_ALIVE));
    CHECK_INT(tapsi_properties_set_text(p, TAPS_KEEP_ALIVE, "prefer"), 0);
    CHECK(tapsi_select_has(&stacks[TCP], p, TAPS_KEEP_ALIVE));
    CHECK(!tapsi_select_has(&stacks[UDP], p, TAPS_KEEP_ALIVE));
    CHECK_INT(tapsi_properties_set_text(p, TAPS_KEEP_ALIVE, "prohibit"), 0);
    CHECK(!tapsi_select_has(&stacks[TCP], p, TAPS_KEEP_ALIVE));
    CHECK(!tapsi_select_has(&stacks[TCP], p, TAPS_INTERFACE));
    CHECK(!tapsi_select_has(&stacks[TCP], p, TAPS_USE_TEMPORARY_LOCAL_ADDRESS));
    CHECK(!tapsi_select_has(&stacks[TCP], p, TAPS_CONN_PRIORITY));
    CHECK(!tapsi_select_has(&stacks[TCP], p, TAPS_PROPERTY_NONE));
    tapsi_properties_unref(p);
}

/* ------------------------------------------------------------- against a slow and obvious reference ranking */

#define RANDOM_STACKS 6

static uint64_t random_state;

static unsigned random_below(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state % n);
}

/* The Selection Properties that are Preferences and belong to stacks, written down once more. */
static const enum taps_property stack_properties[] = {TAPS_RELIABILITY,         TAPS_PRESERVE_MSG_BOUNDARIES,
                                                      TAPS_PER_MSG_RELIABILITY, TAPS_PRESERVE_ORDER,
                                                      TAPS_ZERO_RTT_MSG,        TAPS_MULTISTREAMING,
                                                      TAPS_FULL_CHECKSUM_SEND,  TAPS_FULL_CHECKSUM_RECV,
                                                      TAPS_CONGESTION_CONTROL,  TAPS_KEEP_ALIVE,
                                                      TAPS_SOFT_ERROR_NOTIFY,   TAPS_ACTIVE_READ_BEFORE_SEND};

#define STACK_PROPERTIES (sizeof(stack_properties) / sizeof(stack_properties[0]))

/* A version that the stack has, that is allowed, and that is not below the minimum. */
static bool speaks_one(const struct tapsi_offer *o, const struct tapsi_security *s)
{
    static const enum taps_security_protocol versions[] = {TAPS_TLS_1_2, TAPS_TLS_1_3};
    for (size_t i = 0; i < 2; i++) {
        unsigned bit = 1U << versions[i];
        if ((o->security_protocols & bit) && (s->allowed & bit) && versions[i] >= s->minimum_version)
            return true;
    }
    return false;
}

static bool reference_eligible(const struct tapsi_offer *o, const struct tapsi_properties *p,
                               const struct tapsi_security *s, enum tapsi_role role)
{
    for (size_t i = 0; i < STACK_PROPERTIES; i++) {
        enum taps_preference wanted = p->values[stack_properties[i]].preference;
        bool can = o->capability[stack_properties[i]] != TAPSI_CAP_NEVER;
        bool must = o->capability[stack_properties[i]] == TAPSI_CAP_ALWAYS;
        if ((wanted == TAPS_REQUIRE && !can) || (wanted == TAPS_PROHIBIT && must))
            return false;
    }
    if (o->secure ? s->mode == TAPS_SECURITY_DISABLED : s->mode == TAPS_SECURITY_REQUIRED)
        return false;
    if (o->secure && role == TAPSI_ROLE_SERVER && s->server_count == 0)
        return false;
    if (o->secure && !speaks_one(o, s))
        return false;
    if (o->may_duplicate && !p->values[TAPS_SAFELY_REPLAYABLE].boolean)
        return false;
    if (role == TAPSI_ROLE_CLIENT)
        return o->can_initiate && !o->unavailable;
    return o->can_listen && !o->unavailable && (role == TAPSI_ROLE_SERVER || o->can_initiate);
}

/* How many wishes of one kind: set or not, Prefer that is met or Avoid that is not. */
static int reference_count(const struct tapsi_offer *o, const struct tapsi_properties *p, enum tapsi_role role,
                           bool set, enum taps_preference preference)
{
    int count = 0;
    for (size_t i = 0; i < STACK_PROPERTIES; i++) {
        enum taps_property property = stack_properties[i];
        bool is_set = p->set & (uint64_t)1 << property;
        if (is_set != set || p->values[property].preference != preference)
            continue;
        if (preference == TAPS_PREFER ? o->capability[property] != TAPSI_CAP_NEVER
                                      : o->capability[property] == TAPSI_CAP_ALWAYS)
            count++;
    }
    bool multipath_set = p->set & (uint64_t)1 << TAPS_MULTIPATH;
    bool multipath_wanted =
        multipath_set ? p->values[TAPS_MULTIPATH].enumeration != TAPS_MULTIPATH_DISABLED : role == TAPSI_ROLE_SERVER;
    if (preference == TAPS_PREFER && multipath_set == set && multipath_wanted && o->multipath)
        count++;
    return count;
}

/* Is stack `a` better than stack `b`? Said as the header says it. */
static bool reference_better(const struct tapsi_offer *offers, unsigned a, unsigned b, const struct tapsi_properties *p,
                             enum tapsi_role role)
{
    int difference = (int)offers[a].secure - (int)offers[b].secure;
    for (int set = 1; set >= 0 && !difference; set--) {
        difference = reference_count(&offers[a], p, role, set, TAPS_PREFER) -
                     reference_count(&offers[b], p, role, set, TAPS_PREFER);
        if (!difference)
            difference = reference_count(&offers[b], p, role, set, TAPS_AVOID) -
                         reference_count(&offers[a], p, role, set, TAPS_AVOID);
    }
    return difference ? difference > 0 : a < b;
}

static void random_offers(struct tapsi_offer *offers)
{
    for (int i = 0; i < RANDOM_STACKS; i++) {
        offers[i] = (struct tapsi_offer){.stack = "random",
                                         .secure = random_below(2),
                                         .security_protocols = random_below(4) << 1,
                                         .multipath = random_below(2),
                                         .can_initiate = random_below(8) > 0,
                                         .can_listen = random_below(8) > 0,
                                         .may_duplicate = random_below(6) == 0,
                                         .unavailable = random_below(12) ? NULL : "of chance"};
        for (size_t k = 0; k <= TAPS_ACTIVE_READ_BEFORE_SEND; k++)
            offers[i].capability[k] = (uint8_t)random_below(3);
    }
}

/* Mostly mild wishes, so that something is left to be ranked. */
static void random_properties(struct tapsi_properties *p)
{
    for (size_t i = 0; i < STACK_PROPERTIES; i++) {
        static const enum taps_preference wishes[] = {TAPS_AVOID,  TAPS_AVOID,  TAPS_NO_PREFERENCE, TAPS_NO_PREFERENCE,
                                                      TAPS_PREFER, TAPS_PREFER, TAPS_PREFER,        TAPS_AVOID};
        enum taps_preference wish = wishes[random_below(8)];
        if (random_below(14) == 0)
            wish = random_below(2) ? TAPS_REQUIRE : TAPS_PROHIBIT;
        p->values[stack_properties[i]].preference = wish;
        if (random_below(2))
            p->set |= (uint64_t)1 << stack_properties[i];
    }
    p->values[TAPS_SAFELY_REPLAYABLE].boolean = random_below(2);
    p->values[TAPS_MULTIPATH].enumeration = (int)random_below(3);
    if (random_below(2))
        p->set |= (uint64_t)1 << TAPS_MULTIPATH;
    else
        p->values[TAPS_MULTIPATH].enumeration = TAPS_MULTIPATH_DISABLED;
}

static void random_security(struct tapsi_security *security)
{
    static const char pem[] = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    static const char key[] = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n";
    security->allowed = random_below(3) ? BOTH_VERSIONS : 1U << (1 + random_below(2));
    if (random_below(3) == 0)
        CHECK_INT(tapsi_security_set_minimum(security, random_below(2) ? TAPS_TLS_1_2 : TAPS_TLS_1_3), 0);
    if (random_below(2))
        CHECK_INT(tapsi_security_add_server(security, pem, sizeof(pem) - 1, key, sizeof(key) - 1), 0);
}

/* Returns how many were eligible. */
static size_t check_against_reference(const struct tapsi_offer *offers, const struct tapsi_properties *p,
                                      const struct tapsi_security *security, enum tapsi_role role)
{
    struct tapsi_verdict verdicts[RANDOM_STACKS];
    unsigned order[RANDOM_STACKS];
    size_t eligible = tapsi_select_stacks(offers, RANDOM_STACKS, p, security, role, verdicts, order), expected = 0;
    for (unsigned i = 0; i < RANDOM_STACKS; i++) {
        CHECK_INT(verdicts[i].eligible, reference_eligible(&offers[i], p, security, role));
        CHECK(verdicts[i].reason[0] != '\0');
        CHECK(!verdicts[i].eligible || verdicts[i].property == TAPS_PROPERTY_NONE);
        expected += verdicts[i].eligible;
        size_t better = 0; /* its place is how many eligible ones beat it */
        for (unsigned k = 0; verdicts[i].eligible && k < RANDOM_STACKS; k++)
            better += k != i && verdicts[k].eligible && reference_better(offers, k, i, p, role);
        if (verdicts[i].eligible)
            CHECK_INT(order[better], i);
    }
    CHECK_INT(eligible, expected);
    return eligible;
}

/* proves ARCH-09, ARCH-13, API-019, IMPL-05 */
TEST(random_property_sets_are_ranked_as_the_reference_ranks_them)
{
    size_t ranked = 0, none = 0;
    random_state = 20250101;
    for (int round = 0; round < 20000; round++) {
        struct tapsi_offer offers[RANDOM_STACKS];
        struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
        struct tapsi_security *security = security_of((enum taps_security_mode)random_below(3));
        NEED(p && security);
        random_offers(offers);
        random_properties(p);
        random_security(security);
        size_t eligible = check_against_reference(offers, p, security, (enum tapsi_role)random_below(3));
        ranked += eligible > 1;
        none += eligible == 0;
        tapsi_security_unref(security);
        tapsi_properties_unref(p);
    }
    CHECK(ranked > 2000);
    CHECK(none > 2000);
}
