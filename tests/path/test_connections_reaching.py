# SPDX-License-Identifier: Apache-2.0
"""Getting connected at all: set-up time-outs that grow, several addresses per name, IPv6, addresses that cannot be."""

from __future__ import annotations

import functools
import logging
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import pykafka_fast.sender
from pykafka_fast.errors import KafkaTimeoutError
from pykafka_fast.net.resolver import Resolver
from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import Make, StartBroker
from tests.path.peers import serving, silence
from tests.path.test_connections import WAIT_S, advertise
from tests.path.test_retry import outcomes, send
from tools.brokers.processes import free_port, wait_for
from tools.relay import Relay


@pytest.fixture
def relay() -> Iterator[Relay]:
    with Relay() as relay:
        yield relay


@pytest.fixture
def black_hole(relay: Relay) -> str:
    """An address where packets vanish."""
    address = relay.open("127.0.0.1:9")
    relay.black_hole(1)
    return address


class TestSetUpTimeout:
    """KIP-601."""

    def test_it_grows_up_to_the_maximum(
        self, black_hole: str, make: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "pykafka_fast")
        options = {"socket_connection_setup_timeout_ms": 100, "socket_connection_setup_timeout_max_ms": 450}
        producer = make(black_hole, max_block_ms=4000, reconnect_backoff_ms=1, reconnect_backoff_max_ms=10, **options)
        error = producer.send("t", b"v").exception
        assert isinstance(error, KafkaTimeoutError)
        assert re.search(rf"{black_hole}: could not connect: .*no connection within \d+ ms", str(error))
        texts = (re.search(r"no connection within (\d+) ms", record.getMessage()) for record in caplog.records)
        took = [int(found[1]) for found in texts if found]
        assert 5 <= len(took) <= 12
        expected = [min(100 * 2**n, 450) for n in range(len(took))]
        assert all(0.79 * wanted < ms <= min(1.21 * wanted, 450) for ms, wanted in zip(took, expected, strict=True))

    def test_a_black_hole_that_ends(self, start_broker: StartBroker, relay: Relay, make: Make) -> None:
        broker = start_broker()
        advertise(broker, relay)
        relay.black_hole(1)
        producer = make(broker, max_block_ms=20_000, socket_connection_setup_timeout_ms=200, reconnect_backoff_ms=10)
        connected = producer.bootstrap_connected
        with pytest.raises(KafkaTimeoutError):
            make(broker, max_block_ms=700).partitions_for("t")
        assert not connected()
        relay.heal()
        assert outcomes(send(producer, range(4))) == [None] * 4

    def test_a_black_hole_beside_good_servers_costs_a_second_at_most(
        self, black_hole: str, broker: EmbeddedBroker, make: Make
    ) -> None:
        """However long connecting may take (10 s by default): another server is tried beside it."""
        for _ in range(3):  # the order is chosen at random
            began = time.monotonic()
            assert outcomes(send(make(f"{black_hole},{broker.address}"), range(4))) == [None] * 4
            assert time.monotonic() - began < 5


class TestAddresses:
    @pytest.fixture
    def names(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[str, int]]]:
        """What names resolve to, in this order; the port of a look-up is not looked at."""
        known: dict[str, list[tuple[str, int]]] = {}

        def lookup(host: str, port: int, **_: Any) -> list[Any]:
            if host not in known:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return [
                (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, real))
                for address, real in known[host]
            ]

        monkeypatch.setattr(pykafka_fast.sender, "Resolver", functools.partial(Resolver, lookup=lookup))
        return known

    def test_several_addresses_are_tried_in_turn(
        self, names: dict[str, list[tuple[str, int]]], black_hole: str, broker: EmbeddedBroker, make: Make
    ) -> None:
        """A refusing, a silent and a vanishing one before the right one: each attempt begins with the next."""
        good, vanishing = (int(address.rpartition(":")[2]) for address in (broker.address, black_hole))
        with serving(silence) as (silent, _):
            ports = [free_port(), int(silent.rpartition(":")[2]), vanishing, good]
            names["kafka.example"] = [("127.0.0.1", port) for port in ports]
            producer = make("kafka.example:9092", socket_connection_setup_timeout_ms=200, request_timeout_ms=300,
                            reconnect_backoff_ms=10, max_block_ms=20_000)
            assert outcomes(send(producer, range(4))) == [None] * 4

    def test_the_one_that_answers_is_returned_to(
        self, names: dict[str, list[tuple[str, int]]], broker: EmbeddedBroker, make: Make
    ) -> None:
        """Whoever found it out: an address that accepts and never answers costs one time-out in all."""
        with serving(silence) as (silent, to_silent):
            names["kafka.example"] = [("127.0.0.1", int(it.rpartition(":")[2])) for it in (silent, broker.address)]
            broker._cluster.nodes[1].host, broker._cluster.nodes[1].port = "kafka.example", 9092
            producer = make("kafka.example:9092", request_timeout_ms=5000, reconnect_backoff_ms=10)
            assert outcomes(send(producer, range(4))) == [None] * 4
            metadata = producer._lifecycle.metadata
            for _ in range(3):
                version = metadata.update_version
                broker.cut()
                assert outcomes(send(producer, range(4))) == [None] * 4
                wait_for(lambda version=version: metadata.update_version > version,  # over a new connection
                         "new metadata", WAIT_S)
            assert len(to_silent) == 1

    def test_all_of_them_are_named_when_none_works(
        self, names: dict[str, list[tuple[str, int]]], make: Make
    ) -> None:
        ports = [free_port(), free_port()]
        names["kafka.example"] = [("127.0.0.1", port) for port in ports]
        error = make("kafka.example:9092", max_block_ms=2000).send("t", b"v").exception
        assert "kafka.example:9092: could not connect" in str(error)
        assert all(f"127.0.0.1:{port}: Connection refused" in str(error) for port in ports)

    def test_a_name_that_resolves_later(
        self, names: dict[str, list[tuple[str, int]]], broker: EmbeddedBroker, make: Make
    ) -> None:
        producer = make("kafka.example:9092", max_block_ms=20_000, reconnect_backoff_ms=10)
        error = make("kafka.example:9092", max_block_ms=2000).send("t", b"v").exception
        assert "cannot resolve" in str(error)
        names["kafka.example"] = [("127.0.0.1", int(broker.address.rpartition(":")[2]))]
        assert outcomes(send(producer, range(4))) == [None] * 4


class TestIPv6:
    def test_records_and_metadata_over_it(self, start_broker: StartBroker, relay: Relay, make: Make) -> None:
        broker = start_broker(brokers=2)
        advertise(broker, relay, at="::1")
        port = broker._cluster.nodes[1].port
        producer = make(f"[::1]:{port}")
        assert outcomes(send(producer, range(40))) == [None] * 40
        assert relay.connections() >= 3  # metadata, and records to both

    def test_errors_name_it_readably(self, make: Make) -> None:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
            port = server.getsockname()[1]
        error = make(f"[::1]:{port}", max_block_ms=2000).send("t", b"v").exception
        assert f"last errors: [::1]:{port}: could not connect: [::1]:{port}: Connection refused" in str(error)

    def test_a_server_that_does_not_answer_is_named_readably(self, make: Make) -> None:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
            port = server.getsockname()[1]
            error = make(f"[::1]:{port}", max_block_ms=300).send("t", b"v").exception
        assert f"no good answer yet from [::1]:{port}" in str(error)


@pytest.mark.parametrize("port", [0, -1, 70_000, 2**31 - 1])
def test_metadata_with_a_port_that_cannot_be(port: int, start_broker: StartBroker, make: Make) -> None:
    """It is said, nothing else is dialled in its place, and the producer goes on when the address is right again."""
    broker = start_broker()
    (node,) = broker._cluster.nodes.values()
    right, address = node.port, broker.address
    node.port = port
    producer = make(address, metadata_max_age_ms=200, reconnect_backoff_ms=10)
    with ExitStack() as stack:
        wrapped = socket.socket()  # where 70000 would lead if it were cut to 16 bits
        stack.enter_context(wrapped)
        wrapped.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        wrapped.bind(("127.0.0.1", port & 0xFFFF if port > 65_535 and port & 0xFFFF < 65_535 else 0))
        wrapped.listen()
        wrapped.settimeout(0)
        future = producer.send("t", b"v", partition=0)
        errors = producer._lifecycle._sender.metadata._connection_errors
        said = (f"127.0.0.1:{port}: a port is a number from 1 to 65535; nothing ever answered at this address, which "
                "the broker advertises (advertised.listeners)")
        wait_for(lambda: said in list(errors.values()), "its complaint", WAIT_S)
        with pytest.raises(BlockingIOError):
            wrapped.accept()
    assert not future.is_done
    node.port = right
    assert future.get(20).offset == 0
