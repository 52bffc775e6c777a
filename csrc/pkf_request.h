// SPDX-License-Identifier: Apache-2.0
//
// One Produce request (API key 0, versions 0 to 13) around batches, or message sets, that are ready.
//
//   iov[0] ▶ scratch: size, header, topic, partition 0, its size │ iov[1] ▶ batch 0, where it lies │ iov[2] ▶ scratch: ... │
//
// Nothing of a batch is copied; its slab must stay as it is until the response has come, the connection is lost or the
// request is given up. What surrounds the batches is written into scratch memory that the request owns and uses again.
//
//   version 0-8                                        version 9-13 (flexible)
//   int32 size of all that follows                     the same
//   int16 0, int16 version, int32 correlation id       the same
//   nullable string client id                          the same, then tags
//   3+: nullable string transactional id               compact nullable string
//   int16 acks, int32 timeout ms                       the same
//   int32 topic count, per topic:                      compact array, per topic:
//     string name                                        compact string name (13: 16-byte id)
//     int32 partition count, per partition:              compact array, per partition:
//       int32 index, int32 size, batch                     int32 index, compact size, batch, tags
//                                                        tags
//                                                      tags
//
// No lock: a request belongs to one thread.
#ifndef PKF_REQUEST_H
#define PKF_REQUEST_H

#include <sys/uio.h>

#include "pkf_bytes.h"

enum { PKF_PRODUCE_MIN_VERSION = 0, PKF_PRODUCE_MAX_VERSION = 13 };

typedef struct pkf_request_head {
    int16_t version;
    int16_t acks;
    int32_t correlation_id;
    int32_t timeout_ms;
    pkf_span client_id;        // base NULL: null
    pkf_span transactional_id; // base NULL: null
} pkf_request_head;

// One partition's sealed batch; before version 3 its message set (pkf_legacy.h). Entries of one topic must stand next to each other: they are told apart by topic_id in
// version 13, by topic_name before. A topic that comes up again later would be in the request twice, which brokers refuse.
typedef struct pkf_request_batch {
    pkf_span topic_name;
    const uint8_t *topic_id; // 16 bytes; read in version 13 only
    int32_t partition;
    pkf_span bytes;
} pkf_request_batch;

typedef struct pkf_request {
    // What to write, in order; valid until the next frame() or free(). The writer may advance it in place.
    struct iovec *iov;
    int iov_count;
    size_t size; // of all of it, the 4 bytes of the size included
    uint8_t *scratch;
    size_t scratch_room;
    int iov_room;
} pkf_request;

void pkf_request_init(pkf_request *request);
void pkf_request_free(pkf_request *request); // its scratch, not the batches

// Frames count >= 1 batches. PKF_E_INVALID: a version not known, no batch, an id or a topic name that is missing or too long
// for a string (32,767 bytes); PKF_E_TOO_LARGE: above INT32_MAX; PKF_E_NOMEM. The request is empty then.
PKF_MUST_USE pkf_status pkf_request_frame(pkf_request *request, const pkf_request_head *head,
                                          const pkf_request_batch *batches, size_t count);

// An upper bound of what one more partition adds to a request besides its batch: for filling one up to max_request_size.
static inline size_t pkf_request_partition_overhead(size_t topic_name_len) { return topic_name_len + 24; }

#endif
