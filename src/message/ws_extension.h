/* What the two sides agree on about permessage-deflate (RFC 7692, 5 and 7.1). */
#ifndef TAPSI_MESSAGE_WS_EXTENSION_H
#define TAPSI_MESSAGE_WS_EXTENSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The four parameters of section 7.1. Window bits 0: not said; an offer may name client_max_window_bits without a
   number, which is 1 here. */
struct tapsi_ws_agreement {
    bool server_no_context, client_no_context;
    uint8_t server_bits, client_bits;
};

#define TAPSI_WS_BITS_NAMED 1
/* Bytes of the longest text that tapsi_ws_offer_write and tapsi_ws_agreement_write make, with its terminator. */
#define TAPSI_WS_EXTENSION_TEXT 160

/* The client's offer: what it wants of the server, and that it can narrow its own window. */
size_t tapsi_ws_offer_write(const struct tapsi_ws_agreement *wants, char *to, size_t size);
/* The server's choice: looks through the value of one Sec-WebSocket-Extensions line for the first offer it can take.
   True: ret_agreed is what holds for both, with what `wants` asks for where the offer lets it. */
bool tapsi_ws_offer_choose(const char *value, size_t length, const struct tapsi_ws_agreement *wants,
                           struct tapsi_ws_agreement *ret_agreed);
/* What the server answers. */
size_t tapsi_ws_agreement_write(const struct tapsi_ws_agreement *agreed, char *to, size_t size);
/* The client reads the server's answer: NULL, or what is wrong with it. */
const char *tapsi_ws_agreement_read(const char *value, size_t length, const struct tapsi_ws_agreement *wanted,
                                    struct tapsi_ws_agreement *ret_agreed);

#endif
