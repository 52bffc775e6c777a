# SPDX-License-Identifier: Apache-2.0
"""How long one record takes, and what one call costs."""

from benchmarks.compare.scenario import Entry, Scenario, Target
from benchmarks.compare.scenarios.entries import AIOKAFKA_OPTIONS, CONFLUENT, KAFKA_PYTHON_OPTIONS

CONFLUENT_NO_LINGER = {**CONFLUENT, "linger.ms": 0}
NO_LINGER = {"linger_ms": 0}
TARGETS = (Target("ours", "p50_ms", ("confluent",), most=0.85), Target("ours", "p99_ms", ("confluent",), most=1.0))

LATENCY = Scenario(
    name="latency",
    title="1,000 records of 100 bytes a second, linger 0: send() to callback",
    workload="paced",
    metric="p50_ms",
    seconds=5.0,
    params={"rate": 1_000.0},
    entries=(
        Entry("ours", "ours.Futures", NO_LINGER),
        Entry("confluent", "confluent.NoCallbacks", CONFLUENT_NO_LINGER),
        Entry("aiokafka", "aio.Futures", {**AIOKAFKA_OPTIONS, **NO_LINGER}),
        Entry("kafka-python", "kafka_python.Futures", {**KAFKA_PYTHON_OPTIONS, **NO_LINGER}),
    ),
    targets=TARGETS,
)

LATENCY_FAST = Scenario(
    name="latency-300000",
    title="300,000 records of 100 bytes a second, default linger: send() to callback",
    workload="paced",
    metric="p50_ms",
    params={"rate": 300_000.0},
    entries=(Entry("ours", "ours.Futures"), Entry("confluent", "confluent.NoCallbacks", CONFLUENT)),
    targets=TARGETS,
)

ROUND_TRIPS = Scenario(
    name="round-trips",
    title="one record at a time: send(), wait, repeat",
    workload="round-trips",
    entries=(
        Entry("ours, default linger", "ours.Futures"),
        Entry("ours, linger 0", "ours.Futures", NO_LINGER),
        Entry("confluent, linger 5", "confluent.NoCallbacks", CONFLUENT),
        Entry("confluent, linger 0", "confluent.NoCallbacks", CONFLUENT_NO_LINGER),
        Entry("kafka-python, linger 0", "kafka_python.Futures", {**KAFKA_PYTHON_OPTIONS, **NO_LINGER}),
    ),
    targets=(
        Target("ours, default linger", "rate", ("ours, linger 0",), least=0.95),
        Target("ours, default linger", "p50_ms", ("ours, linger 0",), most=1.05),
    ),
)

POOL = Scenario(
    name="thread-pool",
    title="8 threads of a pool, one producer: send(), wait, repeat in each",
    workload="pool",
    params={"threads": 8.0},
    entries=(
        Entry("ours", "ours.Futures"),
        Entry("confluent", "confluent.NoCallbacks", CONFLUENT_NO_LINGER),
        Entry("kafka-python", "kafka_python.Futures", {**KAFKA_PYTHON_OPTIONS, **NO_LINGER}),
    ),
    targets=(Target("ours", "rate", ("confluent",), least=1.0),),
)

ASYNCIO = Scenario(
    name="asyncio",
    title="10 tasks of an event loop: send 100 records, await each of them, repeat",
    workload="awaiting",
    params={"tasks": 10.0, "group": 100.0},
    entries=(
        Entry("ours", "awaited.Ours"),
        Entry("confluent, AIOProducer", "awaited.ConfluentAio", CONFLUENT),
        Entry("confluent, call_soon_threadsafe", "awaited.ConfluentThreadsafe", CONFLUENT),
        Entry("aiokafka", "aio.Futures", AIOKAFKA_OPTIONS),
    ),
    targets=(
        Target("ours", "wakeups_per_record", most=0.05),
        Target("ours", "rate", ("confluent, AIOProducer", "confluent, call_soon_threadsafe", "aiokafka"), least=1.0),
    ),
)

CALL_COST = Scenario(
    name="call-cost",
    title="one call, beside an empty three-parameter Python function in the same loop (nanoseconds, loop included)",
    workload="call-cost",
    metric="times_empty",
    entries=(
        Entry("ours, send()", "ours.Futures"),
        Entry("ours, send(on_delivery=)", "ours.Callbacks"),
        Entry("confluent, produce()", "confluent.NoCallbacks", CONFLUENT),
    ),
    targets=(Target("ours, send()", "times_empty", most=2.6),),
)

SCENARIOS = (LATENCY, LATENCY_FAST, ROUND_TRIPS, POOL, ASYNCIO, CALL_COST)
