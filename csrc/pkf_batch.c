// SPDX-License-Identifier: Apache-2.0
#include "pkf_batch.h"

#include <stdlib.h>
#include <string.h>

#include "pkf_accum.h"

pkf_batch *pkf_batch_new(pkf_accum *accum, pkf_partition *partition, pkf_slab *slab, int64_t now_ns) {
    pkf_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) return NULL;
    atomic_init(&batch->refs, 1);
    atomic_init(&batch->state, 0);
    batch->accum = accum;
    batch->partition = partition;
    if (slab) pkf_batch_set_slab(batch, slab);
    batch->used = PKF_BATCH_HEADER;
    batch->crc_end = PKF_BATCH_HEADER;
    batch->created_ns = now_ns;
    batch->base_offset = -1;
    batch->log_append_time = -1;
    batch->producer_id = -1;
    batch->producer_epoch = -1;
    batch->sequence = -1;
    batch->listeners_end = &batch->listeners;
    pkf_accum_ref(accum);
    return batch;
}

pkf_batch *pkf_batch_new_failed(const char *topic, size_t topic_len, int32_t partition, int32_t code,
                                const char *message, bool in_doubt) {
    pkf_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) return NULL;
    atomic_init(&batch->refs, 1);
    batch->topic = strndup(topic, topic_len);
    batch->message = message ? strdup(message) : NULL;
    if (batch->topic == NULL || (message && batch->message == NULL)) {
        free(batch->topic);
        free(batch->message);
        free(batch);
        return NULL;
    }
    batch->partition_index = partition;
    batch->code = code;
    batch->in_doubt = in_doubt;
    batch->base_offset = -1;
    batch->log_append_time = -1;
    batch->closed = true;
    batch->count = 1;
    batch->listeners_end = &batch->listeners;
    atomic_init(&batch->state, PKF_DONE | PKF_DELIVERED);
    return batch;
}

void pkf_batch_ref(pkf_batch *batch) { atomic_fetch_add_explicit(&batch->refs, 1, memory_order_relaxed); }

void pkf_batch_end_reserve_locked(pkf_batch *batch) {
    // The owner's reference stays, so this never frees.
    atomic_fetch_sub_explicit(&batch->refs, batch->reserved, memory_order_release);
    batch->reserved = 0;
}

static void batch_free(pkf_batch *batch) {
    for (int32_t i = 0; i < batch->record_error_count; i++) free(batch->record_errors[i].message);
    for (int32_t i = 0; i < batch->fork_count; i++) pkf_batch_unref(batch->forks[i].child);
    free(batch->record_errors);
    free(batch->forks);
    free(batch->cookies);
    free(batch->message);
    free(batch->topic);
    if (batch->accum) pkf_accum_unref(batch->accum);
    free(batch);
}

void pkf_batch_unref_many(pkf_batch *batch, uint32_t count) {
    if (atomic_fetch_sub_explicit(&batch->refs, count, memory_order_acq_rel) == count) batch_free(batch);
}

void pkf_batch_unref(pkf_batch *batch) { pkf_batch_unref_many(batch, 1); }

pkf_status pkf_batch_reserve_cookie(pkf_batch *batch) {
    if (batch->cookie_count < batch->cookie_capacity) return PKF_OK;
    uint32_t capacity = batch->cookie_capacity ? batch->cookie_capacity * 2 : 16;
    pkf_cookie *cookies = realloc(batch->cookies, capacity * sizeof *cookies);
    if (cookies == NULL) return PKF_E_NOMEM;
    batch->cookies = cookies;
    batch->cookie_capacity = capacity;
    return PKF_OK;
}

pkf_status pkf_batch_unpack(const pkf_batch *batch, pkf_codec_state *codecs, uint8_t **copy, pkf_span *records) {
    *copy = NULL;
    *records = (pkf_span){batch->base + PKF_BATCH_HEADER, batch->used - PKF_BATCH_HEADER};
    if (batch->codec == PKF_NONE) return PKF_OK;
    size_t size = 0;
    uint8_t *raw = malloc(batch->raw_size);
    if (raw == NULL) return PKF_E_NOMEM;
    pkf_status status = pkf_codec_decompress(codecs, batch->codec, 2, *records, raw, batch->raw_size, &size);
    if (status == PKF_OK && size != batch->raw_size) status = PKF_E_MALFORMED;
    if (status) {
        free(raw);
        return status;
    }
    *copy = raw;
    *records = (pkf_span){raw, size};
    return PKF_OK;
}

enum { NEAR = 8192 };     // bytes behind which small records are still in the cache that wrote them
enum { JOIN_MIN = 8192 }; // fewer are summed again sooner than joined

void pkf_batch_sum_locked(pkf_batch *batch, pkf_crc32c_fn crc32c, uint32_t before) {
    if (before - batch->crc_end > NEAR) return;
    batch->crc = crc32c(batch->crc, batch->base + batch->crc_end, batch->used - batch->crc_end);
    batch->crc_end = batch->used;
}

static uint32_t crc_from(const pkf_batch *batch, uint32_t from, pkf_crc32c_fn crc32c) {
    uint32_t end = batch->codec == PKF_NONE && batch->crc_end > JOIN_MIN ? batch->crc_end : from;
    uint32_t crc = 0;
    if (end > from) {
        crc = crc32c(0, batch->base + from, PKF_BATCH_HEADER - from);
        crc = pkf_crc32c_join(crc, batch->crc, end - PKF_BATCH_HEADER);
    }
    return crc32c(crc, batch->base + end, batch->used - end);
}

// offset  size  field                       offset  size  field
// 0       8     base offset (0)             27      8     base timestamp
// 8       4     length after this field     35      8     max timestamp
// 12      4     leader epoch (-1)           43      8     producer id
// 16      1     magic (2)                   51      2     producer epoch
// 17      4     CRC-32C of all that follows 53      4     base sequence
// 21      2     attributes                  57      4     record count
// 23      4     last offset delta           61            records
void pkf_batch_seal(pkf_batch *batch, int64_t producer_id, int16_t producer_epoch, int32_t sequence, int transactional,
                    pkf_crc32c_fn crc32c) {
    uint8_t *base = batch->base;
    batch->producer_id = producer_id;
    batch->producer_epoch = producer_epoch;
    batch->sequence = sequence;
    pkf_store_be64(base, 0);
    pkf_store_be32(base + 8, batch->used - 12);
    pkf_store_be32(base + 12, UINT32_MAX);
    base[16] = 2;
    pkf_store_be16(base + 21, (uint16_t)((transactional ? 0x10 : 0) | batch->codec));
    pkf_store_be32(base + 23, (uint32_t)(batch->count - 1));
    pkf_store_be64(base + 27, (uint64_t)batch->base_timestamp);
    pkf_store_be64(base + 35, (uint64_t)batch->max_timestamp);
    pkf_store_be64(base + 43, (uint64_t)producer_id);
    pkf_store_be16(base + 51, (uint16_t)producer_epoch);
    pkf_store_be32(base + 53, (uint32_t)sequence);
    pkf_store_be32(base + 57, (uint32_t)batch->count);
    pkf_store_be32(base + 17, crc_from(batch, 21, crc32c));
}

bool pkf_batch_publish(pkf_batch *batch, int32_t code, const char *message, bool in_doubt) {
    batch->code = code;
    batch->in_doubt = in_doubt;
    if (message && message[0]) batch->message = strdup(message);
    uint32_t before = atomic_fetch_or_explicit(&batch->state, PKF_DONE, memory_order_acq_rel);
    if (!(before & PKF_WANTED)) return false;
    return !(atomic_fetch_or_explicit(&batch->state, PKF_QUEUED, memory_order_acq_rel) & PKF_QUEUED);
}

pkf_batch *pkf_batch_follow(pkf_batch *batch, int32_t *index) {
    while ((pkf_batch_state(batch) & PKF_DONE) && batch->fork_count > 0) {
        int32_t i = batch->fork_count - 1;
        while (i > 0 && batch->forks[i].first > *index) i--;
        *index -= batch->forks[i].first;
        batch = batch->forks[i].child;
    }
    return batch;
}

int32_t pkf_batch_record_code(const pkf_batch *batch, int32_t index, const char **message) {
    *message = batch->message;
    if (batch->code == 0 || batch->record_error_count == 0) return batch->code;
    for (int32_t i = 0; i < batch->record_error_count; i++) {
        if (batch->record_errors[i].index != index) continue;
        if (batch->record_errors[i].message) *message = batch->record_errors[i].message;
        return batch->code;
    }
    return PKF_CODE_BATCH_REJECTED;
}

pkf_batch *pkf_batch_fork(const pkf_batch *batch, int32_t i) { return batch->forks[i].child; }

void pkf_batch_set_offset(pkf_batch *batch, int64_t offset) { batch->base_offset = offset; }
