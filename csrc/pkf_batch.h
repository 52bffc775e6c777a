// SPDX-License-Identifier: Apache-2.0
// A batch: the records of one partition that travel together, and what became of them.
//
//   pkf_batch (reference-counted, malloc)            slab (from the pool)
//   +-----------------------------+                  +----------------+---------+---------+-------+
//   | state word, result          |     slab ------> | header 61 B    | record 0| record 1| free  |
//   | identity, counts, times     |                  +----------------+---------+---------+-------+
//   | cookies (callbacks)         |                  0                61        used ->     slab->size
//   +-----------------------------+
//
// The slab goes back to the pool when the last request that carries it has ended; the batch itself lives as long as
// a future, the sender or a waiter holds a reference, and outlives the producer.
//
// Life:   OPEN --close--> CLOSED --take--> TAKEN --seal--> SEALED --frame--> IN REQUEST --success--> done
//         partition lock    |  ^  wire thread only from here on          \--failure--> PARKED --settle--> queue or done
//                           v  |
//                         packing: compressed by a worker, where the topic has a codec
//
// The state word is the only thing two threads write without a lock. Whoever of complete() (sets DONE) and attach
// (sets WANTED) sees the bit of the other puts the batch on the completion list; QUEUED makes that exactly once.
#ifndef PKF_BATCH_H
#define PKF_BATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pkf_bytes.h"
#include "pkf_codec.h"
#include "pkf_crc32c.h"
#include "pkf_slab.h"
#include "pkf_status.h"

#define PKF_BATCH_HEADER 61 // bytes reserved in front of the records

enum {
    PKF_DONE = 1,       // the result fields are final
    PKF_WANTED = 2,     // cookies or listeners wait for delivery
    PKF_WAITED = 4,     // a thread sleeps until done or delivered
    PKF_QUEUED = 8,     // put on the completion list, once
    PKF_DELIVERED = 16, // callbacks have run
    PKF_URGENT = 32,    // somebody waits: do not linger
    PKF_UNSEEN = 64,    // a future was dropped before the outcome was known: a failure is to be told to the log
};

// Those of errors.ClientCode that arise in C.
enum {
    PKF_CODE_TIMEOUT = -1000,
    PKF_CODE_CLOSED_FORCEFULLY = -1005,
    PKF_CODE_FORKED = -1007,
    PKF_CODE_BATCH_REJECTED = -1012
};

typedef struct pkf_accum pkf_accum;
typedef struct pkf_partition pkf_partition;
typedef struct pkf_batch pkf_batch;

// What C keeps for a Python callback: an owned reference it never looks into, and what the callback is told of the
// record. Not the future: it would have to live until delivery, and most callers drop it at once.
typedef struct pkf_cookie {
    void *callback;
    int64_t timestamp;
    int32_t index; // of the record in the batch that holds the cookie
    int32_t key_size, value_size, header_size;
} pkf_cookie;

// A listener attached after the append (add_callback, await). Singly linked, in order of attachment.
typedef struct pkf_listener {
    struct pkf_listener *next;
    void *object; // owned reference
} pkf_listener;

// Whether its records were offered to a codec.
typedef enum pkf_packing { PKF_PACKING_NONE, PKF_PACKING_UNDER_WAY, PKF_PACKED } pkf_packing;

// KIP-467: one guilty record of a rejected batch.
typedef struct pkf_record_error {
    int32_t index;
    char *message; // malloc, or NULL
} pkf_record_error;

// After a split: records [first, next fork's first) live in child.
typedef struct pkf_fork {
    int32_t first;
    pkf_batch *child; // a reference
} pkf_fork;

// What an append touches comes first: with many partitions each of these lines is a miss.
struct pkf_batch {
    _Atomic uint32_t refs;
    _Atomic uint32_t state;

    // Filling; guarded by the partition's lock until closed, constant afterwards.
    uint32_t
        reserved; // references counted in refs and not given out yet: an append hands one on without an atomic operation
    uint32_t used;            // bytes of the slab in use, header included
    uint32_t room;            // bytes of the slab
    int32_t count;            // records
    uint32_t record_size_max; // bytes of the largest record
    uint32_t crc, crc_end;    // CRC-32C of the records before the byte crc_end: PKF_BATCH_HEADER, none
    bool closed;
    bool with_headers;      // a record of it has headers
    uint8_t *base;          // of the slab
    int64_t base_timestamp; // ms, of record 0
    int64_t max_timestamp;  // ms
    pkf_accum *accum;       // constant; a reference; NULL for a batch that failed before it was appended
    pkf_cookie *cookies;
    uint32_t cookie_count, cookie_capacity;
    uint32_t budgeted;  // cookies counted in the accumulator's budget; more than there are while the batch is open
    pkf_slab *slab;     // NULL once given back
    int64_t created_ns; // monotonic
    uint64_t order;     // place among the partition's batches; the pieces of a split share it

    // Identity; constant after creation.
    pkf_partition *partition; // lives as long as accum; NULL for a batch that failed before it was appended
    char *topic;              // malloc; only when partition is NULL
    int32_t partition_index;  // only when partition is NULL; -1 unknown
    uintptr_t refused_by;     // only when partition is NULL: the accumulator whose producer refused the record, 0 none

    // Result; written before DONE is published, constant afterwards.
    int32_t code; // 0, Kafka's error code, or one of errors.ClientCode
    bool in_doubt;
    int64_t base_offset;     // -1 unknown
    int64_t log_append_time; // ms, -1 none
    char *message;           // malloc, or NULL; until there is a result: why the last try failed (wire)
    pkf_record_error *record_errors;
    int32_t record_error_count;
    pkf_fork *forks; // after a split: ordered by first
    int32_t fork_count;

    // Guarded by the stripe lock of this batch.
    pkf_listener *listeners, **listeners_end;

    // Wire thread only.
    int64_t producer_id;
    int32_t sequence; // -1 while none was assigned
    int16_t producer_epoch;
    pkf_packing packing;        // its way through a worker; NONE and UNDER_WAY only where the topic has a codec
    pkf_codec codec;            // of the records as they lie in the slab
    uint32_t raw_size;          // bytes of the records before compression, once it was packed
    bool in_request;            // a request holds the bytes
    bool answered;              // named by the response being read
    bool listed;                // in the partition's unresolved list
    bool maybe_written;         // a request with it was written out whole and never answered, or answered doubtfully
    bool refused;               // for its sequence: in no queue until one behind it is acknowledged, or a restart
    uint32_t attempts;          // times it was given back for another try
    int64_t retry_ns;           // not before this time; 0 at once
    int64_t sealed_ns;          // last framing as a batch of format v2, 0 never
    bool parked;                // the sender thread is deciding
    bool unjudged;              // parked with an answer that may mean that it was written all the same
    bool resolved;              // the outcome is known, though earlier batches may still hold back its publication
    bool split;                 // a product of a split
    uint32_t packed_size;       // its worker's, while packing is under way: bytes of the records now, 0 as before
    int64_t packing_ns;         // its worker's: time in the codec
    pkf_batch *work_next;       // the workers' queue, then the stack of what they have finished
    pkf_batch *queue_next;      // the partition's queue (under its lock)
    pkf_batch *unresolved_next; // the partition's list of framed, unpublished batches
    pkf_batch *completed_next;  // the completion list
    pkf_batch *live_prev, *live_next; // every batch that is not done: guarded by the accumulator's live lock
};

// Its bytes are in `slab` from now on, which it owns. Partition lock, or nobody else has the batch.
static inline void pkf_batch_set_slab(pkf_batch *batch, pkf_slab *slab) {
    batch->slab = slab;
    batch->base = slab->base;
    batch->room = (uint32_t)slab->size;
}

// A batch around `slab` (NULL: none yet), which it owns from now on; one reference, the caller's. NULL when out of memory.
pkf_batch *pkf_batch_new(pkf_accum *accum, pkf_partition *partition, pkf_slab *slab, int64_t now_ns);

// A batch that is done from birth: the outcome of a send that appended nothing. Copies topic and message.
pkf_batch *pkf_batch_new_failed(const char *topic, size_t topic_len, int32_t partition, int32_t code,
                                const char *message, bool in_doubt);

// Give a batch of the kind above an offset: metadata made by hand, in users' tests.
void pkf_batch_set_offset(pkf_batch *batch, int64_t offset);

void pkf_batch_ref(pkf_batch *batch);

// Give back what is left of the reserved references, when the batch is closed. Partition lock.
void pkf_batch_end_reserve_locked(pkf_batch *batch);

// May free the batch (never its slab: that has gone back before). Any thread, no lock needed.
void pkf_batch_unref(pkf_batch *batch);
void pkf_batch_unref_many(pkf_batch *batch, uint32_t count);

// One of the reserved references becomes the caller's. Partition lock, batch open.
static inline void pkf_batch_ref_reserved_locked(pkf_batch *batch) {
    if (batch->reserved == 0) {
        batch->reserved = 1u << 16;
        atomic_fetch_add_explicit(&batch->refs, batch->reserved, memory_order_relaxed);
    }
    batch->reserved--;
}

// One more cookie will be counted in the budget of `most`: in lots that grow with the batch, so that few take an atomic
// operation, and one by one where the budget is half used up. Partition lock, batch open.
static inline void pkf_batch_budget_cookie_locked(pkf_batch *batch, _Atomic uint32_t *cookies, uint32_t most) {
    if (batch->cookie_count < batch->budgeted) return;
    uint32_t lot = batch->cookie_count < 1 ? 1 : batch->cookie_count > 64 ? 64 : batch->cookie_count;
    if (atomic_load_explicit(cookies, memory_order_relaxed) >= most / 2) lot = 1;
    batch->budgeted += lot;
    atomic_fetch_add_explicit(cookies, lot, memory_order_relaxed);
}

static inline uint32_t pkf_batch_state(const pkf_batch *batch) {
    return atomic_load_explicit(&((pkf_batch *)batch)->state, memory_order_acquire);
}

// A future of the batch goes before anybody has looked at its outcome. Returns the state before: with DONE in it, what
// there is to say is left to the caller, else to the wire. Any thread.
static inline uint32_t pkf_batch_leave_unseen(pkf_batch *batch) {
    uint32_t state = pkf_batch_state(batch);
    if (state & (PKF_DONE | PKF_UNSEEN)) return state;
    return atomic_fetch_or_explicit(&batch->state, PKF_UNSEEN, memory_order_acq_rel);
}

// Room for one more cookie, before the record is written, so that nothing can fail afterwards. Partition lock.
PKF_MUST_USE pkf_status pkf_batch_reserve_cookie(pkf_batch *batch);

// Large records were written behind the byte `before`. Sum them now, and the few small ones in front of them, while the
// processor that wrote them has them: the wire thread's would fetch them for that. Not what lies behind many small ones:
// those the wire sums, all in one go. Partition lock, batch open.
void pkf_batch_sum_locked(pkf_batch *batch, pkf_crc32c_fn crc32c, uint32_t before);

// The records as they were before compression. *copy is what the caller must free(), NULL if they lie there so. Wire thread.
PKF_MUST_USE pkf_status pkf_batch_unpack(const pkf_batch *batch, pkf_codec_state *codecs, uint8_t **copy,
                                         pkf_span *records);

// Write the 61-byte header in front of the records and compute the CRC of what was not summed before. Wire thread, batch
// closed, no request holds it.
void pkf_batch_seal(pkf_batch *batch, int64_t producer_id, int16_t producer_epoch, int32_t sequence, int transactional,
                    pkf_crc32c_fn crc32c);

// Set the result and publish DONE. Returns true if the batch must go to the completion list (WANTED was set).
// message is copied and may be NULL. Wire thread.
bool pkf_batch_publish(pkf_batch *batch, int32_t code, const char *message, bool in_doubt);

// The batch and index that record `index` of `batch` has now, after any number of splits. Borrowed reference.
pkf_batch *pkf_batch_follow(pkf_batch *batch, int32_t *index);

// The i-th piece of a batch that was split (i < fork_count); borrowed. Done batches only.
pkf_batch *pkf_batch_fork(const pkf_batch *batch, int32_t i);

// The error code of one record of a done batch: 0, the batch's code, or its own (KIP-467). *message borrowed or NULL.
int32_t pkf_batch_record_code(const pkf_batch *batch, int32_t index, const char **message);

#endif
