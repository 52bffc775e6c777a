# SPDX-License-Identifier: Apache-2.0
"""Writes produce_requests.txt and produce_responses.txt with kafka-python's own encoder (needs kafka-python 3.0), and
versions 0 to 2, which it does not know any more, with aiokafka's.

Run it only to extend them: python tests/golden/make_produce.py. The tests read the files, not this program. What is
encoded is written down again, field by field, in tests/csrc/test_request.c and test_response.c.
"""

from pathlib import Path
from uuid import UUID

import aiokafka
import kafka
from aiokafka.protocol import produce as old
from aiokafka.protocol.api import RequestHeader_v1, ResponseHeader_v0
from kafka.protocol.producer import ProduceRequest, ProduceResponse

HERE = Path(__file__).parent
OLD_VERSIONS = range(3)
VERSIONS = range(3, 14)
IDS = [UUID(bytes=bytes(range(first, first + 16))) for first in (0x10, 0x80)]
NAMES = ["events", "t\u00f6pic"]
BATCHES = [[(0, b"first batch"), (7, b"second" * 30)], [(2147483647, b"")]]


def request(version: int) -> bytes:
    topics = []
    for name, topic_id, partitions in zip(NAMES, IDS, BATCHES, strict=True):
        data = [ProduceRequest.TopicProduceData.PartitionProduceData(index=i, records=b) for i, b in partitions]
        kwargs = {"topic_id": topic_id} if version >= 13 else {"name": name}
        topics.append(ProduceRequest.TopicProduceData(**kwargs, partition_data=data))
    message = ProduceRequest(
        transactional_id="tx-1" if version % 2 else None, acks=-1, timeout_ms=30000, topic_data=topics
    )
    message.with_header(correlation_id=0x01020304, client_id=None if version == 4 else "client-\u00e9")
    return bytes(message.encode(version=version, header=True, framed=True))


def partition_response(version: int, index: int, code: int, offset: int) -> object:
    topic = ProduceResponse.TopicProduceResponse
    kwargs = {}
    if version >= 5:
        kwargs["log_start_offset"] = 5
    if version >= 8:
        error = topic.PartitionProduceResponse.BatchIndexAndErrorMessage
        errors = [error(batch_index=3, batch_index_error_message="bad time"), error(batch_index=9)] if code else []
        kwargs |= {"record_errors": errors, "error_message": "refused" if code else None}
    if version >= 10 and code:
        leader = topic.PartitionProduceResponse.LeaderIdAndEpoch
        kwargs["current_leader"] = leader(leader_id=2, leader_epoch=41)
    return topic.PartitionProduceResponse(
        index=index, error_code=code, base_offset=offset, log_append_time_ms=-1 if code else 1700000000000, **kwargs
    )


def response(version: int) -> bytes:
    topics = []
    for name, topic_id, partitions in zip(NAMES, IDS, ([(0, 0, 1 << 40), (7, 6, -1)], [(1, 0, 12)]), strict=True):
        kwargs = {"topic_id": topic_id} if version >= 13 else {"name": name}
        entries = [partition_response(version, *p) for p in partitions]
        topics.append(ProduceResponse.TopicProduceResponse(**kwargs, partition_responses=entries))
    kwargs = {}
    if version >= 10:
        node = ProduceResponse.NodeEndpoint
        kwargs["node_endpoints"] = [
            node(node_id=2, host="broker-2.example", port=9092, rack="r1"),
            node(node_id=3, host="broker-3.example", port=9093, rack=None),
        ]
    message = ProduceResponse[version](responses=topics, throttle_time_ms=250, **kwargs)
    message.with_header(correlation_id=0x01020304)
    return bytes(message.encode(header=True))


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def old_request(version: int) -> bytes:
    make = getattr(old, f"ProduceRequest_v{version}")
    message = make(required_acks=-1, timeout=30000, topics=list(zip(NAMES, BATCHES, strict=True)))
    header = RequestHeader_v1(message, correlation_id=0x01020304, client_id="client-\u00e9")
    return framed(header.encode() + message.encode())


def old_response(version: int) -> bytes:
    topics = []
    for name, partitions in zip(NAMES, ([(0, 0, 1 << 40), (7, 6, -1)], [(1, 0, 12)]), strict=True):
        time = [lambda code: (), lambda code: (-1 if code else 1700000000000,)][version == 2]
        topics.append((name, [(index, code, offset, *time(code)) for index, code, offset in partitions]))
    make = getattr(old, f"ProduceResponse_v{version}")
    message = make(topics=topics, **({"throttle_time_ms": 250} if version else {}))
    return ResponseHeader_v0(correlation_id=0x01020304).encode() + message.encode()


def write(name: str, encode: object, encode_old: object) -> None:
    lines = [f"# made by kafka-python {kafka.__version__} (make_produce.py): version, then the bytes"]
    lines += [f"{version} {encode(version).hex()}" for version in VERSIONS]  # type: ignore[operator]
    lines += [f"# made by aiokafka {aiokafka.__version__}"]
    lines += [f"{version} {encode_old(version).hex()}" for version in OLD_VERSIONS]  # type: ignore[operator]
    (HERE / name).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write("produce_requests.txt", request, old_request)
    write("produce_responses.txt", response, old_response)
