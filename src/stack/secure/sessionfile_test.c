/* What is written is read again; what is damaged loses itself; nothing that was used comes back. */
#include "stack/secure/sessionfile.h"

#include <stdlib.h>
#include <string.h>
#include "base/test.h"

static struct tapsi_mem *mem(void)
{
    return tapsi_mem_default();
}

static void put(struct tapsi_tickets *s, uint8_t peer, uint64_t issued, const char *session)
{
    struct tapsi_ticket like = {.key = {{peer}, {1}},
                                .issued = issued,
                                .expires = 1000,
                                .until = 5000,
                                .early = 16384,
                                .authenticated = true,
                                .alpn = "h2",
                                .session = (const uint8_t *)session,
                                .session_length = strlen(session),
                                .transport = (const uint8_t *)"parameters",
                                .transport_length = 10,
                                .token = (const uint8_t *)"token",
                                .token_length = 5};
    tapsi_tickets_put(s, tapsi_ticket_new(mem(), &like), 100);
}

static uint8_t *three(size_t *ret_length)
{
    struct tapsi_tickets *s = tapsi_tickets_new(mem());
    put(s, 1, 10, "the first session");
    put(s, 2, 20, "the second session");
    put(s, 3, 30, "the third session");
    uint8_t *bytes = tapsi_sessionfile_write(s, "one\ntwo\n", 40, mem(), ret_length);
    tapsi_tickets_free(s);
    return bytes;
}

static struct tapsi_sessionfile_found read_new(const void *bytes, size_t length, uint64_t now, size_t *ret_count)
{
    struct tapsi_tickets *s = tapsi_tickets_new(mem());
    struct tapsi_sessionfile_found found = tapsi_sessionfile_read(s, mem(), bytes, length, now, NULL);
    *ret_count = tapsi_tickets_count(s);
    tapsi_tickets_free(s);
    return found;
}

TEST(what_is_written_is_read_again)
{
    size_t length;
    uint8_t *bytes = three(&length);
    struct tapsi_tickets *s = tapsi_tickets_new(mem());
    struct tapsi_sessionfile_found found = tapsi_sessionfile_read(s, mem(), bytes, length, 50, NULL);
    CHECK_INT(found.taken, 3);
    CHECK_INT(found.damaged, 0);
    struct tapsi_ticket_key key = {{2}, {1}};
    struct tapsi_ticket *t = tapsi_tickets_take(s, &key, 50);
    NEED(t);
    CHECK(t->issued == 20 && t->expires == 1000 && t->until == 5000 && t->early == 16384 && t->authenticated);
    CHECK_TEXT(t->alpn, "h2");
    CHECK(t->session_length == 18 && memcmp(t->session, "the second session", 18) == 0);
    CHECK(t->transport_length == 10 && memcmp(t->transport, "parameters", 10) == 0);
    CHECK(t->token_length == 5 && memcmp(t->token, "token", 5) == 0);
    tapsi_ticket_free(t);
    tapsi_tickets_free(s);
    free(bytes);
}

/* They are forgotten because they are of no use: the file must not bring them back with the next write. */
TEST(what_was_forgotten_does_not_come_back_from_the_file)
{
    size_t length;
    uint8_t *bytes = three(&length);
    struct tapsi_tickets *s = tapsi_tickets_new(mem());
    tapsi_sessionfile_read(s, mem(), bytes, length, 50, NULL);
    struct tapsi_ticket_key key = {{2}, {1}};
    tapsi_tickets_forget(s, &key);
    struct tapsi_sessionfile_found found = tapsi_sessionfile_read(s, mem(), bytes, length, 50, NULL);
    CHECK_INT(found.taken, 0);
    CHECK_INT(tapsi_tickets_count(s), 2);
    tapsi_tickets_free(s);
    free(bytes);
}

TEST(what_was_used_does_not_come_back_from_the_file)
{
    size_t length;
    uint8_t *bytes = three(&length);
    struct tapsi_tickets *s = tapsi_tickets_new(mem());
    struct tapsi_ticket_key key = {{2}, {1}};
    tapsi_sessionfile_read(s, mem(), bytes, length, 50, NULL);
    tapsi_ticket_free(tapsi_tickets_take(s, &key, 50));
    struct tapsi_sessionfile_found found = tapsi_sessionfile_read(s, mem(), bytes, length, 50, NULL);
    CHECK_INT(found.taken, 0);
    CHECK_INT(found.passed, 3);
    CHECK_INT(tapsi_tickets_count(s), 2);
    tapsi_tickets_free(s);
    free(bytes);
}

struct told {
    char text[100];
    uint64_t age;
};

static void on_line(void *user, const char *line, uint64_t age)
{
    struct told *told = user;
    strcat(strcat(told->text, line), ";");
    told->age = age;
}

TEST(lines_come_back_one_by_one_with_their_age)
{
    size_t length;
    uint8_t *bytes = three(&length);
    struct tapsi_tickets *s = tapsi_tickets_new(mem());
    struct told told = {"", 0};
    const struct tapsi_sessionfile_lines lines = {on_line, &told};
    CHECK_INT(tapsi_sessionfile_read(s, mem(), bytes, length, 50, &lines).damaged, 0);
    CHECK_TEXT(told.text, "one;two;");
    CHECK_INT(told.age, 10);
    tapsi_sessionfile_read(s, mem(), bytes, length, 30, &lines);
    CHECK_INT(told.age, 0); /* a clock that was set back */
    tapsi_tickets_free(s);
    free(bytes);
}

TEST(what_has_expired_or_is_of_the_future_is_passed_over)
{
    size_t length, count;
    uint8_t *bytes = three(&length);
    CHECK_INT(read_new(bytes, length, 1000, &count).passed, 3);
    CHECK_INT(count, 0);
    CHECK_INT(read_new(bytes, length, 25, &count).taken, 2);
    free(bytes);
}

TEST(a_file_that_ends_anywhere_gives_what_is_whole)
{
    size_t length, count, last = 0;
    uint8_t *bytes = three(&length);
    for (size_t cut = 0; cut <= length; cut++) {
        uint8_t *part = malloc(cut ? cut : 1); /* so that a read behind it is seen */
        NEED(part);
        memcpy(part, bytes, cut);
        struct tapsi_sessionfile_found found = read_new(part, cut, 50, &count);
        CHECK(found.damaged <= 1 && found.taken == count && count >= last);
        last = count;
        free(part);
    }
    CHECK_INT(last, 3);
    free(bytes);
}

TEST(a_byte_that_is_wrong_costs_no_more_than_what_is_behind_it)
{
    size_t length, count;
    uint8_t *bytes = three(&length);
    for (size_t at = 0; at < length; at++) {
        bytes[at] ^= 0x41;
        struct tapsi_sessionfile_found found = read_new(bytes, length, 50, &count);
        CHECK(found.damaged + found.passed >= 1 && count <= 3);
        bytes[at] ^= 0x41;
    }
    free(bytes);
}

TEST(a_foreign_file_is_none)
{
    size_t count;
    CHECK_INT(read_new("", 0, 50, &count).damaged, 0);
    CHECK_INT(read_new("-----BEGIN CERTIFICATE-----", 27, 50, &count).damaged, 1);
    CHECK_INT(read_new("taps sessions 2\n", 16, 50, &count).damaged, 1);
    CHECK_INT(read_new("taps sessions 1\n\xff\xff\xff\xff", 20, 50, &count).damaged, 1);
    CHECK_INT(read_new("taps sessions 1\n", 16, 50, &count).damaged, 0);
    CHECK_INT(count, 0);
}
