# SPDX-License-Identifier: Apache-2.0
"""A real broker doubles its speed in its first minute: load it before anything is measured."""

from collections.abc import Callable

from benchmarks.compare import replay
from benchmarks.compare.broker import Broker
from benchmarks.compare.job import Job
from benchmarks.compare.load import Load

ROUNDS, SECONDS = 6, 5.0
QUICK_ROUNDS, QUICK_SECONDS = 1, 0.5


def warm_up(broker: Broker, quick: bool, say: Callable[[str], None]) -> None:
    """Replay both value sizes in turns, a minute in all (a second when `quick`). The mock needs none."""
    if broker.kind == "mock":
        return
    for number in range(QUICK_ROUNDS if quick else ROUNDS):
        for value_size in (100, 1_000):
            with broker.topics() as topic:
                job = Job(
                    client="replay",
                    workload="throughput",
                    address=broker.address,
                    topic=topic,
                    load=Load(value_size=value_size),
                    seconds=QUICK_SECONDS if quick else SECONDS,
                    warmup_seconds=0.0,
                    params={"batch_size": 256.0 * 1024},
                    broker_pids=broker.pids,
                )
                rate = replay.run(job, broker)["rate"]
            say(f"warm-up {number + 1}, {value_size} B: {rate:,.0f} records/s")
