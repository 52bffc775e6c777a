# SPDX-License-Identifier: Apache-2.0
"""A sender whose wire, accumulator, connections and clock are scripted: nothing waits, nothing is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pykafka_fast._core.wire import EventKind
from pykafka_fast.config import resolve
from pykafka_fast.errors import KafkaConnectionError, KafkaError
from pykafka_fast.net.connection import ConnectionState, Detached
from pykafka_fast.net.resolver import Resolution, ResolutionCallback
from pykafka_fast.net.wakeup import Wakeup
from pykafka_fast.protocol.api import APIS, ApiKey, negotiate
from pykafka_fast.protocol.init_producer_id import InitProducerIdResponse
from pykafka_fast.protocol.metadata import MetadataBroker, MetadataPartition, MetadataResponse, MetadataTopic
from pykafka_fast.sender import Sender
from tests.unit.net.peer import MS, FakeClock

RANGES = {int(key): (spec.min_version, spec.max_version) for key, spec in APIS.items()}
TOPIC_ID = bytes(15) + b"\1"


class FakeTopic:
    def __init__(self, name: str, calls: list[tuple[Any, ...]]) -> None:
        self.name = name
        self.partition_count = 0
        self._calls = calls

    def set_route(self, leaders: Any) -> None:
        self.partition_count = len(leaders)
        self._calls.append(("set_route", self.name, list(leaders)))

    def set_batch_ceiling(self, size: int) -> None:
        self._calls.append(("set_batch_ceiling", self.name, size))

    def forget(self) -> None:
        self.partition_count = 0
        self._calls.append(("forget", self.name))


class FakeAccumulator:
    def __init__(self, calls: list[tuple[Any, ...]]) -> None:
        self._calls = calls
        self._topics: dict[str, FakeTopic] = {}
        self.pending: dict[str, int] = {}
        self.closed = False
        self.headers_allowed: bool | None = None

    def topic(self, name: str) -> FakeTopic:
        return self._topics.setdefault(name, FakeTopic(name, self._calls))

    def allow_headers(self, allowed: bool) -> None:
        self.headers_allowed = allowed

    def lost(self) -> dict[str, int]:
        return self.pending

    def last_used_ns(self, name: str) -> int | None:
        return None

    def set_sender(self, ident: int) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class FakeWire:
    """Remembers every command, in order and with the accumulator's, as (name, arguments...)."""

    def __init__(self, calls: list[tuple[Any, ...]]) -> None:
        self._calls = calls
        self._wakeup = Wakeup()
        self.queue: list[Any] = []
        self.requests = 0

    def fileno(self) -> int:
        return self._wakeup.fileno()

    def events(self) -> list[Any]:
        events, self.queue = self.queue, []
        self._wakeup.clear()
        return events

    def push(self, *events: Any) -> None:
        self.queue += events
        self._wakeup.signal()

    def in_flight(self) -> int:
        return self.requests

    def set_leaders(self, topic: FakeTopic, leaders: Any, epochs: Any, topic_id: bytes) -> None:
        self._calls.append(("set_leaders", topic.name, list(leaders), list(epochs)))

    def explain(self, node: int, text: str, topic: FakeTopic | None = None) -> None:
        self._calls.append(("explain", node, text, *([topic.name] if topic else [])))

    def restart(self, topic: FakeTopic, partition: int) -> None:
        self._calls.append(("restart", topic.name, partition))

    def stop(self, timeout: float) -> bool:
        self._calls.append(("stop",))
        return True

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name not in {
            "start", "connect", "forget_connection", "set_producer", "disable_idempotence", "requeue", "fail",
            "complete", "split", "close", "abort",
        }:  # fmt: skip
            raise AttributeError(name)

        def command(*args: Any, **kwargs: Any) -> None:
            self._calls.append((name, *args, *([kwargs] if kwargs else [])))

        return command

    def dispose(self) -> None:
        self._wakeup.close()


class FakeConnection:
    """Stands for ``BrokerConnection``: the test says what becomes of it."""

    def __init__(
        self, node_id: int, host: str, port: int, addresses: Any, options: Any, clock: Any, **kwargs: Any
    ) -> None:
        self.node_id, self.host, self.port = node_id, host, port
        self.addresses = addresses
        self.address = addresses[0]
        self.was_useful = False
        self.state = ConnectionState.CONNECTING
        self.tcp_connected = False
        self.ended_idle = self.hung_up = False
        self.ask_oldest = kwargs["ask_oldest"]
        self.api_versions: dict[int, tuple[int, int]] = {}
        self.throttled_until_ns = 0
        self.last_activity_ns = clock()
        self.requests: list[tuple[ApiKey, Any, Callable[..., None]]] = []
        self.waiting_since_ns: int | None = None
        self._clock = clock
        self.setup_timeout_ms = kwargs["setup_timeout_ms"]
        self._on_ready, self._on_closed = kwargs["on_ready"], kwargs["on_closed"]

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        pass

    def fileno(self) -> int:
        return -1

    def wants(self) -> int:
        return 0

    def deadline(self) -> int | None:
        return None

    @property
    def in_flight_count(self) -> int:
        return len(self.requests)

    def submit(self, api: ApiKey, request: Any, decode: Any, callback: Callable[..., None]) -> int:
        version = negotiate(api, self.api_versions.get(api))
        self.requests.append((api, request, callback))
        if self.waiting_since_ns is None:
            self.waiting_since_ns = self._clock()
        return version

    def detach(self) -> Detached:
        self.state = ConnectionState.DETACHED
        return Detached(1000 + self.port, 2, self.api_versions)

    def close(self, reason: Any = "closed") -> None:
        if self.state not in (ConnectionState.CLOSED, ConnectionState.DETACHED):
            self._end(KafkaConnectionError(f"{self}: {reason}"))

    def abandon(self) -> None:
        self.state = ConnectionState.CLOSED

    # What the test does

    def become_ready(self, ranges: dict[int, tuple[int, int]] | None = None) -> None:
        self.tcp_connected = True
        self.api_versions = RANGES if ranges is None else ranges
        self.state = ConnectionState.READY
        self._on_ready(self)

    def break_off(self, reason: str = "broken", tcp_connected: bool = True) -> None:
        self.tcp_connected = tcp_connected
        self._end(KafkaConnectionError(f"{self}: {reason}"))

    def _end(self, error: KafkaError) -> None:
        self.state = ConnectionState.CLOSED
        requests, self.requests = self.requests, []
        for _, _, callback in requests:
            callback(None, error)
        self._on_closed(self, error)

    def answer(self, response: Any) -> None:
        """Answer the oldest request."""
        _, _, callback = self.requests.pop(0)
        self.waiting_since_ns = self._clock() if self.requests else None
        self.was_useful = True
        callback(response, None)


class FakeResolver:
    """Knows every name but those in ``unknown``; answers at once."""

    def __init__(self) -> None:
        self.unknown: set[str] = set()

    def resolve(self, host: str, port: int, callback: ResolutionCallback, *, canonical: bool = False) -> None:
        error = KafkaConnectionError(f"{host}:{port}: cannot resolve the host name") if host in self.unknown else None
        callback(Resolution(host, port, () if error else ("address 1", "address 2"), error))  # type: ignore[arg-type]

    def run_callbacks(self) -> int:
        return 0

    def close(self) -> None:
        pass


@dataclass
class FakeBatch:
    """Stands for ``ParkedBatch``."""

    topic: str = "t"
    partition: int = 0
    count: int = 10
    size: int = 1000
    attempts: int = 0
    sequence: int = 0
    age_ms: int = 5
    is_split: bool = False


@dataclass
class FakeEvent:
    """Stands for ``Event``."""

    kind: EventKind
    node: int = -1
    code: int = -1
    text: str | None = None
    topic: str | None = None
    partition: int = -1
    batch: FakeBatch | None = None
    leader: int = -1
    leader_epoch: int = -1
    offset: int = -1
    log_start: int = -1
    log_append_time: int = -1
    in_doubt: bool = False
    answered: bool = True
    first: bool = True
    record_errors: list[tuple[int, str | None]] = field(default_factory=list)


def parked(code: int, batch: FakeBatch | None = None, **facts: Any) -> FakeEvent:
    return FakeEvent(EventKind.PARKED, code=code, batch=batch or FakeBatch(), **facts)


class World:
    """A sender and everything around it. ``calls`` is what wire and accumulator were told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.connections: list[FakeConnection] = []
        self.clock = FakeClock()
        self.wire, self.accumulator, self.resolver = FakeWire(self.calls), FakeAccumulator(self.calls), FakeResolver()
        monkeypatch.setattr("pykafka_fast.net.link.BrokerConnection", self._connect)
        config = resolve({"bootstrap_servers": "boot:1", "client_id": "me", **options})
        self.sender = Sender(config, self.accumulator, self.wire, clock=self.clock, resolver=self.resolver)  # type: ignore[arg-type]
        self.metadata = self.sender.metadata

    def _connect(self, *args: Any, **kwargs: Any) -> FakeConnection:
        self.connections.append(FakeConnection(*args, **kwargs))
        return self.connections[-1]

    def advance(self, ms: int = 0) -> float | None:
        """Time passes, then the sender does what is due; returns the seconds for which it would sleep."""
        self.clock.advance_ms(ms)
        return self.sender._advance()

    def tell(self, *events: FakeEvent) -> None:
        """Events of the wire."""
        self.wire.push(*events)
        self.sender._on_wire_readable()
        self.sender._advance()

    def take(self) -> list[tuple[Any, ...]]:
        """What wire and accumulator were told since the last call."""
        calls = list(self.calls)
        self.calls.clear()
        return calls

    def open(self, host: str | None = None) -> list[FakeConnection]:
        """Connections that are neither closed nor handed over."""
        gone = (ConnectionState.CLOSED, ConnectionState.DETACHED)
        return [it for it in self.connections if it.state not in gone and host in (None, it.host)]

    def control(self) -> FakeConnection:
        """The one connection with requests on it."""
        (connection,) = [it for it in self.open() if it.requests]
        return connection

    def boot(self, *topics: MetadataTopic) -> None:
        """Up to the first metadata."""
        for topic in topics:
            self.metadata.add_topic(topic.name or "", self.clock())
        self.advance()
        self.open()[0].become_ready()
        self.advance()
        self.control().answer(metadata(*topics))
        self.advance()

    def connect(self, node: int) -> None:
        """The wire asks for a connection and gets it."""
        self.tell(FakeEvent(EventKind.NEED_CONNECTION, node=node))
        self.open(f"host{node}")[-1].become_ready()

    def get_id(self, producer_id: int = 7, epoch: int = 0) -> None:
        self.tell(FakeEvent(EventKind.NEED_PRODUCER_ID))
        self.control().answer(InitProducerIdResponse(0, producer_id, epoch))

    def dispose(self) -> None:
        self.wire.dispose()
        self.sender._close_all()


def metadata(*topics: MetadataTopic, brokers: tuple[int, ...] = (1, 2), error_code: int = 0) -> MetadataResponse:
    named = tuple(MetadataBroker(node, f"host{node}", 9092) for node in brokers)
    return MetadataResponse(named, topics, "cluster", 1, 0, error_code, 12)


def topic(name: str = "t", leaders: tuple[int, ...] = (1, 2), epoch: int = 0, error: int = 0) -> MetadataTopic:
    partitions = tuple(MetadataPartition(index, leader, epoch) for index, leader in enumerate(leaders))
    return MetadataTopic(name, () if error else partitions, error, TOPIC_ID)


__all__ = ["MS", "FakeBatch", "FakeConnection", "FakeEvent", "World", "metadata", "parked", "topic"]
