// SPDX-License-Identifier: Apache-2.0
#include "pkf_crc32c.h"

#include <string.h>

static int always(void) { return 1; }

static const struct {
    const char *name;
    int (*supported)(void);
    pkf_crc32c_fn fn;
} implementations[] = {
#if defined(PKF_CRC32C_AVX512)
    {"avx512", pkf_crc32c_avx512_supported, pkf_crc32c_avx512},
#endif
#if defined(__x86_64__)
    {"sse42", pkf_crc32c_sse42_supported, pkf_crc32c_sse42},
#elif defined(__aarch64__)
    {"armv8", pkf_crc32c_armv8_supported, pkf_crc32c_armv8},
#endif
    {"portable", always, pkf_crc32c_portable},
};

enum { COUNT = sizeof implementations / sizeof implementations[0] };

pkf_crc32c_fn pkf_crc32c_select(const char *name) {
    for (size_t i = 0; i < COUNT; i++) {
        if (name && strcmp(name, implementations[i].name) != 0) continue;
        if (implementations[i].supported()) return implementations[i].fn;
    }
    return NULL;
}

const char *pkf_crc32c_name(size_t index) {
    for (size_t i = 0; i < COUNT; i++) {
        if (implementations[i].supported() && index-- == 0) return implementations[i].name;
    }
    return NULL;
}

// x^(8 * 2^k) mod P, reflected: bit 31 is x^0.
static const uint32_t powers[32] = {
    0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7,
    0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc,
    0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915, 0x734d5309, 0xbc1ac763, 0x7d0722cc,
    0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42, 0x40000000, 0x20000000, 0x08000000, 0x00800000,
};

static uint32_t multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (; a; a <<= 1) {
        product ^= b & (0u - (a >> 31));
        b = (b >> 1) ^ (0x82f63b78u & (0u - (b & 1)));
    }
    return product;
}

uint32_t pkf_crc32c_join(uint32_t first, uint32_t second, uint32_t second_len) {
    for (int k = 0; second_len; k++, second_len >>= 1)
        if (second_len & 1) first = multiply(powers[k], first);
    return first ^ second;
}
