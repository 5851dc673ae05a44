/* A stack of layers of this test's: who is asked, who is told, and who is not. */
#include "stack/layer.h"

#include "base/test.h"

struct fake {
    struct tapsi_layer layer;
    int answer; /* of set and get */
    unsigned sets, gets;
};

static struct fake *fake_of(struct tapsi_layer *layer)
{
    return TAPSI_CONTAINER(layer, struct fake, layer);
}

static int set(struct tapsi_layer *layer, enum taps_property property, const struct taps_value *value)
{
    (void)property;
    (void)value;
    fake_of(layer)->sets++;
    return fake_of(layer)->answer;
}

static int get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    (void)what;
    fake_of(layer)->gets++;
    ret->value.integer = layer->height;
    return fake_of(layer)->answer;
}

static const struct tapsi_layer_ops ops = {.set = set, .get = get};
static const struct tapsi_layer_ops silent_ops; /* it knows no property at all */

/* Three layers, the top one first; each answers so. */
static void stack(struct fake layers[3], int top, int middle, int bottom)
{
    const int answers[] = {top, middle, bottom};
    for (int i = 0; i < 3; i++) {
        layers[i] = (struct fake){.answer = answers[i]};
        layers[i].layer.ops = &ops;
        layers[i].layer.height = (uint8_t)(2 - i);
        layers[i].layer.below = i < 2 ? &layers[i + 1].layer : NULL;
    }
}

static const struct taps_value value = {.type = TAPS_TYPE_NUMBER, .number = 5};

/* proves IMPL-20: the layer nearest to the application that can honour it has it, and no other is told. */
TEST(a_property_goes_to_the_nearest_layer_that_knows_it)
{
    static const struct {
        int answers[3];
        unsigned told[3];
    } rows[] = {
        {{TAPSI_HANDLED, TAPSI_HANDLED, TAPSI_HANDLED}, {1, 0, 0}},
        {{TAPSI_PASS, TAPSI_HANDLED, TAPSI_HANDLED}, {1, 1, 0}},
        {{TAPSI_PASS, TAPSI_PASS, TAPSI_HANDLED}, {1, 1, 1}},
        {{TAPSI_HANDLED, TAPSI_PASS, TAPSI_PASS}, {1, 0, 0}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake l[3];
        stack(l, rows[i].answers[0], rows[i].answers[1], rows[i].answers[2]);
        CHECK_INT(tapsi_layer_set(&l[0].layer, TAPS_CONN_TIMEOUT, &value), 0);
        for (int k = 0; k < 3; k++)
            CHECK_INT(l[k].sets, rows[i].told[k]);
    }
}

/* proves IMPL-20: what that layer refuses is refused; it is not offered to those below. */
TEST(a_property_that_is_refused_is_not_offered_below)
{
    struct fake l[3];
    stack(l, TAPSI_PASS, TAPS_E_RANGE, TAPSI_HANDLED);
    CHECK_INT(tapsi_layer_set(&l[0].layer, TAPS_CONN_TIMEOUT, &value), TAPS_E_RANGE);
    CHECK_INT(l[2].sets, 0);
}

TEST(a_property_that_no_layer_knows_is_not_applicable)
{
    struct fake l[3];
    stack(l, TAPSI_PASS, TAPSI_PASS, TAPSI_PASS);
    l[1].layer.ops = &silent_ops;
    CHECK_INT(tapsi_layer_set(&l[0].layer, TAPS_CONN_TIMEOUT, &value), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(l[0].sets + l[2].sets, 2);
}

/* proves IMPL-20: what is asked is answered by the same layer. */
TEST(the_nearest_layer_that_knows_answers)
{
    struct fake l[3];
    union tapsi_got got = {.value = {.integer = 9}};
    stack(l, TAPSI_PASS, TAPSI_HANDLED, TAPSI_HANDLED);
    CHECK_INT(tapsi_layer_get(&l[0].layer, TAPS_SEND_MSG_MAX_LEN, &got), 0);
    CHECK_INT(got.value.integer, 1);
    CHECK_INT(l[2].gets, 0);
}

/* Close drains every layer, but only the top is given credit: each gives it to the next. */
TEST(draining_reaches_every_layer)
{
    struct fake l[3];
    stack(l, TAPSI_PASS, TAPSI_PASS, TAPSI_PASS);
    tapsi_layer_drain(&l[1].layer);
    CHECK(!l[0].layer.drains && l[1].layer.drains && l[2].layer.drains);
    CHECK(l[1].layer.want > SIZE_MAX / 4);
    CHECK_INT(l[0].layer.want + l[2].layer.want, 0);
}
