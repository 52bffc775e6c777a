// SPDX-License-Identifier: Apache-2.0
//
// One partition, whose first batch was acknowledged; three more are lost with their connection.
#ifndef DOUBT_H
#define DOUBT_H

#include "rig.h"

enum { LOST = 3 };

static rig r;
static peer_request request;

static inline void receive(int peer, int16_t epoch, int32_t sequence) {
    rig_step(&r);
    NEED(peer_receive(peer, &request, 1000) == 1);
    CHECK_INT(request.batches[0].epoch, epoch);
    CHECK_INT(request.batches[0].sequence, sequence);
}

static inline void answer(int peer, int16_t code) {
    peer_reply(peer, &request, code, 0);
    rig_step(&r);
}

static inline void settle(const pkf_slot *parked, pkf_command_kind kind, bool refused) {
    rig_judge(&r, parked->batch, kind, refused, true);
}

static inline int reconnect(int peer) {
    close(peer);
    rig_step(&r);
    return rig_connect(&r, 0, 12);
}

static inline void restart(int32_t epoch) {
    rig_producer(&r, 31, epoch);
    rig_command(&r, PKF_COMMAND_RESTART, 0, 0, 0);
}

// `kind` is what becomes of the first of the three; the others are to be sent again.
static inline int lose(pkf_slot *slots, pkf_command_kind kind) {
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
    for (int i = 0; i < LOST; i++) settle(&slots[i], i ? PKF_COMMAND_REQUEUE : kind, false);
    return peer;
}

static inline void end(int peer, pkf_slot *slots) {
    for (int i = 0; i < LOST; i++) rig_forget(&slots[i]);
    close(peer);
    rig_close(&r);
}

#endif
