// SPDX-License-Identifier: Apache-2.0
//
// A broker may still read requests that were given up, until it hears of a new epoch: nothing may be written twice by that.
#include "rig.h"

static rig r;
static peer_request request;

static void receive(int peer, int16_t epoch, int32_t sequence) {
    rig_step(&r);
    NEED(peer_receive(peer, &request, 1000) == 1);
    CHECK_INT(request.batches[0].epoch, epoch);
    CHECK_INT(request.batches[0].sequence, sequence);
}

static void answer(int peer, int16_t code) {
    peer_reply(peer, &request, code, 0);
    rig_step(&r);
}

static void settle(const pkf_slot *parked, pkf_command_kind kind, bool refused) {
    rig_judge(&r, parked->batch, kind, refused, true);
}

static int reconnect(int peer) {
    close(peer);
    rig_step(&r);
    return rig_connect(&r, 0, 12);
}

static void restart(int32_t epoch) {
    rig_producer(&r, 31, epoch);
    rig_command(&r, PKF_COMMAND_RESTART, 0, 0, 0);
}

// One batch is acknowledged, three more are lost with their connection, and the first of these fails.
static int begin(pkf_slot *slots) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    wire.idempotent = true;
    rig_open(&r, &accum, &wire, 1);
    rig_lead(&r, 0, 1);
    int peer = rig_connect(&r, 0, 12);
    rig_producer(&r, 31, 0);
    pkf_slot known = rig_batch(&r, 0, "known");
    receive(peer, 0, 0);
    answer(peer, 0);
    rig_forget(&known);
    for (int i = 0; i < 3; i++) slots[i] = rig_batch(&r, 0, "x");
    for (int i = 0; i < 3; i++) receive(peer, 0, 1 + i);
    peer = reconnect(peer);
    settle(&slots[0], PKF_COMMAND_FAIL, false);
    for (int i = 1; i < 3; i++) settle(&slots[i], PKF_COMMAND_REQUEUE, false);
    return peer;
}

// The second goes again as it was, and is refused. Under a new sequence it could be written once more when the broker gets to
// the old requests, so it fails, in doubt, and so does the third. If the broker has done that in the meantime, it recognizes
// the third, and had the second too.
static void what_may_still_arrive_gets_no_other_sequence(bool arrives) {
    pkf_slot slots[3];
    int peer = begin(slots);
    receive(peer, 0, 2);
    answer(peer, 45);
    settle(&slots[1], PKF_COMMAND_REQUEUE, true);
    CHECK(!rig_is_done(&slots[1]) && !rig_saw(&r, PKF_EVENT_GAP));
    receive(peer, 0, 3);
    answer(peer, arrives ? 0 : 45);
    if (!arrives) settle(&slots[2], PKF_COMMAND_REQUEUE, true);
    CHECK(rig_saw(&r, PKF_EVENT_GAP) != arrives);
    if (!arrives) restart(1), rig_step(&r);
    for (int i = 1; i < 3; i++) {
        CHECK(rig_is_done(&slots[i]));
        CHECK_INT(slots[i].batch->code, arrives ? 0 : 45);
        CHECK(slots[i].batch->in_doubt != arrives);
        CHECK(arrives || strstr(slots[i].batch->message, "failed in doubt"));
    }
    CHECK_INT(slots[1].batch->base_offset, -1);
    pkf_slot fresh = rig_batch(&r, 0, "fresh");
    receive(peer, !arrives, arrives ? 4 : 0);
    answer(peer, 0);
    CHECK(rig_is_done(&fresh) && fresh.batch->code == 0);
    rig_forget(&fresh);
    for (int i = 0; i < 3; i++) rig_forget(&slots[i]);
    close(peer);
    rig_close(&r);
}

// Where nothing that failed can arrive before it, what was refused cannot arrive either: it starts anew.
static void after_a_restart_the_doubt_is_gone(bool by_restart) {
    pkf_slot slots[3];
    int peer = begin(slots);
    receive(peer, 0, 2);
    answer(peer, by_restart ? 45 : 0);
    if (by_restart) settle(&slots[1], PKF_COMMAND_REQUEUE, true);
    receive(peer, 0, 3);
    answer(peer, by_restart ? 45 : 0);
    if (by_restart) settle(&slots[2], PKF_COMMAND_REQUEUE, true);
    CHECK(rig_saw(&r, PKF_EVENT_GAP) == by_restart);
    CHECK_INT(rig_part(&r, 0)->gap, by_restart);
    if (by_restart) restart(1);
    pkf_slot fresh = rig_batch(&r, 0, "fresh");
    receive(peer, by_restart, by_restart ? 0 : 4);
    peer = reconnect(peer);
    settle(&fresh, PKF_COMMAND_REQUEUE, false);
    receive(peer, by_restart, by_restart ? 0 : 4);
    answer(peer, 45);
    settle(&fresh, PKF_COMMAND_REQUEUE, true);
    CHECK(rig_saw(&r, PKF_EVENT_GAP));
    restart(2);
    receive(peer, 2, 0);
    answer(peer, 0);
    CHECK(rig_is_done(&fresh) && fresh.batch->code == 0);
    for (int i = 0; i < 3; i++) rig_forget(&slots[i]);
    rig_forget(&fresh);
    close(peer);
    rig_close(&r);
}

// Three batches were in flight with a broker that was started again: it remembers the last batch of a producer and no other,
// and refuses what it has written.

enum { LOST = 3 };

static int lose(pkf_slot *slots) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    wire.idempotent = true;
    rig_open(&r, &accum, &wire, 1);
    rig_lead(&r, 0, 1);
    int peer = rig_connect(&r, 0, 12);
    rig_producer(&r, 31, 0);
    pkf_slot known = rig_batch(&r, 0, "known");
    receive(peer, 0, 0);
    answer(peer, 0);
    rig_forget(&known);
    for (int i = 0; i < LOST; i++) slots[i] = rig_batch(&r, 0, "x");
    for (int i = 0; i < LOST; i++) receive(peer, 0, 1 + i);
    peer = reconnect(peer);
    for (int i = 0; i < LOST; i++) settle(&slots[i], PKF_COMMAND_REQUEUE, false);
    return peer;
}

static void requeue(const pkf_slot *slot, bool refused, bool in_doubt) {
    pkf_event *event = rig_event(&r, PKF_EVENT_PARKED);
    NEED(event && event->batch == slot->batch);
    CHECK(event->first); // those before it are as good as settled
    pkf_command *command = rig_decide(event, PKF_COMMAND_REQUEUE);
    command->refused = refused;
    command->in_doubt = in_doubt;
    pkf_wire_command(r.wire, command);
    rig_step(&r);
}

static void refuse(int peer, const pkf_slot *slots, int i) {
    receive(peer, 0, 1 + i);
    answer(peer, 45);
    requeue(&slots[i], true, true);
    CHECK(!rig_is_done(&slots[i]));
}

static void end(int peer, pkf_slot *slots) {
    for (int i = 0; i < LOST; i++) rig_forget(&slots[i]);
    close(peer);
    rig_close(&r);
}

// The `known`-th is recognized, so those before it are written too.
static void what_was_forgotten_is_written_if_a_later_one_is(int known) {
    pkf_slot slots[LOST];
    int peer = lose(slots);
    for (int i = 0; i < known; i++) refuse(peer, slots, i);
    CHECK(!rig_saw(&r, PKF_EVENT_GAP));
    receive(peer, 0, 1 + known);
    peer_reply(peer, &request, 0, 70);
    rig_step(&r);
    for (int i = 0; i <= known; i++) {
        CHECK(rig_is_done(&slots[i]) && slots[i].batch->code == 0 && !slots[i].batch->in_doubt);
        CHECK_INT(slots[i].batch->base_offset, i < known ? -1 : 70);
    }
    for (int i = known + 1; i < LOST; i++) {
        receive(peer, 0, 1 + i);
        answer(peer, 0);
    }
    pkf_slot fresh = rig_batch(&r, 0, "fresh");
    receive(peer, 0, 1 + LOST);
    answer(peer, 0);
    CHECK(rig_is_done(&fresh) && fresh.batch->code == 0 && !rig_saw(&r, PKF_EVENT_GAP));
    CHECK_INT(rig_part(&r, 0)->gap, 0);
    rig_forget(&fresh);
    end(peer, slots);
}

static void what_is_refused_to_the_last_was_not_written(void) {
    pkf_slot slots[LOST];
    int peer = lose(slots);
    for (int i = 0; i < LOST; i++) refuse(peer, slots, i);
    CHECK(rig_saw(&r, PKF_EVENT_GAP));
    restart(1);
    for (int i = 0; i < LOST; i++) {
        receive(peer, 1, i);
        answer(peer, 0);
        CHECK(rig_is_done(&slots[i]) && slots[i].batch->code == 0);
    }
    end(peer, slots);
}

// The first was answered with doubt, the second acknowledged: when the first is refused, nobody has to be asked. Without doubt
// it was not written, and the broker, which knew nothing of the producer, took the second all the same.
static void what_was_in_doubt_before_an_acknowledged_one_is_written(bool doubt) {
    pkf_slot slots[LOST];
    int peer = lose(slots);
    for (int i = 0; i < LOST; i++) {
        receive(peer, 0, 1 + i);
        answer(peer, 0);
    }
    pkf_slot a = rig_batch(&r, 0, "a"), b = rig_batch(&r, 0, "b");
    peer_request first;
    memset(&first, 0, sizeof first);
    rig_step(&r);
    NEED(peer_receive(peer, &first, 1000) == 1);
    receive(peer, 0, 2 + LOST);
    peer_reply(peer, &first, doubt ? 7 : 19, 0);
    answer(peer, 0);
    free(first.frame);
    CHECK(!rig_is_done(&b)); // in order
    requeue(&a, false, doubt);
    receive(peer, 0, 1 + LOST);
    answer(peer, 45);
    requeue(&a, true, doubt);
    CHECK(rig_is_done(&a) == doubt && rig_is_done(&b) == doubt);
    CHECK(rig_saw(&r, PKF_EVENT_GAP) != doubt);
    if (!doubt) {
        restart(1);
        receive(peer, 1, 0);
        answer(peer, 0);
    }
    CHECK(rig_is_done(&a) && a.batch->code == 0 && rig_is_done(&b) && b.batch->code == 0);
    rig_forget(&a), rig_forget(&b);
    end(peer, slots);
}

// What waits for the answer of another is in no queue: its time runs out all the same, and an abort finds it.
static void what_waits_for_another_ends_too(bool expires) {
    pkf_slot slots[LOST];
    int peer = lose(slots);
    refuse(peer, slots, 0);
    receive(peer, 0, 2);
    if (expires)
        rig_advance(&r, 120000);
    else
        rig_command(&r, PKF_COMMAND_ABORT, 0, 0, 0);
    rig_step(&r);
    for (int i = 0; i < LOST; i++) {
        CHECK(rig_is_done(&slots[i]) && slots[i].batch->in_doubt);
        CHECK_INT(slots[i].batch->code, expires ? PKF_CODE_TIMEOUT : PKF_CODE_CLOSED_FORCEFULLY);
    }
    end(peer, slots);
}

int main(void) {
    what_may_still_arrive_gets_no_other_sequence(false);
    what_may_still_arrive_gets_no_other_sequence(true);
    after_a_restart_the_doubt_is_gone(true);
    after_a_restart_the_doubt_is_gone(false);
    for (int known = 1; known < LOST; known++) what_was_forgotten_is_written_if_a_later_one_is(known);
    what_is_refused_to_the_last_was_not_written();
    what_was_in_doubt_before_an_acknowledged_one_is_written(true);
    what_was_in_doubt_before_an_acknowledged_one_is_written(false);
    what_waits_for_another_ends_too(true);
    what_waits_for_another_ends_too(false);
    return FINISH();
}
