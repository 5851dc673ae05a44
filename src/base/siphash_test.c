#include "base/test.h"
#include "base/siphash.h"

static uint64_t of_first(unsigned count)
{
    const struct tapsi_siphash_key key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    uint8_t bytes[64];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    return tapsi_siphash(&key, bytes, count);
}

/* The vectors of the paper's reference implementation. */
TEST(it_gives_the_published_values)
{
    CHECK(of_first(0) == UINT64_C(0x726fdb47dd0e0e31));
    CHECK(of_first(1) == UINT64_C(0x74f839c593dc67fd));
    CHECK(of_first(7) == UINT64_C(0xab0200f58b01d137));
    CHECK(of_first(8) == UINT64_C(0x93f5f5799a932462));
    CHECK(of_first(15) == UINT64_C(0xa129ca6149be45e5));
    CHECK(of_first(63) == UINT64_C(0x958a324ceb064572));
}

TEST(another_key_gives_another_value)
{
    const struct tapsi_siphash_key a = {1, 2}, b = {1, 3}, c = {2, 2};
    CHECK(tapsi_siphash(&a, "peer", 4) != tapsi_siphash(&b, "peer", 4));
    CHECK(tapsi_siphash(&a, "peer", 4) != tapsi_siphash(&c, "peer", 4));
}
