// SPDX-License-Identifier: Apache-2.0
// References that futures need no longer, of one batch at a time, to be given back in one atomic operation: most futures go
// as soon as send() has returned, thousands for one batch. One thread at a time: the binding's lock.
#ifndef PKF_OWED_H
#define PKF_OWED_H

#include "pkf_batch.h"

typedef struct pkf_owed {
    pkf_batch *batch; // NULL: none
    uint32_t count;
    bool over; // nothing is owed any more, each is given back at once
} pkf_owed;

static inline void pkf_owed_settle(pkf_owed *owed) {
    if (owed->count) pkf_batch_unref_many(owed->batch, owed->count);
    owed->batch = NULL;
    owed->count = 0;
}

// One more of `batch`, which must not be owed for ever: its state says that it is still under way.
static inline void pkf_owed_add(pkf_owed *owed, pkf_batch *batch) {
    if (owed->over) {
        pkf_batch_unref(batch);
        return;
    }
    if (owed->batch != batch) {
        pkf_owed_settle(owed);
        owed->batch = batch;
    }
    owed->count++;
}

// The producer is closed: what is left over would keep its memory.
static inline void pkf_owed_end(pkf_owed *owed) {
    owed->over = true;
    pkf_owed_settle(owed);
}

#endif
