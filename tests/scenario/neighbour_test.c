/*
 * The library as a neighbour of other code in one process, on the kernel's network: no call waits for the network, and
 * nothing that belongs to the process is changed (RFC 9621, 2.1 and 2.4).
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <locale.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <taps/taps.h>
#include "base/test.h"

/* A socket of the program's own on the loopback, which nobody reads; returns its port. */
static uint16_t mute_socket(int type, int *ret_fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    *ret_fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (*ret_fd < 0 || bind(*ret_fd, (struct sockaddr *)&address, length) < 0 ||
        (type == SOCK_STREAM && listen(*ret_fd, 1) < 0) ||
        getsockname(*ret_fd, (struct sockaddr *)&address, &length) < 0)
        abort();
    return ntohs(address.sin_port);
}

static taps_preconnection *plain_preconnection(taps_context *context, const char *remote)
{
    taps_preconnection *p;
    taps_security_parameters *none;
    taps_preconnection_new(context, &p);
    taps_security_parameters_new_disabled(&none);
    taps_preconnection_set_security_parameters(p, none);
    taps_security_parameters_free(none);
    CHECK_INT(taps_preconnection_add_remote_text(p, remote), 0);
    return p;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void ignore_resolved(void *user, const struct taps_error *error, const taps_endpoint *const *locals,
                            size_t local_count, const taps_endpoint *const *remotes, size_t remote_count)
{
    (void)user;
    (void)error;
    (void)locals;
    (void)local_count;
    (void)remotes;
    (void)remote_count;
}

#define AT_ONCE 1.0 /* seconds: on a busy machine much, against what the network would take nothing */

/* proves ARCH-01: a name server that never answers keeps nobody waiting but the Connection. */
TEST(no_call_waits_for_a_name_server)
{
    int fd;
    char resolver[32];
    taps_context *context;
    taps_connection *c;
    taps_transport_properties *all;
    snprintf(resolver, sizeof(resolver), "127.0.0.1:%u", mute_socket(SOCK_DGRAM, &fd));
    struct taps_context_options options = {.resolver = resolver};
    NEED(taps_context_new(&options, &context) == 0);
    taps_preconnection *p = plain_preconnection(context, "slow.test:80");
    double began = seconds();
    CHECK_INT(taps_preconnection_resolve(p, 60000, ignore_resolved, NULL), 0);
    CHECK_INT(taps_preconnection_initiate(p, 60000, NULL, NULL, &c), 0);
    taps_context_run_once(context, 0);
    CHECK_INT(taps_connection_send(c, "x", 1, NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_receive(c, 1, 1, NULL), 0);
    CHECK_INT(taps_connection_get_properties(c, &all), 0);
    taps_transport_properties_free(all);
    CHECK(taps_connection_report(c) != NULL);
    CHECK_INT(taps_connection_close(c), 0);
    taps_connection_free(c);
    taps_preconnection_free(p);
    CHECK_INT(taps_context_free(context), 0);
    CHECK(seconds() - began < AT_ONCE);
    close(fd);
}

static void mark_ready(taps_connection *c, void *user)
{
    (void)c;
    *(bool *)user = true;
}

/* proves ARCH-01: a peer that does not read fills the kernel's buffers, and then ours, but stops nobody. */
TEST(no_send_waits_for_the_peer)
{
    static const struct taps_connection_events events = {.ready = mark_ready};
    static char big[1 << 20];
    int fd;
    bool ready = false;
    char remote[32];
    taps_context *context;
    taps_connection *c;
    snprintf(remote, sizeof(remote), "127.0.0.1:%u", mute_socket(SOCK_STREAM, &fd));
    NEED(taps_context_new(NULL, &context) == 0);
    taps_preconnection *p = plain_preconnection(context, remote);
    CHECK_INT(taps_preconnection_initiate(p, 60000, &events, &ready, &c), 0);
    for (int i = 0; i < 500 && !ready; i++)
        taps_context_run_once(context, 10);
    CHECK(ready);
    double began = seconds();
    for (int i = 0; i < 32; i++)
        CHECK_INT(taps_connection_send(c, big, sizeof(big), NULL, TAPS_SEND_LEND, NULL), 0);
    for (int i = 0; i < 32; i++)
        taps_context_run_once(context, 0);
    CHECK_INT(taps_connection_send(c, big, sizeof(big), NULL, TAPS_SEND_LEND, NULL), 0);
    taps_connection_free(c);
    taps_preconnection_free(p);
    CHECK_INT(taps_context_free(context), 0);
    CHECK(seconds() - began < AT_ONCE);
    close(fd);
}

static int count_threads(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    if (!folder)
        return -1;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

struct process {
    int threads;
    sigset_t blocked;
    mode_t mask;
    char locale[64], folder[256];
    struct rlimit files;
};

static void look(struct process *p)
{
    memset(p, 0, sizeof(*p));
    p->threads = count_threads();
    sigprocmask(SIG_SETMASK, NULL, &p->blocked);
    p->mask = umask(0);
    umask(p->mask);
    snprintf(p->locale, sizeof(p->locale), "%s", setlocale(LC_ALL, NULL));
    if (!getcwd(p->folder, sizeof(p->folder)))
        p->folder[0] = 0;
    getrlimit(RLIMIT_NOFILE, &p->files);
}

static void note_failure(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    *(int *)user = error->code;
}

/* proves ARCH-03: with names, TLS and its trust store in use; and what the process had it still has afterwards. */
TEST(nothing_of_the_process_is_changed)
{
    static const struct taps_connection_events events = {.establishment_error = note_failure};
    struct process before, during, after;
    int fd, code = 0;
    char remote[32];
    taps_context *context;
    taps_connection *c;
    taps_preconnection *p;
    snprintf(remote, sizeof(remote), "localhost:%u", mute_socket(SOCK_STREAM, &fd));
    look(&before);
    NEED(taps_context_new(NULL, &context) == 0);
    NEED(taps_preconnection_new(context, &p) == 0);
    CHECK_INT(taps_preconnection_add_remote_text(p, remote), 0);
    CHECK_INT(taps_preconnection_initiate(p, 300, &events, &code, &c), 0); /* security by default */
    for (int i = 0; i < 200 && !code; i++)
        taps_context_run_once(context, 10);
    look(&during);
    CHECK(code == TAPS_E_TIMEOUT || taps_err_reason(code) != TAPS_REASON_NONE);
    taps_connection_free(c);
    taps_preconnection_free(p);
    CHECK_INT(taps_context_free(context), 0);
    look(&after);
    CHECK(memcmp(&before, &during, sizeof(before)) == 0);
    CHECK(memcmp(&before, &after, sizeof(before)) == 0);
    close(fd);
}
