/* Addresses: an IPv4 or IPv6 address with port and scope, its text, and what kind of address it is. */
#ifndef TAPSI_BASE_ADDR_H
#define TAPSI_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

union tapsi_addr {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

#define TAPSI_ADDR_TEXT 80 /* "[address%scope]:port" with its terminator */

socklen_t tapsi_addr_length(const union tapsi_addr *a);
uint16_t tapsi_addr_port(const union tapsi_addr *a);
void tapsi_addr_set_port(union tapsi_addr *a, uint16_t port);
/* Address (16 or 4 bytes, network order) without port or scope. */
void tapsi_addr_from_bytes(union tapsi_addr *ret, int family, const void *bytes);
const uint8_t *tapsi_addr_bytes(const union tapsi_addr *a, unsigned *ret_count);
/* An IPv4-mapped address becomes the IPv4 address it is; others stay. */
void tapsi_addr_unmap(union tapsi_addr *a);
/* A numeric address, no brackets, no zone, no port: 0 or TAPS_E_RANGE. */
int tapsi_addr_parse(const char *text, union tapsi_addr *ret);
/* "192.0.2.1:80", "[2001:db8::1]:443", "[fe80::1%2]:443"; returns `text` (of TAPSI_ADDR_TEXT bytes). */
const char *tapsi_addr_text(const union tapsi_addr *a, char *text);
/* The address alone: "2001:db8::1". */
const char *tapsi_addr_host_text(const union tapsi_addr *a, char *text);
bool tapsi_addr_equal(const union tapsi_addr *a, const union tapsi_addr *b);     /* family, address, port, scope */
bool tapsi_addr_same_host(const union tapsi_addr *a, const union tapsi_addr *b); /* family and address */
bool tapsi_addr_is_any(const union tapsi_addr *a);
bool tapsi_addr_is_loopback(const union tapsi_addr *a);
bool tapsi_addr_is_link_local(const union tapsi_addr *a);
bool tapsi_addr_is_multicast(const union tapsi_addr *a);
/* How far away the hosts are that it can be of. NOWHERE: of no one host (multicast, broadcast, reserved, unspecified).
 */
enum tapsi_reach { TAPSI_REACH_NOWHERE, TAPSI_REACH_HOST, TAPSI_REACH_LINK, TAPSI_REACH_SITE, TAPSI_REACH_WORLD };
enum tapsi_reach tapsi_addr_reach(const union tapsi_addr *a);
/* Are the first `bits` bits the same (same family)? */
bool tapsi_addr_in_prefix(const union tapsi_addr *a, const union tapsi_addr *prefix, unsigned bits);

#endif
