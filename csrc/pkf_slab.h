// SPDX-License-Identifier: Apache-2.0
//
// A pool of slabs under a hard budget. A slab is a piece of memory that holds one batch.
//
//   class      4 KiB, 8 KiB, ... 1 MiB: carved from chunks, 2 MiB of address space each, aligned to 2 MiB. All slabs of a
//              chunk are of one class; a chunk without an acquired or warm slab can be carved anew for any class
//   above      rounded to whole pages, one mmap each; so is a size whose class is beyond the budget, down to all of it
//
//            acquire                     release
//   cold ──────────────▶ acquired ────────────────────▶ warm ───────────▶ acquired     (the usual way: no system call)
//    ▲ no pages behind it    ▲                           │  pages still there, last in first out
//    └───────────────────────┴──────────────────────────┘  given back when another class needs the memory
//
//   budget ├────────── acquired ──────────┼── granted to the head waiter ──┼───── available ─────┤
//   pages  ├────────── acquired ──────────┼─────── warm ──────┤  never more than the budget, overdraft apart
//
// Every byte (of the rounded size) is charged from acquire to release. First come, first served: while somebody waits,
// freed bytes go to the head waiter until it has all it asked for, and pkf_pool_ready() and pkf_pool_try() refuse.
//
// Lock: one mutex inside, a leaf: nothing else is locked while it is held, and under it there is no system call but the
// wake-up of a waiter. Every function here takes it itself (pkf_pool_waiting() excepted), so any thread may call any
// function; who may call while holding a partition lock is said below. Memory is mapped and unmapped outside the lock.
//
// Builds: with PKF_DEBUG a slab is filled with 0xDB when it is released, which is checked when it is acquired again, and 16
// bytes behind its end are checked on release; what is wrong aborts. Under AddressSanitizer every acquire is a malloc of
// exactly the slab's size and every release a free: nothing is recycled and each stray access is reported.
#ifndef PKF_SLAB_H
#define PKF_SLAB_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pkf_status.h"

enum {
    PKF_SLAB_MIN_SIZE = 4096,
    PKF_SLAB_MAX_CLASS_SIZE = 1 << 20 // larger slabs are mapped one by one
};

// A handle: it stays where it is, and base and size stay the same, from acquire to release. Its owner may read base and
// size and write the bytes; the rest is the pool's. The bytes of a fresh slab are undefined.
typedef struct pkf_slab {
    uint8_t *base; // aligned to 64 bytes at least
    size_t size;   // what was asked for, rounded by pkf_pool_fit()
    struct pkf_chunk *chunk;
    struct pkf_slab *next, *prev;
    int state;
} pkf_slab;

typedef struct pkf_pool pkf_pool;

// One thread's place in the queue; stays where it is from pkf_pool_wait_begin() to pkf_pool_wait_take() or
// pkf_pool_wait_cancel(), one of which must be called. Only the waiting thread touches it; every field is the pool's.
typedef struct pkf_waiter {
    pthread_cond_t granted_or_closed;
    struct pkf_waiter *next;
    size_t size;    // rounded
    size_t accrued; // bytes taken for it so far; == size: granted
    uint64_t began_ns;
    int state;
} pkf_waiter;

typedef struct pkf_pool_stats {
    size_t budget;
    int64_t available;       // budget - acquired - accrued by waiters; negative only after overdraft
    size_t acquired;         // bytes of the slabs outside the pool
    size_t resident;         // bytes that may have pages: acquired + warm
    size_t mapped;           // address space
    uint64_t slabs_acquired; // slabs outside the pool now
    uint64_t waiting;        // threads in the queue now
    uint64_t waits;          // waits begun, ever
    uint64_t exhausted;      // waits given up without a grant, ever
    uint64_t wait_ns;        // time spent between wait_begin and its end, ever
    uint64_t given_back;     // warm slabs whose pages went back to the system, ever
} pkf_pool_stats;

// A new pool, or NULL without memory or for a budget below PKF_SLAB_MIN_SIZE. Maps nothing yet. Whoever made it frees it.
pkf_pool *pkf_pool_new(size_t budget);

// Frees the pool and all it has mapped. PKF_E_BUSY, and nothing is freed, while slabs are outside or threads wait.
PKF_MUST_USE pkf_status pkf_pool_free(pkf_pool *pool);

// The size a slab has when `size` bytes are asked for and the budget is no matter. 0 if that overflows.
size_t pkf_pool_round(size_t size);

// The size it has in this pool: what the budget is charged, and at most all of it. 0 if `size` is above the budget.
size_t pkf_pool_fit(const pkf_pool *pool, size_t size);

// Acquire. *slab is the caller's until pkf_pool_release(), and untouched unless the answer is PKF_OK. Answers:
// PKF_E_TOO_LARGE the size is above the budget; PKF_E_CLOSED; PKF_E_EXHAUSTED not enough available, or somebody
// waits; PKF_E_NOMEM the system refused.

// Takes only a warm slab of the class: no system call, so it may be called under a partition lock. PKF_E_EXHAUSTED also if
// there is no warm one. Sizes above the classes have none.
PKF_MUST_USE pkf_status pkf_pool_ready(pkf_pool *pool, size_t size, pkf_slab **slab);

// Does not wait, but may map memory and give other memory back: not under a partition lock.
PKF_MUST_USE pkf_status pkf_pool_try(pkf_pool *pool, size_t size, pkf_slab **slab);

// For the pieces of a split batch and for what workers compress into: succeeds beyond the budget (available goes below
// zero and nobody else acquires until releases have made it good), in front of waiters, and after close. Not under a
// partition lock.
PKF_MUST_USE pkf_status pkf_pool_overdraft(pkf_pool *pool, size_t size, pkf_slab **slab);

// Acquire with patience: begin, then wait slice by slice (between slices the caller serves signals and looks at its
// deadline), then take or cancel.
//
//   begin ──▶ queue ──wait: TIMEOUT, again──▶ wait: OK ──▶ take: OK        the slab is the caller's
//               ├──────deadline, signal──────────┴───────▶ cancel          place and bytes go to the next in the queue
//               └──────wait: CLOSED──────────────────────▶ cancel
//
// Waiting is never done under a lock or with the GIL.

// TOO_LARGE, CLOSED, NOMEM: there is no waiter. Enough available and nobody waits: granted at once.
PKF_MUST_USE pkf_status pkf_pool_wait_begin(pkf_pool *pool, pkf_waiter *waiter, size_t size);

// OK: granted. TIMEOUT: the slice is over; one of 0 is a look without sleep. CLOSED.
PKF_MUST_USE pkf_status pkf_pool_wait(pkf_pool *pool, pkf_waiter *waiter, uint64_t slice_ns);

// After OK. OK and NOMEM end the waiter; CLOSED (closed since) and INVALID (not granted) leave it to be cancelled.
PKF_MUST_USE pkf_status pkf_pool_wait_take(pkf_pool *pool, pkf_waiter *waiter, pkf_slab **slab);

// At any time; there is nothing to do after a wait_begin that failed or a wait_take that ended the waiter.
void pkf_pool_wait_cancel(pkf_pool *pool, pkf_waiter *waiter);

// Gives the slab back; the caller forgets it in the same statement. Works after close. May unmap memory (a large slab, or
// the pool is overdrawn or closed) and may wake the head waiter: not under a partition lock.
void pkf_pool_release(pkf_pool *pool, pkf_slab *slab);

// Wakes all waiters; from now on everything but overdraft and release answers PKF_E_CLOSED. Memory that nobody has goes
// back to the system, and what is released later too: the pool may live on for long. Can be repeated.
void pkf_pool_close(pkf_pool *pool);

// Whether anybody waits. Takes no lock. Sequentially consistent, as is the entry of a waiter: a thread that announces its
// sleep and then finds nobody waiting is seen asleep by whoever begins to wait after that.
bool pkf_pool_waiting(const pkf_pool *pool);

void pkf_pool_get_stats(pkf_pool *pool, pkf_pool_stats *stats);

#endif
