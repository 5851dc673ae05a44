/*
 * The demo's DNS server: one UDP socket on the loopback interface that knows a handful of addresses for every name
 * under one domain.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_NAMESERVER_H
#define TAPS_TOOL_NAMESERVER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

enum { NAMESERVER_ADDRESSES = 4 };

struct nameserver {
    const char *domain; /* "taps.test"; names that do not end in it do not exist */
    struct in_addr v4[NAMESERVER_ADDRESSES];
    struct in6_addr v6[NAMESERVER_ADDRESSES];
    size_t v4_count, v6_count;

    int fd;           /* poll for input, then nameserver_answer */
    char address[32]; /* "127.0.0.1:40000", as the library takes it */
    unsigned answered;
};

/* Fill in domain and addresses first. 0 or an errno. */
int nameserver_open(struct nameserver *server);
/* Answers what has come. */
void nameserver_answer(struct nameserver *server);
void nameserver_close(struct nameserver *server);

#endif
