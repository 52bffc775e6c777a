// SPDX-License-Identifier: Apache-2.0
// How far apart the first two processors this process may use are: prints the nanoseconds in which a cache line goes from
// one to the other and back. A virtual machine's processors can be moved, and the answer be another one a second later.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { ROUNDS = 100000 };
static _Alignas(128) atomic_int turn;
static int processors[2], count;

static void stay_on(int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void *answer(void *unused) {
    (void)unused;
    stay_on(processors[1]);
    for (int i = 0; i < ROUNDS; i++) {
        while (atomic_load(&turn) != 2 * i + 1) {
        }
        atomic_store(&turn, 2 * i + 2);
    }
    return NULL;
}

int main(void) {
    cpu_set_t allowed;
    pthread_t thread;
    struct timespec start, end;
    if (sched_getaffinity(0, sizeof allowed, &allowed)) return 1;
    for (int i = 0; i < CPU_SETSIZE && count < 2; i++)
        if (CPU_ISSET(i, &allowed)) processors[count++] = i;
    if (count < 2 || pthread_create(&thread, NULL, answer, NULL)) return 1;
    stay_on(processors[0]);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < ROUNDS; i++) {
        atomic_store(&turn, 2 * i + 1);
        while (atomic_load(&turn) != 2 * i + 2) {
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    pthread_join(thread, NULL);
    printf("%.0f\n", (double)((end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec) / ROUNDS);
}
