/*
 * What the peer or the network can do to a Connection (a reset, an end, silence), at each point of its life, on each
 * stack: the right events, in the right order, once. Each row is such a case and the whole log of its events.
 */
#include <stdio.h>
#include <string.h>
#include <taps/framer.h>
#include "connection/connection.h"
#include "peer.h"
#include "stack/tcp/tcp.h"

#define REMOTE "192.0.2.1:443"

enum stack { TCP, TLS, FRAMED, FRAMED_TLS, LENGTH, LENGTH_TLS };
enum point {
    CONNECTING, /* TCP is not there yet */
    HANDSHAKE,  /* TCP is there, TLS has said its hello */
    FLIGHT,     /* and has part of the answer */
    IDLE,       /* Ready, and a Receive waits */
    IN_MESSAGE, /* some bytes of a Message have come */
    SENDING,    /* more is on its way than the peer takes */
    CLOSING,    /* and Close was called */
    CLOSING_CUT /* and some bytes of a Message have come, too */
};
enum way { RESET, FIN /* of TCP alone */, END /* of the protocol: close_notify */, SILENCE };

struct row {
    enum stack stack;
    enum point point;
    enum way way;
    const char *settings; /* properties of the client: "connTimeout=20", or NULL */
    const char *events;
};

struct scene {
    const struct row *row;
    struct world w;
    struct tapsi_test_identity identity;
    taps_context *server; /* the peer: one that reads only when it is told to */
    taps_listener *listener;
    taps_connection *connection, *peer;
    char log[400];
    unsigned ends;
    double happened_ms; /* what happens to it, has */
    size_t delivered;   /* bytes the peer has read */
};

/* ------------------------------------------------------------------------------------------------- the log */

/* The same word again, unless it is an end, is said once. */
static void say(struct scene *s, const char *word, int code)
{
    char text[80];
    size_t length = strlen(s->log);
    snprintf(text, sizeof(text), code ? "%s %s" : "%s", word, code ? taps_err_name(code) + strlen("TAPS_E_") : "");
    size_t n = strlen(text);
    bool again = length >= n && strcmp(s->log + length - n, text) == 0;
    if (!again || s->ends)
        snprintf(s->log + length, sizeof(s->log) - length, "%s%s", length ? ", " : "", text);
}

/* Of a timeout also when: seconds since what happened. */
static void say_end(struct scene *s, const char *word, int code)
{
    size_t length;
    say(s, word, code);
    s->ends++;
    length = strlen(s->log);
    if (code == TAPS_E_TIMEOUT)
        snprintf(s->log + length, sizeof(s->log) - length, " after %.0f s",
                 (taps_context_now_ms(s->w.context) - s->happened_ms) / 1000);
}

static void on_ready(taps_connection *c, void *user)
{
    say(user, "ready", 0);
    taps_connection_receive(c, 1, 65536, NULL);
}

static void on_establishment_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    say_end(user, "establishment_error", error->code);
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    say(user, "sent", 0);
}

static void on_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    say(user, "send_error", error->code);
}

static void on_received(taps_connection *c, const struct taps_received *m, void *user)
{
    say(user, m->final ? "final" : m->end_of_message ? "received" : "partial", 0);
    if (!m->final)
        taps_connection_receive(c, 1, 65536, NULL);
}

static void on_receive_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    say(user, "receive_error", error->code);
}

static void on_soft_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    say(user, "soft_error", error->code);
}

static void on_closed(taps_connection *c, void *user)
{
    (void)c;
    say_end(user, "closed", 0);
}

static void on_connection_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    say_end(user, "connection_error", error->code);
}

static const struct taps_connection_events events = {.ready = on_ready,
                                                     .establishment_error = on_establishment_error,
                                                     .sent = on_sent,
                                                     .send_error = on_send_error,
                                                     .received = on_received,
                                                     .received_partial = on_received,
                                                     .receive_error = on_receive_error,
                                                     .soft_error = on_soft_error,
                                                     .closed = on_closed,
                                                     .connection_error = on_connection_error};

/* ------------------------------------------------------------------------------------------------ the peer */

static void peer_received(taps_connection *c, const struct taps_received *m, void *user)
{
    ((struct scene *)user)->delivered += m->length;
    if (!m->final)
        taps_connection_receive(c, 1, 65536, NULL);
}

static const struct taps_connection_events peer_events = {.received = peer_received, .received_partial = peer_received};

static void on_accepted(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    ((struct scene *)user)->peer = c;
    taps_connection_set_events(c, &peer_events, user);
}

static const struct taps_listener_events listener_events = {.connection_received = on_accepted};

static bool is_secure(const struct scene *s)
{
    return s->row->stack == TLS || s->row->stack == FRAMED_TLS || s->row->stack == LENGTH_TLS;
}

/* A stream, below any framing of the client's: what goes over it is this test's affair. */
static void serve_stream(struct scene *s)
{
    taps_preconnection *p = NULL;
    taps_security_parameters *security = NULL;
    const char *own = s->identity.certificate, *key = s->identity.key;
    taps_preconnection_new(s->server, &p);
    if (is_secure(s)) {
        taps_security_parameters_new(&security);
        CHECK_INT(taps_security_parameters_add_server_certificate_pem(security, own, strlen(own), key, strlen(key)), 0);
    } else {
        taps_security_parameters_new_disabled(&security);
    }
    CHECK_INT(taps_preconnection_add_local_text(p, REMOTE), 0);
    CHECK_INT(taps_preconnection_set_security_parameters(p, security), 0);
    CHECK_INT(taps_preconnection_listen(p, &listener_events, s, &s->listener), 0);
    taps_security_parameters_free(security);
    taps_preconnection_free(p);
    world_run_ms(&s->w, 1);
}

/* The socket at the bottom of the peer's stack. */
static int peer_descriptor(const struct scene *s)
{
    struct tapsi_layer *layer = s->peer->top;
    while (layer->below)
        layer = layer->below;
    return TAPSI_CONTAINER(layer, struct tcp, layer)->watch.fd;
}

static void peer_half_closes(const struct scene *s)
{
    struct tapsi_platform *p = s->peer->context->loop.platform;
    CHECK_INT(p->ops->shutdown(p, peer_descriptor(s), SHUT_WR), 0);
}

static void peer_says(const struct scene *s, const char *bytes, size_t count, bool final)
{
    taps_message_context *context;
    taps_message_context_new(&context);
    taps_message_context_set(context, "final", final ? "true" : "false");
    CHECK_INT(taps_connection_send(s->peer, bytes, count, context, 0, NULL), 0);
    taps_message_context_free(context);
}

/* ------------------------------------------------------------------------------------------------ the client */

static void set_all(taps_transport_properties *properties, const char *settings)
{
    char text[200];
    snprintf(text, sizeof(text), "%s", settings ? settings : "");
    for (char *save = NULL, *row = strtok_r(text, ";", &save); row; row = strtok_r(NULL, ";", &save)) {
        char *value = strchr(row, '=');
        *value++ = '\0';
        CHECK_INT(taps_transport_properties_set(properties, row, value), 0);
    }
}

/* FRAMED is a stack of its own; LENGTH is a Framer over the stream. Both put two bytes in front. */
static enum taps_properties_profile profile(const struct scene *s)
{
    bool framed = s->row->stack == FRAMED || s->row->stack == FRAMED_TLS;
    return framed ? TAPS_RELIABLE_MESSAGE : TAPS_RELIABLE_INORDER_STREAM;
}

static void add_framer(struct scene *s)
{
    taps_framer *framer = NULL;
    CHECK_INT(taps_framer_new_text("length-prefix:length=2", &framer), 0);
    CHECK_INT(taps_preconnection_add_framer(s->w.preconnection, framer), 0);
    taps_framer_free(framer);
}

static void scene_new(struct scene *s, const struct row *row)
{
    *s = (struct scene){.row = row, .identity = peer_certificate("192.0.2.1", NULL, NULL)};
    world_new(&s->w);
    taps_transport_properties_free(s->w.properties);
    taps_transport_properties_new_profile(profile(s), &s->w.properties);
    set_all(s->w.properties, row->settings);
    if (is_secure(s))
        world_secure(&s->w);
    world_start(&s->w);
    if (row->stack >= LENGTH)
        add_framer(s);
    s->server = world_context(s->w.sim, s->w.server, NULL);
}

static void initiate(struct scene *s)
{
    struct world *w = &s->w;
    CHECK_INT(taps_preconnection_add_remote_text(w->preconnection, REMOTE), 0);
    taps_preconnection_set_transport_properties(w->preconnection, w->properties);
    taps_preconnection_set_security_parameters(w->preconnection, w->security);
    s->happened_ms = taps_context_now_ms(w->context);
    CHECK_INT(taps_preconnection_initiate(w->preconnection, 5000, &events, s, &s->connection), 0);
}

static void scene_done(struct scene *s)
{
    taps_connection_free(s->connection);
    taps_connection_free(s->peer);
    taps_listener_free(s->listener);
    CHECK_INT(taps_context_free(s->server), 0);
    world_finish(&s->w);
    tapsi_test_identity_free(&s->identity);
}

/* ---------------------------------------------------------------------------------------- before it is ready */

static void connecting(struct scene *s)
{
    if (s->row->way == SILENCE)
        tapsi_sim_link_fault(s->w.link, TAPSI_SIM_BLACKHOLE);
    else if (s->row->way == FIN)
        tapsi_sim_serve(s->w.server, 443, TAPSI_SIM_DISCARD);
    initiate(s);
}

static void in_handshake(struct scene *s)
{
    static const enum tapsi_sim_behaviour by_way[] = {
        [RESET] = TAPSI_SIM_RESET, [FIN] = TAPSI_SIM_DISCARD, [SILENCE] = TAPSI_SIM_SILENT};
    struct tapsi_sim_service *service = tapsi_sim_serve(s->w.server, 443, by_way[s->row->way]);
    if (s->row->way == RESET)
        tapsi_sim_service_reset_after(service, 10);
    initiate(s);
}

/* The head of a ServerHello, and no more. */
static void in_flight(struct scene *s)
{
    static const char hello[] = "\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03 and a random";
    struct tapsi_sim_service *service = tapsi_sim_serve(s->w.server, 443, TAPSI_SIM_SEND);
    tapsi_sim_service_bytes(service, hello, sizeof(hello) - 1);
    initiate(s);
}

/* ----------------------------------------------------------------------------------------------- afterwards */

#define MUCH 20

static void send_much(struct scene *s)
{
    static const char much[30000];
    for (int i = 0; i < MUCH; i++)
        CHECK_INT(taps_connection_send(s->connection, much, sizeof(much), NULL, TAPS_SEND_LEND, NULL), 0);
    world_run_ms(&s->w, 200);
}

static void come_to_the_point(struct scene *s)
{
    serve_stream(s);
    initiate(s);
    world_run_ms(&s->w, 200);
    if (!s->peer)
        return;
    if (s->row->point == IN_MESSAGE || s->row->point == CLOSING_CUT)
        peer_says(s, "\0\012half!", 7, false); /* framed: ten bytes are to come */
    if (s->row->point >= SENDING)
        send_much(s);
    if (s->row->point >= CLOSING)
        CHECK_INT(taps_connection_close(s->connection), 0);
    world_run_ms(&s->w, 200);
}

static void happen(struct scene *s)
{
    if (!s->peer)
        return;
    s->happened_ms = taps_context_now_ms(s->w.context);
    if (s->row->way == RESET)
        CHECK_INT(taps_connection_abort(s->peer), 0);
    else if (s->row->way == FIN)
        peer_half_closes(s);
    else if (s->row->way == END)
        peer_says(s, "", 0, true);
    else
        tapsi_sim_link_fault(s->w.link, TAPSI_SIM_BLACKHOLE);
    world_run_ms(&s->w, 1000);
}

/* A Connection that lives on can still send, and a peer that has only ended its own direction still reads. */
static void go_on(struct scene *s)
{
    if (!s->peer || s->row->way == RESET || s->row->way == SILENCE)
        return;
    taps_connection_receive(s->peer, 1, 65536, NULL);
    if (taps_connection_state(s->connection) == TAPS_ESTABLISHED)
        CHECK_INT(taps_connection_send(s->connection, "go on", 5, NULL, 0, NULL), 0);
    world_run_ms(&s->w, 1000);
}

static void play(struct scene *s)
{
    switch (s->row->point) {
    case CONNECTING:
        connecting(s);
        return;
    case HANDSHAKE:
        in_handshake(s);
        return;
    case FLIGHT:
        in_flight(s);
        return;
    default:
        come_to_the_point(s);
        happen(s);
        go_on(s);
    }
}

static void run(const struct row *rows, size_t count)
{
    static const char *const stacks[] = {"tcp", "tls", "framed", "framed tls", "length", "length tls"};
    static const char *const points[] = {"connecting", "handshake", "flight",  "idle",
                                         "in message", "sending",   "closing", "closing, in a message"};
    static const char *const ways[] = {"reset", "fin", "end", "silence"};
    for (size_t i = 0; i < count; i++) {
        struct scene s;
        scene_new(&s, &rows[i]);
        play(&s);
        world_run_ms(&s.w, 400000);
        if (strcmp(s.log, rows[i].events) != 0)
            tapsi_test_fail(__FILE__, __LINE__, "%s, %s, %s: %s", stacks[rows[i].stack], points[rows[i].point],
                            ways[rows[i].way], s.log);
        CHECK(s.ends <= 1);
        if (rows[i].point >= CLOSING && strstr(s.log, "closed"))
            CHECK_INT(s.delivered, MUCH * (30000 + (rows[i].stack >= FRAMED ? 2 : 0)));
        scene_done(&s);
    }
}

#define RUN(rows) run(rows, sizeof(rows) / sizeof((rows)[0]))

/* ---------------------------------------------------------------------------------------------------- tests */

/* proves API-062, API-143 and API-145: nothing is there yet but one error. A FIN is no failure of TCP's: it is the end
   of what the peer says. */
TEST(before_it_is_ready)
{
    static const struct row rows[] = {
        {TCP, CONNECTING, RESET, NULL, "establishment_error REFUSED"},
        {TCP, CONNECTING, FIN, NULL, "ready, final"},
        {TCP, CONNECTING, SILENCE, NULL, "establishment_error TIMEOUT after 5 s"},
        {TLS, CONNECTING, RESET, NULL, "establishment_error REFUSED"},
        {TLS, CONNECTING, SILENCE, NULL, "establishment_error TIMEOUT after 5 s"},
        {TLS, HANDSHAKE, RESET, NULL, "establishment_error ABORTED"},
        {TLS, HANDSHAKE, FIN, NULL, "establishment_error TLS"},
        {TLS, HANDSHAKE, SILENCE, NULL, "establishment_error TIMEOUT after 5 s"},
        {TLS, FLIGHT, FIN, NULL, "establishment_error TLS"},
        {FRAMED, CONNECTING, RESET, NULL, "establishment_error REFUSED"},
        {FRAMED, CONNECTING, FIN, NULL, "ready, receive_error CLOSED"},
        {FRAMED, CONNECTING, SILENCE, NULL, "establishment_error TIMEOUT after 5 s"},
        {FRAMED_TLS, HANDSHAKE, RESET, NULL, "establishment_error ABORTED"},
        {FRAMED_TLS, HANDSHAKE, FIN, NULL, "establishment_error TLS"},
        {FRAMED_TLS, HANDSHAKE, SILENCE, NULL, "establishment_error TIMEOUT after 5 s"},
        {FRAMED_TLS, FLIGHT, FIN, NULL, "establishment_error TLS"},
        {LENGTH, CONNECTING, RESET, NULL, "establishment_error REFUSED"},
        {LENGTH, CONNECTING, FIN, NULL, "ready, receive_error CLOSED"},
        {LENGTH, CONNECTING, SILENCE, NULL, "establishment_error TIMEOUT after 5 s"},
        {LENGTH_TLS, HANDSHAKE, RESET, NULL, "establishment_error ABORTED"},
        {LENGTH_TLS, HANDSHAKE, FIN, NULL, "establishment_error TLS"},
        {LENGTH_TLS, HANDSHAKE, SILENCE, NULL, "establishment_error TIMEOUT after 5 s"},
        {LENGTH_TLS, FLIGHT, FIN, NULL, "establishment_error TLS"},
    };
    RUN(rows);
}

/* proves API-083, API-123, API-143, API-145 and IMPL-30: a reset is told though nobody sends; an end is not the end of
   the Connection; silence is noticed by who asked for keep-alive packets, and by nobody else. */
TEST(while_idle)
{
    static const struct row rows[] = {
        {TCP, IDLE, RESET, NULL, "ready, receive_error ABORTED, connection_error ABORTED"},
        {TCP, IDLE, FIN, NULL, "ready, final, sent"},
        {TCP, IDLE, SILENCE, NULL, "ready"},
        {TCP, IDLE, SILENCE, "connTimeout=20", "ready"},
        {TCP, IDLE, SILENCE, "connTimeout=20;keepAliveTimeout=5",
         "ready, receive_error TIMEOUT, connection_error TIMEOUT after 20 s"},
        {TLS, IDLE, RESET, NULL, "ready, receive_error ABORTED, connection_error ABORTED"},
        {TLS, IDLE, FIN, NULL, "ready, receive_error TRUNCATED, connection_error TRUNCATED"},
        {TLS, IDLE, FIN, "_tls.allowTruncation=true", "ready, final, sent"},
        {TLS, IDLE, END, NULL, "ready, final, sent"},
        {TLS, IDLE, SILENCE, NULL, "ready"},
        {TLS, IDLE, SILENCE, "connTimeout=20;keepAliveTimeout=5",
         "ready, receive_error TIMEOUT, connection_error TIMEOUT after 20 s"},
        {FRAMED, IDLE, RESET, NULL, "ready, receive_error ABORTED, connection_error ABORTED"},
        {FRAMED, IDLE, FIN, NULL, "ready, receive_error CLOSED, sent"},
        {FRAMED, IDLE, SILENCE, NULL, "ready"},
        {FRAMED_TLS, IDLE, RESET, NULL, "ready, receive_error ABORTED, connection_error ABORTED"},
        {FRAMED_TLS, IDLE, FIN, NULL, "ready, receive_error TRUNCATED, connection_error TRUNCATED"},
        {FRAMED_TLS, IDLE, END, NULL, "ready, receive_error CLOSED, sent"},
        {LENGTH, IDLE, RESET, NULL, "ready, receive_error ABORTED, connection_error ABORTED"},
        {LENGTH, IDLE, FIN, NULL, "ready, receive_error CLOSED, sent"},
        {LENGTH, IDLE, SILENCE, NULL, "ready"},
        {LENGTH_TLS, IDLE, RESET, NULL, "ready, receive_error ABORTED, connection_error ABORTED"},
        {LENGTH_TLS, IDLE, FIN, NULL, "ready, receive_error TRUNCATED, connection_error TRUNCATED"},
        {LENGTH_TLS, IDLE, END, NULL, "ready, receive_error CLOSED, sent"},
    };
    RUN(rows);
}

/* proves API-124, API-143 and API-145: what is cut is a ReceiveError and then a ConnectionError, once. A stream has no
   Messages to be cut: its end is the end of the one it is. */
TEST(in_the_middle_of_a_message)
{
    static const struct row rows[] = {
        {TCP, IN_MESSAGE, RESET, NULL, "ready, partial, receive_error ABORTED, connection_error ABORTED"},
        {TCP, IN_MESSAGE, FIN, NULL, "ready, partial, final, sent"},
        {TCP, IN_MESSAGE, SILENCE, NULL, "ready, partial"},
        {TLS, IN_MESSAGE, RESET, NULL, "ready, partial, receive_error ABORTED, connection_error ABORTED"},
        {TLS, IN_MESSAGE, FIN, NULL, "ready, partial, receive_error TRUNCATED, connection_error TRUNCATED"},
        {TLS, IN_MESSAGE, END, NULL, "ready, partial, final, sent"},
        {FRAMED, IN_MESSAGE, RESET, NULL, "ready, partial, receive_error ABORTED, connection_error ABORTED"},
        {FRAMED, IN_MESSAGE, FIN, NULL, "ready, partial, receive_error TRUNCATED, connection_error TRUNCATED"},
        {FRAMED, IN_MESSAGE, SILENCE, NULL, "ready, partial"},
        {FRAMED_TLS, IN_MESSAGE, RESET, NULL, "ready, partial, receive_error ABORTED, connection_error ABORTED"},
        {FRAMED_TLS, IN_MESSAGE, FIN, NULL, "ready, partial, receive_error TRUNCATED, connection_error TRUNCATED"},
        {FRAMED_TLS, IN_MESSAGE, END, NULL, "ready, partial, receive_error TRUNCATED, connection_error TRUNCATED"},
        {LENGTH, IN_MESSAGE, RESET, NULL, "ready, partial, receive_error ABORTED, connection_error ABORTED"},
        {LENGTH, IN_MESSAGE, FIN, NULL, "ready, partial, receive_error TRUNCATED, connection_error TRUNCATED"},
        {LENGTH, IN_MESSAGE, SILENCE, NULL, "ready, partial"},
        {LENGTH_TLS, IN_MESSAGE, RESET, NULL, "ready, partial, receive_error ABORTED, connection_error ABORTED"},
        {LENGTH_TLS, IN_MESSAGE, FIN, NULL, "ready, partial, receive_error TRUNCATED, connection_error TRUNCATED"},
        {LENGTH_TLS, IN_MESSAGE, END, NULL, "ready, partial, receive_error TRUNCATED, connection_error TRUNCATED"},
    };
    RUN(rows);
}

/* proves API-111, API-143, API-145 and API-146: each Send has its event before the end; a peer that has ended only its
   own direction still gets all. */
TEST(while_sending)
{
    static const struct row rows[] = {
        {TCP, SENDING, RESET, NULL, "ready, sent, send_error ABORTED, receive_error ABORTED, connection_error ABORTED"},
        {TCP, SENDING, FIN, NULL, "ready, sent, final, sent"},
        {TCP, SENDING, SILENCE, "connTimeout=20",
         "ready, sent, send_error TIMEOUT, receive_error TIMEOUT, connection_error TIMEOUT after 26 s"},
        {TCP, SENDING, SILENCE, NULL, "ready, sent"},
        {TLS, SENDING, RESET, NULL, "ready, sent, send_error ABORTED, receive_error ABORTED, connection_error ABORTED"},
        {TLS, SENDING, FIN, NULL,
         "ready, sent, send_error TRUNCATED, receive_error TRUNCATED, connection_error TRUNCATED"},
        {TLS, SENDING, END, NULL, "ready, sent, final, sent"},
        {TLS, SENDING, SILENCE, "connTimeout=20",
         "ready, sent, send_error TIMEOUT, receive_error TIMEOUT, connection_error TIMEOUT after 27 s"},
        {FRAMED, SENDING, RESET, NULL,
         "ready, sent, send_error ABORTED, receive_error ABORTED, connection_error ABORTED"},
        {FRAMED, SENDING, FIN, NULL, "ready, sent, receive_error CLOSED, sent"},
        {FRAMED, SENDING, SILENCE, "connTimeout=20",
         "ready, sent, send_error TIMEOUT, receive_error TIMEOUT, connection_error TIMEOUT after 26 s"},
        {FRAMED_TLS, SENDING, RESET, NULL,
         "ready, sent, send_error ABORTED, receive_error ABORTED, connection_error ABORTED"},
        {FRAMED_TLS, SENDING, END, NULL, "ready, sent, receive_error CLOSED, sent"},
        {LENGTH, SENDING, RESET, NULL,
         "ready, sent, send_error ABORTED, receive_error ABORTED, connection_error ABORTED"},
        {LENGTH, SENDING, FIN, NULL, "ready, sent, receive_error CLOSED, sent"},
        {LENGTH, SENDING, SILENCE, "connTimeout=20",
         "ready, sent, send_error TIMEOUT, receive_error TIMEOUT, connection_error TIMEOUT after 26 s"},
        {LENGTH_TLS, SENDING, RESET, NULL,
         "ready, sent, send_error ABORTED, receive_error ABORTED, connection_error ABORTED"},
        {LENGTH_TLS, SENDING, END, NULL, "ready, sent, receive_error CLOSED, sent"},
    };
    RUN(rows);
}

/* proves API-140, API-143, API-145 and API-146: Closed only where everything was delivered. What the peer has left
   unfinished no longer matters: it is not received any more. */
TEST(while_closing)
{
    static const struct row rows[] = {
        {TCP, CLOSING, RESET, NULL, "ready, sent, send_error ABORTED, receive_error ABORTED, connection_error ABORTED"},
        {TCP, CLOSING, FIN, NULL, "ready, sent, receive_error CLOSED, closed"},
        {TCP, CLOSING, SILENCE, NULL,
         "ready, sent, send_error TIMEOUT, receive_error TIMEOUT, connection_error TIMEOUT after 30 s"},
        {TCP, CLOSING, SILENCE, "_closeTimeout=5",
         "ready, sent, send_error TIMEOUT, receive_error TIMEOUT, connection_error TIMEOUT after 5 s"},
        {TCP, CLOSING, SILENCE, "connTimeout=3",
         "ready, sent, send_error TIMEOUT, receive_error TIMEOUT, connection_error TIMEOUT after 3 s"},
        {TLS, CLOSING, RESET, NULL, "ready, sent, send_error ABORTED, receive_error ABORTED, connection_error ABORTED"},
        {TLS, CLOSING, FIN, NULL, "ready, sent, receive_error CLOSED, closed"},
        {TLS, CLOSING, END, NULL, "ready, sent, receive_error CLOSED, closed"},
        {TLS, CLOSING, SILENCE, NULL,
         "ready, sent, send_error TIMEOUT, receive_error TIMEOUT, connection_error TIMEOUT after 30 s"},
        {FRAMED, CLOSING, RESET, NULL,
         "ready, sent, send_error ABORTED, receive_error ABORTED, connection_error ABORTED"},
        {FRAMED, CLOSING, FIN, NULL, "ready, sent, receive_error CLOSED, closed"},
        {FRAMED, CLOSING, SILENCE, NULL,
         "ready, sent, send_error TIMEOUT, receive_error TIMEOUT, connection_error TIMEOUT after 30 s"},
        {FRAMED_TLS, CLOSING, RESET, NULL,
         "ready, sent, send_error ABORTED, receive_error ABORTED, connection_error ABORTED"},
        {FRAMED_TLS, CLOSING, END, NULL, "ready, sent, receive_error CLOSED, closed"},
        {FRAMED_TLS, CLOSING, SILENCE, NULL,
         "ready, sent, send_error TIMEOUT, receive_error TIMEOUT, connection_error TIMEOUT after 30 s"},
        {FRAMED, CLOSING_CUT, FIN, NULL, "ready, sent, partial, sent, receive_error CLOSED, closed"},
        {FRAMED_TLS, CLOSING_CUT, FIN, NULL, "ready, sent, partial, sent, receive_error CLOSED, closed"},
        {FRAMED_TLS, CLOSING_CUT, END, NULL, "ready, sent, partial, sent, receive_error CLOSED, closed"},
        {LENGTH, CLOSING, RESET, NULL,
         "ready, sent, send_error ABORTED, receive_error ABORTED, connection_error ABORTED"},
        {LENGTH, CLOSING, FIN, NULL, "ready, sent, receive_error CLOSED, closed"},
        {LENGTH, CLOSING, SILENCE, NULL,
         "ready, sent, send_error TIMEOUT, receive_error TIMEOUT, connection_error TIMEOUT after 30 s"},
        {LENGTH_TLS, CLOSING, RESET, NULL,
         "ready, sent, send_error ABORTED, receive_error ABORTED, connection_error ABORTED"},
        {LENGTH_TLS, CLOSING, END, NULL, "ready, sent, receive_error CLOSED, closed"},
        {LENGTH_TLS, CLOSING, SILENCE, NULL,
         "ready, sent, send_error TIMEOUT, receive_error TIMEOUT, connection_error TIMEOUT after 30 s"},
        {LENGTH, CLOSING_CUT, FIN, NULL, "ready, sent, partial, sent, receive_error CLOSED, closed"},
        {LENGTH_TLS, CLOSING_CUT, FIN, NULL, "ready, sent, partial, sent, receive_error CLOSED, closed"},
        {LENGTH_TLS, CLOSING_CUT, END, NULL, "ready, sent, partial, sent, receive_error CLOSED, closed"},
    };
    RUN(rows);
}

/* proves API-140: a peer that stops reading until we have read what it says is read to the end, though nobody is to
   hear of it. */
TEST(close_reads_on_for_a_peer_that_waits_for_it)
{
    static const char much[100000];
    struct world w;
    world_new(&w);
    struct tapsi_sim_service *echo = tapsi_sim_serve(w.server, 443, TAPSI_SIM_ECHO);
    world_initiate(&w, REMOTE, 0);
    world_run_until_ready(&w);
    for (int i = 0; i < 30; i++)
        CHECK_INT(taps_connection_send(w.connection, much, sizeof(much), NULL, TAPS_SEND_LEND, NULL), 0);
    world_run_ms(&w, 2000);
    CHECK(tapsi_sim_service_counts(echo).received < 1000000); /* it is stuck with its answer */
    CHECK_INT(taps_connection_close(w.connection), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 1);
    CHECK_INT(w.heard.sent, 30);
    CHECK_INT(w.heard.received + w.heard.received_partial, 0);
    CHECK_INT(tapsi_sim_service_counts(echo).received, 3000000);
    world_finish(&w);
}
