// SPDX-License-Identifier: Apache-2.0
#include "cluster.h"
#include "rig.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "pkf_fork.h"

static rig r;
static cluster brokers;

static void start(void) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    accum.linger_ns = 100000 * RIG_MS;
    rig_open(&r, &accum, &wire, CLUSTER_PARTITIONS);
    cluster_init(&brokers, 100, 1, false, 1);
    for (int i = 0; i < CLUSTER_PARTITIONS; i++) brokers.logs[i].leader = 0;
    rig_lead(&r, 0, 1);
    cluster_accept(&brokers, 0, rig_connect(&r, 0, 12));
    NEED(pkf_wire_start(r.wire) == PKF_OK);
}

static pkf_slot append(uint32_t number) {
    uint32_t value[3] = {0, number, number};
    pkf_slot slot = {.batch = NULL};
    pkf_append a = rig_record(&r, 0, NULL, &slot);
    a.value = (pkf_span){(const uint8_t *)value, sizeof value};
    NEED(rig_append_some(r.accum, &a, false) == PKF_OK);
    return slot;
}

static void wait_for(const pkf_slot *slot) {
    pkf_accum_hurry(r.accum, slot->batch);
    CHECK_INT(pkf_accum_wait_batch(r.accum, slot->batch, false, PEER_WAIT_MS * RIG_MS), PKF_OK);
}

static bool is_open(int fd) { return fcntl(fd, F_GETFD) != -1; }

// What the child sees; returns the number of the first thing that is not so, 0 if all is.
static int look_in_child(const pkf_slot *done, const pkf_slot *pending) {
    int wakeup = r.accum->wakeup.read_fd, events = r.wire->events.wakeup.read_fd;
    int connection = atomic_load(&r.wire->nodes[0]->fd);
    if (!pkf_batch_inherited(done->batch) || connection < 0) return 1;
    pkf_accum_orphan(r.accum);
    pkf_wire_orphan(r.wire);
    if (is_open(wakeup) || is_open(events) || is_open(connection)) return 2;
    if (!pkf_batch_inherited(pending->batch)) return 3;
    for (int i = 0; i < 2; i++) {
        pkf_batch_orphan(done->batch);
        pkf_batch_orphan(pending->batch);
    }
    if (done->batch->code != 0 || done->batch->base_offset != 0) return 4; // it had its outcome
    if (pending->batch->code != PKF_CODE_FORKED || !pending->batch->in_doubt) return 5;
    pkf_slot late = {.batch = NULL};
    pkf_append a = rig_record(&r, 1, "late", &late);
    return pkf_accum_append(r.accum, &a) == PKF_E_CLOSED ? 0 : 6;
}

static void the_child_leaves_the_parent_alone(void) {
    start();
    pkf_slot done = append(0);
    wait_for(&done);
    pkf_slot pending = append(1);
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        NEED(child >= 0);
        if (child == 0) _exit(look_in_child(&done, &pending));
        int status = -1;
        NEED(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status));
        CHECK_INT(WEXITSTATUS(status), 0);
    }
    CHECK(!pkf_batch_inherited(pending.batch) && !rig_is_done(&pending));
    wait_for(&pending);
    CHECK_INT(pending.batch->code, 0);
    CHECK_INT(atomic_load(&r.wire->counters.connections_closed), 0);
    rig_forget(&done);
    rig_forget(&pending);
    rig_stop_and_close(&r);
    cluster_free(&brokers);
}

int main(void) {
    the_child_leaves_the_parent_alone();
    return FINISH();
}
