/* Name servers that lie: nobody connects to the liar's address, the truth behind a lie is heard, and it ends. */
#include <string.h>
#include "scenario.h"

static void begin(struct world *w, unsigned lie)
{
    world_new(w);
    tapsi_sim_dns_answer(w->dns, "true.test", "A", "192.0.2.1", 0);
    tapsi_sim_dns_answer(w->dns, "true.test", "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_lie(w->dns, NULL, NULL, lie, 0);
    tapsi_sim_serve(w->server, 80, TAPSI_SIM_ECHO);
    world_initiate(w, "true.test:80", 20000);
    world_run_until_ready(w);
}

static void end(struct world *w, unsigned lie)
{
    uint64_t believed = tapsi_sim_packets_to(w->sim, TAPSI_SIM_DNS_LIAR4 ":80") +
                        tapsi_sim_packets_to(w->sim, "[" TAPSI_SIM_DNS_LIAR6 "]:80");
    if (believed)
        tapsi_test_fail(__FILE__, __LINE__, "lie %u was believed", lie);
    CHECK_INT(w->heard.ready + w->heard.establishment_error, 1);
    world_finish(w);
}

/* What is not the answer to the question is not an answer; all queries are lied to. TAPSI_SIM_DNS_NO_ANSWER is not
   here: c-ares 1.18 does not look at QR. Only the server itself can send such a message, with the right id. */
TEST(lies_alone_end_in_an_error)
{
    static const unsigned lies[] = {TAPSI_SIM_DNS_WRONG_ID,    TAPSI_SIM_DNS_WRONG_NAME,    TAPSI_SIM_DNS_WRONG_TYPE,
                                    TAPSI_SIM_DNS_NO_QUESTION, TAPSI_SIM_DNS_OTHER_ADDRESS, TAPSI_SIM_DNS_OTHER_PORT,
                                    TAPSI_SIM_DNS_FOREIGN,     TAPSI_SIM_DNS_LOOP,          TAPSI_SIM_DNS_POINTER_LOOP,
                                    TAPSI_SIM_DNS_CUT,         TAPSI_SIM_DNS_GARBAGE,       TAPSI_SIM_DNS_NOTHING};
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct world w;
        begin(&w, lies[i]);
        CHECK_INT(w.heard.ready, 0);
        end(&w, lies[i]);
    }
}

TEST(the_truth_behind_a_lie_that_is_no_answer_is_heard)
{
    static const unsigned lies[] = {TAPSI_SIM_DNS_WRONG_ID, TAPSI_SIM_DNS_WRONG_NAME, TAPSI_SIM_DNS_WRONG_TYPE,
                                    TAPSI_SIM_DNS_OTHER_ADDRESS, TAPSI_SIM_DNS_OTHER_PORT};
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct world w;
        begin(&w, lies[i] | TAPSI_SIM_DNS_THEN_TRUTH);
        if (!w.heard.ready)
            tapsi_test_fail(__FILE__, __LINE__, "not ready after lie %u: %s", lies[i], w.heard.detail);
        end(&w, lies[i]);
    }
}

TEST(foreign_records_behind_true_ones_are_left_alone)
{
    struct world w;
    begin(&w, TAPSI_SIM_DNS_FOREIGN_TOO);
    CHECK_INT(w.heard.ready, 1);
    end(&w, TAPSI_SIM_DNS_FOREIGN_TOO);
}

TEST(a_truncated_answer_is_asked_for_over_tcp)
{
    static const enum tapsi_sim_dns_tcp modes[] = {TAPSI_SIM_DNS_TCP_FINE,   TAPSI_SIM_DNS_TCP_REFUSED,
                                                   TAPSI_SIM_DNS_TCP_SILENT, TAPSI_SIM_DNS_TCP_MUTE,
                                                   TAPSI_SIM_DNS_TCP_CLOSES, TAPSI_SIM_DNS_TCP_HALF};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        struct world w;
        world_new(&w);
        tapsi_sim_dns_answer(w.dns, "true.test", "A", "192.0.2.1", 0);
        tapsi_sim_dns_lie(w.dns, NULL, NULL, TAPSI_SIM_DNS_TRUNCATED, 0);
        tapsi_sim_dns_tcp(w.dns, modes[i]);
        tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
        world_initiate(&w, "true.test:80", 30000);
        world_run_until_ready(&w);
        CHECK_INT(w.heard.ready, modes[i] == TAPSI_SIM_DNS_TCP_FINE);
        end(&w, TAPSI_SIM_DNS_TRUNCATED);
    }
}
