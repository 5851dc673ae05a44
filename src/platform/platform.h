/*
 * The platform seam: everything the library asks of the system, in one table. Two ports exist: linux/ (the kernel)
 * and sim/ (a simulated network in virtual time). Nothing outside platform/ reads a clock, makes a system call on a
 * socket, or knows an interface.
 *
 * A platform belongs to one loop and one thread; only `wake` may be called from another thread.
 * Calls return a value >= 0, or a negative errno (-EAGAIN, -ECONNREFUSED ...). Sockets are non-blocking, close-on-exec
 * and never raise SIGPIPE. Socket semantics, options and control messages are those of Linux; an option the sim does
 * not model answers -ENOPROTOOPT.
 */
#ifndef TAPSI_PLATFORM_H
#define TAPSI_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include "base/addr.h"
#include "base/list.h"
#include "base/mem.h"

#define TAPSI_FOREVER UINT64_MAX

/* What a watched descriptor reports. Edge-triggered: an event says "it became so", and is not repeated. The numbers are
   those of Linux, so that its port need not translate them. */
enum tapsi_io {
    TAPSI_IO_IN = 1,     /* bytes, a datagram or a connection may be read; or the peer's end */
    TAPSI_IO_URGENT = 2, /* TCP's urgent data came: a read stops before it, though more may lie behind */
    TAPSI_IO_OUT = 4,    /* may be written again (or connect finished) */
    TAPSI_IO_ERROR = 8,  /* error pending: SO_ERROR or the error queue tells */
    TAPSI_IO_END = 16,   /* the peer will send no more (RDHUP), or both directions are over (HUP) */
};

/* Embedded in its owner. The memory must live until the loop's reaping of the turn in which it was unwatched. */
struct tapsi_watch {
    int fd; /* -1 = not watched; pending events for it are then dropped */
    void (*ready)(struct tapsi_watch *watch, unsigned io);
};

struct tapsi_ready {
    struct tapsi_watch *watch;
    unsigned io;
};

enum tapsi_interface_type {
    TAPSI_IF_OTHER,
    TAPSI_IF_LOOPBACK,
    TAPSI_IF_ETHERNET,
    TAPSI_IF_WIFI,
    TAPSI_IF_CELLULAR,
    TAPSI_IF_VPN
};

struct tapsi_local_address {
    union tapsi_addr address; /* port 0; link-local ones carry their scope */
    unsigned prefix_bits;
    bool temporary, deprecated;
};

/* Unicast routes of the main table; those of loopback are the networks of its own addresses. */
struct tapsi_route {
    union tapsi_addr destination; /* family and prefix */
    unsigned prefix_bits;         /* 0 = default route */
    unsigned metric;
};

struct tapsi_interface {
    char name[16];
    unsigned index;
    enum tapsi_interface_type type;
    unsigned mtu;
    bool up; /* administratively up and with carrier */
    const struct tapsi_local_address *addresses;
    size_t address_count; /* usable ones only: tentative and failed addresses are left out */
    const struct tapsi_route *routes;
    size_t route_count;
};

/* The machine's network at one moment: immutable, reference-counted. The struct and every array in it, those of the
   interfaces too, are blocks of `mem`, each freed by the last unref (NULL where the count is 0 is fine). */
struct tapsi_network {
    struct tapsi_mem *mem;
    unsigned refs;
    uint64_t generation; /* differs whenever the contents may differ */
    struct tapsi_interface *interfaces;
    size_t interface_count;
};

struct tapsi_network *tapsi_network_ref(struct tapsi_network *network);
void tapsi_network_unref(struct tapsi_network *network); /* NULL is allowed */

/* Work that may block, done beside the loop by a thread of the platform. Embedded in its owner. */
struct tapsi_aside {
    struct tapsi_link link;
    void (*run)(struct tapsi_aside *work);  /* on a thread of its own: may use nothing of the loop's */
    void (*done)(struct tapsi_aside *work); /* on the loop's thread: the work is its owner's again */
};

#define TAPSI_ASIDE_MAX 4 /* pieces of work at once, of one platform; the others wait in order */

struct tapsi_platform {
    const struct tapsi_platform_ops *ops;
    struct tapsi_mem *mem;
};

struct tapsi_platform_ops {
    const char *name;
    /* Waits for the work aside that runs; `done` comes for all of it, also for what was never run. */
    void (*destroy)(struct tapsi_platform *p);

    /* Clock and random. `now` is monotonic, in nanoseconds, never 0. */
    uint64_t (*now)(struct tapsi_platform *p);
    int (*random)(struct tapsi_platform *p, void *bytes, size_t count);
    /* The time of day, in seconds since 1970: it may jump. NULL: that of `now`. */
    uint64_t (*wall)(struct tapsi_platform *p);

    /* Readiness. `watch` registers all these events once, for the life of the descriptor. `unwatch` sets watch->fd to
       -1 and is called before the descriptor is closed. */
    int (*watch)(struct tapsi_platform *p, int fd, struct tapsi_watch *watch);
    void (*unwatch)(struct tapsi_platform *p, struct tapsi_watch *watch);
    /* Level-triggered: what of `io` (IN, OUT) is so is reported in every wait, error and end always. Called again it
       changes `io`. For datagrams, where an edge would come with every packet that leaves. NULL: use `watch`. */
    int (*watch_level)(struct tapsi_platform *p, int fd, struct tapsi_watch *watch, unsigned io);
    /* Waits until something is ready, `deadline` has come (0 = do not wait, TAPSI_FOREVER = no end) or wake was called.
       Returns how many entries of `ready` were filled. */
    int (*wait)(struct tapsi_platform *p, uint64_t deadline, struct tapsi_ready *ready, int max);
    /* One descriptor that is readable whenever `wait` would return at once; -ENOSYS where there is none (sim). */
    int (*descriptor)(struct tapsi_platform *p);
    /* Makes that descriptor readable at `deadline` (TAPSI_FOREVER = never, <= now = at once). */
    int (*arm)(struct tapsi_platform *p, uint64_t deadline);
    /* From any thread: the wait in progress, or the next one, returns. */
    void (*wake)(struct tapsi_platform *p);

    /* Sockets. */
    int (*socket)(struct tapsi_platform *p, int family, int type, int protocol);
    int (*close)(struct tapsi_platform *p, int fd);
    int (*bind)(struct tapsi_platform *p, int fd, const union tapsi_addr *address);
    int (*connect)(struct tapsi_platform *p, int fd, const union tapsi_addr *address); /* -EINPROGRESS as usual */
    int (*listen)(struct tapsi_platform *p, int fd, int backlog);
    int (*accept)(struct tapsi_platform *p, int fd, union tapsi_addr *ret_peer);
    int (*shutdown)(struct tapsi_platform *p, int fd, int how);
    ssize_t (*send)(struct tapsi_platform *p, int fd, const void *bytes, size_t count, int flags);
    /* One datagram to or from an address: cheaper than a message header. May be NULL: then sendmsg and recvmsg do. */
    ssize_t (*sendto)(struct tapsi_platform *p, int fd, const void *bytes, size_t count, const union tapsi_addr *to);
    ssize_t (*recvfrom)(struct tapsi_platform *p, int fd, void *bytes, size_t count, union tapsi_addr *ret_from);
    ssize_t (*sendmsg)(struct tapsi_platform *p, int fd, const struct msghdr *message, int flags);
    int (*sendmmsg)(struct tapsi_platform *p, int fd, struct mmsghdr *messages, unsigned count, int flags);
    ssize_t (*recv)(struct tapsi_platform *p, int fd, void *bytes, size_t count, int flags);
    ssize_t (*recvmsg)(struct tapsi_platform *p, int fd, struct msghdr *message, int flags);
    int (*getsockopt)(struct tapsi_platform *p, int fd, int level, int option, void *value, socklen_t *length);
    int (*setsockopt)(struct tapsi_platform *p, int fd, int level, int option, const void *value, socklen_t length);
    int (*getsockname)(struct tapsi_platform *p, int fd, union tapsi_addr *ret);
    int (*getpeername)(struct tapsi_platform *p, int fd, union tapsi_addr *ret);
    /* Bytes sent and not acknowledged yet (SIOCOUTQ). */
    int (*unacknowledged)(struct tapsi_platform *p, int fd);

    /* Takes the work: `run`, and then `done` within a later `wait`. -EAGAIN: no thread could be had. */
    int (*aside)(struct tapsi_platform *p, struct tapsi_aside *work);
    /* Gives back work that was taken and has not begun: true. Neither `run` nor `done` comes then. */
    bool (*recall)(struct tapsi_platform *p, struct tapsi_aside *work);

    /* The network as it is now: an unchanged machine gives the same snapshot again, cheaply. One reference is the
     * caller's. */
    int (*network)(struct tapsi_platform *p, struct tapsi_network **ret);
    /* From now on `watch` is ready (IN) when the network may be another: asking for it then gives what it is. One at a
       time; its fd is -1 when nobody watches. `watch` NULL: no more. A slot that is NULL, or an error: never told. */
    int (*watch_network)(struct tapsi_platform *p, struct tapsi_watch *watch);
    /* A whole small file (hosts, resolv.conf, services), terminated; the caller frees it. -ENOENT, -EFBIG above `max`.
     */
    int (*read_file)(struct tapsi_platform *p, const char *path, size_t max, char **ret_text, size_t *ret_length);
    /* A file of secrets. Loaded whole into a block that the caller wipes and frees; -EPERM: it is not a plain file of
       this user's that nobody else can read or change; -EFBIG above `max`. Stored whole or not at all, for this user
       alone. The lock is there for who loads, changes and stores: a number for unlock, or -EAGAIN after `wait_ms`. All
       four NULL where there are no files. */
    int (*load_private)(struct tapsi_platform *p, const char *path, size_t max, uint8_t **ret, size_t *ret_length);
    int (*store_private)(struct tapsi_platform *p, const char *path, const void *bytes, size_t length);
    int (*lock_private)(struct tapsi_platform *p, const char *path, unsigned wait_ms);
    void (*unlock_private)(struct tapsi_platform *p, int lock);
};

/* The kernel's platform. `mem` must outlive it. */
int tapsi_platform_linux_new(struct tapsi_mem *mem, struct tapsi_platform **ret);

/*
 * A fiber: a stack of its own, on which a call can stop in the middle and go on later, on the same thread. For engines
 * that call back and want the answer at once. Its stack ends in a page that nobody may touch.
 */
struct tapsi_fiber;
int tapsi_fiber_new(struct tapsi_mem *mem, struct tapsi_fiber **ret); /* 0 or TAPS_E_MEMORY */
void tapsi_fiber_free(struct tapsi_fiber *fiber);                     /* nothing is under way on it. NULL is allowed */
/* Calls fn(arg) on the fiber, which is free. True: it has returned; false: it has stopped. */
bool tapsi_fiber_run(struct tapsi_fiber *fiber, void (*fn)(void *arg), void *arg);
/* What has stopped goes on. True and false as before. */
bool tapsi_fiber_resume(struct tapsi_fiber *fiber);
/* On the fiber: run or resume returns false; this returns when it is resumed. */
void tapsi_fiber_stop(struct tapsi_fiber *fiber);

/* Has the processor instructions for AES? Without them ChaCha20 is faster. */
bool tapsi_platform_has_aes(void);

#endif
