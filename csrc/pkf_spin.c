// SPDX-License-Identifier: Apache-2.0
#include "pkf_spin.h"

bool pkf_spin_is_due(pkf_spin *spin) {
    if (spin->left == 0) return true;
    spin->left--;
    return false;
}

void pkf_spin_note(pkf_spin *spin, bool answered) {
    if (answered) {
        spin->pass = 0;
        if (spin->credit < PKF_SPIN_CREDIT_MAX) spin->credit++;
    } else if (spin->credit > 0) {
        spin->credit--;
    } else {
        spin->pass = 2 * spin->pass + 1;
        if (spin->pass > PKF_SPIN_PASS_MAX) spin->pass = PKF_SPIN_PASS_MAX;
    }
    spin->left = spin->pass;
}
