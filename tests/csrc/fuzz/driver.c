// SPDX-License-Identifier: Apache-2.0
//
// Runs a fuzzer's entry point without libFuzzer: every file of a corpus folder as it is, then mutations from a printed
// seed. Usage: fuzz_x [cases] [corpus folder]; 0 cases: for ever. PKF_SEED repeats a run. An input takes 10 s at most and
// memory may not grow; whatever ends the process, the number of the input is said and the input is left in
// fuzz_x.input, of which `fuzz_x 1 folder` makes a corpus.
//
// An entry point answers 0 to an input that it could make sense of, -1 to one it refused.
#include "mutate.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

enum { SEEDS_MAX = 256, CASE_SECONDS = 10, REPORT_EVERY = 65536, GROWTH_MAX_KB = 8 << 10 };

static fuzz_input seeds[SEEDS_MAX], current;
static size_t seed_count;
static unsigned long long cases_run, cases_accepted;
static const char *program;

static void load(const char *folder) {
    DIR *dir = folder ? opendir(folder) : NULL;
    struct dirent *entry;
    char path[1024];
    while (dir && seed_count < SEEDS_MAX && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = fopen(path, "rb");
        NEED(file);
        seeds[seed_count].size = fread(seeds[seed_count].bytes, 1, FUZZ_INPUT_MAX, file);
        seed_count++;
        fclose(file);
    }
    if (dir) closedir(dir);
}

static void leave_input(void) {
    char path[1024];
    snprintf(path, sizeof path, "%s.input", program);
    fprintf(stderr, "%s: ended by input %llu, which is in %s\n", program, cases_run, path);
    FILE *file = fopen(path, "wb");
    if (file == NULL) return;
    fwrite(current.bytes, 1, current.size, file);
    fclose(file);
}

static void on_signal(int number) {
    leave_input();
    signal(number, SIG_DFL);
    raise(number);
}

// A block of exactly that size, so that a sanitizer sees the first byte read behind it.
static void run(void) {
    uint8_t *block = malloc(current.size ? current.size : 1);
    NEED(block);
    memcpy(block, current.bytes, current.size);
    cases_run++;
    if (cases_run % 16 == 1) alarm(CASE_SECONDS * 2); // a system call per input would be most of the work
    cases_accepted += LLVMFuzzerTestOneInput(block, current.size) == 0;
    free(block);
}

static void choose(uint64_t *random) {
    if (seed_count == 0 || harness_below(random, 16) == 0) {
        current.size = (size_t)harness_below(random, 200);
        for (size_t i = 0; i < current.size; i++) current.bytes[i] = (uint8_t)harness_random(random);
        return;
    }
    const fuzz_input *seed = &seeds[harness_below(random, seed_count)];
    current.size = seed->size;
    memcpy(current.bytes, seed->bytes, seed->size);
    mutate(&current, &seeds[harness_below(random, seed_count)], random);
}

static long resident_kb(void) {
    struct rusage usage;
    NEED(getrusage(RUSAGE_SELF, &usage) == 0);
#if defined(__APPLE__)
    return usage.ru_maxrss >> 10;
#else
    return usage.ru_maxrss;
#endif
}

static bool is_sanitized(void) { return __sanitizer_set_death_callback != NULL; } // keeps freed memory for a while

int main(int argc, char **argv) {
    unsigned long long cases = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000, until = 0;
    program = argv[0];
    uint64_t random = harness_seed();
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (is_sanitized()) __sanitizer_set_death_callback(leave_input);
    signal(SIGABRT, on_signal);
    signal(SIGALRM, on_signal);
    if (!is_sanitized()) signal(SIGSEGV, on_signal);
    load(argc > 2 ? argv[2] : NULL);
    for (size_t i = 0; i < seed_count; i++) {
        memcpy(&current, &seeds[i], sizeof current);
        run();
    }
    NEED(seed_count == 0 || cases_accepted == seed_count); // a corpus that nothing accepts tests nothing
    long before = 0;
    while (cases == 0 || until < cases) {
        choose(&random);
        run();
        until++;
        if (until == cases / 10 || (cases == 0 && until == REPORT_EVERY)) before = resident_kb();
        if (cases == 0 && until % (16 * REPORT_EVERY) == 0) printf("%s: %llu mutations\n", program, until);
    }
    long grown = resident_kb() - before;
    printf("%s: %zu from the corpus, %llu mutations, %llu accepted, %ld KiB more\n", program, seed_count, until,
           cases_accepted, grown);
    NEED(is_sanitized() || cases < 1000 || grown < GROWTH_MAX_KB);
    return 0;
}
