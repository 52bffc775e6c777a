// SPDX-License-Identifier: Apache-2.0
// One produce connection: set up elsewhere, it carries Produce requests and their responses and nothing else.
//
//   out: at most one request that is not written out whole; the next is framed when its last byte has gone
//   in flight: a ring of requests in the order they were sent; the oldest is answered first
//   in:  [4 bytes size][response] ... in a buffer that grows with the bytes that really came, never with a claim
//
// Wire thread only. The batches of a request in flight are marked in_request by the caller and stay where they are.
#ifndef PKF_CONN_H
#define PKF_CONN_H

#include "pkf_batch.h"
#include "pkf_legacy.h"
#include "pkf_request.h"
#include "pkf_response.h"
#include "pkf_socket.h"

typedef struct pkf_inflight {
    pkf_batch **batches; // malloc
    uint8_t *topic_ids;  // malloc, 16 bytes a batch, as sent; NULL below version 13
    int32_t count;
    int32_t correlation;
    int16_t version;
    bool written; // its last byte has gone
    bool counted; // in the metrics
    size_t size;  // bytes
    int64_t sent_ns;
    uint64_t end;        // conn->handed with its last byte
    int64_t deadline_ns; // of the oldest: see pkf_conn_due(); moved by throttling
} pkf_inflight;

typedef struct pkf_node_counters {
    _Atomic uint64_t requests, request_bytes, responses, response_bytes, latency_ns;
    _Atomic uint64_t latency_max_ns, request_size_max, throttle_ms, throttle_max_ms;
} pkf_node_counters;

typedef struct pkf_conn_config {
    pkf_span client_id;
    int16_t acks;
    int32_t max_in_flight;
    int64_t request_timeout_ns;
    uint32_t receive_max; // bytes
} pkf_conn_config;

typedef struct pkf_conn {
    const pkf_transport *transport;
    void *transport_self;
    int fd;          // for polling
    int16_t version; // highest Produce version both sides know
    int32_t next_correlation;
    pkf_conn_config config;
    pkf_request out;
    uint8_t *message_sets; // malloc: what `out` carries instead of the batches to a broker before 0.11
    size_t message_sets_room;
    uint8_t *plain_set; // malloc: one of them before it is compressed
    size_t plain_set_room;
    pkf_codec_state *codecs; // NULL until a message set was compressed
    int iov_next;            // first entry of out.iov with bytes left
    bool writing;            // out has bytes left
    pkf_inflight *ring;
    int32_t ring_first, ring_count;
    uint8_t *in;
    size_t in_start, in_end, in_room;
    int64_t last_active_ns;
    uint64_t handed, taken; // bytes written, and of them those that the peer's system was seen to have ...
    int64_t looked_ns;      // ... at this time
} pkf_conn;

// Takes the transport over. NULL when out of memory (the transport is then still the caller's).
pkf_conn *pkf_conn_new(const pkf_transport *transport, void *transport_self, int fd, int16_t version,
                       int32_t next_correlation, const pkf_conn_config *config, int64_t now_ns);

// Closes the transport. Requests in flight must have been taken out.
void pkf_conn_free(pkf_conn *conn);

// Bytes that a batch adds to a request at most. A message set is compressed when it is framed, so it counts as it is before.
static inline size_t pkf_conn_charge(const pkf_conn *conn, const pkf_batch *batch) {
    if (pkf_produce_magic(conn->version) == 2) return batch->used;
    size_t used = batch->codec == PKF_NONE ? batch->used : PKF_BATCH_HEADER + (size_t)batch->raw_size;
    return pkf_legacy_bound(used, batch->count);
}

bool pkf_conn_can_send(const pkf_conn *conn); // a place in flight is free and nothing is half written

// Frame a request of these sealed batches, grouped by topic. Not OK: nothing is in flight. For a broker that takes
// message sets none of them may have headers, or be of a topic with zstd; those of a topic with another codec are compressed
// here, unless that makes them no smaller.
PKF_MUST_USE pkf_status pkf_conn_frame(pkf_conn *conn, pkf_batch **batches, int32_t count, int64_t now_ns);

// Write what the socket takes. OK: all gone; E_PARTIAL: wait until writable; E_SYSTEM: lost, *error is the errno.
PKF_MUST_USE pkf_status pkf_conn_write(pkf_conn *conn, int64_t now_ns, int *error);

// Read once into the buffer. OK: something came; E_PARTIAL: nothing there; E_SYSTEM: lost (*error 0: closed by the peer).
PKF_MUST_USE pkf_status pkf_conn_read(pkf_conn *conn, int64_t now_ns, int *error);

// The next whole response in the buffer. OK; E_PARTIAL: not there yet; E_MALFORMED: a size that cannot be.
PKF_MUST_USE pkf_status pkf_conn_next(pkf_conn *conn, const uint8_t **bytes, size_t *len);
void pkf_conn_discard(pkf_conn *conn); // forget what has been read: with acks=0 nothing is owed an answer

pkf_inflight *pkf_conn_oldest(pkf_conn *conn); // NULL when nothing is in flight
pkf_inflight *pkf_conn_newest(pkf_conn *conn);
pkf_inflight pkf_conn_pop(pkf_conn *conn); // the oldest; the caller frees it with pkf_inflight_free
pkf_inflight pkf_conn_pop_answered(pkf_conn *conn, int64_t now_ns); // and the next one has its time from now

// When to call again; not after `now_ns`: the oldest request is overdue. PKF_NEVER when nothing is in flight. The time of a
// request counts from its framing, from the answer to the one before it (brokers work in turn), and from the last
// moment at which the peer's system took more of what was written: a slow link is not a silent broker.
int64_t pkf_conn_due(pkf_conn *conn, int64_t now_ns);
void pkf_inflight_free(pkf_inflight *request);

// The place in request->batches that the ack speaks of; NULL if there is none. Places set to NULL are passed over. *hint is
// where to look first: 0, then what the call before left there.
pkf_batch **pkf_inflight_find(const pkf_inflight *request, const pkf_ack *ack, int32_t *hint);

#endif
