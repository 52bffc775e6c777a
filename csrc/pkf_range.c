// SPDX-License-Identifier: Apache-2.0
#include "pkf_range.h"

#include <stdlib.h>
#include <string.h>

void pkf_range_init(pkf_range *range, int32_t row_count, int64_t timestamp) {
    memset(range, 0, sizeof *range);
    range->row_count = row_count;
    range->timestamp = timestamp;
    range->key_sizes.same = range->value_sizes.same = range->header_sizes.same = -1;
}

void pkf_range_clear(pkf_range *range) {
    for (int32_t i = 0; i < range->run_count; i++) pkf_batch_unref(range->runs[i].batch);
    free(range->runs);
    free(range->timestamps);
    free(range->key_sizes.each);
    free(range->value_sizes.each);
    free(range->header_sizes.each);
    memset(range, 0, sizeof *range);
}

pkf_status pkf_range_reserve(pkf_range *range) {
    if (range->run_count < range->run_capacity) return PKF_OK;
    int32_t capacity = range->run_capacity ? range->run_capacity : 4;
    // There are never more runs than rows, and one row to come.
    if (range->run_capacity) capacity = capacity > range->row_count / 2 ? range->row_count : capacity * 2;
    pkf_run *runs = realloc(range->runs, (size_t)capacity * sizeof *runs);
    if (runs == NULL) return PKF_E_NOMEM;
    range->runs = runs;
    range->run_capacity = capacity;
    return PKF_OK;
}

static int32_t rows_of(const pkf_range *range, int32_t run) {
    return (run + 1 < range->run_count ? range->runs[run + 1].row : range->count) - range->runs[run].row;
}

bool pkf_range_add(pkf_range *range, pkf_batch *batch, int32_t first, int32_t count) {
    int32_t last = range->run_count - 1;
    bool extends =
        last >= 0 && range->runs[last].batch == batch && range->runs[last].first + rows_of(range, last) == first;
    if (!extends) range->runs[range->run_count++] = (pkf_run){batch, first, range->count};
    range->count += count;
    return !extends;
}

pkf_status pkf_sizes_note(pkf_sizes *sizes, int32_t row_count, int32_t row, int32_t size) {
    if (row == 0) sizes->same = size;
    if (sizes->each == NULL) {
        if (size == sizes->same) return PKF_OK;
        sizes->each = malloc((size_t)row_count * sizeof *sizes->each);
        if (sizes->each == NULL) return PKF_E_NOMEM;
        for (int32_t i = 0; i < row; i++) sizes->each[i] = sizes->same;
    }
    sizes->each[row] = size;
    return PKF_OK;
}

const pkf_run *pkf_range_run(const pkf_range *range, int32_t row) {
    int32_t low = 0, high = range->run_count - 1;
    while (low < high) {
        int32_t middle = low + (high - low + 1) / 2;
        if (range->runs[middle].row <= row)
            low = middle;
        else
            high = middle - 1;
    }
    return &range->runs[low];
}

// One step from a batch that was split to the piece that holds the record.
static void follow_fork(pkf_place *place) {
    const pkf_batch *batch = place->batch;
    int32_t i = batch->fork_count - 1;
    while (i > 0 && batch->forks[i].first > place->index) i--;
    if (i + 1 < batch->fork_count) {
        int32_t rest = batch->forks[i + 1].first - place->index;
        if (rest < place->count) place->count = rest;
    }
    place->index -= batch->forks[i].first;
    place->batch = batch->forks[i].child;
}

void pkf_range_place(const pkf_range *range, int32_t row, pkf_place *place) {
    const pkf_run *run = pkf_range_run(range, row);
    place->batch = run->batch;
    place->index = run->first + (row - run->row);
    place->count = rows_of(range, (int32_t)(run - range->runs)) - (row - run->row);
    while ((pkf_batch_state(place->batch) & PKF_DONE) && place->batch->fork_count > 0) follow_fork(place);
}
