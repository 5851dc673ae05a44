/* Buckets by key, and one list of all by age. Both know every ticket; the counts follow from them. */
#include "stack/secure/tickets.h"

#include <string.h>

#define BUCKETS 64 /* keys are hashes: their first byte spreads them */

struct tapsi_tickets {
    struct tapsi_mem *mem;
    struct tapsi_link buckets[BUCKETS];
    struct tapsi_link all;
    size_t count;
    uint64_t generation;
    uint64_t spent[TAPSI_TICKETS_SPENT]; /* marks of those that were taken, in a ring */
    size_t next_spent;
    void (*changed)(void *user);
    void *user;
};

/* ------------------------------------------------------------------------------------------------- one ticket */

static size_t size_of(const struct tapsi_ticket *t)
{
    return sizeof(*t) + t->session_length + t->transport_length + t->token_length;
}

static const uint8_t *put_bytes(uint8_t **to, const uint8_t *bytes, size_t length)
{
    uint8_t *start = *to;
    if (length)
        memcpy(start, bytes, length);
    *to += length;
    return length ? start : NULL;
}

struct tapsi_ticket *tapsi_ticket_new(struct tapsi_mem *mem, const struct tapsi_ticket *like)
{
    if (like->session_length > TAPSI_TICKET_BYTES || like->transport_length > TAPSI_TICKET_BYTES ||
        like->token_length > TAPSI_TICKET_BYTES || size_of(like) > sizeof(*like) + TAPSI_TICKET_BYTES)
        return NULL;
    struct tapsi_ticket *t = tapsi_alloc(mem, size_of(like));
    if (!t)
        return NULL;
    *t = *like;
    t->mem = mem;
    tapsi_link_init(&t->link);
    tapsi_link_init(&t->older);
    uint8_t *to = (uint8_t *)(t + 1);
    t->session = put_bytes(&to, like->session, like->session_length);
    t->transport = put_bytes(&to, like->transport, like->transport_length);
    t->token = put_bytes(&to, like->token, like->token_length);
    return t;
}

void tapsi_ticket_free(struct tapsi_ticket *ticket)
{
    if (!ticket)
        return;
    struct tapsi_mem *mem = ticket->mem;
    explicit_bzero(ticket, size_of(ticket));
    tapsi_free(mem, ticket);
}

/* ---------------------------------------------------------------------------------------------------- the store */

struct tapsi_tickets *tapsi_tickets_new(struct tapsi_mem *mem)
{
    struct tapsi_tickets *s = tapsi_zalloc(mem, sizeof(*s));
    if (!s)
        return NULL;
    s->mem = mem;
    for (size_t i = 0; i < BUCKETS; i++)
        tapsi_link_init(&s->buckets[i]);
    tapsi_link_init(&s->all);
    return s;
}

static struct tapsi_ticket *by_age(const struct tapsi_link *link)
{
    return TAPSI_CONTAINER((void *)(uintptr_t)link, struct tapsi_ticket, older);
}

static struct tapsi_ticket *by_key(const struct tapsi_link *link)
{
    return TAPSI_CONTAINER((void *)(uintptr_t)link, struct tapsi_ticket, link);
}

static void note_change(struct tapsi_tickets *s)
{
    s->generation++;
    if (s->changed)
        s->changed(s->user);
}

void tapsi_tickets_watch(struct tapsi_tickets *s, void (*changed)(void *user), void *user)
{
    s->changed = changed;
    s->user = user;
}

static void withdraw(struct tapsi_tickets *s, struct tapsi_ticket *t)
{
    tapsi_list_remove(&t->link);
    tapsi_list_remove(&t->older);
    s->count--;
    note_change(s);
}

void tapsi_tickets_free(struct tapsi_tickets *s)
{
    struct tapsi_link *link;
    if (!s)
        return;
    while ((link = tapsi_list_pop(&s->all)))
        tapsi_ticket_free(by_age(link));
    tapsi_free(s->mem, s);
}

size_t tapsi_tickets_count(const struct tapsi_tickets *s)
{
    return s->count;
}

uint64_t tapsi_tickets_generation(const struct tapsi_tickets *s)
{
    return s->generation;
}

const struct tapsi_ticket *tapsi_tickets_next(const struct tapsi_tickets *s, const struct tapsi_ticket *t)
{
    const struct tapsi_link *link = t ? t->older.next : s->all.next;
    return link == &s->all ? NULL : by_age(link);
}

static struct tapsi_link *bucket_of(const struct tapsi_tickets *s, const struct tapsi_ticket_key *key)
{
    return (struct tapsi_link *)(uintptr_t)&s->buckets[key->peer[0] % BUCKETS];
}

static bool same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, TAPSI_TICKET_KEY) == 0;
}

/* Frees the oldest of those that have this key, or its parameters, as long as there are more than `most`. */
static void thin_out(struct tapsi_tickets *s, const struct tapsi_ticket_key *key, size_t most, bool of_peer)
{
    size_t count = 0;
    for (struct tapsi_link *l = s->all.prev, *older; l != &s->all; l = older) {
        struct tapsi_ticket *other = by_age(l);
        older = l->prev;
        bool like = of_peer ? same(other->key.peer, key->peer) : same(other->key.parameters, key->parameters);
        if (!like || ++count <= most)
            continue;
        withdraw(s, other);
        tapsi_ticket_free(other);
    }
}

static void link_in(struct tapsi_tickets *s, struct tapsi_ticket *t)
{
    struct tapsi_link *bucket = bucket_of(s, &t->key), *at = bucket;
    while (at->prev != bucket && by_key(at->prev)->issued > t->issued)
        at = at->prev;
    tapsi_list_insert_before(at, &t->link);
    at = &s->all;
    while (at->prev != &s->all && by_age(at->prev)->issued > t->issued)
        at = at->prev;
    tapsi_list_insert_before(at, &t->older);
    s->count++;
    note_change(s);
}

void tapsi_tickets_put(struct tapsi_tickets *s, struct tapsi_ticket *t, size_t most)
{
    if (!most) {
        tapsi_ticket_free(t);
        return;
    }
    const struct tapsi_ticket_key key = t->key; /* it may be the oldest itself */
    link_in(s, t);
    thin_out(s, &key, TAPSI_TICKETS_OF_KEY, true);
    if (s->count > most)
        thin_out(s, &key, most, false);
    while (s->count > TAPSI_TICKETS_MAX) {
        struct tapsi_ticket *oldest = by_age(s->all.next);
        withdraw(s, oldest);
        tapsi_ticket_free(oldest);
    }
}

void tapsi_tickets_give_back(struct tapsi_tickets *s, struct tapsi_ticket *t)
{
    tapsi_tickets_put(s, t, TAPSI_TICKETS_MAX);
}

static struct tapsi_ticket *without_token(const struct tapsi_tickets *s, const struct tapsi_ticket_key *key)
{
    const struct tapsi_link *bucket = bucket_of(s, key);
    for (const struct tapsi_link *l = bucket->prev; l != bucket; l = l->prev) {
        struct tapsi_ticket *t = by_key(l);
        if (same(t->key.peer, key->peer) && !t->token_length)
            return t;
    }
    return NULL;
}

bool tapsi_tickets_add_token(struct tapsi_tickets *s, const struct tapsi_ticket_key *key, const void *token,
                             size_t length)
{
    struct tapsi_ticket *old = without_token(s, key);
    if (!old)
        return false;
    struct tapsi_ticket like = *old;
    like.token = token;
    like.token_length = length;
    struct tapsi_ticket *fresh = tapsi_ticket_new(old->mem, &like);
    if (!fresh)
        return false;
    withdraw(s, old);
    tapsi_ticket_free(old);
    link_in(s, fresh);
    return true;
}

/* Not against malice: two that are the same by chance cost a ticket. */
static uint64_t mark_of(const struct tapsi_ticket *t)
{
    uint64_t mark = 0xcbf29ce484222325; /* FNV-1a */
    for (size_t i = 0; i < t->session_length; i++)
        mark = (mark ^ t->session[i]) * 0x100000001b3;
    return mark;
}

static void note_spent(struct tapsi_tickets *s, const struct tapsi_ticket *t)
{
    s->spent[s->next_spent++ % TAPSI_TICKETS_SPENT] = mark_of(t);
}

bool tapsi_tickets_knows(const struct tapsi_tickets *s, const struct tapsi_ticket *like)
{
    const struct tapsi_link *bucket = bucket_of(s, &like->key);
    for (const struct tapsi_link *l = bucket->next; l != bucket; l = l->next) {
        const struct tapsi_ticket *t = by_key(l);
        if (t->session_length == like->session_length && memcmp(t->session, like->session, like->session_length) == 0)
            return true;
    }
    uint64_t mark = mark_of(like);
    for (size_t i = 0; i < TAPSI_TICKETS_SPENT; i++) {
        if (s->spent[i] == mark)
            return true;
    }
    return false;
}

/* A clock that was set back makes one from the future: its age is not known, so it is as good as expired. */
static bool is_good(const struct tapsi_ticket *t, uint64_t now)
{
    return now < t->expires && t->issued <= now && now - t->issued < TAPSI_TICKET_AGE;
}

static struct tapsi_ticket *find(const struct tapsi_tickets *s, const struct tapsi_ticket_key *key, uint64_t now)
{
    const struct tapsi_link *bucket = bucket_of(s, key);
    for (const struct tapsi_link *l = bucket->prev; l != bucket; l = l->prev) {
        struct tapsi_ticket *t = by_key(l);
        if (same(t->key.peer, key->peer) && is_good(t, now))
            return t;
    }
    return NULL;
}

bool tapsi_tickets_has(const struct tapsi_tickets *s, const struct tapsi_ticket_key *key, uint64_t now)
{
    return find(s, key, now) != NULL;
}

void tapsi_tickets_forget(struct tapsi_tickets *s, const struct tapsi_ticket_key *key)
{
    struct tapsi_link *bucket = bucket_of(s, key);
    for (struct tapsi_link *l = bucket->next, *next; l != bucket; l = next) {
        struct tapsi_ticket *t = by_key(l);
        next = l->next;
        if (!same(t->key.peer, key->peer))
            continue;
        note_spent(s, t);
        withdraw(s, t);
        tapsi_ticket_free(t);
    }
}

static void drop_expired(struct tapsi_tickets *s, struct tapsi_link *bucket, uint64_t now)
{
    for (struct tapsi_link *l = bucket->next, *next; l != bucket; l = next) {
        struct tapsi_ticket *t = by_key(l);
        next = l->next;
        if (is_good(t, now))
            continue;
        withdraw(s, t);
        tapsi_ticket_free(t);
    }
}

struct tapsi_ticket *tapsi_tickets_take(struct tapsi_tickets *s, const struct tapsi_ticket_key *key, uint64_t now)
{
    drop_expired(s, bucket_of(s, key), now);
    struct tapsi_ticket *t = find(s, key, now);
    if (t) {
        withdraw(s, t);
        note_spent(s, t);
    }
    return t;
}
