/* The HTTP Framer as a client: requests out, responses in. */
#include "message/framer_http.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/test.h"
#include "message/test_http.h"

/* --------------------------------------------------------------------------------------------- a client sends */

/* proves API-131 */
TEST(a_message_without_bytes_is_a_get)
{
    struct test_framing t;
    http_client(&t);
    CHECK_INT(http_send_with(&t, "", WHOLE, ""), 0);
    CHECK(test_framing_wrote_text(&t, "GET / HTTP/1.1\r\nHost: peer.example\r\n\r\n"));
    CHECK_INT(http_send_with(&t, "", WHOLE, "target=/a?b\nAccept=text/html\nAccept=x/y\nmethod=DELETE"), 0);
    CHECK(test_framing_wrote_text(
        &t, "DELETE /a?b HTTP/1.1\r\nHost: peer.example\r\nAccept: text/html\r\nAccept: x/y\r\n\r\n"));
    CHECK(!t.final_out);
    test_framing_close(&t);
}

TEST(a_message_with_bytes_is_a_post_with_their_length)
{
    struct test_framing t;
    http_client(&t);
    CHECK_INT(http_send_with(&t, "hello", WHOLE, "content-type=text/plain"), 0);
    CHECK(test_framing_wrote_text(&t, "POST / HTTP/1.1\r\nHost: peer.example\r\ncontent-type: text/plain\r\n"
                                      "Content-Length: 5\r\n\r\nhello"));
    CHECK_INT(http_send_with(&t, "", WHOLE, "method=PUT"), 0);
    CHECK(test_framing_wrote_text(&t, "PUT / HTTP/1.1\r\nHost: peer.example\r\nContent-Length: 0\r\n\r\n"));
    CHECK_INT(http_send_with(&t, "abc", WHOLE, "content-length=3"), 0);
    CHECK(test_framing_wrote_text(&t, "POST / HTTP/1.1\r\nHost: peer.example\r\nContent-Length: 3\r\n\r\nabc"));
    test_framing_close(&t);
}

/* proves API-112 */
TEST(parts_are_chunks)
{
    struct test_framing t;
    http_client(&t);
    CHECK_INT(http_send_with(&t, "", FIRST, "target=/up"), 0);
    CHECK(test_framing_wrote_text(&t, "POST /up HTTP/1.1\r\nHost: peer.example\r\nTransfer-Encoding: chunked\r\n\r\n"));
    CHECK_INT(http_send_with(&t, "0123456789abcdef", MORE, ""), 0);
    CHECK(test_framing_wrote_text(&t, "10\r\n0123456789abcdef\r\n"));
    CHECK_INT(http_send_with(&t, "", MORE, ""), 0); /* would be the end, were it a chunk */
    CHECK(test_framing_wrote_text(&t, ""));
    CHECK_INT(http_send_with(&t, "xyz", LAST, ""), 0);
    CHECK(test_framing_wrote_text(&t, "3\r\nxyz\r\n0\r\n\r\n"));
    CHECK_INT(http_send_with(&t, "x", FIRST, ""), 0);
    test_framing_forget(&t);
    CHECK_INT(http_send_with(&t, "", LAST, "trailer:X-Sum=1\nignored=2\ntrailer:X-Two=b"), 0);
    CHECK(test_framing_wrote_text(&t, "0\r\nX-Sum: 1\r\nX-Two: b\r\n\r\n"));
    CHECK_INT(http_send_with(&t, "whole", WHOLE, "transfer-encoding=chunked\ntrailer:A=1"), 0);
    CHECK(test_framing_wrote_text(&t, "POST / HTTP/1.1\r\nHost: peer.example\r\nTransfer-Encoding: chunked\r\n\r\n"
                                      "5\r\nwhole\r\n0\r\nA: 1\r\n\r\n"));
    test_framing_close(&t);
}

TEST(parts_of_a_length_that_was_said_are_checked)
{
    struct test_framing t;
    http_client(&t);
    CHECK_INT(http_send_with(&t, "ab", FIRST, "content-length=5"), 0);
    CHECK(test_framing_wrote_text(&t, "POST / HTTP/1.1\r\nHost: peer.example\r\nContent-Length: 5\r\n\r\nab"));
    CHECK_INT(http_send_with(&t, "cdef", MORE, ""), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(http_send_with(&t, "cd", LAST, ""), TAPS_E_MESSAGE_PROPERTIES);
    CHECK(test_framing_wrote_text(&t, ""));
    CHECK_INT(http_send_with(&t, "cd", MORE, ""), 0);
    CHECK_INT(http_send_with(&t, "e", LAST, ""), 0);
    CHECK(test_framing_wrote_text(&t, "cde"));
    CHECK_INT(http_send_with(&t, "", LAST, ""), TAPS_E_MESSAGE_PROPERTIES); /* of what? */
    test_framing_close(&t);
}

TEST(the_last_request_says_close_and_no_fin_follows)
{
    struct test_framing t;
    http_client(&t);
    CHECK_INT(http_send_with(&t, "", WHOLE | FINAL, ""), 0);
    CHECK(test_framing_wrote_text(&t, "GET / HTTP/1.1\r\nHost: peer.example\r\nConnection: close\r\n\r\n"));
    CHECK(!t.final_out);
    CHECK_INT(http_send_with(&t, "", WHOLE, ""), TAPS_E_CLOSED);
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    CHECK(test_framing_got_text(&t, 0, "ok"));
    CHECK_INT(t.ends, 1);
    CHECK(t.closed_below); /* both directions have ended in the words of HTTP */
    test_framing_close(&t);
}

TEST(close_that_the_application_says_is_said_once)
{
    struct test_framing t;
    http_client(&t);
    CHECK_INT(http_send_with(&t, "", WHOLE, "Connection=Close"), 0);
    CHECK(test_framing_wrote_text(&t, "GET / HTTP/1.1\r\nHost: peer.example\r\nConnection: Close\r\n\r\n"));
    CHECK_INT(http_send_with(&t, "", WHOLE, ""), TAPS_E_CLOSED);
    test_framing_close(&t);
}

TEST(host_is_what_was_asked_for)
{
    struct test_framing t;
    http_client(&t);
    CHECK_INT(http_send_with(&t, "", WHOLE, "Host=other.example:8080"), 0);
    CHECK(test_framing_wrote_text(&t, "GET / HTTP/1.1\r\nHost: other.example:8080\r\n\r\n"));
    test_framing_close(&t);
    test_framing_open_text(&t, "http:host=virtual.example,target=/from/options", false);
    CHECK_INT(http_send_with(&t, "", WHOLE, ""), 0);
    CHECK(test_framing_wrote_text(&t, "GET /from/options HTTP/1.1\r\nHost: virtual.example\r\n\r\n"));
    test_framing_close(&t);
}

TEST(a_head_may_be_long)
{
    struct test_framing t;
    char words[3000], wanted[4000];
    for (size_t length = 900; length < 2900; length += 37) {
        http_client(&t);
        snprintf(words, sizeof(words), "x=%0*d", (int)length, 1);
        snprintf(wanted, sizeof(wanted),
                 "POST / HTTP/1.1\r\nHost: peer.example\r\nx: %0*d\r\nContent-Length: 3\r\n\r\nabc", (int)length, 1);
        CHECK_INT(http_send_with(&t, "abc", WHOLE, words), 0);
        CHECK(test_framing_wrote_text(&t, wanted));
        test_framing_close(&t);
    }
}

TEST(what_would_break_a_head_is_refused)
{
    static const char bad[] =
        "method=GET /\nmethod=\nmethod=G\x01T\ntarget=/a b\ntarget=\ntarget=/\rX\n"
        "x=a\rb\nx=a\x01"
        "b\nx y=1\nx\r=1\n=1\nx:=1\nfield:=1\nfield:a b=1\ntrailer:a=1\n"
        "trailer:a b=1\ncontent-length=1\ncontent-length=-1\ncontent-length=x\n"
        "content-length=9223372036854775808\ntransfer-encoding=gzip\ntransfer-encoding=chunked, gzip\n"
        "host=a b\nhost=a/b\nmethod=CONNECT";
    char *copy = strdup(bad), *next = copy, *line;
    struct test_framing t;
    http_client(&t);
    while ((line = strsep(&next, "\n"))) {
        int err = http_send_with(&t, "", WHOLE, line);
        if (err != TAPS_E_MESSAGE_PROPERTIES)
            tapsi_test_fail(__FILE__, __LINE__, "'%s': %d", line, err);
    }
    CHECK_INT(http_send_with(&t, "abc", WHOLE, "content-length=4"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(http_send_with(&t, "abc", WHOLE, "content-length=3\nContent-Length=4"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(http_send_with(&t, "abc", WHOLE, "content-length=3\ntransfer-encoding=chunked"),
              TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(http_send_with(&t, "abc", WHOLE, "method=CONNECT\ntarget=a:1"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(http_send_with(&t, "", WHOLE, "host=a\nHost=b"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(http_send_with(&t, "", WHOLE, "method=CONNECT\ntarget=/a"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK(test_framing_wrote_text(&t, ""));
    CHECK_INT(http_send_with(&t, "", WHOLE, ""), 0); /* the Connection is as it was */
    CHECK(test_framing_wrote_text(&t, "GET / HTTP/1.1\r\nHost: peer.example\r\n\r\n"));
    free(copy);
    test_framing_close(&t);
}

TEST(a_newline_in_a_value_is_refused)
{
    struct test_framing t;
    struct tapsi_meta *m = NULL;
    http_client(&t);
    CHECK_INT(tapsi_meta_add(&m, &t.mem, "http", "x", "a\r\nEvil: yes"), 0);
    CHECK_INT(test_framing_send(&t, "", 0, WHOLE, m), TAPS_E_MESSAGE_PROPERTIES);
    tapsi_meta_unref(m);
    CHECK(test_framing_wrote_text(&t, ""));
    test_framing_close(&t);
}

TEST(words_of_the_other_direction_are_passed_over)
{
    struct test_framing t;
    http_client(&t);
    CHECK_INT(http_send_with(&t, "", WHOLE, "status=200\nreason=OK\nversion=1.0\nfield:status=2"), 0);
    CHECK(test_framing_wrote_text(&t, "GET / HTTP/1.1\r\nHost: peer.example\r\nstatus: 2\r\n\r\n"));
    test_framing_close(&t);
}

/* ------------------------------------------------------------------------------------------- a client receives */

static const char response[] =
    "HTTP/1.1 200 Very OK\r\nContent-Length: 5\r\nX-One: 1\r\nx-one: 2\r\nStatus: 7\r\n\r\nhello";

static void check_response(const struct test_framing *t, size_t index)
{
    CHECK(test_framing_got_text(t, index, "hello"));
    CHECK_TEXT(http_meta(t, index, "status"), "200");
    CHECK_TEXT(http_meta(t, index, "reason"), "Very OK");
    CHECK_TEXT(http_meta(t, index, "version"), "1.1");
    CHECK_TEXT(http_meta(t, index, "x-one"), "1");
    CHECK_TEXT(http_meta(t, index, "content-length"), "5");
    CHECK_TEXT(http_meta(t, index, "field:status"), "7");
}

/* proves API-131 */
TEST(a_response_is_a_message_with_its_head_beside)
{
    struct test_framing t;
    for (size_t step = 1; step <= sizeof(response); step++) {
        http_client(&t);
        http_ask(&t, "");
        test_framing_feed_split(&t, response, strlen(response), step);
        CHECK_INT(t.count, 1);
        check_response(&t, 0);
        CHECK_INT(t.ends, 0);
        test_framing_end(&t);
        CHECK_INT(t.ends, 1);
        CHECK_INT(t.closed, 0);
        test_framing_close(&t);
    }
}

TEST(responses_come_together)
{
    struct test_framing t;
    char two[2 * sizeof(response)];
    http_client(&t);
    for (int i = 0; i < 2; i++)
        http_ask(&t, "");
    snprintf(two, sizeof(two), "%s%s", response, response);
    test_framing_feed_text(&t, two);
    CHECK_INT(t.count, 2);
    check_response(&t, 0);
    check_response(&t, 1);
    test_framing_close(&t);
}

static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "5\r\nhello\r\n8;x=y\r\n, chunks\r\n000\r\nX-Sum: 9\r\nStatus: 1\r\n\r\n";

TEST(chunks_are_put_together_and_trailers_are_marked)
{
    struct test_framing t;
    for (size_t step = 1; step <= sizeof(chunked); step++) {
        http_client(&t);
        http_ask(&t, "");
        test_framing_feed_split(&t, chunked, strlen(chunked), step);
        CHECK_INT(t.count, 1);
        CHECK(test_framing_got_text(&t, 0, "hello, chunks"));
        CHECK_TEXT(http_meta(&t, 0, "status"), "200");
        CHECK_TEXT(http_meta(&t, 0, "trailer:x-sum"), "9");
        CHECK_TEXT(http_meta(&t, 0, "trailer:status"), "1");
        CHECK(!http_meta(&t, 0, "x-sum"));
        test_framing_close(&t);
    }
}

TEST(a_response_without_a_length_goes_to_the_end)
{
    static const char text[] = "HTTP/1.1 200 OK\r\n\r\nall that comes";
    struct test_framing t;
    for (size_t step = 1; step <= sizeof(text); step++) {
        http_client(&t);
        http_ask(&t, "");
        test_framing_feed_split(&t, text, strlen(text), step);
        CHECK_INT(t.ends, 0);
        test_framing_end(&t);
        CHECK(test_framing_got_text(&t, 0, "all that comes"));
        CHECK_INT(t.count, 1);
        CHECK_INT(t.ends, 1);
        CHECK_INT(t.closed, 0);
        test_framing_close(&t);
    }
}

TEST(responses_that_have_no_body_end_with_their_head)
{
    static const struct {
        const char *ask, *response;
    } rows[] = {
        {"method=HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"},
        {"method=HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {"", "HTTP/1.1 204 No Content\r\n\r\n"},
        {"", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"},
        {"", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
        {"", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_framing t;
        http_client(&t);
        http_ask(&t, rows[i].ask);
        http_ask(&t, "");
        test_framing_feed_text(&t, rows[i].response);
        CHECK(test_framing_got_text(&t, 0, ""));
        test_framing_feed_text(&t, response);
        check_response(&t, 1);
        test_framing_close(&t);
    }
}

TEST(the_end_is_told_with_the_last_byte)
{
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast",
        "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nlast",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlast\r\n0\r\n\r\n",
    };
    struct test_framing t;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        for (size_t step = 1; step <= strlen(texts[i]); step++) {
            http_client(&t);
            http_ask(&t, "");
            test_framing_feed_split(&t, texts[i], strlen(texts[i]), step);
            CHECK(test_framing_got_text(&t, 0, "last"));
            CHECK_INT(t.ends, 1);
            CHECK_INT(http_send_with(&t, "", WHOLE, ""), TAPS_E_CLOSED);
            test_framing_feed_text(&t, "what comes then is dropped");
            test_framing_end(&t);
            CHECK_INT(t.count, 1);
            CHECK_INT(t.closed, 0);
            test_framing_close(&t);
        }
    }
}

TEST(an_empty_last_response_is_a_message_too)
{
    struct test_framing t;
    http_client(&t);
    http_ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    CHECK(test_framing_got_text(&t, 0, ""));
    CHECK_TEXT(http_meta(&t, 0, "status"), "404");
    CHECK_INT(t.ends, 1);
    test_framing_close(&t);
}

TEST(http_1_0_may_be_kept_alive)
{
    struct test_framing t;
    http_client(&t);
    http_ask(&t, "");
    http_ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\na");
    CHECK_INT(t.ends, 0);
    test_framing_feed_text(&t, response);
    CHECK_TEXT(http_meta(&t, 0, "version"), "1.0");
    check_response(&t, 1);
    test_framing_close(&t);
}

TEST(interim_responses_are_dropped_unless_they_were_asked_for)
{
    static const char interim[] = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    struct test_framing t;
    http_client(&t);
    http_ask(&t, "");
    test_framing_feed_text(&t, interim);
    CHECK_INT(t.count, 0);
    test_framing_feed_text(&t, response);
    check_response(&t, 0);
    CHECK_INT(http_send_with(&t, "", FIRST, "expect=100-continue"), 0);
    test_framing_feed_text(&t, interim);
    CHECK_INT(t.count, 2);
    CHECK_TEXT(http_meta(&t, 1, "status"), "100");
    CHECK_INT(http_send_with(&t, "body", LAST, ""), 0);
    test_framing_feed_text(&t, response);
    check_response(&t, 2);
    test_framing_close(&t);
    test_framing_open_text(&t, "http:interim=deliver", false);
    http_ask(&t, "");
    test_framing_feed_text(&t, interim);
    CHECK_INT(t.count, 2);
    CHECK_TEXT(http_meta(&t, 0, "link"), "x");
    test_framing_close(&t);
}

/* proves IMPL-18 */
TEST(after_101_bytes_pass_both_ways)
{
    struct test_framing t;
    http_client(&t);
    http_ask(&t, "Upgrade=echo\nConnection=Upgrade");
    CHECK_INT(http_send_with(&t, "waits", WHOLE, ""), 0);
    CHECK(test_framing_wrote_text(&t, "")); /* it may be echo's, or HTTP's */
    test_framing_feed_text(&t, "HTTP/1.1 101 Switching\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nGET it");
    CHECK_TEXT(http_meta(&t, 0, "status"), "101");
    CHECK(test_framing_got_text(&t, 0, ""));
    CHECK(test_framing_wrote_text(&t, "waits"));
    CHECK_INT(t.count, 2);
    CHECK(t.messages[1].length == 6 && memcmp(t.messages[1].data, "GET it", 6) == 0);
    CHECK_INT(test_framing_send_text(&t, "raw"), 0);
    CHECK(test_framing_wrote_text(&t, "raw"));
    test_framing_close(&t);
}

TEST(an_upgrade_that_is_not_taken_goes_on_as_http)
{
    struct test_framing t;
    http_client(&t);
    http_ask(&t, "Upgrade=h2c\nConnection=Upgrade");
    CHECK_INT(http_send_with(&t, "", WHOLE, ""), 0);
    CHECK(test_framing_wrote_text(&t, ""));
    test_framing_feed_text(&t, response);
    check_response(&t, 0);
    CHECK(test_framing_wrote_text(&t, "GET / HTTP/1.1\r\nHost: peer.example\r\n\r\n"));
    test_framing_close(&t);
}

TEST(connect_makes_a_tunnel)
{
    struct test_framing t;
    http_client(&t);
    CHECK_INT(http_send_with(&t, "", WHOLE, "method=CONNECT\ntarget=other.example:443"), 0);
    CHECK(test_framing_wrote_text(&t, "CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n"));
    test_framing_feed_text(&t, "HTTP/1.1 200 Fine\r\nContent-Length: 9\r\n\r\nbytes");
    CHECK_TEXT(http_meta(&t, 0, "status"), "200");
    CHECK_INT(t.count, 2);
    CHECK_INT(test_framing_send_text(&t, "raw"), 0);
    CHECK(test_framing_wrote_text(&t, "raw"));
    test_framing_close(&t);
}

TEST(requests_over_the_limit_wait_for_responses)
{
    struct test_framing t;
    test_framing_open_text(&t, "http:pipeline-maximum=2", false);
    for (int i = 0; i < 4; i++)
        CHECK_INT(http_send_with(&t, "", WHOLE, "method=OPTIONS\nhost=h\ntarget=*"), 0);
    CHECK(test_framing_wrote_text(&t, "OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\nOPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n"));
    test_framing_feed_text(&t, response);
    CHECK(test_framing_wrote_text(&t, "OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n"));
    test_framing_feed_text(&t, response);
    CHECK(test_framing_wrote_text(&t, "OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n"));
    CHECK_INT(t.count, 2);
    test_framing_close(&t);
}

TEST(responses_are_matched_with_the_methods_of_their_requests)
{
    struct test_framing t;
    http_client(&t);
    for (int round = 0; round < 300; round++) {
        http_ask(&t, round % 3 ? "" : "method=HEAD");
        http_ask(&t, round % 3 ? "method=HEAD" : "");
        for (int i = 0; i < 2; i++) {
            bool head = (round % 3 == 0) == (i == 0);
            t.count = 0;
            free(t.messages[0].data);
            tapsi_meta_unref(t.messages[0].meta);
            memset(&t.messages[0], 0, sizeof(t.messages[0]));
            test_framing_feed_text(&t, head ? "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" : response);
            CHECK(test_framing_got_text(&t, 0, head ? "" : "hello"));
        }
    }
    CHECK_INT(t.closed, 0);
    test_framing_close(&t);
}

TEST(a_server_that_ends_too_early_is_an_error)
{
    static const char *const texts[] = {
        "",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct test_framing t;
        http_client(&t);
        http_ask(&t, "");
        test_framing_feed_text(&t, texts[i]);
        test_framing_end(&t);
        if (!test_framing_failed(&t, TAPS_E_TRUNCATED) || (t.count && t.messages[0].complete))
            tapsi_test_fail(__FILE__, __LINE__, "row %zu: %u, %s", i, t.closed, t.error.text);
        test_framing_close(&t);
    }
}

TEST(hostile_servers_end_the_connection_with_a_reason)
{
    static const struct {
        const char *ask, *text, *why;
    } rows[] = {
        {NULL, "HTTP/1.1 200 OK\r\n\r\n", "nobody asked for"},
        {"", "HTTP/1.1 101 Switching\r\n\r\n", "nobody asked for"},
        {"Upgrade=x", "HTTP/1.1 101 Switching\r\n\r\n", "nobody asked for"},
        {"", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "both"},
        {"", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "differ"},
        {"", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "below 2^63"},
        {"", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n", "body-maximum"},
        {"", "HTTP/1.1 200 OK\r\nContent-Length: 16777217\r\n\r\n", "body-maximum"},
        {"", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000001\r\n", "body-maximum"},
        {"", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1000000\r\n", "body-maximum"},
        {"", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n", "body-maximum"},
        {"", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "2^63"},
        {"", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "where its size says"},
        {"", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello", "without a size"},
        {"", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n", "white space"},
        {"", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n", "CR LF"},
        {"", "SSH-2.0-OpenSSH_9.2\r\n", "not HTTP/1"},
        {"", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", "empty lines"},
        {"", "\rHTTP/1.1 200 OK\r\n\r\n", "empty lines"},
        {"", "HTTP/1.1 200 OK\n\n", "CR LF"},
        {"method=CONNECT\ntarget=a:1", "HTTP/1.1 101 Switching\r\n\r\n", "nobody asked for"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t step = 1; step < 200; step += 100) {
            struct test_framing t;
            http_client(&t);
            if (rows[i].ask)
                http_ask(&t, rows[i].ask);
            test_framing_feed_split(&t, rows[i].text, strlen(rows[i].text), step);
            if (!http_says(&t, rows[i].why) || (t.count && t.messages[0].complete))
                tapsi_test_fail(__FILE__, __LINE__, "row %zu: %u, %s", i, t.closed, t.error.text);
            CHECK_INT(t.out_length, 0); /* a client has nothing to say to that */
            test_framing_close(&t);
        }
    }
}

/* `count` times `text` comes, until the Connection has ended; returns how often. */
static int repeat(struct test_framing *t, const char *text, int count)
{
    int i = 0;
    while (i < count && t->closed == 0) {
        test_framing_feed_text(t, text);
        i++;
    }
    return i;
}

TEST(endless_heads_and_bodies_have_an_end)
{
    struct test_framing t;
    test_framing_open_text(&t, "http:head-maximum=1k,fields-maximum=20,body-maximum=1000", false);
    http_ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\n");
    CHECK(repeat(&t, "X: y0123456789012345678901234567890123456789012345678901234567890123456789\r\n", 100) < 20);
    CHECK(http_says(&t, "head-maximum"));
    test_framing_close(&t);
    test_framing_open_text(&t, "http:head-maximum=1k,fields-maximum=20,body-maximum=1000", false);
    http_ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\n");
    repeat(&t, "X: y\r\n", 21);
    test_framing_feed_text(&t, "\r\n");
    CHECK(http_says(&t, "more fields"));
    test_framing_close(&t);
    test_framing_open_text(&t, "http:head-maximum=1k,fields-maximum=20,body-maximum=1000", false);
    http_ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\n\r\n");
    CHECK_INT(repeat(&t, "0123456789", 1000), 101);
    CHECK(http_says(&t, "body-maximum"));
    test_framing_close(&t);
    test_framing_open_text(&t, "http:head-maximum=1k,fields-maximum=20,body-maximum=1000", false);
    http_ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    repeat(&t, "X: y\r\n", 21);
    test_framing_feed_text(&t, "\r\n");
    CHECK(http_says(&t, "more fields"));
    test_framing_close(&t);
}

TEST(endless_extensions_have_an_end)
{
    char chunk[300];
    struct test_framing t;
    http_client(&t);
    http_ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    snprintf(chunk, sizeof(chunk), "1;%0200d\r\na\r\n", 0);
    CHECK(repeat(&t, chunk, 1000) < 100);
    CHECK(http_says(&t, "extensions"));
    test_framing_close(&t);
    http_client(&t);
    http_ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;");
    CHECK(repeat(&t, "0123456789", 1000) < 30);
    CHECK(http_says(&t, "extensions"));
    test_framing_close(&t);
    http_client(&t); /* but chunks of one byte are only a waste */
    http_ask(&t, "");
    t.keeps = false;
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    CHECK_INT(repeat(&t, "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n1\r\nd\r\n", 5000), 5000);
    CHECK_INT(t.bytes, 20000);
    test_framing_close(&t);
}

TEST(a_large_head_is_not_kept)
{
    static char head[40000];
    struct test_framing t;
    http_server(&t);
    for (int i = 0; i < 2; i++) {
        snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: a\r\nX: %030000d\r\n\r\n", i);
        test_framing_feed_split(&t, head, strlen(head), 1000);
        const struct tapsi_http_state *s = taps_framing_state(tapsi_adapter_of(t.top)->framing);
        CHECK(s->receiving.text_size <= 4096);
        CHECK_INT(strlen(http_meta(&t, (size_t)i, "x")), 30000);
    }
    test_framing_close(&t);
}

TEST(an_unlimited_body_flows)
{
    static char piece[65536];
    struct test_framing t;
    test_framing_open_text(&t, "http:body-maximum=unlimited", false);
    http_ask(&t, "");
    t.keeps = false;
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n");
    for (int i = 0; i < 1000; i++)
        test_framing_feed(&t, piece, sizeof(piece));
    CHECK_INT(t.bytes, 65536000);
    CHECK_INT(t.closed, 0);
    test_framing_close(&t);
}
