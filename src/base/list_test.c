#include "base/list.h"

#include "base/test.h"

struct item {
    int value;
    struct tapsi_link link;
};

static int value_of(struct tapsi_link *l)
{
    return l ? TAPSI_CONTAINER(l, struct item, link)->value : -1;
}

TEST(an_empty_list_has_nothing)
{
    struct tapsi_link head;
    tapsi_link_init(&head);
    CHECK(tapsi_list_empty(&head));
    CHECK(!tapsi_list_first(&head));
    CHECK(!tapsi_list_pop(&head));
}

TEST(append_prepend_and_insert_keep_order)
{
    struct tapsi_link head;
    struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3};
    tapsi_link_init(&head);
    tapsi_list_append(&head, &c.link);
    tapsi_list_prepend(&head, &a.link);
    tapsi_list_insert_before(&c.link, &b.link);
    for (int i = 1; i <= 3; i++)
        CHECK_INT(value_of(tapsi_list_pop(&head)), i);
    CHECK(tapsi_list_empty(&head));
}

TEST(removing_twice_is_harmless)
{
    struct tapsi_link head;
    struct item a = {.value = 1}, b = {.value = 2};
    tapsi_link_init(&head);
    tapsi_list_append(&head, &a.link);
    tapsi_list_append(&head, &b.link);
    tapsi_list_remove(&a.link);
    CHECK(!tapsi_link_on_list(&a.link));
    tapsi_list_remove(&a.link);
    CHECK(tapsi_link_on_list(&b.link));
    CHECK_INT(value_of(tapsi_list_first(&head)), 2);
}

TEST(splice_moves_everything_to_the_end)
{
    struct tapsi_link to, from;
    struct item items[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    tapsi_link_init(&to);
    tapsi_link_init(&from);
    for (int i = 0; i < 4; i++)
        tapsi_list_append(i < 2 ? &to : &from, &items[i].link);
    tapsi_list_splice(&to, &from);
    CHECK(tapsi_list_empty(&from));
    for (int i = 0; i < 4; i++)
        CHECK_INT(value_of(tapsi_list_pop(&to)), i);
}

TEST(splicing_an_empty_list_changes_nothing)
{
    struct tapsi_link to, from;
    struct item a = {.value = 1};
    tapsi_link_init(&to);
    tapsi_link_init(&from);
    tapsi_list_append(&to, &a.link);
    tapsi_list_splice(&to, &from);
    CHECK_INT(value_of(tapsi_list_pop(&to)), 1);
    tapsi_list_splice(&to, &from);
    CHECK(tapsi_list_empty(&to) && tapsi_list_empty(&from));
}
