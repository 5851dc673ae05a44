#include <string.h>
#include "base/str.h"
#include "select/endpoint.h"

/* Enough for a program that runs where nobody has put an /etc/services. */
static const struct {
    const char *name;
    uint16_t port;
} built_in[] = {
    {"ftp", 21},         {"ssh", 22},           {"telnet", 23},    {"smtp", 25},         {"domain", 53},
    {"http", 80},        {"pop3", 110},         {"ntp", 123},      {"imap", 143},        {"imap2", 143},
    {"ldap", 389},       {"https", 443},        {"smtps", 465},    {"submissions", 465}, {"syslog", 514},
    {"submission", 587}, {"ldaps", 636},        {"domain-s", 853}, {"imaps", 993},       {"pop3s", 995},
    {"mqtt", 1883},      {"stun", 3478},        {"sip", 5060},     {"sips", 5061},       {"xmpp-client", 5222},
    {"coap", 5683},      {"secure-mqtt", 8883},
};

struct word {
    const char *text;
    size_t length;
};

/* The next word of a line, which ends at its end or at a comment; length 0 = no more. */
static struct word next_word(const char **cursor)
{
    struct word word = {*cursor + strspn(*cursor, " \t\r"), 0};
    word.length = strcspn(word.text, " \t\r\n#");
    *cursor = word.text + word.length;
    return word;
}

static bool is_word(struct word word, const char *text)
{
    return word.length == strlen(text) && tapsi_text_equal_n(word.text, text, word.length);
}

/* "443/tcp": the port if the protocol is the one asked for, else 0. */
static uint16_t port_of(struct word word, const char *protocol)
{
    uint32_t port = 0;
    size_t i = 0;
    for (; i < word.length && word.text[i] >= '0' && word.text[i] <= '9' && port <= UINT16_MAX; i++)
        port = port * 10 + (uint32_t)(word.text[i] - '0');
    if (i == 0 || i == word.length || word.text[i] != '/' || port > UINT16_MAX)
        return 0;
    struct word rest = {word.text + i + 1, word.length - i - 1};
    return is_word(rest, protocol) ? (uint16_t)port : 0;
}

/* "name port/protocol alias ..." */
static uint16_t port_in_line(const char *line, const char *service, const char *protocol)
{
    struct word name = next_word(&line);
    uint16_t port = port_of(next_word(&line), protocol);
    while (port && name.length) {
        if (is_word(name, service))
            return port;
        name = next_word(&line);
    }
    return 0;
}

uint16_t tapsi_service_port(const char *services_text, const char *service, const char *protocol)
{
    if (!*service)
        return 0;
    for (const char *line = services_text; line && *line;) {
        uint16_t port = port_in_line(line, service, protocol);
        if (port)
            return port;
        line += strcspn(line, "\n");
        if (*line)
            line++;
    }
    for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++) {
        if (tapsi_text_equal(built_in[i].name, service))
            return built_in[i].port;
    }
    return 0;
}
