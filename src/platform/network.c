#include "platform/platform.h"

#include <assert.h>

struct tapsi_network *tapsi_network_ref(struct tapsi_network *network)
{
    network->refs++;
    return network;
}

static void free_array(struct tapsi_mem *mem, const void *array)
{
    /* The arrays are const for readers only; here the block goes back to where it came from. */
    union {
        const void *read;
        void *block;
    } u = {.read = array};
    tapsi_free(mem, u.block);
}

void tapsi_network_unref(struct tapsi_network *network)
{
    if (!network)
        return;
    assert(network->refs > 0);
    if (--network->refs > 0)
        return;
    for (size_t i = 0; i < network->interface_count; i++) {
        free_array(network->mem, network->interfaces[i].addresses);
        free_array(network->mem, network->interfaces[i].routes);
    }
    tapsi_free(network->mem, network->interfaces);
    tapsi_free(network->mem, network);
}
