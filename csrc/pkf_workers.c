// SPDX-License-Identifier: Apache-2.0
#include "pkf_workers.h"

#include <signal.h>
#include <string.h>

#include "pkf_topic.h"

#define STACK_SIZE (512 * 1024)
#define KEEP_SHARE 8 // of the budget: together the workers keep slabs of at most one part in so many

void pkf_workers_init(pkf_workers *workers, pkf_accum *accum) {
    memset(workers, 0, sizeof *workers);
    workers->accum = accum;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->some, NULL);
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
    pkf_span raw = {batch->slab->base + PKF_BATCH_HEADER, batch->used - PKF_BATCH_HEADER};
    size_t size = 0;
    int64_t began = pkf_monotonic_ns();
    pkf_status status = make_room(worker, pkf_codec_bound(topic->codec, raw.len));
    if (status == PKF_OK)
        status =
            pkf_codec_compress(worker->codecs, topic->codec, topic->codec_level, 2, raw, worker->scratch->base, &size);
    batch->packed_size = 0; // out of memory, or no smaller: it leaves as it is
    if (status == PKF_OK && size < raw.len) {
        memcpy(batch->slab->base + PKF_BATCH_HEADER, worker->scratch->base, size);
        batch->packed_size = (uint32_t)size;
    }
    batch->packing_ns = pkf_monotonic_ns() - began;
    size_t kept = worker->scratch ? worker->scratch->size * (size_t)worker->workers->wanted : 0;
    if (kept > worker->workers->accum->config.buffer_memory / KEEP_SHARE) drop_scratch(worker);
}

static pkf_batch *next_batch(pkf_workers *workers) {
    pthread_mutex_lock(&workers->lock);
    while (workers->head == NULL && !workers->stopping) pthread_cond_wait(&workers->some, &workers->lock);
    pkf_batch *batch = workers->stopping ? NULL : workers->head;
    if (batch) {
        workers->head = batch->work_next;
        if (workers->head == NULL) workers->tail = NULL;
    }
    pthread_mutex_unlock(&workers->lock);
    return batch;
}

static void *run(void *arg) {
    pkf_worker *worker = arg;
    for (pkf_batch *batch; (batch = next_batch(worker->workers)) != NULL;) {
        compress(worker, batch);
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
    for (pkf_batch *batch = workers->head, *next; batch; batch = next) {
        next = batch->work_next;
        batch->packed_size = 0;
        finish(workers, batch);
    }
    workers->head = workers->tail = NULL;
}

void pkf_workers_add(pkf_workers *workers, pkf_batch *batch) {
    batch->work_next = NULL;
    pthread_mutex_lock(&workers->lock);
    if (workers->tail)
        workers->tail->work_next = batch;
    else
        workers->head = batch;
    workers->tail = batch;
    pthread_cond_signal(&workers->some);
    pthread_mutex_unlock(&workers->lock);
}

pkf_batch *pkf_workers_take(pkf_workers *workers) { return atomic_exchange(&workers->finished, NULL); }
