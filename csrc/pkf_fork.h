// SPDX-License-Identifier: Apache-2.0
// What a forked child does with what it inherits. Its parent's threads are not there: any lock may be held for ever, and
// any list may be half changed. So nothing here takes a lock that could be held or walks a list; what is inherited is
// left where it is, never freed, and its descriptors are closed without a word to the peer. The parent goes on undisturbed.
//
//   parent  accum, wire, batches ──fork──▶ child  the same bytes: pkf_accum_forked(), futures look at it themselves
//
// In the child the binding must not call anything else with these objects, pkf_batch_ref(), pkf_batch_unref() and
// pkf_accum_let_go() excepted.
#ifndef PKF_FORK_H
#define PKF_FORK_H

#include "pkf_round.h"

// Only the thread that forked, before it does anything else with the producer.
void pkf_accum_orphan(pkf_accum *accum);
void pkf_wire_orphan(pkf_wire *wire);

// Whether the batch was inherited. Any thread.
static inline bool pkf_batch_inherited(const pkf_batch *batch) {
    return batch->accum && pkf_accum_forked(batch->accum);
}

// Give an inherited batch an end: what had no outcome gets PKF_CODE_FORKED, in doubt because the parent goes on with it;
// callbacks are the parent's. Any thread of the child; repeating it changes nothing.
void pkf_batch_orphan(pkf_batch *batch);

#endif
