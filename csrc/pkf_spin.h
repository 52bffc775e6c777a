// SPDX-License-Identifier: Apache-2.0
// Whether to look for an answer for a tenth of a millisecond instead of going to sleep at once. A broker nearby answers sooner
// than a sleeping thread wakes up; one further away never answers while anybody looks, and each time that shows, twice as
// many requests go by before the next try. Answers make up for tries in vain, one each.
#ifndef PKF_SPIN_H
#define PKF_SPIN_H

#include <stdbool.h>
#include <stdint.h>

enum { PKF_SPIN_NS = 100000, PKF_SPIN_PASS_MAX = 1023, PKF_SPIN_CREDIT_MAX = 4 };

typedef struct pkf_spin {
    uint32_t credit; // tries in vain that are made up for
    uint32_t pass;   // requests that go by after a try in vain
    uint32_t left;   // of them
} pkf_spin;

// Asked once for each request that is waited for.
bool pkf_spin_is_due(pkf_spin *spin);

// What came of it: an answer, or nothing within PKF_SPIN_NS.
void pkf_spin_note(pkf_spin *spin, bool answered);

#endif
