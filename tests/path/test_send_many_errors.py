# SPDX-License-Identifier: Apache-2.0
"""send_many() that cannot: which row it is about, what was taken, and that nothing is left behind."""

from __future__ import annotations

import gc
import logging
import re
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable
from typing import Any

import numpy
import pyarrow
import pytest
from pyarrow.compute import run_end_encode

import pykafka_fast.bulk
from pykafka_fast.errors import (
    BufferExhaustedError,
    InvalidTopicError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerClosedError,
    SerializationError,
)
from pykafka_fast.testing import EmbeddedBroker
from tests import arrow
from tests.path.conftest import Make
from tests.path.test_fork import run

TIMEOUT_S = 20.0
V = [b"v"] * 10


def with_row(row: int, wrong: Any) -> list[Any]:
    rows: list[Any] = list(V)
    rows[row] = wrong
    return rows


def released() -> memoryview:
    view = memoryview(b"gone")
    view.release()
    return view


class NotCapsules(arrow.Exported):
    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        return "no", "capsules"


MISTAKES: dict[str, tuple[dict[str, Any], type[BaseException], str]] = {
    "no bytes": ({"values": with_row(7, 3)}, TypeError, "row 7: .*value: int.*no row was taken"),
    "text": ({"values": with_row(7, "text")}, TypeError, "row 7: .*value: str"),
    "key": ({"values": V, "keys": with_row(2, "text")}, TypeError, "row 2: .*key: str"),
    "strided": ({"values": with_row(1, memoryview(b"abcd")[::2])}, TypeError, "row 1: .*not contiguous"),
    "large": ({"values": with_row(5, bytes(2_000_000))}, MessageSizeTooLargeError, "row 5: .*; no row was taken"),
    "large in a column": ({"values": arrow.views(with_row(9, bytes(2_000_000)))}, MessageSizeTooLargeError, "row 9: "),
    "numbers' memory": ({"values": with_row(6, array("i", [1]))}, TypeError, "row 6: .*array with items of format 'i'"),
    "strided array": ({"values": with_row(3, numpy.arange(8, dtype="u1")[::2])}, TypeError, "row 3: .*not contiguous"),
    "times": ({"values": numpy.array(["2020"] * 10, "M8[D]")}, TypeError, "row 0: .*value: datetime64"),
    "small numbers": ({"values": V, "keys": numpy.arange(10, dtype="u1")}, TypeError, "row 0: .*key: uint8"),
    "truths": ({"values": numpy.array([True] * 10)}, TypeError, "row 0: .*value: bool"),
    "numpy text": ({"values": numpy.array(["ab"] * 10)}, TypeError, "row 0: .*value: str_"),
    "released": ({"values": with_row(2, released())}, TypeError, "row 2: .*released"),
    "surrogate": ({"values": V, "headers": [[]] * 8 + [[("\ud800", b"")]] * 2}, ValueError, "row 8: .*surrogates"),
    "nothing": ({"values": with_row(4, None)}, ValueError, "row 4: Need at least one: key or value; no row"),
    "null": ({"values": arrow.binary(with_row(3, None)), "keys": [None] * 10}, ValueError, "row 3: Need at least one"),
    "header list": ({"values": V, "headers": [[]] * 6 + [{}] * 4}, TypeError, "row 6: headers must be a list.*no row"),
    "header": ({"values": V, "headers": [("a", b""), ("b", 5)]}, TypeError, "header's value must be bytes or None"),
    "row's header": ({"values": V, "headers": [[("a", b"")]] * 9 + [[(1, b"")]]}, TypeError, "row 9: .*must be str"),
    "partition": ({"values": V, "partition": [0] * 9 + [-3]}, ValueError, "row 9: partition=-3 must be from 0"),
    "large partition": ({"values": V, "partition": [0] * 9 + [2**31]}, ValueError, "row 9: partition=2147"),
    "partition's type": ({"values": V, "partition": [0] * 3 + [True] * 7}, TypeError, "row 3: partition must be"),
    "one partition": ({"values": V, "partition": -1}, ValueError, "partition=-1"),
    "bool partition": ({"values": V, "partition": True}, TypeError, "partition must be"),
    "Arrow partition": ({"values": V, "partition": arrow.numbers([0] * 5 + [-1] * 5, b"i")}, ValueError, "row 5: .*-1"),
    "unsigned partition": ({"values": V, "partition": arrow.numbers([0] * 5 + [2**64 - 1] * 5, b"L")}, ValueError,
                           "row 5: partition is 18446744073709551615, "),
    "wide partition": ({"values": V, "partition": arrow.numbers([0] * 5 + [2**31] * 5)}, ValueError, "row 5: .*2147"),
    "timestamp": ({"values": V, "timestamps_ms": [1] * 9 + [-1]}, ValueError, "row 9: timestamps_ms=-1"),
    "timestamp's type": ({"values": V, "timestamps_ms": [1.5] * 10}, TypeError, "row 0: timestamps_ms must be"),
    "Arrow time": ({"values": V, "timestamps_ms": arrow.numbers([1] * 9 + [-5], b"tsm:")}, ValueError, "row 9: .*-5"),
    "unsigned time": ({"values": V, "timestamps_ms": arrow.numbers([1] * 9 + [2**63], b"L")}, ValueError,
                      "row 9: timestamps_ms is 9223372036854775808, "),
    "narrow time": ({"values": V, "timestamps_ms": arrow.numbers([-1] * 10, b"c")}, ValueError, "row 0: .*is -1, "),
    "far time": ({"values": V, "timestamps_ms": arrow.numbers([2**60] * 10, b"tss:")}, ValueError, "row 0: .*1152"),
    "date": ({"values": V, "timestamps_ms": pyarrow.array([1] * 10, pyarrow.date32())}, TypeError, "format 'tdD'"),
    "fewer keys": ({"values": V, "keys": V[1:]}, ValueError, "keys has 9 rows, and values has 10"),
    "more headers": ({"values": V, "headers": [[]] * 11}, ValueError, "headers has 11 rows, and values has 10"),
    "fewer times": ({"values": V, "timestamps_ms": [1]}, ValueError, "timestamps_ms has 1 rows"),
    "fewer partitions": ({"values": V, "partition": []}, ValueError, "partition has 0 rows"),
    "bytes": ({"values": b"bytes"}, TypeError, "values must be a sequence with an element for each record.*not bytes"),
    "str": ({"values": "text"}, TypeError, "not str"),
    "None": ({"values": None}, TypeError, "not NoneType"),
    "generator": ({"values": (it for it in V)}, TypeError, "not generator"),
    "dict": ({"values": dict(enumerate(V))}, TypeError, "not dict"),
    "set": ({"values": set(V)}, TypeError, "not set"),
    "table": ({"values": pyarrow.table({"v": V})}, TypeError, "values: a table, .*; select one column"),
    "record batch": ({"values": pyarrow.record_batch({"v": V})}, TypeError, "values: a table, .*; select one column"),
    "lists": ({"values": pyarrow.array([V] * 10)}, TypeError, r"values: a nested column \(Arrow format '\+l'\)"),
    "runs": ({"values": V, "keys": run_end_encode(pyarrow.array(V))}, TypeError,
             "keys: a run-end-encoded column cannot be sent; decode it"),
    "numbers": ({"values": pyarrow.array([1, 2])}, TypeError, "Arrow format 'l' cannot be sent"),
    "dictionary": ({"values": pyarrow.array(V).dictionary_encode()}, TypeError,
                   "values: a dictionary-encoded column cannot be sent; cast it to binary or string"),
    "dictionary of partitions": ({"values": V, "partition": pyarrow.array([0] * 10).dictionary_encode()}, TypeError,
                                 "partition: a dictionary-encoded column cannot be sent; cast it to int32"),
    "wrong capsule": ({"values": V, "timestamps_ms": NotCapsules(b"l", [], 0)}, ValueError, "timestamps_ms: not the c"),
    "Arrow headers": ({"values": V, "headers": {"a": b"b"}}, TypeError, "an element for each record, not dict"),
    "topic": ({"topic": b"t", "values": V}, TypeError, "topic must be a str"),
    "topic's name": ({"topic": "no topic", "values": V}, InvalidTopicError, "not a topic name"),
    "callback": ({"values": V, "on_delivery": 5}, TypeError, "on_delivery must be callable"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_and_nothing_is_taken(mistake: str, broker: EmbeddedBroker, make: Make) -> None:
    arguments, error, said = MISTAKES[mistake]
    producer = make(broker)
    with pytest.raises(error, match=said) as failed:
        producer.send_many(**({"topic": "t"} | arguments))
    row = re.match(r"(?:\w+: )?row (\d+): ", str(failed.value))
    if row:
        assert (failed.value.row, failed.value.taken) == (int(row[1]), None)
    assert producer._lifecycle.accumulator.pool_stats()["slabs_acquired"] == 0
    producer.flush(TIMEOUT_S)
    assert broker.record_count("t") == 0


def good() -> arrow.Exported:
    return arrow.binary([b"abc", b"defg", b""])


def spoil(change: Callable[[arrow.Exported], None]) -> Callable[[], Any]:
    def make() -> Any:
        exported = good()
        change(exported)
        return exported

    return make


def set_offsets(exported: arrow.Exported, *offsets: int) -> None:
    exported.buffers[1] = b"".join(it.to_bytes(4, "little", signed=True) for it in offsets)


class Released(arrow.Exported):
    """What it offers was received, and released, by somebody else."""

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        capsules = super().__arrow_c_array__()
        arrow.release(self.array)
        return capsules


HOSTILE: dict[str, tuple[Callable[[], Any], str]] = {
    "a falling offset": (spoil(lambda it: set_offsets(it, 0, 5, 4, 7)), "row 1: the offsets"),
    "a negative offset": (spoil(lambda it: set_offsets(it, -3, 0, 4, 7)), "row 0: the offsets"),
    "a negative end": (spoil(lambda it: set_offsets(it, 0, 3, 4, -7)), "row 2: the offsets"),
    "no offsets": (spoil(lambda it: it.buffers.__setitem__(1, None)), "the offsets"),
    "no data": (spoil(lambda it: it.buffers.__setitem__(2, None)), "row 0: the offsets"),
    "no buffers": (spoil(lambda it: it.buffers.clear()), "0 buffers"),
    "two buffers": (spoil(lambda it: it.buffers.pop()), "2 buffers"),
    "a negative length": (spoil(lambda it: setattr(it, "length", -1)), "length -1"),
    "a negative offset of the array": (spoil(lambda it: setattr(it, "offset", -1)), "offset -1"),
    "too long": (spoil(lambda it: setattr(it, "length", 2**63 - 1) or setattr(it, "offset", 1)), "length 9223"),
    "more rows than one call takes": (spoil(lambda it: setattr(it, "length", 2**31)), "2147483648 r"),
    "released": (lambda: Released(b"z", [b"\1", bytes(8), b""], 1), "has been released"),
    "not capsules": (lambda: NotCapsules(b"z", [], 0), "not the capsule"),
    "a stream that fails": (lambda: arrow.chunked([good(), good()], fail_after=1), "error 5: the disk is on fire"),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_hostile_columns(how: str, broker: EmbeddedBroker, make: Make) -> None:
    column, said = HOSTILE[how]
    producer = make(broker)
    with pytest.raises(ValueError, match=said):
        producer.send_many("t", column())
    with pytest.raises(ValueError, match=said):
        producer.send_many("t", [b"v"] * 3, keys=column())
    gc.collect()
    assert arrow.unreleased() == 0
    assert broker.record_count("t") == 0


# ---- ends in the midst ----------------------------------------------------------------------------------------------


def test_no_memory_within_max_block_ms(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, buffer_memory=1 << 17)
    producer.partitions_for("t")
    producer._max_block_s = 0.3
    broker.hold("Produce")
    values = [b"%d" % i * 20 for i in range(5_000)]
    began = time.monotonic()
    with pytest.raises(BufferExhaustedError, match=r"row (\d+): .*; the \1 rows before it were taken") as failed:
        producer.send_many("t", values, partition=0)
    assert 0.28 < time.monotonic() - began < 5
    taken = failed.value.taken
    assert taken is not None
    assert 500 < failed.value.row == len(taken) < 5_000
    broker.release()
    producer._max_block_s = 30.0
    assert [it.offset for it in taken.get(TIMEOUT_S)] == list(range(len(taken)))
    rest = producer.send_many("t", values[failed.value.row:], partition=0)
    rest.get(TIMEOUT_S)
    assert [record.value for record in broker.records("t", 0)] == values


def test_a_partition_that_never_comes(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    producer.partitions_for("t")
    producer._max_block_s = 0.3
    with pytest.raises(KafkaTimeoutError, match=r"row 2: .*; the 2 rows before it were taken") as failed:
        producer.send_many("t", [b"a", b"b", b"c"], partition=[0, 1, 9])
    assert (failed.value.row, len(failed.value.taken)) == (2, 2)
    broker.add_partitions("t", 10)
    producer._max_block_s = 30.0
    assert len(producer.send_many("t", [b"a", b"b", b"c"], partition=[0, 1, 9]).get(TIMEOUT_S)) == 3


def test_close_in_the_midst(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, buffer_memory=1 << 17)
    producer.partitions_for("t")
    broker.hold("Produce")
    ended: list[Any] = []

    def send() -> None:
        try:
            producer.send_many("t", [bytes(100)] * 5_000, partition=0)
        except ProducerClosedError as error:
            ended.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    deadline = time.monotonic() + TIMEOUT_S
    while producer._lifecycle.accumulator.pool_stats()["waiting"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    producer.close(timeout=0)
    thread.join(TIMEOUT_S)
    assert len(ended) == 1
    assert 0 < ended[0].row == len(ended[0].taken)
    assert ended[0].taken.failed()


@pytest.mark.parametrize("row_by_row", [False, True])
def test_a_wait_in_vain_ends_the_call(broker: EmbeddedBroker, make: Make, row_by_row: bool) -> None:
    """Once: the next row would have to wait for the same."""
    producer = make(broker, max_block_ms=1000, buffer_memory=64 << 10, batch_size=16 << 10,
                    value_serializer=bytes if row_by_row else None)
    began = time.monotonic()
    with pytest.raises(KafkaTimeoutError, match="missing") as raised:
        producer.send_many("missing", V)
    assert time.monotonic() - began < 8
    assert (raised.value.row, raised.value.taken) == (0, None)
    producer.send("t", b"known").get(TIMEOUT_S)
    broker.hold("Produce")
    began = time.monotonic()
    with pytest.raises(BufferExhaustedError) as exhausted:
        producer.send_many("t", [bytes(8000)] * 100, partition=0)
    assert time.monotonic() - began < 8
    broker.release()
    assert len(exhausted.value.taken.get(TIMEOUT_S)) == exhausted.value.row


def test_a_serializer_that_fails(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker, value_serializer=lambda it: it.encode("ascii"))
    with pytest.raises((SerializationError, UnicodeEncodeError)) as failed:
        producer.send_many("t", ["a", "b", "ä", "c"], partition=0)
    assert (failed.value.row, len(failed.value.taken)) == (2, 2)  # type: ignore[union-attr]
    assert [it.offset for it in failed.value.taken.get(TIMEOUT_S)] == [0, 1]  # type: ignore[union-attr]


def test_an_interrupt_in_the_last_step(broker: EmbeddedBroker, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows are taken by then, and whoever catches the interrupt is told."""

    class Interrupted(pykafka_fast.bulk.Bulk):
        def end(self) -> None:
            super().end()
            raise KeyboardInterrupt

    monkeypatch.setattr(pykafka_fast.bulk, "Bulk", Interrupted)
    producer = make(broker)
    with pytest.raises(KeyboardInterrupt) as interrupted:
        producer.send_many("t", V, partition=0)
    assert [it.offset for it in interrupted.value.taken.get(TIMEOUT_S)] == [*range(10)]  # type: ignore[attr-defined]


def test_caller_may_change_what_was_sent(broker: EmbeddedBroker, make: Make) -> None:
    producer = make(broker)
    values = [bytearray(b"%d" % i) for i in range(9_000)]
    future = producer.send_many("t", values, partition=0)
    for value in values:
        value.clear()  # BufferError, were it still open
    future.get(TIMEOUT_S)
    assert [record.value for record in broker.records("t", 0)] == [b"%d" % i for i in range(9_000)]


def test_failures_nobody_looked_at_are_told_once(broker: EmbeddedBroker, make: Make,
                                                 caplog: pytest.LogCaptureFixture) -> None:
    producer = make(broker)
    broker.fail("Produce", 29, topic="t", times=None)

    def said() -> int:
        return sum("nobody looked at" in record.getMessage() for record in caplog.records)

    with caplog.at_level(logging.ERROR):
        future: Any = producer.send_many("t", [b"v"] * 100, [b"%d" % i for i in range(100)])
        producer.flush(TIMEOUT_S)
        assert said() == 0
        del future
        assert said() == 1
        producer.send_many("t", [b"v"])  # dropped before its outcome
        producer.flush(TIMEOUT_S)
        assert said() == 1
    other = make(broker)
    with caplog.at_level(logging.ERROR):
        future = other.send_many("t", [b"v"] * 10)
        other.flush(TIMEOUT_S)
        assert future.failed()
        del future
        assert said() == 1


# ---- memory, signals, forks -----------------------------------------------------------------------------------------


BOUNDED = """
import resource, sys
import pyarrow
from pykafka_fast import KafkaProducer
producer = KafkaProducer(bootstrap_servers=sys.argv[1], buffer_memory=1 << 20)
producer.send_many("t", pyarrow.array([b"v"] * 1000)).get(20)
column = pyarrow.array([b"x" * 100] * 1_000_000, pyarrow.binary(100))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
future = producer.send_many("t", column, partition=0)
metadata = future.get(60)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(metadata[-1].offset - metadata[0].offset, grown)
producer.close()
"""


def test_a_million_rows_through_a_small_pool(broker: EmbeddedBroker) -> None:
    done = subprocess.run([sys.executable, "-c", BOUNDED, broker.address], capture_output=True, text=True, timeout=100,
                          check=True)
    distance, grown = map(int, done.stdout.split())
    assert distance == 999_999
    assert grown < 9 * 1024, grown  # KiB: the pool and 8 MiB


INTERRUPTED = """
import os, signal, sys, threading, time
from pykafka_fast import KafkaProducer
from pykafka_fast.testing import EmbeddedBroker

broker = EmbeddedBroker(topics={"t": 1})
producer = KafkaProducer(bootstrap_servers=broker.address, buffer_memory=1 << 17)
producer.partitions_for("t")
broker.hold("Produce")
stats = producer._lifecycle.accumulator.pool_stats
at = []

def interrupt():
    while not stats()["waiting"]:
        time.sleep(0.001)
    at.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    producer.send_many("t", [bytes(100)] * 100_000)
except KeyboardInterrupt as error:
    took = time.monotonic() - at[0]
    print("soon" if took < 5 else took, error.row == len(error.taken) > 0, stats()["waiting"])
    broker.release()
    print(len(error.taken.get(20)) == broker.record_count("t"))
producer.close()
print(stats()["slabs_acquired"])
"""


def test_ctrl_c() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["soon True 0", "True", "0"]


def test_fork(broker: EmbeddedBroker) -> None:
    broker.hold("Produce")
    run(broker, """
        producer = KafkaProducer(bootstrap_servers=address)
        future = producer.send_many("t", [b"parent"] * 100, partition=0)
        def work():
            assert future.is_done and future.failed() and len(future.failures) == 100
            assert isinstance(future.exception, ProducerForkedError) and future.exception.in_doubt
            try:
                future.get(5)
            except ProducerForkedError:
                pass
            own = producer.send_many("t", [b"child"] * 50, partition=1)
            assert not own.is_done
            del own
            producer.close(timeout=0)
        pid = child(work)
        join(pid)
        assert not future.is_done
        print(len(future))
        os._exit(0)
    """, lost=50)  # fmt: skip


def test_fork_in_a_signal_handler_in_the_midst(broker: EmbeddedBroker) -> None:
    broker.delay("Produce", 20)
    said = run(broker, """
        producer = KafkaProducer(bootstrap_servers=address, buffer_memory=1 << 17)
        producer.partitions_for("t")
        main = os.getpid()
        def handler(number, frame):
            if os.fork() != 0:
                os.wait()
        signal.signal(signal.SIGUSR1, handler)
        stats = producer._lifecycle.accumulator.pool_stats
        def interrupt():
            while not stats()["waiting"]:
                time.sleep(0.001)
            os.kill(main, signal.SIGUSR1)
        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            future = producer.send_many("t", [bytes(100)] * 60_000)
        except ProducerForkedError as error:
            assert os.getpid() != main
            os._exit(0 if error.row == len(error.taken) and error.taken.failed() else 1)
        assert os.getpid() == main
        assert len(future.get(20)) == 60_000
        thread.join()
        producer.close()
        print("the parent was not disturbed")
    """)  # fmt: skip
    assert said == "the parent was not disturbed\n"
