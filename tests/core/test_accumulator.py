# SPDX-License-Identifier: Apache-2.0
"""The accumulator's door: topics, where records go, what is live, and the end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from pykafka_fast._core.accumulator import Accumulator
from tests.core.stage import Stage, accumulator


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(linger_ms=60_000.0)
    yield made
    made.end()


def test_one_handle_per_topic() -> None:
    mine = accumulator()
    handles: list[Any] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        handles.extend(mine.topic(name) for name in ("a", "b", "ü" * 100))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(handle) for handle in handles}) == 3
    assert sorted(mine.topics()) == ["a", "b", "ü" * 100]
    assert {handle.name for handle in handles} == {"a", "b", "ü" * 100}
    with pytest.raises(TypeError):
        mine.topic(None)  # type: ignore[arg-type]


def test_a_topic_made_in_the_midst_of_making_one() -> None:
    """By a signal handler or a finalizer, which run wherever Python code does: in a look at the topic's codec, say."""
    made: list[Any] = []

    def codec_of(name: str) -> tuple[int, int]:
        if not made:
            made.append(None)
            made[:] = [mine.topic("other"), mine.topic(name)]
        return 0, 0

    mine = accumulator(codec_of=codec_of)
    thread = threading.Thread(target=lambda: made.append(mine.topic("topic")), daemon=True)
    thread.start()
    thread.join(10)
    assert [topic.name for topic in made] == ["other", "topic", "topic"]
    assert made[1] is made[2]
    assert sorted(mine.topics()) == ["other", "topic"]


def test_options_are_checked() -> None:
    with pytest.raises(ValueError):
        accumulator(partitioner="by chance")
    with pytest.raises(TypeError):
        accumulator(colour="red")
    with pytest.raises(TypeError):
        Accumulator()  # type: ignore[call-arg]


def test_routes_grow_shrink_and_go(stage: Stage) -> None:
    topic = stage.topic
    assert topic.partition_count == 4
    for count in (5, 100, 1000, 3, 0, 7):
        topic.set_route([1] * count)
        assert topic.partition_count == count
        assert type(stage.append(partition=count - 1)) is not int if count else stage.append(partition=0) < 0
        assert isinstance(stage.append(partition=count), int)
    topic.forget()
    assert topic.partition_count == 0
    for leaders in (None, [None], ["1"], [1 << 40]):
        with pytest.raises((TypeError, OverflowError)):
            topic.set_route(leaders)  # type: ignore[arg-type]


@pytest.mark.parametrize(("partitioner", "distinct"), [("sticky", 1), ("round_robin", 4), ("random", 4)])
def test_place(partitioner: str, distinct: int) -> None:
    topic = accumulator(partitioner=partitioner).topic("t")
    assert topic.place(None, b"v") == -1
    assert topic.place(b"k", b"v") == -1
    topic.set_route([1, 1, -1, 1, 1])
    placed = Counter(topic.place(None, b"v") for _ in range(400))
    assert len(placed) == distinct
    assert 2 not in placed
    if partitioner == "round_robin":
        assert set(placed.values()) == {100}
    for key in (b"", b"abc", bytearray(b"abc"), memoryview(b"abc")):
        assert topic.place(key, None) == {0: 275646681, 3: 479470107}[len(key)] % 5
    for bad in ("text", 5, memoryview(b"abcd")[::2]):
        with pytest.raises(TypeError, match="serialized"):
            topic.place(bad, b"v")
        with pytest.raises(TypeError, match="serialized"):
            topic.place(b"k", bad)


def test_the_sticky_place_counts_what_it_places() -> None:
    topic = accumulator(batch_size=1000, adaptive=False).topic("t")
    topic.set_route([1] * 50)
    placed = [topic.place(None, bytes(100)) for _ in range(1000)]
    stays = [placed[n : n + 10] for n in range(0, 1000, 10)]
    assert all(len(set(stay)) == 1 for stay in stays)
    assert len({stay[0] for stay in stays}) > 25


def test_what_is_live(stage: Stage) -> None:
    stage.accumulator.topic("u").set_route([1])
    for n in range(10):
        stage.send("t", b"v", partition=n % 2)
    stage.send("u", b"v", on_delivery=print)
    assert stage.accumulator.lost() == {"t": 10, "u": 1}
    assert stage.accumulator.pending_callbacks() == 1
    began = time.monotonic()
    assert not stage.accumulator.wait_live(0.1)
    assert 0.09 < time.monotonic() - began < 5
    assert not stage.accumulator.wait_live(0)
    stats = stage.accumulator.pool_stats()
    assert stats["slabs_acquired"] == 3
    assert stats["acquired"] + stats["available"] == stats["budget"] == 1 << 20
    stage.end()
    assert stage.accumulator.lost() == {}
    assert stage.accumulator.wait_live(0)
    counters = stage.accumulator.topic_counters()
    assert {name: counter["records_failed"] for name, counter in counters.items()} == {"t": 10, "u": 1}


def test_waiting_ends_with_the_outcome(stage: Stage) -> None:
    future = stage.send("t", b"v")
    timer = threading.Timer(0.1, stage.wire.abort, (-1005, "over"))
    timer.start()
    assert stage.accumulator.wait_live(10)
    assert future.is_done
    timer.join()


def test_closing_again_changes_nothing(stage: Stage) -> None:
    future = stage.send("t", b"v")
    for _ in range(3):
        stage.accumulator.close()
    assert stage.send("t", b"v") == "refused"
    assert not future.is_done  # what was appended before is still to be sent


def test_many_come_and_go() -> None:
    """Memory and descriptors come back without a word to anybody."""
    for _ in range(300):
        accumulator().topic("t").set_route([1] * 10)
