// SPDX-License-Identifier: Apache-2.0
#include "pkf_workers.h"

#include <signal.h>
#include <string.h>

#include "pkf_topic.h"

#define STACK_SIZE (512 * 1024)
#define KEEP_SHARE 8     // of the budget: together the workers keep slabs of at most one part in so many
#define KEEP_NS 20000000 // for which an idle worker keeps its slab: somebody may wait for all of the budget

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

static void compress(pkf_worker *worker, pkf_batch *batch) {
    const pkf_topic *topic = batch->partition->topic;
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
    size_t kept = worker->scratch ? worker->scratch->size * (size_t)worker->workers->wanted : 0;
    if (kept > worker->workers->accum->config.buffer_memory / KEEP_SHARE) drop_scratch(worker);
}

// The batch whose turn it is, or NULL.
static pkf_batch *pop_locked(pkf_workers *workers) {
    if (workers->waiting == 0) return NULL;
    while (workers->turns[workers->turn % PKF_WORKERS_TURNS].head == NULL) workers->turn++;
    pkf_work *work = &workers->turns[workers->turn % PKF_WORKERS_TURNS];
    pkf_batch *batch = work->head;
    work->head = batch->work_next;
    if (work->head == NULL) work->tail = NULL;
    workers->waiting--;
    return batch;
}

// Sleeps until there may be something to do. Lock held, but for giving back what an idle worker does not need.
static void sleep_locked(pkf_worker *worker) {
    pkf_workers *workers = worker->workers;
    if (worker->scratch == NULL) {
        pthread_cond_wait(&workers->some, &workers->lock);
        return;
    }
    struct timespec at = pkf_cond_deadline(KEEP_NS);
    if (pthread_cond_timedwait(&workers->some, &workers->lock, &at) == 0) return;
    pthread_mutex_unlock(&workers->lock);
    drop_scratch(worker);
    pthread_mutex_lock(&workers->lock);
}

static pkf_batch *next_batch(pkf_worker *worker) {
    pkf_workers *workers = worker->workers;
    pthread_mutex_lock(&workers->lock);
    while (workers->waiting == 0 && !workers->stopping) sleep_locked(worker);
    pkf_batch *batch = workers->stopping ? NULL : pop_locked(workers);
    pthread_mutex_unlock(&workers->lock);
    return batch;
}

static void *run(void *arg) {
    pkf_worker *worker = arg;
    for (pkf_batch *batch; (batch = next_batch(worker)) != NULL;) {
        batch->packed_size = 0;
        if (!(pkf_batch_state(batch) & PKF_DONE)) compress(worker, batch); // else it has expired meanwhile
        finish(worker->workers, batch);
    }
    drop_scratch(worker);
    return NULL;
}

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
    workers->wanted = count;
    workers->stopping = false;
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
    if (status) pkf_workers_stop(workers);
    return status;
}

void pkf_workers_stop(pkf_workers *workers) {
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
