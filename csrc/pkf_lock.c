// SPDX-License-Identifier: Apache-2.0
#include "pkf_lock.h"

#include "pkf_socket.h"

// Longer than anybody keeps it who runs: whoever appends many records takes it again at once, with a moment in between.
enum { LOOK_NS = 20000, LOOKS = 64, NAP_NS = 50000 };

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

bool pkf_lock_look(pkf_lock *lock) {
    for (int i = 0; i < LOOKS; i++) {
        relax();
        if (atomic_load_explicit(&lock->taken, memory_order_relaxed) == 0 && pkf_lock_try(lock)) return true;
    }
    return false;
}

void pkf_lock_wait(pkf_lock *lock) {
    for (;;) {
        int64_t until = pkf_monotonic_ns() + LOOK_NS;
        do {
            if (pkf_lock_look(lock)) return;
        } while (pkf_monotonic_ns() < until);
        pkf_nap(NAP_NS); // who has it may want this very processor
    }
}
