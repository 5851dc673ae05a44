/*
 * A c-ares channel on the loop: its sockets are the platform's, its retransmissions run by one of our timers.
 *
 * c-ares calls back from inside nearly every one of its functions. Callbacks given to it may only record and queue
 * tasks; they may call no function of c-ares but ares_freeaddrinfo. After each call into the channel call
 * tapsi_dns_arm.
 */
#ifndef TAPSI_LOOP_DNS_SOCKETS_H
#define TAPSI_LOOP_DNS_SOCKETS_H

#include <ares.h>
#include "loop/loop.h"
#include "loop/resolvconf.h"

struct tapsi_dns {
    struct tapsi_loop *loop;
    ares_channel channel; /* NULL: not open */
    struct tapsi_link sockets;
    struct tapsi_timer timer; /* of retransmissions, and for what is left of a turn */
    struct tapsi_nameserver servers[TAPSI_NAMESERVERS];
    unsigned server_count;
    /* Every UDP answer, before c-ares sees it; NULL = not interested. */
    void (*answer)(void *user, const uint8_t *packet, size_t length);
    void *user;
};

/* 0, TAPS_E_MEMORY or TAPS_E_SYSTEM. Nothing is sent. The fields from `answer` on are the caller's to set before. */
int tapsi_dns_open(struct tapsi_dns *dns, struct tapsi_loop *loop, const struct tapsi_resolvconf *conf,
                   uint32_t timeout_ms);
/* Outstanding requests are called back with ARES_EDESTRUCTION. Harmless when not open. */
void tapsi_dns_close(struct tapsi_dns *dns);
void tapsi_dns_arm(struct tapsi_dns *dns);
/* Forgets how fast and how reliable the servers were. While nothing is asked. 0, TAPS_E_MEMORY or TAPS_E_SYSTEM. */
int tapsi_dns_forget(struct tapsi_dns *dns);

#endif
