#include "message/framer_http.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/test.h"
#include "stack/framer/test_framing.h"

#define WHOLE TAPSI_OP_END
#define FIRST 0
#define MORE  TAPSI_OP_CONTINUES
#define LAST  (TAPSI_OP_CONTINUES | TAPSI_OP_END)
#define FINAL TAPSI_OP_FINAL

static void client(struct test_framing *t)
{
    test_framing_open_text(t, "http", false);
}

static void server(struct test_framing *t)
{
    test_framing_open_text(t, "http", true);
}

/* `words`: "key=value" with newlines between. */
static int send_with(struct test_framing *t, const char *body, unsigned flags, const char *words)
{
    struct tapsi_meta *meta = NULL;
    char *copy = strdup(words), *next = copy, *line;
    while ((line = strsep(&next, "\n")) && *line) {
        char *value = strchr(line, '=');
        *value++ = '\0';
        CHECK_INT(tapsi_meta_add(&meta, &t->mem, "http", line, value), 0);
    }
    int err = test_framing_send(t, body, strlen(body), flags, meta);
    tapsi_meta_unref(meta);
    free(copy);
    return err;
}

static const char *meta(const struct test_framing *t, size_t index, const char *key)
{
    return test_framing_meta(t, index, "http", key);
}

static void ask(struct test_framing *t, const char *words)
{
    CHECK_INT(send_with(t, "", WHOLE, words), 0);
    test_framing_forget(t);
}

/* A server with one request to answer: `line` and fields. */
static void asked(struct test_framing *t, const char *head)
{
    server(t);
    test_framing_feed_text(t, head);
    CHECK_INT(t->count, 1);
}

static bool says(const struct test_framing *t, const char *words)
{
    return test_framing_failed(t, TAPS_E_DEFRAMING) && strstr(t->error.text, words);
}

/* --------------------------------------------------------------------------------------------- a client sends */

/* proves API-131 */
TEST(a_message_without_bytes_is_a_get)
{
    struct test_framing t;
    client(&t);
    CHECK_INT(send_with(&t, "", WHOLE, ""), 0);
    CHECK(test_framing_wrote_text(&t, "GET / HTTP/1.1\r\nHost: peer.example\r\n\r\n"));
    CHECK_INT(send_with(&t, "", WHOLE, "target=/a?b\nAccept=text/html\nAccept=x/y\nmethod=DELETE"), 0);
    CHECK(test_framing_wrote_text(
        &t, "DELETE /a?b HTTP/1.1\r\nHost: peer.example\r\nAccept: text/html\r\nAccept: x/y\r\n\r\n"));
    CHECK(!t.final_out);
    test_framing_close(&t);
}

TEST(a_message_with_bytes_is_a_post_with_their_length)
{
    struct test_framing t;
    client(&t);
    CHECK_INT(send_with(&t, "hello", WHOLE, "content-type=text/plain"), 0);
    CHECK(test_framing_wrote_text(&t, "POST / HTTP/1.1\r\nHost: peer.example\r\ncontent-type: text/plain\r\n"
                                      "Content-Length: 5\r\n\r\nhello"));
    CHECK_INT(send_with(&t, "", WHOLE, "method=PUT"), 0);
    CHECK(test_framing_wrote_text(&t, "PUT / HTTP/1.1\r\nHost: peer.example\r\nContent-Length: 0\r\n\r\n"));
    CHECK_INT(send_with(&t, "abc", WHOLE, "content-length=3"), 0);
    CHECK(test_framing_wrote_text(&t, "POST / HTTP/1.1\r\nHost: peer.example\r\nContent-Length: 3\r\n\r\nabc"));
    test_framing_close(&t);
}

/* proves API-112 */
TEST(parts_are_chunks)
{
    struct test_framing t;
    client(&t);
    CHECK_INT(send_with(&t, "", FIRST, "target=/up"), 0);
    CHECK(test_framing_wrote_text(&t, "POST /up HTTP/1.1\r\nHost: peer.example\r\nTransfer-Encoding: chunked\r\n\r\n"));
    CHECK_INT(send_with(&t, "0123456789abcdef", MORE, ""), 0);
    CHECK(test_framing_wrote_text(&t, "10\r\n0123456789abcdef\r\n"));
    CHECK_INT(send_with(&t, "", MORE, ""), 0); /* would be the end, were it a chunk */
    CHECK(test_framing_wrote_text(&t, ""));
    CHECK_INT(send_with(&t, "xyz", LAST, ""), 0);
    CHECK(test_framing_wrote_text(&t, "3\r\nxyz\r\n0\r\n\r\n"));
    CHECK_INT(send_with(&t, "x", FIRST, ""), 0);
    test_framing_forget(&t);
    CHECK_INT(send_with(&t, "", LAST, "trailer:X-Sum=1\nignored=2\ntrailer:X-Two=b"), 0);
    CHECK(test_framing_wrote_text(&t, "0\r\nX-Sum: 1\r\nX-Two: b\r\n\r\n"));
    CHECK_INT(send_with(&t, "whole", WHOLE, "transfer-encoding=chunked\ntrailer:A=1"), 0);
    CHECK(test_framing_wrote_text(&t, "POST / HTTP/1.1\r\nHost: peer.example\r\nTransfer-Encoding: chunked\r\n\r\n"
                                      "5\r\nwhole\r\n0\r\nA: 1\r\n\r\n"));
    test_framing_close(&t);
}

TEST(parts_of_a_length_that_was_said_are_checked)
{
    struct test_framing t;
    client(&t);
    CHECK_INT(send_with(&t, "ab", FIRST, "content-length=5"), 0);
    CHECK(test_framing_wrote_text(&t, "POST / HTTP/1.1\r\nHost: peer.example\r\nContent-Length: 5\r\n\r\nab"));
    CHECK_INT(send_with(&t, "cdef", MORE, ""), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_with(&t, "cd", LAST, ""), TAPS_E_MESSAGE_PROPERTIES);
    CHECK(test_framing_wrote_text(&t, ""));
    CHECK_INT(send_with(&t, "cd", MORE, ""), 0);
    CHECK_INT(send_with(&t, "e", LAST, ""), 0);
    CHECK(test_framing_wrote_text(&t, "cde"));
    CHECK_INT(send_with(&t, "", LAST, ""), TAPS_E_MESSAGE_PROPERTIES); /* of what? */
    test_framing_close(&t);
}

TEST(the_last_request_says_close_and_no_fin_follows)
{
    struct test_framing t;
    client(&t);
    CHECK_INT(send_with(&t, "", WHOLE | FINAL, ""), 0);
    CHECK(test_framing_wrote_text(&t, "GET / HTTP/1.1\r\nHost: peer.example\r\nConnection: close\r\n\r\n"));
    CHECK(!t.final_out);
    CHECK_INT(send_with(&t, "", WHOLE, ""), TAPS_E_CLOSED);
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    CHECK(test_framing_got_text(&t, 0, "ok"));
    CHECK_INT(t.ends, 1);
    CHECK(t.closed_below); /* both directions have ended in the words of HTTP */
    test_framing_close(&t);
}

TEST(close_that_the_application_says_is_said_once)
{
    struct test_framing t;
    client(&t);
    CHECK_INT(send_with(&t, "", WHOLE, "Connection=Close"), 0);
    CHECK(test_framing_wrote_text(&t, "GET / HTTP/1.1\r\nHost: peer.example\r\nConnection: Close\r\n\r\n"));
    CHECK_INT(send_with(&t, "", WHOLE, ""), TAPS_E_CLOSED);
    test_framing_close(&t);
}

TEST(host_is_what_was_asked_for)
{
    struct test_framing t;
    client(&t);
    CHECK_INT(send_with(&t, "", WHOLE, "Host=other.example:8080"), 0);
    CHECK(test_framing_wrote_text(&t, "GET / HTTP/1.1\r\nHost: other.example:8080\r\n\r\n"));
    test_framing_close(&t);
    test_framing_open_text(&t, "http:host=virtual.example,target=/from/options", false);
    CHECK_INT(send_with(&t, "", WHOLE, ""), 0);
    CHECK(test_framing_wrote_text(&t, "GET /from/options HTTP/1.1\r\nHost: virtual.example\r\n\r\n"));
    test_framing_close(&t);
}

TEST(a_head_may_be_long)
{
    struct test_framing t;
    char words[3000], wanted[4000];
    for (size_t length = 900; length < 2900; length += 37) {
        client(&t);
        snprintf(words, sizeof(words), "x=%0*d", (int)length, 1);
        snprintf(wanted, sizeof(wanted),
                 "POST / HTTP/1.1\r\nHost: peer.example\r\nx: %0*d\r\nContent-Length: 3\r\n\r\nabc", (int)length, 1);
        CHECK_INT(send_with(&t, "abc", WHOLE, words), 0);
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
    client(&t);
    while ((line = strsep(&next, "\n"))) {
        int err = send_with(&t, "", WHOLE, line);
        if (err != TAPS_E_MESSAGE_PROPERTIES)
            tapsi_test_fail(__FILE__, __LINE__, "'%s': %d", line, err);
    }
    CHECK_INT(send_with(&t, "abc", WHOLE, "content-length=4"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_with(&t, "abc", WHOLE, "content-length=3\nContent-Length=4"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_with(&t, "abc", WHOLE, "content-length=3\ntransfer-encoding=chunked"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_with(&t, "abc", WHOLE, "method=CONNECT\ntarget=a:1"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_with(&t, "", WHOLE, "host=a\nHost=b"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_with(&t, "", WHOLE, "method=CONNECT\ntarget=/a"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK(test_framing_wrote_text(&t, ""));
    CHECK_INT(send_with(&t, "", WHOLE, ""), 0); /* the Connection is as it was */
    CHECK(test_framing_wrote_text(&t, "GET / HTTP/1.1\r\nHost: peer.example\r\n\r\n"));
    free(copy);
    test_framing_close(&t);
}

TEST(a_newline_in_a_value_is_refused)
{
    struct test_framing t;
    struct tapsi_meta *m = NULL;
    client(&t);
    CHECK_INT(tapsi_meta_add(&m, &t.mem, "http", "x", "a\r\nEvil: yes"), 0);
    CHECK_INT(test_framing_send(&t, "", 0, WHOLE, m), TAPS_E_MESSAGE_PROPERTIES);
    tapsi_meta_unref(m);
    CHECK(test_framing_wrote_text(&t, ""));
    test_framing_close(&t);
}

TEST(words_of_the_other_direction_are_passed_over)
{
    struct test_framing t;
    client(&t);
    CHECK_INT(send_with(&t, "", WHOLE, "status=200\nreason=OK\nversion=1.0\nfield:status=2"), 0);
    CHECK(test_framing_wrote_text(&t, "GET / HTTP/1.1\r\nHost: peer.example\r\nstatus: 2\r\n\r\n"));
    test_framing_close(&t);
}

/* ------------------------------------------------------------------------------------------- a client receives */

static const char response[] =
    "HTTP/1.1 200 Very OK\r\nContent-Length: 5\r\nX-One: 1\r\nx-one: 2\r\nStatus: 7\r\n\r\nhello";

static void check_response(const struct test_framing *t, size_t index)
{
    CHECK(test_framing_got_text(t, index, "hello"));
    CHECK_TEXT(meta(t, index, "status"), "200");
    CHECK_TEXT(meta(t, index, "reason"), "Very OK");
    CHECK_TEXT(meta(t, index, "version"), "1.1");
    CHECK_TEXT(meta(t, index, "x-one"), "1");
    CHECK_TEXT(meta(t, index, "content-length"), "5");
    CHECK_TEXT(meta(t, index, "field:status"), "7");
}

/* proves API-131 */
TEST(a_response_is_a_message_with_its_head_beside)
{
    struct test_framing t;
    for (size_t step = 1; step <= sizeof(response); step++) {
        client(&t);
        ask(&t, "");
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
    client(&t);
    for (int i = 0; i < 2; i++)
        ask(&t, "");
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
        client(&t);
        ask(&t, "");
        test_framing_feed_split(&t, chunked, strlen(chunked), step);
        CHECK_INT(t.count, 1);
        CHECK(test_framing_got_text(&t, 0, "hello, chunks"));
        CHECK_TEXT(meta(&t, 0, "status"), "200");
        CHECK_TEXT(meta(&t, 0, "trailer:x-sum"), "9");
        CHECK_TEXT(meta(&t, 0, "trailer:status"), "1");
        CHECK(!meta(&t, 0, "x-sum"));
        test_framing_close(&t);
    }
}

TEST(a_response_without_a_length_goes_to_the_end)
{
    static const char text[] = "HTTP/1.1 200 OK\r\n\r\nall that comes";
    struct test_framing t;
    for (size_t step = 1; step <= sizeof(text); step++) {
        client(&t);
        ask(&t, "");
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
        client(&t);
        ask(&t, rows[i].ask);
        ask(&t, "");
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
            client(&t);
            ask(&t, "");
            test_framing_feed_split(&t, texts[i], strlen(texts[i]), step);
            CHECK(test_framing_got_text(&t, 0, "last"));
            CHECK_INT(t.ends, 1);
            CHECK_INT(send_with(&t, "", WHOLE, ""), TAPS_E_CLOSED);
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
    client(&t);
    ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    CHECK(test_framing_got_text(&t, 0, ""));
    CHECK_TEXT(meta(&t, 0, "status"), "404");
    CHECK_INT(t.ends, 1);
    test_framing_close(&t);
}

TEST(http_1_0_may_be_kept_alive)
{
    struct test_framing t;
    client(&t);
    ask(&t, "");
    ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\na");
    CHECK_INT(t.ends, 0);
    test_framing_feed_text(&t, response);
    CHECK_TEXT(meta(&t, 0, "version"), "1.0");
    check_response(&t, 1);
    test_framing_close(&t);
}

TEST(interim_responses_are_dropped_unless_they_were_asked_for)
{
    static const char interim[] = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    struct test_framing t;
    client(&t);
    ask(&t, "");
    test_framing_feed_text(&t, interim);
    CHECK_INT(t.count, 0);
    test_framing_feed_text(&t, response);
    check_response(&t, 0);
    CHECK_INT(send_with(&t, "", FIRST, "expect=100-continue"), 0);
    test_framing_feed_text(&t, interim);
    CHECK_INT(t.count, 2);
    CHECK_TEXT(meta(&t, 1, "status"), "100");
    CHECK_INT(send_with(&t, "body", LAST, ""), 0);
    test_framing_feed_text(&t, response);
    check_response(&t, 2);
    test_framing_close(&t);
    test_framing_open_text(&t, "http:interim=deliver", false);
    ask(&t, "");
    test_framing_feed_text(&t, interim);
    CHECK_INT(t.count, 2);
    CHECK_TEXT(meta(&t, 0, "link"), "x");
    test_framing_close(&t);
}

/* proves IMPL-18 */
TEST(after_101_bytes_pass_both_ways)
{
    struct test_framing t;
    client(&t);
    ask(&t, "Upgrade=echo\nConnection=Upgrade");
    CHECK_INT(send_with(&t, "waits", WHOLE, ""), 0);
    CHECK(test_framing_wrote_text(&t, "")); /* it may be echo's, or HTTP's */
    test_framing_feed_text(&t, "HTTP/1.1 101 Switching\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nGET it");
    CHECK_TEXT(meta(&t, 0, "status"), "101");
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
    client(&t);
    ask(&t, "Upgrade=h2c\nConnection=Upgrade");
    CHECK_INT(send_with(&t, "", WHOLE, ""), 0);
    CHECK(test_framing_wrote_text(&t, ""));
    test_framing_feed_text(&t, response);
    check_response(&t, 0);
    CHECK(test_framing_wrote_text(&t, "GET / HTTP/1.1\r\nHost: peer.example\r\n\r\n"));
    test_framing_close(&t);
}

TEST(connect_makes_a_tunnel)
{
    struct test_framing t;
    client(&t);
    CHECK_INT(send_with(&t, "", WHOLE, "method=CONNECT\ntarget=other.example:443"), 0);
    CHECK(test_framing_wrote_text(&t, "CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n"));
    test_framing_feed_text(&t, "HTTP/1.1 200 Fine\r\nContent-Length: 9\r\n\r\nbytes");
    CHECK_TEXT(meta(&t, 0, "status"), "200");
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
        CHECK_INT(send_with(&t, "", WHOLE, "method=OPTIONS\nhost=h\ntarget=*"), 0);
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
    client(&t);
    for (int round = 0; round < 300; round++) {
        ask(&t, round % 3 ? "" : "method=HEAD");
        ask(&t, round % 3 ? "method=HEAD" : "");
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
        client(&t);
        ask(&t, "");
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
            client(&t);
            if (rows[i].ask)
                ask(&t, rows[i].ask);
            test_framing_feed_split(&t, rows[i].text, strlen(rows[i].text), step);
            if (!says(&t, rows[i].why) || (t.count && t.messages[0].complete))
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
    ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\n");
    CHECK(repeat(&t, "X: y0123456789012345678901234567890123456789012345678901234567890123456789\r\n", 100) < 20);
    CHECK(says(&t, "head-maximum"));
    test_framing_close(&t);
    test_framing_open_text(&t, "http:head-maximum=1k,fields-maximum=20,body-maximum=1000", false);
    ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\n");
    repeat(&t, "X: y\r\n", 21);
    test_framing_feed_text(&t, "\r\n");
    CHECK(says(&t, "more fields"));
    test_framing_close(&t);
    test_framing_open_text(&t, "http:head-maximum=1k,fields-maximum=20,body-maximum=1000", false);
    ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\n\r\n");
    CHECK_INT(repeat(&t, "0123456789", 1000), 101);
    CHECK(says(&t, "body-maximum"));
    test_framing_close(&t);
    test_framing_open_text(&t, "http:head-maximum=1k,fields-maximum=20,body-maximum=1000", false);
    ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    repeat(&t, "X: y\r\n", 21);
    test_framing_feed_text(&t, "\r\n");
    CHECK(says(&t, "more fields"));
    test_framing_close(&t);
}

TEST(endless_extensions_have_an_end)
{
    char chunk[300];
    struct test_framing t;
    client(&t);
    ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    snprintf(chunk, sizeof(chunk), "1;%0200d\r\na\r\n", 0);
    CHECK(repeat(&t, chunk, 1000) < 100);
    CHECK(says(&t, "extensions"));
    test_framing_close(&t);
    client(&t);
    ask(&t, "");
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;");
    CHECK(repeat(&t, "0123456789", 1000) < 30);
    CHECK(says(&t, "extensions"));
    test_framing_close(&t);
    client(&t); /* but chunks of one byte are only a waste */
    ask(&t, "");
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
    server(&t);
    for (int i = 0; i < 2; i++) {
        snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: a\r\nX: %030000d\r\n\r\n", i);
        test_framing_feed_split(&t, head, strlen(head), 1000);
        const struct tapsi_http_state *s = taps_framing_state(tapsi_adapter_of(t.top)->framing);
        CHECK(s->receiving.text_size <= 4096);
        CHECK_INT(strlen(meta(&t, (size_t)i, "x")), 30000);
    }
    test_framing_close(&t);
}

TEST(an_unlimited_body_flows)
{
    static char piece[65536];
    struct test_framing t;
    test_framing_open_text(&t, "http:body-maximum=unlimited", false);
    ask(&t, "");
    t.keeps = false;
    test_framing_feed_text(&t, "HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n");
    for (int i = 0; i < 1000; i++)
        test_framing_feed(&t, piece, sizeof(piece));
    CHECK_INT(t.bytes, 65536000);
    CHECK_INT(t.closed, 0);
    test_framing_close(&t);
}

/* --------------------------------------------------------------------------------------------- a server receives */

static const char request[] = "POST /form?x HTTP/1.1\r\nHost: a.example\r\nX: y\r\nContent-Length: 5\r\n\r\nhello";

TEST(a_request_is_a_message_with_its_head_beside)
{
    struct test_framing t;
    for (size_t step = 1; step <= sizeof(request); step++) {
        server(&t);
        test_framing_feed_split(&t, request, strlen(request), step);
        test_framing_feed_text(&t, "\r\n"); /* some clients send one too many */
        test_framing_feed_split(&t, request, strlen(request), step);
        CHECK_INT(t.count, 2);
        for (size_t i = 0; i < 2; i++) {
            CHECK(test_framing_got_text(&t, i, "hello"));
            CHECK_TEXT(meta(&t, i, "method"), "POST");
            CHECK_TEXT(meta(&t, i, "target"), "/form?x");
            CHECK_TEXT(meta(&t, i, "version"), "1.1");
            CHECK_TEXT(meta(&t, i, "host"), "a.example");
            CHECK(!meta(&t, i, "status"));
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
        asked(&t, heads[i]);
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
    server(&t);
    test_framing_feed_text(&t, head);
    CHECK(test_framing_wrote_text(&t, "HTTP/1.1 100 Continue\r\n\r\n"));
    test_framing_feed_text(&t, "hello");
    CHECK(test_framing_got_text(&t, 0, "hello"));
    test_framing_feed_text(&t, head); /* behind a request that has no answer yet */
    CHECK(test_framing_wrote_text(&t, ""));
    CHECK_INT(test_framing_send_text(&t, "one"), 0);
    CHECK(test_framing_wrote_text(&t, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 100 Continue\r\n\r\n"));
    test_framing_close(&t);
    server(&t); /* the body is here already */
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
        server(&t);
        test_framing_feed_text(&t, rows[i].text);
        if (!says(&t, rows[i].why))
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
    asked(&t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    test_framing_feed_text(&t, "nonsense\r\n\r\n");
    CHECK(says(&t, "method"));
    CHECK(test_framing_wrote_text(&t, ""));
    test_framing_close(&t);
}

TEST(a_name_that_is_too_long_is_refused)
{
    char name[400];
    struct test_framing t;
    memset(name, 'a', sizeof(name));
    server(&t);
    test_framing_feed_text(&t, "GET / HTTP/1.1\r\nHost: a\r\n");
    test_framing_feed(&t, name, 257);
    test_framing_feed_text(&t, ": b\r\n\r\n");
    CHECK(says(&t, "name is longer"));
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
        asked(&t, rows[i].request);
        CHECK_INT(send_with(&t, rows[i].body, WHOLE, rows[i].words), 0);
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
        server(&t);
        if (rows[i].request)
            test_framing_feed_text(&t, rows[i].request);
        int err = send_with(&t, rows[i].body, WHOLE, rows[i].words);
        if (err != TAPS_E_MESSAGE_PROPERTIES || t.out_length)
            tapsi_test_fail(__FILE__, __LINE__, "row %zu: %d", i, err);
        test_framing_close(&t);
    }
}

TEST(a_response_in_parts_is_what_the_client_understands)
{
    struct test_framing t;
    asked(&t, get);
    CHECK_INT(send_with(&t, "one", FIRST, ""), 0);
    CHECK_INT(send_with(&t, "two", LAST, ""), 0);
    CHECK(test_framing_wrote_text(
        &t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"));
    test_framing_close(&t);
    asked(&t, old_kept);
    CHECK_INT(send_with(&t, "one", FIRST, ""), 0);
    CHECK_INT(send_with(&t, "two", LAST, ""), 0);
    CHECK(test_framing_wrote_text(&t, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nonetwo"));
    CHECK_INT(test_framing_send_text(&t, "more"), TAPS_E_CLOSED); /* only a Close ends that one */
    test_framing_close(&t);
    asked(&t, head_request);
    CHECK_INT(send_with(&t, "one", FIRST, ""), 0);
    CHECK_INT(send_with(&t, "two", LAST, ""), 0);
    CHECK(test_framing_wrote_text(&t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
    test_framing_close(&t);
}

TEST(interim_responses_answer_nothing)
{
    struct test_framing t;
    asked(&t, get);
    CHECK_INT(send_with(&t, "", WHOLE, "status=103\nLink=x"), 0);
    CHECK_INT(test_framing_send_text(&t, "a"), 0);
    CHECK(test_framing_wrote_text(
        &t, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"));
    CHECK_INT(test_framing_send_text(&t, "b"), TAPS_E_MESSAGE_PROPERTIES);
    test_framing_close(&t);
}

TEST(a_server_changes_protocols)
{
    struct test_framing t;
    server(&t);
    test_framing_feed_text(&t, upgrade);
    test_framing_feed_text(&t, "early");
    CHECK_INT(t.count, 1);
    CHECK_INT(send_with(&t, "", WHOLE, "status=101\nConnection=Upgrade\nUpgrade=echo"), 0);
    CHECK(test_framing_wrote_text(&t,
                                  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"));
    CHECK_INT(t.count, 2);
    CHECK(t.messages[1].length == 5 && memcmp(t.messages[1].data, "early", 5) == 0);
    CHECK_INT(test_framing_send_text(&t, "raw"), 0);
    CHECK(test_framing_wrote_text(&t, "raw"));
    test_framing_close(&t);
    server(&t); /* or it does not */
    test_framing_feed_text(&t, upgrade);
    test_framing_feed_text(&t, get);
    CHECK_INT(t.count, 1);
    CHECK_INT(test_framing_send_text(&t, "a"), 0);
    CHECK_INT(t.count, 2);
    test_framing_close(&t);
    asked(&t, connect_request);
    CHECK_INT(send_with(&t, "", WHOLE, ""), 0);
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
    asked(&t, get);
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
