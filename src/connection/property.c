/* SetProperty and GetProperties (RFC 9622, 8): the Connection's own values, the stack's, and what only it knows. */
#include <string.h>
#include "connection/connection.h"
#include "connection/paths.h"

/* ---------------------------------------------------------------------------------------------------- set */

static bool is_protocol_specific(enum taps_property property)
{
    return property >= TAPS_TCP_USER_TIMEOUT_VALUE && property <= TAPS_TCP_USER_TIMEOUT_CHANGEABLE;
}

int tapsi_connection_check_set(const struct taps_connection *c, enum taps_property property)
{
    const struct taps_property_info *info = taps_property_info(property);
    if (!info)
        return TAPS_E_UNKNOWN_PROPERTY;
    if (info->scope == TAPS_SCOPE_SELECTION || info->scope == TAPS_SCOPE_READ_ONLY)
        return TAPS_E_READ_ONLY;
    if (property == TAPS_ATTEMPT_DELAY)
        return TAPS_E_READ_ONLY; /* the race has begun */
    return c->state >= TAPS_CLOSED || c->pending_end ? TAPS_E_STATE : 0;
}

/* What only groups know is no matter of one stack, but where that is a stream: its session is told. */
static bool is_of_groups(enum taps_property property)
{
    return property == TAPS_CONN_PRIORITY || property == TAPS_CONN_SCHEDULER || property == TAPS_GROUP_CONN_LIMIT;
}

int tapsi_connection_set_stack(struct taps_connection *c, enum taps_property property, const struct taps_value *value)
{
    bool asks = c->top && (c->streams || !is_of_groups(property));
    int err = asks ? tapsi_layer_set(c->top, property, value) : 0;
    if (err == TAPS_E_NOT_APPLICABLE && !is_protocol_specific(property))
        err = 0; /* a generic property holds for the Connection, also where this stack has no use for it */
    return err;
}

int tapsi_connection_keep_value(struct taps_connection *c, enum taps_property property, struct taps_value value)
{
    int err = tapsi_properties_set(c->properties, property, value);
    tapsi_connection_learn(c);
    return err;
}

/* A least rate above the most. */
static bool contradicts(const struct taps_connection *c, enum taps_property property, const struct taps_value *value)
{
    static const enum taps_property pairs[][2] = {{TAPS_MIN_SEND_RATE, TAPS_MAX_SEND_RATE},
                                                  {TAPS_MIN_RECV_RATE, TAPS_MAX_RECV_RATE}};
    for (int i = 0; i < 2; i++) {
        const struct taps_value *least = &c->properties->values[pairs[i][0]],
                                *most = &c->properties->values[pairs[i][1]];
        if (property == pairs[i][0] || property == pairs[i][1]) {
            least = property == pairs[i][0] ? value : least;
            most = property == pairs[i][1] ? value : most;
            return least->integer != TAPS_INFINITE && least->integer > most->integer;
        }
    }
    return false;
}

int tapsi_connection_set_value(struct taps_connection *c, enum taps_property property, struct taps_value value)
{
    int err = tapsi_connection_check_set(c, property);
    if (!err)
        err = tapsi_value_check(property, &value);
    if (!err && contradicts(c, property, &value))
        err = TAPS_E_RANGE;
    if (!err && c->member)
        return tapsi_group_set(c->member, property, value);
    if (!err)
        err = tapsi_properties_own(&c->properties);
    if (!err)
        err = tapsi_rates_prepare_value(c, property, &value);
    if (!err)
        err = tapsi_connection_set_stack(c, property, &value);
    return err ? err : tapsi_connection_keep_value(c, property, value);
}

bool tapsi_connection_same_value(const struct taps_value *a, const struct taps_value *b)
{
    switch (a->type) {
    case TAPS_TYPE_BOOLEAN:
        return a->boolean == b->boolean;
    case TAPS_TYPE_INTEGER:
        return a->integer == b->integer;
    case TAPS_TYPE_NUMBER:
        return a->number == b->number;
    case TAPS_TYPE_PREFERENCE:
        return a->preference == b->preference;
    default:
        return a->enumeration == b->enumeration;
    }
}

void tapsi_connection_apply_properties(struct taps_connection *c, const struct tapsi_properties *before)
{
    if (!c->top || c->properties == before || c->properties->generation == before->generation)
        return;
    for (int p = TAPS_RECV_CHECKSUM_LEN; p <= TAPS_TLS_ALLOW_TRUNCATION; p++) {
        enum taps_property property = (enum taps_property)p;
        const struct taps_value *now = &c->properties->values[p], *then = &before->values[p];
        if (tapsi_properties_is_set(c->properties, property) && !tapsi_connection_same_value(now, then))
            tapsi_connection_set_stack(c, property, now);
    }
}

/* ---------------------------------------------------------------------------------------------------- get */

static struct taps_value boolean(bool value)
{
    return (struct taps_value){.type = TAPS_TYPE_BOOLEAN, .boolean = value};
}

static struct taps_value integer(uint64_t value)
{
    return (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = value};
}

static bool can_send(const struct taps_connection *c)
{
    return c->state <= TAPS_ESTABLISHED && !c->closing && !c->pending_end && !c->final_sent &&
           c->properties->values[TAPS_DIRECTION].enumeration != TAPS_UNIDIRECTIONAL_RECEIVE;
}

static bool can_receive(const struct taps_connection *c)
{
    return c->state <= TAPS_ESTABLISHED && !c->closing && !c->end_delivered &&
           c->properties->values[TAPS_DIRECTION].enumeration != TAPS_UNIDIRECTIONAL_SEND;
}

/* The stack's own answer, or what a stack without limits means. */
static struct taps_value from_stack(const struct taps_connection *c, enum taps_property property, uint64_t otherwise)
{
    union tapsi_got got;
    if (c->top && tapsi_layer_get(c->top, (int)property, &got) == 0)
        return got.value;
    return integer(otherwise);
}

/* RFC 9622, 8: a Preference reads as a Boolean. The path's answer for temporary addresses comes from the address used.
 */
static bool uses_temporary_address(struct taps_connection *c)
{
    const struct tapsi_plan *plan = tapsi_connection_plan(c);
    const struct taps_endpoint *local = tapsi_connection_endpoint(c, false);
    if (!plan || !local)
        return false;
    const struct tapsi_network *network = plan->network;
    for (size_t i = 0; i < network->interface_count; i++) {
        const struct tapsi_interface *interface = &network->interfaces[i];
        for (size_t a = 0; a < interface->address_count; a++) {
            if (tapsi_addr_same_host(&interface->addresses[a].address, &local->address))
                return interface->addresses[a].temporary;
        }
    }
    return false;
}

static struct taps_value selected(struct taps_connection *c, enum taps_property property)
{
    if (property == TAPS_USE_TEMPORARY_LOCAL_ADDRESS)
        return boolean(uses_temporary_address(c));
    if (property == TAPS_PRESERVE_MSG_BOUNDARIES && c->framed)
        return boolean(true);
    return boolean(tapsi_select_has(&c->row->offer, c->config->properties, property));
}

/* What the application set reads as that; what it did not, as what the stack does (RFC 9622, 8). */
static struct taps_value multipath(const struct taps_connection *c)
{
    struct taps_value value = c->properties->values[TAPS_MULTIPATH];
    enum tapsi_role role = tapsi_connection_plan(c) ? TAPSI_ROLE_CLIENT : TAPSI_ROLE_SERVER;
    if (!tapsi_properties_is_set(c->properties, TAPS_MULTIPATH) && c->row)
        value.enumeration =
            c->row->offer.multipath ? tapsi_select_multipath(c->properties, role) : TAPS_MULTIPATH_DISABLED;
    return value;
}

static bool get_read_only(struct taps_connection *c, enum taps_property property, struct taps_value *ret)
{
    switch (property) {
    case TAPS_CONN_STATE:
        *ret = (struct taps_value){.type = TAPS_TYPE_ENUMERATION, .enumeration = c->state};
        return true;
    case TAPS_CAN_SEND:
        *ret = boolean(can_send(c));
        return true;
    case TAPS_QUEUED_BYTES:
        *ret = integer(c->out->unsent + c->out->below);
        return true;
    case TAPS_CAN_RECEIVE:
        *ret = boolean(can_receive(c));
        return true;
    case TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN:
        *ret = from_stack(c, property, TAPS_INFINITE);
        return true;
    case TAPS_SEND_MSG_MAX_LEN:
        *ret = can_send(c) ? from_stack(c, property, TAPS_INFINITE) : integer(0);
        return true;
    case TAPS_RECV_MSG_MAX_LEN:
        *ret = can_receive(c) ? from_stack(c, property, TAPS_INFINITE) : integer(0);
        return true;
    default:
        return false;
    }
}

int tapsi_connection_get_value(struct taps_connection *c, enum taps_property property, struct taps_value *ret)
{
    const struct taps_property_info *info = taps_property_info(property);
    if (!info)
        return TAPS_E_UNKNOWN_PROPERTY;
    if (info->type == TAPS_TYPE_SET)
        return TAPS_E_TYPE;
    if (get_read_only(c, property, ret))
        return 0;
    if (info->type == TAPS_TYPE_PREFERENCE && c->row)
        *ret = selected(c, property);
    else if (property == TAPS_MULTIPATH)
        *ret = multipath(c);
    else
        *ret = c->properties->values[property];
    return 0;
}

int tapsi_connection_properties(struct taps_connection *c, struct tapsi_properties **ret)
{
    struct tapsi_properties *copy = tapsi_properties_copy(c->properties, tapsi_mem_default());
    if (!copy)
        return TAPS_E_MEMORY;
    for (int p = TAPS_PROPERTY_NONE + 1; p < TAPS_PROPERTY_COUNT; p++) {
        struct taps_value value;
        if (tapsi_connection_get_value(c, (enum taps_property)p, &value) == 0)
            copy->values[p] = value;
    }
    *ret = copy;
    return 0;
}

int tapsi_connection_get_text(struct taps_connection *c, enum taps_property property, char *text, size_t size)
{
    struct taps_value value;
    struct tapsi_str out;
    tapsi_str_init(&out, &c->context->loop.mem);
    int err = tapsi_connection_get_value(c, property, &value);
    if (err == TAPS_E_TYPE) { /* a set has no value, but it has a text */
        tapsi_properties_text(c->properties, property, &out);
        err = 0;
    } else if (!err) {
        tapsi_value_text(property, &value, &out);
    }
    if (!err && out.failed)
        err = TAPS_E_MEMORY;
    if (!err && size)
        tapsi_format(text, size, "%s", tapsi_str_text(&out));
    int length = (int)out.length;
    tapsi_str_done(&out);
    return err ? err : length;
}

static int make_report(struct taps_connection *c, const union tapsi_addr *local, struct taps_report **ret)
{
    if (!c->recorded)
        return tapsi_report_from_race(c->past.race, local, ret);
    struct tapsi_race *race = tapsi_record_read(c->past.record, &c->context->loop, c->config);
    int err = race ? tapsi_report_from_race(race, local, ret) : TAPS_E_MEMORY;
    tapsi_race_free(race);
    return err;
}

static unsigned moves_of(const struct taps_connection *c)
{
    const struct tapsi_paths *p = tapsi_paths_of(c);
    return p ? p->moved : 0;
}

/* The last ones. The times of a record begin at Initiate, and only Ready is known on both clocks. */
static int add_moves(const struct taps_connection *c, struct taps_report *report)
{
    const struct tapsi_paths *p = tapsi_paths_of(c);
    unsigned first = moves_of(c) > TAPSI_MOVES_MAX ? p->moved - TAPSI_MOVES_MAX : 0;
    int err = 0;
    for (unsigned i = first; i < moves_of(c) && !err; i++) {
        const struct tapsi_move *m = &p->moves[i % TAPSI_MOVES_MAX];
        double ms = tapsi_report_ready_ms(report) + (double)(m->when - p->begun) / (double)TAPSI_MS;
        err = tapsi_report_add_move(report, i + 1, ms, &m->local, &m->remote, m->interface);
    }
    return err;
}

/* The application may hold the last one: a new one is made only when it would say something else. */
const struct taps_report *tapsi_connection_report(struct taps_connection *c)
{
    const struct tapsi_plan *plan = tapsi_connection_plan(c);
    struct taps_report *report;
    if (!plan)
        return NULL;
    unsigned version = c->recorded ? c->past.record->version : c->past.race->version;
    const struct taps_endpoint *local = tapsi_connection_endpoint(c, false);
    struct tapsi_rare *rare = tapsi_connection_rare(c);
    if (!rare)
        return NULL;
    if (rare->report && tapsi_report_version(rare->report) == version && (rare->report_local || !local) &&
        rare->report_moves == moves_of(c))
        return rare->report;
    if (make_report(c, local && !c->moved ? &local->address : NULL, &report))
        return rare->report;
    if (add_moves(c, report)) {
        tapsi_report_free(report);
        return rare->report;
    }
    rare->report_moves = moves_of(c);
    tapsi_report_free(rare->report);
    rare->report = report;
    rare->report_local = local != NULL;
    return report;
}

/* ---------------------------------------------------------------------------------------------- endpoints */

/* The interface of the winner; NULL: not known, or it may be another by now. */
static const struct tapsi_interface *won_on(const struct taps_connection *c)
{
    if (c->moved)
        return NULL;
    const struct tapsi_race *race = tapsi_connection_race(c);
    if (c->recorded)
        return &c->past.record->plan->network->interfaces[c->past.record->interface];
    return race && race->winner ? race->winner->node.interface : NULL;
}

/* Of an accepted one: where its packets come in, or whose its address is. */
static void find_interface(struct taps_connection *c, struct taps_endpoint *local)
{
    struct tapsi_platform *p = c->context->loop.platform;
    struct tapsi_network *network;
    union tapsi_got got;
    char index[16] = "";
    if (local->interface[0] || p->ops->network(p, &network) < 0)
        return;
    if (tapsi_layer_get(c->top, TAPSI_GET_INTERFACE, &got) == 0)
        tapsi_format(index, sizeof(index), "%llu", (unsigned long long)got.value.integer);
    const struct tapsi_interface *found =
        index[0] ? tapsi_path_find(network, index) : tapsi_path_of_address(network, &local->address);
    if (found)
        tapsi_format(local->interface, sizeof(local->interface), "%s", found->name);
    tapsi_network_unref(network);
}

const struct taps_endpoint *tapsi_connection_endpoint(struct taps_connection *c, bool remote)
{
    struct tapsi_rare *rare = tapsi_connection_rare(c);
    union tapsi_got got;
    if (!rare)
        return NULL;
    struct taps_endpoint **kept = remote ? &rare->remote : &rare->local;
    bool *old = remote ? &rare->old_remote : &rare->old_local;
    if ((*kept && !*old) || !c->top || tapsi_layer_get(c->top, remote ? TAPSI_GET_REMOTE : TAPSI_GET_LOCAL, &got) != 0)
        return *kept;
    struct taps_endpoint *e = *kept ? *kept : tapsi_alloc(&c->context->loop.mem, sizeof(*e)); /* who has it sees it */
    if (!e)
        return NULL;
    *old = false;
    tapsi_endpoint_from_addr(e, remote, &got.address);
    const struct tapsi_interface *interface = remote ? NULL : won_on(c);
    if (interface)
        tapsi_format(e->interface, sizeof(e->interface), "%s", interface->name);
    else if (!remote)
        find_interface(c, e);
    *kept = e;
    return e;
}

const struct taps_endpoint *tapsi_connection_received_endpoint(const struct tapsi_context_head *head, bool remote)
{
    struct taps_connection *c = TAPSI_CONTAINER((void *)(uintptr_t)head, struct taps_connection, received);
    return tapsi_connection_endpoint(c, remote);
}

struct taps_context *tapsi_received_by(const struct taps_message_context *received)
{
    if (!(received->head.received & TAPSI_RECEIVED_HERE))
        return NULL;
    return TAPSI_CONTAINER((void *)(uintptr_t)&received->head, struct taps_connection, received)->context;
}
