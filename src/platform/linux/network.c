/* The snapshot of the network: kept as long as nobody has heard of a change. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/list.h"
#include "platform/linux/linux.h"
#include "platform/linux/survey.h"

void tapsi_linux_network_init(struct tapsi_linux *x)
{
    x->notify_fd = x->heard.fd = -1;
}

void tapsi_linux_network_done(struct tapsi_linux *x)
{
    tapsi_linux_watch_network(&x->base, NULL);
    tapsi_network_unref(x->network);
    if (x->notify_fd >= 0)
        close(x->notify_fd);
}

static bool same_addresses(const struct tapsi_interface *a, const struct tapsi_interface *b)
{
    if (a->address_count != b->address_count)
        return false;
    for (size_t i = 0; i < a->address_count; i++) {
        const struct tapsi_local_address *x = &a->addresses[i], *y = &b->addresses[i];
        if (!tapsi_addr_equal(&x->address, &y->address) || x->prefix_bits != y->prefix_bits ||
            x->temporary != y->temporary || x->deprecated != y->deprecated)
            return false;
    }
    return true;
}

static bool same_routes(const struct tapsi_interface *a, const struct tapsi_interface *b)
{
    if (a->route_count != b->route_count)
        return false;
    for (size_t i = 0; i < a->route_count; i++) {
        const struct tapsi_route *x = &a->routes[i], *y = &b->routes[i];
        if (!tapsi_addr_equal(&x->destination, &y->destination) || x->prefix_bits != y->prefix_bits ||
            x->metric != y->metric)
            return false;
    }
    return true;
}

static bool same_network(const struct tapsi_network *a, const struct tapsi_network *b)
{
    if (a->interface_count != b->interface_count)
        return false;
    for (size_t i = 0; i < a->interface_count; i++) {
        const struct tapsi_interface *x = &a->interfaces[i], *y = &b->interfaces[i];
        if (x->index != y->index || strcmp(x->name, y->name) != 0 || x->type != y->type || x->mtu != y->mtu ||
            x->up != y->up || !same_addresses(x, y) || !same_routes(x, y))
            return false;
    }
    return true;
}

static bool forbidden(int err)
{
    return err == -EACCES || err == -EPERM || err == -EAFNOSUPPORT || err == -EPROTONOSUPPORT;
}

/* The notifier is opened before the first survey, so that a change in between is not missed. */
static int listen_for_changes(struct tapsi_linux *x)
{
    if (x->notify_fd >= 0 || x->no_notify)
        return 0;
    int fd = tapsi_netlink_notifier();
    if (fd >= 0) {
        x->notify_fd = fd;
    } else if (forbidden(fd)) {
        x->no_notify = true;
    } else {
        return fd;
    }
    return 0;
}

static int survey(struct tapsi_linux *x, struct tapsi_survey *s)
{
    if (!x->no_netlink) {
        int err = tapsi_netlink_survey(s);
        if (!forbidden(err))
            return err;
        x->no_netlink = true;
    }
    return tapsi_classic_survey(s);
}

static int renew(struct tapsi_linux *x)
{
    struct tapsi_survey s;
    struct tapsi_network *network = NULL;
    tapsi_survey_init(&s, x->base.mem);
    int err = survey(x, &s);
    if (!err)
        err = tapsi_survey_snapshot(&s, x->generation + 1, &network);
    bool interrupted = s.interrupted;
    tapsi_survey_done(&s);
    if (err)
        return err;
    x->stale = interrupted;
    if (x->network && same_network(x->network, network)) {
        tapsi_network_unref(network);
        return 0;
    }
    tapsi_network_unref(x->network);
    x->network = network;
    x->generation++;
    return 0;
}

int tapsi_linux_network(struct tapsi_platform *p, struct tapsi_network **ret)
{
    struct tapsi_linux *x = tapsi_linux_of(p);
    int err = listen_for_changes(x);
    if (err)
        return err;
    if (!x->network || x->no_notify || tapsi_netlink_changed(x->notify_fd))
        x->stale = true;
    if (x->stale) {
        err = renew(x);
        if (err)
            return err;
    }
    *ret = tapsi_network_ref(x->network);
    return 0;
}

/* -------------------------------------------------------------------------------------------------- watching */

static void on_heard(struct tapsi_watch *heard, unsigned io)
{
    struct tapsi_linux *x = TAPSI_CONTAINER(heard, struct tapsi_linux, heard);
    tapsi_netlink_changed(heard->fd);
    x->stale = true; /* the other notifier may not have been told yet */
    if (x->hears)
        x->hears->ready(x->hears, io & TAPSI_IO_IN);
}

static int open_ears(struct tapsi_linux *x)
{
    int fd = tapsi_netlink_notifier();
    if (fd < 0)
        return fd;
    x->heard.ready = on_heard;
    int err = tapsi_linux_watch_level(&x->base, fd, &x->heard, TAPSI_IO_IN);
    if (err)
        close(fd);
    return err;
}

int tapsi_linux_watch_network(struct tapsi_platform *p, struct tapsi_watch *watch)
{
    struct tapsi_linux *x = tapsi_linux_of(p);
    int fd = x->heard.fd, err = 0;
    if (x->hears)
        x->hears->fd = -1;
    x->hears = NULL;
    if (!watch && fd >= 0) {
        tapsi_linux_unwatch(p, &x->heard);
        close(fd);
    }
    if (watch && fd < 0)
        err = open_ears(x);
    if (err || !watch)
        return err;
    x->hears = watch;
    watch->fd = x->heard.fd;
    return 0;
}
