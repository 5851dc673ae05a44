#include <taps/taps.h>

#include "base/test.h"

static taps_endpoint *remote(const char *text)
{
    taps_endpoint *endpoint = NULL;
    CHECK_INT(taps_remote_endpoint_new(&endpoint), 0);
    if (text)
        CHECK_INT(taps_endpoint_with_text(endpoint, text), 0);
    return endpoint;
}

/* proves API-007 */
TEST(what_was_set_can_be_read)
{
    taps_endpoint *e = remote(NULL);
    NEED(e);
    CHECK(!taps_endpoint_host_name(e) && !taps_endpoint_ip_address(e) && !taps_endpoint_interface(e));
    CHECK(!taps_endpoint_service(e) && !taps_endpoint_protocol(e));
    CHECK_INT(taps_endpoint_port(e), 0);
    CHECK_INT(taps_endpoint_with_host_name(e, "name.example"), 0);
    CHECK_INT(taps_endpoint_with_service(e, "https"), 0);
    CHECK_INT(taps_endpoint_with_port(e, 8443), 0);
    CHECK_INT(taps_endpoint_with_ip_address(e, "2001:db8::1"), 0);
    CHECK_INT(taps_endpoint_with_interface(e, "eth0"), 0);
    CHECK_INT(taps_endpoint_with_protocol(e, "tcp"), 0);
    CHECK_TEXT(taps_endpoint_host_name(e), "name.example");
    CHECK_TEXT(taps_endpoint_service(e), "https");
    CHECK_TEXT(taps_endpoint_ip_address(e), "2001:db8::1");
    CHECK_TEXT(taps_endpoint_interface(e), "eth0");
    CHECK_TEXT(taps_endpoint_protocol(e), "tcp");
    CHECK_INT(taps_endpoint_port(e), 8443);
    taps_endpoint_free(e);
}

/* proves API-008 */
TEST(a_zone_is_an_interface)
{
    taps_endpoint *e = remote("[fe80::1%eth0]:443");
    NEED(e);
    CHECK_TEXT(taps_endpoint_ip_address(e), "fe80::1");
    CHECK_TEXT(taps_endpoint_interface(e), "eth0");
    CHECK_INT(taps_endpoint_port(e), 443);
    CHECK_INT(taps_endpoint_with_interface(e, "eth1"), TAPS_E_DUPLICATE);
    taps_endpoint_free(e);
}

/* proves API-009 */
TEST(nothing_is_set_twice)
{
    taps_endpoint *e = remote("192.0.2.1:80");
    char text[64];
    NEED(e);
    CHECK_INT(taps_endpoint_with_port(e, 81), TAPS_E_DUPLICATE);
    CHECK_INT(taps_endpoint_with_ip_address(e, "192.0.2.2"), TAPS_E_DUPLICATE);
    CHECK_INT(taps_endpoint_with_ip_bytes(e, "\1\2\3\4", 4), TAPS_E_DUPLICATE);
    CHECK_INT(taps_endpoint_with_text(e, "name:81"), TAPS_E_DUPLICATE);
    CHECK_INT(taps_endpoint_text(e, text, sizeof(text)), 12);
    CHECK_TEXT(text, "192.0.2.1:80");
    CHECK(!taps_endpoint_host_name(e));
    taps_endpoint_free(e);
}

TEST(nothing_in_the_place_of_something_is_an_argument_error)
{
    taps_endpoint *e = remote(NULL), *other = (taps_endpoint *)1;
    char text[4] = "xxx";
    NEED(e);
    CHECK_INT(taps_remote_endpoint_new(NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_local_endpoint_new(NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_copy(NULL, &other), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_copy(e, NULL), TAPS_E_ARGUMENT);
    CHECK(other == (taps_endpoint *)1);
    CHECK_INT(taps_endpoint_with_host_name(NULL, "a"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_with_host_name(e, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_with_port(NULL, 1), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_with_service(NULL, "a"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_with_service(e, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_with_ip_address(NULL, "::1"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_with_ip_address(e, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_with_ip_bytes(NULL, "abcd", 4), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_with_ip_bytes(e, NULL, 4), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_with_interface(NULL, "a"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_with_interface(e, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_with_protocol(NULL, "a"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_with_protocol(e, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_with_text(NULL, "a"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_endpoint_with_text(e, NULL), TAPS_E_ARGUMENT);
    CHECK(!taps_endpoint_host_name(NULL) && !taps_endpoint_ip_address(NULL) && !taps_endpoint_interface(NULL));
    CHECK(!taps_endpoint_service(NULL) && !taps_endpoint_protocol(NULL));
    CHECK_INT(taps_endpoint_port(NULL), 0);
    CHECK_INT(taps_endpoint_text(NULL, text, sizeof(text)), 0);
    CHECK_TEXT(text, "");
    CHECK_INT(taps_endpoint_text(NULL, NULL, 4), 0);
    CHECK_INT(taps_endpoint_text(e, NULL, 4), 0);
    taps_endpoint_free(NULL);
    taps_endpoint_free(e);
}

TEST(nonsense_is_out_of_range)
{
    taps_endpoint *e = remote(NULL);
    NEED(e);
    CHECK_INT(taps_endpoint_with_host_name(e, ""), TAPS_E_RANGE);
    CHECK_INT(taps_endpoint_with_host_name(e, "a b"), TAPS_E_RANGE);
    CHECK_INT(taps_endpoint_with_port(e, 0), TAPS_E_RANGE);
    CHECK_INT(taps_endpoint_with_service(e, "443"), TAPS_E_RANGE);
    CHECK_INT(taps_endpoint_with_ip_address(e, "name"), TAPS_E_RANGE);
    CHECK_INT(taps_endpoint_with_ip_address(e, "192.0.2.256"), TAPS_E_RANGE);
    CHECK_INT(taps_endpoint_with_ip_address(e, "192.0.2.1:80"), TAPS_E_RANGE);
    CHECK_INT(taps_endpoint_with_ip_bytes(e, "abcde", 5), TAPS_E_RANGE);
    CHECK_INT(taps_endpoint_with_ip_bytes(e, "abcde", SIZE_MAX), TAPS_E_RANGE);
    CHECK_INT(taps_endpoint_with_interface(e, "a/b"), TAPS_E_RANGE);
    CHECK_INT(taps_endpoint_with_protocol(e, "tls/tcp"), TAPS_E_RANGE);
    CHECK_INT(taps_endpoint_with_text(e, "host:99999"), TAPS_E_RANGE);
    CHECK_INT(taps_endpoint_text(e, NULL, 0), 0);
    taps_endpoint_free(e);
}

TEST(a_local_endpoint_may_have_port_0)
{
    taps_endpoint *e = NULL;
    CHECK_INT(taps_local_endpoint_new(&e), 0);
    NEED(e);
    CHECK_INT(taps_endpoint_with_text(e, ":0"), 0);
    CHECK_INT(taps_endpoint_with_port(e, 1), TAPS_E_DUPLICATE);
    taps_endpoint_free(e);
}

/* proves API-003 (values) */
TEST(a_copy_is_independent)
{
    taps_endpoint *e = remote("name.example"), *copy = NULL;
    char text[64];
    NEED(e);
    CHECK_INT(taps_endpoint_copy(e, &copy), 0);
    NEED(copy);
    CHECK_INT(taps_endpoint_with_port(e, 1), 0);
    taps_endpoint_free(e);
    CHECK_INT(taps_endpoint_text(copy, text, sizeof(text)), 12);
    CHECK_TEXT(text, "name.example");
    CHECK_INT(taps_endpoint_with_port(copy, 0), TAPS_E_RANGE);
    taps_endpoint_free(copy);
}
