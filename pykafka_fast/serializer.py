# SPDX-License-Identifier: Apache-2.0
"""Serializers: ready-made ones, byte for byte what Java's write, and the door for those users bring."""

from __future__ import annotations

import codecs
import json
import struct
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias

from .arity import takes
from .errors import SerializationError
from .types import BytesLike, HeaderList

#: What the producer calls: topic, headers (may be added to), data.
SerializeFunction: TypeAlias = Callable[[str, HeaderList, Any], BytesLike | None]


class Serializer(ABC):
    """Turns keys or values into bytes. Called by every thread that sends, on that thread."""

    @abstractmethod
    def serialize(self, topic: str, headers: HeaderList, data: Any) -> BytesLike | None:
        """Bytes of ``data``; None stays None. Headers may be added to ``headers``."""

    def close(self) -> None:  # noqa: B027  # most have nothing to close
        """Called once, when the producer is closed."""


class BytesSerializer(Serializer):
    """Passes bytes, bytearray, memoryview and None through."""

    def serialize(self, topic: str, headers: HeaderList, data: Any) -> BytesLike | None:
        """The data itself."""
        if data is None or isinstance(data, (bytes, bytearray, memoryview)):
            return data
        raise _wrong_type("bytes, bytearray, memoryview", data)


class StringSerializer(Serializer):
    """Encodes str, as UTF-8 unless told otherwise.

    ``'utf-16'`` and ``'utf-32'`` without a byte order mean what they mean in Java: big-endian, UTF-16 with a mark.
    """

    def __init__(self, encoding: str = "utf-8") -> None:
        name = codecs.lookup(encoding).name
        self.encoding = encoding
        self._codec = {"utf-16": "utf-16-be", "utf-32": "utf-32-be"}.get(name, name)
        self._mark = codecs.BOM_UTF16_BE if name == "utf-16" else b""

    def serialize(self, topic: str, headers: HeaderList, data: Any) -> bytes | None:
        """The encoded text."""
        if data is None:
            return None
        if not isinstance(data, str):
            raise _wrong_type("str", data)
        encoded = data.encode(self._codec)
        return self._mark + encoded if self._mark and data else encoded


class DefaultSerializer(Serializer):
    """kafka-python's: encodes str, passes bytes, bytearray, memoryview and None through."""

    def __init__(self, encoding: str = "utf-8") -> None:
        codecs.lookup(encoding)
        self.encoding = encoding

    def serialize(self, topic: str, headers: HeaderList, data: Any) -> BytesLike | None:
        """The data itself, or the encoded text."""
        if data is None or isinstance(data, (bytes, bytearray, memoryview)):
            return data
        if not isinstance(data, str):
            raise _wrong_type("str, bytes, bytearray, memoryview", data)
        return data.encode(self.encoding)


class UUIDSerializer(StringSerializer):
    """Writes a ``uuid.UUID`` as its 36 characters."""

    def serialize(self, topic: str, headers: HeaderList, data: Any) -> bytes | None:
        """The text of the UUID, encoded."""
        if data is None:
            return None
        if not isinstance(data, uuid.UUID):
            raise _wrong_type("uuid.UUID", data)
        return super().serialize(topic, headers, str(data))


class _NumberSerializer(Serializer):
    _format: struct.Struct
    _accepts: tuple[type, ...] = (int,)

    def serialize(self, topic: str, headers: HeaderList, data: Any) -> bytes | None:
        """The number, most significant byte first."""
        if data is None:
            return None
        if isinstance(data, bool) or not isinstance(data, self._accepts):
            raise _wrong_type(" or ".join(t.__name__ for t in self._accepts), data)
        try:
            return self._format.pack(data)
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{data!r} does not fit in {self._format.size} bytes") from error


class ShortSerializer(_NumberSerializer):
    """An int of 16 bits."""

    _format = struct.Struct(">h")


class IntegerSerializer(_NumberSerializer):
    """An int of 32 bits."""

    _format = struct.Struct(">i")


class LongSerializer(_NumberSerializer):
    """An int of 64 bits."""

    _format = struct.Struct(">q")


class FloatSerializer(_NumberSerializer):
    """A float of 32 bits (IEEE 754); Python's is rounded to it."""

    _format = struct.Struct(">f")
    _accepts = (float, int)


class DoubleSerializer(_NumberSerializer):
    """A float of 64 bits (IEEE 754)."""

    _format = struct.Struct(">d")
    _accepts = (float, int)


class BooleanSerializer(Serializer):
    """True as byte 1, False as byte 0."""

    def serialize(self, topic: str, headers: HeaderList, data: Any) -> bytes | None:
        """One byte."""
        if data is None:
            return None
        if not isinstance(data, bool):
            raise _wrong_type("bool", data)
        return b"\x01" if data else b"\x00"


class JsonSerializer(Serializer):
    """JSON in UTF-8 without blanks; None stays None, a tombstone.

    Args:
        options: keyword arguments of ``json.dumps``, for example ``default`` or ``sort_keys``.
    """

    def __init__(self, **options: Any) -> None:
        encoder: type[json.JSONEncoder] = options.pop("cls", json.JSONEncoder)
        defaults: dict[str, Any] = {"separators": (",", ":"), "ensure_ascii": False}
        self._dumps = encoder(**(defaults | options)).encode

    def serialize(self, topic: str, headers: HeaderList, data: Any) -> bytes | None:
        """The JSON text, encoded."""
        return None if data is None else self._dumps(data).encode()


def _wrong_type(wanted: str, data: object) -> TypeError:
    return TypeError(f"expected {wanted} or None, got {_type_name(data)}")


def _type_name(data: object) -> str:
    cls = type(data)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def adapt(serializer: Any, field: Literal["key", "value"]) -> SerializeFunction:
    """One way to call every shape of serializer, found out once.

    Args:
        serializer: an object with ``serialize(topic, headers, data)``, ``serialize(topic, data)`` or
            ``serialize(data)``, or a callable ``f(data)`` (``f(topic, headers, data)`` if it takes no fewer).
        field: what it serializes, for messages.

    Returns:
        ``f(topic, headers, data)``. Its failures are :class:`~pykafka_fast.errors.SerializationError`, with the
        serializer's exception as cause.
    """
    method = getattr(serializer, "serialize", None)
    if callable(method):
        call = _call_with(method, (3, 2, 1))
    elif callable(serializer):
        call = _call_with(serializer, (1, 3, 2))
    else:
        raise TypeError(f"{field}_serializer must be callable or have serialize(), not {_type_name(serializer)}")

    def serialize(topic: str, headers: HeaderList, data: Any) -> BytesLike | None:
        try:
            return call(topic, headers, data)
        except SerializationError:
            raise
        except Exception as error:
            raise failure(topic, field, data, error) from error

    return serialize


def failure(topic: str, field: Literal["key", "value"], data: Any, error: Exception) -> SerializationError:
    """What is raised when a serializer raised ``error``."""
    data_type = _type_name(data)
    return SerializationError(
        f"cannot serialize the {field} ({data_type}) of a record for topic {topic!r}: "
        f"{type(error).__name__}: {error}", topic=topic, field=field, data_type=data_type)


def plain(serializer: Any) -> Callable[[Any], Any] | None:
    """The serializer as ``f(data)``, if it takes no more or wants neither topic nor headers; else None."""
    if type(serializer).__module__ == __name__:
        return partial(serializer.serialize, "", [])
    method = getattr(serializer, "serialize", None)
    if callable(method):
        return None if takes(method, 3) or takes(method, 2) else method
    return serializer if takes(serializer, 1) else None


def _call_with(function: Callable[..., Any], counts: tuple[int, int, int]) -> SerializeFunction:
    """Call with the first number of arguments in ``counts`` that the function takes."""
    count = next((count for count in counts if takes(function, count)), counts[0])
    if count == 3:
        return function
    if count == 2:
        return lambda topic, _headers, data: function(topic, data)
    return lambda _topic, _headers, data: function(data)
