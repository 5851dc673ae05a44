#include "base/str.h"
#include "base/test.h"
#include "select/select.h"

#define STREAM                                                                                                         \
    .capability = {[TAPS_RELIABILITY] = TAPSI_CAP_ALWAYS,        [TAPS_PRESERVE_ORDER] = TAPSI_CAP_ALWAYS,             \
                   [TAPS_FULL_CHECKSUM_SEND] = TAPSI_CAP_ALWAYS, [TAPS_FULL_CHECKSUM_RECV] = TAPSI_CAP_ALWAYS,         \
                   [TAPS_CONGESTION_CONTROL] = TAPSI_CAP_ALWAYS, [TAPS_KEEP_ALIVE] = TAPSI_CAP_OPTIONAL},              \
    .can_initiate = true, .can_listen = true

static const struct tapsi_offer stacks[] = {
    {.stack = "tls/tcp", .secure = true, .security_protocols = 1U << TAPS_TLS_1_2 | 1U << TAPS_TLS_1_3, STREAM},
    {.stack = "tcp", STREAM},
    {.stack = "udp",
     .capability = {[TAPS_PRESERVE_MSG_BOUNDARIES] = TAPSI_CAP_ALWAYS,
                    [TAPS_FULL_CHECKSUM_SEND] = TAPSI_CAP_ALWAYS,
                    [TAPS_FULL_CHECKSUM_RECV] = TAPSI_CAP_ALWAYS},
     .can_initiate = true,
     .can_listen = true},
};

#define STACKS (sizeof(stacks) / sizeof(stacks[0]))

static struct tapsi_error error;

/* Sets the properties of "name=value;name=value" and checks; the words of the error, or "" when there is none. */
static const char *checked(const char *text, const struct tapsi_security *security, enum tapsi_role role)
{
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    char copy[256];
    tapsi_format(copy, sizeof(copy), "%s", text);
    tapsi_error_clear(&error);
    for (char *rest = copy, *item; (item = strsep(&rest, ";"));) {
        char *value = strchr(item, '=');
        if (!value)
            continue;
        *value++ = '\0';
        if (tapsi_properties_set_text(p, tapsi_property_find(item), value))
            tapsi_test_fail(__FILE__, __LINE__, "%s is not set", item);
    }
    int err = tapsi_select_check(stacks, STACKS, p, security, role, &error);
    tapsi_properties_unref(p);
    CHECK(err == 0 || err == TAPS_E_CONFIGURATION);
    CHECK_INT(error.pub.code, err);
    return err ? error.pub.detail : "";
}

static const char *checked_insecure(const char *text)
{
    struct tapsi_security *security = tapsi_security_new(tapsi_mem_default(), TAPS_SECURITY_DISABLED);
    const char *result = checked(text, security, TAPSI_ROLE_CLIENT);
    tapsi_security_unref(security);
    return result;
}

TEST(the_defaults_are_no_contradiction)
{
    CHECK_TEXT(checked("", NULL, TAPSI_ROLE_CLIENT), "");
    CHECK_TEXT(checked_insecure(""), "");
}

/* proves IMPL-01 */
TEST(what_no_stack_has_is_named)
{
    CHECK_TEXT(checked("perMsgReliability=require", NULL, TAPSI_ROLE_CLIENT),
               "perMsgReliability is required, and no stack has it");
    CHECK_TEXT(checked("multistreaming=require", NULL, TAPSI_ROLE_CLIENT),
               "multistreaming is required, and no stack has it");
    CHECK_TEXT(checked("zeroRttMsg=require", NULL, TAPSI_ROLE_SERVER), "zeroRttMsg is required, and no stack has it");
    CHECK_TEXT(checked("fullChecksumSend=prohibit", NULL, TAPSI_ROLE_CLIENT),
               "fullChecksumSend is prohibited, and every stack has it");
    CHECK_INT(error.pub.reason, TAPS_REASON_INVALID_CONFIGURATION);
}

/* Every Selection Property of type Preference, one after the other: whatever the outcome, it is about that property.
   proves API-030..039, API-046, API-047, IMPL-01 */
TEST(every_preference_can_be_asked_for)
{
    for (int i = TAPS_RELIABILITY; i <= TAPS_ACTIVE_READ_BEFORE_SEND; i++) {
        enum taps_property property = (enum taps_property)i;
        if (tapsi_property_row(property)->info.type != TAPS_TYPE_PREFERENCE)
            continue;
        bool had = property == TAPS_USE_TEMPORARY_LOCAL_ADDRESS, avoidable = had;
        for (size_t k = 0; k < STACKS; k++) {
            had = had || stacks[k].capability[property] != TAPSI_CAP_NEVER;
            avoidable = avoidable || stacks[k].capability[property] != TAPSI_CAP_ALWAYS;
        }
        char text[64];
        tapsi_format(text, sizeof(text), "%s=require", tapsi_property_name(property));
        CHECK_INT(strstr(checked(text, NULL, TAPSI_ROLE_CLIENT), "no stack has it") != NULL, !had);
        CHECK_INT(strstr(error.text, tapsi_property_name(property)) != NULL, error.pub.code != 0);
        tapsi_format(text, sizeof(text), "%s=prohibit", tapsi_property_name(property));
        CHECK_INT(strstr(checked(text, NULL, TAPSI_ROLE_CLIENT), "every stack has it") != NULL, !avoidable);
        CHECK_INT(strstr(error.text, tapsi_property_name(property)) != NULL, error.pub.code != 0);
    }
}

/* proves IMPL-01, ARCH-08 */
TEST(stacks_that_fail_for_different_reasons_are_listed)
{
    CHECK_TEXT(checked_insecure("preserveMsgBoundaries=require"),
               "no stack is eligible: tls/tcp: preserveMsgBoundaries is required; "
               "tcp: preserveMsgBoundaries is required; udp: reliability is required");
    CHECK_TEXT(checked("reliability=avoid;preserveOrder=avoid;congestionControl=no preference;"
                       "preserveMsgBoundaries=require",
                       NULL, TAPSI_ROLE_CLIENT),
               "no stack is eligible: tls/tcp: preserveMsgBoundaries is required; "
               "tcp: preserveMsgBoundaries is required; udp: security is required unless disabled");
}

TEST(a_single_stack_is_given_its_whole_reason)
{
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    NEED(p);
    CHECK_INT(tapsi_select_check(&stacks[1], 1, p, NULL, TAPSI_ROLE_CLIENT, &error), TAPS_E_CONFIGURATION);
    CHECK_TEXT(error.text, "no stack is eligible: tcp: security is required unless disabled, and tcp has none "
                           "(see taps_security_parameters_new_disabled)");
    CHECK_INT(tapsi_select_check(stacks, 0, p, NULL, TAPSI_ROLE_CLIENT, &error), TAPS_E_CONFIGURATION);
    CHECK_TEXT(error.text, "no stack is eligible: there is none");
    CHECK_INT(tapsi_select_check(stacks, 0, p, NULL, TAPSI_ROLE_CLIENT, NULL), TAPS_E_CONFIGURATION);
    tapsi_properties_unref(p);
}

TEST(a_long_list_is_cut_at_a_whole_entry)
{
    struct tapsi_offer many[40];
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    NEED(p);
    for (size_t i = 0; i < 40; i++)
        many[i] = stacks[1 + i % 2];
    CHECK_INT(tapsi_select_check(many, 40, p, NULL, TAPSI_ROLE_CLIENT, &error), TAPS_E_CONFIGURATION);
    CHECK(strstr(error.text, "; and 3"));
    CHECK(strlen(error.text) < TAPSI_DETAIL_MAX - 1);
    CHECK_TEXT(error.text + strlen(error.text) - 5, " more");
    many[39] = stacks[0];
    CHECK_INT(tapsi_select_check(many, 40, p, NULL, TAPSI_ROLE_CLIENT, &error), 0);
    tapsi_properties_unref(p);
}

/* proves ARCH-10, API-051 */
TEST(versions_that_contradict_each_other_are_named)
{
    struct tapsi_security *security = tapsi_security_new(tapsi_mem_default(), TAPS_SECURITY_OPPORTUNISTIC);
    NEED(security);
    CHECK_INT(tapsi_security_allow(security, TAPS_TLS_1_2), 0);
    CHECK_TEXT(checked("", security, TAPSI_ROLE_CLIENT), "");
    CHECK_INT(tapsi_security_set_minimum(security, TAPS_TLS_1_3), 0);
    CHECK_TEXT(checked("", security, TAPSI_ROLE_CLIENT),
               "allowedSecurityProtocols has nothing that reaches the minimum version");
    security->mode = TAPS_SECURITY_DISABLED;
    CHECK_TEXT(checked("", security, TAPSI_ROLE_CLIENT), "");
    tapsi_security_unref(security);
}

/* proves API-052 */
TEST(a_secure_listener_without_certificate_is_told_so)
{
    static const char certificate[] = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    static const char key[] = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n";
    struct tapsi_security *security = tapsi_security_new(tapsi_mem_default(), TAPS_SECURITY_REQUIRED);
    NEED(security);
    CHECK(strstr(checked("", security, TAPSI_ROLE_SERVER), "serverCertificate is not set"));
    CHECK(strstr(checked("", NULL, TAPSI_ROLE_SERVER), "serverCertificate is not set"));
    CHECK_INT(tapsi_security_add_client(security, certificate, sizeof(certificate), key, sizeof(key)), 0);
    CHECK(strstr(checked("", security, TAPSI_ROLE_SERVER), "serverCertificate is not set"));
    CHECK_INT(tapsi_security_add_server(security, certificate, sizeof(certificate), key, sizeof(key)), 0);
    CHECK_TEXT(checked("", security, TAPSI_ROLE_SERVER), "");
    tapsi_security_clear(security, TAPSI_SECURITY_SERVER);
    CHECK_INT(tapsi_security_add_psk(security, "me", "0123456789abcdef", 16), 0);
    CHECK_TEXT(checked("", security, TAPSI_ROLE_SERVER), "");
    tapsi_security_unref(security);
    security = tapsi_security_new(tapsi_mem_default(), TAPS_SECURITY_OPPORTUNISTIC);
    NEED(security);
    CHECK_TEXT(checked("", security, TAPSI_ROLE_SERVER), "");
    tapsi_security_unref(security);
}

TEST(interfaces_that_exclude_each_other_are_named)
{
    CHECK_TEXT(checked("interface=require eth0, require eth1", NULL, TAPSI_ROLE_CLIENT),
               "interface requires both eth0 and eth1, and no path is both");
    CHECK_TEXT(checked("interface=require wifi, prefer eth0, require vpn", NULL, TAPSI_ROLE_CLIENT),
               "interface requires both wifi and vpn, and no path is both");
    CHECK_TEXT(
        checked("interface=require eth0, require ethernet, prohibit eth1, prohibit wifi", NULL, TAPSI_ROLE_CLIENT), "");
}

TEST(rates_that_exclude_each_other_are_named)
{
    CHECK_TEXT(checked("minSendRate=1000;maxSendRate=999", NULL, TAPSI_ROLE_CLIENT),
               "minSendRate is above maxSendRate");
    CHECK_TEXT(checked("minRecvRate=1000;maxRecvRate=1", NULL, TAPSI_ROLE_CLIENT), "minRecvRate is above maxRecvRate");
    CHECK_TEXT(checked("minSendRate=1000;maxSendRate=1000", NULL, TAPSI_ROLE_CLIENT), "");
    CHECK_TEXT(checked("minSendRate=1000;maxRecvRate=10", NULL, TAPSI_ROLE_CLIENT), "");
    CHECK_TEXT(checked("minSendRate=unlimited;maxSendRate=10", NULL, TAPSI_ROLE_CLIENT), "");
}

/* proves ARCH-06: what belongs to one protocol neither fails nor narrows selection */
TEST(properties_of_one_protocol_do_not_select)
{
    CHECK_TEXT(checked("tcp.userTimeoutValue=60;tcp.userTimeoutEnabled=true;_tls.allowTruncation=true;"
                       "reliability=avoid;preserveOrder=avoid;congestionControl=avoid;preserveMsgBoundaries=avoid",
                       NULL, TAPSI_ROLE_CLIENT),
               "");
    struct tapsi_security *security = tapsi_security_new(tapsi_mem_default(), TAPS_SECURITY_DISABLED);
    NEED(security);
    CHECK_TEXT(checked("tcp.userTimeoutEnabled=true;reliability=avoid;preserveOrder=avoid;congestionControl=avoid;"
                       "preserveMsgBoundaries=require",
                       security, TAPSI_ROLE_CLIENT),
               "");
    tapsi_security_unref(security);
}
