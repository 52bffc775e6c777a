// SPDX-License-Identifier: Apache-2.0
// The deadline heap: partitions ordered by the next moment the wire thread must look at them. A partition is in it at
// most once; its place is partition->heap_index. Wire thread only.
#ifndef PKF_DEADLINE_H
#define PKF_DEADLINE_H

#include "pkf_accum.h"

// The time lies beside the pointer: a comparison need not fetch the partition.
typedef struct pkf_deadline {
    int64_t at_ns;
    pkf_partition *partition;
} pkf_deadline;

typedef struct pkf_deadlines {
    pkf_deadline *items;
    int32_t count, capacity;
} pkf_deadlines;

// Look at the partition at `at_ns` or earlier. Earlier entries stay: they cost one look too many, not one too few.
PKF_MUST_USE pkf_status pkf_deadlines_add(pkf_deadlines *heap, pkf_partition *partition, int64_t at_ns);

// The earliest moment, PKF_NEVER when empty.
int64_t pkf_deadlines_next(const pkf_deadlines *heap);

// A partition whose moment has come, removed; NULL when there is none.
pkf_partition *pkf_deadlines_pop(pkf_deadlines *heap, int64_t now_ns);

void pkf_deadlines_free(pkf_deadlines *heap);

#endif
