# SPDX-License-Identifier: Apache-2.0
"""Random faults on a cluster of three embedded brokers while many threads send: the ledger must balance.

Every acknowledged record is there exactly once, per sending thread and partition in order; one that failed is there at
most once, and not at all unless its error says that it may be; all memory is back.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pykafka_fast.testing import EmbeddedBroker
from tests.path.conftest import check_balance, threads_of
from tests.stress.conftest import SECONDS
from tools.brokers.processes import wait_for
from tools.readback import read_topic
from tools.soak.audit import Audit
from tools.soak.clients import OurClient
from tools.soak.journal import Outcome
from tools.soak.workload import Workload, settle

pytestmark = pytest.mark.stress

PARTITIONS = 6
THREADS = 8
RATE = 6_000
# Behind a batch that expired there may be one that was written: it is tried again under its old sequence, and if the
# broker refuses that, it was not.
REFUSED_SEQUENCE = "answered OUT_OF_ORDER_SEQUENCE_NUMBER"


class Faults:
    """A schedule of faults drawn from one seed; what was done is printed with its time."""

    def __init__(self, broker: EmbeddedBroker, rng: random.Random) -> None:
        self._broker = broker
        self._rng = rng
        self._began = time.monotonic()
        self.kinds: list[Callable[[], str]] = [
            self._refuse, self._refuse, self._cut, self._cut, self._move, self._leaderless, self._stop, self._delay,
            self._hold, self._throttle,
        ]  # fmt: skip

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            said = self._rng.choice(self.kinds)()
            print(f"{time.monotonic() - self._began:7.3f} {said}")
            time.sleep(self._rng.expovariate(1 / 0.08))

    def _partition(self) -> int:
        return self._rng.randrange(PARTITIONS)

    def _refuse(self) -> str:
        code = self._rng.choice([3, 5, 6, 7, 13, 19, 20, 56, 74])
        partition, times = self._partition(), self._rng.randint(1, 4)
        after = code in (7, 13, 20, 56) and self._rng.random() < 0.5
        self._broker.fail("Produce", code, partition=partition, times=times, after_append=after)
        return f"{times} times code {code} for partition {partition}{', written all the same' if after else ''}"

    def _cut(self) -> str:
        when = self._rng.choice(["now", "before_append", "after_append", self._rng.randint(1, 40)])
        api = None if when == "now" else "Produce"
        reset = self._rng.random() < 0.5 and isinstance(when, str)
        self._broker.cut(when=when, api=api, reset=reset, node=self._rng.choice([None, 1, 2, 3]))
        return f"cut {when}, reset {reset}"

    def _move(self) -> str:
        partition, node = self._partition(), self._rng.randint(1, 3)
        self._broker.move_leader("t", partition, node, hint=self._rng.random() < 0.5)
        return f"partition {partition} to node {node}"

    def _leaderless(self) -> str:
        partition, pause = self._partition(), self._rng.uniform(0.02, 0.3)
        self._broker.leaderless("t", partition)
        time.sleep(pause)
        self._broker.move_leader("t", partition, self._rng.randint(1, 3))
        return f"partition {partition} without a leader for {pause:.3f} s"

    def _stop(self) -> str:
        node, pause = self._rng.randint(1, 3), self._rng.uniform(0.02, 0.5)
        self._broker.stop_node(node, elect=self._rng.random() < 0.7)
        time.sleep(pause)
        self._broker.start_node(node)
        return f"node {node} down for {pause:.3f} s"

    def _delay(self) -> str:
        delay = self._rng.choice([0, 2, 20, 100])
        self._broker.delay("Produce", delay)
        return f"answers after {delay} ms"

    def _hold(self) -> str:
        pause, node = self._rng.uniform(0.05, 0.7), self._rng.choice([None, 1, 2, 3])
        self._broker.hold("Produce", node=node, read=self._rng.random() < 0.5)
        time.sleep(pause)
        self._broker.release()
        return f"node {node} silent for {pause:.3f} s"

    def _throttle(self) -> str:
        ms = self._rng.choice([5, 50])
        self._broker.throttle("Produce", ms, times=1)
        return f"throttled for {ms} ms"


def play(folder: Path, seed: int, may_expire: bool, seconds: float = SECONDS, **options: object) -> Audit:
    """One run; what the audit counted."""
    rng = random.Random(seed)
    with EmbeddedBroker(topics={"t": PARTITIONS}, brokers=3, max_message_bytes=60_000) as broker:
        client = OurClient(broker.address, "t", {
            "retry_backoff_ms": 5, "retry_backoff_max_ms": 50, "reconnect_backoff_ms": 5,
            "reconnect_backoff_max_ms": 50, "linger_ms": rng.choice([0, 1, 5]),
            "batch_size": rng.choice([500, 4000, 16_384]),
            "buffer_memory": rng.choice([256 << 10, 2 << 20]), "max_block_ms": 2000, **options})
        work = Workload(client, folder, partitions=PARTITIONS, threads=THREADS, rate=RATE, seed=seed)
        Faults(broker, rng).run(seconds)
        broker.clear()
        problems = work.finish(60)
        check_balance(client.producer)
        assert threads_of(client.producer) == []
        audit = Audit(seed)
        for record in read_topic(broker.address, "t"):
            audit.see(record.partition, record.offset, record.value)
        settle(audit, folder)
        assert problems + audit.problems() == []
        assert [problem for problem in broker.violations if not (may_expire and REFUSED_SEQUENCE in problem)] == []
    print(f"{work.sent} records, {work.errors}")
    assert work.sent == sum(audit.outcomes.values()) > 80 * seconds
    return audit


@pytest.mark.timeout(SECONDS + 110)
def test_nothing_fails_for_good(tmp_path: Path, seed: int) -> None:
    audit = play(tmp_path, seed, False, request_timeout_ms=1000, delivery_timeout_ms=60_000)
    acknowledged = audit.outcomes[Outcome.ACKNOWLEDGED]
    assert audit.outcomes.total() - acknowledged <= acknowledged // 100  # only sends that waited for memory too long


@pytest.mark.timeout(SECONDS + 110)
def test_records_that_expire_are_told_of(tmp_path: Path, seed: int) -> None:
    play(tmp_path, seed, True, request_timeout_ms=200, delivery_timeout_ms=400)


@pytest.mark.timeout(SECONDS + 110)
@pytest.mark.parametrize("may_expire", [False, True], ids=["all arrives", "some expires"])
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed(tmp_path: Path, seed: int, codec: str, may_expire: bool) -> None:
    """The same with batches in the hands of several workers while all that happens."""
    timeouts = {"request_timeout_ms": 200, "delivery_timeout_ms": 400} if may_expire else {"request_timeout_ms": 1000}
    play(tmp_path, seed, may_expire, SECONDS / 4, compression_type=codec, compression_threads=1 + seed % 4, **timeouts)


def test_without_idempotence_the_ledger_finds_doubles(tmp_path: Path, seed: int) -> None:
    """What the other tests say is worth something: answers that get lost do double records, and that is seen."""
    with EmbeddedBroker(topics={"t": PARTITIONS}) as broker:
        client = OurClient(broker.address, "t", {"enable_idempotence": False, "retry_backoff_ms": 5})
        work = Workload(client, tmp_path, partitions=PARTITIONS, rate=RATE, seed=seed)
        wait_for(lambda: work.settled > 100, "outcomes", 30)
        broker.cut(when="after_append", api="Produce")
        settled = work.settled
        wait_for(lambda: work.settled > settled + 1_000, "outcomes after the cut", 30)
        assert work.finish(30) == []
        audit = Audit(seed)
        for record in read_topic(broker.address, "t"):
            audit.see(record.partition, record.offset, record.value)
        settle(audit, tmp_path)
    assert any("doubled" in problem for problem in audit.problems())
