/* The store of tickets: bounded, each ticket once, nothing for other parameters, nothing left behind. */
#include "stack/secure/tickets.h"

#include <stdlib.h>
#include <string.h>
#include "base/test.h"

static long blocks, allocations, fail_at;
static bool dirty; /* a block was freed that still held the secret */

#define SECRET "a secret that must not stay"

static void *resize(void *user, void *block, size_t size)
{
    size_t *head = block ? (size_t *)block - 2 : NULL;
    (void)user;
    if (size == 0) {
        if (head && memmem(block, head[0], SECRET, strlen(SECRET)))
            dirty = true;
        blocks -= head != NULL;
        free(head);
        return NULL;
    }
    if (++allocations == fail_at)
        return NULL;
    size_t *fresh = realloc(head, size + 2 * sizeof(size_t));
    if (!fresh)
        return NULL;
    blocks += !head;
    fresh[0] = size;
    return fresh + 2;
}

static struct tapsi_mem mem;

static struct tapsi_tickets *fresh(void)
{
    blocks = allocations = fail_at = 0;
    dirty = false;
    tapsi_mem_init(&mem, &(struct taps_allocator){resize, NULL});
    return tapsi_tickets_new(&mem);
}

static struct tapsi_ticket_key key_of(unsigned peer, unsigned parameters)
{
    struct tapsi_ticket_key key = {{0}, {0}};
    memcpy(key.peer, &peer, sizeof(peer));
    memcpy(key.peer + 8, &parameters, sizeof(parameters));
    memcpy(key.parameters, &parameters, sizeof(parameters));
    return key;
}

static struct tapsi_ticket *ticket(unsigned peer, unsigned parameters, uint64_t issued, uint64_t expires)
{
    struct tapsi_ticket like = {.key = key_of(peer, parameters),
                                .issued = issued,
                                .expires = expires,
                                .session = (const uint8_t *)SECRET,
                                .session_length = strlen(SECRET)};
    return tapsi_ticket_new(&mem, &like);
}

static void done(struct tapsi_tickets *s)
{
    tapsi_tickets_free(s);
    CHECK_INT(blocks, 0);
    CHECK(!dirty);
}

/* When it was issued; 0 = there is none. */
static uint64_t take(struct tapsi_tickets *s, unsigned peer, unsigned parameters, uint64_t now)
{
    struct tapsi_ticket_key key = key_of(peer, parameters);
    struct tapsi_ticket *t = tapsi_tickets_take(s, &key, now);
    uint64_t issued = t ? t->issued : 0;
    tapsi_ticket_free(t);
    return issued;
}

TEST(the_newest_goes_first_and_each_only_once)
{
    struct tapsi_tickets *s = fresh();
    for (unsigned i = 1; i <= 3; i++)
        tapsi_tickets_put(s, ticket(1, 1, i, 1000), 100);
    CHECK_INT(take(s, 1, 1, 10), 3);
    CHECK_INT(take(s, 1, 1, 10), 2);
    CHECK_INT(take(s, 1, 1, 10), 1);
    CHECK_INT(take(s, 1, 1, 10), 0);
    done(s);
}

TEST(what_is_kept_is_a_copy)
{
    struct tapsi_tickets *s = fresh();
    char session[] = "session", transport[] = "transport", token[] = "token";
    struct tapsi_ticket like = {.key = key_of(1, 1), .issued = 1, .expires = 9, .early = 77, .authenticated = true};
    like.session = (uint8_t *)session, like.session_length = 7;
    like.transport = (uint8_t *)transport, like.transport_length = 9;
    like.token = (uint8_t *)token, like.token_length = 5;
    tapsi_tickets_put(s, tapsi_ticket_new(&mem, &like), 100);
    memset(session, 0, 7), memset(transport, 0, 9), memset(token, 0, 5);
    struct tapsi_ticket_key key = key_of(1, 1);
    CHECK(tapsi_tickets_has(s, &key, 2));
    struct tapsi_ticket *t = tapsi_tickets_take(s, &key, 2);
    CHECK(t && t->early == 77 && t->authenticated);
    CHECK(t && memcmp(t->session, "session", 7) == 0 && memcmp(t->transport, "transport", 9) == 0);
    CHECK(t && t->token_length == 5 && memcmp(t->token, "token", 5) == 0);
    CHECK(!tapsi_tickets_has(s, &key, 2));
    tapsi_ticket_free(t);
    done(s);
}

TEST(another_peer_or_other_parameters_get_nothing)
{
    struct tapsi_tickets *s = fresh();
    tapsi_tickets_put(s, ticket(1, 1, 1, 1000), 100);
    CHECK_INT(take(s, 2, 1, 10), 0);
    CHECK_INT(take(s, 1, 2, 10), 0);
    CHECK_INT(take(s, 65, 1, 10), 0); /* of the same bucket */
    CHECK_INT(take(s, 1, 1, 10), 1);
    done(s);
}

TEST(an_expired_ticket_is_none)
{
    struct tapsi_tickets *s = fresh();
    tapsi_tickets_put(s, ticket(1, 1, 5, 10), 100);
    tapsi_tickets_put(s, ticket(1, 1, 4, 20), 100);
    CHECK_INT(take(s, 1, 1, 10), 4);
    CHECK_INT(tapsi_tickets_count(s), 0);
    done(s);
}

TEST(a_ticket_of_the_future_or_older_than_any_may_be_is_none)
{
    struct tapsi_tickets *s = fresh();
    tapsi_tickets_put(s, ticket(1, 1, 50, UINT64_MAX), 100);
    struct tapsi_ticket_key key = key_of(1, 1);
    CHECK(!tapsi_tickets_has(s, &key, 49));
    CHECK(tapsi_tickets_has(s, &key, 50 + TAPSI_TICKET_AGE - 1));
    CHECK(!tapsi_tickets_has(s, &key, 50 + TAPSI_TICKET_AGE));
    CHECK_INT(take(s, 1, 1, 50 + TAPSI_TICKET_AGE), 0);
    done(s);
}

TEST(one_server_fills_only_its_share)
{
    struct tapsi_tickets *s = fresh();
    tapsi_tickets_put(s, ticket(2, 1, 1, 1000), 100);
    for (unsigned i = 1; i <= 50; i++)
        tapsi_tickets_put(s, ticket(1, 1, i, 1000), 100);
    CHECK_INT(tapsi_tickets_count(s), TAPSI_TICKETS_OF_KEY + 1);
    CHECK_INT(take(s, 1, 1, 100), 50);
    CHECK_INT(take(s, 2, 1, 100), 1);
    done(s);
}

/* proves API-056: maxCachedSessions holds for these parameters, and not for others */
TEST(the_most_of_one_set_of_parameters)
{
    struct tapsi_tickets *s = fresh();
    for (unsigned i = 0; i < 5; i++)
        tapsi_tickets_put(s, ticket(i, 2, 1, 1000), 100);
    for (unsigned i = 0; i < 20; i++)
        tapsi_tickets_put(s, ticket(i, 1, 1 + i, 1000), 3);
    CHECK_INT(tapsi_tickets_count(s), 8);
    CHECK_INT(take(s, 16, 1, 100), 0);
    CHECK_INT(take(s, 17, 1, 100), 18);
    tapsi_tickets_put(s, ticket(1, 3, 1, 1000), 0);
    CHECK_INT(take(s, 1, 3, 100), 0);
    done(s);
}

/* One that comes back, or that another process has written, may be older than all that are here. */
TEST(the_one_that_is_put_may_be_the_one_that_goes)
{
    struct tapsi_tickets *s = fresh();
    tapsi_tickets_put(s, ticket(2, 2, 1, 1000), 100);
    for (unsigned i = 10; i < 10 + TAPSI_TICKETS_OF_KEY; i++)
        tapsi_tickets_put(s, ticket(1, 1, i, 1000), 100);
    tapsi_tickets_put(s, ticket(1, 1, 5, 1000), 2);
    CHECK_INT(tapsi_tickets_count(s), 3);
    CHECK_INT(take(s, 1, 1, 100), 13);
    CHECK_INT(take(s, 1, 1, 100), 12);
    CHECK_INT(take(s, 1, 1, 100), 0);
    CHECK_INT(take(s, 2, 2, 100), 1);
    done(s);
}

TEST(there_is_an_end_for_all_of_them)
{
    struct tapsi_tickets *s = fresh();
    for (unsigned i = 0; i < TAPSI_TICKETS_MAX + 100; i++)
        tapsi_tickets_put(s, ticket(i, i, 1 + i, 100000), 1000);
    CHECK_INT(tapsi_tickets_count(s), TAPSI_TICKETS_MAX);
    CHECK_INT(take(s, 99, 99, 5000), 0);
    CHECK_INT(take(s, 100, 100, 5000), 101);
    done(s);
}

TEST(what_was_never_sent_comes_back)
{
    struct tapsi_tickets *s = fresh();
    tapsi_tickets_put(s, ticket(1, 1, 1, 1000), 100);
    tapsi_tickets_put(s, ticket(1, 1, 2, 1000), 100);
    struct tapsi_ticket_key key = key_of(1, 1);
    struct tapsi_ticket *t = tapsi_tickets_take(s, &key, 5);
    uint64_t generation = tapsi_tickets_generation(s);
    tapsi_tickets_give_back(s, t);
    CHECK(tapsi_tickets_generation(s) != generation);
    CHECK_INT(take(s, 1, 1, 5), 2);
    done(s);
}

TEST(those_of_one_peer_are_forgotten_together)
{
    struct tapsi_tickets *s = fresh();
    struct tapsi_ticket_key key = key_of(1, 1);
    tapsi_tickets_put(s, ticket(1, 1, 1, 1000), 100);
    tapsi_tickets_put(s, ticket(65, 1, 1, 1000), 100);
    tapsi_tickets_put(s, ticket(1, 1, 2, 1000), 100);
    tapsi_tickets_forget(s, &key);
    CHECK_INT(take(s, 1, 1, 5), 0);
    CHECK_INT(take(s, 65, 1, 5), 1);
    done(s);
}

TEST(they_are_walked_from_the_oldest)
{
    struct tapsi_tickets *s = fresh();
    tapsi_tickets_put(s, ticket(1, 1, 3, 1000), 100);
    tapsi_tickets_put(s, ticket(2, 1, 1, 1000), 100);
    tapsi_tickets_put(s, ticket(3, 1, 2, 1000), 100);
    uint64_t last = 0;
    unsigned count = 0;
    for (const struct tapsi_ticket *t = NULL; (t = tapsi_tickets_next(s, t)); count++) {
        CHECK(t->issued > last);
        last = t->issued;
    }
    CHECK_INT(count, 3);
    done(s);
}

TEST(what_is_too_long_is_not_kept)
{
    struct tapsi_tickets *s = fresh();
    static uint8_t bytes[TAPSI_TICKET_BYTES + 1];
    struct tapsi_ticket like = {.key = key_of(1, 1), .session = bytes, .session_length = TAPSI_TICKET_BYTES};
    struct tapsi_ticket *t = tapsi_ticket_new(&mem, &like);
    CHECK(t != NULL);
    tapsi_ticket_free(t);
    like.token = bytes, like.token_length = 1;
    CHECK(tapsi_ticket_new(&mem, &like) == NULL);
    like.token_length = SIZE_MAX;
    CHECK(tapsi_ticket_new(&mem, &like) == NULL);
    done(s);
}

TEST(no_memory_is_no_ticket)
{
    struct tapsi_tickets *s = fresh();
    fail_at = allocations + 1;
    CHECK(ticket(1, 1, 1, 2) == NULL);
    fail_at = allocations + 1;
    CHECK(tapsi_tickets_new(&mem) == NULL);
    done(s);
}
