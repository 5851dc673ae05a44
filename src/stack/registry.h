/* Which stacks exist: one row each, in registry.c. A new protocol is declared below and is a folder beside. */
#ifndef TAPSI_STACK_REGISTRY_H
#define TAPSI_STACK_REGISTRY_H

#include "stack/layer.h"

#define TAPSI_STACK_LAYERS 4

struct tapsi_stack_row {
    struct tapsi_offer offer;                             /* offer.stack is the name: "tls/tcp" */
    const struct tapsi_proto *protos[TAPSI_STACK_LAYERS]; /* bottom first, NULL-terminated */
};

extern const struct tapsi_proto tapsi_proto_tcp, tapsi_proto_udp, tapsi_proto_tls, tapsi_proto_dtls, tapsi_proto_quic,
    tapsi_proto_quic_datagram;
extern const struct tapsi_proto tapsi_proto_rfc4571; /* where it is built in */

extern const struct tapsi_proto tapsi_proto_mux; /* in tests that are built with it */

/* The rows in the system's order of preference. */
const struct tapsi_stack_row *tapsi_registry(size_t *ret_count);
#define TAPSI_STACKS_MAX 16
/* The offers of all rows under these Framers (NULL: none), in that order, into `offers` of TAPSI_STACKS_MAX; returns
   how many. */
size_t tapsi_registry_offers(struct tapsi_offer *offers, const struct tapsi_framers *framers);
bool tapsi_stack_has_proto(const struct tapsi_stack_row *row, const char *name);

/* Builds the layers of `row` above `below` (an accepted bottom, or NULL to make all) for `target`. On failure `below`
   is left to the caller. */
int tapsi_stack_make(const struct tapsi_stack_row *row, struct tapsi_env *env, const struct tapsi_target *target,
                     enum tapsi_role role, struct tapsi_layer *below, struct tapsi_sink *sink,
                     struct tapsi_layer **ret_top, struct tapsi_error *ret_error);

#endif
