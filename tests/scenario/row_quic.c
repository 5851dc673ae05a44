#include "rows.h"

const struct streams_row streams_row = {.stack = "quic", .alpn = "taps-test"};
