#include "base/mem.h"
#include "select/endpoint.h"

static int new_endpoint(bool remote, taps_endpoint **ret_endpoint)
{
    if (!ret_endpoint)
        return TAPS_E_ARGUMENT;
    struct taps_endpoint *e = tapsi_alloc(tapsi_mem_default(), sizeof(*e));
    if (!e)
        return TAPS_E_MEMORY;
    tapsi_endpoint_init(e, remote);
    *ret_endpoint = e;
    return 0;
}

int taps_local_endpoint_new(taps_endpoint **ret_endpoint)
{
    return new_endpoint(false, ret_endpoint);
}

int taps_remote_endpoint_new(taps_endpoint **ret_endpoint)
{
    return new_endpoint(true, ret_endpoint);
}

void taps_endpoint_free(taps_endpoint *endpoint)
{
    tapsi_free(tapsi_mem_default(), endpoint);
}

int taps_endpoint_copy(const taps_endpoint *endpoint, taps_endpoint **ret_endpoint)
{
    if (!endpoint)
        return TAPS_E_ARGUMENT;
    int err = new_endpoint(endpoint->remote, ret_endpoint);
    if (!err)
        **ret_endpoint = *endpoint;
    return err;
}

int taps_endpoint_with_host_name(taps_endpoint *endpoint, const char *name)
{
    return endpoint && name ? tapsi_endpoint_set_host_name(endpoint, name) : TAPS_E_ARGUMENT;
}

int taps_endpoint_with_port(taps_endpoint *endpoint, uint16_t port)
{
    return endpoint ? tapsi_endpoint_set_port(endpoint, port) : TAPS_E_ARGUMENT;
}

int taps_endpoint_with_service(taps_endpoint *endpoint, const char *service)
{
    return endpoint && service ? tapsi_endpoint_set_service(endpoint, service) : TAPS_E_ARGUMENT;
}

int taps_endpoint_with_ip_address(taps_endpoint *endpoint, const char *address)
{
    return endpoint && address ? tapsi_endpoint_set_address_text(endpoint, address) : TAPS_E_ARGUMENT;
}

int taps_endpoint_with_ip_bytes(taps_endpoint *endpoint, const void *bytes, size_t count)
{
    return endpoint && bytes ? tapsi_endpoint_set_address_bytes(endpoint, bytes, count) : TAPS_E_ARGUMENT;
}

int taps_endpoint_with_interface(taps_endpoint *endpoint, const char *name)
{
    return endpoint && name ? tapsi_endpoint_set_interface(endpoint, name) : TAPS_E_ARGUMENT;
}

int taps_endpoint_with_protocol(taps_endpoint *endpoint, const char *protocol)
{
    return endpoint && protocol ? tapsi_endpoint_set_protocol(endpoint, protocol) : TAPS_E_ARGUMENT;
}

int taps_endpoint_with_text(taps_endpoint *endpoint, const char *text)
{
    return endpoint && text ? tapsi_endpoint_parse(endpoint, text) : TAPS_E_ARGUMENT;
}

static const char *unless_empty(const char *text)
{
    return text[0] ? text : NULL;
}

const char *taps_endpoint_host_name(const taps_endpoint *endpoint)
{
    return endpoint ? unless_empty(endpoint->host_name) : NULL;
}

const char *taps_endpoint_ip_address(const taps_endpoint *endpoint)
{
    return endpoint && endpoint->has_address ? endpoint->address_text : NULL;
}

const char *taps_endpoint_interface(const taps_endpoint *endpoint)
{
    return endpoint ? unless_empty(endpoint->interface) : NULL;
}

const char *taps_endpoint_service(const taps_endpoint *endpoint)
{
    return endpoint ? unless_empty(endpoint->service) : NULL;
}

const char *taps_endpoint_protocol(const taps_endpoint *endpoint)
{
    return endpoint ? unless_empty(endpoint->protocol) : NULL;
}

uint16_t taps_endpoint_port(const taps_endpoint *endpoint)
{
    return endpoint ? endpoint->port : 0;
}

size_t taps_endpoint_text(const taps_endpoint *endpoint, char *text, size_t size)
{
    if (!text)
        size = 0;
    if (!endpoint) {
        if (size)
            text[0] = '\0';
        return 0;
    }
    return tapsi_endpoint_text(endpoint, text, size);
}
