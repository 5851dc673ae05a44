#include "stack/secure/keylog.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/str.h"
#include "stack/secure/handshake.h"

#define LINE_MAX_BYTES 512 /* a label of some 40 bytes, 32 bytes of random, 64 of secret */

static size_t add_hex(char *to, size_t size, size_t length, const gnutls_datum_t *bytes)
{
    for (unsigned i = 0; i < bytes->size; i++)
        length += tapsi_format(to + length, size - length, "%02x", bytes->data[i]);
    return length;
}

/* One write for one line: several processes may share the file. A log that cannot be written fails nobody, and one that
   is a fifo which nobody reads makes nobody wait. */
static void append(const char *path, const char *line, size_t length)
{
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (file < 0)
        return;
    ssize_t written = write(file, line, length);
    (void)written;
    close(file);
}

int tapsi_keylog(gnutls_session_t session, const char *label, const gnutls_datum_t *secret)
{
    struct tapsi_handshake *h = gnutls_session_get_ptr(session);
    char line[LINE_MAX_BYTES];
    gnutls_datum_t client, server;
    if (!h || !h->security || !h->security->key_log || strlen(label) + 2 * (32 + secret->size) + 4 > sizeof(line))
        return 0;
    gnutls_session_get_random(session, &client, &server);
    size_t length = tapsi_format(line, sizeof(line), "%s ", label);
    length = add_hex(line, sizeof(line), length, &client);
    length += tapsi_format(line + length, sizeof(line) - length, " ");
    length = add_hex(line, sizeof(line), length, secret);
    length += tapsi_format(line + length, sizeof(line) - length, "\n");
    append(h->security->key_log, line, length);
    explicit_bzero(line, sizeof(line));
    return 0;
}
