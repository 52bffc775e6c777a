// SPDX-License-Identifier: Apache-2.0
//
// Where the memory of slabs comes from: warm and cold slabs, the chunks they are carved from, and large mappings. Knows
// nothing of budgets and waiters, which are pkf_slab.c's, the only user of this file.
//
//   chunk of class 256 KiB, 2 MiB of addresses          control block, elsewhere
//   ├── slab 0 ──┼── slab 1 ──┼── slab 2 ──┼── fresh ──┤  {base, class, count 8, fresh 3, idle 6, cold ▶ slab 1, slabs[8]}
//     acquired      cold         warm        untouched
//
// A chunk with idle (cold or fresh) slabs is in partial[class]. When all its slabs are idle the control block is freed and
// the addresses are kept in empty_bases, for any class, or unmapped if there are enough.
//
// Where thousands of small slabs are in use, each append goes to another page, and an address costs more than the bytes
// behind it. So once a small class has PKF_HUGE_AFTER chunks, further ones get a huge page each, until a slab of it is to be
// given back. Then at most one chunk of the class is backed by more than its slabs hold.
//
// Lock: functions named _locked want the pool's lock; the others make system calls or allocate, and want it free.
#ifndef PKF_CHUNK_H
#define PKF_CHUNK_H

#include <stdatomic.h>

#include "pkf_slab.h"

enum {
    PKF_CLASS_COUNT = 9,      // PKF_SLAB_MIN_SIZE << 0 .. << 8
    PKF_CHUNK_SIZE = 2 << 20, // a huge page
    PKF_EMPTY_BASES_KEPT = 4,
    PKF_HUGE_CLASSES = 3, // up to 16 KiB
    PKF_HUGE_AFTER = 2
};

enum { PKF_SLAB_COLD, PKF_SLAB_WARM, PKF_SLAB_ACQUIRED }; // pkf_slab.state; a large slab is always acquired

typedef struct pkf_chunk {
    uint8_t *base;
    struct pkf_chunk *next, *prev; // in partial[class_index], while idle > 0
    pkf_slab *cold;
    int class_index;
    uint32_t count;
    uint32_t fresh; // slabs from this index on were never used: their handles are not filled in yet
    uint32_t idle;  // cold and fresh ones
    bool made_huge; // constant
    _Atomic bool huge;
    pkf_slab slabs[];
} pkf_chunk;

typedef struct pkf_warm_list {
    pkf_slab *first, *last; // first: released last
    size_t bytes;
} pkf_warm_list;

// All under the pool's lock, page_size excepted.
typedef struct pkf_chunks {
    pkf_warm_list warm[PKF_CLASS_COUNT];
    pkf_chunk *partial[PKF_CLASS_COUNT];
    uint32_t count[PKF_CLASS_COUNT]; // chunks
    uint8_t *empty_bases[PKF_EMPTY_BASES_KEPT];
    size_t empty_count;
    size_t warm_bytes; // of all classes
    size_t mapped;     // bytes of address space: chunks, empty ones included, and large slabs
    size_t page_size;  // set once
} pkf_chunks;

void pkf_chunks_init(pkf_chunks *chunks);

// Unmaps everything. No slab is outside any more.
void pkf_chunks_clear(pkf_chunks *chunks);

// The class of a rounded size, -1 for one that is mapped by itself: a large one, or one cut to a pool's budget.
static inline int pkf_class_of(size_t rounded) {
    if (rounded > PKF_SLAB_MAX_CLASS_SIZE || (rounded & (rounded - 1)) != 0) return -1;
    return __builtin_ctzll((unsigned long long)rounded) - 12;
}

// Warm slabs. take: the one released last, or NULL.
pkf_slab *pkf_chunks_take_warm_locked(pkf_chunks *chunks, int class_index);
void pkf_chunks_put_warm_locked(pkf_chunks *chunks, pkf_slab *slab);

// Takes warm slabs of at least `excess` bytes together, or all there are, off their lists: from the class that holds most,
// oldest first. The result is chained by next and belongs to the caller, who calls pkf_slabs_discard() without the lock
// and then pkf_chunks_put_cold_locked().
pkf_slab *pkf_chunks_evict_locked(pkf_chunks *chunks, size_t excess);

// Gives the pages of a chain of slabs back to the system.
void pkf_slabs_discard(const pkf_chunks *chunks, pkf_slab *chain);

// Files a chain of discarded slabs; returns how many. Chunks that are wholly idle now are chained to *dead for
// pkf_chunks_free_dead(); those of them that the pool keeps addresses of have base NULL.
size_t pkf_chunks_put_cold_locked(pkf_chunks *chunks, pkf_slab *chain, pkf_chunk **dead);
void pkf_chunks_free_dead(pkf_chunk *dead);

// A cold or fresh slab of the class from a chunk that is there, or NULL.
pkf_slab *pkf_chunks_take_cold_locked(pkf_chunks *chunks, int class_index);

// A chunk to carve: base is one from pkf_chunks_take_base_locked() (which may answer NULL), or NULL to map a new one; huge
// is what pkf_chunks_want_huge_locked() says. NULL if the system refuses, base is unmapped then. The caller adds it under
// the lock.
uint8_t *pkf_chunks_take_base_locked(pkf_chunks *chunks);
bool pkf_chunks_want_huge_locked(const pkf_chunks *chunks, int class_index);
pkf_chunk *pkf_chunk_make(int class_index, uint8_t *base, bool huge);
void pkf_chunks_add_locked(pkf_chunks *chunks, pkf_chunk *chunk);

// A large slab, mapped by itself; NULL if the system refuses. The caller accounts for `mapped`.
pkf_slab *pkf_slab_map_large(size_t rounded);
void pkf_slab_unmap_large(pkf_slab *slab);

// What debug and sanitizer builds do when a slab's bytes change hands, without the lock: guard, canary, poison; a malloc
// and a free under AddressSanitizer. open: false without memory. was_warm: the bytes were poisoned by close.
bool pkf_slab_open_bytes(pkf_slab *slab, bool was_warm);
void pkf_slab_close_bytes(pkf_slab *slab);

// The address space one chunk takes.
size_t pkf_chunk_mapped_size(void);

#endif
