# SPDX-License-Identifier: Apache-2.0
"""Futures and metadata by themselves: every code's exception, callbacks on what is done, sizes, references."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import sys
from typing import Any

import pytest

from pykafka_fast._core.future import RecordFuture, failed_future, metadata_without_offset
from pykafka_fast._core.metadata import RecordMetadata
from pykafka_fast.errors import ClientCode, KafkaError, client_errors, exception_for, kafka_errors
from tests.core.stage import Stage

CODES = sorted([*(int(code) for code in ClientCode), *(code for code in kafka_errors if code != 0)])


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_its_exception(code: int) -> None:
    future = failed_future("topic", 3, code, "what happened: 100 % ü\udc80")
    expected = exception_for(code, "what happened: 100 % ü?")
    error = future.exception
    assert type(error) is type(expected)
    assert error == expected
    assert future.exception is not error
    with pytest.raises(type(expected)) as raised:
        future.get()
    assert raised.value == expected
    assert future.retriable() == expected.retriable
    assert (future.is_done, future.failed(), future.succeeded(), future.value) == (True, True, False, None)
    assert not error.in_doubt
    assert failed_future("t", 0, code, "", in_doubt=True).exception.in_doubt  # type: ignore[union-attr]


def test_a_code_nobody_knows() -> None:
    error = failed_future("t", 0, 12345, "").exception
    assert isinstance(error, KafkaError)
    assert "12345" in str(error)


def test_where_it_went() -> None:
    future = failed_future("topic", 3, -1000, "late")
    assert future.topic_partition == future._produce_future.topic_partition == ("topic", 3)
    metadata = metadata_without_offset(future)
    assert tuple(metadata) == ("topic", 3, ("topic", 3), -1, -1, None, -1, -1, -1)
    assert failed_future("", -1, -1000, "x").topic_partition == ("", -1)
    assert failed_future("ü" * 300, -1, -1000, "x" * 100_000).topic_partition.topic == "ü" * 300
    for bad in (None, 5, b"t"):
        with pytest.raises(TypeError):
            failed_future(bad, 0, -1000, "x")  # type: ignore[arg-type]


def test_callbacks_run_at_once() -> None:
    future = failed_future("t", 0, -1000, "late")
    log: list[Any] = []
    future.add_callback(log.append).add_errback(log.append, *()).add_both(lambda *a, **k: log.append((a, k)), 1, b=2)
    assert log == [future.exception, ((1, future.exception), {"b": 2})]


def test_awaiting_what_is_done() -> None:
    async def main() -> None:
        with pytest.raises(client_errors[ClientCode.TIMEOUT][0]):
            await failed_future("t", 0, -1000, "late")

    asyncio.run(main())


def test_sizes() -> None:
    """The caller keeps one per record."""
    future = failed_future("t", 0, -1000, "late")
    assert RecordFuture.__basicsize__ == sys.getsizeof(future) <= 48
    assert not gc.is_tracked(future)
    assert not gc.is_tracked(metadata_without_offset(future))


def test_no_reference_is_kept() -> None:
    stage = Stage()

    def run() -> None:
        log: list[Any] = []
        futures = [stage.send("t", b"v") for _ in range(200)]
        for future in futures:
            future.add_both(log.append)
            future.add_both(lambda outcome, future=future: future.exception)
        log.append(repr(futures[0]))

    try:
        run()
        gc.collect()
    finally:
        stage.end()
    gc.collect()
    assert [it for it in gc.get_objects() if type(it).__name__ == "Listener"] == []


def test_metadata_made_by_hand() -> None:
    metadata = RecordMetadata("t", 1, offset=5, timestamp=7, serialized_key_size=1, serialized_value_size=2)
    assert tuple(metadata) == ("t", 1, ("t", 1), 5, 7, None, 1, 2, -1)
    assert metadata == RecordMetadata(*tuple(metadata))
    assert metadata != RecordMetadata("t", 1)
    later = metadata._replace(offset=6)
    assert later.offset == 6
    assert later._replace(offset=5) == metadata == RecordMetadata._make(metadata)
    assert sorted([later, metadata]) == [metadata, later]
    assert (metadata < later, metadata <= metadata, later > metadata, tuple(later) >= metadata) == (True,) * 4
    assert (metadata.index(5), metadata.count("t"), metadata.count(-2)) == (3, 1, 0)
    with pytest.raises(TypeError, match="not supported"):
        assert metadata < 5  # type: ignore[operator]
    assert metadata != 5
    assert len({metadata, RecordMetadata(*tuple(metadata))}) == 1
    with pytest.raises(TypeError):
        metadata.__init__("u", 1)  # type: ignore[misc]
    for bad in ((), ("t",), (5, 1), ("t", "1")):
        with pytest.raises(TypeError):
            RecordMetadata(*bad)  # type: ignore[arg-type]


def test_only_send_makes_futures() -> None:
    future = failed_future("t", 0, -1000, "late")
    for make in (RecordFuture, lambda: copy.copy(future), lambda: pickle.dumps(future)):
        with pytest.raises(TypeError):
            make()
    assert copy.copy(metadata_without_offset(future)) == metadata_without_offset(future)


def test_what_new_makes_by_hand_has_failed() -> None:
    future, metadata = RecordFuture.__new__(RecordFuture), RecordMetadata.__new__(RecordMetadata)
    assert (future.is_done, future.failed(), future.value) == (True, True, None)
    assert tuple(future.topic_partition) == ("", -1)
    assert "failed" in repr(future)
    outcomes: list[object] = []
    assert future.add_both(outcomes.append) is future
    assert [str(outcome) for outcome in outcomes] == [str(future.exception)]
    with pytest.raises(KafkaError, match="by hand"):
        future.get(timeout=0)

    async def wait() -> None:
        await future

    with pytest.raises(KafkaError, match="by hand"):
        asyncio.run(wait())
    assert (metadata.topic, metadata.partition, metadata.offset, metadata.timestamp) == ("", -1, -1, -1)
    assert metadata == metadata_without_offset(future)
    assert pickle.loads(pickle.dumps(metadata)) == metadata
    metadata.__init__("t", 1, offset=5)  # type: ignore[misc]
    assert (metadata.topic, metadata.partition, metadata.offset) == ("t", 1, 5)
