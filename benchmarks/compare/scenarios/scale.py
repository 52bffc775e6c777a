# SPDX-License-Identifier: Apache-2.0
"""Many of everything: partitions, threads, processes, sizes; and what they take of memory."""

from benchmarks.compare.load import Load
from benchmarks.compare.scenario import Entry, Scenario, Target
from benchmarks.compare.scenarios.entries import BUFFER_MEMORY, CONFLUENT, KIB

MIB = KIB * KIB
IDLE_PARTITIONS = 10_000
BIG_BUFFER = 256 * MIB
ALLOWANCE, PER_PARTITION = 8 * MIB, 1_000
# All partitions → topics.
LAYOUTS = {1: 1, 10: 1, 100: 1, 1_000: 10, 10_000: 100}


def spread(series: str, client: str, options: dict[str, object], partitions: int) -> Entry:
    topics = LAYOUTS[partitions]
    load = {"topics": topics, "partitions": partitions // topics}
    label = f"{series}, {partitions:,} partition" + "s" * (partitions > 1)
    return Entry(label, client, options, load=load, series=series, x=float(partitions))


PARTITIONS = Scenario(
    name="partitions",
    title="100-byte values, random 16-byte keys, more and more partitions (100 a topic at most), buffer_memory 256 MB",
    workload="throughput",
    axis="partitions",
    brokers=("mock",),
    load=Load(key_size=16),
    seconds=2.0,
    entries=(
        *(spread("ours", "ours.Futures", {"buffer_memory": BIG_BUFFER}, partitions) for partitions in LAYOUTS),
        *(spread("confluent", "confluent.NoCallbacks", CONFLUENT, partitions) for partitions in LAYOUTS),
    ),
    targets=(
        Target("ours, 10,000 partitions", "rate", ("ours, 1 partition",), least=0.5),
        Target(
            "ours, 10,000 partitions", "peak_over_start", most=BIG_BUFFER + ALLOWANCE + PER_PARTITION * IDLE_PARTITIONS
        ),
    ),
)


def hands(series: str, client: str, options: dict[str, object], threads: int) -> Entry:
    label = f"{series}, {threads} thread" + "s" * (threads > 1)
    return Entry(label, client, options, {"threads": float(threads)}, series=series, x=float(threads))


THREADS = Scenario(
    name="threads",
    title="100-byte values, one partition, several threads on one producer",
    workload="threads",
    axis="threads",
    entries=(
        *(hands("ours", "ours.Futures", {}, threads) for threads in (1, 2, 4, 8)),
        *(hands("confluent", "confluent.NoCallbacks", CONFLUENT, threads) for threads in (1, 2, 4, 8)),
    ),
    targets=tuple(
        Target(f"ours, {threads} threads", "rate", ("ours, 1 thread",), least=1.0) for threads in (2, 4, 8)
    ),
)

PROCESSES = Scenario(
    name="processes",
    title="100-byte values, one partition, a producer in each of one and two processes",
    workload="throughput",
    entries=(
        Entry("ours, 1 process", "ours.Futures"),
        Entry("ours, 2 processes", "ours.Futures", params={"processes": 2.0}),
        Entry("confluent, 1 process", "confluent.NoCallbacks", CONFLUENT),
        Entry("confluent, 2 processes", "confluent.NoCallbacks", CONFLUENT, {"processes": 2.0}),
    ),
    targets=(Target("ours, 2 processes", "rate", ("ours, 1 process",), least=1.0),),
)

VALUE_SIZES = (0, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
# Its default refuses a value of a million bytes.
CONFLUENT_LARGE = {**CONFLUENT, "message.max.bytes": 2_000_000}


def sized(series: str, client: str, options: dict[str, object], size: int) -> Entry:
    return Entry(f"{series}, {size:,} B", client, options, load={"value_size": size}, series=series, x=float(size))


SIZES = Scenario(
    name="sizes",
    title="values of 0 to 1,000,000 bytes, one partition",
    workload="throughput",
    axis="bytes",
    seconds=2.0,
    entries=(
        *(sized("ours", "ours.Futures", {}, size) for size in VALUE_SIZES),
        *(sized("confluent", "confluent.NoCallbacks", CONFLUENT_LARGE, size) for size in VALUE_SIZES),
    ),
    targets=tuple(Target(f"ours, {size:,} B", "rate", (f"confluent, {size:,} B",), least=1.0) for size in VALUE_SIZES),
)

PARTS: dict[str, dict[str, object]] = {
    "value": {},
    "value and 16-byte key": {"key_size": 16},
    "value and 5 headers": {"headers": 5},
}
RECORD_PARTS = Scenario(
    name="keys-headers",
    title="100-byte values with 16-byte keys, and with 5 headers, one partition",
    workload="throughput",
    entries=(
        *(Entry(f"ours, {name}", "ours.Futures", load=load) for name, load in PARTS.items()),
        *(Entry(f"confluent, {name}", "confluent.NoCallbacks", CONFLUENT, load=load) for name, load in PARTS.items()),
    ),
    targets=tuple(Target(f"ours, {name}", "rate", (f"confluent, {name}",), least=1.0) for name in PARTS),
)

SERIALIZED = {
    "bytes": {"payload": "json"},
    "str.encode": {"payload": "strings", "serializer": "str.encode"},
    "json.dumps": {"payload": "objects", "serializer": "json.dumps"},
    "orjson": {"payload": "objects", "serializer": "orjson"},
}
SERIALIZERS = Scenario(
    name="serializers",
    title="events of 300 bytes as JSON, value_serializer= beside produce(topic, serializer(value))",
    workload="serializer",
    load=Load(value_size=300),
    entries=(
        *(Entry(f"ours, {name}", "ours.Futures", load=load) for name, load in SERIALIZED.items()),
        *(
            Entry(f"confluent, {name}", "confluent.NoCallbacks", CONFLUENT, load=load)
            for name, load in SERIALIZED.items()
        ),
    ),
    targets=tuple(Target(f"ours, {name}", "rate", (f"confluent, {name}",), least=1.0) for name in SERIALIZED),
)

SLOW_BROKER = Scenario(
    name="slow-broker",
    title="memory when the broker (answers after 50 ms) is slower than the caller; 1,000-byte values",
    workload="slow-broker",
    metric="peak_over_start",
    load=Load(value_size=1_000),
    brokers=("mock",),
    round_trip_ms=50,
    entries=(
        Entry("ours, futures", "ours.Futures"),
        Entry("ours, callbacks", "ours.Callbacks"),
        Entry(
            "confluent, same limit",
            "confluent.NoCallbacks",
            {**CONFLUENT, "queue.buffering.max.kbytes": BUFFER_MEMORY // KIB},
        ),
    ),
    targets=(
        Target("ours, futures", "peak_over_start", most=BUFFER_MEMORY + ALLOWANCE),
        Target("ours, callbacks", "peak_over_start", most=BUFFER_MEMORY + ALLOWANCE),
    ),
)

# The small pool keeps its own coming and going out of the difference that is divided by 10,000.
IDLE = Scenario(
    name="idle-partitions",
    title=f"{IDLE_PARTITIONS:,} partitions used once and idle since, beside a busy one",
    workload="idle-partitions",
    metric="bytes_per_partition",
    idle_partitions=IDLE_PARTITIONS,
    seconds=2.0,
    entries=(
        Entry("ours", "ours.Futures"),
        Entry("ours, 1 MB pool", "ours.Futures", {"buffer_memory": MIB}),
        Entry("confluent", "confluent.NoCallbacks", CONFLUENT),
    ),
    targets=(
        Target("ours, 1 MB pool", "bytes_per_partition", most=PER_PARTITION),
        Target("ours", "rate_kept", least=0.9),
    ),
)

SCENARIOS = (PARTITIONS, THREADS, PROCESSES, SIZES, RECORD_PARTS, SERIALIZERS, SLOW_BROKER, IDLE)
