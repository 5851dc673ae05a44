#include "base/test.h"
#include "select/endpoint.h"

static const char services[] = "# comment http 9/tcp\n"
                               "\n"
                               "  \t \n"
                               "http\t\t80/tcp\t\twww www-http # WorldWideWeb\n"
                               "domain 53/udp\n"
                               "domain 5353/tcp\n"
                               "broken\n"
                               "broken2 tcp\n"
                               "broken3 /tcp\n"
                               "broken4 99999/tcp\n"
                               "broken5 12/\n"
                               "broken6 1e3/tcp\n"
                               "https 8443/tcp\r\n"
                               "last 7/udp";

/* proves API-007 (service names) */
TEST(services_are_found_by_name_alias_and_protocol)
{
    CHECK_INT(tapsi_service_port(services, "http", "tcp"), 80);
    CHECK_INT(tapsi_service_port(services, "HTTP", "tcp"), 80);
    CHECK_INT(tapsi_service_port(services, "www", "tcp"), 80);
    CHECK_INT(tapsi_service_port(services, "www-http", "tcp"), 80);
    CHECK_INT(tapsi_service_port(services, "domain", "udp"), 53);
    CHECK_INT(tapsi_service_port(services, "domain", "tcp"), 5353);
    CHECK_INT(tapsi_service_port(services, "last", "udp"), 7);
    CHECK_INT(tapsi_service_port(services, "https", "tcp"), 8443);
}

TEST(a_few_services_are_built_in)
{
    CHECK_INT(tapsi_service_port(NULL, "https", "tcp"), 443);
    CHECK_INT(tapsi_service_port(NULL, "domain", "udp"), 53);
    CHECK_INT(tapsi_service_port("", "imaps", "tcp"), 993);
    CHECK_INT(tapsi_service_port(services, "ssh", "tcp"), 22);
}

TEST(what_is_not_a_line_of_a_service_is_passed_over)
{
    static const char *const names[] = {"",        "WorldWideWeb", "comment", "#",       "broken",
                                        "broken2", "broken3",      "broken4", "broken5", "broken6",
                                        "80/tcp",  "htt",          "httpx",   "http ",   "unknown"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CHECK_INT(tapsi_service_port(services, names[i], "tcp"), 0);
    CHECK_INT(tapsi_service_port(services, "last", "tcp"), 0);
    CHECK_INT(tapsi_service_port(services, "last", ""), 0);
    CHECK_INT(tapsi_service_port("x 5/tcp", "x", "tc"), 0);
}
