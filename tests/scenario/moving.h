/* Endpoints for the tests of paths: of a Connection that is a stream of a session. */
#ifndef TESTS_MOVING_H
#define TESTS_MOVING_H

#include "streams.h"

enum verb { ADD_LOCAL, REMOVE_LOCAL, ADD_REMOTE, REMOVE_REMOTE };

/* What the call said. The endpoint as taps_endpoint_with_text takes it, "192.0.2.3" or "192.0.2.1:443"; a name without
   dots is an interface. */
int moving_call(taps_connection *connection, enum verb verb, const char *endpoint);
/* An ended one says TAPS_E_LOCAL_ABORT, with these words among its own. */
bool moving_ended(const struct stream *stream, const char *words);
/* The address that it says it is on is this one. */
bool moving_is_at(const struct stream *stream, const char *address);
/* One of the client's interfaces more, on the same link: "198.51.100.2/24". */
struct tapsi_sim_interface *moving_interface(struct streams *s, const char *name, enum tapsi_interface_type type,
                                             const char *addresses);
/* Says a byte, and it comes at the server within `ms`. */
bool moving_talks(struct streams *s, struct stream *stream, uint64_t ms);

#endif
