// SPDX-License-Identifier: Apache-2.0
//
// A range: where the rows of one bulk send were put. Nothing per record is kept but what differs from row to row.
//
//   row   0 .......... 4095 | 4096 ..... 6999 | ...        runs: consecutive rows that are consecutive records of a batch
//   run   batch A, from 17  | batch B, from 0 | ...        16 bytes and a reference to the batch each
//
// Filled by one thread, and read after that. Nothing here is locked; pkf_range_place() follows batches that were split.
#ifndef PKF_RANGE_H
#define PKF_RANGE_H

#include "pkf_batch.h"

typedef struct pkf_run {
    pkf_batch *batch; // a reference
    int32_t first;    // record of the batch that the run begins with
    int32_t row;      // row of the range that is
} pkf_run;

// A number for each row: only one as long as all are alike.
typedef struct pkf_sizes {
    int32_t same;
    int32_t *each; // NULL: all are `same`
} pkf_sizes;

typedef struct pkf_range {
    pkf_run *runs;
    int32_t run_count, run_capacity;
    int32_t count;                                  // rows taken
    int32_t row_count;                              // rows there are to take
    int64_t timestamp;                              // ms, of all rows
    int64_t *timestamps;                            // ms, of each row, or NULL; malloc, the range's
    pkf_sizes key_sizes, value_sizes, header_sizes; // -1: null
} pkf_range;

// Where a row is now: a record of a batch, and how many of the next rows are the next records there.
typedef struct pkf_place {
    pkf_batch *batch; // borrowed from the range
    int32_t index;
    int32_t count; // this row included, at least 1
} pkf_place;

void pkf_range_init(pkf_range *range, int32_t row_count, int64_t timestamp);

// Gives back the references and the memory.
void pkf_range_clear(pkf_range *range);

// Room for one more run, so that pkf_range_add() cannot fail.
PKF_MUST_USE pkf_status pkf_range_reserve(pkf_range *range);

// The next `count` rows are the records of the batch from `first` on. Returns true if they became a run of their own,
// which needs a reference: one that the caller takes before anybody else can let go of the batch.
bool pkf_range_add(pkf_range *range, pkf_batch *batch, int32_t first, int32_t count);

// Note the size of a row; rows in order.
PKF_MUST_USE pkf_status pkf_sizes_note(pkf_sizes *sizes, int32_t row_count, int32_t row, int32_t size);

static inline int32_t pkf_sizes_at(const pkf_sizes *sizes, int32_t row) {
    return sizes->each ? sizes->each[row] : sizes->same;
}

// The run of a row (row < count), and the place of it, splits followed.
const pkf_run *pkf_range_run(const pkf_range *range, int32_t row);
void pkf_range_place(const pkf_range *range, int32_t row, pkf_place *place);

#endif
