# SPDX-License-Identifier: Apache-2.0
# Declarations of our own C, continued: many records at once. See csrc.pxd.
from libc.stdint cimport int32_t, int64_t, uint8_t

from pykafka_fast._core.csrc cimport pkf_accum, pkf_batch, pkf_header, pkf_span, pkf_status, pkf_topic

cdef extern from "pkf_column.h" nogil:
    ctypedef enum pkf_column_kind:
        PKF_COLUMN_NONE
        PKF_COLUMN_SPANS
        PKF_COLUMN_BINARY
        PKF_COLUMN_LARGE
        PKF_COLUMN_VIEW
        PKF_COLUMN_FIXED
    ctypedef struct pkf_column:
        pkf_column_kind kind
        int32_t width
        int64_t offset
        const uint8_t *validity
        const void *cells
        const uint8_t *data
        const void **buffers
        const void *buffer_sizes
        int64_t buffer_count
    void pkf_column_read(const pkf_column *column, int64_t first, int32_t count, pkf_span *spans) noexcept
    pkf_status pkf_column_check(const pkf_column *column, int64_t first, int64_t count, int64_t *wrong) noexcept

cdef extern from "pkf_range.h" nogil:
    ctypedef struct pkf_run:
        pkf_batch *batch
        int32_t first
        int32_t row
    ctypedef struct pkf_sizes:
        int32_t same
        int32_t *each
    ctypedef struct pkf_range:
        pkf_run *runs
        int32_t run_count
        int32_t count
        int32_t row_count
        int64_t timestamp
        int64_t *timestamps
        pkf_sizes key_sizes
        pkf_sizes value_sizes
        pkf_sizes header_sizes
    ctypedef struct pkf_place:
        pkf_batch *batch
        int32_t index
        int32_t count
    void pkf_range_init(pkf_range *range, int32_t row_count, int64_t timestamp) noexcept
    void pkf_range_clear(pkf_range *range) noexcept
    pkf_status pkf_range_reserve(pkf_range *range) noexcept
    bint pkf_range_add(pkf_range *range, pkf_batch *batch, int32_t first, int32_t count) noexcept
    pkf_status pkf_sizes_note(pkf_sizes *sizes, int32_t row_count, int32_t row, int32_t size) noexcept
    int32_t pkf_sizes_at(const pkf_sizes *sizes, int32_t row) noexcept
    const pkf_run *pkf_range_run(const pkf_range *range, int32_t row) noexcept
    void pkf_range_place(const pkf_range *range, int32_t row, pkf_place *place) noexcept

cdef extern from "pkf_bulk.h" nogil:
    ctypedef struct pkf_header_list:
        const pkf_header *headers
        int32_t count
        int32_t size
    ctypedef struct pkf_rows:
        pkf_column keys
        pkf_column values
        const int32_t *partitions
        const pkf_header_list *header_lists
        pkf_header_list headers
        int32_t partition
        int32_t count
        int64_t bytes
    ctypedef struct pkf_bulk:
        bint wait
        int32_t partition
        int32_t taken
    void pkf_bulk_init(pkf_bulk *bulk, pkf_topic *topic, pkf_range *range, int64_t patience_ns) noexcept
    void pkf_bulk_set_rows(pkf_bulk *bulk, const pkf_rows *rows) noexcept
    pkf_status pkf_bulk_check(const pkf_accum *accum, const pkf_rows *rows, int64_t *bytes, int64_t *wrong) noexcept
    pkf_status pkf_bulk_append(pkf_accum *accum, pkf_bulk *bulk, int64_t slice_ns) noexcept
    void pkf_bulk_end(pkf_accum *accum, pkf_bulk *bulk) noexcept
