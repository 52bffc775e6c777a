// SPDX-License-Identifier: Apache-2.0
#include "pkf_response.h"

#include <string.h>

enum {
    MIN_VERSION = 0,
    MAX_VERSION = 13,
    FIRST_WITH_THROTTLE = 1,
    FIRST_WITH_TIME = 2,
    FIRST_WITH_LOG_START = 5,
    FIRST_WITH_RECORD_ERRORS = 8,
    FIRST_FLEXIBLE = 9,
    FIRST_WITH_LEADERS = 10,
    FIRST_WITH_TOPIC_ID = 13
};

static bool is_flexible(const pkf_response *r) { return r->version >= FIRST_FLEXIBLE; }

static int32_t read_count(pkf_cursor *c, bool flexible, size_t element_min_size) {
    return flexible ? pkf_cursor_compact_array(c, element_min_size) : pkf_cursor_array(c, element_min_size);
}

static pkf_span read_nullable_string(pkf_cursor *c, bool flexible) {
    return flexible ? pkf_cursor_compact_nullable(c) : pkf_cursor_nullable_string(c);
}

static void skip_tags(pkf_cursor *c, bool flexible) {
    if (flexible) pkf_cursor_skip_tags(c);
}

// ---- lists ----

static void read_ack_error(pkf_cursor *c, bool flexible, pkf_ack_error *error) {
    error->index = pkf_cursor_int32(c);
    error->message = read_nullable_string(c, flexible);
    skip_tags(c, flexible);
}

bool pkf_ack_errors_next(pkf_ack_errors *errors, pkf_ack_error *error) {
    if (errors->left <= 0 || errors->cursor.failed) return false;
    errors->left--;
    read_ack_error(&errors->cursor, errors->flexible, error);
    return !errors->cursor.failed;
}

static void read_node_endpoint(pkf_cursor *c, pkf_node_endpoint *endpoint) {
    endpoint->id = pkf_cursor_int32(c);
    endpoint->host = pkf_cursor_compact(c);
    endpoint->port = pkf_cursor_int32(c);
    endpoint->rack = pkf_cursor_compact_nullable(c);
    pkf_cursor_skip_tags(c);
}

bool pkf_node_endpoints_next(pkf_node_endpoints *endpoints, pkf_node_endpoint *endpoint) {
    if (endpoints->left <= 0 || endpoints->cursor.failed) return false;
    endpoints->left--;
    read_node_endpoint(&endpoints->cursor, endpoint);
    return !endpoints->cursor.failed;
}

// Remembers the list at the cursor and moves behind it, looking at every element on the way.
static pkf_ack_errors read_ack_errors(pkf_cursor *c, bool flexible) {
    pkf_ack_errors errors = {.left = read_count(c, flexible, 6), .flexible = flexible};
    errors.cursor = *c;
    pkf_ack_error error;
    for (int32_t i = 0; i < errors.left && !c->failed; i++) read_ack_error(c, flexible, &error);
    return errors;
}

static pkf_node_endpoints read_node_endpoints(pkf_cursor *c) {
    pkf_node_endpoints endpoints = {.left = pkf_cursor_compact_array(c, 11)};
    endpoints.cursor = *c;
    pkf_node_endpoint endpoint;
    for (int32_t i = 0; i < endpoints.left && !c->failed; i++) read_node_endpoint(c, &endpoint);
    return endpoints;
}

// ---- tags ----

static void read_partition_tags(pkf_response *r, pkf_ack *ack) {
    pkf_cursor body;
    for (int32_t left = pkf_cursor_tag_count(&r->cursor); left > 0 && !r->cursor.failed; left--) {
        uint32_t tag = pkf_cursor_tag(&r->cursor, &body);
        if (tag != 0 || r->version < FIRST_WITH_LEADERS) continue;
        ack->leader_id = pkf_cursor_int32(&body);
        ack->leader_epoch = pkf_cursor_int32(&body);
        pkf_cursor_skip_tags(&body);
        if (body.failed) r->cursor.failed = true;
    }
}

static void read_response_tags(pkf_response *r) {
    pkf_cursor body;
    for (int32_t left = pkf_cursor_tag_count(&r->cursor); left > 0 && !r->cursor.failed; left--) {
        uint32_t tag = pkf_cursor_tag(&r->cursor, &body);
        if (tag != 0 || r->version < FIRST_WITH_LEADERS) continue;
        r->endpoints = read_node_endpoints(&body);
        if (body.failed) r->cursor.failed = true;
    }
}

// ---- the iterator ----

pkf_status pkf_response_peek(const uint8_t *bytes, size_t len, int32_t *correlation_id) {
    pkf_cursor c = pkf_cursor_over(bytes, len);
    int32_t id = pkf_cursor_int32(&c);
    if (c.failed) return PKF_E_MALFORMED;
    *correlation_id = id;
    return PKF_OK;
}

pkf_status pkf_response_open(pkf_response *response, const uint8_t *bytes, size_t len, int16_t version) {
    memset(response, 0, sizeof *response);
    response->cursor = pkf_cursor_over(bytes, len);
    response->version = version;
    if (version < MIN_VERSION || version > MAX_VERSION) return PKF_E_INVALID;
    bool flexible = is_flexible(response);
    response->correlation_id = pkf_cursor_int32(&response->cursor);
    skip_tags(&response->cursor, flexible);
    response->topics_left = read_count(&response->cursor, flexible, flexible ? 3 : 6);
    return response->cursor.failed ? PKF_E_MALFORMED : PKF_OK;
}

static void begin_topic(pkf_response *r) {
    bool flexible = is_flexible(r);
    r->topics_left--;
    if (r->version >= FIRST_WITH_TOPIC_ID)
        r->topic_id = pkf_cursor_uuid(&r->cursor);
    else
        r->topic_name = flexible ? pkf_cursor_compact(&r->cursor) : pkf_cursor_string(&r->cursor);
    r->partitions_left = read_count(&r->cursor, flexible, r->version >= FIRST_WITH_TIME ? 22 : 14);
    if (r->partitions_left == 0) skip_tags(&r->cursor, flexible);
}

static void read_partition(pkf_response *r, pkf_ack *ack) {
    bool flexible = is_flexible(r);
    pkf_cursor *c = &r->cursor;
    *ack = (pkf_ack){.topic_name = r->topic_name, .topic_id = r->topic_id, .leader_id = -1, .leader_epoch = -1};
    ack->partition = pkf_cursor_int32(c);
    ack->code = pkf_cursor_int16(c);
    ack->base_offset = pkf_cursor_int64(c);
    ack->log_append_time = r->version >= FIRST_WITH_TIME ? pkf_cursor_int64(c) : -1;
    ack->log_start_offset = r->version >= FIRST_WITH_LOG_START ? pkf_cursor_int64(c) : -1;
    if (r->version >= FIRST_WITH_RECORD_ERRORS) {
        ack->record_errors = read_ack_errors(c, flexible);
        ack->error_message = read_nullable_string(c, flexible);
    }
    if (flexible) read_partition_tags(r, ack);
    if (--r->partitions_left == 0) skip_tags(c, flexible);
}

static void read_end(pkf_response *r) {
    if (r->version >= FIRST_WITH_THROTTLE) r->throttle_ms = pkf_cursor_int32(&r->cursor);
    if (is_flexible(r)) read_response_tags(r);
    if (pkf_cursor_remaining(&r->cursor)) r->cursor.failed = true;
}

pkf_status pkf_response_next(pkf_response *response, pkf_ack *ack, bool *more) {
    while (response->partitions_left == 0 && response->topics_left > 0 && !response->cursor.failed)
        begin_topic(response);
    *more = response->partitions_left > 0;
    if (*more)
        read_partition(response, ack);
    else
        read_end(response);
    return response->cursor.failed ? PKF_E_MALFORMED : PKF_OK;
}
