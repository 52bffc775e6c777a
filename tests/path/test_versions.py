# SPDX-License-Identifier: Apache-2.0
"""Old and new brokers: versions are negotiated, the newest that both sides know is spoken, and no option is needed."""

from __future__ import annotations

import pytest

from pykafka_fast.errors import UnsupportedVersionError
from pykafka_fast.protocol.api import APIS, ApiKey
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker

NEWEST = APIS[ApiKey.PRODUCE].max_version


def spoken(broker: EmbeddedBroker, api: str) -> set[int]:
    return {request.version for request in broker.requests_of(api)}


@pytest.mark.parametrize("newest", sorted({3, 5, 7, 8, 9, 10, 11, 12, 13, NEWEST}))
def test_produce(start_broker: StartBroker, make: Make, newest: int) -> None:
    broker = start_broker(topics={"t": 3, "other": 2})
    broker.set_api_version("Produce", 0, newest)
    producer = make(broker, linger_ms=0)
    futures = []
    for i in range(300):
        headers = [("a", b"1"), ("b", None)]
        futures.append(producer.send(("t", "other")[i % 2], b"%d" % i, key=b"k", headers=headers, partition=i % 2))
    for future in futures:
        future.get(timeout=10)
    assert spoken(broker, "Produce") == {min(newest, NEWEST)}
    values = [record.value for topic in ("t", "other") for record in broker.records(topic)]
    assert sorted(values) == sorted(b"%d" % i for i in range(300))
    assert broker.records("t")[0].headers == (("a", b"1"), ("b", None))


@pytest.mark.parametrize("newest", sorted({3, 8, 9, 12, 13, NEWEST}))
def test_errors_retries_and_splits_speak_it_too(start_broker: StartBroker, make: Make, newest: int) -> None:
    broker = start_broker(topics={"t": 2}, max_message_bytes=2000, brokers=2)
    broker.set_api_version("Produce", 0, newest)
    producer = make(broker, linger_ms=20, retry_backoff_ms=5)
    broker.fail("Produce", 19, partition=0, times=2, message="not now")
    futures = [producer.send("t", b"%03d" % i + bytes(100), partition=i % 2) for i in range(200)]
    producer.flush(timeout=20)
    broker.move_leader("t", 0, 1)
    broker.move_leader("t", 0, 2)
    futures += [producer.send("t", b"%03d" % i + bytes(100), partition=i % 2) for i in range(200, 400)]
    producer.flush(timeout=20)
    assert [future.value.offset for future in futures] == [i // 2 for i in range(400)]
    broker.fail("Produce", 87, message="a reason", partition=1)
    failed = producer.send("t", b"x", partition=1)
    producer.flush(timeout=10)
    assert failed.failed()
    assert ("a reason" in str(failed.exception)) == (newest >= 8)
    assert spoken(broker, "Produce") == {min(newest, NEWEST)}


@pytest.mark.parametrize("newest", range(APIS[ApiKey.METADATA].min_version, APIS[ApiKey.METADATA].max_version + 1))
def test_metadata(start_broker: StartBroker, make: Make, newest: int) -> None:
    broker = start_broker()
    broker.set_api_version("Metadata", 0, newest)
    producer = make(broker)
    if newest < 10:  # Produce v13 needs topic ids
        broker.set_api_version("Produce", 0, 12)
    assert producer.send("t", b"x").get(timeout=10).offset == 0
    assert spoken(broker, "Metadata") == {newest}


@pytest.mark.parametrize("newest", range(4))
def test_the_answer_35_to_api_versions(start_broker: StartBroker, make: Make, newest: int) -> None:
    """A broker that does not know the version asked with answers with what it knows, in version 0 (KIP-511)."""
    broker = start_broker()
    broker.set_api_version("ApiVersions", 0, newest)
    producer = make(broker)
    assert producer.send("t", b"x").get(timeout=10).offset == 0
    assert newest in spoken(broker, "ApiVersions")
    assert len(broker.requests_of("ApiVersions")) <= 4


def test_init_producer_id(start_broker: StartBroker, make: Make) -> None:
    spec = APIS[ApiKey.INIT_PRODUCER_ID]
    for newest in range(spec.min_version, spec.max_version + 1):
        broker = start_broker()
        broker.set_api_version("InitProducerId", 0, newest)
        assert make(broker).send("t", b"x").get(timeout=10).offset == 0
        assert spoken(broker, "InitProducerId") == {newest}


def test_brokers_of_several_versions_in_one_cluster(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(brokers=3, topics={"t": 6})
    for node, newest in ((1, 3), (2, 9), (3, NEWEST)):
        broker.set_api_version("Produce", 0, newest, node=node)
    producer = make(broker, linger_ms=0)
    futures = [producer.send("t", b"x", partition=i % 6) for i in range(60)]
    for future in futures:
        future.get(timeout=10)
    by_node = {node: {r.version for r in broker.requests_of("Produce") if r.node == node} for node in (1, 2, 3)}
    assert by_node == {1: {3}, 2: {9}, 3: {NEWEST}}
    for partition in range(6):  # a batch that was sealed for one broker goes to another
        broker.move_leader("t", partition, broker.leader("t", partition)[0] % 3 + 1)
    for future in [producer.send("t", b"x", partition=i % 6) for i in range(60)]:
        future.get(timeout=10)
    assert broker.record_count("t") == 120


def test_a_broker_upgraded_under_way(broker: EmbeddedBroker, make: Make) -> None:
    broker.set_api_version("Produce", 0, 7)
    producer = make(broker, linger_ms=0, reconnect_backoff_ms=5)
    producer.send("t", b"x", partition=0).get(timeout=10)
    broker.stop_node(1)
    broker.reset_api_versions()
    broker.start_node(1)
    producer.send("t", b"x", partition=0).get(timeout=10)
    assert spoken(broker, "Produce") == {7, NEWEST}


@pytest.mark.parametrize("idempotent", [True, False])
def test_no_version_in_common_is_said(broker: EmbeddedBroker, make: Make, idempotent: bool) -> None:
    broker.set_api_version("Produce", NEWEST + 1, NEWEST + 2)
    producer = make(broker, enable_idempotence=idempotent)
    with pytest.raises(UnsupportedVersionError, match=broker.address):
        producer.send("t", b"x").get(timeout=10)
