# SPDX-License-Identifier: Apache-2.0
"""Serializers against bytes Java's wrote, and the shapes users bring them in."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import kafka
import pytest

from pykafka_fast import serializer as module
from pykafka_fast.errors import SerializationError
from pykafka_fast.serializer import Serializer, adapt

JAVA: dict[str, str | None] = json.loads(
    (Path(__file__).parent.parent / "golden" / "java_serializers.json").read_text())["bytes"]
TEXT = "h\u00e9llo \u4e16\u754c \U0001f600"
UUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
NUMBERS = {"short": (module.ShortSerializer, int), "integer": (module.IntegerSerializer, int),
           "long": (module.LongSerializer, int), "float": (module.FloatSerializer, float),
           "double": (module.DoubleSerializer, float)}
NULLS = {"string": module.StringSerializer, "integer": module.IntegerSerializer, "boolean": module.BooleanSerializer,
         "uuid": module.UUIDSerializer}


def case(name: str) -> tuple[Serializer, Any]:
    """The serializer and the value behind a line of the golden file."""
    kind, _, what = name.partition(" ")
    if kind == "null":
        return NULLS[what](), None
    if kind == "empty":
        return module.StringSerializer(what.removeprefix("string ")), ""
    if kind == "string":
        return module.StringSerializer(what), "h\u00e9llo" if what == "ISO-8859-1" else TEXT
    if kind == "uuid":
        return module.UUIDSerializer(what), UUID
    if kind == "boolean":
        return module.BooleanSerializer(), what == "true"
    if kind == "bytes":
        return module.BytesSerializer(), bytes.fromhex(what)
    cls, read = NUMBERS[kind]
    return cls(), read(what)


@pytest.mark.parametrize("name", JAVA)
def test_bytes_are_javas(name: str) -> None:
    serializer, value = case(name)
    expected = JAVA[name]
    assert serializer.serialize("t", [], value) == (None if expected is None else bytes.fromhex(expected))


@pytest.mark.parametrize(("cls", "value"), [
    (module.StringSerializer, b"x"), (module.StringSerializer, 1), (module.BytesSerializer, "x"),
    (module.IntegerSerializer, 1.0), (module.IntegerSerializer, True), (module.LongSerializer, "1"),
    (module.FloatSerializer, "1"), (module.DoubleSerializer, True), (module.BooleanSerializer, 1),
    (module.UUIDSerializer, str(UUID)),
])
def test_other_types_are_refused(cls: type[Serializer], value: Any) -> None:
    with pytest.raises(TypeError, match=f"got {type(value).__name__}"):
        cls().serialize("t", [], value)


@pytest.mark.parametrize(("cls", "value"), [
    (module.ShortSerializer, 32768), (module.ShortSerializer, -32769), (module.IntegerSerializer, 2**31),
    (module.LongSerializer, 2**63), (module.FloatSerializer, 1e39), (module.DoubleSerializer, 10**400),
])
def test_numbers_that_do_not_fit_are_refused(cls: type[Serializer], value: Any) -> None:
    with pytest.raises(ValueError, match="does not fit in"):
        cls().serialize("t", [], value)


def test_an_unknown_encoding_is_refused_at_once() -> None:
    with pytest.raises(LookupError):
        module.StringSerializer("utf-9")


READY_MADE = [value for name, value in vars(module).items() if name.endswith("Serializer") and name[0] != "_"
              and value is not Serializer]


@pytest.mark.parametrize("cls", READY_MADE)
def test_none_stays_none_everywhere(cls: type[Serializer]) -> None:
    assert cls().serialize("t", [], None) is None
    assert cls().close() is None


def test_buffers_pass_through_uncopied() -> None:
    for data in (b"x", bytearray(b"x"), memoryview(b"x")):
        assert module.BytesSerializer().serialize("t", [], data) is data


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("data", [None, b"\xe9", bytearray(b"b"), memoryview(b"m"), "\xe9t\xe9"])
def test_the_default_of_kafka_python(encoding: str, data: Any) -> None:
    written = module.DefaultSerializer(encoding).serialize("t", [], data)
    assert written == kafka.DefaultSerializer(encoding).serialize("t", [], data)
    assert isinstance(data, str) or written is data
    with pytest.raises(TypeError, match="int"):
        module.DefaultSerializer(encoding).serialize("t", [], 7)


def test_json_is_compact_utf8_and_reads_back() -> None:
    data = {"a": [1, 2.5, None, True], "h\u00e9": "\u4e16"}
    encoded = module.JsonSerializer().serialize("t", [], data)
    assert encoded == '{"a":[1,2.5,null,true],"h\u00e9":"\u4e16"}'.encode()
    assert json.loads(encoded) == data
    assert json.loads(kafka.JsonSerializer().serialize("t", [], data)) == data


def test_json_takes_the_options_of_dumps() -> None:
    assert module.JsonSerializer(default=str, sort_keys=True).serialize("t", [], {"b": UUID, "a": 1}) == (
        b'{"a":1,"b":"%s"}' % str(UUID).encode())
    with pytest.raises(TypeError):
        module.JsonSerializer().serialize("t", [], object())


class Three:
    def serialize(self, topic: str, headers: Any, data: Any) -> bytes:
        headers.append(("schema", b"1"))
        return f"{topic}:{data}".encode()


class Two:
    def serialize(self, topic: str, data: Any) -> bytes:
        return f"{topic}:{data}".encode()


class One:
    def serialize(self, data: Any) -> bytes:
        return f"t:{data}".encode()


class CallableWithSerialize(Three):
    def __call__(self, data: Any) -> bytes:
        raise AssertionError("serialize comes first")


@pytest.mark.parametrize("given", [Three(), Two(), One(), CallableWithSerialize(), lambda data: f"t:{data}".encode(),
                                   lambda topic, headers, data: f"{topic}:{data}".encode(),
                                   lambda data, encoding="utf-8": f"t:{data}".encode(encoding)])
def test_every_shape_is_called_as_it_wants(given: Any) -> None:
    assert adapt(given, "value")("t", [], 5) == b"t:5"


def test_headers_can_be_added_to() -> None:
    headers: list[Any] = []
    adapt(Three(), "key")("t", headers, 1)
    assert headers == [("schema", b"1")]


@pytest.mark.parametrize(("function", "data", "expected"), [
    (str.encode, "x", b"x"), (bytes, [1, 2], b"\1\2"), (json.dumps, [1], "[1]"), (bytes.fromhex, "00ff", b"\x00\xff"),
    (memoryview, b"x", b"x"),
])
def test_functions_of_the_library_work(function: Any, data: Any, expected: Any) -> None:
    assert adapt(function, "value")("t", [], data) == expected


def test_none_reaches_a_callable() -> None:
    assert adapt(lambda data: repr(data).encode(), "value")("t", [], None) == b"None"


def test_kafka_pythons_serializers_work() -> None:
    assert adapt(kafka.JsonSerializer(), "value")("t", [], [1]) == b"[1]"
    assert adapt(kafka.DefaultSerializer(), "value")("t", [], "x") == b"x"


def test_a_failure_names_topic_field_and_type() -> None:
    with pytest.raises(SerializationError, match=r"the key \(uuid.UUID\) of a record for topic 'orders'") as caught:
        adapt(module.StringSerializer(), "key")("orders", [], UUID)
    error = caught.value
    assert (error.topic, error.field, error.data_type) == ("orders", "key", "uuid.UUID")
    assert isinstance(error.__cause__, TypeError)
    assert "expected str" in str(error)


def test_a_serialization_error_of_the_serializer_stays_as_it_is() -> None:
    mine = SerializationError("mine")

    def failing(data: Any) -> bytes:
        raise mine

    with pytest.raises(SerializationError) as caught:
        adapt(failing, "value")("t", [], 1)
    assert caught.value is mine


def test_an_interrupt_is_not_wrapped() -> None:
    def interrupted(data: Any) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(interrupted, "value")("t", [], 1)


def test_what_is_no_serializer_is_refused() -> None:
    with pytest.raises(TypeError, match="value_serializer must be callable or have serialize"):
        adapt(3, "value")
