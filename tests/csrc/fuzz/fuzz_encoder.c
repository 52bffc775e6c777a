// SPDX-License-Identifier: Apache-2.0
//
// First byte: the version. Rest: records to send. What the peer reads, with a parser that shares nothing with the
// encoder, is what was sent, and each future ends with its record's offset.
#include "records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static peer_request request;
    rig r;
    fuzz_record records[RECORDS_MAX];
    fuzz_bytes in = {data, data + size};
    int version = 3 + take_byte(&in) % 11, count = take_records(&in, records), got = 0;
    if (count == 0) return -1;
    open_for_records(&r, false);
    int peer = rig_connect(&r, 0, version);
    append_records(&r, records, count);
    while (got < count) {
        rig_step(&r);
        NEED(peer_receive(peer, &request, 1000) == 1);
        NEED(request.batch_count == 1);
        int first = got;
        got = same_batch(records, count, first, &request.batches[0]);
        NEED(got > first);
        peer_reply(peer, &request, 0, first);
        rig_step(&r);
    }
    check_outcome(records, count);
    close(peer);
    rig_step(&r);
    rig_close(&r);
    if (atomic_load(&harness_failures)) abort();
    return 0;
}
