/* What the reference says of a race that was played. */
#include <stdio.h>
#include <string.h>
#include "play.h"
#include "reference.h"

#define MS          1e6
#define SAME_MOMENT (50 * TAPSI_SIM_US)

static bool stack_is_chosen(const struct reference_choice *choice, const char *stack)
{
    for (unsigned i = 0; i < choice->stack_count; i++) {
        if (strcmp(reference_stack_names[choice->stacks[i]], stack) == 0)
            return true;
    }
    return false;
}

static bool interface_is_chosen(const struct reference_client *client, const struct reference_choice *choice,
                                const char *interface)
{
    for (unsigned i = 0; i < choice->interface_count; i++) {
        if (strcmp(client->interfaces[choice->interfaces[i]].name, interface) == 0)
            return true;
    }
    return false;
}

/* Whatever else happens, nothing is tried or wins that the properties rule out. */
static void check_eligible(struct play *p, const struct reference_client *client, const struct reference_choice *choice)
{
    bool refused = p->end == PLAY_REFUSED && p->code == TAPS_E_CONFIGURATION;
    if (choice->refused != refused && !(p->end == PLAY_REFUSED && p->allocation_failed))
        play_wrong(p, "Initiate %s, and the reference would%s refuse it", refused ? "was refused" : "was not refused",
                   choice->refused ? "" : " not");
    if (p->is_ready && !stack_is_chosen(choice, p->winner_stack))
        play_wrong(p, "%s won and is not eligible", p->winner_stack);
    if (p->is_ready && p->winner_interface[0] && !interface_is_chosen(client, choice, p->winner_interface))
        play_wrong(p, "%s won and is not eligible", p->winner_interface);
    for (unsigned i = 0; i < p->attempt_count; i++) {
        if (!interface_is_chosen(client, choice, p->attempts[i].interface))
            play_wrong(p, "%s was tried and is not eligible", p->attempts[i].interface);
    }
}

static bool is_temporary(const struct reference_client *client, const union tapsi_addr *address)
{
    for (unsigned i = 0; i < client->count; i++) {
        for (unsigned k = 0; k < client->interfaces[i].address_count; k++) {
            const struct reference_address *a = &client->interfaces[i].addresses[k];
            if (a->temporary && tapsi_addr_same_host(&a->address, address))
                return true;
        }
    }
    return false;
}

static bool is_same(const struct play_attempt *a, const struct reference_attempt *b)
{
    uint64_t apart = a->time > b->time ? a->time - b->time : b->time - a->time;
    return apart < SAME_MOMENT && strcmp(a->interface, b->interface) == 0 && tapsi_addr_equal(&a->to, &b->to);
}

static void print_attempts(const struct play *p, const struct reference_race *race)
{
    char text[TAPSI_ADDR_TEXT];
    for (unsigned i = 0; i < race->count; i++)
        printf("#   expected %10.3f ms %s %s by %s\n", (double)race->attempts[i].time / MS,
               reference_stack_names[race->attempts[i].stack], tapsi_addr_text(&race->attempts[i].to, text),
               race->attempts[i].interface);
    for (unsigned i = 0; i < p->attempt_count; i++)
        printf("#   was      %10.3f ms %s by %s\n", (double)p->attempts[i].time / MS,
               tapsi_addr_text(&p->attempts[i].to, text), p->attempts[i].interface);
}

/* Every attempt of TCP, at its time, in its order (those of one moment in any), and no other. */
static void check_attempts(struct play *p, const struct reference_client *client, const struct reference_race *race)
{
    bool used[REFERENCE_ATTEMPTS] = {false};
    unsigned expected = 0;
    for (unsigned i = 0; i < race->count; i++)
        expected += race->attempts[i].stack != REFERENCE_UDP;
    for (unsigned i = 0; i < p->attempt_count; i++) {
        unsigned k = 0;
        while (k < race->count &&
               (used[k] || race->attempts[k].stack == REFERENCE_UDP || !is_same(&p->attempts[i], &race->attempts[k])))
            k++;
        if (k == race->count) {
            play_wrong(p, "attempt %u is not what the reference expects", i + 1);
            print_attempts(p, race);
            return;
        }
        used[k] = true;
        if (race->attempts[k].temporary && !is_temporary(client, &p->attempts[i].from))
            play_wrong(p, "attempt %u does not come from the temporary address", i + 1);
    }
    if (p->attempt_count != expected) {
        play_wrong(p, "%u attempts, and the reference expects %u", p->attempt_count, expected);
        print_attempts(p, race);
    }
}

static void check_winner(struct play *p, const struct reference_race *race)
{
    char text[TAPSI_ADDR_TEXT];
    if (p->is_ready != (race->winner >= 0)) {
        play_wrong(p, "the reference expects %s", p->is_ready ? "no winner" : "a winner");
        print_attempts(p, race);
        return;
    }
    if (!p->is_ready)
        return;
    const struct reference_attempt *w = &race->attempts[race->winner];
    uint64_t apart = p->ready_at > race->ready_at ? p->ready_at - race->ready_at : race->ready_at - p->ready_at;
    if (strcmp(tapsi_addr_text(&w->to, text), p->winner_remote) != 0 ||
        strcmp(reference_stack_names[w->stack], p->winner_stack) != 0 || strcmp(w->interface, p->winner_interface) != 0)
        play_wrong(p, "%s %s on %s won, and the reference expects %s %s on %s", p->winner_stack, p->winner_remote,
                   p->winner_interface, reference_stack_names[w->stack], text, w->interface);
    else if (apart >= SAME_MOMENT)
        play_wrong(p, "Ready at %.3f ms, and the reference expects %.3f ms", (double)p->ready_at / MS,
                   (double)race->ready_at / MS);
}

/* Temporary addresses are used where they are required, and not where they are prohibited. */
static void check_sources(struct play *p, const struct reference_client *client)
{
    int wish = reference_wish(p->script, "useTemporaryLocalAddress");
    for (unsigned i = 0; i < p->attempt_count; i++) {
        bool temporary = is_temporary(client, &p->attempts[i].from);
        if ((wish == 2 && !temporary) || (wish == -2 && temporary))
            play_wrong(p, "attempt %u has a%s temporary address, which is %s", i + 1, temporary ? "" : " not",
                       temporary ? "prohibited" : "required");
    }
}

/* Nothing ever wins by an interface that is ruled out; one that was down may have come up. */
static void check_allowed(struct play *p)
{
    struct reference_client client;
    struct reference_choice choice;
    reference_client(p->script, &client);
    for (unsigned i = 0; i < client.count; i++)
        client.interfaces[i].up = true;
    reference_choose(p->script, &client, &choice);
    check_eligible(p, &client, &choice);
    check_sources(p, &client);
}

void check_by_reference(struct play *p)
{
    static struct reference_race race;
    struct reference_client client;
    struct reference_choice choice;
    check_allowed(p);
    reference_client(p->script, &client);
    reference_choose(p->script, &client, &choice);
    if (p->end == PLAY_REFUSED)
        return;
    reference_race(p->script, &client, &choice, &race);
    p->predicted = race.known;
    if (!race.known)
        return;
    check_winner(p, &race);
    check_attempts(p, &client, &race);
}
