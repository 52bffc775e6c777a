// SPDX-License-Identifier: Apache-2.0
// The only system calls of the library (memory and locks apart): clocks, a wake-up descriptor, non-blocking reads and
// writes through a table of transports, and waiting for descriptors.
#ifndef PKF_SOCKET_H
#define PKF_SOCKET_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "pkf_status.h"

#define PKF_NEVER INT64_MAX

int64_t pkf_monotonic_ns(void);
int64_t pkf_realtime_ms(void);

void pkf_nap(int64_t ns); // sleep for so long, below a second, or less

// The wall clock in ms for a caller that asks millions of times a second: between two turns of the millisecond it reads
// the processor's tick counter instead of the system's clock, which takes half as long. As exact as pkf_realtime_ms() but
// for a step of the wall clock, which it notices within a millisecond. Zeroed at first; one thread at a time.
typedef struct pkf_ms_clock {
    int64_t ms;           // what the clock says ...
    uint64_t from, ticks; // ... from this tick on, for so many ticks
    uint64_t first_tick;  // calibration: a tick, and the monotonic time then
    int64_t first_ns;
} pkf_ms_clock;

static inline uint64_t pkf_ticks(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return 0;
#endif
}

int64_t pkf_ms_clock_refresh(pkf_ms_clock *clock, uint64_t tick);

static inline int64_t pkf_ms_clock_read(pkf_ms_clock *clock) {
    uint64_t tick = pkf_ticks();
    return tick - clock->from < clock->ticks ? clock->ms : pkf_ms_clock_refresh(clock, tick);
}

// An absolute deadline on the clock that pkf_cond_init() gave the condition, `slice_ns` from now.
void pkf_cond_init(pthread_cond_t *cond);
struct timespec pkf_cond_deadline(int64_t slice_ns);

// A descriptor that polls readable after signal() until drain(): an eventfd, or a pipe where there is none.
typedef struct pkf_wakeup {
    int read_fd, write_fd;
} pkf_wakeup;

PKF_MUST_USE pkf_status pkf_wakeup_open(pkf_wakeup *wakeup);
void pkf_wakeup_signal(const pkf_wakeup *wakeup);
void pkf_wakeup_drain(const pkf_wakeup *wakeup);
void pkf_wakeup_close(pkf_wakeup *wakeup);

// How bytes get to the peer and back. Results: > 0 bytes moved, 0 would block, -1 failed (errno in *error; 0 = the
// peer closed the connection).
typedef struct pkf_transport {
    ssize_t (*write)(void *self, const struct iovec *iov, int count, int *error);
    ssize_t (*read)(void *self, uint8_t *buffer, size_t size, int *error);
    size_t (*untaken)(void *self); // bytes written that the peer's system has not confirmed; 0 where nobody can tell
    void (*close)(void *self);
} pkf_transport;

// Plain TCP. `self` of its functions is the descriptor cast to a pointer. Never raises SIGPIPE.
extern const pkf_transport pkf_transport_plain;

// Wait for descriptors until `timeout_ns` is over (PKF_NEVER: without end). Returns the number that are ready, 0 on
// time-out and on a signal.
int pkf_poll(struct pollfd *fds, unsigned count, int64_t timeout_ns);

#endif
