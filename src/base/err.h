/* Errors below the API: the one list of codes lives in <taps/taps.h>; this is how the library fills one in. */
#ifndef TAPSI_BASE_ERR_H
#define TAPSI_BASE_ERR_H

#include <stdarg.h>
#include <taps/taps.h>

#define TAPSI_DETAIL_MAX 256

/* An error that owns its words. `pub.detail` points at `text`, so copy it with tapsi_error_copy only. */
struct tapsi_error {
    struct taps_error pub;
    char text[TAPSI_DETAIL_MAX];
};

/* Fills `e` (NULL is allowed and does nothing) and returns `code`, so that a failure is one line. */
int tapsi_error_set(struct tapsi_error *e, int code, const char *format, ...)
    __attribute__((cold, format(printf, 3, 4)));
/* The same with the code of another system beside it: errno, a GnuTLS error or alert, a DNS status. */
int tapsi_error_native(struct tapsi_error *e, int code, enum taps_domain domain, int native, const char *format, ...)
    __attribute__((cold, format(printf, 5, 6)));
void tapsi_error_clear(struct tapsi_error *e);
void tapsi_error_copy(struct tapsi_error *to, const struct tapsi_error *from);
/* The taps_err that fits a (positive) errno of a socket call. */
int tapsi_err_from_errno(int err);

#endif
