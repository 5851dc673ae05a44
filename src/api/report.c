/* taps_report_*: reading what monitor/ made. */
#include "monitor/report.h"

TAPS_API size_t taps_report_candidate_count(const taps_report *report)
{
    return report ? tapsi_report_count(report) : 0;
}

TAPS_API int taps_report_candidate(const taps_report *report, size_t index, struct taps_candidate_info *ret_info)
{
    return report && ret_info ? tapsi_report_get(report, index, ret_info) : TAPS_E_ARGUMENT;
}

TAPS_API size_t taps_report_resolution_count(const taps_report *report)
{
    return report ? tapsi_report_resolutions(report) : 0;
}

TAPS_API int taps_report_resolution(const taps_report *report, size_t index, struct taps_resolution_info *ret_info)
{
    return report && ret_info ? tapsi_report_resolution(report, index, ret_info) : TAPS_E_ARGUMENT;
}

TAPS_API size_t taps_report_move_count(const taps_report *report)
{
    return report ? tapsi_report_moves(report) : 0;
}

TAPS_API int taps_report_move(const taps_report *report, size_t index, struct taps_move_info *ret_info)
{
    return report && ret_info ? tapsi_report_move(report, index, ret_info) : TAPS_E_ARGUMENT;
}

TAPS_API double taps_report_ready_ms(const taps_report *report)
{
    return report ? tapsi_report_ready_ms(report) : -1;
}

TAPS_API const char *taps_candidate_state_name(enum taps_candidate_state state)
{
    static const char *const names[] = {"not-started", "active", "won", "failed", "cancelled", "pruned"};
    return (unsigned)state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}
