#include "message/ws_extension.h"
#include "message/ws_token.h"

#define NAME "permessage-deflate"

/* One element of the list: its name and its parameters; `wrong` is why it cannot be taken. */
struct extension {
    struct tapsi_ws_span name;
    struct tapsi_ws_agreement says;
    const char *wrong;
};

/* ----------------------------------------------------------------------------------------------------- reading */

/* A token, or one in quotes; empty if there is none. */
static struct tapsi_ws_span take_value(struct tapsi_ws_span *rest)
{
    if (!tapsi_ws_take(rest, '"'))
        return tapsi_ws_take_token(rest);
    struct tapsi_ws_span value = {rest->at, 0};
    while (rest->length && tapsi_ws_is_token(*rest->at)) {
        rest->at++;
        rest->length--;
        value.length++;
    }
    if (!rest->length || *rest->at != '"')
        return (struct tapsi_ws_span){rest->at, 0};
    rest->at++;
    rest->length--;
    return value;
}

/* "8" to "15", without a leading zero: 0 if it is not. */
static uint8_t bits(struct tapsi_ws_span value)
{
    if (value.length == 1 && (*value.at == '8' || *value.at == '9'))
        return (uint8_t)(*value.at - '0');
    if (value.length == 2 && value.at[0] == '1' && value.at[1] >= '0' && value.at[1] <= '5')
        return (uint8_t)(10 + value.at[1] - '0');
    return 0;
}

static void flag(struct extension *e, bool *says, bool has_value)
{
    if (has_value)
        e->wrong = "a parameter that takes no value has one";
    else if (*says)
        e->wrong = "a parameter twice";
    *says = true;
}

static void window(struct extension *e, uint8_t *says, bool has_value, struct tapsi_ws_span value, bool may_be_bare)
{
    uint8_t is = has_value ? bits(value) : TAPSI_WS_BITS_NAMED;
    if (*says)
        e->wrong = "a parameter twice";
    else if (is == 0 || (!has_value && !may_be_bare))
        e->wrong = "window bits that are not 8 to 15";
    *says = is;
}

static void parameter(struct extension *e, struct tapsi_ws_span *rest)
{
    struct tapsi_ws_span name = tapsi_ws_take_token(rest), value = {0};
    bool has_value = tapsi_ws_take(rest, '=');
    if (has_value)
        value = take_value(rest);
    if (tapsi_ws_span_is(name, "server_no_context_takeover"))
        flag(e, &e->says.server_no_context, has_value);
    else if (tapsi_ws_span_is(name, "client_no_context_takeover"))
        flag(e, &e->says.client_no_context, has_value);
    else if (tapsi_ws_span_is(name, "server_max_window_bits"))
        window(e, &e->says.server_bits, has_value, value, false);
    else if (tapsi_ws_span_is(name, "client_max_window_bits"))
        window(e, &e->says.client_bits, has_value, value, true);
    else
        e->wrong = "an unknown parameter";
}

/* The next element of the list; false at its end. */
static bool next(struct tapsi_ws_span *rest, struct extension *ret)
{
    *ret = (struct extension){0};
    do
        tapsi_ws_skip_spaces(rest);
    while (tapsi_ws_take(rest, ','));
    if (!rest->length)
        return false;
    ret->name = tapsi_ws_take_token(rest);
    while (tapsi_ws_take(rest, ';'))
        parameter(ret, rest);
    tapsi_ws_skip_spaces(rest);
    if (rest->length && *rest->at != ',') {
        ret->wrong = "not a list of extensions";
        rest->length = 0;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------ roles */

static uint8_t narrower(uint8_t a, uint8_t b)
{
    if (a <= TAPSI_WS_BITS_NAMED)
        return b;
    return b && b < a ? b : a;
}

bool tapsi_ws_offer_choose(const char *value, size_t length, const struct tapsi_ws_agreement *wants,
                           struct tapsi_ws_agreement *ret_agreed)
{
    struct tapsi_ws_span rest = {value, length};
    struct extension e;
    while (next(&rest, &e)) {
        if (e.wrong || !tapsi_ws_span_is(e.name, NAME))
            continue;
        *ret_agreed = (struct tapsi_ws_agreement){
            .server_no_context = e.says.server_no_context || wants->server_no_context,
            .client_no_context = e.says.client_no_context || wants->client_no_context,
            .server_bits = narrower(e.says.server_bits, wants->server_bits),
            .client_bits =
                e.says.client_bits && wants->client_bits ? narrower(e.says.client_bits, wants->client_bits) : 0,
        };
        return true;
    }
    return false;
}

static const char *check_answer(const struct tapsi_ws_agreement *says, const struct tapsi_ws_agreement *wanted)
{
    if (says->client_bits == TAPSI_WS_BITS_NAMED)
        return "client_max_window_bits without a number";
    if (wanted->server_no_context && !says->server_no_context)
        return "server_no_context_takeover was asked for and is not granted";
    if (wanted->server_bits && (!says->server_bits || says->server_bits > wanted->server_bits))
        return "a server_max_window_bits over what was asked for";
    if (wanted->client_bits && says->client_bits > wanted->client_bits)
        return "a client_max_window_bits over what was offered";
    return NULL;
}

const char *tapsi_ws_agreement_read(const char *value, size_t length, const struct tapsi_ws_agreement *wanted,
                                    struct tapsi_ws_agreement *ret_agreed)
{
    struct tapsi_ws_span rest = {value, length};
    struct extension e, another;
    if (!next(&rest, &e) || !tapsi_ws_span_is(e.name, NAME))
        return "an extension that was not offered";
    const char *wrong = e.wrong ? e.wrong : check_answer(&e.says, wanted);
    if (!wrong && next(&rest, &another))
        wrong = "more extensions than were offered";
    if (wrong)
        return wrong;
    *ret_agreed = e.says;
    ret_agreed->client_no_context |= wanted->client_no_context;
    ret_agreed->client_bits = narrower(e.says.client_bits, wanted->client_bits);
    return NULL;
}

/* ----------------------------------------------------------------------------------------------------- writing */

static size_t write_bits(const char *name, uint8_t is, char *to, size_t size)
{
    if (is == TAPSI_WS_BITS_NAMED)
        return tapsi_format(to, size, "; %s", name);
    return is ? tapsi_format(to, size, "; %s=%u", name, (unsigned)is) : 0;
}

size_t tapsi_ws_agreement_write(const struct tapsi_ws_agreement *agreed, char *to, size_t size)
{
    size_t at = tapsi_format(to, size, NAME "%s%s", agreed->server_no_context ? "; server_no_context_takeover" : "",
                             agreed->client_no_context ? "; client_no_context_takeover" : "");
    at += write_bits("server_max_window_bits", agreed->server_bits, to + at, size - at);
    at += write_bits("client_max_window_bits", agreed->client_bits, to + at, size - at);
    return at;
}

size_t tapsi_ws_offer_write(const struct tapsi_ws_agreement *wants, char *to, size_t size)
{
    struct tapsi_ws_agreement offer = *wants;
    if (!offer.client_bits)
        offer.client_bits = TAPSI_WS_BITS_NAMED;
    return tapsi_ws_agreement_write(&offer, to, size);
}
