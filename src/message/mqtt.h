/*
 * MQTT 3.1.1 at work: what its files share. framer_mqtt.c (options, time, the end), mqtt_connect.c (CONNECT, CONNACK
 * and the first SUBSCRIBE, of both roles), mqtt_send.c (Messages to packets), mqtt_receive.c (packets to Messages),
 * mqtt_flight.c (what is not acknowledged yet).
 */
#ifndef TAPSI_MESSAGE_MQTT_H
#define TAPSI_MESSAGE_MQTT_H

#include <taps/framer.h>

#include "message/mqtt_packet.h"

#define TAPSI_MQTT_FILTERS_MAX 256u               /* of one SUBSCRIBE or UNSUBSCRIBE */
#define TAPSI_MQTT_CONTROL_MAX ((uint32_t)131072) /* bytes of a packet that is no PUBLISH */

/* Copied as one block, so the texts lie in it. */
struct tapsi_mqtt_options {
    uint64_t maximum; /* bytes of a payload that is received */
    uint16_t keep_alive;
    uint16_t in_flight;
    bool persists; /* not a clean session */
    bool raw, retain, has_user, has_password, has_will, will_retain;
    uint8_t qos, will_qos, subscribe_qos;
    uint16_t subscribe_count;
    char client_id[256], user[256], password[2048], topic[256], will_topic[256], will_message[1024];
    char subscribe[2048]; /* filters, each with its terminator */
    uint16_t subscribe_used;
};

enum tapsi_mqtt_phase {
    TAPSI_MQTT_GREETING,    /* client: no CONNACK yet; server: no CONNECT yet */
    TAPSI_MQTT_SUBSCRIBING, /* client: no SUBACK yet for the option's filters */
    TAPSI_MQTT_OPEN
};

/* What a packet identifier of ours waits for. */
struct tapsi_mqtt_flight {
    uint16_t id;
    uint8_t awaits; /* enum tapsi_mqtt_type: PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK */
    uint8_t own;    /* a SUBSCRIBE of the option's filters: its SUBACK is no Message */
    uint16_t count; /* of filters */
};

struct tapsi_mqtt {
    enum tapsi_mqtt_phase phase;
    bool server, stopping;
    bool ended;          /* DISCONNECT has come */
    bool gone;           /* the last word was said, and nothing may be sent behind it */
    bool skips;          /* the rest of this payload goes to nobody */
    bool sent, heard;    /* since the last tick */
    bool awaits_pong;    /* since a PINGREQ */
    unsigned quiet;      /* ticks */
    uint16_t keep_alive; /* s; 0: none */
    uint16_t last_id;
    uint64_t left; /* of a payload that is being received */
    uint8_t ack;   /* enum tapsi_mqtt_type: to be sent behind it, or 0 */
    uint16_t ack_id;
    uint16_t flights_used, flights_room;
    struct tapsi_mqtt_flight *flights;
    uint8_t *known; /* a bit for each identifier of a QoS 2 PUBLISH that came and is not released; NULL: none yet */
};

/* framer_mqtt.c */
/* Everything that is sent by itself goes through here, so that it counts against keep-alive. */
int tapsi_mqtt_emit(taps_framing *framing, const void *bytes, size_t length);
/* A packet of two bytes, the identifier: PUBACK and its like. */
int tapsi_mqtt_emit_id(taps_framing *framing, enum tapsi_mqtt_type type, unsigned id);
/* The timer of keep-alive, once it is known. */
int tapsi_mqtt_tick(taps_framing *framing);
/* When nothing is in flight any more and the Connection is closing: DISCONNECT, and that was it. */
int tapsi_mqtt_last_word(taps_framing *framing);

/* mqtt_flight.c */
/* 0, TAPS_FRAMING_WAIT (too many, or that identifier is in use), TAPS_E_MEMORY: there is room for one more. *id 0 picks
   one. */
int tapsi_mqtt_flight_room(taps_framing *framing, uint16_t *id);
void tapsi_mqtt_flight_add(taps_framing *framing, uint16_t id, enum tapsi_mqtt_type awaits, unsigned count, bool own);
/* NULL: nothing is in flight under it. */
struct tapsi_mqtt_flight *tapsi_mqtt_flight_find(struct tapsi_mqtt *state, unsigned id);
/* It has arrived: who waits for room is asked again. */
int tapsi_mqtt_flight_land(taps_framing *framing, struct tapsi_mqtt_flight *flight);
/* Was this QoS 2 PUBLISH here before? From now on it was. Negative: no memory. */
int tapsi_mqtt_known(taps_framing *framing, unsigned id);
void tapsi_mqtt_forget(struct tapsi_mqtt *state, unsigned id);

/* mqtt_connect.c */
int tapsi_mqtt_start(taps_framing *framing);
/* Handlers of packets: `reader` is at what follows the head. 0 or negative. */
int tapsi_mqtt_on_connack(taps_framing *framing, struct tapsi_mqtt_reader *reader);
int tapsi_mqtt_on_connect(taps_framing *framing, struct tapsi_mqtt_reader *reader);

/* mqtt_send.c */
int tapsi_mqtt_send(taps_framing *framing, const struct taps_sent_message *message);
/* The filters are one behind the other, each with its terminator. */
int tapsi_mqtt_send_filters(taps_framing *framing, enum tapsi_mqtt_type type, uint16_t id, unsigned qos,
                            const char *filters, unsigned count);

/* mqtt_receive.c */
int tapsi_mqtt_receive(taps_framing *framing);
/* Metadata from bytes that have no terminator. */
int tapsi_mqtt_tell(taps_framing *framing, const char *key, struct tapsi_mqtt_bytes text);
int tapsi_mqtt_tell_number(taps_framing *framing, const char *key, unsigned number);

#endif
