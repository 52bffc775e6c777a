// SPDX-License-Identifier: Apache-2.0
//
// What hostile or broken peers do to bytes: lengths and counts that are negative, zero, just beyond or 2^31-1, bytes left
// out, doubled, in another order, cut off, of another message.
#ifndef MUTATE_H
#define MUTATE_H

#include "harness.h"

enum { FUZZ_INPUT_MAX = 4096 };

typedef struct fuzz_input {
    size_t size;
    uint8_t bytes[FUZZ_INPUT_MAX];
} fuzz_input;

static inline void overwrite(fuzz_input *in, size_t at, const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size && at + i < in->size; i++) in->bytes[at + i] = bytes[i];
}

static inline void put_telling_integer(fuzz_input *in, size_t at, uint64_t *random) {
    static const int64_t TELLING[] = {0,      1,       -1,      -2,      0x7f,      0x80,      0xff,      0x7ffe,
                                      0x7fff, -0x8000, 0x10000, 1 << 24, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    static const size_t SIZES[] = {1, 2, 4, 4, 8};
    uint64_t value = (uint64_t)TELLING[harness_below(random, sizeof TELLING / sizeof *TELLING)];
    size_t size = SIZES[harness_below(random, 5)];
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)(value >> 8 * (size - 1 - i));
    overwrite(in, at, bytes, size);
}

static inline void put_telling_varint(fuzz_input *in, size_t at, uint64_t *random) {
    static const struct {
        size_t size;
        uint8_t bytes[10];
    } TELLING[] = {
        {5, {0xff, 0xff, 0xff, 0xff, 0x07}},       // 2^31 - 1
        {5, {0x80, 0x80, 0x80, 0x80, 0x08}},       // 2^31
        {5, {0xff, 0xff, 0xff, 0xff, 0x0f}},       // 2^32 - 1
        {5, {0xff, 0xff, 0xff, 0xff, 0x7f}},       // more than 32 bits
        {6, {0x80, 0x80, 0x80, 0x80, 0x80, 0x00}}, // longer than it may be
        {2, {0x80, 0x00}},
        {10, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}},
    };
    size_t which = (size_t)harness_below(random, sizeof TELLING / sizeof *TELLING);
    overwrite(in, at, TELLING[which].bytes, TELLING[which].size);
}

static inline void leave_out(fuzz_input *in, size_t at, size_t size) {
    if (size > in->size - at) size = in->size - at;
    memmove(in->bytes + at, in->bytes + at + size, in->size - at - size);
    in->size -= size;
}

static inline void repeat(fuzz_input *in, size_t at, size_t size) {
    if (size > in->size - at) size = in->size - at;
    if (size > FUZZ_INPUT_MAX - in->size) size = FUZZ_INPUT_MAX - in->size;
    memmove(in->bytes + at + size, in->bytes + at, in->size - at);
    in->size += size;
}

static inline void swap_ranges(fuzz_input *in, size_t at, size_t size) { // two neighbours of the same size
    for (size_t i = 0; i < size && at + size + i < in->size; i++) {
        uint8_t byte = in->bytes[at + i];
        in->bytes[at + i] = in->bytes[at + size + i];
        in->bytes[at + size + i] = byte;
    }
}

static inline void end_like(fuzz_input *in, size_t at, const fuzz_input *other) {
    if (at >= other->size) return;
    memcpy(in->bytes + at, other->bytes + at, other->size - at);
    in->size = other->size;
}

static inline void mutate_once(fuzz_input *in, const fuzz_input *other, uint64_t *random) {
    size_t at = (size_t)harness_below(random, in->size);
    size_t some = 1 + (size_t)harness_below(random, harness_below(random, 2) ? 4 : 64);
    switch (harness_below(random, 11)) {
    case 0: in->bytes[at] = (uint8_t)harness_random(random); break;
    case 1: in->bytes[at] ^= (uint8_t)(1u << harness_below(random, 8)); break;
    case 2:
    case 3: put_telling_integer(in, at, random); break;
    case 4: put_telling_varint(in, at, random); break;
    case 5: in->size = at; break;
    case 6: leave_out(in, at, some); break;
    case 7: repeat(in, at, some); break;
    case 8: swap_ranges(in, at, some); break;
    case 9: end_like(in, at, other); break;
    default: in->bytes[0] = (uint8_t)harness_random(random); // the entry points read a version or kind there
    }
}

static inline void mutate(fuzz_input *in, const fuzz_input *other, uint64_t *random) {
    for (uint64_t n = 1 + harness_below(random, 4); n > 0 && in->size; n--) mutate_once(in, other, random);
}

#endif
