#include "living.h"

#include <stdlib.h>
#include <string.h>
#include <taps/taps.h>
#include "base/test.h"
#include "connection/context.h"
#include "observer.h"
#include "platform/sim/sim.h"

struct record {
    struct record *next;
    void *object;
};

static struct record *living[LIVINGS];

static void keep(enum living kind, void *object)
{
    struct record *r = malloc(sizeof(*r));
    if (!r)
        abort();
    *r = (struct record){living[kind], object};
    living[kind] = r;
}

static void leave_nothing(void *ret)
{
    static const void *const nothing;
    if (ret && tapsi_test_sweeping())
        memcpy(ret, &nothing, sizeof(nothing));
}

__attribute__((constructor)) static void join_observer(void)
{
    observer_refused_hook = leave_nothing;
}

int living_made(enum living kind, int err, void *ret)
{
    void *object;
    if (!tapsi_test_sweeping() || !ret)
        return err;
    if (err) {
        leave_nothing(ret);
    } else {
        memcpy(&object, ret, sizeof(object));
        keep(kind, object);
    }
    return err;
}

void living_freed(enum living kind, const void *object)
{
    for (struct record **at = &living[kind]; *at; at = &(*at)->next) {
        struct record *r = *at;
        if (r->object != object)
            continue;
        *at = r->next;
        free(r);
        return;
    }
}

static void free_object(enum living kind, void *object)
{
    switch (kind) {
    case LIVING_CONTEXT:
        taps_context_free(object);
        break;
    case LIVING_ENDPOINT:
        taps_endpoint_free(object);
        break;
    case LIVING_PROPERTIES:
        taps_transport_properties_free(object);
        break;
    case LIVING_SECURITY:
        taps_security_parameters_free(object);
        break;
    case LIVING_MESSAGE:
        taps_message_context_free(object);
        break;
    case LIVING_SIM:
        tapsi_sim_free(object);
        break;
    case LIVINGS:
        break;
    }
}

void living_free(void)
{
    for (struct record *r = living[LIVING_SIM]; r; r = r->next)
        tapsi_sim_trace(r->object, NULL, NULL); /* its argument may be gone with the test */
    for (enum living kind = 0; kind < LIVINGS; kind++) {
        while (living[kind]) {
            struct record *r = living[kind];
            free_object(kind, r->object);
            if (living[kind] == r)
                living_freed(kind, r->object);
        }
    }
}

void living_forget(void)
{
    for (enum living kind = 0; kind < LIVINGS; kind++) {
        while (living[kind])
            living_freed(kind, living[kind]->object);
    }
}

/* ---------------------------------------------------------------------------- in front of makers and destroyers */

#define WRAPPED(type, name, parameters)                                                                                \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters

/* A function with one parameter, of the type it makes, copies or frees. */
#define MAKER(kind, name, type)                                                                                        \
    WRAPPED(int, name, (type * *ret))                                                                                  \
    {                                                                                                                  \
        return living_made(kind, __real_##name(ret), ret);                                                             \
    }
#define COPIER(kind, name, type)                                                                                       \
    WRAPPED(int, name, (const type *from, type **ret))                                                                 \
    {                                                                                                                  \
        return living_made(kind, __real_##name(from, ret), ret);                                                       \
    }
#define DESTROYER(kind, name, type)                                                                                    \
    WRAPPED(void, name, (type * object))                                                                               \
    {                                                                                                                  \
        living_freed(kind, object);                                                                                    \
        __real_##name(object);                                                                                         \
    }

MAKER(LIVING_ENDPOINT, taps_local_endpoint_new, taps_endpoint)
MAKER(LIVING_ENDPOINT, taps_remote_endpoint_new, taps_endpoint)
COPIER(LIVING_ENDPOINT, taps_endpoint_copy, taps_endpoint)
DESTROYER(LIVING_ENDPOINT, taps_endpoint_free, taps_endpoint)
MAKER(LIVING_PROPERTIES, taps_transport_properties_new, taps_transport_properties)
COPIER(LIVING_PROPERTIES, taps_transport_properties_copy, taps_transport_properties)
DESTROYER(LIVING_PROPERTIES, taps_transport_properties_free, taps_transport_properties)
MAKER(LIVING_SECURITY, taps_security_parameters_new, taps_security_parameters)
MAKER(LIVING_SECURITY, taps_security_parameters_new_disabled, taps_security_parameters)
MAKER(LIVING_SECURITY, taps_security_parameters_new_opportunistic, taps_security_parameters)
COPIER(LIVING_SECURITY, taps_security_parameters_copy, taps_security_parameters)
DESTROYER(LIVING_SECURITY, taps_security_parameters_free, taps_security_parameters)
MAKER(LIVING_MESSAGE, taps_message_context_new, taps_message_context)
COPIER(LIVING_MESSAGE, taps_message_context_copy, taps_message_context)
DESTROYER(LIVING_MESSAGE, taps_message_context_free, taps_message_context)
DESTROYER(LIVING_SIM, tapsi_sim_free, struct tapsi_sim)

WRAPPED(int, taps_transport_properties_new_profile,
        (enum taps_properties_profile profile, taps_transport_properties **ret))
{
    return living_made(LIVING_PROPERTIES, __real_taps_transport_properties_new_profile(profile, ret), ret);
}

/* taps_context_new calls it. */
WRAPPED(int, tapsi_context_new,
        (const struct taps_context_options *options, struct tapsi_platform *platform, struct taps_context **ret))
{
    return living_made(LIVING_CONTEXT, __real_tapsi_context_new(options, platform, ret), ret);
}

WRAPPED(int, tapsi_context_free, (struct taps_context * context))
{
    int err = __real_tapsi_context_free(context);
    if (!err)
        living_freed(LIVING_CONTEXT, context);
    return err;
}

/* A Preconnection goes with its context. */
WRAPPED(int, taps_preconnection_new, (taps_context * context, taps_preconnection **ret))
{
    int err = __real_taps_preconnection_new(context, ret);
    if (err)
        leave_nothing(ret);
    return err;
}

/* What is asked of that which is not there: nothing, rather than what the test's memory had in it. */

WRAPPED(const struct taps_error *, taps_preconnection_error, (const taps_preconnection *p))
{
    static const struct taps_error nothing = {.detail = ""};
    return p || !tapsi_test_sweeping() ? __real_taps_preconnection_error(p) : &nothing;
}

WRAPPED(int, taps_connection_get_value, (taps_connection * c, enum taps_property property, struct taps_value *ret))
{
    if (ret && tapsi_test_sweeping())
        memset(ret, 0, sizeof(*ret));
    return __real_taps_connection_get_value(c, property, ret);
}

WRAPPED(int, taps_connection_get_property, (taps_connection * c, const char *name, char *text, size_t size))
{
    if (text && size && tapsi_test_sweeping())
        text[0] = '\0';
    return __real_taps_connection_get_property(c, name, text, size);
}

WRAPPED(int, taps_report_candidate, (const taps_report *report, size_t index, struct taps_candidate_info *ret))
{
    if (ret && tapsi_test_sweeping())
        *ret = (struct taps_candidate_info){.id = "", .interface = "", .stack = "", .remote = "", .reason = ""};
    return __real_taps_report_candidate(report, index, ret);
}
