# SPDX-License-Identifier: Apache-2.0
# The C library in csrc/, as its headers say. Doors cimport from here; no other file declares our own C.

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t

cdef extern from "pkf_status.h" nogil:
    ctypedef enum pkf_status:
        PKF_OK
        PKF_E_TOO_LARGE
        PKF_E_EXHAUSTED
        PKF_E_TIMEOUT
        PKF_E_CLOSED
        PKF_E_MALFORMED
        PKF_E_PARTIAL
        PKF_E_INVALID
        PKF_E_BUSY
        PKF_E_UNSUPPORTED
        PKF_NEED_METADATA
        PKF_NEED_SLAB
        PKF_NEED_BUDGET
    const char *pkf_status_name(int status) noexcept
    const char *pkf_status_text(int status) noexcept

# ---- bytes, records, checksums, hashes, slabs -----------------------------------------------------------------------

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

cdef extern from "pkf_codec.h" nogil:
    ctypedef enum pkf_codec:
        PKF_NONE
        PKF_GZIP
        PKF_SNAPPY
        PKF_LZ4
        PKF_ZSTD
    ctypedef struct pkf_codec_state:
        pass
    ctypedef struct pkf_codec_levels:
        int32_t min
        int32_t max
        int32_t standard
    pkf_codec_state *pkf_codec_state_new() noexcept
    void pkf_codec_state_free(pkf_codec_state *state) noexcept
    pkf_status pkf_codec_describe(pkf_codec codec, pkf_codec_levels *levels) noexcept
    size_t pkf_codec_bound(pkf_codec codec, size_t size) noexcept
    size_t pkf_codec_memory(pkf_codec codec, int32_t level, size_t size) noexcept
    pkf_status pkf_codec_compress(pkf_codec_state *state, pkf_codec codec, int32_t level, int magic, pkf_span src,
                                  uint8_t *dst, size_t *size) noexcept
    pkf_status pkf_codec_decompress(pkf_codec_state *state, pkf_codec codec, int magic, pkf_span src, uint8_t *dst,
                                    size_t room, size_t *size) noexcept

cdef extern from "pkf_legacy.h" nogil:
    pkf_status pkf_legacy_write(pkf_span records, int32_t count, int64_t base_timestamp, int magic, uint8_t *dst,
                                size_t *size) noexcept
    size_t pkf_legacy_bound(size_t used, int32_t count) noexcept
    size_t pkf_legacy_wrap_bound(pkf_codec codec, size_t size) noexcept
    pkf_status pkf_legacy_wrap(pkf_codec_state *state, pkf_codec codec, int32_t level, pkf_span set, int32_t count,
                               int64_t max_timestamp, int magic, uint8_t *dst, size_t *size) noexcept

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

# ---- clocks, wake-up ------------------------------------------------------------------------------------------------

cdef extern from "pkf_socket.h" nogil:
    int64_t PKF_NEVER
    ctypedef struct pkf_wakeup:
        int read_fd
        int write_fd
    int64_t pkf_monotonic_ns() noexcept
    ctypedef struct pkf_ms_clock:
        pass
    int64_t pkf_ms_clock_read(pkf_ms_clock *clock) noexcept

# ---- batches --------------------------------------------------------------------------------------------------------

cdef extern from "pkf_batch.h" nogil:
    enum:
        PKF_DONE
        PKF_WANTED
        PKF_CODE_CLOSED_FORCEFULLY
        PKF_CODE_FORKED
        PKF_DELIVERED
        PKF_UNSEEN
    ctypedef struct pkf_cookie:
        void *callback
        int64_t timestamp
        int32_t index
        int32_t key_size
        int32_t value_size
        int32_t header_size
    ctypedef struct pkf_listener:
        pkf_listener *next
        void *object
    ctypedef struct pkf_record_error:
        int32_t index
        char *message
    ctypedef struct pkf_batch:
        pkf_accum *accum
        pkf_partition *partition
        char *topic
        int32_t partition_index
        int32_t code
        bint in_doubt
        int64_t base_offset
        int64_t log_append_time
        int32_t fork_count
        uintptr_t refused_by
        uint32_t used
        int32_t count
        int64_t created_ns
        int64_t producer_id
        int32_t sequence
        int16_t producer_epoch
        uint32_t attempts
        bint split
        pkf_cookie *cookies
        uint32_t cookie_count
        uint32_t cookie_capacity
        pkf_batch *completed_next
    pkf_batch *pkf_batch_new_failed(const char *topic, size_t topic_len, int32_t partition, int32_t code,
                                    const char *message, bint in_doubt) noexcept
    void pkf_batch_set_offset(pkf_batch *batch, int64_t offset) noexcept
    void pkf_batch_ref(pkf_batch *batch) noexcept
    void pkf_batch_unref(pkf_batch *batch) noexcept
    uint32_t pkf_batch_state(const pkf_batch *batch) noexcept
    uint32_t pkf_batch_leave_unseen(pkf_batch *batch) noexcept
    pkf_batch *pkf_batch_follow(pkf_batch *batch, int32_t *index) noexcept
    pkf_batch *pkf_batch_fork(const pkf_batch *batch, int32_t i) noexcept
    int32_t pkf_batch_record_code(const pkf_batch *batch, int32_t index, const char **message) noexcept

# ---- accumulator ----------------------------------------------------------------------------------------------------

cdef extern from "pkf_accum.h" nogil:
    ctypedef struct pkf_accum_config:
        size_t buffer_memory
        uint32_t batch_size
        uint32_t batch_max_size
        uint32_t max_request_size
        int64_t linger_ns
        int64_t delivery_timeout_ns
        int partitioner
        int ignore_keys
        int adaptive
        pkf_codec codec
        int32_t codec_level
        uint32_t max_cookies
    ctypedef struct pkf_partition:
        pkf_topic *topic
        int32_t index
    ctypedef struct pkf_topic_counters:
        uint64_t records_sent
        uint64_t bytes_sent
        uint64_t records_retried
        uint64_t records_failed
        uint64_t raw_bytes
        uint64_t packed_bytes
    ctypedef struct pkf_topic:
        pkf_topic *next
        char *name
        int32_t partition_count
        int64_t last_used_ns
        pkf_topic_counters counters
    ctypedef struct pkf_accum:
        pkf_accum_config config
        pkf_pool *pool
        uint32_t no_headers
        uint32_t cookies
        uint64_t delivery_thread
        uint64_t sender_thread
        size_t live_count
    ctypedef struct pkf_slot:
        pkf_batch *batch
        int64_t timestamp
        int32_t index
        int32_t key_size
        int32_t value_size
        int32_t header_size
    ctypedef struct pkf_append:
        pkf_topic *topic
        int32_t partition
        int64_t timestamp
        pkf_span key
        pkf_span value
        const pkf_header *headers
        int32_t header_count
        void *callback
        pkf_slab *slab
        bint wait_lock
        bint unbudgeted
        size_t expected
        bint may_grow
        bint fetched
        pkf_slot *slot
        size_t need
        bint wake
    pkf_accum *pkf_accum_new(const pkf_accum_config *config) noexcept
    void pkf_accum_ref(pkf_accum *accum) noexcept
    void pkf_accum_unref(pkf_accum *accum) noexcept
    void pkf_accum_keep_cookies(pkf_accum *accum, pkf_cookie *cookies, uint32_t capacity) noexcept
    pkf_status pkf_accum_append(pkf_accum *accum, pkf_append *append) noexcept
    void pkf_accum_wake(pkf_accum *accum) noexcept
    void pkf_accum_hurry(pkf_accum *accum, pkf_batch *batch) noexcept
    pkf_batch **pkf_accum_live(pkf_accum *accum, size_t *count) noexcept
    void pkf_accum_let_go(pkf_batch *batch, uint32_t state) noexcept
    void pkf_accum_end_owing(pkf_accum *accum) noexcept
    void pkf_accum_close(pkf_accum *accum) noexcept
    void pkf_accum_force(pkf_accum *accum, int by) noexcept

cdef extern from "pkf_topic.h" nogil:
    pkf_topic *pkf_topic_new(pkf_accum *accum, const char *name, size_t name_len) noexcept
    pkf_status pkf_topic_set_route(pkf_topic *topic, int32_t partition_count, const int32_t *leaders) noexcept
    void pkf_topic_forget(pkf_topic *topic) noexcept
    int32_t pkf_topic_approach(pkf_topic *topic, const pkf_span *key, size_t value_size) noexcept
    int32_t pkf_topic_place(pkf_topic *topic, const pkf_span *key, size_t size) noexcept
    bint pkf_topic_has_room(pkf_topic *topic, int32_t index, uint64_t bound) noexcept
    void pkf_topic_set_ceiling(pkf_topic *topic, uint32_t size) noexcept
    void pkf_topic_set_codec(pkf_topic *topic, pkf_codec codec, int32_t level) noexcept

cdef extern from "pkf_completion.h" nogil:
    pkf_status pkf_accum_wait_batch(pkf_accum *accum, pkf_batch *batch, bint delivered, int64_t slice_ns) noexcept
    pkf_status pkf_accum_listen(pkf_accum *accum, pkf_batch *batch, void *object) noexcept
    pkf_status pkf_accum_post(pkf_accum *accum, void *object, uint64_t *pushed) noexcept
    pkf_status pkf_accum_wait_done(pkf_accum *accum, int64_t slice_ns, pkf_batch **list) noexcept
    pkf_listener *pkf_accum_take_listeners(pkf_accum *accum, pkf_batch *batch) noexcept
    void pkf_accum_delivered(pkf_accum *accum, pkf_batch *batch, uint32_t cookies) noexcept
    uint64_t pkf_accum_pushed(pkf_accum *accum) noexcept
    pkf_status pkf_accum_wait_delivered(pkf_accum *accum, uint64_t pushed, int64_t slice_ns) noexcept
    void pkf_accum_close_delivery(pkf_accum *accum) noexcept
    pkf_status pkf_accum_wait_budget(pkf_accum *accum, int64_t slice_ns) noexcept

# ---- wire -----------------------------------------------------------------------------------------------------------

cdef extern from "pkf_event.h" nogil:
    ctypedef enum pkf_event_kind:
        pass
    ctypedef struct pkf_event:
        pkf_event *next
        pkf_event_kind kind
        int32_t node
        int32_t code
        int32_t partition
        int32_t leader
        int32_t leader_epoch
        int64_t offset
        int64_t log_start
        int64_t log_append_time
        bint in_doubt
        bint answered
        bint first
        pkf_topic *topic
        pkf_batch *batch
        char *text
        pkf_record_error *record_errors
        int32_t record_error_count
    ctypedef enum pkf_command_kind:
        PKF_COMMAND_CONNECT
        PKF_COMMAND_FORGET
        PKF_COMMAND_EXPLAIN
        PKF_COMMAND_THROTTLE
        PKF_COMMAND_LEADERS
        PKF_COMMAND_LEADER
        PKF_COMMAND_PRODUCER
        PKF_COMMAND_PLAIN
        PKF_COMMAND_REQUEUE
        PKF_COMMAND_FAIL
        PKF_COMMAND_COMPLETE
        PKF_COMMAND_SPLIT
        PKF_COMMAND_RESTART
        PKF_COMMAND_CLOSE
        PKF_COMMAND_ABORT
        PKF_COMMAND_STOP
    ctypedef struct pkf_command:
        int32_t node
        int32_t fd
        int32_t version
        int32_t correlation
        int32_t partition
        int32_t code
        int32_t count
        int32_t *leaders
        int32_t *epochs
        uint8_t id[16]
        int64_t producer_id
        int64_t delay_ns
        int64_t offset
        int32_t epoch
        int32_t size
        bint in_doubt
        bint refused
        pkf_topic *topic
        pkf_batch *batch
        char *text
        pkf_record_error *record_errors
        int32_t record_error_count
    ctypedef struct pkf_events:
        pkf_wakeup wakeup
    void pkf_event_free(pkf_event *event) noexcept
    pkf_event *pkf_events_take(pkf_events *events) noexcept
    pkf_command *pkf_command_new(pkf_command_kind kind) noexcept

cdef extern from "pkf_workers.h" nogil:
    pkf_status pkf_workers_pool_wait(pkf_accum *accum, pkf_waiter *waiter, uint64_t slice_ns) noexcept

cdef extern from "pkf_round.h" nogil:
    ctypedef struct pkf_wire_config:
        char client_id[256]
        int16_t acks
        bint idempotent
        int32_t max_in_flight
        int32_t workers
        int64_t request_timeout_ns
        int64_t idle_timeout_ns
        int64_t pace_ns
        int64_t patience_ns
        uint32_t receive_max
    ctypedef struct pkf_node_report:
        int32_t id
        uint64_t requests
        uint64_t request_bytes
        uint64_t responses
        uint64_t response_bytes
        uint64_t latency_ns
        uint64_t throttle_ms
        uint64_t latency_max_ns
        uint64_t request_size_max
        uint64_t throttle_max_ms
    ctypedef struct pkf_wire_maxima:
        uint64_t record_size
        uint64_t batch_size
        uint64_t request_size
        uint64_t request_latency_ns
        uint64_t queue_time_ns
        uint64_t throttle_ms
    ctypedef struct pkf_wire_counters:
        uint64_t records_sent
        uint64_t batches
        uint64_t batch_bytes
        uint64_t raw_bytes
        uint64_t packed_bytes
        uint64_t packing_ns
        uint64_t incompressible
        uint64_t requests
        uint64_t request_bytes
        uint64_t responses
        uint64_t response_bytes
        uint64_t records_retried
        uint64_t batches_retried
        uint64_t records_failed
        uint64_t splits
        uint64_t request_latency_ns
        uint64_t queue_time_ns
        uint64_t throttle_ms
        uint64_t throttle_count
        uint64_t connections_created
        uint64_t connections_closed
        uint64_t in_flight
        uint64_t connections
        uint64_t rounds
    ctypedef struct pkf_wire:
        pkf_events events
        pkf_wire_counters counters
    pkf_wire *pkf_wire_new(pkf_accum *accum, const pkf_wire_config *config) noexcept
    pkf_status pkf_wire_start(pkf_wire *wire) noexcept
    pkf_status pkf_wire_join(pkf_wire *wire, int64_t slice_ns) noexcept
    void pkf_wire_free(pkf_wire *wire) noexcept
    void pkf_wire_command(pkf_wire *wire, pkf_command *command) noexcept
    pkf_status pkf_wire_report_node(pkf_wire *wire, int32_t index, pkf_node_report *report) noexcept
    void pkf_wire_take_maxima(pkf_wire *wire, pkf_wire_maxima *maxima) noexcept

cdef extern from "pkf_fork.h" nogil:
    bint pkf_accum_forked(const pkf_accum *accum) noexcept
    void pkf_accum_orphan(pkf_accum *accum) noexcept
    void pkf_wire_orphan(pkf_wire *wire) noexcept
    bint pkf_batch_inherited(const pkf_batch *batch) noexcept
    void pkf_batch_orphan(pkf_batch *batch) noexcept
