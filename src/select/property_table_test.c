#include "select/property_table.h"

#include <ctype.h>
#include "base/test.h"
#include "select/properties.h"

/* Copied by hand from RFC 9622 (our own at the end), and from nowhere else, so that a slip in the table shows. */
static const struct {
    enum taps_property property;
    const char *name;
    enum taps_type type;
    enum taps_scope scope;
    const char *default_text;
    const char *section;
} expected[] = {
    {TAPS_RELIABILITY, "reliability", TAPS_TYPE_PREFERENCE, TAPS_SCOPE_SELECTION, "require", "RFC 9622, 6.2.1"},
    {TAPS_PRESERVE_MSG_BOUNDARIES, "preserveMsgBoundaries", TAPS_TYPE_PREFERENCE, TAPS_SCOPE_SELECTION, "no preference",
     "RFC 9622, 6.2.2"},
    {TAPS_PER_MSG_RELIABILITY, "perMsgReliability", TAPS_TYPE_PREFERENCE, TAPS_SCOPE_SELECTION, "no preference",
     "RFC 9622, 6.2.3"},
    {TAPS_PRESERVE_ORDER, "preserveOrder", TAPS_TYPE_PREFERENCE, TAPS_SCOPE_SELECTION, "require", "RFC 9622, 6.2.4"},
    {TAPS_ZERO_RTT_MSG, "zeroRttMsg", TAPS_TYPE_PREFERENCE, TAPS_SCOPE_SELECTION, "no preference", "RFC 9622, 6.2.5"},
    {TAPS_MULTISTREAMING, "multistreaming", TAPS_TYPE_PREFERENCE, TAPS_SCOPE_SELECTION, "prefer", "RFC 9622, 6.2.6"},
    {TAPS_FULL_CHECKSUM_SEND, "fullChecksumSend", TAPS_TYPE_PREFERENCE, TAPS_SCOPE_SELECTION, "require",
     "RFC 9622, 6.2.7"},
    {TAPS_FULL_CHECKSUM_RECV, "fullChecksumRecv", TAPS_TYPE_PREFERENCE, TAPS_SCOPE_SELECTION, "require",
     "RFC 9622, 6.2.8"},
    {TAPS_CONGESTION_CONTROL, "congestionControl", TAPS_TYPE_PREFERENCE, TAPS_SCOPE_SELECTION, "require",
     "RFC 9622, 6.2.9"},
    {TAPS_KEEP_ALIVE, "keepAlive", TAPS_TYPE_PREFERENCE, TAPS_SCOPE_SELECTION, "no preference", "RFC 9622, 6.2.10"},
    {TAPS_INTERFACE, "interface", TAPS_TYPE_SET, TAPS_SCOPE_SELECTION, "", "RFC 9622, 6.2.11"},
    {TAPS_PVD, "pvd", TAPS_TYPE_SET, TAPS_SCOPE_SELECTION, "", "RFC 9622, 6.2.12"},
    {TAPS_USE_TEMPORARY_LOCAL_ADDRESS, "useTemporaryLocalAddress", TAPS_TYPE_PREFERENCE, TAPS_SCOPE_SELECTION, "prefer",
     "RFC 9622, 6.2.13"},
    {TAPS_MULTIPATH, "multipath", TAPS_TYPE_ENUMERATION, TAPS_SCOPE_SELECTION, "disabled", "RFC 9622, 6.2.14"},
    {TAPS_ADVERTISES_ALTADDR, "advertisesAltaddr", TAPS_TYPE_BOOLEAN, TAPS_SCOPE_SELECTION, "false",
     "RFC 9622, 6.2.15"},
    {TAPS_DIRECTION, "direction", TAPS_TYPE_ENUMERATION, TAPS_SCOPE_SELECTION, "bidirectional", "RFC 9622, 6.2.16"},
    {TAPS_SOFT_ERROR_NOTIFY, "softErrorNotify", TAPS_TYPE_PREFERENCE, TAPS_SCOPE_SELECTION, "no preference",
     "RFC 9622, 6.2.17"},
    {TAPS_ACTIVE_READ_BEFORE_SEND, "activeReadBeforeSend", TAPS_TYPE_PREFERENCE, TAPS_SCOPE_SELECTION, "no preference",
     "RFC 9622, 6.2.18"},
    {TAPS_RECV_CHECKSUM_LEN, "recvChecksumLen", TAPS_TYPE_INTEGER, TAPS_SCOPE_CONNECTION, "full", "RFC 9622, 8.1.1"},
    {TAPS_CONN_PRIORITY, "connPriority", TAPS_TYPE_INTEGER, TAPS_SCOPE_CONNECTION, "100", "RFC 9622, 8.1.2"},
    {TAPS_CONN_TIMEOUT, "connTimeout", TAPS_TYPE_NUMBER, TAPS_SCOPE_CONNECTION, "disabled", "RFC 9622, 8.1.3"},
    {TAPS_KEEP_ALIVE_TIMEOUT, "keepAliveTimeout", TAPS_TYPE_NUMBER, TAPS_SCOPE_CONNECTION, "disabled",
     "RFC 9622, 8.1.4"},
    {TAPS_CONN_SCHEDULER, "connScheduler", TAPS_TYPE_ENUMERATION, TAPS_SCOPE_CONNECTION, "weighted fair queueing",
     "RFC 9622, 8.1.5"},
    {TAPS_CONN_CAPACITY_PROFILE, "connCapacityProfile", TAPS_TYPE_ENUMERATION, TAPS_SCOPE_CONNECTION, "default",
     "RFC 9622, 8.1.6"},
    {TAPS_MULTIPATH_POLICY, "multipathPolicy", TAPS_TYPE_ENUMERATION, TAPS_SCOPE_CONNECTION, "handover",
     "RFC 9622, 8.1.7"},
    {TAPS_MIN_SEND_RATE, "minSendRate", TAPS_TYPE_INTEGER, TAPS_SCOPE_CONNECTION, "unlimited", "RFC 9622, 8.1.8"},
    {TAPS_MIN_RECV_RATE, "minRecvRate", TAPS_TYPE_INTEGER, TAPS_SCOPE_CONNECTION, "unlimited", "RFC 9622, 8.1.8"},
    {TAPS_MAX_SEND_RATE, "maxSendRate", TAPS_TYPE_INTEGER, TAPS_SCOPE_CONNECTION, "unlimited", "RFC 9622, 8.1.8"},
    {TAPS_MAX_RECV_RATE, "maxRecvRate", TAPS_TYPE_INTEGER, TAPS_SCOPE_CONNECTION, "unlimited", "RFC 9622, 8.1.8"},
    {TAPS_GROUP_CONN_LIMIT, "groupConnLimit", TAPS_TYPE_INTEGER, TAPS_SCOPE_CONNECTION, "unlimited", "RFC 9622, 8.1.9"},
    {TAPS_ISOLATE_SESSION, "isolateSession", TAPS_TYPE_BOOLEAN, TAPS_SCOPE_CONNECTION, "false", "RFC 9622, 8.1.10"},
    {TAPS_CONN_STATE, "connState", TAPS_TYPE_ENUMERATION, TAPS_SCOPE_READ_ONLY, "establishing", "RFC 9622, 8.1.11.1"},
    {TAPS_CAN_SEND, "canSend", TAPS_TYPE_BOOLEAN, TAPS_SCOPE_READ_ONLY, "false", "RFC 9622, 8.1.11.2"},
    {TAPS_CAN_RECEIVE, "canReceive", TAPS_TYPE_BOOLEAN, TAPS_SCOPE_READ_ONLY, "false", "RFC 9622, 8.1.11.3"},
    {TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN, "singularTransmissionMsgMaxLen", TAPS_TYPE_INTEGER, TAPS_SCOPE_READ_ONLY,
     "not applicable", "RFC 9622, 8.1.11.4"},
    {TAPS_SEND_MSG_MAX_LEN, "sendMsgMaxLen", TAPS_TYPE_INTEGER, TAPS_SCOPE_READ_ONLY, "0", "RFC 9622, 8.1.11.5"},
    {TAPS_RECV_MSG_MAX_LEN, "recvMsgMaxLen", TAPS_TYPE_INTEGER, TAPS_SCOPE_READ_ONLY, "0", "RFC 9622, 8.1.11.6"},
    {TAPS_TCP_USER_TIMEOUT_VALUE, "tcp.userTimeoutValue", TAPS_TYPE_INTEGER, TAPS_SCOPE_CONNECTION, "default",
     "RFC 9622, 8.2.1"},
    {TAPS_TCP_USER_TIMEOUT_ENABLED, "tcp.userTimeoutEnabled", TAPS_TYPE_BOOLEAN, TAPS_SCOPE_CONNECTION, "false",
     "RFC 9622, 8.2.2"},
    {TAPS_TCP_USER_TIMEOUT_CHANGEABLE, "tcp.userTimeoutChangeable", TAPS_TYPE_BOOLEAN, TAPS_SCOPE_CONNECTION, "true",
     "RFC 9622, 8.2.3"},
    {TAPS_CLOSE_TIMEOUT, "_closeTimeout", TAPS_TYPE_NUMBER, TAPS_SCOPE_CONNECTION, "30", "libtaps"},
    {TAPS_ATTEMPT_DELAY, "_attemptDelay", TAPS_TYPE_NUMBER, TAPS_SCOPE_CONNECTION, "0.25", "libtaps; RFC 8305, 5"},
    {TAPS_TLS_ALLOW_TRUNCATION, "_tls.allowTruncation", TAPS_TYPE_BOOLEAN, TAPS_SCOPE_CONNECTION, "false", "libtaps"},
    {TAPS_REUSE_PORT, "_taps.reusePort", TAPS_TYPE_BOOLEAN, TAPS_SCOPE_SELECTION, "false", "libtaps"},
    {TAPS_SEND_BUFFER, "_taps.sendBuffer", TAPS_TYPE_INTEGER, TAPS_SCOPE_CONNECTION, "unlimited", "libtaps"},
    {TAPS_QUEUED_BYTES, "_taps.queuedBytes", TAPS_TYPE_INTEGER, TAPS_SCOPE_READ_ONLY, "0", "libtaps"},
    {TAPS_MSG_LIFETIME, "msgLifetime", TAPS_TYPE_NUMBER, TAPS_SCOPE_MESSAGE, "infinite", "RFC 9622, 9.1.3.1"},
    {TAPS_MSG_PRIORITY, "msgPriority", TAPS_TYPE_INTEGER, TAPS_SCOPE_MESSAGE, "100", "RFC 9622, 9.1.3.2"},
    {TAPS_MSG_ORDERED, "msgOrdered", TAPS_TYPE_BOOLEAN, TAPS_SCOPE_MESSAGE, "true", "RFC 9622, 9.1.3.3"},
    {TAPS_SAFELY_REPLAYABLE, "safelyReplayable", TAPS_TYPE_BOOLEAN, TAPS_SCOPE_MESSAGE, "false", "RFC 9622, 9.1.3.4"},
    {TAPS_FINAL, "final", TAPS_TYPE_BOOLEAN, TAPS_SCOPE_MESSAGE, "false", "RFC 9622, 9.1.3.5"},
    {TAPS_MSG_CHECKSUM_LEN, "msgChecksumLen", TAPS_TYPE_INTEGER, TAPS_SCOPE_MESSAGE, "full", "RFC 9622, 9.1.3.6"},
    {TAPS_MSG_RELIABLE, "msgReliable", TAPS_TYPE_BOOLEAN, TAPS_SCOPE_MESSAGE, "true", "RFC 9622, 9.1.3.7"},
    {TAPS_MSG_CAPACITY_PROFILE, "msgCapacityProfile", TAPS_TYPE_ENUMERATION, TAPS_SCOPE_MESSAGE, "default",
     "RFC 9622, 9.1.3.8"},
    {TAPS_NO_FRAGMENTATION, "noFragmentation", TAPS_TYPE_BOOLEAN, TAPS_SCOPE_MESSAGE, "false", "RFC 9622, 9.1.3.9"},
    {TAPS_NO_SEGMENTATION, "noSegmentation", TAPS_TYPE_BOOLEAN, TAPS_SCOPE_MESSAGE, "false", "RFC 9622, 9.1.3.10"},
};

#define EXPECTED (sizeof(expected) / sizeof(expected[0]))

/* proves ARCH-05, API-001, API-030..047, API-080..094, API-100..108 (names, types, defaults) */
TEST(every_property_is_in_the_table_as_the_rfc_has_it)
{
    CHECK_INT(EXPECTED, TAPS_PROPERTY_COUNT - 1);
    for (size_t i = 0; i < EXPECTED; i++) {
        const struct tapsi_property_row *row = tapsi_property_row(expected[i].property);
        NEED(row);
        CHECK_INT(expected[i].property, (int)i + 1);
        CHECK_INT(row->info.property, expected[i].property);
        CHECK_TEXT(row->info.name, expected[i].name);
        CHECK_INT(row->info.type, expected[i].type);
        CHECK_INT(row->info.scope, expected[i].scope);
        CHECK_TEXT(row->info.default_text, expected[i].default_text);
        CHECK_TEXT(row->info.section, expected[i].section);
        CHECK(row->info.summary && strlen(row->info.summary) > 20 && !strchr(row->info.summary, '\n'));
        CHECK((row->info.values != NULL) == (row->info.type == TAPS_TYPE_ENUMERATION));
        CHECK_INT(row->initial.type, row->info.type);
        CHECK_TEXT(tapsi_property_name(expected[i].property), expected[i].name);
    }
}

/* The default as text and the default as a value are two entries of a row: they must say the same. */
TEST(the_text_of_a_default_is_its_value)
{
    for (size_t i = 0; i < EXPECTED; i++) {
        const struct tapsi_property_row *row = tapsi_property_row(expected[i].property);
        struct tapsi_str text;
        tapsi_str_init(&text, tapsi_mem_default());
        tapsi_value_text(expected[i].property, &row->initial, &text);
        CHECK_TEXT(tapsi_str_text(&text), row->info.default_text);
        if (row->info.type != TAPS_TYPE_SET)
            CHECK_INT(tapsi_value_check(expected[i].property, &row->initial), 0);
        tapsi_str_done(&text);
    }
}

static void change_case(char *text, int (*change)(int))
{
    for (; *text; text++)
        *text = (char)change((unsigned char)*text);
}

/* proves API-001 */
TEST(names_are_found_in_any_case)
{
    for (size_t i = 0; i < EXPECTED; i++) {
        char name[64];
        strcpy(name, expected[i].name);
        CHECK_INT(tapsi_property_find(name), expected[i].property);
        change_case(name, toupper);
        CHECK_INT(tapsi_property_find(name), expected[i].property);
        change_case(name, tolower);
        CHECK_INT(tapsi_property_find(name), expected[i].property);
    }
}

/* proves API-002 */
TEST(namespaces_are_those_of_protocols_and_our_own_begin_with_an_underscore)
{
    for (size_t i = 0; i < EXPECTED; i++) {
        const struct tapsi_property_row *row = tapsi_property_row(expected[i].property);
        const char *dot = strchr(row->info.name, '.');
        bool own = strncmp(row->info.section, "RFC", 3) != 0;
        CHECK_INT(row->info.name[0] == '_', own);
        bool ours = strncmp(row->info.name, "_taps.", 6) == 0;
        CHECK_INT(dot != NULL && !ours, row->protocol != NULL);
        if (dot && !own)
            CHECK(strncmp(row->info.name, row->protocol, (size_t)(dot - row->info.name)) == 0);
    }
}

TEST(what_is_no_name_is_not_found)
{
    static const char *const names[] = {
        "",    " ", "reliabilit",          "reliabilityy", " reliability", "userTimeoutValue", "tcp.",
        "tcp", "_", "tls.allowTruncation", "conn_timeout", "\xff\xfe",     "reliability\n",    "none"};
    CHECK_INT(tapsi_property_find(NULL), TAPS_PROPERTY_NONE);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CHECK_INT(tapsi_property_find(names[i]), TAPS_PROPERTY_NONE);
}

TEST(what_is_no_property_has_no_row)
{
    CHECK(!tapsi_property_row(TAPS_PROPERTY_NONE));
    CHECK(!tapsi_property_row(TAPS_PROPERTY_COUNT));
    CHECK(!tapsi_property_row((enum taps_property)10000));
    CHECK(!tapsi_property_row((enum taps_property) - 1));
    CHECK_TEXT(tapsi_property_name(TAPS_PROPERTY_NONE), "?");
}
