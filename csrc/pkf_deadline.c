// SPDX-License-Identifier: Apache-2.0
#include "pkf_deadline.h"

#include <stdlib.h>

static void place(pkf_deadlines *heap, int32_t i, pkf_deadline item) {
    heap->items[i] = item;
    item.partition->heap_index = i;
}

static void sift_up(pkf_deadlines *heap, int32_t i, pkf_deadline moving) {
    while (i > 0 && heap->items[(i - 1) / 2].at_ns > moving.at_ns) {
        place(heap, i, heap->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(heap, i, moving);
}

static void sift_down(pkf_deadlines *heap, int32_t i, pkf_deadline moving) {
    for (;;) {
        int32_t child = 2 * i + 1;
        if (child >= heap->count) break;
        if (child + 1 < heap->count && heap->items[child + 1].at_ns < heap->items[child].at_ns) child++;
        if (heap->items[child].at_ns >= moving.at_ns) break;
        place(heap, i, heap->items[child]);
        i = child;
    }
    place(heap, i, moving);
}

pkf_status pkf_deadlines_add(pkf_deadlines *heap, pkf_partition *partition, int64_t at_ns) {
    pkf_deadline item = {at_ns, partition};
    if (partition->heap_index >= 0) {
        if (at_ns < heap->items[partition->heap_index].at_ns) sift_up(heap, partition->heap_index, item);
        return PKF_OK;
    }
    if (heap->count == heap->capacity) {
        int32_t capacity = heap->capacity ? heap->capacity * 2 : 64;
        pkf_deadline *items = realloc(heap->items, (size_t)capacity * sizeof *items);
        if (items == NULL) return PKF_E_NOMEM;
        heap->items = items;
        heap->capacity = capacity;
    }
    sift_up(heap, heap->count++, item);
    return PKF_OK;
}

int64_t pkf_deadlines_next(const pkf_deadlines *heap) { return heap->count ? heap->items[0].at_ns : PKF_NEVER; }

pkf_partition *pkf_deadlines_pop(pkf_deadlines *heap, int64_t now_ns) {
    if (heap->count == 0 || heap->items[0].at_ns > now_ns) return NULL;
    pkf_partition *first = heap->items[0].partition;
    first->heap_index = -1;
    heap->count--;
    if (heap->count > 0) sift_down(heap, 0, heap->items[heap->count]);
    return first;
}

void pkf_deadlines_free(pkf_deadlines *heap) {
    for (int32_t i = 0; i < heap->count; i++) heap->items[i].partition->heap_index = -1;
    free(heap->items);
    heap->items = NULL;
    heap->count = heap->capacity = 0;
}
