# SPDX-License-Identifier: Apache-2.0
"""No broker, or something that is none: send() fails in time and says why, and recovers when a broker appears."""

from __future__ import annotations

import threading
import time

import pytest

from pykafka_fast.errors import KafkaError, KafkaTimeoutError
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker
from tests.path.peers import PEERS, close_at_once, serving, silence
from tools.brokers.processes import free_port

BLOCK_MS = 500
FAST = {"max_block_ms": BLOCK_MS, "reconnect_backoff_ms": 10, "reconnect_backoff_max_ms": 50}
SAID = {"http": "HTTP", "tls": "TLS"}


def fails_in_time(send: object) -> KafkaError:
    """What the failed future of send() says; send() took max_block_ms, give or take."""
    began = time.monotonic()
    future = send()  # type: ignore[operator]
    took = time.monotonic() - began
    assert future.is_done
    assert BLOCK_MS / 1000 - 0.05 < took < BLOCK_MS / 1000 + 4
    error = future.exception
    assert isinstance(error, KafkaError)
    return error


def test_nobody_listens(make: Make) -> None:
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    producer = make(",".join(addresses), **FAST)
    error = fails_in_time(lambda: producer.send("t", b"v"))
    assert isinstance(error, KafkaTimeoutError)
    for address in addresses:
        assert address in str(error)
    assert "refused" in str(error)
    assert "'t'" in str(error)
    with pytest.raises(KafkaTimeoutError, match=addresses[0]):
        producer.partitions_for("t")
    began = time.monotonic()
    producer.close(timeout=20)
    assert time.monotonic() - began < 5


def test_a_name_that_nobody_knows(make: Make) -> None:
    producer = make("no-such-host.invalid:9092", **FAST)
    error = fails_in_time(lambda: producer.send("t", b"v"))
    assert isinstance(error, KafkaTimeoutError)
    assert "no-such-host.invalid:9092" in str(error)


@pytest.mark.parametrize("peer", PEERS)
def test_it_is_not_kafka(peer: str, make: Make) -> None:
    with serving(PEERS[peer]) as (address, connections):
        producer = make(address, **FAST, request_timeout_ms=200, socket_connection_setup_timeout_ms=200)
        error = fails_in_time(lambda: producer.send("t", b"v"))
        assert address in str(error)
        assert SAID.get(peer, "") in str(error)
        assert 1 <= len(connections) < 60  # again and again, but with pauses
        assert not producer.bootstrap_connected()
        began = time.monotonic()
        producer.close(timeout=20)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("peer", ["nobody", *PEERS])
def test_the_broker_appears_on_that_port(peer: str, start_broker: StartBroker, make: Make) -> None:
    port = free_port()
    options = FAST | {"request_timeout_ms": 300, "socket_connection_setup_timeout_ms": 300}
    producer = make(f"127.0.0.1:{port}", **options)
    if peer == "nobody":
        assert producer.send("t", b"v").failed()
    else:
        with serving(PEERS[peer], port):
            assert producer.send("t", b"v").failed()
    broker = start_broker(port=port)
    deadline = time.monotonic() + 10
    while True:
        try:
            assert producer.send("t", b"found").get(10).offset == 0
            break
        except KafkaTimeoutError:
            assert time.monotonic() < deadline
    assert [record.value for record in broker.records("t")] == [b"found"]


def test_a_send_that_waits_sees_the_broker_appear(start_broker: StartBroker, make: Make) -> None:
    port = free_port()
    producer = make(f"127.0.0.1:{port}", reconnect_backoff_ms=10, reconnect_backoff_max_ms=50)
    timer = threading.Timer(0.3, start_broker, kwargs={"port": port})
    timer.start()
    began = time.monotonic()
    assert producer.send("t", b"v").get(10).offset == 0
    assert time.monotonic() - began < 5
    timer.join()


def test_dead_bootstrap_servers_first(broker: EmbeddedBroker, make: Make) -> None:
    with serving(silence) as (silent, _), serving(close_at_once) as (closing, _):
        dead = [f"127.0.0.1:{free_port()}", "no-such-host.invalid:9092", closing, silent]
        producer = make(",".join([*dead, broker.address]), socket_connection_setup_timeout_ms=300,
                        request_timeout_ms=300, delivery_timeout_ms=20_000, reconnect_backoff_ms=10)
        for n in range(10):
            assert producer.send("t", b"v", partition=0).get(15).offset == n


def test_several_bootstrap_servers_of_one_cluster(start_broker: StartBroker, make: Make) -> None:
    broker = start_broker(brokers=3)
    producer = make(broker.addresses[2])  # one leads to all
    for partition in range(4):
        assert producer.send("t", b"v", partition=partition).get(10).offset == 0
    broker.stop_node(1)
    broker.stop_node(2)
    late = make(broker)  # two of the three are dead
    for partition in range(4):
        assert late.send("t", b"v", partition=partition).get(10).offset == 1


def test_names_with_several_addresses(broker: EmbeddedBroker, make: Make) -> None:
    """localhost may be ::1 as well, where nobody listens."""
    port = broker.address.partition(":")[2]
    producer = make(f"localhost:{port}", reconnect_backoff_ms=10)
    assert producer.send("t", b"v").get(10).offset == 0


def test_the_constructor_does_nothing(make: Make) -> None:
    with serving(silence) as (address, connections):
        began = time.monotonic()
        producers = [make(address), make("no-such-host.invalid:9092")]
        assert time.monotonic() - began < 3
        assert connections == []
        assert not any(producer.bootstrap_connected() for producer in producers)
        assert [producer._lifecycle._started for producer in producers] == [False, False]


def test_close_while_a_send_waits_for_a_dead_server(make: Make) -> None:
    producer = make(f"127.0.0.1:{free_port()}", max_block_ms=60_000)
    errors: list[BaseException] = []

    def send() -> None:
        try:
            producer.send("t", b"v")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    deadline = time.monotonic() + 5
    while not producer._lifecycle._started and time.monotonic() < deadline:
        time.sleep(0.01)
    began = time.monotonic()
    producer.close(timeout=30)
    thread.join(30)
    assert time.monotonic() - began < 5
    assert "closed" in str(errors[0])
