/*
 * A race in four parts: the client's interfaces, the names and servers, what is asked for, and what happens. Each
 * statement throws the dice at most once, because C does not say in which order arguments are worked out.
 *
 * Times have odd microseconds, each of its own, so that two things seldom happen at one moment: then the reference
 * knows what comes first.
 */
#include "draw.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *const draw_kind_names[DRAW_KINDS] = {"calm", "rough", "tls"};

struct drawing {
    struct script *script;
    enum draw_kind kind;
    uint64_t state;
    unsigned odd; /* microseconds that no other time has */
    unsigned interfaces, name_count;
    bool datagrams, rough;
};

/* splitmix64 */
static unsigned dice(struct drawing *d, unsigned sides)
{
    uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (unsigned)((z ^ (z >> 31)) % sides);
}

/* Once in `times`. */
static bool once_in(struct drawing *d, unsigned times)
{
    return dice(d, times) == 0;
}

#define PICK(d, list) ((list)[dice((d), sizeof(list) / sizeof((list)[0]))])

/* So many milliseconds and a few microseconds of its own. */
static const char *time_text(struct drawing *d, unsigned ms, char text[24])
{
    d->odd += 7;
    return script_time_text(((uint64_t)ms * 1000 + d->odd % 900) * 1000, text);
}

/* Short ones most often. */
static unsigned some_ms(struct drawing *d, unsigned max)
{
    unsigned roll = dice(d, 4);
    unsigned bound = roll == 0 ? max : roll == 1 ? max / 4 : max / 20;
    return dice(d, bound + 1);
}

/* --------------------------------------------------------------------------------------------------- the addresses */

#define SERVER_ADDRESSES 6 /* of each family */
static const char *const server_v4[] = {"192.0.2.1",  "192.0.2.11", "192.0.2.12",
                                        "192.0.2.13", "10.0.0.1",   "169.254.7.7"};
static const char *const server_v6[] = {"2001:db8::1", "2001:db8::11",     "2001:db8:0:1::12",
                                        "fd00::1",     "2002:c000:201::1", "2001:0:7::1"};
static const char *const nobody[] = {"192.0.2.99", "198.18.0.9", "2001:db8::99", "2001:db8:9::9"};
static const char *const client_names[] = {"eth0", "wlan0", "wwan0"};

static void one_interface(struct drawing *d, unsigned i)
{
    static const char *const types[] = {"ethernet", "wifi", "cellular"};
    static const char *const v4[] = {"192.0.2.2/24", "198.51.100.2/24", "203.0.113.2/24"};
    static const char *const v6[] = {"2001:db8::2/64", "2001:db8:1::2/64", "2001:db8:2::2/64"};
    static const char *const local[] = {"fd00::2/64", "fd01::2/64", "fd02::2/64"};
    static const char *const six_to_four[] = {"2002:c000:202::2/64", "2002:c000:203::2/64", "2002:c000:204::2/64"};
    static const char *const temporary[] = {"2001:db8::5555/64", "2001:db8:1::5555/64", "2001:db8:2::5555/64"};
    char text[24];
    unsigned families = dice(d, 6); /* 0: IPv4 only, 1: IPv6 only, else both */
    bool has_local = once_in(d, 6);
    bool has_link_local = once_in(d, 3);
    bool has_6to4 = once_in(d, 10);
    script_say(d->script, "interface client/%s %s%s%s%s%s%s%s%s%s%s", client_names[i], types[i],
               families != 1 ? " " : "", families != 1 ? v4[i] : "", families != 0 ? " " : "",
               families != 0 ? v6[i] : "", has_local ? " " : "", has_local ? local[i] : "", has_6to4 ? " " : "",
               has_6to4 ? six_to_four[i] : "", has_link_local ? " fe80::2/64" : "");
    if (families != 0 && once_in(d, 4))
        script_say(d->script, "address client/%s %s temporary", client_names[i], temporary[i]);
    if (families != 0 && once_in(d, 6))
        script_say(d->script, "address client/%s 2001:db8:0:1::%u/64", client_names[i], i + 7);
    if (once_in(d, families ? 12 : 3)) /* it may be the only one of its family */
        script_say(d->script, "address client/%s 2001:db8:%x::77/64 deprecated", client_names[i], i + 8);
    unsigned delay = some_ms(d, 120);
    script_say(d->script, "link client/%s server/eth0 %s", client_names[i], time_text(d, delay + 1, text));
}

static void interfaces(struct drawing *d)
{
    static const unsigned counts[] = {1, 1, 1, 2, 2, 3};
    d->interfaces = PICK(d, counts);
    script_say(d->script, "interface server/eth0 ethernet 192.0.2.1/24 192.0.2.11/24 192.0.2.12/24 192.0.2.13/24 "
                          "10.0.0.1/8 169.254.7.7/16 192.0.2.53/24 2001:db8::1/64 2001:db8::11/64 "
                          "2001:db8:0:1::12/64 fd00::1/64 2002:c000:201::1/64 2001:0:7::1/64 2001:db8::53/64");
    for (unsigned i = 0; i < d->interfaces; i++)
        one_interface(d, i);
    if (once_in(d, 15)) {
        unsigned i = dice(d, d->interfaces);
        script_say(d->script, "down client/%s", client_names[i]);
    }
}

/* --------------------------------------------------------------------------------------------- names and servers */

static const char *const names[] = {"example.test", "one.test", "two.test"};

/* So many different addresses of the list, with spaces between. */
static void some_addresses(struct drawing *d, bool v6, char text[200])
{
    const char *const *list = v6 ? server_v6 : server_v4;
    unsigned most = dice(d, 6);
    unsigned start = dice(d, SERVER_ADDRESSES);
    unsigned count = most < 3 ? 1 : most - 1;
    size_t length = 0;
    for (unsigned i = 0; i < count; i++)
        length += (size_t)snprintf(text + length, 200 - length, " %s", list[(start + i) % SERVER_ADDRESSES]);
    if (once_in(d, 12))
        snprintf(text + length, 200 - length, " %s", nobody[v6 ? 2 : 0]);
}

static void one_answer(struct drawing *d, const char *name, bool v6)
{
    static const char *const calm_failures[] = {"empty", "nxdomain", "never"};
    static const char *const failures[] = {"empty", "nxdomain", "never", "servfail", "refused", "formerr"};
    char addresses[200], text[24];
    unsigned delay = some_ms(d, 400);
    unsigned what = dice(d, 10);
    time_text(d, delay, text);
    if (what == 0)
        return; /* no record of this type */
    if (what == 1) {
        const char *failure = d->rough ? PICK(d, failures) : PICK(d, calm_failures);
        script_say(d->script, "dns %s %s after %s fails %s", name, v6 ? "AAAA" : "A", text, failure);
        return;
    }
    some_addresses(d, v6, addresses);
    script_say(d->script, "dns %s %s after %s%s", name, v6 ? "AAAA" : "A", text, addresses);
}

static void remotes(struct drawing *d)
{
    static const unsigned counts[] = {1, 1, 1, 1, 2, 3};
    unsigned count = PICK(d, counts);
    unsigned port = d->kind == DRAW_TLS ? 443 : 80;
    bool by_v6 = once_in(d, 3);
    script_say(d->script, "nameserver %s", by_v6 ? "2001:db8::53" : "192.0.2.53");
    for (unsigned i = 0; i < count; i++) {
        unsigned what = dice(d, 8);
        const char *restriction = once_in(d, 12) ? " protocol tcp" : "";
        if (what == 0) {
            const char *address = PICK(d, server_v4);
            script_say(d->script, "remote %s:%u%s", address, port, restriction);
        } else if (what == 1) {
            const char *address = PICK(d, server_v6);
            script_say(d->script, "remote [%s]:%u%s", address, port, restriction);
        } else {
            one_answer(d, names[i], true);
            one_answer(d, names[i], false);
            script_say(d->script, "remote %s:%u%s", names[i], port, restriction);
        }
    }
}

static void plain_servers(struct drawing *d)
{
    static const char *const kinds[] = {"echo",    "echo",      "echo",    "listener",  "silent",
                                        "discard", "says 3000", "reset 0", "reset 500", "stall"};
    const char *kind = PICK(d, kinds);
    if (!once_in(d, 15))
        script_say(d->script, "serve server 80 %s", kind);
    if (d->datagrams && !once_in(d, 6)) {
        bool ours = once_in(d, 2);
        script_say(d->script, "serve server 80 %s", ours ? "datagrams" : "udp-echo");
    }
}

static void servers(struct drawing *d)
{
    static const char *const secure[] = {"tls",  "tls",   "tls", "tls", "tls-expired", "tls-stranger", "tls-other-name",
                                         "echo", "silent"};
    if (d->kind != DRAW_TLS) {
        plain_servers(d);
        return;
    }
    const char *kind = PICK(d, secure);
    script_say(d->script, "serve server 443 %s", kind);
}

static void faults(struct drawing *d)
{
    static const char *const kinds[] = {"blackhole", "blackhole", "blackhole",  "refuse",
                                        "refuse",    "prohibit",  "unreachable"};
    char text[24];
    unsigned bad = dice(d, 4); /* the world is fine, or ever worse */
    for (unsigned i = 0; i < 2 * SERVER_ADDRESSES; i++) {
        const char *address = i < SERVER_ADDRESSES ? server_v4[i] : server_v6[i - SERVER_ADDRESSES];
        unsigned roll = dice(d, 8);
        const char *kind = PICK(d, kinds);
        unsigned slow = some_ms(d, 600);
        if (roll < 2 * bad)
            script_say(d->script, "fault %s %s", address, kind);
        else if (roll == 7)
            script_say(d->script, "slow %s %s", address, time_text(d, slow, text));
    }
}

/* --------------------------------------------------------------------------------------------- what is asked for */

static void about_interfaces(struct drawing *d)
{
    static const char *const properties[] = {"interface", "interface", "pvd"};
    static const char *const wishes[] = {"prefer", "avoid", "require", "prohibit"};
    static const char *const which[] = {"eth0", "wlan0", "wwan0", "wifi", "cellular", "ethernet"};
    const char *property = PICK(d, properties);
    const char *wish = PICK(d, wishes);
    const char *what = which[dice(d, property[0] == 'p' ? 3 : 6)];
    script_say(d->script, "property %s %s %s", property, wish, what);
}

static void about_stacks(struct drawing *d)
{
    static const char *const properties[] = {
        "reliability",     "preserveMsgBoundaries", "perMsgReliability",    "preserveOrder",
        "zeroRttMsg",      "multistreaming",        "congestionControl",    "keepAlive",
        "softErrorNotify", "fullChecksumSend",      "activeReadBeforeSend", "fullChecksumRecv"};
    static const char *const wishes[] = {"prefer", "prefer", "avoid", "avoid", "no preference", "require", "prohibit"};
    const char *property = PICK(d, properties);
    const char *wish = PICK(d, wishes);
    script_say(d->script, "property %s %s", property, wish);
}

static void about_datagrams(struct drawing *d)
{
    static const char *const properties[] = {"reliability", "preserveOrder", "congestionControl"};
    static const char *const wishes[] = {"prefer", "avoid", "no preference", "avoid", "prohibit"};
    for (unsigned i = 0; i < 3; i++) {
        const char *wish = PICK(d, wishes);
        script_say(d->script, "property %s %s", properties[i], wish);
    }
    script_say(d->script, "property safelyReplayable true");
}

static void local_endpoint(struct drawing *d)
{
    static const char *const addresses[] = {"192.0.2.2", "2001:db8::2", "198.51.100.2"};
    unsigned what = dice(d, 3);
    if (what == 0) {
        unsigned i = dice(d, d->interfaces);
        script_say(d->script, "local interface %s", client_names[i]);
    } else if (what == 1) {
        const char *address = PICK(d, addresses);
        script_say(d->script, "local address %s", address);
    } else {
        script_say(d->script, "local protocol tcp");
    }
}

static void wishes(struct drawing *d)
{
    static const char *const temporary[] = {"require", "prefer", "avoid", "prohibit", "no preference"};
    unsigned interface_wishes = dice(d, 4), stack_wishes = dice(d, 6);
    for (unsigned i = 1; i < interface_wishes; i++)
        about_interfaces(d);
    if (d->datagrams)
        about_datagrams(d);
    for (unsigned i = 4; i < stack_wishes; i++)
        about_stacks(d);
    if (once_in(d, 10)) {
        const char *wish = PICK(d, temporary);
        script_say(d->script, "property useTemporaryLocalAddress %s", wish);
    }
    if (once_in(d, 10))
        local_endpoint(d);
    if (once_in(d, 8)) {
        unsigned ms = dice(d, 600);
        script_say(d->script, "attempt delay %ums", ms + 10);
    }
    if (once_in(d, 12)) {
        unsigned ms = dice(d, 300);
        script_say(d->script, "resolution delay %ums", ms + 1);
    }
}

static void security(struct drawing *d)
{
    if (d->kind != DRAW_TLS)
        return;
    bool opportunistic = once_in(d, 3);
    script_say(d->script, "security %s", opportunistic ? "opportunistic" : "required");
}

static void initiate(struct drawing *d)
{
    unsigned long_one = dice(d, 5);
    unsigned ms = dice(d, long_one ? 15000 : 800);
    unsigned length = dice(d, 5000);
    char text[24];
    script_time_text((uint64_t)(ms + 1) * 1000000, text);
    if (once_in(d, 5))
        script_say(d->script, "initiate within %s sending %u", text, length);
    else
        script_say(d->script, "initiate within %s", text);
}

/* ----------------------------------------------------------------------------------------------- what happens */

static void when(struct drawing *d, bool early, char text[40])
{
    static const char *const events[] = {"ready", "sent",   "received",   "send-error", "receive-error",
                                         "ready", "sent#2", "received#3", "received#2", "end"};
    unsigned roll = dice(d, 4);
    const char *event = PICK(d, events);
    unsigned ms = some_ms(d, 4000);
    if (roll == 0 && early)
        snprintf(text, 40, "at %ums", ms);
    else
        snprintf(text, 40, "on %s", roll == 1 ? event : "ready");
}

static void one_send(struct drawing *d, const char *at)
{
    static const char *const kinds[] = {"",         "",  "",  " msgPriority 5", " msgPriority 200",
                                        " partial", " ", " ", " final",         " msgLifetime 0.02"};
    unsigned large = dice(d, 8);
    unsigned length = dice(d, large == 0 ? 60000 : large == 1 ? 5000 : 300);
    const char *kind = d->datagrams ? "" : PICK(d, kinds);
    script_say(d->script, "%s send %u%s", at, length, kind);
}

/* What an application does to talk: nothing in it ends a race before it is decided. */
static void talk(struct drawing *d)
{
    char at[40];
    unsigned sends = dice(d, 5);
    bool takes_little = once_in(d, 6);
    if (!once_in(d, 8))
        script_say(d->script, "on ready keep receiving 1 %u", takes_little ? 100u : 65536u);
    for (unsigned i = 0; i < sends; i++) {
        when(d, true, at);
        one_send(d, at);
    }
    if (once_in(d, 4))
        script_say(d->script, "on received close");
    if (once_in(d, 6))
        script_say(d->script, "on sent#2 send 0 final");
}

static void end_it(struct drawing *d)
{
    static const char *const ends[] = {"close", "abort", "free", "close"};
    char at[40];
    unsigned count = dice(d, 3);
    for (unsigned i = 0; i < count; i++) {
        const char *how = PICK(d, ends);
        when(d, true, at);
        script_say(d->script, "%s %s", at, how);
    }
}

/* A link that is not as it should be. */
static void one_bad_link(struct drawing *d)
{
    unsigned what = dice(d, 10);
    unsigned ms = some_ms(d, 2000);
    const char *interface = client_names[dice(d, d->interfaces)];
    unsigned number = dice(d, 50);
    char at[24] = "";
    if (once_in(d, 2))
        snprintf(at, sizeof(at), "at %ums ", ms);
    switch (what) {
    case 0:
    case 1:
        script_say(d->script, "%sloss client/%s %u%%", at, interface, number);
        break;
    case 2:
        script_say(d->script, "%sbursts client/%s %u%% %u%%", at, interface, number / 5, number + 10);
        break;
    case 3:
        script_say(d->script, "%sjitter client/%s %ums", at, interface, number * 2);
        break;
    case 4:
        script_say(d->script, "%sreorder client/%s %u%% %ums", at, interface, number, number);
        break;
    case 5:
        script_say(d->script, "%sduplicate client/%s %u%%", at, interface, number);
        break;
    case 6:
        script_say(d->script, "%srate client/%s %u", at, interface, 20000 + number * 50000);
        break;
    case 7:
        script_say(d->script, "rate client/%s %u", interface, 100000 + number * 50000);
        script_say(d->script, "%squeue client/%s %u", at, interface, 3000 + number * 500);
        break;
    case 8:
        script_say(d->script, "%spath mtu client/%s %u%s", at, interface, 1280 + number * 4,
                   number % 4 ? "" : " silent");
        break;
    default:
        script_say(d->script, "%sdelay client/%s %ums", at, interface, number * 5 + 1);
        break;
    }
}

/* Something changes in the middle of it. */
static void one_change(struct drawing *d)
{
    static const char *const kinds[] = {"blackhole", "none", "refuse", "unreachable", "prohibit"};
    unsigned what = dice(d, 9);
    unsigned ms = some_ms(d, 3000);
    const char *interface = client_names[dice(d, d->interfaces)];
    unsigned number = dice(d, 60);
    const char *kind = PICK(d, kinds);
    const char *address = once_in(d, 2) ? PICK(d, server_v4) : PICK(d, server_v6);
    struct script *s = d->script;
    switch (what) {
    case 0:
        script_say(s, "at %ums fault client/%s %s", ms, interface, kind);
        break;
    case 1:
        script_say(s, "at %ums fault %s %s", ms, address, kind);
        break;
    case 2:
    case 3:
        script_say(s, "at %ums %s client/%s", ms, what == 2 ? "down" : "cut", interface);
        if (number % 2)
            script_say(s, "at %ums %s client/%s", ms + number * 10, what == 2 ? "up" : "mend", interface);
        break;
    case 4:
        script_say(s, "at %ums server %s %u", ms, number % 2 ? "ends" : "resets", d->kind == DRAW_TLS ? 443 : 80);
        break;
    case 5:
        script_say(s, "at %ums remove client/%s %s", ms, interface, number % 2 ? "192.0.2.2" : "2001:db8::2");
        break;
    case 6:
        script_say(s, "at %ums address client/%s 2001:db8:77::%u/64", ms, interface, number + 1);
        break;
    case 7:
        script_say(s, "at %ums clock %s %us", ms, number % 2 ? "forwards" : "back", number * 1000);
        break;
    default:
        script_say(s, "at %ums leap %ums", ms, number * number * 3);
        break;
    }
}

/* A call or an allocation of the client fails. */
static void one_failure(struct drawing *d)
{
    static const char *const errors[] = {"short", "EINTR", "EAGAIN", "ENOBUFS", "ENOMEM", "EMFILE", "EPERM"};
    unsigned ms = some_ms(d, 3000);
    unsigned number = dice(d, 60);
    const char *error = PICK(d, errors);
    bool memory = once_in(d, 2);
    bool later = once_in(d, 2);
    char at[24] = "";
    if (later)
        snprintf(at, sizeof(at), "at %ums ", ms);
    if (memory)
        script_say(d->script, "%sfail allocation %u", at, later ? number % 20 + 1 : number + 1);
    else
        script_say(d->script, "%sfail call %u %s", at, later ? number % 20 + 1 : number + 1, error);
}

static void one_lie(struct drawing *d)
{
    static const char *const lies[] = {"truncated",   "wrong-id",    "wrong-name",    "wrong-type",
                                       "no-question", "no-answer",   "other-address", "other-port",
                                       "foreign",     "foreign-too", "loop",          "pointer-loop",
                                       "many",        "half",        "garbage",       "nothing"};
    static const char *const modes[] = {"refused", "silent", "mute", "closes", "half", "fine"};
    const char *lie = PICK(d, lies);
    const char *type = once_in(d, 2) ? "AAAA" : "A";
    bool truth = once_in(d, 2) && strcmp(lie, "truncated") != 0;
    unsigned times = dice(d, 3);
    script_say(d->script, "lie example.test %s %s%s %u", type, lie, truth ? "+truth" : "", times);
    if (once_in(d, 4)) {
        const char *mode = PICK(d, modes);
        script_say(d->script, "dns tcp %s", mode);
    }
}

static void one_trouble(struct drawing *d)
{
    switch (dice(d, 8)) {
    case 0:
    case 1:
        one_failure(d);
        break;
    case 2:
    case 3:
    case 4:
        one_bad_link(d);
        break;
    case 5:
        one_lie(d);
        break;
    default:
        one_change(d);
        break;
    }
}

static void more_calls(struct drawing *d)
{
    static const char *const sets[] = {"connTimeout 1",     "connTimeout disabled",
                                       "connPriority 3",    "keepAliveTimeout 2",
                                       "reliability avoid", "noSuchProperty 1",
                                       "msgPriority 7",     "connCapacityProfile scavenger"};
    char at[40];
    if (once_in(d, 4)) {
        const char *set = PICK(d, sets);
        when(d, true, at);
        script_say(d->script, "%s set %s", at, set);
    }
    if (once_in(d, 4)) {
        unsigned length = dice(d, 3000);
        when(d, true, at);
        script_say(d->script, "%s receive %u %u", at, length, length + 1);
    }
}

bool draw(enum draw_kind kind, uint64_t seed, struct script *ret)
{
    struct drawing d = {.script = ret, .kind = kind, .state = seed * DRAW_KINDS + (uint64_t)kind};
    script_clear(ret);
    d.rough = kind == DRAW_ROUGH;
    if (kind == DRAW_TLS)
        d.rough = once_in(&d, 3);
    else
        d.datagrams = once_in(&d, 5);
    script_say(ret, "# %s %" PRIu64, draw_kind_names[kind], seed);
    script_say(ret, "dice %" PRIu64, seed);
    interfaces(&d);
    remotes(&d);
    servers(&d);
    faults(&d);
    wishes(&d);
    security(&d);
    initiate(&d);
    talk(&d);
    if (d.rough) {
        unsigned troubles = dice(&d, 5);
        for (unsigned i = 0; i < troubles; i++)
            one_trouble(&d);
        end_it(&d);
        more_calls(&d);
    }
    return !ret->problem[0];
}
