/*
 * A frozen Preconnection, and what selection makes of it. Ref-counted and shared by every Connection made from one
 * Preconnection; the Preconnection copies it before a change while anybody else holds it (RFC 9622, 7.1).
 */
#ifndef TAPSI_ESTABLISH_CONFIG_H
#define TAPSI_ESTABLISH_CONFIG_H

#include "path/path.h"
#include "select/endpoint.h"
#include "stack/registry.h"

#define TAPSI_ENDPOINTS_MAX 64

struct tapsi_config {
    struct tapsi_mem *mem;
    unsigned refs;
    struct taps_endpoint *locals, *remotes;
    size_t local_count, remote_count, local_capacity, remote_capacity;
    struct tapsi_properties *properties;
    struct tapsi_security *security; /* never NULL: mode tells */
    struct tapsi_framers framers;
    struct tapsi_plan *plan;            /* the last one made: valid while the network is the same */
    struct tapsi_env *env;              /* what the layers of every race share; NULL until the first */
    const struct tapsi_stack_row *only; /* a clone's: the stack of its group, and no other; NULL: any */
};

int tapsi_config_new(struct tapsi_mem *mem, struct tapsi_config **ret);
struct tapsi_config *tapsi_config_ref(struct tapsi_config *config);
void tapsi_config_unref(struct tapsi_config *config); /* NULL is allowed */
/* One of its own, without plan and env. */
int tapsi_config_copy(const struct tapsi_config *config, struct tapsi_config **ret);
/* Makes *config safe to change, and forgets its plan and env. */
int tapsi_config_own(struct tapsi_config **config);
int tapsi_config_add(struct tapsi_config *config, const struct taps_endpoint *endpoint);

/* Everything that is known without asking the network: every stack's and every path's verdict, and their order. */
struct tapsi_plan {
    struct tapsi_mem *mem;
    unsigned refs;
    enum tapsi_role role;
    struct tapsi_network *network;
    size_t stack_count, stacks_eligible;
    struct tapsi_verdict *stacks; /* by row of the registry */
    unsigned *stack_order;        /* rows, best first */
    size_t path_count, paths_eligible;
    struct tapsi_verdict *paths; /* by interface of the network */
    unsigned *path_order;        /* interfaces, best first */
};

/* Uses the config's plan when the network has not changed. Returns owned (a reference). */
int tapsi_plan_get(struct tapsi_config *config, struct tapsi_platform *platform, enum tapsi_role role,
                   struct tapsi_plan **ret, struct tapsi_error *ret_error);
void tapsi_plan_unref(struct tapsi_plan *plan);
/* The env of the layers of every race. Returns owned (a reference), or NULL without memory. `caches`: the context's. */
struct tapsi_env *tapsi_config_env(struct tapsi_config *config, struct tapsi_loop *loop, struct tapsi_caches *caches);
/* `caches`, or NULL where isolateSession says that there be none (RFC 9622, 8.1.10). */
struct tapsi_caches *tapsi_config_caches(const struct tapsi_config *config, struct tapsi_caches *caches);
/* Configuration errors (IMPL-01): endpoints that contradict the action or each other, properties no stack can satisfy.
 */
int tapsi_config_check(const struct tapsi_config *config, enum tapsi_role role, struct tapsi_error *ret_error);

#endif
