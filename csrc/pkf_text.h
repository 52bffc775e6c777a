// SPDX-License-Identifier: Apache-2.0
// A short message put together without stdio: cut off when full, always terminated.
#ifndef PKF_TEXT_H
#define PKF_TEXT_H

#include <stddef.h>
#include <stdint.h>

typedef struct pkf_text {
    size_t len;
    char chars[512];
} pkf_text;

static inline void pkf_text_add(pkf_text *text, const char *part) {
    while (*part && text->len < sizeof text->chars - 1) text->chars[text->len++] = *part++;
    text->chars[text->len] = 0;
}

static inline void pkf_text_add_int(pkf_text *text, int64_t value) {
    char digits[24];
    size_t at = sizeof digits - 1;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0) digits[--at] = '-';
    pkf_text_add(text, digits + at);
}

#endif
