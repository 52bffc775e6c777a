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
// the old requests, so it fails, in doubt. If the broker has done that in the meantime, it recognizes the third.
static void what_may_still_arrive_gets_no_other_sequence(bool arrives) {
    pkf_slot slots[3];
    int peer = begin(slots);
    receive(peer, 0, 2);
    answer(peer, 45);
    settle(&slots[1], PKF_COMMAND_REQUEUE, true);
    CHECK(rig_is_done(&slots[1]) && slots[1].batch->code == 45 && slots[1].batch->in_doubt);
    CHECK(!rig_saw(&r, PKF_EVENT_GAP));
    receive(peer, 0, 3);
    answer(peer, arrives ? 0 : 45);
    if (!arrives) settle(&slots[2], PKF_COMMAND_REQUEUE, true);
    CHECK(rig_is_done(&slots[2]) && slots[2].batch->code == (arrives ? 0 : 45) && slots[2].batch->in_doubt != arrives);
    CHECK(rig_saw(&r, PKF_EVENT_GAP) != arrives);
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

int main(void) {
    what_may_still_arrive_gets_no_other_sequence(false);
    what_may_still_arrive_gets_no_other_sequence(true);
    after_a_restart_the_doubt_is_gone(true);
    after_a_restart_the_doubt_is_gone(false);
    return FINISH();
}
