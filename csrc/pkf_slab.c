// SPDX-License-Identifier: Apache-2.0
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE // clock_gettime, pthread_condattr_setclock, pthread_cond_timedwait_relative_np
#endif
#include "pkf_slab.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pkf_chunk.h"

enum { WAITING = 1, GRANTED, ENDED }; // pkf_waiter.state

struct pkf_pool {
    size_t budget;       // set once
    atomic_uint waiting; // length of the queue; written under the lock, read by anyone
    pthread_mutex_t lock;
    // under the lock
    int64_t available; // budget - acquired - accrued
    size_t acquired;
    pkf_chunks chunks;
    pkf_waiter *first_waiter, *last_waiter;
    bool closed;
    uint64_t slabs_acquired, waits, exhausted, wait_ns, given_back;
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static size_t round_to_pages(size_t size) {
    size_t mask = (size_t)sysconf(_SC_PAGESIZE) - 1;
    return size > SIZE_MAX - mask ? 0 : (size + mask) & ~mask;
}

size_t pkf_pool_round(size_t size) {
    if (size <= PKF_SLAB_MIN_SIZE) return PKF_SLAB_MIN_SIZE;
    if (size <= PKF_SLAB_MAX_CLASS_SIZE) return (size_t)1 << (64 - __builtin_clzll((unsigned long long)size - 1));
    return round_to_pages(size);
}

pkf_pool *pkf_pool_new(size_t budget) {
    if (budget < PKF_SLAB_MIN_SIZE || budget > INT64_MAX) return NULL;
    pkf_pool *pool = calloc(1, sizeof *pool);
    if (!pool) return NULL;
    if (pthread_mutex_init(&pool->lock, NULL) != 0) {
        free(pool);
        return NULL;
    }
    pool->budget = budget;
    pool->available = (int64_t)budget;
    atomic_init(&pool->waiting, 0);
    pkf_chunks_init(&pool->chunks);
    return pool;
}

pkf_status pkf_pool_free(pkf_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    bool busy = pool->slabs_acquired || pool->available != (int64_t)pool->budget || pool->first_waiter;
    pthread_mutex_unlock(&pool->lock);
    if (busy) return PKF_E_BUSY;
    pkf_chunks_clear(&pool->chunks);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    return PKF_OK;
}

// ---- the queue ----

static void dequeue_locked(pkf_pool *pool, pkf_waiter *waiter) {
    pkf_waiter *before = NULL;
    for (pkf_waiter *w = pool->first_waiter; w != waiter; w = w->next) before = w;
    *(before ? &before->next : &pool->first_waiter) = waiter->next;
    if (!waiter->next) pool->last_waiter = before;
    waiter->next = NULL;
    atomic_fetch_sub(&pool->waiting, 1);
}

// Lets available bytes accrue to the waiters in their order. Call after each rise of `available`.
static void serve_locked(pkf_pool *pool) {
    while (pool->first_waiter && pool->available > 0) {
        pkf_waiter *waiter = pool->first_waiter;
        size_t part = waiter->size - waiter->accrued;
        if ((int64_t)part > pool->available) part = (size_t)pool->available;
        waiter->accrued += part;
        pool->available -= (int64_t)part;
        if (waiter->accrued < waiter->size) return;
        dequeue_locked(pool, waiter);
        waiter->state = GRANTED;
        // Under the lock: without it the waiter could leave and take the condition with it.
        pthread_cond_signal(&waiter->granted_or_closed);
    }
}

// ---- acquire ----

static void charge_locked(pkf_pool *pool, size_t size) {
    pool->acquired += size;
    pool->slabs_acquired++;
}

static void credit_locked(pkf_pool *pool, size_t size) {
    pool->acquired -= size;
    pool->slabs_acquired--;
    pool->available += (int64_t)size;
    serve_locked(pool);
}

// A slab of `size` bytes without pages yet, where there is no idle one: carves a chunk or maps a large slab. Charged for.
static pkf_slab *map_anew(pkf_pool *pool, size_t size, uint8_t *base, bool huge) {
    int class_index = pkf_class_of(size);
    pkf_slab *slab = NULL;
    pkf_chunk *chunk = NULL;
    if (class_index < 0)
        slab = pkf_slab_map_large(size);
    else
        chunk = pkf_chunk_make(class_index, base, huge);
    pthread_mutex_lock(&pool->lock);
    if (slab) pool->chunks.mapped += size;
    if (chunk) {
        pkf_chunks_add_locked(&pool->chunks, chunk);
        slab = pkf_chunks_take_cold_locked(&pool->chunks, class_index);
    }
    pthread_mutex_unlock(&pool->lock);
    return slab;
}

// Gives pages of evicted slabs back and files them as cold.
static void give_back(pkf_pool *pool, pkf_slab *chain) {
    pkf_chunk *dead = NULL;
    pkf_slabs_discard(&pool->chunks, chain);
    pthread_mutex_lock(&pool->lock);
    pool->given_back += pkf_chunks_put_cold_locked(&pool->chunks, chain, &dead);
    pthread_mutex_unlock(&pool->lock);
    pkf_chunks_free_dead(dead);
}

static pkf_slab *evict_excess_locked(pkf_pool *pool) {
    size_t resident = pool->acquired + pool->chunks.warm_bytes;
    return resident > pool->budget ? pkf_chunks_evict_locked(&pool->chunks, resident - pool->budget) : NULL;
}

static void put_idle_locked(pkf_pool *pool, pkf_slab *slab) {
    pkf_chunk *dead = NULL;
    (void)pkf_chunks_put_cold_locked(&pool->chunks, slab, &dead);
    pthread_mutex_unlock(&pool->lock);
    pkf_chunks_free_dead(dead);
    pthread_mutex_lock(&pool->lock);
}

// Turns charged bytes into a slab. Entered with the lock, left without it. Other memory is given back before the slab is
// handed out, so that pages never exceed the budget.
static pkf_status provide_and_unlock(pkf_pool *pool, size_t size, pkf_slab **result) {
    int class_index = pkf_class_of(size);
    pkf_slab *slab = class_index < 0 ? NULL : pkf_chunks_take_warm_locked(&pool->chunks, class_index);
    bool was_warm = slab != NULL;
    pkf_slab *evicted = was_warm ? NULL : evict_excess_locked(pool);
    if (!slab && class_index >= 0) slab = pkf_chunks_take_cold_locked(&pool->chunks, class_index);
    uint8_t *base = slab || class_index < 0 ? NULL : pkf_chunks_take_base_locked(&pool->chunks);
    bool huge = pkf_chunks_want_huge_locked(&pool->chunks, class_index);
    pthread_mutex_unlock(&pool->lock);

    if (evicted) give_back(pool, evicted);
    if (!slab) slab = map_anew(pool, size, base, huge);
    if (slab && pkf_slab_open_bytes(slab, was_warm)) {
        *result = slab;
        return PKF_OK;
    }
    pthread_mutex_lock(&pool->lock);
    if (slab && slab->chunk) put_idle_locked(pool, slab);
    credit_locked(pool, size);
    pthread_mutex_unlock(&pool->lock);
    return PKF_E_NOMEM;
}

// Whether `size` bytes may be taken now by somebody who doesn't wait.
static pkf_status admit_locked(const pkf_pool *pool, size_t size) {
    if (pool->closed) return PKF_E_CLOSED;
    if (pool->first_waiter || pool->available < (int64_t)size) return PKF_E_EXHAUSTED;
    return PKF_OK;
}

size_t pkf_pool_fit(const pkf_pool *pool, size_t size) {
    size_t rounded = pkf_pool_round(size);
    if (rounded != 0 && rounded <= pool->budget) return rounded;
    if (size > pool->budget) return 0;
    size_t pages = round_to_pages(size);
    return pages != 0 && pages < pool->budget ? pages : pool->budget;
}

pkf_status pkf_pool_ready(pkf_pool *pool, size_t size, pkf_slab **slab) {
    size = pkf_pool_fit(pool, size);
    if (size == 0) return PKF_E_TOO_LARGE;
    int class_index = pkf_class_of(size);
    pkf_slab *warm = NULL;
    pthread_mutex_lock(&pool->lock);
    pkf_status status = admit_locked(pool, size);
    if (status == PKF_OK && class_index >= 0) warm = pkf_chunks_take_warm_locked(&pool->chunks, class_index);
    if (warm) {
        pool->available -= (int64_t)size;
        charge_locked(pool, size);
    }
    pthread_mutex_unlock(&pool->lock);
    if (status != PKF_OK) return status;
    if (!warm) return PKF_E_EXHAUSTED;
    if (!pkf_slab_open_bytes(warm, true)) {
        pkf_pool_release(pool, warm);
        return PKF_E_NOMEM;
    }
    *slab = warm;
    return PKF_OK;
}

pkf_status pkf_pool_try(pkf_pool *pool, size_t size, pkf_slab **slab) {
    size = pkf_pool_fit(pool, size);
    if (size == 0) return PKF_E_TOO_LARGE;
    pthread_mutex_lock(&pool->lock);
    pkf_status status = admit_locked(pool, size);
    if (status != PKF_OK) {
        pthread_mutex_unlock(&pool->lock);
        return status;
    }
    pool->available -= (int64_t)size;
    charge_locked(pool, size);
    return provide_and_unlock(pool, size, slab);
}

pkf_status pkf_pool_overdraft(pkf_pool *pool, size_t size, pkf_slab **slab) {
    size = pkf_pool_round(size);
    if (size == 0 || size > INT64_MAX / 4) return PKF_E_TOO_LARGE;
    pthread_mutex_lock(&pool->lock);
    pool->available -= (int64_t)size;
    charge_locked(pool, size);
    return provide_and_unlock(pool, size, slab);
}

// ---- acquire with patience ----

// false: the clock could not be chosen, or no memory.
static bool init_condition(pthread_cond_t *condition) {
#if defined(__APPLE__)
    return pthread_cond_init(condition, NULL) == 0;
#else
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) return false;
    bool made =
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 && pthread_cond_init(condition, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return made;
#endif
}

// Returns false once the deadline has passed.
static bool wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t deadline_ns) {
#if defined(__APPLE__)
    uint64_t now = now_ns(), left = now < deadline_ns ? deadline_ns - now : 0;
    struct timespec t = {(time_t)(left / UINT64_C(1000000000)), (long)(left % UINT64_C(1000000000))};
    return pthread_cond_timedwait_relative_np(condition, lock, &t) != ETIMEDOUT;
#else
    struct timespec t = {(time_t)(deadline_ns / UINT64_C(1000000000)), (long)(deadline_ns % UINT64_C(1000000000))};
    return pthread_cond_timedwait(condition, lock, &t) != ETIMEDOUT;
#endif
}

pkf_status pkf_pool_wait_begin(pkf_pool *pool, pkf_waiter *waiter, size_t size) {
    size = pkf_pool_fit(pool, size);
    memset(waiter, 0, sizeof *waiter);
    waiter->state = ENDED;
    if (size == 0) return PKF_E_TOO_LARGE;
    if (!init_condition(&waiter->granted_or_closed)) return PKF_E_NOMEM;
    waiter->size = size;
    waiter->began_ns = now_ns();
    pthread_mutex_lock(&pool->lock);
    bool closed = pool->closed;
    if (!closed) {
        waiter->state = WAITING;
        *(pool->first_waiter ? &pool->last_waiter->next : &pool->first_waiter) = waiter;
        pool->last_waiter = waiter;
        pool->waits++;
        atomic_fetch_add(&pool->waiting, 1);
        serve_locked(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!closed) return PKF_OK;
    pthread_cond_destroy(&waiter->granted_or_closed);
    return PKF_E_CLOSED;
}

pkf_status pkf_pool_wait(pkf_pool *pool, pkf_waiter *waiter, uint64_t slice_ns) {
    uint64_t deadline_ns = now_ns();
    deadline_ns = slice_ns > INT64_MAX - deadline_ns ? INT64_MAX : deadline_ns + slice_ns;
    bool time_left = slice_ns > 0;
    pthread_mutex_lock(&pool->lock);
    while (!pool->closed && waiter->state == WAITING && time_left) {
        time_left = wait_until(&waiter->granted_or_closed, &pool->lock, deadline_ns);
    }
    pkf_status status = pool->closed ? PKF_E_CLOSED : waiter->state == WAITING ? PKF_E_TIMEOUT : PKF_OK;
    pthread_mutex_unlock(&pool->lock);
    return status;
}

static void end_locked(pkf_pool *pool, pkf_waiter *waiter) {
    waiter->state = ENDED;
    pool->wait_ns += now_ns() - waiter->began_ns;
    pthread_cond_destroy(&waiter->granted_or_closed);
}

pkf_status pkf_pool_wait_take(pkf_pool *pool, pkf_waiter *waiter, pkf_slab **slab) {
    pthread_mutex_lock(&pool->lock);
    pkf_status status = pool->closed ? PKF_E_CLOSED : waiter->state != GRANTED ? PKF_E_INVALID : PKF_OK;
    if (status != PKF_OK) {
        pthread_mutex_unlock(&pool->lock);
        return status;
    }
    end_locked(pool, waiter);
    charge_locked(pool, waiter->size);
    return provide_and_unlock(pool, waiter->size, slab);
}

void pkf_pool_wait_cancel(pkf_pool *pool, pkf_waiter *waiter) {
    pthread_mutex_lock(&pool->lock);
    if (waiter->state != ENDED) {
        if (waiter->state == WAITING) {
            dequeue_locked(pool, waiter);
            if (!pool->closed) pool->exhausted++;
        }
        end_locked(pool, waiter);
        pool->available += (int64_t)waiter->accrued;
        serve_locked(pool);
    }
    pthread_mutex_unlock(&pool->lock);
}

// ---- release, close, look ----

static void release_large(pkf_pool *pool, pkf_slab *slab) {
    size_t size = slab->size;
    pkf_slab_unmap_large(slab);
    pthread_mutex_lock(&pool->lock);
    pool->chunks.mapped -= size;
    credit_locked(pool, size);
    pthread_mutex_unlock(&pool->lock);
}

void pkf_pool_release(pkf_pool *pool, pkf_slab *slab) {
    if (slab->state != PKF_SLAB_ACQUIRED) abort(); // released twice: going on would give one slab to two batches
    pkf_slab_close_bytes(slab);
    if (!slab->chunk) {
        release_large(pool, slab);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    bool overdrawn = pool->acquired + pool->chunks.warm_bytes > pool->budget;
    if (overdrawn || pool->closed) {
        pthread_mutex_unlock(&pool->lock);
        size_t size = slab->size;
        give_back(pool, slab);
        pthread_mutex_lock(&pool->lock);
        credit_locked(pool, size);
    } else {
        pkf_chunks_put_warm_locked(&pool->chunks, slab);
        credit_locked(pool, slab->size);
    }
    pthread_mutex_unlock(&pool->lock);
}

void pkf_pool_close(pkf_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->closed = true;
    for (pkf_waiter *w = pool->first_waiter; w; w = w->next) pthread_cond_signal(&w->granted_or_closed);
    // Nobody will want them any more, and a future that is kept keeps the pool.
    pkf_slab *idle = pkf_chunks_evict_locked(&pool->chunks, SIZE_MAX);
    pthread_mutex_unlock(&pool->lock);
    if (idle) give_back(pool, idle);
}

bool pkf_pool_waiting(const pkf_pool *pool) { return atomic_load(&pool->waiting) != 0; }

void pkf_pool_get_stats(pkf_pool *pool, pkf_pool_stats *stats) {
    pthread_mutex_lock(&pool->lock);
    *stats = (pkf_pool_stats){
        .budget = pool->budget,
        .available = pool->available,
        .acquired = pool->acquired,
        .resident = pool->acquired + pool->chunks.warm_bytes,
        .mapped = pool->chunks.mapped,
        .slabs_acquired = pool->slabs_acquired,
        .waiting = atomic_load_explicit(&pool->waiting, memory_order_relaxed),
        .waits = pool->waits,
        .exhausted = pool->exhausted,
        .wait_ns = pool->wait_ns,
        .given_back = pool->given_back,
    };
    pthread_mutex_unlock(&pool->lock);
}
