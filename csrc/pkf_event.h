// SPDX-License-Identifier: Apache-2.0
// What the wire thread and the sender thread tell each other: events go up, commands come down, both as data.
// Each queue is a linked list under a mutex of its own (a leaf), with a descriptor that wakes the other side.
#ifndef PKF_EVENT_H
#define PKF_EVENT_H

#include "pkf_accum.h"

typedef enum pkf_event_kind {
    PKF_EVENT_NEED_CONNECTION = 1, // node: records wait for a broker without a connection
    PKF_EVENT_CONNECTION_LOST,     // node, code (a pkf_status, or errno, 0 its end), text: why, in_doubt
    PKF_EVENT_PARKED,           // batch (a reference), code, text, leader, leader_epoch, offset, log_start: settle it
    PKF_EVENT_NEED_PRODUCER_ID, // idempotent, and none is known
    PKF_EVENT_GAP,              // topic, partition: a sequence will never arrive; restart after an epoch bump
    PKF_EVENT_UNKNOWN_LEADER,   // topic: records wait for a partition without a leader
    PKF_EVENT_NODE,             // node, text = host, code = port: an address learnt from a response (KIP-951)
    PKF_EVENT_UNSEEN,           // topic, code, text, in_doubt: records failed whose futures nobody has any more
    PKF_EVENT_DRAINED,          // closing, and nothing is left to deliver
} pkf_event_kind;

typedef struct pkf_event {
    struct pkf_event *next;
    pkf_event_kind kind;
    int32_t node, code, partition, leader, leader_epoch;
    int64_t offset, log_start, log_append_time;
    bool in_doubt; // PARKED: an earlier try may have been written; CONNECTION_LOST: requests were in flight
    bool answered; // PARKED: a broker said `code`; else the request ended without an answer
    bool first;    // PARKED: no earlier batch of the partition was without an outcome then, but refused ones
    pkf_topic *topic;
    pkf_batch *batch;
    char *text; // malloc, or NULL
    pkf_record_error *record_errors;
    int32_t record_error_count;
} pkf_event;

typedef enum pkf_command_kind {
    PKF_COMMAND_CONNECT = 1, // node, fd, version, correlation: a connection that carries Produce from now on
    PKF_COMMAND_FORGET,      // node, text: ask again when there is need of a connection; with a reason, close it too
    PKF_COMMAND_EXPLAIN,     // topic or node (-1: the producer id), text: why there is none; batches that expire say so
    PKF_COMMAND_THROTTLE,    // node, delay_ns: the broker asked to be left alone before the connection was handed over
    PKF_COMMAND_LEADERS,     // topic, count, leaders (node ids), epochs, id: metadata has spoken
    PKF_COMMAND_LEADER,      // topic, partition, node, epoch: KIP-951, newer than metadata
    PKF_COMMAND_PRODUCER,    // producer_id, epoch
    PKF_COMMAND_PLAIN,       // the cluster gives no producer ids: send without, and without sequences
    PKF_COMMAND_REQUEUE,     // batch, delay_ns, in_doubt, refused, text: for another try
    PKF_COMMAND_FAIL,        // batch, code, text, in_doubt, record_errors
    PKF_COMMAND_COMPLETE,    // batch, offset: known to be written (a duplicate)
    PKF_COMMAND_SPLIT,       // batch, size: into batches of at most that many bytes
    PKF_COMMAND_RESTART,     // topic, partition: after GAP, the epoch was bumped
    PKF_COMMAND_CLOSE,       // the accumulator is closed: send what is left, then DRAINED
    PKF_COMMAND_ABORT,       // code, text: fail everything, close every connection (while closing, DRAINED follows)
    PKF_COMMAND_STOP,        // end the thread
} pkf_command_kind;

typedef struct pkf_command {
    struct pkf_command *next;
    pkf_command_kind kind;
    int32_t node, fd, version, correlation, partition, code, count;
    int32_t *leaders, *epochs; // malloc
    uint8_t id[16];
    int64_t producer_id, delay_ns, offset;
    int32_t epoch, size;
    bool in_doubt;
    bool refused; // REQUEUE: the broker does not take its sequence: not before those behind it are known or a restart
    pkf_topic *topic;
    pkf_batch *batch; // a reference
    char *text;       // malloc, or NULL
    pkf_record_error *record_errors;
    int32_t record_error_count;
} pkf_command;

typedef struct pkf_events {
    pthread_mutex_t lock;
    pkf_event *head, *tail; // guarded by lock
    pkf_wakeup wakeup;      // readable while there may be events
} pkf_events;

typedef struct pkf_commands {
    pthread_mutex_t lock;
    pkf_command *head, *tail; // guarded by lock
    _Atomic uint32_t some;
} pkf_commands;

PKF_MUST_USE pkf_status pkf_events_init(pkf_events *events);
void pkf_events_free(pkf_events *events);
pkf_event *
pkf_event_new(pkf_event_kind kind); // zeroed but for -1 in node, partition, leader, epoch, offsets; NULL: no memory
void pkf_event_free(pkf_event *event);
void pkf_events_push(pkf_events *events, pkf_event *event); // takes it over and wakes the reader
pkf_event *pkf_events_take(pkf_events *events);             // all of them, oldest first, linked by next

void pkf_commands_init(pkf_commands *commands);
void pkf_commands_free(pkf_commands *commands);
pkf_command *pkf_command_new(pkf_command_kind kind);
void pkf_command_free(pkf_command *command);
void pkf_commands_push(pkf_commands *commands, pkf_command *command); // takes it over; the caller wakes the wire
pkf_command *pkf_commands_take(pkf_commands *commands);

void pkf_record_errors_free(pkf_record_error *errors, int32_t count);

#endif
