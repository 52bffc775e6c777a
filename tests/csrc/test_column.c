// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include "pkf_column.h"

enum { ROWS = 5 };
static const char *const WANTED[ROWS] = {"a", NULL, "", "longer than twelve bytes", "sixteen bytes ok"};
static const uint8_t VALID[1] = {0x1d};              // 1 0 1 1 1
static const uint8_t VALID_FROM_3[2] = {0xef, 0x00}; // the same behind three rows

static bool is_row(const pkf_span *span, int row) {
    if (WANTED[row] == NULL) return span->base == NULL;
    return span->base && span->len == strlen(WANTED[row]) && memcmp(span->base, WANTED[row], span->len) == 0;
}

static void check_rows(const pkf_column *column) {
    pkf_span spans[ROWS];
    int64_t wrong = -1;
    CHECK_INT(pkf_column_check(column, 0, ROWS, &wrong), PKF_OK);
    pkf_column_read(column, 0, ROWS, spans);
    for (int i = 0; i < ROWS; i++) CHECK(is_row(&spans[i], i));
    for (int first = 0; first < ROWS; first++) { // from any row on
        pkf_column_read(column, first, ROWS - first, spans);
        for (int i = first; i < ROWS; i++) CHECK(is_row(&spans[i - first], i));
    }
}

// Offsets and text, with `before` rows of rubbish in front, at an odd address.
static void offsets_are_read(int before, bool large) {
    uint8_t memory[1 + 16 * 8], *cells = memory + 1;
    char data[100];
    int64_t at = 5 * before;
    memset(data, '?', sizeof data);
    for (int i = 0; i <= before + ROWS; i++) {
        const char *text = i >= before && i < before + ROWS ? WANTED[i - before] : NULL;
        int64_t offset = i < before ? 5 * i : at;
        int32_t narrow = (int32_t)offset;
        memcpy(cells + (large ? 8 : 4) * i, large ? (void *)&offset : (void *)&narrow, large ? 8 : 4);
        if (i < before) continue;
        if (text) memcpy(data + at, text, strlen(text));
        at += text ? (int64_t)strlen(text) : 3; // also a null may have bytes
    }
    pkf_column column = {.kind = large ? PKF_COLUMN_LARGE : PKF_COLUMN_BINARY,
                         .offset = before,
                         .validity = before ? VALID_FROM_3 : VALID,
                         .cells = cells,
                         .data = (const uint8_t *)data};
    check_rows(&column);
}

static void set_view(uint8_t *view, const char *text, int32_t buffer, int32_t offset) {
    int32_t size = text ? (int32_t)strlen(text) : 99;
    memset(view, 0xff, 16); // the view of a null may be anything
    if (text == NULL) return;
    memcpy(view, &size, 4);
    if (size <= 12) {
        memcpy(view + 4, text, (size_t)size);
        return;
    }
    memcpy(view + 8, &buffer, 4);
    memcpy(view + 12, &offset, 4);
}

static void views_are_read(void) {
    uint8_t memory[1 + 8 * 16], *views = memory + 1;
    char first[40] = "..", second[40] = ".....";
    const void *buffers[2] = {first, second};
    int64_t sizes[2] = {2 + 24, 5 + 16};
    strcat(first, WANTED[3]);
    strcat(second, WANTED[4]);
    for (int i = 0; i < 3; i++) set_view(views + 16 * i, NULL, 0, 0);
    for (int i = 0; i < ROWS; i++) set_view(views + 16 * (3 + i), WANTED[i], i == 4, i == 4 ? 5 : 2);
    pkf_column column = {.kind = PKF_COLUMN_VIEW,
                         .offset = 3,
                         .validity = VALID_FROM_3,
                         .cells = views,
                         .buffers = buffers,
                         .buffer_sizes = sizes,
                         .buffer_count = 2};
    check_rows(&column);
    int64_t wrong = -1;
    sizes[1]--; // one byte beyond
    CHECK_INT(pkf_column_check(&column, 0, ROWS, &wrong), PKF_E_MALFORMED);
    CHECK_INT(wrong, 4);
    CHECK_INT(pkf_column_check(&column, 0, 4, &wrong), PKF_OK);
    set_view(views + 16 * 6, WANTED[3], 2, 0); // no such buffer
    CHECK_INT(pkf_column_check(&column, 0, ROWS, &wrong), PKF_E_MALFORMED);
    CHECK_INT(wrong, 3);
    set_view(views + 16 * 6, WANTED[3], -1, 0);
    CHECK_INT(pkf_column_check(&column, 2, 2, &wrong), PKF_E_MALFORMED);
    set_view(views + 16 * 6, WANTED[3], 0, -1);
    CHECK_INT(pkf_column_check(&column, 3, 1, &wrong), PKF_E_MALFORMED);
    int32_t negative = -5;
    memcpy(views + 16 * 3, &negative, 4);
    CHECK_INT(pkf_column_check(&column, 0, 1, &wrong), PKF_E_MALFORMED);
    CHECK_INT(wrong, 0);
}

static void other_layouts_are_read(void) {
    pkf_span spans[ROWS], given[ROWS];
    int64_t wrong;
    for (int i = 0; i < ROWS; i++) given[i] = (pkf_span){(const uint8_t *)WANTED[i], WANTED[i] ? strlen(WANTED[i]) : 0};
    pkf_column column = {.kind = PKF_COLUMN_SPANS, .cells = given};
    check_rows(&column);
    column = (pkf_column){.kind = PKF_COLUMN_FIXED, .width = 2, .offset = 3, .validity = VALID_FROM_3};
    column.data = (const uint8_t *)"......aabbccddee";
    CHECK_INT(pkf_column_check(&column, 0, ROWS, &wrong), PKF_OK);
    pkf_column_read(&column, 0, ROWS, spans);
    for (int i = 0; i < ROWS; i++) {
        CHECK_INT(spans[i].base == NULL, i == 1);
        if (i != 1) CHECK(spans[i].len == 2 && spans[i].base[0] == 'a' + i && spans[i].base[1] == 'a' + i);
    }
    column.data = NULL;
    CHECK_INT(pkf_column_check(&column, 0, ROWS, &wrong), PKF_E_MALFORMED);
    column.width = 0; // empty rows need no data
    CHECK_INT(pkf_column_check(&column, 0, ROWS, &wrong), PKF_OK);
    pkf_column_read(&column, 0, ROWS, spans);
    CHECK(spans[0].base && spans[0].len == 0 && spans[1].base == NULL);
    column = (pkf_column){.kind = PKF_COLUMN_NONE};
    CHECK_INT(pkf_column_check(&column, 0, ROWS, &wrong), PKF_OK);
    pkf_column_read(&column, 0, 2, spans); // leaves the spans alone: they are null from the beginning
}

static void offsets_that_make_no_sense_are_found(void) {
    int32_t narrow[4] = {0, 3, 3, 8};
    int64_t wide[4] = {0, 3, 3, 8}, wrong = -1;
    const uint8_t data[8] = {0};
    pkf_column column = {.kind = PKF_COLUMN_BINARY, .cells = narrow, .data = data};
    CHECK_INT(pkf_column_check(&column, 0, 3, &wrong), PKF_OK);
    narrow[2] = 2;
    CHECK_INT(pkf_column_check(&column, 0, 3, &wrong), PKF_E_MALFORMED);
    CHECK_INT(wrong, 1);
    narrow[0] = -1;
    CHECK_INT(pkf_column_check(&column, 0, 3, &wrong), PKF_E_MALFORMED);
    CHECK_INT(wrong, 0);
    column.kind = PKF_COLUMN_LARGE;
    column.cells = wide;
    CHECK_INT(pkf_column_check(&column, 0, 3, &wrong), PKF_OK);
    wide[3] = INT64_MIN;
    CHECK_INT(pkf_column_check(&column, 0, 3, &wrong), PKF_E_MALFORMED);
    CHECK_INT(wrong, 2);
    wide[3] = 8;
    column.data = NULL;
    CHECK_INT(pkf_column_check(&column, 0, 3, &wrong), PKF_E_MALFORMED);
    column.cells = NULL;
    CHECK_INT(pkf_column_check(&column, 0, 3, &wrong), PKF_E_MALFORMED);
    CHECK_INT(pkf_column_check(&column, 0, 0, &wrong), PKF_OK); // nothing is read
}

int main(void) {
    offsets_are_read(0, false);
    offsets_are_read(3, false);
    offsets_are_read(0, true);
    offsets_are_read(3, true);
    views_are_read();
    other_layouts_are_read();
    offsets_that_make_no_sense_are_found();
    return FINISH();
}
