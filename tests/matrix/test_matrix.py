# SPDX-License-Identifier: Apache-2.0
"""Every fault at every moment under every promise: one test body, its cells from table.py, its rules from rules.py."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from pykafka_fast import KafkaProducer, RecordFuture
from pykafka_fast.testing import EmbeddedBroker
from tests.matrix.rules import ONCE, Fate, dies, fate
from tests.matrix.table import BATCHES, CELLS, TOPIC, Cell, Moment
from tests.path.conftest import check_balance

TIMEOUT_S = 30.0
PER_BATCH = 3
BATCH_BYTES = 400  # three records of 100 bytes fit, a fourth does not
#: The batch to be hit during flush or close is not full: it leaves for no other reason.
COUNT = {Moment.FIRST: PER_BATCH * BATCHES + 1, Moment.SECOND: PER_BATCH * BATCHES + 1}
PROBE = b"the next one"


class Run:
    """A producer, a broker with one partition and two nodes, and what was sent."""

    def __init__(self, cell: Cell, broker: EmbeddedBroker) -> None:
        self.cell = cell
        self.broker = broker
        self.futures: list[RecordFuture] = []
        self.called: list[int] = []
        promise, fault, lasts = cell.promise, cell.fault, cell.fault.lasts
        self.delivery_timeout_ms = 2_000 if lasts else 90_000
        request_timeout_ms = 900 if fault.name.startswith("silence") else 1_500 if lasts else 20_000
        # What is refused for ever has been answered, and waits for its third try, when its time is up: no doubt.
        backoff_ms = 900 if lasts and fault.answered else 2
        self.producer = KafkaProducer(
            bootstrap_servers=broker.address, acks=promise.acks, enable_idempotence=promise.idempotent,
            max_in_flight_requests_per_connection=promise.in_flight, linger_ms=200 if lasts else 60_000,
            batch_size=BATCH_BYTES, batch_max_size=BATCH_BYTES, request_timeout_ms=request_timeout_ms,
            delivery_timeout_ms=self.delivery_timeout_ms, retry_backoff_ms=backoff_ms,
            retry_backoff_max_ms=10 * backoff_ms, reconnect_backoff_ms=2, reconnect_backoff_max_ms=20,
        )  # fmt: skip

    def send_all(self) -> None:
        for number in range(COUNT.get(self.cell.moment, PER_BATCH * BATCHES - 1)):
            future = self.producer.send(
                TOPIC, b"%03d" % number + bytes(97), partition=0,
                on_delivery=lambda *_, number=number: self.called.append(number),
            )  # fmt: skip
            self.futures.append(future)

    def warm_up(self) -> None:
        """Connected, with an id, and the first acknowledgement of its epoch: now five may be in flight."""
        self.producer.send(TOPIC, b"warm-up", partition=0).get(TIMEOUT_S)
        self.broker.wait(lambda it: it.record_count(TOPIC) == 1)

    def in_flight(self) -> float:
        metrics = self.producer.metrics()
        assert metrics is not None
        return metrics["producer-metrics"]["requests-in-flight"]

    def log(self) -> list[int]:
        """The numbers of the records in the log, in order."""
        values = [record.value or b"" for record in self.broker.records(TOPIC, 0)]
        return [int(value[:3]) for value in values if value not in (b"warm-up", PROBE)]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def act(run: Run) -> None:
    """Bring the fault about, and every future to its end."""
    cell, broker, producer = run.cell, run.broker, run.producer
    if cell.moment is not Moment.FIRST:
        run.warm_up()
    if cell.moment is Moment.SECOND:
        broker.hold("Produce")
    cell.fault.arm(broker, cell.moment.batch)
    run.send_all()
    if cell.moment is Moment.SECOND and cell.promise.acks != 0:
        until(lambda: run.in_flight() == cell.promise.in_flight)
    broker.release()
    if cell.moment is Moment.CLOSE:
        producer.close(timeout=TIMEOUT_S)
    else:
        producer.flush(timeout=TIMEOUT_S)
    assert all(future.is_done for future in run.futures)
    if cell.promise.acks == 0:  # written is not read
        read = [n for n in range(len(run.futures)) if fate(cell, n // PER_BATCH).copies == ONCE]
        until(lambda: set(read) <= set(run.log()))


def check_record(run: Run, number: int, expected: Fate, copies: int) -> None:
    """One record's outcome, and whether the log agrees."""
    future = run.futures[number]
    error = future.exception
    if error is None:
        assert expected.error is None or expected.may_succeed, number
        assert copies in expected.copies, (number, copies)
        assert (future.value.offset >= 0) <= (run.cell.promise.acks != 0)
        return
    assert expected.error is not None, (number, error)
    assert isinstance(error, expected.error), (number, error)
    assert copies in expected.lost, (number, copies)
    assert copies == 0 or error.in_doubt, number
    assert expected.doubtful in (None, error.in_doubt), (number, error)


def check_log(run: Run) -> None:
    found = run.log()
    copies = Counter(found)
    for number in range(len(run.futures)):
        check_record(run, number, fate(run.cell, number // PER_BATCH), copies[number])
    if run.cell.promise.keeps_order:
        firsts = list(dict.fromkeys(found))
        assert firsts == sorted(firsts)
    if run.cell.promise.idempotent:
        assert max(copies.values(), default=1) == 1
    acknowledged = {n: f.value.offset for n, f in enumerate(run.futures) if f.exception is None}
    at = {record.offset: record.value for record in run.broker.records(TOPIC, 0)}
    for number, offset in acknowledged.items():
        assert offset == -1 or (at[offset] or b"")[:3] == b"%03d" % number


def check_usable(run: Run) -> None:
    """Afterwards the producer works, unless it must not."""
    if dies(run.cell):
        with pytest.raises(run.cell.fault.error):
            run.producer.send(TOPIC, PROBE, partition=0).get(TIMEOUT_S)
        return
    run.broker.clear()
    probe = run.producer.send(TOPIC, PROBE, partition=0).get(TIMEOUT_S)
    if run.cell.promise.acks != 0:
        assert run.broker.records(TOPIC, 0)[-1].value == PROBE
        assert probe.offset == run.broker.record_count(TOPIC) - 1


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(topics={TOPIC: 1}, brokers=2) as running:
        yield running
        running.clear()
    assert running.violations == []


@pytest.mark.parametrize("cell", [pytest.param(cell, id=cell.name) for cell in CELLS])
def test_cell(cell: Cell, broker: EmbeddedBroker) -> None:
    run = Run(cell, broker)
    try:
        began = time.monotonic()
        act(run)
        if cell.fault.lasts:
            assert time.monotonic() - began < run.delivery_timeout_ms / 1000 + 5
        check_log(run)
        if cell.moment is not Moment.CLOSE:
            check_usable(run)
    finally:
        run.producer.close(timeout=5)
    assert sorted(run.called) == list(range(len(run.futures)))  # one callback each
    check_balance(run.producer)


def test_the_table() -> None:
    """Nothing fell out of it by a slip."""
    assert len({cell.name for cell in CELLS}) == len(CELLS)
    assert {cell.fault.name for cell in CELLS} >= {"silence", "leader moved", "MESSAGE_TOO_LARGE"}
    for moment in Moment:
        for promise in {cell.promise for cell in CELLS}:
            assert sum(cell.moment is moment and cell.promise == promise for cell in CELLS) >= 20
