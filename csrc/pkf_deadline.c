// SPDX-License-Identifier: Apache-2.0
#include "pkf_deadline.h"

#include <stdlib.h>

static void place(pkf_deadlines *heap, int32_t i, pkf_partition *partition) {
    heap->items[i] = partition;
    partition->heap_index = i;
}

static void sift_up(pkf_deadlines *heap, int32_t i) {
    pkf_partition *moving = heap->items[i];
    while (i > 0 && heap->items[(i - 1) / 2]->deadline > moving->deadline) {
        place(heap, i, heap->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(heap, i, moving);
}

static void sift_down(pkf_deadlines *heap, int32_t i) {
    pkf_partition *moving = heap->items[i];
    for (;;) {
        int32_t child = 2 * i + 1;
        if (child >= heap->count) break;
        if (child + 1 < heap->count && heap->items[child + 1]->deadline < heap->items[child]->deadline) child++;
        if (heap->items[child]->deadline >= moving->deadline) break;
        place(heap, i, heap->items[child]);
        i = child;
    }
    place(heap, i, moving);
}

pkf_status pkf_deadlines_add(pkf_deadlines *heap, pkf_partition *partition, int64_t at_ns) {
    if (partition->heap_index >= 0) {
        if (at_ns >= partition->deadline) return PKF_OK;
        partition->deadline = at_ns;
        sift_up(heap, partition->heap_index);
        return PKF_OK;
    }
    if (heap->count == heap->capacity) {
        int32_t capacity = heap->capacity ? heap->capacity * 2 : 64;
        pkf_partition **items = realloc(heap->items, (size_t)capacity * sizeof *items);
        if (items == NULL) return PKF_E_NOMEM;
        heap->items = items;
        heap->capacity = capacity;
    }
    partition->deadline = at_ns;
    heap->items[heap->count++] = partition;
    sift_up(heap, heap->count - 1);
    return PKF_OK;
}

int64_t pkf_deadlines_next(const pkf_deadlines *heap) { return heap->count ? heap->items[0]->deadline : PKF_NEVER; }

pkf_partition *pkf_deadlines_pop(pkf_deadlines *heap, int64_t now_ns) {
    if (heap->count == 0 || heap->items[0]->deadline > now_ns) return NULL;
    pkf_partition *first = heap->items[0];
    first->heap_index = -1;
    pkf_partition *last = heap->items[--heap->count];
    if (heap->count > 0) {
        heap->items[0] = last;
        sift_down(heap, 0);
    }
    return first;
}

void pkf_deadlines_free(pkf_deadlines *heap) {
    for (int32_t i = 0; i < heap->count; i++) heap->items[i]->heap_index = -1;
    free(heap->items);
    heap->items = NULL;
    heap->count = heap->capacity = 0;
}
