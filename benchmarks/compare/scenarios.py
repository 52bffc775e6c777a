# SPDX-License-Identifier: Apache-2.0
"""Every scenario, with the targets it is held against. acks=all; idempotence for all clients but the replay."""

from benchmarks.compare.scenario import Entry, Scenario, Target

KIB = 1024
BATCH = 256 * KIB
LINGER_MS = 5
BUFFER_MEMORY = 32 * KIB * KIB
IDLE_PARTITIONS = 10_000

CONFLUENT = {"linger.ms": LINGER_MS, "batch.size": BATCH}
SAME_BATCHES = {"batch_size": BATCH, "batch_max_size": BATCH}

REPLAY = Entry("replay in C (the limit)", "replay", params={"batch_size": BATCH})
OURS = Entry("ours, futures", "ours")
OURS_CALLBACKS = Entry("ours, callbacks", "ours-callbacks")
OURS_SAME = Entry("ours, futures, 256 KB batches", "ours", SAME_BATCHES)
OURS_CALLBACKS_SAME = Entry("ours, callbacks, 256 KB batches", "ours-callbacks", SAME_BATCHES)
PLAIN = Entry("confluent, no callbacks", "confluent", CONFLUENT)
CALLBACKS = Entry("confluent, callbacks", "confluent-callbacks", CONFLUENT)
POSITIONAL = Entry("confluent, callbacks, positional call", "confluent-positional", CONFLUENT)
AIOKAFKA = Entry("aiokafka", "aiokafka", {"linger_ms": LINGER_MS, "max_batch_size": BATCH})
KAFKA_PYTHON = Entry("kafka-python", "kafka-python", {"linger_ms": LINGER_MS, "batch_size": BATCH})
JAVA = Entry("Java ProducerPerformance", "java", CONFLUENT, brokers=("kafka",))

EVERYBODY = (
    REPLAY, OURS, OURS_CALLBACKS, OURS_SAME, OURS_CALLBACKS_SAME,
    PLAIN, CALLBACKS, POSITIONAL, JAVA, AIOKAFKA, KAFKA_PYTHON,
)  # fmt: skip


def against(
    ours: Entry, metric: str, base: Entry, broker: str, least: float | None = None, most: float | None = None
) -> Target:
    return Target(ours.label, metric, (base.label,), least=least, most=most, brokers=(broker,))


THROUGHPUT_100 = Scenario(
    name="throughput-100",
    title="100-byte values, one partition, as fast as it goes",
    workload="throughput",
    entries=EVERYBODY,
    targets=(
        against(OURS, "rate", PLAIN, "mock", least=5),
        against(OURS, "cpu_per_million", PLAIN, "mock", most=0.2),
        against(OURS_CALLBACKS, "rate", CALLBACKS, "mock", least=6),
        against(OURS_CALLBACKS, "rate", POSITIONAL, "mock", least=6),
        against(OURS, "rate", REPLAY, "mock", least=0.2),
        against(OURS_SAME, "rate", PLAIN, "kafka", least=2),
        against(OURS_SAME, "rate", JAVA, "kafka", least=2.5),
        against(OURS_SAME, "rate", REPLAY, "kafka", least=0.5),
    ),
)

THROUGHPUT_1000 = Scenario(
    name="throughput-1000",
    title="1,000-byte values, one partition, as fast as it goes",
    workload="throughput",
    value_size=1_000,
    entries=EVERYBODY,
    targets=(
        against(OURS, "rate", PLAIN, "mock", least=2),
        against(OURS_CALLBACKS, "rate", CALLBACKS, "mock", least=3),
        against(OURS_CALLBACKS, "rate", POSITIONAL, "mock", least=3),
        against(OURS, "rate", REPLAY, "mock", least=0.2),
        against(OURS_SAME, "rate", PLAIN, "kafka", least=1.5),
        against(OURS_SAME, "rate", JAVA, "kafka", least=2.5),
        against(OURS_SAME, "rate", REPLAY, "kafka", least=0.8),
    ),
)

HOG = {"hogs": 1.0}
# poll() takes the GIL back, up to 5 ms beside a hog, for each delivered record: a long queue would hang it for minutes.
CONFLUENT_HOG = {**CONFLUENT, "queue.buffering.max.messages": 500}
CONFLUENT_HOG_PARAMS = {**HOG, "burst": 100.0}

GIL_HOG = Scenario(
    name="gil-hog",
    title="100-byte values beside one CPU-bound Python thread",
    workload="throughput",
    entries=(
        OURS,
        Entry("ours, futures, hog", "ours", params=HOG),
        OURS_CALLBACKS,
        Entry("ours, callbacks, hog", "ours-callbacks", params=HOG),
        PLAIN,
        Entry("confluent, no callbacks, hog", "confluent", CONFLUENT_HOG, CONFLUENT_HOG_PARAMS),
        CALLBACKS,
        Entry("confluent, callbacks, hog", "confluent-callbacks", CONFLUENT_HOG, CONFLUENT_HOG_PARAMS),
    ),
    targets=(
        Target("ours, futures, hog", "rate", (OURS.label,), least=0.35),
        Target("ours, callbacks, hog", "rate", (OURS_CALLBACKS.label,), least=0.35),
    ),
)

CONFLUENT_NO_LINGER = {**CONFLUENT, "linger.ms": 0}
LATENCY = Scenario(
    name="latency",
    title="1,000 records of 100 bytes a second, linger 0: send() to callback",
    workload="paced",
    metric="p50_ms",
    seconds=5.0,
    params={"rate": 1_000.0},
    entries=(
        Entry("ours", "ours", {"linger_ms": 0}),
        Entry("confluent", "confluent", CONFLUENT_NO_LINGER),
        Entry("aiokafka", "aiokafka", {"linger_ms": 0}),
        Entry("kafka-python", "kafka-python", {"linger_ms": 0}),
    ),
    targets=(
        Target("ours", "p50_ms", ("confluent",), most=1.0),
        Target("ours", "p99_ms", ("confluent",), most=1.0),
    ),
)

ROUND_TRIPS = Scenario(
    name="round-trips",
    title="one record at a time: send(), wait, repeat",
    workload="round-trips",
    entries=(
        Entry("ours, default linger", "ours"),
        Entry("ours, linger 0", "ours", {"linger_ms": 0}),
        Entry("confluent, linger 5", "confluent", CONFLUENT),
        Entry("confluent, linger 0", "confluent", CONFLUENT_NO_LINGER),
        Entry("kafka-python, linger 0", "kafka-python", {"linger_ms": 0}),
    ),
    targets=(
        Target("ours, default linger", "rate", ("ours, linger 0",), least=0.95),
        Target("ours, default linger", "p50_ms", ("ours, linger 0",), most=1.05),
    ),
)

CALL_COST = Scenario(
    name="call-cost",
    title="one call, beside an empty three-parameter Python function in the same loop (nanoseconds, loop included)",
    workload="call-cost",
    metric="times_empty",
    entries=(
        Entry("ours, send()", "ours"),
        Entry("ours, send(on_delivery=)", "ours-callbacks"),
        Entry("confluent, produce()", "confluent", CONFLUENT),
    ),
    targets=(Target("ours, send()", "times_empty", most=2.6),),
)

SLOW_BROKER = Scenario(
    name="slow-broker",
    title="memory when the broker (answers after 50 ms) is slower than the caller; 1,000-byte values",
    workload="slow-broker",
    metric="peak_over_start",
    value_size=1_000,
    brokers=("mock",),
    round_trip_ms=50,
    entries=(
        Entry("ours, futures", "ours"),
        Entry("ours, callbacks", "ours-callbacks"),
        Entry("confluent, same limit", "confluent", {**CONFLUENT, "queue.buffering.max.kbytes": BUFFER_MEMORY // KIB}),
    ),
    targets=(
        Target("ours, futures", "peak_over_start", most=BUFFER_MEMORY + 8 * KIB * KIB),
        Target("ours, callbacks", "peak_over_start", most=BUFFER_MEMORY + 8 * KIB * KIB),
    ),
)

# The small pool keeps its own coming and going out of the difference that is divided by 10,000.
IDLE = Scenario(
    name="idle-partitions",
    title=f"{IDLE_PARTITIONS:,} partitions used once and idle since, beside a busy one",
    workload="idle-partitions",
    metric="bytes_per_partition",
    params={"partitions": float(IDLE_PARTITIONS)},
    idle_partitions=IDLE_PARTITIONS,
    seconds=2.0,
    entries=(
        Entry("ours", "ours"),
        Entry("ours, 1 MB pool", "ours", {"buffer_memory": KIB * KIB}),
        Entry("confluent", "confluent", CONFLUENT),
    ),
    targets=(
        Target("ours, 1 MB pool", "bytes_per_partition", most=1_000),
        Target("ours", "rate_kept", least=0.9),
    ),
)

GRID = tuple(
    Entry(f"batch_size {size // KIB} KB, linger {linger}", "ours", {"batch_size": size, "linger_ms": linger})
    for size in (16 * KIB, 64 * KIB, 256 * KIB)
    for linger in (0, 5, 50)
)


def tuning(name: str, value_size: int) -> Scenario:
    return Scenario(
        name=name,
        title=f"{value_size:,}-byte values: defaults beside tuned batch_size and linger_ms",
        workload="throughput",
        value_size=value_size,
        entries=(Entry("defaults", "ours"), *GRID),
        targets=(Target("defaults", "rate", tuple(entry.label for entry in GRID), least=0.8),),
    )


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        THROUGHPUT_100, THROUGHPUT_1000, GIL_HOG, LATENCY, ROUND_TRIPS, CALL_COST, SLOW_BROKER, IDLE,
        tuning("tuning-100", 100), tuning("tuning-1000", 1_000),
    )
}  # fmt: skip
