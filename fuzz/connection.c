/*
 * Connections of ours towards a peer that the input speaks for (port 81), towards our own Listener (port 80), and to
 * where nobody is: see stage.h.
 */
#include "stage.h"

void stage_peer(struct stage *s)
{
    struct raw *raw = &s->raw;
    unsigned what = fuzz_below(&s->in, 8), which = fuzz_below(&s->in, RAW_SOCKETS);
    size_t count;
    const uint8_t *bytes;
    raw_accept(raw);
    switch (what) {
    case 0:
    case 1:
        bytes = fuzz_bytes(&s->in, fuzz_below(&s->in, 256), &count);
        raw_send(raw, which, bytes, count);
        break;
    case 2:
    case 3:
        raw_drain(raw);
        bytes = fuzz_bytes(&s->in, fuzz_below(&s->in, 64), &count);
        raw_reply(raw, bytes, count);
        break;
    case 4:
        raw_drain(raw);
        break;
    case 5:
        raw_end(raw, which);
        break;
    case 6:
        raw_close(raw, which, false);
        break;
    default:
        raw_close(raw, which, true);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stage *s = stage_begin(data, size, 1);
    raw_serve(&s->raw, 81);
    if (fuzz_bool(&s->in))
        trial_start_server(&s->t, ":80");
    trial_start_client(&s->t);
    stage_play(s);
    stage_end(s);
    return 0;
}
