// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

static rig r;

static void open_rig(void) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    rig_open(&r, &accum, &wire, 1);
}

static pkf_batch *new_batch(void) {
    pkf_batch *batch = pkf_batch_new(r.accum, rig_part(&r, 0), NULL, 12345);
    NEED(batch);
    return batch;
}

static void a_batch_keeps_its_accumulator(void) {
    open_rig();
    pkf_batch *batch = new_batch();
    CHECK_INT(batch->base_offset, -1);
    CHECK_INT(batch->sequence, -1);
    CHECK_INT(batch->used, PKF_BATCH_HEADER);
    pkf_accum *accum = r.accum;
    pkf_wire_free(r.wire);
    CHECK_INT(atomic_load(&accum->refs), 2);
    pkf_accum_unref(accum);
    CHECK_INT(pkf_batch_state(batch), 0); // the future outlives the producer
    CHECK_INT(atomic_load(&batch->accum->refs), 1);
    pkf_batch_ref(batch);
    pkf_batch_unref(batch);
    pkf_batch_unref(batch);
}

static void a_send_that_appended_nothing_has_a_batch(void) {
    const char *message;
    pkf_batch *batch = pkf_batch_new_failed("topics!", 5, 7, -1001, "too late", true);
    NEED(batch);
    CHECK(strcmp(batch->topic, "topic") == 0 && batch->partition_index == 7 && batch->in_doubt);
    CHECK_INT(pkf_batch_state(batch), PKF_DONE | PKF_DELIVERED);
    CHECK_INT(pkf_batch_record_code(batch, 0, &message), -1001);
    CHECK(strcmp(message, "too late") == 0);
    CHECK_INT(pkf_accum_listen(NULL, batch, NULL), PKF_E_CLOSED);
    pkf_batch_unref(batch);
    batch = pkf_batch_new_failed("t", 1, 0, 0, NULL, false);
    pkf_batch_set_offset(batch, 99);
    CHECK_INT(batch->base_offset, 99);
    CHECK_INT(pkf_batch_record_code(batch, 0, &message), 0);
    CHECK(message == NULL);
    pkf_batch_unref(batch);
}

static void cookies_have_room_before_they_come(void) {
    open_rig();
    pkf_batch *batch = new_batch();
    for (int32_t i = 0; i < 1000; i++) {
        NEED(pkf_batch_reserve_cookie(batch) == PKF_OK);
        CHECK(batch->cookie_capacity > batch->cookie_count);
        batch->cookies[batch->cookie_count++] = (pkf_cookie){.callback = &r, .index = i};
    }
    for (int32_t i = 0; i < 1000; i++) CHECK(batch->cookies[i].index == i && batch->cookies[i].callback == &r);
    batch->cookie_count = 0;
    pkf_batch_unref(batch);
    rig_close(&r);
}

static uint32_t load(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

// The header by its table, and all of it by the tests' own parser.
static void the_seal_is_the_header_of_the_table(void) {
    open_rig();
    pkf_slot slots[3];
    for (int i = 0; i < 3; i++) slots[i] = rig_append(&r, 0, "value");
    pkf_batch *batch = slots[0].batch;
    const uint8_t *b = batch->slab->base;
    memset(batch->slab->base, 0xaa, PKF_BATCH_HEADER);
    batch->max_timestamp += 5;
    pkf_batch_seal(batch, 0x0102030405060708, 0x1122, 0x01020304, 0, pkf_crc32c_select(NULL));
    CHECK_INT(load(b), 0);
    CHECK_INT(load(b + 4), 0);
    CHECK_INT(load(b + 8), batch->used - 12);
    CHECK_INT(load(b + 12), UINT32_MAX);
    CHECK_INT(b[16], 2);
    CHECK_INT(load(b + 17), peer_crc32c(b + 21, batch->used - 21));
    CHECK_INT(load(b + 20) & 0xffffff, 0); // the attributes behind the last byte of the CRC
    CHECK_INT(load(b + 23), 2);
    CHECK_INT(load(b + 45) == 0x03040506, 1);
    CHECK_INT(load(b + 51) >> 16, 0x1122);
    CHECK_INT(load(b + 53), 0x01020304);
    CHECK_INT(load(b + 57), 3);
    peer_batch seen = {.bytes = b, .size = batch->used};
    peer_record record;
    peer_open_batch(&seen);
    for (int i = 0; i < 3; i++) {
        NEED(peer_next_record(&seen, &record));
        CHECK(record.index == i && record.value_size == 5 && memcmp(record.value, "value", 5) == 0);
    }
    CHECK_INT(seen.base_timestamp, 1700000000000);
    CHECK_INT(seen.max_timestamp, 1700000000005);
    CHECK_INT(seen.attributes, 0);
    pkf_batch_seal(batch, 1, 2, 3, 1, pkf_crc32c_select(NULL));
    peer_open_batch(&seen);
    CHECK_INT(seen.attributes, 0x10); // transactional
    for (int i = 0; i < 3; i++) rig_forget(&slots[i]);
    rig_close(&r);
}

static uint32_t append_bytes(const uint8_t *bytes, size_t size) {
    pkf_slot slot;
    pkf_append append = rig_record(&r, 0, NULL, &slot);
    append.value = (pkf_span){bytes, size};
    CHECK_INT(rig_append_some(r.accum, &append, false), PKF_OK);
    uint32_t summed = slot.batch->crc_end;
    rig_forget(&slot);
    return summed;
}

static void check_crc_of_tail(void) {
    pkf_batch *batch = rig_part(&r, 0)->tail;
    pkf_batch_seal(batch, 1, 2, 3, 0, pkf_crc32c_select(NULL));
    CHECK_INT(load(batch->base + 17), peer_crc32c(batch->base + 21, batch->used - 21));
}

// In whatever order large and small records come, and wherever their bytes have moved to since.
static void what_was_summed_at_the_append_is_not_summed_again(void) {
    static uint8_t bytes[20000];
    uint64_t seed = harness_seed();
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)harness_random(&seed);
    open_rig();
    for (int i = 0; i < 3; i++) {
        uint32_t summed = append_bytes(bytes + i, 9000);
        CHECK(summed == rig_part(&r, 0)->tail->used || r.accum->crc32c == NULL);
        check_crc_of_tail();
    }
    uint32_t summed = append_bytes(bytes, 10);
    CHECK(summed < rig_part(&r, 0)->tail->used);
    CHECK(append_bytes(bytes, 1000) == rig_part(&r, 0)->tail->used || r.accum->crc32c == NULL); // and the small one
    check_crc_of_tail();
    summed = rig_part(&r, 0)->tail->crc_end;
    for (int i = 0; i < 200; i++) append_bytes(bytes, 50);
    CHECK_INT(append_bytes(bytes, 1000), summed); // too many small ones in front of it
    check_crc_of_tail();
    rig_part(&r, 0)->tail->base[PKF_BATCH_HEADER + 100] ^= 1; // what is summed is not looked at again
    pkf_batch_seal(rig_part(&r, 0)->tail, 1, 2, 3, 0, pkf_crc32c_select(NULL));
    uint32_t whole = peer_crc32c(rig_part(&r, 0)->tail->base + 21, rig_part(&r, 0)->tail->used - 21);
    CHECK(load(rig_part(&r, 0)->tail->base + 17) != whole || r.accum->crc32c == NULL);
    rig_close(&r);
    for (int round = 0; round < 50; round++) {
        open_rig();
        for (uint64_t i = harness_below(&seed, 12); i < 12; i++) {
            append_bytes(bytes, harness_below(&seed, harness_below(&seed, 2) ? 100 : 4000));
            if (harness_below(&seed, 4) == 0) check_crc_of_tail();
        }
        check_crc_of_tail();
        rig_close(&r);
    }
}

static void guilty_records_have_a_code_of_their_own(void) {
    open_rig();
    pkf_batch *batch = new_batch();
    const char *message;
    batch->count = 10;
    NEED((batch->record_errors = calloc(2, sizeof *batch->record_errors)));
    batch->record_error_count = 2;
    batch->record_errors[0] = (pkf_record_error){3, strdup("bad key")};
    batch->record_errors[1] = (pkf_record_error){7, NULL};
    CHECK(!pkf_batch_publish(batch, 87, "refused", false));
    CHECK_INT(pkf_batch_record_code(batch, 3, &message), 87);
    CHECK(strcmp(message, "bad key") == 0);
    CHECK_INT(pkf_batch_record_code(batch, 7, &message), 87);
    CHECK(strcmp(message, "refused") == 0);
    CHECK_INT(pkf_batch_record_code(batch, 4, &message), PKF_CODE_BATCH_REJECTED);
    CHECK(strcmp(message, "refused") == 0);
    pkf_batch_unref(batch);
    rig_close(&r);
}

static void make_forks(pkf_batch *batch, const int32_t *firsts, int32_t count) {
    NEED((batch->forks = calloc((size_t)count, sizeof *batch->forks)));
    for (int32_t i = 0; i < count; i++) batch->forks[i] = (pkf_fork){firsts[i], new_batch()};
    batch->fork_count = count;
}

static void a_record_is_found_after_splits_of_splits(void) {
    open_rig();
    pkf_batch *batch = new_batch();
    int32_t outer[] = {0, 10, 25}, inner[] = {0, 1, 9}, index = 22;
    make_forks(batch, outer, 3);
    CHECK(pkf_batch_follow(batch, &index) == batch && index == 22); // not before it is done
    (void)pkf_batch_publish(batch, 0, NULL, false);
    pkf_batch *middle = pkf_batch_fork(batch, 1);
    make_forks(middle, inner, 3);
    (void)pkf_batch_publish(middle, 0, NULL, false);
    struct {
        int32_t index, piece, at;
    } cases[] = {{10, 0, 0}, {11, 1, 0}, {18, 1, 7}, {19, 2, 0}, {24, 2, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        index = cases[i].index;
        CHECK(pkf_batch_follow(batch, &index) == pkf_batch_fork(middle, cases[i].piece));
        CHECK_INT(index, cases[i].at);
    }
    index = 9;
    CHECK(pkf_batch_follow(batch, &index) == pkf_batch_fork(batch, 0) && index == 9);
    index = 40;
    CHECK(pkf_batch_follow(batch, &index) == pkf_batch_fork(batch, 2) && index == 15);
    pkf_batch_unref(batch); // and with it all the pieces
    rig_close(&r);
}

// ---- publish and attach meet ----

static pkf_batch *meeting;
static _Atomic uint32_t go, queued;

static void *attach(void *unused) {
    (void)unused;
    for (uint32_t round = 1; round <= 3000; round++) {
        while (atomic_load(&go) != round) continue;
        uint32_t before = atomic_fetch_or(&meeting->state, PKF_WANTED);
        if ((before & PKF_DONE) && !(atomic_fetch_or(&meeting->state, PKF_QUEUED) & PKF_QUEUED))
            atomic_fetch_add(&queued, 1);
        atomic_store(&go, 0);
    }
    return NULL;
}

// Whoever comes second puts the batch on the list: once, and never not at all.
static void publish_and_attach_meet_exactly_once(void) {
    pthread_t thread;
    open_rig();
    meeting = new_batch();
    NEED(pthread_create(&thread, NULL, attach, NULL) == 0);
    for (uint32_t round = 1; round <= 3000; round++) {
        atomic_store(&meeting->state, round % 2 ? 0 : PKF_WAITED);
        atomic_store(&queued, 0);
        atomic_store(&go, round);
        for (uint32_t spin = 0; spin < round % 64; spin++) (void)atomic_load(&go);
        if (pkf_batch_publish(meeting, 0, NULL, false)) atomic_fetch_add(&queued, 1);
        while (atomic_load(&go) != 0) continue;
        CHECK_INT(atomic_load(&queued), 1);
    }
    pthread_join(thread, NULL);
    pkf_batch_unref(meeting);
    rig_close(&r);
}

int main(void) {
    a_batch_keeps_its_accumulator();
    a_send_that_appended_nothing_has_a_batch();
    cookies_have_room_before_they_come();
    the_seal_is_the_header_of_the_table();
    what_was_summed_at_the_append_is_not_summed_again();
    guilty_records_have_a_code_of_their_own();
    a_record_is_found_after_splits_of_splits();
    publish_and_attach_meet_exactly_once();
    return FINISH();
}
