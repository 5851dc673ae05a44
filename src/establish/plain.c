/*
 * When plain stacks may start, with opportunistic security (RFC 9622, 6.3; ARCH-09, ARCH-11).
 *
 * The application allows a Connection without security, and wants security where there is any. So the stacks of a race
 * have two ranks, secure and plain, and the ranks are not raced: on all paths the secure ones go first. Plain ones may
 * start
 *
 *   - when no secure candidate is left that could still win, or
 *   - a grace after a peer was heard to have no TLS (it refused, or the handshake failed), as soon as none of the other
 *     secure candidates has a connection whose handshake is under way.
 *
 * The second rule is for addresses that do not answer: they cannot hold plain text back until the deadline when another
 * address has told what there is to know. Silence alone never lets it go, since to keep packets from the first attempt
 * is all that RFC 9623 asks of an attacker who wants a weaker one (section 12.2).
 *
 * After some failures nothing goes in clear at all. A peer that was heard to speak TLS, and does not fit (another
 * version or algorithm, a certificate that is not among the pinned ones, an alert), is not one without TLS. And what
 * this machine could not do, for want of memory or with a certificate of its own that cannot be used, says nothing
 * about the peer.
 */
#include "establish/race.h"

/* As long as TCP waits for an answer to its first segment before it asks again (RFC 6298, 2.1): who has not answered by
   then has lost it, or is not there. At most half of the time that is left. */
#define GRACE TAPSI_S

static void on_timer(struct tapsi_timer *timer)
{
    struct tapsi_plain *plain = TAPSI_CONTAINER(timer, struct tapsi_plain, timer);
    plain->on_time(plain->race);
}

/* Of one rank only? The secure ones are sorted to the front. */
static bool all_alike(const struct tapsi_plan *plan)
{
    size_t count = plan->stacks_eligible;
    const struct tapsi_stack_row *rows = tapsi_registry(&(size_t){0});
    return count == 0 || rows[plan->stack_order[0]].offer.secure == rows[plan->stack_order[count - 1]].offer.secure;
}

int tapsi_plain_new(struct tapsi_race *race, uint64_t due, void (*on_time)(struct tapsi_race *))
{
    if (race->config->security->mode != TAPS_SECURITY_OPPORTUNISTIC || all_alike(race->plan))
        return 0;
    struct tapsi_plain *plain = tapsi_zalloc(&race->loop->mem, sizeof(*plain));
    if (!plain)
        return TAPS_E_MEMORY;
    *plain = (struct tapsi_plain){.race = race, .on_time = on_time, .holding = true, .due = due};
    if (tapsi_timer_init(race->loop, &plain->timer, on_timer)) {
        tapsi_free(&race->loop->mem, plain);
        return TAPS_E_MEMORY;
    }
    race->plain = plain;
    return 0;
}

void tapsi_plain_free(struct tapsi_race *race)
{
    if (!race->plain)
        return;
    tapsi_timer_done(race->loop, &race->plain->timer);
    tapsi_free(&race->loop->mem, race->plain);
    race->plain = NULL;
}

static bool speaks(const struct tapsi_leaf *leaf)
{
    union tapsi_got got;
    return leaf->top && tapsi_layer_get(leaf->top, TAPSI_GET_SPOKE, &got) == 0 && got.value.boolean;
}

void tapsi_plain_note(struct tapsi_race *race, const struct tapsi_leaf *leaf, int error)
{
    struct tapsi_plain *plain = race->plain;
    if (!plain || !plain->holding || !leaf->node.row->offer.secure)
        return;
    if (speaks(leaf)) {
        plain->barred = true;
        return;
    }
    if (leaf->node.row->offer.alpn != TAPSI_ALPN_TLS && error != TAPS_E_CONFIGURATION && error != TAPS_E_MEMORY)
        return; /* who has no QUIC and no DTLS may well have TLS */
    switch (error) {
    case TAPS_E_CONFIGURATION:
    case TAPS_E_MEMORY:
        plain->barred = true;
        break;
    case TAPS_E_REFUSED:
    case TAPS_E_ABORTED:
    case TAPS_E_TLS:
    case TAPS_E_TRUNCATED:
        if (!plain->answered)
            plain->answered = tapsi_loop_now(race->loop);
        break;
    default: /* said by this machine's network, by a router, or by nobody */
        break;
    }
}

bool tapsi_plain_holds(const struct tapsi_node *node)
{
    const struct tapsi_plain *plain = node->race->plain;
    return plain && plain->holding && node->kind == TAPS_CANDIDATE_PROTOCOL && !node->row->offer.secure;
}

/* Secure candidates that could still win. */
struct outlook {
    bool possible; /* any */
    bool reached;  /* one with a connection, and its handshake under way */
};

static void look_at_protocol(const struct tapsi_node *protocol, struct outlook *outlook)
{
    if (!protocol->row->offer.secure)
        return;
    outlook->possible |= protocol->state == TAPS_CANDIDATE_NOT_STARTED || protocol->state == TAPS_CANDIDATE_ACTIVE;
    for (size_t i = 0; i < protocol->count; i++)
        outlook->reached |= tapsi_attempt_reached(protocol->children[i]->leaf);
}

static struct outlook look(const struct tapsi_race *race)
{
    struct outlook outlook = {0};
    for (size_t i = 0; i < race->tree.count; i++) {
        const struct tapsi_node *path = race->tree.children[i];
        outlook.possible |= path->state == TAPS_CANDIDATE_NOT_STARTED;
        for (size_t k = 0; path->state == TAPS_CANDIDATE_ACTIVE && k < path->count; k++)
            look_at_protocol(path->children[k], &outlook);
    }
    return outlook;
}

static uint64_t grace_ends(const struct tapsi_plain *plain)
{
    uint64_t half = plain->due == TAPSI_FOREVER ? GRACE : (plain->due - plain->answered) / 2;
    return plain->answered + (half < GRACE ? half : GRACE);
}

enum tapsi_plain_turn tapsi_plain_ask(struct tapsi_race *race)
{
    struct tapsi_plain *plain = race->plain;
    if (!plain || !plain->holding)
        return TAPSI_PLAIN_WAITS;
    struct outlook outlook = look(race);
    if (plain->barred)
        return outlook.possible ? TAPSI_PLAIN_WAITS : TAPSI_PLAIN_NEVER;
    if (outlook.possible && (!plain->answered || outlook.reached))
        return TAPSI_PLAIN_WAITS;
    if (outlook.possible && tapsi_loop_now(race->loop) < grace_ends(plain)) {
        tapsi_timer_start_at(race->loop, &plain->timer, grace_ends(plain));
        return TAPSI_PLAIN_WAITS;
    }
    plain->holding = false;
    tapsi_timer_cancel(race->loop, &plain->timer);
    return TAPSI_PLAIN_GOES;
}
