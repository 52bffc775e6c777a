// SPDX-License-Identifier: Apache-2.0
//
// The least a C test needs. CHECK goes on after a failure and says where it was; main() ends with `return FINISH();`.
// Random tests draw from a seed that is printed: run the same program with PKF_SEED=<number> to see the same numbers.
#ifndef HARNESS_H
#define HARNESS_H

#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static atomic_uint harness_failures;
static atomic_uint harness_checks;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        atomic_fetch_add(&harness_checks, 1);                                                                          \
        if (!(condition) && atomic_fetch_add(&harness_failures, 1) < 20)                                               \
            fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__, #condition);                      \
    } while (0)

#define CHECK_INT(got, wanted)                                                                                         \
    do {                                                                                                               \
        long long harness_got = (long long)(got), harness_wanted = (long long)(wanted);                                \
        atomic_fetch_add(&harness_checks, 1);                                                                          \
        if (harness_got != harness_wanted && atomic_fetch_add(&harness_failures, 1) < 20)                              \
            fprintf(stderr, "%s:%d: %s: %s is %lld, not %lld\n", __FILE__, __LINE__, __func__, #got, harness_got,      \
                    harness_wanted);                                                                                   \
    } while (0)

#define CHECK_BYTES(got, wanted, size) CHECK(memcmp((got), (wanted), (size)) == 0)

// What a test cannot go on without.
#define NEED(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s: needed: %s\n", __FILE__, __LINE__, __func__, #condition);                      \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static inline int harness_finish(const char *file) {
    printf("%s: %u checks, %u failed\n", file, atomic_load(&harness_checks), atomic_load(&harness_failures));
    return atomic_load(&harness_failures) ? 1 : 0;
}
#define FINISH() harness_finish(__FILE__)

static inline uint64_t harness_seed(void) {
    const char *given = getenv("PKF_SEED");
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)t.tv_sec * 1000003 + (uint64_t)t.tv_nsec;
    printf("PKF_SEED=%" PRIu64 "\n", seed);
    return seed;
}

// splitmix64: each thread keeps a state of its own.
static inline uint64_t harness_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline uint64_t harness_below(uint64_t *state, uint64_t bound) { return harness_random(state) % bound; }

// "00 1f a2" -> bytes; returns how many.
static inline size_t harness_unhex(const char *hex, uint8_t *bytes, size_t room) {
    size_t n = 0;
    while (*hex) {
        if (*hex == ' ') {
            hex++;
            continue;
        }
        unsigned value = 0;
        NEED(n < room && sscanf(hex, "%2x", &value) == 1);
        bytes[n++] = (uint8_t)value;
        hex += 2;
    }
    return n;
}

#endif
