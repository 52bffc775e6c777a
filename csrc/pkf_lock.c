// SPDX-License-Identifier: Apache-2.0
#include "pkf_lock.h"

#include "pkf_socket.h"

enum { LOOKS = 200, NAP_MIN_NS = 10000, NAP_MAX_NS = 1000000 };

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void pkf_lock_wait(pkf_lock *lock) {
    for (int64_t nap_ns = NAP_MIN_NS;; nap_ns = 2 * nap_ns < NAP_MAX_NS ? 2 * nap_ns : NAP_MAX_NS) {
        for (int i = 0; i < LOOKS; i++) {
            relax();
            if (atomic_load_explicit(&lock->taken, memory_order_relaxed) == 0 && pkf_lock_try(lock)) return;
        }
        pkf_nap(nap_ns); // who has it may want this very processor
    }
}
