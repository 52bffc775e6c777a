# SPDX-License-Identifier: Apache-2.0
"""Every control message at every version: what we write kafka-python reads, and the other way round."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
from kafka.protocol import metadata as peer_metadata
from kafka.protocol import producer as peer_producer

from pykafka_fast.errors import KafkaProtocolError
from pykafka_fast.protocol.api import APIS
from pykafka_fast.protocol.api_versions import ApiVersionsRequest, ApiVersionsResponse
from pykafka_fast.protocol.find_coordinator import (
    Coordinator,
    CoordinatorType,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from pykafka_fast.protocol.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from pykafka_fast.protocol.metadata import (
    MetadataBroker,
    MetadataPartition,
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataTopic,
)

IDS = [bytes([n]) * 16 for n in range(1, 4)]


def api_versions(version: int) -> Iterator[tuple[Any, Any]]:
    yield (
        ApiVersionsRequest("name", "1.2.3") if version >= 3 else ApiVersionsRequest(),
        peer_metadata.ApiVersionsRequest,
    )
    ranges = {0: (0, 13), 18: (0, 4), 3: (1, 12)}
    yield ApiVersionsResponse(0, ranges, 250 if version else 0), peer_metadata.ApiVersionsResponse
    if version < 3:  # kafka-python takes every error for a v0 body
        yield ApiVersionsResponse(58), peer_metadata.ApiVersionsResponse


def init_producer_id(version: int) -> Iterator[tuple[Any, Any]]:
    bump = (1 << 40, 7) if version >= 3 else ()
    yield InitProducerIdRequest("txn", 60_000, *bump), peer_producer.InitProducerIdRequest
    yield InitProducerIdRequest(), peer_producer.InitProducerIdRequest
    yield InitProducerIdResponse(0, 1 << 40, 32_767, 9), peer_producer.InitProducerIdResponse
    yield InitProducerIdResponse(51), peer_producer.InitProducerIdResponse


def find_coordinator(version: int) -> Iterator[tuple[Any, Any]]:
    keys = ("one", "two") if version >= 4 else ("one",)
    key_type = CoordinatorType.TRANSACTION if version >= 1 else CoordinatorType.GROUP
    yield FindCoordinatorRequest(keys, key_type), peer_metadata.FindCoordinatorRequest
    message = "not yet" if version >= 1 else None
    throttle = 5 if version >= 1 else 0
    if version >= 4:
        found = tuple(Coordinator(key, 3, "host", 9092, 15, message) for key in keys)
    else:
        found = (Coordinator("", 3, "host", 9092, 15, message),)
    yield FindCoordinatorResponse(found, throttle), peer_metadata.FindCoordinatorResponse
    yield FindCoordinatorResponse((Coordinator(),)), peer_metadata.FindCoordinatorResponse


def metadata(version: int) -> Iterator[tuple[Any, Any]]:
    creation = version < 4
    topics = [MetadataRequestTopic("events", IDS[0] if version >= 10 else bytes(16)), MetadataRequestTopic("größe")]
    if version >= 12:
        topics.append(MetadataRequestTopic(None, IDS[1]))
    yield MetadataRequest(tuple(topics), creation), peer_metadata.MetadataRequest
    yield MetadataRequest(None), peer_metadata.MetadataRequest
    if version >= 1:
        yield MetadataRequest(()), peer_metadata.MetadataRequest
    partitions = tuple(
        MetadataPartition(
            index,
            leader,
            index * 7 if version >= 7 else -1,
            error,
            (1, 2, 3),
            (1,),
            (3,) if version >= 5 else (),
        )
        for index, leader, error in ((0, 1, 0), (2, -1, 5), (1, 2, 0))
    )
    found = (
        MetadataTopic("events", partitions, 0, IDS[0] if version >= 10 else bytes(16), version >= 1),
        MetadataTopic("gone" if version < 12 else None, (), 3, IDS[1] if version >= 10 else bytes(16)),
    )
    brokers = (MetadataBroker(1, "a", 9092, "rack" if version else None), MetadataBroker(2, "::1", 65_535))
    yield (
        MetadataResponse(
            brokers,
            found,
            "cluster" if version >= 2 else None,
            1 if version else -1,
            20 if version >= 3 else 0,
            129 if version >= 13 else 0,
            version,
        ),
        peer_metadata.MetadataResponse,
    )
    yield MetadataResponse(version=version), peer_metadata.MetadataResponse


CASES = [
    pytest.param(message, peer, version, id=f"{type(message).__name__}-v{version}-{number}")
    for make, key in ((api_versions, 18), (init_producer_id, 22), (find_coordinator, 10), (metadata, 3))
    for version in range(APIS[key].max_version + 1)
    for number, (message, peer) in enumerate(make(version))
]


@pytest.mark.parametrize(("message", "peer", "version"), CASES)
def test_bytes_pass_through_kafka_python_unchanged(message: Any, peer: Any, version: int) -> None:
    """Its decoder takes our bytes and its encoder writes the same again; ours reads them back."""
    data = message.encode(version)
    theirs = peer.decode(data, version=version)
    theirs._header = None  # its decoder forgets what its encoder asks for
    assert bytes(theirs.encode(version=version)) == data
    assert type(message).decode(data, version) == message


@pytest.mark.parametrize(("message", "peer", "version"), CASES)
def test_missing_bytes_are_an_error_and_trailing_ones_are_not(message: Any, peer: Any, version: int) -> None:
    data = message.encode(version)
    for size in range(len(data)):
        with pytest.raises(KafkaProtocolError, match=rf"v{version}.*at offset"):
            type(message).decode(data[:size], version)
    assert type(message).decode(b"header" + data + b"of a later version", version, 6) == message


@pytest.mark.parametrize(("message", "peer", "version"), CASES)
def test_damaged_bytes_give_a_message_or_a_protocol_error(message: Any, peer: Any, version: int) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    rng = random.Random(seed)
    data = message.encode(version)
    for _ in range(60 if data else 0):
        damaged = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.choice([0, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        with contextlib.suppress(KafkaProtocolError):
            type(message).decode(bytes(damaged), version)


def test_fields_are_where_kafka_python_sees_them() -> None:
    (message, peer) = next(pair for pair in metadata(12) if isinstance(pair[0], MetadataResponse))
    theirs = peer.decode(message.encode(12), version=12)
    assert [(b.node_id, b.host, b.port, b.rack) for b in theirs.brokers] == [
        (1, "a", 9092, "rack"),
        (2, "::1", 65535, None),
    ]
    events = theirs.topics[0]
    assert (events.name, events.topic_id.bytes, events.is_internal, events.error_code) == ("events", IDS[0], True, 0)
    assert [(p.partition_index, p.leader_id, p.leader_epoch, p.error_code) for p in events.partitions] == [
        (0, 1, 0, 0),
        (2, -1, 14, 5),
        (1, 2, 7, 0),
    ]
    assert (theirs.cluster_id, theirs.controller_id, theirs.throttle_time_ms) == ("cluster", 1, 20)


def test_features_of_a_real_broker_are_skipped() -> None:
    """Tagged fields that newer brokers add do not disturb."""
    peer = peer_metadata.ApiVersionsResponse(version=4)
    peer.api_keys = [peer_metadata.ApiVersionsResponse.ApiVersion(api_key=3, min_version=0, max_version=13)]
    peer.finalized_features_epoch = 5
    peer.zk_migration_ready = True
    data = bytes(peer.encode(version=4))
    assert len(data) == 28
    assert ApiVersionsResponse.decode(data, 4) == ApiVersionsResponse(0, {3: (0, 13)})


def test_questions_a_version_cannot_ask() -> None:
    with pytest.raises(ValueError, match="by topic id"):
        MetadataRequest((MetadataRequestTopic(None, IDS[0]),)).encode(9)
    with pytest.raises(ValueError, match="one key"):
        FindCoordinatorRequest(("a", "b")).encode(3)
    with pytest.raises(ValueError, match="groups"):
        FindCoordinatorRequest(("a",), CoordinatorType.TRANSACTION).encode(0)
