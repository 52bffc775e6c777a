// SPDX-License-Identifier: Apache-2.0
//
// One record of message format v2: its exact size, written in one pass, and read back with bounds checked.
//
//   ┌ varint body length ┬ int8 attributes = 0 ┬ varlong timestamp delta ┬ varint offset delta ┐
//   ├ varint key length (-1 null) ┬ key ┬ varint value length (-1 null) ┬ value ┤
//   └ varint header count ┬ per header: varint key length (>= 0) ┬ key ┬ varint value length (-1 null) ┬ value ┘
//
// The body length is known before the first byte is written, so nothing is patched afterwards. The smallest record is the
// 7 bytes 0c 00 00 00 01 01 00. Pure functions over the caller's memory: any thread, no lock.
#ifndef PKF_RECORD_H
#define PKF_RECORD_H

#include <string.h>

#include "pkf_bytes.h"

// A record header. The key is never null (it may be empty); the value may be.
typedef struct pkf_header {
    pkf_span key;
    pkf_span value;
} pkf_header;

enum {
    PKF_BATCH_HEADER_SIZE = 61,  // in front of the records of a batch
    PKF_RECORD_MAX_OVERHEAD = 21 // body length 5, attributes 1, timestamp delta 10, offset delta 5
};

// Copies n bytes between ranges that do not overlap. Moves of fixed size that may overlap each other in the destination
// beat a call of memcpy up to 256 bytes, where most keys and values are.
static inline void pkf_copy(uint8_t *dst, const uint8_t *src, size_t n) {
    if (n > 256) {
        memcpy(dst, src, n);
    } else if (n > 32) {
        for (size_t i = 0; i + 32 < n; i += 32) memcpy(dst + i, src + i, 32);
        memcpy(dst + n - 32, src + n - 32, 32);
    } else if (n > 16) {
        memcpy(dst, src, 16);
        memcpy(dst + n - 16, src + n - 16, 16);
    } else if (n >= 8) {
        memcpy(dst, src, 8);
        memcpy(dst + n - 8, src + n - 8, 8);
    } else if (n >= 4) {
        memcpy(dst, src, 4);
        memcpy(dst + n - 4, src + n - 4, 4);
    } else if (n) {
        dst[0] = src[0];
        dst[n / 2] = src[n / 2];
        dst[n - 1] = src[n - 1];
    }
}

// Size of "varint length + bytes" of one field. Lengths above INT32_MAX are charged 2^32, so that the sum cannot pass
// for a legal body length.
static inline uint64_t pkf_field_size(const pkf_span *s) {
    if (!s->base) return 1;
    if (s->len > INT32_MAX) return UINT64_C(1) << 32;
    return pkf_uvarint_size((uint64_t)s->len << 1) + s->len;
}

static inline uint8_t *pkf_field_write(uint8_t *dst, const pkf_span *s) {
    if (!s->base) {
        *dst = 0x01;
        return dst + 1;
    }
    dst = pkf_uvarint_write(dst, (uint64_t)s->len << 1);
    pkf_copy(dst, s->base, s->len);
    return dst + s->len;
}

// "varint count + headers". headers may be NULL when header_count is 0; header_count >= 0.
uint64_t pkf_record_headers_size(const pkf_header *headers, int32_t header_count);
uint8_t *pkf_record_headers_write(uint8_t *dst, const pkf_header *headers, int32_t header_count);

// The exact number of bytes pkf_record_write() will write, and the body length it wants. Returns 0, which no record has,
// when the body would be longer than INT32_MAX (body_len is then not set). key and value are pointers to spans, never NULL.
static inline size_t pkf_record_size(int64_t ts_delta, int32_t offset_delta, const pkf_span *key, const pkf_span *value,
                                     const pkf_header *headers, int32_t header_count, uint32_t *body_len) {
    uint64_t body = 1 + pkf_varlong_size(ts_delta) + pkf_varint_size(offset_delta) + pkf_field_size(key) +
                    pkf_field_size(value) + (header_count ? pkf_record_headers_size(headers, header_count) : 1);
    if (body > INT32_MAX) return 0;
    *body_len = (uint32_t)body;
    return (size_t)(pkf_uvarint_size(body << 1) + body);
}

// Writes the record whose pkf_record_size() the caller has just computed from the same arguments, and returns the byte
// behind it. dst must have that many bytes and overlap none of the fields.
static inline uint8_t *pkf_record_write(uint8_t *dst, uint32_t body_len, int64_t ts_delta, int32_t offset_delta,
                                        const pkf_span *key, const pkf_span *value, const pkf_header *headers,
                                        int32_t header_count) {
    dst = pkf_uvarint_write(dst, (uint64_t)body_len << 1);
    *dst++ = 0;
    dst = pkf_varlong_write(dst, ts_delta);
    dst = pkf_varint_write(dst, offset_delta);
    dst = pkf_field_write(dst, key);
    dst = pkf_field_write(dst, value);
    if (header_count) return pkf_record_headers_write(dst, headers, header_count);
    *dst = 0;
    return dst + 1;
}

// The size a send() is judged by (against max.request.size and buffer.memory) before its place in a batch is known: the
// batch header, PKF_RECORD_MAX_OVERHEAD, and the exact size of key, value and headers. Above INT32_MAX = never sendable.
uint64_t pkf_record_upper_bound(const pkf_span *key, const pkf_span *value, const pkf_header *headers,
                                int32_t header_count);

// A record read back; key, value and headers point into the bytes that were read.
typedef struct pkf_record {
    size_t size; // of the whole record, body length included
    int64_t ts_delta;
    int32_t offset_delta;
    int32_t header_count;
    int8_t attributes;
    pkf_span key;
    pkf_span value;
    pkf_cursor headers; // for pkf_record_next_header()
} pkf_record;

// Reads the record at the cursor and moves behind it. Everything is checked, headers too, and the body must be exactly as
// long as it says. PKF_E_MALFORMED otherwise; record is then not to be used, and the cursor has failed.
PKF_MUST_USE pkf_status pkf_record_read(pkf_cursor *c, pkf_record *record);

// The next header of a record that pkf_record_read() accepted; call it header_count times.
PKF_MUST_USE pkf_status pkf_record_next_header(pkf_cursor *headers, pkf_header *header);

#endif
