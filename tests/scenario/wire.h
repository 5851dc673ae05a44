/*
 * What a program gives to its sockets: every byte before it leaves, every kind of socket, every option. It stands
 * between the library and its platform, so nothing can pass by. One at a time.
 */
#ifndef TESTS_WIRE_H
#define TESTS_WIRE_H

#include <taps/taps.h>
#include "platform/platform.h"

struct wire_option {
    int level, option, value;
};

struct wire {
    const struct tapsi_platform_ops *real;
    uint8_t bytes[512 * 1024]; /* those of all streams and datagrams, one after the other; the first ones */
    size_t length;
    unsigned streams, datagrams, multipath; /* sockets made */
    struct wire_option options[256];
    unsigned option_count;
    char devices[8][16]; /* SO_BINDTODEVICE */
    unsigned device_count;
};

/* From now on, until the context is freed. */
void wire_tap(struct wire *wire, taps_context *context);
/* Were these bytes given to any socket, in one piece? */
bool wire_has(const struct wire *wire, const void *bytes, size_t count);
bool wire_has_text(const struct wire *wire, const char *text);
/* Was the option set to this value, on any socket? */
bool wire_set(const struct wire *wire, int level, int option, int value);
bool wire_bound(const struct wire *wire, const char *device);

#endif
