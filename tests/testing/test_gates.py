# SPDX-License-Identifier: Apache-2.0
"""Faults that wait for their request, and what happens in the broker at that moment."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from pykafka_fast.testing import EmbeddedBroker
from tests.testing.wire import Wire, framed, header, outcomes_v8, plain_batch, produce_v8

METADATA = 3
ONE = produce_v8([("t", 0, plain_batch().encode())])


def errors_of(wire: Wire) -> list[int]:
    return [outcome.error for outcome in outcomes_v8(wire.ask(ONE))[0]]


def metadata_v13(topic: str) -> bytes:
    name = topic.encode()
    body = b"\2" + bytes(16) + bytes([len(name) + 1]) + name + b"\0" + b"\0\0\0"
    return framed(header(METADATA, 13, 1) + b"\0" + body)


def test_fail_skips(broker: EmbeddedBroker, wire: Wire) -> None:
    rule = broker.fail("Produce", 19, skip=2, times=2)
    broker.fail("Produce", 56)
    assert [errors_of(wire) for _ in range(5)] == [[56], [0], [19], [19], [0]]
    assert rule.applied == 2


def test_cut_skips(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.cut(when="before_append", api="Produce", skip=1)
    assert errors_of(wire) == [0]
    wire.send(ONE)
    assert wire.is_closed()
    assert broker.record_count("t") == 1


def test_throttle_skips(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.throttle("Produce", 50, times=1, skip=1)
    assert [outcomes_v8(wire.ask(ONE))[1] for _ in range(3)] == [0, 50, 0]


def test_silence(broker: EmbeddedBroker, wire: Wire, connect: Callable[[], Wire]) -> None:
    """It is carried out like those behind it, and none of them is answered; other connections are."""
    broker.silence("Produce", skip=1)
    wire.send(ONE * 3)
    wire.receive()
    broker.wait(lambda it: it.record_count("t") == 3)
    assert errors_of(connect()) == [0]
    wire.sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        wire.receive()


def test_trigger(broker: EmbeddedBroker, wire: Wire) -> None:
    """It comes before the request is carried out, and may change the cluster."""
    seen: list[int] = []
    broker.trigger("Produce", lambda: seen.append(broker.record_count("t")), skip=1, times=2)
    assert [errors_of(wire) for _ in range(4)] == [[0]] * 4
    assert seen == [1, 2]
    broker.trigger("Produce", lambda: broker.leaderless("t"))
    assert errors_of(wire) == [6]


def test_rebootstrap_required_is_the_whole_answer(broker: EmbeddedBroker, wire: Wire) -> None:
    broker.fail("Metadata", 129)
    answer = wire.ask(metadata_v13("t"))
    # Correlation id, tags; throttle time; no brokers, null cluster id, no controller, no topics; error code; tags.
    fields = struct.pack(">ib", 1, 0), bytes(4), b"\1\0", b"\xff" * 4, b"\1", struct.pack(">h", 129), b"\0"
    assert answer == b"".join(fields)
    assert b"t" in wire.ask(metadata_v13("t"))
    assert broker.violations == []


@pytest.mark.parametrize("skip", [-1, 1.5])
def test_a_senseless_skip(broker: EmbeddedBroker, skip: int) -> None:
    with pytest.raises(ValueError, match="skip"):
        broker.silence("Produce", skip=skip)
