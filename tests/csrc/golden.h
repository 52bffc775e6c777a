// SPDX-License-Identifier: Apache-2.0
//
// Reads ../golden/*.txt: lines of "<number> <hex>", and comments behind '#'. Tests run in tests/csrc.
#ifndef GOLDEN_H
#define GOLDEN_H

#include "harness.h"

typedef struct golden {
    FILE *file;
    int number;
    size_t size;
    uint8_t bytes[4096];
} golden;

static inline void golden_open(golden *g, const char *path) {
    g->file = fopen(path, "r");
    NEED(g->file);
}

// The next line; false and closed behind the last.
static inline bool golden_next(golden *g) {
    char line[2 * sizeof g->bytes + 16], hex[2 * sizeof g->bytes + 1];
    while (fgets(line, sizeof line, g->file)) {
        if (sscanf(line, "%d %8192s", &g->number, hex) != 2) continue;
        g->size = harness_unhex(hex, g->bytes, sizeof g->bytes);
        return true;
    }
    fclose(g->file);
    return false;
}

#endif
