// SPDX-License-Identifier: Apache-2.0
// Batches on their way through the workers. A batch is compressed at its place in the queue: when it is full, which may be
// long before its turn comes, or else when it would leave. Until then it goes on growing.
#include "pkf_round.h"
#include "pkf_topic.h"

#define AHEAD 16 // batches of a partition, from the head on, that are compressed before their turn

// Brokers before 0.11 get message sets, which are compressed when they are framed.
static bool takes_batches(const pkf_conn *conn) { return conn == NULL || pkf_produce_magic(conn->version) >= 2; }

static bool has_codec(const pkf_wire *wire, const pkf_partition *partition) {
    return wire->workers.count > 0 && partition->topic->codec != PKF_NONE;
}

// Only the wire thread takes batches out of the queue: what was prepared under the lock is handed over after it.
static void prepare_locked(pkf_partition *partition, pkf_batch *batch) {
    if (!batch->closed) pkf_partition_close_tail_locked(partition);
    if (!batch->listed) pkf_wire_remember_size_locked(partition, batch);
    batch->packing = PKF_PACKING_UNDER_WAY;
}

bool pkf_wire_must_pack(pkf_wire *wire, const pkf_conn *conn, pkf_partition *partition) {
    if (!has_codec(wire, partition)) return false;
    pkf_lock_take(&partition->lock);
    pkf_batch *head = partition->head;
    bool fresh = head && head->packing == PKF_PACKING_NONE && takes_batches(conn);
    if (fresh) prepare_locked(partition, head);
    pkf_lock_let_go(&partition->lock);
    if (fresh) pkf_workers_add(&wire->workers, head);
    return head && head->packing == PKF_PACKING_UNDER_WAY;
}

void pkf_wire_pack_ahead(pkf_wire *wire, pkf_partition *partition) {
    if (!has_codec(wire, partition)) return;
    if (partition->leader >= 0 && !takes_batches(wire->nodes[partition->leader]->conn)) return;
    pkf_batch *fresh[AHEAD];
    int count = 0;
    pkf_lock_take(&partition->lock);
    pkf_batch *batch = partition->head;
    for (int i = 0; i < AHEAD && batch && batch->closed; i++, batch = batch->queue_next) {
        if (batch->packing != PKF_PACKING_NONE) continue;
        prepare_locked(partition, batch);
        fresh[count++] = batch;
    }
    pkf_lock_let_go(&partition->lock);
    for (int i = 0; i < count; i++) pkf_workers_add(&wire->workers, fresh[i]);
}

// The worker's result becomes the batch's; if it has expired and its end was told, it stays as it was.
static void adopt(pkf_wire *wire, pkf_batch *batch) {
    pkf_partition *partition = batch->partition;
    uint32_t raw = batch->used - PKF_BATCH_HEADER;
    batch->packing = PKF_PACKED;
    pkf_count(&wire->counters.packing_ns, (uint64_t)batch->packing_ns);
    if (pkf_batch_state(batch) & PKF_DONE) return;
    if (batch->packed_size) {
        batch->codec = partition->topic->codec;
        batch->raw_size = raw;
        batch->used = PKF_BATCH_HEADER + batch->packed_size;
        atomic_fetch_sub_explicit(&partition->queued_bytes, raw - batch->packed_size, memory_order_relaxed);
    } else {
        pkf_count(&wire->counters.incompressible, 1);
    }
    pkf_topic_note_ratio(partition->topic, batch->packed_size ? batch->packed_size : raw, raw);
}

void pkf_wire_take_packed(pkf_wire *wire) {
    for (pkf_batch *batch = pkf_workers_take(&wire->workers), *next; batch; batch = next) {
        next = batch->work_next;
        pkf_partition *partition = batch->partition;
        adopt(wire, batch);
        pkf_wire_let_go(wire, batch); // if it expired meanwhile: then it may be gone
        pkf_wire_evaluate(wire, partition);
    }
}
