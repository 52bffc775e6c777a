// SPDX-License-Identifier: Apache-2.0
// Topics: what is known of their partitions, and the choice of one for a record that names none.
//
// Keys: murmur2 of the serialized key over all partitions, known leader or not. Without a key (or with ignore_keys):
//   sticky       stay until the open batch closes and at least batch_size bytes went there, then the next one, weighed
//                by queued bytes if adaptive (KIP-794)
//   round robin  a counter from a random start over the partitions with a leader, over all when none has one
//   random       any partition with a leader, any at all when none has one
#ifndef PKF_TOPIC_H
#define PKF_TOPIC_H

#include "pkf_accum.h"

// A new topic of that name (the caller sees to it that there is one per name). Lives as long as the accumulator.
pkf_topic *pkf_topic_new(pkf_accum *accum, const char *name, size_t name_len);

// Partitions known from now on, and which of them have a leader. Creates what is new. Any one thread at a time.
PKF_MUST_USE pkf_status pkf_topic_set_route(pkf_topic *topic, int32_t partition_count, const int32_t *leaders);

// Asks for what an append of `size` bytes to the partition will touch. With many partitions nothing of it is in the cache,
// and one line after the other would be waited for.
static inline void pkf_topic_fetch(pkf_topic *topic, const pkf_partition *partition, int32_t index, size_t size) {
    enum { RECORD_MAX = 256 }; // the rest of a large record follows its first lines, and the processor sees that itself
    pkf_tail *tail = atomic_load_explicit(&topic->tails, memory_order_acquire) + index;
    const char *batch = (const char *)atomic_load_explicit(&tail->batch, memory_order_relaxed);
    const uint8_t *end = atomic_load_explicit(&tail->end, memory_order_relaxed);
    pkf_fetch_to_write(partition);
    if (batch == NULL) return;
    pkf_fetch_to_write(batch);
    pkf_fetch_to_write(batch + PKF_CACHE_LINE);
    for (size_t at = 0; at < size && at < RECORD_MAX; at += PKF_CACHE_LINE) pkf_fetch_to_write(end + at);
}

// Borrowed; NULL beyond the known count.
static inline pkf_partition *pkf_topic_partition(pkf_topic *topic, int32_t index) {
    if (index < 0 || index >= atomic_load_explicit(&topic->partition_count, memory_order_acquire)) return NULL;
    return atomic_load_explicit(&topic->parts, memory_order_acquire)[index];
}

// All partitions ever made, known at the moment or not. Any thread.
pkf_partition **pkf_topic_made(pkf_topic *topic, int32_t *count);

// Forget that the topic is known: the next send asks for metadata.
void pkf_topic_forget(pkf_topic *topic);

// Bytes a batch of this topic may have at most; never raised above what the configuration allows.
void pkf_topic_set_ceiling(pkf_topic *topic, uint32_t size);

// The topic's own codec. Before it has partitions.
void pkf_topic_set_codec(pkf_topic *topic, pkf_codec codec, int32_t level);

// So many bytes of records became `packed`: how far batches may grow before they are compressed follows from an estimate.
// It rises to what was seen, but at least by 0.05, and falls to it, but at most by 0.005. Wire thread.
void pkf_topic_note_ratio(pkf_topic *topic, size_t packed, size_t raw);
void pkf_topic_forget_ratio(pkf_topic *topic); // it was wrong: a batch was too large. Wire thread

// Where a record without an explicit partition goes: an index, or -1 while the topic is unknown. Any thread, no lock held.
int32_t pkf_topic_choose(pkf_topic *topic, const pkf_span *key);

// The choice for a record whose key decides, and pkf_topic_fetch() for it: for who has something else to do before the
// append. -1 for others, and while the topic is unknown.
int32_t pkf_topic_approach(pkf_topic *topic, const pkf_span *key, size_t value_size);

// pkf_topic_choose() for a record that will name its partition when it is appended: what the sticky choice has to count is
// counted here, and it moves on after batch_size bytes although the open batch is not closed.
int32_t pkf_topic_place(pkf_topic *topic, const pkf_span *key, size_t size);

// Whether a record of this pkf_record_upper_bound() would join a batch there, rather than begin one. By the time it is
// appended that may have changed.
bool pkf_topic_has_room(pkf_topic *topic, int32_t index, uint64_t bound);

// Whether a keyless record is placed by the sticky choice (and append must follow it when it moves).
static inline bool pkf_topic_is_sticky(const pkf_topic *topic, const pkf_span *key) {
    const pkf_accum_config *config = &topic->accum->config;
    return config->partitioner == PKF_STICKY && (key->base == NULL || config->ignore_keys);
}

// The sticky choice at the moment, -1 none yet.
static inline int32_t pkf_topic_sticky(const pkf_topic *topic) {
    return atomic_load_explicit(&((pkf_topic *)topic)->sticky, memory_order_relaxed);
}

// Whether the sticky append before was to another topic: nobody has asked for lines of this one. From now on it is
// this one. Any thread.
static inline bool pkf_topic_is_another(pkf_topic *topic) {
    _Atomic(const pkf_topic *) *last = &topic->accum->last_topic;
    if (atomic_load_explicit(last, memory_order_relaxed) == topic) return false;
    atomic_store_explicit(last, topic, memory_order_relaxed);
    return true;
}

// The sticky partition has no open batch with room. Moves on if enough went there or it lost its leader; true if moved.
bool pkf_topic_move_sticky(pkf_topic *topic, int32_t from);

// Frees a topic and its partitions. Only when the accumulator goes.
void pkf_topic_free(pkf_topic *topic);

#endif
