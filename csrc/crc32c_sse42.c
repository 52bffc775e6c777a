// SPDX-License-Identifier: Apache-2.0
//
// The crc32 instruction takes one cycle to start and three to finish, so three streams run side by side over neighbouring
// blocks of n bytes, A B C. Joined: crc(ABC) = crc(A) * x^(16n) + crc(B) * x^(8n) + crc(C). A carry-less product of two
// reflected 32-bit values comes out multiplied by x, and running it through crc32 multiplies it by x^32; hence the
// constants x^(16n-33) and x^(8n-33).
#include "pkf_crc32c.h"

#if defined(__x86_64__)

#include <nmmintrin.h>
#include <string.h>
#include <wmmintrin.h>

#define SSE42 __attribute__((target("sse4.2,pclmul")))
#define SSE42_INLINE SSE42 __attribute__((always_inline)) static inline

SSE42_INLINE uint64_t load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

SSE42_INLINE uint32_t multiply(uint32_t crc, uint32_t power) {
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)crc), _mm_cvtsi32_si128((int)power), 0);
    return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

SSE42_INLINE uint32_t three_blocks(uint32_t crc, const uint8_t *p, size_t n, uint32_t power_2n, uint32_t power_n) {
    uint64_t a = crc, b = 0, c = 0;
    for (const uint8_t *end = p + n; p < end; p += 8) {
        a = _mm_crc32_u64(a, load64(p));
        b = _mm_crc32_u64(b, load64(p + n));
        c = _mm_crc32_u64(c, load64(p + 2 * n));
    }
    return multiply((uint32_t)a, power_2n) ^ multiply((uint32_t)b, power_n) ^ (uint32_t)c;
}

SSE42 uint32_t pkf_crc32c_sse42(uint32_t crc, const void *data, size_t len) {
    const uint8_t *p = data;
    crc = ~crc;
    for (; len >= 3 * 4096; len -= 3 * 4096, p += 3 * 4096) crc = three_blocks(crc, p, 4096, 0x54a86326u, 0x82f89c77u);
    for (; len >= 3 * 512; len -= 3 * 512, p += 3 * 512) crc = three_blocks(crc, p, 512, 0x170076fau, 0xdd7e3b0cu);
    for (; len >= 3 * 64; len -= 3 * 64, p += 3 * 64) crc = three_blocks(crc, p, 64, 0x0d3b6092u, 0x9e4addf8u);
    for (; len >= 8; len -= 8, p += 8) crc = (uint32_t)_mm_crc32_u64(crc, load64(p));
    for (; len; len--, p++) crc = _mm_crc32_u8(crc, *p);
    return ~crc;
}

int pkf_crc32c_sse42_supported(void) { return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"); }

#else
typedef int pkf_crc32c_sse42_not_here; // a translation unit may not be empty
#endif
