// SPDX-License-Identifier: Apache-2.0
#include "pkf_codec.h"

#define ZSTD_STATIC_LINKING_ONLY // ZSTD_estimateCCtxSize_usingCParams()
#include <libdeflate.h>
#include <lz4.h>
#include <lz4frame.h>
#include <lz4hc.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { GZIP_LEVEL_MAX = 9 };

struct pkf_codec_state {
    struct libdeflate_compressor *deflate[GZIP_LEVEL_MAX + 1]; // by level: one cannot change its level
    struct libdeflate_decompressor *inflate;
    LZ4F_cctx *lz4_writer;
    LZ4F_dctx *lz4_reader;
    ZSTD_CCtx *zstd_writer;
    ZSTD_DCtx *zstd_reader;
};

typedef struct pkf_sink {
    uint8_t *base;
    size_t room, used;
} pkf_sink;

static uint8_t *sink_at(const pkf_sink *out) { return out->base + out->used; }
static size_t sink_room(const pkf_sink *out) { return out->room - out->used; }

// ---- none ----

static size_t none_bound(size_t size) { return size; }
static size_t none_memory(int32_t level, size_t size) {
    (void)level, (void)size;
    return 0;
}

static pkf_status none_copy(pkf_span src, pkf_sink *out) {
    if (src.len > out->room) return PKF_E_TOO_LARGE;
    memcpy(out->base, src.base, src.len);
    out->used = src.len;
    return PKF_OK;
}

static pkf_status none_compress(pkf_codec_state *state, int32_t level, int magic, pkf_span src, pkf_sink *out) {
    (void)state, (void)level, (void)magic;
    return none_copy(src, out);
}

static pkf_status none_decompress(pkf_codec_state *state, int magic, pkf_span src, pkf_sink *out) {
    (void)state, (void)magic;
    return none_copy(src, out);
}

// ---- gzip: members of RFC 1952; we write one ----

enum { GZIP_STANDARD = 6 };

static size_t gzip_bound(size_t size) { return libdeflate_gzip_compress_bound(NULL, size); }

// libdeflate does not say; a test compares with what it allocates.
static size_t gzip_memory(int32_t level, size_t size) {
    (void)size;
    return level == 1 ? 208 << 10 : 672 << 10;
}

static pkf_status gzip_compress(pkf_codec_state *state, int32_t level, int magic, pkf_span src, pkf_sink *out) {
    (void)magic;
    if (level == -1) level = GZIP_STANDARD;
    struct libdeflate_compressor **compressor = &state->deflate[level];
    if (*compressor == NULL) *compressor = libdeflate_alloc_compressor(level);
    if (*compressor == NULL) return PKF_E_NOMEM;
    out->used = libdeflate_gzip_compress(*compressor, src.base, src.len, out->base, out->room);
    return out->used ? PKF_OK : PKF_E_TOO_LARGE;
}

static pkf_status gzip_decompress(pkf_codec_state *state, int magic, pkf_span src, pkf_sink *out) {
    (void)magic;
    if (state->inflate == NULL) state->inflate = libdeflate_alloc_decompressor();
    if (state->inflate == NULL) return PKF_E_NOMEM;
    do {
        size_t read = 0, written = 0;
        enum libdeflate_result result = libdeflate_gzip_decompress_ex(state->inflate, src.base, src.len, sink_at(out),
                                                                      sink_room(out), &read, &written);
        if (result == LIBDEFLATE_INSUFFICIENT_SPACE) return PKF_E_TOO_LARGE;
        if (result != LIBDEFLATE_SUCCESS) return PKF_E_MALFORMED;
        out->used += written;
        src.base += read;
        src.len -= read;
    } while (src.len > 0);
    return PKF_OK;
}

// ---- snappy, in the chunks of snappy-java ----
//
//   0   8   82 'SNAPPY' 00
//   8   4   version: 1
//   12  4   the oldest version that can read it: 1
//   16      chunks: int32 size, then so many bytes of raw snappy

static const uint8_t SNAPPY_HEADER[] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};
enum { SNAPPY_MARK_SIZE = 8, SNAPPY_CHUNK = 64 << 10, SNAPPY_SIZE_SIZE = 4 };

static size_t snappy_bound(size_t size) {
    size_t chunks = size / SNAPPY_CHUNK, rest = size % SNAPPY_CHUNK;
    size_t whole = chunks * (SNAPPY_SIZE_SIZE + snappy_max_compressed_length(SNAPPY_CHUNK));
    return sizeof SNAPPY_HEADER + whole + (rest ? SNAPPY_SIZE_SIZE + snappy_max_compressed_length(rest) : 0);
}

static pkf_status snappy_write(pkf_codec_state *state, int32_t level, int magic, pkf_span src, pkf_sink *out) {
    (void)state, (void)level, (void)magic;
    memcpy(out->base, SNAPPY_HEADER, sizeof SNAPPY_HEADER);
    out->used = sizeof SNAPPY_HEADER;
    for (size_t at = 0; at < src.len; at += SNAPPY_CHUNK) {
        size_t size = src.len - at < SNAPPY_CHUNK ? src.len - at : SNAPPY_CHUNK;
        size_t written = sink_room(out) - SNAPPY_SIZE_SIZE;
        if (snappy_compress((const char *)src.base + at, size, (char *)sink_at(out) + SNAPPY_SIZE_SIZE, &written) !=
            SNAPPY_OK)
            return PKF_E_TOO_LARGE;
        pkf_store_be32(sink_at(out), (uint32_t)written);
        out->used += SNAPPY_SIZE_SIZE + written;
    }
    return PKF_OK;
}

static pkf_status snappy_read_raw(pkf_span src, pkf_sink *out) {
    size_t size = 0;
    const char *base = (const char *)src.base;
    if (snappy_uncompressed_length(base, src.len, &size) != SNAPPY_OK) return PKF_E_MALFORMED;
    if (size > sink_room(out)) return PKF_E_TOO_LARGE;
    if (snappy_uncompress(base, src.len, (char *)sink_at(out), &size) != SNAPPY_OK) return PKF_E_MALFORMED;
    out->used += size;
    return PKF_OK;
}

// Other clients write raw snappy, which has no mark.
static pkf_status snappy_read(pkf_codec_state *state, int magic, pkf_span src, pkf_sink *out) {
    (void)state, (void)magic;
    if (src.len < SNAPPY_MARK_SIZE || memcmp(src.base, SNAPPY_HEADER, SNAPPY_MARK_SIZE) != 0)
        return snappy_read_raw(src, out);
    pkf_cursor in = pkf_cursor_over(src.base, src.len);
    pkf_cursor_skip(&in, SNAPPY_MARK_SIZE);
    int32_t version = pkf_cursor_int32(&in), compatible = pkf_cursor_int32(&in);
    if (in.failed || version < 1 || compatible != 1) return PKF_E_MALFORMED;
    while (pkf_cursor_remaining(&in) > 0) {
        pkf_span chunk = pkf_cursor_bytes(&in);
        if (in.failed) return PKF_E_MALFORMED;
        pkf_status status = snappy_read_raw(chunk, out);
        if (status) return status;
    }
    return PKF_OK;
}

// ---- lz4: one frame of independent blocks ----
//
//   0   4   04 22 4d 18
//   4   1   flags: 01 version, 20 independent blocks, 08 content size, 01 dictionary. Ours: 60
//   5   1   largest block, 40: 64 KiB
//   6  (8)  content size, if the flags say so
//       1   second byte of xxHash32 of the flags and what follows them; in message format v0, of the mark too (KIP-57)

enum {
    LZ4_FLAGS_AT = 4,
    LZ4_CHECKSUM_AT = 6,
    LZ4_INDEPENDENT = 0x20,
    LZ4_CONTENT_SIZE = 0x08,
    LZ4_DICTIONARY = 0x01,
    LZ4_CHECKSUM_V0 = 0x1a, // of the header that lz4_preferences() make
};

static LZ4F_preferences_t lz4_preferences(int32_t level) {
    LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent},
        .compressionLevel = level,
        .autoFlush = 1, // it keeps no copy of its input
    };
    return preferences;
}

static size_t lz4_bound(size_t size) {
    LZ4F_preferences_t preferences = lz4_preferences(0);
    return LZ4F_compressFrameBound(size, &preferences);
}

static size_t lz4_memory(int32_t level, size_t size) {
    (void)size;
    return 1024 + (size_t)(level < LZ4HC_CLEVEL_MIN ? LZ4_sizeofState() : LZ4_sizeofStateHC());
}

// LZ4F_compressFrame() would make a context each time.
static pkf_status lz4_compress(pkf_codec_state *state, int32_t level, int magic, pkf_span src, pkf_sink *out) {
    if (state->lz4_writer == NULL && LZ4F_isError(LZ4F_createCompressionContext(&state->lz4_writer, LZ4F_VERSION)))
        return PKF_E_NOMEM;
    LZ4F_preferences_t preferences = lz4_preferences(level);
    size_t done = LZ4F_compressBegin(state->lz4_writer, out->base, out->room, &preferences);
    if (LZ4F_isError(done)) return PKF_E_NOMEM;
    if (magic == 0) out->base[LZ4_CHECKSUM_AT] = LZ4_CHECKSUM_V0;
    out->used = done;
    done = LZ4F_compressUpdate(state->lz4_writer, sink_at(out), sink_room(out), src.base, src.len, NULL);
    if (LZ4F_isError(done)) return PKF_E_TOO_LARGE;
    out->used += done;
    done = LZ4F_compressEnd(state->lz4_writer, sink_at(out), sink_room(out), NULL);
    if (LZ4F_isError(done)) return PKF_E_TOO_LARGE;
    out->used += done;
    return PKF_OK;
}

static uint32_t rotate_left(uint32_t v, int bits) { return v << bits | v >> (32 - bits); }

// xxHash32 of at most 15 bytes, seed 0.
static uint32_t xxhash32_short(const uint8_t *bytes, size_t size) {
    const uint32_t p1 = 2654435761u, p2 = 2246822519u, p3 = 3266489917u, p4 = 668265263u, p5 = 374761393u;
    uint32_t hash = p5 + (uint32_t)size;
    for (; size >= 4; bytes += 4, size -= 4) {
        uint32_t lane = (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
        hash = rotate_left(hash + lane * p3, 17) * p4;
    }
    for (; size > 0; bytes++, size--) hash = rotate_left(hash + *bytes * p5, 11) * p1;
    hash = (hash ^ hash >> 15) * p2;
    hash = (hash ^ hash >> 13) * p3;
    return hash ^ hash >> 16;
}

enum { LZ4_HEADER_MAX = 15 };

// A copy of the header as the library wants it, its size in *size.
static pkf_status lz4_read_header(int magic, pkf_span src, uint8_t *header, size_t *size) {
    static const uint8_t mark[] = {0x04, 0x22, 0x4d, 0x18};
    if (src.len <= LZ4_CHECKSUM_AT || memcmp(src.base, mark, sizeof mark) != 0) return PKF_E_MALFORMED;
    uint8_t flags = src.base[LZ4_FLAGS_AT];
    if (!(flags & LZ4_INDEPENDENT) || flags & LZ4_DICTIONARY) return PKF_E_MALFORMED; // Kafka refuses them too
    size_t checksum_at = LZ4_CHECKSUM_AT + (flags & LZ4_CONTENT_SIZE ? 8 : 0);
    if (src.len <= checksum_at) return PKF_E_MALFORMED;
    memcpy(header, src.base, checksum_at + 1);
    if (magic == 0 && header[checksum_at] == (uint8_t)(xxhash32_short(header, checksum_at) >> 8))
        header[checksum_at] = (uint8_t)(xxhash32_short(header + LZ4_FLAGS_AT, checksum_at - LZ4_FLAGS_AT) >> 8);
    *size = checksum_at + 1;
    return PKF_OK;
}

static pkf_status lz4_failure(size_t result) {
    return strcmp(LZ4F_getErrorName(result), "ERROR_allocation_failed") == 0 ? PKF_E_NOMEM : PKF_E_MALFORMED;
}

static pkf_status lz4_read_blocks(LZ4F_dctx *reader, pkf_span src, pkf_sink *out) {
    LZ4F_decompressOptions_t options = {.stableDst = 1};
    for (;;) {
        size_t read = src.len, written = sink_room(out);
        size_t result = LZ4F_decompress(reader, sink_at(out), &written, src.base, &read, &options);
        if (LZ4F_isError(result)) return lz4_failure(result);
        out->used += written;
        src.base += read;
        src.len -= read;
        if (result == 0) return src.len ? PKF_E_MALFORMED : PKF_OK;
        if (read == 0 && written == 0) return src.len || sink_room(out) == 0 ? PKF_E_TOO_LARGE : PKF_E_MALFORMED;
    }
}

static pkf_status lz4_read_frame(LZ4F_dctx *reader, uint8_t *header, size_t size, pkf_span blocks, pkf_sink *out) {
    size_t written = 0;
    size_t result = LZ4F_decompress(reader, out->base, &written, header, &size, NULL);
    return LZ4F_isError(result) ? lz4_failure(result) : lz4_read_blocks(reader, blocks, out);
}

// A context that did not come to the end of its frame is given up: up to lz4 1.9, resetting it leaves the size of the
// content in there, and the next frame without one would be refused.
static pkf_status lz4_decompress(pkf_codec_state *state, int magic, pkf_span src, pkf_sink *out) {
    uint8_t header[LZ4_HEADER_MAX];
    size_t size = 0;
    pkf_status status = lz4_read_header(magic, src, header, &size);
    if (status) return status;
    if (state->lz4_reader == NULL && LZ4F_isError(LZ4F_createDecompressionContext(&state->lz4_reader, LZ4F_VERSION)))
        return PKF_E_NOMEM;
    status = lz4_read_frame(state->lz4_reader, header, size, (pkf_span){src.base + size, src.len - size}, out);
    if (status == PKF_OK) return PKF_OK;
    (void)LZ4F_freeDecompressionContext(state->lz4_reader);
    state->lz4_reader = NULL;
    return status;
}

// ---- zstd: frames; we write one ----

static size_t zstd_bound(size_t size) { return ZSTD_compressBound(size); }

enum { ZSTD_NEAR = 128 << 10, ZSTD_NEAREST_LOG = 13 };

// The library's choice, but for the tables of its second fastest strategy: those for inputs of 128 KiB, 32 KiB of them for
// short matches, stay in a processor's own caches: 6 to 23 % less time for batches of 1 MiB, as small (code 3 % larger).
static ZSTD_compressionParameters zstd_parameters(int32_t level, size_t size) {
    ZSTD_compressionParameters parameters = ZSTD_getCParams(level, size, 0),
                               near = ZSTD_getCParams(level, ZSTD_NEAR, 0);
    if (size <= ZSTD_NEAR || parameters.strategy != ZSTD_dfast || near.strategy != ZSTD_dfast) return parameters;
    parameters.hashLog = near.hashLog;
    parameters.chainLog = near.chainLog < ZSTD_NEAREST_LOG ? near.chainLog : ZSTD_NEAREST_LOG;
    if (parameters.minMatch < near.minMatch) parameters.minMatch = near.minMatch;
    return parameters;
}

// A context grows with its input, by steps that are not the same for every level, and does not shrink.
static size_t zstd_memory(int32_t level, size_t size) {
    static const size_t steps[] = {16 << 10, 128 << 10, 256 << 10};
    size_t most = ZSTD_estimateCCtxSize_usingCParams(zstd_parameters(level, size));
    for (size_t i = 0; i < sizeof steps / sizeof *steps && steps[i] < size; i++) {
        size_t least = ZSTD_estimateCCtxSize_usingCParams(zstd_parameters(level, steps[i]));
        if (least > most) most = least;
    }
    return most;
}

static pkf_status zstd_failure(size_t result) {
    switch (ZSTD_getErrorCode(result)) {
    case ZSTD_error_memory_allocation: return PKF_E_NOMEM;
    case ZSTD_error_dstSize_tooSmall: return PKF_E_TOO_LARGE;
    default: return PKF_E_MALFORMED;
    }
}

static size_t zstd_set(ZSTD_CCtx *writer, int32_t level, size_t size) {
    ZSTD_compressionParameters parameters = zstd_parameters(level, size);
    size_t result = ZSTD_CCtx_setParameter(writer, ZSTD_c_compressionLevel, level);
    if (!ZSTD_isError(result)) result = ZSTD_CCtx_setParameter(writer, ZSTD_c_hashLog, (int)parameters.hashLog);
    if (!ZSTD_isError(result)) result = ZSTD_CCtx_setParameter(writer, ZSTD_c_chainLog, (int)parameters.chainLog);
    if (!ZSTD_isError(result)) result = ZSTD_CCtx_setParameter(writer, ZSTD_c_minMatch, (int)parameters.minMatch);
    return result;
}

static pkf_status zstd_compress(pkf_codec_state *state, int32_t level, int magic, pkf_span src, pkf_sink *out) {
    (void)magic;
    if (state->zstd_writer == NULL) state->zstd_writer = ZSTD_createCCtx();
    if (state->zstd_writer == NULL) return PKF_E_NOMEM;
    size_t result = zstd_set(state->zstd_writer, level, src.len);
    if (!ZSTD_isError(result)) result = ZSTD_compress2(state->zstd_writer, out->base, out->room, src.base, src.len);
    if (ZSTD_isError(result)) return zstd_failure(result);
    out->used = result;
    return PKF_OK;
}

// Frame by frame, so that formats from before the first release, which the library may also know, stay out.
static pkf_status zstd_decompress(pkf_codec_state *state, int magic, pkf_span src, pkf_sink *out) {
    static const uint8_t mark[] = {0x28, 0xb5, 0x2f, 0xfd};
    (void)magic;
    if (state->zstd_reader == NULL) state->zstd_reader = ZSTD_createDCtx();
    if (state->zstd_reader == NULL) return PKF_E_NOMEM;
    do {
        if (src.len < sizeof mark || memcmp(src.base, mark, sizeof mark) != 0) return PKF_E_MALFORMED;
        size_t read = ZSTD_findFrameCompressedSize(src.base, src.len);
        if (ZSTD_isError(read)) return zstd_failure(read);
        size_t result = ZSTD_decompressDCtx(state->zstd_reader, sink_at(out), sink_room(out), src.base, read);
        if (ZSTD_isError(result)) return zstd_failure(result);
        out->used += result;
        src.base += read;
        src.len -= read;
    } while (src.len > 0);
    return PKF_OK;
}

// ---- the table ----

typedef struct codec_functions {
    pkf_codec_levels levels;
    size_t (*bound)(size_t size);
    size_t (*memory)(int32_t level, size_t size);
    pkf_status (*compress)(pkf_codec_state *state, int32_t level, int magic, pkf_span src, pkf_sink *out);
    pkf_status (*decompress)(pkf_codec_state *state, int magic, pkf_span src, pkf_sink *out);
} codec_functions;

static const codec_functions CODECS[] = {
    [PKF_NONE] = {{0, 0, 0}, none_bound, none_memory, none_compress, none_decompress},
    [PKF_GZIP] = {{1, GZIP_LEVEL_MAX, GZIP_STANDARD}, gzip_bound, gzip_memory, gzip_compress, gzip_decompress},
    [PKF_SNAPPY] = {{0, 0, 0}, snappy_bound, none_memory, snappy_write, snappy_read},
    [PKF_LZ4] = {{0, 12, 0}, lz4_bound, lz4_memory, lz4_compress, lz4_decompress},
    [PKF_ZSTD] = {{-7, 22, 3}, zstd_bound, zstd_memory, zstd_compress, zstd_decompress},
};

static const codec_functions *functions_of(pkf_codec codec) {
    return (size_t)codec < sizeof CODECS / sizeof *CODECS ? &CODECS[codec] : NULL;
}

static bool is_level(pkf_codec codec, int32_t level) {
    if (codec == PKF_GZIP && level == -1) return true;
    return level >= CODECS[codec].levels.min && level <= CODECS[codec].levels.max;
}

pkf_codec_state *pkf_codec_state_new(void) { return calloc(1, sizeof(pkf_codec_state)); }

void pkf_codec_state_free(pkf_codec_state *state) {
    if (state == NULL) return;
    for (int level = 0; level <= GZIP_LEVEL_MAX; level++) libdeflate_free_compressor(state->deflate[level]);
    libdeflate_free_decompressor(state->inflate);
    (void)LZ4F_freeCompressionContext(state->lz4_writer);
    (void)LZ4F_freeDecompressionContext(state->lz4_reader);
    (void)ZSTD_freeCCtx(state->zstd_writer);
    (void)ZSTD_freeDCtx(state->zstd_reader);
    free(state);
}

pkf_status pkf_codec_describe(pkf_codec codec, pkf_codec_levels *levels) {
    const codec_functions *functions = functions_of(codec);
    if (functions == NULL) return PKF_E_INVALID;
    *levels = functions->levels;
    return PKF_OK;
}

bool pkf_codec_is_quick(pkf_codec codec, int32_t level) {
    switch (codec) {
    case PKF_ZSTD: return level <= 9;
    case PKF_GZIP: // -1 is 6
    case PKF_LZ4: return level <= 6;
    default: return true;
    }
}

size_t pkf_codec_bound(pkf_codec codec, size_t size) {
    const codec_functions *functions = functions_of(codec);
    return functions ? functions->bound(size) : 0;
}

size_t pkf_codec_memory(pkf_codec codec, int32_t level, size_t size) {
    const codec_functions *functions = functions_of(codec);
    return functions ? functions->memory(level, size) : 0;
}

static const uint8_t nothing[1];

pkf_status pkf_codec_compress(pkf_codec_state *state, pkf_codec codec, int32_t level, int magic, pkf_span src,
                              uint8_t *dst, size_t *size) {
    const codec_functions *functions = functions_of(codec);
    if (functions == NULL || !is_level(codec, level)) return PKF_E_INVALID;
    if (src.base == NULL) src.base = nothing;
    pkf_sink out = {dst, functions->bound(src.len), 0};
    pkf_status status = functions->compress(state, level, magic, src, &out);
    *size = out.used;
    return status;
}

pkf_status pkf_codec_decompress(pkf_codec_state *state, pkf_codec codec, int magic, pkf_span src, uint8_t *dst,
                                size_t room, size_t *size) {
    uint8_t no_room[1];
    const codec_functions *functions = functions_of(codec);
    if (functions == NULL) return PKF_E_INVALID;
    if (src.base == NULL) src.base = nothing;
    pkf_sink out = {dst ? dst : no_room, dst ? room : 0, 0};
    pkf_status status = functions->decompress(state, magic, src, &out);
    *size = out.used;
    return status;
}
