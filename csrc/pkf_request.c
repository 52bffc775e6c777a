// SPDX-License-Identifier: Apache-2.0
#include "pkf_request.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_WITH_TRANSACTIONS = 3,
    FIRST_FLEXIBLE = 9,
    FIRST_WITH_TOPIC_ID = 13,
    HEAD_ROOM = 64,      // everything before the first topic and behind the last, without the two ids
    TOPIC_ROOM = 16 + 8, // besides the name: id, count, tags
    PARTITION_ROOM = 10  // index, size, tags
};

void pkf_request_init(pkf_request *request) { memset(request, 0, sizeof *request); }

void pkf_request_free(pkf_request *request) {
    free(request->iov);
    free(request->scratch);
    pkf_request_init(request);
}

// ---- what is asked for is possible, and how much scratch it takes ----

static bool is_string(const pkf_span *s) { return s->base && s->len <= INT16_MAX; }

static pkf_status check_head(const pkf_request_head *head, size_t count) {
    if (head->version < PKF_PRODUCE_MIN_VERSION || head->version > PKF_PRODUCE_MAX_VERSION) return PKF_E_INVALID;
    if (head->client_id.len > INT16_MAX || head->transactional_id.len > INT16_MAX) return PKF_E_INVALID;
    return count == 0 || count > INT_MAX / 4 ? PKF_E_INVALID : PKF_OK;
}

static pkf_status measure(const pkf_request_head *head, const pkf_request_batch *batches, size_t count, size_t *room,
                          size_t *bytes) {
    bool by_id = head->version >= FIRST_WITH_TOPIC_ID;
    *room = HEAD_ROOM + head->client_id.len + head->transactional_id.len;
    *bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (by_id ? !batches[i].topic_id : !is_string(&batches[i].topic_name)) return PKF_E_INVALID;
        if (!batches[i].bytes.base) return PKF_E_INVALID;
        *room += TOPIC_ROOM + PARTITION_ROOM + (by_id ? 0 : batches[i].topic_name.len);
        if (batches[i].bytes.len > INT32_MAX - *bytes) return PKF_E_TOO_LARGE;
        *bytes += batches[i].bytes.len;
    }
    return *room > INT32_MAX - *bytes ? PKF_E_TOO_LARGE : PKF_OK;
}

static pkf_status make_room(pkf_request *request, size_t scratch_room, int iov_room) {
    if (request->scratch_room < scratch_room) {
        uint8_t *scratch = realloc(request->scratch, scratch_room);
        if (!scratch) return PKF_E_NOMEM;
        request->scratch = scratch;
        request->scratch_room = scratch_room;
    }
    if (request->iov_room < iov_room) {
        struct iovec *iov = realloc(request->iov, (size_t)iov_room * sizeof *iov);
        if (!iov) return PKF_E_NOMEM;
        request->iov = iov;
        request->iov_room = iov_room;
    }
    return PKF_OK;
}

// ---- writing ----

static uint8_t *write_raw(uint8_t *p, const pkf_span *s) {
    if (s->len) memcpy(p, s->base, s->len);
    return p + s->len;
}

static uint8_t *write_string(uint8_t *p, const pkf_span *s, bool compact) {
    if (compact)
        p = pkf_uvarint_write(p, s->base ? s->len + 1 : 0);
    else
        p = pkf_store_be16(p, s->base ? (uint16_t)s->len : UINT16_MAX);
    return write_raw(p, s);
}

static uint8_t *write_count(uint8_t *p, size_t n, bool compact) {
    return compact ? pkf_uvarint_write(p, n + 1) : pkf_store_be32(p, (uint32_t)n);
}

static uint8_t *write_no_tags(uint8_t *p, bool flexible) {
    if (flexible) *p++ = 0;
    return p;
}

static uint8_t *write_head(uint8_t *p, const pkf_request_head *head, bool flexible) {
    p = pkf_store_be16(p, 0);
    p = pkf_store_be16(p, (uint16_t)head->version);
    p = pkf_store_be32(p, (uint32_t)head->correlation_id);
    p = write_string(p, &head->client_id, false); // not compact in any version of the header
    p = write_no_tags(p, flexible);
    if (head->version >= FIRST_WITH_TRANSACTIONS) p = write_string(p, &head->transactional_id, flexible);
    p = pkf_store_be16(p, (uint16_t)head->acks);
    return pkf_store_be32(p, (uint32_t)head->timeout_ms);
}

static bool same_topic(const pkf_request_batch *a, const pkf_request_batch *b, bool by_id) {
    if (by_id) return a->topic_id == b->topic_id || memcmp(a->topic_id, b->topic_id, 16) == 0;
    if (a->topic_name.len != b->topic_name.len) return false;
    return a->topic_name.base == b->topic_name.base ||
           memcmp(a->topic_name.base, b->topic_name.base, a->topic_name.len) == 0;
}

// Length of the run of one topic that starts at batches[0].
static size_t topic_run(const pkf_request_batch *batches, size_t count, bool by_id) {
    size_t n = 1;
    while (n < count && same_topic(&batches[0], &batches[n], by_id)) n++;
    return n;
}

static void add_iov(pkf_request *request, const uint8_t *base, size_t len) {
    struct iovec *v = &request->iov[request->iov_count++];
    v->iov_base = (void *)(uintptr_t)base; // iovec has no const; nobody writes through it
    v->iov_len = len;
    request->size += len;
}

// Topics and batches; *from is where the scratch that is not in iov yet begins. Returns the end of the scratch written.
static uint8_t *write_topics(pkf_request *request, uint8_t *p, const uint8_t **from, int16_t version,
                             const pkf_request_batch *batches, size_t count) {
    bool flexible = version >= FIRST_FLEXIBLE, by_id = version >= FIRST_WITH_TOPIC_ID;
    for (size_t i = 0; i < count;) {
        size_t end = i + topic_run(batches + i, count - i, by_id);
        if (by_id) {
            memcpy(p, batches[i].topic_id, 16);
            p += 16;
        } else {
            p = write_string(p, &batches[i].topic_name, flexible);
        }
        p = write_count(p, end - i, flexible);
        for (; i < end; i++) {
            const pkf_span *bytes = &batches[i].bytes;
            p = pkf_store_be32(p, (uint32_t)batches[i].partition);
            p = write_count(p, bytes->len, flexible);
            add_iov(request, *from, (size_t)(p - *from));
            add_iov(request, bytes->base, bytes->len);
            *from = p;
            p = write_no_tags(p, flexible);
        }
        p = write_no_tags(p, flexible);
    }
    return p;
}

pkf_status pkf_request_frame(pkf_request *request, const pkf_request_head *head, const pkf_request_batch *batches,
                             size_t count) {
    size_t room = 0, bytes = 0, topics = 0;
    bool flexible = head->version >= FIRST_FLEXIBLE, by_id = head->version >= FIRST_WITH_TOPIC_ID;
    request->iov_count = 0;
    request->size = 0;
    pkf_status status = check_head(head, count);
    if (status == PKF_OK) status = measure(head, batches, count, &room, &bytes);
    if (status == PKF_OK) status = make_room(request, room, (int)count * 2 + 1);
    if (status != PKF_OK) return status;

    for (size_t i = 0; i < count; i += topic_run(batches + i, count - i, by_id)) topics++;
    const uint8_t *from = request->scratch;
    uint8_t *p = write_head(request->scratch + 4, head, flexible);
    p = write_count(p, topics, flexible);
    p = write_topics(request, p, &from, head->version, batches, count);
    p = write_no_tags(p, flexible);
    if (p > from) add_iov(request, from, (size_t)(p - from));
    pkf_store_be32(request->scratch, (uint32_t)(request->size - 4));
    return PKF_OK;
}
