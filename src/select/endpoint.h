/* Endpoints as the library keeps them: plain values, copied freely. */
#ifndef TAPSI_SELECT_ENDPOINT_H
#define TAPSI_SELECT_ENDPOINT_H

#include "base/addr.h"
#include "base/err.h"

#define TAPSI_HOST_MAX      256
#define TAPSI_INTERFACE_MAX 16
#define TAPSI_SERVICE_MAX   64
#define TAPSI_PROTOCOL_MAX  16

struct taps_endpoint {
    bool remote;
    bool has_address, has_port;
    union tapsi_addr address; /* its port field mirrors `port`; scope 0 until the interface is known */
    uint16_t port;
    char host_name[TAPSI_HOST_MAX]; /* "" = not set */
    char interface[TAPSI_INTERFACE_MAX];
    char service[TAPSI_SERVICE_MAX];
    char protocol[TAPSI_PROTOCOL_MAX];
    char address_text[TAPSI_ADDR_TEXT]; /* what taps_endpoint_ip_address returns */
};

void tapsi_endpoint_init(struct taps_endpoint *e, bool remote);
int tapsi_endpoint_set_host_name(struct taps_endpoint *e, const char *name);
int tapsi_endpoint_set_port(struct taps_endpoint *e, uint16_t port);
int tapsi_endpoint_set_service(struct taps_endpoint *e, const char *service);
int tapsi_endpoint_set_address_text(struct taps_endpoint *e, const char *text);
int tapsi_endpoint_set_address_bytes(struct taps_endpoint *e, const void *bytes, size_t count);
int tapsi_endpoint_set_interface(struct taps_endpoint *e, const char *name);
int tapsi_endpoint_set_protocol(struct taps_endpoint *e, const char *protocol);
/* "host:port" in all its forms; on failure the endpoint is unchanged. */
int tapsi_endpoint_parse(struct taps_endpoint *e, const char *text);
/* A concrete endpoint from an address (with port). */
void tapsi_endpoint_from_addr(struct taps_endpoint *e, bool remote, const union tapsi_addr *address);
size_t tapsi_endpoint_text(const struct taps_endpoint *e, char *text, size_t size);

/* The port of a service name ("https" -> 443) for "tcp" or "udp", from the text of /etc/services (NULL: only the few
   built in: http, https, domain, ftp, ssh, smtp, imap, imaps, pop3, pop3s, ntp ...). 0 = unknown. */
uint16_t tapsi_service_port(const char *services_text, const char *service, const char *protocol);

#endif
