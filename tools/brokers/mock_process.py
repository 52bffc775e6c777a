# SPDX-License-Identifier: Apache-2.0
"""The process behind `tools.brokers.mock.MockCluster`: librdkafka's mock cluster, driven by JSON lines.

A request is `[method, argument, ...]`, its answer `{"result": ...}` or `{"error": "text"}`.
The process ends with its input.
"""

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from cffi import FFI

DECLARATIONS = """
typedef struct rd_kafka_s rd_kafka_t;
typedef struct rd_kafka_conf_s rd_kafka_conf_t;
typedef struct rd_kafka_mock_cluster_s rd_kafka_mock_cluster_t;
typedef struct rd_kafka_mock_request_s rd_kafka_mock_request_t;
const char *rd_kafka_version_str(void);
const char *rd_kafka_err2name(int err);
rd_kafka_conf_t *rd_kafka_conf_new(void);
int rd_kafka_conf_set(rd_kafka_conf_t *, const char *, const char *, char *, size_t);
rd_kafka_t *rd_kafka_new(int type, rd_kafka_conf_t *, char *, size_t);
void rd_kafka_destroy(rd_kafka_t *);
rd_kafka_mock_cluster_t *rd_kafka_mock_cluster_new(rd_kafka_t *, int);
void rd_kafka_mock_cluster_destroy(rd_kafka_mock_cluster_t *);
const char *rd_kafka_mock_cluster_bootstraps(const rd_kafka_mock_cluster_t *);
int rd_kafka_mock_topic_create(rd_kafka_mock_cluster_t *, const char *, int, int);
int rd_kafka_mock_topic_delete(rd_kafka_mock_cluster_t *, const char *);
void rd_kafka_mock_topic_set_error(rd_kafka_mock_cluster_t *, const char *, int);
void rd_kafka_mock_push_request_errors_array(rd_kafka_mock_cluster_t *, int16_t, size_t, const int *);
void rd_kafka_mock_clear_request_errors(rd_kafka_mock_cluster_t *, int16_t);
int rd_kafka_mock_broker_push_request_error_rtts(rd_kafka_mock_cluster_t *, int32_t, int16_t, size_t, ...);
int rd_kafka_mock_partition_push_request_errors(rd_kafka_mock_cluster_t *, const char *, int32_t, int16_t, size_t, ...);
int rd_kafka_mock_broker_set_rtt(rd_kafka_mock_cluster_t *, int32_t, int);
int rd_kafka_mock_broker_set_down(rd_kafka_mock_cluster_t *, int32_t);
int rd_kafka_mock_broker_set_up(rd_kafka_mock_cluster_t *, int32_t);
int rd_kafka_mock_partition_set_leader(rd_kafka_mock_cluster_t *, const char *, int32_t, int32_t);
int rd_kafka_mock_set_apiversion(rd_kafka_mock_cluster_t *, int16_t, int16_t, int16_t);
void rd_kafka_mock_start_request_tracking(rd_kafka_mock_cluster_t *);
void rd_kafka_mock_clear_requests(rd_kafka_mock_cluster_t *);
rd_kafka_mock_request_t **rd_kafka_mock_get_requests(rd_kafka_mock_cluster_t *, size_t *);
void rd_kafka_mock_request_destroy_array(rd_kafka_mock_request_t **, size_t);
int16_t rd_kafka_mock_request_api_key(rd_kafka_mock_request_t *);
int32_t rd_kafka_mock_request_id(rd_kafka_mock_request_t *);
"""
RD_KAFKA_PRODUCER = 0
ALL_BROKERS = -1
# The largest request the mock accepts.
MAX_REQUEST_SIZE = 1_000_000_000

ffi = FFI()
ffi.cdef(DECLARATIONS)


def library_path() -> str:
    """The librdkafka that came with confluent-kafka."""
    spec = importlib.util.find_spec("confluent_kafka")
    if spec is None or spec.origin is None:
        raise RuntimeError("the mock cluster needs confluent-kafka; run: pip install confluent-kafka cffi")
    package = Path(spec.origin).parent
    # Beside the package on Linux, inside it on macOS.
    folders = [package.with_name("confluent_kafka.libs"), package / ".dylibs"]
    found = [file for folder in folders for file in sorted(folder.glob("librdkafka*"))]
    if not found:
        raise RuntimeError(f"no librdkafka in {' or '.join(map(str, folders))}: it comes with confluent-kafka's wheel")
    return str(found[0])


class Mock:
    """One cluster; the public methods are the protocol."""

    def __init__(self, brokers: int):
        self._lib: Any = ffi.dlopen(library_path())
        message = ffi.new("char[512]")
        conf = self._lib.rd_kafka_conf_new()
        for name, value in {"receive.message.max.bytes": MAX_REQUEST_SIZE, "log_level": 0}.items():
            if self._lib.rd_kafka_conf_set(conf, name.encode(), str(value).encode(), message, len(message)) != 0:
                raise RuntimeError(ffi.string(message).decode())
        self._handle = self._lib.rd_kafka_new(RD_KAFKA_PRODUCER, conf, message, len(message))
        if not self._handle:
            raise RuntimeError(ffi.string(message).decode())
        self._cluster = self._lib.rd_kafka_mock_cluster_new(self._handle, brokers)
        if not self._cluster:
            raise RuntimeError(f"librdkafka made no mock cluster of {brokers} brokers")
        self._lib.rd_kafka_mock_start_request_tracking(self._cluster)

    def bootstrap(self) -> str:
        return str(ffi.string(self._lib.rd_kafka_mock_cluster_bootstraps(self._cluster)).decode())

    def create_topic(self, name: str, partitions: int, replication: int) -> None:
        self._check(self._lib.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, replication))

    def delete_topic(self, name: str) -> None:
        self._check(self._lib.rd_kafka_mock_topic_delete(self._cluster, name.encode()))

    def set_topic_error(self, name: str, code: int) -> None:
        self._lib.rd_kafka_mock_topic_set_error(self._cluster, name.encode(), code)

    def push_request_errors(self, api: int, codes: list[int]) -> None:
        array = ffi.new("int[]", codes)
        self._lib.rd_kafka_mock_push_request_errors_array(self._cluster, api, len(codes), array)

    def push_broker_errors(self, broker: int, api: int, errors: list[tuple[int, int]]) -> None:
        pairs = [ffi.cast("int", number) for error in errors for number in error]
        self._check(
            self._lib.rd_kafka_mock_broker_push_request_error_rtts(self._cluster, broker, api, len(errors), *pairs)
        )

    def push_partition_errors(self, topic: str, partition: int, api: int, codes: list[int]) -> None:
        values = [ffi.cast("int", code) for code in codes]
        self._check(
            self._lib.rd_kafka_mock_partition_push_request_errors(
                self._cluster, topic.encode(), partition, api, len(codes), *values
            )
        )

    def clear_request_errors(self, api: int) -> None:
        self._lib.rd_kafka_mock_clear_request_errors(self._cluster, api)

    def set_rtt(self, broker: int, milliseconds: int) -> None:
        self._check(self._lib.rd_kafka_mock_broker_set_rtt(self._cluster, broker, milliseconds))

    def set_down(self, broker: int) -> None:
        self._check(self._lib.rd_kafka_mock_broker_set_down(self._cluster, broker))

    def set_up(self, broker: int) -> None:
        self._check(self._lib.rd_kafka_mock_broker_set_up(self._cluster, broker))

    def set_leader(self, topic: str, partition: int, broker: int) -> None:
        self._check(self._lib.rd_kafka_mock_partition_set_leader(self._cluster, topic.encode(), partition, broker))

    def set_api_version(self, api: int, lowest: int, highest: int) -> None:
        self._check(self._lib.rd_kafka_mock_set_apiversion(self._cluster, api, lowest, highest))

    def request_counts(self, broker: int) -> list[tuple[int, int]]:
        count = ffi.new("size_t *")
        requests = self._lib.rd_kafka_mock_get_requests(self._cluster, count)
        seen = Counter(
            self._lib.rd_kafka_mock_request_api_key(requests[i])
            for i in range(count[0])
            if broker in (ALL_BROKERS, self._lib.rd_kafka_mock_request_id(requests[i]))
        )
        self._lib.rd_kafka_mock_request_destroy_array(requests, count[0])
        return sorted(seen.items())

    def clear_requests(self) -> None:
        self._lib.rd_kafka_mock_clear_requests(self._cluster)

    def close(self) -> None:
        self._lib.rd_kafka_mock_cluster_destroy(self._cluster)
        self._lib.rd_kafka_destroy(self._handle)

    def _check(self, err: int) -> None:
        if err != 0:
            raise RuntimeError(ffi.string(self._lib.rd_kafka_err2name(err)).decode())


def main() -> None:
    mock = Mock(int(sys.argv[1]))
    print(json.dumps({"result": mock.bootstrap()}), flush=True)
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        try:
            answer = {"result": getattr(mock, method)(*arguments)}
        except (RuntimeError, TypeError, OverflowError) as error:
            answer = {"error": f"{method}: {error}"}
        print(json.dumps(answer), flush=True)
    mock.close()


if __name__ == "__main__":
    main()
