// SPDX-License-Identifier: Apache-2.0
#include "golden.h"

#include "pkf_request.h"

static pkf_span text(const char *s) { return (pkf_span){(const uint8_t *)s, strlen(s)}; }

static uint8_t ids[2][16];

// What tests/golden/make_produce.py encodes: two topics, three batches.
static void golden_batches(pkf_request_batch batches[3], uint8_t *second) {
    for (uint8_t i = 0; i < 16; i++) {
        ids[0][i] = (uint8_t)(0x10 + i);
        ids[1][i] = (uint8_t)(0x80 + i);
    }
    for (int i = 0; i < 30; i++) memcpy(second + 6 * i, "second", 6);
    batches[0] = (pkf_request_batch){text("events"), ids[0], 0, text("first batch")};
    batches[1] = (pkf_request_batch){text("events"), ids[0], 7, {second, 180}};
    batches[2] = (pkf_request_batch){text("t\xc3\xb6pic"), ids[1], INT32_MAX, text("")};
}

static pkf_request_head golden_head(int16_t version) {
    return (pkf_request_head){
        .version = version,
        .acks = -1,
        .correlation_id = 0x01020304,
        .timeout_ms = 30000,
        .client_id = version == 4 ? (pkf_span){NULL, 0} : text("client-\xc3\xa9"),
        .transactional_id = version % 2 ? text("tx-1") : (pkf_span){NULL, 0},
    };
}

static size_t gather(const pkf_request *request, uint8_t *out, size_t room) {
    size_t n = 0;
    for (int i = 0; i < request->iov_count; i++) {
        NEED(n + request->iov[i].iov_len <= room);
        memcpy(out + n, request->iov[i].iov_base, request->iov[i].iov_len);
        n += request->iov[i].iov_len;
    }
    CHECK_INT(n, request->size);
    return n;
}

static void every_version_is_what_another_client_writes(void) {
    golden g;
    pkf_request request;
    pkf_request_batch batches[3];
    uint8_t second[180], got[4096];
    int versions = 0;
    pkf_request_init(&request);
    golden_batches(batches, second);
    for (golden_open(&g, "../golden/produce_requests.txt"); golden_next(&g); versions++) {
        pkf_request_head head = golden_head((int16_t)g.number);
        NEED(pkf_request_frame(&request, &head, batches, 3) == PKF_OK);
        CHECK_INT(gather(&request, got, sizeof got), g.size);
        CHECK_BYTES(got, g.bytes, g.size);
        CHECK(request.iov[1].iov_base == batches[0].bytes.base); // not a copy
    }
    CHECK_INT(versions, 14);
    pkf_request_free(&request);
}

static void a_topic_is_told_apart_by_what_its_version_sends(void) {
    pkf_request request;
    pkf_request_init(&request);
    pkf_request_head head = {.version = 12};
    uint8_t id[16] = {1}, same_id[16] = {1}, got[512];
    char name[] = "a", same_name[] = "a";
    pkf_request_batch batches[2] = {{text(name), id, 0, text("x")}, {text(same_name), same_id, 1, text("y")}};
    NEED(pkf_request_frame(&request, &head, batches, 2) == PKF_OK);
    size_t one_topic = gather(&request, got, sizeof got);
    head.version = 13;
    NEED(pkf_request_frame(&request, &head, batches, 2) == PKF_OK);
    CHECK_INT(gather(&request, got, sizeof got), one_topic - 2 + 16);
    same_id[15] = 1; // two topics now, though the names are equal
    NEED(pkf_request_frame(&request, &head, batches, 2) == PKF_OK);
    CHECK_INT(gather(&request, got, sizeof got), one_topic - 2 + 16 + 18);
    pkf_request_free(&request);
}

static void many_partitions_keep_their_order_and_the_overhead_bound(void) {
    enum { COUNT = 3000 };
    static pkf_request_batch batches[COUNT];
    static char names[COUNT][32];
    pkf_request request;
    pkf_request_init(&request);
    for (int16_t version = 0; version <= 12; version++) {
        pkf_request_head head = golden_head(version);
        size_t bound = 4 + 64 + head.client_id.len + head.transactional_id.len;
        for (int i = 0; i < COUNT; i++) {
            snprintf(names[i], sizeof names[i], "topic-%d", i / 7 * (version % 3 + 1));
            batches[i] = (pkf_request_batch){text(names[i]), NULL, i, {(const uint8_t *)names[i], (size_t)i % 16}};
            bound += batches[i].bytes.len + pkf_request_partition_overhead(batches[i].topic_name.len);
        }
        NEED(pkf_request_frame(&request, &head, batches, COUNT) == PKF_OK);
        CHECK(request.size <= bound);
        size_t total = 0;
        for (int i = 0; i < request.iov_count; i++) total += request.iov[i].iov_len;
        CHECK_INT(total, request.size);
        for (int i = 0; i < COUNT; i++) CHECK(request.iov[2 * i + 1].iov_base == names[i]);
        CHECK_INT(pkf_load_be32(request.scratch), request.size - 4);
    }
    pkf_request_free(&request);
}

static void refuses(pkf_status wanted, pkf_request_head head, const pkf_request_batch *batches, size_t count) {
    pkf_request request;
    pkf_request_init(&request);
    CHECK_INT(pkf_request_frame(&request, &head, batches, count), wanted);
    CHECK(request.iov_count == 0 && request.size == 0);
    pkf_request_free(&request);
}

static void impossible_requests_are_refused(void) {
    static const uint8_t somewhere;
    pkf_request_batch good = {text("t"), ids[0], 0, text("b")}, bad = good;
    pkf_request_head head = golden_head(9);
    refuses(PKF_E_INVALID, head, &good, 0);
    refuses(PKF_E_INVALID, golden_head(-1), &good, 1);
    refuses(PKF_E_INVALID, golden_head(14), &good, 1);
    bad.topic_name = (pkf_span){NULL, 0};
    refuses(PKF_E_INVALID, head, &bad, 1);
    bad.topic_name = (pkf_span){&somewhere, 32768};
    refuses(PKF_E_INVALID, head, &bad, 1);
    bad = good;
    bad.topic_id = NULL;
    refuses(PKF_E_INVALID, golden_head(13), &bad, 1);
    bad.bytes = (pkf_span){NULL, 0};
    refuses(PKF_E_INVALID, head, &bad, 1);
    head.client_id = (pkf_span){&somewhere, 40000};
    refuses(PKF_E_INVALID, head, &good, 1);
    pkf_request_batch huge[2] = {good, good};
    huge[0].bytes = huge[1].bytes = (pkf_span){&somewhere, (size_t)1 << 30};
    refuses(PKF_E_TOO_LARGE, golden_head(9), huge, 2);
}

int main(void) {
    every_version_is_what_another_client_writes();
    a_topic_is_told_apart_by_what_its_version_sends();
    many_partitions_keep_their_order_and_the_overhead_bound();
    impossible_requests_are_refused();
    return FINISH();
}
