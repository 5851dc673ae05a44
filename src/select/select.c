#include "select/select.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "select/property_table.h"

/* ------------------------------------------------------------------------------------------- what is wanted */

bool tapsi_select_of_stack(enum taps_property property)
{
    return property > TAPS_PROPERTY_NONE && property <= TAPS_ACTIVE_READ_BEFORE_SEND &&
           property != TAPS_USE_TEMPORARY_LOCAL_ADDRESS &&
           tapsi_property_row(property)->info.type == TAPS_TYPE_PREFERENCE;
}

enum taps_preference tapsi_select_preference(const struct tapsi_properties *properties, enum taps_property property,
                                             enum tapsi_role role)
{
    if (property == TAPS_USE_TEMPORARY_LOCAL_ADDRESS && role != TAPSI_ROLE_CLIENT &&
        !tapsi_properties_is_set(properties, property))
        return TAPS_AVOID;
    return tapsi_preference(properties, property);
}

enum taps_multipath tapsi_select_multipath(const struct tapsi_properties *properties, enum tapsi_role role)
{
    if (role == TAPSI_ROLE_SERVER && !tapsi_properties_is_set(properties, TAPS_MULTIPATH))
        return TAPS_MULTIPATH_PASSIVE;
    return (enum taps_multipath)properties->values[TAPS_MULTIPATH].enumeration;
}

bool tapsi_select_has(const struct tapsi_offer *offer, const struct tapsi_properties *properties,
                      enum taps_property property)
{
    if (!tapsi_select_of_stack(property))
        return false;
    if (offer->capability[property] == TAPSI_CAP_OPTIONAL)
        return tapsi_preference(properties, property) > TAPS_NO_PREFERENCE;
    return offer->capability[property] == TAPSI_CAP_ALWAYS;
}

/* --------------------------------------------------------------------------------------- what rules a stack out */

bool tapsi_select_rule_out(struct tapsi_verdict *verdict, enum taps_property property, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(verdict->reason, sizeof(verdict->reason), format, args);
    va_end(args);
    verdict->property = property;
    return false;
}

static bool prohibited(const struct tapsi_offer *offer, const struct tapsi_properties *properties,
                       enum taps_property property)
{
    return tapsi_preference(properties, property) == TAPS_PROHIBIT && offer->capability[property] == TAPSI_CAP_ALWAYS;
}

static bool missing(const struct tapsi_offer *offer, const struct tapsi_properties *properties,
                    enum taps_property property)
{
    return tapsi_preference(properties, property) == TAPS_REQUIRE && offer->capability[property] == TAPSI_CAP_NEVER;
}

/* Prohibit first, then Require (RFC 9623, 4.1.4). */
static bool properties_allow(const struct tapsi_offer *offer, const struct tapsi_properties *properties,
                             struct tapsi_verdict *verdict)
{
    for (int i = TAPS_PROPERTY_NONE + 1; i <= TAPS_ACTIVE_READ_BEFORE_SEND; i++) {
        enum taps_property property = (enum taps_property)i;
        if (tapsi_select_of_stack(property) && prohibited(offer, properties, property))
            return tapsi_select_rule_out(verdict, property, "%s is prohibited, and %s always has it",
                                         tapsi_property_name(property), offer->stack);
    }
    for (int i = TAPS_PROPERTY_NONE + 1; i <= TAPS_ACTIVE_READ_BEFORE_SEND; i++) {
        enum taps_property property = (enum taps_property)i;
        if (tapsi_select_of_stack(property) && missing(offer, properties, property))
            return tapsi_select_rule_out(verdict, property, "%s is required, and %s does not have it",
                                         tapsi_property_name(property), offer->stack);
    }
    if (offer->only_for && tapsi_preference(properties, offer->only_for) != TAPS_REQUIRE)
        return tapsi_select_rule_out(verdict, offer->only_for,
                                     "%s is only for peers that agreed on it: %s is not required", offer->stack,
                                     tapsi_property_name(offer->only_for));
    if (offer->may_duplicate && !properties->values[TAPS_SAFELY_REPLAYABLE].boolean)
        return tapsi_select_rule_out(verdict, TAPS_SAFELY_REPLAYABLE,
                                     "safelyReplayable is false, and %s may duplicate Messages", offer->stack);
    return true;
}

static enum taps_security_mode mode_of(const struct tapsi_security *security)
{
    return security ? security->mode : TAPS_SECURITY_REQUIRED;
}

static bool alpn_allows(const struct tapsi_offer *offer, const struct tapsi_security *security,
                        struct tapsi_verdict *verdict)
{
    bool given = security && security->alpn.count;
    if (!given && offer->needs_alpn)
        return tapsi_select_rule_out(verdict, TAPS_PROPERTY_NONE, "%s needs an ALPN protocol, and none was given",
                                     tapsi_alpn_transport_name(offer->alpn));
    if (given && offer->alpn && !tapsi_alpn_filter(&security->alpn, offer->alpn, NULL))
        return tapsi_select_rule_out(verdict, TAPS_PROPERTY_NONE, "none of the ALPN protocols given can run over %s",
                                     tapsi_alpn_transport_name(offer->alpn));
    return true;
}

static bool secure_stack_allowed(const struct tapsi_offer *offer, const struct tapsi_security *security,
                                 enum tapsi_role role, struct tapsi_verdict *verdict)
{
    if (mode_of(security) == TAPS_SECURITY_DISABLED)
        return tapsi_select_rule_out(verdict, TAPS_PROPERTY_NONE, "security is disabled, and %s has it", offer->stack);
    if (security && !tapsi_security_versions(security))
        return tapsi_select_rule_out(verdict, TAPS_PROPERTY_NONE,
                                     "allowedSecurityProtocols contradicts the minimum version, so %s has none left",
                                     offer->stack);
    if (security && !(tapsi_security_versions(security) & offer->security_protocols))
        return tapsi_select_rule_out(verdict, TAPS_PROPERTY_NONE, "allowedSecurityProtocols has none that %s speaks",
                                     offer->stack);
    if (role == TAPSI_ROLE_SERVER && !(security && tapsi_security_can_serve(security)))
        return tapsi_select_rule_out(verdict, TAPS_PROPERTY_NONE,
                                     "serverCertificate is not set, and %s needs one, or preSharedKey, to listen",
                                     offer->stack);
    return alpn_allows(offer, security, verdict);
}

static bool security_allows(const struct tapsi_offer *offer, const struct tapsi_security *security,
                            enum tapsi_role role, struct tapsi_verdict *verdict)
{
    if (offer->secure)
        return secure_stack_allowed(offer, security, role, verdict);
    if (mode_of(security) == TAPS_SECURITY_REQUIRED)
        return tapsi_select_rule_out(
            verdict, TAPS_PROPERTY_NONE,
            "security is required unless disabled, and %s has none (see taps_security_parameters_new_disabled)",
            offer->stack);
    return true;
}

static bool can_be_used(const struct tapsi_offer *offer, enum tapsi_role role, struct tapsi_verdict *verdict)
{
    if (offer->unavailable)
        return tapsi_select_rule_out(verdict, TAPS_PROPERTY_NONE, "not available, because %s", offer->unavailable);
    if (role != TAPSI_ROLE_SERVER && !offer->can_initiate)
        return tapsi_select_rule_out(verdict, TAPS_PROPERTY_NONE, "cannot initiate");
    if (role != TAPSI_ROLE_CLIENT && !offer->can_listen)
        return tapsi_select_rule_out(verdict, TAPS_PROPERTY_NONE, "cannot listen");
    return true;
}

/* Over TCP the handshake is enough; a stream of QUIC shows itself with its first byte. */
static bool direction_allows(const struct tapsi_offer *offer, const struct tapsi_properties *properties,
                             enum tapsi_role role, struct tapsi_verdict *verdict)
{
    if (role == TAPSI_ROLE_SERVER || offer->alpn != TAPSI_ALPN_QUIC ||
        properties->values[TAPS_DIRECTION].enumeration != TAPS_UNIDIRECTIONAL_RECEIVE)
        return true;
    return tapsi_select_rule_out(verdict, TAPS_DIRECTION,
                                 "direction is unidirectional receive, and over QUIC the peer hears of who initiates "
                                 "by what is sent");
}

/* ------------------------------------------------------------------------------------------------------- rank */

/* Sums up Prefer and Avoid; `wanted` is how many Prefer there are, met or not. */
struct tally {
    struct tapsi_verdict *verdict;
    int wanted, met, hit;
};

static void count_preferred(struct tally *tally, bool is_explicit, bool met)
{
    tally->wanted++;
    if (!met)
        return;
    tally->met++;
    if (is_explicit)
        tally->verdict->explicit_preferred++;
    else
        tally->verdict->default_preferred++;
}

static void count_avoided(struct tally *tally, bool is_explicit)
{
    tally->hit++;
    if (is_explicit)
        tally->verdict->explicit_avoided++;
    else
        tally->verdict->default_avoided++;
}

static void rank_stack(const struct tapsi_offer *offer, const struct tapsi_properties *properties, enum tapsi_role role,
                       struct tapsi_verdict *verdict)
{
    struct tally tally = {.verdict = verdict};
    for (int i = TAPS_PROPERTY_NONE + 1; i <= TAPS_ACTIVE_READ_BEFORE_SEND; i++) {
        enum taps_property property = (enum taps_property)i;
        if (!tapsi_select_of_stack(property))
            continue;
        enum taps_preference preference = tapsi_preference(properties, property);
        bool is_explicit = tapsi_properties_is_set(properties, property);
        if (preference == TAPS_PREFER)
            count_preferred(&tally, is_explicit, offer->capability[property] != TAPSI_CAP_NEVER);
        else if (preference == TAPS_AVOID && offer->capability[property] == TAPSI_CAP_ALWAYS)
            count_avoided(&tally, is_explicit);
    }
    /* RFC 9622, 6.2.14: anything but Disabled is a preference for stacks that can use several paths. */
    if (tapsi_select_multipath(properties, role) != TAPS_MULTIPATH_DISABLED)
        count_preferred(&tally, tapsi_properties_is_set(properties, TAPS_MULTIPATH), offer->multipath);
    int length = tally.wanted ? snprintf(verdict->reason, sizeof(verdict->reason), "meets %d of %d preferences",
                                         tally.met, tally.wanted)
                              : snprintf(verdict->reason, sizeof(verdict->reason), "meets every requirement");
    if (tally.hit)
        snprintf(verdict->reason + length, sizeof(verdict->reason) - (size_t)length, ", has %d to be avoided",
                 tally.hit);
}

void tapsi_select_stack(const struct tapsi_offer *offer, const struct tapsi_properties *properties,
                        const struct tapsi_security *security, enum tapsi_role role, struct tapsi_verdict *ret)
{
    *ret = (struct tapsi_verdict){.property = TAPS_PROPERTY_NONE};
    ret->eligible = can_be_used(offer, role, ret) && properties_allow(offer, properties, ret) &&
                    direction_allows(offer, properties, role, ret) && security_allows(offer, security, role, ret);
    if (ret->eligible)
        rank_stack(offer, properties, role, ret);
}

/* Below 0: `a` goes first. */
static int compare_ranks(const struct tapsi_verdict *a, const struct tapsi_verdict *b)
{
    if (a->explicit_preferred != b->explicit_preferred)
        return b->explicit_preferred - a->explicit_preferred;
    if (a->explicit_avoided != b->explicit_avoided)
        return a->explicit_avoided - b->explicit_avoided;
    if (a->default_preferred != b->default_preferred)
        return b->default_preferred - a->default_preferred;
    if (a->default_avoided != b->default_avoided)
        return a->default_avoided - b->default_avoided;
    return a->order < b->order ? -1 : 1;
}

/* Only opportunistic security leaves both kinds eligible, and it wants security where there is any. */
static int compare_stacks(const struct tapsi_offer *offers, const struct tapsi_verdict *verdicts, unsigned a,
                          unsigned b)
{
    if (offers[a].secure != offers[b].secure)
        return offers[a].secure ? -1 : 1;
    return compare_ranks(&verdicts[a], &verdicts[b]);
}

size_t tapsi_select_stacks(const struct tapsi_offer *offers, size_t count, const struct tapsi_properties *properties,
                           const struct tapsi_security *security, enum tapsi_role role, struct tapsi_verdict *verdicts,
                           unsigned *order)
{
    size_t eligible = 0;
    for (size_t i = 0; i < count; i++) {
        tapsi_select_stack(&offers[i], properties, security, role, &verdicts[i]);
        verdicts[i].order = (unsigned)i;
        if (!verdicts[i].eligible)
            continue;
        size_t at = eligible++;
        for (; at > 0 && compare_stacks(offers, verdicts, (unsigned)i, order[at - 1]) < 0; at--)
            order[at] = order[at - 1];
        order[at] = (unsigned)i;
    }
    return eligible;
}
