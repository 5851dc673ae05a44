#include "select/property_table.h"

const struct taps_property_info *taps_property_info(enum taps_property property)
{
    const struct tapsi_property_row *row = tapsi_property_row(property);
    return row ? &row->info : NULL;
}

enum taps_property taps_property_find(const char *name)
{
    return tapsi_property_find(name);
}
