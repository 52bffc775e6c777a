// SPDX-License-Identifier: Apache-2.0
// What took longer than delivery_timeout_ms, and why.
#include "pkf_round.h"
#include "pkf_text.h"
#include "pkf_topic.h"

#define NS_PER_MS 1000000

static bool is_expired(const pkf_wire *wire, const pkf_batch *batch) {
    return wire->now - batch->created_ns >= wire->accum->config.delivery_timeout_ns;
}

static void explain_no_leader(const char *trouble, pkf_text *text) {
    pkf_text_add(text, "; the partition has no leader that is known");
    if (trouble) pkf_text_add(text, ": ");
    if (trouble) pkf_text_add(text, trouble);
}

static void explain_leader(const pkf_wire *wire, const pkf_node *node, pkf_text *text) {
    pkf_inflight *oldest = node->conn ? pkf_conn_oldest(node->conn) : NULL;
    if (node->trouble) {
        pkf_text_add(text, "; its leader, node ");
        pkf_text_add_int(text, node->id);
        pkf_text_add(text, ", cannot be reached: ");
        pkf_text_add(text, node->trouble);
    } else if (wire->config.idempotent && wire->pid_asked) {
        pkf_text_add(text, "; there is no producer id: ");
        pkf_text_add(text, wire->trouble ? wire->trouble : "InitProducerId has not been answered");
    } else if (node->throttled_until > wire->now) {
        pkf_text_add(text, "; its leader, node ");
        pkf_text_add_int(text, node->id);
        pkf_text_add(text, ", throttles this client by a quota: it takes no request for another ");
        pkf_text_add_int(text, (node->throttled_until - wire->now) / NS_PER_MS);
        pkf_text_add(text, " ms");
    } else if (node->conn == NULL) {
        pkf_text_add(text, "; its leader, node ");
        pkf_text_add_int(text, node->id);
        pkf_text_add(text, ", is not connected yet: its name was not resolved, or the connection not made, so far");
    } else if (oldest) {
        pkf_text_add(text, "; the oldest request to its leader, node ");
        pkf_text_add_int(text, node->id);
        pkf_text_add(text, ", has waited ");
        pkf_text_add_int(text, (wire->now - oldest->sent_ns) / NS_PER_MS);
        pkf_text_add(text, oldest->written ? " ms for an answer" : " ms to be written");
    }
}

// What stood in the way: the last try's error, or what kept it from being sent at all.
static void explain(pkf_wire *wire, const pkf_batch *batch, pkf_text *text) {
    if (batch->message) {
        pkf_text_add(text, "; the last try failed: ");
        pkf_text_add(text, batch->message);
    }
    if (batch->partition->leader < 0)
        explain_no_leader(batch->partition->topic->trouble, text);
    else
        explain_leader(wire, wire->nodes[batch->partition->leader], text);
}

static void expire_one(pkf_wire *wire, pkf_batch *batch) {
    pkf_partition *partition = batch->partition;
    pkf_text text = {.len = 0};
    pkf_text_add(&text, "Expiring ");
    pkf_text_add_int(&text, batch->count);
    pkf_text_add(&text, " record(s) for ");
    pkf_text_add(&text, partition->topic->name);
    pkf_text_add(&text, "-");
    pkf_text_add_int(&text, partition->index);
    pkf_text_add(&text, ": ");
    pkf_text_add_int(&text, (wire->now - batch->created_ns) / NS_PER_MS);
    pkf_text_add(&text, " ms has passed since batch creation");
    explain(wire, batch, &text);
    pkf_wire_resolve(wire, batch, PKF_CODE_TIMEOUT, text.chars, pkf_wire_may_be_written(batch));
}

static pkf_batch *expired_head(pkf_wire *wire, pkf_partition *partition) {
    pkf_lock_take(&partition->lock);
    pkf_batch *head = partition->head;
    pkf_lock_let_go(&partition->lock); // only this thread takes batches out, so head stays valid
    return head && is_expired(wire, head) ? head : NULL;
}

static pkf_batch *first_unresolved(const pkf_partition *partition) {
    pkf_batch *batch = partition->unresolved_head;
    while (batch && batch->resolved) batch = batch->unresolved_next;
    return batch;
}

void pkf_wire_expire(pkf_wire *wire, pkf_partition *partition) {
    // From the front each time: the publication of one may free those behind it that were resolved before.
    for (pkf_batch *first; (first = first_unresolved(partition)) != NULL && is_expired(wire, first);) {
        if (!first->in_request && !first->parked) (void)pkf_wire_unqueue(partition, first);
        expire_one(wire, first);
    }
    for (pkf_batch *head; (head = expired_head(wire, partition)) != NULL;) {
        if (!pkf_wire_unqueue(partition, head)) break;
        expire_one(wire, head);
    }
}
