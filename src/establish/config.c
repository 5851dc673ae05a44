#include "establish/config.h"

#include <string.h>

int tapsi_config_new(struct tapsi_mem *mem, struct tapsi_config **ret)
{
    struct tapsi_config *config = tapsi_zalloc(mem, sizeof(*config));
    if (!config)
        return TAPS_E_MEMORY;
    config->mem = mem;
    config->refs = 1;
    config->properties = tapsi_properties_new(mem);
    config->security = tapsi_security_new(mem, TAPS_SECURITY_REQUIRED);
    if (!config->properties || !config->security) {
        tapsi_config_unref(config);
        return TAPS_E_MEMORY;
    }
    *ret = config;
    return 0;
}

struct tapsi_config *tapsi_config_ref(struct tapsi_config *config)
{
    config->refs++;
    return config;
}

static void forget_env(struct tapsi_config *config)
{
    if (config->env)
        tapsi_env_unref(config->env);
    config->env = NULL;
}

void tapsi_config_unref(struct tapsi_config *config)
{
    if (!config || --config->refs)
        return;
    if (config->properties)
        tapsi_properties_unref(config->properties);
    tapsi_security_unref(config->security);
    tapsi_framers_done(&config->framers);
    tapsi_plan_unref(config->plan);
    forget_env(config);
    tapsi_free(config->mem, config->locals);
    tapsi_free(config->mem, config->remotes);
    tapsi_free(config->mem, config);
}

int tapsi_config_add(struct tapsi_config *config, const struct taps_endpoint *endpoint)
{
    struct taps_endpoint **list = endpoint->remote ? &config->remotes : &config->locals;
    size_t *count = endpoint->remote ? &config->remote_count : &config->local_count;
    size_t *capacity = endpoint->remote ? &config->remote_capacity : &config->local_capacity;
    if (*count == TAPSI_ENDPOINTS_MAX)
        return TAPS_E_RANGE;
    if (*count == *capacity) { /* one endpoint is the rule: no doubling from a large start */
        size_t want = *capacity ? *capacity * 2 : 1;
        struct taps_endpoint *grown = tapsi_resize(config->mem, *list, want * sizeof(**list));
        if (!grown)
            return TAPS_E_MEMORY;
        *list = grown;
        *capacity = want;
    }
    (*list)[(*count)++] = *endpoint;
    return 0;
}

static int copy_endpoints(struct tapsi_config *to, const struct tapsi_config *from)
{
    int err = 0;
    for (size_t i = 0; i < from->local_count && !err; i++)
        err = tapsi_config_add(to, &from->locals[i]);
    for (size_t i = 0; i < from->remote_count && !err; i++)
        err = tapsi_config_add(to, &from->remotes[i]);
    return err;
}

int tapsi_config_copy(const struct tapsi_config *config, struct tapsi_config **ret)
{
    struct tapsi_config *copy = tapsi_zalloc(config->mem, sizeof(*copy));
    if (!copy)
        return TAPS_E_MEMORY;
    copy->mem = config->mem;
    copy->refs = 1;
    copy->properties = tapsi_properties_ref(config->properties);
    copy->security = tapsi_security_ref(config->security);
    copy->only = config->only;
    tapsi_framers_copy(&copy->framers, &config->framers);
    int err = copy_endpoints(copy, config);
    if (err) {
        tapsi_config_unref(copy);
        return err;
    }
    *ret = copy;
    return 0;
}

int tapsi_config_own(struct tapsi_config **config)
{
    struct tapsi_config *old = *config;
    tapsi_plan_unref(old->plan);
    old->plan = NULL;
    forget_env(old);
    if (old->refs == 1)
        return 0;
    int err = tapsi_config_copy(old, config);
    if (!err)
        tapsi_config_unref(old);
    return err;
}

struct tapsi_caches *tapsi_config_caches(const struct tapsi_config *config, struct tapsi_caches *caches)
{
    return config->properties->values[TAPS_ISOLATE_SESSION].boolean ? NULL : caches;
}

struct tapsi_env *tapsi_config_env(struct tapsi_config *config, struct tapsi_loop *loop, struct tapsi_caches *caches)
{
    struct tapsi_security *security = config->security->mode == TAPS_SECURITY_DISABLED ? NULL : config->security;
    if (!config->env)
        config->env = tapsi_env_new(loop, config->properties, security, &config->framers);
    if (!config->env)
        return NULL;
    config->env->caches = tapsi_config_caches(config, caches);
    return tapsi_env_ref(config->env);
}

/* -------------------------------------------------------------------------------------------------- checks */

static int check_endpoints(const struct tapsi_config *config, enum tapsi_role role, struct tapsi_error *ret_error)
{
    if (role == TAPSI_ROLE_CLIENT && config->remote_count == 0)
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION, "Initiate needs a Remote Endpoint");
    if (role == TAPSI_ROLE_SERVER && config->local_count == 0)
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION, "Listen needs a Local Endpoint");
    for (size_t i = 0; i < config->remote_count; i++) {
        const struct taps_endpoint *remote = &config->remotes[i];
        char text[TAPSI_HOST_MAX + 8];
        tapsi_endpoint_text(remote, text, sizeof(text));
        if (!remote->has_address && !remote->host_name[0])
            return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION,
                                   "a Remote Endpoint has neither a host name nor an IP address");
        if (role == TAPSI_ROLE_CLIENT && !remote->port && !remote->service[0])
            return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION,
                                   "the Remote Endpoint %s has neither port nor service", text);
        if (remote->has_address && tapsi_addr_is_any(&remote->address))
            return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION, "%s is no address of a Remote Endpoint", text);
        if (remote->has_address && tapsi_addr_is_multicast(&remote->address))
            return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION,
                                   "%s is a multicast group, and no stack of this library serves groups", text);
    }
    return 0;
}

int tapsi_config_check(const struct tapsi_config *config, enum tapsi_role role, struct tapsi_error *ret_error)
{
    struct tapsi_offer offers[TAPSI_STACKS_MAX];
    int err = check_endpoints(config, role, ret_error);
    if (err)
        return err;
    return tapsi_select_check(offers, tapsi_registry_offers(offers, &config->framers), config->properties,
                              config->security, role, ret_error);
}

/* ---------------------------------------------------------------------------------------------------- plan */

void tapsi_plan_unref(struct tapsi_plan *plan)
{
    if (!plan || --plan->refs)
        return;
    tapsi_network_unref(plan->network);
    tapsi_free(plan->mem, plan->stacks);
    tapsi_free(plan->mem, plan->stack_order);
    tapsi_free(plan->mem, plan->paths);
    tapsi_free(plan->mem, plan->path_order);
    tapsi_free(plan->mem, plan);
}

/* What is eligible, and is the stack that was asked for: that one, or none. */
static void keep_only(struct tapsi_plan *plan, const struct tapsi_stack_row *only)
{
    size_t count, kept = 0;
    const struct tapsi_stack_row *rows = tapsi_registry(&count);
    for (size_t i = 0; i < plan->stacks_eligible; i++) {
        unsigned place = plan->stack_order[i];
        if (&rows[place] == only)
            plan->stack_order[kept++] = place;
        else
            plan->stacks[place].eligible = tapsi_select_rule_out(&plan->stacks[place], TAPS_PROPERTY_NONE,
                                                                 "the Connection Group is over %s", only->offer.stack);
    }
    plan->stacks_eligible = kept;
}

static int select_stacks(struct tapsi_plan *plan, const struct tapsi_config *config)
{
    struct tapsi_offer offers[TAPSI_STACKS_MAX];
    plan->stack_count = tapsi_registry_offers(offers, &config->framers);
    plan->stacks = tapsi_calloc(plan->mem, plan->stack_count, sizeof(*plan->stacks));
    plan->stack_order = tapsi_calloc(plan->mem, plan->stack_count, sizeof(*plan->stack_order));
    if (!plan->stacks || !plan->stack_order)
        return TAPS_E_MEMORY;
    plan->stacks_eligible = tapsi_select_stacks(offers, plan->stack_count, config->properties, config->security,
                                                plan->role, plan->stacks, plan->stack_order);
    if (config->only)
        keep_only(plan, config->only);
    return 0;
}

/* The interface that every Local Endpoint asks for, or NULL. */
static const char *bound_interface(const struct tapsi_config *config)
{
    if (config->local_count == 0 || !config->locals[0].interface[0])
        return NULL;
    for (size_t i = 1; i < config->local_count; i++) {
        if (strcmp(config->locals[i].interface, config->locals[0].interface) != 0)
            return NULL;
    }
    return config->locals[0].interface;
}

static int select_paths(struct tapsi_plan *plan, const struct tapsi_config *config)
{
    const struct tapsi_network *network = plan->network;
    size_t count = plan->path_count = network->interface_count;
    const char *bound = bound_interface(config);
    const struct tapsi_interface *bound_to = bound ? tapsi_path_find(network, bound) : NULL;
    struct tapsi_path_offer *offers = tapsi_calloc(plan->mem, count + 1, sizeof(*offers));
    plan->paths = tapsi_calloc(plan->mem, count + 1, sizeof(*plan->paths));
    plan->path_order = tapsi_calloc(plan->mem, count + 1, sizeof(*plan->path_order));
    if (!offers || !plan->paths || !plan->path_order) {
        tapsi_free(plan->mem, offers);
        return TAPS_E_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        tapsi_path_offer(&network->interfaces[i], bound_to ? bound_to->name : bound, &offers[i]);
        offers[i].passive = plan->role != TAPSI_ROLE_CLIENT;
    }
    plan->paths_eligible = tapsi_select_paths(offers, count, config->properties, plan->paths, plan->path_order);
    tapsi_free(plan->mem, offers);
    return 0;
}

static int make_plan(struct tapsi_config *config, struct tapsi_network *network, enum tapsi_role role)
{
    struct tapsi_plan *plan = tapsi_zalloc(config->mem, sizeof(*plan));
    if (!plan)
        return TAPS_E_MEMORY;
    plan->mem = config->mem;
    plan->refs = 1;
    plan->role = role;
    plan->network = tapsi_network_ref(network);
    int err = select_stacks(plan, config);
    if (!err)
        err = select_paths(plan, config);
    if (err) {
        tapsi_plan_unref(plan);
        return err;
    }
    tapsi_plan_unref(config->plan);
    config->plan = plan;
    return 0;
}

int tapsi_plan_get(struct tapsi_config *config, struct tapsi_platform *platform, enum tapsi_role role,
                   struct tapsi_plan **ret, struct tapsi_error *ret_error)
{
    struct tapsi_network *network;
    int err = platform->ops->network(platform, &network);
    if (err < 0)
        return tapsi_error_native(ret_error, tapsi_err_from_errno(-err), TAPS_DOMAIN_ERRNO, -err,
                                  "the interfaces of this machine cannot be read: %s", strerror(-err));
    const struct tapsi_plan *plan = config->plan;
    if (!plan || plan->role != role || plan->network->generation != network->generation)
        err = make_plan(config, network, role);
    tapsi_network_unref(network);
    if (err)
        return tapsi_error_set(ret_error, err, "no memory to plan the establishment");
    config->plan->refs++;
    *ret = config->plan;
    return 0;
}
