# SPDX-License-Identifier: Apache-2.0
"""Records and headers."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import kafka
import pytest

from pykafka_fast.errors import IllegalStateError
from pykafka_fast.types import Headers, ProducerRecord, TopicPartition

CHANGES: list[Callable[[Headers], Any]] = [
    lambda headers: headers.add("k", b"v"),
    lambda headers: headers.append(("k", b"v")),
    lambda headers: headers.extend([("k", b"v")]),
    lambda headers: headers.insert(0, ("k", b"v")),
    lambda headers: headers.remove("a"),
    lambda headers: headers.remove(("a", b"1")),
    lambda headers: headers.pop(),
    lambda headers: headers.clear(),
    lambda headers: headers.sort(),
    lambda headers: headers.reverse(),
    lambda headers: headers.__setitem__(0, ("k", b"v")),
    lambda headers: headers.__setitem__(slice(0, 1), []),
    lambda headers: headers.__delitem__(0),
    lambda headers: headers.__iadd__([("k", b"v")]),
    lambda headers: headers.__imul__(2),
]


def three() -> Headers:
    return Headers([("b", b"0"), ("a", b"1"), ("a", None)])


def test_topic_partitions_equal_kafka_pythons() -> None:
    assert TopicPartition("t", 3) == kafka.TopicPartition("t", 3)
    assert TopicPartition("t", 3).partition == 3


def test_headers_are_an_ordered_multi_map() -> None:
    headers = three()
    assert headers.last_header("a") == ("a", None)
    assert headers.last_header("x") is None
    assert headers.headers("a") == [("a", b"1"), ("a", None)]
    assert headers.add("c", b"") is headers
    headers.remove("a")
    assert headers == [("b", b"0"), ("c", b"")]
    headers.remove("never there")
    headers.remove(("c", b""))
    assert headers == [("b", b"0")]


def test_headers_sort_by_key_and_value() -> None:
    headers = three()
    headers.sort()
    assert headers == [("a", None), ("a", b"1"), ("b", b"0")]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_every_way_to_change_headers_works_until_they_are_frozen(number: int) -> None:
    change, headers = CHANGES[number], three()
    change(headers)
    assert headers != three()
    headers = three()
    headers.freeze()
    assert headers.frozen
    with pytest.raises(IllegalStateError, match="headers cannot be changed"):
        change(headers)
    assert headers == three()


def test_no_method_that_changes_a_list_was_forgotten() -> None:
    changing = {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort", "__delitem__", "__iadd__",
                "__imul__", "__setitem__"}
    assert changing <= set(vars(Headers))
    reading = {"copy", "count", "index"}
    assert {name for name in dir(list) if not name.startswith("_")} == {n for n in changing if n[0] != "_"} | reading


def test_a_copy_of_frozen_headers_can_be_changed() -> None:
    headers = three()
    headers.freeze()
    for twin in (copy.copy(headers), pickle.loads(pickle.dumps(headers)), Headers(headers)):
        twin.append(("k", b"v"))
        assert twin[:3] == three()


def test_a_record_has_what_it_was_given() -> None:
    record = ProducerRecord("t", 1, [("h", None)], "key", "value", 0)
    assert (record.topic, record.partition, record.key, record.value, record.timestamp) == ("t", 1, "key", "value", 0)
    assert record.headers == [("h", None)]
    bare = ProducerRecord("t")
    assert (bare.partition, bare.key, bare.value, bare.timestamp, bare.headers) == (None, None, None, None, [])


@pytest.mark.parametrize(("arguments", "error", "says"), [
    ({"topic": None}, TypeError, "topic must be a str, not NoneType"),
    ({"topic": b"t"}, TypeError, "bytes"),
    ({"partition": -1}, ValueError, "partition=-1 must be from 0 to 2147483647"),
    ({"partition": 1.0}, TypeError, "partition must be an int or None, not float"),
    ({"partition": True}, TypeError, "bool"),
    ({"timestamp": -1}, ValueError, "timestamp"),
    ({"timestamp": 1.5}, TypeError, "timestamp"),
    ({"headers": [("a", b""), ("k", "v")]}, TypeError, r"header 1 \('k'\) has a value of type str"),
    ({"headers": [(b"k", b"v")]}, TypeError, "key of type bytes, not str"),
    ({"headers": [["k", b"v"]]}, TypeError, "not a tuple"),
    ({"headers": [("k", b"v", 1)]}, TypeError, "not a tuple"),
    ({"headers": {"k": b"v"}}, TypeError, "not a tuple"),
])
def test_a_record_refuses_what_cannot_be_sent(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        ProducerRecord(**({"topic": "t"} | arguments))


def test_a_record_copies_its_headers_and_freezes_only_the_copy() -> None:
    given = [("a", b"1")]
    record = ProducerRecord("t", headers=given)
    given.append(("b", b"2"))
    assert record.headers == [("a", b"1")]
    record.headers.append(("c", b"3"))
    record.freeze()
    with pytest.raises(IllegalStateError):
        record.headers.append(("d", b"4"))
    given.append(("e", b"5"))


def test_replace_makes_a_changeable_copy() -> None:
    record = ProducerRecord("t", 1, [("a", b"1")], "k", "v", 5)
    record.freeze()
    other = record.replace(value="w", partition=None)
    other.headers.append(("b", b"2"))
    assert other == ProducerRecord("t", None, [("a", b"1"), ("b", b"2")], "k", "w", 5)
    assert record == ProducerRecord("t", 1, [("a", b"1")], "k", "v", 5)
    assert record != other
    assert record != "t"


def test_a_record_has_no_room_for_misspelt_attributes() -> None:
    with pytest.raises(AttributeError):
        ProducerRecord("t").timestamp_ms = 3  # type: ignore[attr-defined]


def test_a_record_shows_how_to_make_it() -> None:
    record = ProducerRecord("t", 1, [("a", b"1")], b"k", None, 5)
    assert eval(repr(record)) == record
