# SPDX-License-Identifier: Apache-2.0
"""Clusters that are replaced under a producer: brokers with other ids, at the same addresses or at others."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import KafkaTimeoutError
from pykafka_fast.protocol.api import ApiKey
from pykafka_fast.protocol.header import encode_response
from pykafka_fast.protocol.metadata import MetadataResponse
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker
from tests.path.test_retry import outcomes
from tools.brokers.processes import wait_for
from tools.relay import Relay

TIMEOUT_S = 20.0
QUICK: dict[str, Any] = {
    "linger_ms": 0, "retry_backoff_ms": 10, "retry_backoff_max_ms": 50, "reconnect_backoff_ms": 10,
    "reconnect_backoff_max_ms": 50,
}  # fmt: skip


def port_of(address: str) -> int:
    return int(address.split(",")[0].rpartition(":")[2])


@pytest.fixture
def successor(start_broker: StartBroker) -> EmbeddedBroker:
    """A cluster with two brokers that do not run yet; nobody else can take their ports."""
    new = start_broker(brokers=2, first_node=11, strangers=True)
    for node in (11, 12):
        new.stop_node(node, elect=False)
    return new


def start(broker: EmbeddedBroker) -> None:
    for node in (11, 12):
        broker.start_node(node)


def values(broker: EmbeddedBroker, topic: str = "t") -> list[bytes | None]:
    return sorted(record.value or b"" for record in broker.records(topic))


def send(producer: KafkaProducer, name: str, count: int = 20) -> tuple[list[Any], list[bytes]]:
    sent = [b"%s-%02d" % (name.encode(), number) for number in range(count)]
    return [producer.send("t", value, partition=number % 4) for number, value in enumerate(sent)], sent


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("first_node", [1, 7])
def test_broker_replaced_at_the_same_address(
    first_node: int, idempotent: bool, start_broker: StartBroker, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """A new cluster with another id, other topic ids, perhaps another node id, where the old one was."""
    old = start_broker()
    producer = make(old, **QUICK, enable_idempotence=idempotent)
    assert outcomes(send(producer, "old")[0]) == [None] * 20
    port = port_of(old.address)
    old.close()
    futures, sent = send(producer, "meanwhile")
    assert not any(future.is_done for future in futures)
    new = start_broker(port=port, first_node=first_node, strangers=True)
    assert outcomes(futures) == [None] * 20
    more, last = send(producer, "later")
    assert outcomes(more) == [None] * 20
    assert values(new) == sorted(sent + last)
    assert "cluster's id changed" in caplog.text


def test_a_node_takes_another_ones_place(start_broker: StartBroker, make: Make) -> None:
    """Two nodes change addresses: what is sent goes to the node that leads, not to where it was."""
    old = start_broker(brokers=2)
    producer = make(old, **QUICK)
    assert outcomes(send(producer, "old")[0]) == [None] * 20
    ports = [port_of(address) for address in old.addresses]
    old.close()
    futures, sent = send(producer, "meanwhile")
    # The same ids, the other way round, as far as ports can be chosen: node 2 is where node 1 was.
    new = start_broker(brokers=1, first_node=2, port=ports[0], strangers=True)
    assert outcomes(futures) == [None] * 20
    assert values(new) == sent
    assert {request.node for request in new.requests_of("Produce")} == {2}


def test_a_node_that_moves_is_not_waited_for_where_it_was(start_broker: StartBroker, make: Make) -> None:
    """Its id is at another address; the connection to the old one is silent, and nobody has closed it."""
    broker = start_broker()
    (node,) = broker._cluster.nodes.values()
    bootstrap, right = broker.address, node.port
    with Relay() as relay:
        node.port = port_of(relay.open(bootstrap))
        producer = make(bootstrap, **QUICK)
        assert producer.send("t", b"1", partition=0).get(timeout=10).offset == 0
        relay.silence(1)
        future = producer.send("t", b"2", partition=0)
        node.port = right
        producer._lifecycle._sender.request_metadata()
        assert future.get(timeout=10).offset == 1
    assert values(broker) == [b"1", b"2"]


@pytest.mark.parametrize("known", [False, True])
def test_a_broker_with_old_news_is_not_the_only_one_asked(known: bool, start_broker: StartBroker, make: Make) -> None:
    """One node does not hear of a new topic, or of the next leader of a known one; the others know."""
    broker = start_broker(brokers=3, topics={"t": 1, "u": 1})
    producer = make(broker, **QUICK, max_block_ms=8000)
    producer.send("t" if known else "u", b"1").get(timeout=10)
    ignorant = broker.requests_of("Metadata")[-1].node
    broker.fail("Metadata", 5 if known else 3, topic="t", node=ignorant, times=None)
    if known:
        broker.move_leader("t", 0, broker.leader("t", 0)[0] % 3 + 1, hint=False)
    assert producer.send("t", b"2").get(timeout=10).offset == known
    assert {request.node for request in broker.requests_of("Metadata")} != {ignorant}


class TestAllBrokersReplaced:
    """KIP-899: none of the known brokers is there any more, the bootstrap servers know others."""

    def test_rebootstrap(
        self, start_broker: StartBroker, successor: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "pykafka_fast")
        old = start_broker(brokers=2)
        producer = make(f"{successor.addresses[0]},{old.addresses[0]}", **QUICK)
        assert outcomes(send(producer, "old")[0]) == [None] * 20
        old.close()
        futures, sent = send(producer, "meanwhile")
        start(successor)
        assert outcomes(futures) == [None] * 20
        assert values(successor) == sent
        assert "Starting over from the bootstrap servers" in caplog.text

    def test_none_stays_with_the_brokers_it_knows(
        self, start_broker: StartBroker, successor: EmbeddedBroker, make: Make
    ) -> None:
        old = start_broker(brokers=2)
        options = {**QUICK, "delivery_timeout_ms": 2000, "request_timeout_ms": 500}
        producer = make(f"{successor.addresses[0]},{old.addresses[0]}", **options, metadata_recovery_strategy="none")
        assert outcomes(send(producer, "old")[0]) == [None] * 20
        old.close()
        start(successor)
        errors = outcomes(send(producer, "lost")[0])
        assert {type(error) for error in errors} == {KafkaTimeoutError}
        assert successor.requests == []
        again = start_broker(port=port_of(old.address), strangers=True)
        deadline = time.monotonic() + TIMEOUT_S
        while outcomes([producer.send("t", b"back", partition=0)]) != [None]:
            assert time.monotonic() < deadline
        assert again.record_count("t") >= 1


@pytest.mark.parametrize("idempotent", [True, False])
def test_rebootstrap_required(
    idempotent: bool, start_broker: StartBroker, successor: EmbeddedBroker, make: Make
) -> None:
    """KIP-1102, error 129: every connection is closed, what was in flight counts as unanswered, all begins anew."""
    old = start_broker()
    producer = make(f"{successor.address},{old.address}", **QUICK, enable_idempotence=idempotent)
    assert outcomes(send(producer, "old")[0]) == [None] * 20
    old.hold("Produce")
    in_flight = producer.send("t", b"in flight", partition=0)
    old.wait(lambda it: it.record_count("t") == 21)
    start(successor)
    old.fail("Metadata", 129, times=None)
    producer._lifecycle._sender.request_metadata()
    futures, sent = send(producer, "meanwhile")
    assert outcomes([in_flight, *futures]) == [None] * 21
    assert values(successor) == sorted([*sent, b"in flight"])
    wait_for(lambda: old._server.call(lambda: len(old._server._connections)) == 0,
             "the end of the connections", TIMEOUT_S)


def test_rebootstrap_required_is_a_failure_without_the_strategy(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker()
    producer = make(broker, **QUICK, metadata_recovery_strategy="none")
    assert outcomes(send(producer, "old")[0]) == [None] * 20
    connections = {request.connection for request in broker.requests}
    rule = broker.fail("Metadata", 129, times=3)
    producer._lifecycle._sender.request_metadata()
    broker.wait(lambda _: rule.is_over, TIMEOUT_S)
    assert outcomes(send(producer, "later")[0]) == [None] * 20
    assert {request.connection for request in broker.requests} == connections


def nobody(correlation_id: int, reply: bytes) -> bytes:
    """An answer to Metadata v13 that names no broker."""
    return encode_response(ApiKey.METADATA, 13, correlation_id, MetadataResponse().encode(13))


BAD_ANSWERS: dict[str, Callable[[EmbeddedBroker], object]] = {
    "silence": lambda broker: broker.silence("Metadata", times=None),
    "half answers": lambda broker: broker.cut(when=6, api="Metadata", times=1_000_000),
    "no brokers": lambda broker: broker.reply_bytes("Metadata", nobody, times=None),
}


@pytest.mark.parametrize("how", BAD_ANSWERS)
def test_no_good_answer_for_too_long(
    how: str, start_broker: StartBroker, successor: EmbeddedBroker, make: Make
) -> None:
    """KIP-1102: known brokers are there, but none has given good metadata for the trigger's time."""
    old = start_broker()
    options = {**QUICK, "metadata_recovery_rebootstrap_trigger_ms": 500, "metadata_max_age_ms": 200}
    producer = make(f"{successor.address},{old.address}", **options)
    assert outcomes(send(producer, "old")[0]) == [None] * 20
    BAD_ANSWERS[how](old)
    start(successor)
    metadata = producer._lifecycle.metadata
    wait_for(lambda: {broker.node_id for broker in metadata.snapshot.brokers()} == {11, 12},
             "the new cluster's nodes", TIMEOUT_S)
    futures, sent = send(producer, "later")
    assert outcomes(futures) == [None] * 20
    assert values(successor) == sent
    assert old.record_count("t") == 20
    wait_for(lambda: old._server.call(lambda: len(old._server._connections)) == 0,
             "the end of the connections", TIMEOUT_S)
