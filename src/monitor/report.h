/* The establishment report: the race's tree in words. Reads, never steers. */
#ifndef TAPSI_MONITOR_REPORT_H
#define TAPSI_MONITOR_REPORT_H

#include "establish/race.h"

/* Of a race, as it is now. `winner_local` NULL: not known. Returns owned. */
int tapsi_report_from_race(const struct tapsi_race *race, const union tapsi_addr *winner_local,
                           struct taps_report **ret);
/* Of a refused configuration: what selection said of every stack. */
int tapsi_report_from_config(const struct tapsi_config *config, enum tapsi_role role, struct taps_report **ret);
/* One more, behind the others: the Connection moved. `interface` "" = not known. 0 or TAPS_E_MEMORY. */
int tapsi_report_add_move(struct taps_report *report, unsigned number, double ms, const union tapsi_addr *local,
                          const union tapsi_addr *remote, const char *interface);
void tapsi_report_free(struct taps_report *report); /* NULL is allowed */
/* The version of the race it was made from. */
unsigned tapsi_report_version(const struct taps_report *report);

size_t tapsi_report_count(const struct taps_report *report);
int tapsi_report_get(const struct taps_report *report, size_t index, struct taps_candidate_info *ret);
size_t tapsi_report_resolutions(const struct taps_report *report);
int tapsi_report_resolution(const struct taps_report *report, size_t index, struct taps_resolution_info *ret);
size_t tapsi_report_moves(const struct taps_report *report);
int tapsi_report_move(const struct taps_report *report, size_t index, struct taps_move_info *ret);
double tapsi_report_ready_ms(const struct taps_report *report);

#endif
