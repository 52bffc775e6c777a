// SPDX-License-Identifier: Apache-2.0
//
// First byte: the format, 0 or 1, the codec of a wrapper around it all, and whether the rest is records as they are (whatever the writer makes of them must fit
// into what was announced) or says what records to make, whose message set is read again by a parser that shares nothing
// with the writer.
#include "pkf_legacy.h"

#include "records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int as_they_are(const uint8_t *data, size_t size, int magic) {
    int32_t count = size > 1 ? data[1] : 0;
    pkf_span records = {data + 2, size > 2 ? size - 2 : 0};
    size_t room = pkf_legacy_bound(records.len, count), written = 0;
    uint8_t *set = malloc(room ? room : 1); // of exactly that size, so that a sanitizer sees a byte too many
    if (set == NULL) abort();
    pkf_status status = pkf_legacy_write(records, count, -1, magic, set, &written);
    if (status == PKF_OK && written > room) abort();
    free(set);
    return status == PKF_OK ? 0 : -1;
}

static uint32_t crc32_bit_by_bit(const uint8_t *bytes, size_t size) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void same_field(peer_bytes *b, pkf_span wanted) {
    int64_t size = peer_int(b, 4);
    if (size != (wanted.base ? (int64_t)wanted.len : -1)) abort();
    const uint8_t *bytes = size < 0 ? NULL : peer_take(b, size);
    if (b->bad || (size > 0 && memcmp(bytes, wanted.base, wanted.len) != 0)) abort();
}

static void same_message(peer_bytes *b, const fuzz_record *wanted, int index, int magic) {
    if (peer_int(b, 8) != index) abort();
    int64_t size = peer_int(b, 4);
    uint32_t crc = (uint32_t)peer_int(b, 4);
    if (b->bad || size < 4 || b->end - b->at < size - 4) abort();
    if (crc32_bit_by_bit(b->at, (size_t)size - 4) != crc) abort();
    const uint8_t *end = b->at + size - 4;
    if (peer_int(b, 1) != magic || peer_int(b, 1) != 0) abort();
    if (magic == 1 && peer_int(b, 8) != wanted->timestamp) abort();
    same_field(b, wanted->key);
    same_field(b, wanted->value);
    if (b->bad || b->at != end) abort();
}

static size_t write_v2(uint8_t *out, const fuzz_record *records, int count) {
    uint8_t *p = out;
    for (int i = 0; i < count; i++) {
        const fuzz_record *record = &records[i];
        int64_t delta = (int64_t)((uint64_t)record->timestamp - (uint64_t)records[0].timestamp);
        uint32_t body = 0;
        if (!pkf_record_size(delta, i, &record->key, &record->value, record->headers, record->header_count, &body))
            abort();
        p = pkf_record_write(p, body, delta, i, &record->key, &record->value, record->headers, record->header_count);
    }
    return (size_t)(p - out);
}

// The same messages come out of the wrapper as went into it.
static void wrapped(pkf_span set, int count, int magic, pkf_codec codec) {
    static pkf_codec_state *state;
    if (state == NULL && (state = pkf_codec_state_new()) == NULL) abort();
    size_t written = 0, plain = 0, head = magic ? PKF_LEGACY_OVERHEAD_V1 : PKF_LEGACY_OVERHEAD_V0;
    uint8_t *dst = malloc(pkf_legacy_wrap_bound(codec, set.len)), *back = malloc(set.len);
    if (dst == NULL || back == NULL) abort();
    int32_t level = codec == PKF_GZIP ? 1 + count % 9 : codec == PKF_LZ4 ? count % 13 : 0;
    if (pkf_legacy_wrap(state, codec, level, set, count, 77, magic, dst, &written)) abort();
    peer_bytes b = {dst, dst + written, false};
    if (peer_int(&b, 8) != count - 1 || peer_int(&b, 4) != (int64_t)written - 12) abort();
    if ((uint32_t)peer_int(&b, 4) != crc32_bit_by_bit(dst + 16, written - 16)) abort();
    if (peer_int(&b, 1) != magic || peer_int(&b, 1) != (int64_t)codec) abort();
    if (magic == 1 && peer_int(&b, 8) != 77) abort();
    if (peer_int(&b, 4) != -1 || peer_int(&b, 4) != (int64_t)(written - head)) abort();
    pkf_span value = {dst + head, written - head};
    if (pkf_codec_decompress(state, codec, magic, value, back, set.len, &plain)) abort();
    if (plain != set.len || memcmp(back, set.base, set.len) != 0) abort();
    free(dst);
    free(back);
}

static int made_of_it(fuzz_bytes in, int magic, pkf_codec codec) {
    static fuzz_record records[RECORDS_MAX];
    static uint8_t v2[RECORDS_MAX * (2 * HEADERS_MAX + 2) * 6000];
    bool headers = false;
    int count = take_records(&in, records);
    if (count == 0) return -1;
    for (int i = 0; i < count; i++) headers |= records[i].header_count > 0;
    pkf_span span = {v2, write_v2(v2, records, count)};
    size_t room = pkf_legacy_bound(span.len, count), written = 0;
    uint8_t *set = malloc(room);
    if (set == NULL) abort();
    pkf_status status = pkf_legacy_write(span, count, records[0].timestamp, magic, set, &written);
    if (status != (headers ? PKF_E_UNSUPPORTED : PKF_OK)) abort();
    peer_bytes b = {set, set + written, false};
    for (int i = 0; i < count && status == PKF_OK; i++) same_message(&b, &records[i], i, magic);
    if (status == PKF_OK && b.at != b.end) abort();
    if (status == PKF_OK && codec != PKF_NONE) wrapped((pkf_span){set, written}, count, magic, codec);
    free(set);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return -1;
    int magic = data[0] & 1;
    if (data[0] & 2) return as_they_are(data, size, magic);
    return made_of_it((fuzz_bytes){data + 1, data + size}, magic, (pkf_codec)(data[0] >> 2 & 3));
}
