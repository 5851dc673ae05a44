#include "message/test_mqtt.h"

#include "base/test.h"

void mqtt_open_client(struct test_framing *t, const char *text)
{
    test_framing_open_text(t, text, false);
    CHECK_INT(t->ready, 0);
    test_framing_feed(t, BYTES(CONNACK));
    CHECK_INT(t->ready, 1);
    test_framing_forget(t);
}

void mqtt_open_server(struct test_framing *t, const char *text)
{
    test_framing_open_text(t, text, true);
    CHECK_INT(t->ready, 0);
    test_framing_feed(t, BYTES(CONNECT));
    CHECK_INT(t->ready, 1);
    CHECK(test_framing_wrote(t, BYTES(CONNACK)));
}

int mqtt_send_with(struct test_framing *t, const char *payload, const char *const *texts)
{
    struct tapsi_meta *meta = NULL;
    for (; *texts; texts += 2)
        CHECK_INT(tapsi_meta_add(&meta, &t->mem, "mqtt", texts[0], texts[1]), 0);
    int err = test_framing_send(t, payload, strlen(payload), TAPSI_OP_END, meta);
    tapsi_meta_unref(meta);
    return err;
}

bool mqtt_has(const struct test_framing *t, size_t index, const char *key, const char *value)
{
    const char *text = test_framing_meta(t, index, "mqtt", key);
    return value ? text && strcmp(text, value) == 0 : !text;
}

void mqtt_fails(bool server, const char *bytes, size_t length, const char *why)
{
    for (size_t step = 1; step <= length; step += length > 1 ? length - 1 : 1) {
        struct test_framing t;
        if (server)
            mqtt_open_server(&t, "mqtt:maximum=1000");
        else
            mqtt_open_client(&t, "mqtt:maximum=1000");
        test_framing_feed_split(&t, bytes, length, step);
        CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
        CHECK_TEXT(t.error.text, why);
        test_framing_close(&t);
    }
}
