// SPDX-License-Identifier: Apache-2.0
#include "golden.h"

#include "pkf_response.h"

static bool is(pkf_span s, const char *text) {
    return text ? s.base && s.len == strlen(text) && memcmp(s.base, text, s.len) == 0 : !s.base;
}

// What tests/golden/make_produce.py encodes.
static void check_good_ack(const pkf_ack *ack, int version, int topic, int32_t partition, int64_t offset) {
    CHECK_INT(ack->partition, partition);
    CHECK_INT(ack->code, 0);
    CHECK_INT(ack->base_offset, offset);
    CHECK_INT(ack->log_append_time, version >= 2 ? 1700000000000 : -1);
    CHECK_INT(ack->log_start_offset, version >= 5 ? 5 : -1);
    CHECK(is(ack->topic_name, version >= 13 ? NULL : topic ? "t\xc3\xb6pic" : "events"));
    CHECK(!ack->topic_id == (version < 13));
    if (version >= 13) CHECK_INT(ack->topic_id[15], topic ? 0x8f : 0x1f);
    CHECK_INT(ack->record_errors.left, 0);
    CHECK(is(ack->error_message, NULL));
    CHECK_INT(ack->leader_id, -1);
    CHECK_INT(ack->leader_epoch, -1);
}

static void check_bad_ack(const pkf_ack *ack, int version) {
    pkf_ack_error error;
    pkf_ack_errors errors = ack->record_errors;
    CHECK_INT(ack->partition, 7);
    CHECK_INT(ack->code, 6);
    CHECK_INT(ack->base_offset, -1);
    CHECK_INT(ack->log_append_time, -1);
    CHECK(is(ack->error_message, version >= 8 ? "refused" : NULL));
    CHECK_INT(errors.left, version >= 8 ? 2 : 0);
    if (version >= 8) {
        CHECK(pkf_ack_errors_next(&errors, &error) && error.index == 3 && is(error.message, "bad time"));
        CHECK(pkf_ack_errors_next(&errors, &error) && error.index == 9);
        CHECK(is(error.message, NULL));
    }
    CHECK(!pkf_ack_errors_next(&errors, &error));
    CHECK_INT(ack->leader_id, version >= 10 ? 2 : -1);
    CHECK_INT(ack->leader_epoch, version >= 10 ? 41 : -1);
}

static void check_end(pkf_response *response, int version) {
    pkf_node_endpoint node;
    CHECK_INT(response->throttle_ms, version >= 1 ? 250 : 0);
    if (version >= 10) {
        CHECK_INT(response->endpoints.left, 2);
        CHECK(pkf_node_endpoints_next(&response->endpoints, &node));
        CHECK(node.id == 2 && node.port == 9092 && is(node.host, "broker-2.example") && is(node.rack, "r1"));
        CHECK(pkf_node_endpoints_next(&response->endpoints, &node));
        CHECK(node.id == 3 && node.port == 9093 && is(node.host, "broker-3.example") && is(node.rack, NULL));
    }
    CHECK(!pkf_node_endpoints_next(&response->endpoints, &node));
}

static void every_version_of_another_encoder_is_understood(void) {
    golden g;
    int versions = 0;
    for (golden_open(&g, "../golden/produce_responses.txt"); golden_next(&g); versions++) {
        pkf_response response;
        pkf_ack ack;
        bool more = false;
        int32_t id = 0;
        CHECK(pkf_response_peek(g.bytes, g.size, &id) == PKF_OK && id == 0x01020304);
        NEED(pkf_response_open(&response, g.bytes, g.size, (int16_t)g.number) == PKF_OK);
        CHECK_INT(response.correlation_id, 0x01020304);
        NEED(pkf_response_next(&response, &ack, &more) == PKF_OK && more);
        check_good_ack(&ack, g.number, 0, 0, INT64_C(1) << 40);
        NEED(pkf_response_next(&response, &ack, &more) == PKF_OK && more);
        check_bad_ack(&ack, g.number);
        NEED(pkf_response_next(&response, &ack, &more) == PKF_OK && more);
        check_good_ack(&ack, g.number, 1, 1, 12);
        NEED(pkf_response_next(&response, &ack, &more) == PKF_OK && !more);
        check_end(&response, g.number);
    }
    CHECK_INT(versions, 14);
}

static pkf_status read_all(const uint8_t *bytes, size_t size, int16_t version, int *acks) {
    pkf_response response;
    pkf_ack ack;
    bool more = true;
    *acks = 0;
    pkf_status status = pkf_response_open(&response, bytes, size, version);
    while (status == PKF_OK && more) {
        status = pkf_response_next(&response, &ack, &more);
        *acks += status == PKF_OK && more;
    }
    return status;
}

// Cut anywhere, or with a byte too many, nothing is a whole response. Each length is a block of its own, so that the address
// sanitizer sees a read behind the end.
static void what_is_cut_short_or_too_long_is_malformed(void) {
    golden g;
    int acks;
    for (golden_open(&g, "../golden/produce_responses.txt"); golden_next(&g);) {
        for (size_t size = 0; size <= g.size + 1; size++) {
            uint8_t *part = calloc(1, size ? size : 1);
            NEED(part);
            memcpy(part, g.bytes, size < g.size ? size : g.size);
            CHECK_INT(read_all(part, size, (int16_t)g.number, &acks), size == g.size ? PKF_OK : PKF_E_MALFORMED);
            free(part);
        }
    }
}

static void check_read(const char *hex, int16_t version, pkf_status wanted, int wanted_acks) {
    uint8_t bytes[256];
    size_t size = harness_unhex(hex, bytes, sizeof bytes);
    int acks;
    CHECK_INT(read_all(bytes, size, version, &acks), wanted);
    if (wanted == PKF_OK) CHECK_INT(acks, wanted_acks);
}

static void odd_but_legal_responses(void) {
    check_read("00000001 00000000", 0, PKF_OK, 0);                           // no topics
    check_read("00000001 00000000 00000000", 3, PKF_OK, 0);                  // the same
    check_read("00000001 ffffffff 00000000", 3, PKF_OK, 0);                  // null topics
    check_read("00000001 00000001 0001 61 00000000 00000000", 3, PKF_OK, 0); // a topic without partitions
    check_read("00000001 00 02 02 61 01 00 00000000 00", 9, PKF_OK, 0);      // the same, flexible
    check_read("00000001 01 07 02 aaaa 01 00000000 01 63 00", 9, PKF_OK, 0); // tags nobody knows
    // Before version 10 tag 0 has no meaning.
    check_read("00000001 00 01 00000000 01 00 01 ff", 9, PKF_OK, 0);
    check_read("00000001 00 01 00000000 01 00 01 ff", 10, PKF_E_MALFORMED, 0);
}

static void hostile_counts_and_lengths(void) {
    check_read("00000001 7fffffff 0001 61 00000000 00000000", 3, PKF_E_MALFORMED, 0);
    check_read("00000001 fffffffe 00000000", 3, PKF_E_MALFORMED, 0);
    check_read("00000001 00000001 ffff 00000000 00000000", 3, PKF_E_MALFORMED, 0); // a null name
    check_read("00000001 00000001 7fff 61 00000000 00000000", 3, PKF_E_MALFORMED, 0);
    check_read("00000001 00 ffffffff0f 02 61 01 00 00000000 00", 9, PKF_E_MALFORMED, 0);
    check_read("00000001 ffffffff0f 01 00000000 00", 9, PKF_E_MALFORMED, 0);           // tags without end
    check_read("00000001 00 01 00000000 01 00 05 ffffffff0f", 10, PKF_E_MALFORMED, 0); // endpoints that cannot fit
    int acks;
    CHECK_INT(read_all((const uint8_t *)"", 0, -1, &acks), PKF_E_INVALID);
    CHECK_INT(read_all((const uint8_t *)"", 0, 14, &acks), PKF_E_INVALID);
    int32_t id;
    CHECK_INT(pkf_response_peek((const uint8_t *)"abc", 3, &id), PKF_E_MALFORMED);
}

int main(void) {
    every_version_of_another_encoder_is_understood();
    what_is_cut_short_or_too_long_is_malformed();
    odd_but_legal_responses();
    hostile_counts_and_lengths();
    return FINISH();
}
