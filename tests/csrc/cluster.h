// SPDX-License-Identifier: Apache-2.0
//
// Brokers that share a log and lie at random: a thread per connection. A strict keeper of sequences and an exact ledger of
// what was written, whatever the answer was.
#ifndef CLUSTER_H
#define CLUSTER_H

#include "peer.h"

#include <pthread.h>

#include "pkf_codec.h"

enum { CLUSTER_PARTITIONS = 16, CLUSTER_NODES = 2, CLUSTER_KEPT = 5, CLUSTER_CONNECTIONS = 8192, CLUSTER_LATE_MS = 12 };

typedef struct cluster_faults { // chances in 1000 per request
    int refuse, write_and_refuse, write_and_close, close, lie, throttle, silence, reject;
    int late;   // up to CLUSTER_LATE_MS, in which the client may have given the request up: it is served all the same
    int move;   // per request: a partition gets another leader
    int forget; // per request: of a partition only the last batch is remembered, as by a broker that was started again
    size_t largest_batch; // MESSAGE_TOO_LARGE above; 0: none
} cluster_faults;

typedef struct cluster_kept {
    int32_t sequence, count;
    int64_t offset;
} cluster_kept;

typedef struct cluster_log { // one partition
    int32_t leader, leader_epoch;
    int64_t end;
    int16_t epoch; // of the producer, -1 none
    int32_t next_sequence;
    cluster_kept kept[CLUSTER_KEPT];
    int kept_count;
} cluster_log;

typedef struct cluster_entry { // one record of the ledger
    int32_t written, partition;
    int64_t offset; // of the first copy
} cluster_entry;

typedef struct cluster {
    pthread_mutex_t lock;
    cluster_log logs[CLUSTER_PARTITIONS];
    cluster_entry *ledger;
    uint32_t ledger_size;
    int32_t *last_seen; // [partition][thread]: the last of the thread's records that was written there
    int threads;
    bool idempotent, ordered;
    cluster_faults faults;
    uint64_t random;
    uint64_t requests, appended, duplicates, out_of_order, moved;
    uint64_t compressed;     // batches
    pkf_codec_state *codecs; // for raw, which holds the records of the batch that is being read
    uint8_t raw[1 << 20];
    pthread_t connections[CLUSTER_CONNECTIONS];
    int connection_count;
} cluster;

typedef struct cluster_connection {
    cluster *c;
    int fd, node;
} cluster_connection;

static inline void cluster_init(cluster *c, uint32_t records, int threads, bool idempotent, uint64_t seed) {
    memset(c, 0, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->ledger_size = records;
    c->threads = threads;
    c->idempotent = idempotent;
    c->random = seed;
    NEED((c->codecs = pkf_codec_state_new()));
    NEED((c->ledger = calloc(records, sizeof *c->ledger)));
    NEED((c->last_seen = calloc((size_t)(CLUSTER_PARTITIONS * threads), sizeof *c->last_seen)));
    for (int i = 0; i < CLUSTER_PARTITIONS; i++) {
        c->logs[i].leader = i % CLUSTER_NODES;
        c->logs[i].leader_epoch = 1;
        c->logs[i].epoch = -1;
        for (int t = 0; t < threads; t++) c->last_seen[i * threads + t] = -1;
    }
}

static inline void cluster_free(cluster *c) {
    for (int i = 0; i < c->connection_count; i++) pthread_join(c->connections[i], NULL);
    pkf_codec_state_free(c->codecs);
    free(c->ledger);
    free(c->last_seen);
    pthread_mutex_destroy(&c->lock);
}

static inline bool cluster_chance(cluster *c, int per_thousand) {
    return (int)harness_below(&c->random, 1000) < per_thousand;
}

// A record is written: its value begins with the thread, its number there, and its number overall.
static inline void cluster_write_locked(cluster *c, int partition, int64_t offset, const peer_record *record) {
    uint32_t head[3];
    NEED(record->value_size >= (int)sizeof head);
    memcpy(head, record->value, sizeof head);
    NEED(head[0] < (uint32_t)c->threads && head[2] < c->ledger_size);
    for (int i = (int)sizeof head; i < record->value_size; i++)
        if (record->value[i] != (uint8_t)(head[2] + (uint32_t)i)) NEED(!"a value is what was sent");
    cluster_entry *entry = &c->ledger[head[2]];
    int32_t *last = &c->last_seen[partition * c->threads + (int)head[0]];
    if (c->idempotent) CHECK_INT(entry->written, 0); // exactly once
    if (c->ordered && entry->written == 0) CHECK((int32_t)head[1] > *last);
    if (entry->written++ == 0) {
        entry->partition = partition;
        entry->offset = offset;
        *last = (int32_t)head[1];
    }
}

static inline void cluster_decompress_locked(cluster *c, peer_batch *batch) {
    pkf_codec codec = (pkf_codec)(batch->attributes & 7);
    size_t size = 0;
    if (codec == PKF_NONE) return;
    pkf_span packed = {batch->records.at, (size_t)(batch->records.end - batch->records.at)};
    NEED(pkf_codec_decompress(c->codecs, codec, 2, packed, c->raw, sizeof c->raw, &size) == PKF_OK);
    batch->records = (peer_bytes){c->raw, c->raw + size, false};
    c->compressed++;
}

static inline int64_t cluster_append_locked(cluster *c, peer_batch *batch) {
    cluster_log *log = &c->logs[batch->partition];
    int64_t offset = log->end;
    peer_record record;
    int32_t count = 0;
    cluster_decompress_locked(c, batch);
    for (; peer_next_record(batch, &record); count++) {
        CHECK_INT(record.index, count);
        cluster_write_locked(c, batch->partition, offset + count, &record);
    }
    CHECK_INT(count, batch->count);
    log->end += count;
    c->appended++;
    if (!c->idempotent) return offset;
    if (log->kept_count == CLUSTER_KEPT)
        memmove(log->kept, log->kept + 1, sizeof log->kept - sizeof log->kept[0]);
    else
        log->kept_count++;
    log->kept[log->kept_count - 1] = (cluster_kept){batch->sequence, count, offset};
    log->next_sequence = (int32_t)(((int64_t)batch->sequence + count) & INT32_MAX);
    return offset;
}

// What the keeper of sequences says: 0 append it; 46 it is there already (*offset: where, or -1); else the refusal.
static inline int16_t cluster_judge_locked(cluster *c, const peer_batch *batch, int64_t *offset) {
    cluster_log *log = &c->logs[batch->partition];
    if (!c->idempotent) return 0;
    if (batch->epoch < log->epoch) return 47;
    if (batch->epoch > log->epoch) {
        if (log->epoch >= 0 && batch->sequence != 0) return 45;
        log->epoch = batch->epoch; // the first of a producer may have any sequence, as with real brokers
        log->kept_count = 0;
        log->next_sequence = batch->sequence;
    }
    if (batch->sequence == log->next_sequence) return 0;
    for (int i = 0; i < log->kept_count; i++) {
        if (log->kept[i].sequence != batch->sequence || log->kept[i].count != batch->count) continue;
        c->duplicates++;
        *offset = log->kept[i].offset;
        return 46;
    }
    c->out_of_order++;
    bool old = (((uint32_t)log->next_sequence - (uint32_t)batch->sequence) & INT32_MAX) < (1u << 30);
    return old && cluster_chance(c, 500) ? 46 : 45; // brokers of today say 45
}

static inline void cluster_answer_locked(cluster *c, int node, peer_batch *batch, bool write, peer_answer *answer) {
    cluster_log *log = &c->logs[batch->partition];
    *answer = (peer_answer)PEER_ANSWER;
    answer->offset = -1;
    if (log->leader != node) {
        answer->code = 6;
        answer->leader = log->leader;
        answer->leader_epoch = log->leader_epoch;
        return;
    }
    if (c->faults.largest_batch && batch->size > c->faults.largest_batch) {
        answer->code = 10;
        return;
    }
    if (cluster_chance(c, c->faults.reject)) {
        answer->code = 87;
        return;
    }
    if (!write) {
        answer->code = 19;
        return;
    }
    answer->code = cluster_judge_locked(c, batch, &answer->offset);
    if (answer->code == 46 && answer->offset >= 0)
        answer->code = 0; // brokers answer with the old offset
    else if (answer->code == 0)
        answer->offset = cluster_append_locked(c, batch);
}

static inline void cluster_move_locked(cluster *c) {
    cluster_log *log = &c->logs[harness_below(&c->random, CLUSTER_PARTITIONS)];
    log->leader = (log->leader + 1) % CLUSTER_NODES;
    log->leader_epoch++;
    c->moved++;
}

static inline void cluster_forget_locked(cluster *c) {
    cluster_log *log = &c->logs[harness_below(&c->random, CLUSTER_PARTITIONS)];
    if (log->kept_count < 2) return;
    log->kept[0] = log->kept[log->kept_count - 1];
    log->kept_count = 1;
}

static inline void cluster_dawdle(cluster *c) {
    pthread_mutex_lock(&c->lock);
    int ms = cluster_chance(c, c->faults.late) ? 1 + (int)harness_below(&c->random, CLUSTER_LATE_MS) : 0;
    pthread_mutex_unlock(&c->lock);
    if (ms) (void)poll(NULL, 0, ms);
}

// Returns false when the connection is to be closed.
static inline bool cluster_serve(cluster_connection *connection, peer_request *request, peer_response *out) {
    cluster *c = connection->c;
    peer_answer answer;
    cluster_dawdle(c);
    pthread_mutex_lock(&c->lock);
    c->requests++;
    if (cluster_chance(c, c->faults.move)) cluster_move_locked(c);
    if (cluster_chance(c, c->faults.forget)) cluster_forget_locked(c);
    bool close_first = cluster_chance(c, c->faults.close), refuse = cluster_chance(c, c->faults.refuse);
    bool doubt = cluster_chance(c, c->faults.write_and_refuse), lie = cluster_chance(c, c->faults.lie);
    bool close_then = cluster_chance(c, c->faults.write_and_close), silent = cluster_chance(c, c->faults.silence);
    int32_t throttle = cluster_chance(c, c->faults.throttle) ? 3 : 0;
    peer_begin(out, request, request->correlation + lie, request->batch_count);
    for (int i = 0; i < request->batch_count && !close_first; i++) {
        CHECK(request->batches[i].partition >= 0 && request->batches[i].partition < CLUSTER_PARTITIONS);
        cluster_answer_locked(c, connection->node, &request->batches[i], !refuse, &answer);
        if (answer.code == 0 && doubt) answer.code = 7;
        peer_put_batch(out, request, &request->batches[i], &answer);
    }
    pthread_mutex_unlock(&c->lock);
    if (close_first || close_then) return false;
    peer_end(out, throttle);
    if (request->acks != 0 && !silent) peer_send(connection->fd, out->bytes, out->size);
    return true;
}

static inline void *cluster_connection_run(void *argument) {
    cluster_connection *connection = argument;
    peer_request *request = calloc(1, sizeof *request);
    peer_response *out = calloc(1, sizeof *out);
    NEED(request && out);
    while (peer_receive(connection->fd, request, 4 * PEER_WAIT_MS) == 1)
        if (!cluster_serve(connection, request, out)) break;
    close(connection->fd);
    free(request->frame);
    free(request);
    free(out);
    free(connection);
    return NULL;
}

// Serve the descriptor as that node, on a thread of its own.
static inline void cluster_accept(cluster *c, int node, int fd) {
    cluster_connection *connection = malloc(sizeof *connection);
    NEED(connection && c->connection_count < CLUSTER_CONNECTIONS);
    *connection = (cluster_connection){c, fd, node};
    NEED(pthread_create(&c->connections[c->connection_count++], NULL, cluster_connection_run, connection) == 0);
}

#endif
