// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include "pkf_spin.h"

static int passed(pkf_spin *spin) {
    int count = 0;
    while (!pkf_spin_is_due(spin)) count++;
    return count;
}

static void a_distant_broker_is_hardly_ever_spun_for(void) {
    pkf_spin spin = {0, 0, 0};
    int expected[] = {0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 1023, 1023};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        CHECK_INT(passed(&spin), expected[i]);
        pkf_spin_note(&spin, false);
    }
}

static void an_answer_makes_it_due_again(void) {
    pkf_spin spin = {0, 0, 0};
    for (int i = 0; i < 5; i++) pkf_spin_note(&spin, false);
    CHECK_INT(passed(&spin), 31);
    pkf_spin_note(&spin, true);
    CHECK_INT(passed(&spin), 0);
    pkf_spin_note(&spin, false); // made up for by the answer
    CHECK_INT(passed(&spin), 0);
    pkf_spin_note(&spin, false);
    CHECK_INT(passed(&spin), 1);
}

static void credit_is_limited(void) {
    pkf_spin spin = {0, 0, 0};
    for (int i = 0; i < 1000; i++) pkf_spin_note(&spin, true);
    for (int i = 0; i < PKF_SPIN_CREDIT_MAX; i++) {
        CHECK_INT(passed(&spin), 0);
        pkf_spin_note(&spin, false);
    }
    CHECK_INT(passed(&spin), 0);
    pkf_spin_note(&spin, false);
    CHECK_INT(passed(&spin), 1);
}

int main(void) {
    a_distant_broker_is_hardly_ever_spun_for();
    an_answer_makes_it_due_again();
    credit_is_limited();
    return FINISH();
}
