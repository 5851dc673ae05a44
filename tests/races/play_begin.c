/* From the script to Initiate. */
#include <string.h>
#include "connection/context.h"
#include "play.h"

static bool set_properties(struct play *p)
{
    for (unsigned i = 0; i < p->script->count; i++) {
        const struct script_line *line = &p->script->lines[i];
        if (line->verb != SCRIPT_PROPERTY)
            continue;
        int err = taps_transport_properties_set(p->properties, line->words[0], line->words[1]);
        if (err) {
            play_wrong(p, "line %u: %s", line->number, taps_err_text(err));
            return false;
        }
    }
    return true;
}

static bool set_security(struct play *p)
{
    const struct script_line *line = script_find(p->script, SCRIPT_SECURITY);
    const char *mode = line ? line->words[0] : "disabled";
    if (strcmp(mode, "disabled") == 0)
        return taps_security_parameters_new_disabled(&p->security) == 0;
    if (strcmp(mode, "opportunistic") == 0)
        return taps_security_parameters_new_opportunistic(&p->security) == 0;
    const char *pem = listen_authority();
    return strcmp(mode, "required") == 0 && taps_security_parameters_new(&p->security) == 0 &&
           taps_security_parameters_add_ca_pem(p->security, pem, strlen(pem)) == 0;
}

/* "example.test:80 protocol tcp interface eth0": the text, then names of identifiers and their values. */
static bool describe_endpoint(taps_endpoint *e, const char *rest)
{
    char name[80], value[80];
    while (script_next_word(&rest, name, sizeof(name))) {
        bool named = strcmp(name, "protocol") == 0 || strcmp(name, "interface") == 0 || strcmp(name, "address") == 0;
        if (named && !script_next_word(&rest, value, sizeof(value)))
            return false;
        int err = !named                           ? taps_endpoint_with_text(e, name)
                  : strcmp(name, "protocol") == 0  ? taps_endpoint_with_protocol(e, value)
                  : strcmp(name, "interface") == 0 ? taps_endpoint_with_interface(e, value)
                                                   : taps_endpoint_with_ip_address(e, value);
        if (err)
            return false;
    }
    return true;
}

static bool add_endpoints(struct play *p)
{
    for (unsigned i = 0; i < p->script->count; i++) {
        const struct script_line *line = &p->script->lines[i];
        taps_endpoint *e = NULL;
        if (line->verb != SCRIPT_REMOTE && line->verb != SCRIPT_LOCAL)
            continue;
        bool remote = line->verb == SCRIPT_REMOTE;
        bool ok = (remote ? taps_remote_endpoint_new(&e) : taps_local_endpoint_new(&e)) == 0 &&
                  describe_endpoint(e, line->words[0]);
        if (ok)
            ok = (remote ? taps_preconnection_add_remote(p->preconnection, e)
                         : taps_preconnection_add_local(p->preconnection, e)) == 0;
        taps_endpoint_free(e);
        if (!ok) {
            play_wrong(p, "line %u: no such endpoint", line->number);
            return false;
        }
    }
    return true;
}

static void pump(void *arg)
{
    taps_context_dispatch(arg);
}

static struct tapsi_mem *platform_mem(void)
{
    static struct tapsi_mem mem;
    tapsi_mem_init(&mem, NULL);
    return &mem;
}

bool play_prepare(struct play *p)
{
    struct tapsi_platform *platform = NULL;
    const struct script_line *attempt = script_find(p->script, SCRIPT_ATTEMPT_DELAY);
    const struct script_line *resolution = script_find(p->script, SCRIPT_RESOLUTION_DELAY);
    const struct taps_allocator allocator = {play_counted, p};
    p->options.allocator = &allocator;
    p->options.attempt_delay_ms = attempt ? (uint32_t)(attempt->numbers[0] / TAPSI_SIM_MS) : 0;
    p->options.resolution_delay_ms = resolution ? (uint32_t)(resolution->numbers[0] / TAPSI_SIM_MS) : 0;
    if (tapsi_sim_platform_new(stage_host(&p->stage, "client"), platform_mem(), &platform) ||
        tapsi_context_new(&p->options, platform, &p->context)) {
        play_wrong(p, "no context");
        return false;
    }
    tapsi_sim_attach(p->stage.sim, platform, pump, p->context);
    tapsi_loop_embed(&p->context->loop);
    taps_preconnection_new(p->context, &p->preconnection);
    taps_transport_properties_new(&p->properties);
    if (!set_properties(p) || !set_security(p) || !add_endpoints(p))
        return false;
    taps_preconnection_set_transport_properties(p->preconnection, p->properties);
    taps_preconnection_set_security_parameters(p->preconnection, p->security);
    return true;
}

void play_begin(struct play *p, const struct script_line *line)
{
    p->timeout = line->numbers[0];
    uint64_t timeout_ms = (line->numbers[0] + TAPSI_SIM_MS - 1) / TAPSI_SIM_MS;
    int err;
    p->begun = tapsi_sim_now(p->stage.sim);
    p->began = true;
    stage_plan(&p->stage, p->script);
    for (unsigned i = 0; i < p->script->count; i++) {
        const struct script_line *l = &p->script->lines[i];
        p->leaps += l->verb == SCRIPT_LEAP ? l->numbers[0] : 0;
        if (l->when == SCRIPT_FROM_THE_START && (l->verb == SCRIPT_FAIL_CALL || l->verb == SCRIPT_FAIL_ALLOCATION))
            play_act(p, l);
    }
    if (line->verb == SCRIPT_INITIATE_SENDING) {
        static char data[PLAY_DATA_MAX];
        size_t length = play_fill(data, 0, line->numbers[1]);
        p->messages[0].length = length;
        p->message_count = 1;
        err = taps_preconnection_initiate_with_send(p->preconnection, timeout_ms, &play_events, p, data, length, NULL,
                                                    0, (void *)(uintptr_t)1, &p->connection);
    } else {
        err = taps_preconnection_initiate(p->preconnection, timeout_ms, &play_events, p, &p->connection);
    }
    if (err) {
        const struct taps_error *error = taps_preconnection_error(p->preconnection);
        if (error->code != err && err != TAPS_E_MEMORY)
            play_wrong(p, "Initiate says %s, and taps_preconnection_error %s", taps_err_name(err),
                       taps_err_name(error->code));
        play_over(p, PLAY_REFUSED, error);
        p->code = err;
    }
}
