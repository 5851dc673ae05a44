/* The text of a race: what is a statement and what is not. */
#include "script.h"
#include "base/test.h"

static struct script script;

static bool takes(const char *text)
{
    script_clear(&script);
    return script_add(&script, text);
}

TEST(statements_have_words_numbers_times_and_shares)
{
    CHECK(takes("# a comment\n\nlink client/eth0 server/eth0 5ms\nloss client/eth0 2.5%\nat 1500us close\n"
                "on received#3 send 100 final msgPriority 5"));
    NEED(script.count == 4);
    CHECK_INT(script.lines[0].verb, SCRIPT_LINK);
    CHECK_TEXT(script.lines[0].words[1], "server/eth0");
    CHECK_INT(script.lines[0].numbers[0], 5000000);
    CHECK_INT(script.lines[0].number, 3);
    CHECK_INT(script.lines[1].numbers[0], 25000);
    CHECK_INT(script.lines[2].when, SCRIPT_AT);
    CHECK_INT(script.lines[2].at, 1500000);
    CHECK_INT(script.lines[3].event, SCRIPT_ON_RECEIVED);
    CHECK_INT(script.lines[3].nth, 3);
    CHECK_TEXT(script.lines[3].words[0], "final msgPriority 5");
}

TEST(the_longer_of_two_patterns_is_tried_first)
{
    CHECK(takes("dns a.test A after 3ms fails never\ndns a.test A after 3ms 192.0.2.1 192.0.2.2\n"
                "initiate within 5s sending 10\nserve server 80 echo\nserve server 80 reset 100"));
    NEED(script.count == 5);
    CHECK_INT(script.lines[0].verb, SCRIPT_DNS_FAILS);
    CHECK_INT(script.lines[1].verb, SCRIPT_DNS);
    CHECK_TEXT(script.lines[1].words[2], "192.0.2.1 192.0.2.2");
    CHECK_INT(script.lines[2].verb, SCRIPT_INITIATE_SENDING);
    CHECK_INT(script.lines[3].numbers[1], 0);
    CHECK_INT(script.lines[4].numbers[1], 100);
}

TEST(what_is_no_statement_is_refused_with_its_line)
{
    static const char *const bad[] = {
        "jump",
        "link client/eth0",
        "link a b soon",
        "link a b 5",
        "loss client/eth0 half",
        "at 5ms",
        "at noon close",
        "on tuesday close",
        "on ready",
        "on received#0 close",
        "close",
        "send 10",
        "at 5ms remote x:80",
        "dice",
        "dice six",
        "close at 5ms",
        "loss client/eth0 101%",
        "at 5ms security none",
        "up",
        "on received#x close",
        "nameserver",
        "initiate",
        "initiate within",
        "serve x",
        "loss client/eth0 -1%",
        "at -5ms close",
        "receive",
        "expected ready",
        "at 1ms 2ms",
        "dns a.test A 192.0.2.1",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        script_clear(&script);
        CHECK(script_add(&script, "dice 6\n"));
        if (script_add(&script, bad[i]) || strncmp(script.problem, "line 2:", 7) != 0)
            tapsi_test_fail(__FILE__, __LINE__, "\"%s\": %s", bad[i], script.problem);
    }
}

TEST(too_many_statements_and_too_long_texts_are_refused)
{
    static char text[SCRIPT_TEXT_MAX + 10];
    script_clear(&script);
    for (int i = 0; i < SCRIPT_LINES_MAX; i++)
        CHECK(script_say(&script, "dice %d", i));
    CHECK(!script_say(&script, "dice 1"));
    memset(text, '#', sizeof(text) - 1);
    CHECK(!takes(text));
}

TEST(times_are_said_in_their_largest_unit)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } times[] = {{0, "0ms"}, {7, "7ns"}, {1500, "1500ns"}, {2000000000, "2s"}, {1500000, "1500us"}, {5000000, "5ms"}};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        char text[24];
        uint64_t ns;
        CHECK_TEXT(script_time_text(times[i].ns, text), times[i].text);
        CHECK(script_time(text, &ns));
        CHECK_INT(ns, times[i].ns);
    }
}

TEST(a_script_without_a_line_has_the_others)
{
    static struct script shorter;
    CHECK(takes("# head\ndice 1\nup client/eth0\ndown client/eth0\n"));
    script_without(&script, 1, &shorter);
    CHECK_TEXT(shorter.text, "# head\ndice 1\ndown client/eth0\n");
    CHECK_INT(shorter.count, 2);
    CHECK(script_find(&shorter, SCRIPT_UP) == NULL);
    CHECK(script_find(&shorter, SCRIPT_DOWN) == &shorter.lines[1]);
}
