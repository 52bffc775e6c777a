// SPDX-License-Identifier: Apache-2.0
//
// Slicing by 8. Entry b of row r is the CRC register after byte b and r zero bytes, so that eight bytes of input are eight
// independent look-ups. Entries are linear in the bits of b: the eight of one bit each are written down, the compiler
// joins the others, and nothing is initialised at run time.
#include "pkf_crc32c.h"

#define ROW0(b)                                                                                                        \
    ENTRY(b, 0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu, 0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu, 0x82f63b78u)
#define ROW1(b)                                                                                                        \
    ENTRY(b, 0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u, 0x3fc5f181u, 0x7f8be302u, 0xff17c604u, 0xfbc3faf9u)
#define ROW2(b)                                                                                                        \
    ENTRY(b, 0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u, 0x70a27d8au, 0xe144fb14u, 0xc76580d9u, 0x8b277743u)
#define ROW3(b)                                                                                                        \
    ENTRY(b, 0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u, 0xe964b13du, 0xd725148bu, 0xaba65fe7u, 0x52a0c93fu)
#define ROW4(b)                                                                                                        \
    ENTRY(b, 0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u, 0x8f2261d3u, 0x1ba8b557u, 0x37516aaeu, 0x6ea2d55cu)
#define ROW5(b)                                                                                                        \
    ENTRY(b, 0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu, 0xc00c303eu, 0x85f4168du, 0x0e045bebu, 0x1c08b7d6u)
#define ROW6(b)                                                                                                        \
    ENTRY(b, 0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u, 0x9c5bfaa6u, 0x3d5b83bdu, 0x7ab7077au, 0xf56e0ef4u)
#define ROW7(b)                                                                                                        \
    ENTRY(b, 0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau, 0x847609b4u, 0x0d006599u, 0x1a00cb32u, 0x34019664u)

#define BIT(b, n, value) ((b) >> (n) & 1u ? (value) : 0u)
#define ENTRY(b, v0, v1, v2, v3, v4, v5, v6, v7)                                                                       \
    (BIT(b, 0, v0) ^ BIT(b, 1, v1) ^ BIT(b, 2, v2) ^ BIT(b, 3, v3) ^ BIT(b, 4, v4) ^ BIT(b, 5, v5) ^ BIT(b, 6, v6) ^   \
     BIT(b, 7, v7))
#define FOUR(row, b) row((b)), row((b) + 1u), row((b) + 2u), row((b) + 3u)
#define SIXTEEN(row, b) FOUR(row, b), FOUR(row, (b) + 4u), FOUR(row, (b) + 8u), FOUR(row, (b) + 12u)
#define SIXTY_FOUR(row, b) SIXTEEN(row, b), SIXTEEN(row, (b) + 16u), SIXTEEN(row, (b) + 32u), SIXTEEN(row, (b) + 48u)
#define ALL(row) SIXTY_FOUR(row, 0u), SIXTY_FOUR(row, 64u), SIXTY_FOUR(row, 128u), SIXTY_FOUR(row, 192u)

static const uint32_t table[8][256] = {
    {ALL(ROW0)}, {ALL(ROW1)}, {ALL(ROW2)}, {ALL(ROW3)}, {ALL(ROW4)}, {ALL(ROW5)}, {ALL(ROW6)}, {ALL(ROW7)},
};

uint32_t pkf_crc32c_portable(uint32_t crc, const void *data, size_t len) {
    const uint8_t *p = data;
    crc = ~crc;
    for (; len >= 8; len -= 8, p += 8) {
        crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        crc = table[7][crc & 0xff] ^ table[6][crc >> 8 & 0xff] ^ table[5][crc >> 16 & 0xff] ^ table[4][crc >> 24] ^
              table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    for (; len; len--, p++) crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
    return ~crc;
}
