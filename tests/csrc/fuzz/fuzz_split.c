// SPDX-License-Identifier: Apache-2.0
//
// Bytes 0 to 2: idempotent or not, the size from which on the broker refuses, how it errs meanwhile. Rest: records, sent
// as one batch, refused as too large, split, some pieces split again or sent again. Each record arrives once, in order,
// as it was, and its future ends with its offset.
#include "records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TOO_LARGE = 10, NOT_ENOUGH_REPLICAS = 19, BATCH_HEADER = 61 };

static rig r;
static peer_request request;

static pkf_event *refuse(int peer, int16_t code) {
    peer_reply(peer, &request, code, -1);
    rig_step(&r);
    pkf_event *event = rig_event(&r, PKF_EVENT_PARKED);
    NEED(event);
    return event;
}

static void split(int peer, int32_t size) {
    pkf_command *command = rig_decide(refuse(peer, TOO_LARGE), PKF_COMMAND_SPLIT);
    command->size = size;
    pkf_wire_command(r.wire, command);
}

static void exchange(int peer, const fuzz_record *records, int count, size_t limit, uint8_t errs) {
    for (int got = 0, turn = 0; got < count; turn++) {
        NEED(turn < 40 * RECORDS_MAX);
        rig_step(&r);
        NEED(peer_receive(peer, &request, 1000) == 1);
        NEED(request.batch_count == 1);
        peer_batch *batch = &request.batches[0];
        bool large = batch->count > 1 && batch->size > limit;
        int end = same_batch(records, count, got, batch);
        if (r.wire->config.idempotent) CHECK_INT(batch->sequence, got);
        if (large) {
            split(peer, (int32_t)(batch->size / 2 > limit ? batch->size / 2 : limit)); // by halves: pieces of pieces
        } else if (errs >> turn % 8 & 1) {
            rig_settle(&r, refuse(peer, NOT_ENOUGH_REPLICAS), PKF_COMMAND_REQUEUE);
            errs &= (uint8_t)~(1u << turn % 8);
        } else {
            peer_reply(peer, &request, 0, got);
            got = end;
        }
    }
    rig_step(&r);
}

// Parents that were split end as forks, which somebody has to take off the completion list.
static void deliver(void) {
    pkf_batch *list = NULL;
    if (pkf_accum_wait_done(r.accum, 0, &list) != PKF_OK) return;
    for (pkf_batch *next; list; list = next) {
        next = list->completed_next;
        pkf_accum_delivered(r.accum, list, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_record records[RECORDS_MAX];
    fuzz_bytes in = {data, data + size};
    bool idempotent = take_byte(&in) & 1;
    size_t limit = BATCH_HEADER + 7 + (size_t)take_byte(&in) * 8;
    uint8_t errs = take_byte(&in);
    int count = take_records(&in, records);
    if (count == 0) return -1;
    open_for_records(&r, idempotent);
    int peer = rig_connect(&r, 0, 12);
    append_records(&r, records, count);
    exchange(peer, records, count, limit, errs);
    check_outcome(records, count);
    close(peer);
    rig_step(&r);
    deliver();
    rig_close(&r);
    if (atomic_load(&harness_failures)) abort();
    return 0;
}
