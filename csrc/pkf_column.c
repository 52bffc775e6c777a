// SPDX-License-Identifier: Apache-2.0
#include "pkf_column.h"

#include <string.h>

enum { VIEW_SIZE = 16, VIEW_INLINE = 12 };

// An empty row needs an address: a span without one is null.
static const uint8_t EMPTY[1];

static int32_t int32_at(const void *base, int64_t i) {
    int32_t value;
    memcpy(&value, (const uint8_t *)base + i * (int64_t)sizeof value, sizeof value);
    return value;
}

static int64_t int64_at(const void *base, int64_t i) {
    int64_t value;
    memcpy(&value, (const uint8_t *)base + i * (int64_t)sizeof value, sizeof value);
    return value;
}

static bool is_null(const pkf_column *column, int64_t row) {
    if (column->validity == NULL) return column->kind == PKF_COLUMN_NONE;
    int64_t bit = column->offset + row;
    return !(column->validity[bit >> 3] >> (bit & 7) & 1);
}

static void read_binary(const pkf_column *column, int64_t first, int32_t count, pkf_span *spans) {
    const uint8_t *data = column->data ? column->data : EMPTY;
    int64_t at = column->offset + first;
    int32_t begin = int32_at(column->cells, at);
    for (int32_t i = 0; i < count; i++) {
        int32_t end = int32_at(column->cells, at + i + 1);
        spans[i] = (pkf_span){data + begin, (size_t)(end - begin)};
        begin = end;
    }
}

static void read_large(const pkf_column *column, int64_t first, int32_t count, pkf_span *spans) {
    const uint8_t *data = column->data ? column->data : EMPTY;
    int64_t at = column->offset + first;
    int64_t begin = int64_at(column->cells, at);
    for (int32_t i = 0; i < count; i++) {
        int64_t end = int64_at(column->cells, at + i + 1);
        spans[i] = (pkf_span){data + begin, (size_t)(end - begin)};
        begin = end;
    }
}

static const uint8_t *view_at(const pkf_column *column, int64_t row) {
    return (const uint8_t *)column->cells + (column->offset + row) * VIEW_SIZE;
}

static void read_views(const pkf_column *column, int64_t first, int32_t count, pkf_span *spans) {
    for (int32_t i = 0; i < count; i++) {
        if (is_null(column, first + i)) continue; // its view may be anything
        const uint8_t *view = view_at(column, first + i);
        int32_t len = int32_at(view, 0);
        spans[i] = (pkf_span){view + 4, (size_t)len};
        if (len > VIEW_INLINE) spans[i].base = (const uint8_t *)column->buffers[int32_at(view, 2)] + int32_at(view, 3);
    }
}

static void read_fixed(const pkf_column *column, int64_t first, int32_t count, pkf_span *spans) {
    const uint8_t *row = column->width ? column->data + (column->offset + first) * column->width : EMPTY;
    for (int32_t i = 0; i < count; i++, row += column->width) spans[i] = (pkf_span){row, (size_t)column->width};
}

void pkf_column_read(const pkf_column *column, int64_t first, int32_t count, pkf_span *spans) {
    switch (column->kind) {
    case PKF_COLUMN_NONE: break;
    case PKF_COLUMN_SPANS:
        memcpy(spans, (const pkf_span *)column->cells + column->offset + first, (size_t)count * sizeof *spans);
        break;
    case PKF_COLUMN_BINARY: read_binary(column, first, count, spans); break;
    case PKF_COLUMN_LARGE: read_large(column, first, count, spans); break;
    case PKF_COLUMN_VIEW: read_views(column, first, count, spans); break;
    case PKF_COLUMN_FIXED: read_fixed(column, first, count, spans); break;
    }
    if (column->validity == NULL && column->kind != PKF_COLUMN_NONE) return;
    for (int32_t i = 0; i < count; i++)
        if (is_null(column, first + i)) spans[i] = (pkf_span){NULL, 0};
}

static bool view_is_sound(const pkf_column *column, int64_t row) {
    const uint8_t *view = view_at(column, row);
    int32_t len = int32_at(view, 0);
    if (len <= VIEW_INLINE) return len >= 0;
    int32_t buffer = int32_at(view, 2), offset = int32_at(view, 3);
    if (buffer < 0 || buffer >= column->buffer_count || offset < 0) return false;
    return column->buffers[buffer] && (int64_t)offset + len <= int64_at(column->buffer_sizes, buffer);
}

static bool row_is_sound(const pkf_column *column, int64_t row) {
    int64_t at = column->offset + row, begin, end;
    switch (column->kind) {
    case PKF_COLUMN_BINARY:
        begin = int32_at(column->cells, at);
        end = int32_at(column->cells, at + 1);
        break;
    case PKF_COLUMN_LARGE:
        begin = int64_at(column->cells, at);
        end = int64_at(column->cells, at + 1);
        break;
    case PKF_COLUMN_VIEW: return is_null(column, row) || view_is_sound(column, row);
    default: return true;
    }
    return begin >= 0 && end >= begin && (end == begin || column->data);
}

pkf_status pkf_column_check(const pkf_column *column, int64_t first, int64_t count, int64_t *wrong) {
    bool needs_cells = column->kind != PKF_COLUMN_NONE && column->kind != PKF_COLUMN_FIXED;
    bool needs_data = column->kind == PKF_COLUMN_FIXED && column->width != 0;
    *wrong = first;
    if (count == 0 || column->kind == PKF_COLUMN_SPANS) return PKF_OK;
    if ((needs_cells && column->cells == NULL) || (needs_data && column->data == NULL) || column->width < 0)
        return PKF_E_MALFORMED;
    for (int64_t row = first; row < first + count; row++) {
        if (row_is_sound(column, row)) continue;
        *wrong = row;
        return PKF_E_MALFORMED;
    }
    return PKF_OK;
}
