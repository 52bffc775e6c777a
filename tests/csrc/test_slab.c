// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <pthread.h>
#include <unistd.h>

#include "pkf_slab.h"

static const uint64_t SECOND = 1000000000;

static pkf_pool_stats stats_of(pkf_pool *pool) {
    pkf_pool_stats stats;
    pkf_pool_get_stats(pool, &stats);
    return stats;
}

static pkf_pool *new_pool(size_t budget) {
    pkf_pool *pool = pkf_pool_new(budget);
    NEED(pool);
    return pool;
}

static pkf_slab *acquire(pkf_pool *pool, size_t size) {
    pkf_slab *slab = NULL;
    NEED(pkf_pool_try(pool, size, &slab) == PKF_OK);
    return slab;
}

static void free_pool(pkf_pool *pool) {
    pkf_pool_stats stats = stats_of(pool);
    CHECK_INT(stats.slabs_acquired, 0);
    CHECK_INT(stats.acquired, 0);
    CHECK_INT(stats.waiting, 0);
    CHECK_INT(stats.available, stats.budget);
    CHECK_INT(pkf_pool_free(pool), PKF_OK);
}

static void sizes_are_rounded_to_classes_and_pages(void) {
    CHECK_INT(pkf_pool_round(0), 4096);
    CHECK_INT(pkf_pool_round(1), 4096);
    CHECK_INT(pkf_pool_round(4096), 4096);
    CHECK_INT(pkf_pool_round(4097), 8192);
    CHECK_INT(pkf_pool_round(16384), 16384);
    CHECK_INT(pkf_pool_round(600000), 1 << 20);
    CHECK_INT(pkf_pool_round(1 << 20), 1 << 20);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    CHECK_INT(pkf_pool_round((1 << 20) + 1), (1 << 20) + page);
    CHECK_INT(pkf_pool_round(SIZE_MAX), 0);
}

static void what_fits_the_budget_can_be_had_though_its_class_is_larger(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), budget = 24 * page + 100;
    pkf_pool *pool = new_pool(budget);
    CHECK_INT(pkf_pool_fit(pool, 5000), pkf_pool_round(5000));
    CHECK_INT(pkf_pool_fit(pool, 16 * page), 16 * page);
    CHECK_INT(pkf_pool_fit(pool, 16 * page + 1), 17 * page);
    CHECK_INT(pkf_pool_fit(pool, 24 * page), 24 * page);
    CHECK_INT(pkf_pool_fit(pool, 24 * page + 1), budget);
    CHECK_INT(pkf_pool_fit(pool, budget), budget);
    CHECK_INT(pkf_pool_fit(pool, budget + 1), 0);
    CHECK_INT(pkf_pool_fit(pool, SIZE_MAX), 0);
    for (int i = 0; i < 3; i++) {
        pkf_slab *small = acquire(pool, page), *slab = NULL;
        CHECK_INT(pkf_pool_ready(pool, 17 * page, &slab), PKF_E_EXHAUSTED); // none is ever warm
        CHECK_INT(pkf_pool_try(pool, budget, &slab), PKF_E_EXHAUSTED);
        pkf_slab *part = acquire(pool, 17 * page);
        memset(part->base, 7, part->size);
        CHECK_INT(stats_of(pool).available, budget - part->size - small->size);
        pkf_pool_release(pool, part);
        pkf_pool_release(pool, small);
        pkf_slab *all = acquire(pool, budget);
        memset(all->base, 7, all->size);
        CHECK_INT(all->size, budget);
        CHECK_INT(stats_of(pool).available, 0);
        CHECK_INT(stats_of(pool).resident, budget);
        pkf_pool_release(pool, all);
    }
    free_pool(pool);
}

static void a_slab_is_charged_by_its_rounded_size_until_released(void) {
    pkf_pool *pool = new_pool(64 << 10);
    pkf_slab *slab = acquire(pool, 5000);
    CHECK_INT(slab->size, 8192);
    CHECK_INT((uintptr_t)slab->base % 16, 0);
    memset(slab->base, 7, slab->size);
    pkf_pool_stats stats = stats_of(pool);
    CHECK_INT(stats.available, (64 << 10) - 8192);
    CHECK_INT(stats.acquired, 8192);
    CHECK_INT(stats.slabs_acquired, 1);
    CHECK_INT(pkf_pool_free(pool), PKF_E_BUSY);
    pkf_pool_release(pool, slab);
    CHECK_INT(stats_of(pool).available, 64 << 10);
    free_pool(pool);
}

static void what_cannot_ever_fit_is_too_large(void) {
    CHECK(pkf_pool_new(0) == NULL);
    CHECK(pkf_pool_new(4095) == NULL);
    pkf_pool *pool = new_pool(100000);
    pkf_slab *slab = NULL;
    pkf_waiter waiter;
    CHECK_INT(pkf_pool_try(pool, 100001, &slab), PKF_E_TOO_LARGE);
    CHECK_INT(pkf_pool_ready(pool, 100001, &slab), PKF_E_TOO_LARGE);
    CHECK_INT(pkf_pool_wait_begin(pool, &waiter, 100001), PKF_E_TOO_LARGE);
    pkf_pool_wait_cancel(pool, &waiter);
    CHECK_INT(pkf_pool_try(pool, SIZE_MAX, &slab), PKF_E_TOO_LARGE);
    CHECK_INT(pkf_pool_overdraft(pool, SIZE_MAX, &slab), PKF_E_TOO_LARGE);
    CHECK(slab == NULL);
    free_pool(pool);
}

static void ready_takes_only_what_was_released_before(void) {
    pkf_pool *pool = new_pool(1 << 20);
    pkf_slab *slab = NULL;
    CHECK_INT(pkf_pool_ready(pool, 16384, &slab), PKF_E_EXHAUSTED);
    pkf_slab *first = acquire(pool, 16384), *second = acquire(pool, 16384);
    pkf_pool_release(pool, first);
    pkf_pool_release(pool, second);
    CHECK_INT(pkf_pool_ready(pool, 8192, &slab), PKF_E_EXHAUSTED);
    CHECK_INT(pkf_pool_ready(pool, 9000, &slab), PKF_OK);
    CHECK(slab == second); // last in, first out
    memset(slab->base, 1, slab->size);
    pkf_pool_release(pool, slab);
    free_pool(pool);
}

static void large_slabs_come_and_go_alone(void) {
    pkf_pool *pool = new_pool(16 << 20);
    pkf_slab *slab = acquire(pool, 5000000);
    CHECK(slab->size >= 5000000 && slab->size < 5000000 + 65536);
    memset(slab->base, 3, slab->size);
    CHECK_INT(stats_of(pool).acquired, slab->size);
    pkf_pool_release(pool, slab);
    CHECK_INT(stats_of(pool).resident, 0);
    CHECK_INT(stats_of(pool).mapped, 0);
    free_pool(pool);
}

static void memory_of_one_class_serves_another(void) {
    enum { BUDGET = 8 << 20, COUNT = BUDGET / 4096 };
    static pkf_slab *small[COUNT];
    pkf_pool *pool = new_pool(BUDGET);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) memset((small[i] = acquire(pool, 4096))->base, i, 4096);
        for (int i = 0; i < COUNT; i++) pkf_pool_release(pool, small[i]);
        CHECK_INT(stats_of(pool).resident, BUDGET);
        pkf_slab *large = acquire(pool, BUDGET);
        CHECK_INT(stats_of(pool).resident, BUDGET);
        memset(large->base, 1, large->size);
        pkf_pool_release(pool, large);
        pkf_slab *one = acquire(pool, 1 << 20);
        memset(one->base, 2, one->size);
        CHECK(stats_of(pool).resident <= BUDGET);
        pkf_pool_release(pool, one);
    }
    CHECK_INT(stats_of(pool).given_back > COUNT, 1);
    CHECK(stats_of(pool).mapped <= 4 * (size_t)BUDGET);
    free_pool(pool);
}

static void overdraft_goes_below_zero_and_is_made_good(void) {
    pkf_pool *pool = new_pool(32 << 10);
    pkf_slab *all = acquire(pool, 32 << 10), *half = NULL, *other = NULL, *slab = NULL;
    CHECK_INT(pkf_pool_try(pool, 4096, &slab), PKF_E_EXHAUSTED);
    CHECK_INT(pkf_pool_overdraft(pool, 16 << 10, &half), PKF_OK);
    CHECK_INT(pkf_pool_overdraft(pool, 40 << 10, &other), PKF_OK); // larger than the whole budget
    CHECK_INT(stats_of(pool).available, -(80 << 10));
    pkf_pool_release(pool, all);
    CHECK_INT(pkf_pool_try(pool, 4096, &slab), PKF_E_EXHAUSTED);
    CHECK_INT(stats_of(pool).resident, 80 << 10);
    pkf_pool_release(pool, other);
    CHECK_INT(stats_of(pool).available, 16 << 10);
    CHECK(stats_of(pool).resident <= 32 << 10);
    pkf_pool_close(pool);
    CHECK_INT(pkf_pool_overdraft(pool, 4096, &slab), PKF_OK);
    pkf_pool_release(pool, slab);
    pkf_pool_release(pool, half);
    free_pool(pool);
}

static void a_waiter_times_out_and_gives_its_bytes_to_the_next(void) {
    pkf_pool *pool = new_pool(64 << 10);
    pkf_slab *a = acquire(pool, 32 << 10), *b = acquire(pool, 32 << 10), *slab = NULL;
    pkf_waiter first, second;
    NEED(pkf_pool_wait_begin(pool, &first, 64 << 10) == PKF_OK);
    NEED(pkf_pool_wait_begin(pool, &second, 16 << 10) == PKF_OK);
    CHECK(pkf_pool_waiting(pool));
    pkf_pool_release(pool, a); // accrues to the first, which needs more
    CHECK_INT(stats_of(pool).available, 0);
    CHECK_INT(pkf_pool_wait(pool, &first, 1000), PKF_E_TIMEOUT);
    CHECK_INT(pkf_pool_wait(pool, &second, 0), PKF_E_TIMEOUT);
    CHECK_INT(pkf_pool_wait_take(pool, &second, &slab), PKF_E_INVALID);
    CHECK_INT(pkf_pool_ready(pool, 32 << 10, &slab), PKF_E_EXHAUSTED); // there is one, but others were first
    pkf_pool_wait_cancel(pool, &first);
    CHECK_INT(pkf_pool_wait(pool, &second, 0), PKF_OK);
    CHECK(!pkf_pool_waiting(pool));
    CHECK_INT(pkf_pool_wait_take(pool, &second, &slab), PKF_OK);
    CHECK_INT(slab->size, 16 << 10);
    pkf_pool_wait_cancel(pool, &second); // nothing left to do
    pkf_pool_release(pool, slab);
    pkf_pool_release(pool, b);
    pkf_pool_stats stats = stats_of(pool);
    CHECK_INT(stats.waits, 2);
    CHECK_INT(stats.exhausted, 1);
    CHECK(stats.wait_ns > 0);
    free_pool(pool);
}

static void a_grant_that_is_not_taken_goes_back(void) {
    pkf_pool *pool = new_pool(8192);
    pkf_waiter waiter;
    NEED(pkf_pool_wait_begin(pool, &waiter, 8192) == PKF_OK); // enough is there: granted at once
    CHECK_INT(stats_of(pool).available, 0);
    CHECK_INT(pkf_pool_wait(pool, &waiter, 0), PKF_OK);
    pkf_pool_wait_cancel(pool, &waiter);
    free_pool(pool);
}

static void closing_refuses_but_takes_back(void) {
    pkf_pool *pool = new_pool(8192);
    pkf_slab *slab = acquire(pool, 8192), *no = NULL;
    pkf_waiter waiter, late;
    NEED(pkf_pool_wait_begin(pool, &waiter, 4096) == PKF_OK);
    pkf_pool_close(pool);
    CHECK_INT(pkf_pool_wait(pool, &waiter, 60 * SECOND), PKF_E_CLOSED);
    CHECK_INT(pkf_pool_wait_begin(pool, &late, 4096), PKF_E_CLOSED);
    CHECK_INT(pkf_pool_try(pool, 4096, &no), PKF_E_CLOSED);
    CHECK_INT(pkf_pool_ready(pool, 4096, &no), PKF_E_CLOSED);
    CHECK_INT(pkf_pool_free(pool), PKF_E_BUSY);
    pkf_pool_release(pool, slab);
    CHECK_INT(pkf_pool_wait_take(pool, &waiter, &no), PKF_E_CLOSED);
    pkf_pool_wait_cancel(pool, &waiter);
    CHECK_INT(stats_of(pool).exhausted, 0);
    free_pool(pool);
}

// ---- threads ----

typedef struct queuer {
    pkf_pool *pool;
    pkf_waiter waiter;
    pkf_slab *slab;
    int served; // order in which it was served
    atomic_int *next_served;
    pthread_t thread;
} queuer;

static void *wait_in_queue(void *argument) {
    queuer *q = argument;
    pkf_status status;
    while ((status = pkf_pool_wait(q->pool, &q->waiter, SECOND / 100)) == PKF_E_TIMEOUT) continue;
    CHECK_INT(status, PKF_OK);
    CHECK_INT(pkf_pool_wait_take(q->pool, &q->waiter, &q->slab), PKF_OK);
    q->served = atomic_fetch_add(q->next_served, 1);
    pkf_pool_release(q->pool, q->slab);
    return NULL;
}

static void a_closed_pool_keeps_no_memory(void) {
    pkf_pool *pool = new_pool(4 << 20);
    pkf_slab *slabs[8], *kept = acquire(pool, 256 << 10);
    for (int i = 0; i < 8; i++) slabs[i] = acquire(pool, 4096u << i);
    for (int i = 0; i < 8; i++) pkf_pool_release(pool, slabs[i]);
    CHECK(stats_of(pool).resident > 256 << 10);
    pkf_pool_close(pool);
    CHECK_INT(stats_of(pool).resident, 256 << 10);
    pkf_pool_release(pool, kept);
    CHECK_INT(stats_of(pool).resident, 0);
    free_pool(pool);
}

static void waiters_are_served_in_their_order(void) {
    enum { COUNT = 6, SIZE = 64 << 10 };
    pkf_pool *pool = new_pool(SIZE);
    pkf_slab *all = acquire(pool, SIZE);
    atomic_int next_served = 0;
    queuer queuers[COUNT];
    for (int i = 0; i < COUNT; i++) {
        queuers[i] = (queuer){.pool = pool, .next_served = &next_served};
        // More than half each, so that only one can be served at a time and the order shows.
        NEED(pkf_pool_wait_begin(pool, &queuers[i].waiter, i % 2 ? SIZE : SIZE / 2 + 1) == PKF_OK);
    }
    for (int i = 0; i < COUNT; i++) NEED(!pthread_create(&queuers[i].thread, NULL, wait_in_queue, &queuers[i]));
    pkf_pool_release(pool, all);
    for (int i = 0; i < COUNT; i++) pthread_join(queuers[i].thread, NULL);
    for (int i = 0; i < COUNT; i++) CHECK_INT(queuers[i].served, i);
    free_pool(pool);
}

static void *wait_for_close(void *argument) {
    queuer *q = argument;
    CHECK_INT(pkf_pool_wait(q->pool, &q->waiter, 60 * SECOND), PKF_E_CLOSED);
    pkf_pool_wait_cancel(q->pool, &q->waiter);
    return NULL;
}

static void closing_wakes_all_waiters(void) {
    enum { COUNT = 4 };
    pkf_pool *pool = new_pool(8192);
    pkf_slab *all = acquire(pool, 8192);
    queuer queuers[COUNT];
    for (int i = 0; i < COUNT; i++) {
        queuers[i] = (queuer){.pool = pool};
        NEED(pkf_pool_wait_begin(pool, &queuers[i].waiter, 4096) == PKF_OK);
        NEED(!pthread_create(&queuers[i].thread, NULL, wait_for_close, &queuers[i]));
    }
    pkf_pool_close(pool);
    for (int i = 0; i < COUNT; i++) pthread_join(queuers[i].thread, NULL);
    pkf_pool_release(pool, all);
    free_pool(pool);
}

enum { STORM_THREADS = 6, STORM_ROUNDS = 3000, STORM_BUDGET = 3 << 20 };

typedef struct storm {
    pkf_pool *pool;
    uint64_t random;
    uint64_t acquired, gave_up;
    pthread_t thread;
} storm;

static pkf_slab *storm_acquire(storm *s, size_t size) {
    pkf_slab *slab = NULL;
    pkf_waiter waiter;
    if (harness_below(&s->random, 100) == 0) {
        CHECK_INT(pkf_pool_overdraft(s->pool, size, &slab), PKF_OK);
        return slab;
    }
    if (pkf_pool_ready(s->pool, size, &slab) == PKF_OK || pkf_pool_try(s->pool, size, &slab) == PKF_OK) return slab;
    NEED(pkf_pool_wait_begin(s->pool, &waiter, size) == PKF_OK);
    pkf_status status = pkf_pool_wait(s->pool, &waiter, harness_below(&s->random, SECOND / 2000));
    if (status == PKF_OK && harness_below(&s->random, 20)) {
        CHECK_INT(pkf_pool_wait_take(s->pool, &waiter, &slab), PKF_OK);
        return slab;
    }
    pkf_pool_wait_cancel(s->pool, &waiter);
    return NULL;
}

static void *storm_run(void *argument) {
    storm *s = argument;
    pkf_slab *held[4] = {NULL};
    for (int i = 0; i < STORM_ROUNDS; i++) {
        pkf_slab **mine = &held[harness_below(&s->random, 4)];
        if (*mine) {
            uint8_t mark = (*mine)->base[0];
            CHECK_INT((*mine)->base[(*mine)->size - 1], mark); // nobody else wrote here
            pkf_pool_release(s->pool, *mine);
            *mine = NULL;
            continue;
        }
        size_t size = (size_t)1 << harness_below(&s->random, 22);
        size += (size_t)harness_below(&s->random, size);
        if (size > STORM_BUDGET / 2) size = STORM_BUDGET / 2;
        *mine = storm_acquire(s, size);
        if (!*mine) {
            s->gave_up++;
            continue;
        }
        s->acquired++;
        CHECK((*mine)->size >= size);
        (*mine)->base[0] = (*mine)->base[(*mine)->size - 1] = (uint8_t)harness_random(&s->random);
    }
    for (int i = 0; i < 4; i++) {
        if (held[i]) pkf_pool_release(s->pool, held[i]);
    }
    return NULL;
}

static void many_threads_of_all_sizes_leave_nothing_behind(uint64_t seed) {
    pkf_pool *pool = new_pool(STORM_BUDGET);
    storm storms[STORM_THREADS];
    for (int i = 0; i < STORM_THREADS; i++) {
        storms[i] = (storm){.pool = pool, .random = seed + (uint64_t)i};
        NEED(!pthread_create(&storms[i].thread, NULL, storm_run, &storms[i]));
    }
    uint64_t acquired = 0, gave_up = 0;
    for (int i = 0; i < STORM_THREADS; i++) {
        pthread_join(storms[i].thread, NULL);
        acquired += storms[i].acquired;
        gave_up += storms[i].gave_up;
    }
    CHECK(acquired > STORM_THREADS * STORM_ROUNDS / 8);
    printf("storm: %" PRIu64 " acquired, %" PRIu64 " given up, %" PRIu64 " slabs given back to the system\n", acquired,
           gave_up, stats_of(pool).given_back);
    CHECK(stats_of(pool).resident <= STORM_BUDGET);
    free_pool(pool);
}

int main(void) {
    uint64_t seed = harness_seed();
    sizes_are_rounded_to_classes_and_pages();
    what_fits_the_budget_can_be_had_though_its_class_is_larger();
    a_slab_is_charged_by_its_rounded_size_until_released();
    what_cannot_ever_fit_is_too_large();
    ready_takes_only_what_was_released_before();
    large_slabs_come_and_go_alone();
    memory_of_one_class_serves_another();
    overdraft_goes_below_zero_and_is_made_good();
    a_waiter_times_out_and_gives_its_bytes_to_the_next();
    a_grant_that_is_not_taken_goes_back();
    closing_refuses_but_takes_back();
    a_closed_pool_keeps_no_memory();
    waiters_are_served_in_their_order();
    closing_wakes_all_waiters();
    many_threads_of_all_sizes_leave_nothing_behind(seed);
    return FINISH();
}
