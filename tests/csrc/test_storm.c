// SPDX-License-Identifier: Apache-2.0
//
// Everything at once: eight threads that append through a pool too small for them, two brokers that lie, a sender that
// decides about what comes back, and a delivery thread. At the end the ledger of the brokers is held against the futures.
#include "cluster.h"

#include "pkf_bulk.h"
#include "rig.h"

enum { THREADS = 8, TRIES = 30 };

typedef struct plan {
    const char *name;
    int records;                  // per thread
    bool idempotent, abort, wrap; // wrap: sequences begin shortly before they start over at 0
    int acks, max_in_flight, partitioner, version;
    int delivery_timeout_ms, request_timeout_ms;
    pkf_codec codec;
    int level, workers;
    cluster_faults faults;
} plan;

typedef struct fate {
    pkf_slot slot;
    int delivered;
    bool appended;
} fate;

static rig r;
static cluster brokers;
static const plan *now;
static fate *fates;
static uint64_t seed;
static atomic_int appending;

// ---- the sender ----

static int16_t epoch;

static void connect_to(int32_t node) { cluster_accept(&brokers, node, rig_connect(&r, node, now->version)); }

static void tell_leaders(void) {
    pkf_command *command = pkf_command_new(PKF_COMMAND_LEADERS);
    NEED(command && (command->leaders = calloc(CLUSTER_PARTITIONS, sizeof(int32_t))));
    NEED((command->epochs = calloc(CLUSTER_PARTITIONS, sizeof(int32_t))));
    command->topic = r.topic;
    command->count = CLUSTER_PARTITIONS;
    pthread_mutex_lock(&brokers.lock);
    for (int i = 0; i < CLUSTER_PARTITIONS; i++) {
        command->leaders[i] = brokers.logs[i].leader;
        command->epochs[i] = brokers.logs[i].leader_epoch;
    }
    pthread_mutex_unlock(&brokers.lock);
    memset(command->id, 'e', sizeof command->id);
    pkf_wire_command(r.wire, command);
}

static void decide(pkf_event *event, uint64_t *random) {
    pkf_batch *batch = event->batch;
    bool doubt = event->in_doubt || (event->answered && event->code == 7), first = event->first;
    int32_t code = event->code, size = (int32_t)batch->used / 2;
    bool again = code == 6 || code == 7 || code == 13 || code == 19 || code == 45;
    pkf_command_kind kind = PKF_COMMAND_FAIL;
    if (code == 46) kind = PKF_COMMAND_COMPLETE;
    if (code == 10 && batch->count > 1) kind = PKF_COMMAND_SPLIT;
    if (again && batch->attempts < TRIES) kind = PKF_COMMAND_REQUEUE;
    CHECK(code != 47); // batches of an old epoch behind those of a new one
    if (code == 6) tell_leaders();
    pkf_command *command = rig_decide(event, kind);
    command->in_doubt = doubt;
    command->delay_ns = first ? (int64_t)harness_below(random, 3) * RIG_MS : 0;
    command->refused = code == 45 && first;
    command->offset = -1;
    command->size = size;
    pkf_wire_command(r.wire, command);
}

static bool handle(pkf_event *event, uint64_t *random, int *gaps) {
    bool drained = event->kind == PKF_EVENT_DRAINED;
    switch (event->kind) {
    case PKF_EVENT_PARKED: decide(event, random); return false;
    case PKF_EVENT_NEED_CONNECTION:
        if (harness_below(random, 8))
            connect_to(event->node);
        else
            rig_command(&r, PKF_COMMAND_FORGET, event->node, 0, 0);
        break;
    case PKF_EVENT_NEED_PRODUCER_ID: rig_producer(&r, 1000, epoch); break;
    case PKF_EVENT_UNKNOWN_LEADER: tell_leaders(); break;
    case PKF_EVENT_GAP: gaps[event->partition] = 1; break;
    default: break;
    }
    pkf_event_free(event);
    return drained;
}

static void *send_all(void *unused) {
    uint64_t random = seed ^ 0x5e4d;
    bool drained = false;
    (void)unused;
    for (int64_t deadline = peer_now_ms() + 240000; !drained && peer_now_ms() < deadline;) {
        int gaps[CLUSTER_PARTITIONS] = {0}, any = 0;
        struct pollfd p = {r.wire->events.wakeup.read_fd, POLLIN, 0};
        (void)poll(&p, 1, 1000);
        for (pkf_event *event = pkf_events_take(&r.wire->events), *next; event; event = next) {
            next = event->next;
            drained |= handle(event, &random, gaps);
        }
        for (int i = 0; i < CLUSTER_PARTITIONS; i++) any |= gaps[i];
        if (any) rig_producer(&r, 1000, ++epoch);
        for (int i = 0; i < CLUSTER_PARTITIONS; i++)
            if (gaps[i]) rig_command(&r, PKF_COMMAND_RESTART, 0, i, 0);
    }
    CHECK(drained);
    return NULL;
}

// ---- delivery ----

static void *deliver_all(void *unused) {
    pkf_batch *batch = NULL;
    (void)unused;
    while (pkf_accum_wait_done(r.accum, 1000 * RIG_MS, &batch) != PKF_E_CLOSED) {
        for (pkf_batch *next; batch; batch = next) {
            next = batch->completed_next;
            uint32_t count = batch->cookie_count;
            for (uint32_t i = 0; i < count; i++) {
                fate *f = batch->cookies[i].callback;
                CHECK_INT(f->delivered++, 0);
            }
            batch->cookie_count = 0;
            CHECK(pkf_accum_take_listeners(r.accum, batch) == NULL);
            pkf_accum_delivered(r.accum, batch, count);
        }
    }
    return NULL;
}

// ---- appenders ----

static void flush(void) {
    size_t count = 0;
    pkf_accum_force(r.accum, 1);
    pkf_batch **live = pkf_accum_live(r.accum, &count);
    for (size_t i = 0; i < count; i++) {
        pkf_accum_hurry(r.accum, live[i]);
        CHECK_INT(pkf_accum_wait_batch(r.accum, live[i], false, PEER_WAIT_MS * RIG_MS), PKF_OK);
        pkf_batch_unref(live[i]);
    }
    free(live);
    pkf_accum_force(r.accum, -1);
}

static void wait_for(fate *f, bool delivered) {
    for (pkf_batch *before = NULL;;) {
        int32_t index = f->slot.index;
        pkf_batch *batch = pkf_batch_follow(f->slot.batch, &index);
        if (batch == before) return;
        before = batch;
        pkf_accum_hurry(r.accum, batch);
        CHECK_INT(pkf_accum_wait_batch(r.accum, batch, delivered, PEER_WAIT_MS * RIG_MS), PKF_OK);
    }
}

static pkf_status append_one(int thread, int number, uint64_t *random) {
    uint32_t head[3] = {(uint32_t)thread, (uint32_t)number, (uint32_t)(thread * now->records + number)};
    uint8_t value[900];
    fate *f = &fates[head[2]];
    size_t size =
        sizeof head + (size_t)harness_below(random, harness_below(random, 20) ? 200 : sizeof value - sizeof head);
    memcpy(value, head, sizeof head);
    for (size_t i = sizeof head; i < size; i++) value[i] = (uint8_t)(head[2] + (uint32_t)i);
    pkf_append append = rig_record(&r, -1, NULL, &f->slot);
    append.value = (pkf_span){value, size};
    append.wait_lock = harness_below(random, 2);
    if (harness_below(random, 4) == 0) append.partition = (int32_t)harness_below(random, CLUSTER_PARTITIONS);
    if (harness_below(random, 2)) append.callback = f;
    bool has_cookie = append.callback != NULL;
    pkf_status status;
    while ((status = rig_append_some(r.accum, &append, true)) == PKF_E_BUSY || status == PKF_NEED_BUDGET) {
        append.wait_lock = true;
        if (status == PKF_NEED_BUDGET) CHECK(pkf_accum_wait_budget(r.accum, PEER_WAIT_MS * RIG_MS) != PKF_E_TIMEOUT);
    }
    f->appended = status == PKF_OK;
    if (!has_cookie) f->delivered = -1;
    return status;
}

enum { ROWS = 40, ROW_SIZE = 150 };

// The same for up to ROWS records at once; *count of them were taken.
static pkf_status append_rows(int thread, int number, int *count, uint64_t *random) {
    uint8_t data[ROWS][ROW_SIZE];
    pkf_range range;
    pkf_bulk bulk;
    pkf_rows rows = {.partition = -1, .headers = {.size = -1}, .bytes = ROWS * ROW_SIZE};
    pkf_status status = PKF_E_BUSY;
    uint32_t overall = (uint32_t)(thread * now->records + number);
    rows.count = now->records - number < ROWS ? now->records - number : ROWS;
    rows.values = (pkf_column){.kind = PKF_COLUMN_FIXED, .width = ROW_SIZE, .data = data[0]};
    if (harness_below(random, 2)) // each fifth goes together
        rows.keys = (pkf_column){.kind = PKF_COLUMN_FIXED,
                                 .width = 1,
                                 .data = (const uint8_t *)"aaaaabbbbbcccccddddd"
                                                          "aaaaabbbbbcccccddddd"};
    for (int i = 0; i < rows.count; i++) {
        uint32_t head[3] = {(uint32_t)thread, (uint32_t)(number + i), overall + (uint32_t)i};
        for (size_t k = 0; k < ROW_SIZE; k++) data[i][k] = (uint8_t)(head[2] + (uint32_t)k);
        memcpy(data[i], head, sizeof head);
    }
    pkf_range_init(&range, rows.count, 1700000000000);
    pkf_bulk_init(&bulk, r.topic, &range, PEER_WAIT_MS * RIG_MS);
    pkf_bulk_set_rows(&bulk, &rows);
    for (bulk.wait = false; status == PKF_E_BUSY || status == PKF_E_PARTIAL; bulk.wait = true)
        status = pkf_bulk_append(r.accum, &bulk, RIG_MS);
    pkf_bulk_end(r.accum, &bulk);
    *count = range.count;
    for (int i = 0; i < range.count; i++) {
        fate *f = &fates[overall + (uint32_t)i];
        const pkf_run *run = pkf_range_run(&range, i);
        f->slot = (pkf_slot){.batch = run->batch, .index = run->first + (i - run->row)};
        pkf_batch_ref(run->batch);
        f->appended = true;
        f->delivered = -1;
    }
    pkf_range_clear(&range);
    return status;
}

static void *append_all(void *argument) {
    int thread = (int)(intptr_t)argument;
    uint64_t random = seed + (uint64_t)thread * 7919;
    for (int i = 0, count = 1; i < now->records; i += count) {
        count = 1;
        pkf_status status =
            harness_below(&random, 30) ? append_one(thread, i, &random) : append_rows(thread, i, &count, &random);
        if (status == PKF_E_CLOSED && now->abort) break;
        CHECK_INT(status, PKF_OK);
        if (status != PKF_OK) break;
        if (harness_below(&random, 300) == 0) wait_for(&fates[thread * now->records + i], harness_below(&random, 2));
        if (harness_below(&random, 700) == 0) flush();
    }
    atomic_fetch_sub(&appending, 1);
    return NULL;
}

// ---- the ledger ----

typedef struct tally {
    int delivered, failed, doubtful, not_sent;
} tally;

static void check_fate(uint32_t id, tally *t) {
    fate *f = &fates[id];
    cluster_entry *entry = &brokers.ledger[id];
    if (!f->appended) {
        t->not_sent++;
        CHECK_INT(entry->written, 0);
        return;
    }
    int32_t index = f->slot.index;
    pkf_batch *batch = pkf_batch_follow(f->slot.batch, &index);
    NEED(pkf_batch_state(batch) & PKF_DONE);
    CHECK(f->delivered != 0);
    if (batch->code == 0) {
        t->delivered++;
        if (now->acks != 0) CHECK(entry->written > 0);
        if (now->idempotent && batch->base_offset >= 0) CHECK_INT(batch->base_offset + index, entry->offset);
        if (entry->written) CHECK_INT(f->slot.batch->partition->index, entry->partition);
    } else {
        t->failed++;
        t->doubtful += batch->in_doubt;
        if (!batch->in_doubt) CHECK_INT(entry->written, 0);
    }
    pkf_batch_unref(f->slot.batch);
}

static void end_by(pkf_command_kind kind) {
    pkf_accum_close(r.accum);
    rig_command(&r, PKF_COMMAND_CLOSE, 0, 0, 0);
    if (kind == PKF_COMMAND_ABORT) rig_command(&r, PKF_COMMAND_ABORT, 0, 0, 0);
}

static void run(const plan *p) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    pthread_t threads[THREADS], sender, delivery;
    tally t = {0, 0, 0, 0};
    uint32_t total = (uint32_t)(THREADS * p->records);
    now = p;
    epoch = 0;
    accum.buffer_memory = 128 << 10;
    accum.batch_size = 600;
    accum.batch_max_size = 2500;
    accum.linger_ns = 1 * RIG_MS;
    accum.partitioner = p->partitioner;
    accum.delivery_timeout_ns = p->delivery_timeout_ms * RIG_MS;
    accum.codec = p->codec;
    accum.codec_level = p->level;
    wire.workers = p->workers;
    wire.acks = (int16_t)p->acks;
    wire.idempotent = p->idempotent;
    wire.patience_ns = 5 * RIG_MS;
    wire.max_in_flight = p->max_in_flight;
    wire.request_timeout_ns = p->request_timeout_ms * RIG_MS;
    rig_open(&r, &accum, &wire, CLUSTER_PARTITIONS);
    cluster_init(&brokers, total, THREADS, p->idempotent, seed);
    for (int i = 0; i < CLUSTER_PARTITIONS && p->wrap; i++) {
        rig_part(&r, i)->producer_id = 1000;
        rig_part(&r, i)->producer_epoch = 0;
        rig_part(&r, i)->next_sequence = INT32_MAX - 300;
    }
    brokers.ordered = p->idempotent || (p->max_in_flight == 1 && p->acks != 0);
    brokers.faults = p->faults;
    NEED((fates = calloc(total, sizeof *fates)));
    atomic_store(&appending, THREADS);
    NEED(pkf_wire_start(r.wire) == PKF_OK);
    NEED(pthread_create(&sender, NULL, send_all, NULL) == 0 && pthread_create(&delivery, NULL, deliver_all, NULL) == 0);
    for (int i = 0; i < THREADS; i++) NEED(pthread_create(&threads[i], NULL, append_all, (void *)(intptr_t)i) == 0);
    while (p->abort && atomic_load(&r.wire->counters.records_sent) < total / 2 && atomic_load(&appending))
        (void)poll(NULL, 0, 1);
    if (p->abort) end_by(PKF_COMMAND_ABORT);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    if (!p->abort) end_by(PKF_COMMAND_CLOSE);
    pthread_join(sender, NULL);
    rig_command(&r, PKF_COMMAND_STOP, 0, 0, 0);
    CHECK(pkf_wire_join(r.wire, PKF_NEVER) == PKF_OK);
    pkf_wire_free(r.wire); // closes the connections
    pkf_accum_close_delivery(r.accum);
    pthread_join(delivery, NULL);
    for (int i = 0; i < brokers.connection_count; i++) pthread_join(brokers.connections[i], NULL);
    for (uint32_t i = 0; i < total; i++) check_fate(i, &t);
    printf("%s: %d delivered, %d failed (%d in doubt), %d not sent; %d requests on %d connections, %d duplicates, %d "
           "out of order, %d moves, %d epochs, %d compressed\n",
           p->name, t.delivered, t.failed, t.doubtful, t.not_sent, (int)brokers.requests, brokers.connection_count,
           (int)brokers.duplicates, (int)brokers.out_of_order, (int)brokers.moved, epoch + 1, (int)brokers.compressed);
    CHECK((p->codec == PKF_NONE) == (brokers.compressed == 0));
    rig_check_empty(&r);
    pkf_accum_unref(r.accum);
    brokers.connection_count = 0;
    cluster_free(&brokers);
    free(fates);
}

static const plan PLANS[] = {
    {"clear sky", 1500, true, false, false, -1, 5, PKF_STICKY, 12, 30000, 30000, .faults = {.move = 0}},
    {"storm", 2500, true, false, true, -1, 5, PKF_ROUND_ROBIN, 12, 30000, 500,
     .faults = {.refuse = 50,
                .write_and_refuse = 50,
                .write_and_close = 30,
                .close = 30,
                .lie = 10,
                .throttle = 20,
                .move = 50,
                .forget = 300,
                .reject = 5,
                .largest_batch = 1500}},
    {"storm by ids, one in flight", 1500, true, false, true, -1, 1, PKF_RANDOM, 13, 30000, 500,
     .faults =
         {.refuse = 50, .write_and_refuse = 50, .write_and_close = 20, .close = 20, .move = 50, .largest_batch = 1500}},
    {"short of time", 1500, true, false, false, -1, 5, PKF_STICKY, 9, 10, 5,
     .faults = {.refuse = 100,
                .write_and_refuse = 100,
                .write_and_close = 20,
                .close = 20,
                .late = 150,
                .move = 20,
                .forget = 300,
                .silence = 300}},
    {"in order without sequences", 1500, false, false, false, 1, 1, PKF_ROUND_ROBIN, 8, 30000, 500,
     .faults =
         {.refuse = 50, .write_and_refuse = 50, .write_and_close = 20, .close = 20, .move = 50, .largest_batch = 1500}},
    {"without acknowledgements", 1500, false, false, false, 0, 5, PKF_STICKY, 12, 30000, 500, .faults = {.close = 20}},
    {"aborted", 2500, true, true, false, -1, 5, PKF_ROUND_ROBIN, 12, 30000, 500,
     .faults = {.refuse = 50,
                .write_and_refuse = 50,
                .write_and_close = 20,
                .close = 20,
                .move = 50,
                .forget = 300,
                .largest_batch = 1500}},
    {"compressed storm", 2500, true, false, true, -1, 5, PKF_ROUND_ROBIN, 12, 30000, 500,
     .faults = {.refuse = 50,
                .write_and_refuse = 50,
                .write_and_close = 30,
                .close = 30,
                .lie = 10,
                .throttle = 20,
                .move = 50,
                .forget = 300,
                .reject = 5,
                .largest_batch = 600},
     .codec = PKF_LZ4, .level = 0, .workers = 2},
    {"compressed, short of time", 1500, true, false, false, -1, 5, PKF_STICKY, 9, 10, 5,
     .faults = {.refuse = 100,
                .write_and_refuse = 100,
                .write_and_close = 20,
                .close = 20,
                .late = 150,
                .move = 20,
                .silence = 300},
     .codec = PKF_GZIP, .level = 9, .workers = 2},
    {"compressed, in order without sequences", 1500, false, false, false, 1, 1, PKF_ROUND_ROBIN, 8, 30000, 500,
     .faults =
         {.refuse = 50, .write_and_refuse = 50, .write_and_close = 20, .close = 20, .move = 50, .largest_batch = 600},
     .codec = PKF_ZSTD, .level = 3, .workers = 3},
    {"compressed, aborted", 2500, true, true, false, -1, 5, PKF_ROUND_ROBIN, 12, 30000, 500,
     .faults =
         {.refuse = 50, .write_and_refuse = 50, .write_and_close = 20, .close = 20, .move = 50, .largest_batch = 1500},
     .codec = PKF_SNAPPY, .level = 0, .workers = 2},
};

int main(void) {
    seed = harness_seed();
    for (size_t i = 0; i < sizeof PLANS / sizeof PLANS[0]; i++) run(&PLANS[i]);
    return FINISH();
}
