// SPDX-License-Identifier: Apache-2.0
//
// A column: keys or values of many records, in one of the layouts in which they come, read as spans without copying.
//
//   NONE     every row is null
//   SPANS    cells: a pkf_span per row
//   BINARY   cells: int32 offsets, one more than rows;  data: the bytes of row i are data[cells[i] .. cells[i + 1])
//   LARGE    the same with int64 offsets
//   VIEW     cells: 16 bytes per row: int32 length, then up to 12 bytes themselves, or 4 bytes of prefix, int32 number
//            of the buffer, int32 offset in it
//   FIXED    data: width bytes per row
//
// All but SPANS are Arrow's layouts. A set bit in validity (least significant bit first) says that the row is not null.
// The memory is the caller's, need not be aligned, and is read only. Pure functions: any thread, no lock.
#ifndef PKF_COLUMN_H
#define PKF_COLUMN_H

#include "pkf_bytes.h"
#include "pkf_status.h"

typedef enum pkf_column_kind {
    PKF_COLUMN_NONE = 0,
    PKF_COLUMN_SPANS = 1,
    PKF_COLUMN_BINARY = 2,
    PKF_COLUMN_LARGE = 3,
    PKF_COLUMN_VIEW = 4,
    PKF_COLUMN_FIXED = 5
} pkf_column_kind;

typedef struct pkf_column {
    pkf_column_kind kind;
    int32_t width;           // FIXED
    int64_t offset;          // of row 0 in cells, in validity, and in data where it is FIXED
    const uint8_t *validity; // NULL: no row is null
    const void *cells;
    const uint8_t *data;      // BINARY, LARGE, FIXED
    const void **buffers;     // VIEW
    const void *buffer_sizes; // VIEW: an int64 for each
    int64_t buffer_count;     // VIEW
} pkf_column;

// Rows [first, first + count) as spans; a null row has no base, an empty one has. Only rows that were checked.
void pkf_column_read(const pkf_column *column, int64_t first, int32_t count, pkf_span *spans);

// Whether rows [first, first + count) can be read: offsets do not decrease, views stay inside their buffers. The sizes of
// BINARY's and LARGE's data are not known here and have to be believed. E_MALFORMED: *wrong is the first row that is not.
PKF_MUST_USE pkf_status pkf_column_check(const pkf_column *column, int64_t first, int64_t count, int64_t *wrong);

#endif
