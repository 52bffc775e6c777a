// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

static rig r;
static peer_request request;

static void open_rig(int32_t partitions, bool idempotent, int32_t max_in_flight) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    wire.idempotent = idempotent;
    wire.max_in_flight = max_in_flight;
    rig_open(&r, &accum, &wire, partitions);
    rig_lead(&r, 0, 1);
    rig_producer(&r, 1000, 0);
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

static void answer(int peer, int16_t code, int64_t offset) {
    peer_reply(peer, &request, code, offset);
    rig_step(&r);
}

static void check_value(int batch, const char *wanted) {
    peer_record record;
    NEED(peer_next_record(&request.batches[batch], &record));
    CHECK_INT(record.value_size, strlen(wanted));
    CHECK_BYTES(record.value, wanted, strlen(wanted));
}

// ---- success ----

static void a_result_is_published_with_its_offset(void) {
    open_rig(1, true, 5);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot slot = rig_batch(&r, 0, "one");
    receive(peer, 1);
    CHECK_INT(request.batches[0].producer_id, 1000);
    CHECK_INT(request.batches[0].sequence, 0);
    CHECK(!rig_is_done(&slot));
    answer(peer, 0, 77);
    CHECK(rig_is_done(&slot));
    CHECK_INT(slot.batch->code, 0);
    CHECK_INT(slot.batch->base_offset, 77);
    rig_forget(&slot);
    close(peer);
    rig_close(&r);
}

static void results_are_published_in_the_order_of_framing(void) {
    open_rig(1, false, 5);
    int peer = rig_connect(&r, 0, 9);
    pkf_slot first = rig_batch(&r, 0, "one"), second = rig_batch(&r, 0, "two");
    peer_request held = {.frame = NULL};
    rig_step(&r);
    NEED(peer_receive(peer, &held, 1000) == 1);
    receive(peer, 1);
    peer_reply(peer, &held, 19, -1);
    answer(peer, 0, 5);
    CHECK(!rig_is_done(&first));
    CHECK(!rig_is_done(&second)); // acknowledged, and held back
    CHECK(second.batch->slab == NULL);
    rig_settle(&r, rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_REQUEUE);
    receive(peer, 1);
    check_value(0, "one");
    answer(peer, 0, 6);
    CHECK(rig_is_done(&first) && rig_is_done(&second));
    CHECK_INT(first.batch->base_offset, 6);
    CHECK_INT(second.batch->base_offset, 5);
    rig_forget(&first);
    rig_forget(&second);
    free(held.frame);
    close(peer);
    rig_close(&r);
}

// ---- parked ----

static void a_parked_batch_mutes_its_partition_and_no_other(void) {
    open_rig(2, true, 5);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot slot[4] = {rig_batch(&r, 0, "a")};
    receive(peer, 1);
    answer(peer, 6, -1);
    slot[1] = rig_batch(&r, 0, "b");
    slot[2] = rig_batch(&r, 1, "c");
    receive(peer, 1);
    CHECK_INT(request.batches[0].partition, 1);
    answer(peer, 0, 0);
    receive_nothing(peer);
    pkf_event *event = rig_event(&r, PKF_EVENT_PARKED);
    NEED(event);
    CHECK_INT(event->code, 6);
    CHECK(!event->in_doubt);
    CHECK(event->batch == slot[0].batch);
    pkf_command *command = rig_decide(event, PKF_COMMAND_REQUEUE);
    command->delay_ns = 10000 * RIG_MS;
    pkf_wire_command(r.wire, command);
    receive_nothing(peer); // it backs off
    rig_advance(&r, 10000);
    receive(peer, 1);
    CHECK_INT(request.batches[0].sequence, 0);
    check_value(0, "a");
    receive_nothing(peer); // a retry goes alone
    peer_reply(peer, &request, 0, 0);
    receive(peer, 1);
    check_value(0, "b");
    CHECK_INT(request.batches[0].sequence, 1);
    answer(peer, 0, 1);
    CHECK(rig_is_done(&slot[0]) && rig_is_done(&slot[1]) && rig_is_done(&slot[2]));
    CHECK_INT(slot[0].batch->attempts, 1);
    for (int i = 0; i < 3; i++) rig_forget(&slot[i]);
    close(peer);
    rig_close(&r);
}

static void every_decision_ends_a_parked_batch(void) {
    open_rig(1, false, 5);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot failed = rig_batch(&r, 0, "f");
    receive(peer, 1);
    answer(peer, 87, -1);
    pkf_command *command = rig_decide(rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_FAIL);
    const char *message;
    command->text = strdup("because");
    command->in_doubt = true;
    NEED((command->record_errors = calloc(1, sizeof *command->record_errors)));
    command->record_error_count = 1;
    command->record_errors[0].message = strdup("bad");
    pkf_wire_command(r.wire, command);
    pkf_slot complete = rig_batch(&r, 0, "c");
    receive(peer, 1);
    answer(peer, 46, -1);
    CHECK_INT(pkf_batch_record_code(failed.batch, 0, &message), 87);
    CHECK(strcmp(message, "bad") == 0);
    CHECK_INT(pkf_batch_record_code(failed.batch, 1, &message), PKF_CODE_BATCH_REJECTED);
    CHECK(strcmp(message, "because") == 0 && failed.batch->in_doubt);
    command = rig_decide(rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_COMPLETE);
    command->offset = 4711;
    pkf_wire_command(r.wire, command);
    rig_step(&r);
    CHECK(rig_is_done(&complete) && complete.batch->code == 0 && complete.batch->base_offset == 4711);
    rig_forget(&failed);
    rig_forget(&complete);
    close(peer);
    rig_close(&r);
}

static void what_the_broker_says_reaches_the_event(void) {
    open_rig(1, false, 5);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot slot = rig_batch(&r, 0, "x");
    peer_answer a = PEER_ANSWER;
    static peer_response out;
    receive(peer, 1);
    a.code = 6;
    a.message = "gone";
    a.leader = 3;
    a.leader_epoch = 9;
    a.bad_record = 0;
    a.log_start = 55;
    peer_build(&out, &request, &a, 0);
    peer_send(peer, out.bytes, out.size);
    rig_step(&r);
    pkf_event *event = rig_event(&r, PKF_EVENT_PARKED);
    NEED(event && event->text && event->record_error_count == 1);
    CHECK(event->code == 6 && event->leader == 3 && event->leader_epoch == 9 && event->log_start == 55);
    CHECK(strcmp(event->text, "gone") == 0);
    CHECK(event->record_errors[0].index == 0 && strcmp(event->record_errors[0].message, "this one is bad") == 0);
    rig_settle(&r, event, PKF_COMMAND_FAIL);
    rig_step(&r);
    CHECK_INT(slot.batch->code, 6);
    rig_forget(&slot);
    close(peer);
    rig_close(&r);
}

static void a_decision_about_a_batch_that_is_over_changes_nothing(void) {
    open_rig(1, true, 5);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot slot = rig_batch(&r, 0, "x");
    receive(peer, 1);
    answer(peer, 6, -1);
    pkf_event *event = rig_event(&r, PKF_EVENT_PARKED);
    rig_advance(&r, 120000);
    rig_step(&r);
    CHECK(rig_is_done(&slot) && slot.batch->code == PKF_CODE_TIMEOUT);
    CHECK(slot.batch->in_doubt); // nobody has judged the answer
    rig_settle(&r, event, PKF_COMMAND_REQUEUE);
    receive_nothing(peer);
    CHECK_INT(rig_part(&r, 0)->parked_count, 0);
    CHECK(rig_saw(&r, PKF_EVENT_GAP)); // its sequence will never arrive
    rig_forget(&slot);
    close(peer);
    rig_close(&r);
}

// ---- time ----

static void what_waits_expires_whatever_it_waits_for(void) {
    open_rig(3, true, 5);
    pkf_slot slots[3] = {rig_batch(&r, 0, "no connection")};
    rig_step(&r);
    CHECK(rig_saw(&r, PKF_EVENT_NEED_CONNECTION));
    rig_command(&r, PKF_COMMAND_LEADER, -1, 1, 2);
    slots[1] = rig_append(&r, 1, "no leader");
    rig_advance(&r, 2000);
    rig_step(&r);
    CHECK(rig_saw(&r, PKF_EVENT_UNKNOWN_LEADER));
    rig_step(&r);
    CHECK(!rig_saw(&r, PKF_EVENT_UNKNOWN_LEADER)); // asked once
    rig_advance(&r, 117500);
    slots[2] = rig_append(&r, 2, "later");
    rig_advance(&r, 1000);
    rig_step(&r);
    CHECK(rig_is_done(&slots[0]) && rig_is_done(&slots[1]) && !rig_is_done(&slots[2]));
    CHECK(slots[0].batch->code == PKF_CODE_TIMEOUT && !slots[0].batch->in_doubt);
    CHECK(strstr(slots[1].batch->message, "Expiring 1 record(s) for events-1: 120") != NULL);
    for (int i = 0; i < 3; i++) rig_forget(&slots[i]);
    rig_close(&r);
}

// Expiry of the first publishes, and may free, those behind it that were acknowledged before.
static void expiry_frees_what_it_held_back(void) {
    open_rig(1, false, 5);
    int peer = rig_connect(&r, 0, 12);
    for (int i = 0; i < 4; i++) {
        pkf_slot slot = rig_batch(&r, 0, "x");
        rig_forget(&slot); // nobody but the library holds them
    }
    peer_request held = {.frame = NULL};
    rig_step(&r);
    NEED(peer_receive(peer, &held, 1000) == 1);
    for (int i = 0; i < 3; i++) NEED(peer_receive(peer, &request, 1000) == 1 && request.batch_count == 1);
    peer_reply(peer, &held, 19, -1);
    for (int i = 1; i < 4; i++) {
        request.correlation = held.correlation + i;
        peer_reply(peer, &request, 0, i);
    }
    rig_step(&r);
    CHECK_INT(rig_part(&r, 0)->unresolved_count, 4);
    rig_advance(&r, 120000);
    rig_step(&r);
    CHECK_INT(rig_part(&r, 0)->unresolved_count, 0);
    free(held.frame);
    close(peer);
    rig_close(&r);
}

static void an_expired_batch_keeps_its_slab_until_its_request_ends(void) {
    open_rig(1, true, 5);
    r.wire->config.request_timeout_ns = PKF_NEVER / 4;
    int peer = rig_connect(&r, 0, 12);
    pkf_slot slot = rig_batch(&r, 0, "x");
    receive(peer, 1);
    rig_advance(&r, 120000);
    rig_step(&r);
    CHECK(rig_is_done(&slot) && slot.batch->code == PKF_CODE_TIMEOUT && slot.batch->in_doubt);
    CHECK(slot.batch->slab != NULL);
    answer(peer, 0, 3);
    CHECK(slot.batch->slab == NULL);
    CHECK_INT(slot.batch->code, PKF_CODE_TIMEOUT); // the answer came too late to change that
    CHECK_INT(rig_part(&r, 0)->last_acked_sequence, 0);
    CHECK_INT(rig_part(&r, 0)->sequenced_count, 0);
    CHECK(!rig_saw(&r, PKF_EVENT_GAP));
    rig_forget(&slot);
    close(peer);
    rig_close(&r);
}

static void with_one_in_flight_expiry_does_not_open_the_gate(void) {
    open_rig(1, false, 1);
    r.wire->config.request_timeout_ns = PKF_NEVER / 4;
    int old_leader = rig_connect(&r, 0, 12), new_leader = rig_connect(&r, 1, 12);
    pkf_slot first = rig_batch(&r, 0, "first");
    receive(old_leader, 1);
    rig_lead(&r, 1, 2);
    rig_advance(&r, 120000);
    pkf_slot second = rig_batch(&r, 0, "second");
    receive_nothing(new_leader);
    CHECK(rig_is_done(&first));
    peer_reply(old_leader, &request, 0, 0);
    receive_nothing(old_leader);
    NEED(peer_receive(new_leader, &request, 1000) == 1);
    answer(new_leader, 0, 1);
    CHECK(rig_is_done(&second) && second.batch->code == 0);
    rig_forget(&first);
    rig_forget(&second);
    close(old_leader);
    close(new_leader);
    rig_close(&r);
}

// ---- the end ----

static void abort_fails_what_waits_is_parked_or_under_way(void) {
    open_rig(4, true, 5);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot slots[5] = {rig_batch(&r, 0, "parked"), rig_batch(&r, 0, "behind")};
    receive(peer, 1);
    answer(peer, 6, -1);
    slots[2] = rig_batch(&r, 1, "in flight");
    receive(peer, 1);
    slots[3] = rig_append(&r, 2, "open");
    slots[4] = rig_append(&r, 3, "open too");
    pkf_command *command = pkf_command_new(PKF_COMMAND_ABORT);
    NEED(command);
    command->code = -1005;
    command->text = strdup("closed by force");
    pkf_wire_command(r.wire, command);
    rig_step(&r);
    for (int i = 0; i < 5; i++) {
        CHECK(rig_is_done(&slots[i]) && slots[i].batch->code == -1005);
        CHECK(slots[i].batch->message && strcmp(slots[i].batch->message, "closed by force") == 0);
        CHECK_INT(slots[i].batch->in_doubt, i == 0 || i == 2);
        CHECK(slots[i].batch->slab == NULL);
        rig_forget(&slots[i]);
    }
    rig_settle(&r, rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_REQUEUE); // the sender did not know yet
    rig_step(&r);
    CHECK(rig_saw(&r, PKF_EVENT_CONNECTION_LOST));
    close(peer);
    rig_close(&r);
}

static void a_wire_that_is_freed_leaves_nobody_waiting(void) {
    open_rig(3, true, 5);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot slots[4] = {rig_batch(&r, 0, "in flight")};
    receive(peer, 1);
    slots[1] = rig_batch(&r, 1, "expired in flight");
    receive(peer, 1);
    slots[1].batch->created_ns -= 120000 * RIG_MS;
    pkf_wire_evaluate(r.wire, rig_part(&r, 1));
    CHECK(rig_is_done(&slots[1]) && slots[1].batch->slab);
    slots[2] = rig_append(&r, 2, "open");
    close(peer);
    pkf_wire_free(r.wire);
    pkf_append append = rig_record(&r, 0, "late", &slots[3]);
    CHECK_INT(pkf_accum_append(r.accum, &append), PKF_E_CLOSED);
    for (int i = 0; i < 3; i++) {
        CHECK(rig_is_done(&slots[i]) && slots[i].batch->code != 0);
        rig_forget(&slots[i]);
    }
    rig_check_empty(&r);
    pkf_accum_unref(r.accum);
}

int main(void) {
    a_result_is_published_with_its_offset();
    results_are_published_in_the_order_of_framing();
    a_parked_batch_mutes_its_partition_and_no_other();
    every_decision_ends_a_parked_batch();
    what_the_broker_says_reaches_the_event();
    a_decision_about_a_batch_that_is_over_changes_nothing();
    what_waits_expires_whatever_it_waits_for();
    expiry_frees_what_it_held_back();
    an_expired_batch_keeps_its_slab_until_its_request_ends();
    with_one_in_flight_expiry_does_not_open_the_gate();
    abort_fails_what_waits_is_parked_or_under_way();
    a_wire_that_is_freed_leaves_nobody_waiting();
    free(request.frame);
    return FINISH();
}
