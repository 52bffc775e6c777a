// SPDX-License-Identifier: Apache-2.0
//
// CRC-32C (Castagnoli, reflected 0x82F63B78, initial value and final xor all ones), the checksum of message format v2.
//
//   name       file               needs
//   avx512     crc32c_avx512.c    x86-64 with AVX-512 and VPCLMULQDQ: folding by carry-less products, 256 bytes at a time
//   sse42      crc32c_sse42.c     x86-64 with SSE4.2 and PCLMULQDQ: three crc32 streams, joined by carry-less products
//   armv8      crc32c_armv8.c     AArch64 with CRC32 and PMULL: the same
//   portable   crc32c_portable.c  nothing: slicing by 8
//
// There is no global choice: whoever needs a CRC asks once with pkf_crc32c_select() and keeps the function. The functions
// are pure, callable from any thread, with any alignment and length.
#ifndef PKF_CRC32C_H
#define PKF_CRC32C_H

#include <stddef.h>
#include <stdint.h>

// The CRC of (what `crc` is the CRC of) followed by data; crc is 0 for a start. So f(f(0, a), b) == f(0, ab).
typedef uint32_t (*pkf_crc32c_fn)(uint32_t crc, const void *data, size_t len);

// The implementation of that name, or the fastest that this processor runs if name is NULL. NULL if there is none of that
// name here. Never NULL for NULL or "portable". Not for a hot path: it asks the processor.
pkf_crc32c_fn pkf_crc32c_select(const char *name);

// The CRC of two ranges of bytes, one behind the other, from their own. It takes as long as the CRC of some kilobytes.
uint32_t pkf_crc32c_join(uint32_t first, uint32_t second, uint32_t second_len);

// The names pkf_crc32c_select() accepts on this processor, fastest first: index 0, 1, ... until NULL.
const char *pkf_crc32c_name(size_t index);

// Compilers before these do not know the instructions.
#if defined(__x86_64__) && ((defined(__clang__) && __clang_major__ >= 9) || (!defined(__clang__) && __GNUC__ >= 10))
#define PKF_CRC32C_AVX512
#endif

// The implementations. Call one that has a _supported() beside it only if that says yes.
uint32_t pkf_crc32c_portable(uint32_t crc, const void *data, size_t len);
#if defined(__x86_64__)
int pkf_crc32c_sse42_supported(void);
uint32_t pkf_crc32c_sse42(uint32_t crc, const void *data, size_t len);
#if defined(PKF_CRC32C_AVX512)
int pkf_crc32c_avx512_supported(void);
uint32_t pkf_crc32c_avx512(uint32_t crc, const void *data, size_t len);
#endif
#elif defined(__aarch64__)
int pkf_crc32c_armv8_supported(void);
uint32_t pkf_crc32c_armv8(uint32_t crc, const void *data, size_t len);
#endif

#endif
