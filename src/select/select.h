/*
 * Selection: pure and without I/O. Capabilities of each stack x properties x paths -> eligible or pruned with the
 * reason in words, rank, order (RFC 9622, 6.2; RFC 9623, 4.1.3 to 4.1.5; requirements IMPL-01, 02, 05, ARCH-08).
 *
 * Rules. Prohibit and Require prune. What is left is ordered by how many Prefer are met, then by how few Avoid are
 * (IMPL-05); a preference set by the application weighs more than a default: first all explicit ones are compared, then
 * the defaults; then the registry's order, so that the order is always the same (ARCH-13). Paths are ordered before
 * protocols (API-020), by the same rules but for one: the system's order comes before the defaults, so that the default
 * wish for a temporary address does not lead the traffic away from the default route.
 *
 * Two Selection Properties have a default by role (RFC 9622, 6.2.13 and 6.2.14), and one Message Property takes part:
 * a stack that may duplicate Messages needs safelyReplayable (9.1.3.4).
 */
#ifndef TAPSI_SELECT_SELECT_H
#define TAPSI_SELECT_SELECT_H

#include "select/alpn.h"
#include "select/properties.h"
#include "select/security.h"

enum tapsi_capability {
    TAPSI_CAP_NEVER,    /* the stack cannot */
    TAPSI_CAP_OPTIONAL, /* it can, and does or does not as asked: satisfies Require and Prohibit alike */
    TAPSI_CAP_ALWAYS,   /* it does, and cannot do without */
};

/* What a whole stack (say "tls/tcp") offers. The registry fills it in from its protocols; here it is plain data. */
struct tapsi_offer {
    const char *stack; /* "tls/tcp" */
    /* enum tapsi_capability, by Selection Property of type Preference */
    uint8_t capability[TAPS_ACTIVE_READ_BEFORE_SEND + 1];
    bool secure;                 /* carries a security protocol */
    unsigned security_protocols; /* bits 1 << enum taps_security_protocol it can speak */
    /* Whose ALPN ids it can offer: where some are given and none is for it, it is not eligible */
    enum tapsi_alpn_transport alpn;
    bool needs_alpn; /* the security protocol demands one (RFC 9001, 8.1) */
    bool multipath;  /* can use several paths */
    bool can_initiate, can_listen;
    const char *unavailable; /* not NULL: why this system cannot run it (a kernel without it) */
    bool may_duplicate;      /* Messages may arrive twice: needs safelyReplayable */
    /* Not NONE: used only where this Preference is Require, since both ends must have agreed on what the stack does for
       it, and a peer that has not would be told garbage */
    enum taps_property only_for;
};

#define TAPSI_REASON_MAX 160

struct tapsi_verdict {
    bool eligible;
    enum taps_property property; /* the property that decided against it, or NONE */
    /* Never empty. What decided comes first, up to a comma: "reliability is required, and udp does not have it"; of
       what is eligible: "meets 2 of 3 preferences". */
    char reason[TAPSI_REASON_MAX];
    int explicit_preferred, explicit_avoided; /* met Prefer, hit Avoid: set by the application */
    int default_preferred, default_avoided;   /* the same of the defaults */
    unsigned order;                           /* the place in the input */
};

enum tapsi_role { TAPSI_ROLE_UNDECIDED, TAPSI_ROLE_CLIENT, TAPSI_ROLE_SERVER };

/* For selection's own files: fills in why `verdict` is not eligible, and returns false. */
bool tapsi_select_rule_out(struct tapsi_verdict *verdict, enum taps_property property, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What is wanted of a property, the default by role included. UNDECIDED is Rendezvous. */
enum taps_preference tapsi_select_preference(const struct tapsi_properties *properties, enum taps_property property,
                                             enum tapsi_role role);
enum taps_multipath tapsi_select_multipath(const struct tapsi_properties *properties, enum tapsi_role role);
/* Is it a Preference that a stack answers (and not the path)? */
bool tapsi_select_of_stack(enum taps_property property);

/* One stack. `security` NULL = the secure defaults. */
void tapsi_select_stack(const struct tapsi_offer *offer, const struct tapsi_properties *properties,
                        const struct tapsi_security *security, enum tapsi_role role, struct tapsi_verdict *ret);
/* All of them: verdicts[i] belongs to offers[i]; `order` gets the indices of the eligible ones, best first. Returns how
   many are eligible. Opportunistic security keeps secure stacks before insecure ones. */
size_t tapsi_select_stacks(const struct tapsi_offer *offers, size_t count, const struct tapsi_properties *properties,
                           const struct tapsi_security *security, enum tapsi_role role, struct tapsi_verdict *verdicts,
                           unsigned *order);
/* Contradictions that no stack could ever satisfy, found before anything is allocated (IMPL-01): 0, or
   TAPS_E_CONFIGURATION with the property's name in the detail. Also the case that no stack is eligible. */
int tapsi_select_check(const struct tapsi_offer *offers, size_t count, const struct tapsi_properties *properties,
                       const struct tapsi_security *security, enum tapsi_role role, struct tapsi_error *ret_error);

/* One path, as selection sees it. */
struct tapsi_path_offer {
    const char *interface; /* "eth0" */
    const char *type;      /* "ethernet" */
    const char *pvd;       /* the implicit PvD of the interface: its name */
    bool up, has_addresses, has_temporary_address;
    const char *bound_interface; /* the name of the Local Endpoint's interface, or NULL */
    bool passive;                /* for Listen or Rendezvous: useTemporaryLocalAddress is Avoid unless set */
    unsigned system_order;       /* lower = nearer to the system's default route */
};

void tapsi_select_path(const struct tapsi_path_offer *path, const struct tapsi_properties *properties,
                       struct tapsi_verdict *ret);
size_t tapsi_select_paths(const struct tapsi_path_offer *paths, size_t count, const struct tapsi_properties *properties,
                          struct tapsi_verdict *verdicts, unsigned *order);

/* Does the chosen stack have the property (RFC 9622, 8: Preferences read as Booleans)? What a stack does only when
   asked counts as had when it was required or preferred. False for useTemporaryLocalAddress, which the path answers. */
bool tapsi_select_has(const struct tapsi_offer *offer, const struct tapsi_properties *properties,
                      enum taps_property property);

#endif
