// SPDX-License-Identifier: Apache-2.0
#include "pkf_pace.h"

#define MS INT64_C(1000000)

void pkf_pace_init(pkf_pace *pace, int64_t floor_ns) { *pace = (pkf_pace){.floor_ns = floor_ns, .ns = floor_ns}; }

void pkf_pace_turn(pkf_pace *pace, int64_t now_ns) {
    int64_t passed = now_ns - pace->window_ns;
    if (passed < PKF_PACE_WINDOW_MS * MS) return;
    int64_t many = passed / MS * PKF_PACE_BATCHES / PKF_PACE_WINDOW_MS;
    if (pace->batches > many)
        pace->ns += pace->ns / 4 + 1;
    else if (pace->batches < many / 2)
        pace->ns -= pace->ns / 4;
    if (pace->floor_ns == 0) pace->ns = 0;
    if (pace->ns > PKF_PACE_MAX_MS * MS) pace->ns = PKF_PACE_MAX_MS * MS;
    if (pace->ns < pace->floor_ns || passed > 100 * PKF_PACE_WINDOW_MS * MS) pace->ns = pace->floor_ns;
    pace->window_ns = now_ns;
    pace->batches = 0;
}
