// SPDX-License-Identifier: Apache-2.0
//
// The bytes of the Kafka protocol: big-endian integers, zigzag varints, spans, and a reader that cannot leave its range.
//
//   integer   int16 int32 int64        big-endian, two's complement
//   uvarint   unsigned varint          7 bits a byte, low group first, bit 7 = another byte follows
//   varint    zigzag of an int32       (n << 1) ^ (n >> 31), then uvarint: 1 to 5 bytes
//   varlong   zigzag of an int64       the same with 63: 1 to 10 bytes
//   string    int16 length + bytes     -1 = null;   bytes: int32 length;   compact: uvarint length + 1, 0 = null
//   tags      uvarint count, then {uvarint tag, uvarint size, bytes}
//
// Pure functions over the caller's memory: callable from any thread, no lock, nothing is owned here.
#ifndef PKF_BYTES_H
#define PKF_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pkf_status.h"

// Bytes somebody else owns. base NULL means null, which is not the same as an empty span (base set, len 0).
typedef struct pkf_span {
    const uint8_t *base;
    size_t len;
} pkf_span;

// The cache line at p will be written to soon. Without the instruction for it, which compilers give only to those who name
// their processor, the line would come to be read, and be asked for once more when it is written to.
static inline void pkf_fetch_to_write(const void *p) {
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
    __builtin_prefetch(p, 1);
#endif
}

// ---- big-endian integers. The pointer needs no alignment. Each store returns the byte behind what it wrote. ----

static inline uint16_t pkf_load_be16(const uint8_t *p) { return (uint16_t)((uint32_t)p[0] << 8 | p[1]); }

static inline uint32_t pkf_load_be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t pkf_load_be64(const uint8_t *p) {
    return (uint64_t)pkf_load_be32(p) << 32 | pkf_load_be32(p + 4);
}

static inline uint8_t *pkf_store_be16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return p + 2;
}

static inline uint8_t *pkf_store_be32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
    return p + 4;
}

static inline uint8_t *pkf_store_be64(uint8_t *p, uint64_t v) {
    pkf_store_be32(p, (uint32_t)(v >> 32));
    return pkf_store_be32(p + 4, (uint32_t)v);
}

// ---- varints ----

static inline uint32_t pkf_zigzag32(int32_t n) { return ((uint32_t)n << 1) ^ (uint32_t)(n < 0 ? -1 : 0); }
static inline uint64_t pkf_zigzag64(int64_t n) { return ((uint64_t)n << 1) ^ (uint64_t)(n < 0 ? -1 : 0); }
static inline int32_t pkf_unzigzag32(uint32_t v) { return (int32_t)((v >> 1) ^ (0u - (v & 1))); }
static inline int64_t pkf_unzigzag64(uint64_t v) { return (int64_t)((v >> 1) ^ (UINT64_C(0) - (v & 1))); }

// Bytes that pkf_uvarint_write() writes: 1 to 5 for 32 bits, 1 to 10 for 64.
static inline size_t pkf_uvarint_size(uint64_t v) {
    if (v < 0x80) return 1;
    if (v < 0x4000) return 2;
    unsigned bits = 64u - (unsigned)__builtin_clzll(v);
    return (bits * 9 + 64) >> 6;
}

static inline size_t pkf_varint_size(int32_t n) { return pkf_uvarint_size(pkf_zigzag32(n)); }
static inline size_t pkf_varlong_size(int64_t n) { return pkf_uvarint_size(pkf_zigzag64(n)); }

// Each writes at dst and returns the byte behind.
static inline uint8_t *pkf_uvarint_write(uint8_t *dst, uint64_t v) {
    if (v < 0x80) {
        dst[0] = (uint8_t)v;
        return dst + 1;
    }
    if (v < 0x4000) {
        dst[0] = (uint8_t)(v | 0x80);
        dst[1] = (uint8_t)(v >> 7);
        return dst + 2;
    }
    while (v >= 0x80) {
        *dst++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *dst++ = (uint8_t)v;
    return dst;
}

static inline uint8_t *pkf_varint_write(uint8_t *dst, int32_t n) { return pkf_uvarint_write(dst, pkf_zigzag32(n)); }
static inline uint8_t *pkf_varlong_write(uint8_t *dst, int64_t n) { return pkf_uvarint_write(dst, pkf_zigzag64(n)); }

// ---- the cursor ----
//
//   base ┌────────read────────┬──────remaining──────┐ base + len
//                             pos
//
// Reads what the network sent. A read that does not fit, or holds a value its type forbids, sets `failed`, consumes nothing
// more and returns zero or a null span; so does every read after it. Test `failed` once behind a run of reads, and before
// a value is used as an index or a count. Spans point into the cursor's memory.
typedef struct pkf_cursor {
    const uint8_t *base;
    size_t len;
    size_t pos; // <= len, always
    bool failed;
} pkf_cursor;

static inline pkf_cursor pkf_cursor_over(const void *base, size_t len) {
    pkf_cursor c = {.base = (const uint8_t *)base, .len = len, .pos = 0, .failed = false};
    return c;
}

static inline size_t pkf_cursor_remaining(const pkf_cursor *c) { return c->len - c->pos; }

// n bytes, or NULL. The one place where pos moves.
static inline const uint8_t *pkf_cursor_take(pkf_cursor *c, size_t n) {
    if (c->failed || n > c->len - c->pos) {
        c->failed = true;
        return NULL;
    }
    const uint8_t *p = c->base + c->pos;
    c->pos += n;
    return p;
}

static inline void pkf_cursor_skip(pkf_cursor *c, size_t n) { (void)pkf_cursor_take(c, n); }

static inline int8_t pkf_cursor_int8(pkf_cursor *c) {
    const uint8_t *p = pkf_cursor_take(c, 1);
    return p ? (int8_t)p[0] : 0;
}

static inline int16_t pkf_cursor_int16(pkf_cursor *c) {
    const uint8_t *p = pkf_cursor_take(c, 2);
    return p ? (int16_t)pkf_load_be16(p) : 0;
}

static inline int32_t pkf_cursor_int32(pkf_cursor *c) {
    const uint8_t *p = pkf_cursor_take(c, 4);
    return p ? (int32_t)pkf_load_be32(p) : 0;
}

static inline uint32_t pkf_cursor_uint32(pkf_cursor *c) { return (uint32_t)pkf_cursor_int32(c); }

static inline int64_t pkf_cursor_int64(pkf_cursor *c) {
    const uint8_t *p = pkf_cursor_take(c, 8);
    return p ? (int64_t)pkf_load_be64(p) : 0;
}

// A boolean is one byte; anything but 0 is true.
static inline bool pkf_cursor_bool(pkf_cursor *c) { return pkf_cursor_int8(c) != 0; }

// A uuid: 16 bytes in the cursor's memory, or NULL.
static inline const uint8_t *pkf_cursor_uuid(pkf_cursor *c) { return pkf_cursor_take(c, 16); }

// An unsigned varint of at most `bits` bits (32 or 64). A longer one, or one with bits beyond, fails.
static inline uint64_t pkf_cursor_uvarint_bits(pkf_cursor *c, unsigned bits) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < bits; shift += 7) {
        const uint8_t *p = pkf_cursor_take(c, 1);
        if (!p) return 0;
        unsigned left = bits - shift;
        if (left < 7 && *p >> left) break;
        v |= (uint64_t)(*p & 0x7f) << shift;
        if (*p < 0x80) return v;
    }
    c->failed = true;
    return 0;
}

static inline uint32_t pkf_cursor_uvarint(pkf_cursor *c) { return (uint32_t)pkf_cursor_uvarint_bits(c, 32); }
static inline int32_t pkf_cursor_varint(pkf_cursor *c) { return pkf_unzigzag32(pkf_cursor_uvarint(c)); }
static inline int64_t pkf_cursor_varlong(pkf_cursor *c) { return pkf_unzigzag64(pkf_cursor_uvarint_bits(c, 64)); }

// `len` bytes as a span; a negative length is null where that is allowed and a failure where it is not or is below -1.
static inline pkf_span pkf_cursor_span(pkf_cursor *c, int64_t len, bool nullable) {
    pkf_span s = {NULL, 0};
    if (len < 0) {
        if (len != -1 || !nullable) c->failed = true;
        return s;
    }
    s.base = pkf_cursor_take(c, (size_t)len);
    if (s.base) s.len = (size_t)len;
    return s;
}

static inline pkf_span pkf_cursor_string(pkf_cursor *c) {
    int16_t len = pkf_cursor_int16(c);
    return pkf_cursor_span(c, len, false);
}

static inline pkf_span pkf_cursor_nullable_string(pkf_cursor *c) {
    int16_t len = pkf_cursor_int16(c);
    return pkf_cursor_span(c, len, true);
}

static inline pkf_span pkf_cursor_bytes(pkf_cursor *c) {
    int32_t len = pkf_cursor_int32(c);
    return pkf_cursor_span(c, len, false);
}

static inline pkf_span pkf_cursor_nullable_bytes(pkf_cursor *c) {
    int32_t len = pkf_cursor_int32(c);
    return pkf_cursor_span(c, len, true);
}

// Compact strings and compact bytes are the same on the wire.
static inline pkf_span pkf_cursor_compact(pkf_cursor *c) {
    int64_t len = (int64_t)pkf_cursor_uvarint(c) - 1;
    return pkf_cursor_span(c, len, false);
}

static inline pkf_span pkf_cursor_compact_nullable(pkf_cursor *c) {
    int64_t len = (int64_t)pkf_cursor_uvarint(c) - 1;
    return pkf_cursor_span(c, len, true);
}

// A count of elements of at least element_min_size bytes (>= 1) each: fails if so many cannot fit into what remains, so that
// nobody loops over a count the frame cannot hold. A null array counts 0 elements.
static inline int32_t pkf_cursor_count(pkf_cursor *c, int64_t count, size_t element_min_size) {
    if (c->failed || count < -1 || (count > 0 && (uint64_t)count > pkf_cursor_remaining(c) / element_min_size)) {
        c->failed = true;
        return 0;
    }
    return count < 0 ? 0 : (int32_t)count;
}

static inline int32_t pkf_cursor_array(pkf_cursor *c, size_t element_min_size) {
    int32_t count = pkf_cursor_int32(c);
    return pkf_cursor_count(c, count, element_min_size);
}

static inline int32_t pkf_cursor_compact_array(pkf_cursor *c, size_t element_min_size) {
    int64_t count = (int64_t)pkf_cursor_uvarint(c) - 1;
    return pkf_cursor_count(c, count, element_min_size);
}

// Tags: read the count with pkf_cursor_tag_count(), then one tag at a time; body covers exactly the tag's bytes.
static inline int32_t pkf_cursor_tag_count(pkf_cursor *c) {
    return pkf_cursor_count(c, (int64_t)pkf_cursor_uvarint(c), 2);
}

static inline uint32_t pkf_cursor_tag(pkf_cursor *c, pkf_cursor *body) {
    uint32_t tag = pkf_cursor_uvarint(c);
    uint32_t size = pkf_cursor_uvarint(c);
    const uint8_t *p = pkf_cursor_take(c, size);
    *body = pkf_cursor_over(p, p ? size : 0);
    body->failed = c->failed;
    return tag;
}

static inline void pkf_cursor_skip_tags(pkf_cursor *c) {
    pkf_cursor body;
    for (int32_t left = pkf_cursor_tag_count(c); left > 0 && !c->failed; left--) (void)pkf_cursor_tag(c, &body);
}

#endif
