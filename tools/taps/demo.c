/*
 * taps demo: five connections on this machine alone, and why each went the way it did.
 *
 * SPDX-License-Identifier: MIT
 *
 * Design. One process and one poll() loop: a context for the servers, one for the clients, and a DNS server of our own
 * that both addresses of `demo.taps.test` come from, so neither the network nor the configuration of the machine has a
 * part in it. A scene prints what happened and then checks that it was what the scene is about: `expect` counts what
 * was not, and the program's exit code tells.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <taps/taps.h>

#include "certificate.h"
#include "command.h"
#include "complain.h"
#include "deadend.h"
#include "echo.h"
#include "exchange.h"
#include "nameserver.h"
#include "options.h"
#include "term.h"
#include "text.h"

#define DOMAIN     "taps.test"
#define NAME       "demo.taps.test"
#define OTHER_NAME "other.taps.test"

enum { CONNECT_MS = 3000, ANSWER_MS = 2000, GOODBYE_MS = 300, PORT_TRIES = 5 };

struct demo {
    struct term term;
    struct certificate certificate;
    struct nameserver names;
    taps_context *servers, *clients;
    struct echo echo;
    bool v6;
    const char *first, *second; /* the addresses of NAME, in the order they are tried */
    bool told_resolution;
    unsigned failures;
};

static bool expect(struct demo *demo, bool happened, const char *what)
{
    const struct term *term = &demo->term;

    fprintf(term->out, "  %s%s %s%s\n", term_ink(term, happened ? INK_GOOD : INK_BAD),
            term_glyph(term, happened ? GLYPH_GOOD : GLYPH_BAD), what, term_ink(term, INK_PLAIN));
    if (!happened)
        demo->failures++;
    return happened;
}

static void tell(const struct demo *demo, const char *text)
{
    fputs("  ", demo->term.out);
    term_wrap(&demo->term, text, 2);
}

/* ------------------------------------------------------------------------------------------------------ loop */

/* Until *flag, at most `limit_ms`. */
static void run_until(struct demo *demo, const bool *flag, double limit_ms)
{
    struct pollfd fds[3] = {{.fd = taps_context_fd(demo->servers), .events = POLLIN},
                            {.fd = taps_context_fd(demo->clients), .events = POLLIN},
                            {.fd = demo->names.fd, .events = POLLIN}};
    double end = taps_context_now_ms(demo->clients) + limit_ms;

    while (!*flag) {
        int left = (int)(end - taps_context_now_ms(demo->clients)) + 1;

        if (left <= 0)
            return;
        if (poll(fds, 3, left) < 0 && errno != EINTR)
            return;
        nameserver_answer(&demo->names);
        if (taps_context_dispatch(demo->servers) < 0 || taps_context_dispatch(demo->clients) < 0)
            return;
    }
}

/* --------------------------------------------------------------------------------------------------- servers */

struct server {
    struct demo *demo;
    taps_listener *listener;
    bool settled; /* listening, or failed */
    int error;
};

static void on_listening(taps_listener *listener, void *user)
{
    (void)listener;
    ((struct server *)user)->settled = true;
}

static void on_listen_error(taps_listener *listener, const struct taps_error *error, void *user)
{
    struct server *server = user;

    (void)listener;
    server->error = error->code;
    server->settled = true;
}

static void on_connection_received(taps_listener *listener, taps_connection *connection, void *user)
{
    (void)listener;
    echo_accept(&((struct server *)user)->demo->echo, connection);
}

static const struct taps_listener_events listener_events = {
    .listening = on_listening,
    .connection_received = on_connection_received,
    .establishment_error = on_listen_error,
};

/* The properties of a scene: datagrams without security, or the defaults with it. */
static int prepare(const struct demo *demo, taps_preconnection *preconnection, bool datagrams, bool listening)
{
    taps_security_parameters *security = NULL;
    taps_transport_properties *properties = NULL;
    const struct certificate *own = &demo->certificate;
    int error;

    if (datagrams)
        error = taps_security_parameters_new_disabled(&security);
    else
        error = taps_security_parameters_new(&security);
    if (error >= 0 && !datagrams && listening)
        error = taps_security_parameters_add_server_certificate_pem(security, own->chain.data, own->chain.size,
                                                                    own->key.data, own->key.size);
    if (error >= 0 && !datagrams && !listening)
        error = taps_security_parameters_add_ca_pem(security, own->authority.data, own->authority.size);
    if (error >= 0)
        error = taps_preconnection_set_security_parameters(preconnection, security);
    if (error >= 0)
        error = taps_transport_properties_new_profile(
            datagrams ? TAPS_UNRELIABLE_DATAGRAM : TAPS_RELIABLE_INORDER_STREAM, &properties);
    if (error >= 0)
        error = taps_preconnection_set_transport_properties(preconnection, properties);
    taps_security_parameters_free(security);
    taps_transport_properties_free(properties);
    return error;
}

static int add_local(taps_preconnection *preconnection, const char *address, uint16_t port)
{
    taps_endpoint *local = NULL;
    int error = taps_local_endpoint_new(&local);

    if (error >= 0)
        error = taps_endpoint_with_port(local, port);
    if (error >= 0 && address)
        error = taps_endpoint_with_ip_address(local, address);
    if (error >= 0)
        error = taps_preconnection_add_local(preconnection, local);
    taps_endpoint_free(local);
    return error;
}

/* An echo server on one address, or on all with NULL. 0 or a negative error. */
static int serve_on(struct demo *demo, struct server *server, const char *address, uint16_t port, bool datagrams)
{
    taps_preconnection *preconnection = NULL;
    int error = taps_preconnection_new(demo->servers, &preconnection);

    *server = (struct server){.demo = demo};
    if (error >= 0)
        error = prepare(demo, preconnection, datagrams, true);
    if (error >= 0)
        error = add_local(preconnection, address, port);
    if (error >= 0)
        error = taps_preconnection_listen(preconnection, &listener_events, server, &server->listener);
    taps_preconnection_free(preconnection);
    if (error >= 0) {
        run_until(demo, &server->settled, ANSWER_MS);
        error = server->settled ? server->error : TAPS_E_TIMEOUT;
    }
    return error;
}

static uint16_t server_port(const struct server *server)
{
    const taps_endpoint *local = taps_listener_local(server->listener, 0);

    return local ? taps_endpoint_port(local) : 0;
}

static void stop_server(struct server *server)
{
    taps_listener_free(server->listener);
    server->listener = NULL;
}

/* --------------------------------------------------------------------------------------------------- clients */

static int connect_to(struct demo *demo, struct exchange *exchange, const char *name, uint16_t port, bool datagrams)
{
    taps_preconnection *preconnection = NULL;
    taps_endpoint *remote = NULL;
    int error = taps_preconnection_new(demo->clients, &preconnection);

    if (error >= 0)
        error = prepare(demo, preconnection, datagrams, false);
    if (error >= 0)
        error = taps_remote_endpoint_new(&remote);
    if (error >= 0)
        error = taps_endpoint_with_host_name(remote, name);
    if (error >= 0)
        error = taps_endpoint_with_port(remote, port);
    if (error >= 0)
        error = taps_preconnection_add_remote(preconnection, remote);
    if (error >= 0)
        error = exchange_start(exchange, preconnection, CONNECT_MS);
    taps_endpoint_free(remote);
    taps_preconnection_free(preconnection);
    if (error < 0)
        return error;
    run_until(demo, &exchange->over, CONNECT_MS + ANSWER_MS);
    return 0;
}

static void print_messages(const struct demo *demo, const struct exchange *exchange)
{
    const struct term *term = &demo->term;

    term_heading(term, "Messages");
    for (size_t i = 0; i < exchange->count; i++) {
        fprintf(term->out, "  %s %3zu bytes  ", term_glyph(term, GLYPH_ARROW), strlen(exchange->messages[i]));
        term_put(term, exchange->messages[i], term->width - 16);
        fputc('\n', term->out);
    }
    for (size_t i = 0; i < exchange->returned; i++) {
        fprintf(term->out, "  %s%s %3zu bytes  ", term_ink(term, INK_GOOD), term_glyph(term, GLYPH_BACK),
                strlen(exchange->answers[i]));
        term_put(term, exchange->answers[i], term->width - 16);
        fprintf(term->out, "%s\n", term_ink(term, INK_PLAIN));
    }
}

/* Pruned paths, the other interfaces of the machine, are no part of the story; nor is the resolution, after the first.
 */
static void print_exchange(struct demo *demo, const struct exchange *exchange)
{
    const taps_report *report = exchange->connection ? taps_connection_report(exchange->connection) : NULL;

    if (report) {
        if (!demo->told_resolution)
            text_resolutions(&demo->term, report);
        demo->told_resolution = true;
        text_tree(&demo->term, report, false);
        text_timeline(&demo->term, report);
    }
    if (exchange->count > 0)
        print_messages(demo, exchange);
    term_heading(&demo->term, "Result");
    if (exchange->error) {
        char line[1024];

        snprintf(line, sizeof line, "%s: %s", taps_reason_name(taps_err_reason(exchange->error)), exchange->detail);
        tell(demo, line);
    } else if (exchange->ready) {
        text_chosen(&demo->term, exchange->connection);
    }
}

static void say_goodbye(struct demo *demo, struct exchange *exchange)
{
    if (exchange->ready && !exchange->closed && taps_connection_close(exchange->connection) == 0)
        run_until(demo, &exchange->closed, GOODBYE_MS);
    exchange_done(exchange);
}

/* The n-th endpoint of the report, in the order of the tree. */
static bool leaf(const struct exchange *exchange, size_t n, struct taps_candidate_info *ret_info)
{
    const taps_report *report = exchange->connection ? taps_connection_report(exchange->connection) : NULL;
    size_t count = report ? taps_report_candidate_count(report) : 0;

    for (size_t i = 0; i < count; i++)
        if (taps_report_candidate(report, i, ret_info) == 0 && ret_info->kind == TAPS_CANDIDATE_ENDPOINT &&
            ret_info->state != TAPS_CANDIDATE_PRUNED && n-- == 0)
            return true;
    return false;
}

static bool is_stack(const struct exchange *exchange, const char *stack)
{
    const char *chosen = exchange->ready ? taps_connection_stack(exchange->connection) : NULL;

    return chosen && strcmp(chosen, stack) == 0;
}

/* ---------------------------------------------------------------------------------------------------- scenes */

static bool could_serve(struct demo *demo, int error)
{
    if (error >= 0)
        return true;
    complain_code("start a server on this machine", error);
    demo->failures++;
    return false;
}

static void scene_by_name(struct demo *demo)
{
    struct exchange exchange = {.messages = {"Hello over TLS, whoever you are!"}, .count = 1};
    struct taps_candidate_info second;
    struct server server;

    term_banner(&demo->term, "1  By name, to a secure connection, in one call");
    tell(demo, demo->v6
                   ? "The name has an IPv6 and an IPv4 address, and both answer. The first one tried is good, so the "
                     "second is never touched."
                   : "The name has two addresses, and both answer. The first one tried is good, so the second is "
                     "never touched.");
    if (could_serve(demo, serve_on(demo, &server, demo->v6 ? NULL : "0.0.0.0", 0, false))) {
        connect_to(demo, &exchange, NAME, server_port(&server), false);
        print_exchange(demo, &exchange);
        expect(demo, is_stack(&exchange, "tls/tcp") && taps_connection_security(exchange.connection),
               "TLS over TCP, with the certificate checked");
        expect(demo, exchange_complete(&exchange), "the Message came back unchanged");
        expect(demo, leaf(&exchange, 1, &second) && second.start_ms < 0, "no other address was touched");
    }
    say_goodbye(demo, &exchange);
    stop_server(&server);
}

/* The servers of both race scenes live on the second address only. */
static void check_race(struct demo *demo, const struct exchange *exchange, enum taps_candidate_state state,
                       const char *what)
{
    struct taps_candidate_info first = {0}, second = {0};
    bool found = leaf(exchange, 0, &first) && leaf(exchange, 1, &second);

    expect(demo, found && first.start_ms >= 0 && first.state == state && strstr(first.remote, demo->first), what);
    expect(demo, found && second.state == TAPS_CANDIDATE_WON && strstr(second.remote, demo->second),
           "the second address won");
    expect(demo, exchange_complete(exchange), "the Message came back unchanged");
}

static void scene_black_hole(struct demo *demo)
{
    struct exchange exchange = {.messages = {"Hello past a dead address!"}, .count = 1};
    struct taps_candidate_info second;
    struct server server = {0};
    struct deadend hole;
    uint16_t port = 0;
    int error = 0, served = TAPS_E_ADDRESS_IN_USE;

    term_banner(&demo->term, "2  The first address is dead");
    tell(demo,
         "It swallows what is sent to it: no answer, no error. After the attempt delay of 250 ms the second starts "
         "beside it, wins, and the first is given up.");
    deadend_init(&hole);
    for (int i = 0; i < PORT_TRIES && served == TAPS_E_ADDRESS_IN_USE; i++) {
        stop_server(&server);
        deadend_done(&hole);
        error = deadend_black_hole(&hole, demo->first, &port);
        if (error)
            break;
        served = serve_on(demo, &server, demo->second, port, false);
    }
    if (error == ENOTSUP) {
        tell(demo, "This system answers even where a backlog is full, so there is no dead address to show. Left out.");
    } else if (error) {
        expect(demo, false, strerror(error));
    } else if (could_serve(demo, served)) {
        connect_to(demo, &exchange, NAME, port, false);
        print_exchange(demo, &exchange);
        check_race(demo, &exchange, TAPS_CANDIDATE_CANCELLED, "the first address was tried, and given up");
        expect(demo, leaf(&exchange, 1, &second) && second.start_ms >= 200 && second.end_ms < 600,
               "the second started after the attempt delay");
    }
    say_goodbye(demo, &exchange);
    stop_server(&server);
    deadend_done(&hole);
}

static void scene_refused(struct demo *demo)
{
    struct exchange exchange = {.messages = {"Hello, if not here then there!"}, .count = 1};
    struct taps_candidate_info first, second;
    struct server server = {0};
    struct deadend refusal;
    int error = 0, served = 0;

    term_banner(&demo->term, "3  The first address refuses");
    tell(demo, "Nobody listens there, and its host says so. There is nothing to wait for: the second starts at once.");
    deadend_init(&refusal);
    for (int i = 0; i < PORT_TRIES; i++) {
        stop_server(&server);
        served = serve_on(demo, &server, demo->second, 0, false);
        error = served < 0 ? 0 : deadend_refuse(&refusal, demo->first, server_port(&server));
        if (error != EADDRINUSE)
            break;
    }
    if (error) {
        expect(demo, false, strerror(error));
    } else if (could_serve(demo, served)) {
        connect_to(demo, &exchange, NAME, server_port(&server), false);
        print_exchange(demo, &exchange);
        check_race(demo, &exchange, TAPS_CANDIDATE_FAILED, "the first address refused");
        expect(demo,
               leaf(&exchange, 0, &first) && first.error == TAPS_E_REFUSED && leaf(&exchange, 1, &second) &&
                   second.start_ms >= 0 && second.start_ms - first.end_ms < 50,
               "the second started at once");
    }
    say_goodbye(demo, &exchange);
    stop_server(&server);
    deadend_done(&refusal);
}

static void scene_wrong_name(struct demo *demo)
{
    struct exchange exchange = {.count = 0};
    struct server server;

    term_banner(&demo->term, "4  The certificate is for another name");
    tell(demo, "The server is there and its certificate is genuine, but it is not for " OTHER_NAME
               ". There is no way round this but to say so: no fallback to less security.");
    if (could_serve(demo, serve_on(demo, &server, demo->v6 ? NULL : "0.0.0.0", 0, false))) {
        connect_to(demo, &exchange, OTHER_NAME, server_port(&server), false);
        print_exchange(demo, &exchange);
        expect(demo, !exchange.ready && exchange.error == TAPS_E_CERTIFICATE_NAME,
               "refused, and the reason is the name");
    }
    say_goodbye(demo, &exchange);
    stop_server(&server);
}

static void scene_datagrams(struct demo *demo)
{
    struct exchange exchange = {.messages = {"one", "two is longer", "three"}, .count = 3};
    struct server server;

    term_banner(&demo->term, "5  The same calls, other properties: datagrams");
    tell(demo,
         "The profile unreliable-datagram asks for Message boundaries, and neither for reliability nor for order; "
         "security is disabled in so many words. So the stack is UDP, and TCP is pruned with the reason.");
    if (could_serve(demo, serve_on(demo, &server, demo->v6 ? NULL : "0.0.0.0", 0, true))) {
        connect_to(demo, &exchange, NAME, server_port(&server), true);
        print_exchange(demo, &exchange);
        expect(demo, is_stack(&exchange, "udp"), "the stack is UDP");
        expect(demo, exchange.boundaries && exchange_complete(&exchange), "three Messages went, and three came back");
    }
    say_goodbye(demo, &exchange);
    stop_server(&server);
}

/* ----------------------------------------------------------------------------------------------------- setup */

static bool has_v6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool works = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;

    if (fd >= 0)
        close(fd);
    return works;
}

static int open_names(struct demo *demo)
{
    struct nameserver *names = &demo->names;

    names->domain = DOMAIN;
    names->v4[names->v4_count++].s_addr = htonl(INADDR_LOOPBACK);
    if (demo->v6)
        names->v6[names->v6_count++] = in6addr_loopback;
    else
        names->v4[names->v4_count++].s_addr = htonl(INADDR_LOOPBACK + 1);
    demo->first = demo->v6 ? "::1" : "127.0.0.1";
    demo->second = demo->v6 ? "127.0.0.1" : "127.0.0.2";
    return nameserver_open(names);
}

static int set_up(struct demo *demo)
{
    struct taps_context_options server_options = {.log = complain_log};
    struct taps_context_options client_options = {.log = complain_log};
    int error = open_names(demo);

    if (error) {
        complain("cannot start a DNS server on this machine: %s", strerror(error));
        return FAILED;
    }
    error = certificate_make(NAME, &demo->certificate);
    if (error < 0) {
        complain("cannot make a certificate: %s", gnutls_strerror(error));
        return FAILED;
    }
    client_options.resolver = demo->names.address;
    client_options.hosts_file = "/dev/null";
    client_options.resolv_conf = "/dev/null";
    error = taps_context_new(&server_options, &demo->servers);
    if (error >= 0)
        error = taps_context_new(&client_options, &demo->clients);
    if (error >= 0) {
        demo->echo.context = demo->servers;
        demo->echo.idle_ms = ANSWER_MS;
        error = echo_init(&demo->echo);
    }
    return error < 0 ? complain_code("start", error) : DONE;
}

static void print_intro(const struct demo *demo)
{
    const struct term *term = &demo->term;
    char line[512];

    fprintf(term->out, "%staps demo%s  libtaps %s\n", term_ink(term, INK_HEAD), term_ink(term, INK_PLAIN),
            taps_version());
    snprintf(line, sizeof line,
             "Everything here happens inside this one process: servers, clients, a DNS server (%s) and a certificate "
             "authority that was made a moment ago.",
             demo->names.address);
    tell(demo, line);
    if (!demo->v6)
        tell(demo, "This machine has no IPv6 (::1 is not available), so both addresses of the name are IPv4.");
}

static int play(struct demo *demo)
{
    static void (*const scenes[])(struct demo *) = {scene_by_name, scene_black_hole, scene_refused, scene_wrong_name,
                                                    scene_datagrams};
    double start = taps_context_now_ms(demo->clients);
    char line[256];

    print_intro(demo);
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        scenes[i](demo);
        fflush(demo->term.out);
    }
    term_banner(&demo->term, demo->failures ? "Not everything went as it should" : "All of it really happened");
    snprintf(line, sizeof line, "%.1f s, %u DNS answers, %u unexpected. Next: `taps probe example.org:https`.",
             (taps_context_now_ms(demo->clients) - start) / 1000, demo->names.answered, demo->failures);
    tell(demo, line);
    return demo->failures ? FAILED : DONE;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct demo demo = {.names.fd = -1};
    struct options options;
    int code = options_parse(&options, NULL, command, argc, argv), output;

    if (code != OPTIONS_RUN)
        return code;
    if (options.argument_count != 0)
        return complain_usage("demo takes no arguments");
    term_init(&demo.term, stdout);
    demo.v6 = has_v6();
    code = set_up(&demo);
    if (code == DONE)
        code = play(&demo);
    echo_done(&demo.echo);
    taps_context_free(demo.clients);
    taps_context_free(demo.servers);
    nameserver_close(&demo.names);
    certificate_done(&demo.certificate);
    output = finish_output();
    return code == DONE ? output : code;
}

const struct command demo_command = {
    .name = "demo",
    .arguments = NULL,
    .summary = "five connections on this machine alone, explained",
    .description =
        "Makes a certificate authority, starts servers and a DNS server, all in this process, and connects to\n"
        "them: by name over TLS; past a dead address; past one that refuses; to a certificate for another name;\n"
        "over UDP. Needs no network, no configuration and no privileges, and takes a second or two. The exit\n"
        "code is 0 only if everything it shows really happened.\n",
    .options = NULL,
    .common = false,
    .run = run,
};
