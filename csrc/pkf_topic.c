// SPDX-License-Identifier: Apache-2.0
#include "pkf_topic.h"

#include <stdlib.h>
#include <string.h>

#include "pkf_murmur2.h"

// A replaced table. Kept until the topic goes, because a reader may still look at it.
typedef struct retired_table {
    struct retired_table *next;
    pkf_partition **parts;
    pkf_tail *tails;
} retired_table;

// The estimate goes up fast and down slowly: a batch that is larger than expected costs a refusal and a split.
enum { RATIO_ONE = PKF_RATIO_ONE, RATIO_UP = RATIO_ONE / 20, RATIO_DOWN = RATIO_ONE / 200, MARGIN = RATIO_ONE / 20 };

// Bytes before compression that make `size` after it, by the estimate and a margin of 5 %.
static uint64_t before_compression(const pkf_topic *topic, uint32_t size) {
    uint64_t ratio = atomic_load(&((pkf_topic *)topic)->ratio);
    return (uint64_t)size * RATIO_ONE * RATIO_ONE / ((ratio ? ratio : 1) * (RATIO_ONE + MARGIN));
}

// Two threads may come here at a time, for the ceiling and for the ratio: both compute from what both have stored.
static void fit(pkf_topic *topic) {
    const pkf_accum_config *config = &topic->accum->config;
    uint32_t ceiling = atomic_load(&topic->batch_ceiling);
    uint64_t limit = ceiling, size = config->batch_size;
    if (topic->codec != PKF_NONE) {
        // Incompressible all of a sudden, it must still fit into a request.
        uint32_t most = ceiling > config->max_request_size ? ceiling : config->max_request_size;
        limit = before_compression(topic, ceiling);
        if (limit > most) limit = most;
        size = before_compression(topic, config->batch_size);
        if (size > limit) size = limit;
    }
    atomic_store(&topic->fill_limit, (uint32_t)limit);
    atomic_store(&topic->fill_size, (uint32_t)size);
}

pkf_topic *pkf_topic_new(pkf_accum *accum, const char *name, size_t name_len) {
    pkf_topic *topic = calloc(1, sizeof *topic);
    if (topic == NULL) return NULL;
    topic->name = strndup(name, name_len);
    if (topic->name == NULL) {
        free(topic);
        return NULL;
    }
    topic->accum = accum;
    topic->name_len = (uint32_t)name_len;
    topic->random = (uint64_t)pkf_monotonic_ns() ^ ((uint64_t)(uintptr_t)topic << 20) ^ 0x9e3779b97f4a7c15u;
    atomic_init(&topic->sticky, -1);
    topic->codec = accum->config.codec;
    topic->codec_level = accum->config.codec_level;
    atomic_init(&topic->batch_ceiling, accum->config.batch_max_size);
    atomic_init(&topic->ratio, RATIO_ONE);
    fit(topic);
    pthread_mutex_init(&topic->route_lock, NULL);
    pthread_mutex_lock(&accum->topics_lock);
    topic->next = accum->topics;
    accum->topics = topic;
    pthread_mutex_unlock(&accum->topics_lock);
    return topic;
}

void pkf_topic_free(pkf_topic *topic) {
    pkf_partition **parts = atomic_load(&topic->parts);
    for (int32_t i = 0; i < topic->parts_made; i++) free(parts[i]);
    free(parts);
    free(atomic_load(&topic->tails));
    for (retired_table *table = topic->retired, *next; table; table = next) {
        next = table->next;
        free(table->parts);
        free(table->tails);
        free(table);
    }
    pthread_mutex_destroy(&topic->route_lock);
    free(topic->available);
    free(topic->trouble);
    free(topic->name);
    free(topic);
}

static uint64_t next_random_locked(pkf_topic *topic) // xorshift64*
{
    uint64_t x = topic->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    topic->random = x;
    return (x * 0x2545f4914f6cdd1du) >> 32;
}

static pkf_partition *partition_new(pkf_topic *topic, int32_t index) {
    void *memory;
    if (posix_memalign(&memory, PKF_CACHE_LINE, sizeof(pkf_partition))) return NULL;
    pkf_partition *partition = memset(memory, 0, sizeof(pkf_partition));
    partition->topic = topic;
    partition->index = index;
    partition->slab_hint = PKF_SLAB_MIN_SIZE;
    partition->leader = -1;
    partition->leader_epoch = -1;
    partition->heap_index = -1;
    partition->ready_node = -1;
    partition->producer_id = -1;
    partition->producer_epoch = -1;
    partition->last_acked_sequence = -1;
    return partition;
}

// Room for `count` partitions in the table: a copy of twice the size replaces it in one store.
static pkf_status grow_table_locked(pkf_topic *topic, int32_t count) {
    if (count <= topic->parts_capacity) return PKF_OK;
    int32_t capacity = topic->parts_capacity ? topic->parts_capacity : 4;
    while (capacity < count) capacity = capacity > INT32_MAX / 2 ? count : capacity * 2;
    pkf_partition **old = atomic_load(&topic->parts);
    pkf_partition **parts = calloc((size_t)capacity, sizeof *parts);
    pkf_tail *tails = calloc((size_t)capacity, sizeof *tails);
    int32_t *available = realloc(topic->available, (size_t)capacity * sizeof *available);
    retired_table *table = malloc(sizeof *table);
    if (available) topic->available = available;
    if (parts == NULL || tails == NULL || available == NULL || table == NULL) {
        free(parts);
        free(tails);
        free(table);
        return PKF_E_NOMEM;
    }
    if (old) memcpy(parts, old, (size_t)topic->parts_made * sizeof *parts);
    table->parts = old;
    table->tails = atomic_load(&topic->tails); // the new ones know nothing until the next appends
    table->next = topic->retired;
    topic->retired = table;
    topic->parts_capacity = capacity;
    atomic_store(&topic->parts, parts);
    atomic_store(&topic->tails, tails);
    return PKF_OK;
}

static pkf_status set_route_locked(pkf_topic *topic, int32_t count, const int32_t *leaders) {
    pkf_status status = grow_table_locked(topic, count);
    if (status) return status;
    pkf_partition **parts = atomic_load(&topic->parts);
    while (topic->parts_made < count) {
        parts[topic->parts_made] = partition_new(topic, topic->parts_made);
        if (parts[topic->parts_made] == NULL) return PKF_E_NOMEM;
        topic->parts_made++;
    }
    int32_t available = 0;
    for (int32_t i = 0; i < count; i++) {
        atomic_store_explicit(&parts[i]->available, leaders[i] >= 0, memory_order_relaxed);
        if (leaders[i] >= 0) topic->available[available++] = i;
    }
    bool first = atomic_load(&topic->partition_count) == 0 && topic->counter == 0;
    if (first) atomic_store(&topic->counter, (uint32_t)next_random_locked(topic));
    if (atomic_load(&topic->sticky) >= count) atomic_store(&topic->sticky, -1);
    atomic_store(&topic->available_count, available);
    atomic_store(&topic->partition_count, count);
    return PKF_OK;
}

pkf_status pkf_topic_set_route(pkf_topic *topic, int32_t partition_count, const int32_t *leaders) {
    pthread_mutex_lock(&topic->route_lock);
    pkf_status status = set_route_locked(topic, partition_count, leaders);
    pthread_mutex_unlock(&topic->route_lock);
    return status;
}

void pkf_topic_forget(pkf_topic *topic) { atomic_store(&topic->partition_count, 0); }

void pkf_topic_set_ceiling(pkf_topic *topic, uint32_t size) {
    uint32_t most = topic->accum->config.batch_max_size;
    atomic_store(&topic->batch_ceiling, size < most ? size : most);
    fit(topic);
}

void pkf_topic_set_codec(pkf_topic *topic, pkf_codec codec, int32_t level) {
    topic->codec = codec;
    topic->codec_level = level;
    fit(topic);
}

void pkf_topic_note_ratio(pkf_topic *topic, size_t packed, size_t raw) {
    uint32_t estimate = atomic_load(&topic->ratio);
    uint32_t seen = raw ? (uint32_t)(((uint64_t)packed * RATIO_ONE + raw - 1) / raw) : RATIO_ONE;
    if (seen > estimate) {
        estimate = estimate + RATIO_UP > seen ? estimate + RATIO_UP : seen;
    } else if (seen < estimate) {
        estimate = estimate > seen + RATIO_DOWN ? estimate - RATIO_DOWN : seen;
    }
    atomic_store(&topic->ratio, estimate);
    fit(topic);
}

void pkf_topic_forget_ratio(pkf_topic *topic) {
    atomic_store(&topic->ratio, RATIO_ONE);
    fit(topic);
}

pkf_partition **pkf_topic_made(pkf_topic *topic, int32_t *count) {
    pthread_mutex_lock(&topic->route_lock);
    pkf_partition **parts = atomic_load(&topic->parts);
    *count = topic->parts_made;
    pthread_mutex_unlock(&topic->route_lock);
    return parts; // tables are kept until the topic goes
}

static uint64_t load_of(const pkf_partition *partition) {
    return atomic_load_explicit(&((pkf_partition *)partition)->queued_bytes, memory_order_relaxed);
}

// KIP-794: weight = most loaded + one batch - own load, over the partitions with a leader.
static int32_t weighed_choice_locked(pkf_topic *topic, int32_t available) {
    pkf_partition **parts = atomic_load(&topic->parts);
    uint64_t most = 0, total = 0, unit = topic->accum->config.batch_size;
    for (int32_t i = 0; i < available; i++) {
        uint64_t load = load_of(parts[topic->available[i]]);
        if (load > most) most = load;
    }
    for (int32_t i = 0; i < available; i++) {
        uint64_t load = load_of(parts[topic->available[i]]);
        total += most + unit - (load < most ? load : most); // loads move while we read them
    }
    uint64_t draw = ((next_random_locked(topic) << 32) | next_random_locked(topic)) % total;
    for (int32_t i = 0; i < available; i++) {
        uint64_t load = load_of(parts[topic->available[i]]);
        uint64_t weight = most + unit - (load < most ? load : most);
        if (draw < weight) return topic->available[i];
        draw -= weight;
    }
    return topic->available[next_random_locked(topic) % (uint64_t)available];
}

static int32_t random_choice_locked(pkf_topic *topic, bool adaptive) {
    int32_t available = atomic_load(&topic->available_count);
    int32_t count = atomic_load(&topic->partition_count);
    if (available == 0) return count ? (int32_t)(next_random_locked(topic) % (uint64_t)count) : -1;
    if (adaptive && available > 1) return weighed_choice_locked(topic, available);
    return topic->available[next_random_locked(topic) % (uint64_t)available];
}

static int32_t choose_random(pkf_topic *topic) {
    pthread_mutex_lock(&topic->route_lock);
    int32_t choice = atomic_load(&topic->partition_count) ? random_choice_locked(topic, false) : -1;
    pthread_mutex_unlock(&topic->route_lock);
    return choice;
}

static int32_t choose_round_robin(pkf_topic *topic, int32_t count) {
    uint32_t turn = atomic_fetch_add_explicit(&topic->counter, 1, memory_order_relaxed) & 0x7fffffff;
    int32_t available = atomic_load(&topic->available_count);
    if (available == count || available == 0) return (int32_t)(turn % (uint32_t)count);
    pthread_mutex_lock(&topic->route_lock);
    available = atomic_load(&topic->available_count);
    int32_t choice = available ? topic->available[turn % (uint32_t)available] : (int32_t)(turn % (uint32_t)count);
    pthread_mutex_unlock(&topic->route_lock);
    return choice;
}

static int32_t choose_sticky(pkf_topic *topic) {
    int32_t sticky = pkf_topic_sticky(topic);
    if (sticky >= 0) return sticky;
    pthread_mutex_lock(&topic->route_lock);
    sticky = atomic_load(&topic->sticky);
    if (sticky < 0 && atomic_load(&topic->partition_count) > 0) {
        sticky = random_choice_locked(topic, topic->accum->config.adaptive);
        atomic_store(&topic->sticky_bytes, 0);
        atomic_store(&topic->sticky, sticky);
    }
    pthread_mutex_unlock(&topic->route_lock);
    return sticky;
}

int32_t pkf_topic_choose(pkf_topic *topic, const pkf_span *key) {
    int32_t count = atomic_load_explicit(&topic->partition_count, memory_order_acquire);
    if (count == 0) return -1;
    const pkf_accum_config *config = &topic->accum->config;
    if (key->base && !config->ignore_keys)
        return (int32_t)(((uint32_t)pkf_murmur2(key->base, key->len) & 0x7fffffff) % (uint32_t)count);
    if (config->partitioner == PKF_STICKY) return choose_sticky(topic);
    if (config->partitioner == PKF_ROUND_ROBIN) return choose_round_robin(topic, count);
    return choose_random(topic);
}

int32_t pkf_topic_approach(pkf_topic *topic, const pkf_span *key, size_t value_size) {
    if (key->base == NULL || topic->accum->config.ignore_keys) return -1;
    int32_t index = pkf_topic_choose(topic, key);
    const pkf_partition *partition = pkf_topic_partition(topic, index);
    if (partition == NULL) return -1;
    pkf_topic_fetch(topic, partition, index, key->len + value_size);
    return index;
}

bool pkf_topic_has_room(pkf_topic *topic, int32_t index, uint64_t bound) {
    pkf_partition *partition = pkf_topic_partition(topic, index);
    if (partition == NULL) return false;
    uint64_t limit = atomic_load(&topic->fill_limit);
    pkf_lock_take(&partition->lock);
    const pkf_batch *tail = partition->tail;
    bool room = tail && !tail->closed && tail->used + bound - PKF_BATCH_HEADER <= limit;
    pkf_lock_let_go(&partition->lock);
    return room;
}

bool pkf_topic_move_sticky(pkf_topic *topic, int32_t from) {
    pkf_partition *partition = pkf_topic_partition(topic, from);
    bool leaderless = partition && !atomic_load(&partition->available) && atomic_load(&topic->available_count) > 0;
    bool enough = atomic_load(&topic->sticky_bytes) >= atomic_load(&topic->fill_size);
    if (!leaderless && !enough) return false;
    pthread_mutex_lock(&topic->route_lock);
    if (atomic_load(&topic->sticky) == from) {
        int32_t next = random_choice_locked(topic, topic->accum->config.adaptive);
        atomic_store(&topic->sticky_bytes, 0);
        atomic_store(&topic->sticky, next);
    }
    bool moved = atomic_load(&topic->sticky) != from;
    pthread_mutex_unlock(&topic->route_lock);
    return moved;
}

int32_t pkf_topic_place(pkf_topic *topic, const pkf_span *key, size_t size) {
    int32_t index = pkf_topic_choose(topic, key);
    if (index < 0 || !pkf_topic_is_sticky(topic, key)) return index;
    if (pkf_topic_move_sticky(topic, index)) index = pkf_topic_choose(topic, key);
    atomic_fetch_add_explicit(&topic->sticky_bytes, (uint32_t)size, memory_order_relaxed);
    return index;
}
