// SPDX-License-Identifier: Apache-2.0
//
// Batches were in flight with a broker that was started again: it remembers the last batch of a producer and no other, and
// refuses what it has written.
#include "doubt.h"

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

// The `known`-th is recognized, so those before it are written too.
static void what_was_forgotten_is_written_if_a_later_one_is(int known) {
    pkf_slot slots[LOST];
    int peer = lose(slots, PKF_COMMAND_REQUEUE);
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
    int peer = lose(slots, PKF_COMMAND_REQUEUE);
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
    int peer = lose(slots, PKF_COMMAND_REQUEUE);
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
    int peer = lose(slots, PKF_COMMAND_REQUEUE);
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

// Then two more are in flight, of two records and of one. `first` is the request of the first, not answered yet.
static int two_under_way(pkf_slot *slots, pkf_slot *a, pkf_slot *b, peer_request *first) {
    int peer = lose(slots, PKF_COMMAND_REQUEUE);
    for (int i = 0; i < LOST; i++) {
        receive(peer, 0, 1 + i);
        answer(peer, 0);
    }
    *a = rig_append(&r, 0, "a long value, so that two of them are too large");
    pkf_slot more = rig_batch(&r, 0, "a long value, so that two of them are too large");
    rig_forget(&more);
    *b = rig_batch(&r, 0, "b");
    memset(first, 0, sizeof *first);
    rig_step(&r);
    NEED(peer_receive(peer, first, 1000) == 1);
    CHECK_INT(first->batches[0].count, 2);
    receive(peer, 0, 3 + LOST);
    return peer;
}

static void drop(int peer, pkf_slot *slots, pkf_slot *a, pkf_slot *b) {
    rig_command(&r, PKF_COMMAND_ABORT, 0, 0, 0);
    rig_step(&r);
    rig_forget(a), rig_forget(b);
    end(peer, slots);
}

// The broker knows nothing of the producer: the first is too large, the second is taken. What is left of the first was never
// written, whatever was acknowledged behind it.
static void what_was_too_large_is_not_written(void) {
    pkf_slot slots[LOST], a, b;
    peer_request first;
    int peer = two_under_way(slots, &a, &b, &first);
    peer_reply(peer, &first, 10, 0);
    answer(peer, 0);
    free(first.frame);
    pkf_command *command = rig_decide(rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_SPLIT);
    command->size = 120;
    pkf_wire_command(r.wire, command);
    receive(peer, 0, 1 + LOST);
    CHECK_INT(request.batches[0].count, 1);
    answer(peer, 45);
    command = rig_decide(rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_REQUEUE);
    command->refused = true;
    pkf_wire_command(r.wire, command);
    rig_step(&r);
    int32_t index = 0;
    CHECK(!(pkf_batch_state(pkf_batch_follow(a.batch, &index)) & PKF_DONE));
    drop(peer, slots, &a, &b);
}

// The first is refused and was not written; the second, which is lost with its connection, was not written either.
static void behind_what_was_not_written_nobody_is_asked(void) {
    pkf_slot slots[LOST], a, b;
    peer_request first;
    int peer = two_under_way(slots, &a, &b, &first);
    peer_reply(peer, &first, 45, 0);
    rig_step(&r);
    free(first.frame);
    peer = reconnect(peer);
    rig_judge(&r, a.batch, PKF_COMMAND_REQUEUE, true, false);
    rig_judge(&r, b.batch, PKF_COMMAND_REQUEUE, false, true);
    CHECK(rig_saw(&r, PKF_EVENT_GAP));
    restart(1);
    receive(peer, 1, 0);
    CHECK_INT(request.batches[0].count, 2);
    answer(peer, 0);
    receive(peer, 1, 2);
    answer(peer, 0);
    CHECK(rig_is_done(&a) && a.batch->code == 0 && rig_is_done(&b) && b.batch->code == 0);
    drop(peer, slots, &a, &b);
}

// A batch failed, the next one is refused, and the last goes to a broker that knows no sequences: it takes anything.
static void an_old_broker_shows_nothing(void) {
    pkf_slot slots[LOST];
    int peer = lose(slots, PKF_COMMAND_FAIL);
    refuse(peer, slots, 1);
    receive(peer, 0, 3);
    answer(peer, 6);
    rig_lead(&r, 1, 2);
    int old = rig_connect(&r, 1, 2);
    settle(&slots[2], PKF_COMMAND_REQUEUE, false);
    rig_step(&r);
    NEED(peer_receive(old, &request, 1000) == 1);
    CHECK_INT(request.version, 2);
    answer(old, 0);
    CHECK(!rig_is_done(&slots[1]) && rig_saw(&r, PKF_EVENT_GAP));
    restart(1);
    rig_step(&r);
    CHECK(rig_is_done(&slots[1]) && slots[1].batch->code == 45 && slots[1].batch->in_doubt);
    CHECK(rig_is_done(&slots[2]) && slots[2].batch->code == 0);
    close(old);
    end(peer, slots);
}

static void tell_id(int id, int32_t leader) {
    pkf_command *command = pkf_command_new(PKF_COMMAND_LEADERS);
    NEED(command && (command->leaders = calloc(1, sizeof(int32_t))) && (command->epochs = calloc(1, sizeof(int32_t))));
    command->topic = r.topic;
    command->count = 1;
    command->leaders[0] = leader;
    memset(command->id, id, sizeof command->id);
    pkf_wire_command(r.wire, command);
    rig_step(&r);
}

// The first is refused; of the topic of the second the broker knows nothing.
static int lose_topic(pkf_slot *slots) {
    int peer = lose(slots, PKF_COMMAND_REQUEUE);
    refuse(peer, slots, 0);
    receive(peer, 0, 2);
    answer(peer, 3);
    requeue(&slots[1], false, true);
    return peer;
}

// Metadata without the topic, by a broker that lags behind the others, makes it no other topic: the last one is recognized.
static void the_same_topic_is_told_of_again(void) {
    pkf_slot slots[LOST];
    int peer = lose_topic(slots);
    tell_id(0, -1);
    CHECK(!rig_is_done(&slots[0]));
    tell_id(r.topic->name[0], 0);
    CHECK(!rig_is_done(&slots[0]));
    receive(peer, 0, 2);
    answer(peer, 0);
    receive(peer, 0, 3);
    answer(peer, 0);
    for (int i = 0; i < LOST; i++) CHECK(rig_is_done(&slots[i]) && slots[i].batch->code == 0);
    end(peer, slots);
}

// The topic is deleted and created again, and the new one takes any sequence.
static void another_topic_shows_nothing(void) {
    pkf_slot slots[LOST];
    int peer = lose_topic(slots);
    tell_id('n', 0);
    CHECK(rig_is_done(&slots[0]) && slots[0].batch->code == 45 && slots[0].batch->in_doubt);
    receive(peer, 0, 2);
    answer(peer, 0);
    CHECK(rig_is_done(&slots[1]) && slots[1].batch->code == 0);
    receive(peer, 0, 3);
    answer(peer, 0);
    CHECK(rig_is_done(&slots[2]) && slots[2].batch->code == 0);
    end(peer, slots);
}

int main(void) {
    for (int known = 1; known < LOST; known++) what_was_forgotten_is_written_if_a_later_one_is(known);
    what_is_refused_to_the_last_was_not_written();
    what_was_in_doubt_before_an_acknowledged_one_is_written(true);
    what_was_in_doubt_before_an_acknowledged_one_is_written(false);
    what_waits_for_another_ends_too(true);
    what_waits_for_another_ends_too(false);
    what_was_too_large_is_not_written();
    behind_what_was_not_written_nobody_is_asked();
    an_old_broker_shows_nothing();
    the_same_topic_is_told_of_again();
    another_topic_shows_nothing();
    return FINISH();
}
