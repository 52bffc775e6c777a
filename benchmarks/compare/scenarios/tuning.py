# SPDX-License-Identifier: Apache-2.0
"""Grids of settings: whether our defaults are good, and which settings favour a peer."""

from benchmarks.compare.load import Load
from benchmarks.compare.scenario import Entry, Scenario, Target
from benchmarks.compare.scenarios.entries import AIOKAFKA_OPTIONS, BATCH, CONFLUENT, KAFKA_PYTHON_OPTIONS, KIB

GRID = tuple(
    Entry(f"batch_size {size // KIB} KB, linger {linger}", "ours.Futures", {"batch_size": size, "linger_ms": linger})
    for size in (16 * KIB, 64 * KIB, 256 * KIB)
    for linger in (0, 5, 50)
)


def tuning(value_size: int) -> Scenario:
    return Scenario(
        name=f"tuning-{value_size}",
        title=f"{value_size:,}-byte values: defaults beside tuned batch_size and linger_ms",
        workload="throughput",
        load=Load(value_size=value_size),
        entries=(Entry("defaults", "ours.Futures"), *GRID),
        targets=(Target("defaults", "rate", tuple(entry.label for entry in GRID), least=0.8),),
        everyday=(),
    )


CONFLUENT_TRIED: dict[str, dict[str, object]] = {
    "as compared": {},
    "100,000 messages in the queue": {"queue.buffering.max.messages": 100_000},
    "10,000,000 messages in the queue": {"queue.buffering.max.messages": 10_000_000},
    "32 MB in the queue": {"queue.buffering.max.kbytes": 32_768},
    "1,000,000 messages a batch": {"batch.num.messages": 1_000_000},
    "linger 50": {"linger.ms": 50},
    "linger 0": {"linger.ms": 0},
    "1 MB batches": {"batch.size": 4 * BATCH},
    "1 MB socket buffer": {"socket.send.buffer.bytes": 1_048_576},
    "Nagle off": {"socket.nagle.disable": True},
    "reports of errors alone": {"delivery.report.only.error": True},
}
OTHERS_TRIED: dict[str, dict[str, object]] = {
    "as compared": {},
    "linger 0": {"linger_ms": 0},
    "linger 50": {"linger_ms": 50},
}


def peer(value_size: int) -> Scenario:
    entries = [
        Entry(f"confluent, no callbacks, {name}", "confluent.NoCallbacks", {**CONFLUENT, **options})
        for name, options in CONFLUENT_TRIED.items()
    ]
    entries += [
        Entry(f"confluent, callbacks, {name}", "confluent.PositionalCallbacks", {**CONFLUENT, **options})
        for name, options in CONFLUENT_TRIED.items()
        if name != "reports of errors alone"
    ]
    # Rarely polled, and often.
    entries += [
        Entry(f"confluent, callbacks, poll() every {n:,}", "confluent.PositionalCallbacks", CONFLUENT, {"burst": n})
        for n in (10, 100, 10_000)
    ]
    for name, options in OTHERS_TRIED.items():
        entries.append(Entry(f"aiokafka, {name}", "aio.Futures", {**AIOKAFKA_OPTIONS, **options}))
        entries.append(Entry(f"kafka-python, {name}", "kafka_python.Futures", {**KAFKA_PYTHON_OPTIONS, **options}))
    return Scenario(
        name=f"peer-{value_size}",
        title=f"{value_size:,}-byte values: settings of the peers",
        workload="throughput",
        load=Load(value_size=value_size),
        entries=tuple(entries),
        seconds=2.0,
        everyday=(),
    )


SCENARIOS = (tuning(100), tuning(1_000), peer(100), peer(1_000))
