// SPDX-License-Identifier: Apache-2.0
//
// A run of records. Whatever the reader accepts is written again and read once more: both must say the same.
#include "pkf_record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADERS_MAX = 4096, OUT_MAX = 1 << 16 };

static void same(const pkf_span *a, const pkf_span *b) {
    if (!a->base != !b->base || a->len != b->len || (a->len && memcmp(a->base, b->base, a->len) != 0)) abort();
}

static void write_again(pkf_record *record) {
    static pkf_header headers[HEADERS_MAX];
    static uint8_t out[OUT_MAX];
    uint32_t body = 0;
    if (record->header_count > HEADERS_MAX) return;
    for (int32_t i = 0; i < record->header_count; i++) {
        if (pkf_record_next_header(&record->headers, &headers[i]) != PKF_OK) abort();
    }
    size_t size = pkf_record_size(record->ts_delta, record->offset_delta, &record->key, &record->value, headers,
                                  record->header_count, &body);
    if (!size || size > OUT_MAX || size > record->size)
        abort(); // varints in the input may be longer than needed, never ours
    uint8_t *end = pkf_record_write(out, body, record->ts_delta, record->offset_delta, &record->key, &record->value,
                                    headers, record->header_count);
    if (end != out + size) abort();
    pkf_cursor c = pkf_cursor_over(out, size);
    pkf_record again;
    if (pkf_record_read(&c, &again) != PKF_OK || pkf_cursor_remaining(&c)) abort();
    if (again.ts_delta != record->ts_delta || again.offset_delta != record->offset_delta) abort();
    if (again.header_count != record->header_count) abort();
    same(&again.key, &record->key);
    same(&again.value, &record->value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    pkf_cursor c = pkf_cursor_over(data, size);
    pkf_record record;
    while (pkf_cursor_remaining(&c)) {
        if (pkf_record_read(&c, &record) != PKF_OK) return -1;
        write_again(&record);
    }
    return 0;
}
