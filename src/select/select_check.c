/*
 * Contradictions that no stack could ever satisfy (IMPL-01). What one property alone rules out on every stack is named
 * first, because it is what the application has to change; only if the stacks fail for different reasons are they
 * listed.
 */
#include <string.h>
#include "select/property_table.h"
#include "select/select.h"

/* A path has one name and one type. */
static int check_interfaces(const struct tapsi_properties *properties, struct tapsi_error *ret_error)
{
    const struct tapsi_set *set = &properties->interfaces;
    const char *required[2] = {NULL, NULL}; /* by name, by type */
    for (size_t i = 0; i < set->count; i++) {
        const char *text = set->entries[i].text;
        const char **slot = &required[tapsi_interface_type(text) ? 1 : 0];
        if (set->entries[i].preference != TAPS_REQUIRE)
            continue;
        if (*slot)
            return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION,
                                   "interface requires both %s and %s, and no path is both", *slot, text);
        *slot = text;
    }
    return 0;
}

static int check_rates(const struct tapsi_properties *properties, enum taps_property low, enum taps_property high,
                       struct tapsi_error *ret_error)
{
    uint64_t min = properties->values[low].integer, max = properties->values[high].integer;
    if (min == TAPS_INFINITE || max == TAPS_INFINITE || min <= max)
        return 0;
    return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION, "%s is above %s", tapsi_property_name(low),
                           tapsi_property_name(high));
}

/* Can any of the stacks satisfy this one property? */
static int check_property(const struct tapsi_offer *offers, size_t count, const struct tapsi_properties *properties,
                          enum taps_property property, struct tapsi_error *ret_error)
{
    enum taps_preference preference = tapsi_preference(properties, property);
    bool require = preference == TAPS_REQUIRE;
    if (!require && preference != TAPS_PROHIBIT)
        return 0;
    for (size_t i = 0; i < count; i++) {
        if (offers[i].capability[property] != (require ? TAPSI_CAP_NEVER : TAPSI_CAP_ALWAYS))
            return 0;
    }
    return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION,
                           require ? "%s is required, and no stack has it" : "%s is prohibited, and every stack has it",
                           tapsi_property_name(property));
}

static int check_security(const struct tapsi_security *security, enum tapsi_role role, struct tapsi_error *ret_error)
{
    if (security && security->mode != TAPS_SECURITY_DISABLED && !tapsi_security_versions(security))
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION,
                               "allowedSecurityProtocols has nothing that reaches the minimum version");
    if (role != TAPSI_ROLE_SERVER ||
        (security && (security->mode != TAPS_SECURITY_REQUIRED || tapsi_security_can_serve(security))))
        return 0;
    return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION,
                           "serverCertificate is not set, and security, which is required unless disabled, needs one, "
                           "or preSharedKey, to listen");
}

/* "tcp: security is required": the reason up to its comma. As many as fit; the rest is counted. */
static int list_stacks(const struct tapsi_offer *offers, size_t count, const struct tapsi_properties *properties,
                       const struct tapsi_security *security, enum tapsi_role role, struct tapsi_error *ret_error)
{
    char list[TAPSI_DETAIL_MAX] = "", entry[TAPSI_DETAIL_MAX];
    size_t length = 0, listed = 0;
    const size_t room = TAPSI_DETAIL_MAX - sizeof("no stack is eligible: ; and 1000 more");
    for (; listed < count; listed++) {
        struct tapsi_verdict verdict;
        tapsi_select_stack(&offers[listed], properties, security, role, &verdict);
        if (verdict.eligible)
            return 0;
        /* A single stack has room for the whole reason. */
        size_t cause = count == 1 ? strlen(verdict.reason) : strcspn(verdict.reason, ",");
        size_t added = tapsi_format(entry, sizeof(entry), "%s%s: %.*s", listed ? "; " : "", offers[listed].stack,
                                    (int)cause, verdict.reason);
        if (length + added > room)
            break;
        memcpy(list + length, entry, added + 1);
        length += added;
    }
    for (size_t i = listed; i < count; i++) {
        struct tapsi_verdict verdict;
        tapsi_select_stack(&offers[i], properties, security, role, &verdict);
        if (verdict.eligible)
            return 0;
    }
    if (listed < count)
        return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION, "no stack is eligible: %s; and %zu more", list,
                               count - listed);
    return tapsi_error_set(ret_error, TAPS_E_CONFIGURATION, "no stack is eligible: %s", count ? list : "there is none");
}

int tapsi_select_check(const struct tapsi_offer *offers, size_t count, const struct tapsi_properties *properties,
                       const struct tapsi_security *security, enum tapsi_role role, struct tapsi_error *ret_error)
{
    int err = check_interfaces(properties, ret_error);
    if (!err)
        err = check_rates(properties, TAPS_MIN_SEND_RATE, TAPS_MAX_SEND_RATE, ret_error);
    if (!err)
        err = check_rates(properties, TAPS_MIN_RECV_RATE, TAPS_MAX_RECV_RATE, ret_error);
    for (int i = TAPS_PROPERTY_NONE + 1; count && !err && i <= TAPS_ACTIVE_READ_BEFORE_SEND; i++) {
        if (tapsi_select_of_stack((enum taps_property)i))
            err = check_property(offers, count, properties, (enum taps_property)i, ret_error);
    }
    if (!err)
        err = check_security(security, role, ret_error);
    return err ? err : list_stacks(offers, count, properties, security, role, ret_error);
}
