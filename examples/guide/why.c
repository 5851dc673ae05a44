/* why HOST:PORT [NAME=VALUE]...: connects with these transport properties, and says why it went the way it did. */
#include <stdio.h>
#include <string.h>
#include <taps/taps.h>

/* [report] */
static void explain(const taps_report *report)
{
    struct taps_resolution_info name;
    struct taps_candidate_info c;
    for (size_t i = 0; taps_report_resolution(report, i, &name) == 0; i++)
        printf("%s %s: %zu addresses after %.1f ms %s\n", name.type, name.name, name.count, name.end_ms, name.reason);
    for (size_t i = 0; taps_report_candidate(report, i, &c) == 0; i++) {
        printf("%-6s %-10s %-24s %-11s %s\n", c.id, c.stack ? c.stack : c.interface, c.remote ? c.remote : "",
               taps_candidate_state_name(c.state), c.reason);
    }
}
/* [/report] */

static void ready(taps_connection *c, void *user)
{
    explain(taps_connection_report(c));
    printf("%s, ready after %.1f ms\n", taps_connection_stack(c), taps_report_ready_ms(taps_connection_report(c)));
    *(int *)user = 0;
    taps_connection_close(c);
}

static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)user;
    explain(taps_connection_report(c));
    printf("%s: %s\n", taps_reason_name(error->reason), error->detail);
    taps_connection_free(c);
}

static const struct taps_connection_events events = {
    .ready = ready, .establishment_error = failed, .connection_error = failed};

/* [properties] */
/* "interface=prohibit wifi", "reliability=require", "tcp.userTimeoutEnabled=true" */
static int set(taps_transport_properties *properties, char *assignment)
{
    char *value = strchr(assignment, '=');
    if (!value)
        return TAPS_E_RANGE;
    *value++ = '\0';
    return taps_transport_properties_set(properties, assignment, value);
}
/* [/properties] */

int main(int argc, char **argv)
{
    taps_context *context = NULL;
    taps_preconnection *preconnection = NULL;
    taps_transport_properties *properties = NULL;
    taps_security_parameters *security = NULL;
    taps_connection *connection;
    int result = 1;
    if (argc < 2)
        return fprintf(stderr, "usage: why HOST:PORT [NAME=VALUE]...\n"), 2;
    int err = taps_transport_properties_new(&properties);
    for (int i = 2; i < argc && !err; i++)
        err = set(properties, argv[i]);
    if (!err)
        err = taps_security_parameters_new_opportunistic(&security); /* TLS where the peer has it */
    if (!err)
        err = taps_context_new(NULL, &context);
    if (!err)
        err = taps_preconnection_new(context, &preconnection);
    if (!err)
        err = taps_preconnection_add_remote_text(preconnection, argv[1]);
    if (!err)
        err = taps_preconnection_set_transport_properties(preconnection, properties);
    if (!err)
        err = taps_preconnection_set_security_parameters(preconnection, security);
    if (!err)
        err = taps_preconnection_initiate(preconnection, 5000, &events, &result, &connection);
    /* [refused] */
    if (err && preconnection && taps_preconnection_error(preconnection)->code) {
        printf("refused: %s\n", taps_preconnection_error(preconnection)->detail);
        explain(taps_preconnection_report(preconnection)); /* what each stack lacks */
    } else if (err) {
        fprintf(stderr, "why: %s\n", taps_err_text(err));
    } else {
        taps_context_run(context);
    }
    /* [/refused] */
    taps_transport_properties_free(properties);
    taps_security_parameters_free(security);
    taps_context_free(context);
    return err ? 1 : result;
}
