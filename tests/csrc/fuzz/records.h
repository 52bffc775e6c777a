// SPDX-License-Identifier: Apache-2.0
//
// Records made from a fuzzer's bytes, appended to one partition, and compared with what the peer's own parser reads.
#ifndef FUZZ_RECORDS_H
#define FUZZ_RECORDS_H

#include "rig.h"

enum { RECORDS_MAX = 64, HEADERS_MAX = 8 };

// Room for all records at once, and one request at a time: it has to fit into the socket.
static inline void open_for_records(rig *r, bool idempotent) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    accum.buffer_memory = 32 << 20;
    wire.idempotent = idempotent;
    wire.max_in_flight = 1;
    rig_open(r, &accum, &wire, 1);
    rig_lead(r, 0, 1);
    rig_producer(r, 1000, 0);
}

typedef struct fuzz_bytes {
    const uint8_t *at, *end;
} fuzz_bytes;

typedef struct fuzz_record {
    pkf_span key, value;
    pkf_header headers[HEADERS_MAX];
    int32_t header_count;
    int64_t timestamp;
    pkf_slot slot;
} fuzz_record;

static inline uint8_t take_byte(fuzz_bytes *in) { return in->at < in->end ? *in->at++ : 0; }

// One byte says how long: 0 null (or empty where null is not allowed), large ones stand for more.
static inline pkf_span take_span(fuzz_bytes *in, bool nullable) {
    static const uint8_t filler[6000];
    uint8_t byte = take_byte(in);
    size_t len = byte ? byte - 1u : 0;
    if (byte == 0 && nullable) return (pkf_span){NULL, 0};
    if (byte > 200) return (pkf_span){filler, (size_t)(byte - 200) * 100};
    if (len > (size_t)(in->end - in->at)) len = (size_t)(in->end - in->at);
    if (len == 0) return (pkf_span){filler, 0};
    in->at += len;
    return (pkf_span){in->at - len, len};
}

static inline int64_t take_timestamp(fuzz_bytes *in) {
    uint8_t shift = take_byte(in), low = take_byte(in);
    return shift % 4 ? 1700000000000 + low : (int64_t)low << (shift >> 2) % 54; // near each other, or anywhere
}

static inline int take_records(fuzz_bytes *in, fuzz_record *records) {
    int count = 0;
    while (in->at < in->end && count < RECORDS_MAX) {
        fuzz_record *record = &records[count++];
        record->timestamp = take_timestamp(in);
        record->header_count = take_byte(in) % (HEADERS_MAX + 1);
        record->key = take_span(in, true);
        record->value = take_span(in, true);
        for (int32_t i = 0; i < record->header_count; i++) {
            record->headers[i].key = take_span(in, false);
            record->headers[i].value = take_span(in, true);
        }
    }
    return count;
}

static inline void append_records(rig *r, fuzz_record *records, int count) {
    for (int i = 0; i < count; i++) {
        fuzz_record *record = &records[i];
        pkf_append append = rig_record(r, 0, NULL, &record->slot);
        append.timestamp = record->timestamp;
        append.key = record->key;
        append.value = record->value;
        append.headers = record->headers;
        append.header_count = record->header_count;
        NEED(rig_append_some(r->accum, &append, false) == PKF_OK);
    }
    pkf_lock_take(&rig_part(r, 0)->lock);
    pkf_partition_close_tail_locked(rig_part(r, 0));
    pkf_lock_let_go(&rig_part(r, 0)->lock);
}

static inline void same_bytes(pkf_span wanted, const uint8_t *got, int64_t size) {
    CHECK_INT(size, wanted.base ? (int64_t)wanted.len : -1);
    if (wanted.base && size == (int64_t)wanted.len && size > 0) CHECK_BYTES(got, wanted.base, wanted.len);
}

static inline void same_record(const fuzz_record *wanted, const peer_record *got) {
    CHECK_INT(got->timestamp, wanted->timestamp);
    CHECK_INT(got->header_count, wanted->header_count);
    same_bytes(wanted->key, got->key, got->key_size);
    same_bytes(wanted->value, got->value, got->value_size);
    peer_bytes b = {got->headers, got->headers + (1 << 20), false}; // the parser has checked where they end
    for (int32_t i = 0; i < wanted->header_count && i < got->header_count; i++) {
        int64_t size = peer_varint(&b);
        same_bytes(wanted->headers[i].key, peer_take(&b, size), size);
        size = peer_varint(&b);
        same_bytes(wanted->headers[i].value, size < 0 ? NULL : peer_take(&b, size), size);
    }
}

// The records of a batch are those from `first` on; returns the index behind its last.
static inline int same_batch(const fuzz_record *records, int count, int first, peer_batch *batch) {
    peer_record got;
    int end = first;
    int64_t newest = INT64_MIN;
    for (; peer_next_record(batch, &got); end++) {
        NEED(end < count);
        CHECK_INT(got.index, end - first);
        same_record(&records[end], &got);
        if (records[end].timestamp > newest) newest = records[end].timestamp;
    }
    CHECK_INT(end - first, batch->count);
    CHECK_INT(batch->max_timestamp, newest);
    return end;
}

static inline void check_outcome(fuzz_record *records, int count) {
    for (int i = 0; i < count; i++) {
        int32_t index = records[i].slot.index;
        const pkf_batch *batch = pkf_batch_follow(records[i].slot.batch, &index);
        CHECK((pkf_batch_state(batch) & PKF_DONE) && batch->code == 0);
        CHECK_INT(batch->base_offset + index, i);
        rig_forget(&records[i].slot);
    }
}

#endif
