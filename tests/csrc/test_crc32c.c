// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include "pkf_crc32c.h"

// A bit at a time, straight from the definition.
static uint32_t slow(uint32_t crc, const uint8_t *p, size_t len) {
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

// Check values of RFC 3720 appendix B.4 and of the catalogue of CRCs.
static void published_values(pkf_crc32c_fn crc32c) {
    uint8_t b[48];
    memset(b, 0, 32);
    CHECK_INT(crc32c(0, b, 32), 0x8a9136aa);
    memset(b, 0xff, 32);
    CHECK_INT(crc32c(0, b, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++) b[i] = (uint8_t)i;
    CHECK_INT(crc32c(0, b, 32), 0x46dd794e);
    for (int i = 0; i < 32; i++) b[i] = (uint8_t)(31 - i);
    CHECK_INT(crc32c(0, b, 32), 0x113fdb5c);
    CHECK_INT(harness_unhex("01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018 28000000 00000000"
                            "02000000 00000000",
                            b, sizeof b),
              48);
    CHECK_INT(crc32c(0, b, 48), 0xd9963a56);
    CHECK_INT(crc32c(0, "123456789", 9), 0xe3069283);
    CHECK_INT(crc32c(0, NULL, 0), 0);
    CHECK_INT(crc32c(0x12345678, NULL, 0), 0x12345678);
}

static void every_length_and_alignment(pkf_crc32c_fn crc32c, const uint8_t *bytes, uint64_t seed) {
    for (size_t len = 0; len < 700; len++) {
        uint32_t start = (uint32_t)harness_random(&seed);
        size_t offset = (size_t)harness_below(&seed, 64);
        CHECK_INT(crc32c(start, bytes + offset, len), slow(start, bytes + offset, len));
    }
    static const size_t AROUND[] = {1536, 3 * 1536, 12288, 12288 + 1536 + 192, 2 * 12288};
    for (size_t i = 0; i < sizeof AROUND / sizeof *AROUND; i++) {
        for (size_t len = AROUND[i] - 9; len < AROUND[i] + 9; len++) {
            CHECK_INT(crc32c(7, bytes + 3, len), slow(7, bytes + 3, len));
        }
    }
}

static void parts_join(pkf_crc32c_fn crc32c, const uint8_t *bytes, uint64_t seed) {
    for (int i = 0; i < 200; i++) {
        size_t len = (size_t)harness_below(&seed, 30000), cut = (size_t)harness_below(&seed, len + 1);
        CHECK_INT(crc32c(crc32c(0, bytes, cut), bytes + cut, len - cut), crc32c(0, bytes, len));
    }
}

static void ranges_join(const uint8_t *bytes, size_t size, uint64_t seed) {
    pkf_crc32c_fn crc32c = pkf_crc32c_select("portable");
    for (int i = 0; i < 300; i++) {
        size_t len = (size_t)harness_below(&seed, i < 100 ? 70 : size), cut = (size_t)harness_below(&seed, len + 1);
        uint32_t first = crc32c(0, bytes, cut), second = crc32c(0, bytes + cut, len - cut);
        CHECK_INT(pkf_crc32c_join(first, second, (uint32_t)(len - cut)), crc32c(0, bytes, len));
    }
}

int main(void) {
    enum { SIZE = 1 << 16 };
    uint64_t seed = harness_seed(), state = seed;
    uint8_t *bytes = malloc(SIZE);
    NEED(bytes);
    for (size_t i = 0; i < SIZE; i++) bytes[i] = (uint8_t)harness_random(&state);
    int portable = 0;
    const char *name;
    for (size_t i = 0; (name = pkf_crc32c_name(i)); i++) {
        printf("crc32c: %s\n", name);
        pkf_crc32c_fn crc32c = pkf_crc32c_select(name);
        NEED(crc32c);
        if (i == 0) CHECK(crc32c == pkf_crc32c_select(NULL));
        portable += strcmp(name, "portable") == 0;
        published_values(crc32c);
        every_length_and_alignment(crc32c, bytes, seed);
        parts_join(crc32c, bytes, seed);
    }
    ranges_join(bytes, SIZE, seed);
    CHECK_INT(portable, 1);
    CHECK(!pkf_crc32c_select("no such thing"));
    free(bytes);
    return FINISH();
}
