#include "stage.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/test.h"

static const char says[8192] = "what a server says to whoever comes";

static bool wrong(struct stage *stage, const struct script_line *line, const char *what)
{
    snprintf(stage->problem, sizeof(stage->problem), "line %u: %s", line->number, what);
    return false;
}

struct tapsi_sim_host *stage_host(struct stage *stage, const char *name)
{
    unsigned i = 0;
    while (i < stage->host_count && strcmp(stage->hosts[i].name, name) != 0)
        i++;
    if (i == STAGE_HOSTS)
        return NULL;
    if (i == stage->host_count) {
        snprintf(stage->hosts[i].name, sizeof(stage->hosts[i].name), "%s", name);
        stage->hosts[i].host = tapsi_sim_host_new(stage->sim, name);
        stage->host_count++;
    }
    return stage->hosts[i].host;
}

static struct stage_interface *find_interface(struct stage *stage, const char *name)
{
    for (unsigned i = 0; i < stage->interface_count; i++) {
        if (strcmp(stage->interfaces[i].name, name) == 0)
            return &stage->interfaces[i];
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------- the world */

static bool find_type(const char *word, enum tapsi_interface_type *ret)
{
    static const struct {
        const char *name;
        enum tapsi_interface_type type;
    } types[] = {{"ethernet", TAPSI_IF_ETHERNET}, {"wifi", TAPSI_IF_WIFI},   {"cellular", TAPSI_IF_CELLULAR},
                 {"vpn", TAPSI_IF_VPN},           {"other", TAPSI_IF_OTHER}, {"loopback", TAPSI_IF_LOOPBACK}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i].name, word) == 0) {
            *ret = types[i].type;
            return true;
        }
    }
    return false;
}

static bool add_interface(struct stage *stage, const struct script_line *line)
{
    const char *slash = strchr(line->words[0], '/');
    enum tapsi_interface_type type;
    char host[16];
    if (!slash || (size_t)(slash - line->words[0]) >= sizeof(host) || stage->interface_count == STAGE_INTERFACES ||
        !find_type(line->words[1], &type))
        return wrong(stage, line, "an interface is HOST/NAME TYPE ADDRESSES");
    snprintf(host, sizeof(host), "%.*s", (int)(slash - line->words[0]), line->words[0]);
    struct tapsi_sim_host *on = stage_host(stage, host);
    struct stage_interface *i = &stage->interfaces[stage->interface_count++];
    i->name = line->words[0];
    i->interface = tapsi_sim_interface_new(on, slash + 1, type, line->words[2]);
    return i->interface || wrong(stage, line, "no such interface can be made");
}

static bool add_link(struct stage *stage, const struct script_line *line)
{
    struct stage_interface *a = find_interface(stage, line->words[0]), *b = find_interface(stage, line->words[1]);
    if (!a || !b)
        return wrong(stage, line, "no such interface");
    struct tapsi_sim_link *link = tapsi_sim_link_new(a->interface, b->interface, line->numbers[0]);
    if (!a->link)
        a->link = link;
    return true;
}

static bool add_address(struct stage *stage, const struct script_line *line)
{
    const struct stage_interface *i = find_interface(stage, line->words[0]);
    const char *kind = line->words[2] ? line->words[2] : "";
    if (!i)
        return wrong(stage, line, "no such interface");
    tapsi_sim_address_add(i->interface, line->words[1], strcmp(kind, "temporary") == 0,
                          strcmp(kind, "deprecated") == 0);
    return true;
}

static void add_nameserver(struct stage *stage, const struct script_line *line)
{
    char text[100];
    snprintf(text, sizeof(text), "nameserver %s\n", line->words[0]);
    tapsi_sim_file(stage_host(stage, "client"), "/etc/resolv.conf", text);
    stage->dns = tapsi_sim_dns_new(stage_host(stage, "server"));
}

static bool add_dns_failure(struct stage *stage, const struct script_line *line)
{
    static const struct {
        const char *name;
        enum tapsi_sim_rcode rcode;
    } codes[] = {{"empty", TAPSI_SIM_DNS_EMPTY},       {"servfail", TAPSI_SIM_DNS_SERVFAIL},
                 {"nxdomain", TAPSI_SIM_DNS_NXDOMAIN}, {"refused", TAPSI_SIM_DNS_REFUSED},
                 {"formerr", TAPSI_SIM_DNS_FORMERR},   {"never", TAPSI_SIM_DNS_NEVER}};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (strcmp(codes[i].name, line->words[2]) == 0) {
            tapsi_sim_dns_fail(stage->dns, line->words[0], line->words[1], codes[i].rcode, line->numbers[0]);
            return true;
        }
    }
    return wrong(stage, line, "fails how?");
}

static bool add_lie(struct stage *stage, const struct script_line *line)
{
    static const struct {
        const char *name;
        enum tapsi_sim_dns_lie lie;
    } lies[] = {{"truncated", TAPSI_SIM_DNS_TRUNCATED},
                {"wrong-id", TAPSI_SIM_DNS_WRONG_ID},
                {"wrong-name", TAPSI_SIM_DNS_WRONG_NAME},
                {"wrong-type", TAPSI_SIM_DNS_WRONG_TYPE},
                {"no-question", TAPSI_SIM_DNS_NO_QUESTION},
                {"no-answer", TAPSI_SIM_DNS_NO_ANSWER},
                {"other-address", TAPSI_SIM_DNS_OTHER_ADDRESS},
                {"other-port", TAPSI_SIM_DNS_OTHER_PORT},
                {"foreign", TAPSI_SIM_DNS_FOREIGN},
                {"foreign-too", TAPSI_SIM_DNS_FOREIGN_TOO},
                {"loop", TAPSI_SIM_DNS_LOOP},
                {"pointer-loop", TAPSI_SIM_DNS_POINTER_LOOP},
                {"many", TAPSI_SIM_DNS_MANY},
                {"half", TAPSI_SIM_DNS_CUT},
                {"garbage", TAPSI_SIM_DNS_GARBAGE},
                {"nothing", TAPSI_SIM_DNS_NOTHING}};
    const char *plus = strchr(line->words[2], '+');
    size_t length = plus ? (size_t)(plus - line->words[2]) : strlen(line->words[2]);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        if (strlen(lies[i].name) != length || memcmp(lies[i].name, line->words[2], length) != 0)
            continue;
        unsigned lie = (unsigned)lies[i].lie | (plus ? TAPSI_SIM_DNS_THEN_TRUTH : 0u);
        tapsi_sim_dns_lie(stage->dns, line->words[0], line->words[1], lie, (unsigned)line->numbers[0]);
        return true;
    }
    return wrong(stage, line, "no such lie");
}

static bool set_dns_tcp(struct stage *stage, const struct script_line *line)
{
    static const char *const modes[] = {"fine", "refused", "silent", "mute", "closes", "half"};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(modes[i], line->words[0]) == 0) {
            tapsi_sim_dns_tcp(stage->dns, (enum tapsi_sim_dns_tcp)i);
            return true;
        }
    }
    return wrong(stage, line, "over TCP how?");
}

/* ------------------------------------------------------------------------------------------------------ servers */

static bool serve_scripted(struct stage *stage, const struct script_line *line, struct stage_service *s)
{
    static const struct {
        const char *name;
        enum tapsi_sim_behaviour behaviour;
    } known[] = {{"echo", TAPSI_SIM_ECHO},       {"silent", TAPSI_SIM_SILENT}, {"stall", TAPSI_SIM_STALL},
                 {"discard", TAPSI_SIM_DISCARD}, {"says", TAPSI_SIM_SEND},     {"reset", TAPSI_SIM_RESET}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, line->words[1]) != 0)
            continue;
        s->service = tapsi_sim_serve(stage_host(stage, line->words[0]), s->port, known[i].behaviour);
        uint64_t count = line->numbers[1] < sizeof(says) ? line->numbers[1] : sizeof(says);
        if (known[i].behaviour == TAPSI_SIM_SEND)
            tapsi_sim_service_bytes(s->service, says, count);
        if (known[i].behaviour == TAPSI_SIM_RESET)
            tapsi_sim_service_reset_after(s->service, line->numbers[1]);
        return true;
    }
    return false;
}

static bool add_service(struct stage *stage, const struct script_line *line)
{
    if (stage->service_count == STAGE_SERVICES || line->numbers[0] > UINT16_MAX)
        return wrong(stage, line, "too many servers, or no such port");
    struct stage_service *s = &stage->services[stage->service_count++];
    struct tapsi_sim_host *host = stage_host(stage, line->words[0]);
    s->port = (uint16_t)line->numbers[0];
    if (strcmp(line->words[1], "udp-echo") == 0)
        return tapsi_sim_udp_echo(host, s->port) != NULL;
    if (serve_scripted(stage, line, s))
        return true;
    s->listen = listen_new(stage->sim, host, s->port, line->words[1]);
    return s->listen || wrong(stage, line, "serves how?");
}

static bool end_connections(struct stage *stage, const struct script_line *line, bool reset)
{
    for (unsigned i = 0; i < stage->service_count; i++) {
        const struct stage_service *s = &stage->services[i];
        if (s->port == line->numbers[0] && s->service)
            tapsi_sim_service_end_all(s->service, reset);
        if (s->port == line->numbers[0] && s->listen)
            listen_end_all(s->listen, reset);
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------- at any time */

static bool set_fault(struct stage *stage, const struct script_line *line)
{
    static const struct {
        const char *name;
        enum tapsi_sim_fault fault;
    } faults[] = {{"none", TAPSI_SIM_FINE},
                  {"blackhole", TAPSI_SIM_BLACKHOLE},
                  {"refuse", TAPSI_SIM_REFUSE},
                  {"prohibit", TAPSI_SIM_PROHIBIT},
                  {"unreachable", TAPSI_SIM_UNREACHABLE}};
    const struct stage_interface *on = find_interface(stage, line->words[0]);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        if (strcmp(faults[i].name, line->words[1]) != 0)
            continue;
        if (on)
            tapsi_sim_link_fault(on->link, faults[i].fault);
        else
            tapsi_sim_fault(stage->sim, line->words[0], faults[i].fault);
        return true;
    }
    return wrong(stage, line, "no such fault");
}

static bool fail_call(struct stage *stage, const struct script_line *line)
{
    static const struct {
        const char *name;
        int err;
    } errors[] = {{"short", 0},           {"EINTR", EINTR},   {"EAGAIN", EAGAIN},
                  {"ENOBUFS", ENOBUFS},   {"ENOMEM", ENOMEM}, {"EMFILE", EMFILE},
                  {"ENETDOWN", ENETDOWN}, {"EPERM", EPERM},   {"ECONNRESET", ECONNRESET}};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (strcmp(errors[i].name, line->words[0]) == 0) {
            tapsi_sim_host_fail_call(stage_host(stage, "client"), line->numbers[0], errors[i].err);
            return true;
        }
    }
    return wrong(stage, line, "no such error");
}

static double share(const struct script_line *line, unsigned i)
{
    return (double)line->numbers[i] / 1e6;
}

static bool on_link(struct tapsi_sim_link *link, const struct script_line *line)
{
    const uint64_t *n = line->numbers;
    switch (line->verb) {
    case SCRIPT_LOSS:
        tapsi_sim_link_loss(link, share(line, 0));
        return true;
    case SCRIPT_DELAY:
        tapsi_sim_link_delay(link, n[0]);
        return true;
    case SCRIPT_RATE:
        tapsi_sim_link_rate(link, n[0]);
        return true;
    case SCRIPT_JITTER:
        tapsi_sim_link_jitter(link, n[0]);
        return true;
    case SCRIPT_BURSTS:
        tapsi_sim_link_bursts(link, share(line, 0), share(line, 1));
        return true;
    case SCRIPT_REORDER:
        tapsi_sim_link_reorder(link, share(line, 0), n[1]);
        return true;
    case SCRIPT_DUPLICATE:
        tapsi_sim_link_duplicate(link, share(line, 0));
        return true;
    case SCRIPT_QUEUE:
        tapsi_sim_link_queue(link, n[0]);
        return true;
    case SCRIPT_PATH_MTU:
        tapsi_sim_link_mtu(link, (unsigned)n[0], line->words[1] != NULL);
        return true;
    case SCRIPT_CUT:
    case SCRIPT_MEND:
        tapsi_sim_link_up(link, line->verb == SCRIPT_MEND);
        return true;
    default:
        return false;
    }
}

static bool on_interface(struct tapsi_sim_interface *interface, const struct script_line *line)
{
    switch (line->verb) {
    case SCRIPT_REMOVE:
        tapsi_sim_address_remove(interface, line->words[1]);
        return true;
    case SCRIPT_UP:
    case SCRIPT_DOWN:
        tapsi_sim_interface_up(interface, line->verb == SCRIPT_UP);
        return true;
    case SCRIPT_MTU:
        tapsi_sim_interface_mtu(interface, (unsigned)line->numbers[0]);
        return true;
    default:
        return false;
    }
}

static bool on_clocks(struct stage *stage, const struct script_line *line)
{
    int64_t by = (int64_t)line->numbers[0];
    if (line->verb == SCRIPT_LEAP)
        tapsi_sim_leap(stage->sim, line->numbers[0]);
    else
        tapsi_sim_shift_date(stage->sim, line->verb == SCRIPT_CLOCK_BACK ? -by : by);
    return true;
}

bool stage_do(struct stage *stage, const struct script_line *line)
{
    switch (line->verb) {
    case SCRIPT_ADDRESS:
        return add_address(stage, line);
    case SCRIPT_FAULT:
        return set_fault(stage, line);
    case SCRIPT_SLOW:
        tapsi_sim_delay(stage->sim, line->words[0], line->numbers[0]);
        return true;
    case SCRIPT_SERVER_ENDS:
    case SCRIPT_SERVER_RESETS:
        return end_connections(stage, line, line->verb == SCRIPT_SERVER_RESETS);
    case SCRIPT_FAIL_CALL:
        return fail_call(stage, line);
    case SCRIPT_CLOCK_FORWARDS:
    case SCRIPT_CLOCK_BACK:
    case SCRIPT_LEAP:
        return on_clocks(stage, line);
    default:
        break;
    }
    const struct stage_interface *i = find_interface(stage, line->words[0]);
    if (!i)
        return wrong(stage, line, "no such interface");
    return on_interface(i->interface, line) || on_link(i->link, line);
}

static void do_deed(void *arg)
{
    const struct stage_deed *deed = arg;
    stage_do(deed->stage, deed->line);
}

static bool of_the_world(const struct script_line *line)
{
    return line->verb >= SCRIPT_ADDRESS && line->verb <= SCRIPT_FAIL_CALL;
}

void stage_plan(struct stage *stage, const struct script *script)
{
    for (unsigned i = 0; i < script->count; i++) {
        const struct script_line *line = &script->lines[i];
        if (line->when == SCRIPT_AT && of_the_world(line) && stage->deed_count < STAGE_DEEDS) {
            struct stage_deed *deed = &stage->deeds[stage->deed_count++];
            *deed = (struct stage_deed){stage, line};
            tapsi_sim_after(stage->sim, line->at, do_deed, deed);
        }
    }
}

/* ------------------------------------------------------------------------------------------------------ building */

static bool build(struct stage *stage, const struct script_line *line)
{
    switch (line->verb) {
    case SCRIPT_INTERFACE:
        return add_interface(stage, line);
    case SCRIPT_LINK:
        return add_link(stage, line);
    case SCRIPT_NAMESERVER:
        add_nameserver(stage, line);
        return true;
    case SCRIPT_DNS:
        tapsi_sim_dns_answer(stage->dns, line->words[0], line->words[1], line->words[2], line->numbers[0]);
        return true;
    case SCRIPT_DNS_FAILS:
        return add_dns_failure(stage, line);
    case SCRIPT_DNS_TCP:
        return set_dns_tcp(stage, line);
    case SCRIPT_LIE:
        return add_lie(stage, line);
    case SCRIPT_SERVE:
        return add_service(stage, line);
    case SCRIPT_FAIL_CALL:
        return true; /* from Initiate on, not while the world is made */
    default:
        return of_the_world(line) && line->when == SCRIPT_FROM_THE_START ? stage_do(stage, line) : true;
    }
}

bool stage_build(struct stage *stage, const struct script *script)
{
    const struct script_line *dice = script_find(script, SCRIPT_DICE);
    memset(stage, 0, sizeof(*stage));
    stage->sim = tapsi_sim_new(dice ? dice->numbers[0] : 1);
    stage_host(stage, "client");
    stage_host(stage, "server");
    for (unsigned i = 0; i < script->count; i++) {
        if (!build(stage, &script->lines[i]))
            return false;
    }
    if (tapsi_sim_problem(stage->sim))
        snprintf(stage->problem, sizeof(stage->problem), "%s", tapsi_sim_problem(stage->sim));
    return !stage->problem[0];
}

void stage_clear(struct stage *stage)
{
    for (unsigned i = 0; i < stage->service_count; i++)
        listen_free(stage->services[i].listen);
    if (tapsi_sim_problem(stage->sim))
        tapsi_test_fail("the world", 0, "%s", tapsi_sim_problem(stage->sim));
    tapsi_sim_free(stage->sim);
}
