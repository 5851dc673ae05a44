/*
 * For the tests of the MQTT Framer: an end of either kind, with the handshake behind it, and what it sends and says.
 */
#ifndef TAPSI_MESSAGE_TEST_MQTT_H
#define TAPSI_MESSAGE_TEST_MQTT_H

#include "stack/framer/test_framing.h"

#define BYTES(text) (text), sizeof(text) - 1
#define CONNACK     "\x20\2\0\0"
#define CONNECT     "\x10\x0d\0\4MQTT\4\2\0\x0a\0\1c"
#define WITH(...)   ((const char *const[]){__VA_ARGS__, NULL})

/* With the handshake behind it; what it wrote is forgotten. */
void mqtt_open_client(struct test_framing *t, const char *text);
void mqtt_open_server(struct test_framing *t, const char *text);
/* Keys and values, one behind the other, until NULL. */
int mqtt_send_with(struct test_framing *t, const char *payload, const char *const *texts);
/* `value` NULL: there is none. */
bool mqtt_has(const struct test_framing *t, size_t index, const char *key, const char *value);
/* The client, or the server, that gets these bytes behind the handshake fails, however they are split, and says why. */
void mqtt_fails(bool server, const char *bytes, size_t length, const char *why);

#endif
