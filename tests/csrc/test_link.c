// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

static rig r;
static peer_request request;
static peer_response out;

static void open_with(const pkf_wire_config *wire, int32_t partitions) {
    pkf_accum_config accum = RIG_ACCUM;
    rig_open(&r, &accum, wire, partitions);
    rig_lead(&r, 0, 1);
}

static void open_rig(int32_t partitions) {
    pkf_wire_config wire = RIG_WIRE;
    open_with(&wire, partitions);
}

static void receive(int peer, int32_t batches) {
    rig_step(&r);
    NEED(peer_receive(peer, &request, 1000) == 1);
    CHECK_INT(request.batch_count, batches);
}

static void answer_bytes(int peer) {
    peer_send(peer, out.bytes, out.size);
    rig_step(&r);
}

static bool connected(void) { return r.wire->nodes[0]->conn != NULL; }

// ---- right answers ----

static void every_version_is_spoken(void) {
    for (int version = 3; version <= 13; version++) {
        open_rig(3);
        int peer = rig_connect(&r, 0, version);
        pkf_slot slots[3];
        for (int i = 0; i < 3; i++) slots[i] = rig_batch(&r, i, "value");
        receive(peer, 3);
        CHECK_INT(request.version, version);
        CHECK_INT(request.correlation, 7);
        CHECK_INT(request.acks, -1);
        CHECK_INT(request.timeout_ms, 30000);
        CHECK(strcmp(request.client, "rig") == 0);
        if (version >= 13) CHECK(request.batches[0].id[15] == 'e');
        if (version < 13) CHECK(strcmp(request.batches[0].topic, "events") == 0);
        peer_reply(peer, &request, 0, 40);
        rig_step(&r);
        for (int i = 0; i < 3; i++) {
            CHECK(rig_is_done(&slots[i]) && slots[i].batch->code == 0 && slots[i].batch->base_offset == 40);
            rig_forget(&slots[i]);
        }
        close(peer);
        rig_close(&r);
    }
}

static void a_topic_without_an_id_is_called_by_its_name(void) {
    open_rig(1);
    int peer = rig_connect(&r, 0, 13);
    pkf_slot slot = rig_batch(&r, 0, "value");
    rig_step(&r);
    rig_forget(&slot);
    NEED(peer_receive(peer, &request, 1000) == 1);
    CHECK_INT(request.version, 13);
    peer_reply(peer, &request, 0, 0);
    rig_step(&r);
    memset(r.topic->id, 0, sizeof r.topic->id);
    slot = rig_batch(&r, 0, "value");
    receive(peer, 1);
    CHECK_INT(request.version, 12);
    peer_reply(peer, &request, 0, 1);
    rig_step(&r);
    CHECK(rig_is_done(&slot) && slot.batch->base_offset == 1);
    rig_forget(&slot);
    close(peer);
    rig_close(&r);
}

// Nobody but the library holds the batches: each is freed by its own acknowledgement.
static void a_broker_may_answer_in_any_order(void) {
    uint64_t random = harness_seed();
    for (int round = 0; round < 40; round++) {
        int order[8];
        open_rig(8);
        int peer = rig_connect(&r, 0, 12);
        for (int i = 0; i < 8; i++) {
            pkf_slot slot = rig_batch(&r, i, "value");
            rig_forget(&slot);
            order[i] = i;
        }
        receive(peer, 8);
        for (int i = 7; i > 0; i--) {
            int j = (int)harness_below(&random, (uint64_t)i + 1), t = order[i];
            order[i] = order[j];
            order[j] = t;
        }
        peer_answer a = PEER_ANSWER;
        peer_begin(&out, &request, request.correlation, 8);
        for (int i = 0; i < 8; i++) peer_put_batch(&out, &request, &request.batches[order[i]], &a);
        peer_end(&out, 0);
        answer_bytes(peer);
        CHECK(connected());
        CHECK_INT(r.accum->live_count, 0);
        close(peer);
        rig_close(&r);
    }
}

static void a_response_may_come_in_pieces(void) {
    open_rig(2);
    int peer = rig_connect(&r, 0, 12);
    pkf_slot first = rig_batch(&r, 0, "a"), second = rig_batch(&r, 1, "b");
    receive(peer, 2);
    peer_answer a = PEER_ANSWER;
    peer_build(&out, &request, &a, 0);
    for (size_t i = 0; i < out.size; i++) {
        CHECK(!rig_is_done(&first));
        peer_send(peer, out.bytes + i, 1);
        rig_step(&r);
    }
    CHECK(rig_is_done(&first) && rig_is_done(&second) && connected());
    rig_forget(&first);
    rig_forget(&second);
    close(peer);
    rig_close(&r);
}

// ---- wrong answers ----

typedef enum lie {
    WRONG_PARTITION,
    WRONG_TOPIC,
    TWICE,
    MISSING,
    WRONG_CORRELATION,
    OLDER_CORRELATION,
    TRAILING_BYTE,
    CUT_SHORT,
    TOO_SHORT_TO_BE,
    TWO_GIGABYTES,
    NEGATIVE_SIZE,
    GARBAGE,
    SILENCE_AND_CLOSE,
    CLOSE_IN_THE_MIDDLE,
    LIES
} lie;

static void build_lie(lie kind) {
    peer_answer a = PEER_ANSWER;
    int32_t correlation = request.correlation + (kind == WRONG_CORRELATION) - (kind == OLDER_CORRELATION);
    peer_begin(&out, &request, correlation, kind == MISSING ? 1 : kind == TWICE ? 3 : 2);
    peer_put_batch(&out, &request, &request.batches[0], &a);
    if (kind == WRONG_PARTITION) request.batches[1].partition = 2;
    if (kind == WRONG_TOPIC) request.batches[1].topic[0] = request.batches[1].id[0] = 'E';
    if (kind != MISSING) peer_put_batch(&out, &request, &request.batches[1], &a);
    if (kind == TWICE) peer_put_batch(&out, &request, &request.batches[0], &a);
    peer_end(&out, 0);
    size_t size = out.size, body = size - 4;
    if (kind == TRAILING_BYTE) body++, out.bytes[size++] = 0;
    if (kind == CUT_SHORT) body -= 3, size -= 3;
    if (kind == TOO_SHORT_TO_BE) body = 3, size = 7;
    if (kind == TWO_GIGABYTES) body = 0x7fffffff;
    if (kind == NEGATIVE_SIZE) body = 0xffffffff;
    if (kind == GARBAGE) memset(out.bytes + 8, 0xff, size - 8);
    if (kind == SILENCE_AND_CLOSE) size = 0;
    if (kind == CLOSE_IN_THE_MIDDLE) size /= 2;
    out.size = 0;
    peer_put(&out, (int64_t)body, 4);
    out.size = size;
}

static void a_lie_ends_the_connection_and_nothing_of_it_counts(lie kind, int version) {
    open_rig(2);
    int peer = rig_connect(&r, 0, version);
    pkf_slot slots[2] = {rig_batch(&r, 0, "a"), rig_batch(&r, 1, "b")};
    receive(peer, 2);
    build_lie(kind);
    peer_send(peer, out.bytes, out.size);
    if (kind >= SILENCE_AND_CLOSE) close(peer);
    rig_step(&r);
    CHECK(!connected());
    CHECK(rig_saw(&r, PKF_EVENT_CONNECTION_LOST));
    for (int i = 0; i < 2; i++) {
        pkf_event *event = rig_event(&r, PKF_EVENT_PARKED);
        CHECK(!rig_is_done(&slots[i]));
        NEED(event);
        CHECK_INT(event->code, 13);
        CHECK(event->in_doubt);
        rig_settle(&r, event, PKF_COMMAND_REQUEUE);
    }
    if (kind < SILENCE_AND_CLOSE) close(peer);
    peer = rig_connect(&r, 0, version);
    receive(peer, 2);
    peer_reply(peer, &request, 0, 5);
    rig_step(&r);
    for (int i = 0; i < 2; i++) {
        CHECK(rig_is_done(&slots[i]) && slots[i].batch->code == 0);
        rig_forget(&slots[i]);
    }
    close(peer);
    rig_close(&r);
}

static void an_answer_nobody_asked_for_ends_the_connection(void) {
    open_rig(1);
    int peer = rig_connect(&r, 0, 12);
    rig_step(&r);
    request.version = 12;
    request.batch_count = 0;
    peer_answer a = PEER_ANSWER;
    peer_build(&out, &request, &a, 0);
    answer_bytes(peer);
    CHECK(!connected() && rig_saw(&r, PKF_EVENT_CONNECTION_LOST));
    close(peer);
    rig_close(&r);
}

// ---- writing ----

static void shrink(int fd) {
    int size = 2048;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
}

static pkf_slot large_batch(int32_t partition) {
    static char value[60000];
    memset(value, 'x', sizeof value - 1);
    return rig_batch(&r, partition, value);
}

// What was not written out whole was not written to the log.
static void a_request_half_written_is_not_in_doubt(void) {
    open_rig(2);
    int peer = rig_connect(&r, 0, 12);
    rig_step(&r);
    shrink(r.wire->nodes[0]->conn->fd);
    pkf_slot slots[2] = {rig_batch(&r, 0, "small"), {NULL, 0, 0, 0, 0, 0}};
    rig_step(&r);
    slots[1] = large_batch(1);
    rig_step(&r);
    CHECK(r.wire->nodes[0]->conn->writing);
    CHECK(!pkf_conn_can_send(r.wire->nodes[0]->conn));
    close(peer);
    rig_step(&r);
    for (int i = 0; i < 2; i++) {
        pkf_event *event = rig_event(&r, PKF_EVENT_PARKED);
        NEED(event);
        CHECK_INT(event->in_doubt, event->batch == slots[0].batch);
        rig_settle(&r, event, PKF_COMMAND_FAIL);
    }
    rig_step(&r);
    rig_forget(&slots[0]);
    rig_forget(&slots[1]);
    rig_close(&r);
}

static void an_answer_to_what_is_not_written_yet_ends_the_connection(void) {
    open_rig(1);
    int peer = rig_connect(&r, 0, 12);
    rig_step(&r);
    shrink(r.wire->nodes[0]->conn->fd);
    pkf_slot slot = large_batch(0);
    rig_step(&r);
    request.correlation = 7;
    request.version = 12;
    request.batch_count = 1;
    strcpy(request.batches[0].topic, "events");
    request.batches[0].partition = 0;
    peer_answer a = PEER_ANSWER;
    peer_build(&out, &request, &a, 0);
    answer_bytes(peer);
    CHECK(!connected() && !rig_is_done(&slot));
    rig_settle(&r, rig_event(&r, PKF_EVENT_PARKED), PKF_COMMAND_FAIL);
    rig_step(&r);
    rig_forget(&slot);
    close(peer);
    rig_close(&r);
}

static void without_acknowledgements_written_is_done(void) {
    pkf_wire_config wire = RIG_WIRE;
    wire.acks = 0;
    open_with(&wire, 2);
    int peer = rig_connect(&r, 0, 12);
    rig_step(&r);
    shrink(r.wire->nodes[0]->conn->fd);
    pkf_slot small = rig_batch(&r, 0, "small"), large, lost;
    receive(peer, 1);
    CHECK(rig_is_done(&small) && small.batch->code == 0 && small.batch->base_offset == -1);
    large = large_batch(1);
    rig_step(&r);
    CHECK(!rig_is_done(&large));
    for (int64_t deadline = peer_now_ms() + PEER_WAIT_MS; !rig_is_done(&large) && peer_now_ms() < deadline;) {
        uint8_t sink[1000];
        CHECK(recv(peer, sink, sizeof sink, 0) > 0);
        rig_step(&r);
    }
    CHECK(rig_is_done(&large) && large.batch->code == 0);
    close(peer);
    lost = rig_batch(&r, 0, "lost");
    rig_step(&r);
    pkf_event *event = rig_event(&r, PKF_EVENT_PARKED);
    if (event) rig_settle(&r, event, PKF_COMMAND_FAIL);
    rig_step(&r);
    rig_forget(&small);
    rig_forget(&large);
    rig_forget(&lost);
    rig_close(&r);
}

int main(void) {
    every_version_is_spoken();
    a_topic_without_an_id_is_called_by_its_name();
    a_broker_may_answer_in_any_order();
    a_response_may_come_in_pieces();
    for (int kind = 0; kind < LIES; kind++) {
        a_lie_ends_the_connection_and_nothing_of_it_counts(kind, 8);
        a_lie_ends_the_connection_and_nothing_of_it_counts(kind, 12);
        a_lie_ends_the_connection_and_nothing_of_it_counts(kind, 13);
    }
    an_answer_nobody_asked_for_ends_the_connection();
    a_request_half_written_is_not_in_doubt();
    an_answer_to_what_is_not_written_yet_ends_the_connection();
    without_acknowledgements_written_is_done();
    free(request.frame);
    return FINISH();
}
