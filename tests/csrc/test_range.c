// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include "pkf_range.h"

static pkf_batch *new_batch(void) { return pkf_batch_new_failed("t", 1, 0, 0, NULL, false); }

static void add(pkf_range *range, pkf_batch *batch, int32_t first, int32_t count, bool is_run) {
    NEED(pkf_range_reserve(range) == PKF_OK);
    bool made = pkf_range_add(range, batch, first, count);
    CHECK_INT(made, is_run);
    if (made) pkf_batch_ref(batch);
}

static void check_place(const pkf_range *range, int32_t row, const pkf_batch *batch, int32_t index, int32_t count) {
    pkf_place place;
    pkf_range_place(range, row, &place);
    CHECK(place.batch == batch);
    CHECK_INT(place.index, index);
    CHECK_INT(place.count, count);
}

static void rows_that_follow_each_other_are_one_run(void) {
    pkf_range range;
    pkf_batch *a = new_batch(), *b = new_batch();
    pkf_range_init(&range, 100, 7);
    add(&range, a, 17, 3, true);
    add(&range, a, 20, 1, false);
    add(&range, a, 22, 2, true); // somebody else's record is between
    add(&range, b, 0, 5, true);
    add(&range, a, 24, 1, true);
    CHECK_INT(range.count, 12);
    CHECK_INT(range.run_count, 4);
    check_place(&range, 0, a, 17, 4);
    check_place(&range, 3, a, 20, 1);
    check_place(&range, 4, a, 22, 2);
    check_place(&range, 7, b, 1, 4);
    check_place(&range, 11, a, 24, 1);
    pkf_range_clear(&range);
    CHECK_INT(atomic_load(&a->refs), 1);
    CHECK_INT(atomic_load(&b->refs), 1);
    pkf_batch_unref(a);
    pkf_batch_unref(b);
}

static void as_many_runs_as_rows(void) {
    enum { COUNT = 1000 };
    pkf_range range;
    pkf_batch *batches[2] = {new_batch(), new_batch()};
    pkf_range_init(&range, COUNT, 7);
    for (int i = 0; i < COUNT; i++) add(&range, batches[i % 2], i / 2, 1, true);
    CHECK(range.run_capacity <= COUNT);
    for (int i = 0; i < COUNT; i++) check_place(&range, i, batches[i % 2], i / 2, 1);
    pkf_range_clear(&range);
    pkf_batch_unref(batches[0]);
    pkf_batch_unref(batches[1]);
}

// a: [0, 10) -> b: [0, 4), c: [4, 10); c -> d: [0, 1), e: [1, 6)
static void splits_are_followed(void) {
    pkf_range range;
    pkf_batch *a = new_batch(), *b = new_batch(), *c = new_batch(), *d = new_batch(), *e = new_batch();
    pkf_range_init(&range, 8, 7);
    add(&range, a, 2, 8, true);
    NEED((a->forks = malloc(2 * sizeof *a->forks)) && (c->forks = malloc(2 * sizeof *c->forks)));
    a->forks[0] = (pkf_fork){0, b};
    a->forks[1] = (pkf_fork){4, c};
    a->fork_count = 2;
    c->forks[0] = (pkf_fork){0, d};
    c->forks[1] = (pkf_fork){1, e};
    c->fork_count = 2;
    check_place(&range, 0, b, 2, 2);
    check_place(&range, 1, b, 3, 1);
    check_place(&range, 2, d, 0, 1);
    check_place(&range, 3, e, 0, 5);
    check_place(&range, 7, e, 4, 1);
    pkf_batch_unref(a); // its forks go with it when the range has gone
    pkf_range_clear(&range);
}

static void sizes_take_room_only_where_they_differ(void) {
    pkf_sizes sizes = {.same = -1};
    for (int i = 0; i < 10; i++) CHECK_INT(pkf_sizes_note(&sizes, 20, i, 100), PKF_OK);
    CHECK(sizes.each == NULL);
    CHECK_INT(pkf_sizes_at(&sizes, 9), 100);
    for (int i = 10; i < 20; i++) CHECK_INT(pkf_sizes_note(&sizes, 20, i, i % 2 ? 100 : -1), PKF_OK);
    for (int i = 0; i < 20; i++) CHECK_INT(pkf_sizes_at(&sizes, i), i < 10 || i % 2 ? 100 : -1);
    free(sizes.each);
}

int main(void) {
    rows_that_follow_each_other_are_one_run();
    as_many_runs_as_rows();
    splits_are_followed();
    sizes_take_room_only_where_they_differ();
    return FINISH();
}
