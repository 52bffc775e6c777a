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
