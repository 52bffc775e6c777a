// SPDX-License-Identifier: Apache-2.0
#include "pkf_legacy.h"

// Slicing by 8, as in crc32c_portable.c: entries are linear in the bits of b, those of one bit each are written down.
#define ROW0(b)                                                                                                        \
    ENTRY(b, 0x77073096u, 0xee0e612cu, 0x076dc419u, 0x0edb8832u, 0x1db71064u, 0x3b6e20c8u, 0x76dc4190u, 0xedb88320u)
#define ROW1(b)                                                                                                        \
    ENTRY(b, 0x191b3141u, 0x32366282u, 0x646cc504u, 0xc8d98a08u, 0x4ac21251u, 0x958424a2u, 0xf0794f05u, 0x3b83984bu)
#define ROW2(b)                                                                                                        \
    ENTRY(b, 0x01c26a37u, 0x0384d46eu, 0x0709a8dcu, 0x0e1351b8u, 0x1c26a370u, 0x384d46e0u, 0x709a8dc0u, 0xe1351b80u)
#define ROW3(b)                                                                                                        \
    ENTRY(b, 0xb8bc6765u, 0xaa09c88bu, 0x8f629757u, 0xc5b428efu, 0x5019579fu, 0xa032af3eu, 0x9b14583du, 0xed59b63bu)
#define ROW4(b)                                                                                                        \
    ENTRY(b, 0x3d6029b0u, 0x7ac05360u, 0xf580a6c0u, 0x30704bc1u, 0x60e09782u, 0xc1c12f04u, 0x58f35849u, 0xb1e6b092u)
#define ROW5(b)                                                                                                        \
    ENTRY(b, 0xcb5cd3a5u, 0x4dc8a10bu, 0x9b914216u, 0xec53826du, 0x03d6029bu, 0x07ac0536u, 0x0f580a6cu, 0x1eb014d8u)
#define ROW6(b)                                                                                                        \
    ENTRY(b, 0xa6770bb4u, 0x979f1129u, 0xf44f2413u, 0x33ef4e67u, 0x67de9cceu, 0xcfbd399cu, 0x440b7579u, 0x8816eaf2u)
#define ROW7(b)                                                                                                        \
    ENTRY(b, 0xccaa009eu, 0x4225077du, 0x844a0efau, 0xd3e51bb5u, 0x7cbb312bu, 0xf9766256u, 0x299dc2edu, 0x533b85dau)

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

uint32_t pkf_crc32(uint32_t crc, const uint8_t *p, size_t len) {
    crc = ~crc;
    for (; len >= 8; len -= 8, p += 8) {
        crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        crc = table[7][crc & 0xff] ^ table[6][crc >> 8 & 0xff] ^ table[5][crc >> 16 & 0xff] ^ table[4][crc >> 24] ^
              table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    for (; len; len--, p++) crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
    return ~crc;
}

static uint8_t *write_field(uint8_t *p, const pkf_span *field) {
    p = pkf_store_be32(p, field->base ? (uint32_t)field->len : UINT32_MAX);
    pkf_copy(p, field->base, field->len);
    return p + field->len;
}

// What is in front of the key. Returns where the key begins.
static uint8_t *write_attributes(uint8_t *message, pkf_codec codec, int64_t timestamp, int magic) {
    uint8_t *body = message + 16; // what the CRC covers
    body[0] = (uint8_t)magic;
    body[1] = (uint8_t)codec;
    return magic > 0 ? pkf_store_be64(body + 2, (uint64_t)timestamp) : body + 2;
}

// What counts the rest, once that is written up to `end`.
static uint8_t *finish_message(uint8_t *message, int32_t offset, uint8_t *end) {
    uint8_t *start = message + 12, *body = start + 4;
    pkf_store_be64(message, (uint64_t)offset);
    pkf_store_be32(message + 8, (uint32_t)(end - start));
    pkf_store_be32(start, pkf_crc32(0, body, (size_t)(end - body)));
    return end;
}

static uint8_t *write_message(uint8_t *p, const pkf_record *record, int32_t index, int64_t timestamp, int magic) {
    uint8_t *end = write_attributes(p, PKF_NONE, timestamp, magic);
    end = write_field(end, &record->key);
    end = write_field(end, &record->value);
    return finish_message(p, index, end);
}

pkf_status pkf_legacy_write(pkf_span records, int32_t count, int64_t base_timestamp, int magic, uint8_t *dst,
                            size_t *size) {
    pkf_cursor cursor = pkf_cursor_over(records.base, records.len);
    uint8_t *p = dst;
    for (int32_t i = 0; i < count; i++) {
        pkf_record record;
        pkf_status status = pkf_record_read(&cursor, &record);
        if (status) return status;
        if (record.header_count) return PKF_E_UNSUPPORTED;
        // Wraps as it did when the delta was taken.
        int64_t timestamp = (int64_t)((uint64_t)base_timestamp + (uint64_t)record.ts_delta);
        p = write_message(p, &record, i, timestamp, magic);
    }
    *size = (size_t)(p - dst);
    return pkf_cursor_remaining(&cursor) ? PKF_E_MALFORMED : PKF_OK;
}

pkf_status pkf_legacy_wrap(pkf_codec_state *state, pkf_codec codec, int32_t level, pkf_span set, int32_t count,
                           int64_t max_timestamp, int magic, uint8_t *dst, size_t *size) {
    if (codec < PKF_GZIP || codec > PKF_LZ4) return PKF_E_UNSUPPORTED;
    if (pkf_legacy_wrap_bound(codec, set.len) > INT32_MAX) return PKF_E_TOO_LARGE;
    static const pkf_span no_key = {NULL, 0};
    uint8_t *value_size = write_field(write_attributes(dst, codec, max_timestamp, magic), &no_key);
    uint8_t *value = value_size + 4;
    size_t compressed = 0;
    pkf_status status = pkf_codec_compress(state, codec, level, magic, set, value, &compressed);
    if (status) return status;
    pkf_store_be32(value_size, (uint32_t)compressed);
    *size = (size_t)(finish_message(dst, count - 1, value + compressed) - dst);
    return PKF_OK;
}
