# SPDX-License-Identifier: Apache-2.0
"""From a frame to an answer: headers, versions, handlers, and the script's say in it."""

from __future__ import annotations

import logging
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import KafkaProtocolError
from ..protocol.api import APIS, ApiKey, api_name
from ..protocol.header import RequestHeader, encode_response
from .batch import BatchHeader
from .cluster import Cluster
from .connection import Answer, Connection
from .handlers import HANDLERS, Context, Waiting
from .handlers.api_versions import unsupported
from .script import Call, Reply, Script

__all__ = ["BrokerService", "Request"]

log = logging.getLogger(__name__)
_REMEMBERED_REQUESTS = 100_000
_FIRST_WITH_BATCHES = 3
_CORRELATION_ID = struct.Struct(">i")


@dataclass(frozen=True, slots=True)
class Request:
    """A request the broker read.

    Attributes:
        api: name, for example ``"Produce"``.
        version: version of the request.
        node: node id it was sent to.
        connection: number of the connection; connections are counted from 1 over all nodes.
        client_id: what the client calls itself.
        correlation_id: the client's number of the request.
        time: when it had been read, on ``time.monotonic()``.
        size: bytes, without the frame size.
        partitions: (topic, partition) of everything it was about; partition None where it is about whole topics.
        batches: of a Produce request, the header of each batch as it stood in the request, written or not, in the
            order of ``partitions``; None for what is no batch.
        records: records appended by it.
        acks: of a Produce request, else None.
    """

    api: str
    version: int
    node: int
    connection: int
    client_id: str | None
    correlation_id: int
    time: float
    size: int
    partitions: tuple[tuple[str, int | None], ...]
    batches: tuple[BatchHeader | None, ...]
    records: int
    acks: int | None


class BrokerService:
    """Answers requests. Implements :class:`pykafka_fast.testing.server.Service`.

    Attributes:
        changed: guards the cluster and what is noted; notified after every request.
    """

    def __init__(self, cluster: Cluster, script: Script) -> None:
        self.cluster = cluster
        self.script = script
        self.changed = threading.Condition(threading.RLock())
        self.violations: list[str] = []
        self.requests: deque[Request] = deque(maxlen=_REMEMBERED_REQUESTS)
        self.request_counts: Counter[str] = Counter()
        self.versions = {node_id: served_versions() for node_id in cluster.nodes}
        self.held: set[tuple[int | None, int | None]] = set()  # (API, node), None for all
        self.muted: set[int | None] = set()  # nodes, None for all
        self.split: int | None = None

    def is_held(self, api: int, node_id: int) -> bool:
        """Whether answers are being held back."""
        held = self.held
        return bool(held) and any(a in (None, api) and n in (None, node_id) for a, n in held)

    def is_muted(self, node_id: int) -> bool:
        """Whether nothing is to be read from clients of this node."""
        return bool(self.muted) and (None in self.muted or node_id in self.muted)

    def split_size(self) -> int | None:
        """Bytes per system call when answers are sent."""
        return self.split

    def bad_frame(self, connection: Connection, problem: str) -> None:
        """Note that a client broke the framing."""
        with self.changed:
            self.violation(f"connection {connection.number}", problem + "; disconnected")
            self.changed.notify_all()

    def violation(self, where: str, problem: str) -> None:
        """Note, and log, what a client did wrong."""
        text = f"{where}: {problem}"
        log.warning("%s", text)
        self.violations.append(text)

    def answer(self, connection: Connection, frame: bytearray) -> Answer | None:
        """The answer to one request, None if it wants none."""
        with self.changed:
            try:
                header, offset = RequestHeader.decode(frame)
            except KafkaProtocolError as error:
                self.violation(f"connection {connection.number}", f"{error}; disconnected")
                self.changed.notify_all()
                return _hang_up(-1)
            context = self._context(connection, header, frame, offset)
            try:
                return self._answer(context)
            except KafkaProtocolError as error:
                context.violation(f"{error}; disconnected")
                return _hang_up(header.api)
            finally:
                self._note(context)

    def _context(self, connection: Connection, header: RequestHeader, frame: bytearray, offset: int) -> Context:
        where = f"{api_name(header.api)} v{header.version} from {header.client_id!r}, connection {connection.number}"
        throttle = self.script.take("throttle", header.api, connection.node_id)
        return Context(
            header=header,
            body=memoryview(frame),
            offset=offset,
            connection=connection.number,
            node=self.cluster.nodes[connection.node_id],
            cluster=self.cluster,
            script=self.script,
            versions=self.versions[connection.node_id],
            throttle_ms=throttle.amount if isinstance(throttle, Reply) else 0,
            violation=lambda problem: self.violation(where, problem),
        )

    def _note(self, context: Context) -> None:
        header = context.header
        self.request_counts[api_name(header.api)] += 1
        self.requests.append(
            Request(
                api=api_name(header.api),
                version=header.version,
                node=context.node.node_id,
                connection=context.connection,
                client_id=header.client_id,
                correlation_id=header.correlation_id,
                time=context.received,
                size=len(context.body),
                partitions=tuple(context.partitions),
                batches=tuple(context.batches),
                records=context.record_count,
                acks=context.acks,
            )
        )
        self.changed.notify_all()

    def _answer(self, context: Context) -> Answer | None:
        api, version = context.header.api, context.version
        handler = HANDLERS.get(api)
        supported = context.versions.get(api)
        if handler is None or supported is None:
            context.violation("an API this broker does not list; disconnected")
            return _hang_up(api)
        in_range = supported[0] <= version <= supported[1] and version <= APIS[api].max_version
        if not in_range and api == ApiKey.API_VERSIONS:
            return self._finish(context, unsupported(context))
        if not in_range:
            context.violation(f"this broker speaks versions {supported[0]}-{supported[1]}; disconnected")
            return _hang_up(api)
        node_id = context.node.node_id
        call = self.script.take("call", api, node_id)
        if isinstance(call, Call):
            call.action()
        cut = self.script.take("cut before", api, node_id)
        if cut is not None:
            return _hang_up(api, bool(isinstance(cut, Reply) and cut.amount))
        body = handler(context)
        cut = self.script.take("cut after", api, node_id)
        if cut is not None:
            return _hang_up(api, bool(isinstance(cut, Reply) and cut.amount))
        if body is None:
            return _hang_up(api) if context.close else None
        if self.script.take("silence", api, node_id) is not None:
            return Answer(api)
        return self._finish(context, body)

    def _finish(self, context: Context, body: bytes | Waiting) -> Answer:
        """Frame the body and let the script change what is sent and when."""
        api, node_id = context.header.api, context.node.node_id
        changes: list[Callable[[bytes], bytes]] = []
        corrupt = self.script.take("corrupt", api, node_id)
        if isinstance(corrupt, Reply) and corrupt.corrupt is not None:
            change, correlation_id = corrupt.corrupt, context.header.correlation_id
            changes.append(lambda data: change(correlation_id, data))
        truncate = self.script.take("truncate", api, node_id)
        if isinstance(truncate, Reply):
            keep = truncate.amount
            changes.append(lambda data: data[:keep])
        delay = self.script.take("delay", api, node_id)
        due = context.received + delay.amount / 1000 if isinstance(delay, Reply) else 0.0

        def framed(plain: bytes) -> bytes:
            data = encode_response(api, context.version, context.header.correlation_id, plain)
            for apply in changes:
                data = apply(data)
            return data

        answer = Answer(api, due=due, close=truncate is not None)
        if isinstance(body, Waiting):
            answer.retry, answer.deadline = self._locked(body, framed), body.deadline
        else:
            answer.data = framed(body)
        return answer

    def _locked(self, waiting: Waiting, framed: Callable[[bytes], bytes]) -> Callable[[bool], bytes | None]:
        def retry(last_chance: bool) -> bytes | None:
            with self.changed:
                plain = waiting.retry(last_chance)
            return None if plain is None else framed(plain)

        return retry


def served_versions() -> dict[int, tuple[int, int]]:
    """API to the oldest and newest version implemented here; message sets are for brokers that play an old release."""
    versions = {int(spec.key): (spec.min_version, spec.max_version) for spec in APIS.values()}
    versions[ApiKey.PRODUCE] = (_FIRST_WITH_BATCHES, APIS[ApiKey.PRODUCE].max_version)
    return versions


def wrong_correlation_id(delta: int) -> Callable[[int, bytes], bytes]:
    """A corruption that adds ``delta`` to the correlation id."""

    def corrupt(correlation_id: int, reply: bytes) -> bytes:
        changed = (correlation_id + delta + 0x80000000) % 0x100000000 - 0x80000000
        return reply[:4] + _CORRELATION_ID.pack(changed) + reply[8:]

    return corrupt


def _hang_up(api: int, reset: bool = False) -> Answer:
    return Answer(api, b"", close=True, reset=reset)
