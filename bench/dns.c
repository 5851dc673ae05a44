/*
 * A DNS server for the row that connects by name: one name (any) has the address given and no other record. It answers
 * what both programs ask, from the same place, and reads no more of a query than it must.
 *
 *     bench-dns ADDRESS PORT ANSWER     prints "ready port=N pid=N"
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define SKIPPED 77
#define HEADER  12
#define LARGEST 512
#define TYPE_A  1

/* The end of the only question, or 0. */
static size_t question_end(const uint8_t *query, size_t length)
{
    size_t at = HEADER;
    while (at < length && query[at] != 0) {
        at += query[at] + (size_t)1;
    }
    return at + 5 <= length ? at + 5 : 0;
}

/* The query becomes its answer; 0: it is none. */
static size_t answer(uint8_t *query, size_t length, const struct in_addr *address)
{
    static const uint8_t record[] = {0xc0, HEADER, 0, TYPE_A, 0, 1, 0, 0, 0, 60, 0, 4};
    size_t end = length < HEADER || query[4] != 0 || query[5] != 1 ? 0 : question_end(query, length);
    if (end == 0 || end + sizeof record + 4 > LARGEST) {
        return 0;
    }
    uint8_t has = query[end - 4] == 0 && query[end - 3] == TYPE_A;
    query[2] = 0x84 | (query[2] & 1); /* an answer, authoritative; recursion as asked */
    query[3] = 0x80;
    memset(query + 6, 0, 6);
    query[7] = has;
    if (!has) {
        return end;
    }
    memcpy(query + end, record, sizeof record);
    memcpy(query + end + sizeof record, address, 4);
    return end + sizeof record + 4;
}

int main(int argc, char **argv)
{
    struct sockaddr_in local = {.sin_family = AF_INET};
    struct in_addr address;
    socklen_t size = sizeof local;
    if (argc != 4 || inet_pton(AF_INET, argv[1], &local.sin_addr) != 1 || inet_pton(AF_INET, argv[3], &address) != 1) {
        fprintf(stderr, "usage: bench-dns ADDRESS PORT ANSWER\n");
        return 2;
    }
    local.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof local) != 0 ||
        getsockname(fd, (struct sockaddr *)&local, &size) != 0) {
        perror("bench-dns");
        return errno == EACCES ? SKIPPED : 1; /* port 53 is for the privileged */
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    printf("ready port=%u pid=%ld\n", (unsigned)ntohs(local.sin_port), (long)getpid());
    fflush(stdout);
    for (;;) {
        uint8_t query[LARGEST];
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t count = recvfrom(fd, query, sizeof query, 0, (struct sockaddr *)&from, &length);
        size_t reply = count > 0 ? answer(query, (size_t)count, &address) : 0;
        if (reply > 0) {
            sendto(fd, query, reply, 0, (struct sockaddr *)&from, length);
        }
    }
}
