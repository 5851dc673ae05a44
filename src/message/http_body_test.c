#include "message/http_body.h"

#include <stdlib.h>
#include "base/test.h"

TEST(where_a_body_ends)
{
    static const struct {
        struct tapsi_http_head head;
        bool no_body;
        enum tapsi_http_body body;
    } rows[] = {
        {{.method = "GET"}, false, TAPSI_HTTP_NO_BODY},
        {{.method = "GET", .has_length = true}, false, TAPSI_HTTP_LENGTH},
        {{.method = "PUT", .chunked = true}, false, TAPSI_HTTP_CHUNKED},
        {{.status = 200}, false, TAPSI_HTTP_UNTIL_CLOSE},
        {{.status = 200, .has_length = true}, false, TAPSI_HTTP_LENGTH},
        {{.status = 404, .chunked = true}, false, TAPSI_HTTP_CHUNKED},
        {{.status = 200, .has_length = true}, true, TAPSI_HTTP_NO_BODY},
        {{.status = 200, .chunked = true}, true, TAPSI_HTTP_NO_BODY},
        {{.status = 200}, true, TAPSI_HTTP_NO_BODY},
        {{.status = 100, .has_length = true}, false, TAPSI_HTTP_NO_BODY},
        {{.status = 103, .chunked = true}, false, TAPSI_HTTP_NO_BODY},
        {{.status = 204, .has_length = true}, false, TAPSI_HTTP_NO_BODY},
        {{.status = 304, .has_length = true}, false, TAPSI_HTTP_NO_BODY},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        CHECK_INT(tapsi_http_body_of(&rows[i].head, rows[i].no_body), rows[i].body);
}

/* Of memory of just that size. */
static int parse(const char *text, size_t length, uint64_t *ret_size, size_t *ret_line, const char **ret_why)
{
    uint8_t *bytes = malloc(length + 1);
    struct tapsi_http_fault fault = {NULL, 0};
    memcpy(bytes + 1, text, length);
    int known = tapsi_http_chunk_parse(bytes + 1, length, ret_size, ret_line, &fault);
    free(bytes);
    *ret_why = fault.why;
    return known;
}

TEST(the_line_of_a_chunk_is_read)
{
    static const struct {
        const char *text;
        uint64_t size;
        size_t line;
    } rows[] = {
        {"0\r\n", 0, 3},
        {"5\r\nhello", 5, 3},
        {"aF\r\n", 0xaf, 4},
        {"0000000000000000000010\r\n", 16, 24},
        {"7fffffffffffffff\r\n", INT64_MAX, 18},
        {"5;name=value\r\n", 5, 14},
        {"5 ; name=\"a;b\" ;c\r\n", 5, 19},
        {"5;\xe4\r\n", 5, 5},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t size = 77;
        size_t line = 77;
        const char *why;
        CHECK_INT(parse(rows[i].text, strlen(rows[i].text), &size, &line, &why), 1);
        CHECK(size == rows[i].size);
        CHECK_INT(line, rows[i].line);
        for (size_t length = 0; length < rows[i].line; length++)
            CHECK_INT(parse(rows[i].text, length, &size, &line, &why), 0);
    }
}

TEST(hostile_chunks_are_refused)
{
    static const char *const rows[] = {
        "\r\n",
        ";a\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        " 1\r\n",
        "0x1\r\n",
        "5 \r\n",
        "5\t",
        "5 5\r\n",
        "5\n",
        "5\rx",
        "5;a\nb\r\n",
        "5;a\rb\r\n",
        "5;a\x01\r\n",
        "5;a\x7f\r\n",
        "8000000000000000\r\n",
        "ffffffffffffffff\r\n",
        "10000000000000000\r\n",
        "10000000000000005\r\n",
        "5\x0b\r\n",
        "five\r\n",
        "5,6\r\n",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t size = 77;
        size_t line = 77;
        const char *why = NULL;
        int known = parse(rows[i], strlen(rows[i]), &size, &line, &why);
        bool waits = strcmp(rows[i], "5\t") == 0; /* ";" may follow */
        if (waits ? known != 0 : known != TAPS_E_DEFRAMING || !why)
            tapsi_test_fail(__FILE__, __LINE__, "row %zu: %d", i, known);
        CHECK(size == 77 && line == 77);
    }
}

TEST(a_line_without_end_is_refused)
{
    char text[TAPSI_HTTP_CHUNK_LINE_MAX + 10];
    uint64_t size;
    size_t line;
    const char *why;
    for (int zeros = 0; zeros < 2; zeros++) {
        memset(text, zeros ? '0' : 'x', sizeof(text));
        if (!zeros)
            memcpy(text, "5;", 2);
        CHECK_INT(parse(text, TAPSI_HTTP_CHUNK_LINE_MAX - 1, &size, &line, &why), 0);
        CHECK_INT(parse(text, TAPSI_HTTP_CHUNK_LINE_MAX, &size, &line, &why), TAPS_E_DEFRAMING);
        CHECK_INT(parse(text, sizeof(text), &size, &line, &why), TAPS_E_DEFRAMING);
        memcpy(text + TAPSI_HTTP_CHUNK_LINE_MAX - 2, "\r\n", 2);
        CHECK_INT(parse(text, sizeof(text), &size, &line, &why), 1);
    }
}

TEST(what_is_written_is_read_again)
{
    static const uint64_t sizes[] = {0, 1, 15, 16, 255, 256, 65535, 1000000, INT64_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char text[18];
        const char *why;
        uint64_t size = 77;
        size_t line = 77, length = tapsi_http_chunk_write(text, sizes[i]);
        CHECK_INT(parse(text, length, &size, &line, &why), 1);
        CHECK(size == sizes[i] && line == length);
    }
}
