#include "platform/platform.h"

#include <stdlib.h>
#include "base/test.h"

static size_t live;

static void *counted(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        live--;
        free(block);
        return NULL;
    }
    live += block == NULL;
    return realloc(block, size);
}

TEST(the_last_unref_frees_everything)
{
    struct tapsi_mem mem;
    live = 0;
    tapsi_mem_init(&mem, &(struct taps_allocator){.resize = counted});
    struct tapsi_network *network = tapsi_zalloc(&mem, sizeof(*network));
    NEED(network);
    network->mem = &mem;
    network->refs = 1;
    network->interface_count = 2;
    network->interfaces = tapsi_calloc(&mem, 2, sizeof(*network->interfaces));
    NEED(network->interfaces);
    network->interfaces[0].addresses = tapsi_calloc(&mem, 3, sizeof(struct tapsi_local_address));
    network->interfaces[1].routes = tapsi_calloc(&mem, 3, sizeof(struct tapsi_route));
    CHECK_INT(live, 4);
    CHECK(tapsi_network_ref(network) == network);
    tapsi_network_unref(network);
    CHECK_INT(live, 4);
    tapsi_network_unref(network);
    CHECK_INT(live, 0);
}

TEST(an_empty_network_and_no_network_can_be_freed)
{
    struct tapsi_mem mem;
    live = 0;
    tapsi_mem_init(&mem, &(struct taps_allocator){.resize = counted});
    struct tapsi_network *network = tapsi_zalloc(&mem, sizeof(*network));
    NEED(network);
    network->mem = &mem;
    network->refs = 1;
    tapsi_network_unref(network);
    tapsi_network_unref(NULL);
    CHECK_INT(live, 0);
}
