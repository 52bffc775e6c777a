// SPDX-License-Identifier: Apache-2.0
//
// The wire and brokers that take message sets: what they are sent, what of it keeps its place, what fails.
#include "rig.h"

static rig r;
static peer_request request;

static void open_compressing_rig(bool idempotent, int32_t partitions, uint32_t max_request_size, pkf_codec codec) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    accum.max_request_size = max_request_size;
    accum.codec = codec;
    accum.codec_level = codec == PKF_GZIP ? 6 : 0;
    wire.idempotent = idempotent;
    rig_open(&r, &accum, &wire, partitions);
    rig_lead(&r, 0, 1);
    if (idempotent) rig_producer(&r, 1000, 0);
}

static void open_rig(bool idempotent, int32_t partitions, uint32_t max_request_size) {
    open_compressing_rig(idempotent, partitions, max_request_size, PKF_NONE);
}

// Workers take their time: a round may have nothing to send yet.
static void receive(int peer, int version) {
    int64_t deadline = peer_now_ms() + PEER_WAIT_MS;
    do {
        rig_step(&r);
    } while (peer_receive(peer, &request, r.wire->workers.count ? 1 : PEER_WAIT_MS) != 1 && peer_now_ms() < deadline);
    NEED(peer_now_ms() < deadline);
    CHECK_INT(request.version, version);
}

static void answer(int peer, int16_t code, int64_t offset) {
    peer_reply(peer, &request, code, offset);
    rig_step(&r);
}

// The batch is a message set of one message with this value.
static void check_message(const peer_batch *batch, int magic, const char *value) {
    peer_bytes b = {batch->bytes, batch->bytes + batch->size, false};
    CHECK_INT(peer_int(&b, 8), 0);
    CHECK_INT(peer_int(&b, 4), b.end - b.at);
    (void)peer_int(&b, 4); // tests/csrc/test_legacy.c looks at checksums
    CHECK_INT(peer_int(&b, 1), magic);
    CHECK_INT(peer_int(&b, 1), 0);
    if (magic) CHECK_INT(peer_int(&b, 8), 1700000000000);
    CHECK_INT(peer_int(&b, 4), -1);
    CHECK_INT(peer_int(&b, 4), strlen(value));
    const uint8_t *bytes = peer_take(&b, (int64_t)strlen(value));
    CHECK(!b.bad && b.at == b.end);
    if (!b.bad) CHECK_BYTES(bytes, value, strlen(value));
}

static void message_sets_of_each_version(void) {
    for (int version = 0; version <= 2; version++) {
        open_rig(false, 1, 1 << 20);
        int peer = rig_connect(&r, 0, version);
        for (int i = 0; i < 3; i++) {
            pkf_slot slot = rig_batch(&r, 0, "hello");
            receive(peer, version);
            CHECK_INT(request.batch_count, 1);
            check_message(&request.batches[0], version == 2, "hello");
            answer(peer, 0, 40 + i);
            CHECK(rig_is_done(&slot) && slot.batch->code == 0);
            CHECK_INT(slot.batch->base_offset, 40 + i);
            CHECK_INT(slot.batch->log_append_time, -1);
            rig_forget(&slot);
        }
        close(peer);
        rig_step(&r);
        rig_close(&r);
    }
}

// Refused by an old broker, sent again to a new one, and the other way round: framed anew each time, sequences begin at 0.
static void a_retry_goes_to_a_broker_of_another_version(int first, int second) {
    open_rig(true, 1, 1 << 20);
    int before = rig_connect(&r, 0, first);
    pkf_slot slot = rig_batch(&r, 0, "moves");
    receive(before, first);
    if (first < 3) check_message(&request.batches[0], 1, "moves");
    answer(before, 6, -1);
    int after = rig_connect(&r, 1, second);
    rig_lead(&r, 1, 2);
    rig_settle(&r, rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_REQUEUE);
    receive(after, second);
    if (second < 3) {
        check_message(&request.batches[0], 1, "moves");
    } else {
        CHECK_INT(request.batches[0].sequence, 0);
        CHECK_INT(request.batches[0].producer_id, 1000);
    }
    answer(after, 0, 5);
    CHECK(rig_is_done(&slot) && slot.batch->code == 0);
    CHECK_INT(slot.batch->base_offset, 5);
    CHECK_INT(rig_part(&r, 0)->sequenced_count, 0);
    CHECK_INT(rig_part(&r, 0)->gap, 0);
    rig_forget(&slot);
    close(before);
    close(after);
    rig_step(&r);
    rig_close(&r);
}

enum { ALIKE = 50 };

static void append_alike(pkf_slot *slots) {
    for (int i = 0; i < ALIKE; i++) slots[i] = rig_append(&r, 0, "one of many that are all alike");
    pkf_lock_take(&rig_part(&r, 0)->lock);
    pkf_partition_close_tail_locked(rig_part(&r, 0));
    pkf_lock_let_go(&rig_part(&r, 0)->lock);
}

static void forget_alike(pkf_slot *slots) {
    for (int i = 0; i < ALIKE; i++) {
        CHECK(rig_is_done(&slots[i]) && slots[i].batch->code == 0);
        CHECK_INT(slots[i].batch->base_offset + slots[i].index, 70 + i);
        rig_forget(&slots[i]);
    }
}

// The messages as they were appended, one behind the other.
static void check_inner(pkf_span set, int magic) {
    peer_bytes b = {set.base, set.base + set.len, false};
    for (int i = 0; i < ALIKE; i++) {
        CHECK_INT(peer_int(&b, 8), i);
        int64_t size = peer_int(&b, 4);
        NEED(!b.bad && size > 30);
        const uint8_t *message = peer_take(&b, size);
        NEED(message != NULL);
        CHECK_BYTES(message + size - 30, "one of many that are all alike", 30);
        CHECK_INT(message[4], magic);
    }
    CHECK(!b.bad && b.at == b.end);
}

static void check_wrapper(const peer_batch *batch, int magic, pkf_codec codec) {
    static uint8_t set[1 << 16];
    size_t size = 0;
    pkf_codec_state *state = pkf_codec_state_new();
    NEED(state != NULL);
    peer_bytes b = {batch->bytes, batch->bytes + batch->size, false};
    CHECK_INT(peer_int(&b, 8), ALIKE - 1);
    CHECK_INT(peer_int(&b, 4), b.end - b.at);
    (void)peer_int(&b, 4);
    CHECK_INT(peer_int(&b, 1), magic);
    CHECK_INT(peer_int(&b, 1), codec);
    if (magic) CHECK_INT(peer_int(&b, 8), 1700000000000);
    CHECK_INT(peer_int(&b, 4), -1);
    CHECK_INT(peer_int(&b, 4), b.end - b.at);
    pkf_span value = {b.at, (size_t)(b.end - b.at)};
    NEED(!b.bad && pkf_codec_decompress(state, codec, magic, value, set, sizeof set, &size) == PKF_OK);
    check_inner((pkf_span){set, size}, magic);
    pkf_codec_state_free(state);
}

static void compressed_message_sets_of_each_version(pkf_codec codec) {
    for (int version = 0; version <= 2; version++) {
        pkf_slot slots[ALIKE];
        open_compressing_rig(false, 1, 1 << 20, codec);
        int peer = rig_connect(&r, 0, version);
        append_alike(slots);
        receive(peer, version);
        check_wrapper(&request.batches[0], version == 2, codec);
        answer(peer, 0, 70);
        forget_alike(slots);
        pkf_slot slot = rig_batch(&r, 0, "no smaller");
        receive(peer, version);
        check_message(&request.batches[0], version == 2, "no smaller");
        answer(peer, 0, 120);
        rig_forget(&slot);
        close(peer);
        rig_step(&r);
        rig_close(&r);
    }
}

// Compressed by a worker for one broker, sent to another that wants it otherwise.
static void a_compressed_batch_goes_to_a_broker_of_another_version(pkf_codec codec, int first, int second) {
    pkf_slot slots[ALIKE];
    open_compressing_rig(true, 1, 1 << 20, codec);
    NEED((r.wire->codecs = pkf_codec_state_new()));
    NEED(pkf_workers_start(&r.wire->workers, 1) == PKF_OK);
    int before = rig_connect(&r, 0, first), after = rig_connect(&r, 1, second);
    append_alike(slots);
    for (int turn = 0; turn < 2; turn++) {
        int peer = turn ? after : before, version = turn ? second : first;
        receive(peer, version);
        if (version < 3) {
            check_wrapper(&request.batches[0], 1, codec);
        } else {
            CHECK_INT(request.batches[0].attributes, codec);
            CHECK_INT(request.batches[0].count, ALIKE);
            CHECK_INT(request.batches[0].sequence, 0);
        }
        answer(peer, turn ? 0 : 6, turn ? 70 : -1);
        if (turn == 0) rig_lead(&r, 1, 2);
        if (turn == 0) rig_settle(&r, rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_REQUEUE);
    }
    forget_alike(slots);
    close(before);
    close(after);
    rig_step(&r);
    pkf_workers_stop(&r.wire->workers);
    rig_close(&r);
}

// A worker has the batch since before the connection was there, and takes its time: nobody frames it meanwhile.
static void not_while_a_worker_has_it(void) {
    open_compressing_rig(false, 1, 1 << 20, PKF_GZIP);
    r.wire->workers.count = 1;
    r.wire->workers.guest.workers = &r.wire->workers;
    rig_lead(&r, 0, 1);
    rig_step(&r);
    pkf_slot slot = rig_batch(&r, 0, "a value that a worker compresses at this moment");
    rig_step(&r);
    CHECK_INT(slot.batch->packing, PKF_PACKING_UNDER_WAY);
    int peer = rig_connect(&r, 0, 2);
    rig_step(&r);
    CHECK_INT(slot.batch->packing, PKF_PACKING_UNDER_WAY);
    CHECK(!slot.batch->in_request);
    r.wire->workers.count = 0;
    pkf_workers_stop(&r.wire->workers);
    rig_command(&r, PKF_COMMAND_ABORT, 0, 0, 0);
    rig_step(&r);
    rig_forget(&slot);
    close(peer);
    rig_close(&r);
}

static void zstd_below_version_7(void) {
    for (int version = 0; version <= 7; version++) {
        open_compressing_rig(false, 1, 1 << 20, PKF_ZSTD);
        int peer = rig_connect(&r, 0, version);
        pkf_slot slot = rig_batch(&r, 0, "zstd");
        if (version < 7) {
            rig_step(&r);
            CHECK(rig_is_done(&slot) && !slot.batch->in_doubt);
            CHECK_INT(slot.batch->code, 76);
            CHECK(slot.batch->message && strstr(slot.batch->message, "Kafka 2.1"));
            CHECK_INT(peer_receive(peer, &request, 0), 0);
        } else {
            receive(peer, version);
            answer(peer, 0, 0);
            CHECK(rig_is_done(&slot) && slot.batch->code == 0);
        }
        rig_forget(&slot);
        close(peer);
        rig_step(&r);
        rig_close(&r);
    }
}

static pkf_slot append_with_header(const char *value) {
    pkf_slot slot = {.batch = NULL};
    pkf_header header = {rig_span("h"), rig_span(NULL)};
    pkf_append append = rig_record(&r, 0, value, &slot);
    append.headers = &header;
    append.header_count = 1;
    NEED(rig_append_some(r.accum, &append, false) == PKF_OK);
    return slot;
}

static int32_t code_of(const pkf_slot *slot) {
    const char *message;
    return pkf_batch_record_code(slot->batch, slot->index, &message);
}

static void headers_that_were_appended_before_it_was_known(void) {
    open_rig(true, 1, 1 << 20);
    pkf_slot first = rig_append(&r, 0, "plain"), bad = append_with_header("headers"), last = rig_batch(&r, 0, "plain");
    pkf_slot behind = rig_batch(&r, 0, "another batch");
    int peer = rig_connect(&r, 0, 2);
    receive(peer, 2);
    check_message(&request.batches[0], 1, "another batch");
    CHECK(rig_is_done(&first) && rig_is_done(&bad) && rig_is_done(&last) && !rig_is_done(&behind));
    CHECK_INT(code_of(&first), PKF_CODE_BATCH_REJECTED);
    CHECK_INT(code_of(&bad), 35);
    CHECK_INT(code_of(&last), PKF_CODE_BATCH_REJECTED);
    CHECK(!bad.batch->in_doubt);
    answer(peer, 0, 0);
    CHECK(rig_is_done(&behind) && behind.batch->code == 0);
    rig_forget(&first);
    rig_forget(&bad);
    rig_forget(&last);
    rig_forget(&behind);
    close(peer);
    rig_step(&r);
    rig_close(&r);
}

static void headers_once_it_is_known(void) {
    open_rig(false, 1, 1 << 20);
    atomic_store(&r.accum->no_headers, 1);
    pkf_slot slot = {.batch = NULL};
    pkf_header header = {rig_span("h"), rig_span(NULL)};
    pkf_append append = rig_record(&r, 0, "v", &slot);
    append.headers = &header;
    append.header_count = 1;
    CHECK_INT(rig_append_some(r.accum, &append, false), PKF_E_UNSUPPORTED);
    CHECK(slot.batch == NULL);
    append.header_count = 0;
    CHECK_INT(rig_append_some(r.accum, &append, false), PKF_OK);
    rig_forget(&slot);
    rig_command(&r, PKF_COMMAND_ABORT, 0, 0, 0);
    rig_step(&r);
    rig_close(&r);
}

// Empty values grow from 7 bytes or 8 to 34: three partitions of 100 fit into 10,000 bytes as batches, two as message sets.
static void requests_are_filled_by_what_is_sent(void) {
    enum { RECORDS = 100 };
    static pkf_slot slots[3][RECORDS];
    for (int version = 2; version <= 3; version++) {
        open_rig(false, 3, 10000);
        for (int p = 0; p < 3; p++) {
            for (int i = 0; i < RECORDS; i++) slots[p][i] = rig_append(&r, p, "");
            pkf_lock_take(&rig_part(&r, p)->lock);
            pkf_partition_close_tail_locked(rig_part(&r, p));
            pkf_lock_let_go(&rig_part(&r, p)->lock);
        }
        int peer = rig_connect(&r, 0, version), seen = 0, requests = 0;
        for (; seen < 3; requests++) {
            receive(peer, version);
            CHECK(request.size <= 10000);
            seen += request.batch_count;
            answer(peer, 0, 0);
        }
        CHECK_INT(requests, version == 2 ? 2 : 1);
        for (int p = 0; p < 3; p++)
            for (int i = 0; i < RECORDS; i++) rig_forget(&slots[p][i]);
        close(peer);
        rig_step(&r);
        rig_close(&r);
    }
}

int main(void) {
    message_sets_of_each_version();
    a_retry_goes_to_a_broker_of_another_version(2, 9);
    a_retry_goes_to_a_broker_of_another_version(9, 2);
    a_retry_goes_to_a_broker_of_another_version(2, 12);
    for (int codec = PKF_GZIP; codec <= PKF_LZ4; codec++) {
        compressed_message_sets_of_each_version((pkf_codec)codec);
        a_compressed_batch_goes_to_a_broker_of_another_version((pkf_codec)codec, 12, 2);
        a_compressed_batch_goes_to_a_broker_of_another_version((pkf_codec)codec, 2, 12);
    }
    not_while_a_worker_has_it();
    zstd_below_version_7();
    headers_that_were_appended_before_it_was_known();
    headers_once_it_is_known();
    requests_are_filled_by_what_is_sent();
    free(request.frame);
    return FINISH();
}
