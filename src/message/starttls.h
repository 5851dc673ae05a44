/* STARTTLS at work: what its files share. framer_starttls.c (options, lines, stepping aside), starttls_client.c,
   starttls_server.c. */
#ifndef TAPSI_MESSAGE_STARTTLS_H
#define TAPSI_MESSAGE_STARTTLS_H

#include <taps/framer.h>

enum tapsi_starttls_protocol {
    TAPSI_STARTTLS_SMTP, /* RFC 3207 */
    TAPSI_STARTTLS_IMAP, /* RFC 3501, 6.2.1; RFC 9051, 6.2.1 */
    TAPSI_STARTTLS_POP3, /* RFC 2595, 4 */
    TAPSI_STARTTLS_POSTGRESQL,
    TAPSI_STARTTLS_NONE
};

struct tapsi_starttls_options {
    uint8_t protocol; /* enum tapsi_starttls_protocol */
    char name[256];   /* of this end, where the protocol has a place for it */
};

struct tapsi_starttls {
    uint8_t step; /* of the client */
    bool listing; /* it is in the middle of an answer of several lines */
    bool offered;
    unsigned lines; /* read so far */
};

struct tapsi_starttls_line {
    const char *text; /* without its end */
    size_t length;
    char quoted[96]; /* its beginning, fit to be shown */
};

/* 1: a line, at the cursor, not taken; valid until the next call that takes or parses. 0: not yet; negative: failed. */
int tapsi_starttls_read_line(taps_framing *framing, struct tapsi_starttls_line *line);
/* Takes the next word off the line's front. */
bool tapsi_starttls_next_word(struct tapsi_starttls_line *line, const char **word, size_t *length);
/* Whatever the case. */
bool tapsi_starttls_is(const char *word, size_t length, const char *text);
int tapsi_starttls_say(taps_framing *framing, const char *text);
/* TLS may begin, if nothing is left here. */
int tapsi_starttls_begin(taps_framing *framing);
/* In clear. */
void tapsi_starttls_step_aside(taps_framing *framing);

int tapsi_starttls_start_client(taps_framing *framing);
int tapsi_starttls_start_server(taps_framing *framing);
/* handle_received_data of each. */
int tapsi_starttls_ask(taps_framing *framing);
int tapsi_starttls_serve(taps_framing *framing);

#endif
