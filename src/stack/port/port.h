/*
 * A UDP port: one socket that protocols share, each with its class of datagrams, told apart by the first byte (RFC
 * 9443): STUN 0..3, DTLS 20..63, QUIC 64..127 and 192..255, all others, and those of a class without a user, OTHER.
 *
 * Ref-counted: every user holds a reference, and whoever is behind a user one more for itself if it may outlive it.
 * Users are called from the loop's turn, in reading and on timers, never inside a call of theirs. Datagrams are read in
 * trains (UDP_GRO) and written in trains (UDP_SEGMENT) where the kernel can; where it cannot, one by one, unseen.
 */
#ifndef TAPSI_STACK_PORT_PORT_H
#define TAPSI_STACK_PORT_PORT_H

#include "stack/layer.h"
#include "stack/port/socket.h"

#define TAPSI_PORT_TRAIN_BYTES 65000 /* of one train written */
#define TAPSI_PORT_TRAIN_MAX   64    /* datagrams of one train written */

struct tapsi_port;

/* One class of datagrams of one port. Embedded in its owner, who fills in `ops`. */
struct tapsi_port_user {
    const struct tapsi_port_user_ops *ops;
    struct tapsi_port *port; /* NULL: not in use */
    enum tapsi_port_class class;
};

/* Any entry but packet may be NULL. Each may end its own use, and drop its references. */
struct tapsi_port_user_ops {
    /* One datagram, or with `segment` a train of them, all of the class (tapsi_port_piece takes it apart). `to` is
       where it came to, as an address that a reply can leave from, with the port's number. Borrowed; to keep bytes take
       a reference of `buffer`. */
    void (*packet)(struct tapsi_port_user *user, const struct tapsi_datagram *datagram);
    /* All that came with this event was handed out: the time to answer. */
    void (*turn)(struct tapsi_port_user *user);
    /* tapsi_port_write answered -EAGAIN before; now there is room again. */
    void (*writable)(struct tapsi_port_user *user);
    /* The network about an earlier datagram to `to` (family 0: of a connected port), of any class: a positive errno.
       EMSGSIZE: it was too large for the path. */
    void (*error)(struct tapsi_port_user *user, const union tapsi_addr *to, int err);
};

/*
 * A socket that listens for `user`, as target->local, ->interface and ->v6_only say. Listeners of one `env` at the same
 * local address and interface share one port, if each asks for a class of its own. The reference is the user's. 0, or a
 * negative taps_err with words.
 */
int tapsi_port_listen(struct tapsi_env *env, const struct tapsi_target *target, enum tapsi_port_class class,
                      struct tapsi_port_user *user, struct tapsi_error *ret_error);
/* Who has this class of the port that tapsi_port_listen would share, and so would be refused: NULL = nobody. */
struct tapsi_port_user *tapsi_port_holder(struct tapsi_env *env, const struct tapsi_target *target,
                                          enum tapsi_port_class class);
/* A socket connected to target->remote, from target->local, ->interface: all its datagrams are `user`'s. */
int tapsi_port_connect(struct tapsi_env *env, const struct tapsi_target *target, struct tapsi_port_user *user,
                       struct tapsi_error *ret_error);
struct tapsi_port *tapsi_port_ref(struct tapsi_port *port);
/* The socket is closed with the last one. */
void tapsi_port_unref(struct tapsi_port *port);
/* Ends the use, and with it the user's reference: nothing is called any more. Harmless when not in use. */
void tapsi_port_leave(struct tapsi_port_user *user);

/* Who has this class at the listening ports of the `env` of `port`, one after the other: `after` NULL is the first.
   NULL = no more. */
struct tapsi_port_user *tapsi_port_next(const struct tapsi_port *port, const struct tapsi_port_user *after,
                                        enum tapsi_port_class class);
/* `to` takes the place of `from`, with its reference: nothing is called of `from` any more. */
void tapsi_port_hand_over(struct tapsi_port_user *from, struct tapsi_port_user *to);

/* As bound; the address may be any. */
const union tapsi_addr *tapsi_port_local(const struct tapsi_port *port);
/* The device that it is bound to, or NULL. */
const char *tapsi_port_interface(const struct tapsi_port *port);
/* The size of datagrams (without headers) that the interface or the route to `remote` has; 0 = not known. */
unsigned tapsi_port_mtu(const struct tapsi_port *port, const union tapsi_addr *local, const union tapsi_addr *remote);
bool tapsi_port_is_connected(const struct tapsi_port *port);
/* For tapsi_udpsocket_send, by users whose layers queue ops; opening, watching and reading it is the port's. */
struct tapsi_udpsocket *tapsi_port_socket(struct tapsi_port *port);
/* Does the kernel cut trains? Else they are written piece by piece, which costs as much as single datagrams. */
bool tapsi_port_takes_trains(const struct tapsi_port *port);
/*
 * Writes one datagram, or with `segment` a train of pieces of that size, at most TAPSI_PORT_TRAIN_MAX of them and
 * TAPSI_PORT_TRAIN_BYTES. DF is set; what is known of the path's MTU is not asked (path MTU discovery is the user's).
 * 0 when all was taken. -EAGAIN: nothing, `writable` comes; -EMSGSIZE: too large for the interface; other negative
 * errnos: it was lost, and the next one may not be.
 */
int tapsi_port_write(struct tapsi_port *port, const struct tapsi_port_way *way, const void *bytes, size_t length,
                     size_t segment);

/* The datagrams of what `packet` got, one after the other; `at` is 0 at first. False: there are no more. */
static inline bool tapsi_port_piece(const struct tapsi_datagram *train, size_t *at, struct tapsi_datagram *ret)
{
    size_t size = train->segment ? train->segment : train->length;
    if (*at && *at >= train->length)
        return false;
    *ret = *train;
    ret->data += *at;
    ret->length = train->length - *at < size ? train->length - *at : size;
    ret->segment = 0;
    *at += size ? size : 1;
    return true;
}

#endif
