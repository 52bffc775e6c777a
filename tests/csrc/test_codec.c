// SPDX-License-Identifier: Apache-2.0
//
// Every codec at every level: there and back, its framing byte by byte, its limits, and what it may keep.
// What other programs make of it, and it of theirs, is in tests/core/test_codec.py.
#include "harness.h"

#include "pkf_codec.h"

#if defined(__SANITIZE_ADDRESS__)
size_t __sanitizer_get_current_allocated_bytes(void);
enum { KNOWS_ALLOCATED = true };
static size_t allocated(void) { return __sanitizer_get_current_allocated_bytes(); }
#elif defined(__GLIBC__) && !defined(__SANITIZE_THREAD__)
#include <malloc.h>
enum { KNOWS_ALLOCATED = true };
static size_t allocated(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}
#else
enum { KNOWS_ALLOCATED = false };
static size_t allocated(void) { return 0; }
#endif

enum { CODECS = 5, CHUNK = 64 << 10 };

static const size_t SIZES[] = {0, 1, 100, 4000, CHUNK - 1, CHUNK, CHUNK + 1, 200000};
static uint8_t input[1 << 20];

typedef enum contents { ZEROS, TEXT, NOISE, CONTENTS } contents;

static void fill(contents kind, uint64_t seed) {
    static const char *words[] = {"\"carrier\": ", "\"delay\": ", "null, ", "1700000000", "JFK", "LAX ", "{", "}\n"};
    size_t used = 0;
    memset(input, 0, sizeof input);
    while (kind == TEXT && used < sizeof input - 64) {
        const char *word = words[harness_below(&seed, 8)];
        memcpy(input + used, word, strlen(word));
        used += strlen(word);
        input[used++] = (uint8_t)('0' + harness_below(&seed, 10));
    }
    for (; kind == NOISE && used < sizeof input; used++) input[used] = (uint8_t)harness_random(&seed);
}

// A copy of exactly that size, so that a sanitizer sees a byte too many; the caller frees it.
static uint8_t *block(const uint8_t *bytes, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    NEED(copy);
    if (size) memcpy(copy, bytes, size);
    return copy;
}

typedef struct packed {
    uint8_t *bytes;
    size_t size;
} packed;

static packed pack(pkf_codec_state *state, pkf_codec codec, int32_t level, int magic, pkf_span src) {
    packed result = {block(NULL, 0), 0};
    size_t bound = pkf_codec_bound(codec, src.len);
    result.bytes = realloc(result.bytes, bound ? bound : 1);
    NEED(result.bytes);
    CHECK_INT(pkf_codec_compress(state, codec, level, magic, src, result.bytes, &result.size), PKF_OK);
    CHECK(result.size <= bound);
    return result;
}

static pkf_status unpack(pkf_codec_state *state, pkf_codec codec, int magic, pkf_span src, size_t room, size_t *size) {
    uint8_t *got = malloc(room ? room : 1), *from = block(src.base, src.len);
    NEED(got);
    *size = 0;
    pkf_status status = pkf_codec_decompress(state, codec, magic, (pkf_span){from, src.len}, got, room, size);
    CHECK(*size <= room);
    if (status == PKF_OK && *size) CHECK_BYTES(got, input, *size);
    free(got);
    free(from);
    return status;
}

static pkf_status unpack_hex(pkf_codec_state *state, pkf_codec codec, int magic, const char *hex, size_t *size) {
    uint8_t bytes[512];
    return unpack(state, codec, magic, (pkf_span){bytes, harness_unhex(hex, bytes, sizeof bytes)}, 1024, size);
}

static void there_and_back(pkf_codec_state *state, pkf_codec codec, int32_t level) {
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        size_t got = 0;
        packed p = pack(state, codec, level, 2, (pkf_span){input, SIZES[i]});
        CHECK_INT(unpack(state, codec, 2, (pkf_span){p.bytes, p.size}, SIZES[i], &got), PKF_OK);
        CHECK_INT(got, SIZES[i]);
        if (SIZES[i] > 0)
            CHECK_INT(unpack(state, codec, 2, (pkf_span){p.bytes, p.size}, SIZES[i] - 1, &got), PKF_E_TOO_LARGE);
        free(p.bytes);
    }
}

static void every_level_there_and_back(void) {
    pkf_codec_state *state = pkf_codec_state_new();
    NEED(state);
    for (int kind = 0; kind < CONTENTS; kind++) {
        fill((contents)kind, 5);
        for (int codec = 0; codec < CODECS; codec++) {
            pkf_codec_levels levels = {9, 9, 9};
            CHECK_INT(pkf_codec_describe((pkf_codec)codec, &levels), PKF_OK);
            for (int32_t level = levels.min; level <= levels.max; level++)
                there_and_back(state, (pkf_codec)codec, level);
        }
    }
    there_and_back(state, PKF_GZIP, -1);
    pkf_codec_state_free(state);
    pkf_codec_state_free(NULL);
}

static void null_is_nothing(void) {
    pkf_codec_state *state = pkf_codec_state_new();
    NEED(state);
    for (int codec = 0; codec < CODECS; codec++) {
        size_t size = 9;
        packed p = pack(state, (pkf_codec)codec, codec == PKF_GZIP ? 6 : 0, 2, (pkf_span){NULL, 0});
        CHECK_INT(pkf_codec_decompress(state, (pkf_codec)codec, 2, (pkf_span){p.bytes, p.size}, NULL, 0, &size),
                  PKF_OK);
        CHECK_INT(size, 0);
        pkf_status nothing = pkf_codec_decompress(state, (pkf_codec)codec, 2, (pkf_span){NULL, 0}, NULL, 0, &size);
        CHECK_INT(nothing, codec == PKF_NONE ? PKF_OK : PKF_E_MALFORMED);
        free(p.bytes);
    }
    pkf_codec_state_free(state);
}

static void levels_and_codecs_out_of_range(void) {
    static const struct {
        pkf_codec codec;
        int32_t level;
    } wrong[] = {{PKF_NONE, 1},      {PKF_GZIP, 0}, {PKF_GZIP, -2},   {PKF_GZIP, 10},        {PKF_SNAPPY, 1},
                 {PKF_LZ4, -1},      {PKF_LZ4, 13}, {PKF_ZSTD, -8},   {PKF_ZSTD, 23},        {5, 0},
                 {(pkf_codec)-1, 0}, {7, 3},        {PKF_ZSTD, 1000}, {PKF_GZIP, INT32_MIN}, {PKF_LZ4, INT32_MAX}};
    pkf_codec_state *state = pkf_codec_state_new();
    uint8_t dst[1024];
    size_t size = 0;
    NEED(state);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_INT(pkf_codec_compress(state, wrong[i].codec, wrong[i].level, 2, (pkf_span){input, 10}, dst, &size),
                  PKF_E_INVALID);
    pkf_codec_levels levels;
    CHECK_INT(pkf_codec_describe(5, &levels), PKF_E_INVALID);
    CHECK_INT(pkf_codec_decompress(state, 5, 2, (pkf_span){input, 10}, dst, sizeof dst, &size), PKF_E_INVALID);
    CHECK_INT(pkf_codec_bound(5, 10), 0);
    CHECK_INT(pkf_codec_memory(5, 0, 10), 0);
    pkf_codec_state_free(state);
}

static void starts_with(pkf_codec codec, int32_t level, int magic, const char *hex) {
    uint8_t wanted[64];
    size_t size = harness_unhex(hex, wanted, sizeof wanted);
    pkf_codec_state *state = pkf_codec_state_new();
    NEED(state);
    packed p = pack(state, codec, level, magic, (pkf_span){input, 100});
    NEED(p.size >= size);
    CHECK_BYTES(p.bytes, wanted, size);
    free(p.bytes);
    pkf_codec_state_free(state);
}

static void framing(void) {
    fill(ZEROS, 0);
    starts_with(PKF_GZIP, 6, 2, "1f 8b 08 00 00000000");
    starts_with(PKF_SNAPPY, 0, 2, "82 53 4e 41 50 50 59 00 00000001 00000001 00000009 64 0000 fe0100 8a0100");
    for (int32_t level = 0; level <= 12; level++) {
        starts_with(PKF_LZ4, level, 2, "04224d18 60 40 82");
        starts_with(PKF_LZ4, level, 1, "04224d18 60 40 82");
        starts_with(PKF_LZ4, level, 0, "04224d18 60 40 1a");
    }
    starts_with(PKF_ZSTD, 3, 2, "28b52ffd");
}

// 'a' sixteen times, as others may write it.
static void what_other_writers_may_do(void) {
    static const char *const lz4 = "04224d18 60 40 82 10000080 61616161616161616161616161616161 00000000";
    pkf_codec_state *state = pkf_codec_state_new();
    size_t size = 0;
    NEED(state);
    memset(input, 'a', 1024);
    CHECK_INT(unpack_hex(state, PKF_SNAPPY, 2, "10 00 61 3a 0100", &size), PKF_OK); // without the frame
    CHECK_INT(size, 16);
    CHECK_INT(unpack_hex(state, PKF_LZ4, 2, lz4, &size), PKF_OK); // a block that did not shrink
    CHECK_INT(size, 16);
    pkf_codec_state_free(state);
}

static void lz4_headers_of_both_kinds(void) {
    static const char *const body = "04000080 61616161 00000000";
    static const struct {
        const char *header;
        bool v0, later;
    } cases[] = {
        {"04224d18 60 40 82 ", true, true},   {"04224d18 60 40 1a ", true, false},
        {"04224d18 60 40 1b ", false, false}, {"04224d18 40 40 c0 ", false, false}, // blocks that depend on each other
        {"04224d18 60 40 ", false, false}, // no checksum: the next byte is taken for it
        {"184d2204 60 40 82 ", false, false}, {"504d2a18 00000000 04224d18 60 40 82 ", false, false},
    };
    char hex[128];
    pkf_codec_state *state = pkf_codec_state_new();
    NEED(state);
    memset(input, 'a', 1024);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size = 0;
        snprintf(hex, sizeof hex, "%s%s", cases[i].header, body);
        for (int magic = 0; magic <= 2; magic++) {
            bool good = magic == 0 ? cases[i].v0 : cases[i].later;
            CHECK_INT(unpack_hex(state, PKF_LZ4, magic, hex, &size), good ? PKF_OK : PKF_E_MALFORMED);
            if (good) CHECK_INT(size, 4);
        }
    }
    pkf_codec_state_free(state);
}

// Two of our own, one behind the other: read as one where the format has members or frames.
static void twice(pkf_codec codec, pkf_status wanted) {
    pkf_codec_state *state = pkf_codec_state_new();
    size_t size = 0;
    NEED(state);
    fill(ZEROS, 0);
    packed p = pack(state, codec, codec == PKF_GZIP ? 6 : 0, 2, (pkf_span){input, 1000});
    uint8_t *two = malloc(2 * p.size);
    NEED(two);
    memcpy(two, p.bytes, p.size);
    memcpy(two + p.size, p.bytes, p.size);
    CHECK_INT(unpack(state, codec, 2, (pkf_span){two, 2 * p.size}, 2000, &size), wanted);
    if (wanted == PKF_OK) {
        CHECK_INT(size, 2000);
        CHECK_INT(unpack(state, codec, 2, (pkf_span){two, 2 * p.size}, 1999, &size), PKF_E_TOO_LARGE);
    }
    free(two);
    free(p.bytes);
    pkf_codec_state_free(state);
}

static void what_is_cut_off_or_goes_on_is_malformed(void) {
    pkf_codec_state *state = pkf_codec_state_new();
    NEED(state);
    fill(TEXT, 7);
    for (int codec = PKF_GZIP; codec < CODECS; codec++) {
        size_t got = 0;
        packed p = pack(state, (pkf_codec)codec, codec == PKF_GZIP ? 6 : 0, 2, (pkf_span){input, CHUNK + 900});
        for (size_t size = 0; size < p.size; size += size < 100 || size + 100 > p.size ? 1 : 997) {
            pkf_status status = unpack(state, (pkf_codec)codec, 2, (pkf_span){p.bytes, size}, CHUNK + 900, &got);
            if (codec == PKF_SNAPPY && status == PKF_OK)
                CHECK(got == 0 || got == CHUNK); // nothing says how many chunks there are
            else
                CHECK_INT(status, PKF_E_MALFORMED);
        }
        uint8_t *more = block(p.bytes, p.size);
        more = realloc(more, p.size + 1);
        NEED(more);
        more[p.size] = 0;
        CHECK_INT(unpack(state, (pkf_codec)codec, 2, (pkf_span){more, p.size + 1}, CHUNK + 1000, &got),
                  PKF_E_MALFORMED);
        free(more);
        free(p.bytes);
    }
    pkf_codec_state_free(state);
}

// A state keeps no more than was announced, and not much less, however often it is used. zstd's levels 3 and 4 keep less for
// large inputs than for small ones, which may come first.
static void check_memory(pkf_codec codec, int32_t level, size_t size) {
    enum { SLACK = 4096 };
    uint8_t *dst = malloc(pkf_codec_bound(codec, size));
    size_t written = 0, before = allocated();
    pkf_codec_state *state = pkf_codec_state_new();
    NEED(dst && state);
    CHECK_INT(pkf_codec_compress(state, codec, level, 2, (pkf_span){input, size}, dst, &written), PKF_OK);
    size_t kept = allocated() - before, announced = pkf_codec_memory(codec, level, size);
    CHECK(!KNOWS_ALLOCATED || kept <= announced + SLACK);
    CHECK(!KNOWS_ALLOCATED || announced <= kept + kept / 2 + SLACK);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(pkf_codec_compress(state, codec, level, 2, (pkf_span){input, size}, dst, &written), PKF_OK);
        CHECK_INT(allocated() - before, kept);
    }
    CHECK_INT(pkf_codec_compress(state, codec, level, 2, (pkf_span){input, size / 9}, dst, &written), PKF_OK);
    CHECK(allocated() - before <= announced + SLACK);
    pkf_codec_state_free(state);
    CHECK(allocated() <= before + SLACK);
    free(dst);
}

static void contexts_are_kept_and_counted(void) {
    static const size_t sizes[] = {1000, 16384, 100000, 262144, 1 << 20};
    fill(TEXT, 3);
    for (int codec = 0; codec < CODECS; codec++) {
        pkf_codec_levels levels;
        CHECK_INT(pkf_codec_describe((pkf_codec)codec, &levels), PKF_OK);
        for (int32_t level = levels.min; level <= levels.max; level += level > 0 && level < 19 ? 3 : 1)
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
                if (level <= 12 || sizes[i] <= 100000) check_memory((pkf_codec)codec, level, sizes[i]);
    }
}

int main(void) {
    every_level_there_and_back();
    null_is_nothing();
    levels_and_codecs_out_of_range();
    framing();
    what_other_writers_may_do();
    lz4_headers_of_both_kinds();
    twice(PKF_GZIP, PKF_OK);
    twice(PKF_ZSTD, PKF_OK);
    twice(PKF_LZ4, PKF_E_MALFORMED);
    twice(PKF_SNAPPY, PKF_E_MALFORMED);
    what_is_cut_off_or_goes_on_is_malformed();
    contexts_are_kept_and_counted();
    return FINISH();
}
