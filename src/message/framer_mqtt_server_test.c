/* The MQTT Framer as a server; and what is wrong, or raw, in both. */
#include <stdio.h>
#include "base/test.h"
#include "message/test_mqtt.h"

/* ---------------------------------------------------------------------------------------------- the server */

TEST(a_server_takes_a_client_and_what_it_publishes)
{
    static const char bytes[] = "\x10\x24\0\4MQTT\4\xc6\0\0\0\2me\0\1w\0\4gone\0\4anna\0\5a\0b\0c"
                                "\x30\4\0\1tx\x82\x0c\0\5\0\3a/#\1\0\1b\2\xa2\5\0\6\0\1b\xc0\0\xe0\0";
    for (size_t step = 1; step < sizeof(bytes); step++) {
        struct test_framing t;
        test_framing_open_text(&t, "mqtt", true);
        test_framing_feed_split(&t, BYTES(bytes), step);
        CHECK_INT(t.ready, 1);
        CHECK_INT(t.count, 3);
        CHECK(test_framing_got_text(&t, 0, "x"));
        CHECK(mqtt_has(&t, 0, "client-id", "me") && mqtt_has(&t, 0, "user", "anna") &&
              mqtt_has(&t, 0, "will-topic", "w"));
        CHECK(mqtt_has(&t, 0, "will-message", "gone") && mqtt_has(&t, 0, "topic", "t"));
        CHECK(test_framing_got_text(&t, 1, "") && mqtt_has(&t, 1, "type", "subscribe") &&
              mqtt_has(&t, 1, "packet-id", "5"));
        CHECK(mqtt_has(&t, 1, "topic", "a/#") && mqtt_has(&t, 1, "qos", "1") && mqtt_has(&t, 1, "client-id", NULL));
        CHECK(mqtt_has(&t, 2, "type", "unsubscribe") && mqtt_has(&t, 2, "topic", "b"));
        CHECK(test_framing_wrote(&t, BYTES(CONNACK "\x90\4\0\5\1\2\xb0\2\0\6\xd0\0")));
        CHECK_INT(t.ends, 1);
        test_framing_end(&t);
        CHECK_INT(t.ends, 1);
        CHECK_INT(t.closed, 0);
        test_framing_close(&t);
    }
}

TEST(a_server_publishes_too)
{
    struct test_framing t;
    mqtt_open_server(&t, "mqtt:topic=t");
    CHECK_INT(mqtt_send_with(&t, "x", WITH("qos", "1")), 0);
    CHECK(test_framing_wrote(&t, BYTES("\x32\6\0\1t\0\1x")));
    CHECK_INT(mqtt_send_with(&t, "", WITH("type", "subscribe", "topic", "a")), TAPS_E_MESSAGE_PROPERTIES);
    test_framing_feed(&t, BYTES("\x40\2\0\1"));
    test_framing_shut(&t);
    CHECK(test_framing_wrote_text(&t, ""));
    CHECK_INT(t.closed, 1);
    test_framing_close(&t);
}

TEST(a_server_refuses_clients_with_a_return_code)
{
    static const struct {
        const char *options, *bytes;
        size_t length;
        uint8_t code;
        int err;
    } rows[] = {
        {"mqtt", BYTES("\x10\x0c\0\4MQTT\5\2\0\0\0\0"), 1, TAPS_E_PROTOCOL},
        {"mqtt", BYTES("\x10\x0c\0\4MQTT\3\2\0\0\0\0"), 1, TAPS_E_PROTOCOL},
        {"mqtt", BYTES("\x10\x0c\0\4MQTT\4\0\0\0\0\0"), 2, TAPS_E_PROTOCOL},
        {"mqtt:user=a", BYTES("\x10\x0c\0\4MQTT\4\2\0\0\0\0"), 4, TAPS_E_PERMISSION},
        {"mqtt:user=a", BYTES("\x10\x0f\0\4MQTT\4\x82\0\0\0\0\0\1b"), 4, TAPS_E_PERMISSION},
        {"mqtt:user=a,password=pw", BYTES("\x10\x0f\0\4MQTT\4\x82\0\0\0\0\0\1a"), 4, TAPS_E_PERMISSION},
        {"mqtt:user=a,password=pw", BYTES("\x10\x13\0\4MQTT\4\xc2\0\0\0\0\0\1a\0\2px"), 4, TAPS_E_PERMISSION},
        {"mqtt:user=a,password=pw", BYTES("\x10\x15\0\4MQTT\4\xc2\0\0\0\0\0\1a\0\4pwpw"), 4, TAPS_E_PERMISSION},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_framing t;
        uint8_t connack[] = {0x20, 2, 0, rows[i].code};
        test_framing_open_text(&t, rows[i].options, true);
        test_framing_feed(&t, rows[i].bytes, rows[i].length);
        CHECK_INT(t.ready, 0);
        CHECK(test_framing_wrote(&t, connack, 4));
        CHECK(test_framing_failed(&t, rows[i].err));
        test_framing_close(&t);
    }
    struct test_framing t;
    test_framing_open_text(&t, "mqtt:user=a,password=pw", true);
    test_framing_feed(&t, BYTES("\x10\x13\0\4MQTT\4\xc2\0\0\0\0\0\1a\0\2pw"));
    CHECK_INT(t.ready, 1);
    test_framing_close(&t);
}

TEST(what_is_no_connect_fails_without_an_answer)
{
    static const struct {
        const char *bytes;
        size_t length;
        const char *why;
    } rows[] = {
        {BYTES("\x30\4\0\1tx"), "mqtt: a publish before the connect"},
        {BYTES("\xc0\0"), "mqtt: a pingreq before the connect"},
        {BYTES("\x10\x0e\0\6MQIsdp\3\2\0\0\0\0"), "mqtt: a CONNECT of another protocol than MQTT"},
        {BYTES("\x10\x0c\0\4mqtt\4\2\0\0\0\0"), "mqtt: a CONNECT of another protocol than MQTT"},
        {BYTES("\x10\x0c\0\4MQTT\4\3\0\0\0\0"), "mqtt: a CONNECT with the reserved flag"},
        {BYTES("\x10\x0c\0\4MQTT\4\x1a\0\0\0\0"), "mqtt: a CONNECT with flags of a will that contradict each other"},
        {BYTES("\x10\x12\0\4MQTT\4\x1e\0\0\0\0\0\1w\0\1x"),
         "mqtt: a CONNECT with flags of a will that contradict each other"},
        {BYTES("\x10\x0f\0\4MQTT\4\x42\0\0\0\0\0\1p"), "mqtt: a CONNECT with a password and no user"},
        {BYTES("\x10\x0d\0\4MQTT\4\2\0\0\0\0!"), "mqtt: a CONNECT whose fields do not fit its length"},
        {BYTES("\x10\x0c\0\4MQTT\4\2\0\0\0\1"), "mqtt: a CONNECT whose fields do not fit its length"},
        {BYTES("\x10\x0d\0\4MQTT\4\2\0\0\0\1\xff"), "mqtt: a CONNECT with a text that is not UTF-8"},
        {BYTES("\x10\x12\0\4MQTT\4\6\0\0\0\0\0\1#\0\1x"), "mqtt: a CONNECT with a will for what is no topic"},
        {BYTES("\x10\x09"), "mqtt: a connect of 9 bytes; 10 to 131072 are allowed"},
        {BYTES("\x10\x81\x80\x08"), "mqtt: a connect of 131073 bytes; 10 to 131072 are allowed"},
        {BYTES("\x10\xff\xff\xff\xff"), "mqtt: a remaining length of more than four bytes"},
        {BYTES("GET / HTTP/1.1\r\n"), "mqtt: a packet with flags that are reserved"},
        {BYTES("\x16\3\1"), "mqtt: a packet with flags that are reserved"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t step = 1; step <= rows[i].length; step += rows[i].length - 1) {
            struct test_framing t;
            test_framing_open_text(&t, "mqtt", true);
            test_framing_feed_split(&t, rows[i].bytes, rows[i].length, step);
            CHECK_INT(t.ready, 0);
            CHECK_INT(t.out_length, 0);
            CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
            CHECK_TEXT(t.error.text, rows[i].why);
            test_framing_close(&t);
        }
    }
}

TEST(a_client_that_is_silent_too_long_is_given_up)
{
    struct test_framing t;
    mqtt_open_server(&t, "mqtt"); /* its CONNECT says 10 s */
    test_framing_pass(&t, 5000);
    test_framing_feed(&t, BYTES("\xc0\0"));
    for (int i = 0; i < 3; i++) {
        test_framing_pass(&t, 5000);
        CHECK_INT(t.closed, 0);
    }
    test_framing_pass(&t, 5000);
    CHECK(test_framing_failed(&t, TAPS_E_TIMEOUT));
    CHECK_TEXT(t.error.text, "mqtt: the client was silent for one and a half times its keep-alive of 10 s");
    test_framing_close(&t);
}

TEST(a_client_that_goes_without_disconnect_is_told)
{
    struct test_framing t;
    mqtt_open_server(&t, "mqtt");
    test_framing_end(&t);
    CHECK(test_framing_failed(&t, TAPS_E_TRUNCATED));
    CHECK_TEXT(t.error.text, "mqtt: the client has gone without a DISCONNECT");
    test_framing_close(&t);
}

TEST(what_follows_a_disconnect_is_nobodys)
{
    struct test_framing t;
    mqtt_open_server(&t, "mqtt");
    test_framing_feed(&t, BYTES("\xe0\0\x30\4\0\1tx\xc0\0"));
    test_framing_feed(&t, BYTES("\xff\xff"));
    CHECK_INT(t.ends, 1);
    CHECK_INT(t.bytes, 0);
    CHECK(test_framing_wrote_text(&t, ""));
    test_framing_shut(&t);
    CHECK_INT(t.closed, 1);
    CHECK_INT(t.error.pub.code, 0);
    test_framing_close(&t);
}

/* ------------------------------------------------------------------------------------------------- bad input */

TEST(packets_that_are_wrong_end_the_connection_with_their_cause)
{
    static const struct {
        bool server;
        const char *bytes;
        size_t length;
        const char *why;
    } rows[] = {
        {false, BYTES("\x30\xff\xff\xff\xff"), "mqtt: a remaining length of more than four bytes"},
        {false, BYTES("\x30\xff\xff\xff\x7f\0\1t"),
         "mqtt: a payload of 268435452 bytes was announced; the maximum is 1000"},
        {false, BYTES("\x30\xec\7\0\1t"), "mqtt: a payload of 1001 bytes was announced; the maximum is 1000"},
        {false, BYTES("\x30\1\0"), "mqtt: a PUBLISH whose topic does not fit its length"},
        {false, BYTES("\x30\0"), "mqtt: a PUBLISH whose topic does not fit its length"},
        {false, BYTES("\x30\3\0\2t"), "mqtt: a PUBLISH whose topic does not fit its length"},
        {false, BYTES("\x32\4\0\1t\0"), "mqtt: a PUBLISH whose topic does not fit its length"},
        {false, BYTES("\x30\2\0\0"), "mqtt: a PUBLISH for what is no topic"},
        {false, BYTES("\x30\3\0\1#"), "mqtt: a PUBLISH for what is no topic"},
        {false, BYTES("\x30\3\0\1\xff"), "mqtt: a PUBLISH for what is no topic"},
        {false, BYTES("\x30\3\0\1\0"), "mqtt: a PUBLISH for what is no topic"},
        {false, BYTES("\x32\5\0\1t\0\0"), "mqtt: a PUBLISH with a packet identifier of 0"},
        {false, BYTES("\x36\5\0\1t\0\1"), "mqtt: a PUBLISH of QoS 3"},
        {false, BYTES("\x38\3\0\1t"), "mqtt: a PUBLISH of QoS 0 that is a duplicate"},
        {false, BYTES("\x20\2\0\0"), "mqtt: a connack, which the server must not send now"},
        {false, BYTES("\x10\0"), "mqtt: a connect, which the server must not send now"},
        {false, BYTES("\x82\6\0\1\0\1a\0"), "mqtt: a subscribe, which the server must not send now"},
        {false, BYTES("\xc0\0"), "mqtt: a pingreq, which the server must not send now"},
        {false, BYTES("\xe0\0"), "mqtt: a disconnect, which the server must not send now"},
        {false, BYTES("\x40\3\0\1\0"), "mqtt: a puback of 3 bytes; 2 to 2 are allowed"},
        {false, BYTES("\x40\1\0"), "mqtt: a puback of 1 bytes; 2 to 2 are allowed"},
        {false, BYTES("\x40\2\0\0"), "mqtt: an acknowledgement with a packet identifier of 0"},
        {false, BYTES("\xd0\1!"), "mqtt: a pingresp of 1 bytes; 0 to 0 are allowed"},
        {false, BYTES("\x90\3\0\1\0"), "mqtt: an answer to a SUBSCRIBE or UNSUBSCRIBE that was not sent"},
        {false, BYTES("\xb0\2\0\1"), "mqtt: an answer to a SUBSCRIBE or UNSUBSCRIBE that was not sent"},
        {false, BYTES("\x90\xff\xff\xff\x7f"), "mqtt: a suback of 268435455 bytes; 2 to 258 are allowed"},
        {false, BYTES("\xf0\0"), "mqtt: a packet of a reserved type"},
        {false, BYTES("\0\0"), "mqtt: a packet of a reserved type"},
        {true, BYTES("\x10\x0c\0\4MQTT\4\2\0\0\0\0"), "mqtt: a connect, which the client must not send now"},
        {true, BYTES("\x90\3\0\1\0"), "mqtt: a suback, which the client must not send now"},
        {true, BYTES("\xd0\0"), "mqtt: a pingresp, which the client must not send now"},
        {true, BYTES("\x82\2\0\1"), "mqtt: a subscription whose filters do not fit its length"},
        {true, BYTES("\x82\5\0\1\0\1a"), "mqtt: a subscription whose filters do not fit its length"},
        {true, BYTES("\x82\6\0\1\0\1a\3"), "mqtt: a subscription with a QoS that is reserved"},
        {true, BYTES("\x82\6\0\0\0\1a\0"), "mqtt: a subscription with a packet identifier of 0"},
        {true, BYTES("\x82\5\0\1\0\0\0"), "mqtt: a subscription to what is no filter"},
        {true, BYTES("\x82\7\0\1\0\2a#\0"), "mqtt: a subscription to what is no filter"},
        {true, BYTES("\xa2\4\0\1\0\1"), "mqtt: a subscription whose filters do not fit its length"},
        {true, BYTES("\x82\x81\x80\x08"), "mqtt: a subscribe of 131073 bytes; 2 to 131072 are allowed"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        mqtt_fails(rows[i].server, rows[i].bytes, rows[i].length, rows[i].why);
}

TEST(a_suback_of_another_length_than_its_question_is_refused)
{
    static const char *const rows[] = {"\x90\4\0\1\1\1", "\x90\3\0\1\3", "\xb0\2\0\1"};
    static const size_t lengths[] = {6, 5, 4};
    for (size_t i = 0; i < 3; i++) {
        struct test_framing t;
        mqtt_open_client(&t, "mqtt");
        CHECK_INT(mqtt_send_with(&t, "", WITH("type", "subscribe", "topic", "a")), 0);
        test_framing_feed(&t, rows[i], lengths[i]);
        CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
        test_framing_close(&t);
    }
}

TEST(more_filters_in_a_packet_than_anybody_needs_are_refused)
{
    uint8_t packet[5 + 2 + 257 * 4];
    struct test_framing t;
    size_t length = 0;
    for (unsigned count = 256; count <= 257; count++) {
        mqtt_open_server(&t, "mqtt");
        unsigned rest = 2 + count * 4;
        memcpy(packet, (uint8_t[]){0x82, (uint8_t)(rest % 128 + 128), (uint8_t)(rest / 128), 0, 1}, 5);
        length = 5;
        for (unsigned i = 0; i < count; i++, length += 4)
            memcpy(packet + length, "\0\1a\0", 4);
        test_framing_feed(&t, packet, length);
        CHECK_INT(t.closed, count > 256);
        test_framing_close(&t);
    }
}

/* ---------------------------------------------------------------------------------------------------- raw */

TEST(raw_shows_every_packet_as_it_is)
{
    struct test_framing t;
    test_framing_open_text(&t, "mqtt:raw=yes,maximum=100", false);
    CHECK_INT(t.ready, 1);
    CHECK_INT(t.out_length, 0);
    CHECK_INT(mqtt_send_with(&t, "\1\2", WITH("type", "pubrel")), 0);
    CHECK_INT(mqtt_send_with(&t, "x", WITH("type", "publish", "flags", "13")), 0);
    CHECK_INT(mqtt_send_with(&t, "", WITH("type", "PINGREQ")), 0);
    CHECK(test_framing_wrote(&t, BYTES("\x62\2\1\2\x3d\1x\xc0\0")));
    CHECK_INT(mqtt_send_with(&t, "x", WITH("topic", "a")), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(mqtt_send_with(&t, "x", WITH("type", "auth")), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(mqtt_send_with(&t, "x", WITH("type", "puback", "flags", "16")), TAPS_E_MESSAGE_PROPERTIES);
    test_framing_feed_split(&t, BYTES("\x20\2\0\5\x33\3\0\1a"), 1);
    CHECK(test_framing_got(&t, 0, "\0\5", 2) && mqtt_has(&t, 0, "type", "connack") && mqtt_has(&t, 0, "flags", "0"));
    CHECK(test_framing_got(&t, 1, "\0\1a", 3) && mqtt_has(&t, 1, "type", "publish") && mqtt_has(&t, 1, "flags", "3"));
    test_framing_feed(&t, BYTES("\x30\x65"));
    CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
    CHECK_TEXT(t.error.text, "mqtt: a packet of 101 bytes was announced; the maximum is 100");
    test_framing_close(&t);
}

TEST(raw_ends_as_the_stream_does)
{
    struct test_framing t;
    test_framing_open_text(&t, "mqtt:raw", true);
    test_framing_end(&t);
    CHECK_INT(t.ends, 1);
    test_framing_shut(&t);
    CHECK_INT(t.out_length, 0);
    CHECK_INT(t.closed, 1);
    test_framing_close(&t);
}
