/* Messages that are sent in parts, for Framers whose head tells how long the whole is: the application says it
   beforehand, in the metadata "length" of the first part, and then keeps to it. */
#ifndef TAPSI_MESSAGE_PARTS_H
#define TAPSI_MESSAGE_PARTS_H

#include <taps/framer.h>

struct tapsi_parts {
    bool open;     /* a Message has begun and not ended */
    uint64_t left; /* bytes of it that are to come */
};

/* What `message` makes of `parts`: 0, and for a first part ret_total is the length of the Message; or
   TAPS_E_MESSAGE_PROPERTIES: there is no such metadata, or the parts are more or less than it says; or
   TAPS_E_MESSAGE_TOO_LARGE. The caller keeps the new `parts` only if the part was sent. */
int tapsi_parts_take(taps_framing *framing, const struct taps_sent_message *message, uint64_t maximum,
                     struct tapsi_parts *parts, uint64_t *ret_total);

#endif
