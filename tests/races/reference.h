/*
 * What must come of a race, worked out from the script alone and without a line of the library's selection, ordering or
 * racing: slow, and written to be read beside RFC 9622 6.2, RFC 9623 4, RFC 8305 and RFC 6724. The library's own
 * choices that those leave open are from docs/design/003 and 005.
 */
#ifndef TESTS_RACES_REFERENCE_H
#define TESTS_RACES_REFERENCE_H

#include "base/addr.h"
#include "script.h"

#define REFERENCE_ADDRESSES  16
#define REFERENCE_INTERFACES 5
#define REFERENCE_NAMES      8
#define REFERENCE_ATTEMPTS   128

/* ---------------------------------------------------------------------------- what the script says of the client */

struct reference_address {
    union tapsi_addr address;
    unsigned bits;
    bool temporary, deprecated;
};

struct reference_interface {
    char name[16], type[16], full_name[24]; /* "eth0", "ethernet", "client/eth0" */
    bool up;
    unsigned index;
    struct reference_address addresses[REFERENCE_ADDRESSES];
    unsigned address_count;
};

struct reference_client {
    struct reference_interface interfaces[REFERENCE_INTERFACES];
    unsigned count;
};

void reference_client(const struct script *script, struct reference_client *ret);

/* --------------------------------------------------------------------------------------- selection (reference.c) */

enum reference_stack { REFERENCE_TLS, REFERENCE_TCP, REFERENCE_UDP, REFERENCE_STACKS };
extern const char *const reference_stack_names[REFERENCE_STACKS];

/* In the order in which they are tried. */
struct reference_choice {
    enum reference_stack stacks[REFERENCE_STACKS];
    unsigned stack_count;
    unsigned interfaces[REFERENCE_INTERFACES]; /* places in the client's list */
    unsigned interface_count;
    bool refused; /* no stack at all, or a contradiction in the wishes: Initiate itself says so */
};

void reference_choose(const struct script *script, const struct reference_client *client, struct reference_choice *ret);
/* "require", "prefer", "no preference", "avoid", "prohibit": 2 .. -2 of a property, set or by default. */
int reference_wish(const struct script *script, const char *property);

/* ------------------------------------------------------------------------------------- order (reference_order.c) */

struct reference_destination {
    union tapsi_addr address;
    bool has_source;
    struct reference_address source;
};

/* RFC 6724, 5: the source this interface would use; false: it has none. */
bool reference_source(const struct reference_interface *interface, const union tapsi_addr *destination,
                      bool prefer_temporary, struct reference_address *ret);
/* RFC 6724, 6, then RFC 8305, 4: sorted, then interleaved by family. */
void reference_order(struct reference_destination *destinations, unsigned count);

/* --------------------------------------------------------------------------------------- the race (reference_race.c)
 */

struct reference_attempt {
    uint64_t time; /* ns after Initiate */
    const char *interface;
    enum reference_stack stack;
    union tapsi_addr to;
    bool temporary; /* the source */
};

struct reference_race {
    bool known; /* false: chance, or something that is not modelled, decides */
    struct reference_attempt attempts[REFERENCE_ATTEMPTS];
    unsigned count;
    int winner; /* of the attempts, or -1: none */
    uint64_t ready_at;
};

/* Until then nothing is left to chance, and nothing changes by itself. */
bool reference_is_quiet(const struct script *script, uint64_t until);
void reference_race(const struct script *script, const struct reference_client *client,
                    const struct reference_choice *choice, struct reference_race *ret);

#endif
