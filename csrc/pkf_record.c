// SPDX-License-Identifier: Apache-2.0
#include "pkf_record.h"

uint64_t pkf_record_headers_size(const pkf_header *headers, int32_t header_count) {
    uint64_t size = pkf_varint_size(header_count);
    for (int32_t i = 0; i < header_count; i++)
        size += pkf_field_size(&headers[i].key) + pkf_field_size(&headers[i].value);
    return size;
}

uint8_t *pkf_record_headers_write(uint8_t *dst, const pkf_header *headers, int32_t header_count) {
    dst = pkf_varint_write(dst, header_count);
    for (int32_t i = 0; i < header_count; i++) {
        dst = pkf_field_write(dst, &headers[i].key);
        dst = pkf_field_write(dst, &headers[i].value);
    }
    return dst;
}

uint64_t pkf_record_upper_bound(const pkf_span *key, const pkf_span *value, const pkf_header *headers,
                                int32_t header_count) {
    return PKF_BATCH_HEADER_SIZE + PKF_RECORD_MAX_OVERHEAD + pkf_field_size(key) + pkf_field_size(value) +
           pkf_record_headers_size(headers, header_count);
}

static pkf_span read_field(pkf_cursor *c, bool nullable) {
    int32_t len = pkf_cursor_varint(c);
    return pkf_cursor_span(c, len, nullable);
}

pkf_status pkf_record_next_header(pkf_cursor *headers, pkf_header *header) {
    header->key = read_field(headers, false);
    header->value = read_field(headers, true);
    return headers->failed ? PKF_E_MALFORMED : PKF_OK;
}

// The body of a record, all of it: the cursor covers exactly the bytes that the length announced.
static pkf_status read_body(pkf_cursor *body, pkf_record *record) {
    record->attributes = pkf_cursor_int8(body);
    record->ts_delta = pkf_cursor_varlong(body);
    record->offset_delta = pkf_cursor_varint(body);
    record->key = read_field(body, true);
    record->value = read_field(body, true);
    int32_t count = pkf_cursor_varint(body);
    if (count < 0) return PKF_E_MALFORMED;
    record->header_count = pkf_cursor_count(body, count, 2);
    if (body->failed) return PKF_E_MALFORMED;
    record->headers = pkf_cursor_over(body->base + body->pos, pkf_cursor_remaining(body));
    pkf_header header;
    for (int32_t i = 0; i < count; i++) {
        if (pkf_record_next_header(body, &header) != PKF_OK) return PKF_E_MALFORMED;
    }
    return pkf_cursor_remaining(body) ? PKF_E_MALFORMED : PKF_OK;
}

pkf_status pkf_record_read(pkf_cursor *c, pkf_record *record) {
    size_t start = c->pos;
    int32_t body_len = pkf_cursor_varint(c);
    pkf_span bytes = pkf_cursor_span(c, body_len, false);
    if (c->failed) return PKF_E_MALFORMED;
    pkf_cursor body = pkf_cursor_over(bytes.base, bytes.len);
    if (read_body(&body, record) != PKF_OK) {
        c->failed = true;
        return PKF_E_MALFORMED;
    }
    record->size = c->pos - start;
    return PKF_OK;
}
