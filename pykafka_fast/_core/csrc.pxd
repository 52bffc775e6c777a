# SPDX-License-Identifier: Apache-2.0
# The C library in csrc/, as its headers say. Doors cimport from here; no other file declares our own C.

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "pkf_status.h" nogil:
    ctypedef enum pkf_status:
        PKF_OK
        PKF_E_NOMEM
        PKF_E_TOO_LARGE
        PKF_E_EXHAUSTED
        PKF_E_TIMEOUT
        PKF_E_CLOSED
        PKF_E_MALFORMED
        PKF_E_PARTIAL
        PKF_E_INVALID
        PKF_E_BUSY
        PKF_E_SYSTEM
    const char *pkf_status_name(int status) noexcept
    const char *pkf_status_text(int status) noexcept

# ---- bytes, records, checksums, hashes, slabs ------------------------------------------------------------------------

cdef extern from "pkf_bytes.h" nogil:
    ctypedef struct pkf_span:
        const uint8_t *base
        size_t len
    ctypedef struct pkf_cursor:
        const uint8_t *base
        size_t len
        size_t pos
        bint failed
    pkf_cursor pkf_cursor_over(const void *base, size_t len) noexcept
    size_t pkf_cursor_remaining(const pkf_cursor *c) noexcept

cdef extern from "pkf_crc32c.h" nogil:
    ctypedef uint32_t (*pkf_crc32c_fn)(uint32_t crc, const void *data, size_t len) noexcept
    pkf_crc32c_fn pkf_crc32c_select(const char *name) noexcept
    const char *pkf_crc32c_name(size_t index) noexcept

cdef extern from "pkf_murmur2.h" nogil:
    int32_t pkf_murmur2(const void *data, size_t len) noexcept

cdef extern from "pkf_record.h" nogil:
    ctypedef struct pkf_header:
        pkf_span key
        pkf_span value
    ctypedef struct pkf_record:
        size_t size
        int64_t ts_delta
        int32_t offset_delta
        int32_t header_count
        int8_t attributes
        pkf_span key
        pkf_span value
        pkf_cursor headers
    size_t pkf_record_size(int64_t ts_delta, int32_t offset_delta, const pkf_span *key, const pkf_span *value,
                           const pkf_header *headers, int32_t header_count, uint32_t *body_len) noexcept
    uint8_t *pkf_record_write(uint8_t *dst, uint32_t body_len, int64_t ts_delta, int32_t offset_delta,
                              const pkf_span *key, const pkf_span *value, const pkf_header *headers,
                              int32_t header_count) noexcept
    uint64_t pkf_record_upper_bound(const pkf_span *key, const pkf_span *value, const pkf_header *headers,
                                    int32_t header_count) noexcept
    pkf_status pkf_record_read(pkf_cursor *c, pkf_record *record) noexcept
    pkf_status pkf_record_next_header(pkf_cursor *headers, pkf_header *header) noexcept

cdef extern from "pkf_slab.h" nogil:
    ctypedef struct pkf_slab:
        uint8_t *base
        size_t size
    ctypedef struct pkf_pool:
        pass
    ctypedef struct pkf_waiter:
        pass
    ctypedef struct pkf_pool_stats:
        size_t budget
        int64_t available
        size_t acquired
        size_t resident
        size_t mapped
        uint64_t slabs_acquired
        uint64_t waiting
        uint64_t waits
        uint64_t exhausted
        uint64_t wait_ns
        uint64_t given_back
    pkf_pool *pkf_pool_new(size_t budget) noexcept
    pkf_status pkf_pool_free(pkf_pool *pool) noexcept
    size_t pkf_pool_round(size_t size) noexcept
    pkf_status pkf_pool_ready(pkf_pool *pool, size_t size, pkf_slab **slab) noexcept
    pkf_status pkf_pool_try(pkf_pool *pool, size_t size, pkf_slab **slab) noexcept
    pkf_status pkf_pool_overdraft(pkf_pool *pool, size_t size, pkf_slab **slab) noexcept
    pkf_status pkf_pool_wait_begin(pkf_pool *pool, pkf_waiter *waiter, size_t size) noexcept
    pkf_status pkf_pool_wait(pkf_pool *pool, pkf_waiter *waiter, uint64_t slice_ns) noexcept
    pkf_status pkf_pool_wait_take(pkf_pool *pool, pkf_waiter *waiter, pkf_slab **slab) noexcept
    void pkf_pool_wait_cancel(pkf_pool *pool, pkf_waiter *waiter) noexcept
    void pkf_pool_release(pkf_pool *pool, pkf_slab *slab) noexcept
    void pkf_pool_close(pkf_pool *pool) noexcept
    bint pkf_pool_waiting(const pkf_pool *pool) noexcept
    void pkf_pool_get_stats(pkf_pool *pool, pkf_pool_stats *stats) noexcept

# ---- end of that section ---------------------------------------------------------------------------------------------
