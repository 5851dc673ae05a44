#include "h3.h"

#include <stdio.h>
#include <string.h>

/* --------------------------------------------------------------------------------------------------- integers */

/* QUIC's integers: the first two bits say how long it is (RFC 9000, 16). */
static unsigned integer_size(uint8_t first)
{
    return 1U << (first >> 6);
}

static uint64_t get_integer(const uint8_t *at)
{
    uint64_t value = at[0] & 63;
    for (unsigned i = 1; i < integer_size(at[0]); i++)
        value = value << 8 | at[i];
    return value;
}

static size_t put_integer(uint8_t *to, uint64_t value)
{
    if (value < 64) {
        to[0] = (uint8_t)value;
        return 1;
    }
    to[0] = (uint8_t)(0x80 | value >> 24);
    for (int i = 1; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
    return 4;
}

/* ----------------------------------------------------------------------------------------------------- frames */

static bool has_head(const struct h3_frames *f)
{
    unsigned type = f->head_length ? integer_size(f->head[0]) : 1;
    return f->head_length > type && f->head_length == type + integer_size(f->head[type]);
}

const uint8_t *h3_next(struct h3_frames *f, const uint8_t **data, size_t *length, size_t *ret_length)
{
    while (*length) {
        if (!f->inside) {
            f->head[f->head_length++] = *(*data)++;
            --*length;
            if (has_head(f)) {
                f->type = get_integer(f->head);
                f->rest = get_integer(f->head + integer_size(f->head[0]));
                f->head_length = 0;
                f->inside = f->rest != 0;
            }
            continue;
        }
        const uint8_t *piece = *data;
        *ret_length = f->rest < *length ? (size_t)f->rest : *length;
        *data += *ret_length;
        *length -= *ret_length;
        f->rest -= *ret_length;
        f->inside = f->rest != 0;
        return piece;
    }
    return NULL;
}

size_t h3_frame(uint8_t *to, uint64_t type, uint64_t length)
{
    size_t used = put_integer(to, type);
    return used + put_integer(to + used, length);
}

/* ---------------------------------------------------------------------------------------------- header blocks */

/* A field whose name is number `name` of the static table (RFC 9204, 4.5.4), at most 15 + 127. */
static size_t put_field(uint8_t *to, size_t room, unsigned name, const char *value)
{
    size_t length = strlen(value), used = 0;
    if (room < length + 6)
        return 0;
    to[used++] = (uint8_t)(0x50 | (name < 15 ? name : 15));
    if (name >= 15)
        to[used++] = (uint8_t)(name - 15);
    to[used++] = (uint8_t)(length < 127 ? length : 127);
    for (size_t rest = length < 127 ? 0 : length - 127, more = length >= 127; more; rest >>= 7) {
        more = rest > 127;
        to[used++] = (uint8_t)((rest & 127) | (more ? 128 : 0));
    }
    memcpy(to + used, value, length);
    return used + length;
}

static size_t put_headers(uint8_t *to, size_t size, const uint8_t *block, size_t length)
{
    uint8_t head[9];
    size_t used = h3_frame(head, H3_HEADERS, length);
    if (!length || used + length > size)
        return 0;
    memcpy(to, head, used);
    memcpy(to + used, block, length);
    return used + length;
}

size_t h3_request(uint8_t *to, size_t size, const char *authority, const char *path)
{
    uint8_t block[H3_HEAD_MAX] = {0, 0, 0xd1, 0xd7}; /* no dynamic table; :method GET; :scheme https */
    size_t used = 4, one = put_field(block + used, sizeof(block) - used, 0, authority);
    size_t two = one ? put_field(block + used + one, sizeof(block) - used - one, 1, path) : 0;
    return two ? put_headers(to, size, block, used + one + two) : 0;
}

size_t h3_response(uint8_t *to, size_t size, const char *type, uint64_t length)
{
    char text[24];
    uint8_t block[H3_HEAD_MAX] = {0, 0, 0xd9}; /* :status 200 */
    snprintf(text, sizeof(text), "%llu", (unsigned long long)length);
    size_t used = 3, one = put_field(block + used, sizeof(block) - used, 4, text);
    size_t two = put_field(block + used + one, sizeof(block) - used - one, 44, type);
    return two ? put_headers(to, size, block, used + one + two) : 0;
}

/* ----------------------------------------------------------------------------------------------------- control */

static const struct taps_connection_events no_events;

int h3_open_control(taps_connection *connection, taps_connection **ret_control)
{
    static const uint8_t settings[] = {0, H3_SETTINGS, 0}; /* the stream's type, and an empty SETTINGS frame */
    taps_transport_properties *properties;
    int err = taps_transport_properties_new(&properties);
    if (err)
        return err;
    err = taps_transport_properties_set(properties, "direction", "unidirectional send");
    if (!err)
        err = taps_connection_clone(connection, NULL, properties, &no_events, NULL, ret_control);
    if (!err)
        err = taps_connection_send(*ret_control, settings, sizeof(settings), NULL, TAPS_SEND_PARTIAL, NULL);
    taps_transport_properties_free(properties);
    return err;
}
