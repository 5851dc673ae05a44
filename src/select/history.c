#include "select/history.h"

#include <string.h>

#define SECOND    UINT64_C(1000000000)
#define FIRST     (300 * SECOND) /* of doubt */
#define LONGEST   (86400 * SECOND)
#define KEPT      (86400 * SECOND) /* after the doubt has ended */
#define LEVEL_MAX 10
#define BLOCKED   2 /* silent endpoints that make a silent network */

struct entry {
    uint64_t network, endpoint;
    char stack[TAPSI_HISTORY_STACK_MAX];
    int64_t failed, until; /* of a clock that may have begun later */
    uint8_t level; /* doublings of FIRST, plus one; 0: it came through, and a file that says otherwise is older */
    uint8_t failure;
    bool alone; /* the stack came through to another endpoint since: this one's silence is its own */
};

struct tapsi_history {
    struct tapsi_mem *mem;
    struct entry *entries;
    size_t count, capacity;
};

struct tapsi_history *tapsi_history_new(struct tapsi_mem *mem)
{
    struct tapsi_history *history = tapsi_zalloc(mem, sizeof(*history));
    if (history)
        history->mem = mem;
    return history;
}

void tapsi_history_free(struct tapsi_history *history)
{
    if (!history)
        return;
    tapsi_free(history->mem, history->entries);
    tapsi_free(history->mem, history);
}

size_t tapsi_history_count(const struct tapsi_history *history)
{
    size_t count = 0;
    for (size_t i = 0; i < history->count; i++)
        count += history->entries[i].level > 0;
    return count;
}

/* FNV-1a. Who finds two names of one hash makes a stack start later, and no more. */
uint64_t tapsi_history_hash(uint64_t seed, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    uint64_t hash = seed ? seed : UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* ------------------------------------------------------------------------------------------------- entries */

static bool is_stale(const struct entry *e, uint64_t now)
{
    return (int64_t)now > e->until + (int64_t)KEPT;
}

static bool in_doubt(const struct entry *e, uint64_t now)
{
    return (int64_t)now < e->until;
}

static bool same_network(const struct entry *e, const struct tapsi_history_key *key)
{
    return e->network == key->network && strcmp(e->stack, key->stack) == 0;
}

static struct entry *find(const struct tapsi_history *history, const struct tapsi_history_key *key)
{
    for (size_t i = 0; i < history->count; i++) {
        if (history->entries[i].endpoint == key->endpoint && same_network(&history->entries[i], key))
            return &history->entries[i];
    }
    return NULL;
}

/* One that may be written over: a stale one, else that of the oldest failure. */
static struct entry *least(const struct tapsi_history *history, uint64_t now)
{
    struct entry *oldest = &history->entries[0];
    for (size_t i = 0; i < history->count; i++) {
        if (is_stale(&history->entries[i], now))
            return &history->entries[i];
        if (history->entries[i].failed < oldest->failed)
            oldest = &history->entries[i];
    }
    return oldest;
}

/* NULL without memory, and for a name that is too long. */
static struct entry *add(struct tapsi_history *history, const struct tapsi_history_key *key, uint64_t now)
{
    struct entry *e;
    if (strlen(key->stack) >= TAPSI_HISTORY_STACK_MAX)
        return NULL;
    if (history->count == TAPSI_HISTORY_MAX)
        e = least(history, now);
    else if (tapsi_grow(history->mem, &history->entries, &history->capacity, history->count, sizeof(*e)))
        return NULL;
    else
        e = &history->entries[history->count++];
    *e = (struct entry){.network = key->network, .endpoint = key->endpoint};
    memcpy(e->stack, key->stack, strlen(key->stack));
    return e;
}

/* ---------------------------------------------------------------------------------------------- experience */

static uint64_t doubt_of(unsigned level)
{
    uint64_t doubt = FIRST << (level - 1);
    return doubt < LONGEST ? doubt : LONGEST;
}

void tapsi_history_failed(struct tapsi_history *history, const struct tapsi_history_key *key,
                          enum tapsi_history_failure failure, uint64_t now)
{
    struct entry *e = find(history, key);
    if (!e)
        e = add(history, key, now);
    if (!e)
        return;
    if (is_stale(e, now))
        e->level = 0;
    e->failed = (int64_t)now;
    e->failure = (uint8_t)failure;
    e->alone = false;
    if (e->level && in_doubt(e, now))
        return;
    if (e->level < LEVEL_MAX)
        e->level++;
    e->until = (int64_t)(now + doubt_of(e->level));
}

void tapsi_history_worked(struct tapsi_history *history, const struct tapsi_history_key *key, uint64_t now)
{
    for (size_t i = 0; i < history->count; i++) {
        struct entry *e = &history->entries[i];
        if (!same_network(e, key))
            continue;
        e->alone = true;
        if (e->endpoint != key->endpoint)
            continue;
        e->level = is_stale(e, now) ? 0 : e->level / 2;
        e->until = (int64_t)now;
    }
}

enum tapsi_history_doubt tapsi_history_ask(const struct tapsi_history *history, const struct tapsi_history_key *key,
                                           uint64_t now, uint64_t *ret_ago)
{
    int64_t last = INT64_MIN;
    unsigned silent = 0;
    for (size_t i = 0; history && i < history->count; i++) {
        const struct entry *e = &history->entries[i];
        if (!in_doubt(e, now) || !same_network(e, key))
            continue;
        if (e->endpoint == key->endpoint) {
            *ret_ago = now - (uint64_t)e->failed;
            return e->failure == TAPSI_HISTORY_SILENT ? TAPSI_HISTORY_ENDPOINT_SILENT : TAPSI_HISTORY_ENDPOINT_REFUSED;
        }
        if (e->failure != TAPSI_HISTORY_SILENT || e->alone)
            continue;
        silent++;
        last = e->failed > last ? e->failed : last;
    }
    const struct entry *own = silent < BLOCKED ? NULL : find(history, key);
    if (silent < BLOCKED || (own && own->level))
        return TAPSI_HISTORY_NO_DOUBT;
    *ret_ago = now - (uint64_t)last;
    return TAPSI_HISTORY_NETWORK_SILENT;
}

/* --------------------------------------------------------------------------------------------------- files */

static const char *const kinds[] = {"silent", "refused", "alone"};

#define SINCE_MAX ((LONGEST + KEPT) / SECOND)

static uint64_t seconds_until(int64_t when, uint64_t now)
{
    return when > (int64_t)now ? (uint64_t)(when - (int64_t)now) / SECOND : 0;
}

static uint64_t seconds_since(int64_t when, uint64_t now)
{
    uint64_t seconds = (uint64_t)((int64_t)now - when) / SECOND;
    return seconds < SINCE_MAX ? seconds : SINCE_MAX;
}

void tapsi_history_save(const struct tapsi_history *history, uint64_t now, struct tapsi_str *to)
{
    for (size_t i = 0; i < history->count; i++) {
        const struct entry *e = &history->entries[i];
        const char *kind = e->failure == TAPSI_HISTORY_SILENT && e->alone ? "alone" : kinds[e->failure];
        if (e->level && !is_stale(e, now))
            tapsi_str_format(to, "%s %016llx %016llx %s %u %llu %llu\n", kind, (unsigned long long)e->network,
                             (unsigned long long)e->endpoint, e->stack, e->level,
                             (unsigned long long)seconds_since(e->failed, now),
                             (unsigned long long)seconds_until(e->until, now));
    }
}

#define FIELDS 7

/* Words with one space between them; false if they are not so many, or one is too long. */
static bool split(const char *line, char words[FIELDS][TAPSI_HISTORY_STACK_MAX])
{
    for (size_t i = 0; i < FIELDS; i++) {
        size_t length = strcspn(line, " ");
        if (length == 0 || length >= TAPSI_HISTORY_STACK_MAX)
            return false;
        memcpy(words[i], line, length);
        words[i][length] = '\0';
        line += length;
        if (*line != (i + 1 < FIELDS ? ' ' : '\0'))
            return false;
        line++;
    }
    return true;
}

static bool read_hash(const char *text, uint64_t *ret)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t value = 0;
    if (strlen(text) != 16 || strspn(text, digits) != 16)
        return false;
    for (; *text; text++)
        value = value << 4 | (uint64_t)(strchr(digits, *text) - digits);
    *ret = value;
    return true;
}

static bool is_stack(const char *text)
{
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-/.")] == '\0';
}

static bool read_kind(const char *text, struct entry *e)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(text, kinds[i]) != 0)
            continue;
        e->alone = i == 2;
        e->failure = i == TAPSI_HISTORY_REFUSED ? TAPSI_HISTORY_REFUSED : TAPSI_HISTORY_SILENT;
        return true;
    }
    return false;
}

int tapsi_history_load(struct tapsi_history *history, const char *line, uint64_t elapsed, uint64_t now)
{
    char words[FIELDS][TAPSI_HISTORY_STACK_MAX];
    uint64_t level, since, left;
    struct entry read = {0};
    if (!split(line, words) || !read_kind(words[0], &read) || !read_hash(words[1], &read.network) ||
        !read_hash(words[2], &read.endpoint) || !is_stack(words[3]) || tapsi_parse_uint(words[4], LEVEL_MAX, &level) ||
        tapsi_parse_uint(words[5], SINCE_MAX, &since) || tapsi_parse_uint(words[6], LONGEST / SECOND, &left) ||
        level == 0)
        return TAPS_E_RANGE;
    if (elapsed > LONGEST + KEPT)
        return 0;
    read.level = (uint8_t)level;
    read.failed = (int64_t)now - (int64_t)(since * SECOND + elapsed);
    read.until = (int64_t)now + (int64_t)(left * SECOND) - (int64_t)elapsed;
    const struct tapsi_history_key key = {read.network, read.endpoint, words[3]};
    if (is_stale(&read, now) || find(history, &key))
        return 0;
    struct entry *e = add(history, &key, now);
    if (!e)
        return TAPS_E_MEMORY;
    memcpy(read.stack, e->stack, sizeof(read.stack));
    *e = read;
    return 0;
}
