#include "plain_channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUTPUT_SIZE (2 * (size_t)BENCH_CHUNK)

struct plain_output {
    size_t at, end;
    char bytes[OUTPUT_SIZE];
};

static struct {
    const struct plain_channel *owner;
    size_t at, end;
    char bytes[BENCH_CHUNK];
} input;

static struct plain_output *spare;

static struct plain_output *take_output(void)
{
    struct plain_output *output = spare != NULL ? spare : malloc(sizeof *output);
    if (output == NULL) {
        bench_die("output", "no memory");
    }
    spare = NULL;
    output->at = output->end = 0;
    return output;
}

static void give_output(struct plain_channel *channel)
{
    free(spare);
    spare = channel->output;
    channel->output = NULL;
}

bool plain_channel_flush(struct plain_channel *channel)
{
    struct plain_output *output = channel->output;
    while (output != NULL && output->at < output->end) {
        ssize_t count = send(channel->fd, output->bytes + output->at, output->end - output->at, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) {
            return false;
        }
        if (count < 0) {
            output->at = output->end; /* the peer has gone; reading will tell */
            break;
        }
        output->at += (size_t)count;
    }
    if (output != NULL) {
        give_output(channel);
    }
    return true;
}

size_t plain_channel_unsent(const struct plain_channel *channel)
{
    return channel->output != NULL ? channel->output->end - channel->output->at : 0;
}

static ssize_t push(gnutls_transport_ptr_t pointer, const giovec_t *pieces, int count)
{
    struct plain_channel *channel = pointer;
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        total += pieces[i].iov_len;
    }
    if (channel->output == NULL) {
        channel->output = take_output();
    }
    struct plain_output *output = channel->output;
    if (total > OUTPUT_SIZE - output->end && output->at > 0) {
        memmove(output->bytes, output->bytes + output->at, output->end - output->at);
        output->end -= output->at;
        output->at = 0;
    }
    if (total > OUTPUT_SIZE - output->end) {
        errno = EAGAIN;
        return -1;
    }
    for (int i = 0; i < count; i++) {
        memcpy(output->bytes + output->end, pieces[i].iov_base, pieces[i].iov_len);
        output->end += pieces[i].iov_len;
    }
    return (ssize_t)total;
}

/* A read shorter than the buffer means the socket is empty. */
static ssize_t fill(struct plain_channel *channel)
{
    if (!channel->readable) {
        errno = EAGAIN;
        return -1;
    }
    ssize_t count = recv(channel->fd, input.bytes, sizeof input.bytes, 0);
    if (count < (ssize_t)sizeof input.bytes && count != 0) {
        channel->readable = false;
    }
    input.owner = channel;
    input.at = 0;
    input.end = count > 0 ? (size_t)count : 0;
    return count;
}

static ssize_t pull(gnutls_transport_ptr_t pointer, void *to, size_t room)
{
    struct plain_channel *channel = pointer;
    if (input.at < input.end && input.owner != channel) {
        bench_die("tls", "another session has left input behind");
    }
    if (input.at == input.end) {
        ssize_t count = fill(channel);
        if (count <= 0) {
            return count;
        }
    }
    size_t part = room < input.end - input.at ? room : input.end - input.at;
    memcpy(to, input.bytes + input.at, part);
    input.at += part;
    return (ssize_t)part;
}

static int has_input(gnutls_transport_ptr_t pointer, unsigned ms)
{
    (void)ms;
    const struct plain_channel *channel = pointer;
    return channel->readable || input.at < input.end;
}

void plain_channel_init(struct plain_channel *channel, int fd, gnutls_session_t session)
{
    *channel = (struct plain_channel){.fd = fd, .readable = true};
    gnutls_transport_set_ptr(session, channel);
    gnutls_transport_set_vec_push_function(session, push);
    gnutls_transport_set_pull_function(session, pull);
    gnutls_transport_set_pull_timeout_function(session, has_input);
}

void plain_channel_close(struct plain_channel *channel)
{
    if (input.owner == channel) {
        input.at = input.end = 0;
        input.owner = NULL;
    }
    if (channel->output != NULL) {
        give_output(channel);
    }
    close(channel->fd);
}
