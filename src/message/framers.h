/* The library's own Framers, by name: a row each in framers.c. */
#ifndef TAPSI_MESSAGE_FRAMERS_H
#define TAPSI_MESSAGE_FRAMERS_H

#include <taps/framer.h>

/* NULL = there is none. Case does not matter; "-", "_" and a space are the same. */
const struct taps_framer_definition *tapsi_framers_find(const char *name);
/* From 0, in the order of the names' list in taps/framer.h; NULL beyond the last. */
const struct taps_framer_definition *tapsi_framers_at(size_t index);

/* One of each framer_*.c. */
extern const struct taps_framer_definition tapsi_framer_length;
extern const struct taps_framer_definition tapsi_framer_delimiter;
extern const struct taps_framer_definition tapsi_framer_netstring;
extern const struct taps_framer_definition tapsi_framer_tlv;
extern const struct taps_framer_definition tapsi_framer_http;
extern const struct taps_framer_definition tapsi_framer_mqtt;
extern const struct taps_framer_definition tapsi_framer_starttls;
extern const struct taps_framer_definition tapsi_framer_websocket;

#endif
