# SPDX-License-Identifier: Apache-2.0
"""One broker's way: look-up, connection, back-off, hand-over, idleness; real sockets, a clock that stands still."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from pykafka_fast.errors import KafkaConnectionError
from pykafka_fast.net.backoff import ExponentialBackoff
from pykafka_fast.net.link import Link, Network
from pykafka_fast.net.options import ConnectionOptions
from pykafka_fast.net.resolver import Resolver
from pykafka_fast.net.wakeup import Wakeup
from pykafka_fast.protocol.api import ApiKey
from pykafka_fast.protocol.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from tests.unit.net.peer import DEADLINE_S, MS, FakeClock, Listener, Peer


class Owner:
    """A link and everything it told."""

    def __init__(self, port: int, host: str = "127.0.0.1", max_idle_ms: int = -1) -> None:
        self.clock = FakeClock()
        self.wakeup = Wakeup()
        self.network = Network(
            Resolver(self.wakeup.signal),
            ConnectionOptions(client_id="me"),
            ExponentialBackoff(50, 50),
            ExponentialBackoff(10_000, 10_000),
            max_idle_ms=max_idle_ms,
            clock=self.clock,
        )
        self.network.watch_reader(self.wakeup.fileno(), self.wakeup.clear)
        self.ready = 0
        self.failures: list[KafkaConnectionError] = []
        self.link = Link(1, host, port, self.network, self._on_ready, lambda link, error: self.failures.append(error))

    def _on_ready(self, link: Link) -> None:
        assert link is self.link
        self.ready += 1

    def run_until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end
            self.network.wait(0.1)

    def close(self) -> None:
        self.link.close()
        self.network.resolver.close()
        self.network.close()
        self.wakeup.close()


@pytest.fixture
def own() -> Iterator[Callable[..., Owner]]:
    owners: list[Owner] = []

    def own(*args: int, **kwargs: object) -> Owner:
        owners.append(Owner(*args, **kwargs))  # type: ignore[arg-type]
        return owners[-1]

    yield own
    for owner in owners:
        owner.close()


@pytest.fixture
def ready(own: Callable[..., Owner], listen: Callable[..., Listener]) -> Iterator[tuple[Owner, Peer]]:
    listener = listen()
    owner = own(listener.port, max_idle_ms=5000)
    owner.link.open()
    owner.run_until(lambda: owner.link.connection)
    peer = listener.accept()
    owner.run_until(lambda: owner.link.connection is not None and owner.link.connection.tcp_connected)
    peer.shake_hands()
    owner.run_until(lambda: owner.ready)
    yield owner, peer
    peer.close()


def test_ready(ready: tuple[Owner, Peer]) -> None:
    owner, _ = ready
    assert owner.link.is_ready
    assert not owner.link.can_open(owner.clock())
    assert owner.failures == []


def test_refused_then_tried_again_after_the_back_off(own: Callable[..., Owner]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    owner = own(port)
    for count in (1, 2):
        owner.link.open()
        owner.run_until(lambda: len(owner.failures) == count)  # noqa: B023
        assert "could not connect" in str(owner.failures[-1])
        assert not owner.link.is_busy
        assert not owner.link.can_open(owner.clock())
        owner.clock.advance_ms(50)
        assert owner.link.can_open(owner.clock())


def test_unknown_names(own: Callable[..., Owner]) -> None:
    owner = own(9092, host="no-such-host.invalid")
    owner.link.open()
    assert owner.link.is_busy
    owner.run_until(lambda: owner.failures)
    assert "no-such-host.invalid:9092: cannot resolve" in str(owner.failures[0])


def test_closed_while_the_name_is_looked_up(own: Callable[..., Owner]) -> None:
    owner = own(9092)
    owner.link.open()
    owner.link.close()
    owner.run_until(lambda: owner.network.resolver.run_callbacks() or not owner.network.resolver._waiting)
    assert owner.link.connection is None
    assert owner.failures == []


def test_a_lost_connection_is_told_and_a_closed_one_is_not(ready: tuple[Owner, Peer]) -> None:
    owner, peer = ready
    peer.close()
    owner.run_until(lambda: owner.failures)
    assert not owner.link.is_busy
    owner.link.close()
    assert len(owner.failures) == 1


def test_handed_over(ready: tuple[Owner, Peer]) -> None:
    owner, peer = ready
    detached = owner.link.detach()
    with socket.socket(fileno=detached.fd) as sock:
        sock.sendall(b"mine")
        assert peer.read(4) == b"mine"
    assert not owner.link.is_busy
    assert owner.link.can_open(owner.clock())
    owner.link.lost()
    assert not owner.link.can_open(owner.clock())
    assert owner.failures == []


def test_idle_connections_are_closed(ready: tuple[Owner, Peer]) -> None:
    owner, _ = ready
    idle_at_ns = owner.link.deadline()
    assert idle_at_ns == owner.clock() + 5000 * MS
    owner.link.on_deadline(idle_at_ns - 1)
    assert owner.link.is_ready
    owner.link.on_deadline(idle_at_ns)
    assert not owner.link.is_busy
    assert owner.failures == []


def test_a_connection_with_a_request_is_not_idle(ready: tuple[Owner, Peer]) -> None:
    owner, _ = ready
    assert owner.link.connection is not None
    answers: list[object] = []
    owner.link.connection.submit(
        ApiKey.INIT_PRODUCER_ID, InitProducerIdRequest(), InitProducerIdResponse.decode, lambda *it: answers.append(it)
    )
    owner.link.on_deadline(owner.clock.advance_ms(6000))
    assert owner.link.is_ready
    assert owner.link.deadline() == owner.clock() + 24_000 * MS
    owner.link.on_deadline(owner.clock.advance_ms(24_000))
    assert len(answers) == 1
    assert "no response within 30000 ms" in str(owner.failures[0])


def test_a_forked_child_leaves_the_parents_connection_alone(ready: tuple[Owner, Peer]) -> None:
    owner, peer = ready
    child = os.fork()
    if child == 0:
        try:
            owner.network.close()
            owner.link.abandon()
            owner.wakeup.close()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    peer.close()  # the parent's selector still tells of it
    owner.run_until(lambda: owner.failures)


class TestWakeup:
    def test_wakes_once_however_often_it_is_signalled(self, own: Callable[..., Owner]) -> None:
        owner = own(1)
        for _ in range(3):
            owner.wakeup.signal()
        assert owner.network.selector.select(0)
        owner.network.wait(0)
        assert not owner.network.selector.select(0)
        owner.wakeup.signal()
        assert owner.network.selector.select(0)

    def test_signals_after_the_end_are_harmless(self) -> None:
        wakeup = Wakeup()
        wakeup.close()
        wakeup.signal()
        wakeup.signal()


def test_a_broker_that_hangs_up_is_asked_at_the_oldest_version_in_turn(
    own: Callable[..., Owner], listen: Callable[..., Listener]
) -> None:
    """It may not know ours; but it may have been stopped, or may want TLS."""
    listener = listen()
    owner = own(listener.port)
    asked = []
    for count in range(1, 4):
        owner.link.open()
        owner.run_until(lambda: owner.link.connection)
        peer = listener.accept()
        owner.run_until(lambda: owner.link.connection.tcp_connected)  # type: ignore[union-attr]
        asked.append(peer.request()[0].version)
        peer.close()
        owner.run_until(lambda: len(owner.failures) == count)  # noqa: B023
        owner.clock.advance_ms(50)
    assert asked == [4, 0, 4]
    for _ in range(2):  # what worked once serves for this address
        owner.link.open()
        owner.run_until(lambda: owner.link.connection)
        peer = listener.accept()
        owner.run_until(lambda: owner.link.connection.tcp_connected)  # type: ignore[union-attr]
        assert peer.shake_hands().version == 0
        owner.run_until(lambda: owner.link.is_ready)
        owner.link.close()
        peer.close()
        owner.clock.advance_ms(50)
