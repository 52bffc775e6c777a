// SPDX-License-Identifier: Apache-2.0
// The connections of the round: taking them over, reading, writing, time-outs, losing them.
#include <stdlib.h>
#include <string.h>

#include "pkf_round.h"
#include "pkf_text.h"

#define NETWORK_EXCEPTION 13 // Kafka's code for a request that ended without an answer
#define REQUEST_TIMED_OUT 7

void pkf_wire_connect(pkf_wire *wire, pkf_command *command) {
    pkf_node *node = pkf_wire_node(wire, command->node);
    if (node == NULL) return; // the command still owns the descriptor
    if (node->conn) pkf_wire_disconnect(wire, node, PKF_E_CLOSED, "replaced by a new connection");
    pkf_conn_config config = {
        .client_id = {(const uint8_t *)wire->config.client_id, strlen(wire->config.client_id)},
        .acks = wire->config.acks,
        .max_in_flight = wire->config.max_in_flight,
        .request_timeout_ns = wire->config.request_timeout_ns,
        .receive_max = wire->config.receive_max,
    };
    node->conn = pkf_conn_new(&pkf_transport_plain, (void *)(intptr_t)command->fd, command->fd,
                              (int16_t)command->version, command->correlation, &config, wire->now);
    node->asked = false;
    if (node->conn == NULL) return;
    atomic_store(&node->fd, command->fd);
    command->fd = -1;
    pkf_wire_explain(&node->trouble, NULL);
    pkf_count(&wire->counters.connections_created, 1);
    atomic_fetch_add(&wire->counters.connections, 1);
}

void pkf_wire_explain(char **trouble, const char *text) {
    free(*trouble);
    *trouble = text ? strdup(text) : NULL;
}

static void fail_requests(pkf_wire *wire, pkf_conn *conn, int32_t code, const char *text) {
    while (conn->ring_count) {
        pkf_inflight request = pkf_conn_pop(conn);
        atomic_fetch_sub(&wire->counters.in_flight, 1);
        for (int32_t i = 0; i < request.count; i++) {
            // A broker acts on whole requests only: what was not written out whole was not written to the log.
            request.batches[i]->maybe_written |= request.written;
            pkf_wire_fail_in_request(wire, request.batches[i], code, text);
        }
        pkf_inflight_free(&request);
    }
}

static void report_lost(pkf_wire *wire, pkf_node *node, int32_t code, const char *text) {
    pkf_event *event = pkf_event_new(PKF_EVENT_CONNECTION_LOST);
    if (event == NULL) return;
    event->node = node->id;
    event->code = code;
    event->text = strdup(text);
    event->in_doubt = node->conn->ring_count > 0;
    pkf_events_push(&wire->events, event);
}

void pkf_wire_disconnect(pkf_wire *wire, pkf_node *node, int32_t code, const char *text) {
    pkf_conn *conn = node->conn;
    pkf_text told = {.len = 0}; // records may have been sent to several
    pkf_text_add(&told, "node ");
    pkf_text_add_int(&told, node->id);
    pkf_text_add(&told, ": ");
    pkf_text_add(&told, text);
    report_lost(wire, node, code, text);
    node->conn = NULL;
    atomic_store(&node->fd, -1);
    node->asked = false;
    fail_requests(wire, conn, code == PKF_E_TIMEOUT ? REQUEST_TIMED_OUT : NETWORK_EXCEPTION, told.chars);
    pkf_conn_free(conn);
    pkf_count(&wire->counters.connections_closed, 1);
    atomic_fetch_sub(&wire->counters.connections, 1);
}

void pkf_wire_disconnect_all(pkf_wire *wire) {
    for (int32_t i = 0; i < wire->node_count; i++)
        if (wire->nodes[i]->conn) pkf_wire_disconnect(wire, wire->nodes[i], PKF_E_CLOSED, "aborted");
}

static void lost(pkf_wire *wire, pkf_node *node, int error) {
    pkf_wire_disconnect(wire, node, error, error == 0 ? "the broker closed the connection" : "the connection failed");
}

// How much a node's requests may hold: half of what had not got through when its time was up, because it would not the
// next time either; and up to twice what took no more than a quarter of its time. One batch goes however large it is.
#define LEAST_ROOM 16384

static void narrow(pkf_node *node) {
    size_t size = pkf_conn_oldest(node->conn)->size, half = (size < node->room ? size : node->room) / 2;
    if (half < LEAST_ROOM) half = LEAST_ROOM;
    if (half < node->room) node->room = half;
}

static void widen(const pkf_wire *wire, pkf_node *node, const pkf_inflight *request) {
    size_t most = wire->accum->config.max_request_size, room = 2 * request->size;
    int64_t timeout = wire->config.request_timeout_ns, took = wire->now - (request->deadline_ns - timeout);
    if (room <= node->room || took > timeout / 4) return;
    node->room = room < most ? room : most;
}

static void end_unanswered(pkf_wire *wire, pkf_inflight *request) // acks=0: written out is all there will be
{
    pkf_ack ack = {.code = 0, .base_offset = -1, .log_append_time = -1, .log_start_offset = -1, .leader_id = -1};
    for (int32_t i = 0; i < request->count; i++) pkf_wire_acked(wire, request->batches[i], &ack);
    pkf_inflight_free(request);
}

static void count_request(pkf_wire *wire, pkf_node *node) {
    size_t size = node->conn->out.size;
    pkf_count(&wire->counters.requests, 1);
    pkf_count(&wire->counters.request_bytes, size);
    pkf_count_max(&wire->counters.request_size_max, size);
    pkf_count(&node->counters.requests, 1);
    pkf_count(&node->counters.request_bytes, size);
    pkf_count_max(&node->counters.request_size_max, size);
}

void pkf_wire_write(pkf_wire *wire, pkf_node *node) {
    int error = 0;
    pkf_conn *conn = node->conn;
    if (!conn->writing) return;
    if (conn->iov_next == 0 && !pkf_conn_newest(conn)->counted) {
        pkf_conn_newest(conn)->counted = true;
        count_request(wire, node);
        atomic_fetch_add(&wire->counters.in_flight, 1);
    }
    pkf_status status = pkf_conn_write(conn, wire->now, &error);
    if (status == PKF_E_SYSTEM) {
        lost(wire, node, error);
        return;
    }
    if (status != PKF_OK || conn->config.acks != 0) return;
    pkf_inflight request = pkf_conn_pop(conn);
    atomic_fetch_sub(&wire->counters.in_flight, 1);
    widen(wire, node, &request);
    end_unanswered(wire, &request);
}

static void malformed(pkf_wire *wire, pkf_node *node, const char *what, int64_t size) {
    pkf_text text = {.len = 0};
    pkf_text_add(&text, "Produce: a response of ");
    pkf_text_add_int(&text, size);
    pkf_text_add(&text, " bytes ");
    pkf_text_add(&text, what);
    pkf_wire_disconnect(wire, node, PKF_E_MALFORMED, text.chars);
}

static void malformed_at(pkf_wire *wire, pkf_node *node, const char *what, const pkf_response *response) {
    pkf_text text = {.len = 0};
    pkf_text_add(&text, "Produce v");
    pkf_text_add_int(&text, response->version);
    pkf_text_add(&text, ": a response ");
    pkf_text_add(&text, what);
    pkf_text_add(&text, " at offset ");
    pkf_text_add_int(&text, (int64_t)response->cursor.pos);
    pkf_text_add(&text, " of ");
    pkf_text_add_int(&text, (int64_t)response->cursor.len);
    pkf_text_add(&text, " bytes");
    pkf_wire_disconnect(wire, node, PKF_E_MALFORMED, text.chars);
}

// Read the whole response before acting on any of it: every ack must belong to a batch of the request, once each.
static const char *check_response(pkf_response *response, const pkf_inflight *request, const uint8_t *bytes,
                                  size_t len) {
    if (pkf_response_open(response, bytes, len, request->version) != PKF_OK) return "that breaks the protocol";
    if (response->correlation_id != request->correlation) return "to another request (correlation id)";
    int32_t hint = 0, found = 0;
    for (;;) {
        pkf_ack ack;
        bool more;
        if (pkf_response_next(response, &ack, &more) != PKF_OK) return "that breaks the protocol";
        if (!more) break;
        pkf_batch **place = pkf_inflight_find(request, &ack, &hint);
        if (place == NULL) return "that names a partition the request did not";
        if ((*place)->answered) return "that names a partition twice";
        (*place)->answered = true;
        found++;
    }
    return found == request->count ? NULL : "that leaves out a partition of the request";
}

// Each batch has one leader; a response that names more addresses than batches is not believed further.
static void report_endpoints(pkf_wire *wire, pkf_response *response, int32_t most) {
    pkf_node_endpoint endpoint;
    for (; most > 0 && pkf_node_endpoints_next(&response->endpoints, &endpoint); most--) {
        char *host = strndup((const char *)endpoint.host.base, endpoint.host.len);
        pkf_wire_report(wire, PKF_EVENT_NODE, endpoint.id, endpoint.port, host);
        free(host);
    }
}

void pkf_wire_throttle(pkf_wire *wire, pkf_node *node, int64_t ms) {
    if (node == NULL || ms <= 0) return;
    int64_t ns = ms * 1000000;
    if (wire->now + ns > node->throttled_until) node->throttled_until = wire->now + ns;
    pkf_count(&wire->counters.throttle_ms, (uint64_t)ms);
    pkf_count(&wire->counters.throttle_count, 1);
    pkf_count_max(&wire->counters.throttle_max_ms, (uint64_t)ms);
    pkf_count(&node->counters.throttle_ms, (uint64_t)ms);
    pkf_count_max(&node->counters.throttle_max_ms, (uint64_t)ms);
    for (int32_t i = 0; node->conn && i < node->conn->ring_count; i++)
        node->conn->ring[(node->conn->ring_first + i) % node->conn->config.max_in_flight].deadline_ns += ns;
}

static void count_response(pkf_wire *wire, pkf_node *node, const pkf_inflight *request, size_t len) {
    uint64_t latency = (uint64_t)(wire->now - request->sent_ns);
    pkf_count(&wire->counters.responses, 1);
    pkf_count(&wire->counters.response_bytes, len + 4);
    pkf_count(&wire->counters.request_latency_ns, latency);
    pkf_count_max(&wire->counters.request_latency_max_ns, latency);
    pkf_count(&node->counters.responses, 1);
    pkf_count(&node->counters.response_bytes, len + 4);
    pkf_count(&node->counters.latency_ns, latency);
    pkf_count_max(&node->counters.latency_max_ns, latency);
}

static void apply_response(pkf_wire *wire, const pkf_inflight *request, const uint8_t *bytes, size_t len) {
    pkf_response response;
    pkf_ack ack;
    bool more = true;
    int32_t hint = 0;
    if (pkf_response_open(&response, bytes, len, request->version) != PKF_OK) return; // it was accepted a moment ago
    while (pkf_response_next(&response, &ack, &more) == PKF_OK && more) {
        pkf_batch **place = pkf_inflight_find(request, &ack, &hint), *batch = *place;
        *place = NULL; // it may be freed now, and a broker may answer in any order
        pkf_wire_acked(wire, batch, &ack);
    }
}

// One whole response. Returns false when the connection was given up.
static bool take_response(pkf_wire *wire, pkf_node *node, const uint8_t *bytes, size_t len) {
    pkf_conn *conn = node->conn;
    pkf_inflight *oldest = pkf_conn_oldest(conn);
    if (oldest == NULL || !oldest->written) {
        malformed(wire, node, "to a request that was never sent", (int64_t)len);
        return false;
    }
    for (int32_t i = 0; i < oldest->count; i++) oldest->batches[i]->answered = false;
    pkf_response response;
    const char *wrong = check_response(&response, oldest, bytes, len);
    if (wrong) {
        malformed_at(wire, node, wrong, &response);
        return false;
    }
    pkf_inflight request = pkf_conn_pop_answered(conn, wire->now);
    atomic_fetch_sub(&wire->counters.in_flight, 1);
    count_response(wire, node, &request, len);
    widen(wire, node, &request);
    pkf_wire_throttle(wire, node, request.version >= 6 ? response.throttle_ms : 0);
    report_endpoints(wire, &response, request.count);
    apply_response(wire, &request, bytes, len);
    pkf_inflight_free(&request);
    return true;
}

void pkf_wire_read(pkf_wire *wire, pkf_node *node) {
    int error = 0;
    for (int reads = 0; reads < 16; reads++) { // then the others' turn
        pkf_status status = pkf_conn_read(node->conn, wire->now, &error);
        if (status == PKF_E_PARTIAL) return;
        if (status != PKF_OK) {
            lost(wire, node, error);
            return;
        }
        if (node->conn->config.acks ==
            0) { // some brokers answer all the same; to break off would lose what is under way
            pkf_conn_discard(node->conn);
            continue;
        }
        const uint8_t *bytes;
        size_t len;
        while ((status = pkf_conn_next(node->conn, &bytes, &len)) == PKF_OK)
            if (!take_response(wire, node, bytes, len)) return;
        if (status == PKF_E_MALFORMED) {
            uint32_t size = pkf_load_be32(node->conn->in + node->conn->in_start);
            malformed(wire, node, "(its size is negative or above receive_message_max_bytes)", (int32_t)size);
            return;
        }
    }
}

int64_t pkf_wire_check_times(pkf_wire *wire, pkf_node *node) {
    pkf_conn *conn = node->conn;
    int64_t due = pkf_conn_due(conn, wire->now);
    if (due != PKF_NEVER) {
        if (due > wire->now) return due;
        pkf_wire_read(wire, node); // the answer may be there, unread, after a suspension
        if (node->conn != conn || pkf_conn_due(conn, wire->now) > wire->now) return wire->now;
        narrow(node);
        pkf_wire_disconnect(wire, node, PKF_E_TIMEOUT, "no answer within request_timeout_ms");
        return wire->now;
    }
    if (wire->config.idle_timeout_ns == PKF_NEVER) return PKF_NEVER;
    int64_t idle_at = conn->last_active_ns + wire->config.idle_timeout_ns;
    if (idle_at > wire->now) return idle_at;
    pkf_wire_disconnect(wire, node, PKF_E_CLOSED, "idle for connections_max_idle_ms");
    return PKF_NEVER;
}
