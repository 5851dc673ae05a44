/* The version of the library in use. */
#include <taps/taps.h>

#define TEXT(number)                      TEXT_OF(number)
#define TEXT_OF(number)                   #number
#define VERSION_TEXT(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *taps_version(void)
{
    return VERSION_TEXT(TAPS_VERSION_MAJOR, TAPS_VERSION_MINOR, TAPS_VERSION_PATCH);
}
