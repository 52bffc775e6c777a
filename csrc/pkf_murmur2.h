// SPDX-License-Identifier: Apache-2.0
//
// murmur2, 32 bits, seed 0x9747b28c, as Kafka's clients in Java compute it: it decides which partition a key belongs to,
// so every client has to agree on each bit. partition = (hash & 0x7fffffff) % partition count.
#ifndef PKF_MURMUR2_H
#define PKF_MURMUR2_H

#include <stddef.h>
#include <stdint.h>

// Pure; any thread. data may be NULL when len is 0. The hash covers the length modulo 2^32.
static inline int32_t pkf_murmur2(const void *data, size_t len) {
    const uint32_t m = 0x5bd1e995u;
    const uint8_t *p = (const uint8_t *)data;
    uint32_t h = 0x9747b28cu ^ (uint32_t)len;
    for (; len >= 4; len -= 4, p += 4) {
        uint32_t k = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        h *= m;
        h ^= k;
    }
    if (len == 3) h ^= (uint32_t)p[2] << 16;
    if (len >= 2) h ^= (uint32_t)p[1] << 8;
    if (len >= 1) {
        h ^= p[0];
        h *= m;
    }
    h ^= h >> 13;
    h *= m;
    h ^= h >> 15;
    return (int32_t)h;
}

#endif
