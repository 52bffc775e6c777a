// SPDX-License-Identifier: Apache-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // ppoll
#endif
#include "pkf_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#endif

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 // such systems have SO_NOSIGPIPE, set where the socket is made
#endif

#define NS_PER_S 1000000000LL

int64_t pkf_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t pkf_realtime_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void pkf_nap(int64_t ns) {
    struct timespec time = {0, ns};
    (void)nanosleep(&time, NULL);
}

#define CALIBRATED_NS 1000000 // a shorter time would measure the calls, not the ticks

int64_t pkf_ms_clock_refresh(pkf_ms_clock *clock, uint64_t tick) {
    struct timespec now;
    int64_t since = pkf_monotonic_ns() - clock->first_ns;
    clock_gettime(CLOCK_REALTIME, &now);
    clock->ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    clock->from = tick;
    clock->ticks = 0; // not valid any longer than this call, unless ...
    if (clock->first_ns == 0 || tick <= clock->first_tick || since > 1000 * NS_PER_S) {
        clock->first_tick = tick;
        clock->first_ns = since + clock->first_ns;
    } else if (since > CALIBRATED_NS) { // ... the rate is known: then until shortly before the millisecond turns
        double rate = (double)(tick - clock->first_tick) / (double)since;
        int64_t left = 1000000 - now.tv_nsec % 1000000;
        clock->ticks = (uint64_t)(rate * (double)left * 0.99);
    }
    return clock->ms;
}

#ifdef __APPLE__
#define COND_CLOCK CLOCK_REALTIME // the only one pthread_cond_timedwait knows there
#else
#define COND_CLOCK CLOCK_MONOTONIC
#endif

void pkf_cond_init(pthread_cond_t *cond) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
#ifndef __APPLE__
    pthread_condattr_setclock(&attr, COND_CLOCK);
#endif
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

struct timespec pkf_cond_deadline(int64_t slice_ns) {
    struct timespec at;
    clock_gettime(COND_CLOCK, &at);
    if (slice_ns < 0) slice_ns = 0;
    at.tv_sec += slice_ns / NS_PER_S;
    at.tv_nsec += slice_ns % NS_PER_S;
    if (at.tv_nsec >= NS_PER_S) {
        at.tv_sec++;
        at.tv_nsec -= NS_PER_S;
    }
    return at;
}

#ifndef __linux__
static void set_nonblocking(int fd) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}
#endif

pkf_status pkf_wakeup_open(pkf_wakeup *wakeup) {
#ifdef __linux__
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) return PKF_E_SYSTEM;
    wakeup->read_fd = wakeup->write_fd = fd;
#else
    int fds[2];
    if (pipe(fds) != 0) return PKF_E_SYSTEM;
    set_nonblocking(fds[0]);
    set_nonblocking(fds[1]);
    wakeup->read_fd = fds[0];
    wakeup->write_fd = fds[1];
#endif
    return PKF_OK;
}

void pkf_wakeup_signal(const pkf_wakeup *wakeup) {
    uint64_t one = 1;
    ssize_t written;
    do {
        written = write(wakeup->write_fd, &one, sizeof one);
    } while (written < 0 && errno == EINTR); // full means it is readable already
}

void pkf_wakeup_drain(const pkf_wakeup *wakeup) {
    uint64_t sink[64];
    while (read(wakeup->read_fd, sink, sizeof sink) > 0 && wakeup->read_fd != wakeup->write_fd) continue;
}

void pkf_wakeup_close(pkf_wakeup *wakeup) {
    if (wakeup->read_fd >= 0) close(wakeup->read_fd);
    if (wakeup->write_fd >= 0 && wakeup->write_fd != wakeup->read_fd) close(wakeup->write_fd);
    wakeup->read_fd = wakeup->write_fd = -1;
}

static int descriptor(void *self) { return (int)(intptr_t)self; }

static ssize_t failure(int *error) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return 0;
    *error = errno;
    return -1;
}

static ssize_t plain_write(void *self, const struct iovec *iov, int count, int *error) {
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = (struct iovec *)iov;
    message.msg_iovlen = (size_t)count;
    ssize_t written = sendmsg(descriptor(self), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return written >= 0 ? written : failure(error);
}

static ssize_t plain_read(void *self, uint8_t *buffer, size_t size, int *error) {
    ssize_t got = recv(descriptor(self), buffer, size, MSG_DONTWAIT);
    if (got > 0) return got;
    if (got < 0) return failure(error);
    *error = 0;
    return -1;
}

static size_t plain_untaken(void *self) {
    int bytes = 0;
#if defined(TIOCOUTQ) && defined(__linux__)
    if (ioctl(descriptor(self), TIOCOUTQ, &bytes) != 0) return 0;
#elif defined(SO_NWRITE)
    socklen_t size = sizeof bytes;
    if (getsockopt(descriptor(self), SOL_SOCKET, SO_NWRITE, &bytes, &size) != 0) return 0;
#endif
    return bytes > 0 ? (size_t)bytes : 0;
}

static void plain_close(void *self) { close(descriptor(self)); }

const pkf_transport pkf_transport_plain = {plain_write, plain_read, plain_untaken, plain_close};

// After SIGSTOP and SIGCONT a ppoll() begins anew with what was left, but a poll() ends when it was to end. So only
// what needs its precision waits in a ppoll().
#define PRECISE_NS 100000000

int pkf_poll(struct pollfd *fds, unsigned count, int64_t timeout_ns) {
    int ready;
#ifdef __linux__
    if (timeout_ns < PRECISE_NS) {
        struct timespec timeout = {timeout_ns / NS_PER_S, timeout_ns % NS_PER_S};
        ready = ppoll(fds, count, &timeout, NULL);
        return ready > 0 ? ready : 0;
    }
#endif
    int64_t ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
    ready = poll(fds, count, timeout_ns == PKF_NEVER ? -1 : (int)(ms > 1000000 ? 1000000 : ms));
    return ready > 0 ? ready : 0;
}
