// SPDX-License-Identifier: Apache-2.0
// The compression codecs, as Kafka frames them, over the system's libraries: gzip (libdeflate), snappy (in the chunks of
// snappy-java), lz4 (frames of independent blocks), zstd.
//
// Whole buffers in, whole buffers out. What a library wants to keep from one batch to the next is in a pkf_codec_state,
// which belongs to one thread at a time. Nothing here blocks, locks, or knows of batches.
#ifndef PKF_CODEC_H
#define PKF_CODEC_H

#include <stdbool.h>

#include "pkf_bytes.h"
#include "pkf_status.h"

// The numbers of the attributes of a record batch.
typedef enum pkf_codec { PKF_NONE = 0, PKF_GZIP = 1, PKF_SNAPPY = 2, PKF_LZ4 = 3, PKF_ZSTD = 4 } pkf_codec;

typedef struct pkf_codec_state pkf_codec_state;

pkf_codec_state *pkf_codec_state_new(void); // NULL when out of memory. The libraries' contexts are made when first used
void pkf_codec_state_free(pkf_codec_state *state); // NULL does nothing

// What there is to know of a codec. PKF_E_INVALID: there is no such codec.
typedef struct pkf_codec_levels {
    int32_t min, max, standard; // all 0: the codec has no levels
} pkf_codec_levels;
PKF_MUST_USE pkf_status pkf_codec_describe(pkf_codec codec, pkf_codec_levels *levels);

// Whether 1024 bytes take a tenth of a millisecond or so at most, whatever they are. The levels above take up to several
// hundred times as long for one content (few different bytes at random, as of a genome) as for another.
bool pkf_codec_is_quick(pkf_codec codec, int32_t level);

// Bytes that `size` bytes take at most when they are compressed, whatever they are.
size_t pkf_codec_bound(pkf_codec codec, size_t size);

// Bytes of contexts that a state keeps after it has compressed up to `size` bytes at this level. With several: at most
// the sum. Snappy takes some 180 KiB during a call, and keeps nothing.
size_t pkf_codec_memory(pkf_codec codec, int32_t level, size_t size);

// Compress src; dst has room for pkf_codec_bound() bytes, *size is what was used of it. `magic` is the format of the
// message that will hold it: in message sets v0 the checksum of an lz4 header is another one (KIP-57). gzip takes -1 for
// its standard level, as Kafka does, and zstd 0. Levels 0 to 2 of lz4 are all its fast compressor.
// E_INVALID: codec or level; E_NOMEM.
PKF_MUST_USE pkf_status pkf_codec_compress(pkf_codec_state *state, pkf_codec codec, int32_t level, int magic,
                                           pkf_span src, uint8_t *dst, size_t *size);

// Decompress src, which may be hostile, into at most `room` bytes. E_MALFORMED: it is not of this codec, or ends early;
// E_TOO_LARGE: it needs more room; E_NOMEM.
PKF_MUST_USE pkf_status pkf_codec_decompress(pkf_codec_state *state, pkf_codec codec, int magic, pkf_span src,
                                             uint8_t *dst, size_t room, size_t *size);

#endif
