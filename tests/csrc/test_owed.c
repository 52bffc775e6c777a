// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

static rig r;

static void open_rig(void) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    rig_open(&r, &accum, &wire, 2);
}

static pkf_batch *batch_with(int references) {
    pkf_batch *batch = pkf_batch_new(r.accum, rig_part(&r, 0), NULL, 12345);
    NEED(batch);
    for (int i = 1; i < references; i++) pkf_batch_ref(batch);
    return batch;
}

static uint32_t refs(const pkf_batch *batch) { return atomic_load(&((pkf_batch *)batch)->refs); }

static void futures_that_go_are_given_back_together(void) {
    open_rig();
    pkf_batch *one = batch_with(101), *other = batch_with(2);
    for (int i = 0; i < 100; i++) pkf_accum_let_go(one, 0);
    CHECK_INT(refs(one), 101);
    pkf_accum_let_go(other, 0);
    CHECK_INT(refs(one), 1);
    CHECK_INT(refs(other), 2);
    pkf_accum_let_go(one, 0); // the last of it: freed as soon as it is no longer owed
    CHECK_INT(refs(other), 1);
    pkf_accum_let_go(other, 0);
    pkf_accum_end_owing(r.accum);
    rig_close(&r); // which finds nothing that holds the accumulator
}

static void those_of_a_batch_that_is_done_go_at_once(void) {
    open_rig();
    pkf_batch *batch = batch_with(3);
    pkf_accum_let_go(batch, 0);
    pkf_accum_let_go(batch, PKF_DONE);
    CHECK_INT(refs(batch), 2);
    pkf_batch *failed = pkf_batch_new_failed("t", 1, 0, -1001, NULL, false);
    NEED(failed);
    pkf_accum_let_go(failed, pkf_batch_state(failed)); // it has no accumulator
    pkf_batch_unref(batch);
    pkf_accum_end_owing(r.accum);
    rig_close(&r);
}

static void after_the_end_nothing_is_owed(void) {
    open_rig();
    pkf_batch *batch = batch_with(3);
    pkf_accum_let_go(batch, 0);
    pkf_accum_end_owing(r.accum);
    CHECK_INT(refs(batch), 2);
    pkf_accum_let_go(batch, 0);
    CHECK_INT(refs(batch), 1);
    pkf_accum_let_go(batch, 0);
    rig_close(&r);
}

int main(void) {
    futures_that_go_are_given_back_together();
    those_of_a_batch_that_is_done_go_at_once();
    after_the_end_nothing_is_owed();
    return FINISH();
}
