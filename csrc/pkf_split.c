// SPDX-License-Identifier: Apache-2.0
// KIP-126: a batch the broker found too large is written anew as several smaller ones, which take its place in the queue
// and in the order of publication. The old batch ends as a fork: its futures follow it to the pieces.
#include <stdlib.h>
#include <string.h>

#include "pkf_completion.h"
#include "pkf_round.h"
#include "pkf_topic.h"

typedef struct piece {
    pkf_batch *batch;
    int32_t first; // index of its first record in the old batch
} piece;

typedef struct pieces {
    piece *items;
    int32_t count, capacity;
} pieces;

static pkf_batch *open_piece(pkf_wire *wire, pkf_batch *old, size_t size, int64_t timestamp) {
    pkf_slab *slab = NULL;
    if (pkf_pool_overdraft(wire->accum->pool, size, &slab) != PKF_OK) return NULL;
    pkf_batch *batch = pkf_batch_new(wire->accum, old->partition, slab, old->created_ns);
    if (batch == NULL) {
        pkf_pool_release(wire->accum->pool, slab);
        return NULL;
    }
    batch->closed = true;
    batch->split = true;
    batch->order = old->order;
    batch->base_timestamp = batch->max_timestamp = timestamp;
    return batch;
}

static pkf_batch *add_piece(pkf_wire *wire, pkf_batch *old, pieces *made, int32_t first, size_t size,
                            int64_t timestamp) {
    if (made->count == made->capacity) {
        int32_t capacity = made->capacity ? made->capacity * 2 : 4;
        piece *items = realloc(made->items, (size_t)capacity * sizeof *items);
        if (items == NULL) return NULL;
        made->items = items;
        made->capacity = capacity;
    }
    pkf_batch *batch = open_piece(wire, old, size, timestamp);
    if (batch == NULL) return NULL;
    made->items[made->count++] = (piece){batch, first};
    return batch;
}

static pkf_status read_headers(const pkf_record *record, pkf_header **headers) {
    *headers = NULL;
    if (record->header_count == 0) return PKF_OK;
    pkf_cursor cursor = record->headers;
    *headers = malloc((size_t)record->header_count * sizeof **headers);
    if (*headers == NULL) return PKF_E_NOMEM;
    for (int32_t i = 0; i < record->header_count; i++) {
        pkf_status status = pkf_record_next_header(&cursor, &(*headers)[i]);
        if (status == PKF_OK) continue;
        free(*headers);
        return status;
    }
    return PKF_OK;
}

// One record of the old batch into the last piece, or into a new one when that would grow beyond `limit`.
static pkf_status move_record(pkf_wire *wire, pkf_batch *old, pieces *made, const pkf_record *record, int32_t index,
                              size_t limit) {
    uint32_t body = 0;
    pkf_header *headers;
    pkf_status status = read_headers(record, &headers);
    if (status) return status;
    int64_t timestamp = old->base_timestamp + record->ts_delta;
    pkf_batch *last = made->count ? made->items[made->count - 1].batch : NULL;
    size_t size = last ? pkf_record_size(timestamp - last->base_timestamp, last->count, &record->key, &record->value,
                                         headers, record->header_count, &body)
                       : 0;
    if (last == NULL || last->used + size > limit) {
        size = pkf_record_size(0, 0, &record->key, &record->value, headers, record->header_count, &body);
        size_t room = PKF_BATCH_HEADER + size > limit ? PKF_BATCH_HEADER + size : limit;
        last = add_piece(wire, old, made, index, room, timestamp);
    }
    if (last) {
        uint8_t *end = pkf_record_write(last->base + last->used, body, timestamp - last->base_timestamp, last->count,
                                        &record->key, &record->value, headers, record->header_count);
        last->used = (uint32_t)(end - last->base);
        last->count++;
        if (record->header_count) last->with_headers = true;
        if (timestamp > last->max_timestamp) last->max_timestamp = timestamp;
    }
    free(headers);
    return last ? PKF_OK : PKF_E_NOMEM;
}

static pkf_status cut(pkf_wire *wire, pkf_batch *old, pieces *made, size_t limit) {
    pkf_span records;
    uint8_t *copy;
    pkf_status status = pkf_batch_unpack(old, wire->codecs, &copy, &records);
    if (status) return status;
    pkf_cursor cursor = pkf_cursor_over(records.base, records.len);
    for (int32_t i = 0; i < old->count && status == PKF_OK; i++) {
        pkf_record record;
        status = pkf_record_read(&cursor, &record);
        if (status == PKF_OK) status = move_record(wire, old, made, &record, i, limit);
    }
    free(copy);
    if (status == PKF_OK && made->count < 2) status = PKF_E_INVALID;
    return status;
}

static int32_t piece_of(const pieces *made, int32_t index) {
    int32_t i = made->count - 1;
    while (i > 0 && made->items[i].first > index) i--;
    return i;
}

// Cookies go where their records went. Counted first, so that nothing can fail half way.
static pkf_status share_cookies(pkf_batch *old, pieces *made) {
    for (int32_t i = 0; i < made->count; i++) {
        pkf_batch *batch = made->items[i].batch;
        if (old->cookie_count == 0) break;
        batch->cookies = malloc(old->cookie_count * sizeof *batch->cookies);
        if (batch->cookies == NULL) return PKF_E_NOMEM;
        batch->cookie_capacity = old->cookie_count;
    }
    for (uint32_t i = 0; i < old->cookie_count; i++) {
        piece *to = &made->items[piece_of(made, old->cookies[i].index)];
        pkf_batch *batch = to->batch;
        batch->cookies[batch->cookie_count] = old->cookies[i];
        batch->cookies[batch->cookie_count++].index -= to->first;
        atomic_fetch_or(&batch->state, PKF_WANTED);
    }
    old->cookie_count = 0;
    return PKF_OK;
}

// The pieces stand where the old batch stood: in the list of unresolved batches, among sequences, in the queue.
static void take_place(pkf_wire *wire, pkf_batch *old, pieces *made) {
    pkf_partition *partition = old->partition;
    pkf_batch **link = &partition->unresolved_head, *before = NULL;
    while (*link != old) {
        before = *link;
        link = &before->unresolved_next;
    }
    pkf_batch *after = old->unresolved_next;
    for (int32_t i = 0; i < made->count; i++) {
        pkf_batch *batch = made->items[i].batch;
        if (old->sequence >= 0)
            batch->sequence = (int32_t)(((int64_t)old->sequence + made->items[i].first) & INT32_MAX);
        batch->listed = true;
        *link = batch;
        link = &batch->unresolved_next;
        before = batch;
        pkf_accum_add_live(wire->accum, batch);
        atomic_fetch_add(&partition->queued_bytes, batch->used);
    }
    for (int32_t i = made->count; i-- > 0;) pkf_wire_requeue(partition, made->items[i].batch); // each before the last
    *link = after;
    if (after == NULL) partition->unresolved_tail = before;
    partition->unresolved_count += (uint32_t)made->count - 1;
    if (old->sequence >= 0) partition->sequenced_count += (uint32_t)made->count - 1;
}

static void end_as_fork(pkf_wire *wire, pkf_batch *old, pieces *made) {
    uint32_t passed_on = pkf_batch_state(old) & PKF_URGENT;
    for (int32_t i = 0; i < made->count; i++) {
        old->forks[i] = (pkf_fork){made->items[i].first, made->items[i].batch};
        pkf_batch_ref(made->items[i].batch);
        atomic_fetch_or(&made->items[i].batch->state, passed_on);
    }
    old->fork_count = made->count;
    take_place(wire, old, made);
    old->resolved = true;
    pkf_pool_release(wire->accum->pool, old->slab);
    old->slab = NULL;
    pkf_accum_complete(wire->accum, old, 0, NULL, false);
    uint32_t state = pkf_batch_state(old); // now nobody marks it any more, but the pieces
    for (int32_t i = 0; i < made->count; i++) {
        // Its listeners come to the pieces by way of the delivery thread; who waits for a record waits for them too.
        atomic_fetch_or(&made->items[i].batch->state, state & PKF_WANTED);
        if (state & PKF_UNSEEN) (void)pkf_batch_leave_unseen(made->items[i].batch);
    }
    pkf_batch_unref(old); // the owner's
}

static void discard(pkf_wire *wire, pieces *made) {
    for (int32_t i = 0; i < made->count; i++) {
        pkf_batch *batch = made->items[i].batch;
        pkf_pool_release(wire->accum->pool, batch->slab);
        batch->slab = NULL;
        pkf_batch_unref(batch);
    }
}

pkf_status pkf_wire_split(pkf_wire *wire, pkf_batch *batch, uint32_t size) {
    pieces made = {0};
    pkf_topic *topic = batch->partition->topic;
    pkf_status status = cut(wire, batch, &made, size);
    pkf_fork *forks = status == PKF_OK ? malloc((size_t)made.count * sizeof *forks) : NULL;
    if (status == PKF_OK) status = forks ? share_cookies(batch, &made) : PKF_E_NOMEM;
    if (status == PKF_OK) {
        batch->forks = forks;
        end_as_fork(wire, batch, &made);
        pkf_count(&wire->counters.splits, 1);
        pkf_topic_forget_ratio(topic);
    } else {
        free(forks);
        discard(wire, &made);
    }
    free(made.items);
    return status;
}
