// SPDX-License-Identifier: Apache-2.0
// How long a small batch keeps from the one before it in its partition. A batch costs its way to the broker a few
// microseconds whatever is in it: where thousands of partitions get a few records each, that is most of the work. Then
// each partition's batches leave at longer intervals, and grow meanwhile, until the number that leaves in a second falls.
// What has reached batch_size, or somebody waits for, keeps the floor only or nothing. Wire thread only.
#ifndef PKF_PACE_H
#define PKF_PACE_H

#include <stdint.h>

enum {
    PKF_PACE_WINDOW_MS = 10,
    PKF_PACE_BATCHES = 1000, // in a window: more, and the interval grows; less than half of it, and it shrinks
    PKF_PACE_MAX_MS = 100
};

typedef struct pkf_pace {
    int64_t floor_ns;  // the interval when there is no crowd; 0: there is none at any time
    int64_t ns;        // the interval now
    int64_t window_ns; // when this window began
    uint32_t batches;  // counted in it
} pkf_pace;

void pkf_pace_init(pkf_pace *pace, int64_t floor_ns);

// A new window begins where the old one is over: the interval follows from what was counted there. Once a round.
void pkf_pace_turn(pkf_pace *pace, int64_t now_ns);

#endif
