// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

static rig r;
static peer_request request;

static void open_rig(int32_t partitions) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    rig_open(&r, &accum, &wire, partitions);
    rig_lead(&r, 0, 1);
}

static void receive(int peer, int32_t batches) {
    rig_step(&r);
    NEED(peer_receive(peer, &request, 1000) == 1);
    CHECK_INT(request.batch_count, batches);
}

static void receive_nothing(int peer) {
    rig_step(&r);
    CHECK_INT(peer_receive(peer, &request, 0), 0);
}

static void answer(int peer) {
    peer_reply(peer, &request, 0, 0);
    rig_step(&r);
}

// ---- when a batch leaves ----

static void it_lingers_then_leaves(void) {
    open_rig(2);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot a = rig_append(&r, 0, "a"), b = rig_append(&r, 0, "b");
    CHECK(a.batch == b.batch && b.index == 1);
    receive_nothing(peer);
    rig_advance(&r, 1000);
    receive(peer, 1);
    CHECK_INT(request.batches[0].count, 2);
    pkf_slot c = rig_append(&r, 0, "c");
    CHECK(c.batch != a.batch); // what was collected takes no more
    rig_advance(&r, 1000);
    receive_nothing(peer); // it would not be full, and one is in flight: it waits and grows
    pkf_slot d = rig_append(&r, 0, "d");
    CHECK(d.batch == c.batch);
    answer(peer);
    receive(peer, 1);
    CHECK_INT(request.batches[0].count, 2);
    answer(peer);
    CHECK(rig_is_done(&d));
    rig_forget(&a), rig_forget(&b), rig_forget(&c), rig_forget(&d);
    close(peer);
    rig_close(&r);
}

static void patience_ends(void) {
    open_rig(1);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot a = rig_batch(&r, 0, "a"), b;
    receive(peer, 1);
    b = rig_append(&r, 0, "b");
    rig_advance(&r, 1500);
    receive_nothing(peer);
    rig_advance(&r, 500);
    receive(peer, 1); // linger and patience are over, the first is still in flight
    rig_forget(&a), rig_forget(&b);
    close(peer);
    rig_close(&r);
}

// The interval of pkf_pace.h holds up what is small, and nothing that is large enough or waited for.
static void small_batches_keep_the_pace_of_a_crowd(void) {
    static char large[4000];
    memset(large, 'x', sizeof large - 1);
    open_rig(3);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot slots[6];
    for (int i = 0; i < 3; i++) slots[i] = rig_append(&r, i, "a");
    rig_advance(&r, 1000);
    receive(peer, 3);
    answer(peer);
    r.wire->pace.floor_ns = 1;
    r.wire->pace.ns = 5000 * RIG_MS;
    r.wire->pace.window_ns = INT64_MAX / 2; // no window ends
    slots[3] = rig_append(&r, 0, "small");
    slots[4] = rig_append(&r, 1, large);
    slots[5] = rig_append(&r, 2, "waited for");
    pkf_accum_hurry(r.accum, slots[5].batch);
    receive(peer, 2);
    answer(peer);
    CHECK(rig_is_done(&slots[4]) && rig_is_done(&slots[5]));
    rig_advance(&r, 3000); // linger is long over
    receive_nothing(peer);
    rig_advance(&r, 2000);
    receive(peer, 1);
    answer(peer);
    for (int i = 0; i < 6; i++) rig_forget(&slots[i]);
    close(peer);
    rig_close(&r);
}

static void what_somebody_waits_for_does_not_linger(void) {
    open_rig(1);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot a = rig_append(&r, 0, "a");
    pkf_accum_hurry(r.accum, a.batch);
    receive(peer, 1);
    answer(peer);
    rig_forget(&a);
    a = rig_append(&r, 0, "b");
    pkf_accum_force(r.accum, 1);
    receive(peer, 1);
    answer(peer);
    rig_forget(&a);
    pkf_accum_force(r.accum, -1);
    a = rig_append(&r, 0, "c");
    receive_nothing(peer);
    rig_command(&r, PKF_COMMAND_CLOSE, 0, 0, 0);
    pkf_accum_close(r.accum);
    receive(peer, 1);
    CHECK(!rig_saw(&r, PKF_EVENT_DRAINED));
    answer(peer);
    rig_forget(&a);
    close(peer);
    rig_close(&r);
}

static void large_enough_leaves_at_once(void) {
    static char value[4000];
    open_rig(1);
    int peer = rig_connect(&r, 0, 12);
    memset(value, 'x', sizeof value - 1);
    pkf_slot a = rig_append(&r, 0, value);
    receive(peer, 1); // batch_size is reached
    pkf_slot b = rig_append(&r, 0, value), c = rig_append(&r, 0, value);
    CHECK(b.batch == c.batch); // and grows beyond it while it waits
    receive_nothing(peer);
    answer(peer);
    receive(peer, 1);
    CHECK(request.batches[0].size > 8000);
    rig_forget(&a), rig_forget(&b), rig_forget(&c);
    close(peer);
    rig_close(&r);
}

static void a_batch_that_cannot_leave_closes_in_time(void) {
    open_rig(2);
    pkf_slot a = rig_append(&r, 0, "a"), b; // there is no connection
    rig_step(&r);
    rig_advance(&r, 29000);
    rig_step(&r);
    b = rig_append(&r, 0, "b");
    CHECK(b.batch == a.batch);
    rig_forget(&b);
    rig_advance(&r, 2010); // a quarter of the delivery time-out, and linger
    CHECK(pkf_deadlines_next(&r.wire->deadlines) <= pkf_monotonic_ns() + r.skew_ns);
    rig_step(&r);
    b = rig_append(&r, 0, "b");
    CHECK(b.batch != a.batch);
    rig_forget(&a), rig_forget(&b);
    rig_close(&r);
}

// ---- what goes into a request ----

static void a_request_takes_one_batch_of_each_ready_partition(void) {
    enum { COUNT = 12 };
    int32_t leaders[COUNT] = {0};
    pkf_slot slots[2 * COUNT];
    open_rig(COUNT);
    pkf_topic *other = pkf_topic_new(r.accum, "other", 5), *mine = r.topic;
    NEED(other && pkf_topic_set_route(other, COUNT, leaders) == PKF_OK);
    rig_lead_topic(&r, other, COUNT, 0, 1);
    int peer = rig_connect(&r, 0, 12);
    for (int i = 0; i < 2 * COUNT; i++) { // the topics in turn
        r.topic = i % 2 ? other : mine;
        slots[i] = rig_batch(&r, i / 2, "x");
    }
    r.topic = mine;
    receive(peer, 2 * COUNT);
    for (int i = 1; i < 2 * COUNT; i++) // each topic once
        CHECK_INT(strcmp(request.batches[i].topic, request.batches[i - 1].topic) != 0, i == COUNT);
    answer(peer);
    for (int i = 0; i < 2 * COUNT; i++) {
        CHECK(rig_is_done(&slots[i]));
        rig_forget(&slots[i]);
    }
    close(peer);
    rig_close(&r);
}

static void a_request_is_no_larger_than_allowed(void) {
    static char value[3000];
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    pkf_slot slots[10];
    int got = 0, requests = 0;
    accum.max_request_size = 10000;
    rig_open(&r, &accum, &wire, 10);
    rig_lead(&r, 0, 1);
    int peer = rig_connect(&r, 0, 12);
    memset(value, 'x', sizeof value - 1);
    for (int i = 0; i < 10; i++) slots[i] = rig_batch(&r, i, value);
    for (; got < 10; got += request.batch_count, requests++) {
        rig_step(&r);
        NEED(peer_receive(peer, &request, 1000) == 1);
        CHECK(request.batch_count <= 3);
        answer(peer);
    }
    CHECK_INT(requests, 4);
    for (int i = 0; i < 10; i++) rig_forget(&slots[i]);
    close(peer);
    rig_close(&r);
}

static void in_flight_is_bounded_and_partitions_take_turns(void) {
    open_rig(2);
    pkf_slot slots[8];
    peer_request held[5];
    int peer = rig_connect(&r, 0, 12), seen[2] = {0};
    for (int i = 0; i < 8; i++) slots[i] = rig_batch(&r, i % 2, "x");
    r.wire->config.max_in_flight = 3;
    memset(held, 0, sizeof held);
    rig_step(&r);
    int requests = 0;
    for (; requests < 5 && peer_receive(peer, &held[requests], 0) == 1; requests++)
        for (int i = 0; i < held[requests].batch_count; i++) seen[held[requests].batches[i].partition]++;
    CHECK_INT(requests, 3);
    CHECK(seen[0] == 3 && seen[1] == 3);
    for (int i = 0; i < requests; i++) peer_reply(peer, &held[i], 0, i);
    receive(peer, 2);
    answer(peer);
    for (int i = 0; i < 5; i++) free(held[i].frame);
    for (int i = 0; i < 8; i++) {
        CHECK(rig_is_done(&slots[i]));
        rig_forget(&slots[i]);
    }
    close(peer);
    rig_close(&r);
}

// ---- leaders ----

static void a_leader_can_move(void) {
    open_rig(1);
    int old = rig_connect(&r, 0, 12), new = rig_connect(&r, 1, 12);
    pkf_slot a = rig_batch(&r, 0, "a");
    receive(old, 1);
    peer_reply(old, &request, 6, -1);
    rig_step(&r);
    pkf_command *command = rig_decide(rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_REQUEUE);
    command->delay_ns = 60000 * RIG_MS;
    pkf_wire_command(r.wire, command);
    receive_nothing(old);
    rig_command(&r, PKF_COMMAND_LEADER, 1, 0, 2); // newer: no reason to wait
    receive(new, 1);
    peer_reply(new, &request, 6, -1);
    rig_step(&r);
    rig_settle(&r, rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_REQUEUE);
    rig_command(&r, PKF_COMMAND_LEADER, -1, 0, 3);
    receive_nothing(new);
    CHECK(rig_saw(&r, PKF_EVENT_UNKNOWN_LEADER));
    rig_command(&r, PKF_COMMAND_LEADER, 7, 0, 4);
    receive_nothing(new);
    CHECK(rig_saw(&r, PKF_EVENT_NEED_CONNECTION));
    receive_nothing(new);
    CHECK(!rig_saw(&r, PKF_EVENT_NEED_CONNECTION)); // once ...
    rig_command(&r, PKF_COMMAND_FORGET, 7, 0, 0);
    rig_step(&r);
    CHECK(rig_saw(&r, PKF_EVENT_NEED_CONNECTION)); // ... and again when it came to nothing
    int third = rig_connect(&r, 7, 12);
    receive(third, 1);
    peer_reply(third, &request, 0, 1);
    rig_step(&r);
    CHECK(rig_is_done(&a) && a.batch->attempts == 2);
    rig_forget(&a);
    close(old), close(new), close(third);
    rig_close(&r);
}

int main(void) {
    it_lingers_then_leaves();
    patience_ends();
    small_batches_keep_the_pace_of_a_crowd();
    what_somebody_waits_for_does_not_linger();
    large_enough_leaves_at_once();
    a_batch_that_cannot_leave_closes_in_time();
    a_request_takes_one_batch_of_each_ready_partition();
    a_request_is_no_larger_than_allowed();
    in_flight_is_bounded_and_partitions_take_turns();
    a_leader_can_move();
    free(request.frame);
    return FINISH();
}
