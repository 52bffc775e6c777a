# SPDX-License-Identifier: Apache-2.0
"""The plain values that go in and out of the producer: records, their headers, partitions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, SupportsIndex, TypeAlias

from .errors import IllegalStateError, InvalidTopicError, KafkaError

if TYPE_CHECKING:
    from _typeshed import SupportsRichComparison

#: What a serialized key, value or header value may be. Keys and values may be other contiguous buffers of single bytes,
#: too; a memoryview of numbers is sent as they lie in memory.
BytesLike: TypeAlias = bytes | bytearray | memoryview
#: One header: its key, and its value or None.
Header: TypeAlias = tuple[str, BytesLike | None]
#: Headers.
HeaderList: TypeAlias = list[Header]
#: Headers as users pass them: lists of one kind of pair are no lists of another for a type checker.
AnyHeaders: TypeAlias = (
    HeaderList | list[tuple[str, bytes]] | list[tuple[str, bytes | None]] | list[tuple[str, None]] |
    list[tuple[str, bytearray]] | list[tuple[str, memoryview]])
#: ``on_delivery(metadata, exception)``; one of the two says how it went, and metadata is never None.
DeliveryCallback: TypeAlias = Callable[[Any, KafkaError | None], object]

#: Level, option and value, as ``socket.setsockopt`` takes them.
SocketOption: TypeAlias = tuple[int, int, int | bytes]

#: The largest partition and the latest timestamp (milliseconds since 1970-01-01 UTC) that the protocol has room for.
PARTITION_MAX = 2**31 - 1
TIMESTAMP_MAX = 2**63 - 1

_TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class TopicPartition(NamedTuple):
    """A topic and a partition of it."""

    topic: str
    partition: int


class Headers(list[Header]):
    """A record's headers: a list of ``(key, value)`` in which a key may occur several times.

    Serializers, interceptors and tracers may change it until the producer has chosen the partition; from then on every
    change raises :class:`~pykafka_fast.errors.IllegalStateError`. A copy is an ordinary, changeable list.
    """

    __slots__ = ("_frozen",)

    def __init__(self, headers: Iterable[Header] = ()) -> None:
        super().__init__(headers)
        self._frozen = False

    @property
    def frozen(self) -> bool:
        """Whether changes are refused."""
        return self._frozen

    def freeze(self) -> None:
        """Refuse every change from now on."""
        self._frozen = True

    def add(self, key: str, value: BytesLike | None) -> Headers:
        """Add a header at the end and return these headers."""
        self.append((key, value))
        return self

    def last_header(self, key: str) -> Header | None:
        """The last header with this key, or None."""
        return next((header for header in reversed(self) if header[0] == key), None)

    def headers(self, key: str) -> HeaderList:
        """All headers with this key, in order."""
        return [header for header in self if header[0] == key]

    def remove(self, key: str | Header) -> None:
        """Remove every header with this key; given a whole header, its first occurrence as a list does."""
        self._check()
        if isinstance(key, str):
            super().__setitem__(slice(None), [header for header in self if header[0] != key])
        else:
            super().remove(key)

    def _check(self) -> None:
        if self._frozen:
            raise IllegalStateError("the headers cannot be changed once the record has been sent; use a new record")

    def append(self, header: Header) -> None:
        """Add a header at the end."""
        self._check()
        super().append(header)

    def extend(self, headers: Iterable[Header]) -> None:
        """Add several headers at the end."""
        self._check()
        super().extend(headers)

    def insert(self, index: SupportsIndex, header: Header) -> None:
        """Put a header before the one at ``index``."""
        self._check()
        super().insert(index, header)

    def pop(self, index: SupportsIndex = -1) -> Header:
        """Remove the header at ``index`` and return it."""
        self._check()
        return super().pop(index)

    def clear(self) -> None:
        """Remove all headers."""
        self._check()
        super().clear()

    def sort(self, *, key: Callable[[Header], SupportsRichComparison] | None = None, reverse: bool = False) -> None:
        """Order the headers, by key and value unless told otherwise."""
        self._check()
        super().sort(key=key if key is not None else _sort_key, reverse=reverse)

    def reverse(self) -> None:
        """Turn the order round."""
        self._check()
        super().reverse()

    def __setitem__(self, index: Any, value: Any) -> None:
        self._check()
        super().__setitem__(index, value)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        self._check()
        super().__delitem__(index)

    def __iadd__(self, headers: Iterable[Header]) -> Headers:  # type: ignore[override,misc]  # list's is generic
        self._check()
        super().extend(headers)
        return self

    def __imul__(self, count: SupportsIndex) -> Headers:
        self._check()
        super().__imul__(count)
        return self

    def __reduce__(self) -> tuple[type[Headers], tuple[HeaderList]]:
        return Headers, (list(self),)


def _sort_key(header: Header) -> tuple[str, bytes]:
    return header[0], b"" if header[1] is None else bytes(header[1])


class ProducerRecord:
    """What ``send`` is to send: a topic, and what else is known.

    Args:
        topic: where to send it.
        partition: which partition; None lets the partitioner choose.
        headers: ``(key, value)`` pairs, str and bytes or None; copied.
        key: before serialization.
        value: before serialization; None is a tombstone.
        timestamp: milliseconds since 1970-01-01 UTC; None means the time of ``send``.

    Raises:
        TypeError: topic is not a str; partition or timestamp is not an int; a header is not such a pair.
        ValueError: partition or timestamp is negative, or does not fit in 32 or 64 bits.

    Treat it as immutable, headers excepted; :meth:`replace` makes a changed copy.
    """

    __slots__ = ("headers", "key", "partition", "timestamp", "topic", "value")

    topic: str
    partition: int | None
    headers: Headers
    key: Any
    value: Any
    timestamp: int | None

    def __init__(self, topic: str, partition: int | None = None, headers: Iterable[Header] | None = None,
                 key: Any = None, value: Any = None, timestamp: int | None = None) -> None:
        if not isinstance(topic, str):
            raise TypeError(f"topic must be a str, not {type(topic).__name__}")
        self.topic = str.__str__(topic)  # of a subclass, a plain one
        self.partition = None if partition is None else whole("partition", partition, PARTITION_MAX)
        self.headers = Headers() if headers is None else Headers(_check_headers(headers))
        self.key = key
        self.value = value
        self.timestamp = None if timestamp is None else whole("timestamp", timestamp, TIMESTAMP_MAX)

    def freeze(self) -> None:
        """Refuse changes of the headers from now on; the producer calls it when it has chosen the partition."""
        self.headers.freeze()

    def replace(self, **changes: Any) -> ProducerRecord:
        """A copy with the given constructor arguments changed; its headers can be changed again."""
        arguments = {name: getattr(self, name) for name in self.__slots__}
        return ProducerRecord(**(arguments | changes))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ProducerRecord):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # its headers change

    def __repr__(self) -> str:
        return (f"ProducerRecord(topic={self.topic!r}, partition={self.partition!r}, headers={list(self.headers)!r}, "
                f"key={self.key!r}, value={self.value!r}, timestamp={self.timestamp!r})")


def check_topic(topic: str) -> None:
    """Raise InvalidTopicError unless Kafka allows ``topic`` as a name."""
    if not _TOPIC_NAME.fullmatch(topic) or topic in (".", ".."):
        raise InvalidTopicError(
            f"{topic[:300]!r} is not a topic name: 1 to 249 of a-z A-Z 0-9 . _ - are allowed, '.' and '..' are not")


def whole(what: str, number: Any, most: int) -> int:
    """``number`` as an int, be it one or what stands for one as numpy's do.

    Raises:
        TypeError: it is no whole number, or it is a bool.
        ValueError: it is not from 0 to ``most``.
    """
    if isinstance(number, bool) or not hasattr(number, "__index__"):
        raise TypeError(f"{what} must be an int or None, not {type(number).__name__}")
    found = int(number.__index__())
    if not 0 <= found <= most:
        raise ValueError(f"{what}={found} must be from 0 to {most}")
    return found


def _check_headers(headers: Iterable[Header]) -> list[Header]:
    checked = list(headers)
    for index, header in enumerate(checked):
        check_header(header, index)
    return checked


def check_header(header: object, index: int) -> None:
    """Raise TypeError unless ``header`` is a pair of a str and bytes or None; ``index`` is its place in the list."""
    if not isinstance(header, tuple) or len(header) != 2:
        _refuse_header(index, f"is {header!r}, not a tuple of key and value")
    key, value = header
    if not isinstance(key, str):
        _refuse_header(index, f"has a key of type {type(key).__name__}, not str")
    if value is not None and not isinstance(value, (bytes, bytearray, memoryview)):
        _refuse_header(index, f"({key!r}) has a value of type {type(value).__name__}, not bytes or None")


def _refuse_header(index: int, why: str) -> NoReturn:
    raise TypeError(f"header {index} {why}")
