// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static rig r;
static pkf_accum_config config;

static void open_with(int32_t partitions) {
    pkf_wire_config wire = RIG_WIRE;
    rig_open(&r, &config, &wire, partitions);
}

static void open_rig(int32_t partitions) {
    config = (pkf_accum_config)RIG_ACCUM;
    open_with(partitions);
}

static pkf_status append_raw(pkf_append *append) {
    pkf_status status = pkf_accum_append(r.accum, append);
    if (append->slab) pkf_pool_release(r.accum->pool, append->slab);
    append->slab = NULL;
    return status;
}

// ---- one record ----

static void a_record_lies_in_the_batch_as_it_was_given(void) {
    open_rig(3);
    pkf_slot slot;
    pkf_header headers[3] = {
        {rig_span("a"), rig_span("1")}, {rig_span("bb"), rig_span(NULL)}, {rig_span(""), rig_span("333")}};
    pkf_append append = rig_record(&r, 2, "the value", &slot);
    append.key = rig_span("the key");
    append.headers = headers;
    append.header_count = 3;
    append.timestamp = 1234567890123;
    CHECK_INT(rig_append_some(r.accum, &append, false), PKF_OK);
    CHECK(slot.index == 0 && slot.timestamp == 1234567890123 && slot.key_size == 7 && slot.value_size == 9);
    CHECK_INT(slot.header_size, 1 + 1 + 2 + 0 + 3);
    CHECK(slot.batch->partition == rig_part(&r, 2));
    rig_forget(&slot);
    append = rig_record(&r, 2, NULL, &slot);
    append.key = rig_span("");
    append.timestamp = 1234567890000;
    CHECK_INT(rig_append_some(r.accum, &append, false), PKF_OK);
    CHECK(slot.index == 1 && slot.key_size == 0 && slot.value_size == -1 && slot.header_size == -1);
    pkf_batch *batch = slot.batch;
    peer_batch seen = {.bytes = batch->slab->base, .size = batch->used};
    peer_record record;
    pkf_batch_seal(batch, -1, -1, -1, 0, pkf_crc32c_select(NULL));
    peer_open_batch(&seen);
    NEED(peer_next_record(&seen, &record));
    CHECK(record.timestamp == 1234567890123 && record.key_size == 7 && memcmp(record.key, "the key", 7) == 0);
    CHECK(record.value_size == 9 && memcmp(record.value, "the value", 9) == 0);
    CHECK(record.header_count == 3 && memcmp(record.headers,
                                             "\x02"
                                             "a\x02"
                                             "1\x04"
                                             "bb\x01\x00\x06"
                                             "333",
                                             13) == 0);
    NEED(peer_next_record(&seen, &record));
    CHECK(record.timestamp == 1234567890000 && record.key_size == 0 && record.value_size == -1 &&
          record.header_count == 0);
    CHECK_INT(seen.max_timestamp, 1234567890123);
    rig_forget(&slot);
    rig_close(&r);
}

static void what_cannot_be_appended_changes_nothing(void) {
    static uint8_t large[2 << 20];
    config = (pkf_accum_config)RIG_ACCUM;
    config.max_cookies = 2;
    config.max_request_size = 100000;
    config.buffer_memory = 96 << 10;
    open_with(2);
    pkf_slot slot = {.batch = NULL, .index = 77};
    pkf_append append = rig_record(&r, 2, "v", &slot);
    CHECK_INT(append_raw(&append), PKF_NEED_METADATA); // beyond the known partitions
    append = rig_record(&r, 0, NULL, &slot);
    append.value = (pkf_span){large, 100000};
    CHECK_INT(append_raw(&append), PKF_E_TOO_LARGE); // for a request
    append.value.len = 98300;
    CHECK_INT(append_raw(&append), PKF_E_TOO_LARGE); // for the pool
    append.value.len = 70000;
    CHECK_INT(append_raw(&append), PKF_NEED_SLAB); // though its class would have 128 KiB
    CHECK(append.need > 70000);
    CHECK(slot.batch == NULL && slot.index == 77);
    pkf_lock_take(&rig_part(&r, 0)->lock);
    append = rig_record(&r, 0, "v", &slot);
    append.wait_lock = false;
    CHECK_INT(append_raw(&append), PKF_E_BUSY);
    pkf_lock_let_go(&rig_part(&r, 0)->lock);
    pkf_topic_forget(r.topic);
    CHECK_INT(append_raw(&append), PKF_NEED_METADATA);
    int32_t leaders[2] = {0, 0};
    NEED(pkf_topic_set_route(r.topic, 2, leaders) == PKF_OK);
    pkf_slot kept[2];
    for (int i = 0; i < 2; i++) {
        append = rig_record(&r, 0, "v", &kept[i]);
        append.callback = &slot;
        CHECK_INT(rig_append_some(r.accum, &append, false), PKF_OK);
        CHECK_INT(kept[i].batch->cookies[i].index, i);
    }
    append.slot = &slot;
    CHECK_INT(append_raw(&append), PKF_NEED_BUDGET);
    append.callback = NULL;
    CHECK_INT(rig_append_some(r.accum, &append, false), PKF_OK); // a record without a callback needs none
    CHECK_INT(kept[0].batch->cookie_count, 2);
    kept[0].batch->cookie_count = 0;
    CHECK_INT(pkf_batch_state(slot.batch), PKF_WANTED);
    atomic_fetch_and(&slot.batch->state, ~(uint32_t)PKF_WANTED);
    rig_forget(&kept[0]), rig_forget(&kept[1]), rig_forget(&slot);
    pkf_accum_close(r.accum);
    append = rig_record(&r, 1, "v", &slot);
    CHECK_INT(append_raw(&append), PKF_E_CLOSED);
    rig_close(&r);
}

// Counted in lots while the batch is open and the budget half empty, to the last one else.
static void callbacks_are_counted_against_the_budget(void) {
    pkf_slot slot;
    config = (pkf_accum_config)RIG_ACCUM;
    config.max_cookies = 1000;
    open_with(1);
    for (uint32_t i = 1; i <= 1000; i++) {
        pkf_append append = rig_record(&r, 0, "v", &slot);
        append.callback = &slot;
        CHECK_INT(rig_append_some(r.accum, &append, false), PKF_OK);
        uint32_t counted = atomic_load(&r.accum->cookies);
        CHECK(counted >= i && counted <= 2 * i && counted <= i + 64);
        CHECK(i < 500 + 64 || counted == i);
        if (i < 1000) rig_forget(&slot);
    }
    pkf_partition *partition = rig_part(&r, 0);
    pkf_lock_take(&partition->lock);
    pkf_partition_close_tail_locked(partition);
    pkf_lock_let_go(&partition->lock);
    CHECK_INT(atomic_load(&r.accum->cookies), 1000);
    slot.batch->cookie_count = 0;
    atomic_fetch_and(&slot.batch->state, ~(uint32_t)PKF_WANTED);
    rig_forget(&slot);
    rig_close(&r);
}

// ---- growth ----

static void fill_up_to(size_t used) {
    char value[100];
    memset(value, 'x', sizeof value);
    value[99] = 0;
    pkf_partition *partition = rig_part(&r, 0);
    while (partition->tail == NULL || partition->tail->used + 110 < used) {
        pkf_slot slot = rig_append(&r, 0, value);
        rig_forget(&slot);
    }
}

static void a_batch_grows_up_to_its_limit(void) {
    open_rig(1);
    pkf_partition *partition = rig_part(&r, 0);
    for (size_t size = 4096; size <= 65536; size *= 2) {
        fill_up_to(size);
        CHECK_INT(partition->tail->slab->size, size);
        CHECK(partition->head == partition->tail);
    }
    pkf_batch *full = partition->tail;
    pkf_slot slot = rig_append(&r, 0, HUNDRED);
    if (slot.batch == full) {
        rig_forget(&slot);
        slot = rig_append(&r, 0, HUNDRED);
    }
    CHECK(slot.batch != full && full->closed && full->queue_next == slot.batch);
    CHECK(full->used <= 65536 && full->used > 65000);
    peer_batch seen = {.bytes = full->slab->base, .size = full->used};
    peer_record record;
    int count = 0;
    pkf_batch_seal(full, -1, -1, -1, 0, pkf_crc32c_select(NULL));
    for (peer_open_batch(&seen); peer_next_record(&seen, &record); count++)
        CHECK(record.value_size >= 99 && record.index == count);
    CHECK_INT(count, full->count);
    CHECK_INT(slot.batch->slab->size, 65536); // the next one will need as much
    rig_forget(&slot);
    rig_close(&r);
}

static void a_lower_ceiling_counts_from_then_on(void) {
    open_rig(1);
    fill_up_to(16384);
    pkf_topic_set_ceiling(r.topic, 5000);
    pkf_batch *large = rig_part(&r, 0)->tail;
    pkf_slot slot = rig_append(&r, 0, "v");
    CHECK(slot.batch != large && large->closed);
    rig_forget(&slot);
    pkf_batch *small = rig_part(&r, 0)->tail;
    CHECK_INT(small->slab->size, 8192);
    for (int i = 0; i < 200; i++) {
        slot = rig_append(&r, 0, HUNDRED);
        rig_forget(&slot);
    }
    CHECK(small->closed && small->used <= 5000);
    pkf_topic_set_ceiling(r.topic, UINT32_MAX);
    CHECK_INT(atomic_load(&r.topic->batch_ceiling), config.batch_max_size);
    rig_close(&r);
}

// No memory to grow: the batch is closed as it is, and the next one is asked for at twice the size.
static void without_memory_a_batch_closes_and_the_next_asks_for_more(void) {
    config = (pkf_accum_config)RIG_ACCUM;
    config.buffer_memory = 16 << 10;
    open_with(1);
    fill_up_to(4096);
    pkf_slab *rest = NULL;
    NEED(pkf_pool_try(r.accum->pool, 8192, &rest) == PKF_OK);
    pkf_slot slot;
    pkf_append append = rig_record(&r, 0, NULL, &slot);
    append.value = (pkf_span){(const uint8_t *)"", 0};
    pkf_status status = PKF_OK;
    for (int i = 0; i < 100 && status == PKF_OK; i++) {
        append.may_grow = false;
        status = append_raw(&append);
        if (status == PKF_OK) rig_forget(&slot);
    }
    CHECK_INT(status, PKF_NEED_SLAB);
    CHECK(rig_part(&r, 0)->tail->closed && append.wake == false);
    CHECK(append.need == 4096 || append.need == 8192);
    CHECK(atomic_load(&r.accum->touched) == rig_part(&r, 0)); // the wire will look: it can leave now
    pkf_pool_release(r.accum->pool, rest);
    CHECK_INT(rig_append_some(r.accum, &append, false), PKF_OK);
    rig_forget(&slot);
    rig_close(&r);
}

// Limits above the whole memory: what can never be had is not asked for.
static void limits_above_the_memory_do_no_harm(void) {
    config = (pkf_accum_config)RIG_ACCUM;
    config.buffer_memory = 50000;
    config.batch_size = 64 << 10;
    config.batch_max_size = 512 << 10;
    open_with(1);
    char value[1000];
    memset(value, 'x', sizeof value);
    value[999] = 0;
    for (int i = 0; i < 60; i++) {
        pkf_slot slot = {.batch = NULL};
        pkf_append append = rig_record(&r, 0, value, &slot);
        pkf_status status = rig_append_some(r.accum, &append, false);
        CHECK(status == PKF_OK || status == PKF_E_EXHAUSTED);
        if (status == PKF_OK) rig_forget(&slot);
    }
    CHECK_INT(rig_part(&r, 0)->head->slab->size, 32768); // 65536 there will never be
    rig_close(&r);
}

static void a_record_larger_than_a_batch_travels_alone(void) {
    static char value[200001];
    config = (pkf_accum_config)RIG_ACCUM;
    config.batch_max_size = 8 << 10;
    open_with(1);
    memset(value, 'x', sizeof value - 1);
    pkf_slot small = rig_append(&r, 0, "v"), large = rig_append(&r, 0, value), next = rig_append(&r, 0, "v");
    CHECK(small.batch != large.batch && large.batch != next.batch);
    CHECK(large.batch->closed && large.batch->count == 1 && large.batch->used > 200000);
    CHECK_INT(next.batch->slab->size, 8 << 10); // it does not make the next ones large
    rig_forget(&small), rig_forget(&large), rig_forget(&next);
    rig_close(&r);
}

// ---- what the wire has to look at ----

static void touching_wakes_only_who_sleeps(void) {
    open_rig(4);
    CHECK(!pkf_accum_touch(r.accum, rig_part(&r, 2)));
    CHECK(!pkf_accum_touch(r.accum, rig_part(&r, 1)));
    CHECK(!pkf_accum_touch(r.accum, rig_part(&r, 2)));
    atomic_store(&r.accum->idle, 1);
    CHECK(pkf_accum_touch(r.accum, rig_part(&r, 3)));
    pkf_partition *p = pkf_accum_take_touched(r.accum);
    CHECK(p == rig_part(&r, 2) && p->touched_next == rig_part(&r, 1) &&
          p->touched_next->touched_next == rig_part(&r, 3));
    CHECK(p->touched_next->touched_next->touched_next == NULL && pkf_accum_take_touched(r.accum) == NULL);
    struct pollfd fd = {r.accum->wakeup.read_fd, POLLIN, 0};
    CHECK_INT(poll(&fd, 1, 0), 0);
    pkf_accum_wake(r.accum);
    CHECK_INT(poll(&fd, 1, 0), 1);
    CHECK_INT(atomic_load(&r.accum->idle), 0);
    for (int i = 0; i < 4; i++) atomic_store(&rig_part(&r, i)->touched, 0);
    rig_close(&r);
}

static bool touched(void) {
    pkf_partition *list = pkf_accum_take_touched(r.accum);
    for (pkf_partition *p = list; p; p = p->touched_next) atomic_store(&p->touched, 0);
    return list != NULL;
}

static void the_wire_is_told_of_new_and_sendable_batches_only(void) {
    char value[1000];
    memset(value, 'x', sizeof value);
    value[999] = 0;
    open_rig(1);
    for (int i = 0; i < 6; i++) {
        pkf_slot slot = rig_append(&r, 0, value);
        rig_forget(&slot);
        CHECK_INT(touched(), i == 0 || i == 3); // new; batch_size is reached
    }
    pkf_slot slot = rig_append(&r, 0, "v");
    CHECK(!touched());
    pkf_accum_hurry(r.accum, slot.batch);
    CHECK(touched());
    pkf_accum_hurry(r.accum, slot.batch);
    CHECK(!touched()); // once is enough
    rig_forget(&slot);
    rig_close(&r);
}

static void live_lists_what_is_not_done_oldest_first(void) {
    size_t count = 99;
    open_rig(3);
    CHECK(pkf_accum_live(r.accum, &count) == NULL && count == 0);
    pkf_slot slots[3];
    for (int i = 0; i < 3; i++) slots[i] = rig_append(&r, 2 - i, "v");
    pkf_batch **live = pkf_accum_live(r.accum, &count);
    NEED(live && count == 3);
    for (int i = 0; i < 3; i++) {
        CHECK(live[i] == slots[i].batch);
        pkf_batch_unref(live[i]);
        rig_forget(&slots[i]);
    }
    free(live);
    rig_close(&r);
}

int main(void) {
    a_record_lies_in_the_batch_as_it_was_given();
    what_cannot_be_appended_changes_nothing();
    callbacks_are_counted_against_the_budget();
    a_batch_grows_up_to_its_limit();
    a_lower_ceiling_counts_from_then_on();
    without_memory_a_batch_closes_and_the_next_asks_for_more();
    limits_above_the_memory_do_no_harm();
    a_record_larger_than_a_batch_travels_alone();
    touching_wakes_only_who_sleeps();
    the_wire_is_told_of_new_and_sendable_batches_only();
    live_lists_what_is_not_done_oldest_first();
    return FINISH();
}
