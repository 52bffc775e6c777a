// SPDX-License-Identifier: Apache-2.0
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE // MAP_ANONYMOUS and MADV_*
#endif
#include "pkf_chunk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif

// Debug builds keep slabs of one class this far apart; the canary lies in between.
#if defined(PKF_DEBUG) && !defined(UNDER_ASAN)
#define GUARD_SIZE ((size_t)64)
#else
#define GUARD_SIZE ((size_t)0)
#endif
enum { CANARY_SIZE = 16, CANARY = 0xC5, POISON = 0xDB };

static size_t class_size(int class_index) { return (size_t)PKF_SLAB_MIN_SIZE << class_index; }

size_t pkf_chunk_mapped_size(void) { return PKF_CHUNK_SIZE + PKF_CHUNK_SIZE / PKF_SLAB_MIN_SIZE * GUARD_SIZE; }

void pkf_chunks_init(pkf_chunks *chunks) {
    memset(chunks, 0, sizeof *chunks);
    chunks->page_size = (size_t)sysconf(_SC_PAGESIZE);
}

// ---- address space ----

#if !defined(UNDER_ASAN)
static void *map(size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}
#endif

static void advise_huge(uint8_t *base, bool huge) {
#if defined(MADV_NOHUGEPAGE) && !defined(UNDER_ASAN)
    (void)madvise(base, pkf_chunk_mapped_size(), huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#else
    (void)base;
    (void)huge;
#endif
}

// Addresses for a chunk, aligned to PKF_CHUNK_SIZE: map too much, cut off both ends.
static uint8_t *map_chunk(void) {
#if defined(UNDER_ASAN)
    static uint8_t no_memory_behind_it;
    return &no_memory_behind_it;
#else
    size_t size = pkf_chunk_mapped_size();
    uint8_t *p = map(size + PKF_CHUNK_SIZE);
    if (!p) return NULL;
    size_t front = (size_t)(-(uintptr_t)p & (PKF_CHUNK_SIZE - 1));
    if (front) munmap(p, front);
    if (front < PKF_CHUNK_SIZE) munmap(p + front + size, PKF_CHUNK_SIZE - front);
    // One touched byte must not make 2 MiB resident: the budget is counted in slabs.
    advise_huge(p + front, false);
    return p + front;
#endif
}

static void unmap_chunk(uint8_t *base) {
#if defined(UNDER_ASAN)
    (void)base;
#else
    munmap(base, pkf_chunk_mapped_size());
#endif
}

// ---- warm slabs ----

static void unlink_warm(pkf_chunks *chunks, pkf_slab *slab) {
    pkf_warm_list *list = &chunks->warm[slab->chunk->class_index];
    *(slab->prev ? &slab->prev->next : &list->first) = slab->next;
    *(slab->next ? &slab->next->prev : &list->last) = slab->prev;
    list->bytes -= slab->size;
    chunks->warm_bytes -= slab->size;
    slab->next = slab->prev = NULL;
}

pkf_slab *pkf_chunks_take_warm_locked(pkf_chunks *chunks, int class_index) {
    pkf_slab *slab = chunks->warm[class_index].first;
    if (!slab) return NULL;
    unlink_warm(chunks, slab);
    slab->state = PKF_SLAB_ACQUIRED;
    return slab;
}

void pkf_chunks_put_warm_locked(pkf_chunks *chunks, pkf_slab *slab) {
    pkf_warm_list *list = &chunks->warm[slab->chunk->class_index];
    slab->state = PKF_SLAB_WARM;
    slab->prev = NULL;
    slab->next = list->first;
    *(list->first ? &list->first->prev : &list->last) = slab;
    list->first = slab;
    list->bytes += slab->size;
    chunks->warm_bytes += slab->size;
}

pkf_slab *pkf_chunks_evict_locked(pkf_chunks *chunks, size_t excess) {
    pkf_slab *chain = NULL;
    size_t evicted = 0;
    while (evicted < excess && chunks->warm_bytes) {
        pkf_warm_list *most = &chunks->warm[0];
        for (int i = 1; i < PKF_CLASS_COUNT; i++) {
            if (chunks->warm[i].bytes > most->bytes) most = &chunks->warm[i];
        }
        while (evicted < excess && most->last) {
            pkf_slab *slab = most->last;
            unlink_warm(chunks, slab);
            evicted += slab->size;
            slab->next = chain;
            chain = slab;
        }
    }
    return chain;
}

// ---- cold slabs and chunks ----

void pkf_slabs_discard(const pkf_chunks *chunks, pkf_slab *chain) {
    uintptr_t page = (uintptr_t)chunks->page_size;
    for (pkf_slab *slab = chain; slab; slab = slab->next) {
        if (!slab->base) continue;
        // The system would make up for what is given back of a huge page, and nobody would have charged for it.
        if (atomic_exchange(&slab->chunk->huge, false)) advise_huge(slab->chunk->base, false);
        // Whole pages only: with pages larger than the class, or the guards of a debug build, a neighbour shares the ends.
        uintptr_t from = ((uintptr_t)slab->base + page - 1) & ~(page - 1);
        uintptr_t to = ((uintptr_t)slab->base + slab->size) & ~(page - 1);
#if defined(__APPLE__)
        if (from < to) (void)madvise((void *)from, to - from, MADV_FREE);
#else
        if (from < to) (void)madvise((void *)from, to - from, MADV_DONTNEED);
#endif
    }
}

static void link_partial(pkf_chunks *chunks, pkf_chunk *chunk) {
    pkf_chunk **first = &chunks->partial[chunk->class_index];
    chunk->prev = NULL;
    chunk->next = *first;
    if (*first) (*first)->prev = chunk;
    *first = chunk;
}

static void unlink_partial(pkf_chunks *chunks, pkf_chunk *chunk) {
    *(chunk->prev ? &chunk->prev->next : &chunks->partial[chunk->class_index]) = chunk->next;
    if (chunk->next) chunk->next->prev = chunk->prev;
}

static void retire(pkf_chunks *chunks, pkf_chunk *chunk, pkf_chunk **dead) {
    unlink_partial(chunks, chunk);
    chunks->count[chunk->class_index]--;
    // Of a huge page what no slab ever had is still there.
    bool pages_gone = class_size(chunk->class_index) >= chunks->page_size && !chunk->made_huge;
    if (pages_gone && chunks->empty_count < PKF_EMPTY_BASES_KEPT) {
        chunks->empty_bases[chunks->empty_count++] = chunk->base;
        chunk->base = NULL;
    } else {
        chunks->mapped -= pkf_chunk_mapped_size();
    }
    chunk->next = *dead;
    *dead = chunk;
}

size_t pkf_chunks_put_cold_locked(pkf_chunks *chunks, pkf_slab *chain, pkf_chunk **dead) {
    size_t count = 0;
    for (pkf_slab *slab = chain, *next; slab; slab = next, count++) {
        pkf_chunk *chunk = slab->chunk;
        next = slab->next;
        slab->state = PKF_SLAB_COLD;
        slab->next = chunk->cold;
        chunk->cold = slab;
        if (chunk->idle++ == 0) link_partial(chunks, chunk);
        if (chunk->idle == chunk->count) retire(chunks, chunk, dead);
    }
    return count;
}

void pkf_chunks_free_dead(pkf_chunk *dead) {
    for (pkf_chunk *next; dead; dead = next) {
        next = dead->next;
        if (dead->base) unmap_chunk(dead->base);
        free(dead);
    }
}

static pkf_slab *fill_in_fresh(pkf_chunk *chunk) {
    uint32_t i = chunk->fresh++;
    pkf_slab *slab = &chunk->slabs[i];
    slab->size = class_size(chunk->class_index);
#if !defined(UNDER_ASAN)
    slab->base = chunk->base + i * (slab->size + GUARD_SIZE);
#endif
    slab->chunk = chunk;
    return slab;
}

pkf_slab *pkf_chunks_take_cold_locked(pkf_chunks *chunks, int class_index) {
    pkf_chunk *chunk = chunks->partial[class_index];
    if (!chunk) return NULL;
    pkf_slab *slab = chunk->cold;
    if (slab)
        chunk->cold = slab->next;
    else
        slab = fill_in_fresh(chunk);
    if (--chunk->idle == 0) unlink_partial(chunks, chunk);
    slab->next = slab->prev = NULL;
    slab->state = PKF_SLAB_ACQUIRED;
    return slab;
}

uint8_t *pkf_chunks_take_base_locked(pkf_chunks *chunks) {
    if (!chunks->empty_count) return NULL;
    chunks->mapped -= pkf_chunk_mapped_size(); // pkf_chunks_add_locked() counts it again
    return chunks->empty_bases[--chunks->empty_count];
}

bool pkf_chunks_want_huge_locked(const pkf_chunks *chunks, int class_index) {
    return class_index >= 0 && class_index < PKF_HUGE_CLASSES && chunks->count[class_index] >= PKF_HUGE_AFTER &&
           GUARD_SIZE == 0;
}

pkf_chunk *pkf_chunk_make(int class_index, uint8_t *base, bool huge) {
    uint32_t count = (uint32_t)(PKF_CHUNK_SIZE >> (12 + class_index));
    pkf_chunk *chunk = calloc(1, sizeof *chunk + count * sizeof chunk->slabs[0]);
    if (chunk && !base) base = map_chunk();
    if (!chunk || !base) {
        if (base) unmap_chunk(base);
        free(chunk);
        return NULL;
    }
    chunk->base = base;
    if (huge) advise_huge(base, true);
    chunk->made_huge = huge;
    atomic_init(&chunk->huge, huge);
    chunk->class_index = class_index;
    chunk->count = chunk->idle = count;
    return chunk;
}

void pkf_chunks_add_locked(pkf_chunks *chunks, pkf_chunk *chunk) {
    chunks->mapped += pkf_chunk_mapped_size();
    chunks->count[chunk->class_index]++;
    link_partial(chunks, chunk);
}

void pkf_chunks_clear(pkf_chunks *chunks) {
    pkf_chunk *dead = NULL;
    pkf_slab *chain = pkf_chunks_evict_locked(chunks, SIZE_MAX);
    (void)pkf_chunks_put_cold_locked(chunks, chain, &dead);
    pkf_chunks_free_dead(dead);
    for (int i = 0; i < PKF_CLASS_COUNT; i++) { // chunks that were mapped for an acquire that then failed
        for (pkf_chunk *chunk = chunks->partial[i], *next; chunk; chunk = next) {
            next = chunk->next;
            chunk->next = NULL;
            pkf_chunks_free_dead(chunk);
        }
    }
    while (chunks->empty_count) unmap_chunk(chunks->empty_bases[--chunks->empty_count]);
}

// ---- large slabs ----

pkf_slab *pkf_slab_map_large(size_t rounded) {
    pkf_slab *slab = calloc(1, sizeof *slab);
    if (!slab) return NULL;
    slab->size = rounded;
    slab->state = PKF_SLAB_ACQUIRED;
#if !defined(UNDER_ASAN)
    slab->base = map(rounded + GUARD_SIZE);
    if (!slab->base) {
        free(slab);
        return NULL;
    }
#endif
    return slab;
}

void pkf_slab_unmap_large(pkf_slab *slab) {
#if !defined(UNDER_ASAN)
    munmap(slab->base, slab->size + GUARD_SIZE);
#endif
    free(slab);
}

// ---- debug and sanitizer builds ----

#if defined(UNDER_ASAN)

bool pkf_slab_open_bytes(pkf_slab *slab, bool was_warm) {
    (void)was_warm;
    slab->base = malloc(slab->size);
    return slab->base != NULL;
}

void pkf_slab_close_bytes(pkf_slab *slab) {
    free(slab->base);
    slab->base = NULL;
}

#elif defined(PKF_DEBUG)

static void must_hold(const uint8_t *p, size_t size, uint8_t value) {
    for (size_t i = 0; i < size; i++) {
        if (p[i] != value) abort();
    }
}

bool pkf_slab_open_bytes(pkf_slab *slab, bool was_warm) {
    if (was_warm) must_hold(slab->base, slab->size, POISON);
    memset(slab->base + slab->size, CANARY, CANARY_SIZE);
    return true;
}

void pkf_slab_close_bytes(pkf_slab *slab) {
    must_hold(slab->base + slab->size, CANARY_SIZE, CANARY);
    if (slab->chunk) memset(slab->base, POISON, slab->size);
}

#else

bool pkf_slab_open_bytes(pkf_slab *slab, bool was_warm) {
    (void)slab;
    (void)was_warm;
    return true;
}

void pkf_slab_close_bytes(pkf_slab *slab) { (void)slab; }

#endif
