// SPDX-License-Identifier: Apache-2.0
//
// First byte: the version. Rest: the frame. Whatever the parser accepts must lie within the frame and end.
#include "pkf_response.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *begin, *end;

static void within(pkf_span s) {
    if (s.base && (s.base < begin || s.base > end || s.len > (size_t)(end - s.base))) abort();
}

static void look_at(const pkf_ack *ack) {
    pkf_ack_errors errors = ack->record_errors;
    pkf_ack_error error;
    int32_t count = errors.left;
    within(ack->topic_name);
    within(ack->error_message);
    if (ack->topic_id) within((pkf_span){ack->topic_id, 16});
    for (; pkf_ack_errors_next(&errors, &error); count--) within(error.message);
    if (count != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    pkf_response response;
    pkf_ack ack;
    pkf_node_endpoint node;
    bool more = true;
    if (size == 0) return -1;
    begin = data + 1;
    end = data + size;
    if (pkf_response_open(&response, begin, size - 1, (int16_t)(data[0] % 16)) != PKF_OK) return -1;
    for (size_t acks = 0; more; acks++) {
        if (acks > size) abort(); // an ack takes 14 bytes at least
        if (pkf_response_next(&response, &ack, &more) != PKF_OK) return -1;
        if (more) look_at(&ack);
    }
    int32_t count = response.endpoints.left;
    for (; pkf_node_endpoints_next(&response.endpoints, &node); count--) {
        within(node.host);
        within(node.rack);
    }
    if (count != 0) abort();
    return 0;
}
