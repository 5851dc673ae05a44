/* Packets that are not acknowledged yet, ours and the peer's. Both are bounded: ours by the option, the peer's by the
   number of identifiers there are. */
#include "message/mqtt.h"

#include <string.h>

#define KNOWN_BYTES 8192 /* a bit for each of 65536 */

struct tapsi_mqtt_flight *tapsi_mqtt_flight_find(struct tapsi_mqtt *s, unsigned id)
{
    for (unsigned i = 0; i < s->flights_used; i++) {
        if (s->flights[i].id == id)
            return &s->flights[i];
    }
    return NULL;
}

static int grow(taps_framing *framing, struct tapsi_mqtt *s, unsigned most)
{
    unsigned room = s->flights_room ? s->flights_room * 2u : 8u;
    room = room < most ? room : most;
    struct tapsi_mqtt_flight *grown = taps_framing_resize(framing, s->flights, room * sizeof(*grown));
    if (!grown)
        return TAPS_E_MEMORY;
    s->flights = grown;
    s->flights_room = (uint16_t)room;
    return 0;
}

int tapsi_mqtt_flight_room(taps_framing *framing, uint16_t *id)
{
    const struct tapsi_mqtt_options *options = taps_framing_options(framing);
    struct tapsi_mqtt *s = taps_framing_state(framing);
    if (s->flights_used >= options->in_flight || (*id && tapsi_mqtt_flight_find(s, *id)))
        return TAPS_FRAMING_WAIT;
    int err = s->flights_used == s->flights_room ? grow(framing, s, options->in_flight) : 0;
    while (!err && !*id) {
        if (++s->last_id && !tapsi_mqtt_flight_find(s, s->last_id))
            *id = s->last_id;
    }
    return err;
}

void tapsi_mqtt_flight_add(taps_framing *framing, uint16_t id, enum tapsi_mqtt_type awaits, unsigned count, bool own)
{
    struct tapsi_mqtt *s = taps_framing_state(framing);
    s->flights[s->flights_used++] = (struct tapsi_mqtt_flight){id, (uint8_t)awaits, own, (uint16_t)count};
}

int tapsi_mqtt_flight_land(taps_framing *framing, struct tapsi_mqtt_flight *flight)
{
    struct tapsi_mqtt *s = taps_framing_state(framing);
    *flight = s->flights[--s->flights_used];
    taps_framing_resume(framing);
    return s->stopping ? tapsi_mqtt_last_word(framing) : 0;
}

int tapsi_mqtt_known(taps_framing *framing, unsigned id)
{
    struct tapsi_mqtt *s = taps_framing_state(framing);
    if (!s->known) {
        s->known = taps_framing_resize(framing, NULL, KNOWN_BYTES);
        if (!s->known)
            return TAPS_E_MEMORY;
        memset(s->known, 0, KNOWN_BYTES);
    }
    uint8_t bit = (uint8_t)(1u << (id % 8));
    int was = (s->known[id / 8] & bit) != 0;
    s->known[id / 8] |= bit;
    return was;
}

void tapsi_mqtt_forget(struct tapsi_mqtt *s, unsigned id)
{
    if (s->known)
        s->known[id / 8] &= (uint8_t) ~(1u << (id % 8));
}
