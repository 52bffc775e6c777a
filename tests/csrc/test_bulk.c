// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include "pkf_bulk.h"
#include "pkf_murmur2.h"

enum { ROWS = 1000, TEXT = 24 };

static rig r;
static pkf_accum_config config;
static pkf_range range;
static pkf_bulk bulk;
static char keys[ROWS][TEXT], values[ROWS][TEXT];
static pkf_span key_spans[ROWS], value_spans[ROWS];

static void open_rig(int32_t partitions, size_t memory) {
    pkf_wire_config wire = RIG_WIRE;
    config = (pkf_accum_config)RIG_ACCUM;
    config.buffer_memory = memory;
    rig_open(&r, &config, &wire, partitions);
    for (int i = 0; i < ROWS; i++) {
        snprintf(keys[i], TEXT, "key %d", i);
        snprintf(values[i], TEXT, "the value %d", i);
        key_spans[i] = rig_span(keys[i]);
        value_spans[i] = rig_span(values[i]);
    }
    pkf_range_init(&range, ROWS, 1700000000000);
    pkf_bulk_init(&bulk, r.topic, &range, 20 * RIG_MS);
}

static pkf_rows rows_of(int32_t first, int32_t count, bool keyed) {
    pkf_rows rows = {.partition = -1, .count = count, .headers = {.size = -1}};
    rows.values = (pkf_column){.kind = PKF_COLUMN_SPANS, .offset = first, .cells = value_spans};
    if (keyed) rows.keys = (pkf_column){.kind = PKF_COLUMN_SPANS, .offset = first, .cells = key_spans};
    return rows;
}

static pkf_status append(bool wait) {
    bulk.wait = wait;
    return pkf_bulk_append(r.accum, &bulk, 1000 * RIG_MS);
}

static pkf_status append_rows(pkf_rows rows) {
    int64_t wrong;
    NEED(pkf_bulk_check(r.accum, &rows, &rows.bytes, &wrong) == PKF_OK);
    pkf_bulk_set_rows(&bulk, &rows);
    return append(true);
}

// Every record that was taken is where the range says it is.
static void check_rows_taken(bool keyed) {
    for (int32_t row = 0; row < range.count; row++) {
        pkf_place place;
        peer_record record;
        pkf_range_place(&range, row, &place);
        peer_batch seen = {.bytes = place.batch->slab->base, .size = place.batch->used};
        pkf_batch_seal(place.batch, -1, -1, -1, 0, pkf_crc32c_select(NULL));
        peer_open_batch(&seen);
        for (int32_t i = 0; i <= place.index; i++) NEED(peer_next_record(&seen, &record));
        CHECK(record.value_size == (int)strlen(values[row]) && !memcmp(record.value, values[row], strlen(values[row])));
        CHECK_INT(record.key_size, keyed ? (int)strlen(keys[row]) : -1);
        CHECK_INT(record.timestamp, 1700000000000);
        CHECK_INT(pkf_sizes_at(&range.value_sizes, row), strlen(values[row]));
        CHECK_INT(pkf_sizes_at(&range.key_sizes, row), record.key_size);
    }
}

static void close_rig(void) {
    pkf_bulk_end(r.accum, &bulk);
    pkf_range_clear(&range);
    rig_close(&r);
}

static void rows_go_where_single_records_would(void) {
    open_rig(4, 1 << 20);
    CHECK_INT(append_rows(rows_of(0, ROWS, true)), PKF_OK);
    CHECK_INT(range.count, ROWS);
    check_rows_taken(true);
    for (int32_t row = 0; row < ROWS; row++) {
        int32_t wanted = (pkf_murmur2(keys[row], strlen(keys[row])) & 0x7fffffff) % 4;
        CHECK_INT(pkf_range_run(&range, row)->batch->partition->index, wanted);
    }
    close_rig();
    open_rig(4, 1 << 20);
    CHECK_INT(append_rows(rows_of(0, ROWS / 2, false)), PKF_OK); // two pieces of one range
    CHECK_INT(append_rows(rows_of(ROWS / 2, ROWS / 2, false)), PKF_OK);
    CHECK_INT(range.count, ROWS);
    check_rows_taken(false);
    CHECK(range.run_count < 20); // they stay together
    close_rig();
}

static void every_row_may_name_its_partition(void) {
    int32_t partitions[ROWS];
    open_rig(4, 1 << 20);
    for (int i = 0; i < ROWS; i++) partitions[i] = i % 5 - 1;
    pkf_rows rows = rows_of(0, ROWS, false);
    rows.partitions = partitions;
    CHECK_INT(append_rows(rows), PKF_OK);
    for (int32_t row = 0; row < ROWS; row++)
        if (partitions[row] >= 0) CHECK_INT(pkf_range_run(&range, row)->batch->partition->index, partitions[row]);
    check_rows_taken(false);
    close_rig();
    open_rig(3, 1 << 20);
    rows.partitions = NULL;
    rows.partition = 7;
    CHECK_INT(append_rows(rows), PKF_NEED_METADATA);
    CHECK_INT(bulk.partition, 7);
    CHECK_INT(range.count, 0);
    int32_t leaders[8] = {0};
    NEED(pkf_topic_set_route(r.topic, 8, leaders) == PKF_OK);
    CHECK_INT(append(true), PKF_OK); // goes on where it was
    CHECK_INT(range.count, ROWS);
    close_rig();
}

static void timestamps_and_headers_of_each_row(void) {
    pkf_header headers[2] = {{rig_span("h"), rig_span("v")}, {rig_span("other"), rig_span(NULL)}};
    pkf_header_list lists[ROWS];
    open_rig(1, 1 << 20);
    NEED((range.timestamps = malloc(ROWS * sizeof(int64_t))));
    for (int i = 0; i < ROWS; i++) {
        lists[i] = (pkf_header_list){headers, i % 3, i % 3 ? 2 + 5 * (i % 3 - 1) : -1};
        range.timestamps[i] = 1700000000000 - i % 7 * 1000;
    }
    pkf_rows rows = rows_of(0, 100, false);
    rows.header_lists = lists;
    CHECK_INT(append_rows(rows), PKF_OK);
    pkf_batch *batch = pkf_range_run(&range, 0)->batch;
    peer_batch seen = {.bytes = batch->slab->base, .size = batch->used};
    pkf_batch_seal(batch, -1, -1, -1, 0, pkf_crc32c_select(NULL));
    peer_open_batch(&seen);
    for (int i = 0; i < 100; i++) {
        peer_record record;
        NEED(peer_next_record(&seen, &record));
        CHECK_INT(record.header_count, i % 3);
        CHECK_INT(record.timestamp, range.timestamps[i]);
        CHECK_INT(pkf_sizes_at(&range.header_sizes, i), lists[i].size);
    }
    CHECK(batch->with_headers);
    CHECK_INT(seen.max_timestamp, 1700000000000);
    atomic_store(&r.accum->no_headers, 1);
    CHECK_INT(append_rows(rows), PKF_E_UNSUPPORTED);
    CHECK_INT(bulk.taken, 1); // up to the first with headers
    close_rig();
}

static void a_row_that_cannot_be_sent_is_named(void) {
    static uint8_t large[100000];
    int64_t bytes, wrong = -1;
    open_rig(1, 96 << 10);
    pkf_rows rows = rows_of(0, ROWS, false);
    CHECK_INT(pkf_bulk_check(r.accum, &rows, &bytes, &wrong), PKF_OK);
    CHECK(bytes > 10 * ROWS && bytes < TEXT * ROWS);
    value_spans[700] = (pkf_span){large, sizeof large};
    CHECK_INT(pkf_bulk_check(r.accum, &rows, &bytes, &wrong), PKF_E_TOO_LARGE);
    CHECK_INT(wrong, 700);
    value_spans[300] = rig_span(NULL);
    CHECK_INT(pkf_bulk_check(r.accum, &rows, &bytes, &wrong), PKF_E_INVALID);
    CHECK_INT(wrong, 300);
    int32_t offsets[3] = {0, 5, 4};
    rows.keys = (pkf_column){.kind = PKF_COLUMN_BINARY, .cells = offsets, .data = large};
    rows.count = 2;
    CHECK_INT(pkf_bulk_check(r.accum, &rows, &bytes, &wrong), PKF_E_MALFORMED);
    CHECK_INT(wrong, 1);
    close_rig();
}

// Nothing takes the batches away: a pool of two slabs is soon full.
static void memory_is_waited_for_in_slices(void) {
    open_rig(1, 8 << 10);
    CHECK_INT(append_rows(rows_of(0, ROWS, true)), PKF_E_TIMEOUT);
    int32_t taken = range.count;
    CHECK(taken > 100 && taken < ROWS && taken == bulk.taken);
    check_rows_taken(true);
    bulk.patience_ns = 60000 * RIG_MS;
    pkf_bulk_end(r.accum, &bulk);
    bulk.wait = true;
    CHECK_INT(pkf_bulk_append(r.accum, &bulk, 1 * RIG_MS), PKF_E_PARTIAL);
    CHECK(pkf_pool_waiting(r.accum->pool)); // it keeps its place
    CHECK_INT(pkf_bulk_append(r.accum, &bulk, 1 * RIG_MS), PKF_E_PARTIAL);
    CHECK_INT(range.count, taken);
    pkf_accum_close(r.accum);
    CHECK_INT(append(true), PKF_E_CLOSED);
    pkf_bulk_end(r.accum, &bulk);
    CHECK(!pkf_pool_waiting(r.accum->pool));
    CHECK_INT(append(true), PKF_E_CLOSED);
    CHECK_INT(range.count, taken);
    close_rig();
}

static void with_the_gil_nothing_is_waited_for(void) {
    open_rig(1, 8 << 10);
    pkf_rows rows = rows_of(0, ROWS, false);
    pkf_bulk_set_rows(&bulk, &rows);
    pkf_lock_take(&rig_part(&r, 0)->lock);
    CHECK_INT(append(false), PKF_E_BUSY);
    CHECK_INT(range.count, 0);
    pkf_lock_let_go(&rig_part(&r, 0)->lock);
    CHECK_INT(append(false), PKF_E_BUSY); // memory
    CHECK(range.count > 0 && range.count < ROWS && !bulk.waiting);
    close_rig();
}

// Large rows are summed as they are written, small ones are not: whatever the order, the CRC is that of the bytes.
static void the_crc_is_that_of_the_bytes(void) {
    static uint8_t bytes[4000];
    uint64_t seed = harness_seed();
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)harness_random(&seed);
    for (int round = 0; round < 20; round++) {
        open_rig(1, 1 << 20);
        size_t most = harness_below(&seed, 2) ? 200 : sizeof bytes;
        for (int i = 0; i < ROWS; i++) {
            if (harness_below(&seed, 40) == 0) most = most == 200 ? sizeof bytes : 200;
            value_spans[i] = (pkf_span){bytes, (size_t)harness_below(&seed, most)};
        }
        CHECK_INT(append_rows(rows_of(0, 300, false)), PKF_OK);
        for (pkf_batch *batch = rig_part(&r, 0)->head; batch; batch = batch->queue_next) {
            pkf_batch_seal(batch, 1, 2, 3, 0, pkf_crc32c_select(NULL));
            CHECK_INT(pkf_load_be32(batch->base + 17), peer_crc32c(batch->base + 21, batch->used - 21));
        }
        close_rig();
    }
}

static void many_rows_open_large_batches(void) {
    static uint8_t large[1000];
    open_rig(1, 1 << 20);
    for (int i = 0; i < ROWS; i++) value_spans[i] = (pkf_span){large, sizeof large};
    CHECK_INT(append_rows(rows_of(0, 500, false)), PKF_OK);
    CHECK(pkf_range_run(&range, 0)->batch->slab->size >= 64 << 10);
    CHECK(rig_part(&r, 0)->head != rig_part(&r, 0)->tail); // no batch is larger than batch_max_size
    close_rig();
}

// Rows with keys that were read while the topic was not known are not those that may go anywhere.
static void keys_count_though_the_topic_becomes_known_late(void) {
    int32_t leaders[16] = {0};
    open_rig(16, 1 << 20);
    key_spans[0] = rig_span(NULL);
    pkf_rows rows = rows_of(0, ROWS, true);
    pkf_bulk_set_rows(&bulk, &rows);
    pkf_topic_forget(r.topic);
    CHECK_INT(append(true), PKF_NEED_METADATA);
    NEED(pkf_topic_set_route(r.topic, 16, leaders) == PKF_OK);
    CHECK_INT(append(true), PKF_OK);
    for (int i = 1; i < ROWS; i++) {
        pkf_place place;
        pkf_range_place(&range, i, &place);
        CHECK_INT(place.batch->partition->index, pkf_topic_choose(r.topic, &key_spans[i]));
    }
    pkf_bulk_end(r.accum, &bulk);
    pkf_range_clear(&range);
    rig_close(&r);
}

int main(void) {
    rows_go_where_single_records_would();
    every_row_may_name_its_partition();
    timestamps_and_headers_of_each_row();
    a_row_that_cannot_be_sent_is_named();
    memory_is_waited_for_in_slices();
    with_the_gil_nothing_is_waited_for();
    many_rows_open_large_batches();
    the_crc_is_that_of_the_bytes();
    keys_count_though_the_topic_becomes_known_late();
    return FINISH();
}
