/*
 * What every Framer must do, whatever it is. A Framer joins with one row: how it is made, what Messages it carries, and
 * what a hostile peer may send it. An application's own joins in the same way: see the row "own".
 *
 * Two ends with the Framer are joined, Messages go from the client to the server, and what the client wrote is kept.
 * That stream is then given to fresh servers: split everywhere, all at once, cut at every byte, and with every byte
 * changed. Chance is always the same (test_framing.h), so a handshake comes out as it did the first time.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/test.h"
#include "stack/framer/test_framing.h"

#define MESSAGES_MAX 8
#define STREAM_MAX   ((size_t)256 * 1024)

struct sample {
    const char *data;
    size_t length;
    const char *meta[6]; /* key, value, ... */
};

struct hostile {
    const char *bytes;
    size_t length;     /* 0: it is text */
    const char *cause; /* part of the words of the error */
};

struct row {
    const char *text;                                /* taps_framer_new_text; or NULL: */
    const struct taps_framer_definition *definition; /* an application's */
    struct sample messages[MESSAGES_MAX];            /* from the client */
    struct sample answers[MESSAGES_MAX];             /* from the server, afterwards; none: the same as `messages` */
    struct hostile hostile[24];                      /* to the server, after the handshake */
    const char *too_long;                            /* the same with a maximum of 16 bytes; NULL: it has none */
    bool unsaid_end; /* the peer's bare end makes a whole Message of what there is, or of nothing */
    bool said_end;   /* the peer's bare end is never orderly: its protocol has words for that */
};

/* ------------------------------------------------------------------------------- a Framer of an application's */

/* Each byte of a Message is followed by one that says whether it was the last. */
static int own_send(taps_framing *f, const struct taps_sent_message *message)
{
    struct iovec pieces[8];
    size_t count = taps_framing_message_pieces(f, pieces, 8), at = 0;
    if (message->length == 0)
        return TAPS_E_MESSAGE_PROPERTIES;
    uint8_t *to = taps_framing_reserve(f, message->length * 2);
    if (!to)
        return TAPS_E_MEMORY;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < pieces[i].iov_len; j++) {
            to[at++] = ((const uint8_t *)pieces[i].iov_base)[j];
            to[at] = at + 1 == message->length * 2;
            at++;
        }
    }
    return taps_framing_send_reserved(f, at);
}

static int own_receive(taps_framing *f)
{
    const uint8_t *data;
    size_t length;
    if (taps_framing_parse(f, 2, 2, &data, &length) <= 0)
        return 0;
    if (data[1] > 1)
        return taps_framing_fail(f, TAPS_E_DEFRAMING, "%u is neither more nor last", data[1]);
    bool last = data[1];
    uint8_t byte = data[0];
    taps_framing_advance(f, 2);
    return taps_framing_deliver(f, &byte, 1, last);
}

static const struct taps_framer_definition own = {
    .name = "own", .overhead = 1, .new_sent_message = own_send, .handle_received_data = own_receive};

/* ---------------------------------------------------------------------------------------------------- rows */

#define TEXT(t)                                                                                                        \
    {                                                                                                                  \
        t, sizeof(t) - 1,                                                                                              \
        {                                                                                                              \
            NULL                                                                                                       \
        }                                                                                                              \
    }

static const struct row rows[] = {
    {.definition = &own,
     .messages = {TEXT("a"), TEXT("hello"), TEXT("0123456789abcdef0123456789")},
     .hostile = {{"x\2", 2, "neither more nor last"}}},
    {.text = "length-prefix",
     .messages = {TEXT("a"), TEXT(""), TEXT("hello, world"), TEXT("0123456789abcdef0123456789")},
     .hostile = {{"\377\377\377\377", 4, "4294967295 bytes was announced"},
                 {"\1\0\0\1", 4, "16777217 bytes was announced, and the maximum is 16777216"}},
     .too_long = "length-prefix:maximum=16"},
    {.text = "length-prefix:length=8,order=little",
     .messages = {TEXT("a"), TEXT(""), TEXT("hello, world"), TEXT("0123456789abcdef0123456789")},
     .hostile = {{"\0\0\0\0\0\0\0\200", 8, "9223372036854775808 bytes was announced"},
                 {"\377\377\377\377\377\377\377\377", 8, "was announced"}},
     .too_long = "length-prefix:length=8,order=little,maximum=16"},
    {.text = "length-prefix:length=varint",
     .messages = {TEXT("a"), TEXT(""), TEXT("hello, world"), TEXT("0123456789abcdef0123456789")},
     .hostile = {{"\200\200\200\200\200\200\200\200\200\177", 10, "a varint of more than 64 bits"},
                 {"\200\0", 2, "more bytes than its value needs"},
                 {"\377\377\377\377\377\377\377\377\177", 9, "was announced"}},
     .too_long = "length-prefix:length=varint,maximum=16"},
    {.text = "length-prefix:length=quic",
     .messages = {TEXT("a"), TEXT(""), TEXT("hello, world"), TEXT("0123456789abcdef0123456789")},
     .hostile = {{"\377\377\377\377\377\377\377\377", 8, "was announced"}},
     .too_long = "length-prefix:length=quic,maximum=16"},
    {.text = "delimiter",
     .messages = {TEXT("a"), TEXT(""), TEXT("hello, world"), TEXT("0123456789abcdef0123456789")},
     .too_long = "delimiter:maximum=16"},
    {.text = "delimiter:delimiter=crlf,unterminated=deliver",
     .messages = {TEXT("a"), TEXT("\r"), TEXT("hello\nworld"), TEXT("0123456789abcdef0123456789")},
     .too_long = "delimiter:delimiter=crlf,maximum=16",
     .unsaid_end = true},
    {.text = "netstring",
     .messages = {TEXT("a"), TEXT(""), TEXT("hello, world"), TEXT("0123456789abcdef0123456789")},
     .hostile = {{"01:a,", 0, "begins with 0"},
                 {"1x:a,", 0, "where a digit or a colon must be"},
                 {":,", 0, "where a length must begin"},
                 {"1:ab", 0, "where the comma behind a Message must be"},
                 {"99999999999999999999:", 0, "a length that begins with 99999999"},
                 {"16777217:", 0, "the maximum is 16777216"}},
     .too_long = "netstring:maximum=16"},
    {.text = "tlv:type=2,length=4",
     .messages = {{"a", 1, {"type", "1"}}, {"", 0, {"type", "65535"}}, {"hello, world, hello", 19, {"type", "7"}}},
     .hostile = {{"\0\1\377\377\377\377", 6, "type 1 with 4294967295 bytes was announced"}},
     .too_long = "tlv:type=2,length=4,maximum=16"},
    {.text = "http",
     .messages = {{"", 0, {"target", "/a?b", "x-one", "1"}},
                  {"a", 1, {"method", "PUT"}},
                  {"hello, world", 12, {"transfer-encoding", "chunked", "trailer:x-sum", "2"}},
                  {"0123456789abcdef0123456789", 26, {"accept", "*/*", "accept", "text/html"}}},
     .answers = {{"", 0, {"status", "204"}},
                 {"created", 7, {"status", "201"}},
                 {"0123456789abcdef0123456789", 26, {"transfer-encoding", "chunked", "trailer:x-sum", "2"}},
                 {"", 0, {"status", "500"}}},
     .hostile = {{"GET / HTTP/1.1\r\nContent-Length: 9223372036854775808\r\n\r\n", 0, "below 2^63"},
                 {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 0, "that differ"},
                 {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 0, "both a"},
                 {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8000000000000000\r\n", 0, "2^63"},
                 {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 0, "its size says"},
                 {"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 0, "folded"},
                 {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 0, "white space"},
                 {"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 0, "control character"},
                 {"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 33, "control character"},
                 {"GET / HTTP/1.1\nHost: a\n\n", 0, "CR LF"},
                 {"GET / HTTP/1.1\r\n\r\n", 0, "without a Host"},
                 {"\26\3\1", 3, "not HTTP/1"},
                 {"PRI * HTTP/2.0\r\n\r\n", 0, "version"}},
     .too_long = "http:body-maximum=16"},
    {.text = "websocket",
     .messages = {TEXT("a"),
                  {"", 0, {"type", "text"}},
                  {"gr\303\274n", 5, {"type", "text"}},
                  {"0123456789abcdef0123456789", 26, {"type", "binary"}}},
     .hostile = {{"\202\1a", 3, "a frame of the client without a mask"},
                 {"\302\200\0\0\0\0", 6, "a reserved bit"},
                 {"\203\200\0\0\0\0", 6, "a reserved opcode"},
                 {"\200\200\0\0\0\0", 6, "a continuation of no Message"},
                 {"\2\200\0\0\0\0\202\200\0\0\0\0", 12, "a Message within a fragmented one"},
                 {"\11\200\0\0\0\0", 6, "a control frame in fragments"},
                 {"\211\376\0\176\0\0\0\0", 8, "a control frame over 125 bytes"},
                 {"\202\377\200\0\0\0\0\0\0\0\0\0\0\0", 14, "2^63"},
                 {"\202\376\0\1\0\0\0\0", 8, "its shortest form"},
                 {"\202\377\177\377\377\377\377\377\377\377\0\0\0\0", 14, "over the maximum"},
                 {"\201\201\0\0\0\0\377", 7, "not UTF-8"},
                 {"\210\201\0\0\0\0x", 7, "a Close frame of one byte"}},
     .too_long = "websocket:maximum=16",
     .said_end = true},
    {.text = "websocket:deflate=on,deflate-minimum=0",
     .messages = {TEXT("a"), {"", 0, {"type", "text"}}, TEXT("hello, hello, hello"), TEXT("hello, hello, hello")},
     .hostile = {{"\302\201\0\0\0\0\7", 7, "does not inflate"}, {"\311\200\0\0\0\0", 6, "a compressed control frame"}},
     .too_long = "websocket:deflate=on,deflate-minimum=0,maximum=16",
     .said_end = true},
    {.text = "mqtt",
     .messages = {{"a", 1, {"topic", "t"}},
                  {"", 0, {"topic", "a/b", "retain", "1"}},
                  {"hello, world", 12, {"topic", "gr\303\274n"}},
                  {"0123456789abcdef0123456789", 26, {"topic", "t", "qos", "1"}}},
     .hostile = {{"\60\377\377\377\377\1", 6, "remaining length"},
                 {"\60\377\377\377\177\0\1t", 8, "was announced"},
                 {"\0\0", 2, "a packet of a reserved type"},
                 {"\66\5\0\1t\0\1", 7, "QoS 3"},
                 {"\60\3\0\5t", 5, "topic does not fit its length"},
                 {"\60\3\0\1#", 5, "what is no topic"},
                 {"\20\15\0\4MQTT\4\2\0\12\0\1c", 15, "a connect, which the client must not send now"}},
     .too_long = "mqtt:maximum=16",
     .said_end = true},
    /* Without security these only greet, and carry no Messages of their own. */
    {.text = "starttls:protocol=smtp"},
    {.text = "starttls:protocol=imap"},
    {.text = "starttls:protocol=pop3"},
    {.text = "starttls:protocol=postgresql"},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* ------------------------------------------------------------------------------------------------ two ends */

struct exchange {
    const struct row *row;
    struct test_framing client, server;
    uint8_t stream[STREAM_MAX]; /* what the client wrote */
    size_t length, handshake;
    size_t boundaries[MESSAGES_MAX + 1]; /* of `stream`, after each Message */
    size_t count;                        /* of Messages */
};

static taps_framer *make(const struct row *row, const char *text)
{
    taps_framer *framer = NULL;
    CHECK_INT(text ? taps_framer_new_text(text, &framer) : taps_framer_new_custom(row->definition, &framer), 0);
    if (!framer) {
        printf("# no Framer %s\n", text ? text : row->definition->name);
        abort();
    }
    return framer;
}

static void open_end(struct test_framing *t, const struct row *row, const char *text, bool server)
{
    taps_framer *framer = make(row, text);
    const taps_framer *one = framer;
    test_framing_open(t, &one, 1, server, false);
    taps_framer_free(framer);
}

static void carry(struct exchange *e)
{
    struct test_framing *c = &e->client, *s = &e->server;
    for (int i = 0; i < 20 && (c->out_length || s->out_length); i++) {
        uint8_t *bytes = c->out;
        size_t length = c->out_length;
        CHECK(e->length + length <= STREAM_MAX);
        if (length)
            memcpy(e->stream + e->length, bytes, length);
        test_framing_forget(c);
        test_framing_feed(s, e->stream + e->length, length);
        e->length += length;
        uint8_t *answer = malloc(s->out_length + 1);
        size_t answer_length = s->out_length;
        if (answer_length)
            memcpy(answer, s->out, answer_length);
        test_framing_forget(s);
        if (answer_length)
            test_framing_feed(c, answer, answer_length);
        free(answer);
    }
}

static struct tapsi_meta *meta_of(const struct row *row, const struct test_framing *t, const struct sample *m)
{
    static struct tapsi_mem mem;
    struct tapsi_meta *meta = NULL;
    tapsi_mem_init(&mem, NULL);
    const char *space = row->definition ? row->definition->name : tapsi_adapter_of(t->top)->framing->definition->name;
    for (size_t i = 0; i + 1 < 6 && m->meta[i]; i += 2)
        CHECK_INT(tapsi_meta_add(&meta, &mem, space, m->meta[i], m->meta[i + 1]), 0);
    return meta;
}

static void say(struct exchange *e, struct test_framing *t, const struct sample *m)
{
    struct tapsi_meta *meta = meta_of(e->row, t, m);
    CHECK_INT(test_framing_send(t, m->data, m->length, TAPSI_OP_END, meta), 0);
    tapsi_meta_unref(meta);
    carry(e);
}

static struct exchange *begin(const struct row *row)
{
    struct exchange *e = calloc(1, sizeof(*e));
    e->row = row;
    open_end(&e->server, row, row->text, true);
    open_end(&e->client, row, row->text, false);
    carry(e);
    CHECK_INT(e->client.ready, 1);
    CHECK_INT(e->server.ready, 1);
    e->handshake = e->length;
    e->boundaries[0] = e->length;
    for (; e->count < MESSAGES_MAX && row->messages[e->count].data; e->count++) {
        say(e, &e->client, &row->messages[e->count]);
        e->boundaries[e->count + 1] = e->length;
    }
    return e;
}

static void finish(struct exchange *e)
{
    test_framing_close(&e->client);
    test_framing_close(&e->server);
    free(e);
}

static void check_messages(const struct sample *expected, const struct test_framing *t, size_t count)
{
    bool begun = t->count && !t->messages[t->count - 1].complete && !t->messages[t->count - 1].length;
    CHECK_INT(t->count - begun, count); /* a bare stream may have begun without a byte */
    for (size_t i = 0; i < count; i++)
        CHECK(test_framing_got(t, i, expected[i].data, expected[i].length));
}

static void on_each(void (*behaviour)(const struct row *row))
{
    for (size_t i = 0; i < ROWS; i++) {
        bool before = tapsi_test_failed();
        behaviour(&rows[i]);
        if (tapsi_test_failed() && !before)
            printf("# the first Framer that failed: %s\n", rows[i].text ? rows[i].text : rows[i].definition->name);
    }
}

/* ---------------------------------------------------------------------------------------------- behaviours */

static void both_ways(const struct row *row)
{
    struct exchange *e = begin(row);
    const struct sample *answers = row->answers[0].data ? row->answers : row->messages;
    size_t count = 0;
    check_messages(row->messages, &e->server, e->count);
    CHECK_INT(e->client.sent, e->count);
    for (; count < MESSAGES_MAX && answers[count].data; count++)
        say(e, &e->server, &answers[count]);
    check_messages(answers, &e->client, count);
    CHECK_INT(e->client.closed + e->server.closed, 0);
    finish(e);
}

/* proves API-130, IMPL-18 */
TEST(messages_go_both_ways)
{
    on_each(both_ways);
}

static void known_metadata(const struct row *row)
{
    struct exchange *e = begin(row);
    for (size_t i = 0; i < e->count; i++) {
        const struct sample *m = &row->messages[i];
        const char *space = row->definition ? row->definition->name : NULL, *key, *value;
        for (size_t k = 0; k + 1 < 6 && m->meta[k]; k += 2) {
            bool found = false;
            for (size_t n = 0; !found && tapsi_meta_at(e->server.messages[i].meta, NULL, n, &space, &key, &value); n++)
                found = strcmp(key, m->meta[k]) == 0 && strcmp(value, m->meta[k + 1]) == 0;
            CHECK(found);
        }
    }
    finish(e);
}

/* proves API-131 */
TEST(what_was_said_of_a_message_arrives_with_it)
{
    on_each(known_metadata);
}

/* Feeds [0, at), [at, length). */
static void feed_in_two(const struct row *row, const struct exchange *e, size_t at, size_t length,
                        struct test_framing *t)
{
    open_end(t, row, row->text, true);
    if (at)
        test_framing_feed(t, e->stream, at);
    if (length > at)
        test_framing_feed(t, e->stream + at, length - at);
}

static void split(const struct row *row)
{
    struct exchange *e = begin(row);
    struct test_framing t;
    size_t end = e->boundaries[e->count];
    for (size_t at = 0; at <= end; at++) {
        feed_in_two(row, e, at, end, &t);
        check_messages(row->messages, &t, e->count);
        CHECK_INT(t.closed, 0);
        test_framing_close(&t);
    }
    for (size_t step = 1; step <= 7; step++) {
        open_end(&t, row, row->text, true);
        test_framing_feed_split(&t, e->stream, end, step);
        check_messages(row->messages, &t, e->count);
        test_framing_close(&t);
    }
    finish(e);
}

TEST(messages_are_the_same_however_their_bytes_are_split)
{
    on_each(split);
}

static bool is_boundary(const struct exchange *e, size_t at, size_t *ret_messages)
{
    *ret_messages = 0;
    for (size_t i = 0; i <= e->count; i++) {
        if (e->boundaries[i] <= at)
            *ret_messages = i;
        if (e->boundaries[i] == at)
            return true;
    }
    return false;
}

static void cut(const struct row *row)
{
    struct exchange *e = begin(row);
    for (size_t at = 0; at <= e->boundaries[e->count]; at++) {
        struct test_framing t;
        size_t whole;
        bool boundary = is_boundary(e, at, &whole) && !(at == e->handshake && e->handshake == 0 && at);
        feed_in_two(row, e, 0, at, &t);
        test_framing_end(&t);
        CHECK_INT(t.closed + (t.ends > 0), 1);
        CHECK(t.ends <= 1);
        if (boundary && at >= e->handshake && !row->said_end && t.ready)
            CHECK_INT(t.ends, 1);
        if (!boundary && !row->unsaid_end)
            CHECK_INT(t.closed, 1);
        if (t.closed)
            CHECK(t.error.pub.code == TAPS_E_TRUNCATED || t.error.pub.code == TAPS_E_ESTABLISHMENT ||
                  t.error.pub.code == TAPS_E_DEFRAMING);
        size_t complete = t.count && !t.messages[t.count - 1].complete ? t.count - 1 : t.count;
        CHECK(complete == whole || (row->unsaid_end && complete == whole + 1));
        for (size_t i = 0; i < whole; i++)
            CHECK(test_framing_got(&t, i, row->messages[i].data, row->messages[i].length));
        test_framing_close(&t);
    }
    finish(e);
}

/* proves API-124 */
TEST(a_peer_that_ends_in_mid_message_is_noticed_at_every_byte)
{
    on_each(cut);
}

static void reset(const struct row *row)
{
    struct exchange *e = begin(row);
    for (size_t at = 0; at <= e->boundaries[e->count]; at++) {
        struct test_framing t;
        feed_in_two(row, e, 0, at, &t);
        test_framing_reset(&t);
        CHECK(test_framing_failed(&t, TAPS_E_ABORTED));
        test_framing_close(&t);
    }
    finish(e);
}

TEST(a_reset_is_told_as_one_at_every_byte)
{
    on_each(reset);
}

/* Whatever comes, it ends at most once, and says why. */
static void changed(const struct row *row)
{
    struct exchange *e = begin(row);
    size_t end = e->boundaries[e->count];
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    for (size_t at = 0; at < end * 3; at++) {
        struct test_framing t;
        e->stream[at / 3] ^= masks[at % 3];
        feed_in_two(row, e, at / 3, end, &t);
        test_framing_end(&t);
        CHECK(t.closed <= 1 && t.ends <= 1);
        if (t.closed)
            CHECK(t.error.pub.code < 0 && t.error.text[0]);
        e->stream[at / 3] ^= masks[at % 3];
        test_framing_close(&t);
    }
    finish(e);
}

TEST(a_changed_byte_ends_it_at_most_once)
{
    on_each(changed);
}

static void hostile(const struct row *row)
{
    struct exchange *e = begin(row);
    for (size_t i = 0; i < sizeof(row->hostile) / sizeof(row->hostile[0]) && row->hostile[i].bytes; i++) {
        const struct hostile *h = &row->hostile[i];
        for (size_t step = 1; step <= 64 * 1024; step *= 64 * 1024) {
            struct test_framing t;
            feed_in_two(row, e, 0, e->handshake, &t);
            test_framing_feed_split(&t, h->bytes, h->length ? h->length : strlen(h->bytes), step);
            CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
            CHECK(strstr(t.error.text, h->cause) != NULL);
            if (!t.closed || !strstr(t.error.text, h->cause))
                printf("# hostile %zu: \"%s\", not \"%s\"\n", i, t.closed ? t.error.text : "(nothing)", h->cause);
            test_framing_close(&t);
        }
    }
    finish(e);
}

TEST(hostile_frames_end_the_connection_and_the_cause_is_named)
{
    on_each(hostile);
}

static void long_one(const struct row *row)
{
    if (!row->too_long)
        return;
    struct exchange *e = begin(row);
    struct test_framing t;
    open_end(&t, row, row->too_long, true);
    test_framing_feed(&t, e->stream, e->boundaries[e->count]);
    CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
    CHECK(t.bytes <= 16 * e->count);
    test_framing_close(&t);
    finish(e);
}

TEST(a_message_over_the_maximum_is_not_taken)
{
    on_each(long_one);
}

static void ends(const struct row *row)
{
    struct exchange *e = begin(row);
    test_framing_shut(&e->client);
    carry(e);
    if (!e->client.closed) { /* it waits for the peer's last word */
        test_framing_shut(&e->server);
        carry(e);
    }
    CHECK_INT(e->client.closed, 1);
    CHECK_INT(e->client.error.pub.code, 0);
    check_messages(row->messages, &e->server, e->count);
    finish(e);
}

/* proves API-132 */
TEST(close_is_orderly_after_everything_was_sent)
{
    on_each(ends);
}

static void waiting(const struct row *row)
{
    struct exchange *e = begin(row);
    struct test_framing t;
    open_end(&t, row, row->text, true);
    test_framing_feed(&t, e->stream, e->handshake);
    if (t.top)
        tapsi_layer_want(t.top, 1);
    t.keeps = true;
    test_framing_feed(&t, e->stream + e->handshake, e->length - e->handshake);
    CHECK_INT(t.closed, 0);
    check_messages(row->messages, &t, e->count);
    test_framing_close(&t);
    finish(e);
}

TEST(little_credit_is_enough)
{
    on_each(waiting);
}
