// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <pthread.h>

#include "pkf_lock.h"
#include "pkf_socket.h"

enum { THREADS = 4, TURNS = 20000, HELD_NS = 3000000 };

static pkf_lock lock; // all zero: nobody has it
static uint64_t turns;

static void *count(void *self) {
    (void)self;
    for (int i = 0; i < TURNS; i++) {
        pkf_lock_take(&lock);
        turns++;
        pkf_lock_let_go(&lock);
    }
    return NULL;
}

static void one_thread_at_a_time_has_it(void) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) NEED(pthread_create(&threads[i], NULL, count, NULL) == 0);
    for (int i = 0; i < THREADS; i++) NEED(pthread_join(threads[i], NULL) == 0);
    CHECK_INT(turns, THREADS * TURNS);
    CHECK(pkf_lock_try(&lock));
    pkf_lock_let_go(&lock);
}

static void trying_does_not_wait(void) {
    CHECK(pkf_lock_try(&lock));
    CHECK(!pkf_lock_try(&lock));
    CHECK(!pkf_lock_insist(&lock)); // a try in vain leaves it as it was
    pkf_lock_let_go(&lock);
    CHECK(pkf_lock_try(&lock));
    pkf_lock_let_go(&lock);
}

static void *take_it(void *taken_ns) {
    pkf_lock_take(&lock);
    *(int64_t *)taken_ns = pkf_monotonic_ns();
    pkf_lock_let_go(&lock);
    return NULL;
}

// Longer than anybody looks: the waiter sleeps meanwhile, and finds out by itself.
static void who_waits_gets_it_when_it_is_let_go(void) {
    pthread_t waiter;
    int64_t taken_ns = 0, from = pkf_monotonic_ns();
    pkf_lock_take(&lock);
    NEED(pthread_create(&waiter, NULL, take_it, &taken_ns) == 0);
    while (pkf_monotonic_ns() - from < HELD_NS) pkf_nap(HELD_NS / 10);
    int64_t let_go_ns = pkf_monotonic_ns();
    pkf_lock_let_go(&lock);
    NEED(pthread_join(waiter, NULL) == 0);
    CHECK(taken_ns >= let_go_ns);
}

static _Atomic bool ended;

static void *take_it_again_and_again(void *self) {
    (void)self;
    while (!atomic_load(&ended)) {
        pkf_lock_take(&lock);
        for (int64_t until = pkf_monotonic_ns() + 10000; pkf_monotonic_ns() < until;) continue;
        pkf_lock_let_go(&lock);
    }
    return NULL;
}

// As send_many() does with its partition's: it is free for a moment between two holds, and others must not miss all.
static void who_takes_it_again_and_again_does_not_keep_others_out(void) {
    pthread_t holder;
    NEED(pthread_create(&holder, NULL, take_it_again_and_again, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        pkf_lock_take(&lock);
        pkf_lock_let_go(&lock);
    }
    atomic_store(&ended, true);
    NEED(pthread_join(holder, NULL) == 0);
}

int main(void) {
    one_thread_at_a_time_has_it();
    trying_does_not_wait();
    who_waits_gets_it_when_it_is_let_go();
    who_takes_it_again_and_again_does_not_keep_others_out();
    return FINISH();
}
