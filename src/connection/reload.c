/*
 * New security parameters for a Listener that goes on: certificates that were renewed, keys that were changed.
 *
 * The env of the Listener is what its layers look at when a peer comes, so its snapshot is replaced there; a handshake
 * holds the snapshot it began with, and with it the credentials. Which stacks listen was decided by the old parameters,
 * so the new ones must leave each of them eligible.
 */
#include "connection/listener.h"

static int check_row(const struct tapsi_stack_row *row, struct tapsi_env *env, const struct tapsi_config *config,
                     struct tapsi_error *ret_error)
{
    struct tapsi_verdict verdict;
    tapsi_select_stack(&row->offer, config->properties, env->security, TAPSI_ROLE_SERVER, &verdict);
    if (row->offer.secure && !verdict.eligible)
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION, "the Listener is on %s: %s", row->offer.stack,
                               verdict.reason);
    int err = 0;
    for (size_t p = 0; p < TAPSI_STACK_LAYERS && row->protos[p] && !err; p++)
        err = row->protos[p]->check ? row->protos[p]->check(env, TAPSI_ROLE_SERVER, ret_error) : 0;
    return err;
}

/* The stacks it listens on; those it is going to listen on, as long as it does not. */
static int check_rows(const struct taps_listener *l, struct tapsi_env *env, struct tapsi_error *ret_error)
{
    size_t count;
    int err = 0;
    const struct tapsi_stack_row *registry = tapsi_registry(&count);
    for (size_t i = 0; i < l->socket_count && !err; i++)
        err = check_row(l->sockets[i].row, env, l->config, ret_error);
    for (size_t i = 0; !l->begun && i < l->plan->stacks_eligible && !err; i++)
        err = check_row(&registry[l->plan->stack_order[i]], env, l->config, ret_error);
    return err;
}

static int replace(struct taps_listener *l, const struct tapsi_security *security, struct tapsi_error *ret_error)
{
    struct tapsi_loop *loop = &l->context->loop;
    if (l->stopping || l->pending_end)
        return tapsi_error_set(ret_error, TAPS_E_STATE, "the Listener has ended");
    if (security->mode != l->config->security->mode)
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION,
                               "whether security is required, opportunistic or disabled cannot be changed while "
                               "listening");
    if (!l->env->security)
        return 0;
    struct tapsi_security *copy = tapsi_security_copy(security, &loop->mem);
    struct tapsi_env *env = copy ? tapsi_env_new(loop, l->config->properties, copy, &l->config->framers) : NULL;
    int err = env ? check_rows(l, env, ret_error)
                  : tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for security parameters");
    if (!err) {
        struct tapsi_security *old = l->env->security;
        l->env->security = env->security;
        env->security = old;
    }
    if (env)
        tapsi_env_unref(env);
    tapsi_security_unref(copy);
    return err;
}

int tapsi_listener_reload(struct taps_listener *l, const struct tapsi_security *security)
{
    if (!l->refused)
        l->refused = tapsi_alloc(&l->context->loop.mem, sizeof(*l->refused));
    if (!l->refused)
        return TAPS_E_MEMORY;
    tapsi_error_clear(l->refused);
    return replace(l, security, l->refused);
}
