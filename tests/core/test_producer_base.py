# SPDX-License-Identifier: Apache-2.0
"""The fast path of send(): what it does itself, what it leaves to Python, and that it loses no reference."""

from __future__ import annotations

import functools
import gc
import inspect
import random
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from pykafka_fast._core.future import RecordFuture
from pykafka_fast._core.producer_base import CLOSED, EXHAUSTED, NEED_METADATA, TOO_LARGE, ProducerBase
from pykafka_fast.errors import ClosedForcefullyError
from tests.core.stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.end()


def callback(*args: Any) -> None:
    pass


# Every argument away from its default, one at a time and together.
SENDS: list[dict[str, Any]] = [
    {"value": b"v"},
    {"value": b"v", "key": b"k"},
    {"key": b"k"},
    {"value": bytearray(b"v"), "key": memoryview(b"k")},
    {"value": b"v", "headers": [("h", b"1")]},
    {"value": b"v", "headers": [("h", b"1")] * 20},
    {"value": b"v", "partition": 3},
    {"value": b"v", "timestamp_ms": 7},
    {"value": b"v", "on_delivery": callback},
    {"value": b"v", "key": b"k", "headers": [("h", None)], "partition": 1, "timestamp_ms": 0, "on_delivery": callback},
]
NAMES = ["value", "key", "headers", "partition", "timestamp_ms", "on_delivery"]


@pytest.mark.parametrize("arguments", SENDS)
def test_it_appends_and_returns_a_future(arguments: dict[str, Any], stage: Stage) -> None:
    futures = [stage.send("t", **arguments) for _ in range(3)]
    assert stage.refused == []
    assert all(type(future) is RecordFuture and not future.is_done for future in futures)
    assert stage.delivery_starts == ("on_delivery" in arguments)
    stage.end()
    assert all(isinstance(future.exception, ClosedForcefullyError) for future in futures)


@pytest.mark.parametrize("arguments", SENDS)
@pytest.mark.parametrize("reason", ["unknown topic", "never heard of", "closed", "too large", "not direct", "no str"])
def test_what_it_leaves_to_python(reason: str, arguments: dict[str, Any], stage: Stage) -> None:
    """All arguments arrive as they were, and nothing stays behind."""
    topic: Any = "t"
    if reason == "unknown topic":
        stage.topic.forget()
    elif reason == "never heard of":
        topic = "other"
    elif reason == "closed":
        stage.accumulator.close()
    elif reason == "too large":
        arguments = arguments | {"value": bytes(2 << 20)}
    elif reason == "not direct":
        stage._set_direct(False)
    else:
        topic = type("Name", (str,), {})("t")
    assert stage.send(topic, **arguments) == "refused"
    ((got_topic, *got, chosen),) = stage.refused
    assert got_topic == topic
    assert got == [arguments.get(name) for name in NAMES]
    assert all(a is arguments[name] for name, a in zip(NAMES, got, strict=True) if name in arguments)
    assert chosen == arguments.get("partition", -1) or chosen in (range(-1, 4) if "key" in arguments else (-1,))
    assert stage.wire.live_count() == 0
    assert stage.accumulator.pending_callbacks() == 0


def test_a_full_pool_is_left_to_python_and_a_choice_is_kept() -> None:
    stage = Stage(buffer_memory=1 << 17, partitioner="round_robin", batch_size=1 << 16, linger_ms=60_000.0)
    try:
        placed = []
        while type(future := stage.send("t", bytes(30_000))) is RecordFuture:
            placed.append(future.topic_partition.partition)
        ((*_, chosen),) = stage.refused
        assert [*placed, chosen] == [(placed[0] + n) % 4 for n in range(len(placed) + 1)]
        assert stage.append(bytes(30_000), partition=chosen) == EXHAUSTED
    finally:
        stage.end()


# ---- _append ---------------------------------------------------------------------------------------------------------


def test_answers_of_append(stage: Stage) -> None:
    assert type(stage.append()) is RecordFuture
    assert stage.append(partition=4) == NEED_METADATA
    assert stage.append(bytes(2 << 20)) == TOO_LARGE
    stage.topic.forget()
    assert stage.append() == NEED_METADATA
    stage.topic.set_route([1])
    assert type(stage.append(partition=0)) is RecordFuture
    stage.accumulator.close()
    assert stage.append(partition=0) == CLOSED


def test_append_waits_for_memory_until_its_deadline_or_close() -> None:
    stage = Stage(buffer_memory=1 << 17, batch_size=1 << 16, linger_ms=60_000.0)
    try:
        while type(stage.append(bytes(30_000))) is RecordFuture:
            pass
        for wait in (0, 0.15):
            began = time.monotonic()
            assert stage.append(bytes(30_000), wait=wait) == EXHAUSTED
            assert wait - 0.01 < time.monotonic() - began < wait + 5
        threading.Timer(0.1, stage.accumulator.close).start()
        assert stage.append(bytes(30_000), wait=30) == CLOSED
    finally:
        stage.end()


def test_notify_without_a_callback_counts_as_one(stage: Stage) -> None:
    stage.append(notify=True)
    stage.append()
    assert stage.accumulator.pending_callbacks() == 1


# ---- references and views --------------------------------------------------------------------------------------------

BAD: list[dict[str, Any]] = [
    {"value": b"v", "headers": [("h", 1)]},
    {"value": bytearray(b"v"), "key": 5},
    {"value": bytearray(b"v"), "partition": -1},
    {"value": bytearray(b"v"), "timestamp_ms": -1},
    {"value": b"v", "headers": [("h", b"1")] * 20 + [("\ud800", b"")]},
]


def references(objects: list[Any]) -> list[int]:
    gc.collect()
    return [sys.getrefcount(it) for it in objects]


@pytest.mark.parametrize("outcome", ["appended", "refused", "raised"])
def test_references(outcome: str) -> None:
    """Whatever becomes of a record, in the end nobody holds its key, value, headers and callback any more."""
    stage = Stage()
    key, value, array = b"key %d" % id(stage), bytes(5000), bytearray(b"v" * 10)
    name, header = "name-" * 3, b"header" * 9
    headers, on_delivery = [(name, header)], lambda *args: None
    mine = [key, value, name, header, headers, headers[0], on_delivery, array]
    before = references(mine)
    if outcome == "refused":
        stage.topic.forget()
    for _ in range(5):
        if outcome == "raised":
            for arguments in BAD:
                with pytest.raises((TypeError, ValueError)):
                    stage.send("t", **({"key": key, "headers": headers, "on_delivery": on_delivery} | arguments))
        else:
            stage.send("t", value, key=key, headers=headers, on_delivery=on_delivery)
            stage.send("t", value, key, on_delivery=on_delivery)
            stage.send("t", array, array, headers=headers, on_delivery=on_delivery)
    stage.refused.clear()
    array.append(1)  # no view is open
    stage.end()
    assert references(mine) == before


def test_an_object_with_a_future_is_collected(stage: Stage) -> None:
    """A callback that holds its own future is no cycle once it has run."""
    count = sys.getrefcount(None)
    for _ in range(100):
        held: list[Any] = []
        held.append(stage.send("t", b"v", on_delivery=lambda *args, held=held: None))
    stage.end()
    assert abs(sys.getrefcount(None) - count) < 50


def test_threads_on_one_producer(stage: Stage) -> None:
    """The last topic is remembered for all threads; records do not end up under another thread's topic."""
    topics = [f"topic-{n}" for n in range(8)]
    for topic in topics:
        stage.accumulator.topic(topic).set_route([1])
    wrong: list[Any] = []

    def work(topic: str) -> None:
        for n in range(300):
            future = stage.send(topic, b"v" * (n % 3 * 40_000), on_delivery=callback if n % 2 else None)
            name = future.topic_partition.topic if type(future) is RecordFuture else stage.refused and topic
            if name != topic:
                wrong.append((topic, name))

    threads = [threading.Thread(target=work, args=(topic,)) for topic in topics]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert {args[0] for args in stage.refused} <= set(topics)


# ---- the type --------------------------------------------------------------------------------------------------------


def test_arguments_of_send() -> None:
    parameters = inspect.signature(ProducerBase.send).parameters
    assert list(parameters) == ["self", "topic", *NAMES]
    assert parameters["on_delivery"].kind is inspect.Parameter.KEYWORD_ONLY
    assert all(parameters[name].default is None for name in NAMES)
    assert "RecordFuture" in (ProducerBase.send.__doc__ or "")


def test_send_with_wrong_arguments(stage: Stage) -> None:
    for args, kwargs in [((), {}), (("t", b"v"), {"value": b"v"}), (("t",), {"val": b"v"}), (("t", *"1234567"), {})]:
        with pytest.raises(TypeError):
            stage.send(*args, **kwargs)


class Declared:
    """What Python itself makes of a call."""

    def send(
        self, topic: Any, value: Any = None, key: Any = None, headers: Any = None, partition: Any = None,
        timestamp_ms: Any = None, *, on_delivery: Any = None,
    ) -> list[Any]:
        return [topic, value, key, headers, partition, timestamp_ms, on_delivery]


def test_any_call_means_what_the_signature_says(stage: Stage) -> None:
    """By position, by name, by a name that is equal to the parameter's but another object, too many, twice, unknown."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    stage._set_direct(False)
    right = wrong = 0
    for _ in range(5_000):
        args = [object() for _ in range(chance.choice([0, 1, 1, 1, 2, 2, 3, 6, 7, 8]))]
        names = ["topic", *NAMES, "unknown"][len(args) if chance.random() < 0.9 else 0:]
        picked = chance.sample(names, chance.randint(0, min(3, len(names))))
        kwargs = {name if chance.random() < 0.8 else "".join(list(name)): object() for name in picked}
        try:
            expected = Declared().send(*args, **kwargs)
        except TypeError:
            wrong += 1
            with pytest.raises(TypeError, match=r"send\(\)"):
                stage.send(*args, **kwargs)
            continue
        right += 1
        assert stage.send(*args, **kwargs) == "refused"
        assert stage.refused.pop()[:7] == tuple(expected)
    assert stage.refused == []
    assert right > 500
    assert wrong > 500


class Value(bytearray):
    """Something that a weak reference can watch."""


@pytest.mark.parametrize("serializes", [False, True])
def test_what_is_sent_outlives_a_caller_that_lets_go_of_it(serializes: bool, stage: Stage) -> None:
    """functools.partial lends its arguments, and what runs within send() may take them from it."""
    value = Value(b"value")
    alive = weakref.ref(value)
    call = functools.partial(stage.send, "t", value)
    del value
    let_go_of: list[bool] = []

    def let_go(data: Any = None) -> bytes:
        call.__setstate__((stage.send, (), {}, {}))  # type: ignore[attr-defined]
        gc.collect()
        let_go_of.append(alive() is None)
        return b"k"

    if serializes:
        stage._open(stage.accumulator, True, stage.start_delivery, let_go, bytes)
    else:
        stage._open(stage.accumulator, True, let_go)
    assert type(call(on_delivery=callback)) is RecordFuture
    assert let_go_of == [False]
    assert alive() is None


def test_send_is_a_method_of_producers_alone(stage: Stage) -> None:
    assert type(ProducerBase.send(stage, "t", b"v")) is RecordFuture
    with pytest.raises(TypeError, match="ProducerBase"):
        ProducerBase.send(object(), "t", b"v")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ProducerBase.send()  # type: ignore[call-arg]


def test_a_producer_that_was_never_opened_does_not_crash() -> None:
    bare = ProducerBase()
    with pytest.raises(AttributeError):
        bare.send("t", b"v")
