# SPDX-License-Identifier: Apache-2.0
"""The messages of which we hold only the broker's side: kafka-python asks and reads the answers."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from kafka.protocol import consumer as peer_consumer
from kafka.protocol import producer as peer_producer

from pykafka_fast.errors import KafkaProtocolError
from pykafka_fast.protocol.fetch import FetchRequest, FetchResponse, PartitionFetchResponse, TopicFetchResponse
from pykafka_fast.protocol.list_offsets import (
    ListOffsetsRequest,
    ListOffsetsResponse,
    PartitionOffsetResponse,
    TopicOffsetResponse,
)
from pykafka_fast.protocol.produce import (
    NodeEndpoint,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    RecordError,
    TopicProduceResponse,
)

TOPIC_ID = bytes(range(16))


def cut_anywhere(message: Any, data: bytes, version: int) -> None:
    for size in range(len(data)):
        with pytest.raises(KafkaProtocolError, match=f"v{version}"):
            message.decode(data[:size], version)


@pytest.mark.parametrize("version", range(3, 14))
def test_produce_request(version: int) -> None:
    peer = peer_producer.ProduceRequest
    topic = {"topic_id": uuid.UUID(bytes=TOPIC_ID)} if version >= 13 else {"name": "events"}
    partitions = [(0, b"records"), (7, b""), (2, None)]
    data = bytes(
        peer(
            version=version,
            transactional_id="txn",
            acks=-1,
            timeout_ms=30_000,
            topic_data=[
                peer.TopicProduceData(
                    partition_data=[
                        peer.TopicProduceData.PartitionProduceData(index=index, records=records)
                        for index, records in partitions
                    ],
                    **topic,
                )
            ],
        ).encode(version=version)
    )
    request = ProduceRequest.decode(data, version)
    assert (request.transactional_id, request.acks, request.timeout_ms) == ("txn", -1, 30_000)
    (only,) = request.topics
    assert (only.name, only.topic_id) == (("", TOPIC_ID) if version >= 13 else ("events", bytes(16)))
    assert [(it.partition, it.records) for it in only.partitions] == partitions
    cut_anywhere(ProduceRequest, data, version)


@pytest.mark.parametrize("version", range(3, 14))
def test_produce_response(version: int) -> None:
    ours = ProduceResponse(
        (
            TopicProduceResponse(
                "events",
                (
                    PartitionProduceResponse(0, 0, 1 << 40, 1_700_000_000_000, 5),
                    PartitionProduceResponse(
                        3, 87, record_errors=(RecordError(2, "bad"), RecordError(4)), error_message="some are bad"
                    ),
                    PartitionProduceResponse(4, 6, current_leader=(2, 19)),
                ),
                TOPIC_ID,
            ),
        ),
        120,
        (NodeEndpoint(2, "host", 9093, "rack"),),
    )
    theirs = peer_producer.ProduceResponse.decode(ours.encode(version), version=version)
    assert theirs.throttle_time_ms == 120
    (topic,) = theirs.responses
    if version >= 13:
        assert topic.topic_id.bytes == TOPIC_ID
    else:
        assert topic.name == "events"
    first, bad, moved = topic.partition_responses
    assert (first.index, first.error_code, first.base_offset) == (0, 0, 1 << 40)
    assert first.log_append_time_ms == 1_700_000_000_000
    assert (bad.index, bad.error_code, moved.error_code) == (3, 87, 6)
    if version >= 5:
        assert first.log_start_offset == 5
    if version >= 8:
        assert [(e.batch_index, e.batch_index_error_message) for e in bad.record_errors] == [(2, "bad"), (4, None)]
        assert bad.error_message == "some are bad"
    if version >= 10:
        assert (moved.current_leader.leader_id, moved.current_leader.leader_epoch) == (2, 19)
        (endpoint,) = theirs.node_endpoints
        assert (endpoint.node_id, endpoint.host, endpoint.port, endpoint.rack) == (2, "host", 9093, "rack")


@pytest.mark.parametrize("version", range(1, 9))
def test_list_offsets(version: int) -> None:
    peer = peer_consumer.ListOffsetsRequest
    topic = peer.ListOffsetsTopic
    partition = topic.ListOffsetsPartition(partition_index=3, current_leader_epoch=9, timestamp=-2)
    data = bytes(
        peer(
            version=version,
            replica_id=-1,
            isolation_level=1,
            topics=[topic(name="events", partitions=[partition])],
        ).encode(version=version)
    )
    request = ListOffsetsRequest.decode(data, version)
    assert request.isolation_level == (1 if version >= 2 else 0)
    (asked,) = request.topics[0].partitions
    assert (request.topics[0].name, asked.partition, asked.timestamp) == ("events", 3, -2)
    assert asked.current_leader_epoch == (9 if version >= 4 else -1)
    cut_anywhere(ListOffsetsRequest, data, version)

    ours = ListOffsetsResponse((TopicOffsetResponse("events", (PartitionOffsetResponse(3, 42, 17, 0, 9),)),), 30)
    theirs = peer_consumer.ListOffsetsResponse.decode(ours.encode(version), version=version)
    (found,) = theirs.topics[0].partitions
    assert (found.partition_index, found.error_code, found.timestamp, found.offset) == (3, 0, 17, 42)
    if version >= 4:
        assert found.leader_epoch == 9
    if version >= 2:
        assert theirs.throttle_time_ms == 30


@pytest.mark.parametrize("version", range(4, 14))
def test_fetch_request(version: int) -> None:
    peer = peer_consumer.FetchRequest
    name = {"topic_id": uuid.UUID(bytes=TOPIC_ID)} if version >= 13 else {"topic": "events"}
    data = bytes(
        peer(
            version=version,
            replica_id=-1,
            max_wait_ms=500,
            min_bytes=1,
            max_bytes=1 << 20,
            isolation_level=1,
            session_id=11,
            session_epoch=12,
            topics=[
                peer.FetchTopic(
                    partitions=[
                        peer.FetchTopic.FetchPartition(
                            partition=2,
                            current_leader_epoch=3,
                            fetch_offset=1 << 33,
                            last_fetched_epoch=4,
                            log_start_offset=5,
                            partition_max_bytes=6,
                        )
                    ],
                    **name,
                )
            ],
            forgotten_topics_data=[peer.ForgottenTopic(partitions=[8, 9], **name)],
            rack_id="rack",
        ).encode(version=version)
    )
    request = FetchRequest.decode(data, version)
    assert (request.max_wait_ms, request.min_bytes, request.max_bytes, request.isolation_level) == (500, 1, 1 << 20, 1)
    assert (request.session_id, request.session_epoch) == ((11, 12) if version >= 7 else (0, -1))
    named = ("", TOPIC_ID) if version >= 13 else ("events", bytes(16))
    (topic,) = request.topics
    (partition,) = topic.partitions
    assert (topic.name, topic.topic_id) == named
    assert (partition.partition, partition.fetch_offset, partition.max_bytes) == (2, 1 << 33, 6)
    assert partition.current_leader_epoch == (3 if version >= 9 else -1)
    assert partition.last_fetched_epoch == (4 if version >= 12 else -1)
    assert partition.log_start_offset == (5 if version >= 5 else -1)
    if version >= 7:
        (forgotten,) = request.forgotten_topics
        assert (forgotten.name, forgotten.topic_id, forgotten.partitions) == (*named, (8, 9))
    assert request.rack_id == ("rack" if version >= 11 else "")
    cut_anywhere(FetchRequest, data, version)


@pytest.mark.parametrize("version", range(4, 14))
def test_fetch_response(version: int) -> None:
    partitions = (
        PartitionFetchResponse(1, b"batches", 100, 99, 3, 0, ((7, 50),)),
        PartitionFetchResponse(2, None, error_code=6, current_leader=(4, 8)),
    )
    ours = FetchResponse((TopicFetchResponse("events", partitions, TOPIC_ID),), 0, 0, 15)
    theirs = peer_consumer.FetchResponse.decode(ours.encode(version), version=version)
    assert theirs.throttle_time_ms == 15
    (topic,) = theirs.responses
    if version >= 13:
        assert topic.topic_id.bytes == TOPIC_ID
    else:
        assert topic.topic == "events"
    full, moved = topic.partitions
    assert (full.partition_index, full.error_code, full.high_watermark, full.last_stable_offset) == (1, 0, 100, 99)
    assert bytes(full.records) == b"batches"
    assert [(it.producer_id, it.first_offset) for it in full.aborted_transactions] == [(7, 50)]
    assert (moved.partition_index, moved.error_code, moved.records) == (2, 6, None)
    if version >= 5:
        assert full.log_start_offset == 3
    if version >= 11:
        assert full.preferred_read_replica == -1
    if version >= 12:
        assert (moved.current_leader.leader_id, moved.current_leader.leader_epoch) == (4, 8)
