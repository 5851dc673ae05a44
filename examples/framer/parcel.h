/* parcel/1, a protocol of the application's own: docs/adding-a-framer.md walks through it. */
#include <taps/framer.h>

extern const struct taps_framer_definition parcel;
