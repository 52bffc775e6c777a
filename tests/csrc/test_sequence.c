// SPDX-License-Identifier: Apache-2.0
//
// Sequences of idempotent producers (pkf_collect.c assigns them, pkf_settle.c accounts for them).
#include "rig.h"

static rig r;
static peer_request request, held;

static void open_rig(int32_t partitions) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    wire.idempotent = true;
    rig_open(&r, &accum, &wire, partitions);
    rig_lead(&r, 0, 1);
}

static void receive(int peer, peer_request *into) {
    rig_step(&r);
    NEED(peer_receive(peer, into, 1000) == 1);
}

static void receive_nothing(int peer) {
    rig_step(&r);
    CHECK_INT(peer_receive(peer, &request, 0), 0);
}

static void check_sent(const peer_request *from, int64_t id, int16_t epoch, int32_t sequence) {
    CHECK_INT(from->batches[0].producer_id, id);
    CHECK_INT(from->batches[0].epoch, epoch);
    CHECK_INT(from->batches[0].sequence, sequence);
}

static void answer(int peer, const peer_request *to, int16_t code) {
    peer_reply(peer, to, code, 0);
    rig_step(&r);
}

static void requeue(const pkf_batch *wanted, bool refused, bool in_doubt) {
    rig_judge(&r, wanted, PKF_COMMAND_REQUEUE, refused, in_doubt);
}

// A first batch is acknowledged: until then a broker takes any sequence for the first, so no second one is sent.
static int begin(int32_t max_in_flight) {
    open_rig(1);
    r.wire->config.max_in_flight = max_in_flight;
    int peer = rig_connect(&r, 0, 12);
    rig_producer(&r, 31, 0);
    pkf_slot first = rig_batch(&r, 0, "first"), second = rig_batch(&r, 0, "second");
    receive(peer, &request);
    check_sent(&request, 31, 0, 0);
    receive_nothing(peer);
    answer(peer, &request, 0);
    receive(peer, &request);
    check_sent(&request, 31, 0, 1);
    answer(peer, &request, 0);
    rig_forget(&first), rig_forget(&second);
    return peer;
}

static void nothing_leaves_before_there_is_an_id(void) {
    open_rig(2);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot a = rig_batch(&r, 0, "a");
    receive_nothing(peer);
    CHECK(rig_saw(&r, PKF_EVENT_NEED_PRODUCER_ID));
    pkf_slot b = rig_batch(&r, 1, "b");
    receive_nothing(peer);
    CHECK(!rig_saw(&r, PKF_EVENT_NEED_PRODUCER_ID));
    rig_producer(&r, -1, -1);
    receive_nothing(peer);
    CHECK(rig_saw(&r, PKF_EVENT_NEED_PRODUCER_ID)); // asked again after a refusal
    rig_producer(&r, 31, 4);
    receive(peer, &request);
    CHECK_INT(request.batch_count, 2);
    check_sent(&request, 31, 4, 0);
    answer(peer, &request, 0);
    rig_forget(&a), rig_forget(&b);
    close(peer);
    rig_close(&r);
}

static void sequences_count_records_and_wrap(void) {
    open_rig(1);
    int peer = rig_connect(&r, 0, 12);
    rig_producer(&r, 31, 4);
    rig_step(&r);
    pkf_slot slots[4];
    rig_part(&r, 0)->producer_id = 31;
    rig_part(&r, 0)->producer_epoch = 4;
    rig_part(&r, 0)->next_sequence = INT32_MAX - 1;
    int32_t wanted[] = {INT32_MAX - 1, 1, 2}; // the first has three records: INT32_MAX - 1, INT32_MAX, 0
    slots[0] = rig_append(&r, 0, "a");
    slots[1] = rig_append(&r, 0, "b");
    for (int i = 0; i < 3; i++) {
        slots[i ? i + 1 : 2] = rig_batch(&r, 0, "c");
        receive(peer, &request);
        check_sent(&request, 31, 4, wanted[i]);
        answer(peer, &request, 0);
        CHECK_INT(rig_part(&r, 0)->last_acked_sequence, wanted[i] == INT32_MAX - 1 ? 0 : wanted[i]);
        if (i)
            rig_forget(&slots[i + 1]);
        else
            rig_forget(&slots[2]);
    }
    CHECK(!rig_saw(&r, PKF_EVENT_GAP));
    rig_forget(&slots[0]), rig_forget(&slots[1]);
    close(peer);
    rig_close(&r);
}

static void at_most_five_are_unresolved(void) {
    int peer = begin(20);
    pkf_slot slots[8];
    for (int i = 0; i < 8; i++) slots[i] = rig_batch(&r, 0, "x");
    rig_step(&r);
    for (int i = 0; i < 5; i++) {
        NEED(peer_receive(peer, i ? &request : &held, 1000) == 1);
        check_sent(i ? &request : &held, 31, 0, 2 + i);
    }
    receive_nothing(peer);
    answer(peer, &held, 0);
    receive(peer, &held);
    check_sent(&held, 31, 0, 7);
    for (int i = 0; i < 8; i++) rig_forget(&slots[i]);
    close(peer);
    rig_close(&r);
}

// A connection is lost with several batches on it: they go again, one by one, with the sequences they had.
static void retries_keep_their_sequences(void) {
    int peer = begin(5);
    pkf_slot slots[5];
    for (int i = 0; i < 5; i++) slots[i] = rig_batch(&r, 0, "x");
    rig_step(&r);
    close(peer);
    rig_step(&r);
    peer = rig_connect(&r, 0, 12);
    for (int i = 0; i < 5; i++) requeue(slots[i].batch, false, false);
    rig_producer(&r, 31, 1); // another partition caused that; these belong to the old epoch
    pkf_slot fresh = rig_batch(&r, 0, "y");
    for (int i = 0; i < 5; i++) {
        receive(peer, &request);
        check_sent(&request, 31, 0, 2 + i);
        receive_nothing(peer);
        answer(peer, &request, 0);
    }
    receive(peer, &request);
    check_sent(&request, 31, 1, 0);
    answer(peer, &request, 0);
    for (int i = 0; i < 5; i++) {
        CHECK(rig_is_done(&slots[i]) && slots[i].batch->code == 0);
        rig_forget(&slots[i]);
    }
    rig_forget(&fresh);
    close(peer);
    rig_close(&r);
}

// A batch that is ready, and waits for the connection only, when the epoch is bumped: it waits for those of the old epoch.
static void a_bump_holds_back_what_was_ready(void) {
    int peer = begin(1);
    pkf_slot first = rig_batch(&r, 0, "a");
    receive(peer, &held);
    r.wire->config.max_in_flight = 5; // the partition may pipeline; the connection is full
    pkf_slot second = rig_batch(&r, 0, "b");
    receive_nothing(peer);
    CHECK(rig_part(&r, 0)->ready_node >= 0);
    rig_producer(&r, 31, 1);
    rig_step(&r);
    CHECK_INT(rig_part(&r, 0)->ready_node, -1);
    peer_reply(peer, &held, 19, 0);
    rig_step(&r);
    requeue(first.batch, false, false);
    receive(peer, &request);
    check_sent(&request, 31, 0, 2);
    answer(peer, &request, 0);
    receive(peer, &request);
    check_sent(&request, 31, 1, 0);
    answer(peer, &request, 0);
    rig_forget(&first), rig_forget(&second);
    close(peer);
    rig_close(&r);
}

// ---- gaps ----

static pkf_slot gap_slots[4];

// Four batches under way, the second fails for good, the two behind it come back: they cannot be written any more.
static int make_gap(void) {
    int peer = begin(5);
    for (int i = 0; i < 4; i++) gap_slots[i] = rig_batch(&r, 0, "x");
    rig_step(&r);
    for (int i = 0; i < 4; i++) {
        NEED(peer_receive(peer, &request, 1000) == 1);
        check_sent(&request, 31, 0, 2 + i);
        peer_reply(peer, &request, i == 0 ? 0 : i == 1 ? 10 : 45, 0);
    }
    rig_step(&r);
    CHECK(rig_is_done(&gap_slots[0]));
    CHECK(!rig_saw(&r, PKF_EVENT_GAP));
    pkf_event *event = rig_event(&r, PKF_EVENT_PARKED);
    NEED(event && event->batch == gap_slots[1].batch);
    rig_settle(&r, event, PKF_COMMAND_FAIL);
    rig_step(&r);
    CHECK(rig_is_done(&gap_slots[1]) && !rig_saw(&r, PKF_EVENT_GAP));
    requeue(gap_slots[2].batch, false, false);
    CHECK(!rig_saw(&r, PKF_EVENT_GAP)); // not before all are back
    requeue(gap_slots[3].batch, false, false);
    pkf_event *gap = rig_event(&r, PKF_EVENT_GAP);
    NEED(gap);
    CHECK(gap->topic == r.topic && gap->partition == 0);
    pkf_event_free(gap);
    receive_nothing(peer);
    CHECK(!rig_saw(&r, PKF_EVENT_GAP));
    return peer;
}

static void close_gap(int peer) {
    for (int i = 0; i < 4; i++) rig_forget(&gap_slots[i]);
    close(peer);
    rig_close(&r);
}

static void after_a_gap_sequences_start_anew(void) {
    int peer = make_gap();
    pkf_slot fresh = rig_batch(&r, 0, "fresh");
    receive_nothing(peer); // everything of the partition waits
    rig_producer(&r, 31, 1);
    receive_nothing(peer);
    rig_command(&r, PKF_COMMAND_RESTART, 0, 0, 0);
    for (int i = 0; i < 3; i++) {
        receive(peer, &request);
        check_sent(&request, 31, 1, i);
        if (i < 1) receive_nothing(peer); // retries go alone
        answer(peer, &request, 0);
    }
    for (int i = 2; i < 4; i++) CHECK(rig_is_done(&gap_slots[i]) && gap_slots[i].batch->code == 0);
    CHECK(rig_is_done(&fresh));
    CHECK_INT(rig_part(&r, 0)->sequenced_count, 0);
    CHECK(!rig_saw(&r, PKF_EVENT_GAP));
    rig_forget(&fresh);
    close_gap(peer);
}

static void a_restart_that_comes_too_late_is_asked_for_again(void) {
    int peer = make_gap();
    gap_slots[3].batch->maybe_written = true; // as if its connection had been lost
    gap_slots[2].batch->created_ns -= 120000 * RIG_MS;
    rig_advance(&r, 1);
    pkf_wire_evaluate(r.wire, rig_part(&r, 0)); // the first expires; the next is in doubt and goes again as it was
    CHECK(rig_is_done(&gap_slots[2]));
    receive(peer, &request);
    check_sent(&request, 31, 0, 5);
    rig_producer(&r, 31, 1);
    rig_command(&r, PKF_COMMAND_RESTART, 0, 0, 0);
    rig_step(&r);
    answer(peer, &request, 45);
    CHECK_INT(rig_part(&r, 0)->sequenced_count, 1);
    requeue(gap_slots[3].batch, true, false);
    CHECK(rig_saw(&r, PKF_EVENT_GAP));
    rig_producer(&r, 31, 2);
    rig_command(&r, PKF_COMMAND_RESTART, 0, 0, 0);
    receive(peer, &request);
    check_sent(&request, 31, 2, 0);
    answer(peer, &request, 0);
    CHECK(rig_is_done(&gap_slots[3]) && gap_slots[3].batch->code == 0);
    CHECK_INT(rig_part(&r, 0)->sequenced_count, 0);
    close_gap(peer);
}

// The first of the batches may have been written: it goes again under its old sequence before anything else happens.
static void doubt_is_settled_before_a_gap(void) {
    int peer = begin(5);
    pkf_slot a = rig_batch(&r, 0, "a"), b = rig_batch(&r, 0, "b");
    rig_step(&r);
    close(peer);
    rig_step(&r);
    requeue(a.batch, false, false);
    rig_settle(&r, rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_FAIL); // b: its retries are used up
    peer = rig_connect(&r, 0, 12);
    receive(peer, &request);
    CHECK(!rig_is_done(&b)); // in order
    check_sent(&request, 31, 0, 2);
    CHECK(!rig_saw(&r, PKF_EVENT_GAP));
    answer(peer, &request, 0);
    CHECK(rig_is_done(&a) && a.batch->code == 0 && rig_is_done(&b) && b.batch->code == 13);
    CHECK(rig_saw(&r, PKF_EVENT_GAP));
    rig_forget(&a), rig_forget(&b);
    close(peer);
    rig_close(&r);
}

// The one that failed had been written after all: what came later was accepted, so no sequence is missing.
static void no_gap_if_later_batches_are_accepted(void) {
    int peer = begin(5);
    r.wire->nodes[0]->conn->config.request_timeout_ns = PKF_NEVER / 4;
    pkf_slot a = rig_batch(&r, 0, "a");
    receive(peer, &held);
    rig_advance(&r, 120000);
    rig_step(&r);
    CHECK(rig_is_done(&a)); // expired in flight
    pkf_slot b = rig_batch(&r, 0, "b");
    receive(peer, &request);
    check_sent(&request, 31, 0, 3);
    peer_reply(peer, &held, 7, 0);
    answer(peer, &request, 0);
    CHECK(rig_is_done(&b) && b.batch->code == 0);
    CHECK(!rig_saw(&r, PKF_EVENT_GAP));
    CHECK_INT(rig_part(&r, 0)->gap, 0);
    rig_forget(&a), rig_forget(&b);
    close(peer);
    rig_close(&r);
}

static void an_abort_is_a_gap_once_something_is_sent_again(void) {
    open_rig(1);
    int peer = rig_connect(&r, 0, 12);
    rig_producer(&r, 31, 0);
    pkf_slot a = rig_batch(&r, 0, "a");
    receive(peer, &request);
    rig_command(&r, PKF_COMMAND_ABORT, 0, 0, 0);
    rig_step(&r);
    CHECK(rig_is_done(&a));
    close(peer);
    peer = rig_connect(&r, 0, 12);
    pkf_slot b = rig_batch(&r, 0, "b");
    receive_nothing(peer);
    CHECK(rig_saw(&r, PKF_EVENT_GAP));
    rig_producer(&r, 31, 1);
    rig_command(&r, PKF_COMMAND_RESTART, 0, 0, 0);
    receive(peer, &request);
    check_sent(&request, 31, 1, 0);
    answer(peer, &request, 0);
    rig_forget(&a), rig_forget(&b);
    close(peer);
    rig_close(&r);
}

// Checklist item TM8: 2^31 - 1 is followed by 0, with a hundred records in one batch, with five batches in flight, and
// when all of them have to be sent again.
static void tm8_numbers_wrap_in_flight(void) {
    int peer = begin(5);
    pkf_slot slots[100], five[5];
    rig_part(&r, 0)->next_sequence = INT32_MAX;
    rig_part(&r, 0)->last_acked_sequence = INT32_MAX - 1;
    for (int i = 0; i < 99; i++) slots[i] = rig_append(&r, 0, "x");
    slots[99] = rig_batch(&r, 0, "x");
    receive(peer, &request);
    check_sent(&request, 31, 0, INT32_MAX);
    CHECK_INT(rig_part(&r, 0)->next_sequence, 99);
    answer(peer, &request, 0);
    CHECK_INT(rig_part(&r, 0)->last_acked_sequence, 98);
    for (int i = 0; i < 100; i++) rig_forget(&slots[i]);
    rig_part(&r, 0)->next_sequence = INT32_MAX - 1;
    rig_part(&r, 0)->last_acked_sequence = INT32_MAX - 2;
    const int32_t wanted[] = {INT32_MAX - 1, INT32_MAX, 0, 1, 2};
    for (int i = 0; i < 5; i++) five[i] = rig_batch(&r, 0, "x");
    rig_step(&r);
    for (int i = 0; i < 5; i++) {
        NEED(peer_receive(peer, &request, 1000) == 1);
        check_sent(&request, 31, 0, wanted[i]);
    }
    close(peer);
    rig_step(&r);
    peer = rig_connect(&r, 0, 12);
    for (int i = 0; i < 5; i++) requeue(five[i].batch, false, true);
    for (int i = 0; i < 5; i++) {
        receive(peer, &request);
        check_sent(&request, 31, 0, wanted[i]);
        receive_nothing(peer);
        answer(peer, &request, 0);
        CHECK_INT(rig_part(&r, 0)->last_acked_sequence, wanted[i]);
    }
    CHECK(!rig_saw(&r, PKF_EVENT_GAP));
    for (int i = 0; i < 5; i++) {
        CHECK(rig_is_done(&five[i]) && five[i].batch->code == 0);
        rig_forget(&five[i]);
    }
    close(peer);
    rig_close(&r);
}

// The same at the end of the numbers: the failed one had been written, which the acknowledgement of number 0 shows.
static void tm8_no_gap_over_the_wrap(void) {
    int peer = begin(5);
    r.wire->nodes[0]->conn->config.request_timeout_ns = PKF_NEVER / 4;
    rig_part(&r, 0)->next_sequence = INT32_MAX;
    rig_part(&r, 0)->last_acked_sequence = INT32_MAX - 1;
    pkf_slot a = rig_batch(&r, 0, "a");
    receive(peer, &held);
    check_sent(&held, 31, 0, INT32_MAX);
    rig_advance(&r, 120000);
    rig_step(&r);
    CHECK(rig_is_done(&a));
    pkf_slot b = rig_batch(&r, 0, "b");
    receive(peer, &request);
    check_sent(&request, 31, 0, 0);
    peer_reply(peer, &held, 7, 0);
    answer(peer, &request, 0);
    CHECK(rig_is_done(&b) && b.batch->code == 0);
    CHECK(!rig_saw(&r, PKF_EVENT_GAP));
    CHECK_INT(rig_part(&r, 0)->gap, 0);
    rig_forget(&a), rig_forget(&b);
    close(peer);
    rig_close(&r);
}

// A broker forgets a producer that is silent for long (producer.id.expiration.ms), and takes any sequence then.
static void after_a_silence_one_goes_alone(int64_t silence_ms, int at_once) {
    int peer = begin(5);
    pkf_slot slots[4];
    rig_advance(&r, silence_ms);
    for (int round = 0; round < 2; round++) {
        int wanted = round == 0 ? at_once : 2; // the first is acknowledged: the broker knows the producer again
        for (int i = 0; i < 2; i++) slots[2 * round + i] = rig_batch(&r, 0, "x");
        rig_step(&r);
        for (int i = 0; i < wanted; i++) {
            NEED(peer_receive(peer, i ? &request : &held, 1000) == 1);
            check_sent(i ? &request : &held, 31, 0, 2 + 2 * round + i);
        }
        receive_nothing(peer);
        answer(peer, &held, 0);
        if (wanted == 1) receive(peer, &request);
        check_sent(&request, 31, 0, 3 + 2 * round);
        answer(peer, &request, 0);
    }
    for (int i = 0; i < 4; i++) rig_forget(&slots[i]);
    close(peer);
    rig_close(&r);
}

int main(void) {
    nothing_leaves_before_there_is_an_id();
    sequences_count_records_and_wrap();
    at_most_five_are_unresolved();
    retries_keep_their_sequences();
    a_bump_holds_back_what_was_ready();
    after_a_gap_sequences_start_anew();
    a_restart_that_comes_too_late_is_asked_for_again();
    doubt_is_settled_before_a_gap();
    no_gap_if_later_batches_are_accepted();
    an_abort_is_a_gap_once_something_is_sent_again();
    tm8_numbers_wrap_in_flight();
    tm8_no_gap_over_the_wrap();
    after_a_silence_one_goes_alone(50000, 2), after_a_silence_one_goes_alone(70000, 1);
    free(request.frame);
    free(held.frame);
    return FINISH();
}
