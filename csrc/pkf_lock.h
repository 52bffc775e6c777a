// SPDX-License-Identifier: Apache-2.0
// A lock for moments, four bytes, let go by a plain store: a mutex gives itself back in an atomic operation, which waits
// until everything written under it has reached the cache, and what an append writes may be on its way from memory.
//
// Whoever finds it taken looks for a while and then sleeps in short steps, since nobody wakes it: only for locks under
// which nothing blocks for long. A thread may take it again as soon as it has let go.
#ifndef PKF_LOCK_H
#define PKF_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pkf_status.h"

typedef struct pkf_lock {
    _Atomic uint32_t taken; // all zero is a lock that nobody has
} pkf_lock;

PKF_MUST_USE bool pkf_lock_look(pkf_lock *lock); // tries for a few microseconds
void pkf_lock_wait(pkf_lock *lock);              // tries until it has it

PKF_MUST_USE static inline bool pkf_lock_try(pkf_lock *lock) {
    return atomic_exchange_explicit(&lock->taken, 1, memory_order_acquire) == 0;
}

// Looks for a moment, which costs less than to sleep, or to give the GIL away and to ask for it again.
PKF_MUST_USE static inline bool pkf_lock_insist(pkf_lock *lock) { return pkf_lock_try(lock) || pkf_lock_look(lock); }

static inline void pkf_lock_take(pkf_lock *lock) {
    if (!pkf_lock_try(lock)) pkf_lock_wait(lock);
}

static inline void pkf_lock_let_go(pkf_lock *lock) { atomic_store_explicit(&lock->taken, 0, memory_order_release); }

#endif
