// SPDX-License-Identifier: Apache-2.0
// The limit: sends one ready-made ProduceRequest again and again to one partition, on one connection, a few in flight.
//
//   replay HOST PORT TOPIC PARTITION VALUE_SIZE BATCH_SIZE IN_FLIGHT WARMUP_SECONDS SECONDS
//
// Prints {"acknowledged", "seconds", "cpu_seconds", "records_per_batch", "sent_total"} as JSON. Any error in an answer ends it with status 1.
//
// Request (Produce v7, acks all)            Batch (format v2, producer id -1: nobody checks sequences)
//   0 size, 4 api key and version,            0 base offset, 8 length, 12 leader epoch, 16 magic, 17 crc,
//   8 correlation id, 12 client id ...        21 attributes, 23 last delta, 27 and 35 timestamps, 43 id, 57 count, 61 records

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_HEADER = 61, CORRELATION = 8, ANSWER_LIMIT = 4096, PRODUCE = 0, VERSION = 7 };

static void fail(const char *what) {
    fprintf(stderr, "replay: %s: %s\n", what, errno ? strerror(errno) : "refused");
    exit(1);
}

// Big-endian writing and reading

struct out {
    uint8_t *at;
};

static void put(struct out *out, int64_t value, int size) {
    for (int i = size - 1; i >= 0; i--) *out->at++ = (uint8_t)((uint64_t)value >> (8 * i));
}

static void put_bytes(struct out *out, const void *bytes, size_t size) {
    memcpy(out->at, bytes, size);
    out->at += size;
}

static void put_string(struct out *out, const char *text) {
    put(out, (int64_t)strlen(text), 2);
    put_bytes(out, text, strlen(text));
}

static void put_varint(struct out *out, int32_t value) {
    uint32_t left = ((uint32_t)value << 1) ^ (uint32_t)(value >> 31);
    for (; left >= 0x80; left >>= 7) *out->at++ = (uint8_t)(left | 0x80);
    *out->at++ = (uint8_t)left;
}

static int varint_size(int32_t value) {
    uint8_t room[5];
    struct out out = {room};
    put_varint(&out, value);
    return (int)(out.at - room);
}

static int64_t get(const uint8_t *at, int size) {
    uint64_t value = (at[0] & 0x80) ? UINT64_MAX : 0;
    for (int i = 0; i < size; i++) value = value << 8 | at[i];
    return (int64_t)value;
}

static uint32_t crc32c(const uint8_t *bytes, size_t size) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0x82F63B78u & -(crc & 1));
    }
    return ~crc;
}

// One batch of at most `limit` bytes; returns its size

static size_t build_batch(uint8_t *batch, size_t limit, int32_t value_size, int32_t *records) {
    struct out out = {batch + BATCH_HEADER};
    int32_t count = 0;
    for (;; count++) {
        int32_t body = 1 + 1 + varint_size(count) + 1 + varint_size(value_size) + value_size + 1;
        size_t used = (size_t)(out.at - batch) + (size_t)varint_size(body) + (size_t)body;
        if (count && used > limit) break;
        put_varint(&out, body);
        put(&out, 0, 1);
        put_varint(&out, 0);
        put_varint(&out, count);
        put_varint(&out, -1);
        put_varint(&out, value_size);
        memset(out.at, 'x', (size_t)value_size);
        out.at += value_size;
        put_varint(&out, 0);
    }
    size_t size = (size_t)(out.at - batch);
    int64_t now = (int64_t)time(NULL) * 1000;
    struct out head = {batch};
    put(&head, 0, 8);
    put(&head, (int64_t)size - 12, 4);
    put(&head, -1, 4);
    put(&head, 2, 1);
    uint8_t *crc = head.at;
    put(&head, 0, 4);
    put(&head, 0, 2);
    put(&head, count - 1, 4);
    put(&head, now, 8);
    put(&head, now, 8);
    put(&head, -1, 8);
    put(&head, -1, 2);
    put(&head, -1, 4);
    put(&head, count, 4);
    struct out checksum = {crc};
    put(&checksum, crc32c(crc + 4, size - (size_t)(crc + 4 - batch)), 4);
    *records = count;
    return size;
}

struct request {
    uint8_t *bytes;
    size_t size;
    int32_t records;
};

static struct request build_request(const char *topic, int partition, int32_t value_size, size_t limit) {
    size_t room = limit + (size_t)value_size + strlen(topic) + 4096;
    uint8_t *batch = malloc(room);
    struct request request = {malloc(2 * room), 0, 0};
    if (!batch || !request.bytes) fail("memory");
    size_t batch_size = build_batch(batch, limit, value_size, &request.records);
    struct out out = {request.bytes + 4};
    put(&out, PRODUCE, 2);
    put(&out, VERSION, 2);
    put(&out, 0, 4);
    put_string(&out, "replay");
    put(&out, -1, 2);
    put(&out, -1, 2);
    put(&out, 30000, 4);
    put(&out, 1, 4);
    put_string(&out, topic);
    put(&out, 1, 4);
    put(&out, partition, 4);
    put(&out, (int64_t)batch_size, 4);
    put_bytes(&out, batch, batch_size);
    free(batch);
    request.size = (size_t)(out.at - request.bytes);
    struct out size = {request.bytes};
    put(&size, (int64_t)request.size - 4, 4);
    return request;
}

// The connection

static int connect_to(const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, port, &hints, &found)) fail(host);
    int fd = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen)) fail("connect");
    freeaddrinfo(found);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void send_request(int fd, struct request *request, int32_t correlation) {
    struct out out = {request->bytes + CORRELATION};
    put(&out, correlation, 4);
    for (size_t done = 0; done < request->size;) {
        ssize_t sent = send(fd, request->bytes + done, request->size - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) fail("send");
        done += (size_t)sent;
    }
}

static void receive(int fd, uint8_t *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t got = recv(fd, bytes + done, size - done, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) fail("receive");
        done += (size_t)got;
    }
}

// correlation 4, topics 4, name 2 + n, partitions 4, index 4, error 2, offset 8, time 8, start 8; throttle 4
static void receive_answer(int fd, const char *topic, int32_t correlation) {
    uint8_t answer[ANSWER_LIMIT];
    size_t error = 4 + 4 + 2 + strlen(topic) + 4 + 4;
    errno = 0;
    receive(fd, answer, 4);
    int64_t size = get(answer, 4);
    if (size < (int64_t)error + 2 || size > ANSWER_LIMIT) fail("answer of a strange size");
    receive(fd, answer, (size_t)size);
    if (get(answer, 4) != correlation) fail("answer to another request");
    if (get(answer + error, 2)) {
        fprintf(stderr, "replay: the broker answered error %d\n", (int)get(answer + error, 2));
        exit(1);
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double cpu(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

// Returns the number of acknowledged requests
static int64_t run(int fd, struct request *request, const char *topic, int in_flight, double seconds) {
    double deadline = now() + seconds;
    int32_t sent = 0, answered = 0;
    for (bool more = true; more || answered < sent;) {
        while ((more = now() < deadline) && sent - answered < in_flight) send_request(fd, request, sent++);
        if (answered < sent) receive_answer(fd, topic, answered++);
    }
    return answered;
}

int main(int argc, char **argv) {
    if (argc != 10) {
        fputs("usage: replay HOST PORT TOPIC PARTITION VALUE_SIZE BATCH_SIZE IN_FLIGHT WARMUP_SECONDS SECONDS\n",
              stderr);
        return 2;
    }
    const char *topic = argv[3];
    struct request request = build_request(topic, atoi(argv[4]), atoi(argv[5]), strtoul(argv[6], NULL, 10));
    int in_flight = atoi(argv[7]);
    int fd = connect_to(argv[1], argv[2]);
    int64_t warm = run(fd, &request, topic, in_flight, atof(argv[8]));
    double start = now(), cpu_start = cpu();
    int64_t requests = run(fd, &request, topic, in_flight, atof(argv[9]));
    double seconds = now() - start, used = cpu() - cpu_start;
    close(fd);
    free(request.bytes);
    printf("{\"acknowledged\": %lld, \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"records_per_batch\": %d, "
           "\"sent_total\": %lld}\n",
           (long long)requests * request.records, seconds, used, request.records,
           (long long)(warm + requests) * request.records);
    return 0;
}
