/* Handing text to an application, the way snprintf does. */
#ifndef TAPSI_API_TEXT_H
#define TAPSI_API_TEXT_H

#include <limits.h>
#include <string.h>
#include "base/str.h"

/* Copies what was built into `text` of `size` bytes (terminated; NULL only with size 0) and frees it. Returns the
   length of the whole text, or TAPS_E_MEMORY if it could not be built. */
static inline int tapsi_text_give(struct tapsi_str *built, char *text, size_t size)
{
    int length = built->failed || built->length > INT_MAX ? TAPS_E_MEMORY : (int)built->length;
    if (length >= 0 && size)
        tapsi_format(text, size, "%s", tapsi_str_text(built));
    tapsi_str_done(built);
    return length;
}

#endif
