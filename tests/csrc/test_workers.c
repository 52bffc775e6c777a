// SPDX-License-Identifier: Apache-2.0
// The threads that compress: whose turn it is, what memory they keep, how they begin and end.
#include "rig.h"

static rig r;
static peer_request request;

static void open_rig(pkf_codec codec, int32_t level, int32_t workers, size_t memory, int32_t partitions) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    accum.codec = codec;
    accum.codec_level = level;
    accum.linger_ns = 0;
    accum.buffer_memory = memory;
    wire.workers = workers;
    rig_open(&r, &accum, &wire, partitions);
    rig_lead(&r, 0, 1);
}

static const char *alike(size_t size) {
    static char value[128 << 10];
    NEED(size < sizeof value);
    memset(value, 'a', size);
    value[size] = 0;
    return value;
}

static void wait_until_done(pkf_slot *slot) {
    CHECK(pkf_accum_wait_batch(r.accum, slot->batch, false, (int64_t)PEER_WAIT_MS * RIG_MS) == PKF_OK);
    CHECK_INT(slot->batch->code, 0);
    rig_forget(slot);
}

static void serve_one(int peer) {
    NEED(peer_receive(peer, &request, PEER_WAIT_MS) == 1);
    CHECK_INT(request.batches[0].attributes, r.topic->codec);
    peer_reply(peer, &request, 0, 0);
}

static void *serve_all(void *peer) {
    while (peer_receive(*(int *)peer, &request, PEER_WAIT_MS) == 1) peer_reply(*(int *)peer, &request, 0, 0);
    return NULL;
}

// What a worker keeps for the next batch must not be what a record waits for that needs the whole pool.
static void idle_workers_keep_no_memory(void) {
    enum { MEMORY = 128 << 10, LARGE = 120 << 10 };
    open_rig(PKF_LZ4, 0, 1, MEMORY, 1);
    NEED(pkf_wire_start(r.wire) == PKF_OK);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot small = rig_append(&r, 0, alike(500)), large = {.batch = NULL};
    serve_one(peer);
    wait_until_done(&small);
    pkf_append append = rig_record(&r, 0, alike(LARGE), &large);
    CHECK_INT(rig_append_some(r.accum, &append, true), PKF_OK);
    if (large.batch) {
        serve_one(peer);
        wait_until_done(&large);
    }
    close(peer);
    rig_stop_and_close(&r);
}

static void wait_until_finished(void) {
    int64_t deadline = peer_now_ms() + PEER_WAIT_MS;
    while (!pkf_workers_finished(&r.wire->workers) && peer_now_ms() < deadline) (void)poll(NULL, 0, 1);
}

// A start that failed half way, for want of threads, is tried again by the next send.
static void workers_can_be_started_again(void) {
    open_rig(PKF_LZ4, 0, 0, 1 << 20, 1);
    CHECK_INT(pkf_workers_start(&r.wire->workers, PKF_WORKERS_MAX + 1), PKF_E_INVALID);
    CHECK_INT(pkf_workers_start(&r.wire->workers, 2), PKF_OK);
    pkf_workers_stop(&r.wire->workers);
    CHECK_INT(pkf_workers_start(&r.wire->workers, 2), PKF_OK);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot slot = rig_append(&r, 0, alike(500));
    int64_t deadline = peer_now_ms() + PEER_WAIT_MS;
    do {
        rig_step(&r);
    } while (peer_receive(peer, &request, 1) == 0 && peer_now_ms() < deadline);
    CHECK_INT(request.batches[0].attributes, PKF_LZ4);
    peer_reply(peer, &request, 0, 0);
    rig_step(&r);
    CHECK(rig_is_done(&slot));
    rig_forget(&slot);
    close(peer);
    rig_close(&r);
}

// A batch whose end was told is not worth the time of a codec.
static void what_has_expired_is_not_compressed(void) {
    open_rig(PKF_LZ4, 0, 0, 1 << 20, 1);
    r.wire->workers.count = 1; // none takes it yet
    pkf_slot slot = rig_batch(&r, 0, alike(500));
    rig_step(&r);
    CHECK_INT(slot.batch->packing, PKF_PACKING_UNDER_WAY);
    rig_advance(&r, 121000);
    rig_step(&r);
    CHECK(rig_is_done(&slot));
    r.wire->workers.count = 0;
    CHECK_INT(pkf_workers_start(&r.wire->workers, 1), PKF_OK);
    wait_until_finished();
    CHECK(pkf_workers_finished(&r.wire->workers));
    CHECK_INT(slot.batch->packed_size, 0);
    rig_step(&r);
    CHECK(slot.batch->slab == NULL);
    rig_forget(&slot);
    rig_close(&r);
}

static int finished_count(void) {
    int count = 0;
    for (pkf_batch *batch = atomic_load(&r.wire->workers.finished); batch; batch = batch->work_next) count++;
    return count;
}

// A partition with many full batches does not keep one batch of another waiting.
static void partitions_take_turns(void) {
    enum { MANY = 30, AHEAD = 16 };
    pkf_slot slots[MANY], last;
    open_rig(PKF_LZ4, 0, 0, 1 << 20, 2);
    r.wire->workers.count = 1; // none takes anything yet
    int peer = rig_connect(&r, 0, 12), after = 0;
    for (int i = 0; i < MANY; i++) slots[i] = rig_batch(&r, 0, alike(100));
    rig_step(&r);
    last = rig_batch(&r, 1, alike(100));
    rig_step(&r);
    r.wire->workers.count = 0;
    CHECK_INT(pkf_workers_start(&r.wire->workers, 1), PKF_OK);
    int64_t deadline = peer_now_ms() + PEER_WAIT_MS;
    while (finished_count() < AHEAD + 1 && peer_now_ms() < deadline) (void)poll(NULL, 0, 1);
    NEED(finished_count() == AHEAD + 1);
    for (pkf_batch *batch = atomic_load(&r.wire->workers.finished); batch != last.batch; batch = batch->work_next)
        after++;
    CHECK_INT(after, AHEAD - 1); // newest first: all of the other partition's but one
    rig_command(&r, PKF_COMMAND_ABORT, 0, 0, 0);
    rig_step(&r);
    for (int i = 0; i < MANY; i++) rig_forget(&slots[i]);
    rig_forget(&last);
    close(peer);
    rig_close(&r);
}

// ---- guests: who waits for memory compresses meanwhile ----

enum { GUEST_MEMORY = 64 << 10, GUEST_VALUE = 15 << 10, GUEST_BATCHES = GUEST_MEMORY / (16 << 10) };

// All memory is in batches that no worker takes: the guests are alone with them.
static void fill_memory_by(pkf_codec codec, int32_t level, pkf_slot *slots, uint32_t pace) {
    open_rig(codec, level, 0, GUEST_MEMORY, 1);
    NEED(pkf_workers_start(&r.wire->workers, 1) == PKF_OK);
    pkf_workers_stop(&r.wire->workers);
    r.wire->workers.count = 1;
    r.wire->workers.stopping = false;
    NEED((r.wire->workers.guest.codecs = pkf_codec_state_new()) != NULL);
    atomic_store(&r.accum->workers, &r.wire->workers);
    atomic_store(&r.topic->packing_pace, pace);
    for (int i = 0; i < GUEST_BATCHES; i++) slots[i] = rig_batch(&r, 0, alike(GUEST_VALUE));
    rig_step(&r);
}

static void fill_memory(pkf_slot *slots, uint32_t pace) { fill_memory_by(PKF_LZ4, 0, slots, pace); }

static void end_guests(pkf_slot *slots, int waiting) {
    CHECK_INT(r.wire->workers.waiting, waiting);
    r.wire->workers.count = 0;
    pkf_workers_stop(&r.wire->workers);
    rig_command(&r, PKF_COMMAND_ABORT, 0, 0, 0);
    rig_step(&r);
    for (int i = 0; i < GUEST_BATCHES; i++) rig_forget(&slots[i]);
    rig_close(&r);
}

static pkf_status wait_as_guest(int64_t slice_ns) {
    pkf_waiter waiter;
    NEED(pkf_pool_wait_begin(r.accum->pool, &waiter, 16 << 10) == PKF_OK);
    pkf_status status = pkf_workers_pool_wait(r.accum, &waiter, (uint64_t)slice_ns);
    pkf_pool_wait_cancel(r.accum->pool, &waiter);
    return status;
}

static void who_waits_for_memory_compresses(void) {
    pkf_slot slots[GUEST_BATCHES];
    fill_memory(slots, 1);
    CHECK_INT(wait_as_guest(50 * RIG_MS), PKF_E_TIMEOUT); // nobody sends them
    CHECK_INT(finished_count(), GUEST_BATCHES);
    for (int i = 0; i < GUEST_BATCHES; i++) CHECK(slots[i].batch->packed_size > 0);
    end_guests(slots, 0);
}

// Signals and deadlines are served between two batches only: what takes too long is left to a worker, and so is what
// nobody knows the price of.
static void guests_take_what_is_quick(void) {
    const struct {
        uint32_t pace;
        int64_t slice_ms;
    } none[] = {{0, 50}, {2 * RIG_MS, 50}, {RIG_MS / 2, 5}, {UINT32_MAX, 50}};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        pkf_slot slots[GUEST_BATCHES];
        fill_memory(slots, none[i].pace);
        CHECK_INT(wait_as_guest(none[i].slice_ms * RIG_MS), PKF_E_TIMEOUT);
        CHECK_INT(finished_count(), 0);
        end_guests(slots, GUEST_BATCHES);
    }
}

// What high levels take depends on the content: no experience tells what the next batch will.
static void guests_leave_high_levels_alone(void) {
    const struct {
        pkf_codec codec;
        int32_t level;
        int taken;
    } cases[] = {{PKF_ZSTD, 3, GUEST_BATCHES},
                 {PKF_GZIP, -1, GUEST_BATCHES},
                 {PKF_GZIP, 6, GUEST_BATCHES},
                 {PKF_LZ4, 6, GUEST_BATCHES},
                 {PKF_SNAPPY, 0, GUEST_BATCHES},
                 {PKF_ZSTD, 10, 0},
                 {PKF_GZIP, 7, 0},
                 {PKF_LZ4, 7, 0},
                 {PKF_LZ4, 12, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pkf_slot slots[GUEST_BATCHES];
        fill_memory_by(cases[i].codec, cases[i].level, slots, 1);
        CHECK_INT(wait_as_guest(50 * RIG_MS), PKF_E_TIMEOUT);
        CHECK_INT(finished_count(), cases[i].taken);
        end_guests(slots, GUEST_BATCHES - cases[i].taken);
    }
}

// Easy batches do not make a hard one cheap: the slowest is remembered for a while.
static void guests_remember_what_was_slow(void) {
    const uint32_t slow = RIG_MS;
    pkf_slot slots[GUEST_BATCHES];
    fill_memory(slots, slow);
    CHECK_INT(wait_as_guest(50 * RIG_MS), PKF_E_TIMEOUT); // at that pace a batch takes 17 ms
    CHECK_INT(finished_count(), GUEST_BATCHES);
    CHECK(atomic_load(&r.topic->packing_pace) > slow / 10 * 9);
    CHECK(atomic_load(&r.topic->packing_pace) < slow); // but not for ever
    end_guests(slots, 0);
}

// Another thread waits at the same time, and the workers end: both find that there is nothing to do for them.
static void one_guest_at_a_time(void) {
    pkf_slot slots[GUEST_BATCHES];
    fill_memory(slots, 1);
    pthread_mutex_lock(&r.accum->guest_lock);
    CHECK_INT(wait_as_guest(RIG_MS), PKF_E_TIMEOUT);
    CHECK_INT(finished_count(), 0);
    pthread_mutex_unlock(&r.accum->guest_lock);
    r.wire->workers.count = 0;
    pkf_workers_stop(&r.wire->workers);
    int finished = finished_count();
    CHECK_INT(wait_as_guest(RIG_MS), PKF_E_TIMEOUT);
    CHECK_INT(finished_count(), finished);
    end_guests(slots, 0);
}

// What a guest compressed into is not what a record waits for that needs the whole pool.
static void guests_leave_no_memory_behind(void) {
    enum { MEMORY = 512 << 10, VALUE = 15 << 10, LARGE = 500 << 10, COUNT = 100 };
    static char large[LARGE + 1];
    open_rig(PKF_LZ4, 0, 1, MEMORY, 1);
    NEED(pkf_wire_start(r.wire) == PKF_OK);
    int peer = rig_connect(&r, 0, 12);
    pthread_t server;
    NEED(pthread_create(&server, NULL, serve_all, &peer) == 0);
    atomic_store(&r.topic->packing_pace, 1);
    for (int i = 0; i < COUNT; i++) {
        pkf_slot slot;
        pkf_append append = rig_record(&r, 0, alike(VALUE), &slot);
        NEED(rig_append_some(r.accum, &append, true) == PKF_OK);
        rig_forget(&slot);
    }
    memset(large, 'a', LARGE);
    pkf_slot last = {.batch = NULL};
    pkf_append append = rig_record(&r, 0, large, &last);
    CHECK_INT(rig_append_some(r.accum, &append, true), PKF_OK);
    if (last.batch) wait_until_done(&last);
    shutdown(peer, SHUT_RDWR);
    pthread_join(server, NULL);
    close(peer);
    rig_stop_and_close(&r);
}

// Each record finds wire and workers asleep, or about to be: a wake-up that is lost would cost it the deadline.
static void one_record_at_a_time(int32_t workers) {
    enum { COUNT = 2000 };
    open_rig(PKF_SNAPPY, 0, workers, 1 << 20, 1);
    NEED(pkf_wire_start(r.wire) == PKF_OK);
    int peer = rig_connect(&r, 0, 12);
    for (int i = 0; i < COUNT; i++) {
        pkf_slot slot = rig_append(&r, 0, alike(300));
        serve_one(peer);
        wait_until_done(&slot);
    }
    close(peer);
    rig_stop_and_close(&r);
}

int main(void) {
    idle_workers_keep_no_memory();
    workers_can_be_started_again();
    what_has_expired_is_not_compressed();
    partitions_take_turns();
    who_waits_for_memory_compresses();
    guests_take_what_is_quick();
    guests_leave_high_levels_alone();
    guests_remember_what_was_slow();
    one_guest_at_a_time();
    guests_leave_no_memory_behind();
    one_record_at_a_time(1);
    one_record_at_a_time(PKF_WORKERS_MAX);
    free(request.frame);
    return FINISH();
}
