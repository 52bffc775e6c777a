# SPDX-License-Identifier: Apache-2.0
"""send_many(): the same records arrive, whatever they come in; one future knows all of them."""

from __future__ import annotations

import array
import asyncio
import collections
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import kafka.partitioner
import pyarrow
import pytest

from pykafka_fast import KafkaProducer, ProducerInterceptor, RecordMetadata
from pykafka_fast.errors import KafkaTimeoutError, ProducerClosedError, TopicAuthorizationFailedError
from pykafka_fast.testing import EmbeddedBroker
from tests import arrow
from tests.path.conftest import Make

TIMEOUT_S = 20.0
ROWS = 300
VALUES: list[Any] = [
    None if i % 7 == 3 else b"" if i % 11 == 5 else b"value %d" % i + b"x" * (i % 40) for i in range(ROWS)]  # fmt: skip
KEYS: list[Any] = [b"key %d" % (i * 7919) for i in range(ROWS)]


def text(rows: list[bytes | None]) -> list[str | None]:
    return [None if row is None else row.decode() for row in rows]


def cut(rows: list[Any], make: Callable[[list[Any]], Any]) -> list[Any]:
    return [make(rows[first:last]) for first, last in ((0, 1), (1, 1), (1, 130), (130, len(rows)))]


CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "deque": collections.deque,
    "bytearrays": lambda rows: [None if row is None else bytearray(row) for row in rows],
    "memoryviews": lambda rows: [None if row is None else memoryview(b"_" + row)[1:] for row in rows],
    "mixed": lambda rows: [row if row is None or len(row) % 2 else bytearray(row) for row in rows],
    "arrays": lambda rows: [None if row is None else array.array("B", row) for row in rows],
    "arrow z": arrow.binary,
    "arrow u": lambda rows: arrow.binary(rows, b"u"),
    "arrow Z": lambda rows: arrow.binary(rows, b"Z"),
    "arrow U sliced": lambda rows: arrow.binary(rows, b"U", before=13),
    "arrow z sliced": lambda rows: arrow.binary(rows, before=3),
    "arrow views": arrow.views,
    "arrow text views sliced": lambda rows: arrow.views(rows, b"vu", before=9),
    "arrow stream": lambda rows: arrow.chunked(cut(rows, arrow.binary)),
    "arrow stream of views": lambda rows: arrow.chunked(cut(rows, arrow.views)),
    "pyarrow binary": lambda rows: pyarrow.array(rows, pyarrow.binary()),
    "pyarrow large_binary": lambda rows: pyarrow.array(rows, pyarrow.large_binary()),
    "pyarrow string": lambda rows: pyarrow.array(text(rows)),
    "pyarrow binary_view": lambda rows: pyarrow.array(rows, pyarrow.binary_view()),
    "pyarrow string_view": lambda rows: pyarrow.array(text(rows), pyarrow.string_view()),
    "pyarrow sliced": lambda rows: pyarrow.array([b"no", b"no", *rows, b"no"]).slice(2, len(rows)),
    "pyarrow chunked": lambda rows: pyarrow.chunked_array(cut(rows, list), pyarrow.binary()),
    "pyarrow table's column": lambda rows: pyarrow.table({"n": range(len(rows)), "v": rows})["v"],
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_what_is_sent_arrives(container: str, broker: EmbeddedBroker, make: Make) -> None:
    before = arrow.unreleased()
    producer = make(broker)
    now = time.time() * 1000
    future = producer.send_many("t", CONTAINERS[container](VALUES), CONTAINERS[container](KEYS))
    metadata = future.get(TIMEOUT_S)
    assert (len(future), len(metadata), len(broker.records("t"))) == (ROWS, ROWS, ROWS)
    logs = {p: broker.records("t", p) for p in range(4)}
    hashed = kafka.partitioner.murmur2
    for row, (value, key, it) in enumerate(zip(VALUES, KEYS, metadata, strict=True)):
        assert it.partition == (hashed(key) & 0x7FFFFFFF) % 4, row
        record = logs[it.partition][it.offset]
        assert (record.key, record.value, record.headers) == (key, value, ()), row
        assert (it.serialized_key_size, it.serialized_header_size) == (len(key), -1)
        assert it.serialized_value_size == (-1 if value is None else len(value))
        assert abs(record.timestamp - now) < 60_000
        assert it.timestamp == record.timestamp
    for log in logs.values():  # and in order
        assert [record.key for record in log] == [key for key in KEYS if key in {record.key for record in log}]
    del future, metadata
    assert arrow.unreleased() == before


def test_without_keys_as_a_single_send_would(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, batch_size=1_000, batch_max_size=2_000)
    values = [b"%d" % i for i in range(50_000)]
    metadata = producer.send_many("t", values).get(TIMEOUT_S)
    assert {it.partition for it in metadata} == {0, 1, 2, 3}  # the sticky choice moved on, batch by batch
    for partition in range(4):
        log = broker.records("t", partition)
        sent = [value for value, it in zip(values, metadata, strict=True) if it.partition == partition]
        assert [record.value for record in log] == sent
        assert all(record.key is None for record in log)


def test_null_columns(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    producer.send_many("t", pyarrow.nulls(3), [b"a", b"b", b"c"], partition=0).get(TIMEOUT_S)
    producer.send_many("t", [b"a", b"b"], [None, b""], partition=1).get(TIMEOUT_S)
    producer.send_many("t", pyarrow.array([b"four", b"byte"], pyarrow.binary(4)), pyarrow.nulls(2),
                       partition=2).get(TIMEOUT_S)
    assert [(r.key, r.value) for r in broker.records("t", 0)] == [(b"a", None), (b"b", None), (b"c", None)]
    assert [(r.key, r.value) for r in broker.records("t", 1)] == [(None, b"a"), (b"", b"b")]
    assert [(r.key, r.value) for r in broker.records("t", 2)] == [(None, b"four"), (None, b"byte")]


def test_nothing_to_send(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    called: list[Any] = []
    for values in ([], (), pyarrow.array([], pyarrow.binary()), arrow.chunked([arrow.binary([])])):
        future = producer.send_many("t", values, on_delivery=lambda *it: called.append(it))
        assert future.is_done
        assert future.succeeded()
        assert list(future.get(TIMEOUT_S)) == []
        assert not future.failures
    assert [(len(metadata), error) for metadata, error in called] == [(0, None)] * 4
    assert broker.request_count("Metadata") == 0


# ---- partitions, timestamps, headers --------------------------------------------------------------------------------


@pytest.mark.parametrize("column", [list, tuple, lambda rows: arrow.numbers(rows, b"i", before=3),
                                    lambda rows: pyarrow.array(rows, pyarrow.int64())])
def test_partitions_of_each_record(column: Callable[[list[Any]], Any], broker: EmbeddedBroker, make: Make) -> None:
    wanted = [i * i % 4 if i % 5 else None for i in range(100)]
    metadata = make(broker).send_many("t", [b"v"] * 100, partition=column(wanted)).get(TIMEOUT_S)
    chosen = {it.partition for it, given in zip(metadata, wanted, strict=True) if given is None}
    assert len(chosen) == 1  # the sticky one
    assert [it.partition for it, given in zip(metadata, wanted, strict=True) if given is not None] == [
        given for given in wanted if given is not None]


WHEN = [1_700_000_000_000 + i * 1001 for i in range(50)]
UTC = datetime(1970, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("column", "resolution"),
    [
        (list, 1), (arrow.numbers, 1), (lambda ms: arrow.numbers(ms, b"tsm:", before=5), 1),
        (lambda ms: arrow.numbers([it * 1000 + 999 for it in ms], b"tsu:UTC"), 1),
        (lambda ms: arrow.numbers([it * 1_000_000 + 1 for it in ms], b"tsn:"), 1),
        (lambda ms: arrow.numbers([it // 1000 for it in ms], b"tss:"), 1000),
        (lambda ms: pyarrow.array([UTC + timedelta(milliseconds=it) for it in ms], pyarrow.timestamp("us", "UTC")), 1),
        (lambda ms: pyarrow.array(ms, pyarrow.int64()), 1),
    ])  # fmt: skip
def test_timestamps_of_each_record(column: Callable[[list[int]], Any], resolution: int, broker: EmbeddedBroker,
                                   make: Make) -> None:
    metadata = make(broker).send_many("t", [b"v"] * 50, partition=0, timestamps_ms=column(WHEN)).get(TIMEOUT_S)
    wanted = [it // resolution * resolution for it in WHEN]
    assert [record.timestamp for record in broker.records("t", 0)] == wanted
    assert [it.timestamp for it in metadata] == wanted


def test_a_missing_timestamp_is_now(broker: EmbeddedBroker, make: Make) -> None:
    make(broker).send_many("t", [b"v"] * 3, partition=0, timestamps_ms=[5, None, 7]).get(TIMEOUT_S)
    times = [record.timestamp for record in broker.records("t", 0)]
    assert (times[0], times[2]) == (5, 7)
    assert abs(times[1] - time.time() * 1000) < 60_000


def test_headers(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    same: Any = [("a", b"1"), ("ä", None), ("a", bytearray(b"2"))]
    metadata = producer.send_many("t", [b"v"] * 2, headers=same, partition=0).get(TIMEOUT_S)
    assert [it.serialized_header_size for it in metadata] == [6, 6]
    wanted = (("a", b"1"), ("ä", None), ("a", b"2"))
    assert [record.headers for record in broker.records("t", 0)] == [wanted] * 2
    lists: Any = [None if i % 3 == 0 else [("n", b"%d" % i)] * (i % 3) for i in range(600)]
    metadata = producer.send_many("t", [b"v"] * 600, headers=lists, partition=1).get(TIMEOUT_S)
    assert [record.headers for record in broker.records("t", 1)] == [tuple(it or ()) for it in lists]
    assert metadata[1].serialized_header_size == 2
    assert metadata[0].serialized_header_size == -1
    assert producer.send_many("t", [b"v"], headers=[]).get(TIMEOUT_S)[0].serialized_header_size == -1


# ---- the future -----------------------------------------------------------------------------------------------------


def test_the_future_of_a_range(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    producer.partitions_for("t")
    broker.hold("Produce")
    future = producer.send_many("t", VALUES, KEYS)
    assert (future.is_done, future.value, future.exception) == (False, None, None)
    assert (future.succeeded(), future.failed(), future.retriable()) == (False, False, False)
    assert repr(future) == f"<RangeFuture of {ROWS} records, pending>"
    with pytest.raises(KafkaTimeoutError, match=r"Timeout after waiting for 0\.05 secs"):
        future.get(0.05)
    with pytest.raises(ValueError):
        future.get(float("nan"))
    broker.release()
    metadata = future.get(TIMEOUT_S)
    assert (future.is_done, future.succeeded(), future.failed(), future.exception) == (True, True, False, None)
    assert repr(future) == f"<RangeFuture of {ROWS} records, done>"
    assert future.value is not None
    assert list(future.value) == list(metadata)
    assert isinstance(metadata, collections.abc.Sequence)
    assert isinstance(metadata[0], RecordMetadata)
    assert metadata[-1] == metadata[ROWS - 1]
    assert metadata[2:6:2] == [metadata[2], metadata[4]]
    assert metadata.index(metadata[5]) == 5
    for index in (ROWS, -ROWS - 1):
        with pytest.raises(IndexError):
            metadata[index]
    for wrong in ("0", 1.5, None):
        with pytest.raises(TypeError):
            metadata[wrong]  # type: ignore[call-overload]
    assert dict(future.failures) == {}
    assert 0 not in future.failures


def test_failures_by_index(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    broker.fail("Produce", 29, topic="t", partition=1, times=None)
    where = [i % 4 for i in range(40)]
    future = producer.send_many("t", [b"v"] * 40, partition=where)
    with pytest.raises(TopicAuthorizationFailedError, match="10 of 40 records failed, first of them row 1") as failed:
        future.get(TIMEOUT_S)
    assert failed.value.row == 1
    assert (future.is_done, future.failed(), future.succeeded(), future.retriable()) == (True, True, False, False)
    assert repr(future) == "<RangeFuture of 40 records, failed>"
    assert len(future.failures) == 10
    assert list(future.failures) == [row for row in range(40) if row % 4 == 1]
    assert all(isinstance(it, TopicAuthorizationFailedError) and it.row == row for row, it in future.failures.items())
    assert 2 not in future.failures
    with pytest.raises(KeyError):
        future.failures[0]


def test_await(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, batch_size=1000, batch_max_size=1000)

    async def work() -> None:
        futures = [producer.send_many("t", VALUES, KEYS) for _ in range(5)]
        for metadata in await asyncio.wait_for(asyncio.gather(*futures), TIMEOUT_S):
            assert len(metadata) == ROWS
        assert len(await futures[0]) == ROWS
        broker.fail("Produce", 29, topic="t", times=None)
        with pytest.raises(TopicAuthorizationFailedError):
            await asyncio.wait_for(producer.send_many("t", VALUES, KEYS), TIMEOUT_S)

    asyncio.run(work())
    assert len(broker.records("t")) == 5 * ROWS


def test_a_batch_that_was_split_is_followed(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, linger_ms=50)
    broker.configure_topic("t", max_message_bytes=2_000)
    values = [b"%d" % i * 30 for i in range(1_000)]
    metadata = producer.send_many("t", values, partition=0).get(TIMEOUT_S)
    assert [record.value for record in broker.records("t", 0)] == values
    assert [it.offset for it in metadata] == list(range(1_000))


# ---- by send(), because something of the user's runs ----------------------------------------------------------------


class Marker(ProducerInterceptor):
    def __init__(self) -> None:
        self.acknowledged = 0

    def on_send(self, record: Any) -> Any:
        return record.replace(headers=[*record.headers, ("seen", b"")])

    def on_acknowledgement(self, metadata: Any, exception: BaseException | None) -> None:
        self.acknowledged += 1


@pytest.mark.parametrize("column", [list, pyarrow.array, lambda rows: arrow.views([it.encode() for it in rows], b"vu")])
def test_what_the_user_has_configured_runs(column: Callable[[list[str]], Any], broker: EmbeddedBroker,
                                           make: Make) -> None:
    marker = Marker()
    producer = make(broker, interceptors=[marker], value_serializer=lambda it: it.upper().encode(),
                    partitioner=lambda key, everything, available: everything[int(key) % 3])
    values, keys = [f"value {i}" for i in range(30)], [b"%d" % i for i in range(30)]
    times = [1_000 + i for i in range(30)]
    future = producer.send_many("t", column(values), keys, [("h", b"1")], timestamps_ms=times)
    metadata = future.get(TIMEOUT_S)
    assert [it.partition for it in metadata] == [i % 3 for i in range(30)]
    for row, it in enumerate(metadata):
        record = broker.records("t", it.partition)[it.offset]
        assert (record.value, record.key) == (values[row].upper().encode(), keys[row])
        assert record.headers == (("h", b"1"), ("seen", b""))
        assert record.timestamp == it.timestamp == times[row]
        assert it.serialized_value_size == len(values[row])
    producer.flush(TIMEOUT_S)
    assert marker.acknowledged == 30


@pytest.mark.parametrize("beside", [
    {"key_serializer": bytes.upper}, {"interceptors": [ProducerInterceptor()]},
    {"partitioner": lambda key, everything, available: everything[0]}, {},
], ids=["a key serializer", "an interceptor", "a partitioner", "nothing"])  # fmt: skip
@pytest.mark.parametrize("column", [pyarrow.array, lambda rows: arrow.views([it.encode() for it in rows], b"vu")])
def test_text_of_arrow_is_bytes_where_no_serializer_wants_it(
    column: Callable[[list[str]], Any], beside: dict[str, Any], broker: EmbeddedBroker, make: Make
) -> None:
    values = [f"välue {i}" for i in range(20)]
    make(broker, **beside).send_many("t", column(values), [b"key"] * 20).get(TIMEOUT_S)
    stored = [record.value for partition in range(4) for record in broker.records("t", partition)]
    assert stored == [it.encode() for it in values]


def test_the_transaction_manager_is_told(broker: EmbeddedBroker, make: Make) -> None:
    class Manager:
        told: list[Any] = []  # noqa: RUF012

        def maybe_add_partition(self, where: Any) -> None:
            self.told.append(tuple(where))

    producer = make(broker)
    producer._transaction_manager = Manager()
    metadata = producer.send_many("t", [b"v"] * 6, partition=[0, 1, 2, 0, 1, 2]).get(TIMEOUT_S)
    assert Manager.told == [("t", it.partition) for it in metadata]


# ---- others at the same time ----------------------------------------------------------------------------------------


def test_many_threads_one_producer(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, buffer_memory=1 << 18, batch_size=2_000, batch_max_size=8_000)
    rows, calls = 500, 12
    futures: dict[int, list[Any]] = {thread: [] for thread in range(4)}

    def work(thread: int) -> None:
        for call in range(calls):
            values = [b"%d %d %d" % (thread, call, row) for row in range(rows)]
            column = pyarrow.array(values) if thread % 2 else values
            futures[thread].append(producer.send_many("t", column, partition=[row % 4 for row in range(rows)]))

    threads = [threading.Thread(target=work, args=(thread,)) for thread in futures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for it in futures.values():
        assert all(len(future.get(TIMEOUT_S)) == rows for future in it)
    for partition in range(4):
        last: dict[int, tuple[int, int]] = dict.fromkeys(futures, (-1, -1))
        for record in broker.records("t", partition):
            thread, call, row = map(int, (record.value or b"").split())
            assert last[thread] < (call, row)  # in order, and so once
            last[thread] = call, row
    assert broker.record_count("t") == 4 * calls * rows


def test_a_closed_producer(broker: EmbeddedBroker) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.address)
    producer.close()
    with pytest.raises(ProducerClosedError):
        producer.send_many("t", [b"v"])
