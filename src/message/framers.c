#include "message/framers.h"

#include "message/options.h"

/* In the order in which they are told to people; ends with NULL. */
static const struct taps_framer_definition *const rows[] = {
    &tapsi_framer_length,    /* length-prefix */
    &tapsi_framer_delimiter, /* delimiter */
    &tapsi_framer_netstring, /* netstring */
    &tapsi_framer_tlv,       /* tlv */
    &tapsi_framer_http,      /* http */
    &tapsi_framer_websocket, /* websocket */
    &tapsi_framer_mqtt,      /* mqtt */
    &tapsi_framer_starttls,  /* starttls */
    NULL,
};

const struct taps_framer_definition *tapsi_framers_at(size_t index)
{
    return index < sizeof(rows) / sizeof(rows[0]) ? rows[index] : NULL;
}

const struct taps_framer_definition *tapsi_framers_find(const char *name)
{
    for (size_t i = 0; rows[i]; i++) {
        if (tapsi_options_is(name, rows[i]->name))
            return rows[i];
    }
    return NULL;
}
