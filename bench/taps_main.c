#include "taps_bench.h"

#include <taps/framer.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench_options bench_options;
struct bench_window bench_window;

static taps_context *context;
static taps_preconnection *preconnection;
static const struct taps_job *job;

static const struct taps_job *const jobs[] = {&taps_pingpong,    &taps_exchange,       &taps_bulk,
                                              &taps_flood,       &taps_connect,        &taps_hammer,
                                              &taps_idle,        &taps_framed_flood,   &taps_framed_pingpong,
                                              &taps_framed_bulk, &taps_websocket_echo, &taps_streams,
                                              &taps_early};

void bench_check(int status, const char *what)
{
    if (status < 0) {
        bench_die(what, taps_err_text(status));
    }
}

void bench_failed(taps_connection *connection, const struct taps_error *error, void *user)
{
    (void)connection;
    (void)user;
    bench_die("connection", error->detail);
}

void bench_send_failed(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    (void)tag;
    bench_failed(connection, error, user);
}

void bench_gone(taps_connection *connection, void *user)
{
    free(user);
    taps_connection_free(connection);
}

void bench_lost(taps_connection *connection, const struct taps_error *error, void *user)
{
    (void)error;
    bench_gone(connection, user);
}

taps_connection *bench_initiate(const struct taps_connection_events *events)
{
    taps_connection *connection = NULL;
    int status = taps_preconnection_initiate(preconnection, 0, events, NULL, &connection);
    if (status < 0) {
        bench_die("initiate", taps_preconnection_error(preconnection)->detail);
    }
    return connection;
}

void bench_finish(taps_connection *connection)
{
    char note[128];
    const char *security = taps_connection_security(connection);
    snprintf(note, sizeof note, "%s%s%s%s", taps_connection_stack(connection), security != NULL ? " " : "",
             security != NULL ? security : "",
             !taps_connection_resumed(connection)     ? ""
             : taps_connection_early_data(connection) ? " resumed with early data"
                                                      : " resumed");
    bench_window_report(&bench_window, note);
    bench_stop();
}

void bench_stop(void)
{
    taps_context_stop(context);
}

void bench_initiate_with(const struct taps_connection_events *events, const void *message, size_t length,
                         const taps_message_context *message_context)
{
    taps_connection *connection = NULL;
    int status = taps_preconnection_initiate_with_send(preconnection, 0, events, NULL, message, length, message_context,
                                                       0, NULL, &connection);
    if (status < 0) {
        bench_die("initiate", taps_preconnection_error(preconnection)->detail);
    }
}

static void set_properties(void)
{
    bool dtls = strcmp(bench_options.stack, "dtls") == 0, datagram = dtls || strcmp(bench_options.stack, "udp") == 0;
    taps_transport_properties *properties = NULL;
    bench_check(taps_transport_properties_new_profile(
                    datagram ? TAPS_UNRELIABLE_DATAGRAM : TAPS_RELIABLE_INORDER_STREAM, &properties),
                "properties");
    if (bench_options.low_latency) {
        bench_check(taps_transport_properties_set(properties, "connCapacityProfile", "low latency interactive"),
                    "connCapacityProfile");
    }
    if (bench_options.resume) {
        bench_check(taps_transport_properties_set(properties, "zeroRttMsg", "prefer"), "zeroRttMsg");
    }
    bench_check(taps_preconnection_set_transport_properties(preconnection, properties), "properties");
    taps_transport_properties_free(properties);
}

static void set_security(void)
{
    taps_security_parameters *security = NULL;
    bool quic = strcmp(bench_options.stack, "quic") == 0;
    if (strcmp(bench_options.stack, "tls") != 0 && strcmp(bench_options.stack, "dtls") != 0 && !quic) {
        bench_check(taps_security_parameters_new_disabled(&security), "security");
    } else if (bench_options.server) {
        bench_check(taps_security_parameters_new(&security), "security");
        bench_check(taps_security_parameters_add_server_certificate(security, bench_options.certificate,
                                                                    bench_options.key),
                    "certificate");
    } else {
        bench_check(taps_security_parameters_new(&security), "security");
        bench_check(taps_security_parameters_add_ca_file(security, bench_options.certificate), "certificate");
        bench_check(taps_security_parameters_set_server_name(security, BENCH_NAME), "server name");
    }
    if (!bench_options.resume && strcmp(bench_options.stack, "tcp") != 0 && strcmp(bench_options.stack, "udp") != 0) {
        bench_check(taps_security_parameters_set_max_cached_sessions(security, 0), "sessions");
    }
    if (quic) {
        bench_check(taps_security_parameters_allow_protocol(security, TAPS_QUIC_1), "QUIC");
        if (bench_options.race) {
            bench_check(taps_security_parameters_allow_protocol(security, TAPS_TLS_1_3), "TLS");
        }
        bench_check(taps_security_parameters_add_alpn(security, "bench"), "ALPN");
    }
    bench_check(taps_preconnection_set_security_parameters(preconnection, security), "security");
    taps_security_parameters_free(security);
}

static void set_endpoint(void)
{
    taps_endpoint *endpoint = NULL;
    bench_check(bench_options.server ? taps_local_endpoint_new(&endpoint) : taps_remote_endpoint_new(&endpoint),
                "endpoint");
    bench_check(bench_options.name != NULL ? taps_endpoint_with_host_name(endpoint, bench_options.name)
                                           : taps_endpoint_with_ip_address(endpoint, BENCH_ADDRESS),
                "address");
    if (bench_options.server) {
        bench_check(taps_preconnection_add_local(preconnection, endpoint), "endpoint");
    } else {
        bench_check(taps_endpoint_with_port(endpoint, bench_options.port), "port");
        bench_check(taps_preconnection_add_remote(preconnection, endpoint), "endpoint");
    }
    taps_endpoint_free(endpoint);
}

static void set_framer(void)
{
    taps_framer *framer = NULL;
    bool websocket = strcmp(bench_options.job, "websocket-echo") == 0;
    if (!websocket && strncmp(bench_options.job, "framed", 6) != 0) {
        return;
    }
    bench_check(taps_framer_new(websocket ? "websocket" : "length-prefix", &framer), "framer");
    bench_check(taps_preconnection_add_framer(preconnection, framer), "framer");
    taps_framer_free(framer);
}

static void on_listening(taps_listener *listener, void *user)
{
    (void)user;
    bench_ready(taps_endpoint_port(taps_listener_local(listener, 0)));
}

static void on_connection(taps_listener *listener, taps_connection *connection, void *user)
{
    (void)listener;
    (void)user;
    job->serve(connection);
}

static void on_listen_error(taps_listener *listener, const struct taps_error *error, void *user)
{
    (void)listener;
    (void)user;
    bench_die("listen", error->detail);
}

static const struct taps_listener_events listener_events = {
    .listening = on_listening,
    .connection_received = on_connection,
    .establishment_error = on_listen_error,
};

int main(int argc, char **argv)
{
    taps_listener *listener = NULL;
    bench_options_parse(&bench_options, argc, argv);
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        if (strcmp(jobs[i]->name, bench_options.job) == 0) {
            job = jobs[i];
        }
    }
    bench_check(taps_context_new(NULL, &context), "context");
    bench_check(taps_preconnection_new(context, &preconnection), "preconnection");
    set_properties();
    set_security();
    set_endpoint();
    set_framer();
    if (!bench_options.server) {
        job->run();
    } else if (taps_preconnection_listen(preconnection, &listener_events, NULL, &listener) < 0) {
        bench_die("listen", taps_preconnection_error(preconnection)->detail);
    }
    bench_check(taps_context_run(context), "run");
    bench_crowd_close();
    taps_preconnection_free(preconnection);
    taps_context_free(context);
    return 0;
}
