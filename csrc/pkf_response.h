// SPDX-License-Identifier: Apache-2.0
//
// A Produce response (versions 0 to 13), read where it lies in the connection's buffer.
//
//   version 0-8                                        version 9-13 (flexible)
//   int32 correlation id                               the same, then tags
//   int32 topic count, per topic:                      compact array, per topic:
//     string name                                        compact string name (13: 16-byte id)
//     int32 partition count, per partition:              compact array, per partition:
//       int32 index, int16 error code                      the same
//       int64 base offset, int64 log append time (2+)      the same
//       int64 log start offset (5+)                        the same
//       int32 count, per record error (8):                 compact array, per record error:
//         int32 batch index, nullable string message         int32, compact nullable string, tags
//       nullable string error message (8)                  compact nullable string
//                                                          tags; 10+: tag 0 = {int32 leader id, int32 epoch, tags}
//                                                        tags
//   int32 throttle ms (1+)                             the same
//                                                      tags; 10+: tag 0 = compact array of node endpoints:
//                                                        {int32 id, compact string host, int32 port,
//                                                         compact nullable string rack, tags}
//
// Every length and count is checked against the frame before it is believed. Nothing is allocated, nothing is kept: spans
// and cursors point into the frame and die with it. No lock: an iterator belongs to one thread.
//
//   open ──▶ next: OK, more = true ──▶ ... ──▶ next: OK, more = false ──▶ throttle_ms and nodes are set
//     └────────────── any: PKF_E_MALFORMED: the connection is beyond repair ──────────────────────────┘
#ifndef PKF_RESPONSE_H
#define PKF_RESPONSE_H

#include "pkf_bytes.h"

// One record that the broker names as the reason of the refusal (KIP-467).
typedef struct pkf_ack_error {
    int32_t index;    // in the batch
    pkf_span message; // base NULL: none
} pkf_ack_error;

typedef struct pkf_ack_errors {
    pkf_cursor cursor;
    int32_t left; // how many pkf_ack_errors_next() will still give; at first: the count
    bool flexible;
} pkf_ack_errors;

// What the broker says about one batch. What its version does not carry is -1, null or empty.
typedef struct pkf_ack {
    pkf_span topic_name;     // versions below 13; base NULL in 13
    const uint8_t *topic_id; // 16 bytes in version 13, NULL before
    int32_t partition;
    int16_t code; // 0, or Kafka's error code
    int64_t base_offset;
    int64_t log_append_time; // ms; -1: the records keep their own times
    int64_t log_start_offset;
    pkf_span error_message; // base NULL: none
    pkf_ack_errors record_errors;
    int32_t leader_id, leader_epoch; // KIP-951: who leads now, when the code says that the broker doesn't; -1 unknown
} pkf_ack;

// KIP-951: where a leader that an ack names can be reached.
typedef struct pkf_node_endpoint {
    int32_t id;
    int32_t port;
    pkf_span host;
    pkf_span rack; // base NULL: none
} pkf_node_endpoint;

typedef struct pkf_node_endpoints {
    pkf_cursor cursor;
    int32_t left;
} pkf_node_endpoints;

typedef struct pkf_response {
    int32_t correlation_id;
    int32_t throttle_ms;          // behind the last ack: for how long to leave this broker alone
    pkf_node_endpoints endpoints; // behind the last ack
    // the iterator's own
    pkf_cursor cursor;
    int16_t version;
    int32_t topics_left, partitions_left;
    pkf_span topic_name;
    const uint8_t *topic_id;
} pkf_response;

// The correlation id of a response whose version is not known yet: its first four bytes. PKF_E_MALFORMED if there are fewer.
PKF_MUST_USE pkf_status pkf_response_peek(const uint8_t *bytes, size_t len, int32_t *correlation_id);

// Begins with the frame's bytes behind the size. The version is the request's; PKF_E_INVALID if it is not 0 to 13.
PKF_MUST_USE pkf_status pkf_response_open(pkf_response *response, const uint8_t *bytes, size_t len, int16_t version);

// The next ack. *more = false: there was none; the rest of the frame has been read and had nothing behind it.
PKF_MUST_USE pkf_status pkf_response_next(pkf_response *response, pkf_ack *ack, bool *more);

// Lists inside what pkf_response_next() has accepted; they have been checked and cannot fail. false: no more.
bool pkf_ack_errors_next(pkf_ack_errors *errors, pkf_ack_error *error);
bool pkf_node_endpoints_next(pkf_node_endpoints *endpoints, pkf_node_endpoint *endpoint);

#endif
