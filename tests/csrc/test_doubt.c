// SPDX-License-Identifier: Apache-2.0
//
// A broker may still read requests that were given up, until it hears of a new epoch: nothing may be written twice by that.
#include "doubt.h"

// The second goes again as it was, and is refused. Under a new sequence it could be written once more when the broker gets to
// the old requests, so it fails, in doubt, and so does the third. If the broker has done that in the meantime, it recognizes
// the third, and had the second too.
static void what_may_still_arrive_gets_no_other_sequence(bool arrives) {
    pkf_slot slots[LOST];
    int peer = lose(slots, PKF_COMMAND_FAIL);
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
    end(peer, slots);
}

// Where nothing that failed can arrive before it, what was refused cannot arrive either: it starts anew.
static void after_a_restart_the_doubt_is_gone(bool by_restart) {
    pkf_slot slots[LOST];
    int peer = lose(slots, PKF_COMMAND_FAIL);
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
    rig_forget(&fresh);
    end(peer, slots);
}

int main(void) {
    what_may_still_arrive_gets_no_other_sequence(false);
    what_may_still_arrive_gets_no_other_sequence(true);
    after_a_restart_the_doubt_is_gone(true);
    after_a_restart_the_doubt_is_gone(false);
    return FINISH();
}
