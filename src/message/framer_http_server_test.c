/* The HTTP Framer as a server: requests in, responses out; and its options. */
#include "message/framer_http.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/test.h"
#include "message/test_http.h"

/* --------------------------------------------------------------------------------------------- a server receives */

static const char request[] = "POST /form?x HTTP/1.1\r\nHost: a.example\r\nX: y\r\nContent-Length: 5\r\n\r\nhello";

TEST(a_request_is_a_message_with_its_head_beside)
{
    struct test_framing t;
    for (size_t step = 1; step <= sizeof(request); step++) {
        http_server(&t);
        test_framing_feed_split(&t, request, strlen(request), step);
        test_framing_feed_text(&t, "\r\n"); /* some clients send one too many */
        test_framing_feed_split(&t, request, strlen(request), step);
        CHECK_INT(t.count, 2);
        for (size_t i = 0; i < 2; i++) {
            CHECK(test_framing_got_text(&t, i, "hello"));
            CHECK_TEXT(http_meta(&t, i, "method"), "POST");
            CHECK_TEXT(http_meta(&t, i, "target"), "/form?x");
            CHECK_TEXT(http_meta(&t, i, "version"), "1.1");
            CHECK_TEXT(http_meta(&t, i, "host"), "a.example");
            CHECK(!http_meta(&t, i, "status"));
        }
        test_framing_close(&t);
    }
}

TEST(the_last_request_ends_the_direction)
{
    static const char *const heads[] = {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                                        "GET / HTTP/1.0\r\n\r\n"};
    for (size_t i = 0; i < 2; i++) {
        struct test_framing t;
        http_asked(&t, heads[i]);
        CHECK_INT(t.ends, 1);
        test_framing_feed_text(&t, "GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(t.count, 1);
        CHECK_INT(test_framing_send_text(&t, "ok"), 0);
        CHECK(test_framing_wrote_text(&t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
        CHECK_INT(test_framing_send_text(&t, "more"), TAPS_E_CLOSED);
        test_framing_close(&t);
    }
}

TEST(a_client_that_waits_for_100_is_told_to_go_on)
{
    struct test_framing t;
    static const char head[] = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    http_server(&t);
    test_framing_feed_text(&t, head);
    CHECK(test_framing_wrote_text(&t, "HTTP/1.1 100 Continue\r\n\r\n"));
    test_framing_feed_text(&t, "hello");
    CHECK(test_framing_got_text(&t, 0, "hello"));
    test_framing_feed_text(&t, head); /* behind a request that has no answer yet */
    CHECK(test_framing_wrote_text(&t, ""));
    CHECK_INT(test_framing_send_text(&t, "one"), 0);
    CHECK(test_framing_wrote_text(&t, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 100 Continue\r\n\r\n"));
    test_framing_close(&t);
    http_server(&t); /* the body is here already */
    test_framing_feed_text(&t, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    CHECK(test_framing_wrote_text(&t, ""));
    test_framing_close(&t);
}

TEST(hostile_clients_are_told_and_dropped)
{
    static const struct {
        const char *text, *why;
        unsigned status;
    } rows[] = {
        {"\x16\x03\x01", "not HTTP/1", 400},
        {"GET / HTTP/1.1\r\n\r\n", "Host", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "folded", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "both", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding", 501},
        {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "version", 505},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16777217\r\n\r\n", "body-maximum", 413},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", "CONNECT", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "chunk", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", "control", 400},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_framing t;
        char answer[40];
        http_server(&t);
        test_framing_feed_text(&t, rows[i].text);
        if (!http_says(&t, rows[i].why))
            tapsi_test_fail(__FILE__, __LINE__, "row %zu: %u, %s", i, t.closed, t.error.text);
        int length = snprintf(answer, sizeof(answer), "HTTP/1.1 %u ", rows[i].status);
        if (t.out_length < (size_t)length || memcmp(t.out, answer, (size_t)length) != 0)
            tapsi_test_fail(__FILE__, __LINE__, "row %zu: answered '%.*s'", i, (int)t.out_length, (char *)t.out);
        test_framing_close(&t);
    }
}

TEST(no_fault_is_answered_in_the_place_of_another_request)
{
    struct test_framing t;
    http_asked(&t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    test_framing_feed_text(&t, "nonsense\r\n\r\n");
    CHECK(http_says(&t, "method"));
    CHECK(test_framing_wrote_text(&t, ""));
    test_framing_close(&t);
}

TEST(a_name_that_is_too_long_is_refused)
{
    char name[400];
    struct test_framing t;
    memset(name, 'a', sizeof(name));
    http_server(&t);
    test_framing_feed_text(&t, "GET / HTTP/1.1\r\nHost: a\r\n");
    test_framing_feed(&t, name, 257);
    test_framing_feed_text(&t, ": b\r\n\r\n");
    CHECK(http_says(&t, "name is longer"));
    test_framing_close(&t);
}

/* ------------------------------------------------------------------------------------------------ a server sends */

static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", head_request[] = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
                  old[] = "GET / HTTP/1.0\r\n\r\n", old_kept[] = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                  upgrade[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
                  connect_request[] = "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n";

TEST(responses_fit_their_requests)
{
    static const struct {
        const char *request, *words, *body, *response;
    } rows[] = {
        {get, "", "hello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
        {get, "", "", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
        {get, "status=404", "", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
        {get, "status=299\nX=y", "", "HTTP/1.1 299 \r\nX: y\r\nContent-Length: 0\r\n\r\n"},
        {get, "status=200\nreason=Fine by me", "", "HTTP/1.1 200 Fine by me\r\nContent-Length: 0\r\n\r\n"},
        {get, "status=204", "", "HTTP/1.1 204 No Content\r\n\r\n"},
        {get, "status=304\ncontent-length=99", "", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"},
        {get, "connection=close", "a", "HTTP/1.1 200 OK\r\nconnection: close\r\nContent-Length: 1\r\n\r\na"},
        {get, "method=X\ntarget=Y", "a", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"},
        {head_request, "", "hello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
        {head_request, "content-length=7", "", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"},
        {head_request, "", "", "HTTP/1.1 200 OK\r\n\r\n"},
        {old, "", "a", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na"},
        {old, "transfer-encoding=chunked", "a", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na"},
        {old_kept, "", "a", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\na"},
        {connect_request, "status=403", "no", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_framing t;
        http_asked(&t, rows[i].request);
        CHECK_INT(http_send_with(&t, rows[i].body, WHOLE, rows[i].words), 0);
        if (t.out_length != strlen(rows[i].response) || memcmp(t.out, rows[i].response, t.out_length) != 0)
            tapsi_test_fail(__FILE__, __LINE__, "row %zu: '%.*s'", i, (int)t.out_length, (char *)t.out);
        test_framing_close(&t);
    }
}

TEST(responses_that_cannot_be_are_refused)
{
    static const struct {
        const char *request, *words, *body;
    } rows[] = {
        {NULL, "", ""},
        {get, "status=204", "body"},
        {get, "status=204\ncontent-length=0", ""},
        {get, "status=304", "body"},
        {get, "status=100", "body"},
        {get, "status=101", ""},
        {old, "status=100", ""},
        {upgrade, "status=101", "body"},
        {get, "status=99", ""},
        {get, "status=1000", ""},
        {get, "status=OK", ""},
        {get, "reason=a\rb", ""},
        {get, "content-length=4", "hello"},
        {get, "content-length=6", "hello"},
        {get, "trailer:a=b", "hello"},
        {connect_request, "", "body"},
        {connect_request, "transfer-encoding=chunked", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_framing t;
        http_server(&t);
        if (rows[i].request)
            test_framing_feed_text(&t, rows[i].request);
        int err = http_send_with(&t, rows[i].body, WHOLE, rows[i].words);
        if (err != TAPS_E_MESSAGE_PROPERTIES || t.out_length)
            tapsi_test_fail(__FILE__, __LINE__, "row %zu: %d", i, err);
        test_framing_close(&t);
    }
}

TEST(a_response_in_parts_is_what_the_client_understands)
{
    struct test_framing t;
    http_asked(&t, get);
    CHECK_INT(http_send_with(&t, "one", FIRST, ""), 0);
    CHECK_INT(http_send_with(&t, "two", LAST, ""), 0);
    CHECK(test_framing_wrote_text(
        &t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"));
    test_framing_close(&t);
    http_asked(&t, old_kept);
    CHECK_INT(http_send_with(&t, "one", FIRST, ""), 0);
    CHECK_INT(http_send_with(&t, "two", LAST, ""), 0);
    CHECK(test_framing_wrote_text(&t, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nonetwo"));
    CHECK_INT(test_framing_send_text(&t, "more"), TAPS_E_CLOSED); /* only a Close ends that one */
    test_framing_close(&t);
    http_asked(&t, head_request);
    CHECK_INT(http_send_with(&t, "one", FIRST, ""), 0);
    CHECK_INT(http_send_with(&t, "two", LAST, ""), 0);
    CHECK(test_framing_wrote_text(&t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
    test_framing_close(&t);
}

TEST(interim_responses_answer_nothing)
{
    struct test_framing t;
    http_asked(&t, get);
    CHECK_INT(http_send_with(&t, "", WHOLE, "status=103\nLink=x"), 0);
    CHECK_INT(test_framing_send_text(&t, "a"), 0);
    CHECK(test_framing_wrote_text(
        &t, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"));
    CHECK_INT(test_framing_send_text(&t, "b"), TAPS_E_MESSAGE_PROPERTIES);
    test_framing_close(&t);
}

TEST(a_server_changes_protocols)
{
    struct test_framing t;
    http_server(&t);
    test_framing_feed_text(&t, upgrade);
    test_framing_feed_text(&t, "early");
    CHECK_INT(t.count, 1);
    CHECK_INT(http_send_with(&t, "", WHOLE, "status=101\nConnection=Upgrade\nUpgrade=echo"), 0);
    CHECK(test_framing_wrote_text(&t,
                                  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"));
    CHECK_INT(t.count, 2);
    CHECK(t.messages[1].length == 5 && memcmp(t.messages[1].data, "early", 5) == 0);
    CHECK_INT(test_framing_send_text(&t, "raw"), 0);
    CHECK(test_framing_wrote_text(&t, "raw"));
    test_framing_close(&t);
    http_server(&t); /* or it does not */
    test_framing_feed_text(&t, upgrade);
    test_framing_feed_text(&t, get);
    CHECK_INT(t.count, 1);
    CHECK_INT(test_framing_send_text(&t, "a"), 0);
    CHECK_INT(t.count, 2);
    test_framing_close(&t);
    http_asked(&t, connect_request);
    CHECK_INT(http_send_with(&t, "", WHOLE, ""), 0);
    CHECK(test_framing_wrote_text(&t, "HTTP/1.1 200 OK\r\n\r\n"));
    CHECK_INT(test_framing_send_text(&t, "raw"), 0);
    CHECK(test_framing_wrote_text(&t, "raw"));
    test_framing_close(&t);
}

TEST(requests_over_the_limit_are_not_read_yet)
{
    struct test_framing t;
    test_framing_open_text(&t, "http:pipeline-maximum=2", true);
    for (int i = 0; i < 5; i++)
        test_framing_feed_text(&t, get);
    CHECK_INT(t.count, 2);
    for (size_t i = 3; i <= 5; i++) {
        CHECK_INT(test_framing_send_text(&t, "a"), 0);
        CHECK_INT(t.count, i);
    }
    test_framing_close(&t);
}

TEST(requests_that_were_not_read_yet_survive_the_end_of_the_client)
{
    struct test_framing t;
    test_framing_open_text(&t, "http:pipeline-maximum=2", true);
    for (int i = 0; i < 5; i++)
        test_framing_feed_text(&t, get);
    test_framing_end(&t);
    CHECK_INT(t.closed, 0);
    for (size_t i = 3; i <= 5; i++) {
        CHECK_INT(t.ends, 0);
        CHECK_INT(test_framing_send_text(&t, "a"), 0);
        CHECK_INT(t.count, i);
    }
    CHECK_INT(t.ends, 1);
    CHECK_INT(t.closed, 0);
    test_framing_close(&t);
}

TEST(a_final_response_says_close_and_nothing_is_read_behind_it)
{
    struct test_framing t;
    http_asked(&t, get);
    CHECK_INT(test_framing_send(&t, "a", 1, WHOLE | FINAL, NULL), 0);
    CHECK(test_framing_wrote_text(&t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na"));
    test_framing_feed_text(&t, get);
    CHECK_INT(t.count, 1);
    test_framing_close(&t);
}

/* --------------------------------------------------------------------------------------------------- the options */

TEST(options_are_checked)
{
    static const char *const good[] = {"http:head-maximum=256", "http:head-maximum=256k", "http:body-maximum=unlimited",
                                       "http:interim=deliver",  "http:fields_maximum=1",  "http:pipeline-maximum=256"};
    static const char *const bad[] = {"http:head-maximum=255",  "http:head-maximum=257k", "http:body-maximum=0",
                                      "http:interim=yes",       "http:fields-maximum=0",  "http:pipeline-maximum=257",
                                      "http:target=",           "http:target=a b",        "http:host=a/b",
                                      "http:pipeline-maximum=0"};
    taps_framer *framer;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CHECK_INT(taps_framer_new_text(good[i], &framer), 0);
        taps_framer_free(framer);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_INT(taps_framer_new_text(bad[i], &framer), TAPS_E_RANGE);
    CHECK_INT(taps_framer_new_text("http:other=1", &framer), TAPS_E_UNKNOWN_PROPERTY);
}

TEST(datagrams_are_refused)
{
    struct test_framing t;
    taps_framer *framer;
    CHECK_INT(taps_framer_new("http", &framer), 0);
    const taps_framer *one = framer;
    test_framing_open(&t, &one, 1, false, true);
    CHECK_INT(t.ready, 0);
    CHECK(test_framing_failed(&t, TAPS_E_CONFIGURATION));
    taps_framer_free(framer);
    test_framing_close(&t);
}
