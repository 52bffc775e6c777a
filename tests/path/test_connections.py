# SPDX-License-Identifier: Apache-2.0
"""What a network, and a broker's end of a connection, can do to a producer in the middle of its work.

Refused and never there: test_bad_servers.py and test_outage.py. Damaged answers, other correlation ids, answers to
requests never sent: tests/hostile. Reaching brokers at all: test_connections_reaching.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from pykafka_fast import KafkaProducer
from pykafka_fast.errors import KafkaTimeoutError
from pykafka_fast.testing import EmbeddedBroker
from tests.hostile.memory import resident_kb
from tests.path.conftest import Make, StartBroker
from tests.path.test_retry import check_log, outcomes, send, warmed_up
from tools.brokers.processes import wait_for
from tools.relay import Relay

WAIT_S = 20.0
FAST = {"reconnect_backoff_ms": 5, "reconnect_backoff_max_ms": 50, "retry_backoff_ms": 5, "retry_backoff_max_ms": 50,
        "socket_connection_setup_timeout_ms": 300, "socket_connection_setup_timeout_max_ms": 1000}  # fmt: skip


def advertise(broker: EmbeddedBroker, relay: Relay, at: str = "127.0.0.1") -> None:
    """Clients reach every node of the broker through the relay from now on: node n over link n."""
    for node in broker._cluster.nodes.values():
        node.host, _, port = relay.open(f"{node.host}:{node.port}", at).rpartition(":")
        node.port = int(port)


@pytest.fixture
def relay() -> Iterator[Relay]:
    with Relay() as relay:
        yield relay


@pytest.fixture
def relayed(start_broker: StartBroker, relay: Relay) -> EmbeddedBroker:
    broker = start_broker()
    advertise(broker, relay)
    return broker


class TestUnderWay:
    """Records are on their way when it happens; none is lost, doubled or overtaken."""

    @pytest.mark.parametrize("count", [1, 70, 1000, 5000])
    def test_reset_after_some_bytes(self, count: int, relayed: EmbeddedBroker, relay: Relay, make: Make) -> None:
        producer = make(relayed, **FAST)
        warmed_up(producer)
        done = 4
        for _ in range(5):
            relay.reset_after(1, count)
            futures = send(producer, range(done, done + 400))
            done += 400
            assert outcomes(futures) == [None] * 400
        assert relay.cuts
        check_log(relayed, range(done))

    def test_black_hole(self, relayed: EmbeddedBroker, relay: Relay, make: Make) -> None:
        """Packets vanish, new connections get no answer: requests time out, records wait, and go when it is over."""
        producer = make(relayed, request_timeout_ms=300, **FAST)
        warmed_up(producer)
        relay.black_hole(1)
        futures = send(producer, range(4, 400))
        wait_for(lambda: not producer.bootstrap_connected(), "the loss of the connection", WAIT_S)
        assert not any(future.is_done for future in futures)
        relay.heal()
        assert outcomes(futures) == [None] * 396
        check_log(relayed, range(400))

    def test_black_hole_until_the_time_is_up(self, relayed: EmbeddedBroker, relay: Relay, make: Make) -> None:
        producer = make(relayed, request_timeout_ms=200, delivery_timeout_ms=1500, **FAST)
        warmed_up(producer)
        relay.black_hole(1)
        began = time.monotonic()
        (error,) = outcomes(send(producer, range(4, 5)))
        assert isinstance(error, KafkaTimeoutError)
        assert 1.3 < time.monotonic() - began < 10
        assert "no connection within" in str(error) or "request_timeout_ms" in str(error)
        assert error.in_doubt
        relay.heal()

    def test_silent_after_it_worked(self, relayed: EmbeddedBroker, relay: Relay, make: Make) -> None:
        """New connections are accepted by the system and nothing is ever read or said."""
        producer = make(relayed, request_timeout_ms=200, **FAST)
        warmed_up(producer)
        relay.silence(1)
        futures = send(producer, range(4, 400))
        wait_for(lambda: not producer.bootstrap_connected(), "the loss of the connection", WAIT_S)
        relay.heal()
        assert outcomes(futures) == [None] * 396
        check_log(relayed, range(400))

    @pytest.mark.parametrize("upward", [False, True])
    def test_half_closed(self, upward: bool, relayed: EmbeddedBroker, relay: Relay, make: Make) -> None:
        """One direction ends, the other stays open: the broker says that nothing more comes, or believes it of us."""
        producer = make(relayed, request_timeout_ms=2000, **FAST)
        warmed_up(producer)
        done = 4
        for _ in range(5):
            futures = send(producer, range(done, done + 200))
            relay.half_close(1, upward)
            futures += send(producer, range(done + 200, done + 400))
            done += 400
            assert outcomes(futures) == [None] * 400
        check_log(relayed, range(done))

    def test_slow(self, relayed: EmbeddedBroker, relay: Relay, make: Make) -> None:
        """Four requests leave at once and each takes 3.3 s: none is overdue because of those before it."""
        producer = make(relayed, request_timeout_ms=5000, max_request_size=1 << 20, linger_ms=50, **FAST)
        warmed_up(producer)
        relay.limit(1, 300_000)
        futures = [producer.send("t", bytes(990_000), partition=index) for index in range(4)]
        assert outcomes(futures) == [None] * 4
        metrics = producer.metrics()["producer-metrics"]
        assert metrics["record-retry-total"] == 0
        assert relayed.record_count("t") == 4 + 4

    def test_slow_behind_a_proxy(self, relayed: EmbeddedBroker, relay: Relay, make: Make) -> None:
        """It takes a request of 900 kB at once and needs 3 s to pass it on: only smaller ones arrive in time."""
        relayed.create_topic("wide", 16)
        together = {"linger_ms": 300, "batch_size": 65536, "reconnect_backoff_ms": 300, "reconnect_backoff_max_ms": 300}
        producer = make(relayed, request_timeout_ms=2000, delivery_timeout_ms=15000,
                        max_in_flight_requests_per_connection=1, **FAST | together)  # fmt: skip
        warmed_up(producer)
        assert len(producer.partitions_for("wide")) == 16
        relay.buffer(1, 1 << 30)
        relay.limit(1, 300_000)
        futures = [producer.send("wide", bytes(56_000), partition=index) for index in range(16)]
        assert outcomes(futures) == [None] * 16
        assert producer.metrics()["producer-metrics"]["record-retry-total"] > 0
        assert relayed.record_count("wide") == 16

    def test_a_peer_that_stops_reading(self, broker: EmbeddedBroker, make: Make) -> None:
        """The socket fills up in the middle of a request; it counts as unanswered when its time is up."""
        producer = make(broker, request_timeout_ms=400, max_request_size=4 << 20, send_buffer_bytes=65536, **FAST)
        warmed_up(producer)
        broker.hold(read=False)
        futures = [producer.send("t", bytes(1_000_000), partition=index % 4) for index in range(16)]
        wait_for(lambda: not producer.bootstrap_connected(), "the loss of the connection", WAIT_S)
        assert not any(future.is_done for future in futures)
        broker.release()
        assert outcomes(futures) == [None] * 16
        assert broker.record_count("t") == 4 + 16

    def test_answers_split_at_every_byte(self, broker: EmbeddedBroker, make: Make) -> None:
        broker.split_replies(1)
        for version in (3, 8, 9, 13):
            broker.set_api_version("Produce", 0, version)
            assert outcomes(send(make(broker), range(40))) == [None] * 40
        assert broker.record_count("t") == 160

    def test_a_large_answer_that_never_comes_takes_no_memory(self, broker: EmbeddedBroker, make: Make) -> None:
        """99 MB are announced, which is allowed, and four bytes sent."""
        producer = make(broker, request_timeout_ms=200, **FAST)
        warmed_up(producer)
        before = resident_kb()
        for api in ("Produce", "Metadata"):
            broker.reply_bytes(api, lambda _, answer: (99_000_000).to_bytes(4, "big") + answer[4:8], times=3)
        futures = send(producer, range(4, 8))
        assert outcomes(futures) == [None] * 4
        assert resident_kb() - before < 20 << 10
        check_log(broker, range(8))


class TestIdle:
    """Brokers close connections that are not used (connections.max.idle.ms there): no error, and nothing to warn of."""

    @pytest.mark.parametrize("reset", [False, True])
    def test_closed_by_the_broker(
        self, reset: bool, broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "pykafka_fast")
        producer = make(broker)
        warmed_up(producer)
        metadata = producer._lifecycle.metadata
        ends = ("the connection failed", "Connection reset") if reset else ("closed the connection",)

        def ended() -> int:
            return sum(any(end in record.getMessage() for end in ends) for record in caplog.records)

        for round_number in range(1, 4):
            # That for metadata comes back by itself, and with a request under way its end would be worth a warning.
            wait_for(lambda: producer.bootstrap_connected() and not metadata.update_wanted() and not metadata._fetch,
                     "new connections", WAIT_S)
            broker.cut(reset=reset)
            wait_for(lambda round_number=round_number: ended() == 2 * round_number,  # that for records, too
                     "the end of the connections", WAIT_S)
            assert outcomes(send(producer, range(4 * round_number, 4 * round_number + 4))) == [None] * 4
        check_log(broker, range(16))
        loud = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert [record.getMessage() for record in loud] == []
        said = "the connection failed" if reset else "the broker closed the connection"
        assert [record for record in caplog.records if said in record.getMessage()]

    def test_closed_in_the_moment_of_sending(self, broker: EmbeddedBroker, make: Make) -> None:
        """The request meets a connection that the broker has just given up: sent again, without an error."""
        producer = make(broker, **FAST)
        warmed_up(producer)
        for number in range(1, 60):
            broker.cut()
            futures = send(producer, range(4 * number, 4 * number + 4))
            assert outcomes(futures) == [None] * 4
        check_log(broker, range(240))

    def test_closed_with_a_request_under_way_is_told(
        self, broker: EmbeddedBroker, make: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        producer = make(broker)
        warmed_up(producer)
        broker.cut(when="before_append", api="Produce")
        assert outcomes(send(producer, range(4, 8))) == [None] * 4
        assert [record for record in caplog.records if "closed the connection" in record.getMessage()]


class TestDeadAddresses:
    def test_a_dead_node_does_not_hold_up_the_others(
        self, start_broker: StartBroker, relay: Relay, make: Make
    ) -> None:
        """Node 2 of three is a black hole, and connecting may take 10 s: the others' records go at once."""
        broker = start_broker(brokers=3, topics={"t": 6})
        advertise(broker, relay)
        producer: KafkaProducer = make(broker, request_timeout_ms=30_000)
        leaders = [broker._cluster.partition("t", index).leader for index in range(6)]
        warmed_up(producer, 6)
        relay.black_hole(2)
        stuck = [producer.send("t", b"stuck", partition=index) for index in range(6) if leaders[index] == 2]
        for _ in range(20):
            for index in range(6):
                if leaders[index] != 2:
                    assert producer.send("t", b"v", partition=index).get(8).partition == index
        assert not any(future.is_done for future in stuck)
        relay.heal()
        assert outcomes(stuck) == [None] * len(stuck)

    def test_a_dead_node_does_not_hold_up_metadata(self, start_broker: StartBroker, relay: Relay, make: Make) -> None:
        broker = start_broker(brokers=3, topics={f"t{n}": 3 for n in range(12)})
        advertise(broker, relay)
        producer = make(broker, request_timeout_ms=1000)
        assert len(producer.partitions_for("t0")) == 3
        relay.black_hole(2)
        for n in range(1, 12):
            began = time.monotonic()
            assert len(producer.partitions_for(f"t{n}")) == 3
            # Was it node 2 that served metadata, its connection is given up for another after request_timeout_ms.
            assert time.monotonic() - began < 5
            relay.reset(1)
            relay.reset(3)
        relay.heal()
