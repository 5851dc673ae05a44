/*
 * Session files. The input is one, read at a time its first byte says; a store that has read it keeps its bounds, and
 * what it writes is read again as it is.
 */
#include <stdlib.h>
#include <string.h>
#include "input.h"
#include "stack/secure/sessionfile.h"
#include "support.h"

static void check_again(const struct tapsi_tickets *store, uint64_t now)
{
    size_t length = 0;
    uint8_t *bytes = tapsi_sessionfile_write(store, "a line\n", now, tapsi_mem_default(), &length);
    struct tapsi_tickets *again = tapsi_tickets_new(tapsi_mem_default());
    if (!bytes || !again)
        abort();
    struct tapsi_sessionfile_found found = tapsi_sessionfile_read(again, tapsi_mem_default(), bytes, length, now, NULL);
    CHECK_INT(found.damaged, 0);
    CHECK_INT(found.taken, tapsi_tickets_count(store));
    free(bytes);
    tapsi_tickets_free(again);
}

static void use_up(struct tapsi_tickets *store, uint64_t now)
{
    const struct tapsi_ticket *t;
    while ((t = tapsi_tickets_next(store, NULL))) {
        struct tapsi_ticket_key key = t->key;
        size_t count = tapsi_tickets_count(store);
        struct tapsi_ticket *taken = tapsi_tickets_take(store, &key, now);
        CHECK(tapsi_tickets_count(store) < count);
        CHECK(!taken || (taken->session_length && strlen(taken->alpn) < sizeof(taken->alpn)));
        tapsi_ticket_free(taken);
    }
}

static void on_line(void *user, const char *line, uint64_t age)
{
    (void)user;
    (void)age;
    CHECK(!strchr(line, '\n') && strlen(line) < 200);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tapsi_tickets *store = tapsi_tickets_new(tapsi_mem_default());
    if (!store)
        abort();
    uint64_t now = size ? (uint64_t)data[0] * 1000 : 0;
    size_t length = size ? size - 1 : 0;
    const struct tapsi_sessionfile_lines lines = {on_line, NULL};
    struct tapsi_sessionfile_found found =
        tapsi_sessionfile_read(store, tapsi_mem_default(), data + (size != 0), length, now, &lines);
    CHECK(tapsi_tickets_count(store) <= found.taken);
    CHECK(tapsi_tickets_count(store) <= TAPSI_TICKETS_MAX);
    check_again(store, now);
    use_up(store, now);
    tapsi_tickets_free(store);
    return 0;
}
