// SPDX-License-Identifier: Apache-2.0
#include "pkf_accum.h"

#include <stdlib.h>
#include <string.h>

#include "pkf_topic.h"

enum { FETCH_AHEAD_MAX = 2048, SUM_MIN = 512, SPARE_ROOM_MAX = (2 << 20) / sizeof(pkf_cookie) };
enum { ALWAYS_FITS = 2048 }; // with all that belongs to a record below half of the smallest slab, and any pool has one

static void init_locks(pkf_accum *accum) {
    pthread_mutex_init(&accum->topics_lock, NULL);
    pthread_mutex_init(&accum->live_lock, NULL);
    pthread_mutex_init(&accum->done_lock, NULL);
    pthread_mutex_init(&accum->guest_lock, NULL);
    pkf_cond_init(&accum->done_cond);
    pkf_cond_init(&accum->delivered_cond);
    for (int i = 0; i < PKF_STRIPES; i++) {
        pthread_mutex_init(&accum->stripes[i].lock, NULL);
        pkf_cond_init(&accum->stripes[i].cond);
    }
}

static _Alignas(PKF_CACHE_LINE) _Atomic uint32_t forks; // looked at by every send(), so apart from what changes
static bool forks_counted;
static void count_fork(void) { atomic_fetch_add(&forks, 1); }
static void count_forks(void) { forks_counted = pthread_atfork(NULL, NULL, count_fork) == 0; }

pkf_accum *pkf_accum_new(const pkf_accum_config *config) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (pthread_once(&once, count_forks) || !forks_counted) return NULL;
    void *memory;
    if (posix_memalign(&memory, PKF_CACHE_LINE, sizeof(pkf_accum))) return NULL;
    pkf_accum *accum = memset(memory, 0, sizeof(pkf_accum));
    accum->forks = &forks;
    accum->forks_at_birth = atomic_load(&forks);
    accum->config = *config;
    accum->crc32c = pkf_crc32c_name(1) ? pkf_crc32c_select(NULL) : NULL;
    accum->always_fits = config->max_request_size > 2 * ALWAYS_FITS ? ALWAYS_FITS : 0;
    accum->pool = pkf_pool_new(config->buffer_memory);
    if (accum->pool == NULL || pkf_wakeup_open(&accum->wakeup) != PKF_OK) {
        if (accum->pool && pkf_pool_free(accum->pool) != PKF_OK) abort(); // nothing was acquired
        free(accum);
        return NULL;
    }
    atomic_init(&accum->refs, 1);
    init_locks(accum);
    return accum;
}

void pkf_accum_ref(pkf_accum *accum) { atomic_fetch_add_explicit(&accum->refs, 1, memory_order_relaxed); }

static void accum_free(pkf_accum *accum) {
    for (pkf_topic *topic = accum->topics, *next; topic; topic = next) {
        next = topic->next;
        pkf_topic_free(topic);
    }
    while (accum->spare_count > 0) free(accum->spare[--accum->spare_count]);
    // A pool with slabs out cannot be freed: leaking it is the lesser evil, and tests count it.
    if (pkf_pool_free(accum->pool) == PKF_OK) accum->pool = NULL;
    pkf_wakeup_close(&accum->wakeup);
    pthread_mutex_destroy(&accum->topics_lock);
    pthread_mutex_destroy(&accum->live_lock);
    pthread_mutex_destroy(&accum->done_lock);
    pthread_mutex_destroy(&accum->guest_lock);
    pthread_cond_destroy(&accum->done_cond);
    pthread_cond_destroy(&accum->delivered_cond);
    for (int i = 0; i < PKF_STRIPES; i++) {
        pthread_mutex_destroy(&accum->stripes[i].lock);
        pthread_cond_destroy(&accum->stripes[i].cond);
    }
    free(accum);
}

void pkf_accum_unref(pkf_accum *accum) {
    if (atomic_fetch_sub_explicit(&accum->refs, 1, memory_order_acq_rel) == 1) accum_free(accum);
}

void pkf_accum_close(pkf_accum *accum) {
    atomic_store(&accum->closed, 1);
    pkf_pool_close(accum->pool);
    pthread_mutex_lock(&accum->done_lock);
    pthread_cond_broadcast(&accum->delivered_cond);
    pthread_mutex_unlock(&accum->done_lock);
}

void pkf_accum_force(pkf_accum *accum, int by) {
    atomic_fetch_add(&accum->forcing, (uint32_t)by);
    pkf_accum_wake(accum);
}

bool pkf_accum_touch(pkf_accum *accum, pkf_partition *partition) {
    if (!atomic_exchange(&partition->touched, 1)) {
        pkf_partition *top = atomic_load(&accum->touched);
        do {
            partition->touched_next = top;
        } while (!atomic_compare_exchange_weak(&accum->touched, &top, partition));
    }
    // The push above and this load are sequentially consistent, as are the wire's announcement that it is idle and its
    // second look at the stack: one of the two sees the other.
    return atomic_load(&accum->idle) != 0;
}

void pkf_accum_wake(pkf_accum *accum) {
    if (atomic_exchange(&accum->idle, 0)) pkf_wakeup_signal(&accum->wakeup);
}

pkf_partition *pkf_accum_take_touched(pkf_accum *accum) {
    pkf_partition *list = NULL, *next;
    for (pkf_partition *p = atomic_exchange(&accum->touched, NULL); p; p = next) {
        next = p->touched_next;
        p->touched_next = list;
        list = p;
    }
    return list;
}

static void end_budget_locked(pkf_batch *batch) {
    atomic_fetch_sub_explicit(&batch->accum->cookies, batch->budgeted - batch->cookie_count, memory_order_relaxed);
    batch->budgeted = batch->cookie_count;
}

void pkf_partition_close_tail_locked(pkf_partition *partition) {
    pkf_batch *tail = partition->tail;
    if (tail == NULL || tail->closed) return;
    tail->closed = true;
    pkf_batch_end_reserve_locked(tail);
    if (tail->budgeted) end_budget_locked(tail);
    atomic_fetch_add_explicit(&partition->queued_bytes, tail->used, memory_order_relaxed);
    atomic_fetch_sub_explicit(&tail->accum->open_batches, 1, memory_order_relaxed);
}

static uint32_t batch_limit(const pkf_topic *topic) {
    return atomic_load_explicit(&((pkf_topic *)topic)->fill_limit, memory_order_relaxed);
}

// The class the partition's next batch is opened with after one that could not grow: twice its size.
static uint32_t next_hint(pkf_accum *accum, pkf_topic *topic, size_t size) {
    uint32_t open = atomic_load_explicit(&accum->open_batches, memory_order_relaxed);
    size_t share = accum->config.buffer_memory / (4 * (size_t)(open ? open : 1));
    size_t cap = share > accum->config.batch_size ? share : accum->config.batch_size;
    if (cap > batch_limit(topic)) cap = batch_limit(topic);
    size_t hint = size * 2 < cap ? size * 2 : cap;
    return (uint32_t)(hint > PKF_SLAB_MIN_SIZE ? hint : PKF_SLAB_MIN_SIZE);
}

// Move the open batch to a slab of twice the size; the one it leaves is the caller's to release. NEED_SLAB: none ready;
// E_EXHAUSTED: there will never be one.
static pkf_status grow_locked(pkf_accum *accum, pkf_batch *batch, pkf_append *append, size_t wanted) {
    size_t size = (size_t)batch->room * 2;
    while (size < wanted) size *= 2;
    if (pkf_pool_round(size) > accum->config.buffer_memory) return PKF_E_EXHAUSTED;
    pkf_slab *larger = append->slab;
    if (larger == NULL || larger->size < size) {
        pkf_slab *ready = NULL;
        if (append->slab != NULL || pkf_pool_ready(accum->pool, size, &ready) != PKF_OK) {
            append->need = size;
            return PKF_NEED_SLAB;
        }
        larger = ready;
    }
    memcpy(larger->base, batch->base, batch->used);
    append->slab = batch->slab;
    pkf_batch_set_slab(batch, larger);
    return PKF_OK;
}

// Room for `size` more bytes in the open batch, growing it if need be. OK, NEED_SLAB, or E_EXHAUSTED: it was closed.
static pkf_status make_room_locked(pkf_accum *accum, pkf_partition *partition, pkf_append *append, size_t size) {
    pkf_batch *batch = partition->tail;
    size_t wanted = batch->used + size;
    if (wanted <= batch->room && wanted <= batch_limit(partition->topic)) return PKF_OK;
    if (wanted <= batch_limit(partition->topic)) {
        pkf_status status = grow_locked(accum, batch, append, wanted);
        if (status == PKF_OK || (status == PKF_NEED_SLAB && append->may_grow)) return status;
        partition->slab_hint = next_hint(accum, partition->topic, batch->room);
    } else if (batch->room > partition->slab_hint) {
        uint32_t limit = batch_limit(partition->topic);
        partition->slab_hint = batch->room < limit ? batch->room : limit;
    }
    pkf_partition_close_tail_locked(partition);
    return PKF_E_EXHAUSTED;
}

void pkf_accum_add_live(pkf_accum *accum, pkf_batch *batch) {
    pkf_batch_ref(batch);
    pthread_mutex_lock(&accum->live_lock);
    batch->live_next = accum->live;
    if (accum->live) accum->live->live_prev = batch;
    accum->live = batch;
    accum->live_count++;
    pthread_mutex_unlock(&accum->live_lock);
}

void pkf_accum_keep_cookies(pkf_accum *accum, pkf_cookie *cookies, uint32_t capacity) {
    pthread_mutex_lock(&accum->done_lock);
    bool keep = cookies && accum->spare_count < PKF_SPARE_ARRAYS && capacity <= SPARE_ROOM_MAX - accum->spare_room;
    if (keep) {
        accum->spare[accum->spare_count] = cookies;
        accum->spare_capacity[accum->spare_count++] = capacity;
        accum->spare_room += capacity;
    }
    pthread_mutex_unlock(&accum->done_lock);
    if (!keep) free(cookies);
}

void pkf_accum_lend_cookies(pkf_accum *accum, pkf_batch *batch) {
    pthread_mutex_lock(&accum->done_lock);
    if (accum->spare_count > 0) {
        batch->cookies = accum->spare[--accum->spare_count];
        batch->cookie_capacity = accum->spare_capacity[accum->spare_count];
        accum->spare_room -= batch->cookie_capacity;
    }
    pthread_mutex_unlock(&accum->done_lock);
}

static pkf_status reserve_cookie(pkf_accum *accum, pkf_batch *batch) {
    if (batch->cookies == NULL) pkf_accum_lend_cookies(accum, batch);
    return pkf_batch_reserve_cookie(batch);
}

// A new open batch at the tail, in the caller's slab or a ready one.
static pkf_status open_batch_locked(pkf_accum *accum, pkf_partition *partition, pkf_append *append,
                                    size_t record_size) {
    size_t need = PKF_BATCH_HEADER + record_size;
    size_t hint = append->expected ? next_hint(accum, partition->topic, append->expected / 2) : 0;
    if (hint < partition->slab_hint) hint = partition->slab_hint;
    size_t size = hint > need ? hint : need;
    if (pkf_pool_round(size) > accum->config.buffer_memory) size = need;
    pkf_slab *slab = append->slab;
    if (slab == NULL || slab->size < need) {
        if (slab != NULL || pkf_pool_ready(accum->pool, size, &slab) != PKF_OK) {
            append->need = size;
            return PKF_NEED_SLAB;
        }
    }
    append->slab = slab;
    pkf_batch *batch = pkf_batch_new(accum, partition, slab, pkf_monotonic_ns());
    if (batch == NULL) return PKF_E_NOMEM;
    if (append->callback && reserve_cookie(accum, batch)) { // an empty batch must not stay
        pkf_batch_unref(batch);
        return PKF_E_NOMEM;
    }
    append->slab = NULL;
    batch->base_timestamp = batch->max_timestamp = append->timestamp;
    batch->order = partition->next_order++;
    pkf_accum_add_live(accum, batch);
    if (partition->tail)
        partition->tail->queue_next = batch;
    else
        partition->head = batch;
    partition->tail = batch; // the queue holds the reference that pkf_batch_new returned
    atomic_fetch_add_explicit(&accum->open_batches, 1, memory_order_relaxed);
    return PKF_OK;
}

static void fill_slot(pkf_append *append, pkf_batch *batch) {
    pkf_slot *slot = append->slot;
    pkf_batch_ref_reserved_locked(batch);
    slot->batch = batch;
    slot->index = batch->count;
    slot->timestamp = append->timestamp;
    slot->key_size = append->key.base ? (int32_t)append->key.len : -1;
    slot->value_size = append->value.base ? (int32_t)append->value.len : -1;
    slot->header_size = -1;
    if (append->header_count == 0) return;
    slot->header_size = 0;
    for (int32_t i = 0; i < append->header_count; i++)
        slot->header_size += (int32_t)(append->headers[i].key.len + append->headers[i].value.len);
}

// The lines that a next record of this size will be written to. The wire thread read them last, on another processor:
// they are on their way while the caller is back in Python.
static void fetch_ahead(const pkf_batch *batch, uint32_t used, uint32_t size) {
    uint32_t end = used + (size < FETCH_AHEAD_MAX ? size : FETCH_AHEAD_MAX);
    if (end > batch->room) end = batch->room;
    for (uint32_t at = used + PKF_CACHE_LINE - 1; at < end; at += PKF_CACHE_LINE) pkf_fetch_to_write(batch->base + at);
}

// The record goes in: nothing can fail any more. Slot and cookie are set before the lock is let go, because the batch
// may be sent, acknowledged and delivered the moment after.
static void write_locked(pkf_append *append, pkf_batch *batch, uint32_t body_len) {
    int64_t delta = append->timestamp - batch->base_timestamp;
    uint8_t *end = pkf_record_write(batch->base + batch->used, body_len, delta, batch->count, &append->key,
                                    &append->value, append->headers, append->header_count);
    fill_slot(append, batch);
    if (append->callback) {
        const pkf_slot *slot = append->slot;
        pkf_batch_budget_cookie_locked(batch, &batch->accum->cookies, batch->accum->config.max_cookies);
        batch->cookies[batch->cookie_count++] = (pkf_cookie){append->callback, slot->timestamp,  slot->index,
                                                             slot->key_size,   slot->value_size, slot->header_size};
        pkf_fetch_to_write(batch->cookies + batch->cookie_count + 1);
        if (!(atomic_load_explicit(&batch->state, memory_order_relaxed) & PKF_WANTED))
            atomic_fetch_or_explicit(&batch->state, PKF_WANTED, memory_order_acq_rel);
    }
    if (append->header_count) batch->with_headers = true;
    uint32_t used = (uint32_t)(end - batch->base);
    fetch_ahead(batch, used, used - batch->used);
    if (used - batch->used > batch->record_size_max) batch->record_size_max = used - batch->used;
    batch->used = used;
    batch->count++;
    if (append->timestamp > batch->max_timestamp) batch->max_timestamp = append->timestamp;
}

// An open batch at the tail with room for the record.
static inline pkf_status ready_locked(pkf_accum *accum, pkf_partition *partition, pkf_append *append,
                                      uint32_t *body_len, bool *look) {
    size_t size = 0;
    pkf_batch *batch = partition->tail;
    if (atomic_load_explicit(&accum->closed, memory_order_relaxed)) return PKF_E_CLOSED;
    if (batch && !batch->closed) {
        size = pkf_record_size(append->timestamp - batch->base_timestamp, batch->count, &append->key, &append->value,
                               append->headers, append->header_count, body_len);
        pkf_status room = make_room_locked(accum, partition, append, size);
        if (room == PKF_NEED_SLAB) return room;
        if (room == PKF_E_EXHAUSTED) *look = true;
    }
    if (batch == NULL || batch->closed) {
        if (append->sticky && pkf_topic_move_sticky(partition->topic, partition->index)) return PKF_E_BUSY;
        size = pkf_record_size(0, 0, &append->key, &append->value, append->headers, append->header_count, body_len);
        pkf_status status = open_batch_locked(accum, partition, append, size);
        if (status) return status;
        *look = true;
    }
    return PKF_OK;
}

pkf_status pkf_accum_ready_locked(pkf_accum *accum, pkf_partition *partition, pkf_append *append, uint32_t *body_len,
                                  bool *look) {
    return ready_locked(accum, partition, append, body_len, look);
}

size_t pkf_accum_room_locked(const pkf_batch *batch) {
    size_t limit = batch_limit(batch->partition->topic);
    return batch->room < limit ? batch->room : limit;
}

// A load and a store: whoever appends to the sticky partition holds its lock, and a count lost in the moment of a move
// does no harm.
static void count_sticky(pkf_topic *topic, const pkf_append *append) {
    uint32_t bytes = atomic_load_explicit(&topic->sticky_bytes, memory_order_relaxed);
    bytes += append->grown;
    atomic_store_explicit(&topic->sticky_bytes, bytes, memory_order_relaxed);
}

static inline void filled_locked(pkf_partition *partition, pkf_append *append, uint32_t before, uint32_t count,
                                 bool *look) {
    pkf_batch *batch = partition->tail;
    uint32_t sendable = atomic_load_explicit(&partition->topic->fill_size, memory_order_relaxed);
    pkf_tail *tail = atomic_load_explicit(&partition->topic->tails, memory_order_relaxed) + partition->index;
    atomic_store_explicit(&tail->batch, batch, memory_order_relaxed);
    atomic_store_explicit(&tail->end, batch->base + batch->used, memory_order_relaxed);
    if ((batch->used - before) / SUM_MIN >= count && partition->topic->codec == PKF_NONE && batch->accum->crc32c)
        pkf_batch_sum_locked(batch, batch->accum->crc32c, before);
    append->grown = before == PKF_BATCH_HEADER ? batch->used : batch->used - before;
    if (append->sticky) count_sticky(partition->topic, append);
    if (before < sendable && batch->used >= sendable &&
        atomic_load_explicit(&partition->in_flight, memory_order_relaxed) == 0)
        *look = true; // sendable, and no acknowledgement is coming that would make the wire look
}

void pkf_accum_filled_locked(pkf_partition *partition, pkf_append *append, uint32_t before, uint32_t count,
                             bool *look) {
    filled_locked(partition, append, before, count, look);
}

// Append to the partition, whose lock is held. *look: the wire thread must look at the partition.
static pkf_status append_locked(pkf_accum *accum, pkf_partition *partition, pkf_append *append, bool *look) {
    uint32_t body_len = 0;
    pkf_status status = ready_locked(accum, partition, append, &body_len, look);
    if (status) return status;
    pkf_batch *batch = partition->tail;
    if (append->callback && reserve_cookie(accum, batch)) return PKF_E_NOMEM;
    uint32_t before = batch->used;
    write_locked(append, batch, body_len);
    filled_locked(partition, append, before, 1, look);
    return PKF_OK;
}

// One try on one partition. E_BUSY with *moved: the sticky choice went elsewhere, try again there.
static pkf_status try_append(pkf_accum *accum, pkf_partition *partition, pkf_append *append, bool *moved) {
    if (append->wait_lock)
        pkf_lock_take(&partition->lock);
    else if (!pkf_lock_insist(&partition->lock))
        return PKF_E_BUSY;
    pkf_topic *topic = partition->topic;
    bool look = false;
    pkf_status status;
    if (append->sticky && atomic_load(&topic->sticky) != partition->index)
        status = PKF_E_BUSY;
    else
        status = append_locked(accum, partition, append, &look);
    pkf_lock_let_go(&partition->lock);
    *moved = status == PKF_E_BUSY;
    if (look) append->wake = pkf_accum_touch(accum, partition) || append->wake;
    return status;
}

static pkf_status check_limits(const pkf_accum *accum, const pkf_append *append) {
    if (append->header_count == 0 && append->key.len + append->value.len <= accum->always_fits) return PKF_OK;
    uint64_t size = pkf_record_upper_bound(&append->key, &append->value, append->headers, append->header_count);
    if (size > accum->config.max_request_size) return PKF_E_TOO_LARGE;
    if (size > accum->config.buffer_memory) return PKF_E_TOO_LARGE;
    if (append->header_count && atomic_load_explicit(&accum->no_headers, memory_order_relaxed))
        return PKF_E_UNSUPPORTED;
    return PKF_OK;
}

pkf_status pkf_accum_append(pkf_accum *accum, pkf_append *append) {
    pkf_status status = check_limits(accum, append);
    if (status) return status;
    if (append->callback && !append->unbudgeted &&
        atomic_load_explicit(&accum->cookies, memory_order_relaxed) >= accum->config.max_cookies)
        return PKF_NEED_BUDGET;
    append->sticky = append->partition < 0 && pkf_topic_is_sticky(append->topic, &append->key);
    for (;;) {
        int32_t index = append->sticky ? pkf_topic_sticky(append->topic) : append->partition;
        if (index < 0) index = pkf_topic_choose(append->topic, &append->key);
        pkf_partition *partition = pkf_topic_partition(append->topic, index);
        if (partition == NULL) return PKF_NEED_METADATA;
        bool moved = false;
        if (!append->fetched && (!append->sticky || pkf_topic_is_another(append->topic)))
            pkf_topic_fetch(append->topic, partition, index, append->key.len + append->value.len);
        status = try_append(accum, partition, append, &moved);
        if (status == PKF_E_BUSY && moved) continue;
        // Also when it has to be tried again: a choice is made once per record (round robin counts them).
        if (status == PKF_OK || !append->sticky) append->partition = index;
        return status;
    }
}

void pkf_accum_hurry(pkf_accum *accum, pkf_batch *batch) {
    if (batch->partition == NULL || (pkf_batch_state(batch) & (PKF_DONE | PKF_URGENT))) return;
    atomic_fetch_or_explicit(&batch->state, PKF_URGENT, memory_order_acq_rel);
    if (pkf_accum_touch(accum, batch->partition)) pkf_accum_wake(accum);
}

pkf_batch **pkf_accum_live(pkf_accum *accum, size_t *count) {
    pthread_mutex_lock(&accum->live_lock);
    size_t n = accum->live_count;
    pkf_batch **list = n ? malloc(n * sizeof *list) : NULL;
    *count = n;
    for (pkf_batch *batch = accum->live; list && batch; batch = batch->live_next) {
        pkf_batch_ref(batch);
        list[--n] = batch;
    }
    pthread_mutex_unlock(&accum->live_lock);
    return list;
}
