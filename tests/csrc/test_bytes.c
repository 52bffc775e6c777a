// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include "pkf_bytes.h"

static void big_endian_integers(void) {
    uint8_t b[9] = {0};
    CHECK(pkf_store_be16(b, 0x0102) == b + 2);
    CHECK_BYTES(b, "\x01\x02", 2);
    CHECK(pkf_store_be32(b + 1, 0xfefdfcfb) == b + 5); // not aligned
    CHECK_BYTES(b + 1, "\xfe\xfd\xfc\xfb", 4);
    CHECK(pkf_store_be64(b + 1, UINT64_C(0x8102030405060708)) == b + 9);
    CHECK_BYTES(b + 1, "\x81\x02\x03\x04\x05\x06\x07\x08", 8);
    CHECK_INT(pkf_load_be16(b + 1), 0x8102);
    CHECK_INT(pkf_load_be32(b + 1), 0x81020304);
    CHECK(pkf_load_be64(b + 1) == UINT64_C(0x8102030405060708));
}

// Zigzag values and their bytes from the protocol's description.
static const struct {
    int64_t value;
    const char *hex;
} VARINTS[] = {
    {0, "00"},
    {-1, "01"},
    {1, "02"},
    {-2, "03"},
    {63, "7e"},
    {-64, "7f"},
    {64, "8001"},
    {127, "fe01"},
    {128, "8002"},
    {300, "d804"},
    {8191, "fe7f"},
    {8192, "808001"},
    {-8192, "ff7f"},
    {-8193, "818001"},
    {INT32_MAX, "feffffff0f"},
    {INT32_MIN, "ffffffff0f"},
    {1700000000000, "80a0abfef962"},
    {INT64_MAX, "feffffffffffffffff01"},
    {INT64_MIN, "ffffffffffffffffff01"},
};

static void varints_have_the_documented_bytes(void) {
    for (size_t i = 0; i < sizeof VARINTS / sizeof *VARINTS; i++) {
        uint8_t wanted[10], got[10];
        int64_t v = VARINTS[i].value;
        size_t size = harness_unhex(VARINTS[i].hex, wanted, sizeof wanted);
        CHECK_INT(pkf_varlong_size(v), size);
        CHECK(pkf_varlong_write(got, v) == got + size);
        CHECK_BYTES(got, wanted, size);
        pkf_cursor c = pkf_cursor_over(wanted, size);
        CHECK_INT(pkf_cursor_varlong(&c), v);
        CHECK(!c.failed && c.pos == size);
        if (v < INT32_MIN || v > INT32_MAX) continue;
        CHECK_INT(pkf_varint_size((int32_t)v), size);
        CHECK(pkf_varint_write(got, (int32_t)v) == got + size);
        CHECK_BYTES(got, wanted, size);
        c = pkf_cursor_over(wanted, size);
        CHECK_INT(pkf_cursor_varint(&c), v);
        CHECK(!c.failed && c.pos == size);
    }
}

static void varints_of_every_length_come_back(uint64_t seed) {
    uint8_t b[16];
    for (int i = 0; i < 20000; i++) {
        uint64_t v = harness_random(&seed) >> harness_below(&seed, 64);
        size_t size = pkf_uvarint_size(v);
        CHECK(pkf_uvarint_write(b, v) == b + size);
        pkf_cursor c = pkf_cursor_over(b, size);
        CHECK(pkf_cursor_uvarint_bits(&c, 64) == v && !c.failed && c.pos == size);
        c = pkf_cursor_over(b, size);
        bool fits = v <= UINT32_MAX;
        CHECK(pkf_cursor_uvarint(&c) == (fits ? v : 0) && c.failed == !fits);
        c = pkf_cursor_over(b, size - 1); // cut short
        CHECK(pkf_cursor_uvarint_bits(&c, 64) == 0 && c.failed);
        CHECK_INT(pkf_unzigzag64(pkf_zigzag64((int64_t)v)), (int64_t)v);
        CHECK_INT(pkf_unzigzag32(pkf_zigzag32((int32_t)v)), (int32_t)v);
    }
}

static void varints_that_are_too_long_fail(void) {
    static const char *const TOO_LONG[] = {"ffffffff1f", "808080808000", "ffffffffff01"};
    for (size_t i = 0; i < 3; i++) {
        uint8_t b[16];
        pkf_cursor c = pkf_cursor_over(b, harness_unhex(TOO_LONG[i], b, sizeof b));
        CHECK_INT(pkf_cursor_uvarint(&c), 0);
        CHECK(c.failed);
    }
    uint8_t b[16];
    pkf_cursor c = pkf_cursor_over(b, harness_unhex("ffffffffffffffffff02", b, sizeof b));
    CHECK_INT(pkf_cursor_varlong(&c), 0);
    CHECK(c.failed);
}

static void a_cursor_reads_fixed_fields_in_turn(void) {
    uint8_t b[64];
    static const char hex[] =
        "ff 8000 00000100 ffffffffffffffff 01 f0000000 0002 6869 ffff 00000001 78 ffffffff 03 6162 00";
    size_t n = harness_unhex(hex, b, sizeof b);
    pkf_cursor c = pkf_cursor_over(b, n);
    CHECK_INT(pkf_cursor_int8(&c), -1);
    CHECK_INT(pkf_cursor_int16(&c), -32768);
    CHECK_INT(pkf_cursor_int32(&c), 256);
    CHECK_INT(pkf_cursor_int64(&c), -1);
    CHECK(pkf_cursor_bool(&c));
    CHECK_INT(pkf_cursor_uint32(&c), 0xf0000000);
    pkf_span s = pkf_cursor_string(&c);
    CHECK(s.len == 2 && s.base && memcmp(s.base, "hi", 2) == 0);
    s = pkf_cursor_nullable_string(&c);
    CHECK(s.len == 0 && !s.base);
    s = pkf_cursor_bytes(&c);
    CHECK(s.len == 1 && s.base && *s.base == 'x');
    CHECK(!pkf_cursor_nullable_bytes(&c).base);
    s = pkf_cursor_compact(&c);
    CHECK(s.len == 2 && s.base && memcmp(s.base, "ab", 2) == 0);
    CHECK(!pkf_cursor_compact_nullable(&c).base);
    CHECK(!c.failed);
    CHECK_INT(pkf_cursor_remaining(&c), 0);
    CHECK_INT(pkf_cursor_int8(&c), 0);
    CHECK(c.failed);
}

static void a_failed_cursor_stays_where_it_was(void) {
    uint8_t b[6] = {0, 0, 0, 1, 2, 3};
    pkf_cursor c = pkf_cursor_over(b, sizeof b);
    CHECK_INT(pkf_cursor_int32(&c), 1);
    CHECK_INT(pkf_cursor_int32(&c), 0);
    CHECK(c.failed);
    CHECK_INT(pkf_cursor_int8(&c), 0); // would fit, but what came before did not
    CHECK(!pkf_cursor_uuid(&c));
    CHECK_INT(c.pos, 4);
}

static bool span_fails(const char *hex, pkf_span (*read)(pkf_cursor *)) {
    uint8_t b[32];
    pkf_cursor c = pkf_cursor_over(b, harness_unhex(hex, b, sizeof b));
    pkf_span s = read(&c);
    return c.failed && !s.base && !s.len;
}

static void lengths_are_believed_only_within_the_frame(void) {
    CHECK(span_fails("0003 6162", pkf_cursor_string));
    CHECK(span_fails("ffff", pkf_cursor_string));          // null where null is not allowed
    CHECK(span_fails("fffe", pkf_cursor_nullable_string)); // below -1
    CHECK(span_fails("7fffffff 61", pkf_cursor_bytes));
    CHECK(span_fails("80000000 61", pkf_cursor_nullable_bytes));
    CHECK(span_fails("00", pkf_cursor_compact));
    CHECK(span_fails("ffffffff0f 61", pkf_cursor_compact_nullable));
    CHECK(!span_fails("0000", pkf_cursor_string)); // empty is not null
}

static int32_t count_of(const char *hex, size_t element, bool compact, bool *failed) {
    uint8_t b[32];
    pkf_cursor c = pkf_cursor_over(b, harness_unhex(hex, b, sizeof b));
    int32_t n = compact ? pkf_cursor_compact_array(&c, element) : pkf_cursor_array(&c, element);
    *failed = c.failed;
    return n;
}

static void counts_are_believed_only_if_the_elements_fit(void) {
    bool failed;
    CHECK_INT(count_of("00000002 01020304", 2, false, &failed), 2);
    CHECK(!failed);
    CHECK_INT(count_of("00000003 01020304", 2, false, &failed), 0);
    CHECK(failed);
    CHECK_INT(count_of("ffffffff", 2, false, &failed), 0); // null
    CHECK(!failed);
    CHECK_INT(count_of("fffffffe", 2, false, &failed), 0);
    CHECK(failed);
    CHECK_INT(count_of("03 01020304", 2, true, &failed), 2);
    CHECK(!failed);
    CHECK_INT(count_of("00", 2, true, &failed), 0);
    CHECK(!failed);
    CHECK_INT(count_of("ffffffff0f 01", 1, true, &failed), 0);
    CHECK(failed);
}

static void tags_are_read_and_skipped(void) {
    uint8_t b[32];
    size_t n = harness_unhex("02 00 02 0102 05 00 ff", b, sizeof b);
    pkf_cursor c = pkf_cursor_over(b, n), body;
    CHECK_INT(pkf_cursor_tag_count(&c), 2);
    CHECK_INT(pkf_cursor_tag(&c, &body), 0);
    CHECK_INT(pkf_cursor_int16(&body), 0x0102);
    CHECK_INT(pkf_cursor_int8(&body), 0);
    CHECK(body.failed && !c.failed);
    CHECK_INT(pkf_cursor_tag(&c, &body), 5);
    CHECK(!body.failed && body.len == 0);
    c = pkf_cursor_over(b, n);
    pkf_cursor_skip_tags(&c);
    CHECK(!c.failed && c.pos == n - 1);
    c = pkf_cursor_over(b, 4); // the second byte of the first tag is missing
    pkf_cursor_skip_tags(&c);
    CHECK(c.failed);
}

int main(void) {
    uint64_t seed = harness_seed();
    big_endian_integers();
    varints_have_the_documented_bytes();
    varints_of_every_length_come_back(seed);
    varints_that_are_too_long_fail();
    a_cursor_reads_fixed_fields_in_turn();
    a_failed_cursor_stays_where_it_was();
    lengths_are_believed_only_within_the_frame();
    counts_are_believed_only_if_the_elements_fit();
    tags_are_read_and_skipped();
    return FINISH();
}
