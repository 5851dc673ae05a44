#include "moving.h"

#include <string.h>

int moving_call(taps_connection *c, enum verb verb, const char *text)
{
    taps_endpoint *e = NULL;
    bool remote = verb == ADD_REMOTE || verb == REMOVE_REMOTE;
    int err = remote ? taps_remote_endpoint_new(&e) : taps_local_endpoint_new(&e);
    if (!err && !strchr(text, '.') && !strchr(text, ':'))
        err = taps_endpoint_with_interface(e, text);
    else if (!err && strchr(text, ':'))
        err = taps_endpoint_with_text(e, text);
    else if (!err)
        err = taps_endpoint_with_ip_address(e, text);
    const taps_endpoint *list[] = {e};
    if (!err)
        err = verb == ADD_LOCAL      ? taps_connection_add_local(c, list, 1)
              : verb == REMOVE_LOCAL ? taps_connection_remove_local(c, list, 1)
              : verb == ADD_REMOTE   ? taps_connection_add_remote(c, list, 1)
                                     : taps_connection_remove_remote(c, list, 1);
    taps_endpoint_free(e);
    return err;
}

bool moving_ended(const struct stream *t, const char *words)
{
    return t->connection_error == 1 && t->code == TAPS_E_LOCAL_ABORT && strstr(t->detail, words);
}

bool moving_is_at(const struct stream *t, const char *address)
{
    const char *now = taps_endpoint_ip_address(taps_connection_local(t->connection));
    return now && strcmp(now, address) == 0;
}

struct tapsi_sim_interface *moving_interface(struct streams *s, const char *name, enum tapsi_interface_type type,
                                             const char *addresses)
{
    struct tapsi_sim_interface *i = tapsi_sim_interface_new(s->w.client, name, type, addresses);
    tapsi_sim_link_join(s->w.link, i);
    return i;
}

static uint64_t heard_by_server(const struct streams *s)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < s->server.count; i++)
        bytes += s->server.streams[i].length;
    return bytes;
}

bool moving_talks(struct streams *s, struct stream *t, uint64_t ms)
{
    uint64_t before = heard_by_server(s);
    bool said = streams_send(t, "!") == 0;
    streams_run(s, ms);
    return said && heard_by_server(s) == before + 1;
}
