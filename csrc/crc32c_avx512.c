// SPDX-License-Identifier: Apache-2.0
//
// Folding: the bytes are a polynomial, and what is read so far, A, is D bits in front of what comes next. A * x^D mod P is
// 32 bits wide, so a carry-less product by a constant moves A there, to be added to what lies there already. Four registers
// of 64 bytes are moved side by side over 256 bytes at a time, at the end they are moved into one another, and the last 16
// bytes go through the crc32 instruction.
//
// The halves of a 16-byte lane have constants of their own, because the lower one lies 64 bits further ahead. A product of
// two reflected 64-bit values comes out multiplied by x; hence x^(D+63) mod P and x^(D-1) mod P, in the upper 32 bits.
#include "pkf_crc32c.h"

#if defined(PKF_CRC32C_AVX512)

#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.2")))
#define AVX512_INLINE AVX512 __attribute__((always_inline)) static inline

enum { WORTH_IT = 512, STRIDE = 256, REGISTER = 64 }; // bytes

AVX512_INLINE __m128i by_128(void) { return _mm_set_epi64x(0x3171d43000000000, 0x3743f7bd00000000); }
AVX512_INLINE __m128i by_512(void) { return _mm_set_epi64x(0x75bba45b00000000, 0x1c19243b00000000); }
AVX512_INLINE __m128i by_2048(void) { return _mm_set_epi64x(0x1426a81500000000, (long long)0xe9a5d8be00000000); }

AVX512_INLINE __m512i load(const uint8_t *p) { return _mm512_loadu_si512((const void *)p); }

// The sum of a, moved, and b.
AVX512_INLINE __m512i fold(__m512i a, __m512i by, __m512i b) {
    enum { SUM_OF_THREE = 0x96 };
    __m512i lower = _mm512_clmulepi64_epi128(a, by, 0x00), upper = _mm512_clmulepi64_epi128(a, by, 0x11);
    return _mm512_ternarylogic_epi64(lower, upper, b, SUM_OF_THREE);
}

AVX512_INLINE __m128i fold_lane(__m128i a, __m128i b) {
    __m128i lower = _mm_clmulepi64_si128(a, by_128(), 0x00), upper = _mm_clmulepi64_si128(a, by_128(), 0x11);
    return _mm_xor_si128(_mm_xor_si128(lower, upper), b);
}

AVX512_INLINE uint32_t reduce(__m512i a) {
    __m128i lane = _mm512_castsi512_si128(a);
    lane = fold_lane(lane, _mm512_extracti32x4_epi32(a, 1));
    lane = fold_lane(lane, _mm512_extracti32x4_epi32(a, 2));
    lane = fold_lane(lane, _mm512_extracti32x4_epi32(a, 3));
    uint64_t crc = _mm_crc32_u64(0, (uint64_t)_mm_extract_epi64(lane, 0));
    return (uint32_t)_mm_crc32_u64(crc, (uint64_t)_mm_extract_epi64(lane, 1));
}

AVX512 uint32_t pkf_crc32c_avx512(uint32_t crc, const void *data, size_t len) {
    const uint8_t *p = data;
    if (len < WORTH_IT) return pkf_crc32c_sse42(crc, data, len);
    __m512i by = _mm512_broadcast_i32x4(by_2048());
    __m512i a = _mm512_xor_si512(load(p), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)~crc)));
    __m512i b = load(p + REGISTER), c = load(p + 2 * REGISTER), d = load(p + 3 * REGISTER);
    for (p += STRIDE, len -= STRIDE; len >= STRIDE; p += STRIDE, len -= STRIDE) {
        a = fold(a, by, load(p));
        b = fold(b, by, load(p + REGISTER));
        c = fold(c, by, load(p + 2 * REGISTER));
        d = fold(d, by, load(p + 3 * REGISTER));
    }
    by = _mm512_broadcast_i32x4(by_512());
    d = fold(fold(fold(a, by, b), by, c), by, d);
    for (; len >= REGISTER; p += REGISTER, len -= REGISTER) d = fold(d, by, load(p));
    return pkf_crc32c_sse42(~reduce(d), p, len);
}

int pkf_crc32c_avx512_supported(void) {
    return pkf_crc32c_sse42_supported() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq");
}

#else
typedef int pkf_crc32c_avx512_not_here; // a translation unit may not be empty
#endif
