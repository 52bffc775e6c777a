// SPDX-License-Identifier: Apache-2.0
//
// Message sets, formats v0 and v1: what brokers before 0.11 take where newer ones take a record batch.
//
//   one after the other, per record:
//   ┌ int64 offset: its index ┬ int32 size of what follows ┬ uint32 CRC-32 of what follows ┬ int8 magic ┬ int8 attributes = 0 ┐
//   └ v1: int64 timestamp ┬ int32 key length (-1 null) ┬ key ┬ int32 value length (-1 null) ┬ value ┘
//
//   compressed: one message that stands for all of them, its offset the last one's, its timestamp the newest
//   ┌ ... as above, attributes = codec, timestamp = newest ┬ key: null ┬ value: the message set, compressed ┘
//
// A batch lies in its slab in format v2, whoever will get it. For a broker of this kind its records are written anew each
// time it is framed, so that a retry may go to a broker of another version. There are no headers, no sequences, and in
// v0 no timestamps. Pure functions over the caller's memory and codec state: any thread, no lock.
#ifndef PKF_LEGACY_H
#define PKF_LEGACY_H

#include "pkf_codec.h"
#include "pkf_record.h"

enum {
    PKF_LEGACY_OVERHEAD_V0 = 26, // of a record besides key and value
    PKF_LEGACY_OVERHEAD_V1 = 34,
    PKF_LEGACY_GROWTH = 27 // by which a record of v1 is at most larger than the same of v2
};

// The message format that goes with a version of Produce: 0, 1, or 2, which is a record batch.
static inline int pkf_produce_magic(int16_t version) { return version >= 3 ? 2 : version == 2 ? 1 : 0; }

// Whether a broker with this version of Produce takes the codec: zstd came with version 7 (Kafka 2.1, KIP-110).
static inline bool pkf_produce_takes(int16_t version, pkf_codec codec) { return codec != PKF_ZSTD || version >= 7; }

// Bytes that the message set of so many records has at most, whose batch of format v2 has `used` bytes.
static inline size_t pkf_legacy_bound(size_t used, int32_t count) {
    return used + (size_t)PKF_LEGACY_GROWTH * (size_t)count;
}

// Writes `count` records of format v2 as a message set; dst has room for pkf_legacy_bound(), *size is what was used of it.
// PKF_E_MALFORMED: that is not so many records; PKF_E_UNSUPPORTED: one of them has headers. dst is then not to be used.
PKF_MUST_USE pkf_status pkf_legacy_write(pkf_span records, int32_t count, int64_t base_timestamp, int magic,
                                         uint8_t *dst, size_t *size);

// Bytes that a message set of this size has at most when it is wrapped.
static inline size_t pkf_legacy_wrap_bound(pkf_codec codec, size_t size) {
    return PKF_LEGACY_OVERHEAD_V1 + pkf_codec_bound(codec, size);
}

// Compresses a message set of `count` messages into one; dst has room for pkf_legacy_wrap_bound(), *size is what was used
// of it, which may be more than before. PKF_E_UNSUPPORTED: a codec message sets do not know; E_INVALID: level; E_NOMEM;
// E_TOO_LARGE: more than a message holds.
PKF_MUST_USE pkf_status pkf_legacy_wrap(pkf_codec_state *state, pkf_codec codec, int32_t level, pkf_span set,
                                        int32_t count, int64_t max_timestamp, int magic, uint8_t *dst, size_t *size);

// CRC-32 (IEEE, reflected 0xEDB88320, initial value and final xor all ones) of what `crc` is the CRC of, then data.
uint32_t pkf_crc32(uint32_t crc, const uint8_t *data, size_t len);

#endif
