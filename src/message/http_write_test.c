#include "message/http_write.h"

#include "base/test.h"

static const char *host(const char *name, uint16_t port)
{
    static char text[200];
    struct tapsi_http_writer counts = {0}, writes = {.to = text, .size = sizeof(text)};
    tapsi_http_write_host(&counts, name, port);
    tapsi_http_write_host(&writes, name, port);
    CHECK_INT(counts.length, writes.length);
    text[writes.length] = '\0';
    return text;
}

TEST(a_host_is_a_name_or_an_address_in_brackets)
{
    CHECK_TEXT(host("example.com", 0), "Host: example.com\r\n");
    CHECK_TEXT(host("example.com", 8080), "Host: example.com:8080\r\n");
    CHECK_TEXT(host("192.0.2.1", 65535), "Host: 192.0.2.1:65535\r\n");
    CHECK_TEXT(host("2001:db8::1", 80), "Host: [2001:db8::1]:80\r\n");
    CHECK_TEXT(host("fe80::1%eth0", 0), "Host: [fe80::1]\r\n");
    CHECK_TEXT(host("[2001:db8::1]", 0), "Host: [2001:db8::1]\r\n");
    CHECK_TEXT(host("", 0), "Host: \r\n");
}

TEST(what_is_counted_is_what_is_written)
{
    char text[100];
    struct tapsi_http_writer counts = {0}, writes = {.to = text, .size = 40};
    for (int i = 0; i < 2; i++) {
        struct tapsi_http_writer *w = i ? &writes : &counts;
        tapsi_http_write(w, "A");
        tapsi_http_write_number(w, UINT64_MAX);
        tapsi_http_write_field(w, "Name", "some value");
    }
    CHECK_INT(counts.length, writes.length);
    text[writes.length] = '\0';
    CHECK_TEXT(text, "A18446744073709551615Name: some value\r\n");
}

TEST(nothing_is_written_beyond_the_size)
{
    char text[4] = "....";
    struct tapsi_http_writer w = {.to = text, .size = 3};
    tapsi_http_write(&w, "ab");
    tapsi_http_write(&w, "cd");
    CHECK_INT(w.length, 4);
    CHECK(memcmp(text, "ab..", 4) == 0);
}

TEST(reasons_are_those_of_the_registry)
{
    CHECK_TEXT(tapsi_http_reason(200), "OK");
    CHECK_TEXT(tapsi_http_reason(404), "Not Found");
    CHECK_TEXT(tapsi_http_reason(511), "Network Authentication Required");
    CHECK_TEXT(tapsi_http_reason(299), "");
    CHECK_TEXT(tapsi_http_reason(0), "");
}
