#include "message/ws_extension.h"
#include "base/test.h"

static const struct tapsi_ws_agreement nothing;

static const char *offer(struct tapsi_ws_agreement wants)
{
    static char text[TAPSI_WS_EXTENSION_TEXT];
    tapsi_ws_offer_write(&wants, text, sizeof(text));
    return text;
}

/* What a server answers to an offer: "" where it takes none. */
static const char *answer(const char *offered, struct tapsi_ws_agreement wants)
{
    static char text[TAPSI_WS_EXTENSION_TEXT];
    struct tapsi_ws_agreement agreed;
    if (!tapsi_ws_offer_choose(offered, strlen(offered), &wants, &agreed))
        return "";
    tapsi_ws_agreement_write(&agreed, text, sizeof(text));
    return text;
}

static const char *refusal(const char *answered, struct tapsi_ws_agreement wanted)
{
    struct tapsi_ws_agreement agreed;
    const char *wrong = tapsi_ws_agreement_read(answered, strlen(answered), &wanted, &agreed);
    return wrong ? wrong : "taken";
}

TEST(the_offer_names_what_the_client_wants)
{
    CHECK_TEXT(offer(nothing), "permessage-deflate; client_max_window_bits");
    CHECK_TEXT(offer((struct tapsi_ws_agreement){
                   .server_no_context = true, .client_no_context = true, .server_bits = 10, .client_bits = 9}),
               "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; "
               "client_max_window_bits=9");
}

TEST(the_longest_text_fits)
{
    struct tapsi_ws_agreement all = {true, true, 15, 15};
    CHECK(strlen(offer(all)) < TAPSI_WS_EXTENSION_TEXT - 1);
}

TEST(the_server_takes_what_it_is_offered_and_adds_what_it_may)
{
    struct tapsi_ws_agreement wants = {
        .server_no_context = true, .client_no_context = true, .server_bits = 12, .client_bits = 11};
    CHECK_TEXT(answer("permessage-deflate", nothing), "permessage-deflate");
    CHECK_TEXT(answer("permessage-deflate; client_max_window_bits", nothing), "permessage-deflate");
    CHECK_TEXT(answer("permessage-deflate; server_max_window_bits=10; server_no_context_takeover", nothing),
               "permessage-deflate; server_no_context_takeover; server_max_window_bits=10");
    CHECK_TEXT(answer("permessage-deflate; server_max_window_bits=14; client_max_window_bits=13", wants),
               "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; "
               "client_max_window_bits=11");
    CHECK_TEXT(answer("permessage-deflate", wants),
               "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12");
}

TEST(the_server_takes_the_first_offer_it_understands)
{
    CHECK_TEXT(
        answer("x-snappy; level=3, permessage-deflate; speed=9, permessage-deflate; server_max_window_bits=\"9\"",
               nothing),
        "permessage-deflate; server_max_window_bits=9");
    CHECK_TEXT(answer(" , Permessage-Deflate;client_max_window_bits , permessage-deflate;server_max_window_bits=9",
                      nothing),
               "permessage-deflate");
}

TEST(offers_that_nobody_can_take)
{
    static const char *const offers[] = {"",
                                         ",",
                                         "x-webkit-deflate-frame",
                                         "permessage-deflate; server_max_window_bits",
                                         "permessage-deflate; server_max_window_bits=7",
                                         "permessage-deflate; server_max_window_bits=16",
                                         "permessage-deflate; server_max_window_bits=08",
                                         "permessage-deflate; server_max_window_bits=\"10",
                                         "permessage-deflate; server_max_window_bits=",
                                         "permessage-deflate; client_max_window_bits=0",
                                         "permessage-deflate; server_no_context_takeover=1",
                                         "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
                                         "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
                                         "permessage-deflate; what",
                                         "permessage-deflate;",
                                         "permessage-deflate server_no_context_takeover"};
    for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++)
        CHECK_TEXT(answer(offers[i], nothing), "");
}

TEST(the_client_takes_what_is_within_its_offer)
{
    struct tapsi_ws_agreement agreed, wanted = {.client_bits = 12};
    const char *text =
        "permessage-deflate; client_no_context_takeover; client_max_window_bits=10; server_max_window_bits=11";
    CHECK(!tapsi_ws_agreement_read(text, strlen(text), &wanted, &agreed));
    CHECK_INT(agreed.client_bits, 10);
    CHECK_INT(agreed.server_bits, 11);
    CHECK(agreed.client_no_context && !agreed.server_no_context);
    text = "permessage-deflate";
    CHECK(!tapsi_ws_agreement_read(text, strlen(text), &wanted, &agreed));
    CHECK_INT(agreed.client_bits, 12);
}

TEST(the_client_refuses_what_is_not)
{
    CHECK_TEXT(refusal("x-snappy", nothing), "an extension that was not offered");
    CHECK_TEXT(refusal("", nothing), "an extension that was not offered");
    CHECK_TEXT(refusal("permessage-deflate, permessage-deflate", nothing), "more extensions than were offered");
    CHECK_TEXT(refusal("permessage-deflate; level=9", nothing), "an unknown parameter");
    CHECK_TEXT(refusal("permessage-deflate; server_max_window_bits=16", nothing), "window bits that are not 8 to 15");
    CHECK_TEXT(refusal("permessage-deflate; client_max_window_bits", nothing),
               "client_max_window_bits without a number");
    CHECK_TEXT(refusal("permessage-deflate", (struct tapsi_ws_agreement){.server_no_context = true}),
               "server_no_context_takeover was asked for and is not granted");
    CHECK_TEXT(refusal("permessage-deflate", (struct tapsi_ws_agreement){.server_bits = 10}),
               "a server_max_window_bits over what was asked for");
    CHECK_TEXT(refusal("permessage-deflate; server_max_window_bits=11", (struct tapsi_ws_agreement){.server_bits = 10}),
               "a server_max_window_bits over what was asked for");
    CHECK_TEXT(refusal("permessage-deflate; client_max_window_bits=11", (struct tapsi_ws_agreement){.client_bits = 10}),
               "a client_max_window_bits over what was offered");
    CHECK_TEXT(refusal("permessage-deflate; server_no_context_takeover;", nothing), "an unknown parameter");
}
