/*
 * The kernel's messages about links, addresses and routes. The first byte says which allocation fails (0: none), the
 * rest is one batch after the other, each behind its length in two bytes. Whatever they say, the snapshot is sound.
 */
#include <errno.h>
#include "input.h"
#include "platform/linux/survey.h"
#include "support.h"

#define SEQUENCE 77

static void check_prefix(const union tapsi_addr *a, unsigned bits)
{
    CHECK(a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6);
    CHECK(bits <= (a->sa.sa_family == AF_INET ? 32 : 128));
    CHECK_INT(tapsi_addr_port(a), 0);
}

static void check_interface(const struct tapsi_interface *i)
{
    CHECK(i->name[0] && memchr(i->name, '\0', sizeof(i->name)));
    CHECK(i->index > 0);
    CHECK(i->type >= TAPSI_IF_OTHER && i->type <= TAPSI_IF_VPN);
    for (size_t k = 0; k < i->address_count; k++)
        check_prefix(&i->addresses[k].address, i->addresses[k].prefix_bits);
    for (size_t k = 0; k < i->route_count; k++)
        check_prefix(&i->routes[k].destination, i->routes[k].prefix_bits);
}

static void check_snapshot(struct tapsi_survey *s)
{
    struct tapsi_network *network = NULL;
    int err = tapsi_survey_snapshot(s, 1, &network);
    CHECK(err == 0 || err == -ENOMEM);
    if (err)
        return;
    CHECK_INT(network->interface_count, s->link_count);
    for (size_t i = 0; i < network->interface_count; i++) {
        check_interface(&network->interfaces[i]);
        CHECK(i == 0 || network->interfaces[i - 1].index < network->interfaces[i].index);
    }
    tapsi_network_unref(network);
}

static void parse_batches(struct tapsi_survey *s, struct fuzz_input *in)
{
    while (in->left) {
        size_t count, length = (size_t)fuzz_number(in, 2);
        const uint8_t *at = fuzz_bytes(in, length, &count);
        char *batch = fuzz_copy(at, count);
        int state = tapsi_netlink_parse(s, batch, count, SEQUENCE);
        CHECK(state <= 1);
        free(batch);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    struct fuzz_memory memory;
    struct tapsi_mem mem;
    struct tapsi_survey survey;
    fuzz_begin();
    fuzz_memory_init(&memory, fuzz_below(&in, 64));
    tapsi_mem_init(&mem, &memory.allocator);
    tapsi_survey_init(&survey, &mem);
    parse_batches(&survey, &in);
    check_snapshot(&survey);
    tapsi_survey_reset(&survey);
    check_snapshot(&survey);
    tapsi_survey_done(&survey);
    CHECK_INT(memory.blocks, 0);
    return 0;
}
