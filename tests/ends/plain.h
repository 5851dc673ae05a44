/*
 * Plain peers: threads with blocking sockets, and GnuTLS where it is to be TLS, that know nothing of the library. They
 * begin to read only when they are told to, check every byte, and write down how it ended.
 */
#ifndef TESTS_PLAIN_H
#define TESTS_PLAIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "stack/secure/test_certificates.h"

enum plain_end { PLAIN_OPEN, PLAIN_ENDED, PLAIN_RESET, PLAIN_TRUNCATED, PLAIN_FAILED };

struct plain_peers;

struct plain_peer {
    struct plain_peers *peers;
    pthread_t thread;
    int fd;
    uint64_t got;
    unsigned number; /* the first eight bytes say whose it is */
    bool numbered, wrong;
    enum plain_end end; /* TRUNCATED: a FIN without close_notify */
};

struct plain_peers {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t told;
    int listening;
    uint16_t port;
    bool secure, may_read;
    uint64_t reset_at; /* bytes after which each resets; 0 = never */
    size_t answer;     /* 0, or: each says so many bytes to the first that comes, ends, and is gone */
    unsigned expected, accepted, ready;
    struct plain_peer *peers;
    struct tapsi_test_identity authority, identity; /* of 127.0.0.1 */
};

/* What Connection `number` sends at `offset`, at least 1 MiB of it; its first eight bytes are the number. */
const uint8_t *plain_content(unsigned number, uint64_t offset);
#define PLAIN_PIECE ((size_t)1 << 20)

/* Listens, and waits for so many. */
bool plain_begin(struct plain_peers *p, unsigned expected, bool secure);
void plain_read_now(struct plain_peers *p);
/* All have ended. */
void plain_end(struct plain_peers *p);
void plain_done(struct plain_peers *p);

#endif
