/* The MQTT Framer as a client. */
#include <stdio.h>
#include "base/test.h"
#include "message/test_mqtt.h"

/* ------------------------------------------------------------------------------------------- the client greets */

TEST(connect_says_what_the_options_say)
{
    struct test_framing t;
    test_framing_open_text(&t, "mqtt", false);
    CHECK(test_framing_wrote(&t, BYTES("\x10\x0c\0\4MQTT\4\2\0\74\0\0")));
    test_framing_close(&t);
    test_framing_open_text(&t,
                           "mqtt:client-id=me,keep-alive=300,user=u,password=pw,clean-session=no,will-topic=w/t,"
                           "will-message=gone,will-qos=1,will-retain=yes",
                           false);
    CHECK(test_framing_wrote(&t, BYTES("\x10\x20\0\4MQTT\4\xec\1\x2c\0\2me\0\3w/t\0\4gone\0\1u\0\2pw")));
    test_framing_close(&t);
}

/* proves API-132 */
TEST(it_is_ready_with_the_connack_however_that_is_split)
{
    for (size_t step = 1; step <= 4; step++) {
        struct test_framing t;
        test_framing_open_text(&t, "mqtt", false);
        test_framing_feed_split(&t, BYTES(CONNACK), step);
        CHECK_INT(t.ready, 1);
        test_framing_close(&t);
    }
}

TEST(a_refusal_fails_the_candidate_with_its_words)
{
    static const struct {
        uint8_t code;
        int err;
        const char *text;
    } rows[] = {
        {1, TAPS_E_PROTOCOL,
         "mqtt: the server refuses, with return code 1: it does not speak this version of the protocol"},
        {2, TAPS_E_PROTOCOL, "mqtt: the server refuses, with return code 2: the client identifier is not allowed"},
        {3, TAPS_E_PROTOCOL, "mqtt: the server refuses, with return code 3: its service is not available"},
        {4, TAPS_E_PERMISSION, "mqtt: the server refuses, with return code 4: the user name or the password is wrong"},
        {5, TAPS_E_PERMISSION, "mqtt: the server refuses, with return code 5: the client is not authorised"},
        {6, TAPS_E_DEFRAMING, "mqtt: a CONNACK that is malformed: flags 0, return code 6"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_framing t;
        uint8_t connack[] = {0x20, 2, 0, rows[i].code};
        test_framing_open_text(&t, "mqtt", false);
        test_framing_feed(&t, connack, sizeof(connack));
        CHECK_INT(t.ready, 0);
        CHECK(test_framing_failed(&t, rows[i].err));
        CHECK_TEXT(t.error.text, rows[i].text);
        test_framing_close(&t);
    }
}

TEST(what_is_no_connack_fails_the_candidate)
{
    static const struct {
        const char *bytes;
        size_t length;
    } rows[] = {
        {BYTES("\x20\2\2\0")},
        {BYTES("\x20\2\1\1")},
        {BYTES("\x20\2\1\0")},
        {BYTES("\x20\1\0")},
        {BYTES("\x20\3\0\0\0")},
        {BYTES("\x30\4\0\1tx")},
        {BYTES("\xd0\0")},
        {BYTES("\x10\0")},
        {BYTES("HTTP/1.1 400 ")},
        {BYTES("\x21\2\0\0")},
        {BYTES("\x20\xff\xff\xff\xff")},
        {BYTES("\x20\x80\x80\x80\x01")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_framing t;
        test_framing_open_text(&t, "mqtt", false);
        test_framing_feed(&t, rows[i].bytes, rows[i].length);
        CHECK_INT(t.ready, 0);
        CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
        test_framing_close(&t);
    }
}

TEST(a_peer_that_ends_before_its_connack_fails_the_candidate)
{
    struct test_framing t;
    test_framing_open_text(&t, "mqtt", false);
    test_framing_feed(&t, "\x20\2\0", 3);
    test_framing_end(&t);
    CHECK_INT(t.ready, 0);
    CHECK(test_framing_failed(&t, TAPS_E_ESTABLISHMENT));
    test_framing_close(&t);
}

TEST(options_that_contradict_each_other_fail_before_anything_is_sent)
{
    static const char *const rows[] = {"mqtt:password=x", "mqtt:clean-session=no", "mqtt:will-message=x",
                                       "mqtt:will-qos=1", "mqtt:will-retain=yes"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_framing t;
        test_framing_open_text(&t, rows[i], false);
        CHECK(test_framing_failed(&t, TAPS_E_CONFIGURATION));
        CHECK_INT(t.out_length, 0);
        test_framing_close(&t);
    }
}

TEST(options_out_of_range_are_refused)
{
    static const char *const rows[] = {"keep-alive=65536", "keep-alive=",   "qos=3",        "subscribe=a#",
                                       "subscribe=",       "topic=a/+",     "topic=",       "in-flight=0",
                                       "in-flight=1001",   "maximum=0",     "maximum=1G",   "clean-session=perhaps",
                                       "client-id=\xff",   "user=\xc0\x80", "will-qos=3",   "subscribe=a\\,",
                                       "subscribe-qos=3",  "raw=2",         "will-topic=#", "will-retain=x"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        taps_framer *framer = NULL;
        char text[64];
        snprintf(text, sizeof(text), "mqtt:%s", rows[i]);
        CHECK_INT(taps_framer_new_text(text, &framer), TAPS_E_RANGE);
    }
    taps_framer *framer;
    CHECK_INT(taps_framer_new_text("mqtt:colour=red", &framer), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(taps_framer_new("mqtt", &framer), 0);
    char longest[300];
    memset(longest, 'a', sizeof(longest));
    longest[256] = '\0';
    CHECK_INT(taps_framer_set(framer, "client-id", longest), TAPS_E_RANGE);
    longest[255] = '\0';
    CHECK_INT(taps_framer_set(framer, "client-id", longest), 0);
    for (int i = 0; i < 8; i++) /* 2048 bytes are there for all filters and their terminators */
        CHECK_INT(taps_framer_set(framer, "subscribe", longest), 0);
    CHECK_INT(taps_framer_set(framer, "subscribe", "a"), TAPS_E_RANGE);
    taps_framer_free(framer);
}

TEST(it_does_not_stand_over_datagrams)
{
    struct test_framing t;
    taps_framer *framer;
    CHECK_INT(taps_framer_new("mqtt", &framer), 0);
    const taps_framer *list = framer;
    test_framing_open(&t, &list, 1, false, true);
    taps_framer_free(framer);
    CHECK(test_framing_failed(&t, TAPS_E_CONFIGURATION));
    test_framing_close(&t);
}

/* --------------------------------------------------------------------------------------------- subscribing */

TEST(filters_of_the_option_are_subscribed_to_before_it_is_ready)
{
    struct test_framing t;
    test_framing_open_text(&t, "mqtt:subscribe=a/+\\,b,subscribe=#,subscribe-qos=1", false);
    test_framing_forget(&t);
    test_framing_feed(&t, BYTES(CONNACK));
    CHECK(test_framing_wrote(&t, BYTES("\x82\x10\0\1\0\3a/+\1\0\1b\1\0\1#\1")));
    CHECK_INT(t.ready, 0);
    test_framing_feed_split(&t, BYTES("\x90\5\0\1\0\1\2"), 1);
    CHECK_INT(t.ready, 1);
    CHECK_INT(t.count, 0);
    test_framing_close(&t);
}

TEST(a_subscription_that_is_refused_fails_the_candidate)
{
    struct test_framing t;
    test_framing_open_text(&t, "mqtt:subscribe=a\\,secret", false);
    test_framing_feed(&t, BYTES(CONNACK "\x90\4\0\1\0\x80"));
    CHECK_INT(t.ready, 0);
    CHECK(test_framing_failed(&t, TAPS_E_PROTOCOL));
    CHECK_TEXT(t.error.text, "mqtt: the server refuses the subscription to secret");
    test_framing_close(&t);
}

/* MQTT-3.8.4: the server may send what matches before it says so. */
TEST(a_publish_before_the_suback_makes_it_ready)
{
    struct test_framing t;
    test_framing_open_text(&t, "mqtt:subscribe=a", false);
    test_framing_feed(&t, BYTES(CONNACK "\x30\4\0\1ax"));
    CHECK_INT(t.ready, 1);
    CHECK(test_framing_got_text(&t, 0, "x"));
    test_framing_feed(&t, BYTES("\x90\3\0\1\0\x30\4\0\1ay"));
    CHECK(test_framing_got_text(&t, 1, "y"));
    test_framing_close(&t);
    test_framing_open_text(&t, "mqtt:subscribe=a", false);
    test_framing_feed(&t, BYTES(CONNACK "\x30\4\0\1ax\x90\3\0\1\x80"));
    CHECK(test_framing_failed(&t, TAPS_E_PROTOCOL));
    test_framing_close(&t);
}

TEST(a_message_can_subscribe_and_unsubscribe)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt");
    CHECK_INT(mqtt_send_with(&t, "", WITH("type", "subscribe", "topic", "a/#", "topic", "b", "qos", "2")), 0);
    CHECK(test_framing_wrote(&t, BYTES("\x82\x0c\0\1\0\3a/#\2\0\1b\2")));
    test_framing_feed(&t, BYTES("\x90\4\0\1\2\x80"));
    CHECK(test_framing_got(&t, 0, "\2\x80", 2));
    CHECK(mqtt_has(&t, 0, "type", "suback") && mqtt_has(&t, 0, "packet-id", "1"));
    CHECK_INT(mqtt_send_with(&t, "", WITH("type", "unsubscribe", "topic", "b", "packet-id", "700")), 0);
    CHECK(test_framing_wrote(&t, BYTES("\xa2\5\2\xbc\0\1b")));
    test_framing_feed(&t, BYTES("\xb0\2\2\xbc"));
    CHECK(test_framing_got_text(&t, 1, ""));
    CHECK(mqtt_has(&t, 1, "type", "unsuback") && mqtt_has(&t, 1, "packet-id", "700"));
    test_framing_close(&t);
}

TEST(messages_that_are_no_packet_are_refused_alone)
{
    const char *const *const rows[] = {
        WITH("qos", "0"),
        WITH("topic", ""),
        WITH("topic", "a/+"),
        WITH("topic", "a\xff"),
        WITH("topic", "a", "qos", "3"),
        WITH("topic", "a", "qos", "x"),
        WITH("topic", "a", "retain", "perhaps"),
        WITH("topic", "a", "dup", "1"),
        WITH("topic", "a", "packet-id", "5"),
        WITH("topic", "a", "qos", "1", "packet-id", "0"),
        WITH("topic", "a", "qos", "1", "packet-id", "65536"),
        WITH("topic", "a", "type", "pingreq"),
        WITH("topic", "a", "type", "connect"),
        WITH("topic", "a", "type", "nothing"),
        WITH("topic", "a", "type", "subscribe"), /* it has a payload */
    };
    struct test_framing t;
    mqtt_open_client(&t, "mqtt");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        CHECK_INT(mqtt_send_with(&t, "x", rows[i]), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(mqtt_send_with(&t, "", WITH("type", "subscribe")), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(mqtt_send_with(&t, "", WITH("type", "subscribe", "topic", "a#")), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(mqtt_send_with(&t, "", WITH("type", "unsubscribe", "topic", "")), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(t.out_length, 0);
    CHECK_INT(mqtt_send_with(&t, "x", WITH("topic", "a")), 0);
    CHECK(test_framing_wrote(&t, BYTES("\x30\4\0\1ax")));
    test_framing_close(&t);
}

/* ---------------------------------------------------------------------------------------------- publishing */

/* proves API-130 */
TEST(a_message_is_the_payload_of_a_publish)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:topic=t/d");
    CHECK_INT(test_framing_send_text(&t, "hello"), 0);
    CHECK(test_framing_wrote(&t, BYTES("\x30\x0a\0\3t/dhello")));
    CHECK_INT(mqtt_send_with(&t, "", WITH("topic", "e", "retain", "true")), 0);
    CHECK(test_framing_wrote(&t, BYTES("\x31\3\0\1e")));
    CHECK_INT(t.sent, 2);
    test_framing_close(&t);
    mqtt_open_client(&t, "mqtt:topic=d,qos=1,retain=yes");
    CHECK_INT(test_framing_send_text(&t, "x"), 0);
    CHECK(test_framing_wrote(&t, BYTES("\x33\6\0\1d\0\1x")));
    CHECK_INT(mqtt_send_with(&t, "x", WITH("qos", "0", "retain", "0")), 0);
    CHECK(test_framing_wrote(&t, BYTES("\x30\4\0\1dx")));
    test_framing_close(&t);
}

TEST(a_publish_becomes_a_message_however_it_is_split)
{
    static const char bytes[] = "\x30\7\0\3a/bhi\x3b\6\0\1c\1\2!\x31\3\0\1d";
    for (size_t step = 1; step < sizeof(bytes); step++) {
        struct test_framing t;
        mqtt_open_client(&t, "mqtt");
        test_framing_feed_split(&t, BYTES(bytes), step);
        CHECK_INT(t.count, 3);
        CHECK(test_framing_got_text(&t, 0, "hi"));
        CHECK(mqtt_has(&t, 0, "topic", "a/b") && mqtt_has(&t, 0, "qos", "0") && mqtt_has(&t, 0, "retain", NULL));
        CHECK(mqtt_has(&t, 0, "packet-id", NULL) && mqtt_has(&t, 0, "dup", NULL) && mqtt_has(&t, 0, "type", NULL));
        CHECK(test_framing_got_text(&t, 1, "!"));
        CHECK(mqtt_has(&t, 1, "topic", "c") && mqtt_has(&t, 1, "qos", "1") && mqtt_has(&t, 1, "retain", "1"));
        CHECK(mqtt_has(&t, 1, "packet-id", "258") && mqtt_has(&t, 1, "dup", "1"));
        CHECK(test_framing_got_text(&t, 2, ""));
        CHECK(mqtt_has(&t, 2, "topic", "d") && mqtt_has(&t, 2, "retain", "1"));
        CHECK(test_framing_wrote(&t, BYTES("\x40\2\1\2")));
        test_framing_end(&t);
        CHECK_INT(t.ends, 1);
        test_framing_close(&t);
    }
}

TEST(the_peers_end_in_a_packet_is_truncation_at_every_byte)
{
    static const char bytes[] = "\x32\7\0\1c\1\2hi";
    for (size_t cut = 1; cut < sizeof(bytes) - 1; cut++) {
        struct test_framing t;
        mqtt_open_client(&t, "mqtt");
        test_framing_feed(&t, bytes, cut);
        test_framing_end(&t);
        CHECK(test_framing_failed(&t, TAPS_E_TRUNCATED));
        CHECK_INT(t.ends, 0);
        CHECK_INT(t.out_length, 0); /* it is not acknowledged */
        test_framing_close(&t);
    }
}

TEST(a_payload_is_acknowledged_with_its_last_byte)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt");
    test_framing_feed(&t, BYTES("\x32\7\0\1c\1\2"));
    test_framing_feed_text(&t, "h");
    CHECK_INT(t.messages[0].length, 1);
    CHECK(test_framing_wrote_text(&t, ""));
    test_framing_feed_text(&t, "i");
    CHECK(test_framing_got_text(&t, 0, "hi"));
    CHECK(test_framing_wrote(&t, BYTES("\x40\2\1\2")));
    test_framing_close(&t);
}

TEST(a_topic_longer_than_any_buffer_at_hand_comes_whole)
{
    static uint8_t packet[4 + 2 + 65535];
    struct test_framing t;
    mqtt_open_client(&t, "mqtt");
    memcpy(packet, "\x30\x81\x80\x04\xff\xff", 6);
    memset(packet + 6, 'a', 65535);
    test_framing_feed_split(&t, packet, sizeof(packet), 1000);
    CHECK_INT(t.count, 1);
    CHECK_INT(strlen(test_framing_meta(&t, 0, "mqtt", "topic")), 65535);
    test_framing_close(&t);
}

/* ------------------------------------------------------------------------------------------------ QoS 1 and 2 */

TEST(what_is_not_acknowledged_is_limited_and_the_rest_waits)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:topic=t,qos=1,in-flight=2");
    for (int i = 0; i < 4; i++)
        CHECK_INT(test_framing_send_text(&t, "x"), 0);
    CHECK(test_framing_wrote(&t, BYTES("\x32\6\0\1t\0\1x\x32\6\0\1t\0\2x")));
    test_framing_feed(&t, BYTES("\x40\2\0\1"));
    CHECK(test_framing_wrote(&t, BYTES("\x32\6\0\1t\0\3x")));
    test_framing_feed(&t, BYTES("\x40\2\0\1")); /* again: it changes nothing */
    CHECK(test_framing_wrote_text(&t, ""));
    test_framing_feed(&t, BYTES("\x40\2\0\2\x40\2\0\3"));
    CHECK(test_framing_wrote(&t, BYTES("\x32\6\0\1t\0\4x")));
    CHECK_INT(t.sent, 4);
    test_framing_close(&t);
}

TEST(an_identifier_of_the_application_is_taken_when_it_is_free)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:topic=t");
    CHECK_INT(mqtt_send_with(&t, "x", WITH("qos", "1", "packet-id", "9", "dup", "yes")), 0);
    CHECK(test_framing_wrote(&t, BYTES("\x3a\6\0\1t\0\x09x")));
    CHECK_INT(mqtt_send_with(&t, "y", WITH("qos", "1", "packet-id", "9")), 0);
    CHECK(test_framing_wrote_text(&t, ""));
    test_framing_feed(&t, BYTES("\x40\2\0\x09"));
    CHECK(test_framing_wrote(&t, BYTES("\x32\6\0\1t\0\x09y")));
    test_framing_close(&t);
}

TEST(identifiers_go_round_and_never_are_zero_or_in_use)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:topic=t,qos=1");
    t.keeps = false;
    CHECK_INT(mqtt_send_with(&t, "", WITH("packet-id", "3")), 0);
    for (unsigned i = 1; i <= 65540; i++) {
        test_framing_forget(&t);
        CHECK_INT(test_framing_send_text(&t, ""), 0);
        unsigned id = (unsigned)t.out[5] << 8 | t.out[6];
        if (id == 0 || id == 3)
            CHECK_INT(id, 1);
        uint8_t ack[] = {0x40, 2, t.out[5], t.out[6]};
        test_framing_feed(&t, ack, 4);
    }
    test_framing_close(&t);
}

TEST(qos_2_out_has_its_four_steps)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:topic=t,qos=2,in-flight=1");
    CHECK_INT(test_framing_send_text(&t, "x"), 0);
    CHECK_INT(test_framing_send_text(&t, "y"), 0);
    CHECK(test_framing_wrote(&t, BYTES("\x34\6\0\1t\0\1x")));
    test_framing_feed(&t, BYTES("\x40\2\0\1")); /* the acknowledgement of QoS 1 is none */
    CHECK(test_framing_wrote_text(&t, ""));
    test_framing_feed(&t, BYTES("\x50\2\0\1"));
    CHECK(test_framing_wrote(&t, BYTES("\x62\2\0\1")));
    test_framing_feed(&t, BYTES("\x50\2\0\1"));
    CHECK(test_framing_wrote(&t, BYTES("\x62\2\0\1")));
    test_framing_feed(&t, BYTES("\x70\2\0\1"));
    CHECK(test_framing_wrote(&t, BYTES("\x34\6\0\1t\0\2y")));
    test_framing_close(&t);
}

TEST(qos_2_in_is_delivered_once)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt");
    test_framing_feed(&t, BYTES("\x34\6\0\1t\0\7x"));
    test_framing_feed_split(&t, BYTES("\x3c\6\0\1t\0\7x"), 1);
    CHECK_INT(t.count, 1);
    CHECK(test_framing_wrote(&t, BYTES("\x50\2\0\7\x50\2\0\7")));
    test_framing_feed(&t, BYTES("\x62\2\0\7\x34\6\0\1t\0\7y"));
    CHECK_INT(t.count, 2);
    CHECK(test_framing_got_text(&t, 1, "y"));
    CHECK(test_framing_wrote(&t, BYTES("\x70\2\0\7\x50\2\0\7")));
    test_framing_close(&t);
}

/* ---------------------------------------------------------------------------------------------- keep-alive */

TEST(a_client_pings_before_its_keep_alive_is_over)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:keep-alive=10,topic=t");
    test_framing_pass(&t, 5000);
    CHECK_INT(test_framing_send_text(&t, "x"), 0);
    test_framing_forget(&t);
    test_framing_pass(&t, 5000);
    CHECK(test_framing_wrote_text(&t, ""));
    test_framing_pass(&t, 5000);
    CHECK(test_framing_wrote(&t, BYTES("\xc0\0")));
    test_framing_feed(&t, BYTES("\xd0\0"));
    for (int i = 0; i < 10; i++) {
        test_framing_pass(&t, 5000);
        CHECK(test_framing_wrote(&t, BYTES("\xc0\0")));
        test_framing_feed(&t, BYTES("\xd0\0"));
    }
    CHECK_INT(t.closed, 0);
    test_framing_close(&t);
}

TEST(a_server_that_does_not_answer_a_ping_is_given_up)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:keep-alive=10");
    for (int i = 0; i < 3; i++)
        test_framing_pass(&t, 5000);
    CHECK_INT(t.closed, 0);
    test_framing_pass(&t, 5000);
    CHECK(test_framing_failed(&t, TAPS_E_TIMEOUT));
    CHECK_TEXT(t.error.text, "mqtt: the server does not answer a PINGREQ; keep-alive is 10 s");
    test_framing_close(&t);
}

TEST(a_keep_alive_of_zero_is_none)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:keep-alive=0");
    test_framing_pass(&t, 1000000);
    CHECK(test_framing_wrote_text(&t, ""));
    CHECK_INT(t.closed, 0);
    test_framing_close(&t);
}

TEST(nobody_is_silent_while_the_application_does_not_receive)
{
    struct test_framing t;
    mqtt_open_server(&t, "mqtt");
    tapsi_layer_want(t.top, 0);
    test_framing_feed(&t, BYTES("\x32\6\0\1t\0\1x\xc0\0"));
    CHECK(test_framing_wrote(&t, BYTES("\x40\2\0\1")));
    for (int i = 0; i < 10; i++)
        test_framing_pass(&t, 5000);
    CHECK_INT(t.closed, 0);
    CHECK_INT(t.count, 0);
    tapsi_layer_want(t.top, 1);
    test_framing_turn(&t);
    CHECK_INT(t.count, 1);
    CHECK(test_framing_wrote(&t, BYTES("\xd0\0")));
    for (int i = 0; i < 4; i++)
        test_framing_pass(&t, 5000);
    CHECK(test_framing_failed(&t, TAPS_E_TIMEOUT));
    test_framing_close(&t);
}

TEST(pings_and_acknowledgements_need_no_receive)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:topic=t,qos=1,in-flight=1,keep-alive=10");
    tapsi_layer_want(t.top, 0);
    CHECK_INT(test_framing_send_text(&t, "x"), 0);
    CHECK_INT(test_framing_send_text(&t, "y"), 0);
    test_framing_feed(&t, BYTES("\x40\2\0\1"));
    CHECK_INT(t.sent, 2);
    test_framing_feed(&t, BYTES("\x30\3\0\1a\x30\3\0\1b")); /* empty ones wait too */
    CHECK_INT(t.count, 0);
    CHECK_INT(t.wire->want, 0);
    test_framing_close(&t);
}

/* ------------------------------------------------------------------------------------------------- the end */

TEST(close_waits_for_acknowledgements_and_says_disconnect)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:topic=t,qos=1");
    CHECK_INT(test_framing_send_text(&t, "x"), 0);
    test_framing_forget(&t);
    test_framing_shut(&t);
    CHECK(!t.closed_below);
    test_framing_feed(&t, BYTES("\x32\6\0\1t\0\1x")); /* nobody will have it: it is not acknowledged */
    CHECK_INT(t.count, 0);
    CHECK(test_framing_wrote_text(&t, ""));
    test_framing_feed(&t, BYTES("\x40\2\0\1"));
    CHECK(test_framing_wrote(&t, BYTES("\xe0\0")));
    CHECK_INT(t.closed, 1);
    CHECK_INT(t.error.pub.code, 0);
    test_framing_close(&t);
}

TEST(the_end_of_the_peer_behind_the_last_word_is_no_error)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:topic=t,qos=1");
    CHECK_INT(test_framing_send_text(&t, "x"), 0);
    test_framing_forget(&t);
    test_framing_shut(&t);
    t.stalled = true; /* DISCONNECT takes its time */
    test_framing_feed(&t, BYTES("\x40\2\0\1"));
    test_framing_end(&t);
    t.stalled = false;
    tapsi_layer_dirty(t.wire);
    test_framing_turn(&t);
    CHECK(test_framing_wrote(&t, BYTES("\xe0\0")));
    CHECK_INT(t.closed, 1);
    CHECK_INT(t.error.pub.code, 0);
    test_framing_close(&t);
}

TEST(close_does_not_wait_for_ever)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:topic=t,qos=1");
    CHECK_INT(test_framing_send_text(&t, "x"), 0);
    test_framing_forget(&t);
    test_framing_shut(&t);
    test_framing_pass(&t, 4999);
    CHECK(!t.closed_below);
    test_framing_pass(&t, 1);
    CHECK(test_framing_wrote(&t, BYTES("\xe0\0")));
    CHECK_INT(t.closed, 1);
    test_framing_close(&t);
}

TEST(close_in_the_middle_of_a_payload_drops_its_rest)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:topic=t,qos=1");
    CHECK_INT(test_framing_send_text(&t, "x"), 0);
    test_framing_feed(&t, BYTES("\x32\x08\0\1t\0\1a"));
    test_framing_forget(&t);
    test_framing_shut(&t);
    test_framing_feed(&t, BYTES("bc\x40\2\0\1"));
    CHECK(test_framing_wrote(&t, BYTES("\xe0\0")));
    CHECK_INT(t.closed, 1);
    test_framing_close(&t);
}

TEST(a_peer_that_ends_while_it_is_waited_for_ends_the_wait)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:topic=t,qos=1");
    CHECK_INT(test_framing_send_text(&t, "x"), 0);
    test_framing_shut(&t);
    test_framing_end(&t);
    CHECK_INT(t.closed, 1);
    test_framing_close(&t);
}

/* proves API-104 */
TEST(a_final_message_leaves_the_other_direction_open)
{
    struct test_framing t;
    mqtt_open_client(&t, "mqtt:topic=t");
    CHECK_INT(test_framing_send(&t, "x", 1, TAPSI_OP_END | TAPSI_OP_FINAL, NULL), 0);
    CHECK(test_framing_wrote(&t, BYTES("\x30\4\0\1tx")));
    CHECK(!t.final_out);
    test_framing_feed(&t, BYTES("\x30\4\0\1ty"));
    CHECK(test_framing_got_text(&t, 0, "y"));
    test_framing_close(&t);
}
