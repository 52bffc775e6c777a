// SPDX-License-Identifier: Apache-2.0
// Completion: publishing a batch's result, sleeping for it, and handing callbacks to the delivery thread.
//
//   publish --WANTED?--> completion list --> delivery thread: cookies, then listeners --> DELIVERED
//        \--WAITED?--> stripe broadcast                                  \--WAITED?--> stripe broadcast
//
// Locks: a stripe's lock guards the listeners of its batches and the sleep; done_lock guards the completion list. Both
// are leaves.
#ifndef PKF_COMPLETION_H
#define PKF_COMPLETION_H

#include "pkf_accum.h"

// What sleeps for a slice sleeps for none that is 0 or less: it only looks.

// Wire: publish a result, wake who waits, hand over to delivery.
void pkf_accum_complete(pkf_accum *accum, pkf_batch *batch, int32_t code, const char *message, bool in_doubt);

// Sleep until the batch is done (delivered too, if its callbacks have to run and `delivered` asks for it) or the slice
// is over: OK | E_TIMEOUT. Never with the GIL.
PKF_MUST_USE pkf_status pkf_accum_wait_batch(pkf_accum *accum, pkf_batch *batch, bool delivered, int64_t slice_ns);

// Attach a listener to a batch that may be done. OK: the reference passed over. E_CLOSED: already delivered, call it now.
PKF_MUST_USE pkf_status pkf_accum_listen(pkf_accum *accum, pkf_batch *batch, void *object);

// Hand a listener of no batch to the delivery thread, behind all that is done. OK: the reference passed over, and it has
// been called when *pushed have been delivered. E_CLOSED: nobody delivers any more.
PKF_MUST_USE pkf_status pkf_accum_post(pkf_accum *accum, void *object, uint64_t *pushed);

// Delivery thread: the completed batches with callbacks, linked by completed_next, or NULL after the slice.
// E_CLOSED once the accumulator's delivery is closed and nothing is left.
PKF_MUST_USE pkf_status pkf_accum_wait_done(pkf_accum *accum, int64_t slice_ns, pkf_batch **list);

// Delivery thread: take the batch's listeners and mark it delivered. The caller owns the list.
pkf_listener *pkf_accum_take_listeners(pkf_accum *accum, pkf_batch *batch);
void pkf_accum_delivered(pkf_accum *accum, pkf_batch *batch, uint32_t cookies);

// How many batches have gone to the completion list so far, and sleeping until that many have been delivered:
// OK | E_TIMEOUT. What was sent before a flush is not done, or among those pushed. Never with the GIL.
uint64_t pkf_accum_pushed(pkf_accum *accum);
PKF_MUST_USE pkf_status pkf_accum_wait_delivered(pkf_accum *accum, uint64_t pushed, int64_t slice_ns);

void pkf_accum_close_delivery(pkf_accum *accum);

// Wait for room in the budget of undelivered callbacks: OK | E_TIMEOUT | E_CLOSED. Never with the GIL.
PKF_MUST_USE pkf_status pkf_accum_wait_budget(pkf_accum *accum, int64_t slice_ns);

#endif
