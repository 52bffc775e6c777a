// SPDX-License-Identifier: Apache-2.0
#include "pkf_conn.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "pkf_accum.h"

#define IN_ROOM_MIN 4096
#define IOV_PER_WRITE 512 // below every system's IOV_MAX

pkf_conn *pkf_conn_new(const pkf_transport *transport, void *transport_self, int fd, int16_t version,
                       int32_t next_correlation, const pkf_conn_config *config, int64_t now_ns) {
    pkf_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) return NULL;
    conn->ring = calloc((size_t)config->max_in_flight, sizeof *conn->ring);
    conn->in = malloc(IN_ROOM_MIN);
    if (conn->ring == NULL || conn->in == NULL) {
        free(conn->ring);
        free(conn->in);
        free(conn);
        return NULL;
    }
    conn->in_room = IN_ROOM_MIN;
    conn->transport = transport;
    conn->transport_self = transport_self;
    conn->fd = fd;
    conn->version = version;
    conn->next_correlation = next_correlation;
    conn->config = *config;
    conn->last_active_ns = now_ns;
    pkf_request_init(&conn->out);
    return conn;
}

void pkf_conn_free(pkf_conn *conn) {
    conn->transport->close(conn->transport_self);
    pkf_request_free(&conn->out);
    free(conn->message_sets);
    free(conn->plain_set);
    pkf_codec_state_free(conn->codecs);
    free(conn->ring);
    free(conn->in);
    free(conn);
}

bool pkf_conn_can_send(const pkf_conn *conn) { return !conn->writing && conn->ring_count < conn->config.max_in_flight; }

void pkf_inflight_free(pkf_inflight *request) {
    free(request->batches);
    free(request->topic_ids);
    request->batches = NULL;
    request->topic_ids = NULL;
}

static bool id_known(const uint8_t *id) {
    static const uint8_t none[16];
    return memcmp(id, none, sizeof none) != 0;
}

static pkf_status describe(pkf_inflight *request, pkf_request_batch *parts, pkf_batch **batches, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        pkf_topic *topic = batches[i]->partition->topic;
        if (request->version >= 13 && !id_known(topic->id)) request->version = 12; // names serve as well
        parts[i].topic_name = (pkf_span){(const uint8_t *)topic->name, topic->name_len};
        parts[i].topic_id = topic->id;
        parts[i].partition = batches[i]->partition->index;
        parts[i].bytes = (pkf_span){batches[i]->base, batches[i]->used};
    }
    request->batches = malloc((size_t)count * sizeof *request->batches);
    if (request->batches == NULL) return PKF_E_NOMEM;
    memcpy(request->batches, batches, (size_t)count * sizeof *batches);
    if (request->version < 13) return PKF_OK;
    request->topic_ids = malloc((size_t)count * 16);
    if (request->topic_ids == NULL) return PKF_E_NOMEM;
    for (int32_t i = 0; i < count; i++) memcpy(request->topic_ids + 16 * (size_t)i, parts[i].topic_id, 16);
    return PKF_OK;
}

static pkf_status make_at_least(uint8_t **memory, size_t *have, size_t wanted) {
    if (*have >= wanted) return PKF_OK;
    uint8_t *larger = realloc(*memory, wanted);
    if (larger == NULL) return PKF_E_NOMEM;
    *memory = larger;
    *have = wanted;
    return PKF_OK;
}

// Room for these batches as message sets, and for the largest of them before it is compressed.
static pkf_status make_sets_room(pkf_conn *conn, pkf_batch **batches, int32_t count) {
    size_t room = 0, plain = 0;
    for (int32_t i = 0; i < count; i++) {
        pkf_codec codec = batches[i]->partition->topic->codec;
        size_t most = pkf_conn_charge(conn, batches[i]);
        if (codec != PKF_NONE && most > plain) plain = most;
        room += codec == PKF_NONE ? most : pkf_legacy_wrap_bound(codec, most);
    }
    if (plain && conn->codecs == NULL && (conn->codecs = pkf_codec_state_new()) == NULL) return PKF_E_NOMEM;
    pkf_status status = make_at_least(&conn->plain_set, &conn->plain_set_room, plain);
    return status ? status : make_at_least(&conn->message_sets, &conn->message_sets_room, room);
}

static pkf_status write_message_set(pkf_conn *conn, const pkf_batch *batch, uint8_t *dst, size_t *size) {
    const pkf_topic *topic = batch->partition->topic;
    int magic = pkf_produce_magic(conn->version);
    uint8_t *copy, *to = topic->codec == PKF_NONE ? dst : conn->plain_set;
    pkf_span records;
    pkf_status status = pkf_batch_unpack(batch, conn->codecs, &copy, &records);
    if (status) return status;
    status = pkf_legacy_write(records, batch->count, batch->base_timestamp, magic, to, size);
    free(copy);
    if (status || topic->codec == PKF_NONE) return status;
    pkf_span set = {to, *size};
    status = pkf_legacy_wrap(conn->codecs, topic->codec, topic->codec_level, set, batch->count, batch->max_timestamp,
                             magic, dst, size);
    if (status == PKF_OK && *size >= set.len) {
        memcpy(dst, set.base, set.len);
        *size = set.len;
    }
    return status;
}

// The batches as message sets, in memory that the connection keeps: one request is written at a time.
static pkf_status down_convert(pkf_conn *conn, pkf_request_batch *parts, pkf_batch **batches, int32_t count) {
    pkf_status status = make_sets_room(conn, batches, count);
    size_t used = 0, size = 0;
    for (int32_t i = 0; i < count && status == PKF_OK; i++, used += size) {
        status = write_message_set(conn, batches[i], conn->message_sets + used, &size);
        parts[i].bytes = (pkf_span){conn->message_sets + used, size};
    }
    return status;
}

static pkf_status frame_parts(pkf_conn *conn, pkf_inflight *request, pkf_batch **batches, pkf_request_batch *parts) {
    pkf_status status = describe(request, parts, batches, request->count);
    if (status == PKF_OK && pkf_produce_magic(conn->version) < 2)
        status = down_convert(conn, parts, batches, request->count);
    if (status) return status;
    pkf_request_head head = {
        .version = request->version,
        .acks = conn->config.acks,
        .correlation_id = request->correlation,
        .timeout_ms = (int32_t)(conn->config.request_timeout_ns / 1000000),
        .client_id = conn->config.client_id,
    };
    return pkf_request_frame(&conn->out, &head, parts, (size_t)request->count);
}

pkf_status pkf_conn_frame(pkf_conn *conn, pkf_batch **batches, int32_t count, int64_t now_ns) {
    pkf_request_batch few[16], *parts = few;
    if (count > 16) parts = malloc((size_t)count * sizeof *parts);
    if (parts == NULL) return PKF_E_NOMEM;
    pkf_inflight request = {.count = count, .version = conn->version, .sent_ns = now_ns};
    request.correlation = conn->next_correlation;
    request.deadline_ns = now_ns + conn->config.request_timeout_ns;
    pkf_status status = frame_parts(conn, &request, batches, parts);
    if (parts != few) free(parts);
    if (status) {
        pkf_inflight_free(&request);
        return status;
    }
    request.size = conn->out.size;
    conn->next_correlation = conn->next_correlation == INT32_MAX ? 0 : conn->next_correlation + 1;
    if (conn->ring_count == 0) conn->looked_ns = now_ns;
    conn->ring[(conn->ring_first + conn->ring_count++) % conn->config.max_in_flight] = request;
    conn->iov_next = 0;
    conn->writing = true;
    return PKF_OK;
}

static void advance(pkf_conn *conn, size_t written) {
    while (conn->iov_next < conn->out.iov_count) {
        struct iovec *part = &conn->out.iov[conn->iov_next];
        if (written < part->iov_len) {
            part->iov_base = (uint8_t *)part->iov_base + written;
            part->iov_len -= written;
            return;
        }
        written -= part->iov_len;
        conn->iov_next++;
    }
    conn->writing = false;
    pkf_conn_newest(conn)->written = true;
    pkf_conn_newest(conn)->end = conn->handed;
}

pkf_status pkf_conn_write(pkf_conn *conn, int64_t now_ns, int *error) {
    while (conn->writing) {
        int count = conn->out.iov_count - conn->iov_next;
        ssize_t written = conn->transport->write(conn->transport_self, conn->out.iov + conn->iov_next,
                                                 count < IOV_PER_WRITE ? count : IOV_PER_WRITE, error);
        if (written == 0) return PKF_E_PARTIAL;
        if (written < 0) return PKF_E_SYSTEM;
        conn->last_active_ns = now_ns;
        conn->handed += (size_t)written;
        advance(conn, (size_t)written);
    }
    return PKF_OK;
}

static pkf_status make_room(pkf_conn *conn) {
    if (conn->in_end < conn->in_room) return PKF_OK;
    if (conn->in_start > 0) {
        memmove(conn->in, conn->in + conn->in_start, conn->in_end - conn->in_start);
        conn->in_end -= conn->in_start;
        conn->in_start = 0;
        return PKF_OK;
    }
    uint8_t *larger = realloc(conn->in, conn->in_room * 2);
    if (larger == NULL) return PKF_E_NOMEM;
    conn->in = larger;
    conn->in_room *= 2;
    return PKF_OK;
}

pkf_status pkf_conn_read(pkf_conn *conn, int64_t now_ns, int *error) {
    pkf_status status = make_room(conn);
    if (status) return status;
    ssize_t got =
        conn->transport->read(conn->transport_self, conn->in + conn->in_end, conn->in_room - conn->in_end, error);
    if (got == 0) return PKF_E_PARTIAL;
    if (got < 0) return PKF_E_SYSTEM;
    conn->in_end += (size_t)got;
    conn->last_active_ns = now_ns;
    return PKF_OK;
}

pkf_status pkf_conn_next(pkf_conn *conn, const uint8_t **bytes, size_t *len) {
    size_t have = conn->in_end - conn->in_start;
    if (have == 0) conn->in_start = conn->in_end = 0;
    if (have < 4) return PKF_E_PARTIAL;
    uint32_t size = pkf_load_be32(conn->in + conn->in_start);
    if (size < 4 || size > conn->config.receive_max) return PKF_E_MALFORMED;
    if (have < 4 + (size_t)size) return PKF_E_PARTIAL;
    *bytes = conn->in + conn->in_start + 4;
    *len = size;
    conn->in_start += 4 + (size_t)size;
    return PKF_OK;
}

void pkf_conn_discard(pkf_conn *conn) { conn->in_start = conn->in_end = 0; }

pkf_inflight *pkf_conn_oldest(pkf_conn *conn) { return conn->ring_count ? &conn->ring[conn->ring_first] : NULL; }

pkf_inflight *pkf_conn_newest(pkf_conn *conn) {
    if (conn->ring_count == 0) return NULL;
    return &conn->ring[(conn->ring_first + conn->ring_count - 1) % conn->config.max_in_flight];
}

pkf_inflight pkf_conn_pop(pkf_conn *conn) {
    pkf_inflight oldest = conn->ring[conn->ring_first];
    conn->ring_first = (conn->ring_first + 1) % conn->config.max_in_flight;
    conn->ring_count--;
    if (conn->ring_count == 0) conn->writing = false; // it was taken out half written: the connection is going
    return oldest;
}

static void postpone(pkf_inflight *request, int64_t deadline_ns) {
    if (request && request->deadline_ns < deadline_ns) request->deadline_ns = deadline_ns;
}

pkf_inflight pkf_conn_pop_answered(pkf_conn *conn, int64_t now_ns) {
    pkf_inflight answered = pkf_conn_pop(conn);
    postpone(pkf_conn_oldest(conn), now_ns + conn->config.request_timeout_ns);
    return answered;
}

#define LOOKS 16 // within the time of a request that the peer does not have whole yet

int64_t pkf_conn_due(pkf_conn *conn, int64_t now_ns) {
    pkf_inflight *oldest = pkf_conn_oldest(conn);
    if (oldest == NULL) return PKF_NEVER;
    if (oldest->written && conn->taken >= oldest->end) return oldest->deadline_ns;
    int64_t timeout = conn->config.request_timeout_ns, look_at = conn->looked_ns + timeout / LOOKS;
    if (look_at > oldest->deadline_ns) look_at = oldest->deadline_ns;
    if (look_at > now_ns) return look_at;
    size_t untaken = conn->transport->untaken(conn->transport_self);
    uint64_t taken = untaken < conn->handed ? conn->handed - untaken : 0;
    if (taken > conn->taken) { // at some time since the last look
        conn->taken = taken;
        postpone(oldest, conn->looked_ns + timeout);
    }
    conn->looked_ns = now_ns;
    look_at = now_ns + timeout / LOOKS;
    return look_at < oldest->deadline_ns ? look_at : oldest->deadline_ns;
}

static bool is_of(const pkf_inflight *request, int32_t i, const pkf_ack *ack) {
    if (request->batches[i] == NULL) return false;
    const pkf_partition *partition = request->batches[i]->partition;
    if (partition->index != ack->partition) return false;
    if (ack->topic_id) return request->topic_ids && memcmp(request->topic_ids + 16 * (size_t)i, ack->topic_id, 16) == 0;
    return ack->topic_name.len == partition->topic->name_len &&
           memcmp(ack->topic_name.base, partition->topic->name, ack->topic_name.len) == 0;
}

pkf_batch **pkf_inflight_find(const pkf_inflight *request, const pkf_ack *ack, int32_t *hint) {
    for (int32_t n = 0; n < request->count; n++) { // brokers answer in the order of the request: usually the first look
        int32_t i = (*hint + n) % request->count;
        if (!is_of(request, i, ack)) continue;
        *hint = i + 1;
        return &request->batches[i];
    }
    return NULL;
}
