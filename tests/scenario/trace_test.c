/*
 * The trace of the whole library: the same seed, the same text. In one process here; what a build could change (the
 * order of packets, their times and lengths) is held to a digest in the tree.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "peer.h"

/* The trace of one world. */
static char *traced(void (*scene)(struct world *w))
{
    struct world w;
    char *text;
    size_t length;
    FILE *file = open_memstream(&text, &length);
    if (!file)
        abort();
    world_new(&w);
    tapsi_sim_trace_file(w.sim, file);
    w.options.log = tapsi_sim_log;
    w.options.log_user = w.sim;
    w.options.log_level = TAPS_LOG_DEBUG;
    scene(&w);
    world_finish(&w);
    fclose(file);
    return text;
}

/* The first line in which two texts differ goes into the report. */
static void check_same(const char *a, const char *b)
{
    size_t line = 0, at = 0;
    for (; a[at] && a[at] == b[at]; at++)
        line = a[at] == '\n' ? at + 1 : line;
    if (a[at] || b[at])
        tapsi_test_fail(__FILE__, __LINE__, "\"%.*s\" is not \"%.*s\"", (int)strcspn(a + line, "\n"), a + line,
                        (int)strcspn(b + line, "\n"), b + line);
}

static void check_twice(void (*scene)(struct world *w), const char *has)
{
    char *a = traced(scene), *b = traced(scene);
    check_same(a, b);
    if (!strstr(a, has))
        tapsi_test_fail(__FILE__, __LINE__, "no \"%s\" in the trace", has);
    free(a);
    free(b);
}

static void talk_and_close(struct world *w)
{
    static const char text[] = "hello";
    world_run_until_ready(w);
    CHECK_INT(w->heard.ready, 1);
    CHECK_INT(taps_connection_send(w->connection, text, sizeof(text), NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_receive(w->connection, 1, 65536, NULL), 0);
    world_run_ms(w, 5000);
    CHECK_INT(w->heard.length, sizeof(text));
    taps_connection_close(w->connection);
    world_run_until_end(w);
    CHECK_INT(w->heard.closed, 1);
}

static void by_name(struct world *w)
{
    tapsi_sim_dns_answer(w->dns, "dual.test", "AAAA", "2001:db8::1", 30 * TAPSI_SIM_MS);
    tapsi_sim_dns_answer(w->dns, "dual.test", "A", "192.0.2.1", 0);
    tapsi_sim_fault(w->sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
    tapsi_sim_serve(w->server, 80, TAPSI_SIM_ECHO);
    world_initiate(w, "dual.test:80", 0);
    talk_and_close(w);
}

TEST(a_race_by_name_is_the_same_each_time)
{
    check_twice(by_name, "dns     answer dual.test AAAA over UDP: rcode 0, 1 records");
}

static void over_a_bad_link(struct world *w)
{
    tapsi_sim_link_loss(w->link, 0.1);
    tapsi_sim_link_jitter(w->link, 10 * TAPSI_SIM_MS);
    tapsi_sim_link_reorder(w->link, 0.2, 20 * TAPSI_SIM_MS);
    tapsi_sim_link_duplicate(w->link, 0.5);
    tapsi_sim_fault(w->sim, "2001:db8::1", TAPSI_SIM_REFUSE);
    tapsi_sim_serve(w->server, 80, TAPSI_SIM_ECHO);
    world_start(w);
    taps_endpoint *first;
    taps_remote_endpoint_new(&first);
    CHECK_INT(taps_endpoint_with_text(first, "[2001:db8::1]:80"), 0);
    CHECK_INT(taps_preconnection_add_remote(w->preconnection, first), 0);
    taps_endpoint_free(first);
    world_initiate(w, "192.0.2.1:80", 0);
    talk_and_close(w);
}

TEST(a_race_over_a_bad_link_is_the_same_each_time)
{
    check_twice(over_a_bad_link, "and again");
}

/* Keys and randoms differ from run to run, lengths do not: with Ed25519 signatures all have one length. With ECDSA
   they vary by a byte or two, and so do the packets. */
static void over_tls(struct world *w)
{
    struct peer p;
    struct tapsi_test_identity identity = peer_certificate("example.test", NULL, NULL);
    tapsi_sim_dns_answer(w->dns, "example.test", "A", "192.0.2.1", 0);
    world_secure(w);
    peer_new(w, w->server, &p);
    peer_secure(&p, &identity);
    p.echo = true;
    peer_listen(w, &p, "192.0.2.1:443");
    tapsi_test_identity_free(&identity);
    world_initiate(w, "example.test:443", 0);
    talk_and_close(w);
    CHECK_INT(p.received, 1);
    peer_done(&p);
}

TEST(tls_is_the_same_each_time_with_signatures_of_one_length)
{
    check_twice(over_tls, "call    listen");
}

/* FNV-1a, 64 bits, of the lines with this topic. */
static uint64_t digest(const char *text, const char *topic)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (const char *end; *text; text = end + 1) {
        end = strchr(text, '\n');
        const char *found = strstr(text, topic);
        if (!found || found > end)
            continue;
        for (const char *at = text; at <= end; at++)
            sum = (sum ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    }
    return sum;
}

/* What goes over the wire, not the calls behind it: a change here is one that a peer could see. */
TEST(the_packets_of_a_fixed_race_are_the_same_in_every_build)
{
    char *text = traced(over_a_bad_link);
    uint64_t sum = digest(text, " packet ");
    if (sum != UINT64_C(0x0b8020538afba60e))
        tapsi_test_fail(__FILE__, __LINE__, "the digest is 0x%016llx; TAPS_TRACE=FILE writes the text",
                        (unsigned long long)sum);
    free(text);
}

/* A value may hold anything in the bytes it does not use, and such a one is still the same value. */
static void set_again(struct world *w)
{
    struct taps_value value;
    tapsi_sim_serve(w->server, 80, TAPSI_SIM_ECHO);
    CHECK_INT(taps_transport_properties_set(w->properties, "connTimeout", "30"), 0);
    CHECK_INT(taps_transport_properties_set(w->properties, "connCapacityProfile", "scavenger"), 0);
    world_initiate(w, "192.0.2.1:80", 0);
    memset(&value, 0xa5, sizeof(value));
    value.type = TAPS_TYPE_NUMBER;
    value.number = 30;
    CHECK_INT(taps_connection_set_value(w->connection, TAPS_CONN_TIMEOUT, value), 0);
    memset(&value, 0xa5, sizeof(value));
    value.type = TAPS_TYPE_ENUMERATION;
    value.enumeration = TAPS_PROFILE_SCAVENGER;
    CHECK_INT(taps_connection_set_value(w->connection, TAPS_CONN_CAPACITY_PROFILE, value), 0);
    talk_and_close(w);
}

static unsigned count(const char *text, const char *word)
{
    unsigned found = 0;
    for (; (text = strstr(text, word)); text += strlen(word))
        found++;
    return found;
}

TEST(a_value_set_again_to_what_it_was_asks_nothing_more_of_the_socket)
{
    char *text = traced(set_again);
    CHECK_INT(count(text, "TCP_USER_TIMEOUT"), 1);
    CHECK_INT(count(text, "IP_TOS"), 1);
    free(text);
}
