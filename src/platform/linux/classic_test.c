#include <errno.h>
#include <stdlib.h>
#include "base/test.h"
#include "platform/linux/survey.h"

static bool has_address(const struct tapsi_survey *s, const struct tapsi_survey_address *wanted)
{
    for (size_t i = 0; i < s->address_count; i++) {
        const struct tapsi_local_address *a = &s->addresses[i].address, *b = &wanted->address;
        if (s->addresses[i].index == wanted->index && tapsi_addr_equal(&a->address, &b->address) &&
            a->prefix_bits == b->prefix_bits && a->deprecated == b->deprecated && a->temporary == b->temporary)
            return true;
    }
    return false;
}

static const struct tapsi_interface *find_link(const struct tapsi_survey *s, unsigned index)
{
    for (size_t i = 0; i < s->link_count; i++) {
        if (s->links[i].index == index)
            return &s->links[i];
    }
    return NULL;
}

TEST(both_ways_of_asking_give_the_same_addresses)
{
    struct tapsi_mem mem;
    struct tapsi_survey classic, netlink;
    tapsi_mem_init(&mem, NULL);
    tapsi_survey_init(&classic, &mem);
    tapsi_survey_init(&netlink, &mem);
    CHECK_INT(tapsi_classic_survey(&classic), 0);
    if (tapsi_netlink_survey(&netlink)) {
        tapsi_test_skip("no netlink here");
    } else {
        CHECK_INT(classic.address_count, netlink.address_count);
        for (size_t i = 0; i < netlink.address_count; i++)
            CHECK(has_address(&classic, &netlink.addresses[i]));
        for (size_t i = 0; i < classic.link_count; i++) {
            const struct tapsi_interface *a = &classic.links[i], *b = find_link(&netlink, a->index);
            NEED(b);
            CHECK_TEXT(a->name, b->name);
            CHECK(a->mtu == b->mtu && a->up == b->up);
        }
    }
    tapsi_survey_done(&classic);
    tapsi_survey_done(&netlink);
}

TEST(routes_are_possible_everywhere)
{
    struct tapsi_mem mem;
    struct tapsi_survey s;
    tapsi_mem_init(&mem, NULL);
    tapsi_survey_init(&s, &mem);
    CHECK_INT(tapsi_classic_survey(&s), 0);
    CHECK(s.maybe_v4 && s.maybe_v6);
    CHECK_INT(s.route_count, s.address_count);
    tapsi_survey_done(&s);
}

static size_t allowed, live;

static void *limited(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        live--;
        free(block);
        return NULL;
    }
    if (allowed == 0)
        return NULL;
    allowed--;
    live += block == NULL;
    return realloc(block, size);
}

TEST(no_memory_is_an_error_at_every_step)
{
    struct tapsi_mem mem;
    struct tapsi_survey s;
    tapsi_mem_init(&mem, &(struct taps_allocator){.resize = limited});
    for (size_t steps = 0, err = 1; err && steps < 100; steps++) {
        allowed = steps;
        tapsi_survey_init(&s, &mem);
        int result = tapsi_classic_survey(&s);
        CHECK(result == 0 || result == -ENOMEM);
        err = result != 0;
        tapsi_survey_done(&s);
        CHECK_INT(live, 0);
    }
}
