/* Intrusive doubly linked lists. A link that is on no list points at itself, so removing twice is harmless. */
#ifndef TAPSI_BASE_LIST_H
#define TAPSI_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define TAPSI_CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct tapsi_link {
    struct tapsi_link *prev, *next;
};

static inline void tapsi_link_init(struct tapsi_link *l)
{
    l->prev = l->next = l;
}

static inline bool tapsi_list_empty(const struct tapsi_link *head)
{
    return head->next == head;
}

static inline bool tapsi_link_on_list(const struct tapsi_link *l)
{
    return l->next != l;
}

static inline void tapsi_list_insert_before(struct tapsi_link *at, struct tapsi_link *l)
{
    l->next = at;
    l->prev = at->prev;
    at->prev->next = l;
    at->prev = l;
}

static inline void tapsi_list_append(struct tapsi_link *head, struct tapsi_link *l)
{
    tapsi_list_insert_before(head, l);
}

static inline void tapsi_list_prepend(struct tapsi_link *head, struct tapsi_link *l)
{
    tapsi_list_insert_before(head->next, l);
}

static inline void tapsi_list_remove(struct tapsi_link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    tapsi_link_init(l);
}

/* First link or NULL. */
static inline struct tapsi_link *tapsi_list_first(const struct tapsi_link *head)
{
    return head->next == head ? NULL : head->next;
}

static inline struct tapsi_link *tapsi_list_pop(struct tapsi_link *head)
{
    struct tapsi_link *l = tapsi_list_first(head);
    if (l)
        tapsi_list_remove(l);
    return l;
}

/* Moves everything on `from` to the end of `to`. */
static inline void tapsi_list_splice(struct tapsi_link *to, struct tapsi_link *from)
{
    if (tapsi_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    tapsi_link_init(from);
}

#endif
