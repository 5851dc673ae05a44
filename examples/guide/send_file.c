/* send_file HOST:PORT FILE [CAFILE]: sends a file over TLS, or in clear where no authority is named, in constant
 * memory. */
#include <stdio.h>
#include <stdlib.h>
#include <taps/taps.h>

/* [credit] */
#define PIECE  ((size_t)64 * 1024)
#define PIECES 4

struct sender {
    FILE *file;
    char *pieces[PIECES]; /* each is free, or lent to the library until its event */
    int under_way;
    bool ended;
    int result;
};

/* Lends the next piece of the file. When there is none and all are back, it closes: closed comes when the peer has
   acknowledged every byte. */
static void send_next(taps_connection *c, struct sender *s, char *piece)
{
    size_t length = s->ended ? 0 : fread(piece, 1, PIECE, s->file);
    s->ended = length == 0;
    if (length && taps_connection_send(c, piece, length, NULL, TAPS_SEND_LEND, piece) == 0)
        s->under_way++;
    else if (s->under_way == 0)
        taps_connection_close(c);
}

static void ready(taps_connection *c, void *user)
{
    struct sender *s = user;
    for (int i = 0; i < PIECES && !s->ended; i++)
        send_next(c, s, s->pieces[i]);
}

/* The tag says which piece is ours again. */
static void sent(taps_connection *c, void *tag, void *user)
{
    struct sender *s = user;
    s->under_way--;
    send_next(c, s, tag);
}
/* [/credit] */

static void closed(taps_connection *c, void *user)
{
    (void)c;
    ((struct sender *)user)->result = 0;
}

static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)user;
    fprintf(stderr, "send_file: %s\n", error->detail);
    taps_connection_free(c);
}

static const struct taps_connection_events events = {
    .ready = ready, .sent = sent, .closed = closed, .establishment_error = failed, .connection_error = failed};

static int start(taps_context *context, char **argv, int argc, struct sender *s)
{
    taps_preconnection *preconnection = NULL;
    taps_security_parameters *security = NULL;
    taps_connection *connection;
    int err = argc > 3 ? taps_security_parameters_new(&security) : taps_security_parameters_new_disabled(&security);
    if (!err && argc > 3)
        err = taps_security_parameters_add_ca_file(security, argv[3]);
    if (!err)
        err = taps_preconnection_new(context, &preconnection);
    if (!err)
        err = taps_preconnection_add_remote_text(preconnection, argv[1]);
    if (!err)
        err = taps_preconnection_set_security_parameters(preconnection, security);
    if (!err)
        err = taps_preconnection_initiate(preconnection, 10000, &events, s, &connection);
    taps_security_parameters_free(security);
    taps_preconnection_free(preconnection); /* actions have copied it */
    return err;
}

int main(int argc, char **argv)
{
    struct sender s = {.result = 1};
    taps_context *context;
    if (argc != 3 && argc != 4)
        return fprintf(stderr, "usage: send_file HOST:PORT FILE [CAFILE]\n"), 2;
    s.file = fopen(argv[2], "rb");
    if (!s.file)
        return perror(argv[2]), 1;
    char *memory = malloc(PIECES * PIECE);
    for (size_t i = 0; memory && i < PIECES; i++)
        s.pieces[i] = memory + i * PIECE;
    int err = memory ? taps_context_new(NULL, &context) : TAPS_E_MEMORY;
    if (!err) {
        err = start(context, argv, argc, &s);
        if (!err)
            taps_context_run(context);
        taps_context_free(context);
    }
    if (err)
        fprintf(stderr, "send_file: %s\n", taps_err_text(err));
    free(memory);
    fclose(s.file);
    return err ? 1 : s.result;
}
