// SPDX-License-Identifier: Apache-2.0
// Threads that compress batches, so that neither the caller nor the wire thread waits for a codec.
//
//   wire thread --pkf_workers_add()--> queue --a worker--> finished --pkf_workers_take()--> wire thread
//
// A batch stays where it is in its partition's queue meanwhile (batch->packing says PKF_PACKING_UNDER_WAY), so that order
// needs no thought here. Between add() and take() its worker owns the bytes of its slab, and the fields that say so; nobody
// else reads or frees them. The output goes to a slab of the worker's own and from there back into the batch's, if it is
// smaller: a batch never needs more memory to be sent than it had.
//
// Partitions take turns: the n-th batch that one of them has waiting comes after the first n of any other, so that a busy
// one does not keep the others waiting.
//
// Who appends and has to wait for memory lends a hand meanwhile, one thread at a time: the memory it waits for comes back
// when batches are sent, and they are sent when they are compressed. It is a guest: it takes only what will be done soon,
// because between two batches it looks at its deadline and, in Python, at signals.
#ifndef PKF_WORKERS_H
#define PKF_WORKERS_H

#include "pkf_accum.h"
#include "pkf_codec.h"

enum { PKF_WORKERS_MAX = 64, PKF_WORKERS_TURNS = 32 };

typedef struct pkf_worker {
    struct pkf_workers *workers;
    pthread_t thread;
    pkf_codec_state *codecs;
    pkf_slab *scratch; // NULL after some time without work; charged to the pool like any other
} pkf_worker;

typedef struct pkf_work {   // a queue of batches
    pkf_batch *head, *tail; // by work_next
} pkf_work;

typedef struct pkf_workers {
    pkf_accum *accum; // borrowed from the wire
    int32_t wanted;   // threads; constant from the start on
    int32_t count;    // of them run
    pkf_worker all[PKF_WORKERS_MAX];
    _Atomic(pkf_batch *) finished; // stack, newest first, by work_next

    pthread_mutex_t lock;
    pthread_cond_t some;
    // Guarded by lock:
    pkf_work turns[PKF_WORKERS_TURNS]; // by turn modulo their number
    uint64_t turn;                     // the first that may have some
    uint32_t waiting;                  // batches in all of them
    bool stopping;
    bool guest_came; // and may have left a slab

    pkf_worker guest; // without a thread of its own; whoever holds accum->guest_lock
} pkf_workers;

void pkf_workers_init(pkf_workers *workers, pkf_accum *accum);
// All signals blocked in them. When it fails there are none; it can be tried again.
PKF_MUST_USE pkf_status pkf_workers_start(pkf_workers *workers, int32_t count);

// Ends the threads, each after the batch it has; what had not begun is finished as it is, without compression. Idempotent.
void pkf_workers_stop(pkf_workers *workers);
void pkf_workers_free(pkf_workers *workers); // stopped, and nothing left to take

// pkf_pool_wait() for who has nothing else to do than to wait: lends a hand if there is work that takes less than a slice.
PKF_MUST_USE pkf_status pkf_workers_pool_wait(pkf_accum *accum, pkf_waiter *waiter, uint64_t slice_ns);

// Wire: a closed batch that no request holds.
void pkf_workers_add(pkf_workers *workers, pkf_batch *batch);

// Wire: what was finished since the last call, by work_next, in no order that matters. The batch's bytes and `packed_size`
// are the wire's again; everything that follows from them is pkf_wire_packed()'s.
pkf_batch *pkf_workers_take(pkf_workers *workers);

static inline bool pkf_workers_finished(const pkf_workers *workers) {
    return atomic_load(&((pkf_workers *)workers)->finished) != NULL;
}

#endif
