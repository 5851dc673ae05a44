/* resolv.conf(5), as libc reads it. Pure: text in, a struct out. */
#ifndef TAPSI_LOOP_RESOLVCONF_H
#define TAPSI_LOOP_RESOLVCONF_H

#include <stdint.h>
#include "base/addr.h"
#include "loop/lines.h"

#define TAPSI_NAMESERVERS 8   /* kept of an explicit list; of resolv.conf libc's three */
#define TAPSI_SEARCH_MAX  32  /* search domains kept */
#define TAPSI_NAME_MAX    256 /* a DNS name in text: 253, a dot and the terminator fit */

struct tapsi_nameserver {
    union tapsi_addr address; /* with port */
    char zone[16];            /* what stood behind "%", or "" */
};

struct tapsi_resolvconf {
    struct tapsi_nameserver servers[TAPSI_NAMESERVERS];
    unsigned server_count;
    char domains[TAPSI_SEARCH_MAX][TAPSI_NAME_MAX]; /* without dots at the ends; "" is the root */
    unsigned domain_count;
    unsigned ndots, attempts;
    uint32_t timeout_ms; /* 0 = not in the text */
    bool rotate;
};

/* What holds without a file: 127.0.0.1, no search, ndots 1, 3 attempts. */
void tapsi_resolvconf_defaults(struct tapsi_resolvconf *conf);
/* Fills `conf` from the text. Whatever is wrong in it is ignored, as in libc; a port behind a name server is
   taken, unlike libc. `host_name` (may be "") gives the search
   domain where the text has none. */
void tapsi_resolvconf_parse(struct tapsi_resolvconf *conf, struct tapsi_span text, const char *host_name);
/* "192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[fe80::1%eth0]:53": 0 or TAPS_E_RANGE. */
int tapsi_nameserver_parse(struct tapsi_span text, struct tapsi_nameserver *ret);
/* Several with commas between, 1 to TAPSI_NAMESERVERS: 0 or TAPS_E_RANGE, `conf` then unchanged. */
int tapsi_nameservers_parse(const char *text, struct tapsi_resolvconf *conf);

#endif
