# SPDX-License-Identifier: Apache-2.0
"""librdkafka's mock cluster with errors drawn from a fresh seed.

The mock checks no sequences. So there is one request in flight where order matters, and where a written request may
remain unanswered, records may be there twice.
"""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stress.conftest import SECONDS
from tools.brokers.mock import DISCONNECT, METADATA, PRODUCE, MockCluster
from tools.readback import read_topic
from tools.soak.audit import Audit
from tools.soak.clients import OurClient
from tools.soak.workload import Workload, settle

pytestmark = [pytest.mark.stress, pytest.mark.mock, pytest.mark.timeout(SECONDS + 120)]

PARTITIONS, NODES = 4, 3
# All of them say that nothing was written.
REFUSALS = [3, 5, 6, 13, 19, 56, 74]
# The mock keeps 5 MiB of a partition.
RATE = 3_000


class MockFaults:
    """What the mock can do wrong. `doubtful`: also what leaves a written request without an answer."""

    def __init__(self, mock: MockCluster, rng: random.Random, doubtful: bool):
        self._mock = mock
        self._rng = rng
        self._kinds: list[Callable[[], str]] = [self._refuse, self._refuse, self._of_one, self._metadata, self._move]
        if doubtful:
            self._kinds += [self._down, self._slow, self._cut]

    def run(self, seconds: float) -> None:
        began = time.monotonic()
        while (now := time.monotonic() - began) < seconds:
            print(f"{now:7.3f} {self._rng.choice(self._kinds)()}")
            time.sleep(self._rng.expovariate(1 / 0.1))
        for api in (PRODUCE, METADATA):
            self._mock.clear_request_errors(api)
        self._mock.set_rtt(0)

    def _refuse(self) -> str:
        codes = [self._rng.choice(REFUSALS) for _ in range(self._rng.randint(1, 5))]
        self._mock.push_request_errors(PRODUCE, *codes)
        return f"codes {codes}"

    def _of_one(self) -> str:
        partition, code = self._rng.randrange(PARTITIONS), self._rng.choice(REFUSALS)
        self._mock.push_partition_errors("t", partition, PRODUCE, code)
        return f"code {code} for partition {partition}"

    def _metadata(self) -> str:
        self._mock.push_request_errors(METADATA, DISCONNECT)
        return "metadata cut"

    def _move(self) -> str:
        # Not to -1: the mock dies when a partition without a leader is written to.
        partition, node = self._rng.randrange(PARTITIONS), self._rng.randint(1, NODES)
        self._mock.set_leader("t", partition, node)
        return f"partition {partition} to node {node}"

    def _down(self) -> str:
        node, pause = self._rng.randint(1, NODES), self._rng.uniform(0.05, 1.0)
        self._mock.set_down(node)
        time.sleep(pause)
        self._mock.set_up(node)
        return f"node {node} down for {pause:.3f} s"

    def _slow(self) -> str:
        milliseconds = self._rng.choice([0, 10, 900])
        self._mock.set_rtt(milliseconds)
        return f"answers after {milliseconds} ms"

    def _cut(self) -> str:
        self._mock.push_request_errors(PRODUCE, DISCONNECT)
        return "a request cut"


@pytest.mark.parametrize("doubtful", [False, True], ids=["refusals", "doubt"])
def test_nothing_is_lost(seed: int, tmp_path: Path, doubtful: bool) -> None:
    rng = random.Random(seed)
    options = {
        "max_in_flight_requests_per_connection": 1, "retry_backoff_ms": 5, "retry_backoff_max_ms": 50,
        "reconnect_backoff_ms": 5, "reconnect_backoff_max_ms": 50, "linger_ms": rng.choice([0, 1, 5]),
        "request_timeout_ms": 500 if doubtful else 20_000,  # where none is doubtful a pause must not make it so
        "buffer_memory": 2 << 20, "batch_size": rng.choice([500, 4_000, 16_384]),
    }  # fmt: skip
    with MockCluster(NODES) as mock:
        mock.create_topic("t", PARTITIONS)
        client = OurClient(mock.bootstrap, "t", options)
        work = Workload(client, tmp_path, partitions=PARTITIONS, rate=RATE, seed=seed)
        MockFaults(mock, rng, doubtful).run(SECONDS / 2)
        problems = work.finish(60)
        audit = Audit(seed, once=not doubtful)
        for record in read_topic(mock.bootstrap, "t"):
            audit.see(record.partition, record.offset, record.value)
        settle(audit, tmp_path)
    assert problems + audit.problems() == []
    assert work.errors == {}
    assert work.settled == work.sent >= 1_000
