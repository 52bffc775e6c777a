# SPDX-License-Identifier: Apache-2.0
"""One partition, as fast as it goes, everybody with the same settings; then nobody with any."""

from benchmarks.compare.load import Load
from benchmarks.compare.scenario import Entry, Scenario, Target
from benchmarks.compare.scenarios.entries import (
    AIOKAFKA,
    CALLBACKS,
    CONFLUENT,
    EVERYBODY,
    JAVA,
    KAFKA_PYTHON,
    OURS,
    OURS_CALLBACKS,
    OURS_COLUMNS,
    OURS_LISTS,
    OURS_SAME,
    PLAIN,
    POSITIONAL,
    REPLAY,
    against,
)

THROUGHPUT_100 = Scenario(
    name="throughput-100",
    title="100-byte values, one partition, as fast as it goes",
    workload="throughput",
    everyday=("mock", "kafka", "address"),
    entries=(*EVERYBODY, OURS_LISTS, OURS_COLUMNS),
    targets=(
        against(OURS, "rate", PLAIN, least=5),
        against(OURS_COLUMNS, "rate", REPLAY, least=0.35),
        against(OURS, "cpu_per_million", PLAIN, most=0.2),
        against(OURS_CALLBACKS, "rate", CALLBACKS, least=6),
        against(OURS_CALLBACKS, "cpu_per_million", CALLBACKS, most=1 / 6),
        against(OURS_CALLBACKS, "rate", POSITIONAL, least=6),
        against(OURS_CALLBACKS, "cpu_per_million", POSITIONAL, most=1 / 6),
        against(OURS_SAME, "rate", REPLAY, least=0.25),
        against(OURS, "rate", AIOKAFKA, least=40),
        against(OURS, "rate", KAFKA_PYTHON, least=60),
        against(OURS_SAME, "rate", PLAIN, "kafka", least=2),
        against(OURS_SAME, "rate", JAVA, "kafka", least=2.5),
        against(OURS_SAME, "rate", REPLAY, "kafka", least=0.6),
        against(OURS_SAME, "rate", AIOKAFKA, "kafka", least=8),
        against(OURS_SAME, "rate", KAFKA_PYTHON, "kafka", least=20),
    ),
)

THROUGHPUT_1000 = Scenario(
    name="throughput-1000",
    title="1,000-byte values, one partition, as fast as it goes",
    workload="throughput",
    everyday=("mock", "kafka", "address"),
    load=Load(value_size=1_000),
    entries=EVERYBODY,
    targets=(
        against(OURS, "rate", CALLBACKS, least=3),
        against(OURS, "cpu_per_million", CALLBACKS, most=0.25),
        against(OURS, "rate", PLAIN, least=2),
        against(OURS, "cpu_per_million", PLAIN, most=1 / 3),
        against(OURS_CALLBACKS, "rate", CALLBACKS, least=3),
        against(OURS_CALLBACKS, "rate", POSITIONAL, least=3),
        against(OURS_SAME, "rate", REPLAY, least=0.5),
        against(OURS_SAME, "rate", PLAIN, "kafka", least=1.5),
        against(OURS_SAME, "rate", JAVA, "kafka", least=2.5),
        against(OURS_SAME, "rate", REPLAY, "kafka", least=0.85),
    ),
)

# Real brokers take as much as three clients send: what each needs for it tells more than the rate.
REPLICATED = Scenario(
    name="replicated-100",
    title="100-byte values, 12 partitions; on kafka3 with 3 replicas",
    workload="throughput",
    everyday=("kafka3",),
    load=Load(partitions=12),
    entries=(
        OURS,
        OURS_CALLBACKS,
        OURS_SAME,
        PLAIN,
        CALLBACKS,
        POSITIONAL,
        Entry(JAVA.label, "java", JAVA.options, {"java_rate": 450_000.0}, brokers=JAVA.brokers),
    ),
    targets=(
        against(OURS_SAME, "rate", PLAIN, "kafka3", least=1.5),
        against(OURS_SAME, "cpu_per_million", PLAIN, "kafka3", most=0.25),
        against(OURS_CALLBACKS, "rate", CALLBACKS, "kafka3", least=1.5),
        against(OURS_CALLBACKS, "rate", POSITIONAL, "kafka3", least=1.5),
        against(OURS_CALLBACKS, "cpu_per_million", CALLBACKS, "kafka3", most=0.25),
    ),
)


def defaults(value_size: int, least: float) -> Scenario:
    """No option but the address on either side. librdkafka is not idempotent then; ours is."""
    plain = Entry(PLAIN.label, PLAIN.client)
    callbacks = Entry(CALLBACKS.label, CALLBACKS.client)
    positional = Entry(POSITIONAL.label, POSITIONAL.client)
    return Scenario(
        name=f"defaults-{value_size}",
        title=f"{value_size:,}-byte values, one partition, default options on either side",
        workload="throughput",
        load=Load(value_size=value_size),
        entries=(OURS, OURS_CALLBACKS, plain, callbacks, positional),
        targets=(
            against(OURS, "rate", plain, "mock", "kafka", least=least),
            against(OURS_CALLBACKS, "rate", callbacks, "mock", "kafka", least=least),
            against(OURS_CALLBACKS, "rate", positional, "mock", "kafka", least=least),
        ),
    )


HOG = {"hogs": 1.0}
# poll() takes the GIL back, up to 5 ms beside a hog, for each delivered record: a long queue would hang it for minutes.
CONFLUENT_HOG = {**CONFLUENT, "queue.buffering.max.messages": 500}
CONFLUENT_HOG_PARAMS = {**HOG, "burst": 100.0}
BESIDE_HOGS = (OURS, OURS_CALLBACKS, PLAIN, CALLBACKS, POSITIONAL)


def hog(entry: Entry) -> Entry:
    options, params = (CONFLUENT_HOG, CONFLUENT_HOG_PARAMS) if entry.options is CONFLUENT else ({}, HOG)
    return Entry(f"{entry.label}, hog", entry.client, options, params)


GIL_HOG = Scenario(
    name="gil-hog",
    title="100-byte values beside one CPU-bound Python thread",
    workload="throughput",
    entries=tuple(each for entry in BESIDE_HOGS for each in (entry, hog(entry))),
    targets=(
        Target("ours, futures, hog", "rate", (OURS.label,), least=0.35),
        Target("ours, callbacks, hog", "rate", (OURS_CALLBACKS.label,), least=0.35),
        Target("ours, futures, hog", "rate", ("confluent, callbacks, hog",), least=300),
        Target("ours, callbacks, hog", "rate", ("confluent, callbacks, hog",), least=300),
        Target("ours, callbacks, hog", "rate", ("confluent, callbacks, positional call, hog",), least=300),
    ),
)

SCENARIOS = (THROUGHPUT_100, THROUGHPUT_1000, REPLICATED, defaults(100, 4), defaults(1_000, 2), GIL_HOG)
