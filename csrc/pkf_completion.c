// SPDX-License-Identifier: Apache-2.0
#include "pkf_completion.h"

#include <stdlib.h>

// In a crowd those that are done are delivered in groups: each group costs the caller its turn with the interpreter.
enum { CROWD = 4096, GROUP_NS = 1000000 };

static pkf_stripe *stripe_of(pkf_accum *accum, const pkf_batch *batch) {
    return &accum->stripes[((uintptr_t)batch >> 6) % PKF_STRIPES];
}

static void wake_waiters(pkf_accum *accum, pkf_batch *batch) {
    pkf_stripe *stripe = stripe_of(accum, batch);
    pthread_mutex_lock(&stripe->lock);
    pthread_cond_broadcast(&stripe->cond);
    pthread_mutex_unlock(&stripe->lock);
}

static void push_done_locked(pkf_accum *accum, pkf_batch *batch) {
    pkf_batch_ref(batch); // the list's own
    batch->completed_next = NULL;
    if (accum->done_tail)
        accum->done_tail->completed_next = batch;
    else
        accum->done_head = batch;
    accum->done_tail = batch;
    accum->done_pushed++;
    pthread_cond_signal(&accum->done_cond);
}

static void push_done(pkf_accum *accum, pkf_batch *batch) {
    pthread_mutex_lock(&accum->done_lock);
    push_done_locked(accum, batch);
    pthread_mutex_unlock(&accum->done_lock);
}

static void unlink_live(pkf_accum *accum, pkf_batch *batch) {
    pthread_mutex_lock(&accum->live_lock);
    if (batch->live_prev)
        batch->live_prev->live_next = batch->live_next;
    else
        accum->live = batch->live_next;
    if (batch->live_next) batch->live_next->live_prev = batch->live_prev;
    batch->live_prev = batch->live_next = NULL;
    accum->live_count--;
    pthread_mutex_unlock(&accum->live_lock);
}

void pkf_accum_complete(pkf_accum *accum, pkf_batch *batch, int32_t code, const char *message, bool in_doubt) {
    atomic_fetch_sub_explicit(&batch->partition->queued_bytes, batch->used, memory_order_relaxed);
    if (pkf_batch_publish(batch, code, message, in_doubt)) push_done(accum, batch);
    if (pkf_batch_state(batch) & PKF_WAITED) wake_waiters(accum, batch);
    unlink_live(accum, batch); // last: a flush finds it either here or among what was pushed
    pkf_batch_unref(batch);    // the live set's own
}

static bool finished(const pkf_batch *batch, bool delivered) {
    uint32_t state = pkf_batch_state(batch);
    if (!(state & PKF_DONE)) return false;
    return !delivered || !(state & PKF_WANTED) || (state & PKF_DELIVERED);
}

pkf_status pkf_accum_wait_batch(pkf_accum *accum, pkf_batch *batch, bool delivered, int64_t slice_ns) {
    if (finished(batch, delivered)) return PKF_OK;
    if (slice_ns <= 0) return PKF_E_TIMEOUT;
    pkf_stripe *stripe = stripe_of(accum, batch);
    struct timespec at = pkf_cond_deadline(slice_ns);
    int timed_out = 0;
    pthread_mutex_lock(&stripe->lock);
    // WAITED before the look: whoever finishes after the look sees it and broadcasts under the lock held here.
    atomic_fetch_or_explicit(&batch->state, PKF_WAITED, memory_order_seq_cst);
    while (!finished(batch, delivered) && !timed_out)
        timed_out = pthread_cond_timedwait(&stripe->cond, &stripe->lock, &at);
    pthread_mutex_unlock(&stripe->lock);
    return finished(batch, delivered) ? PKF_OK : PKF_E_TIMEOUT;
}

pkf_status pkf_accum_listen(pkf_accum *accum, pkf_batch *batch, void *object) {
    if (accum == NULL) return PKF_E_CLOSED; // failed before it was appended: nobody will deliver it
    pkf_listener *listener = malloc(sizeof *listener);
    if (listener == NULL) return PKF_E_NOMEM;
    listener->next = NULL;
    listener->object = object;
    pkf_stripe *stripe = stripe_of(accum, batch);
    pthread_mutex_lock(&stripe->lock);
    uint32_t state = pkf_batch_state(batch);
    // Done and nobody queued it: the caller runs it, as it would after delivery. (QUEUED and not DELIVERED: in order, later.)
    bool late = (state & PKF_DELIVERED) || ((state & PKF_DONE) && !(state & PKF_WANTED));
    if (!late) {
        *batch->listeners_end = listener;
        batch->listeners_end = &listener->next;
    }
    pthread_mutex_unlock(&stripe->lock);
    if (late) {
        free(listener);
        return PKF_E_CLOSED;
    }
    uint32_t before = atomic_fetch_or_explicit(&batch->state, PKF_WANTED, memory_order_acq_rel);
    if ((before & PKF_DONE) &&
        !(atomic_fetch_or_explicit(&batch->state, PKF_QUEUED, memory_order_acq_rel) & PKF_QUEUED))
        push_done(accum, batch);
    return PKF_OK;
}

pkf_status pkf_accum_post(pkf_accum *accum, void *object, uint64_t *pushed) {
    pkf_listener *listener = malloc(sizeof *listener);
    pkf_batch *batch = listener ? pkf_batch_new_failed("", 0, -1, 0, NULL, false) : NULL; // the list holds batches
    if (batch == NULL) {
        free(listener);
        return PKF_E_NOMEM;
    }
    *listener = (pkf_listener){.object = object};
    batch->listeners = listener;
    batch->listeners_end = &listener->next;
    atomic_store_explicit(&batch->state, PKF_DONE | PKF_WANTED | PKF_QUEUED, memory_order_relaxed);
    pthread_mutex_lock(&accum->done_lock);
    bool closed = accum->done_closed;
    if (!closed) push_done_locked(accum, batch);
    *pushed = accum->done_pushed;
    pthread_mutex_unlock(&accum->done_lock);
    if (closed) {
        free(listener);
        batch->listeners = NULL;
    }
    pkf_batch_unref(batch);
    return closed ? PKF_E_CLOSED : PKF_OK;
}

static void await_group(const pkf_accum *accum, int64_t slice_ns) {
    if (atomic_load_explicit(&((pkf_accum *)accum)->cookies, memory_order_relaxed) < CROWD) return;
    int64_t left = accum->delivery_ns + GROUP_NS - pkf_monotonic_ns();
    if (left > slice_ns) left = slice_ns;
    if (left > 0) pkf_nap(left);
}

pkf_status pkf_accum_wait_done(pkf_accum *accum, int64_t slice_ns, pkf_batch **list) {
    struct timespec at = pkf_cond_deadline(slice_ns);
    int timed_out = 0;
    await_group(accum, slice_ns);
    pthread_mutex_lock(&accum->done_lock);
    while (accum->done_head == NULL && !accum->done_closed && !timed_out)
        timed_out = pthread_cond_timedwait(&accum->done_cond, &accum->done_lock, &at);
    *list = accum->done_head;
    accum->done_head = accum->done_tail = NULL;
    bool closed = accum->done_closed;
    pthread_mutex_unlock(&accum->done_lock);
    accum->delivery_ns = pkf_monotonic_ns();
    return *list == NULL && closed ? PKF_E_CLOSED : PKF_OK;
}

pkf_listener *pkf_accum_take_listeners(pkf_accum *accum, pkf_batch *batch) {
    pkf_stripe *stripe = stripe_of(accum, batch);
    pthread_mutex_lock(&stripe->lock);
    pkf_listener *list = batch->listeners;
    batch->listeners = NULL;
    batch->listeners_end = &batch->listeners;
    // Nothing left: from here on a listener is called by whoever brings it. Under the lock, so that none is lost.
    if (list == NULL) atomic_fetch_or_explicit(&batch->state, PKF_DELIVERED, memory_order_acq_rel);
    pthread_mutex_unlock(&stripe->lock);
    return list;
}

void pkf_accum_delivered(pkf_accum *accum, pkf_batch *batch, uint32_t cookies) {
    if (pkf_batch_state(batch) & PKF_WAITED) wake_waiters(accum, batch);
    atomic_fetch_sub_explicit(&accum->cookies, cookies, memory_order_relaxed);
    pthread_mutex_lock(&accum->done_lock);
    accum->done_delivered++;
    pthread_cond_broadcast(&accum->delivered_cond);
    pthread_mutex_unlock(&accum->done_lock);
    pkf_batch_unref(batch); // the completion list's own
}

uint64_t pkf_accum_pushed(pkf_accum *accum) {
    pthread_mutex_lock(&accum->done_lock);
    uint64_t pushed = accum->done_pushed;
    pthread_mutex_unlock(&accum->done_lock);
    return pushed;
}

pkf_status pkf_accum_wait_delivered(pkf_accum *accum, uint64_t pushed, int64_t slice_ns) {
    struct timespec at = pkf_cond_deadline(slice_ns);
    int timed_out = slice_ns <= 0;
    pthread_mutex_lock(&accum->done_lock);
    while (accum->done_delivered < pushed && !timed_out)
        timed_out = pthread_cond_timedwait(&accum->delivered_cond, &accum->done_lock, &at);
    bool delivered = accum->done_delivered >= pushed;
    pthread_mutex_unlock(&accum->done_lock);
    return delivered ? PKF_OK : PKF_E_TIMEOUT;
}

void pkf_accum_close_delivery(pkf_accum *accum) {
    pthread_mutex_lock(&accum->done_lock);
    accum->done_closed = true;
    pthread_cond_broadcast(&accum->done_cond);
    pthread_cond_broadcast(&accum->delivered_cond);
    pthread_mutex_unlock(&accum->done_lock);
}

pkf_status pkf_accum_wait_budget(pkf_accum *accum, int64_t slice_ns) {
    struct timespec at = pkf_cond_deadline(slice_ns);
    int timed_out = slice_ns <= 0;
    pthread_mutex_lock(&accum->done_lock);
    while (atomic_load(&accum->cookies) >= accum->config.max_cookies && !atomic_load(&accum->closed) && !timed_out)
        timed_out = pthread_cond_timedwait(&accum->delivered_cond, &accum->done_lock, &at);
    pthread_mutex_unlock(&accum->done_lock);
    if (atomic_load(&accum->closed)) return PKF_E_CLOSED;
    return atomic_load(&accum->cookies) < accum->config.max_cookies ? PKF_OK : PKF_E_TIMEOUT;
}
