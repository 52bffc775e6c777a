# SPDX-License-Identifier: Apache-2.0
"""Frames, headers, versions and acks: what a client may not get wrong outside of its batches."""

from __future__ import annotations

import struct

import pytest
import zstandard

from pykafka_fast.testing import EmbeddedBroker
from tests.testing.wire import (
    API_VERSIONS,
    METADATA,
    PRODUCE,
    Answer,
    Wire,
    framed,
    header,
    outcomes_flexible,
    outcomes_v8,
    plain_batch,
    produce_flexible,
    produce_v8,
    text,
)

INVALID_REQUEST, INVALID_ACKS, UNKNOWN_TOPIC_ID, UNSUPPORTED_VERSION = 42, 21, 100, 35

BAD_FRAMES = {
    "negative size": (struct.pack(">i", -1), "frame size -1 is negative"),
    "huge size": (struct.pack(">i", 104_857_601), "the limit is 104857600"),
    "no room for a header": (struct.pack(">i", 4), "cannot hold a request header"),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "the limit is"),
    "unknown API": (framed(header(999, 0, 1)), "an API this broker does not list"),
    "version too new": (framed(header(PRODUCE, 14, 1, flexible=True)), "speaks versions 3-13"),
    "version too old": (framed(header(PRODUCE, 2, 1)), "speaks versions 3-13"),
    "cut header": (framed(header(METADATA, 0, 1)[:-3]), "malformed request header"),
    "cut body": (framed(header(METADATA, 1, 1) + b"\0\0"), "malformed Metadata request v1"),
    "array too long": (framed(header(METADATA, 1, 1) + struct.pack(">i", 1 << 30)), "malformed Metadata request v1"),
    "cut Produce": (produce_v8([("t", 0, b"x" * 100)])[:-50], ""),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_bad_frame_ends_the_connection(broker: EmbeddedBroker, wire: Wire, name: str) -> None:
    data, words = BAD_FRAMES[name]
    if name == "cut Produce":
        data = struct.pack(">i", len(data) - 4) + data[4:]
        words = "malformed Produce request v8"
    wire.send(data)
    assert wire.is_closed()
    (violation,) = broker.violations
    assert words in violation
    with_another = Wire(broker.address)
    assert with_another.produce(plain_batch()).error == 0
    with_another.close()


def test_frames_may_come_byte_by_byte(broker: EmbeddedBroker, wire: Wire) -> None:
    data = produce_v8([("t", 0, plain_batch(3).encode())])
    for byte in data:
        wire.send(bytes([byte]))
    assert outcomes_v8(wire.receive())[0][0].error == 0
    assert broker.violations == []


def test_many_frames_at_once(broker: EmbeddedBroker, wire: Wire) -> None:
    wire.send(b"".join(produce_v8([("t", 0, plain_batch().encode())], correlation_id=n) for n in range(200)))
    answers = [wire.receive() for _ in range(200)]
    assert [struct.unpack(">i", answer[:4])[0] for answer in answers] == list(range(200))
    assert [outcomes_v8(answer)[0][0].offset for answer in answers] == list(range(200))


def test_a_large_frame(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.configure_topic("t", max_message_bytes=20_000_000)
    batch = plain_batch(200_000)
    assert wire.produce(batch).error == 0
    assert broker.record_count("t") == 200_000
    assert broker.violations == []


def test_api_versions_falls_back_to_v0(broker: EmbeddedBroker, wire: Wire) -> None:
    answer = Answer(wire.ask(framed(header(API_VERSIONS, 9, 5, flexible=True) + b"\1\1\0")))
    assert answer.take("ih") == (5, UNSUPPORTED_VERSION)
    assert answer.take("ihhh") == (1, API_VERSIONS, 0, 4)
    assert answer.at == len(answer.data)
    broker.set_api_version("ApiVersions", 0, 2)
    answer = Answer(wire.ask(framed(header(API_VERSIONS, 3, 6, flexible=True) + b"\5wire\0021\0")))
    assert answer.take("ihihhh") == (6, UNSUPPORTED_VERSION, 1, API_VERSIONS, 0, 2)
    answer = Answer(wire.ask(framed(header(API_VERSIONS, 0, 7))))
    _, error, count = answer.take("ihi")
    ranges = {key: (low, high) for key, low, high in (answer.take("hhh") for _ in range(count))}
    assert (error, ranges[PRODUCE], ranges[API_VERSIONS]) == (0, (3, 13), (0, 2))
    assert broker.violations == []


def test_software_name(broker: EmbeddedBroker, wire: Wire) -> None:
    answer = Answer(wire.ask(framed(header(API_VERSIONS, 3, 5, flexible=True) + b"\3-x\0021\0")))
    assert answer.take("ih") == (5, INVALID_REQUEST)
    assert "'-x'" in broker.violations[0]


def test_acks_0_is_not_answered(broker: EmbeddedBroker, wire: Wire) -> None:
    wire.send(produce_v8([("t", 0, plain_batch(2).encode())], acks=0))
    assert wire.produce(plain_batch(1)).offset == 2
    assert [request.acks for request in broker.requests] == [0, -1]
    wire.send(produce_v8([("nowhere", 0, plain_batch().encode())], acks=0))
    assert wire.is_closed()
    assert broker.violations == []


@pytest.mark.parametrize("acks", [2, -2, 100])
def test_other_acks(broker: EmbeddedBroker, wire: Wire, acks: int) -> None:
    outcomes, _ = outcomes_v8(wire.ask(produce_v8([("t", 0, plain_batch().encode())], acks=acks)))
    assert outcomes[0].error == INVALID_ACKS
    assert broker.records("t") == []
    assert len(broker.violations) == 1
    assert f"acks={acks}" in broker.violations[0]


def test_a_partition_twice(broker: EmbeddedBroker, wire: Wire) -> None:
    data = plain_batch().encode()
    outcomes, _ = outcomes_v8(wire.ask(produce_v8([("t", 0, data), ("t", 1, data), ("t", 0, data)])))
    assert [outcome.error for outcome in outcomes] == [0, 0, INVALID_REQUEST]
    assert "twice" in broker.violations[0]


@pytest.mark.parametrize("version", range(3, 9))
def test_inflexible_versions(broker: EmbeddedBroker, wire: Wire, version: int) -> None:
    wire.produce(plain_batch(7))
    answer = Answer(wire.ask(produce_v8([("t", 0, plain_batch().encode())], version=version)))
    answer.take("ii")
    assert answer.text() == "t"
    assert answer.take("iihqq") == (1, 0, 0, 7, -1)
    rest = {3: 4, 4: 4, 5: 12, 6: 12, 7: 12, 8: 18}
    assert len(answer.data) - answer.at == rest[version]


@pytest.mark.parametrize("version", range(9, 14))
def test_flexible_versions(broker: EmbeddedBroker, wire: Wire, version: int) -> None:
    topic = broker.topic_id("t") if version >= 13 else "t"
    parts = [(0, plain_batch(2).encode()), (1, plain_batch(1).encode())]
    outcomes, endpoints = outcomes_flexible(wire.ask(produce_flexible(topic, parts, version)), version)
    assert [(o.topic, o.partition, o.error, o.offset) for o in outcomes] == [(topic, 0, 0, 0), (topic, 1, 0, 0)]
    assert endpoints == {}
    assert broker.requests[0].partitions == (("t", 0), ("t", 1))
    assert broker.requests[0].records == 3


def test_topic_ids(broker: EmbeddedBroker, wire: Wire) -> None:
    old = broker.topic_id("t")
    broker.delete_topic("t")
    broker.create_topic("t", 1)
    assert broker.topic_id("t") != old
    batch = plain_batch().encode()
    for topic_id, violations in ((old, 0), (bytes(16), 0), (b"x" * 16, 1)):
        (outcome,), _ = outcomes_flexible(wire.ask(produce_flexible(topic_id, [(0, batch)])), 13)
        assert outcome.error == UNKNOWN_TOPIC_ID
        assert len(broker.violations) == violations
    (outcome,), _ = outcomes_flexible(wire.ask(produce_flexible(broker.topic_id("t"), [(0, batch)])), 13)
    assert outcome.error == 0


def test_zstd_needs_v7(wire: Wire) -> None:
    plain = plain_batch()
    zstd = plain.but(attributes=4, records=zstandard.compress(plain.records)).encode()
    answer = Answer(wire.ask(produce_v8([("t", 0, zstd)], version=6)))
    answer.take("iih")
    answer.raw(1)
    assert answer.take("iih") == (1, 0, 76)
    assert wire.produce(zstd).error == 0


def metadata_v1(wire: Wire, topics: list[str] | None) -> dict[str, tuple[int, list[int]]]:
    """Topic to its error and its partitions' leaders."""
    names = struct.pack(">i", -1 if topics is None else len(topics)) + b"".join(text(name) for name in topics or [])
    answer = Answer(wire.ask(framed(header(METADATA, 1, 3) + names)))
    answer.take("i")
    for _ in range(answer.take("i")[0]):
        answer.take("i")
        answer.text()
        answer.take("i")
        answer.text()
    answer.take("i")
    found = {}
    for _ in range(answer.take("i")[0]):
        (error,) = answer.take("h")
        name = answer.text() or ""
        answer.take("b")
        leaders = []
        for _ in range(answer.take("i")[0]):
            leaders.append(answer.take("hii")[2])
            for _ in range(2):
                answer.raw(4 * answer.take("i")[0])
        found[name] = (error, leaders)
    assert answer.at == len(answer.data)
    return found


def test_metadata(broker: EmbeddedBroker, wire: Wire) -> None:
    assert metadata_v1(wire, None) == {"t": (0, [1, 1])}
    assert metadata_v1(wire, []) == {}
    assert metadata_v1(wire, ["t", "nowhere", "bad/name", ""]) == {
        "t": (0, [1, 1]),
        "nowhere": (3, []),
        "bad/name": (17, []),
        "": (17, []),
    }
    broker.leaderless("t", 1)
    assert metadata_v1(wire, ["t"]) == {"t": (0, [1, -1])}
    broker.add_partitions("t", 4)
    assert metadata_v1(wire, ["t"]) == {"t": (0, [1, -1, 1, 1])}


def test_auto_creation() -> None:
    with EmbeddedBroker(auto_create=3) as broker:
        wire = Wire(broker.address)
        assert metadata_v1(wire, ["made"]) == {"made": (0, [1, 1, 1])}
        assert broker.topics == {"made": 3}
        wire.close()
