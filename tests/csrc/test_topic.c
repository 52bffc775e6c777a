// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

static rig r;

static void open_rig(int32_t partitions, int partitioner, int adaptive, int ignore_keys) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    accum.partitioner = partitioner;
    accum.adaptive = adaptive;
    accum.ignore_keys = ignore_keys;
    rig_open(&r, &accum, &wire, partitions);
}

static void route(int32_t count, const int32_t *leaders) {
    NEED(pkf_topic_set_route(r.topic, count, leaders) == PKF_OK);
}

static int32_t choose(const char *key) {
    pkf_span span = rig_span(key);
    return pkf_topic_choose(r.topic, &span);
}

// ---- the table ----

static void partitions_are_kept_while_the_table_grows(void) {
    int32_t leaders[300] = {0};
    open_rig(3, PKF_STICKY, 1, 0);
    pkf_partition *second = pkf_topic_partition(r.topic, 1);
    CHECK(pkf_topic_partition(r.topic, 3) == NULL && pkf_topic_partition(r.topic, -1) == NULL);
    for (int32_t count = 4; count <= 300; count += 37) {
        route(count, leaders);
        CHECK(pkf_topic_partition(r.topic, 1) == second);
        CHECK_INT(pkf_topic_partition(r.topic, count - 1)->index, count - 1);
        CHECK(pkf_topic_partition(r.topic, count) == NULL);
    }
    int32_t made;
    route(2, leaders); // fewer: what a topic that was made anew may have
    CHECK(pkf_topic_partition(r.topic, 2) == NULL && pkf_topic_partition(r.topic, 1) == second);
    CHECK(pkf_topic_made(r.topic, &made)[1] == second && made == 300);
    pkf_topic_forget(r.topic);
    CHECK(pkf_topic_partition(r.topic, 0) == NULL && choose(NULL) == -1 && choose("key") == -1);
    rig_close(&r);
}

// ---- the choice ----

// Java's results for these keys, toPositive(murmur2(key)) % count.
static void keys_go_where_java_puts_them(void) {
    int32_t leaders[100];
    const char *keys[] = {"21", "foobar", "a-little-bit-long-string", "a-little-bit-longer-string"};
    int32_t signed_hashes[] = {-973932308, -790332482, -985981536, -1486304829};
    for (int i = 0; i < 100; i++) leaders[i] = i % 3 ? -1 : 0; // known leader or not
    open_rig(100, PKF_ROUND_ROBIN, 0, 0);
    for (int32_t count = 1; count <= 100; count += 33) {
        route(count, leaders);
        for (int i = 0; i < 4; i++) CHECK_INT(choose(keys[i]), (signed_hashes[i] & 0x7fffffff) % count);
    }
    rig_close(&r);
}

static void round_robin_visits_those_with_a_leader_in_turn(void) {
    int32_t leaders[] = {0, -1, 4, 0, -1, 2}, none[] = {-1, -1, -1};
    open_rig(6, PKF_ROUND_ROBIN, 0, 0);
    int32_t first = choose(NULL);
    for (int i = 1; i < 20; i++) CHECK_INT(choose(NULL), (first + i) % 6);
    route(6, leaders);
    int seen[6] = {0};
    for (int i = 0; i < 400; i++) seen[choose(NULL)]++;
    CHECK(seen[1] == 0 && seen[4] == 0 && seen[0] == 100 && seen[2] == 100 && seen[3] == 100 && seen[5] == 100);
    route(3, none);
    int all[3] = {0};
    for (int i = 0; i < 300; i++) all[choose(NULL)]++;
    CHECK(all[0] == 100 && all[1] == 100 && all[2] == 100);
    atomic_store(&r.topic->counter, UINT32_MAX - 1);
    for (int i = 0; i < 5; i++) CHECK(choose(NULL) >= 0);
    rig_close(&r);
}

static void random_takes_any_that_has_a_leader(void) {
    int32_t leaders[] = {0, -1, 4, 0};
    int seen[4] = {0};
    open_rig(4, PKF_RANDOM, 0, 1);
    route(4, leaders);
    for (int i = 0; i < 3000; i++) seen[choose("a key that does not count")]++;
    CHECK_INT(seen[1], 0);
    for (int i = 0; i < 4; i += 1 + (i == 0)) CHECK(seen[i] > 850 && seen[i] < 1150); // 5 sigma and more
    rig_close(&r);
}

static void sticky_stays_until_enough_went_there(void) {
    char value[500];
    int changes = 0, seen[3] = {0};
    memset(value, 'x', sizeof value);
    value[499] = 0;
    open_rig(3, PKF_STICKY, 0, 0);
    r.accum->config.batch_max_size = 4000;
    pkf_topic_set_ceiling(r.topic, 4000);
    for (int i = 0, before = -1, run = 0; i < 800; i++) {
        pkf_slot slot = {.batch = NULL};
        pkf_append append = rig_record(&r, -1, value, &slot);
        NEED(rig_append_some(r.accum, &append, false) == PKF_OK);
        CHECK(append.sticky && append.partition == slot.batch->partition->index);
        seen[append.partition]++;
        if (append.partition != before && before >= 0) {
            CHECK(run >= 7); // a batch full of records, no less
            changes++;
            run = 0;
        }
        before = append.partition;
        run++;
        rig_forget(&slot);
    }
    CHECK(changes > 15);
    for (int i = 0; i < 3; i++) CHECK(seen[i] > 0); // (2/3)^40 is small enough
    rig_close(&r);
}

static void sticky_leaves_a_partition_that_lost_its_leader(void) {
    int32_t leaders[] = {0, 0, 0, 0};
    open_rig(4, PKF_STICKY, 1, 0);
    int32_t at = choose(NULL);
    CHECK_INT(choose(NULL), at);
    CHECK(!pkf_topic_move_sticky(r.topic, at));
    leaders[at] = -1;
    route(4, leaders);
    while (!pkf_topic_move_sticky(r.topic, at)) CHECK_INT(choose(NULL), at);
    CHECK(choose(NULL) != at);
    CHECK(pkf_topic_move_sticky(r.topic, at)); // it has moved: the caller has to look again
    at = choose(NULL);
    route(at > 0 ? at : 1, leaders); // now it is beyond those known
    CHECK(choose(NULL) < (at > 0 ? at : 1));
    pkf_topic_forget(r.topic);
    (void)pkf_topic_move_sticky(r.topic, choose(NULL));
    CHECK_INT(choose("x"), -1);
    rig_close(&r);
}

static void the_adaptive_choice_avoids_the_loaded(void) {
    int seen[4] = {0};
    open_rig(4, PKF_STICKY, 1, 0);
    atomic_store(&rig_part(&r, 2)->queued_bytes, 40000);
    for (int i = 0; i < 2000; i++) {
        atomic_store(&r.topic->sticky, -1);
        seen[choose(NULL)]++;
    }
    // Weights: 44000 for each idle one, 4000 for the loaded one.
    CHECK(seen[2] > 20 && seen[2] < 110);
    for (int i = 0; i < 4; i++) CHECK(i == 2 || (seen[i] > 530 && seen[i] < 770));
    atomic_store(&rig_part(&r, 2)->queued_bytes, 0);
    rig_close(&r);
}

// ---- readers beside a writer ----

static atomic_int stop;

static void *read_all_the_time(void *argument) {
    uint64_t choices = 0;
    (void)argument;
    while (!atomic_load(&stop)) {
        int32_t index = choose(choices++ % 2 ? NULL : "key");
        pkf_partition *partition = pkf_topic_partition(r.topic, index);
        if (partition) CHECK_INT(partition->index, index);
        if (index >= 0) (void)pkf_topic_move_sticky(r.topic, index);
    }
    return NULL;
}

static void the_table_may_change_under_its_readers(int partitioner) {
    int32_t leaders[200];
    pthread_t threads[3];
    uint64_t random = 5;
    open_rig(1, partitioner, 1, 0);
    atomic_store(&stop, 0);
    for (int i = 0; i < 3; i++) NEED(pthread_create(&threads[i], NULL, read_all_the_time, NULL) == 0);
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 200; i++) leaders[i] = harness_below(&random, 3) ? 0 : -1;
        if (harness_below(&random, 5) == 0) pkf_topic_forget(r.topic);
        route(1 + (int32_t)harness_below(&random, 1 + (uint64_t)round % 200), leaders);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    rig_close(&r);
}

int main(void) {
    partitions_are_kept_while_the_table_grows();
    keys_go_where_java_puts_them();
    round_robin_visits_those_with_a_leader_in_turn();
    random_takes_any_that_has_a_leader();
    sticky_stays_until_enough_went_there();
    sticky_leaves_a_partition_that_lost_its_leader();
    the_adaptive_choice_avoids_the_loaded();
    the_table_may_change_under_its_readers(PKF_STICKY);
    the_table_may_change_under_its_readers(PKF_ROUND_ROBIN);
    the_table_may_change_under_its_readers(PKF_RANDOM);
    return FINISH();
}
