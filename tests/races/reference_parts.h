/* Shared by the files of the reference of races, and by nobody else. */
#ifndef TESTS_RACES_REFERENCE_PARTS_H
#define TESTS_RACES_REFERENCE_PARTS_H

#include "reference.h"

#define NEVER            UINT64_MAX
#define MS               UINT64_C(1000000)
#define NODES_MAX        512
#define CHILDREN         32
#define GRACE            (1000 * MS)
#define REFERENCE_LOCALS 3 /* Local Endpoints that suit one address */

enum level { ROOT, PATH, STACK, LEAF };
enum state { WAITS, RUNS, FAILED };
enum fate { HANGS, SUCCEEDS, FAILS, UNKNOWN };

/* From the interface to an address and back. */
struct trip {
    bool arrives;
    const char *fault;
    uint64_t there, back;
};

struct node {
    enum level level;
    enum state state;
    struct node *parent, *children[CHILDREN];
    unsigned child_count, running;
    uint64_t last_start; /* of a child */
    uint64_t next;       /* when the next child may start beside the running ones; NEVER */
    const struct reference_interface *interface;
    enum reference_stack stack;
    bool resumes; /* PATH: plain stacks may start now, and none has */
    /* LEAF */
    union tapsi_addr to;
    unsigned turn;  /* which of the Local Endpoints that suit it */
    bool temporary; /* the source */
    enum fate fate;
    uint64_t over, connected; /* when it ends; when TCP is there, before a handshake */
    int attempt;
};

/* One Remote Endpoint: its addresses, and when they come. */
struct name {
    bool literal, asked[2], answered[2]; /* AAAA, A */
    uint64_t answer[2], release;         /* when; NEVER */
    bool released;
    union tapsi_addr addresses[2][REFERENCE_ADDRESSES];
    unsigned counts[2];
    uint16_t port;
    char protocol[8], interface[16];
};

struct race {
    const struct script *script;
    const struct reference_client *client;
    const struct reference_choice *choice;
    struct reference_race *result;
    struct node *nodes;
    unsigned node_count;
    struct name names[REFERENCE_NAMES];
    unsigned name_count;
    uint64_t now, delay, resolution_delay, due;
    bool over;
    bool holding;      /* opportunistic security: plain stacks wait */
    uint64_t answered; /* when a peer was first heard to have no TLS; NEVER */
    uint64_t plain;    /* when to look again whether plain stacks may start; NEVER */
};

/* reference_world.c: what the script says of the world */
const char *reference_security(const struct script *script);
bool reference_parse(const char *text, union tapsi_addr *ret);
/* Does this interface (of any host) have the address? */
bool reference_has_address(const struct script *script, const char *full_name, const union tapsi_addr *address);
/* One that is not link-local, so that there is a default route. */
bool reference_has_family(const struct reference_interface *interface, int family);
struct trip reference_trip(const struct script *script, const struct reference_interface *interface,
                           const union tapsi_addr *address);
/* Which interface the system itself would take: the longest prefix, then the lowest metric. */
const struct reference_interface *reference_route(const struct reference_client *client, const union tapsi_addr *to);
/* What listens on this port, or NULL. */
const char *reference_service(const struct script *script, uint16_t port, bool datagrams);
uint64_t reference_time(const struct script *script, enum script_verb verb, uint64_t normal);
uint64_t reference_timeout(const struct script *script);

/* reference_names.c */
void reference_add_name(struct race *r, const struct script_line *line);
bool reference_is_answered(const struct name *name, int type);
bool reference_answers_are_due(const struct race *r);
/* RFC 8305, 3: after an answer. */
void reference_release(struct race *r, struct name *name);

/* reference_leaves.c */
struct node *reference_add_node(struct race *r, struct node *parent, enum level level);
/* The children of a stack: all addresses known by now, in their order, behind those that were started. */
void reference_list(struct race *r, struct node *stack);
/* What becomes of an attempt that starts now. */
void reference_judge(struct race *r, struct node *leaf);

#endif
