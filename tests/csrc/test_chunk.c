// SPDX-License-Identifier: Apache-2.0
//
// The layer under the pool, used as pkf_slab.c uses it, on one thread: the lock it wants does not matter here.
#include "harness.h"

#include "pkf_chunk.h"

static void add_chunk(pkf_chunks *chunks, int class_index) {
    pkf_chunk *chunk = pkf_chunk_make(class_index, pkf_chunks_take_base_locked(chunks), false);
    NEED(chunk);
    pkf_chunks_add_locked(chunks, chunk);
}

static size_t length(const pkf_slab *chain) {
    size_t n = 0;
    for (; chain; chain = chain->next) n++;
    return n;
}

static void classes_are_powers_of_two(void) {
    CHECK_INT(pkf_class_of(4096), 0);
    CHECK_INT(pkf_class_of(8192), 1);
    CHECK_INT(pkf_class_of(1 << 20), 8);
    CHECK_INT(pkf_class_of((1 << 20) + 4096), -1);
}

static void a_chunk_gives_each_slab_once(void) {
    pkf_chunks chunks;
    pkf_chunks_init(&chunks);
    enum { COUNT = PKF_CHUNK_SIZE / (256 << 10) };
    pkf_slab *slabs[COUNT], *chain = NULL;
    pkf_chunk *dead = NULL;
    add_chunk(&chunks, 6); // 256 KiB
    for (int i = 0; i < COUNT; i++) {
        slabs[i] = pkf_chunks_take_cold_locked(&chunks, 6);
        NEED(slabs[i]);
        CHECK_INT(slabs[i]->size, 256 << 10);
        for (int j = 0; j < i; j++) CHECK(slabs[i] != slabs[j]);
    }
    CHECK(!pkf_chunks_take_cold_locked(&chunks, 6));
    CHECK_INT(chunks.mapped, pkf_chunk_mapped_size());
    for (int i = 0; i < COUNT; i++) {
        slabs[i]->next = chain;
        chain = slabs[i];
    }
    CHECK_INT(pkf_chunks_put_cold_locked(&chunks, chain, &dead), COUNT);
    CHECK(dead && !dead->base && !dead->next); // its addresses are kept, for any class
    pkf_chunks_free_dead(dead);
    CHECK_INT(chunks.empty_count, 1);
    CHECK(!pkf_chunks_take_cold_locked(&chunks, 6));
    add_chunk(&chunks, 0);
    CHECK_INT(chunks.empty_count, 0);
    CHECK_INT(chunks.mapped, pkf_chunk_mapped_size());
    pkf_chunks_clear(&chunks);
}

static void the_oldest_of_the_fullest_class_go_first(void) {
    pkf_chunks chunks;
    pkf_chunks_init(&chunks);
    pkf_slab *small[3], *large[2];
    pkf_chunk *dead = NULL;
    add_chunk(&chunks, 0);
    add_chunk(&chunks, 5);
    for (int i = 0; i < 3; i++) NEED(small[i] = pkf_chunks_take_cold_locked(&chunks, 0));
    for (int i = 0; i < 2; i++) NEED(large[i] = pkf_chunks_take_cold_locked(&chunks, 5));
    for (int i = 0; i < 3; i++) pkf_chunks_put_warm_locked(&chunks, small[i]);
    for (int i = 0; i < 2; i++) pkf_chunks_put_warm_locked(&chunks, large[i]);
    CHECK_INT(chunks.warm_bytes, 3 * 4096 + 2 * (128 << 10));
    pkf_slab *chain = pkf_chunks_evict_locked(&chunks, 1);
    CHECK(chain == large[0] && length(chain) == 1);
    pkf_slabs_discard(&chunks, chain);
    (void)pkf_chunks_put_cold_locked(&chunks, chain, &dead);
    CHECK(pkf_chunks_take_warm_locked(&chunks, 5) == large[1]);
    CHECK(pkf_chunks_take_warm_locked(&chunks, 0) == small[2]); // the one released last
    chain = pkf_chunks_evict_locked(&chunks, 4097);
    CHECK(length(chain) == 2 && chain->next == small[0]);
    CHECK_INT(chunks.warm_bytes, 0);
    CHECK(!pkf_chunks_evict_locked(&chunks, 1));
    (void)pkf_chunks_put_cold_locked(&chunks, chain, &dead);
    large[1]->next = small[2];
    small[2]->next = NULL;
    (void)pkf_chunks_put_cold_locked(&chunks, large[1], &dead);
    CHECK_INT(chunks.empty_count, 2);
    pkf_chunks_free_dead(dead);
    pkf_chunks_clear(&chunks);
}

static void only_so_many_empty_chunks_are_kept(void) {
    enum { COUNT = PKF_EMPTY_BASES_KEPT + 3 };
    pkf_chunks chunks;
    pkf_chunks_init(&chunks);
    pkf_slab *chain = NULL;
    pkf_chunk *dead = NULL;
    for (int i = 0; i < COUNT; i++) {
        add_chunk(&chunks, 8);
        pkf_slab *slab = pkf_chunks_take_cold_locked(&chunks, 8);
        NEED(slab);
        slab->next = chain;
        chain = slab;
    }
    CHECK_INT(pkf_chunks_put_cold_locked(&chunks, chain, &dead), COUNT);
    pkf_chunks_free_dead(dead);
    CHECK_INT(chunks.empty_count, PKF_EMPTY_BASES_KEPT);
    CHECK_INT(chunks.mapped, PKF_EMPTY_BASES_KEPT * pkf_chunk_mapped_size());
    pkf_chunks_clear(&chunks);
}

// Chunks of a small class get huge pages once there are some; never a class of large slabs.
static void many_small_slabs_get_huge_pages(void) {
    pkf_chunks chunks;
    pkf_chunks_init(&chunks);
    pkf_slab *slab = NULL;
    pkf_chunk *dead = NULL;
    for (int i = 0; i < PKF_HUGE_AFTER; i++) {
        CHECK(!pkf_chunks_want_huge_locked(&chunks, 0));
        add_chunk(&chunks, 0);
        add_chunk(&chunks, PKF_HUGE_CLASSES);
    }
    CHECK(!pkf_chunks_want_huge_locked(&chunks, PKF_HUGE_CLASSES));
    CHECK(!pkf_chunks_want_huge_locked(&chunks, 1)); // which has none
    CHECK(!pkf_chunks_want_huge_locked(&chunks, -1));
#if !defined(PKF_DEBUG) // its guards lie between the slabs
    CHECK(pkf_chunks_want_huge_locked(&chunks, 0));
#endif
    pkf_chunk *huge = pkf_chunk_make(0, NULL, true);
    NEED(huge);
    pkf_chunks_add_locked(&chunks, huge);
    NEED(slab = pkf_chunks_take_cold_locked(&chunks, 0)); // from the one that was added last
    CHECK(slab->chunk == huge && huge->huge);
    NEED(pkf_slab_open_bytes(slab, false));
    pkf_slab_close_bytes(slab);
    pkf_slabs_discard(&chunks, slab);
#if !defined(__SANITIZE_ADDRESS__) // where slabs have no pages of their own
    CHECK(!huge->huge);
#endif
    (void)pkf_chunks_put_cold_locked(&chunks, slab, &dead);
    CHECK(dead && dead->base); // not kept: the rest of the page would stay, and nobody be charged for it
    CHECK_INT(chunks.empty_count, 0);
    pkf_chunks_free_dead(dead);
    CHECK_INT(chunks.count[0], PKF_HUGE_AFTER); // it was its only slab
    pkf_chunks_clear(&chunks);
}

int main(void) {
    classes_are_powers_of_two();
    a_chunk_gives_each_slab_once();
    the_oldest_of_the_fullest_class_go_first();
    only_so_many_empty_chunks_are_kept();
    many_small_slabs_get_huge_pages();
    return FINISH();
}
