// SPDX-License-Identifier: Apache-2.0
//
// The wire's own thread: that it sleeps, is woken, and ends with nothing left.
#include "cluster.h"
#include "rig.h"

static rig r;
static cluster brokers;
static uint64_t seed;

enum { RECORDS = 1 << 16 };

static void start(int64_t linger_ms, size_t memory) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    accum.linger_ns = linger_ms * RIG_MS;
    accum.buffer_memory = memory;
    wire.patience_ns = 5 * RIG_MS;
    accum.batch_size = 1 << 20; // nothing leaves for its size
    accum.batch_max_size = 64 << 10;
    accum.max_cookies = UINT32_MAX;
    accum.partitioner = PKF_ROUND_ROBIN;
    rig_open(&r, &accum, &wire, CLUSTER_PARTITIONS);
    cluster_init(&brokers, RECORDS, 8, false, seed);
    for (int i = 0; i < CLUSTER_PARTITIONS; i++) brokers.logs[i].leader = 0;
    rig_lead(&r, 0, 1);
    cluster_accept(&brokers, 0, rig_connect(&r, 0, 12));
    NEED(pkf_wire_start(r.wire) == PKF_OK);
}

static void finish(void) {
    rig_stop_and_close(&r);
    cluster_free(&brokers);
}

static pkf_status append(int thread, int number, int32_t partition, pkf_slot *slot) {
    uint32_t value[8] = {(uint32_t)thread, (uint32_t)number, (uint32_t)(thread * (RECORDS / 8) + number)};
    for (size_t i = 12; i < sizeof value; i++) ((uint8_t *)value)[i] = (uint8_t)(value[2] + (uint32_t)i);
    pkf_append a = rig_record(&r, partition, NULL, slot);
    a.value = (pkf_span){(const uint8_t *)value, sizeof value};
    return rig_append_some(r.accum, &a, true);
}

static void wait_for(const pkf_slot *slot) {
    CHECK_INT(pkf_accum_wait_batch(r.accum, slot->batch, false, PEER_WAIT_MS * RIG_MS), PKF_OK);
}

// With nothing but wake-ups to rely on: linger is endless, so a lost one would be a time-out.
static void no_wake_up_is_lost(void) {
    pkf_slot slot;
    start(100000, 1 << 20);
    uint64_t random = seed;
    for (int i = 0; i < 3000; i++) {
        NEED(append(0, i, i % CLUSTER_PARTITIONS, &slot) == PKF_OK);
        for (uint64_t spin = harness_below(&random, 300); spin > 0; spin--) (void)harness_random(&random);
        pkf_accum_hurry(r.accum, slot.batch);
        wait_for(&slot);
        rig_forget(&slot);
    }
    finish();
}

static void a_flush_sends_everything(void) {
    enum { COUNT = 400 };
    static pkf_slot slots[COUNT];
    start(100000, 1 << 20);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < COUNT; i++) NEED(append(0, round * COUNT + i, -1, &slots[i]) == PKF_OK);
        CHECK(!rig_is_done(&slots[COUNT - 1]));
        pkf_accum_force(r.accum, 1);
        for (int i = 0; i < COUNT; i++) {
            wait_for(&slots[i]);
            rig_forget(&slots[i]);
        }
        pkf_accum_force(r.accum, -1);
    }
    finish();
}

// Whoever waits for memory makes everything leave, though nothing is due for a long time.
static void waiting_for_memory_sends_everything(void) {
    enum { COUNT = 3000 };
    static pkf_slot slots[COUNT];
    start(100000, 32 << 10); // two slabs for each partition would be 128 KiB
    for (int i = 0; i < COUNT; i++) NEED(append(0, i, i % CLUSTER_PARTITIONS, &slots[i]) == PKF_OK);
    pkf_accum_force(r.accum, 1);
    for (int i = 0; i < COUNT; i++) {
        wait_for(&slots[i]);
        CHECK_INT(slots[i].batch->code, 0);
        rig_forget(&slots[i]);
    }
    pkf_pool_stats stats;
    pkf_pool_get_stats(r.accum->pool, &stats);
    CHECK(stats.waits > 0);
    CHECK_INT(stats.exhausted, 0);
    finish();
}

static void lingering_ends_by_itself(void) {
    pkf_slot slot;
    start(20, 1 << 20);
    int64_t begin = pkf_monotonic_ns();
    NEED(append(0, 0, 3, &slot) == PKF_OK);
    wait_for(&slot);
    CHECK(pkf_monotonic_ns() - begin >= 20 * RIG_MS);
    rig_forget(&slot);
    finish();
}

static void an_idle_thread_sleeps(void) {
    pkf_slot slot;
    start(0, 1 << 20);
    NEED(append(0, 0, 0, &slot) == PKF_OK);
    wait_for(&slot);
    rig_forget(&slot);
    uint64_t rounds = atomic_load(&r.wire->counters.rounds);
    (void)poll(NULL, 0, 100);
    CHECK(atomic_load(&r.wire->counters.rounds) - rounds < 5);
    finish();
}

// A throttled broker's connection is closed for being idle while a record waits for it: a new one is asked for at once.
static void an_idle_connection_that_is_needed_is_asked_for(void) {
    static peer_request request;
    static peer_response out;
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    accum.linger_ns = 0;
    wire.idle_timeout_ns = 50 * RIG_MS;
    rig_open(&r, &accum, &wire, 1);
    rig_lead(&r, 0, 1);
    int peer = rig_connect(&r, 0, 12);
    NEED(pkf_wire_start(r.wire) == PKF_OK);
    pkf_slot slots[2] = {rig_append(&r, 0, "a")};
    NEED(peer_receive(peer, &request, PEER_WAIT_MS) == 1);
    peer_answer a = PEER_ANSWER;
    peer_build(&out, &request, &a, 60000);
    peer_send(peer, out.bytes, out.size);
    wait_for(&slots[0]);
    slots[1] = rig_append(&r, 0, "b");
    pkf_event *event = rig_event_within(&r, PKF_EVENT_NEED_CONNECTION, 5000);
    NEED(event);
    pkf_event_free(event);
    rig_forget(&slots[0]), rig_forget(&slots[1]);
    free(request.frame);
    close(peer);
    rig_stop_and_close(&r);
}

// ---- the end ----

typedef struct appender {
    int thread, count;
    pkf_slot slots[RECORDS / 8];
} appender;

static appender appenders[4];
static atomic_int begun;

static void *append_until_closed(void *argument) {
    appender *a = argument;
    pkf_status status = PKF_OK;
    atomic_fetch_add(&begun, 1);
    for (a->count = 0; a->count < RECORDS / 8 && status == PKF_OK; a->count += status == PKF_OK)
        status = append(a->thread, a->count, -1, &a->slots[a->count]);
    CHECK(status == PKF_OK || status == PKF_E_CLOSED);
    return NULL;
}

// DRAINED means that nothing is left, although threads were appending at the very moment of the close.
static void close_under_load_delivers_what_was_accepted(void) {
    uint64_t random = seed;
    for (int round = 0; round < 30; round++) {
        pthread_t threads[4];
        start(1, 256 << 10);
        atomic_store(&begun, 0);
        for (int i = 0; i < 4; i++) {
            appenders[i].thread = i;
            NEED(pthread_create(&threads[i], NULL, append_until_closed, &appenders[i]) == 0);
        }
        while (atomic_load(&begun) < 4) (void)poll(NULL, 0, 0);
        for (uint64_t spin = harness_below(&random, 20000); spin > 0; spin--) (void)harness_random(&random);
        pkf_accum_close(r.accum);
        rig_command(&r, PKF_COMMAND_CLOSE, 0, 0, 0);
        pkf_event *drained = rig_event_within(&r, PKF_EVENT_DRAINED, PEER_WAIT_MS);
        NEED(drained);
        pkf_event_free(drained);
        rig_command(&r, PKF_COMMAND_STOP, 0, 0, 0);
        CHECK(pkf_wire_join(r.wire, PKF_NEVER) == PKF_OK);
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
        for (int i = 0; i < 4; i++) {
            for (int n = 0; n < appenders[i].count; n++) {
                CHECK(rig_is_done(&appenders[i].slots[n]) && appenders[i].slots[n].batch->code == 0);
                rig_forget(&appenders[i].slots[n]);
            }
        }
        rig_close(&r);
        cluster_free(&brokers);
    }
}

// An append that found the accumulator open holds its partition's lock: the wire waits for it before it looks.
static void drained_waits_for_appends_under_way(void) {
    pkf_slot slot;
    start(0, 1 << 20);
    NEED(append(0, 0, 0, &slot) == PKF_OK);
    wait_for(&slot); // the wire has done all that was asked of it
    rig_forget(&slot);
    pkf_lock_take(&rig_part(&r, 5)->lock);
    pkf_accum_close(r.accum);
    rig_command(&r, PKF_COMMAND_CLOSE, 0, 0, 0);
    CHECK(rig_event_within(&r, PKF_EVENT_DRAINED, 50) == NULL);
    pkf_lock_let_go(&rig_part(&r, 5)->lock);
    pkf_event *drained = rig_event_within(&r, PKF_EVENT_DRAINED, PEER_WAIT_MS);
    NEED(drained);
    pkf_event_free(drained);
    finish();
}

static void closing_twice_is_answered_twice(void) {
    start(0, 1 << 20);
    pkf_accum_close(r.accum);
    for (int i = 0; i < 2; i++) {
        rig_command(&r, PKF_COMMAND_CLOSE, 0, 0, 0);
        pkf_event *drained = rig_event_within(&r, PKF_EVENT_DRAINED, PEER_WAIT_MS);
        NEED(drained);
        pkf_event_free(drained);
    }
    finish();
}

// Nothing was started, or nothing was stopped in good order: nobody is left waiting all the same.
static void a_wire_without_a_thread_can_be_freed(void) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    rig_open(&r, &accum, &wire, 2);
    pkf_slot slot = rig_append(&r, 1, "never sent");
    int peer = rig_connect(&r, 0, 12);
    pkf_wire_free(r.wire);
    CHECK(rig_is_done(&slot) && slot.batch->code == PKF_CODE_CLOSED_FORCEFULLY);
    uint8_t byte;
    CHECK_INT(peer_read(peer, &byte, 1, peer_now_ms() + 1000), -1); // nobody took the connection over: it was closed
    rig_forget(&slot);
    rig_check_empty(&r);
    pkf_accum_unref(r.accum);
    close(peer);
}

// ---- figures ----

static void counters_count(void) {
    enum { COUNT = 100 };
    pkf_slot slot;
    pkf_node_report report;
    pkf_wire_maxima maxima;
    start(0, 1 << 20);
    for (int i = 0; i < COUNT; i++) {
        NEED(append(0, i, 0, &slot) == PKF_OK);
        wait_for(&slot);
        rig_forget(&slot);
    }
    pkf_wire_counters *counters = &r.wire->counters;
    CHECK_INT(atomic_load(&counters->records_sent), COUNT);
    CHECK_INT(atomic_load(&counters->batches), COUNT);
    CHECK_INT(atomic_load(&counters->requests), COUNT);
    CHECK_INT(atomic_load(&r.topic->counters.records_sent), COUNT);
    CHECK_INT(pkf_wire_report_node(r.wire, 0, &report), PKF_OK);
    CHECK(report.id == 0 && report.requests == COUNT && report.latency_max_ns > 0 && report.request_size_max > 61);
    CHECK_INT(pkf_wire_report_node(r.wire, 0, &report), PKF_OK);
    CHECK_INT(report.latency_max_ns, 0); // taken
    CHECK_INT(pkf_wire_report_node(r.wire, 1, &report), PKF_E_INVALID);
    pkf_wire_take_maxima(r.wire, &maxima);
    CHECK(maxima.batch_size > 61 && maxima.request_size > maxima.batch_size);
    CHECK(maxima.request_latency_ns < (uint64_t)PEER_WAIT_MS * 1000000 &&
          maxima.queue_time_ns < (uint64_t)PEER_WAIT_MS * 1000000);
    pkf_wire_take_maxima(r.wire, &maxima);
    CHECK_INT(maxima.batch_size, 0);
    finish();
}

// Requests one at a time to a broker that takes its time; while a batch is open elsewhere, or not. What the wire made of it.
static pkf_spin wait_for_slow_answers(bool open_batch) {
    enum { COUNT = 8, SLOW_MS = 50 }; // longer than other work keeps the wire from its processor
    static peer_request request;
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    pkf_slot slot, open = {.batch = NULL};
    accum.linger_ns = (int64_t)PEER_WAIT_MS * 10 * RIG_MS;
    rig_open(&r, &accum, &wire, 2);
    rig_lead(&r, 0, 1);
    int peer = rig_connect(&r, 0, 12);
    NEED(pkf_wire_start(r.wire) == PKF_OK);
    if (open_batch) open = rig_append(&r, 1, "open");
    for (int i = 0; i < COUNT; i++) {
        slot = rig_append(&r, 0, "value");
        pkf_accum_hurry(r.accum, slot.batch);
        NEED(peer_receive(peer, &request, PEER_WAIT_MS) == 1);
        (void)poll(NULL, 0, SLOW_MS);
        peer_reply(peer, &request, 0, 0);
        wait_for(&slot);
        rig_forget(&slot);
    }
    rig_command(&r, PKF_COMMAND_ABORT, 0, 0, 0);
    rig_command(&r, PKF_COMMAND_STOP, 0, 0, 0);
    CHECK(pkf_wire_join(r.wire, PKF_NEVER) == PKF_OK);
    pkf_spin spin = r.wire->spin;
    if (open_batch) rig_forget(&open);
    rig_close(&r);
    free(request.frame);
    memset(&request, 0, sizeof request);
    close(peer);
    return spin;
}

static void nobody_spins_for_a_slow_broker_or_beside_a_batch_that_fills(void) {
    pkf_spin spin = wait_for_slow_answers(false);
    CHECK_INT(spin.credit, 0);
    CHECK(spin.pass >= 7); // of eight requests the first, the third and the seventh were spun for
    spin = wait_for_slow_answers(true);
    CHECK_INT(spin.pass, 0);
}

int main(void) {
    seed = harness_seed();
    no_wake_up_is_lost();
    a_flush_sends_everything();
    waiting_for_memory_sends_everything();
    lingering_ends_by_itself();
    an_idle_thread_sleeps();
    an_idle_connection_that_is_needed_is_asked_for();
    close_under_load_delivers_what_was_accepted();
    drained_waits_for_appends_under_way();
    closing_twice_is_answered_twice();
    a_wire_without_a_thread_can_be_freed();
    counters_count();
    nobody_spins_for_a_slow_broker_or_beside_a_batch_that_fills();
    return FINISH();
}
