#include "message/http_text.h"

#include "base/test.h"

TEST(every_character_has_its_classes)
{
    for (int c = 0; c < 256; c++) {
        char text = (char)c;
        bool shows = c > 32 && c < 127, letter = (c | 32) >= 'a' && (c | 32) <= 'z', digit = c >= '0' && c <= '9';
        bool token = letter || digit || (shows && strchr("!#$%&'*+-.^_`|~", c));
        bool host = letter || digit || (shows && strchr("!$%&'()*+-.:;=[]_~", c));
        CHECK_INT(tapsi_http_span(&text, 1, TAPSI_HTTP_TOKEN), token);
        CHECK_INT(tapsi_http_span(&text, 1, TAPSI_HTTP_VALUE), shows || c == ' ' || c == '\t' || c > 127);
        CHECK_INT(tapsi_http_span(&text, 1, TAPSI_HTTP_TARGET), shows || c > 127);
        CHECK_INT(tapsi_http_span(&text, 1, TAPSI_HTTP_HOST), host);
    }
}

TEST(a_text_is_of_a_class_if_all_of_it_is)
{
    CHECK(tapsi_http_is("Content-Type", TAPSI_HTTP_TOKEN));
    CHECK(!tapsi_http_is("Content Type", TAPSI_HTTP_TOKEN));
    CHECK(!tapsi_http_is("text\r\nX: y", TAPSI_HTTP_VALUE));
    CHECK(tapsi_http_is("", TAPSI_HTTP_VALUE));
}

TEST(a_list_is_taken_apart)
{
    const char *list = " , one,two words\t,,\tthree ,", *element;
    size_t length;
    static const char *const words[] = {"one", "two words", "three"};
    for (size_t i = 0; i < 3; i++) {
        NEED(tapsi_http_list_next(&list, &element, &length));
        CHECK_INT(length, strlen(words[i]));
        CHECK(memcmp(element, words[i], length) == 0);
    }
    CHECK(!tapsi_http_list_next(&list, &element, &length));
}

TEST(a_word_of_a_list_is_a_whole_one)
{
    CHECK(tapsi_http_list_has("keep-alive, Close", "close"));
    CHECK(tapsi_http_list_has("close", "close"));
    CHECK(!tapsi_http_list_has("closed", "close"));
    CHECK(!tapsi_http_list_has("clos", "close"));
    CHECK(!tapsi_http_list_has("not close", "close"));
    CHECK(!tapsi_http_list_has("", "close"));
}
