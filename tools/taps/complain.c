/* SPDX-License-Identifier: MIT */
#include "complain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <taps/framer.h>

#include "term.h"

/* One program, one command, one terminal: the only state that is not passed around. */
static const char *as;
static bool over_line;

void complain_as(const char *command)
{
    as = command;
}

void complain_over_line(bool there)
{
    over_line = there;
}

static const char *prefix(void)
{
    return as ? " " : "";
}

/* Details quote peers and names, so they are made harmless before they reach a terminal. */
static void __attribute__((format(printf, 2, 0))) say(const char *start, const char *format, va_list arguments)
{
    struct term term;
    char text[2048];

    vsnprintf(text, sizeof text, format, arguments);
    term_init(&term, stderr);
    if (over_line)
        fputs("\r\033[K", stderr);
    over_line = false;
    fputs(start, stderr);
    term_put(&term, text, (int)sizeof text);
    fputc('\n', stderr);
}

void complain(const char *format, ...)
{
    va_list arguments;
    char start[64];

    snprintf(start, sizeof start, "taps%s%s: ", prefix(), as ? as : "");
    va_start(arguments, format);
    say(start, format, arguments);
    va_end(arguments);
}

void complain_hint(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say("  ", format, arguments);
    va_end(arguments);
}

int complain_usage(const char *format, ...)
{
    va_list arguments;
    char start[64];

    snprintf(start, sizeof start, "taps%s%s: ", prefix(), as ? as : "");
    va_start(arguments, format);
    say(start, format, arguments);
    va_end(arguments);
    complain_hint("`taps help%s%s` explains the usage.", prefix(), as ? as : "");
    return USAGE;
}

static const struct {
    int code;
    const char *hint;
} hints[] = {
    {TAPS_E_CONFIGURATION,
     "`taps probe` with the same options shows what each stack lacks; `taps help properties` lists all."},
    {TAPS_E_NO_CANDIDATES, "Look at -4, -6, --interface and the addresses of this machine: nothing is left to try."},
    {TAPS_E_RESOLUTION, "Check the spelling of the name, or ask another DNS server with --resolver ADDR:PORT."},
    {TAPS_E_ESTABLISHMENT, "`taps probe` with the same options shows why each candidate failed."},
    {TAPS_E_POLICY, "A policy of this system forbids it; -v shows which."},
    {TAPS_E_MESSAGE_TOO_LARGE,
     "Send smaller pieces, or use a stack without a limit (-p reliability=require) and, where there is a Framer, a "
     "larger maximum on both ends."},
    {TAPS_E_MESSAGE_PROPERTIES,
     "A Framer may lack --metadata KEY=VALUE, or the stack cannot do what --message-property asks for."},
    {TAPS_E_DEFRAMING, "Does the other end use the same Framer, with the same options?"},
    {TAPS_E_TIMEOUT, "Allow more time with --timeout SECONDS; `taps probe` shows which candidates did not answer."},
    {TAPS_E_REFUSED, "Nobody listens there: check the port, and that the server runs."},
    {TAPS_E_UNREACHABLE, "Check the route to it (`ip route get ADDRESS`), or try -4 or -6."},
    {TAPS_E_CERTIFICATE, "If its authority is your own, name it with --cafile FILE."},
    {TAPS_E_CERTIFICATE_EXPIRED, "The server needs a new certificate, or the clock of this machine is wrong."},
    {TAPS_E_CERTIFICATE_NAME,
     "Connect by the name in the certificate, or say which name to expect: --server-name NAME."},
    {TAPS_E_CERTIFICATE_PIN, "The server shows another certificate than the pinned one."},
    {TAPS_E_TLS, "Does it speak TLS on this port? --security disabled connects without."},
    {TAPS_E_TRUNCATED, "What arrived was written out, but the peer ended without saying that this was all."},
    {TAPS_E_ABORTED, "The peer reset the connection: its log may tell why."},
    {TAPS_E_RESOURCES, "The system is short of descriptors or memory: see `ulimit -n`."},
    {TAPS_E_PERMISSION, "Ports below 1024 need root or CAP_NET_BIND_SERVICE."},
    {TAPS_E_ADDRESS_IN_USE, "Another program has this port; port 0 takes a free one."},
};

/* What is behind the hints of these codes is the network, the stacks, the system: nothing that a Framer means by them.
 */
static bool is_of_framer(int code, const char *detail)
{
    const char *name;

    if (code == TAPS_E_CONFIGURATION || code == TAPS_E_PERMISSION)
        for (size_t i = 0; (name = taps_framer_known(i)) != NULL; i++)
            if (strncmp(detail, name, strlen(name)) == 0 && strncmp(detail + strlen(name), ": ", 2) == 0)
                return true;
    return false;
}

static void hint_for(int code)
{
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (hints[i].code == code)
            complain_hint("%s", hints[i].hint);
}

/* The detail without the target it begins with, where `what` has just named it. */
static const char *without_target(const char *detail, const char *what)
{
    const char *end = strstr(detail, ": ");
    size_t target = end ? (size_t)(end - detail) : 0, length = strlen(what);

    if (target == 0 || target > length || strncmp(what + length - target, detail, target) != 0)
        return detail;
    return end + 2;
}

int complain_error(const char *what, const struct taps_error *error)
{
    const char *reason = taps_reason_name(error->reason);
    const char *detail = *error->detail ? error->detail : taps_err_text(error->code);

    detail = without_target(detail, what);
    complain("cannot %s: %s (%s)", what, detail, reason);
    if (is_of_framer(error->code, detail))
        return FAILED;
    if (error->domain == TAPS_DOMAIN_ERRNO && error->native == EADDRNOTAVAIL)
        complain_hint("That is no address of this machine: `ip address` lists them.");
    else if (error->code == TAPS_E_TLS && error->domain == TAPS_DOMAIN_TLS)
        complain_hint(
            "It speaks TLS, but on other terms: compare versions, --alpn, --psk and certificates at both ends.");
    else
        hint_for(error->code);
    return FAILED;
}

int complain_code(const char *what, int code)
{
    complain("cannot %s: %s", what, taps_err_text(code));
    hint_for(code);
    return FAILED;
}

int finish_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return DONE;
    if (errno != EPIPE)
        complain("cannot write to standard output: %s", strerror(errno));
    return FAILED;
}

void complain_log(void *user, enum taps_log_level level, const char *text)
{
    static const char *const names[] = {"error", "warning", "info", "event", "debug"};

    (void)user;
    complain("[%s] %s", (unsigned)level < sizeof names / sizeof names[0] ? names[level] : "log", text);
}
