// SPDX-License-Identifier: Apache-2.0
//
// The pool's promises that need a look at the process: what it really holds, and that misuse ends it.
#include "harness.h"

#include <sys/wait.h>
#include <unistd.h>

#include "pkf_slab.h"

static pkf_pool *new_pool(size_t budget) {
    pkf_pool *pool = pkf_pool_new(budget);
    NEED(pool);
    return pool;
}

static pkf_slab *acquire(pkf_pool *pool, size_t size) {
    pkf_slab *slab = NULL;
    NEED(pkf_pool_try(pool, size, &slab) == PKF_OK);
    return slab;
}

#if defined(__linux__) && !defined(PKF_DEBUG)

static size_t resident_now(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    size_t total = 0, resident = 0;
    NEED(file && fscanf(file, "%zu %zu", &total, &resident) == 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

// Every class in turn fills the whole budget, page by page; whatever was there before must have gone.
static void pages_stay_within_the_budget(void) {
    enum { BUDGET = 32 << 20, MARGIN = 4 << 20 };
    static pkf_slab *slabs[BUDGET / 4096];
    static const size_t SIZES[] = {4096, 1 << 20, 16384, 3 << 20, 65536, 4096, 262144};
    size_t before = resident_now(), most = 0;
    pkf_pool *pool = new_pool(BUDGET);
    for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++) {
        size_t count = 0;
        while (pkf_pool_try(pool, SIZES[s], &slabs[count]) == PKF_OK) {
            memset(slabs[count]->base, 1, slabs[count]->size);
            count++;
            if (count % 16 == 0 && resident_now() > most) most = resident_now();
        }
        CHECK_INT(count, BUDGET / SIZES[s]);
        if (resident_now() > most) most = resident_now();
        for (size_t i = 0; i < count; i++) pkf_pool_release(pool, slabs[(i * 7919) % count]); // in no order
    }
    printf("resident at most %zu KiB above the start\n", (most - before) >> 10);
    CHECK(most > before + BUDGET - MARGIN && most < before + BUDGET + MARGIN);
    CHECK_INT(pkf_pool_free(pool), PKF_OK);
}

#else
static void pages_stay_within_the_budget(void) {} // sanitizers and guards take memory of their own
#endif

// ---- misuse that a debug build, or a sanitizer, must end ----

typedef void misuse(pkf_pool *pool);

static void release_twice(pkf_pool *pool) {
    pkf_slab *slab = acquire(pool, 4096);
    pkf_pool_release(pool, slab);
    pkf_pool_release(pool, slab);
}

static void write_behind_the_end(pkf_pool *pool) {
    pkf_slab *slab = acquire(pool, 4096);
    volatile uint8_t *p = slab->base;
    p[slab->size] = 1;
    pkf_pool_release(pool, slab);
}

static void write_after_release(pkf_pool *pool) {
    pkf_slab *slab = acquire(pool, 4096);
    volatile uint8_t *p = slab->base;
    pkf_pool_release(pool, slab);
    p[100] = 1;
    (void)acquire(pool, 4096);
}

static bool ends_the_process(misuse *run) {
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0) {
        (void)!freopen("/dev/null", "w", stderr); // the sanitizer's report is expected
        run(new_pool(65536));
        _exit(0);
    }
    NEED(waitpid(child, &status, 0) == child);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void misuse_ends_the_process(void) {
    CHECK(ends_the_process(release_twice));
#if defined(PKF_DEBUG)
    CHECK(ends_the_process(write_behind_the_end));
    CHECK(ends_the_process(write_after_release));
#else
    (void)write_behind_the_end;
    (void)write_after_release;
#endif
}

int main(void) {
    pages_stay_within_the_budget();
    misuse_ends_the_process();
    return FINISH();
}
