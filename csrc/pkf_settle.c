// SPDX-License-Identifier: Apache-2.0
// What became of batches: acknowledged, parked, requeued, failed. Results of a partition are published in the
// order in which its batches were framed, so callbacks run in the order of send() even when an early batch is retried.
#include <stdlib.h>
#include <string.h>

#include "pkf_completion.h"
#include "pkf_round.h"
#include "pkf_text.h"
#include "pkf_topic.h"

#define UNSUPPORTED_VERSION 35
#define OUT_OF_ORDER_SEQUENCE_NUMBER 45
#define UNSUPPORTED_COMPRESSION_TYPE 76

bool pkf_wire_report(pkf_wire *wire, pkf_event_kind kind, int32_t node, int32_t code, const char *text) {
    pkf_event *event = pkf_event_new(kind);
    if (event == NULL) return false;
    event->node = node;
    event->code = code;
    event->text = text ? strdup(text) : NULL;
    pkf_events_push(&wire->events, event);
    return true;
}

void pkf_wire_let_go(pkf_wire *wire, pkf_batch *batch) {
    if (!batch->resolved || batch->in_request || batch->packing == PKF_PACKING_UNDER_WAY) return;
    if (batch->slab) pkf_pool_release(wire->accum->pool, batch->slab);
    batch->slab = NULL;
    if (pkf_batch_state(batch) & PKF_DONE) pkf_batch_unref(batch);
}

// After the publication: who drops a future from now on sees DONE and says it himself.
static void report_unseen(pkf_wire *wire, const pkf_batch *batch) {
    if (batch->code == 0 || !(pkf_batch_state(batch) & PKF_UNSEEN)) return;
    pkf_event *event = pkf_event_new(PKF_EVENT_UNSEEN);
    if (event == NULL) return;
    event->topic = batch->partition->topic;
    event->code = batch->code;
    event->in_doubt = batch->in_doubt;
    event->text = batch->message ? strdup(batch->message) : NULL;
    pkf_events_push(&wire->events, event);
}

static void publish_in_order(pkf_wire *wire, pkf_partition *partition) {
    while (partition->unresolved_head && partition->unresolved_head->resolved) {
        pkf_batch *batch = partition->unresolved_head;
        partition->unresolved_head = batch->unresolved_next;
        if (partition->unresolved_head == NULL) partition->unresolved_tail = NULL;
        partition->unresolved_count--;
        bool busy = batch->in_request || batch->packing == PKF_PACKING_UNDER_WAY;
        char *text = batch->message;
        batch->message = NULL;
        pkf_accum_complete(wire->accum, batch, batch->code, text, batch->in_doubt);
        free(text);
        report_unseen(wire, batch);
        if (!busy) pkf_batch_unref(batch); // the owner's; pkf_wire_let_go() drops it otherwise
    }
}

static int32_t last_sequence(const pkf_batch *batch) {
    return (int32_t)(((int64_t)batch->sequence + batch->count - 1) & INT32_MAX);
}

// Whether this one or a later batch of the epoch was acknowledged. One that may have been written is written then: a broker
// takes no batch without those before it, unless it knows nothing of the producer.
static bool is_covered(const pkf_partition *partition, const pkf_batch *batch) {
    if (batch->producer_id != partition->producer_id || batch->producer_epoch != partition->producer_epoch)
        return false;
    int32_t last = last_sequence(batch), acked = partition->last_acked_sequence;
    return acked >= 0 && (((uint32_t)acked - (uint32_t)last) & INT32_MAX) < (1u << 30);
}

static void note_sequence(pkf_partition *partition, const pkf_batch *batch, int32_t code) {
    if (batch->sequence < 0) return;
    partition->sequenced_count--;
    if (code != 0) {
        partition->gap = 1;
        partition->gap_in_doubt |= batch->maybe_written;
        return;
    }
    if (batch->producer_id != partition->producer_id || batch->producer_epoch != partition->producer_epoch) return;
    if (batch->sealed_ns == 0) return; // acknowledged as a message set, which tells nothing of those before it
    if (batch->sealed_ns >= partition->forgotten_ns) partition->forgotten_ns = 0;
    if (!is_covered(partition, batch)) partition->last_acked_sequence = last_sequence(batch);
}

// What a broker refused and had written all the same, as the acknowledgement of a later batch shows.
static void settle_refused(pkf_wire *wire, pkf_partition *partition) {
    for (pkf_batch *batch = partition->unresolved_head; batch; batch = batch->unresolved_next) {
        if (batch->resolved || !batch->refused || !batch->maybe_written || !is_covered(partition, batch)) continue;
        free(batch->message);
        batch->message = NULL;
        batch->resolved = true;
        note_sequence(partition, batch, 0);
        pkf_wire_let_go(wire, batch);
    }
}

void pkf_wire_resolve(pkf_wire *wire, pkf_batch *batch, int32_t code, const char *text, bool in_doubt) {
    pkf_partition *partition = batch->partition;
    pkf_wire_list(partition, batch);
    batch->resolved = true;
    batch->code = code;
    batch->in_doubt = in_doubt;
    free(batch->message);
    batch->message = text && text[0] ? strdup(text) : NULL;
    // In a request at its deadline: whether the sequence arrived will be known when the request ends.
    if (!batch->in_request) note_sequence(partition, batch, code);
    if (code == 0 && partition->gap) settle_refused(wire, partition);
    if (code != 0) {
        pkf_count(&wire->counters.records_failed, (uint64_t)batch->count);
        pkf_count(&partition->topic->counters.records_failed, (uint64_t)batch->count);
    }
    pkf_wire_let_go(wire, batch);
    publish_in_order(wire, partition);
}

static void end_request(pkf_batch *batch) {
    batch->in_request = false;
    atomic_fetch_sub(&batch->partition->in_flight, 1);
}

// The request of a batch that was failed at its deadline has ended: now its bytes and its sequence can be settled.
static void end_expired(pkf_wire *wire, pkf_batch *batch, int32_t code) {
    pkf_partition *partition = batch->partition;
    note_sequence(partition, batch, code);
    pkf_wire_let_go(wire, batch);
    pkf_wire_evaluate(wire, partition);
}

// The first of those without an outcome, but for refused ones, which wait for what becomes of those behind them.
static bool is_first(const pkf_batch *batch) {
    const pkf_batch *first = batch->partition->unresolved_head;
    while (first && (first->resolved || first->refused)) first = first->unresolved_next;
    return first == batch;
}

static void park(pkf_wire *wire, pkf_batch *batch, pkf_event *event) {
    batch->parked = true;
    batch->partition->parked_count++;
    pkf_wire_unready(wire, batch->partition);
    pkf_batch_ref(batch);
    event->batch = batch;
    event->in_doubt = batch->maybe_written;
    event->first = is_first(batch);
    pkf_events_push(&wire->events, event);
}

static char *copy_span(pkf_span span) {
    return span.base && span.len ? strndup((const char *)span.base, span.len) : NULL;
}

static void copy_record_errors(pkf_event *event, const pkf_ack *ack, int32_t record_count) {
    pkf_ack_errors it = ack->record_errors;
    if (it.left <= 0 || it.left > record_count) return;
    event->record_errors = calloc((size_t)it.left, sizeof *event->record_errors);
    if (event->record_errors == NULL) return;
    pkf_ack_error failure;
    while (pkf_ack_errors_next(&it, &failure)) {
        event->record_errors[event->record_error_count].index = failure.index;
        event->record_errors[event->record_error_count++].message = copy_span(failure.message);
    }
}

static void park_acked(pkf_wire *wire, pkf_batch *batch, const pkf_ack *ack) {
    pkf_event *event = pkf_event_new(PKF_EVENT_PARKED);
    if (event == NULL) { // nobody to ask: better a failure than silence
        pkf_wire_resolve(wire, batch, ack->code, "no memory to settle the batch", true);
        return;
    }
    event->answered = true;
    event->code = ack->code;
    event->text = copy_span(ack->error_message);
    event->leader = ack->leader_id;
    event->leader_epoch = ack->leader_epoch;
    event->offset = ack->base_offset;
    event->log_start = ack->log_start_offset;
    event->log_append_time = ack->log_append_time;
    copy_record_errors(event, ack, batch->count);
    batch->unjudged = true;
    park(wire, batch, event);
}

void pkf_wire_acked(pkf_wire *wire, pkf_batch *batch, const pkf_ack *ack) {
    pkf_partition *partition = batch->partition; // the batch may be gone once it is resolved
    end_request(batch);
    if (batch->resolved) {
        end_expired(wire, batch, ack->code);
        return;
    }
    if (ack->code != 0) {
        park_acked(wire, batch, ack);
    } else {
        batch->base_offset = ack->base_offset;
        batch->log_append_time = ack->log_append_time;
        pkf_wire_resolve(wire, batch, 0, NULL, false);
    }
    pkf_wire_evaluate(wire, partition);
}

void pkf_wire_fail_in_request(pkf_wire *wire, pkf_batch *batch, int32_t code, const char *text) {
    pkf_partition *partition = batch->partition;
    end_request(batch);
    if (batch->resolved) {
        end_expired(wire, batch, code);
        return;
    }
    pkf_event *event = pkf_event_new(PKF_EVENT_PARKED);
    if (event == NULL) {
        pkf_wire_resolve(wire, batch, code, text, batch->maybe_written);
    } else {
        event->code = code;
        event->text = text ? strdup(text) : NULL;
        park(wire, batch, event);
    }
    pkf_wire_evaluate(wire, partition);
}

void pkf_wire_requeue(pkf_partition *partition, pkf_batch *batch) {
    pkf_lock_take(&partition->lock);
    pkf_batch *before = NULL, *after = partition->head;
    while (after && after->order < batch->order) { // what comes back stood in front of the pieces that share its order
        before = after;
        after = after->queue_next;
    }
    batch->queue_next = after;
    if (before)
        before->queue_next = batch;
    else
        partition->head = batch;
    if (after == NULL) partition->tail = batch;
    pkf_lock_let_go(&partition->lock);
}

bool pkf_wire_unqueue(pkf_partition *partition, pkf_batch *batch) {
    bool found = false;
    pkf_lock_take(&partition->lock);
    if (partition->tail == batch) pkf_partition_close_tail_locked(partition);
    for (pkf_batch *before = NULL, *at = partition->head; at && !found; before = at, at = at->queue_next) {
        if (at != batch) continue;
        found = true;
        if (before)
            before->queue_next = batch->queue_next;
        else
            partition->head = batch->queue_next;
        if (partition->tail == batch) partition->tail = before;
        batch->queue_next = NULL;
    }
    pkf_lock_let_go(&partition->lock);
    return found;
}

bool pkf_wire_may_be_written(const pkf_batch *batch) {
    return batch->maybe_written || batch->in_request || batch->unjudged;
}

// Those with headers fail for that, the others because they travelled with them.
static void name_records_with_headers(pkf_wire *wire, pkf_batch *batch) {
    pkf_span records;
    uint8_t *copy;
    if (pkf_batch_unpack(batch, wire->codecs, &copy, &records) != PKF_OK) return; // all of them fail for it
    pkf_cursor cursor = pkf_cursor_over(records.base, records.len);
    pkf_record record;
    batch->record_errors = calloc((size_t)batch->count, sizeof *batch->record_errors);
    for (int32_t i = 0; batch->record_errors && i < batch->count && pkf_record_read(&cursor, &record) == PKF_OK; i++)
        if (record.header_count) batch->record_errors[batch->record_error_count++].index = i;
    free(copy);
}

void pkf_wire_refuse_headers(pkf_wire *wire, pkf_batch *batch) {
    name_records_with_headers(wire, batch);
    pkf_wire_resolve(wire, batch, UNSUPPORTED_VERSION,
                     "the record, or another one in its batch, has headers, which the broker that leads its partition "
                     "is too old for (they need Kafka 0.11)",
                     pkf_wire_may_be_written(batch));
}

void pkf_wire_refuse_codec(pkf_wire *wire, pkf_batch *batch) {
    pkf_wire_resolve(wire, batch, UNSUPPORTED_COMPRESSION_TYPE,
                     "the topic is compressed with zstd, which the broker that leads the partition is too old for (it "
                     "needs Kafka 2.1): choose another compression_type, or one for the topic in compression_by_topic",
                     pkf_wire_may_be_written(batch));
}

static void unpark(pkf_batch *batch) {
    batch->parked = false;
    batch->partition->parked_count--;
}

static void take_back(pkf_wire *wire, pkf_command *command, pkf_batch *batch) {
    batch->attempts++;
    batch->retry_ns = command->delay_ns > 0 ? wire->now + command->delay_ns : 0;
    batch->refused = command->refused && batch->sequence >= 0;
    free(batch->message);
    batch->message = command->text;
    command->text = NULL;
    pkf_count(&wire->counters.batches_retried, 1);
    pkf_count(&wire->counters.records_retried, (uint64_t)batch->count);
    pkf_count(&batch->partition->topic->counters.records_retried, (uint64_t)batch->count);
    if (batch->refused)
        batch->partition->gap = 1; // stays out of the queue until it is known whether those behind it are written
    else
        pkf_wire_requeue(batch->partition, batch);
}

static void settle_parked(pkf_wire *wire, pkf_command *command, pkf_batch *batch) {
    switch (command->kind) {
    case PKF_COMMAND_REQUEUE:
        batch->maybe_written |= command->in_doubt;
        if (command->refused && batch->maybe_written && is_covered(batch->partition, batch))
            pkf_wire_resolve(wire, batch, 0, NULL, false);
        else
            take_back(wire, command, batch);
        break;
    case PKF_COMMAND_COMPLETE:
        batch->base_offset = command->offset;
        pkf_wire_resolve(wire, batch, 0, NULL, false);
        break;
    case PKF_COMMAND_SPLIT:
        batch->maybe_written = false; // an earlier try had the bytes that were refused now
        if (pkf_wire_split(wire, batch, (uint32_t)command->size) == PKF_OK) break;
        pkf_wire_resolve(wire, batch, command->code, command->text, false);
        break;
    default:
        batch->record_errors = command->record_errors;
        batch->record_error_count = command->record_error_count;
        command->record_errors = NULL;
        command->record_error_count = 0;
        batch->maybe_written = command->in_doubt;
        pkf_wire_resolve(wire, batch, command->code, command->text, command->in_doubt);
    }
}

static pkf_batch *first_refused_in_doubt(const pkf_partition *partition) {
    pkf_batch *batch = partition->unresolved_head;
    while (batch && (batch->resolved || !batch->refused || !batch->maybe_written)) batch = batch->unresolved_next;
    return batch;
}

// A batch that failed in doubt leaves open what became of those that were refused, and in doubt too. Behind it they may be
// read at any time from a request that was given up, until the broker hears of a new epoch; in front of it, they are
// written if it is. Under a new sequence they could be written twice.
void pkf_wire_give_up_in_doubt(pkf_wire *wire, pkf_partition *partition) {
    for (pkf_batch *batch; partition->gap_in_doubt && (batch = first_refused_in_doubt(partition)) != NULL;) {
        pkf_text text = {.len = 0};
        pkf_text_add(&text, batch->message ? batch->message : "its sequence was refused");
        pkf_text_add(&text,
                     "; other records of the partition failed in doubt, and these may be written by an earlier try");
        pkf_wire_resolve(wire, batch, OUT_OF_ORDER_SEQUENCE_NUMBER, text.chars, true);
    }
}

// After an epoch bump: batches that wait for another try get new sequences, from 0, when they are sealed again.
static void restart(pkf_wire *wire, pkf_partition *partition) {
    if (!pkf_wire_may_restart(partition)) { // things have changed since the gap was reported: report it again, later
        partition->gap_reported = 0;
        pkf_wire_evaluate(wire, partition);
        return;
    }
    pkf_wire_give_up_in_doubt(wire, partition);
    for (pkf_batch *batch = partition->unresolved_head; batch; batch = batch->unresolved_next) {
        if (batch->resolved) continue;
        batch->sequence = -1;
        if (batch->refused) pkf_wire_requeue(partition, batch);
        batch->refused = false;
    }
    partition->sequenced_count = 0;
    partition->gap = 0;
    partition->gap_reported = 0;
    partition->gap_in_doubt = 0;
    partition->producer_id = -1; // adopt the current one, whatever it is
    pkf_wire_evaluate(wire, partition);
}

void pkf_wire_settle(pkf_wire *wire, pkf_command *command) {
    if (command->kind == PKF_COMMAND_RESTART) {
        int32_t count;
        pkf_partition **parts = pkf_topic_made(command->topic, &count);
        if (command->partition >= 0 && command->partition < count) restart(wire, parts[command->partition]);
        return;
    }
    pkf_batch *batch = command->batch;
    pkf_partition *partition = batch->partition;
    if (!batch->parked) return; // aborted meanwhile
    unpark(batch);
    batch->unjudged = false;
    if (!batch->resolved) settle_parked(wire, command, batch); // else it expired meanwhile
    pkf_wire_evaluate(wire, partition);
}

static void abort_partition(pkf_wire *wire, pkf_partition *partition, int32_t code, const char *text) {
    for (pkf_batch *batch = partition->unresolved_head; batch; batch = batch->unresolved_next) {
        if (batch->resolved || !(batch->parked || batch->refused)) continue;
        if (batch->parked) unpark(batch);
        batch->refused = false;
        pkf_wire_requeue(partition, batch);
    }
    for (;;) {
        pkf_lock_take(&partition->lock);
        pkf_batch *head = partition->head;
        pkf_lock_let_go(&partition->lock);
        if (head == NULL || !pkf_wire_unqueue(partition, head)) break;
        pkf_wire_resolve(wire, head, code, text, pkf_wire_may_be_written(head));
    }
    pkf_wire_unready(wire, partition);
}

void pkf_wire_abort(pkf_wire *wire, int32_t code, const char *text) {
    pkf_wire_disconnect_all(wire);
    pthread_mutex_lock(&wire->accum->topics_lock);
    pkf_topic *topics = wire->accum->topics; // append-only: what is behind this pointer does not change
    pthread_mutex_unlock(&wire->accum->topics_lock);
    for (pkf_topic *topic = topics; topic; topic = topic->next) {
        int32_t count;
        pkf_partition **parts = pkf_topic_made(topic, &count);
        for (int32_t i = 0; i < count; i++) abort_partition(wire, parts[i], code, text);
    }
}
