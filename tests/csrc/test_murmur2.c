// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include "pkf_murmur2.h"

// The first six are the cases of the Java client's own unit test.
static const struct {
    const char *text;
    int32_t hash;
} TEXTS[] = {
    {"21", -973932308},
    {"foobar", -790332482},
    {"a-little-bit-long-string", -985981536},
    {"a-little-bit-longer-string", -1486304829},
    {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
    {"abc", 479470107},
    {"", 275646681},
    {"ab", 316155434},
    {"abcd", -1323649548},
    {"key", -1079937367},
    {"kafka", -798503068},
    {"h\xc3\xa9llo \xe4\xb8\x96\xe7\x95\x8c", -64778787},
    {"\xff", -311467685},
    {"\xff\xff\xff\xff\xff", -363838622},
    {"\x80\x81\x82\x83\x84\x85\x86", -47880214},
};

int main(void) {
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        size_t len = strlen(TEXTS[i].text);
        uint8_t unaligned[80];
        memcpy(unaligned + 1, TEXTS[i].text, len);
        CHECK_INT(pkf_murmur2(TEXTS[i].text, len), TEXTS[i].hash);
        CHECK_INT(pkf_murmur2(unaligned + 1, len), TEXTS[i].hash);
    }
    uint8_t bytes[256] = {0};
    CHECK_INT(pkf_murmur2(NULL, 0), 275646681);
    CHECK_INT(pkf_murmur2(bytes, 1), 375494588);
    CHECK_INT(pkf_murmur2(bytes, 4), 850957120);
    for (int i = 0; i < 256; i++) bytes[i] = (uint8_t)i;
    CHECK_INT(pkf_murmur2(bytes, 256), -1948347274);
    char digits[101] = "";
    for (int i = 0; i < 10; i++) strcat(digits, "1234567890");
    CHECK_INT(pkf_murmur2(digits, 100), -550421823);
    return FINISH();
}
