// SPDX-License-Identifier: Apache-2.0
// Which partitions are ready, and what of them goes into a request.
#include <stdlib.h>
#include <string.h>

#include "pkf_round.h"
#include "pkf_topic.h"

#define NETWORK_EXCEPTION 13
#define MAX_UNRESOLVED 5 // the batches per partition and producer whose sequences a broker remembers
// For how long it surely does, after the last of them: by default for a day (producer.id.expiration.ms).
#define REMEMBERED_NS (60 * INT64_C(1000000000))

pkf_node *pkf_wire_node(pkf_wire *wire, int32_t id) {
    int32_t index = pkf_wire_node_index(wire, id);
    return index < 0 ? NULL : wire->nodes[index];
}

static bool make_room_for_node_locked(pkf_wire *wire) {
    if (wire->node_count < wire->node_capacity) return true;
    int32_t capacity = wire->node_capacity ? wire->node_capacity * 2 : 8;
    pkf_node **nodes = realloc(wire->nodes, (size_t)capacity * sizeof(pkf_node *));
    if (nodes == NULL) return false;
    wire->nodes = nodes;
    struct pollfd *polls = realloc(wire->polls, (size_t)(capacity + 1) * sizeof *polls); // and one for the wake-up
    if (polls == NULL) return false;
    wire->polls = polls;
    wire->node_capacity = capacity;
    return true;
}

int32_t pkf_wire_node_index(pkf_wire *wire, int32_t id) {
    for (int32_t i = 0; i < wire->node_count; i++)
        if (wire->nodes[i]->id == id) return i;
    pkf_node *node = calloc(1, sizeof *node);
    if (node == NULL) return -1;
    node->id = id;
    node->room = wire->accum->config.max_request_size;
    atomic_init(&node->fd, -1);
    pthread_mutex_lock(&wire->nodes_lock);
    int32_t index = make_room_for_node_locked(wire) ? wire->node_count++ : -1;
    if (index >= 0) wire->nodes[index] = node;
    pthread_mutex_unlock(&wire->nodes_lock);
    if (index < 0) free(node);
    return index;
}

void pkf_wire_unready(pkf_wire *wire, pkf_partition *partition) {
    if (partition->ready_node < 0) return;
    pkf_node *node = wire->nodes[partition->ready_node];
    if (partition->ready_prev)
        partition->ready_prev->ready_next = partition->ready_next;
    else
        node->ready_head = partition->ready_next;
    if (partition->ready_next)
        partition->ready_next->ready_prev = partition->ready_prev;
    else
        node->ready_tail = partition->ready_prev;
    partition->ready_prev = partition->ready_next = NULL;
    partition->ready_node = -1;
}

static void make_ready(pkf_wire *wire, pkf_partition *partition) {
    if (partition->ready_node == partition->leader) return;
    pkf_wire_unready(wire, partition);
    pkf_node *node = wire->nodes[partition->leader];
    partition->ready_prev = node->ready_tail;
    partition->ready_next = NULL;
    if (node->ready_tail)
        node->ready_tail->ready_next = partition;
    else
        node->ready_head = partition;
    node->ready_tail = partition;
    partition->ready_node = partition->leader;
}

// What there is to know about the head of a queue, read under the partition's lock.
typedef struct head_look {
    bool any, full, urgent, sequenced, listed, packing;
    int64_t created_ns, retry_ns;
    int64_t close_ns; // when the open batch takes no more records; PKF_NEVER without one
    uint32_t used;
} head_look;

// Records that join late would expire early: an open batch takes none beyond a quarter of the delivery time-out.
static int64_t close_in_time_locked(const pkf_wire *wire, pkf_partition *partition) {
    const pkf_accum_config *config = &wire->accum->config;
    if (partition->tail == NULL || partition->tail->closed) return PKF_NEVER;
    int64_t at = partition->tail->created_ns + config->linger_ns + config->delivery_timeout_ns / 4;
    if (at > wire->now) return at;
    pkf_partition_close_tail_locked(partition);
    return PKF_NEVER;
}

static head_look look_at_head(pkf_wire *wire, pkf_partition *partition) {
    head_look look = {.close_ns = PKF_NEVER};
    if (partition->head == NULL) return look; // who appends now will touch the partition
    pkf_lock_take(&partition->lock);
    pkf_batch *head = partition->head;
    if (head) {
        look.close_ns = close_in_time_locked(wire, partition);
        look.any = true;
        look.full = head->closed;
        look.created_ns = head->created_ns;
        look.retry_ns = head->retry_ns;
        look.used = head->used;
        look.sequenced = head->sequence >= 0;
        look.listed = head->listed;
        look.packing = head->packing == PKF_PACKING_UNDER_WAY;
        look.urgent = (pkf_batch_state(head) & PKF_URGENT) != 0;
    }
    pkf_lock_let_go(&partition->lock);
    return look;
}

// The first batch without an outcome may have been written: it is sent again under its old sequence, gap or not, so that
// the broker can recognize it. If it refuses it, so is the next one: a broker that was started again remembers only the
// last batch of a producer. What comes after one that was not written was not written either.
static bool first_in_doubt(const pkf_partition *partition) {
    const pkf_batch *first = partition->unresolved_head;
    while (first && (first->resolved || (first->refused && first->maybe_written))) first = first->unresolved_next;
    return first && !first->refused && first->sequence >= 0 && first->maybe_written;
}

// May the head leave at all, whatever its size and age? What forbids it will cause another look when it changes.
static bool gate_open(pkf_wire *wire, pkf_partition *partition, const head_look *look) {
    if (look->packing || partition->parked_count) return false;
    if (partition->gap && !(look->listed && first_in_doubt(partition))) return false;
    uint32_t in_flight = atomic_load_explicit(&partition->in_flight, memory_order_relaxed);
    if (look->listed && in_flight) return false; // a retry goes alone, so that retries cannot overtake each other
    // One at a time, over all connections, also while a request outlives the batch that expired in it.
    if (wire->config.max_in_flight == 1 && !look->listed && (partition->unresolved_count || in_flight)) return false;
    if (!wire->config.idempotent || look->listed) return true;
    if (partition->unresolved_count >= MAX_UNRESOLVED) return false;
    bool stale = partition->producer_id != wire->producer_id || partition->producer_epoch != wire->producer_epoch;
    if (partition->sequenced_count == 0) return true;
    // Batches of the old epoch finish first. And a broker that has nothing of this producer yet takes any sequence for
    // the first: until one batch is acknowledged a second one could overtake it.
    return !stale && partition->last_acked_sequence >= 0 && partition->forgotten_ns == 0;
}

// The moment the head may leave: now or earlier if it is ready.
static int64_t leave_at(pkf_wire *wire, pkf_partition *partition, const head_look *look) {
    if (look->retry_ns > wire->now) return look->retry_ns;
    if (look->full) return look->created_ns;
    const pkf_accum_config *config = &wire->accum->config;
    bool hurry = look->urgent || wire->forced;
    bool sendable = hurry || look->used >= atomic_load_explicit(&partition->topic->fill_size, memory_order_relaxed);
    int64_t at = sendable ? look->created_ns : look->created_ns + config->linger_ns;
    // Something is in flight: what is not full waits for the answer and grows meanwhile, but not for ever.
    if (atomic_load_explicit(&partition->in_flight, memory_order_relaxed))
        at = look->created_ns + config->linger_ns + wire->config.patience_ns;
    // Right behind another it would be small: the next one waits for a moment, in which a busy partition fills it.
    int64_t paced = partition->left_ns + (sendable ? wire->pace.floor_ns : wire->pace.ns);
    return hurry || paced < at ? at : paced;
}

static void look_again(pkf_wire *wire, pkf_partition *partition, int64_t at) {
    if (pkf_deadlines_add(&wire->deadlines, partition, at) == PKF_OK) return;
    (void)pkf_accum_touch(wire->accum, partition); // no memory: look every round
}

static int64_t next_expiry(pkf_wire *wire, pkf_partition *partition, const head_look *look) {
    int64_t oldest = look->any ? look->created_ns : PKF_NEVER;
    for (pkf_batch *batch = partition->unresolved_head; batch; batch = batch->unresolved_next) {
        if (batch->resolved) continue;
        if (batch->created_ns < oldest) oldest = batch->created_ns;
        break;
    }
    int64_t timeout = wire->accum->config.delivery_timeout_ns;
    return oldest == PKF_NEVER || timeout > PKF_NEVER - oldest ? PKF_NEVER : oldest + timeout;
}

static void ask_for_leader(pkf_wire *wire, pkf_partition *partition) {
    if (partition->leader_asked) return;
    pkf_event *event = pkf_event_new(PKF_EVENT_UNKNOWN_LEADER);
    if (event == NULL) return;
    partition->leader_asked = 1;
    event->topic = partition->topic;
    event->partition = partition->index;
    pkf_events_push(&wire->events, event);
}

bool pkf_wire_may_restart(const pkf_partition *partition) {
    return !partition->parked_count && !atomic_load(&partition->in_flight) && !first_in_doubt(partition);
}

static void check_gap(pkf_wire *wire, pkf_partition *partition) {
    if (!partition->gap || partition->gap_reported || !pkf_wire_may_restart(partition)) return;
    int32_t expected = (int32_t)(((int64_t)partition->last_acked_sequence + 1) & INT32_MAX);
    if (partition->sequenced_count == 0 && partition->next_sequence == expected) {
        partition->gap = 0; // a later batch was accepted, so nothing is missing after all
        partition->gap_in_doubt = 0;
        return;
    }
    pkf_event *event = pkf_event_new(PKF_EVENT_GAP);
    if (event == NULL) return;
    partition->gap_reported = 1;
    event->topic = partition->topic;
    event->partition = partition->index;
    pkf_events_push(&wire->events, event);
}

void pkf_wire_evaluate(pkf_wire *wire, pkf_partition *partition) {
    check_gap(wire, partition);
    head_look look = look_at_head(wire, partition);
    int64_t expiry = next_expiry(wire, partition, &look);
    if (expiry <= wire->now) {
        pkf_wire_expire(wire, partition);
        check_gap(wire, partition);
        look = look_at_head(wire, partition);
        expiry = next_expiry(wire, partition, &look);
    }
    if (look.close_ns < expiry) expiry = look.close_ns;
    if (expiry != PKF_NEVER) look_again(wire, partition, expiry);
    pkf_wire_pack_ahead(wire, partition);
    if (!look.any || !gate_open(wire, partition, &look)) {
        pkf_wire_unready(wire, partition);
        return;
    }
    int64_t at = leave_at(wire, partition, &look);
    if (at > wire->now) {
        pkf_wire_unready(wire, partition);
        look_again(wire, partition, at);
        return;
    }
    if (partition->leader >= 0) {
        make_ready(wire, partition);
        return;
    }
    pkf_wire_unready(wire, partition);
    ask_for_leader(wire, partition);
}

void pkf_wire_remember_size_locked(pkf_partition *partition, const pkf_batch *batch) {
    size_t size = batch->room;
    if (batch->used * 2 <= size)
        partition->slab_hint = (uint32_t)(size / 2 > PKF_SLAB_MIN_SIZE ? size / 2 : PKF_SLAB_MIN_SIZE);
    else if (size > partition->slab_hint)
        partition->slab_hint = (uint32_t)size;
    uint32_t limit = atomic_load_explicit(&partition->topic->fill_limit, memory_order_relaxed);
    if (partition->slab_hint > limit) partition->slab_hint = limit;
}

// The head of the queue, closed and taken out; NULL when there is none, or when it takes more than `room` on `conn`.
static pkf_batch *take_head(const pkf_conn *conn, pkf_partition *partition, size_t room, bool *no_room) {
    pkf_lock_take(&partition->lock);
    pkf_batch *batch = partition->head;
    *no_room = batch && pkf_conn_charge(conn, batch) > room;
    if (*no_room) batch = NULL;
    if (batch) {
        if (!batch->closed) pkf_partition_close_tail_locked(partition);
        if (!batch->listed && batch->packing == PKF_PACKING_NONE) pkf_wire_remember_size_locked(partition, batch);
        partition->head = batch->queue_next;
        if (partition->head == NULL) partition->tail = NULL;
        batch->queue_next = NULL;
    }
    pkf_lock_let_go(&partition->lock);
    return batch;
}

void pkf_wire_list(pkf_partition *partition, pkf_batch *batch) {
    if (batch->listed) return;
    batch->listed = true;
    batch->unresolved_next = NULL;
    if (partition->unresolved_tail)
        partition->unresolved_tail->unresolved_next = batch;
    else
        partition->unresolved_head = batch;
    partition->unresolved_tail = batch;
    partition->unresolved_count++;
}

// Producer id, epoch and sequence are assigned here, immediately before framing; a batch that has them keeps them. A
// message set has none, and needs no header of format v2.
static void seal(pkf_wire *wire, const pkf_conn *conn, pkf_partition *partition, pkf_batch *batch) {
    if (pkf_produce_magic(conn->version) < 2) {
        batch->sealed_ns = 0; // it goes without its sequence
        return;
    }
    bool fresh = batch->sequence < 0;
    if (!wire->config.idempotent) {
        if (batch->sealed_ns == 0) pkf_batch_seal(batch, -1, -1, -1, 0, wire->crc32c);
    } else if (fresh) {
        if (partition->producer_id != wire->producer_id || partition->producer_epoch != wire->producer_epoch) {
            partition->producer_id = wire->producer_id;
            partition->producer_epoch = wire->producer_epoch;
            partition->next_sequence = 0;
            partition->last_acked_sequence = -1;
        }
        if (partition->sequenced_count == 0 && wire->now - partition->left_ns > REMEMBERED_NS)
            partition->forgotten_ns = wire->now;
        pkf_batch_seal(batch, wire->producer_id, wire->producer_epoch, partition->next_sequence, 0, wire->crc32c);
        partition->next_sequence = (int32_t)(((int64_t)partition->next_sequence + batch->count) & INT32_MAX);
        partition->sequenced_count++;
    } else if (batch->sealed_ns == 0) { // a piece of a split, which inherited its part of the sequence
        pkf_batch_seal(batch, partition->producer_id, partition->producer_epoch, batch->sequence, 0, wire->crc32c);
    }
    batch->sealed_ns = wire->now;
}

static void count_batch(pkf_wire *wire, pkf_batch *batch) {
    pkf_wire_counters *counters = &wire->counters;
    uint64_t waited = (uint64_t)(wire->now - batch->created_ns);
    pkf_count(&counters->batches, 1);
    pkf_count(&counters->batch_bytes, batch->used);
    pkf_count(&counters->records_sent, (uint64_t)batch->count);
    pkf_count(&counters->queue_time_ns, waited);
    pkf_count_max(&counters->queue_time_max_ns, waited);
    pkf_count_max(&counters->record_size_max, batch->record_size_max);
    pkf_count_max(&counters->batch_size_max, batch->used);
    atomic_store_explicit(&batch->partition->topic->last_used_ns, wire->now, memory_order_relaxed);
    pkf_count(&batch->partition->topic->counters.records_sent, (uint64_t)batch->count);
    pkf_count(&batch->partition->topic->counters.bytes_sent, batch->used);
    uint32_t bytes = batch->used - PKF_BATCH_HEADER, raw = batch->codec == PKF_NONE ? bytes : batch->raw_size;
    pkf_count(&counters->raw_bytes, raw);
    pkf_count(&counters->packed_bytes, bytes);
    pkf_count(&batch->partition->topic->counters.raw_bytes, raw);
    pkf_count(&batch->partition->topic->counters.packed_bytes, bytes);
}

static int by_topic(const void *a, const void *b) {
    const pkf_batch *x = *(pkf_batch *const *)a, *y = *(pkf_batch *const *)b;
    if (x->partition->topic == y->partition->topic) return (x->partition->index > y->partition->index) * 2 - 1;
    return x->partition->topic < y->partition->topic ? -1 : 1;
}

// One batch of each ready partition, in turn, until the request is full. The partitions leave the ready list.
static int32_t collect(pkf_wire *wire, pkf_node *node, pkf_batch **batches, int32_t capacity) {
    size_t room = node->room;
    int32_t count = 0;
    bool sorted = true;
    while (node->ready_head && count < capacity) {
        pkf_partition *partition = node->ready_head;
        if (pkf_wire_must_pack(wire, node->conn, partition)) {
            pkf_wire_unready(wire, partition);
            continue; // looked at again when that is done
        }
        bool no_room;
        pkf_batch *batch = take_head(node->conn, partition, count ? room : SIZE_MAX, &no_room);
        if (no_room) break; // it stays the first of the next request
        pkf_wire_unready(wire, partition);
        if (batch == NULL) continue;
        if (batch->with_headers && pkf_produce_magic(node->conn->version) < 2) {
            pkf_wire_refuse_headers(wire, batch);
            pkf_wire_evaluate(wire, partition);
            continue;
        }
        if (!pkf_produce_takes(node->conn->version, partition->topic->codec)) {
            pkf_wire_refuse_codec(wire, batch);
            pkf_wire_evaluate(wire, partition);
            continue;
        }
        pkf_wire_list(partition, batch);
        seal(wire, node->conn, partition, batch);
        count_batch(wire, batch);
        batch->in_request = true;
        partition->left_ns = wire->now;
        wire->pace.batches++;
        atomic_fetch_add(&partition->in_flight, 1);
        size_t charge = pkf_conn_charge(node->conn, batch);
        room -= charge < room ? charge : room;
        if (count && batches[count - 1]->partition->topic != partition->topic) sorted = false;
        batches[count++] = batch;
    }
    if (!sorted) qsort(batches, (size_t)count, sizeof *batches, by_topic);
    return count;
}

#define BATCHES_PER_REQUEST 4096

bool pkf_wire_can_serve(const pkf_wire *wire, const pkf_node *node) {
    if (wire->config.idempotent && wire->producer_id < 0) return false;
    return node->conn && node->ready_head && wire->now >= node->throttled_until && pkf_conn_can_send(node->conn);
}

void pkf_wire_serve(pkf_wire *wire, pkf_node *node) {
    if (node->ready_head == NULL) return;
    if (node->conn == NULL) {
        if (!node->asked) node->asked = pkf_wire_report(wire, PKF_EVENT_NEED_CONNECTION, node->id, 0, NULL);
        return;
    }
    if (wire->config.idempotent && wire->producer_id < 0) {
        if (!wire->pid_asked) wire->pid_asked = pkf_wire_report(wire, PKF_EVENT_NEED_PRODUCER_ID, -1, 0, NULL);
        return;
    }
    while (pkf_wire_can_serve(wire, node)) {
        pkf_batch *batches[BATCHES_PER_REQUEST];
        int32_t count = collect(wire, node, batches, BATCHES_PER_REQUEST);
        if (count == 0) break;
        pkf_status status = pkf_conn_frame(node->conn, batches, count, wire->now);
        if (status != PKF_OK) {
            for (int32_t i = 0; i < count; i++)
                pkf_wire_fail_in_request(wire, batches[i], NETWORK_EXCEPTION, "the request could not be framed");
            break;
        }
        for (int32_t i = 0; i < count; i++) pkf_wire_evaluate(wire, batches[i]->partition);
        pkf_wire_write(wire, node);
    }
}
