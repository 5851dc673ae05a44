/* What the options make: context, properties, endpoints, Preconnection. Security parameters: security.c.
 *
 * SPDX-License-Identifier: MIT
 */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "complain.h"
#include "framers.h"

/* It is written anew beside the old one. */
static bool has_folder(const char *path)
{
    const char *name = strrchr(path, '/');
    char *folder = name ? strndup(path, name == path ? 1 : (size_t)(name - path)) : strdup(".");
    bool has = !folder || access(folder, W_OK | X_OK) == 0;

    free(folder);
    return has;
}

static int use_session_file(const struct options *options, taps_context *context)
{
    const char *path = options->session_file;
    int error = path ? taps_context_set_session_file(context, path) : 0;

    if (error == 0 && path && !has_folder(path))
        return complain_usage("--session-file '%s' cannot be written: %s", path, strerror(errno));
    if (error == TAPS_E_PERMISSION)
        return complain_usage("--session-file '%s' is refused: it must be yours, and nobody else may read or change it",
                              path);
    if (error == TAPS_E_RANGE)
        return complain_usage("--session-file '%s' is refused: it holds something else", path);
    if (error == TAPS_E_SYSTEM)
        return complain_usage("--session-file '%s' cannot be read", path);
    return error < 0 ? complain_code("use the file of --session-file", error) : DONE;
}

int options_context(const struct options *options, taps_context **ret_context)
{
    struct taps_context_options settings = {
        .resolver = options->resolver,
        .attempt_delay_ms = options->attempt_delay_ms,
        .log = complain_log,
        .log_level = options->verbose > 1   ? TAPS_LOG_DEBUG
                     : options->verbose > 0 ? TAPS_LOG_EVENT
                                            : TAPS_LOG_ERROR,
    };
    int code = taps_context_new(&settings, ret_context);

    if (code == TAPS_E_ARGUMENT || code == TAPS_E_RANGE)
        return complain_usage("--resolver '%s' is not an address like 192.0.2.53 or [2001:db8::53]:5353",
                              options->resolver ? options->resolver : "");
    if (code < 0)
        return complain_code("make a context", code);
    code = use_session_file(options, *ret_context);
    if (code == DONE)
        return DONE;
    taps_context_free(*ret_context);
    *ret_context = NULL;
    return code;
}

static void hint_values(const struct taps_property_info *info)
{
    char text[512];
    size_t used = 0;

    switch (info->type) {
    case TAPS_TYPE_PREFERENCE:
        complain_hint("It takes require, prefer, no preference, avoid or prohibit.");
        return;
    case TAPS_TYPE_BOOLEAN:
        complain_hint("It takes true or false.");
        return;
    case TAPS_TYPE_SET:
        complain_hint("It takes a preference and a name, as in -p '%s=require eth0'.", info->name);
        return;
    case TAPS_TYPE_ENUMERATION:
        for (size_t i = 0; info->values && info->values[i] && used < sizeof text; i++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "", info->values[i]);
        complain_hint("It takes one of: %s.", used ? text : "nothing");
        return;
    case TAPS_TYPE_INTEGER:
    case TAPS_TYPE_NUMBER:
        complain_hint("It takes a number; the default is %s (%s).", info->default_text, info->section);
        return;
    }
}

int options_bad_property(const char *name, const char *value, int error)
{
    const struct taps_property_info *info = taps_property_info(taps_property_find(name));

    if (!info || error == TAPS_E_UNKNOWN_PROPERTY) {
        complain("there is no property '%s'", name);
        complain_hint("`taps help properties` lists them all.");
        return USAGE;
    }
    if (error == TAPS_E_MEMORY)
        return complain_code("set a property", error);
    complain("the property %s cannot be '%s': %s", info->name, value, taps_err_text(error));
    if (error == TAPS_E_READ_ONLY)
        complain_hint("Only a connection has it: `taps probe` shows it.");
    else
        hint_values(info);
    return USAGE;
}

static int set_property(taps_transport_properties *properties, const char *text)
{
    const char *value;
    char name[128];
    int error;

    if (!options_pair(text, name, sizeof name, &value))
        return options_bad_property(text, "", TAPS_E_UNKNOWN_PROPERTY);
    error = taps_transport_properties_set(properties, name, value);
    return error < 0 ? options_bad_property(name, value, error) : DONE;
}

/* A server that sends everything back does not mind a Message that comes twice either. */
static int relax(taps_transport_properties *properties)
{
    static const enum taps_property narrow[] = {TAPS_RELIABILITY, TAPS_PRESERVE_ORDER, TAPS_CONGESTION_CONTROL};
    int error = taps_transport_properties_set_boolean(properties, TAPS_SAFELY_REPLAYABLE, true);

    for (size_t i = 0; i < sizeof narrow / sizeof narrow[0] && error >= 0; i++)
        error = taps_transport_properties_no_preference(properties, narrow[i]);
    return error < 0 ? complain_code("relax the properties", error) : DONE;
}

int options_properties(const struct options *options, bool relaxed, taps_transport_properties **ret_properties)
{
    taps_transport_properties *properties = NULL;
    enum taps_properties_profile profile;
    int error, code = DONE;

    if (options->profile && taps_properties_profile_find(options->profile, &profile) >= 0)
        error = taps_transport_properties_new_profile(profile, &properties);
    else
        error = taps_transport_properties_new(&properties);
    if (error < 0)
        return complain_code("make transport properties", error);
    if (relaxed && !options->profile)
        code = relax(properties);
    if (options->zero_rtt && code == DONE) {
        error = taps_transport_properties_set_preference(properties, TAPS_ZERO_RTT_MSG, TAPS_PREFER);
        code = error < 0 ? complain_code("prefer zeroRttMsg", error) : DONE;
    }
    if (options->migrate_to.count && code == DONE) {
        error = taps_transport_properties_set_enumeration(properties, TAPS_MULTIPATH, TAPS_MULTIPATH_ACTIVE);
        code = error < 0 ? complain_code("make multipath active", error) : DONE;
    }
    if (options->interface && code == DONE) {
        error = taps_transport_properties_add(properties, TAPS_INTERFACE, TAPS_REQUIRE, options->interface);
        if (error < 0)
            code = complain_usage("--interface '%s': %s", options->interface, taps_err_text(error));
    }
    for (size_t i = 0; i < options->properties.count && code == DONE; i++)
        code = set_property(properties, options->properties.items[i]);
    if (code == DONE)
        *ret_properties = properties;
    else
        taps_transport_properties_free(properties);
    return code;
}

int options_remote(const char *text, taps_endpoint **ret_endpoint)
{
    taps_endpoint *endpoint = NULL;
    int code = DONE, error = taps_remote_endpoint_new(&endpoint);

    if (error < 0)
        return complain_code("make an endpoint", error);
    error = taps_endpoint_with_text(endpoint, text);
    if (error == TAPS_E_MEMORY)
        code = complain_code("make an endpoint", error);
    else if (error < 0)
        code = complain_usage("'%s' is not HOST:PORT, as in example.org:443, [2001:db8::1]:443 or example.org:https",
                              text);
    else if (!taps_endpoint_host_name(endpoint) && !taps_endpoint_ip_address(endpoint))
        code = complain_usage("'%s' names no host: write HOST:PORT, as in example.org:443", text);
    else if (taps_endpoint_port(endpoint) == 0 && !taps_endpoint_service(endpoint))
        code =
            complain_usage("'%s' has no port: write %s%s%s:443 or %s%s%s:https", text,
                           strchr(text, ':') && *text != '[' ? "[" : "", text,
                           strchr(text, ':') && *text != '[' ? "]" : "", strchr(text, ':') && *text != '[' ? "[" : "",
                           text, strchr(text, ':') && *text != '[' ? "]" : "");
    if (code == DONE)
        *ret_endpoint = endpoint;
    else
        taps_endpoint_free(endpoint);
    return code;
}

static const char *any_address(int family)
{
    return family == 4 ? "0.0.0.0" : "::";
}

static int fill_listen(const struct options *options, taps_endpoint *endpoint, const char *text)
{
    uint64_t port;
    int error;

    if (options_number(text, 65535, &port))
        error = taps_endpoint_with_port(endpoint, (uint16_t)port);
    else if (strchr(text, ':'))
        error = taps_endpoint_with_text(endpoint, text);
    else
        return complain_usage("'%s' is not a port: it is 0 to 65535, or ADDRESS:PORT with an address of this machine",
                              text);
    if (error < 0)
        return complain_usage("'%s' is not PORT or ADDRESS:PORT, as in 8080, 127.0.0.1:8080 or [::1]:8080", text);
    if (!options->family)
        return DONE;
    if (taps_endpoint_ip_address(endpoint) || taps_endpoint_host_name(endpoint))
        return complain_usage("-%d and an address exclude each other: the address has a family already",
                              options->family);
    error = taps_endpoint_with_ip_address(endpoint, any_address(options->family));
    return error < 0 ? complain_code("choose the address family", error) : DONE;
}

int options_listen(const struct options *options, const char *text, taps_endpoint **ret_endpoint)
{
    taps_endpoint *endpoint = NULL;
    int code, error = taps_local_endpoint_new(&endpoint);

    if (error < 0)
        return complain_code("make an endpoint", error);
    code = fill_listen(options, endpoint, text);
    if (code == DONE)
        *ret_endpoint = endpoint;
    else
        taps_endpoint_free(endpoint);
    return code;
}

/* The library takes an any-address as "this family only". */
static int add_family(const struct options *options, taps_preconnection *preconnection)
{
    taps_endpoint *local = NULL;
    int error = 0;

    if (!options->family)
        return DONE;
    error = taps_local_endpoint_new(&local);
    if (error >= 0)
        error = taps_endpoint_with_ip_address(local, any_address(options->family));
    if (error >= 0)
        error = taps_preconnection_add_local(preconnection, local);
    taps_endpoint_free(local);
    return error < 0 ? complain_code("choose the address family", error) : DONE;
}

static int add_endpoint(const struct options *options, taps_preconnection *preconnection, const char *text,
                        bool listening)
{
    taps_endpoint *endpoint = NULL;
    int error, code = listening ? options_listen(options, text, &endpoint) : options_remote(text, &endpoint);

    if (code)
        return code;
    error = listening ? taps_preconnection_add_local(preconnection, endpoint)
                      : taps_preconnection_add_remote(preconnection, endpoint);
    taps_endpoint_free(endpoint);
    if (error < 0)
        return complain_code("use the endpoint", error);
    return listening ? DONE : add_family(options, preconnection);
}

int options_preconnection(const struct options *options, taps_context *context, const char *text, bool listening,
                          bool relaxed, taps_preconnection **ret_preconnection)
{
    taps_preconnection *preconnection = NULL;
    taps_transport_properties *properties = NULL;
    taps_security_parameters *security = NULL;
    int error, code = options_properties(options, relaxed, &properties);

    if (code == DONE)
        code = options_security(options, listening, &security);
    if (code == DONE) {
        error = taps_preconnection_new(context, &preconnection);
        if (error >= 0)
            error = taps_preconnection_set_transport_properties(preconnection, properties);
        if (error >= 0)
            error = taps_preconnection_set_security_parameters(preconnection, security);
        code = error < 0 ? complain_code("make a preconnection", error) : DONE;
    }
    if (code == DONE)
        code = add_endpoint(options, preconnection, text, listening);
    if (code == DONE)
        code = framers_add(options, preconnection);
    if (code == DONE)
        *ret_preconnection = preconnection;
    else
        taps_preconnection_free(preconnection);
    taps_transport_properties_free(properties);
    taps_security_parameters_free(security);
    return code;
}
