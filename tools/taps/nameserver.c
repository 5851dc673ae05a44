/* SPDX-License-Identifier: MIT */
#include "nameserver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 12, PACKET_MAX = 512, NAME_MAX_TEXT = 255, TYPE_A = 1, TYPE_AAAA = 28, CLASS_IN = 1, TTL = 60 };
enum { NO_ERROR = 0, FORMAT_ERROR = 1, NAME_ERROR = 3 };

int nameserver_open(struct nameserver *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int error;

    server->answered = 0;
    server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (server->fd < 0)
        return errno;
    if (bind(server->fd, (struct sockaddr *)&address, length) < 0 ||
        getsockname(server->fd, (struct sockaddr *)&address, &length) < 0) {
        error = errno;
        close(server->fd);
        server->fd = -1;
        return error;
    }
    snprintf(server->address, sizeof server->address, "127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    return 0;
}

void nameserver_close(struct nameserver *server)
{
    if (server->fd >= 0)
        close(server->fd);
    server->fd = -1;
}

/* The question's name as text. Returns the offset behind it, or 0 if it is no name. A question is not compressed. */
static size_t read_name(const unsigned char *packet, size_t size, char *text)
{
    size_t at = HEADER, used = 0;

    while (at < size && packet[at] != 0) {
        size_t label = packet[at];

        if (label > 63 || at + 1 + label >= size || used + label + 1 >= NAME_MAX_TEXT)
            return 0;
        if (used > 0)
            text[used++] = '.';
        memcpy(text + used, packet + at + 1, label);
        used += label;
        at += 1 + label;
    }
    text[used] = '\0';
    return at < size ? at + 1 : 0;
}

static bool is_below(const char *name, const char *domain)
{
    size_t name_length = strlen(name), length = strlen(domain);

    return name_length > length && name[name_length - length - 1] == '.' &&
           strcasecmp(name + name_length - length, domain) == 0;
}

static void put16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static size_t put_address(unsigned char *packet, size_t at, unsigned type, const void *address, size_t length)
{
    put16(packet + at, 0xC000 | HEADER); /* the name: a pointer to the question's */
    put16(packet + at + 2, type);
    put16(packet + at + 4, CLASS_IN);
    put16(packet + at + 6, 0);
    put16(packet + at + 8, TTL);
    put16(packet + at + 10, (unsigned)length);
    memcpy(packet + at + 12, address, length);
    return at + 12 + length;
}

/* Turns the question in `packet` into its answer. Returns the answer's size, or 0 to stay silent. */
static size_t answer(const struct nameserver *server, unsigned char *packet, size_t size)
{
    char name[NAME_MAX_TEXT + 1];
    unsigned type, count = 0, code = NO_ERROR;
    size_t end;

    if (size < HEADER || (packet[2] & 0x80) != 0)
        return 0;
    end = read_name(packet, size, name);
    if (end == 0 || end + 4 > size)
        return 0;
    type = (unsigned)packet[end] << 8 | packet[end + 1];
    end += 4;
    if ((packet[2] & 0x78) != 0 || packet[4] != 0 || packet[5] != 1)
        code = FORMAT_ERROR;
    else if (!is_below(name, server->domain))
        code = NAME_ERROR;
    for (size_t i = 0; code == NO_ERROR && type == TYPE_A && i < server->v4_count; i++, count++)
        end = put_address(packet, end, TYPE_A, &server->v4[i], 4);
    for (size_t i = 0; code == NO_ERROR && type == TYPE_AAAA && i < server->v6_count; i++, count++)
        end = put_address(packet, end, TYPE_AAAA, &server->v6[i], 16);
    packet[2] = (unsigned char)(0x84 | (packet[2] & 0x79)); /* an answer, with authority */
    packet[3] = (unsigned char)(0x80 | code);
    put16(packet + 6, count);
    put16(packet + 8, 0);
    put16(packet + 10, 0);
    return end;
}

void nameserver_answer(struct nameserver *server)
{
    /* Room behind the largest question for every address. */
    unsigned char packet[PACKET_MAX + NAMESERVER_ADDRESSES * 28];
    struct sockaddr_storage from;

    for (;;) {
        socklen_t length = sizeof from;
        ssize_t size = recvfrom(server->fd, packet, PACKET_MAX, 0, (struct sockaddr *)&from, &length);
        size_t reply;

        if (size < 0)
            return;
        reply = answer(server, packet, (size_t)size);
        if (reply > 0 && sendto(server->fd, packet, reply, 0, (struct sockaddr *)&from, length) >= 0)
            server->answered++;
    }
}
