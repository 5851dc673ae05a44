/*
 * The command line: options common to probe, cat, serve and bench, and what they make of the library's objects.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_OPTIONS_H
#define TAPS_TOOL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <taps/taps.h>

#include "command.h"
#include "rate.h"

enum { OPTIONS_LIST_MAX = 64 };

struct options_list {
    const char *items[OPTIONS_LIST_MAX];
    size_t count;
};

/* What the options of Messages say: message.h. */
struct message_options {
    struct options_list properties; /* --message-property NAME=VALUE */
    struct options_list metadata;   /* --metadata [FRAMER/]KEY=VALUE */
    uint64_t count;                 /* 0: no end */
    size_t size;                    /* 0: not given */
    struct rate rate;
    bool quiet, progress;
};

/* Filled by options_parse; strings are borrowed from argv. */
struct options {
    const char *arguments[2];
    size_t argument_count;
    struct options_list properties; /* -p NAME=VALUE */
    struct options_list alpn;
    struct options_list framers; /* --framer NAME[:OPTIONS] */
    const char *profile;
    enum taps_security_mode mode;
    struct options_list pins; /* --pin FILE|sha256//... */
    struct options_list psks; /* --psk IDENTITY:HEXKEY|@FILE */
    const char *cafile, *cert, *key, *server_name, *resolver, *interface;
    const char *client_cert, *client_key, *password_file, *key_log, *session_file, *protocols;
    enum taps_security_protocol min_version; /* 0: not given */
    uint64_t timeout_ms;                     /* 0: the library's default */
    uint32_t attempt_delay_ms;
    int family; /* 0, 4 or 6 */
    int verbose;
    bool datagrams;                 /* --datagrams gave the profile */
    bool zero_rtt;                  /* --0rtt of cat and serve: zeroRttMsg is preferred */
    struct options_list migrate_to; /* --migrate-to ADDRESS|INTERFACE: multipath is active */
    struct message_options message;
};

enum { OPTIONS_RUN = -1 };

/* OPTIONS_RUN, or the exit code: DONE after --help was printed, USAGE after having said what is wrong. `own` is the
   target of the command's own rows. */
int options_parse(struct options *options, void *own, const struct command *command, int argc, char **argv);
/* Prints the help of a command, made from its rows. */
void options_help(const struct command *command);
/* "2.5" into milliseconds; false if it is not a number from 0 to a day. */
bool options_seconds(const char *text, uint64_t *ret_ms);
/* A whole number of decimal digits only. */
bool options_number(const char *text, uint64_t max, uint64_t *ret_number);
/* Bytes, from 1: "1200", "64k", "16M", "1G" (of 1024). */
bool options_size(const char *text, uint64_t max, uint64_t *ret_size);
/* One more of what may be given several times; `option` is its name with the dashes. */
int options_append(struct options_list *list, const char *option, const char *value);
/* "NAME=VALUE" in two, the name copied into `name`; false if there is no name, no "=", or no room for the name. */
bool options_pair(const char *text, char *name, size_t size, const char **ret_value);
/* Says what is wrong with the value of a property, or its name, and what would be right. Returns the exit code. */
int options_bad_property(const char *name, const char *value, int error);

/* These return DONE, or an exit code after having said what is wrong. What they return is owned. */
int options_context(const struct options *options, taps_context **ret_context);
/* With `relaxed`, udp is eligible too: reliability, preserveOrder and congestionControl have no preference, and
 * Messages are safelyReplayable, unless given. */
int options_properties(const struct options *options, bool relaxed, taps_transport_properties **ret_properties);
/* --cert is a server's certificate when listening, else a client's, as --client-cert is. In security.c. */
int options_security(const struct options *options, bool listening, taps_security_parameters **ret_security);
/* "HOST:PORT" as a Remote Endpoint. */
int options_remote(const char *text, taps_endpoint **ret_endpoint);
/* "PORT", ":PORT" or "ADDRESS:PORT" as a Local Endpoint to listen on. */
int options_listen(const struct options *options, const char *text, taps_endpoint **ret_endpoint);
/* Everything above as a Preconnection: to initiate to `text`, or to listen there. */
int options_preconnection(const struct options *options, taps_context *context, const char *text, bool listening,
                          bool relaxed, taps_preconnection **ret_preconnection);

#endif
