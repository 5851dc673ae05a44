/* Shared by the files of the observer, and by nobody else. */
#ifndef TESTS_OBSERVER_PARTS_H
#define TESTS_OBSERVER_PARTS_H

#include <stdbool.h>
#include <stdint.h>
#include <taps/taps.h>

/* The linker gives these their meaning: a call of taps_x goes to __wrap_taps_x, and __real_taps_x is the library's. */
#define WRAPPED(type, name, parameters)                                                                                \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters

enum observer_kind { OBSERVER_CONNECTION, OBSERVER_LISTENER, OBSERVER_RESOLVE };

/* Tags of operations that wait for their event, oldest first. */
struct observer_tags {
    void **items;
    size_t first, count, capacity;
};

/* Of a Connection, Listener or Resolve. The library has it as the application's `user`. */
struct observer_record {
    struct observer_record *next;
    enum observer_kind kind;
    const void *object, *context;
    bool freed, over;
    void *user;
    /* Connection */
    const struct taps_connection_events *events;
    struct taps_connection_events installed;
    bool initiated, ready, with_first, final, closing, aborted;
    bool unordered; /* a Send had a context: Messages of other priorities may overtake */
    bool switched;  /* other events were set in between: what was taken before may have been told to nobody */
    int state;      /* the last one seen */
    unsigned sends, sends_told, receives, receives_told;
    struct observer_tags send_tags, receive_tags;
    /* Listener */
    const struct taps_listener_events *listener_events;
    struct taps_listener_events listener_installed;
    bool listening;
    uint64_t allowed; /* Connections that may still be delivered */
    /* Resolve */
    taps_resolve_fn resolve_fn;
};

void observer_wrong(const struct observer_record *r, const char *event, const char *what);

/* `object` NULL: not known yet, see observer_bind. */
struct observer_record *observer_add(enum observer_kind kind, const void *object, const void *context, void *user);
void observer_bind(struct observer_record *r, const void *object, const void *context);
/* Of an object that is alive; NULL: not known. */
struct observer_record *observer_find(enum observer_kind kind, const void *object);
/* The object is freed now: keeps the record a while, or says that it was freed before. `r` may be NULL. */
void observer_retire(struct observer_record *r, enum observer_kind kind, const void *object);
/* There never was an object. */
void observer_drop(struct observer_record *r);
/* A call that gives an object was refused. */
void observer_refused(void *ret);

/* Around a call of the library: no event may come, and no virtual time may pass. */
struct observer_visit {
    const char *before;
    uint64_t time;
    bool simulated;
};

struct observer_visit observer_enter(const char *name);
void observer_leave(struct observer_visit visit);

/* Around the application's callback: what every event must keep. `r` may be NULL. */
void observer_begin(const struct observer_record *r, const char *event);
void observer_end(void);

/* timers.c */
void observer_forget_timers(const void *context);

#endif
