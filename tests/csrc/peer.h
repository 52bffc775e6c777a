// SPDX-License-Identifier: Apache-2.0
//
// The other end of a produce connection: reads requests and batches with a parser of its own, which shares nothing with
// csrc/, and writes responses, right or wrong ones. Every wait has a deadline.
#ifndef PEER_H
#define PEER_H

#include "harness.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEER_BATCHES = 256, PEER_WAIT_MS = 20000 };

static inline int64_t peer_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// ---- reading ----

typedef struct peer_bytes {
    const uint8_t *at, *end;
    bool bad;
} peer_bytes;

static inline int64_t peer_int(peer_bytes *b, int size) {
    uint64_t value = 0;
    if (b->end - b->at < size) b->bad = true;
    for (int i = 0; i < size && !b->bad; i++) value = value << 8 | *b->at++;
    return (int64_t)(value << (64 - 8 * size)) >> (64 - 8 * size);
}

static inline uint64_t peer_uvarint(peer_bytes *b) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        if (b->at == b->end || shift > 63) b->bad = true;
        if (b->bad) return 0;
        value |= (uint64_t)(*b->at & 0x7f) << shift;
        if (!(*b->at++ & 0x80)) return value;
    }
}

static inline int64_t peer_varint(peer_bytes *b) {
    uint64_t raw = peer_uvarint(b);
    return (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
}

static inline const uint8_t *peer_take(peer_bytes *b, int64_t size) {
    if (size < 0 || b->end - b->at < size) b->bad = true;
    if (b->bad) return NULL;
    b->at += size;
    return b->at - size;
}

static inline uint32_t peer_crc32c(const uint8_t *bytes, size_t size) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

typedef struct peer_batch {
    char topic[64]; // empty when there is an id
    uint8_t id[16];
    int32_t partition;
    int64_t base_timestamp, max_timestamp, producer_id;
    int32_t sequence, count, last_offset_delta;
    int16_t epoch, attributes;
    const uint8_t *bytes; // all of it, header included
    size_t size;
    peer_bytes records;
} peer_batch;

typedef struct peer_record {
    int64_t timestamp;
    int32_t index, key_size, value_size, header_count;
    const uint8_t *key, *value, *headers; // headers: from the first header's key length on
} peer_record;

// The next record of a batch; false behind the last.
static inline bool peer_next_record(peer_batch *batch, peer_record *record) {
    peer_bytes *b = &batch->records;
    if (b->at == b->end) return false;
    int64_t size = peer_varint(b);
    const uint8_t *end = b->at + size;
    CHECK_INT(peer_int(b, 1), 0);
    record->timestamp = batch->base_timestamp + peer_varint(b);
    record->index = (int32_t)peer_varint(b);
    record->key_size = (int32_t)peer_varint(b);
    record->key = record->key_size < 0 ? NULL : peer_take(b, record->key_size);
    record->value_size = (int32_t)peer_varint(b);
    record->value = record->value_size < 0 ? NULL : peer_take(b, record->value_size);
    record->header_count = (int32_t)peer_varint(b);
    record->headers = b->at;
    for (int32_t i = 0; i < record->header_count; i++) {
        (void)peer_take(b, peer_varint(b));
        int64_t value_size = peer_varint(b);
        if (value_size >= 0) (void)peer_take(b, value_size);
    }
    CHECK(!b->bad && b->at == end);
    return !b->bad && b->at == end;
}

static inline void peer_open_batch(peer_batch *batch) {
    peer_bytes b = {batch->bytes, batch->bytes + batch->size, false};
    CHECK_INT(peer_int(&b, 8), 0);
    CHECK_INT(peer_int(&b, 4), (int64_t)batch->size - 12);
    CHECK_INT(peer_int(&b, 4), -1);
    CHECK_INT(peer_int(&b, 1), 2);
    uint32_t crc = (uint32_t)peer_int(&b, 4);
    CHECK_INT(crc, peer_crc32c(b.at, (size_t)(b.end - b.at)));
    batch->attributes = (int16_t)peer_int(&b, 2);
    batch->last_offset_delta = (int32_t)peer_int(&b, 4);
    batch->base_timestamp = peer_int(&b, 8);
    batch->max_timestamp = peer_int(&b, 8);
    batch->producer_id = peer_int(&b, 8);
    batch->epoch = (int16_t)peer_int(&b, 2);
    batch->sequence = (int32_t)peer_int(&b, 4);
    batch->count = (int32_t)peer_int(&b, 4);
    CHECK(!b.bad && batch->count > 0);
    CHECK_INT(batch->last_offset_delta, batch->count - 1);
    batch->records = b;
}

typedef struct peer_request {
    uint8_t *frame; // behind the size; grows as needed, free() at the end
    size_t size, room;
    int16_t version, acks;
    int32_t correlation, timeout_ms, batch_count;
    char client[64];
    peer_batch batches[PEER_BATCHES];
} peer_request;

static inline void peer_string(peer_bytes *b, char *text, size_t room, bool compact) {
    int64_t size = compact ? (int64_t)peer_uvarint(b) - 1 : peer_int(b, 2);
    text[0] = 0;
    if (size < 0) return;
    const uint8_t *from = peer_take(b, size);
    if (!from || (size_t)size >= room) return;
    memcpy(text, from, (size_t)size);
    text[size] = 0;
}

static inline int64_t peer_count(peer_bytes *b, bool compact) {
    return compact ? (int64_t)peer_uvarint(b) - 1 : peer_int(b, 4);
}

static inline void peer_no_tags(peer_bytes *b, bool flexible) {
    if (flexible) CHECK_INT(peer_uvarint(b), 0);
}

static inline void peer_parse_partition(peer_request *r, peer_bytes *b, const peer_batch *topic, bool flexible) {
    NEED(r->batch_count < PEER_BATCHES);
    peer_batch *batch = &r->batches[r->batch_count++];
    *batch = *topic;
    batch->partition = (int32_t)peer_int(b, 4);
    batch->size = (size_t)peer_count(b, flexible);
    batch->bytes = peer_take(b, (int64_t)batch->size);
    peer_no_tags(b, flexible);
    NEED(!b->bad);
    if (r->version >= 3) peer_open_batch(batch); // a message set before
}

static inline void peer_parse(peer_request *r) {
    peer_bytes b = {r->frame, r->frame + r->size, false};
    char transactional_id[64];
    CHECK_INT(peer_int(&b, 2), 0);
    r->version = (int16_t)peer_int(&b, 2);
    bool flexible = r->version >= 9;
    r->correlation = (int32_t)peer_int(&b, 4);
    peer_string(&b, r->client, sizeof r->client, false);
    peer_no_tags(&b, flexible);
    if (r->version >= 3) peer_string(&b, transactional_id, sizeof transactional_id, flexible);
    r->acks = (int16_t)peer_int(&b, 2);
    r->timeout_ms = (int32_t)peer_int(&b, 4);
    r->batch_count = 0;
    for (int64_t topics = peer_count(&b, flexible); topics > 0; topics--) {
        peer_batch topic = {.partition = -1};
        if (r->version >= 13)
            memcpy(topic.id, peer_take(&b, 16), 16);
        else
            peer_string(&b, topic.topic, sizeof topic.topic, flexible);
        for (int64_t n = peer_count(&b, flexible); n > 0; n--) peer_parse_partition(r, &b, &topic, flexible);
        peer_no_tags(&b, flexible);
    }
    peer_no_tags(&b, flexible);
    CHECK(!b.bad && b.at == b.end);
}

// 1: read; 0: nothing within the time; -1: the connection has ended.
static inline int peer_read(int fd, uint8_t *to, size_t size, int64_t deadline_ms) {
    for (size_t have = 0; have < size;) {
        struct pollfd p = {fd, POLLIN, 0};
        int64_t left = deadline_ms - peer_now_ms();
        if (poll(&p, 1, left > 0 ? (int)left : 0) <= 0) return 0;
        ssize_t got = recv(fd, to + have, size - have, 0);
        if (got <= 0) return -1;
        have += (size_t)got;
    }
    return 1;
}

static inline int peer_receive(int fd, peer_request *r, int64_t wait_ms) {
    uint8_t size[4];
    int64_t deadline = peer_now_ms() + wait_ms;
    int got = peer_read(fd, size, 4, deadline);
    if (got != 1) return got;
    r->size = (size_t)size[0] << 24 | (size_t)size[1] << 16 | (size_t)size[2] << 8 | size[3];
    if (r->size > r->room) {
        free(r->frame);
        NEED((r->frame = malloc(r->size)));
        r->room = r->size;
    }
    got = peer_read(fd, r->frame, r->size, peer_now_ms() + PEER_WAIT_MS);
    if (got == 1) peer_parse(r);
    return got;
}

// ---- answering ----

typedef struct peer_answer {
    int16_t code;
    int64_t offset, append_time, log_start;
    const char *message;
    int32_t leader, leader_epoch; // sent if leader >= 0, version 10 and above
    int32_t bad_record;           // -1 none
} peer_answer;

#define PEER_ANSWER {.append_time = -1, .log_start = 0, .leader = -1, .leader_epoch = -1, .bad_record = -1}

typedef struct peer_response {
    uint8_t bytes[64 * 1024]; // size first
    size_t size;
    int16_t version;
    bool flexible;
} peer_response;

static inline void peer_put(peer_response *out, int64_t value, int size) {
    NEED(out->size + 8 < sizeof out->bytes);
    for (int i = size - 1; i >= 0; i--) out->bytes[out->size++] = (uint8_t)(value >> (8 * i));
}

static inline void peer_put_uvarint(peer_response *out, uint64_t value) {
    for (; value > 0x7f; value >>= 7) peer_put(out, (int64_t)(value & 0x7f) | 0x80, 1);
    peer_put(out, (int64_t)value, 1);
}

static inline void peer_put_count(peer_response *out, int64_t count) {
    if (out->flexible)
        peer_put_uvarint(out, (uint64_t)(count + 1));
    else
        peer_put(out, count, 4);
}

static inline void peer_put_string(peer_response *out, const char *text) {
    int64_t size = text ? (int64_t)strlen(text) : -1;
    if (out->flexible)
        peer_put_uvarint(out, (uint64_t)(size + 1));
    else
        peer_put(out, size, 2);
    for (int64_t i = 0; i < size; i++) peer_put(out, text[i], 1);
}

static inline void peer_put_tags(peer_response *out) {
    if (out->flexible) peer_put(out, 0, 1);
}

static inline void peer_begin(peer_response *out, const peer_request *r, int32_t correlation, int32_t topics) {
    out->size = 4;
    out->version = r->version;
    out->flexible = r->version >= 9;
    peer_put(out, correlation, 4);
    peer_put_tags(out);
    peer_put_count(out, topics);
}

static inline void peer_put_batch(peer_response *out, const peer_request *r, const peer_batch *batch,
                                  const peer_answer *a) {
    if (r->version >= 13)
        for (int i = 0; i < 16; i++) peer_put(out, batch->id[i], 1);
    else
        peer_put_string(out, batch->topic);
    peer_put_count(out, 1);
    peer_put(out, batch->partition, 4);
    peer_put(out, a->code, 2);
    peer_put(out, a->code ? -1 : a->offset, 8);
    if (r->version >= 2) peer_put(out, a->append_time, 8);
    if (r->version >= 5) peer_put(out, a->log_start, 8);
    if (r->version >= 8) {
        peer_put_count(out, a->bad_record >= 0);
        if (a->bad_record >= 0) {
            peer_put(out, a->bad_record, 4);
            peer_put_string(out, "this one is bad");
            peer_put_tags(out);
        }
        peer_put_string(out, a->message);
    }
    if (r->version >= 10 && a->leader >= 0) {
        peer_put(out, 0x010009, 3); // one tag, number 0, 9 bytes
        peer_put(out, a->leader, 4);
        peer_put(out, a->leader_epoch, 4);
        peer_put_tags(out);
    } else {
        peer_put_tags(out);
    }
    peer_put_tags(out);
}

static inline void peer_end(peer_response *out, int32_t throttle_ms) {
    if (out->version >= 1) peer_put(out, throttle_ms, 4);
    peer_put_tags(out);
    size_t size = out->size;
    out->size = 0;
    peer_put(out, (int64_t)size - 4, 4);
    out->size = size;
}

static inline void peer_send(int fd, const void *bytes, size_t size) {
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(fd, (const uint8_t *)bytes + sent, size - sent, MSG_NOSIGNAL);
        if (n <= 0) return; // the other side has gone
        sent += (size_t)n;
    }
}

// Answer all batches of the request, each in the same way but for offsets, which count up from answer->offset.
static inline void peer_build(peer_response *out, const peer_request *r, const peer_answer *answer,
                              int32_t throttle_ms) {
    peer_begin(out, r, r->correlation, r->batch_count);
    for (int32_t i = 0; i < r->batch_count; i++) peer_put_batch(out, r, &r->batches[i], answer);
    peer_end(out, throttle_ms);
}

static inline void peer_reply(int fd, const peer_request *r, int16_t code, int64_t offset) {
    static _Thread_local peer_response out;
    peer_answer answer = PEER_ANSWER;
    answer.code = code;
    answer.offset = offset;
    peer_build(&out, r, &answer, 0);
    peer_send(fd, out.bytes, out.size);
}

#endif
