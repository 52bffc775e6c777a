// SPDX-License-Identifier: Apache-2.0
//
// As crc32c_sse42.c, which explains the constants, with AArch64's CRC32 and PMULL instructions.
#include "pkf_crc32c.h"

#if defined(__aarch64__)

#include <arm_acle.h>
#include <arm_neon.h>
#include <string.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#if defined(__clang__)
#define ARMV8 __attribute__((target("crc,aes")))
#else
#define ARMV8 __attribute__((target("+crc+crypto")))
#endif
#define ARMV8_INLINE ARMV8 __attribute__((always_inline)) static inline

ARMV8_INLINE uint64_t load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
#if defined(__AARCH64EB__)
    v = __builtin_bswap64(v);
#endif
    return v;
}

ARMV8_INLINE uint32_t multiply(uint32_t crc, uint32_t power) {
    return __crc32cd(0, (uint64_t)vmull_p64((poly64_t)crc, (poly64_t)power));
}

ARMV8_INLINE uint32_t three_blocks(uint32_t a, const uint8_t *p, size_t n, uint32_t power_2n, uint32_t power_n) {
    uint32_t b = 0, c = 0;
    for (const uint8_t *end = p + n; p < end; p += 8) {
        a = __crc32cd(a, load64(p));
        b = __crc32cd(b, load64(p + n));
        c = __crc32cd(c, load64(p + 2 * n));
    }
    return multiply(a, power_2n) ^ multiply(b, power_n) ^ c;
}

ARMV8 uint32_t pkf_crc32c_armv8(uint32_t crc, const void *data, size_t len) {
    const uint8_t *p = data;
    crc = ~crc;
    for (; len >= 3 * 4096; len -= 3 * 4096, p += 3 * 4096) crc = three_blocks(crc, p, 4096, 0x54a86326u, 0x82f89c77u);
    for (; len >= 3 * 512; len -= 3 * 512, p += 3 * 512) crc = three_blocks(crc, p, 512, 0x170076fau, 0xdd7e3b0cu);
    for (; len >= 3 * 64; len -= 3 * 64, p += 3 * 64) crc = three_blocks(crc, p, 64, 0x0d3b6092u, 0x9e4addf8u);
    for (; len >= 8; len -= 8, p += 8) crc = __crc32cd(crc, load64(p));
    for (; len; len--, p++) crc = __crc32cb(crc, *p);
    return ~crc;
}

int pkf_crc32c_armv8_supported(void) {
#if defined(__APPLE__)
    return 1; // every 64-bit Apple processor that runs macOS
#elif defined(__linux__)
    const unsigned long crc32 = 1ul << 7, pmull = 1ul << 4; // HWCAP_CRC32, HWCAP_PMULL
    return (getauxval(AT_HWCAP) & (crc32 | pmull)) == (crc32 | pmull);
#else
    return 0;
#endif
}

#else
typedef int pkf_crc32c_armv8_not_here; // a translation unit may not be empty
#endif
