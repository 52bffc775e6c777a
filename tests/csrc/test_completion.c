// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

static rig r;

static void open_rig(uint32_t max_cookies) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    accum.max_cookies = max_cookies;
    rig_open(&r, &accum, &wire, 1);
}

// A batch that waits for its result, outside any queue.
static pkf_batch *waiting_batch(void) {
    pkf_batch *batch = pkf_batch_new(r.accum, rig_part(&r, 0), NULL, 0);
    NEED(batch);
    batch->closed = true;
    atomic_fetch_add(&rig_part(&r, 0)->queued_bytes, batch->used);
    pkf_accum_add_live(r.accum, batch);
    return batch;
}

static pkf_batch *take_one(void) {
    pkf_batch *list = NULL;
    NEED(pkf_accum_wait_done(r.accum, 0, &list) == PKF_OK);
    if (list) CHECK(list->completed_next == NULL);
    return list;
}

static void *take_listener(pkf_batch *batch) {
    pkf_listener *listener = pkf_accum_take_listeners(r.accum, batch);
    if (listener == NULL) return NULL;
    void *object = listener->object;
    CHECK(listener->next == NULL);
    free(listener);
    return object;
}

static void waiting_ends_with_the_result(void) {
    open_rig(10);
    pkf_batch *batch = waiting_batch();
    CHECK_INT(pkf_accum_wait_batch(r.accum, batch, false, 2 * RIG_MS), PKF_E_TIMEOUT);
    pkf_accum_complete(r.accum, batch, 5, "why", true);
    CHECK_INT(pkf_accum_wait_batch(r.accum, batch, false, 0), PKF_OK);
    CHECK_INT(pkf_accum_wait_batch(r.accum, batch, true, 0), PKF_OK); // nobody listens
    CHECK(batch->code == 5 && batch->in_doubt && strcmp(batch->message, "why") == 0);
    CHECK_INT(r.accum->live_count, 0);
    pkf_batch_unref(batch);
    rig_close(&r);
}

static void who_waits_for_delivery_waits_for_listeners(void) {
    int object;
    open_rig(10);
    pkf_batch *batch = waiting_batch();
    CHECK_INT(pkf_accum_listen(r.accum, batch, &object), PKF_OK);
    CHECK(take_one() == NULL);
    pkf_accum_complete(r.accum, batch, 0, NULL, false);
    CHECK_INT(pkf_accum_pushed(r.accum), 1);
    CHECK_INT(pkf_accum_wait_batch(r.accum, batch, false, 0), PKF_OK);
    CHECK_INT(pkf_accum_wait_batch(r.accum, batch, true, 2 * RIG_MS), PKF_E_TIMEOUT);
    CHECK_INT(pkf_accum_wait_delivered(r.accum, 1, 2 * RIG_MS), PKF_E_TIMEOUT);
    CHECK(take_one() == batch);
    CHECK(take_listener(batch) == &object);
    CHECK_INT(pkf_accum_listen(r.accum, batch, &batch), PKF_OK); // while delivering: still in order
    CHECK(take_listener(batch) == &batch);
    CHECK(take_listener(batch) == NULL);
    CHECK_INT(pkf_accum_listen(r.accum, batch, &object), PKF_E_CLOSED); // from here on the caller runs it
    pkf_accum_delivered(r.accum, batch, 0);
    CHECK_INT(pkf_accum_wait_batch(r.accum, batch, true, 0), PKF_OK);
    CHECK_INT(pkf_accum_wait_delivered(r.accum, 1, 0), PKF_OK);
    pkf_batch_unref(batch);
    rig_close(&r);
}

static void listeners_come_in_the_order_they_were_attached(void) {
    int objects[5];
    open_rig(10);
    pkf_batch *batch = waiting_batch();
    for (int i = 0; i < 5; i++) CHECK_INT(pkf_accum_listen(r.accum, batch, &objects[i]), PKF_OK);
    pkf_accum_complete(r.accum, batch, 0, NULL, false);
    CHECK(take_one() == batch);
    pkf_listener *listener = pkf_accum_take_listeners(r.accum, batch);
    for (int i = 0; i < 5; i++) {
        NEED(listener);
        CHECK(listener->object == &objects[i]);
        pkf_listener *next = listener->next;
        free(listener);
        listener = next;
    }
    CHECK(listener == NULL && take_listener(batch) == NULL);
    pkf_accum_delivered(r.accum, batch, 0);
    pkf_batch_unref(batch);
    rig_close(&r);
}

static void the_list_keeps_its_batches_and_their_order(void) {
    enum { COUNT = 20 };
    pkf_batch *batches[COUNT], *list = NULL;
    open_rig(10);
    for (int i = 0; i < COUNT; i++) {
        batches[i] = waiting_batch();
        atomic_fetch_or(&batches[i]->state, PKF_WANTED);
        pkf_accum_complete(r.accum, batches[i], 0, NULL, false);
        pkf_batch_unref(batches[i]); // nobody but the list holds it
    }
    CHECK_INT(pkf_accum_wait_done(r.accum, 0, &list), PKF_OK);
    for (int i = 0; i < COUNT; i++) {
        NEED(list == batches[i]);
        list = list->completed_next;
        CHECK(take_listener(batches[i]) == NULL);
        pkf_accum_delivered(r.accum, batches[i], 0);
    }
    CHECK(list == NULL);
    rig_close(&r);
}

// Thousands wait: what is done in the next millisecond is taken together.
static void what_is_posted_comes_behind_what_is_done(void) {
    int first, second;
    open_rig(10);
    pkf_batch *batch = waiting_batch();
    CHECK_INT(pkf_accum_listen(r.accum, batch, &first), PKF_OK);
    pkf_accum_complete(r.accum, batch, 0, NULL, false);
    uint64_t pushed = 0;
    CHECK_INT(pkf_accum_post(r.accum, &second, &pushed), PKF_OK);
    CHECK_INT(pushed, 2);
    pkf_batch *list = NULL;
    NEED(pkf_accum_wait_done(r.accum, 0, &list) == PKF_OK && list == batch);
    pkf_batch *posted = list->completed_next;
    NEED(posted);
    CHECK(take_listener(batch) == &first && take_listener(posted) == &second);
    CHECK(take_listener(batch) == NULL && take_listener(posted) == NULL);
    pkf_accum_delivered(r.accum, batch, 0);
    CHECK_INT(pkf_accum_wait_delivered(r.accum, pushed, 0), PKF_E_TIMEOUT);
    pkf_accum_delivered(r.accum, posted, 0);
    CHECK_INT(pkf_accum_wait_delivered(r.accum, pushed, 0), PKF_OK);
    pkf_batch_unref(batch);
    pkf_accum_close_delivery(r.accum);
    CHECK_INT(pkf_accum_post(r.accum, &second, &pushed), PKF_E_CLOSED);
    rig_close(&r);
}

static void in_a_crowd_batches_are_taken_in_groups(void) {
    open_rig(100000);
    pkf_batch *batch = waiting_batch(), *list = NULL;
    atomic_fetch_or(&batch->state, PKF_WANTED);
    atomic_store(&r.accum->cookies, 50000);
    CHECK_INT(pkf_accum_wait_done(r.accum, 0, &list), PKF_OK);
    CHECK(list == NULL);
    int64_t began = r.accum->delivery_ns;
    pkf_accum_complete(r.accum, batch, 0, NULL, false);
    CHECK_INT(pkf_accum_wait_done(r.accum, PEER_WAIT_MS * RIG_MS, &list), PKF_OK);
    CHECK(list == batch);
    CHECK(r.accum->delivery_ns - began >= RIG_MS);
    CHECK(take_listener(batch) == NULL);
    pkf_accum_delivered(r.accum, batch, 50000);
    pkf_batch_unref(batch);
    rig_close(&r);
}

static void delivery_ends_when_closed_and_empty(void) {
    pkf_batch *list = NULL;
    open_rig(10);
    pkf_batch *batch = waiting_batch();
    atomic_fetch_or(&batch->state, PKF_WANTED);
    pkf_accum_complete(r.accum, batch, 0, NULL, false);
    pkf_accum_close_delivery(r.accum);
    CHECK_INT(pkf_accum_wait_done(r.accum, 0, &list), PKF_OK);
    CHECK(list == batch);
    CHECK(take_listener(batch) == NULL);
    pkf_accum_delivered(r.accum, batch, 0);
    CHECK_INT(pkf_accum_wait_done(r.accum, PEER_WAIT_MS * RIG_MS, &list), PKF_E_CLOSED);
    pkf_batch_unref(batch);
    rig_close(&r);
}

static void the_budget_has_room_again_after_delivery(void) {
    open_rig(2);
    CHECK_INT(pkf_accum_wait_budget(r.accum, 0), PKF_OK);
    atomic_store(&r.accum->cookies, 3);
    CHECK_INT(pkf_accum_wait_budget(r.accum, 2 * RIG_MS), PKF_E_TIMEOUT);
    pkf_batch *batch = waiting_batch();
    atomic_fetch_or(&batch->state, PKF_WANTED);
    pkf_accum_complete(r.accum, batch, 0, NULL, false);
    CHECK(take_one() == batch && take_listener(batch) == NULL);
    pkf_accum_delivered(r.accum, batch, 2);
    CHECK_INT(pkf_accum_wait_budget(r.accum, 0), PKF_OK);
    atomic_store(&r.accum->cookies, 3);
    pkf_accum_close(r.accum);
    CHECK_INT(pkf_accum_wait_budget(r.accum, PEER_WAIT_MS * RIG_MS), PKF_E_CLOSED);
    pkf_batch_unref(batch);
    rig_close(&r);
}

// ---- threads that meet ----

enum { ROUNDS = 1500 };
static pkf_batch *meeting[ROUNDS];
static atomic_int turn, heard;

static void *wait_for_each(void *argument) {
    bool delivered = argument != NULL;
    for (int i = 0; i < ROUNDS; i++) {
        while (atomic_load(&turn) < i) continue;
        CHECK_INT(pkf_accum_wait_batch(r.accum, meeting[i], delivered, PEER_WAIT_MS * RIG_MS), PKF_OK);
        CHECK(pkf_batch_state(meeting[i]) & PKF_DONE);
    }
    return NULL;
}

static void *listen_to_each(void *unused) {
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        while (atomic_load(&turn) < i) continue;
        pkf_status status = pkf_accum_listen(r.accum, meeting[i], &heard);
        CHECK(status == PKF_OK || status == PKF_E_CLOSED);
        if (status == PKF_E_CLOSED) atomic_fetch_add(&heard, 1);
    }
    return NULL;
}

static void *deliver_all(void *unused) {
    pkf_batch *list = NULL;
    (void)unused;
    while (pkf_accum_wait_done(r.accum, 1000 * RIG_MS, &list) != PKF_E_CLOSED) {
        for (pkf_batch *next; list; list = next) {
            next = list->completed_next;
            for (pkf_listener *l, *after; (l = pkf_accum_take_listeners(r.accum, list)) != NULL;) {
                for (; l; l = after) {
                    after = l->next;
                    free(l);
                    atomic_fetch_add(&heard, 1);
                }
            }
            pkf_accum_delivered(r.accum, list, 0);
        }
    }
    return NULL;
}

// A batch completes while two wait for it, two listen and one delivers: every wait ends, every listener is heard once.
static void nobody_is_forgotten(void) {
    pthread_t threads[5];
    open_rig(10);
    uint64_t random = harness_seed();
    for (int i = 0; i < ROUNDS; i++) meeting[i] = waiting_batch();
    atomic_store(&turn, -1);
    atomic_store(&heard, 0);
    NEED(pthread_create(&threads[0], NULL, wait_for_each, NULL) == 0);
    NEED(pthread_create(&threads[1], NULL, wait_for_each, &r) == 0);
    NEED(pthread_create(&threads[2], NULL, listen_to_each, NULL) == 0);
    NEED(pthread_create(&threads[3], NULL, listen_to_each, NULL) == 0);
    NEED(pthread_create(&threads[4], NULL, deliver_all, NULL) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        atomic_store(&turn, i);
        for (uint64_t spin = harness_below(&random, 500); spin > 0; spin--) (void)harness_random(&random);
        pkf_accum_complete(r.accum, meeting[i], 0, NULL, false);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    pkf_accum_close_delivery(r.accum);
    pthread_join(threads[4], NULL);
    CHECK_INT(atomic_load(&heard), 2 * ROUNDS);
    for (int i = 0; i < ROUNDS; i++) pkf_batch_unref(meeting[i]);
    rig_close(&r);
}

// Each array has one owner at any time (the sanitizer checks that), and what is kept has an end.
static void cookie_arrays_are_used_again(void) {
    open_rig(10);
    pkf_batch *first = waiting_batch(), *second = waiting_batch();
    NEED(pkf_batch_reserve_cookie(first) == PKF_OK);
    pkf_cookie *array = first->cookies;
    first->cookies = NULL;
    pkf_accum_lend_cookies(r.accum, second);
    CHECK(second->cookies == NULL); // nothing is kept yet
    pkf_accum_keep_cookies(r.accum, array, first->cookie_capacity);
    pkf_accum_keep_cookies(r.accum, NULL, 0);
    pkf_accum_lend_cookies(r.accum, second);
    CHECK(second->cookies == array && second->cookie_capacity == first->cookie_capacity);
    for (int i = 0; i < 100; i++) pkf_accum_keep_cookies(r.accum, malloc(1000 * sizeof(pkf_cookie)), 1000);
    pkf_accum_keep_cookies(r.accum, malloc(sizeof(pkf_cookie)), UINT32_MAX);
    CHECK_INT(r.accum->spare_count, PKF_SPARE_ARRAYS);
    CHECK_INT(r.accum->spare_room, 1000 * PKF_SPARE_ARRAYS);
    pkf_accum_complete(r.accum, first, 0, NULL, false);
    pkf_accum_complete(r.accum, second, 0, NULL, false);
    pkf_batch_unref(first);
    pkf_batch_unref(second);
    rig_close(&r);
}

int main(void) {
    cookie_arrays_are_used_again();
    waiting_ends_with_the_result();
    who_waits_for_delivery_waits_for_listeners();
    listeners_come_in_the_order_they_were_attached();
    the_list_keeps_its_batches_and_their_order();
    what_is_posted_comes_behind_what_is_done();
    in_a_crowd_batches_are_taken_in_groups();
    delivery_ends_when_closed_and_empty();
    the_budget_has_room_again_after_delivery();
    nobody_is_forgotten();
    return FINISH();
}
