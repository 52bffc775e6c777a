// SPDX-License-Identifier: Apache-2.0
//
// First byte: codec, message format, and whether the rest is hostile bytes to decompress or plain ones to compress. Second
// byte: the room there is, or the level. One state serves all inputs, as a worker's does: what an input leaves behind in
// there must not spoil the next. No sanitizer sees into the libraries, so everything they read or write ends at a page
// that nobody may touch.
#include "harness.h"

#include "pkf_codec.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CODECS = 5, PLAIN = 0x80 };

static const char good_text[] = "a batch of somebody else, a batch of somebody else";

static pkf_codec_state *state(void) {
    static pkf_codec_state *only;
    if (only == NULL) only = pkf_codec_state_new();
    if (only == NULL) abort();
    return only;
}

static int32_t level_of(pkf_codec codec, uint8_t byte) {
    pkf_codec_levels levels;
    if (pkf_codec_describe(codec, &levels)) abort();
    if (levels.max > 12) levels.max = 12; // the highest take too long for this
    return levels.min + byte % (levels.max - levels.min + 1);
}

typedef enum field { HOSTILE, DECOMPRESSED, COMPRESSED, BACK, FIELDS } field;

// So many bytes, right before the fence.
static uint8_t *fenced(field which, size_t size) {
    enum { MOST = 1 << 20, FENCE = 1 << 16 };
    static uint8_t *fields[FIELDS];
    if (fields[which] == NULL) {
        void *mapped = mmap(NULL, MOST + FENCE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED || mprotect((uint8_t *)mapped + MOST, FENCE, PROT_NONE)) abort();
        fields[which] = mapped;
    }
    if (size > MOST) abort();
    return fields[which] + MOST - size;
}

static void there_and_back(pkf_codec codec, int32_t level, int magic, pkf_span plain) {
    size_t bound = pkf_codec_bound(codec, plain.len), packed = 0, unpacked = 0;
    uint8_t *small = fenced(COMPRESSED, bound), *back = fenced(BACK, plain.len);
    if (pkf_codec_compress(state(), codec, level, magic, plain, small, &packed) || packed > bound) abort();
    pkf_span src = {memmove(fenced(COMPRESSED, packed), small, packed), packed};
    if (pkf_codec_decompress(state(), codec, magic, src, back, plain.len, &unpacked)) abort();
    if (unpacked != plain.len || (plain.len && memcmp(back, plain.base, plain.len) != 0)) abort();
    if (plain.len && pkf_codec_decompress(state(), codec, magic, src, back, plain.len - 1, &unpacked) == PKF_OK)
        abort();
}

static int hostile(pkf_codec codec, int magic, size_t room, pkf_span src) {
    size_t size = 0;
    uint8_t *dst = fenced(DECOMPRESSED, room);
    src.base = memcpy(fenced(HOSTILE, src.len), src.base, src.len);
    pkf_status status = pkf_codec_decompress(state(), codec, magic, src, dst, room, &size);
    if (size > room) abort();
    if (status == PKF_OK) there_and_back(codec, level_of(codec, 0), magic, (pkf_span){dst, size});
    if (status == PKF_OK) return 0;
    if (status != PKF_E_MALFORMED && status != PKF_E_TOO_LARGE) abort();
    there_and_back(codec, level_of(codec, 0), magic, (pkf_span){(const uint8_t *)good_text, sizeof good_text});
    return -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const size_t rooms[] = {4096, 0, 1, 100, 70000, 300000};
    if (size < 2) return -1;
    pkf_codec codec = (pkf_codec)((data[0] & 7) % CODECS);
    int magic = (data[0] >> 3 & 3) % 3;
    pkf_span rest = {data + 2, size - 2};
    if (!(data[0] & PLAIN)) return hostile(codec, magic, rooms[data[1] % (sizeof rooms / sizeof *rooms)], rest);
    there_and_back(codec, level_of(codec, data[1]), magic, rest);
    return 0;
}
