/* The kernel's port, inside: what its files share. Nobody outside this folder includes it. */
#ifndef TAPSI_PLATFORM_LINUX_H
#define TAPSI_PLATFORM_LINUX_H

#include <stdatomic.h>
#include "platform/platform.h"

struct tapsi_slot {
    struct tapsi_watch *watch; /* NULL: nobody watches this descriptor now */
    uint32_t generation;
};

struct tapsi_linux {
    struct tapsi_platform base;

    /* poll.c */
    int epoll_fd, wake_fd;
    int timer_fd;             /* -1 until somebody asks for the descriptor */
    uint64_t armed;           /* what timer_fd will do: TAPSI_FOREVER = nothing */
    bool coarse;              /* a kernel without epoll_pwait2 */
    atomic_bool woken;        /* a wake is on its way: another one needs no system call */
    struct tapsi_slot *slots; /* by descriptor */
    size_t slot_count;

    /* network.c */
    int notify_fd; /* -1: not opened yet, or none to be had */
    bool no_netlink, no_notify;
    bool stale; /* the snapshot may be older than the machine */
    uint64_t generation;
    struct tapsi_network *network;
    struct tapsi_watch heard;  /* of a notifier of its own: who asks for the network in between takes no news from it */
    struct tapsi_watch *hears; /* who watches the network; NULL: nobody */

    /* aside.c */
    struct tapsi_asides *asides; /* NULL: no work was ever done aside */
};

static inline struct tapsi_linux *tapsi_linux_of(struct tapsi_platform *p)
{
    return (struct tapsi_linux *)(void *)p; /* base comes first */
}

int tapsi_linux_poll_init(struct tapsi_linux *x);
void tapsi_linux_poll_done(struct tapsi_linux *x);
int tapsi_linux_watch(struct tapsi_platform *p, int fd, struct tapsi_watch *watch);
int tapsi_linux_watch_level(struct tapsi_platform *p, int fd, struct tapsi_watch *watch, unsigned io);
void tapsi_linux_unwatch(struct tapsi_platform *p, struct tapsi_watch *watch);
bool tapsi_linux_watched(const struct tapsi_linux *x, int fd);
int tapsi_linux_wait(struct tapsi_platform *p, uint64_t deadline, struct tapsi_ready *ready, int max);
int tapsi_linux_descriptor(struct tapsi_platform *p);
int tapsi_linux_arm(struct tapsi_platform *p, uint64_t deadline);
void tapsi_linux_wake(struct tapsi_platform *p);
uint64_t tapsi_linux_now(struct tapsi_platform *p);

void tapsi_linux_network_init(struct tapsi_linux *x);
void tapsi_linux_network_done(struct tapsi_linux *x);
int tapsi_linux_network(struct tapsi_platform *p, struct tapsi_network **ret);
int tapsi_linux_watch_network(struct tapsi_platform *p, struct tapsi_watch *watch);

/* aside.c */
int tapsi_linux_aside(struct tapsi_platform *p, struct tapsi_aside *work);
bool tapsi_linux_recall(struct tapsi_platform *p, struct tapsi_aside *work);
/* Calls `done` of what is over: within wait. */
void tapsi_linux_asides_over(struct tapsi_linux *x);
void tapsi_linux_asides_done(struct tapsi_linux *x);

/* private.c */
int tapsi_linux_load_private(struct tapsi_platform *p, const char *path, size_t max, uint8_t **ret, size_t *ret_length);
int tapsi_linux_store_private(struct tapsi_platform *p, const char *path, const void *bytes, size_t length);
int tapsi_linux_lock_private(struct tapsi_platform *p, const char *path, unsigned wait_ms);
void tapsi_linux_unlock_private(struct tapsi_platform *p, int lock);
int tapsi_linux_read_file(struct tapsi_platform *p, const char *path, size_t max, char **ret_text, size_t *ret_length);

#endif
