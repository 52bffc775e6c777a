// SPDX-License-Identifier: Apache-2.0
//
// A connection over a transport of memory, which moves as many bytes at a time as the test likes.
#include "rig.h"

#include <errno.h>

static rig r;

typedef struct wire_of_memory {
    uint8_t *out; // what was written
    size_t out_size, out_room;
    const uint8_t *in;    // what is to be read
    size_t in_size, step; // 0: would block
    int error;            // what a call answers when there is nothing left; -1: would block
    int closed;
    size_t untaken;
    int looks;
} wire_of_memory;

static ssize_t memory_write(void *self, const struct iovec *iov, int count, int *error) {
    wire_of_memory *m = self;
    size_t left = m->step;
    CHECK(count > 0 && count <= 512);
    if (m->error >= 0) {
        *error = m->error;
        return -1;
    }
    for (int i = 0; i < count && left > 0; i++) {
        size_t n = iov[i].iov_len < left ? iov[i].iov_len : left;
        NEED(m->out_size + n <= m->out_room);
        memcpy(m->out + m->out_size, iov[i].iov_base, n);
        m->out_size += n;
        left -= n;
    }
    return (ssize_t)(m->step - left);
}

static ssize_t memory_read(void *self, uint8_t *buffer, size_t size, int *error) {
    wire_of_memory *m = self;
    size_t n = m->in_size < m->step ? m->in_size : m->step;
    if (n > size) n = size;
    if (n == 0 && m->error >= 0) {
        *error = m->error;
        return -1;
    }
    if (n == 0) return 0;
    memcpy(buffer, m->in, n);
    m->in += n;
    m->in_size -= n;
    return (ssize_t)n;
}

static size_t memory_untaken(void *self) {
    wire_of_memory *m = self;
    m->looks++;
    return m->untaken;
}

static void memory_close(void *self) { ((wire_of_memory *)self)->closed++; }

static const pkf_transport MEMORY = {memory_write, memory_read, memory_untaken, memory_close};

static const pkf_conn_config CONFIG = {.client_id = {(const uint8_t *)"me", 2},
                                       .acks = -1,
                                       .max_in_flight = 3,
                                       .request_timeout_ns = 1000000000,
                                       .receive_max = 200000};

static pkf_conn *open_conn(wire_of_memory *m, int32_t correlation, int16_t version) {
    pkf_conn *conn = pkf_conn_new(&MEMORY, m, 99, version, correlation, &CONFIG, 5);
    NEED(conn);
    return conn;
}

static void open_rig(int32_t partitions) {
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    accum.buffer_memory = 8 << 20;
    rig_open(&r, &accum, &wire, partitions);
}

static pkf_batch *sealed(int32_t partition, const char *value) {
    pkf_slot slot = rig_batch(&r, partition, value);
    pkf_batch *batch = slot.batch;
    pkf_batch_seal(batch, -1, -1, -1, 0, pkf_crc32c_select(NULL));
    pkf_batch_unref(batch); // the queue keeps it
    return batch;
}

static void end_request(pkf_conn *conn) {
    pkf_inflight request = pkf_conn_pop(conn);
    pkf_inflight_free(&request);
}

// ---- writing ----

static void a_request_is_the_same_however_it_is_written(void) {
    enum { COUNT = 250 }; // 501 pieces and more
    pkf_batch *batches[COUNT];
    size_t whole = 0, steps[] = {1, 2, 3, 61, 100, 1000, SIZE_MAX / 2};
    open_rig(COUNT);
    for (int i = 0; i < COUNT; i++) batches[i] = sealed(i, "value");
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        wire_of_memory m = {.out = malloc(1 << 20), .out_room = 1 << 20, .error = -1};
        int error = 0, turns = 0;
        NEED(m.out);
        pkf_conn *conn = open_conn(&m, 100, 12);
        NEED(pkf_conn_frame(conn, batches, COUNT, 10) == PKF_OK);
        CHECK(!pkf_conn_can_send(conn) && conn->ring_count == 1);
        CHECK_INT(pkf_conn_write(conn, 11, &error), PKF_E_PARTIAL); // step is 0
        CHECK_INT(conn->last_active_ns, 5);
        CHECK(!pkf_conn_newest(conn)->written);
        for (m.step = steps[i]; pkf_conn_write(conn, 12, &error) == PKF_E_PARTIAL; turns++) CHECK(turns < 1);
        CHECK(pkf_conn_newest(conn)->written && pkf_conn_can_send(conn));
        CHECK_INT(conn->last_active_ns, 12);
        if (whole == 0) whole = m.out_size;
        CHECK_INT(m.out_size, whole);
        peer_request request = {.frame = m.out + 4, .size = m.out_size - 4};
        peer_parse(&request);
        CHECK_INT(request.batch_count, COUNT);
        CHECK_INT(request.correlation, 100);
        for (int n = 0; n < COUNT; n++) CHECK_INT(request.batches[n].partition, n);
        end_request(conn);
        pkf_conn_free(conn);
        CHECK_INT(m.closed, 1);
        free(m.out);
    }
    rig_close(&r);
}

static void places_in_flight_are_bounded_and_reused(void) {
    wire_of_memory m = {.out = malloc(1 << 20), .out_room = 1 << 20, .error = -1, .step = 1 << 20};
    int error = 0;
    open_rig(1);
    NEED(m.out);
    pkf_batch *batch = sealed(0, "value");
    pkf_conn *conn = open_conn(&m, INT32_MAX - 1, 9);
    CHECK(pkf_conn_oldest(conn) == NULL && pkf_conn_newest(conn) == NULL);
    int32_t wanted[] = {INT32_MAX - 1, INT32_MAX, 0, 1, 2, 3, 4, 5};
    for (int i = 0; i < 8; i++) {
        if (conn->ring_count == 3) {
            CHECK(!pkf_conn_can_send(conn));
            CHECK_INT(pkf_conn_oldest(conn)->correlation, wanted[i - 3]);
            end_request(conn);
        }
        CHECK(pkf_conn_can_send(conn));
        NEED(pkf_conn_frame(conn, &batch, 1, 1000 + i) == PKF_OK);
        NEED(pkf_conn_write(conn, 0, &error) == PKF_OK);
        CHECK_INT(pkf_conn_newest(conn)->correlation, wanted[i]);
        CHECK_INT(pkf_conn_newest(conn)->deadline_ns, 1000 + i + CONFIG.request_timeout_ns);
    }
    while (conn->ring_count) end_request(conn);
    pkf_conn_free(conn);
    free(m.out);
    rig_close(&r);
}

static void what_cannot_be_framed_is_not_in_flight(void) {
    wire_of_memory m = {.error = -1};
    open_rig(1);
    pkf_batch *batch = sealed(0, "value");
    pkf_conn *conn = open_conn(&m, 1, -1);
    CHECK_INT(pkf_conn_frame(conn, &batch, 1, 0), PKF_E_INVALID);
    CHECK(conn->ring_count == 0 && pkf_conn_can_send(conn));
    pkf_conn_free(conn);
    rig_close(&r);
}

static void errors_of_the_transport_are_passed_on(void) {
    wire_of_memory m = {.error = ECONNRESET};
    int error = 77;
    open_rig(1);
    pkf_batch *batch = sealed(0, "value");
    pkf_conn *conn = open_conn(&m, 1, 12);
    CHECK_INT(pkf_conn_write(conn, 0, &error), PKF_OK); // nothing to write
    NEED(pkf_conn_frame(conn, &batch, 1, 0) == PKF_OK);
    CHECK_INT(pkf_conn_write(conn, 0, &error), PKF_E_SYSTEM);
    CHECK_INT(error, ECONNRESET);
    CHECK_INT(pkf_conn_read(conn, 0, &error), PKF_E_SYSTEM);
    m.error = 0;
    CHECK_INT(pkf_conn_read(conn, 0, &error), PKF_E_SYSTEM);
    CHECK_INT(error, 0);
    m.error = -1;
    CHECK_INT(pkf_conn_read(conn, 0, &error), PKF_E_PARTIAL);
    end_request(conn);
    CHECK(!conn->writing);
    pkf_conn_free(conn);
    rig_close(&r);
}

// ---- time ----

#define TIMEOUT CONFIG.request_timeout_ns

static void frame_and_write(pkf_conn *conn, pkf_batch *batch, int64_t now_ns) {
    int error;
    NEED(pkf_conn_frame(conn, &batch, 1, now_ns) == PKF_OK);
    NEED(pkf_conn_write(conn, now_ns, &error) == PKF_OK);
}

// Looks as the sender does, until `end_ns`; when the oldest request was overdue, 0 if it never was.
static int64_t overdue_at(pkf_conn *conn, int64_t from_ns, int64_t end_ns) {
    for (int64_t now = from_ns, due; now <= end_ns; now = due)
        if ((due = pkf_conn_due(conn, now)) <= now) return now;
    return 0;
}

static void a_request_has_its_time_from_the_answer_before_it(void) {
    wire_of_memory m = {.out = malloc(1 << 20), .out_room = 1 << 20, .error = -1, .step = 1 << 20};
    open_rig(1);
    NEED(m.out);
    pkf_batch *batch = sealed(0, "value");
    pkf_conn *conn = open_conn(&m, 1, 12);
    CHECK(pkf_conn_due(conn, 0) == PKF_NEVER);
    for (int i = 0; i < 3; i++) frame_and_write(conn, batch, 100 + i);
    for (int i = 1; i < 3; i++) {
        int64_t now = 100 + i * (TIMEOUT - 10);
        CHECK_INT(overdue_at(conn, now, now), 0);
        pkf_inflight answered = pkf_conn_pop_answered(conn, now);
        CHECK_INT(answered.correlation, i);
        pkf_inflight_free(&answered);
        CHECK_INT(pkf_conn_oldest(conn)->deadline_ns, now + TIMEOUT);
    }
    int64_t last = 100 + 2 * (TIMEOUT - 10) + TIMEOUT;
    CHECK_INT(overdue_at(conn, last - TIMEOUT / 2, last + TIMEOUT), last);
    frame_and_write(conn, batch, last - TIMEOUT);
    pkf_conn_newest(conn)->deadline_ns = last + 7; // a throttle's: an answer takes nothing back
    pkf_inflight answered = pkf_conn_pop_answered(conn, last - TIMEOUT);
    pkf_inflight_free(&answered);
    CHECK_INT(pkf_conn_oldest(conn)->deadline_ns, last + 7);
    end_request(conn);
    pkf_conn_free(conn);
    free(m.out);
    rig_close(&r);
}

static void what_the_peer_takes_meanwhile_gives_time(void) {
    wire_of_memory m = {.out = malloc(1 << 20), .out_room = 1 << 20, .error = -1, .step = 1 << 20};
    open_rig(1);
    NEED(m.out);
    pkf_batch *batch = sealed(0, "value");
    pkf_conn *conn = open_conn(&m, 1, 12);
    frame_and_write(conn, batch, 0);
    size_t size = m.untaken = m.out_size;
    int64_t now = 0;
    for (; m.untaken > 1; m.untaken--) // a byte each time: many times the time-out in all
        for (int i = 0; i < 10; i++, now = pkf_conn_due(conn, now)) CHECK(pkf_conn_due(conn, now) > now);
    CHECK(now > 10 * TIMEOUT);
    int64_t due = overdue_at(conn, now, now + 2 * TIMEOUT); // nothing moves any more
    CHECK(due >= now && due <= now + TIMEOUT);
    now = due;
    m.untaken = 0; // just now, after all
    CHECK(pkf_conn_due(conn, now) > now);
    CHECK_INT(conn->taken, size);
    int looks = m.looks;
    int64_t deadline = pkf_conn_oldest(conn)->deadline_ns;
    CHECK_INT(overdue_at(conn, now, now + 2 * TIMEOUT), deadline); // it has everything, and says nothing
    CHECK_INT(m.looks, looks);
    frame_and_write(conn, batch, now); // the next one is looked after on its own
    end_request(conn);
    m.untaken = size;
    CHECK(pkf_conn_due(conn, now) > now);
    CHECK(overdue_at(conn, now, now + 3 * TIMEOUT) <= now + TIMEOUT);
    CHECK(m.looks > looks);
    end_request(conn);
    pkf_conn_free(conn);
    free(m.out);
    rig_close(&r);
}

static void what_the_socket_does_not_take_has_its_time_too(void) {
    wire_of_memory m = {.error = -1};
    int error;
    open_rig(1);
    pkf_batch *batch = sealed(0, "value");
    pkf_conn *conn = open_conn(&m, 1, 12);
    NEED(pkf_conn_frame(conn, &batch, 1, 5) == PKF_OK);
    CHECK_INT(pkf_conn_write(conn, 5, &error), PKF_E_PARTIAL);
    CHECK_INT(overdue_at(conn, 5, 5 + 2 * TIMEOUT), 5 + TIMEOUT);
    end_request(conn);
    pkf_conn_free(conn);
    rig_close(&r);
}

// ---- reading ----

static size_t put_frame(uint8_t *to, uint32_t size, uint8_t fill) {
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(size >> (24 - 8 * i));
    memset(to + 4, fill, size);
    return 4 + (size_t)size;
}

static void frames_come_out_however_they_come_in(void) {
    static uint8_t stream[400000];
    uint32_t sizes[] = {4, 5, 4092, 4093, 100, 200000, 4, 60000, 4096, 8192, 7};
    size_t total = 0, steps[] = {1, 2, 3, 7, 4095, 4096, 5000, SIZE_MAX / 2};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    for (uint32_t i = 0; i < COUNT; i++) total += put_frame(stream + total, sizes[i], (uint8_t)(i + 1));
    for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
        wire_of_memory m = {.in = stream, .in_size = total, .step = steps[s], .error = 0};
        pkf_conn *conn = open_conn(&m, 1, 12);
        uint32_t got = 0;
        int error = 77;
        pkf_status status = PKF_OK;
        for (const uint8_t *bytes; (status = pkf_conn_read(conn, 3, &error)) == PKF_OK;) {
            for (size_t size; (status = pkf_conn_next(conn, &bytes, &size)) == PKF_OK; got++) {
                NEED(got < COUNT);
                CHECK_INT(size, sizes[got]);
                CHECK(bytes[0] == got + 1 && bytes[size - 1] == got + 1);
            }
            CHECK_INT(status, PKF_E_PARTIAL);
        }
        CHECK_INT(status, PKF_E_SYSTEM);
        CHECK_INT(error, 0);
        CHECK_INT(got, COUNT);
        CHECK(conn->in_room <= 1 << 19);
        pkf_conn_free(conn);
    }
}

static pkf_status first_frame(uint32_t announced, size_t *room) {
    uint8_t stream[14];
    const uint8_t *bytes;
    size_t size;
    int error;
    (void)put_frame(stream, 10, 1);
    for (int i = 0; i < 4; i++) stream[i] = (uint8_t)(announced >> (24 - 8 * i));
    wire_of_memory m = {.in = stream, .in_size = sizeof stream, .step = 100, .error = 0};
    pkf_conn *conn = open_conn(&m, 1, 12);
    CHECK_INT(pkf_conn_read(conn, 0, &error), PKF_OK);
    pkf_status status = pkf_conn_next(conn, &bytes, &size);
    *room = conn->in_room;
    pkf_conn_free(conn);
    return status;
}

static void a_size_is_believed_only_within_reason(void) {
    size_t room;
    CHECK_INT(first_frame(10, &room), PKF_OK);
    CHECK_INT(first_frame(0, &room), PKF_E_MALFORMED);
    CHECK_INT(first_frame(3, &room), PKF_E_MALFORMED); // there is no room for a correlation id
    CHECK_INT(first_frame(200000, &room), PKF_E_PARTIAL);
    CHECK_INT(room, 4096); // memory for what has come, not for what was promised
    CHECK_INT(first_frame(200001, &room), PKF_E_MALFORMED);
    CHECK_INT(first_frame(0x7fffffff, &room), PKF_E_MALFORMED);
    CHECK_INT(first_frame(0x80000000, &room), PKF_E_MALFORMED);
    CHECK_INT(first_frame(0xffffffff, &room), PKF_E_MALFORMED);
}

// ---- whom an ack speaks of ----

static void acks_find_their_batches(void) {
    enum { COUNT = 6 };
    pkf_batch *batches[COUNT];
    wire_of_memory m = {.error = -1};
    open_rig(COUNT);
    memset(r.topic->id, 7, sizeof r.topic->id);
    for (int i = 0; i < COUNT; i++) batches[i] = sealed(i, "value");
    for (int16_t version = 12; version <= 13; version++) {
        uint8_t id[16];
        int32_t hint = 0;
        memset(id, 7, sizeof id);
        pkf_conn *conn = open_conn(&m, 1, version);
        NEED(pkf_conn_frame(conn, batches, COUNT, 0) == PKF_OK);
        memset(r.topic->id, 8, sizeof r.topic->id); // the topic was made anew meanwhile: what was sent counts
        pkf_inflight *request = pkf_conn_oldest(conn);
        pkf_ack ack = {.topic_name = rig_span("events"), .topic_id = version == 13 ? id : NULL};
        int order[] = {0, 1, 2, 5, 3, 4};
        for (int i = 0; i < COUNT; i++) {
            ack.partition = order[i];
            pkf_batch **place = pkf_inflight_find(request, &ack, &hint);
            NEED(place);
            CHECK(*place == batches[order[i]]);
            *place = NULL;
            CHECK(pkf_inflight_find(request, &ack, &hint) == NULL); // once each
        }
        memcpy(request->batches, batches, sizeof batches);
        ack.partition = COUNT;
        CHECK(pkf_inflight_find(request, &ack, &hint) == NULL);
        ack.partition = 0;
        id[15]++;
        ack.topic_name = rig_span("event");
        CHECK(pkf_inflight_find(request, &ack, &hint) == NULL);
        memset(r.topic->id, 7, sizeof r.topic->id);
        end_request(conn);
        pkf_conn_free(conn);
    }
    rig_close(&r);
}

int main(void) {
    a_request_is_the_same_however_it_is_written();
    places_in_flight_are_bounded_and_reused();
    what_cannot_be_framed_is_not_in_flight();
    errors_of_the_transport_are_passed_on();
    a_request_has_its_time_from_the_answer_before_it();
    what_the_peer_takes_meanwhile_gives_time();
    what_the_socket_does_not_take_has_its_time_too();
    frames_come_out_however_they_come_in();
    a_size_is_believed_only_within_reason();
    acks_find_their_batches();
    return FINISH();
}
