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
    formats_by_version();
    return FINISH();
}
