// SPDX-License-Identifier: Apache-2.0
// The wire thread: everything between a closed batch and its result. It never knows of Python and decides nothing that
// is a matter of policy: what is not a plain success it parks and reports.
//
// A round (pkf_round.c):  commands -> touched partitions -> deadlines -> serve brokers -> poll -> read, write, time-outs
//
//   partition states, as seen from here
//   idle --touched--> evaluated --nothing to do yet--> deadline heap
//                        |--ready--> ready list of its leader's node --served--> batch sealed, framed, in flight
//                        \--no leader--> UNKNOWN_LEADER reported, evaluated again after LEADERS
//
// A partition with a parked batch is muted: nothing more of it is collected until the sender thread has settled it.
#ifndef PKF_ROUND_H
#define PKF_ROUND_H

#include "pkf_conn.h"
#include "pkf_deadline.h"
#include "pkf_event.h"
#include "pkf_pace.h"
#include "pkf_spin.h"
#include "pkf_workers.h"

typedef struct pkf_wire_config {
    char client_id[256]; // UTF-8, NUL-terminated
    int16_t acks;        // 0, 1, -1
    bool idempotent;
    int32_t max_in_flight; // requests per connection
    int32_t workers;       // threads that compress; 0 where no topic has a codec
    int64_t request_timeout_ns;
    int64_t idle_timeout_ns; // PKF_NEVER: connections are never closed for being idle
    int64_t pace_ns;      // a batch that is not full leaves at least this long after the one before it; see pkf_pace.h
    int64_t patience_ns;  // a sendable batch that is not full leaves behind one in flight after this long
    uint32_t receive_max; // bytes of the largest response accepted
} pkf_wire_config;

typedef struct pkf_node {
    int32_t id;
    bool asked;    // NEED_CONNECTION was reported and neither CONNECT nor FORGET came since
    char *trouble; // malloc: why there is no connection, or NULL
    int64_t throttled_until;
    size_t room;    // bytes of batches per request: max_request_size, or what gets through in time, see pkf_link.c
    pkf_conn *conn; // NULL while there is none
    _Atomic int fd; // its descriptor, -1 while there is none; for a forked child
    pkf_partition *ready_head, *ready_tail;
    pkf_node_counters counters;
} pkf_node;

typedef struct pkf_node_report { // a copy of one node's counters
    int32_t id;
    uint64_t requests, request_bytes, responses, response_bytes, latency_ns, throttle_ms;
    uint64_t latency_max_ns, request_size_max, throttle_max_ms; // since the last report
} pkf_node_report;

typedef struct pkf_wire_maxima { // since they were last taken
    uint64_t record_size, batch_size, request_size, request_latency_ns, queue_time_ns, throttle_ms;
} pkf_wire_maxima;

typedef struct pkf_wire_counters { // written by the wire thread, read by anybody
    _Atomic uint64_t records_sent, batches, batch_bytes, requests, request_bytes, responses, response_bytes;
    _Atomic uint64_t records_retried, batches_retried, records_failed, splits;
    _Atomic uint64_t request_latency_ns, queue_time_ns, throttle_ms, throttle_count;
    _Atomic uint64_t raw_bytes, packed_bytes;    // of records, before and after compression
    _Atomic uint64_t packing_ns, incompressible; // time in codecs; batches that would not have become smaller
    _Atomic uint64_t connections_created, connections_closed;
    _Atomic uint64_t record_size_max, batch_size_max, request_size_max, request_latency_max_ns, queue_time_max_ns;
    _Atomic uint64_t throttle_max_ms;
    _Atomic uint64_t in_flight, connections, rounds;
} pkf_wire_counters;

typedef struct pkf_wire {
    pkf_accum *accum; // a reference
    pkf_wire_config config;
    pkf_events events;
    pkf_commands commands;
    pkf_wire_counters counters;
    pkf_crc32c_fn crc32c;
    pkf_workers workers;
    pthread_t thread;
    bool running, ended;
    pthread_mutex_t end_lock; // for `ended` and the end of `running`
    pthread_cond_t end_cond;

    pthread_mutex_t nodes_lock; // held to change the table below and, elsewhere, to read it
    pkf_node **nodes;
    int32_t node_count, node_capacity;

    // Wire thread only:
    pkf_codec_state *codecs; // to read again what a worker has compressed; NULL without workers
    pkf_deadlines deadlines;
    pkf_pace pace;
    pkf_spin spin;
    struct pollfd *polls; // node_capacity + 1 of them
    int64_t now;
    int64_t producer_id;
    int16_t producer_epoch;
    bool pid_asked;
    char *trouble; // malloc: why there is no producer id, or NULL
    bool forced;   // everything is sendable: closing, flushing, or memory is short
    bool closing;
    bool drained; // DRAINED was reported
    bool stop;
} pkf_wire;

// A wire over the accumulator; takes a reference to it. NULL when out of memory or descriptors.
pkf_wire *pkf_wire_new(pkf_accum *accum, const pkf_wire_config *config);
PKF_MUST_USE pkf_status pkf_wire_start(pkf_wire *wire); // starts the thread, all signals blocked in it
// After STOP. OK, or E_TIMEOUT: a worker still has a batch in hand, because no codec can be interrupted. Never with the GIL.
PKF_MUST_USE pkf_status pkf_wire_join(pkf_wire *wire, int64_t slice_ns);
void pkf_wire_free(pkf_wire *wire); // not running. Closes the accumulator; what is left in it fails

// Takes the command over and wakes the thread. Any thread.
void pkf_wire_command(pkf_wire *wire, pkf_command *command);

// The figures of the index-th broker: OK, or E_INVALID beyond the last. Any thread.
PKF_MUST_USE pkf_status pkf_wire_report_node(pkf_wire *wire, int32_t index, pkf_node_report *report);
void pkf_wire_take_maxima(pkf_wire *wire, pkf_wire_maxima *maxima); // any thread

// ---- between the files of the round; wire thread only --------------------------------------------------------------

// pkf_round.c: the first steps of a round.
void pkf_wire_run_commands(pkf_wire *wire);
void pkf_wire_look(pkf_wire *wire); // at all partitions that were touched or are due

// pkf_collect.c: which partitions are ready, and what of them goes into a request.
void pkf_wire_evaluate(pkf_wire *wire, pkf_partition *partition); // file it where it belongs: ready list, heap, nowhere
void pkf_wire_serve(pkf_wire *wire, pkf_node *node);              // frame as many requests as the connection takes
void pkf_wire_unready(pkf_wire *wire, pkf_partition *partition);
pkf_node *pkf_wire_node(pkf_wire *wire, int32_t id); // found or made; NULL when out of memory
int32_t pkf_wire_node_index(pkf_wire *wire, int32_t id);
// The next batch of this partition opens with about what this one needed. Partition lock.
void pkf_wire_remember_size_locked(pkf_partition *partition, const pkf_batch *batch);
void pkf_wire_list(pkf_partition *partition, pkf_batch *batch); // remember the order in which results are published
bool pkf_wire_may_restart(const pkf_partition *partition);      // no batch depends on the sequences it has
bool pkf_wire_can_serve(const pkf_wire *wire, const pkf_node *node); // serve() would frame a request

// pkf_pack.c: batches on their way through the workers.
// The head has to be compressed before it leaves on this connection: it is with a worker now, at its place in the queue.
bool pkf_wire_must_pack(pkf_wire *wire, const pkf_conn *conn, pkf_partition *partition);
void pkf_wire_pack_ahead(pkf_wire *wire, pkf_partition *partition); // those that are full, before their turn comes
void pkf_wire_take_packed(pkf_wire *wire);                          // what workers have finished

// pkf_settle.c: what became of batches.
// The slab goes when nobody reads it and nobody will send it again; the owner's reference when it is published too.
void pkf_wire_let_go(pkf_wire *wire, pkf_batch *batch);
void pkf_wire_acked(pkf_wire *wire, pkf_batch *batch, const pkf_ack *ack); // its request has ended with this answer
// Its request has ended without an answer: parked with a Kafka error code, or dropped if it was failed before.
void pkf_wire_fail_in_request(pkf_wire *wire, pkf_batch *batch, int32_t code, const char *text);
void pkf_wire_resolve(pkf_wire *wire, pkf_batch *batch, int32_t code, const char *text, bool in_doubt);
bool pkf_wire_unqueue(pkf_partition *partition, pkf_batch *batch); // false: it is not in the queue
bool pkf_wire_may_be_written(const pkf_batch *batch);              // by a request that is or may be under way still
void pkf_wire_refuse_headers(pkf_wire *wire,
                             pkf_batch *batch);               // the leader of its partition takes no headers: it fails
void pkf_wire_refuse_codec(pkf_wire *wire, pkf_batch *batch); // nor zstd
void pkf_wire_settle(pkf_wire *wire, pkf_command *command);   // REQUEUE, FAIL, COMPLETE, SPLIT, RESTART
void pkf_wire_requeue(pkf_partition *partition, pkf_batch *batch); // to its place in the queue
// Those that were refused fail in doubt, if a batch that failed leaves open what became of them.
void pkf_wire_give_up_in_doubt(pkf_wire *wire, pkf_partition *partition);
void pkf_wire_abort(pkf_wire *wire, int32_t code, const char *text);
// false: out of memory, nothing was said; what has to be said is said again in another round.
bool pkf_wire_report(pkf_wire *wire, pkf_event_kind kind, int32_t node, int32_t code, const char *text);

// pkf_expire.c: what took longer than delivery_timeout_ms.
void pkf_wire_expire(pkf_wire *wire, pkf_partition *partition);

// pkf_split.c: the records of a batch that was too large, in smaller ones at its place. Not OK: it stays as it was.
PKF_MUST_USE pkf_status pkf_wire_split(pkf_wire *wire, pkf_batch *batch, uint32_t size);

// pkf_link.c: connections of the round.
void pkf_wire_connect(pkf_wire *wire, pkf_command *command);
void pkf_wire_read(pkf_wire *wire, pkf_node *node);
void pkf_wire_write(pkf_wire *wire, pkf_node *node);
void pkf_wire_throttle(pkf_wire *wire, pkf_node *node, int64_t ms); // KIP-219: send it nothing for so long
void pkf_wire_explain(char **trouble, const char *text);            // remember it; NULL: there is nothing to explain
void pkf_wire_disconnect(pkf_wire *wire, pkf_node *node, int32_t code, const char *text);
void pkf_wire_disconnect_all(pkf_wire *wire);
int64_t pkf_wire_check_times(pkf_wire *wire, pkf_node *node); // time-outs, idleness; when to look again

static inline void pkf_count(_Atomic uint64_t *counter, uint64_t by) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_relaxed);
}

static inline void pkf_count_max(_Atomic uint64_t *counter, uint64_t value) {
    if (value > atomic_load_explicit(counter, memory_order_relaxed))
        atomic_store_explicit(counter, value, memory_order_relaxed);
}

#endif
