#include "base/err.h"

#include <errno.h>
#include <limits.h>
#include "base/test.h"

/* proves IMPL-25: every code has a name, a text and a reason */
TEST(every_code_has_a_name_a_text_and_a_reason)
{
    for (int code = 0; code >= TAPS_E_FULL; code--) {
        const char *name = taps_err_name(code), *text = taps_err_text(code);
        if (strncmp(name, "TAPS_", 5) != 0 || !*text || strcmp(text, "unknown error") == 0)
            tapsi_test_fail(__FILE__, __LINE__, "code %d is %s: %s", code, name, text);
        CHECK((taps_err_reason(code) == TAPS_REASON_NONE) == (code == TAPS_OK));
        for (int other = 0; other > code; other--)
            CHECK(strcmp(name, taps_err_name(other)) != 0 && strcmp(text, taps_err_text(other)) != 0);
    }
}

/* proves IMPL-25 */
TEST(reasons_carry_the_names_of_the_rfc)
{
    CHECK_TEXT(taps_err_name(TAPS_E_REFUSED), "TAPS_E_REFUSED");
    CHECK_TEXT(taps_err_text(TAPS_E_REFUSED), "connection refused");
    CHECK_TEXT(taps_reason_name(taps_err_reason(TAPS_E_REFUSED)), "EstablishmentFailed");
    CHECK_TEXT(taps_reason_name(taps_err_reason(TAPS_E_TIMEOUT)), "Timeout");
    CHECK_TEXT(taps_reason_name(taps_err_reason(TAPS_E_RESOLUTION)), "ResolutionFailed");
    CHECK_TEXT(taps_reason_name(taps_err_reason(TAPS_E_UNKNOWN_PROPERTY)), "InvalidConfiguration");
    for (int r = TAPS_REASON_NONE; r <= TAPS_REASON_TIMEOUT; r++)
        CHECK(strcmp(taps_reason_name((enum taps_reason)r), "unknown") != 0);
}

TEST(numbers_that_are_no_code_are_unknown)
{
    const int bad[] = {1, 4, TAPS_E_FULL - 1, INT_MAX, INT_MIN, -1000};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_TEXT(taps_err_name(bad[i]), "unknown");
        CHECK_TEXT(taps_err_text(bad[i]), "unknown error");
        CHECK_INT(taps_err_reason(bad[i]), TAPS_REASON_NONE);
    }
    CHECK_TEXT(taps_reason_name((enum taps_reason)99), "unknown");
}

TEST(an_error_is_filled_in_one_line)
{
    struct tapsi_error e;
    tapsi_error_clear(&e);
    CHECK_INT(e.pub.code, 0);
    CHECK_TEXT(e.pub.detail, "");
    CHECK_INT(tapsi_error_set(&e, TAPS_E_RESOLUTION, "%s has no address", "example.test"), TAPS_E_RESOLUTION);
    CHECK_INT(e.pub.code, TAPS_E_RESOLUTION);
    CHECK_INT(e.pub.reason, TAPS_REASON_RESOLUTION_FAILED);
    CHECK_INT(e.pub.domain, TAPS_DOMAIN_NONE);
    CHECK_TEXT(e.pub.detail, "example.test has no address");
    CHECK_INT(tapsi_error_native(&e, TAPS_E_REFUSED, TAPS_DOMAIN_ERRNO, ECONNREFUSED, "x"), TAPS_E_REFUSED);
    CHECK_INT(e.pub.domain, TAPS_DOMAIN_ERRNO);
    CHECK_INT(e.pub.native, ECONNREFUSED);
}

TEST(no_place_for_an_error_is_allowed)
{
    CHECK_INT(tapsi_error_set(NULL, TAPS_E_TIMEOUT, "%d", 1), TAPS_E_TIMEOUT);
    CHECK_INT(tapsi_error_native(NULL, TAPS_E_TLS, TAPS_DOMAIN_TLS, -1, "%d", 1), TAPS_E_TLS);
}

TEST(a_long_detail_is_cut)
{
    struct tapsi_error e;
    tapsi_error_set(&e, TAPS_E_TLS, "%0*d", 2 * TAPSI_DETAIL_MAX, 1);
    CHECK_INT(strlen(e.pub.detail), TAPSI_DETAIL_MAX - 1);
}

TEST(an_error_can_be_wrapped_in_more_words)
{
    struct tapsi_error e;
    tapsi_error_set(&e, TAPS_E_TIMEOUT, "no answer");
    tapsi_error_set(&e, TAPS_E_RESOLUTION, "example.test: %s", e.text);
    CHECK_TEXT(e.pub.detail, "example.test: no answer");
}

TEST(a_copy_owns_its_words)
{
    struct tapsi_error a, b;
    tapsi_error_set(&a, TAPS_E_TIMEOUT, "first");
    tapsi_error_copy(&b, &a);
    tapsi_error_set(&a, TAPS_E_TIMEOUT, "second");
    CHECK_TEXT(b.pub.detail, "first");
    CHECK(b.pub.detail == b.text);
}

TEST(errno_of_a_socket_becomes_a_code)
{
    static const struct {
        int err, code;
    } rows[] = {
        {ECONNREFUSED, TAPS_E_REFUSED},
        {EHOSTUNREACH, TAPS_E_UNREACHABLE},
        {ENETUNREACH, TAPS_E_UNREACHABLE},
        {ECONNRESET, TAPS_E_ABORTED},
        {EPIPE, TAPS_E_ABORTED},
        {ETIMEDOUT, TAPS_E_TIMEOUT},
        {EADDRINUSE, TAPS_E_ADDRESS_IN_USE},
        {EACCES, TAPS_E_PERMISSION},
        {EMFILE, TAPS_E_RESOURCES},
        {ENOBUFS, TAPS_E_RESOURCES},
        {ENOMEM, TAPS_E_MEMORY},
        {EMSGSIZE, TAPS_E_MESSAGE_TOO_LARGE},
        {EBADF, TAPS_E_SYSTEM},
        {0, TAPS_E_SYSTEM},
        {99999, TAPS_E_SYSTEM},
        {-1, TAPS_E_SYSTEM},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        CHECK_INT(tapsi_err_from_errno(rows[i].err), rows[i].code);
}
