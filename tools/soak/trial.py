# SPDX-License-Identifier: Apache-2.0
"""One trial: a producer sends to three nodes that are killed, frozen and stopped; then the topic is audited."""

import contextlib
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tools.brokers.kafka import KafkaCluster
from tools.readback import iter_topic
from tools.relay import Relay
from tools.soak.audit import Audit
from tools.soak.faults import ClusterFaults, draw
from tools.soak.journal import Outcome
from tools.soak.relay_faults import RelayFaults
from tools.soak.sender import Progress, SenderProcess
from tools.soak.workload import settle

TENTHS = 10
# A request is given up before a frozen node thaws; memory for a second or so, so that outages are felt by send().
OPTIONS: dict[str, dict[str, Any]] = {
    "pykafka_fast": {
        "request_timeout_ms": 4_000, "max_block_ms": 120_000, "buffer_memory": 4 << 20, "linger_ms": 2,
        "retry_backoff_max_ms": 500, "reconnect_backoff_max_ms": 500,
    },
    "confluent-kafka": {
        "request.timeout.ms": 4_000, "message.timeout.ms": 120_000, "queue.buffering.max.kbytes": 4 << 10,
        "retry.backoff.max.ms": 500, "reconnect.backoff.max.ms": 500,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What a trial does.

    Args:
        records: send at least so many.
        kills: kill -9 a node at least so many times.
        rate: records per second.
        seed: of the schedule and of what is sent.
        client: who sends, a key of `tools.soak.clients.CLIENTS`.
        partitions: of the topic.
        threads: that send.
        options: of the client, beside `OPTIONS`.
    """

    records: int
    kills: int
    rate: float
    seed: int
    client: str = "pykafka_fast"
    partitions: int = 6
    threads: int = 4
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Result:
    """What came of it. `problems` is empty if all is well."""

    plan: Plan
    problems: list[str] = field(default_factory=list)
    sent: int = 0
    read: int = 0
    acknowledged: int = 0
    failed: int = 0
    in_doubt: int = 0
    written_in_doubt: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    rss_by_tenth: list[int] = field(default_factory=list)
    """Bytes resident in the client's process: the median of each tenth of the records."""
    schedule: list[str] = field(default_factory=list)

    @property
    def rss_growth(self) -> int:
        """Bytes from the first tenth to the last."""
        return self.rss_by_tenth[-1] - self.rss_by_tenth[0]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "rss_growth": self.rss_growth}

    def line(self) -> str:
        verdict = "FAILED" if self.problems else "OK"
        faults = ", ".join(f"{count} x {kind}" for kind, count in self.faults.items())
        return (
            f"{verdict}: {self.plan.client}, {self.sent:,} records sent, {self.acknowledged:,} acknowledged, "
            f"{self.failed:,} failed, {self.in_doubt:,} in doubt, {self.read:,} read, {faults}, "
            f"{self.seconds:.0f} s, client memory {self.rss_growth / 1e6:+.1f} MB"
        )


def run(
    plan: Plan, cluster: KafkaCluster, topic: str, relay: Relay | None = None, say: Callable[[str], None] = print
) -> Result:
    """Carry a plan out on a running cluster of three nodes, whose topic `topic` nobody else writes to.

    With a relay, which the cluster advertises, the client goes through it, and it misbehaves all the time.
    """
    result = Result(plan)
    bootstrap = cluster.bootstrap if relay is None else cluster.advertised
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pkf-soak-") as name:
        folder = Path(name)
        with SenderProcess(
            plan.client, bootstrap, topic, folder, OPTIONS[plan.client] | plan.options,
            partitions=plan.partitions, threads=plan.threads, rate=plan.rate, seed=plan.seed,
        ) as sender:  # fmt: skip
            sender.wait_until(1, 60)
            with _misbehaving(relay, plan, result, say):
                _play(plan, cluster, topic, sender, result, say)
            result.problems += sender.finish(120)
        result.seconds = time.monotonic() - began
        result.sent, result.errors = sender.sent, sender.errors
        result.rss_by_tenth = by_tenth(sender.progress)
        say(f"{result.seconds:8.3f} all told; reading the topic")
        _audit(cluster, topic, folder, result)
    return result


def _play(
    plan: Plan, cluster: KafkaCluster, topic: str, sender: SenderProcess, result: Result, say: Callable[[str], None]
) -> None:
    """Faults until there were enough of them and enough records."""
    faults = ClusterFaults(cluster, topic, plan.partitions)
    for step in draw(plan.seed, plan.partitions):
        if faults.done["kill"] >= plan.kills and sender.settled >= plan.records:
            break
        said = faults.run(step)
        now = sender.progress[-1]
        kills = faults.done["kill"]
        say(f"{said}; {now.settled:,} of {now.sent:,} records told, {kills} kills, {now.rss / 1e6:.1f} MB")
    result.faults.update(faults.done)
    result.schedule += faults.log


@contextlib.contextmanager
def _misbehaving(relay: Relay | None, plan: Plan, result: Result, say: Callable[[str], None]) -> Iterator[None]:
    if relay is None:
        yield
        return
    faults = RelayFaults(relay, plan.seed, say)
    stop = threading.Event()
    thread = threading.Thread(target=faults.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        relay.heal()
        result.faults.update(faults.done)


def _audit(cluster: KafkaCluster, topic: str, folder: Path, result: Result) -> None:
    audit = Audit(result.plan.seed)
    for message in iter_topic(cluster.bootstrap, topic, 60):
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        audit.see(partition, offset, message.value())
    settle(audit, folder)
    result.problems += audit.problems()
    result.read, result.written_in_doubt = audit.read, audit.written_in_doubt
    result.acknowledged, result.failed, result.in_doubt = (audit.outcomes[outcome] for outcome in sorted(Outcome))
    if result.acknowledged + result.failed + result.in_doubt != result.sent:
        result.problems.append(f"{result.sent} records sent, the outcomes of {sum(audit.outcomes.values())} noted")


def by_tenth(progress: list[Progress]) -> list[int]:
    """The median resident set in each tenth of the records."""
    tenths: list[list[int]] = [[] for _ in range(TENTHS)]
    for now in progress:
        tenths[min(now.sent * TENTHS // (progress[-1].sent + 1), TENTHS - 1)].append(now.rss)
    filled = itertools.accumulate(tenths, lambda before, tenth: tenth or before[-1:])
    return [round(median(tenth)) for tenth in filled if tenth]
