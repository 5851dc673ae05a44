/*
 * A Listener of ours, called on by peers that the input speaks for, among them such as never say who they are, and by
 * Connections of ours: see stage.h.
 */
#include "stage.h"

void stage_peer(struct stage *s)
{
    static const char *const addresses[] = {"192.0.2.1", "2001:db8::1"};
    struct raw *raw = &s->raw;
    unsigned what = fuzz_below(&s->in, 8), which = fuzz_below(&s->in, RAW_SOCKETS);
    size_t count;
    const uint8_t *bytes;
    switch (what) {
    case 0:
    case 1:
        raw_connect(raw, addresses[which & 1], 80);
        break;
    case 2:
        bytes = fuzz_bytes(&s->in, fuzz_below(&s->in, 256), &count);
        raw_send(raw, which, bytes, count);
        break;
    case 3:
        bytes = fuzz_bytes(&s->in, fuzz_below(&s->in, 64), &count);
        raw_datagram(raw, addresses[which & 1], 80, bytes, count);
        break;
    case 4:
        raw_drain(raw);
        break;
    case 5:
        raw_end(raw, which);
        break;
    default:
        raw_close(raw, which, what == 7);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const locals[] = {":80", "192.0.2.1:80", "[2001:db8::1]:80", "127.0.0.1:80",
                                         ":0",  "dual.test:80", "10.9.9.9:80",      "[::]:80"};
    struct stage *s = stage_begin(data, size, 0);
    if (trial_start_server(&s->t, locals[fuzz_below(&s->in, 8)]))
        trial_start_client(&s->t);
    stage_play(s);
    stage_end(s);
    return 0;
}
