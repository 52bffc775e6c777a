// SPDX-License-Identifier: Apache-2.0
#include "pkf_round.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "pkf_topic.h"

pkf_wire *pkf_wire_new(pkf_accum *accum, const pkf_wire_config *config) {
    pkf_wire *wire = calloc(1, sizeof *wire);
    if (wire == NULL) return NULL;
    wire->polls = malloc(sizeof *wire->polls); // for the wake-up; those of the nodes come with them
    if (wire->polls == NULL || pkf_events_init(&wire->events) != PKF_OK) {
        free(wire->polls);
        free(wire);
        return NULL;
    }
    pkf_commands_init(&wire->commands);
    wire->config = *config;
    wire->accum = accum;
    wire->producer_id = -1;
    wire->producer_epoch = -1;
    wire->crc32c = pkf_crc32c_select(NULL);
    pkf_pace_init(&wire->pace, config->pace_ns);
    pthread_mutex_init(&wire->end_lock, NULL);
    pkf_cond_init(&wire->end_cond);
    pthread_mutex_init(&wire->nodes_lock, NULL);
    pkf_workers_init(&wire->workers, accum);
    pkf_accum_ref(accum);
    return wire;
}

// Requests of batches that failed at their deadline may still be under way: they end with their connections.
static void end_all(pkf_wire *wire) {
    wire->now = pkf_monotonic_ns();
    pkf_wire_disconnect_all(wire);
    pkf_workers_stop(&wire->workers); // which takes as long as a codec does
    wire->now = pkf_monotonic_ns();
    pkf_wire_take_packed(wire);
    pkf_wire_abort(wire, PKF_CODE_CLOSED_FORCEFULLY, "the producer was closed before the records were sent");
}

void pkf_wire_free(pkf_wire *wire) {
    pkf_accum_close(wire->accum);
    end_all(wire);
    for (int32_t i = 0; i < wire->node_count; i++) {
        free(wire->nodes[i]->trouble);
        free(wire->nodes[i]);
    }
    pkf_events_free(&wire->events);
    pkf_commands_free(&wire->commands);
    pkf_deadlines_free(&wire->deadlines);
    pkf_workers_free(&wire->workers);
    pkf_codec_state_free(wire->codecs);
    pkf_accum_unref(wire->accum);
    pthread_mutex_destroy(&wire->nodes_lock);
    pthread_mutex_destroy(&wire->end_lock);
    pthread_cond_destroy(&wire->end_cond);
    free(wire->trouble);
    free(wire->nodes);
    free(wire->polls);
    free(wire);
}

void pkf_wire_command(pkf_wire *wire, pkf_command *command) {
    pkf_commands_push(&wire->commands, command);
    pkf_accum_wake(wire->accum);
}

static void set_leader(pkf_wire *wire, pkf_partition *partition, int32_t node_id, int32_t epoch) {
    int32_t leader = node_id < 0 ? -1 : pkf_wire_node_index(wire, node_id);
    bool newer = partition->leader_epoch >= 0 && epoch > partition->leader_epoch;
    if (leader != partition->leader) pkf_wire_unready(wire, partition);
    partition->leader = leader;
    partition->leader_epoch = epoch;
    partition->leader_asked = 0;
    if (newer) { // a leader nobody has tried yet: no reason to wait
        pkf_lock_take(&partition->lock);
        if (partition->head) partition->head->retry_ns = 0;
        pkf_lock_let_go(&partition->lock);
    }
    pkf_wire_evaluate(wire, partition);
}

static void set_leaders(pkf_wire *wire, pkf_command *command) {
    pkf_partition **parts = atomic_load(&command->topic->parts);
    static const uint8_t unknown[sizeof command->id];
    bool told = memcmp(command->id, unknown, sizeof unknown) != 0; // else it may be the same one again
    bool recreated = told && memcmp(command->topic->id, command->id, sizeof command->id) != 0;
    if (told) memcpy(command->topic->id, command->id, sizeof command->id);
    pkf_wire_explain(&command->topic->trouble, NULL);
    for (int32_t i = 0; i < command->count; i++) {
        if (recreated) parts[i]->forgotten_ns = wire->now;
        if (recreated && parts[i]->gap) { // what another topic takes tells nothing of what this one refused
            parts[i]->gap_in_doubt = 1;
            pkf_wire_give_up_in_doubt(wire, parts[i]);
        }
        set_leader(wire, parts[i], command->leaders[i], command->epochs[i]);
    }
}

static void forget_connection(pkf_wire *wire, int32_t id, const char *reason) {
    pkf_node *node = pkf_wire_node(wire, id);
    if (node) node->asked = false;
    if (node && node->conn && reason) pkf_wire_disconnect(wire, node, PKF_E_CLOSED, reason);
}

static void set_producer(pkf_wire *wire, const pkf_command *command) {
    wire->producer_id = command->producer_id;
    wire->producer_epoch = (int16_t)command->epoch;
    wire->pid_asked = false;
    pkf_wire_explain(&wire->trouble, NULL);
    // What was ready under the old epoch may have to wait now until the batches of that epoch are settled.
    for (int32_t i = 0; i < wire->node_count; i++) {
        for (pkf_partition *p = wire->nodes[i]->ready_head, *next; p; p = next) {
            next = p->ready_next;
            pkf_wire_evaluate(wire, p);
        }
    }
}

// The accumulator is closed, but an append that found it open may still hold its partition's lock: until then it could
// add a batch behind the back of whoever finds none left.
static void await_appends(pkf_wire *wire) {
    pthread_mutex_lock(&wire->accum->topics_lock);
    pkf_topic *topics = wire->accum->topics;
    pthread_mutex_unlock(&wire->accum->topics_lock);
    for (pkf_topic *topic = topics; topic; topic = topic->next) {
        int32_t count;
        pkf_partition **parts = pkf_topic_made(topic, &count);
        for (int32_t i = 0; i < count; i++) {
            pkf_lock_take(&parts[i]->lock);
            pkf_lock_let_go(&parts[i]->lock);
        }
    }
}

static void explain(pkf_wire *wire, const pkf_command *command) {
    bool of_node = command->topic == NULL && command->node >= 0;
    pkf_node *node = of_node ? pkf_wire_node(wire, command->node) : NULL;
    if (node) pkf_wire_explain(&node->trouble, command->text);
    if (!of_node) pkf_wire_explain(command->topic ? &command->topic->trouble : &wire->trouble, command->text);
}

static void begin_close(pkf_wire *wire) {
    await_appends(wire);
    wire->closing = true;
    wire->drained = false;
}

static void run_command(pkf_wire *wire, pkf_command *command) {
    switch (command->kind) {
    case PKF_COMMAND_CONNECT: pkf_wire_connect(wire, command); break;
    case PKF_COMMAND_FORGET: forget_connection(wire, command->node, command->text); break;
    case PKF_COMMAND_EXPLAIN: explain(wire, command); break;
    case PKF_COMMAND_THROTTLE:
        pkf_wire_throttle(wire, pkf_wire_node(wire, command->node), command->delay_ns / 1000000);
        break;
    case PKF_COMMAND_PLAIN: wire->config.idempotent = false; break;
    case PKF_COMMAND_LEADERS: set_leaders(wire, command); break;
    case PKF_COMMAND_LEADER:
        set_leader(wire, atomic_load(&command->topic->parts)[command->partition], command->node, command->epoch);
        break;
    case PKF_COMMAND_PRODUCER: set_producer(wire, command); break;
    case PKF_COMMAND_CLOSE: begin_close(wire); break;
    case PKF_COMMAND_ABORT: pkf_wire_abort(wire, command->code, command->text); break;
    case PKF_COMMAND_STOP: wire->stop = true; break;
    default: pkf_wire_settle(wire, command);
    }
}

void pkf_wire_run_commands(pkf_wire *wire) {
    for (pkf_command *command = pkf_commands_take(&wire->commands), *next; command; command = next) {
        next = command->next;
        run_command(wire, command);
        pkf_command_free(command);
    }
}

static bool must_force(const pkf_wire *wire) {
    return wire->closing || atomic_load(&wire->accum->forcing) || pkf_pool_waiting(wire->accum->pool);
}

// Everything that lingers leaves: look at each partition that has a deadline, which is each that has a batch.
static void look_at_all(pkf_wire *wire) {
    int32_t count = wire->deadlines.count;
    pkf_partition **all = count ? malloc((size_t)count * sizeof(pkf_partition *)) : NULL;
    if (all == NULL) return; // without memory their deadlines will do
    for (int32_t i = 0; i < count; i++) all[i] = wire->deadlines.items[i].partition;
    for (int32_t i = 0; i < count; i++) pkf_wire_evaluate(wire, all[i]);
    free(all);
}

void pkf_wire_look(pkf_wire *wire) {
    bool force = must_force(wire), begins = force && !wire->forced;
    wire->forced = force;
    pkf_pace_turn(&wire->pace, wire->now);
    pkf_wire_take_packed(wire);
    pkf_partition *next, *partition = pkf_accum_take_touched(wire->accum);
    for (; partition; partition = next) {
        next = partition->touched_next;
        (void)atomic_exchange(&partition->touched, 0); // before the look: what comes later touches again
        pkf_wire_evaluate(wire, partition);
    }
    while ((partition = pkf_deadlines_pop(&wire->deadlines, wire->now)) != NULL) pkf_wire_evaluate(wire, partition);
    if (begins) look_at_all(wire);
}

static void report_drained(pkf_wire *wire) {
    if (!wire->closing || wire->drained) return;
    pthread_mutex_lock(&wire->accum->live_lock);
    bool empty = wire->accum->live == NULL;
    pthread_mutex_unlock(&wire->accum->live_lock);
    if (!empty) return;
    wire->drained = pkf_wire_report(wire, PKF_EVENT_DRAINED, -1, 0, NULL);
}

// The connections' time-outs, and the moment of the next thing that is due.
static int64_t next_moment(pkf_wire *wire) {
    int64_t at = pkf_deadlines_next(&wire->deadlines);
    for (int32_t i = 0; i < wire->node_count; i++) {
        pkf_node *node = wire->nodes[i];
        int64_t due = node->conn ? pkf_wire_check_times(wire, node) : PKF_NEVER;
        bool needs_connection = node->ready_head && node->conn == NULL && !node->asked;
        if (needs_connection || pkf_wire_can_serve(wire, node)) due = wire->now; // since its turn
        if (node->ready_head && node->throttled_until > wire->now && node->throttled_until < due)
            due = node->throttled_until;
        if (due < at) at = due;
    }
    return at;
}

static int32_t fill_polls(pkf_wire *wire) {
    wire->polls[0] = (struct pollfd){wire->accum->wakeup.read_fd, POLLIN, 0};
    for (int32_t i = 0; i < wire->node_count; i++) {
        pkf_conn *conn = wire->nodes[i]->conn;
        short events = (short)(POLLIN | (conn && conn->writing ? POLLOUT : 0));
        wire->polls[i + 1] = (struct pollfd){conn ? conn->fd : -1, events, 0};
    }
    return wire->node_count + 1;
}

static bool nothing_new(pkf_wire *wire) {
    // All of these, and the announcement before, are sequentially consistent: what comes later sees us idle and wakes us.
    return atomic_load(&wire->accum->touched) == NULL && !atomic_load(&wire->commands.some) &&
           !pkf_workers_finished(&wire->workers) && must_force(wire) == wire->forced;
}

// With nothing but answers to wait for. A busy wire has batches that fill meanwhile, and leaves the processor to others.
static int spin(pkf_wire *wire, int32_t count, int64_t until) {
    bool only_answers = atomic_load(&wire->accum->open_batches) == 0 && atomic_load(&wire->counters.in_flight) > 0;
    if (!only_answers || wire->now >= until || !pkf_spin_is_due(&wire->spin)) return 0;
    int64_t began = pkf_monotonic_ns(), now = began;
    for (; now < until && now - began < PKF_SPIN_NS && nothing_new(wire); now = pkf_monotonic_ns()) {
        (void)sched_yield(); // the broker may be waiting for this very processor
        int ready = pkf_poll(wire->polls, (unsigned)count, 0);
        if (ready != 0) {
            pkf_spin_note(&wire->spin, true);
            return ready;
        }
    }
    if (now - began >= PKF_SPIN_NS) pkf_spin_note(&wire->spin, false); // else it was cut short, and tells nothing
    return 0;
}

static int wait_idle(pkf_wire *wire, int32_t count, int64_t until) {
    atomic_store(&wire->accum->idle, 1);
    int64_t timeout = until == PKF_NEVER ? PKF_NEVER : until > wire->now ? until - wire->now : 0;
    int ready = pkf_poll(wire->polls, (unsigned)count, nothing_new(wire) ? timeout : 0);
    atomic_store(&wire->accum->idle, 0);
    return ready;
}

static void sleep_and_move(pkf_wire *wire, int64_t until) {
    int32_t count = fill_polls(wire);
    int ready = spin(wire, count, until);
    if (ready == 0) ready = wait_idle(wire, count, until);
    wire->now = pkf_monotonic_ns();
    if (ready == 0) return;
    if (wire->polls[0].revents) pkf_wakeup_drain(&wire->accum->wakeup);
    for (int32_t i = 0; i + 1 < count; i++) {
        pkf_node *node = wire->nodes[i];
        short events = wire->polls[i + 1].revents;
        if (events && node->conn && (events & POLLOUT)) pkf_wire_write(wire, node);
        if (events && node->conn && (events & (POLLIN | POLLHUP | POLLERR | POLLNVAL))) pkf_wire_read(wire, node);
    }
}

static void round_once(pkf_wire *wire) {
    wire->now = pkf_monotonic_ns();
    pkf_wire_run_commands(wire);
    pkf_wire_look(wire);
    for (int32_t i = 0; i < wire->node_count; i++) pkf_wire_serve(wire, wire->nodes[i]);
    report_drained(wire);
    pkf_count(&wire->counters.rounds, 1);
    if (!wire->stop) sleep_and_move(wire, next_moment(wire));
}

static void *run(void *arg) {
    pkf_wire *wire = arg;
    while (!wire->stop) round_once(wire);
    end_all(wire);
    pthread_mutex_lock(&wire->end_lock);
    wire->ended = true;
    pthread_cond_broadcast(&wire->end_cond);
    pthread_mutex_unlock(&wire->end_lock);
    return NULL;
}

static pkf_status start_workers(pkf_wire *wire) {
    if (wire->config.workers == 0) return PKF_OK;
    if (wire->codecs == NULL) wire->codecs = pkf_codec_state_new(); // an earlier start may have failed behind this
    return wire->codecs ? pkf_workers_start(&wire->workers, wire->config.workers) : PKF_E_NOMEM;
}

pkf_status pkf_wire_start(pkf_wire *wire) {
    pkf_status status = start_workers(wire);
    if (status) return status;
    sigset_t all, before;
    pthread_attr_t attr;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 512 * 1024);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(&wire->thread, &attr, run, wire);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    wire->running = !failed;
    return failed ? PKF_E_SYSTEM : PKF_OK;
}

pkf_status pkf_wire_join(pkf_wire *wire, int64_t slice_ns) {
    struct timespec at = pkf_cond_deadline(slice_ns);
    int timed_out = 0;
    pthread_mutex_lock(&wire->end_lock);
    while (wire->running && !wire->ended && !timed_out)
        timed_out = pthread_cond_timedwait(&wire->end_cond, &wire->end_lock, &at);
    bool over = !wire->running || wire->ended, mine = wire->running && wire->ended;
    if (mine) wire->running = false;
    pthread_mutex_unlock(&wire->end_lock);
    if (mine) pthread_join(wire->thread, NULL);
    return over ? PKF_OK : PKF_E_TIMEOUT;
}

static void copy_node(pkf_node *node, pkf_node_report *report) {
    pkf_node_counters *counters = &node->counters;
    report->id = node->id;
    report->requests = atomic_load(&counters->requests);
    report->request_bytes = atomic_load(&counters->request_bytes);
    report->responses = atomic_load(&counters->responses);
    report->response_bytes = atomic_load(&counters->response_bytes);
    report->latency_ns = atomic_load(&counters->latency_ns);
    report->throttle_ms = atomic_load(&counters->throttle_ms);
    report->latency_max_ns = atomic_exchange(&counters->latency_max_ns, 0);
    report->request_size_max = atomic_exchange(&counters->request_size_max, 0);
    report->throttle_max_ms = atomic_exchange(&counters->throttle_max_ms, 0);
}

pkf_status pkf_wire_report_node(pkf_wire *wire, int32_t index, pkf_node_report *report) {
    pthread_mutex_lock(&wire->nodes_lock);
    bool there = index < wire->node_count;
    if (there) copy_node(wire->nodes[index], report);
    pthread_mutex_unlock(&wire->nodes_lock);
    return there ? PKF_OK : PKF_E_INVALID;
}

void pkf_wire_take_maxima(pkf_wire *wire, pkf_wire_maxima *maxima) {
    maxima->record_size = atomic_exchange(&wire->counters.record_size_max, 0);
    maxima->batch_size = atomic_exchange(&wire->counters.batch_size_max, 0);
    maxima->request_size = atomic_exchange(&wire->counters.request_size_max, 0);
    maxima->request_latency_ns = atomic_exchange(&wire->counters.request_latency_max_ns, 0);
    maxima->queue_time_ns = atomic_exchange(&wire->counters.queue_time_max_ns, 0);
    maxima->throttle_ms = atomic_exchange(&wire->counters.throttle_max_ms, 0);
}
