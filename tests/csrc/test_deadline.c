// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include "pkf_deadline.h"

enum { COUNT = 200 };

static pkf_partition partitions[COUNT];
static int64_t model[COUNT]; // PKF_NEVER: not in the heap
static pkf_deadlines heap;

static int64_t model_next(void) {
    int64_t next = PKF_NEVER;
    for (int i = 0; i < COUNT; i++)
        if (model[i] < next) next = model[i];
    return next;
}

static void check_places(void) {
    int in_heap = 0;
    for (int i = 0; i < COUNT; i++) {
        CHECK((partitions[i].heap_index >= 0) == (model[i] != PKF_NEVER));
        if (partitions[i].heap_index < 0) continue;
        in_heap++;
        CHECK(heap.items[partitions[i].heap_index].partition == &partitions[i]);
        CHECK_INT(heap.items[partitions[i].heap_index].at_ns, model[i]);
    }
    CHECK_INT(heap.count, in_heap);
}

static void it_agrees_with_a_slow_list(uint64_t seed) {
    for (int i = 0; i < COUNT; i++) {
        partitions[i].heap_index = -1;
        model[i] = PKF_NEVER;
    }
    CHECK_INT(pkf_deadlines_next(&heap), PKF_NEVER);
    CHECK(pkf_deadlines_pop(&heap, PKF_NEVER) == NULL);
    for (int step = 0; step < 20000; step++) {
        int i = (int)harness_below(&seed, COUNT);
        int64_t at = (int64_t)harness_below(&seed, 1000);
        if (harness_below(&seed, 3)) {
            CHECK_INT(pkf_deadlines_add(&heap, &partitions[i], at), PKF_OK);
            if (at < model[i]) model[i] = at; // earlier entries stay
        } else {
            int64_t next = model_next();
            pkf_partition *due = pkf_deadlines_pop(&heap, at);
            CHECK((due == NULL) == (next > at));
            if (due) {
                CHECK_INT(model[due - partitions], next);
                model[due - partitions] = PKF_NEVER;
            }
        }
        CHECK_INT(pkf_deadlines_next(&heap), model_next());
        if (step % 500 == 0) check_places();
    }
    pkf_deadlines_free(&heap);
    for (int i = 0; i < COUNT; i++) CHECK_INT(partitions[i].heap_index, -1);
    CHECK_INT(pkf_deadlines_next(&heap), PKF_NEVER);
}

int main(void) {
    uint64_t seed = harness_seed();
    it_agrees_with_a_slow_list(seed);
    it_agrees_with_a_slow_list(seed + 1); // and after free again
    return FINISH();
}
