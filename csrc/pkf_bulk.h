// SPDX-License-Identifier: Apache-2.0
//
// Many records appended by one call: rows of columns go into the open batches, many under one lock, and a range says
// where they went.
//
//   rows -- a block of up to PKF_BLOCK: spans, partitions --> holds: rows in sequence for one partition, under its lock
//
// Rows are taken in order, so that at any moment all rows before one are taken and none after it. A call works for a
// slice of time, so that signals can be served; whatever it answers, it can be called again and goes on where it was.
#ifndef PKF_BULK_H
#define PKF_BULK_H

#include "pkf_accum.h"
#include "pkf_column.h"
#include "pkf_range.h"

enum { PKF_BLOCK = 256 };

// The headers of one row.
typedef struct pkf_header_list {
    const pkf_header *headers;
    int32_t count;
    int32_t size; // bytes of keys and values; -1: no headers
} pkf_header_list;

// The records: rows [0, count) of each column.
typedef struct pkf_rows {
    pkf_column keys, values;
    const int32_t *partitions;           // of each row, -1 for a choice; NULL: `partition` for all
    const pkf_header_list *header_lists; // of each row; NULL: `headers` for all
    pkf_header_list headers;
    int32_t partition; // -1 for a choice
    int32_t count;
    int64_t bytes; // of keys and values together, as far as that is known: how large batches may become
} pkf_rows;

typedef struct pkf_bulk {
    // in
    pkf_topic *topic;
    pkf_range *range;    // where the rows go; its timestamps are those of the rows
    pkf_rows rows;       // set anew for a next piece of the same range, once all of these are taken
    int64_t patience_ns; // what one wait for memory may take
    bool wait;           // without the GIL: wait for locks and memory; with it: E_BUSY
    // out
    int32_t partition; // with NEED_METADATA: the one that must be known, or -1

    // Its own.
    pkf_append append; // the row that could not be written at once, and the slab held for it
    pkf_waiter waiter;
    int64_t wait_until_ns;
    bool waiting;                    // the waiter has a place in the pool's queue
    int32_t taken;                   // of rows
    int32_t block_first, block_last; // rows [first, last) of the block
    int32_t fetched;                 // of the block: their lines were asked for
    size_t expected, expected_share; // bytes of the rows from there on, and by partition
    bool scattered;                  // over the partitions
    pkf_span keys[PKF_BLOCK], values[PKF_BLOCK];
    int32_t partitions[PKF_BLOCK]; // -1: the sticky choice, or not chosen yet
} pkf_bulk;

// All but `rows` and `wait`.
void pkf_bulk_init(pkf_bulk *bulk, pkf_topic *topic, pkf_range *range, int64_t patience_ns);

// The rows of the next piece.
void pkf_bulk_set_rows(pkf_bulk *bulk, const pkf_rows *rows);

// Look at every row before any is taken. *bytes is what keys and values have together. E_MALFORMED: a column's offsets;
// E_INVALID: neither key nor value; E_TOO_LARGE; *wrong is the row.
PKF_MUST_USE pkf_status pkf_bulk_check(const pkf_accum *accum, const pkf_rows *rows, int64_t *bytes, int64_t *wrong);

// Append for about slice_ns. OK: all rows are taken. E_PARTIAL: the slice is over. NEED_METADATA | E_BUSY | E_TIMEOUT: no
// memory within patience | E_CLOSED | E_NOMEM | E_TOO_LARGE | E_UNSUPPORTED: rows [0, taken) are.
PKF_MUST_USE pkf_status pkf_bulk_append(pkf_accum *accum, pkf_bulk *bulk, int64_t slice_ns);

// Give back what was not used. Not in a forked child.
void pkf_bulk_end(pkf_accum *accum, pkf_bulk *bulk);

#endif
