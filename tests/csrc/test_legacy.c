// SPDX-License-Identifier: Apache-2.0
//
// Message sets byte by byte. What other clients make of them is in tests/core/test_message_set.py.
#include "harness.h"

#include "pkf_legacy.h"

static pkf_span text(const char *s) { return s ? (pkf_span){(const uint8_t *)s, strlen(s)} : (pkf_span){NULL, 0}; }

static uint8_t records[1 << 16];

// One record behind `used` bytes; returns the bytes used now.
static size_t add(size_t used, int32_t index, int64_t delta, pkf_span key, pkf_span value, int32_t header_count) {
    pkf_header header = {text("h"), text("v")};
    uint32_t body = 0;
    NEED(pkf_record_size(delta, index, &key, &value, &header, header_count, &body));
    uint8_t *end = pkf_record_write(records + used, body, delta, index, &key, &value, &header, header_count);
    return (size_t)(end - records);
}

static void the_checksum_is_the_one_of_zlib(void) {
    CHECK_INT(pkf_crc32(0, NULL, 0), 0);
    CHECK_INT(pkf_crc32(0, (const uint8_t *)"123456789", 9), 0xcbf43926);
    CHECK_INT(pkf_crc32(pkf_crc32(0, (const uint8_t *)"1234567", 7), (const uint8_t *)"89", 2), 0xcbf43926);
    CHECK_INT(pkf_crc32(0, (const uint8_t *)"The quick brown fox jumps over the lazy dog", 43), 0x414fa339);
}

static void check_set(const char *hex, size_t used, int32_t count, int magic) {
    uint8_t wanted[512], got[512];
    size_t wanted_size = harness_unhex(hex, wanted, sizeof wanted), size = 0;
    NEED(pkf_legacy_bound(used, count) <= sizeof got);
    CHECK_INT(pkf_legacy_write((pkf_span){records, used}, count, 0x18bcfe56800, magic, got, &size), PKF_OK);
    CHECK_INT(size, wanted_size);
    CHECK_BYTES(got, wanted, wanted_size);
    CHECK(size <= pkf_legacy_bound(used, count));
}

static void both_formats_field_by_field(void) {
    size_t used = add(0, 0, 0, text("k"), text("value"), 0);
    used = add(used, 1, -1, text(NULL), text(""), 0);
    used = add(used, 2, 5, text(""), text(NULL), 0);
    check_set("0000000000000000 00000014 8faa5588 00 00 00000001 6b 00000005 76616c7565"
              "0000000000000001 0000000e 795748e0 00 00 ffffffff 00000000"
              "0000000000000002 0000000e 3d314895 00 00 00000000 ffffffff",
              used, 3, 0);
    check_set("0000000000000000 0000001c 817899cb 01 00 0000018bcfe56800 00000001 6b 00000005 76616c7565"
              "0000000000000001 00000016 c61e793e 01 00 0000018bcfe567ff ffffffff 00000000"
              "0000000000000002 00000016 70ab6bc2 01 00 0000018bcfe56805 00000000 ffffffff",
              used, 3, 1);
}

static void the_smallest_record_grows_most(void) {
    uint8_t got[64];
    size_t size = 0, used = add(0, 0, 0, text(NULL), text(NULL), 0);
    CHECK_INT(used, 7);
    CHECK_INT(pkf_legacy_write((pkf_span){records, used}, 1, 0, 1, got, &size), PKF_OK);
    CHECK_INT(size, PKF_LEGACY_OVERHEAD_V1);
    CHECK_INT(size, pkf_legacy_bound(used, 1));
    CHECK_INT(pkf_legacy_write((pkf_span){records, used}, 1, 0, 0, got, &size), PKF_OK);
    CHECK_INT(size, PKF_LEGACY_OVERHEAD_V0);
}

static void headers_are_never_left_out(void) {
    uint8_t got[256];
    size_t size = 0, used = add(0, 0, 0, text("k"), text("v"), 0);
    used = add(used, 1, 0, text("k"), text("v"), 1);
    CHECK_INT(pkf_legacy_write((pkf_span){records, used}, 2, 0, 1, got, &size), PKF_E_UNSUPPORTED);
}

static void what_is_not_so_many_records_is_malformed(void) {
    uint8_t got[512];
    size_t size = 0, used = add(0, 0, 0, text("k"), text("v"), 0);
    used = add(used, 1, 0, text("k"), text("v"), 0);
    CHECK_INT(pkf_legacy_write((pkf_span){records, used}, 1, 0, 1, got, &size), PKF_E_MALFORMED);
    CHECK_INT(pkf_legacy_write((pkf_span){records, used}, 3, 0, 1, got, &size), PKF_E_MALFORMED);
    for (size_t part = 0; part < used; part++)
        CHECK_INT(pkf_legacy_write((pkf_span){records, part}, 2, 0, 1, got, &size), PKF_E_MALFORMED);
}

// 100 messages alike, so that there is something to gain.
static pkf_span plain_set(int magic, int32_t *count) {
    static uint8_t set[1 << 16];
    size_t used = 0, size = 0;
    for (*count = 0; *count < 100; ++*count) used = add(used, *count, *count, text("key"), text("the value"), 0);
    CHECK_INT(pkf_legacy_write((pkf_span){records, used}, *count, 1700000000000, magic, set, &size), PKF_OK);
    return (pkf_span){set, size};
}

// One message around the compressed set. Returns its value.
static pkf_span check_wrapper(const uint8_t *got, size_t size, pkf_codec codec, int32_t count, int magic) {
    pkf_cursor c = pkf_cursor_over(got, size);
    CHECK_INT(pkf_cursor_int64(&c), count - 1);
    CHECK_INT(pkf_cursor_int32(&c), size - 12);
    CHECK_INT(pkf_cursor_uint32(&c), pkf_crc32(0, got + 16, size - 16));
    CHECK_INT(pkf_cursor_int8(&c), magic);
    CHECK_INT(pkf_cursor_int8(&c), codec);
    if (magic) CHECK_INT(pkf_cursor_int64(&c), 1700000000099);
    CHECK_INT(pkf_cursor_int32(&c), -1);
    int32_t len = pkf_cursor_int32(&c);
    CHECK_INT(len, pkf_cursor_remaining(&c));
    const uint8_t *value = pkf_cursor_take(&c, (size_t)len);
    NEED(value != NULL);
    return (pkf_span){value, (size_t)len};
}

static void compressed_it_is_one_message(pkf_codec codec, int32_t level) {
    static uint8_t back[1 << 16];
    pkf_codec_state *state = pkf_codec_state_new();
    NEED(state != NULL);
    for (int magic = 0; magic <= 1; magic++) {
        int32_t count;
        pkf_span set = plain_set(magic, &count);
        uint8_t *got = malloc(pkf_legacy_wrap_bound(codec, set.len));
        size_t size = 0, plain = 0;
        NEED(got != NULL);
        CHECK_INT(pkf_legacy_wrap(state, codec, level, set, count, 1700000000099, magic, got, &size), PKF_OK);
        CHECK(size < set.len);
        pkf_span value = check_wrapper(got, size, codec, count, magic);
        CHECK_INT(pkf_codec_decompress(state, codec, magic, value, back, sizeof back, &plain), PKF_OK);
        CHECK_INT(plain, set.len);
        CHECK_BYTES(back, set.base, set.len);
        free(got);
    }
    pkf_codec_state_free(state);
}

// The second byte of xxHash32, seed 0, of the descriptor 60 40; in v0 of the magic number and the descriptor.
static void lz4_has_the_checksum_of_its_time(void) {
    pkf_codec_state *state = pkf_codec_state_new();
    NEED(state != NULL);
    for (int magic = 0; magic <= 1; magic++) {
        int32_t count;
        pkf_span set = plain_set(magic, &count);
        static uint8_t got[1 << 17];
        size_t size = 0;
        NEED(pkf_legacy_wrap_bound(PKF_LZ4, set.len) <= sizeof got);
        CHECK_INT(pkf_legacy_wrap(state, PKF_LZ4, 0, set, count, 0, magic, got, &size), PKF_OK);
        const uint8_t wanted[7] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, magic ? 0x82 : 0x1a};
        CHECK_BYTES(got + (magic ? 34 : 26), wanted, 7);
    }
    pkf_codec_state_free(state);
}

static void what_cannot_be_wrapped(void) {
    int32_t count;
    pkf_span set = plain_set(1, &count);
    static uint8_t got[1 << 17];
    size_t size = 0;
    pkf_codec_state *state = pkf_codec_state_new();
    NEED(state != NULL);
    CHECK_INT(pkf_legacy_wrap(state, PKF_ZSTD, 3, set, count, 0, 1, got, &size), PKF_E_UNSUPPORTED);
    CHECK_INT(pkf_legacy_wrap(state, PKF_NONE, 0, set, count, 0, 1, got, &size), PKF_E_UNSUPPORTED);
    CHECK_INT(pkf_legacy_wrap(state, PKF_GZIP, 99, set, count, 0, 1, got, &size), PKF_E_INVALID);
    set.len = (size_t)INT32_MAX;
    CHECK_INT(pkf_legacy_wrap(state, PKF_GZIP, 6, set, count, 0, 1, got, &size), PKF_E_TOO_LARGE);
    pkf_codec_state_free(state);
}

static void codecs_by_version(void) {
    for (int16_t version = 0; version <= 13; version++) {
        for (int codec = PKF_NONE; codec <= PKF_LZ4; codec++) CHECK(pkf_produce_takes(version, (pkf_codec)codec));
        CHECK_INT(pkf_produce_takes(version, PKF_ZSTD), version >= 7);
    }
}

static void formats_by_version(void) {
    CHECK_INT(pkf_produce_magic(0), 0);
    CHECK_INT(pkf_produce_magic(1), 0);
    CHECK_INT(pkf_produce_magic(2), 1);
    CHECK_INT(pkf_produce_magic(3), 2);
    CHECK_INT(pkf_produce_magic(13), 2);
}

int main(void) {
    the_checksum_is_the_one_of_zlib();
    both_formats_field_by_field();
    the_smallest_record_grows_most();
    headers_are_never_left_out();
    what_is_not_so_many_records_is_malformed();
    compressed_it_is_one_message(PKF_GZIP, 6);
    compressed_it_is_one_message(PKF_SNAPPY, 0);
    compressed_it_is_one_message(PKF_LZ4, 0);
    compressed_it_is_one_message(PKF_LZ4, 12);
    lz4_has_the_checksum_of_its_time();
    what_cannot_be_wrapped();
    codecs_by_version();
    formats_by_version();
    return FINISH();
}
