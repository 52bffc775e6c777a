// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

static rig r;
static peer_request request;

static void open_rig(bool idempotent) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    wire.idempotent = idempotent;
    rig_open(&r, &accum, &wire, 1);
    rig_lead(&r, 0, 1);
    rig_producer(&r, 1000, 0);
}

static void receive(int peer) {
    rig_step(&r);
    NEED(peer_receive(peer, &request, 1000) == 1);
    CHECK_INT(request.batch_count, 1);
}

static pkf_event *refuse(int peer, int16_t code) {
    peer_reply(peer, &request, code, -1);
    rig_step(&r);
    pkf_event *event = rig_event(&r, PKF_EVENT_PARKED);
    NEED(event);
    return event;
}

static void split(pkf_event *parked, int32_t size) {
    pkf_command *command = rig_decide(parked, PKF_COMMAND_SPLIT);
    command->size = size;
    command->text = strdup("too large");
    pkf_wire_command(r.wire, command);
}

enum { COUNT = 40 };

// Records with keys, headers, null values, cookies and timestamps that go up and down, in one closed batch.
static void fill(pkf_slot *slots, int count, int first) {
    for (int i = first; i < first + count; i++) {
        char key[16], value[120];
        pkf_header headers[2] = {{rig_span("h"), rig_span("v")}, {rig_span(""), rig_span(NULL)}};
        pkf_slot *slot = &slots[i - first];
        snprintf(key, sizeof key, "k%d", i);
        memset(value, 'a' + i % 26, sizeof value);
        value[20 + i % 90] = 0;
        pkf_append append = rig_record(&r, 0, i % 7 ? value : NULL, slot);
        append.key = rig_span(key);
        append.timestamp += (i % 5) * 1000 - i;
        append.headers = headers;
        append.header_count = i % 3;
        append.callback = i % 2 ? NULL : slot;
        NEED(rig_append_some(r.accum, &append, false) == PKF_OK);
    }
    pkf_lock_take(&rig_part(&r, 0)->lock);
    pkf_partition_close_tail_locked(rig_part(&r, 0));
    pkf_lock_let_go(&rig_part(&r, 0)->lock);
}

// Every record of the request's batch is the record it should be; returns the index behind the last one.
static int check_records(int first) {
    peer_record record;
    for (; peer_next_record(&request.batches[0], &record); first++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", first);
        CHECK(record.key_size == (int)strlen(key) && memcmp(record.key, key, strlen(key)) == 0);
        CHECK_INT(record.value_size, first % 7 ? 20 + first % 90 : -1);
        if (record.value_size > 0) CHECK_INT(record.value[record.value_size - 1], 'a' + first % 26);
        CHECK_INT(record.header_count, first % 3);
        CHECK_INT(record.timestamp, 1700000000000 + (first % 5) * 1000 - first);
    }
    return first;
}

// Delivers what is on the completion list; returns how many cookies there were.
static int deliver(void) {
    pkf_batch *list = NULL;
    int cookies = 0;
    if (pkf_accum_wait_done(r.accum, 0, &list) != PKF_OK) return 0;
    for (pkf_batch *next; list; list = next) {
        next = list->completed_next;
        uint32_t count = list->cookie_count;
        for (uint32_t i = 0; i < count; i++) {
            const pkf_cookie *cookie = &list->cookies[i];
            const pkf_slot *slot = cookie->callback;
            int32_t index = slot->index;
            if (slot->batch == NULL) continue;
            CHECK(pkf_batch_follow(slot->batch, &index) == list);
            CHECK_INT(index, cookie->index);
            CHECK(cookie->timestamp == slot->timestamp && cookie->key_size == slot->key_size);
            CHECK(cookie->value_size == slot->value_size && cookie->header_size == slot->header_size);
        }
        cookies += (int)count;
        list->cookie_count = 0;
        CHECK(pkf_accum_take_listeners(r.accum, list) == NULL);
        pkf_accum_delivered(r.accum, list, count);
    }
    return cookies;
}

static void check_offsets(pkf_slot *slots, int count, int64_t first) {
    for (int i = 0; i < count; i++) {
        int32_t index = slots[i].index;
        pkf_batch *batch = pkf_batch_follow(slots[i].batch, &index);
        CHECK((pkf_batch_state(batch) & PKF_DONE) && batch->code == 0);
        CHECK_INT(batch->base_offset + index, first + i);
        rig_forget(&slots[i]);
    }
}

static void pieces_carry_what_the_batch_did(bool idempotent) {
    pkf_slot slots[COUNT];
    open_rig(idempotent);
    int peer = rig_connect(&r, 0, 12), got = 0, cookies = 0, requests = 0;
    fill(slots, COUNT, 0);
    receive(peer);
    CHECK_INT(check_records(0), COUNT);
    pkf_batch *old = slots[0].batch;
    split(refuse(peer, 10), 1000);
    while (got < COUNT) {
        receive(peer);
        requests++;
        CHECK(request.batches[0].size <= 1000);
        CHECK_INT(request.batches[0].sequence, idempotent ? got : -1);
        CHECK_INT(request.batches[0].producer_id, idempotent ? 1000 : -1);
        int first = got;
        got = check_records(got);
        CHECK_INT(peer_receive(peer, &request, 0), 0); // one after the other
        CHECK_INT(request.batches[0].count, got - first);
        peer_reply(peer, &request, 0, 500 + first);
        rig_step(&r);
        cookies += deliver();
    }
    CHECK(requests >= 3);
    CHECK_INT(cookies, COUNT / 2);
    CHECK_INT(old->fork_count, requests);
    CHECK_INT(rig_part(&r, 0)->unresolved_count, 0);
    CHECK_INT(rig_part(&r, 0)->sequenced_count, 0);
    check_offsets(slots, COUNT, 500);
    close(peer);
    rig_close(&r);
}

// Pieces that are refused themselves: they come back in front of those behind them, or are split again.
static void pieces_keep_their_place(bool idempotent) {
    pkf_slot slots[COUNT], behind[3];
    open_rig(idempotent);
    r.wire->config.max_in_flight = 1; // or what is behind would be sent behind the last piece
    int peer = rig_connect(&r, 0, 9), got = 0, retried = 0;
    fill(slots, COUNT, 0);
    receive(peer);
    pkf_event *parked = refuse(peer, 10);
    fill(behind, 3, COUNT);
    split(parked, 1500);
    while (got < COUNT + 3) {
        receive(peer);
        peer_batch seen = request.batches[0];
        int end = check_records(got);
        CHECK_INT(seen.sequence, idempotent ? got : -1);
        if (end - got > 3 && seen.size > 700) {
            split(refuse(peer, 10), 600);
        } else if (retried++ % 2 == 0) {
            rig_settle(&r, refuse(peer, 19), PKF_COMMAND_REQUEUE);
        } else {
            peer_reply(peer, &request, 0, got);
            rig_step(&r);
            got = end;
        }
        (void)deliver();
    }
    check_offsets(slots, COUNT, 0);
    check_offsets(behind, 3, COUNT);
    CHECK(atomic_load(&r.wire->counters.splits) >= 2);
    close(peer);
    rig_close(&r);
}

static void what_cannot_be_split_fails(void) {
    pkf_slot slots[2];
    open_rig(true);
    int peer = rig_connect(&r, 0, 12);
    fill(slots, 1, 0);
    receive(peer);
    split(refuse(peer, 10), 100); // one record
    rig_step(&r);
    CHECK(rig_is_done(&slots[0]) && slots[0].batch->code == 10 && strcmp(slots[0].batch->message, "too large") == 0);
    CHECK(rig_saw(&r, PKF_EVENT_GAP));
    (void)deliver();
    rig_producer(&r, 1000, 1);
    rig_command(&r, PKF_COMMAND_RESTART, 0, 0, 0);
    fill(slots + 1, 1, 0);
    receive(peer);
    CHECK_INT(request.batches[0].sequence, 0);
    CHECK_INT(request.batches[0].epoch, 1);
    slots[1].batch->maybe_written = true; // an earlier try
    split(refuse(peer, 10), 0);
    rig_step(&r);
    CHECK(rig_is_done(&slots[1]) && !slots[1].batch->in_doubt && !slots[0].batch->in_doubt);
    (void)deliver();
    rig_forget(&slots[0]);
    rig_forget(&slots[1]);
    close(peer);
    rig_close(&r);
}

// Nobody holds the futures; the producer ends in the middle: nothing may be left over.
static void pieces_nobody_waits_for(void) {
    pkf_slot slots[COUNT];
    open_rig(true);
    int peer = rig_connect(&r, 0, 12);
    fill(slots, COUNT, 0);
    for (int i = 0; i < COUNT; i++) rig_forget(&slots[i]);
    receive(peer);
    split(refuse(peer, 10), 800);
    receive(peer);
    close(peer);
    rig_step(&r);
    pkf_wire_free(r.wire);
    CHECK_INT(deliver(), COUNT / 2);
    rig_check_empty(&r);
    pkf_accum_unref(r.accum);
}

static void listen_before_and_after(void) {
    pkf_slot slots[COUNT];
    open_rig(true);
    int peer = rig_connect(&r, 0, 12), listener;
    fill(slots, COUNT, 0);
    receive(peer);
    CHECK_INT(pkf_accum_listen(r.accum, slots[30].batch, &listener), PKF_OK);
    split(refuse(peer, 10), 800);
    rig_step(&r);
    pkf_batch *list = NULL;
    CHECK_INT(pkf_accum_wait_done(r.accum, 0, &list), PKF_OK);
    NEED(list == slots[0].batch && list->completed_next == NULL && list->cookie_count == 0);
    pkf_listener *attached = pkf_accum_take_listeners(r.accum, list);
    NEED(attached && attached->object == &listener && attached->next == NULL);
    free(attached);
    int32_t index = slots[30].index;
    pkf_batch *piece = pkf_batch_follow(slots[30].batch, &index);
    CHECK(piece != list && !(pkf_batch_state(piece) & PKF_DONE));
    CHECK_INT(pkf_accum_listen(r.accum, piece, &listener), PKF_OK); // moves on to the piece
    CHECK(pkf_accum_take_listeners(r.accum, list) == NULL);
    pkf_accum_delivered(r.accum, list, 0);
    CHECK_INT(pkf_accum_listen(r.accum, slots[0].batch, &listener), PKF_E_CLOSED);
    attached = pkf_accum_take_listeners(r.accum, piece);
    NEED(attached && attached->object == &listener);
    free(attached);
    for (int i = 0; i < COUNT; i++) rig_forget(&slots[i]);
    close(peer);
    pkf_wire_free(r.wire);
    (void)deliver();
    rig_check_empty(&r);
    pkf_accum_unref(r.accum);
}

int main(void) {
    pieces_carry_what_the_batch_did(true);
    pieces_carry_what_the_batch_did(false);
    pieces_keep_their_place(true);
    pieces_keep_their_place(false);
    what_cannot_be_split_fails();
    pieces_nobody_waits_for();
    listen_before_and_after();
    free(request.frame);
    return FINISH();
}
