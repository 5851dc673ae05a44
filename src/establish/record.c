/*
 * The form: numbers are seven bits a byte, times are microseconds since the start of the race plus one, 0 for never.
 * A node is a byte of its state and of what follows, the same for its children. Most nodes of most races were pruned
 * when the plan was made, and take two bytes, since the plan has their words. In texts, what the race knows anyway (the
 * node's interface, the addresses) is one byte.
 */
#include "establish/record.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define LENGTH_MAX 4096 /* above it a race is kept as it is */

enum { HAS_NUMBER = 8, HAS_TIMES = 16, HAS_ERROR = 32, HAS_REASON = 64, HAS_CHILDREN = 128 }; /* below: the state */
enum { LEAF_V6 = 1, LEAF_SCOPE = 2, LEAF_LOCAL = 4, LEAF_DEVICE = 8 };
enum {
    QUERY_WANTED = 1,
    QUERY_DONE = 2,
    QUERY_REASON = 4,
    QUERY_SOURCE = 8 /* times the place in sources, plus one */
};

static const char *const sources[] = {"literal", "hosts", "dns"};

/* ------------------------------------------------------------------------------------------------- writing */

struct writer {
    uint64_t start;
    size_t length; /* LENGTH_MAX + 1: too much */
    uint8_t bytes[LENGTH_MAX];
};

static void put(struct writer *w, const void *bytes, size_t count)
{
    if (w->length > LENGTH_MAX || count > LENGTH_MAX - w->length) {
        w->length = LENGTH_MAX + 1;
        return;
    }
    memcpy(w->bytes + w->length, bytes, count);
    w->length += count;
}

static void put_number(struct writer *w, uint64_t value)
{
    uint8_t bytes[10];
    size_t count = 0;
    for (; value > 127; value >>= 7)
        bytes[count++] = (uint8_t)(value | 128);
    bytes[count++] = (uint8_t)value;
    put(w, bytes, count);
}

static void put_byte(struct writer *w, unsigned value)
{
    uint8_t byte = (uint8_t)value;
    put(w, &byte, 1);
}

static void put_time(struct writer *w, uint64_t when)
{
    put_number(w, when ? (when - w->start) / 1000 + 1 : 0);
}

/* What a text may be shortened by: known is what stands at the place of the byte 1, 2 ... */
#define WORDS 4

struct words {
    const char *known[WORDS];
    char remote[TAPSI_ADDR_TEXT], first[TAPSI_ADDR_TEXT];
};

static void known_words(const struct tapsi_node *node, struct words *ret)
{
    const struct taps_endpoint *first = &node->race->config->remotes[0];
    ret->known[0] = " does not reach ";
    ret->known[1] = node->interface->name;
    ret->known[2] = node->leaf ? tapsi_addr_host_text(&node->leaf->remote, ret->remote) : "";
    ret->known[3] = first->has_address ? tapsi_addr_host_text(&first->address, ret->first) : first->host_name;
}

/* The byte for what stands at `text`, or 0. */
static unsigned find_word(const struct words *words, const char *text, size_t *ret_length)
{
    for (unsigned i = 0; i < WORDS; i++) {
        *ret_length = strlen(words->known[i]);
        if (*ret_length > 1 && strncmp(text, words->known[i], *ret_length) == 0)
            return i + 1;
    }
    return 0;
}

static void put_reason(struct writer *w, const struct tapsi_node *node)
{
    struct words words;
    known_words(node, &words);
    for (const char *at = node->reason; *at;) {
        size_t length;
        unsigned word = find_word(&words, at, &length);
        unsigned char c = (unsigned char)*at;
        put_byte(w, word ? word : c <= WORDS ? '?' : c);
        at += word ? length : 1;
    }
    put_byte(w, 0);
}

static void put_address(struct writer *w, const union tapsi_addr *address)
{
    unsigned count;
    const uint8_t *bytes = tapsi_addr_bytes(address, &count);
    uint16_t port = tapsi_addr_port(address);
    bool scope = address->sa.sa_family == AF_INET6 && address->in6.sin6_scope_id;
    put_byte(w, (count == 16 ? LEAF_V6 : 0u) | (scope ? LEAF_SCOPE : 0u));
    put(w, bytes, count);
    put(w, &port, sizeof(port));
    if (scope)
        put_number(w, address->in6.sin6_scope_id);
}

static void put_leaf(struct writer *w, const struct tapsi_leaf *leaf)
{
    bool local = leaf->local.sa.sa_family != AF_UNSPEC;
    put_byte(w, (local ? LEAF_LOCAL : 0u) | (leaf->bind_device ? LEAF_DEVICE : 0u));
    put_number(w, (uint64_t)(leaf->endpoint - leaf->node.race->config->remotes));
    put_address(w, &leaf->remote);
    if (local)
        put_address(w, &leaf->local);
}

static void put_children(struct writer *w, const struct tapsi_node *parent);

static void put_node(struct writer *w, const struct tapsi_node *node, size_t place)
{
    unsigned has = (node->number != place + 1 ? HAS_NUMBER : 0u) | (node->start || node->end ? HAS_TIMES : 0u) |
                   (node->error ? HAS_ERROR : 0u) | (node->reason ? HAS_REASON : 0u) |
                   (node->count ? HAS_CHILDREN : 0u);
    assert(node->state < HAS_NUMBER);
    put_byte(w, node->state | has);
    if (node->leaf)
        put_leaf(w, node->leaf);
    else
        put_number(w, node->place);
    if (has & HAS_NUMBER)
        put_number(w, node->number);
    if (has & HAS_TIMES) {
        put_time(w, node->start);
        put_time(w, node->end);
    }
    if (has & HAS_ERROR)
        put_number(w, (unsigned)-node->error);
    if (has & HAS_REASON)
        put_reason(w, node);
    if (has & HAS_CHILDREN)
        put_children(w, node);
}

static void put_children(struct writer *w, const struct tapsi_node *parent)
{
    put_number(w, parent->count);
    for (size_t i = 0; i < parent->count; i++)
        put_node(w, parent->children[i], i);
}

static unsigned source_of(const struct tapsi_lookup_query *q)
{
    for (unsigned i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        if (strcmp(q->source, sources[i]) == 0)
            return i + 1;
    }
    return 0;
}

static void put_query(struct writer *w, const struct tapsi_lookup_query *q)
{
    put_byte(w, (q->wanted ? QUERY_WANTED : 0u) | (q->done ? QUERY_DONE : 0u) | (q->reason[0] ? QUERY_REASON : 0u) |
                    QUERY_SOURCE * source_of(q));
    if (!q->wanted)
        return;
    put_time(w, q->start);
    put_time(w, q->end);
    put_number(w, q->count);
    if (q->reason[0])
        put(w, q->reason, strlen(q->reason) + 1);
}

struct tapsi_record *tapsi_record_new(const struct tapsi_race *race)
{
    struct writer w;
    assert(race->over && race->winner);
    w.start = race->start;
    w.length = 0;
    put_time(&w, race->ready);
    for (size_t i = 0; i < race->names.count; i++) {
        for (int f = 0; f < TAPSI_LOOKUP_FAMILIES; f++)
            put_query(&w, &race->names.items[i].queries[f]);
    }
    put_children(&w, &race->tree);
    if (w.length > LENGTH_MAX)
        return NULL;
    struct tapsi_record *record = tapsi_alloc(&race->loop->mem, offsetof(struct tapsi_record, bytes) + w.length);
    if (!record)
        return NULL;
    record->plan = race->plan;
    record->plan->refs++;
    record->version = (uint16_t)race->version;
    record->interface = (uint16_t)(race->winner->node.interface - race->plan->network->interfaces);
    record->length = (uint16_t)w.length;
    memcpy(record->bytes, w.bytes, w.length);
    return record;
}

void tapsi_record_free(struct tapsi_mem *mem, struct tapsi_record *record)
{
    if (!record)
        return;
    tapsi_plan_unref(record->plan);
    tapsi_free(mem, record);
}

/* ------------------------------------------------------------------------------------------------- reading */

struct reader {
    struct tapsi_race *race;
    const uint8_t *at;
};

static unsigned get_byte(struct reader *r)
{
    return *r->at++;
}

static uint64_t get_number(struct reader *r)
{
    uint64_t value = 0;
    unsigned byte, shift = 0;
    do {
        byte = get_byte(r);
        value |= (uint64_t)(byte & 127) << shift;
        shift += 7;
    } while (byte & 128);
    return value;
}

/* The race begins at 1000 ns, since 0 means never. */
static uint64_t get_time(struct reader *r)
{
    return get_number(r) * 1000;
}

static int get_reason(struct reader *r, struct tapsi_node *node)
{
    struct words words;
    char text[2 * TAPSI_HOST_MAX];
    size_t length = 0;
    unsigned byte;
    known_words(node, &words);
    while ((byte = get_byte(r))) {
        const char one[2] = {(char)byte, '\0'};
        length += tapsi_format(text + length, sizeof(text) - length, "%s", byte <= WORDS ? words.known[byte - 1] : one);
    }
    tapsi_node_reason(node, "%.*s", (int)length, text);
    return node->reason ? 0 : TAPS_E_MEMORY;
}

static void get_address(struct reader *r, union tapsi_addr *ret)
{
    unsigned has = get_byte(r);
    uint16_t port;
    tapsi_addr_from_bytes(ret, has & LEAF_V6 ? AF_INET6 : AF_INET, r->at);
    r->at += has & LEAF_V6 ? 16 : 4;
    memcpy(&port, r->at, sizeof(port));
    r->at += sizeof(port);
    tapsi_addr_set_port(ret, port);
    if (has & LEAF_SCOPE)
        ret->in6.sin6_scope_id = (uint32_t)get_number(r);
}

static void get_leaf(struct reader *r, struct tapsi_leaf *leaf)
{
    unsigned has = get_byte(r);
    leaf->bind_device = has & LEAF_DEVICE;
    leaf->endpoint = &r->race->config->remotes[get_number(r)];
    get_address(r, &leaf->remote);
    if (has & LEAF_LOCAL)
        get_address(r, &leaf->local);
}

static void get_place(struct reader *r, struct tapsi_node *node)
{
    size_t count;
    node->place = (unsigned)get_number(r);
    if (node->kind == TAPS_CANDIDATE_PATH)
        node->interface = &r->race->plan->network->interfaces[node->place];
    else
        node->row = &tapsi_registry(&count)[node->place];
}

static int get_children(struct reader *r, struct tapsi_node *parent);

static int get_node(struct reader *r, struct tapsi_node *node)
{
    unsigned has = get_byte(r);
    int err = 0;
    node->state = has & (HAS_NUMBER - 1);
    if (node->leaf)
        get_leaf(r, node->leaf);
    else
        get_place(r, node);
    if (has & HAS_NUMBER)
        node->number = (unsigned)get_number(r);
    if (has & HAS_TIMES) {
        node->start = get_time(r);
        node->end = get_time(r);
    }
    if (has & HAS_ERROR)
        node->error = -(int)get_number(r);
    if (has & HAS_REASON)
        err = get_reason(r, node);
    if (!err && (has & HAS_CHILDREN))
        err = get_children(r, node);
    if (node->leaf && node->state == TAPS_CANDIDATE_WON)
        r->race->winner = node->leaf;
    return err;
}

static int get_children(struct reader *r, struct tapsi_node *parent)
{
    enum taps_candidate_kind kind = parent->root                          ? TAPS_CANDIDATE_PATH
                                    : parent->kind == TAPS_CANDIDATE_PATH ? TAPS_CANDIDATE_PROTOCOL
                                                                          : TAPS_CANDIDATE_ENDPOINT;
    size_t count = (size_t)get_number(r);
    int err = 0;
    for (size_t i = 0; i < count && !err; i++) {
        struct tapsi_node *node = tapsi_node_new(parent, kind);
        err = node ? get_node(r, node) : TAPS_E_MEMORY;
    }
    return err;
}

static void get_query(struct reader *r, struct tapsi_lookup_query *q)
{
    unsigned has = get_byte(r), source = has / QUERY_SOURCE;
    q->wanted = has & QUERY_WANTED;
    q->done = has & QUERY_DONE;
    if (source)
        tapsi_format(q->source, sizeof(q->source), "%s", sources[source - 1]);
    if (!q->wanted)
        return;
    q->start = get_time(r);
    q->end = get_time(r);
    q->count = (size_t)get_number(r);
    if (has & QUERY_REASON)
        r->at += tapsi_format(q->reason, sizeof(q->reason), "%s", (const char *)r->at) + 1;
}

static int get_lookups(struct reader *r)
{
    struct tapsi_race *race = r->race;
    struct tapsi_lookups *names = &race->names;
    names->loop = race->loop;
    names->count = race->config->remote_count;
    names->items = tapsi_calloc(&race->loop->mem, names->count + 1, sizeof(*names->items));
    if (!names->items)
        return TAPS_E_MEMORY;
    for (size_t i = 0; i < names->count; i++) {
        names->items[i].endpoint = &race->config->remotes[i];
        for (int f = 0; f < TAPSI_LOOKUP_FAMILIES; f++)
            get_query(r, &names->items[i].queries[f]);
    }
    return 0;
}

struct tapsi_race *tapsi_record_read(const struct tapsi_record *record, struct tapsi_loop *loop,
                                     struct tapsi_config *config)
{
    struct tapsi_race *race = tapsi_zalloc(&loop->mem, sizeof(*race));
    if (!race)
        return NULL;
    struct reader r = {race, record->bytes};
    race->loop = loop;
    race->config = tapsi_config_ref(config);
    race->plan = record->plan;
    race->plan->refs++;
    race->tree = (struct tapsi_node){.race = race, .root = true};
    race->begun = race->over = true;
    race->start = 1000;
    race->ready = get_time(&r);
    if (get_lookups(&r) || get_children(&r, &race->tree)) {
        tapsi_race_free(race);
        return NULL;
    }
    assert(r.at == record->bytes + record->length);
    race->version = record->version;
    return race;
}
