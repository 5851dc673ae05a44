#include "plain.h"

#include <string.h>

struct job {
    const char *stack;
    const char *name;
    void (*server)(const struct bench_options *options);
    void (*client)(const struct bench_options *options);
};

static const struct job jobs[] = {
    {"tcp", "pingpong", plain_pingpong_server, plain_pingpong_client},
    {"tcp", "exchange", plain_pingpong_server, plain_exchange_client},
    {"tcp", "bulk", plain_bulk_server, plain_bulk_client},
    {"tcp", "flood", plain_bulk_server, plain_flood_client},
    {"tcp", "framed-flood", plain_framed_server, plain_framed_flood_client},
    {"tcp", "framed-pingpong", plain_framed_server, plain_framed_pingpong_client},
    {"tcp", "framed-bulk", plain_framed_server, plain_framed_bulk_client},
    {"tcp", "hammer", plain_connect_server, plain_hammer_client},
    {"tcp", "idle", plain_pingpong_server, plain_idle_client},
    {"tcp", "connect", plain_connect_server, plain_connect_client},
    {"udp", "pingpong", plain_udp_server, plain_udp_client},
    {"dtls", "pingpong", plain_dtls_server, plain_dtls_pingpong_client},
    {"dtls", "flood", plain_dtls_server, plain_dtls_flood_client},
    {"tls", "pingpong", plain_tls_server, plain_tls_client},
    {"tls", "bulk", plain_tls_server, plain_tls_client},
    {"tls", "connect", plain_tls_server, plain_tls_client},
    {"tls", "idle", plain_tls_server, plain_tls_client},
    {"quic", "pingpong", plain_quic_server, plain_quic_client},
    {"quic", "bulk", plain_quic_server, plain_quic_client},
    {"quic", "connect", plain_quic_server, plain_quic_client},
    {"quic", "idle", plain_quic_server, plain_quic_client},
    {"quic", "streams", plain_quic_server, plain_quic_client},
};

int main(int argc, char **argv)
{
    struct bench_options options;
    if (argc == 4 && strcmp(argv[1], "make-certificate") == 0) {
        plain_tls_make_certificate(argv[2], argv[3]);
        return 0;
    }
    bench_options_parse(&options, argc, argv);
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        if (strcmp(jobs[i].stack, options.stack) == 0 && strcmp(jobs[i].name, options.job) == 0) {
            (options.server ? jobs[i].server : jobs[i].client)(&options);
            return 0;
        }
    }
    bench_die(options.job, "not on this stack");
}
