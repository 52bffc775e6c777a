// SPDX-License-Identifier: Apache-2.0
#include "pkf_workers.h"

#include <signal.h>
#include <string.h>

#include "pkf_topic.h"

#define STACK_SIZE (512 * 1024)
#define KEEP_SHARE 8 // of the budget: all workers' slabs are one part in so many at most; a guest's is like one of them
#define KEEP_NS 20000000  // for which an idle worker keeps its slab: somebody may wait for all of the budget
#define GUEST_NS 20000000 // that a batch may take, for a guest to take it

void pkf_workers_init(pkf_workers *workers, pkf_accum *accum) {
    memset(workers, 0, sizeof *workers);
    workers->accum = accum;
    pthread_mutex_init(&workers->lock, NULL);
    pkf_cond_init(&workers->some);
}

void pkf_workers_free(pkf_workers *workers) {
    pthread_mutex_destroy(&workers->lock);
    pthread_cond_destroy(&workers->some);
}

static void finish(pkf_workers *workers, pkf_batch *batch) {
    pkf_batch *top = atomic_load(&workers->finished);
    do {
        batch->work_next = top;
    } while (!atomic_compare_exchange_weak(&workers->finished, &top, batch));
    pkf_accum_wake(workers->accum); // sequentially consistent: it sees the wire asleep, or the wire sees the batch
}

static void drop_scratch(pkf_worker *worker) {
    if (worker->scratch) pkf_pool_release(worker->workers->accum->pool, worker->scratch);
    worker->scratch = NULL;
}

// Room for the output. Beyond the budget if it must be: what is compressed is what will give memory back.
static pkf_status make_room(pkf_worker *worker, size_t size) {
    if (worker->scratch && worker->scratch->size >= size) return PKF_OK;
    drop_scratch(worker);
    return pkf_pool_overdraft(worker->workers->accum->pool, size, &worker->scratch);
}

// The slowest of late: a topic's records may be of several kinds.
static void note_pace(pkf_topic *topic, size_t size, int64_t ns) {
    uint64_t pace = (uint64_t)ns / (size / 1024 + 1) + 1;
    uint32_t slowest = atomic_load_explicit(&topic->packing_pace, memory_order_relaxed);
    slowest -= slowest / 64;
    if (pace < slowest) pace = slowest;
    atomic_store_explicit(&topic->packing_pace, pace < UINT32_MAX ? (uint32_t)pace : UINT32_MAX, memory_order_relaxed);
}

static void compress(pkf_worker *worker, pkf_batch *batch) {
    pkf_topic *topic = batch->partition->topic;
    pkf_span raw = {batch->base + PKF_BATCH_HEADER, batch->used - PKF_BATCH_HEADER};
    size_t size = 0;
    int64_t began = pkf_monotonic_ns();
    pkf_status status = make_room(worker, pkf_codec_bound(topic->codec, raw.len));
    if (status == PKF_OK)
        status =
            pkf_codec_compress(worker->codecs, topic->codec, topic->codec_level, 2, raw, worker->scratch->base, &size);
    if (status == PKF_OK && size < raw.len) { // else, and when out of memory, it leaves as it is
        memcpy(batch->base + PKF_BATCH_HEADER, worker->scratch->base, size);
        batch->packed_size = (uint32_t)size;
    }
    batch->packing_ns = pkf_monotonic_ns() - began;
    if (status == PKF_OK) note_pace(topic, raw.len, batch->packing_ns);
    size_t kept = worker->scratch ? worker->scratch->size * (size_t)worker->workers->wanted : 0;
    if (kept > worker->workers->accum->config.buffer_memory / KEEP_SHARE) drop_scratch(worker);
}

// The queue whose turn it is. There is something in one.
static pkf_work *turn_locked(pkf_workers *workers) {
    while (workers->turns[workers->turn % PKF_WORKERS_TURNS].head == NULL) workers->turn++;
    return &workers->turns[workers->turn % PKF_WORKERS_TURNS];
}

// The batch whose turn it is, or NULL.
static pkf_batch *pop_locked(pkf_workers *workers) {
    if (workers->waiting == 0) return NULL;
    pkf_work *work = turn_locked(workers);
    pkf_batch *batch = work->head;
    work->head = batch->work_next;
    if (work->head == NULL) work->tail = NULL;
    workers->waiting--;
    return batch;
}

// Gives back what nobody uses. A guest that is at work keeps its slab, and the flag.
static void drop_idle_locked(pkf_worker *worker) {
    pkf_workers *workers = worker->workers;
    pthread_mutex_unlock(&workers->lock);
    drop_scratch(worker);
    bool alone = pthread_mutex_trylock(&workers->accum->guest_lock) == 0;
    if (alone) drop_scratch(&workers->guest);
    pthread_mutex_lock(&workers->lock);
    if (!alone) return;
    workers->guest_came = false;
    pthread_mutex_unlock(&workers->accum->guest_lock);
}

// Sleeps until there may be something to do. Lock held, but for giving back what an idle worker does not need.
static void sleep_locked(pkf_worker *worker) {
    pkf_workers *workers = worker->workers;
    if (worker->scratch == NULL && !workers->guest_came) {
        pthread_cond_wait(&workers->some, &workers->lock);
        return;
    }
    struct timespec at = pkf_cond_deadline(KEEP_NS);
    if (pthread_cond_timedwait(&workers->some, &workers->lock, &at) != 0) drop_idle_locked(worker);
}

static pkf_batch *next_batch(pkf_worker *worker) {
    pkf_workers *workers = worker->workers;
    pthread_mutex_lock(&workers->lock);
    while (workers->waiting == 0 && !workers->stopping) sleep_locked(worker);
    pkf_batch *batch = workers->stopping ? NULL : pop_locked(workers);
    pthread_mutex_unlock(&workers->lock);
    return batch;
}

static void work_on(pkf_worker *worker, pkf_batch *batch) {
    batch->packed_size = 0;
    if (!(pkf_batch_state(batch) & PKF_DONE)) compress(worker, batch); // else it has expired meanwhile
    finish(worker->workers, batch);
}

static void *run(void *arg) {
    pkf_worker *worker = arg;
    for (pkf_batch *batch; (batch = next_batch(worker)) != NULL;) work_on(worker, batch);
    drop_scratch(worker);
    return NULL;
}

// ---- the guest ----

// Its codec will be done with it in time. False too while there is no experience.
static bool is_quick(const pkf_batch *batch, uint64_t limit_ns) {
    const pkf_topic *topic = batch->partition->topic;
    uint64_t pace = atomic_load_explicit(&topic->packing_pace, memory_order_relaxed);
    uint64_t expected = pace * (batch->used / 1024 + 1);
    return pace && pkf_codec_is_quick(topic->codec, topic->codec_level) && expected < limit_ns && expected < GUEST_NS;
}

// The batch whose turn it is, if it is quick.
static pkf_batch *pop_quick(pkf_workers *workers, uint64_t limit_ns) {
    pkf_batch *batch = NULL;
    pthread_mutex_lock(&workers->lock);
    if (workers->waiting > 0 && is_quick(turn_locked(workers)->head, limit_ns)) {
        batch = pop_locked(workers);
        workers->guest_came = true;
    }
    pthread_mutex_unlock(&workers->lock);
    return batch;
}

// One batch. The guest lock is held.
static bool lend_a_hand(pkf_workers *workers, uint64_t limit_ns) {
    pkf_batch *batch = pop_quick(workers, limit_ns);
    if (batch) work_on(&workers->guest, batch);
    return batch != NULL;
}

// Batch by batch, until the grant comes, or the slice is over, or there is nothing to do.
static pkf_status work_until_granted(pkf_workers *workers, pkf_waiter *waiter, int64_t end_ns) {
    pkf_status status;
    int64_t left;
    do {
        left = end_ns - pkf_monotonic_ns();
        status = pkf_pool_wait(workers->accum->pool, waiter, 0);
    } while (status == PKF_E_TIMEOUT && left > 0 && lend_a_hand(workers, (uint64_t)left));
    return status;
}

pkf_status pkf_workers_pool_wait(pkf_accum *accum, pkf_waiter *waiter, uint64_t slice_ns) {
    if (atomic_load_explicit(&accum->workers, memory_order_relaxed) == NULL)
        return pkf_pool_wait(accum->pool, waiter, slice_ns);
    if (slice_ns > INT64_MAX / 2) slice_ns = INT64_MAX / 2;
    int64_t end_ns = pkf_monotonic_ns() + (int64_t)slice_ns, now;
    if (pthread_mutex_trylock(&accum->guest_lock) == 0) {
        pkf_workers *workers = atomic_load_explicit(&accum->workers, memory_order_relaxed);
        pkf_status status = workers ? work_until_granted(workers, waiter, end_ns) : PKF_E_TIMEOUT;
        pthread_mutex_unlock(&accum->guest_lock);
        if (status != PKF_E_TIMEOUT) return status;
    }
    now = pkf_monotonic_ns();
    return pkf_pool_wait(accum->pool, waiter, now < end_ns ? (uint64_t)(end_ns - now) : 0);
}

// NULL: from now on nobody works for them.
static void invite(pkf_accum *accum, pkf_workers *workers) {
    pthread_mutex_lock(&accum->guest_lock);
    pkf_workers *before = atomic_exchange_explicit(&accum->workers, workers, memory_order_relaxed);
    if (before) drop_scratch(&before->guest);
    pthread_mutex_unlock(&accum->guest_lock);
}

// ---- beginning and end ----

static pkf_status start_one(pkf_workers *workers, const pthread_attr_t *attr) {
    pkf_worker *worker = &workers->all[workers->count];
    worker->workers = workers;
    worker->codecs = pkf_codec_state_new();
    if (worker->codecs == NULL) return PKF_E_NOMEM;
    if (pthread_create(&worker->thread, attr, run, worker)) {
        pkf_codec_state_free(worker->codecs);
        return PKF_E_SYSTEM;
    }
    workers->count++;
    return PKF_OK;
}

pkf_status pkf_workers_start(pkf_workers *workers, int32_t count) {
    if (count < 0 || count > PKF_WORKERS_MAX) return PKF_E_INVALID;
    if (count == 0) return PKF_OK;
    workers->wanted = count;
    workers->stopping = false;
    workers->guest.workers = workers;
    if (workers->guest.codecs == NULL) workers->guest.codecs = pkf_codec_state_new();
    if (workers->guest.codecs == NULL) return PKF_E_NOMEM;
    sigset_t all, before;
    pthread_attr_t attr;
    pkf_status status = PKF_OK;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (workers->count < count && status == PKF_OK) status = start_one(workers, &attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (status)
        pkf_workers_stop(workers);
    else
        invite(workers->accum, workers);
    return status;
}

void pkf_workers_stop(pkf_workers *workers) {
    invite(workers->accum, NULL); // after what a guest has begun
    pkf_codec_state_free(workers->guest.codecs);
    workers->guest.codecs = NULL;
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->some);
    pthread_mutex_unlock(&workers->lock);
    for (int32_t i = 0; i < workers->count; i++) {
        pthread_join(workers->all[i].thread, NULL);
        pkf_codec_state_free(workers->all[i].codecs);
    }
    workers->count = 0;
    for (pkf_batch *batch; (batch = pop_locked(workers)) != NULL;) { // there is nobody else any more
        batch->packed_size = 0;
        finish(workers, batch);
    }
}

void pkf_workers_add(pkf_workers *workers, pkf_batch *batch) {
    batch->work_next = NULL;
    pthread_mutex_lock(&workers->lock);
    uint64_t turn = batch->partition->work_turn + 1, last = workers->turn + PKF_WORKERS_TURNS - 1;
    if (turn < workers->turn) turn = workers->turn;
    if (turn > last) turn = last;
    batch->partition->work_turn = turn;
    pkf_work *work = &workers->turns[turn % PKF_WORKERS_TURNS];
    if (work->tail)
        work->tail->work_next = batch;
    else
        work->head = batch;
    work->tail = batch;
    workers->waiting++;
    pthread_cond_signal(&workers->some);
    pthread_mutex_unlock(&workers->lock);
}

pkf_batch *pkf_workers_take(pkf_workers *workers) { return atomic_exchange(&workers->finished, NULL); }
