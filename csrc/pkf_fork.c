// SPDX-License-Identifier: Apache-2.0
#include "pkf_fork.h"

void pkf_accum_orphan(pkf_accum *accum) {
    atomic_store(&accum->closed, 1);
    pkf_wakeup_close(&accum->wakeup);
}

void pkf_wire_orphan(pkf_wire *wire) {
    pkf_wakeup_close(&wire->events.wakeup);
    if (pthread_mutex_trylock(&wire->nodes_lock)) return; // the table was being changed; its connections stay open here
    for (int32_t i = 0; i < wire->node_count; i++) {
        int fd = atomic_exchange(&wire->nodes[i]->fd, -1);
        if (fd >= 0) pkf_transport_plain.close((void *)(intptr_t)fd);
    }
}

void pkf_batch_orphan(pkf_batch *batch) {
    uint32_t state = pkf_batch_state(batch);
    if ((state & PKF_DONE) && (state & PKF_DELIVERED)) return;
    if (!(state & PKF_DONE)) {
        batch->message = NULL; // of a try of the parent's; left to it
        batch->record_error_count = 0;
        batch->fork_count = 0;
        batch->code = PKF_CODE_FORKED;
        batch->in_doubt = true;
    }
    atomic_fetch_or_explicit(&batch->state, PKF_DONE | PKF_DELIVERED, memory_order_acq_rel);
}
