// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

static rig r;
static peer_request request;
static peer_response out;

static void open_with(const pkf_wire_config *wire, int32_t partitions) {
    pkf_accum_config accum = RIG_ACCUM;
    rig_open(&r, &accum, wire, partitions);
    rig_lead(&r, 0, 1);
}

static void open_rig(int32_t partitions) {
    pkf_wire_config wire = RIG_WIRE;
    open_with(&wire, partitions);
}

static void receive(int peer, int32_t batches) {
    rig_step(&r);
    NEED(peer_receive(peer, &request, 1000) == 1);
    CHECK_INT(request.batch_count, batches);
}

static void answer_bytes(int peer) {
    peer_send(peer, out.bytes, out.size);
    rig_step(&r);
}

static bool connected(void) { return r.wire->nodes[0]->conn != NULL; }

static void a_late_answer_ends_the_connection_and_all_requests_on_it(void) {
    open_rig(2);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot slots[2] = {rig_batch(&r, 0, "a")};
    rig_step(&r);
    rig_advance(&r, 20000);
    slots[1] = rig_batch(&r, 1, "b");
    rig_step(&r);
    rig_advance(&r, 10000);
    rig_step(&r);
    CHECK(!connected() && rig_saw(&r, PKF_EVENT_CONNECTION_LOST));
    for (int i = 0; i < 2; i++) {
        pkf_event *event = rig_event(&r, PKF_EVENT_PARKED);
        NEED(event);
        CHECK(event->code == 7 && event->in_doubt && event->batch == slots[i].batch);
        rig_settle(&r, event, PKF_COMMAND_FAIL);
    }
    rig_step(&r);
    rig_forget(&slots[0]);
    rig_forget(&slots[1]);
    close(peer);
    rig_close(&r);
}

// After a suspension the answers are there, unread: they count, and what they make ready leaves without another event.
static void answers_are_read_before_time_is_called(void) {
    pkf_wire_config wire = RIG_WIRE;
    wire.max_in_flight = 1;
    open_with(&wire, 1);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot first = rig_batch(&r, 0, "a"), second = rig_batch(&r, 0, "b");
    receive(peer, 1);
    peer_reply(peer, &request, 0, 0);
    r.wire->now += 31000 * RIG_MS;
    int64_t due = pkf_wire_check_times(r.wire, r.wire->nodes[0]);
    CHECK(connected() && rig_is_done(&first) && !rig_is_done(&second));
    CHECK(due <= r.wire->now || !pkf_wire_can_serve(r.wire, r.wire->nodes[0]));
    r.skew_ns += 31000 * RIG_MS;
    receive(peer, 1);
    peer_reply(peer, &request, 0, 1);
    rig_step(&r);
    CHECK(rig_is_done(&second));
    rig_forget(&first);
    rig_forget(&second);
    close(peer);
    rig_close(&r);
}

// The broker said so in the handshake, before there was a connection here.
static void a_broker_that_throttles_from_the_start(void) {
    open_rig(1);
    pkf_command *command = pkf_command_new(PKF_COMMAND_THROTTLE);
    NEED(command);
    command->node = 0;
    command->delay_ns = 400 * RIG_MS;
    pkf_wire_command(r.wire, command);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot slot = rig_batch(&r, 0, "a");
    rig_step(&r);
    rig_advance(&r, 390);
    rig_step(&r);
    CHECK_INT(peer_receive(peer, &request, 0), 0);
    rig_advance(&r, 11);
    receive(peer, 1);
    CHECK_INT(atomic_load(&r.wire->counters.throttle_ms), 400);
    CHECK_INT(atomic_load(&r.wire->counters.throttle_max_ms), 400);
    peer_reply(peer, &request, 0, 0);
    rig_step(&r);
    rig_forget(&slot);
    close(peer);
    rig_close(&r);
}

static void a_throttled_broker_is_left_alone(void) {
    open_rig(2);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot slots[3] = {rig_batch(&r, 0, "a"), rig_batch(&r, 0, "b")};
    peer_request held = {.frame = NULL};
    rig_step(&r);
    NEED(peer_receive(peer, &held, 1000) == 1);
    receive(peer, 1);
    peer_answer a = PEER_ANSWER;
    peer_build(&out, &held, &a, 5000);
    answer_bytes(peer);
    slots[2] = rig_batch(&r, 1, "c");
    rig_step(&r);
    CHECK_INT(peer_receive(peer, &held, 0), 0);
    rig_advance(&r, 4000);
    rig_step(&r);
    CHECK_INT(peer_receive(peer, &held, 0), 0);
    rig_advance(&r, 26500); // the second request's deadline has moved, too
    rig_step(&r);
    CHECK(connected());
    NEED(peer_receive(peer, &held, 1000) == 1);
    rig_advance(&r, 5000);
    rig_step(&r);
    CHECK(!connected());
    for (int i = 0; i < 2; i++) rig_settle(&r, rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_FAIL);
    rig_step(&r);
    CHECK_INT(atomic_load(&r.wire->counters.throttle_ms), 5000);
    for (int i = 0; i < 3; i++) rig_forget(&slots[i]);
    free(held.frame);
    close(peer);
    rig_close(&r);
}

// What was not through in time is not sent as large again; what takes a quarter of the time may be twice as large.
static void requests_are_as_large_as_gets_through_in_time(void) {
    static char value[45000];
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    pkf_slot slots[10];
    accum.max_request_size = 200000;
    wire.max_in_flight = 1;
    rig_open(&r, &accum, &wire, 10);
    rig_lead(&r, 0, 1);
    int old = rig_connect(&r, 0, 12);
    memset(value, 'x', sizeof value - 1);
    for (int i = 0; i < 10; i++) slots[i] = rig_batch(&r, i, value);
    receive(old, 4);
    rig_advance(&r, 30000);
    rig_step(&r);
    CHECK(!connected());
    int peer = rig_connect(&r, 0, 12);
    for (int i = 0; i < 4; i++) rig_settle(&r, rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_REQUEUE);
    receive(peer, 2);
    rig_advance(&r, 10000);
    peer_reply(peer, &request, 0, 0);
    receive(peer, 2);
    rig_advance(&r, 5000);
    peer_reply(peer, &request, 0, 0);
    receive(peer, 4);
    peer_reply(peer, &request, 0, 0);
    receive(peer, 2);
    peer_reply(peer, &request, 0, 0);
    rig_step(&r);
    for (int i = 0; i < 10; i++) {
        CHECK(rig_is_done(&slots[i]));
        rig_forget(&slots[i]);
    }
    close(old);
    close(peer);
    rig_close(&r);
}

// However often its time was up, a request holds a batch, or 16 KB of them.
static void a_request_holds_something_however_slow_the_link(void) {
    static char value[7000], large[45000];
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    pkf_slot slots[5];
    int peer = -1;
    rig_open(&r, &accum, &wire, 5);
    rig_lead(&r, 0, 1);
    memset(value, 'x', sizeof value - 1);
    memset(large, 'x', sizeof large - 1);
    slots[0] = rig_batch(&r, 0, large);
    for (int i = 0; i < 3; i++) {
        peer = rig_connect(&r, 0, 12);
        receive(peer, 1);
        rig_advance(&r, 30000);
        rig_step(&r);
        CHECK(!connected());
        close(peer);
        rig_settle(&r, rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_REQUEUE);
    }
    for (int i = 1; i < 5; i++) slots[i] = rig_batch(&r, i, value);
    r.wire->config.max_in_flight = 1;
    peer = rig_connect(&r, 0, 12);
    for (int sent = 0; sent < 5; sent += request.batch_count) {
        receive(peer, sent == 0 ? 1 : 2);
        rig_advance(&r, 10000);
        peer_reply(peer, &request, 0, 0);
    }
    rig_step(&r);
    for (int i = 0; i < 5; i++) {
        CHECK(rig_is_done(&slots[i]));
        rig_forget(&slots[i]);
    }
    close(peer);
    rig_close(&r);
}

static void an_idle_connection_is_closed(void) {
    pkf_wire_config wire = RIG_WIRE;
    wire.idle_timeout_ns = 100000 * RIG_MS;
    open_with(&wire, 1);
    int peer = rig_connect(&r, 0, 12);
    rig_step(&r);
    rig_advance(&r, 90000);
    rig_step(&r);
    CHECK(connected());
    rig_advance(&r, 20000);
    rig_step(&r);
    CHECK(!connected() && rig_saw(&r, PKF_EVENT_CONNECTION_LOST));
    CHECK(!rig_saw(&r, PKF_EVENT_NEED_CONNECTION)); // nobody needs it
    pkf_slot slot = rig_batch(&r, 0, "a");
    rig_step(&r);
    CHECK(rig_saw(&r, PKF_EVENT_NEED_CONNECTION));
    rig_forget(&slot);
    close(peer);
    rig_close(&r);
}

static void a_new_connection_replaces_the_old_one(void) {
    open_rig(1);
    int old = rig_connect(&r, 0, 12);
    pkf_slot slot = rig_batch(&r, 0, "a");
    receive(old, 1);
    int peer = rig_connect(&r, 0, 12);
    rig_step(&r);
    CHECK_INT(peer_receive(old, &request, 1000), -1);
    rig_settle(&r, rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_REQUEUE);
    receive(peer, 1);
    peer_reply(peer, &request, 0, 0);
    rig_step(&r);
    CHECK(rig_is_done(&slot));
    CHECK_INT(atomic_load(&r.wire->counters.connections), 1);
    CHECK_INT(atomic_load(&r.wire->counters.in_flight), 0);
    rig_forget(&slot);
    close(old);
    close(peer);
    rig_close(&r);
}

int main(void) {
    a_late_answer_ends_the_connection_and_all_requests_on_it();
    answers_are_read_before_time_is_called();
    a_broker_that_throttles_from_the_start();
    a_throttled_broker_is_left_alone();
    requests_are_as_large_as_gets_through_in_time();
    a_request_holds_something_however_slow_the_link();
    an_idle_connection_is_closed();
    a_new_connection_replaces_the_old_one();
    free(request.frame);
    return FINISH();
}
