// SPDX-License-Identifier: Apache-2.0
//
// An accumulator and a wire to try things on. Its times are long, so that a busy machine does not use them up. Stepped:
// rig_step() does a round on this thread, without sleeping, at a time that rig_advance() moves. Started: the wire's own
// thread runs. rig_close() checks that no slab and no batch is left.
#ifndef RIG_H
#define RIG_H

#include "peer.h"

#include "pkf_completion.h"
#include "pkf_round.h"
#include "pkf_topic.h"

static const int64_t RIG_MS = 1000000;

#define RIG_ACCUM                                                                                                      \
    {.buffer_memory = 1 << 20,                                                                                         \
     .batch_size = 4000,                                                                                               \
     .batch_max_size = 64 << 10,                                                                                       \
     .max_request_size = 1 << 20,                                                                                      \
     .linger_ns = 1000 * RIG_MS,                                                                                       \
     .delivery_timeout_ns = 120000 * RIG_MS,                                                                           \
     .adaptive = 1,                                                                                                    \
     .max_cookies = 1000}

#define RIG_WIRE                                                                                                       \
    {.client_id = "rig",                                                                                               \
     .acks = -1,                                                                                                       \
     .max_in_flight = 5,                                                                                               \
     .request_timeout_ns = 30000 * RIG_MS,                                                                             \
     .idle_timeout_ns = PKF_NEVER,                                                                                     \
     .patience_ns = 1000 * RIG_MS,                                                                                     \
     .receive_max = 1 << 20}

typedef struct rig {
    pkf_accum *accum;
    pkf_wire *wire;
    pkf_topic *topic; // "events"
    int32_t partitions;
    int64_t skew_ns;                 // how far the wire's time is ahead
    pkf_event *events, **events_end; // taken and not looked at yet
} rig;

static inline pkf_partition *rig_part(rig *r, int32_t index) { return atomic_load(&r->topic->parts)[index]; }

static inline void rig_open(rig *r, const pkf_accum_config *accum, const pkf_wire_config *wire, int32_t partitions) {
    int32_t leaders[256];
    NEED(partitions <= 256);
    memset(r, 0, sizeof *r);
    r->events_end = &r->events;
    r->partitions = partitions;
    NEED((r->accum = pkf_accum_new(accum)));
    NEED((r->wire = pkf_wire_new(r->accum, wire)));
    NEED((r->topic = pkf_topic_new(r->accum, "events", 6)));
    for (int32_t i = 0; i < partitions; i++) leaders[i] = 0;
    NEED(pkf_topic_set_route(r->topic, partitions, leaders) == PKF_OK);
}

// ---- commands ----

static inline void rig_command(rig *r, pkf_command_kind kind, int32_t node, int32_t partition, int64_t number) {
    pkf_command *command = pkf_command_new(kind);
    NEED(command);
    command->node = node;
    command->partition = partition;
    command->topic = r->topic;
    command->epoch = (int32_t)number;
    command->code = PKF_CODE_CLOSED_FORCEFULLY;
    pkf_wire_command(r->wire, command);
}

static inline void rig_producer(rig *r, int64_t id, int32_t epoch) {
    pkf_command *command = pkf_command_new(PKF_COMMAND_PRODUCER);
    NEED(command);
    command->producer_id = id;
    command->epoch = epoch;
    pkf_wire_command(r->wire, command);
}

// All partitions of a topic are led by the node.
static inline void rig_lead_topic(rig *r, pkf_topic *topic, int32_t count, int32_t node, int32_t epoch) {
    pkf_command *command = pkf_command_new(PKF_COMMAND_LEADERS);
    NEED(command);
    command->topic = topic;
    command->count = count;
    NEED((command->leaders = calloc((size_t)count, sizeof(int32_t))));
    NEED((command->epochs = calloc((size_t)count, sizeof(int32_t))));
    for (int32_t i = 0; i < count; i++) {
        command->leaders[i] = node;
        command->epochs[i] = epoch;
    }
    memset(command->id, topic->name[0], sizeof command->id);
    pkf_wire_command(r->wire, command);
}

static inline void rig_lead(rig *r, int32_t node, int32_t epoch) {
    rig_lead_topic(r, r->topic, r->partitions, node, epoch);
}

// A connection to the node; returns the peer's end.
static inline int rig_connect(rig *r, int32_t node, int32_t version) {
    int ends[2];
    pkf_command *command = pkf_command_new(PKF_COMMAND_CONNECT);
    NEED(command && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    command->node = node;
    command->fd = ends[0];
    command->version = version;
    command->correlation = 7;
    pkf_wire_command(r->wire, command);
    return ends[1];
}

// ---- rounds ----

static inline void rig_advance(rig *r, int64_t ms) { r->skew_ns += ms * RIG_MS; }

static inline void rig_step(rig *r) {
    pkf_wire *wire = r->wire;
    wire->now = pkf_monotonic_ns() + r->skew_ns;
    pkf_wire_run_commands(wire);
    pkf_wire_look(wire);
    for (int32_t i = 0; i < wire->node_count; i++) pkf_wire_serve(wire, wire->nodes[i]);
    for (int32_t i = 0; i < wire->node_count; i++) {
        if (wire->nodes[i]->conn) pkf_wire_write(wire, wire->nodes[i]);
        if (wire->nodes[i]->conn) pkf_wire_read(wire, wire->nodes[i]);
        if (wire->nodes[i]->conn) (void)pkf_wire_check_times(wire, wire->nodes[i]);
    }
    pkf_wire_look(wire);
    for (int32_t i = 0; i < wire->node_count; i++) pkf_wire_serve(wire, wire->nodes[i]);
}

// ---- events ----

static inline void rig_take_events(rig *r) {
    *r->events_end = pkf_events_take(&r->wire->events);
    while (*r->events_end) r->events_end = &(*r->events_end)->next;
}

// The oldest event of the kind, the caller's; NULL if there is none by then.
static inline pkf_event *rig_event_within(rig *r, pkf_event_kind kind, int64_t wait_ms) {
    for (int64_t deadline = peer_now_ms() + wait_ms;;) {
        rig_take_events(r);
        for (pkf_event **link = &r->events; *link; link = &(*link)->next) {
            pkf_event *event = *link;
            if (event->kind != kind) continue;
            *link = event->next;
            if (*link == NULL) r->events_end = link;
            return event;
        }
        int64_t left = deadline - peer_now_ms();
        struct pollfd p = {r->wire->events.wakeup.read_fd, POLLIN, 0};
        if (left <= 0 || poll(&p, 1, (int)left) < 0) return NULL;
    }
}

static inline pkf_event *rig_event(rig *r, pkf_event_kind kind) { return rig_event_within(r, kind, 0); }

// Whether there is such an event; it is dropped.
static inline bool rig_saw(rig *r, pkf_event_kind kind) {
    pkf_event *event = rig_event(r, kind);
    if (event) pkf_event_free(event);
    return event != NULL;
}

// A decision about a parked batch; its event is used up. Filled in further by the caller, then rig_settle().
static inline pkf_command *rig_decide(pkf_event *parked, pkf_command_kind kind) {
    pkf_command *command = pkf_command_new(kind);
    NEED(command && parked && parked->batch);
    command->batch = parked->batch;
    command->code = parked->code;
    parked->batch = NULL;
    pkf_event_free(parked);
    return command;
}

static inline void rig_settle(rig *r, pkf_event *parked, pkf_command_kind kind) {
    pkf_wire_command(r->wire, rig_decide(parked, kind));
}

// The next parked batch, which must be this one, is judged, and the wire does what follows.
static inline void rig_judge(rig *r, const pkf_batch *wanted, pkf_command_kind kind, bool refused, bool in_doubt) {
    pkf_event *event = rig_event(r, PKF_EVENT_PARKED);
    NEED(event && event->batch == wanted && event->in_doubt >= in_doubt); // no doubt comes out of nothing
    pkf_command *command = rig_decide(event, kind);
    command->refused = refused;
    command->in_doubt = in_doubt;
    pkf_wire_command(r->wire, command);
    rig_step(r);
}

// ---- appending ----

// As the binding does it: slabs are acquired outside the lock; with `patient` in turn, for up to 20 s.
static inline pkf_status rig_append_some(pkf_accum *accum, pkf_append *append, bool patient) {
    pkf_status status;
    append->may_grow = true;
    while ((status = pkf_accum_append(accum, append)) == PKF_NEED_SLAB) {
        if (append->slab) pkf_pool_release(accum->pool, append->slab);
        append->slab = NULL;
        status = pkf_pool_try(accum->pool, append->need, &append->slab);
        if (status == PKF_E_EXHAUSTED && append->may_grow) {
            append->may_grow = false;
            continue;
        }
        if (status == PKF_E_EXHAUSTED && patient) {
            pkf_waiter waiter;
            status = pkf_pool_wait_begin(accum->pool, &waiter, append->need);
            if (status != PKF_OK) break;
            pkf_accum_wake(accum);
            status = pkf_workers_pool_wait(accum, &waiter, (uint64_t)PEER_WAIT_MS * 1000000);
            if (status == PKF_OK) status = pkf_pool_wait_take(accum->pool, &waiter, &append->slab);
            pkf_pool_wait_cancel(accum->pool, &waiter);
        }
        if (status != PKF_OK) break;
        append->may_grow = true;
    }
    if (append->slab) pkf_pool_release(accum->pool, append->slab);
    append->slab = NULL;
    if (append->wake) pkf_accum_wake(accum);
    append->wake = false;
    return status;
}

static inline pkf_span rig_span(const char *text) {
    return text ? (pkf_span){(const uint8_t *)text, strlen(text)} : (pkf_span){NULL, 0};
}

static inline pkf_append rig_record(rig *r, int32_t partition, const char *value, pkf_slot *slot) {
    return (pkf_append){.topic = r->topic,
                        .partition = partition,
                        .timestamp = 1700000000000,
                        .value = rig_span(value),
                        .wait_lock = true,
                        .slot = slot};
}

// The slot holds a reference: rig_forget() it.
static inline pkf_slot rig_append(rig *r, int32_t partition, const char *value) {
    pkf_slot slot = {.batch = NULL};
    pkf_append append = rig_record(r, partition, value, &slot);
    NEED(rig_append_some(r->accum, &append, false) == PKF_OK);
    if (r->skew_ns && slot.index == 0) slot.batch->created_ns += r->skew_ns;
    return slot;
}

static inline void rig_forget(pkf_slot *slot) {
    pkf_batch_unref(slot->batch);
    slot->batch = NULL;
}

// A record in a batch of its own, closed.
static inline pkf_slot rig_batch(rig *r, int32_t partition, const char *value) {
    pkf_slot slot = rig_append(r, partition, value);
    pkf_lock_take(&rig_part(r, partition)->lock);
    pkf_partition_close_tail_locked(rig_part(r, partition));
    pkf_lock_let_go(&rig_part(r, partition)->lock);
    return slot;
}

static inline bool rig_is_done(const pkf_slot *slot) { return (pkf_batch_state(slot->batch) & PKF_DONE) != 0; }

// ---- the end ----

static inline void rig_check_empty(rig *r) {
    pkf_pool_stats stats;
    pkf_pool_get_stats(r->accum->pool, &stats);
    CHECK_INT(stats.slabs_acquired, 0);
    CHECK_INT(stats.available, stats.budget);
    CHECK_INT(r->accum->live_count, 0);
    CHECK_INT(atomic_load(&r->accum->open_batches), 0);
    for (pkf_topic *topic = r->accum->topics; topic; topic = topic->next)
        for (int32_t i = 0; i < topic->parts_made; i++)
            CHECK_INT(atomic_load(&atomic_load(&topic->parts)[i]->queued_bytes), 0);
    CHECK_INT(atomic_load(&r->accum->refs), 1); // each batch has one
}

static inline void rig_close(rig *r) {
    for (pkf_event *event = r->events, *next; event; event = next) {
        next = event->next;
        pkf_event_free(event);
    }
    pkf_wire_free(r->wire);
    rig_check_empty(r);
    pkf_accum_unref(r->accum);
}

static inline void rig_stop_and_close(rig *r) {
    rig_command(r, PKF_COMMAND_STOP, 0, 0, 0);
    CHECK(pkf_wire_join(r->wire, PKF_NEVER) == PKF_OK);
    rig_close(r);
}

#endif
