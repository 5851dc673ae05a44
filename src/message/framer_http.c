#include "message/framer_http.h"

#include <string.h>
#include "base/str.h"
#include "message/framers.h"
#include "message/http_text.h"
#include "message/options.h"

/* A head is parsed in one piece, so it can be no longer than that. */
#define HEAD_LONGEST TAPS_PARSE_MAX
#define HEAD_LEAST   256

/* ------------------------------------------------------------------------------------------------------- options */

static void set_defaults(void *options)
{
    struct tapsi_http_options *o = options;
    *o = (struct tapsi_http_options){
        .target = "/",
        .head_maximum = (uint64_t)64 * 1024,
        .fields_maximum = 128,
        .body_maximum = TAPSI_OPTIONS_MAXIMUM,
        .pipeline_maximum = 100,
    };
}

static int set_text(char to[TAPSI_HTTP_TEXT_MAX], const char *value, enum tapsi_http_class of)
{
    size_t length = strlen(value);
    if (length == 0 || length >= TAPSI_HTTP_TEXT_MAX || !tapsi_http_is(value, of))
        return TAPS_E_RANGE;
    memcpy(to, value, length + 1);
    return 0;
}

static int set_option(void *options, const char *key, const char *value)
{
    static const char *const interim[] = {"drop", "deliver", NULL};
    struct tapsi_http_options *o = options;
    if (tapsi_options_is(key, "target"))
        return set_text(o->target, value, TAPSI_HTTP_TARGET);
    if (tapsi_options_is(key, "host"))
        return set_text(o->host, value, TAPSI_HTTP_HOST);
    if (tapsi_options_is(key, "head-maximum"))
        return tapsi_options_size(value, HEAD_LEAST, HEAD_LONGEST, &o->head_maximum);
    if (tapsi_options_is(key, "fields-maximum"))
        return tapsi_options_number(value, 1, 10000, &o->fields_maximum);
    if (tapsi_options_is(key, "body-maximum"))
        return tapsi_options_size(value, 1, TAPSI_OPTIONS_LONGEST, &o->body_maximum);
    if (tapsi_options_is(key, "pipeline-maximum"))
        return tapsi_options_number(value, 1, TAPSI_HTTP_PIPELINE_MAX, &o->pipeline_maximum);
    if (tapsi_options_is(key, "interim"))
        return tapsi_options_word(value, interim, &o->interim);
    return TAPS_E_UNKNOWN_PROPERTY;
}

/* ------------------------------------------------------------------------------- requests that are not answered yet */

bool tapsi_http_push(taps_framing *framing, unsigned asked)
{
    const struct tapsi_http_options *o = taps_framing_options(framing);
    struct tapsi_http_pending *p = &((struct tapsi_http_state *)taps_framing_state(framing))->pending;
    if (p->count >= o->pipeline_maximum)
        return false;
    p->asked[(p->first + p->count++) % TAPSI_HTTP_PIPELINE_MAX] = (uint8_t)asked;
    return true;
}

unsigned tapsi_http_pop(taps_framing *framing)
{
    struct tapsi_http_pending *p = &((struct tapsi_http_state *)taps_framing_state(framing))->pending;
    bool was_full = tapsi_http_is_full(framing);
    unsigned asked = p->asked[p->first];
    p->first = (p->first + 1) % TAPSI_HTTP_PIPELINE_MAX;
    p->count--;
    if (was_full)
        taps_framing_resume(framing);
    return asked;
}

bool tapsi_http_is_full(taps_framing *framing)
{
    const struct tapsi_http_options *o = taps_framing_options(framing);
    const struct tapsi_http_pending *p = &((struct tapsi_http_state *)taps_framing_state(framing))->pending;
    if (p->count == 0)
        return false;
    unsigned newest = p->asked[(p->first + p->count - 1) % TAPSI_HTTP_PIPELINE_MAX];
    return p->count >= o->pipeline_maximum || (newest & (TAPSI_HTTP_ASKED_CONNECT | TAPSI_HTTP_ASKED_UPGRADE));
}

/* -------------------------------------------------------------------------------------------------- the definition */

static int start(taps_framing *framing)
{
    if (taps_framing_is_datagram(framing))
        return taps_framing_fail(framing, TAPS_E_CONFIGURATION, "HTTP/1.1 needs a stream: datagrams are not one");
    taps_framing_make_ready(framing);
    return 0;
}

static void done(taps_framing *framing)
{
    struct tapsi_http_state *s = taps_framing_state(framing);
    if (s->receiving.text)
        taps_framing_resize(framing, s->receiving.text, 0);
    s->receiving.text = NULL;
}

/* ENDS_ITSELF: a client that half-closes is taken by many servers for one that has gone, so a final request says
   "Connection: close" instead. */
const struct taps_framer_definition tapsi_framer_http = {
    .name = "http",
    .flags = TAPS_FRAMER_ENDS_ITSELF | TAPS_FRAMER_TAKES_PARTS,
    .options_size = sizeof(struct tapsi_http_options),
    .state_size = sizeof(struct tapsi_http_state),
    .defaults = set_defaults,
    .set = set_option,
    .start = start,
    .new_sent_message = tapsi_http_send,
    .handle_received_data = tapsi_http_receive,
    .done = done,
};
