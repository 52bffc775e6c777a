# SPDX-License-Identifier: Apache-2.0
"""Brokers that cannot be reached: at the start, in the middle, at the end; and servers that are no brokers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import ClosedForcefullyError, KafkaTimeoutError, SenderDiedError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker
from tests.path.test_retry import check_log, outcomes, send, warmed_up
from tools.brokers.processes import free_port, wait_for

TIMEOUT_S = 10.0


class Server:
    """A port that answers every connection with the same bytes, or with silence."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
                if self._answer is None:
                    self._open.append(peer)
                    continue
                peer.recv(1000)
                peer.sendall(self._answer)
                peer.close()
            except OSError:
                return

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(TIMEOUT_S)
        for peer in self._open:
            peer.close()


@pytest.fixture
def silent() -> Iterator[Server]:
    """Accepts and never answers."""
    server = Server(None)
    yield server
    server.close()


def all_down(broker: EmbeddedBroker) -> None:
    for node in (1, 2, 3):
        broker.stop_node(node, elect=False)


def asked_to_start_over(broker: EmbeddedBroker) -> None:
    broker.leaderless("t")
    broker.fail("Metadata", 129, times=None)


#: States that do not pass by themselves.
TROUBLES: dict[str, Callable[[EmbeddedBroker], object]] = {
    "all down": all_down,
    "silence": lambda broker: broker.hold(read=False),
    "no leader": lambda broker: broker.leaderless("t"),
    "refused": lambda broker: broker.fail("Produce", 19, times=None),
    "not the leader": lambda broker: broker.fail("Produce", 6, times=None),
    "asked to start over": asked_to_start_over,
    "cut at every request": lambda broker: broker.cut(when="before_append", times=1_000_000),
    "cut at every produce request": lambda broker: broker.cut(when="before_append", api="Produce", times=1_000_000),
    "topic unknown": lambda broker: (broker.leaderless("t"), broker.fail("Metadata", 3, times=None)),
}


def free_address() -> str:
    """Where nobody listens."""
    return f"127.0.0.1:{free_port()}"


class TestBootstrap:
    def test_bad_servers_beside_a_good_one(self, silent: Server, broker: EmbeddedBroker, make: Make) -> None:
        addresses = ["no-such-host.invalid:9092", free_address(), silent.address, broker.address]
        for _ in range(3):  # the order is chosen at random
            producer = make(",".join(addresses))
            began = time.monotonic()
            assert outcomes(send(producer, range(4))) == [None] * 4
            assert time.monotonic() - began < 8

    @pytest.mark.parametrize(
        ("answer", "explanation"),
        [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "web server"), (b"\x15\x03\x03\0\2\2\x28", "TLS"), (b"", "closed")],
    )
    def test_servers_that_are_no_brokers(self, answer: bytes, explanation: str, make: Make) -> None:
        server = Server(answer)
        try:
            (error,) = outcomes([make(server.address, max_block_ms=2000).send("t", b"x")])
            assert isinstance(error, KafkaTimeoutError)
            assert server.address in str(error)
            assert explanation in str(error)
        finally:
            server.close()

    def test_nobody_there(self, make: Make) -> None:
        address = free_address()
        producer = make(address, max_block_ms=2000)
        (error,) = outcomes([producer.send("t", b"x")])
        assert isinstance(error, KafkaTimeoutError)
        assert f"{address}: could not connect" in str(error)
        assert "refused" in str(error)

    def test_a_broker_that_comes_late(self, start_broker: StartBroker, make: Make) -> None:
        address = free_address()
        producer = make(address)
        futures: list[object] = []
        thread = threading.Thread(target=lambda: futures.extend(send(producer, range(4))))
        thread.start()
        start_broker(port=int(address.split(":")[1]))
        thread.join(TIMEOUT_S)
        assert outcomes(futures) == [None] * 4  # type: ignore[arg-type]


class TestInTheMiddle:
    def test_a_host_that_vanishes(self, start_broker: StartBroker, make: Make) -> None:
        """Its connections do not end, nobody answers: who knows is asked long before request_timeout_ms (30 s)."""
        broker = start_broker(brokers=3)
        producer = make(broker)
        warmed_up(producer)
        control = producer._lifecycle._sender._brokers._control.values()
        (gone,) = [link.node_id for link in tuple(control) if link.is_ready]
        broker.hold(node=gone, read=False)
        broker.create_topic("new")
        broker.move_leader("new", 0, gone % 3 + 1)
        began = time.monotonic()
        assert producer.send("new", b"x").get(timeout=20).offset == 0
        assert time.monotonic() - began < 20

    @pytest.mark.parametrize("nodes", [1, 3])
    def test_all_brokers_stop_and_come_back(self, nodes: int, start_broker: StartBroker, make: Make) -> None:
        broker = start_broker(brokers=nodes)
        producer = make(broker)
        warmed_up(producer)
        for node in range(1, nodes + 1):
            broker.stop_node(node, elect=False)
        futures = send(producer, range(4, 400))
        assert not any(future.is_done for future in futures)
        for node in range(1, nodes + 1):
            broker.start_node(node)
        assert outcomes(futures) == [None] * 396
        check_log(broker, range(400))

    def test_one_of_three_is_lost_for_good(self, start_broker: StartBroker, make: Make) -> None:
        broker = start_broker(brokers=3)
        producer = make(broker)
        warmed_up(producer)
        broker.stop_node(2, elect=True)
        assert outcomes(send(producer, range(4, 400))) == [None] * 396
        check_log(broker, range(400))

    def test_the_reason_is_said_when_the_time_is_up(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker, delivery_timeout_ms=2000, request_timeout_ms=1000)
        warmed_up(producer)
        broker.stop_node(1, elect=False)
        errors = outcomes(send(producer, range(4, 8)))
        assert all(isinstance(error, KafkaTimeoutError) for error in errors)
        assert f"node 1, cannot be reached: {broker.address}" in str(errors[0])

    @pytest.mark.parametrize("trouble", TROUBLES)
    def test_no_failure_state_costs_time_of_the_processor(
        self, trouble: str, start_broker: StartBroker, make: Make
    ) -> None:
        """Less than 2 % of a core with silent brokers, 4 % with none, 5 %, theirs and ours, where they answer.

        The least of several measures counts: who turns round and round does so in each of them.
        """
        broker = start_broker(brokers=3)
        producer = make(broker)
        warmed_up(producer)
        TROUBLES[trouble](broker)
        send(producer, range(4, 44))
        threading.Event().wait(0.3)
        shares = []
        for _ in range(4):
            used, began = time.process_time(), time.monotonic()
            threading.Event().wait(0.6)
            shares.append((time.process_time() - used) / (time.monotonic() - began))
        assert min(shares) < {"silence": 0.02, "all down": 0.04}.get(trouble, 0.05), shares
        broker.clear()
        for node in (1, 2, 3):
            broker.start_node(node)
        producer.close(timeout=0)

    def test_control_messages_cut_off(self, broker: EmbeddedBroker, make: Make) -> None:
        for api in ("ApiVersions", "Metadata", "InitProducerId"):
            broker.cut(when="before_append", api=api, times=2)
        assert outcomes(send(make(broker), range(4))) == [None] * 4

    def test_idle_connections_are_made_again(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker, connections_max_idle_ms=100)
        warmed_up(producer)
        deadline = time.monotonic() + TIMEOUT_S
        while producer.bootstrap_connected():
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)
        assert outcomes(send(producer, range(4, 400))) == [None] * 396
        check_log(broker, range(400))

    def test_new_partitions_are_found(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker, metadata_max_age_ms=100)
        warmed_up(producer)
        broker.add_partitions("t", 6)
        deadline = time.monotonic() + TIMEOUT_S
        while producer.partitions_for("t") != set(range(6)):
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)
        assert producer.send("t", b"x", partition=5).get(TIMEOUT_S).partition == 5


class TestTheEnd:
    def test_close_in_an_outage_takes_no_longer_than_allowed(self, broker: EmbeddedBroker, make: Make) -> None:
        producer = make(broker)
        warmed_up(producer)
        broker.stop_node(1, elect=False)
        futures = send(producer, range(4, 40))
        began = time.monotonic()
        producer.close(timeout=0.3)
        assert 0.25 < time.monotonic() - began < 3
        assert {type(error) for error in outcomes(futures)} == {ClosedForcefullyError}

    def test_a_defect_fails_everything_at_once(
        self, broker: EmbeddedBroker, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        producer: KafkaProducer = make(broker)
        warmed_up(producer)

        def broken(*args: object) -> None:
            raise ZeroDivisionError("a defect")

        monkeypatch.setattr(producer._lifecycle._sender._settlement, "settle", broken)
        broker.fail("Produce", 6, topic="t")
        errors = outcomes(send(producer, range(4, 40)))
        assert {type(error) for error in errors} <= {SenderDiedError, type(None)}
        assert isinstance(errors[0], SenderDiedError)
        assert "a defect" in str(errors[0])
        wait_for(lambda: any(record.exc_info for record in caplog.records), "a line", TIMEOUT_S)
        with pytest.raises(SenderDiedError):
            producer.send("t", b"late").get(TIMEOUT_S)
