#include "base/meter.h"

#define SECOND UINT64_C(1000000000)
#define SLOT   (SECOND / TAPSI_METER_SLOTS)
#define BURST  (10 * SECOND / 1000)
#define COUNT  (TAPSI_METER_SLOTS + 1)
#define AGE    (1e18) /* ns: more is for ever */

void tapsi_meter_init(struct tapsi_meter *m, uint64_t rate)
{
    *m = (struct tapsi_meter){.rate = rate};
}

/* Forgets what is older than a second. */
static void advance(struct tapsi_meter *m, uint64_t now)
{
    uint64_t slot = now / SLOT;
    for (unsigned i = 0; m->last < slot && i < COUNT; i++) {
        m->last++;
        m->sum -= m->slots[m->last % COUNT];
        m->slots[m->last % COUNT] = 0;
    }
    m->last = slot > m->last ? slot : m->last;
}

static uint64_t time_of(const struct tapsi_meter *m, uint64_t bytes)
{
    double ns = (double)bytes * 8e9 / (double)m->rate;
    return ns < AGE ? (uint64_t)ns : (uint64_t)AGE;
}

/* When what must be forgotten for it to fit has been. */
static uint64_t room_at(const struct tapsi_meter *m, uint64_t now, uint64_t bytes)
{
    uint64_t bound = m->rate / 8, sum = m->sum;
    uint64_t most = bytes < bound ? bound - bytes : 0;
    uint64_t oldest = m->last + 1; /* of the same place, a round ago */
    unsigned i = 0;
    while (sum > most && i < COUNT)
        sum -= m->slots[(oldest + i++) % COUNT];
    return i ? (m->last + i) * SLOT : now;
}

uint64_t tapsi_meter_when(struct tapsi_meter *m, uint64_t now, size_t bytes)
{
    if (m->rate == UINT64_MAX)
        return now;
    advance(m, now);
    uint64_t even = m->next > now + BURST ? m->next - BURST : now;
    uint64_t room = room_at(m, now, bytes);
    return even > room ? even : room;
}

void tapsi_meter_count(struct tapsi_meter *m, uint64_t now, size_t bytes)
{
    if (m->rate == UINT64_MAX)
        return;
    advance(m, now);
    m->slots[m->last % COUNT] += bytes;
    m->sum += bytes;
    m->next = (m->next > now ? m->next : now) + time_of(m, bytes);
}

size_t tapsi_meter_portion(const struct tapsi_meter *m)
{
    uint64_t bytes = m->rate / 8 / TAPSI_METER_SLOTS;
    return bytes > SIZE_MAX ? SIZE_MAX : bytes ? (size_t)bytes : 1;
}
