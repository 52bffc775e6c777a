# SPDX-License-Identifier: Apache-2.0
"""An exporter of Arrow's C data interface without a library: arrays as this test likes them, sound or not."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, py_object, pythonapi
from typing import Any

RELEASE = CFUNCTYPE(None, c_void_p)


class Schema(Structure):
    _fields_ = (("format", c_char_p), ("name", c_char_p), ("metadata", c_char_p), ("flags", c_int64),
                ("n_children", c_int64), ("children", c_void_p), ("dictionary", c_void_p), ("release", c_void_p),
                ("private_data", c_void_p))  # fmt: skip


class Array(Structure):
    _fields_ = (("length", c_int64), ("null_count", c_int64), ("offset", c_int64), ("n_buffers", c_int64),
                ("n_children", c_int64), ("buffers", POINTER(c_void_p)), ("children", c_void_p),
                ("dictionary", c_void_p), ("release", c_void_p), ("private_data", c_void_p))  # fmt: skip


class Stream(Structure):
    _fields_ = (("get_schema", c_void_p), ("get_next", c_void_p), ("get_last_error", c_void_p), ("release", c_void_p),
                ("private_data", c_void_p))  # fmt: skip


pythonapi.PyCapsule_New.restype = py_object
pythonapi.PyCapsule_New.argtypes = [c_void_p, c_char_p, c_void_p]
_kept: dict[int, Any] = {}  # what is not released yet, by the address of its structure's first copy
_names = (b"arrow_schema", b"arrow_array", b"arrow_array_stream")


@RELEASE
def _release_array(address: int) -> None:
    array = Array.from_address(address)
    _kept.pop(array.private_data)
    array.release = None


@RELEASE
def _release_schema(address: int) -> None:
    Schema.from_address(address).release = None


def release(array: Array) -> None:
    """As whoever receives it does."""
    _release_array(ctypes.addressof(array))


def unreleased() -> int:
    """Arrays and streams that nobody has released."""
    return len(_kept)


def capsule(structure: Structure, name: bytes) -> Any:
    return pythonapi.PyCapsule_New(ctypes.addressof(structure), name, None)


class Exported:
    """One array: a format, its buffers (bytes or None), a length and an offset."""

    def __init__(self, format: bytes, buffers: list[bytes | None], length: int, offset: int = 0, nulls: int = -1,
                 dictionary: bool = False) -> None:
        self.buffers, self.length, self.offset, self.nulls = buffers, length, offset, nulls
        self.schema = Schema(format=format, release=ctypes.cast(_release_schema, c_void_p))
        self.schema.dictionary = ctypes.addressof(self.schema) if dictionary else None

    def fill(self, array: Array) -> None:
        held = [None if b is None else ctypes.create_string_buffer(b, len(b)) for b in self.buffers]
        pointers = (c_void_p * max(1, len(held)))(*[None if b is None else ctypes.addressof(b) for b in held])
        key = ctypes.addressof(pointers)
        _kept[key] = (held, pointers)
        array.length, array.offset, array.null_count = self.length, self.offset, self.nulls
        array.n_buffers, array.buffers = len(held), ctypes.cast(pointers, POINTER(c_void_p))
        array.release, array.private_data = ctypes.cast(_release_array, c_void_p), key

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[Any, Any]:
        self.array = Array()
        self.fill(self.array)
        return capsule(self.schema, _names[0]), capsule(self.array, _names[1])


class Chunks:
    """A stream of such arrays; after `fail_after` of them it fails."""

    def __init__(self, arrays: Iterable[Exported], schema: Schema, fail_after: int | None = None) -> None:
        self.arrays, self.schema, self.given = list(arrays), schema, 0
        self.fail_after = len(self.arrays) + 1 if fail_after is None else fail_after
        getter = CFUNCTYPE(c_int, c_void_p, c_void_p)
        self.functions = (getter(self._get_schema), getter(self._get_next),
                          CFUNCTYPE(c_void_p, c_void_p)(self._last_error), RELEASE(self._release))
        self.released = False
        self.text = ctypes.create_string_buffer(b"the disk is on fire")

    def _get_schema(self, stream: int, to: int) -> int:
        ctypes.memmove(to, ctypes.addressof(self.schema), ctypes.sizeof(Schema))
        return 0

    def _get_next(self, stream: int, to: int) -> int:
        if self.given >= self.fail_after:
            return 5
        array = Array.from_address(to)
        array.release = None
        if self.given < len(self.arrays):
            self.arrays[self.given].fill(array)
        self.given += 1
        return 0

    def _last_error(self, stream: int) -> int:
        return ctypes.addressof(self.text)

    def _release(self, stream: int) -> None:
        self.released = True
        Stream.from_address(stream).release = None

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        self.stream = Stream(*[ctypes.cast(function, c_void_p).value for function in self.functions])
        return capsule(self.stream, _names[2])


def bits(rows: list[Any], before: int = 0) -> bytes:
    """A validity bitmap, with `before` rows that are null in front."""
    flags = [False] * before + [row is not None for row in rows]
    return bytes(sum(flag << i for i, flag in enumerate(flags[at : at + 8])) for at in range(0, len(flags), 8))


def binary(rows: list[bytes | None], format: bytes = b"z", before: int = 0) -> Exported:
    """Offsets and data (formats z, u, Z, U), with `before` rows of rubbish in front that the offset passes over."""
    data, offsets = b"?" * (3 * before), [3 * i for i in range(before)]
    for row in rows:
        offsets.append(len(data))
        data += b"junk" if row is None else row
    packed = struct.pack(f"<{len(offsets) + 1}{'q' if format in (b'Z', b'U') else 'i'}", *offsets, len(data))
    return Exported(format, [bits(rows, before), packed, data], len(rows), before)


def views(rows: list[bytes | None], format: bytes = b"vz", before: int = 0) -> Exported:
    """Views (formats vz, vu) into two buffers, taken in turn."""
    buffers, packed = [b"..", b""], b"\xff" * (16 * before)
    for number, row in enumerate(rows):
        if row is None:
            packed += b"\xee" * 16
        elif len(row) <= 12:
            packed += struct.pack("<i12s", len(row), row)
        else:
            packed += struct.pack("<i4sii", len(row), row[:4], number % 2, len(buffers[number % 2]))
            buffers[number % 2] += row
    sizes = struct.pack("<2q", *map(len, buffers))
    return Exported(format, [bits(rows, before), packed, *buffers, sizes], len(rows), before)


def numbers(rows: list[int | None], format: bytes = b"l", before: int = 0) -> Exported:
    """Whole numbers (formats c, s, i, l, and without a sign C, S, I, L), or times of 8 bytes (ts..)."""
    size = {b"c": 1, b"s": 2, b"i": 4}.get(format.lower(), 8)
    given = [*[-7] * before, *[-9 if row is None else row for row in rows]]
    packed = b"".join((number % (1 << 8 * size)).to_bytes(size, "little") for number in given)
    return Exported(format, [bits(rows, before), packed], len(rows), before)


def chunked(arrays: list[Exported], fail_after: int | None = None) -> Chunks:
    """A stream of these arrays."""
    return Chunks(arrays, arrays[0].schema, fail_after)
