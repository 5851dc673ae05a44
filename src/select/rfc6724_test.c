#include "select/rfc6724.h"

#include <arpa/inet.h>
#include <stdio.h>
#include "base/test.h"

static union tapsi_addr addr(const char *text)
{
    union tapsi_addr a;
    memset(&a, 0, sizeof(a));
    if (*text && tapsi_addr_parse(text, &a))
        tapsi_test_fail(__FILE__, __LINE__, "%s is no address", text);
    return a;
}

#define MAX 8

/* Sorts "destination from source" pairs, given in this order and in the opposite one: the answer is the same. */
static void check_order(const char *const pairs[][2], const char *const expected[], size_t count)
{
    for (int turn = 0; turn < 2; turn++) {
        struct tapsi_destination d[MAX];
        memset(d, 0, sizeof(d));
        for (size_t i = 0; i < count; i++) {
            size_t from = turn ? count - 1 - i : i;
            d[i].address = addr(pairs[from][0]);
            d[i].source = addr(pairs[from][1]);
            d[i].place = (unsigned)from;
        }
        tapsi_rfc6724_sort(d, count);
        for (size_t i = 0; i < count; i++) {
            char text[TAPSI_ADDR_TEXT];
            CHECK_TEXT(tapsi_addr_host_text(&d[i].address, text), expected[i]);
        }
    }
}

/* RFC 6724, 10.2: the examples, with the sources given there. proves IMPL-08 (order) */
TEST(examples_of_the_rfc_scope_first)
{
    check_order((const char *const[][2]){{"2001:db8:1::1", "2001:db8:1::2"}, {"198.51.100.121", "169.254.13.78"}},
                (const char *const[]){"2001:db8:1::1", "198.51.100.121"}, 2);
    check_order((const char *const[][2]){{"2001:db8:1::1", "fe80::1"}, {"198.51.100.121", "198.51.100.117"}},
                (const char *const[]){"198.51.100.121", "2001:db8:1::1"}, 2);
}

TEST(examples_of_the_rfc_precedence)
{
    check_order((const char *const[][2]){{"2001:db8:1::1", "2001:db8:1::2"}, {"10.1.2.3", "10.1.2.4"}},
                (const char *const[]){"2001:db8:1::1", "10.1.2.3"}, 2);
}

TEST(examples_of_the_rfc_smaller_scope)
{
    check_order((const char *const[][2]){{"2001:db8:1::1", "2001:db8:1::2"}, {"fe80::1", "fe80::2"}},
                (const char *const[]){"fe80::1", "2001:db8:1::1"}, 2);
}

TEST(examples_of_the_rfc_label)
{
    check_order((const char *const[][2]){{"2002:c633:6401::1", "2002:c633:6401::2"},
                                         {"2001:db8:1::1", "2002:c633:6401::2"}},
                (const char *const[]){"2002:c633:6401::1", "2001:db8:1::1"}, 2);
    check_order((const char *const[][2]){{"2002:c633:6401::1", "2002:c633:6401::2"},
                                         {"2001:db8:1::1", "2001:db8:1::2"}},
                (const char *const[]){"2001:db8:1::1", "2002:c633:6401::1"}, 2);
}

TEST(examples_of_the_rfc_longest_prefix)
{
    check_order((const char *const[][2]){{"2001:db8:1::1", "2001:db8:1::2"}, {"2001:db8:3ffe::1", "2001:db8:1::2"}},
                (const char *const[]){"2001:db8:1::1", "2001:db8:3ffe::1"}, 2);
}

TEST(what_has_no_source_goes_last)
{
    check_order((const char *const[][2]){{"2001:db8:1::1", ""}, {"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", ""}},
                (const char *const[]){"192.0.2.1", "2001:db8:1::1", "2001:db8::1"}, 3);
}

TEST(a_deprecated_source_is_avoided)
{
    struct tapsi_destination d[2] = {
        {.address = addr("2001:db8::1"), .source = addr("2001:db8::9"), .source_deprecated = true, .place = 0},
        {.address = addr("192.0.2.1"), .source = addr("192.0.2.9"), .place = 1}};
    tapsi_rfc6724_sort(d, 2);
    CHECK_INT(d[0].address.sa.sa_family, AF_INET);
}

TEST(unique_local_and_native_addresses_have_their_labels)
{
    check_order((const char *const[][2]){{"fd00::1", "2001:db8::2"}, {"192.0.2.1", "192.0.2.2"}},
                (const char *const[]){"192.0.2.1", "fd00::1"}, 2);
    check_order((const char *const[][2]){{"::1", "::1"}, {"127.0.0.1", "127.0.0.1"}},
                (const char *const[]){"::1", "127.0.0.1"}, 2);
}

/* Rule 9 would put 192.0.2.1 first: rotation of A records is left alone. */
TEST(ipv4_addresses_keep_their_order)
{
    struct tapsi_destination d[3] = {{.address = addr("203.0.113.1"), .source = addr("192.0.2.9"), .place = 0},
                                     {.address = addr("192.0.2.1"), .source = addr("192.0.2.9"), .place = 1},
                                     {.address = addr("198.51.100.1"), .source = addr("192.0.2.9"), .place = 2}};
    tapsi_rfc6724_sort(d, 3);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(d[i].place, i);
    tapsi_rfc6724_sort(d, 0);
}

static const char *pick(const char *destination, const char *const *addresses, size_t count, unsigned deprecated,
                        unsigned temporary, bool prefer_temporary)
{
    struct tapsi_source sources[MAX];
    union tapsi_addr to = addr(destination);
    for (size_t i = 0; i < count; i++)
        sources[i] = (struct tapsi_source){addr(addresses[i]), deprecated >> i & 1, temporary >> i & 1};
    int index = tapsi_rfc6724_source(&to, sources, count, prefer_temporary);
    return index < 0 ? "none" : addresses[index];
}

#define PICK(destination, deprecated, temporary, prefer_temporary, ...)                                                \
    pick(destination, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), \
         deprecated, temporary, prefer_temporary)

/* RFC 6724, 10.1: the examples. */
TEST(sources_of_the_rfc)
{
    CHECK_TEXT(PICK("2001:db8:1::1", 0, 0, true, "2001:db8:3::1", "fe80::1"), "2001:db8:3::1");
    CHECK_TEXT(PICK("ff05::1", 0, 0, true, "2001:db8:3::1", "fe80::1"), "2001:db8:3::1");
    CHECK_TEXT(PICK("2001:db8:1::1", 1, 0, true, "2001:db8:1::1", "2001:db8:2::1"), "2001:db8:1::1");
    CHECK_TEXT(PICK("fe80::1", 1, 0, true, "fe80::2", "2001:db8:1::1"), "fe80::2");
    CHECK_TEXT(PICK("2001:db8:1::1", 0, 0, true, "2001:db8:1::2", "2001:db8:3::2"), "2001:db8:1::2");
    CHECK_TEXT(PICK("2002:c633:6401::1", 0, 1, true, "2002:c633:6401:0:d5e3:0:0:1", "2001:db8:1::2"),
               "2002:c633:6401:0:d5e3:0:0:1");
    CHECK_TEXT(PICK("2001:db8:1::1", 0, 1, true, "2001:db8:1::d5e3", "2001:db8:1::2"), "2001:db8:1::d5e3");
}

TEST(temporary_addresses_are_chosen_only_when_wanted)
{
    CHECK_TEXT(PICK("2001:db8:9::1", 0, 1, false, "2001:db8:1::d5e3", "2001:db8:1::2"), "2001:db8:1::2");
    CHECK_TEXT(PICK("2001:db8:9::1", 0, 2, true, "2001:db8:1::2", "2001:db8:1::d5e3"), "2001:db8:1::d5e3");
}

TEST(a_source_is_of_the_same_family)
{
    CHECK_TEXT(PICK("192.0.2.1", 0, 0, true, "2001:db8::1", "::1"), "none");
    CHECK_TEXT(PICK("2001:db8::1", 0, 0, true, "192.0.2.1"), "none");
    CHECK_TEXT(PICK("192.0.2.1", 0, 0, true, "0.0.0.0", "224.0.0.1"), "none");
    CHECK_TEXT(PICK("192.0.2.1", 0, 0, true, "169.254.1.1", "2001:db8::1", "10.0.0.1"), "10.0.0.1");
    CHECK_INT(tapsi_rfc6724_source(&(union tapsi_addr){.sa.sa_family = AF_INET}, NULL, 0, true), -1);
}

/* "6644" -> the order of families and of places after interleaving. */
static const char *interleaved(const char *families, unsigned first_count)
{
    static char text[64];
    struct tapsi_destination d[16];
    size_t count = strlen(families), length = 0;
    for (size_t i = 0; i < count; i++)
        d[i] =
            (struct tapsi_destination){.address = addr(families[i] == '6' ? "::1" : "127.0.0.1"), .place = (unsigned)i};
    tapsi_rfc8305_interleave(d, count, first_count);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%d", (int)d[i].place);
    return text;
}

/* proves IMPL-08 (interleaving) */
TEST(families_alternate_and_keep_their_order)
{
    CHECK_TEXT(interleaved("666444", 1), "031425");
    CHECK_TEXT(interleaved("446", 1), "021");
    CHECK_TEXT(interleaved("6464", 1), "0123");
    CHECK_TEXT(interleaved("6666", 1), "0123");
    CHECK_TEXT(interleaved("64444", 1), "01234");
    CHECK_TEXT(interleaved("466666", 1), "012345");
    CHECK_TEXT(interleaved("6666444", 2), "0142536");
    CHECK_TEXT(interleaved("666444", 0), "031425");
    CHECK_TEXT(interleaved("6644", 100), "0123");
    CHECK_TEXT(interleaved("6", 1), "0");
    CHECK_TEXT(interleaved("", 1), "");
}
