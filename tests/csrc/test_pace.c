// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include "pkf_pace.h"

enum { FLOOR = 100000, WINDOW = PKF_PACE_WINDOW_MS * 1000000 };

static int64_t now = 12345;

static void windows(pkf_pace *pace, int count, uint32_t batches) {
    for (int i = 0; i < count; i++) {
        pace->batches += batches;
        now += WINDOW;
        pkf_pace_turn(pace, now);
        CHECK_INT(pace->batches, 0);
    }
}

static void a_crowd_slows_it_down_and_no_crowd_lets_it_go(void) {
    pkf_pace pace;
    pkf_pace_init(&pace, FLOOR);
    pkf_pace_turn(&pace, now);
    CHECK_INT(pace.ns, FLOOR);
    windows(&pace, 3, PKF_PACE_BATCHES);
    CHECK_INT(pace.ns, FLOOR); // not more than that
    windows(&pace, 1, PKF_PACE_BATCHES + 1);
    CHECK(pace.ns > FLOOR);
    windows(&pace, 100, 10 * PKF_PACE_BATCHES);
    CHECK_INT(pace.ns, PKF_PACE_MAX_MS * 1000000);
    int64_t before = pace.ns;
    windows(&pace, 10, PKF_PACE_BATCHES * 3 / 4);
    CHECK_INT(pace.ns, before); // in between it stays
    windows(&pace, 1, PKF_PACE_BATCHES / 2 - 1);
    CHECK(pace.ns < before);
    windows(&pace, 100, 0);
    CHECK_INT(pace.ns, FLOOR);
}

static void nothing_changes_within_a_window(void) {
    pkf_pace pace;
    pkf_pace_init(&pace, FLOOR);
    pkf_pace_turn(&pace, now);
    pace.batches = 10 * PKF_PACE_BATCHES;
    now += WINDOW - 1;
    pkf_pace_turn(&pace, now);
    CHECK(pace.ns == FLOOR && pace.batches == 10 * PKF_PACE_BATCHES);
    now += 1;
    pkf_pace_turn(&pace, now);
    CHECK(pace.ns > FLOOR);
}

static void a_long_round_counts_by_its_length(void) {
    pkf_pace pace;
    pkf_pace_init(&pace, FLOOR);
    pkf_pace_turn(&pace, now);
    pace.batches = 5 * PKF_PACE_BATCHES;
    now += 5 * WINDOW;
    pkf_pace_turn(&pace, now);
    CHECK_INT(pace.ns, FLOOR);
}

static void it_is_forgotten_after_a_pause(void) {
    pkf_pace pace;
    pkf_pace_init(&pace, FLOOR);
    pkf_pace_turn(&pace, now);
    windows(&pace, 20, 2 * PKF_PACE_BATCHES);
    CHECK(pace.ns > 10 * FLOOR);
    now += INT64_C(2000000000);
    pkf_pace_turn(&pace, now);
    CHECK_INT(pace.ns, FLOOR);
}

static void without_a_floor_there_is_none(void) {
    pkf_pace pace;
    pkf_pace_init(&pace, 0);
    windows(&pace, 20, 10 * PKF_PACE_BATCHES);
    CHECK_INT(pace.ns, 0);
}

int main(void) {
    a_crowd_slows_it_down_and_no_crowd_lets_it_go();
    nothing_changes_within_a_window();
    a_long_round_counts_by_its_length();
    it_is_forgotten_after_a_pause();
    without_a_floor_there_is_none();
    return FINISH();
}
