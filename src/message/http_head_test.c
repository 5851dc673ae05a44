#include "message/http_head.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/test.h"

/* A head of its own memory, so that a sanitizer sees what is read or written beyond it. */
struct parsed {
    char *text;
    size_t length;
    int err;
    struct tapsi_http_head head;
    struct tapsi_http_fault fault;
};

static struct parsed parse_bytes(const char *bytes, size_t length, bool response, size_t fields_max)
{
    struct parsed p = {.text = malloc(length), .length = length};
    size_t scanned = 0, end = 0;
    memcpy(p.text, bytes, length);
    p.err = tapsi_http_head_end((const uint8_t *)p.text, length, &scanned, &end);
    if (p.err < 0) {
        p.fault = (struct tapsi_http_fault){"a line that ends without CR", 400};
        return p;
    }
    CHECK_INT(p.err, 1);
    CHECK_INT(end, length);
    p.err = tapsi_http_head_parse(p.text, length, response, fields_max, &p.head, &p.fault);
    return p;
}

static struct parsed parse(const char *text, bool response)
{
    return parse_bytes(text, strlen(text), response, 128);
}

static const char *field(const struct tapsi_http_fields *fields, const char *wanted)
{
    const char *name = NULL, *value = NULL;
    while (tapsi_http_fields_next(fields, &name, &value)) {
        if (strcmp(name, wanted) == 0)
            return value;
    }
    return NULL;
}

TEST(a_request_is_read)
{
    struct parsed p = parse("PUT /a?b=%20 HTTP/1.1\r\nHost: example.com:8080\r\nX-One:1\r\nX-Two:  two words \t\r\n"
                            "Content-Length: 12\r\nEmpty:\r\n\r\n",
                            false);
    NEED(p.err == 0);
    CHECK_TEXT(p.head.method, "PUT");
    CHECK_TEXT(p.head.target, "/a?b=%20");
    CHECK(!p.head.reason && p.head.status == 0);
    CHECK_INT(p.head.minor, 1);
    CHECK_INT(p.head.fields.count, 5);
    CHECK_TEXT(field(&p.head.fields, "host"), "example.com:8080");
    CHECK_TEXT(field(&p.head.fields, "x-one"), "1");
    CHECK_TEXT(field(&p.head.fields, "x-two"), "two words");
    CHECK_TEXT(field(&p.head.fields, "empty"), "");
    CHECK(p.head.has_length && p.head.length == 12 && !p.head.chunked);
    CHECK(!p.head.close && !p.head.keep_alive && !p.head.upgrade && !p.head.expects_continue);
    free(p.text);
}

TEST(a_response_is_read)
{
    struct parsed p = parse("HTTP/1.0 404 Not  Found\r\nConnection: x, Keep-Alive\r\n\r\n", true);
    NEED(p.err == 0);
    CHECK(!p.head.method && !p.head.target);
    CHECK_INT(p.head.status, 404);
    CHECK_TEXT(p.head.reason, "Not  Found");
    CHECK_INT(p.head.minor, 0);
    CHECK(p.head.keep_alive && !p.head.close && !p.head.has_length);
    free(p.text);
}

TEST(a_reason_may_be_empty_or_missing)
{
    static const char *const texts[] = {"HTTP/1.1 299 \r\n\r\n", "HTTP/1.1 299\r\n\r\n"};
    for (size_t i = 0; i < 2; i++) {
        struct parsed p = parse(texts[i], true);
        CHECK_INT(p.err, 0);
        CHECK_INT(p.head.status, 299);
        CHECK_TEXT(p.head.reason, "");
        CHECK_INT(p.head.fields.count, 0);
        free(p.text);
    }
}

TEST(a_higher_minor_version_is_spoken_to_as_1_1)
{
    struct parsed p = parse("GET / HTTP/1.9\r\nHost: a\r\n\r\n", false);
    CHECK_INT(p.err, 0);
    CHECK_INT(p.head.minor, 1);
    free(p.text);
}

TEST(old_requests_need_no_host)
{
    struct parsed p = parse("GET / HTTP/1.0\r\n\r\n", false);
    CHECK_INT(p.err, 0);
    CHECK_INT(p.head.minor, 0);
    free(p.text);
}

TEST(the_fields_say_how_it_goes_on)
{
    struct parsed p = parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
                            "Expect: 100-Continue\r\nTransfer-Encoding: Chunked\r\n\r\n",
                            false);
    CHECK_INT(p.err, 0);
    CHECK(p.head.upgrade && p.head.close && p.head.expects_continue && p.head.chunked);
    free(p.text);
    p = parse("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgraded,keep\r\n\r\n", false);
    CHECK_INT(p.err, 0);
    CHECK(!p.head.upgrade); /* Connection does not name it */
    free(p.text);
    p = parse("GET / HTTP/1.0\r\nUpgrade: h2c\r\nConnection: upgrade\r\nExpect: 100-continue\r\n\r\n", false);
    CHECK_INT(p.err, 0);
    CHECK(!p.head.upgrade && !p.head.expects_continue); /* HTTP/1.0 has neither */
    free(p.text);
}

TEST(the_same_length_twice_is_one)
{
    static const char *const texts[] = {"Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 5, 5\r\n",
                                        "Content-Length: 5,005\r\n"};
    for (size_t i = 0; i < 3; i++) {
        char text[200];
        snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n", texts[i]);
        struct parsed p = parse(text, false);
        CHECK_INT(p.err, 0);
        CHECK_INT(p.head.length, 5);
        free(p.text);
    }
}

TEST(a_client_reads_a_folded_line_as_one_with_a_space)
{
    struct parsed p = parse("HTTP/1.1 200 OK\r\nX: one\r\n  two\r\n\tthree \r\nY: z\r\n\r\n", true);
    NEED(p.err == 0);
    CHECK_TEXT(field(&p.head.fields, "x"), "one two three");
    CHECK_TEXT(field(&p.head.fields, "y"), "z");
    free(p.text);
}

TEST(the_longest_length_is_below_2_to_the_63)
{
    uint64_t length = 77;
    CHECK_INT(tapsi_http_parse_length("9223372036854775807", &length), 0);
    CHECK(length == INT64_MAX);
    length = 77;
    CHECK_INT(tapsi_http_parse_length("9223372036854775808", &length), TAPS_E_RANGE);
    CHECK_INT(length, 77);
}

/* What another reader could understand otherwise, or is plainly wrong. */
TEST(hostile_requests_are_refused)
{
    static const struct {
        const char *head, *why;
        unsigned status;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
         "both a Content-Length and a Transfer-Encoding", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
         "both a Content-Length and a Transfer-Encoding", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
         "several Content-Lengths that differ", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\n",
         "a Content-Length that is not one number below 2^63", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", "a Content-Length that is not one number below 2^63",
         400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
         "a Content-Length that is not one number below 2^63", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
         "a Content-Length that is not one number below 2^63", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n",
         "a Content-Length that is not one number below 2^63", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\n",
         "a Content-Length that is not one number below 2^63", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n",
         "a Content-Length that is not one number below 2^63", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\n",
         "a Content-Length that is not one number below 2^63", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
         "a Transfer-Encoding that is not just \"chunked\"", 501},
        {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
         "a Transfer-Encoding that is not just \"chunked\"", 501},
        {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
         "a Transfer-Encoding that is not just \"chunked\"", 501},
        {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
         "a Transfer-Encoding that is not just \"chunked\"", 501},
        {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0b"
         "chunked\r\n\r\n",
         "a control character in a field's value", 400},
        {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "a Transfer-Encoding in HTTP/1.0", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
         "white space between a field's name and its colon", 400},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "white space between a field's name and its colon", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", "a folded line, where none may be", 400},
        {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "white space before the first field", 400},
        {"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", "a control character in a field's value", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: b\x7f\r\n\r\n", "a control character in a field's value", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", "a field without a name", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n", "a line without a colon among the fields", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX(Y): b\r\n\r\n", "a character in a field's name that none may have", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa4: b\r\n\r\n", "a character in a field's name that none may have", 400},
        {"GET / HTTP/1.1\r\n\r\n", "a request without a Host", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "more than one Host", 400},
        {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "a Host that is no name and no address", 400},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "a Host that is no name and no address", 400},
        {"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", "a Host that is no name and no address", 400},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "a version of HTTP that is not 1", 505},
        {"PRI * HTTP/2.0\r\n\r\n", "a version of HTTP that is not 1", 505},
        {"GET / http/1.1\r\nHost: a\r\n\r\n", "a first line that is none of HTTP/1", 400},
        {"GET / HTTP/1,1\r\nHost: a\r\n\r\n", "a first line that is none of HTTP/1", 400},
        {"GET / HTTP/11\r\nHost: a\r\n\r\n", "a request line that is not a method, a target and a version", 400},
        {"GET /\r\n\r\n", "a request line that is not a method, a target and a version", 400},
        {"GET\r\n\r\n", "a request that does not begin with a method", 400},
        {" GET / HTTP/1.1\r\n\r\n", "a request that does not begin with a method", 400},
        {"G@T / HTTP/1.1\r\n\r\n", "a request that does not begin with a method", 400},
        {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "a request line that is not a method, a target and a version", 400},
        {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "a request line that is not a method, a target and a version", 400},
        {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "a request line that is not a method, a target and a version", 400},
        {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "a request line that is not a method, a target and a version", 400},
        {"GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", "a request line that is not a method, a target and a version", 400},
        {"GET /\rX: HTTP/1.1\r\nHost: a\r\n\r\n", "a request line that is not a method, a target and a version", 400},
        {"GET / HTTP/1.1\nHost: a\r\n\r\n", "a line that ends without CR", 400},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", "a line that ends without CR", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n\n", "a line that ends without CR", 400},
        {"\n", "a line that ends without CR", 400},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct parsed p = parse(rows[i].head, false);
        if (p.err != TAPS_E_DEFRAMING || strcmp(p.fault.why, rows[i].why) != 0)
            tapsi_test_fail(__FILE__, __LINE__, "row %zu: %d, '%s'", i, p.err, p.err ? p.fault.why : "taken");
        else
            CHECK_INT(p.fault.status, rows[i].status);
        free(p.text);
    }
}

TEST(hostile_responses_are_refused)
{
    static const char *const rows[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n 5\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: deflate\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X: y\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",
        "HTTP/1.1 200 \x01\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 -20 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/a.b 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "\r\n",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct parsed p = parse(rows[i], true);
        if (p.err != TAPS_E_DEFRAMING || !p.fault.why || p.fault.status < 400)
            tapsi_test_fail(__FILE__, __LINE__, "row %zu: %d", i, p.err);
        free(p.text);
    }
}

TEST(a_nul_is_refused_wherever_it_stands)
{
    static const char head[] = "GET /abc HTTP/1.1\r\nHost: a\r\nX-Y: some value\r\n\r\n";
    for (size_t i = 0; i < sizeof(head) - 3; i++) {
        char bytes[sizeof(head)];
        memcpy(bytes, head, sizeof(head));
        if (bytes[i] == '\n')
            continue; /* the line would have no end */
        bytes[i] = '\0';
        struct parsed p = {.err = TAPS_E_DEFRAMING};
        if (bytes[i + 1] != '\n')
            p = parse_bytes(bytes, sizeof(head) - 1, false, 128);
        CHECK_INT(p.err, TAPS_E_DEFRAMING);
        free(p.text);
    }
}

TEST(fields_are_counted)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n";
    struct parsed p = parse_bytes(head, sizeof(head) - 1, false, 3);
    CHECK_INT(p.err, 0);
    free(p.text);
    p = parse_bytes(head, sizeof(head) - 1, false, 2);
    CHECK_INT(p.err, TAPS_E_DEFRAMING);
    CHECK_INT(p.fault.status, 431);
    free(p.text);
}

TEST(the_end_is_found_however_the_bytes_come)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\nrest\r\n\r\n";
    size_t whole = strlen(text) - 8, end = 0;
    for (size_t step = 1; step <= sizeof(text); step++) {
        size_t scanned = 0, length = 0;
        int found = 0;
        while (!found && length < whole) {
            length = length + step < sizeof(text) - 1 ? length + step : sizeof(text) - 1;
            found = tapsi_http_head_end((const uint8_t *)text, length, &scanned, &end);
        }
        CHECK_INT(found, 1);
        CHECK_INT(end, whole);
    }
    for (size_t length = 0; length < whole; length++) {
        size_t scanned = 0;
        CHECK_INT(tapsi_http_head_end((const uint8_t *)text, length, &scanned, &end), 0);
        CHECK(scanned <= length);
    }
}

TEST(what_is_no_head_is_seen_at_once)
{
    static const uint8_t hello[] = {0x16, 3, 1}; /* of TLS */
    CHECK(!tapsi_http_head_begins(hello, 1, false));
    CHECK(!tapsi_http_head_begins(hello, 1, true));
    CHECK(!tapsi_http_head_begins((const uint8_t *)" G", 2, false));
    CHECK(!tapsi_http_head_begins((const uint8_t *)"HTTP/2", 6, true));
    CHECK(!tapsi_http_head_begins((const uint8_t *)"SSH-2.0-", 8, true));
    CHECK(tapsi_http_head_begins((const uint8_t *)"HT", 2, true));
    CHECK(tapsi_http_head_begins((const uint8_t *)"HTTP/1.1 ", 9, true));
    CHECK(tapsi_http_head_begins((const uint8_t *)"GET", 3, false));
    CHECK(tapsi_http_head_begins((const uint8_t *)"", 0, false));
}

TEST(trailers_are_fields)
{
    char text[] = "A: 1\r\nB:2\r\n\r\n", none[] = "\r\n", folded[] = "A: 1\r\n b\r\n\r\n";
    struct tapsi_http_fields fields;
    struct tapsi_http_fault fault;
    CHECK_INT(tapsi_http_fields_parse(text, strlen(text), false, 2, &fields, &fault), 0);
    CHECK_INT(fields.count, 2);
    CHECK_TEXT(field(&fields, "b"), "2");
    CHECK_INT(tapsi_http_fields_parse(none, strlen(none), false, 2, &fields, &fault), 0);
    CHECK_INT(fields.count, 0);
    CHECK(!field(&fields, "a"));
    CHECK_INT(tapsi_http_fields_parse(folded, strlen(folded), false, 2, &fields, &fault), TAPS_E_DEFRAMING);
}
