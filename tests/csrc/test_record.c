// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include "pkf_record.h"

static const pkf_span NONE = {NULL, 0};

static pkf_span text(const char *s) { return (pkf_span){(const uint8_t *)s, strlen(s)}; }

static bool same(const pkf_span *a, const pkf_span *b) {
    return !a->base == !b->base && a->len == b->len && (!a->len || memcmp(a->base, b->base, a->len) == 0);
}

static void writes(const char *hex, int64_t ts, int32_t offset, pkf_span key, pkf_span value, const pkf_header *headers,
                   int32_t count) {
    uint8_t wanted[256], got[256];
    uint32_t body = 0;
    size_t size = harness_unhex(hex, wanted, sizeof wanted);
    CHECK_INT(pkf_record_size(ts, offset, &key, &value, headers, count, &body), size);
    CHECK(pkf_record_write(got, body, ts, offset, &key, &value, headers, count) == got + size);
    CHECK_BYTES(got, wanted, size);
}

// The worked examples of the format's description.
static void documented_records(void) {
    pkf_header headers[] = {{text("h"), text("x")}, {text("n"), NONE}};
    writes("0c 00 00 00 01 01 00", 0, 0, NONE, NONE, NULL, 0);
    writes("14 00 00 00 04 6b31 04 7631 00", 0, 0, text("k1"), text("v1"), NULL, 0);
    writes("24 00 0a 02 01 0a 68656c6c6f 04 02 68 02 78 02 6e 01", 5, 1, NONE, text("hello"), headers, 2);
    writes("0c 00 00 00 00 00 00", 0, 0, text(""), text(""), NULL, 0); // empty is not null
}

typedef struct random_record {
    int64_t ts;
    int32_t offset, count;
    pkf_span key, value;
    pkf_header headers[40];
} random_record;

static pkf_span random_span(uint64_t *random, const uint8_t *bytes, size_t room, bool nullable) {
    static const uint64_t BOUNDS[] = {1, 4, 20, 40, 70, 130, 300, 9000, 20000};
    if (nullable && harness_below(random, 5) == 0) return NONE;
    size_t len = (size_t)harness_below(random, BOUNDS[harness_below(random, 9)]);
    return (pkf_span){bytes + harness_below(random, room - len), len};
}

static void fill_in(random_record *r, uint64_t *random, const uint8_t *bytes, size_t room) {
    r->ts = (int64_t)(harness_random(random) >> harness_below(random, 64));
    if (harness_below(random, 3) == 0) r->ts = -r->ts;
    r->offset = (int32_t)(harness_random(random) >> (33 + harness_below(random, 31)));
    r->key = random_span(random, bytes, room, true);
    r->value = random_span(random, bytes, room, true);
    r->count = harness_below(random, 2) ? 0 : (int32_t)harness_below(random, 40);
    for (int32_t i = 0; i < r->count; i++) {
        r->headers[i].key = random_span(random, bytes, room, false);
        r->headers[i].value = random_span(random, bytes, room, true);
    }
}

static void comes_back(const random_record *r, const uint8_t *bytes, size_t size) {
    pkf_cursor c = pkf_cursor_over(bytes, size);
    pkf_record got;
    pkf_header header;
    NEED(pkf_record_read(&c, &got) == PKF_OK);
    CHECK_INT(pkf_cursor_remaining(&c), 0);
    CHECK(got.size == size && got.attributes == 0);
    CHECK(got.ts_delta == r->ts && got.offset_delta == r->offset && got.header_count == r->count);
    CHECK(same(&got.key, &r->key) && same(&got.value, &r->value));
    for (int32_t i = 0; i < r->count; i++) {
        CHECK_INT(pkf_record_next_header(&got.headers, &header), PKF_OK);
        CHECK(same(&header.key, &r->headers[i].key) && same(&header.value, &r->headers[i].value));
    }
    CHECK_INT(pkf_cursor_remaining(&got.headers), 0);
}

static void random_records_come_back_whole_and_never_short(uint64_t seed) {
    enum { ROOM = 32768, OUT = 64 * 20000 };
    uint8_t *bytes = malloc(ROOM), *out = malloc(OUT);
    NEED(bytes && out);
    for (size_t i = 0; i < ROOM; i++) bytes[i] = (uint8_t)harness_random(&seed);
    for (int i = 0; i < 1500; i++) {
        random_record r;
        uint32_t body = 0;
        fill_in(&r, &seed, bytes, ROOM);
        size_t size = pkf_record_size(r.ts, r.offset, &r.key, &r.value, r.headers, r.count, &body);
        NEED(size && size < OUT - 64);
        memset(out, 0xEE, size + 64);
        CHECK(pkf_record_write(out, body, r.ts, r.offset, &r.key, &r.value, r.headers, r.count) == out + size);
        for (size_t j = size; j < size + 64; j++) CHECK(out[j] == 0xEE);
        comes_back(&r, out, size);
        CHECK(pkf_record_upper_bound(&r.key, &r.value, r.headers, r.count) >= size + PKF_BATCH_HEADER_SIZE);
        pkf_cursor shorter = pkf_cursor_over(out, (size_t)harness_below(&seed, size));
        pkf_record never;
        CHECK_INT(pkf_record_read(&shorter, &never), PKF_E_MALFORMED);
        CHECK(shorter.failed);
    }
    free(bytes);
    free(out);
}

// Lengths only: no byte is looked at, so the memory need not exist.
static void sizes_up_to_the_format_s_limit(void) {
    static const uint8_t somewhere;
    uint32_t body = 0;
    pkf_span key = NONE, value = {&somewhere, INT32_MAX - 10};
    pkf_header header = {{&somewhere, 1}, {&somewhere, INT32_MAX}};
    // attributes, two deltas, null key, 5 bytes of value length, no headers: 10 bytes besides the value
    CHECK_INT(pkf_record_size(0, 0, &key, &value, NULL, 0, &body), (int64_t)INT32_MAX + 5);
    CHECK_INT(body, INT32_MAX);
    value.len++;
    CHECK_INT(pkf_record_size(0, 0, &key, &value, NULL, 0, &body), 0);
    value.len = SIZE_MAX;
    CHECK_INT(pkf_record_size(0, 0, &key, &value, NULL, 0, &body), 0);
    CHECK(pkf_record_upper_bound(&key, &value, NULL, 0) > INT32_MAX);
    value.len = INT32_MAX;
    CHECK_INT(pkf_record_size(0, 0, &value, &value, &header, 1, &body), 0);
    CHECK(pkf_record_upper_bound(&value, &value, &header, 1) > INT32_MAX);
}

static void upper_bound_is_the_documented_sum(void) {
    pkf_span key = text("k1"), value = text("hello");
    pkf_header headers[] = {{text("h"), text("x")}, {text("n"), NONE}};
    CHECK_INT(pkf_record_upper_bound(&NONE, &NONE, NULL, 0), 61 + 21 + 1 + 1 + 1);
    CHECK_INT(pkf_record_upper_bound(&key, &value, headers, 2), 61 + 21 + 3 + 6 + 1 + 4 + 3);
}

static void refuses(const char *hex) {
    uint8_t bytes[64];
    pkf_record record;
    pkf_cursor c = pkf_cursor_over(bytes, harness_unhex(hex, bytes, sizeof bytes));
    CHECK_INT(pkf_record_read(&c, &record), PKF_E_MALFORMED);
    CHECK(c.failed);
}

static void malformed_records_are_refused(void) {
    refuses("");
    refuses("01 00 00 00 01 01 00");                     // length -1
    refuses("feffffff0f 00 00 00 01 01 00");             // length beyond the frame
    refuses("0a 00 00 00 01 01 00");                     // the body is longer than it says
    refuses("0e 00 00 00 01 01 00 00");                  // and shorter
    refuses("0c 00 00 00 03 01 00");                     // key length -2
    refuses("0c 00 00 00 7e 01 00");                     // key beyond the body
    refuses("0c 00 00 00 01 01 01");                     // -1 headers
    refuses("0c 00 00 00 01 01 02");                     // a header that is not there
    refuses("10 00 00 00 01 01 02 01 01");               // a null header key
    refuses("14 00 00 00 01 01 feffffff0f");             // two thousand million headers
    refuses("20 00 ffffffffffffffffffff01 00 01 01 00"); // a timestamp of 11 bytes
}

int main(void) {
    uint64_t seed = harness_seed();
    documented_records();
    random_records_come_back_whole_and_never_short(seed);
    sizes_up_to_the_format_s_limit();
    upper_bound_is_the_documented_sum();
    malformed_records_are_refused();
    return FINISH();
}
