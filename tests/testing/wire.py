# SPDX-License-Identifier: Apache-2.0
"""A client made of bytes: batches, requests and answers written down by hand, so that they can be wrong on purpose.

Nothing here uses the package under test; the checksum comes from PyPI's crc32c.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, replace

from crc32c import crc32c

PRODUCE, FETCH, METADATA, API_VERSIONS, INIT_PRODUCER_ID = 0, 1, 3, 18, 22
TIMEOUT_S = 10.0


def varint(value: int) -> bytes:
    """Zigzag varint."""
    return unsigned(value << 1 if value >= 0 else (-value << 1) - 1)


def unsigned(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def nullable(data: bytes | None) -> bytes:
    return varint(-1) if data is None else varint(len(data)) + data


def record(
    index: int,
    value: bytes | None = b"value",
    key: bytes | None = None,
    delta: int = 0,
    headers: list[tuple[bytes, bytes | None]] | None = None,
) -> bytes:
    pairs = b"".join(nullable(name) + nullable(data) for name, data in headers or [])
    fields = b"\0" + varint(delta) + varint(index) + nullable(key) + nullable(value)
    return sized(fields + varint(len(headers or [])) + pairs)


def sized(fields: bytes) -> bytes:
    return varint(len(fields)) + fields


@dataclass
class Batch:
    """The fields of a batch; None means the right value."""

    records: bytes = b""
    count: int = 1
    base_offset: int = 0
    length: int | None = None
    leader_epoch: int = -1
    magic: int = 2
    crc: int | None = None
    attributes: int = 0
    last_offset_delta: int | None = None
    base_timestamp: int = 1_700_000_000_000
    max_timestamp: int | None = None
    producer_id: int = -1
    producer_epoch: int = -1
    base_sequence: int = -1

    def encode(self) -> bytes:
        last = self.count - 1 if self.last_offset_delta is None else self.last_offset_delta
        newest = self.base_timestamp if self.max_timestamp is None else self.max_timestamp
        covered = struct.pack(
            ">hiqqqhii",
            self.attributes,
            last,
            self.base_timestamp,
            newest,
            self.producer_id,
            self.producer_epoch,
            self.base_sequence,
            self.count,
        )
        covered += self.records
        crc = crc32c(covered) if self.crc is None else self.crc
        length = len(covered) + 9 if self.length is None else self.length
        return struct.pack(">qiibI", self.base_offset, length, self.leader_epoch, self.magic, crc) + covered

    def but(self, **changes: object) -> Batch:
        return replace(self, **changes)


def plain_batch(count: int = 1, **fields: object) -> Batch:
    return Batch(b"".join(record(index, b"value %d" % index) for index in range(count)), count).but(**fields)


def text(value: str | None) -> bytes:
    if value is None:
        return struct.pack(">h", -1)
    return struct.pack(">h", len(value)) + value.encode()


def header(
    api: int, version: int, correlation_id: int, flexible: bool = False, client_id: str | None = "wire"
) -> bytes:
    return struct.pack(">hhi", api, version, correlation_id) + text(client_id) + (b"\0" if flexible else b"")


def framed(frame: bytes) -> bytes:
    return struct.pack(">i", len(frame)) + frame


def produce_v8(parts: list[tuple[str, int, bytes]], acks: int = -1, version: int = 8, correlation_id: int = 1) -> bytes:
    """A Produce request before flexible versions, one topic entry per part."""
    body = text(None) + struct.pack(">hi", acks, 1000) + struct.pack(">i", len(parts))
    for topic, partition, batch in parts:
        body += text(topic) + struct.pack(">i", 1) + struct.pack(">ii", partition, len(batch)) + batch
    return framed(header(PRODUCE, version, correlation_id) + body)


def produce_old(topic: str, partition: int, data: bytes, version: int) -> bytes:
    """A Produce request before version 3, which carries a message set."""
    body = struct.pack(">hii", -1, 1000, 1) + text(topic) + struct.pack(">iii", 1, partition, len(data)) + data
    return framed(header(PRODUCE, version, 1) + body)


def error_old(data: bytes) -> int:
    """The error code of the only partition in a Produce answer before version 3."""
    answer = Answer(data)
    assert answer.take("ii") == (1, 1)
    answer.text()
    return answer.take("iih")[2]


def produce_flexible(
    topic: str | bytes, parts: list[tuple[int, bytes]], version: int = 13, correlation_id: int = 1
) -> bytes:
    """A Produce request from v9 on; ``topic`` is a name, from v13 on an id."""
    name = topic if isinstance(topic, bytes) else unsigned(len(topic) + 1) + topic.encode()
    body = b"\0" + struct.pack(">hi", -1, 1000) + unsigned(2) + name + unsigned(len(parts) + 1)
    for partition, batch in parts:
        body += struct.pack(">i", partition) + unsigned(len(batch) + 1) + batch + b"\0"
    return framed(header(PRODUCE, version, correlation_id, flexible=True) + body + b"\0" + b"\0")


class Answer:
    """Reads an answer field by field."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(">" + layout, self.data, self.at)
        self.at += struct.calcsize(">" + layout)
        return values

    def raw(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def text(self) -> str | None:
        (size,) = self.take("h")
        return None if size < 0 else self.raw(size).decode()

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.raw(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def compact_text(self) -> str | None:
        size = self.unsigned() - 1
        return None if size < 0 else self.raw(size).decode()


@dataclass
class Outcome:
    """One partition of a Produce answer."""

    topic: str | bytes
    partition: int
    error: int
    offset: int
    append_time: int
    start_offset: int
    record_errors: list[tuple[int, str | None]]
    message: str | None
    leader: tuple[int, int] | None = None


def outcomes_v8(data: bytes) -> tuple[list[Outcome], int]:
    """The partitions and the throttle time of a Produce answer v8."""
    answer = Answer(data)
    answer.take("i")
    found = []
    for _ in range(answer.take("i")[0]):
        topic = answer.text()
        for _ in range(answer.take("i")[0]):
            numbers = answer.take("ihqqq")
            errors = [(answer.take("i")[0], answer.text()) for _ in range(answer.take("i")[0])]
            found.append(Outcome(topic or "", *numbers, errors, answer.text()))
    (throttle,) = answer.take("i")
    assert answer.at == len(data)
    return found, throttle


def outcomes_flexible(data: bytes, version: int) -> tuple[list[Outcome], dict[int, tuple[str | None, int]]]:
    """The partitions and the node endpoints of a Produce answer from v9 on."""
    answer = Answer(data)
    answer.take("ib")
    found = []
    for _ in range(answer.unsigned() - 1):
        topic = answer.raw(16) if version >= 13 else answer.compact_text() or ""
        for _ in range(answer.unsigned() - 1):
            numbers = answer.take("ihqqq")
            errors = []
            for _ in range(answer.unsigned() - 1):
                errors.append((answer.take("i")[0], answer.compact_text()))
                answer.unsigned()
            found.append(Outcome(topic, *numbers, errors, answer.compact_text()))
            for _ in range(answer.unsigned()):
                assert answer.unsigned() == 0
                inner = Answer(answer.raw(answer.unsigned()))
                found[-1].leader = inner.take("ii")
        answer.unsigned()
    answer.take("i")
    endpoints = {}
    for _ in range(answer.unsigned()):
        assert answer.unsigned() == 0
        inner = Answer(answer.raw(answer.unsigned()))
        for _ in range(inner.unsigned() - 1):
            (node,) = inner.take("i")
            endpoints[node] = (inner.compact_text(), inner.take("i")[0])
            assert inner.raw(2) == b"\0\0"
    assert answer.at == len(data)
    return found, endpoints


class Wire:
    """A blocking connection; every wait has a deadline."""

    def __init__(self, address: str) -> None:
        host, _, port = address.partition(",")[0].rpartition(":")
        self.sock = socket.create_connection((host, int(port)), TIMEOUT_S)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self) -> bytes:
        """The next answer without its size.

        Raises:
            EOFError: the broker closed the connection.
        """
        return self._exactly(struct.unpack(">i", self._exactly(4))[0])

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise EOFError(f"closed after {len(data)} of {size} bytes")
            data += part
        return data

    def ask(self, data: bytes) -> bytes:
        self.send(data)
        return self.receive()

    def is_closed(self) -> bool:
        """Whether the broker closes the connection without a further byte."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def produce(self, batch: Batch | bytes, topic: str = "t", partition: int = 0) -> Outcome:
        data = batch if isinstance(batch, bytes) else batch.encode()
        found, _ = outcomes_v8(self.ask(produce_v8([(topic, partition, data)])))
        return found[0]

    def produce_set(self, data: bytes, magic: int, topic: str = "t", partition: int = 0) -> int:
        """The error code for a message set."""
        return error_old(self.ask(produce_old(topic, partition, data, 1 + magic)))

    def init_producer_id(self) -> int:
        """A producer id, with InitProducerId v0."""
        answer = Answer(self.ask(framed(header(INIT_PRODUCER_ID, 0, 7) + text(None) + struct.pack(">i", 1000))))
        correlation_id, _, error, producer_id, epoch = answer.take("iihqh")
        assert (correlation_id, error, epoch) == (7, 0, 0)
        return producer_id

    def close(self) -> None:
        self.sock.close()
