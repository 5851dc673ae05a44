#include "base/sha1.h"
#include "base/test.h"

static const char *hex(const uint8_t *bytes)
{
    static const char digits[] = "0123456789abcdef";
    static char text[2 * TAPSI_SHA1_SIZE + 1];
    for (size_t i = 0; i < TAPSI_SHA1_SIZE; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    return text;
}

TEST(sha1_has_the_digests_of_rfc_3174)
{
    uint8_t digest[TAPSI_SHA1_SIZE];
    CHECK_INT(tapsi_sha1("abc", 3, digest), 0);
    CHECK_TEXT(hex(digest), "a9993e364706816aba3e25717850c26c9cd0d89d");
    CHECK_INT(tapsi_sha1("", 0, digest), 0);
    CHECK_TEXT(hex(digest), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

/* RFC 4648, section 10. */
TEST(base64_has_the_vectors_of_rfc_4648)
{
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        size_t length = strlen(vectors[i][0]);
        char text[TAPSI_BASE64_SIZE(6)];
        tapsi_base64((const uint8_t *)vectors[i][0], length, text);
        CHECK_TEXT(text, vectors[i][1]);
        CHECK(tapsi_is_base64(text, strlen(text), length));
    }
}

TEST(what_is_not_the_base64_of_that_many_bytes_is_told_apart)
{
    CHECK(tapsi_is_base64("dGhlIHNhbXBsZSBub25jZQ==", 24, 16));
    CHECK(!tapsi_is_base64("dGhlIHNhbXBsZSBub25jZQ==", 23, 16));
    CHECK(!tapsi_is_base64("dGhlIHNhbXBsZSBub25jZQ==", 24, 17));
    CHECK(!tapsi_is_base64("dGhlIHNhbXBsZSBub25jZQAA", 24, 16));
    CHECK(!tapsi_is_base64("dGhlIHNhbXBsZSBub25j\0Q==", 24, 16));
    CHECK(!tapsi_is_base64("dGhlIHNhbXBsZSBub25-ZQ==", 24, 16));
    CHECK(!tapsi_is_base64("dGhlIHNhbXBsZSB=b25jZQ==", 24, 16));
}
