// SPDX-License-Identifier: Apache-2.0
//
// First byte: the version, and whether size and correlation id are put right. Rest: what a broker answers to a request of
// three batches, perhaps several times over. Whatever it is, each batch ends once and nothing is left.
#include "rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(int peer, const uint8_t *data, size_t size, bool framed) {
    uint8_t head[8] = {0, 0, (uint8_t)((size + 4) >> 8), (uint8_t)(size + 4), 0, 0, 0, 7};
    if (framed) peer_send(peer, head, sizeof head);
    peer_send(peer, data, size);
}

static void fail_parked(rig *r) {
    for (pkf_event *event; (event = rig_event(r, PKF_EVENT_PARKED)) != NULL;) rig_settle(r, event, PKF_COMMAND_FAIL);
    rig_step(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rig r;
    pkf_slot slots[3];
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    if (size < 1 || size > 16000) return -1;
    wire.acks = data[0] & 0x40 ? 0 : -1;
    rig_open(&r, &accum, &wire, 3);
    rig_lead(&r, 0, 1);
    int peer = rig_connect(&r, 0, 3 + (data[0] & 0x0f) % 11);
    for (int i = 0; i < 3; i++) slots[i] = rig_batch(&r, i, "value");
    rig_step(&r);
    answer(peer, data + 1, size - 1, !(data[0] & 0x80));
    rig_step(&r);
    fail_parked(&r);
    close(peer);
    rig_step(&r);
    fail_parked(&r);
    for (int i = 0; i < 3; i++) {
        CHECK(rig_is_done(&slots[i]) && slots[i].batch->slab == NULL);
        rig_forget(&slots[i]);
    }
    rig_close(&r);
    if (atomic_load(&harness_failures)) abort();
    return 0;
}
