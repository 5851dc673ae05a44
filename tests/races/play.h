/*
 * Plays a script on the simulated network and looks at it all the way: what the application is told, every attempt on
 * the wire, every byte. What must hold of every race whatsoever is checked (check.c), then what the reference expects
 * of this one (reference.h), then what the script itself expects. The observer watches besides.
 */
#ifndef TESTS_RACES_PLAY_H
#define TESTS_RACES_PLAY_H

#include <stdio.h>
#include <taps/taps.h>
#include "stage.h"

#define PLAY_ATTEMPTS 128
#define PLAY_MESSAGES 64

enum play_end {
    PLAY_ALIVE,
    PLAY_REFUSED, /* by Initiate itself */
    PLAY_ESTABLISHMENT_ERROR,
    PLAY_CLOSED,
    PLAY_CONNECTION_ERROR,
    PLAY_FREED, /* by the application, before any of these */
};

/* The first SYN of a connection attempt. */
struct play_attempt {
    uint64_t time; /* ns after Initiate */
    char interface[16];
    union tapsi_addr from, to;
};

struct play_message {
    size_t length;
    enum { PLAY_WAITS, PLAY_SENT, PLAY_EXPIRED, PLAY_SEND_ERROR } state;
    unsigned copies; /* of a datagram that came back */
};

struct play {
    const struct script *script;
    bool verbose; /* everything that happens is printed */
    struct stage stage;
    struct taps_context_options options;
    taps_context *context;
    taps_transport_properties *properties;
    taps_security_parameters *security;
    taps_preconnection *preconnection;
    taps_connection *connection;
    /* memory */
    long blocks;
    uint64_t fail_allocation; /* the so-manieth from now */
    bool allocation_failed;
    /* what came of it; times in ns after Initiate */
    uint64_t begun, ready_at, end_at, last_sent_at, close_at;
    bool began, is_ready;
    enum play_end end;
    int code;
    char detail[300];
    char winner_stack[16], winner_remote[80], winner_interface[16];
    unsigned sockets_at_ready;
    unsigned occurrences[SCRIPT_EVENTS];
    uint64_t timeout, leaps; /* the clock's: for so long nothing is done at its time */
    bool close_called, abort_called, predicted;
    /* the wire */
    struct play_attempt attempts[PLAY_ATTEMPTS];
    unsigned attempt_count;
    uint64_t syn_after_ready; /* when the first SYN was seen after Ready; 0 = none */
    uint64_t hash;            /* of every packet and event */
    /* bytes */
    bool is_stream, whole_datagrams; /* every Receive has room for any datagram */
    struct play_message messages[PLAY_MESSAGES];
    unsigned message_count;
    unsigned sent_order[PLAY_MESSAGES], sent_count;
    char *received;
    size_t received_length, received_capacity;
    bool received_end;
    uint64_t keep_min, keep_max; /* Receive again after each; 0 = do not */
};

/* True: nothing was wrong. What is wrong is told by tapsi_test_fail as well. `ret_hash` may be NULL. */
bool play(const struct script *script, bool verbose, uint64_t *ret_hash);

/* Races so far whose course the reference knew beforehand. */
unsigned long play_predicted(void);

void play_wrong(struct play *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The byte at `offset` of a Message. */
static inline char play_byte(unsigned message, size_t offset)
{
    return (char)(message * 131u + offset * 7u + (offset >> 8));
}

uint64_t play_elapsed(const struct play *p); /* ns since Initiate */
/* Something that happened: part of the hash, and printed if wanted. */
void play_say(struct play *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *play_counted(void *user, void *block, size_t size); /* the allocator of the client's context */

#define PLAY_DATA_MAX 65536 /* of one Message */

/* play_events.c */
extern const struct taps_connection_events play_events;
void play_over(struct play *p, enum play_end end, const struct taps_error *error);

/* play_actions.c */
void play_act(struct play *p, const struct script_line *line);
/* Makes the bytes of a Message; returns how many. */
size_t play_fill(char *data, unsigned message, uint64_t length);

/* play_begin.c */
bool play_prepare(struct play *p); /* context and Preconnection */
void play_begin(struct play *p, const struct script_line *initiate);

/* check.c: after the end, before anything is freed */
void check_race(struct play *p);
/* check_reference.c: part of check_race */
void check_by_reference(struct play *p);
/* check_expected.c */
void check_expected(struct play *p);

#endif
