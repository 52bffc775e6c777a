// SPDX-License-Identifier: Apache-2.0
//
// Runs a fuzzer's entry point without libFuzzer: every file of a corpus folder as it is, then a fixed number of mutations
// from a printed seed. Usage: fuzz_x [cases] [corpus folder]. PKF_SEED repeats a run.
#include <dirent.h>

#include "harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEEDS_MAX = 256, INPUT_MAX = 4096 };

typedef struct input {
    size_t size;
    uint8_t bytes[INPUT_MAX];
} input;

static input seeds[SEEDS_MAX];
static size_t seed_count;

static void load(const char *folder) {
    DIR *dir = folder ? opendir(folder) : NULL;
    struct dirent *entry;
    char path[1024];
    while (dir && seed_count < SEEDS_MAX && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = fopen(path, "rb");
        NEED(file);
        seeds[seed_count].size = fread(seeds[seed_count].bytes, 1, INPUT_MAX, file);
        seed_count++;
        fclose(file);
    }
    if (dir) closedir(dir);
}

static void mutate(input *in, uint64_t *random) {
    static const uint8_t TELLING[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, 0x0f};
    for (uint64_t n = harness_below(random, 6); n > 0 && in->size; n--) {
        size_t at = (size_t)harness_below(random, in->size);
        switch (harness_below(random, 6)) {
        case 0: in->bytes[at] = (uint8_t)harness_random(random); break;
        case 1: in->bytes[at] ^= (uint8_t)(1u << harness_below(random, 8)); break;
        case 2: in->bytes[at] = TELLING[harness_below(random, sizeof TELLING)]; break;
        case 3: in->size = at; break;
        case 4: // leave out
            memmove(in->bytes + at, in->bytes + at + 1, in->size - at - 1);
            in->size--;
            break;
        default: // double
            if (in->size == INPUT_MAX) break;
            memmove(in->bytes + at + 1, in->bytes + at, in->size - at);
            in->size++;
        }
    }
}

// A block of exactly that size, so that a sanitizer sees the first byte read behind it.
static void run(const input *in) {
    uint8_t *block = malloc(in->size ? in->size : 1);
    NEED(block);
    memcpy(block, in->bytes, in->size);
    (void)LLVMFuzzerTestOneInput(block, in->size);
    free(block);
}

int main(int argc, char **argv) {
    long cases = argc > 1 ? atol(argv[1]) : 10000;
    uint64_t random = harness_seed();
    load(argc > 2 ? argv[2] : NULL);
    for (size_t i = 0; i < seed_count; i++) run(&seeds[i]);
    for (long i = 0; i < cases; i++) {
        static input in;
        if (seed_count && harness_below(&random, 10)) {
            in = seeds[harness_below(&random, seed_count)];
            mutate(&in, &random);
        } else {
            in.size = (size_t)harness_below(&random, 200);
            for (size_t j = 0; j < in.size; j++) in.bytes[j] = (uint8_t)harness_random(&random);
        }
        run(&in);
    }
    printf("%s: %zu from the corpus, %ld mutations\n", argv[0], seed_count, cases);
    return 0;
}
