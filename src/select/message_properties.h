/* The properties of one Message, or the metadata of a received one: what a taps_message_context is. */
#ifndef TAPSI_SELECT_MESSAGE_PROPERTIES_H
#define TAPSI_SELECT_MESSAGE_PROPERTIES_H

#include "base/meta.h"
#include "select/properties.h"
#include "select/select.h"

#define TAPSI_MESSAGE_PROPERTIES (TAPS_PROPERTY_COUNT - TAPS_MSG_LIFETIME)

/* What a received context says beside its properties. */
enum tapsi_received {
    TAPSI_RECEIVED = 1,       /* it is one */
    TAPSI_RECEIVED_EARLY = 2, /* came as 0-RTT data */
    TAPSI_RECEIVED_HERE = 4,  /* it is the one of a Connection, who knows where it came from */
    TAPSI_RECEIVED_ECN = 8,   /* times ECN field + 1; 0 = not told */
};

static inline int tapsi_received_ecn(unsigned received)
{
    return (int)(received / TAPSI_RECEIVED_ECN) - 1;
}

/* A received Message's context may be this alone: then nothing is set. */
struct tapsi_context_head {
    struct tapsi_mem *mem;   /* whose block it is; NULL when embedded in something else */
    uint64_t set;            /* bit per enum taps_property; a value that is not set is unspecified */
    unsigned received;       /* enum tapsi_received */
    struct tapsi_meta *meta; /* of Framers: a reference, or NULL */
    uint64_t arrived;        /* ns; of one that is TAPSI_RECEIVED_HERE, 0 means in this turn */
};

struct taps_message_context {
    struct tapsi_context_head head;
    struct taps_value values[TAPSI_MESSAGE_PROPERTIES]; /* from TAPS_MSG_LIFETIME on */
    struct taps_endpoint *local, *remote;               /* of a copy of a received one, which owns them; or NULL */
};

/* The application sees it as any other context: read-only, and copied by taps_message_context_copy. */
static inline const struct taps_message_context *tapsi_received_context(const struct tapsi_context_head *head)
{
    return (const struct taps_message_context *)(const void *)head;
}

void tapsi_message_context_init(struct taps_message_context *context, struct tapsi_mem *mem);
/* 0; TAPS_E_UNKNOWN_PROPERTY; TAPS_E_NOT_APPLICABLE if it is no Message Property; TAPS_E_READ_ONLY of a received one;
   TAPS_E_TYPE; TAPS_E_RANGE. */
int tapsi_message_context_set(struct taps_message_context *context, enum taps_property property,
                              struct taps_value value);
int tapsi_message_context_set_text(struct taps_message_context *context, enum taps_property property, const char *text);
bool tapsi_message_context_is_set(const struct taps_message_context *context, enum taps_property property);

/* What holds for a Message on a Connection: its own value, else the Connection's default, else what RFC 9622, 9.1.3
   derives from the stack (msgOrdered, msgReliable) or the Connection (msgCapacityProfile), else the default. `context`
   NULL = nothing of its own. `property` must be a Message Property. */
struct taps_value tapsi_message_value(const struct taps_message_context *context,
                                      const struct tapsi_properties *properties, const struct tapsi_offer *offer,
                                      enum taps_property property);

#endif
