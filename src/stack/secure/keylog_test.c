/* Secrets are written where the application says, and nowhere else. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/test.h"
#include "stack/tls/test_pair.h"

static char folder[] = "taps-keylog-XXXXXX";
static char asked_for[64], environment[64];

/* GnuTLS reads the variable once, so it is there from the first session on. */
__attribute__((constructor)) static void make_folder(void)
{
    if (!mkdtemp(folder))
        abort();
    snprintf(asked_for, sizeof(asked_for), "%s/asked", folder);
    snprintf(environment, sizeof(environment), "%s/environment", folder);
    setenv("SSLKEYLOGFILE", environment, 1);
}

__attribute__((destructor)) static void remove_folder(void)
{
    unlink(asked_for);
    unlink(environment);
    rmdir(folder);
}

static size_t content(const char *path, char *to, size_t size)
{
    FILE *file = fopen(path, "rbe");
    size_t length = file ? fread(to, 1, size - 1, file) : 0;
    if (file)
        fclose(file);
    to[length] = '\0';
    return length;
}

static void handshake(const char *path, int version)
{
    struct tapsi_test_pair p;
    NEED(tapsi_test_pair_init(&p));
    CHECK_INT(tapsi_security_allow(p.security[0], (enum taps_security_protocol)version), 0);
    CHECK_INT(tapsi_security_set_key_log(p.security[0], path), 0);
    CHECK(tapsi_test_pair_handshake(&p));
    CHECK_INT(tapsi_test_pair_done(&p), 0);
}

TEST(the_environment_alone_does_nothing)
{
    handshake(NULL, TAPS_TLS_1_3);
    handshake(NULL, TAPS_TLS_1_2);
    CHECK(access(environment, F_OK) != 0);
    CHECK(access(asked_for, F_OK) != 0);
}

TEST(a_log_that_is_asked_for_has_the_secrets_of_its_end)
{
    static char text[16384];
    struct stat status;
    handshake(asked_for, TAPS_TLS_1_3);
    handshake(asked_for, TAPS_TLS_1_2);
    size_t length = content(asked_for, text, sizeof(text));
    CHECK(length > 100 && text[length - 1] == '\n');
    CHECK(strstr(text, "CLIENT_HANDSHAKE_TRAFFIC_SECRET ") != NULL);
    CHECK(strstr(text, "SERVER_TRAFFIC_SECRET_0 ") != NULL);
    CHECK(strstr(text, "CLIENT_RANDOM ") != NULL);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        char label[64], random[80], secret[140];
        *end = '\0';
        CHECK_INT(sscanf(line, "%63[A-Z0-9_] %79[0-9a-f] %139[0-9a-f]", label, random, secret), 3);
        CHECK_INT(strlen(random), 64);
        CHECK(strlen(secret) == 64 || strlen(secret) == 96);
        CHECK_INT(strlen(line), strlen(label) + strlen(random) + strlen(secret) + 2);
    }
    CHECK(stat(asked_for, &status) == 0 && (status.st_mode & 0777) == 0600);
    CHECK(access(environment, F_OK) != 0);
}

/* It costs nobody a Connection. */
TEST(a_log_that_cannot_be_written_is_none)
{
    handshake("/nonexistent/folder/file", TAPS_TLS_1_3);
    handshake("/dev/full", TAPS_TLS_1_3);
    handshake("/", TAPS_TLS_1_2);
    unlink(asked_for);
    CHECK_INT(mkfifo(asked_for, 0600), 0); /* that nobody reads: to open it must not wait */
    handshake(asked_for, TAPS_TLS_1_3);
    unlink(asked_for);
}
