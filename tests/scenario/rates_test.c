/*
 * maxSendRate and maxRecvRate (RFC 9622, 8.1.8) on every stack: in no second of virtual time more than the bound, and
 * nothing lost. What the peer has is looked at every hundredth of a second.
 */
#include <stdlib.h>
#include <string.h>
#include "stacks.h"

#define LENGTH  1000
#define MANY    60
#define RATE    "160000" /* bits per second: three seconds for all */
#define BYTES   20000    /* a second */
#define SAMPLES 700

struct test {
    struct world w;
    struct peer p;
    size_t samples[SAMPLES];
    uint64_t times[SAMPLES]; /* ns */
    int count;
};

static size_t row_count(void)
{
    return tapsi_test_sweeping() ? 1 : STACKS;
}

/* The client's `property` is set before Initiate, or NULL. */
static void begin(struct test *t, const struct stacks_row *row, const char *property, const char *value)
{
    memset(t, 0, sizeof(*t));
    stacks_begin(&t->w, &t->p, row, NULL, NULL);
    if (property)
        CHECK_INT(taps_transport_properties_set(t->w.properties, property, value), 0);
    world_initiate(&t->w, STACKS_NAME ":443", 5000);
}

static void finish(struct test *t)
{
    peer_done(&t->p);
    world_finish(&t->w);
}

static void send_many(struct test *t, int count)
{
    static char bytes[LENGTH];
    for (int i = 0; i < count && t->w.connection; i++)
        taps_connection_send(t->w.connection, bytes, LENGTH, NULL, 0, NULL);
}

static void watch(struct test *t, const size_t *what, int hundredths)
{
    for (int i = 0; i < hundredths && t->count < SAMPLES; i++) {
        world_run_ms(&t->w, 10);
        t->times[t->count] = tapsi_sim_elapsed(t->w.sim);
        t->samples[t->count++] = *what;
    }
}

/* The most of any second. */
static size_t most(const struct test *t)
{
    size_t found = 0;
    int first = 0;
    for (int i = 0; i < t->count; i++) {
        while (t->times[i] - t->times[first] > TAPSI_SIM_S)
            first++;
        size_t before = first ? t->samples[first] : 0;
        found = t->samples[i] - before > found ? t->samples[i] - before : found;
    }
    return found;
}

/* proves API-087 */
TEST(what_is_sent_keeps_to_the_bound)
{
    for (size_t i = 0; i < row_count(); i++) {
        struct test t;
        begin(&t, &stacks_rows[i], "maxSendRate", RATE);
        world_run_until_ready(&t.w);
        CHECK_INT(t.w.heard.ready, 1);
        send_many(&t, MANY);
        watch(&t, &t.p.length, 350);
        CHECK_INT(t.p.length, MANY * LENGTH);
        CHECK_INT(t.w.heard.sent, MANY);
        CHECK(most(&t) <= BYTES);
        CHECK(t.samples[250] >= 2 * BYTES && t.samples[250] < MANY * LENGTH);
        finish(&t);
    }
}

/* proves API-087: what comes back waits for the reader's bound. */
TEST(what_is_received_keeps_to_the_bound)
{
    for (size_t i = 0; i < row_count(); i++) {
        struct test t;
        begin(&t, &stacks_rows[i], "maxRecvRate", RATE);
        t.p.echo = t.w.keep_reading = true;
        world_run_until_ready(&t.w);
        NEED(t.w.connection != NULL);
        taps_connection_receive(t.w.connection, 1, 65536, NULL);
        send_many(&t, MANY);
        watch(&t, &t.w.heard.length, 400);
        CHECK_INT(t.w.heard.length, MANY * LENGTH);
        CHECK_INT(t.p.length, MANY * LENGTH);
        CHECK(most(&t) <= BYTES);
        CHECK(t.samples[250] >= 2 * BYTES && t.samples[250] < MANY * LENGTH);
        finish(&t);
    }
}

/* proves API-087: lower, and then no bound at all. */
TEST(a_bound_can_be_changed_at_any_time)
{
    for (size_t i = 0; i < row_count(); i++) {
        struct test t;
        begin(&t, &stacks_rows[i], "maxSendRate", RATE);
        world_run_until_ready(&t.w);
        NEED(t.w.connection != NULL);
        send_many(&t, MANY);
        world_run_ms(&t.w, 1000);
        size_t first = t.p.length;
        CHECK(first > BYTES / 2 && first <= BYTES);
        CHECK_INT(taps_connection_set_property(t.w.connection, "maxSendRate", "16000"), 0);
        world_run_ms(&t.w, 1000);
        CHECK(t.p.length > first && t.p.length <= first + BYTES / 10 + LENGTH);
        CHECK_INT(taps_connection_set_property(t.w.connection, "maxSendRate", "unlimited"), 0);
        world_run_ms(&t.w, 200);
        CHECK_INT(t.p.length, MANY * LENGTH);
        CHECK_INT(taps_connection_set_property(t.w.connection, "maxSendRate", RATE), 0);
        send_many(&t, 5);
        world_run_ms(&t.w, 500);
        CHECK_INT(t.p.length, (MANY + 5) * LENGTH);
        finish(&t);
    }
}

/* proves API-087 */
TEST(close_waits_for_what_the_bound_holds_back)
{
    for (size_t i = 0; i < row_count(); i++) {
        struct test t;
        begin(&t, &stacks_rows[i], "maxSendRate", RATE);
        world_run_until_ready(&t.w);
        NEED(t.w.connection != NULL);
        send_many(&t, MANY);
        taps_connection_close(t.w.connection);
        world_run_ms(&t.w, 1000);
        CHECK_INT(t.w.heard.closed, 0);
        world_run_until_end(&t.w);
        CHECK_INT(t.w.heard.closed, 1);
        world_run_ms(&t.w, 100);
        CHECK_INT(t.p.length, MANY * LENGTH);
        finish(&t);
    }
}

/* A Message a minute, nearly: that is not the peer's fault. */
TEST(close_is_patient_with_a_low_bound)
{
    struct test t;
    begin(&t, &stacks_rows[0], "maxSendRate", "160");
    world_run_until_ready(&t.w);
    NEED(t.w.connection != NULL);
    send_many(&t, 3);
    taps_connection_close(t.w.connection);
    world_run_until_end(&t.w);
    CHECK_INT(t.w.heard.closed, 1);
    CHECK_INT(t.w.heard.sent, 3);
    world_run_ms(&t.w, 100);
    CHECK_INT(t.p.length, 3 * LENGTH);
    finish(&t);
}

/* The end comes behind what the bound holds back. */
TEST(what_was_received_before_the_end_is_delivered)
{
    struct test t;
    begin(&t, &stacks_rows[0], "maxRecvRate", RATE);
    t.p.echo = t.w.keep_reading = true;
    world_run_until_ready(&t.w);
    NEED(t.w.connection != NULL);
    taps_connection_receive(t.w.connection, 1, 65536, NULL);
    send_many(&t, MANY);
    watch(&t, &t.w.heard.length, 10);
    if (t.p.last)
        taps_connection_close(t.p.last);
    watch(&t, &t.w.heard.length, 400);
    CHECK_INT(t.w.heard.length, MANY * LENGTH);
    CHECK(t.w.heard.final);
    CHECK(most(&t) <= BYTES);
    CHECK_INT(t.w.heard.connection_error, 0);
    finish(&t);
}

/* A Message that may wait no longer is not sent late. */
TEST(what_the_bound_holds_back_can_expire)
{
    struct test t;
    begin(&t, &stacks_rows[0], "maxSendRate", RATE);
    world_run_until_ready(&t.w);
    NEED(t.w.connection != NULL);
    CHECK_INT(taps_connection_set_property(t.w.connection, "msgLifetime", "1"), 0);
    send_many(&t, MANY);
    watch(&t, &t.p.length, 350);
    CHECK_INT(t.w.heard.sent + t.w.heard.expired, MANY);
    CHECK(t.w.heard.expired >= MANY - BYTES / LENGTH - 1);
    CHECK_INT(t.p.length, t.w.heard.sent * LENGTH);
    finish(&t);
}

/* proves API-087, API-032: the property is the group's, the second each Connection's own. */
TEST(each_of_a_group_has_its_own_second)
{
    static const size_t which[] = {0, 4};
    static char bytes[LENGTH];
    for (size_t i = 0; i < (tapsi_test_sweeping() ? 1 : 2); i++) {
        struct test t;
        taps_connection *clone = NULL;
        begin(&t, &stacks_rows[which[i]], NULL, NULL);
        world_run_until_ready(&t.w);
        NEED(t.w.connection != NULL);
        taps_connection_clone(t.w.connection, NULL, NULL, NULL, NULL, &clone);
        world_run_ms(&t.w, 200);
        CHECK_INT(taps_connection_set_property(t.w.connection, "maxSendRate", RATE), 0);
        send_many(&t, MANY / 2);
        for (int k = 0; k < MANY / 2 && clone; k++)
            taps_connection_send(clone, bytes, LENGTH, NULL, 0, NULL);
        watch(&t, &t.p.length, 180);
        CHECK_INT(t.p.length, MANY * LENGTH);
        CHECK(most(&t) <= 2 * BYTES && most(&t) > BYTES * 3 / 2);
        taps_connection_free(clone);
        finish(&t);
    }
}

/* proves API-087: a least rate is kept and read, and contradicts a lower most. */
TEST(the_least_is_not_above_the_most)
{
    static const char *const least[] = {"minSendRate", "minRecvRate"}, *const bound[] = {"maxSendRate", "maxRecvRate"};
    for (int i = 0; i < 2; i++) {
        struct test t;
        char text[32];
        begin(&t, &stacks_rows[0], least[i], "1000");
        world_run_until_ready(&t.w);
        NEED(t.w.connection != NULL);
        CHECK(taps_connection_get_property(t.w.connection, least[i], text, sizeof(text)) > 0);
        CHECK_TEXT(text, "1000");
        CHECK_INT(taps_connection_set_property(t.w.connection, bound[i], "999"), TAPS_E_RANGE);
        CHECK_INT(taps_connection_set_property(t.w.connection, bound[i], "1000"), 0);
        CHECK_INT(taps_connection_set_property(t.w.connection, least[i], "1001"), TAPS_E_RANGE);
        CHECK_INT(taps_connection_set_property(t.w.connection, least[i], "unlimited"), 0);
        CHECK_INT(taps_connection_set_property(t.w.connection, bound[i], "1"), 0);
        CHECK_INT(taps_connection_set_property(t.w.connection, bound[i], "0"), TAPS_E_RANGE);
        finish(&t);
    }
}

/* More than a second's worth at once goes by itself, when the second before is over. */
TEST(a_message_of_more_than_a_second_goes_alone)
{
    struct test t;
    static char large[2 * BYTES];
    begin(&t, &stacks_rows[0], "maxSendRate", RATE);
    world_run_until_ready(&t.w);
    NEED(t.w.connection != NULL);
    send_many(&t, 1);
    taps_connection_send(t.w.connection, large, sizeof(large), NULL, 0, NULL);
    send_many(&t, 1);
    world_run_ms(&t.w, 900);
    CHECK_INT(t.p.length, LENGTH);
    world_run_ms(&t.w, 400);
    CHECK_INT(t.p.length, LENGTH + sizeof(large));
    world_run_ms(&t.w, 1000);
    CHECK_INT(t.p.length, LENGTH + sizeof(large));
    world_run_ms(&t.w, 1500);
    CHECK_INT(t.p.length, 2 * LENGTH + sizeof(large));
    finish(&t);
}
