// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pkf_socket.h"

static const int64_t MS = 1000000;

static void clocks_go_forward(void) {
    int64_t before = pkf_monotonic_ns(), wall = pkf_realtime_ms();
    struct timespec t = {0, 2 * MS};
    nanosleep(&t, NULL);
    CHECK(pkf_monotonic_ns() - before >= 2 * MS);
    CHECK(pkf_realtime_ms() > wall && pkf_realtime_ms() > 1600000000000);
}

// The tick clock never differs from the wall clock by more than the turn of a millisecond.
static void the_tick_clock_says_what_the_wall_clock_does(void) {
    pkf_ms_clock clock = {0};
    int64_t last = 0;
    for (int64_t end = pkf_monotonic_ns() + 60 * MS; pkf_monotonic_ns() < end;) {
        int64_t before = pkf_realtime_ms(), ms = pkf_ms_clock_read(&clock), after = pkf_realtime_ms();
        CHECK(ms >= before - 1 && ms <= after);
        CHECK(ms >= last);
        last = ms;
    }
}

static int readable(int fd) {
    struct pollfd p = {fd, POLLIN, 0};
    return pkf_poll(&p, 1, 0);
}

static void a_wake_up_lasts_until_it_is_drained(void) {
    pkf_wakeup wakeup;
    NEED(pkf_wakeup_open(&wakeup) == PKF_OK);
    CHECK_INT(readable(wakeup.read_fd), 0);
    pkf_wakeup_drain(&wakeup);                                   // does not block
    for (int i = 0; i < 100000; i++) pkf_wakeup_signal(&wakeup); // nor does this, however often
    CHECK_INT(readable(wakeup.read_fd), 1);
    CHECK_INT(readable(wakeup.read_fd), 1);
    pkf_wakeup_drain(&wakeup);
    CHECK_INT(readable(wakeup.read_fd), 0);
    CHECK(fcntl(wakeup.read_fd, F_GETFD) & FD_CLOEXEC);
    pkf_wakeup_close(&wakeup);
    CHECK(wakeup.read_fd == -1 && wakeup.write_fd == -1);
    pkf_wakeup_close(&wakeup);
}

static void *self_of(int fd) { return (void *)(intptr_t)fd; }

static void the_transport_moves_what_it_can(void) {
    int ends[2], error = 77, size = 4096;
    static uint8_t data[200000], got[200000];
    uint64_t random = 1;
    size_t sent = 0, received = 0;
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    CHECK(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)harness_random(&random);
    CHECK_INT(pkf_transport_plain.read(self_of(ends[1]), got, sizeof got, &error),
              0); // nothing there: it does not block
    int full = 0;
    while (sent < sizeof data) {
        size_t half = (sizeof data - sent) / 2;
        struct iovec iov[2] = {{data + sent, half}, {data + sent + half, sizeof data - sent - half}};
        ssize_t n = pkf_transport_plain.write(self_of(ends[0]), iov, 2, &error);
        NEED(n >= 0);
        sent += (size_t)n;
        full += n == 0;
        while ((n == 0 || sent == sizeof data) && received < sent) {
            ssize_t m = pkf_transport_plain.read(self_of(ends[1]), got + received, sizeof got - received, &error);
            NEED(m >= 0);
            if (m == 0) break;
            received += (size_t)m;
        }
    }
    CHECK(full > 0);
    CHECK_INT(received, sizeof data);
    CHECK_BYTES(got, data, sizeof data);
    CHECK_INT(error, 77);
    pkf_transport_plain.close(self_of(ends[0]));
    CHECK_INT(pkf_transport_plain.read(self_of(ends[1]), got, 1, &error), -1);
    CHECK_INT(error, 0); // the peer closed it
    struct iovec iov = {data, 10};
    CHECK_INT(pkf_transport_plain.write(self_of(ends[1]), &iov, 1, &error), -1); // and no SIGPIPE
    CHECK(error == EPIPE || error == ECONNRESET);
    pkf_transport_plain.close(self_of(ends[1]));
    CHECK_INT(pkf_transport_plain.read(self_of(ends[1]), got, 1, &error), -1);
    CHECK_INT(error, EBADF);
}

static void the_transport_knows_what_the_peer_has_not_taken(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), small = 4096, error;
    static uint8_t data[1 << 20];
    struct iovec iov = {data, sizeof data};
    CHECK(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
    NEED(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0);
    NEED(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    NEED(connect(client, (struct sockaddr *)&address, size) == 0);
    int peer = accept(listener, NULL, NULL);
    NEED(peer >= 0 && fcntl(client, F_SETFL, O_NONBLOCK) == 0);
    CHECK_INT(pkf_transport_plain.untaken(self_of(client)), 0);
    ssize_t sent = pkf_transport_plain.write(self_of(client), &iov, 1, &error), received = 0;
    NEED(sent > 200000);
    size_t untaken = pkf_transport_plain.untaken(self_of(client));
    CHECK(untaken > 100000 && untaken <= (size_t)sent);
    while (received < sent) {
        ssize_t n = read(peer, data, sizeof data);
        NEED(n > 0);
        received += n;
    }
    int64_t end = pkf_monotonic_ns() + 10000 * MS; // the last confirmation may be on its way
    while (pkf_transport_plain.untaken(self_of(client)) > 0 && pkf_monotonic_ns() < end) pkf_poll(NULL, 0, MS);
    CHECK_INT(pkf_transport_plain.untaken(self_of(client)), 0);
    close(listener);
    close(peer);
    close(client);
    CHECK_INT(pkf_transport_plain.untaken(self_of(client)), 0); // nobody can tell
}

static void polling_ends_in_time(void) {
    int ends[2];
    NEED(pipe(ends) == 0);
    struct pollfd p = {ends[0], POLLIN, 0};
    int64_t begin = pkf_monotonic_ns();
    CHECK_INT(pkf_poll(&p, 1, 15 * MS), 0);
    CHECK(pkf_monotonic_ns() - begin >= 15 * MS);
    CHECK_INT(pkf_poll(&p, 1, 0), 0);
    CHECK(write(ends[1], "x", 1) == 1);
    CHECK_INT(pkf_poll(&p, 1, PKF_NEVER), 1);
    CHECK(p.revents & POLLIN);
    close(ends[0]);
    close(ends[1]);
}

// The process is stopped meanwhile: time goes on.
static void polling_ends_in_time_for_who_was_stopped(void) {
    pid_t child = fork();
    if (child == 0) {
        int64_t begin = pkf_monotonic_ns();
        pkf_poll(NULL, 0, 2000 * MS);
        _exit(pkf_monotonic_ns() - begin < 3500 * MS ? 0 : 1);
    }
    CHECK(child > 0);
    pkf_poll(NULL, 0, 300 * MS);
    kill(child, SIGSTOP);
    pkf_poll(NULL, 0, 2500 * MS);
    kill(child, SIGCONT);
    int status;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void conditions_wait_for_as_long_as_asked(void) {
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;
    pkf_cond_init(&cond);
    for (int i = 0; i < 3; i++) {
        int64_t slice = i == 0 ? -5 : i == 1 ? 0 : 20 * MS, begin = pkf_monotonic_ns();
        struct timespec at = pkf_cond_deadline(slice);
        CHECK(at.tv_nsec >= 0 && at.tv_nsec < 1000000000);
        pthread_mutex_lock(&lock);
        int result = 0;
        while (result == 0) result = pthread_cond_timedwait(&cond, &lock, &at);
        pthread_mutex_unlock(&lock);
        CHECK_INT(result, ETIMEDOUT);
        CHECK(pkf_monotonic_ns() - begin >= (slice > 0 ? slice : 0));
    }
    pthread_cond_destroy(&cond);
}

int main(void) {
    signal(SIGPIPE, SIG_DFL);
    clocks_go_forward();
    the_tick_clock_says_what_the_wall_clock_does();
    a_wake_up_lasts_until_it_is_drained();
    the_transport_moves_what_it_can();
    the_transport_knows_what_the_peer_has_not_taken();
    polling_ends_in_time();
    polling_ends_in_time_for_who_was_stopped();
    conditions_wait_for_as_long_as_asked();
    return FINISH();
}
