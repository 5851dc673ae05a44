/*
 * Endpoints from text. A line is a letter and what the setter of that letter is given. What an endpoint says of itself
 * must make an endpoint that says the same; a setter that refuses must have changed nothing.
 */
#include <stdio.h>
#include "input.h"
#include "select/endpoint.h"
#include "support.h"

#define LINES 32

static char *text_of(const taps_endpoint *e)
{
    size_t length = taps_endpoint_text(e, NULL, 0);
    char *text = malloc(length + 1);
    if (!text)
        abort();
    CHECK_INT(taps_endpoint_text(e, text, length + 1), length);
    CHECK_INT(strlen(text), length);
    return text;
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_identifiers(const taps_endpoint *a, const taps_endpoint *b)
{
    return same(taps_endpoint_host_name(a), taps_endpoint_host_name(b)) &&
           same(taps_endpoint_ip_address(a), taps_endpoint_ip_address(b)) &&
           same(taps_endpoint_interface(a), taps_endpoint_interface(b)) &&
           same(taps_endpoint_service(a), taps_endpoint_service(b)) &&
           same(taps_endpoint_protocol(a), taps_endpoint_protocol(b)) && taps_endpoint_port(a) == taps_endpoint_port(b);
}

static void check_sizes(const taps_endpoint *e, const char *text)
{
    size_t length = strlen(text);
    for (size_t size = 1; size <= length; size += 1 + length / 4) {
        char *part = malloc(size);
        CHECK_INT(taps_endpoint_text(e, part, size), length);
        CHECK(strlen(part) == size - 1 && strncmp(part, text, size - 1) == 0);
        free(part);
    }
}

static taps_endpoint *new_endpoint(bool remote)
{
    taps_endpoint *e = NULL;
    CHECK_INT(remote ? taps_remote_endpoint_new(&e) : taps_local_endpoint_new(&e), 0);
    return e;
}

static void check_round_trip(const taps_endpoint *e)
{
    char *text = text_of(e), *again;
    check_sizes(e, text);
    if (text[0]) {
        taps_endpoint *other = new_endpoint(e->remote);
        int err = taps_endpoint_with_text(other, text);
        if (err)
            tapsi_test_fail(__FILE__, __LINE__, "'%s' is not taken back: %s", text, taps_err_text(err));
        again = text_of(other);
        CHECK_TEXT(again, text);
        free(again);
        taps_endpoint_free(other);
    }
    free(text);
}

static void check_copy(const taps_endpoint *e)
{
    taps_endpoint *copy;
    CHECK_INT(taps_endpoint_copy(e, &copy), 0);
    CHECK(same_identifiers(e, copy));
    taps_endpoint_free(copy);
}

static int set(taps_endpoint *e, char what, const char *value)
{
    switch (what) {
    case 'h':
        return taps_endpoint_with_host_name(e, value);
    case 'a':
        return taps_endpoint_with_ip_address(e, value);
    case 'b':
        return taps_endpoint_with_ip_bytes(e, value, strlen(value));
    case 'i':
        return taps_endpoint_with_interface(e, value);
    case 's':
        return taps_endpoint_with_service(e, value);
    case 'p':
        return taps_endpoint_with_protocol(e, value);
    case 'n':
        return taps_endpoint_with_port(e, (uint16_t)strtoul(value, NULL, 10));
    default:
        return taps_endpoint_with_text(e, value);
    }
}

static void try_to_set(taps_endpoint *e, char what, const char *value)
{
    taps_endpoint *before;
    CHECK_INT(taps_endpoint_copy(e, &before), 0);
    int err = set(e, what, value);
    if (err) {
        CHECK(err == TAPS_E_RANGE || err == TAPS_E_DUPLICATE);
        CHECK(same_identifiers(before, e));
    } else {
        check_round_trip(e);
        check_copy(e);
    }
    taps_endpoint_free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    taps_endpoint *e = new_endpoint(true);
    fuzz_begin();
    for (int i = 0; i < LINES && in.left; i++) {
        char *line = fuzz_line(&in);
        if (line[0] == 'R' || line[0] == 'L') {
            taps_endpoint_free(e);
            e = new_endpoint(line[0] == 'R');
        } else if (line[0]) {
            try_to_set(e, line[0], line + 1);
        }
        free(line);
    }
    taps_endpoint_free(e);
    return 0;
}
