// SPDX-License-Identifier: Apache-2.0
#include "pkf_bulk.h"

#include <string.h>

#include "pkf_topic.h"
#include "pkf_workers.h"

enum {
    HOLD_BYTES = 64 << 10, // what is copied under one lock, a single large record apart
    FETCH_AHEAD = 12       // rows
};

void pkf_bulk_init(pkf_bulk *bulk, pkf_topic *topic, pkf_range *range, int64_t patience_ns) {
    bulk->topic = topic;
    bulk->range = range;
    bulk->patience_ns = patience_ns;
    bulk->wait = bulk->waiting = false;
    bulk->taken = bulk->block_first = bulk->block_last = 0;
    memset(&bulk->rows, 0, sizeof bulk->rows);
    memset(&bulk->append, 0, sizeof bulk->append);
    bulk->append.topic = topic;
    bulk->append.may_grow = true;
}

void pkf_bulk_set_rows(pkf_bulk *bulk, const pkf_rows *rows) {
    bulk->rows = *rows;
    bulk->taken = bulk->block_first = bulk->block_last = 0;
}

void pkf_bulk_end(pkf_accum *accum, pkf_bulk *bulk) {
    if (bulk->waiting) pkf_pool_wait_cancel(accum->pool, &bulk->waiter);
    bulk->waiting = false;
    if (bulk->append.slab) pkf_pool_release(accum->pool, bulk->append.slab);
    bulk->append.slab = NULL;
}

static const pkf_header_list *headers_of(const pkf_rows *rows, int32_t row) {
    return rows->header_lists ? &rows->header_lists[row] : &rows->headers;
}

static int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

// ---- before any row is taken ----

static pkf_status check_row(const pkf_accum *accum, const pkf_span *key, const pkf_span *value,
                            const pkf_header_list *list) {
    if (key->base == NULL && value->base == NULL) return PKF_E_INVALID;
    if (list->count == 0 && key->len + value->len <= accum->always_fits) return PKF_OK;
    uint64_t size = pkf_record_upper_bound(key, value, list->headers, list->count);
    return size > accum->config.max_request_size || size > accum->config.buffer_memory ? PKF_E_TOO_LARGE : PKF_OK;
}

pkf_status pkf_bulk_check(const pkf_accum *accum, const pkf_rows *rows, int64_t *bytes, int64_t *wrong) {
    pkf_span keys[PKF_BLOCK], values[PKF_BLOCK];
    memset(keys, 0, sizeof keys);
    memset(values, 0, sizeof values);
    *bytes = 0;
    for (int32_t first = 0; first < rows->count; first += PKF_BLOCK) {
        int32_t count = smaller(PKF_BLOCK, rows->count - first);
        pkf_status status = pkf_column_check(&rows->keys, first, count, wrong);
        if (status == PKF_OK) status = pkf_column_check(&rows->values, first, count, wrong);
        if (status) return status;
        pkf_column_read(&rows->keys, first, count, keys);
        pkf_column_read(&rows->values, first, count, values);
        for (int32_t i = 0; i < count; i++) {
            *wrong = first + i;
            *bytes += (int64_t)(keys[i].len + values[i].len);
            status = check_row(accum, &keys[i], &values[i], headers_of(rows, first + i));
            if (status) return status;
        }
    }
    return PKF_OK;
}

// ---- a block: what can be known without a lock ----

static int32_t size_of(const pkf_span *span) { return span->base ? (int32_t)span->len : -1; }

static pkf_status note_sizes(pkf_bulk *bulk, int32_t count) {
    pkf_range *range = bulk->range;
    pkf_status status = PKF_OK;
    for (int32_t i = 0; i < count && status == PKF_OK; i++) {
        int32_t row = range->count + i, all = range->row_count;
        status = pkf_sizes_note(&range->key_sizes, all, row, size_of(&bulk->keys[i]));
        if (status == PKF_OK) status = pkf_sizes_note(&range->value_sizes, all, row, size_of(&bulk->values[i]));
        const pkf_header_list *list = headers_of(&bulk->rows, bulk->block_first + i);
        if (status == PKF_OK) status = pkf_sizes_note(&range->header_sizes, all, row, list->size);
    }
    return status;
}

enum {
    UNPLACED = -2
}; // has a key, but the topic is not known yet: not one of those that may go anywhere, which are -1

// Explicit, or by key, which depends on nothing but the number of partitions.
static int32_t partition_of(const pkf_bulk *bulk, int32_t i) {
    const pkf_rows *rows = &bulk->rows;
    int32_t given = rows->partitions ? rows->partitions[bulk->block_first + i] : rows->partition;
    if (given >= 0 || bulk->keys[i].base == NULL || bulk->topic->accum->config.ignore_keys) return given;
    int32_t chosen = pkf_topic_choose(bulk->topic, &bulk->keys[i]);
    return chosen >= 0 ? chosen : UNPLACED;
}

// What is left of the rows: all of it may go to one partition, or a fair share.
static void expect(pkf_bulk *bulk) {
    const pkf_rows *rows = &bulk->rows;
    int32_t partitions = atomic_load_explicit(&bulk->topic->partition_count, memory_order_relaxed);
    bulk->expected = (size_t)((double)rows->bytes * (rows->count - bulk->taken) / rows->count);
    bulk->expected_share = bulk->expected / (size_t)(partitions > 0 ? partitions : 1);
    bulk->scattered = rows->partitions || rows->partition < 0;
}

static void place(pkf_bulk *bulk, int32_t from, int32_t to) {
    for (int32_t i = from; i < to; i++) bulk->partitions[i] = partition_of(bulk, i);
}

static pkf_status load_block(pkf_bulk *bulk) {
    const pkf_rows *rows = &bulk->rows;
    int32_t count = smaller(PKF_BLOCK, rows->count - bulk->taken);
    bulk->block_first = bulk->taken;
    expect(bulk);
    if (rows->keys.kind == PKF_COLUMN_NONE) memset(bulk->keys, 0, (size_t)count * sizeof *bulk->keys);
    if (rows->values.kind == PKF_COLUMN_NONE) memset(bulk->values, 0, (size_t)count * sizeof *bulk->values);
    pkf_column_read(&rows->keys, bulk->taken, count, bulk->keys);
    pkf_column_read(&rows->values, bulk->taken, count, bulk->values);
    pkf_status status = note_sizes(bulk, count);
    if (status) return status;
    place(bulk, 0, count);
    bulk->block_last = bulk->taken + count;
    bulk->fetched = 0;
    return PKF_OK;
}

// ---- a hold: rows for one partition under its lock ----

static int64_t timestamp_of(const pkf_range *range, int32_t row) {
    return range->timestamps ? range->timestamps[row] : range->timestamp;
}

static void describe(pkf_bulk *bulk, int32_t i) {
    const pkf_header_list *list = headers_of(&bulk->rows, bulk->block_first + i);
    bulk->append.key = bulk->keys[i];
    bulk->append.value = bulk->values[i];
    bulk->append.headers = list->headers;
    bulk->append.header_count = list->count;
    bulk->append.timestamp = timestamp_of(bulk->range, bulk->range->count);
    bulk->append.expected = bulk->append.sticky || !bulk->scattered ? bulk->expected : bulk->expected_share;
}

// Rows of the block from i on, before `end`, as far as they fit into the open batch; `sure`: the first does.
static int32_t write_rows_locked(pkf_bulk *bulk, pkf_batch *batch, int32_t i, int32_t end, bool sure) {
    uint8_t *base = batch->base, *at = base + batch->used;
    uint32_t body = 0, largest = batch->record_size_max;
    int32_t first = i, index = batch->count, row = bulk->range->count;
    const pkf_header_list *list = headers_of(&bulk->rows, bulk->block_first + i);
    int64_t timestamp = timestamp_of(bulk->range, row), latest = batch->max_timestamp;
    size_t room = pkf_accum_room_locked(batch);
    if (room > batch->used + (size_t)HOLD_BYTES) room = batch->used + (size_t)HOLD_BYTES;
    for (; i < end; i++, index++, row++) {
        if (bulk->rows.header_lists) list = headers_of(&bulk->rows, bulk->block_first + i);
        if (bulk->range->timestamps) timestamp = bulk->range->timestamps[row];
        int64_t delta = timestamp - batch->base_timestamp;
        size_t size =
            pkf_record_size(delta, index, &bulk->keys[i], &bulk->values[i], list->headers, list->count, &body);
        if ((i > first || !sure) && (size_t)(at - base) + size > room) break;
        at = pkf_record_write(at, body, delta, index, &bulk->keys[i], &bulk->values[i], list->headers, list->count);
        if (size > largest) largest = (uint32_t)size;
        if (timestamp > latest) latest = timestamp;
        if (list->count) batch->with_headers = true;
    }
    batch->used = (uint32_t)(at - base);
    batch->count = index;
    batch->record_size_max = largest;
    batch->max_timestamp = latest;
    return i - first;
}

// The rows that were just written to the tail are the range's.
static void add_locked(pkf_bulk *bulk, pkf_partition *partition, int32_t count, uint32_t before, bool *look) {
    pkf_batch *batch = partition->tail;
    if (pkf_range_add(bulk->range, batch, batch->count - count, count)) pkf_batch_ref_reserved_locked(batch);
    bulk->taken += count;
    bulk->append.may_grow = true;
    pkf_accum_filled_locked(partition, &bulk->append, before, (uint32_t)count, look);
}

static pkf_status fill_locked(pkf_accum *accum, pkf_bulk *bulk, pkf_partition *partition, int32_t i, int32_t end,
                              bool *look) {
    pkf_batch *batch = partition->tail;
    int32_t count = 0;
    uint32_t body, before = 0;
    if (atomic_load_explicit(&accum->closed, memory_order_relaxed)) return PKF_E_CLOSED;
    if (batch && !batch->closed) { // a closed one is the wire's
        before = batch->used;
        count = write_rows_locked(bulk, batch, i, end, false);
    }
    if (count == 0) { // the batch must grow, or there must be another
        describe(bulk, i);
        pkf_status status = pkf_accum_ready_locked(accum, partition, &bulk->append, &body, look);
        if (status) return status;
        before = partition->tail->used;
        count = write_rows_locked(bulk, partition->tail, i, end, true);
    }
    add_locked(bulk, partition, count, before, look);
    return PKF_OK;
}

// The partition of the block's row i; NULL, and what it is in bulk->partition, if it is not known.
static pkf_partition *choose(pkf_bulk *bulk, int32_t i) {
    pkf_topic *topic = bulk->topic;
    bulk->append.sticky = bulk->partitions[i] < 0 && pkf_topic_is_sticky(topic, &bulk->keys[i]);
    int32_t index = bulk->partitions[i];
    if (index < 0) index = pkf_topic_choose(topic, &bulk->keys[i]);
    if (index >= 0 && !bulk->append.sticky) bulk->partitions[i] = index; // kept: round robin counts
    bulk->partition = index;
    return pkf_topic_partition(topic, index);
}

// The lines of rows to come: many are on their way at once.
static void fetch_ahead(pkf_bulk *bulk) {
    int32_t from = bulk->taken - bulk->block_first, last = bulk->block_last - bulk->block_first;
    if (bulk->fetched < from) bulk->fetched = from;
    for (; bulk->fetched < last && bulk->fetched < from + FETCH_AHEAD; bulk->fetched++) {
        int32_t i = bulk->fetched, index = bulk->partitions[i];
        const pkf_partition *partition = pkf_topic_partition(bulk->topic, index);
        bool another = i == 0 || index != bulk->partitions[i - 1];
        if (partition && another)
            pkf_topic_fetch(bulk->topic, partition, index, bulk->keys[i].len + bulk->values[i].len);
    }
}

static pkf_status hold(pkf_accum *accum, pkf_bulk *bulk) {
    int32_t i = bulk->taken - bulk->block_first, end = i + 1;
    pkf_partition *partition = choose(bulk, i);
    if (partition == NULL) { // the topic may have become smaller: what was placed by key is placed anew
        place(bulk, i, bulk->block_last - bulk->block_first);
        bulk->partition = bulk->partitions[i];
        return PKF_NEED_METADATA;
    }
    fetch_ahead(bulk);
    bool plain = atomic_load_explicit(&accum->no_headers, memory_order_relaxed);
    if (plain && headers_of(&bulk->rows, bulk->taken)->count) return PKF_E_UNSUPPORTED;
    pkf_status status = pkf_range_reserve(bulk->range);
    if (status) return status;
    for (; end < bulk->block_last - bulk->block_first && bulk->partitions[end] == bulk->partitions[i]; end++)
        if (plain && headers_of(&bulk->rows, bulk->block_first + end)->count) break;
    if (bulk->wait)
        pkf_lock_take(&partition->lock);
    else if (!pkf_lock_insist(&partition->lock))
        return PKF_E_BUSY;
    bool look = false;
    bool moved = bulk->append.sticky && atomic_load(&bulk->topic->sticky) != partition->index;
    status = moved ? PKF_E_BUSY : fill_locked(accum, bulk, partition, i, end, &look);
    pkf_lock_let_go(&partition->lock);
    if (look && pkf_accum_touch(accum, partition)) pkf_accum_wake(accum);
    return status == PKF_E_BUSY ? PKF_OK : status; // the sticky choice went elsewhere: the next hold will be there
}

// ---- memory ----

static pkf_status wait_for_slab(pkf_accum *accum, pkf_bulk *bulk, int64_t until_ns) {
    int64_t now = pkf_monotonic_ns();
    int64_t end = until_ns < bulk->wait_until_ns ? until_ns : bulk->wait_until_ns;
    pkf_status status = pkf_workers_pool_wait(accum, &bulk->waiter, now < end ? (uint64_t)(end - now) : 0);
    if (status == PKF_OK) {
        status = pkf_pool_wait_take(accum->pool, &bulk->waiter, &bulk->append.slab);
        bulk->waiting = status == PKF_E_CLOSED; // anything else ends the waiter
    } else if (status == PKF_E_TIMEOUT && pkf_monotonic_ns() < bulk->wait_until_ns) {
        status = PKF_E_PARTIAL;
    }
    return status;
}

static pkf_status acquire(pkf_accum *accum, pkf_bulk *bulk, int64_t until_ns) {
    pkf_append *append = &bulk->append;
    if (append->slab) pkf_pool_release(accum->pool, append->slab);
    append->slab = NULL;
    pkf_status status = pkf_pool_try(accum->pool, append->need, &append->slab);
    if (status != PKF_E_EXHAUSTED) return status;
    if (append->may_grow) { // a batch that cannot grow is closed as it is
        append->may_grow = false;
        return PKF_OK;
    }
    if (!bulk->wait) return PKF_E_BUSY;
    status = pkf_pool_wait_begin(accum->pool, &bulk->waiter, append->need);
    if (status) return status;
    bulk->waiting = true;
    bulk->wait_until_ns = pkf_monotonic_ns() + bulk->patience_ns;
    pkf_accum_wake(accum); // memory is short: what lingers leaves now
    return wait_for_slab(accum, bulk, until_ns);
}

// A slab that a batch grew out of, or that another thread made unnecessary.
static void let_go(pkf_accum *accum, pkf_bulk *bulk) {
    if (bulk->append.slab == NULL) return;
    pkf_pool_release(accum->pool, bulk->append.slab);
    bulk->append.slab = NULL;
}

static pkf_status step(pkf_accum *accum, pkf_bulk *bulk, int64_t until_ns) {
    if (bulk->waiting) return wait_for_slab(accum, bulk, until_ns);
    if (bulk->taken == bulk->block_last) return load_block(bulk);
    pkf_status status = hold(accum, bulk);
    if (status == PKF_NEED_SLAB) return acquire(accum, bulk, until_ns);
    let_go(accum, bulk);
    return status;
}

pkf_status pkf_bulk_append(pkf_accum *accum, pkf_bulk *bulk, int64_t slice_ns) {
    int64_t until_ns = pkf_monotonic_ns() + slice_ns;
    while (bulk->taken < bulk->rows.count) {
        pkf_status status = step(accum, bulk, until_ns);
        if (status) return status;
        // The clock is not asked for every row.
        if (!bulk->wait || (bulk->taken < bulk->block_last && !bulk->waiting)) continue;
        if (pkf_monotonic_ns() >= until_ns && bulk->taken < bulk->rows.count) return PKF_E_PARTIAL;
    }
    return PKF_OK;
}
