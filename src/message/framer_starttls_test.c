#include <stdio.h>
#include "base/test.h"
#include "stack/framer/test_framing.h"

/* What the peer says, and what is said then; one behind the other. NULL: the end. */
struct turn {
    const char *peer, *own;
};

static const struct turn smtp[] = {
    {NULL, ""},
    {"220-mail.example ESMTP\r\n220 welcome\r\n", "EHLO me.example\r\n"},
    {"250-mail.example\r\n250-SIZE 1000\r\n250-starttls\r\n250 HELP\r\n", "STARTTLS\r\n"},
    {"220-soon\r\n220 now\r\n", ""},
};
static const struct turn imap[] = {
    {NULL, ""},
    {"* OK [CAPABILITY IMAP4rev1] ready\r\n", "a1 CAPABILITY\r\n"},
    {"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n* 5 EXISTS\r\na1 OK done\r\n", "a2 STARTTLS\r\n"},
    {"* OK soon\r\na2 OK begin\r\n", ""},
};
static const struct turn pop3[] = {
    {NULL, ""},
    {"+OK ready <1896.697170952@dbc.mtview.ca.us>\r\n", "CAPA\r\n"},
    {"+OK list\r\nTOP\r\nSTLS\r\nUIDL\r\n.\r\n", "STLS\r\n"},
    {"+OK begin\r\n", ""},
};
/* 'a': eight bytes of SSLRequest, which have NULs. */
static const struct turn postgresql[] = {
    {NULL, "a"},
    {"S", ""},
};

static const struct {
    const char *text;
    const struct turn *turns;
    size_t count;
} talks[] = {
    {"starttls:protocol=smtp,name=me.example", smtp, 4},
    {"starttls:protocol=imap", imap, 4},
    {"starttls:protocol=pop3", pop3, 4},
    {"starttls:protocol=postgresql", postgresql, 2},
};
#define TALKS (sizeof(talks) / sizeof(talks[0]))

static bool wrote(struct test_framing *t, const char *own)
{
    return own[0] == 'a' && !own[1] ? test_framing_wrote(t, "\0\0\0\x08\x04\xd2\x16\x2f", 8)
                                    : test_framing_wrote_text(t, own);
}

/* The first `count` turns. */
static void talk(struct test_framing *t, const struct turn *turns, size_t count, size_t step)
{
    for (size_t i = 0; i < count; i++) {
        if (turns[i].peer)
            test_framing_feed_split(t, turns[i].peer, strlen(turns[i].peer), step);
        CHECK(wrote(t, turns[i].own));
    }
}

static void fails(const char *text, bool server, const char *bytes, int code, const char *why)
{
    struct test_framing t;
    test_framing_open_secure(&t, text, server);
    test_framing_feed_text(&t, bytes);
    CHECK_INT(t.ready, 0);
    CHECK(test_framing_failed(&t, code));
    CHECK_TEXT(t.error.text, why);
    test_framing_close(&t);
}

/* -------------------------------------------------------------------------------------------------- client */

/* proves API-132 */
TEST(a_client_asks_and_steps_aside_however_the_answers_are_split)
{
    for (size_t i = 0; i < TALKS; i++) {
        for (size_t step = 1; step < 100; step = step * 2 + 1) {
            struct test_framing t;
            test_framing_open_secure(&t, talks[i].text, false);
            talk(&t, talks[i].turns, talks[i].count, step);
            CHECK_INT(t.ready, 1);
            test_framing_feed_text(&t, "\x16\x03");
            CHECK_INT(t.bytes, 2);
            test_framing_send_text(&t, "xy");
            CHECK(test_framing_wrote_text(&t, "xy"));
            test_framing_close(&t);
        }
    }
}

/* CVE-2011-0411, CVE-2021-23222 */
TEST(bytes_that_come_with_the_go_ahead_end_it)
{
    for (size_t i = 0; i < TALKS; i++) {
        struct test_framing t;
        char last[128];
        size_t count = talks[i].count - 1;
        test_framing_open_secure(&t, talks[i].text, false);
        talk(&t, talks[i].turns, count, 1000);
        snprintf(last, sizeof(last), "%s250 injected\r\n", talks[i].turns[count].peer);
        test_framing_feed_text(&t, last);
        CHECK_INT(t.ready, 0);
        CHECK(test_framing_failed(&t, TAPS_E_PROTOCOL));
        CHECK_TEXT(t.error.text,
                   "starttls: 14 bytes in clear came together with the word that begins TLS: somebody may "
                   "have put them there");
        CHECK_INT(t.bytes, 0);
        test_framing_close(&t);
    }
}

TEST(the_peers_end_at_any_point_before_fails_the_candidate)
{
    for (size_t i = 0; i < TALKS; i++) {
        for (size_t turns = 1; turns < talks[i].count; turns++) {
            struct test_framing t;
            test_framing_open_secure(&t, talks[i].text, false);
            talk(&t, talks[i].turns, turns, 1000);
            const char *next = talks[i].turns[turns].peer;
            test_framing_feed(&t, next, strlen(next) - 1);
            test_framing_end(&t);
            CHECK_INT(t.ready, 0);
            CHECK(test_framing_failed(&t, TAPS_E_ESTABLISHMENT));
            test_framing_close(&t);
        }
    }
}

TEST(what_is_not_offered_or_refused_fails_the_candidate)
{
    static const struct {
        unsigned talk, turns;
        const char *answer, *why;
        int code;
    } rows[] = {
        {0, 1, "554 no service\r\n", "starttls: the server greets with \"554 no service\"", TAPS_E_PROTOCOL},
        {0, 2, "250-mail.example\r\n250 HELP\r\n", "starttls: the server does not offer STARTTLS", TAPS_E_TLS},
        {0, 2, "250 STARTTLS\r\n", "starttls: the server does not offer STARTTLS", TAPS_E_TLS}, /* its name */
        {0, 2, "250-x\r\n250 STARTTLSX\r\n", "starttls: the server does not offer STARTTLS", TAPS_E_TLS},
        {0, 2, "502 what\r\n", "starttls: the server does not say whether it offers STARTTLS: \"502 what\"",
         TAPS_E_TLS},
        {0, 3, "454 not now\r\n", "starttls: the server refuses STARTTLS: \"454 not now\"", TAPS_E_TLS},
        {1, 1, "* BYE go\r\n", "starttls: the server greets with \"* BYE go\"", TAPS_E_PROTOCOL},
        {1, 1, "* PREAUTH hi\r\n", "starttls: the server greets with \"* PREAUTH hi\"", TAPS_E_PROTOCOL},
        {1, 2, "* CAPABILITY IMAP4rev1\r\na1 OK\r\n", "starttls: the server does not offer STARTTLS", TAPS_E_TLS},
        {1, 2, "a1 BAD what\r\n", "starttls: the server does not say whether it offers STARTTLS: \"a1 BAD what\"",
         TAPS_E_TLS},
        {1, 3, "a2 NO\r\n", "starttls: the server refuses STARTTLS: \"a2 NO\"", TAPS_E_TLS},
        {1, 3, "* BYE\r\n", "starttls: the server refuses STARTTLS: \"* BYE\"", TAPS_E_TLS},
        {2, 1, "-ERR no\r\n", "starttls: the server greets with \"-ERR no\"", TAPS_E_PROTOCOL},
        {2, 2, "-ERR no\r\n", "starttls: the server does not say whether it offers STLS: \"-ERR no\"", TAPS_E_TLS},
        {2, 2, "+OK\r\nTOP\r\n.\r\n", "starttls: the server does not offer STLS", TAPS_E_TLS},
        {2, 3, "-ERR no\r\n", "starttls: the server refuses STLS: \"-ERR no\"", TAPS_E_TLS},
        {3, 1, "N", "starttls: the server does not offer TLS", TAPS_E_TLS},
        {3, 1, "E", "starttls: the server answers a request for TLS with byte 0x45", TAPS_E_PROTOCOL},
        {0, 1, "HTTP/1.1\r\n", "starttls: the server says \"HTTP/1.1\", which is no answer here", TAPS_E_DEFRAMING},
        {0, 1, "22\r\n", "starttls: the server says \"22\", which is no answer here", TAPS_E_DEFRAMING},
        {0, 1, "2200 x\r\n", "starttls: the server says \"2200 x\", which is no answer here", TAPS_E_DEFRAMING},
        {1, 1, "a1 OK\r\n", "starttls: the server says \"a1 OK\", which is no answer here", TAPS_E_DEFRAMING},
        {1, 2, "a2 OK\r\n", "starttls: the server says \"a2 OK\", which is no answer here", TAPS_E_DEFRAMING},
        {1, 2, "+ go\r\n", "starttls: the server says \"+ go\", which is no answer here", TAPS_E_DEFRAMING},
        {2, 1, "\x1b[2J\r\n", "starttls: the server says \"?[2J\", which is no answer here", TAPS_E_DEFRAMING},
        {0, 1, "220 x\n", "starttls: a line that does not end with CR LF, or has NUL in it", TAPS_E_DEFRAMING},
        {0, 1, "\n", "starttls: a line that does not end with CR LF, or has NUL in it", TAPS_E_DEFRAMING},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_framing t;
        test_framing_open_secure(&t, talks[rows[i].talk].text, false);
        talk(&t, talks[rows[i].talk].turns, rows[i].turns, 1000);
        test_framing_feed_text(&t, rows[i].answer);
        CHECK_INT(t.ready, 0);
        CHECK(test_framing_failed(&t, rows[i].code));
        CHECK_TEXT(t.error.text, rows[i].why);
        test_framing_close(&t);
    }
}

TEST(lines_without_end_and_without_number_are_limited)
{
    static char bytes[9000];
    memset(bytes, 'a', sizeof(bytes) - 1);
    fails("starttls:protocol=imap", false, bytes, TAPS_E_DEFRAMING, "starttls: a line of more than 8192 bytes");
    struct test_framing t;
    test_framing_open_secure(&t, "starttls:protocol=smtp", false);
    for (int i = 0; i < 128; i++)
        test_framing_feed_text(&t, "220-x\r\n");
    CHECK_INT(t.closed, 0);
    test_framing_feed_text(&t, "220-x\r\n");
    CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
    CHECK_TEXT(t.error.text, "starttls: more than 128 lines before TLS");
    test_framing_close(&t);
}

/* The application begins with its own first word, with TLS and without. */
TEST(without_security_only_the_greeting_is_taken)
{
    for (size_t i = 0; i < TALKS; i++) {
        struct test_framing t;
        char greeting[128];
        test_framing_open_text(&t, talks[i].text, false);
        bool greets = i != 3;
        CHECK_INT(t.ready, !greets);
        snprintf(greeting, sizeof(greeting), "%s+++", greets ? talks[i].turns[1].peer : "");
        test_framing_feed_text(&t, greeting);
        CHECK_INT(t.ready, 1);
        CHECK_INT(t.bytes, 3);
        CHECK_INT(t.out_length, 0);
        test_framing_send_text(&t, "EHLO x\r\n");
        CHECK(test_framing_wrote_text(&t, "EHLO x\r\n"));
        test_framing_end(&t);
        CHECK_INT(t.ends, 1);
        test_framing_shut(&t);
        CHECK_INT(t.closed, 1);
        test_framing_close(&t);
    }
}

/* -------------------------------------------------------------------------------------------------- server */

static const struct turn smtp_server[] = {
    {NULL, "220 mx.example ESMTP\r\n"},
    {"MAIL FROM:<a@b>\r\n", "530 STARTTLS first\r\n"},
    {"STARTTLS now\r\n", "530 STARTTLS first\r\n"},
    {"\r\n", "530 STARTTLS first\r\n"},
    {"HELO x\r\n", "250 mx.example\r\n"},
    {"noop\r\n", "250 yes\r\n"},
    {"ehlo [192.0.2.1]\r\n", "250-mx.example\r\n250 STARTTLS\r\n"},
    {"starttls\r\n", "220 go ahead\r\n"},
};
static const struct turn imap_server[] = {
    {NULL, "* OK localhost\r\n"},
    {"x login a b\r\n", "x NO STARTTLS first\r\n"},
    {"x.1 CAPABILITY\r\n", "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\nx.1 OK done\r\n"},
    {"x2 STARTTLS\r\n", "x2 OK go ahead\r\n"},
};
static const struct turn pop3_server[] = {
    {NULL, "+OK localhost\r\n"},
    {"USER x\r\n", "-ERR STLS first\r\n"},
    {"CAPA\r\n", "+OK here they are\r\nSTLS\r\n.\r\n"},
    {"STLS\r\n", "+OK go ahead\r\n"},
};

static const struct {
    const char *text;
    const struct turn *turns;
    size_t count;
} servers[] = {
    {"starttls:protocol=smtp,name=mx.example", smtp_server, 8},
    {"starttls:protocol=imap", imap_server, 4},
    {"starttls:protocol=pop3", pop3_server, 4},
};

TEST(a_server_leads_to_tls_and_refuses_the_rest)
{
    for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
        for (size_t step = 1; step < 50; step = step * 3) {
            struct test_framing t;
            test_framing_open_secure(&t, servers[i].text, true);
            talk(&t, servers[i].turns, servers[i].count, step);
            CHECK_INT(t.ready, 1);
            test_framing_feed_text(&t, "\x16");
            CHECK_INT(t.bytes, 1);
            test_framing_close(&t);
        }
    }
}

TEST(a_server_of_postgresql_says_one_letter)
{
    struct test_framing t;
    test_framing_open_secure(&t, "starttls:protocol=postgresql", true);
    test_framing_feed_split(&t, "\0\0\0\x08\x04\xd2\x16\x30", 8, 3);
    CHECK(test_framing_wrote_text(&t, "N"));
    test_framing_feed_split(&t, "\0\0\0\x08\x04\xd2\x16\x2f", 8, 3);
    CHECK(test_framing_wrote_text(&t, "S"));
    CHECK_INT(t.ready, 1);
    test_framing_close(&t);
    static const char *const others[] = {"\0\0\0\x09\x04\xd2\x16\x2f", "\0\0\0\x08\0\3\0\0", "\x16\3\1\2\0\1\0\1"};
    for (size_t i = 0; i < 3; i++) {
        test_framing_open_secure(&t, "starttls:protocol=postgresql", true);
        test_framing_feed(&t, others[i], 8);
        CHECK(test_framing_failed(&t, TAPS_E_PROTOCOL));
        CHECK_INT(t.out_length, 0);
        test_framing_close(&t);
    }
}

TEST(a_server_does_not_take_what_was_put_behind_the_command)
{
    static const char *const texts[] = {"starttls:protocol=smtp", "starttls:protocol=imap", "starttls:protocol=pop3"};
    static const char *const bytes[] = {"STARTTLS\r\nRSET\r\n", "a STARTTLS\r\nb X\r\n", "STLS\r\nUSER x\r\n"};
    for (size_t i = 0; i < 3; i++) {
        struct test_framing t;
        test_framing_open_secure(&t, texts[i], true);
        test_framing_feed_text(&t, bytes[i]);
        CHECK_INT(t.ready, 0);
        CHECK(test_framing_failed(&t, TAPS_E_PROTOCOL));
        CHECK_INT(t.bytes, 0);
        test_framing_close(&t);
    }
    struct test_framing t;
    test_framing_open_secure(&t, "starttls:protocol=postgresql", true);
    test_framing_feed(&t, "\0\0\0\x08\x04\xd2\x16\x2fx", 9);
    CHECK(test_framing_failed(&t, TAPS_E_PROTOCOL));
    test_framing_close(&t);
}

TEST(a_server_gives_up_clients_that_make_no_sense)
{
    static char line[9000];
    memset(line, 'a', sizeof(line) - 1);
    fails("starttls:protocol=smtp", true, "QUIT\r\n", TAPS_E_PROTOCOL, "starttls: the client left before TLS");
    fails("starttls:protocol=imap", true, "a LOGOUT\r\n", TAPS_E_PROTOCOL, "starttls: the client left before TLS");
    fails("starttls:protocol=pop3", true, "QUIT\r\n", TAPS_E_PROTOCOL, "starttls: the client left before TLS");
    fails("starttls:protocol=smtp", true, line, TAPS_E_DEFRAMING, "starttls: a line of more than 8192 bytes");
    fails("starttls:protocol=imap", true, "\r\n", TAPS_E_DEFRAMING, "starttls: a command without a tag: \"\"");
    fails("starttls:protocol=imap", true, "* OK\r\n", TAPS_E_DEFRAMING, "starttls: a command without a tag: \"* OK\"");
    fails("starttls:protocol=imap", true, "%n NOOP\r\n", TAPS_E_DEFRAMING,
          "starttls: a command without a tag: \"%n NOOP\"");
    fails("starttls:protocol=smtp", true, "NOOP\n", TAPS_E_DEFRAMING,
          "starttls: a line that does not end with CR LF, or has NUL in it");
    struct test_framing t;
    test_framing_open_secure(&t, "starttls:protocol=smtp", true);
    for (int i = 0; i < 129; i++)
        test_framing_feed_text(&t, "NOOP\r\n");
    CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
    test_framing_close(&t);
}

TEST(a_server_without_security_greets_and_steps_aside)
{
    struct test_framing t;
    test_framing_open_text(&t, "starttls:protocol=smtp", true);
    CHECK_INT(t.ready, 1);
    CHECK(test_framing_wrote_text(&t, "220 localhost ESMTP\r\n"));
    test_framing_feed_text(&t, "EHLO x\r\n");
    CHECK_INT(t.bytes, 8);
    test_framing_close(&t);
    test_framing_open_text(&t, "starttls:protocol=postgresql", true);
    CHECK_INT(t.ready, 1);
    CHECK_INT(t.out_length, 0);
    test_framing_close(&t);
}

/* ------------------------------------------------------------------------------------------------- options */

TEST(it_needs_to_know_the_protocol)
{
    struct test_framing t;
    test_framing_open_secure(&t, "starttls", false);
    CHECK(test_framing_failed(&t, TAPS_E_CONFIGURATION));
    CHECK_TEXT(t.error.text, "starttls: it needs protocol=smtp, imap, pop3 or postgresql");
    test_framing_close(&t);
    taps_framer *framer;
    CHECK_INT(taps_framer_new_text("starttls:protocol=xmpp", &framer), TAPS_E_RANGE);
    CHECK_INT(taps_framer_new_text("starttls:name=", &framer), TAPS_E_RANGE);
    CHECK_INT(taps_framer_new_text("starttls:name=a b", &framer), TAPS_E_RANGE);
    CHECK_INT(taps_framer_new_text("starttls:name=a\r\nRCPT", &framer), TAPS_E_RANGE);
    CHECK_INT(taps_framer_new_text("starttls:colour=red", &framer), TAPS_E_UNKNOWN_PROPERTY);
}

TEST(it_does_not_stand_over_datagrams)
{
    struct test_framing t;
    taps_framer *framer;
    CHECK_INT(taps_framer_new_text("starttls:protocol=smtp", &framer), 0);
    const taps_framer *list = framer;
    test_framing_open(&t, &list, 1, false, true);
    taps_framer_free(framer);
    CHECK(test_framing_failed(&t, TAPS_E_CONFIGURATION));
    test_framing_close(&t);
}
