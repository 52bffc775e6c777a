// SPDX-License-Identifier: Apache-2.0
// Batches on their way through the workers: compressed, in order, and gone in the end, whatever happens meanwhile.
#include "rig.h"

static rig r;
static peer_request request;
static uint8_t raw[4 << 20];
static pkf_codec_state *codecs;

static void open_rig(pkf_codec codec, int32_t level, int32_t workers, bool started) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    accum.codec = codec;
    accum.codec_level = level;
    accum.linger_ns = 0;
    wire.workers = workers;
    wire.idempotent = true;
    rig_open(&r, &accum, &wire, 2);
    rig_lead(&r, 0, 1);
    rig_producer(&r, 1000, 0);
    if (started) NEED(pkf_wire_start(r.wire) == PKF_OK);
}

// A value that compresses, or not, and says which it is.
static void value_of(int number, size_t size, bool random, char *value) {
    uint64_t x = (uint64_t)number * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < size; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        value[i] = random ? (char)(x | 1) : "abcdefgh"[(number + (int)i / 16) % 8];
    }
    value[size] = 0;
    snprintf(value, 16, "%09d", number);
    value[9] = ' ';
}

static pkf_slot send_one(int32_t partition, int number, size_t size, bool random) {
    static char value[100000];
    value_of(number, size, random, value);
    return rig_append(&r, partition, value);
}

// The records of a batch as a broker would see them.
static void open_records(peer_batch *batch) {
    pkf_codec codec = (pkf_codec)(batch->attributes & 7);
    size_t size = 0;
    if (codec == PKF_NONE) return;
    pkf_span packed = {batch->records.at, (size_t)(batch->records.end - batch->records.at)};
    NEED(pkf_codec_decompress(codecs, codec, 2, packed, raw, sizeof raw, &size) == PKF_OK);
    CHECK(size > packed.len);
    batch->records = (peer_bytes){raw, raw + size, false};
}

// Reads requests and answers them until `total` records of partition 0 came, in order. Returns the batches.
static int serve(int peer, int from, int total, pkf_codec codec, size_t value_size) {
    int batches = 0, next = from;
    while (next < from + total) {
        NEED(peer_receive(peer, &request, PEER_WAIT_MS) == 1);
        for (int i = 0; i < request.batch_count; i++) {
            peer_batch *batch = &request.batches[i];
            peer_record record;
            CHECK_INT(batch->attributes, codec);
            CHECK_INT(batch->sequence, next);
            open_records(batch);
            for (; peer_next_record(batch, &record); next++) {
                CHECK_INT(record.value_size, value_size);
                CHECK_INT(atoi((const char *)record.value), next);
            }
            batches++;
        }
        peer_reply(peer, &request, 0, 0);
    }
    return batches;
}

static void wait_until_done(pkf_slot *slot) {
    CHECK(pkf_accum_wait_batch(r.accum, slot->batch, false, (int64_t)PEER_WAIT_MS * RIG_MS) == PKF_OK);
    CHECK_INT(slot->batch->code, 0);
    rig_forget(slot);
}

enum { MANY = 600 };

static void every_codec_in_order(pkf_codec codec, int32_t level, int32_t workers) {
    pkf_slot slots[MANY];
    open_rig(codec, level, workers, true);
    int peer = rig_connect(&r, 0, 12);
    for (int i = 0; i < MANY; i++) slots[i] = send_one(0, i, 500, false);
    int batches = serve(peer, 0, MANY, codec, 500);
    for (int i = 0; i < MANY; i++) wait_until_done(&slots[i]);
    pkf_wire_counters *counters = &r.wire->counters;
    CHECK(batches > 3);
    CHECK(atomic_load(&counters->packed_bytes) * 2 < atomic_load(&counters->raw_bytes));
    CHECK(atomic_load(&counters->packing_ns) > 0);
    CHECK_INT(atomic_load(&counters->incompressible), 0);
    close(peer);
    rig_stop_and_close(&r);
}

static void what_does_not_shrink_leaves_as_it_is(void) {
    pkf_slot slots[50];
    open_rig(PKF_LZ4, 0, 2, true);
    int peer = rig_connect(&r, 0, 12);
    for (int i = 0; i < 50; i++) slots[i] = send_one(0, i, 3000, true);
    int batches = serve(peer, 0, 50, PKF_NONE, 3000);
    for (int i = 0; i < 50; i++) wait_until_done(&slots[i]);
    CHECK_INT(atomic_load(&r.wire->counters.incompressible), batches);
    CHECK_INT(atomic_load(&r.topic->ratio), PKF_RATIO_ONE);
    close(peer);
    rig_stop_and_close(&r);
}

// The estimate falls with what is seen, and batches may grow further; it jumps back when a batch was too large.
static void the_estimate_decides_how_far_batches_grow(void) {
    open_rig(PKF_ZSTD, 3, 1, false);
    uint32_t limit = atomic_load(&r.topic->fill_limit), size = atomic_load(&r.topic->fill_size);
    CHECK_INT(limit, (64 << 10) * 100 / 105);
    CHECK_INT(size, 4000 * 100 / 105);
    for (int i = 0; i < 400; i++) pkf_topic_note_ratio(r.topic, 250, 1000);
    CHECK_INT(atomic_load(&r.topic->ratio), PKF_RATIO_ONE / 4);
    CHECK(atomic_load(&r.topic->fill_limit) > 3 * limit && atomic_load(&r.topic->fill_size) > 3 * size);
    pkf_topic_note_ratio(r.topic, 260, 1000);
    CHECK_INT(atomic_load(&r.topic->ratio), PKF_RATIO_ONE / 4 + PKF_RATIO_ONE / 20); // at least 0.05 up
    pkf_topic_note_ratio(r.topic, 900, 1000);
    CHECK_INT(atomic_load(&r.topic->ratio), (PKF_RATIO_ONE * 9 + 9) / 10); // and never below what was seen
    pkf_topic_note_ratio(r.topic, 1, 1000);
    CHECK_INT(atomic_load(&r.topic->ratio), (PKF_RATIO_ONE * 9 + 9) / 10 - PKF_RATIO_ONE / 200); // at most 0.005 down
    for (int i = 0; i < 400; i++) {
        pkf_topic_note_ratio(r.topic, 1, i < 200 ? 1000 : 100000);
        CHECK(atomic_load(&r.topic->ratio) <= PKF_RATIO_ONE);
    }
    CHECK_INT(atomic_load(&r.topic->fill_limit), 1 << 20); // never more than what fits a request as it is
    pkf_topic_forget_ratio(r.topic);
    CHECK_INT(atomic_load(&r.topic->fill_limit), limit);
    pkf_topic_set_codec(r.topic, PKF_NONE, 0);
    CHECK_INT(atomic_load(&r.topic->fill_limit), 64 << 10);
    CHECK_INT(atomic_load(&r.topic->fill_size), 4000);
    rig_close(&r);
}

static void split_batches_are_compressed_again(void) {
    enum { COUNT = 60 };
    pkf_slot slots[COUNT];
    open_rig(PKF_GZIP, 6, 1, true);
    for (int i = 0; i < 400; i++) pkf_topic_note_ratio(r.topic, 100, 1000); // they go into one batch
    for (int i = 0; i < COUNT; i++) slots[i] = send_one(0, i, 500, false);
    int peer = rig_connect(&r, 0, 12);
    NEED(peer_receive(peer, &request, PEER_WAIT_MS) == 1);
    CHECK_INT(request.batches[0].count, COUNT);
    CHECK_INT(request.batches[0].attributes, PKF_GZIP);
    peer_reply(peer, &request, 10, -1);
    pkf_command *command = rig_decide(rig_event_within(&r, PKF_EVENT_PARKED, PEER_WAIT_MS), PKF_COMMAND_SPLIT);
    command->size = (int32_t)request.batches[0].size / 2;
    pkf_wire_command(r.wire, command);
    CHECK(serve(peer, 0, COUNT, PKF_GZIP, 500) >= 2);
    for (int i = 0; i < COUNT; i++) {
        int32_t index = slots[i].index;
        CHECK(pkf_accum_wait_batch(r.accum, slots[i].batch, false, (int64_t)PEER_WAIT_MS * RIG_MS) == PKF_OK);
        pkf_batch *piece = pkf_batch_follow(slots[i].batch, &index);
        CHECK(pkf_accum_wait_batch(r.accum, piece, false, (int64_t)PEER_WAIT_MS * RIG_MS) == PKF_OK);
        CHECK_INT(piece->code, 0);
        rig_forget(&slots[i]);
    }
    close(peer);
    rig_stop_and_close(&r);
}

// A worker reads the slab until it has finished: what became of the batch meanwhile makes no difference to that.
static void expired_in_a_workers_hands(bool before_its_turn) {
    open_rig(PKF_GZIP, 9, 0, false); // the workers of this one are played
    r.wire->workers.count = 1;
    int peer = rig_connect(&r, 0, 12);
    pkf_slot first = rig_batch(&r, 0, "first"), last = rig_batch(&r, 0, "last");
    pkf_slot *slot = before_its_turn ? &last : &first;
    rig_step(&r);
    CHECK_INT(peer_receive(peer, &request, 0), 0);
    CHECK_INT(slot->batch->packing, PKF_PACKING_UNDER_WAY);
    rig_advance(&r, 121000);
    rig_step(&r);
    CHECK(rig_is_done(&first) && rig_is_done(&last));
    CHECK_INT(slot->batch->code, PKF_CODE_TIMEOUT);
    CHECK(!slot->batch->in_doubt && slot->batch->slab != NULL);
    r.wire->workers.count = 0;
    pkf_workers_stop(&r.wire->workers); // they come back as they are
    rig_step(&r);
    CHECK(first.batch->slab == NULL && last.batch->slab == NULL);
    rig_forget(&first);
    rig_forget(&last);
    close(peer);
    rig_close(&r);
}

static void closed_while_workers_are_busy(void) {
    pkf_slot slots[MANY];
    open_rig(PKF_GZIP, 9, 2, true);
    int peer = rig_connect(&r, 0, 12);
    for (int i = 0; i < MANY; i++) slots[i] = send_one(i % 2, i, 1000, false);
    rig_command(&r, PKF_COMMAND_ABORT, 0, 0, 0);
    rig_command(&r, PKF_COMMAND_STOP, 0, 0, 0);
    CHECK(pkf_wire_join(r.wire, PKF_NEVER) == PKF_OK);
    for (int i = 0; i < MANY; i++) {
        CHECK(rig_is_done(&slots[i]));
        rig_forget(&slots[i]);
    }
    close(peer);
    rig_close(&r);
}

static void an_old_broker_gets_no_batches(void) {
    open_rig(PKF_ZSTD, 3, 1, true);
    int peer = rig_connect(&r, 0, 6);
    pkf_slot slot = send_one(0, 1, 2000, false);
    CHECK(pkf_accum_wait_batch(r.accum, slot.batch, false, (int64_t)PEER_WAIT_MS * RIG_MS) == PKF_OK);
    CHECK_INT(slot.batch->code, 76);
    CHECK(!slot.batch->in_doubt);
    rig_forget(&slot);
    close(peer);
    rig_stop_and_close(&r);
}

// Full batches are compressed while those before them are in flight.
static void ahead_of_their_turn(void) {
    open_rig(PKF_LZ4, 0, 1, true);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot slots[30];
    for (int i = 0; i < 30; i++)
        slots[i] = rig_batch(&r, 0, "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a");
    NEED(peer_receive(peer, &request, PEER_WAIT_MS) == 1);
    int64_t deadline = peer_now_ms() + PEER_WAIT_MS;
    while (atomic_load(&r.wire->counters.packing_ns) == 0 && peer_now_ms() < deadline) {
    }
    peer_reply(peer, &request, 0, 0);
    for (int n = 1; n < 30; n++) {
        NEED(peer_receive(peer, &request, PEER_WAIT_MS) == 1);
        CHECK_INT(request.batches[0].sequence, n);
        CHECK_INT(request.batches[0].attributes, PKF_LZ4);
        peer_reply(peer, &request, 0, n);
    }
    for (int i = 0; i < 30; i++) wait_until_done(&slots[i]);
    close(peer);
    rig_stop_and_close(&r);
}

int main(void) {
    NEED((codecs = pkf_codec_state_new()));
    every_codec_in_order(PKF_GZIP, 6, 1);
    every_codec_in_order(PKF_SNAPPY, 0, 2);
    every_codec_in_order(PKF_LZ4, 0, 4);
    every_codec_in_order(PKF_LZ4, 9, 1);
    every_codec_in_order(PKF_ZSTD, 3, 3);
    what_does_not_shrink_leaves_as_it_is();
    the_estimate_decides_how_far_batches_grow();
    split_batches_are_compressed_again();
    expired_in_a_workers_hands(false);
    expired_in_a_workers_hands(true);
    closed_while_workers_are_busy();
    an_old_broker_gets_no_batches();
    ahead_of_their_turn();
    pkf_codec_state_free(codecs);
    free(request.frame);
    return FINISH();
}
