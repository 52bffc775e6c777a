// SPDX-License-Identifier: Apache-2.0
// The record accumulator: topics, their partitions with a lock each, the choice of a partition, append, and the set
// of batches that are not done. Appenders are any threads; "wire" marks what only the wire thread may do.
//
//   accum -> topic -> parts[] -> partition -> queue of batches: head (oldest, closed) ... tail (maybe open)
//
// The tables parts and tails are copy-on-write: they only grow, a larger copy replaces one in one store, and the replaced
// ones are kept until the topic is freed (together never more than the current one), so readers need no pin.
//
// Lock order: one partition lock, then at most one leaf (pool, live_lock, a stripe, the completion lock).
// Under a lock: no system call, nothing that can block, nothing through which Python could run.
#ifndef PKF_ACCUM_H
#define PKF_ACCUM_H

#include <pthread.h>

#include "pkf_batch.h"
#include "pkf_lock.h"
#include "pkf_owed.h"
#include "pkf_record.h"
#include "pkf_socket.h"

typedef struct pkf_topic pkf_topic;

typedef enum pkf_partitioner { PKF_STICKY = 0, PKF_ROUND_ROBIN = 1, PKF_RANDOM = 2 } pkf_partitioner;

typedef struct pkf_accum_config {
    size_t buffer_memory;    // bytes, hard bound of all slabs
    uint32_t batch_size;     // bytes at which a batch becomes sendable
    uint32_t batch_max_size; // bytes up to which a waiting batch may grow
    uint32_t max_request_size;
    int64_t linger_ns;
    int64_t delivery_timeout_ns;
    int partitioner; // pkf_partitioner, for records without a partition (and, but for RANDOM/STICKY, without a key)
    int ignore_keys;
    int adaptive;    // sticky choice weighs queued bytes (KIP-794)
    pkf_codec codec; // of topics that have none of their own
    int32_t codec_level;
    uint32_t max_cookies; // callbacks that may wait for delivery before send() waits
} pkf_accum_config;

#define PKF_CACHE_LINE 64
#define PKF_RATIO_ONE 65536 // of an estimate of compression: bytes that are as many afterwards

// What the next append to a partition will touch, as the last one left it: hints for the processor's cache, read without
// a lock and never followed. In a table of their own, so that lines which depend on one another can be asked for at once.
typedef struct pkf_tail {
    _Atomic(const pkf_batch *) batch;
    _Atomic(const uint8_t *) end; // of its records
} pkf_tail;

// Aligned to a cache line, the first of which is what each append touches.
struct pkf_partition {
    pkf_lock lock;
    // Guarded by lock:
    pkf_batch *tail;  // of the queue; open unless tail->closed
    pkf_topic *topic; // constant
    int32_t index;    // constant
    // Guarded by lock:
    uint32_t slab_hint;        // size class for the next batch
    _Atomic(pkf_batch *) head; // of the queue; wire also reads it without the lock, to see that there is none
    uint64_t next_order;

    _Alignas(PKF_CACHE_LINE) _Atomic uint32_t in_flight; // requests out; written by wire
    _Atomic uint8_t available;                           // a leader is known
    _Atomic uint8_t touched;                             // on the touched stack
    _Atomic uint64_t queued_bytes; // closed and not done: the load that the adaptive choice weighs
    pkf_partition *touched_next;

    // Wire thread only:
    int32_t leader; // index of its node in the wire, -1 unknown
    int32_t leader_epoch;
    pkf_batch *unresolved_head, *unresolved_tail; // framed, in order, not yet published
    uint32_t unresolved_count;
    uint32_t parked_count;
    uint32_t sequenced_count; // batches with a sequence whose outcome is not known
    int64_t left_ns;          // when its last batch was framed
    int64_t forgotten_ns;     // since when a broker may know nothing of the producer here; 0: it does
    int32_t heap_index;       // -1 when not in the heap
    pkf_partition *ready_prev, *ready_next;
    int32_t ready_node; // index of the node whose ready list holds it, -1 none
    int64_t producer_id;
    int32_t next_sequence;
    int32_t last_acked_sequence; // -1 none
    int16_t producer_epoch;
    uint8_t gap; // a sequence will never arrive, or was refused: hold everything, then restart the sequences
    uint8_t gap_reported;
    uint8_t gap_in_doubt; // a batch that failed may be written or still arrive, and so may those around it
    uint8_t leader_asked; // UNKNOWN_LEADER was reported and not answered yet

    uint64_t work_turn; // of the last batch a worker was given; guarded by the workers' lock
};

typedef struct pkf_topic_counters {
    _Atomic uint64_t records_sent, bytes_sent, records_retried, records_failed;
    _Atomic uint64_t raw_bytes, packed_bytes; // of records, before and after compression
} pkf_topic_counters;

struct pkf_topic {
    pkf_accum *accum;
    pkf_topic *next;
    char *name;
    uint32_t name_len;
    char *trouble;                   // malloc: why nobody leads it, or NULL; wire
    uint8_t id[16];                  // all zero while unknown; wire
    _Atomic int32_t partition_count; // 0 while unknown
    _Atomic int32_t available_count;
    _Atomic(pkf_partition **) parts;
    _Atomic(pkf_tail *) tails; // as many
    pkf_codec codec;           // constant once there are partitions
    int32_t codec_level;
    _Atomic uint32_t batch_ceiling; // bytes on the wire; lowered for a topic that answered MESSAGE_TOO_LARGE
    _Atomic uint32_t ratio;         // estimate: bytes after compression of PKF_RATIO_ONE before
    _Atomic uint32_t packing_pace;  // ns that its codec took for 1024 bytes, at the slowest of late; 0 never
    // What follows from both: bytes before compression,
    _Atomic uint32_t fill_limit;   // up to which an open batch may grow
    _Atomic uint32_t fill_size;    // at which it becomes sendable
    _Atomic uint32_t counter;      // round robin
    _Atomic int32_t sticky;        // partition, -1 none chosen
    _Atomic uint32_t sticky_bytes; // appended there since it was chosen
    _Atomic int64_t last_used_ns;  // when a batch of it was last framed, 0 never
    pkf_topic_counters counters;

    pthread_mutex_t route_lock;
    // Guarded by route_lock:
    int32_t *available; // indexes with a known leader, available_count of them
    int32_t parts_capacity, parts_made;
    void *retired; // replaced tables, freed with the topic
    uint64_t random;
};

#define PKF_STRIPES 32
#define PKF_SPARE_ARRAYS 32 // cookie arrays kept for batches to come

// A place to sleep for batches; a batch maps to one of PKF_STRIPES by its address.
typedef struct pkf_stripe {
    pthread_mutex_t lock;
    pthread_cond_t cond;
} pkf_stripe;

struct pkf_accum {
    _Atomic uint32_t refs;
    pkf_accum_config config;
    pkf_crc32c_fn crc32c; // for large records; NULL: left to the wire, the processor has no instruction for it
    size_t always_fits;   // bytes of key and value that no limit of the configuration refuses
    pkf_pool *pool;
    pkf_wakeup wakeup;           // wakes the wire thread
    _Atomic uint32_t closed;     // no more appends
    _Atomic uint32_t no_headers; // a broker is known that is too old for them
    uint32_t forks_at_birth;     // of the process
    _Atomic uint32_t forcing;    // flushes and waiters under way: everything is sendable
    _Atomic uint32_t open_batches;
    _Atomic uint32_t cookies;         // waiting for delivery, and a lot more per open batch at most
    _Atomic uint32_t idle;            // the wire thread sleeps: wake it
    _Atomic(pkf_partition *) touched; // stack of partitions the wire thread must look at

    pthread_mutex_t topics_lock;
    pkf_topic *topics; // guarded by topics_lock; append-only

    pthread_mutex_t live_lock;
    pkf_batch *live; // guarded by live_lock: every batch that is not done, newest first
    size_t live_count;

    pthread_mutex_t done_lock;
    pthread_cond_t done_cond;         // something completed, or closing
    pthread_cond_t delivered_cond;    // a batch was delivered
    _Atomic uint64_t delivery_thread; // its identity as the binding sees it, 0 none
    _Atomic uint64_t sender_thread;   // the same of the thread without which records may have no outcome
    int64_t delivery_ns;              // when it last took what was done; its own
    // Guarded by done_lock:
    pkf_batch *done_head, *done_tail;
    uint64_t done_pushed, done_delivered; // batches, ever
    bool done_closed;
    pkf_cookie *spare[PKF_SPARE_ARRAYS]; // empty, the last one put in is taken first
    uint32_t spare_capacity[PKF_SPARE_ARRAYS];
    uint32_t spare_count, spare_room; // arrays; cookies they could hold

    pkf_stripe stripes[PKF_STRIPES];

    pthread_mutex_t guest_lock;             // whoever waits for memory and compresses meanwhile
    _Atomic(struct pkf_workers *) workers;  // written under guest_lock; NULL: none run
    const _Atomic uint32_t *forks;          // how many forks lie between the process and the first producer
    _Alignas(PKF_CACHE_LINE) pkf_owed owed; // apart: written for every record
    _Atomic(const pkf_topic *) last_topic;  // of the last append to a sticky partition; never followed
};

// What a caller appends, and what came of it.
typedef struct pkf_slot { // where a future wants to know its record; filled under the partition lock
    pkf_batch *batch;     // a reference
    int64_t timestamp;
    int32_t index; // the sign is the binding's: nobody has looked at the outcome
    int32_t key_size, value_size, header_size;
} pkf_slot;

typedef struct pkf_append {
    pkf_topic *topic;
    int32_t partition; // in: explicit or -1; out: the one chosen
    int64_t timestamp; // ms
    pkf_span key, value;
    const pkf_header *headers;
    int32_t header_count;
    void *callback;  // NULL: none. The reference passes over on success
    pkf_slab *slab;  // in: a slab the caller holds, or NULL. out: one the caller must release, or NULL
    bool wait_lock;  // without the GIL: wait for the lock; with it: E_BUSY
    bool unbudgeted; // appended by the delivery thread, which must not wait for what only it can free
    size_t expected; // bytes that will follow in the partition, 0 unknown: how large a batch is opened
    bool may_grow;   // false: close a batch that would have to grow rather than ask for a slab
    bool fetched;    // in: pkf_topic_approach() chose the partition
    bool sticky;     // set by append: the sticky choice places it
    // out
    pkf_slot *slot;
    uint32_t grown; // with OK: bytes by which the batch grew, its header included if it is new
    size_t need;    // with NEED_SLAB: the size to acquire
    bool wake;      // call pkf_accum_wake after everything is let go
} pkf_append;

pkf_accum *pkf_accum_new(const pkf_accum_config *config);
void pkf_accum_ref(pkf_accum *accum);
void pkf_accum_unref(pkf_accum *accum); // frees at zero: no slab may be out, and see pkf_accum_end_owing()

// Append one record. OK | NEED_METADATA | NEED_SLAB | NEED_BUDGET | E_BUSY | E_TOO_LARGE | E_UNSUPPORTED |
// E_CLOSED | E_NOMEM.
// On anything but OK nothing was appended and the slot is untouched.
PKF_MUST_USE pkf_status pkf_accum_append(pkf_accum *accum, pkf_append *append);

// A cookie array goes from a delivered batch to one to come, so that its memory need not come from the system each time:
// keep() takes an empty array (or frees it, when 2 MB are kept), lend() gives one to a batch that has none, if there is.
// lend() under the batch's partition lock.
void pkf_accum_keep_cookies(pkf_accum *accum, pkf_cookie *cookies, uint32_t capacity);
void pkf_accum_lend_cookies(pkf_accum *accum, pkf_batch *batch);

// Whether this process is a child that inherited it (pkf_fork.h), by whatever means it was forked. Any thread.
static inline bool pkf_accum_forked(const pkf_accum *accum) {
    return atomic_load_explicit(accum->forks, memory_order_relaxed) != accum->forks_at_birth;
}

// No more appends; who waits for memory or for the callback budget is woken and refused. Any thread, idempotent.
void pkf_accum_close(pkf_accum *accum);

// A future of the batch goes, in whose state `state` was read. Under the binding's lock.
static inline void pkf_accum_let_go(pkf_batch *batch, uint32_t state) {
    if (state & PKF_DONE) // also of one that failed before it was appended
        pkf_batch_unref(batch);
    else
        pkf_owed_add(&batch->accum->owed, batch);
}

// The producer is closed, or gone: until then what is owed keeps batches, and they the accumulator. Under the binding's
// lock.
static inline void pkf_accum_end_owing(pkf_accum *accum) { pkf_owed_end(&accum->owed); }

// Add `by` to the number of those who want everything to leave at once (a flush), and wake the wire thread.
void pkf_accum_force(pkf_accum *accum, int by);

// The wire thread must look at this partition. Returns true if it sleeps and must be woken.
bool pkf_accum_touch(pkf_accum *accum, pkf_partition *partition);
void pkf_accum_wake(pkf_accum *accum);

// Wire: everything touched since the last call, oldest first, linked by touched_next.
pkf_partition *pkf_accum_take_touched(pkf_accum *accum);

// Close the open batch of a partition for appends. Partition lock.
void pkf_partition_close_tail_locked(pkf_partition *partition);

// The steps of an append, for who appends many records under one lock (pkf_bulk.c). Partition lock.
// First: the tail is an open batch with room for the record, for which pkf_record_write() wants *body_len. Answers are
// those of pkf_accum_append(), E_BUSY: the sticky choice has moved. *look: pkf_accum_touch() is due, whatever the answer.
PKF_MUST_USE pkf_status pkf_accum_ready_locked(pkf_accum *accum, pkf_partition *partition, pkf_append *append,
                                               uint32_t *body_len, bool *look);
// Then: bytes up to which that batch may be filled without asking again.
size_t pkf_accum_room_locked(const pkf_batch *batch);
// Last: `count` records were written to the tail, of which `before` bytes were in use.
void pkf_accum_filled_locked(pkf_partition *partition, pkf_append *append, uint32_t before, uint32_t count, bool *look);

// Make a batch leave without lingering (somebody waits for it). Any thread.
void pkf_accum_hurry(pkf_accum *accum, pkf_batch *batch);

// Count a new batch among those that are not done; takes a reference of its own.
void pkf_accum_add_live(pkf_accum *accum, pkf_batch *batch);

// Everything not done at this moment, with a reference each, oldest first. Frees with free(). NULL when none,
// or, with a count above 0, when out of memory.
pkf_batch **pkf_accum_live(pkf_accum *accum, size_t *count);

#endif
