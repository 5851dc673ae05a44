/* The packets of MQTT 3.1.1 (OASIS Standard, 29 October 2014): their heads, the texts in them, and what is allowed. */
#ifndef TAPSI_MESSAGE_MQTT_PACKET_H
#define TAPSI_MESSAGE_MQTT_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tapsi_mqtt_type {
    TAPSI_MQTT_CONNECT = 1,
    TAPSI_MQTT_CONNACK,
    TAPSI_MQTT_PUBLISH,
    TAPSI_MQTT_PUBACK,
    TAPSI_MQTT_PUBREC,
    TAPSI_MQTT_PUBREL,
    TAPSI_MQTT_PUBCOMP,
    TAPSI_MQTT_SUBSCRIBE,
    TAPSI_MQTT_SUBACK,
    TAPSI_MQTT_UNSUBSCRIBE,
    TAPSI_MQTT_UNSUBACK,
    TAPSI_MQTT_PINGREQ,
    TAPSI_MQTT_PINGRESP,
    TAPSI_MQTT_DISCONNECT,
    TAPSI_MQTT_TYPES
};

#define TAPSI_MQTT_HEAD_MAX   5
#define TAPSI_MQTT_LENGTH_MAX 268435455u /* four digits of seven bits */
#define TAPSI_MQTT_TEXT_MAX   65535u
#define TAPSI_MQTT_FAILURE    0x80u /* in a SUBACK */

/* Flags of PUBLISH. */
#define TAPSI_MQTT_DUP    8u
#define TAPSI_MQTT_RETAIN 1u

struct tapsi_mqtt_head {
    enum tapsi_mqtt_type type;
    unsigned flags;
    uint32_t length; /* of what follows the head */
    size_t size;     /* of the head itself */
};

/* 1: here it is. 0: more bytes are needed. TAPS_E_DEFRAMING: ret_why says what is wrong. Static text. */
int tapsi_mqtt_head_read(const uint8_t *data, size_t length, struct tapsi_mqtt_head *ret, const char **ret_why);
/* At most TAPSI_MQTT_HEAD_MAX bytes; returns how many. `length` is at most TAPSI_MQTT_LENGTH_MAX. */
size_t tapsi_mqtt_head_write(uint8_t *to, enum tapsi_mqtt_type type, unsigned flags, uint32_t length);
/* The flags that a packet of that type must have; those of PUBLISH are its own. */
unsigned tapsi_mqtt_flags(enum tapsi_mqtt_type type);

/* "publish". Static. */
const char *tapsi_mqtt_type_text(enum tapsi_mqtt_type type);
/* Its opposite, whatever the case; 0: there is none of that name. */
enum tapsi_mqtt_type tapsi_mqtt_type_of(const char *text);

/* UTF-8 (RFC 3629) without U+0000, of at most 65535 bytes: what the standard calls a string (1.5.3). */
bool tapsi_mqtt_is_text(const uint8_t *bytes, size_t length);
/* A name of a topic: such a text, not empty, without wildcards (4.7). */
bool tapsi_mqtt_is_topic(const uint8_t *bytes, size_t length);
/* A filter: '+' and '#' each stand for whole levels, '#' for the last. */
bool tapsi_mqtt_is_filter(const uint8_t *bytes, size_t length);
/* The words of a return code of CONNACK, 1 to 5; NULL: reserved. */
const char *tapsi_mqtt_refusal(unsigned code);

/* Reads the fields of a packet, one after the other: what is not there is 0 or empty, and sets `failed`. */
struct tapsi_mqtt_reader {
    const uint8_t *at;
    size_t left;
    bool failed;
};
struct tapsi_mqtt_bytes {
    const uint8_t *data;
    size_t length;
};
unsigned tapsi_mqtt_read_byte(struct tapsi_mqtt_reader *reader);
unsigned tapsi_mqtt_read_number(struct tapsi_mqtt_reader *reader); /* two bytes */
/* A length of two bytes and so many. */
struct tapsi_mqtt_bytes tapsi_mqtt_read_bytes(struct tapsi_mqtt_reader *reader);

/* Writers return where they have stopped. */
uint8_t *tapsi_mqtt_write_number(uint8_t *to, unsigned number);
uint8_t *tapsi_mqtt_write_bytes(uint8_t *to, const void *bytes, size_t length);

#endif
